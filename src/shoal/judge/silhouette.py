"""The silhouette, for one clustering or for every cut of a tree in one pass over the distances.

Source: Rousseeuw 1987, doi:10.1016/0377-0427(87)90125-7. Cuts of one tree are nested, so the sums of distances to the
finest clusters are all that is needed: those of coarser cuts are sums of them. A coarser cut unites two clusters; items
whose nearest other cluster is neither keep it, because a mean of two means is no smaller than both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.data.metrics import KERNELS, finish, row_of_distances, scale_for_squares
from shoal.data.records import Carrier, Points
from shoal.data.rows import rows_of
from shoal.errors import InputError
from shoal.runtime import pool
from shoal.runtime.kernel import kernel, plain_if_cheap

__all__ = ["Silhouette", "distance_sums", "distance_sums_of", "silhouette_of", "silhouettes_of_unions", "sums_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]
Rows = Callable[[Ints], Floats]

Sums = Callable[[Ints], Floats]

BLOCK = 1 << 21  # distances at a time: 16 MB
LANES = 256  # items a task takes side by side: their sums and 20 features of them stay in the second-level cache
TASK = 1 << 27  # coordinate differences of a task: 25 ms
PLAIN_S = 1e-6  # a difference of two coordinates, or a step of the sweep, in plain Python


@kernel
def add_rows(kind: int, root: bool, XT: Any, Y: Any, factor: Any, starts: Any, out: Any) -> None:
    """out[c, t] = Σ factor[j]·d(x_t, y_j) over the rows j of cluster c, starts[c] … starts[c + 1], in their order."""
    m = XT.shape[1]
    s = np.empty(m)
    for c in range(starts.shape[0] - 1):
        total = out[c]
        for t in range(m):
            total[t] = 0.0
        for j in range(starts[c], starts[c + 1]):
            row_of_distances(kind, Y[j], XT, 0, m, s)
            finish(kind, root, s)
            w = factor[j]
            for t in range(m):
                total[t] += w * s[t]


@kernel
def nearest_other(sums: Any, i: int, own: int, mass: Any, alive: Any, k: int) -> int:
    """The first cluster of alive[:k], other than its own, with the least mean distance to item i."""
    best, at = math.inf, -1
    for p in range(k):
        c = alive[p]
        if c != own:
            mean = sums[i, c] / mass[c]
            if mean < best or at < 0:
                best, at = mean, c
    return at


@kernel
def sweep_unions(sums: Any, own: Any, weight: Any, mass: Any, joins: Any, total: Any) -> None:
    """total[s] = Σ weight·silhouette after s unions; in joins[s] the second cluster enters the first.

    Overwrites sums, own and mass.
    """
    m, k = sums.shape
    alive, near = np.arange(k), np.empty(m, np.int64)
    for i in range(m):
        near[i] = nearest_other(sums, i, own[i], mass, alive, k)
    for s in range(total.shape[0]):
        for i in range(m):
            others, b = mass[own[i]] - 1.0, sums[i, near[i]] / mass[near[i]]
            if others > 0.0:
                a = sums[i, own[i]] / others
                if max(a, b) > 0.0:
                    total[s] += weight[i] * ((b - a) / max(a, b))
        if s == joins.shape[0]:
            break
        x, y = joins[s, 0], joins[s, 1]
        mass[x] += mass[y]
        p = 0
        while alive[p] != y:
            p += 1
        k -= 1
        for q in range(p, k):
            alive[q] = alive[q + 1]
        for i in range(m):
            sums[i, x] += sums[i, y]
            if own[i] == y:
                own[i] = x
            if near[i] == x or near[i] == y:
                near[i] = nearest_other(sums, i, own[i], mass, alive, k)
            elif own[i] != x and sums[i, x] / mass[x] < sums[i, near[i]] / mass[near[i]]:  # by rounding alone
                near[i] = x


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
    return _in_blocks(_sums_by_rows(rows, *_sorted(labels, k, weights)), items, k, max(1, BLOCK // max(1, len(labels))))


def distance_sums_of(data: Carrier, items: Ints, labels: Ints, k: int, weights: Floats) -> Floats:
    """Return the summed distances of some items to every cluster, as `distance_sums`, the fastest way for the data.

    Parameters
    ----------
    data : Carrier
    items, labels, k, weights
        As in `distance_sums`.

    Returns
    -------
    ndarray, shape (len(items), k)

    Notes
    -----
    See `sums_of`. The same bits for any number of threads.

    Examples
    --------
    >>> import numpy as np, shoal
    >>> data = shoal.points([[0.0], [1.0], [5.0]])
    >>> distance_sums_of(data, np.arange(3), np.array([0, 0, 1]), 2, np.ones(3)).tolist()
    [[1.0, 5.0], [1.0, 4.0], [9.0, 0.0]]
    """
    sums, block = sums_of(data, labels, k, weights)
    return _in_blocks(sums, items, k, block)


def _in_blocks(sums: Sums, items: Ints, k: int, block: int) -> Floats:
    out = np.empty((len(items), k))

    def work(start: int, stop: int) -> None:
        out[start:stop] = sums(items[start:stop])

    pool.run(work, pool.blocks(len(items), block))
    return out


def _sorted(labels: Ints, k: int, weights: Floats) -> tuple[Ints, Ints, Floats]:
    """Items cluster by cluster without noise, where each cluster begins and the last ends, and their weights."""
    counted = np.flatnonzero(labels >= 0)
    order = counted[np.argsort(labels[counted], kind="stable")]
    return order, np.searchsorted(labels[order], np.arange(k + 1)), weights[order]


def _sums_by_rows(rows: Rows, order: Ints, starts: Ints, factor: Floats) -> Sums:
    return lambda items: np.add.reduceat(rows(items)[:, order] * factor, starts[:-1], axis=1)


def sums_of(data: Carrier, labels: Ints, k: int, weights: Floats) -> tuple[Sums, int]:
    """Return ``sums(items)``, the summed distances of some items to every cluster, and how many items to ask for at once.

    Parameters
    ----------
    data : Carrier
    labels, k, weights
        As in `distance_sums`.

    Returns
    -------
    sums : callable
        For use inside a task of `pool.run`; gives an array of shape (len(items), k).
    block : int
        Items a task; depends on the data alone.

    Notes
    -----
    Dense points with one of the metrics that have a kernel never have their distances written down: a task keeps a block
    of items side by side and adds one distance after the other, 6 times as fast as rows of distances.
    """
    order, starts, factor = _sorted(labels, k, weights)
    if not isinstance(data, Points) or not isinstance(data.X, np.ndarray) or data.metric.name not in KERNELS:
        return _sums_by_rows(rows_of(data), order, starts, factor), max(1, BLOCK // max(1, data.n))
    kind, root = KERNELS[data.metric.name], data.metric.name == "euclidean"
    scale = scale_for_squares(data.X) if root else 1.0
    rows = np.asarray(data.metric.unit_rows(data.X * scale if scale != 1.0 else data.X), np.float64)
    Y, name, cost = np.ascontiguousarray(rows[order]), data.metric.name, data.n * data.d

    def sums(items: Ints) -> Floats:
        out = np.empty((k, len(items)))
        with plain_if_cheap(PLAIN_S * len(items) * cost):
            add_rows(kind, root, np.ascontiguousarray(rows[items].T), Y, factor, starts, out)
        if not np.isfinite(out).all():
            raise InputError(f"The metric {name!r} gave distances that are not finite.",
                             "If the numbers are very large, divide them by a constant first; else use another metric.")
        return np.ascontiguousarray(out.T) / scale

    return sums, min(LANES, max(16, TASK // cost))


def silhouettes_of_unions(data: Carrier, labels: Ints, joins: Ints, weights: Floats,
                          items: Ints | None = None) -> Floats:
    """Return the mean silhouette of a clustering and of every one made of it by uniting two clusters after two.

    Parameters
    ----------
    data : Carrier
    labels : ndarray of int, shape (n,)
        The finest clustering: 0 … k-1, none empty; items with -1 are left out.
    joins : ndarray of int, shape (u, 2)
        Union s puts cluster joins[s, 1] into joins[s, 0].
    weights : ndarray, shape (n,)
        An item of weight w counts w times.
    items : ndarray of int, optional
        The mean is taken over these; by default over all.

    Returns
    -------
    ndarray, shape (u + 1,)
        Entry s is the mean before union s, with k - s clusters; NaN where there is one cluster only.

    Notes
    -----
    O(m·n) distances for m items, once, then O(m·k) and a search among k for items whose nearest cluster changes.
    O(block·k) memory a thread. The same bits for any number of threads.

    Examples
    --------
    >>> import numpy as np, shoal
    >>> data = shoal.points([[0.0], [1.0], [5.0], [6.0]])
    >>> silhouettes_of_unions(data, np.array([0, 0, 1, 2]), np.array([[1, 2], [0, 1]]), np.ones(4)).round(3).tolist()
    [0.388, 0.798, nan]
    """
    k = int(labels.max()) + 1
    values = np.full(len(joins) + 1, np.nan)
    steps = min(len(joins) + 1, k - 1)  # with one cluster left there is no silhouette
    if steps < 1:
        return values
    sums, block = sums_of(data, labels, k, weights)
    wanted = np.flatnonzero(labels >= 0) if items is None else items[labels[items] >= 0]
    mass = np.bincount(labels[labels >= 0], weights[labels >= 0], minlength=k)
    tasks = pool.blocks(len(wanted), block)
    parts = np.zeros((len(tasks), steps))

    def work(slot: int, start: int, stop: int) -> None:
        some = wanted[start:stop]
        found = sums(some)
        with plain_if_cheap(PLAIN_S * len(some) * k * 4):
            sweep_unions(found, labels[some].astype(np.int64), weights[some], mass.copy(),
                         np.asarray(joins, np.int64), parts[slot])

    pool.run(work, [(slot, *task) for slot, task in enumerate(tasks)])
    values[:steps] = [math.fsum(column) for column in parts.T]
    return values / math.fsum(weights[wanted])


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
    by_cluster = np.divide(total, mass, out=np.full(k, np.nan), where=mass > 0)  # NaN of a cluster without items
    return Silhouette(values, by_cluster, float(total.sum() / mass.sum()))
