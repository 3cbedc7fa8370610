"""The loops of learning on: one row after another, each moving the nearest centre at once.

Every centre has a line in `book`, the stream one in `tally`; the constants below name their columns. Masses are kept in
units that grow by 2^(1/half_life) a row instead of shrinking all of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from shoal.centers.sparse_kernels import add_products
from shoal.data.metrics import row_of_distances
from shoal.runtime.kernel import kernel

# Columns of `book`, a line for every centre.
MASS = 0  # weight won
PULL = 1  # length of the weighted sum of the rows won, its free coordinates: what the mass is under cosine
BORN = 2  # what all centres had won when this one was last moved; infinity where it may not be
SCATTER, WON = 3, 4  # since the mark: weighted squares of the rows won when they came, and their weight
ROOM = 5  # length of the free coordinates under cosine
RESCUED = 6  # times moved since the mark
SQUARE = 7  # squared length of the weighted sum, of sparse rows
BOOK = 8

# Columns of `tally`.
SEEN = 0  # rows
UNIT = 1  # of all masses: what a row of weight 1 adds now
TOTAL = 2  # weight won by all
WORST, WORST_MASS, WORST_COUNT = 3, 4, 5  # of the worst served row since the last rescue: square, mass, stored entries
MARKED, EARLY_END = 6, 7  # rows seen at the mark, and where the first rows after it end
EARLY, EARLY_WEIGHT = 8, 9  # weighted squares of these
RECENT, RECENT_WEIGHT = 10, 11  # of all rows, fading
RESCUE_AT = 12  # rows seen when a centre that wins too little is next looked for
TALLY = 13

# What `rules` holds.
UNIT_LENGTH = 0  # 1 where centres stay on the sphere
GROWTH = 1  # of the unit at every row
SHARE = 2  # of the mean that a centre must win
PERIOD = 3  # rows between two looks for one that does not
SPAN = 4  # rows over which the inertia of late fades

FACTOR, LEVEL = 0, 1  # lines of what is kept of a sum of sparse rows


@kernel
def account(book: Any, tally: Any, j: int, square: float, w: float, rules: Any) -> float:
    """Enter a row of weight w that centre j won at this squared distance; return its mass."""
    add: float = w * tally[UNIT]
    book[j, MASS] += add
    book[j, SCATTER] += w * square
    book[j, WON] += w
    if tally[SEEN] < tally[EARLY_END]:
        tally[EARLY] += w * square
        tally[EARLY_WEIGHT] += w
    fade = 1.0 - 1.0 / rules[SPAN]
    tally[RECENT] = tally[RECENT] * fade + w * square
    tally[RECENT_WEIGHT] = tally[RECENT_WEIGHT] * fade + w
    tally[TOTAL] += add
    tally[SEEN] += 1.0
    tally[UNIT] *= rules[GROWTH]
    return add


@kernel
def weakest(book: Any, tally: Any, share: float) -> int:
    """The lightest of the centres that have won, since they were placed, less than this share of the mean; -1 if none."""
    found, k = -1, book.shape[0]
    for j in range(k):
        if book[j, MASS] < share * (tally[TOTAL] - book[j, BORN]) / k and (found < 0 or book[j, MASS] < book[found, MASS]):
            found = j
    return found


@kernel
def begin_again(book: Any, tally: Any, j: int) -> None:
    """Enter centre j as having won nothing but the worst served row."""
    book[j, MASS], book[j, BORN] = tally[WORST_MASS], tally[TOTAL]
    book[j, PULL], book[j, SQUARE] = 0.0, 0.0
    book[j, SCATTER], book[j, WON] = 0.0, 0.0
    book[j, RESCUED] += 1.0


@kernel
def pull_mean(CT: Any, free: Any, x: Any, j: int, step: float) -> float:
    """Take the centre this part of the way to x in the free coordinates; return how far that was, squared."""
    way = 0.0
    for f in range(CT.shape[0]):
        move = step * (free[f, j] * (np.float64(x[f]) - CT[f, j]))
        CT[f, j] += move
        way += move * move
    return way


@kernel
def pull_direction(CT: Any, free: Any, book: Any, x: Any, j: int, add: float) -> float:
    """Turn the free coordinates to where the weighted sum of the rows won now points; return how far, squared."""
    room = book[j, ROOM]
    old = book[j, PULL] / room if room > 0.0 else 0.0
    length = 0.0
    for f in range(CT.shape[0]):
        v = free[f, j] * (old * CT[f, j] + add * np.float64(x[f]))
        length += v * v
    length = np.sqrt(length)
    if length == 0.0:
        return 0.0
    book[j, PULL] = length
    way = 0.0
    for f in range(CT.shape[0]):
        v = room * (old * CT[f, j] + add * np.float64(x[f])) / length
        move = free[f, j] * (v - CT[f, j])
        CT[f, j] += move
        way += move * move
    return way


@kernel
def smallest(bits: Any) -> int:
    """The first place of the smallest of numbers that are at least 0, given as their bits: their order is the same.

    A minimum of whole numbers becomes a vector loop, one of floating-point numbers does not.
    """
    low = bits[0]
    for t in range(bits.shape[0]):
        low = min(low, bits[t])
    j = 0
    while bits[j] != low:
        j += 1
    return j


@kernel
def walk(X: Any, weights: Any, near: Any, second: Any, CT: Any, free: Any, book: Any, tally: Any, worst: Any, s: Any,
         drift: Any, rules: Any) -> None:
    """Give rows one after another to the nearest centre as it then is, and move it.

    Before the walk, near[i] was the nearest and all others were at least second[i] away. A centre has moved by at most the
    sum of its steps since, so while even the longest such way does not bring another one as near, only one distance is
    evaluated. second[i] = -1 says that nothing is known. Ties go to the smaller index.
    """
    d, w = CT.shape
    bits, unit, far = s.view(np.int64), rules[UNIT_LENGTH] > 0.0, 0.0
    for i in range(X.shape[0]):
        x, weight = X[i], weights[i] if weights.shape[0] > 0 else 1.0
        j, square = near[i], 0.0
        if second[i] >= 0.0:
            for f in range(d):
                square += (CT[f, j] - np.float64(x[f])) * (CT[f, j] - np.float64(x[f]))
        if not np.sqrt(square) + far < second[i]:
            row_of_distances(0, x, CT, 0, w, s)
            j = smallest(bits)
            square = s[j]
        if square > tally[WORST]:
            tally[WORST], tally[WORST_MASS] = square, weight * tally[UNIT]
            for f in range(d):
                worst[f] = np.float64(x[f])
        add = account(book, tally, j, square, weight, rules)
        way = pull_direction(CT, free, book, x, j, add) if unit else pull_mean(CT, free, x, j, add / book[j, MASS])
        drift[j] += np.sqrt(way)
        far = max(far, drift[j])
        if tally[SEEN] == tally[RESCUE_AT]:
            tally[RESCUE_AT] += rules[PERIOD]
            j = weakest(book, tally, rules[SHARE])
            if j >= 0 and tally[WORST] > 0.0:
                begin_again(book, tally, j)
                add = tally[WORST_MASS]
                way = pull_direction(CT, free, book, worst, j, add) if unit else pull_mean(CT, free, worst, j, 1.0)
                drift[j] += np.sqrt(way)
                far = max(far, drift[j])
            tally[WORST] = 0.0


@kernel
def lay_out(X: Any, origin: Any, scale: float, i0: int, i1: int, B: Any, lengths: Any) -> None:
    """B[f, t] = (x_f - origin_f) · scale in float32 of row i0 + t, and its squared length."""
    for t in range(i1 - i0):
        lengths[t] = 0.0
    for f in range(X.shape[1]):
        b, o = B[f], origin[f]
        for t in range(i1 - i0):
            v = (np.float64(X[i0 + t, f]) - o) * scale
            b[t] = v
            lengths[t] += v * v


@kernel
def two_nearest(F: Any, lengths: Any, longest: float, slack: float, scale: float, i0: int, i1: int, near: Any,
                second: Any) -> None:
    """Given F[j, t] = ‖cⱼ‖² - 2 xₜ·cⱼ in float32: the nearest centre of row t, and a bound of the others' distance.

    The rows lie side by side, so that every step is a vector loop.
    """
    m = i1 - i0
    best, other, which = np.full(m, np.float32(np.inf)), np.full(m, np.float32(np.inf)), np.zeros(m, np.int32)
    for j in range(F.shape[0]):
        row = F[j]
        for t in range(m):
            v = row[t]
            other[t] = min(other[t], max(best[t], v))
            which[t] = j if v < best[t] else which[t]
            best[t] = min(best[t], v)
    for t in range(m):
        square = np.float64(other[t]) + lengths[t] - slack * (lengths[t] + longest)
        near[i0 + t] = which[t]
        second[i0 + t] = np.sqrt(max(square, 0.0)) * scale


@kernel
def place_sum(book: Any, lines: Any, j: int, unit: bool) -> None:
    """Centre j is factor · v: the mean of the rows won, or under cosine their direction; level is its squared length."""
    square = book[j, SQUARE]
    if unit:
        lines[FACTOR, j], lines[LEVEL, j] = 1.0 / np.sqrt(square) if square > 0.0 else 0.0, 1.0
    else:
        factor = 1.0 / book[j, MASS]
        lines[FACTOR, j], lines[LEVEL, j] = factor, square * factor * factor


@kernel
def walk_sparse(data: Any, columns: Any, start: Any, weights: Any, V: Any, lines: Any, book: Any, tally: Any, worst: Any,
                s: Any, rules: Any) -> None:
    """As `walk`, for sparse rows: centres are kept as weighted sums v of the rows won, so that a step touches few entries.

    ‖x - c‖² = ‖x‖² + level - 2 · factor · (x·v). A centre that has won nothing yet is its seed.
    """
    d, k = V.shape
    unit, factor, level = rules[UNIT_LENGTH] > 0.0, lines[FACTOR], lines[LEVEL]
    for i in range(start.shape[0] - 1):
        weight, p, end = weights[i] if weights.shape[0] > 0 else 1.0, start[i], start[i + 1]
        length = 0.0
        for q in range(p, end):
            length += np.float64(data[q]) * np.float64(data[q])
        for t in range(k):
            s[t] = 0.0
        add_products(data, columns, p, end, V, s)
        j, low = 0, np.inf
        for t in range(k):
            key = level[t] - 2.0 * factor[t] * s[t]
            if key < low:
                j, low = t, key
        square = max(length + low, 0.0)
        if square > tally[WORST]:
            tally[WORST], tally[WORST_MASS], tally[WORST_COUNT] = square, weight * tally[UNIT], end - p
            for q in range(p, end):
                worst[0, q - p], worst[1, q - p] = np.float64(data[q]), columns[q]
        if book[j, MASS] == 0.0:
            for f in range(d):
                V[f, j] = 0.0
            book[j, SQUARE], s[j] = 0.0, 0.0
        add = account(book, tally, j, square, weight, rules)
        for q in range(p, end):
            V[columns[q], j] += add * np.float64(data[q])
        book[j, SQUARE] = max(book[j, SQUARE] + 2.0 * add * s[j] + add * add * length, 0.0)
        place_sum(book, lines, j, unit)
        if tally[SEEN] == tally[RESCUE_AT]:
            tally[RESCUE_AT] += rules[PERIOD]
            j = weakest(book, tally, rules[SHARE])
            if j >= 0 and tally[WORST] > 0.0:
                begin_again(book, tally, j)
                for f in range(d):
                    V[f, j] = 0.0
                for q in range(int(tally[WORST_COUNT])):
                    v = tally[WORST_MASS] * worst[0, q]
                    V[int(worst[1, q]), j] = v
                    book[j, SQUARE] += v * v
                place_sum(book, lines, j, unit)
            tally[WORST] = 0.0
