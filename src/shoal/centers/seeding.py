"""First centres for k-means: k-means++, k-means‖, random rows, given ones; with weights and with fixed coordinates.

Sources: Arthur & Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007; Bahmani et al., Scalable
k-means++, PVLDB 2012 (k-means‖); Efraimidis & Spirakis, Weighted random sampling with a reservoir, 2006.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.centers.seeding_state import FEW_FEATURES, State, multiplies, state_of
from shoal.centers.update import settle
from shoal.errors import InputError, is_whole
from shoal.runtime import blas
from shoal.runtime.kernel import plain_if_cheap
from shoal.runtime.progress import Ticker

__all__ = ["Seeds", "seed"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Array = NDArray[np.floating[Any]]
Init = str | Array | Callable[[Any, int, np.random.Generator], Any]

ROUNDS = 5  # of k-means‖; Bahmani et al. see little gain from more
PLAIN_PAIR_S = 1e-6  # a point to a candidate, each feature, as plain Python


class Seeds(NamedTuple):
    """First centres.

    Attributes
    ----------
    centers : ndarray, shape (k, d)
        In the data's dtype; no two are equal.
    indices : ndarray of int64, shape (k,)
        The row each is; -1 where it is no row of the data.
    labels : ndarray of int32, shape (n,), or None
        The nearest centre of every row, the smaller index where two are equally near. Known after k-means++ only.
    squares : ndarray of float64, shape (n,), or None
        The squared distance to it; under cosine 1 - cos.
    """

    centers: Array
    indices: Ints
    labels: NDArray[np.int32] | None
    squares: Floats | None


class _Task(NamedTuple):
    """What every way of seeding takes."""

    X: Any
    k: int
    rng: np.random.Generator
    weights: Floats | None
    metric: str
    trials: int
    fixed: Floats | None
    ticker: Ticker | None

    def kinds(self) -> tuple[list[int], list[int], list[int]]:
        """Numbers of the centres whose coordinates are all fixed, partly fixed, and free."""
        if self.fixed is None:
            return [], [], list(range(self.k))
        free = np.isnan(self.fixed)
        some, every = free.any(axis=1), free.all(axis=1)
        return (np.flatnonzero(~some).tolist(), np.flatnonzero(some & ~every).tolist(), np.flatnonzero(every).tolist())

    def dense(self, row: int) -> Array:
        """A row of the data, dense."""
        x = self.X[[row]]
        found: Array = (x if isinstance(x, np.ndarray) else x.toarray())[0]
        return found

    def centre(self, row: int, number: int) -> Array:
        """A row with the fixed coordinates of centre `number` written over."""
        x = self.dense(row)
        if self.fixed is None or np.isnan(self.fixed[number]).all():
            return x
        x64 = x[None].astype(np.float64)
        own: Array = settle(x64, np.ones(1), x64, self.fixed[number][None], self.metric)[0].astype(x.dtype)
        return own

    def tick(self) -> None:
        """Tell of a centre."""
        if self.ticker is not None:
            self.ticker.step()


def seed(X: Any, k: int, rng: np.random.Generator, *, init: Init = "k-means++", weights: Floats | None = None,
         metric: str = "euclidean", trials: int | None = None, fixed: Floats | None = None,
         ticker: Ticker | None = None) -> Seeds:
    """Choose first centres.

    Parameters
    ----------
    X : ndarray of float32 or float64, or csr_array, shape (n, d)
        C-contiguous, or canonical. Under cosine all rows are of length 1.
    k : int
        Centres, at most n.
    rng : numpy.random.Generator
    init : {"k-means++", "k-means||", "random"}, ndarray of shape (k, d), or callable
        "k-means++" draws one row after another, proportional to weight times squared distance from the centres so far, and
        of a few draws takes the one that lowers the sum of these the most. "k-means||" draws some 2k rows a round for five
        rounds, and seeds their weighted table by k-means++. "random" draws rows proportional to weight. A callable is
        called as ``init(X, k, rng)`` and returns the centres.
    weights : ndarray of float64, shape (n,), optional
        At least 0.
    metric : {"euclidean", "cosine"}
    trials : int, optional
        Draws a centre is chosen from: 2 + ⌊ln k⌋ if not given, which is scikit-learn's rule; 1 is the k-means++ of 2007.
    fixed : ndarray, shape (k, d), optional
        Coordinates that are known; NaN where free. Rows without NaN are the first centres; for rows with some known
        coordinates a row of the data is drawn and these are written over.
    ticker : Ticker, optional
        Told of every centre.

    Returns
    -------
    Seeds

    Raises
    ------
    InputError
        When there are fewer than k distinct rows of weight above zero; when given centres are not k finite, distinct rows.

    Notes
    -----
    k-means++ takes O(n·k·d·trials) at most. With few features or few centres, rows are kept in tiles that are left out
    where the triangle inequality allows it; otherwise distances come from products of matrices, for which candidates are
    drawn many at once. A candidate drawn earlier is accepted with probability (its square now) / (its square then), so that
    every one is distributed as if drawn now. What rows keep, and so what is drawn, is exact in float64; what the draws of
    one centre lower the sum by is compared in the precision of the data. The same generator gives the same seeds, on any
    number of threads.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0], [0.1], [5.0], [5.1], [9.0]])
    >>> found = seed(X, 3, np.random.default_rng(0))
    >>> np.unique(found.centers.round())
    array([0., 5., 9.])
    >>> found.labels[0] == found.labels[1] != found.labels[2]
    np.True_
    """
    task = _read(X, k, rng, weights, metric, trials, fixed, ticker)
    if isinstance(init, str) and init not in _WAYS:
        raise InputError(f"There is no init {init!r}.", f"Choose one of {', '.join(map(repr, _WAYS))}, or give the centres.")
    seconds = PLAIN_PAIR_S * X.shape[0] * k * (task.trials + 1) * min(X.shape[1], FEW_FEATURES)
    with plain_if_cheap(seconds), blas.one_thread() if multiplies(X, 2 * ROUNDS * k) else contextlib.nullcontext():
        if isinstance(init, str):
            found = _WAYS[init](task)
        else:
            found = _given(task, init(X, k, rng) if callable(init) else init)
    distinct = len({row.tobytes() for row in found.centers + 0.0})  # of 0 and -0 there is one then
    if distinct < k:
        raise InputError(f"Only {distinct} of the {k} centres are distinct.", "Give each centre once, or ask for fewer.")
    return found


def _read(X: Any, k: int, rng: np.random.Generator, weights: Floats | None, metric: str, trials: int | None,
          fixed: Floats | None, ticker: Ticker | None) -> _Task:
    """Check what was asked for."""
    n, d = X.shape
    if not is_whole(k) or not 1 <= k <= n:
        raise InputError(f"{k!r} centres were asked for, of {n} rows.", f"Ask for a whole number from 1 to {n}.")
    if trials is not None and (not is_whole(trials) or trials < 1):
        raise InputError(f"trials={trials!r} was given.", "Give a whole number of at least 1, or None.")
    if metric not in ("euclidean", "cosine"):
        raise InputError(f"There is no k-means with the metric {metric!r}.", "Choose 'euclidean' or 'cosine'.")
    if weights is not None and not weights.sum() > 0.0:
        raise InputError("The weights are all 0.", "Give at least one row a weight above 0.")
    if fixed is not None and (fixed.shape != (k, d) or np.isinf(fixed).any()):
        raise InputError(f"fixed has the shape {fixed.shape}" + (", and infinity in it." if np.isinf(fixed).any() else "."),
                         f"Give {k} rows of {d} numbers, NaN where a coordinate is free.")
    if ticker is not None:
        ticker.total = k
    return _Task(X, k, rng, weights, metric, 2 + int(math.log(k)) if trials is None else trials, fixed, ticker)


# ------------------------------------------------------------------------------------------------------------ k-means++


class _Candidates:
    """Rows drawn proportional to weight·square; those of a batch that are not needed yet wait for a later centre.

    One that waited is accepted with probability (square now) / (square when drawn): von Neumann's rejection, which makes
    it a draw from the distribution of now, as squares only ever shrink.
    """

    def __init__(self, task: _Task, state: State, numbers: list[int]) -> None:
        self.task, self.state, self.numbers, self.left = task, state, numbers, len(numbers)
        self.free = task.fixed is None or bool(np.isnan(task.fixed[numbers]).all())
        self.rows: Ints = np.empty(0, np.int64)
        self.then, self.threshold = np.empty(0), np.empty(0)

    def best(self) -> tuple[int, int]:
        """Return the candidate for the next centre that lowers the potential most: its place in the offer, and its row."""
        if self.state.count == 0:
            row, which = _weighted_row(self.task), 0
            self._offer([row])
        else:
            places = self._accepted()
            if len(places) < self.task.trials:
                self._draw()
                places = self._accepted()
            self.threshold[:places[-1] + 1] = np.inf  # these have had their turn
            which = int(places[np.argmax(self.state.gains(places))] if len(places) > 1 else places[0])
            row = int(self.rows[which])
        self.left -= 1
        return which, row

    def _accepted(self) -> Ints:
        """Places of the first candidates, as many as there are trials, that may be taken now."""
        return np.flatnonzero(self.threshold * self.then < self.state.squares(self.rows))[:self.task.trials]

    def _draw(self) -> None:
        if not self.state.total > 0.0:
            raise _too_few(self.task, self.state.count)
        ahead = min(self.left, self.state.count)  # later most would be refused
        size = max(self.task.trials, min(self.state.batch, ahead * self.task.trials))
        uniforms, self.threshold = self.task.rng.random((2, size))
        self.rows = self.state.draw(uniforms)
        self.then = self.state.squares(self.rows)
        self._offer(self.rows.tolist())

    def _offer(self, rows: list[int]) -> None:
        state = self.state
        state.offer([state.row(i) if self.free else state.point(self.task.centre(i, self.numbers[0])) for i in rows])


def _plus_plus(task: _Task) -> Seeds:
    """Greedy k-means++: first the centres that are fixed, then the partly fixed ones, then the free ones."""
    state = state_of(task.X, task.weights, task.k)
    held, partly, free = task.kinds()
    centers, indices = _empty(task)
    _take_held(task, state, held, centers)
    for numbers in (*([number] for number in partly), free):
        candidates = _Candidates(task, state, numbers)
        for number in numbers:
            which, row = candidates.best()
            state.take(which, number)
            centers[number] = task.centre(row, number)
            indices[number] = row if candidates.free else -1
            task.tick()
    squares = state.squares() / state.scale / state.scale
    return Seeds(centers, indices, state.labels(), squares / 2.0 if task.metric == "cosine" else squares)


def _empty(task: _Task) -> tuple[Array, Ints]:
    """Tables for the centres and their rows."""
    return np.empty((task.k, task.X.shape[1]), task.X.dtype), np.full(task.k, -1)


def _take_held(task: _Task, state: State, held: list[int], centers: Array) -> None:
    """Place the centres whose coordinates are all fixed."""
    for number in held:
        assert task.fixed is not None
        centers[number] = task.fixed[number]
        state.offer([state.point(centers[number])])
        state.take(0, number)
        task.tick()


def _weighted_row(task: _Task) -> int:
    """A row drawn proportional to its weight."""
    u = float(task.rng.random())
    if task.weights is None:
        return int(u * task.X.shape[0])
    upto = np.cumsum(task.weights)
    return int(min(np.searchsorted(upto, u * upto[-1], "right"), np.searchsorted(upto, upto[-1])))


def _too_few(task: _Task, count: int) -> InputError:
    if task.fixed is None:
        what = f"Only {count} distinct rows can be drawn, for {task.k} centres."
    else:
        what = f"Only {count} of {task.k} centres can be placed: every row then lies on one of them."
    return InputError(what, "Ask for fewer clusters.")


# ------------------------------------------------------------------------------------------------------- the other ways


def _parallel(task: _Task) -> Seeds:
    """k-means‖: rounds of independent draws with probability 2k·weight·square / potential, then k-means++ of what they gave.

    A row that was drawn weighs as much as all the rows it is the nearest to.
    """
    (n, _), (held, *_) = task.X.shape, task.kinds()
    if len(held) == task.k:
        return _plus_plus(task)
    state = state_of(task.X, task.weights, 2 * task.k * ROUNDS)
    _take_held(task._replace(ticker=None), state, held, _empty(task)[0])
    mass = np.ones(n) if task.weights is None else task.weights
    drawn: list[int] = []
    new, rounds = [] if held else [_weighted_row(task)], 0
    while True:
        _take_rows(state, new, task.k + len(drawn))
        drawn += new
        if not state.total > 0.0 or (rounds >= ROUNDS and len(drawn) >= task.k):
            break
        worth = mass * state.squares()
        new, rounds = np.flatnonzero(task.rng.random(n) * worth.sum() < 2 * task.k * worth).tolist(), rounds + 1
    if not drawn:
        raise _too_few(task, len(held))
    owner = state.labels() - task.k  # below 0: a fixed centre's
    members = np.bincount(owner[owner >= 0], mass[owner >= 0], len(drawn)).astype(np.float64)
    found = _plus_plus(task._replace(X=task.X[drawn], weights=members))
    return Seeds(found.centers, np.where(found.indices >= 0, np.array(drawn)[found.indices], -1), None, None)


def _take_rows(state: State, rows: list[int], first: int) -> None:
    """Place rows as centres, numbered from `first` on."""
    for start in range(0, len(rows), state.batch):
        part = rows[start:start + state.batch]
        state.offer([state.row(i) for i in part])
        for which in range(len(part)):
            state.take(which, first + start + which)


def _random(task: _Task) -> Seeds:
    """Distinct rows, each drawn proportional to weight among those not drawn: in the order of Exp(1) / weight."""
    n, weights = task.X.shape[0], task.weights
    held, partly, free = task.kinds()
    centers, indices = _empty(task)
    if task.fixed is not None:
        centers[held] = task.fixed[held]
    with np.errstate(divide="ignore"):
        keys = task.rng.exponential(size=n) / (1.0 if weights is None else weights)
    order = np.argsort(keys, kind="stable")[:np.isfinite(keys).sum()]
    seen, todo, at = {(x + 0.0).tobytes() for x in centers[held]}, sorted(partly + free), 0
    for row in order:
        if at == len(todo):
            break
        x = task.centre(row, todo[at]) + 0.0  # of 0 and -0 there is one then
        if x.tobytes() not in seen:
            seen.add(x.tobytes())
            centers[todo[at]], indices[todo[at]] = x, row if todo[at] in free else -1
            at += 1
            task.tick()
    if at < len(todo):
        raise _too_few(task, len(seen))
    return Seeds(centers, indices, None, None)


def _given(task: _Task, init: Any) -> Seeds:
    """Centres of the caller's own, with what is fixed written over."""
    try:
        C = np.array(init.toarray() if hasattr(init, "toarray") else init, np.float64)
    except (TypeError, ValueError):
        C = np.empty(0)
    shape = (task.k, task.X.shape[1])
    if C.shape != shape or not np.isfinite(C).all():
        raise InputError(f"init gave {'no table of numbers' if C.size == 0 else f'the shape {C.shape}'}"
                         f"{'' if np.isfinite(C).all() else ', with values that are not finite'}.",
                         f"Give {shape[0]} centres of {shape[1]} finite numbers.")
    centers = settle(C, np.ones(task.k), C, task.fixed, task.metric)
    if task.metric == "cosine" and not centers.any(axis=1).all():
        raise InputError("A centre given to init is all zeros: it has no direction.", "Leave it out.")
    return Seeds(centers.astype(task.X.dtype), np.full(task.k, -1), None, None)


_WAYS: dict[str, Callable[[_Task], Seeds]] = {"k-means++": _plus_plus, "k-means||": _parallel, "random": _random}
