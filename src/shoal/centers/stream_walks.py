"""The state of learning on, of dense and of sparse rows, and the steps from block to block.

The result is that of one row after another, whatever the blocks: they only say how far ahead is looked. Before a block of
dense rows is walked, products of matrices in float32 say which centre was nearest to each row and how far all others were at
least, on all threads; the walk itself is on one, and looks at a second centre only where the first ones' steps since may
have brought it nearer. With 8 features and 50 centres the walk then takes a third of the time, 40 ns a row instead of 120.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from shoal.centers import stream_kernels as kernels
from shoal.centers.sparse import frozen_rows
from shoal.centers.stream_kernels import (
    BOOK,
    BORN,
    EARLY,
    EARLY_END,
    EARLY_WEIGHT,
    FACTOR,
    MARKED,
    MASS,
    PULL,
    RESCUE_AT,
    RESCUED,
    ROOM,
    SCATTER,
    SEEN,
    SQUARE,
    TALLY,
    TOTAL,
    UNIT,
    WON,
    WORST_MASS,
)
from shoal.runtime import blas, pool
from shoal.runtime.kernel import plain_if_cheap
from shoal.runtime.progress import Ticker

__all__ = ["Course", "Dense", "Rules", "Sparse"]

Floats = NDArray[np.float64]
Rows = NDArray[np.floating[Any]]

LOOK = 1 << 11  # most rows of a product
ENTRIES = 1 << 17  # of it: 512 KB, which stays in the second-level cache
ALONE = 1 << 20  # products below which waking other threads takes longer than the work: 10,000 rows and 50 centres
LEAST = 256  # rows a look ahead is worth its overhead for
PLAIN_S = 5e-7  # seconds of plain Python for an entry of a row and a centre
BLOCK = 1 << 14  # most rows of a block
WORK = 1 << 26  # coordinate differences, or products of entries with sums, of a block at worst: 15 ms
AHEAD = 4  # a block is at most this part of the rows that count, so that centres hardly move in it
LIFETIMES = 128.0  # half lives in a block at most, and the power of two of the unit from which masses are scaled down
FORGOTTEN = 2.0**-400  # a mass, after that, without effect on where the next row takes its centre
LANES = 8  # centres a row of the transposed table is filled up to a multiple of
NOWHERE = 1e150  # where the filling lies


class Rules(NamedTuple):
    """How a stream learns."""

    k: int
    metric: str
    half_life: float | None
    share: float

    @property
    def unit(self) -> bool:
        """Whether centres stay on the sphere."""
        return self.metric == "cosine"

    @property
    def growth(self) -> float:
        """What the unit of masses grows by at every row."""
        return 1.0 if self.half_life is None else 2.0 ** (1.0 / self.half_life)

    @property
    def period(self) -> float:
        """Rows between two looks for a centre that wins too little."""
        return 10.0 * self.k

    @property
    def span(self) -> float:
        """Rows over which the inertia at first and of late are taken."""
        return max(1000.0, 20.0 * self.k)

    def numbers(self) -> Floats:
        """The rules as the walks take them."""
        return np.array([float(self.unit), self.growth, self.share, self.period, self.span])


class Course:
    """Centres on their way, with all that decides where they go next.

    Attributes
    ----------
    book : ndarray, shape (k, BOOK)
    tally : ndarray, shape (TALLY,)
    marked_centers : ndarray, shape (k, d)
    marked_share, marked_spread : ndarray, shape (k,)
        Share of the mass at the mark, and root mean square of the rows won before; NaN where none was.
    """

    kind = ""
    moving: ClassVar[tuple[str, ...]] = ()  # arrays that change with every row
    still: ClassVar[tuple[str, ...]] = ()  # and such that do not

    def __init__(self, rules: Rules, arrays: dict[str, Any]) -> None:
        self.rules = rules
        self.__dict__.update(arrays)
        self.book: Floats
        self.tally: Floats
        self.marked_centers: Floats
        self.marked_share: Floats
        self.marked_spread: Floats

    @classmethod
    def start(cls, rules: Rules, centers: Rows, mass: Floats, squares: Floats, fixed: Floats | None) -> Self:
        """Begin at centres that have won rows of this weight, at these summed squared distances."""
        C = np.array(centers, np.float64)
        if rules.unit:
            C /= np.sqrt((C * C).sum(axis=1, keepdims=True))
        free = np.ones(C.shape, bool)
        if fixed is not None:
            free = np.isnan(fixed)
            C = np.where(free, C, fixed)
        book, tally = np.zeros((len(C), BOOK)), np.zeros(TALLY)
        book[:, MASS], book[:, SCATTER], book[:, WON] = mass, squares, mass
        book[:, ROOM] = np.sqrt((np.where(free, C, 0.0) ** 2).sum(axis=1))
        book[:, PULL] = np.maximum(mass - squares / 2.0, 0.0) * book[:, ROOM]
        book[~free.any(axis=1), BORN] = np.inf
        tally[UNIT], tally[TOTAL], tally[SEEN] = 1.0, mass.sum(), mass.sum() // 1.0
        tally[RESCUE_AT] = tally[SEEN] + rules.period
        course = cls(rules, {"book": book, "tally": tally} | cls._laid_out(rules, C, free, book))
        course.mark()
        if mass.any():
            tally[EARLY], tally[EARLY_WEIGHT], tally[EARLY_END] = squares.sum(), mass.sum(), 0.0
        return course

    @classmethod
    def _laid_out(cls, rules: Rules, C: Floats, free: NDArray[np.bool_], book: Floats) -> dict[str, Any]:
        raise NotImplementedError

    @property
    def centers(self) -> Floats:
        """The centres as rows."""
        raise NotImplementedError

    @property
    def mass(self) -> Floats:
        """Weight won by every centre, faded."""
        found: Floats = self.book[:, MASS] / self.tally[UNIT]
        return found

    @property
    def counting(self) -> float:
        """Rows that count: all, or as many as the half life leaves."""
        seen = float(self.tally[SEEN])
        return seen if self.rules.half_life is None else min(seen, self.rules.half_life / math.log(2.0))

    def mark(self) -> None:
        """Measure drift from here on."""
        mass = self.book[:, MASS]
        self.marked_centers = self.centers.copy()
        self.marked_share = mass / max(float(mass.sum()), 1e-300)
        with np.errstate(invalid="ignore"):
            self.marked_spread = np.sqrt(self.book[:, SCATTER] / self.book[:, WON])
        self.book[:, [SCATTER, WON, RESCUED]] = 0.0
        self.tally[[EARLY, EARLY_WEIGHT]] = 0.0
        self.tally[MARKED] = self.tally[SEEN]
        self.tally[EARLY_END] = self.tally[SEEN] + self.rules.span

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """What the arrays are called that make a course."""
        return (*cls.moving, *cls.still, "marked_centers", "marked_share", "marked_spread")

    def arrays(self) -> dict[str, Any]:
        """Copies of them."""
        return {name: getattr(self, name).copy() for name in self.names()}

    def learn(self, X: Any, weights: Floats, ticker: Ticker | None = None) -> None:
        """Walk through the rows of a batch; where that is cut off, all is as before it."""
        parts = list(self._parts(X))
        saved = {name: getattr(self, name).copy() for name in self.moving} if len(parts) > 1 else {}
        entries = X.nnz if hasattr(X, "indptr") else X.size
        try:
            with plain_if_cheap(PLAIN_S * entries * self.rules.k):
                for i0, i1 in parts:
                    self._fade()
                    self._walk(X, weights, i0, i1)
                    if ticker is not None:
                        ticker.at(i1 / X.shape[0])
        except BaseException:
            self.__dict__.update(saved)
            raise

    def _parts(self, X: Any) -> Iterator[tuple[int, int]]:
        """Blocks of a batch; the result does not depend on them."""
        i0, n, count = 0, X.shape[0], self.counting
        limit = self._limit(X)
        if self.rules.half_life is not None:
            limit = min(limit, int(LIFETIMES * self.rules.half_life))
        while i0 < n:
            i1 = min(n, i0 + max(1, min(limit, max(LEAST, int(count / AHEAD)))))
            yield i0, i1
            count += (i1 - i0) * (self.rules.half_life is None)
            i0 = i1

    def _limit(self, X: Any) -> int:
        raise NotImplementedError

    def _walk(self, X: Any, weights: Floats, i0: int, i1: int) -> None:
        raise NotImplementedError

    def _fade(self) -> None:
        """Scale masses down before they overflow: by a power of two, so that no bit depends on when."""
        if self.tally[UNIT] > 2.0**LIFETIMES:
            self._scale_masses(2.0**-LIFETIMES)

    def _scale_masses(self, by: float) -> None:
        self.book[:, [MASS, PULL, BORN]] *= by
        self.book[self.book[:, MASS] < FORGOTTEN, MASS] = 0.0
        self.tally[[UNIT, TOTAL, WORST_MASS]] *= by


class _Room(NamedTuple):
    """What a task multiplies in. Kept from batch to batch: fresh pages took seven times as long as the product."""

    B: NDArray[np.float32]  # (d + 1, rows): the last line is 1, for the squared lengths of the centres
    F: NDArray[np.float32]  # (k, rows)
    lengths: Floats

    @classmethod
    def of(cls, k: int, d: int, size: int) -> _Room:
        """Room for so many rows."""
        return cls(np.ones((d + 1, size), np.float32), np.empty((k, size), np.float32), np.empty(size))


class Dense(Course):
    """Centres as columns of a table `CT` of shape (d, w), w at least k."""

    kind = "dense"
    moving = ("CT", "book", "tally", "worst")
    still = ("free",)

    CT: Floats
    free: Floats
    worst: Floats

    def __init__(self, rules: Rules, arrays: dict[str, Any]) -> None:
        super().__init__(rules, arrays)
        self.rooms: list[_Room] = []  # as many as threads have worked at once

    @classmethod
    def _laid_out(cls, rules: Rules, C: Floats, free: NDArray[np.bool_], book: Floats) -> dict[str, Any]:
        k, d = C.shape
        w = -(-k // LANES) * LANES
        w += LANES * (w % 512 == 0)  # columns a power of two apart share few places of the cache
        table, mask = np.full((d, w), NOWHERE), np.zeros((d, w))
        table[:, :k], mask[:, :k] = C.T, free.T
        return {"CT": table, "free": mask, "worst": np.zeros(d)}

    @property
    def centers(self) -> Floats:
        """The centres as rows."""
        return np.ascontiguousarray(self.CT[:, :self.rules.k].T)

    def _limit(self, X: Any) -> int:
        return int(min(BLOCK, max(1, WORK // self.CT.size)))

    def _walk(self, X: Any, weights: Floats, i0: int, i1: int) -> None:
        rows = np.ascontiguousarray(X[i0:i1].toarray() if hasattr(X, "indptr") else X[i0:i1])[:]
        rows.setflags(write=False)  # kernels are compiled for one kind of array only
        n, w = len(rows), self.CT.shape[1]
        near, second = np.zeros(n, np.int32), np.full(n, -1.0)
        if n >= LEAST and AHEAD * n <= self.counting:
            self._look_ahead(rows, near, second)
        kernels.walk(rows, weights[i0:i1], near, second, self.CT, self.free, self.book, self.tally, self.worst, np.empty(w),
                     np.zeros(w), self.rules.numbers())

    def _look_ahead(self, rows: Rows, near: NDArray[np.int32], second: Floats) -> None:
        """Find every row's nearest centre as they are now, and a bound below the distance of all others.

        The error of a dot product of d + 1 numbers in float32, and of rounding them to it, is below (d + 8) · 2⁻²⁴ times
        the product of the lengths; the slack is four times that of ‖c‖² - 2 x·c.
        """
        k, d = self.rules.k, rows.shape[1]
        C = self.centers
        origin = C.mean(axis=0)
        C -= origin
        scale = 2.0 ** -math.frexp(float(np.abs(C).max()))[1]
        A = np.empty((k, d + 1), np.float32)
        np.multiply(C, -2.0 * scale, out=A[:, :d], casting="same_kind")
        A[:, d] = 0.25 * np.square(A[:, :d]).sum(axis=1)
        longest, slack = float(A[:, d].max()), (d + 8) * 2.0**-22

        size = max(LEAST, min(LOOK, ENTRIES // k))

        def work(i0: int, i1: int) -> None:
            m, room = i1 - i0, self.rooms.pop() if self.rooms else _Room.of(k, d, size)
            kernels.lay_out(rows, origin, scale, i0, i1, room.B, room.lengths)
            with np.errstate(all="ignore"):  # a row too far for float32 is looked at again
                np.matmul(A, room.B[:, :m], out=room.F[:, :m])
            kernels.two_nearest(room.F, room.lengths, longest, slack, 1.0 / scale, i0, i1, near, second)
            self.rooms.append(room)

        blocks = pool.blocks(len(rows), size)
        with blas.one_thread():
            if len(rows) * k < ALONE:
                for block in blocks:
                    work(*block)
            else:
                pool.run(work, blocks)


class Sparse(Course):
    """Centres as factors times the weighted sums of the rows they won, the columns of `V` of shape (d, k)."""

    kind = "sparse"
    moving = ("V", "lines", "book", "tally", "worst")

    V: Floats
    lines: Floats
    worst: Floats  # values and columns

    @classmethod
    def _laid_out(cls, rules: Rules, C: Floats, free: NDArray[np.bool_], book: Floats) -> dict[str, Any]:
        won = book[:, PULL if rules.unit else MASS]
        V = np.ascontiguousarray((C * np.where(won > 0.0, won, 1.0)[:, None]).T)
        book[:, SQUARE] = (V * V).sum(axis=0)
        lines = np.stack([1.0 / np.where(won > 0.0, won, 1.0), (C * C).sum(axis=1)])
        return {"V": V, "lines": lines, "worst": np.zeros((2, len(V)))}

    @property
    def centers(self) -> Floats:
        """The centres as rows."""
        return np.ascontiguousarray((self.V * self.lines[FACTOR]).T)

    def _limit(self, X: Any) -> int:
        entries = int(X.nnz) // max(1, X.shape[0]) + 1  # a batch may be empty
        return int(max(1, WORK // (self.rules.k * entries)))

    def _walk(self, X: Any, weights: Floats, i0: int, i1: int) -> None:
        data, columns, start = frozen_rows(X)
        kernels.walk_sparse(data, columns, start[i0:i1 + 1], weights[i0:i1], self.V, self.lines, self.book, self.tally,
                            self.worst, np.empty(self.rules.k), self.rules.numbers())

    def _scale_masses(self, by: float) -> None:
        gone = self.book[:, MASS] * by < FORGOTTEN
        self.V[:, gone], self.lines[FACTOR, gone] = self.centers[gone].T, 1.0
        self.V[:, ~gone] *= by
        self.lines[FACTOR, ~gone] /= by
        self.book[~gone, SQUARE] *= by * by
        super()._scale_masses(by)
