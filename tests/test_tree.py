"""Trees as people use them: golden data, names, cuts, placing new items, scipy, saving."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
from certificates import assert_closest_pairs, assert_same_tree, assert_valid_merges
from naive.cuts import drawn_order, item_sets
from naive.linkage import naive_linkage, updated
from shoal.errors import InputError
from shoal.trees.merges import Merges, from_nodes
from strategies import METHODS, methods, points

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def table(folder: Path, name: str) -> tuple[list[str], Any]:
    with open(folder / name, newline="", encoding="utf-8") as handle:
        lines = list(csv.reader(handle))[1:]
    return [line[0] for line in lines], np.array([line[1:] for line in lines], float)


def merges_of(values: Any) -> Merges:
    pairs = np.array(values["merges"])
    return from_nodes(pairs[:, 0], pairs[:, 1], np.array(values["heights"]))


def square_of(X: Any, Y: Any) -> Any:
    return np.sqrt(((X[:, None, :] - Y[None, :, :]) ** 2).sum(axis=2))


# ---------------------------------------------------------------------------------------------------------------- golden


def test_the_tutorial(tutorial150: Any) -> None:
    expected = golden("tutorial")
    np.testing.assert_allclose(tutorial150[[0, -1]], [expected["first_point"], expected["last_point"]], rtol=1e-12)
    tree = shoal.linkage(tutorial150)
    assert list(zip(tree.merges.left[:2].tolist(), tree.merges.right[:2].tolist(), strict=True)) == [(52, 53), (14, 79)]
    assert_same_tree(tree.merges, merges_of(expected["ward"]), rtol=1e-10, atol=0)
    np.testing.assert_allclose(tree.to_scipy()[:, 2], expected["ward"]["heights"], rtol=1e-10)
    for height, k in ((50, 2), (16, 4)):
        clusters = tree.cut(height=height)
        assert clusters.k == k
        groups = sorted(clusters.indices(c).tolist() for c in range(k))
        assert groups == expected["cuts"][str(height)]
        assert tree.cut(k=k).labels.tolist() == clusters.labels.tolist()
    assert round(tree.cophenetic_correlation(), 2) == 0.98


@pytest.mark.parametrize("form", ["raw", "standard"])
@pytest.mark.parametrize("method", METHODS)
def test_the_states(method: str, form: str, example_data: Path) -> None:
    ids, X = table(example_data, "usarrests.csv")
    expected = golden("usarrests")
    assert ids == expected["ids"]
    data = shoal.points(X, ids=ids, scale="standard" if form == "standard" else None)
    tree = shoal.linkage(data, method)
    values = expected[form][method]
    assert_same_tree(tree.merges, merges_of(values), rtol=1e-9, atol=1e-12)
    assert tree.cophenetic_correlation() == pytest.approx(values["cophenetic_correlation"], rel=1e-9)
    assert tree.members(2 * tree.n - 2) == [ids[i] for i in tree.order()]


@pytest.mark.parametrize("method", ["single", "complete", "average", "weighted"])
def test_the_cities(method: str, example_data: Path) -> None:
    ids, D = table(example_data, "eurodist.csv")
    expected = golden("eurodist")
    tree = shoal.linkage(shoal.distances(D, ids=ids), method)
    assert list(tree.ids) == expected["ids"]
    assert_same_tree(tree.merges, merges_of(expected[method]), rtol=1e-10, atol=0)
    assert_closest_pairs(D, tree.merges, method)
    assert tree.cophenetic_correlation() == pytest.approx(expected[method]["cophenetic_correlation"], rel=1e-10)
    assert set(tree.members(21)) == {ids[7], ids[12]}


# ----------------------------------------------------------------------------------------------------------------- names


@given(points(), methods)
def test_order_and_members_are_the_naive_ones(X: Any, method: str) -> None:
    names = [f"item {i}" for i in range(len(X))]
    tree = shoal.linkage(X, method, ids=names)
    merges = list(zip(tree.merges.left.tolist(), tree.merges.right.tolist(), strict=True))
    assert tree.order().tolist() == drawn_order(merges, tree.n)
    place = {i: p for p, i in enumerate(tree.order().tolist())}
    for node, items in enumerate(item_sets(merges, tree.n)):
        assert tree.members(node) == [names[i] for i in sorted(items, key=place.__getitem__)]


def test_the_caller_may_change_the_order_it_got() -> None:
    tree = shoal.linkage(np.arange(5.0)[:, None])
    tree.order()[:] = 0
    assert sorted(tree.order().tolist()) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="read-only"):
        tree.merges.height[0] = 1


@pytest.mark.parametrize("node", [-1, 9, 100])
def test_a_node_that_is_not_there_is_refused(node: int) -> None:
    with pytest.raises(InputError, match="Nodes go from 0 to 8"):
        shoal.linkage(np.arange(5.0)[:, None]).members(node)


def test_ids_are_kept_as_written() -> None:
    ids = ["007", "ä", "=1+1", "東京", "a b"]
    tree = shoal.linkage(np.arange(5.0)[:, None], ids=ids)
    assert tree.ids == tuple(ids)
    assert tree.cut(k=5).members() == {c: [ids[i]] for c, i in enumerate(tree.order().tolist())}
    assert shoal.linkage(np.arange(3.0)[:, None]).ids == ("0", "1", "2")
    assert shoal.linkage(np.arange(3.0)[:, None], ids=[7, 8, 9]).ids == ("7", "8", "9")
    with pytest.raises(InputError, match="more than one item"):
        shoal.linkage(np.arange(3.0)[:, None], ids=["a", "b", "a"])


def test_repr_and_length() -> None:
    tree = shoal.linkage(np.arange(5.0)[:, None], "average")
    assert repr(tree) == "Tree(5 items, method='average', engine='stored')"
    assert (len(tree), tree.n, tree.inversions, tree.messages) == (5, 5, 0, ())
    assert tree.source["carrier"] == "points" if "carrier" in tree.source else tree.source


def test_metrics_by_name_reach_the_tree() -> None:
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import pdist

    X = np.random.default_rng(0).uniform(0.1, 2, (30, 4))
    for metric in ("cityblock", "cosine", "correlation", "canberra"):
        found = shoal.linkage(X, "average", metric)
        np.testing.assert_allclose(found.merges.height, linkage(pdist(X, metric), "average")[:, 2], rtol=1e-10)
    with pytest.raises(InputError, match="have their distances already"):
        shoal.linkage(shoal.distances(pdist(X)), "average", "cityblock")


def test_weights_must_be_above_zero() -> None:
    for wrong in ([1, 0, 1], [1, -1, 1], [1, math.nan, 1], [1, 1]):
        with pytest.raises(InputError, match="eight"):
            shoal.linkage(np.arange(3.0)[:, None], weights=wrong)


# ----------------------------------------------------------------------------------------------------------- new items


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_predict_is_what_the_tree_would_say_of_a_cluster_of_one(method: str, weighted: bool) -> None:
    rng = np.random.default_rng(0)
    X, Z = rng.normal(size=(40, 3)), rng.normal(size=(25, 3)) * 1.5
    w = rng.uniform(0.5, 3, 40) if weighted else np.ones(40)
    tree = shoal.linkage(X, method, weights=w if weighted else None)
    rows = square_of(Z, X)
    for k in (1, 2, 5, 40):
        clusters = tree.cut(k=k)
        expected = np.empty((25, k))
        for c in range(k):
            at = clusters.indices(c)
            expected[:, c] = to_cluster(tree, rows, Z, X, at, int(clusters.nodes[c]), w)
        found = clusters.predict(Z)
        assert found.labels.tolist() == expected.argmin(axis=1).tolist()
        ordered = np.sort(expected, axis=1)
        np.testing.assert_allclose(found.distance, ordered[:, 0], rtol=1e-7)
        if k == 1:
            assert (found.margin == np.inf).all()
        else:
            np.testing.assert_allclose(found.margin, ordered[:, 1] - ordered[:, 0], rtol=1e-6, atol=1e-9)


def to_cluster(tree: Any, rows: Any, Z: Any, X: Any, at: Any, node: int, w: Any) -> Any:
    """By the meaning of the method; by the recurrence where that is its meaning."""
    mass = w[at].sum()
    gap = np.sqrt(((Z - np.average(X[at], axis=0, weights=w[at])) ** 2).sum(axis=1))
    if tree.method in ("weighted", "median"):
        return standing_by(tree, rows, node)
    return {"single": lambda: rows[:, at].min(axis=1), "complete": lambda: rows[:, at].max(axis=1),
            "average": lambda: (rows[:, at] * w[at]).sum(axis=1) / mass, "centroid": lambda: gap,
            "ward": lambda: gap * np.sqrt(2 * mass / (mass + 1))}[tree.method]()


def standing_by(tree: Any, rows: Any, node: int) -> Any:
    if node < tree.n:
        return rows[:, node]
    t = node - tree.n
    a, b, h = int(tree.merges.left[t]), int(tree.merges.right[t]), float(tree.merges.height[t])
    sides = zip(standing_by(tree, rows, a).tolist(), standing_by(tree, rows, b).tolist(), strict=True)
    return np.array([updated(tree.method, x, y, h, 1, 1, 1) for x, y in sides])


@pytest.mark.parametrize("method", METHODS)
def test_predict_from_a_matrix_is_predict_from_vectors(method: str) -> None:
    rng = np.random.default_rng(0)
    X, Z = rng.normal(size=(40, 3)), rng.normal(size=(25, 3)) * 1.5
    by_vectors = shoal.linkage(X, method).cut(k=4).predict(Z)
    by_matrix = shoal.linkage(shoal.distances(square_of(X, X)), method).cut(k=4).predict(square_of(Z, X))
    assert by_matrix.labels.tolist() == by_vectors.labels.tolist()
    np.testing.assert_allclose(by_matrix.distance, by_vectors.distance, rtol=1e-9)
    np.testing.assert_allclose(by_matrix.margin, by_vectors.margin, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_predict_is_the_merge_with_a_far_cluster_standing_off(method: str) -> None:
    rng = np.random.default_rng(3)
    X = np.vstack([rng.normal(size=(7, 2)), rng.normal(size=(9, 2)) + 300])
    Z = np.array([[12.0, 0.0], [290.0, 320.0]])
    clusters = shoal.linkage(X, method).cut(k=2)
    found = clusters.predict(Z)
    for z, label, distance in zip(Z, found.labels, found.distance, strict=True):
        whole = np.vstack([X, z[None]])
        (height,) = [h for a, b, h, _ in naive_linkage(square_of(whole, whole), method) if 16 in (a, b)]
        assert distance == pytest.approx(height, rel=1e-10)
        assert label == clusters.labels[0 if z[0] < 100 else 7]


@pytest.mark.parametrize("method", METHODS)
def test_items_of_far_clusters_are_predicted_into_them(method: str) -> None:
    rng = np.random.default_rng(3)
    X = np.concatenate([rng.normal(size=(12, 2)) + centre for centre in ([0, 0], [60, 0], [0, 60])])
    clusters = shoal.linkage(X, method).cut(k=3)
    assert clusters.predict(X).labels.tolist() == clusters.labels.tolist()


def test_new_items_are_scaled_as_the_old_ones() -> None:
    rng = np.random.default_rng(3)
    X = np.concatenate([rng.normal(size=(12, 2)) + centre for centre in ([0, 0], [9, 0], [0, 9])]) * [1, 1e6] + [5, -3e6]
    clusters = shoal.linkage(shoal.points(X, scale="standard")).cut(k=3)
    assert clusters.predict(X).labels.tolist() == clusters.labels.tolist()
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    by_hand = shoal.linkage(scaled).cut(k=3).predict(scaled[:5] + 0.1)
    np.testing.assert_allclose(clusters.predict((scaled[:5] + 0.1) * X.std(axis=0) + X.mean(axis=0)).distance,
                               by_hand.distance, rtol=1e-8)


def test_new_items_have_names() -> None:
    import pandas as pd

    clusters = shoal.linkage(pd.DataFrame({"a": [0.0, 1, 9], "b": [0.0, 1, 9]}), "single").cut(k=2)
    found = clusters.predict(pd.DataFrame({"b": [8.0, 0.0], "a": [9.0, 0.0]}), ids=["x", "y"])
    assert found.ids == ("x", "y")
    assert found.labels.tolist() == [1, 0]
    np.testing.assert_allclose(found.distance, [1, 0])
    assert len(found) == 2
    assert repr(found) == "Assignment(2 items to 2 clusters)"
    frame = found.to_frame("pandas")
    assert frame.columns.tolist() == ["id", "cluster", "distance", "margin"]
    assert frame["id"].tolist() == ["x", "y"]


def test_a_tie_goes_to_the_first_cluster() -> None:
    found = shoal.linkage([[0.0], [1.0], [9.0], [10.0]], "single").cut(k=2).predict([[5.0]])
    assert (found.labels.tolist(), found.distance.tolist(), found.margin.tolist()) == ([0], [4.0], [0.0])


def test_no_new_items() -> None:
    for method in METHODS:
        clusters = shoal.linkage(shoal.distances([1.0, 5, 5]), method).cut(k=2)
        try:
            found = clusters.predict(np.empty((0, 3)))
        except InputError:  # a table without rows may be refused, but clearly
            continue
        assert len(found) == 0


def test_what_predict_refuses() -> None:
    X = np.arange(12.0).reshape(6, 2)
    clusters = shoal.linkage(X).cut(k=2)
    for wrong in (np.ones((2, 3)), [[1.0, np.nan]], [["a", "b"]], 5, None):
        with pytest.raises(InputError):
            clusters.predict(wrong)
    with pytest.raises(InputError, match="ids"):
        clusters.predict([[1.0, 2.0]], ids=["a", "b"])
    bare = shoal.Tree.from_scipy(shoal.linkage(X).to_scipy())
    with pytest.raises(InputError, match="method"):
        bare.cut(k=2).predict([[1.0, 2.0]])
    named = shoal.Tree.from_scipy(shoal.linkage(X).to_scipy(), method="ward")
    with pytest.raises(InputError, match="with_data"):
        named.cut(k=2).predict([[1.0, 2.0]])
    again = named.with_data(X).cut(k=2).predict([[1.0, 2.0]])
    assert again.distance.tolist() == clusters.predict([[1.0, 2.0]]).distance.tolist()
    with pytest.raises(InputError, match="6 items and the data 5"):
        named.with_data(X[:5])


# ----------------------------------------------------------------------------------------------------------------- scipy


@pytest.mark.parametrize("method", METHODS)
def test_to_scipy_and_back(method: Any) -> None:
    from scipy.cluster.hierarchy import is_valid_linkage, leaves_list, linkage

    X = np.random.default_rng(0).normal(size=(40, 3))
    tree = shoal.linkage(X, method)
    Z = tree.to_scipy()
    assert is_valid_linkage(Z)
    np.testing.assert_allclose(Z[:, 2], linkage(X, method)[:, 2], rtol=1e-10)
    back = shoal.Tree.from_scipy(Z, ids=[f"s{i}" for i in range(40)], method=method)
    for a, b in zip(tree.merges, back.merges, strict=True):
        assert a.tobytes() == b.tobytes()
    assert (back.method, back.engine, back.ids[3], back.data) == (method, "scipy", "s3", None)
    assert back.cut(k=5).labels.tolist() == tree.cut(k=5).labels.tolist()
    assert sorted(leaves_list(Z).tolist()) == list(range(40))
    with pytest.raises(InputError, match="no linkage method"):
        shoal.Tree.from_scipy(Z, method="wards")
    with pytest.raises(InputError, match="39 ids were given for 40 items"):
        shoal.Tree.from_scipy(Z, ids=range(39))


def test_a_tree_of_scipy_with_data_is_like_our_own() -> None:
    from scipy.cluster.hierarchy import linkage

    X = np.random.default_rng(0).normal(size=(40, 3))
    tree = shoal.Tree.from_scipy(linkage(X, "average"), method="average").with_data(X)
    own = shoal.linkage(X, "average")
    assert tree.suggest_cuts().rows[0].k == 2
    assert tree.cophenetic_correlation() == pytest.approx(own.cophenetic_correlation(), rel=1e-12)
    assert_valid_merges(tree.merges)


@given(st.integers(1, 9))
def test_a_cut_without_arguments_is_the_suggested_one(seed: int) -> None:
    tree = shoal.linkage(np.random.default_rng(seed).normal(size=(15, 2)))
    best = tree.suggest_cuts().best
    assert tree.cut().labels.tolist() == (best or tree.cut(k=1)).labels.tolist()


def test_connectivity_keeps_parts_of_a_graph_apart(tmp_path: Any) -> None:
    X = np.concatenate([np.arange(4.0), 100 + np.arange(3.0)])[:, None]
    edges = shoal.grid((7,)).tolil()
    edges[3, 4] = edges[4, 3] = 0
    tree = shoal.linkage(X, "ward", connectivity=edges.tocsr())
    assert (tree.engine, tree.parts) == ("constrained", 2)
    assert np.isinf(tree.merges.height[-1])
    assert any("2 parts that no edge joins" in message for message in tree.messages)
    assert tree.cut(k=2).labels.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert tree.cut(height=1e9).k == 2
    assert tree.suggest_cuts().best is not None
    tree.save(tmp_path / "forest.shoal")
    assert shoal.load(tmp_path / "forest.shoal").cut(k=3).labels.tolist() == tree.cut(k=3).labels.tolist()
    joined = shoal.linkage(X, "ward", connectivity=edges.tocsr(), join=True)
    assert joined.parts == 1
    with pytest.raises(InputError, match="Euclidean"):
        shoal.linkage(shoal.points(X, "cityblock"), "average", connectivity=edges.tocsr())


# ------------------------------------------------------------------------------------------------------ nodes and exchange


@given(points(min_n=2), methods, st.data())
def test_the_lowest_node_that_holds_some_items(X: Any, method: str, data: st.DataObject) -> None:
    n = len(X)
    tree = shoal.linkage(X, method, ids=[f"i{i}" for i in range(n)])
    some = data.draw(st.lists(st.integers(0, n - 1), min_size=1, unique=True))
    node = tree.node_of([i if i % 2 else f"i{i}" for i in some])
    sets = item_sets(list(zip(*tree.merges, strict=True)), n)
    holding = [at for at, items in enumerate(sets) if set(some) <= set(items)]
    assert node == min(holding, key=lambda at: len(sets[at]))
    path = tree.path(some[0])
    assert path == [at for at in range(2 * n - 1) if some[0] in sets[at]]
    assert tree.path(f"i{some[0]}") == path
    assert tree.spell(node).replace("(", "").replace(")", "").split(", ") == tree.members(node)


def test_items_and_nodes_that_are_not_there() -> None:
    tree = shoal.linkage([[0.0], [1.0], [9.0]], ids=["a", "b", "7"])
    assert tree.node_of("7") == 2
    for wrong in ("c", 3, -1, True, 1.5, None, ["a", "c"], []):
        with pytest.raises(InputError, match=r"no item|No items"):
            tree.node_of(wrong)
    for call in (tree.spell, tree.members):
        with pytest.raises(InputError, match="no node 5"):
            call(5)


def test_merges_as_a_table() -> None:
    tree = shoal.linkage(np.random.default_rng(0).normal(size=(20, 2)))
    rows = tree.to_frame("polars").rows()
    for node, left, right, height, items, parent in rows:
        assert set(tree.members(left)) | set(tree.members(right)) == set(tree.members(node))
        assert items == len(tree.members(node))
        assert height == tree.merges.height[node - 20]
        assert parent == -1 if node == 38 else node in rows[parent - 20][1:3]


@given(points(min_n=2), st.sampled_from(["single", "average", "ward"]))
def test_there_and_back(X: Any, method: str) -> None:
    ids = [f"it's_{i}" if i % 2 else f"a b({i})" for i in range(len(X))]
    tree = shoal.linkage(X, method, ids=ids)
    newick = shoal.Tree.from_newick(tree.to_newick(), method)
    assert (sorted(newick.ids), newick.method, newick.engine) == (sorted(ids), method, "newick")
    assert shoal.Tree.from_newick(tree.to_newick(lengths=False)).n == tree.n
    back = shoal.Tree.from_r(tree.to_r())
    assert (back.ids, back.method, back.engine) == (tree.ids, method, "r")
    for a, b in zip(tree.merges, back.merges, strict=True):
        assert a.tobytes() == b.tobytes()


def test_newick_and_networkx() -> None:
    tree = shoal.linkage([[0.0], [1.0], [9.0], [12.0]], "single", ids=["007", "=A1", "SEPT2", "it's"])
    assert tree.to_newick() == "(('007':1.0,'=A1':1.0):7.0,(SEPT2:3.0,'it''s':3.0):5.0);".replace("'007'", "007")
    back = shoal.Tree.from_newick(tree.to_newick())
    assert back.compare(tree, k=[2, 3]).b.tolist() == [1.0, 1.0]
    graph = tree.to_networkx()
    assert sorted(graph.successors(6)) == [4, 5]
    assert [graph.nodes[i]["name"] for i in range(4)] == list(tree.ids)


def test_rs_names_of_methods() -> None:
    tree = shoal.linkage([[0.0], [1.0], [9.0]], "ward")
    assert (tree.to_r()["method"], tree.to_r()["dist.method"]) == ("ward.D2", "euclidean")
    for theirs, ours in (("ward.D2", "ward"), ("ward.D", "unknown"), ("mcquitty", "weighted"), ("average", "average")):
        assert shoal.Tree.from_r({**tree.to_r(), "method": theirs}).method == ours
    assert shoal.Tree.from_r({"merge": [[-1, -2]], "height": [1.0]}).ids == ("0", "1")
    for wrong in ([[1, 2]], {"merge": [[-1, -2]]}):
        with pytest.raises(InputError, match="hclust"):
            shoal.Tree.from_r(wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Newick"):
        shoal.Tree.from_newick("((a,b)")


@pytest.mark.parametrize("kind", ["points", "distances"])
def test_the_optimal_order_and_the_beams(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from shoal.trees import order as ordering

    X = np.random.default_rng(0).normal(size=(60, 2))
    D = square_of(X, X)
    tree = shoal.linkage(X if kind == "points" else shoal.distances(D), "average")
    length = {"drawn": ordering.order_length(D, tree.order()), "best": ordering.order_length(D, tree.order(optimal=True))}
    monkeypatch.setattr(ordering, "MOST_EXACT", 10)
    beam = tree.order(optimal=True)
    assert sorted(beam.tolist()) == list(range(60))
    assert length["best"] <= ordering.order_length(D, beam) < 1.1 * length["best"] < length["drawn"]
    assert beam.tolist() == ordering.beam_order(tree.merges, lambda i, j: D[i, j]).tolist()
    with pytest.raises(InputError, match="needs the data"):
        shoal.Tree.from_scipy(tree.to_scipy()).order(optimal=True)


def test_an_order_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from shoal.errors import TooLargeError

    tree = shoal.linkage(np.random.default_rng(0).normal(size=(60, 2)))
    monkeypatch.setattr("shoal.runtime.memory.available_bytes", lambda: 50_000)
    with pytest.raises(TooLargeError, match="60 leaves"):
        tree.order(optimal=True)
