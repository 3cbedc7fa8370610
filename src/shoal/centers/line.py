"""k-means of one feature: the clusters are runs of the sorted values.

Lloyd's iterations move the ends of k runs, which takes a search in the sorted values and a difference of running sums each.
The best of all clusterings is found by dynamic programming over the ends of the last run: they ascend with the number of
values, so that every cluster costs O(n·log n) (Wang & Song 2011; divide and conquer as in Grønlund et al. 2017,
arXiv:1701.07204).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.centers.update import refill, settle, smallest_weight
from shoal.runtime import pool
from shoal.runtime.kernel import kernel
from shoal.runtime.progress import Ticker

__all__ = ["lloyd_line"]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]
Table = NDArray[np.floating[Any]]

SPANS = 1 << 15  # values of a task of the dynamic program: 2 ms


class _Line:
    """The values in order, with running sums of weights, values and squares about their median."""

    def __init__(self, x: Table, weights: Floats | None) -> None:
        self.order = np.argsort(x, kind="stable")
        self.x = x[self.order].astype(np.float64)
        self.middle = float(self.x[len(x) // 2])
        w = np.ones(len(x)) if weights is None else weights[self.order]
        e = self.x - self.middle
        self.mass, self.sum, self.square = (np.append(0.0, np.cumsum(v)) for v in (w, w * e, w * e * e))
        self.parts = w, w * e

    def ends(self, centers: Floats) -> tuple[Ints, Ints]:
        """Centres from left to right, equal ones but once, and where the values nearest to each end; as `nearest` has it."""
        order = np.argsort(centers, kind="stable")
        order = order[np.append(True, np.diff(centers[order]) > 0.0)]
        c, x = centers[order], self.x
        at = np.searchsorted(x, c[:-1] + (c[1:] - c[:-1]) / 2.0)
        for b in range(len(at)):
            left, right, tie = c[b], c[b + 1], order[b + 1] < order[b]
            while at[b] > 0 and _is_right(x[at[b] - 1], left, right, tie):
                at[b] = np.searchsorted(x, x[at[b] - 1], "left")
            while at[b] < len(x) and not _is_right(x[at[b]], left, right, tie):
                at[b] = np.searchsorted(x, x[at[b]], "right")
        return order, np.append(np.maximum.accumulate(at), len(x))

    def labels(self, order: Ints, ends: Ints) -> NDArray[np.int32]:
        """The label of every value, in the order they were given."""
        found = np.empty(len(self.x), np.int32)
        found[self.order] = np.repeat(order, np.diff(ends, prepend=0)).astype(np.int32)
        return found

    def sums(self, order: Ints, ends: Ints, k: int, exact: bool) -> tuple[Floats, Floats]:
        """Sums about the median and masses of the clusters; exact: of their values alone, not of running sums."""
        sums, mass, starts = np.zeros(k), np.zeros(k), np.append(0, ends[:-1])
        if exact:
            some = ends > starts
            for into, values in ((mass, self.parts[0]), (sums, self.parts[1])):
                into[order[some]] = np.add.reduceat(values, starts[some])
        else:
            mass[order], sums[order] = (run[ends] - run[starts] for run in (self.mass, self.sum))
        return sums, mass


def lloyd_line(X: Table, centers: Table, weights: Floats | None, fixed: Floats | None, max_iter: int, tol: float, best: bool,
               ticker: Ticker | None) -> tuple[Table, NDArray[np.int32], Floats, int, bool]:
    """Lloyd's iterations over sorted values.

    Parameters
    ----------
    X, centers, weights, fixed, max_iter, tol, ticker
        As `shoal.centers.lloyd.lloyd` takes them, of one feature.
    best : bool
        Begin with the best of all clusterings instead of the centres given.

    Returns
    -------
    centers, labels, squares, n_iter, converged
        As the other engines have them.

    Notes
    -----
    O(n·log n), and O(k·log n) an iteration; the best clustering O(k·n·log n) time and 4·k·n bytes.
    """
    x = _Line(X[:, 0], weights)
    dtype, k, least = X.dtype, len(centers), smallest_weight(weights)
    if best:
        centers = _best(x, k, centers, ticker).astype(dtype)
    known, n_iter, converged = np.empty((2, 0), np.int64), 0, False
    while n_iter < max_iter and not converged:
        order, ends = x.ends(centers[:, 0].astype(np.float64))
        n_iter += 1
        same, known = np.array_equal(known, (order, ends)), np.array((order, ends))
        sums, mass = x.sums(order, ends, k, exact=same)
        mass[mass < 0.5 * least] = 0.0
        if (mass == 0.0).any():
            labels = x.labels(order, ends)
            filled = refill(X, labels, _squares(X, centers, labels), sums[:, None], mass, centers, weights, fixed,
                            origin=np.array([x.middle]))
            same = same and len(filled) == 0
        new = settle(sums[:, None], mass, centers - x.middle) + x.middle
        new = np.where(mass[:, None] > 0.0, new, centers)
        new = (new if fixed is None else np.where(np.isnan(fixed), new, fixed)).astype(dtype)
        shift = new.astype(np.float64) - centers
        converged, centers = same or float((shift * shift).sum()) <= tol, new
        if ticker is not None:
            ticker.at(n_iter / max_iter)
    labels = x.labels(*x.ends(centers[:, 0].astype(np.float64)))
    return centers, labels, _squares(X, centers, labels), n_iter, converged


def _squares(X: Table, centers: Table, labels: Ints) -> Floats:
    gap = X[:, 0].astype(np.float64) - centers[labels, 0]
    return np.asarray(gap * gap)


def _is_right(x: float, left: float, right: float, tie: bool) -> bool:
    """Whether x goes to the right one of two centres."""
    to_left, to_right = (x - left) * (x - left), (x - right) * (x - right)
    return bool(to_right < to_left or (tie and to_right == to_left))


# ----------------------------------------------------------------------------------------------- the best of all clusterings


@kernel
def fill_spans(mass: Any, total: Any, square: Any, before: Any, cost: Any, begin: Any, spans: Any, s0: int,
               s1: int) -> None:
    """For the middle of each of the spans s0 … s1 of counts of values: the least cost, and where the last cluster begins.

    cost[i] = min over j of before[j] + spread of values j … i. A span of counts is in the first two columns; the best j of
    its middle lies between the other two, and bounds those of its halves.
    """
    lows, highs, firsts, lasts = spans
    for s in range(s0, s1):
        i = (lows[s] + highs[s]) >> 1
        least, at = math.inf, firsts[s]
        for j in range(firsts[s], min(lasts[s], i - 1) + 1):
            w, e = mass[i] - mass[j], total[i] - total[j]
            spread = max(square[i] - square[j] - e * e / w, 0.0) if w > 0.0 else 0.0
            if before[j] + spread < least:
                least, at = before[j] + spread, j
        cost[i], begin[i] = least, at


def _best(x: _Line, k: int, centers: Table, ticker: Ticker | None) -> Floats:
    """The means of the best k runs, in ascending order; centres to spare stay where they were."""
    n = len(x.x)
    k_used = min(k, len(np.unique(x.x)))
    index = np.int32 if n < 2**31 else np.int64
    begins = np.zeros((k_used, n + 1), index)
    cost = np.maximum(x.square - x.sum**2 / np.where(x.mass > 0.0, x.mass, 1.0), 0.0)
    for c in range(1, k_used):
        before, cost = cost, np.full(n + 1, math.inf)
        _layer(x, before, cost, begins[c], c)
        if ticker is not None:
            ticker.at(0.9 * c / k_used)
    found, stop = np.array(centers, np.float64), n
    for c in range(k_used - 1, -1, -1):
        start = int(begins[c, stop])
        w = x.mass[stop] - x.mass[start]
        found[c] = x.middle + (x.sum[stop] - x.sum[start]) / w if w > 0.0 else x.x[start]
        stop = start
    return found


def _layer(x: _Line, before: Floats, cost: Floats, begin: Ints, c: int) -> None:
    """One more cluster: spans of counts of values, halved level by level, all of a level side by side."""
    n = len(x.x)
    lows, highs = np.array([c + 1]), np.array([n])
    firsts, lasts = np.array([c]), np.array([n - 1])
    while len(lows):
        sizes = np.cumsum(lasts - firsts + 1) // SPANS
        cuts = [0, *(np.flatnonzero(np.diff(sizes)) + 1).tolist(), len(lows)]
        spans = lows, highs, firsts, lasts
        pool.run(lambda s0, s1, v=spans: fill_spans(x.mass, x.sum, x.square, before, cost, begin, v, s0, s1),
                 list(pairwise(cuts)))
        middles = (lows + highs) >> 1
        at = begin[middles].astype(np.int64)
        left, right = lows < middles, middles < highs
        lows, highs, firsts, lasts = (np.append(*pair) for pair in (
            (lows[left], middles[right] + 1), (middles[left] - 1, highs[right]),
            (firsts[left], at[right]), (at[left], lasts[right])))
