"""Lloyd's iterations: against the naive twin, a certificate of what is returned, and scikit-learn's values."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
from naive.kmeans import naive_lloyd, squares_to
from shoal.centers import bounds, update
from shoal.centers.lloyd import Fit, lloyd, nearest
from shoal.errors import InputError
from shoal.runtime.kernel import plain_python
from shoal.runtime.progress import Ticker


def clouds(n: int, d: int, k: int, seed: int = 0, dtype: Any = np.float64) -> Any:
    rng = np.random.default_rng(seed)
    return np.ascontiguousarray((rng.normal(scale=4.0, size=(k, d))[rng.integers(0, k, n)] + rng.normal(size=(n, d))), dtype)


def start(X: Any, k: int, seed: int = 1) -> Any:
    return X[np.random.default_rng(seed).choice(len(X), k, replace=False)].copy()


def on_sphere(X: Any) -> Any:
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def certify(X: Any, fit: Fit, weights: Any = None, metric: str = "euclidean") -> None:
    """Labels are the nearest of the centres returned, and the inertia is theirs."""
    D = squares_to(X, fit.centers)
    own = D[np.arange(len(X)), fit.labels]
    assert (own <= D.min(axis=1) + 1e-13 * (1.0 + D.max())).all()
    inertia = (own if weights is None else own * weights).sum() / (2.0 if metric == "cosine" else 1.0)
    assert fit.inertia == pytest.approx(inertia, rel=1e-12)
    assert fit.labels.dtype == np.int32
    assert fit.centers.dtype == X.dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "d", "k"), [(400, 2, 7), (300, 5, 12), (250, 20, 9), (200, 37, 30), (90, 3, 1), (60, 1, 5)])
def test_is_the_naive_fit(n: int, d: int, k: int, dtype: Any) -> None:
    X = clouds(n, d, 6, seed=d, dtype=dtype)
    C = start(X, k)
    fit = lloyd(X, C)
    centers, labels, inertia = naive_lloyd(X, C)
    certify(X, fit)
    np.testing.assert_array_equal(fit.labels, labels)
    np.testing.assert_allclose(fit.centers, centers, rtol=0, atol=2e-6 if dtype == np.float32 else 1e-12)
    assert fit.inertia == pytest.approx(inertia, rel=1e-6 if dtype == np.float32 else 1e-12)
    assert fit.converged


@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(2, 4), st.booleans(), st.booleans())
def test_grids_with_ties_and_weights_are_certified(seed: int, n: int, d: int, weighted: bool, single: bool) -> None:
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 4, (n, d)).astype(np.float32 if single else np.float64)
    weights = rng.integers(0, 3, n).astype(float) if weighted else None
    k = int(rng.integers(1, n + 1))
    fit = lloyd(X, X[rng.integers(0, n, k)], weights=weights)
    certify(X, fit, weights)
    np.testing.assert_array_equal(fit.labels, squares_to(X, fit.centers).argmin(axis=1))


@pytest.mark.parametrize("engine", ["bounds", "full"])
def test_every_iteration_is_plain_search(engine: str) -> None:
    X = clouds(800, 4, 15, seed=3)
    C = start(X, 20)
    for steps in (1, 2, 3, 5, 9):
        fit = lloyd(X, C, max_iter=steps, engine=engine)
        certify(X, fit)
        _, labels, inertia = naive_lloyd(X, C, max_iter=steps)
        np.testing.assert_array_equal(fit.labels, labels)
        assert fit.inertia == pytest.approx(inertia, rel=1e-12)


def test_weights_count_as_copies() -> None:
    X = clouds(200, 3, 5, seed=4)
    weights = np.random.default_rng(0).integers(0, 4, 200)
    C = start(X[weights > 0], 5)
    fit, copies = lloyd(X, C, weights=weights.astype(float)), lloyd(np.repeat(X, weights, axis=0), C)
    np.testing.assert_array_equal(np.repeat(fit.labels, weights), copies.labels)
    np.testing.assert_allclose(fit.centers, copies.centers, atol=1e-13)
    assert fit.inertia == pytest.approx(copies.inertia, rel=1e-12)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("weighted", [False, True])
def test_fixed_coordinates_stay(metric: str, weighted: bool) -> None:
    X = clouds(300, 4, 5, seed=5)
    X = on_sphere(X) if metric == "cosine" else X
    rng = np.random.default_rng(2)
    weights = rng.random(300) if weighted else None
    C, fixed = start(X, 6), np.full((6, 4), np.nan)
    fixed[0], fixed[1, 2], fixed[2, :2] = C[0], 0.1, 0.3
    fit = lloyd(X, C, fixed=fixed, metric=metric, weights=weights)
    centers, labels, inertia = naive_lloyd(X, C, weights, fixed, metric)
    certify(X, fit, weights, metric)
    np.testing.assert_array_equal(fit.centers[~np.isnan(fixed)], fixed[~np.isnan(fixed)])
    np.testing.assert_array_equal(fit.labels, labels)
    np.testing.assert_allclose(fit.centers, centers, atol=1e-12)
    assert fit.inertia == pytest.approx(inertia, rel=1e-11)
    if metric == "cosine":
        np.testing.assert_allclose(np.linalg.norm(fit.centers[1:], axis=1), 1.0, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_on_the_sphere(dtype: Any) -> None:
    X = on_sphere(clouds(500, 12, 8, seed=6)).astype(dtype)
    C = start(X, 10)
    fit = lloyd(X, C, metric="cosine")
    certify(X, fit, metric="cosine")
    _, labels, inertia = naive_lloyd(X, C, metric="cosine")
    np.testing.assert_array_equal(fit.labels, labels)
    assert fit.inertia == pytest.approx(inertia, rel=1e-5 if dtype == np.float32 else 1e-12)
    found, cosines = nearest(X, fit.centers, "cosine")
    np.testing.assert_array_equal(found, fit.labels)
    np.testing.assert_allclose(cosines, 1.0 - (X * fit.centers[found]).sum(axis=1), atol=1e-6)


@pytest.mark.parametrize("d", [1, 3])
def test_empty_clusters_get_the_farthest_items(d: int) -> None:
    X = clouds(80, d, 4, seed=7)
    C = np.vstack([X[:3], np.full((4, d), 1e3) + np.arange(4)[:, None]])
    fit = lloyd(X, C)
    assert len(np.unique(fit.labels)) == 7
    certify(X, fit)
    _, labels, inertia = naive_lloyd(X, C)
    np.testing.assert_array_equal(fit.labels, labels)
    assert fit.inertia == pytest.approx(inertia, rel=1e-12)


@pytest.mark.parametrize("d", [1, 2])
def test_fewer_distinct_items_than_centres(d: int) -> None:
    X = np.repeat(np.arange(3.0)[:, None], d, axis=1).repeat(4, axis=0)
    fit = lloyd(X, X[[0, 1, 2, 3, 4]])
    assert fit.inertia == 0.0
    assert len(np.unique(fit.labels)) == 3
    certify(X, fit)


@pytest.mark.parametrize("d", [1, 4])
@pytest.mark.parametrize(("factor", "offset"), [(1e-30, 0.0), (1e30, 0.0), (1e-170, 0.0), (1.0, 1e8), (1.0, -3e5)])
def test_neither_scale_nor_offset_change_the_labels(factor: float, offset: float, d: int) -> None:
    X = clouds(400, d, 6, seed=8)
    C = start(X, 8)
    expected = lloyd(X, C)
    fit = lloyd(X * factor + offset, C * factor + offset)
    np.testing.assert_array_equal(fit.labels, expected.labels)
    np.testing.assert_allclose((fit.centers - offset) / factor, expected.centers, atol=1e-7 if offset else 1e-12)
    found, _ = nearest(X * factor + offset, fit.centers)
    np.testing.assert_array_equal(found, fit.labels)


def test_float32_far_from_zero() -> None:
    X = np.round(clouds(500, 3, 5, seed=9) * 16.0)
    C = start(X, 7)
    moved = (X + 2.0**17).astype(np.float32)
    near, far = lloyd(X, C, max_iter=1), lloyd(moved, (C + 2.0**17).astype(np.float32), max_iter=1)
    certify(moved, far)
    assert (near.labels == far.labels).mean() > 0.98  # the centres are rounded to 1/64


def test_tiny_clumps_far_apart() -> None:
    rng = np.random.default_rng(10)
    X = np.vstack([c + 1e-7 * rng.normal(size=(60, 3)) for c in rng.normal(size=(4, 3))])
    C = np.vstack([X[:3], X[60:63], X[120:123], X[180:183]])
    fit = lloyd(X, C)
    D = squares_to(X, fit.centers)
    np.testing.assert_array_equal(fit.labels, D.argmin(axis=1))
    np.testing.assert_array_equal(fit.labels, naive_lloyd(X, C)[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 3, 18])
def test_bits_do_not_depend_on_threads(d: int, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "ROWS", 64)  # many blocks of few items
    monkeypatch.setattr(bounds, "WORK", 1 << 12)
    monkeypatch.setattr(update, "ROWS", 50)
    X = clouds(900, d, 9, seed=11, dtype=dtype)
    C = start(X, 12)
    fits = []
    try:
        for threads in (1, 2, 5):
            shoal.set_threads(threads)
            fits.append((lloyd(X, C, max_iter=8), nearest(X, C)))
    finally:
        shoal.set_threads(None)
    for fit, found in fits[1:]:
        np.testing.assert_array_equal(fit.labels, fits[0][0].labels)
        np.testing.assert_array_equal(fit.centers, fits[0][0].centers)
        assert fit.inertia == fits[0][0].inertia
        np.testing.assert_array_equal(found[0], fits[0][1][0])
        np.testing.assert_array_equal(found[1], fits[0][1][1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 2, 17])
def test_plain_python_gives_the_same_bits(d: int, dtype: Any) -> None:
    X = clouds(150, d, 4, seed=12, dtype=dtype)
    C = start(X, 6)
    compiled = lloyd(X, C)
    with plain_python(True):
        plain = lloyd(X, C)
    np.testing.assert_array_equal(plain.labels, compiled.labels)
    np.testing.assert_array_equal(plain.centers, compiled.centers)
    assert (plain.inertia, plain.n_iter) == (compiled.inertia, compiled.n_iter)


def test_nearest_takes_mixed_precision_and_many_centres() -> None:
    X = clouds(60, 6, 5, seed=13)
    C = clouds(1100, 6, 5, seed=14)  # more than two blocks of products
    for rows, centers in ((X, C), (X.astype(np.float32), C), (X, C.astype(np.float32))):
        labels, squares = nearest(rows, centers)
        D = squares_to(rows, centers)
        np.testing.assert_array_equal(labels, D.argmin(axis=1))
        np.testing.assert_allclose(squares, D.min(axis=1), rtol=1e-13)


def test_inputs_are_left_alone_and_tolerance_stops() -> None:
    X = clouds(300, 3, 5, seed=15)
    C, fixed = start(X, 4), np.full((4, 3), np.nan)
    for given_array in (X, C, fixed):
        given_array.setflags(write=False)
    whole, early = lloyd(X, C, fixed=fixed), lloyd(X, C, tol=0.5)
    assert early.converged
    assert early.n_iter < whole.n_iter
    assert not lloyd(X, C, max_iter=1).converged
    certify(X, early)


def test_progress_may_cancel() -> None:
    X = clouds(300, 3, 5, seed=16)
    with pytest.raises(KeyboardInterrupt), Ticker(lambda fraction, message: False, "k-means") as ticker:
        lloyd(X, start(X, 4), ticker=ticker)


def test_engines_that_cannot_do_the_work() -> None:
    X = clouds(20, 2, 2)
    with pytest.raises(InputError, match="no engine 'elkan'"):
        lloyd(X, X[:2], engine="elkan")
    with pytest.raises(InputError, match="one feature"):
        lloyd(X, X[:2], engine="line")
    with pytest.raises(InputError, match="cannot hold"):
        lloyd(X[:, :1].copy(), X[:2, :1], engine="exact", fixed=np.array([[0.0], [np.nan]]))


def test_golden_values_of_scikit_learn() -> None:
    """KMeans(3, init=X[[0, 50, 100]], n_init=1, tol=0) of iris in scikit-learn 1.9.1."""
    from sklearn.datasets import load_iris

    X = load_iris().data
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = lloyd(np.ascontiguousarray(X), X[[0, 50, 100]])
    assert fit.inertia == pytest.approx(78.851441426146, rel=1e-12)
    np.testing.assert_array_equal(np.bincount(fit.labels), [50, 62, 38])
    assert fit.n_iter == 4


@pytest.mark.large
def test_large_is_plain_search() -> None:
    X = clouds(200_000, 8, 100, seed=17, dtype=np.float32)
    C = start(X, 150)
    fast, slow = lloyd(X, C, max_iter=30), lloyd(X, C, max_iter=30, engine="full")
    np.testing.assert_array_equal(fast.labels, slow.labels)
    np.testing.assert_array_equal(fast.centers, slow.centers)
