"""Euclidean minimum spanning trees of many features: Borůvka's rounds over products of blocks of rows.

Every pair is looked at once, by dot products in float32 that serve both its points: they give a lower bound of the squared
distance, and every point keeps the few with the lowest, and the bound below which there is no other. What is kept is
evaluated in float64 by the one formula of all spanning trees, which alone decides. Then most rounds need the lists only; a
point whose list has nothing foreign left, and whose tree may need it, is searched among all points by the same bounds.

Where float32 cannot tell neighbours apart, as in clumps that are tiny beside their distances, the lists are made again
with float64 products. So the tree depends on neither the precision nor blocks nor threads.

Source: Higham 2002, Accuracy and Stability of Numerical Algorithms, section 3.1 (error of a dot product).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.runtime import blas, pool
from shoal.runtime.kernel import kernel
from shoal.runtime.progress import Ticker
from shoal.trees.forest import Forest, Problem, SpanningTree, grow, index_type
from shoal.trees.merges import Floats, Ints

__all__ = ["peak_bytes", "seconds", "spanning_tree_by_products"]

LISTED = 8  # neighbours a point keeps: at 30,000 points of 50 features all but 20 searches of points are spared
SIDE = 512  # points of a block of products: a megabyte, which stays in the second-level cache
BLOCK = 2048  # most points of a task, on either side: 10 ms
QUERIES = 256  # points a task searches for
TASK = 1 << 29  # multiplications a task does at most, but for 64 x 64 points: 10 ms
VALUES = 1 << 16  # values a task passes over: half a megabyte
BLIND = 0.1  # share of points that float32 may fail

CHUNK = 64  # pairs that one comparison stands for
LOOSE = 1.000001  # 16 ulp of float32: more than the arithmetic of the bounds loses
LEAST = {"float32": 1e-30, "float64": 1e-290}  # products of rows of size 1 that underflow are far below


class _Sieve(NamedTuple):
    """What gives a lower bound of half the squared distance: half[i] + half[j] - rows[i]·rows[j]."""

    rows: NDArray[np.floating[Any]]  # less a point in their middle, and scaled to values of at most 1
    half: NDArray[np.floating[Any]]  # half the square of a row's length, less what it and its products may lose
    worth: float  # squared distance that a lower bound of 1 stands for


# -------------------------------------------------------------------------------------------------------------- kernels


@kernel
def half_squares(rows: Any, lost: float, least: float, i0: int, i1: int, half: Any) -> None:
    """half[i] = ½‖row i‖², less its share `lost` and `least`."""
    for i in range(i0, i1):
        s = 0.0
        for k in range(rows.shape[1]):
            s += np.float64(rows[i, k]) * np.float64(rows[i, k])
        half[i] = 0.5 * (s * (1.0 - lost) - least)


@kernel
def square(X: Any, i: int, j: int) -> float:
    """‖xᵢ - xⱼ‖², summed over the features in their order."""
    s = 0.0
    for k in range(X.shape[1]):
        e = np.float64(X[i, k]) - np.float64(X[j, k])
        s += e * e
    return s


@kernel
def put(who: Any, low: Any, i: int, j: int, value: Any) -> None:
    """Put j into point i's list, in the place of the last."""
    t = who.shape[1] - 1
    while t > 0 and value < low[i, t - 1]:
        low[i, t], who[i, t] = low[i, t - 1], who[i, t - 1]
        t -= 1
    low[i, t], who[i, t] = value, j


@kernel
def list_pairs(dots: Any, i0: int, j0: int, half: Any, who: Any, low: Any) -> None:
    """Put the pairs of a block of products into the lists of both points; of a block with itself, every pair once.

    The test has no store, so that it runs over eight pairs at once.
    """
    n, last = dots.shape[1], low.shape[1] - 1
    half_j, last_j = half[j0:j0 + n], low[j0:j0 + n, last].copy()
    for r in range(dots.shape[0]):
        i = i0 + r
        half_i, last_i, begin = half[i], low[i, last], r + 1 if i0 == j0 else 0
        for c in range(begin - begin % CHUNK, n, CHUNK):
            g, h, last_c = dots[r, c:c + CHUNK], half_j[c:c + CHUNK], last_j[c:c + CHUNK]
            hits = np.int32(0)
            for t in range(g.shape[0]):
                v = (half_i + h[t]) - g[t]
                hits += np.int32((v < last_i) | (v < last_c[t]))
            if hits == 0:
                continue
            for t in range(max(begin - c, 0), g.shape[0]):
                v, j = (half_i + h[t]) - g[t], j0 + c + t
                if v < last_i:
                    put(who, low, i, j, v)
                    last_i = low[i, last]
                if v < last_c[t]:
                    put(who, low, j, i, v)
                    last_c[t] = low[j, last]


@kernel
def settle(X: Any, who: Any, squares: Any, i0: int, i1: int) -> None:
    """Evaluate the listed neighbours of points i0 … i1, and sort them by (distance, item)."""
    for i in range(i0, i1):
        for t in range(who.shape[1]):
            j = who[i, t]
            s, at = square(X, i, j) if j >= 0 else math.inf, t
            while at > 0 and (s < squares[i, at - 1] or (s == squares[i, at - 1] and 0 <= j < who[i, at - 1])):
                squares[i, at], who[i, at] = squares[i, at - 1], who[i, at - 1]
                at -= 1
            squares[i, at], who[i, at] = s, j


@kernel
def sift_foreign(X: Any, f: Any, half: Any, worth: float, dots: Any, queries: Any, j0: int, nearest: Any, found: Any,
                 limit: Any, low: Any, cut: Any) -> None:
    """Nearest foreign points of the queries among the columns of a block of products, within their trees' shortest edges.

    low[q] is the lowest bound of all foreign points; those above cut[q] are beyond limit[q].
    """
    n, with_core = dots.shape[1], f.core.shape[0] > 0
    half_j, tree_j = half[j0:j0 + n], f.tree[j0:j0 + n]
    for q in range(dots.shape[0]):
        p = queries[q]
        own, half_p, low_q = f.tree[p], half[p], low[q]
        limit[q] = min(limit[q], f.shortest[own])
        cut[q] = limit[q] * LOOSE / worth
        for c in range(0, n, CHUNK):
            g, h, tree_c = dots[q, c:c + CHUNK], half_j[c:c + CHUNK], tree_j[c:c + CHUNK]
            hits, most = np.int32(0), max(cut[q], low_q)
            for t in range(g.shape[0]):
                hits += np.int32(((half_p + h[t]) - g[t] <= most) & (tree_c[t] != own))
            if hits == 0:
                continue
            for t in range(g.shape[0]):
                v, m = (half_p + h[t]) - g[t], j0 + c + t
                if tree_c[t] == own:
                    continue
                low_q = min(low_q, v)
                if v > cut[q] or (with_core and f.core[m] > limit[q]):
                    continue
                s = max(square(X, p, m), f.core[p], f.core[m]) if with_core else square(X, p, m)
                if s <= limit[q] and (s < found[q] or (s == found[q] and m < nearest[q])):
                    nearest[q], found[q], limit[q] = m, s, s
                    cut[q] = s * LOOSE / worth
        low[q] = low_q


@kernel
def answer(f: Any, worth: float, queries: Any, nearest: Any, found: Any, limit: Any, low: Any) -> None:
    """Write down what a search has found: the nearest, or how far there is none."""
    for q in range(queries.shape[0]):
        p = queries[q]
        if found[q] <= limit[q]:
            f.near[p], f.bound[p] = nearest[q], found[q]
            f.shortest[f.tree[p]] = min(f.shortest[f.tree[p]], found[q])
        else:  # another thread found a shorter edge of the same tree meanwhile
            f.near[p], f.bound[p] = -1, max(f.bound[p], limit[q], low[q] * worth / LOOSE)


# ---------------------------------------------------------------------------------------------------------------- rounds


def spanning_tree_by_products(X: NDArray[np.floating[Any]], core: Floats | None = None, ticker: Ticker | None = None,
                              stop: float = math.inf) -> SpanningTree:
    """Build the minimum spanning tree of the rows of X, or its edges up to a length; see `spanning_tree_of_points`."""
    p = Problem.of(X, core, stop).distinct()
    with blas.one_thread():
        sieve, who, squares, reach = _lists(p.X, p.most, ticker)
        f = Forest.of(p.item, p.core, who, squares, reach, p.most)
        return p.solved(*grow(f, lambda f: _search(p.X, sieve, f), p.most, ticker, begun=0.9))


def sieve_of(X: NDArray[np.floating[Any]], dtype: Any) -> _Sieve:
    """Rows in less precision, and what they and their products may lose by that.

    Of a dot product of d terms that is d·u/(1 - d·u) of ‖x‖·‖y‖ ≤ (‖x‖² + ‖y‖²)/2; rounding the terms, the squares and
    their sum loses less than 8·u.
    """
    n, d = X.shape
    middle = np.median(X[::max(1, n // 1000)].astype(np.float64), axis=0)  # a mean would follow an outlier far away
    spread = max(float((X.max(axis=0) - middle).max()), float((middle - X.min(axis=0)).max()))
    unit = 2.0 ** min(-math.frexp(spread)[1], 480)
    rows, half = np.empty((n, d), dtype), np.empty(n, dtype)
    u = float(np.finfo(dtype).eps) / 2.0
    lost = d * u / (1.0 - d * u) + 8.0 * u if d * u < 0.5 else 4.0
    least = LEAST[np.dtype(dtype).name] + d * 1e-307 * unit * unit  # the last: what underflows in the formula itself

    def fill(i0: int, i1: int) -> None:
        rows[i0:i1] = (X[i0:i1] - middle) * unit
        half_squares(rows, lost, least, i0, i1, half)

    pool.run(fill, pool.blocks(n, VALUES // d + 1))
    return _Sieve(rows, half, 2.0 / unit / unit)


def _lists(X: NDArray[np.floating[Any]], most: float,
           ticker: Ticker | None) -> tuple[_Sieve, Ints, Floats, Floats]:
    """The sieve, the nearest of every point as far as it tells, their squared distances, and what others are beyond."""
    n = len(X)
    for dtype in (np.float32, np.float64):
        sieve = sieve_of(X, dtype)
        who, cut = np.full((n, LISTED), -1, index_type(n)), most * LOOSE / sieve.worth
        low = np.full((n, LISTED), cut if cut < float(np.finfo(dtype).max) else math.inf, dtype)
        list_all(sieve, who, low, ticker)
        squares = np.empty((n, LISTED))
        pool.run(lambda i0, i1, w=who, s=squares: settle(X, w, s, i0, i1), pool.blocks(n, VALUES // X.shape[1] + 1))
        last = low[:, -1].astype(np.float64)
        reach = np.where(last > 0.0, last * sieve.worth / LOOSE, -1.0)
        blind = (reach < 0.5 * squares[:, -1]) & (squares[:, -1] < math.inf)
        if np.count_nonzero(blind) <= BLIND * n:
            break
    return sieve, who, squares, reach


def list_all(sieve: _Sieve, who: Ints, low: NDArray[np.floating[Any]], ticker: Ticker | None) -> None:
    """All pairs of blocks, in rounds in which no block is in two tasks."""
    rows, half, _ = sieve
    n, d = rows.shape
    blocks = pool.blocks(n, min(max(n // 64, 64), BLOCK, max(math.isqrt(TASK // d), 64)))

    def pair(a: int, b: int) -> None:
        for i0 in range(*blocks[a], SIDE):
            for j0 in range(i0 if a == b else blocks[b][0], blocks[b][1], SIDE):
                mine, other = rows[i0:min(i0 + SIDE, blocks[a][1])], rows[j0:min(j0 + SIDE, blocks[b][1])]
                list_pairs(mine @ other.T, i0, j0, half, who, low)

    pool.run(pair, [(a, a) for a in range(len(blocks))])
    for t, tasks in enumerate(_tournament(len(blocks))):
        pool.run(pair, tasks)
        if ticker is not None:
            ticker.at(0.9 * (t + 1) / len(blocks))


def _tournament(m: int) -> Iterator[list[tuple[int, int]]]:
    """Every pair of m players once, in rounds in which everybody plays at most once: the circle method."""
    odd = m - 1 + m % 2  # the last of an even number stays in its place, while the others turn
    for r in range(odd if m > 1 else 0):
        yield [((r + s) % odd, (r - s) % odd) for s in range(1, odd // 2 + 1)] + [(r, m - 1)] * (odd < m)


def _search(X: NDArray[np.floating[Any]], sieve: _Sieve, f: Forest) -> None:
    """Search for the points whose trees may need it, those first that may be nearest: most others are then spared."""
    rows, half, worth = sieve
    n, d = rows.shape
    alone = (f.near < 0) | (f.tree[f.near] == f.tree)
    waiting = np.flatnonzero(alone & (f.bound <= f.shortest[f.tree]))
    waiting = waiting[np.argsort(f.bound[waiting], kind="stable")]

    def task(q0: int, q1: int) -> None:
        queries = waiting[q0:q1]
        queries = queries[f.bound[queries] <= f.shortest[f.tree[queries]]]
        m = len(queries)
        if m == 0:
            return
        mine, nearest, found, limit = rows[queries], np.full(m, -1), np.full(m, math.inf), np.full(m, math.inf)
        low, cut = np.full(m, math.inf, half.dtype), np.empty(m, half.dtype)
        for j0, j1 in pool.blocks(n, SIDE * SIDE // m):
            sift_foreign(X, f, half, worth, mine @ rows[j0:j1].T, queries, j0, nearest, found, limit, low, cut)
        answer(f, worth, queries, nearest, found, limit, low)

    pool.run(task, pool.blocks(len(waiting), max(8, min(QUERIES, TASK // (n * d)))))


def peak_bytes(n: int, d: int) -> int:
    """Peak bytes beside the data: the rows once more, the lists; at worst, where float32 fails, both in float64 as well."""
    return n * (20 * d + 275)


def seconds(n: int, d: int) -> float:
    """Seconds the work is expected to take."""
    return 0.003 + n * (7e-6 + n * (0.45e-9 + 0.8e-11 * d)) / pool.threads()
