"""`KMeans` and `BisectingKMeans`: beside scikit-learn's, and what they have beyond them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from numpy.typing import NDArray
from scipy import sparse
from sklearn import cluster as theirs
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import shoal
from shoal.errors import InputError, ShoalWarning
from shoal.estimators.bisecting import BisectingKMeans
from shoal.estimators.centers import FewerClusters
from shoal.estimators.kmeans import KMeans, PartialFitLost

Floats = NDArray[np.float64]
NAN = np.nan


def blobs(n: int = 300, d: int = 4, k: int = 5, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + rng.normal(scale=6, size=(k, d))[rng.integers(0, k, n)]


# Beside scikit-learn 1.9.1.

@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_from_the_same_start_as_scikit_learn(dtype: Any, weighted: bool, form: Any) -> None:
    X = blobs().astype(dtype)
    weights = np.random.default_rng(1).random(len(X)) if weighted else None
    options: dict[str, Any] = {"init": X[:6], "n_init": 1, "tol": 0.0}
    ours = KMeans(6, **options).fit(form(X), sample_weight=weights)
    other = theirs.KMeans(6, **options).fit(form(X), sample_weight=weights)
    assert np.array_equal(ours.labels_, other.labels_)
    assert np.allclose(ours.cluster_centers_, other.cluster_centers_, rtol=1e-5 if dtype == np.float32 else 1e-9)
    assert ours.inertia_ == pytest.approx(other.inertia_, rel=1e-5)
    assert ours.cluster_centers_.dtype == ours.transform(form(X)).dtype == dtype
    assert ours.labels_.dtype == np.int32
    assert np.allclose(ours.transform(form(X)), other.transform(form(X)), atol=2e-3 if dtype == np.float32 else 1e-6)
    assert ours.score(form(X), sample_weight=weights) == pytest.approx(other.score(form(X), sample_weight=weights), rel=1e-5)
    assert np.array_equal(ours.predict(form(X[::-1])), other.predict(form(X[::-1])))


def test_weights_count_as_repeated_rows_and_zero_as_none() -> None:
    X, weights = blobs(), np.random.default_rng(1).integers(0, 4, 300)
    start = X[weights > 0][:5]
    weighted = KMeans(5, init=start, tol=0).fit(X, sample_weight=weights)
    repeated = KMeans(5, init=start, tol=0).fit(np.repeat(X, weights, axis=0))
    assert np.allclose(weighted.cluster_centers_, repeated.cluster_centers_)
    assert np.array_equal(np.repeat(weighted.labels_, weights), repeated.labels_)
    assert weighted.inertia_ == pytest.approx(repeated.inertia_)


def test_as_good_as_scikit_learn_from_its_own_starts() -> None:
    X = blobs(600, 6, 8)
    ours = [KMeans(8, random_state=seed).fit(X).inertia_ for seed in range(10)]
    other = [theirs.KMeans(8, random_state=seed).fit(X).inertia_ for seed in range(10)]
    assert min(ours) == pytest.approx(min(other))
    assert np.median(ours) <= 1.05 * np.median(other)


def test_stops_by_the_tolerance_of_scikit_learn() -> None:
    X = blobs(2000, 3, 1)
    for tol in (1e-1, 1e-2, 1e-3):
        ours = KMeans(7, init=X[:7], tol=tol).fit(X)
        other = theirs.KMeans(7, init=X[:7], n_init=1, tol=tol).fit(X)
        assert abs(ours.n_iter_ - other.n_iter_) <= 1
    assert KMeans(7, init=X[:7], max_iter=2).fit(X).n_iter_ == 2


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_the_mean_variance_is_scikit_learn_s(form: Any) -> None:
    from sklearn.cluster._kmeans import _tolerance

    from shoal.estimators.starts import tolerance

    X = blobs() + 100
    assert tolerance(form(X), 1e-4) == pytest.approx(_tolerance(form(X), 1e-4))
    assert tolerance(form(X), 0.0) == 0.0


def test_names_and_frames_and_pipelines() -> None:
    X = blobs()
    frame = pd.DataFrame(X, columns=list("abcd"), index=[f"row {i}" for i in range(len(X))])
    model = KMeans(3, random_state=0).set_output(transform="pandas").fit(frame)
    out = model.transform(frame)
    assert list(out.columns) == ["kmeans0", "kmeans1", "kmeans2"] == model.get_feature_names_out().tolist()
    assert list(model.feature_names_in_) == list("abcd")
    assert model.clusters_.members()[0][0] == "row 0"
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["b", "a", "c", "d"]])
    assert KMeans(3, random_state=0).fit(pl.DataFrame(X, schema=list("abcd"))).inertia_ == model.inertia_
    search = GridSearchCV(make_pipeline(StandardScaler(), KMeans(random_state=0)), {"kmeans__n_clusters": [2, 5]}, cv=2)
    assert search.fit(X).best_params_ == {"kmeans__n_clusters": 5}


def test_weights_are_routed() -> None:
    X, weights = blobs(), np.arange(300.0)
    with sklearn.config_context(enable_metadata_routing=True):
        pipe = make_pipeline(StandardScaler().set_fit_request(sample_weight=False),
                             KMeans(4, random_state=0).set_fit_request(sample_weight=True))
        routed = pipe.fit(X, sample_weight=weights)[-1]
    direct = KMeans(4, random_state=0).fit(StandardScaler().fit_transform(X), sample_weight=weights)
    assert np.array_equal(routed.cluster_centers_, direct.cluster_centers_)


# Starts.

@pytest.mark.parametrize("init", ["k-means++", "k-means||", "random"])
def test_clusters_are_numbered_as_they_appear(init: str) -> None:
    for seed in range(5):
        labels = KMeans(5, init=init, random_state=seed).fit(blobs()).labels_
        first = [int(np.argmax(labels == c)) for c in range(5)]
        assert first == sorted(first)


def test_a_given_start_keeps_its_order() -> None:
    X = np.array([[0.0], [1.0], [8.0], [9.0]])
    assert KMeans(2, init=[[9.0], [0.0]]).fit(X).labels_.tolist() == [1, 1, 0, 0]
    fitted = KMeans(2, init=[[9.0], [0.0]]).fit(X)
    assert KMeans(2, init=fitted).fit(X + 1).labels_.tolist() == [1, 1, 0, 0]

    def start(X: Any, k: int, random_state: np.random.RandomState) -> Any:
        assert isinstance(random_state, np.random.RandomState)
        return X[[3, 0]]

    assert sorted(KMeans(2, init=start).fit(X).cluster_centers_.ravel().tolist()) == [0.5, 8.5]
    with pytest.warns(RuntimeWarning, match="performing only one init"):
        KMeans(2, init=X[:2], n_init=3).fit(X)
    with pytest.raises(InputError, match="not fitted"):
        KMeans(2, init=clone(fitted)).fit(X)


def test_the_best_of_several_starts() -> None:
    X = blobs(400, 2, 12, seed=3)
    one = [KMeans(12, init="random", n_init=1, random_state=seed).fit(X).inertia_ for seed in range(8)]
    assert KMeans(12, init="random", random_state=0).fit(X).inertia_ <= sorted(one)[1]


def test_random_states() -> None:
    X = blobs()
    same = [KMeans(5, init="random", n_init=1, max_iter=1, random_state=state).fit(X).inertia_
            for state in (7, np.int64(7), np.random.default_rng(7))]
    assert same[0] == same[1] == same[2]
    rng = np.random.RandomState(7)
    old = [KMeans(5, init="random", n_init=1, max_iter=1, random_state=rng).fit(X).inertia_ for _ in range(3)]
    assert len(set(old)) > 1
    KMeans(5).fit(X)
    with pytest.raises(InputError, match="random_state='x'"):
        KMeans(5, random_state="x").fit(X)


def test_warm_start_goes_on() -> None:
    X = blobs(2000, 3, 1)
    model = KMeans(6, max_iter=3, random_state=0, warm_start=True, tol=0).fit(X)
    for _ in range(2):
        model.fit(X)
    start = KMeans(6, max_iter=3, random_state=0, tol=0).fit(X).cluster_centers_
    assert model.inertia_ == pytest.approx(KMeans(6, max_iter=6, init=start, tol=0).fit(X).inertia_, rel=1e-12)


@pytest.mark.large
def test_same_bits_for_any_number_of_threads() -> None:
    X, found = blobs(40_000), []
    try:
        for threads in (1, 2, 5):
            shoal.set_threads(threads)
            found.append(KMeans(6, random_state=0).fit(X))
    finally:
        shoal.set_threads(None)
    assert all(np.array_equal(one.cluster_centers_, found[0].cluster_centers_) for one in found)
    assert all(one.inertia_ == found[0].inertia_ for one in found)


# Fixed coordinates.

def test_six_features_are_fixed_and_one_is_free() -> None:
    rng = np.random.default_rng(0)
    fixed = np.concatenate([rng.normal(scale=10, size=(10, 6)), np.full((10, 1), NAN)], axis=1)
    X = np.nan_to_num(fixed)[rng.integers(0, 10, 500)] + rng.normal(size=(500, 7))
    model = KMeans(10, fixed_centers=fixed, random_state=0, tol=0).fit(X)
    assert np.array_equal(model.cluster_centers_[:, :6], fixed[:, :6])
    for c in range(10):
        assert model.cluster_centers_[c, 6] == pytest.approx(X[model.labels_ == c, 6].mean())
    assert np.array_equal(model.labels_, ((X[:, None] - model.cluster_centers_) ** 2).sum(axis=2).argmin(axis=1))


def test_whole_rows_are_fixed_and_labels_keep_their_rows() -> None:
    fixed = np.array([[NAN, NAN], [20.0, 20.0], [NAN, -20.0]])
    X = np.array([[20.0, 21.0], [1.0, 0.0], [3.0, 0.0], [4.0, -19.0], [6.0, -21.0]])
    model = KMeans(3, fixed_centers=fixed, random_state=0).fit(X)
    assert model.labels_.tolist() == [1, 0, 0, 2, 2]
    assert model.cluster_centers_.tolist() == [[2.0, 0.0], [20.0, 20.0], [5.0, -20.0]]
    start = KMeans(3, fixed_centers=fixed, init=np.ones((3, 2)), max_iter=1).fit(X).cluster_centers_
    assert np.array_equal(start[~np.isnan(fixed)], fixed[~np.isnan(fixed)])


def test_fixed_coordinates_of_directions() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 3))
    fixed = np.array([[0.6, NAN, NAN], [NAN, NAN, NAN], [0.0, 0.0, 1.0]])
    centers = KMeans(3, metric="cosine", fixed_centers=fixed, random_state=0).fit(X).cluster_centers_
    assert np.array_equal(centers[~np.isnan(fixed)], fixed[~np.isnan(fixed)])
    assert np.allclose(np.linalg.norm(centers, axis=1), 1.0)
    with pytest.raises(InputError, match=r"has length 1.2 already"):
        KMeans(1, metric="cosine", fixed_centers=[[1.2, NAN, NAN]]).fit(X)


# Cosine.

def unit(X: Any) -> Any:
    return X / np.linalg.norm(X, axis=1, keepdims=True)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_cosine_is_spherical(form: Any) -> None:
    rng = np.random.default_rng(2)
    X = np.abs(rng.normal(size=(200, 4))) * (rng.random((200, 4)) < 0.8) + [0.0, 0.0, 0.0, 0.01]
    X *= rng.lognormal(size=(200, 1))
    model = KMeans(4, metric="cosine", random_state=0, tol=0).fit(form(X))
    along = unit(X) @ model.cluster_centers_.T
    assert np.allclose(np.linalg.norm(model.cluster_centers_, axis=1), 1.0)
    assert np.array_equal(model.labels_, along.argmax(axis=1))
    assert model.inertia_ == pytest.approx((1 - along.max(axis=1)).sum())
    for c in range(4):
        assert np.allclose(model.cluster_centers_[c], unit(unit(X)[model.labels_ == c].sum(axis=0, keepdims=True))[0])
    assert np.allclose(model.transform(form(X)), np.arccos(np.minimum(along, 1.0)), atol=1e-7)
    assert np.array_equal(model.predict(form(X * 1e-3)), model.labels_), "length does not count"


def test_angles_keep_their_digits() -> None:
    model = KMeans.from_centers([[1.0, 0.0], [0.0, 2.0]], metric="cosine")
    assert np.allclose(model.transform([[1.0, 1e-9], [-1.0, 0.0]]), [[1e-9, np.pi / 2], [np.pi, np.pi / 2]], rtol=1e-9)


def test_rows_of_zeros_have_no_direction() -> None:
    X = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0], [3.0, 0.1], [0.0, 0.0]])
    with pytest.raises(InputError, match=r"2 rows are all zeros.* item 1\. .*zero_rows='noise'"):
        KMeans(2, metric="cosine").fit(X)
    for form in (X, sparse.csr_array(X)):
        model = KMeans(2, metric="cosine", zero_rows="noise", random_state=0).fit(form, sample_weight=[1, 5, 1, 1, 1])
        assert model.labels_.tolist() == [0, -1, 1, 0, -1]
        assert model.predict(form).tolist() == [0, -1, 1, 0, -1]
        assert np.isnan(model.transform(form)).any(axis=1).tolist() == [False, True, False, False, True]
        assert model.score(form) == pytest.approx(-model.inertia_)
        assert model.clusters_.members()[-1] == ["1", "4"]
    with pytest.raises(InputError, match="all zeros"):
        model.assign(X)


# Sizes.

def test_sizes_are_kept() -> None:
    X = blobs(n=100)
    model = KMeans(4, min_size=20, max_size=30, random_state=0).fit(X)
    assert 20 <= model.clusters_.sizes.min() <= model.clusters_.sizes.max() <= 30
    free = KMeans(4, random_state=0).fit(X)
    assert model.inertia_ > free.inertia_
    with pytest.raises(InputError, match="4 clusters of at least 26 items need 104 items; there are 100"):
        KMeans(4, min_size=26).fit(X)


# Models without a fit, new items, files.

def test_centers_set_by_hand() -> None:
    model = KMeans(2)
    with pytest.raises(NotFittedError):
        model.predict([[1.0, 2.0]])
    model.cluster_centers_ = np.array([[0.0, 0.0], [4.0, 4.0]])
    assert model.predict([[3.0, 3.0], [1.0, 1.0]]).tolist() == [1, 0]
    with pytest.raises(InputError, match="3 features"):
        model.predict([[1.0, 2.0, 3.0]])
    made = KMeans.from_centers([[0.0, 3.0], [2.0, 0.0]], metric="cosine")
    assert made.cluster_centers_.tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert made.clusters_of(shoal.points([[5.0, 1.0]], ids=["x"])).members() == {0: [], 1: ["x"]}


def test_predict_leaves_the_model_as_it_is() -> None:
    X = blobs()
    model = KMeans(4, random_state=0).fit(X)
    before = pickle.dumps(model)
    model.predict(X[:7])
    model.transform(X[:7])
    model.score(X[:7])
    model.clusters_of(X[:7])
    assert pickle.dumps(model) == before
    assert np.array_equal(model.predict(X), model.labels_)


def test_input_is_not_written_to() -> None:
    X = blobs()
    X.setflags(write=False)
    for options in ({}, {"metric": "cosine"}, {"min_size": 30}, {"copy_x": False}):
        KMeans(4, random_state=0, **options).fit(X).predict(X)
    BisectingKMeans(4, copy_x=False).fit(X).predict(X)


def test_scaled_carriers_scale_new_items() -> None:
    raw = shoal.read_file("examples/data/usarrests.csv", id="state")
    scaled = shoal.read_file("examples/data/usarrests.csv", id="state", scale="standard")
    for metric in ("euclidean", "cosine"):
        model = KMeans(4, random_state=0, metric=metric).fit(scaled)
        assert np.array_equal(model.predict(raw), model.labels_)
        assert np.array_equal(model.predict(scaled), model.labels_), "these are scaled already"
        assert model.assign(raw).ids == raw.ids
        assert model.clusters_of(raw).members() == model.clusters_.members()
    assert "Alabama" in model.clusters_.members()[0]


def test_nearest_cluster_and_margin() -> None:
    found = KMeans.from_centers([[0.0], [10.0], [13.0]]).assign([[2.0], [11.0]], ids=["a", "b"])
    assert (found.ids, found.labels.tolist(), found.distance.tolist(), found.margin.tolist()) == (
        ("a", "b"), [0, 1], [2.0, 1.0], [6.0, 1.0])


@pytest.mark.parametrize("model", [
    KMeans(4, random_state=0), KMeans(3, fixed_centers=np.array([[NAN] * 4, [0.0] * 4, [NAN] * 4])),
    KMeans(4, metric="cosine"), BisectingKMeans(4, random_state=0)], ids=["plain", "fixed", "cosine", "bisecting"])
def test_saved_and_loaded(model: Any, tmp_path: Path) -> None:
    X = blobs()
    model = clone(model).fit(shoal.points(X, ids=[f"i{i}" for i in range(300)]), sample_weight=np.arange(300.0))
    model.save(tmp_path / "model.shoal")
    again = shoal.load(tmp_path / "model.shoal")
    assert repr(again) == repr(model)
    assert np.array_equal(again.predict(X), model.predict(X))
    assert again.clusters_.members() == model.clusters_.members()
    assert again.inertia_ == model.inertia_
    if isinstance(model, BisectingKMeans):
        assert np.array_equal(again.tree_.merges.height, model.tree_.merges.height)


# What cannot be.

@pytest.mark.parametrize(("options", "says"), [
    ({"n_clusters": 0}, "n_clusters=0 was given. Give a whole number of at least 1"),
    ({"n_clusters": 2.0}, "n_clusters=2.0"),
    ({"n_clusters": 11}, "n_samples=10 should be >= n_clusters=11"),
    ({"max_iter": 0}, "max_iter=0"),
    ({"n_init": 0}, "n_init=0"),
    ({"tol": -1.0}, "tol=-1.0"),
    ({"tol": NAN}, "tol=nan"),
    ({"init": "kmeans++"}, "init='kmeans.*' is not known. Give one of 'k-means"),
    ({"metric": "cityblock"}, "metric='cityblock' is not known"),
    ({"algorithm": "hartigan"}, "hartigan"),
    ({"zero_rows": "keep"}, "zero_rows='keep'"),
    ({"half_life": 0}, "half_life=0"),
    ({"min_size": 0}, "min_size=0"),
    ({"init": np.zeros((3, 2))}, r"shape of the initial centers \(3, 2\) does not match the number of clusters 2"),
    ({"init": np.zeros((2, 3))}, r"shape of the initial centers \(2, 3\) does not match the number of features"),
    ({"init": [[NAN, 0.0], [1.0, 1.0]]}, "fixed_centers"),
    ({"init": [["a", "b"], ["c", "d"]]}, "cannot be read as numbers"),
    ({"fixed_centers": np.zeros((2, 3))}, "fixed_centers"),
    ({"fixed_centers": [[np.inf, 0.0], [NAN, NAN]]}, "infinity"),
])
def test_says_what_is_wrong(options: dict[str, Any], says: str) -> None:
    X = np.random.default_rng(0).random((10, 2))
    with pytest.raises(InputError, match=says):
        KMeans(**{"n_clusters": 2, **options}).fit(X)


@pytest.mark.parametrize("weights", [[-1.0, 1, 1], [NAN, 1, 1], [0.0, 0, 0], [1.0, 1]])
def test_weights_that_cannot_be(weights: Any) -> None:
    with pytest.raises(InputError):
        KMeans(1).fit(np.eye(3), sample_weight=weights)


@pytest.mark.parametrize("kind", [KMeans, BisectingKMeans])
def test_items_of_weight_zero_do_not_count_but_get_a_label(kind: Any) -> None:
    X = np.concatenate([blobs(50), [[1e3] * 4]])
    weights = np.append(np.ones(50), 0.0)
    model = kind(3, random_state=0).fit(X, sample_weight=weights)
    alone = kind(3, random_state=0).fit(X[:50])
    assert np.array_equal(model.cluster_centers_, alone.cluster_centers_)
    assert np.array_equal(model.labels_[:50], alone.labels_)
    assert np.array_equal(model.labels_, model.predict(X))
    with pytest.raises(InputError, match="Items of weight 0 do not count"):
        kind(3).fit(X, sample_weight=np.append(np.zeros(49), [1, 1]))


@pytest.mark.parametrize("kind", [KMeans, BisectingKMeans])
def test_fewer_distinct_items_than_clusters(kind: Any) -> None:
    X = np.repeat([[0.0, 1.0], [5.0, 5.0]], 4, axis=0)
    with pytest.warns(FewerClusters, match=r"distinct clusters \(2\) found smaller than n_clusters \(3\)") as caught:
        model = kind(3, random_state=0).fit(X)
    assert issubclass(caught[0].category, ConvergenceWarning)
    assert issubclass(caught[0].category, ShoalWarning)
    assert model.labels_.tolist() == [0] * 4 + [1] * 4
    assert model.inertia_ == 0.0
    with pytest.warns(FewerClusters):
        same = kind(2).fit(np.ones((5, 2)))
    assert same.labels_.tolist() == [0] * 5
    assert same.predict([[3.0, 3.0]]).tolist() == [0]
    assert kind(1).fit([[1.0, 2.0]]).cluster_centers_.tolist() == [[1.0, 2.0]]


# The tree of BisectingKMeans.

def test_the_tree_of_splits() -> None:
    X = blobs()
    model = BisectingKMeans(6, random_state=0, n_init=3).fit(X)
    assert model.tree_.n == 6
    assert model.tree_.weights.tolist() == np.bincount(model.labels_).tolist()
    two = model.tree_.cut(k=2).labels[model.labels_]
    first = BisectingKMeans(2, random_state=0, n_init=3).fit(X)
    assert len(set(zip(two.tolist(), first.labels_.tolist(), strict=True))) == 2
    assert np.array_equal(model.predict(X), model.labels_)


# Learning on.

def batches(X: Any, size: int) -> Iterator[Any]:
    return (X[i:i + size] for i in range(0, len(X), size))


def test_how_rows_are_cut_into_batches_does_not_matter() -> None:
    X = blobs(3000)
    whole = KMeans(5, random_state=0).partial_fit(X)
    parts = KMeans(5, random_state=0).fit_batches(batches(X, 70))
    assert np.array_equal(whole.cluster_centers_, parts.cluster_centers_)
    assert len(parts.labels_) == 3000 % 70
    assert np.array_equal(parts.labels_, parts.predict(X[-(3000 % 70):]))
    assert whole.inertia_ < 1.5 * KMeans(5, random_state=0).fit(X).inertia_


def test_every_source_of_batches(tmp_path: Path) -> None:
    X = blobs(2500)
    frame = pl.DataFrame(X, schema=list("abcd"))
    frame.with_columns(name=pl.lit("x")).write_csv(tmp_path / "rows.csv")
    frame.write_parquet(tmp_path / "rows.parquet")
    frame.write_ipc(tmp_path / "rows.arrow")
    np.save(tmp_path / "rows.npy", X)
    table = pa.table({name: X[:, j] for j, name in enumerate("abcd")})
    wanted = KMeans(5, random_state=0).partial_fit(X).cluster_centers_
    sources: list[Any] = [X, frame, table, batches(X, 333), np.load(tmp_path / "rows.npy", mmap_mode="r"),
                          pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=500)),
                          *(tmp_path / f"rows.{ending}" for ending in ("csv", "parquet", "arrow", "npy"))]
    for source in sources:
        assert np.allclose(KMeans(5, random_state=0).fit_batches(source).cluster_centers_, wanted, rtol=1e-12)
    thin = KMeans(5, random_state=0).fit_batches(sparse.csr_array(X))
    assert thin.cluster_centers_.shape == (5, 4)


def test_a_source_that_fails_leaves_what_was_learned() -> None:
    X = blobs(3000)

    def failing() -> Iterator[Any]:
        yield from batches(X[:2000], 500)
        raise OSError("the line went dead")

    model = KMeans(5, random_state=0)
    with pytest.raises(OSError, match="dead"):
        model.fit_batches(failing())
    wanted = KMeans(5, random_state=0).partial_fit(X[:2000]).cluster_centers_
    assert np.array_equal(model.cluster_centers_, wanted)
    for wrong in (X[:5, :3], [[NAN] * 4], [["a"] * 4]):
        with pytest.raises(ValueError):
            model.partial_fit(wrong)
        assert np.array_equal(model.cluster_centers_, wanted)
    with pytest.raises(InputError, match="no batch"):
        KMeans(5).fit_batches(iter([]))
    with pytest.raises(InputError, match="cannot be read in batches"):
        KMeans(5).fit_batches(5)


def test_goes_on_after_a_fit_and_warns_when_that_is_lost() -> None:
    X = blobs(1000)
    model = KMeans(5, random_state=0).fit(X)
    before = model.cluster_centers_.copy()
    model.partial_fit(X[:100] + 0.5)
    moved = np.abs(model.cluster_centers_ - before).max()
    assert 0 < moved < 0.5, "a tenth of the rows moves centres by less than half their shift"
    assert model.drift_ is not None
    with pytest.warns(PartialFitLost, match="fit_batches"):
        model.fit(X)
    assert np.array_equal(model.cluster_centers_, before)
    with pytest.raises(NotFittedError, match="no drift"):
        model.drift_  # noqa: B018


def test_few_rows_make_provisional_centres_or_none() -> None:
    model = KMeans(3, random_state=0).partial_fit([[0.0], [1.0]])
    with pytest.raises(NotFittedError):
        model.predict([[0.0]])
    model.partial_fit([[5.0]])
    assert sorted(model.cluster_centers_.ravel().tolist()) == [0.0, 1.0, 5.0]


def test_learning_goes_on_after_saving(tmp_path: Path) -> None:
    X = blobs(3000)
    model = KMeans(5, random_state=0, half_life=500.0).partial_fit(X[:1500])
    model.save(tmp_path / "model.shoal")
    wanted = KMeans(5, random_state=0, half_life=500.0).partial_fit(X).cluster_centers_
    for again in (shoal.load(tmp_path / "model.shoal"), copy.deepcopy(model)):
        assert np.array_equal(again.partial_fit(X[1500:]).cluster_centers_, wanted)


@pytest.mark.parametrize("options", [{"metric": "cosine"}, {"fixed_centers": [[NAN] * 4] * 4 + [[0.0, NAN, NAN, 3.0]]},
                                     {"half_life": 200.0}])
def test_options_hold_while_learning(options: dict[str, Any]) -> None:
    X = blobs(3000)
    model = KMeans(5, random_state=0, **options).fit_batches(batches(X, 500))
    if "metric" in options:
        assert np.allclose(np.linalg.norm(model.cluster_centers_, axis=1), 1.0)
    if "fixed_centers" in options:
        assert model.cluster_centers_[4, [0, 3]].tolist() == [0.0, 3.0]
    again = KMeans(5, random_state=0).partial_fit(X)
    assert not np.array_equal(again.cluster_centers_, model.cluster_centers_)


def test_long_indices_of_sparse_rows_are_read() -> None:
    X = sparse.random_array((60, 30), density=0.3, rng=np.random.default_rng(0), format="csr")
    wide = sparse.csr_array((X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)), shape=X.shape)
    short, long = (KMeans(3, random_state=0).fit(rows) for rows in (X, wide))
    np.testing.assert_array_equal(short.labels_, long.labels_)
    np.testing.assert_array_equal(short.cluster_centers_, long.cluster_centers_)
