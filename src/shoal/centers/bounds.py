"""The nearest centre of every item while the centres move: bounds by the triangle inequality, and products for the rest.

Every item keeps an upper bound of the distance to its centre and a lower one of that to any other (Hamerly 2010). Moves of
the centres loosen them; an item whose bounds stay apart, or that is within half the distance of its centre to the next one,
keeps its centre unseen. The others are grouped by their centre. A centre's items are within its radius, so that only
centres within twice the radius matter: an item's search, and the loosening of its lower bound, are confined to them
(Exponion, Newling & Fleuret 2016, for whole groups). A group is searched by one product of its items with its centres, less
the common centre, in float32; what float32 cannot tell apart is decided in float64 by one formula.

So the labels are those of plain search, the smaller index where two centres are equally near, and depend on neither the
bounds nor blocks nor threads.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.centers import bounds_kernels as kernels
from shoal.runtime import pool
from shoal.runtime.progress import Ticker

__all__ = ["Bounds", "canonical_squares"]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

ROWS = 1 << 15  # items of a block of the sieve: 0.1 ms
CHUNK = 256  # most items of one product, and
PRODUCT = 1 << 29  # most multiplications: 10 ms
WORK = 1 << 26  # multiplications of a task, overheads counted alike: 1 ms
AROUND = 1 << 17  # values of a task over pairs of centres
LISTED = 256  # most centres of a list, and
SHARE = 0.5  # most of all centres: beyond, to make the list's products ready costs more than the others spare


class Bounds:
    """Labels of the rows of X, carried from one set of centres to the next.

    Parameters
    ----------
    X : ndarray of float32 or float64, shape (n, d)
        Values whose squares float32 holds.
    k : int
        Number of centres.
    origin : ndarray, shape (d,)
        A point amidst the data, in their dtype.
    keep : bool
        Whether bounds are used; else every call searches all items.
    """

    def __init__(self, X: NDArray[np.floating[Any]], k: int, origin: NDArray[np.floating[Any]], keep: bool = True) -> None:
        n, d = X.shape
        index = np.int32 if n < 2**31 else np.int64
        self.origin, self.keep, self.labels = origin, keep, np.full(n, -1, np.int32)
        self._items = kernels.Items(X, self.labels, np.tile(np.array([np.inf, 0.0], np.float32), (n, 1)))
        near = np.empty((k, max(1, min(LISTED, int(SHARE * k)))), np.int32)
        self._around = kernels.Around(near, np.full(k, -1, np.int32), np.full(k, np.inf), np.zeros((k, 4), np.float32))
        self._radius = np.zeros(k)
        self._rows: Ints = np.empty(n, index)
        self._grouped: Ints = np.empty(n, index)
        self._gamma = (d + 6) * 2.0**-24 * 1.01

    def assign(self, centers: NDArray[np.floating[Any]], before: NDArray[np.floating[Any]] | None = None,
               ticker: Ticker | None = None) -> tuple[Ints, Ints]:
        """Give every item its nearest centre.

        Parameters
        ----------
        centers : ndarray, shape (k, d)
            In the dtype of X.
        before : ndarray, shape (k, d), optional
            The centres of the call before; None at the first call.
        ticker : Ticker, optional
            Told of the parts of this call.

        Returns
        -------
        rows, old : ndarray of int
            The items that have another centre now, and the one they had, -1 for none.
        """
        k, d = centers.shape
        if before is None or not self.keep:
            self._grouped[:] = np.arange(len(self.labels))
            begin = np.append(np.zeros(k + 1, np.int64), len(self.labels))
        else:
            begin = self._sift(centers, before)
        start, stop, group = _chunks(begin, max(1, min(CHUNK, PRODUCT // (k * d))))
        chunks = kernels.Chunks(start, stop, group, self._grouped, self._rows, np.zeros(len(start), np.int64))
        points, lists = self._points(centers), np.append(np.maximum(self._around.count, 0), k)
        tasks = _shares((stop - start + 32) * (lists[group] + 8) * (d + 16))
        if ticker is not None:
            ticker.total = len(tasks)
        pool.run(lambda c0, c1: kernels.search(self._items, points, self._around, chunks, self._gamma, c0, c1), tasks,
                 ticker)
        m = kernels.compact(self._items, chunks, self._radius)
        return self._grouped[:m], self._rows[:m]

    def forget(self, rows: Ints) -> None:
        """Drop what is known of some items, whose labels were changed from outside."""
        self._items.bounds[rows] = np.inf, 0.0
        self._radius[self.labels[rows]] = np.inf

    def _sift(self, centers: NDArray[np.floating[Any]], before: NDArray[np.floating[Any]]) -> Ints:
        """List the items whose bounds do not settle them, by groups; return where each begins."""
        drift = np.sqrt(((centers.astype(np.float64) - before) ** 2).sum(axis=1))
        self._radius += drift
        CT, n, k = np.ascontiguousarray(centers.T, np.float64), len(self.labels), len(centers)
        pool.run(lambda a0, a1: kernels.neighbourhoods(CT, drift, self._radius, a0, a1, self._around),
                 pool.blocks(k, max(1, AROUND // CT.size)))
        (_, count, _, moves), (_, labels, bounds) = self._around, self._items
        parts = pool.blocks(n, ROWS)
        found, sizes = np.zeros(len(parts), np.int64), np.zeros((len(parts), k + 1), np.int64)
        radii, unsigned = np.zeros((len(parts), k), np.float32), labels.view(np.uint32)

        def sieve(b: int, i0: int, i1: int) -> None:
            m = kernels.sieve(unsigned, bounds, moves, i0, i1, self._rows, radii[b])
            found[b] = kernels.sift(self._items, centers, moves, count, self._gamma, i0, m, self._rows, sizes[b])

        pool.run(sieve, [(b, *part) for b, part in enumerate(parts)])
        self._radius = radii.max(axis=0).astype(np.float64)
        begin = np.append(0, np.cumsum(sizes.sum(axis=0)))
        at = begin[:-1] + np.cumsum(sizes, axis=0) - sizes
        pool.run(lambda b, i0: kernels.place(labels, count, self._rows, i0, i0 + found[b], at[b], self._grouped),
                 [(b, i0) for b, (i0, _) in enumerate(parts)])
        return begin

    def _points(self, centers: NDArray[np.floating[Any]]) -> kernels.Points:
        """The centres, also less the origin, with half their squares, filled up to fours."""
        k, d = centers.shape
        filled = -(-k // 4) * 4
        shifted, halves = np.zeros((filled, d), np.float32), np.full(filled, np.inf, np.float32)
        exact = centers.astype(np.float64) - self.origin
        shifted[:k], halves[:k] = exact, 0.5 * (exact * exact).sum(axis=1)
        return kernels.Points(centers, self.origin, shifted, halves, np.arange(k, dtype=np.int32))


def canonical_squares(X: NDArray[np.floating[Any]], centers: NDArray[np.floating[Any]], labels: Ints) -> Floats:
    """Squared distance of every row to its centre, in float64, features in their order."""
    squares = np.empty(len(X))
    pool.run(lambda i0, i1: kernels.canonical_squares(X, centers, labels, i0, i1, squares),
             pool.blocks(len(X), max(1, (1 << 21) // X.shape[1])))
    return squares


def _chunks(begin: Ints, size: int) -> tuple[Ints, Ints, Ints]:
    """Cut groups that begin at `begin` into chunks of `size`: first place, end, and the group."""
    per = -(-np.diff(begin) // size)
    groups = np.repeat(np.arange(len(per)), per)
    starts = begin[groups] + (np.arange(len(groups)) - np.repeat(np.cumsum(per) - per, per)) * size
    return starts, np.minimum(starts + size, begin[groups + 1]), groups


def _shares(costs: Ints) -> list[tuple[int, int]]:
    """Cut a list of costs into runs of about `WORK`."""
    share = np.cumsum(costs) // WORK
    cuts = np.flatnonzero(np.diff(share)) + 1
    return [(a, b) for a, b in pairwise([0, *cuts.tolist(), len(costs)]) if b > a]
