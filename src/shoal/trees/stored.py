"""Exact trees over a stored distance matrix, for all seven methods, in place in one condensed matrix.

Four ways through the matrix, chosen by the method:

- single: the minimum spanning tree by Borůvka's rounds. The matrix is only read.
- complete, average, weighted, ward: these are reducible (two clusters that merge never come closer to a third than the
  nearer of them was), so every pair of reciprocal nearest neighbours can merge at once. A round merges all such pairs,
  writes the smaller matrix over the old one in one stream, and finds the new nearest neighbours on the way.
- the same four when few pairs are reciprocal (ties, chains, hubs): a nearest-neighbour chain, O(n²) in the worst case,
  until half of the clusters are left, then rounds again.
- centroid, median: not reducible; the closest pair, one after the other, with a cached lower bound for every row.

Sources: Lance & Williams 1967 (the update formula); Murtagh 1983 and Müllner 2011, arXiv:1109.2378 (chain, generic
algorithm); Borůvka 1926. Figures: docs/decisions/0003-stored-matrix.md.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.runtime import pool
from shoal.runtime.progress import Progress, Ticker
from shoal.trees import stored_kernels as kernels
from shoal.trees.merges import Floats, Ints, Merges, canonical

__all__ = ["METHODS", "SQUARED", "linkage_stored", "peak_bytes"]

METHODS = ("single", "complete", "average", "weighted", "ward", "centroid", "median")
SQUARED = ("ward", "centroid", "median")  # their recurrences hold for squared distances
COMPLETE, LINEAR, WARD = 0, 1, 2  # forms of the update formula, see lance_williams

BLOCK = 1 << 19  # matrix entries a task passes over: 1 to 3 ms
GROUP = 8  # tasks of a round whose rows are made in scratch before they are copied down
LANES = 256  # columns whose minima are kept side by side
FEW = 16  # a round that would merge fewer than a 16th of the clusters is left to the chain
SLICE = 4_000_000  # entries between two looks at the clock in the sequential parts: at most about 30 ms


def peak_bytes(n: int, itemsize: int = 8, method: str = "average") -> int:
    """Peak bytes of the engine: the matrix, the scratch of a round (single only reads it), and columns of n entries."""
    pairs = n * (n - 1) // 2
    scratch = 0 if method == "single" else min(pairs, GROUP * (BLOCK + n))
    return itemsize * (pairs + scratch) + (200 + 40 * pool.threads()) * n


def linkage_stored(D: NDArray[np.floating[Any]], n: int, method: str, weights: Floats | None = None, *,
                   squared: bool = False, progress: Progress = None) -> Merges:
    """Build the tree of a condensed distance matrix, which is overwritten unless the method is single.

    Parameters
    ----------
    D : ndarray of float32 or float64, shape (n(n-1)/2,)
        Distances in scipy's condensed order; the engine's working memory from now on.
    n : int
        Number of items.
    method : str
        One of `METHODS`.
    weights : ndarray, shape (n,), optional
        An item of weight w stands for w equal items.
    squared : bool
        D holds squared distances already (ward, centroid, median).
    progress : callable, bool or None
        See `shoal.runtime.progress`.

    Returns
    -------
    Merges

    Notes
    -----
    O(n²) time for all but centroid and median, which take O(n²) as a rule and O(n³) at worst; O(n) memory beside D.
    Sums run in float64 whatever the matrix's type; a float32 matrix rounds every update to 6e-8.
    """
    if n == 1:
        nothing = np.empty(0, np.int64)
        return canonical(nothing, nothing, np.empty(0))
    with Ticker(progress, f"{method} linkage of {n:,} items") as ticker:
        if method == "single":
            return _single(D, n, ticker)
        weight = np.ones(n) if weights is None else np.array(weights, np.float64)
        scale = _prepare(D, n, method, weight, squared)
        found = _Engine(D, n, method, weight, ticker).merge_all()
    h = np.sqrt(np.maximum(found.h, 0.0)) / scale if method in SQUARED else found.h
    if method in ("centroid", "median"):
        return canonical(found.a, found.b, h)
    return _in_height_order(found.a, found.b, h)


def _prepare(D: NDArray[np.floating[Any]], n: int, method: str, weight: Floats, squared: bool) -> float:
    """Turn distances into working values in place; return the power of two they were scaled by."""
    scale = 1.0
    square = method in SQUARED and not squared
    if square:
        largest = float(D.max())
        limit = 1e15 if D.dtype == np.float32 else 1e145  # beyond, squares times weights would leave the range
        if largest > limit or 0.0 < largest < 1.0 / limit:
            scale = 2.0 ** -math.frexp(largest)[1]
    ward = method == "ward" and bool((weight != 1.0).any())
    if square or ward:
        pool.run(lambda i0, i1, start: kernels.sized(D, start, n, i0, i1, scale, square, ward, weight),
                 pool.triangle_blocks(n, BLOCK))
    return scale


class _Found(NamedTuple):
    """The merges made: an item of either side, and the working height."""

    a: Ints
    b: Ints
    h: Floats

    @classmethod
    def room(cls, n: int) -> _Found:
        return cls(np.empty(n - 1, np.int64), np.empty(n - 1, np.int64), np.empty(n - 1))


class _Next(NamedTuple):
    """The clusters of the next stage: their one or two old slots, and what the update formula needs of each."""

    first: Ints
    second: Ints  # -1 for a cluster that stays as it is
    gap: Floats
    share: Floats
    pairs: Ints  # the clusters that have two slots

    @classmethod
    def of(cls, first: Ints, second: Ints, gap: Floats, share: Floats) -> _Next:
        return cls(first, second, gap, share, np.flatnonzero(second >= 0))


class _Seen(NamedTuple):
    """One task's nearest neighbours: distances and indices, and scratch for the search."""

    best: Floats
    arg: Ints
    lane: Floats
    chunk: Ints


class _State(NamedTuple):
    """The clusters of a sequential stage, by slot."""

    weight: Floats
    item: Ints
    alive: NDArray[np.bool_]
    nn: Ints
    nnd: Floats
    born: Ints  # merges made when the slot's cluster came to be
    looked: Ints  # merges made when its neighbour was searched
    chain: Ints
    to_i: NDArray[np.floating[Any]]
    to_j: NDArray[np.floating[Any]]
    masked: NDArray[np.floating[Any]]
    lane: Floats
    chunk: Ints
    a: Ints
    b: Ints
    h: Floats


class _Nearest:
    """Every cluster's nearest neighbour, gathered from tasks: minima of (distance, index) do not depend on their order."""

    def __init__(self, n: int) -> None:
        self.nn, self.nnd = np.full(n, -1, np.int64), np.full(n, math.inf)
        self._lock = threading.Lock()

    def add(self, search: Callable[..., None], *args: Any) -> None:
        """Run ``search(*args, seen)`` on columns of its own and take what is nearer."""
        n = len(self.nn)
        seen = _Seen(np.full(n, math.inf), np.full(n, -1, np.int64), np.empty(LANES), np.empty(LANES, np.int64))
        search(*args, seen)
        with self._lock:
            nearer = (seen.best < self.nnd) | ((seen.best == self.nnd) & (seen.arg < self.nn))
            self.nnd[nearer], self.nn[nearer] = seen.best[nearer], seen.arg[nearer]

    def mutual_pairs(self) -> int:
        """How many pairs are each other's nearest neighbours."""
        return int(np.count_nonzero(self.nn[self.nn] == np.arange(len(self.nn)))) // 2


class _Engine:
    """The rounds, the chain and the closest pairs over one matrix that shrinks in place."""

    def __init__(self, D: NDArray[np.floating[Any]], n: int, method: str, weight: Floats, ticker: Ticker) -> None:
        self.D, self.n, self.ticker = D, n, ticker
        self.kind = {"complete": COMPLETE, "ward": WARD}.get(method, LINEAR)
        self.by_weight = int(method in ("average", "centroid"))
        self.reducible = method not in ("centroid", "median")
        self.weight, self.item = weight, np.arange(n)
        self.found, self.made = _Found.room(n), 0
        self.pairs_at_start = n * (n - 1) / 2

    def merge_all(self) -> _Found:
        """Merge until one cluster is left."""
        near, n = _Nearest(self.n), self.n
        pool.run(lambda i0, i1, start: near.add(kernels.scan_rows, self.D, start, n, i0, i1),
                 pool.triangle_blocks(n, BLOCK))
        while self.n > 1:
            self._tell(self.n)
            if self.reducible and near.mutual_pairs() * FEW >= self.n:
                near = self._round(near)
            else:
                near = self._one_by_one(near)
        self.ticker.at(1.0)
        return self.found

    def _tell(self, living: int) -> None:
        self.ticker.at(1.0 - living * (living - 1) / 2 / self.pairs_at_start)

    def _round(self, near: _Nearest) -> _Nearest:
        """Merge all pairs of reciprocal nearest neighbours."""
        n = self.n
        room = _Next(np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n), np.empty(n), np.empty(0, np.int64))
        count = kernels.pair_up(near.nn, near.nnd, self.weight, self.by_weight, room)
        following = _Next.of(room.first[:count], room.second[:count], room.gap[:count], room.share[:count])
        pairs, upto = following.pairs, self.made + len(following.pairs)
        self.found.a[self.made:upto] = self.item[following.first[pairs]]
        self.found.b[self.made:upto] = self.item[following.second[pairs]]
        self.found.h[self.made:upto] = following.gap[pairs]
        self.made = upto
        return self._shrink(following)

    def _one_by_one(self, near: _Nearest) -> _Nearest:
        """Merge one pair after the other until the matrix is worth compacting."""
        n, ints = self.n, np.zeros((3, self.n + 1), np.int64)
        to_i, to_j, masked = np.zeros((3, n), self.D.dtype)
        state = _State(self.weight, self.item, np.ones(n, np.bool_), near.nn, near.nnd, ints[0], ints[1], ints[2],
                       to_i, to_j, masked, np.empty(LANES), np.empty(LANES, np.int64), *self.found)
        count = np.array([0, n, self.made])
        state.born[:] = state.looked[:] = self.made
        if self.reducible:
            step, until = kernels.follow_chain, n // 2
        else:  # this way keeps each row's nearest later cluster, and its columns are dear: compact more often
            step, until = kernels.closest_pairs, n * 3 // 4
            near.nn[near.nn < np.arange(n)] = -1
        until = until if n > 2 * FEW else 1
        while count[1] > until:
            step(self.D, n, self.kind, self.by_weight, state, count, until, SLICE)
            self._tell(int(count[1]))
        self.made = int(count[2])
        keep = np.flatnonzero(state.alive)
        nothing = np.zeros(len(keep))
        return self._shrink(_Next.of(keep, np.full(len(keep), -1), nothing, nothing))

    def _shrink(self, following: _Next) -> _Nearest:
        """Write the matrix of the following clusters over the old one, and find their nearest neighbours.

        Row k of the new matrix needs rows of the old one from first[k] ≥ k on, and ends before they begin: so groups of
        rows are made in scratch, in parallel, and then copied down.
        """
        n, m = self.n, len(following.first)
        near, tasks = _Nearest(m), pool.triangle_blocks(m, BLOCK)
        room = max((stop - start for start, stop in _extents(tasks, m)), default=0)
        scratch = np.empty((min(GROUP, len(tasks)), room), self.D.dtype)

        def make(slot: int, k0: int, k1: int) -> None:
            near.add(kernels.merge_rows, self.D, n, self.kind, following, self.weight, k0, k1, scratch[slot], np.empty(n))

        def copy(slot: int, start: int, stop: int) -> None:
            self.D[start:stop] = scratch[slot, : stop - start]

        for g in range(0, len(tasks), GROUP):
            group = tasks[g:g + GROUP]
            pool.run(make, [(slot, k0, k1) for slot, (k0, k1, _) in enumerate(group)])
            pool.run(copy, [(slot, *extent) for slot, extent in enumerate(_extents(group, m))])
        weight = self.weight[following.first]
        weight[following.pairs] += self.weight[following.second[following.pairs]]
        self.n, self.weight, self.item = m, weight, self.item[following.first]
        return near


def _extents(tasks: list[tuple[int, int, int]], n: int) -> list[tuple[int, int]]:
    """Where the rows of each task begin and end in the condensed matrix of n items."""
    return [(start, start + (k1 - k0) * (2 * n - k0 - k1 - 1) // 2) for k0, k1, start in tasks]


def _in_height_order(a: Ints, b: Ints, h: Floats) -> Merges:
    """Sort the merges of a reducible method by height, children before parents.

    In exact arithmetic no merge is lower than its children; rounding may put it an ulp below, and is undone here.
    """
    raised = np.empty(len(a))
    kernels.raise_to_children(a, b, h, np.arange(len(a) + 1), np.full(len(a) + 1, -math.inf), raised)
    order = np.argsort(raised, kind="stable")
    return canonical(a[order], b[order], raised[order])


def _single(D: NDArray[np.floating[Any]], n: int, ticker: Ticker) -> Merges:
    """Borůvka's rounds: each at least halves the number of trees, and each is one pass that only reads the matrix."""
    tree, found, made = np.arange(n), _Found.room(n), 0
    tasks = pool.triangle_blocks(n, BLOCK)
    while made < n - 1:
        ticker.at(made / (n - 1))
        near = _Nearest(n)

        def search(i0: int, i1: int, start: int, near: _Nearest = near) -> None:
            near.add(kernels.nearest_foreign, D, start, n, i0, i1, tree, np.empty(n))

        pool.run(search, tasks)
        made = kernels.add_shortest(near.nnd, near.nn, tree, np.empty(n, np.int64), np.empty(n, np.int64), found,
                                    made)
    ticker.at(1.0)
    order = np.lexsort((found.b, found.a, found.h))
    return canonical(found.a[order], found.b[order], found.h[order])
