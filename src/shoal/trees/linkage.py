"""Choosing an engine, and what it will take: bytes and seconds before the work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.data.carriers import Carrier, Points
from shoal.errors import InputError, is_whole
from shoal.runtime import memory, pool
from shoal.runtime.kernel import plain_if_cheap
from shoal.runtime.progress import Progress, Ticker
from shoal.trees.merges import Merges
from shoal.trees.stored import METHODS, SQUARED, linkage_stored, peak_bytes

__all__ = ["METHODS", "Plan", "build", "plan"]

PLAIN_PAIR_S, PLAIN_FEATURE_S = 2.2e-6, 4e-7  # plain Python, per n² and per n²·d (docs/decisions/0001-kernels.md)

# Seconds a pair of items takes on one core of a 2.6 GHz server, measured at 10,000 items (docs/decisions/0003): the
# least honest guess, good to a factor of two or so on other machines.
_PAIR_S = {"single": 6e-9, "complete": 24e-9, "average": 26e-9, "weighted": 25e-9, "ward": 27e-9}
_CLOSEST_PAIR_S = 22e-9  # centroid and median run on one thread
_FEATURE_S = 0.35e-9
_START_S = 0.7  # the interpreter, and the compiled kernels from their cache


@dataclass(frozen=True)
class Plan:
    """What building a tree will take.

    Attributes
    ----------
    engine : str
        The engine that will run.
    method : str
    n : int
        Items.
    d : int or None
        Features; None for a given matrix.
    bytes : int
        Peak memory beside the data as given.
    seconds : float
        A guess, from figures measured on one machine.
    fits : bool
        Whether the bytes are within what the process may use now.
    """

    engine: str
    method: str
    n: int
    d: int | None
    bytes: int
    seconds: float
    fits: bool


def check_method(method: str) -> str:
    """Return the method's name, or say which there are."""
    name = str(method).lower()
    if name not in METHODS:
        raise InputError(f"There is no linkage method {method!r}.", f"Choose one of {', '.join(METHODS)}.")
    return name


def check_metric(carrier: Carrier, method: str) -> None:
    """Refuse points measured in a way the method has no meaning for."""
    if isinstance(carrier, Points) and method in SQUARED and carrier.metric.name != "euclidean":
        raise InputError(f"{method.capitalize()} linkage measures distances between means, so it takes Euclidean "
                         f"distances; the metric is {carrier.metric.name!r}.",
                         "Use method='average', or the Euclidean metric (for cosine: on rows scaled to length 1).")


def plan(n: int, d: int | None = None, method: str = "ward", *, dtype: Any = np.float64,
         memory_limit: int | str | None = None) -> Plan:
    """Say what a tree of `n` items will take, before any work.

    Parameters
    ----------
    n : int
        Number of items.
    d : int, optional
        Number of features; None when distances are given.
    method : str
        A linkage method.
    dtype : dtype
        float32 data is stored as float32 distances.
    memory_limit : int or str, optional
        Bytes, or text such as "8GB"; by default what the process may use now.

    Returns
    -------
    Plan

    Examples
    --------
    >>> import shoal
    >>> p = shoal.plan(65_536, 10, "average")
    >>> p.engine, round(p.bytes / 1e9)
    ('stored', 17)
    """
    name = check_method(method)
    if not is_whole(n) or n < 1 or (d is not None and (not is_whole(d) or d < 1)):
        raise InputError(f"A plan for {n!r} items and {d!r} features was asked for.", "Give whole numbers of at least 1.")
    itemsize = 4 if np.dtype(dtype) == np.float32 else 8
    size = peak_bytes(n, itemsize) + (8 * n * d if d else 0)
    pairs = n * (n - 1) / 2
    seconds = _START_S + pairs * (_FEATURE_S * d / pool.threads() if d else 0.0)
    seconds += pairs * (_PAIR_S[name] / pool.threads() if name in _PAIR_S else _CLOSEST_PAIR_S)
    allowed = memory.parse_bytes(memory_limit) if memory_limit is not None else memory.SHARE * memory.available_bytes()
    return Plan("stored", name, n, d, size, seconds, size <= allowed)


def build(carrier: Carrier, method: str, *, engine: str = "auto", memory_limit: int | str | None = None,
          progress: Progress = None) -> tuple[Merges, str]:
    """Build the merge tree of a carrier with the engine that fits.

    Returns
    -------
    merges : Merges
    engine : str
        The engine that ran.

    Raises
    ------
    InputError
        For an unknown method or engine, or a metric the method has no meaning for.
    TooLargeError
        Before anything is allocated, when the work would not fit.
    """
    name = check_method(method)
    if engine not in ("auto", "stored"):
        raise InputError(f"There is no engine {engine!r}.", "Choose 'auto' or 'stored'.")
    squared = False
    check_metric(carrier, name)
    if isinstance(carrier, Points) and name in SQUARED:
        squared = not _would_overflow(carrier.X)
    n = carrier.n
    width = None
    if isinstance(carrier, Points) and isinstance(carrier.X, np.ndarray):  # sparse rows are never copied in full
        width = carrier.d
    what = plan(n, width, name, dtype=carrier.dtype)
    memory.require(what.bytes, memory_limit, f"{name} linkage of {n:,} items",
                   "Use fewer items, float32 data (half of it), or a larger limit.")
    if n == 1:
        return linkage_stored(np.empty(0), 1, name), "stored"
    features = carrier.d if isinstance(carrier, Points) else 0
    with plain_if_cheap(n * n * (PLAIN_PAIR_S + PLAIN_FEATURE_S * features)):
        with Ticker(progress, f"distances of {n:,} items") as ticker:
            if isinstance(carrier, Points):
                D = carrier.metric.condensed(carrier.X, ticker, squared=squared)
            else:
                D = carrier.condensed(ticker)
        return linkage_stored(D, n, name, carrier.weights, squared=squared, progress=progress), "stored"


def _would_overflow(X: Any) -> bool:
    """Whether squared distances could leave the range of their type; then plain distances are taken, and scaled."""
    values: NDArray[np.floating[Any]] = X.data if hasattr(X, "indptr") else X
    if not values.size:
        return False
    largest = float(max(values.max(), -values.min()))
    limit = 1e15 if X.dtype == np.float32 else 1e145
    return largest > limit or 0.0 < largest < 1.0 / limit
