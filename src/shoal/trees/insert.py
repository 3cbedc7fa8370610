"""New items in an old tree: the exact tree of both, with as much as possible of the old one kept.

Single linkage. Its tree says which items paths connect whose longest edge is short, and of the old items the tree's own
edges say that: a merge at height h as an edge of length h between any two items of its sides. For the longest edge between
two items on a best path is the height at which they meet; and a distance d(i, j) can be replaced by tree edges of at most
that length, a tree edge by distances of at most its own. So the minimum spanning tree of these n - 1 edges and the distances
to a new item gives the tree of all, in O(n) for each new item: where two parts meet in the tree and each has a shortest edge
to the item, the longest of the three edges of that cycle goes.

Complete, average, weighted and ward linkage. They are reducible: two clusters that are each other's nearest may merge
before all others, in any order, and the tree is the same. So go through the old merges in their order. A merge of a and b
stays if no new item and no leftover is as near to a or to b as they to one another; a leftover is an old cluster whose own
merge did not stay. All other clusters around are old ones that were there when a and b merged first, and none of them was
nearer. What is left in the end, leftovers and new items, is clustered as clusters of their weight. To let a merge go that
might have stayed is no error, so a lower bound of the distance is enough: that of the centres, under complete linkage with
the spreads of both.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.data import features
from shoal.data.carriers import Points
from shoal.data.checks import read_ids
from shoal.errors import InputError
from shoal.runtime import memory, pool
from shoal.runtime.kernel import kernel, plain_if_cheap
from shoal.runtime.progress import Progress
from shoal.trees import kdtree, linkage, spanning
from shoal.trees.merges import Floats, Ints, Merges, canonical, leaf_counts, leaf_order, leaf_positions, root_of
from shoal.trees.place import History, coefficients, history, moved, node_centres, rounding
from shoal.trees.place_kernels import fill_depths, fill_inner
from shoal.trees.stored import _in_height_order, linkage_stored, peak_bytes

__all__ = ["Inserted", "insert", "insert_single", "joined"]

BLOCK = 1 << 21  # distances at a time: 16 MB
STAR_S = 2e-8  # seconds an old item takes for a new one under single linkage, beside its distance
STEPS = 512  # merges gone through between two looks at the keyboard
FEW_FEATURES, MANY = 16, 100  # more features, or n/100 new items, leave little of the tree or take long to find it
PLAIN_EDGE_S, PLAIN_KEEP_S = 3e-5, 7e-5  # an edge and a new item in plain Python; a feature of an old item
WORTH = 0.5  # from this share of clusters left on, the tree is built anew
ROUNDED = {np.dtype(np.float64): 1e-9, np.dtype(np.float32): 1e-5}  # what heights of such data may be off by, relatively


class Inserted(NamedTuple):
    """What became of the old tree.

    Attributes
    ----------
    kept : ndarray of int64
        The old tree's nodes that are still clusters with all that is in them, the largest of each branch.
    rebuilt : float
        Share of the new tree's merges that were computed anew.
    how : str
        What was done, in a sentence.
    """

    kept: NDArray[np.int64]
    rebuilt: float
    how: str


def insert(merges: Merges, method: str, old: Points, new: Points, *, memory_limit: int | str | None = None,
           progress: Progress = None) -> tuple[Merges, Inserted]:
    """Build the exact tree of old and new items from the tree of the old ones.

    Parameters
    ----------
    merges : Merges
        The tree of the old items.
    method : str
        Its linkage method.
    old, new : Points
        The same features, scaled alike. New items are numbered after the old ones.
    memory_limit, progress
        For the part that is computed anew; as in `shoal.linkage`.

    Returns
    -------
    merges : Merges
        Of all n + m items.
    report : Inserted

    Raises
    ------
    InputError
        For a tree whose parts are joined at infinite height.
    TooLargeError
        When the part to compute anew would not fit in memory.

    Notes
    -----
    Single linkage keeps the old tree's edges, for any metric: O(m·n·d). Complete, average, weighted and ward linkage keep
    the branches nothing new comes near, for up to n/100 new dense points with at most 16 features and Euclidean distances.
    All else, and what would have to be computed anew for the most part, is built anew from the items.
    """
    if np.isinf(merges.height).any():
        raise InputError("Parts of this tree are joined at infinite height, and new items may belong between them.",
                         "Build the tree of all items anew.")
    both = joined(old, new)
    dense = isinstance(old.X, np.ndarray) and old.metric.name == "euclidean"
    if method == "single" and not (dense and spanning.seconds(both.n, old.d) < STAR_S * old.n * new.n):
        return _by_edges(merges, old, new)
    few = dense and old.d <= FEW_FEATURES and new.n * MANY <= old.n
    if few and method in ("complete", "average", "weighted", "ward"):
        tops, lost = _kept(merges, method, old, new)
        if len(tops.node) + new.n <= WORTH * both.n:
            return _from_clusters(merges, method, both, tops, lost, memory_limit, progress)
    why = "finding the spanning tree takes less" if method == "single" else "that takes less than to find what can stay"
    found, _ = linkage.build(both, method, memory_limit=memory_limit, progress=progress)
    return found, Inserted(np.arange(old.n), 1.0, f"Built anew: {why}.")


def joined(old: Points, new: Points) -> Points:
    """Return old and new items as one carrier; where only some have names, the others go by their numbers."""
    if isinstance(old.X, np.ndarray):
        X = features.frozen(np.concatenate([old.X, new.X]))
    else:
        from scipy import sparse

        X = sparse.csr_array(sparse.vstack([old.X, new.X]))
    names = None
    if old.ids is not None or new.ids is not None:
        numbers = list(map(str, range(old.n + new.n)))
        names = read_ids([*(old.ids or numbers[:old.n]), *(new.ids or numbers[old.n:])], old.n + new.n)
    return dataclasses.replace(old, X=X, ids=names, weights=_weights(old, new))


def _weights(old: Points, new: Points) -> Floats | None:
    if old.weights is None and new.weights is None:
        return None
    return np.concatenate([np.ones(p.n) if p.weights is None else p.weights for p in (old, new)])


# --------------------------------------------------------------------------------------------------- single linkage


@kernel
def join_star(a: Any, b: Any, h: Any, x: int, d: Any, near: Any, root: Any, to_a: Any, to_b: Any, to_h: Any) -> None:
    """Minimum spanning tree of a tree's edges, the shortest first, and of the edges from x to every item; unsorted.

    near[r]: the end of the shortest edge from x to the part with root r that is not in the tree yet.
    """
    for i in range(d.shape[0]):
        near[i], root[i] = i, i
    for e in range(h.shape[0]):
        r, s = root_of(root, a[e]), root_of(root, b[e])
        i, j = near[r], near[s]
        if d[j] < d[i]:
            i, j = j, i
        if d[j] >= h[e]:  # on a tie the old edge: its ends stand for parts that are whole by then
            to_a[e], to_b[e], to_h[e] = a[e], b[e], h[e]
        else:
            to_a[e], to_b[e], to_h[e] = j, x, d[j]
        root[max(r, s)] = min(r, s)
        near[min(r, s)] = i
    last = h.shape[0]
    i = near[root_of(root, 0)]
    to_a[last], to_b[last], to_h[last] = i, x, d[i]


def insert_single(merges: Merges, rows: Any) -> Merges:
    """Insert new items into a single-linkage tree, one after the other.

    Parameters
    ----------
    merges : Merges
        The tree of n items.
    rows : iterable of ndarray
        For new item j, its n + j distances to the old items and to the new ones before it.

    Returns
    -------
    Merges
        Of all n + m items.
    """
    n = merges.n
    least = history(merges, np.ones(n)).least
    a, b, h = least[merges.left], least[merges.right], merges.height
    for x, d in enumerate(rows, n):
        to_a, to_b, to_h = np.empty(x, np.int64), np.empty(x, np.int64), np.empty(x)
        with plain_if_cheap(PLAIN_EDGE_S * x):
            join_star(a, b, h, x, np.asarray(d, np.float64), np.empty(x, np.int64), np.empty(x, np.int64), to_a, to_b, to_h)
        by = np.argsort(to_h, kind="stable")
        a, b, h = to_a[by], to_b[by], to_h[by]
    return canonical(a, b, h)


def _by_edges(merges: Merges, old: Points, new: Points) -> tuple[Merges, Inserted]:
    def rows() -> Any:
        for j0, j1 in pool.blocks(new.n, max(1, BLOCK // (old.n + new.n))):
            block = old.metric.between(new.X[j0:j1], old.X)
            among = old.metric.between(new.X[j0:j1], new.X[:j1])
            for j in range(j0, j1):
                yield np.concatenate([block[j - j0], among[j - j0, :j]])

    found = insert_single(merges, rows())
    return found, Inserted(np.arange(old.n), new.n / (found.n - 1),
                           "The old tree's edges and the distances of the new items made a spanning tree.")


# -------------------------------------------------------------------------------------------------- reducible methods


class _Tops(NamedTuple):
    """What is left when all merges that stay are made: kept nodes, and the old tree's centres and weights."""

    node: Ints
    centre: Floats  # of all old nodes and the new items, in units of 2^power
    mass: Floats  # likewise
    power: int


@kernel
def retire(v: int, at: Any, leaf_of: Any, start: Any, stop: Any, inner: int, reach: Any, top: Any) -> None:
    """Node v can lose its merge no more: take it out of the bounds above it."""
    w = inner + leaf_of[at[v]]
    for r in range(2):
        was, u = reach[r, at[v]], w
        reach[r, at[v]] = -1.0
        if was < top[r, w]:
            continue
        top[r, w] = -1.0
        for p in range(start[w], stop[w]):
            top[r, w] = max(top[r, w], reach[r, p])
        while u > 0 and top[r, (u - 1) >> 1] == was:
            u = (u - 1) >> 1
            top[r, u] = max(top[r, 2 * u + 1], top[r, 2 * u + 2])


class _Run(NamedTuple):
    """The old tree, a kd-tree of its nodes' centres, and what the merges that stay are found with."""

    order: Ints
    start: Ints
    stop: Ints
    low: Floats
    high: Floats
    at: Ints  # of a node: its position in the kd-tree
    leaf_of: Ints  # of a position
    centre: Floats  # of the old nodes, and after them of the new items
    mass: Floats
    spread: Floats  # what a node's items add to a squared distance at least
    left: Ints
    right: Ints
    death: Ints
    lost: NDArray[np.bool_]  # of a merge
    reach: Floats  # (2, positions), see disturb
    top: Floats  # (2, nodes of the kd-tree): the largest below


@kernel
def disturb(c: int, R: Any, ward: bool, slack: float, more: float, stack: Any) -> None:
    """Cluster c is around: the merges of all nodes that it may be as near to as they to one another are lost.

    Node v merges at h² = reach[0]. Under ward c is as near when 2·w·wv/(w+wv)·δ² ≤ h², that is, δ² ≤ (h²/w + h²/wv)/2 for
    centres δ apart; reach[1] = h²/wv, and `top` has the largest of both in a kd-tree's node. Else when δ² + spreads ≤ h².
    """
    order, start, stop, low, high, at, leaf_of = R.order, R.start, R.stop, R.low, R.high, R.at, R.leaf_of
    centre, spread, left, right, death, lost = R.centre, R.spread, R.left, R.right, R.death, R.lost
    reach, top = R.reach, R.top
    n, d, inner, depth, w_c = left.shape[0] + 1, centre.shape[1], start.shape[0] // 2, 1, R.mass[c]
    stack[0] = 0
    while depth > 0:
        depth -= 1
        w = stack[depth]
        if top[0, w] < 0.0:
            continue
        gap = 0.0
        for k in range(d):
            e = max(low[w, k] - centre[c, k], centre[c, k] - high[w, k], 0.0)
            gap += e * e
        gap = max(math.sqrt(gap) - slack, 0.0)
        if gap * gap + spread[c] > more * (0.5 * (top[0, w] / w_c + top[1, w]) if ward else top[0, w]):
            continue
        if w < inner:
            stack[depth], stack[depth + 1] = 2 * w + 1, 2 * w + 2
            depth += 2
            continue
        for p in range(start[w], stop[w]):
            if reach[0, p] < 0.0:
                continue
            v, gap = order[p], 0.0
            for k in range(d):
                gap += (centre[v, k] - centre[c, k]) * (centre[v, k] - centre[c, k])
            gap = max(math.sqrt(gap) - slack, 0.0)
            limit = 0.5 * (reach[0, p] / w_c + reach[1, p]) if ward else reach[0, p]
            if gap * gap + spread[c] + spread[v] > more * limit:
                continue
            t = death[v]
            while t < n - 1 and not lost[t]:  # with a cluster, all that hold it are gone
                lost[t] = True
                retire(left[t], at, leaf_of, start, stop, inner, reach, top)
                retire(right[t], at, leaf_of, start, stop, inner, reach, top)
                t = death[n + t]


@kernel
def go_through(t0: int, t1: int, R: Any, ward: bool, slack: float, more: float, stack: Any) -> None:
    """Merges t0 … t1 in their order: what stays is past; of a lost merge, the sides that came to be are leftovers."""
    left, right, lost = R.left, R.right, R.lost
    n = left.shape[0] + 1
    for t in range(t0, t1):
        for v in (left[t], right[t]):
            if not lost[t]:
                retire(v, R.at, R.leaf_of, R.start, R.stop, R.start.shape[0] // 2, R.reach, R.top)
            elif v < n or not lost[v - n]:
                disturb(v, R, ward, slack, more, stack)


def _kept(merges: Merges, method: str, old: Points, new: Points) -> tuple[_Tops, NDArray[np.bool_]]:
    """Find the merges that stay; returns what is left then, and which merges are lost."""
    n = merges.n
    (X, Y), power = moved(old.X, new.X)
    weight = _weights(old, new)
    weight = np.ones(n + new.n) if weight is None else weight
    with plain_if_cheap(PLAIN_KEEP_S * old.X.size):
        H = history(merges, weight[:n], power)
        nodes = node_centres(merges, method, H.mass, X)
        centre, mass = np.concatenate([nodes, Y]), np.concatenate([H.mass, weight[n:]])
        lost = _lost(merges, method, H, nodes, centre, mass, (1.0 + ROUNDED[old.X.dtype]) ** 2)
    formed = np.append(np.ones(n, np.bool_), ~lost)
    tops = np.flatnonzero(formed & np.append(lost, True)[H.death])
    return _Tops(tops, centre, mass, power), lost


def _lost(merges: Merges, method: str, H: History, nodes: Floats, centre: Floats, mass: Floats,
          more: float) -> NDArray[np.bool_]:
    """Which merges do not stay, to be on the safe side, with the new items as the last rows of `centre`."""
    n, d = merges.n, nodes.shape[1]
    T = kdtree.build(nodes)
    slack, spread, lost = rounding(n, d), np.zeros(len(mass)), np.zeros(n - 1, np.bool_)
    if method == "complete":  # the largest distance is at least the root mean square of all
        share, apart = coefficients(merges, method, H)[0], np.linalg.norm(nodes[merges.left] - nodes[merges.right], axis=1)
        fill_inner(merges.left, merges.right, share, np.sqrt(share * (1.0 - share)) * apart, spread)
        spread = np.maximum(np.sqrt(spread) - slack, 0.0) ** 2
    inner, at = len(T.block) - 1, np.empty(2 * n - 1, np.int64)
    at[T.order] = np.arange(2 * n - 1)
    leaf_of = np.repeat(np.arange(inner + 1), T.stop[inner:] - T.start[inner:])
    squares = np.where(np.isinf(H.height[H.death]), -1.0, H.height[H.death] ** 2)
    reach, top = np.array([squares, squares / H.mass])[:, T.order], np.empty((2, len(T.start)))
    top[:, inner:] = np.maximum.reduceat(reach, T.start[inner:], axis=1)
    for w in range(inner - 1, -1, -1):
        top[:, w] = np.maximum(top[:, 2 * w + 1], top[:, 2 * w + 2])
    R = _Run(T.order, T.start, T.stop, T.low, T.high, at, leaf_of, centre, mass, spread, merges.left, merges.right, H.death,
             lost, reach, top)
    stack = np.empty(128, np.int64)
    for j in range(2 * n - 1, len(mass)):
        disturb(j, R, method == "ward", slack, more, stack)
    for t0, t1 in pool.blocks(n - 1, STEPS):
        go_through(t0, t1, R, method == "ward", slack, more, stack)
    return lost


def _from_clusters(merges: Merges, method: str, both: Points, tops: _Tops, lost: NDArray[np.bool_],
                   memory_limit: int | str | None, progress: Progress) -> tuple[Merges, Inserted]:
    """Cluster what is left, each with its weight, and put the merges that stay before it."""
    n, k = merges.n, len(tops.node)
    begin = leaf_positions(merges)
    node = tops.node[np.argsort(begin[tops.node], kind="stable")]
    ends = np.append(node, np.arange(2 * n - 1, len(tops.mass)))  # kept nodes from left to right, then the new items
    mass = tops.mass[ends]
    if method == "ward":
        some = dataclasses.replace(both, X=tops.centre[ends], ids=None, weights=mass, columns=None, scaling=None)
        upper, _ = linkage.build(some, method, memory_limit=memory_limit, progress=progress)
        height = np.ldexp(upper.height, tops.power)
    else:
        memory.require(peak_bytes(len(ends)), memory_limit, f"{method} linkage of {len(ends):,} clusters")
        order = np.append(leaf_order(merges, begin), np.arange(n, both.n))
        D = _between_clusters(both, method, order, np.append(begin[node], np.arange(n, both.n)),
                              _shares(merges, method, both, tops, order, node))
        upper = linkage_stored(D, len(ends), method, mass, progress=progress)
        height = upper.height
    least = history(merges, np.ones(n)).least
    item = np.append(least[node], np.arange(n, both.n))
    above = item[history(upper, np.ones(upper.n)).least]
    stay = np.flatnonzero(~lost)
    found = _in_height_order(np.append(least[merges.left[stay]], above[upper.left]),
                             np.append(least[merges.right[stay]], above[upper.right]),
                             np.append(merges.height[stay], height))
    return found, Inserted(np.sort(node), (len(ends) - 1) / (both.n - 1),
                           f"{k:,} branches of the old tree stay as they are; the merges above them were computed anew.")


def _shares(merges: Merges, method: str, both: Points, tops: _Tops, order: Ints, node: Ints) -> Floats:
    """Every item's share in the mean of its cluster, in leaf order; 1 for new items."""
    n = merges.n
    sizes = leaf_counts(merges)[node]
    if method == "weighted":
        depth = np.empty(2 * n - 1)
        fill_depths(merges.left, merges.right, depth)
        share = np.exp2(np.repeat(depth[node], sizes) - depth[order[:n]])
    else:
        share = tops.mass[order[:n]] / np.repeat(tops.mass[node], sizes)
    return np.append(share, np.ones(both.n - n))


def _between_clusters(both: Points, method: str, order: Ints, starts: Ints, share: Floats) -> Floats:
    """Condensed distances of clusters of items, which `order` lists from `starts` on: the largest, or their mean by shares.

    O(N²·d) time for N items, in blocks.
    """
    X, k, size = both.X[order], len(starts), len(order)
    label = np.repeat(np.arange(k), np.diff(np.append(starts, size)))
    gather: np.ufunc = np.maximum if method == "complete" else np.add
    weight = np.ones(size) if method == "complete" else share
    D, at, c0 = np.empty(k * (k - 1) // 2), 0, 0
    rows = max(1, BLOCK // size)
    while c0 < k - 1:
        i0 = int(starts[c0])
        c1 = max(c0 + 1, int(label[min(i0 + rows, size - 1)]))
        i1 = int(starts[c1]) if c1 < k else size
        found = np.zeros((c1 - c0, k - c0))
        for r0, r1 in pool.blocks(i1 - i0, rows):
            some = slice(i0 + r0, i0 + r1)
            part = gather.reduceat(both.metric.between(X[some], X[i0:]) * weight[i0:], starts[c0:] - i0, axis=1)
            first = np.flatnonzero(np.diff(label[some], prepend=-1))
            part = gather.reduceat(part * weight[some, None], first, axis=0)
            to = label[some][first] - c0
            found[to] = gather(found[to], part)
        for c in range(c0, c1):
            D[at:at + k - 1 - c] = found[c - c0, c - c0 + 1:]
            at += k - 1 - c
        c0 = c1
    return D
