"""The loops of spanning trees: Borůvka's rounds over points with lists of neighbours, and over edges; Prim's step.

They call one another, so they share a file: the cache of compiled kernels would not notice an edit in another one.
Edges are ordered by (length, smaller item, larger item).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from shoal.runtime.kernel import kernel

__all__ = ["choose", "collect", "flatten", "hang", "look_up", "nearest_edges", "next_point", "number_rows",
           "rename", "thin", "unite"]


@kernel
def closer(s: float, i: int, j: int, best: float, bi: int, bj: int) -> bool:
    """Whether the edge (s, i, j) comes before (best, bi, bj): by length, smaller item, larger item."""
    if s != best:
        return s < best
    lo, hi, blo, bhi = min(i, j), max(i, j), min(bi, bj), max(bi, bj)
    return lo < blo or (lo == blo and hi < bhi)


@kernel
def find(root: Any, t: int) -> int:
    """Root of t, halving the path."""
    while root[t] != t:
        root[t] = root[root[t]]
        t = root[t]
    return t


@kernel
def number_rows(bits: Any, key: Any) -> None:
    """A number of the bits of each row: equal rows have equal ones."""
    for i in range(bits.shape[0]):
        h = np.uint64(0)
        for k in range(bits.shape[1]):
            h = (h ^ np.uint64(bits[i, k])) * np.uint64(0xBF58476D1CE4E5B9)
            h ^= h >> np.uint64(29)
        key[i] = h


# ---------------------------------------------------------------------------------------------------- a round, over points


@kernel
def look_up(f: Any, p0: int, p1: int) -> None:
    """Begin a round: nearest foreign neighbours of points p0 … p1 as far as their lists tell, and what their trees learn.

    What is not listed comes after (reach, the last listed) in the order of (square, item). A listed neighbour that may
    not be the nearest still bounds the tree's shortest edge. Points that their trees do not need are left as they are.
    """
    k, with_core = f.listed.shape[1], f.core.shape[0] > 0
    for p in range(p0, p1):
        t, m = f.tree[p], f.near[p]
        if f.bound[p] > f.shortest[t]:
            continue
        if m >= 0 and f.tree[m] != t:
            f.shortest[t] = f.bound[p]
            continue
        e = f.next[p]
        while e < k and f.listed[p, e] >= 0 and f.tree[f.listed[p, e]] == t:
            e += 1
        f.next[p] = e
        best, at, own = math.inf, -1, f.core[p] if with_core else 0.0
        while e < k and f.listed[p, e] >= 0 and f.squares[p, e] <= best:
            m = f.listed[p, e]
            if f.tree[m] != t:
                value = max(f.squares[p, e], own, f.core[m]) if with_core else f.squares[p, e]
                if at < 0 or value < best or (value == best and f.item[m] < f.item[f.listed[p, at]]):
                    best, at = value, e
            e += 1
        if at >= 0 and (best < f.reach[p] or best == f.reach[p] == f.squares[p, at]):
            f.near[p], f.bound[p] = f.listed[p, at], best
        else:
            f.near[p], f.bound[p] = -1, max(f.bound[p], f.reach[p], own)
        f.shortest[t] = min(f.shortest[t], best)


@kernel
def collect(f: Any, p0: int, p1: int, found: Any) -> int:
    """Write the points p0 … p1 whose edge may be their tree's shortest to found[p0 …]; return where they end.

    Other threads lower a tree's shortest edge at the same time, and one may undo what another did: so it is a bound.
    """
    end = p0
    for p in range(p0, p1):
        t = f.tree[p]
        if f.bound[p] <= f.shortest[t] and f.near[p] >= 0 and f.tree[f.near[p]] != t:
            found[end] = p
            end += 1
    return end


@kernel
def choose(f: Any, found: Any, x0: int, x1: int, edge: Any) -> None:
    """edge[t] = the point of tree t, of those found, whose edge comes first."""
    for x in range(x0, x1):
        p = found[x]
        t, m = f.tree[p], f.near[p]
        e = edge[t]
        if e < 0 or closer(f.bound[p], f.item[p], f.item[m], f.bound[e], f.item[e], f.item[f.near[e]]):
            edge[t] = p


@kernel
def hang(f: Any, alive: Any, x0: int, x1: int, edge: Any, root: Any, a: Any, b: Any, length: Any) -> int:
    """Hang trees alive[x0 … x1] on those their edges lead to, and write the edges to a[x0 …]; return where they end.

    Two trees that chose the same edge hang on the first. There are no longer circles, because no two edges are equal.
    """
    end = x0
    for x in range(x0, x1):
        t = alive[x]
        p = edge[t]
        if p < 0:
            continue
        m = f.near[p]
        e = edge[f.tree[m]]
        if t < f.tree[m] and e >= 0 and f.tree[f.near[e]] == t:
            continue
        root[t] = f.tree[m]
        i, j = f.item[p], f.item[m]
        a[end], b[end], length[end] = min(i, j), max(i, j), f.bound[p]
        end += 1
    return end


@kernel
def thin(f: Any, alive: Any, x0: int, x1: int, kept: int, edge: Any, root: Any, size: Any, most: float) -> int:
    """Keep of the trees alive[x0 … x1] those that are left, and count their points; return how many there are."""
    for x in range(x0, x1):
        t = alive[x]
        r = find(root, t)
        root[t] = r
        if r == t:
            alive[kept] = t
            kept += 1
        else:
            size[r] += size[t]
        edge[t], f.shortest[t] = -1, most
    return kept


@kernel
def rename(tree: Any, root: Any, p0: int, p1: int) -> None:
    """Tell points p0 … p1 which tree they are in now."""
    for p in range(p0, p1):
        tree[p] = root[tree[p]]


# --------------------------------------------------------------------------------------------------- given edges, and rows


@kernel
def nearest_edges(a: Any, b: Any, length: Any, e0: int, e1: int, kept: int, tree: Any, edge: Any) -> int:
    """Note every tree's shortest of the edges e0 … e1, which ascend by (a, b), so that the first of equal ones comes first.

    Edges within a tree are dropped: the others move up to place `kept`; return where they end.
    """
    for e in range(e0, e1):
        u, v = tree[a[e]], tree[b[e]]
        if u == v:
            continue
        a[kept], b[kept], length[kept] = a[e], b[e], length[e]
        if edge[u] < 0 or length[kept] < length[edge[u]]:
            edge[u] = kept
        if edge[v] < 0 or length[kept] < length[edge[v]]:
            edge[v] = kept
        kept += 1
    return kept


@kernel
def unite(a: Any, b: Any, length: Any, edge: Any, root: Any, p0: int, p1: int, out_a: Any, out_b: Any, out: Any,
          made: int) -> int:
    """Add the shortest edges of trees p0 … p1; return how many edges there are. A tree is called by its smallest item."""
    for t in range(p0, p1):
        e = edge[t]
        if e < 0:
            continue
        edge[t] = -1
        u, v = find(root, a[e]), find(root, b[e])
        if u != v:
            root[max(u, v)] = min(u, v)
            out_a[made], out_b[made], out[made] = a[e], b[e], length[e]
            made += 1
    return made


@kernel
def flatten(root: Any, tree: Any, p0: int, p1: int) -> None:
    """Tell items p0 … p1 which tree they are in now."""
    for p in range(p0, p1):
        tree[p] = find(root, p)


@kernel
def next_point(row: Any, newest: int, outside: Any, count: int, best: Any, source: Any, core: Any) -> int:
    """Prim's step: look from the newest point of the tree; return the place of the point with the shortest edge into it."""
    at, with_core = 0, core.shape[0] > 0
    for x in range(count):
        j = outside[x]
        s = max(row[j], core[newest], core[j]) if with_core else row[j]
        if closer(s, newest, j, best[x], source[x], j):
            best[x], source[x] = s, newest
        if closer(best[x], source[x], j, best[at], source[at], outside[at]):
            at = x
    return at
