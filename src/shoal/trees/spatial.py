"""Exact Ward trees of points with few features, in linear memory: rounds over a kd-tree of the clusters' means.

Ward's method knows a cluster by its mean and its weight: merging a and b costs 2·wa·wb/(wa+wb)·‖mean a - mean b‖², the
squared height. A kd-tree over the means, with the smallest weight below every node, bounds that cost for all clusters of
a node at once. And Ward is reducible: a cluster's nearest neighbour stays its nearest until one of the two merges. So

- a round merges all pairs of reciprocal nearest neighbours, builds the tree anew over what is left, and searches for
  those clusters alone whose neighbour merged;
- where few pairs are reciprocal, and for the last thousand clusters, a nearest-neighbour chain takes over: one pair at a
  time, the tree's boxes refitted on the way up from the two leaves that changed, until a quarter of the clusters is gone.

Weights that differ do not spoil the bound: a node all of whose box is within reach of its lightest cluster holds a
neighbour that is nearer than the one known. So only nodes that cross the border of that reach are visited in vain.

Equal rows are merged at height zero before the rounds: n of them would otherwise be n - 1 rounds.

Sources: Bruynooghe 1978, Murtagh 1983 (reciprocal neighbours, chain); Yu, Wang, Gu, Dhulipala & Shun 2021,
arXiv:2106.04727 (rounds over a kd-tree).
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
from shoal.trees.merges import Floats, Ints, Merges, canonical
from shoal.trees.stored import _Found, _in_height_order

__all__ = ["METHODS", "linkage_spatial", "peak_bytes"]

METHODS = ("ward",)

LEAVES = 32  # leaves a task searches from: a millisecond for two features, about 30 for sixteen
SLICE = 1 << 18  # clusters a sequential pass handles between two looks at the keyboard
FEW = 16  # a round that would merge fewer than a 16th of the clusters is left to the chain
LAST = 1024  # clusters from which on threads cost more than they give
STEPS = 2000  # searches between two looks at the clock in the chain
DEPTH = 128  # room for a search's open nodes: one a level, and a tree of 2^63 items has 63


class Clusters(NamedTuple):
    """The clusters by their position in the kd-tree.

    Attributes
    ----------
    centre : ndarray of float64, shape (clusters, d)
    weight : ndarray of float64, shape (clusters,)
    item : ndarray of int64, shape (clusters,)
        The smallest item.
    near : ndarray of int64, shape (clusters,)
        The nearest neighbour, or ~hint where it is to be searched.
    gap : ndarray of float64, shape (clusters,)
        Squared height of the merge with it.
    """

    centre: Floats
    weight: Floats
    item: Ints
    near: Ints
    gap: Floats

    def only(self, which: Any) -> Clusters:
        """The clusters of a mask or slice."""
        return Clusters(self.centre[which], self.weight[which], self.item[which], self.near[which], self.gap[which])


class Index(NamedTuple):
    """The kd-tree, with what Ward needs to know of its nodes."""

    block: Floats
    flat: Floats  # the same in one dimension
    start: Ints
    stop: Ints
    low: Floats
    high: Floats
    load: Floats  # weights, parallel to a feature of `block`, 1 for padding
    lightest: Floats  # of every node: the smallest weight
    least: Ints  # of every node: the smallest item


class _Chain(NamedTuple):
    """What the chain keeps, by position."""

    alive: NDArray[np.bool_]
    born: Ints  # merges made when the position's cluster came to be
    looked: Ints  # merges made when its neighbour was searched
    path: Ints
    place: Ints  # where in the path a position is, or -1


def peak_bytes(n: int, d: int) -> int:
    """Peak bytes of the engine: three copies of the points, four with the tree's boxes, and columns of n entries."""
    return 8 * n * (4 * d + 24)


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
        n = len(centre)
        self.c = Clusters(centre, weight, np.arange(n), ~np.arange(n), np.full(n, math.inf))
        self.found, self.made, self.ticker = _Found.room(n), 0, ticker

    def merge_all(self) -> _Found:
        """Merge until one cluster is left."""
        x = self._search()
        if self._merge_equal_rows():
            x = self._search()
        while len(self.c.item) > 1:
            if not self._round():
                self._follow_chain(x)
            self.ticker.at(self.made / len(self.found.h))
            if len(self.c.item) > 1:
                x = self._search()
        return self.found

    def _search(self) -> Index:
        """Build the tree, bring the clusters into its order, and find the neighbours that are missing."""
        old, (n, d) = self.c, self.c.centre.shape
        tree = kdtree.build(old.centre)
        cap, nodes = tree.block.shape[2], len(tree.start)
        x = Index(tree.block, tree.block.reshape(-1), tree.start, tree.stop, tree.low, tree.high,
                  np.empty((tree.leaves, cap)), np.empty(nodes), np.empty(nodes, np.int64))
        c = self.c = Clusters(np.empty((n, d)), np.empty(n), np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n))
        place = np.empty(n, np.int64)
        place[tree.order] = np.arange(n)
        tasks = [(tree.leaves - 1 + v0, tree.leaves - 1 + v1) for v0, v1 in pool.blocks(tree.leaves, LEAVES)]
        pool.run(lambda v0, v1: kernels.settle(x, old, c, tree.order, place, v0, v1), tasks)
        kernels.summarise(x)
        pool.run(lambda v0, v1: kernels.search(x, c, v0, v1, *_scratch(cap)), tasks)
        return x

    def _merge_equal_rows(self) -> bool:
        """Merge rows that are equal, at height zero; whether there were any."""
        c = self.c
        suspects = np.flatnonzero(c.gap == 0.0)
        rows = c.centre[suspects]
        by = np.lexsort((c.item[suspects], *rows.T))
        again = np.zeros(len(by), np.bool_)
        again[1:] = (rows[by[1:]] == rows[by[:-1]]).all(axis=1)
        if not again.any():
            return False
        suspects = suspects[by]
        leader = suspects[np.maximum.accumulate(np.where(again, 0, np.arange(len(by))))]
        a, b = c.item[leader[again]], c.item[suspects[again]]
        order = np.lexsort((b, a))
        self.made = len(order)
        self.found.a[:self.made], self.found.b[:self.made], self.found.h[:self.made] = a[order], b[order], 0.0
        np.add.at(c.weight, leader[again], c.weight[suspects[again]])
        keep = np.ones(len(c.item), np.bool_)
        keep[suspects[again]] = False
        index = np.cumsum(keep) - 1
        index[suspects] = index[leader]
        grown = np.zeros(int(keep.sum()), np.bool_)
        grown[index[leader[again]]] = True
        self._go_on(c.only(keep), index, grown)
        return True

    def _go_on(self, c: Clusters, index: Ints, grown: NDArray[np.bool_]) -> None:
        """Take the clusters after a merge, their neighbours still named by old positions."""
        pool.run(lambda p0, p1: kernels.follow(c.near, index, grown, p0, p1), pool.blocks(len(c.item), SLICE))
        self.c = c

    def _round(self) -> bool:
        """Merge all reciprocal pairs, if they are many."""
        c, n = self.c, len(self.c.item)
        if n <= LAST:
            return False
        mate = np.full(n, -1)
        pairs = sum(kernels.pair_up(c, mate, p0, p1) for p0, p1 in pool.blocks(n, SLICE))
        if pairs * FEW < n:
            return False
        index, grown, count = np.empty(n, np.int64), np.empty(n, np.bool_), np.array([0, self.made])
        for p0, p1 in pool.blocks(n, SLICE):
            kernels.join(c, mate, index, grown, self.found, count, p0, p1)
        self.made = int(count[1])
        self._go_on(c.only(slice(int(count[0]))), index, grown)
        return True

    def _follow_chain(self, x: Index) -> None:
        """Merge one pair after the other, until the tree is worth building anew."""
        c, n = self.c, len(self.c.item)
        ints = np.full((4, n + 1), self.made)
        chain = _Chain(np.ones(n, np.bool_), ints[0], ints[1], ints[2], ints[3])
        chain.place[:] = -1
        count, until = np.array([0, n, self.made, 0]), n * 3 // 4 if n > LAST else 1
        scratch = _scratch(x.block.shape[2])
        while count[1] > until:
            kernels.follow_chain(x, c, chain, self.found, count, until, STEPS, *scratch)
            self.ticker.at(int(count[2]) / len(self.found.h))
        self.made = int(count[2])
        near = np.where(c.near < 0, np.arange(n), c.near)
        valid = (c.near >= 0) & chain.alive[near] & (np.maximum(chain.born[near], chain.born[:n]) <= chain.looked[:n])
        index = np.cumsum(chain.alive) - 1
        near = np.where(valid, index[near], ~index)
        self.c = c._replace(near=near).only(chain.alive)


def _scratch(capacity: int) -> tuple[Ints, Floats, Floats]:
    """A search's open nodes, their bounds, and the distances to a leaf."""
    return np.empty(DEPTH, np.int64), np.empty(DEPTH), np.empty(capacity)
