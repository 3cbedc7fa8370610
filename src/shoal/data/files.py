"""Reading a file, or standard input, into a carrier. Formats are known by extension, elsewhere by their first bytes.

Files are foreign: what a header declares is checked against the bytes that are there before memory is taken, nothing is
unpickled, and whatever a reader stumbles over becomes an InputError that names the file.
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import os
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.data import carriers, matrixfiles
from shoal.data.checks import looks_like_pairs, read_ids, require_finite
from shoal.data.features import read_features
from shoal.data.forms import as_table, is_long
from shoal.data.tables import Column, Table, load, matrix, read_frame
from shoal.data.texts import is_number, read_text
from shoal.errors import InputError, ShoalError

__all__ = ["KINDS", "read_file", "read_table"]

KINDS = ("points", "distances", "similarities", "graph")
ROOM = 10**8  # bytes a compressed file may always expand to; beyond, 100 times its own size

_WAYS = ("Say what it holds: kind='distances', 'similarities' or 'points' (--kind distances, --kind similarities or "
         "--kind points on the command line); in Python also shoal.distances(X), shoal.similarities(X) or "
         "shoal.points(X, square=True).")
_GAPS = ("Leave them out with drop='rows' or drop='columns' (--drop rows or --drop columns on the command line), or "
         "fill the gaps first.")
_OPTIONS = {"points": {"id", "columns", "drop", "metric", "scale", "metric_params"}, "distances": {"id", "symmetrize"},
            "similarities": {"id", "rule", "symmetrize"}, "graph": {"rule", "symmetrize", "missing"}}


class Loaded(NamedTuple):
    """What a file held: a table, an array or a sparse array; names beside it; and its kind where the format says so."""

    data: Any
    ids: Sequence[str] | None = None
    columns: Sequence[str] | None = None
    kind: str | None = None


def read_file(path: str | os.PathLike[str], *, kind: str | None = None, id: str | None = None,
              columns: Sequence[str] | None = None, sheet: str | int | None = None, drop: str | None = None,
              metric: Any = "euclidean", scale: str | None = None, rule: Any = None, symmetrize: str | None = None,
              missing: str | None = None, metric_params: dict[str, Any] | None = None) -> carriers.Carrier:
    r"""Read a file into a carrier.

    Parameters
    ----------
    path : path
        .csv, .tsv, .txt (each also .gz), .parquet, .arrow, .feather, .ipc, .xlsx, .xls, .npy, .npz, PHYLIP (.phy,
        .phylip, .dist), Orange (.dst); "-" is standard input.
    kind : {"points", "distances", "similarities", "graph"}, optional
        What the file holds; points by default, but a file that looks like a matrix of pairs or a list of edges is
        refused until its kind is said.
    id : str, optional
        The column that names the items, read as text exactly. By default the one column that is not numeric and has a
        different value in every row.
    columns : sequence of str, optional
        The columns to use.
    sheet : str or int, optional
        Sheet of a workbook, or name of an array in an .npz file.
    drop : {"rows", "columns"}, optional
        What to leave out where values are missing.
    metric, scale, metric_params
        As in `shoal.points`.
    rule, symmetrize, missing
        As in `shoal.similarities` and `shoal.graph`. A graph's weights are distances where `missing` is given, else
        similarities.

    Returns
    -------
    Points, Distances, Similarities or Graph

    Raises
    ------
    InputError
        When the file is not there, not readable, or not what it is said to be.
    MissingExtraError
        When the format needs a package that is not installed.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "songs.csv"
    >>> _ = file.write_text("title,length,tempo\n007,3,120\n=A1,4,90\n")
    >>> songs = read_file(file)
    >>> songs.ids, songs.columns
    (('007', '=A1'), ('length', 'tempo'))
    """
    options: dict[str, Any] = {"id": id, "columns": columns, "drop": drop, "rule": rule, "symmetrize": symmetrize,
                               "missing": missing, "scale": scale, "metric_params": metric_params,
                               "metric": None if metric == "euclidean" else metric}
    _check_options(kind, options)
    name = "standard input" if os.fspath(path) == "-" else os.fspath(path)
    data = sys.stdin.buffer.read() if name == "standard input" else _bytes(Path(path))
    try:
        loaded = _load(name, data, kind, sheet, [name for name in (id, *(columns or ())) if name])
        return _carrier(loaded, kind or loaded.kind, options)
    except InputError as error:
        raise InputError(f"{name}: {error.message}", error.hint) from error


def read_table(path: str | os.PathLike[str], *, sheet: str | int | None = None, text: str | None = None) -> Table:
    r"""Read a file into a table with all its columns, of numbers and of texts.

    Parameters
    ----------
    path : path
        Of a format of `read_file` that has named columns.
    sheet : str or int, optional
    text : str, optional
        A column whose values are read as text exactly, such as one that names items.

    Raises
    ------
    InputError
        When the file is not there, not readable, or holds a matrix.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "songs.csv"
    >>> _ = file.write_text("title,genre,tempo\n007,pop,120\n=A1,folk,90\n")
    >>> read_table(file, text="title").names
    ('title', 'genre', 'tempo')
    """
    name = "standard input" if os.fspath(path) == "-" else os.fspath(path)
    data = sys.stdin.buffer.read() if name == "standard input" else _bytes(Path(path))
    try:
        table = as_table(_load(name, data, "points", sheet, [text] if text else []).data)
        if table is None:
            raise InputError("It holds a matrix, not a table with named columns.", "Give a table.")
    except InputError as error:
        raise InputError(f"{name}: {error.message}", error.hint) from error
    return table


def _carrier(loaded: Loaded, kind: str | None, options: dict[str, Any]) -> carriers.Carrier:
    """Go through the door for the kind."""
    _check_options(kind or "points", options)
    if kind in (None, "points"):
        return _points(loaded, kind, options)
    _check_options(kind, options)  # the file may have said its kind itself
    given = {name: value for name, value in options.items() if value is not None and name != "id"}
    ids = loaded.ids if options["id"] is None else options["id"]
    read: carriers.Carrier
    if kind == "graph":
        weights = "distance" if options["missing"] else "similarity"
        read = carriers.graph(loaded.data, kind=weights, ids=ids, **given)
    elif kind == "distances":
        read = carriers.distances(loaded.data, ids=ids, **given)
    else:
        read = carriers.similarities(loaded.data, ids=ids, **given)
    return _with_messages(read, loaded.data.messages if isinstance(loaded.data, Table) else ())


def _check_options(kind: str | None, options: dict[str, Any]) -> None:
    if kind is not None and kind not in KINDS:
        raise InputError(f"kind={kind!r} is not known.", f"Give one of {', '.join(KINDS)}.")
    if options["drop"] not in (None, "rows", "columns"):
        raise InputError(f"drop={options['drop']!r} is not known.", "Give 'rows', 'columns' or None.")
    wrong = [name for name, value in options.items() if value is not None and kind and name not in _OPTIONS[kind]]
    if wrong and kind:
        raise InputError(f"{wrong[0]}={options[wrong[0]]!r} does not go with kind={kind!r}.",
                         f"With {kind}, these can be given: {', '.join(sorted(_OPTIONS[kind]))}.")


def _with_messages(carrier: carriers.Carrier, first: Sequence[str]) -> carriers.Carrier:
    return dataclasses.replace(carrier, messages=(*first, *(m for m in carrier.messages if m not in first)))


def _load(name: str, data: bytes, kind: str | None, sheet: str | int | None, wanted: Sequence[str]) -> Loaded:
    """Find the format of the bytes, and hand over to its reader."""
    suffixes = [suffix.lower() for suffix in Path(name).suffixes if suffix.lower() != ".gz"]
    if data[:2] == b"\x1f\x8b":
        data = _unzip(data)
    if not data:
        raise InputError("The file is empty.", "Give a file with at least one row.")
    ending = suffixes[-1] if suffixes and suffixes[-1] in _READERS else _sniff(data)
    if sheet is not None and ending not in (".xlsx", ".xls", ".npz"):
        raise InputError(f"sheet={sheet!r} was given, but a {ending} file has no sheets.", "Leave sheet out.")
    try:
        if ending in _TEXTS:
            return Loaded(read_text(data, _TEXTS[ending], wanted, kind not in (None, "points")))
        read: Callable[[bytes, Any], Loaded] = _READERS[ending]
        return read(data, sheet)
    except ShoalError:
        raise
    except Exception as error:  # readers of foreign files fail in their own ways
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"It cannot be read as {ending}: {reason}.",
                         "The file may be damaged, or have a name that does not fit its format.") from error


def _bytes(path: Path) -> bytes:
    if path.is_dir():
        raise InputError(f"{str(path)!r} is a folder, not a file.", "Give the name of a file.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror or error}.",
                         "Check the name, and whether you may read it.") from error


def _unzip(data: bytes) -> bytes:
    """Decompress, but not a small file into something that fills the memory."""
    limit = max(ROOM, 100 * len(data))
    try:
        with gzip.open(io.BytesIO(data)) as file:
            text = file.read(limit + 1)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"The file is damaged: {error}.", "Compress it again.") from error
    if len(text) > limit:
        raise InputError(f"The file would expand from {len(data):,} to more than {limit:,} bytes.",
                         "Decompress it first.")
    return text


def _sniff(data: bytes) -> str:
    """Tell a format by its first bytes; text where there is no sign of another."""
    if data[:4] == b"PAR1":
        return ".parquet"
    if data[:6] == b"ARROW1":
        return ".arrow"
    if data[:6] == b"\x93NUMPY":
        return ".npy"
    if data[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        return ".xls"
    if data[:4] == b"PK\x03\x04":
        try:
            return ".npz" if zipfile.ZipFile(io.BytesIO(data)).namelist()[0].endswith(".npy") else ".xlsx"
        except (zipfile.BadZipFile, IndexError):
            return ".xlsx"
    return ".txt"


def _read_parquet(data: bytes, sheet: Any) -> Loaded:
    return Loaded(read_frame(load("polars", "Reading Parquet files").read_parquet(io.BytesIO(data))))


def _read_arrow(data: bytes, sheet: Any) -> Loaded:
    return Loaded(read_frame(load("polars", "Reading Arrow files").read_ipc(io.BytesIO(data))))


def _read_excel(data: bytes, sheet: str | int | None) -> Loaded:
    polars = load("polars", "Reading Excel files")
    load("fastexcel", "Reading Excel files")
    which = {"sheet_name": sheet} if isinstance(sheet, str) else {"sheet_id": sheet or 1}
    return Loaded(read_frame(polars.read_excel(io.BytesIO(data), engine="calamine", infer_schema_length=None, **which)))


def _read_npy(data: bytes, sheet: Any) -> Loaded:
    return Loaded(_array(data))


def _array(data: bytes) -> NDArray[Any]:
    """Read a .npy file after checking the size its header declares."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read_header:
        raise InputError(f"Version {version} of the .npy format is not read here.", "Save it again with numpy.save.")
    shape, _, dtype = read_header[version](stream)
    if dtype.hasobject:
        raise InputError("The array holds Python objects, which are not read from files.", "Save it as numbers.")
    declared, there = int(np.prod(shape, dtype=object)) * dtype.itemsize, len(data) - stream.tell()
    if declared != there:
        raise InputError(f"The header declares {declared:,} bytes of numbers, but there are {there:,}.",
                         "The file is damaged or incomplete.")
    stream.seek(0)
    return np.asarray(np.load(stream, allow_pickle=False))


def _read_npz(data: bytes, sheet: str | int | None) -> Loaded:
    """Read a scipy sparse matrix, or one array of several; arrays called ids and columns name its rows and columns."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > max(ROOM, 100 * len(data)):
            raise InputError("The file would expand to over 100 times its size.", "Save it again with numpy.savez.")
        arrays = {entry.filename.removesuffix(".npy"): _array(archive.read(entry)) for entry in entries}
    if {"format", "shape", "data"} <= set(arrays):
        from scipy import sparse

        return Loaded(sparse.load_npz(io.BytesIO(data)))
    ids, columns = arrays.pop("ids", None), arrays.pop("columns", None)
    name = sheet if isinstance(sheet, str) else next(iter(arrays)) if len(arrays) == 1 else None
    if name not in arrays:
        raise InputError(f"The file holds {len(arrays)} arrays: {', '.join(map(repr, arrays))}.",
                         "Say which one with sheet='name' (--sheet on the command line).")
    beside = [None if names is None else names.tolist() for names in (ids, columns)]
    return Loaded(arrays[str(name)], beside[0], beside[1])


def _read_phylip(data: bytes, sheet: Any) -> Loaded:
    D, names = matrixfiles.read_phylip(data)
    return Loaded(D, names, kind="distances")


def _read_orange(data: bytes, sheet: Any) -> Loaded:
    D, names = matrixfiles.read_orange(data)
    return Loaded(D, names, kind="distances")


_TEXTS: dict[str, str | None] = {".csv": None, ".tsv": "\t", ".tab": "\t", ".txt": None}
_READERS: dict[str, Any] = {
    **_TEXTS, ".parquet": _read_parquet, ".arrow": _read_arrow, ".feather": _read_arrow, ".ipc": _read_arrow,
    ".xlsx": _read_excel, ".xls": _read_excel, ".npy": _read_npy, ".npz": _read_npz, ".phy": _read_phylip,
    ".phylip": _read_phylip, ".dist": _read_phylip, ".dst": _read_orange}


def _points(loaded: Loaded, kind: str | None, options: dict[str, Any]) -> carriers.Carrier:
    """Make points of what was loaded; refuse pair data whose kind was not said."""
    data = loaded.data
    messages: list[str] = []
    X, ids, columns = data, loaded.ids, loaded.columns if options["columns"] is None else options["columns"]
    if isinstance(data, np.ndarray) and data.dtype.names:
        raw = read_features(data, options["id"], options["columns"])
        X, ids, columns, messages = raw.X, raw.ids, raw.columns, raw.messages
    elif not isinstance(data, Table) and options["id"] is not None:
        raise InputError(f"id={options['id']!r} was given, but the file holds an array without named columns.",
                         "Leave id out; an .npz file may hold the ids in an array called 'ids'.")
    elif isinstance(data, Table):
        if kind is None:
            _refuse_pair_tables(data)
        chosen, ids, messages = _choose(data, options["id"], options["columns"])
        X, said = matrix(chosen)
        columns, messages = [column.name for column in chosen] if data.named else None, messages + said
    if isinstance(X, np.ndarray) and X.ndim == 2:
        X, ids, columns, dropped = _drop(X, ids, columns, options["drop"])
        messages += dropped
        require_finite(X, read_ids(ids, len(X)), columns, _GAPS)
        if kind is None and X.dtype.kind in "fiub" and X.size and looks_like_pairs(X):
            raise InputError(f"The file holds a symmetric {len(X)} x {len(X)} table with the same number all along its "
                             "diagonal: distances or similarities, it seems, not points.", _WAYS)
    _check_options("points", options)
    found = carriers.points(X, options["metric"] or "euclidean", ids=ids, columns=columns, scale=options["scale"],
                            metric_params=options["metric_params"], square=kind == "points")
    return _with_messages(found, messages)


def _refuse_pair_tables(table: Table) -> None:
    """Refuse a square table with the same names at its rows and columns, and a list of named pairs."""
    first = table.columns[0]
    names = [column.name for column in table.columns[1:]]
    if table.named and len(names) == table.n >= 2 and set(map(str, first.values())) == set(names):
        raise InputError(f"The file holds a table whose {table.n} rows and columns have the same names: distances or "
                         "similarities, it seems, not points.", _WAYS)
    if is_long(table) and table.columns[0].numbers is None and table.columns[1].numbers is None:
        one, other = (set(map(str, column.values())) for column in table.columns[:2])
        if is_number(table.columns[2].name):  # then the header is a pair itself
            one, other = one | {table.columns[0].name}, other | {table.columns[1].name}
        if 2 * len(one & other) >= min(len(one), len(other)):
            raise InputError("The file holds two columns with the same names and a number: a list of pairs, it seems, "
                             "not points.", _WAYS.replace("'similarities' or", "'similarities', 'graph' or"))


def _choose(table: Table, id: str | None, columns: Sequence[str] | None) -> tuple[list[Column], Any, list[str]]:
    """Choose the column of ids and those of features, and say what was assumed or left out."""
    messages = list(table.messages)
    ids, rest = table.index, table.columns
    text = [column for column in rest if column.numbers is None]
    if id is not None:
        ids, rest = table.column(id).values(), table.without(id)
    elif ids is None and len(unique := [column for column in text if _is_unique(column)]) == 1:
        ids, rest = unique[0].values(), table.without(unique[0].name)
        messages.append(f"Column {unique[0].name!r} was taken as the ids.")
    if columns is not None:
        rest = tuple(table.column(name) for name in columns)
        wrong = next((column for column in rest if column.numbers is None), None)
        if wrong is not None:
            raise InputError(f"Column {wrong.name!r} is not numeric.", "Choose columns of numbers.")
    left = [repr(column.name) for column in rest if column.numbers is None]
    if left:
        messages.append(f"Left out, for they are not numeric: {', '.join(left)}.")
    chosen = [column for column in rest if column.numbers is not None]
    if not chosen or table.n == 0:
        raise InputError(f"The table has {table.n} rows and {len(chosen)} numeric columns.",
                         " ".join(["Give at least one item with one feature.", *messages]))
    return chosen, ids, messages


def _is_unique(column: Column) -> bool:
    values = column.values()
    return None not in values and "" not in values and len(set(map(str, values))) == len(values)


def _drop(X: NDArray[Any], ids: Any, columns: Sequence[str] | None,
          drop: str | None) -> tuple[NDArray[Any], Any, Sequence[str] | None, list[str]]:
    """Leave out rows or columns with missing values, and say which."""
    if drop is None or X.dtype.kind != "f":
        return X, ids, columns, []
    bad = ~np.isfinite(X)
    gone = bad.any(axis=1 if drop == "rows" else 0)
    if not gone.any():
        return X, ids, columns, []
    names = ids if drop == "rows" else columns
    if names is not None and len(names) != len(gone):
        return X, ids, columns, []  # the check of the ids says what is wrong
    which = [str(k) if names is None else repr(names[k]) for k in np.flatnonzero(gone)[:5].tolist()]
    more = ", ..." if int(gone.sum()) > 5 else ""
    message = f"{int(gone.sum())} of {len(gone)} {drop} with missing values were left out: {', '.join(which)}{more}."
    kept = [k for k in range(len(gone)) if not gone[k]]
    if drop == "rows":
        return X[kept], None if ids is None else [ids[k] for k in kept], columns, [message]
    return X[:, kept], ids, None if columns is None else [columns[k] for k in kept], [message]
