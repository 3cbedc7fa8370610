"""Euclidean minimum spanning trees in linear memory: Borůvka's rounds over a kd-tree, or Prim's algorithm by rows.

Every round, every tree of the forest takes its shortest edge to another one. What keeps a round cheap: a point whose
neighbour is still foreign is not searched again; a point is searched only within its tree's shortest edge known so far;
a node all of whose points are in one tree is skipped by that tree; and every point keeps a list of its nearest, found
once, so that most rounds search for few.

Edges are ordered by (length, smaller item, larger item), so the tree is unique, also under ties, and does not depend on
threads: what they share is only a bound that never cuts off the shortest edge.

Sources: Borůvka 1926; Bentley & Friedman 1978; March, Ram & Gray 2010, doi:10.1145/1835804.1835882 (bounds by tree).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.data.carriers import Points, as_carrier
from shoal.data.metrics import row_of_distances
from shoal.errors import InputError
from shoal.runtime import memory, pool
from shoal.runtime.kernel import kernel
from shoal.runtime.progress import Progress, Ticker
from shoal.trees import kdtree
from shoal.trees.merges import Merges, canonical

__all__ = ["SpanningTree", "linkage_spanning", "peak_bytes", "spanning_tree",
           "spanning_tree_by_rows", "spanning_tree_of_points"]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

LISTED = 4  # nearest points kept of every point: two rounds of three then need no search
STEP = 1 << 26  # differences of coordinates between two looks at the clock, one row of distances after the other: 10 ms
LEAVES = 64  # leaves a task searches from: at most some milliseconds


class SpanningTree(NamedTuple):
    """A minimum spanning tree, its edges from the shortest to the longest.

    Attributes
    ----------
    a, b : ndarray of int64, shape (n - 1,)
        The items an edge joins, a < b.
    length : ndarray of float64, shape (n - 1,)
    """

    a: Ints
    b: Ints
    length: Floats


class _Forest(NamedTuple):
    """The forest of a round, by position in the kd-tree's order."""

    item: Ints  # the item at a position
    tree: Ints  # the tree it is in
    near: Ints  # the position of its nearest foreign point, or -1
    bound: Floats  # squared distance to it, or below which there is no foreign point
    shortest: Floats  # of every tree: squared length of an edge out of it, the shortest known so far
    whole: Ints  # of every node of the kd-tree: the tree all its points are in, or -1
    core: Floats  # squared core distance of a position; empty without mutual reachability
    listed: Ints  # positions of the nearest points, (n, LISTED); without columns under mutual reachability
    squares: Floats  # their squared distances
    next: Ints  # the first in a point's list that may be foreign


@kernel
def closer(s: float, i: int, j: int, best: float, bi: int, bj: int) -> bool:
    """Whether the edge (s, i, j) comes before (best, bi, bj): by length, smaller item, larger item."""
    if s != best:
        return s < best
    lo, hi, blo, bhi = min(i, j), max(i, j), min(bi, bj), max(bi, bj)
    return lo < blo or (lo == blo and hi < bhi)


@kernel
def list_nearest(block: Any, start: Any, stop: Any, low: Any, high: Any, item: Any, listed: Any, squares: Any, most: float,
                 v0: int, v1: int, stack: Any, gaps: Any, q: Any, s: Any) -> None:
    """Nearest points of the points in leaves v0 … v1, in the order of (distance, item); first a point's own leaf.

    Written out, on plain arrays: split into functions that take named tuples the same walk takes ten times as long,
    because every call counts references to every array, and a walk shared by a leaf's points takes the widest of their
    limits, so that at 5 features 20 times as many boxes are looked at as hold a point within reach.
    """
    inner, k, d, cap = block.shape[0] - 1, listed.shape[1], q.shape[0], s.shape[0]
    for v in range(v0, v1):
        for p in range(start[v], stop[v]):
            for c in range(d):
                q[c] = block[v - inner, c, p - start[v]]
            limit, top, own = most, 2, False
            stack[0], gaps[0], stack[1], gaps[1] = 0, 0.0, v, 0.0
            while top > 0:
                top -= 1
                w = stack[top]
                if gaps[top] > limit or (w == v and own):
                    continue
                if w < inner:
                    near, far, a, b = 2 * w + 1, 2 * w + 2, 0.0, 0.0
                    for c in range(d):  # no branch: it would be mispredicted half of the time
                        e = max(low[near, c] - q[c], q[c] - high[near, c], 0.0)
                        a += e * e
                        e = max(low[far, c] - q[c], q[c] - high[far, c], 0.0)
                        b += e * e
                    if b < a:
                        near, far, a, b = far, near, b, a
                    if b <= limit:
                        stack[top], gaps[top] = far, b
                        top += 1
                    if a <= limit:
                        stack[top], gaps[top] = near, a
                        top += 1
                    continue
                own = own or w == v
                y, x = block[w - inner, 0], q[0]
                for t in range(cap):
                    s[t] = (y[t] - x) * (y[t] - x)
                for c in range(1, d):
                    y, x = block[w - inner, c], q[c]
                    for t in range(cap):
                        s[t] += (y[t] - x) * (y[t] - x)
                first = start[w]
                for t in range(stop[w] - first):
                    m = first + t
                    if s[t] > limit or m == p:
                        continue
                    at = k - 1
                    if s[t] == limit and listed[p, at] >= 0 and item[m] > item[listed[p, at]]:
                        continue
                    while at > 0 and (s[t] < squares[p, at - 1]
                                      or (s[t] == squares[p, at - 1] and item[m] < item[listed[p, at - 1]])):
                        squares[p, at], listed[p, at] = squares[p, at - 1], listed[p, at - 1]
                        at -= 1
                    squares[p, at], listed[p, at] = s[t], m
                    limit = min(most, squares[p, k - 1])


@kernel
def search_foreign(block: Any, start: Any, stop: Any, low: Any, high: Any, item: Any, tree: Any, near_of: Any, bound: Any,
                   shortest: Any, whole: Any, core: Any, v0: int, v1: int, stack: Any, gaps: Any, q: Any, s: Any) -> None:
    """Nearest foreign points of the points in leaves v0 … v1, as far as their trees may need them; see list_nearest."""
    inner, d, cap, with_core = block.shape[0] - 1, q.shape[0], s.shape[0], core.shape[0] > 0
    for v in range(v0, v1):
        for p in range(start[v], stop[v]):
            own = tree[p]
            own_core = core[p] if with_core else 0.0
            if (near_of[p] >= 0 and tree[near_of[p]] != own) or max(bound[p], own_core) > shortest[own]:
                continue
            for c in range(d):
                q[c] = block[v - inner, c, p - start[v]]
            found, nearest, limit, top = math.inf, -1, shortest[own], 1
            stack[0], gaps[0] = 0, 0.0
            while top > 0:
                top -= 1
                w = stack[top]
                if gaps[top] > limit or whole[w] == own:
                    continue
                if w < inner:
                    near, far, a, b = 2 * w + 1, 2 * w + 2, 0.0, 0.0
                    for c in range(d):
                        e = max(low[near, c] - q[c], q[c] - high[near, c], 0.0)
                        a += e * e
                        e = max(low[far, c] - q[c], q[c] - high[far, c], 0.0)
                        b += e * e
                    if b < a:
                        near, far, a, b = far, near, b, a
                    if b <= limit:
                        stack[top], gaps[top] = far, b
                        top += 1
                    if a <= limit:
                        stack[top], gaps[top] = near, a
                        top += 1
                    continue
                y, x = block[w - inner, 0], q[0]
                for t in range(cap):
                    s[t] = (y[t] - x) * (y[t] - x)
                for c in range(1, d):
                    y, x = block[w - inner, c], q[c]
                    for t in range(cap):
                        s[t] += (y[t] - x) * (y[t] - x)
                first = start[w]
                for t in range(stop[w] - first):
                    m = first + t
                    value = max(s[t], own_core, core[m]) if with_core else s[t]
                    if value <= limit and tree[m] != own and (
                            nearest < 0 or closer(value, item[p], item[m], found, item[p], item[nearest])):
                        found, nearest, limit = value, m, value
            limit = shortest[own]  # another thread may have lowered it
            if found <= limit:  # beyond the limit what was found need not be the nearest
                near_of[p], bound[p], shortest[own] = nearest, found, found
            else:
                near_of[p], bound[p] = -1, limit


@kernel
def known_edges(f: Any, most: float) -> None:
    """Start a round: every point's nearest foreign neighbour as far as its list says, every tree's shortest known edge."""
    k = f.listed.shape[1]
    for p in range(f.tree.shape[0]):
        f.shortest[p] = most
    for p in range(f.tree.shape[0]):
        t = f.tree[p]
        while f.next[p] < k and f.listed[p, f.next[p]] >= 0 and f.tree[f.listed[p, f.next[p]]] == t:
            f.next[p] += 1
            if f.next[p] == k:
                f.near[p], f.bound[p] = -1, f.squares[p, k - 1]
        if f.next[p] < k and f.listed[p, f.next[p]] < 0:  # fewer than k points are within `most`
            f.near[p], f.bound[p] = -1, math.inf
        elif f.next[p] < k:
            f.near[p], f.bound[p] = f.listed[p, f.next[p]], f.squares[p, f.next[p]]
        if f.near[p] >= 0 and f.tree[f.near[p]] != t:
            f.shortest[t] = min(f.shortest[t], f.bound[p])


@kernel
def find(root: Any, t: int) -> int:
    """Root of t, halving the path."""
    while root[t] != t:
        root[t] = root[root[t]]
        t = root[t]
    return t


@kernel
def grow(f: Any, T: Any, edge: Any, root: Any, a: Any, b: Any, length: Any, made: int) -> int:
    """End a round: add every tree's shortest edge, and rename the trees."""
    n = f.tree.shape[0]
    for t in range(n):
        edge[t] = -1
        root[t] = t
    for p in range(n):
        m, t = f.near[p], f.tree[p]
        if m < 0 or f.tree[m] == t:
            continue
        e = edge[t]
        if e < 0 or closer(f.bound[p], f.item[p], f.item[m], f.bound[e], f.item[e], f.item[f.near[e]]):
            edge[t] = p
    for t in range(n):
        if edge[t] < 0:
            continue
        p = edge[t]
        u, v = find(root, t), find(root, f.tree[f.near[p]])
        if u != v:
            root[max(u, v)] = min(u, v)
            i, j = f.item[p], f.item[f.near[p]]
            a[made], b[made], length[made] = min(i, j), max(i, j), f.bound[p]
            made += 1
    for p in range(n):
        f.tree[p] = find(root, f.tree[p])
    leaves = T.block.shape[0]
    for v in range(2 * leaves - 2, -1, -1):
        if v >= leaves - 1:
            one = f.tree[T.start[v]]
            for p in range(T.start[v], T.stop[v]):
                if f.tree[p] != one:
                    one = -1
            f.whole[v] = one
        else:
            f.whole[v] = f.whole[2 * v + 1] if f.whole[2 * v + 1] == f.whole[2 * v + 2] else -1
    return made


@kernel
def prim_steps(XT: Any, item: Any, best: Any, source: Any, x: Any, s: Any, a: Any, b: Any, length: Any, t0: int,
               t1: int) -> None:
    """Steps t0 … t1 of Prim's algorithm: take the shortest edge out of the tree, and look from its new end.

    Columns 0 … m of XT are the points outside; the last one takes the place of the one that leaves. x is the newest point.
    """
    d, n = XT.shape
    for t in range(t0, t1):
        m = n - 1 - t
        row_of_distances(0, x, XT, 0, m, s)
        newest = item[m]
        for j in range(m):
            if s[j] <= best[j] and closer(s[j], newest, item[j], best[j], source[j], item[j]):
                best[j], source[j] = s[j], newest
        at = 0
        for j in range(1, m):
            if best[j] <= best[at] and closer(best[j], source[j], item[j], best[at], source[at], item[at]):
                at = j
        a[t], b[t], length[t] = min(source[at], item[at]), max(source[at], item[at]), best[at]
        for k in range(d):
            x[k] = XT[k, at]
            XT[k, at] = XT[k, m - 1]
        taken = item[at]
        item[at], best[at], source[at] = item[m - 1], best[m - 1], source[m - 1]
        item[m - 1] = taken


def spanning_tree_by_rows(X: NDArray[np.floating[Any]], ticker: Ticker | None = None) -> SpanningTree:
    """Build the minimum spanning tree of the rows of X by Prim's algorithm, one row of distances at a time.

    O(n²·d) time at vector speed on one thread, O(n·d) memory; the way for many features, where boxes separate nothing.
    """
    n, d = X.shape
    scale = _scale(X)
    XT = np.ascontiguousarray(np.asarray(X, np.float64).T * scale)
    x, item = XT[:, -1].copy(), np.arange(n)
    best, source, s = np.full(n, math.inf), np.full(n, n), np.empty(n)
    a, b, length = np.empty(n - 1, np.int64), np.empty(n - 1, np.int64), np.empty(n - 1)
    t = 0
    while t < n - 1:
        steps = max(1, STEP // ((n - t) * d))
        prim_steps(XT, item, best, source, x, s, a, b, length, t, min(t + steps, n - 1))
        t = min(t + steps, n - 1)
        if ticker is not None:
            ticker.at(1.0 - ((n - t) / n) ** 2)
    by = np.lexsort((b, a, length))
    return SpanningTree(a[by], b[by], np.sqrt(length[by]) / scale)


def spanning_tree_of_points(X: NDArray[np.floating[Any]], core: Floats | None = None,
                            ticker: Ticker | None = None, stop: float = math.inf) -> SpanningTree:
    """Build the minimum spanning tree of the rows of X, or its edges up to a length.

    Parameters
    ----------
    X : ndarray, shape (n, d)
    core : ndarray, shape (n,), optional
        Core distances: lengths are then max(distance, core of either end), mutual reachability.
    ticker : Ticker, optional
    stop : float
        Longer edges are not wanted; some that are longer by rounding may come along.

    Returns
    -------
    SpanningTree

    Notes
    -----
    Exact. About O(n·log n) time for few features, growing towards O(n²·d) with their number; memory O(n·d).
    """
    n, d = X.shape
    scale = _scale(X)
    T = kdtree.build(X if scale == 1.0 else np.asarray(X, np.float64) * scale)
    none = np.empty(0)
    f = _Forest(T.order, np.arange(n), np.full(n, -1), np.zeros(n), np.full(n, math.inf), np.full(len(T.start), -1),
                none if core is None else np.asarray(core, np.float64)[T.order] ** 2,
                np.full((n, 0 if core is not None else LISTED), -1, np.int32 if n < 2**31 else np.int64),
                np.full((n, 0 if core is not None else LISTED), math.inf), np.zeros(n, np.int8))
    a, b, length, made = np.empty(n - 1, np.int64), np.empty(n - 1, np.int64), np.empty(n - 1), 0
    edge, root = np.empty(n, np.int64), np.empty(n, np.int64)
    most = (scale * stop) ** 2 * (1 + 1e-9)
    tasks = [(T.leaves - 1 + s, T.leaves - 1 + t) for s, t in pool.blocks(T.leaves, LEAVES)]

    def walk(work: Callable[..., None], *columns: Any) -> None:
        pool.run(lambda v0, v1: work(T.block, T.start, T.stop, T.low, T.high, f.item, *columns, v0, v1,
                                     np.empty(128, np.int64), np.empty(128), np.empty(d), np.empty(T.block.shape[2])), tasks)

    if core is None:
        walk(list_nearest, f.listed, f.squares, most)
    while made < n - 1:
        known_edges(f, most)
        before = made
        walk(search_foreign, f.tree, f.near, f.bound, f.shortest, f.whole, f.core)
        made = grow(f, T, edge, root, a, b, length, made)
        if ticker is not None:
            ticker.at(made / (n - 1))
        if made == before:  # every edge that is left is longer than `stop`
            break
    a, b, length = a[:made], b[:made], length[:made]
    by = np.lexsort((b, a, length))
    return SpanningTree(a[by], b[by], np.sqrt(length[by]) / scale)


def _scale(X: NDArray[np.floating[Any]]) -> float:
    """A power of two that keeps squares within the range of numbers; 1 as a rule."""
    largest = float(max(X.max(), -X.min()))
    return 2.0 ** -math.frexp(largest)[1] if largest > 1e145 or 0.0 < largest < 1e-145 else 1.0


def linkage_spanning(X: NDArray[np.floating[Any]], *, progress: Progress = None) -> Merges:
    """Build the single-linkage tree of the rows of X: the edges of its minimum spanning tree, the shortest first."""
    if len(X) == 1:
        nothing = np.empty(0, np.int64)
        return canonical(nothing, nothing, np.empty(0))
    with Ticker(progress, f"spanning tree of {len(X):,} items") as ticker:
        edges = _fastest(X)(X, ticker=ticker)
    return canonical(edges.a, edges.b, edges.length)


def peak_bytes(n: int, d: int) -> int:
    """Peak bytes beside the data: the kd-tree's two copies of it, the lists, and columns of the forest and the edges."""
    return n * (16 * d + (8 + 8) * LISTED + 170)


def spanning_tree(data: Any, *, core: Any = None, memory_limit: int | str | None = None,
                  progress: Progress = None) -> SpanningTree:
    """Build the Euclidean minimum spanning tree of some points.

    Parameters
    ----------
    data : Points, array-like or frame, shape (n, d)
        Dense points with the Euclidean metric.
    core : array-like, shape (n,), optional
        Core distances. The length of an edge is then the largest of its distance and the core distances of its ends
        (mutual reachability).
    memory_limit : int or str, optional
        Bytes, or text such as "8GB".
    progress : callable, bool or None
        See `shoal.linkage`.

    Returns
    -------
    SpanningTree
        ``.a``, ``.b``, ``.length``: n - 1 edges, the shortest first; among equal lengths by (smaller item, larger item).

    Raises
    ------
    InputError
        For other metrics, sparse points, and core distances that are negative or not finite.

    Notes
    -----
    Exact, in O(n·d) memory. Time grows about as n·log n for few features; beyond some ten features boxes no longer
    separate points, and it grows towards O(n²·d).

    Examples
    --------
    >>> import shoal
    >>> shoal.spanning_tree([[0.0], [1.0], [5.0]]).length.tolist()
    [1.0, 4.0]
    """
    points = as_carrier(data)
    if not isinstance(points, Points) or points.metric.name != "euclidean" or not isinstance(points.X, np.ndarray):
        raise InputError("A spanning tree takes dense points with the Euclidean metric.",
                         "For other distances use shoal.linkage(data, 'single').")
    n = points.n
    cores = None if core is None else np.asarray(core, np.float64)
    if cores is not None and (cores.shape != (n,) or not np.isfinite(cores).all() or (cores < 0).any()):
        raise InputError(f"Core distances are {n:,} finite numbers of at least 0, one for each item.")
    memory.require(peak_bytes(n, points.d), memory_limit, f"the spanning tree of {n:,} points")
    with Ticker(progress, f"spanning tree of {n:,} items") as ticker:
        if cores is None:
            return _fastest(points.X)(points.X, ticker=ticker)
        return spanning_tree_of_points(points.X, cores, ticker)


def seconds(n: int, d: int) -> float:
    """Seconds the faster of the two ways is expected to take."""
    return min(_by_rows_seconds(n, d), _by_boxes_seconds(n, d))


def _by_rows_seconds(n: int, d: int) -> float:
    """Prim's algorithm runs on one thread."""
    return n * n / 2 * (1.5e-9 + 2.6e-10 * d)


def _by_boxes_seconds(n: int, d: int) -> float:
    """Borůvka's rounds run on all; boxes separate points less with every feature."""
    share = min(1.0, 10.0 * 2.0 ** min(d, 60) / n)
    return n * d * (1e-6 + 5.5e-10 * n * share) / pool.threads()


def _fastest(X: NDArray[np.floating[Any]]) -> Callable[..., SpanningTree]:
    return spanning_tree_by_rows if _by_rows_seconds(*X.shape) < _by_boxes_seconds(*X.shape) else spanning_tree_of_points
