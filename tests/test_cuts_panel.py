"""The table of rules: the rules themselves, agreement by the book, and stability that tells groups from noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
from shoal.cuts.panel import RULES
from shoal.judge.agreement import adjusted_rand


def groups(n: int = 40, k: int = 3) -> Any:
    return np.concatenate([np.random.default_rng(c).normal(9.0 * c, 1, (n, 2)) for c in range(k)])


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 4)), min_size=1, max_size=40))
def test_adjusted_rand_is_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    from sklearn.metrics import adjusted_rand_score

    a, b = np.array(pairs).T
    assert adjusted_rand(a, b) == pytest.approx(adjusted_rand_score(a, b), abs=1e-12)


def test_rows_are_the_rules_cuts() -> None:
    tree = shoal.linkage(groups())
    rows = {row.rule: row for row in tree.suggest_cuts().rules}
    assert list(rows) == ["evidence", *RULES]
    for name in ("gap", "acceleration", "mojena", "calinski_harabasz", "davies_bouldin"):
        assert rows[name].k == tree.cut(rule=name).k
    labels = {name: tree.cut(rule=name).labels for name in ("gap", "silhouette", "calinski_harabasz")}
    assert rows["silhouette"].k == labels["silhouette"].max() + 1
    assert rows["evidence"].k == 3
    assert rows["evidence"].stability == pytest.approx(1.0)


def test_agreement_is_the_mean_over_the_other_rules() -> None:
    tree = shoal.linkage(groups(k=2), "average")
    rows = tree.suggest_cuts().rules
    alike = [row for row in rows if row.k == 2 and row.rule not in ("stable", "dynamic")]
    assert len(alike) > 3
    assert all(row.agreement <= 1 for row in rows)
    assert len({round(row.agreement, 12) for row in alike}) == 1


def test_noise_is_not_stable() -> None:
    rows = {r.rule: r for r in shoal.linkage(np.random.default_rng(0).normal(size=(200, 3))).suggest_cuts().rules}
    assert rows["evidence"].k == 1
    assert rows["silhouette"].stability < 0.5


def test_given_distances_and_trees_that_cannot_be_built_anew() -> None:
    from scipy.spatial.distance import pdist

    tree = shoal.linkage(shoal.distances(pdist(groups(20))), "average")
    rows = {r.rule: r for r in tree.suggest_cuts().rules}
    assert "calinski_harabasz" not in rows
    assert rows["evidence"].k == 3
    assert rows["evidence"].stability > 0.9
    unknown = shoal.Tree.from_scipy(tree.to_scipy()).with_data(shoal.distances(pdist(groups(20))))
    assert all(math.isnan(r.stability) for r in unknown.suggest_cuts().rules)


def test_same_every_time_for_any_number_of_threads() -> None:
    tree, found = shoal.linkage(groups(20)), set()
    try:
        for threads in (1, 2, 5):
            shoal.set_threads(threads)
            found.add(tree.suggest_cuts().rules)
    finally:
        shoal.set_threads(None)
    assert len(found) == 1
