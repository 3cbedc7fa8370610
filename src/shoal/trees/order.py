"""The order of a tree's leaves that brings neighbours closest together: the least sum of distances along it.

A tree of n items may be drawn in 2^(n-1) orders, the two sides of any merge swapped. The best one is found by dynamic
programming: M[u, w] is the least length of an order of the smallest subtree that holds u and w, with these two at its ends.
Every pair of items has one such subtree, so that M is one n×n table. For a subtree of sides A and B,

    M[u, w] = min over m, k of  M[u, m] + D[m, k] + M[k, w],   u, m in A, k, w in B,

where m is on the other side of A than u, and k on the other side of B than w. The minimum over m is taken first, for every
k: two products of matrices in which sums are minima and products sums, with loops that run along rows.

Beyond the items that fit, a beam: every subtree keeps its few shortest orders with different ends.

Source: Bar-Joseph, Gifford & Jaakkola 2001, doi:10.1093/bioinformatics/17.suppl_1.S22.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from shoal.data.records import Carrier, Points
from shoal.data.rows import rows_of
from shoal.runtime import memory, pool
from shoal.runtime.kernel import kernel, plain_if_cheap
from shoal.trees.merges import Floats, Ints, Merges, leaf_counts, leaf_order

__all__ = ["BEAM", "MOST_EXACT", "beam_order", "nearest_order", "optimal_order", "order_length"]

MOST_EXACT = 5000  # 0.4 GB, and some seconds; both tables grow with n², the time with n³ where the tree is balanced
BEAM = 8  # orders a subtree keeps: of 500 items, the result is then about 1 % longer than the best
SUMS = 1 << 24  # additions a task makes: about 5 ms
PLAIN_S = 1e-7  # an addition, in plain Python


@kernel
def ends_of_join(M: Any, D: Any, a0: int, am: int, a1: int, b0: int, bm: int, b1: int, u0: int, u1: int, T: Any) -> None:
    """M of u0 … u1 in A = [a0, a1) with all w in B = [b0, b1), by leaf positions; am and bm part the sides' own sides."""
    for u in range(u0, u1):
        first, last = (am, a1) if u < am else (a0, am)
        if a1 - a0 == 1:
            first, last = a0, a1
        for k in range(b1 - b0):
            T[k] = np.inf
        for m in range(first, last):
            x, row = M[u, m], D[m, b0:b1]
            for k in range(b1 - b0):
                T[k] = row[k] + x if row[k] + x < T[k] else T[k]
        out = M[u, b0:b1]
        for w in range(b1 - b0):
            out[w] = np.inf
        for k in range(b0, b1):
            first, last = (bm - b0, b1 - b0) if k < bm else (0, bm - b0)
            if b1 - b0 == 1:
                first, last = 0, 1
            x, row = T[k - b0], M[k, b0:b1]
            for w in range(first, last):
                out[w] = row[w] + x if row[w] + x < out[w] else out[w]
        for w in range(b0, b1):
            M[w, u] = M[u, w]


@kernel
def best_join(M: Any, D: Any, u: int, w: int, a: Any, b: Any, found: Any) -> None:
    """The m and k of the shortest order from u to w; a and b hold the positions m and k may have, the first wins ties."""
    best = np.inf
    for m in range(a[0], a[1]):
        for k in range(b[0], b[1]):
            length = M[u, m] + D[m, k] + M[k, w]
            if length < best:
                best, found[0], found[1] = length, m, k


def nearest_order(merges: Merges, begin: Ints, carrier: Carrier) -> Ints:
    """Return the items in the best order of up to `MOST_EXACT`, beyond that in the beam's; shape (n,).

    Parameters
    ----------
    merges : Merges
    begin : ndarray of int, shape (2n - 1,)
        First leaf position of every node.
    carrier : Carrier
        What the tree was built from.

    Raises
    ------
    TooLargeError
        Before anything is allocated, when the tables would not fit in memory.
    """
    n, leaves = merges.n, leaf_order(merges, begin)
    if n <= MOST_EXACT:
        memory.require(3 * 8 * n * n, None, f"the best order of {n:,} leaves")  # D as read, D by position, M
        D = np.ascontiguousarray(rows_of(carrier)(leaves)[:, leaves])
        return leaves[optimal_order(merges, begin, D)]
    if isinstance(carrier, Points):
        return beam_order(merges, partial(_few_distances, carrier))
    memory.require(carrier.dtype.itemsize * n * n, None, f"distances to order {n:,} leaves by")
    condensed = carrier.condensed()

    def distance(i: Ints, j: Ints) -> Floats:
        low, high = np.minimum(i, j), np.maximum(i, j)
        return np.asarray(condensed[n * low - low * (low + 1) // 2 + high - low - 1], np.float64)

    return beam_order(merges, distance)


def _few_distances(points: Points, i: Ints, j: Ints) -> Floats:
    """Distances of pairs among which the same few items come again and again: the ends of orders."""
    a, at_a = np.unique(i, return_inverse=True)
    b, at_b = np.unique(j, return_inverse=True)
    return points.metric.between(points.X[a], points.X[b])[at_a, at_b]


def order_length(D: Floats, order: Ints) -> float:
    """Sum of the distances between neighbours."""
    return float(D[order[:-1], order[1:]].sum())


def optimal_order(merges: Merges, begin: Ints, D: Floats) -> Ints:
    """Return the best order of the leaves, as leaf positions from left to right; shape (n,).

    Parameters
    ----------
    merges : Merges
    begin : ndarray of int, shape (2n - 1,)
        First leaf position of every node.
    D : ndarray, shape (n, n)
        Distances between leaf positions.

    Notes
    -----
    O(n³) time where the tree is balanced, less where it is not; one more n×n table. Of an order and its mirror image, the
    one with the smaller position at its left end is returned.
    """
    n = merges.n
    if n == 1:
        return np.zeros(1, np.int64)
    M = np.zeros((n, n))
    begin, count = begin.astype(np.int64), leaf_counts(merges)
    left, right = merges.left.tolist(), merges.right.tolist()

    def limits(node: int) -> tuple[int, int, int]:
        """Where a node's positions begin, where its right side does, and where they end."""
        middle = begin[right[node - n]] if node >= n else begin[node] + 1
        return int(begin[node]), int(middle), int(begin[node] + count[node])

    with plain_if_cheap(PLAIN_S * n**3):
        for a, b in zip(left, right, strict=True):
            A, B = limits(a), limits(b)
            sums = (B[2] - B[0]) * (A[2] - A[0] + B[2] - B[0])  # for every u, at most
            tasks = pool.blocks(A[2] - A[0], max(1, SUMS // sums))
            pool.run(partial(_join, M, D, A, B), tasks)
        return _unfold(M, D, limits, left, right, n)


def _join(M: Floats, D: Floats, A: tuple[int, int, int], B: tuple[int, int, int], u0: int, u1: int) -> None:
    ends_of_join(M, D, A[0], A[1], A[2], B[0], B[1], B[2], A[0] + u0, A[0] + u1, np.empty(B[2] - B[0]))


def _unfold(M: Floats, D: Floats, limits: Callable[[int], tuple[int, int, int]], left: list[int], right: list[int],
            n: int) -> Ints:
    """Walk down from the best ends of the whole tree to the ends of every subtree."""
    (_, middle, _), found = limits(2 * n - 2), np.zeros(2, np.int64)
    u, w = divmod(int(np.argmin(M[:middle, middle:])), n - middle)
    order, todo = [], [(2 * n - 2, u, middle + w)]
    while todo:
        node, u, w = todo.pop()
        if node < n:
            order.append(u)
            continue
        a, b = left[node - n], right[node - n]
        if u >= limits(b)[0]:  # the right side is drawn first
            a, b = b, a
        best_join(M, D, u, w, np.array(_opposite(limits(a), u)), np.array(_opposite(limits(b), w)), found)
        m, k = found.tolist()
        todo += [(b, k, w), (a, u, m)]
    return np.array(order, np.int64)


def _opposite(limits: tuple[int, int, int], end: int) -> tuple[int, int]:
    """Positions the other end may have."""
    first, middle, last = limits
    if last - first == 1:
        return first, last
    return (middle, last) if end < middle else (first, middle)


def beam_order(merges: Merges, distance: Callable[[Ints, Ints], Floats], beam: int = BEAM) -> Ints:
    """Return a good order of the leaves, as items from left to right; shape (n,).

    Parameters
    ----------
    merges : Merges
    distance : callable
        ``distance(i, j)`` gives the distances of pairs of items.
    beam : int
        Orders that every subtree keeps, the shortest with different ends.

    Notes
    -----
    O(n·beam²) distances; memory O(n·beam).
    """
    n = merges.n
    ends: list[Any] = [np.array([[i, i]]) for i in range(n)]  # of every node's orders: the two ends
    length: list[Any] = [np.zeros(1)] * n
    how: list[Any] = [None] * n  # which order of either side, and whether it is turned round
    for a, b in zip(merges.left.tolist(), merges.right.tolist(), strict=True):
        p, q, turn_a, turn_b = (part.ravel() for part in np.meshgrid(
            np.arange(len(ends[a])), np.arange(len(ends[b])), [0, 1], [0, 1], indexing="ij"))
        inner = distance(ends[a][p, 1 - turn_a], ends[b][q, turn_b])
        total = length[a][p] + inner + length[b][q]
        outer = ends[a][p, turn_a] * n + ends[b][q, 1 - turn_b]
        by = np.lexsort((outer, total))
        keep = by[np.sort(np.unique(outer[by], return_index=True)[1])[:beam]]
        ends.append(np.stack([ends[a][p, turn_a], ends[b][q, 1 - turn_b]], axis=1)[keep])
        length.append(total[keep])
        how.append(np.stack([p, q, turn_a, turn_b], axis=1)[keep])
    order: list[int] = []
    todo = [(2 * n - 2, 0, False)]
    while todo:
        node, which, turned = todo.pop()
        if node < n:
            order.append(node)
            continue
        p, q, turn_a, turn_b = how[node][which].tolist()
        sides = ((int(merges.left[node - n]), p, bool(turn_a) != turned),
                 (int(merges.right[node - n]), q, bool(turn_b) != turned))
        todo += sides if turned else sides[::-1]
    return np.array(order, np.int64)
