"""Suggesting a cut: the table of cuts, the clusters that the data speaks for, and a sentence that says why."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from shoal.cuts.evidence import NEAR, Verdict, best_cut
from shoal.cuts.flat import Cut, Subject, cut_k, height_range, labels_of
from shoal.data.records import Carrier, Points
from shoal.data.rows import rows_of
from shoal.judge.silhouette import Floats, Rows, distance_sums, silhouette_of
from shoal.trees.merges import Ints, Merges, leaf_counts, leaf_order, leaf_positions, parents

__all__ = ["SAMPLE", "CutRow", "as_cut", "choose", "coordinates", "evidence_of", "score_cuts", "wording"]

SAMPLE = 2000  # items whose silhouette is averaged: its standard error is then below 0.01
SCALED = 1000  # items whose distances are turned into coordinates: O(SCALED³) once, a fifth of a second
AXES = 100  # coordinates kept, those of the largest variance: what is left out is noise to a split of a few hundred items
CLEAR = 2.0  # standard deviations beyond its limit from which the evidence for a split is good


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


def coordinates(data: Carrier, items: Ints) -> Floats:
    """Return coordinates of some items whose Euclidean distances are theirs, or nearly so; shape (m, d), d at most 100.

    Dense points with the Euclidean metric have them. For everything else, classical scaling (Torgerson 1952) of the
    distances: exact for up to `AXES` dimensions where coordinates exist at all.
    """
    if isinstance(data, Points) and data.metric.name == "euclidean" and isinstance(data.X, np.ndarray):
        X = data.X[items].astype(np.float64)
        X -= X.mean(axis=0)
        largest = float(np.abs(X).max(initial=0.0))
        X /= largest or 1.0  # squares stay within range
        if X.shape[1] <= AXES:
            return X
        squares, axes = _eigen(X @ X.T if len(X) < X.shape[1] else X.T @ X)
        if len(X) < X.shape[1]:
            return axes[:, -AXES:] * np.sqrt(np.maximum(squares[-AXES:], 0.0))
        return X @ axes[:, -AXES:]
    D = rows_of(data)(items)[:, items]
    D /= float(D.max(initial=0.0)) or 1.0
    S = D * D
    mean = S.mean(axis=0)
    squares, axes = _eigen((mean + mean[:, None] - S - mean.mean()) / 2)
    kept = squares > 1e-9 * max(float(squares[-1]), 1e-300)
    return (axes[:, kept] * np.sqrt(squares[kept]))[:, -AXES:]


def _eigen(S: Floats) -> tuple[Floats, Floats]:
    squares, axes = np.linalg.eigh(S)
    return np.asarray(squares, np.float64), np.asarray(axes, np.float64)


def choose(merges: Merges, begin: Ints, order: Ints, data: Carrier, method: str, most: int) -> Verdict:
    """Choose the clusters that the data speaks for, from at most `SAMPLE` items, `SCALED` where there are no coordinates.

    Returns
    -------
    Verdict
        The root alone for one cluster. A tree of an unknown method is held against average linkage.
    """
    dense = isinstance(data, Points) and data.metric.name == "euclidean" and isinstance(data.X, np.ndarray)
    n, size = merges.n, SAMPLE if dense else SCALED
    places = np.arange(n) if n <= size else np.sort(np.random.default_rng(0).choice(n, size, replace=False))
    return best_cut(merges, begin, coordinates(data, order[places]), places, "average" if method == "unknown" else method,
                    most)


def as_cut(found: Verdict) -> Cut:
    """Return the clusters of a verdict as a cut."""
    return Cut(found.nodes, min((s.score for s in found.taken), default=None), None, f"k = {len(found.nodes)}")


def evidence_of(most: int) -> Callable[[Subject], Cut]:
    """Return the choice as a rule."""
    def rule(subject: Subject) -> Cut:
        assert subject.data is not None
        begin = leaf_positions(subject.merges)
        order = leaf_order(subject.merges, begin)
        return as_cut(choose(subject.merges, begin, order, subject.data, subject.method, most))

    return rule


def wording(found: Verdict, n: int) -> tuple[str, str]:
    """Return how good the evidence is ("good", "fair", "weak" or "none"), and why in a sentence or two."""
    k = len(found.nodes)
    if n < 3:
        return "none", "One cluster: with fewer than 3 items there is nothing to choose."
    if k == 1 and not found.refused:
        return "none", "One cluster: no split has two sides of several items."
    margin = min((s.score - s.limit for s in found.taken), default=-math.inf)
    evidence = "good" if margin > CLEAR else "fair" if margin > NEAR else "weak" if k > 1 or found.also else "none"
    if k == 1:
        top = found.refused[0]
        why = (f"One cluster: the highest split is not clearly more separate than those of structureless data through the "
               f"same linkage ({top.score:+.1f} standard deviations; more than {top.limit:.1f} are asked for).")
    elif math.isinf(margin):
        why = f"k = {k}: no edge joins the clusters."
    else:
        why = (f"k = {k}: the clusters are more separate than the sides of structureless data through the same linkage, by "
               f"{min(s.score for s in found.taken):.1f} standard deviations or more.")
    if found.also:
        why += f" k = {_spoken(found.also)} cannot be told apart from it."
    if evidence == "weak" and k > 1:
        why += " The evidence is weak: look at the tree before you rely on it."
    return evidence, why


def _spoken(numbers: tuple[int, ...]) -> str:
    words = [str(v) for v in numbers]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
