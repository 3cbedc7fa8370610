"""Trees up to a height known in advance: only the merges at or below it, exactly.

Two clusters are never nearer than their two nearest items, under single, complete, average and weighted linkage, and under
ward linkage with weights of at least 1. So clusters that merge at or below h lie in one connected component of the graph of
all pairs at most h apart, and every component is a problem of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.runtime import pool
from shoal.runtime.kernel import kernel
from shoal.runtime.progress import Progress, Ticker
from shoal.trees.merges import Floats, Ints, Merges, canonical
from shoal.trees.spanning import spanning_tree_of_points

__all__ = ["METHODS", "linkage_below"]

METHODS = ("single", "complete", "average", "weighted", "ward")
SMALL = 32  # items of a component that one kernel finishes: calling an engine costs as much as its whole tree
TASK = 256  # small components a task finishes


@kernel
def small_trees(X: Any, weight: Any, items: Any, starts: Any, c0: int, c1: int, kind: int, ward: bool, stop: float, D: Any,
                w: Any, a: Any, b: Any, h: Any) -> None:
    """Merges of the components c0 … c1 up to `stop`, the closest pair again and again; a merge that is not made has a = -1.

    kind 0 single, 1 complete, 2 average, 3 weighted, 4 ward (on squared distances, 2wᵢwⱼ/(wᵢ+wⱼ)·d²).
    """
    for c in range(c0, c1):
        first = starts[c]
        m = starts[c + 1] - first
        for i in range(m):
            w[i] = weight[items[first + i]]
            D[i, i] = math.inf
            for j in range(i):
                s = 0.0
                for k in range(X.shape[1]):
                    gap = np.float64(X[items[first + i], k]) - np.float64(X[items[first + j], k])
                    s += gap * gap
                D[i, j] = s * 2.0 * w[i] * w[j] / (w[i] + w[j]) if ward else math.sqrt(s)
                D[j, i] = D[i, j]
        for t in range(m - 1):
            best, bi, bj = math.inf, -1, -1
            for i in range(m):
                for j in range(i + 1, m):
                    if D[i, j] < best:
                        best, bi, bj = D[i, j], i, j
            height = math.sqrt(best) if ward else best
            if not height <= stop:
                break
            a[first + t], b[first + t], h[first + t] = items[first + bi], items[first + bj], height
            for k in range(m):
                if D[bi, k] == math.inf or D[bj, k] == math.inf:  # itself, or gone
                    continue
                x, y = D[bi, k], D[bj, k]
                if kind == 0:
                    v = min(x, y)
                elif kind == 1:
                    v = max(x, y)
                elif kind == 2:
                    v = x + w[bj] / (w[bi] + w[bj]) * (y - x)
                elif kind == 3:
                    v = x + 0.5 * (y - x)
                else:
                    v = ((w[bi] + w[k]) * x + (w[bj] + w[k]) * y - w[k] * best) / (w[bi] + w[bj] + w[k])
                D[bi, k] = v
                D[k, bi] = v
            w[bi] += w[bj]
            for k in range(m):
                D[bj, k] = math.inf
                D[k, bj] = math.inf


def linkage_below(X: NDArray[np.floating[Any]], method: str, stop: float, weights: Floats | None,
                  build: Callable[[Ints], Merges], *, progress: Progress = None) -> Merges:
    """Build the part of a tree at or below a height.

    Parameters
    ----------
    X : ndarray, shape (n, d)
        Points with the Euclidean metric.
    method : str
        One of `METHODS`.
    stop : float
        The height; at least 0.
    weights : ndarray, shape (n,), optional
        Under ward, at least 1.
    build : callable
        Builds the whole tree of some items, by their indices; for large components.

    Returns
    -------
    Merges
        The merges above `stop` join what is left in the order of the smallest items, at infinite height.

    Raises
    ------
    InputError
        For other methods, weights below 1 under ward, and a height that is not a number of at least 0.
    """
    if method not in METHODS:
        raise InputError(f"A stop height is exact for {', '.join(METHODS)} linkage; {method} linkage can go below the "
                         "distance of the nearest items.", "Build the whole tree and cut it.")
    if method == "ward" and weights is not None and (weights < 1).any():
        raise InputError(f"A stop height with ward linkage takes weights of at least 1; the least is {weights.min():g}.",
                         "Multiply all weights by a constant, and the height by its square root.")
    n = len(X)
    with Ticker(progress, f"neighbours of {n:,} items") as ticker:
        edges = spanning_tree_of_points(X, None, ticker, stop)
    if method == "single":
        return _with_open_ends(edges.a, edges.b, edges.length, stop, n)
    small, large = _components(n, edges.a, edges.b)
    a: list[Ints] = []
    b: list[Ints] = []
    h: list[Floats] = []
    with Ticker(progress, f"{method} linkage of {n:,} items", max(1, len(large))) as ticker:
        first, second, height = _of_small(X, method, stop, weights, small)
        a.append(first)
        b.append(second)
        h.append(height)
        for items in large:
            merges = build(items)
            smallest = _smallest_items(merges)
            a.append(items[smallest[merges.left]])
            b.append(items[smallest[merges.right]])
            h.append(merges.height)
            ticker.step()
    return _with_open_ends(np.concatenate(a), np.concatenate(b), np.concatenate(h), stop, n)


def _components(n: int, a: Ints, b: Ints) -> tuple[list[Ints], list[Ints]]:
    """Components of more than one item, in the order of their smallest items; up to SMALL items, and larger ones."""
    count, label = _labels(n, a, b)
    order = np.argsort(label, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(label, minlength=count))[:-1])
    several = [part for part in parts if len(part) > 1]
    return [p for p in several if len(p) <= SMALL], [p for p in several if len(p) > SMALL]


def _of_small(X: NDArray[np.floating[Any]], method: str, stop: float, weights: Floats | None,
              parts: list[Ints]) -> tuple[Ints, Ints, Floats]:
    items = np.concatenate([*parts, np.empty(0, np.int64)]).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum([len(p) for p in parts])]).astype(np.int64)
    weight = np.ones(len(X)) if weights is None else weights
    a, b, h = np.full(len(items), -1), np.empty(len(items), np.int64), np.empty(len(items))
    kind = METHODS.index(method)
    pool.run(lambda c0, c1: small_trees(X, weight, items, starts, c0, c1, kind, method == "ward", stop,
                                        np.empty((SMALL, SMALL)), np.empty(SMALL), a, b, h),
             pool.blocks(len(parts), TASK))
    made = a >= 0
    return a[made], b[made], h[made]


def _smallest_items(merges: Merges) -> Ints:
    """Smallest item of every node; the left side of a merge has it."""
    smallest = list(range(merges.n))
    for left in merges.left.tolist():
        smallest.append(smallest[left])
    return np.array(smallest, np.int64)


def _with_open_ends(a: Ints, b: Ints, h: Floats, stop: float, n: int) -> Merges:
    """Sort the merges up to `stop`, and join what is left at infinite height."""
    kept = np.flatnonzero(h <= stop)
    order = kept[np.argsort(h[kept], kind="stable")]
    a, b, h = a[order], b[order], h[order]
    _, label = _labels(n, a, b)
    heads = np.unique(label, return_index=True)[1]
    heads.sort()
    return canonical(np.concatenate([a, np.zeros(len(heads) - 1, np.int64)]), np.concatenate([b, heads[1:]]),
                     np.concatenate([h, np.full(len(heads) - 1, math.inf)]))


def _labels(n: int, a: Ints, b: Ints) -> tuple[int, Ints]:
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    count, label = connected_components(sparse.coo_array((np.ones(len(a), np.int8), (a, b)), shape=(n, n)), directed=False)
    return int(count), label
