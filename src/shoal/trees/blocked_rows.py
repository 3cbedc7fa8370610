"""The centres of the blocked engine as rows: dense ones in a table, sparse ones wherever there is room for their columns.

Sparse rows fill in as clusters grow, but a union has no column that its parts have not, so all of them together never
have more entries than the data. A round writes its unions behind the other rows; where no room is left, all are written
anew, side by side.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from shoal.data.metrics import resolve_metric
from shoal.runtime import pool
from shoal.trees import blocked_kernels as kernels
from shoal.trees.merges import Floats, Ints

__all__ = ["UNIT_ROWS", "Rows", "centres", "joined", "laid_out", "long_rows", "moved", "row_bytes", "together"]

UNIT_ROWS = ("cosine", "correlation")  # half the squared distance of rows of length 1

BLOCK = 256  # rows a task writes
AREA = 1 << 22  # entries of a table of sparse queries: 32 MB, if they have so many columns
LONG = 8  # times the mean number of columns, from which a union gets a dense copy for a round
ROOMY = 1.25  # entries there is room for, over those there are, when sparse rows are written anew


class Rows(NamedTuple):
    """Centres: dense ones in `table`, which is empty for sparse ones: those are at `start` to `stop` of the columns."""

    table: Floats
    data: Floats
    columns: Ints
    start: Ints
    stop: Ints  # a slot without a cluster has no columns
    norm: Floats  # ‖c‖² of sparse ones

    @classmethod
    def dense(cls, table: Floats) -> Rows:
        """Rows of a table."""
        nowhere = np.empty(0, np.int64)
        return cls(table, np.empty(0), np.empty(0, np.int32), nowhere, nowhere, np.empty(0))

    @classmethod
    def sparse(cls, X: Any) -> Rows:
        """Rows of a csr_array."""
        start = X.indptr.astype(np.int64)
        rows = cls(np.empty((0, 0)), X.data, X.indices, start[:-1].copy(), start[1:].copy(), np.empty(X.shape[0]))
        pool.run(lambda i0, i1: kernels.sizes_of_rows(rows, i0, i1), pool.blocks(X.shape[0], BLOCK))
        return rows


def centres(X: Any, metric: str) -> tuple[Rows, float]:
    """Rows in float64: of length 1 under cosine and correlation, else scaled by a power of two; dense less their mean."""
    dense, scale = not hasattr(X, "indptr"), 1.0
    if metric in UNIT_ROWS:
        ready = resolve_metric(metric, X).unit_rows(X)
    else:
        ready = X.astype(np.float64)
        values = ready if dense else ready.data
        largest = float(np.abs(values).max(initial=0.0))
        scale = 2.0 ** -max(math.frexp(largest)[1], -1000) if largest > 0.0 else 1.0
        values *= scale
    if not dense:
        return Rows.sparse(ready), scale
    ready -= ready.mean(axis=0)
    ready += 0.0  # no -0.0: equal rows have equal bits
    return Rows.dense(ready), scale


def joined(rows: Rows, used: int, living: Ints, unions: Ints, mate: Ints, share: Floats) -> tuple[Rows, int]:
    """Write the sparse rows of unions of the living slots; return where all rows are, and how many entries are in use."""
    slots, upto = unions, _columns_upto(rows, unions, mate)
    new = rows
    if used + upto[-1] > len(rows.data):
        slots, used = living, 0
        upto = _columns_upto(rows, living, mate)
        room = int(upto[-1] * ROOMY)
        new = rows._replace(data=np.empty(room), columns=np.empty(room, rows.columns.dtype))
    start = used + upto
    pool.run(lambda i0, i1: kernels.join_rows(rows, mate, share, slots, i0, i1, start, new.data, new.columns),
             pool.blocks(len(slots), BLOCK))
    new.start[slots], new.stop[slots] = start[:-1], start[1:]
    gone = mate[unions]
    new.stop[gone] = new.start[gone]
    return new, int(start[-1])


def _columns_upto(rows: Rows, slots: Ints, mate: Ints) -> Ints:
    """How many columns the rows of some slots will have together with their mates', up to each."""
    upto = np.zeros(len(slots) + 1, np.int64)
    pool.run(lambda i0, i1: kernels.count_joined(rows, mate, slots, i0, i1, upto[1:]), pool.blocks(len(slots), BLOCK))
    return np.cumsum(upto, out=upto)


def long_rows(rows: Rows, d: int, clusters: int, unions: Ints) -> tuple[Ints, Floats]:
    """Dense copies of the longest sparse rows of unions, and which slot has which: one that grows is in every list."""
    length, long = rows.stop - rows.start, np.full(len(rows.start), -1)
    found = unions[np.argsort(-length[unions], kind="stable")][:max(AREA // 8 // d, 1)]
    found = found[length[found] > LONG * length.sum() / clusters]
    long[found], table = np.arange(len(found)), np.zeros((len(found), d))
    for t, a in enumerate(found.tolist()):
        part = slice(rows.start[a], rows.stop[a])
        table[t, rows.columns[part]] = rows.data[part]
    return long, table


def laid_out(rows: Rows, d: int, queries: Ints) -> Iterator[tuple[Ints, Ints, Floats]]:
    """Sparse queries side by side in dense tables: (queries, places of their columns, table)."""
    width = min(d, int((rows.stop[queries] - rows.start[queries]).sum()))  # columns they have together, or fewer
    for q0, q1 in pool.blocks(len(queries), max(AREA // max(width, 1), 8)):
        some, place, table = queries[q0:q1], np.zeros(d, np.int32), np.zeros((width + 1, q1 - q0))
        kernels.lay_out(rows, some, place, table)
        yield some, place, table


def row_bytes(rows: Rows, i: int) -> tuple[bytes, bytes]:
    """A row's values and columns."""
    if len(rows.table):
        return rows.table[i].tobytes(), b""
    part = slice(rows.start[i], rows.stop[i])
    return rows.data[part].tobytes(), rows.columns[part].tobytes()


def moved(rows: Rows, keep: Ints) -> Rows:
    """The rows `keep`, in ascending order: dense ones are moved to the top in place, sparse ones stay where they are."""
    if len(rows.table):
        return rows._replace(table=together(rows.table, keep))
    return rows._replace(start=rows.start[keep], stop=rows.stop[keep], norm=rows.norm[keep])


def together(table: Any, keep: Ints) -> Any:
    """The rows `keep`, in ascending order, moved to the top of a table in place."""
    for t0, t1 in pool.blocks(len(keep), BLOCK):
        table[t0:t1] = table[keep[t0:t1]]
    return table[:len(keep)]
