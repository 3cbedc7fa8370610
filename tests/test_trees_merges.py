"""Canonical form, leaf order, and the border to scipy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from certificates import assert_same_tree, assert_valid_merges
from naive.cuts import drawn_order, item_sets
from shoal.errors import InputError
from shoal.trees.merges import (
    Merges,
    canonical,
    from_nodes,
    from_scipy,
    leaf_counts,
    leaf_order,
    parents,
    to_scipy,
)
from strategies import node_pairs, points, read_only

Tree = tuple[list[tuple[int, int]], list[float]]


def built(tree: Tree) -> Merges:
    pairs, height = tree
    a, b = zip(*pairs, strict=True)
    return from_nodes(np.array(a), np.array(b), np.array(height))


@given(node_pairs())
def test_from_nodes_keeps_clusters_order_and_heights(tree: Tree) -> None:
    merges = built(tree)
    assert_valid_merges(merges)
    n = merges.n
    rows = list(zip(merges.left.tolist(), merges.right.tolist(), strict=True))
    assert item_sets(rows, n) == item_sets(tree[0], n)
    assert merges.height.tolist() == tree[1]


@given(node_pairs())
def test_canonical_takes_any_item_of_either_side(tree: Tree) -> None:
    merges = built(tree)
    sets = item_sets(tree[0], merges.n)
    a, b = (np.array([max(sets[pair[side]]) for pair in tree[0]]) for side in (1, 0))
    again = canonical(read_only(a), read_only(b), read_only(merges.height))
    for name, column in again._asdict().items():
        np.testing.assert_array_equal(column, getattr(merges, name))


def test_canonical_copies_the_heights() -> None:
    height = np.array([1.0, 2.0])
    merges = canonical(np.array([0, 1]), np.array([1, 2]), height)
    height[:] = 7
    assert merges.height.tolist() == [1.0, 2.0]


@given(node_pairs())
def test_leaf_order_parents_and_counts(tree: Tree) -> None:
    merges = built(tree)
    assert leaf_order(merges).tolist() == drawn_order(tree[0], merges.n)
    assert leaf_counts(merges).tolist() == [len(s) for s in item_sets(tree[0], merges.n)]
    parent = parents(merges)
    assert parent[-1] == -1
    for t, pair in enumerate(tree[0]):
        assert [parent[node] for node in pair] == [merges.n + t] * 2


def test_one_item_is_a_tree() -> None:
    empty = np.empty(0, np.int64)
    merges = canonical(empty, empty, np.empty(0))
    assert_valid_merges(merges)
    assert merges.n == 1
    assert leaf_order(merges).tolist() == [0]
    assert parents(merges).tolist() == [-1]
    assert to_scipy(merges).shape == (0, 4)
    assert from_scipy(to_scipy(merges)).n == 1


@pytest.mark.parametrize("n", [100_000])
def test_long_chains_need_no_recursion(n: int) -> None:
    merges = canonical(np.zeros(n - 1, np.int64), np.arange(n - 1, 0, -1), np.arange(n - 1.0))
    assert leaf_order(merges).tolist() == [0, *range(n - 1, 0, -1)]
    assert merges.size[-1] == n
    middle = canonical(np.arange(n - 1), np.arange(1, n), np.arange(n - 1.0))
    assert leaf_order(middle).tolist() == list(range(n))
    assert_same_tree(from_scipy(to_scipy(middle)), middle)


@given(points(ties=False))
def test_scipy_round_trip(X: Any) -> None:
    from scipy.cluster.hierarchy import is_valid_linkage, linkage

    Z = linkage(X, "average")
    merges = from_scipy(Z)
    assert_valid_merges(merges)
    back = to_scipy(merges)
    assert is_valid_linkage(back)
    np.testing.assert_array_equal(back, Z)


def refused(Z: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        from_scipy(Z)


def test_from_scipy_refuses_what_is_no_tree() -> None:
    good = np.array([[0, 1, 1.0, 2], [2, 3, 2.0, 3]])
    assert from_scipy(good).n == 3
    refused(good[:, :3], "4 columns")
    refused(good[0], "4 columns")
    whole, early, twice = "whole numbers", "before it is made", "merged twice"
    for row, column, value, match in [
            (0, 0, 0.5, whole), (0, 0, -1, whole), (0, 2, np.nan, "finite"), (0, 2, np.inf, "finite"), (0, 1, 3, early),
            (1, 1, 4, early), (0, 0, 1e300, early), (1, 0, 0, twice), (0, 1, 0, twice)]:
        bad = good.copy()
        bad[row, column] = value
        refused(bad, match)


def test_from_scipy_refuses_wrong_sizes() -> None:
    refused(np.array([[0, 1, 1.0, 2], [2, 3, 2.0, 4]]), "items")


def test_from_scipy_writes_to_nothing() -> None:
    Z = read_only([[1, 0, 1.0, 2], [3, 2, 2.0, 3]])
    merges = from_scipy(Z)
    assert merges.left.tolist() == [0, 3]
    assert merges.right.tolist() == [1, 2]
