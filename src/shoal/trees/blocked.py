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

Sources: Murtagh 1983 (reciprocal nearest neighbours); Yu et al. 2021, arXiv:2106.04727 (rounds without a matrix);
Higham 2002, Accuracy and Stability of Numerical Algorithms, section 3.1 (error of a dot product).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.data.metrics import resolve_metric
from shoal.errors import InputError
from shoal.runtime import blas, pool
from shoal.runtime.progress import Progress, Ticker
from shoal.trees import blocked_kernels as kernels
from shoal.trees.merges import Floats, Ints, Merges
from shoal.trees.stored import _Found, _in_height_order, linkage_stored

if TYPE_CHECKING:
    from scipy import sparse

__all__ = ["SUPPORTED", "linkage_blocked", "peak_bytes"]

WARD, AVERAGE, WEIGHTED = 0, 1, 2  # how `join` makes a union
_KINDS = {"ward": WARD, "average": AVERAGE, "weighted": WEIGHTED}
SUPPORTED = (("ward", "euclidean"), ("average", "sqeuclidean"), ("average", "cosine"), ("weighted", "sqeuclidean"),
             ("weighted", "cosine"))

LISTED = 16  # neighbours a cluster keeps
FINISH = 4096  # clusters left to the stored matrix: 64 MB
QUERIES = 512  # a round searches at least so many
ENTRIES = 1 << 18  # entries of a block of dot products: 1 MB, which stays in the second-level cache
ROWS = 128  # queries of a task: 30 ms at 50,000 clusters of 100 features
SLOTS = 4096  # clusters a task refreshes
PAIRS = 256  # merges a task makes
VALUES = 1 << 16  # values a task of the finish makes
CROWDED = 0.9  # clusters over slots, below which the rows are moved together
SOON = 0.25  # share of the waiting clusters that a round searches: at 16,000 both spare a quarter of the searches


class _Rows(NamedTuple):
    """Centres: dense ones in `table`, which is empty for sparse ones; those lie one after the other, as in csr."""

    table: Floats
    data: Floats
    columns: Ints
    start: Ints


class _Clusters(NamedTuple):
    """The clusters by slot, in the order of their smallest items."""

    rows: _Rows
    weight: Floats
    inverse: Floats  # 1/weight under ward, else 1
    spread: Floats  # mean squared distance of the items from the centre; under ward 0
    share: Floats  # of the second part in the last merge
    item: Ints  # the smallest; -1 where a slot's cluster is now part of an earlier one


class _Filter(NamedTuple):
    """What the filter knows of each slot, in float32."""

    size: NDArray[np.float32]  # ‖c‖² + v less rounding; infinity where there is no cluster
    inverse: NDArray[np.float32]


class _Lists(NamedTuple):
    """The nearest clusters of each slot, nearest first."""

    who: Ints
    far: Floats
    bound: Floats  # no cluster outside the list is nearer
    nearest: Ints  # -1 where it must be searched


def peak_bytes(n: int, d: int) -> int:
    """Peak bytes of the engine on dense rows: centres twice while they are made, their float32 copy, lists, the finish."""
    few = min(n, FINISH)
    return n * (8 * d * 2 + 4 * d + 16 * LISTED + 200) + 4 * few * few * 2 + 8 * ENTRIES


def linkage_blocked(X: Any, method: str, metric: str = "euclidean", weights: Floats | None = None, *,
                    progress: Progress = None) -> Merges:
    """Build the tree of rows without a matrix of distances.

    Parameters
    ----------
    X : ndarray of float32 or float64, or csr_array, shape (n, d)
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
        For another pair of method and metric, or a zero row under cosine.

    Notes
    -----
    O(n·d) memory. Time is that of a few products of all rows with all rows as a rule, O(n³·d) at worst. Where data are
    so clumped that float32 cannot tell neighbours apart, more pairs are evaluated in float64: slower, as exact.
    """
    if (method, metric) not in SUPPORTED:
        names = ", ".join(" with ".join(pair) for pair in SUPPORTED)
        raise InputError(f"The blocked engine has no {method!r} linkage with the metric {metric!r}.", f"It has {names}.")
    with Ticker(progress, f"{method} linkage of {X.shape[0]:,} items") as ticker:
        rows, scale = _centres(X, metric)
        weight = np.ones(X.shape[0]) if weights is None else np.array(weights, np.float64)
        unit = 2.0 ** math.frexp(float(weight.max()))[1] if method == "ward" else 1.0
        found = _Engine(rows, X.shape, method, weight / unit, ticker).merge_all()
    h = np.maximum(found.h, 0.0)
    if method == "ward":
        return _in_height_order(found.a, found.b, np.sqrt(h) * math.sqrt(unit) / scale)
    return _in_height_order(found.a, found.b, h / 2.0 if metric == "cosine" else h / scale / scale)


def _centres(X: Any, metric: str) -> tuple[_Rows, float]:
    """Rows in float64: of length 1 under cosine, else scaled by a power of two; dense ones less their mean."""
    dense, scale = not hasattr(X, "indptr"), 1.0
    if metric == "cosine":
        ready = resolve_metric("cosine", X).unit_rows(X)
    else:
        ready = X.astype(np.float64)
        values = ready if dense else ready.data
        largest = float(np.abs(values).max(initial=0.0))
        scale = 2.0 ** -max(math.frexp(largest)[1], -1000) if largest > 0.0 else 1.0
        values *= scale
    if not dense:
        return _as_rows(ready), scale
    ready -= ready.mean(axis=0)
    ready += 0.0  # no -0.0: equal rows have equal bits
    return _Rows(ready, np.empty(0), np.empty(0, np.int32), np.empty(0, np.int64)), scale


class _Engine:
    """The rounds over clusters in slots."""

    def __init__(self, rows: _Rows, shape: tuple[int, int], method: str, weight: Floats, ticker: Ticker) -> None:
        n, self.d = shape
        self.method, self.kind, self.ticker = method, _KINDS[method], ticker
        weight = np.ones(n) if self.kind == WEIGHTED else weight
        inverse = 1.0 / weight if self.kind == WARD else np.ones(n)
        self.c = _Clusters(rows, weight, inverse, np.zeros(n), np.zeros(n), np.arange(n))
        self.dense = len(rows.table) > 0
        self.found, self.made, self.n = _Found.room(n), 0, n

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
        start = np.arange(self.n + 1) * self.d if self.dense else c.rows.start
        pool.run(lambda i0, i1: kernels.keys_of_rows(bits, c.rows.columns, start, i0, i1, key), pool.blocks(self.n, SLOTS))
        order = np.argsort(key, kind="stable")
        leader = np.arange(self.n)
        for t in np.flatnonzero(key[order[1:]] == key[order[:-1]]).tolist():
            if _row_bytes(c.rows, order[t]) == _row_bytes(c.rows, order[t + 1]):
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
        self.c = _together(c, np.flatnonzero(c.item >= 0))

    # ------------------------------------------------------------------------------------------------------------ rounds

    def _start(self) -> None:
        """Make the filter and the lists, and search all clusters."""
        n = len(self.c.item)
        self.mate, self.into = np.full(n, -1), np.arange(n)
        self.lists = _Lists(np.full((n, LISTED), -1), np.full((n, LISTED), math.inf), np.zeros(n), np.full(n, -1))
        self.f = _Filter(*np.zeros((2, n), np.float32))
        self.single: Any = np.empty((n, self.d), np.float32) if self.dense else None
        self._follow(np.arange(n))
        self._search(np.arange(n))

    def _round(self) -> None:
        """Merge the reciprocal pairs, carry the lists over, and search where they no longer tell the nearest."""
        lists, room = self.lists, np.empty((2, len(self.c.item)), np.int64)
        count = kernels.mutual(lists.nearest, room[0], room[1])
        if count:
            self._merge(room[0, :count], room[1, :count])
        else:  # equally near clusters chose one another in a circle: a search chooses by one rule for all
            lists.nearest[lists.far[:, 0] >= lists.bound] = -1
        waiting = np.flatnonzero((self.lists.nearest < 0) & (self.c.item >= 0))
        if len(waiting):
            self._search(self._soonest(waiting))

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
        if not self.dense:
            self.c = c._replace(rows=_joined(c.rows, self.d, first, second, c.share))
        self._follow(first)
        self.f.size[second], self.lists.nearest[second] = math.inf, -1
        pool.run(lambda a0, a1: kernels.refresh(self.c, self.lists, self.mate, self.into, a0, a1),
                 pool.blocks(len(c.item), SLOTS))
        self.mate[first], self.into[second] = -1, second
        if self.n - self.made < CROWDED * len(c.item):
            self._move_together()

    def _follow(self, slots: Ints) -> None:
        """Bring what float32 knows of the slots up to date."""
        c, f = self.c, self.f
        centres = c.rows.table if self.dense else None

        def copy(i0: int, i1: int) -> None:
            kernels.less_rounding(c.rows, c.spread, slots, i0, i1, f.size)
            part = slots[i0:i1]
            f.inverse[part] = c.inverse[part]
            if centres is not None:
                self.single[part] = centres[part]

        with np.errstate(over="ignore"):  # a weight of 1e-300 has no inverse in float32: infinity makes its bounds 0
            pool.run(copy, pool.blocks(len(slots), PAIRS))
        if centres is None:
            self.single = _matrix(c.rows, self.d).astype(np.float32)
            self.turned = self.single.T.tocsr()

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
            self.single = _rows_together(self.single, keep)
        else:
            self._follow(np.arange(m))

    # ------------------------------------------------------------------------------------------------------------ search

    def _search(self, queries: Ints) -> None:
        """Find the nearest clusters of some, each task with products of its own: the BLAS's threads would wait for ours."""
        one = self._search_dense if self.dense else self._search_sparse
        with blas.one_thread():
            pool.run(lambda q0, q1: one(queries[q0:q1]), pool.blocks(len(queries), ROWS))
        kernels.settle(queries, self.lists)

    def _search_dense(self, queries: Ints) -> None:
        """Some queries against all columns, a block of float32 products at a time."""
        mine, k = self.single[queries], len(queries)
        for c0, c1 in pool.blocks(len(self.single), max(ENTRIES // k, 1)):
            dots = mine @ self.single[c0:c1].T
            kernels.sift(dots, queries, 0, k, c0, self.c, self.f, self.lists)

    def _search_sparse(self, queries: Ints) -> None:
        """Some queries against all columns: products of sparse rows."""
        dots = (self.single[queries] @ self.turned).toarray()
        kernels.sift(dots, queries, 0, len(queries), 0, self.c, self.f, self.lists)

    # ------------------------------------------------------------------------------------------------------------ finish

    def _finish(self) -> None:
        """Merge the clusters that are left over their stored matrix."""
        c = _together(self.c, np.flatnonzero(self.c.item >= 0))
        m, ward = len(c.item), self.kind == WARD
        D = np.empty(m * (m - 1) // 2)
        pool.run(lambda i0, i1, start: kernels.values_of_rows(c, ward, D, start, i0, i1), pool.triangle_blocks(m, VALUES))
        rest = linkage_stored(D, m, self.method, c.weight, squared=ward)
        smallest = list(range(m))
        for x in rest.left.tolist():
            smallest.append(smallest[x])
        slot = np.array(smallest)
        self._note(c.item[slot[rest.left]], c.item[slot[rest.right]], rest.height**2 if ward else rest.height)


def _row_bytes(rows: _Rows, i: int) -> tuple[bytes, bytes]:
    """A row's values and columns."""
    if len(rows.table):
        return rows.table[i].tobytes(), b""
    part = slice(rows.start[i], rows.start[i + 1])
    return rows.data[part].tobytes(), rows.columns[part].tobytes()


def _rows_together(table: Any, keep: Ints) -> Any:
    """The rows `keep`, in ascending order, moved to the top in place."""
    for t0, t1 in pool.blocks(len(keep), PAIRS):
        table[t0:t1] = table[keep[t0:t1]]
    return table[:len(keep)]


def _together(c: _Clusters, keep: Ints) -> _Clusters:
    """The clusters of the slots `keep`; dense rows are moved in place."""
    n = len(c.item)
    if len(keep) == n:
        return c
    if len(c.rows.table):
        rows = c.rows._replace(table=_rows_together(c.rows.table, keep))
    else:
        rows = _as_rows(_matrix(c.rows, int(c.rows.columns.max(initial=0)) + 1)[keep])
    return _Clusters(rows, c.weight[keep], c.inverse[keep], c.spread[keep], c.share[keep], c.item[keep])


def _matrix(rows: _Rows, d: int) -> sparse.csr_array:
    """Sparse rows as scipy's matrix, sharing memory."""
    from scipy import sparse

    return sparse.csr_array((rows.data, rows.columns, rows.start), shape=(len(rows.start) - 1, d))


def _as_rows(matrix: sparse.csr_array) -> _Rows:
    matrix.sort_indices()
    return _Rows(np.empty((0, 0)), matrix.data, matrix.indices, matrix.indptr.astype(np.int64))


def _joined(rows: _Rows, d: int, first: Ints, second: Ints, share: Floats) -> _Rows:
    """Sparse rows with row `second` in row `first`: a product with the matrix of the shares."""
    from scipy import sparse

    n = len(rows.start) - 1
    own, other = np.ones(n), np.zeros(n)
    own[first], own[second], other[first] = 1.0 - share[first], 0.0, share[first]
    partner = np.zeros(n, np.int64)
    partner[first] = second
    counts = (own > 0.0).astype(np.int64) + (other > 0.0)
    entries = np.column_stack([own, other]).ravel(), np.column_stack([np.arange(n), partner]).ravel()
    there = entries[0] > 0.0
    start = np.concatenate([[0], np.cumsum(counts)])
    shares = sparse.csr_array((entries[0][there], entries[1][there], start), shape=(n, n))
    return _as_rows(shares @ _matrix(rows, d))
