"""KernelKMeans as a scikit-learn estimator, on carriers, and on similarities that are no scalar products."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.pairwise import laplacian_kernel, rbf_kernel
from sklearn.utils.estimator_checks import parametrize_with_checks

import shoal
from shoal.errors import InputError, TooLargeError
from shoal.estimators.files import load
from shoal.estimators.kernel_kmeans import KernelKMeans


def expected_failures(estimator: KernelKMeans) -> dict[str, str]:
    weights = "seeds are drawn at random: repeated items draw others, and may end in another local optimum"
    found = {"check_sample_weight_equivalence_on_dense_data": weights,
             "check_sample_weight_equivalence_on_sparse_data": weights}
    if estimator.kernel == "precomputed":
        found = {"check_clustering": "gives points where similarities of all pairs are taken",
                 "check_clustering(readonly_memmap=True)": "gives points where similarities of all pairs are taken"}
    return found


@parametrize_with_checks([KernelKMeans(3), KernelKMeans(3, kernel="rbf")], expected_failed_checks=expected_failures)
def test_is_an_estimator(estimator: Any, check: Any) -> None:
    check(estimator)


def clouds(n: int = 60, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return rng.normal(size=(n, 2)) + 6.0 * np.stack([y, y % 2], axis=1), y


def indefinite(n: int = 40) -> Any:
    E = np.random.default_rng(1).normal(size=(n, n))
    return (E + E.T) / 2 + 4.0 * np.kron(np.eye(2), np.ones((n // 2, n // 2)))


def test_points_and_their_kernel_values_give_the_same_clusters() -> None:
    X, y = clouds()
    new = clouds(10, 5)[0]
    given = KernelKMeans(3, kernel="rbf", kernel_params={"gamma": 0.1}, random_state=0).fit(X)
    K = rbf_kernel(X, gamma=0.1)
    before = K.copy()
    precomputed = KernelKMeans(3, random_state=0).fit(K)
    called = KernelKMeans(3, kernel=rbf_kernel, kernel_params={"gamma": 0.1}, random_state=0).fit(X)
    assert np.array_equal(K, before)
    assert adjusted_rand_score(y, given.labels_) == 1.0
    assert given.labels_.tolist() == precomputed.labels_.tolist() == called.labels_.tolist()
    assert given.inertia_ == pytest.approx(precomputed.inertia_)
    rows = rbf_kernel(new, X, gamma=0.1)
    assert given.predict(new).tolist() == precomputed.predict(rows).tolist() == called.predict(new).tolist()
    np.testing.assert_allclose(given.assign(new).distance, precomputed.assign(rows).distance)  # the diagonal is 1
    assert given.predict(X).tolist() == given.labels_.tolist()


@pytest.mark.parametrize("kernel", ["linear", "poly", "cosine", "laplacian", "sigmoid"])
def test_named_kernels_are_scikit_learns(kernel: str) -> None:
    from sklearn.metrics.pairwise import pairwise_kernels

    X = clouds(30)[0] / 10.0
    params = {"degree": 2} if kernel == "poly" else {}
    found = KernelKMeans(3, kernel=kernel, kernel_params=params, random_state=0).fit(X)
    K = pairwise_kernels(X, metric=kernel, **params)
    expected = KernelKMeans(3, random_state=0).fit((K + K.T) / 2)
    assert found.labels_.tolist() == expected.labels_.tolist()
    assert found.inertia_ == pytest.approx(expected.inertia_, rel=1e-6)
    new = X[:7] + 0.01
    far = np.array([[K_xx - 2 * row[own].mean() + K[np.ix_(own, own)].mean() for own in
                     (np.flatnonzero(found.labels_ == c) for c in range(3))]
                    for row, K_xx in zip(pairwise_kernels(new, X, metric=kernel, **params),
                                         pairwise_kernels(new, metric=kernel, **params).diagonal(), strict=True)])
    if found.shift_ == 0:
        np.testing.assert_allclose(found.assign(new).distance ** 2, far.min(axis=1), atol=1e-9)
        assert found.predict(new).tolist() == far.argmin(axis=1).tolist()


def test_the_linear_kernel_is_k_means() -> None:
    from sklearn.cluster import KMeans

    X, _ = clouds(80)
    ours = KernelKMeans(3, kernel="linear", random_state=0).fit(X)
    peer = KMeans(3, n_init=5, random_state=0).fit(X)
    assert ours.inertia_ == pytest.approx(peer.inertia_)
    new = clouds(9, 3)[0]
    np.testing.assert_allclose(ours.assign(new).distance, peer.transform(new).min(axis=1), rtol=1e-6)


def test_similarities_keep_their_names_and_forms_do_not_matter() -> None:
    X, _ = clouds(12)
    S = laplacian_kernel(X)
    ids = [f"item {i}" for i in range(12)]
    whole = KernelKMeans(3, random_state=0).fit(shoal.similarities(S, ids=ids))
    assert sorted(name for names in whole.clusters_.members().values() for name in names) == sorted(ids)
    assert whole.data_.n == 12
    for carrier in (shoal.similarities(S[np.triu_indices(12, 1)]), shoal.similarities(np.triu(S)),
                    shoal.similarities(np.asfortranarray(S)), shoal.similarities(S.astype(np.float32))):
        found = KernelKMeans(3, random_state=0).fit(carrier)
        assert found.labels_.tolist() == whole.labels_.tolist()
        assert found.inertia_ == pytest.approx(whole.inertia_, rel=1e-5)
    named = KernelKMeans(3, kernel="rbf", random_state=0).fit(shoal.similarities(S))
    assert named.labels_.tolist() == whole.labels_.tolist()
    assert named.predict(S[:3]).tolist() == whole.labels_[:3].tolist()


def test_carriers_of_points_bring_names_scaling_and_weights() -> None:
    X, _ = clouds(20)
    carrier = shoal.points(X * [1.0, 100.0], scale="standard", ids=[f"p{i}" for i in range(20)],
                           weights=np.arange(1.0, 21.0))
    found = KernelKMeans(3, kernel="rbf", random_state=0).fit(carrier)
    alone = KernelKMeans(3, kernel="rbf", random_state=0).fit(carrier.X, sample_weight=carrier.weights)
    assert found.labels_.tolist() == alone.labels_.tolist()
    assert found.predict(X * [1.0, 100.0]).tolist() == alone.predict(carrier.X).tolist()
    assert found.clusters_.ids[0] == "p0"
    assert found.assign(X[:2] * [1.0, 100.0], ids=["a", "b"]).ids == ("a", "b")


def test_sparse_points() -> None:
    from scipy import sparse

    X, _ = clouds(30)
    dense = KernelKMeans(3, kernel="linear", random_state=0).fit(X)
    found = KernelKMeans(3, kernel="linear", random_state=0).fit(sparse.csr_array(X))
    assert found.labels_.tolist() == dense.labels_.tolist()
    assert found.predict(sparse.csr_array(X)).tolist() == dense.predict(X).tolist()


def test_a_shift_is_reported_and_changes_no_comparison() -> None:
    S = indefinite()
    least = float(np.linalg.eigvalsh(S)[0])
    found = KernelKMeans(2, random_state=0).fit(S)
    assert found.least_eigenvalue_ == pytest.approx(least)
    assert found.shift_ == pytest.approx(-least)
    values = np.linalg.eigvalsh(S)
    assert found.negative_share_ == pytest.approx(-values[values < 0].sum() / np.abs(values).sum())
    shifted = KernelKMeans(2, random_state=0).fit(S + found.shift_ * 1.001 * np.eye(40))
    assert shifted.shift_ == 0.0
    assert adjusted_rand_score(shifted.labels_, found.labels_) == 1.0
    assert found.inertia_ + 0.001 * found.shift_ * (40 - 2) == pytest.approx(shifted.inertia_)
    assert found.inertia_ >= 0
    assert (found.assign(S[:5]).distance >= 0).all()


def test_a_shift_with_weights_is_of_the_weighted_matrix() -> None:
    S, w = indefinite(), np.random.default_rng(0).uniform(0.2, 5.0, 40)
    found = KernelKMeans(2, random_state=0).fit(S, sample_weight=w)
    root = np.sqrt(w)
    assert found.shift_ == pytest.approx(-np.linalg.eigvalsh(root[:, None] * S * root)[0])
    shifted = KernelKMeans(2, random_state=0).fit(S + np.diag(found.shift_ * 1.0001 / w), sample_weight=w)
    assert shifted.shift_ == 0.0
    assert shifted.inertia_ == pytest.approx(found.inertia_, rel=1e-3)
    np.testing.assert_allclose(sorted(shifted.squares_), sorted(found.squares_), rtol=1e-3)


def test_clipping_is_of_old_items_and_of_new_ones() -> None:
    S = indefinite()
    values, vectors = np.linalg.eigh(S)
    gram = (vectors * np.maximum(values, 0)) @ vectors.T
    found = KernelKMeans(2, indefinite="clip", random_state=0).fit(S)
    expected = KernelKMeans(2, random_state=0).fit((gram + gram.T) / 2)
    assert found.labels_.tolist() == expected.labels_.tolist()
    assert found.inertia_ == pytest.approx(expected.inertia_)
    new = np.random.default_rng(2).normal(size=(6, 40))
    seen = new @ (vectors * (values > 0)) @ vectors.T
    assert found.predict(new).tolist() == expected.predict(seen).tolist()
    np.testing.assert_allclose(found.assign(new).distance, expected.assign(seen).distance)
    with pytest.raises(InputError, match="no scalar products"):
        KernelKMeans(2, indefinite="error").fit(S)


@pytest.mark.large
def test_a_large_gram_matrix_passes_for_one() -> None:
    X, y = clouds(600)
    found = KernelKMeans(3, indefinite="error", random_state=0).fit(rbf_kernel(X, gamma=0.05))
    assert found.shift_ == 0.0
    assert found.negative_share_ == 0.0
    assert found.least_eigenvalue_ >= -1e-9
    assert adjusted_rand_score(y, found.labels_) == 1.0
    mixed = rbf_kernel(X, gamma=0.05) + 0.05 * np.kron(np.ones((15, 15)), indefinite())
    with pytest.raises(InputError, match="no scalar products"):
        KernelKMeans(3, indefinite="error").fit(mixed)
    shifted = KernelKMeans(3, random_state=0).fit(mixed)
    assert np.linalg.eigvalsh(mixed + shifted.shift_ * np.eye(600))[0] >= -1e-9


@pytest.mark.parametrize("kernel", ["precomputed", "rbf"])
def test_saved_and_loaded(tmp_path: Path, kernel: str) -> None:
    X, _ = clouds(30)
    given = shoal.points(X, ids=[f"p{i}" for i in range(30)]) if kernel == "rbf" else shoal.similarities(
        rbf_kernel(X), ids=[f"p{i}" for i in range(30)])
    model = KernelKMeans(3, kernel=kernel, random_state=0).fit(given)
    new = clouds(8, 4)[0] if kernel == "rbf" else rbf_kernel(clouds(8, 4)[0], X)
    model.save(tmp_path / "m.shoal")
    again = load(tmp_path / "m.shoal")
    assert again.get_params() == model.get_params()
    assert again.labels_.tolist() == model.labels_.tolist()
    assert again.predict(new).tolist() == model.predict(new).tolist()
    np.testing.assert_array_equal(again.assign(new).distance, model.assign(new).distance)
    assert again.clusters_.members() == model.clusters_.members()
    model.save(tmp_path / "bare.shoal", data=False)
    bare = load(tmp_path / "bare.shoal")
    if kernel == "rbf":
        with pytest.raises(InputError, match="not at hand"):
            bare.predict(new)
    else:
        assert bare.predict(new).tolist() == model.predict(new).tolist()


def test_same_bits_for_any_number_of_threads() -> None:
    X, _ = clouds(90)
    found = []
    for threads in (1, 2, 5):
        shoal.set_threads(threads)
        model = KernelKMeans(4, kernel="rbf", random_state=0).fit(X)
        found.append((model.labels_.tolist(), model.inertia_, model.dual_coef_.tolist(), model.squares_.tolist()))
    shoal.set_threads(None)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(("params", "message"), [
    ({"n_clusters": 0}, "n_clusters=0"), ({"n_init": 1.5}, "n_init=1.5"), ({"max_iter": True}, "max_iter=True"),
    ({"indefinite": "fix"}, "indefinite='fix'"), ({"tol": -1.0}, "tol=-1.0"), ({"kernel": "rfb"}, "kernel='rfb'"),
    ({"n_clusters": 9}, "n_samples=5 should be >= n_clusters=9"),
])
def test_refuses_parameters(params: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        KernelKMeans(**{"n_clusters": 2, **params}).fit(np.eye(5))


def test_refuses_data() -> None:
    with pytest.raises(InputError, match="takes similarities or points"):
        KernelKMeans(2).fit(shoal.distances([1.0, 2.0, 3.0]))
    with pytest.raises(InputError, match="told to expect similarities"):
        KernelKMeans(2).fit(shoal.points([[1.0], [2.0], [4.0]]))
    with pytest.raises(InputError, match="shape"):
        KernelKMeans(2, kernel=lambda A, B: np.zeros(3)).fit(np.eye(4)[:, :3])
    with pytest.raises(InputError, match="not finite"):
        KernelKMeans(2, kernel="poly", kernel_params={"degree": 400}).fit(np.eye(4)[:, :3] * 1e3)
    with pytest.raises(InputError, match="by their similarities to the old ones"):
        KernelKMeans(2).fit(np.eye(4)).predict(shoal.similarities(np.eye(4)))
    with pytest.raises(TooLargeError, match="kernel values of all pairs"):
        KernelKMeans(2, kernel="rbf").fit(np.zeros((4_000_000, 1), np.float32))
