"""Where every leaf and link of a dendrogram lies, as plain arrays; no drawing library and no recursion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.cuts.flat import cut_height, largest_below
from shoal.errors import InputError
from shoal.runtime.kernel import kernel, plain_if_cheap
from shoal.trees.merges import PLAIN_ITEM_S, Merges, leaf_counts, leaf_positions, parents

__all__ = ["Layout", "horizontal_nodes", "layout"]

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]

HANG = 0.1  # a hanging leaf ends this fraction of the height range below its first merge
INFINITE = 0.05  # infinite heights are drawn this fraction of the axis above the largest finite one


@kernel
def first_places(left: Any, right: Any, start: Any) -> None:
    """start[n + t] = min(start[left[t]], start[right[t]]), children first."""
    n = left.shape[0] + 1
    for t in range(n - 1):
        start[n + t] = min(start[left[t]], start[right[t]])


@kernel
def count_steps(left: Any, right: Any, depth: Any) -> None:
    """Steps from the root to every node; a parent knows them before its children."""
    n = left.shape[0] + 1
    for t in range(n - 2, -1, -1):
        depth[left[t]] = depth[right[t]] = depth[n + t] + 1


@kernel
def hand_down(left: Any, right: Any, cluster: Any) -> int:
    """Give every node the cluster of its parent; return a node that had one of its own below another's, else -1."""
    n = left.shape[0] + 1
    for t in range(n - 2, -1, -1):
        if cluster[n + t] >= 0:
            for c in (left[t], right[t]):
                if cluster[c] >= 0:
                    return int(c)
                cluster[c] = cluster[n + t]
    return -1


@kernel
def place_links(node: Any, left: Any, right: Any, x: Any) -> None:
    """x[node[s]] = (x[left[s]] + x[right[s]]) / 2, children first."""
    for s in range(node.shape[0]):
        x[node[s]] = (x[left[s]] + x[right[s]]) / 2


@dataclass(frozen=True)
class Layout:
    """A dendrogram as arrays: m drawn leaves and m - 1 drawn links, in the tree's own units of height.

    A link is the path (left_x, left_y) - (left_x, link_y) - (right_x, link_y) - (right_x, right_y).

    Attributes
    ----------
    leaf_node : ndarray of int, shape (m,)
        The node each drawn leaf stands for, from left to right: an item, or a contracted node.
    leaf_x : ndarray of float64, shape (m,)
        0, 1, ..., m - 1.
    leaf_y, leaf_top : ndarray of float64, shape (m,)
        The leaf's lower end; and the height of the node itself, which is higher for contracted nodes.
    leaf_count : ndarray of int64, shape (m,)
        Items the leaf stands for: 1, or what a contracted node hides.
    leaf_cluster : ndarray of int64, shape (m,)
        Cluster number; -1 outside the clusters, and for a contracted node that spans several.
    link_node, left_node, right_node : ndarray of int, shape (m - 1,)
        The node made by each drawn link, children first; and the two nodes it joins.
    left_x, right_x, left_y, right_y, link_y : ndarray of float64, shape (m - 1,)
        Positions and lower ends of the link's two legs; the height of its bar.
    left_cluster, right_cluster, link_cluster : ndarray of int64, shape (m - 1,)
        Cluster number of the two children and of the link; -1 above the cut.
    n : int
        Items of the whole tree.
    infinite : int
        Drawn links whose height is infinite; they are drawn a twentieth of the axis above the largest finite height.
    base : float
        The height at which items lie.
    """

    leaf_node: Ints
    leaf_x: Floats
    leaf_y: Floats
    leaf_top: Floats
    leaf_count: NDArray[np.int64]
    leaf_cluster: NDArray[np.int64]
    link_node: Ints
    left_node: Ints
    right_node: Ints
    left_x: Floats
    right_x: Floats
    left_y: Floats
    right_y: Floats
    link_y: Floats
    left_cluster: NDArray[np.int64]
    right_cluster: NDArray[np.int64]
    link_cluster: NDArray[np.int64]
    n: int
    infinite: int
    base: float


def layout(
    merges: Merges, *, order: Any = None, nodes: Any = None, last: int | None = None, level: int | None = None,
    hang: bool = False, heights: Any = None, base: float | None = None,
) -> Layout:
    """Lay out a merge tree, whole or truncated.

    Parameters
    ----------
    merges : Merges
        The tree of n items.
    order : array-like of int, shape (n,), optional
        The items from left to right; must keep every cluster of the tree together. Default: `leaf_order`.
    nodes : array-like of int, shape (k,), optional
        The root node of each cluster, in cluster-number order. No node may lie below another.
    last : int, optional
        Draw the `last` - 1 highest merges only: `last` leaves, some of them contracted.
    level : int, optional
        Draw only the merges less than `level` steps from the root. Not together with `last`.
    hang : bool, default False
        Leaves end a tenth of the height range below their first merge, not at the common base.
    heights : array-like of float, shape (n - 1,), optional
        Heights to draw at, instead of the tree's own; not NaN.
    base : float, optional
        The height at which items lie; default: 0, or the lowest drawn height where that is below 0.

    Returns
    -------
    Layout
        Arrays of the drawn leaves and links.

    Raises
    ------
    InputError
        When an argument does not fit the tree.

    Notes
    -----
    O(n) time (O(n log n) with `last`) and memory, without recursion. A child may be higher than its parent.

    Examples
    --------
    >>> from scipy.cluster.hierarchy import linkage
    >>> from shoal.plot.layout import layout
    >>> from shoal.trees.merges import from_scipy
    >>> drawn = layout(from_scipy(linkage([[0.0], [1.0], [5.0], [9.0]])), last=2)
    >>> drawn.leaf_count.tolist(), drawn.link_y.tolist()
    ([3, 1], [4.0])
    """
    n = merges.n
    height, infinite = _finite(_column(merges, heights), 0.0 if base is None else base)
    start = _starts(merges, order)
    shown = _shown(merges, height, last, level)
    if base is None:
        base = min(0.0, float(height[shown].min(initial=0.0)))
    cluster = _clusters(merges, nodes)
    node_y = np.concatenate([np.full(n, base), height])

    link_node = np.flatnonzero(shown) + n
    left, right = merges.left[shown], merges.right[shown]
    swap = start[left] > start[right]
    left, right = np.where(swap, right, left), np.where(swap, left, right)
    is_link = np.concatenate([np.zeros(n, bool), shown])
    ends = np.concatenate([left, right]) if len(link_node) else np.array([2 * n - 2])
    leaf_node = _by_place(ends[~is_link[ends]], start)

    leaf_x = np.arange(len(leaf_node), dtype=np.float64)
    node_x = _positions(2 * n - 1, leaf_node, link_node, left, right)
    low = node_y.copy()  # where a leg to this node ends: at the node, save for items that hang
    leaf_y = np.full(len(leaf_node), base)
    if hang and len(link_node):
        drop = HANG * (float(height[shown].max()) - base)
        above = node_y[parents(merges)[leaf_node]]
        items = leaf_node < n
        low[leaf_node[items]] = above[items] - drop
        leaf_y = np.where(items, above, np.minimum(node_y[leaf_node], above)) - drop
    return Layout(
        leaf_node, leaf_x, leaf_y, node_y[leaf_node], leaf_counts(merges)[leaf_node], cluster[leaf_node],
        link_node, left, right, node_x[left], node_x[right], low[left], low[right], node_y[link_node],
        cluster[left], cluster[right], cluster[link_node], n, int(infinite[shown].sum()), base,
    )


def horizontal_nodes(merges: Merges, cut: float, order: Any = None) -> NDArray[np.int64]:
    """Return the root nodes of the clusters that a cut at one height leaves, from left to right as drawn.

    Parameters
    ----------
    merges : Merges
        The tree of n items.
    cut : float
        A node stays whole when no merge in it is higher.
    order : array-like of int, shape (n,), optional
        The items from left to right; default: `leaf_order`.

    Returns
    -------
    ndarray of int64, shape (k,)
        Node ids, in the order that numbers the clusters.

    Examples
    --------
    >>> from scipy.cluster.hierarchy import linkage
    >>> from shoal.plot.layout import horizontal_nodes
    >>> from shoal.trees.merges import from_scipy
    >>> horizontal_nodes(from_scipy(linkage([[0.0], [1.0], [5.0], [9.0]])), 2.0).tolist()
    [4, 2, 3]
    """
    return _by_place(cut_height(merges, cut), _starts(merges, order)).astype(np.int64)


def _column(merges: Merges, heights: Any) -> Floats:
    """Return the heights to draw at, checked."""
    if heights is None:
        return merges.height
    column = np.asarray(heights, np.float64)
    if column.shape != merges.height.shape or np.isnan(column).any():
        raise InputError(f"Heights to draw at must be {merges.n - 1} numbers, one a merge, none of them NaN; "
                         f"given was an array of shape {column.shape}.")
    return column


def _finite(height: Floats, base: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Return heights with the infinite ones just above the largest finite one, and which these are."""
    infinite: NDArray[np.bool_] = np.isinf(height) & (height > 0)
    top = float(height[~infinite].max(initial=base))
    ceiling = top + (INFINITE * (top - base) or 1.0)
    return np.where(infinite, ceiling, height).astype(np.float64), infinite


def _by_place(nodes: Ints, start: Ints) -> Ints:
    """Return nodes, of which none is below another, from left to right."""
    at = np.full(len(start) // 2 + 1, -1, np.int64)
    at[start[nodes]] = nodes
    return at[at >= 0]


def _starts(merges: Merges, order: Any) -> Ints:
    """Return the position of every node's first item in the order of the items."""
    if order is None:
        return leaf_positions(merges)
    n, items = merges.n, np.asarray(order)
    if items.shape != (n,) or not np.array_equal(np.sort(items), np.arange(n)):
        raise InputError(f"The order of the leaves must name each of the {n} items once.")
    start = np.empty(2 * n - 1, np.int64)
    start[items] = np.arange(n)
    with plain_if_cheap(PLAIN_ITEM_S * n):
        first_places(merges.left.astype(np.int64), merges.right.astype(np.int64), start)
    end = start + leaf_counts(merges)
    left, right = merges.left, merges.right
    apart = (end[left] != start[right]) & (end[right] != start[left])
    if apart.any():
        raise InputError(f"The order of the leaves tears node {n + int(np.argmax(apart))} of the tree apart.",
                         "Give an order in which the items below every node are neighbours, or none.")
    return start


def _shown(merges: Merges, height: Floats, last: int | None, level: int | None) -> NDArray[np.bool_]:
    """Return which merges are drawn; with a merge, all merges above it are."""
    count = merges.n - 1
    if last is not None and level is not None:
        raise InputError(f"Both last={last} and level={level} were given.", "Give one of them.")
    if last is not None:
        if last < 1:
            raise InputError(f"last={last} leaves were asked for.", "Ask for 1 or more.")
        shown = np.zeros(count, bool)
        # Children come first, so the stable order keeps a merge ahead of its parent where inversions make them equal.
        highest = np.argsort(largest_below(merges, height)[merges.n :], kind="stable")
        shown[highest[count - min(last - 1, count) :]] = True
        return shown
    if level is None:
        return np.ones(count, bool)
    if level < 0:
        raise InputError(f"level={level} was asked for.", "Ask for 0 (one leaf for all) or more.")
    depth = np.zeros(2 * merges.n - 1, np.int64)
    with plain_if_cheap(PLAIN_ITEM_S * merges.n):
        count_steps(merges.left.astype(np.int64), merges.right.astype(np.int64), depth)
    return depth[merges.n :] < level


def _clusters(merges: Merges, nodes: Any) -> NDArray[np.int64]:
    """Return the cluster number of every node: that of the cluster root at or above it, else -1."""
    total = 2 * merges.n - 1
    cluster = np.full(total, -1, np.int64)
    if nodes is None:
        return cluster
    roots = np.asarray(nodes)
    if roots.ndim != 1 or (roots < 0).any() or (roots >= total).any() or len(np.unique(roots)) < len(roots):
        raise InputError(f"The nodes of the clusters must be different numbers from 0 to {total - 1}.")
    cluster[roots.astype(np.int64)] = np.arange(len(roots))
    with plain_if_cheap(PLAIN_ITEM_S * merges.n):
        inside = hand_down(merges.left.astype(np.int64), merges.right.astype(np.int64), cluster)
    if inside >= 0:
        raise InputError(f"Node {inside} was given as a cluster, but it lies inside another of the clusters.",
                         "Give nodes of which none lies below another.")
    return cluster


def _positions(total: int, leaf_node: Ints, link_node: Ints, left: Ints, right: Ints) -> Floats:
    """Return the position of every drawn node: a leaf's rank, a link's middle; NaN where nothing is drawn."""
    x = np.full(total, np.nan)
    x[leaf_node] = np.arange(len(leaf_node))
    with plain_if_cheap(PLAIN_ITEM_S * len(link_node)):
        place_links(link_node, left.astype(np.int64), right.astype(np.int64), x)
    return x
