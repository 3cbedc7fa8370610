"""One number for every pair of items, whatever form it came in, read in blocks.

Order is scipy's condensed order: (0, 1), (0, 2), ..., (1, 2), ... A square matrix stays where the caller has it; only
blocks of it are ever copied.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.data.checks import item_name, real_array, row_blocks, slack
from shoal.errors import InputError
from shoal.runtime.progress import Ticker

__all__ = ["SYMMETRIZE", "Diagonal", "Pairs", "check_symmetrize", "from_condensed", "from_edges", "from_square",
           "n_of_condensed", "pair_at", "pair_count", "pairs_at"]

Floats = NDArray[np.float64]
SYMMETRIZE = ("mean", "min", "max")
CHUNK = 2**18  # values of a condensed vector handled at a time

_COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "lower": lambda above, below: below,
    "mean": lambda above, below: above * 0.5 + below * 0.5,
    "min": np.minimum,
    "max": np.maximum,
}


class Diagonal(NamedTuple):
    """What a form said of each item with itself: the first item's value, and the first item with another, if any."""

    given: bool
    value: float = 0.0
    odd: tuple[int, float] | None = None


NO_DIAGONAL = Diagonal(False)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Values of all pairs of `n` items.

    Attributes
    ----------
    n : int
        Number of items.
    values : ndarray
        A square matrix, a condensed vector, or the stored values of a sparse form.
    half : str
        How `values` is read: "condensed", "stored", or for a square "upper", "lower", "mean", "min" or "max".
    dtype : dtype
        float32 or float64: what the values are given out as.
    diagonal : Diagonal
        As the caller gave it.
    stored : ndarray of int64, optional
        For "stored": ascending positions of `values` in the condensed vector; pairs that are not there are 0.
    """

    n: int
    values: NDArray[Any]
    half: str
    dtype: np.dtype[Any]
    diagonal: Diagonal = NO_DIAGONAL
    stored: NDArray[np.int64] | None = None

    def chunks(self, ticker: Ticker | None = None) -> Iterator[tuple[int, Floats]]:
        """Give out the condensed vector as (start, fresh float64 values), in order."""
        source = self._flat_chunks() if self.values.ndim == 1 else self._square_chunks()
        total = max(1, pair_count(self.n))
        for start, values in source:
            yield start, values
            if ticker is not None:
                ticker.at((start + len(values)) / total)

    def _flat_chunks(self) -> Iterator[tuple[int, Floats]]:
        total = pair_count(self.n)
        for start in range(0, total, CHUNK):
            stop = min(start + CHUNK, total)
            if self.stored is None:
                yield start, self.values[start:stop].astype(np.float64)
                continue
            first, last = np.searchsorted(self.stored, (start, stop))
            values = np.zeros(stop - start)
            values[self.stored[first:last] - start] = self.values[first:last]
            yield start, values

    def _values(self) -> Iterator[Floats]:
        """Give out the values that are stored, in blocks."""
        for start in range(0, len(self.values), CHUNK):
            yield self.values[start:start + CHUNK].astype(np.float64)

    def _square_chunks(self) -> Iterator[tuple[int, Floats]]:
        for start, stop in row_blocks(self.n - 1, self.n):
            if self.half == "upper":
                rows = self.values[start:stop, start:]
            else:
                rows = _COMBINE[self.half](*_halves(self.values, start, stop))
            yield start * (2 * self.n - start - 1) // 2, np.concatenate(
                [rows[r, r + 1:] for r in range(stop - start)]).astype(np.float64)

    def condensed(self, turn: Callable[[Floats], Floats] | None = None, ticker: Ticker | None = None) -> NDArray[Any]:
        """Write the condensed vector into new memory, each value changed by `turn` on its way."""
        out = np.empty(pair_count(self.n), self.dtype)
        for start, values in self.chunks(ticker):
            out[start:start + len(values)] = values if turn is None else turn(values)
        return out

    def first(self, wrong: Callable[[Floats], Any]) -> tuple[int, int, float]:
        """Find the first pair that `wrong` is true of."""
        for start, values in self.chunks():
            found = wrong(values)
            if found.any():
                at = int(np.argmax(found))
                return *pair_at(start + at, self.n), float(values[at])
        raise AssertionError("no such pair")

    def extremes(self, ids: Sequence[str] | None, what: str) -> tuple[float, float]:
        """Return the least and the greatest value; refuse NaN and infinity, naming the first pair and the count."""
        low, high, bad = math.inf, -math.inf, 0
        some = self.stored is not None and len(self.stored) < pair_count(self.n)  # the others are 0
        if some:
            low, high = 0.0, 0.0
        for values in self._values() if some else (values for _, values in self.chunks()):
            least, greatest = float(values.min()), float(values.max())
            if math.isfinite(least) and math.isfinite(greatest):
                low, high = min(low, least), max(high, greatest)
            else:
                bad += int((~np.isfinite(values)).sum())
        if bad:
            i, j, value = self.first(lambda v: ~np.isfinite(v))
            kind = "missing (NaN)" if math.isnan(value) else "infinite"
            raise InputError(f"The {what} between {item_name(ids, i)} and {item_name(ids, j)} (row {i}, column {j}) is "
                             f"{kind}; of {pair_count(self.n):,} pairs, {bad:,} have no finite value.",
                             "Leave out items whose values are not known, or fill the gaps first.")
        return low, high


def pair_count(n: int) -> int:
    """Return the number of pairs of n items."""
    return n * (n - 1) // 2


def pair_at(position: int, n: int) -> tuple[int, int]:
    """Return the pair at a position of the condensed vector.

    Examples
    --------
    >>> [pair_at(position, 4) for position in range(6)]
    [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    """
    left = pair_count(n) - 1 - position  # counted from the end, the rows are 1, 2, 3, ... long
    row = (math.isqrt(8 * left + 1) - 1) // 2
    return n - 2 - row, n - 1 - (left - row * (row + 1) // 2)


def pairs_at(positions: NDArray[np.int64], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs at ascending positions of the condensed vector, as two arrays i < j."""
    row = np.arange(n, dtype=np.int64)
    starts = row * (2 * n - row - 1) // 2
    i = np.searchsorted(starts[:-1], positions, side="right") - 1
    return i, positions - starts[i] + i + 1


def n_of_condensed(length: int) -> int:
    """Return how many items a condensed vector of this length has; refuse a length that is no n(n-1)/2."""
    n = (1 + math.isqrt(1 + 8 * length)) // 2
    if length < 1:
        raise InputError("An empty vector was given: there are no pairs.", "Give the values of at least 2 items.")
    if pair_count(n) != length:
        raise InputError(f"A condensed vector of {length:,} values fits no number of items: {n:,} items have "
                         f"{pair_count(n):,} pairs and {n + 1:,} items have {pair_count(n + 1):,}.",
                         "Give one value for each pair, in the order of scipy.spatial.distance.pdist.")
    return n


def check_symmetrize(symmetrize: str | None) -> None:
    """Refuse a way of symmetrising that is not known."""
    if symmetrize is not None and symmetrize not in SYMMETRIZE:
        raise InputError(f"symmetrize={symmetrize!r} is not known.", "Give 'mean', 'min', 'max' or None.")


def _float_type(array: NDArray[Any]) -> np.dtype[Any]:
    return np.dtype(np.float32 if array.dtype == np.float32 else np.float64)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.setflags(write=False)
    return view


def from_condensed(vector: NDArray[Any]) -> Pairs:
    """Take a vector in condensed order as it is."""
    return Pairs(n_of_condensed(len(vector)), _read_only(vector), "condensed", _float_type(vector))


def from_square(data: Any, what: str, symmetrize: str | None, ids: Sequence[str] | None) -> tuple[Pairs, list[str]]:
    """Read a square matrix: symmetric, one triangle with the other empty, or made symmetric as told.

    Parameters
    ----------
    data : ndarray, shape (n, n)
        Stays where it is.
    what : str
        "distance" or "similarity", for messages.
    symmetrize : {"mean", "min", "max"} or None
        Given, both halves are taken to hold values.

    Returns
    -------
    pairs : Pairs
    messages : list of str
    """
    S, messages = real_array(data, "pairs")
    n = len(S)
    diagonal = _read_diagonal(S.diagonal())
    S, dtype = _read_only(S), _float_type(S)
    if symmetrize is not None:
        messages.append(f"Each pair is the {symmetrize} of its two values.")
        return Pairs(n, S, symmetrize, dtype, diagonal), messages
    upper_is_empty, lower_is_empty, gap, scale = _survey(S)
    if upper_is_empty != lower_is_empty:
        half = "lower" if upper_is_empty else "upper"
        messages.append(f"Only the {half} triangle holds values; it was mirrored.")
        return Pairs(n, S, half, dtype, diagonal), messages
    tolerance = slack(dtype) * scale
    if gap > tolerance:
        _refuse_asymmetry(S, tolerance, what, ids)
    if gap > 0:
        messages.append(f"The two values of a pair differ by up to {gap:.2g}, as rounding does; their mean was taken.")
    return Pairs(n, S, "mean" if gap > 0 else "upper", dtype, diagonal), messages


def _halves(S: NDArray[Any], start: int, stop: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Copy rows `start` to `stop` of the upper triangle, and the mirror image of the lower one; 0 on and below it."""
    dtype = _float_type(S)
    upper, lower = S[start:stop, start:].astype(dtype), S[start:, start:stop].T.astype(dtype)
    inside = np.tri(stop - start, dtype=bool)
    for half in (upper, lower):
        half[:, :stop - start][inside] = 0
    return upper, lower


def _survey(S: NDArray[Any]) -> tuple[bool, bool, float, float]:
    """Whether each half is empty (0 or NaN alone); the largest difference of a pair's values, and the largest value.

    The difference is infinite where a value is missing or infinite.
    """
    empty, gap, scale = [True, True], 0.0, 0.0
    for start, stop in row_blocks(len(S), len(S)):
        halves = _halves(S, start, stop)
        for side, half in enumerate(halves):
            largest = max(float(np.fmax.reduce(half, axis=None)), -float(np.fmin.reduce(half, axis=None)))
            empty[side] = empty[side] and not largest > 0.0
            scale = max(scale, largest) if math.isfinite(largest) else scale
        if not np.array_equal(*halves):  # the common case, exactly symmetric, ends here: 3 times faster
            gap = max(gap, float(_gap(*halves).max()))
    return empty[0], empty[1], gap, scale


def _gap(upper: NDArray[Any], lower: NDArray[Any]) -> NDArray[Any]:
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(np.nan_to_num(np.abs(upper - lower), nan=math.inf, posinf=math.inf))


def _refuse_asymmetry(S: NDArray[Any], tolerance: float, what: str, ids: Sequence[str] | None) -> None:
    for start, stop in row_blocks(len(S), len(S)):
        upper, lower = _halves(S, start, stop)
        wrong = _gap(upper, lower) > tolerance
        if wrong.any():
            r, c = (int(k) for k in np.argwhere(wrong)[0])
            i, j, one, other = start + r, start + c, float(upper[r, c]), float(lower[r, c])
            if math.isfinite(one) and math.isfinite(other):
                raise InputError(f"The {what} from {item_name(ids, i)} to {item_name(ids, j)} is {one!r}, but the one "
                                 f"back is {other!r}.",
                                 "If that is meant, say how to make one of two: symmetrize='mean', 'min' or 'max'.")
            return  # the check for finite values says it better


def _read_diagonal(values: NDArray[Any]) -> Diagonal:
    numbers = values.astype(np.float64)
    if np.isnan(numbers).all():
        return NO_DIAGONAL
    scale = max(1.0, float(np.nanmax(np.abs(numbers))))
    with np.errstate(invalid="ignore"):
        differs = ~(np.abs(numbers - numbers[0]) <= slack(values.dtype) * scale)
    odd = int(np.argmax(differs))
    return Diagonal(True, float(numbers[0]), (odd, float(numbers[odd])) if differs[odd] else None)


def from_edges(i: NDArray[Any], j: NDArray[Any], w: NDArray[Any], n: int, *, what: str, symmetrize: str | None,
               ids: Sequence[str] | None) -> tuple[Pairs, list[str]]:
    """Read pairs listed one by one, in any order and direction.

    Parameters
    ----------
    i, j : ndarray of int, shape (m,)
        The two items of each pair; an item with itself belongs to the diagonal.
    w : ndarray, shape (m,)
        Values. A pair may be given once in each direction with the same value, or with two where `symmetrize` says
        what becomes of them; given in one direction only, a pair keeps its value.

    Returns
    -------
    pairs : Pairs
        "condensed" where every pair is given, else "stored".
    messages : list of str
    """
    dtype = _float_type(w)
    i, j, w = i.astype(np.int64), j.astype(np.int64), w.astype(np.float64)
    loops = i == j
    diagonal = _read_diagonal(w[loops][np.argsort(i[loops])]) if loops.sum() == n else NO_DIAGONAL
    i, j, w = i[~loops], j[~loops], w[~loops]
    _refuse_twice(i, j, w, n, what, ids)
    low, high = np.minimum(i, j), np.maximum(i, j)
    position = low * (2 * n - low - 1) // 2 + high - low - 1
    order = np.lexsort((i, position))  # by pair; the direction low -> high first
    position, w = position[order], w[order]
    starts = np.flatnonzero(np.diff(position, prepend=-1))
    least, greatest = (np.minimum.reduceat(w, starts), np.maximum.reduceat(w, starts)) if len(w) else (w, w)
    messages = [f"{int(loops.sum()):,} values of an item with itself were left out."] if 0 < loops.sum() < n else []
    with np.errstate(invalid="ignore"):
        gap = greatest - least
    tolerance = slack(dtype) * (float(np.abs(w[np.isfinite(w)]).max(initial=0.0)))
    wrong = gap > tolerance
    if wrong.any() and symmetrize is None:
        a, b = pair_at(int(position[starts[np.argmax(wrong)]]), n)
        raise InputError(f"The {what} between {item_name(ids, a)} and {item_name(ids, b)} is given in both directions "
                         f"with different values, {float(least[wrong][0])!r} and {float(greatest[wrong][0])!r}; "
                         f"{int(wrong.sum()):,} pairs are.",
                         "If that is meant, say how to make one of two: symmetrize='mean', 'min' or 'max'.")
    values = {"min": least, "max": greatest}.get(symmetrize or "mean", least * 0.5 + greatest * 0.5)
    values = np.where(gap == 0, least, values)  # least * 0.5 + least * 0.5 may round where numbers are tiny
    if wrong.any():
        messages.append(f"{int(wrong.sum()):,} pairs had two values; each is now their {symmetrize}.")
    stored = position[starts]
    if len(stored) == pair_count(n):
        return Pairs(n, _read_only(values), "condensed", dtype, diagonal), messages
    return Pairs(n, _read_only(values), "stored", dtype, diagonal, _read_only(stored)), messages


def _refuse_twice(i: NDArray[Any], j: NDArray[Any], w: Floats, n: int, what: str, ids: Sequence[str] | None) -> None:
    """Refuse a pair given twice in the same direction with different values."""
    key = i * n + j
    order = np.argsort(key, kind="stable")
    same = key[order][1:] == key[order][:-1]
    conflict = same & (w[order][1:] != w[order][:-1])
    if conflict.any():
        at = int(np.argmax(conflict))
        one, other = order[at], order[at + 1]
        a, b = item_name(ids, int(i[one])), item_name(ids, int(j[one]))
        raise InputError(f"The {what} from {a} to {b} is given twice: as {float(w[one])!r} and {float(w[other])!r}.",
                         "Give every pair once.")
