"""Clusters: members under their own names, centres, medoids, tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
from shoal.errors import InputError
from shoal.treecut import TreeCut
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


def with_noise() -> TreeCut:
    tree = shoal.linkage([[0.0], [1.0], [10.0], [11.0], [100.0]], "average", ids=list("abcde"))
    cut = tree.cut(k=3)
    return TreeCut.of(tree, np.where(cut.labels < 2, cut.labels, -1), cut.nodes[:2], "k = 3")


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


def test_json_and_parquet(tmp_path: Any) -> None:
    import json

    import polars

    tree = shoal.linkage([[0.0], [5.0], [0.1]], ids=["007", "=b", "東京"])
    clusters = tree.cut(k=2)
    clusters.to_json(tmp_path / "out.json")
    text = (tmp_path / "out.json").read_text(encoding="utf-8")
    assert "東京" in text
    assert json.loads(text) == {
        "n": 3, "method": "ward", "metric": "euclidean", "how": "k = 2", "k": 2, "height": clusters.height, "noise": [],
        "clusters": [{"cluster": 0, "size": 2, "share": 2 / 3, "typical": "007", "members": ["007", "東京"]},
                     {"cluster": 1, "size": 1, "share": 1 / 3, "typical": "=b", "members": ["=b"]}]}
    bare = shoal.Tree.from_scipy(tree.to_scipy()).cut(k=2)
    assert [c["typical"] for c in bare.as_record()["clusters"]] == [None, None]
    clusters.to_parquet(tmp_path / "out.parquet")
    assert polars.read_parquet(tmp_path / "out.parquet").rows() == [("007", 0), ("=b", 1), ("東京", 0)]
    for write in (clusters.to_json, clusters.to_parquet):
        with pytest.raises(InputError, match="exists"):
            write(tmp_path / write.__name__.replace("to_", "out."))
        write(tmp_path / write.__name__.replace("to_", "out."), force=True)


@given(points(min_n=3), methods, st.data())
def test_one_cut_into_another(X: Any, method: str, data: st.DataObject) -> None:
    tree = shoal.linkage(X, method)
    one, other = (tree.cut(k=data.draw(st.integers(1, len(X)))) for _ in range(2))
    rows = one.into(other, like="polars").rows()
    pairs = list(zip(one.labels.tolist(), other.labels.tolist(), strict=True))
    assert [row[:2] for row in rows] == sorted(set(pairs))
    for c, o, items, share, share_of_other in rows:
        assert items == pairs.count((c, o))
        assert share == items / one.sizes[c]
        assert share_of_other == items / other.sizes[o]
    assert all(min(row[3], 1) == 1 or row[4] == 1 for row in rows)  # of two cuts of a tree, one lies within the other


def test_noise_goes_into_noise_and_other_items_are_refused() -> None:
    tree = shoal.linkage([[0.0], [1.0], [2.0], [50.0]], "single")
    some = TreeCut.of(tree, np.array([0, 0, 0, -1]), np.array([5]), "by hand")
    assert some.into(tree.cut(k=1), like="polars").rows() == [(-1, 0, 1, 1.0, 0.25), (0, 0, 3, 1.0, 0.75)]
    assert some.into(some, like="polars").rows() == [(-1, -1, 1, 1.0, 1.0), (0, 0, 3, 1.0, 1.0)]
    with pytest.raises(InputError, match="different items"):
        some.into(shoal.linkage([[0.0], [1.0]]).cut(k=1))


# --------------------------------------------------------------------------------------------------------------- describe


def three(n: int = 20) -> Any:
    return np.concatenate([np.random.default_rng(c).normal([9 * c, 0, 5], 1, (n, 3)) for c in range(3)])


@pytest.mark.parametrize("scale", [None, "standard", "minmax", "robust"])
def test_features_are_in_the_units_that_came_in(scale: str | None) -> None:
    X = three()
    clusters = shoal.linkage(shoal.points(X, scale=scale, columns=["wide", "flat", "five"])).cut(k=3)
    found = clusters.features(top=2)
    for row in found.rows:
        column = X[:, ["wide", "flat", "five"].index(row.feature)]
        assert row.inside == pytest.approx(column[clusters.labels == row.cluster].mean(), rel=1e-9, abs=1e-9)
        assert row.outside == pytest.approx(column[clusters.labels != row.cluster].mean(), rel=1e-9, abs=1e-9)
    assert len(found.rules) == 3
    assert len(found.rows) == 6
    assert scale is not None or found.rows[0].feature == "wide"


def test_of_many_features_those_that_differ_are_looked_at_also_when_sparse() -> None:
    from scipy import sparse

    rng = np.random.default_rng(0)
    X = rng.integers(0, 50, (30, 1000)).astype(float)
    X[:, 900:950] = np.repeat([[5.0], [90.0], [300.0]], 10, axis=0) + rng.normal(size=(30, 50))
    X[rng.random(X.shape) < 0.1] = 0
    labels = np.repeat([0, 1, 2], 10)
    labels[:2] = -1
    for data in (X, sparse.csr_array(X)):
        tree = shoal.linkage(shoal.points(data, scale="minmax"), "average")
        found = TreeCut.of(tree, labels, np.zeros(3, int), "by hand").features(top=3)
        assert {row.feature for row in found.rows if row.cluster == 2} <= {f"feature {j}" for j in range(900, 950)}
        for row in found.rows:
            column = X[:, int(row.feature.split()[1])]
            assert row.inside == pytest.approx(column[labels == row.cluster].mean(), rel=1e-9)
            assert row.outside == pytest.approx(column[labels != row.cluster].mean(), rel=1e-9)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_features_of_another_table(library: str) -> None:
    from shoal.data.tables import to_frame

    X = three()
    names = [f"i{i}" for i in range(60)]
    clusters = shoal.linkage(X, ids=names).cut(k=3)
    columns: dict[str, Any] = {
        "name": names, "town": ["Oslo" if i < 20 else "Rome" if i < 40 else None for i in range(60)],
        "age": np.where(np.arange(60) % 7, np.arange(60.0), np.nan), "member": np.arange(60) < 20}
    by_order = clusters.features(3, of=to_frame({name: columns[name] for name in ("town", "age", "member")}, library))
    turned = to_frame({name: list(values)[::-1] for name, values in columns.items()}, library)
    by_name = clusters.features(3, of=turned, id="name")
    assert by_order == by_name
    first = {(row.feature, row.level) for row in by_name.rows if row.cluster == 0}
    assert first == {("member", None), ("town", "Oslo"), ("town", "Rome")}
    age = columns["age"][20:40]
    inside = next(row.inside for row in by_name.rows if row.feature == "age")
    assert inside == pytest.approx(np.nanmean(age)) or inside == pytest.approx(np.nanmean(columns["age"][40:]))


def test_an_index_that_names_the_items_matches_rows() -> None:
    import pandas as pd

    clusters = shoal.linkage([[0.0], [0.1], [9.0], [9.2]], ids=["a", "b", "c", "d"]).cut(k=2)
    frame = pd.DataFrame({"x": [4, 3, 2, 1]}, index=["d", "c", "b", "a"])
    assert clusters.features(of=frame).rows[0].inside == 1.5
    assert clusters.features(of=frame.rename(index={"d": "e"})).rows[0].inside == 3.5  # other names: the order counts


@pytest.mark.parametrize(("frame", "id", "message"), [
    ({"x": [1, 2, 3]}, None, "3 rows"), ({"n": ["a", "b", "c"], "x": [1, 2, 3]}, "n", "lacks 1 of the 4 items, first 'd'"),
    ({"n": ["a", "b", "c", "d", "a"], "x": range(5)}, "n", "names 'a' twice"), ({"x": [1, 2, 3, 4]}, "n", "no column 'n'"),
    ({"t": ["p", "q", "r", "s"]}, None, "no column to describe"), ([[1], [2], [3], [4]], None, "data frame")])
def test_tables_that_do_not_fit(frame: Any, id: str | None, message: str) -> None:
    import polars as pl

    clusters = shoal.linkage([[0.0], [0.1], [9.0], [9.2]], ids=["a", "b", "c", "d"]).cut(k=2)
    with pytest.raises(InputError, match=message):
        clusters.features(of=pl.DataFrame(frame) if isinstance(frame, dict) else frame, id=id)


def test_features_and_terms_need_something_to_look_at() -> None:
    clusters = shoal.linkage(shoal.distances([1.0, 2.0, 3.0]), "average").cut(k=2)
    for call in (clusters.features, clusters.keywords):
        with pytest.raises(InputError, match="Give"):
            call()
        with pytest.raises(InputError, match="top=0"):
            call(0)
    bare = shoal.Tree.from_scipy(clusters.tree.to_scipy()).cut(k=2)
    with pytest.raises(InputError, match="needs the data"):
        bare.features()
    assert bare.keywords(terms=[[1, 0], [1, 0], [0, 1]], names=["x", "y"])[0].inside == 1.0


def test_key_terms_are_those_planted_scaled_or_not() -> None:
    from scipy import sparse

    counts = np.kron(np.eye(3, 6), np.ones((8, 1))) * 4 + np.random.default_rng(1).integers(0, 2, (24, 6))
    names = ["sea", "hill", "wood", "the", "of", "and"]
    for scale in (None, "minmax"):
        words = shoal.points(sparse.csr_array(counts), "cosine", columns=names, scale=scale)
        clusters = shoal.linkage(words, "average").cut(k=3)
        found = clusters.keywords(top=1)
        assert [(word.cluster, word.term) for word in found] == [(0, "sea"), (1, "hill"), (2, "wood")]
        assert [word.score for word in found] == pytest.approx([word.score for word in clusters.keywords(1, counts, names)])


@pytest.mark.parametrize(("terms", "names", "message"), [
    ([[1.0, 2.0]], None, "shape"), ([[1.0], [-1.0], [2.0]], None, "below 0"),
    ([[1.0], [1.0], [2.0]], ["a", "b"], "2 names")])
def test_terms_that_do_not_fit(terms: Any, names: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        shoal.linkage([[0.0], [1.0], [9.0]]).cut(k=2).keywords(terms=terms, names=names)


def test_a_cluster_may_be_empty(tmp_path: Path) -> None:
    model = shoal.KMeans.from_centers([[0.0, 0.0], [50.0, 50.0], [9.0, 9.0]])
    clusters = model.clusters_of(shoal.points([[0.0, 1.0], [9.0, 8.0], [1.0, 0.0]], ids=["a", "b", "c"]))
    assert clusters.sizes.tolist() == [2, 0, 1]
    assert clusters.medoids.tolist()[1] == -1
    assert clusters.typical_ids[1:] == [None, "b"]
    assert np.isnan(clusters.centers[1]).all()
    assert clusters.as_record()["clusters"][1]["typical"] is None
    clusters.to_excel(tmp_path / "c.xlsx")
