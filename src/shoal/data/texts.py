"""Delimited text: cells exactly as written, numbers where a whole column is numbers.

Small files are read by the standard library, so that nothing heavy is imported; large ones by polars where it is
installed. Both give the same table.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.data.tables import Column, Table, load
from shoal.errors import InputError

__all__ = ["decode", "find_delimiter", "is_number", "read_text"]

SMALL = 10**6  # bytes: below, the csv module is done (0.1 s) before polars is imported
WHITE = " \t\r\n\xa0"  # around numbers; spelled out, for libraries differ in what they strip
HEAD = 65_536  # bytes looked at to find the separator
UTF16 = (b"\xff\xfe", b"\xfe\xff")
MISSING = ("", "na", "n/a", "nan", "null", "none")
_NUMBER = r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?)"
_COMMA_NUMBER = r"[+-]?(?:[0-9]+,?[0-9]*|,[0-9]+)(?:[eE][+-]?[0-9]+)?"
_number = re.compile(_NUMBER)
_comma_number = re.compile(_COMMA_NUMBER)


def decode(data: bytes) -> str:
    """Read UTF-8 with or without a byte order mark, or UTF-16 with one."""
    try:
        return data.decode("utf-16" if data[:2] in UTF16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"The text is not UTF-8: byte {error.start} (counted from 0) is {data[error.start]:#04x}.",
                         "Save it as UTF-8, for example as 'CSV UTF-8' in a spreadsheet program.") from error


def is_number(cell: str) -> bool:
    """Whether a cell is a number written with a decimal point.

    Examples
    --------
    >>> [is_number(cell) for cell in ("1e5", " -.5 ", "1,5", "007", "")]
    [True, True, False, True, False]
    """
    return _number.fullmatch(cell.strip(WHITE)) is not None


def find_delimiter(text: str) -> str:
    r"""Find what separates the cells: the candidate that the first lines agree on; tab, then semicolon, then comma.

    Examples
    --------
    >>> find_delimiter("id;a;b\nx;1,5;2,0\n"), find_delimiter("1 2\n3 4\n")
    (';', ' ')
    """
    lines = [re.sub(r'"(?:[^"]|"")*"', "", line) for line in text.splitlines() if line.strip()][:20]
    for candidate in "\t;,":
        if lines and candidate in lines[0] and sum(candidate in line for line in lines) > len(lines) / 2:
            return candidate
    later = [candidate for candidate in "\t;," if any(candidate in line for line in lines)]  # a triangle's first row
    if later:
        return later[0]
    return " " if any(" " in line.strip() for line in lines) else ","


def read_text(data: bytes, delimiter: str | None = None, wanted: Sequence[str] = (), pairs: bool = False) -> Table:
    """Read a table of cells.

    Parameters
    ----------
    data : bytes
    delimiter : str, optional
        Found by looking when not given; a space stands for any white space.
    wanted : sequence of str
        Names of columns the caller will ask for: a first row that has them is the header.
    pairs : bool
        Whether the table holds pairs: then a first row that ends in a number may be a pair, and rows that grow by one
        cell are a triangle.

    Returns
    -------
    Table
    """
    if data[:2] in UTF16:
        data = decode(data).encode()
    data = data.removeprefix(b"\xef\xbb\xbf")
    delimiter = delimiter or find_delimiter(data[:HEAD].decode(errors="replace"))
    cells = None
    if len(data) >= SMALL and delimiter != " " and importlib.util.find_spec("polars"):
        cells = _cells_by_polars(data, delimiter)
    triangle = False
    if cells is None:
        rows, triangle = _even(_rows(decode(data), delimiter))
        cells = [list(column) for column in zip(*rows, strict=True)]
    if not cells or not len(cells[0]):
        raise InputError("The file is empty.", "Give a table with at least one row.")
    first = [str(column[0]) for column in cells]
    asked_for = bool(set(wanted) & set(map(str.strip, first)))
    header = asked_for or not (triangle or _is_data(first, pairs))
    return _table(cells, first if header else None, delimiter)


def _rows(text: str, delimiter: str) -> list[list[str]]:
    """Split into rows of cells, leaving out rows without any."""
    if delimiter == " ":
        return [line.split() for line in text.splitlines() if line.strip()]
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(row)]
    except csv.Error as error:
        raise InputError(f"The text is not a table: {error}.", "Check its quotation marks.") from error


def _even(rows: list[list[str]]) -> tuple[list[list[str]], bool]:
    """Pad short rows with empty cells; rows that grow by one cell each are a triangle, padded to a square."""
    if not rows:
        return rows, False
    widths = [len(row) for row in rows]
    triangle = len(rows) > 1 and widths[0] <= 2 and all(b == a + 1 for a, b in pairwise(widths))
    width = widths[0] if not triangle else len(rows) + (not is_number(rows[0][0]))
    if max(widths) > width:
        at = next(k for k, w in enumerate(widths) if w > width)
        raise InputError(f"Row {at + 1} of the table has {widths[at]} cells; the first row has {width}.",
                         "Give every row the same number of cells, and quote cells that contain the separator.")
    return [row + [""] * (width - len(row)) for row in rows], triangle


def _cells_by_polars(data: bytes, delimiter: str) -> list[Any] | None:
    """Read columns of text by polars; None where it cannot, and then the csv module reads or says what is wrong."""
    pl = load("polars", "Reading large files")
    try:
        frame = pl.read_csv(io.BytesIO(data), has_header=False, infer_schema=False, separator=delimiter,
                            quote_char='"')
    except pl.exceptions.PolarsError:
        return None
    empty = frame.select(pl.all_horizontal(pl.all().fill_null("") == "")).to_series()
    return [column.fill_null("") for column in frame.filter(~empty).iter_columns()]


def _is_data(first: Sequence[str], pairs: bool) -> bool:
    """Whether a first row is data already, not a header: it is all numbers, or a pair with its value."""
    numbers = [is_number(cell) or bool(_comma_number.fullmatch(cell.strip(WHITE))) for cell in first]
    return all(numbers) or (pairs and len(first) == 3 and numbers[2] and bool(first[0].strip() and first[1].strip()))


def _table(cells: list[Any], header: list[str] | None, delimiter: str) -> Table:
    names = [name.strip() for name in header] if header else [""] * len(cells)
    messages = [] if header else ["The first row was read as data: the table has no header of names."]
    columns, commas = [], []
    for k, (name, column) in enumerate(zip(names, cells, strict=True)):
        body = column[1:] if header else column
        numbers = _numbers(body, _number)
        if numbers is None and delimiter != ",":
            numbers = _numbers(body, _comma_number)
            commas += [name or f"column {k + 1}"] if numbers is not None else []
        if header and not name and numbers is not None and np.isnan(numbers).all() and k == len(cells) - 1:
            continue  # every line ends in a separator
        columns.append(Column(name or f"column {k + 1}", numbers, partial(list, body), "text"))
    most, times = Counter(column.name for column in columns).most_common(1)[0]
    if times > 1:
        raise InputError(f"{times} columns are called {most!r}.", "Give the columns names that differ.")
    if commas:
        messages.append(f"A comma was read as the decimal sign in {len(commas)} columns, first {commas[0]!r}.")
    numeric_names = [name for name in names if is_number(name)]
    if header and numeric_names and len(numeric_names) == len(names) - 1:
        messages.append("The first row was read as the names of the columns, though most of it are numbers.")
    n = len(cells[0]) - (1 if header else 0)
    return Table(tuple(columns), n, None, header is not None, tuple(messages))


def _numbers(cells: Any, pattern: re.Pattern[str]) -> NDArray[np.float64] | None:
    """Turn a column of text into numbers, NaN where a cell is missing; None where any cell is neither."""
    if not isinstance(cells, list):
        return _numbers_by_polars(cells, pattern)
    out = np.full(len(cells), np.nan)
    for k, cell in enumerate(cells):
        text = cell.strip(WHITE)
        if pattern.fullmatch(text):
            out[k] = float(text.replace(",", "."))
        elif text.lower() not in MISSING:
            return None
    return out


def _numbers_by_polars(cells: Any, pattern: re.Pattern[str]) -> NDArray[np.float64] | None:
    pl = load("polars", "Reading large files")
    text = cells.str.strip_chars(WHITE)
    number = text.str.contains(f"^(?:{pattern.pattern})$")
    missing = text.str.to_lowercase().is_in(list(MISSING))
    if not (number | missing).all():
        return None
    plain = text.str.replace(",", ".", literal=True).str.strip_prefix("+")
    values = pl.select(pl.when(number).then(plain)).to_series().cast(pl.Float64)
    return np.asarray(values.fill_null(np.nan).to_numpy())
