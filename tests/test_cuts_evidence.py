"""The dip and the evidence for splits: beside linear programs, planted groups, and data without any."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
from shoal.cuts import evidence
from shoal.cuts.dip import dip
from shoal.cuts.evidence import BOX, ELLIPSOID, SINGLY, Shape, witnesses


def dip_by_linear_programs(values: Any) -> float:
    """Smallest distance to a distribution function that is convex up to some value and concave after it."""
    from scipy.optimize import linprog

    x, count = np.unique(values, return_counts=True)
    k, n = len(x), int(count.sum())
    after = np.cumsum(count) / n
    before = after - count / n
    best = 1.0
    for mode in range(k):  # variables: the function at every value from the left, at the mode from the right, the distance
        left, right = list(range(k)), [k if i == mode else i for i in range(k)]
        rows, bounds = [], []

        def below(*terms: tuple[int, float], bound: float, rows: Any = rows, bounds: Any = bounds) -> None:
            row = np.zeros(k + 2)
            for at, factor in terms:
                row[at] += factor
            rows.append(row)
            bounds.append(bound)

        for i in range(k):
            for at, truth in ((left[i], before[i]), (right[i], after[i])):
                below((at, 1), (k + 1, -1), bound=truth)
                below((at, -1), (k + 1, -1), bound=-truth)
        for i in range(1, k - 1):
            if i != mode:
                sign, d0, d1 = 1 if i < mode else -1, x[i] - x[i - 1], x[i + 1] - x[i]
                below((left[i], sign / d0), (right[i - 1], -sign / d0), (left[i + 1], -sign / d1), (right[i], sign / d1),
                      bound=0.0)
        for i in range(k - 1):
            below((right[i], 1), (left[i + 1], -1), bound=0.0)
        below((mode, 1), (k, -1), bound=0.0)
        cost = np.zeros(k + 2)
        cost[-1] = 1
        best = min(best, linprog(cost, A_ub=np.array(rows), b_ub=bounds).fun)
    return best


@given(st.lists(st.integers(0, 12), min_size=2, max_size=9))
def test_the_dip_is_the_distance_to_the_nearest_function_of_one_mode(values: list[int]) -> None:
    expected = max(dip_by_linear_programs(np.array(values, float)), 0.5 / len(values))
    assert dip(values) == pytest.approx(expected, abs=1e-8)


def test_known_dips() -> None:
    assert dip([3.0]) == 0.5
    assert dip([0.0, 0.0, 1.0, 1.0]) == 0.25
    assert dip(np.arange(100.0)) == pytest.approx(0.005)
    assert dip(np.concatenate([np.arange(50.0), 1e6 + np.arange(50.0)])) == pytest.approx(0.25, abs=0.01)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=30), st.integers(1, 9))
def test_the_dip_does_not_see_order_scale_or_direction(values: list[int], scale: int) -> None:
    x = np.array(values, float)
    assert dip(x[::-1]) == dip(x)
    assert dip(scale * x + 3) == pytest.approx(dip(x), rel=1e-12)
    assert dip(-x) == pytest.approx(dip(x), rel=1e-12)


def test_every_witness_grows_with_the_distance_of_the_sides() -> None:
    from scipy.spatial.distance import pdist, squareform

    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    seen = []
    for apart in (2.0, 6.0, 20.0):
        Y = X + np.where(np.arange(60) < 25, 0, apart)[:, None]
        seen.append(witnesses(Y, squareform(pdist(Y)), 25, 0.1 * apart))
        other = witnesses(Y[::-1], squareform(pdist(Y[::-1])), 35, 0.1 * apart)
        np.testing.assert_allclose(other, seen[-1], rtol=1e-9)
    assert (np.diff(seen, axis=0) > 0).all()


@pytest.mark.parametrize("kind", [BOX, ELLIPSOID, SINGLY])
def test_references_have_the_covariance_and_one_mode(kind: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 3)) * [1.0, 2.0, 3.0] + np.where(rng.uniform(size=2000) < 0.5, 0.0, 20.0)[:, None] * [0, 0, 1]
    Y = Shape.of(X).draw(kind, rng)
    assert Y.shape == X.shape
    np.testing.assert_allclose(np.sort(Y.std(axis=0)), np.sort(X.std(axis=0)), rtol=0.15)
    assert dip(X[:, 2]) > 0.04
    assert max(dip(column) for column in Y.T) < 0.03


def best(X: Any, method: str, most: int = 15) -> evidence.Verdict:
    tree = shoal.linkage(shoal.points(X, square=True), method)
    return evidence.best_cut(tree.merges, tree._begin, X[tree.order()], np.arange(len(X)), method, most)


@pytest.mark.parametrize("method", ["ward", "average", "single", "complete", "centroid"])
def test_groups_of_groups_are_found_at_the_finest_level(method: str) -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [12, 0], [100, 0], [112, 0], [106, 12]], float)
    found = best(np.concatenate([rng.normal(c, 1, (30, 2)) for c in centres]), method)
    assert len(found.nodes) == 5
    assert len(found.taken) == 4
    assert all(split.score > split.limit for split in found.taken)
    assert all(split.score <= split.limit for split in found.refused)


@pytest.mark.parametrize("method", ["ward", "average", "single"])
@pytest.mark.parametrize("draw", ["uniform", "normal", "exponential", "standard_cauchy"])
def test_data_without_structure_has_one_cluster(draw: str, method: str) -> None:
    right = 0
    for seed in range(4):
        X = getattr(np.random.default_rng(seed), draw)(size=(80, 3))
        right += len(best(X, method).nodes) == 1
    assert right >= 3


def test_what_cannot_be_told_apart_is_said() -> None:
    rng = np.random.default_rng(0)
    said = 0
    for apart in np.linspace(2.5, 6, 8):
        found = best(np.concatenate([rng.normal(c, 1, (25, 2)) for c in ([0, 0], [apart, 0], [40, 0])]), "ward")
        assert len(found.nodes) not in found.also
        said += found.also in ((3,), (2,))
    assert said >= 1


def test_the_verdict_is_the_same_every_time_and_for_any_number_of_threads() -> None:
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(c, 1, (40, 4)) for c in (0, 4, 9)])
    found = []
    for threads in (1, 2, 5):
        shoal.set_threads(threads)
        found.append(best(X, "ward"))
    shoal.set_threads(None)
    for other in found[1:]:
        assert other.nodes.tolist() == found[0].nodes.tolist()
        assert other[1:] == found[0][1:]


def test_a_chain_of_merges_needs_no_recursion() -> None:
    X = np.cumsum(np.arange(1.0, 3001.0))[:, None]
    found = best(X, "single")
    assert len(found.nodes) == 1


@pytest.mark.parametrize("X", [np.zeros((30, 2)), np.repeat([[0.0, 0.0], [1.0, 0.0]], 20, axis=0), np.eye(30)])
def test_items_at_one_place_and_equal_distances_give_an_answer(X: Any) -> None:
    found = best(X, "average")
    assert len(found.nodes) == (2 if len(X) == 40 else 1)
