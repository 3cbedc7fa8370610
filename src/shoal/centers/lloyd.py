"""k-means from given centres: Lloyd's iterations, exact, of dense and sparse rows, Euclidean or on the sphere.

Every item goes to its nearest centre, every centre to the mean of its items, until nothing changes (Lloyd 1982). Bounds
spare most of the distances and change none of the labels (`bounds`); one feature needs no more than sorted data (`line`).

Distances that decide are float64, of differences of coordinates: data far from zero lose nothing. Centres have the data's
dtype at every step, so that the labels returned are those `nearest` finds with the centres returned.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.centers import line, sparse
from shoal.centers.bounds import Bounds, canonical_squares
from shoal.centers.update import Fit, change_sums, refill, settle, smallest_weight, sums_of
from shoal.errors import InputError
from shoal.runtime import blas
from shoal.runtime.kernel import plain_if_cheap
from shoal.runtime.progress import Ticker

__all__ = ["ENGINES", "Fit", "lloyd", "nearest"]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]
Table = NDArray[np.floating[Any]]

ENGINES = ("auto", "bounds", "full", "line", "exact")
RENEW = 20  # iterations after which sums are made anew: what moves of items round off does not add up
MANY = 0.25  # share of items with another centre, above which new sums are cheaper than changed ones
SAMPLE = 1000  # rows whose median is a point amidst the data
WIDE = 1e10  # data wider, or narrower by as much, are scaled so that squares suit float32
MOST = 120  # the largest exponent of that scale: float32 has no more
PLAIN_S = 6e-6  # seconds of plain Python for an item's feature in an iteration


class _Task(NamedTuple):
    """What an engine is given, in working units."""

    X: Table
    centers: Table
    weights: Floats | None
    fixed: Floats | None
    metric: str
    max_iter: int
    tol: float
    ticker: Ticker | None


def lloyd(X: Any, centers: Table, *, weights: Floats | None = None, metric: str = "euclidean", fixed: Floats | None = None,
          max_iter: int = 300, tol: float = 0.0, engine: str = "auto", ticker: Ticker | None = None) -> Fit:
    """Move centres until they are the means of the items nearest to them.

    Parameters
    ----------
    X : ndarray of float32 or float64, C-contiguous, or canonical csr_array, shape (n, d)
        Finite. Under cosine every row has length 1.
    centers : ndarray, shape (k, d)
        Where to begin. Under cosine of length 1.
    weights : ndarray of float64, shape (n,), optional
        An item of weight w counts as w equal items.
    metric : {"euclidean", "cosine"}
        Cosine is spherical k-means: centres are the directions of the sums of their items.
    fixed : ndarray of float64, shape (k, d), optional
        Coordinates of centres that never move; NaN where free. Under cosine no row's may be longer than 1.
    max_iter : int
    tol : float
        Stop when the squared movements of the centres add up to no more than this. With 0, when no label changes.
    engine : {"auto", "bounds", "full", "line", "exact"}
        For dense rows. "bounds" and "full" find the same labels, "full" by all distances in every iteration. "line" is for
        one feature, and so is "exact", which finds the best of all clusterings wherever it begins.
    ticker : Ticker, optional
        Told after every iteration; may cancel.

    Returns
    -------
    Fit
        Its labels are the nearest of its centres; of two equally near, the one with the smaller index.

    Raises
    ------
    InputError
        For an engine that cannot do the work.

    Notes
    -----
    O(n·k·d) for an iteration at worst; bounds spare most of it, all but a tenth as a rule. A cluster that has lost its
    items gets the item farthest from its centre, unless that is alone in its own. 28 bytes an item beside the data, 8 of
    them bounds; data wider than 1e10 or narrower than 1e-10 are copied, to be scaled by a power of two.

    Sources: Lloyd 1982; Hamerly 2010; Newling & Fleuret 2016; Dhillon & Modha 2001 (on the sphere).

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0, 0.0], [0.0, 2.0], [9.0, 0.0], [9.0, 4.0]])
    >>> fit = lloyd(X, X[1:3])
    >>> fit.centers.tolist(), fit.labels.tolist(), fit.inertia
    ([[0.0, 1.0], [9.0, 2.0]], [0, 0, 1, 1], 10.0)
    """
    if hasattr(X, "indptr"):
        return sparse.lloyd_sparse(X, centers, weights=weights, metric=metric, fixed=fixed, max_iter=max_iter, tol=tol,
                                   ticker=ticker)
    chosen = _choose(engine, X, metric, fixed)
    unit = _unit(X)
    held = None if fixed is None else np.asarray(fixed, np.float64) * unit
    begin = np.asarray(centers, np.float64) * unit
    if held is not None:
        begin = settle(begin, np.ones(len(begin)), begin, held, metric)
    rows = _frozen(X if unit == 1.0 else X * X.dtype.type(unit))
    task = _Task(rows, begin.astype(X.dtype), weights, held, metric, max_iter, tol * unit * unit, ticker)
    with blas.one_thread(), plain_if_cheap(PLAIN_S * X.size * min(max_iter, 10)):
        found, labels, squares, n_iter, converged = _RUNS[chosen](task)
    inertia = float((squares if weights is None else squares * weights).sum()) / unit / unit
    inertia = inertia / 2.0 if metric == "cosine" else inertia
    return Fit(found / X.dtype.type(unit), labels, inertia, n_iter, chosen, converged)


def nearest(X: Any, centers: Table, metric: str = "euclidean",
            ticker: Ticker | None = None) -> tuple[NDArray[np.int32], Floats]:
    """Find the nearest centre of every row.

    Parameters
    ----------
    X : ndarray of float32 or float64, C-contiguous, or canonical csr_array, shape (m, d)
        Finite. Under cosine every row has length 1.
    centers : ndarray of float32 or float64, shape (k, d)
    metric : {"euclidean", "cosine"}
    ticker : Ticker, optional

    Returns
    -------
    labels : ndarray of int32, shape (m,)
        Of two equally near, the smaller index.
    squares : ndarray of float64, shape (m,)
        Squared distances; under cosine 1 - cos.

    Notes
    -----
    O(m·k·d), as products in float32; what these cannot tell apart is decided in float64.

    Examples
    --------
    >>> import numpy as np
    >>> labels, squares = nearest(np.array([[1.0], [8.0]]), np.array([[0.0], [10.0]]))
    >>> labels.tolist(), squares.tolist()
    ([0, 1], [1.0, 4.0])
    """
    if hasattr(X, "indptr"):
        return sparse.nearest_sparse(X, centers, metric, ticker)
    unit = _unit(X)
    points = np.ascontiguousarray(centers, np.result_type(X, centers))
    rows, points = _frozen(X if unit == 1.0 else X * X.dtype.type(unit)), points * points.dtype.type(unit)
    with blas.one_thread(), plain_if_cheap(PLAIN_S * X.size):
        bounds = Bounds(rows, len(points), _middle(rows).astype(points.dtype), keep=False)
        bounds.assign(points, ticker=ticker)
        squares = canonical_squares(rows, points, bounds.labels)
    squares /= unit
    squares /= unit * (2.0 if metric == "cosine" else 1.0)
    return bounds.labels, squares


def _choose(engine: str, X: Table, metric: str, fixed: Floats | None) -> str:
    """The engine to use: one feature is a line; else bounds, which lose nothing where they spare nothing."""
    if engine not in ENGINES:
        raise InputError(f"There is no engine {engine!r}.", f"Choose one of {', '.join(ENGINES)}.")
    if engine in ("line", "exact") and (X.shape[1] != 1 or metric != "euclidean"):
        raise InputError(f"The engine {engine!r} is for one feature and Euclidean distance; the data have {X.shape[1]} "
                         f"features and the metric is {metric!r}.", 'Use engine="auto".')
    if engine == "exact" and fixed is not None:
        raise InputError("The engine 'exact' cannot hold coordinates of centres.", 'Use engine="auto".')
    if engine != "auto":
        return engine
    return "line" if X.shape[1] == 1 and metric == "euclidean" else "bounds"


def _unit(X: Table) -> float:
    """A power of two that brings the data to where squares suit float32; 1 as a rule."""
    if X.size == 0 or 1.0 / WIDE <= float(X.max()) - float(X.min()) <= WIDE:
        return 1.0
    high, low = X.max(axis=0).astype(np.float64), X.min(axis=0).astype(np.float64)
    width = float((high / 2.0 - low / 2.0).max())
    return 1.0 if width == 0.0 or 1.0 / WIDE <= width <= WIDE else 2.0 ** min(-math.frexp(width)[1], MOST)


def _frozen(X: Table) -> Table:
    """A view that cannot be written to: kernels are compiled for one kind of array only."""
    view = X.view()
    view.setflags(write=False)
    return view


def _middle(X: Table) -> Table:
    """A point amidst the data: a mean would follow an outlier far away."""
    return np.median(X[::max(1, len(X) // SAMPLE)], axis=0).astype(X.dtype)


def _run_bounds(task: _Task, keep: bool = True) -> tuple[Table, NDArray[np.int32], Floats, int, bool]:
    """Lloyd's iterations; the labels are always those of the centres returned with them."""
    X, centers, weights = task.X, task.centers, task.weights
    k, origin, least = len(centers), _middle(X), smallest_weight(weights)
    middle = origin.astype(np.float64)
    bounds = Bounds(X, k, origin, keep)
    before, sums, mass = None, np.zeros(centers.shape), np.zeros(k)
    n_iter, converged, renewed = 0, False, 0
    while n_iter < task.max_iter and not converged:
        rows, old = bounds.assign(centers, before)
        n_iter += 1
        if n_iter - renewed >= RENEW or len(rows) == 0 or len(rows) > MANY * len(X):
            sums, mass = sums_of(X, bounds.labels, weights, k, middle)
            renewed = n_iter
        else:
            change_sums(sums, mass, X, rows, old, bounds.labels[rows], weights, middle)
        filled = rows[:0]
        if (mass < 0.5 * least).any():
            mass[mass < 0.5 * least] = 0.0
            squares = canonical_squares(X, centers, bounds.labels)
            filled = refill(X, bounds.labels, squares, sums, mass, centers, weights, task.fixed, task.metric, middle)
            bounds.forget(filled)
        before, centers = centers, _moved(sums, mass, centers, task, middle)
        shift = centers.astype(np.float64) - before
        converged = len(rows) == len(filled) == 0 or float((shift * shift).sum()) <= task.tol
        if task.ticker is not None:
            task.ticker.at(n_iter / task.max_iter)
    if before is None or (before != centers).any():
        bounds.assign(centers, before)
    return centers, bounds.labels, canonical_squares(X, centers, bounds.labels), n_iter, converged


def _moved(sums: Floats, mass: Floats, centers: Table, task: _Task, middle: Floats) -> Table:
    """The new centres in the data's dtype, of sums that are less `middle`."""
    if task.metric == "cosine":
        return settle(sums + mass[:, None] * middle, mass, centers, task.fixed, task.metric).astype(centers.dtype)
    found = settle(sums, mass, centers - middle) + middle
    found[mass <= 0.0] = centers[mass <= 0.0]
    return (found if task.fixed is None else np.where(np.isnan(task.fixed), found, task.fixed)).astype(centers.dtype)


def _run_line(task: _Task, best: bool = False) -> tuple[Table, NDArray[np.int32], Floats, int, bool]:
    return line.lloyd_line(task.X, task.centers, task.weights, task.fixed, task.max_iter, task.tol, best, task.ticker)


_RUNS: dict[str, Callable[[_Task], tuple[Table, NDArray[np.int32], Floats, int, bool]]] = {
    "bounds": _run_bounds, "full": lambda task: _run_bounds(task, keep=False), "line": _run_line,
    "exact": lambda task: _run_line(task, best=True)}
