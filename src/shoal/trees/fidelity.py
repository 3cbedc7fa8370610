"""How well a tree keeps the distances it was built from."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from shoal.runtime import pool
from shoal.trees.merges import Floats, Ints, Merges

__all__ = ["cophenetic_correlation", "cophenetic_rows", "junctions"]

BLOCK = 1 << 20  # pairs at a time


def junctions(merges: Merges, begin: Ints) -> Ints:
    """Return the merge at which each leaf position p and p + 1 come together; shape (n - 1,).

    The merge whose right side begins at position p + 1 is the one; and of a stretch of positions, the merge that joins
    all is the last made among them, also under inversions.
    """
    joined = np.empty(merges.n - 1, np.int64)
    joined[begin[merges.right] - 1] = np.arange(merges.n - 1)
    return joined


def cophenetic_rows(merges: Merges, joined: Ints, positions: Ints) -> Floats:
    """Return the cophenetic distances from some leaf positions to all positions; shape (len(positions), n).

    The cophenetic distance of two items is the height of the merge that first joins them.
    """
    n = merges.n
    out = np.zeros((len(positions), n))
    for row, p in zip(out, positions.tolist(), strict=True):
        row[p + 1:] = merges.height[np.maximum.accumulate(joined[p:])]
        row[:p] = merges.height[np.maximum.accumulate(joined[:p][::-1])][::-1]
    return out


def cophenetic_correlation(merges: Merges, begin: Ints, order: Ints, rows: Callable[[Ints], Floats]) -> float:
    """Correlation of cophenetic and original distances over all pairs.

    Parameters
    ----------
    merges, begin, order
        The tree, the first position of every node, the leaves from left to right.
    rows : callable
        ``rows(items)`` gives the distances of items to all n, shape (len(items), n).

    Returns
    -------
    float
        In [-1, 1]; NaN with fewer than 3 items, or where all distances or all heights are equal.

    Notes
    -----
    Exact over all pairs, O(n²) time, in blocks: no matrix is held. Source: Sokal & Rohlf 1962.
    """
    n = merges.n
    if n < 3:
        return math.nan
    joined = junctions(merges, begin)
    tasks = pool.blocks(n, max(1, BLOCK // n))
    parts = np.zeros((len(tasks), 5))
    unit = 2.0 ** (math.frexp(float(np.abs(merges.height).max()))[1] - 1)  # so that no square overflows or vanishes
    shift = float(np.mean(merges.height / unit))  # sums of squares about a value near the mean do not cancel

    def work(slot: int, start: int, stop: int) -> None:
        positions = np.arange(start, stop)
        later = np.arange(n) > positions[:, None]
        x = (rows(order[start:stop])[:, order] / unit - shift)[later]
        y = (cophenetic_rows(merges, joined, positions) / unit - shift)[later]
        parts[slot] = x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum()

    pool.run(work, [(slot, *task) for slot, task in enumerate(tasks)])
    sx, sy, sxx, syy, sxy = (math.fsum(column) for column in parts.T)
    pairs = n * (n - 1) / 2
    spread = (sxx - sx * sx / pairs) * (syy - sy * sy / pairs)
    scale = max(sxx, syy) ** 2
    return math.nan if spread <= 1e-26 * scale else (sxy - sx * sy / pairs) / math.sqrt(spread)
