"""Parameters of estimators: checked when `fit` is called, as scikit-learn wants it."""

from __future__ import annotations

from typing import Any

import numpy as np

from shoal.errors import InputError, is_whole

__all__ = ["at_least", "generator", "is_real", "one_of"]


def generator(random_state: Any) -> np.random.Generator:
    """Return the generator for a `random_state`: None, a number, a Generator, or numpy's older RandomState."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(0, 2**31, size=4))
    if random_state is np.random:
        return np.random.default_rng()
    try:
        return np.random.default_rng(random_state)
    except (TypeError, ValueError) as error:
        raise InputError(f"random_state={random_state!r} was given.",
                         "Give a whole number from 0, None, or a generator of numpy.") from error


def at_least(low: int, **given: Any) -> None:
    """Raise InputError where a parameter is not a whole number of at least `low`."""
    for name, value in given.items():
        if not is_whole(value) or value < low:
            raise InputError(f"{name}={value!r} was given.", f"Give a whole number of at least {low}.")


def one_of(choices: tuple[str, ...], **given: Any) -> None:
    """Raise InputError where a parameter is none of the choices."""
    for name, value in given.items():
        if not isinstance(value, str) or value not in choices:
            raise InputError(f"{name}={value!r} is not known.", f"Give one of {', '.join(map(repr, choices))}.")


def is_real(value: object) -> bool:
    """Whether a value is a number of Python or numpy, and not True or False."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
