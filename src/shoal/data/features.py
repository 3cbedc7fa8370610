"""Features of items, from any form to one matrix: read, named, and matched to the columns of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.data.checks import is_sparse, read_ids, real_array, require_finite, sparse_points, table_of_dicts
from shoal.data.forms import as_table
from shoal.data.scaling import Scaling
from shoal.data.tables import Table, matrix
from shoal.errors import InputError

__all__ = ["Features", "frozen", "match", "read_features", "scaling_messages", "uneven_columns"]

UNEVEN = 10  # a column with ten times the spread has a hundred times the share in a squared distance


class Features(NamedTuple):
    """A matrix of features as read: float32 or float64, finite, with at least one row and one column."""

    X: Any
    ids: tuple[str, ...] | None
    columns: tuple[str, ...] | None
    messages: list[str]


def read_features(data: Any, ids: Any, columns: Sequence[str] | None,
                  known: Sequence[str] | None = None) -> Features:
    """Read points in any form.

    Parameters
    ----------
    data : array-like, frame, sparse array or list of dicts
    ids : sequence, name of a column of a frame, or None
    columns : sequence of str or None
        Columns of a frame to use, or names for those of anything else.
    known : sequence of str, optional
        Columns of the model that new items are read for.
    """
    table = as_table(data)
    if table is not None:
        return _of_table(table, ids, columns)
    if is_sparse(data):
        return _checked(data, ids, columns, [])
    if isinstance(data, Mapping):
        raise InputError("A dict was given as points.", "Give a data frame, an array, or a list of one dict an item.")
    if isinstance(data, (list, tuple)) and len(data) and isinstance(data[0], Mapping):
        X, names = table_of_dicts(data, columns or known)
        extra = sorted({str(key) for row in data for key in row} - set(names))
        messages = ["A key that a dict does not have counts as 0.", *_left_out(extra)]
        return _checked(X, ids, names, messages)
    array, messages = real_array(data, "points")
    if array.ndim == 1:
        array = array.reshape(-1, 1)
        messages.append("A list of numbers was read as items with one feature.")
    if array.ndim != 2:
        raise InputError(f"Points are a table of items and features; this array has {array.ndim} dimensions, shape "
                         f"{array.shape}.", "Give a 2-D array, for example X.reshape(len(X), -1).")
    if columns is None and known is not None and len(known) == array.shape[1]:
        columns = known  # by position; errors can name them
    return _checked(array, ids, columns, messages)


def _checked(X: Any, ids: Any, columns: Sequence[str] | None, messages: list[str]) -> Features:
    """Check shape, ids, names and values, and bring the matrix to floats in C order; a copy only where it is not."""
    n, d = X.shape
    if n == 0 or d == 0:
        raise InputError(f"The points have {n} rows and {d} columns.", "Give at least one item with one feature.")
    names = None if columns is None else tuple(map(str, columns))
    if names is not None and (len(names) != d or len(set(names)) < d):
        repeats = "" if len(set(names)) == len(names) else ", and some are the same"
        raise InputError(f"{len(names)} names were given for {d} columns{repeats}.",
                         "Give every column a name of its own.")
    texts = read_ids(ids, n)
    if not isinstance(X, np.ndarray):
        return Features(sparse_points(X, texts, names), texts, names, messages)
    dense = frozen(np.ascontiguousarray(X, X.dtype if X.dtype.kind == "f" else np.float64))
    require_finite(dense, texts, names)
    return Features(dense, texts, names, messages)


def frozen(X: Any) -> Any:
    """Return a read-only view of a dense matrix; a sparse one is read-only by agreement."""
    if isinstance(X, np.ndarray):
        X = X.view()
        X.setflags(write=False)
    return X


def _left_out(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    shown = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
    return [f"Left out, for the model does not know them: {len(names)} columns ({shown})."]


def _of_table(table: Table, ids: Any, columns: Sequence[str] | None) -> Features:
    """Take the numeric columns of a frame, and say which are left out."""
    messages = list(table.messages)
    rest = table.columns
    if isinstance(ids, str):
        rest, ids = table.without(ids), table.column(ids).values()
    elif ids is None:
        ids = table.index
    if columns is not None:
        rest = tuple(table.column(str(name)) for name in columns)
        text = next((column for column in rest if column.numbers is None), None)
        if text is not None:
            raise InputError(f"Column {text.name!r} is not numeric ({text.kind}).", "Choose columns of numbers.")
    numeric = [column for column in rest if column.numbers is not None]
    left = [f"{column.name!r} ({column.kind})" for column in rest if column.numbers is None]
    if left:
        messages.append(f"Left out, for they are not numeric: {', '.join(left)}.")
    if not numeric or table.n == 0:
        raise InputError(f"The table has {table.n} rows and {len(numeric)} numeric columns.", " ".join(
            ["Give at least one item with one feature.", *messages]))
    X, said = matrix(numeric)
    names = tuple(column.name for column in numeric)
    return _checked(X, ids, names if table.named else None, messages + said)


def match(raw: Features, columns: tuple[str, ...] | None, d: int, model: Any) -> Features:
    """Bring new items to a model's features: by name where both have names, else by position.

    Parameters
    ----------
    raw : Features
    columns : tuple of str or None
        The model's.
    d : int
        Number of the model's features.
    model : ndarray or csr_array
        Its matrix, whose kind and type the new one takes.
    """
    X, messages = raw.X, list(raw.messages)
    if columns and raw.columns and raw.columns != columns:
        missing = [repr(name) for name in columns if name not in set(raw.columns)]
        if missing:
            shown = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
            raise InputError(f"The new items lack {len(missing)} of the {d} columns of the model: {shown}.",
                             " ".join(["Give them as numbers.", *messages]))
        place = {name: j for j, name in enumerate(raw.columns)}
        X = X[:, [place[name] for name in columns]]
        messages += _left_out([name for name in raw.columns if name not in set(columns)])
    if X.shape[1] != d:
        raise InputError(f"The new items have {X.shape[1]} features; the model has {d}.", "Give the same features.")
    if isinstance(model, np.ndarray) != isinstance(X, np.ndarray):
        if not isinstance(X, np.ndarray):
            raise InputError("The new items are sparse, but the model was made from dense points.",
                             "If memory allows, give new.toarray().")
        from scipy import sparse

        X = sparse_points(sparse.csr_array(X))
    with np.errstate(over="ignore"):
        X = X.astype(model.dtype, copy=False)
    if isinstance(X, np.ndarray):
        X = frozen(np.ascontiguousarray(X))
        require_finite(X, raw.ids, columns)
    return Features(X, raw.ids, columns or raw.columns, messages)


def uneven_columns(X: NDArray[Any] | Any, columns: Sequence[str]) -> list[str]:
    """Say when unscaled features differ so much in spread that one of them decides the distances."""
    if not isinstance(X, np.ndarray) or len(X) < 2:
        return []
    spread = Scaling.fit("standard", X).spread
    varying = np.flatnonzero(X.min(axis=0) < X.max(axis=0))
    if len(varying) < 2:
        return []
    wide, narrow = varying[np.argmax(spread[varying])], varying[np.argmin(spread[varying])]
    ratio = spread[wide] / spread[narrow]
    if ratio < UNEVEN:
        return []
    return [f"Column {columns[wide]!r} varies {ratio:,.0f} times as much as {columns[narrow]!r}, and columns were not "
            "scaled: it outweighs the others. scale='standard' gives all the same weight."]


def scaling_messages(scaling: Scaling, columns: Sequence[str] | None, X: NDArray[Any] | Any) -> list[str]:
    """Say what the caller should know about a scaling: constant columns, and no centring of sparse points."""
    messages = []
    if scaling.constant:
        names = [repr(columns[j]) if columns else str(j) for j in scaling.constant[:5]]
        more = ", ..." if len(scaling.constant) > 5 else ""
        messages.append(f"{len(scaling.constant)} columns are constant and were not scaled: {', '.join(names)}{more}.")
    if not isinstance(X, np.ndarray):
        messages.append("Sparse points were scaled without centring, so that zeros stay zeros.")
    return messages
