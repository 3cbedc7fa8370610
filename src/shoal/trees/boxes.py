"""Euclidean minimum spanning trees of few features: Borůvka's rounds over a kd-tree.

A point looks for its nearest among the boxes of the tree, from its own leaf upwards. Its list of nearest is found once;
after that only points whose lists are used up are searched for, and a node all of whose points are in one tree is left out
by that tree.

Source: March, Ram & Gray 2010, doi:10.1145/1835804.1835882.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.runtime import pool
from shoal.runtime.kernel import kernel
from shoal.runtime.progress import Ticker
from shoal.trees import kdtree
from shoal.trees.forest import Forest, Problem, SpanningTree, grow, index_type
from shoal.trees.merges import Floats, Ints

__all__ = ["Boxes", "peak_bytes", "seconds", "spanning_tree_by_boxes"]

LISTED, LEAST_LISTED = 8, 3  # nearest points kept of every point, less one for every feature: most rounds search for few
PLACE, NONE = np.int64(63), np.int64(2**63 - 1)  # a leaf has at most 64 points
LEAVES = 2048  # leaves a task searches from, at one feature; half of it with every further one: at most some milliseconds


def spanning_tree_by_boxes(X: NDArray[np.floating[Any]], core: Floats | None = None, ticker: Ticker | None = None,
                           stop: float = math.inf) -> SpanningTree:
    """Build the tree over a kd-tree; see `spanning_tree_of_points`."""
    p = Problem.of(X, core, stop)
    boxes = Boxes(p)
    if boxes.crowded():
        p = p.distinct()
        boxes = Boxes(p)
    if ticker is not None:
        ticker.total = 2.0 * len(boxes.tasks)  # the lists are half of the work
    if core is None:  # else a core distance is as a rule that of a point beyond the list, which then decides nothing
        pool.run(boxes.list_nearest, boxes.tasks, ticker)
    return p.solved(*grow(boxes.f, boxes.search, p.most, ticker, begun=0.5))


class Boxes:
    """A kd-tree over the points of a problem, and the walks down it."""

    def __init__(self, p: Problem) -> None:
        n, d = p.X.shape
        T = self.T = kdtree.build(p.X)
        index, k = index_type(n), max(LEAST_LISTED, LISTED - d) if p.core is None else 0
        self.whole = np.full(len(T.start), -1, index)
        self.f = Forest.of(p.item[T.order].astype(index), None if p.core is None else p.core[T.order],
                           np.empty((n, k), index), np.empty((n, k)), np.full(n, p.most if k else 0.0), p.most)
        self.tasks = [(T.leaves - 1 + s, T.leaves - 1 + t)
                      for s, t in pool.blocks(T.leaves, max(1, min(LEAVES >> min(d, 60), T.leaves // 16)))]

    def crowded(self) -> bool:
        """Whether there is a leaf full of equal points."""
        T = self.T
        return bool((T.low[T.leaves - 1:] == T.high[T.leaves - 1:]).all(axis=1).any())

    def seconds(self) -> float:
        """What the lists of four leaves say that the whole work will take."""
        T = self.T
        leaves = range(T.leaves - 1 + T.leaves // 8, 2 * T.leaves - 1, max(1, T.leaves // 4))
        seen, points = sum(self.list_nearest(v, v + 1) for v in leaves), sum(T.stop[v] - T.start[v] for v in leaves)
        return len(T.order) * float(seen / points) * (2.5e-7 + 3.5e-8 * int(T.block.shape[1])) / pool.threads()

    def list_nearest(self, v0: int, v1: int) -> int:
        """The lists of the points in leaves v0 … v1, while every point is a tree of its own."""
        f = self.f
        return self._walk(f.reach, np.empty(0), f.listed, f.squares, v0, v1)

    def search(self, f: Forest) -> None:
        """Search for the points whose trees may need it."""
        T, whole = self.T, self.whole
        pool.run(lambda v0, v1: whole_leaves(f.tree, T.start, T.stop, whole, v0, v1), self.tasks)
        whole_nodes(whole)
        near, bound = f.near.reshape(-1, 1), f.bound.reshape(-1, 1)
        pool.run(lambda v0, v1: self._walk(f.shortest, f.core, near, bound, v0, v1), self.tasks)

    def _walk(self, shortest: Floats, core: Floats, listed: Ints, squares: Floats, v0: int, v1: int) -> int:
        T, f = self.T, self.f
        d, cap = T.block.shape[1:]
        room = np.empty(128, np.int64), np.empty(128), np.empty(d), np.empty(cap + 1), np.empty(-(-cap // 8) * 8, np.int64)
        return nearest_foreign(T.block, T.start, T.stop, T.low, T.high, f.item, f.tree, f.near, f.bound, shortest,
                               self.whole, core, listed, squares, v0, v1, *room)


def peak_bytes(n: int, d: int) -> int:
    """Peak bytes beside the data, as measured: the kd-tree, fewer lists for more features, columns of the forest, edges."""
    return n * (4 * d + 235)


def seconds(n: int, d: int) -> float:
    """Seconds the work is expected to take: boxes separate points less with every feature."""
    share = min(1.0, 10.0 * 2.0 ** min(d, 60) / n)
    return n * d * (1e-6 + 5.5e-10 * n * share) / pool.threads()


# ---------------------------------------------------------------------------------------------------------------- walks


@kernel
def whole_leaves(tree: Any, start: Any, stop: Any, whole: Any, v0: int, v1: int) -> None:
    """whole[v] = the tree all points of leaf v are in, or -1; trees only grow, so what was whole still is."""
    for v in range(v0, v1):
        one = tree[start[v]]
        if whole[v] < 0:
            for p in range(start[v], stop[v]):
                if tree[p] != one:
                    one = -1
                    break
        whole[v] = one


@kernel
def whole_nodes(whole: Any) -> None:
    """The same for the other nodes, from their children."""
    for v in range(whole.shape[0] // 2 - 1, -1, -1):
        whole[v] = whole[2 * v + 1] if whole[2 * v + 1] == whole[2 * v + 2] else -1


@kernel
def nearest_foreign(block: Any, start: Any, stop: Any, low: Any, high: Any, item: Any, tree: Any, near: Any, bound: Any,
                    shortest: Any, whole: Any, core: Any, listed: Any, squares: Any, v0: int, v1: int, stack: Any, gaps: Any,
                    q: Any, s: Any, key: Any) -> int:
    """List the nearest foreign points of the points in leaves v0 … v1, in the order of (distance, item), as far as needed.

    That is up to the shortest known edge of a point's tree, which is lowered to the last of a full list; where the list is
    not full, nothing else is nearer than its last distance. Return how many leaves were looked at.

    The walk begins at a point's own leaf, and goes up until the box around all seen holds everything within reach: a
    point in no seen box is beyond a plane that this box touches.

    From a leaf the points are taken in the order of their distances, the place in the leaf being the last six bits, until
    one is beyond the last of the list by more than these bits: a minimum of 32 whole numbers takes 10 ns, a point put into
    the list out of turn 20, as no processor can foresee where.

    Written out, on plain arrays: split into functions that take named tuples the same walk takes ten times as long,
    because every call counts references to every array, and a walk shared by a leaf's points takes the widest of their
    limits, so that at 5 features 20 times as many boxes are looked at as hold a point within reach.
    """
    inner, d, cap = block.shape[0] - 1, block.shape[1], block.shape[2]
    bits, k, with_core, seen = s.view(np.int64), listed.shape[1], core.shape[0] > 0, 0
    for v in range(v0, v1):
        for p in range(start[v], stop[v]):
            own, own_core = tree[p], core[p] if with_core else 0.0
            if bound[p] > shortest[own] or (near[p] >= 0 and tree[near[p]] != own):
                continue
            for at in range(k):
                listed[p, at], squares[p, at] = -1, math.inf
            for c in range(d):
                q[c] = block[v - inner, c, p - start[v]]
            limit, up, top = shortest[own], v, 1
            stack[0], gaps[0] = v, 0.0
            while True:
                if top == 0:
                    room = math.inf
                    for c in range(d):
                        room = min(room, q[c] - low[up, c], high[up, c] - q[c])
                    if up == 0 or room * room > limit:
                        break
                    w, a = up - 1 + 2 * (up & 1), 0.0
                    for c in range(d):  # no branch: it would be mispredicted half of the time
                        e = max(low[w, c] - q[c], q[c] - high[w, c], 0.0)
                        a += e * e
                    stack[0], gaps[0], top, up = w, a, 1, (up - 1) >> 1
                top -= 1
                w = stack[top]
                if gaps[top] > limit or whole[w] == own:
                    continue
                if w < inner:
                    one, two, a, b = 2 * w + 1, 2 * w + 2, 0.0, 0.0
                    for c in range(d):
                        e = max(low[one, c] - q[c], q[c] - high[one, c], 0.0)
                        a += e * e
                        e = max(low[two, c] - q[c], q[c] - high[two, c], 0.0)
                        b += e * e
                    if b < a:
                        one, two, a, b = two, one, b, a
                    if b <= limit:
                        stack[top], gaps[top] = two, b
                        top += 1
                    if a <= limit:
                        stack[top], gaps[top] = one, a
                        top += 1
                    continue
                y, x = block[w - inner, 0], q[0]
                for t in range(cap):
                    s[t] = (y[t] - x) * (y[t] - x)
                for c in range(1, d):
                    y, x = block[w - inner, c], q[c]
                    for t in range(cap):
                        s[t] += (y[t] - x) * (y[t] - x)
                first, seen, hits = start[w], seen + 1, np.int32(0)
                for t in range(cap):
                    hits += np.int32(s[t] <= limit)
                if hits == 0:
                    continue
                for t in range(stop[w] - first):
                    if with_core:
                        s[t] = max(s[t], own_core, core[first + t])
                    key[t] = (bits[t] & ~PLACE) | t if tree[first + t] != own else NONE
                for t in range(stop[w] - first, key.shape[0]):
                    key[t] = NONE
                last, s[cap] = np.int64(-1), limit
                while True:
                    least = NONE
                    for t in range(key.shape[0]):
                        least = min(least, key[t] if key[t] > last else NONE)
                    if least > (bits[cap] | PLACE) or least == NONE:
                        break
                    last, at = least, k - 1
                    value, m = s[least & PLACE], first + (least & PLACE)
                    if value > limit or (value == limit and listed[p, at] >= 0 and item[m] > item[listed[p, at]]):
                        continue
                    while at > 0 and (value < squares[p, at - 1]
                                      or (value == squares[p, at - 1] and item[m] < item[listed[p, at - 1]])):
                        squares[p, at], listed[p, at] = squares[p, at - 1], listed[p, at - 1]
                        at -= 1
                    squares[p, at], listed[p, at] = value, m
                    limit = min(limit, squares[p, k - 1])
                    s[cap] = limit
            if listed[p, k - 1] < 0:
                squares[p, k - 1] = np.nextafter(limit, math.inf)
            shortest[own] = min(shortest[own], limit)
    return seen
