"""Comparing two trees, against scipy, brute force and simulation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import shoal
from shoal.judge.comparison import fowlkes_mallows, middle_ranks
from strategies import methods, points


def cloud(n: int, d: int = 3) -> Any:
    return np.random.default_rng(n).normal(size=(n, d))


@given(points(min_n=2), methods)
def test_a_tree_is_like_itself(X: Any, method: str) -> None:
    tree = shoal.linkage(X, method)
    found = tree.compare(tree)
    assert np.isnan(found.cophenetic) or found.cophenetic == pytest.approx(1.0)
    assert np.isnan(found.baker) or found.baker == pytest.approx(1.0)
    np.testing.assert_allclose(found.b[~np.isnan(found.b)], 1.0)


def test_correlations_are_scipys() -> None:
    from scipy.cluster.hierarchy import cophenet
    from scipy.stats import spearmanr

    X = cloud(60)
    a, b = shoal.linkage(X, "average"), shoal.linkage(X, "single")
    found = a.compare(b)
    one, other = cophenet(a.to_scipy()), cophenet(b.to_scipy())
    assert found.cophenetic == pytest.approx(np.corrcoef(one, other)[0, 1], rel=1e-12)
    assert found.baker == pytest.approx(spearmanr(one, other).statistic, rel=1e-12)  # heights of either are all different


def test_middle_ranks_are_those_of_all_pairs() -> None:
    from scipy.cluster.hierarchy import cophenet
    from scipy.stats import rankdata

    tree = shoal.linkage(cloud(30), "average")
    pairs = cophenet(tree.to_scipy())
    ranks = dict(zip(pairs.tolist(), rankdata(pairs).tolist(), strict=True))
    assert middle_ranks(tree.merges).tolist() == [ranks[h] for h in tree.merges.height.tolist()]


def test_items_are_matched_by_their_ids() -> None:
    X, names = cloud(40), [f"item {i}" for i in range(40)]
    turn = np.random.default_rng(0).permutation(40)
    a = shoal.linkage(X, "average", ids=names)
    b = shoal.linkage(X[turn], "average", ids=[names[i] for i in turn])
    found = a.compare(b)
    assert (found.cophenetic, found.baker) == pytest.approx((1.0, 1.0))
    np.testing.assert_allclose(found.b, 1.0)
    with pytest.raises(shoal.errors.InputError, match="different items"):
        a.compare(shoal.linkage(X))


def test_b_is_the_share_of_pairs_together_in_both() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 4, 50), rng.integers(0, 3, 50)
    pairs = [(i, j) for i in range(50) for j in range(i)]
    both = sum(a[i] == a[j] and b[i] == b[j] for i, j in pairs)
    one, other = sum(a[i] == a[j] for i, j in pairs), sum(b[i] == b[j] for i, j in pairs)
    assert fowlkes_mallows(a, b)[0] == pytest.approx(both / math.sqrt(one * other), rel=1e-14)


def test_what_is_expected_of_unrelated_clusterings() -> None:
    rng = np.random.default_rng(2)
    a, b = np.repeat([0, 1, 2], [10, 5, 25]), np.repeat([0, 1], [12, 28])
    drawn = np.array([fowlkes_mallows(a, rng.permutation(b))[0] for _ in range(20_000)])
    _, mean, spread = fowlkes_mallows(a, b)
    assert mean == pytest.approx(drawn.mean(), abs=4 * spread / math.sqrt(20_000))
    assert spread == pytest.approx(drawn.std(), rel=0.03)


def test_cuts_where_nobody_is_together() -> None:
    tree = shoal.linkage(cloud(5))
    assert math.isnan(tree.compare(tree, k=[5]).b[0])
    for wrong in ([0], [6], [1.5], 2):
        with pytest.raises(shoal.errors.InputError, match="k="):
            tree.compare(tree, k=wrong)  # type: ignore[arg-type]
