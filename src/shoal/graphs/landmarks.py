"""Spectral clustering through landmarks: a million items are as similar as the landmarks they share.

The landmarks are centres of k-means on a sample. Z holds every item's similarity to its nearest few, rows summing to 1; then
A = Z Λ⁻¹ Zᵀ with Λ = diag(Zᵀ1) is the similarity of items by way of landmarks, all its degrees are 1, and its eigenvectors
are the left singular vectors of Z Λ^-½, which a matrix of landmarks by landmarks has on its other side.

Sources: Chen & Cai 2011, Large scale spectral clustering with landmark-based representation; Liu, He & Chang 2010, Large
graph construction for scalable semi-supervised learning (the graph and its degrees).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.centers.lloyd import lloyd
from shoal.centers.seeding import seed
from shoal.data import carriers
from shoal.data.carriers import Points
from shoal.errors import InputError
from shoal.graphs.affinity import local_scale, weights_of_new
from shoal.graphs.eigen import dense_product, largest, sparse_product
from shoal.graphs.neighbors import neighbors
from shoal.graphs.spectral import MOST, Cut, eigengap, finish
from shoal.runtime import blas
from shoal.runtime.progress import Ticker

__all__ = ["Landmarks", "landmark_cut", "pick", "weights_to"]

Floats = NDArray[np.float64]

SAMPLE = 50  # items a landmark is the mean of, about: more move it by less than its distance to the next
ITERATIONS = 10  # of k-means: landmarks need to cover the data, not to be optimal
NEAREST = 5  # landmarks of an item: Chen & Cai's choice


class Landmarks(NamedTuple):
    """Places among the items that stand for their surroundings.

    Attributes
    ----------
    rows : ndarray, shape (m, d)
    scales : ndarray, shape (m,)
        Of their similarity to items, see `shoal.graphs.affinity.local_scale`.
    """

    rows: NDArray[np.floating[Any]]
    scales: Floats


def pick(X: NDArray[Any], m: int, scale: str | float, rng: np.random.Generator) -> Landmarks:
    """Choose m landmarks: k-means of a sample of 50 m items.

    Parameters
    ----------
    X : ndarray, shape (n, d)
    m : int
        From 2 to n.
    scale : "self-tuning" or float
    rng : Generator

    Returns
    -------
    Landmarks

    Raises
    ------
    InputError
        When there are fewer than m distinct items.
    """
    n = len(X)
    if not 2 <= m <= n:
        raise InputError(f"{m} landmarks were asked for of {n:,} items.", "Give from 2 to the number of items.")
    some = X if n <= SAMPLE * m else X[np.sort(rng.choice(n, SAMPLE * m, replace=False))]
    rows = lloyd(some, seed(some, m, rng).centers, max_iter=ITERATIONS).centers
    near = neighbors(_points(rows), min(len(rows) - 1, 15))
    return Landmarks(rows, local_scale(near.distance, scale))


def weights_to(landmarks: Landmarks, X: NDArray[Any], near: int, scale: str | float) -> Any:
    """Return the similarity of items to their nearest landmarks, csr_array of shape (len(X), m), rows summing to 1."""
    from scipy import sparse

    m, n = len(landmarks.rows), len(X)
    near = min(near, m)
    found = neighbors(_points(landmarks.rows), near, new=X)
    weights = weights_of_new(found.distance, landmarks.scales[found.index], scale)
    weights /= weights.sum(axis=1, keepdims=True)
    return sparse.csr_array((weights.ravel(), found.index.ravel(), np.arange(n + 1) * near), shape=(n, m))


def landmark_cut(X: NDArray[Any], landmarks: Landmarks, k: int | None = None, *, near: int = NEAREST,
                 scale: str | float = "self-tuning", tol: float = 1e-3, ticker: Ticker | None = None) -> tuple[Cut, int]:
    """Cut items into k clusters by the landmarks they are near to.

    Parameters
    ----------
    X : ndarray, shape (n, d)
    landmarks : Landmarks
    k : int, optional
        At most their number; by default as in `shoal.graphs.spectral.normalized_cut`.
    near : int
        Landmarks that an item is similar to; doubled as long as the items fall into more than k parts.
    scale : "self-tuning" or float
    tol : float
        As in `normalized_cut`.
    ticker : Ticker, optional

    Returns
    -------
    cut : Cut
        Its `table` has a row for every landmark.
    near : int
        Landmarks that an item was made similar to.

    Notes
    -----
    O(n (near² + near k + k²)) and the search for the nearest landmarks.
    """
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    m = len(landmarks.rows)
    if k is not None and k > m:
        raise InputError(f"{k} clusters were asked for of {m} landmarks.", "Give more landmarks.")
    while True:
        Z = weights_to(landmarks, X, near, scale)
        shared = sparse.csr_array(Z.T @ Z)
        met = shared.diagonal() > 0
        parts = connected_components(shared[met][:, met], directed=False)[0]
        if k is None or parts <= k:
            break
        near = min(2 * near, m)
    mass = np.asarray(Z.sum(axis=0))
    root = np.divide(1.0, np.sqrt(mass), out=np.zeros(m), where=met)
    wanted = min(MOST + parts, m) if k is None else k
    found = largest(dense_product(shared.toarray() * root[:, None] * root), m, wanted, tol=tol, top=1.0, ticker=ticker)
    k = eigengap(found.values, parts) if k is None else k
    table = np.ascontiguousarray(root[:, None] * found.vectors[:, :k])
    with blas.one_thread():
        U = sparse_product(Z)(table)
    length = np.linalg.norm(U, axis=0)  # √λ
    return finish(U / length, table / length, found.values, found, k), near


def _points(rows: NDArray[Any]) -> Points:
    return carriers.points(rows, square=True)
