"""The loops of the engine for trees under a neighbour graph.

They call one another, so they share a file: the cache of compiled kernels would not notice an edit in another one.

Edge e joins the clusters in slots end[2e] and end[2e + 1]; half-edge h stands in the list of end[h] and points to
end[h ^ 1]. Edges are numbered by (smaller item, larger item), and of two edges between the same clusters the smaller one
stays, so that (value, edge) is the tie rule.
"""

from __future__ import annotations

import math
from typing import Any

from shoal.runtime.kernel import kernel

__all__ = ["all_pairs", "edge_lengths", "fill_table", "heapify", "link_edges", "merge_neighbours"]

SINGLE, COMPLETE, AVERAGE, CENTROID, WARD = 0, 1, 2, 3, 4  # CENTROID and above are measured between centroids

# ------------------------------------------------------------------------------------------------------------- distances


@kernel
def square(X: Any, i: int, j: int) -> float:
    """‖x_i - x_j‖²."""
    s = 0.0
    for c in range(X.shape[1]):
        t = X[i, c] - X[j, c]
        s += t * t
    return s


@kernel
def between_centroids(X: Any, weight: Any, kind: int, i: int, j: int) -> float:
    """Squared height at which two clusters merge under centroid or ward linkage, the same bits for (j, i)."""
    s = square(X, i, j)
    if kind == WARD:
        s *= 2.0 * (weight[i] * weight[j] / (weight[i] + weight[j]))
    return s


@kernel
def edge_lengths(X: Any, weight: Any, kind: int, end: Any, value: Any, total: Any, mass: Any, e0: int, e1: int) -> None:
    """Working values of edges e0 … e1, and for average linkage what their means are made of."""
    for e in range(e0, e1):
        i, j = end[2 * e], end[2 * e + 1]
        if kind >= CENTROID:
            value[e] = between_centroids(X, weight, kind, i, j)
        else:
            value[e] = math.sqrt(square(X, i, j))
        if kind == AVERAGE:
            mass[e] = weight[i] * weight[j]
            total[e] = mass[e] * value[e]


@kernel
def all_pairs(X: Any, weight: Any, kind: int, label: Any, k: int, D: Any, i0: int, i1: int) -> None:
    """Distances of k labelled groups, condensed, over all pairs (i, j) of rows with i0 ≤ i < i1 and j > i."""
    for i in range(i0, i1):
        for j in range(i + 1, X.shape[0]):
            p, q = min(label[i], label[j]), max(label[i], label[j])
            if p == q:
                continue
            at = p * k - p * (p + 1) // 2 + q - p - 1
            s = math.sqrt(square(X, i, j))
            if kind == AVERAGE:
                D[at] += weight[i] * weight[j] * s
            elif kind == COMPLETE:
                D[at] = max(D[at], s)
            else:
                D[at] = min(D[at], s)


# ------------------------------------------------------------------------------ a heap of edges that knows where each is


@kernel
def before(value: Any, e: int, f: int) -> bool:
    """Whether edge e merges before edge f."""
    return value[e] < value[f] or (value[e] == value[f] and e < f)


@kernel
def sift_up(heap: Any, place: Any, value: Any, p: int) -> int:
    """Move the edge at place p up to where it belongs; return that place."""
    e = heap[p]
    while p > 0 and before(value, e, heap[(p - 1) // 2]):
        above = (p - 1) // 2
        heap[p] = heap[above]
        place[heap[p]] = p
        p = above
    heap[p] = e
    place[e] = p
    return p


@kernel
def sift_down(heap: Any, place: Any, value: Any, p: int, size: int) -> None:
    """Move the edge at place p down to where it belongs."""
    e = heap[p]
    while 2 * p + 1 < size:
        child = 2 * p + 1
        if child + 1 < size and before(value, heap[child + 1], heap[child]):
            child += 1
        if not before(value, heap[child], e):
            break
        heap[p] = heap[child]
        place[heap[p]] = p
        p = child
    heap[p] = e
    place[e] = p


@kernel
def heapify(heap: Any, place: Any, value: Any, p0: int, p1: int) -> None:
    """Order the heap below the places p1 - 1 … p0, the places after them being in order."""
    for p in range(p1 - 1, p0 - 1, -1):
        sift_down(heap, place, value, p, heap.shape[0])


@kernel
def out_of_heap(heap: Any, place: Any, value: Any, count: Any, e: int) -> None:
    """Take edge e out."""
    count[1] -= 1
    p, size = place[e], count[1]
    if p < size:
        heap[p] = heap[size]
        sift_down(heap, place, value, sift_up(heap, place, value, p), size)


@kernel
def revalue(heap: Any, place: Any, value: Any, count: Any, e: int, new: float) -> None:
    """Give edge e a new value."""
    if new != value[e]:
        value[e] = new
        sift_down(heap, place, value, sift_up(heap, place, value, place[e]), count[1])


# --------------------------------------------------------------------------------------------- which edge joins two slots


@kernel
def home(u: Any, v: Any, seats: int) -> Any:
    """Place in the table where the search for the edge between two slots begins; products stay below 2^62."""
    mixed = min(u, v) * 625_252_673 + max(u, v) * 460_106_131
    return ((mixed >> 29) ^ (mixed >> 13) ^ mixed) & (seats - 1)


@kernel
def seat(table: Any, end: Any, u: int, v: int) -> Any:
    """Place in the table of the edge between two slots, or the empty place where it would be."""
    seats = table.shape[0]
    p = home(u, v, seats)
    while table[p] >= 0:
        i, j = end[2 * table[p]], end[2 * table[p] + 1]
        if (i == u and j == v) or (i == v and j == u):
            break
        p = (p + 1) & (seats - 1)
    return p


@kernel
def out_of_table(table: Any, end: Any, e: int) -> None:
    """Take edge e out, moving up those behind it that an empty place would hide."""
    seats = table.shape[0]
    gap = seat(table, end, end[2 * e], end[2 * e + 1])
    p = (gap + 1) & (seats - 1)
    while table[p] >= 0:
        f = table[p]
        if ((p - home(end[2 * f], end[2 * f + 1], seats)) & (seats - 1)) >= ((p - gap) & (seats - 1)):
            table[gap] = f
            gap = p
        p = (p + 1) & (seats - 1)
    table[gap] = -1


@kernel
def fill_table(table: Any, end: Any, e0: int, e1: int) -> None:
    """Put edges e0 … e1 into the table."""
    for e in range(e0, e1):
        table[seat(table, end, end[2 * e], end[2 * e + 1])] = e


# ------------------------------------------------------------------------------------------------------------- neighbours


@kernel
def link(head: Any, degree: Any, end: Any, after: Any, ahead: Any, h: int) -> None:
    """Put half-edge h at the head of its slot's list."""
    u = end[h]
    first = head[u]
    after[h], ahead[h] = first, -1
    if first >= 0:
        ahead[first] = h
    head[u] = h
    degree[u] += 1


@kernel
def unlink(head: Any, degree: Any, end: Any, after: Any, ahead: Any, h: int) -> None:
    """Take half-edge h out of its slot's list."""
    u, one, other = end[h], ahead[h], after[h]
    if one >= 0:
        after[one] = other
    else:
        head[u] = other
    if other >= 0:
        ahead[other] = one
    degree[u] -= 1


@kernel
def link_edges(head: Any, degree: Any, end: Any, after: Any, ahead: Any, e0: int, e1: int) -> None:
    """Put edges e0 … e1 into the lists of both ends."""
    for h in range(2 * e0, 2 * e1):
        link(head, degree, end, after, ahead, h)


@kernel
def remove(s: Any, count: Any, e: int) -> None:
    """Take edge e out of the heap, the table and both lists."""
    out_of_heap(s.heap, s.place, s.value, count, e)
    out_of_table(s.table, s.end, e)
    unlink(s.head, s.degree, s.end, s.after, s.ahead, 2 * e)
    unlink(s.head, s.degree, s.end, s.after, s.ahead, 2 * e + 1)


@kernel
def unite(s: Any, count: Any, kind: int, keep: int, drop: int) -> None:
    """Make one edge of two between the same clusters."""
    value = s.value[keep]
    if kind == SINGLE:
        value = min(value, s.value[drop])
    elif kind == COMPLETE:
        value = max(value, s.value[drop])
    elif kind == AVERAGE:
        s.total[keep] += s.total[drop]
        s.mass[keep] += s.mass[drop]
        value = s.total[keep] / s.mass[keep]
    revalue(s.heap, s.place, s.value, count, keep, value)
    remove(s, count, drop)


@kernel
def move_edges(s: Any, count: Any, kind: int, a: int, b: int) -> None:
    """Give all neighbours of slot b to slot a."""
    while s.head[b] >= 0:
        h = s.head[b]
        e, v = h >> 1, s.end[h ^ 1]
        other = s.table[seat(s.table, s.end, a, v)]
        if other >= 0:
            unite(s, count, kind, min(e, other), max(e, other))  # if e stays, it moves next
        else:
            out_of_table(s.table, s.end, e)
            unlink(s.head, s.degree, s.end, s.after, s.ahead, h)
            s.end[h] = a
            link(s.head, s.degree, s.end, s.after, s.ahead, h)
            s.table[seat(s.table, s.end, a, v)] = e


@kernel
def move_centroid(s: Any, a: int, b: int) -> None:
    """Move the centroid of a towards that of b, by b's share of their weight."""
    share = s.weight[b] / (s.weight[a] + s.weight[b])
    for c in range(s.X.shape[1]):
        s.X[a, c] += share * (s.X[b, c] - s.X[a, c])


@kernel
def merge_neighbours(s: Any, kind: int, count: Any, budget: int) -> None:
    """Merge the nearest neighbours again and again, until no edge is left or `budget` values have been looked at.

    count holds the merges made and the edges in the heap.
    """
    spent = 0
    while count[1] > 0 and spent < budget:
        e = s.heap[0]
        a, b = s.end[2 * e], s.end[2 * e + 1]
        if s.degree[a] < s.degree[b]:
            a, b = b, a
        t = count[0]
        s.a[t], s.b[t], s.h[t] = s.item[a], s.item[b], s.value[e]
        count[0] += 1
        remove(s, count, e)
        spent += 16 * (1 + s.degree[b])
        move_edges(s, count, kind, a, b)
        if kind >= CENTROID:
            move_centroid(s, a, b)
        s.weight[a] += s.weight[b]
        s.item[a], s.item[b] = min(s.item[a], s.item[b]), -1
        if kind >= CENTROID:
            h = s.head[a]
            while h >= 0:
                value = between_centroids(s.X, s.weight, kind, a, s.end[h ^ 1])
                revalue(s.heap, s.place, s.value, count, h >> 1, value)
                h = s.after[h]
            spent += s.degree[a] * (16 + s.X.shape[1])
