"""Equal rows: they merge first, at height zero, before any engine looks for neighbours among ties."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shoal.runtime import pool
from shoal.trees.merges import Floats

__all__ = ["first_equal"]

ROWS = 2048  # compared at a time


def first_equal(rows: Floats) -> NDArray[np.int64]:
    """Return the first of the rows that are equal to each row; 0 and -0 are equal.

    By a hash of 64 bits, so that only rows that are likely equal are compared: O(n·d + n·log n). Where two different rows
    have the same hash, rows equal to either may be passed over; they then are ties like any others.

    Examples
    --------
    >>> first_equal(np.array([[1.0, 2.0], [0.0, 0.0], [1.0, 2.0], [-0.0, 0.0]])).tolist()
    [0, 1, 0, 1]
    """
    n, key = len(rows), np.zeros(len(rows), np.uint64)
    for column in rows.T:
        key = (key ^ (column + 0.0).view(np.uint64)) * np.uint64(0xBF58476D1CE4E5B9)
        key ^= key >> np.uint64(29)
    order = np.argsort(key, kind="stable")
    again = np.zeros(n, np.bool_)
    suspects = np.flatnonzero(key[order[1:]] == key[order[:-1]]) + 1
    for t0, t1 in pool.blocks(len(suspects), ROWS):
        part = suspects[t0:t1]
        again[part] = (rows[order[part]] == rows[order[part - 1]]).all(axis=1)
    first = np.empty(n, np.int64)
    first[order] = order[np.maximum.accumulate(np.where(again, 0, np.arange(n)))]
    return first
