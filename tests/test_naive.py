"""The witnesses themselves: recurrences, definitions, scipy and the certificates must agree with each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certificates import assert_closest_pairs, assert_same_tree, assert_valid_merges
from naive.cuts import naive_cut_height, naive_cut_k
from naive.linkage import Merge, naive_linkage, naive_linkage_points
from shoal.trees.merges import Merges, from_nodes
from strategies import (
    METHODS,
    REDUCIBLE,
    item_weights,
    methods,
    node_pairs,
    points,
    reducible_methods,
    square_distances,
)

GOLDEN = Path(__file__).parent / "golden"

Tree = tuple[list[tuple[int, int]], list[float]]


def distances(X: Any) -> Any:
    return np.sqrt(((X[:, None, :] - X[None, :, :]) ** 2).sum(axis=2))


def as_merges(found: list[Merge]) -> Merges:
    a, b, height, _ = zip(*found, strict=True)
    return from_nodes(np.array(a), np.array(b), np.array(height))


def mutated(merges: Merges, **columns: Any) -> Merges:
    changed = merges._replace(**columns)
    for column in changed:
        column.setflags(write=False)
    return changed


@given(points(ties=False, max_n=9), methods, st.data())
def test_recurrences_agree_with_definitions(X: Any, method: str, data: st.DataObject) -> None:
    w = data.draw(st.none() | item_weights(len(X)))
    by_recurrence = naive_linkage(distances(X), method, w)
    by_definition = naive_linkage_points(X, method, w)
    assert [m[:2] + m[3:] for m in by_recurrence] == [m[:2] + m[3:] for m in by_definition]
    top = max(m[2] for m in by_definition)
    np.testing.assert_allclose([m[2] for m in by_recurrence], [m[2] for m in by_definition], rtol=1e-7, atol=1e-7 * top)


@pytest.mark.parametrize("method", METHODS)
def test_naive_agrees_with_scipy(method: Any) -> None:
    from scipy.cluster.hierarchy import linkage

    from shoal.trees.merges import from_scipy

    X = np.random.default_rng(1).normal(size=(30, 3))
    assert_same_tree(as_merges(naive_linkage(distances(X), method)), from_scipy(linkage(X, method)))


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("weighted", "median")])
def test_weights_stand_for_repeats(method: str) -> None:
    X = np.random.default_rng(2).normal(size=(8, 2))
    w = [1, 3, 2, 1, 1, 4, 2, 1]
    repeated = naive_linkage_points(np.repeat(X, w, axis=0), method)
    heights = [m[2] for m in repeated if m[2] > 1e-6]
    np.testing.assert_allclose([m[2] for m in naive_linkage_points(X, method, w)], heights, rtol=1e-9)


@pytest.mark.parametrize("method", ["single", "complete", "weighted", "median"])
def test_methods_without_weights_ignore_them(method: str) -> None:
    X = np.random.default_rng(3).normal(size=(10, 2))
    assert naive_linkage(distances(X), method, range(1, 11)) == naive_linkage(distances(X), method)


def test_ties_go_to_the_smallest_items() -> None:
    square = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)
    assert [m[:2] for m in naive_linkage(distances(square), "single")] == [(0, 1), (4, 2), (5, 3)]
    assert [m[:2] for m in naive_linkage_points(square, "complete")] == [(0, 1), (2, 3), (4, 5)]


@given(square_distances(max_n=10), methods, st.data())
def test_certificate_accepts_the_naive_tree(D: Any, method: str, data: st.DataObject) -> None:
    w = data.draw(st.none() | item_weights(len(D)))
    found = as_merges(naive_linkage(D, method, w))
    # The recurrences can let equal heights fall by a rounding; a tree promises that they do not.
    if method in REDUCIBLE:
        found = mutated(found, height=np.maximum.accumulate(found.height))
    assert_closest_pairs(D, found, method, w)


@given(points(ties=False, min_n=4), reducible_methods)
def test_certificate_refuses_a_wrong_tree(X: Any, method: str) -> None:
    D = distances(X)
    right = as_merges(naive_linkage(D, method))
    with pytest.raises(AssertionError, match="apart"):
        assert_closest_pairs(D, mutated(right, height=right.height * (1 + 1e-6)), method)
    n, far = len(X), int(np.argmax(D[0]))
    rest = [i for i in range(1, n) if i != far]
    farthest_first = from_nodes(np.array([0, *range(n, 2 * n - 2)]), np.array([far, *rest]), np.full(n - 1, D[0, far]))
    with pytest.raises(AssertionError, match=r"merge 0: .* while another is"):
        assert_closest_pairs(D, farthest_first, method)


def test_certificate_accepts_scipys_trees_of_300_points() -> None:
    rng = np.random.default_rng(4)
    D = distances(rng.normal(size=(300, 3)))
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    from shoal.trees.merges import from_scipy

    condensed: Any = squareform(D, checks=False)
    for name in METHODS:
        method: Any = name
        assert_closest_pairs(D, from_scipy(linkage(condensed, method)), method)


@given(node_pairs(min_n=3))
def test_valid_merges_notices_damage(tree: Tree) -> None:
    pairs, height = tree
    good = from_nodes(np.array(pairs)[:, 0], np.array(pairs)[:, 1], np.array(height))
    assert_valid_merges(good)
    wrong_size = good.size.copy()
    wrong_size[-1] += 1
    reused = good.right.copy()
    reused[-1] = good.right[0]
    for bad in (good._replace(left=good.right, right=good.left), good._replace(size=wrong_size),
                good._replace(right=reused), good._replace(height=good.height + np.inf)):
        with pytest.raises(AssertionError):
            assert_valid_merges(mutated(bad))


def test_same_tree_notices_height_and_shape() -> None:
    X = np.random.default_rng(5).normal(size=(20, 2))
    tree = as_merges(naive_linkage(distances(X), "average"))
    assert_same_tree(tree, tree)
    with pytest.raises(AssertionError, match="heights"):
        assert_same_tree(tree, mutated(tree, height=tree.height * (1 + 1e-6)))
    with pytest.raises(AssertionError, match="not in the second"):
        assert_same_tree(tree, as_merges(naive_linkage(distances(X), "single")))


@given(node_pairs(), st.data())
def test_cut_k_has_k_clusters_left_to_right(tree: Tree, data: st.DataObject) -> None:
    pairs, height = tree
    n = len(pairs) + 1
    merges = [(a, b, h) for (a, b), h in zip(pairs, height, strict=True)]
    k = data.draw(st.integers(1, n))
    labels = naive_cut_k(merges, n, k)
    assert sorted(set(labels)) == list(range(k))
    assert labels[0] == 0  # item 0 is always the leftmost
    if height == sorted(height):
        assert naive_cut_height(merges, n, height[n - k - 1] if k < n else -1.0) == labels


def test_cut_height_looks_below_an_inversion() -> None:
    merges = [(0, 1, 3.0), (4, 2, 2.0), (5, 3, 4.0)]
    assert naive_cut_height(merges, 4, 2.5) == [0, 1, 2, 3]
    assert naive_cut_height(merges, 4, 3.0) == [0, 0, 0, 1]
    assert naive_cut_k(merges, 4, 2) == [0, 0, 0, 1]


def test_golden_tutorial_is_what_the_tutorial_shows(tutorial150: Any) -> None:
    golden = json.loads((GOLDEN / "tutorial.json").read_text())
    assert set(golden["versions"]) == {"scipy", "numpy", "python"}
    np.testing.assert_allclose(tutorial150[[0, -1]], [golden["first_point"], golden["last_point"]], rtol=1e-12)
    assert golden["ward"]["merges"][:2] == [[52, 53], [14, 79]]
    assert golden["ward"]["cophenetic_correlation"] == pytest.approx(0.98001483875742572, rel=1e-13)
    assert [len(golden["cuts"][h]) for h in ("50", "16")] == [2, 4]
    n = len(tutorial150)
    rows = [(a, b, h) for (a, b), h in zip(golden["ward"]["merges"], golden["ward"]["heights"], strict=True)]
    for h, groups in golden["cuts"].items():
        labels = np.array(naive_cut_height(rows, n, float(h)))
        assert sorted(np.flatnonzero(labels == label).tolist() for label in set(labels.tolist())) == groups


@pytest.mark.parametrize("method", ["single", "complete", "average", "weighted"])
def test_naive_agrees_with_golden_road_distances(method: str, example_data: Path) -> None:
    golden = json.loads((GOLDEN / "eurodist.json").read_text())
    D = np.genfromtxt(example_data / "eurodist.csv", delimiter=",", skip_header=1)[:, 1:]
    found = naive_linkage(D, method)
    np.testing.assert_allclose([m[2] for m in found], golden[method]["heights"], rtol=1e-12)
    assert [m[3] for m in found] == golden[method]["sizes"]


def test_example_data_is_sound(example_data: Path) -> None:
    for name, n in (("eurodist", 21), ("tests24", 24)):
        lines = [line.split(",") for line in (example_data / f"{name}.csv").read_text().splitlines()]
        table = np.array([line[1:] for line in lines[1:]], float)
        assert lines[0][1:] == [line[0] for line in lines[1:]]
        assert table.shape == (n, n)
        assert (table == table.T).all()
    states = (example_data / "usarrests.csv").read_text().splitlines()
    assert len({line.split(",")[0] for line in states[1:]}) == 50
    edges = [line.split(",") for line in (example_data / "lesmis.csv").read_text().splitlines()[1:]]
    assert len({name for edge in edges for name in edge[:2]}) == 77
    assert len({frozenset(edge[:2]) for edge in edges}) == len(edges) == 254
