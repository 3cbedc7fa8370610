"""Graphs: edges in every form, names in order, path lengths for missing pairs."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from shoal.data.carriers import graph
from shoal.errors import InputError

EDGES = [("b", "a", 2.0), ("b", "c", 3.0), ("d", "c", 0.5)]


@pytest.mark.parametrize("make", [
    lambda: EDGES, lambda: pd.DataFrame(EDGES, columns=["source", "target", "weight"]),
    lambda: pl.DataFrame(EDGES, schema=["p", "q", "r"], orient="row"), lambda: np.array(EDGES, dtype=object)])
def test_named_edges(make):
    found = graph(make())
    assert found.ids == ("b", "a", "c", "d")
    i, j, w = found.edges
    assert (i.tolist(), j.tolist(), w.tolist()) == ([0, 0, 2], [1, 2, 3], [2, 3, 0.5])
    dense = found.adjacency.toarray()
    np.testing.assert_array_equal(dense, dense.T)
    assert dense[0, 2] == 3
    assert found.rule == "max-s"
    np.testing.assert_array_equal(found.condensed(), [1, 0, 3, 3, 3, 2.5])


@pytest.mark.parametrize("make", [
    lambda: [(0, 1, 2.0), (1, 2, 3.0), (2, 3, 0.5)], lambda: np.array([[0, 1, 2.0], [1, 2, 3.0], [3, 2, 0.5]]),
    lambda: np.float32([[0, 1, 2.0], [1, 2, 3.0], [3, 2, 0.5]]),
    lambda: sparse.coo_array(([2, 3, 0.5], ([0, 1, 2], [1, 2, 3])), shape=(4, 4)),
    lambda: sparse.csr_matrix(np.array([[0, 2, 0, 0], [2, 0, 3, 0], [0, 3, 0, 0.5], [0, 0, 0.5, 0]]))])
def test_numbered_edges_are_positions(make):
    found = graph(make(), kind="distance", missing="shortest_path")
    assert found.ids is None
    assert found.n == 4
    np.testing.assert_array_equal(found.condensed(), [2, 5, 5.5, 3, 3.5, 0.5])
    assert graph(make(), ids=list("wxyz")).ids == tuple("wxyz")


def test_edges_without_weights_and_isolated_items():
    found = graph(np.array([[0, 2], [2, 1]]), ids=list("abcd"))
    np.testing.assert_array_equal(found.condensed(), [1, 0, 1, 0, 1, 1])
    assert graph([(5, 9), (9, 7)]).ids == ("5", "9", "7")
    assert graph([((0, 0), (0, 1)), ((0, 1), (1, 1))]).ids == ("(0, 0)", "(0, 1)", "(1, 1)")
    named = graph([("a", "b")], ids=["z", "b", "a"])
    np.testing.assert_array_equal(named.condensed(), [1, 1, 0])


def test_paths_are_exact_in_small_blocks(monkeypatch):
    rng = np.random.default_rng(3)
    n = 12
    tree = [(k, int(rng.integers(k)), float(rng.integers(1, 9))) for k in range(1, n)] + [(0, 7, 4.0), (3, 11, 0.0)]
    expected = np.full((n, n), np.inf)
    np.fill_diagonal(expected, 0)
    for i, j, w in tree:
        expected[i, j] = expected[j, i] = min(w, expected[i, j])
    for k in range(n):
        expected = np.minimum(expected, expected[:, [k]] + expected[[k], :])
    edges = {(min(i, j), max(i, j)): w for i, j, w in tree}
    data = [(i, j, w) for (i, j), w in edges.items()]
    monkeypatch.setattr("shoal.data.checks.BLOCK", 30)
    found = graph(data, kind="distance", missing="shortest_path")
    np.testing.assert_array_equal(found.condensed(), expected[np.triu_indices(n, 1)])
    assert any("shortest path" in m for m in found.messages)


def test_a_complete_graph_of_distances_needs_no_paths():
    found = graph([(0, 1, 1.0), (0, 2, 9.0), (1, 2, 1.0)], kind="distance")
    np.testing.assert_array_equal(found.condensed(), [1, 9, 1])
    with pytest.raises(InputError, match=r"1 of 3 pairs.*missing='shortest_path'"):
        graph([(0, 1, 1.0), (1, 2, 1.0)], kind="distance").condensed()


def test_loops_and_both_directions():
    found = graph([("a", "a", 1.0), ("a", "b", 0.5), ("b", "a", 0.5)])
    np.testing.assert_array_equal(found.condensed(), [0.5])
    assert any("itself" in m for m in found.messages)
    directed = [("a", "b", 0.5), ("b", "a", 0.25), ("b", "c", 1.0)]
    with pytest.raises(InputError, match=r"'a' and 'b'.*both directions.*0\.25 and 0\.5.*symmetrize"):
        graph(directed)
    for mode, expected in (("mean", 0.375), ("min", 0.25), ("max", 0.5)):
        assert graph(directed, symmetrize=mode).edges[2].tolist() == [expected, 1.0]


@pytest.mark.parametrize(("arguments", "words"), [
    ({"edges": [("a", "b", 1.0), ("c", "d", 1.0)], "kind": "distance", "missing": "shortest_path"}, "2 parts.*'a' and 'c'"),
    ({"edges": EDGES, "kind": "flow"}, "kind='flow'"),
    ({"edges": EDGES, "kind": "distance", "missing": "zero"}, "missing='zero'"),
    ({"edges": EDGES, "kind": "distance", "rule": "1-s"}, "rule"),
    ({"edges": EDGES, "missing": "shortest_path"}, "kind='distance'"),
    ({"edges": []}, "at least one edge"),
    ({"edges": [("a", "b", 1.0), ("a", "b")]}, "Edge 1"),
    ({"edges": [("a", "b", 1.0, 2.0)]}, "Edge 0"),
    ({"edges": [1, 2, 3]}, "Edge 0"),
    ({"edges": "ab"}, "Edge 0"),
    ({"edges": [("a", "b", "x")]}, "text"),
    ({"edges": np.zeros((2, 4))}, r"shape .*\(2, 4\)"),
    ({"edges": [("a", "b", np.nan)]}, "'a' and 'b'.*missing"),
    ({"edges": [("a", "b", -1.0)], "kind": "distance"}, "'a' and 'b' is -1.0"),
    ({"edges": [(0, 5, 1.0)], "ids": ["a", "b"]}, "items 0 to 5.*2 ids"),
    ({"edges": pd.DataFrame({"a": ["x"], "b": ["y"], "c": ["z"]})}, "3 with a number"),
    ({"edges": sparse.csr_array(np.ones((2, 3)))}, "square"),
    ({"edges": [("a", "b", 0.5)], "rule": "2-s"}, "not a rule"),
])
def test_what_is_not_a_graph_is_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        graph(arguments.pop("edges"), **arguments)


def test_describe():
    said = graph(EDGES, kind="distance", missing="shortest_path").describe()
    assert said == {"carrier": "graph", "n": 4, "dtype": "float64", "has_ids": True, "weighted": False, "edges": 3,
                    "kind": "distance", "rule": None, "missing": "shortest_path"}
