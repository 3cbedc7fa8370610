"""Nearest neighbours of few features: walks over a kd-tree, each shared by queries that are near one another.

Source: Friedman, Bentley & Finkel 1977, doi:10.1145/355744.355745.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.graphs import neighbors_kernels as kernels
from shoal.runtime import pool
from shoal.runtime.progress import Ticker
from shoal.trees import kdtree
from shoal.trees.merges import Floats, Ints

__all__ = ["Boxes", "peak_bytes", "seconds"]

LEAF, MORE_FEATURES = 64, 8  # points of a leaf; from 8 features on twice as many: a fifth less time at 100,000 x 10
TASK_S = 0.01
WORTH_A_LOOK = 0.5  # seconds of a search from which a few walks are tried first
QUERY_S, LEAF_S, VALUE_S = 1e-7, 6e-8, 1.6e-10  # of a neighbour, a leaf, and a coordinate looked at, on one thread
SAMPLE = 8, 4  # leaves, and queries of each, that tell what a search will take
ROUTED = 1 << 12  # new items a task finds the leaves of


class Boxes:
    """A kd-tree over items, and the walks over it.

    Parameters
    ----------
    X : ndarray, shape (n, d)
        The items.
    Q : ndarray, shape (m, d), optional
        New items whose neighbours are sought; by default those of the items themselves.
    kind : int
        Squared Euclidean, city block or Chebyshev, as `shoal.data.metrics` numbers them.
    k : int
        Neighbours sought.
    """

    def __init__(self, X: NDArray[np.floating[Any]], Q: NDArray[np.floating[Any]] | None, kind: int, k: int) -> None:
        T = self.T = kdtree.build(X, LEAF if X.shape[1] < MORE_FEATURES else 2 * LEAF)
        self.kind, self.own, self.Q = kind, Q is None, X if Q is None else Q
        self.least = np.empty(len(T.low), np.int64)
        kernels.least_items(T.order, T.start, T.stop, self.least)
        first = T.leaves - 1
        if Q is None:
            self.row, self.bounds = T.order, np.append(T.start[first:first + T.leaves], len(X))
        else:
            home = np.empty(len(Q), np.int64)
            pool.run(lambda q0, q1: kernels.home_leaves(kind, T.low, T.high, Q, q0, q1, home), pool.blocks(len(Q), ROUTED))
            self.row = np.argsort(home, kind="stable")
            self.bounds = np.append(np.searchsorted(home[self.row], np.arange(first, first + T.leaves)), len(Q))
        self.query_s = self._sampled(k) if seconds(len(X), len(self.Q), X.shape[1], k) > WORTH_A_LOOK else TASK_S / LEAF

    @property
    def seconds(self) -> float:
        """Seconds of one thread the search is expected to take, as a few queries tell."""
        return len(self.Q) * self.query_s

    def search(self, who: Ints, far: Floats, ticker: Ticker | None = None) -> None:
        """Fill the rows of `who` and `far`, shape (m, k), with the nearest by (value, item); they are -1 and infinity."""
        lanes = max(4, min(self.T.block.shape[2], int(TASK_S / self.query_s)))
        begin, home = self._groups(lanes)
        tasks = pool.blocks(len(home), max(1, int(TASK_S / self.query_s / lanes)))
        if ticker is not None:
            ticker.total = len(tasks)
        pool.run(lambda g0, g1: self._walk(self.row, begin, home, g0, g1, who, far), tasks, ticker)

    def _groups(self, lanes: int) -> tuple[Ints, Ints]:
        """Queries that begin at the same leaf, at most `lanes` of them: where each group begins, and its leaf."""
        size = np.diff(self.bounds)
        count = -(-size // lanes)
        leaf = np.repeat(np.arange(len(size)), count)
        place = np.arange(len(leaf)) - np.repeat(np.cumsum(count) - count, count)
        return np.append(self.bounds[leaf] + lanes * place, len(self.row)), leaf + self.T.leaves - 1

    def _walk(self, row: Ints, begin: Ints, home: Ints, g0: int, g1: int, who: Ints, far: Floats) -> int:
        return int(kernels.nearest_in_boxes(self.T, self.least, self.kind, self.Q, row, begin, home, self.own, g0, g1,
                                            who, far))

    def _sampled(self, k: int) -> float:
        """Seconds a query takes on one thread, from the leaves that a few of them look at."""
        leaves, queries = SAMPLE
        begin, home = self._groups(queries)
        some = np.arange(len(home))[:: max(1, len(home) // leaves)]
        rows = np.concatenate([self.row[begin[g]:begin[g + 1]] for g in some])
        m, begin = len(rows), np.append(0, np.cumsum(begin[some + 1] - begin[some]))
        who, far = np.full((m, k), -1), np.full((m, k), math.inf)
        seen = kernels.nearest_in_boxes(self.T, self.least, self.kind, self.Q[rows], np.arange(m), begin, home[some], False,
                                        0, len(some), who, far)
        values = int(self.T.block[0].size)
        return k * QUERY_S + seen / m * (LEAF_S + values * VALUE_S)


def peak_bytes(n: int, m: int, d: int) -> int:
    """Peak bytes beside the data and the result: the kd-tree, while it is built with a copy of the items."""
    return 24 * n * d + 16 * n + 24 * m


def seconds(n: int, m: int, d: int, k: int) -> float:
    """Seconds of one thread the work is expected to take: boxes separate points less with every feature."""
    looked_at = 1.0 / (1.0 / n + 1.0 / (2.1 ** min(d, 60) * (10.0 + 1.4 * k)))
    return n * (4e-7 + 8e-8 * d) + m * (k * QUERY_S + looked_at * (6e-10 + d * VALUE_S))
