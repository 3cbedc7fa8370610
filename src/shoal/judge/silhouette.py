"""The silhouette, for one clustering or for every cut of a tree in one pass over the distances.

Source: Rousseeuw 1987, doi:10.1016/0377-0427(87)90125-7. Cuts of one tree are nested, so the sums of distances to the
finest clusters are all that is needed: those of coarser cuts are sums of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.runtime import pool

__all__ = ["Silhouette", "distance_sums", "silhouette_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]
Rows = Callable[[Ints], Floats]

BLOCK = 1 << 21  # distances at a time: 16 MB


@dataclass(frozen=True)
class Silhouette:
    """How much nearer items are to their own cluster than to the next.

    Attributes
    ----------
    values : ndarray, shape (n,)
        Of every item, in [-1, 1]; 0 for an item alone in its cluster, NaN for noise and where there is one cluster only.
    by_cluster : ndarray, shape (k,)
        Their mean in every cluster.
    mean : float
        Their mean over all items that are not noise; NaN where there is one cluster only.
    """

    values: Floats
    by_cluster: Floats
    mean: float


def distance_sums(rows: Rows, items: Ints, labels: Ints, k: int, weights: Floats) -> Floats:
    """Return the summed distances of some items to every cluster.

    Parameters
    ----------
    rows : callable
        ``rows(items)`` gives the distances of items to all n, shape (len(items), n).
    items : ndarray of int
        The items wanted.
    labels : ndarray of int, shape (n,)
        0 … k-1; items with -1 are left out.
    k : int
        Number of clusters, none of them empty.
    weights : ndarray, shape (n,)
        An item of weight w counts w times.

    Returns
    -------
    ndarray, shape (len(items), k)

    Notes
    -----
    Memory O(block + len(items)·k); sums run along sorted columns, so their order does not depend on threads.
    """
    counted = np.flatnonzero(labels >= 0)
    order = counted[np.argsort(labels[counted], kind="stable")]
    starts = np.searchsorted(labels[order], np.arange(k))
    factor = weights[order]
    out = np.empty((len(items), k))

    def work(start: int, stop: int) -> None:
        block = rows(items[start:stop])[:, order] * factor
        np.add.reduceat(block, starts, axis=1, out=out[start:stop])

    pool.run(work, pool.blocks(len(items), max(1, BLOCK // max(1, len(labels)))))
    return out


def silhouette_of(sums: Floats, own: Ints, sizes: NDArray[Any], weights: Floats) -> Floats:
    """Return the silhouette values of items whose distance sums are known.

    Parameters
    ----------
    sums : ndarray, shape (m, k)
        Summed distances to every cluster.
    own : ndarray of int, shape (m,)
        The items' clusters, -1 for noise.
    sizes : ndarray, shape (k,)
        Summed weights of the clusters.
    weights : ndarray, shape (m,)
        Of the items: of w equal items, w - 1 are at distance 0 of each.
    """
    values = np.full(len(own), np.nan)
    if len(sizes) < 2:
        return values
    at = np.flatnonzero(own >= 0)
    mine = own[at]
    others = sizes[mine] - 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        a = sums[at, mine] / others
        means = sums[at] / sizes
    means[np.arange(len(at)), mine] = np.inf
    b = means.min(axis=1)
    largest = np.maximum(a, b)
    with np.errstate(divide="ignore", invalid="ignore"):
        values[at] = np.where((others > 0) & (largest > 0), (b - a) / largest, 0.0)
    return values


def summarise(values: Floats, labels: Ints, k: int, weights: Floats) -> Silhouette:
    """Average silhouette values within every cluster and over all."""
    inside = labels >= 0
    mass = np.bincount(labels[inside], weights[inside], minlength=k)
    if k < 2:
        return Silhouette(values, np.full(k, np.nan), float("nan"))
    total = np.bincount(labels[inside], values[inside] * weights[inside], minlength=k)
    return Silhouette(values, total / mass, float(total.sum() / mass.sum()))
