"""How far a symmetric matrix is from a Gram matrix: its least eigenvalue, and what its negative ones sum to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.data.pairs import Pairs, pair_at
from shoal.graphs.eigen import Product
from shoal.runtime import blas, memory

__all__ = ["Negative", "clipped", "negative_part", "whole_square"]

Floats = NDArray[np.float64]

DIRECT = 512  # rows up to which all eigenvalues are computed: 0.1 s
PROBES = 8  # random vectors side by side: a product with 8 takes 1.5 times what one takes
STEPS = 12  # of block Lanczos at most
NEAR = 0.1  # of the least eigenvalue, or of the mean one where that is more: the residual that ends the search


class Negative(NamedTuple):
    """The negative end of a spectrum.

    Attributes
    ----------
    least : float
        The least eigenvalue; never below the true one but by rounding.
    residual : float
        An eigenvalue lies within this of `least`; 0 where it was computed directly.
    mass : float
        Σ |λ| over the negative eigenvalues; an estimate unless `residual` is 0.
    largest : float
        The largest eigenvalue; never above the true one but by rounding.
    """

    least: float
    residual: float
    mass: float
    largest: float


def negative_part(apply: Product, n: int, rng: np.random.Generator) -> Negative:
    """Compute or estimate the negative end of a symmetric operator's spectrum in a few products.

    Parameters
    ----------
    apply : callable
        ``apply(X) -> A X`` for a float64 block of shape (n, b).
    n : int
        Rows of A.
    rng : numpy.random.Generator

    Returns
    -------
    Negative

    Notes
    -----
    Up to 512 rows O(n³), exact. Else block Lanczos from 8 random signs, at most 12 steps: its Ritz values close in on the
    ends of the spectrum, and are the nodes of the Gauss quadrature of Σ max(-λ, 0), which is exactly 0 where no eigenvalue
    is negative. At most 12 passes over A; 200·n numbers.

    Sources: Golub & Meurant 2010, Matrices, Moments and Quadrature, §6.6; Ubaru, Chen & Saad 2017, doi:10.1137/16M1104974.

    Examples
    --------
    >>> import numpy as np
    >>> found = negative_part(lambda X: np.diag([2.0, 1.0, -0.5]) @ X, 3, np.random.default_rng(0))
    >>> found.least, found.mass
    (-0.5, 0.5)
    """
    with blas.one_thread():
        if n <= DIRECT:
            A = apply(np.eye(n))
            values = np.linalg.eigvalsh((A + A.T) / 2)
            return Negative(float(values[0]), 0.0, float(-np.minimum(values, 0.0).sum()), float(values[-1]))
        signs = rng.integers(0, 2, (n, PROBES)) * 2.0 - 1.0
        block, coordinates = np.linalg.qr(signs)
        basis, product = block, apply(block)
        mean = float(np.abs((signs * (product @ coordinates)).sum(axis=0)).mean()) / n
        while True:
            H = basis.T @ product
            values, turn = np.linalg.eigh((H + H.T) / 2)
            rest = product[:, -PROBES:] - basis @ H[:, -PROBES:]
            residual = float(np.linalg.norm(rest @ turn[-PROBES:, 0]))
            if residual <= NEAR * max(-float(values[0]), mean) or basis.shape[1] >= STEPS * PROBES:
                break
            block = np.linalg.qr(rest)[0]
            block = np.linalg.qr(block - basis @ (basis.T @ block))[0]  # once leaves what rounding makes of small columns
            basis, product = np.hstack([basis, block]), np.hstack([product, apply(block)])
        share = np.square(turn[:PROBES].T @ coordinates).sum(axis=1) / PROBES  # of the quadrature at every node
        return Negative(float(values[0]), residual, float(np.maximum(-values, 0.0) @ share), float(values[-1]))


def clipped(K: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """Return the nearest Gram matrix, with the negative eigenvalues set to 0; and these, with their eigenvectors.

    Parameters
    ----------
    K : ndarray, shape (n, n)

    Returns
    -------
    gram : ndarray of float64, shape (n, n)
    values : ndarray, shape (m,)
    vectors : ndarray, shape (n, m)

    Raises
    ------
    TooLargeError
        Before any work, when three matrices do not fit in memory.

    Notes
    -----
    O(n³). The nearest in the sum of squared differences: Higham 1988, doi:10.1016/0024-3795(88)90223-6.

    Examples
    --------
    >>> import numpy as np
    >>> clipped(np.array([[0.0, 1.0], [1.0, 0.0]]))[0].round(12).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    from scipy.linalg import eigh

    n = len(K)
    memory.require(24.0 * n * n, None, f"clipping the negative eigenvalues of a {n:,} x {n:,} matrix",
                   "A shift of the diagonal needs no other matrix: indefinite='shift'.")
    with blas.one_thread():
        values, vectors = eigh(K.astype(np.float64), subset_by_value=(-np.inf, 0.0), overwrite_a=True)
        part = (vectors * values) @ vectors.T
    return K - (part + part.T) / 2, values, vectors


def whole_square(pairs: Pairs) -> NDArray[Any] | None:
    """Return the values as the caller gave them where they are a full, exactly symmetric square of floats, else None.

    Parameters
    ----------
    pairs : Pairs

    Returns
    -------
    ndarray or None
        C-contiguous, read-only, of float32 or float64; no copy.

    Examples
    --------
    >>> import numpy as np
    >>> from shoal.data.carriers import distances
    >>> D = np.array([[0.0, 2.0], [2.0, 0.0]])
    >>> np.shares_memory(whole_square(distances(D).pairs), D), whole_square(distances([2.0]).pairs) is None
    (True, True)
    """
    V = pairs.values
    if V.ndim != 2 or pairs.half != "upper" or V.dtype != pairs.dtype or not np.isfinite(V.diagonal()).all():
        return None
    V = V.T if V.flags.f_contiguous else V
    if not V.flags.c_contiguous:
        return None
    for start, values in pairs.chunks():  # "upper" may also be one triangle alone; its mirror image is empty then
        if values.any():
            i, j = pair_at(start + int(np.argmax(values != 0)), pairs.n)
            return V if V[i, j] == V[j, i] else None
    return V
