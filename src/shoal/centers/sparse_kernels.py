"""The loops of k-means over sparse rows. Centres stand transposed, side by side: an entry of a row serves all of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from shoal.runtime.kernel import kernel


@kernel
def squared_lengths(data: Any, start: Any, i0: int, i1: int, out: Any) -> None:
    """out[i] = ‖xᵢ‖²."""
    for i in range(i0, i1):
        v = 0.0
        for p in range(start[i], start[i + 1]):
            v += np.float64(data[p]) * np.float64(data[p])
        out[i] = v


@kernel
def own_scores(data: Any, columns: Any, start: Any, labels: Any, C: Any, lift: Any, i0: int, i1: int, out: Any) -> None:
    """out[i] = liftₐ + xᵢ·cₐ, of the row's own centre a."""
    for i in range(i0, i1):
        c = C[labels[i]]
        v = lift[labels[i]]
        for p in range(start[i], start[i + 1]):
            v += np.float64(data[p]) * c[columns[p]]
        out[i] = v


@kernel
def add_products(data: Any, columns: Any, p: int, end: int, CT: Any, s: Any) -> None:
    """s[t] += x·c_t for the sparse row at p … end and the columns of CT, entry after entry."""
    w = CT.shape[1]
    while p + 4 <= end:  # four entries a pass: a quarter of the loads and stores of s, the same order of sums
        a, b, c, e = np.float64(data[p]), np.float64(data[p + 1]), np.float64(data[p + 2]), np.float64(data[p + 3])
        ca, cb, cc, ce = CT[columns[p]], CT[columns[p + 1]], CT[columns[p + 2]], CT[columns[p + 3]]
        for t in range(w):
            v = s[t] + a * ca[t]
            v += b * cb[t]
            v += c * cc[t]
            s[t] = v + e * ce[t]
        p += 4
    while p < end:
        a, ca = np.float64(data[p]), CT[columns[p]]
        for t in range(w):
            s[t] += a * ca[t]
        p += 1


@kernel
def two_best(data: Any, columns: Any, start: Any, rows: Any, CT: Any, lift: Any, ids: Any, s: Any, near: Any, top: Any,
             second: Any) -> None:
    """Of rows[q]: the centre with the largest lift + x·c, that score, and the next one; carried on over several tiles."""
    w = CT.shape[1]
    for q in range(rows.shape[0]):
        i = rows[q]
        for t in range(w):
            s[t] = lift[t]
        add_products(data, columns, start[i], start[i + 1], CT, s)
        best, other, j = top[q], second[q], near[q]
        for t in range(w):
            if s[t] > other:
                if s[t] > best:
                    best, other, j = s[t], best, ids[t]
                else:
                    other = s[t]
        top[q], second[q], near[q] = best, other, j


@kernel
def waiting(labels: Any, upper: Any, lower: Any, drift: Any, fastest: int, far: float, next_far: float, i0: int, i1: int,
            rows: Any) -> int:
    """Carry the bounds over a movement of the centres; list the rows whose bounds meet, with their bounds untouched."""
    m = 0
    for i in range(i0, i1):
        a = labels[i]
        u, v = upper[i] + drift[a], lower[i] - (next_far if a == fastest else far)
        if u < v:
            upper[i], lower[i] = u, v
        else:
            rows[m] = i
            m += 1
    return m


@kernel
def still_served(start: Any, size: Any, longest: float, drift: Any, near: Any, top: Any, second: Any, labels: Any,
                 upper: Any, lower: Any, rows: Any) -> int:
    """Settle rows that their own centre surely still serves best, given the two best of the moved ones; list the others.

    A centre that stands still is no nearer than the old lower bound.
    """
    m = 0
    for q in range(rows.shape[0]):
        i = rows[q]
        a = labels[i]
        slack = (start[i + 1] - start[i] + 4096) * 2.0**-51 * (size[i] + longest)
        u, score = upper[i], top[q]
        if drift[a] > 0.0:
            u = np.sqrt(max(size[i] - 2.0 * top[q], 0.0) + slack) if near[q] == a else np.inf
            score = second[q]
        v = min(lower[i], np.sqrt(max(size[i] - 2.0 * score - slack, 0.0)))
        if u < v:
            upper[i], lower[i] = u, v
        else:
            rows[m] = i
            m += 1
    return m


@kernel
def settle_rows(start: Any, size: Any, longest: float, near: Any, top: Any, second: Any, labels: Any, upper: Any, lower: Any,
                rows: Any) -> None:
    """Take the best of all centres; the bounds allow for rounding now and while they are carried on."""
    for q in range(rows.shape[0]):
        i = rows[q]
        slack = (start[i + 1] - start[i] + 4096) * 2.0**-51 * (size[i] + longest)
        labels[i] = near[q]
        upper[i] = np.sqrt(max(size[i] - 2.0 * top[q], 0.0) + slack)
        lower[i] = np.sqrt(max(size[i] - 2.0 * second[q] - slack, 0.0))
