"""Coordinates for items that have none: classical scaling, new items among them, and how well distances are kept.

Every embedding ends with the same question, how far its distances are from those given, which `stress` answers for all items
together and for each one. Coordinates of least stress: `majorisation.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.data.metrics import resolve_metric
from shoal.data.records import Carrier, Distances
from shoal.data.rows import rows_of
from shoal.errors import InputError
from shoal.graphs.definite import Negative, negative_part, whole_square
from shoal.graphs.eigen import largest
from shoal.runtime import blas, memory, pool
from shoal.runtime.progress import Ticker

__all__ = ["Scaled", "Stress", "classical", "place", "rows_of_square", "square_of", "squares_product", "stress"]

Array = NDArray[np.floating[Any]]
Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]
Rows = Callable[[Ints], Floats]

LINES = 16  # rows squared at a time: 1.3 MB of 10,000 items, which stay in cache for the product
VALUES = 1 << 24  # distances a task of a product reads: 15 ms
BLOCK = 1 << 21  # distances at a time: 16 MB
EXACT = 4000  # items up to which stress takes all pairs: half a second
PARTNERS = 1000  # of more items: each is compared with these
TOL = 1e-6  # residual of an eigenvector, relative; its eigenvalue is better by the square


# ------------------------------------------------------------------------------------------------------------- distances


def square_of(data: Carrier) -> Array:
    """Return all distances as a square: the caller's own memory where that is one, else written once.

    Parameters
    ----------
    data : Carrier

    Returns
    -------
    ndarray, shape (n, n)
        C-contiguous, of the carrier's precision. What stands on the diagonal is arbitrary.

    Raises
    ------
    TooLargeError
        Before any work, when the square has to be written and does not fit in memory.

    Examples
    --------
    >>> import shoal
    >>> square_of(shoal.distances([1.0, 2.0, 3.0])).tolist()
    [[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]]
    """
    found = whole_square(data.pairs) if isinstance(data, Distances) else None
    if found is not None and found.min(initial=0.0) >= 0.0:  # rounding below 0, which counts as 0, is rare
        return found
    n = data.n
    memory.require(float(data.dtype.itemsize) * n * n, None, f"all distances of {n:,} items as a square",
                   "Use landmarks, which need only the distances to these: method='landmark'.")
    out, rows = np.empty((n, n), data.dtype), rows_of(data)
    for start, stop in pool.blocks(n, max(1, BLOCK // n)):
        out[start:stop] = rows(np.arange(start, stop))
    return out


def rows_of_square(D: Array) -> Rows:
    """Return ``rows(items)``: their distances to all, in float64, 0 for an item with itself."""
    def rows(items: Ints) -> Floats:
        found = D[items].astype(np.float64)
        found[np.arange(len(items)), items] = 0.0
        return found

    return rows


# ------------------------------------------------------------------------------------------------------ classical scaling


class Scaled(NamedTuple):
    """Coordinates by classical scaling, and what places new items among them.

    Attributes
    ----------
    coordinates : ndarray, shape (n, p)
        Of weighted mean 0; the axis of the largest spread comes first, and on each the coordinate of the largest size is
        positive. 0 where an eigenvalue is not above 0.
    values : ndarray, shape (p,)
        The largest eigenvalues of the centred matrix: Σ w·x² along each axis.
    means : ndarray, shape (n,)
        Weighted mean squared distance of every item to all.
    axes : ndarray, shape (n, p)
        New items are at ½·(means - δ²)·axes.
    total : float
        The sum of all eigenvalues.
    negative : Negative
        The eigenvalues below 0, which no Euclidean distances have.
    """

    coordinates: Floats
    values: Floats
    means: Floats
    axes: Floats
    total: float
    negative: Negative

    @property
    def explained(self) -> Floats:
        """The share of each axis in Σ |λ| (Mardia 1978); an estimate where `negative` is one."""
        whole = self.total + 2.0 * self.negative.mass
        return np.asarray(self.values / whole) if whole > 0 else np.zeros(len(self.values))


def classical(D: Array, count: int, rng: np.random.Generator, *, weights: Floats | None = None,
              ticker: Ticker | None = None) -> Scaled:
    """Find coordinates whose scalar products are nearest to those that the distances stand for: classical scaling.

    Parameters
    ----------
    D : ndarray of float32 or float64, shape (n, n)
        Symmetric distances; only read. The diagonal counts as 0.
    count : int
        Coordinates wanted, at most n.
    rng : numpy.random.Generator
        For the estimate of the negative eigenvalues.
    weights : ndarray, shape (n,), optional
        Above 0.
    ticker : Ticker, optional
        Told after each pass over D.

    Returns
    -------
    Scaled

    Notes
    -----
    The eigenvectors of B = -½·(I - 1wᵀ/Σw)·D²·(I - w1ᵀ/Σw), by products in which the centring is two corrections: B is
    never formed. Some 5 passes over D where the wanted eigenvalues stand clear, and at most 12 for the negative ones.

    Sources: Torgerson 1952, doi:10.1007/BF02288916; Gower 1966 and 1968, doi:10.1093/biomet/55.3.582 (adding a point);
    Mardia 1978, doi:10.1080/03610927808827707 (shares).

    Examples
    --------
    >>> import numpy as np
    >>> D = np.array([[0.0, 3.0, 5.0], [3.0, 0.0, 4.0], [5.0, 4.0, 0.0]])
    >>> found = classical(D, 2, np.random.default_rng(0))
    >>> np.linalg.norm(found.coordinates[0] - found.coordinates[2]).round(6)
    np.float64(5.0)
    """
    n = len(D)
    w = np.ones(n) if weights is None else weights
    squares, root, mass = squares_product(D), np.sqrt(w)[:, None], float(w.sum())
    means = squares(w[:, None])[:, 0] / mass

    def centred(V: Floats) -> Floats:
        Y = root * V
        Y -= w[:, None] * (Y.sum(axis=0) / mass)
        Z = squares(Y)
        Z -= (w @ Z) / mass
        if ticker is not None:
            ticker.step()
        return root * Z / -2.0

    found = largest(centred, n, count, tol=TOL)
    values = found.values[:count]
    above = values > 1e-12 * max(float(values[0]), float(np.abs(means).max()), 1e-300)
    coordinates = np.where(above, found.vectors / root * np.sqrt(np.where(above, values, 0.0)), 0.0)
    coordinates *= np.where(coordinates[np.abs(coordinates).argmax(axis=0), np.arange(count)] < 0, -1.0, 1.0)
    axes = np.where(above, w[:, None] * coordinates / np.where(above, values, 1.0), 0.0)
    return Scaled(coordinates, values, means, axes, float(w @ means) / 2.0, negative_part(centred, n, rng))


def squares_product(D: Array) -> Callable[[Floats], Floats]:
    """Return ``product(Y)`` = (D∘D) Y in float64: rows are squared into a scratch block on their way; the diagonal is 0."""
    n = len(D)

    def product(Y: Floats) -> Floats:
        out = np.empty((n, Y.shape[1]))

        def work(start: int, stop: int) -> None:
            scratch = np.empty((LINES, n))
            for i0, i1 in ((i, min(i + LINES, stop)) for i in range(start, stop, LINES)):
                rows = np.square(D[i0:i1], out=scratch[:i1 - i0], dtype=np.float64)
                rows[np.arange(i1 - i0), np.arange(i0, i1)] = 0.0
                np.matmul(rows, Y, out=out[i0:i1])

        with blas.one_thread():
            pool.run(work, pool.blocks(n, LINES * max(1, VALUES // (LINES * n))))
        return out

    return product


def place(rows: Floats, means: Floats, axes: Floats) -> Floats:
    """Place new items by their distances to those of a classical scaling, shape (m, n): Gower's added points."""
    return np.asarray((means - np.square(rows)) @ axes / 2.0)


# ----------------------------------------------------------------------------------------------------------------- stress


class Stress(NamedTuple):
    """How far the distances in an embedding are from those given.

    Attributes
    ----------
    value : float
        Kruskal's stress-1, √(Σ w·(δ - d)² / Σ w·d²) over the pairs; 0 is a perfect embedding.
    error : float
        Its standard error; 0 where all pairs were taken.
    items : ndarray, shape (n,)
        Of every item, scaled so that their weighted mean square is value².
    """

    value: float
    error: float
    items: Floats


def stress(rows: Rows, X: Floats, rng: np.random.Generator, *, weights: Floats | None = None) -> Stress:
    """Compare the distances in an embedding with those given, for all items and for each.

    Parameters
    ----------
    rows : callable
        ``rows(items)`` gives the distances of items to all n, shape (len(items), n), 0 for an item with itself.
    X : ndarray, shape (n, p)
    rng : numpy.random.Generator
        Draws the sample.
    weights : ndarray, shape (n,), optional

    Returns
    -------
    Stress

    Notes
    -----
    Up to 4,000 items all pairs. Of more, each item is compared with 1,000 drawn at random: 1,000·n distances, in blocks;
    the error is that of a ratio of sums over the drawn items (Cochran 1977, Sampling Techniques, §6.4).

    Source: Kruskal 1964, doi:10.1007/BF02289565.

    Examples
    --------
    >>> import numpy as np
    >>> D = np.array([[0.0, 2.0], [2.0, 0.0]])
    >>> stress(lambda items: D[items], np.array([[0.0], [1.0]]), np.random.default_rng(0)).value
    1.0
    """
    n = len(X)
    w = np.ones(n) if weights is None else weights
    partners = np.arange(n) if n <= EXACT else np.sort(rng.choice(n, PARTNERS, replace=False))
    between = resolve_metric("euclidean", X).between
    items, apart, along = np.zeros(n), np.zeros(len(partners)), np.zeros(len(partners))
    for start, stop in pool.blocks(len(partners), max(1, BLOCK // max(1, n))):
        some = partners[start:stop]
        d = np.asarray(between(X[some], X), np.float64)
        squares = np.square(rows(some) - d)
        items += w[some] @ squares
        apart[start:stop], along[start:stop] = w[some] * (squares @ w), w[some] * (np.square(d) @ w)
    whole = float(along.sum())
    if whole == 0.0:
        if apart.any():
            raise InputError("All items are at one place in the embedding, though some of their distances are not 0.")
        return Stress(0.0, 0.0, items)
    ratio = float(apart.sum()) / whole
    spread = float(np.square(apart - ratio * along).sum()) if len(partners) < n else 0.0
    error = math.sqrt(spread * (1.0 - len(partners) / n)) / whole / (2.0 * math.sqrt(ratio)) if ratio > 0 else 0.0
    return Stress(math.sqrt(ratio), error, np.sqrt(items * float(w.sum()) / whole))
