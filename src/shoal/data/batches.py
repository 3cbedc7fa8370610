"""Data that comes in batches: files larger than memory, arrays on disk, and whatever can be iterated over."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from shoal.data import carriers
from shoal.data.checks import is_sparse
from shoal.data.tables import Table, is_frame, load, matrix, read_frame
from shoal.data.texts import find_delimiter, read_text
from shoal.errors import InputError

__all__ = ["read_batches"]

PART = 1 << 22  # bytes of text read at a time: below 0.1 s
_FIRST_RECORD = re.compile(rb'(?:\s*\n)?(?:[^"\n]|"[^"]*")*\n')
TABLES = {".parquet": "scan_parquet", ".arrow": "scan_ipc", ".feather": "scan_ipc", ".ipc": "scan_ipc"}


def read_batches(source: Any, columns: Sequence[str] | None = None, rows: int = 10_000) -> Iterator[Any]:
    r"""Give data out in batches, reading no more than one of them at a time.

    Parameters
    ----------
    source : path, array, sparse array, frame or iterable
        A .csv, .tsv, .txt (each also .gz), .parquet, .arrow, .feather, .ipc or .npy file; an array, also one mapped from
        disk; or anything that gives batches when iterated over, such as a pyarrow RecordBatchReader or a generator.
    columns : sequence of str, optional
        Of a file: the columns to use. Default: those of the first batch that are numeric.
    rows : int
        Rows of a batch, where the source does not say; of text about 4 MB are read at a time.

    Yields
    ------
    Points, array or frame

    Raises
    ------
    InputError
        For a file that is not there, of another format, or without the columns.

    Examples
    --------
    >>> import numpy as np
    >>> [len(batch) for batch in read_batches(np.zeros((5, 2)), rows=2)]
    [2, 2, 1]
    """
    if isinstance(source, (str, os.PathLike)):
        yield from _of_file(Path(source), columns, rows)
        return
    if columns is not None:
        raise InputError("columns= is for files.", "Choose the columns of the batches before they are given.")
    if is_sparse(source):
        source = source.tocsr()
    if is_frame(source) and not isinstance(source, Iterator):
        yield source
    elif getattr(source, "ndim", 0) == 2:
        for start in range(0, source.shape[0], rows):
            yield source[start:start + rows]
    elif isinstance(source, Iterable):
        yield from source
    else:
        raise InputError(f"{type(source).__name__} cannot be read in batches.",
                         "Give the path of a file, an array, or something to iterate over.")


def _of_file(path: Path, columns: Sequence[str] | None, rows: int) -> Iterator[Any]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    ending = next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), "")
    if not path.is_file():
        raise InputError(f"There is no file {str(path)!r}.", "Check the name.")
    if ending == ".npy":
        yield from read_batches(np.load(path, mmap_mode="r", allow_pickle=False), columns, rows)
    elif ending in TABLES:
        yield from _points(_of_table(path, TABLES[ending], rows), columns)
    elif ending in (".csv", ".tsv", ".txt"):
        yield from _points(_of_text(path, "\t" if ending == ".tsv" else None), columns)
    else:
        raise InputError(f"{ending or 'A file without an extension'} is not read in batches.",
                         f"Give one of .csv, .tsv, .txt, .npy, {', '.join(TABLES)}.")


def _points(tables: Iterator[Table], columns: Sequence[str] | None) -> Iterator[Any]:
    """Points of the same columns from every table."""
    names = columns
    for table in tables:
        names = names or [column.name for column in table.columns if column.numbers is not None]
        chosen = [table.column(name) for name in names]
        text = next((column.name for column in chosen if column.numbers is None), None)
        if text is not None or not chosen:
            what = "There is no numeric column." if text is None else f"Column {text!r} is not numeric throughout."
            raise InputError(what, "Give the columns to use.")
        yield carriers.points(matrix(chosen)[0], columns=names if table.named else None, square=True)


def _of_table(path: Path, scan: str, rows: int) -> Iterator[Table]:
    polars = load("polars", "Reading files in batches")
    lazy = getattr(polars, scan)(path)
    count = int(lazy.select(polars.len()).collect().item())
    for start in range(0, count, rows):
        yield read_frame(lazy.slice(start, rows).collect())


def _of_text(path: Path, delimiter: str | None) -> Iterator[Table]:
    """Tables of some 4 MB of text; where the first row is a header, it is put before every part."""
    header = None
    with _opened(path) as file:
        for part in _whole_records(file):
            delimiter = delimiter or find_delimiter(part[:1 << 16].decode(errors="replace"))
            table = read_text(part if header is None else header + part, delimiter)
            if header is None:
                first = _FIRST_RECORD.match(part)
                header = first[0] if first and table.named else b""
            yield table


def _opened(path: Path) -> IO[bytes]:
    zipped = path.suffix.lower() == ".gz"
    return cast(IO[bytes], gzip.open(path)) if zipped else path.open("rb")


def _whole_records(file: IO[bytes]) -> Iterator[bytes]:
    """Cut text where records end."""
    rest = b""
    while block := file.read(PART):
        rest += block
        cut = _last_end(rest) + 1
        if cut:
            yield rest[:cut]
            rest = rest[cut:]
    if rest.strip():
        yield rest


def _last_end(text: bytes) -> int:
    """The last line end that is not within quotes: one with an even number of quotes before it; -1 where there is none."""
    end, quotes = len(text), text.count(b'"')
    while end >= 0:
        begin = text.rfind(b'"', 0, end)
        if quotes % 2 == 0 and (cut := text.rfind(b"\n", begin + 1, end)) >= 0:
            return cut
        end, quotes = begin, quotes - 1
    return -1
