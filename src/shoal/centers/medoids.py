"""k-medoids: FasterPAM, the alternating method, and FasterPAM on samples where a matrix of all distances is too large.

Source: Schubert and Rousseeuw 2021, "Fast and eager k-medoids clustering", doi:10.1016/j.is.2021.101804. A medoid is
exchanged for a candidate as soon as that lowers the loss, candidates being tried in the order of the items. What all of
some consecutive candidates would change is worked out at once, by all threads; after an exchange those behind it are tried
again. So the exchanges are those of the sequential algorithm, for any number of candidates tried at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.centers.medoid_seeding import DRAWN, first_medoids
from shoal.centers.medoid_tables import Matrix, Table, distances_to, table_of
from shoal.centers.medoids_kernels import exchange, group_by_nearest, look_up, swap_changes
from shoal.data.pairs import n_of_condensed
from shoal.data.records import Carrier, Points
from shoal.errors import InputError, is_whole
from shoal.runtime import pool
from shoal.runtime.kernel import plain_if_cheap
from shoal.runtime.progress import Ticker

__all__ = ["Descent", "Fit", "alternate", "checked", "fasterclara", "fasterpam", "finish", "plain_seconds", "starts"]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

NARROW = 32  # candidates tried at once after an exchange; twice as many after every batch without one
WIDE = 16  # tasks tried at once at most
PLAIN_S = 3e-6  # a distance looked at, in plain Python, over some passes
SAMPLES = 5  # of fasterclara
SAMPLE = 4000  # items of a sample: 64 MB of float32
BLOCK = 1 << 21  # distances at a time: 16 MB


class Fit(NamedTuple):
    """Medoids and the clusters around them, which are numbered in the order in which they first appear.

    Attributes
    ----------
    medoids : ndarray of int64, shape (k,)
        Positions of items.
    labels : ndarray of int32, shape (n,)
        The nearest medoid of every item, the first of equals; a medoid's own cluster is always its own.
    loss : float
        Σ w·(distance to the nearest medoid).
    n_iter : int
        Passes over all candidates; for `alternate` assignments.
    swaps : int
        Medoids exchanged.
    """

    medoids: NDArray[np.int64]
    labels: NDArray[np.int32]
    loss: float
    n_iter: int
    swaps: int


class Descent:
    """A search that exchanges a medoid for a candidate as soon as that lowers the loss; here Σ w·nearest.

    Parameters
    ----------
    table : Table
    medoids : ndarray of int, shape (k,)
        To begin with.
    weights : ndarray, shape (n,)
        Items of weight 0 are no candidates.

    Attributes
    ----------
    medoids : ndarray of int64, shape (k,)
    to : ndarray, shape (n, k)
        Distance of every item to every medoid.
    near, dist : ndarray, shape (depth, n)
        The nearest medoids of every item, and how far they are.
    swaps : int
    """

    depth = 2
    rounding = 2.0  # terms of one sign, at most the loss each: a sum of n has an error of at most n·2⁻⁵³ times that

    def __init__(self, table: Table, medoids: Ints, weights: Floats) -> None:
        self.table, self.weights = table, weights
        self.medoids = medoids.astype(np.int64)
        self.to = np.empty((table.n, len(medoids)), table.dtype)
        for j, item in enumerate(medoids.tolist()):
            self.to[:, j] = table.row(item)
        self.swaps = 0
        self._look_up()

    @property
    def k(self) -> int:
        """Number of medoids."""
        return len(self.medoids)

    @property
    def lanes(self) -> int:
        """Candidates a task looks at."""
        return self.table.lanes

    def run(self, max_iter: int, ticker: Ticker | None = None) -> int:
        """Try candidates until none of all lowers the loss, or `max_iter` passes are over; return the passes begun."""
        n, at, tried, quiet, width = self.table.n, 0, 0, 0, NARROW
        self._settle()
        while quiet < n and tried < max_iter * n:
            stop = min(n, at + min(width, n - quiet))
            change, slot = self._changes(at, stop)
            better = np.flatnonzero(change < -self.rounding * n * 2.0**-53 * self.scale)
            if len(better):
                first = int(better[0])
                self._exchange(int(slot[first]), at + first)
                stop, quiet, width = at + first + 1, 0, NARROW
            else:
                quiet += stop - at
                width = min(2 * width, WIDE * self.lanes)
            tried += stop - at
            at = stop % n
            if ticker is not None:
                ticker.at(tried / (tried + n - quiet))
        return -(-tried // n)

    def _changes(self, a: int, b: int) -> tuple[Floats, NDArray[np.int64]]:
        """What each candidate a … b - 1 adds to the loss in the place of the best medoid for it, and which that is."""
        change, slot = np.empty(b - a), np.empty(b - a, np.int64)

        def work(s: int, e: int) -> None:
            V, c0 = self.table.tile(a + s, a + e)
            self._measure(V, c0, change[s:e], slot[s:e])

        pool.run(work, pool.blocks(b - a, self.lanes))
        change[self._barred[a:b]] = math.inf
        return change, slot

    def _exchange(self, j: int, item: int) -> None:
        exchange(j, self.table.row(item), self.to, self.near, self.dist)
        self.medoids[j] = item
        self.swaps += 1
        self._settle()

    def _look_up(self) -> None:
        """Find the nearest medoids of all items anew."""
        self.near = np.empty((self.depth, self.table.n), np.int32)
        self.dist = np.empty((self.depth, self.table.n))
        look_up(self.to, self.near, self.dist)

    def _settle(self) -> None:
        """Work out what `_measure` needs of the present medoids."""
        self._barred = self.weights == 0
        self._barred[self.medoids] = True
        self._order, self._start = np.empty(self.table.n, np.int64), np.empty(self.k + 1, np.int64)
        group_by_nearest(self.near[0], self._order, self._start)
        self._gap = self.dist[1] - self.dist[0]
        self.scale = float((self.weights * self.dist[0]).sum())

    def _measure(self, V: Any, c0: int, change: Floats, slot: NDArray[np.int64]) -> None:
        swap_changes(V, c0, self.dist[0], self._gap, self.weights, self._order, self._start, change, slot)


def fasterpam(data: Carrier | Matrix, k: int, rng: np.random.Generator, *, init: str | Ints = "build",
              weights: Floats | None = None, n_init: int = 1, max_iter: int = 100, ticker: Ticker | None = None) -> Fit:
    """Find k medoids by eager exchanges until none lowers the summed distance to the nearest medoid.

    Parameters
    ----------
    data : Carrier, or ndarray
        An array is a square matrix of distances (symmetric, 0 on the diagonal) or a condensed vector, taken unchecked.
    k : int
    rng : Generator
    init : {"build", "lab", "k-medoids++", "random"} or ndarray of int, shape (k,)
        See `first_medoids`.
    weights : ndarray of float64, shape (n,), optional
        An item of weight w counts w times; one of weight 0 not at all, and is no medoid.
    n_init : int
        Starts to take the best of, where `init` draws.
    max_iter : int
        Passes over all candidates at most.
    ticker : Ticker, optional

    Returns
    -------
    Fit

    Raises
    ------
    InputError
        When fewer than k items have a weight above 0.
    TooLargeError
        When distances must be worked out and would not fit in memory.

    Notes
    -----
    O(n²) a pass, two to four passes as a rule, and about n·k memory beyond the matrix. The matrix is read where it lies; of
    a condensed vector only columns are written out, and a pass takes about twice as long. Points, similarities and graphs
    get a matrix. At the end no exchange lowers the loss by more than 2n·2⁻⁵³ of it, which is rounding. The same medoids for
    any number of threads.

    Source: Schubert and Rousseeuw 2021, doi:10.1016/j.is.2021.101804, algorithm 3.

    Examples
    --------
    >>> import numpy as np, shoal
    >>> found = fasterpam(shoal.points([[0.0], [1.0], [2.0], [8.0], [9.0]]), 2, np.random.default_rng(0))
    >>> found.medoids.tolist(), found.labels.tolist(), found.loss
    ([1, 3], [0, 0, 0, 1, 1], 3.0)
    """
    weights = checked(data, k, weights)
    best: Fit | None = None
    with plain_if_cheap(plain_seconds(data)):
        table = table_of(data)
        for medoids in starts(table, k, rng, init, n_init, weights):
            search = Descent(table, medoids, weights)
            passes = search.run(max_iter, ticker)
            best = _better(best, finish(search.to, search.medoids, weights, passes, search.swaps))
    assert best is not None
    return best


def alternate(data: Carrier | Matrix, k: int, rng: np.random.Generator, *, init: str | Ints = "build",
              weights: Floats | None = None, n_init: int = 1, max_iter: int = 100, ticker: Ticker | None = None) -> Fit:
    """Find k medoids as k-means finds centres: assign items, then take the most central item of every cluster.

    Parameters
    ----------
    data, k, rng, init, weights, n_init, max_iter, ticker
        As for `fasterpam`.

    Returns
    -------
    Fit

    Notes
    -----
    O(n·k + Σ nⱼ²) an iteration. A medoid never leaves its cluster, so it stops earlier than `fasterpam`, and often at a loss
    that is a good deal higher.

    Source: Park and Jun 2009, doi:10.1016/j.eswa.2008.01.039.

    Examples
    --------
    >>> import numpy as np, shoal
    >>> alternate(shoal.points([[0.0], [1.0], [2.0], [8.0], [9.0]]), 2, np.random.default_rng(0)).medoids.tolist()
    [1, 3]
    """
    weights = checked(data, k, weights)
    best: Fit | None = None
    with plain_if_cheap(plain_seconds(data)):
        table = table_of(data)
        for medoids in starts(table, k, rng, init, n_init, weights):
            best = _better(best, _alternated(table, medoids.copy(), weights, max_iter, ticker))
    assert best is not None
    return best


def _alternated(table: Table, medoids: Ints, weights: Floats, max_iter: int, ticker: Ticker | None) -> Fit:
    swaps = 0
    for count in range(1, max_iter + 1):
        to = distances_to(table, medoids)
        labels = to.argmin(axis=1)
        labels[medoids] = np.arange(len(medoids))
        central = _central_items(table, labels, medoids, weights)
        changed = int((central != medoids).sum())
        if ticker is not None:
            ticker.at(count / max_iter)
        if not changed:
            break
        medoids, swaps = central, swaps + changed
    return finish(distances_to(table, medoids), medoids, weights, count, swaps)


def _central_items(table: Table, labels: Ints, medoids: Ints, weights: Floats) -> Ints:
    """The item of every cluster with the least summed distance to its items; a medoid stays where none has less."""
    sums = np.full(table.n, math.inf)
    members = [np.flatnonzero(labels == j) for j in range(len(medoids))]

    def work(j: int, a: int, b: int) -> None:
        some = members[j][a:b]
        sums[some] = (table.block(some, members[j]) * weights[members[j]]).sum(axis=1)

    pool.run(work, [(j, a, b) for j, at in enumerate(members) for a, b in pool.blocks(len(at), max(1, BLOCK // len(at)))])
    sums[weights == 0] = math.inf
    best = np.array([at[np.argmin(sums[at])] for at in members])
    return np.where(sums[best] < sums[medoids], best, medoids)


def fasterclara(data: Carrier | Matrix, k: int, rng: np.random.Generator, *, init: str | Ints = "build",
                weights: Floats | None = None, n_init: int = SAMPLES, max_iter: int = 100,
                ticker: Ticker | None = None) -> Fit:
    """Find k medoids of samples by `fasterpam`, and keep those that are best for all items.

    Parameters
    ----------
    data, k, rng, init, weights, max_iter, ticker
        As for `fasterpam`.
    n_init : int
        Samples to take the best of. Each holds the best medoids so far.

    Returns
    -------
    Fit
        Labels and loss are those of all items.

    Notes
    -----
    O(s² + n·k) distances a sample, s = max(4000, 80 + 4k) items: for data whose distances do not fit in memory. The medoids
    are a local optimum of a sample, not of the whole.

    Source: Schubert and Rousseeuw 2021, section 5.4; Kaufman and Rousseeuw 1990, chapter 3.

    Examples
    --------
    >>> import numpy as np, shoal
    >>> fasterclara(shoal.points([[0.0], [1.0], [2.0], [8.0], [9.0]]), 2, np.random.default_rng(0)).medoids.tolist()
    [1, 3]
    """
    weights = checked(data, k, weights)
    source = data if isinstance(data, Carrier) else table_of(data)
    allowed = np.flatnonzero(weights > 0)
    size, best = min(len(allowed), max(SAMPLE, 80 + 4 * k)), None
    for _ in range(n_init if size < len(allowed) else 1):
        some = np.sort(rng.choice(allowed, size, replace=False))
        for more in (None if best is None else best.medoids, None if isinstance(init, str) else init):
            some = some if more is None else np.union1d(some, more)
        begin = init if isinstance(init, str) else np.searchsorted(some, init)
        part = np.ascontiguousarray(distances_to(source, some, some))
        found = fasterpam(part, k, rng, init=begin, weights=weights[some], max_iter=max_iter, ticker=ticker)
        medoids = some[found.medoids]
        best = _better(best, finish(distances_to(source, medoids), medoids, weights, found.n_iter, found.swaps))
    assert best is not None
    return best


def starts(table: Table, k: int, rng: np.random.Generator, init: str | Ints, n_init: int, weights: Floats) -> Iterator[Ints]:
    """Give out the medoids to begin with: `n_init` times where `init` draws them, else once."""
    for _ in range(n_init if isinstance(init, str) and init in DRAWN else 1):
        yield first_medoids(table, k, rng, init, weights)


def finish(to: Matrix, medoids: Ints, weights: Floats, n_iter: int, swaps: int) -> Fit:
    """Label every item with its nearest medoid, the first of equals, and number clusters as they first appear."""
    ascending = np.argsort(medoids)
    labels = to[:, ascending].argmin(axis=1)
    labels[medoids[ascending]] = np.arange(len(medoids))  # also where another medoid is at distance 0
    loss = float((weights * to[np.arange(len(to)), ascending[labels]]).sum())
    by_appearance = np.argsort(np.unique(labels, return_index=True)[1])
    return Fit(medoids[ascending[by_appearance]].astype(np.int64), np.argsort(by_appearance)[labels].astype(np.int32), loss,
               n_iter, swaps)


def _better(best: Fit | None, found: Fit) -> Fit:
    return found if best is None or found.loss < best.loss else best


def checked(data: Carrier | Matrix, k: int, weights: Floats | None) -> Floats:
    """Return the weights, 1 where none are given; refuse a number of clusters that the number of items does not allow."""
    n = _count(data)
    if not is_whole(k) or not 1 <= k <= n:
        raise InputError(f"{k!r} clusters of {n:,} items were asked for.", f"Ask for 1 to {n}.")
    return np.ones(n) if weights is None else np.asarray(weights, np.float64)


def plain_seconds(data: Carrier | Matrix) -> float:
    """Return what a search may take as plain Python."""
    d = data.d if isinstance(data, Points) else 0
    return (PLAIN_S + 4e-7 * d) * _count(data) ** 2


def _count(data: Carrier | Matrix) -> int:
    if isinstance(data, Carrier):
        return data.n
    return n_of_condensed(len(data)) if data.ndim == 1 else len(data)
