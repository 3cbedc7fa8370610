"""Cuts read off the heights: by the book, and where there is nothing to read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
from naive.cut_rules import heights_of, naive_threshold
from naive.cuts import item_sets
from shoal.cuts.flat import Subject, cut_height
from shoal.cuts.gaps import acceleration, largest_gap, mojena
from shoal.errors import InputError
from shoal.trees.merges import Merges, from_nodes
from strategies import node_pairs

RULES = (largest_gap, acceleration, mojena)


def built(tree: Any) -> Merges:
    pairs, height = tree
    a, b = zip(*pairs, strict=True)
    return from_nodes(np.array(a), np.array(b), np.array(height))


def rows(merges: Merges) -> list[Any]:
    return list(zip(*(column.tolist() for column in merges), strict=True))


def groups(merges: Merges, nodes: Any) -> set[frozenset[int]]:
    sets = item_sets(rows(merges), merges.n)
    return {sets[v] for v in nodes.tolist()}


@given(node_pairs(), st.sampled_from([None, 2, 3, 5]))
def test_leaps_by_the_book(tree: Any, kmax: int | None) -> None:
    merges = built(tree)
    n, table = merges.n, rows(merges)
    kmax = None if kmax is None else min(kmax, n)
    heights = sorted(heights_of(table, n)[n:])
    for rule, growth in ((largest_gap, False), (acceleration, True)):
        best, line = 0.0, heights[-1]
        for i in range(1 if growth else 0, len(heights) - 1):
            step = heights[i + 1] - heights[i]
            leap = step - (heights[i] - heights[i - 1]) if growth else step
            if leap >= best and leap > 0 and (kmax is None or n - 1 - i <= kmax):
                best, line = leap, heights[i]
        cut = rule(Subject(merges), kmax=kmax)
        assert groups(merges, cut.nodes) == naive_threshold(table, n, [m[2] for m in table], line)
        assert cut.height is not None
        assert set(cut_height(merges, cut.height).tolist()) == set(cut.nodes.tolist())
        if kmax is not None:
            assert len(cut.nodes) <= kmax


@given(node_pairs(), st.sampled_from([-1.0, 0.0, 1.25, 3.0, np.inf, -np.inf]))
def test_mojena_by_the_book(tree: Any, c: float) -> None:
    merges = built(tree)
    n, table = merges.n, rows(merges)
    heights = np.array(heights_of(table, n)[n:])
    spread = float(np.std(heights, ddof=1)) if n > 2 else 0.0
    line = float(heights.mean()) + c * spread if spread else float(heights.max())
    cut = mojena(Subject(merges), c=c)
    assert groups(merges, cut.nodes) == naive_threshold(table, n, [m[2] for m in table], line)


def test_clear_clusters_are_found_by_all() -> None:
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(30, 2)) + at for at in ([0, 0], [40, 0], [0, 50])])
    tree = shoal.linkage(X, "average")
    assert {len(rule(Subject(tree.merges)).nodes) for rule in (largest_gap, mojena)} == {3}
    two = shoal.linkage(X[:60], "average")
    assert len(acceleration(Subject(two.merges)).nodes) == 2


@given(node_pairs(), st.sampled_from([2.0**-40, 8.0, 2.0**900]))
def test_the_scale_of_heights_changes_nothing(tree: Any, scale: float) -> None:
    merges = built(tree)
    for rule in RULES:
        before = rule(Subject(merges))
        after = rule(Subject(merges._replace(height=merges.height * scale)))
        assert before.nodes.tolist() == after.nodes.tolist()
        assert before.score == after.score


def test_where_there_is_no_leap_there_is_one_cluster() -> None:
    for data in ([[1.0]], [[0.0], [1.0]], [[2.0]] * 6):
        merges = shoal.linkage(data, "average").merges
        for rule in RULES:
            assert rule(Subject(merges)).nodes.tolist() == [2 * len(data) - 2]
    equal = shoal.linkage(shoal.distances(np.full(45, 0.1)), "average").merges
    for rule in RULES:
        assert rule(Subject(equal)).nodes.tolist() == [18]


def test_parts_of_a_forest_never_merge() -> None:
    merges = from_nodes(np.array([0, 2, 6, 7, 8]), np.array([1, 3, 7 - 3, 5, 9]), np.array([1.0, 1.0, 9.0, 9.5, np.inf]))
    assert len(largest_gap(Subject(merges)).nodes) == 4
    for rule in RULES:
        assert len(rule(Subject(merges)).nodes) >= 2
    apart = from_nodes(np.array([0, 3]), np.array([1, 2]), np.array([np.inf, np.inf]))
    for rule in RULES:
        assert rule(Subject(apart)).nodes.tolist() == [0, 1, 2]


def test_a_chain_of_100_000_items() -> None:
    n = 100_000
    nodes = np.arange(n - 1)
    heights = np.arange(1.0, n)
    heights[-1] *= 2
    merges = from_nodes(np.where(nodes == 0, 0, n + nodes - 1), nodes + 1, heights)
    for rule in (largest_gap, acceleration):
        assert len(rule(Subject(merges)).nodes) == 2
    assert len(mojena(Subject(merges)).nodes) > 1000


@pytest.mark.parametrize("kmax", [1, 5, 2.0, "3", float("nan"), True])
def test_a_kmax_that_is_none_is_refused(kmax: Any) -> None:
    merges = shoal.linkage([[0.0], [1.0], [5.0], [9.0]]).merges
    for rule in (largest_gap, acceleration):
        with pytest.raises(InputError, match="from 2 to 4"):
            rule(Subject(merges), kmax=kmax)


@pytest.mark.parametrize("c", [float("nan"), "1", None])
def test_a_factor_that_is_no_number_is_refused(c: Any) -> None:
    with pytest.raises(InputError, match="c="):
        mojena(Subject(shoal.linkage([[0.0], [1.0], [5.0]]).merges), c=c)
