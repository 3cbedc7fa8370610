"""The normalised cut of a similarity: eigenvectors, rows of them as directions, and k-means of the directions.

The k largest eigenvectors U of N = D^-½ A D^-½ solve the relaxed problem of cutting a graph into k groups that are heavy
inside and light between; rows of U, taken to length 1, point the same way within a group and at right angles between groups
that are not tied at all. Scaling a row does not turn it, so these are the directions of the random walk's eigenvectors
D^-½ U as well, in which a new item is the mean of what it is similar to, and so it can be placed.

Sources: Shi & Malik 2000, Normalized cuts and image segmentation; Ng, Jordan & Weiss 2002, On spectral clustering; Damle,
Minden & Ying 2019, Simple, direct and efficient multi-way spectral clustering (the start of k-means); Bengio et al. 2004,
Out-of-sample extensions for LLE, Isomap, MDS, Eigenmaps, and spectral clustering (new items); von Luxburg 2007, A tutorial
on spectral clustering (how many clusters).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.centers.lloyd import lloyd
from shoal.errors import InputError
from shoal.graphs.affinity import Affinity
from shoal.graphs.eigen import Eigen, Product, combine, dense_product, largest, sparse_product
from shoal.runtime import blas
from shoal.runtime.progress import Ticker

__all__ = ["MOST", "Cut", "cluster_directions", "eigengap", "finish", "gaps_of", "normalized_cut", "place"]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

MOST = 20  # clusters looked for beyond the parts of the graph, where their number is not given
LARGE = 10_000  # items from which the order of a sparse graph matters: 16 vectors of them fill the second-level cache
LEAST = 1e-6  # eigenvalue from which a new item's coordinate is computed: to divide by less would only enlarge rounding


class Cut(NamedTuple):
    """Items put into k clusters by their directions.

    Attributes
    ----------
    labels : ndarray of int32, shape (n,)
        Numbered by their first items; -1 for items without any similarity.
    centers : ndarray, shape (k, k)
        The mean direction of every cluster, of length 1.
    embedding : ndarray, shape (n, k)
        Every item's direction; 0 for items without any similarity.
    table : ndarray, shape (t, k)
        What a new item's direction is a weighted sum of: one row for every item, or landmark.
    eigenvalues : ndarray
        Largest first: k of them and the next, or as many as were looked at to find k.
    residual : float
        The largest of the k residuals ‖N u - λ u‖.
    products : int
        Passes over the similarities.
    converged : bool
    """

    labels: NDArray[np.int32]
    centers: Floats
    embedding: Floats
    table: Floats
    eigenvalues: Floats
    residual: float
    products: int
    converged: bool


def normalized_cut(A: Affinity, k: int | None = None, *, tol: float = 1e-3, ticker: Ticker | None = None) -> Cut:
    """Cut a graph of similarities into k clusters.

    Parameters
    ----------
    A : Affinity
    k : int, optional
        At least the number of connected parts, at most the number of items that have any similarity. By default the number
        after which the eigenvalues fall most, of at least 2 and at most 19 more than there are parts.
    tol : float
        Residuals of the eigenvectors relative to 1 - λ of the first that is not used. At 1e-2 one label in a thousand
        differs from those of exact eigenvectors, at 1e-3 none that we saw.
    ticker : Ticker, optional

    Returns
    -------
    Cut

    Raises
    ------
    InputError
        When k is not within these bounds.

    Notes
    -----
    Parts have the eigenvalue 1 each, whose eigenvectors are known; only the others are searched for, in all parts at once,
    so that the parts share k as their eigenvalues say. O(passes · stored entries · (k + 8) + n k²).

    Examples
    --------
    >>> import numpy as np
    >>> from shoal.graphs.affinity import read_affinity
    >>> S = np.array([[0, 9, 1, 0], [9, 0, 0, 1], [1, 0, 0, 9], [0, 1, 9, 0.0]])
    >>> normalized_cut(read_affinity(S), 2).labels.tolist()
    [0, 0, 1, 1]
    """
    n, there = len(A.degree), int((A.part >= 0).sum())
    if k is not None and not A.parts <= k <= there:
        raise _wrong_number(A, k, there)
    A, place_of = _in_order(A)
    root = np.sqrt(np.maximum(A.degree, 0.0))
    root[A.part < 0] = 0.0
    known = _known(A, root)
    tied = (A.part >= 0)[:, None]
    wanted = min(MOST if k is None else k - A.parts, there - A.parts)
    found = largest(_walk(A, root), n, wanted, tol=tol, top=1.0, noise=_noise(A.matrix),
                    project=lambda X: np.asarray((X - known @ (known.T @ X)) * tied), ticker=ticker)
    values = np.concatenate([np.ones(A.parts), found.values])
    if k is None:
        k = eigengap(values, A.parts)
    U = np.concatenate([known[:, :k].toarray(), found.vectors], axis=1)[place_of, :k]
    U[A.part[place_of] < 0] = 0.0  # an eigenvector may have some rounding there
    walk = U * np.divide(1.0, root, out=np.zeros(n), where=root > 0)[place_of, None]
    used = values[:k]
    return finish(U, walk * np.where(used > LEAST, 1.0 / np.maximum(used, LEAST), 0.0), values, found, k)


def _in_order(A: Affinity) -> tuple[Affinity, Ints]:
    """Put items of a large sparse graph next to those they are tied to; return the graph and where each item is in it.

    The rows of a block of vectors that a product needs are then near one another in memory: 55 ms become 30 at 100,000 items
    of 22 ties, 16 vectors.
    """
    n = len(A.degree)
    if not hasattr(A.matrix, "indptr") or n < LARGE:
        return A, np.arange(n)
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    order = reverse_cuthill_mckee(A.matrix, symmetric_mode=True)
    place_of = np.empty(n, np.int64)
    place_of[order] = np.arange(n)
    matrix = A.matrix[order][:, order]
    matrix.sort_indices()
    return A._replace(matrix=matrix, degree=A.degree[order], part=A.part[order]), place_of


def _wrong_number(A: Affinity, k: int, there: int) -> InputError:
    if k > there:
        return InputError(f"{k} clusters were asked for, and {there} items have any similarity to others.", "Give fewer.")
    sizes = np.bincount(A.part[A.part >= 0])
    return InputError(f"The graph falls into {A.parts} parts (of {int(sizes.min())} to {int(sizes.max())} items) with no "
                      f"similarity between them, and n_clusters={k}.",
                      f"Give n_clusters of at least {A.parts}, or similarities that connect the parts.")


def _known(A: Affinity, root: Floats) -> Any:
    """Return the eigenvectors of eigenvalue 1 as sparse columns: D^½ 1 of every part."""
    from scipy import sparse

    at = np.flatnonzero(A.part >= 0)
    mass = np.bincount(A.part[at], A.degree[at])
    return sparse.csr_array((root[at] / np.sqrt(mass[A.part[at]]), (at, A.part[at])), shape=(len(root), A.parts))


def _walk(A: Affinity, root: Floats) -> Product:
    """Return ``product(X) = D^-½ (A - diag A) D^-½ X``."""
    inverse = np.divide(1.0, root, out=np.zeros(len(root)), where=root > 0)
    if hasattr(A.matrix, "indptr"):
        from scipy import sparse

        rows, columns = np.repeat(np.arange(len(root)), np.diff(A.matrix.indptr)), A.matrix.indices
        values = A.matrix.data * inverse[rows] * inverse[columns]
        values[rows == columns] = 0.0
        return sparse_product(sparse.csr_array((values, columns, A.matrix.indptr), shape=A.matrix.shape))
    multiply, own = dense_product(A.matrix), A.matrix.diagonal().astype(np.float64)[:, None]

    def product(X: Floats) -> Floats:
        scaled = X * inverse[:, None]
        found: Floats = (multiply(scaled) - own * scaled) * inverse[:, None]
        return found

    return product


def _noise(matrix: Any) -> float:
    """Return the relative precision of products with a matrix."""
    return 1e-13 if hasattr(matrix, "indptr") else 8 * float(np.finfo(matrix.dtype).eps)


def gaps_of(values: Floats) -> Floats:
    """Return how much eigenvalues fall after each: (λ_k - λ_k+1) / √(1 - λ_k+1), the geometric mean of two gaps.

    Within a smooth structure 1 - λ_j grows like a power of j, near 1 in few dimensions; there the plain gap λ_k - λ_k+1 does
    not shrink with k, and the relative one (λ_k - λ_k+1) / (1 - λ_k+1) always does.

    Parameters
    ----------
    values : ndarray, shape (m,)
        Eigenvalues, largest first.

    Returns
    -------
    ndarray, shape (m - 1,)
    """
    fall = np.maximum(values[:-1] - values[1:], 0.0)
    return np.asarray(fall / np.sqrt(np.maximum(1.0 - values[1:], 1e-12)))


def eigengap(values: Floats, least: int = 1) -> int:
    """Return the number of eigenvalues after which they fall most; of at least 2 and at least `least`.

    Parameters
    ----------
    values : ndarray
        Eigenvalues, largest first.
    least : int
        Parts of the graph.

    Examples
    --------
    >>> import numpy as np
    >>> eigengap(np.array([1.0, 0.9, 0.85, 0.3, 0.2]))
    3
    """
    least = max(2, least)
    if len(values) <= least:
        return len(values)
    return least + int(np.argmax(gaps_of(values)[least - 1:]))


def cluster_directions(U: Floats) -> Floats:
    """Return the k orthonormal directions that k-means of the rows of U starts from, shape (k, k).

    Parameters
    ----------
    U : ndarray, shape (n, k)
        Orthonormal columns.

    Returns
    -------
    ndarray, shape (k, k)
        Rows are directions. Rows of U nearest to each are the clusters of Damle, Minden & Ying's cluster-QR.

    Notes
    -----
    k rows that stand as far from each other's space as possible are taken one by one, as QR with column pivoting of Uᵀ
    does; the orthogonal matrix nearest to them (their polar factor) has the directions. O(n k²); the result is the same at
    every call.
    """
    k = U.shape[1]
    left, basis, chosen = np.einsum("ij,ij->i", U, U), np.zeros((k, k)), np.zeros(k, np.int64)
    for t in range(k):
        chosen[t] = int(np.argmax(left))
        row = U[chosen[t]]
        for _ in range(2):  # twice, for orthogonality
            row = row - basis.T @ (basis @ row)
        basis[t] = row / np.linalg.norm(row)
        left = np.maximum(left - combine((U, basis[t][:, None]))[:, 0] ** 2, 0.0)
    first, _, second = np.linalg.svd(U[chosen])
    return np.asarray(first @ second)


def finish(U: Floats, table: Floats, values: Floats, found: Eigen, k: int) -> Cut:
    """Cluster the rows of eigenvectors by direction.

    Parameters
    ----------
    U : ndarray, shape (n, k)
        Eigenvectors.
    table : ndarray, shape (t, k)
        What a new item's direction is a weighted sum of.
    values : ndarray
        All eigenvalues that were looked at.
    found : Eigen
    k : int

    Returns
    -------
    Cut
    """
    length = np.sqrt(np.einsum("ij,ij->i", U, U))
    there = length > 0
    rows = np.divide(U, length[:, None], out=np.zeros_like(U), where=there[:, None])
    inside = rows if there.all() else rows[there]
    with blas.one_thread():
        start = cluster_directions(U)
    fit = lloyd(inside, start, metric="cosine")
    _, first, number = np.unique(fit.labels, return_index=True, return_inverse=True)
    order = np.argsort(first)
    labels = np.full(len(U), -1, np.int32)
    labels[there] = np.argsort(order)[number]
    centers = np.asarray(fit.centers[np.unique(fit.labels)[order]], np.float64)
    return Cut(labels, centers, rows, table, values,
               float(found.residual.max(initial=0.0)), found.products, found.converged)


def place(weights: Any, table: Floats, centers: Floats) -> Floats:
    """Return the distance of new items to every cluster, 1 - cos of the angle to its direction.

    Parameters
    ----------
    weights : ndarray or csr_array, shape (m, t)
        Similarity of new items to what `table` has rows of; every row up to a factor.
    table : ndarray, shape (t, k)
    centers : ndarray, shape (k, k)

    Returns
    -------
    ndarray, shape (m, k)
        NaN for an item without any similarity.

    Notes
    -----
    The Nyström extension of the random walk's eigenvectors, y(x) = Σ s(x, i) y_i / (λ d(x)). O(m t k), or O(stored entries
    · k).
    """
    product = sparse_product(weights) if hasattr(weights, "indptr") else dense_product(weights)
    with blas.one_thread():
        rows = product(np.ascontiguousarray(table))
        length = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
        return 1.0 - combine((np.divide(rows, length, out=np.full_like(rows, np.nan), where=length > 0), centers.T))
