"""The loops of the bounded search for nearest centres: which items need one, grouped by their centre, and the search itself.

An item at t = x - o from an origin o is nearer to centre c_j = o + g_j the smaller v_j = ½‖g_j‖² - t·g_j is, for
‖x - c_j‖² = ‖t‖² + 2·v_j. The products are made in float32. With γ = (d + 6)·2⁻²⁴ the error of v_j is at most
γ·(‖t‖·‖g_j‖ + ½‖g_j‖²) (Higham 2002, section 3.1; two units for the rounding of t and g, the rest for h and the
difference): below 12·γ·‖t‖² where ‖g_j‖ < 4·‖t‖, and else below 4·γ·v_j. What that cannot tell apart is decided in float64.

An item's own centre serves as origin, so that errors are in proportion to its distance, wherever the data lie.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from shoal.runtime.kernel import kernel

__all__ = ["Around", "Chunks", "Items", "Points", "canonical_squares", "compact", "neighbourhoods", "place", "search",
           "sieve", "sift"]

STRIP = 256  # items whose distances are made before they are looked at
LANES = 16  # sums side by side in a distance of one row
SLAB = 512  # centres of a block of products: with 256 items half a megabyte, which stays in the second-level cache
UP, DOWN = 1.0 + 2.0**-21, 1.0 - 2.0**-21  # outward rounding of what is kept in float32: eight units
UP32, DOWN32 = np.float32(UP), np.float32(DOWN)
TINY = 1e-36  # covers products that vanish in float32
NONE, NOTHING = np.float32(np.inf), np.float32(0.0)


class Items(NamedTuple):
    """The items, and what is known of each.

    labels are their centres, -1 for none. bounds[i], in float32, are no less than the distance to that centre, and no more
    than the distance to any other.
    """

    X: Any
    labels: Any
    bounds: Any


class Points(NamedTuple):
    """The centres, shape (k, d), and their numbers.

    shifted and halves are the centres less `middle`, a point amidst the data, and half their squares, in float32, filled
    up to fours.
    """

    centers: Any
    middle: Any
    shifted: Any
    halves: Any
    every: Any


class Around(NamedTuple):
    """What surrounds every centre a.

    Its items are within its radius, so that only centres within twice the radius matter. near[a] lists them, count[a] of
    them, or -1 where they are more than it holds; others are at least beyond[a] away. moves[a] = what to add to an upper
    bound and to take from a lower one, the most a lower one may be, and half the distance of the nearest centre.
    """

    near: Any
    count: Any
    beyond: Any
    moves: Any


class Chunks(NamedTuple):
    """Parts of groups: places in `items`, and the group, which is a centre with its list, or k: all centres.

    The items that get another centre are written to the front of their chunk, changed[c] of them, and to the same places of
    `old` the centre they had.
    """

    start: Any
    stop: Any
    group: Any
    items: Any
    old: Any
    changed: Any


class Scratch(NamedTuple):
    """Of a chunk: items, their t and ‖t‖², the smallest v and its place, the second smallest v."""

    who: Any
    t: Any
    length: Any
    first: Any
    second: Any
    where: Any


# -------------------------------------------------------------------------------------------------------------- lengths


@kernel
def shift(X: Any, who: Any, origin: Any, T: Any, length: Any) -> None:
    """T = items less the origin, and length = ‖t‖², both in float32; summed side by side, for bounds alone.

    No function of a row: to hand on a view counts references, which takes 30 ns.
    """
    d, lanes = X.shape[1], np.empty(LANES, np.float32)
    whole = d - d % LANES
    for t in range(who.shape[0]):
        x, row, s = X[who[t]], T[t], NOTHING
        if whole > 0:
            lanes[:] = NOTHING
            for b in range(0, whole, LANES):
                for q in range(LANES):
                    e = np.float32(x[b + q] - origin[b + q])
                    row[b + q] = e
                    lanes[q] += e * e
            for q in range(LANES):
                s += lanes[q]
        for f in range(whole, d):
            e = np.float32(x[f] - origin[f])
            row[f] = e
            s += e * e
        length[t] = s


@kernel
def own_lengths(X: Any, centers: Any, labels: Any, who: Any, length: Any) -> None:
    """‖x - c‖² of items and their centres in float32, as `shift` has it."""
    d, lanes = X.shape[1], np.empty(LANES, np.float32)
    whole = d - d % LANES
    for t in range(who.shape[0]):
        x, c, s = X[who[t]], centers[labels[who[t]]], NOTHING
        if whole > 0:
            lanes[:] = NOTHING
            for b in range(0, whole, LANES):
                for q in range(LANES):
                    e = np.float32(x[b + q] - c[b + q])
                    lanes[q] += e * e
            for q in range(LANES):
                s += lanes[q]
        for f in range(whole, d):
            e = np.float32(x[f] - c[f])
            s += e * e
        length[t] = s


# -------------------------------------------------------------------------------------------------- which items to search


@kernel
def neighbourhoods(CT: Any, drift: Any, radius: Any, a0: int, a1: int, around: Around) -> None:
    """Find what surrounds centres a0 … a1, after every centre has moved by its drift."""
    d, k = CT.shape
    near, count, beyond, moves = around
    room, gaps = near.shape[1], np.empty(k)
    for a in range(a0, a1):
        gaps[:] = 0.0
        for f in range(d):
            row, c = CT[f], CT[f, a]
            for j in range(k):
                gaps[j] += (row[j] - c) * (row[j] - c)
        gaps[a] = math.inf
        reach, closest, out, slack, all_slack, listed = 4.0 * radius[a] * radius[a], math.inf, math.inf, 0.0, 0.0, 0
        for j in range(k):
            closest = min(closest, gaps[j])
            if j != a:
                all_slack = max(all_slack, drift[j])
            if gaps[j] >= reach:
                out = min(out, gaps[j])
            elif j != a:
                if listed < room:
                    near[a, listed] = j
                listed += 1
                slack = max(slack, drift[j])
        fits = listed <= room
        count[a] = listed if fits else -1
        beyond[a] = math.sqrt(out) * DOWN if fits else math.inf
        moves[a, 0] = drift[a] * UP
        moves[a, 1] = (slack if fits else all_slack) * UP
        moves[a, 2] = max(beyond[a] - radius[a], 0.0) * DOWN
        moves[a, 3] = 0.5 * math.sqrt(closest) * DOWN


@kernel
def sieve(labels: Any, bounds: Any, moves: Any, i0: int, i1: int, rows: Any, radius: Any) -> int:
    """Carry the bounds of items i0 … i1 over a move of the centres; list those that may have another nearest centre.

    They go to rows[i0:]; returns how many they are. radius[a] becomes the largest upper bound of centre a's items. The
    labels come as unsigned numbers: to ask whether an index is below 0 takes a third of the time.
    """
    found = np.uint64(i0)
    for p in range(i0, i1):
        a, b = labels[p], bounds[p]
        t = moves[a]
        u, least = (b[0] + t[0]) * UP32, (b[1] - t[1]) * DOWN32
        least = t[2] if t[2] < least else least
        least = least if least > NOTHING else NOTHING
        b[0], b[1] = u, least
        radius[a] = u if u > radius[a] else radius[a]
        rows[found] = p
        found += np.uint64(u >= (t[3] if t[3] > least else least))
    return int(found) - i0


@kernel
def sift(items: Items, centers: Any, moves: Any, count: Any, gamma: float, i0: int, m: int, rows: Any, sizes: Any) -> int:
    """Of the m items in rows[i0:], keep those that are not settled by their true distance to their centre.

    sizes counts them by centre, those of centres without a list at its end. Returns how many are left.
    """
    X, labels, bounds = items
    length, left, last = np.empty(STRIP, np.float32), i0, sizes.shape[0] - 1
    for p0 in range(i0, i0 + m, STRIP):
        p1 = min(p0 + STRIP, i0 + m)
        own_lengths(X, centers, labels, rows[p0:p1], length)
        for p in range(p0, p1):
            i = rows[p]
            u, half = np.float32(math.sqrt(np.float64(length[p - p0]) * (1.0 + gamma) + TINY) * UP), moves[labels[i], 3]
            bounds[i, 0], rows[left] = u, i
            left += u >= (half if half > bounds[i, 1] else bounds[i, 1])
    for p in range(i0, left):
        a = labels[rows[p]]
        sizes[a if count[a] >= 0 else last] += 1
    return left - i0


@kernel
def place(labels: Any, count: Any, rows: Any, i0: int, i1: int, at: Any, grouped: Any) -> None:
    """Bring rows[i0 … i1] into the groups that begin at `at`, which is moved on."""
    last = at.shape[0] - 1
    for p in range(i0, i1):
        a = labels[rows[p]]
        group = a if count[a] >= 0 else last
        grouped[at[group]] = rows[p]
        at[group] += 1


# --------------------------------------------------------------------------------------------------------------- search


@kernel
def square(x: Any, c: Any) -> float:
    """‖x - c‖² in float64, features in their order: what decides."""
    s = 0.0
    for f in range(x.shape[0]):
        e = np.float64(x[f]) - np.float64(c[f])
        s += e * e
    return s


@kernel
def canonical_squares(X: Any, centers: Any, labels: Any, i0: int, i1: int, squares: Any) -> None:
    """‖x - c‖² of items i0 … i1 and their centres, as `square` has it."""
    for i in range(i0, i1):
        x, c, s = X[i], centers[labels[i]], 0.0
        for f in range(x.shape[0]):
            e = np.float64(x[f]) - np.float64(c[f])
            s += e * e
        squares[i] = s


@kernel
def top_two(V: Any, h: Any, q0: int, first: Any, second: Any, where: Any) -> None:
    """Carry each column's smallest h - V, its place, and the second smallest over the rows of V, four at a time."""
    m = V.shape[1]
    for q in range(0, V.shape[0], 4):
        v0, v1, v2, v3 = V[q], V[q + 1], V[q + 2], V[q + 3]
        h0, h1, h2, h3 = h[q], h[q + 1], h[q + 2], h[q + 3]
        w0, w1, w2, w3 = np.int32(q0 + q), np.int32(q0 + q + 1), np.int32(q0 + q + 2), np.int32(q0 + q + 3)
        for t in range(m):
            a, b, c, e = h0 - v0[t], h1 - v1[t], h2 - v2[t], h3 - v3[t]
            p, s, w = first[t], second[t], where[t]
            s, w, p = min(s, max(p, a)), w0 if a < p else w, min(p, a)
            s, w, p = min(s, max(p, b)), w1 if b < p else w, min(p, b)
            s, w, p = min(s, max(p, c)), w2 if c < p else w, min(p, c)
            s, w, p = min(s, max(p, e)), w3 if e < p else w, min(p, e)
            first[t], second[t], where[t] = p, s, w


@kernel
def load_centers(centers: Any, listed: Any, q0: int, q1: int, origin: Any, G: Any, h: Any) -> int:
    """Write centres listed[q0 … q1] less the origin to G, half their squares to h; fill up to fours. Returns the rows."""
    d, m = centers.shape[1], q1 - q0
    for q in range(m):
        c, row, s = centers[listed[q0 + q]], G[q], 0.0
        for f in range(d):
            e = np.float64(c[f]) - np.float64(origin[f])
            row[f] = np.float32(e)
            s += e * e
        h[q] = np.float32(0.5 * s)
    while m % 4 != 0:
        G[m, :] = np.float32(0.0)
        h[m] = NONE
        m += 1
    return m


@kernel
def decide(X: Any, centers: Any, i: int, own: int, listed: Any) -> int:
    """The nearest centre of item i, in float64, of those listed and its own; the smaller index on a tie."""
    best, nearest = math.inf, -1
    if own >= 0:
        best, nearest = square(X[i], centers[own]), own
    for j in listed:
        s = square(X[i], centers[j])
        if s < best or (s == best and j < nearest):
            best, nearest = s, j
    return nearest


@kernel
def settle(items: Items, centers: Any, listed: Any, own: int, beyond: float, gamma: float, m: int, s: Scratch, moved: Any,
           old: Any) -> int:
    """Give m searched items their nearest centre and bounds; write down those that get another, and the one they had."""
    (X, labels, bounds), (who, _, length, first, second, where) = items, s
    changed = 0
    for t in range(m):
        i, base = who[t], np.float64(length[t])
        best: float = np.float64(first[t])
        runner: float = np.float64(second[t])
        stays = own >= 0 and not best < 0.0
        nearest = own if stays else listed[where[t]]
        if stays:
            best, runner = 0.0, best
        elif own >= 0:
            runner = min(runner, 0.0)
        lost = 14.0 * gamma * base + TINY
        high = best + 4.0 * gamma * abs(best) + lost
        low = runner * (1.0 - 4.0 * gamma if runner > 0.0 else 1.0 + 4.0 * gamma) - lost
        if low <= high:
            nearest, low = decide(X, centers, i, own, listed), best - 4.0 * gamma * abs(best) - lost
        least = math.sqrt(max(base + 2.0 * low, 0.0))
        if own >= 0:  # bounds[i, 0] is above ‖t‖ here
            least = min(least, beyond - bounds[i, 0])
        bounds[i, 1] = max(least * DOWN, 0.0)
        bounds[i, 0] = math.sqrt(max(base + 2.0 * high, 0.0)) * UP
        if nearest != (own if own >= 0 else labels[i]):
            moved[changed], old[changed] = i, labels[i]
            labels[i] = nearest
            changed += 1
    return changed


@kernel
def search(items: Items, points: Points, around: Around, chunks: Chunks, gamma: float, c0: int, c1: int) -> None:
    """Search the nearest centres of the items of chunks c0 … c1."""
    centers, middle, shifted, halves, every = points
    (k, d), longest, slab = centers.shape, 0, min(SLAB, shifted.shape[0])
    for c in range(c0, c1):
        longest = max(longest, chunks.stop[c] - chunks.start[c])
    s = Scratch(np.empty(longest, np.int64), np.empty((longest, d), np.float32), np.empty(longest, np.float32),
                np.empty(longest, np.float32), np.empty(longest, np.float32), np.empty(longest, np.int32))
    products, G, h = np.empty(slab * longest, np.float32), np.empty((slab, d), np.float32), np.empty(slab, np.float32)
    loaded, rows = -1, 0
    for c in range(c0, c1):
        a, g0, m = chunks.group[c], chunks.start[c], chunks.stop[c] - chunks.start[c]
        a = a if a < k else -1
        listed, beyond = (around.near[a, :around.count[a]], around.beyond[a]) if a >= 0 else (every, math.inf)
        s.who[:m] = chunks.items[g0:g0 + m]
        shift(items.X, s.who[:m], centers[a] if a >= 0 else middle, s.t, s.length)
        s.first[:m], s.second[:m], s.where[:m] = NONE, NONE, 0
        for q0 in range(0, listed.shape[0], slab):
            q1 = min(q0 + slab, listed.shape[0])
            if a >= 0 and (loaded != a or slab < listed.shape[0]):
                rows, loaded = load_centers(centers, listed, q0, q1, centers[a], G, h), a
            elif a < 0:
                rows = min(slab, shifted.shape[0] - q0)
            left, add = (G[:rows], h[:rows]) if a >= 0 else (shifted[q0:q0 + rows], halves[q0:q0 + rows])
            V = products[:rows * m].reshape((rows, m))
            np.dot(left, s.t[:m].T, V)
            top_two(V, add, q0, s.first[:m], s.second[:m], s.where[:m])
        chunks.changed[c] = settle(items, centers, listed, a, beyond, gamma, m, s, chunks.items[g0:g0 + m],
                                   chunks.old[g0:g0 + m])


@kernel
def compact(items: Items, chunks: Chunks, radius: Any) -> int:
    """Move what `search` wrote down to the front of all, and widen the centres' radii by it; returns how much it is."""
    (_, labels, bounds), moved, old, n = items, chunks.items, chunks.old, 0
    for c in range(chunks.start.shape[0]):
        first = chunks.start[c]
        for p in range(first, first + chunks.changed[c]):
            i = moved[p]
            a, u = labels[i], np.float64(bounds[i, 0])
            radius[a] = u if u > radius[a] else radius[a]
            moved[n], old[n] = i, old[p]
            n += 1
    return n
