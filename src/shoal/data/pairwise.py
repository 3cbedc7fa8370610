"""Distances between items of any kind: by a function of two items, or by one of those known by name.

Items of one length are points, and `shoal.data.metrics` measures those. Here are strings, series of different lengths, and
whatever else a caller has a distance for. Every pair is measured once.

Sources: Levenshtein 1966; Myers 1999, doi:10.1145/316542.316550, and Hyyrö 2003 (64 rows of its table in one word);
Sakoe & Chiba 1978, doi:10.1109/TASSP.1978.1163055 (dynamic time warping and its band).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.data.checks import item_name
from shoal.data.pairs import pair_count, pairs_at
from shoal.errors import InputError, is_whole
from shoal.runtime import memory, pool
from shoal.runtime.kernel import compiled, kernel, plain_if_cheap
from shoal.runtime.progress import Progress, Ticker

__all__ = ["NAMES", "Pairwise", "read_items", "resolve_pairwise"]

Floats = NDArray[np.float64]

NAMES = {"dtw": ("window",), "levenshtein": ()}  # and their parameters
STEPS = 1 << 23  # of the inner loops, in a task: 10 to 20 ms
PLAIN_STEP_S = 1e-6  # such a step in plain Python
SAMPLE = 32  # pairs a function is tried on before the work


@kernel
def warped(x: Any, y: Any, window: int, row: Any) -> float:
    """√D(n, m) with D(i, j) = ‖xᵢ - yⱼ‖² + min(D(i-1, j-1), D(i-1, j), D(i, j-1)), where |i - j| ≤ window."""
    n, m = x.shape[0], y.shape[0]
    window = max(window, abs(n - m))
    for j in range(m + 1):
        row[j] = math.inf
    row[0] = 0.0
    for i in range(n):
        j0 = max(0, i - window)
        diagonal, left = row[j0], math.inf
        row[j0] = math.inf
        for j in range(j0, min(m, i + window + 1)):
            s = 0.0
            for k in range(x.shape[1]):
                s += (x[i, k] - y[j, k]) * (x[i, k] - y[j, k])
            left = min(min(diagonal, row[j + 1]), left) + s
            diagonal, row[j + 1] = row[j + 1], left
    return math.sqrt(row[m])


@kernel
def dtw_row(values: Any, start: Any, window: int, i: int, j0: int, j1: int, out: Any) -> None:
    """Warped distances of series i to series j0 … j1."""
    x, row = values[start[i]:start[i + 1]], np.empty(values.shape[0] + 1)
    for j in range(j0, j1):
        out[j - j0] = warped(x, values[start[j]:start[j + 1]], window, row)


@kernel
def levenshtein_row(codes: Any, start: Any, marks: Any, i: int, j0: int, j1: int, out: Any) -> None:
    """Edits from string i to strings j0 … j1, 64 of its characters at a time.

    A column of the table of edit distances is kept as its steps down: bit t of `up` or `down` says that row t + 1 is one
    more or one less than row t. One column follows from the one before by the bits of the rows whose character is the
    column's.
    """
    zero, one, high = np.uint64(0), np.uint64(1), np.uint64(63)
    m = start[i + 1] - start[i]
    words = (m + 63) // 64
    last = np.uint64((m - 1) % 64) if m > 0 else zero
    for t in range(m):
        marks[codes[start[i] + t], t // 64] |= one << np.uint64(t % 64)
    up, down = np.empty(words, np.uint64), np.empty(words, np.uint64)
    for j in range(j0, j1):
        up[:], down[:], edits = ~zero, zero, m
        if m == 0:
            edits = start[j + 1] - start[j]
        for p in range(start[j], start[j + 1] if m > 0 else start[j]):
            more, less = one, zero  # the step along the row above: the first row counts insertions
            for w in range(words):
                same, u, d = marks[codes[p], w], up[w], down[w]
                x = same | d
                same |= less
                y = (((same & u) + u) ^ u) | same
                right, back = d | ~(y | u), u & y
                if w == words - 1:
                    edits += np.int64((right >> last) & one) - np.int64((back >> last) & one)
                before, after = more, less
                more, less = right >> high, back >> high
                right, back = (right << one) | before, (back << one) | after
                up[w], down[w] = back | ~(x | right), right & x
        out[j - j0] = edits
    for t in range(m):
        marks[codes[start[i] + t], t // 64] = zero


class _Measure(NamedTuple):
    """A distance made ready for some items: ``rows(i, j0, j1, out)`` writes those of item i to items j0 … j1."""

    rows: Callable[[int, int, int, Floats], None]
    steps: float  # of the inner loop, for a pair
    compiled: bool


@dataclass(frozen=True)
class Pairwise:
    """A distance between two items.

    Attributes
    ----------
    name : str
        "dtw", "levenshtein", or the name of the caller's function.
    params : dict
        Passed on with every call.
    function : callable or None
        The caller's `function(a, b, **params) -> float`.
    """

    name: str
    params: dict[str, Any] = field(default_factory=dict)
    function: Callable[..., Any] | None = None

    def condensed(self, items: Sequence[Any], ids: Sequence[str] | None, progress: Progress = None) -> Floats:
        """Return the distances of all pairs in scipy's condensed order.

        Raises
        ------
        InputError
            When items are not what the distance takes, when it gives anything but numbers of at least 0, is not the same
            both ways, or is not 0 between an item and itself; the last two are tried on a few pairs, before the work.
        TooLargeError
            Before any work, when the distances would not fit in memory.
        """
        n = len(items)
        memory.require(8 * pair_count(n), None, f"the distances of {n:,} items", "Use fewer items.")
        measure = self._ready(items)
        self._try_out(measure, n, ids)
        D, size = np.empty(pair_count(n)), _pairs_of_a_task(measure)
        parts = [(i, j, min(j + size, n)) for i in range(n - 1) for j in range(i + 1, n, size)]
        with Ticker(progress, f"distances of {n:,} items") as ticker:
            self._fill(measure, parts, D, lambda j: item_name(ids, j), ticker)
        return D

    def between(self, new: Sequence[Any], old: Sequence[Any], ids: Sequence[str] | None) -> Floats:
        """Return the distances of new items to old ones, shape (len(new), len(old))."""
        n, m = len(old), len(new)
        measure = self._ready([*old, *new])
        D, size = np.empty(m * n), _pairs_of_a_task(measure)
        parts = [(i, j, min(j + size, n)) for i in range(n, n + m) for j in range(0, n, size)]
        self._fill(measure, parts, D, lambda j: item_name(ids, j) if j < n else f"new item {j - n}")
        return D.reshape(m, n)

    def _fill(self, measure: _Measure, parts: list[tuple[int, int, int]], D: Floats, name: Callable[[int], str],
              ticker: Ticker | None = None) -> None:
        """Write the distances of the parts one after the other.

        A function in Python is called from this thread alone: threads would wait for one another, and it may not expect
        them.
        """
        ends = np.cumsum([j1 - j0 for _, j0, j1 in parts]).tolist()

        def work(i: int, j0: int, j1: int, end: int) -> None:
            out = D[end - (j1 - j0):end]
            measure.rows(i, j0, j1, out)
            if not (out.min() >= 0.0 and out.max() < math.inf):
                j = j0 + int(np.argmax(~((out >= 0.0) & (out < math.inf))))
                raise InputError(f"The distance {self.name!r} of {name(i)} and {name(j)} is {float(out[j - j0])!r}.",
                                 "A distance is a finite number of at least 0.")

        if ticker is not None:
            ticker.total = len(parts)
        tasks = [(*part, end) for part, end in zip(parts, ends, strict=True)]
        if measure.compiled:
            with plain_if_cheap(PLAIN_STEP_S * measure.steps * len(D)):
                pool.run(work, tasks, ticker)
            return
        for task in tasks:
            work(*task)
            if ticker is not None:
                ticker.step()

    def _try_out(self, measure: _Measure, n: int, ids: Sequence[str] | None) -> None:
        """Refuse a function that is no distance, on some pairs spread over all."""
        places = np.unique(np.linspace(0, pair_count(n) - 1, min(SAMPLE, pair_count(n))).astype(np.int64))
        found = np.empty(1)

        def value(i: int, j: int) -> float:
            measure.rows(i, j, j + 1, found)
            return float(found[0])

        with plain_if_cheap(PLAIN_STEP_S * measure.steps * 4 * len(places)):
            for i, j in zip(*(side.tolist() for side in pairs_at(places, n)), strict=True):
                there, back = value(i, j), value(j, i)
                if abs(there - back) > 1e-9 * max(abs(there), abs(back)):
                    raise InputError(f"The distance {self.name!r} is {there!r} from {item_name(ids, i)} to "
                                     f"{item_name(ids, j)} and {back!r} the other way.",
                                     "Give a function that is the same both ways, for example the mean of the two.")
                if abs(own := value(i, i)) > 1e-9 * abs(there):
                    raise InputError(f"The distance {self.name!r} of {item_name(ids, i)} to itself is {own!r}, not 0.",
                                     "If larger means closer, turn it into a distance first, for example 1 - s.")

    def _ready(self, items: Sequence[Any]) -> _Measure:
        """Bring the items into the form the distance takes."""
        if self.name == "levenshtein" and self.function is None:
            return _of_strings(items)
        if self.name == "dtw" and self.function is None:
            return _of_series(items, self.params.get("window"))
        return self._compiled(items) or _Measure(self._row_in_python(items), 0.0, False)

    def _row_in_python(self, items: Sequence[Any]) -> Callable[[int, int, int, Floats], None]:
        function, params = self.function, self.params
        assert function is not None

        def rows(i: int, j0: int, j1: int, out: Floats) -> None:
            for j in range(j0, j1):
                given = function(items[i], items[j], **params)
                try:
                    out[j - j0] = float(given + 0)  # a text is not read as the number it may spell
                except (TypeError, ValueError):
                    raise InputError(f"The distance {self.name!r} gave something that is no number: {str(given)[:50]!r}.",
                                     "Give a function of two items that returns one real number.") from None

        return rows

    def _compiled(self, items: Sequence[Any]) -> _Measure | None:
        """Take a loop over a Numba function of arrays, compiled as well; None for any other function or items."""
        function: Any = self.function
        if not hasattr(function, "py_func") or (packed := _packed(items)) is None:
            return None
        values, start = packed
        try:
            more = inspect.signature(function.py_func).bind(None, None, **self.params).args[2:]
        except TypeError as error:
            raise InputError(f"The function {self.name!r} does not take these parameters: {error}.") from error

        def rows(values: Any, start: Any, i: int, j0: int, j1: int, out: Any) -> None:
            x = values[start[i]:start[i + 1]]
            for j in range(j0, j1):
                out[j - j0] = function(x, values[start[j]:start[j + 1]], *more)

        loop = compiled(rows, cache=False)  # a cache would not see an edit of the caller's function
        try:
            loop(values, start, 0, 0, 1, np.empty(1))
        except Exception:  # any failure to compile means: Python calls it
            return None
        return _Measure(lambda i, j0, j1, out: loop(values, start, i, j0, j1, out), _mean_square(start), True)


def resolve_pairwise(given: Any, params: Mapping[str, Any]) -> Pairwise:
    """Find a distance by name, or wrap a function.

    Raises
    ------
    InputError
        For an unknown name, or a parameter that it does not have.
    """
    if callable(given):
        return Pairwise(getattr(given, "__name__", type(given).__name__), dict(params), given)
    name = str(given).lower()
    if name not in NAMES:
        raise InputError(f"There is no distance {given!r} between items.",
                         f"Give {', '.join(map(repr, NAMES))}, or a function of two items. Metrics between rows of one "
                         "length go to shoal.points.")
    if unknown := sorted(set(params) - set(NAMES[name])):
        raise InputError(f"The distance {name!r} has no parameter {unknown[0]!r}.",
                         f"It takes {', '.join(NAMES[name]) or 'none'}.")
    window = params.get("window")
    if window is not None and (not is_whole(window) or window < 0):
        raise InputError(f"window={window!r} was given.", "Give a whole number of steps, at least 0, or None for no limit.")
    return Pairwise(name, dict(params))


def read_items(items: Any) -> tuple[Any, ...]:
    """Read a sequence of items, whatever they are.

    Raises
    ------
    InputError
        For one string, a table with columns, a mapping, or anything else that is no sequence; and for no items.
    """
    if isinstance(items, (str, bytes, Mapping)) or hasattr(items, "columns") or not hasattr(items, "__iter__"):
        raise InputError(f"Items are given as a sequence; this is a {type(items).__name__}.",
                         "Give a list of strings, of arrays or of whatever the distance takes; of a table, one column.")
    read = tuple(items)
    if not read:
        raise InputError("There are no items.", "Give at least one.")
    return read


def _pairs_of_a_task(measure: _Measure) -> int:
    return max(1, int(STEPS / max(measure.steps, 1.0)))


def _mean_square(start: NDArray[np.int64]) -> float:
    """Steps that a table of two items takes on average."""
    return float(start[-1] / (len(start) - 1)) ** 2


def _starts(lengths: Iterator[int]) -> NDArray[np.int64]:
    return np.cumsum([0, *lengths])


def _of_strings(items: Sequence[Any]) -> _Measure:
    """Code points, numbered in the order of the alphabet the strings have together."""
    for i, item in enumerate(items):
        if not isinstance(item, str):
            raise InputError(f"Item {i} (counted from 0) is a {type(item).__name__}; 'levenshtein' takes strings.")
    text = np.frombuffer("".join(items).encode("utf-32-le", "surrogatepass"), np.uint32)
    alphabet, codes = np.unique(text, return_inverse=True)
    start = _starts(len(item) for item in items)
    words = (max(map(len, items)) + 63) // 64

    def rows(i: int, j0: int, j1: int, out: Floats) -> None:
        levenshtein_row(codes, start, np.zeros((len(alphabet), words), np.uint64), i, j0, j1, out)

    return _Measure(rows, float(len(codes)) / len(items) * words * 4, True)


def _of_series(items: Sequence[Any], window: int | None) -> _Measure:
    """Series of numbers, one after the other."""
    packed = _packed(items)
    if packed is None:
        raise InputError("'dtw' takes series of numbers: arrays of shape (length,), or (length, channels) with as many "
                         "channels each.", "Give a list of arrays.")
    values, start = packed
    if (empty := np.flatnonzero(np.diff(start) == 0)).size:
        raise InputError(f"Item {int(empty[0])} (counted from 0) is an empty series.", "Leave it out.")
    table, width = np.ascontiguousarray(values.reshape(len(values), -1)), len(values) if window is None else int(window)

    def rows(i: int, j0: int, j1: int, out: Floats) -> None:
        dtw_row(table, start, width, i, j0, j1, out)

    return _Measure(rows, _mean_square(start) * (1 + table.shape[1]), True)


def _packed(items: Sequence[Any]) -> tuple[Floats, NDArray[np.int64]] | None:
    """Arrays of numbers one after the other in float64, and where each begins; None where items are something else."""
    try:
        arrays = [np.asarray(item) for item in items]
        shapes = {a.shape[1:] for a in arrays}
        if len(shapes) > 1 or any(a.dtype.kind not in "fiub" or a.ndim not in (1, 2) for a in arrays):
            return None
    except (TypeError, ValueError):
        return None
    return np.concatenate(arrays).astype(np.float64), _starts(len(a) for a in arrays)
