"""Scaling of features: fitted once, kept with the model, applied to new items the same way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError

__all__ = ["SCALINGS", "Scaling"]

Floats = NDArray[np.float64]
BLOCK = 2**20  # values handled at a time: 8 MB of float64


@dataclass(frozen=True, eq=False)
class Scaling:
    """What to subtract from and divide by in every column.

    Attributes
    ----------
    name : str
        "standard" (mean 0, standard deviation 1), "minmax" (from 0 to 1) or "robust" (median 0, quartiles 1 apart).
    center, spread : ndarray of float64, shape (d,)
        ``(X - center) / spread``. A constant column has spread 1. Sparse points have center 0, so that zeros stay.
    constant : tuple of int
        Columns in which all values were equal.

    Examples
    --------
    >>> import numpy as np
    >>> scaling = Scaling.fit("minmax", np.array([[0.0, 5.0], [4.0, 5.0]]))
    >>> scaling.apply(np.array([[1.0, 6.0]])).tolist()
    [[0.25, 1.0]]
    """

    name: str
    center: Floats
    spread: Floats
    constant: tuple[int, ...] = ()

    @classmethod
    def fit(cls, name: str, X: Any) -> Scaling:
        """Measure the columns of `X`.

        Parameters
        ----------
        name : str
            One of "standard", "minmax", "robust".
        X : ndarray or csr_array, shape (n, d)
            Finite floats.

        Raises
        ------
        InputError
            For an unknown name, or "robust" on sparse points, whose medians are mostly zero.
        """
        if name not in SCALINGS:
            raise InputError(f"{name!r} is not a scaling.", f"Give one of {', '.join(map(repr, SCALINGS))}, or None.")
        if isinstance(X, np.ndarray):
            center, spread = SCALINGS[name](X)
        elif name == "robust":
            raise InputError("Robust scaling is not defined for sparse points: it would have to store every zero.",
                             "Use scale='standard' or 'minmax', which keep zeros, or give a dense array.")
        else:
            center, spread = np.zeros(X.shape[1]), _sparse_spread(name, X)
        constant = tuple(np.flatnonzero(spread == 0).tolist())
        spread[list(constant)] = 1.0
        for column in (center, spread):
            column.setflags(write=False)
        return cls(name, center, spread, constant)

    def apply(self, X: Any) -> Any:
        """Return `X` scaled, as a new array of the same type; `X` stays as it is."""
        if not isinstance(X, np.ndarray):
            scaled = X.copy()
            scaled.data /= self.spread[X.indices].astype(X.dtype)
            return scaled
        out = np.empty_like(X, order="C", subok=False)
        for start, stop in _row_blocks(X):
            half = X[start:stop].astype(np.float64) * 0.5  # halves: the difference of two huge numbers stays finite
            out[start:stop] = (half - self.center * 0.5) / self.spread * 2.0
        return out


def _row_blocks(X: Any) -> list[tuple[int, int]]:
    rows = max(1, BLOCK // max(1, X.shape[1]))
    return [(start, min(start + rows, len(X))) for start in range(0, len(X), rows)]


def _extremes(X: NDArray[Any]) -> tuple[Floats, Floats]:
    return X.min(axis=0).astype(np.float64), X.max(axis=0).astype(np.float64)


def _standard(X: NDArray[Any]) -> tuple[Floats, Floats]:
    """Mean and population standard deviation: two passes about the first row, on values below 1 in size."""
    low, high = _extremes(X)
    largest = np.maximum(np.abs(low), np.abs(high))
    unit = np.exp2(np.frexp(largest)[1].astype(np.float64).clip(-1000, 1000))  # a power of two: dividing is exact
    first = X[0] / unit
    mean = first + sum((X[a:b] / unit - first).sum(axis=0) for a, b in _row_blocks(X)) / len(X)
    variance = sum(((X[a:b] / unit - mean) ** 2).sum(axis=0) for a, b in _row_blocks(X)) / len(X)
    spread = np.where(low == high, 0.0, np.sqrt(variance) * unit)
    return np.where(low == high, low, mean * unit), spread


def _minmax(X: NDArray[Any]) -> tuple[Floats, Floats]:
    low, high = _extremes(X)
    return low, _finite_difference(high, low)


def _robust(X: NDArray[Any]) -> tuple[Floats, Floats]:
    """Median and interquartile range, a column at a time."""
    center, spread = np.empty(X.shape[1]), np.empty(X.shape[1])
    for j in range(X.shape[1]):
        lower, center[j], upper = np.quantile(X[:, j].astype(np.float64) * 0.5, (0.25, 0.5, 0.75)) * 2.0
        spread[j] = _finite_difference(upper, lower)
    return center, spread


def _finite_difference(high: Any, low: Any) -> Any:
    """Return ``high - low``, at most the largest float: both ends of the float range are further apart than that."""
    with np.errstate(over="ignore"):
        return np.minimum(high - low, np.finfo(np.float64).max)


def _sparse_spread(name: str, X: Any) -> Floats:
    """Spread of every column, its unstored zeros included."""
    n, d = X.shape
    value, column = X.data.astype(np.float64), X.indices
    stored = np.bincount(column, minlength=d)
    if name == "minmax":
        low, high = np.where(stored < n, 0.0, np.inf), np.where(stored < n, 0.0, -np.inf)
        np.minimum.at(low, column, value)
        np.maximum.at(high, column, value)
        return np.asarray(_finite_difference(high, low))
    mean = np.bincount(column, value / n, minlength=d)
    squares = np.bincount(column, (value - mean[column]) ** 2, minlength=d) + (n - stored) * mean**2
    constant = (stored == 0) | ((stored == n) & (squares <= (1e-15 * n * mean) ** 2))
    return np.where(constant, 0.0, np.sqrt(squares / n))


SCALINGS: dict[str, Callable[[NDArray[Any]], tuple[Floats, Floats]]] = {
    "standard": _standard, "minmax": _minmax, "robust": _robust}
