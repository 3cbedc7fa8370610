"""The loops of the engine over members.

They call one another, so they share a file: the cache of compiled kernels would not notice an edit in another one.

`c` are the clusters (`members.Clusters`). The members of one lie side by side; `points` holds their coordinates feature by
feature, so that the distances of one member to many are vector loops, and `of` says which cluster a member is in. Two
clusters are as far apart as the farthest pair of their members, under complete linkage; else it is the mean of all pairs,
the sum of weight times weight times distance over the product of the masses.
"""

from __future__ import annotations

import math
from typing import Any

from shoal.data.metrics import row_of_distances
from shoal.runtime.kernel import kernel
from shoal.trees.kdtree import leaf_squares, point_gap
from shoal.trees.stored_kernels import lance_williams, row_start

__all__ = ["fold", "gather", "measure", "pair_up", "search", "summarise", "unite"]

# -------------------------------------------------------------------------------------------- distances between clusters


@kernel
def accumulate(points: Any, weight: Any, of: Any, metric: int, largest: bool, a0: int, a1: int, b0: int, b1: int,
               room: Any, out: Any, at: int) -> None:
    """Add to out[at + of[b]] wₐ·w_b·d(a, b) of members a0 … a1 and b0 … b1; `largest`: raise it to d(a, b)."""
    for t0 in range(b0, b1, 512):
        m = min(512, b1 - t0)
        s, total = room[0, :m], room[1, :m]
        for t in range(m):
            total[t] = 0.0
        for a in range(a0, a1):
            row_of_distances(metric, points[:, a], points, t0, t0 + m, s)
            w = weight[a]
            if largest:
                for t in range(m):
                    total[t] = max(total[t], s[t])
            elif metric == 0:
                for t in range(m):
                    total[t] += w * math.sqrt(s[t])
            else:
                for t in range(m):
                    total[t] += w * s[t]
        if largest:
            for t in range(m):
                j = at + of[t0 + t]
                out[j] = max(out[j], math.sqrt(total[t]) if metric == 0 else total[t])
        else:
            for t in range(m):
                out[at + of[t0 + t]] += weight[t0 + t] * total[t]


@kernel
def between(points: Any, weight: Any, of: Any, begin: Any, item: Any, mass: Any, metric: int, largest: bool, p: int, q: int,
            room: Any) -> float:
    """Distance of clusters p and q: rows of the one with fewer members, so that (q, p) has the same bits."""
    more = begin[p + 1] - begin[p] - begin[q + 1] + begin[q]
    if more > 0 or (more == 0 and item[p] > item[q]):
        p, q = q, p
    one = room[2]
    one[0] = 0.0
    accumulate(points, weight, of, metric, largest, begin[p], begin[p + 1], begin[q], begin[q + 1], room, one, -q)
    value: float = one[0] if largest else one[0] / (mass[p] * mass[q])
    return value


@kernel
def measure(c: Any, metric: int, largest: bool, triangle: bool, a0: int, a1: int, b0: int, b1: int, room: Any,
            out: Any) -> None:
    """Accumulate members a0 … a1 with members b0 … b1, whole clusters.

    Into a row, for members of one cluster; `triangle`: into the condensed matrix of all clusters.
    """
    i, n = c.of[a0], c.item.shape[0]
    while i < n and c.begin[i] < a1:
        lo, hi, first, at = max(a0, c.begin[i]), min(a1, c.begin[i + 1]), b0, 0
        if triangle:
            first, at = max(b0, c.begin[i + 1]), row_start(i, n) - i - 1
        if first < b1:
            accumulate(c.points, c.weight, c.of, metric, largest, lo, hi, first, b1, room, out, at)
        i += 1


# ------------------------------------------------------------------------------------------- rounds: nearest neighbours


@kernel
def summarise(spread: Any, start: Any, stop: Any, least: Any, inner: int) -> None:
    """least[v] = smallest spread of the clusters of node v."""
    for v in range(least.shape[0] - 1, -1, -1):
        if v < inner:
            least[v] = min(least[2 * v + 1], least[2 * v + 2])
        else:
            least[v] = math.inf
            for p in range(start[v], stop[v]):
                least[v] = min(least[v], spread[p])


@kernel
def within(best: float, size: float, terms: int, spread: float) -> float:
    """Largest ‖c - c'‖² + spread' that a cluster at most `best` away from one of centre c can have.

    By Jensen's inequality no mean of distances is below the distance of the means; and the largest squared distance is
    not below the mean one, ‖c - c'‖² + spread + spread'. A computed centre is off by an ulp of its own size, and by
    `terms` ulps of its cluster's mean distance, which is not above `best`; eight times that is allowed for.
    """
    reach = best + 1e-15 * (size + terms * best)
    return reach * reach - spread


@kernel
def search(x: Any, c: Any, metric: int, largest: bool, v0: int, v1: int, stack: Any, gaps: Any, s: Any, room: Any) -> int:
    """Nearest neighbours of the clusters in leaves v0 … v1 that need one; ties go to the smaller item.

    From the cluster's own leaf outwards. Returns the distances taken, of centres and of members. All in one loop on plain
    arrays: to hand named tuples on counts references, atomically, and that would cost more than the search.
    """
    block, start, stop, low, high, least = x.block, x.start, x.stop, x.low, x.high, x.least
    points, weight, of, begin, mass = c.points, c.weight, c.of, c.begin, c.mass
    centre, spread, item, near, gap = c.centre, c.spread, c.item, c.near, c.gap
    inner, d, terms, work = block.shape[0] - 1, centre.shape[1], points.shape[0] + points.shape[1], 0
    for own in range(v0, v1):
        for p in range(start[own], stop[own]):
            if near[p] >= 0:
                continue
            members, best, who, hint, size = begin[p + 1] - begin[p], math.inf, p, ~near[p], 0.0
            for k in range(d):
                size += abs(centre[p, k])
            if hint != p:
                best, who = between(points, weight, of, begin, item, mass, metric, largest, p, hint, room), hint
                work += members * (begin[hint + 1] - begin[hint])
            limit, v, top = within(best, size, terms, spread[p]), own, 1
            stack[0], gaps[0] = own, 0.0
            while True:
                while top > 0:
                    top -= 1
                    w = stack[top]
                    if gaps[top] > limit:
                        continue
                    if w >= inner:
                        leaf_squares(block, w - inner, centre, p, s)
                        first = start[w]
                        work += stop[w] - first
                        for t in range(stop[w] - first):
                            q = first + t
                            if s[t] + spread[q] > limit or q in (p, hint):
                                continue
                            if metric == 0 and members == 1 and begin[q + 1] - begin[q] == 1:
                                value = math.sqrt(s[t])
                            else:
                                value = between(points, weight, of, begin, item, mass, metric, largest, p, q, room)
                                work += members * (begin[q + 1] - begin[q])
                            if value < best or (value == best and item[q] < item[who]):
                                best, who = value, q
                                limit = within(best, size, terms, spread[p])
                        continue
                    a, b = 2 * w + 1, 2 * w + 2
                    to_a = point_gap(low, high, a, centre, p) + least[a]
                    to_b = point_gap(low, high, b, centre, p) + least[b]
                    if to_a > to_b:
                        a, b, to_a, to_b = b, a, to_b, to_a
                    stack[top], gaps[top] = b, to_b
                    stack[top + 1], gaps[top + 1] = a, to_a  # the nearer child is on top
                    top += 2
                if v == 0:
                    break
                stack[0], top = v + 1 if v & 1 else v - 1, 1
                gaps[0] = point_gap(low, high, stack[0], centre, p) + least[stack[0]]
                v = (v - 1) >> 1
            near[p], gap[p] = who, best
    return work


@kernel
def pair_up(near: Any, gap: Any, mate: Any) -> int:
    """Pair each cluster with its neighbour if neither has a mate and no other is nearer to either. Returns the pairs.

    Ties count as near: on a lattice hardly any two are each other's first choice.
    """
    pairs = 0
    for p in range(near.shape[0]):
        q = near[p]
        if mate[p] < 0 and mate[q] < 0 and gap[q] == gap[p]:
            mate[p], mate[q] = q, p
            pairs += 1
    return pairs


# ------------------------------------------------------------------------------------------------------- new clusters


@kernel
def gather(c: Any, new: Any, parts: Any, offset: Any, share: Any, largest: bool, t0: int, t1: int) -> None:
    """Make clusters t0 … t1 of the old ones parts[offset[t] … offset[t + 1]], whose weights and masses count `share`.

    The centre is that of the centres, and then corrected by the mean of what the members are off it: rounded as if it
    were computed near zero. The spread, the mean squared distance from it, is only kept where it bounds the `largest`.
    """
    d = c.points.shape[0]
    for t in range(t0, t1):
        at, mass = new.begin[t], 0.0
        for u in range(offset[t], offset[t + 1]):
            p = parts[u]
            for i in range(c.begin[p], c.begin[p + 1]):
                for k in range(d):
                    new.points[k, at] = c.points[k, i]
                new.weight[at], new.of[at] = c.weight[i] * share[p], t
                at += 1
            mass += c.mass[p] * share[p]
        p = parts[offset[t]]
        new.mass[t], new.spread[t] = mass, c.spread[p]
        for k in range(d):
            new.centre[t, k] = c.centre[p, k]
        if offset[t + 1] - offset[t] == 1:
            continue
        squares = 0.0
        for k in range(d):
            x, off = c.centre[p, k], 0.0
            for u in range(offset[t] + 1, offset[t + 1]):
                q = parts[u]
                x += c.mass[q] * share[q] / mass * (c.centre[q, k] - c.centre[p, k])
            for i in range(new.begin[t], at):
                off += new.weight[i] * (new.points[k, i] - x)
            new.centre[t, k] = x + off / mass
            if largest:
                for i in range(new.begin[t], at):
                    squares += (new.points[k, i] - new.centre[t, k]) ** 2
        new.spread[t] = squares / (at - new.begin[t])


# ------------------------------------------------------------------------------------------------- chain over kept rows


@kernel
def fold(sums: Any, share: Any, own: float, owner: Any, mass: Any, p: int, largest: bool, row: Any) -> None:
    """Add what was accumulated by old cluster, of a part of p that counts `own`, to the living ones that own them."""
    for j in range(sums.shape[0]):
        if largest:
            row[owner[j]] = max(row[owner[j]], sums[j])
        else:
            row[owner[j]] += own * share[j] / (mass[p] * mass[owner[j]]) * sums[j]


@kernel
def unite(table: Any, holder: Any, slot: int, other: Any, owner: Any, kind: int, p: int, q: int, share: float,
          turned: float) -> None:
    """Merge clusters p < q in all rows held; row `slot` becomes the union's, of its own and the row `other`.

    `share` is q's in the union, `turned` that of the cluster of the row `other`.
    """
    mine = table[slot]
    for j in range(mine.shape[0]):
        if owner[j] == j:
            mine[j] = lance_williams(kind, mine[j], other[j], 0.0, 0.0, 0.0, 0.0, turned, 0.0)
    for r in range(table.shape[0]):
        if holder[r] >= 0:
            table[r, p] = lance_williams(kind, table[r, p], table[r, q], 0.0, 0.0, 0.0, 0.0, share, 0.0)
            table[r, q] = math.inf
    mine[p] = math.inf
