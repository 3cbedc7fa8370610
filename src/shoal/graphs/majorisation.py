"""Coordinates of least stress: majorisation of all items (SMACOF), by distances or by their order, and of new ones."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.data.metrics import resolve_metric
from shoal.graphs.embedding import squares_product
from shoal.runtime import memory, pool
from shoal.runtime.kernel import kernel, plain_if_cheap
from shoal.runtime.progress import Ticker

__all__ = ["Majorised", "Monotone", "majorise", "place_by_stress"]

Array = NDArray[np.floating[Any]]
Floats = NDArray[np.float64]

PAIRS = 1 << 22  # distances a task takes: 10 to 20 ms
COLUMNS = 512  # items side by side in it: their scratch rows stay in the first-level cache
BLOCK = 1 << 21  # distances of new items at a time: 16 MB
PLAIN_S = 2e-6  # a pair, in plain Python
TINY = 1e-100  # for a distance of 0 between two items in the embedding, where every direction is as good


class Monotone(NamedTuple):
    """An increasing function of distances: linear between its knots, constant beyond."""

    given: Floats
    fitted: Floats


class Majorised(NamedTuple):
    """A local optimum of stress.

    Attributes
    ----------
    coordinates : ndarray, shape (n, p)
    raw : float
        Σ w_i·w_j·(δ - d)² over the pairs, of the coordinates before the last step at their best scale.
    n_iter : int
    converged : bool
    shape : Monotone or None
        From distances to disparities, where only the order of distances counts.
    """

    coordinates: Floats
    raw: float
    n_iter: int
    converged: bool
    shape: Monotone | None


@kernel
def guttman(D: Any, XT: Any, w: Any, i0: int, i1: int, out: Any, error: Any) -> None:
    """out[:, i] = Σ_j w_j·δ_ij / d_ij·(x_i - x_j) and error[i] = Σ_j w_j·(δ_ij - d_ij)², for the items i0 … i1."""
    p, n = XT.shape
    m = i1 - i0
    d, e = np.empty(m), error[i0:i1]
    for t in range(m):
        e[t] = 0.0
    for f in range(p):
        for t in range(i0, i1):
            out[f, t] = 0.0
    for j in range(n):
        row, v = D[j, i0:i1], w[j]  # symmetric: the items of the block side by side
        for t in range(m):
            d[t] = 0.0
        for f in range(p):
            x, a = XT[f, i0:i1], XT[f, j]
            for t in range(m):
                d[t] += (x[t] - a) * (x[t] - a)
        own = e[j - i0] if i0 <= j < i1 else 0.0
        for t in range(m):
            r, delta = math.sqrt(d[t]), np.float64(row[t])
            e[t] += v * (delta - r) * (delta - r)
            d[t] = v * np.divide(delta, max(r, TINY))
        if i0 <= j < i1:
            e[j - i0] = own  # an item with itself does not count, whatever stands on the diagonal
        for f in range(p):
            x, a, s = XT[f, i0:i1], XT[f, j], out[f, i0:i1]
            for t in range(m):
                s[t] += d[t] * (x[t] - a)


def majorise(D: Array, start: Floats, *, weights: Floats | None = None, monotone: bool = False, max_iter: int = 300,
             tol: float = 1e-6, ticker: Ticker | None = None) -> Majorised:
    """Move items until their distances follow given ones, or the order of these: SMACOF.

    Parameters
    ----------
    D : ndarray of float32 or float64, shape (n, n)
        Symmetric distances; only read.
    start : ndarray, shape (n, p)
    weights : ndarray, shape (n,), optional
        Of the items, at least 0; a pair weighs the product of its two.
    monotone : bool
        Only the order of the distances counts: they are replaced by the increasing function of them that is nearest to the
        distances in the embedding, equal ones staying equal, and of mean square 1.
    max_iter : int
    tol : float
        A step that lowers the raw stress by less than this share of Σ w·δ² is the last.
    ticker : Ticker, optional
        Told after each step.

    Returns
    -------
    Majorised

    Raises
    ------
    TooLargeError
        With `monotone`, when the pairs, their order and disparities do not fit in memory.

    Notes
    -----
    A step is a Guttman transform, Σ_j w_j·δ_ij / d_ij·(x_i - x_j) / Σw, which never raises the stress: O(n²·p) time and
    O(n·p) memory beside D. Steps of twice the length from the best scale, c·X with c = Σδd / Σd², never do either, and halve
    their number; the last is single. With `monotone` all are, and each fits the disparities anew: O(n²) memory.

    Sources: de Leeuw & Mair 2009, doi:10.18637/jss.v031.i03; de Leeuw & Heiser 1980 (steps of twice the length); Kruskal
    1964, doi:10.1007/BF02289694 (monotone).

    Examples
    --------
    >>> import numpy as np
    >>> D = np.array([[0.0, 3.0, 5.0], [3.0, 0.0, 4.0], [5.0, 4.0, 0.0]])
    >>> found = majorise(D, np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), tol=1e-12)
    >>> np.linalg.norm(found.coordinates[0] - found.coordinates[2]).round(4)
    np.float64(5.0)
    """
    n, p = start.shape
    w = np.ones(n) if weights is None else weights
    fit = _Order(D, w) if monotone and n > 1 else None
    mass, before, converged, turn = float(w.sum()), math.inf, False, 0
    XT, new, error = np.ascontiguousarray((start - w @ start / mass).T, np.float64), np.empty((p, n)), np.empty(n)
    with plain_if_cheap(PLAIN_S * n * n * max_iter):
        size = float(w @ squares_product(D)(w[:, None])[:, 0]) / 2.0 if fit is None else float(fit.mass.sum())
        for turn in range(1, max_iter + 1):
            _transform(D if fit is None else fit.disparities(XT.T), XT, w, new, error)
            new /= mass
            spread = float((w * XT * XT).sum())
            scale = float((w * XT * new).sum()) / spread if spread > 0 else 1.0
            raw = float(w @ error) / 2.0 - mass * spread * (1.0 - scale) ** 2
            converged = before - raw <= tol * size
            if converged or turn == max_iter:
                break
            before = raw
            XT = 2.0 * new - scale * XT if fit is None else new.copy()
            if ticker is not None:
                ticker.step()
    return Majorised(np.ascontiguousarray(new.T), raw, turn, converged, None if fit is None else fit.shape())


def _transform(target: Array, XT: Floats, w: Floats, new: Floats, error: Floats) -> None:
    """Run `guttman` over all items, a block of them a task."""
    n = len(target)
    pool.run(lambda i0, i1: guttman(target, XT, w, i0, i1, new, error), pool.blocks(n, max(8, min(COLUMNS, PAIRS // n))))


class _Order:
    """The pairs in the order of their distances, and the increasing function of these nearest to other distances."""

    def __init__(self, D: Array, w: Floats) -> None:
        n = len(D)
        memory.require(48.0 * n * n, None, f"the order of the distances of {n:,} items",
                       "Use method='smacof', which keeps the distances themselves.")
        above = np.triu_indices(n, 1)
        delta, v = D[above].astype(np.float64), (w[:, None] * w)[above]
        self.order = np.argsort(delta, kind="stable")
        delta, self.v = delta[self.order], v[self.order]
        self.starts = np.flatnonzero(np.concatenate([[True], delta[1:] != delta[:-1]]))
        self.given, self.mass = delta[self.starts], np.add.reduceat(self.v, self.starts)
        self.counts = np.diff(self.starts, append=len(delta))
        self.fitted = self.given

    def disparities(self, X: Floats) -> Floats:
        """Return them as a square, scaled to a weighted mean square of 1."""
        from scipy.optimize import isotonic_regression
        from scipy.spatial.distance import squareform

        d = resolve_metric("euclidean", X).condensed(np.ascontiguousarray(X))[self.order]
        share = np.where(self.mass > 0, self.mass, 1e-300)  # pairs of weight 0 take what their neighbours have
        means = np.add.reduceat(self.v * d, self.starts) / share
        self.fitted = isotonic_regression(means, weights=share).x
        size = math.sqrt(float(self.mass @ np.square(self.fitted)) / float(self.mass.sum()))
        self.fitted = self.fitted / size if size > 0 else np.ones(len(self.fitted))
        out = np.empty(len(d))
        out[self.order] = np.repeat(self.fitted, self.counts)
        return np.asarray(squareform(out))

    def shape(self) -> Monotone:
        """The ends of every constant stretch."""
        edge = self.fitted[1:] != self.fitted[:-1]
        kept = np.concatenate([[True], edge]) | np.concatenate([edge, [True]])
        return Monotone(self.given[kept], self.fitted[kept])


def place_by_stress(rows: Floats, X: Floats, *, weights: Floats | None = None, max_iter: int = 300,
                    tol: float = 1e-6) -> Floats:
    """Place new items, each at a local optimum of its own stress to items that stay where they are.

    Parameters
    ----------
    rows : ndarray, shape (m, n)
        Distances of the new items to the old.
    X : ndarray, shape (n, p)
    weights : ndarray, shape (n,), optional
    max_iter : int
    tol : float
        Ends where no coordinate changes by more than this share of the old items' spread.

    Returns
    -------
    ndarray, shape (m, p)

    Notes
    -----
    Majorisation of one item: x ← Σ_j w_j·(x_j + δ_j / d_j·(x - x_j)) / Σw, from the nearest old item. An old item given
    again stays where it is once the old ones are a local optimum. O(m·n·p) a step.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 3.0]])
    >>> place_by_stress(np.array([[5.0, 3.0, 4.0]]), X, max_iter=1000, tol=1e-9).round(3).tolist()
    [[4.0, 3.0]]
    """
    w = np.ones(len(X)) if weights is None else weights
    share, spread = w / w.sum(), float(np.ptp(X, axis=0).max(initial=0.0))
    middle, between = share @ X, resolve_metric("euclidean", X).between
    found = np.array(X[rows.argmin(axis=1)], np.float64)
    for start, stop in pool.blocks(len(rows), max(1, BLOCK // max(1, len(X)))):
        moving = np.arange(start, stop)  # each item ends by itself: its place does not depend on the others
        for _ in range(max_iter):
            x = found[moving]
            d = between(x, X)
            ratio = np.where(d > 0, rows[moving] / np.where(d > 0, d, 1.0), 0.0) * share
            found[moving] = middle + x * ratio.sum(axis=1, keepdims=True) - ratio @ X
            moving = moving[np.abs(found[moving] - x).max(axis=1) > tol * spread]
            if not len(moving):
                break
    return found
