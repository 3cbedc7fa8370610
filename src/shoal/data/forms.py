"""Which form pair data came in: square, triangle, condensed, long table, edges or sparse. Each is read by pairs.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.data.checks import is_sparse, item_name, read_ids, real_array
from shoal.data.pairs import Pairs, from_condensed, from_edges, from_square, pair_at, pair_count
from shoal.data.tables import Column, Table, is_frame, matrix, read_frame, read_records
from shoal.errors import InputError

__all__ = ["ReadPairs", "as_table", "is_long", "read_edges", "read_pairs", "require_all_pairs"]

_EDGE_NAMES = ({"i", "j"}, {"source", "target"}, {"from", "to"}, {"item1", "item2"}, {"node1", "node2"})


class ReadPairs(NamedTuple):
    """Pair data as read: the pairs, the ids that came with them, and what was assumed."""

    pairs: Pairs
    ids: tuple[str, ...] | None
    messages: list[str]


def as_table(data: Any) -> Table | None:
    """Read frames and structured arrays; None for anything else."""
    if isinstance(data, Table):
        return data
    if isinstance(data, np.ndarray) and data.dtype.names:
        return read_records(data)
    return read_frame(data) if is_frame(data) else None


def read_pairs(data: Any, what: str, ids: Any, symmetrize: str | None) -> ReadPairs:
    """Read values of all pairs from whichever form they are in.

    Parameters
    ----------
    data : array-like, frame or sparse array
    what : str
        "distance" or "similarity".
    ids : sequence or None
    symmetrize : str or None
    """
    table = as_table(data)
    if table is not None:
        return _pairs_of_table(table, what, ids, symmetrize)
    if is_sparse(data):
        return _pairs_of_sparse(data, what, ids, symmetrize)
    if isinstance(data, (list, tuple)) and data and isinstance(data[0], (list, tuple)) and any(
            isinstance(end, str) for end in data[0][:2]):
        return read_edges(data, what, ids, symmetrize)
    array, messages = real_array(data, "pairs")
    if array.ndim == 1:
        pairs = from_condensed(array)
        return ReadPairs(pairs, read_ids(ids, pairs.n), messages)
    _require_square(array.shape, what)
    names = read_ids(ids, len(array))
    pairs, said = from_square(array, what, symmetrize, names)
    return ReadPairs(pairs, names, said)


def _require_square(shape: tuple[int, ...], what: str) -> None:
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
        raise InputError(f"A {what} matrix is square; this one has shape {shape}.",
                         f"Give a square matrix, a condensed vector, or a table of pairs with the columns i, j and "
                         f"{what}; lists of edges go to shoal.graph(edges, kind={what!r}).")


def _pairs_of_sparse(data: Any, what: str, ids: Any, symmetrize: str | None) -> ReadPairs:
    _require_square(data.shape, what)
    names = read_ids(ids, data.shape[0])
    i, j, w, messages = _sparse_triples(data)
    pairs, said = from_edges(i, j, w, data.shape[0], what=what, symmetrize=symmetrize, ids=names)
    return ReadPairs(pairs, names, messages + said)


def _sparse_triples(data: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], list[str]]:
    """Entries of a sparse array, duplicates summed; zeros that are stored stay."""
    from scipy import sparse

    entries = sparse.coo_array(data, copy=True)
    entries.sum_duplicates()
    values, messages = real_array(entries.data, "pairs")
    return entries.row, entries.col, values, messages


def is_long(table: Table) -> bool:
    """Whether a table of three columns lists pairs: two columns of ids and a number, and is no square matrix."""
    if len(table.columns) != 3 or table.columns[2].numbers is None:
        return False
    first, second, third = table.columns
    if {first.name.lower(), second.name.lower()} in _EDGE_NAMES:
        return True
    if first.numbers is None and second.numbers is None:
        return True
    labelled = table.n == 2 and set(map(str, first.values())) == {second.name, third.name}
    return table.n != 3 and not labelled and _is_whole(first) and _is_whole(second)


def _is_whole(column: Column) -> bool:
    numbers = column.numbers
    return numbers is not None and (numbers.dtype.kind in "iu" or bool(np.all(numbers == np.floor(numbers))))


def _pairs_of_table(table: Table, what: str, ids: Any, symmetrize: str | None) -> ReadPairs:
    if is_long(table):
        first, second, third = table.columns
        assert third.numbers is not None
        values, messages = real_array(third.numbers, "pairs")
        i, j, names = _nodes_by_name(first.values(), second.values(), ids)
        pairs, said = from_edges(i, j, values, len(names), what=what, symmetrize=symmetrize, ids=names)
        assumed = f"Read as a table of pairs: {first.name!r}, {second.name!r} and their {what} {third.name!r}."
        return ReadPairs(pairs, names, [assumed, *messages, *said])
    labels, columns, messages = _labels(table, ids)
    wrong = [column for column in columns if column.numbers is None]
    if wrong:
        raise InputError(f"Column {wrong[0].name!r} of the {what} matrix is not numeric ({wrong[0].kind}).",
                         "Beside one column of ids, every column must hold numbers.")
    if len(columns) == 1 and table.n > 1:
        column, said = matrix(columns)
        pairs = from_condensed(column[:, 0])
        return ReadPairs(pairs, read_ids(ids, pairs.n), said)
    _require_square((table.n, len(columns)), what)
    found, agreed = _agree(labels, columns, table.named, what)
    S, said = matrix(columns)
    pairs, read = from_square(S, what, symmetrize, found)
    return ReadPairs(pairs, found, messages + agreed + said + read)


def _labels(table: Table, ids: Any) -> tuple[tuple[str, ...] | None, tuple[Column, ...], list[str]]:
    """Take the row labels of a square table from `ids`, the index, the one column of text, or the column too many."""
    if isinstance(ids, str):
        return read_ids(table.column(ids).values(), table.n), table.without(ids), []
    text = [column for column in table.columns if column.numbers is None]
    if len(text) != 1 and len(table.columns) == table.n + 1:
        text = [table.columns[0]]
    if len(text) == 1 and len(table.columns) > 1:
        found = read_ids(text[0].values() if ids is None else ids, table.n)
        return found, table.without(text[0].name), [f"Column {text[0].name!r} holds the ids."] if ids is None else []
    rows = ids if ids is not None else table.index
    return read_ids(rows, table.n) if rows is not None and len(table.columns) > 1 else None, table.columns, []


def _agree(labels: tuple[str, ...] | None, columns: Sequence[Column], named: bool,
           what: str) -> tuple[tuple[str, ...] | None, list[str]]:
    """Check the names of a square table's columns against the labels of its rows."""
    names = tuple(column.name for column in columns)
    if labels is None:
        return (read_ids(names, len(names)), ["The names of the columns are the ids."]) if named else (None, [])
    if names != labels and set(names) == set(labels):
        at = next(k for k in range(len(names)) if names[k] != labels[k])
        raise InputError(f"Rows and columns of the {what} matrix have the same names in different orders: row {at} "
                         f"(counted from 0) is {labels[at]!r}, column {at} is {names[at]!r}.",
                         "Put the columns in the order of the rows, for example with frame[ids].")
    if named and names != labels:
        return labels, ["The columns have names of their own; the labels of the rows are the ids."]
    return labels, []


def _nodes_by_name(first: Sequence[Any], second: Sequence[Any],
                   ids: Any) -> tuple[NDArray[Any], NDArray[Any], tuple[str, ...]]:
    """Give the items of named pairs their numbers: in the order of `ids`, or else of first appearance."""
    ends = [read_ids_of_edges(side) for side in (first, second)]
    if ids is None:
        in_order = dict.fromkeys(name for pair in zip(*ends, strict=True) for name in pair)
        place = {name: k for k, name in enumerate(in_order)}
    else:
        place = {name: k for k, name in enumerate(read_ids(ids, len(list(ids))) or ())}
        unknown = next((name for side in ends for name in side if name not in place), None)
        if unknown is not None:
            raise InputError(f"A pair names {unknown!r}, which is not among the {len(place)} ids given.",
                             "Give the ids of all items, or leave ids out.")
    if not place:
        raise InputError("There are no pairs in the table.", "Give at least one.")
    i, j = (np.array([place[name] for name in side], np.int64) for side in ends)
    return i, j, tuple(place)


def read_ids_of_edges(values: Sequence[Any]) -> list[str]:
    """Read the ends of edges as text; they repeat, but none may be missing."""
    texts = list(map(str, values))
    for row, (value, text) in enumerate(zip(values, texts, strict=True)):
        if value is None or text == "" or value != value:
            raise InputError(f"Pair {row} (counted from 0) names no item at one end.", "Name both items of every pair.")
    return texts


def require_all_pairs(pairs: Pairs, ids: Sequence[str] | None, hint: str) -> None:
    """Refuse pairs that are not all given, naming the first that is missing and how many are."""
    if pairs.stored is None:
        return
    missing = pair_count(pairs.n) - len(pairs.stored)
    gaps = np.flatnonzero(pairs.stored != np.arange(len(pairs.stored)))
    i, j = pair_at(int(gaps[0]) if len(gaps) else len(pairs.stored), pairs.n)
    raise InputError(f"{missing:,} of {pair_count(pairs.n):,} pairs have no distance, first the one between "
                     f"{item_name(ids, i)} and {item_name(ids, j)}.", hint)


def read_edges(edges: Any, what: str, ids: Any, symmetrize: str | None) -> ReadPairs:
    """Read the edges of a graph: a frame, array or list of (i, j) or (i, j, weight), or a sparse adjacency matrix.

    In an array or list of numbers, the ends are positions where `ids` are given or every number from 0 on occurs;
    elsewhere they are names, and items are numbered as they first appear. An edge without a weight weighs 1.
    """
    if is_sparse(edges):
        return _pairs_of_sparse(edges, what, ids, symmetrize)
    table = as_table(edges)
    if table is not None:
        first, second, weight = _edge_columns([(c.values, c.numbers) for c in table.columns])
        i, j, names = _nodes_by_name(first(), second(), ids)
        found: tuple[str, ...] | None = names
    else:
        first, second, weight = _edge_lists(edges)
        i, j, found = _nodes(first, second, ids)
    n = len(found) if found is not None else int(max(i.max(), j.max())) + 1
    w, messages = (np.ones(len(i)), []) if weight is None else real_array(weight, "weights of the edges")
    pairs, said = from_edges(i, j, w, n, what=what, symmetrize=symmetrize, ids=found)
    return ReadPairs(pairs, found, messages + said)


def _edge_columns(columns: Sequence[tuple[Any, Any]]) -> tuple[Any, Any, Any]:
    """Take the two ends and the weight, if there is one, by position."""
    if len(columns) not in (2, 3) or (len(columns) == 3 and columns[2][1] is None):
        raise InputError(f"Edges have 2 columns, or 3 with a number in the third; {len(columns)} columns were given.",
                         "Give the two items of each edge, then its weight.")
    return columns[0][0], columns[1][0], columns[2][1] if len(columns) == 3 else None


def _edge_lists(edges: Any) -> tuple[Any, Any, Any]:
    """Split an array or a list of tuples into ends and weights."""
    if isinstance(edges, np.ndarray) and edges.dtype != object:
        if edges.ndim != 2 or edges.shape[1] not in (2, 3) or len(edges) == 0:
            raise InputError(f"An array of edges has shape (edges, 2) or (edges, 3); this one has {edges.shape}.",
                             "Give the two items of each edge, then its weight.")
        return edges[:, 0], edges[:, 1], edges[:, 2] if edges.shape[1] == 3 else None
    rows = edges.tolist() if isinstance(edges, np.ndarray) else list(edges)
    widths = [len(row) if isinstance(row, (list, tuple, np.ndarray)) else 0 for row in rows]
    width = widths[0] if rows else 0
    wrong = next((k for k, other in enumerate(widths) if other != width), None)
    if width not in (2, 3) or wrong is not None:
        raise InputError(f"Edge {wrong or 0} (counted from 0) is not like (i, j) or (i, j, weight).",
                         "Give at least one edge, all with a weight or all without.")
    first, second, *weight = ([row[k] for row in rows] for k in range(width))
    return first, second, weight[0] if weight else None


def _nodes(first: Any, second: Any, ids: Any) -> tuple[NDArray[Any], NDArray[Any], tuple[str, ...] | None]:
    if any(isinstance(name, (tuple, list)) for name in (first[0], second[0])):
        return _nodes_by_name(list(first), list(second), ids)
    i, j = np.asarray(first), np.asarray(second)
    if i.dtype.kind not in "iuf" or j.dtype.kind not in "iuf" or (i % 1 != 0).any() or (j % 1 != 0).any():
        return _nodes_by_name(list(first), list(second), ids)
    i, j = i.astype(np.int64), j.astype(np.int64)
    present = np.unique(np.concatenate([i, j]))
    if ids is not None:
        names = read_ids(ids, len(list(ids)))
        if names is not None and (present[0] < 0 or present[-1] >= len(names)):
            raise InputError(f"The edges name items {present[0]} to {present[-1]}, but {len(names)} ids were given.",
                             "Items of numbered edges count from 0 to the number of ids minus 1.")
        return i, j, names
    if present[0] == 0 and present[-1] == len(present) - 1:
        return i, j, None
    return _nodes_by_name(i.tolist(), j.tolist(), None)
