"""Exact trees in memory linear in the data, for many features: ward, and average and weighted where centres suffice.

The mean of the squared distances between two clusters is ‖ca - cb‖² + va + vb, of their centres and the spread around
them; on rows of length 1 the cosine distance is half of the squared one. So a pair costs O(d) whatever its sizes, and no
matrix of distances is needed.

Rounds: every cluster knows its nearest neighbour, and all reciprocal pairs merge. Each keeps a list of its nearest
clusters and a bound below which there is no other. Both outlive a round: the methods are reducible, so a union is no
nearer than the nearer of its parts. Only a cluster whose nearest listed one has gone beyond the bound is searched again:
dot products of many queries with all centres in float32, of which lower bounds of the values are made; whatever may
belong in the list is evaluated in float64 by one canonical formula, which alone decides. So the tree depends on neither
float32 nor blocks nor threads. The last few thousand clusters go to the stored-matrix engine.

Sparse rows stay sparse (see `blocked_rows`). Their dot products are made in float64, of a dense block of queries and the
sparse rows: at 10 % of 256 columns in a ninth of the time that products of two sparse matrices take.

Sources: Murtagh 1983 (reciprocal nearest neighbours); Yu et al. 2021, arXiv:2106.04727 (rounds without a matrix);
Higham 2002, Accuracy and Stability of Numerical Algorithms, section 3.1 (error of a dot product).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.runtime import blas, pool
from shoal.runtime.progress import Progress, Ticker
from shoal.trees import blocked_kernels as kernels
from shoal.trees import blocked_rows
from shoal.trees.blocked_rows import UNIT_ROWS, Rows, laid_out
from shoal.trees.merges import Floats, Ints, Merges
from shoal.trees.stored import _Found, _in_height_order, linkage_stored
from shoal.trees.stored import peak_bytes as stored_bytes

__all__ = ["SUPPORTED", "linkage_blocked", "peak_bytes", "seconds"]

WARD, AVERAGE, WEIGHTED = 0, 1, 2  # how `join` makes a union
_KINDS = {"ward": WARD, "average": AVERAGE, "weighted": WEIGHTED}
SUPPORTED = (("ward", "euclidean"), *((method, metric) for method in ("average", "weighted")
                                      for metric in ("sqeuclidean", *UNIT_ROWS)))

LISTED = 16  # neighbours a cluster keeps
FINISH = 4096  # clusters left to the stored matrix: 64 MB
QUERIES = 512  # a round searches at least so many
ENTRIES = 1 << 18  # entries of a block of dot products: 1 MB, which stays in the second-level cache
ROWS = 128  # queries of a task: 30 ms at 50,000 clusters of 100 features
SLOTS = 4096  # clusters a task refreshes
PAIRS = 256  # merges a task makes
VALUES = 1 << 16  # values a task of the finish makes
CROWDED = 0.9  # clusters over slots, below which the rows are moved together
LANES = 64  # sparse queries side by side, of a task: 50 ms at 4 million entries; 32 take a third longer for each
SOON = 0.25  # share of the waiting clusters that a round searches: at 16,000 both spare a quarter of the searches


class _Clusters(NamedTuple):
    """The clusters by slot, in the order of their smallest items."""

    rows: Rows
    weight: Floats
    inverse: Floats  # 1/weight under ward, else 1
    spread: Floats  # mean squared distance of the items from the centre; under ward 0
    share: Floats  # of the second part in the last merge
    item: Ints  # the smallest; -1 where a slot's cluster is now part of an earlier one


class _Filter(NamedTuple):
    """What the filter knows of each slot: in float32, or for sparse rows in float64."""

    size: NDArray[Any]  # ‖c‖² + v less rounding; infinity where there is no cluster
    inverse: NDArray[Any]


class _Lists(NamedTuple):
    """The nearest clusters of each slot, nearest first."""

    who: Ints
    far: Floats
    bound: Floats  # no cluster outside the list is nearer
    nearest: Ints  # -1 where it must be searched


def peak_bytes(n: int, d: int, nnz: int | None = None) -> int:
    """Peak bytes of the engine: the most of making the centres, of the rounds, and of the finish.

    Parameters
    ----------
    n, d : int
        Items and features.
    nnz : int, optional
        Entries of sparse rows; None for dense ones.
    """
    few, rounds = min(n, FINISH), n > FINISH
    if nnz is None:
        held, making, tables = 8 * n * d, 16 * n * d, pool.threads() * 4 * ENTRIES
        if rounds:
            held += 4 * n * d  # the table in float32
    else:
        held, making = (24 if rounds else 12) * nnz, 28 * nnz
        width = min(d, LANES * nnz // few)  # columns that the queries of a task have together, at the end of the rounds
        tables = pool.threads() * 8 * min(LANES * width, max(blocked_rows.AREA, 8 * width))
    finish = 60 * n + max(stored_bytes(few), 4 * few * few + tables)
    return max(making, held + finish, held + 700 * n + tables if rounds else 0)


def seconds(n: int, d: int, nnz: int | None = None) -> float:
    """Seconds the engine takes: some four products of all rows with all, or of sparse rows one and a half; the finish."""
    few = min(n, FINISH)
    if nnz is None:
        return n * (6e-5 + n * (2e-9 + 1.2e-10 * d)) / pool.threads()
    rounds = 2e-5 * n + 2.3e-6 * nnz + 1.5 * n * (2.1e-10 * nnz + 1e-9 * n) if n > few else 0.0
    return (rounds + few * (3e-8 * few + 1e-10 * nnz)) / pool.threads()


def linkage_blocked(X: Any, method: str, metric: str = "euclidean", weights: Floats | None = None, *,
                    progress: Progress = None) -> Merges:
    """Build the tree of rows without a matrix of distances.

    Parameters
    ----------
    X : ndarray of float32 or float64, or canonical csr_array, shape (n, d)
        Finite; not written to.
    method, metric : str
        One of the pairs in `SUPPORTED`.
    weights : ndarray, shape (n,), optional
        An item of weight w stands for w equal items.
    progress : callable, bool or None
        See `shoal.runtime.progress`.

    Returns
    -------
    Merges

    Raises
    ------
    InputError
        For another pair of method and metric, or a row that is zero under cosine or constant under correlation.

    Notes
    -----
    O(n·d) memory, for sparse rows O(n + nnz). Time is that of a few products of all rows with all rows as a rule, O(n³·d)
    at worst. Where dense data are so clumped that float32 cannot tell neighbours apart, more pairs are evaluated in
    float64: slower, as exact.
    """
    if (method, metric) not in SUPPORTED:
        names = ", ".join(" with ".join(pair) for pair in SUPPORTED)
        raise InputError(f"The blocked engine has no {method!r} linkage with the metric {metric!r}.", f"It has {names}.")
    with Ticker(progress, f"{method} linkage of {X.shape[0]:,} items") as ticker:
        weight = np.ones(X.shape[0]) if weights is None else np.array(weights, np.float64)
        unit = 2.0 ** math.frexp(float(weight.max()))[1] if method == "ward" else 1.0
        engine = _Engine(X, method, metric, weight / unit, ticker)
        found = engine.merge_all()
    h, scale = np.maximum(found.h, 0.0), engine.scale
    if method == "ward":
        return _in_height_order(found.a, found.b, np.sqrt(h) * math.sqrt(unit) / scale)
    return _in_height_order(found.a, found.b, h / 2.0 if metric in UNIT_ROWS else h / scale / scale)


class _Engine:
    """The rounds over clusters in slots."""

    def __init__(self, X: Any, method: str, metric: str, weight: Floats, ticker: Ticker) -> None:
        n, self.d = X.shape
        rows, self.scale = blocked_rows.centres(X, metric)
        self.method, self.kind, self.ticker = method, _KINDS[method], ticker
        weight = np.ones(n) if self.kind == WEIGHTED else weight
        inverse = 1.0 / weight if self.kind == WARD else np.ones(n)
        self.c = _Clusters(rows, weight, inverse, np.zeros(n), np.zeros(n), np.arange(n))
        self.dense = len(rows.table) > 0
        self.found, self.made, self.n = _Found.room(n), 0, n
        self.used = len(rows.data)  # entries of sparse rows written so far, also of rows that are no more

    def merge_all(self) -> _Found:
        """Merge until one cluster is left."""
        self._merge_equal_rows()
        if self.n - self.made > FINISH:
            self._start()
            while self.n - self.made > FINISH:
                self.ticker.at(1.0 - ((self.n - self.made) / self.n) ** 2)
                self._round()
        self._finish()
        self.ticker.at(1.0)
        return self.found

    def _note(self, a: Ints, b: Ints, h: Floats) -> None:
        """Write down merges of the clusters of items a and b."""
        upto = self.made + len(h)
        self.found.a[self.made:upto], self.found.b[self.made:upto], self.found.h[self.made:upto] = a, b, h
        self.made = upto

    def _merge_equal_rows(self) -> None:
        """Merge rows of equal bits: many of them would be ties, and fill every list near them."""
        c, key = self.c, np.empty(self.n, np.uint64)
        bits = (c.rows.table.reshape(-1) if self.dense else c.rows.data).view(np.uint64)
        start = np.arange(self.n) * self.d if self.dense else c.rows.start
        stop = start + self.d if self.dense else c.rows.stop
        pool.run(lambda i0, i1: kernels.keys_of_rows(bits, c.rows.columns, start, stop, i0, i1, key),
                 pool.blocks(self.n, SLOTS))
        order = np.argsort(key, kind="stable")
        leader = np.arange(self.n)
        for t in np.flatnonzero(key[order[1:]] == key[order[:-1]]).tolist():
            if blocked_rows.row_bytes(c.rows, order[t]) == blocked_rows.row_bytes(c.rows, order[t + 1]):
                leader[order[t + 1]] = leader[order[t]]
        gone = np.flatnonzero(leader != np.arange(self.n))
        if not len(gone):
            return
        self._note(leader[gone], gone, np.zeros(len(gone)))
        if self.kind != WEIGHTED:
            np.add.at(c.weight, leader[gone], c.weight[gone])
        if self.kind == WARD:
            c.inverse[:] = 1.0 / c.weight
        c.item[gone] = -1
        if not self.dense:
            c.rows.stop[gone] = c.rows.start[gone]
        self.c = _together(c, np.flatnonzero(c.item >= 0))

    # ------------------------------------------------------------------------------------------------------------ rounds

    def _start(self) -> None:
        """Make the filter and the lists, and search all clusters."""
        n = len(self.c.item)
        self.mate, self.into = np.full(n, -1), np.arange(n)
        self.lists = _Lists(np.full((n, LISTED), -1), np.full((n, LISTED), math.inf), np.zeros(n), np.full(n, -1))
        self.f = _Filter(*np.zeros((2, n), np.float32 if self.dense else np.float64))
        self.single = np.empty((n if self.dense else 0, self.d), np.float32)
        self._follow(np.arange(n))
        self._search(np.arange(n))

    def _round(self) -> None:
        """Merge the reciprocal pairs, carry the lists over, and search where they no longer tell the nearest."""
        room = np.empty((2, len(self.c.item)), np.int64)
        count = kernels.mutual(self.lists.nearest, room[0], room[1])
        if count:
            self._merge(room[0, :count], room[1, :count])
        living = self.c.item >= 0
        waiting = np.flatnonzero((self.lists.nearest < 0) & living)
        if len(waiting):
            self._search(self._soonest(waiting))
        elif not count:  # clusters as near as rounding can tell chose one another in a circle: now all by one rule
            self._search(np.flatnonzero(living))

    def _soonest(self, waiting: Ints) -> Ints:
        """Those that may merge first: when the others' turn comes, there will be fewer clusters to look at."""
        order = np.argsort(self.lists.bound[waiting], kind="stable")
        return np.sort(waiting[order[:max(QUERIES, int(len(waiting) * SOON))]])

    def _merge(self, first: Ints, second: Ints) -> None:
        """Merge pairs of slots."""
        c, h = self.c, np.empty(len(first))
        a, b = c.item[first], c.item[second]
        pool.run(lambda p0, p1: kernels.join(c, self.kind, first, second, p0, p1, h, self.mate, self.into),
                 pool.blocks(len(first), PAIRS))
        self._note(a, b, h)
        long: Ints = np.empty(0, np.int64)
        table = np.empty((0, 0))
        if not self.dense:
            rows, self.used = blocked_rows.joined(c.rows, self.used, np.flatnonzero(c.item >= 0), first, self.mate, c.share)
            self.c = c._replace(rows=rows)
            long, table = blocked_rows.long_rows(rows, self.d, self.n - self.made, first)
        self._follow(first)
        self.f.size[second], self.lists.nearest[second] = math.inf, -1
        pool.run(lambda a0, a1: kernels.refresh(self.c, self.lists, self.mate, self.into, long, table, a0, a1),
                 pool.blocks(len(c.item), SLOTS))
        self.mate[first], self.into[second] = -1, second
        if self.n - self.made < CROWDED * len(c.item):
            self._move_together()

    def _follow(self, slots: Ints) -> None:
        """Bring what the filter knows of the slots up to date."""
        c, f = self.c, self.f

        def copy(i0: int, i1: int) -> None:
            kernels.less_rounding(c.rows, c.spread, slots, i0, i1, f.size)
            part = slots[i0:i1]
            f.inverse[part] = c.inverse[part]
            if self.dense:
                self.single[part] = c.rows.table[part]

        with np.errstate(over="ignore"):  # a weight of 1e-300 has no inverse in float32: infinity makes its bounds 0
            pool.run(copy, pool.blocks(len(slots), PAIRS))

    def _move_together(self) -> None:
        """Leave out the slots without a cluster."""
        keep = np.flatnonzero(self.c.item >= 0)
        m, lists, f = len(keep), self.lists, self.f
        slot = np.full(len(self.c.item) + 1, -1)  # the last stands for -1
        slot[keep] = np.arange(m)
        self.lists = _Lists(slot[lists.who[keep]], lists.far[keep], lists.bound[keep], slot[lists.nearest[keep]])
        self.f = _Filter(f.size[keep], f.inverse[keep])
        self.c = _together(self.c, keep)
        self.mate, self.into = self.mate[keep], np.arange(m)
        if self.dense:
            self.single = blocked_rows.together(self.single, keep)

    # ------------------------------------------------------------------------------------------------------------ search

    def _search(self, queries: Ints) -> None:
        """Find the nearest clusters of some, each task with products of its own: the BLAS's threads would wait for ours."""
        if self.dense:
            with blas.one_thread():
                pool.run(lambda q0, q1: self._search_dense(queries[q0:q1]), pool.blocks(len(queries), ROWS))
        else:
            pool.run(lambda q0, q1: self._search_sparse(queries[q0:q1]), pool.blocks(len(queries), LANES))
        kernels.settle(queries, self.lists)

    def _search_dense(self, queries: Ints) -> None:
        """Some queries against all columns, a block of float32 products at a time."""
        mine, k = self.single[queries], len(queries)
        for c0, c1 in pool.blocks(len(self.single), max(ENTRIES // k, 1)):
            dots = mine @ self.single[c0:c1].T
            kernels.sift(dots, queries, c0, c1, self.c, self.f, self.lists)

    def _search_sparse(self, queries: Ints) -> None:
        """Some queries against all columns: products of sparse rows."""
        for some, place, table in laid_out(self.c.rows, self.d, queries):
            kernels.sift_products(place, table, some, self.c, self.f, self.lists)

    # ------------------------------------------------------------------------------------------------------------ finish

    def _finish(self) -> None:
        """Merge the clusters that are left over their stored matrix."""
        c = _together(self.c, np.flatnonzero(self.c.item >= 0))
        m, ward = len(c.item), self.kind == WARD
        D = np.empty(m * (m - 1) // 2)

        def sparse_rows(i0: int, i1: int) -> None:
            for some, place, table in laid_out(c.rows, self.d, np.arange(i0, i1)):
                kernels.values_of_products(place, table, int(some[0]), c, ward, D)

        if self.dense:
            pool.run(lambda i0, i1, start: kernels.values_of_rows(c, ward, D, start, i0, i1),
                     pool.triangle_blocks(m, VALUES))
        else:
            pool.run(sparse_rows, pool.blocks(m, LANES))
        rest = linkage_stored(D, m, self.method, c.weight, squared=ward)
        smallest = list(range(m))
        for x in rest.left.tolist():
            smallest.append(smallest[x])
        slot = np.array(smallest)
        self._note(c.item[slot[rest.left]], c.item[slot[rest.right]], rest.height**2 if ward else rest.height)


def _together(c: _Clusters, keep: Ints) -> _Clusters:
    """The clusters of the slots `keep`."""
    if len(keep) == len(c.item):
        return c
    return _Clusters(blocked_rows.moved(c.rows, keep), c.weight[keep], c.inverse[keep], c.spread[keep], c.share[keep],
                     c.item[keep])
