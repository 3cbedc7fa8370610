"""How alike two trees over the same items are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from shoal.trees import fidelity
from shoal.trees.merges import Floats, Ints, Merges, leaf_counts, leaf_order, leaf_positions

__all__ = ["Comparison", "compare", "fowlkes_mallows", "middle_ranks"]


@dataclass(frozen=True)
class Comparison:
    """How alike two trees are.

    Attributes
    ----------
    cophenetic : float
        Correlation of the heights at which pairs of items meet in the two (Sokal & Rohlf 1962); NaN in a forest.
    baker : float
        Rank correlation (Spearman's) of the stages at which they meet, Baker's gamma (Baker 1974): it does not see heights.
    error : float
        Standard error of the cophenetic correlation from sampling; 0 when every pair was looked at.
    k : ndarray of int
        Numbers of clusters both trees were cut into.
    b : ndarray
        Fowlkes and Mallows' B_k of the two cuts, from 0 to 1.
    expected : ndarray
        B_k expected of unrelated clusterings with such cluster sizes.
    spread : ndarray
        Its standard deviation then.
    """

    cophenetic: float
    baker: float
    error: float
    k: Ints
    b: Floats
    expected: Floats
    spread: Floats


def compare(one: Merges, other: Merges, of_one: Ints, ks: Ints, cut: Callable[[Merges, int], Ints],
            pairs: int = fidelity.EXACT_PAIRS) -> Comparison:
    """Compare two trees.

    Parameters
    ----------
    one, other : Merges
    of_one : ndarray of int, shape (n,)
        The item of `other` that each item of `one` is.
    ks : ndarray of int
        Numbers of clusters to cut into.
    cut : callable
        ``cut(merges, k)`` labels all items.
    pairs : int
        The most pairs of items to look at; see `shoal.trees.fidelity.correlation`.

    Notes
    -----
    O(pairs) time for the correlations and O(n·log n) for every k; no matrix is held.
    """
    begin = leaf_positions(one), leaf_positions(other)
    place = begin[1][of_one][leaf_order(one, begin[0])]
    joined = fidelity.junctions(one, begin[0]), fidelity.junctions(other, begin[1])

    def correlate(of_one: Floats, of_other: Floats) -> fidelity.Fidelity:
        return fidelity.correlation(of_one, joined[0], fidelity.rows_of_tree(of_other, joined[1], place), pairs)

    heights, stages = correlate(one.height, other.height), correlate(middle_ranks(one), middle_ranks(other))
    found = [fowlkes_mallows(cut(one, k), cut(other, k)[of_one]) for k in ks.tolist()]
    b, expected, spread = np.array(found, np.float64).reshape(-1, 3).T
    return Comparison(heights.correlation, stages.correlation, heights.error, ks, b, expected, spread)


def middle_ranks(merges: Merges) -> Floats:
    """Return the mean rank, among all pairs of items, of the pairs that each merge brings together."""
    size = leaf_counts(merges).astype(np.float64)
    pairs = size[merges.left] * size[merges.right]
    return np.asarray(np.cumsum(pairs) - (pairs - 1.0) / 2.0)


def fowlkes_mallows(a: Ints, b: Ints) -> tuple[float, float, float]:
    """Return B of two labellings, with its mean and standard deviation for unrelated ones of such cluster sizes.

    With P, Q and T the ordered pairs of items that are together in the first, in the second, and in both, B = T/√(PQ).
    Source: Fowlkes & Mallows 1983, doi:10.1080/01621459.1983.10478008, section 2 and appendix.
    """
    n = float(len(a))
    together = np.unique(a * (int(b.max()) + 1) + b, return_counts=True)[1].astype(np.float64)
    rows, columns = np.bincount(a).astype(np.float64), np.bincount(b).astype(np.float64)
    T, P, Q = ((counts * (counts - 1.0)).sum() for counts in (together, rows, columns))
    if P == 0.0 or Q == 0.0:
        return (np.nan,) * 3
    mean = np.sqrt(P * Q) / (n * (n - 1.0))
    if n < 4:
        return float(T / np.sqrt(P * Q)), float(mean), np.nan
    P3, Q3 = ((counts * (counts - 1.0) * (counts - 2.0)).sum() for counts in (rows, columns))
    two, three, four = n * (n - 1.0), n * (n - 1.0) * (n - 2.0), n * (n - 1.0) * (n - 2.0) * (n - 3.0)
    square = 2.0 / two + 4.0 * P3 * Q3 / (three * P * Q) + (P - 2.0 - 4.0 * P3 / P) * (Q - 2.0 - 4.0 * Q3 / Q) / four
    return float(T / np.sqrt(P * Q)), float(mean), float(np.sqrt(max(square - mean * mean, 0.0)))

