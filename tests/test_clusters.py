"""Clusters: members under their own names, centres, medoids, tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
from shoal.clusters import Clusters
from shoal.errors import InputError
from strategies import METHODS, methods, points


def cloud(n: int = 40, d: int = 3) -> Any:
    return np.random.default_rng(n).normal(size=(n, d))


def square_of(X: Any) -> Any:
    return np.sqrt(((X[:, None, :] - X[None, :, :]) ** 2).sum(axis=2))


@given(points(min_n=3), methods, st.data())
def test_members_indices_and_sizes_agree(X: Any, method: str, data: st.DataObject) -> None:
    names = [f"i{i}" for i in range(len(X))]
    k = data.draw(st.integers(1, len(X)))
    clusters = shoal.linkage(X, method, ids=names).cut(k=k)
    members = clusters.members()
    assert list(members) == list(range(k))
    for c in range(k):
        at = [i for i in range(len(X)) if clusters.labels[i] == c]
        assert clusters.indices(c).tolist() == at
        assert members[c] == [names[i] for i in at]
        assert clusters.sizes[c] == len(at)
        assert set(clusters.tree.members(int(clusters.nodes[c]))) == set(members[c])
    assert (clusters.k, len(clusters)) == (k, len(X))
    assert clusters.ids == tuple(names)


def test_repr_says_how_many_and_how() -> None:
    tree = shoal.linkage([[0.0], [0.1], [5.0]], "single", ids=["a", "b", "c"])
    assert repr(tree.cut(k=2)) == "Clusters(k=2, n=3, k = 2, sizes=[2, 1])"
    assert repr(tree.cut(height=0.5)) == "Clusters(k=2, n=3, height 0.5, sizes=[2, 1])"


@pytest.mark.parametrize("cluster", [-1, 2, 99])
def test_a_cluster_that_is_not_there_is_refused(cluster: int) -> None:
    with pytest.raises(InputError, match="clusters 0 to 1"):
        shoal.linkage([[0.0], [0.1], [5.0]]).cut(k=2).indices(cluster)


def with_noise() -> Clusters:
    tree = shoal.linkage([[0.0], [1.0], [10.0], [11.0], [100.0]], "average", ids=list("abcde"))
    cut = tree.cut(k=3)
    return Clusters(np.where(cut.labels < 2, cut.labels, -1), cut.nodes[:2], tree, "k = 3")


def test_noise_has_a_place_of_its_own() -> None:
    clusters = with_noise()
    assert clusters.members() == {0: ["a", "b"], 1: ["c", "d"], -1: ["e"]}
    assert clusters.sizes.tolist() == [2, 2]
    np.testing.assert_allclose(clusters.centers, [[0.5], [10.5]])
    assert clusters.medoids.tolist() == [0, 2]
    assert np.isnan(clusters.silhouette().values[4])
    assert clusters.predict([[3.0], [90.0]]).labels.tolist() == [0, 1]


# ------------------------------------------------------------------------------------------------------ centres, medoids


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [1, 4, 40])
def test_centres_are_means(k: int, weighted: bool, dtype: Any) -> None:
    from scipy import sparse

    X, w = cloud().astype(dtype), np.random.default_rng(1).uniform(0.5, 4, 40)
    for data in (X, sparse.csr_array(X)):
        clusters = shoal.linkage(data, weights=w if weighted else None).cut(k=k)
        expected = [np.average(X[clusters.indices(c)].astype(float), axis=0,
                               weights=w[clusters.indices(c)] if weighted else None) for c in range(k)]
        np.testing.assert_allclose(clusters.centers, expected, rtol=1e-12, atol=1e-15)
        assert clusters.centers.dtype == np.float64


def test_centres_of_scaled_data_are_scaled() -> None:
    X = cloud() * [1, 100, 1e4] + 7
    clusters = shoal.linkage(shoal.points(X, scale="standard")).cut(k=3)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    np.testing.assert_allclose(clusters.centers, [Z[clusters.indices(c)].mean(axis=0) for c in range(3)], rtol=1e-9,
                               atol=1e-12)


def test_centres_far_from_zero_keep_their_digits() -> None:
    X = np.array([[1e16], [1e16 + 2], [1e16 + 4], [0.0]])
    assert shoal.linkage(X).cut(k=2).centers[0, 0] == pytest.approx(1e16 + 2, abs=2)
    huge = np.array([[1.5e308], [1.6e308], [0.0]])
    assert shoal.linkage(huge, "single", "cityblock").cut(k=2).centers[0, 0] == pytest.approx(1.55e308)


def test_a_matrix_has_no_centres() -> None:
    clusters = shoal.linkage(shoal.distances([1.0, 2.0, 3.0]), "average").cut(k=2)
    with pytest.raises(InputError, match="medoids"):
        _ = clusters.centers
    bare = shoal.Tree.from_scipy(clusters.tree.to_scipy()).cut(k=2)
    for name in ("centers", "medoids"):
        with pytest.raises(InputError, match="needs the data"):
            getattr(bare, name)
    with pytest.raises(InputError, match="needs the data"):
        bare.silhouette()


@given(points(min_n=3, max_n=15), st.booleans(), st.data())
def test_a_medoid_has_the_least_summed_distance(X: Any, weighted: bool, data: st.DataObject) -> None:
    n = len(X)
    w = np.array(data.draw(st.lists(st.integers(1, 4), min_size=n, max_size=n)), float) if weighted else np.ones(n)
    tree = shoal.linkage(X, "average", weights=w if weighted else None)
    D = square_of(X)
    for k in {1, 2, n}:
        clusters = tree.cut(k=k)
        for c, medoid in enumerate(clusters.medoids.tolist()):
            at = clusters.indices(c)
            sums = D[np.ix_(at, at)] @ w[at]
            assert medoid in at
            assert sums[at.tolist().index(medoid)] <= sums.min() * (1 + 1e-12)


def test_of_equal_medoids_the_first_is_taken() -> None:
    clusters = shoal.linkage([[0.0], [1.0], [50.0], [51.0], [52.0]], "single").cut(k=2)
    assert clusters.medoids.tolist() == [0, 3]


def test_medoids_of_a_matrix_are_those_of_its_points() -> None:
    X = cloud()
    by_points = shoal.linkage(X, "average").cut(k=5)
    for data in (shoal.distances(square_of(X)), shoal.similarities(10 - square_of(X))):
        found = shoal.linkage(data, "average").cut(k=5)
        assert found.medoids.tolist() == by_points.medoids.tolist()


# ---------------------------------------------------------------------------------------------------------------- tables


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_table_in_any_library(library: str) -> None:
    tree = shoal.linkage([[0.0], [5.0], [0.1]], "single", ids=["007", "=b", "c"])
    frame = tree.cut(k=2).to_frame(library)
    if library == "polars":
        found = frame.to_dict(as_series=False)
    elif library == "pyarrow":
        found = frame.to_pydict()
    else:
        found = frame.to_dict("list")
    assert found == {"id": ["007", "=b", "c"], "cluster": [0, 1, 0]}


def test_without_any_library_a_table_is_a_dict(monkeypatch: pytest.MonkeyPatch) -> None:
    from shoal.data import tables

    monkeypatch.setattr(tables, "_usual_library", lambda: None)
    frame = shoal.linkage([[0.0], [5.0], [0.1]], "single", ids=["007", "=b", "c"]).cut(k=2).to_frame()
    assert {name: column.tolist() for name, column in frame.items()} == {"id": ["007", "=b", "c"], "cluster": [0, 1, 0]}


def test_a_table_like_a_frame() -> None:
    import pandas as pd
    import polars as pl

    clusters = shoal.linkage([[0.0], [5.0], [0.1]]).cut(k=2)
    assert isinstance(clusters.to_frame(pd.DataFrame({"x": [1]})), pd.DataFrame)
    assert isinstance(clusters.to_frame(pl.DataFrame({"x": [1]})), pl.DataFrame)


def test_a_csv_is_sorted_by_cluster(tmp_path: Any) -> None:
    tree = shoal.linkage([[0.0], [5.0], [0.1]], ids=["x", "y", "z"])
    tree.cut(k=2).to_csv(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text(encoding="utf-8-sig").split() == ["id,cluster", "x,0", "z,0", "y,1"]
    with pytest.raises(InputError, match="exists"):
        tree.cut(k=2).to_csv(tmp_path / "out.csv")


@pytest.mark.parametrize("method", METHODS)
def test_clusters_of_one_item_and_of_all(method: str) -> None:
    X = cloud(6)
    tree = shoal.linkage(X, method)
    alone, whole = tree.cut(k=6), tree.cut(k=1)
    assert alone.medoids.tolist() == tree.order().tolist()
    np.testing.assert_array_equal(alone.centers, X[tree.order()])
    np.testing.assert_allclose(whole.centers, [X.mean(axis=0)], rtol=1e-12)
    one = shoal.linkage(X[:1], method).cut(k=1)
    assert (one.medoids.tolist(), one.members(), one.sizes.tolist()) == ([0], {0: ["0"]}, [1])
    assert one.predict(X[:2]).labels.tolist() == [0, 0]


def test_a_summary_of_many_points_takes_no_distances_of_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    import shoal.clusters as module

    X = np.random.default_rng(0).normal(size=(90, 2))
    few = shoal.linkage(X).cut(k=3)
    assert few.typical.tolist() == few.medoids.tolist()
    monkeypatch.setattr(module, "EXACT", 50)
    many = shoal.linkage(X).cut(k=3)
    expected = [int(at[np.argmin(((X[at] - X[at].mean(axis=0)) ** 2).sum(axis=1))]) for at in map(many.indices, range(3))]
    assert many.typical.tolist() == expected
    assert "silhouette" not in many._summary_columns()
