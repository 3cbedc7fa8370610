"""Where new items belong in a tree: the first merge of each, were the tree built anew with it.

A tree is the record of a greedy run: at step s, s merges are made and the next one is at height[s]. With a new item x, the
run is the same until the first step s at which some cluster v is no farther from x than height[s], the distance of the pair
that merges next; there x merges with the nearest such v, at d(x, v). Up to that step x has changed nothing, so v is a node
of the old tree, and d(x, v) follows from the old items alone. This holds for every method and needs no order of the
heights: an inversion is a step like any other. On a tie x comes before the old merge, which is one of the runs the ties
allow.

So each node v, which lives from step birth(v) to step death(v), stands for x's merge at the first step from its birth on
that is not below d(x, v), if that is within its life; and the first of all these is the one. A node at a distance above
both the best one's and all heights before the best one's step comes later: that is the bound of the search.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.data.carriers import Carrier, Points
from shoal.data.rows import rows_of_new
from shoal.runtime import pool
from shoal.runtime.kernel import plain_if_cheap
from shoal.trees import kdtree
from shoal.trees import place_kernels as kernels
from shoal.trees.merges import Floats, Ints, Merges, leaf_counts, leaf_order, leaf_positions
from shoal.trees.stored import SQUARED

__all__ = ["Coefficients", "History", "Placement", "coefficients", "history", "moved", "node_centres", "place_new",
           "place_points", "place_rows", "rounding"]

LANES = 8  # new items side by side: a cache line for every old one
TASK = 64  # new items a search task takes: a millisecond for five features
FEW_FEATURES = 16  # up to here boxes keep centres apart
PLAIN_NODE_S = 1.2e-6  # a node and a new item in plain Python
PLAIN_CENTRE_S, PLAIN_SEARCH_S = 1.5e-5, 1.5e-4  # a feature of a node's centre there, and of a search
SAFE = 1.0 - 1e-12  # a squared distance to a box is rounded 3·d times


class Placement(NamedTuple):
    """First merges of new items, each in the tree of the old items and itself.

    Attributes
    ----------
    height : ndarray of float64, shape (m,)
        The height of that merge.
    partner : ndarray of int64, shape (m,)
        The old tree's node it merges with.
    """

    height: Floats
    partner: NDArray[np.int64]


class History(NamedTuple):
    """The run that made a tree, by step and by node.

    Attributes
    ----------
    height : ndarray, shape (steps + 1,)
        Of each merge; then infinity. Merges at infinite height, which only join parts, are no steps.
    record : ndarray, shape (steps + 1,)
        The highest up to and with each step.
    higher : ndarray of int64, shape (steps + 1,)
        The next step with a higher merge.
    death : ndarray of int64, shape (2n - 1,)
        The step at which a node merges.
    reach : ndarray, shape (2n - 1,)
        The highest merge in a node's life: what is farther from it does not merge with it.
    least : ndarray of int64, shape (2n - 1,)
        A node's smallest item.
    mass : ndarray, shape (2n - 1,)
        Its summed weight.
    """

    height: Floats
    record: Floats
    higher: Ints
    death: Ints
    reach: Floats
    least: Ints
    mass: Floats


def history(merges: Merges, weights: Floats, power: int = 0) -> History:
    """Tell the run that made a tree, heights in units of 2^power; O(n)."""
    n = merges.n
    steps = int(np.isfinite(merges.height).sum())
    height = np.append(np.ldexp(merges.height[:steps], -power), math.inf)
    found = History(height, np.empty(steps + 1), np.empty(steps + 1, np.int64), np.empty(2 * n - 1, np.int64),
                    np.full(2 * n - 1, -math.inf), np.arange(2 * n - 1), np.append(weights, np.empty(n - 1)))
    with plain_if_cheap(4 * PLAIN_NODE_S * n):
        kernels.fill_history(merges.left, merges.right, *found)
    return found


def place_new(merges: Merges, method: str, weights: Floats, carrier: Carrier, new: Any,
              ids: Sequence[Any] | None = None) -> tuple[tuple[str, ...], Placement]:
    """Read new items and find the first merge of each.

    Parameters
    ----------
    merges, method, weights
        The tree, its linkage method, and the items' weights.
    carrier : Carrier
        What it was built from.
    new, ids
        As `shoal.data.rows.rows_of_new` takes them. A new item weighs 1.

    Returns
    -------
    ids : tuple of str
    placement : Placement

    Notes
    -----
    Dense points with up to 16 features and Euclidean distances are searched for in a kd-tree of the nodes' centres; all
    else takes O(n·d) an item.
    """
    if (isinstance(carrier, Points) and carrier.metric.name == "euclidean" and isinstance(carrier.X, np.ndarray)
            and carrier.d <= FEW_FEATURES):
        read = carrier.new(new, ids=ids)
        return read.ids or tuple(map(str, range(read.n))), place_points(merges, method, weights, carrier.X, read.X)
    names, blocks = rows_of_new(carrier, new, ids)
    return names, place_rows(merges, method, weights, blocks)


def place_rows(merges: Merges, method: str, weights: Floats, blocks: Iterable[NDArray[np.floating[Any]]]) -> Placement:
    """Find the first merge of each new item from its distances to all old ones.

    Parameters
    ----------
    merges : Merges
        The tree of n items.
    method : str
        Its linkage method. For ward, centroid and median the distances are taken as Euclidean.
    weights : ndarray, shape (n,)
        Of the old items.
    blocks : iterable of ndarray, shape (b, n)
        Distances of some new items to all old ones.

    Returns
    -------
    Placement

    Notes
    -----
    O(n) for each new item, in memory O(n); it ends where the item has found its merge.
    """
    H = history(merges, weights)
    C = coefficients(merges, method, H)
    kind = {"single": kernels.SINGLE, "complete": kernels.COMPLETE}.get(method, kernels.LINEAR)
    squared, right, steps = method in SQUARED, merges.right, len(H.height)
    heights, partners = [np.empty(0)], [np.empty(0, np.int64)]
    for block in blocks:
        m = len(block)
        dist, node = np.empty(m), np.empty(m, np.int64)
        largest = max(float(block.max(initial=0.0)), float(H.record[-2]) if steps > 1 else 0.0)
        unit = math.ldexp(1.0, math.frexp(largest)[1] - 1) if squared and largest > 0.0 else 1.0

        def work(i0: int, i1: int, block: Any = block, dist: Floats = dist, node: Ints = node, unit: float = unit) -> None:
            V = np.array(block[i0:i1].T, np.float64, order="C")
            if squared:
                V = (V / unit) ** 2
            lanes = i1 - i0
            kernels.place_lanes(V, kind, right, C, squared, unit, H, np.empty(lanes, np.int64), dist[i0:i1], node[i0:i1],
                                np.empty(lanes), np.empty(lanes))

        with plain_if_cheap(PLAIN_NODE_S * 2 * merges.n * m):
            pool.run(work, pool.blocks(m, LANES))
        heights.append(dist)
        partners.append(node)
    return Placement(np.concatenate(heights), np.concatenate(partners))


class Coefficients(NamedTuple):
    """How distances to a node follow from those to its sides: x + share·(y - x) - drop², times its factor."""

    share: Floats  # of the right side, by merge
    drop: Floats  # by merge
    factor: Floats  # by node


def coefficients(merges: Merges, method: str, H: History) -> Coefficients:
    """Tell the coefficients of a tree; of single and complete linkage those of its means.

    The squared distance to a node's centre follows the recurrence x + p·(y - x) - p·(1 - p)·δ², with the distance δ of the
    two sides' centres from the height: under ward h² = 2·wa·wb/(wa+wb)·δ², else h = δ.
    """
    a, b = H.mass[merges.left], H.mass[merges.right]
    share = np.full(len(a), 0.5) if method in ("weighted", "median") else b / (a + b)
    drop, factor = np.zeros(len(a)), np.ones(len(H.mass))
    if method == "ward":
        drop, factor = merges.height / np.sqrt(2.0 * (a + b)), 2.0 * H.mass / (H.mass + 1.0)
    elif method in ("centroid", "median"):
        drop = np.sqrt(share * (1.0 - share)) * merges.height
    return Coefficients(share, drop, factor)


def node_centres(merges: Merges, method: str, mass: Floats, X: Floats) -> Floats:
    """Centre of every node, its items' mean by the method's shares, shape (2n - 1, d); O(n·d)."""
    n, d = X.shape
    centre = np.empty((2 * n - 1, d))
    centre[:n] = X
    with plain_if_cheap(PLAIN_NODE_S * n * d):
        kernels.fill_centres(merges.left, merges.right, mass, method in ("weighted", "median"), centre)
    return centre


class _Members(NamedTuple):
    """The items in leaf order, for distances to all items of a node; empty where centres are enough."""

    XT: Floats
    begin: Ints
    size: Ints
    load: Floats  # by leaf: its weight, or its depth
    total: Floats  # by node: its weight, or its depth


def place_points(merges: Merges, method: str, weights: Floats, X: NDArray[np.floating[Any]],
                 new: NDArray[np.floating[Any]]) -> Placement:
    """Find the first merge of each new point in the tree of dense points with Euclidean distances.

    Parameters
    ----------
    merges : Merges
        The tree of n points.
    method : str
        Its linkage method.
    weights : ndarray, shape (n,)
        Of the old points.
    X : ndarray, shape (n, d)
    new : ndarray, shape (m, d)

    Returns
    -------
    Placement

    Notes
    -----
    O(n·d·log n) to prepare, and O(n·d) memory. Then, for few features, about O(log n) for each new point under ward,
    centroid, median and single linkage; under complete, average and weighted linkage it also sums the distances to the
    items of some nodes, most of them small.
    """
    (old, fresh), power = moved(X, new)
    with plain_if_cheap(PLAIN_CENTRE_S * X.size + PLAIN_SEARCH_S * new.size):
        H = history(merges, weights, power)
        dist, node = _search(merges, method, H, old, fresh)
    return Placement(np.ldexp(dist, power), node)


class _Found(NamedTuple):
    """What a search found for each new item: height, node and step of its merge."""

    dist: Floats
    node: NDArray[np.int64]
    step: NDArray[np.int64]


def _search(merges: Merges, method: str, H: History, old: Floats, new: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Heights and partners by the kd-tree of the nodes' centres, or under single linkage of the items."""
    n, (m, d), single = merges.n, new.shape, method == "single"
    T = kdtree.build(old if single else node_centres(merges, method, H.mass, old)[:n + len(H.height) - 1])
    factor = coefficients(merges, method, H).factor
    kind = {"complete": kernels.FARTHEST, "average": kernels.MEAN, "weighted": kernels.SHARES}.get(method, kernels.CENTRE)
    slack = rounding(n, d) if kind else 0.0
    life = H._replace(reach=np.full(2 * n - 1, math.inf)) if single else H  # its nearest item decides, whenever it merges
    M, lightest = _members(merges, kind, H, old), SAFE * float(factor.min())
    ceiling = (_highest(T, life.reach) + slack) ** 2 / (SAFE * lightest)
    found = _Found(np.empty(m), np.empty(m, np.int64), np.empty(m, np.int64))
    pool.run(lambda q0, q1: kernels.place_by_centres(T, kind, life, M, factor, lightest, slack, ceiling, new, q0, q1, found),
             pool.blocks(m, TASK))
    if not single:
        return found.dist, found.node
    node, by = np.empty(m, np.int64), np.argsort(found.step, kind="stable")
    kernels.nodes_at(merges.left, merges.right, H.least, found.node, found.step, by, np.arange(n), node)
    return found.dist, node


def _highest(T: kdtree.KDTree, reach: Floats) -> Floats:
    """Return the largest reach below every node of the kd-tree; new items far from all old ones need it: 15 s became 2.5."""
    found = np.empty(2 * T.leaves - 1)
    first = T.leaves - 1
    found[first:] = np.maximum.reduceat(reach[T.order], T.start[first:2 * T.leaves - 1])
    while first:
        found[first // 2:first] = found[first:2 * first + 1].reshape(-1, 2).max(axis=1)
        first //= 2
    return found


def rounding(n: int, d: int) -> float:
    """How far rounding may move a centre of points within [-1, 1]: each of up to n means on the way to it is rounded."""
    return float(4.0 * np.finfo(np.float64).eps * n * d)


def moved(X: NDArray[np.floating[Any]], new: NDArray[np.floating[Any]]) -> tuple[tuple[Floats, Floats], int]:
    """Both sets of points less the offset of X and divided by a power of two, so that squares stay in range.

    The offset is the value nearest to zero of a feature whose values are within a factor of two: taking that away is exact
    (Sterbenz), and means then lose nothing to it.
    """
    low, high = X.min(axis=0).astype(np.float64), X.max(axis=0).astype(np.float64)
    offset = np.where((low > 0) & (high <= 2 * low), low, np.where((high < 0) & (low >= 2 * high), high, 0.0))
    moved = X - offset, new - offset
    power = math.frexp(max(float(np.abs(Z).max(initial=0.0)) for Z in moved))[1]
    return (np.ldexp(moved[0], -power), np.ldexp(moved[1], -power)), power


def _members(merges: Merges, kind: int, H: History, X: Floats) -> _Members:
    begin = leaf_positions(merges)
    if kind == kernels.CENTRE:
        return _Members(np.empty((0, 0)), begin, begin, np.empty(0), np.empty(0))
    order, total = leaf_order(merges, begin), H.mass
    if kind == kernels.SHARES:
        total = np.empty(2 * merges.n - 1)
        kernels.fill_depths(merges.left, merges.right, total)
    return _Members(np.ascontiguousarray(X[order].T), begin, leaf_counts(merges), total[order], total)
