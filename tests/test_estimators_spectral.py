"""`Spectral` as a scikit-learn estimator: its checks, every door, new items, messages, model files."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.utils.estimator_checks import parametrize_with_checks

import shoal
from naive.spectral import numbered
from shoal.errors import InputError, ShoalWarning
from shoal.estimators.files import load
from shoal.estimators.spectral import Spectral
from shoal.graphs.neighbors import neighbors
from strategies import read_only


def groups(n: int = 150, k: int = 3, d: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % k
    return (rng.normal(size=(k, d)) * 4)[truth] + rng.normal(size=(n, d)) * 0.7, truth


def near(A: Any, B: Any) -> np.ndarray:
    return rbf_kernel(A, B, 0.1)


def failing_checks(estimator: Spectral) -> dict[str, str]:
    if estimator.affinity != "precomputed":
        return {}
    return {"check_clustering": "gives a pairwise estimator 50 x 2 points, which is no square matrix"}


@parametrize_with_checks([Spectral(), Spectral(3, affinity="neighbors"), Spectral(3, affinity="gaussian")],
                         expected_failed_checks=failing_checks)
def test_as_scikit_learn_wants_it(estimator: Spectral, check: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's own, about what it is checking
        check(estimator)


@pytest.mark.parametrize("options", [
    {"affinity": "neighbors"}, {"affinity": "gaussian"}, {"affinity": "gaussian", "scale": 1.5}, {"affinity": near},
    {"affinity": "neighbors", "landmarks": 30, "random_state": 0},
], ids=["neighbors", "gaussian", "scale", "function", "landmarks"])
def test_points_are_clustered_and_new_ones_placed(options: dict[str, Any]) -> None:
    X, truth = groups()
    model = Spectral(3, **options).fit(read_only(X))
    assert adjusted_rand_score(truth, model.labels_) == 1.0
    assert model.labels_.tolist() == numbered(truth)
    assert model.labels_.dtype == np.int32
    new, where = groups(60)
    assert adjusted_rand_score(where, model.predict(new)) == 1.0
    assert np.array_equal(model.predict(X), model.labels_)
    assert np.array_equal(model.predict(X[7:8]), model.labels_[7:8])  # whatever comes with it
    found = model.assign(new[:5], ids=list("abcde"))
    assert found.ids == tuple("abcde")
    assert (found.margin > 0).all()
    assert model.embedding_.shape == (150, 3)
    np.testing.assert_allclose(np.linalg.norm(model.embedding_, axis=1), 1)
    assert model.gaps_.shape == (len(model.eigenvalues_) - 1,)


def test_similarities_come_through_every_door_with_the_same_labels() -> None:
    X, truth = groups(80)
    S = near(X, X)
    i, j = np.triu_indices(80, 1)
    doors = [S, S.astype(np.float32), S.tolist(), shoal.similarities(S), shoal.similarities(S[i, j]), sparse.csr_array(S),
             shoal.graph(list(zip(i.tolist(), j.tolist(), S[i, j].tolist(), strict=True)))]
    first = Spectral(3).fit(doors[0])
    assert first.labels_.tolist() == numbered(truth)
    for door in doors[1:]:
        model = Spectral(3).fit(door)
        assert np.array_equal(model.labels_, first.labels_)
        np.testing.assert_allclose(model.eigenvalues_, first.eigenvalues_, atol=1e-6)


def test_similarities_of_new_items_also_of_some_only() -> None:
    X, _ = groups(90)
    model = Spectral(3).fit(near(X, X))
    new, _ = groups(30)
    rows = near(new, X)
    whole = model.predict(rows)
    assert np.array_equal(whole, model.labels_[:30])
    some = np.where(np.random.default_rng(0).random(rows.shape) < 0.3, rows, 0.0)
    assert np.array_equal(model.predict(sparse.csr_array(some)), whole)
    some[4] = 0.0
    assert model.predict(some)[4] == -1
    assigned = model.assign(sparse.csr_array(some))
    assert assigned.labels[4] == -1
    assert np.isnan(assigned.distance[4])
    with pytest.raises(InputError, match="Negative values in data"):
        model.predict(rows - 1.0)
    with pytest.raises(ValueError, match="features"):
        model.predict(rows[:, 1:])
    with pytest.raises(InputError, match="rows of values"):
        model.predict(shoal.similarities(near(X, X)))


def test_distances_and_graphs_of_distances() -> None:
    X, truth = groups(90)
    D = shoal.points(X).metric.between(X, X)
    new, _ = groups(12)
    rows = shoal.points(X).metric.between(new, X)
    for data, options in ((shoal.distances(D), {}), (shoal.distances(D), {"affinity": "gaussian"}),
                          (neighbors(shoal.points(X), 12).carrier(), {})):
        model = Spectral(3, **options).fit(data)
        assert model.labels_.tolist() == numbered(truth)
        assert np.array_equal(model.predict(rows), model.labels_[:12])
        closest = np.where(rows <= np.sort(rows, axis=1)[:, 9:10], rows, 0)
        assert np.array_equal(model.predict(sparse.csr_array(closest)), model.labels_[:12])
    model = Spectral(3, affinity="neighbors").fit(shoal.distances(D))
    assert np.array_equal(model.labels_, Spectral(3, affinity="neighbors").fit(X).labels_)
    with pytest.raises(InputError, match="new items have none"):
        model.predict(rows)


def test_negative_similarities() -> None:
    X, truth = groups(60, d=10)
    S = np.corrcoef(X)
    assert S.min() < 0
    with pytest.raises(InputError, match=r"Negative values in data.*clip.*shift.*absolute"):
        Spectral(3).fit(S)
    for negative in ("clip", "shift"):
        model = Spectral(3, negative=negative).fit(S)
        assert adjusted_rand_score(truth, model.labels_) == 1.0
        assert np.array_equal(model.predict(S), model.labels_)
        assert np.array_equal(model.predict(S - 1e-3 if negative == "clip" else S), model.labels_)
    assert model.offset_ == S.min()


def test_items_of_their_own_and_names() -> None:
    S = np.zeros((7, 7))
    S[:3, :3] = S[3:6, 3:6] = 1.0
    model = Spectral(2).fit(shoal.similarities(S, ids=list("abcdefg")))
    assert model.clusters_.members() == {0: ["a", "b", "c"], 1: ["d", "e", "f"], 2: ["g"]}
    assert model.n_clusters_ == 3
    assert model.messages_ == ("1 items have no similarity to any other and are clusters of their own: 'g'.",)
    assert model.predict(S).tolist() == [0, 0, 0, 1, 1, 1, -1]
    assert model.assign(S).distance[:6].tolist() == pytest.approx([0] * 6)
    with pytest.raises(InputError, match="2 parts"):
        Spectral(1).fit(S)


def test_more_neighbours_where_the_graph_falls_apart() -> None:
    rng = np.random.default_rng(0)
    X = (np.arange(6) * 50.0)[np.arange(120) % 6][:, None] + rng.normal(size=(120, 2))
    model = Spectral(2, affinity="neighbors", n_neighbors=5).fit(X)
    assert model.n_clusters_ == 2
    assert model.near_ > 5
    assert f"{model.near_} nearest were taken" in model.messages_[0]
    assert np.array_equal(model.predict(X), model.labels_)
    assert Spectral(6, affinity="neighbors").fit(X).messages_ == ()


def test_the_number_of_clusters_is_found() -> None:
    X, truth = groups(200, 4)
    model = Spectral(affinity="neighbors").fit(X)
    assert model.n_clusters_ == 4
    assert model.gaps_[1:].argmax() == 2
    assert adjusted_rand_score(truth, model.labels_) == 1.0
    assert Spectral(affinity="neighbors", landmarks=40, random_state=1).fit(X).n_clusters_ == 4


@pytest.mark.parametrize("options", [
    {"affinity": "neighbors"}, {"affinity": "neighbors", "landmarks": 20, "random_state": 3}, {}, {"affinity": "gaussian"},
], ids=["neighbors", "landmarks", "precomputed", "gaussian"])
def test_models_are_saved_and_copied(options: dict[str, Any], tmp_path: Path) -> None:
    X, _ = groups(60)
    given = X if options else near(X, X)
    model = Spectral(3, **options).fit(given)
    model.save(tmp_path / "model.shoal")
    for other in (load(tmp_path / "model.shoal"), copy.deepcopy(model)):
        assert np.array_equal(other.labels_, model.labels_)
        assert np.array_equal(other.predict(given), model.predict(given))
        assert other.get_params() == model.get_params()
        assert list(other.messages_) == list(model.messages_)
    if not options:
        model.save(tmp_path / "bare.shoal", data=False)
        assert np.array_equal(load(tmp_path / "bare.shoal").predict(given), model.labels_)
    elif "landmarks" not in options:
        model.save(tmp_path / "bare.shoal", data=False)
        with pytest.raises(InputError, match="at hand"):
            load(tmp_path / "bare.shoal").predict(given)


def test_what_does_not_go_together_is_refused() -> None:
    X, _ = groups(30)
    wrong: list[tuple[dict[str, Any], Any, str]] = [
        ({"n_clusters": 0}, X, "n_clusters=0"), ({"affinity": "rbf"}, X, "'neighbors'"), ({"scale": -1.0}, X, "scale=-1"),
        ({"negative": "drop"}, X, "'shift'"), ({"tol": 0}, X, "tol=0"), ({"landmarks": 1}, X, "landmarks=1"),
        ({"landmarks": 5, "affinity": "gaussian"}, X, "affinity='neighbors'"), ({}, shoal.points(X), "points were given"),
        ({"affinity": "neighbors"}, shoal.similarities(near(X, X)), "takes points here"),
        ({"n_clusters": 31, "affinity": "neighbors"}, X, "31 clusters"),
    ]
    for options, data, said in wrong:
        with pytest.raises(InputError, match=said):
            Spectral(**options).fit(data)


def test_a_search_that_does_not_converge_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.graphs.eigen.PRODUCTS", 3)
    X = np.random.default_rng(0).random((900, 2))
    with pytest.warns(ShoalWarning, match="did not converge"):
        Spectral(4, affinity="neighbors").fit(X)


def test_clusters_carry_names_and_tags_say_what_x_is() -> None:
    X, _ = groups(40)
    points = shoal.points(X, ids=[f"p{i}" for i in range(40)], scale="standard")
    model = Spectral(3, affinity="neighbors").fit(points)
    clusters = model.clusters_
    assert clusters.members()[0][0] == "p0"
    assert clusters.source["method"] == "spectral"
    assert clusters.predict(X[:4]).labels.tolist() == model.labels_[:4].tolist()
    assert clone(model).get_params() == model.get_params()
    assert Spectral().__sklearn_tags__().input_tags.pairwise
    assert not Spectral(affinity="neighbors").__sklearn_tags__().input_tags.pairwise


@pytest.mark.parametrize("own", [0.0, 1.0])
def test_an_isolated_item_among_many_is_a_cluster_of_its_own(own: float) -> None:
    X, truth = groups(60)
    S = near(X, X)
    S[5], S[:, 5], S[5, 5] = 0.0, 0.0, own
    model = Spectral(3, random_state=0).fit(S)
    assert (model.labels_ == model.labels_[5]).sum() == 1
    assert model.n_clusters_ == 4
    assert "item 5" in model.messages_[0]
    others = np.arange(60) != 5
    assert adjusted_rand_score(truth[others], model.labels_[others]) == 1.0
