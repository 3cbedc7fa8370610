"""Normalised cuts: against all eigenvectors of dense matrices, scikit-learn, and what a cut and a placing must satisfy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.linalg import qr
from sklearn.cluster import SpectralClustering
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score

import shoal
from naive import spectral as naive
from shoal.errors import InputError
from shoal.graphs.affinity import (
    gaussian,
    local_scale,
    matrix_of,
    neighbor_graph,
    read_affinity,
    tuned_edges,
    weights_of_new,
    weights_of_new_edges,
)
from shoal.graphs.landmarks import landmark_cut, pick, weights_to
from shoal.graphs.neighbors import neighbors
from shoal.graphs.spectral import cluster_directions, eigengap, gaps_of, normalized_cut, place
from strategies import read_only, seeds


def groups(n: int, k: int, d: int = 4, seed: int = 0, apart: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
    """Clouds around k places, and which each point is of."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    return (rng.normal(size=(k, d)) * apart)[truth] + rng.normal(size=(n, d)), truth


def planted(n: int, k: int, seed: int = 0) -> np.ndarray:
    """Similarities of at least 0, larger within k groups."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(n) % k)
    S = rng.uniform(0, 0.3, (n, n)) + 0.5 * (truth[:, None] == truth)
    return (S + S.T) / 2


def nearest_graph(X: np.ndarray, k: int = 10) -> Any:
    found = neighbors(shoal.points(X), k)
    return neighbor_graph(found.index, found.distance, "self-tuning")[0]


@settings(max_examples=25)
@given(st.integers(8, 24), st.integers(2, 4), seeds)
def test_labels_and_eigenvalues_are_those_of_all_eigenvectors(n: int, k: int, seed: int) -> None:
    S = planted(n, k, seed)
    found = normalized_cut(read_affinity(S), k)
    np.testing.assert_allclose(found.eigenvalues[:k], naive.eigenvectors(S, k)[0], atol=1e-10)
    assert found.labels.tolist() == naive.normalized_cut(S, k)


@pytest.mark.parametrize("form", ["dense", "float32", "sparse"])
def test_beyond_the_direct_solver_labels_are_the_same(form: str) -> None:
    X, _ = groups(330, 5, apart=2.0)
    S = nearest_graph(X)
    matrix = {"dense": S.toarray(), "float32": S.toarray().astype(np.float32), "sparse": S}[form]
    found = normalized_cut(read_affinity(matrix), 5)
    assert found.converged
    assert found.products > 3
    assert adjusted_rand_score(naive.normalized_cut(S.toarray(), 5), found.labels) == 1.0
    exact = naive.eigenvectors(S.toarray(), 6)[0]
    # a residual r of an eigenvalue bounds its error, and its square over the gap does
    np.testing.assert_allclose(found.eigenvalues[:5], exact[:5], atol=found.residual)


def test_golden_from_sklearn_1_9_1() -> None:
    """Ten groups of digits by scikit-learn 1.9.1: SpectralClustering, arpack, cluster_qr, on the same similarities."""
    X = load_digits().data[:600]
    S = nearest_graph(X).toarray()
    theirs = SpectralClustering(8, affinity="precomputed", assign_labels="cluster_qr", eigen_solver="arpack",
                                random_state=0).fit(S).labels_
    ours = normalized_cut(read_affinity(S), 8).labels
    assert adjusted_rand_score(theirs, ours) > 0.9  # theirs stops where our k-means starts
    def cut(labels: np.ndarray) -> float:
        return sum(S[labels == c][:, labels != c].sum() / S[labels == c].sum() for c in range(8))
    assert cut(ours) <= 1.01 * cut(theirs)


@given(seeds)
def test_directions_are_the_polar_factor_of_pivoted_qr(seed: int) -> None:
    U, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((30, 5)))
    a, _, b = np.linalg.svd(U[qr(U.T, pivoting=True)[2][:5]])
    np.testing.assert_allclose(cluster_directions(U), a @ b, atol=1e-10)


def test_parts_share_the_clusters_by_their_eigenvalues() -> None:
    X, _ = groups(300, 3, apart=1.5, seed=2)
    one, two = nearest_graph(X), nearest_graph(X[:120])
    S = sparse.csr_array(sparse.block_diag([one, two, sparse.csr_array((2, 2))]))
    A = read_affinity(S)
    assert A.parts == 2
    assert np.flatnonzero(A.part < 0).tolist() == [420, 421]
    found = normalized_cut(A, 5)
    assert (found.labels[420:] == -1).all()
    assert not set(found.labels[:300]) & set(found.labels[300:420])
    both = np.sort(np.concatenate([naive.eigenvectors(G.toarray(), 5)[0] for G in (one, two)]))[::-1]
    np.testing.assert_allclose(found.eigenvalues[:5], both[:5], atol=found.residual + 1e-9)
    share = len(set(found.labels[300:420]))
    assert share == (naive.eigenvectors(two.toarray(), 5)[0] >= both[4]).sum()
    assert adjusted_rand_score(naive.normalized_cut(two.toarray(), share), found.labels[300:420]) == 1.0


def test_fewer_clusters_than_parts_or_more_than_items_are_refused() -> None:
    S = np.kron(np.eye(3), np.ones((4, 4)))
    with pytest.raises(InputError, match=r"falls into 3 parts .*n_clusters=2"):
        normalized_cut(read_affinity(S), 2)
    with pytest.raises(InputError, match="13 clusters were asked for, and 12 items"):
        normalized_cut(read_affinity(S), 13)
    assert normalized_cut(read_affinity(S), 3).labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert sorted(np.bincount(normalized_cut(read_affinity(S), 12).labels)) == [1] * 12


def test_parts_of_dense_and_sparse_matrices_are_the_same() -> None:
    rng = np.random.default_rng(0)
    S = np.triu(rng.random((60, 60)) * (rng.random((60, 60)) < 0.03), 1)
    S = S + S.T
    dense, stored = read_affinity(S), read_affinity(sparse.csr_array(S))
    assert np.array_equal(dense.part, stored.part)
    assert dense.parts == stored.parts > 2
    np.testing.assert_allclose(dense.degree, stored.degree, atol=1e-12)


def test_negative_similarities_are_refused_with_ways_out_and_changed_as_asked() -> None:
    S = planted(12, 2)
    S[2, 7] = S[7, 2] = -0.5
    S = read_only(S)
    with pytest.raises(InputError, match=r"between item 2 and item 7 is -0.5.*'clip'.*'shift'.*absolute"):
        read_affinity(S)
    with pytest.raises(InputError, match="'c' and 'h'"):
        read_affinity(sparse.csr_array(S), ids="abcdefghijkl")
    clipped, shifted = read_affinity(S, "clip"), read_affinity(S, "shift")
    assert clipped.matrix[2, 7] == 0
    assert shifted.matrix[2, 7] == 0
    assert shifted.offset == -0.5
    assert shifted.matrix[0, 1] == S[0, 1] + 0.5
    off = ~np.eye(12, dtype=bool)
    np.testing.assert_allclose(shifted.degree, ((S + 0.5) * off).sum(axis=1))
    assert np.array_equal(read_affinity(sparse.csr_array(S), "clip").matrix.toarray(), clipped.matrix)
    with pytest.raises(InputError, match="pairs that are not stored"):
        read_affinity(sparse.csr_array(S), "shift")


def test_the_diagonal_does_not_count() -> None:
    S = planted(40, 3)
    plain = normalized_cut(read_affinity(S), 3)
    for diagonal in (0.0, 7.0, -3.0):
        np.fill_diagonal(S, diagonal)
        for form in (S, sparse.csr_array(S)):
            other = normalized_cut(read_affinity(form), 3)
            np.testing.assert_allclose(other.eigenvalues, plain.eigenvalues, atol=1e-12)
            assert np.array_equal(other.labels, plain.labels)
    with pytest.raises(InputError, match="nothing to cluster"):
        read_affinity(np.eye(4))


def test_every_form_of_a_similarity_is_the_same_matrix() -> None:
    S = planted(30, 3)
    np.fill_diagonal(S, 1.0)
    upper, tilted = np.triu(S), S.copy()
    tilted[3, 4] += 1e-12
    condensed = S[np.triu_indices(30, 1)]
    off = ~np.eye(30, dtype=bool)
    for form in (S, upper, upper.T, condensed, tilted, S.tolist(), sparse.csr_array(S)):
        found = matrix_of(shoal.similarities(form))
        found = found.toarray() if hasattr(found, "toarray") else found
        np.testing.assert_allclose(found[off], S[off], atol=1e-12)
    whole = shoal.similarities(S)
    assert np.shares_memory(matrix_of(whole), S)


@given(st.integers(12, 60), st.integers(2, 4), seeds)
def test_an_old_item_is_placed_where_it_is(n: int, k: int, seed: int) -> None:
    """The Nyström extension of an eigenvector to an item that has a row of the matrix is the eigenvector."""
    S = planted(n, k, seed)
    np.fill_diagonal(S, 0.0)
    found = normalized_cut(read_affinity(S), k)
    distances = place(S, found.table, found.centers)
    np.testing.assert_allclose(distances, 1 - found.embedding @ found.centers.T, atol=1e-8)
    assert np.array_equal(distances.argmin(axis=1), found.labels)
    np.testing.assert_allclose(place(sparse.csr_array(S), found.table, found.centers), distances, atol=1e-12)
    np.testing.assert_allclose(place(S * np.arange(1, n + 1)[:, None], found.table, found.centers), distances, atol=1e-8)


def test_the_number_of_clusters_by_the_eigengap() -> None:
    for k in (2, 4, 7):
        assert len(normalized_cut(read_affinity(planted(210, k))).centers) == k
        X, _ = groups(400, k, d=6, apart=2.5, seed=k)
        assert len(normalized_cut(read_affinity(nearest_graph(X))).centers) == k
    assert eigengap(np.array([1, 1, 1, 0.2, 0.1]), 3) == 3
    assert eigengap(np.array([1.0, 0.5])) == 2
    assert eigengap(np.array([1.0])) == 1
    np.testing.assert_allclose(gaps_of(np.array([1.0, 0.75, 0.0])), [0.25 / 0.5, 0.75])


def test_gaussians_are_their_formula() -> None:
    X, _ = groups(50, 3)
    D = np.linalg.norm(X[:, None] - X, axis=2)
    own = np.sort(D, axis=1)[:, 7]
    for data in (shoal.points(X), shoal.distances(D)):
        S, scales = gaussian(data, "self-tuning")
        np.testing.assert_allclose(scales, own)
        off = 1 - np.eye(50)
        np.testing.assert_allclose(S, off * np.exp(-np.minimum(D**2 / np.outer(own, own), 30)), rtol=1e-4)
        np.testing.assert_allclose(gaussian(data, 3.0)[0], off * np.exp(-np.minimum(D**2 / 18, 30)), rtol=1e-4)
    near = neighbors(shoal.points(X), 9)
    G = neighbor_graph(near.index, near.distance, "self-tuning")[0].toarray()
    rank = np.argsort(np.argsort(D, axis=1), axis=1)
    close = ((rank <= 9) | (rank.T <= 9)) & ~np.eye(50, dtype=bool)
    np.testing.assert_allclose(G, np.where(close, np.exp(-np.minimum(D**2 / np.outer(own, own), 30)), 0), rtol=1e-9)


def test_duplicates_have_a_scale_and_outliers_ties() -> None:
    assert local_scale(np.array([[0.0] * 8, [1.0] * 8, [3.0] * 8]), "self-tuning").tolist() == [2.0, 1.0, 3.0]
    assert local_scale(np.zeros((2, 3)), "self-tuning").tolist() == [1.0, 1.0]
    cloud = np.random.default_rng(0).normal(size=(30, 1))
    X = np.concatenate([cloud, np.zeros((10, 1)), cloud + 20, np.full((10, 1), 20.0), [[1e6]]])
    for S in (nearest_graph(X, 25), nearest_graph(X, 45), gaussian(shoal.points(X), "self-tuning")[0]):
        A = read_affinity(S)
        found = normalized_cut(A, max(2, A.parts)).labels
        assert found[:80].tolist() == [0] * 40 + [1] * 40
        assert found[80] == 1 or A.parts == 1  # the outlier goes with its nearest, where the graph says which these are
    far = weights_of_new(np.array([[1e9, 1e9 + 1]]), np.ones(2), "self-tuning")
    assert far.max() == 1.0
    alone, crowd = (weights_of_new(rows, np.full(9, 2.0), "self-tuning")[0] for rows in (
        np.zeros((1, 9)), np.array([[0.0] * 9, [5.0] * 9])))
    assert np.array_equal(alone, crowd)  # a new item's place does not depend on the others


def test_edges_of_distances_become_similarities() -> None:
    X, _ = groups(40, 2)
    edges = neighbors(shoal.points(X), 10).carrier("mutual")
    S, own = tuned_edges(edges, "self-tuning")
    lengths = edges.adjacency.toarray()
    for i, row in enumerate(lengths):
        there = np.sort(row[row > 0])
        assert own[i] == (there[min(7, len(there)) - 1] if len(there) else np.median(own))
    stored = lengths > 0
    np.testing.assert_allclose(S.toarray()[stored], np.exp(-(lengths**2 / np.outer(own, own))[stored].clip(max=30)))
    rows = weights_of_new_edges(sparse.csr_array(lengths[:5]), own, "self-tuning").toarray()
    for i, row in enumerate(rows):
        at = stored[i]
        np.testing.assert_allclose(row[at], weights_of_new(lengths[i][None, at], own[at], "self-tuning")[0])
        assert not row[~at].any()


def test_landmarks_have_the_eigenvalues_of_their_similarity() -> None:
    X, truth = groups(400, 4, apart=3.0)
    chosen = pick(X, 30, "self-tuning", np.random.default_rng(0))
    assert chosen.rows.shape == (30, 4)
    found, near = landmark_cut(X, chosen, 4)
    Z = weights_to(chosen, X, near, "self-tuning").toarray()
    np.testing.assert_allclose(Z.sum(axis=1), 1)
    assert ((Z > 0).sum(axis=1) <= near).all()
    Z = Z[:, Z.sum(axis=0) > 0]
    np.testing.assert_allclose(found.eigenvalues[:4], naive.landmark_eigenvalues(Z, 4), atol=1e-10)
    assert adjusted_rand_score(truth, found.labels) > 0.95
    again = place(weights_to(chosen, X, near, "self-tuning"), found.table, found.centers)
    np.testing.assert_allclose(again, 1 - found.embedding @ found.centers.T, atol=1e-10)
    assert len(landmark_cut(X, chosen)[0].centers) == 4


def test_landmarks_widen_where_parts_are_too_many_and_are_refused_where_there_are_too_few() -> None:
    X, _ = groups(400, 6, apart=30.0)
    chosen = pick(X, 30, "self-tuning", np.random.default_rng(0))
    found, near = landmark_cut(X, chosen, 3)
    assert near > 5
    assert len(found.centers) == 3
    with pytest.raises(InputError, match="31 clusters were asked for of 30 landmarks"):
        landmark_cut(X, chosen, 31)
    with pytest.raises(InputError, match="1 landmarks"):
        pick(X, 1, "self-tuning", np.random.default_rng(0))


@pytest.mark.large
def test_the_same_bits_for_any_number_of_threads() -> None:
    X, _ = groups(3000, 5, d=3, apart=1.5)
    S = nearest_graph(X)
    dense = S[:900][:, :900].toarray().astype(np.float32) + np.float32(1e-3)
    found = []
    for threads in (1, 2, 5):
        shoal.set_threads(threads)
        found.append([normalized_cut(read_affinity(S), 12), normalized_cut(read_affinity(dense), 5),
                      landmark_cut(X, pick(X, 50, "self-tuning", np.random.default_rng(0)), 5)[0]])
    shoal.set_threads(None)
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            for part in ("labels", "embedding", "eigenvalues", "table", "centers"):
                assert np.array_equal(getattr(one, part), getattr(two, part)), part


def test_the_order_large_graphs_are_worked_in_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    X, _ = groups(600, 4, apart=2.0)
    S = nearest_graph(X)
    two = sparse.csr_array(sparse.block_diag([S, sparse.csr_array((1, 1)), S[:200][:, :200]]))
    plain = normalized_cut(read_affinity(two), 9, tol=1e-6)
    monkeypatch.setattr("shoal.graphs.spectral.LARGE", 100)
    ordered = normalized_cut(read_affinity(two), 9, tol=1e-6)
    assert np.array_equal(ordered.labels, plain.labels)
    np.testing.assert_allclose(ordered.eigenvalues[:9], plain.eigenvalues[:9], atol=1e-9)
    old = place(two, ordered.table, ordered.centers)
    assert np.array_equal(old[:600].argmin(axis=1), ordered.labels[:600])


def test_labels_are_numbered_by_their_first_items() -> None:
    for seed in range(5):
        labels = normalized_cut(read_affinity(planted(40, 4, seed)), 4).labels.tolist()
        assert labels == naive.numbered(labels)
        assert [key for key, _ in itertools.groupby(sorted(labels))] == [0, 1, 2, 3]
