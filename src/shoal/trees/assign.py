"""Which cluster of a cut new items are nearest to: the linkage's own distance from an item to a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.data.carriers import Carrier, Points
from shoal.data.rows import rows_of_new
from shoal.runtime.kernel import plain_if_cheap
from shoal.trees import place_kernels as kernels
from shoal.trees.merges import Floats, Ints, Merges
from shoal.trees.place import PLAIN_NODE_S, coefficients, history
from shoal.trees.stored import SQUARED

__all__ = ["ClusterShapes", "cluster_shapes", "distances_of_new", "distances_to_clusters"]


class ClusterShapes(NamedTuple):
    """What the update formula needs of the clusters of a cut.

    Attributes
    ----------
    order, starts : ndarray of int
        Items sorted by cluster, and where each cluster begins among them.
    share : ndarray, shape (n,)
        Of each item (in `order`) in its cluster's mean; sums to 1 within a cluster.
    inner : ndarray, shape (k,)
        Mean squared distance of a cluster's items from its centre, in units of `unit` squared.
    mass : ndarray, shape (k,)
        Summed weights.
    unit : float
        The largest height: no square of a height overflows or vanishes beside it.
    """

    order: Ints
    starts: Ints
    share: Floats
    inner: Floats
    mass: Floats
    unit: float


def cluster_shapes(merges: Merges, nodes: Ints, labels: Ints, method: str, weights: Floats) -> ClusterShapes:
    """Collect what distances to the clusters of a cut need; O(n)."""
    n, H = merges.n, history(merges, weights)
    inside = np.flatnonzero(labels >= 0)
    order = inside[np.argsort(labels[inside], kind="stable")]
    starts, node = np.searchsorted(labels[order], np.arange(len(nodes))), nodes[labels[order]]
    unit, inner = float(merges.height.max(initial=0.0)) or 1.0, np.zeros(2 * n - 1)
    with plain_if_cheap(PLAIN_NODE_S * n):
        if method in ("weighted", "median"):
            depth = np.empty(2 * n - 1)
            kernels.fill_depths(merges.left, merges.right, depth)
            share = np.exp2(depth[node] - depth[order])
        else:
            share = weights[order] / H.mass[node]
        if method in SQUARED:
            part, drop, _ = coefficients(merges, method, H)
            kernels.fill_inner(merges.left, merges.right, part, drop / unit, inner)
    return ClusterShapes(order, starts, share, inner[nodes], H.mass[nodes], unit)


def distances_to_clusters(rows: NDArray[np.floating], shapes: ClusterShapes, method: str) -> Floats:
    """Return the linkage's distance from new items, as clusters of one item, to every cluster.

    Parameters
    ----------
    rows : ndarray, shape (m, n)
        Distances of the new items to all old ones.
    shapes : ClusterShapes
    method : str
        A linkage method. For ward, centroid and median the distances are taken as Euclidean.

    Returns
    -------
    ndarray, shape (m, k)
    """
    near = np.asarray(rows, np.float64)[:, shapes.order]
    if method == "single":
        return np.asarray(np.minimum.reduceat(near, shapes.starts, axis=1))
    if method == "complete":
        return np.asarray(np.maximum.reduceat(near, shapes.starts, axis=1))
    if method in ("average", "weighted"):
        return np.asarray(np.add.reduceat(near * shapes.share, shapes.starts, axis=1))
    scale = max(float(near.max(initial=0.0)), shapes.unit)
    squares = np.add.reduceat((near / scale) ** 2 * shapes.share, shapes.starts, axis=1)
    squares = np.maximum(squares - shapes.inner * (shapes.unit / scale) ** 2, 0.0)
    if method == "ward":
        squares *= 2.0 * shapes.mass / (shapes.mass + 1.0)
    return np.asarray(scale * np.sqrt(squares))


def distances_of_new(merges: Merges, method: str, weights: Floats, carrier: Carrier, nodes: Ints, labels: Ints, new: Any,
                     ids: Sequence[Any] | None = None) -> tuple[tuple[str, ...], Floats]:
    """Read new items and measure them to the clusters of a cut.

    Parameters
    ----------
    merges, method, weights
        The tree, its linkage method, and the items' weights.
    carrier : Carrier
        What it was built from.
    nodes, labels : ndarray of int
        The cut: the node of every cluster, and the cluster of every item.
    new, ids
        As `shoal.data.rows.rows_of_new` takes them.

    Returns
    -------
    ids : tuple of str
    distances : ndarray, shape (m, k)

    Notes
    -----
    O(m·k·d) for points under ward, centroid and median linkage, and under average linkage with the cosine or the
    correlation metric, which all know a cluster by one mean; else O(m·n·d).
    """
    shapes = cluster_shapes(merges, nodes, labels, method, weights)
    if isinstance(carrier, Points) and method in SQUARED:
        read = carrier.new(new, ids=ids)
        found = carrier.metric.between(read.X, _means(carrier.X, shapes))
        if method == "ward":
            found *= np.sqrt(2.0 * shapes.mass / (shapes.mass + 1.0))
        return read.ids or tuple(map(str, range(read.n))), found
    if isinstance(carrier, Points) and method == "average" and carrier.metric.name in ("cosine", "correlation"):
        read = carrier.new(new, ids=ids)
        along = carrier.metric.unit_rows(read.X) @ _means(carrier.metric.unit_rows(carrier.X), shapes, dense=True).T
        return read.ids or tuple(map(str, range(read.n))), np.clip(1.0 - np.asarray(along), 0.0, 2.0)
    names, blocks = rows_of_new(carrier, new, ids)
    return names, np.concatenate([distances_to_clusters(block, shapes, method) for block in blocks])


def _means(X: Any, shapes: ClusterShapes, dense: bool = False) -> Any:
    """Mean of every cluster's rows, by their shares, in the form of X or dense; O(n·d)."""
    from scipy import sparse

    ends = np.append(shapes.starts, len(shapes.order))
    means = sparse.csr_array((shapes.share, shapes.order, ends), shape=(len(shapes.starts), X.shape[0])) @ X
    if isinstance(means, np.ndarray):
        return means
    means.sort_indices()  # a product's are not
    return means.toarray() if dense else means
