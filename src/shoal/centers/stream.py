"""Learning on: k-means over rows that keep coming, in batches of any size.

MacQueen's sequential k-means: every row goes to the centre nearest to it at that moment, and moves it at once by
weight / mass, so that without forgetting a centre is the mean of the rows it won. What comes out depends on the order of the
rows and not on where a batch ends.

Sources: MacQueen 1967, Fifth Berkeley Symposium 1, 281-297; for centres on the sphere Zhong 2005, IJCNN 3180-3185.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shoal.centers.seeding import seed
from shoal.centers.stream_kernels import (
    EARLY,
    EARLY_WEIGHT,
    MARKED,
    RECENT,
    RECENT_WEIGHT,
    RESCUED,
    SCATTER,
    SEEN,
    WON,
)
from shoal.centers.stream_walks import Course, Dense, Rules, Sparse
from shoal.errors import InputError, is_whole
from shoal.runtime.progress import Ticker

__all__ = ["Drift", "Stream"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_INIT = 1000  # rows waited for before seeding, or three for every cluster
GREW = 1.5  # times its share: a cluster that grew, or shrank
SURE = 3.0  # standard errors between two shares that count as different


@dataclass(frozen=True, eq=False, repr=False)
class Drift:
    """What has changed since a model was fitted, or since it was last marked.

    Attributes
    ----------
    rows : int
        Rows learned since then.
    moved : ndarray, shape (k,)
        How far each centre moved, in units of `spread`.
    spread : ndarray, shape (k,)
        Root mean squared distance of the rows of a cluster to its centre: of those before the mark, else of those since;
        NaN where there are none.
    share_before, share : ndarray, shape (k,)
        Share of the weight each cluster had then, and of the rows since.
    inertia_before, inertia : float
        Squared distance an item, weighted; under cosine 1 - cos: of the fit or the first rows after the mark, and of the
        latest rows.
    rescued : ndarray of int
        Clusters that won too little and were moved to where rows were served worst.
    """

    rows: int
    moved: Floats
    spread: Floats
    share_before: Floats
    share: Floats
    inertia_before: float
    inertia: float
    rescued: Ints

    @property
    def grew(self) -> Ints:
        """Clusters whose share is more than half as large again, and surely larger; the most grown first."""
        return self._changed(self.share, self.share_before)

    @property
    def shrank(self) -> Ints:
        """Clusters whose share fell by more than a third, and surely; the most shrunk first."""
        return self._changed(self.share_before, self.share)

    @property
    def died(self) -> Ints:
        """Clusters that won no row, though by their share they should have."""
        return np.flatnonzero((self.share == 0.0) & (self.share_before * self.rows > SURE**2))

    def _changed(self, larger: Floats, smaller: Floats) -> Ints:
        error = np.sqrt(np.maximum(self.share_before * (1.0 - self.share_before), 0.0) / max(self.rows, 1))
        sure = (larger > GREW * smaller) & (larger - smaller > SURE * error) & (self.rows > 0)
        order = np.argsort(-larger / np.maximum(smaller, 1e-300), kind="stable")
        return order[sure[order]]

    def to_frame(self, like: Any = None) -> Any:
        """Return a row for every cluster, in the library of `like` (a frame or a library's name)."""
        from shoal.data.tables import to_frame

        k = len(self.moved)
        return to_frame({"cluster": np.arange(k), "moved": self.moved, "spread": self.spread, "share": self.share,
                         "share_before": self.share_before, "rescued": np.isin(np.arange(k), self.rescued)}, like)

    def __repr__(self) -> str:
        if self.rows == 0:
            return "No rows since the mark."
        change = f" ({self.inertia / self.inertia_before - 1.0:+.0%})" if self.inertia_before > 0.0 else ""
        lines = [f"{self.rows:,} rows since the mark. Squared distance an item: {self.inertia_before:.3g} at first, "
                 f"{self.inertia:.3g} of late{change}."]
        most = [f"cluster {j} by {self.moved[j]:.2g} of its spread" for j in np.argsort(-self.moved, kind="stable")[:3]
                if self.moved[j] > 0.0]
        lines += [f"moved most: {', '.join(most)}"] if most else []
        for word, which in (("grew", self.grew), ("shrank", self.shrank)):
            parts = [f"{j} ({self.share_before[j]:.1%} to {self.share[j]:.1%})" for j in which]
            lines += [f"{word}: {', '.join(parts)}"] if parts else []
        for word, which in (("won nothing", self.died), ("moved to where items were served worst", self.rescued)):
            lines += [f"{word}: {', '.join(map(str, which))}"] if len(which) else []
        return "\n".join(lines)


class Stream:
    """k-means that goes on learning.

    Parameters
    ----------
    k : int
        Clusters.
    rng : numpy.random.Generator
        For seeding; one number is drawn from it.
    metric : {"euclidean", "cosine"}
        Under cosine rows are of length 1, and centres stay so.
    half_life : float, optional
        Rows after which a row counts half: centres follow what changes. At least 1. Default: all count alike for ever.
    fixed : ndarray, shape (k, d), optional
        Coordinates of centres that never move; NaN where free. Sparse batches are made dense then, some rows at a time.
    init : str, callable or ndarray of shape (k, d)
        As `shoal.centers.seeding.seed` takes it; an array is where the centres begin, with nothing won.
    init_size : int, optional
        Rows that are waited for before the centres are seeded from them, and then learned from like all others. Default:
        the larger of 1000 and 3k. More are waited for while they are not k distinct ones.
    reassign : float
        Every 10·k rows, the lightest centre that has won less than this share of the mean since it was placed is moved to
        the row that was served worst meanwhile. 0 leaves all where they are; so does a row of `fixed` without NaN.

    Notes
    -----
    A row costs O(k·d), or of a sparse one O(k·entries). Dense batches of some hundred rows and more are looked through by
    products of matrices in float32 first, on all threads; what decides is float64 and the result that of one row after
    another. Centres are kept in float64: O(k·d) memory, and the rows that are waited for.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(3000, 2)) + np.repeat([[5.0, 5.0], [20.0, 5.0], [5.0, 20.0]], 1000, axis=0)
    >>> rng.shuffle(X)
    >>> stream = Stream(3, rng)
    >>> for start in range(0, 3000, 100):
    ...     stream.learn(X[start:start + 100])
    >>> stream.centers.round().tolist()
    [[5.0, 20.0], [20.0, 5.0], [5.0, 5.0]]
    >>> stream.mass.tolist()
    [1000.0, 1000.0, 1000.0]
    """

    def __init__(self, k: int, rng: np.random.Generator, *, metric: str = "euclidean", half_life: float | None = None,
                 fixed: Floats | None = None, init: Any = "k-means++", init_size: int | None = None,
                 reassign: float = 0.01) -> None:
        if half_life is not None and not half_life >= 1.0:
            raise InputError(f"half_life={half_life!r} was given.", "Give a number of rows of at least 1, or None.")
        if not 0.0 <= reassign < 1.0:
            raise InputError(f"reassign={reassign!r} was given.", "Give a share from 0 up to, not including, 1.")
        if init_size is not None and (not is_whole(init_size) or init_size < k):
            raise InputError(f"init_size={init_size!r} was given for {k} clusters.", f"Give a whole number of at least {k}.")
        self.rules = Rules(k, metric, None if half_life is None else float(half_life), float(reassign))
        self.fixed = None if fixed is None else np.array(fixed, np.float64)
        self._init = init
        self._target = max(LEAST_INIT, 3 * k) if init_size is None else int(init_size)
        self._seed = int(rng.integers(2**63))
        self._waiting: list[tuple[Any, Floats]] = []
        self._course: Course | None = None
        self._shown: Course | None = None  # a provisional course, until the next batch

    @classmethod
    def resume(cls, centers: NDArray[np.floating[Any]], mass: Floats, squares: Floats | None = None, *, sparse: bool = False,
               metric: str = "euclidean", half_life: float | None = None, fixed: Floats | None = None,
               reassign: float = 0.01) -> Self:
        """Go on from centres that were found otherwise.

        Parameters
        ----------
        centers : ndarray, shape (k, d)
        mass : ndarray, shape (k,)
            Weight of each cluster; 0 for a place to begin at that counts nothing.
        squares : ndarray, shape (k,), optional
            Summed weighted squared distances of each cluster's items to its centre, under cosine of 1 - cos: what drift is
            measured against.
        sparse : bool
            Whether batches will be sparse; the others are turned into that form.
        metric, half_life, fixed, reassign
            As for the class.
        """
        found = cls(len(centers), np.random.default_rng(0), metric=metric, half_life=half_life, fixed=fixed,
                    reassign=reassign)
        scatter = np.zeros(len(centers)) if squares is None else np.asarray(squares, np.float64)
        kind = Sparse if sparse and fixed is None else Dense
        found._course = kind.start(found.rules, centers, np.asarray(mass, np.float64),
                                   scatter * (2.0 if found.rules.unit else 1.0), found.fixed)
        return found

    @property
    def centers(self) -> Floats | None:
        """The centres, shape (k, d). Provisional until enough rows have come; None while they are not k distinct ones."""
        course = self._view()
        return None if course is None else course.centers

    @property
    def mass(self) -> Floats | None:
        """Weight each centre has won, as far as it is not forgotten; None where there are no centres yet."""
        course = self._view()
        return None if course is None else course.mass

    @property
    def seen(self) -> int:
        """Rows learned from; those of weight 0 do not count, the weight of a fit that it goes on from does."""
        return self._count() if self._course is None else int(self._course.tally[SEEN])

    def learn(self, X: Any, weights: Floats | None = None, ticker: Ticker | None = None) -> None:
        """Learn from a batch; where that fails or is interrupted, the stream is as before it.

        Parameters
        ----------
        X : ndarray of float32 or float64, or csr_array, shape (m, d)
            Finite; under cosine of length 1. Not written to, and not kept.
        weights : ndarray, shape (m,), optional
            At least 0; a row of weight 0 is left out.
        ticker : Ticker, optional
            Told of progress.

        Raises
        ------
        InputError
            For another number of columns than before.
        """
        X, weight = self._read(X, weights)
        if X.shape[0] == 0:
            return
        if self._course is not None:
            self._course.learn(X, weight, ticker)
            return
        waiting = [*self._waiting, (X.copy(), weight)]
        course = None
        if _rows(waiting) >= self._target or isinstance(self._init, np.ndarray):
            course = self._begin(waiting)
        self._waiting, self._course = ([] if course else waiting), course
        self._shown = None

    def mark(self) -> None:
        """Measure drift from here on. While centres are provisional there is nothing to mark."""
        if self._course is not None:
            self._course.mark()

    def drift(self) -> Drift:
        """Say what has changed since the fit it goes on from, since the first rows, or since `mark`.

        Raises
        ------
        InputError
            While there are no centres yet.
        """
        course = self._view()
        if course is None:
            raise InputError(f"There are no centres yet: fewer than {self.rules.k} distinct rows have come.",
                             "Learn more rows first.")
        book, tally = course.book, course.tally
        won = book[:, WON]
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.where(course.marked_spread >= 0.0, course.marked_spread, np.sqrt(book[:, SCATTER] / won))
            way = np.sqrt(((course.centers - course.marked_centers) ** 2).sum(axis=1))
            moved = np.where(way > 0.0, way / spread, 0.0)
        half = 0.5 if self.rules.unit else 1.0
        before, late = (half * tally[a] / max(tally[b], 1e-300) for a, b in ((EARLY, EARLY_WEIGHT), (RECENT, RECENT_WEIGHT)))
        return Drift(int(tally[SEEN] - tally[MARKED]), moved, spread, course.marked_share, won / max(won.sum(), 1e-300),
                     float(before), float(late), np.flatnonzero(book[:, RESCUED]))

    def state(self) -> dict[str, Any]:
        """Return everything as arrays, numbers, texts and None, for `from_state`."""
        held: dict[str, Any] = {"k": self.rules.k, "metric": self.rules.metric, "half_life": self.rules.half_life,
                                "reassign": self.rules.share, "fixed": self.fixed,
                                "kind": None if self._course is None else self._course.kind}
        if self._course is not None:
            return held | self._course.arrays()
        if callable(self._init):
            raise InputError("A stream that still waits to be seeded by a function cannot be saved.",
                             "Learn more rows first.")
        held |= {"init": self._init, "target": self._target, "seed": str(self._seed)}
        if self._waiting:
            X, weight = _stacked(self._waiting)
            held |= {"X": X, "weights": weight}
        return held

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Make the stream that `state` describes."""
        found = cls(int(state["k"]), np.random.default_rng(0), metric=state["metric"], half_life=state["half_life"],
                    fixed=state["fixed"], reassign=state["reassign"], init=state.get("init"))
        if state["kind"] is not None:
            kind = {"dense": Dense, "sparse": Sparse}[state["kind"]]
            found._course = kind(found.rules, {name: np.array(state[name]) for name in kind.names()})
        else:
            found._target, found._seed = int(state["target"]), int(state["seed"])
            found._waiting = [(state["X"], np.array(state["weights"]))] if "X" in state else []
        return found

    def _read(self, X: Any, weights: Floats | None) -> tuple[Any, Floats]:
        """Bring a batch into the form of those before, without rows of weight 0."""
        d = self._features()
        if d is not None and X.shape[1] != d:
            raise InputError(f"A batch has {X.shape[1]} columns; those before had {d}.", "Give the same columns in each.")
        if weights is None:
            weight = np.ones(0)
        else:
            weight = np.asarray(weights, np.float64)
            if not weight.all():
                X, weight = X[weight > 0.0], weight[weight > 0.0]
        if self._is_sparse(X) == hasattr(X, "indptr"):
            return X, weight
        if hasattr(X, "indptr"):
            return (X if self._course is not None else X.toarray()), weight
        from scipy import sparse

        return sparse.csr_array(X), weight

    def _is_sparse(self, X: Any) -> bool:
        """Whether this stream takes sparse rows: as the first batch was."""
        if self._course is not None:
            return self._course.kind == "sparse"
        first = self._waiting[0][0] if self._waiting else X
        return self.fixed is None and hasattr(first, "indptr")

    def _features(self) -> int | None:
        if self._course is not None:
            return int(self._course.marked_centers.shape[1])
        if self._waiting:
            return int(self._waiting[0][0].shape[1])
        return None if self.fixed is None else int(self.fixed.shape[1])

    def _count(self) -> int:
        return _rows(self._waiting)

    def _view(self) -> Course | None:
        """The course, or a provisional one from the rows there are."""
        if self._course is None and self._shown is None and self._waiting:
            self._shown = self._from(*_stacked(self._waiting))
        return self._course or self._shown

    def _begin(self, waiting: list[tuple[Any, Floats]]) -> Course | None:
        """Seed from the first rows, and learn from all; None where more have to come."""
        X, weight = _stacked(waiting)
        target, n = self._target, X.shape[0]
        while target <= n or isinstance(self._init, np.ndarray):
            first = min(target, n)
            course = self._from(X[:first], weight[:first])
            if course is not None:
                course.learn(X[first:], weight[first:])
                return course
            target *= 2
        self._target = target
        return None

    def _from(self, X: Any, weight: Floats) -> Course | None:
        """Seed from these rows and learn from them; None where they are not k distinct ones."""
        k, rules = self.rules.k, self.rules
        if isinstance(self._init, np.ndarray):
            centers = self._init
        else:
            try:
                centers = seed(X, k, np.random.default_rng(self._seed), init=self._init, metric=rules.metric,
                               weights=weight if len(weight) else None, fixed=self.fixed).centers
            except InputError:
                if _distinct(X) >= k:
                    raise
                return None
        kind = Sparse if hasattr(X, "indptr") and self.fixed is None else Dense
        course = kind.start(rules, centers, np.zeros(k), np.zeros(k), self.fixed)
        course.learn(X, weight)
        course.mark()
        return course


def _distinct(X: Any) -> int:
    """How many different rows there are."""
    if not hasattr(X, "indptr"):
        return len(np.unique(X, axis=0))
    parts = zip(X.indptr[:-1], X.indptr[1:], strict=True)
    return len({(X.indices[p:q].tobytes(), X.data[p:q].tobytes()) for p, q in parts})


def _rows(waiting: list[tuple[Any, Floats]]) -> int:
    return sum(X.shape[0] for X, _ in waiting)


def _stacked(waiting: list[tuple[Any, Floats]]) -> tuple[Any, Floats]:
    """All rows in one; weights are empty where no batch had any."""
    tables = [X for X, _ in waiting]
    if hasattr(tables[0], "indptr"):
        from scipy import sparse

        X = tables[0] if len(tables) == 1 else sparse.csr_array(sparse.vstack(tables, format="csr"))
    else:
        X = np.concatenate(tables)
    if not any(len(weight) for _, weight in waiting):
        return X, np.empty(0)
    return X, np.concatenate([weight if len(weight) else np.ones(table.shape[0]) for table, weight in waiting])
