"""A balanced kd-tree over points, as arrays, built in parallel; its leaves are blocks a vector loop runs over.

The tree is complete: node v has the children 2v + 1 and 2v + 2, and 2^levels leaves of almost the same size. A leaf's points
are stored feature by feature, padded with infinity, so that one query's distances to a leaf are d vector loops.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.runtime import pool
from shoal.runtime.kernel import kernel

__all__ = ["KDTree", "box_gap", "build", "leaf_squares", "point_gap"]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

LEAF = 32  # most points in a leaf: four vectors of eight doubles
TASK_LEVELS = 5  # subtrees below this level are built as tasks of their own, whatever the number of threads


class KDTree(NamedTuple):
    """The tree.

    Attributes
    ----------
    block : ndarray of float64, shape (leaves, d, capacity)
        Coordinates of each leaf's points, padded with inf.
    order : ndarray of int64, shape (n,)
        The points' indices in leaf order.
    start : ndarray of int64, shape (nodes + 1,)
        Where a node's points begin in `order`; they end at `stop`.
    stop : ndarray of int64, shape (nodes,)
    low, high : ndarray of float64, shape (nodes, d)
        Bounding boxes.
    """

    block: Floats
    order: Ints
    start: Ints
    stop: Ints
    low: Floats
    high: Floats

    @property
    def leaves(self) -> int:
        """Number of leaves; the first is node leaves - 1."""
        return len(self.block)


@kernel
def bound_box(P: Any, a: int, b: int, low: Any, high: Any) -> None:
    """Smallest box around rows a … b."""
    d = P.shape[1]
    for k in range(d):
        low[k] = P[a, k]
        high[k] = P[a, k]
    for i in range(a + 1, b):
        for k in range(d):
            v = P[i, k]
            if v < low[k]:
                low[k] = v
            if v > high[k]:
                high[k] = v


@kernel
def swap_rows(P: Any, order: Any, i: int, j: int) -> None:
    """Exchange two points."""
    for k in range(P.shape[1]):
        P[i, k], P[j, k] = P[j, k], P[i, k]
    order[i], order[j] = order[j], order[i]


@kernel
def select(P: Any, order: Any, a: int, b: int, m: int, k: int) -> None:
    """Rearrange rows a … b so that rows before m are not above, and rows from m on not below, row m in feature k.

    Hoare's selection, pivot by the median of three; equal keys are exchanged, so they split evenly.
    """
    low, high = a, b - 1
    while low < high:
        mid = (low + high) >> 1
        if P[mid, k] < P[low, k]:
            swap_rows(P, order, mid, low)
        if P[high, k] < P[low, k]:
            swap_rows(P, order, high, low)
        if P[high, k] < P[mid, k]:
            swap_rows(P, order, high, mid)
        pivot = P[mid, k]
        i, j = low, high
        while i <= j:
            while P[i, k] < pivot:
                i += 1
            while P[j, k] > pivot:
                j -= 1
            if i <= j:
                swap_rows(P, order, i, j)
                i += 1
                j -= 1
        if m <= j:
            high = j
        elif m >= i:
            low = i
        else:
            return


@kernel
def split(P: Any, order: Any, v: int, start: Any, stop: Any, low: Any, high: Any) -> None:
    """Bound node v's points, halve them along the widest side, and hand the halves to its children."""
    a, b = start[v], stop[v]
    bound_box(P, a, b, low[v], high[v])
    widest, side = -1.0, 0
    for k in range(P.shape[1]):
        if high[v, k] - low[v, k] > widest:
            widest, side = high[v, k] - low[v, k], k
    m = (a + b) >> 1
    if widest > 0.0:
        select(P, order, a, b, m, side)
    start[2 * v + 1], stop[2 * v + 1] = a, m
    start[2 * v + 2], stop[2 * v + 2] = m, b


@kernel
def split_below(P: Any, order: Any, top: int, depth: int, start: Any, stop: Any, low: Any, high: Any, block: Any) -> None:
    """Build `depth` levels below node `top`, and fill its leaves' blocks."""
    first, count = top, 1
    for _ in range(depth):
        for v in range(first, first + count):
            split(P, order, v, start, stop, low, high)
        first, count = 2 * first + 1, 2 * count
    for v in range(first, first + count):
        a, b = start[v], stop[v]
        bound_box(P, a, b, low[v], high[v])
        leaf = v - (block.shape[0] - 1)
        for k in range(P.shape[1]):
            for t in range(block.shape[2]):
                block[leaf, k, t] = P[a + t, k] if a + t < b else np.inf


@kernel
def leaf_squares(block: Any, leaf: int, q: Any, u: int, s: Any) -> None:
    """s[t] = ‖q[u] - point t of the leaf‖², features in their order; inf for padding."""
    y, a = block[leaf, 0], q[u, 0]
    for t in range(s.shape[0]):
        s[t] = (y[t] - a) * (y[t] - a)
    for k in range(1, q.shape[1]):
        y, a = block[leaf, k], q[u, k]
        for t in range(s.shape[0]):
            s[t] += (y[t] - a) * (y[t] - a)


@kernel
def point_gap(low: Any, high: Any, v: int, q: Any, u: int) -> float:
    """Squared distance from point q[u] to the box of node v."""
    total = 0.0
    for k in range(q.shape[1]):
        gap = max(max(low[v, k] - q[u, k], q[u, k] - high[v, k]), 0.0)  # a branch would be mispredicted
        total += gap * gap
    return total


@kernel
def box_gap(low: Any, high: Any, v: int, w: int) -> float:
    """Squared distance between the boxes of nodes v and w."""
    total = 0.0
    for k in range(low.shape[1]):
        gap = max(max(low[v, k] - high[w, k], low[w, k] - high[v, k]), 0.0)
        total += gap * gap
    return total


def build(X: NDArray[np.floating[Any]], leaf: int = LEAF) -> KDTree:
    """Build the tree over the rows of X, shape (n, d), n ≥ 1; O(n·d·log n), copies X once."""
    n, d = X.shape
    levels = max(0, int(np.ceil(np.log2(max(1, n) / leaf)))) if n > leaf else 0
    leaves = 1 << levels
    P, order = np.array(X, np.float64, order="C"), np.arange(n)
    start, stop = np.zeros(2 * leaves - 1, np.int64), np.zeros(2 * leaves - 1, np.int64)
    low, high = np.empty((2 * leaves - 1, d)), np.empty((2 * leaves - 1, d))
    block = np.empty((leaves, d, -(-n // leaves)))
    stop[0] = n
    top = min(levels, TASK_LEVELS)
    for level in range(top):
        first = (1 << level) - 1
        pool.run(lambda v: split(P, order, v, start, stop, low, high), [(first + i,) for i in range(1 << level)])
    first = (1 << top) - 1
    pool.run(lambda v: split_below(P, order, v, levels - top, start, stop, low, high, block),
             [(first + i,) for i in range(1 << top)])
    return KDTree(block, order, start, stop, low, high)
