"""Cophenetic distances and their correlation, against scipy and golden values."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import shoal
from naive.cuts import item_sets
from shoal.trees import fidelity
from shoal.trees.merges import from_nodes, leaf_order, leaf_positions, to_scipy
from strategies import METHODS, methods, node_pairs, points

GOLDEN = Path(__file__).parent / "golden"


def cloud(n: int, d: int = 3) -> Any:
    return np.random.default_rng(n).normal(size=(n, d))


@given(node_pairs())
def test_the_cophenetic_distance_is_the_height_of_the_merge_that_joins_two(tree: Any) -> None:
    pairs, heights = tree
    a, b = zip(*pairs, strict=True)
    merges = from_nodes(np.array(a), np.array(b), np.array(heights))
    n, begin = merges.n, leaf_positions(merges)
    order = leaf_order(merges, begin)
    found = fidelity.cophenetic_rows(merges.height, fidelity.junctions(merges, begin), np.arange(n))
    sets = item_sets(pairs, n)
    for p in range(n):
        for q in range(n):
            joined = [h for h, s in zip(heights, sets[n:], strict=True) if {order[p], order[q]} <= s]
            assert found[p, q] == (0.0 if p == q else joined[0])


@given(points(ties=False, min_n=3), methods)
def test_is_scipys(X: Any, method: str) -> None:
    from scipy.cluster.hierarchy import cophenet
    from scipy.spatial.distance import pdist

    tree = shoal.linkage(X, method)
    expected = float(cophenet(tree.to_scipy(), pdist(X))[0])
    if tree.n > 3 or tree.inversions == 0:
        assert tree.cophenetic_correlation() == pytest.approx(expected, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("block", [1, 100, 1 << 20])
@pytest.mark.parametrize("method", METHODS)
def test_is_scipys_in_blocks_of_any_size(method: Any, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.cluster.hierarchy import cophenet, linkage
    from scipy.spatial.distance import pdist

    monkeypatch.setattr(fidelity, "BLOCK", block)
    X = cloud(120, 2)
    tree = shoal.linkage(X, method)
    assert (tree.inversions > 0) == (method in ("centroid", "median"))
    expected = float(cophenet(linkage(X, method), pdist(X))[0])
    assert tree.cophenetic_correlation() == pytest.approx(expected, rel=1e-12)


def test_1500_items_in_several_blocks_for_any_number_of_threads() -> None:
    from scipy.cluster.hierarchy import cophenet
    from scipy.spatial.distance import pdist

    X = cloud(1500)
    tree = shoal.linkage(X, "average")
    assert fidelity.BLOCK // 1500 < 1500  # more than one block
    found = set()
    try:
        for threads in (1, 3):
            shoal.set_threads(threads)
            found.add(tree.cophenetic_correlation())
    finally:
        shoal.set_threads(None)
    (value,) = found
    assert value == pytest.approx(float(cophenet(to_scipy(tree.merges), pdist(X))[0]), rel=1e-12)


def test_golden_values(tutorial150: Any) -> None:
    tutorial = json.loads((GOLDEN / "tutorial.json").read_text())
    value = shoal.linkage(tutorial150).cophenetic_correlation()
    assert value == pytest.approx(tutorial["ward"]["cophenetic_correlation"], rel=1e-12)
    assert round(value, 2) == 0.98


def test_an_offset_costs_no_digits() -> None:
    D = np.triu(np.random.default_rng(0).uniform(1, 2, (30, 30)), 1)
    usual = shoal.linkage(shoal.distances(D + D.T), "average").cophenetic_correlation()
    far = np.triu(D + 1e6, 1)
    moved = shoal.linkage(shoal.distances(far + far.T), "average").cophenetic_correlation()
    assert moved == pytest.approx(usual, rel=1e-7)


@pytest.mark.parametrize("factor", [2.0**600, 2.0**-600])
@pytest.mark.parametrize("method", ["single", "average", "ward"])
def test_distances_whose_squares_overflow_or_vanish(method: str, factor: float) -> None:
    D = np.triu(np.random.default_rng(0).uniform(1, 2, (30, 30)), 1)
    D = D + D.T
    usual = shoal.linkage(shoal.distances(D), method).cophenetic_correlation()
    assert shoal.linkage(shoal.distances(D * factor), method).cophenetic_correlation() == pytest.approx(usual, rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 200])
def test_nothing_that_differs_has_no_correlation(n: int) -> None:
    tree = shoal.linkage(np.zeros((n, 2)), "average")
    assert math.isnan(tree.cophenetic_correlation())
    if n > 1:
        tree = shoal.linkage(shoal.distances(np.full(n * (n - 1) // 2, 0.1)), "average")
        assert math.isnan(tree.cophenetic_correlation())


@pytest.mark.parametrize("method", METHODS)
def test_a_tree_that_keeps_its_distances_has_correlation_one(method: str) -> None:
    blobs = np.repeat([[0.0], [1.0], [100.0]], 2, axis=0)
    merges = shoal.linkage(blobs, "single").merges
    joined = fidelity.junctions(merges, leaf_positions(merges))
    order = leaf_order(merges)
    U = np.empty((6, 6))
    U[np.ix_(order, order)] = fidelity.cophenetic_rows(merges.height, joined, np.arange(6))
    if method in ("single", "complete", "average", "weighted"):  # an ultrametric is its own tree
        assert shoal.linkage(shoal.distances(U), method).cophenetic_correlation() == pytest.approx(1, rel=1e-12)
    else:
        assert 0.9 < shoal.linkage(shoal.distances(U), method).cophenetic_correlation() < 1


def test_a_sample_is_right_within_its_error() -> None:
    X = cloud(3000, 2)
    tree = shoal.linkage(X, "average")
    exact = tree.fidelity()
    assert (exact.error, exact.pairs) == (0.0, 3000 * 2999 // 2)
    few, many = tree.fidelity(pairs=300_000), tree.fidelity(pairs=2_000_000)
    assert few.pairs < 400_000 < many.pairs < exact.pairs
    assert 0 < many.error < few.error < 0.05
    for sample in (few, many):
        assert abs(sample.correlation - exact.correlation) < 4 * sample.error


def test_a_sample_has_the_same_bits_for_any_number_of_threads() -> None:
    tree = shoal.linkage(cloud(1000), "average")
    found = set()
    try:
        for threads in (1, 2, 5):
            shoal.set_threads(threads)
            found.add(tree.fidelity(pairs=100_000))
    finally:
        shoal.set_threads(None)
    assert len(found) == 1


@pytest.mark.parametrize("pairs", [0, -1, 1.5, "many"])
def test_a_sample_has_a_size(pairs: Any) -> None:
    with pytest.raises(shoal.errors.InputError, match="pairs="):
        shoal.linkage(cloud(9)).fidelity(pairs=pairs)


def test_of_given_distances_and_of_a_forest() -> None:
    from scipy.cluster.hierarchy import cophenet

    D = np.random.default_rng(0).uniform(1, 2, 30 * 29 // 2)
    tree = shoal.linkage(shoal.distances(D), "average")
    assert tree.cophenetic_correlation() == pytest.approx(float(cophenet(tree.to_scipy(), D)[0]), rel=1e-12)
    forest = shoal.linkage(np.array([[0.0], [1.0], [9.0], [10.0]]), "single", stop_height=2.0)
    assert forest.parts == 2
    assert math.isnan(forest.cophenetic_correlation())


def test_cophenetic_distances_are_scipys() -> None:
    from scipy.cluster.hierarchy import cophenet
    from scipy.spatial.distance import squareform

    tree = shoal.linkage(cloud(40), "complete")
    expected = squareform(cophenet(tree.to_scipy()))
    np.testing.assert_array_equal(tree.cophenetic_distances(), expected)
    np.testing.assert_array_equal(tree.cophenetic_distances([3, 1]), expected[[3, 1]])
    for wrong in ([40], [-1], [[1]], [0.5]):
        with pytest.raises(shoal.errors.InputError, match="items="):
            tree.cophenetic_distances(wrong)
