"""Where new items belong: the linkage's own distance from an item to a cluster."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.trees.merges import Floats, Ints, Merges

__all__ = ["ClusterShapes", "cluster_shapes", "distances_to_clusters"]


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
    """Collect, bottom-up and top-down over the tree, what distances to its clusters need; O(n).

    A node with sides a and b has the centre s_a·c_a + s_b·c_b and the inner spread
    V = s_a·V_a + s_b·V_b + s_a·s_b·δ², where δ is the distance of the two centres; both follow from the heights alone.
    """
    n = merges.n
    mass, inner, share = [*weights.tolist()], [0.0] * n, [1.0] * (2 * n - 1)
    halves = method in ("weighted", "median")
    unit = float(merges.height.max(initial=0.0)) or 1.0
    left, right, height = merges.left.tolist(), merges.right.tolist(), (merges.height / unit).tolist()
    for t in range(n - 1):
        a, b, h = left[t], right[t], height[t]
        part = 0.5 if halves else mass[b] / (mass[a] + mass[b])
        gap = h * h * (mass[a] + mass[b]) / (2.0 * mass[a] * mass[b]) if method == "ward" else h * h
        inner.append((1.0 - part) * inner[a] + part * inner[b] + part * (1.0 - part) * gap)
        mass.append(mass[a] + mass[b])
        share[a], share[b] = 1.0 - part, part
    for node in nodes.tolist():
        share[node] = 1.0
    tops = set(nodes.tolist())
    for t in range(n - 2, -1, -1):
        above = share[n + t]
        for child in (left[t], right[t]):
            if child not in tops:
                share[child] *= above
    inside = np.flatnonzero(labels >= 0)
    order = inside[np.argsort(labels[inside], kind="stable")]
    starts = np.searchsorted(labels[order], np.arange(len(nodes)))
    return ClusterShapes(order, starts, np.array(share[:n])[order], np.array(inner)[nodes], np.array(mass)[nodes],
                         unit)


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
