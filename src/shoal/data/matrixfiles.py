"""Two text formats for distance matrices: PHYLIP and Orange."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shoal.data.texts import decode
from shoal.errors import InputError

__all__ = ["read_orange", "read_phylip"]


def read_phylip(data: bytes) -> tuple[NDArray[np.float64], list[str]]:
    r"""Read a PHYLIP distance matrix: the number of items, then a name and its distances for each, square or lower.

    Long rows may go on over further lines. A name may contain spaces where its distances end on the same line.

    Examples
    --------
    >>> D, names = read_phylip(b"3\nape\nbat 1\ncat 2 3\n")
    >>> names, D.tolist()
    (['ape', 'bat', 'cat'], [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [2.0, 3.0, 0.0]])
    """
    lines = [line.rstrip() for line in decode(data).splitlines() if line.strip()]
    n = _size(lines[0].split()[0] if lines else "", len(data))
    lower = len(lines) > 1 and len(_numbers_at_end(lines[1])) == 0
    D, names, at = np.zeros((n, n)), [], 1
    for i in range(n):
        wanted = i if lower else n
        if at >= len(lines):
            raise InputError(f"{n} items are declared, but the file ends after {i}.", "The file may be incomplete.")
        name, values, at = _record(lines, at, wanted)
        if len(values) != wanted:
            raise InputError(f"Item {i + 1} ({name!r}) has {len(values)} distances; {wanted} were expected.",
                             "Give a square matrix, or its lower triangle without the diagonal.")
        D[i, :wanted] = values
        names.append(name)
    if at < len(lines):
        raise InputError(f"{n} items are declared, but the file goes on: {lines[at][:50]!r}.",
                         "Correct the first line.")
    return D, names


def _size(text: str, size: int) -> int:
    """Read the number of items: at least 1, and not more than the file has room for."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= size:
        raise InputError(f"The first line must begin with the number of items; it begins with {text[:50]!r}.",
                         "The file may be damaged, or have a name that does not fit its format.")
    n = int(text)
    if n * (n - 1) > 2 * size:  # each of the n (n - 1) / 2 values takes at least a digit
        raise InputError(f"{n:,} items are declared, but {size:,} bytes cannot hold their distances.",
                         "The file may be incomplete.")
    return n


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _numbers_at_end(line: str) -> list[float]:
    """Numbers after the first word of a line, back from its end to the first word that is none."""
    values: list[float] = []
    for word in reversed(line.split()[1:]):
        value = _float(word)
        if value is None:
            break
        values.append(value)
    return values[::-1]


def _record(lines: list[str], at: int, wanted: int) -> tuple[str, list[float], int]:
    """Read one item from line `at` on: its name, its values, and the line after it."""
    values = _numbers_at_end(lines[at])[-wanted:] if wanted else []
    name = " ".join(lines[at].split()[:len(lines[at].split()) - len(values)])
    at += 1
    while len(values) < wanted and at < len(lines):
        more = [_float(word) for word in lines[at].split()]
        numbers = [value for value in more if value is not None]
        if len(numbers) < len(more) or len(values) + len(more) > wanted:
            break
        values += numbers
        at += 1
    return name, values, at


def read_orange(data: bytes) -> tuple[NDArray[np.float64], list[str] | None]:
    r"""Read an Orange distance file: the number of items and flags, then rows separated by tabs.

    The flags say whether rows begin with a label (row_labels, labelled), whether a line of column labels comes first
    (col_labels), and whether both halves are given (asymmetric); without it the lower triangle is read and mirrored.

    Examples
    --------
    >>> D, names = read_orange(b"3 row_labels\nape\nbat\t1\ncat\t2\t3\n")
    >>> names, D[2].tolist()
    (['ape', 'bat', 'cat'], [2.0, 3.0, 0.0])
    """
    lines = [line.rstrip("\r\n") for line in decode(data).splitlines() if line.strip()]
    words = lines[0].lower().split() if lines else [""]
    n = _size(words[0], len(data))
    flags = {word.partition("=")[0] for word in words[1:] if not word.endswith("=0")}
    unknown = flags - {"axis", "symmetric", "asymmetric", "row_labels", "col_labels", "labelled", "labeled"}
    if unknown:
        raise InputError(f"The first line has a flag that is not known: {sorted(unknown)[0]!r}.",
                         "Known are symmetric, asymmetric, row_labels and col_labels.")
    labelled = bool(flags & {"row_labels", "labelled", "labeled"})
    body = lines[2:] if "col_labels" in flags else lines[1:]
    if len(body) != n:
        raise InputError(f"{n} items are declared, but there are {len(body)} rows.", "The file may be incomplete.")
    D, names = np.zeros((n, n)), []
    for i, line in enumerate(body):
        cells = [cell.strip() for cell in line.split("\t" if "\t" in line or labelled else None)]
        if labelled:
            names.append(cells.pop(0))
        values = [_float(cell) for cell in cells if cell]
        if None in values or len(values) > n:
            raise InputError(f"Row {i + 1} is not a row of at most {n} numbers: {line[:50]!r}.",
                             "Separate cells by tabs.")
        kept = values if "asymmetric" in flags else values[:i + 1]
        D[i, :len(kept)] = kept
    if "asymmetric" not in flags:
        D = np.tril(D, -1) + np.tril(D).T
    if not names and "col_labels" in flags:
        names = [cell.strip() for cell in lines[1].split("\t") if cell.strip()]
    return D, names or None
