"""`KMedoids`: what it reads, what it learns, new items in every form, model files; and scikit-learn's own checks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial.distance import cdist, squareform
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

import shoal
from shoal.centers import medoids
from shoal.centers.medoids import fasterpam
from shoal.errors import InputError, ShoalWarning, TooLargeError
from shoal.estimators.files import load
from shoal.estimators.kmedoids import KMedoids
from shoal.runtime import memory

Floats = NDArray[np.float64]

APPEARANCE = "clusters are numbered as they first appear, which shuffled rows change; but for that it holds, and is tested"
EXPECTED = {"check_sample_weight_equivalence_on_dense_data": APPEARANCE,
            "check_sample_weight_equivalence_on_sparse_data": APPEARANCE}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([KMedoids(3), KMedoids(None, max_k=3, init="random", metric="cityblock")],
                         expected_failed_checks=lambda one: EXPECTED)
def test_scikit_learn(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


def groups(n: int = 120, d: int = 3, k: int = 4, seed: int = 0) -> Floats:
    """Draw points in k groups."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + rng.normal(scale=9, size=(k, d))[rng.integers(0, k, n)]


def test_points() -> None:
    X = groups()
    model = KMedoids(4).fit(X)
    D = cdist(X, X)
    np.testing.assert_array_equal(model.cluster_centers_, X[model.medoid_indices_])
    np.testing.assert_array_equal(model.labels_, D[:, model.medoid_indices_].argmin(axis=1))
    assert model.inertia_ == pytest.approx(D[:, model.medoid_indices_].min(axis=1).sum(), rel=1e-12)
    firsts = [int(np.flatnonzero(model.labels_ == c)[0]) for c in range(4)]
    assert firsts == sorted(firsts)
    assert model.labels_.dtype == np.int32
    assert model.curve_ is None
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    np.testing.assert_allclose(model.transform(X), D[:, model.medoid_indices_], rtol=1e-12)
    np.testing.assert_allclose(KMedoids(4).fit_transform(X), D[:, model.medoid_indices_], rtol=1e-12)
    assert list(model.get_feature_names_out()) == [f"kmedoids{c}" for c in range(4)]


@pytest.mark.parametrize("metric", ["cosine", "chebyshev", "minkowski", "jensenshannon"])
def test_metrics_and_functions(metric: str) -> None:
    X = np.abs(groups()) + 0.1
    model = KMedoids(3, metric=metric).fit(X)
    np.testing.assert_allclose(model.transform(X[:9]), cdist(X[:9], X[model.medoid_indices_], metric), rtol=1e-9, atol=1e-12)
    called = KMedoids(3, metric=lambda x, y: float(cdist(x[None], y[None], metric)[0, 0])).fit(X[:40])
    np.testing.assert_array_equal(called.medoid_indices_, KMedoids(3, metric=metric).fit(X[:40]).medoid_indices_)


def test_single_precision_stays() -> None:
    X = groups().astype(np.float32)
    model = KMedoids(4).fit(X)
    assert model.cluster_centers_.dtype == model.transform(X).dtype == model.fit_transform(X).dtype == np.float32
    np.testing.assert_array_equal(model.labels_, KMedoids(4).fit(X.astype(np.float64)).labels_)


def test_sparse_rows_in_and_out() -> None:
    X = np.where(groups() > 2, groups(), 0.0)
    dense, thin = KMedoids(4).fit(X), KMedoids(4).fit(sparse.csr_array(X))
    np.testing.assert_array_equal(dense.labels_, thin.labels_)
    assert sparse.issparse(thin.cluster_centers_)
    for model in (dense, thin):
        for form in (np.asarray, sparse.csr_array):
            np.testing.assert_allclose(model.transform(form(X)), dense.transform(X), rtol=1e-12)


def test_names_and_clusters() -> None:
    frame = pd.DataFrame(groups(), columns=list("abc"), index=[f"item {i}" for i in range(120)])
    model = KMedoids(4).fit(frame)
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    clusters = model.clusters_
    assert clusters.ids[:2] == ("item 0", "item 1")
    assert clusters.source["method"] == "k-medoids"
    np.testing.assert_array_equal(clusters.medoids, model.medoid_indices_)
    new = clusters.predict(frame.iloc[:5] + 0.01)
    np.testing.assert_array_equal(new.labels, model.labels_[:5])
    assert (new.margin > 0).all()


def test_a_matrix_and_new_items_as_rows_of_it_or_to_the_medoids_alone() -> None:
    X = groups()
    D = squareform(squareform(cdist(X, X), checks=False))
    model = KMedoids(4, metric="precomputed").fit(D)
    np.testing.assert_array_equal(model.medoid_indices_, KMedoids(4).fit(X).medoid_indices_)
    assert model.cluster_centers_ is None
    new = cdist(groups(7, seed=0)[::-1] + 0.3, X)
    np.testing.assert_array_equal(model.transform(new), new[:, model.medoid_indices_])
    np.testing.assert_array_equal(model.transform(new[:, model.medoid_indices_]), new[:, model.medoid_indices_])
    for wrong in (new[:, :9], -new, new[0]):
        with pytest.raises(ValueError, match=r"features|egative|2D"):
            model.predict(wrong)
    with pytest.raises(InputError, match="square"):
        KMedoids(4, metric="precomputed").fit(new)
    with pytest.raises(InputError, match="points were given"):
        KMedoids(4, metric="precomputed").fit(shoal.points(X))


def test_carriers() -> None:
    X = groups()
    D = squareform(squareform(cdist(X, X), checks=False))
    expected, far = KMedoids(4).fit(X), float(D.max())
    names = [f"n{i}" for i in range(120)]
    similar = shoal.similarities(far - D, "max-s")
    for data in (shoal.distances(D, ids=names), shoal.distances(squareform(D), ids=names), shoal.points(X, ids=names)):
        model = KMedoids(4).fit(data)
        np.testing.assert_array_equal(model.medoid_indices_, expected.medoid_indices_)
        assert model.clusters_.ids[5] == "n5"
    by_similarity = KMedoids(4).fit(similar)
    np.testing.assert_array_equal(by_similarity.medoid_indices_, expected.medoid_indices_)
    np.testing.assert_array_equal(by_similarity.predict((far - D)[:30]), expected.labels_[:30])
    np.testing.assert_array_equal(by_similarity.predict(D[:30, expected.medoid_indices_]), expected.labels_[:30])
    with pytest.raises(InputError, match="to every old item"):
        by_similarity.predict(D[:30, :9])
    cosine = KMedoids(4).fit(shoal.points(X, "cosine", scale="standard"))
    assert cosine.metric_ == "cosine"
    np.testing.assert_array_equal(cosine.predict(X), cosine.labels_)
    words = KMedoids(2).fit(shoal.distances(["kitten", "mitten", "sitting", "alpha", "alpine"], pairwise="levenshtein"))
    assert words.predict(["bitten", "alpen"]).tolist() == [words.labels_[0], words.labels_[3]]


def test_the_number_of_clusters_is_chosen_and_the_whole_curve_kept() -> None:
    corners = np.array([[0, 0], [20, 0], [0, 20], [20, 20], [50, 50]])
    X = np.random.default_rng(3).normal(size=(120, 2)) + corners[np.arange(120) % 5]
    model = KMedoids(None, max_k=9).fit(X)
    assert model.curve_ is not None
    assert model.curve_[:, 0].tolist() == list(range(2, 10))
    assert 2 + int(np.argmax(model.curve_[:, 1])) == 5
    np.testing.assert_array_equal(model.labels_, np.arange(120) % 5)
    two = np.sort(cdist(X, X[model.medoid_indices_]), axis=1)
    assert model.curve_[3, 1] == pytest.approx(np.mean(1 - two[:, 0] / two[:, 1]), rel=1e-12)
    assert KMedoids(None).fit(X[:12]).curve_[-1, 0] == 11  # no more than items but one
    one = KMedoids(5, method="fastmsc").fit(X)
    assert one.curve_.shape == (1, 2)


@pytest.mark.large
def test_methods() -> None:
    X = groups(400, seed=2)
    losses = {method: KMedoids(4, method=method, random_state=0).fit(X).inertia_
              for method in ("fasterpam", "alternate", "fasterclara", "fastmsc")}
    assert losses["fasterpam"] == min(losses.values())
    assert losses["fasterclara"] == losses["fasterpam"]  # fewer items than a sample has
    tough = groups(300, 2, 30, 5)
    stuck = KMedoids(30, method="alternate", init="random", random_state=0).fit(tough)
    assert stuck.inertia_ > KMedoids(30).fit(tough).inertia_


@pytest.mark.large
def test_more_than_memory_holds_is_sampled_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    X = groups(600)
    whole = KMedoids(4).fit(X).inertia_
    monkeypatch.setattr(medoids, "SAMPLE", 100)
    monkeypatch.setattr(memory, "available_bytes", lambda: 100_000)
    with pytest.warns(ShoalWarning, match="Medoids of samples"):
        model = KMedoids(4, random_state=0).fit(X)
    assert whole <= model.inertia_ < 1.1 * whole
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    for method in ("alternate", "fastmsc"):
        with pytest.raises(TooLargeError, match="600 items"):
            KMedoids(4, method=method).fit(X)


@pytest.mark.large
def test_starts_and_random_states() -> None:
    X = groups(200, 2, 9)
    several = KMedoids(9, init="random", n_init=8, random_state=0).fit(X)
    rng = np.random.default_rng(0)
    assert several.inertia_ == min(fasterpam(shoal.points(X), 9, rng, init="random").loss for _ in range(8))
    for init in ("lab", "k-medoids++", "random"):
        one, other = (KMedoids(9, init=init, random_state=3).fit(X) for _ in range(2))
        np.testing.assert_array_equal(one.medoid_indices_, other.medoid_indices_)
    again = KMedoids(9, init=several.medoid_indices_).fit(X)
    np.testing.assert_array_equal(again.medoid_indices_, several.medoid_indices_)
    assert again.n_iter_ == 1


def test_weights_are_repeated_items() -> None:
    X = groups(60)
    counts = np.random.default_rng(1).integers(0, 4, 60)
    weighted = KMedoids(4).fit(X, sample_weight=counts)
    often = KMedoids(4).fit(np.repeat(X, counts, axis=0))
    assert weighted.inertia_ == pytest.approx(often.inertia_, rel=1e-12)
    key = np.lexsort(often.cluster_centers_.T)
    np.testing.assert_array_equal(weighted.cluster_centers_[np.lexsort(weighted.cluster_centers_.T)],
                                  often.cluster_centers_[key])


@pytest.mark.parametrize("data", [True, False])
def test_model_files(data: bool, tmp_path: Path) -> None:
    X = groups()
    D = squareform(squareform(cdist(X, X), checks=False))
    V = X.var(axis=0, ddof=1)
    whole = [KMedoids(4, metric="seuclidean").fit(X), KMedoids(4).fit(shoal.points(X, "cosine")),
             KMedoids(None, max_k=5).fit(sparse.csr_array(X)), KMedoids(4, metric="precomputed").fit(D)]
    for i, model in enumerate(whole):
        new = D[:9] if i == 3 else X[:9]
        model.save(tmp_path / f"{i}.shoal", data=data)
        found = load(tmp_path / f"{i}.shoal")
        np.testing.assert_array_equal(found.predict(new), model.predict(new))
        np.testing.assert_array_equal(found.transform(new), model.transform(new))
        np.testing.assert_array_equal(found.labels_, model.labels_)
        assert found.get_params() == model.get_params()
        assert (found.curve_ is None) == (i != 2)
    np.testing.assert_allclose(whole[0].transform(X), cdist(X, whole[0].cluster_centers_, "seuclidean", V=V), rtol=1e-12)
    similar = KMedoids(4).fit(shoal.similarities(1 / (1 + D)))
    similar.save(tmp_path / "similar.shoal")
    found = load(tmp_path / "similar.shoal")
    with pytest.raises(InputError, match="similarities it was fitted on"):
        found.predict(1 / (1 + D))
    np.testing.assert_array_equal(found.predict(D[:, similar.medoid_indices_]), D[:, similar.medoid_indices_].argmin(axis=1))


def test_copies_and_clones() -> None:
    model = KMedoids(3, init="lab", random_state=1).fit(groups())
    np.testing.assert_array_equal(copy.deepcopy(model).labels_, model.labels_)
    with pytest.raises(NotFittedError):
        clone(model).predict(groups())


def test_what_cannot_be_asked() -> None:
    X = groups(20)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"n_clusters": 0}, "n_clusters"), ({"n_clusters": 21}, "n_samples=20"), ({"method": "pam"}, "pam"),
        ({"init": "heuristic"}, "heuristic"), ({"n_init": 0}, "n_init"), ({"max_iter": 0}, "max_iter"),
        ({"n_clusters": None, "max_k": 1}, "max_k"), ({"n_clusters": 1, "method": "fastmsc"}, "compares"),
        ({"n_clusters": None, "method": "alternate"}, "n_clusters=None"), ({"metric": "far"}, "far"),
        ({"random_state": "x"}, "random_state")]
    for options, match in wrong:
        with pytest.raises(InputError, match=match):
            KMedoids(**options).fit(X)
    with pytest.raises(InputError, match="too few"):
        KMedoids(None).fit(X[:2])
