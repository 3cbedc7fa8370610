"""The loops of the blocked engine: exact values of pairs, the filter over a block of dot products, lists of neighbours.

They call one another, so they share a file: the cache of compiled kernels would not notice an edit in another one.

The value of a pair is f·‖ca - cb‖² + (va + vb), from the difference of the centres, in float64, the same bits for (a, b)
and (b, a). It alone decides. Under ward f is 2·wa·wb/(wa + wb) and va, vb are 0; else f is 1 and va is the mean squared
distance of a's items from its centre, so that the value is the mean squared distance between the items of a and b.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from shoal.runtime.kernel import kernel

__all__ = ["join", "keys_of_rows", "less_rounding", "mutual", "refresh", "settle", "sift", "values_of_rows"]

CHUNK = 128  # columns that one comparison stands for
LOOSE = 1.000001  # 16 ulp of float32: more than the arithmetic of the filter loses
UNIT = 2.0**-24  # float32 rounds by at most this share
TINY = 1e-37  # added to a threshold that would vanish in float32


# ----------------------------------------------------------------------------------------------------- values of pairs


@kernel
def gap(rows: Any, a: int, b: int) -> float:
    """‖ca - cb‖²."""
    if rows.table.shape[0] == 0:
        return sparse_gap(rows.data, rows.columns, rows.start[a], rows.start[a + 1], rows.start[b], rows.start[b + 1])
    return dense_gap(rows.table[a], rows.table[b])


@kernel
def dense_gap(x: Any, y: Any) -> float:
    """‖x - y‖², in four sums side by side."""
    m = x.shape[0]
    s0 = s1 = s2 = s3 = 0.0
    for q in range(m // 4):
        t = 4 * q
        e0, e1, e2, e3 = x[t] - y[t], x[t + 1] - y[t + 1], x[t + 2] - y[t + 2], x[t + 3] - y[t + 3]
        s0 += e0 * e0
        s1 += e1 * e1
        s2 += e2 * e2
        s3 += e3 * e3
    for t in range(m - m % 4, m):
        e0 = x[t] - y[t]
        s0 += e0 * e0
    return (s0 + s2) + (s1 + s3)


@kernel
def sparse_gap(data: Any, columns: Any, p: int, p1: int, q: int, q1: int) -> float:
    """‖x - y‖² of two rows, at places p to p1 and q to q1, whose columns ascend."""
    s = 0.0
    while p < p1 and q < q1:
        if columns[p] == columns[q]:
            e = data[p] - data[q]
            p += 1
            q += 1
        elif columns[p] < columns[q]:
            e = data[p]
            p += 1
        else:
            e = -data[q]
            q += 1
        s += e * e
    for t in range(p, p1):
        s += data[t] * data[t]
    for t in range(q, q1):
        s += data[t] * data[t]
    return s


@kernel
def value(c: Any, a: int, b: int) -> float:
    """The working value of a pair of clusters."""
    factor: float = 2.0 / (c.inverse[a] + c.inverse[b])
    spread: float = c.spread[a] + c.spread[b]
    return factor * gap(c.rows, a, b) + spread


@kernel
def less_rounding(rows: Any, spread: Any, slots: Any, i0: int, i1: int, size: Any) -> None:
    """‖c‖² + v of slots, less what it, and its part of twice a dot product, may have lost in float32.

    Of a dot product of m terms that is m·u/(1 - m·u) of ‖a‖·‖b‖ ≤ (‖a‖² + ‖b‖²)/2; rounding the terms, the sizes and
    their sum loses less than 8·u. What underflows is far below the last term.
    """
    for i in range(i0, i1):
        a, s, m = slots[i], 0.0, rows.table.shape[1]
        if rows.table.shape[0] > 0:
            for t in range(m):
                s += rows.table[a, t] * rows.table[a, t]
        else:
            m = rows.start[a + 1] - rows.start[a]
            for t in range(rows.start[a], rows.start[a + 1]):
                s += rows.data[t] * rows.data[t]
        share = m * UNIT
        lost = share / (1.0 - share) + 8.0 * UNIT if share < 0.5 else 4.0
        size[a] = s * (1.0 - lost) - 1e-30 + spread[a]


@kernel
def keys_of_rows(bits: Any, columns: Any, start: Any, i0: int, i1: int, key: Any) -> None:
    """A number of the bits of each row: equal rows have equal ones."""
    for i in range(i0, i1):
        h = np.uint64(0)
        for t in range(start[i], start[i + 1]):
            if columns.shape[0] > 0:
                h = (h ^ np.uint64(columns[t])) * np.uint64(0x9E3779B97F4A7C15)
            h = (h ^ bits[t]) * np.uint64(0xBF58476D1CE4E5B9)
            h ^= h >> np.uint64(29)
        key[i] = h


@kernel
def values_of_rows(c: Any, plain: bool, D: Any, start: int, i0: int, i1: int) -> None:
    """Rows i0 to i1 of the condensed matrix of values, or under `plain` of ‖ci - cj‖²."""
    n, table, spread = c.item.shape[0], c.rows.table, c.spread  # the tuple itself is 60 words to hand over: 0.1 µs
    for i in range(i0, i1):
        if table.shape[0] > 0:
            x = table[i]
            for j in range(i + 1, n):
                D[start + j - i - 1] = dense_gap(x, table[j])
        else:
            for j in range(i + 1, n):
                D[start + j - i - 1] = gap(c.rows, i, j)
        if not plain:
            for j in range(i + 1, n):
                D[start + j - i - 1] += spread[i] + spread[j]
        start += n - 1 - i


# -------------------------------------------------------------------------------------------------- lists of neighbours


@kernel
def mark(i: int, j: int) -> Any:
    """A number of a pair of items that no other pair has, in no order of items: the rule for ties.

    Under the smaller index all equally near clusters would choose the same one, and only a pair a round could merge.
    """
    z = (np.uint64(min(i, j)) << np.uint64(32)) | np.uint64(max(i, j))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@kernel
def insert(who: Any, far: Any, item: Any, a: int, b: int, v: float) -> float:
    """Put cluster b at value v into a's list, nearest first; return the value of what falls off its end, or infinity."""
    k = who.shape[0]
    for t in range(k):
        if who[t] == b:
            return math.inf
    t = k - 1
    if who[t] >= 0 and (v > far[t] or (v == far[t] and mark(item[a], item[b]) > mark(item[a], item[who[t]]))):
        return v
    dropped = far[t] if who[t] >= 0 else math.inf
    while t > 0 and (who[t - 1] < 0 or v < far[t - 1] or (
            v == far[t - 1] and mark(item[a], item[b]) < mark(item[a], item[who[t - 1]]))):
        who[t], far[t] = who[t - 1], far[t - 1]
        t -= 1
    who[t], far[t] = b, v
    return dropped


@kernel
def sift(dots: Any, queries: Any, q0: int, q1: int, c0: int, c: Any, f: Any, lists: Any) -> None:
    """Put the columns of a block of float32 dot products into the lists of queries q0 to q1, where they are near enough.

    f.size is ‖c‖² + v less what float32 may have lost, so what is left of it is at most the value over 2/(1/wa + 1/wb),
    but for LOOSE. The test has no division and no store, so that it runs over eight columns at once.
    """
    two, cols = np.float32(2.0), dots.shape[1]
    size, inverse = f.size[c0:c0 + cols], f.inverse[c0:c0 + cols]
    for q in range(q0, q1):
        a, row = queries[q], dots[q]
        who, far = lists.who[a], lists.far[a]
        last = who.shape[0] - 1
        sa, ia = f.size[a], f.inverse[a]
        half = np.float32(0.5 * LOOSE * far[last] + TINY)
        for s in range(0, cols, CHUNK):
            g, sb, ib = row[s:s + CHUNK], size[s:s + CHUNK], inverse[s:s + CHUNK]
            hits = np.int32(0)
            for t in range(g.shape[0]):
                hits += np.int32((sa + sb[t]) - two * g[t] <= half * (ia + ib[t]))
            if hits == 0:
                continue
            for t in range(g.shape[0]):
                b = c0 + s + t
                if (sa + sb[t]) - two * g[t] <= half * (ia + ib[t]) and b != a and c.item[b] >= 0:
                    insert(who, far, c.item, a, b, value(c, a, b))
                    half = np.float32(0.5 * LOOSE * far[last] + TINY)


@kernel
def settle(queries: Any, lists: Any) -> None:
    """After a search: what is not listed is no nearer than the last of the list, and the first is the nearest."""
    last = lists.who.shape[1] - 1
    for t in range(queries.shape[0]):
        a = queries[t]
        lists.bound[a] = lists.far[a, last]
        lists.nearest[a] = lists.who[a, 0]


# ---------------------------------------------------------------------------------------------------------------- rounds


@kernel
def mutual(nearest: Any, first: Any, second: Any) -> int:
    """Find the pairs of reciprocal nearest neighbours, first < second; return how many."""
    count = 0
    for a in range(nearest.shape[0]):
        b = nearest[a]
        if b > a and nearest[b] == a:
            first[count], second[count] = a, b
            count += 1
    return count


@kernel
def join(c: Any, kind: int, first: Any, second: Any, p0: int, p1: int, height: Any, mate: Any, into: Any) -> None:
    """Merge clusters first[p] and second[p] into first[p]; the rows of dense clusters too."""
    for p in range(p0, p1):
        a, b = first[p], second[p]
        height[p], between = value(c, a, b), gap(c.rows, a, b)
        wa, wb = c.weight[a], c.weight[b]
        share = wb / (wa + wb)
        if c.rows.table.shape[0] > 0:
            x, y = c.rows.table[a], c.rows.table[b]
            for t in range(x.shape[0]):
                x[t] += share * (y[t] - x[t])
        if kind == 0:
            c.inverse[a] = 1.0 / (wa + wb)
        else:
            c.spread[a] += share * (c.spread[b] - c.spread[a]) + share * (1.0 - share) * between
        if kind != 2:
            c.weight[a] = wa + wb
        c.share[a] = share
        c.item[b] = -1
        mate[a], into[b] = b, a


@kernel
def refresh(c: Any, lists: Any, mate: Any, into: Any, a0: int, a1: int) -> None:
    """Carry the lists of clusters a0 to a1 over a round of merges.

    A cluster that holds a listed one is listed; any other is, by reducibility, no nearer than the bound: it still holds.
    """
    k = lists.who.shape[1]
    others, known, who, far = np.empty(2 * k, np.int64), np.empty(2 * k), np.empty(k, np.int64), np.empty(k)
    for a in range(a0, a1):
        if c.item[a] < 0:
            continue
        m, changed, old = 0, mate[a] >= 0, lists.who[a]
        for t in range(k):
            b = old[t]
            if b >= 0:
                new = into[b] != b or mate[b] >= 0 or mate[a] >= 0
                others[m], known[m] = into[b], -1.0 if new else lists.far[a, t]
                changed = changed or new
                m += 1
        if not changed:
            continue
        bound = lists.bound[a]
        if mate[a] >= 0:
            bound = joint_bound(bound, lists.bound[mate[a]], c.share[a])
            old = lists.who[mate[a]]
            for t in range(k):
                if old[t] >= 0:
                    others[m], known[m] = into[old[t]], -1.0
                    m += 1
        who[:] = -1
        far[:] = math.inf
        for t in range(m):
            b = others[t]
            if b != a:
                v = known[t] if known[t] >= 0.0 else value(c, a, b)
                bound = min(bound, insert(who, far, c.item, a, b, v))
        lists.who[a], lists.far[a], lists.bound[a] = who, far, bound
        lists.nearest[a] = who[0] if who[0] >= 0 and far[0] <= bound else -1


@kernel
def joint_bound(x: float, y: float, share: float) -> float:
    """What a union is at least away from a third cluster that its two parts are at least x and y away from.

    Average: the mean by weight. Ward: (wi·x + wj·y + w·(x + y - v))/(wi + wj + w) lies between that mean and x + y - v,
    which is at least max(x, y), because the parts merged at a v that is not above either.
    """
    if max(x, y) == math.inf:
        return min(x, y)
    return max(min(x, y), x + share * (y - x))
