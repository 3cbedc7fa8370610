"""The loops of the blocked engine: exact values of pairs, the filter over a block of dot products, lists of neighbours.

They call one another, so they share a file: the cache of compiled kernels would not notice an edit in another one.

The value of a pair is f·‖ca - cb‖² + (va + vb) in float64, the same bits for (a, b) and (b, a). It alone decides. Under
ward f is 2·wa·wb/(wa + wb) and va, vb are 0; else f is 1 and va is the mean squared distance of a's items from its centre,
so that the value is the mean squared distance between the items of a and b.

‖ca - cb‖² is summed over the differences of the coordinates. Of sparse rows it is ‖ca‖² + ‖cb‖² - 2·ca·cb instead, unless
nearly all of that cancels: the dot product, summed over the common columns as they ascend, is what `multiply` finds for
many rows at once, to the same bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from shoal.runtime.kernel import kernel

__all__ = ["count_joined", "join", "join_rows", "keys_of_rows", "lay_out", "less_rounding", "multiply", "mutual", "refresh",
           "settle", "sift", "sift_products", "sizes_of_rows", "values_of_products", "values_of_rows"]

ACROSS = 128  # sparse columns of a block of dot products: 64 kB with 64 queries
CHUNK = 128  # columns that one comparison stands for
LOOSE = 1.000001  # 16 ulp of float32: more than the arithmetic of the filter loses
UNIT = 2.0**-24  # float32 rounds by at most this share,
UNIT64 = 2.0**-53  # and float64 by this
TINY = 1e-37  # added to a threshold that would vanish in float32
NEAR = 1.0 / 64.0  # share of ‖a‖² + ‖b‖² below which ‖a - b‖² is summed over differences: no more than 6 bits cancel


# ----------------------------------------------------------------------------------------------------- values of pairs


@kernel
def gap(rows: Any, a: int, b: int) -> float:
    """‖ca - cb‖²."""
    return gap_by_dot(rows, a, b, 0.0 if rows.table.shape[0] > 0 else sparse_dot(rows, a, b))


@kernel
def gap_by_dot(rows: Any, a: int, b: int, dot: float) -> float:
    """‖ca - cb‖², of sparse rows by their dot product."""
    if rows.table.shape[0] > 0:
        return dense_gap(rows.table[a], rows.table[b])
    both = rows.norm[a] + rows.norm[b]
    far: float = both - 2.0 * dot
    if far >= NEAR * both:
        return far
    return sparse_gap(rows.data, rows.columns, rows.start[a], rows.stop[a], rows.start[b], rows.stop[b])


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
def sparse_dot(rows: Any, a: int, b: int) -> float:
    """a·b of two sparse rows, over their common columns as they ascend."""
    columns, data, s = rows.columns, rows.data, 0.0
    p, p1, q, q1 = rows.start[a], rows.stop[a], rows.start[b], rows.stop[b]
    while p < p1 and q < q1:
        k, j = columns[p], columns[q]
        if k == j:
            s += data[p] * data[q]
        p += k <= j  # no branch to mispredict: a quarter faster
        q += j <= k
    return s


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
def value_by_dot(c: Any, a: int, b: int, dot: float) -> float:
    """The same, of sparse rows by their dot product."""
    factor: float = 2.0 / (c.inverse[a] + c.inverse[b])
    spread: float = c.spread[a] + c.spread[b]
    return factor * gap_by_dot(c.rows, a, b, dot) + spread


@kernel
def value_beside(c: Any, a: int, b: int, long: Any, table: Any) -> float:
    """The same, where row long[i] of a dense table holds the long sparse row i: the columns of the other are enough."""
    if long.shape[0] == 0 or max(long[a], long[b]) < 0:
        return value(c, a, b)
    t, other = (long[b], a) if long[b] >= 0 else (long[a], b)
    s = 0.0
    for p in range(c.rows.start[other], c.rows.stop[other]):
        s += c.rows.data[p] * table[t, c.rows.columns[p]]
    return value_by_dot(c, a, b, s)


@kernel
def sizes_of_rows(rows: Any, i0: int, i1: int) -> None:
    """‖c‖² of sparse rows i0 to i1, in the order of their columns."""
    for i in range(i0, i1):
        s = 0.0
        for p in range(rows.start[i], rows.stop[i]):
            s += rows.data[p] * rows.data[p]
        rows.norm[i] = s


@kernel
def less_rounding(rows: Any, spread: Any, slots: Any, i0: int, i1: int, size: Any) -> None:
    """‖c‖² + v of slots, less what it, and its part of twice a dot product, may have lost: dense rows in float32.

    Of a dot product of m terms that is m·u/(1 - m·u) of ‖a‖·‖b‖ ≤ (‖a‖² + ‖b‖²)/2; rounding the terms, the sizes and
    their sum loses less than 8·u. What underflows is far below the last term.
    """
    for i in range(i0, i1):
        a, s, m, unit = slots[i], 0.0, rows.table.shape[1], UNIT
        if rows.table.shape[0] > 0:
            for t in range(m):
                s += rows.table[a, t] * rows.table[a, t]
        else:
            s, m, unit = rows.norm[a], rows.stop[a] - rows.start[a], UNIT64
        share = m * unit
        lost = share / (1.0 - share) + 8.0 * unit if share < 0.5 else 4.0
        size[a] = s * (1.0 - lost) - 1e-30 + spread[a]


@kernel
def keys_of_rows(bits: Any, columns: Any, start: Any, stop: Any, i0: int, i1: int, key: Any) -> None:
    """A number of the bits of each row: equal rows have equal ones."""
    for i in range(i0, i1):
        h = np.uint64(0)
        for t in range(start[i], stop[i]):
            if columns.shape[0] > 0:
                h = (h ^ np.uint64(columns[t])) * np.uint64(0x9E3779B97F4A7C15)
            h = (h ^ bits[t]) * np.uint64(0xBF58476D1CE4E5B9)
            h ^= h >> np.uint64(29)
        key[i] = h


@kernel
def values_of_rows(c: Any, plain: bool, D: Any, start: int, i0: int, i1: int) -> None:
    """Rows i0 to i1 of the condensed matrix of values of dense rows, or under `plain` of ‖ci - cj‖²."""
    n, table, spread = c.item.shape[0], c.rows.table, c.spread  # the tuple itself is 60 words to hand over: 0.1 µs
    for i in range(i0, i1):
        x = table[i]
        for j in range(i + 1, n):
            D[start + j - i - 1] = dense_gap(x, table[j])
        if not plain:
            for j in range(i + 1, n):
                D[start + j - i - 1] += spread[i] + spread[j]
        start += n - 1 - i


# -------------------------------------------------------------------------------------------------------- sparse products


@kernel
def lay_out(rows: Any, queries: Any, place: Any, table: Any) -> None:
    """Write sparse rows side by side: column k of query t to table[place[k], t]; row 0 stays for columns they have not."""
    used = 0
    for t in range(queries.shape[0]):
        for p in range(rows.start[queries[t]], rows.stop[queries[t]]):
            k = rows.columns[p]
            if place[k] == 0:
                used += 1
                place[k] = used
            table[place[k], t] = rows.data[p]


@kernel
def multiply(place: Any, table: Any, rows: Any, b0: int, b1: int, dots: Any) -> None:
    """dots[t, b - b0] = (query t)·(row b), over the columns of b as they ascend, all queries side by side.

    Four columns a pass: a quarter of the loads and stores of the sums, the same order of terms.
    """
    columns, data, start, stop = rows.columns, rows.data, rows.start, rows.stop
    s = np.empty(table.shape[1])
    for b in range(b0, b1):
        for t in range(s.shape[0]):
            s[t] = 0.0
        p, p1 = start[b], stop[b]
        while p + 4 <= p1:
            w, x, y, z = data[p], data[p + 1], data[p + 2], data[p + 3]
            qw, qx = table[place[columns[p]]], table[place[columns[p + 1]]]
            qy, qz = table[place[columns[p + 2]]], table[place[columns[p + 3]]]
            for t in range(s.shape[0]):
                v = s[t] + w * qw[t]
                v += x * qx[t]
                v += y * qy[t]
                s[t] = v + z * qz[t]
            p += 4
        while p < p1:
            w, qw = data[p], table[place[columns[p]]]
            for t in range(s.shape[0]):
                s[t] += w * qw[t]
            p += 1
        for t in range(s.shape[0]):
            dots[t, b - b0] = s[t]


@kernel
def values_of_products(place: Any, table: Any, i0: int, c: Any, plain: bool, D: Any) -> None:
    """The same of sparse rows: of those in `table`, i0 and on, with all that come after them."""
    n, dots = c.item.shape[0], np.empty((table.shape[1], ACROSS))
    for b0 in range(i0, n, ACROSS):
        b1 = min(b0 + ACROSS, n)
        multiply(place, table, c.rows, b0, b1, dots)
        for t in range(table.shape[1]):
            i = i0 + t
            start = i * n - i * (i + 1) // 2 - i - 1
            for j in range(max(i + 1, b0), b1):
                far = gap_by_dot(c.rows, i, j, dots[t, j - b0])
                D[start + j] = far if plain else far + (c.spread[i] + c.spread[j])


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
def sift(dots: Any, queries: Any, c0: int, c1: int, c: Any, f: Any, lists: Any) -> None:
    """Put columns c0 to c1 into the lists of the queries, where their dot products say that they are near enough.

    f.size is ‖c‖² + v less what rounding may have taken, so what is left of it is at most the value over 2/(1/wa + 1/wb),
    but for LOOSE. The test has no division and no store, so that it runs over a vector of columns at once.
    """
    single, cols = dots.dtype.type, c1 - c0
    two = single(2.0)
    size, inverse = f.size[c0:c1], f.inverse[c0:c1]
    for q in range(queries.shape[0]):
        a, row = queries[q], dots[q]
        who, far = lists.who[a], lists.far[a]
        last = who.shape[0] - 1
        sa, ia = f.size[a], f.inverse[a]
        half = single(0.5 * LOOSE * far[last] + TINY)
        for s in range(0, cols, CHUNK):
            e = min(s + CHUNK, cols)
            g, sb, ib = row[s:e], size[s:e], inverse[s:e]
            hits = np.int32(0)
            for t in range(g.shape[0]):
                hits += np.int32((sa + sb[t]) - two * g[t] <= half * (ia + ib[t]))
            if hits == 0:
                continue
            for t in range(g.shape[0]):
                b = c0 + s + t
                if (sa + sb[t]) - two * g[t] <= half * (ia + ib[t]) and b != a and c.item[b] >= 0:
                    insert(who, far, c.item, a, b, value_by_dot(c, a, b, np.float64(g[t])))
                    half = single(0.5 * LOOSE * far[last] + TINY)


@kernel
def sift_products(place: Any, table: Any, queries: Any, c: Any, f: Any, lists: Any) -> None:
    """The same of sparse rows: the queries in `table` with all columns, in blocks that stay in the first-level cache."""
    n = f.size.shape[0]
    dots = np.empty((queries.shape[0], ACROSS))
    for c0 in range(0, n, ACROSS):
        c1 = min(c0 + ACROSS, n)
        multiply(place, table, c.rows, c0, c1, dots)
        sift(dots, queries, c0, c1, c, f, lists)


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
def count_joined(rows: Any, mate: Any, slots: Any, i0: int, i1: int, count: Any) -> None:
    """How many columns the sparse rows of slots have, with those of their mates."""
    columns = rows.columns
    for i in range(i0, i1):
        a, b = slots[i], mate[slots[i]]
        p, p1 = rows.start[a], rows.stop[a]
        m = p1 - p
        if b >= 0:
            q, q1 = rows.start[b], rows.stop[b]
            m += q1 - q
            while p < p1 and q < q1:
                k, j = columns[p], columns[q]
                m -= k == j
                p += k <= j
                q += j <= k
        count[i] = m


@kernel
def join_rows(rows: Any, mate: Any, share: Any, slots: Any, i0: int, i1: int, start: Any, data: Any, columns: Any) -> None:
    """Write sparse rows of slots to places start[i] …, with their mates: x + share·(y - x)."""
    for i in range(i0, i1):
        a, b, r = slots[i], mate[slots[i]], start[i]
        p, p1 = rows.start[a], rows.stop[a]
        if b < 0:
            for t in range(p1 - p):
                columns[r + t], data[r + t] = rows.columns[p + t], rows.data[p + t]
            continue
        q, q1, s = rows.start[b], rows.stop[b], 0.0
        while p < p1 or q < q1:
            x = y = 0.0
            k = rows.columns[p] if q == q1 or (p < p1 and rows.columns[p] < rows.columns[q]) else rows.columns[q]
            if p < p1 and rows.columns[p] == k:
                x = rows.data[p]
                p += 1
            if q < q1 and rows.columns[q] == k:
                y = rows.data[q]
                q += 1
            x += share[a] * (y - x)
            columns[r], data[r] = k, x
            s += x * x
            r += 1
        rows.norm[a] = s


@kernel
def refresh(c: Any, lists: Any, mate: Any, into: Any, long: Any, table: Any, a0: int, a1: int) -> None:
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
                v = known[t] if known[t] >= 0.0 else value_beside(c, a, b, long, table)
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
