"""The loops of the engine that always merges the closest pair.

They call one another, so they share a file: the cache of compiled kernels would not notice an edit in another one.

A cluster has a node number, which no other ever gets, and while it lives a slot: slot leaf·capacity + t is place t of a
leaf of the kd-tree. `c` are the columns by slot and by node (`heap.Clusters`), `x` is the tree (`heap.Index`).
"""

from __future__ import annotations

import math
from typing import Any

from shoal.runtime.kernel import kernel

__all__ = ["merge_closest", "search", "summarise"]

NONE = -1  # no node, no slot; as a neighbour: it has to be searched for

# ------------------------------------------------------------------------------------------------ the closest pair


@kernel
def first_of_leaf(gap: Any, pair: Any, p0: int, p1: int) -> int:
    """The slot among p0 … p1 that comes first by (gap, pair)."""
    f, least, who = p0, gap[p0], pair[p0]
    for p in range(p0 + 1, p1):
        if gap[p] < least or (gap[p] == least and pair[p] < who):
            f, least, who = p, gap[p], pair[p]
    return f


@kernel
def play(first: Any, least: Any, pair: Any, v: int) -> None:
    """The winner at an inner node: of its children's winners the one that comes first."""
    a, b = 2 * v + 1, 2 * v + 2
    if least[b] < least[a] or (least[b] == least[a] and pair[first[b]] < pair[first[a]]):
        a = b
    first[v], least[v] = first[a], least[a]


@kernel
def replay(first: Any, least: Any, gap: Any, pair: Any, leaf: int) -> None:
    """Repeat the tournament from a leaf up, to where another leaf has won before and does again."""
    inner = first.shape[0] >> 1
    cap = gap.shape[0] // (inner + 1)
    p0, v = leaf * cap, inner + leaf
    f = first_of_leaf(gap, pair, p0, p0 + cap)
    first[v], least[v] = f, gap[f]
    while v > 0:
        v = (v - 1) >> 1
        before = first[v]
        play(first, least, pair, v)
        if first[v] == before and (before < p0 or before >= p0 + cap):
            return


@kernel
def summarise(x: Any, c: Any) -> None:
    """Hold the whole tournament."""
    first, least, gap, pair = x.first, x.least, c.gap, c.pair
    leaves, cap = x.block.shape[0], x.block.shape[2]
    for leaf in range(leaves):
        f = first_of_leaf(gap, pair, leaf * cap, leaf * cap + cap)
        first[leaves - 1 + leaf], least[leaves - 1 + leaf] = f, gap[f]
    for v in range(leaves - 2, -1, -1):
        play(first, least, pair, v)


# ------------------------------------------------------------------------------------------------ the two nearest


@kernel
def look_around(block: Any, low: Any, high: Any, node: Any, item: Any, p: int, after: bool, q: Any, s: Any, stack: Any,
                gaps: Any) -> tuple[int, float, int, float, int]:
    """The two clusters nearest to slot p, by (distance, item): node, squared distance, node, squared distance.

    Only among later slots if `after`. The fifth value counts leaves. From the own leaf outwards to ever larger
    surroundings, in one loop on plain arrays: every call would count references to every array, atomically. Boxes are
    rounded as distances are, so no bound is too high.
    """
    cap, inner, d, looked = s.shape[0], block.shape[0] - 1, q.shape[0], 0
    best, second, nearest, runner_up = math.inf, math.inf, NONE, NONE
    v = inner + p // cap
    for k in range(d):
        q[k] = block[v - inner, k, p % cap]
    stack[0], gaps[0], top = v, 0.0, 1
    while True:
        while top > 0:
            top -= 1
            w = stack[top]
            if gaps[top] > second:
                continue
            if w < inner:
                a, b, to_a, to_b = 2 * w + 1, 2 * w + 2, 0.0, 0.0
                for k in range(d):  # no branch: it would be mispredicted half of the time
                    e = max(low[a, k] - q[k], q[k] - high[a, k], 0.0)
                    to_a += e * e
                    e = max(low[b, k] - q[k], q[k] - high[b, k], 0.0)
                    to_b += e * e
                if to_b < to_a:
                    a, b, to_a, to_b = b, a, to_b, to_a
                stack[top], gaps[top], stack[top + 1], gaps[top + 1] = b, to_b, a, to_a  # the nearer one is on top
                top += 2
                continue
            looked += 1
            y, z = block[w - inner, 0], q[0]
            for t in range(cap):
                s[t] = (y[t] - z) * (y[t] - z)
            for k in range(1, d):
                y, z = block[w - inner, k], q[k]
                for t in range(cap):
                    s[t] += (y[t] - z) * (y[t] - z)
            base = (w - inner) * cap
            for t in range(cap):
                if s[t] > second or s[t] == math.inf or base + t == p or (after and base + t < p):
                    continue
                other = node[base + t]
                if s[t] < best or (s[t] == best and item[other] < item[nearest]):
                    best, nearest, second, runner_up = s[t], other, best, nearest
                elif s[t] < second or item[other] < item[runner_up]:
                    second, runner_up = s[t], other
        while after and v > 0 and v & 1 == 0:  # what is on the left of a right child comes before p
            v = (v - 1) >> 1
        if v == 0:
            return nearest, best, runner_up, second, looked
        w, to_a = v + 1 if v & 1 else v - 1, 0.0
        for k in range(d):
            e = max(low[w, k] - q[k], q[k] - high[w, k], 0.0)
            to_a += e * e
        stack[0], gaps[0], top, v = w, to_a, 1, (v - 1) >> 1


@kernel
def name_pair(item: Any, i: int, j: int) -> int:
    """Two clusters as one number, in the order of (smaller item, larger item); before all others while one is unknown."""
    if j < 0:
        return NONE
    a, b = item[i], item[j]
    name: int = (min(a, b) << 32) | max(a, b)
    return name


@kernel
def search(x: Any, c: Any, p0: int, p1: int, q: Any, s: Any, stack: Any, gaps: Any) -> None:
    """The two nearest later clusters of slots p0 … p1."""
    block, low, high, node, item = x.block, x.low, x.high, c.node, c.item
    near, gap, next, rest, pair = c.near, c.gap, c.next, c.rest, c.pair
    for p in range(p0, p1):
        if node[p] >= 0:
            near[p], gap[p], next[p], rest[p], _ = look_around(block, low, high, node, item, p, True, q, s, stack, gaps)
            pair[p] = name_pair(item, node[p], near[p])


# -------------------------------------------------------------------------------------------------------- merging


@kernel
def join(block: Any, low: Any, high: Any, gap: Any, node: Any, item: Any, weight: Any, slot: Any, i: int, j: int,
         new: int, by_weight: bool) -> int:
    """Merge nodes i and j; their union, node `new`, takes the heavier one's slot. Returns the slot that is left empty.

    Its centre is a + share·(b - a), which is exactly a where a = b. Boxes only grow: the tree is built anew soon enough.
    """
    leaves, d, cap = block.shape
    share = weight[j] / (weight[i] + weight[j]) if by_weight else 0.5
    stay: int = slot[i]
    leave: int = slot[j]
    for k in range(d):
        a, b = block[stay // cap, k, stay % cap], block[leave // cap, k, leave % cap]
        block[stay // cap, k, stay % cap] = block[leave // cap, k, leave % cap] = a + share * (b - a)
    if weight[j] > weight[i]:
        stay, leave = leave, stay
    for k in range(d):
        block[leave // cap, k, leave % cap] = math.inf
    item[new], weight[new], slot[new], slot[i], slot[j] = item[i], weight[i] + weight[j], stay, NONE, NONE
    node[stay], node[leave], gap[leave] = new, NONE, math.inf
    v, grown = leaves - 1 + stay // cap, True
    while grown:
        grown = False
        for k in range(d):
            y = block[stay // cap, k, stay % cap]
            if y < low[v, k] or y > high[v, k]:
                low[v, k], high[v, k], grown = min(y, low[v, k]), max(y, high[v, k]), v > 0
        v = (v - 1) >> 1
    return leave


@kernel
def merge_closest(x: Any, c: Any, found: Any, count: Any, until: int, budget: int, by_weight: bool, q: Any, s: Any,
                  stack: Any, gaps: Any) -> None:
    """Merge the closest pair again and again, until `until` clusters live or `budget` leaves were looked at.

    count = [living clusters, merges made, the next node].
    """
    block, low, high, first, least = x.block, x.low, x.high, x.first, x.least
    near, gap, next, rest, pair = c.near, c.gap, c.next, c.rest, c.pair
    node, item, weight, slot, cap = c.node, c.item, c.weight, c.slot, s.shape[0]
    while count[0] > until and budget > 0:
        p = first[0]
        i, j = node[p], near[p]
        if j >= 0 and slot[j] < 0:  # it has merged: the second nearest is the nearest now, or a search has to tell
            near[p], gap[p], next[p] = next[p], rest[p], NONE
            pair[p] = name_pair(item, i, near[p])
            replay(first, least, gap, pair, p // cap)
            budget -= 1
            continue
        if j >= 0:
            if item[j] < item[i]:
                i, j = j, i
            new, t = count[2], count[1]
            found.a[t], found.b[t], found.h[t] = item[i], item[j], gap[p]
            empty = join(block, low, high, gap, node, item, weight, slot, i, j, new, by_weight)
            replay(first, least, gap, pair, empty // cap)
            i, p = new, slot[new]
            count[0] -= 1
            count[1] += 1
            count[2] += 1
        near[p], gap[p], next[p], rest[p], looked = look_around(block, low, high, node, item, p, False, q, s, stack, gaps)
        pair[p] = name_pair(item, i, near[p])
        replay(first, least, gap, pair, p // cap)
        budget -= looked
