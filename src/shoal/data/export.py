"""Tables out: CSV that keeps every id exactly as written, and Excel files that show it so.

A spreadsheet program that opens a CSV evaluates cells such as =A1 and turns 007 into 7: the Excel file, where ids are
text cells, is the one to open there.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from shoal.data.tables import load
from shoal.errors import InputError, ShoalWarning
from shoal.runtime.files import atomic_write

__all__ = ["write_csv", "write_excel", "write_json", "write_parquet"]

MAX_ROWS = 1_048_575  # of data on one sheet, below the header
MAX_COLUMNS = 16_384
MAX_CELL = 32_767  # characters
MAX_NAME = 31  # characters of a sheet's name

Columns = Mapping[str, Sequence[Any]]


def write_csv(path: str | os.PathLike[str], columns: Columns, *, force: bool = False) -> None:
    """Write a table as UTF-8 text with a header.

    Parameters
    ----------
    path : path
        A name that ends in .tsv gets tabs instead of commas.
    columns : dict of str to sequence
        Of equal length. Text is kept exactly, quoted where it needs to be; floats have the fewest digits that read back
        to the same number; NaN and None are empty cells.
    force : bool
        Whether a file of that name may be replaced.

    Raises
    ------
    InputError
        When the file exists and `force` is False, or columns differ in length.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "clusters.csv"
    >>> write_csv(target, {"id": ["007", "=A1"], "cluster": [0, 1]})
    >>> target.read_text().splitlines()
    ['id,cluster', '007,0', '=A1,1']
    """
    _length(columns)
    delimiter = "\t" if os.fspath(path).lower().endswith(".tsv") else ","
    with atomic_write(path, force) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(map(_csv_cell, _plain(values)) for values in columns.values()), strict=True))
        text.flush()
        text.detach()


def write_json(path: str | os.PathLike[str], record: Mapping[str, Any], *, force: bool = False) -> None:
    """Write one JSON object as UTF-8 text; a character that UTF-8 cannot hold (half of a surrogate pair) is escaped.

    Parameters
    ----------
    path : path
    record : dict
        Of values JSON can hold; NaN and infinity are not among them.
    force : bool
        Whether a file of that name may be replaced.

    Raises
    ------
    InputError
        When the file exists and `force` is False.
    """
    text = json.dumps(record, ensure_ascii=False, allow_nan=False, indent=1)
    with atomic_write(path, force) as file:
        file.write(text.encode("utf-8", "backslashreplace") + b"\n")


def write_parquet(path: str | os.PathLike[str], columns: Columns, *, force: bool = False) -> None:
    """Write a table as a Parquet file.

    Parameters
    ----------
    path : path
    columns : dict of str to sequence
        Of equal length.
    force : bool
        Whether a file of that name may be replaced.

    Raises
    ------
    MissingExtraError
        When polars is not installed.
    InputError
        When the file exists and `force` is False, or columns differ in length.
    """
    polars = load("polars", "Writing a Parquet file")
    _length(columns)
    table = polars.DataFrame({name: list(_plain(values)) for name, values in columns.items()})
    with atomic_write(path, force) as file:
        table.write_parquet(file)


def write_excel(path: str | os.PathLike[str], sheets: Mapping[str, Columns], *, force: bool = False,
                pictures: Mapping[str, bytes] | None = None) -> None:
    """Write an Excel workbook in which text stays text and numbers are numbers of 16 digits, as Excel itself writes them.

    Parameters
    ----------
    path : path
    sheets : dict of str to dict of str to sequence
        Name of each sheet and its columns. Names are made to fit Excel's rules; a table of more than 1,048,575 rows
        goes on over further sheets; text beyond 32,767 characters is cut, with a warning.
    force : bool
        Whether a file of that name may be replaced.
    pictures : dict of str to bytes, optional
        PNG images by name of the sheet they go to, one that exists or a new one.

    Raises
    ------
    MissingExtraError
        When xlsxwriter is not installed.
    InputError
        When the file exists and `force` is False, columns differ in length, or are more than Excel can hold.
    """
    xlsxwriter = load("xlsxwriter", "Writing an Excel file")
    for columns in sheets.values():
        _length(columns)
        if len(columns) > MAX_COLUMNS:
            raise InputError(f"A sheet holds {MAX_COLUMNS:,} columns; this table has {len(columns):,}.", "Write CSV.")
    with atomic_write(path, force) as file:
        book = xlsxwriter.Workbook(file, {"strings_to_formulas": False, "strings_to_urls": False,
                                          "strings_to_numbers": False, "in_memory": True})
        taken: set[str] = set()
        written: dict[str, tuple[Any, int]] = {}
        cut = 0
        for name, columns in sheets.items():
            for part in _parts(columns):
                sheet = book.add_worksheet(_sheet_name(name, taken))
                written.setdefault(name, (sheet, len(columns)))
                cut += _fill(sheet, part, book.add_format({"bold": True, "bottom": 1}))
        for name, image in (pictures or {}).items():
            sheet, column = written.get(name) or (book.add_worksheet(_sheet_name(name, taken)), -1)
            sheet.insert_image(0, column + 1, "picture.png", {"image_data": io.BytesIO(image)})
        book.close()
    if cut:
        warnings.warn(f"{cut} cells of text were cut to the {MAX_CELL:,} characters Excel holds; CSV keeps them whole.",
                      ShoalWarning, stacklevel=2)


def _length(columns: Columns) -> int:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"The columns of a table must be equally long; these are {lengths}.")
    return next(iter(lengths.values()), 0)


def _plain(values: Any) -> Iterable[Any]:
    """Give out values as Python numbers and text."""
    return values.tolist() if isinstance(values, np.ndarray) else (
        value.item() if isinstance(value, np.generic) else value for value in values)


def _csv_cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if isinstance(value, float) and math.isnan(value) else value


def _parts(columns: Columns) -> Iterator[Columns]:
    """Cut a table into pieces that fit on a sheet; an empty one is one piece."""
    for start in range(0, max(1, _length(columns)), MAX_ROWS):
        yield {name: values[start:start + MAX_ROWS] for name, values in columns.items()}


def _sheet_name(wanted: str, taken: set[str]) -> str:
    """Make a name Excel takes: at most 31 characters, none it forbids, not taken in any case, not "History"."""
    clean = re.sub(r"[\[\]:*?/\\\x00-\x1f]", "_", wanted).strip("'")[:MAX_NAME] or "Sheet"
    name, number = clean, 1
    while name.lower() in taken or name.lower() == "history":
        number += 1
        ending = f" ({number})"
        name = clean[:MAX_NAME - len(ending)] + ending
    taken.add(name.lower())
    return name


def _fill(sheet: Any, columns: Columns, bold: Any) -> int:
    """Write a header and columns; return how many cells of text were cut."""
    cut = 0
    for j, (name, values) in enumerate(columns.items()):
        sheet.write_string(0, j, name[:MAX_CELL], bold)
        width = len(name)
        for i, value in enumerate(_plain(values), start=1):
            text = _write(sheet, i, j, value)
            cut += len(text) > MAX_CELL
            if i <= 1000:  # the width is for looking at
                width = max(width, len(text))
        sheet.set_column(j, j, min(max(width + 2, 8), 60))
    sheet.freeze_panes(1, 0)
    return cut


def _write(sheet: Any, i: int, j: int, value: Any) -> str:
    """Write one cell, and return its text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        sheet.write_boolean(i, j, value)
        return "FALSE"
    if (isinstance(value, int) and abs(value) <= 2**53) or (isinstance(value, float) and math.isfinite(value)):
        sheet.write_number(i, j, value)
        return f"{value:.6g}"
    text = str(value)  # also infinity, and whole numbers a spreadsheet's floats would round
    sheet.write_string(i, j, text if len(text) <= MAX_CELL else text[:MAX_CELL - 1] + "…")
    return text
