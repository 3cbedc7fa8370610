"""Frames in, frames out, in the caller's own library; the only file that reaches for one.

pandas, polars, pyarrow and whatever else narwhals knows are recognised without being imported.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.data.checks import real_array
from shoal.errors import InputError, MissingExtraError

__all__ = ["Column", "Table", "is_frame", "load", "matrix", "read_frame", "read_records", "to_frame"]

FRAMES = ("pandas", "polars", "pyarrow")

_LIBRARIES = ("pandas", "polars", "pyarrow", "narwhals", "modin", "cudf", "duckdb", "ibis", "dask", "pyspark")


@dataclass(frozen=True, eq=False)
class Column:
    """One column of a table.

    Attributes
    ----------
    name : str
    numbers : ndarray or None
        Its values with NaN for missing ones; None where the column is not numeric.
    values : callable
        Gives the values as a list, as they were written; None for missing ones.
    kind : str
        What it holds, for messages: "Float64", "String", ...
    """

    name: str
    numbers: NDArray[Any] | None
    values: Callable[[], list[Any]]
    kind: str


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns of equal length.

    Attributes
    ----------
    columns : tuple of Column
    n : int
        Number of rows.
    index : list or None
        Row labels that came beside the columns.
    named : bool
        Whether the columns' names were given, not made up.
    """

    columns: tuple[Column, ...]
    n: int
    index: list[Any] | None = None
    named: bool = True
    messages: tuple[str, ...] = field(default=())

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """Find a column by name."""
        for column in self.columns:
            if column.name == name:
                return column
        known = ", ".join(map(repr, self.names[:12])) + (", ..." if len(self.columns) > 12 else "")
        raise InputError(f"There is no column {name!r}.", f"The columns are {known}.")

    def without(self, *names: str) -> tuple[Column, ...]:
        """Return the columns that are not named."""
        return tuple(column for column in self.columns if column.name not in names)


def matrix(columns: Sequence[Column]) -> tuple[NDArray[Any], list[str]]:
    """Copy numeric columns into one C-contiguous array: float32 where all are, else float64."""
    numbers, messages = [], []
    for column in columns:
        assert column.numbers is not None
        values, said = real_array(column.numbers, f"values of {column.name!r}")
        numbers.append(values)
        messages += said
    single = all(values.dtype == np.float32 for values in numbers)
    X = np.empty((len(numbers[0]), len(numbers)), np.float32 if single else np.float64)
    for j, values in enumerate(numbers):
        X[:, j] = values
    return X, messages


def is_frame(data: Any) -> bool:
    """Whether `data` is a data frame, a series or an Arrow table of some library."""
    if isinstance(data, np.ndarray):
        return False
    return (type(data).__module__.partition(".")[0] in _LIBRARIES or hasattr(data, "__arrow_c_stream__")
            or hasattr(data, "__narwhals_dataframe__"))


def read_frame(frame: Any) -> Table:
    """Read a frame or a series of any library.

    Parameters
    ----------
    frame : frame
        Of pandas, polars (lazy ones are collected), pyarrow or another library narwhals reads, or anything with the
        Arrow stream interface.

    Returns
    -------
    Table
        With a pandas index other than 0, 1, 2, ... as row labels; the levels of a MultiIndex are joined by "|".

    Examples
    --------
    >>> import polars as pl
    >>> table = read_frame(pl.DataFrame({"title": ["a", "b"], "length": [3, 4]}))
    >>> [(column.name, column.numbers is not None) for column in table.columns]
    [('title', False), ('length', True)]
    """
    import narwhals as nw

    try:
        native = nw.from_native(frame, allow_series=True, pass_through=True)
        if isinstance(native, nw.LazyFrame):
            native = native.collect()
        elif isinstance(native, nw.Series):
            native = native.alias(str(native.name or "value")).to_frame()
        elif not isinstance(native, nw.DataFrame):
            native = nw.DataFrame.from_arrow(frame, backend=_arrow_backend())
        columns = tuple(_column(series) for series in native.iter_columns())
    except MissingExtraError:
        raise
    except (TypeError, ValueError, nw.exceptions.NarwhalsError) as error:
        raise InputError(f"The frame ({type(frame).__module__}.{type(frame).__name__}) cannot be read: {error}.",
                         "Give a pandas, polars or pyarrow table with column names that differ.") from error
    names = [column.name for column in columns]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError(f"More than one column is called {twice[0]!r}.", "Give the columns names that differ.")
    made_up = names in (list(map(str, range(len(names)))), [f"column_{j}" for j in range(len(names))])
    return Table(columns, len(native), _index(native), not made_up)


def _arrow_backend() -> Any:
    for package in ("polars", "pyarrow"):
        if package in sys.modules or importlib.util.find_spec(package):
            return package
    raise MissingExtraError("polars", "io", "Reading an Arrow table")


def _index(native: Any) -> list[Any] | None:
    import narwhals as nw

    index = nw.maybe_get_index(native)
    if index is None or (type(index).__name__ == "RangeIndex" and index.start == 0 and index.step == 1):
        return None
    return ["|".join(map(str, label)) if isinstance(label, tuple) else label for label in index.tolist()]


def _column(series: Any) -> Column:
    return Column(str(series.name), _numbers(series), series.to_list, str(series.dtype))


def _numbers(series: Any) -> NDArray[Any] | None:
    """Numbers of a numeric or boolean column, without a copy where the library allows it."""
    import narwhals as nw

    dtype = series.dtype
    if dtype == nw.Unknown:  # types narwhals has no word for, such as numpy's float16 inside pandas
        values = np.asarray(series.to_native())
        return values if values.dtype.kind in "fiub" else None
    if not (dtype.is_numeric() or dtype == nw.Boolean):
        return None
    if dtype not in (nw.Float32, nw.Float64) and (
            series.null_count() or dtype in (nw.Decimal, nw.Int128, nw.UInt128)):
        series = series.cast(nw.Float64)
    return np.asarray(series.to_numpy())


def read_records(records: NDArray[Any]) -> Table:
    """Read a structured array: its fields are the columns."""
    names = records.dtype.names or ()
    columns = []
    for name in names:
        values = records[name]
        columns.append(Column(name, values if values.dtype.kind in "fiub" else None, values.tolist, str(values.dtype)))
    return Table(tuple(columns), len(records))


def to_frame(columns: Mapping[str, Any], like: Any = None) -> Any:
    """Make a frame in the caller's own library.

    Parameters
    ----------
    columns : dict of str to sequence or 1-D array
        Of equal length.
    like : frame, str or None
        A frame of the library wanted, or its name. None takes the first of pandas, polars and pyarrow that the program
        has imported, then the first of them that is installed.

    Returns
    -------
    frame, or a dict of arrays where none of these is installed.

    Examples
    --------
    >>> to_frame({"id": ["a", "b"], "cluster": [0, 1]}, like="polars").columns
    ['id', 'cluster']
    """
    import narwhals as nw

    data = {name: values if isinstance(values, np.ndarray) else list(values) for name, values in columns.items()}
    if like is None:
        backend = _usual_library()
        if backend is None:
            return {name: np.asarray(values) for name, values in data.items()}
    else:
        backend = _library_of(like)
    return nw.from_dict(data, backend=backend).to_native()


def _library_of(like: Any) -> Any:
    import narwhals as nw

    if isinstance(like, str) and like in FRAMES:
        return like
    try:
        return nw.from_native(like, allow_series=True).implementation
    except TypeError:
        raise InputError(f"like={like!r} is neither a frame nor a library of frames.",
                         f"Give a frame, or one of {', '.join(map(repr, FRAMES))}.") from None


def _usual_library() -> Any:
    for package in FRAMES:
        if sys.modules.get(package) is not None:
            return package
    return next((package for package in FRAMES if importlib.util.find_spec(package)), None)


def load(package: str, purpose: str) -> Any:
    """Import one of the packages for files; where it is missing, say which extra brings it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, "io", purpose) from error
