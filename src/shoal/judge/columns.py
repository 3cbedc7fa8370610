"""The columns clusters are described by: the features of the tree's own points in the units they came in, or a table's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from shoal.data.checks import is_sparse, real_array
from shoal.data.forms import as_table
from shoal.data.records import Points
from shoal.data.tables import Table
from shoal.errors import InputError
from shoal.judge.contrasts import Column, Floats, Ints, columns_of

__all__ = ["MOST_COLUMNS", "columns_of_points", "columns_of_table", "feature_names", "read_terms"]

MOST_COLUMNS = 200  # of points; a column is n numbers, and nobody reads about more


def feature_names(data: Points) -> tuple[str, ...]:
    """Return the features' names; their numbers where none were given."""
    return data.columns or tuple(f"feature {j}" for j in range(data.d))


def columns_of_points(data: Points, labels: Ints, k: int, weights: Floats) -> list[Column]:
    """Return the features of points, scaling undone; of more than 200 those that differ most between the clusters.

    Parameters
    ----------
    data : Points
    labels : ndarray of int, shape (n,)
        0 … k-1; -1 is noise.
    k : int
    weights : ndarray, shape (n,)

    Notes
    -----
    O(n·d) time; of sparse points no more than the columns returned are made dense.
    """
    wanted = np.arange(data.d)
    if data.d > MOST_COLUMNS:
        share = _share_between(data.X, labels, k, weights)
        wanted = np.sort(np.argsort(-share, kind="stable")[:MOST_COLUMNS])
    names, part = feature_names(data), data.X[:, wanted]
    values = np.asarray(part if isinstance(part, np.ndarray) else part.toarray(), np.float64)
    if data.scaling is not None:
        values = values * data.scaling.spread[wanted] + data.scaling.center[wanted]
    return [Column(names[j], None, values[:, place]) for place, j in enumerate(wanted.tolist())]


def _share_between(X: Any, labels: Ints, k: int, weights: Floats) -> Floats:
    """Share of every feature's variance that lies between the clusters, noise as one more; a cluster at a time."""
    total = weights.sum()
    middle = np.asarray(weights @ X, np.float64).ravel() / total
    between, within = np.zeros(X.shape[1]), np.zeros(X.shape[1])
    order = np.argsort(labels, kind="stable")
    for at in np.split(order, np.searchsorted(labels[order], np.arange(k))):
        if not len(at):
            continue
        w, part = weights[at], X[at]
        mean = np.asarray(w @ part, np.float64).ravel() / w.sum()
        between += w.sum() * (mean - middle) ** 2
        square = part * part if isinstance(part, np.ndarray) else part.multiply(part).tocsr()
        within += np.maximum(np.asarray(w @ square, np.float64).ravel() - w.sum() * mean**2, 0.0)
    share: Floats = between / np.maximum(between + within, np.finfo(np.float64).tiny)
    return share


def columns_of_table(of: Any, ids: Sequence[str], id: str | None) -> list[Column]:
    """Read a table of the same items: columns of numbers as they are, of texts as the truth of their levels.

    Parameters
    ----------
    of : frame, structured array or Table
    ids : sequence of str, shape (n,)
        The items' names.
    id : str or None
        The column that names the items. By default rows are matched by the frame's index where that has the items' names,
        else they are taken in the order of the items.

    Raises
    ------
    InputError
        When it is no table, lacks items or names one twice, or holds no column to describe by. What is missing or infinite
        counts as missing; a column of texts that all differ names things and describes none, and is passed over.
    """
    table = as_table(of)
    if table is None:
        raise InputError(f"of={type(of).__name__} was given.", "Give a data frame with a row for each item.")
    rows = _rows_of_items(table, ids, id)
    found: list[Column] = []
    for column in table.columns:
        if column.name == id:
            continue
        if column.numbers is not None:
            numbers = np.asarray(real_array(column.numbers, f"values of {column.name!r}")[0], np.float64)[rows]
            values = np.where(np.isfinite(numbers), numbers, np.nan)
            if not np.isnan(values).all():
                found.append(Column(column.name, None, values))
            continue
        texts = column.values()
        texts = [texts[row] for row in rows.tolist()]
        there = [text for text in texts if text is not None]
        if len(set(map(str, there))) < max(len(there), 2):
            found += columns_of(column.name, texts)
    if not found:
        raise InputError("The table has no column to describe clusters by.",
                         "Give columns of numbers, or of texts that several items share.")
    return found


def _rows_of_items(table: Table, ids: Sequence[str], id: str | None) -> Ints:
    """The row of every item."""
    names = None if table.index is None else list(map(str, table.index))
    if id is not None:
        names = ["" if value is None else str(value) for value in table.column(id).values()]
    elif names is None or set(names) != set(ids):
        if table.n != len(ids):
            raise InputError(f"The table has {table.n:,} rows, and there are {len(ids):,} items.",
                             "Give a row for each item in their order, or the column that names them: id='...'.")
        return np.arange(table.n)
    row = {name: i for i, name in enumerate(names)}
    lost = [name for name in ids if name not in row]
    if lost:
        raise InputError(f"The table lacks {len(lost):,} of the {len(ids):,} items, first {lost[0]!r}.",
                         "Give a row for each item.")
    rows = np.array([row[name] for name in ids])
    wanted = set(ids)
    if sum(name in wanted for name in names) > len(ids):
        twice = next(name for i, name in enumerate(names) if name in wanted and row[name] != i)
        raise InputError(f"The table names {twice!r} twice.", "Give one row for each item.")
    return rows


def read_terms(terms: Any, names: Sequence[str] | None, n: int) -> tuple[Any, tuple[str, ...]]:
    """Check a table of terms: shape (n, t), nothing below 0, a name a term.

    Raises
    ------
    InputError
        When it is not.
    """
    table = terms if is_sparse(terms) else real_array(terms, "terms")[0]
    if len(table.shape) != 2 or table.shape[0] != n:
        raise InputError(f"The terms have the shape {table.shape}, and there are {n:,} items.",
                         "Give a table with a row for each item and a column for each term.")
    texts = tuple(map(str, names)) if names is not None else tuple(f"feature {j}" for j in range(table.shape[1]))
    if len(texts) != table.shape[1]:
        raise InputError(f"{len(texts):,} names were given for {table.shape[1]:,} terms.", "Give a name for each term.")
    values = table if isinstance(table, np.ndarray) else table.tocsr().data
    if values.size and not (np.isfinite(values).all() and values.min() >= 0):
        raise InputError("Key terms are found by how often items have them, and some of these numbers are below 0 or not "
                         "finite.", "Give counts or weights of at least 0; for other features use clusters.features().")
    return table, texts
