"""Distances of all pairs as k-medoids searches read them: many candidates side by side, one item's row, or a small block."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shoal.centers.medoids_kernels import condensed_tile, write_tile
from shoal.data.pairs import Pairs, n_of_condensed
from shoal.data.records import Carrier, Distances, Points
from shoal.data.rows import rows_of
from shoal.errors import InputError
from shoal.runtime import memory, pool

__all__ = ["Condensed", "Square", "Table", "distances_to", "table_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]
Matrix = NDArray[np.floating[Any]]

TASK = 1 << 25  # coordinate differences of a task, and entries that a task looks at: 5 to 20 ms
BLOCK = 1 << 21  # distances at a time: 16 MB


class Table(Protocol):
    """Distances of n items, symmetric and 0 on the diagonal."""

    n: int
    dtype: np.dtype[Any]
    lanes: int  # candidates a task looks at side by side

    def tile(self, a: int, b: int) -> tuple[Matrix, int]:
        """Return an array and a column c0, so that ``array[o, c0 + c]`` is the distance of item o to candidate a + c."""

    def row(self, item: int) -> Matrix:
        """Return the distances of one item to all, contiguous."""

    def block(self, rows: Ints, columns: Ints) -> Matrix:
        """Return the distances of some items to others, in new memory."""


class Square:
    """A square matrix, used where it lies.

    Parameters
    ----------
    V : ndarray of float32 or float64, shape (n, n)
        Contiguous, symmetric, 0 on the diagonal and nowhere below it.
    """

    def __init__(self, V: Matrix) -> None:
        self.V = V if V.flags.c_contiguous else V.T
        self.n, self.dtype = len(V), V.dtype
        self.lanes = min(512, max(32, TASK // len(V)))  # rows lie far apart: a wide stretch of each takes half the time

    def tile(self, a: int, b: int) -> tuple[Matrix, int]:
        """Return the matrix itself, and `a`."""
        return self.V, a

    def row(self, item: int) -> Matrix:
        """Return a row of the matrix."""
        row: Matrix = self.V[item]
        return row

    def block(self, rows: Ints, columns: Ints) -> Matrix:
        """Return the entries at some rows and columns."""
        return self.V[rows[:, None], columns]


class Condensed:
    """A condensed vector, used where it lies: a task writes out the columns it looks at.

    Parameters
    ----------
    D : ndarray of float32 or float64, shape (n (n - 1) / 2,)
        Contiguous. What is below 0 by rounding counts as 0.
    """

    lanes = 64

    def __init__(self, D: Matrix) -> None:
        self.D, self.dtype = D, D.dtype
        self.n = n_of_condensed(len(D))

    def tile(self, a: int, b: int) -> tuple[Matrix, int]:
        """Return a fresh array of n rows, and 0."""
        out = np.empty((self.n, b - a), self.dtype)
        condensed_tile(self.D, self.n, a, b, out)
        return out, 0

    def row(self, item: int) -> Matrix:
        """Return a fresh row."""
        return self.tile(item, item + 1)[0].reshape(-1)

    def block(self, rows: Ints, columns: Ints) -> Matrix:
        """Return the distances of some items to others, in new memory."""
        low, high = np.minimum(rows[:, None], columns), np.maximum(rows[:, None], columns)
        own = low == high
        found = np.maximum(self.D[np.where(own, 0, low * (2 * self.n - low - 1) // 2 + high - low - 1)], self.dtype.type(0))
        found[own] = 0
        return found


def table_of(data: Carrier | Matrix) -> Table:
    """Give access to all distances: the caller's own array where it can be read as it is, else a matrix made for it.

    Parameters
    ----------
    data : Carrier, or ndarray
        An array is a square matrix (symmetric, 0 on the diagonal) or a condensed vector, and taken as such unchecked.

    Raises
    ------
    TooLargeError
        When the matrix would not fit in memory.
    InputError
        When an array is neither.
    """
    if isinstance(data, Carrier):
        return _table_of_carrier(data)
    V = data if data.dtype in (np.float32, np.float64) else data.astype(np.float64)
    if V.ndim == 1:
        return Condensed(np.ascontiguousarray(V))
    if V.ndim != 2 or len(V) != V.shape[1] or not len(V):
        raise InputError(f"An array of shape {V.shape} was given.",
                         "Give a square matrix or a condensed vector of distances.")
    return Square(V if V.flags.c_contiguous or V.flags.f_contiguous else np.ascontiguousarray(V))


def _table_of_carrier(data: Carrier) -> Table:
    if isinstance(data, Distances):
        values = data.pairs.values
        if data.n > 1 and data.pairs.half == "condensed" and values.dtype in (np.float32, np.float64):
            return Condensed(np.ascontiguousarray(values))
        if _is_plain_square(data.pairs):
            return Square(values)
    n, size = data.n, data.dtype.itemsize
    measured = isinstance(data, Points) and data.metric.function is not None  # every call counts: measure each pair once
    memory.require((n * (n - 1) / 2 if measured else n * n) * size, None, f"a matrix of the distances of {n:,} items",
                   "Take a sample: method='fasterclara'.")
    if measured and n > 1:
        return Condensed(data.condensed())
    V = np.empty((n, n), data.dtype)
    if isinstance(data, Points):
        _fill_with_points(data, V)
    else:
        rows = rows_of(data)

        def work(a: int, b: int) -> None:
            V[a:b] = rows(np.arange(a, b))

        pool.run(work, pool.blocks(n, max(1, (BLOCK >> 3) // n)))
    return Square(V)


def _is_plain_square(pairs: Pairs) -> bool:
    """Whether a square is mirrored, has zeros on its diagonal, nothing below zero, and can be read where it is."""
    V = pairs.values
    if pairs.half != "upper" or V.dtype not in (np.float32, np.float64) or (V.diagonal() != 0).any():
        return False
    if not (V.flags.c_contiguous or V.flags.f_contiguous):
        return False
    # "upper" means the other half mirrors it or is empty: one pair that is not 0 tells which
    for i in range(len(V) - 1):
        above = np.flatnonzero(V[i, i + 1:])
        if len(above):
            j = i + 1 + int(above[0])
            if V[j, i] != V[i, j]:
                return False
            break
    low = np.zeros(len(V))

    def work(a: int, b: int) -> None:
        low[a] = V[a:b].min()

    pool.run(work, pool.blocks(len(V), max(1, BLOCK // len(V))))
    return bool((low >= 0).all())


def _fill_with_points(data: Points, V: Matrix) -> None:
    """Write all distances of points: tiles on and above the diagonal, and their mirror images."""
    X, metric = data.X, data.metric
    width = max(16, min(512, TASK // (128 * data.d)))  # a tile of 512 KB at most stays in the second-level cache

    def work(a: int, b: int, c: int, e: int) -> None:
        write_tile(metric.between(X[a:b], X[c:e]), a, c, V)

    pool.run(work, [(a, b, a + c, a + e) for a, b in pool.blocks(data.n, 128) for c, e in pool.blocks(data.n - a, width)])


def distances_to(data: Carrier | Table, some: Ints, rows: Ints | None = None) -> Matrix:
    """Return the distances of items to a few of them, shape (rows, len(some)); 0 for an item with itself.

    Parameters
    ----------
    data : Carrier or Table
    some : ndarray of int
        What the columns stand for.
    rows : ndarray of int, optional
        What the rows stand for; by default all items.
    """
    every = np.arange(data.n) if rows is None else rows
    if not isinstance(data, Carrier):
        return np.ascontiguousarray(data.block(some, every).T)
    if isinstance(data, Points):
        found = data.metric.between(data.X if rows is None else data.X[rows], data.X[some])
        found[every[:, None] == some] = 0
        return found
    values, out = rows_of(data), np.empty((len(every), len(some)))
    for a, b in pool.blocks(len(some), max(1, BLOCK // data.n)):
        out[:, a:b] = values(some[a:b])[:, every].T
    return out
