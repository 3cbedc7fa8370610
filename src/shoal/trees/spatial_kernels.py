"""The loops of the engine in linear memory.

They call one another, so they share a file: the cache of compiled kernels would not notice an edit in another one.

Clusters are known by their position in the kd-tree's order. `c` are their columns (`spatial.Clusters`), `x` the tree with
its leaves' weights (`spatial.Index`). A neighbour that must be searched for is kept as ~hint: a cluster that gives the
search its first bound, or the cluster itself when there is none.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from shoal.runtime.kernel import kernel

__all__ = ["follow", "follow_chain", "join", "pair_up", "search", "settle", "summarise"]

SAFE = 1.0 - 1e-15  # a bound's factor is rounded three times: 3·1.1e-16, and products of it again
NOBODY = 1 << 62  # an item after all others

# --------------------------------------------------------------------------------------------------- nearest neighbour


@kernel
def factor(wa: float, wb: float) -> float:
    """2·wa·wb/(wa+wb): times the squared distance of the means it is a squared height, 2·ΔSSE. Symmetric in its bits."""
    # `/` would look for zero, and no loop with such a branch is a vector loop.
    ratio: float = np.divide(2.0 * (wa * wb), wa + wb)
    return ratio


@kernel
def apart(centre: Any, weight: Any, p: int, q: int) -> float:
    """Squared height of the merge of p and q, with the same bits as `look_in_leaf` has."""
    total = 0.0
    for k in range(centre.shape[1]):
        total += (centre[q, k] - centre[p, k]) * (centre[q, k] - centre[p, k])
    return total * factor(weight[p], weight[q])


@kernel
def bound(low: Any, high: Any, lightest: Any, v: int, centre: Any, p: int, weight: float) -> float:
    """At most the squared height of merging p with any cluster of node v."""
    total = 0.0
    for k in range(centre.shape[1]):  # selections, no branches: of those every second one would be mispredicted
        y = centre[p, k]
        below, above = low[v, k] - y, y - high[v, k]
        gap = below if below > above else above
        gap = gap if gap > 0.0 else 0.0
        total += gap * gap
    return SAFE * (total * factor(weight, lightest[v]))


@kernel
def look_in_leaf(flat: Any, load: Any, leaf: int, centre: Any, p: int, weight: float, s: Any) -> None:
    """s[t] = squared height of merging p with cluster t of the leaf; inf for padding.

    One flat array and unsigned places: slices would be counted, and signed places might be negative, which no vector
    loop allows for.
    """
    d, m = centre.shape[1], s.shape[0]
    at, y = np.uint64(leaf * d * m), centre[p, 0]
    for t in range(m):
        s[t] = (flat[at + np.uint64(t)] - y) * (flat[at + np.uint64(t)] - y)
    for k in range(1, d):
        at, y = np.uint64((leaf * d + k) * m), centre[p, k]
        for t in range(m):
            s[t] += (flat[at + np.uint64(t)] - y) * (flat[at + np.uint64(t)] - y)
    for t in range(m):
        s[t] *= factor(weight, load[leaf, t])


@kernel
def search(x: Any, c: Any, v0: int, v1: int, stack: Any, gaps: Any, s: Any) -> None:
    """Nearest neighbours of the clusters in leaves v0 … v1 that need one; ties go to the smaller item.

    From the cluster's own leaf outwards to ever larger surroundings. All in one loop: to hand the named tuples on to
    another kernel counts references to a score of arrays, atomically, and that would cost more than the search.
    """
    flat, load, start, stop, low, high = x.flat, x.load, x.start, x.stop, x.low, x.high
    lightest, least, inner = x.lightest, x.least, x.block.shape[0] - 1
    centre, weight, item = c.centre, c.weight, c.item
    for own in range(v0, v1):
        for p in range(start[own], stop[own]):
            if c.near[p] >= 0:
                continue
            wp, near, best, who, v = weight[p], ~c.near[p], math.inf, NOBODY, own
            if near != p:
                best, who = apart(centre, weight, p, near), item[near]
            stack[0], gaps[0], top = own, 0.0, 1
            while True:
                while top > 0:
                    top -= 1
                    w = stack[top]
                    if gaps[top] > best or (gaps[top] == best and least[w] >= who):
                        continue
                    if w >= inner:
                        look_in_leaf(flat, load, w - inner, centre, p, wp, s)
                        first = start[w]
                        for t in range(stop[w] - first):
                            if s[t] <= best and first + t != p and (s[t] < best or item[first + t] < who):
                                best, near, who = s[t], first + t, item[first + t]
                        continue
                    a, b = 2 * w + 1, 2 * w + 2
                    to_a = bound(low, high, lightest, a, centre, p, wp)
                    to_b = bound(low, high, lightest, b, centre, p, wp)
                    if to_a > to_b or (to_a == to_b and least[a] > least[b]):
                        a, b, to_a, to_b = b, a, to_b, to_a
                    stack[top], gaps[top] = b, to_b
                    stack[top + 1], gaps[top + 1] = a, to_a  # the nearer child is on top
                    top += 2
                if v == 0:
                    break
                stack[0], top = v + 1 if v & 1 else v - 1, 1
                gaps[0] = bound(low, high, lightest, stack[0], centre, p, wp)
                v = (v - 1) >> 1
            c.near[p], c.gap[p] = near, best


# ------------------------------------------------------------------------------------------------------- a new kd-tree


@kernel
def bound_leaf(x: Any, c: Any, v: int) -> None:
    """Smallest weight and smallest item in leaf v; 1 and NOBODY when all its clusters are dead."""
    leaf = v - (x.block.shape[0] - 1)
    lightest, least = math.inf, NOBODY
    for t in range(x.stop[v] - x.start[v]):
        if x.block[leaf, 0, t] < math.inf:
            lightest = min(lightest, x.load[leaf, t])
            least = min(least, c.item[x.start[v] + t])
    x.lightest[v], x.least[v] = lightest if lightest < math.inf else 1.0, least


@kernel
def settle(x: Any, old: Any, c: Any, order: Any, place: Any, v0: int, v1: int) -> None:
    """Bring the clusters of leaves v0 … v1 into the tree's order; `place` is the inverse of `order`."""
    for v in range(v0, v1):
        leaf, first = v - (x.block.shape[0] - 1), x.start[v]
        for t in range(x.load.shape[1]):
            x.load[leaf, t] = 1.0
        for p in range(first, x.stop[v]):
            was = order[p]
            for k in range(c.centre.shape[1]):
                c.centre[p, k] = x.block[leaf, k, p - first]
            c.weight[p], c.item[p], c.gap[p] = old.weight[was], old.item[was], old.gap[was]
            near = old.near[was]
            c.near[p] = place[near] if near >= 0 else ~place[~near]
            x.load[leaf, p - first] = c.weight[p]
        bound_leaf(x, c, v)


@kernel
def summarise(x: Any) -> None:
    """Smallest weight and smallest item of every inner node."""
    for v in range(x.block.shape[0] - 2, -1, -1):
        x.lightest[v] = min(x.lightest[2 * v + 1], x.lightest[2 * v + 2])
        x.least[v] = min(x.least[2 * v + 1], x.least[2 * v + 2])


# ----------------------------------------------------------------------------------------- rounds: all pairs at once


@kernel
def pair_up(c: Any, mate: Any, p0: int, p1: int) -> int:
    """Pair each of p0 … p1 with its neighbour if neither has a mate and no other is nearer to either. Returns the pairs.

    Ties count as near: on a lattice hardly any two are each other's first choice.
    """
    pairs = 0
    for p in range(p0, p1):
        q = c.near[p]
        if mate[p] < 0 and mate[q] < 0 and c.gap[q] == c.gap[p]:
            mate[p], mate[q] = q, p
            pairs += 1
    return pairs


@kernel
def blend(c: Any, p: int, q: int, to: int) -> None:
    """The union of p and q takes the place `to`: weighted mean, sum of weights, smaller item."""
    wp, wq = c.weight[p], c.weight[q]
    for k in range(c.centre.shape[1]):
        c.centre[to, k] = (wp * c.centre[p, k] + wq * c.centre[q, k]) / (wp + wq)
    c.weight[to] = wp + wq
    c.item[to] = min(c.item[p], c.item[q])


@kernel
def join(c: Any, mate: Any, index: Any, grown: Any, found: Any, count: Any, p0: int, p1: int) -> None:
    """Merge the mates among p0 … p1 and close the gaps in place; `index` says where each has gone.

    count = [clusters so far, merges made].
    """
    for p in range(p0, p1):
        q, to = mate[p], count[0]
        if 0 <= q < p:
            index[p] = index[q]
            continue
        index[p], grown[to] = to, q >= 0
        if q >= 0:
            found.a[count[1]], found.b[count[1]], found.h[count[1]] = c.item[p], c.item[q], c.gap[p]
            count[1] += 1
            blend(c, p, q, to)
        else:
            for k in range(c.centre.shape[1]):
                c.centre[to, k] = c.centre[p, k]
            c.weight[to], c.item[to] = c.weight[p], c.item[p]
        c.near[to], c.gap[to] = c.near[p], c.gap[p]
        count[0] += 1


@kernel
def follow(near: Any, index: Any, grown: Any, p0: int, p1: int) -> None:
    """Where the neighbours of p0 … p1 have gone. A neighbour that did not merge is still the nearest: Ward is reducible."""
    for p in range(p0, p1):
        q = index[near[p]]
        near[p] = ~p if grown[p] else (~q if grown[q] else q)


# ------------------------------------------------------------------------------------------ chain: one pair at a time


@kernel
def leaf_of(x: Any, p: int) -> int:
    """The leaf that position p is in."""
    v = 0
    while v < x.block.shape[0] - 1:
        v = 2 * v + 1 if p < x.stop[2 * v + 1] else 2 * v + 2
    return v


@kernel
def refit(x: Any, c: Any, v: int) -> None:
    """Bound leaf v and the nodes above it anew."""
    leaf, points, d = v - (x.block.shape[0] - 1), x.stop[v] - x.start[v], x.block.shape[1]
    bound_leaf(x, c, v)
    for k in range(d):
        x.low[v, k], x.high[v, k] = math.inf, -math.inf
        for t in range(points):
            y = x.block[leaf, k, t]
            x.low[v, k] = min(x.low[v, k], y)
            x.high[v, k] = max(x.high[v, k], y if y < math.inf else -math.inf)
    while v > 0:
        v = (v - 1) >> 1
        a, b = 2 * v + 1, 2 * v + 2
        x.lightest[v], x.least[v] = min(x.lightest[a], x.lightest[b]), min(x.least[a], x.least[b])
        for k in range(d):
            x.low[v, k] = min(x.low[a, k], x.low[b, k])
            x.high[v, k] = max(x.high[a, k], x.high[b, k])


@kernel
def replace(x: Any, c: Any, p: int, q: int) -> None:
    """Merge q into p in place, and in the tree."""
    blend(c, p, q, p)
    v, w = leaf_of(x, p), leaf_of(x, q)
    inner = x.block.shape[0] - 1
    for k in range(x.block.shape[1]):
        x.block[v - inner, k, p - x.start[v]] = c.centre[p, k]
        x.block[w - inner, k, q - x.start[w]] = math.inf
    x.load[v - inner, p - x.start[v]] = c.weight[p]
    x.load[w - inner, q - x.start[w]] = 1.0
    refit(x, c, v)
    if w != v:
        refit(x, c, w)


@kernel
def follow_chain(x: Any, c: Any, chain: Any, found: Any, count: Any, until: int, steps: int, stack: Any, gaps: Any,
                 s: Any) -> None:
    """Nearest-neighbour chain until `until` clusters live or `steps` searches were made.

    count = [length of the chain, living clusters, merges made, first position that may live]. A cached neighbour stays
    the nearest as long as neither it nor the cluster itself has merged since. On a tie the chain turns back. Rounding
    can bring a new cluster an ulp nearer than a cached neighbour: then the chain meets itself, and is cut back to there.
    """
    while count[1] > until and steps > 0:
        if count[0] == 0:
            while not chain.alive[count[3]]:
                count[3] += 1
            chain.path[0] = count[3]
            chain.place[count[3]] = 0
            count[0] = 1
        p = chain.path[count[0] - 1]
        q = c.near[p]
        if q < 0 or not chain.alive[q] or max(chain.born[q], chain.born[p]) > chain.looked[p]:
            c.near[p], v = ~p, leaf_of(x, p)
            search(x, c, v, v + 1, stack, gaps, s)
            chain.looked[p] = count[2]
            q = c.near[p]
            steps -= 1
        before = chain.path[count[0] - 2] if count[0] > 1 else -1
        back = apart(c.centre, c.weight, p, before) if before >= 0 else math.inf
        if before >= 0 and back <= c.gap[p]:
            found.a[count[2]], found.b[count[2]], found.h[count[2]] = c.item[p], c.item[before], back
            chain.place[p], chain.place[before] = -1, -1
            p, q = min(p, before), max(p, before)
            replace(x, c, p, q)
            chain.alive[q] = False
            count[0] -= 2
            count[1] -= 1
            count[2] += 1
            chain.born[p] = count[2]
        elif chain.place[q] >= 0:
            while chain.path[count[0] - 1] != q:
                count[0] -= 1
                chain.place[chain.path[count[0]]] = -1
            c.near[q] = ~q
        else:
            chain.path[count[0]] = q
            chain.place[q] = count[0]
            count[0] += 1
