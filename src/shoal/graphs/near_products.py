"""Nearest neighbours of many features: products of blocks of rows in float32 tell who is not among them.

Every pair of items is looked at once, by a dot product that serves both: each item keeps those with the lowest bounds of
their distance. What is kept is evaluated in float64, which alone decides; and where the last of the nearest is below the
bound of all that is not kept, the list is proved. The few items whose list is not are searched for among all again, every
one evaluated whose bound does not turn it away; so are new items. Where float32 cannot tell neighbours apart, the products
are made again in float64.

The bounds are those of `shoal.trees.products`. Source: Higham 2002, section 3.1 (error of a dot product).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.data.metrics import DOT
from shoal.graphs import neighbors_kernels as kernels
from shoal.runtime import blas, pool
from shoal.runtime.progress import Ticker
from shoal.trees import products
from shoal.trees.forest import index_type
from shoal.trees.merges import Floats, Ints
from shoal.trees.products import LOOSE, QUERIES, SIDE, TASK, VALUES

__all__ = ["nearest_by_products", "peak_bytes", "seconds"]

SPARE = 4  # bounds a list keeps beyond the neighbours sought: at 20,000 x 100 all lists are proved
SAMPLE = 16  # queries that tell whether float32 can tell neighbours apart
BLIND = 0.01  # share of all items that may be evaluated for a query beyond those that come near: as long as its products

Rows = NDArray[np.floating[Any]]


def nearest_by_products(X: Rows, Q: Rows | None, kind: int, who: Ints, far: Floats, ticker: Ticker | None = None) -> None:
    """Fill the rows of `who` and `far`, shape (m, k), with the nearest by (value, item); they are -1 and infinity.

    Parameters
    ----------
    X : ndarray, shape (n, d)
        The items; for kind DOT rows of length 1.
    Q : ndarray, shape (m, d), optional
        New items whose neighbours are sought; by default those of the items themselves.
    kind : int
        SQUARES or DOT, as `shoal.data.metrics` numbers them.
    """
    with blas.one_thread():
        search = _Search(X, Q, kind, np.float32)
        if search.blind(who.shape[1]):
            search = _Search(X, Q, kind, np.float64)
        waiting = search.by_lists(who, far, ticker) if Q is None else np.arange(len(Q))
        search.one_by_one(waiting, who, far, ticker)


class _Search:
    """Items, queries, and the bounds of their values: no value is below worth[0] · bound - worth[1]."""

    def __init__(self, X: Rows, Q: Rows | None, kind: int, dtype: Any) -> None:
        n, d = X.shape
        self.X, self.Q, self.kind, self.own = X, X if Q is None else Q, kind, Q is None
        self.sieve = products.sieve_of(X if Q is None else np.concatenate([X, Q]), dtype)
        self.first = 0 if Q is None else n  # of the queries among the rows of the sieve
        # A bound stands for half of a squared distance. Of rows of length 1 that is 1 - x·y, but for the rounding of
        # either: of d products and their sum, and of the lengths.
        scale = self.sieve.worth / LOOSE
        self.worth = (scale / 2.0, (2 * d + 8) * 1.2e-16) if kind == DOT else (scale, 0.0)

    def blind(self, k: int) -> bool:
        """Whether the bounds leave so much to be evaluated, for a few queries, that finer ones are worth their price."""
        n, m = len(self.X), len(self.Q)
        some = np.arange(0, m, -(-m // SAMPLE))
        who, far = np.full((m, k), -1), np.full((m, k), math.inf)
        seen = self._sift(some, who, far)
        return seen > len(some) * (BLIND * n + 4 * k * (1.0 + math.log(n / k)))

    def by_lists(self, who: Ints, far: Floats, ticker: Ticker | None) -> Ints:
        """Look at every pair once, for both; return the items whose lists are not proved, with room for their nearest."""
        (n, k), index, dtype = who.shape, index_type(len(who)), self.sieve.half.dtype
        listed, low = np.full((n, min(k + SPARE, n)), -1, index), np.full((n, min(k + SPARE, n)), math.inf, dtype)
        products.list_all(self.sieve, listed, low, ticker)
        pool.run(lambda i0, i1: kernels.list_values(self.kind, self.X, listed, i0, i1, who, far),
                 pool.blocks(n, VALUES // (self.X.shape[1] * listed.shape[1] // 4 + 1) + 1))
        beyond = low[:, -1].astype(np.float64) * self.worth[0] - self.worth[1]
        waiting = np.flatnonzero(~(far[:, -1] < beyond))
        far[waiting] = np.nextafter(far[waiting, -1:], math.inf)  # what comes later than the k-th known is not wanted
        who[waiting] = -1
        return waiting

    def one_by_one(self, waiting: Ints, who: Ints, far: Floats, ticker: Ticker | None) -> None:
        """Search for the nearest of some queries among all items."""
        size = max(8, min(QUERIES, TASK // self.X.size))
        tasks = pool.blocks(len(waiting), size)
        if ticker is not None and not self.own:
            ticker.total = len(tasks)
        pool.run(lambda q0, q1: self._sift(waiting[q0:q1], who, far), tasks, None if self.own else ticker)

    def _sift(self, queries: Ints, who: Ints, far: Floats) -> int:
        rows, half, _ = self.sieve
        n, m, at, seen = len(self.X), len(queries), self.first + queries, 0
        mine, bound = rows[at], np.stack([half[at], half[at]])
        for j0, j1 in pool.blocks(n, SIDE * SIDE // m):
            seen += kernels.sift(self.kind, self.Q, self.X, mine @ rows[j0:j1].T, bound, half, self.worth, queries, j0,
                                 self.own, who, far)
        kernels.sort_heaps(who, far, queries)
        return seen


def peak_bytes(n: int, m: int, d: int, k: int) -> int:
    """Peak bytes beside the data and the result: rows in float64 at worst, with new items those of all; the lists."""
    return (n + m if m else n) * (20 * d + 16) + n * (0 if m else 13 * (k + SPARE) + 40)


def seconds(n: int, m: int, d: int, k: int) -> float:
    """Seconds of one thread the work is expected to take; m = 0 for the neighbours of the items themselves."""
    pairs = n * m if m else n * n / 2
    return 0.003 + 2e-6 * k * max(n, m) + pairs * (4e-10 + 1.8e-11 * d)
