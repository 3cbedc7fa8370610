"""Where a k-medoids search begins: the greedy BUILD, its linear approximation LAB, draws by distance, and plain draws."""

from __future__ import annotations

import heapq
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.centers.medoid_tables import Table
from shoal.centers.medoids_kernels import gain_of_row, swap_changes
from shoal.errors import InputError
from shoal.runtime import pool

__all__ = ["DRAWN", "STARTS", "first_medoids"]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

DRAWN = ("random", "lab", "k-medoids++")  # these differ from start to start
STARTS = ("build", *DRAWN)

MANY = 4  # one in so many gains is worked out by itself before all are, by all threads


def first_medoids(table: Table, k: int, rng: np.random.Generator, init: str | Ints, weights: Floats) -> Ints:
    """Choose k different items of positive weight to begin with.

    Parameters
    ----------
    table : Table
    k : int
    rng : Generator
    init : {"build", "lab", "k-medoids++", "random"} or ndarray of int, shape (k,)
        "build" [1]_: one after the other the item that lowers the loss most, which is deterministic. "lab" [2]_: the same on
        a fresh sample of 10 + √n items each time, O(k·n) in all. "k-medoids++": drawn with probability proportional to the
        distance to the nearest so far. "random": drawn, all alike. Or the items themselves.
    weights : ndarray, shape (n,)

    Raises
    ------
    InputError
        When fewer than k items have a weight above 0, or the items given are not k different ones.

    References
    ----------
    .. [1] Kaufman, Rousseeuw 1990: Finding Groups in Data, chapter 2.
    .. [2] Schubert, Rousseeuw 2021, doi:10.1016/j.is.2021.101804, section 4.4.
    """
    allowed = np.flatnonzero(weights > 0)
    if len(allowed) < k:
        raise InputError(f"{k} medoids were asked for, and {len(allowed):,} items have a weight above 0.",
                         "Ask for fewer clusters.")
    if not isinstance(init, str):
        return _given(init, k, table.n, weights)
    if init == "random":
        return np.sort(rng.choice(allowed, k, replace=False))
    if init == "build":
        return _build(table, k, weights)
    return _lab(table, k, rng, weights) if init == "lab" else _by_distance(table, k, rng, weights)


def _given(init: Ints, k: int, n: int, weights: Floats) -> Ints:
    items = np.asarray(init)
    if (items.shape != (k,) or items.dtype.kind not in "iu" or not ((items >= 0) & (items < n)).all()
            or len(np.unique(items)) < k or not (weights[items] > 0).all()):
        raise InputError(f"init is {str(init)[:60]}, which are not {k} different items of a weight above 0.",
                         f"Give {k} positions from 0 to {n - 1}, or one of {', '.join(map(repr, STARTS))}.")
    return items.astype(np.int64)


def _build(table: Table, k: int, weights: Floats) -> Ints:
    """BUILD, lazily: an item's gain only shrinks as medoids are added, so an old gain is a bound (Minoux 1978)."""
    found = np.empty(k, np.int64)
    losses = _sums(table, np.zeros(table.n), np.full(table.n, math.inf), weights)
    losses[weights == 0] = math.inf
    found[0] = np.argmin(losses)
    near = table.row(int(found[0])).astype(np.float64)
    left = weights > 0
    left[found[0]] = False
    heap = _heap_of_gains(table, near, weights, left) if k > 1 else []
    for t in range(1, k):
        found[t], heap = _best(table, heap, near, weights, left)
        left[found[t]] = False
        np.minimum(near, table.row(int(found[t])), out=near)
    return found


def _best(table: Table, heap: list[tuple[float, int]], near: Floats, weights: Floats,
          left: NDArray[np.bool_]) -> tuple[int, list[tuple[float, int]]]:
    """Take the item with the largest gain, the first of equals, out of a heap of (-gain, item), of which some are old.

    Gains are worked out anew in the order of the bounds, until the best is above all bounds left: 150 to 400 of 10,000 a
    medoid, where plain BUILD looks at all.
    """
    fresh = set[int]()
    while (x := heap[0][1]) not in fresh:
        if len(fresh) > table.n // MANY:
            heap = _heap_of_gains(table, near, weights, left)
            break
        heapq.heapreplace(heap, (-gain_of_row(table.row(x), near, weights), x))
        fresh.add(x)
    return heapq.heappop(heap)[1], heap


def _heap_of_gains(table: Table, near: Floats, weights: Floats, left: NDArray[np.bool_]) -> list[tuple[float, int]]:
    gains = _sums(table, near, np.zeros(table.n), weights)
    heap = [(float(gains[x]), int(x)) for x in np.flatnonzero(left)]
    heapq.heapify(heap)
    return heap


def _sums(table: Table, near: Floats, gap: Floats, weights: Floats) -> Floats:
    """Σ w·min(d, near), less Σ w·near, of every candidate with gap 0; its summed distances with near 0 and gap ∞."""
    n = table.n
    out, slot = np.empty(n), np.empty(n, np.int64)
    order, start = np.arange(n), np.array([0, n])

    def work(a: int, b: int) -> None:
        V, c0 = table.tile(a, b)
        swap_changes(V, c0, near, gap, weights, order, start, out[a:b], slot[a:b])

    pool.run(work, pool.blocks(n, table.lanes))
    return out


def _lab(table: Table, k: int, rng: np.random.Generator, weights: Floats) -> Ints:
    found, near = np.empty(k, np.int64), np.full(table.n, math.inf)
    left = weights > 0
    for t in range(k):
        allowed = np.flatnonzero(left)
        some = rng.choice(allowed, min(len(allowed), 10 + math.ceil(math.sqrt(table.n))), replace=False)
        block = table.block(some, some).astype(np.float64)
        losses = (np.minimum(block, near[some]) * weights[some]).sum(axis=1)
        found[t] = some[np.argmin(losses)]
        left[found[t]] = False
        np.minimum(near, table.row(int(found[t])), out=near)
    return found


def _by_distance(table: Table, k: int, rng: np.random.Generator, weights: Floats) -> Ints:
    found, near = np.empty(k, np.int64), np.ones(table.n)
    left = weights.copy()
    for t in range(k):
        mass = np.cumsum(left * near)
        if not mass[-1] > 0:  # every item left is where a medoid is
            mass = np.cumsum(left)
        x = int(np.searchsorted(mass, rng.random() * mass[-1], side="right"))
        found[t], left[x] = x, 0.0
        row = table.row(x)
        near = row.astype(np.float64) if t == 0 else np.minimum(near, row)
    return found
