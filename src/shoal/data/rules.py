"""From similarity to distance: the named rules, each on the interval of similarities it is defined for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError

__all__ = ["RULES", "Rule", "check_rule", "convert", "default_rule", "fitting_rules"]

Floats = NDArray[np.float64]


class Rule(NamedTuple):
    """A decreasing function of the similarity s, and the interval of s where it gives a finite distance.

    Attributes
    ----------
    turn : callable
        ``turn(s, top) -> d`` on float64 arrays; `top` is the largest similarity between two different items.
    low, high : float
        The interval, ends included.
    above_low : bool
        Whether the lower end itself is left out.
    """

    turn: Callable[[Floats, float], Floats]
    low: float
    high: float
    above_low: bool = False

    @property
    def domain(self) -> str:
        """The interval in words."""
        if self.high == math.inf:
            return "any similarity"
        if self.low == -math.inf:
            return f"similarities of at most {self.high:g}"
        start = "above" if self.above_low else "from"
        return f"similarities {start} {self.low:g} up to {self.high:g}"


RULES: dict[str, Rule] = {
    "1-s": Rule(lambda s, top: 1.0 - s, -math.inf, 1.0),
    "max-s": Rule(lambda s, top: top - s, -math.inf, math.inf),
    "sqrt(2-2s)": Rule(lambda s, top: np.sqrt(2.0 - 2.0 * s), -math.inf, 1.0),
    "arccos(s)/pi": Rule(lambda s, top: np.arccos(s) / math.pi, -1.0, 1.0),
    "1/s-1": Rule(lambda s, top: 1.0 / s - 1.0, 0.0, 1.0, above_low=True),
    "-log s": Rule(lambda s, top: np.abs(np.log(s)), 0.0, 1.0, above_low=True),  # abs: -log 1 is 0, not -0
}


def default_rule(low: float, high: float, constant_diagonal: bool, slack: float) -> str:
    """Return "1-s" for values within [-1, 1] with a constant diagonal or none, as correlations are; else "max-s"."""
    return "1-s" if constant_diagonal and low >= -1.0 - slack and high <= 1.0 + slack else "max-s"


def fitting_rules(low: float, high: float, slack: float = 0.0) -> list[str]:
    """Name the rules that are defined for all similarities from `low` to `high`.

    Examples
    --------
    >>> fitting_rules(0.0, 1.0)
    ['1-s', 'max-s', 'sqrt(2-2s)', 'arccos(s)/pi']
    >>> fitting_rules(-3.0, 7.0)
    ['max-s']
    """
    return [name for name, rule in RULES.items()
            if high <= rule.high + slack and (low > rule.low if rule.above_low else low >= rule.low - slack)]


def check_rule(rule: Any) -> None:
    """Refuse a rule that is neither named in the table nor callable."""
    if not callable(rule) and rule not in RULES:
        raise InputError(f"{rule!r} is not a rule from similarity to distance.",
                         f"Give one of {', '.join(map(repr, RULES))}, or a function of an array.")


def convert(rule: str | Callable[[Any], Any], s: Floats, top: float) -> Floats:
    """Turn similarities into distances; values past an end of the rule's interval by rounding count as that end."""
    if not isinstance(rule, str):
        distances = np.asarray(rule(s.copy()))
        if distances.shape != s.shape or distances.dtype.kind not in "fiub":
            raise InputError(f"The rule was given {s.shape[0]} similarities and returned an array of shape "
                             f"{distances.shape} and type {distances.dtype}.",
                             "It must return one real number for each similarity.")
        return distances.astype(np.float64, copy=False)
    known = RULES[rule]
    inside = s if known.high == math.inf else np.clip(s, None if known.above_low else known.low, known.high)
    return known.turn(inside, top)
