"""Bisecting k-means: the worst cluster is split in two by k-means until there are k, which makes a tree of the clusters."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.centers.lloyd import lloyd, nearest
from shoal.centers.seeding import seed
from shoal.centers.update import Fit
from shoal.errors import InputError
from shoal.runtime.progress import Ticker
from shoal.trees.merges import Merges, canonical

__all__ = ["STRATEGIES", "Bisection", "bisect", "descend", "merges_of"]

Floats = NDArray[np.float64]

STRATEGIES = ("biggest_inertia", "largest_cluster")


class Bisection(NamedTuple):
    """A tree of splits over k clusters, numbered by their first item in the data.

    Attributes
    ----------
    labels : ndarray of int32, shape (n,)
    centers : ndarray, shape (k, d)
    inertia : ndarray of float64, shape (k,)
        Of every cluster.
    children : ndarray of int64, shape (k - 1, 2)
        The two sides of every split, the root first: another split where it is 0 or more, else ``-1 - cluster``.
    pairs : ndarray, shape (k - 1, 2, d)
        Their centres: a new item goes to the nearer one.
    height : ndarray of float64, shape (k - 1,)
        Of every split, as in Ward's linkage: √(2·what the inertia fell by).
    n_iter : int
        The most iterations of a split.
    """

    labels: NDArray[np.int32]
    centers: Any
    inertia: Floats
    children: NDArray[np.int64]
    pairs: Any
    height: Floats
    n_iter: int


class _Part(NamedTuple):
    """A cluster that may be split."""

    rows: NDArray[np.int64]
    center: Any
    inertia: float
    place: tuple[int, int] | None  # split and side that made it


def bisect(X: Any, k: int, rng: np.random.Generator, *, init: Any = "k-means++", runs: int = 1,
           weights: Floats | None = None, metric: str = "euclidean", max_iter: int = 300, tol: float = 0.0,
           strategy: str = "biggest_inertia", ticker: Ticker | None = None) -> Bisection:
    """Split the data in two by k-means, then the worst part, until there are k.

    Parameters
    ----------
    X : ndarray or csr_array, shape (n, d)
        Rows of length 1 under cosine.
    k : int
        Clusters wanted; fewer are made where the data has fewer distinct items.
    rng : Generator
    init : str or callable
        As in `shoal.centers.seeding.seed`.
    runs : int
        Starts of every split, the best of which is taken.
    weights, metric, max_iter, tol, ticker
        As in `shoal.centers.lloyd.lloyd`.
    strategy : {"biggest_inertia", "largest_cluster"}
        Which cluster is the worst.

    Returns
    -------
    Bisection

    Notes
    -----
    O(n·d·depth) an iteration, O(n·d) memory. Source: Steinbach, Karypis & Kumar, A comparison of document clustering
    techniques, KDD Workshop on Text Mining, 2000.

    Examples
    --------
    >>> import numpy as np
    >>> found = bisect(np.array([[0.0], [1.0], [8.0], [9.0], [30.0]]), 3, np.random.default_rng(0))
    >>> found.labels.tolist(), found.height.round(1).tolist()
    ([0, 0, 1, 1, 2], [32.3, 11.3])
    """
    everyone = np.arange(X.shape[0])
    center, inertia = _whole(X, weights, metric)
    parts, gains = [_Part(everyone, center, inertia, None)], list[float]()
    children, pairs, n_iter = np.empty((k - 1, 2), np.int64), np.empty((k - 1, 2, X.shape[1]), X.dtype), 0
    closed: list[_Part] = []
    while parts and len(parts) + len(closed) < k:
        size = [part.inertia if strategy == "biggest_inertia" else len(part.rows) for part in parts]
        part = parts.pop(int(np.argmax(size)))
        own = None if weights is None else weights[part.rows]
        fit = _halves(X[part.rows], rng, init, runs, own, metric, max_iter, tol, ticker)
        if fit is None:
            closed.append(part)
            continue
        split = len(gains)
        if part.place is not None:
            children[part.place] = split
        costs = _inertias(X[part.rows], fit, own, metric)
        gains.append(max(0.0, part.inertia - math.fsum(costs)))
        pairs[split], n_iter = fit.centers, max(n_iter, fit.n_iter)
        parts += [_Part(part.rows[fit.labels == side], fit.centers[side], costs[side], (split, side)) for side in (0, 1)]
        if ticker is not None:
            ticker.at(len(gains) / (k - 1))
    return _numbered(parts + closed, gains, children, pairs, n_iter, X.shape[0])


def _whole(X: Any, weights: Floats | None, metric: str) -> tuple[Any, float]:
    """Return the centre of all rows and their inertia."""
    mass = np.ones(X.shape[0]) if weights is None else weights
    center = np.asarray((mass / mass.sum()) @ X, np.float64).reshape(1, -1)
    if metric == "cosine":
        center /= np.sqrt((center * center).sum()) or 1.0
    center = center.astype(X.dtype)
    return center[0], float(mass @ nearest(X, center, metric)[1])


def _halves(X: Any, rng: np.random.Generator, init: Any, runs: int, weights: Floats | None, metric: str, max_iter: int,
            tol: float, ticker: Ticker | None) -> Fit | None:
    """Return the best of some runs of k-means with two centres; None where all rows are the same."""
    best: Fit | None = None
    for _ in range(runs):
        try:
            start = seed(X, 2, rng, init=init, weights=weights, metric=metric).centers
        except InputError:
            if X.shape[0] == 1 or not _differ(X):
                return None
            raise
        fit = lloyd(X, start, weights=weights, metric=metric, max_iter=max_iter, tol=tol, ticker=ticker)
        if best is None or fit.inertia < best.inertia:
            best = fit
    return best


def _differ(X: Any) -> bool:
    """Whether there are two different rows."""
    first = X[[0]]
    return bool(abs(X - first).max() > 0) if isinstance(X, np.ndarray) else bool(
        abs(X - first[np.zeros(X.shape[0], np.int64)]).max() > 0)


def _inertias(X: Any, fit: Fit, weights: Floats | None, metric: str) -> list[float]:
    """Return the inertia of either half."""
    squares = nearest(X, fit.centers, metric)[1]
    sums = np.bincount(fit.labels, squares if weights is None else squares * weights, minlength=2)
    return [float(value) for value in sums]


def _numbered(parts: list[_Part], gains: list[float], children: NDArray[np.int64], pairs: Any, n_iter: int,
              n: int) -> Bisection:
    """Number the clusters by their first item, and put all together."""
    parts = sorted(parts, key=lambda part: int(part.rows[0]))
    labels, splits = np.empty(n, np.int32), len(gains)
    for cluster, part in enumerate(parts):
        labels[part.rows] = cluster
        if part.place is not None:
            children[part.place] = -1 - cluster
    return Bisection(labels, np.array([part.center for part in parts]), np.array([part.inertia for part in parts]),
                     children[:splits], pairs[:splits], np.sqrt(2.0 * np.array(gains)), n_iter)


def merges_of(children: NDArray[np.int64], height: Floats) -> Merges:
    """Turn splits into the tree of their clusters.

    Parameters
    ----------
    children, height
        Of a `Bisection`.

    Returns
    -------
    Merges
        Of the k clusters. The heights of a tree do not fall from child to parent, so a split is raised to the height of
        a later one below it that was higher: k-means found there what it had missed before.

    Examples
    --------
    >>> import numpy as np
    >>> merges_of(np.array([[1, -1], [-2, -3]]), np.array([2.0, 3.0])).height.tolist()
    [3.0, 3.0]
    """
    splits = len(children)
    height, member = np.array(height, np.float64), np.empty((splits, 2), np.int64)  # a cluster on either side
    for split in range(splits - 1, -1, -1):  # a child comes after its parent
        for side in (0, 1):
            child = int(children[split, side])
            member[split, side] = -1 - child if child < 0 else member[child, 0]
            if child >= 0:
                height[split] = max(height[split], height[child])
    order = np.lexsort((-np.arange(splits), height))
    return canonical(member[order, 0], member[order, 1], height[order])


def descend(X: Any, children: NDArray[np.int64], pairs: Any, metric: str = "euclidean") -> NDArray[np.int32]:
    """Take new items down the splits, each to the nearer side.

    Parameters
    ----------
    X : ndarray or csr_array, shape (m, d)
        Rows of length 1 under cosine.
    children, pairs
        Of a `Bisection`.
    metric : {"euclidean", "cosine"}

    Returns
    -------
    ndarray of int32, shape (m,)
        Their clusters: O(m·d·depth).
    """
    at = np.full(X.shape[0], 0 if len(children) else -1, np.int64)
    for split in range(len(children)):  # a child comes after its parent
        rows = np.flatnonzero(at == split)
        if len(rows):
            at[rows] = children[split][nearest(X[rows], pairs[split], metric)[0]]
    return (-1 - at).astype(np.int32)
