"""New items at the clusters of a cut: against the update formula itself, definitions, and the tree; by means and by rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
from naive.linkage import naive_linkage, updated
from shoal.data.rows import rows_of_new
from shoal.trees.assign import cluster_shapes, distances_of_new, distances_to_clusters
from strategies import METHODS, item_weights, methods, points

EUCLIDEAN = ("ward", "centroid", "median")


def square_of(X: Any, Y: Any) -> Any:
    return np.sqrt(((X[:, None, :] - Y[None, :, :]) ** 2).sum(axis=2))


def distances(tree: Any, nodes: Any, labels: Any, rows: Any) -> Any:
    shapes = cluster_shapes(tree.merges, nodes, labels, tree.method, tree.weights_or_ones)
    return distances_to_clusters(rows, shapes, tree.method)


def by_recurrence(tree: Any, rows: Any) -> Any:
    """Distances of new items to every node: the tree's merges done again with the new item standing by."""
    mass = tree.weights_or_ones.tolist()
    found = [rows[:, i] * (math.sqrt(2 * mass[i] / (mass[i] + 1)) if tree.method == "ward" else 1) for i in range(tree.n)]
    for a, b, h in zip(tree.merges.left.tolist(), tree.merges.right.tolist(), tree.merges.height.tolist(), strict=True):
        found.append(np.array([updated(tree.method, x, y, h, mass[a], mass[b], 1.0)
                               for x, y in zip(found[a].tolist(), found[b].tolist(), strict=True)]))
        mass.append(mass[a] + mass[b])
    return np.column_stack(found)


@given(points(min_n=3, ties=False), methods, st.data())
def test_is_what_the_merges_say_with_the_new_item_standing_by(X: Any, method: str, data: st.DataObject) -> None:
    old, new = X[:-1], X[-1:]
    w = data.draw(st.none() | item_weights(len(old)))
    tree = shoal.linkage(old, method, weights=w)
    rows = square_of(new, old)
    top = max(rows.max(), tree.merges.height.max())
    cut = tree.cut(k=data.draw(st.integers(1, len(old))))
    expected = by_recurrence(tree, rows)[:, cut.nodes]
    np.testing.assert_allclose(distances(tree, cut.nodes, cut.labels, rows), expected, rtol=1e-9, atol=1e-6 * top)


def by_definition(tree: Any, node: int, z: Any, X: Any) -> float:
    at = [int(i) for i in tree.members(node)]
    w = tree.weights_or_ones
    d = np.sqrt(((X - z) ** 2).sum(axis=1))
    if tree.method == "single":
        return d[at].min()
    if tree.method == "complete":
        return d[at].max()
    if tree.method == "average":
        return (w[at] * d[at]).sum() / w[at].sum()
    if tree.method == "weighted":
        return halves(tree, node, d)
    if tree.method == "median":
        return float(np.sqrt(((halves(tree, node, X) - z) ** 2).sum()))
    gap = float(np.sqrt(((np.average(X[at], weights=w[at], axis=0) - z) ** 2).sum()))
    return gap * math.sqrt(2 * w[at].sum() / (w[at].sum() + 1)) if tree.method == "ward" else gap


def halves(tree: Any, node: int, values: Any) -> Any:
    if node < tree.n:
        return values[node]
    t = node - tree.n
    return (halves(tree, int(tree.merges.left[t]), values) + halves(tree, int(tree.merges.right[t]), values)) / 2


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [1, 3, 7, 40])
@pytest.mark.parametrize("method", METHODS)
def test_is_what_the_method_means(method: str, k: int, weighted: bool) -> None:
    rng = np.random.default_rng(4)
    X, Z = rng.normal(size=(40, 3)), rng.normal(size=(15, 3)) * 2
    tree = shoal.linkage(X, method, weights=rng.uniform(0.3, 4, 40) if weighted else None)
    cut = tree.cut(k=k)
    expected = [[by_definition(tree, node, z, X) for node in cut.nodes.tolist()] for z in Z]
    np.testing.assert_allclose(distances(tree, cut.nodes, cut.labels, square_of(Z, X)), expected, rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_is_the_height_at_which_the_item_would_join(method: str) -> None:
    """A cluster far from all else, and a new item near it: the tree of all merges the two at that height."""
    rng = np.random.default_rng(7)
    near, far = rng.normal(size=(8, 2)), rng.normal(size=(8, 2)) + 500
    z = np.array([[20.0, 3.0]])
    tree = shoal.linkage(np.vstack([near, far]), method)
    cut = tree.cut(k=2)
    found = distances(tree, cut.nodes, cut.labels, square_of(z, np.vstack([near, far])))
    whole = naive_linkage(square_of(np.vstack([near, far, z]), np.vstack([near, far, z])), method)
    (height,) = [h for a, b, h, size in whole if 16 in (a, b)]
    assert found[0, cut.labels[0]] == pytest.approx(height, rel=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_an_offset_costs_few_digits(method: str) -> None:
    rng = np.random.default_rng(4)
    X, Z = rng.normal(size=(30, 2)), rng.normal(size=(5, 2))
    tree = shoal.linkage(X, method)
    cut = tree.cut(k=3)
    here = distances(tree, cut.nodes, cut.labels, square_of(Z, X))
    away = distances(tree, cut.nodes, cut.labels, square_of(Z + 1e4, X))
    expected = [[by_definition(tree, node, z + 1e4, X) for node in cut.nodes.tolist()] for z in Z]
    np.testing.assert_allclose(away, expected, rtol=1e-12)
    assert (away > here).all()


@pytest.mark.parametrize("factor", [2.0**600, 2.0**-600])
@pytest.mark.parametrize("method", METHODS)
def test_distances_whose_squares_overflow_or_vanish(method: str, factor: float) -> None:
    rng = np.random.default_rng(4)
    X, Z = rng.normal(size=(30, 2)), rng.normal(size=(5, 2))
    D, R = square_of(X, X), square_of(Z, X)
    found = []
    for scale in (1.0, factor):
        tree = shoal.linkage(shoal.distances(D * scale), method)
        cut = tree.cut(k=3)
        found.append(distances(tree, cut.nodes, cut.labels, R * scale) / scale)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-10)


def test_noise_is_in_no_cluster() -> None:
    X = np.array([[0.0], [1.0], [10.0], [11.0], [100.0]])
    tree = shoal.linkage(X, "average")
    cut = tree.cut(k=3)
    kept = cut.nodes[:2]
    labels = np.where(cut.labels < 2, cut.labels, -1)
    rows = square_of(np.array([[2.0]]), X)
    for method in METHODS:
        shapes = cluster_shapes(tree.merges, kept, labels, method, np.ones(5))
        assert distances_to_clusters(rows, shapes, method).shape == (1, 2)
    shapes = cluster_shapes(tree.merges, kept, labels, "average", np.ones(5))
    np.testing.assert_allclose(distances_to_clusters(rows, shapes, "average"), [[1.5, 8.5]])


@pytest.mark.parametrize("method", METHODS)
def test_no_new_item_gives_no_row(method: str) -> None:
    tree = shoal.linkage(np.arange(6.0)[:, None], method)
    cut = tree.cut(k=2)
    assert distances(tree, cut.nodes, cut.labels, np.empty((0, 6))).shape == (0, 2)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("method", "metric", "sparse"), [
    *((method, "euclidean", sparse) for method in EUCLIDEAN for sparse in (False, True)), ("average", "cosine", False),
    ("average", "cosine", True), ("average", "correlation", False)])
def test_by_means_is_by_rows(method: str, metric: str, sparse: bool, weighted: bool) -> None:
    from scipy.sparse import csr_array

    rng = np.random.default_rng(6)
    X, Z = rng.normal(size=(60, 5)) + 2, rng.normal(size=(9, 5)) * 3
    form: Any = csr_array if sparse else np.asarray
    data = shoal.points(form(X), metric, weights=rng.uniform(0.3, 4, 60) if weighted else None)
    tree = shoal.linkage(data, method)
    for k in (1, 4, 60):
        cut = tree.cut(k=k)
        ids, found = distances_of_new(tree.merges, method, tree.weights_or_ones, data, cut.nodes, cut.labels, form(Z))
        _, blocks = rows_of_new(data, form(Z))
        by_rows = np.vstack([distances(tree, cut.nodes, cut.labels, block) for block in blocks])
        np.testing.assert_allclose(found, by_rows, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(cut.predict(form(Z)).labels, by_rows.argmin(axis=1))
        assert ids == tuple(map(str, range(9)))


def test_means_leave_noise_out_and_measure_few_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    X = np.vstack([rng.normal(size=(20, 2)) + c for c in ((0, 0), (50, 0), (0, 50))])
    tree = shoal.linkage(X)
    cut = tree.cut(k=3)
    noisy = np.where(cut.labels < 2, cut.labels, -1)
    from shoal.data.metrics import Metric

    asked, between = [], Metric.between
    monkeypatch.setattr(Metric, "between", lambda self, A, B, *more: asked.append(len(B)) or between(self, A, B, *more))
    _, found = distances_of_new(tree.merges, "ward", np.ones(60), tree.data, cut.nodes[:2], noisy, X[:5])
    assert asked == [2]
    expected = [[math.sqrt(40 / 21) * np.linalg.norm(X[noisy == c].mean(axis=0) - z) for c in range(2)] for z in X[:5]]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_tree_that_does_not_know_its_method_or_data_says_so() -> None:
    from shoal.errors import InputError

    X = np.arange(6.0)[:, None]
    Z = shoal.linkage(X).to_scipy()
    with pytest.raises(InputError, match="method is not known"):
        shoal.Tree.from_scipy(Z).cut(k=2).predict(X)
    with pytest.raises(InputError, match="needs the data"):
        shoal.Tree.from_scipy(Z, method="ward").cut(k=2).predict(X)
