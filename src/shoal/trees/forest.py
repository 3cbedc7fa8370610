"""Borůvka's rounds: every round, every tree of a forest takes its shortest edge to another one.

What keeps a round cheap: a point whose neighbour is still foreign is not searched again; a point is searched only within
its tree's shortest edge known so far; every point keeps a list of its nearest, found once, so that most rounds search for
few; and the largest tree takes no edge: the others' reach it, and most of the searching would be its.

Edges are ordered by (squared length, smaller item, larger item), so the tree is unique, also under ties, and does not
depend on threads: what they share is only a bound that never cuts off the shortest edge.

Sources: Borůvka 1926; Bentley & Friedman 1978; March, Ram & Gray 2010, doi:10.1145/1835804.1835882 (bounds by tree).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.runtime import pool
from shoal.runtime.progress import Ticker
from shoal.trees import spanning_kernels as kernels
from shoal.trees.merges import Floats, Ints

__all__ = ["Forest", "Problem", "SpanningTree", "grow", "in_order", "index_type"]

POINTS = 1 << 16  # points, or trees, that a task passes over: well below a millisecond a round


class SpanningTree(NamedTuple):
    """A minimum spanning tree, or forest, its edges from the shortest to the longest.

    Attributes
    ----------
    a, b : ndarray of int64, shape (m,)
        The items an edge joins, a < b; m = n - 1 for a tree.
    length : ndarray of float64, shape (m,)
    """

    a: Ints
    b: Ints
    length: Floats


class Problem(NamedTuple):
    """Points, scaled so that squares are within the range of numbers, and the edges known from the start."""

    X: NDArray[np.floating[Any]]
    core: Floats | None  # squared core distances
    item: Ints  # of a row; ascending
    most: float  # squared length beyond which edges are not wanted
    scale: float
    first: Ints  # the first of equal rows, and another one: an edge of length 0
    equal: Ints

    @classmethod
    def of(cls, X: NDArray[np.floating[Any]], core: Floats | None, stop: float) -> Problem:
        """Scale by a power of two; 1 as a rule."""
        largest = max(float(X.max()), -float(X.min()))
        scale = 2.0 ** -math.frexp(largest)[1] if largest > 1e145 or 0.0 < largest < 1e-145 else 1.0
        if core is not None and scale * float(core.max()) > 1e150:
            raise InputError(f"A core distance of {core.max():g} is too large beside coordinates of at most {largest:g}.",
                             "Core distances are those to near points.")
        return cls(X if scale == 1.0 else np.asarray(X, np.float64) * scale, None if core is None else (scale * core)**2,
                   np.arange(len(X)), scale * stop * (scale * stop) * (1 + 1e-9), scale, np.empty(0, int), np.empty(0, int))

    def distinct(self) -> Problem:
        """Leave out rows that are equal to an earlier one, both of core distance 0: m of them would take m² steps."""
        first = _first_of_equal(self.X, self.core)
        own = first == self.item
        equal = np.flatnonzero(~own)
        if not len(equal):
            return self
        return self._replace(X=self.X[own], core=None if self.core is None else self.core[own], item=self.item[own],
                             first=first[equal], equal=equal)

    def solved(self, a: Ints, b: Ints, squares: Floats) -> SpanningTree:
        """The tree of all items."""
        length = np.sqrt(squares) / self.scale
        return in_order(np.append(self.first, a), np.append(self.equal, b), np.append(np.zeros(len(self.first)), length))


def _first_of_equal(X: NDArray[np.floating[Any]], core: Floats | None) -> Ints:
    """The first row equal to each, among those of core distance 0."""
    n, d = X.shape
    key, bits = np.empty(n, np.uint64), np.uint64 if X.itemsize == 8 else np.uint32

    def number(i0: int, i1: int) -> None:
        rows = X[i0:i1] + X.dtype.type(0)  # no -0.0: equal rows have equal bits
        kernels.number_rows(rows.view(bits), key[i0:i1])

    pool.run(number, pool.blocks(n, POINTS // d + 1))
    order = np.argsort(key, kind="stable")
    same = key[order[1:]] == key[order[:-1]]
    some = np.sort(order[np.append(same, False) | np.append(False, same)])
    first, seen = np.arange(n), dict[bytes, int]()
    for i in (some if core is None else some[core[some] == 0.0]).tolist():
        first[i] = seen.setdefault((X[i] + X.dtype.type(0)).tobytes(), i)
    return first


class Forest(NamedTuple):
    """The forest of a round, by position; lengths are squared."""

    item: Ints  # the item at a position
    tree: Ints  # the tree it is in
    near: Ints  # the position of its nearest foreign point, or -1
    bound: Floats  # distance to it, or below which there is no foreign point
    shortest: Floats  # of every tree: length of an edge out of it, the shortest known so far
    core: Floats  # core distance of a position; empty without mutual reachability
    listed: Ints  # positions of its nearest points, in the order of (distance, item), -1 where the list ends
    squares: Floats  # their distances
    reach: Floats  # what is not listed comes after (reach, the last listed)
    next: Ints  # the first in a point's list that may be foreign

    @classmethod
    def of(cls, item: Ints, core: Floats | None, listed: Ints, squares: Floats, reach: Floats, most: float) -> Forest:
        """Every point a tree of its own."""
        n, index = len(item), listed.dtype
        return cls(item.astype(index), np.arange(n, dtype=index), np.full(n, -1, index), np.zeros(n), np.full(n, most),
                   np.empty(0) if core is None else core, listed, squares, reach, np.zeros(n, np.int8))


def grow(f: Forest, search: Callable[[Forest], None], most: float, ticker: Ticker | None,
         begun: float = 0.0) -> tuple[Ints, Ints, Floats]:
    """Join the trees until one is left, or no edge up to `most` is.

    Parameters
    ----------
    f : Forest
    search : callable
        Finds the nearest foreign neighbours that the trees need and the lists do not tell.
    most : float
        Squared length.
    ticker : Ticker, optional
    begun : float
        The share of the whole work that is done already.

    Returns
    -------
    a, b : ndarray of int, shape (m,)
        The items an edge joins, a < b.
    squares : ndarray of float64, shape (m,)
    """
    n, index = len(f.tree), f.tree.dtype
    a, b, length = np.empty(n, index), np.empty(n, index), np.empty(n)
    alive, root, size = np.arange(n, dtype=index), np.arange(n, dtype=index), np.ones(n, index)
    edge, found, made, left = np.full(n, -1, index), np.empty(n, index), 0, n
    blocks = pool.blocks(n, POINTS)
    ends = np.empty(len(blocks), np.int64)

    def gather(p0: int, p1: int) -> None:
        ends[p0 // POINTS] = kernels.collect(f, p0, p1, found)

    def hang(x0: int, x1: int) -> None:
        ends[x0 // POINTS] = kernels.hang(f, alive, x0, x1, edge, root, a[made:], b[made:], length[made:])

    while left > 1:
        pool.run(lambda p0, p1: kernels.look_up(f, p0, p1), blocks)
        search(f)
        pool.run(gather, blocks)
        for (p0, _), end in zip(blocks, ends.tolist(), strict=True):
            kernels.choose(f, found, p0, end, edge)
        trees = pool.blocks(left, POINTS)
        pool.run(hang, trees)
        begin, left = made, 0
        for (x0, x1), end in zip(trees, ends[:len(trees)].tolist(), strict=True):
            for column in (a, b, length):
                column[made:made + end - x0] = column[begin + x0:begin + end]
            made += end - x0
            left = kernels.thin(f, alive, x0, x1, left, edge, root, size, most)
        if made == begin:
            break
        pool.run(lambda p0, p1: kernels.rename(f.tree, root, p0, p1), blocks)
        f.shortest[alive[np.argmax(size[alive[:left]])]] = -1.0
        if ticker is not None:
            ticker.at(begun + (1.0 - begun) * made / (n - 1))
    return a[:made], b[:made], length[:made]


def in_order(a: Ints, b: Ints, length: Floats) -> SpanningTree:
    """Sort edges by (length, smaller item, larger item)."""
    by = np.argsort(length)
    ordered = length[by]
    tied = np.zeros(len(by), bool)
    tied[1:] = ordered[1:] == ordered[:-1]
    tied[:-1] |= tied[1:]
    some = by[tied]
    by[tied] = some[np.lexsort((b[some], a[some], length[some]))]  # of all, this would take five times as long
    first, second = np.empty(len(by), np.int64), np.empty(len(by), np.int64)

    def place(x0: int, x1: int) -> None:
        first[x0:x1], second[x0:x1] = a[by[x0:x1]], b[by[x0:x1]]

    pool.run(place, pool.blocks(len(by), 2 * POINTS))
    return SpanningTree(first, second, ordered)


def index_type(n: int) -> type[np.signedinteger[Any]]:
    """The integers that positions are kept in."""
    return np.int32 if n < 2**31 else np.int64
