"""Nearest neighbours by any distances: rows of them, a block at a time, none of which is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from shoal.data.metrics import Metric
from shoal.graphs import neighbors_kernels as kernels
from shoal.runtime import pool
from shoal.runtime.progress import Ticker
from shoal.trees.merges import Floats, Ints

__all__ = ["BLOCK", "nearest_by_rows", "row_blocks"]

BLOCK = 1 << 21  # distances at a time: 16 MB
TASK = 1 << 20  # distances a task looks at: some milliseconds where they come in the worst order


def nearest_by_rows(blocks: Iterable[Floats], own: bool, who: Ints, far: Floats, ticker: Ticker | None = None) -> None:
    """Fill the rows of `who` and `far`, shape (m, k), with the nearest by (distance, item); they are -1 and infinity.

    Parameters
    ----------
    blocks : iterable of ndarray of float64, shape (b, n)
        Distances of the queries to all items, in order.
    own : bool
        Whether query i is item i, and not its own neighbour.
    """
    i0 = 0
    for D in blocks:
        rows = np.ascontiguousarray(D)

        def work(r0: int, r1: int, rows: Floats = rows, i0: int = i0) -> None:
            kernels.take_rows(rows, r0, r1, i0, own, who, far)

        pool.run(work, pool.blocks(len(D), max(1, TASK // D.shape[1])))
        i0 += len(D)
        if ticker is not None:
            ticker.at(i0 / len(who))


def row_blocks(metric: Metric, X: Any, Q: Any = None) -> Iterator[Floats]:
    """Blocks of the distances of Q, by default of X, to X, Euclidean ones squared."""
    if metric.name == "cosine" and not isinstance(X, np.ndarray):
        yield from _sparse_cosines(metric.unit_rows(X if Q is None else Q), metric.unit_rows(X).tocsc())
        return
    if metric.name == "euclidean":
        metric = dataclasses.replace(metric, name="sqeuclidean")
    rows = X if Q is None else Q
    for a, b in pool.blocks(rows.shape[0], max(1, BLOCK // X.shape[0])):
        yield metric.between(rows[a:b], X)


def _sparse_cosines(rows: Any, columns: Any) -> Iterator[Floats]:
    """By columns: 20,000 rows of 50 values in 5,000 features share few: a fortieth of the time of all pairs."""
    (m, _), n = rows.shape, columns.shape[0]
    for a, b in pool.blocks(m, max(1, BLOCK // n)):
        D, starts = np.empty((b - a, n)), rows.indptr[a:b + 1]

        def work(r0: int, r1: int, D: Floats = D, starts: Any = starts) -> None:
            kernels.sparse_cosines(starts, rows.indices, rows.data, columns.indptr, columns.indices, columns.data, r0, r1, D)

        pool.run(work, pool.blocks(b - a, max(1, TASK // max(n, columns.nnz))))
        yield D
