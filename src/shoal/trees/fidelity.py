"""How well a tree keeps the distances it was built from: cophenetic distances, and their correlation with others.

The cophenetic distance of two items is the height of the merge that first joins them (Sokal & Rohlf 1962). With the leaves
in the order they are drawn, the merges that join position p with p + 1, p + 2, … are a running maximum: one pass over a row
of distances gives all sums, and no matrix is held.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from shoal.data.records import Carrier, Points
from shoal.data.rows import rows_of
from shoal.runtime import pool
from shoal.runtime.kernel import kernel, plain_if_cheap
from shoal.trees.merges import Floats, Ints, Merges

__all__ = ["EXACT_PAIRS", "Fidelity", "cophenetic_rows", "correlation", "junctions", "rows_of_tree", "rows_to_keep"]

Rows = Callable[[Ints, int], Floats]

EXACT_PAIRS = 1_000_000_000  # about 4 s on two cores for ten features; beyond, pairs are sampled
BLOCK = 1 << 19  # distances at a time: 4 MB, within a core's cache but for its last level
GROUPS = 32  # of sampled items; the error is taken from how much their parts differ
PLAIN_S = 1e-6  # a pair, in plain Python


class Fidelity(NamedTuple):
    """A correlation between cophenetic and other distances.

    Attributes
    ----------
    correlation : float
        In [-1, 1]; NaN with fewer than 3 items, where all distances or all heights are equal, or one is infinite.
    error : float
        Its standard error from sampling; 0 where all pairs were looked at.
    pairs : int
        Pairs looked at.
    """

    correlation: float
    error: float
    pairs: int


def junctions(merges: Merges, begin: Ints) -> Ints:
    """Return the merge at which each leaf position p and p + 1 come together; shape (n - 1,).

    The merge whose right side begins at position p + 1 is the one; and of a stretch of positions, the merge that joins
    all is the last made among them, also under inversions.
    """
    joined = np.empty(merges.n - 1, np.int64)
    joined[begin[merges.right] - 1] = np.arange(merges.n - 1)
    return joined


def cophenetic_rows(height: Floats, joined: Ints, positions: Ints) -> Floats:
    """Return the cophenetic distances from some leaf positions to all positions; shape (len(positions), n)."""
    out = np.zeros((len(positions), len(joined) + 1))
    for row, p in zip(out, positions.tolist(), strict=True):
        row[p + 1:] = height[np.maximum.accumulate(joined[p:])]
        row[:p] = height[np.maximum.accumulate(joined[:p][::-1])][::-1]
    return out


@kernel
def add_products(x: Any, c0: int, p: int, behind: bool, height: Any, joined: Any, shift: float, unit: float,
                 sums: Any) -> None:
    """Add Σu, Σv, Σu², Σv², Σuv over the pairs of position p with those after it, and `behind` it as well.

    x[q - c0] is the distance to position q, u = x/unit - shift, v = height/unit - shift: about a value near the mean,
    sums of squares do not cancel, and in units of the tallest merge none overflows.
    """
    su, sv, suu, svv, suv = 0.0, 0.0, 0.0, 0.0, 0.0
    last = -1
    for q in range(p + 1, c0 + x.shape[0]):
        last = max(last, joined[q - 1])
        u, v = x[q - c0] / unit - shift, height[last] / unit - shift
        su += u
        sv += v
        suu += u * u
        svv += v * v
        suv += u * v
    last = -1
    for q in range(p - 1, c0 - 1 if behind else p, -1):
        last = max(last, joined[q])
        u, v = x[q - c0] / unit - shift, height[last] / unit - shift
        su += u
        sv += v
        suu += u * u
        svv += v * v
        suv += u * v
    sums[0] += su
    sums[1] += sv
    sums[2] += suu
    sums[3] += svv
    sums[4] += suv


@kernel
def add_rows(X: Any, positions: Any, c0: int, behind: bool, height: Any, joined: Any, shift: float, unit: float,
             sums: Any) -> None:
    """`add_products` of every row of X."""
    for i in range(positions.shape[0]):
        add_products(X[i], c0, positions[i], behind, height, joined, shift, unit, sums)


def rows_to_keep(carrier: Carrier, order: Ints) -> Rows:
    """Return ``rows(positions, first)``: distances from leaf positions to positions first, first + 1, … n - 1."""
    if isinstance(carrier, Points):
        X, metric = carrier.X[order], carrier.metric
        return lambda positions, first: metric.between(X[positions], X[first:])
    rows = rows_of(carrier)
    return lambda positions, first: rows(order[positions])[:, order[first:]]


def rows_of_tree(height: Floats, joined: Ints, place: Ints) -> Rows:
    """Return the same of another tree's cophenetic distances; `place` is where its leaves have this tree's positions."""
    return lambda positions, first: cophenetic_rows(height, joined, place[positions])[:, place[first:]]


def correlation(height: Floats, joined: Ints, rows: Rows, pairs: int = EXACT_PAIRS) -> Fidelity:
    """Correlate cophenetic with other distances, over all pairs where they are at most `pairs`, else over a sample.

    Parameters
    ----------
    height : ndarray, shape (n - 1,)
        Of the merges, or any number for every merge.
    joined : ndarray of int, shape (n - 1,)
        See `junctions`.
    rows : callable
        See `rows_to_keep`.
    pairs : int
        The most pairs to look at. Beyond, random items are taken with all their pairs.

    Notes
    -----
    O(pairs) distances; memory is that of a few blocks of 4 MB. The sample's error is a jackknife over groups of items.
    """
    n = len(joined) + 1
    if n < 3 or not np.isfinite(height).all():
        return Fidelity(math.nan, 0.0, 0)
    every = n * (n - 1) // 2 <= pairs
    unit = 2.0 ** (math.frexp(float(np.abs(height).max()))[1] - 1)
    shift = float(np.mean(height / unit))
    if every:
        who, tasks = np.arange(n), pool.blocks(n, max(1, BLOCK // n))
    else:
        m = min(n, max(2 * GROUPS, pairs // n))
        who = np.random.default_rng(0).permutation(n)[:m]
        tasks = pool.blocks(m, max(1, min(BLOCK // n, m // GROUPS)))
    parts = np.zeros((len(tasks), 5))

    def work(slot: int, start: int, stop: int) -> None:
        positions = who[start:stop]
        first = start if every else 0
        with plain_if_cheap(PLAIN_S * len(positions) * (n - first)):
            add_rows(rows(positions, first), positions, first, not every, height, joined, shift, unit, parts[slot])

    pool.run(work, [(slot, *task) for slot, task in enumerate(tasks)])
    taken = n * (n - 1) // 2 if every else len(who) * (n - 1)
    whole = _correlation(np.array([math.fsum(column) for column in parts.T]), taken)
    if every:
        return Fidelity(whole, 0.0, taken)
    groups = np.add.reduceat(parts, np.arange(GROUPS) * len(tasks) // GROUPS)
    sizes = np.add.reduceat([float(b - a) for a, b in tasks], np.arange(GROUPS) * len(tasks) // GROUPS) * (n - 1)
    without = np.array([_correlation(parts.sum(axis=0) - g, taken - s) for g, s in zip(groups, sizes, strict=True)])
    error = math.sqrt((GROUPS - 1) * float(np.var(without)))
    return Fidelity(whole, error, taken)


def _correlation(sums: Floats, pairs: float) -> float:
    """Pearson's correlation from sums about a shift."""
    su, sv, suu, svv, suv = sums.tolist()
    spread_u, spread_v = suu - su * su / pairs, svv - sv * sv / pairs
    if spread_u <= 1e-13 * suu or spread_v <= 1e-13 * svv:
        return math.nan
    return float((suv - su * sv / pairs) / math.sqrt(spread_u * spread_v))
