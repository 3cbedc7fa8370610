"""Suggesting a cut from the heights of the tree and the silhouette of its cuts, with a sentence that says why."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from shoal.cuts.flat import cut_k, height_range, labels_of
from shoal.judge.silhouette import Floats, Rows, distance_sums, silhouette_of
from shoal.trees.merges import Ints, Merges, leaf_counts, parents

__all__ = ["SAMPLE", "CutRow", "score_cuts", "verdict"]

SAMPLE = 2000  # items whose silhouette is averaged: its standard error is then below 0.01
STRONG = 0.5  # Kaufman & Rousseeuw 1990, table 4: above it a reasonable structure, below a weak one that may be artificial
NEAR = 0.03  # silhouettes closer than this are not told apart


class CutRow(NamedTuple):
    """One number of clusters.

    Attributes
    ----------
    k : int
    low, high : float
        The heights between which a horizontal cut gives k clusters; equal under ties and inversions.
    gap : float
        high - low as a share of the tree's height.
    silhouette : float
        Mean silhouette over (a sample of) the items.
    """

    k: int
    low: float
    high: float
    gap: float
    silhouette: float


def score_cuts(merges: Merges, begin: Ints, order: Ints, rows: Rows, weights: Floats, most: int) -> list[CutRow]:
    """Score the cuts into 2 … `most` clusters in one pass over the distances of at most `SAMPLE` items.

    Notes
    -----
    O(min(n, SAMPLE)·n) distances, whatever the number of cuts: the clusters of a coarser cut are unions of the finest.
    """
    n = merges.n
    most = min(most, n - 1)
    if most < 2:
        return []
    count, up = leaf_counts(merges), parents(merges)
    items = np.arange(n) if n <= SAMPLE else np.sort(np.random.default_rng(0).choice(n, SAMPLE, replace=False))
    finest, nodes = labels_of(cut_k(merges, most, up), begin, count, order)
    sums = distance_sums(rows, items, finest, most, weights)
    sizes = np.bincount(finest, weights, minlength=most)
    first = order[begin[nodes]]  # an item of each of the finest clusters
    whole = max(float(merges.height[np.isfinite(merges.height)].max(initial=0.0)), 1e-300)
    found = []
    for k in range(2, most + 1):
        labels, kept = labels_of(cut_k(merges, k, up), begin, count, order)
        starts = np.searchsorted(labels[first], np.arange(k))  # both are numbered from left to right
        values = silhouette_of(np.add.reduceat(sums, starts, axis=1), labels[items], np.add.reduceat(sizes, starts),
                               weights[items])
        mean = float(np.average(values, weights=weights[items]))
        span = height_range(merges, kept, up) or (float(merges.height[n - 1 - k]),) * 2
        found.append(CutRow(k, span[0], span[1], min(span[1] - span[0], whole) / whole if span[0] < np.inf else 0.0, mean))
    return found


def verdict(rows: list[CutRow]) -> tuple[int | None, str, str]:
    """Choose a number of clusters.

    Returns
    -------
    k : int or None
        None: one cluster only.
    evidence : str
        "good", "fair", "weak" or "none".
    reason : str
        One sentence.
    """
    if not rows:
        return None, "none", "One cluster: with fewer than 3 items there is nothing to choose."
    by_gap = max(rows, key=lambda r: (r.gap, -r.k))
    by_shape = max(rows, key=lambda r: (round(r.silhouette, 12), -r.k))
    if by_gap.gap <= 0 and by_shape.silhouette <= 0:
        return None, "none", "One cluster: no cut separates anything."
    agree = by_gap.k == by_shape.k
    rivals = [r.k for r in rows if r.k != by_shape.k and by_shape.silhouette - r.silhouette < NEAR]
    evidence = _evidence(by_shape.silhouette, agree, bool(rivals))
    if agree:
        why = (f"k = {by_shape.k}: the longest stretch of heights without a merge and the best silhouette "
               f"({by_shape.silhouette:.2f}) agree.")
    else:
        why = (f"k = {by_shape.k} has the best silhouette ({by_shape.silhouette:.2f}); the longest stretch of heights "
               f"without a merge would give {by_gap.k}.")
    if rivals:
        why += f" k = {_spoken(rivals[:4])} {'is' if len(rivals) == 1 else 'are'} about as good."
    if evidence == "weak":
        why += " The evidence is weak: look at the tree before you rely on it."
    return by_shape.k, evidence, why


def _evidence(silhouette: float, agree: bool, rivals: bool) -> str:
    if silhouette < STRONG:
        return "weak"
    return "good" if agree and not rivals else "fair"


def _spoken(numbers: list[int]) -> str:
    words = [str(v) for v in numbers]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
