"""Kernel k-means against its definition, against k-means, and against another library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shoal
from naive.kernel_kmeans import naive_kernel_inertia, naive_single_moves
from shoal.centers import kernelized
from shoal.centers.kernelized import cluster_sums, kernel_kmeans, seed_items
from shoal.errors import InputError
from shoal.runtime.kernel import plain_python


def symmetric(n: int, seed: int) -> Any:
    """Eigenvalues of both signs."""
    E = np.random.default_rng(seed).normal(size=(n, n))
    return np.ascontiguousarray((E + E.T) / 2)


def gaussian(n: int, seed: int, groups: int = 3) -> Any:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)) + 4.0 * rng.integers(0, groups, (n, 1))
    return np.exp(-np.square(x[:, None] - x).sum(axis=2) / 4.0)


def partition(labels: Any) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == c).tolist()) for c in np.unique(labels)}


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(2, 4), st.booleans(), st.booleans())
def test_moves_as_the_definition_says(seed: int, k: int, indefinite: bool, weighted: bool) -> None:
    n = 14
    K = symmetric(n, seed) if indefinite else gaussian(n, seed)
    rng = np.random.default_rng(seed)
    w = rng.choice([0.0, 0.5, 1.0, 3.0], n, p=[0.1, 0.2, 0.4, 0.3]) if weighted else np.ones(n)
    w[:k] = 1.0
    start = seed_items(K, k, np.random.default_rng(seed), w)
    found = kernel_kmeans(K, k, np.random.default_rng(seed), weights=w)
    expected = naive_single_moves(K.tolist(), start.tolist(), w.tolist())
    counts = w > 0
    assert found.labels[counts].tolist() == np.array(expected)[counts].tolist()
    assert found.converged
    assert found.inertia == pytest.approx(naive_kernel_inertia(K, expected, w), rel=1e-9, abs=1e-9)
    for c in range(k):
        own = np.flatnonzero((found.labels == c) & counts)
        assert found.mass[c] == pytest.approx(w[own].sum())
        assert found.squares[c] == pytest.approx(w[own] @ K[np.ix_(own, own)] @ w[own] / w[own].sum() ** 2)


@pytest.mark.parametrize("seed", range(3))
def test_no_single_move_helps(seed: int) -> None:
    n, k = 40, 4
    K, w = symmetric(n, seed), np.random.default_rng(seed).uniform(0.1, 5.0, n)
    found = kernel_kmeans(K, k, np.random.default_rng(seed), weights=w, n_init=2)
    inertia = naive_kernel_inertia(K, found.labels.tolist(), w)
    for i in range(n):
        for c in range(k):
            other = found.labels.copy()
            other[i] = c
            if len(np.unique(other)) == k:
                assert naive_kernel_inertia(K, other.tolist(), w) >= inertia - 1e-9


def test_many_moves_are_summed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    class Counted(kernelized._Start):
        def take_sums(self) -> None:
            taken.append(int(self.state[2]))
            super().take_sums()

    monkeypatch.setattr(kernelized, "_Start", Counted)
    K = symmetric(60, 3)
    found = kernel_kmeans(K, 6, np.random.default_rng(5))
    assert taken[0] == 0
    assert len(taken) > 2  # at the start, on the way, and at the end
    assert found.inertia == pytest.approx(naive_kernel_inertia(K, found.labels.tolist(), [1.0] * 60))


def test_a_linear_kernel_is_k_means() -> None:
    from sklearn.cluster import KMeans

    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(c, 0.5, (50, 3)) for c in (0.0, 4.0, 8.0)])
    found = kernel_kmeans(X @ X.T, 3, rng, n_init=3)
    peer = KMeans(3, n_init=5, random_state=0).fit(X)
    assert partition(found.labels) == partition(peer.labels_)
    assert found.inertia == pytest.approx(peer.inertia_, rel=1e-9)


def test_agrees_with_tslearn() -> None:
    """tslearn 0.10.0: KernelKMeans(3, kernel="precomputed", n_init=10, random_state=0).fit_predict(K)."""
    golden = "2210110220001020112122002001021120212102"
    found = kernel_kmeans(gaussian(40, 7), 3, np.random.default_rng(0), n_init=5)
    assert partition(found.labels) == partition(np.array([int(c) for c in golden]))


@given(st.integers(0, 10**6), st.floats(0.1, 100.0))
def test_a_shift_of_the_diagonal_changes_nothing(seed: int, shift: float) -> None:
    n = 12
    K, w = symmetric(n, seed), np.random.default_rng(seed).uniform(0.5, 2.0, n)
    start = seed_items(K, 3, np.random.default_rng(seed), w).tolist()
    shifted = K + np.diag(shift / w)
    assert naive_single_moves(K, start, w) == naive_single_moves(shifted, start, w)
    found = kernel_kmeans(shifted, 3, np.random.default_rng(seed), weights=w)
    inertia = naive_kernel_inertia(K, found.labels.tolist(), w)
    assert found.inertia == pytest.approx(inertia + shift * (n - 3), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_compiled_plain_and_on_any_threads(dtype: Any) -> None:
    K = gaussian(90, 1).astype(dtype)
    before = K.copy()
    K.setflags(write=False)

    def fit() -> tuple[Any, ...]:
        found = kernel_kmeans(K, 5, np.random.default_rng(3), n_init=4)
        return found.labels.tolist(), found.inertia, found.mass.tolist(), found.squares.tolist(), found.n_iter

    with plain_python(True):
        plain = fit()
    for threads in (1, 2, 5):
        shoal.set_threads(threads)
        assert fit() == plain
    shoal.set_threads(None)
    assert np.array_equal(K, before)


@pytest.mark.large
def test_large_sums_have_the_same_bits_on_any_threads() -> None:
    K = np.random.default_rng(0).random((2500, 2500), np.float32)
    labels, w = np.random.default_rng(1).integers(0, 7, 2500), np.random.default_rng(2).random(2500)
    found = []
    for threads in (1, 2, 5):
        shoal.set_threads(threads)
        found.append(cluster_sums(K, labels, w, 7))
    shoal.set_threads(None)
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
    expected = np.array([(w * (labels == c)) @ K.astype(np.float64) for c in range(7)])
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)


def test_more_starts_are_never_worse_and_do_not_depend_on_one_another() -> None:
    K = symmetric(30, 8)
    rng = np.random.default_rng(0)
    alone = [kernel_kmeans(K, 4, rng).inertia for _ in range(1)]
    rng = np.random.default_rng(0)
    several = kernel_kmeans(K, 4, rng, n_init=6)
    assert several.inertia <= alone[0]


def test_coinciding_items_fill_all_clusters() -> None:
    found = kernel_kmeans(np.ones((5, 5)), 3, np.random.default_rng(0))
    assert sorted(set(found.labels.tolist())) == [0, 1, 2]
    assert found.inertia == pytest.approx(0.0, abs=1e-12)
    assert kernel_kmeans(np.eye(4), 4, np.random.default_rng(0)).inertia == pytest.approx(0.0, abs=1e-12)
    assert kernel_kmeans(np.eye(4), 1, np.random.default_rng(0)).inertia == pytest.approx(3.0)


def test_items_of_weight_0_go_to_the_nearest_mean_and_change_nothing() -> None:
    K = gaussian(30, 2)
    w = np.ones(30)
    w[::5] = 0.0
    counted = np.flatnonzero(w)
    found = kernel_kmeans(K, 3, np.random.default_rng(1), weights=w, n_init=5)
    alone = kernel_kmeans(np.ascontiguousarray(K[np.ix_(counted, counted)]), 3, np.random.default_rng(1), n_init=5)
    assert partition(found.labels[counted]) == partition(alone.labels)
    for i in np.flatnonzero(w == 0):
        squares = [K[i, i] - 2 * K[i, own].mean() + K[np.ix_(own, own)].mean()
                   for own in ([j for j in counted if found.labels[j] == c] for c in range(3))]
        assert found.labels[i] == np.argmin(squares)


def test_too_few_items_that_count() -> None:
    with pytest.raises(InputError, match="3 clusters were asked for, and 2 items count"):
        kernel_kmeans(np.eye(4), 3, np.random.default_rng(0), weights=np.array([1.0, 0.0, 2.0, 0.0]))


def test_ends_when_told() -> None:
    K = symmetric(50, 1)
    one = kernel_kmeans(K, 5, np.random.default_rng(0), max_iter=1)
    assert one.n_iter == 1
    assert not one.converged
    whole = kernel_kmeans(K, 5, np.random.default_rng(0))
    assert whole.inertia < one.inertia
    little = kernel_kmeans(K, 5, np.random.default_rng(0), tol=10.0)
    assert little.inertia == one.inertia
    assert one.inertia == pytest.approx(naive_kernel_inertia(K, one.labels.tolist(), [1.0] * 50))


def test_seeds_are_drawn_by_weight_and_distance() -> None:
    """The first seed by weight; of two clusters far apart, the second seed is in the other."""
    K = gaussian(20, 4, groups=1)
    w = np.zeros(20)
    w[[3, 11]] = 1.0
    for seed in range(5):
        labels = seed_items(K, 2, np.random.default_rng(seed), w)
        assert {labels[3], labels[11]} == {0, 1}
    first = [int(np.flatnonzero(seed_items(np.eye(2), 2, np.random.default_rng(s), np.array([1.0, 3.0])) == 0)[0])
             for s in range(400)]
    assert abs(np.mean(first) - 0.75) < 0.08  # 3.7 standard deviations


def test_can_be_cancelled() -> None:
    from shoal.runtime.progress import Ticker

    with pytest.raises(KeyboardInterrupt):
        kernel_kmeans(symmetric(60, 3), 6, np.random.default_rng(5), ticker=Ticker(lambda f, m: False))
