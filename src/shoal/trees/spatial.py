"""Exact Ward trees of points with few features, in linear memory: rounds over a kd-tree of the clusters' means.

Ward's method knows a cluster by its mean and its weight: merging a and b costs 2·wa·wb/(wa+wb)·‖mean a - mean b‖², the
squared height. A kd-tree over the means, with the smallest weight below every node, bounds that cost for all clusters of
a node at once. And Ward is reducible: a union is no nearer to others than the nearer of its parts. So

- every cluster keeps its three nearest, and a bound below which there is no other. Both outlive a round: only a cluster
  whose nearest listed one is beyond the bound is searched again, and of those first the ones that may merge soonest;
- a round merges all pairs of reciprocal nearest neighbours in place; the tree is built anew when three in ten are gone;
- where few pairs are reciprocal, and for the last thousand clusters, a nearest-neighbour chain takes over: one pair at a
  time, the tree's boxes refitted on the way up from the two leaves that changed, until a quarter of the clusters is gone.

Weights that differ do not spoil the bound: a node all of whose box is within reach of its lightest cluster holds a
neighbour that is nearer than the one known. So only nodes that cross the border of that reach are visited in vain.

Equal rows are merged at height zero before the rounds: they would all name the same one as their neighbour.

Sources: Bruynooghe 1978, Murtagh 1983 (reciprocal neighbours, chain); Lance & Williams 1967; Yu, Wang, Gu, Dhulipala & Shun
2021, arXiv:2106.04727 (rounds over a kd-tree).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.runtime import pool
from shoal.runtime.progress import Progress, Ticker
from shoal.trees import kdtree
from shoal.trees import spatial_kernels as kernels
from shoal.trees import spatial_scan as scan
from shoal.trees.equal import first_equal
from shoal.trees.merges import Floats, Ints, Merges, canonical
from shoal.trees.stored import _Found, _in_height_order

__all__ = ["METHODS", "linkage_spatial", "peak_bytes", "seconds"]

METHODS = ("ward",)

LISTED = 3  # neighbours a cluster keeps: one takes a quarter longer at ten features, eight as long in more memory
SOON = 0.25  # share of the waiting clusters a round searches: when the others' turn comes there are fewer to look at
EASY = 4  # features up to which a search costs less than what that saves: two neighbours are kept, and all are searched
LEAF = scan.LANES  # most clusters in a leaf: a quarter of it takes half as long again at ten features
QUERIES = 512  # searches of a task at most, and of a round at least
REACH = 2e9  # clusters times rows times searches of a task: 80 ms where no box can be left out, as a rule 1 to 20
PAGE = 16  # leaves of a page
CROWDED = 0.5  # clusters over positions, below which the tree is built anew
SLICE = 1 << 18  # clusters a sequential pass handles between two looks at the keyboard
BLOCK, LEAVES = 1 << 14, 128  # clusters, or leaves, of a task that is not a search
FEW = 64  # a round that would merge fewer than a 64th of the clusters is left to the chain
LAST = 1024  # clusters from which on threads cost more than they give


class Clusters(NamedTuple):
    """The clusters by their position in the kd-tree.

    Attributes
    ----------
    centre : ndarray of float64, shape (clusters, d)
    weight : ndarray of float64, shape (clusters,)
    item : ndarray of int64, shape (clusters,)
        The smallest item; -1 where the position's cluster is now part of another.
    """

    centre: Floats
    weight: Floats
    item: Ints


class Nearby(NamedTuple):
    """What is known of the clusters' neighbours, by position.

    Attributes
    ----------
    who : ndarray of int64, shape (clusters, listed)
        Neighbours, nearest first; -1 where there are fewer.
    far : ndarray of float64, shape (clusters, listed)
        Squared heights of the merges with them, or infinity.
    bound : ndarray of float64, shape (clusters,)
        No cluster that is not listed is nearer.
    nearest : ndarray of int64, shape (clusters,)
        The nearest neighbour, or -1 where it is to be searched.
    """

    who: Ints
    far: Floats
    bound: Floats
    nearest: Ints


class Index(NamedTuple):
    """The kd-tree, with what Ward needs to know of its nodes, and the leaves as `spatial_scan` wants them."""

    flat: NDArray[np.float32]
    slot: Ints  # (leaves, LANES): the positions of a leaf's clusters
    taken: Ints  # how many of them are
    start: Ints
    stop: Ints
    low: Floats
    high: Floats
    lightest: Floats  # of every node: the smallest weight
    middle: Floats  # of every page


class _Chain(NamedTuple):
    """What the chain keeps, by position."""

    born: Ints  # merges made when the position's cluster came to be
    looked: Ints  # merges made when its neighbour was searched
    path: Ints
    place: Ints  # where in the path a position is, or -1


def peak_bytes(n: int, d: int) -> int:
    """Peak bytes of the engine."""
    return n * (35 * d + 205)


def seconds(n: int, d: int) -> float:
    """About how long the engine takes, in seconds of one core of a 2.6 GHz server, on points without groups."""
    share = min(1.0, 10.0 * 2.0 ** min(d, 60) / n)  # of all pairs: boxes separate points less with every feature
    return n * d * (2.4e-6 + 1.5e-10 * n * share)


def linkage_spatial(X: NDArray[np.floating[Any]], method: str = "ward", weights: Floats | None = None, *,
                    progress: Progress = None) -> Merges:
    """Build the exact tree of points in memory O(n·d).

    Parameters
    ----------
    X : ndarray of float32 or float64, shape (n, d)
        Finite.
    method : str
        One of `METHODS`.
    weights : ndarray, shape (n,), optional
        A row of weight w stands for w equal rows.
    progress : callable, bool or None
        See `shoal.runtime.progress`.

    Returns
    -------
    Merges

    Notes
    -----
    About O(n·log n) time for few features. A search may come to see every cluster, as with many features or with rows
    that are all nearly as far from one another; then O(n²·d), at most 3n searches.
    """
    n = len(X)
    if n == 1:
        nothing = np.empty(0, np.int64)
        return canonical(nothing, nothing, np.empty(0))
    centre, power = _prepare(X)
    weight = np.ones(n) if weights is None else np.array(weights, np.float64)
    with Ticker(progress, f"{method} linkage of {n:,} items") as ticker:
        found = _Engine(centre, weight, ticker).merge_all()
    return _in_height_order(found.a, found.b, np.ldexp(np.sqrt(found.h), power))


def _prepare(X: NDArray[np.floating[Any]]) -> tuple[Floats, int]:
    """Points moved and scaled without rounding, so that means lose nothing to an offset and squares stay in range.

    Where a feature's values are within a factor of two, taking the one nearest to zero away is exact (Sterbenz); where
    they are not, the offset is no larger than their range. The scale is a power of two.
    """
    centre = np.array(X, np.float64, order="C")
    low, high = centre.min(axis=0), centre.max(axis=0)
    centre -= np.where((low > 0) & (high <= 2 * low), low, np.where((high < 0) & (low >= 2 * high), high, 0.0))
    power = math.frexp(max(float(centre.max(initial=0.0)), -float(centre.min(initial=0.0))))[1]
    return np.ldexp(centre, -power), power


class _Engine:
    """Rounds and chain over the clusters, whose columns shrink."""

    def __init__(self, centre: Floats, weight: Floats, ticker: Ticker) -> None:
        self.n, self.d = centre.shape
        self.listed, self.soon = (2, 1.0) if self.d <= EASY else (LISTED, SOON)
        self.c, self.near = Clusters(centre, weight, np.arange(self.n)), _unknown(self.n, self.listed)
        self.found, self.made, self.ticker = _Found.room(self.n), 0, ticker

    def merge_all(self) -> _Found:
        """Merge until one cluster is left."""
        self._build()
        self._search()
        self._merge_equal_rows()
        while self._living() > 1:
            if not self._round():
                self._follow_chain()
            self.ticker.at(self.made / len(self.found.h))
        return self.found

    def _living(self) -> int:
        """Clusters that are left."""
        return int(self.n - self.made)

    # -------------------------------------------------------------------------------------------------------- the tree

    def _build(self) -> None:
        """Build the tree over the living clusters, and bring them into its order."""
        old, known = self.c, self.near
        living = np.flatnonzero(old.item >= 0)
        tree = kdtree.build(old.centre if len(living) == len(old.item) else old.centre[living], LEAF)
        order, m, leaves, place = living[tree.order], len(living), tree.leaves, np.empty(len(old.item), np.int64)
        place[order] = np.arange(m)
        self.c = c = Clusters(np.empty((m, self.d)), np.empty(m), np.empty(m, np.int64))
        self.near = near = _unknown(m, self.listed)
        pages = max(leaves // PAGE, 1)
        low, high = tree.low[pages - 1:2 * pages - 1], tree.high[pages - 1:2 * pages - 1]
        self.x = Index(_aligned((leaves * (self.d + 2) + scan.TERMS + self.d) * scan.LANES),
                       np.empty((leaves, scan.LANES), np.int64), np.zeros(leaves, np.int64), tree.start, tree.stop,
                       tree.low, tree.high, np.empty(2 * leaves - 1), (low + high) / 2)
        pool.run(lambda v0, v1: kernels.settle(tree.block, tree.start, tree.stop, old, known, c, near, order, place, v0,
                                               v1), self._leaf_tasks())
        self._refit()

    def _leaf_tasks(self) -> list[tuple[int, int]]:
        """Leaves, as nodes, in blocks."""
        leaves = len(self.x.taken)
        return [(leaves - 1 + v0, leaves - 1 + v1) for v0, v1 in pool.blocks(leaves, LEAVES)]

    def _refit(self) -> None:
        """Bound the living clusters where they are."""
        pool.run(lambda v0, v1: scan.fill(self.x, self.c, v0, v1), self._leaf_tasks())
        scan.summarise(self.x)

    def _search(self) -> None:
        """Find neighbours that are missing, first of the clusters that may merge soonest."""
        x, c, near = self.x, self.c, self.near
        waiting = np.flatnonzero((near.nearest < 0) & (c.item >= 0))
        soon = max(QUERIES, int(len(waiting) * self.soon))
        if soon < len(waiting):
            waiting = waiting[near.bound[waiting] <= np.partition(near.bound[waiting], soon)[soon]]
        pool.run(lambda q0, q1: scan.search(x, c, near, waiting, q0, q1), pool.blocks(len(waiting), self._task()))

    def _task(self) -> int:
        """Searches between two looks at the keyboard."""
        return min(QUERIES, 1 + int(REACH / (len(self.c.item) * (self.d + 2))))

    # --------------------------------------------------------------------------------------------------------- merges

    def _merge_equal_rows(self) -> None:
        """Merge rows that are equal, at height zero."""
        c = self.c
        suspects = np.flatnonzero(self.near.far[:, 0] == 0.0)
        suspects = suspects[np.argsort(c.item[suspects])]
        first = first_equal(c.centre[suspects])
        again = first != np.arange(len(first))
        if not again.any():
            return
        leader, gone = suspects[first[again]], suspects[again]
        a, b = c.item[leader], c.item[gone]
        order = np.lexsort((b, a))
        self.made = len(order)
        self.found.a[:self.made], self.found.b[:self.made], self.found.h[:self.made] = a[order], b[order], 0.0
        np.add.at(c.weight, leader, c.weight[gone])
        c.item[gone] = -1
        mate = np.full(len(c.item), -1)
        mate[gone], mate[leader] = leader, gone
        self._go_on(mate)

    def _round(self) -> bool:
        """Merge all reciprocal pairs, if they are many."""
        c, near, n = self.c, self.near, len(self.c.item)
        if self._living() <= LAST:
            return False
        mate = np.full(n, -1)
        pairs = sum(kernels.pair_up(near, mate, p0, p1) for p0, p1 in pool.blocks(n, SLICE))
        if pairs * FEW < self._living():
            return False
        for p0, p1 in pool.blocks(n, SLICE):
            self.made = kernels.join(c, near, mate, self.found, self.made, p0, p1)
        self._go_on(mate)
        return True

    def _go_on(self, mate: Ints) -> None:
        """Bring lists and tree up to date after merges, and search what they no longer tell."""
        c, near, lightest = self.c, self.near, float(self.x.lightest[0])
        pool.run(lambda p0, p1: kernels.refresh(c, near, mate, lightest, p0, p1), pool.blocks(len(c.item), BLOCK))
        if self._living() < CROWDED * len(c.item):
            self._build()
        else:
            self._refit()
        self._search()

    def _follow_chain(self) -> None:
        """Merge one pair after the other, until the tree is worth building anew."""
        c, n, living = self.c, len(self.c.item), self._living()
        near, ints = _unknown(n, 1), np.full((4, n + 1), self.made)
        near.who[:, 0], near.far[:, 0], near.nearest[:] = self.near.who[:, 0], self.near.far[:, 0], self.near.nearest
        chain = _Chain(ints[0], ints[1], ints[2], ints[3])
        chain.place[:] = -1
        count, until = np.array([0, living, self.made, 0]), living * 3 // 4 if living > LAST else 1
        while count[1] > until:
            kernels.follow_chain(self.x, c, near, chain, self.found, count, until, self._task())
            self.ticker.at(int(count[2]) / len(self.found.h))
        self.made, self.near = int(count[2]), _unknown(n, self.listed)
        if self._living() > 1:
            to = np.maximum(near.nearest, 0)
            good = (near.nearest >= 0) & (c.item[to] >= 0)
            good &= np.maximum(chain.born[to], chain.born[:n]) <= chain.looked[:n]
            self.near.nearest[good] = self.near.who[good, 0] = to[good]
            self.near.bound[good] = self.near.far[good, 0] = near.far[good, 0]
            self._build()
            self._search()


def _unknown(n: int, size: int) -> Nearby:
    """Nothing is known of n clusters."""
    return Nearby(np.full((n, size), -1), np.full((n, size), math.inf), np.zeros(n), np.full(n, -1))


def _aligned(n: int) -> NDArray[np.float32]:
    """Zeros from the start of a cache line on: vectors that lie across two of them cost the scan a sixth."""
    room = np.zeros(n + 15, np.float32)
    first = -room.ctypes.data % 64 // 4
    return room[first:first + n]
