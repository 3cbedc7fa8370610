"""Inconsistency against scipy and the naive twin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import shoal
from naive.cut_rules import naive_inconsistency, naive_threshold
from naive.cuts import item_sets
from shoal.cuts.flat import Subject
from shoal.cuts.inconsistency import inconsistency, inconsistent
from shoal.errors import InputError
from shoal.trees.merges import Merges, from_nodes
from strategies import methods, node_pairs, points


def built(tree: Any) -> Merges:
    pairs, height = tree
    a, b = zip(*pairs, strict=True)
    return from_nodes(np.array(a), np.array(b), np.array(height))


def rows(merges: Merges) -> list[Any]:
    return list(zip(*(column.tolist() for column in merges), strict=True))


@given(node_pairs(), st.integers(1, 25))
def test_every_depth_is_the_naive_twin(tree: Any, depth: int) -> None:
    merges = built(tree)
    assert_allclose(inconsistency(merges, depth), naive_inconsistency(rows(merges), merges.n, depth), rtol=1e-9, atol=1e-9)


@given(points(min_n=3, max_n=30, ties=False), methods, st.integers(1, 6))
def test_is_scipys(X: Any, method: str, depth: int) -> None:
    from scipy.cluster.hierarchy import inconsistent as scipys

    tree = shoal.linkage(X / np.abs(X).max(), method)  # scipy's divisor of squares loses all digits of small heights
    expected = scipys(tree.to_scipy(), depth)
    found = inconsistency(tree.merges, depth)
    assert (found[:, 2] == expected[:, 2]).all()
    assert_allclose(found[:, 0], expected[:, 0], rtol=1e-9)
    assert_allclose(found[:, 1], expected[:, 1], rtol=1e-6, atol=1e-7)
    apart = expected[:, 1] > 1e-4
    assert_allclose(found[apart, 3], expected[apart, 3], rtol=1e-6, atol=1e-6)


def test_is_scipys_on_a_known_tree(tutorial150: Any) -> None:
    from scipy.cluster.hierarchy import fcluster
    from scipy.cluster.hierarchy import inconsistent as scipys

    tree = shoal.linkage(tutorial150)
    for depth in (1, 2, 3, 5):
        assert_allclose(inconsistency(tree.merges, depth), scipys(tree.to_scipy(), depth), rtol=1e-9, atol=1e-9)
        for t in (0.0, 0.71, 1.0, 1.15, 2.0):
            cut = inconsistent(Subject(tree.merges), t=t, depth=depth)
            assert len(cut.nodes) == fcluster(tree.to_scipy(), t, "inconsistent", depth).max()


@given(node_pairs(), st.integers(1, 4), st.sampled_from([-1.0, 0.0, 0.5, 0.72, 1.0, 1.2, 5.0]))
def test_the_cut_is_scipys_and_the_naive_one(tree: Any, depth: int, t: float) -> None:
    from scipy.cluster.hierarchy import fcluster

    merges = built(tree)
    values = inconsistency(merges, depth)[:, 3].tolist()
    sets = item_sets(rows(merges), merges.n)
    found = {sets[v] for v in inconsistent(Subject(merges), t=t, depth=depth).nodes.tolist()}
    assert found == naive_threshold(rows(merges), merges.n, values, t)
    if sorted(merges.height.tolist()) == merges.height.tolist() and t not in (0.0, 0.72):
        groups = fcluster(shoal.Tree(merges, tuple("x" * merges.n)).to_scipy(), t, "inconsistent", depth)
        assert found == {frozenset(np.flatnonzero(groups == g).tolist()) for g in set(groups.tolist())}


def test_equal_heights_are_consistent() -> None:
    merges = shoal.linkage(shoal.distances(np.full(10, 0.1)), "average").merges
    assert inconsistency(merges, 3)[:, [1, 3]].tolist() == [[0.0, 0.0]] * 4
    assert inconsistent(Subject(merges), t=0.0).nodes.tolist() == [8]


def test_heights_at_the_ends_of_the_numbers() -> None:
    for scale in (2.0**-1000, 2.0**1000):
        merges = shoal.linkage([[0.0], [1.0], [5.0], [5.5]], "single").merges
        far = merges._replace(height=merges.height * scale)
        assert (inconsistency(far, 2)[:, 3] == inconsistency(merges, 2)[:, 3]).all()
        assert (inconsistency(far, 2)[:, 1] == inconsistency(merges, 2)[:, 1] * scale).all()


def test_parts_of_a_forest_never_merge() -> None:
    merges = from_nodes(np.array([0, 2, 4]), np.array([1, 3, 5]), np.array([1.0, 2.0, np.inf]))
    assert inconsistency(merges)[2].tolist() == [np.inf, np.inf, 3.0, np.inf]
    assert inconsistent(Subject(merges), t=np.inf).nodes.tolist() == [4, 5]


def test_a_chain_of_100_000_items() -> None:
    n = 100_000
    nodes = np.arange(n - 1)
    merges = from_nodes(np.where(nodes == 0, 0, n + nodes - 1), nodes + 1, np.arange(1.0, n))
    found = inconsistency(merges, 10)
    assert found[-1].tolist() == pytest.approx([n - 5.5, np.sqrt(10 * 99 / 12 / 9), 10.0, 4.5 / np.sqrt(10 * 99 / 12 / 9)])
    assert len(inconsistent(Subject(merges), t=2.0, depth=10).nodes) == 1


def test_one_and_two_items() -> None:
    assert inconsistency(shoal.linkage([[1.0]]).merges).shape == (0, 4)
    assert inconsistent(Subject(shoal.linkage([[1.0]]).merges)).nodes.tolist() == [0]
    assert inconsistency(shoal.linkage([[0.0], [3.0]], "single").merges).tolist() == [[3.0, 0.0, 1.0, 0.0]]


@pytest.mark.parametrize("depth", [0, -1, 1.5, "2", None, True])
def test_a_depth_that_is_none_is_refused(depth: Any) -> None:
    with pytest.raises(InputError, match="depth"):
        inconsistency(shoal.linkage([[0.0], [1.0], [5.0]]).merges, depth)


@pytest.mark.parametrize("t", [float("nan"), "1", None, True])
def test_a_threshold_that_is_no_number_is_refused(t: Any) -> None:
    with pytest.raises(InputError, match="t="):
        inconsistent(Subject(shoal.linkage([[0.0], [1.0], [5.0]]).merges), t=t)
