"""The loops of nearest-neighbour search: heaps, a walk over a kd-tree, a sieve over products, a scan of rows.

Every item's candidates are a binary heap, the last by (value, item) on top, so that what does not come before the top is
turned away by one comparison. Values decide in float64, from one formula a metric; ties go to the smaller item, so the
result depends on neither the order of the search nor the engine.

These functions call one another, so they share a file: the cache of compiled kernels would not notice an edit in another.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from shoal.runtime.kernel import kernel

__all__ = ["home_leaves", "least_items", "list_values", "nearest_in_boxes", "sift", "sort_heaps",
           "sparse_cosines", "take_rows"]

CHUNK = 64  # values that one comparison stands for
DEPTH = 128  # room for a walk's open nodes: at most one more than levels, and a tree of 2^63 items has 63

# ---------------------------------------------------------------------------------------------------------------- heaps


@kernel
def sink(who: Any, far: Any, i: int, k: int, s: float, j: int) -> None:
    """Put (s, j) on top of the heap in the first k places of row i, in place of what was there."""
    t, c = 0, 1
    while c < k:
        if c + 1 < k and (far[i, c + 1] > far[i, c] or (far[i, c + 1] == far[i, c] and who[i, c + 1] > who[i, c])):
            c += 1
        if far[i, c] < s or (far[i, c] == s and who[i, c] < j):
            break
        far[i, t], who[i, t] = far[i, c], who[i, c]
        t, c = c, 2 * c + 1
    far[i, t], who[i, t] = s, j


@kernel
def sort_heap(who: Any, far: Any, i: int) -> None:
    """Turn row i from a heap into ascending order."""
    for k in range(far.shape[1] - 1, 0, -1):
        s, j = far[i, k], who[i, k]
        far[i, k], who[i, k] = far[i, 0], who[i, 0]
        sink(who, far, i, k, s, j)


@kernel
def sort_heaps(who: Any, far: Any, rows: Any) -> None:
    """The same for some rows."""
    for i in rows:
        sort_heap(who, far, i)


@kernel
def take(who: Any, far: Any, i: int, s: float, j: int) -> None:
    """Take j into row i where it comes before the last."""
    if s < far[i, 0] or (s == far[i, 0] and j < who[i, 0]):
        sink(who, far, i, far.shape[1], s, j)


# ----------------------------------------------------------------------------------------------------------------- rows


@kernel
def take_rows(D: Any, r0: int, r1: int, i0: int, own: bool, who: Any, far: Any) -> None:
    """Nearest of items i0 + r0 … i0 + r1, whose distances to all are rows r0 … r1 of D; with `own`, but themselves."""
    n = D.shape[1]
    for r in range(r0, r1):
        i, row = i0 + r, D[r]
        for c in range(0, n, CHUNK):
            part, most, hits = row[c:c + CHUNK], far[i, 0], np.int32(0)
            for t in range(part.shape[0]):
                hits += np.int32(part[t] <= most)
            if hits > 0:
                for t in range(part.shape[0]):
                    if part[t] <= far[i, 0] and not (own and c + t == i):
                        take(who, far, i, part[t], c + t)
        sort_heap(who, far, i)


@kernel
def sparse_cosines(starts: Any, features: Any, values: Any, begin: Any, items: Any, weights: Any, r0: int, r1: int,
                   D: Any) -> None:
    """D[r] = 1 - x·y within [0, 2], from row r of a CSR table to all rows of another, which is given by its columns.

    Only products of two values that are not 0 are made, in the order of the features.
    """
    for r in range(r0, r1):
        row = D[r]
        row[:] = 0.0
        for p in range(starts[r], starts[r + 1]):
            x = values[p]
            for q in range(begin[features[p]], begin[features[p] + 1]):
                row[items[q]] += weights[q] * x
        for t in range(row.shape[0]):
            row[t] = min(max(1.0 - row[t], 0.0), 2.0)


# ------------------------------------------------------------------------------------------------------------- products


@kernel
def value_of(kind: int, x: Any, y: Any) -> float:
    """‖x - y‖² (kind 0) or 1 - x·y within [0, 2] (kind 3), summed over the features in their order."""
    total = 0.0
    if kind == 0:
        for c in range(x.shape[0]):
            e = np.float64(x[c]) - np.float64(y[c])
            total += e * e
        return total
    for c in range(x.shape[0]):
        total += np.float64(x[c]) * np.float64(y[c])
    return min(max(1.0 - total, 0.0), 2.0)


@kernel
def list_values(kind: int, X: Any, listed: Any, i0: int, i1: int, who: Any, far: Any) -> None:
    """Nearest of items i0 … i1 among those listed for each, -1 where a list ends."""
    for i in range(i0, i1):
        for t in range(listed.shape[1]):
            if listed[i, t] >= 0:
                take(who, far, i, value_of(kind, X[i], X[listed[i, t]]), listed[i, t])
        sort_heap(who, far, i)


@kernel
def sift(kind: int, Q: Any, X: Any, dots: Any, bound: Any, half: Any, worth: Any, queries: Any, j0: int, own: bool,
         who: Any, far: Any) -> int:
    """Nearest of the queries among the columns of a block of products, which turn away what cannot be among them.

    A value is not below worth[0]·b - worth[1] for the bound b = bound[0, q] + half[j] - dots[q, j]; bound[1] is scratch.
    The test has no store, so that it runs over many pairs at once. Return how many pairs were evaluated.
    """
    n, cut, seen = dots.shape[1], bound[1], 0
    for q in range(dots.shape[0]):
        i, half_q = queries[q], bound[0, q]
        cut[q] = (far[i, 0] + worth[1]) / worth[0]  # stored, and so rounded, as the bounds are
        for c in range(0, n, CHUNK):
            g, h, most, hits = dots[q, c:c + CHUNK], half[j0 + c:j0 + c + CHUNK], cut[q], np.int32(0)
            for t in range(g.shape[0]):
                hits += np.int32((half_q + h[t]) - g[t] <= most)
            if hits == 0:
                continue
            for t in range(g.shape[0]):
                j = j0 + c + t
                if (half_q + h[t]) - g[t] > cut[q] or (own and j == i) or (far[i, 0] == 0.0 and j > who[i, 0]):
                    continue
                take(who, far, i, value_of(kind, Q[i], X[j]), j)
                seen += 1
                cut[q] = (far[i, 0] + worth[1]) / worth[0]
    return seen


# -------------------------------------------------------------------------------------------------------------- kd-tree


@kernel
def least_items(order: Any, start: Any, stop: Any, least: Any) -> None:
    """least[v] = the smallest item below node v."""
    inner = least.shape[0] // 2
    for v in range(least.shape[0] - 1, -1, -1):
        if v < inner:
            least[v] = min(least[2 * v + 1], least[2 * v + 2])
        else:
            least[v] = order[start[v]:stop[v]].min()


@kernel
def gap_of(kind: int, low: Any, high: Any, v: int, x: Any) -> float:
    """Value from point x to the box of node v."""
    total = 0.0
    for c in range(x.shape[0]):
        e = max(max(low[v, c] - np.float64(x[c]), np.float64(x[c]) - high[v, c]), 0.0)
        total = total + e * e if kind == 0 else total + e if kind == 1 else max(total, e)
    return total


@kernel
def home_leaves(kind: int, low: Any, high: Any, Q: Any, q0: int, q1: int, home: Any) -> None:
    """The leaf that each of the rows q0 … q1 comes to by way of the nearer child."""
    inner = low.shape[0] // 2
    for q in range(q0, q1):
        v = 0
        while v < inner:
            v = 2 * v + 1 if gap_of(kind, low, high, 2 * v + 1, Q[q]) <= gap_of(kind, low, high, 2 * v + 2, Q[q]) \
                else 2 * v + 2
        home[q] = v


@kernel
def lane_gaps(kind: int, low: Any, high: Any, v: int, q: Any, gap: Any) -> None:
    """gap[t] = the value from query t, a column of q, to the box of node v. Rounded as values are, never above them."""
    for t in range(gap.shape[0]):
        gap[t] = 0.0
    for c in range(q.shape[0]):
        a, b, x = low[v, c], high[v, c], q[c]
        if kind == 0:
            for t in range(gap.shape[0]):
                e = max(max(a - x[t], x[t] - b), 0.0)
                gap[t] += e * e
        elif kind == 1:
            for t in range(gap.shape[0]):
                gap[t] += max(max(a - x[t], x[t] - b), 0.0)
        else:
            for t in range(gap.shape[0]):
                gap[t] = max(gap[t], max(max(a - x[t], x[t] - b), 0.0))


@kernel
def leaf_values(kind: int, block: Any, leaf: int, q: Any, u: int, s: Any) -> None:
    """s[t] = the value from query u to point t of a leaf, features in their order."""
    d, c = q.shape[0], 1
    y, a = block[leaf, 0], q[0, u]
    if kind == 0:
        for t in range(s.shape[0]):
            s[t] = (y[t] - a) * (y[t] - a)
        while c + 3 <= d:  # three features a pass: a third of the loads and stores of s, the same order of sums
            a, b, e = q[c, u], q[c + 1, u], q[c + 2, u]
            ya, yb, ye = block[leaf, c], block[leaf, c + 1], block[leaf, c + 2]
            for t in range(s.shape[0]):
                v = s[t] + (ya[t] - a) * (ya[t] - a)
                v += (yb[t] - b) * (yb[t] - b)
                s[t] = v + (ye[t] - e) * (ye[t] - e)
            c += 3
    else:
        for t in range(s.shape[0]):
            s[t] = abs(y[t] - a)
    while c < d:
        y, a = block[leaf, c], q[c, u]
        if kind == 0:
            for t in range(s.shape[0]):
                s[t] += (y[t] - a) * (y[t] - a)
        elif kind == 1:
            for t in range(s.shape[0]):
                s[t] += abs(y[t] - a)
        else:
            for t in range(s.shape[0]):
                s[t] = max(s[t], abs(y[t] - a))
        c += 1


@kernel
def lanes_within(gap: Any, limit: Any, worst: Any, least: float) -> int:
    """How many queries a node may have something for: nearer than their last, or as near and a smaller item."""
    hits = np.int32(0)
    for t in range(gap.shape[0]):
        hits += np.int32((gap[t] < limit[t]) | ((gap[t] == limit[t]) & (least < worst[t])))
    return int(hits)


@kernel
def nearest_in_boxes(T: Any, least: Any, kind: int, Q: Any, row: Any, begin: Any, home: Any, own: bool, g0: int, g1: int,
                     who: Any, far: Any) -> int:
    """Nearest of the queries in groups g0 … g1: rows row[begin[g]] … of Q, near leaf home[g]. Return how many scans it took.

    The walk begins at the home leaf and goes up, at every step down into the other child. The queries of a group are
    lanes: a node is left where none of them may find anything, and of two children the one that more of them reach, or
    that has the smaller item, comes first. That the smallest item of a node counts in a tie keeps equal points, and
    grids, from being looked at all by all.

    The scan of a leaf is written out: in a function of its own it takes a third longer.
    """
    block, order, start, stop, low, high = T.block, T.order, T.start, T.stop, T.low, T.high
    inner, d, lanes, seen = block.shape[0] - 1, block.shape[1], 1, 0
    for g in range(g0, g1):
        lanes = max(lanes, (begin[g + 1] - begin[g] + 7) & ~7)
    q, gaps, stack = np.empty((d, lanes)), np.empty((DEPTH, lanes)), np.empty(DEPTH, np.int64)
    limit, worst, s = np.empty(lanes), np.empty(lanes), np.empty(block.shape[2])
    for g in range(g0, g1):
        m = begin[g + 1] - begin[g]
        for t in range(lanes):
            for c in range(d):
                q[c, t] = Q[row[begin[g] + min(t, m - 1)], c]
            limit[t], worst[t] = math.inf if t < m else -1.0, -1.0
        up = home[g]
        lane_gaps(kind, low, high, up, q, gaps[0])
        stack[0], top = up, 1
        while top > 0 or up > 0:
            if top == 0:
                stack[0], top, up = up - 1 + 2 * (up & 1), 1, (up - 1) >> 1
                lane_gaps(kind, low, high, stack[0], q, gaps[0])
            top -= 1
            w, near = stack[top], gaps[top]
            if lanes_within(near, limit, worst, least[w]) == 0:
                continue
            if w < inner:
                one, two, a, b = 2 * w + 1, 2 * w + 2, gaps[top], gaps[top + 1]
                lane_gaps(kind, low, high, one, q, a)
                lane_gaps(kind, low, high, two, q, b)
                ahead = lanes_within(a, limit, worst, least[one]) - lanes_within(b, limit, worst, least[two])
                if ahead > 0 or (ahead == 0 and least[one] < least[two]):
                    one, two = two, one
                    for t in range(lanes):
                        a[t], b[t] = b[t], a[t]
                stack[top], stack[top + 1] = one, two
                top += 2
                continue
            for u in range(m):
                if near[u] <= limit[u]:
                    i = row[begin[g] + u]
                    leaf_values(kind, block, w - inner, q, u, s)
                    most, hits, first = limit[u], np.int32(0), start[w]
                    for t in range(s.shape[0]):
                        hits += np.int32(s[t] <= most)
                    seen += 1
                    if hits == 0:
                        continue
                    for t in range(stop[w] - first):
                        if s[t] <= most and not (own and order[first + t] == i):
                            take(who, far, i, s[t], order[first + t])
                            most = far[i, 0]
                    limit[u], worst[u] = far[i, 0], float(who[i, 0])
        for u in range(m):
            sort_heap(who, far, row[begin[g] + u])
    return seen
