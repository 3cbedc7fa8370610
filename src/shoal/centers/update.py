"""What every k-means shares after items have found their centre: sums of members, new centres, refilling of empty clusters.

Sums are float64. They are made of blocks of rows that depend on the size of the data alone, added in the blocks' order, so
the bits are the same for any number of threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.runtime import pool
from shoal.runtime.kernel import kernel

__all__ = ["Fit", "change_sums", "refill", "settle", "smallest_weight", "sums_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

ROWS = 1 << 14  # least rows of a block of sums: 1 ms at 100 features
BLOCKS = 64  # most blocks: each has a table of sums of its own
SHARE = 16  # rows of a block for every cluster, so that all tables together are half the size of float64 data at most


class Fit(NamedTuple):
    """A k-means fit.

    Attributes
    ----------
    centers : ndarray, shape (k, d)
        In the data's dtype.
    labels : ndarray of int32, shape (n,)
        The nearest of these centres; the smaller index where two are equally near.
    inertia : float
        Weighted sum of the squared distances to them; under cosine of 1 - cos.
    n_iter : int
    engine : str
    converged : bool
        Whether no label changed any more, or the centres moved by no more than the tolerance.
    """

    centers: NDArray[np.floating[Any]]
    labels: NDArray[np.int32]
    inertia: float
    n_iter: int
    engine: str
    converged: bool


@kernel
def add_rows(X: Any, labels: Any, weights: Any, origin: Any, i0: int, i1: int, sums: Any, mass: Any) -> None:
    """Add rows i0 … i1, less the origin and times their weights, to the sums of their clusters."""
    d, weighted = X.shape[1], weights.shape[0] > 0
    for i in range(i0, i1):
        a, w, x = labels[i], weights[i] if weighted else 1.0, X[i]
        mass[a] += w
        into = sums[a]
        for f in range(d):
            into[f] += w * (np.float64(x[f]) - origin[f])


@kernel
def move_rows(X: Any, rows: Any, old: Any, new: Any, weights: Any, origin: Any, i0: int, i1: int, sums: Any,
              mass: Any) -> None:
    """Take rows[i0 … i1] out of the sums of their old clusters and into those of their new ones."""
    d, weighted = X.shape[1], weights.shape[0] > 0
    for i in range(i0, i1):
        a, b, x = old[i], new[i], X[rows[i]]
        w = weights[rows[i]] if weighted else 1.0
        mass[a] -= w
        mass[b] += w
        out, into = sums[a], sums[b]
        for f in range(d):
            e = w * (np.float64(x[f]) - origin[f])
            out[f] -= e
            into[f] += e


@kernel
def add_sparse_rows(data: Any, columns: Any, start: Any, rows: Any, labels: Any, sign: float, weights: Any, i0: int, i1: int,
                    sums: Any, mass: Any) -> None:
    """Add sparse rows[i0 … i1], times sign and weight, to the sums of their clusters."""
    weighted = weights.shape[0] > 0
    for i in range(i0, i1):
        a, r = labels[i], rows[i]
        w = sign * (weights[r] if weighted else 1.0)
        mass[a] += w
        into = sums[a]
        for p in range(start[r], start[r + 1]):
            into[columns[p]] += w * np.float64(data[p])


def sums_of(X: Any, labels: Ints, weights: Floats | None, k: int, origin: Floats | None = None) -> tuple[Floats, Floats]:
    """Sum the rows of every cluster.

    Parameters
    ----------
    X : ndarray of float32 or float64, or csr_array, shape (n, d)
    labels : ndarray of int, shape (n,)
        In 0 … k - 1.
    weights : ndarray, shape (n,), optional
    k : int
    origin : ndarray, shape (d,), optional
        Taken from every row first: data far from zero lose fewer digits. For dense rows.

    Returns
    -------
    sums : ndarray, shape (k, d)
    mass : ndarray, shape (k,)
        Summed weights.
    """
    weight, middle = _or_empty(weights), np.zeros(X.shape[1]) if origin is None else origin

    def work(i0: int, i1: int, sums: Floats, mass: Floats) -> None:
        add_rows(X, labels, weight, middle, i0, i1, sums, mass)

    def work_sparse(i0: int, i1: int, sums: Floats, mass: Floats) -> None:
        add_sparse_rows(X.data, X.indices, X.indptr, every, labels, 1.0, weight, i0, i1, sums, mass)

    every = np.arange(X.shape[0]) if _is_sparse(X) else labels
    return _in_blocks(work_sparse if _is_sparse(X) else work, X.shape[0], k, X.shape[1])


def change_sums(sums: Floats, mass: Floats, X: Any, rows: Ints, old: Ints, new: Ints, weights: Floats | None,
                origin: Floats | None = None) -> None:
    """Carry sums, in place, over a change of labels: row rows[i] goes from cluster old[i] to new[i]. O(rows·d).

    Rounding adds up over many changes: call `sums_of` again now and then.
    """
    weight, middle = _or_empty(weights), np.zeros(X.shape[1]) if origin is None else origin

    def work(i0: int, i1: int, part: Floats, part_mass: Floats) -> None:
        move_rows(X, rows, old, new, weight, middle, i0, i1, part, part_mass)

    def work_sparse(i0: int, i1: int, part: Floats, part_mass: Floats) -> None:
        for labels, sign in ((old, -1.0), (new, 1.0)):
            add_sparse_rows(X.data, X.indices, X.indptr, rows, labels, sign, weight, i0, i1, part, part_mass)

    change, change_mass = _in_blocks(work_sparse if _is_sparse(X) else work, len(rows), *sums.shape)
    sums += change
    mass += change_mass


def smallest_weight(weights: Floats | None) -> float:
    """The smallest weight above zero: a cluster with less than half of it is empty, whatever rounding has left in it."""
    return 1.0 if weights is None else float(np.min(weights, where=weights > 0.0, initial=np.inf))


def settle(sums: Floats, mass: Floats, old: NDArray[np.floating[Any]], fixed: Floats | None = None,
           metric: str = "euclidean") -> Floats:
    """Return the centres that serve the members best: their mean, or under cosine the mean's direction.

    Parameters
    ----------
    sums, mass : ndarray, shapes (k, d) and (k,)
    old : ndarray, shape (k, d)
        The centres so far; an empty cluster keeps its own, and under cosine one whose sum is zero.
    fixed : ndarray, shape (k, d), optional
        Coordinates that stay as they are; NaN where free. Under cosine the free ones fill a row up to length 1.
    metric : {"euclidean", "cosine"}

    Returns
    -------
    ndarray of float64, shape (k, d)
    """
    centers = np.array(old, np.float64)
    if metric == "euclidean":
        np.divide(sums, mass[:, None], out=centers, where=mass[:, None] > 0.0)
        return centers if fixed is None else np.where(np.isnan(fixed), centers, fixed)
    held = np.zeros_like(centers) if fixed is None else np.nan_to_num(fixed, nan=0.0)
    free = sums if fixed is None else np.where(np.isnan(fixed), sums, 0.0)
    length = np.linalg.norm(free, axis=1)
    room = np.sqrt(np.maximum(1.0 - (held * held).sum(axis=1), 0.0))
    live = (mass > 0.0) & (length > 0.0)
    centers[live] = held[live] + free[live] * (room[live] / length[live])[:, None]
    return centers if fixed is None else np.where(np.isnan(fixed), centers, fixed)


def refill(X: Any, labels: Ints, squares: Floats, sums: Floats, mass: Floats, centers: NDArray[np.floating[Any]],
           weights: Floats | None = None, fixed: Floats | None = None, metric: str = "euclidean",
           origin: Floats | None = None) -> Ints:
    """Give every empty cluster the item that is farthest from its centre, in place; return those items.

    Parameters
    ----------
    X, labels, weights
        The data and its clusters; labels are written to.
    squares : ndarray, shape (n,)
        Squared distance of every row to its centre; under cosine 1 - cos.
    sums, mass : ndarray, shapes (k, d) and (k,)
        The clusters' sums, less `origin`; written to. A mass of 0 means empty.
    centers, fixed, metric
        As `settle` takes them. What counts is how much nearer an item gets to a centre made for it, whose fixed
        coordinates stay. A cluster without any free coordinate may be empty.

    Returns
    -------
    ndarray of int
        Fewer than there are empty clusters where no item would gain.

    Notes
    -----
    Ties go to the smaller index. An item alone in its cluster, and one of weight 0, stays. O(n) for an empty cluster whose
    coordinates are all free, else O(n·d).
    """
    frozen = np.zeros(len(mass), bool) if fixed is None else ~np.isnan(fixed).any(axis=1)
    empty, moved = np.flatnonzero((mass <= 0.0) & ~frozen), []
    if len(empty) == 0:
        return empty
    worth = np.array(squares, np.float64)
    counted = np.ones(len(worth), bool) if weights is None else weights > 0.0
    members = np.bincount(labels[counted], minlength=len(mass))
    worth[~counted] = 0.0
    for j in empty:
        gain = worth if fixed is None or np.isnan(fixed[j]).all() else worth - _left(X, centers[j], fixed[j], metric)
        while True:
            i = int(np.argmax(gain))
            if gain[i] <= 0.0 or members[labels[i]] > 1:
                break
            worth[i] = gain[i] = 0.0
        if gain[i] <= 0.0:
            continue
        change_sums(sums, mass, X, np.array([i]), labels[i:i + 1].copy(), np.array([j]), weights, origin)
        members[labels[i]] -= 1
        members[j] += 1
        labels[i], worth[i] = j, 0.0
        moved.append(i)
    return np.array(moved, np.int64)


def _left(X: Any, center: NDArray[np.floating[Any]], fixed: Floats, metric: str) -> Floats:
    """How far every row would stay from a centre made for it alone: squared, or under cosine 1 - cos."""
    found = np.empty(X.shape[0])
    for i0, i1 in pool.blocks(X.shape[0], max(1, (1 << 20) // X.shape[1])):
        rows = np.asarray((X[i0:i1].toarray() if _is_sparse(X) else X[i0:i1]), np.float64)
        own = settle(rows, np.ones(i1 - i0), np.broadcast_to(center, rows.shape), np.broadcast_to(fixed, rows.shape), metric)
        found[i0:i1] = ((rows - own) ** 2).sum(axis=1)
    return found / 2.0 if metric == "cosine" else found


def _in_blocks(work: Any, n: int, k: int, d: int) -> tuple[Floats, Floats]:
    """Call work(i0, i1, sums, mass) for blocks of n rows, each with a table of its own, and add these up in order."""
    parts = pool.blocks(n, max(ROWS, SHARE * k, -(-n // BLOCKS)))
    tables, masses = np.zeros((max(1, len(parts)), k, d)), np.zeros((max(1, len(parts)), k))
    pool.run(work, [(i0, i1, table, mass) for (i0, i1), table, mass in zip(parts, tables, masses, strict=False)])
    for table, mass in zip(tables[1:], masses[1:], strict=True):
        tables[0] += table
        masses[0] += mass
    return tables[0].copy(), masses[0].copy()


def _or_empty(weights: Floats | None) -> Floats:
    return np.empty(0) if weights is None else weights


def _is_sparse(X: Any) -> bool:
    return hasattr(X, "indptr")
