"""First merges of new items: against refits by the book, against the definition under ties, and at the labels."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
from naive.linkage import naive_linkage
from shoal.errors import InputError
from shoal.runtime.kernel import plain_python
from shoal.treecut import Placed, TreeCut
from shoal.trees.place import Placement, place_points, place_rows
from strategies import METHODS, REDUCIBLE, item_weights, methods, points, square_distances

RECURRENT = ("single", "complete", "average", "weighted")  # these need no geometry


def square_of(X: Any, Y: Any) -> Any:
    return np.sqrt(((X[:, None, :] - Y[None, :, :]) ** 2).sum(axis=2))


def both_ways(tree: Any, X: Any, Z: Any) -> list[Placement]:
    w = tree.weights_or_ones
    return [place_rows(tree.merges, tree.method, w, [square_of(Z, X)]), place_points(tree.merges, tree.method, w, X, Z)]


def items_of(merges: Any) -> list[frozenset[int]]:
    found = [frozenset([i]) for i in range(merges.n)]
    for a, b in zip(merges.left.tolist(), merges.right.tolist(), strict=True):
        found.append(found[a] | found[b])
    return found


def first_merge(D: Any, method: str, weights: Any) -> tuple[float, frozenset[int]]:
    """Height and partner of the last item's first merge in the tree of all."""
    new = len(D) - 1
    items = [frozenset([i]) for i in range(new + 1)]
    for a, b, height, _ in naive_linkage(D, method, weights):
        if new in (a, b):
            return height, items[a if b == new else b]
        items.append(items[a] | items[b])
    raise AssertionError("it never merged")


@given(points(min_n=2, ties=False), methods, st.data())
def test_is_the_first_merge_of_a_refit(X: Any, method: str, data: st.DataObject) -> None:
    old, new = X[:-1], X[-1:]
    w = data.draw(st.none() | item_weights(len(old)))
    height, partner = first_merge(square_of(X, X), method, None if w is None else np.append(w, 1.0))
    tree = shoal.linkage(old, method, weights=w)
    for found in both_ways(tree, old, new):
        assert found.height[0] == pytest.approx(height, rel=1e-6, abs=1e-9 * np.abs(X).max())
        assert items_of(tree.merges)[found.partner[0]] == partner


@given(square_distances(min_n=2, ties=False), st.sampled_from(RECURRENT), st.data())
def test_of_distances_that_are_no_metric(D: Any, method: str, data: st.DataObject) -> None:
    w = data.draw(st.none() | item_weights(len(D) - 1))
    height, partner = first_merge(D, method, None if w is None else np.append(w, 1.0))
    tree = shoal.linkage(shoal.distances(D[:-1, :-1], weights=w), method)
    found = place_rows(tree.merges, method, tree.weights_or_ones, [D[-1:, :-1]])
    assert found.height[0] == pytest.approx(height, rel=1e-12)
    assert items_of(tree.merges)[found.partner[0]] == partner


@pytest.mark.parametrize("method", ["centroid", "median"])
def test_inversions_are_steps_like_any_other(method: str) -> None:
    rng, seen = np.random.default_rng(3), 0
    for _ in range(60):
        X = rng.normal(size=(9, 2))
        tree = shoal.linkage(X[:-1], method)
        height, partner = first_merge(square_of(X, X), method, None)
        for found in both_ways(tree, X[:-1], X[-1:]):
            assert found.height[0] == pytest.approx(height, rel=1e-9)
            assert items_of(tree.merges)[found.partner[0]] == partner
        seen += tree.inversions > 0
    assert seen > 5


@given(points(min_n=2), st.sampled_from(REDUCIBLE))
def test_under_ties_no_node_could_have_come_first(X: Any, method: str) -> None:
    """Height and partner are within the partner's life, and no node's whole life allows an earlier merge."""
    old, z = X[:-1], X[-1]
    tree = shoal.linkage(old, method)
    n, items = tree.n, items_of(tree.merges)
    own = np.append(np.zeros(n), tree.merges.height)
    above = np.append(own[tree._parent[:-1]], math.inf)
    d = np.array([by_definition(tree, old, z, v, sorted(items[v])) for v in range(2 * n - 1)])
    tiny = 1e-9 * max(np.abs(X).max(), 1e-300)
    best = np.maximum(own, d)[d <= above - tiny].min()
    for found in both_ways(tree, old, X[-1:]):
        height, partner = found.height[0], found.partner[0]
        assert height == pytest.approx(d[partner], abs=tiny)
        assert own[partner] - tiny <= height <= above[partner] + tiny
        assert height <= best + tiny


def by_definition(tree: Any, X: Any, z: Any, node: int, items: list[int]) -> float:
    d = np.sqrt(((X - z) ** 2).sum(axis=1))
    if tree.method == "weighted":
        return halved(tree, node, d)
    if tree.method == "ward":
        c = len(items)
        return float(np.sqrt(2 * c / (c + 1) * ((X[items].mean(axis=0) - z) ** 2).sum()))
    reduce: Any = {"single": np.min, "complete": np.max, "average": np.mean}[tree.method]
    return float(reduce(d[items]))


def halved(tree: Any, node: int, d: Any) -> float:
    t = node - tree.n
    return float(d[node]) if t < 0 else (halved(tree, int(tree.merges.left[t]), d)
                                         + halved(tree, int(tree.merges.right[t]), d)) / 2


@pytest.mark.parametrize("method", METHODS)
def test_an_item_that_is_there_already_merges_with_it_at_zero(method: str) -> None:
    X = np.random.default_rng(0).normal(size=(40, 3)) + 1e3
    X[[7, 21]] = X[3]
    tree = shoal.linkage(X, method)
    for found in both_ways(tree, X, X[[30, 21, 3]]):
        assert found.height.tolist() == [0.0, 0.0, 0.0]
        assert found.partner.tolist() == [30, 3, 3]


@pytest.mark.parametrize("method", METHODS)
def test_both_ways_agree_far_away_and_close_by(method: str) -> None:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(250, 3)) + rng.integers(0, 4, (250, 1)) * 8
    tree = shoal.linkage(X, method, weights=rng.uniform(0.3, 4, 250))
    Z = np.vstack([rng.normal(size=(12, 3)) * s + c for s, c in ((1, 8), (5, 0), (1e5, 0))])
    rows, boxes = both_ways(tree, X, Z)
    np.testing.assert_array_equal(rows.partner, boxes.partner)
    np.testing.assert_allclose(rows.height, boxes.height, rtol=1e-9)
    assert len(set((rows.partner >= 250).tolist())) == 2


@pytest.mark.parametrize("factor", [2.0**600, 2.0**-600])
@pytest.mark.parametrize("method", METHODS)
def test_distances_whose_squares_overflow_or_vanish(method: str, factor: float) -> None:
    rng = np.random.default_rng(4)
    X, Z = rng.normal(size=(30, 2)), rng.normal(size=(5, 2))
    here = both_ways(shoal.linkage(X, method), X, Z)
    tree = shoal.linkage(X * factor, method)
    there = [place_rows(tree.merges, method, np.ones(30), [square_of(Z, X) * factor]),
             place_points(tree.merges, method, np.ones(30), X * factor, Z * factor)]
    for a, b in zip(here, there, strict=True):
        np.testing.assert_array_equal(a.partner, b.partner)
        np.testing.assert_allclose(b.height / factor, a.height, rtol=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_blocks_threads_and_compilation_change_no_bit(method: str) -> None:
    rng = np.random.default_rng(1)
    X, Z = rng.normal(size=(90, 3)), rng.normal(size=(70, 3))
    tree = shoal.linkage(X, method)
    w, R = tree.weights_or_ones, square_of(Z, X)
    found = []
    try:
        for threads, plain in ((1, False), (2, False), (5, False), (2, True)):
            shoal.set_threads(threads)
            with plain_python(plain):
                found.append((*place_points(tree.merges, method, w, X, Z), *place_rows(tree.merges, method, w, [R]),
                              *place_rows(tree.merges, method, w, [R[:1], R[1:9], R[9:]])))
    finally:
        shoal.set_threads(None)
    for columns in found[1:]:
        for first, other in zip(found[0], columns, strict=True):
            np.testing.assert_array_equal(first, other)
    np.testing.assert_array_equal(found[0][2], found[0][4])


def test_a_tree_of_one_item_and_no_new_items() -> None:
    for method in METHODS:
        tree = shoal.linkage([[1.0, 2.0]], method)
        for found in both_ways(tree, np.array([[1.0, 2.0]]), np.array([[4.0, 6.0]])):
            assert (found.height.tolist(), found.partner.tolist()) == ([5.0], [0])
        assert all(len(found.height) == 0 for found in both_ways(tree, np.array([[1.0, 2.0]]), np.empty((0, 2))))


def test_a_tree_of_limited_height_places_up_to_that_height() -> None:
    rng = np.random.default_rng(2)
    X, Z = rng.uniform(size=(150, 2)), rng.uniform(size=(60, 2))
    for method in REDUCIBLE:
        whole, low = shoal.linkage(X, method), shoal.linkage(X, method, stop_height=0.05)
        full, sets = both_ways(whole, X, Z)[0], items_of(whole.merges)
        near = full.height <= 0.05
        assert 5 < near.sum() < 60
        for found in both_ways(low, X, Z):
            np.testing.assert_array_equal(found.height <= 0.05, near)
            assert [items_of(low.merges)[v] for v in found.partner[near]] == [sets[v] for v in full.partner[near]]


@pytest.mark.large
def test_a_chain_of_merges_is_a_tree_like_any_other() -> None:
    x = np.cumsum(np.linspace(1.0, 2.0, 30_000))[:, None]
    tree = shoal.linkage(x, "single")
    z = x[[20, 25_000]] + 0.1
    for found in (place_points(tree.merges, "single", np.ones(len(x)), x, z),
                  place_rows(tree.merges, "single", np.ones(len(x)), [square_of(z, x)])):
        np.testing.assert_allclose(found.height, 0.1)
        assert found.partner.tolist() == [20, 25_000]
    far = place_points(tree.merges, "single", np.ones(len(x)), x, x[[0]] - 1.5)
    assert far.partner[0] >= len(x)
    assert far.height[0] == pytest.approx(1.5)


# ------------------------------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize("method", METHODS)
def test_labels_are_the_partners_cluster_or_new(method: str) -> None:
    rng = np.random.default_rng(8)
    X, Z = rng.normal(size=(60, 2)), rng.normal(size=(40, 2)) * 2
    tree = shoal.linkage(X, method, ids=[f"i{i}" for i in range(60)])
    found, items = Placed.of(tree, Z, ids=[f"n{j}" for j in range(40)]), items_of(tree.merges)
    for cut in itertools.chain(tree.cuts(height=[0.0, 0.4, 0.9, 1e9]), tree.cuts(k=[1, 5, 60])):
        sets = {c: set(cut.indices(c).tolist()) for c in range(cut.k)}
        expected = [next((c for c, members in sets.items() if items[v] <= members
                          and (cut.height is None or h <= cut.height)), -1)
                    for h, v in zip(found.height, found.partner, strict=True)]
        assert found.labels(cut).tolist() == expected
        assert found.is_new(cut).tolist() == [label < 0 for label in expected]
    assert found.is_new(tree.cut(height=1e9)).sum() == 0
    assert found.is_new(tree.cut(height=0.0)).all()


def test_labels_are_those_of_a_refit_at_the_same_height() -> None:
    """One new item far from the border of any cluster: the refit cut at the height has it where `labels` puts it."""
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(30, 2)) * 0.3 + c for c in ((0, 0), (9, 0), (0, 9))])
    for method, z in itertools.product(REDUCIBLE, ([0.1, 0.1], [9.2, -0.1], [0, 8.9], [40.0, 40.0])):
        tree, whole = shoal.linkage(X, method), shoal.linkage(np.vstack([X, z]), method)
        cut = tree.cut(k=3)
        refit = whole.cut(height=cut.height)
        mates = np.flatnonzero(refit.labels[:-1] == refit.labels[-1])
        label = int(Placed.of(tree, [z]).labels(cut)[0])
        assert label == (cut.labels[mates[0]] if len(mates) else -1)


def test_where_no_height_makes_the_cut_what_merges_with_a_whole_cluster_belongs_to_it() -> None:
    tree = shoal.linkage([[0.0], [1.0], [10.0], [11.0]], "average")
    cut = TreeCut.of(tree, np.array([0, 0, -1, 1]), np.array([4, 3]), "by hand")
    found = Placed.of(tree, [[1.6], [10.1], [11.2], [500.0]])
    assert found.labels(cut).tolist() == [0, -1, 1, -1]


def test_reads_new_items_as_the_tree_was_read() -> None:
    import pandas as pd

    frame = pd.DataFrame({"a": [0.0, 1.0, 2.0, 9.0], "b": [0.0, 100.0, 50.0, 900.0]})
    tree = shoal.linkage(shoal.points(frame, scale="standard"))
    swapped = pd.DataFrame({"b": [900.0], "other": [7.0], "a": [9.0]})
    found = Placed.of(tree, swapped)
    assert (found.height[0], found.partner[0]) == (0.0, 3)
    with pytest.raises(InputError, match="lack 1 of the 2 columns of the model: 'b'"):
        Placed.of(tree, frame[["a"]])
    with pytest.raises(InputError, match="NaN"):
        Placed.of(tree, pd.DataFrame({"a": [np.nan], "b": [1.0]}))


def test_similarities_and_sparse_points_go_by_rows() -> None:
    from scipy import sparse

    rng = np.random.default_rng(5)
    S = np.corrcoef(rng.normal(size=(13, 6)))
    tree = shoal.linkage(shoal.similarities(S[:-1, :-1]), "average")
    found = Placed.of(tree, S[-1:, :-1])
    height, partner = first_merge(1 - S, "average", None)
    assert found.height[0] == pytest.approx(height)
    assert items_of(tree.merges)[found.partner[0]] == partner
    X, Z = sparse.random_array((30, 6), density=0.5, rng=rng), sparse.random_array((5, 6), density=0.5, rng=rng)
    thin = Placed.of(shoal.linkage(sparse.csr_array(X), "ward"), sparse.csr_array(Z))
    thick = Placed.of(shoal.linkage(X.toarray(), "ward"), Z.toarray())
    np.testing.assert_array_equal(thin.partner, thick.partner)
    np.testing.assert_allclose(thin.height, thick.height)


def test_says_what_is_in_it_and_refuses_what_it_cannot_place() -> None:
    X = np.random.default_rng(0).normal(size=(8, 2))
    tree = shoal.linkage(X)
    found = Placed.of(tree, X[:2], ids=["p", "q"])
    assert repr(found) == "Placed(2 items in Tree(8 items, method='ward', engine='stored'))"
    assert len(found) == 2
    table = found.to_frame(tree.cut(k=2), like="pandas")
    assert list(table.columns) == ["id", "height", "partner", "cluster"]
    assert list(found.to_frame(like="pandas").columns) == ["id", "height", "partner"]
    assert table["id"].tolist() == ["p", "q"]
    with pytest.raises(InputError, match="another tree"):
        found.labels(shoal.linkage(X).cut(k=2))
    with pytest.raises(InputError, match="method is not known"):
        Placed.of(shoal.Tree.from_scipy(tree.to_scipy()), X)
    with pytest.raises(InputError, match="needs the data"):
        Placed.of(shoal.Tree.from_scipy(tree.to_scipy(), method="ward"), X)
    chain = np.eye(8, k=1) + np.eye(8, k=-1)
    with pytest.raises(InputError, match="along a graph"):
        Placed.of(shoal.linkage(X, connectivity=chain), X)
