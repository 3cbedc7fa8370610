"""Similarities as spectral clustering takes them: symmetric, not negative, with the graph's parts told apart.

From distances they come by a Gaussian whose width is, for each pair, the product of both items' own scales, the distance to
their 7th neighbour (Zelnik-Manor & Perona 2004, Self-tuning spectral clustering). The exponent ends at -30: an outlier far
from everything keeps weak ties to what is nearest, and goes with it, where it would otherwise be a cluster of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.data.carriers import Distances, Graph, Points, Similarities
from shoal.data.checks import item_name
from shoal.data.pairs import Pairs, pairs_at
from shoal.data.rows import rows_of
from shoal.errors import InputError
from shoal.runtime import blas, memory, pool

__all__ = ["NEGATIVE", "Affinity", "check_scale", "gaussian", "local_scale", "matrix_of", "neighbor_graph", "read_affinity",
           "tuned_edges", "weights_of_new",
           "weights_of_new_edges"]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

NEGATIVE = ("error", "clip", "shift")
SCALE_AT = 7  # whose distance is an item's scale: Zelnik-Manor & Perona's choice for all their data
WEAKEST = 30.0  # exp(-30) is 1e-13: far below any tie that matters, far above what float32 loses
VALUES = 1 << 18  # of a dense matrix looked at together: a megabyte


class Affinity(NamedTuple):
    """A similarity that can be cut.

    Attributes
    ----------
    matrix : ndarray or csr_array, shape (n, n)
        Symmetric and not negative. Its diagonal does not count.
    degree : ndarray, shape (n,)
        Summed similarity of every item to the others.
    part : ndarray of int, shape (n,)
        Number of the connected part each item is in; -1 for items without any similarity to another.
    parts : int
        How many parts there are, lone items not counted.
    offset : float
        What was taken from every similarity so that none is negative.
    """

    matrix: Any
    degree: Floats
    part: Ints
    parts: int
    offset: float


def read_affinity(matrix: Any, negative: str = "error", ids: Sequence[str] | None = None) -> Affinity:
    """Check a symmetric matrix of similarities and find its parts.

    Parameters
    ----------
    matrix : ndarray or csr_array, shape (n, n)
        Finite and symmetric; stays where it is unless negative values are changed.
    negative : {"error", "clip", "shift"}
        What becomes of negative similarities: refused, set to 0, or the least is taken from all of them.
    ids : sequence of str, optional
        Names for messages.

    Returns
    -------
    Affinity

    Raises
    ------
    InputError
        For negative similarities that nothing was said about, and where no item is similar to any other.

    Notes
    -----
    O(n²), or O(stored entries): two passes over the matrix at most.

    Examples
    --------
    >>> import numpy as np
    >>> read_affinity(np.array([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]])).part.tolist()
    [0, 0, -1]
    """
    degree, low = _survey(matrix)
    offset = 0.0
    if low < 0:
        matrix, offset = _without_negative(matrix, low, negative, ids)
        degree, _ = _survey(matrix)
    part = _parts(matrix)
    alone = degree <= 0
    if alone.all():
        raise InputError("No item has any similarity to another.", "Similarities of 0 only leave nothing to cluster.")
    part = np.where(alone, -1, part)
    _, part[~alone] = np.unique(part[~alone], return_inverse=True)
    return Affinity(matrix, degree, part, int(part.max()) + 1, offset)


def _survey(matrix: Any) -> tuple[Floats, float]:
    """Sums of rows without the diagonal, and the least value off it."""
    if hasattr(matrix, "indptr"):
        own = matrix.diagonal()
        outside = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)) != matrix.indices
        sums = np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel() - own
        return sums, float(matrix.data[outside].min(initial=0.0))
    n = len(matrix)
    ones, degree, tasks = np.ones(n, matrix.dtype), np.empty(n), pool.blocks(n, max(1, VALUES // n))
    lows = np.empty(len(tasks))

    def work(at: int, i0: int, i1: int) -> None:
        rows = matrix[i0:i1]
        degree[i0:i1] = rows @ ones
        lows[at] = rows.min()
        if lows[at] < 0:  # perhaps on the diagonal alone
            others = rows.copy()
            others[np.arange(i1 - i0), np.arange(i0, i1)] = 0.0
            lows[at] = others.min()

    with blas.one_thread():
        pool.run(work, [(at, *block) for at, block in enumerate(tasks)])
    return degree - matrix.diagonal(), min(0.0, float(lows.min()))


def _without_negative(matrix: Any, low: float, negative: str, ids: Sequence[str] | None) -> tuple[Any, float]:
    """Make similarities not negative, as asked for, in new memory; return them and what was taken from all."""
    sparse = hasattr(matrix, "indptr")
    if negative == "error" or (negative == "shift" and sparse):
        entries = matrix.tocoo() if sparse else matrix
        i, j = (int(k[np.argmin(entries.data)]) for k in (entries.row, entries.col)) if sparse else _least_at(matrix)
        hint = ("negative='clip' counts them as 0; negative='shift' subtracts the least from all; where the size matters "
                "and not the sign, give absolute values.")
        if negative == "shift":
            hint = "negative='shift' would change the pairs that are not stored as well: give a dense matrix, or 'clip'."
        raise InputError(f"Negative values in data: the similarity between {item_name(ids, i)} and {item_name(ids, j)} is "
                         f"{low:g}, and a graph that is cut has weights of at least 0.", hint)
    if sparse:
        clipped = matrix.copy()
        clipped.data = np.maximum(clipped.data, 0)
        clipped.eliminate_zeros()
        return clipped, 0.0
    memory.require(matrix.nbytes, None, "a copy of the similarities without negative values", "Change them in place first.")
    if negative == "clip":
        return np.maximum(matrix, 0), 0.0
    return np.maximum(matrix - matrix.dtype.type(low), 0), low


def _least_at(matrix: NDArray[Any]) -> tuple[int, int]:
    """Where the least value off the diagonal stands, the first one."""
    best, where = 0.0, (0, 0)
    for i, row in enumerate(matrix):
        j = int(np.argmin(np.where(np.arange(len(row)) == i, 0, row)))
        if row[j] < best and i != j:
            best, where = float(row[j]), (i, j)
    return where


def _parts(matrix: Any) -> Ints:
    """Number of the connected part of every item."""
    if hasattr(matrix, "indptr"):
        from scipy.sparse.csgraph import connected_components

        return np.asarray(connected_components(matrix, directed=False)[1], np.int64)
    n, count = len(matrix), 0
    part, unseen = np.full(n, -1), n
    for i in range(n):
        if part[i] >= 0:
            continue
        part[i], todo, unseen = count, [i], unseen - 1
        while todo and unseen:  # where all are similar to all, the first row ends it
            found = np.flatnonzero((matrix[todo.pop()] > 0) & (part < 0))
            part[found] = count
            todo.extend(found.tolist())
            unseen -= len(found)
        count += 1
    return part


# ------------------------------------------------------------------------------------------------------- from what is given


def matrix_of(data: Similarities | Graph) -> Any:
    """Return the similarities of a carrier as a symmetric matrix: the caller's own where it is one, else a copy."""
    pairs = data.pairs
    if pairs.stored is not None:
        return _mirrored(pairs)
    if pairs.half == "upper" and _has_lower(pairs.values) and pairs.values.dtype == pairs.dtype:
        return pairs.values
    from scipy.spatial.distance import squareform

    n = pairs.n
    memory.require(1.5 * n * n * pairs.dtype.itemsize, None, f"a square matrix of {n:,} items", "Give it as a square array.")
    return np.asarray(squareform(pairs.condensed(), checks=False))


def _mirrored(pairs: Pairs) -> Any:
    """Stored pairs in both directions."""
    from scipy import sparse

    assert pairs.stored is not None
    i, j = pairs_at(np.asarray(pairs.stored), pairs.n)
    both = np.concatenate([pairs.values, pairs.values]).astype(pairs.dtype)
    found = sparse.csr_array((both, (np.concatenate([i, j]), np.concatenate([j, i]))), shape=(pairs.n, pairs.n))
    found.eliminate_zeros()
    return found


def _has_lower(matrix: NDArray[Any]) -> bool:
    """Whether the half below the diagonal holds any value: only one half may have been given."""
    return any(np.tril(matrix[a:b, :b], a - 1).any() for a, b in pool.blocks(len(matrix), 64))


def check_scale(scale: Any) -> None:
    """Refuse a scale that is neither "self-tuning" nor a length."""
    if scale != "self-tuning" and (isinstance(scale, (str, bool)) or not 0 < float(scale) < np.inf):
        raise InputError(f"scale={scale!r} was given.", "Give 'self-tuning', or a distance above 0.")


def local_scale(distance: Any, scale: str | float) -> Floats:
    """Return the scale s of each item such that similarities are exp(-d²/(s t)) for the scales s and t of a pair.

    Parameters
    ----------
    distance : ndarray, shape (n, q)
        To other items, in any order.
    scale : "self-tuning" or float
        A length σ gives exp(-d²/(2σ²)).

    Returns
    -------
    ndarray, shape (n,)
        The 7th smallest distance of a row, or its largest where there are fewer; of items with 7 duplicates, which have no
        scale, the median of the others'.
    """
    return _filled(_seventh(distance, scale))


def _seventh(distance: Any, scale: str | float) -> Floats:
    if not isinstance(scale, str):
        return np.full(len(distance), float(scale) * np.sqrt(2.0))
    at = min(SCALE_AT, distance.shape[1]) - 1
    return np.partition(distance, at, axis=1)[:, at].astype(np.float64)


def _filled(own: Floats) -> Floats:
    """Give the median scale to items that have none."""
    some = own[own > 0]
    return np.where(own > 0, own, np.median(some) if len(some) else 1.0)


def weights_of_new(distance: Floats, old: Floats, scale: str | float) -> Floats:
    """Return similarities of new items to old ones, every row up to a factor of its own, so that none vanishes.

    Parameters
    ----------
    distance : ndarray, shape (m, q)
    old : ndarray, shape (m, q) or (q,)
        Scales of the old items. A new item with 7 duplicates takes the scale of one of them.
    scale : "self-tuning" or float

    Returns
    -------
    ndarray, shape (m, q)
    """
    own, old = _seventh(distance, scale), np.broadcast_to(old, distance.shape)
    nearest = old[np.arange(len(distance)), distance.argmin(axis=1)]
    power = distance**2 / (np.where(own > 0, own, nearest)[:, None] * old)
    return np.asarray(np.exp(power.min(axis=1, keepdims=True) - power))


def weights_of_new_edges(lengths: Any, old: Floats, scale: str | float) -> Any:
    """Return similarities of new items to the old ones they have an edge to: `weights_of_new` of a csr_array of lengths."""
    weights = lengths.astype(np.float64)
    for i in np.flatnonzero(np.diff(lengths.indptr)):
        at = slice(lengths.indptr[i], lengths.indptr[i + 1])
        weights.data[at] = weights_of_new(weights.data[None, at], old[lengths.indices[at]], scale)[0]
    return weights


def neighbor_graph(index: Ints, distance: Floats, scale: str | float) -> tuple[Any, Floats]:
    """Return the graph of all pairs of which one is among the nearest of the other, and the items' scales.

    Parameters
    ----------
    index, distance : ndarray, shape (n, k)
        The nearest of every item, itself not among them.
    scale : "self-tuning" or float

    Returns
    -------
    graph : csr_array, shape (n, n)
        Symmetric, float64.
    scales : ndarray, shape (n,)
    """
    from scipy import sparse

    n, k = index.shape
    own = local_scale(distance, scale)
    weights = _similarity(distance, own[:, None] * own[index])
    W = sparse.csr_array((weights.ravel(), index.ravel(), np.arange(n + 1) * k), shape=(n, n))
    return sparse.csr_array(W.maximum(W.T)), own


def tuned_edges(data: Graph, scale: str | float) -> tuple[Any, Floats]:
    """Return a graph of distances as one of similarities, and the items' scales: of the distances along their edges."""
    from scipy import sparse

    i, j, length = data.edges
    ends, others = np.concatenate([i, j]), np.concatenate([j, i])
    order = np.lexsort((np.concatenate([length, length]), ends))
    ends, others = ends[order], others[order]
    lengths = np.concatenate([length, length])[order].astype(np.float64)
    starts, count = np.searchsorted(ends, np.arange(data.n)), np.bincount(ends, minlength=data.n)
    own = np.zeros(data.n)
    own[count > 0] = lengths[(starts + np.minimum(count, SCALE_AT) - 1)[count > 0]]
    own = _filled(own if isinstance(scale, str) else _seventh(own[:, None], scale))
    weights = _similarity(lengths, own[ends] * own[others])
    return sparse.csr_array((weights, (ends, others)), shape=(data.n, data.n)), own


def gaussian(data: Points | Distances, scale: str | float) -> tuple[NDArray[np.float32], Floats]:
    """Return the Gaussian similarities of all pairs as a square matrix of float32, and the items' scales.

    O(n²) distances, 4 n² bytes.
    """
    n, rows = data.n, rows_of(data)
    memory.require(4.0 * n * n, None, f"similarities of all pairs of {n:,} items",
                   "Use affinity='neighbors', whose graph is sparse.")
    S, own = np.empty((n, n), np.float32), np.empty(n)
    for a, b in pool.blocks(n, max(1, (1 << 21) // n)):
        distance = rows(np.arange(a, b))
        S[a:b] = distance
        distance[np.arange(b - a), np.arange(a, b)] = np.inf
        own[a:b] = _seventh(distance, scale)
    own = _filled(own)

    def work(a: int, b: int) -> None:
        S[a:b] = _similarity(S[a:b], (own[a:b, None] * own).astype(np.float32))

    pool.run(work, pool.blocks(n, max(1, VALUES // n)))
    np.fill_diagonal(S, 0.0)  # beside a 1, an outlier's weak ties would be lost to float32
    return S, own


def _similarity(distance: NDArray[Any], squares: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.exp(-np.minimum(distance**2 / squares, WEAKEST)))
