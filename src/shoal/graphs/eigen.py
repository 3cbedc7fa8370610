"""The largest eigenpairs of a symmetric operator, a block of vectors at a time, without a factorisation.

A few steps of block Lanczos come first: where the wanted eigenvalues stand clear of the others, as they do in data with
clusters, that is all. Otherwise they have found out where the spectrum ends, and Chebyshev polynomials, which are small on
the unwanted part of it and steep beyond, filter the block until its residuals are small. Every product takes the whole
block, because reading a dense matrix is most of a product: 32 vectors cost 1.5 times as much as 8.

Everything but the product itself is float64, over blocks of rows that depend on their number alone: the same bits for any
number of threads.

Sources: Golub & Underwood 1977, The block Lanczos method; Zhou, Saad, Tiago & Chelikowsky 2006, Self-consistent-field
calculations using Chebyshev-filtered subspace iteration; Stathopoulos & Wu 2002, A block orthogonalization procedure.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.runtime import blas, pool
from shoal.runtime.kernel import kernel
from shoal.runtime.progress import Ticker

__all__ = ["Eigen", "Product", "combine", "dense_product", "gram", "largest", "sparse_product"]

Floats = NDArray[np.float64]
Product = Callable[[Floats], Floats]

ROWS = 4096  # of a block of vectors that a task combines: half a megabyte at 16 vectors
VALUES = 1 << 24  # of a dense matrix that a task multiplies: 5 to 15 ms
STORED = 1 << 18  # of a sparse one: 4 ms
DIRECT = 256  # rows up to which all eigenvalues are computed at once
SPARE = 7  # vectors beyond those wanted, so that 10 clusters take 16: the filter is steep at the last wanted one
STEPS = 4  # of block Lanczos
BUNCHED = 0.01  # of the way from the largest to the block's last value: where the last wanted one is so near to that, a
#                 polynomial that is small up to the last does not grow at the wanted, and Lanczos goes on instead
DEGREE = 200  # of a polynomial at most
SPREAD = 16.0  # log of how much more the first vector may grow than the last: float64 still tells the block's columns apart
PRODUCTS = 4000  # after which the search ends, converged or not


class Eigen(NamedTuple):
    """Eigenpairs, largest first.

    Attributes
    ----------
    values : ndarray, shape (k,) or (k + 1,)
        The k wanted, and where there is one the next, which is less exact (never above its true value).
    vectors : ndarray, shape (n, k)
        Orthonormal columns.
    residual : ndarray, shape (k,)
        ‖A u - λ u‖ of each: an eigenvalue lies within this distance of λ.
    products : int
        How often the operator was applied to a block.
    converged : bool
    """

    values: Floats
    vectors: Floats
    residual: Floats
    products: int
    converged: bool


# -------------------------------------------------------------------------------------------------------------- products


@kernel
def multiply_rows(indptr: Any, indices: Any, values: Any, X: Any, i0: int, i1: int, out: Any) -> None:
    """out[i] = Σ_p values[p] X[indices[p]] over the stored entries of rows i0 … i1."""
    for i in range(i0, i1):
        row = out[i]
        for t in range(row.shape[0]):
            row[t] = 0.0
        for p in range(indptr[i], indptr[i + 1]):
            a, x = np.float64(values[p]), X[indices[p]]
            for t in range(row.shape[0]):
                row[t] += a * x[t]


def sparse_product(A: Any) -> Product:
    """Return ``product(X) = A X`` of a csr_array and a block of vectors.

    Parameters
    ----------
    A : csr_array, shape (m, n)
        float32 or float64.

    Returns
    -------
    callable
        Takes float64 arrays of shape (n, b), C-contiguous; returns new ones of shape (m, b). O(stored entries · b).
    """
    n = A.shape[0]
    rows = max(1, STORED * n // max(1, A.nnz))

    def product(X: Floats) -> Floats:
        out = np.empty((n, X.shape[1]))
        pool.run(lambda i0, i1: multiply_rows(A.indptr, A.indices, A.data, X, i0, i1, out), pool.blocks(n, rows))
        return out

    return product


def dense_product(A: NDArray[Any]) -> Product:
    """Return ``product(X) = A X`` of a dense matrix and a block of vectors, computed in the matrix's own precision.

    Parameters
    ----------
    A : ndarray, shape (m, n)
        float32 or float64; stays where it is.

    Returns
    -------
    callable
        Takes float64 arrays of shape (n, b), returns new ones of shape (m, b). O(m n b), in one pass over the matrix. To be
        called under `blas.one_thread`.
    """
    n, width = A.shape
    rows = max(1, VALUES // max(1, width))

    def product(X: Floats) -> Floats:
        narrow, out = X.astype(A.dtype, copy=False), np.empty((n, X.shape[1]))

        def work(i0: int, i1: int) -> None:
            out[i0:i1] = A[i0:i1] @ narrow

        pool.run(work, pool.blocks(n, rows))
        return out

    return product


# ------------------------------------------------------------------------------------------------------ blocks of vectors


def gram(X: Floats, Y: Floats) -> Floats:
    """Return XᵀY, summed in the order of the blocks."""
    tasks = [(at, *block) for at, block in enumerate(pool.blocks(len(X), ROWS))]
    parts = np.empty((len(tasks), X.shape[1], Y.shape[1]))

    def work(at: int, i0: int, i1: int) -> None:
        np.matmul(X[i0:i1].T, Y[i0:i1], out=parts[at])

    pool.run(work, tasks)
    return np.asarray(parts.sum(axis=0))


def combine(*terms: tuple[Floats, Any]) -> Floats:
    """Return Σ X M over pairs of a block X and a matrix M, or a number M."""
    first, factor = terms[0]
    out = np.empty((len(first), factor.shape[1] if isinstance(factor, np.ndarray) else first.shape[1]))

    def work(i0: int, i1: int) -> None:
        at = slice(i0, i1)
        out[at] = sum(X[at] @ M if isinstance(M, np.ndarray) else X[at] * M for X, M in terms)

    pool.run(work, pool.blocks(len(first), ROWS))
    return out


def _orthonormal(X: Floats, against: Floats | None = None) -> tuple[Floats, Floats, Floats | None]:
    """Return Q, B and C with X = Q B + against C, Q orthonormal and orthogonal to `against`; dependent columns are left out.

    Twice: once leaves what rounding makes of columns that are nearly dependent.
    """
    Q, B, C = X, np.eye(X.shape[1]), None
    size = np.sqrt(gram(X, X).diagonal())
    for _ in range(2):
        if against is not None:
            part = gram(against, Q)
            Q = combine((Q, 1.0), (against, -part))
            C = part @ B if C is None else C + part @ B
        G = gram(Q, Q)
        length = np.sqrt(G.diagonal())
        length = np.where(length > 1e-13 * size, length, np.inf)
        values, turn = np.linalg.eigh(G / np.outer(length, length))
        kept = values > 1e-13 * values.max(initial=1.0)
        root, turn = np.sqrt(values[kept]), turn[:, kept]
        Q = combine((Q, turn / length[:, None] / root))
        B = (turn * root).T * np.where(np.isfinite(length), length, 0.0) @ B
        size = np.ones(Q.shape[1])
    return Q, B, C


# -------------------------------------------------------------------------------------------------------------- the search


def largest(apply: Product, n: int, count: int, *, tol: float = 1e-3, top: float | None = None, noise: float = 1e-13,
            project: Product | None = None, ticker: Ticker | None = None) -> Eigen:
    """Compute the largest eigenvalues of a symmetric operator, and their eigenvectors.

    Parameters
    ----------
    apply : callable
        ``apply(X) -> A X`` for a float64 block of shape (n, b).
    n : int
        Rows of A.
    count : int
        Eigenpairs wanted, from 0 to n.
    tol : float
        Residuals are at most `tol` times the distance from `top` to the first eigenvalue that is not wanted.
    top : float, optional
        The largest eigenvalue, where it is known; by default the largest found.
    noise : float
        The relative precision of `apply`: residuals below it times |top| are not asked for.
    project : callable, optional
        ``project(X)`` returns X less its part in a space that A maps into itself; eigenvectors in it are not looked for.
        `count` is at most the dimension of the rest.
    ticker : Ticker, optional
        Told after each product.

    Returns
    -------
    Eigen

    Notes
    -----
    The start is the same at every call. Up to 256 rows: O(n³). Else O(products · (one pass over A + n b²)), with b about
    count + 8 vectors; in memory 8 n b numbers.

    Examples
    --------
    >>> import numpy as np
    >>> A = np.diag([1.0, 4.0, 9.0])
    >>> largest(dense_product(A), 3, 2).values.tolist()
    [9.0, 4.0, 1.0]
    """
    if count == 0:
        return Eigen(np.empty(0), np.empty((n, 0)), np.empty(0), 0, True)
    width = 8 * math.ceil((count + SPARE) / 8)
    with blas.one_thread():
        if n <= max(DIRECT, (STEPS + 1) * width):
            return _direct(apply, n, count, project)
        return _Search(apply, n, count, width, tol, top, noise, project, ticker).run()


def _direct(apply: Product, n: int, count: int, project: Product | None) -> Eigen:
    """All eigenvalues of a small operator."""
    A, rest = apply(np.eye(n)), n
    A = (A + A.T) / 2
    if project is not None:
        inside = project(np.eye(n))
        rest = round(float(np.trace(inside)))
        A = inside @ A @ inside - 3.0 * np.abs(A).sum(axis=0).max() * (np.eye(n) - inside)  # below all the others
    values, vectors = np.linalg.eigh((A + A.T) / 2)
    values, vectors = values[::-1], np.ascontiguousarray(vectors[:, ::-1][:, :count])
    residual = np.linalg.norm(A @ vectors - vectors * values[:count], axis=0)
    return Eigen(values[:min(count + 1, rest)], vectors, residual, 1, True)


class _Search:
    """The state of one search: Ritz vectors `X`, `W` = A X, their values and residuals."""

    def __init__(self, apply: Product, n: int, count: int, width: int, tol: float, top: float | None, noise: float,
                 project: Product | None, ticker: Ticker | None) -> None:
        self._apply, self.project, self.ticker = apply, project, ticker
        self.n, self.count, self.width, self.tol, self.top, self.noise = n, count, width, tol, top, noise
        self.products = 0
        self.low = math.inf  # no eigenvalue is below
        self.X = self.W = np.empty((n, 0))
        self.values = self.residual = np.empty(0)

    def apply(self, X: Floats) -> Floats:
        self.products += 1
        if self.ticker is not None:
            self.ticker.step()
        return self._apply(X)

    def outside(self, X: Floats) -> Floats:
        """Take out what is known. The operator maps the rest into itself, so once before orthonormalising is enough."""
        return X if self.project is None else self.project(X)

    def run(self) -> Eigen:
        self.krylov(np.random.default_rng(0).standard_normal((self.n, self.width)))
        while self.excess() > 1.0 and self.products < PRODUCTS:
            top, wanted, last = self.ends()
            if wanted - last < BUNCHED * (top - last):
                self.krylov(self.X)
            else:
                self.rotate(self.filtered())
        k = self.count
        return Eigen(self.values[:k + 1], np.ascontiguousarray(self.X[:, :k]), self.residual[:k], self.products,
                     self.excess() <= 1.0)

    def excess(self) -> float:
        """How many times too large the residuals are."""
        top, after = self.ends()[0], self.values[min(self.count, len(self.values) - 1)]
        return float(self.residual[:self.count].max() / max(self.tol * (top - after), self.noise * abs(top), 1e-300))

    def ends(self) -> tuple[float, float, float]:
        """The largest eigenvalue, the last wanted one, and the block's last."""
        return float(self.values[0] if self.top is None else self.top), *self.values[[self.count - 1, -1]].tolist()

    def krylov(self, start: Floats) -> None:
        """Block Lanczos, every block orthogonal to all before it."""
        block, _, _ = _orthonormal(self.outside(start))
        basis = np.empty((self.n, (STEPS + 1) * self.width))
        T = np.zeros((basis.shape[1], basis.shape[1]))
        a, b = 0, block.shape[1]
        basis[:, :b] = block
        while True:
            block, below, T[:b, a:b] = _orthonormal(self.outside(self.apply(block)), basis[:, :b])
            values, turn = np.linalg.eigh((T[:b, :b] + T[:b, :b].T) / 2)
            values, turn = values[::-1], turn[:, ::-1][:, :self.width]
            self.values, self.residual = values[:self.width], np.linalg.norm(below @ turn[a:b], axis=0)
            self.low = min(self.low, float(values[-1] - np.linalg.norm(below, 2)))
            c = b + block.shape[1]
            T[b:c, a:b], basis[:, b:c] = below, block
            if c == b or self.excess() <= 1.0 or c + self.width > basis.shape[1]:
                break
            a, b = b, c
        self.X = combine((basis[:, :b], turn))
        self.W = combine((basis[:, :c], T[:c, :b] @ turn))

    def filtered(self) -> Floats:
        """p(A) X for the Chebyshev polynomial that is within ±1 from the lowest eigenvalue to the block's last."""
        top, wanted, high = self.ends()
        center, half = (high + self.low) / 2, max((high - self.low) / 2, 1e-300)
        first, last = (math.acosh(max(value - center, half) / half) for value in (top, wanted))
        degree = min(DEGREE, SPREAD / max(first, 1e-300), math.acosh(2.0 * self.excess()) / max(last, 1e-300))
        before, now = self.X, combine((self.W, 1.0 / half), (self.X, -center / half))
        for _ in range(max(1, math.ceil(degree)) - 1):
            before, now = now, combine((self.apply(now), 2.0 / half), (now, -2.0 * center / half), (before, -1.0))
        return now

    def rotate(self, F: Floats) -> None:
        """Take the Ritz vectors of the space that F spans."""
        Q, _, _ = _orthonormal(self.outside(F))
        W = self.apply(Q)
        H = gram(Q, W)
        values, turn = np.linalg.eigh((H + H.T) / 2)
        self.values, turn = values[::-1], turn[:, ::-1]
        self.X, self.W = combine((Q, turn)), combine((W, turn))
        left = combine((self.W, 1.0), (self.X, -np.diag(self.values)))
        self.residual = np.sqrt(gram(left, left).diagonal())
