"""Exact centroid and median trees of points in linear memory: the closest pair of all, one after the other.

Both methods know a cluster by its centre. Neither is reducible: a union may be nearer to a third cluster than either of its
parts was, and lower than the merge that made it. So pairs that are merely nearest to one another cannot merge at once, as
they do in the other engines; every merge must be of the closest pair there is.

Of two clusters only one has to know the other. At the start that is the one with the earlier place in the kd-tree; later a
union knows all that lived when it was made, and a cluster that is searched for again knows all that live then. A cluster
keeps the two nearest of those it knows, `near` at `gap` and `next` at `rest`. Centres do not move: a merge takes two
clusters away, and the one it brings knows the others. So whatever merges,

- all that a cluster knows, beside these two, is at least `rest` away, and nobody has to be told of a union;
- when `near` has merged, `next` takes its place; when that has merged too, `rest` is a bound below everything known;
- the least gap of all is no larger than any distance. If a pair is behind it, that pair is the closest; otherwise its
  cluster is searched for again. A tournament over the nodes of the tree finds it.

Equal distances are taken in the order of (smaller item, larger item). All distances come from one formula and have the
same bits from either side, so the tree depends on nothing but the points. Equal rows are merged first: n of them have n²/2
distances of zero, and no box would rule out any.

A merge takes one search for its union and some 0.3 of one for other clusters. With few features a search looks at a few
leaves; with many it looks at all clusters, O(n·d), and a tree takes O(n²·d). Only far more searches than merges could make
it cubic. In few features there are none: a cluster is searched for again once both of its nearest have merged and its bound
is the least distance there is. By then all clusters are as far from one another as it is from what it has lost, or farther,
so only so many can have lost the same: 6 at one distance in two features, 12 in three. That number grows with the features,
and is no bound where they are as many as the items. But stars, simplices and hubs, made so that all have one neighbour in
common, need less than one search a merge too: the union is as near to all and takes them in before they are asked.

Sources: Müllner 2011, arXiv:1109.2378 (lower bounds, searched for again when needed); Eppstein 2000,
doi:10.1145/351827.351829 (dynamic closest pairs: neighbours known from one side).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.runtime import pool
from shoal.runtime.progress import Progress, Ticker
from shoal.trees import heap_kernels as kernels
from shoal.trees import kdtree
from shoal.trees.equal import first_equal
from shoal.trees.heap_kernels import NONE
from shoal.trees.merges import Floats, Ints, Merges, canonical
from shoal.trees.spatial import _prepare
from shoal.trees.stored import _Found

__all__ = ["METHODS", "linkage_heap", "peak_bytes", "seconds"]

METHODS = ("centroid", "median")

SHARE = 0.6  # of the clusters live on when the tree is built anew: 0.5 is 10 % faster at 2 features, 0.7 at 16
LARGEST = 256  # most clusters in a leaf
LAST = 1024  # clusters from which on a new tree costs more than it gives
WORK = 1 << 25  # entries between two looks at the clock: 10 to 20 ms
OVERHEAD = 2048  # what a leaf or a search costs beside its entries, in entries
DEPTH = 128  # room for a search's open nodes: one a level, and a tree of 2^63 items has 63


class Clusters(NamedTuple):
    """The clusters: by slot, their place in the tree, what they know of their neighbours; by node what stays with them.

    Attributes
    ----------
    near, next : ndarray of int64, shape (slots,)
        The nearest and the second nearest node of those it knows, or NONE.
    gap, rest : ndarray of float64, shape (slots,)
        Squared distances to them, or below which it knows none; inf in an empty slot.
    pair : ndarray of int64, shape (slots,)
        Itself and `near` by their items, for ties.
    node : ndarray of int64, shape (slots,)
        The node in a slot, or NONE.
    item : ndarray of int64, shape (nodes,)
        The smallest item.
    weight : ndarray of float64, shape (nodes,)
    slot : ndarray of int64, shape (nodes,)
        NONE once it has merged.
    """

    near: Ints
    next: Ints
    gap: Floats
    rest: Floats
    pair: Ints
    node: Ints
    item: Ints
    weight: Floats
    slot: Ints

    @classmethod
    def of(cls, item: Ints, weight: Floats) -> Clusters:
        """Clusters of one item each, that know nothing yet."""
        n = len(item)
        none, far, merged = np.full((4, n), NONE), np.full((2, n), math.inf), n - 1
        return cls(none[0], none[1], far[0], far[1], none[2], np.arange(n), np.append(item, none[3, :merged]),
                   np.append(weight, np.empty(merged)), np.full(n + merged, NONE))

    def moved(self, was: Ints, to: Ints, slots: int) -> Clusters:
        """The clusters of slots `was`, in the slots `to` of so many."""

        def column(old: NDArray[Any], empty: float) -> NDArray[Any]:
            new = np.full(slots, empty, old.dtype)
            new[to] = old[was]
            return new

        self.slot[self.node[was]] = to
        return Clusters(column(self.near, NONE), column(self.next, NONE), column(self.gap, math.inf),
                        column(self.rest, math.inf), column(self.pair, NONE), column(self.node, NONE),
                        self.item, self.weight, self.slot)


class Index(NamedTuple):
    """The kd-tree, and the tournament over its nodes."""

    block: Floats
    low: Floats
    high: Floats
    first: Ints  # of every node: the slot with the least gap
    least: Floats  # that gap


def peak_bytes(n: int, d: int) -> int:
    """Peak bytes of the engine: three copies of the points, four with the tree's boxes, and columns of n entries."""
    return 8 * n * (4 * d + 30)


def seconds(n: int, d: int) -> float:
    """Seconds it is expected to take: merges run on one thread, only the search before the first of them on all."""
    return n * (5e-6 + 5e-7 * d + _entries(n, d) * (1.8e-10 + 1.2e-10 / pool.threads()))


def _entries(n: int, d: int) -> int:
    """Coordinates a search is expected to look at: boxes separate points less with every feature."""
    return d * min(n, 16 << min(d, 40))


def linkage_heap(X: NDArray[np.floating[Any]], method: str, weights: Floats | None = None, *,
                 progress: Progress = None) -> Merges:
    """Build the exact tree of points in memory O(n·d).

    Parameters
    ----------
    X : ndarray of float32 or float64, shape (n, d)
        Finite.
    method : str
        One of `METHODS`.
    weights : ndarray, shape (n,), optional
        A row of weight w stands for w equal rows; median linkage does not look at weights.
    progress : callable, bool or None
        See `shoal.runtime.progress`.

    Returns
    -------
    Merges
        In the order in which they were made. A height may be lower than the one before it.

    Notes
    -----
    About O(n·log n) time for few features, growing towards O(n²·d) with their number; see the module's text.

    Examples
    --------
    >>> import numpy as np
    >>> from shoal.trees.heap import linkage_heap
    >>> corners = np.array([[0.0, 0.0], [8.0, 0.0], [4.0, 7.0]])
    >>> linkage_heap(corners, "centroid").height.tolist()
    [8.0, 7.0]
    """
    n = len(X)
    if n == 1:
        nothing = np.empty(0, np.int64)
        return canonical(nothing, nothing, np.empty(0))
    centre, power = _prepare(X)
    weight = np.ones(n) if weights is None else np.array(weights, np.float64)
    with Ticker(progress, f"{method} linkage of {n:,} items") as ticker:
        found = _merge_all(centre, weight, method == "centroid", ticker)
    return canonical(found.a, found.b, np.ldexp(np.sqrt(found.h), power))


def _merge_all(centre: Floats, weight: Floats, by_weight: bool, ticker: Ticker) -> _Found:
    """Merge until one cluster is left."""
    found = _Found.room(len(centre))
    first = first_equal(centre)
    b = np.flatnonzero(first != np.arange(len(centre)))
    b = b[np.argsort(first[b], kind="stable")]
    a, made = first[b], len(b)
    found.a[:made], found.b[:made], found.h[:made] = a, b, 0.0
    np.add.at(weight, a, weight[b])
    item = np.delete(np.arange(len(centre)), b)
    c, centre = Clusters.of(item, weight[item]), centre[item]
    x, c = _plant(c, np.arange(len(item)), centre)
    n, d, cap = len(item), centre.shape[1], x.block.shape[2]
    pool.run(lambda p0, p1: kernels.search(x, c, p0, p1, *_scratch(x)),
             pool.blocks(len(c.node), max(1, WORK // (_entries(n, d) + OVERHEAD))))
    count = np.array([n, made, n])
    del centre
    while True:
        kernels.summarise(x, c)
        until, scratch = int(count[0] * SHARE) if count[0] > LAST else 1, _scratch(x)
        while count[0] > until:
            kernels.merge_closest(x, c, found, count, until, WORK // (d * cap + OVERHEAD) + 1, by_weight, *scratch)
            ticker.at(int(count[1]) / len(found.h))
        if count[0] == 1:
            ticker.at(1.0)
            return found
        alive = np.flatnonzero(c.node >= 0)
        x, c = _plant(c, alive, x.block[alive // cap, :, alive % cap])
        cap = x.block.shape[2]


def _plant(c: Clusters, alive: Ints, centre: Floats) -> tuple[Index, Clusters]:
    """Build the tree of the clusters in the slots `alive`, and bring them into its order.

    Leaves are larger with more features, where most of them are looked at, and their boxes for nothing.
    """
    tree = kdtree.build(centre, min(max(16 * centre.shape[1], kdtree.LEAF), LARGEST))
    leaves, _, cap = tree.block.shape
    start, stop = tree.start[leaves - 1:], tree.stop[leaves - 1:]
    to = np.arange(len(alive)) + np.repeat(np.arange(leaves) * cap - start, stop - start)
    nodes = 2 * leaves - 1
    return (Index(tree.block, tree.low, tree.high, np.empty(nodes, np.int64), np.empty(nodes)),
            c.moved(alive[tree.order], to, leaves * cap))


def _scratch(x: Index) -> tuple[Floats, Floats, Ints, Floats]:
    """A search's point, the distances to a leaf, the open nodes and their bounds."""
    return np.empty(x.block.shape[1]), np.empty(x.block.shape[2]), np.empty(DEPTH, np.int64), np.empty(DEPTH)
