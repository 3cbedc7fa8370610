"""Distances between rows: the common metrics as kernels, the rest of scipy.spatial.distance, and a caller's function.

A metric reaches the compiled code as a whole row of distances, not as a function of two rows: such kernels are cached on
disk and run as vector loops over many rows at once (docs/decisions/0001-kernels.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.runtime import pool
from shoal.runtime.kernel import as_pair_kernel, kernel
from shoal.runtime.progress import Ticker

if TYPE_CHECKING:
    from scipy import sparse

__all__ = ["ADDS_FEATURES", "METRIC_NAMES", "Metric", "resolve_metric"]

Array = NDArray[np.floating[Any]]

SQUARES, ABSOLUTE, LARGEST, DOT = 0, 1, 2, 3
KERNELS = {"euclidean": SQUARES, "sqeuclidean": SQUARES, "cityblock": ABSOLUTE, "chebyshev": LARGEST, "cosine": DOT,
            "correlation": DOT}
_SCIPY = ("braycurtis", "canberra", "dice", "hamming", "jaccard", "jensenshannon", "mahalanobis", "matching",
          "minkowski", "rogerstanimoto", "russellrao", "seuclidean", "sokalsneath", "yule")
_ALIASES = {"l2": "euclidean", "l1": "cityblock", "manhattan": "cityblock", "cb": "cityblock", "cos": "cosine",
            "sqeuclid": "sqeuclidean", "matching": "hamming", "sqe": "sqeuclidean", "infinity": "chebyshev"}
ADDS_FEATURES = ("euclidean", "sqeuclidean", "cityblock", "minkowski", "chebyshev")  # in the units of the columns
METRIC_NAMES = tuple(sorted({*KERNELS, *_SCIPY} - {"matching"}))

TILE = 512  # columns at a time: their sums and four features of them stay in the first-level cache
WORTH_COMPILING = 300  # rows from which compiling a caller's function, about a second, is made up for
TASK = 1 << 22  # coordinate differences a task computes: 1 to 3 ms


@kernel
def row_of_distances(kind: int, x: Any, YT: Any, j0: int, j1: int, out: Any) -> None:
    """out[j - j0] = Σₖ (xₖ - yⱼₖ)², Σₖ |xₖ - yⱼₖ|, maxₖ |xₖ - yⱼₖ| or Σₖ xₖyⱼₖ, in the order of k."""
    d = x.shape[0]
    for t0 in range(j0, j1, 512):
        t1 = min(t0 + 512, j1)
        s = out[t0 - j0:t1 - j0]
        for t in range(s.shape[0]):
            s[t] = 0.0
        k = 0
        if kind == 0:
            while k + 4 <= d:  # four features a pass: a quarter of the loads and stores of s, the same order of sums
                a, b, c, e = x[k], x[k + 1], x[k + 2], x[k + 3]
                ya, yb, yc, ye = YT[k, t0:t1], YT[k + 1, t0:t1], YT[k + 2, t0:t1], YT[k + 3, t0:t1]
                for t in range(s.shape[0]):
                    v = s[t] + (ya[t] - a) * (ya[t] - a)
                    v += (yb[t] - b) * (yb[t] - b)
                    v += (yc[t] - c) * (yc[t] - c)
                    s[t] = v + (ye[t] - e) * (ye[t] - e)
                k += 4
        while k < d:
            a, y = x[k], YT[k, t0:t1]
            if kind == 0:
                for t in range(s.shape[0]):
                    s[t] += (y[t] - a) * (y[t] - a)
            elif kind == 1:
                for t in range(s.shape[0]):
                    s[t] += abs(y[t] - a)
            elif kind == 2:
                for t in range(s.shape[0]):
                    s[t] = max(s[t], abs(y[t] - a))
            else:
                for t in range(s.shape[0]):
                    s[t] += y[t] * a
            k += 1


@kernel
def finish(kind: int, root: bool, s: Any) -> None:
    """Turn sums into distances: √s, or 1 - s kept within [0, 2]."""
    if kind == 3:
        for t in range(s.shape[0]):
            s[t] = min(max(1.0 - s[t], 0.0), 2.0)
    elif root:
        for t in range(s.shape[0]):
            s[t] = math.sqrt(s[t])


@kernel
def condensed_rows(kind: int, root: bool, XT: Any, i0: int, i1: int, start: int, D: Any) -> None:
    """Rows i0 … i1 of the condensed matrix, to D[start …]."""
    d, n = XT.shape
    x, s = np.empty(d), np.empty(n)
    p = start
    for i in range(i0, i1):
        for k in range(d):
            x[k] = XT[k, i]
        m = n - 1 - i
        row_of_distances(kind, x, XT, i + 1, n, s)
        finish(kind, root, s[:m])
        for t in range(m):
            D[p + t] = s[t]
        p += m


@kernel
def rectangle_rows(kind: int, root: bool, X: Any, YT: Any, i0: int, i1: int, out: Any) -> None:
    """Rows i0 … i1 of the distances between X and Y."""
    for i in range(i0, i1):
        row_of_distances(kind, X[i], YT, 0, YT.shape[1], out[i])
        finish(kind, root, out[i])


@kernel
def sparse_pair(kind: int, xi: Any, xv: Any, yi: Any, yv: Any) -> float:
    """The sums of row_of_distances over two sorted sparse rows; absent features are zeros."""
    total, p, q = 0.0, 0, 0
    while p < xi.shape[0] or q < yi.shape[0]:
        if q == yi.shape[0] or (p < xi.shape[0] and xi[p] < yi[q]):
            a, b = xv[p], 0.0
            p += 1
        elif p == xi.shape[0] or yi[q] < xi[p]:
            a, b = 0.0, yv[q]
            q += 1
        else:
            a, b = xv[p], yv[q]
            p += 1
            q += 1
        if kind == 0:
            total += (b - a) * (b - a)
        elif kind == 1:
            total += abs(b - a)
        elif kind == 2:
            total = max(total, abs(b - a))
        else:
            total += a * b
    return total


@kernel
def sparse_row(kind: int, root: bool, xi: Any, xv: Any, indptr: Any, indices: Any, data: Any, j0: int, out: Any) -> None:
    """Distances of one sparse row to rows j0 … of a CSR matrix."""
    s = np.empty(out.shape[0])
    for t in range(s.shape[0]):
        p, q = indptr[j0 + t], indptr[j0 + t + 1]
        s[t] = sparse_pair(kind, xi, xv, indices[p:q], data[p:q])
    finish(kind, root, s)
    for t in range(s.shape[0]):
        out[t] = s[t]


@dataclass(frozen=True)
class Metric:
    """A distance between rows, with every parameter it took from the data it was first used on.

    Attributes
    ----------
    name : str
        A name of `METRIC_NAMES`, or the name of the caller's function.
    params : dict
        Such as minkowski's p, seuclidean's V, mahalanobis' VI: kept, so that new items are measured alike.
    function : callable or None
        The caller's `metric(x, y) -> float`.
    """

    name: str
    params: dict[str, Any] = field(default_factory=dict)
    function: Callable[..., float] | None = None

    def condensed(self, X: Any, ticker: Ticker | None = None, *, squared: bool = False) -> Array:
        """Return the distances of all pairs of rows, in scipy's condensed order.

        Parameters
        ----------
        X : ndarray, shape (n, d), or csr_array
            float32 rows give float32 distances, summed in float64.
        ticker : Ticker, optional
            Told of progress.
        squared : bool
            Euclidean distances without the square root.

        Raises
        ------
        InputError
            When the metric is not defined for a row (a zero row under cosine), or gives NaN, infinity or less than 0.
        """
        n = X.shape[0]
        D = np.empty(n * (n - 1) // 2, np.float32 if X.dtype == np.float32 else np.float64)
        root = self.name == "euclidean" and not squared
        scale = scale_for_squares(X) if root else 1.0
        fill = self._filler(self.unit_rows(X * scale if scale != 1.0 else X), D, root=root)
        tasks = pool.triangle_blocks(n, max(1, TASK // max(1, X.shape[1])))
        if ticker is not None:
            ticker.total = len(tasks)
        pool.run(fill, tasks, ticker)
        if scale != 1.0:
            D /= scale
        self._check(D, lambda place: _pair_at(place, n))
        return D

    def between(self, X: Any, Y: Any, ticker: Ticker | None = None) -> NDArray[np.float64]:
        """Return the distances of every row of X to every row of Y, shape (len(X), len(Y)), float64."""
        scale = scale_for_squares(X, Y) if self.name == "euclidean" else 1.0
        rows, columns = (self.unit_rows(Z * scale if scale != 1.0 else Z) for Z in (X, Y))
        out = np.empty((X.shape[0], Y.shape[0]))
        kind = KERNELS.get(self.name, -1)
        size = max(1, TASK // max(1, Y.shape[0] * X.shape[1]))
        if _is_sparse(rows):
            def work(i0: int, i1: int) -> None:
                for i in range(i0, i1):
                    p, q = rows.indptr[i], rows.indptr[i + 1]
                    sparse_row(kind, self.name == "euclidean", rows.indices[p:q], rows.data[p:q], columns.indptr,
                               columns.indices, columns.data, 0, out[i])
        elif kind >= 0:
            YT, X64 = np.ascontiguousarray(columns.T, np.float64), np.ascontiguousarray(rows, np.float64)

            def work(i0: int, i1: int) -> None:
                rectangle_rows(kind, self.name == "euclidean", X64, YT, i0, i1, out)
        elif self.function is not None:
            def work(i0: int, i1: int) -> None:
                for i in range(i0, i1):
                    out[i] = self._call(rows[i], columns)
        else:
            def work(i0: int, i1: int) -> None:
                out[i0:i1] = self._cdist(rows[i0:i1], columns)

        pool.run(work, pool.blocks(len(out), size), ticker)
        if scale != 1.0:
            out /= scale
        self._check(out.reshape(-1), lambda place: divmod(place, Y.shape[0]))
        return out

    def _call(self, x: Array, others: Array) -> NDArray[np.float64]:
        """Distances of a row to others by the caller's function, in Python."""
        assert self.function is not None
        values = [self.function(x, y) for y in others]
        try:
            found = np.asarray(values, np.float64)
        except (TypeError, ValueError):
            found = np.empty(0)
        if found.shape != (len(others),):
            raise InputError(f"The metric {self.name!r} gave something that is no number: {str(values[0])[:50]!r}.",
                             "A metric returns one real number for two rows.")
        return found

    def unit_rows(self, X: Any) -> Any:
        """Rows as the kernels take them: for cosine of length 1, for correlation centred as well."""
        if self.name not in ("cosine", "correlation"):
            if not _is_sparse(X):
                return X
            _refuse_sparse(self.name, X)
            return X.astype(np.float64, copy=False)
        if _is_sparse(X):
            return self._sparse_unit_rows(X)
        rows = np.array(X, np.float64)
        if self.name == "correlation":
            rows -= rows.mean(axis=1, keepdims=True)
        largest = np.abs(rows).max(axis=1, keepdims=True)
        limit = 1e-13 * np.abs(X).max(axis=1, keepdims=True) if self.name == "correlation" else 0.0
        self._refuse_zero((largest <= limit).ravel())
        rows /= largest  # so that no square overflows or vanishes
        rows /= np.sqrt((rows * rows).sum(axis=1, keepdims=True))
        return rows

    def _sparse_unit_rows(self, X: sparse.csr_array) -> sparse.csr_array:
        if self.name == "correlation":
            raise InputError("Correlation centres every row, which makes a sparse row dense.",
                             "Use cosine, or densify with .toarray().")
        rows = X.astype(np.float64)
        counts = np.diff(rows.indptr)
        self._refuse_zero(counts == 0)
        begin = rows.indptr[:-1]
        rows.data = rows.data / np.repeat(np.maximum.reduceat(np.abs(rows.data), begin), counts)
        rows.data = rows.data / np.repeat(np.sqrt(np.add.reduceat(rows.data**2, begin)), counts)
        return rows

    def _refuse_zero(self, zero: NDArray[np.bool_]) -> None:
        if zero.any():
            what = "all zeros" if self.name == "cosine" else "constant"
            raise InputError(f"{self.name.capitalize()} distance is not defined for a row that is {what}: row "
                             f"{int(np.argmax(zero))} is, and {int(zero.sum())} in all.",
                             "Leave such rows out, or use another metric.")

    def _filler(self, X: Any, D: Array, root: bool) -> Callable[[int, int, int], None]:
        """Return work(i0, i1, start), which writes rows of the condensed matrix."""
        n, kind = X.shape[0], KERNELS.get(self.name, -1)
        if _is_sparse(X):
            return lambda i0, i1, start: self._fill_sparse(X, kind, root, D, i0, i1, start)
        if kind >= 0:
            XT = np.ascontiguousarray(X.T, np.float64)
            return lambda i0, i1, start: condensed_rows(kind, root, XT, i0, i1, start, D)
        if self.function is not None:
            return self._filler_of_function(X, D)

        def work(i0: int, i1: int, start: int) -> None:
            table = self._cdist(X[i0:i1], X[i0 + 1:])
            for i in range(i0, i1):
                D[start:start + n - 1 - i] = table[i - i0, i - i0:]
                start += n - 1 - i

        return work

    def _fill_sparse(self, X: Any, kind: int, root: bool, D: Array, i0: int, i1: int, start: int) -> None:
        n = X.shape[0]
        for i in range(i0, i1):
            p, q = X.indptr[i], X.indptr[i + 1]
            sparse_row(kind, root, X.indices[p:q], X.data[p:q], X.indptr, X.indices, X.data, i + 1,
                       D[start:start + n - 1 - i])
            start += n - 1 - i

    def _filler_of_function(self, X: Any, D: Array) -> Callable[[int, int, int], None]:
        function, n = self.function, X.shape[0]
        assert function is not None
        compiled = as_pair_kernel(function, X[0], X[-1]) if n > WORTH_COMPILING else None

        def work(i0: int, i1: int, start: int) -> None:
            for i in range(i0, i1):
                row = D[start:start + n - 1 - i]
                if compiled is not None:
                    compiled(X, i, i + 1, n, row)
                else:
                    row[:] = self._call(X[i], X[i + 1:])
                start += n - 1 - i

        return work

    def _cdist(self, X: Array, Y: Array) -> NDArray[np.float64]:
        from scipy.spatial.distance import cdist

        if self.name == "jensenshannon":  # cdist's own base= fails in scipy 1.17
            return np.asarray(cdist(X, Y, "jensenshannon")) / math.sqrt(math.log(self.params.get("base", math.e)))
        # the name and its parameters are checked by resolve_metric; cdist's overloads cannot know them
        return np.asarray(cdist(X, Y, self.name, **self.params))  # type: ignore[call-overload]

    def _check(self, D: Array, rows_at: Callable[[int], tuple[int, int]]) -> None:
        """Refuse NaN, infinity and negative distances, naming the first pair."""
        for start, stop in pool.blocks(len(D), 1 << 22):
            part = D[start:stop]
            low, high = float(part.min()), float(part.max())  # NaN comes through both
            if low >= 0.0 and high < math.inf:
                continue
            place = start + int(np.argmax(~((part >= 0.0) & (part < math.inf))))
            i, j = rows_at(place)
            name = f"The metric {self.name!r}"
            raise InputError(f"{name} gave {float(D[place])!r} for rows {i} and {j}; a distance is a number of at least 0.",
                             "If the numbers are very large, divide them by a constant first; else use another metric.")


def resolve_metric(metric: str | Metric | Callable[..., float], X: Any, params: dict[str, Any] | None = None) -> Metric:
    """Find a metric by name or wrap a function, and fix what it takes from the data.

    Parameters
    ----------
    metric : str, Metric or callable
        A name of scipy.spatial.distance, or a function of two rows that returns a number.
    X : ndarray, shape (n, d), or csr_array
        The data that data-dependent parameters (seuclidean's V, mahalanobis' VI) are computed on.
    params : dict, optional
        The metric's own parameters: p (minkowski), w, V (seuclidean), VI (mahalanobis), base (jensenshannon).

    Raises
    ------
    InputError
        For an unknown name or parameter; says which names there are.
    """
    if isinstance(metric, Metric):
        return metric
    given = dict(params or {})
    if callable(metric):
        def function(x: Any, y: Any) -> float:
            return float(metric(x, y, **given))

        chosen = function if given else metric
        return Metric(getattr(metric, "__name__", type(metric).__name__), given, chosen)
    name = _ALIASES.get(str(metric).lower(), str(metric).lower())
    if name == "precomputed":
        raise InputError("Data that is already a matrix of distances or similarities is not given by metric='precomputed'.",
                         "Use shoal.distances(matrix) or shoal.similarities(matrix).")
    if name not in METRIC_NAMES:
        raise InputError(f"There is no metric {metric!r}.", f"Choose one of {', '.join(METRIC_NAMES)}, or give a function.")
    return _with_data_params(name, X, given)


def _with_data_params(name: str, X: Any, given: dict[str, Any]) -> Metric:
    allowed = {"minkowski": {"p", "w"}, "seuclidean": {"V"}, "mahalanobis": {"VI"}, "jensenshannon": {"base"}}
    weighted = name not in KERNELS and name not in ("seuclidean", "mahalanobis", "jensenshannon")
    known = allowed.get(name, set()) | ({"w"} if weighted else set())
    if unknown := sorted(set(given) - known):
        raise InputError(f"The metric {name!r} has no parameter {unknown[0]!r}.",
                         f"It takes {', '.join(sorted(known)) or 'none'}.")
    if name not in KERNELS:
        _refuse_sparse(name, X)
    given = {key: _parameter(name, key, value, X.shape[1]) for key, value in given.items()}
    if name == "minkowski":
        given.setdefault("p", 2.0)
    if name == "seuclidean" and "V" not in given:
        V = np.var(np.asarray(X, np.float64), axis=0, ddof=1)
        given["V"] = np.where(V > 0, V, 1.0)  # a constant feature adds nothing to any distance
    if name == "mahalanobis" and "VI" not in given:
        rows = np.asarray(X, np.float64)
        if len(rows) <= rows.shape[1]:
            raise InputError(f"Mahalanobis distance needs more rows than columns to estimate a covariance; there are "
                             f"{rows.shape[0]} rows and {rows.shape[1]} columns.", "Give VI in metric_params.")
        covariance = np.atleast_2d(np.cov(rows.T))
        if np.linalg.cond(covariance) > 1e13:
            raise InputError("The covariance of these columns cannot be inverted: some columns depend on others.",
                             "Leave the dependent columns out, or give VI in metric_params.")
        given["VI"] = np.linalg.inv(covariance)
    return Metric(name, given)


def _parameter(name: str, key: str, value: Any, d: int) -> Any:
    """Read a parameter as a number or an array of the shape scipy reads: it would read beyond a smaller one."""
    shape: tuple[int, ...] = {"p": (), "base": (), "VI": (d, d)}.get(key, (d,))
    try:
        read = np.array(value, np.float64)
    except (TypeError, ValueError):
        read = np.full(1, np.nan)
    low = {"p": 0.0, "base": 1.0, "V": 0.0, "VI": -math.inf}.get(key, -5e-324)  # weights may be 0
    if read.shape != shape or np.isnan(read).any() or not (read > low).all() or (key != "p" and np.isinf(read).any()):
        size = "a number" if not shape else f"an array of finite numbers of shape {shape}"
        limit = {"p": " above 0", "base": " above 1", "V": " above 0", "VI": ""}.get(key, " of 0 or more")
        raise InputError(f"The parameter {key!r} of {name} is {str(value)[:60]}.", f"Give {size}{limit}.")
    read.setflags(write=False)
    return read if shape else float(read)


def _refuse_sparse(name: str, X: Any) -> None:
    if _is_sparse(X) and name not in KERNELS:
        raise InputError(f"The metric {name!r} is not defined here for sparse rows.",
                         "Use euclidean, sqeuclidean, cityblock, chebyshev or cosine, or densify with .toarray().")


def scale_for_squares(*tables: Any) -> float:
    """A power of two that brings float64 rows to where their squares neither overflow nor vanish; 1 as a rule."""
    values = [X.data if _is_sparse(X) else X for X in tables if X.dtype == np.float64]
    largest = max((max(float(v.max()), -float(v.min())) for v in values if v.size), default=0.0)
    return 1.0 if largest == 0.0 or 1e-145 <= largest <= 1e145 else 2.0 ** -math.frexp(largest)[1]


def _is_sparse(X: Any) -> bool:
    return hasattr(X, "indptr")


def _pair_at(place: int, n: int) -> tuple[int, int]:
    """Return the pair (i, j) whose distance stands at `place` in the condensed matrix."""
    i = int((2 * n - 1 - math.sqrt((2 * n - 1) ** 2 - 8 * place)) / 2)
    while i > 0 and i * n - i * (i + 1) // 2 > place:
        i -= 1
    while (i + 1) * n - (i + 1) * (i + 2) // 2 <= place:
        i += 1
    return i, place - (i * n - i * (i + 1) // 2) + i + 1
