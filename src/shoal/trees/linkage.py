"""Choosing an engine, and what it will take: bytes and seconds before the work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.data.carriers import Carrier, Graph, Points
from shoal.errors import InputError, is_whole
from shoal.runtime import memory, pool
from shoal.runtime.kernel import plain_if_cheap
from shoal.runtime.progress import Progress, Ticker
from shoal.trees import blocked, heap, members, spanning, spatial, stored
from shoal.trees.blocked_rows import UNIT_ROWS
from shoal.trees.merges import Merges
from shoal.trees.stored import METHODS, SQUARED

__all__ = ["METHODS", "Plan", "build", "plan"]

PLAIN_PAIR_S, PLAIN_FEATURE_S = 2.2e-6, 4e-7  # plain Python, per n² and per n²·d (docs/decisions/0001-kernels.md)

FEW_ITEMS = 500  # below, the stored matrix is as fast, and small enough to run as plain Python

# Seconds a pair of items takes on one core of a 2.6 GHz server, measured at 10,000 items (docs/decisions/0003): the
# least honest guess, good to a factor of two or so on other machines.
_PAIR_S = {"single": 6e-9, "complete": 24e-9, "average": 26e-9, "weighted": 25e-9, "ward": 27e-9}
_CLOSEST_PAIR_S = 22e-9  # centroid and median run on one thread
_FEATURE_S = 0.35e-9
_SPARSE_FEATURE_S = 14e-9  # of an entry of a sparse row, of which a pair has two
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


class Work(NamedTuple):
    """What an engine is asked to do, as far as choosing one needs to know.

    Attributes
    ----------
    method : str
    n : int
    d : int or None
        Features; None for a given matrix.
    metric : str or None
        Of points.
    nnz : int or None
        Entries of sparse points.
    itemsize : int
        Bytes of a stored distance.
    edges : int or None
        Of a graph whose edges alone make the single-linkage tree.
    """

    method: str
    n: int
    d: int | None
    metric: str | None
    nnz: int | None
    itemsize: int
    edges: int | None = None

    @classmethod
    def of(cls, carrier: Carrier, method: str) -> Work:
        """Describe the work on a carrier."""
        if isinstance(carrier, Points):
            nnz = None if isinstance(carrier.X, np.ndarray) else int(carrier.X.nnz)
            return cls(method, carrier.n, carrier.d, carrier.metric.name, nnz, carrier.dtype.itemsize)
        edges = None
        if isinstance(carrier, Graph) and method == "single" and spanning.takes_graph(carrier):
            edges = len(carrier.pairs.values)
        return cls(method, carrier.n, None, None, None, carrier.dtype.itemsize, edges)

    @property
    def sparse(self) -> bool:
        """Whether the items are sparse points."""
        return self.nnz is not None

    @property
    def dense_euclidean(self) -> bool:
        """Whether the items are dense points with Euclidean distances."""
        return self.metric == "euclidean" and not self.sparse


class Engine(NamedTuple):
    """One way to build a tree: what it is exact for, what it takes, and how it is run."""

    name: str
    takes: Callable[[Work], bool]
    bytes: Callable[[Work], float]
    seconds: Callable[[Work], float]
    run: Callable[[Carrier, str, Progress], Merges]


def _stored_bytes(w: Work) -> float:
    """Peak of the engine, or of making its matrix: from the features in float64, for rows of length 1 twice."""
    features = (8 * w.n * (w.d or 0) if w.nnz is None else 16 * w.nnz) * (2 if w.metric in UNIT_ROWS else 1)
    return max(stored.peak_bytes(w.n, w.itemsize, w.method), w.itemsize * w.n * (w.n - 1) // 2 + features)


def _stored_seconds(w: Work) -> float:
    pairs = w.n * (w.n - 1) / 2
    merging = _PAIR_S[w.method] / pool.threads() if w.method in _PAIR_S else _CLOSEST_PAIR_S
    measuring = _FEATURE_S * (w.d or 0) if w.nnz is None else _SPARSE_FEATURE_S * w.nnz / w.n
    return pairs * (merging + measuring / pool.threads())


def _run_stored(carrier: Carrier, method: str, progress: Progress) -> Merges:
    n, points = carrier.n, isinstance(carrier, Points)
    squared = isinstance(carrier, Points) and method in SQUARED and not _would_overflow(carrier.X)
    features = carrier.d if isinstance(carrier, Points) else 0
    with plain_if_cheap(n * n * (PLAIN_PAIR_S + PLAIN_FEATURE_S * features)):
        with Ticker(progress, f"distances of {n:,} items") as ticker:
            if isinstance(carrier, Points):
                D = carrier.metric.condensed(carrier.X, ticker, squared=squared)
            else:
                D = carrier.condensed(ticker)
        return stored.linkage_stored(D, n, method, carrier.weights, squared=points and squared, progress=progress)


def _run_spatial(carrier: Carrier, method: str, progress: Progress) -> Merges:
    assert isinstance(carrier, Points)
    return spatial.linkage_spatial(carrier.X, method, carrier.weights, progress=progress)


def _run_blocked(carrier: Carrier, method: str, progress: Progress) -> Merges:
    assert isinstance(carrier, Points)
    return blocked.linkage_blocked(carrier.X, method, carrier.metric.name, carrier.weights, progress=progress)


def _run_heap(carrier: Carrier, method: str, progress: Progress) -> Merges:
    assert isinstance(carrier, Points)
    return heap.linkage_heap(carrier.X, method, carrier.weights, progress=progress)


def _run_members(carrier: Carrier, method: str, progress: Progress) -> Merges:
    assert isinstance(carrier, Points)
    return members.linkage_members(carrier.X, method, carrier.weights, metric=carrier.metric.name, progress=progress)


def _run_forest(carrier: Carrier, method: str, progress: Progress) -> Merges:
    assert isinstance(carrier, Graph)
    return spanning.linkage_of_graph(carrier, progress=progress)


def _run_spanning(carrier: Carrier, method: str, progress: Progress) -> Merges:
    assert isinstance(carrier, Points)
    return spanning.linkage_spanning(carrier.X, progress=progress)


ENGINES = (
    Engine("stored", lambda w: w.edges is None, _stored_bytes, _stored_seconds, _run_stored),
    Engine("spanning", lambda w: w.method == "single" and w.dense_euclidean and w.n > FEW_ITEMS,
           lambda w: spanning.peak_bytes(w.n, w.d or 1), lambda w: spanning.seconds(w.n, w.d or 1), _run_spanning),
    Engine("forest", lambda w: w.edges is not None,
           lambda w: spanning.peak_bytes_of_graph(w.n, w.edges or 0), lambda w: 4e-7 * (w.n + (w.edges or 0)), _run_forest),
    Engine("spatial", lambda w: w.method in spatial.METHODS and w.dense_euclidean and w.n > FEW_ITEMS,
           lambda w: spatial.peak_bytes(w.n, w.d or 1), lambda w: spatial.seconds(w.n, w.d or 1) / pool.threads(),
           _run_spatial),
    Engine("heap", lambda w: w.method in heap.METHODS and w.dense_euclidean and w.n > FEW_ITEMS,
           lambda w: heap.peak_bytes(w.n, w.d or 1), lambda w: heap.seconds(w.n, w.d or 1), _run_heap),
    Engine("members", lambda w: w.method in members.METHODS and w.metric in members.METRICS and not w.sparse
           and w.n > FEW_ITEMS,
           lambda w: members.peak_bytes(w.n, w.d or 1), lambda w: members.seconds(w.n, w.d or 1, w.method), _run_members),
    Engine("blocked", lambda w: (w.method, w.metric) in blocked.SUPPORTED and w.n > FEW_ITEMS,
           lambda w: blocked.peak_bytes(w.n, w.d or 1, w.nnz), lambda w: blocked.seconds(w.n, w.d or 1, w.nnz),
           _run_blocked),
)


def choose(work: Work, engine: str, allowed: float) -> Engine:
    """Choose the fastest engine that is exact for the work and fits in memory; the smallest where none fits.

    Raises
    ------
    InputError
        For an engine that does not exist or does not take the work.
    """
    names = [e.name for e in ENGINES]
    if engine not in ("auto", *names):
        raise InputError(f"There is no engine {engine!r}.", f"Choose 'auto' or one of {', '.join(map(repr, names))}.")
    able = [e for e in ENGINES if e.takes(work) and engine in ("auto", e.name)]
    if not able:
        raise InputError(f"The engine {engine!r} does not build {work.method} linkage of {work.n:,} such items.",
                         "Use engine='auto'.")
    fitting = [e for e in able if e.bytes(work) <= allowed]
    return min(fitting, key=lambda e: e.seconds(work)) if fitting else min(able, key=lambda e: e.bytes(work))


def plan(n: int | Carrier, d: int | None = None, method: str = "ward", *, metric: str = "euclidean", dtype: Any = np.float64,
         memory_limit: int | str | None = None) -> Plan:
    """Say what a tree of `n` items will take, before any work.

    Parameters
    ----------
    n : int or carrier
        Number of items, or the data itself, which says the rest but for the method.
    d : int, optional
        Number of features of dense points; None when distances are given.
    method : str
        A linkage method.
    metric : str
        Of the points.
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
    >>> p = shoal.plan(65_536, method="average")
    >>> p.engine, round(p.bytes / 1e9)
    ('stored', 17)
    >>> shoal.plan(1_000_000, 2, "single").engine
    'spanning'
    """
    name = check_method(method)
    if isinstance(n, Carrier):
        return _plan(Work.of(n, name), "auto", memory_limit)[0]
    if not is_whole(n) or n < 1 or (d is not None and (not is_whole(d) or d < 1)):
        raise InputError(f"A plan for {n!r} items and {d!r} features was asked for.", "Give whole numbers of at least 1.")
    itemsize = 4 if np.dtype(dtype) == np.float32 else 8
    return _plan(Work(name, n, d, metric if d else None, None, itemsize), "auto", memory_limit)[0]


def _plan(work: Work, engine: str, memory_limit: int | str | None) -> tuple[Plan, Engine]:
    allowed = memory.parse_bytes(memory_limit) if memory_limit is not None else memory.SHARE * memory.available_bytes()
    chosen = choose(work, engine, allowed)
    size = int(chosen.bytes(work))
    return Plan(chosen.name, work.method, work.n, work.d, size, _START_S + chosen.seconds(work), size <= allowed), chosen


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
    check_metric(carrier, name)
    work = Work.of(carrier, name)
    what, chosen = _plan(work, engine, memory_limit)
    memory.require(what.bytes, memory_limit, f"{name} linkage of {work.n:,} items", _instead(work, what.bytes))
    if work.n == 1:
        return stored.linkage_stored(np.empty(0), 1, name), chosen.name
    return chosen.run(carrier, name, progress), chosen.name


def _instead(work: Work, beyond: float) -> str:
    """Say what takes less than `beyond` bytes: another engine for the same tree; else less data, and other methods."""
    def least(method: str) -> tuple[float, str]:
        there = work._replace(method=method)
        return min((e.bytes(there), e.name) for e in ENGINES if e.takes(there))

    size, name = least(work.method)
    if size < beyond:
        return f"engine={name!r} builds the same tree in {memory.show_bytes(size)}."
    fit = [m for m in METHODS if (m not in SQUARED or work.metric in (None, "euclidean")) and least(m)[0] < beyond / 4]
    less = "Use fewer items, float32 data (half of it), or a larger limit."
    if not fit:
        return less
    size = max(least(m)[0] for m in fit)
    return f"{less} By {', '.join(fit)} linkage these items take {memory.show_bytes(size)} or less."


def _would_overflow(X: Any) -> bool:
    """Whether squared distances could leave the range of their type; then plain distances are taken, and scaled."""
    values: NDArray[np.floating[Any]] = X.data if hasattr(X, "indptr") else X
    if not values.size:
        return False
    largest = float(max(values.max(), -values.min()))
    limit = 1e15 if X.dtype == np.float32 else 1e145
    return largest > limit or 0.0 < largest < 1.0 / limit
