"""MDS as a scikit-learn estimator, on carriers, of new items, from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.utils.estimator_checks import parametrize_with_checks

import shoal
from shoal.errors import InputError
from shoal.estimators.files import load
from shoal.estimators.mds import MDS, METHODS


def expected_failures(estimator: MDS) -> dict[str, str]:
    if estimator.metric == "precomputed":
        return {"check_positive_only_tag_during_fit": "a negative distance is refused, in words of our own"}
    return {}


@parametrize_with_checks([MDS(1), *(MDS(1, metric="euclidean", method=method, max_iter=9) for method in METHODS[1:])],
                         expected_failed_checks=expected_failures)
def test_is_an_estimator(estimator: Any, check: Any) -> None:
    check(estimator)


def cloud(n: int = 40, seed: int = 0, d: int = 3) -> Any:
    return np.random.default_rng(seed).normal(size=(n, d)) * np.arange(d, 0, -1)


def kruskal(D: Any, X: Any) -> float:
    d = cdist(X, X)
    return float(np.sqrt(np.square(D - d).sum() / np.square(d).sum()))


@pytest.mark.parametrize("method", ["classical", "smacof", "landmark", "profiles"])
def test_says_how_well_distances_are_kept(method: str) -> None:
    D = cdist(cloud(), cloud(), "cityblock")
    before = D.copy()
    D.setflags(write=False)
    found = MDS(2, method=method, random_state=0).fit(D)
    assert np.array_equal(D, before)
    assert found.stress_ == pytest.approx(kruskal(D, found.embedding_))
    assert found.stress_error_ == 0.0
    assert found.stress_ == pytest.approx(np.sqrt(np.mean(found.item_stress_**2)))


def test_methods_are_in_their_order() -> None:
    """Least squares on distances beat scalar products; the order of distances alone leaves more freedom still."""
    D = cdist(cloud(), cloud(), "cityblock")
    by = {method: MDS(2, method=method, max_iter=2000, random_state=0).fit(D).stress_ for method in METHODS}
    assert by["nonmetric"] < by["smacof"] < by["classical"] < by["profiles"]


def test_an_item_placed_badly_stands_out() -> None:
    X = cloud(40, d=2)
    D = cdist(X, X)
    D[7] = D[:, 7] = np.random.default_rng(3).permutation(D[7])  # distances that no place in the plane has
    D[7, 7] = 0.0
    found = MDS(2, method="smacof").fit((D + D.T) / 2)
    assert found.item_stress_.argmax() == 7
    assert found.item_stress_[7] > 3 * found.stress_


def test_reports_how_far_distances_are_from_euclidean() -> None:
    D = cdist(cloud(30, d=5), cloud(30, d=5), "cityblock")
    J = np.eye(30) - 1 / 30
    values = np.linalg.eigvalsh(-0.5 * J @ D**2 @ J)
    found = MDS(3).fit(D)
    np.testing.assert_allclose(found.eigenvalues_, values[::-1][:3])
    np.testing.assert_allclose(found.explained_, values[::-1][:3] / np.abs(values).sum())
    assert found.least_eigenvalue_ == pytest.approx(values[0])
    assert found.negative_share_ == pytest.approx(-values[values < 0].sum() / np.abs(values).sum())
    assert MDS(3, metric="euclidean").fit(cloud()).negative_share_ == pytest.approx(0.0, abs=1e-9)


def test_of_euclidean_points_it_is_their_principal_components() -> None:
    from sklearn.decomposition import PCA

    X = cloud(50, d=4)
    scores = PCA(2).fit_transform(X)
    found = MDS(2, metric="euclidean").fit(X)
    signs = np.sign((scores * found.embedding_).sum(axis=0))
    np.testing.assert_allclose(found.embedding_, scores * signs, atol=1e-9)
    new = cloud(7, 4, 4)
    np.testing.assert_allclose(found.transform(new), PCA(2).fit(X).transform(new) * signs, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_old_items_are_placed_where_they_are(method: str) -> None:
    X = cloud(40)
    found = MDS(2, method=method, metric="cityblock", landmarks=25 if method in ("landmark", "profiles") else None,
                max_iter=5000, tol=1e-14, random_state=0).fit(X)
    np.testing.assert_allclose(found.transform(X), found.embedding_, atol=1e-2 if method == "nonmetric" else 1e-4)
    assert found.get_feature_names_out()[0] == "mds0"


def test_landmarks_of_euclidean_points_place_everyone_exactly() -> None:
    X, new = cloud(80), cloud(5, 3)
    found = MDS(3, method="landmark", metric="euclidean", landmarks=10, random_state=1).fit(X)
    assert len(found.landmarks_) == 10
    np.testing.assert_allclose(cdist(found.embedding_, found.embedding_), cdist(X, X), atol=1e-6)
    np.testing.assert_allclose(cdist(found.transform(new), found.embedding_), cdist(new, X), atol=1e-6)
    D = cdist(X, X)
    given = MDS(3, method="landmark", landmarks=found.landmarks_).fit(D)
    np.testing.assert_allclose(given.embedding_, found.embedding_, atol=1e-9)
    rows = cdist(new, X)
    np.testing.assert_allclose(given.transform(rows), given.transform(rows[:, found.landmarks_]), atol=1e-12)


def test_profiles_never_exaggerate() -> None:
    D = cdist(cloud(), cloud(), "cityblock")
    for landmarks in (7, None):
        found = MDS(method="profiles", landmarks=landmarks, random_state=0).fit(D)
        assert found.embedding_.shape == (40, landmarks or 40)
        np.testing.assert_allclose(found.embedding_, D[:, found.landmarks_] / np.sqrt(landmarks or 40))
        assert (cdist(found.embedding_, found.embedding_) <= D + 1e-9).all()


def test_more_starts_are_never_worse() -> None:
    D = cdist(cloud(20, d=8), cloud(20, d=8), "chebyshev")
    one = MDS(2, method="smacof", random_state=0).fit(D)
    many = MDS(2, method="smacof", n_init=6, random_state=0).fit(D)
    assert many.stress_ <= one.stress_ + 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_carriers(method: str) -> None:
    X, ids = cloud(15), [f"i{i}" for i in range(15)]
    D = cdist(X, X, "cityblock")
    whole = MDS(2, method=method).fit(D)
    for data in (shoal.distances(D, ids=ids), shoal.distances(D[np.triu_indices(15, 1)]),
                 shoal.points(X, "cityblock", ids=ids), shoal.similarities(1.0 - D / 50.0)):
        found = MDS(2, method=method).fit(data)
        scale = 50.0 if isinstance(data, shoal.data.records.Similarities) else 1.0
        if method != "nonmetric":
            np.testing.assert_allclose(found.embedding_ * scale, whole.embedding_, atol=1e-6)
        assert found.ids_ == data.ids
    rows = cdist(cloud(4, 2), X, "cityblock")
    found = MDS(2, method=method).fit(shoal.similarities(1.0 - D / 50.0))
    if method != "nonmetric":
        np.testing.assert_allclose(found.transform(1.0 - rows / 50.0) * 50.0, whole.transform(rows), atol=1e-3)


def test_items_of_any_kind_and_graphs() -> None:
    words = shoal.distances(["kitten", "sitting", "mitten", "sit"], pairwise="levenshtein")
    found = MDS(2).fit(words)
    assert found.transform(["kitten", "mitt"]).shape == (2, 2)
    np.testing.assert_allclose(found.transform(["kitten"]), found.embedding_[:1], atol=1e-9)
    roads = shoal.graph([("a", "b", 1.0), ("b", "c", 1.0), ("c", "d", 1.0)], kind="distance", missing="shortest_path")
    np.testing.assert_allclose(np.abs(np.diff(MDS(1).fit(roads).embedding_, axis=0)), 1.0)
    with pytest.raises(InputError, match="have no distance"):
        MDS(1).fit(shoal.graph([("a", "b", 1.0), ("b", "c", 1.0)], kind="distance"))


def test_weights_of_a_carrier_count() -> None:
    X = cloud(10)
    times = np.array([1, 2, 3, 1, 1, 4, 1, 1, 2, 1])
    D = cdist(X, X, "cityblock")
    at = np.repeat(np.arange(10), times)
    one = MDS(2, method="smacof").fit(shoal.distances(D, weights=times))
    many = MDS(2, method="smacof").fit(D[np.ix_(at, at)])
    np.testing.assert_allclose(one.embedding_[at], many.embedding_, atol=1e-6)
    assert one.stress_ == pytest.approx(many.stress_)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["points", "distances"])
def test_saved_and_loaded(tmp_path: Path, method: str, kind: str) -> None:
    X, new = cloud(20), cloud(5, 1)
    data = X if kind == "points" else cdist(X, X)
    rows = new if kind == "points" else cdist(new, X)
    model = MDS(2, method=method, metric="euclidean" if kind == "points" else "precomputed").fit(data)
    model.save(tmp_path / "m.shoal")
    again = load(tmp_path / "m.shoal")
    np.testing.assert_array_equal(again.embedding_, model.embedding_)
    assert again.stress_ == model.stress_
    np.testing.assert_allclose(again.transform(rows), model.transform(rows), atol=1e-12)
    model.save(tmp_path / "bare.shoal", data=False)
    if kind == "points":
        with pytest.raises(InputError, match="not at hand"):
            load(tmp_path / "bare.shoal").transform(rows)
    else:
        np.testing.assert_allclose(load(tmp_path / "bare.shoal").transform(rows), model.transform(rows), atol=1e-12)
        with pytest.raises(InputError, match=r"zero or above"):
            load(tmp_path / "bare.shoal").transform(-rows)


def test_same_bits_for_any_number_of_threads() -> None:
    D = cdist(cloud(80), cloud(80), "cityblock")
    for method in ("classical", "smacof", "landmark"):
        found = []
        for threads in (1, 2, 5):
            shoal.set_threads(threads)
            model = MDS(2, method=method, max_iter=5, random_state=0).fit(D)
            found.append((model.embedding_.tolist(), model.stress_, model.item_stress_.tolist()))
        shoal.set_threads(None)
        assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(("params", "message"), [
    ({"n_components": 0}, "n_components=0"), ({"n_components": 7}, "n_components=7 coordinates of n_samples=5"),
    ({"method": "isomap"}, "method='isomap'"), ({"tol": float("nan")}, "tol=nan"), ({"n_init": 0}, "n_init=0"),
    ({"method": "landmark", "landmarks": 6}, "landmarks=6 of n_samples=5"),
    ({"method": "landmark", "landmarks": [0, 0]}, "positions of different items"),
    ({"method": "landmark", "landmarks": [0, 5]}, "positions of different items"),
    ({"method": "landmark", "landmarks": 1}, "1 landmarks have no n_components=2"),
])
def test_refuses_parameters(params: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MDS(**params).fit(cdist(cloud(5), cloud(5)))


def test_refuses_data() -> None:
    from scipy import sparse

    with pytest.raises(InputError, match="sparse array was given as distances"):
        MDS().fit(sparse.csr_array(np.eye(3)))
    with pytest.raises(InputError, match="square matrix"):
        MDS().fit(np.ones((3, 2)))
    with pytest.raises(ValueError, match="expecting 6 features"):
        MDS().fit(cdist(cloud(6), cloud(6))).transform(np.ones((2, 5)))
