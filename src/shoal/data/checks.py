"""What every carrier is checked for: real numbers, none missing, ids that name one item each, weights above zero."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError

__all__ = ["SQUARE_WAYS", "is_sparse", "item_name", "looks_like_pairs", "read_ids", "read_weights", "real_array",
           "require_finite", "row_blocks", "row_numbers", "slack", "sparse_points", "table_of_dicts"]

BLOCK = 2**20  # values looked at together: 8 MB of float64, so that no check needs a second matrix
EXACT_INTEGERS = 2**53  # float64 holds every whole number up to here

_NOT_NUMBERS = {
    "c": ("complex numbers", "Give their real and imaginary parts, or their absolute values, as columns."),
    "U": ("text", "Turn it into numbers first, for example with X.astype(float)."),
    "S": ("text", "Turn it into numbers first, for example with X.astype(float)."),
    "T": ("text", "Turn it into numbers first, for example with X.astype(float)."),
    "M": ("dates", "Turn them into numbers first, for example (X - X.min()) / np.timedelta64(1, 'D')."),
    "m": ("durations", "Turn them into numbers first, for example X / np.timedelta64(1, 's')."),
    "V": ("records", "Give the fields that are numbers as the columns of a 2-D array."),
}

FILL = "Leave out those rows or columns, or fill the gaps first."
SQUARE_WAYS = ("If it holds distances, give shoal.distances(X); if similarities, shoal.similarities(X); "
               "if its rows really are points, shoal.points(X, square=True).")


def row_blocks(n: int, width: int) -> Iterator[tuple[int, int]]:
    """Cut n rows of `width` values into half-open blocks of about 8 MB."""
    rows = max(1, BLOCK // max(1, width))
    for start in range(0, n, rows):
        yield start, min(start + rows, n)


def slack(dtype: Any) -> float:
    """How far two numbers meant to be equal may be apart, relative to the largest: 1e-8, or 1e-5 in float32."""
    return 1e-5 if np.dtype(dtype).itemsize <= 4 and np.dtype(dtype).kind == "f" else 1e-8


def is_sparse(data: Any) -> bool:
    """Whether `data` is a scipy sparse array or matrix; imports nothing, for without scipy loaded there is none."""
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and bool(sparse.issparse(data))


def item_name(ids: Sequence[str] | None, i: int) -> str:
    """Name an item in a message: by id, or else by position, counted from 0."""
    return f"item {i}" if ids is None else repr(ids[i])


def read_ids(ids: Any, n: int) -> tuple[str, ...] | None:
    """Read ids as text, exactly as written.

    Parameters
    ----------
    ids : sequence, 1-D array or series, or None
        Anything with a text form; 7 becomes "7".
    n : int
        Number of items.

    Raises
    ------
    InputError
        When their number is not `n`, or one is missing or given twice.
    """
    if ids is None:
        return None
    if isinstance(ids, (str, bytes)) or not hasattr(ids, "__iter__"):
        raise InputError(f"ids must be a sequence with one id for each of the {n} items; {ids!r} was given.")
    values = ids.to_pylist() if hasattr(ids, "to_pylist") else list(ids)  # Arrow's own scalars hide what is missing
    if len(values) != n:
        raise InputError(f"{len(values)} ids were given for {n} items.", "Give exactly one id for each item.")
    texts = tuple(str(value) for value in values)
    for position, (value, text) in enumerate(zip(values, texts, strict=True)):
        if text == "" or _is_missing(value):
            raise InputError(f"The id at position {position} (counted from 0) is missing.", "Give every item an id.")
    if len(set(texts)) < n:
        repeated = [text for text, count in Counter(texts).items() if count > 1]
        shown = ", ".join(map(repr, repeated[:5])) + (", ..." if len(repeated) > 5 else "")
        raise InputError(f"{len(repeated)} ids are given to more than one item: {shown}.",
                         "Give every item an id of its own, for example by adding a number.")
    return texts


def row_numbers(n: int) -> tuple[str, ...]:
    """Return the names of items that have none: 0, 1, 2 …, as text."""
    return tuple(map(str, range(n)))


def _is_missing(value: Any) -> bool:
    if isinstance(value, str):
        return False
    return value is None or (isinstance(value, float) and math.isnan(value)) or str(value) in ("<NA>", "NaT", "--")


def read_weights(weights: Any, n: int) -> NDArray[np.float64] | None:
    """Read weights: one positive finite number an item, as a read-only float64 array."""
    if weights is None:
        return None
    array, _ = real_array(weights, "weights")
    if array.shape != (n,):
        raise InputError(f"weights has shape {array.shape}; there are {n} items.",
                         "Give one positive number for each item.")
    wrong = ~(np.isfinite(array) & (array > 0))
    if wrong.any():
        i = int(np.argmax(wrong))
        raise InputError(f"The weight of item {i} (counted from 0) is {array[i]}.",
                         "Weights must be positive and finite; leave out items that should not count.")
    result = array.astype(np.float64)
    result.setflags(write=False)
    return result


def real_array(data: Any, what: str) -> tuple[NDArray[Any], list[str]]:
    """View anything array-like as a native numpy array of real numbers, copying only where that cannot be helped.

    Parameters
    ----------
    data : array-like
        Of numbers of any kind; a masked array must have nothing masked.
    what : str
        What it is, as the start of a message: "points".

    Returns
    -------
    array : ndarray
        Of float32 or float64 where the data is float16, float32 or float64, else of the data's integer or bool type.
    messages : list of str
    """
    array = _as_numpy(data, what)
    kind = array.dtype.kind
    if kind == "O":
        _refuse_objects(array, what)
    if kind in _NOT_NUMBERS:
        words, hint = _NOT_NUMBERS[kind]
        raise InputError(f"The {what} are {words} (type {array.dtype}), not real numbers.", hint)
    if kind == "f" and array.dtype.itemsize > 8:
        raise InputError(f"The {what} have type {array.dtype}, whose extra digits would be lost here.",
                         "If float64 is enough, give X.astype(np.float64).")
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    elif not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    messages: list[str] = []
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8 and array.size and (
            int(array.max()) > EXACT_INTEGERS or int(array.min()) < -EXACT_INTEGERS):
        messages.append(f"Some {what} are whole numbers beyond 2^53; they were rounded to the nearest float64.")
    return array, messages


def _as_numpy(data: Any, what: str) -> NDArray[Any]:
    if isinstance(data, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(data)
        if mask.any():
            position = tuple(int(i) for i in np.argwhere(mask)[0])
            raise InputError(f"{int(mask.sum())} of the {what} are masked, first at {position} (from 0).", FILL)
        return np.asarray(data.data)
    if isinstance(data, np.ndarray):
        return np.asarray(data)
    if isinstance(data, (list, tuple)):
        _refuse_ragged(data, what)
    try:
        if hasattr(data, "__dlpack__") and not hasattr(data, "__array__"):
            return np.from_dlpack(data)
        return np.asarray(data)
    except (ValueError, TypeError, RuntimeError, BufferError) as error:
        raise InputError(f"The {what} cannot be read as an array: {error}.",
                         "Give a 2-D numeric array, a data frame, a sparse array or a list of rows.") from error


def _refuse_ragged(rows: Sequence[Any], what: str) -> None:
    lengths = [len(row) if isinstance(row, (Sequence, np.ndarray)) and not isinstance(row, str) else -1 for row in rows]
    for i, length in enumerate(lengths):
        if length != lengths[0]:
            given = f"{length} values" if length >= 0 else "no list of values"
            raise InputError(f"Row {i} (counted from 0) of the {what} has {given}; row 0 has {max(lengths[0], 0)}.",
                             "Every row must have the same number of values.")


def _refuse_objects(array: NDArray[Any], what: str) -> None:
    if array.ndim == 0:
        raise InputError(f"The {what} are a {type(array.item()).__name__}, which cannot be read as an array.",
                         "Give a 2-D numeric array, a data frame, a sparse array or a list of rows.")
    for position in np.ndindex(array.shape):
        value: Any = array[position]
        if not isinstance(value, (int, float, np.number)):
            where = position[0] if len(position) == 1 else position
            raise InputError(f"The {what} are Python objects, and the one at position {where} (counted from 0) is "
                             f"{str(value)[:50]!r}, not a number.",
                             "Give numbers alone; leave out or encode columns of text, and fill gaps first.")
    raise InputError(f"The {what} are numbers stored as Python objects.", "Give X.astype(float).")


def require_finite(X: NDArray[Any], ids: Sequence[str] | None = None, columns: Sequence[str] | None = None,
                   hint: str = FILL) -> None:
    """Refuse NaN and infinity in a 2-D array, naming the first and how many there are; memory of one block."""
    if X.dtype.kind != "f":
        return
    count, first = 0, None
    for start, stop in row_blocks(len(X), X.shape[1]):
        wrong = ~np.isfinite(X[start:stop])
        if wrong.any():
            if first is None:
                row, column = (int(i) for i in np.argwhere(wrong)[0])
                first = (start + row, column)
            count += int(wrong.sum())
    if first is not None:
        row, column = first
        refuse_missing(float(X[row, column]), count, row, column, ids, columns, hint)


def refuse_missing(value: float, count: int, row: int, column: int, ids: Sequence[str] | None,
                   columns: Sequence[str] | None, hint: str = FILL) -> None:
    """Raise the error for missing or infinite values."""
    what = "missing (NaN)" if math.isnan(value) else "infinite"
    where_row = f"row {row}" if ids is None else f"row {ids[row]!r}"
    where_column = f"column {column}" if columns is None else f"column {columns[column]!r}"
    counted = " (counted from 0)" if ids is None or columns is None else ""
    more = "It is the only such value." if count == 1 else f"{count:,} values are missing or infinite."
    raise InputError(f"The value in {where_row}, {where_column}{counted} is {what}. {more}", hint)


def sparse_points(data: Any, ids: Sequence[str] | None = None, columns: Sequence[str] | None = None) -> Any:
    """Copy a scipy sparse array or matrix into a canonical csr_array of floats: sorted, summed, no stored zeros."""
    from scipy import sparse

    if data.ndim != 2:
        raise InputError(f"Sparse points must be 2-D; these have shape {data.shape}.")
    kept, _ = real_array(np.empty(0, data.dtype), "points")  # the type rule alone
    dtype = kept.dtype if kept.dtype.kind == "f" else np.dtype(np.float64)
    X = sparse.csr_array(data, dtype=dtype, copy=True)
    X.sum_duplicates()
    X.eliminate_zeros()
    X.sort_indices()
    wrong = ~np.isfinite(X.data)
    if wrong.any():
        at = int(np.argmax(wrong))
        row = int(np.searchsorted(X.indptr, at, side="right")) - 1
        refuse_missing(float(X.data[at]), int(wrong.sum()), row, int(X.indices[at]), ids, columns)
    return X


def table_of_dicts(rows: Sequence[Any], columns: Sequence[str] | None = None) -> tuple[Any, tuple[str, ...]]:
    """Read a list of dicts as a sparse table; a key that a row does not have is 0 there.

    Parameters
    ----------
    rows : sequence of dict
        Feature name to number.
    columns : sequence of str, optional
        The columns wanted; by default all keys, in the order they first appear.

    Returns
    -------
    X : csr_array, shape (n, d)
    names : tuple of str
    """
    from scipy import sparse

    place: dict[str, int] = {name: j for j, name in enumerate(columns or ())}
    indptr, indices, values = [0], [], []
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InputError(f"Row {i} (counted from 0) is no dict, as those before it are.", "Give all rows as dicts.")
        for key, value in row.items():
            name = str(key)
            if columns is None:
                place.setdefault(name, len(place))
            if name not in place:
                continue
            if not isinstance(value, (int, float, np.number, np.bool_)):
                raise InputError(f"{name!r} of row {i} (counted from 0) is {value!r}, not a number.",
                                 "Give numbers alone; a key that is left out counts as 0.")
            indices.append(place[name])
            values.append(float(value))
        indptr.append(len(indices))
    X = sparse.csr_array((np.array(values, np.float64), np.array(indices, np.int64), np.array(indptr, np.int64)),
                         shape=(len(rows), len(place)))
    return X, tuple(place)


def looks_like_pairs(X: Any) -> bool:
    """Whether points are square and symmetric with a constant diagonal, as distances and similarities are."""
    n = X.shape[0]
    if n != X.shape[1] or n < 3:
        return False
    diagonal = X.diagonal()
    tolerance = slack(X.dtype) * max(abs(float(X.max())), abs(float(X.min())))
    with np.errstate(over="ignore"):
        if (np.abs(diagonal - diagonal[0]) > tolerance).any():
            return False
        if not isinstance(X, np.ndarray):
            gap = abs(X - X.T)
            return bool(gap.nnz == 0 or gap.max() <= tolerance)
        return all((np.abs(X[a:b] - X[:, a:b].T) <= tolerance).all() for a, b in row_blocks(n, n))
