"""Lloyd's iterations on sparse rows: the labels of plain Lloyd, whatever is left out."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import shoal
from naive.kmeans import naive_lloyd, squares_to
from shoal.centers import sparse as engine
from shoal.centers.sparse import lloyd_sparse, nearest_sparse
from shoal.runtime.kernel import plain_python


def texts(n, d, topics, seed=0, unit=False, dtype=np.float64):
    """Rows of which each topic has columns of its own; all have the first, so that none is at a right angle to a centre."""
    rng = np.random.default_rng(seed)
    common = 1.0 / np.arange(1, d + 1)
    X = np.zeros((n, d))
    for row, topic in zip(X, rng.integers(topics, size=n), strict=True):
        own = common * (1.0 + 20.0 * (np.arange(d) % topics == topic))
        words = rng.choice(d, size=rng.integers(3, 9), p=own / own.sum())
        row[words] = rng.uniform(0.3, 2.0, len(words))
        row[0] = rng.uniform(0.1, 0.5)
    if unit:
        X /= np.linalg.norm(X, axis=1, keepdims=True)
    return sparse.csr_array(X.astype(dtype))


def starts(X, k, seed=0):
    """Distinct rows."""
    rows = np.unique(X.toarray(), axis=0)
    return rows[np.random.default_rng(seed).choice(len(rows), k, replace=False)]


def weights_of(n, seed=0):
    return np.random.default_rng(seed).uniform(0.1, 3.0, n)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "d", "k"), [(400, 30, 6), (300, 60, 40), (60, 12, 1)])
def test_as_plain_lloyd(metric, weighted, n, d, k):
    X = texts(n, d, 5, unit=metric == "cosine")
    weights = weights_of(n) if weighted else None
    fit = lloyd_sparse(X, starts(X, k), weights=weights, metric=metric)
    centers, labels, inertia = naive_lloyd(X.toarray(), starts(X, k), weights, metric=metric)
    assert fit.converged
    assert fit.labels.tolist() == labels.tolist()
    np.testing.assert_allclose(fit.centers, centers, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(fit.inertia, inertia, rtol=1e-9)


@pytest.mark.large
@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), metric=st.sampled_from(["euclidean", "cosine"]), k=st.integers(1, 9),
       max_iter=st.integers(0, 30))
def test_after_any_number_of_iterations(seed, metric, k, max_iter):
    X = texts(120, 12, 4, seed, unit=metric == "cosine")
    fit = lloyd_sparse(X, starts(X, k, seed), metric=metric, max_iter=max_iter)
    centers, labels, inertia = naive_lloyd(X.toarray(), starts(X, k, seed), metric=metric, max_iter=max_iter)
    np.testing.assert_allclose(fit.inertia, inertia, rtol=1e-9)
    if max_iter == 30:  # a tie within rounding may fall either way on the way there
        np.testing.assert_allclose(fit.centers, centers, rtol=1e-9, atol=1e-12)
        assert fit.labels.tolist() == labels.tolist()


@pytest.mark.large
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_labels_centres_and_inertia_belong_together(metric, dtype):
    X, weights = texts(2000, 200, 12, unit=metric == "cosine", dtype=dtype), weights_of(2000)
    fit = lloyd_sparse(X, starts(X, 12), weights=weights, metric=metric)
    assert (fit.centers.dtype, fit.labels.dtype) == (dtype, np.int32)
    rounding = 1e-12 if dtype == np.float64 else 1e-6
    D = squares_to(X.toarray(), fit.centers)
    own = D[np.arange(2000), fit.labels]
    assert (own <= D.min(axis=1) + rounding).all()
    half = 0.5 if metric == "cosine" else 1.0
    np.testing.assert_allclose(fit.inertia, half * (weights * own).sum(), rtol=rounding)
    for j in range(12):
        mean = (weights[:, None] * X.toarray())[fit.labels == j].sum(axis=0)
        mean /= np.linalg.norm(mean) if metric == "cosine" else weights[fit.labels == j].sum()
        np.testing.assert_allclose(fit.centers[j], mean, rtol=1e-5 if dtype == np.float32 else 1e-9, atol=rounding)
    labels, squares = nearest_sparse(X, fit.centers, metric)
    assert np.array_equal(labels, fit.labels)
    np.testing.assert_allclose((squares * weights).sum(), fit.inertia, rtol=1e-12)


@pytest.mark.large
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_what_is_left_out_changes_no_label(metric, monkeypatch):
    X = texts(3000, 150, 20, unit=metric == "cosine")
    saved = []
    original = engine.still_served
    monkeypatch.setattr(engine, "still_served", lambda *args: saved.append(len(args[-1]) - original(*args)) or len(args[-1]))
    whole = lloyd_sparse(X, starts(X, 20), metric=metric)  # every row that is not settled by bounds sees all centres
    monkeypatch.setattr(engine, "still_served", original)
    fit = lloyd_sparse(X, starts(X, 20), metric=metric)
    assert sum(saved) > 1000
    assert np.array_equal(fit.labels, whole.labels)
    assert np.array_equal(fit.centers, whole.centers)
    assert (fit.inertia, fit.n_iter) == (whole.inertia, whole.n_iter)


def test_the_golden_value_of_scikit_learn():
    """scikit-learn 1.9.1: KMeans(5, init=X[:5], n_init=1, tol=0, algorithm="lloyd") on these rows."""
    X = texts(500, 40, 5, seed=3)
    fit = lloyd_sparse(X, X[:5].toarray())
    assert fit.n_iter == GOLDEN[0]
    np.testing.assert_allclose(fit.inertia, GOLDEN[1], rtol=1e-12)
    assert np.bincount(fit.labels).tolist() == GOLDEN[2]


GOLDEN = (30, 1684.0163254844747, [70, 30, 95, 117, 188])


@pytest.mark.large
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_the_same_bits_for_any_number_of_threads(metric):
    X = texts(4000, 100, 8, unit=metric == "cosine", dtype=np.float32)
    found = []
    for threads in (1, 2, 5):
        shoal.set_threads(threads)
        found.append(lloyd_sparse(X, starts(X, 9), weights=weights_of(4000), metric=metric))
    shoal.set_threads(None)
    for fit in found[1:]:
        assert np.array_equal(fit.labels, found[0].labels)
        assert np.array_equal(fit.centers, found[0].centers)
        assert fit.inertia == found[0].inertia


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_plain_python_gives_the_same_bits(metric):
    X = texts(120, 15, 4, unit=metric == "cosine", dtype=np.float32)
    with plain_python(True):
        plain = lloyd_sparse(X, starts(X, 5), metric=metric)
    with plain_python(False):
        fit = lloyd_sparse(X, starts(X, 5), metric=metric)
    assert np.array_equal(fit.labels, plain.labels)
    assert np.array_equal(fit.centers, plain.centers)
    assert fit.inertia == plain.inertia


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_fixed_coordinates_stay(metric):
    X = texts(200, 10, 4, unit=metric == "cosine")
    fixed = np.full((5, 10), np.nan)
    fixed[0, 2], fixed[1, :4], fixed[2] = 0.25, 0.1, np.eye(10)[3]
    fit = lloyd_sparse(X, starts(X, 5), metric=metric, fixed=fixed)
    centers, labels, inertia = naive_lloyd(X.toarray(), starts(X, 5), fixed=fixed, metric=metric)
    assert np.array_equal(fit.centers[~np.isnan(fixed)], fixed[~np.isnan(fixed)])
    assert fit.labels.tolist() == labels.tolist()
    np.testing.assert_allclose(fit.centers, centers, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(fit.inertia, inertia, rtol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_empty_clusters_are_refilled(weighted):
    X = texts(150, 12, 4)
    start = np.concatenate([starts(X, 3), np.full((2, 12), 50.0)])
    weights = weights_of(150) if weighted else None
    fit = lloyd_sparse(X, start, weights=weights)
    _, labels, inertia = naive_lloyd(X.toarray(), start, weights)
    assert (np.bincount(fit.labels, minlength=5) > 0).all()
    assert fit.labels.tolist() == labels.tolist()
    np.testing.assert_allclose(fit.inertia, inertia, rtol=1e-9)


def test_of_equally_near_centres_the_first_wins():
    X = texts(50, 8, 3)
    C = np.repeat(starts(X, 2), 40, axis=0)  # more than one tile
    labels, _ = nearest_sparse(X, C)
    assert set(labels.tolist()) == {0, 40}


@pytest.mark.parametrize("size", [1e-200, 1e-30, 1e200])
def test_scale_changes_nothing(size):
    X = texts(300, 20, 4)
    fit, scaled = lloyd_sparse(X, starts(X, 4)), lloyd_sparse(X * size, starts(X, 4) * size)
    assert np.array_equal(fit.labels, scaled.labels)
    np.testing.assert_allclose(scaled.centers / size, fit.centers, rtol=1e-12)


def test_rows_without_entries():
    X = sparse.csr_array(np.array([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0], [0.0, 0.0]]))
    fit = lloyd_sparse(X, np.array([[0.0, 0.0], [3.0, 4.0]]))
    assert fit.labels.tolist() == [0, 0, 1, 0]
    assert fit.inertia == 0.0
    labels, squares = nearest_sparse(X, np.array([[3.0, 4.0]]))
    assert (labels.tolist(), squares.tolist()) == ([0, 0, 0, 0], [25.0, 25.0, 0.0, 25.0])


def test_tolerance_and_limit_of_iterations():
    X = texts(400, 30, 6)
    full = lloyd_sparse(X, starts(X, 6))
    short = lloyd_sparse(X, starts(X, 6), max_iter=2)
    loose = lloyd_sparse(X, starts(X, 6), tol=1e9)
    assert full.n_iter > 3
    assert (short.n_iter, short.converged) == (2, False)
    assert (loose.n_iter, loose.converged) == (1, True)


def test_input_is_not_written_to():
    X = texts(100, 10, 3)
    start, before = starts(X, 3), X.copy()
    for part in (X.data, X.indices, X.indptr, start):
        part.setflags(write=False)
    lloyd_sparse(X, start)
    assert (before != X).nnz == 0


def make_golden():
    """Print the golden value; run by hand."""
    from sklearn.cluster import KMeans

    X = texts(500, 40, 5, seed=3)
    with warnings.catch_warnings():
        model = KMeans(5, init=X[:5].toarray(), n_init=1, tol=0.0, algorithm="lloyd").fit(X)
    return model.n_iter_, model.inertia_, np.bincount(model.labels_).tolist()
