"""Loops of seeding. What a point keeps of its nearest centre stands in tiles of points: square, label, mass (its weight).

What decides a label is a square in float64 whose features are summed in their order, whichever loop it comes from.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from shoal.runtime.kernel import kernel

__all__ = ["add_products", "draw", "fill_tiles", "gains_by_products", "gains_by_tiles", "squared_lengths",
           "sum_tiles", "take_by_products", "take_by_rows", "take_by_tiles", "tiles_in_reach"]

TIGHT = 1.0 - 1e-9  # distances in float64 are off by less than d·2⁻⁵² of themselves: enough for four million features


@kernel
def squares_to(tile: Any, c: Any, s: Any) -> None:
    """s[p] = Σₖ (tile[k, p] - cₖ)², in the order of k; four features a pass are a quarter of the loads and stores of s."""
    d = tile.shape[0]
    for p in range(s.shape[0]):
        s[p] = 0.0
    k = 0
    while k + 4 <= d:
        a, b, e, f = c[k], c[k + 1], c[k + 2], c[k + 3]
        xa, xb, xe, xf = tile[k], tile[k + 1], tile[k + 2], tile[k + 3]
        for p in range(s.shape[0]):
            v = s[p] + (xa[p] - a) * (xa[p] - a)
            v += (xb[p] - b) * (xb[p] - b)
            v += (xe[p] - e) * (xe[p] - e)
            s[p] = v + (xf[p] - f) * (xf[p] - f)
        k += 4
    while k < d:
        a, xa = c[k], tile[k]
        for p in range(s.shape[0]):
            s[p] += (xa[p] - a) * (xa[p] - a)
        k += 1


@kernel
def lower(s: Any, number: int, square: Any, label: Any) -> int:
    """Points at squared distances s from centre `number` become its where it is nearer, or as near and of a smaller number.

    Returns how many.
    """
    hits = 0
    for p in range(s.shape[0]):
        nearer = (s[p] < square[p]) | ((s[p] == square[p]) & (number < label[p]))
        hits += nearer
        label[p] = number if nearer else label[p]
        square[p] = min(square[p], s[p])
    return hits


@kernel
def sum_tile(t: int, mass: Any, square: Any, sums: Any) -> float:
    """sums[t] = Σ mass·square over the tile; returns its largest square. Four sums, for an addition waits for the last."""
    m, q, n = mass[t], square[t], mass.shape[1]
    a, b, c, e, high, top = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for p in range(0, n - 3, 4):
        a += m[p] * q[p]
        b += m[p + 1] * q[p + 1]
        c += m[p + 2] * q[p + 2]
        e += m[p + 3] * q[p + 3]
        high = max(high, max(q[p], q[p + 1]))
        top = max(top, max(q[p + 2], q[p + 3]))
    for p in range(n - n % 4, n):
        a += m[p] * q[p]
        high = max(high, q[p])
    sums[t] = (a + b) + (c + e)
    return max(high, top)


@kernel
def sum_tiles(mass: Any, square: Any, sums: Any, radius: Any) -> None:
    """Sum every tile; radius[t] = √ of its largest square."""
    for t in range(sums.shape[0]):
        radius[t] = math.sqrt(sum_tile(t, mass, square, sums))


@kernel
def sum_lanes(lanes: Any, gains: Any) -> None:
    """gains[i] = Σ lanes[i], in order."""
    for i in range(lanes.shape[0]):
        total = 0.0
        for p in range(lanes.shape[1]):
            total += lanes[i, p]
        gains[i] = total


@kernel
def draw(upto: Any, mass: Any, square: Any, target: float) -> int:
    """The first place, tiles end to end, up to which Σ mass·square exceeds the target; upto[t] is the sum up to tile t.

    A target that rounding put at the total or above it draws the last place that has any.
    """
    low, high = 0, upto.shape[0] - 1
    while low < high:
        t = (low + high) >> 1
        if upto[t] > target or upto[t] == upto[-1]:
            high = t
        else:
            low = t + 1
    running, last = upto[low - 1] if low > 0 else 0.0, 0
    for p in range(mass.shape[1]):
        part = mass[low, p] * square[low, p]
        if part > 0.0:
            last = p
            running += part
            if running > target:
                break
    return int(low * mass.shape[1] + last)


# ---------------------------------------------------------------------------------------- few features: bounds of tiles


@kernel
def fill_tiles(X: Any, scale: Any, order: Any, t0: int, t1: int, block: Any) -> None:
    """Copy the rows of tiles t0 … t1 feature by feature, times `scale`; places without a row are zeros."""
    for t in range(t0, t1):
        for p in range(order.shape[1]):
            i = order[t, p]
            for k in range(X.shape[1]):
                block[t, k, p] = X[i, k] * scale if i >= 0 else 0.0


@kernel
def tiles_in_reach(home: Any, centres: Any, ref: Any, reach: Any, gap: Any, found: Any) -> int:
    """List the tiles some centre may be nearer to: those with gap = ‖centre - home[ref]‖ < reach; returns their number.

    A tile's points x lie within r of its home h and have their nearest centre within b, and reach = r + b. For a centre c
    at ‖c - h‖ ≥ r + b, ‖x - c‖ ≥ ‖c - h‖ - ‖x - h‖ ≥ b.
    """
    for i in range(centres.shape[0]):
        g = gap[i]
        squares_to(home, centres[i], g)
        for j in range(g.shape[0]):
            g[j] = math.sqrt(g[j]) * TIGHT
    m = 0
    for t in range(ref.shape[0]):
        near = False
        for i in range(centres.shape[0]):
            near |= gap[i, ref[t]] < reach[t]
        if near:
            found[m] = t
            m += 1
    return m


@kernel
def gains_by_tiles(block: Any, tiles: Any, centres: Any, ref: Any, reach: Any, gap: Any, mass: Any, square: Any, s: Any,
                   lanes: Any, gains: Any) -> None:
    """gains[i] = Σ mass·max(square - ‖x - centre i‖², 0) over the listed tiles, in the precision of the points."""
    lanes[:] = 0.0
    for t in tiles:
        m, q = mass[t], square[t]
        for i in range(centres.shape[0]):
            if gap[i, ref[t]] < reach[t]:
                squares_to(block[t], centres[i], s)
                lane = lanes[i]
                for p in range(s.shape[0]):
                    lane[p] += m[p] * max(q[p] - s[p], 0.0)
    sum_lanes(lanes, gains)


@kernel
def take_by_tiles(block: Any, tiles: Any, c: Any, number: int, radius: Any, mass: Any, square: Any, label: Any, sums: Any,
                  reach: Any, s: Any) -> None:
    """Measure the listed tiles to the new centre, and keep what is nearer."""
    for t in tiles:
        squares_to(block[t], c, s)
        if lower(s, number, square[t], label[t]) > 0:
            reach[t] = radius[t] + math.sqrt(sum_tile(t, mass, square, sums))


# ------------------------------------------------------------------------------ many features: products with the centres


@kernel
def squared_lengths(begin: Any, values: Any, i0: int, i1: int, out: Any) -> None:
    """out[i] = Σ values² from begin[i] to begin[i + 1], in order: as `add_products` sums, so that equal rows are at 0."""
    for i in range(i0, i1):
        s = 0.0
        for q in range(begin[i], begin[i + 1]):
            s += values[q] * values[q]
        out[i] = s


@kernel
def add_products(begin: Any, rows: Any, values: Any, features: Any, c: Any, dot: Any) -> None:
    """dot[i] += Σⱼ xᵢⱼ·cⱼ over the given features, each with the list of rows that have it."""
    for j in range(features.shape[0]):
        a = c[j]
        for q in range(begin[features[j]], begin[features[j] + 1]):
            dot[rows[q]] += values[q] * a


@kernel
def gains_by_products(length: Any, own: Any, dots: Any, which: Any, t0: int, t1: int, mass: Any, square: Any, lanes: Any,
                      gains: Any) -> None:
    """As `gains_by_tiles`: of the centres in `which`, over tiles t0 … t1, by ‖x‖² + ‖c‖² - 2 x·c."""
    lanes[:] = 0.0
    for t in range(t0, t1):
        n, m, q = length[t], mass[t], square[t]
        for i in range(which.shape[0]):
            lane, g, c = lanes[i], dots[which[i], t], own[which[i]]
            for p in range(lane.shape[0]):
                lane[p] += m[p] * max(q[p] - ((n[p] + c) - 2.0 * g[p]), 0.0)
    sum_lanes(lanes, gains)


@kernel
def take_by_products(length: Any, own: float, dot: Any, number: int, t0: int, t1: int, mass: Any, square: Any, label: Any,
                     sums: Any, s: Any) -> None:
    """Keep what is nearer to the new centre, over tiles t0 … t1; the products decide."""
    for t in range(t0, t1):
        n, g = length[t], dot[t]
        for p in range(s.shape[0]):
            s[p] = max((n[p] + own) - 2.0 * g[p], 0.0)
        if lower(s, number, square[t], label[t]) > 0:
            sum_tile(t, mass, square, sums)


@kernel
def take_by_rows(X: Any, scale: float, c: Any, length: Any, own: float, dot: Any, loss: float, least: float, number: int,
                 t0: int, t1: int, mass: Any, square: Any, label: Any, sums: Any) -> None:
    """Keep what is nearer to the new centre, over tiles t0 … t1; products off by `loss` sieve, the rows decide."""
    width = mass.shape[1]
    for t in range(t0, t1):
        n, g, q, hits = length[t], dot[t], square[t], np.int32(0)
        for p in range(width):
            hits += np.int32((n[p] + own) * (1.0 - loss) - 2.0 * g[p] - least <= q[p])
        if hits == 0:
            continue
        for p in range(min(width, X.shape[0] - t * width)):
            if (n[p] + own) * (1.0 - loss) - 2.0 * g[p] - least <= q[p]:
                x, s = X[t * width + p], 0.0
                for k in range(c.shape[0]):
                    e = (np.float64(x[k]) - c[k]) * scale
                    s += e * e
                if s < q[p] or (s == q[p] and number < label[t, p]):
                    q[p], label[t, p] = s, number
        sum_tile(t, mass, square, sums)
