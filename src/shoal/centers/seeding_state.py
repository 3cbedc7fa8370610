"""What seeding keeps of every point while centres are placed: the nearest one, and the squared distance to it.

Candidates are first offered, many at once where that is cheaper; then it is asked what some of them would take off the
potential, and one is taken. The three ways to measure give one result: gains may be off in the digits that the precision
of the points leaves open, but what a point keeps is float64 from one formula, so that what is drawn is exact.

Tiles, for few features or few centres: as soon as there are some centres, points are laid out anew, those with the same
nearest centre together and by their distance from it. A tile is then a shell around a centre, and the triangle inequality
tells which tiles a candidate cannot matter to. Rows, for the others: products of matrices with a whole batch of
candidates. Postings, for sparse rows: a candidate meets only the rows it shares features with.

Sources: Elkan, Using the triangle inequality to accelerate k-means, ICML 2003; Raff, Exact acceleration of k-means++ and
k-means‖, IJCAI 2021; Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1 (error of a product).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.centers import seeding_kernels as kernels
from shoal.runtime import pool

__all__ = ["FEW_FEATURES", "State", "multiplies", "state_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Array = NDArray[np.floating[Any]]

# Milliseconds by tiles and by products, 100,000 rows of normal data. 100 centres: 8 features 148 and 203, 12: 201 and 223,
# 16: 290 and 255, 48: 919 and 377. 24 features: 16 centres 61 and 79, 32: 136 and 174, 64: 248 and 211.
FEW_FEATURES = 12
FEW_CENTRES = 1024  # of centres times features
WIDTH = {"tiles": 128, "products": 256}
FIRST_ORDER = 16  # centres after which points are laid out by them; then whenever there are ORDER_AGAIN times as many
ORDER_AGAIN = 4
TILES_EACH = 4  # tiles there must be for every centre: with fewer, most of a tile is padding
BATCH = 128  # candidates whose products are made at once: 40e9 multiplications a second, 13e9 with 16
TABLE = 1 << 25  # products that are kept, at most: 128 MB
TASK = 1 << 22  # coordinate differences a task computes: about half a millisecond
POSTINGS = 1 << 22  # entries of a sparse array a task passes over, but for a feature's list: 5 ms
BLIND = 0.01  # share of the mean square that products in float32 may be off by
LEAST = 1e-30  # of rows of size 1: products that underflow are far below


class State:
    """Every point's squared distance to its nearest centre, in tiles, and what they sum to.

    Parameters
    ----------
    n, width : int
        Points, and points in a tile.
    weights : ndarray of float64, shape (n,), optional
    scale : float
        A power of two: squares are kept times scale², so that none overflows or vanishes.

    Attributes
    ----------
    total : float
        The potential Σ weight·square, times scale².
    count : int
        Centres so far.
    batch : int
        How many candidates are worth offering at once, unless only a few are wanted.
    """

    batch = 1

    def __init__(self, n: int, width: int, weights: Floats | None, scale: float) -> None:
        self.n, self.width, self.scale, self.weights = n, width, scale, weights
        self.count, self.total = 0, math.inf
        order = np.full(-(-n // width) * width, -1)
        order[:n] = np.arange(n)
        self._lay_out(order, np.full(n, np.inf), np.zeros(n, np.int32))

    def draw(self, uniforms: Floats) -> Ints:
        """Return points drawn proportional to weight·square, one for every uniform number in [0, 1)."""
        places = [kernels.draw(self.upto, self.mass, self.square, float(u) * self.total) for u in uniforms]
        return self.order.reshape(-1)[places]

    def squares(self, points: Any = slice(None)) -> Floats:
        """Squared distances of points, times scale²."""
        return np.asarray(self.square.reshape(-1)[self.place[points]])

    def labels(self) -> NDArray[np.int32]:
        """Numbers of the nearest centres."""
        return self.label.reshape(-1)[self.place]

    def row(self, i: int) -> Any:
        """Row i of the data as `offer` takes it."""
        raise NotImplementedError

    def point(self, x: Array) -> Any:
        """A dense point in the data's units as `offer` takes it."""
        raise NotImplementedError

    def offer(self, candidates: Sequence[Any]) -> None:
        """Make ready to measure these candidates."""
        raise NotImplementedError

    def gains(self, which: Ints) -> Floats:
        """How much each of these of the offered candidates would take off the potential."""
        raise NotImplementedError

    def take(self, which: int, number: int) -> None:
        """Place an offered candidate as centre `number`."""
        self._measure(which, number)
        self.count += 1
        self._sum_up()

    def _measure(self, which: int, number: int) -> None:
        raise NotImplementedError

    def _sum_up(self) -> None:
        self.upto = np.cumsum(self.sums)
        self.total = float(self.upto[-1])

    def _lay_out(self, order: Ints, square: Floats, label: NDArray[np.int32]) -> None:
        """Put the points into tiles in the given order; -1 in it is padding: no mass, distance 0."""
        self.order = order.reshape(-1, self.width)
        inside = np.flatnonzero(order >= 0)
        self.place = np.empty(self.n, np.int64)
        self.place[order[inside]] = inside
        tables = []
        for values in (np.ones(self.n) if self.weights is None else self.weights, square, label):
            table = np.zeros(self.order.shape, values.dtype)
            table.reshape(-1)[self.place] = values
            tables.append(table)
        self.mass, self.square, self.label = tables
        self.sums = np.zeros(len(self.order))


class _Tiles(State):
    """Dense rows of few features; `expected` is the number of centres there will be."""

    def __init__(self, X: Array, weights: Floats | None, expected: int) -> None:
        n, d = X.shape
        self.X, self.expected, self.next_order = X, expected, FIRST_ORDER
        self.placed: dict[int, Floats] = {}
        super().__init__(n, min(WIDTH["tiles"], n), weights, _scale(X))
        self._fill()
        self.home, self.ref = np.zeros((d, 1)), np.zeros(len(self.order), np.int64)
        self.radius = np.full(len(self.order), np.inf)  # no home yet: every tile is in reach
        self.reach = self.radius.copy()

    def row(self, i: int) -> Array:
        """Row i, scaled."""
        return self.point(self.X[i])

    def point(self, x: Array) -> Array:
        """A point, scaled."""
        return x * self.X.dtype.type(self.scale)

    def offer(self, candidates: Sequence[Array]) -> None:
        """Make ready to measure these candidates."""
        self.offered = np.stack(candidates)

    def gains(self, which: Ints) -> Floats:
        """How much each of these of the offered candidates would take off the potential."""
        C = self.offered[which]
        tiles, gap = self._in_reach(C)

        def work(i0: int, i1: int, out: Floats) -> None:
            kernels.gains_by_tiles(self.block, tiles[i0:i1], C, self.ref, self.reach, gap, self.mass, self.square,
                                   np.empty(self.width, C.dtype), np.empty((len(C), self.width)), out)

        return _sum_of_parts(work, pool.blocks(len(tiles), max(1, TASK // (C.size + 4 * len(C)) // self.width)), len(C))

    def _measure(self, which: int, number: int) -> None:
        c = self.offered[which].astype(np.float64)  # which makes the loop one of float64
        tiles, _ = self._in_reach(c[None])

        def work(i0: int, i1: int) -> None:
            kernels.take_by_tiles(self.block, tiles[i0:i1], c, number, self.radius, self.mass, self.square, self.label,
                                  self.sums, self.reach, np.empty(self.width))

        _run(work, pool.blocks(len(tiles), max(1, TASK // (2 * len(c) + 8) // self.width)))
        self.placed[number] = c
        if len(self.placed) == self.next_order:
            self.next_order *= ORDER_AGAIN
            self._lay_out_by_centre()

    def _in_reach(self, C: Array) -> tuple[Ints, Floats]:
        gap, found = np.empty((len(C), self.home.shape[1])), np.empty(len(self.order), np.int64)
        return found[:kernels.tiles_in_reach(self.home, C, self.ref, self.reach, gap, found)], gap

    def _lay_out_by_centre(self) -> None:
        """Sort the points by (nearest centre, distance to about a hundredth, index), a centre's from a new tile on."""
        numbers = np.array(sorted(self.placed))
        few = len(numbers) * TILES_EACH * self.width <= self.n and 2 * len(numbers) <= self.expected
        if not few or len(numbers) > 1 << 16 or self.n > 1 << 32:  # of the key's 64 bits centres have 16, points 32
            return
        square, label = self.squares(), self.labels()
        owner = np.searchsorted(numbers, label)
        ring = square.astype(np.float32).view(np.uint32) >> 16  # positive floats are in the order of their bits
        key = np.sort(owner.astype(np.uint64) << 48 | ring.astype(np.uint64) << 32 | np.arange(self.n, dtype=np.uint64))
        members = np.bincount(owner, minlength=len(numbers))
        tiles = -(-members // self.width)
        padding = np.cumsum(tiles * self.width - members) - (tiles * self.width - members)  # before a centre's points
        order = np.full(int(tiles.sum()) * self.width, -1)
        order[np.arange(self.n) + np.repeat(padding, members)] = key & np.uint64(0xFFFFFFFF)
        self._lay_out(order, square, label)
        self._fill()
        self.home = np.stack([self.placed[number] for number in numbers.tolist()], axis=1)
        self.ref = np.repeat(np.arange(len(numbers)), tiles)
        self.radius = np.empty(len(self.order))
        kernels.sum_tiles(self.mass, self.square, self.sums, self.radius)
        self.reach = 2.0 * self.radius

    def _fill(self) -> None:
        d, scale = self.X.shape[1], self.X.dtype.type(self.scale)
        self.block = np.empty((len(self.order), d, self.width), self.X.dtype)
        _run(lambda t0, t1: kernels.fill_tiles(self.X, scale, self.order, t0, t1, self.block),
             pool.blocks(len(self.order), max(1, TASK // 4 // self.width // d)))


class _ByProducts(State):
    """What measures by ‖x‖² + ‖c‖² - 2 x·c: `dots` has a row of products for every offered candidate."""

    def __init__(self, n: int, weights: Floats | None, scale: float) -> None:
        super().__init__(n, min(WIDTH["products"], n), weights, scale)
        self.length = np.zeros(self.order.shape)
        self.own: Floats = np.empty(0)
        self.dots: NDArray[Any] = np.empty((0, *self.order.shape))

    def gains(self, which: Ints) -> Floats:
        """How much each of these of the offered candidates would take off the potential."""
        def work(t0: int, t1: int, out: Floats) -> None:
            kernels.gains_by_products(self.length, self.own, self.dots, which, t0, t1, self.mass, self.square,
                                      np.empty((len(which), self.width)), out)

        return _sum_of_parts(work, self._parts(4 * len(which)), len(which))

    def _parts(self, each: int) -> list[tuple[int, int]]:
        return pool.blocks(len(self.order), max(1, TASK // each // self.width))


class _Rows(_ByProducts):
    """Dense rows of many features."""

    def __init__(self, X: Array, weights: Floats | None) -> None:
        n, d = X.shape
        super().__init__(n, weights, _scale(X))
        self.X, self.batch = X, max(1, min(BATCH, TABLE // n))
        self.middle = X[::max(1, n // 4096)].mean(axis=0, dtype=np.float64) * self.scale
        self.near = np.empty((n, d), np.float32)
        length = self.length.reshape(-1)

        def work(i0: int, i1: int) -> None:
            rows = self._centred(i0, i1)
            self.near[i0:i1] = rows
            length[i0:i1] = np.einsum("ij,ij->i", rows, rows)

        self.table = self.dots
        self.blocks = pool.blocks(n, max(64, TASK // 16 // (d + self.batch)))
        pool.run(work, self.blocks)

    def _centred(self, i0: int, i1: int) -> Floats:
        return np.asarray(self.X[i0:i1] * self.scale - self.middle)

    def row(self, i: int) -> Array:
        """Row i."""
        x: Array = self.X[i]
        return x

    def point(self, x: Array) -> Array:
        """The point."""
        return x

    def offer(self, candidates: Sequence[Array]) -> None:
        """Multiply all rows with these candidates; in float32 where that can tell the distances apart."""
        self.offered = np.stack(candidates).astype(np.float64)
        C = self.offered * self.scale - self.middle
        self.own = np.einsum("ij,ij->i", C, C)
        noise = self._loss(np.float32) * self.length.max()
        float32 = self.count == 0 or noise * self.mass.sum() <= BLIND * self.total
        C = C.astype(np.float32 if float32 else np.float64)
        if len(self.table) < len(C) or self.table.dtype != C.dtype:  # else the last one serves: fresh pages cost as much
            self.table = np.zeros((max(len(C), self.batch), *self.order.shape), C.dtype)
        self.dots = self.table[:len(C)]
        table = self.dots.reshape(len(C), -1)

        def work(i0: int, i1: int) -> None:
            rows = self.near[i0:i1] if float32 else self._centred(i0, i1)
            np.matmul(C, rows.T, out=table[:, i0:i1])

        pool.run(work, self.blocks)

    def _loss(self, dtype: Any) -> float:
        """What a squared distance by products may be off by, as a share of ‖x‖² + ‖c‖²: d + 4 roundings."""
        return float((self.X.shape[1] + 4) * np.finfo(dtype).eps / 2)

    def _measure(self, which: int, number: int) -> None:
        c, loss = self.offered[which], self._loss(self.dots.dtype)
        each = 16 + len(c) // (1 + self.count)  # of the rows, about 1 in count + 1 are looked at

        def work(t0: int, t1: int) -> None:
            kernels.take_by_rows(self.X, self.scale, c, self.length, self.own[which], self.dots[which], loss, LEAST, number,
                                 t0, t1, self.mass, self.square, self.label, self.sums)

        _run(work, self._parts(each))


class _SparseRow(NamedTuple):
    """A candidate as its features other than zero, ascending, and their scaled values."""

    features: NDArray[np.integer[Any]]
    values: Floats


class _Postings(_ByProducts):
    """Sparse rows, as lists of the rows that have a feature."""

    def __init__(self, X: Any, weights: Floats | None) -> None:
        super().__init__(X.shape[0], weights, _scale(X.data))
        self.X, columns = X, X.tocsc()
        self.begin, self.rows = columns.indptr, columns.indices
        self.values = columns.data.astype(np.float64) * self.scale
        values, length = X.data.astype(np.float64) * self.scale, self.length.reshape(-1)
        pool.run(lambda i0, i1: kernels.squared_lengths(X.indptr, values, i0, i1, length), pool.blocks(self.n, 1 << 14))

    def row(self, i: int) -> _SparseRow:
        """Row i, scaled."""
        begin, end = self.X.indptr[i], self.X.indptr[i + 1]
        return _SparseRow(self.X.indices[begin:end], self.X.data[begin:end].astype(np.float64) * self.scale)

    def point(self, x: Array) -> _SparseRow:
        """A point's features, scaled."""
        features = np.flatnonzero(x)
        return _SparseRow(features, x[features].astype(np.float64) * self.scale)

    def offer(self, candidates: Sequence[_SparseRow]) -> None:
        """Multiply all rows with these candidates."""
        self.own, self.dots = np.empty(len(candidates)), np.zeros((len(candidates), *self.order.shape))
        slices = []
        for i, (features, values) in enumerate(candidates):
            kernels.squared_lengths(np.array([0, len(values)]), values, 0, 1, self.own[i:i + 1])
            entries = np.cumsum(self.begin[features + 1] - self.begin[features], dtype=np.int64) // POSTINGS
            slices.append(np.r_[np.flatnonzero(np.diff(entries, prepend=-1)), len(features)])

        def work(i: int, j0: int, j1: int) -> None:
            features, values = candidates[i]
            kernels.add_products(self.begin, self.rows, self.values, features[j0:j1], values[j0:j1],
                                 self.dots[i].reshape(-1))

        for r in range(max(map(len, slices)) - 1):  # a candidate's slices one after another, for the order of its sums
            _run(work, [(i, s[r], s[r + 1]) for i, s in enumerate(slices) if r + 1 < len(s)])

    def _measure(self, which: int, number: int) -> None:
        def work(t0: int, t1: int) -> None:
            kernels.take_by_products(self.length, self.own[which], self.dots[which], number, t0, t1, self.mass, self.square,
                                     self.label, self.sums, np.empty(self.width))

        _run(work, self._parts(8))


def multiplies(X: Any, expected: int) -> bool:
    """Whether placing that many centres takes products of matrices."""
    d = X.shape[1]
    return isinstance(X, np.ndarray) and d > FEW_FEATURES and d * expected > FEW_CENTRES


def state_of(X: Any, weights: Floats | None, expected: int) -> State:
    """Return the state before any centre. `expected` is the number of centres there will be."""
    if not isinstance(X, np.ndarray):
        return _Postings(X, weights)
    return _Rows(X, weights) if multiplies(X, expected) else _Tiles(X, weights, expected)


def _sum_of_parts(work: Callable[..., None], parts: Sequence[tuple[int, int]], size: int) -> Floats:
    """Call work(start, stop, out) for every part, with a row of its own, and add the rows up in order."""
    rows = np.zeros((len(parts), size))
    _run(work, [(*part, row) for part, row in zip(parts, rows, strict=True)])
    return np.asarray(rows.sum(axis=0))


def _run(work: Callable[..., None], tasks: Sequence[Sequence[Any]]) -> None:
    """Run the tasks; one alone on this thread, as handing it over takes longer than most of them."""
    if len(tasks) == 1:
        work(*tasks[0])
    else:
        pool.run(work, tasks)


def _scale(values: Array) -> float:
    """The power of two that brings the largest value to between ½ and 1: squares then neither overflow nor vanish."""
    largest = max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
    return math.ldexp(1.0, min(-math.frexp(largest)[1], 1000))
