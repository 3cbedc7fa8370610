"""Lloyd's k-means for sparse rows: the result of the plain algorithm, most of its products left out.

A row's products with all centres are made at once: the centres stand transposed, so that an entry x_f of the row adds
x_f · c_f for all of them side by side. Three exact reasons spare products:

- a row keeps an upper bound of the distance to its centre and a lower bound of that to all others; while the centres have
  not moved enough to bring the two together, nothing is looked at (Hamerly 2010);
- of text, after ten iterations most centres do not move at all (at 50 topics 39 of 50, later 48): a row whose own centre
  still serves it better than the old lower bound is compared with the moved centres alone (Kaukoranta et al. 2000);
- sums of members follow the rows that change.

Under cosine rows and centres have length 1, and the bounds are those of the chord: ‖x - c‖² = 2 - 2 cos.

Sources: Hamerly 2010, SDM 130-140; Kaukoranta, Fränti and Nevalainen 2000, IEEE Trans. Image Processing 9, 1337-1342;
Higham 2002, Accuracy and Stability of Numerical Algorithms, section 3.1 (error of a dot product).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.centers.sparse_kernels import (
    own_scores,
    settle_rows,
    squared_lengths,
    still_served,
    two_best,
    waiting,
)
from shoal.centers.update import Fit, add_sparse_rows, refill, settle, smallest_weight
from shoal.data.metrics import scale_for_squares
from shoal.runtime import pool
from shoal.runtime.kernel import plain_if_cheap
from shoal.runtime.progress import Ticker

if TYPE_CHECKING:
    from scipy import sparse

__all__ = ["lloyd_sparse", "nearest_sparse"]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

LANES = 64  # centres side by side: their sums stay in the first-level cache, 20,000 features of them in the second
TASK = 1 << 26  # products of a block of rows: 15 ms
GROUPS = 16  # tasks that sum members, each of clusters of its own
SLICE = 1 << 24  # entries summed between two looks at Ctrl-C: 25 ms
PLAIN_S = 5e-7  # seconds of plain Python for an entry and a centre in an iteration
AFRESH = 20  # iterations after which the sums are made anew: rounding adds up over changes


class _Tile(NamedTuple):
    """Up to `LANES` centres side by side."""

    CT: Floats  # (d, w)
    lift: Floats  # -‖c‖²/2, so that the nearest has the largest score; 0 under cosine
    ids: Ints  # ascending: of equal scores the first wins


class _Search:
    """The nearest centre of every row, kept while the centres move."""

    def __init__(self, X: sparse.csr_array, centers: Floats, metric: str) -> None:
        n, k = X.shape[0], len(centers)
        self.rows, self.centers, self.unit = frozen_rows(X), centers, metric == "cosine"
        self.labels = np.zeros(n, np.int32)
        self.upper, self.lower = np.full(n, np.inf), np.full(n, -np.inf)
        self.size = np.empty(n)
        data, _, start = self.rows
        pool.run(lambda i0, i1: squared_lengths(data, start, i0, i1, self.size), pool.blocks(n, 1 << 16))
        self.size += self.unit  # what a square is, less twice the score
        self.lift = self._lift(centers)
        self.tiles = list(self._tiles(np.arange(k)))
        self.few: list[_Tile] = []  # the moved centres, where they are at most half of all
        self.drift = np.zeros(k)  # how far each centre has moved since the last search
        self.blocks = pool.blocks(n, min(1 << 15, max(16, TASK // max(1, k * X.nnz // max(n, 1)))))

    def _lift(self, centers: Floats) -> Floats:
        return np.zeros(len(centers)) if self.unit else -0.5 * (centers * centers).sum(axis=1)

    def _tiles(self, ids: Ints) -> Iterator[_Tile]:
        for j0, j1 in pool.blocks(len(ids), LANES):
            some = ids[j0:j1]
            yield _Tile(np.ascontiguousarray(self.centers[some].T), self.lift[some], some)

    def move(self, changed: Ints, centers: Floats) -> float:
        """Put the changed centres in their new places; return the summed squared movement."""
        squares = ((centers - self.centers[changed]) ** 2).sum(axis=1)
        self.drift[changed] += np.sqrt(squares) * (1.0 + 1e-9)  # rounded up
        self.centers[changed], self.lift[changed] = centers, self._lift(centers)
        moved = np.flatnonzero(self.drift)
        for tile in self.tiles:
            lanes = np.flatnonzero(self.drift[tile.ids])
            tile.CT[:, lanes] = self.centers[tile.ids[lanes]].T
            tile.lift[lanes] = self.lift[tile.ids[lanes]]
        self.few = list(self._tiles(moved)) if 2 * len(moved) <= len(self.drift) else []
        return float(squares.sum())

    def assign(self) -> tuple[Ints, Ints]:
        """Find the nearest centre of every row; return the rows that have another one than before, and that."""
        before = self.labels.copy()
        fastest = int(np.argmax(self.drift))
        far = float(self.drift[fastest])
        next_far = float(np.delete(self.drift, fastest).max(initial=0.0))
        longest = 1.0 if self.unit else float(-2.0 * self.lift.min())

        start = self.rows[2]

        def work(i0: int, i1: int) -> None:
            rows = np.empty(i1 - i0, np.int64)
            rows = rows[:waiting(self.labels, self.upper, self.lower, self.drift, fastest, far, next_far, i0, i1, rows)]
            bounds = self.labels, self.upper, self.lower
            if len(rows) and self.few:
                rows = rows[:still_served(start, self.size, longest, self.drift, *self._two_best(rows, self.few), *bounds,
                                          rows)]
            if len(rows):
                settle_rows(start, self.size, longest, *self._two_best(rows, self.tiles), *bounds, rows)

        pool.run(work, self.blocks)
        self.drift[:] = 0.0
        changed = np.flatnonzero(before != self.labels)
        return changed, before[changed]

    def _two_best(self, rows: Ints, tiles: list[_Tile]) -> tuple[Ints, Floats, Floats]:
        near, top, second = np.zeros(len(rows), np.int32), np.full(len(rows), -np.inf), np.full(len(rows), -np.inf)
        for CT, lift, ids in tiles:
            two_best(*self.rows, rows, CT, lift, ids, np.empty(len(ids)), near, top, second)
        return near, top, second

    def forget(self, rows: Ints) -> None:
        """Make the next search look at these rows again."""
        self.upper[rows], self.lower[rows] = np.inf, -np.inf

    def squares(self) -> Floats:
        """Return every row's squared distance to its own centre; under cosine 1 - cos."""
        out = np.empty(len(self.labels))
        pool.run(lambda i0, i1: own_scores(*self.rows, self.labels, self.centers, self.lift, i0, i1, out), self.blocks)
        return np.maximum(1.0 - out if self.unit else self.size - 2.0 * out, 0.0)


class _Members:
    """Sums of the members of every cluster."""

    def __init__(self, X: sparse.csr_array, weights: Floats | None, k: int) -> None:
        self.rows, self.weights = frozen_rows(X), np.empty(0) if weights is None else weights
        self.slice = max(1, SLICE * X.shape[0] // max(1, X.nnz))
        self.sums, self.mass = np.zeros((k, X.shape[1])), np.zeros(k)
        self.least = smallest_weight(weights)

    def afresh(self, labels: Ints) -> None:
        """Sum all rows."""
        self.sums[:], self.mass[:] = 0.0, 0.0
        self._add(np.arange(len(labels)), labels, 1.0)

    def change(self, rows: Ints, old: Ints, new: Ints) -> None:
        """Carry the sums over a change of labels."""
        self._add(rows, old, -1.0)
        self._add(rows, new, 1.0)
        gone = self.mass < 0.5 * self.least
        self.sums[gone], self.mass[gone] = 0.0, 0.0

    def _add(self, rows: Ints, labels: Ints, sign: float) -> None:
        """A task has clusters of its own, so no table is needed beside the sums; each cluster's rows come in their order."""
        for r0, r1 in pool.blocks(len(rows), self.slice):
            order = np.argsort(labels[r0:r1], kind="stable")
            some, of = rows[r0:r1][order], labels[r0:r1][order]
            cuts = np.unique(np.searchsorted(of, of[np.linspace(0, len(of) - 1, GROUPS + 1).astype(np.int64)]))
            cuts = np.append(cuts, len(of))
            pool.run(lambda i0, i1, some=some, of=of: add_sparse_rows(
                *self.rows, some, of, sign, self.weights, i0, i1, self.sums, self.mass),
                list(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)))


def lloyd_sparse(X: sparse.csr_array, centers: NDArray[np.floating[Any]], *, weights: Floats | None = None,
                 metric: str = "euclidean", fixed: Floats | None = None, max_iter: int = 300, tol: float = 0.0,
                 ticker: Ticker | None = None) -> Fit:
    """Run Lloyd's iterations on sparse rows from given centres.

    Parameters
    ----------
    X : csr_array of float32 or float64, shape (n, d)
        Canonical and finite; under cosine rows of length 1. Not written to.
    centers : ndarray, shape (k, d)
        Where to start; under cosine of length 1.
    weights : ndarray, shape (n,), optional
        At least 0.
    metric : {"euclidean", "cosine"}
    fixed : ndarray, shape (k, d), optional
        Coordinates that stay as they are; NaN where free.
    max_iter : int
    tol : float
        Stop when the summed squared movement of the centres is at most this.
    ticker : Ticker, optional
        Told after every iteration.

    Returns
    -------
    Fit

    Notes
    -----
    Sums and scores are float64: an iteration that looks at all rows takes O(nnz·k), the later ones a small part of that.
    Memory O(n + k·d): the centres are dense.

    Examples
    --------
    >>> from scipy import sparse
    >>> X = sparse.csr_array(np.array([[1.0, 0, 0], [2.0, 0, 0], [0, 0, 5.0], [0, 0, 6.0]]))
    >>> fit = lloyd_sparse(X, X[[0, 2]].toarray())
    >>> fit.labels.tolist(), fit.inertia, fit.centers.tolist()
    ([0, 0, 1, 1], 1.0, [[1.5, 0.0, 0.0], [0.0, 0.0, 5.5]])
    """
    scale = scale_for_squares(X)
    if scale != 1.0:
        fit = lloyd_sparse(X * scale, centers * scale, weights=weights, metric=metric, max_iter=max_iter, ticker=ticker,
                           fixed=None if fixed is None else fixed * scale, tol=tol * scale * scale)
        return fit._replace(centers=fit.centers / scale, inertia=fit.inertia / scale / scale)
    with plain_if_cheap(PLAIN_S * X.nnz * len(centers) * min(max_iter, 10)):
        return _run(X, centers, weights, metric, fixed, max_iter, tol, ticker)


def _run(X: sparse.csr_array, centers: NDArray[np.floating[Any]], weights: Floats | None, metric: str, fixed: Floats | None,
         max_iter: int, tol: float, ticker: Ticker | None) -> Fit:
    """Iterate; what is returned belongs together, also after rounding to the data's type."""
    search, members = _Search(X, _as_centers(centers, metric, fixed), metric), _Members(X, weights, len(centers))
    every = np.arange(len(centers))
    converged, n_iter = False, 0
    while n_iter < max_iter and not converged:
        changed, old = search.assign()
        n_iter += 1
        if n_iter > 1 and len(changed) == 0:
            converged = True
            break
        fresh = n_iter % AFRESH == 1
        if fresh:
            members.afresh(search.labels)
        else:
            members.change(changed, old, search.labels[changed])
        touched = every if fresh else np.unique(np.concatenate([old, search.labels[changed]]))
        touched = np.union1d(touched, _refilled(X, search, members, weights, fixed, metric))
        moved = search.move(touched, settle(members.sums[touched], members.mass[touched], search.centers[touched],
                                            None if fixed is None else fixed[touched], metric))
        converged = moved <= tol
        if ticker is not None:
            ticker.at(n_iter / max_iter)
    if n_iter:
        members.afresh(search.labels)
        last = settle(members.sums, members.mass, search.centers, fixed, metric).astype(X.dtype)
    else:
        last = search.centers.astype(X.dtype)
    search.move(every, _as_centers(last, metric))
    search.assign()
    squares = search.squares()
    inertia = float(squares.sum() if weights is None else (squares * weights).sum())
    return Fit(last, search.labels, inertia, n_iter, "sparse", converged)


def _refilled(X: sparse.csr_array, search: _Search, members: _Members, weights: Floats | None, fixed: Floats | None,
              metric: str) -> Ints:
    """Refill empty clusters; return the clusters that gained or lost a row."""
    if (members.mass > 0.0).all():
        return np.empty(0, np.int64)
    before = search.labels.copy()
    rows = refill(X, search.labels, search.squares(), members.sums, members.mass, search.centers, weights, fixed,
                  metric)
    search.forget(rows)
    return np.concatenate([before[rows], search.labels[rows]])


def frozen_rows(X: sparse.csr_array) -> tuple[Any, Any, Any]:
    """Data, columns and starts as views that cannot be written to: kernels are compiled for one kind of array only."""
    views = X.data.view(), X.indices.view(), X.indptr.view()
    for view in views:
        view.setflags(write=False)
    return views


def _as_centers(centers: NDArray[np.floating[Any]], metric: str, fixed: Floats | None = None) -> Floats:
    """Centres in float64, fixed coordinates written over; under cosine of length 1 as float64 has it."""
    C = np.array(centers, np.float64)
    if fixed is not None:
        C = settle(C, np.ones(len(C)), C, fixed, metric)
    return C / np.linalg.norm(C, axis=1, keepdims=True) if metric == "cosine" else C


def nearest_sparse(X: sparse.csr_array, centers: NDArray[np.floating[Any]], metric: str = "euclidean",
                   ticker: Ticker | None = None) -> tuple[NDArray[np.int32], Floats]:
    """Return the nearest centre of every sparse row, the smaller index where two are equally near, and the square.

    Parameters
    ----------
    X : csr_array of float32 or float64, shape (m, d)
        Under cosine rows of length 1.
    centers : ndarray, shape (k, d)
    metric : {"euclidean", "cosine"}
    ticker : Ticker, optional

    Returns
    -------
    labels : ndarray of int32, shape (m,)
    squares : ndarray, shape (m,)
        Squared distances; under cosine 1 - cos.

    Examples
    --------
    >>> from scipy import sparse
    >>> X = sparse.csr_array(np.array([[1.0, 0, 0], [0, 0, 6.0]]))
    >>> labels, squares = nearest_sparse(X, np.array([[0.0, 0, 5], [2, 0, 0]]))
    >>> labels.tolist(), squares.tolist()
    ([1, 0], [1.0, 1.0])
    """
    scale = scale_for_squares(X)
    if scale != 1.0:
        labels, squares = nearest_sparse(X * scale, centers * scale, metric, ticker)
        return labels, squares / scale / scale
    with plain_if_cheap(PLAIN_S * X.nnz * len(centers)):
        search = _Search(X, _as_centers(centers, metric), metric)
        search.assign()
        squares = search.squares()
    if ticker is not None:
        ticker.at(1.0)
    return search.labels, squares
