"""The loops of the stored-matrix engine.

They call one another, so they share a file: the cache of compiled kernels would not notice an edit in another one.

D is the condensed matrix of n clusters: row i holds d(i, i+1) … d(i, n-1). Clusters keep the order of their smallest
items, so "smaller index" and "smaller item" are the same tie rule.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from shoal.runtime.kernel import kernel, prefetch

__all__ = ["add_shortest", "closest_pairs", "follow_chain", "merge_rows", "nearest_foreign", "pair_up",
           "raise_to_children", "scan_rows", "sized"]

# ------------------------------------------------------------------------------------------------------------ addressing


@kernel
def row_start(i: int, n: int) -> int:
    """Return where row i begins: the place of d(i, i + 1)."""
    return i * n - i * (i + 1) // 2


@kernel
def entry(i: int, j: int, n: int) -> int:
    """Return the place of d(i, j), for i ≠ j in any order."""
    if i > j:
        i, j = j, i
    return i * n - i * (i + 1) // 2 + j - i - 1


@kernel
def column_above(D: Any, n: int, j: int, start: int, out: Any) -> None:
    """out[c] = d(c, j) for start ≤ c < j: one cache line an entry, so they are asked for 64 entries ahead."""
    at = row_start(start, n) + j - start - 1
    ahead = row_start(start + 64, n) + j - start - 65
    for c in range(start, j):
        if c + 64 < j:
            prefetch(D, ahead)
            ahead += n - 66 - c
        out[c] = D[at]
        at += n - 2 - c


@kernel
def lance_williams(kind: int, x: float, y: float, h: float, wi: float, wj: float, wl: float, share: float,
                   drop: float) -> float:
    """d(i∪j, l) from x = d(i, l), y = d(j, l), h = d(i, j).

    complete: max(x, y);  ward: ((wᵢ+wₗ)x + (wⱼ+wₗ)y - wₗh)/(wᵢ+wⱼ+wₗ);
    otherwise x + share·(y - x) - drop·h, which is exactly x when x = y and drop = 0, so ties stay ties.
    """
    x, y = np.float64(x), np.float64(y)  # of a float32 matrix, where Python and the compiler would differ
    if kind == 0:
        return x if x > y else y
    if kind == 2:
        return ((wi + wl) * x + (wj + wl) * y - wl * h) / (wi + wj + wl)
    return x + share * (y - x) - drop * h


# ---------------------------------------------------------------------------------------------------- nearest neighbours


@kernel
def smallest(values: Any, lane: Any, chunk: Any) -> tuple[float, int]:
    """Minimum and its first place. Lanes side by side: a plain search for the place is not a vector loop."""
    m, width = values.shape[0], lane.shape[0]
    for u in range(min(width, m)):
        lane[u] = values[u]
        chunk[u] = 0
    for c in range(width, m, width):
        part = values[c:c + width]
        for u in range(part.shape[0]):
            less = part[u] < lane[u]
            lane[u] = part[u] if less else lane[u]
            chunk[u] = c if less else chunk[u]
    value, place = math.inf, -1
    for u in range(min(width, m)):
        if lane[u] < value or (lane[u] == value and chunk[u] + u < place):
            value, place = lane[u], chunk[u] + u
    return value, place


@kernel
def see_row(row: Any, i: int, seen: Any) -> None:
    """Take d(i, i+1) … into the nearest neighbours seen so far, of i and of the clusters after it."""
    best, arg = seen.best[i + 1:], seen.arg[i + 1:]
    for t in range(row.shape[0]):
        less = row[t] < best[t]
        best[t] = row[t] if less else best[t]
        arg[t] = i if less else arg[t]
    value, place = smallest(row, seen.lane, seen.chunk)
    if value < seen.best[i]:  # on a tie the neighbour before i, seen from an earlier row, has the smaller index
        seen.best[i] = value
        seen.arg[i] = i + 1 + place


@kernel
def scan_rows(D: Any, start: int, n: int, i0: int, i1: int, seen: Any) -> None:
    """Nearest neighbours as seen from rows i0 … i1, which begin at D[start]."""
    for i in range(i0, i1):
        see_row(D[start:start + n - 1 - i], i, seen)
        start += n - 1 - i


# ---------------------------------------------------------------------------------------- rounds: all reciprocal pairs


@kernel
def pair_up(nn: Any, nnd: Any, weight: Any, by_weight: int, next: Any) -> int:
    """Clusters of the next round: reciprocal neighbours i < j become one, the others stay. Returns their number."""
    count = 0
    for i in range(nn.shape[0]):
        j = nn[i]
        mutual = nn[j] == i
        if mutual and j < i:
            continue
        next.first[count] = i
        next.second[count] = j if mutual else -1
        next.gap[count] = nnd[i]
        next.share[count] = weight[j] / (weight[i] + weight[j]) if mutual and by_weight == 1 else 0.5
        count += 1
    return count


@kernel
def merged_row(D: Any, n: int, kind: int, k: int, next: Any, weight: Any, r: Any) -> None:
    """Row of the next round's cluster k = i∪j against the old clusters after i, into r; of i alone when it has no j."""
    i, j, h, share = next.first[k], next.second[k], next.gap[k], next.share[k]
    at_i = row_start(i, n) - i - 1
    if j < 0:
        for c in range(i + 1, n):
            r[c] = D[at_i + c]
        return
    wi, wj = weight[i], weight[j]
    column_above(D, n, j, i + 1, r)
    for c in range(i + 1, j):
        r[c] = lance_williams(kind, D[at_i + c], r[c], h, wi, wj, weight[c], share, 0.0)
    at_j = row_start(j, n) - j - 1
    for c in range(j + 1, n):
        r[c] = lance_williams(kind, D[at_i + c], D[at_j + c], h, wi, wj, weight[c], share, 0.0)


@kernel
def merge_rows(D: Any, n: int, kind: int, next: Any, weight: Any, k0: int, k1: int, out: Any, r: Any, seen: Any) -> None:
    """Rows k0 … k1 of the next matrix, from the old matrix D, to `out`; and the neighbours seen from them.

    Both sides of an entry may have merged: first the row (i∪j against every old cluster), then, within that row, the
    columns (against p∪q). `next.pairs` lists the merged ones: a branch in a loop over all is mispredicted too often.
    """
    first, second, gap, share, pairs = next.first, next.second, next.gap, next.share, next.pairs
    m, p, q = first.shape[0], 0, 0
    for k in range(k0, k1):
        merged_row(D, n, kind, k, next, weight, r)
        row, later = out[p:p + m - 1 - k], first[k + 1:]
        for t in range(row.shape[0]):
            row[t] = r[later[t]]
        while q < pairs.shape[0] and pairs[q] <= k:
            q += 1
        wk = weight[first[k]] + (weight[second[k]] if second[k] >= 0 else 0.0)
        for u in range(q, pairs.shape[0]):
            c = pairs[u]
            a, b = first[c], second[c]
            row[c - k - 1] = lance_williams(kind, r[a], r[b], gap[c], weight[a], weight[b], wk, share[c], 0.0)
        see_row(row, k, seen)
        p += m - 1 - k


# --------------------------------------------------------------------------------- chain: one reciprocal pair at a time


@kernel
def join(D: Any, n: int, kind: int, i: int, j: int, h: float, share: float, s: Any) -> None:
    """Merge j into i < j in place: slot i becomes i∪j, slot j dies."""
    wi, wj, weight, alive = s.weight[i], s.weight[j], s.weight, s.alive
    for c in range(n):
        if alive[c] and c != i and c != j:
            at = entry(i, c, n)
            D[at] = lance_williams(kind, D[at], D[entry(j, c, n)], h, wi, wj, weight[c], share, 0.0)
    weight[i] = wi + wj
    alive[j] = False


@kernel
def nearest_alive(D: Any, n: int, x: int, alive: Any) -> tuple[float, int]:
    """Distance and index of the nearest living cluster; ties go to the smaller index."""
    value, place = math.inf, -1
    at = x - 1
    for c in range(x):
        if alive[c] and D[at] < value:
            value, place = D[at], c
        at += n - 2 - c
    at = row_start(x, n) - x - 1
    for c in range(x + 1, n):
        if alive[c] and D[at + c] < value:
            value, place = D[at + c], c
    return value, place


@kernel
def record(s: Any, count: Any, i: int, j: int, h: float) -> None:
    """Note the merge of slots i and j; count = [length of the chain, living clusters, merges made]."""
    s.a[count[2]], s.b[count[2]], s.h[count[2]] = s.item[i], s.item[j], h
    count[2] += 1
    count[1] -= 1


@kernel
def follow_chain(D: Any, n: int, kind: int, by_weight: int, s: Any, count: Any, until: int, budget: int) -> None:
    """Nearest-neighbour chain until `until` clusters live or `budget` entries were visited.

    A cached neighbour stays the nearest as long as neither it nor the cluster itself has merged since: by reducibility
    nothing else can have come closer. On a tie the chain turns back, or it could run in a circle.
    """
    spent = 0
    while count[1] > until and spent < budget:
        if count[0] == 0:
            x = 0
            while not s.alive[x]:
                x += 1
            s.chain[0] = x
            count[0] = 1
        x = s.chain[count[0] - 1]
        y = s.nn[x]
        if not s.alive[y] or s.born[y] > s.looked[x] or s.born[x] > s.looked[x]:
            value, y = nearest_alive(D, n, x, s.alive)
            s.nn[x], s.nnd[x], s.looked[x] = y, value, count[2]
            spent += n
        before = s.chain[count[0] - 2] if count[0] > 1 else -1
        if before >= 0 and D[entry(x, before, n)] <= s.nnd[x]:
            y = before
        if y != before:
            s.chain[count[0]] = y
            count[0] += 1
            continue
        i, j = min(x, y), max(x, y)
        h = D[entry(i, j, n)]
        share = s.weight[j] / (s.weight[i] + s.weight[j]) if by_weight == 1 else 0.5
        join(D, n, kind, i, j, h, share, s)
        spent += n
        record(s, count, i, j, h)
        s.born[i] = count[2]
        count[0] -= 2


# ------------------------------------------------------------------- closest pair first: centroid and median linkage


@kernel
def nearest_after(D: Any, n: int, i: int, s: Any) -> tuple[float, int]:
    """Distance and index of the nearest living cluster after i."""
    at, masked, alive = row_start(i, n) - i - 1, s.masked, s.alive
    for c in range(i + 1, n):
        masked[c] = D[at + c] if alive[c] else math.inf
    value, place = smallest(masked[i + 1:], s.lane, s.chunk)
    return value, place + i + 1


@kernel
def join_closest(D: Any, n: int, i: int, j: int, h: float, share: float, s: Any) -> None:
    """Merge j into i < j, and keep every row's bound below its distances to later clusters.

    d²(i∪j, l) = x + share·(y - x) - share·(1 - share)·h. Plain loops one after the other: each is a vector loop, but for
    the two that fetch and store column i.
    """
    to_i, to_j, nn, nnd, alive = s.to_i, s.to_j, s.nn, s.nnd, s.alive
    alive[j] = False
    column_above(D, n, i, 0, to_i)
    column_above(D, n, j, 0, to_j)
    at_i, at_j = row_start(i, n) - i - 1, row_start(j, n) - j - 1
    for c in range(i + 1, n):
        to_i[c] = D[at_i + c]
    for c in range(j + 1, n):
        to_j[c] = D[at_j + c]
    drop = share * (1.0 - share) * h
    for c in range(n):
        x = np.float64(to_i[c])
        to_i[c] = x + share * (np.float64(to_j[c]) - x) - drop
    at = i - 1
    for c in range(i):
        D[at] = to_i[c]
        at += n - 2 - c
    for c in range(i + 1, n):
        D[at_i + c] = to_i[c]
    for c in range(i):  # a row whose neighbour changed keeps its bound, which still holds
        nearer = alive[c] & (to_i[c] < nnd[c])
        gone = (nn[c] == i) | (nn[c] == j)
        nnd[c] = to_i[c] if nearer else nnd[c]
        nn[c] = i if nearer else (-1 if gone else nn[c])
    for c in range(i + 1, n):
        nn[c] = -1 if nn[c] == j else nn[c]
    nnd[i], nn[i] = nearest_after(D, n, i, s)
    nnd[j] = math.inf


@kernel
def closest_pairs(D: Any, n: int, kind: int, by_weight: int, s: Any, count: Any, until: int, budget: int) -> None:
    """Merge the closest pair again and again (Müllner's generic algorithm), with the arguments of follow_chain."""
    spent = 0
    while count[1] > until and spent < budget:
        h, i = smallest(s.nnd, s.lane, s.chunk)
        j = s.nn[i]
        if j < 0:
            s.nnd[i], s.nn[i] = nearest_after(D, n, i, s)
            spent += 2 * n - i
            continue
        wi, wj = s.weight[i], s.weight[j]
        join_closest(D, n, i, j, h, wj / (wi + wj) if by_weight == 1 else 0.5, s)
        s.weight[i] = wi + wj
        spent += 3 * n
        record(s, count, i, j, h)


# ----------------------------------------------------------------------------------------- single: a spanning tree


@kernel
def nearest_foreign(D: Any, start: int, n: int, i0: int, i1: int, tree: Any, masked: Any, seen: Any) -> None:
    """As scan_rows, counting only neighbours in another tree of the forest."""
    for i in range(i0, i1):
        m = n - 1 - i
        row, own, others = D[start:start + m], tree[i], tree[i + 1:]
        for t in range(m):
            masked[t] = row[t] if others[t] != own else math.inf
        see_row(masked[:m], i, seen)
        start += m


@kernel
def root_of(root: Any, t: int) -> int:
    """Return the root of t, halving the path to it."""
    while root[t] != t:
        root[t] = root[root[t]]
        t = root[t]
    return t


@kernel
def add_shortest(best: Any, arg: Any, tree: Any, edge: Any, root: Any, s: Any, made: int) -> int:
    """One Borůvka round: every tree takes its shortest edge out, by (length, smaller end, larger end)."""
    n = best.shape[0]
    for t in range(n):
        edge[t] = -1
        root[t] = t
    for x in range(n):
        if arg[x] < 0:
            continue
        e = edge[tree[x]]
        if e >= 0:
            lo, hi, elo, ehi = min(x, arg[x]), max(x, arg[x]), min(e, arg[e]), max(e, arg[e])
            if best[x] > best[e] or (best[x] == best[e] and (lo > elo or (lo == elo and hi >= ehi))):
                continue
        edge[tree[x]] = x
    for t in range(n):
        if edge[t] >= 0:
            x = edge[t]
            u, v = root_of(root, t), root_of(root, tree[arg[x]])
            if u != v:  # two trees that chose the same edge add it once
                root[max(u, v)] = min(u, v)
                s.a[made], s.b[made], s.h[made] = min(x, arg[x]), max(x, arg[x]), best[x]
                made += 1
    for x in range(n):
        tree[x] = root_of(root, tree[x])
    return made


# ------------------------------------------------------------------------------------------------- before and after


@kernel
def sized(D: Any, start: int, n: int, i0: int, i1: int, scale: float, squared: bool, ward: bool, weight: Any) -> None:
    """Working values in place: (scale·d)², under ward with 2wᵢwⱼ/(wᵢ+wⱼ), so that a height is sqrt(2·ΔSSE)."""
    for i in range(i0, i1):
        row, others, wi = D[start:start + n - 1 - i], weight[i + 1:], weight[i]
        for t in range(row.shape[0]):
            v = scale * np.float64(row[t])
            if squared:
                v *= v
            if ward:
                v *= 2.0 * wi * others[t] / (wi + others[t])
            row[t] = v
        start += n - 1 - i


@kernel
def raise_to_children(a: Any, b: Any, h: Any, root: Any, top: Any, raised: Any) -> None:
    """raised[t] = max(h[t], raised of the merges that made its two sides)."""
    for t in range(a.shape[0]):
        x, y = root_of(root, a[t]), root_of(root, b[t])
        raised[t] = max(h[t], top[x], top[y])
        root[max(x, y)] = min(x, y)
        top[min(x, y)] = raised[t]
