"""k-means in the feature space of a kernel, from the matrix of all kernel values alone.

Items move one at a time, each to the cluster that lowers the inertia most (Hartigan & Wong 1979; Telgarsky & Vattani 2010),
instead of all at once to the nearest mean. A move costs two rows of running sums, so a pass in which everything moves
reads the matrix once, as a batch pass does; and it is judged by the exact change, which has three consequences. The end
is a local optimum of the batch algorithm too, and often a better one. No cluster ever empties. And a matrix with negative
eigenvalues needs no repair: adding s to its diagonal makes it a Gram matrix and changes the inertia of every partition by
the same s·(n - k) (Roth, Laub, Kawanabe & Buhmann 2003), so that every single move is judged the same with any s.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.centers.kernelized_kernels import add_rows, move_items
from shoal.errors import InputError
from shoal.runtime import memory, pool
from shoal.runtime.kernel import plain_if_cheap
from shoal.runtime.progress import Ticker

__all__ = ["KernelFit", "cluster_sums", "kernel_kmeans", "seed_items"]

Array = NDArray[np.floating[Any]]
Floats = NDArray[np.float64]
Labels = NDArray[np.int32]

COLUMNS = 1024  # of the sums a task keeps in the second-level cache: 8 KB a cluster
TASK = 20_000_000  # kernel values a task reads, or a slice of moves: 20 to 30 ms
ROUNDING = 1e-11  # of the largest term of a squared distance: a gain below this is none
PLAIN_S = 1e-6  # a step of the loops, in plain Python


class KernelFit(NamedTuple):
    """A local optimum of kernel k-means: no single move lowers the inertia.

    Attributes
    ----------
    labels : ndarray of int32, shape (n,)
    inertia : float
        Σ w·‖φ - m‖², the weighted squared distances to the means in feature space; below 0 where K is not a Gram matrix.
    n_iter : int
        Passes over the items.
    converged : bool
    mass : ndarray, shape (k,)
        Summed weights of every cluster.
    squares : ndarray, shape (k,)
        ‖m_c‖², so that ‖φ(x) - m_c‖² = K(x, x) - 2·Σ_{i in c} w_i·K(x, i) / mass_c + ‖m_c‖².
    """

    labels: Labels
    inertia: float
    n_iter: int
    converged: bool
    mass: Floats
    squares: Floats


def kernel_kmeans(K: Array, k: int, rng: np.random.Generator, *, weights: Floats | None = None, n_init: int = 1,
                  max_iter: int = 300, tol: float = 0.0, ticker: Ticker | None = None) -> KernelFit:
    """Find k clusters of least inertia in the feature space of a kernel.

    Parameters
    ----------
    K : ndarray of float32 or float64, shape (n, n)
        Symmetric kernel values, C-contiguous; only read. Its eigenvalues may have any sign.
    k : int
    rng : numpy.random.Generator
        Draws the seeds.
    weights : ndarray, shape (n,), optional
        At least 0. Items of weight 0 go to the nearest mean at the end.
    n_init : int
        Starts, of which the best counts; they run side by side.
    max_iter : int
        Passes over the items.
    tol : float
        A pass that lowers the inertia by less than this share of it is the last; 0 goes on until no move helps.
    ticker : Ticker, optional
        Asked whether to go on.

    Returns
    -------
    KernelFit

    Raises
    ------
    InputError
        When fewer than k items have a weight above 0.
    TooLargeError
        When k·n sums for every start under way do not fit in memory.

    Notes
    -----
    O(n²) for the first sums, then O(k) to look at an item and O(n) to move it; O(k·n) memory beside K, which is never
    copied. Sums are float64, and taken anew after n moves and at the end. Starts: greedy k-means++ in feature space.

    Sources: Dhillon, Guan & Kulis 2004, doi:10.1145/1014052.1014118 (weights); Telgarsky & Vattani, Hartigan's method:
    k-means clustering without Voronoi, AISTATS 2010; Roth et al. 2003, doi:10.1109/TPAMI.2003.1251147.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([0.0, 0.1, 5.0, 5.1, 9.0])
    >>> found = kernel_kmeans(np.exp(-np.subtract.outer(x, x) ** 2), 3, np.random.default_rng(0))
    >>> sorted(np.bincount(found.labels).tolist()), round(found.inertia, 4)
    ([1, 2, 2], 0.0199)
    """
    n = len(K)
    w = np.ones(n) if weights is None else np.ascontiguousarray(weights, np.float64)
    if (w > 0).sum() < k:
        raise InputError(f"{k} clusters were asked for, and {int((w > 0).sum())} items count.",
                         "Ask for at most as many clusters as there are items with a weight above 0.")
    own = np.ascontiguousarray(K.diagonal(), np.float64)
    seeds = [seed_items(K, k, rng, w) for _ in range(n_init)]
    at_once = min(pool.threads(), n_init)
    memory.require(8.0 * k * n * (at_once + 1), None, f"kernel k-means of {n:,} items in {k:,} clusters")
    best: _Start | None = None
    with plain_if_cheap(PLAIN_S * n * (n + 5 * k) * n_init):
        for first, last in pool.blocks(n_init, at_once):
            group = [_Start(K, w, own, labels, k) for labels in seeds[first:last]]
            _settle(group, max_iter, tol, ticker)
            leader = min(group, key=_Start.inertia)
            best = leader if best is None or leader.inertia() < best.inertia() else best
        assert best is not None
        if best.converged:
            best.take_sums()
            _settle([best], max_iter, tol, ticker)
        labels = best.to_nearest(np.flatnonzero(w == 0))
    return KernelFit(labels, best.inertia(), best.n_iter, best.converged, best.mass,
                     np.asarray(best.inner / best.mass**2))


class _Start:
    """One start: labels, the sums that follow them, and how far it is."""

    def __init__(self, K: Array, w: Floats, own: Floats, labels: Labels, k: int) -> None:
        self.K, self.w, self.own, self.labels, self.k = K, w, own, labels, k
        self.n_iter, self.state = 0, np.zeros(3, np.int64)  # the next item, items that stayed, moves
        self.converged = self.done = False
        self.take_sums()
        self.before = self.inertia()

    def take_sums(self) -> None:
        """Sum anew what the moves have kept up to date, and look at every item once more."""
        k, w, labels = self.k, self.w, self.labels
        self.sums = cluster_sums(self.K, labels, w, k)
        self.mass: Floats = np.bincount(labels, w, minlength=k).astype(np.float64)
        self.count = np.bincount(labels, w > 0, minlength=k).astype(np.int64)
        self.inner = np.bincount(labels, w * self.sums[labels, np.arange(len(w))], minlength=k)
        largest = max(float((np.abs(self.sums).max(axis=1) / self.mass).max()), float(np.abs(self.own).max()))
        self.least, self.fresh = ROUNDING * largest, int(self.state[2])
        self.state[1], self.done = 0, False

    def inertia(self) -> float:
        """Σ w·K_ii - Σ inner_c / mass_c."""
        return math.fsum((self.w * self.own).tolist()) - math.fsum((self.inner / self.mass).tolist())

    def advance(self, max_iter: int, tol: float) -> None:
        """Look at the next items, for some 30 ms at most; at the end of a pass, say whether it was the last."""
        n, state = len(self.w), self.state
        move_items(self.K, self.w, self.own, self.labels, self.sums, self.mass, self.count, self.inner, state,
                   min(n - int(state[0]), max(1, TASK // (2 * self.k))), max(1, TASK // (2 * n)), self.least)
        self.converged = bool(state[1] >= n)
        if state[0] == 0 or self.converged:
            self.n_iter += 1
            now = self.inertia()
            little = tol > 0 and self.before - now <= tol * abs(now)
            self.before, self.done = now, self.converged or little or self.n_iter >= max_iter

    @property
    def stale(self) -> bool:
        """Whether more rows were added to the sums since they were taken than taking them anew adds."""
        return int(self.state[2]) - self.fresh > len(self.w)

    def to_nearest(self, items: NDArray[np.intp]) -> Labels:
        """Give items that do not count the label of the nearest mean."""
        far = self.inner / self.mass**2
        distances = far[:, None] - 2.0 * self.sums[:, items] / self.mass[:, None]
        self.labels[items] = distances.argmin(axis=0)
        return self.labels


def _settle(starts: list[_Start], max_iter: int, tol: float, ticker: Ticker | None) -> None:
    """Move items in all starts side by side, a slice of each at a time, until none has more to do."""
    while starts:
        pool.run(_Start.advance, [(start, max_iter, tol) for start in starts])
        starts = [start for start in starts if not start.done]
        for start in starts:
            if start.stale:
                start.take_sums()
        if ticker is not None:
            ticker.step(0)


def cluster_sums(K: Array, labels: NDArray[np.integer[Any]], weights: Floats, k: int) -> Floats:
    """Return S[c, i] = Σ_{j in c} w_j·K_ij, shape (k, n), summed in float64 in the order of the items.

    Parameters
    ----------
    K : ndarray, shape (n, n)
    labels : ndarray of int, shape (n,)
    weights : ndarray, shape (n,)
    k : int

    Returns
    -------
    ndarray of float64, shape (k, n)

    Notes
    -----
    O(n²): K is read once, in blocks of columns, which are tasks.

    Examples
    --------
    >>> import numpy as np
    >>> cluster_sums(np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([0, 0]), np.ones(2), 1).tolist()
    [[3.0, 4.0]]
    """
    n = len(K)
    S = np.zeros((k, n))
    order = np.argsort(labels, kind="stable")  # one row of the sums stays in the first-level cache
    order = order[weights[order] > 0]
    width = max(64, min(COLUMNS, TASK // n))
    pool.run(lambda c0, c1: add_rows(K, order, labels[order], weights[order], c0, c1, S), pool.blocks(n, width))
    return S


def seed_items(K: Array, k: int, rng: np.random.Generator, weights: Floats) -> Labels:
    """Return every item's nearest of k seeds, drawn by greedy k-means++ in feature space; every seed has its own cluster.

    Parameters
    ----------
    K : ndarray, shape (n, n)
    k : int
        At most the number of items with a weight above 0.
    rng : numpy.random.Generator
    weights : ndarray, shape (n,)

    Returns
    -------
    ndarray of int32, shape (n,)

    Notes
    -----
    O(k·log k) rows of K. A candidate is drawn with probability w·d² to the nearest seed; of 2 + ⌊ln k⌋ the one that lowers
    Σ w·d² most is taken (Arthur & Vassilvitskii 2007). Squares below 0, which only an indefinite K has, count as 0.

    Examples
    --------
    >>> import numpy as np
    >>> seed_items(np.eye(3), 3, np.random.default_rng(0), np.ones(3)).tolist()
    [1, 0, 2]
    """
    n, trials = len(K), 2 + int(math.log(k))
    own = np.asarray(K.diagonal(), np.float64)
    labels, nearest = np.zeros(n, np.int32), np.full(n, np.inf)
    seeds: list[int] = []
    for c in range(k):
        mass = np.cumsum(weights if c == 0 else weights * nearest)
        if mass[-1] > 0:
            drawn = np.searchsorted(mass, rng.random(trials if c else 1) * mass[-1], side="right")
            drawn = np.minimum(drawn, np.searchsorted(mass, mass[-1]))  # the last that can be drawn at all
        else:  # all others coincide with a seed: any item that counts
            drawn = np.setdiff1d(np.flatnonzero(weights > 0), seeds)[:1]
        squares = np.maximum(own + own[drawn, None] - 2.0 * K[drawn].astype(np.float64), 0.0)
        lower = np.minimum(squares, nearest)
        best = int((lower * weights).sum(axis=1).argmin())
        labels[squares[best] < nearest] = c
        nearest = lower[best]
        seeds.append(int(drawn[best]))
    labels[seeds] = np.arange(k)
    return labels
