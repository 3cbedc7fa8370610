"""A table of rules: where each would cut, how far it agrees with the others, and whether samples make it say the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from shoal.cuts.flat import Cut, Subject, labels_of_cut
from shoal.cuts.rules import cut_by_rule
from shoal.data.carriers import distances
from shoal.data.features import frozen
from shoal.data.records import Carrier, Points
from shoal.data.rows import rows_of
from shoal.errors import InputError
from shoal.judge.agreement import adjusted_rand
from shoal.trees import linkage as engines
from shoal.trees.merges import Ints, leaf_counts, leaf_order, leaf_positions

__all__ = ["EVIDENCE", "RuleRow", "panel"]

EVIDENCE = "evidence"
SHARE, MOST, DRAWS = 0.8, 400, 8  # of the items, but at most so many, so often: ten rules then take about a second
RULES = ("gap", "acceleration", "mojena", "silhouette", "calinski_harabasz", "davies_bouldin", "stable", "persistence",
         "dynamic")
SEEN = 2000  # items whose silhouette is averaged


class RuleRow(NamedTuple):
    """One rule's cut.

    Attributes
    ----------
    rule : str
        A name of `shoal.cuts.rules.RULES`; "evidence" is the test that `suggest_cuts` chooses by.
    k : int
        Clusters, items left out not counted.
    height : float or None
        Of the line the rule drew, where it drew one.
    score : float or None
        In the rule's own measure.
    agreement : float
        Mean adjusted Rand index with the other rules' cuts.
    stability : float
        Mean adjusted Rand index of this cut with the same rule's cuts of trees of samples; NaN where trees cannot be built
        anew.
    """

    rule: str
    k: int
    height: float | None
    score: float | None
    agreement: float
    stability: float


def panel(subject: Subject, evidence: Callable[[Subject], Cut], again: bool = True) -> tuple[RuleRow, ...]:
    """Cut by every rule that the data allows, and compare.

    Parameters
    ----------
    subject : Subject
        With its data.
    evidence : callable
        The rule that is no name of `RULES`.
    again : bool
        Whether trees of samples can be built: not of a tree along a graph, or of an unknown method.

    Notes
    -----
    Stability is that of 8 samples of 80 % of the items, but at most 400: what a rule says of many items it need not say of
    so few.
    """
    n, data = subject.merges.n, subject.data
    assert data is not None
    found = {name: cut for name in (EVIDENCE, *RULES) if (cut := _cut(name, subject, evidence)) is not None}
    labels = {name: _labels(cut, subject) for name, cut in found.items()}
    stability: dict[str, list[float]] = {name: [] for name in found}
    size = min(int(SHARE * n), MOST)
    for draw in range(DRAWS if again and size >= 3 else 0):
        items = np.sort(np.random.default_rng(draw).choice(n, size, replace=False))
        sample = _sample(subject, data, items)
        for name in found:
            cut = _cut(name, sample, evidence)
            if cut is not None:
                stability[name].append(adjusted_rand(_labels(cut, sample), labels[name][items]))
    rows = []
    for name, cut in found.items():
        others = [adjusted_rand(labels[name], labels[other]) for other in found if other != name]
        rows.append(RuleRow(name, len(cut.nodes), cut.height, cut.score, _mean(others), _mean(stability[name])))
    return tuple(rows)


def _cut(name: str, subject: Subject, evidence: Callable[[Subject], Cut]) -> Cut | None:
    """Cut by a rule; None where the data is not of its kind."""
    n = subject.merges.n
    least = max(2, min(n // 50, 50))  # the size of a cluster that counts
    options: dict[str, dict[str, Any]] = {"silhouette": {"sample": min(n, SEEN)}, "stable": {"min_size": max(least, 5)},
                                          "persistence": {"min_size": max(least, 5)}, "dynamic": {"min_size": max(least, 5)}}
    try:
        return evidence(subject) if name == EVIDENCE else cut_by_rule(name, subject, **options.get(name, {}))
    except InputError:
        return None


def _sample(subject: Subject, data: Carrier, items: Ints) -> Subject:
    """The tree of some items."""
    weights = None if subject.weights is None else subject.weights[items]
    if isinstance(data, Points):
        part: Carrier = dataclasses.replace(data, X=frozen(data.X[items]), ids=None, weights=weights)
    else:
        D = rows_of(data)(items)[:, items]
        part = distances(D[np.triu_indices(len(items), 1)], weights=weights)
    return Subject(engines.build(part, subject.method)[0], part, weights, subject.method)


def _labels(cut: Cut, subject: Subject) -> Ints:
    begin = leaf_positions(subject.merges)
    return labels_of_cut(cut, begin, leaf_counts(subject.merges), leaf_order(subject.merges, begin))[0]


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
