"""The block eigensolver: against numpy's full decomposition, against known spectra, and by its own residuals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

import shoal
from shoal.graphs.eigen import DIRECT, Eigen, dense_product, largest, sparse_product
from shoal.runtime import blas
from shoal.runtime.kernel import plain_python
from strategies import read_only


def symmetric(n: int, values: Any, seed: int = 0) -> np.ndarray:
    """A matrix with these eigenvalues, and 0 for the rest."""
    Q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, len(values))))
    A = (Q * values) @ Q.T
    return (A + A.T) / 2


def path_walk(n: int) -> tuple[Any, np.ndarray]:
    """The random walk on a path of n items, made symmetric, and its eigenvalues cos(πj/(n - 1))."""
    A = sparse.diags_array([np.ones(n - 1), np.ones(n - 1)], offsets=[-1, 1])
    root = sparse.diags_array(1 / np.sqrt(np.asarray(A.sum(axis=0))))
    return sparse.csr_array(root @ A @ root), np.cos(np.pi * np.arange(n) / (n - 1))


def require_eigenpairs(A: Any, found: Eigen, tol: float) -> None:
    """The certificate: orthonormal vectors with the residuals it reports, and these small enough."""
    U, k = found.vectors, found.vectors.shape[1]
    np.testing.assert_allclose(U.T @ U, np.eye(k), atol=1e-10)
    residual = np.linalg.norm(A @ U - U * found.values[:k], axis=0)
    assert found.converged
    np.testing.assert_allclose(found.residual, residual, rtol=1e-3, atol=1e-9)
    assert residual.max() <= tol * (found.values[0] - found.values[-1]) + 1e-9


@given(st.integers(1, 30), st.integers(0, 2**32 - 1), st.data())
def test_small_operators_have_numpys_eigenvalues(n: int, seed: int, data: st.DataObject) -> None:
    A = np.random.default_rng(seed).standard_normal((n, n))
    A = A + A.T
    k = data.draw(st.integers(0, n))
    found = largest(dense_product(A), n, k)
    np.testing.assert_allclose(found.values[:k], np.linalg.eigvalsh(A)[::-1][:k], atol=1e-10)
    np.testing.assert_allclose(A @ found.vectors, found.vectors * found.values[:k], atol=1e-10)


@pytest.mark.parametrize("values", [
    np.linspace(1, 0.3, 380),  # no gap anywhere
    np.array([1.0] * 5 + [0.5] * 5 + [0.1] * 300),  # multiple ones
    np.array([1.0, 0.99, 0.98, 0.2, 0.1]),  # of low rank
    np.concatenate([[2.0, 1.9], -np.linspace(0.1, 3, 340)]),  # a larger negative end
], ids=["even", "multiple", "low rank", "negative"])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_dense_spectra_are_found(values: np.ndarray, k: int) -> None:
    A = symmetric(400, values)
    found = largest(dense_product(A), 400, k, tol=1e-5)
    require_eigenpairs(A, found, 1e-5)
    np.testing.assert_allclose(found.values[:k], np.linalg.eigvalsh(A)[::-1][:k], atol=1e-8)


@pytest.mark.large
@pytest.mark.parametrize("k", [1, 4, 12])
def test_a_long_path_which_hardly_has_gaps(k: int) -> None:
    A, values = path_walk(1000)
    found = largest(sparse_product(A), 1000, k, tol=1e-3, top=1.0)
    np.testing.assert_allclose(found.values[:k], values[:k], atol=1e-9)
    assert 20 < found.products < 1500  # a power iteration takes a million


def test_a_known_space_is_left_out() -> None:
    A, values = path_walk(800)
    q = np.sqrt(np.r_[1, np.full(798, 2), 1])[:, None]
    q /= np.linalg.norm(q)
    found = largest(sparse_product(A), 800, 3, top=1.0, project=lambda X: X - q @ (q.T @ X))
    np.testing.assert_allclose(found.values[:3], values[1:4], atol=1e-9)
    assert np.abs(q.T @ found.vectors).max() < 1e-10
    small = np.diag([5.0, -1.0, -2.0, -7.0])  # what is left may be negative
    out = np.eye(4)[:, :1]
    assert largest(dense_product(small), 4, 3, project=lambda X: X - out @ (out.T @ X)).values == pytest.approx([-1, -2, -7])


def test_float32_products_reach_what_float32_can() -> None:
    A = symmetric(600, np.r_[1, 0.9, 0.8, np.linspace(0.3, 0, 300)])
    narrow = A.astype(np.float32)
    found = largest(dense_product(narrow), 600, 3, tol=1e-12, noise=8 * float(np.finfo(np.float32).eps))
    assert found.converged
    np.testing.assert_allclose(found.values[:3], [1, 0.9, 0.8], atol=1e-6)


def test_a_tolerance_beyond_reach_ends_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.graphs.eigen.PRODUCTS", 40)
    A, _ = path_walk(1000)
    found = largest(sparse_product(A), 1000, 4, tol=1e-9)
    assert not found.converged
    assert found.residual.max() > 1e-9
    assert found.products >= 40


@pytest.mark.large
def test_the_same_bits_for_any_number_of_threads() -> None:
    A = sparse.random_array((9000, 9000), density=5e-4, rng=np.random.default_rng(0), format="csr")
    A = sparse.csr_array(A + A.T)
    B = symmetric(700, np.linspace(1, 0.3, 300)).astype(np.float32)
    found = []
    for threads in (1, 2, 5):
        shoal.set_threads(threads)
        found.append([largest(sparse_product(A), 9000, 3, tol=0.01), largest(dense_product(B), 700, 3)])
    shoal.set_threads(None)
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert np.array_equal(one.vectors, two.vectors)
            assert np.array_equal(one.values, two.values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_are_products(dtype: Any) -> None:
    rng = np.random.default_rng(1)
    A = sparse.random_array((300, 200), density=0.05, rng=rng, dtype=dtype, format="csr")
    X = read_only(rng.standard_normal((200, 7)))
    by_rows = sparse_product(A)(X)
    np.testing.assert_allclose(by_rows, A.astype(np.float64) @ X, atol=1e-12)
    with plain_python(True):
        assert np.array_equal(sparse_product(A)(X), by_rows)
    D = read_only(A.toarray())
    with blas.one_thread():
        np.testing.assert_allclose(dense_product(D)(X), D @ X, atol=1e-5 if dtype == np.float32 else 1e-12)


def test_nothing_wanted_needs_no_product() -> None:
    found = largest(dense_product(np.eye(3)), 3, 0)
    assert found.products == 0
    assert found.vectors.shape == (3, 0)


def test_small_and_large_agree_where_they_meet() -> None:
    A, values = path_walk(DIRECT + 1)
    found = largest(sparse_product(A), DIRECT + 1, 2, tol=1e-6)
    np.testing.assert_allclose(found.values[:2], values[:2], atol=1e-10)
