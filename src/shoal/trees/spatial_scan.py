"""Nearest clusters of many clusters at once, over a kd-tree of their means: scanned in float32, decided in float64.

The value of a pair, its squared height, is 2·‖x - y‖² / (1/wx + 1/wy). So cluster x is nearer to y than a limit where

    ‖x‖² - limit/2·(1/wx) - 2·y·x  <  limit/2·(1/wy) - ‖y‖²,

which for all clusters of a leaf is one product of a matrix with the vector (1, -limit/2, -2·y). A leaf keeps that matrix in
float32, one row for the norms, one for 1/w and one for each feature, relative to the middle of its page: a subtree of a few
leaves, small enough that little is lost. Both norms are reduced and the limit is raised by more than float32 can lose;
whatever passes is evaluated in float64 by `apart`, which alone decides.

Queries come in batches of neighbours, so that a leaf is read once for many. For every page, and every leaf of it, a loop
over the batch finds whose limit reaches the box.

These functions call one another, so they share a file: the cache of compiled kernels would not notice an edit in another.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from shoal.runtime.kernel import kernel

__all__ = ["LANES", "SAFE", "TERMS", "climb", "consider", "fill", "leaf_of", "search", "summarise"]

LANES = 128  # clusters in a leaf at most, and queries in a batch: half of it takes a quarter longer
ROW, FOUR = np.uint64(LANES), np.uint64(4 * LANES)  # places between two rows of a leaf, and four: signed ones cost a check
TERMS, MORE = 12, 8  # terms of a product in its last pass, and in each pass before it
SAFE = 1.0 - 4e-15  # a bound is rounded at most a score of times, by 1.1e-16
UNIT = 2.0**-24  # float32 rounds by at most this share
TINY = 1e-37  # above what float32 loses by underflow: what is smaller is raised to it, so that more passes
START = 16  # clusters a list begins with
FAR = 3e38  # the norm of a place without a cluster
DEPTH = 128  # room for a search's open nodes: one a level, and a tree of 2^63 items has 63

# ------------------------------------------------------------------------------------------------------ values of pairs


@kernel
def factor(wa: float, wb: float) -> float:
    """2·wa·wb/(wa+wb): times the squared distance of the means it is a squared height, 2·ΔSSE. Symmetric in its bits."""
    return 2.0 * (wa * wb) / (wa + wb)


@kernel
def consider(centre: Any, weight: Any, who: Any, far: Any, p: int, others: Any, m: int) -> float:
    """Put m others into p's list, nearest first; return the smallest value that has no place there, or infinity.

    The value, the squared height of the merge, has the same bits seen from either side.
    """
    last, left = who.shape[1] - 1, math.inf
    for n in range(m):
        q, total = others[n], 0.0
        for k in range(centre.shape[1]):
            total += (centre[q, k] - centre[p, k]) * (centre[q, k] - centre[p, k])
        value = total * factor(weight[p], weight[q])
        t = last + 1
        while t > 0 and far[p, t - 1] > value:
            t -= 1
        u = t
        while u > 0 and far[p, u - 1] == value and who[p, u - 1] != q:
            u -= 1
        if u > 0 and far[p, u - 1] == value:
            continue  # it is there already
        left = min(left, value if t > last else far[p, last])
        for u in range(last, t, -1):
            who[p, u], far[p, u] = who[p, u - 1], far[p, u - 1]
        if t <= last:
            who[p, t], far[p, t] = q, value
    return left


@kernel
def lost(d: int) -> float:
    """More than the share by which the product for d features may be off in float32, twice over.

    It is off by (d + 6)·UNIT of the sum of its terms' sizes at most, and that is at most 2‖x‖² + ‖y‖² + limit/2/wx.
    """
    return (2 * d + 20) * UNIT


# ---------------------------------------------------------------------------------------------------------- the kd-tree


@kernel
def leaf_of(stop: Any, p: int) -> int:
    """The leaf, as a node, that position p is in."""
    v = 0
    while 2 * v + 1 < stop.shape[0]:
        v = 2 * v + 1 if p < stop[2 * v + 1] else 2 * v + 2
    return v


@kernel
def fill(x: Any, c: Any, v0: int, v1: int) -> None:
    """Write the living clusters of leaves v0 … v1 into their blocks, and bound them; lightest is 1 where none lives."""
    leaves, d = x.taken.shape[0], c.centre.shape[1]
    flat, share = x.flat, lost(d)
    for v in range(v0, v1):
        leaf = v - (leaves - 1)
        page, first, m, lightest = leaf * x.middle.shape[0] // leaves, leaf * (d + 2) * LANES, 0, math.inf
        for k in range(d):
            x.low[v, k], x.high[v, k] = math.inf, -math.inf
        for p in range(x.start[v], x.stop[v]):
            if c.item[p] < 0:
                continue
            norm = 0.0
            for k in range(d):
                y = c.centre[p, k]
                x.low[v, k], x.high[v, k] = min(x.low[v, k], y), max(x.high[v, k], y)
                y -= x.middle[page, k]
                norm += y * y
                flat[first + (k + 2) * LANES + m] = y
            flat[first + m], flat[first + LANES + m] = norm * (1.0 - share), max((1.0 + share) / c.weight[p], TINY)
            x.slot[leaf, m] = p
            lightest = min(lightest, c.weight[p])
            m += 1
        for t in range(m, (m + 7) & ~7):
            flat[first + t] = FAR
        x.taken[leaf], x.lightest[v] = m, lightest if m > 0 else 1.0


@kernel
def climb(x: Any, v: int) -> None:
    """Bound inner node v by its children."""
    a, b = 2 * v + 1, 2 * v + 2
    x.lightest[v] = min(x.lightest[a], x.lightest[b])
    for k in range(x.low.shape[1]):
        x.low[v, k], x.high[v, k] = min(x.low[a, k], x.low[b, k]), max(x.high[a, k], x.high[b, k])


@kernel
def summarise(x: Any) -> None:
    """Bound all inner nodes."""
    for v in range(x.taken.shape[0] - 2, -1, -1):
        climb(x, v)


# ----------------------------------------------------------------------------------------------------------- the search


@kernel
def bound(low: Any, high: Any, lightest: Any, v: int, lower: Any, upper: Any, light: float) -> float:
    """At most the squared height of merging a cluster of node v with one in the box lower … upper, no lighter than light."""
    total = 0.0
    for k in range(low.shape[1]):  # selections, no branches: of those every second one would be mispredicted
        below, above = low[v, k] - upper[k], lower[k] - high[v, k]
        gap = below if below > above else above
        gap = gap if gap > 0.0 else 0.0
        total += gap * gap
    return SAFE * (total * factor(light, lightest[v]))


@kernel
def point_gaps(low: Any, high: Any, v: int, y: Any, m: int, gaps: Any) -> None:
    """gaps[j] = squared distance of the point y[:, j] from the box of node v, m points side by side."""
    for j in range(m):
        gaps[j] = 0.0
    for k in range(low.shape[1]):
        lower, upper = low[v, k], high[v, k]
        for j in range(m):
            below, above = lower - y[k, j], y[k, j] - upper
            gap = below if below > above else above
            gap = gap if gap > 0.0 else 0.0
            gaps[j] += gap * gap


@kernel
def four(flat: Any, i: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Four terms of the product for the place i."""
    return (flat[i] * a + flat[i + ROW] * b) + (flat[i + ROW + ROW] * c + flat[i + ROW + ROW + ROW] * d)


@kernel
def enter_page(low: Any, high: Any, lightest: Any, v: int, middle: Any, page: int, batch: Any, weight: Any, far: Any, y: Any,
               gaps: Any, asking: Any, limit: Any, inverse: Any, norm: Any, inside: Any, Y: Any) -> int:
    """Take down those of a batch whose limits reach node v, a page, relative to its middle; return how many."""
    asked, last, share = 0, far.shape[1] - 1, lost(low.shape[1])
    point_gaps(low, high, v, y, batch.shape[0], gaps)
    for j in range(batch.shape[0]):
        p = batch[j]
        if 2.0 * SAFE * gaps[j] < far[p, last] * (1.0 / weight[p] + 1.0 / lightest[v]):
            asking[asked], limit[asked], inverse[asked], total = p, far[p, last], 1.0 / weight[p], 0.0
            for k in range(low.shape[1]):
                z = y[k, j] - middle[page, k]
                total += z * z
                inside[k, asked], Y[asked, k + 2] = y[k, j], np.float32(-2.0 * z)
            norm[asked] = total * (1.0 - share)
            Y[asked, 1] = np.float32(-max(0.5 * (1.0 + share) * limit[asked], TINY))
            asked += 1
    return asked


@kernel
def look_in_leaf(flat: Any, slot: Any, taken: Any, leaf: int, picked: Any, many: int, asking: Any, limit: Any, inverse: Any,
                 norm: Any, Y: Any, part: Any, s: Any, found: Any, centre: Any, weight: Any, who: Any, far: Any) -> None:
    """Put clusters of a leaf into the lists of the picked queries, where they are nearer than the last one listed.

    A product has TERMS terms at least: the rows that a leaf lacks are those of the next one, times zero.
    """
    d, lanes, last = centre.shape[1], taken[leaf], who.shape[1] - 1
    full, at, half = (lanes + 7) & ~7, np.uint64(leaf * (d + 2) * LANES), 0.5 * (1.0 + lost(d))
    for n in range(many):
        j = picked[n]
        if Y.shape[1] > TERMS:
            part[:full] = 0.0
        for r in range(TERMS, Y.shape[1], MORE):
            a0, a1, a2, a3 = Y[j, r], Y[j, r + 1], Y[j, r + 2], Y[j, r + 3]
            b0, b1, b2, b3 = Y[j, r + 4], Y[j, r + 5], Y[j, r + 6], Y[j, r + 7]
            for t in range(full):
                i = at + np.uint64(r) * ROW + np.uint64(t)
                part[t] += four(flat, i, a0, a1, a2, a3) + four(flat, i + FOUR, b0, b1, b2, b3)
        a0, a1, a2, a3 = Y[j, 0], Y[j, 1], Y[j, 2], Y[j, 3]
        b0, b1, b2, b3 = Y[j, 4], Y[j, 5], Y[j, 6], Y[j, 7]
        c0, c1, c2, c3 = Y[j, 8], Y[j, 9], Y[j, 10], Y[j, 11]
        most, hits = np.float32(half * limit[j] * inverse[j] - norm[j] + TINY), np.int32(0)
        for t in range(full):
            i = at + np.uint64(t)
            v = four(flat, i, a0, a1, a2, a3) + four(flat, i + FOUR, b0, b1, b2, b3)
            v += four(flat, i + FOUR + FOUR, c0, c1, c2, c3) + part[t]
            s[t] = v
            hits = np.int32(hits + np.int32(not v > most))  # as narrow as v, or half as many fit into a vector
        if hits == 0:
            continue
        p, m = asking[j], 0
        for t in range(lanes):
            found[m] = slot[leaf, t]
            m += (not s[t] > most) and found[m] != p
        consider(centre, weight, who, far, p, found, m)
        limit[j] = far[p, last]
        Y[j, 1] = np.float32(-max(half * limit[j], TINY))


@kernel
def search(x: Any, c: Any, near: Any, queue: Any, q0: int, q1: int) -> None:
    """Find the nearest clusters of queue[q0:q1], which ascend; what their lists hold already must be right.

    From a batch's own page outwards to ever larger surroundings. All in one loop, over plain arrays: to hand named tuples on
    to another kernel counts references to a score of arrays, atomically, and that costs more than to look in a leaf.
    """
    flat, slot, taken, stop, low, high = x.flat, x.slot, x.taken, x.stop, x.low, x.high
    lightest, middle, centre, weight, who, far = x.lightest, x.middle, c.centre, c.weight, near.who, near.far
    d, last, leaves, pages = centre.shape[1], who.shape[1] - 1, taken.shape[0], middle.shape[0]
    terms, each = max(TERMS, TERMS + (d + 2 - TERMS + MORE - 1) // MORE * MORE), leaves // pages
    y, inside, lower, upper = np.empty((d, LANES)), np.empty((d, LANES)), np.empty(d), np.empty(d)
    gaps, limit, inverse, norm = np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty(LANES)
    asking, picked, found = np.empty(LANES, np.int64), np.empty(LANES, np.int64), np.empty(LANES, np.int64)
    Y, part, s = np.zeros((LANES, terms), np.float32), np.zeros(LANES, np.float32), np.empty(LANES, np.float32)
    stack, bounds = np.empty(DEPTH, np.int64), np.empty(DEPTH)
    Y[:, 0] = 1.0
    for q in range(q0, q1, LANES):
        batch, light, widest = queue[q:min(q + LANES, q1)], math.inf, math.inf
        lower[:], upper[:] = math.inf, -math.inf
        for j in range(batch.shape[0]):
            p, m = batch[j], 0
            if far[p, last] == math.inf:  # any clusters of its leaf will do to begin with
                leaf = leaf_of(stop, p) - (leaves - 1)
                for t in range(min(taken[leaf], START)):
                    found[m] = slot[leaf, t]
                    m += found[m] != p
                consider(centre, weight, who, far, p, found, m)
            light = min(light, weight[p])
            for k in range(d):
                y[k, j] = centre[p, k]
                lower[k], upper[k] = min(lower[k], centre[p, k]), max(upper[k], centre[p, k])
        own = leaf_of(stop, batch[batch.shape[0] // 2]) - (leaves - 1)
        v = own // each + pages - 1
        stack[0], bounds[0], top = v, 0.0, 1
        while True:
            while top > 0:
                top -= 1
                w = stack[top]
                if bounds[top] > widest:
                    continue
                if w < pages - 1:
                    a, b = 2 * w + 1, 2 * w + 2
                    to_a, to_b = (bound(low, high, lightest, a, lower, upper, light),
                                  bound(low, high, lightest, b, lower, upper, light))
                    if to_a > to_b:
                        a, b, to_a, to_b = b, a, to_b, to_a
                    stack[top], bounds[top] = b, to_b
                    stack[top + 1], bounds[top + 1] = a, to_a  # the nearer child is on top
                    top += 2
                    continue
                page = w - (pages - 1)
                asked = enter_page(low, high, lightest, w, middle, page, batch, weight, far, y, gaps, asking, limit, inverse,
                                   norm, inside, Y)
                for step in range(each if asked > 0 else 0):
                    leaf, m = page * each + (own % each ^ step), 0  # the later a leaf parts from own, the later its turn
                    node = leaf + leaves - 1
                    point_gaps(low, high, node, inside, asked, gaps)
                    lift = 1.0 / lightest[node]
                    for j in range(asked):
                        picked[m] = j
                        m += 2.0 * SAFE * gaps[j] < limit[j] * (inverse[j] + lift)
                    if m > 0:
                        look_in_leaf(flat, slot, taken, leaf, picked, m, asking, limit, inverse, norm, Y, part, s, found,
                                     centre, weight, who, far)
                widest = 0.0
                for j in range(batch.shape[0]):
                    widest = max(widest, far[batch[j], last])
            if v == 0:
                break
            stack[0], top = v + 1 if v & 1 else v - 1, 1
            bounds[0] = bound(low, high, lightest, stack[0], lower, upper, light)
            v = (v - 1) >> 1
        for j in range(batch.shape[0]):
            p = batch[j]
            near.bound[p], near.nearest[p] = far[p, last], who[p, 0]
