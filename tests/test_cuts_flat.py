"""Cuts against the naive twin, scipy and what they promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
from naive.cuts import naive_cut_height, naive_cut_k
from shoal.cuts.flat import cut_height, cut_k, height_range, is_monotone, labels_of, tops
from shoal.errors import InputError
from shoal.trees.merges import Merges, from_nodes, leaf_counts, leaf_order, leaf_positions
from strategies import METHODS, REDUCIBLE, methods, node_pairs, points


def built(tree: Any) -> Merges:
    pairs, height = tree
    a, b = zip(*pairs, strict=True)
    return from_nodes(np.array(a), np.array(b), np.array(height))


def labels(merges: Merges, nodes: Any) -> tuple[Any, Any]:
    begin = leaf_positions(merges)
    return labels_of(nodes, begin, leaf_counts(merges), leaf_order(merges, begin))


def rows(merges: Merges) -> list[Any]:
    return list(zip(*(column.tolist() for column in merges), strict=True))


@given(node_pairs())
def test_every_k_is_the_naive_cut(tree: Any) -> None:
    merges = built(tree)
    for k in range(1, merges.n + 1):
        found, nodes = labels(merges, cut_k(merges, k))
        assert found.tolist() == naive_cut_k(rows(merges), merges.n, k)
        assert len(nodes) == k


@given(points(), methods)
def test_every_k_of_a_tree_is_the_naive_cut(X: Any, method: str) -> None:
    tree = shoal.linkage(X, method)
    for k in range(1, tree.n + 1):
        clusters = tree.cut(k=k)
        assert clusters.labels.tolist() == naive_cut_k(rows(tree.merges), tree.n, k)
        assert clusters.k == k


@given(node_pairs(), st.data())
def test_every_height_is_the_naive_cut(tree: Any, data: st.DataObject) -> None:
    merges = built(tree)
    heights = merges.height.tolist()
    several = [-1.0, 0.0, *heights, *np.nextafter(heights, -np.inf), *np.nextafter(heights, np.inf), np.inf, -np.inf]
    several.append(data.draw(st.floats(-1, 12)))
    for h in several:
        found, _ = labels(merges, cut_height(merges, h))
        assert found.tolist() == naive_cut_height(rows(merges), merges.n, h)


@given(points(max_n=20), st.sampled_from(REDUCIBLE))
def test_a_height_is_scipys_fcluster(X: Any, method: str) -> None:
    from scipy.cluster.hierarchy import fcluster

    tree = shoal.linkage(X, method)
    for h in [0.0, *tree.merges.height.tolist(), float(tree.merges.height.mean())]:
        expected = fcluster(tree.to_scipy(), h, "distance")
        found = tree.cut(height=h).labels
        assert len({*zip(found.tolist(), expected.tolist(), strict=True)}) == len({*found.tolist()}) == len({*expected})


@pytest.mark.parametrize("method", METHODS)
def test_exactly_k_where_all_distances_are_equal(method: str) -> None:
    tree = shoal.linkage(shoal.distances(np.ones(30 * 29 // 2)), method)
    for k in range(1, 31):
        clusters = tree.cut(k=k)
        assert clusters.k == k
        assert sorted(np.unique(clusters.labels)) == list(range(k))
        assert clusters.sizes.sum() == 30
    if method != "ward" and method not in ("centroid", "median"):
        assert tree.cut(height=1.0).k == 1
        assert tree.cut(height=0.999).k == 30
        assert tree.cut(k=7).height is None  # no line makes them


@given(node_pairs())
def test_clusters_are_numbered_from_left_to_right(tree: Any) -> None:
    merges = built(tree)
    order = leaf_order(merges)
    for k in range(1, merges.n + 1):
        found, nodes = labels(merges, cut_k(merges, k))
        along = found[order]
        assert along[0] == 0
        assert set(np.diff(along)) <= {0, 1}
        begin = leaf_positions(merges)
        assert (np.diff(begin[nodes]) > 0).all()
        assert [int(found[order[begin[node]]]) for node in nodes] == list(range(k))


@given(node_pairs())
def test_any_line_in_the_range_of_heights_makes_exactly_the_clusters(tree: Any) -> None:
    merges = built(tree)
    for k in range(1, merges.n + 1):
        nodes = cut_k(merges, k)
        span = height_range(merges, nodes)
        if span is None:  # then no height at all makes them
            for h in [0.0, *merges.height.tolist()]:
                assert set(cut_height(merges, h).tolist()) != set(nodes.tolist())
            continue
        low, high = span
        assert 0 <= low < high
        last = np.nextafter(high, -np.inf)
        for h in (low, last, min(low / 2 + high / 2, last)):
            assert set(cut_height(merges, h).tolist()) == set(nodes.tolist())
        if high < np.inf:
            assert set(cut_height(merges, high).tolist()) != set(nodes.tolist())
        if low > 0:
            assert set(cut_height(merges, np.nextafter(low, -np.inf)).tolist()) != set(nodes.tolist())


@given(points(), methods)
def test_the_height_of_a_cut_makes_its_clusters(X: Any, method: str) -> None:
    tree = shoal.linkage(X, method)
    for k in range(1, tree.n + 1):
        clusters = tree.cut(k=k)
        if clusters.height is not None:
            assert tree.cut(height=clusters.height).labels.tolist() == clusters.labels.tolist()
        if tree.inversions == 0 and k > 1 and tree.merges.height[tree.n - k] > max(
                [0.0, *tree.merges.height[:tree.n - k]]):
            assert clusters.height is not None


def test_the_height_of_a_cut_between_neighbouring_numbers_makes_its_clusters() -> None:
    for low in (1.0, float(np.nextafter(1.0, 2.0))):
        high = float(np.nextafter(low, 2.0))
        tree = shoal.Tree.from_scipy([[0, 1, low, 2], [2, 3, high, 3]])
        clusters = tree.cut(k=2)
        assert clusters.height is not None
        assert tree.cut(height=clusters.height).k == 2


@given(node_pairs())
def test_tops_are_the_largest_heights_below(tree: Any) -> None:
    merges = built(tree)
    highest = [-np.inf] * merges.n
    for left, right, height, _ in rows(merges):
        highest.append(max(height, highest[left], highest[right]))
    assert tops(merges).tolist() == highest
    assert is_monotone(merges) == (sorted(merges.height.tolist()) == merges.height.tolist())


def test_several_cuts_at_once() -> None:
    tree = shoal.linkage(np.random.default_rng(0).normal(size=(20, 2)))
    several = tree.cuts(k=[3, 1, 20])
    assert [c.k for c in several] == [3, 1, 20]
    assert [c.how for c in several] == ["k = 3", "k = 1", "k = 20"]
    heights = [0.0, float(tree.merges.height[10])]
    several = tree.cuts(height=heights)
    assert [c.height for c in several] == heights
    assert [c.k for c in several] == [20, 9]
    assert tree.cuts(height=[]) == tree.cuts(k=[]) == []
    for wrong in ({}, {"k": [2], "height": [1.0]}):
        with pytest.raises(InputError, match="one of the two"):
            tree.cuts(**wrong)


@pytest.mark.parametrize("k", [0, 21, -1, True, False, 2.5, 2.0, float("nan"), float("inf"), "2", [2], np.float64(3)])
def test_an_impossible_number_of_clusters_is_refused(k: Any) -> None:
    tree = shoal.linkage(np.random.default_rng(0).normal(size=(20, 2)))
    with pytest.raises(InputError, match="from 1 to 20"):
        tree.cut(k=k)


def test_numpys_whole_numbers_are_numbers_of_clusters() -> None:
    tree = shoal.linkage(np.random.default_rng(0).normal(size=(20, 2)))
    for kind in (np.int8, np.uint8, np.int64):
        assert tree.cut(k=kind(20)).k == 20


@pytest.mark.parametrize("height", [float("nan"), np.nan, "high", [1.0, 2.0], None, {}])
def test_a_height_that_is_no_number_is_refused(height: Any) -> None:
    tree = shoal.linkage(np.random.default_rng(0).normal(size=(20, 2)))
    with pytest.raises(InputError, match="height"):
        cut_height(tree.merges, height)


def test_both_k_and_a_height_are_refused() -> None:
    tree = shoal.linkage(np.random.default_rng(0).normal(size=(20, 2)))
    with pytest.raises(InputError, match="Give one of them"):
        tree.cut(k=2, height=1.0)


def test_heights_beyond_the_tree() -> None:
    tree = shoal.linkage([[0.0], [1.0], [5.0]], "single")
    assert tree.cut(height=np.inf).k == 1
    with pytest.raises(InputError, match="0 or more"):
        tree.cut(height=-1)
    assert tree.cut(height=0.5).k == 3
    assert tree.cut(height=1).k == 2
    assert tree.cut(height=4).k == 1


def test_a_chain_of_100_000_items_is_cut_without_recursion() -> None:
    n = 100_000
    nodes = np.arange(n - 1)
    merges = from_nodes(np.where(nodes == 0, 0, n + nodes - 1), nodes + 1, np.arange(1.0, n))
    found, kept = labels(merges, cut_k(merges, 50_000))
    assert len(kept) == 50_000
    assert np.bincount(found)[0] == 50_001
    inverted = merges._replace(height=merges.height[::-1])
    assert len(cut_height(inverted, n - 2.0)) == n
    assert len(cut_height(inverted, n - 1.0)) == 1
