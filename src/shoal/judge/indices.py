"""Indices of every cut of a tree into 2 … `most` clusters, in one pass: silhouette, Calinski-Harabasz, Davies-Bouldin.

Cuts of one tree are nested: a cut into k - 1 clusters unites two of the clusters of the cut into k. So the finest cut is
measured once, and every coarser one costs what one union costs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from shoal.data.records import Carrier, Points
from shoal.errors import InputError
from shoal.judge.silhouette import Floats, Ints, silhouettes_of_unions
from shoal.trees.merges import Merges, leaf_counts, leaf_order, leaf_positions, parents

__all__ = ["INDICES", "Nested", "calinski_harabasz", "davies_bouldin", "indices_of_cuts", "nested_cuts", "within_sums",
           "within_sums_of_ward"]

INDICES = ("silhouette", "calinski_harabasz", "davies_bouldin")


class Nested(NamedTuple):
    """The last cuts of a tree: the finest one, and the unions that lead from it to the root.

    Attributes
    ----------
    labels : ndarray of int64, shape (n,)
        The finest cut's clusters, 0 … k-1 from left to right.
    joins : ndarray of int64, shape (k - 1, 2)
        The cluster joins[s, 1] enters joins[s, 0]; after s unions k - s are left.
    """

    labels: Ints
    joins: Ints

    @property
    def k(self) -> int:
        """Clusters of the finest cut."""
        return len(self.joins) + 1


def nested_cuts(merges: Merges, most: int) -> Nested:
    """Return the cuts into 1 … min(most, n) clusters: the tree without its last merges, in their order."""
    n = merges.n
    k = min(most, n)
    made, up, begin = 2 * n - k, parents(merges), leaf_positions(merges)
    nodes = np.flatnonzero((up[:made] >= made) | (up[:made] < 0))
    nodes = nodes[np.argsort(begin[nodes])]
    labels = np.empty(n, np.int64)
    labels[leaf_order(merges, begin)] = np.repeat(np.arange(k), leaf_counts(merges)[nodes])
    slot = np.empty(2 * n - 1, np.int64)
    slot[nodes] = np.arange(k)
    joins = np.empty((k - 1, 2), np.int64)
    for s, t in enumerate(range(n - k, n - 1)):
        joins[s] = slot[merges.left[t]], slot[merges.right[t]]
        slot[n + t] = joins[s, 0]
    return Nested(labels, joins)


class _Means(NamedTuple):
    """The finest clusters by their means."""

    center: Floats  # shape (k, d)
    mass: Floats
    order: Ints  # items cluster by cluster
    starts: Ints  # where each cluster begins among them, and the last ends


def _means(X: Any, nested: Nested, weights: Floats) -> _Means:
    order = np.argsort(nested.labels, kind="stable")
    starts = np.searchsorted(nested.labels[order], np.arange(nested.k + 1))
    mass = np.add.reduceat(weights[order], starts[:-1])
    share = weights / mass[nested.labels]
    rows = [share[at] @ X[at] for at in np.split(order, starts[1:-1])]
    return _Means(np.array(rows).reshape(nested.k, -1), mass, order, starts)


def _scaled(X: Any) -> Any:
    """Coordinates in float64, in units of a power of two near the largest: no square overflows or vanishes."""
    values = X if isinstance(X, np.ndarray) else X.data
    return X.astype(np.float64) / 2.0 ** np.frexp(float(np.abs(values).max(initial=0.0)))[1]


def _squares(X: Any, center: Floats) -> Floats:
    """Squared distances of rows to a point."""
    if isinstance(X, np.ndarray):
        return np.asarray(((X - center) ** 2).sum(axis=1))
    own = np.asarray(X.multiply(X).sum(axis=1)).ravel()
    return np.asarray(np.maximum(own - 2.0 * (X @ center) + center @ center, 0.0))


def within_sums(X: Any, nested: Nested, weights: Floats) -> tuple[Floats, Floats]:
    """Return the sums of squares within the clusters and between them, for every number of clusters.

    Parameters
    ----------
    X : ndarray or csr_array, shape (n, d)
        float64, of a size whose squares neither overflow nor vanish.
    nested : Nested
    weights : ndarray, shape (n,)
        An item of weight w counts w times.

    Returns
    -------
    within, between : ndarray, shape (k + 1,)
        Entry j belongs to j clusters; entry 0 is NaN.

    Notes
    -----
    O(n·d) for the finest cut and O(d) a union, which adds wₐw_b/(wₐ+w_b)·‖mₐ - m_b‖². Nothing is ever subtracted.
    """
    m = _means(X, nested, weights)
    inner = sum(float(weights[at] @ _squares(X[at], m.center[c]))
                for c, at in enumerate(np.split(m.order, m.starts[1:-1])))
    rises, center, mass = np.zeros(nested.k), m.center.copy(), m.mass.copy()
    for s, (a, b) in enumerate(nested.joins.tolist()):
        gap, part = center[b] - center[a], mass[b] / (mass[a] + mass[b])
        rises[s + 1] = part * mass[a] * float(gap @ gap)
        center[a] += part * gap
        mass[a] += mass[b]
    return _by_k(inner, rises)


def within_sums_of_ward(merges: Merges, most: int) -> tuple[Floats, Floats]:
    """Return what `within_sums` does from the heights of a ward tree alone, in units of its own: h²/2 a merge; O(n)."""
    n = merges.n
    k = min(most, n)
    unit = 2.0 ** np.frexp(float(merges.height.max(initial=0.0)))[1]
    rises = 0.5 * (merges.height / unit) ** 2
    return _by_k(float(rises[:n - k].sum()), np.concatenate([[0.0], rises[n - k:]]))


def _by_k(inner: float, rises: Floats) -> tuple[Floats, Floats]:
    """Order sums by the number of clusters: `inner` is that of the finest, rises[s] what union s adds."""
    within, between = np.full(len(rises) + 1, np.nan), np.full(len(rises) + 1, np.nan)
    within[1:] = (inner + np.cumsum(rises))[::-1]
    between[1:] = np.concatenate([[0.0], np.cumsum(rises[:0:-1])])
    return within, between


def calinski_harabasz(within: Floats, between: Floats, mass: float) -> Floats:
    """Return (B/(k - 1)) / (W/(N - k)) for every number of clusters k; NaN for none, one, and k of at least N.

    Parameters
    ----------
    within, between : ndarray, shape (most + 1,)
        Sums of squares by the number of clusters.
    mass : float
        N, the summed weight of all items.

    Notes
    -----
    Infinite where all items equal their cluster's mean; NaN where all are equal. Source: Caliński & Harabasz 1974,
    doi:10.1080/03610927408827101.
    """
    k = np.arange(len(within))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (between / (k - 1.0)) / (within / (mass - k))
    found[(k < 2) | (k >= mass)] = np.nan
    return np.asarray(found)


def davies_bouldin(X: Any, nested: Nested, weights: Floats) -> Floats:
    """Return the mean over clusters of max (s_i + s_j) / ‖m_i - m_j‖, for every number of clusters; smaller is better.

    Parameters
    ----------
    X, nested, weights
        As in `within_sums`; s is the weighted mean distance of a cluster's items from their mean m.

    Returns
    -------
    ndarray, shape (k + 1,)
        NaN for none and one; infinite where two means are equal.

    Notes
    -----
    O(d) an item of a united cluster and O(k·(k + d)) a union. Source: Davies & Bouldin 1979,
    doi:10.1109/TPAMI.1979.4766909.
    """
    m, k = _means(X, nested, weights), nested.k
    found = np.full(k + 1, np.nan)
    center, mass, spread = m.center.copy(), m.mass.copy(), np.empty(k)
    members = np.split(m.order, m.starts[1:-1])

    def settle(c: int) -> None:
        at = members[c]
        spread[c] = weights[at] @ np.sqrt(_squares(X[at], center[c])) / mass[c]

    def ratios(c: int) -> Floats:
        gap = np.sqrt(_squares(center, center[c]))
        out = np.full(k, np.inf)
        np.divide(spread + spread[c], gap, out=out, where=gap > 0)
        out[~alive] = out[c] = -np.inf
        return out

    alive = np.ones(k, bool)
    for c in range(k):
        settle(c)
    table = np.array([ratios(c) for c in range(k)])
    for s, (a, b) in enumerate(nested.joins.tolist()):
        found[k - s] = table[alive].max(axis=1).mean()
        part = mass[b] / (mass[a] + mass[b])
        center[a] += part * (center[b] - center[a])
        mass[a] += mass[b]
        members[a], members[b] = np.concatenate([members[a], members[b]]), members[b][:0]
        alive[b] = False
        settle(a)
        table[:, b] = -np.inf
        table[a] = ratios(a)
        table[:, a] = table[a]
    return found


def indices_of_cuts(merges: Merges, most: int, which: str, data: Carrier | None, weights: Floats, *,
                    method: str = "unknown", items: Ints | None = None) -> Floats:
    """Return an index of the cuts into 2 … `most` clusters.

    Parameters
    ----------
    merges : Merges
    most : int
        1 … n.
    which : {"silhouette", "calinski_harabasz", "davies_bouldin"}
    data : carrier or None
        What the tree was built from. The silhouette takes any; Calinski-Harabasz and Davies-Bouldin take points, and
        measure in Euclidean distances between the features as they are. A ward tree needs none for Calinski-Harabasz.
    weights : ndarray, shape (n,)
        An item of weight w counts w times.
    method : str
        The tree's linkage.
    items : ndarray of int, optional
        The silhouette is averaged over these; by default over all.

    Returns
    -------
    ndarray, shape (most + 1,)
        By the number of clusters; NaN where there is none.

    Raises
    ------
    InputError
        For another index, and where the data that is needed is not there.

    Notes
    -----
    Silhouette: O(n²) distances, once. The others: O(n·d), and of Davies-Bouldin O(d) an item of a united cluster.

    Examples
    --------
    >>> import numpy as np, shoal
    >>> tree = shoal.linkage([[0.0], [1.0], [10.0], [11.0], [12.0]])
    >>> indices_of_cuts(tree.merges, 3, "silhouette", tree.data, np.ones(5)).round(3).tolist()
    [nan, nan, 0.885, 0.46]
    """
    if which not in INDICES:
        raise InputError(f"There is no index {which!r}.", f"Choose one of {', '.join(INDICES)}.")
    if which == "calinski_harabasz" and method == "ward" and np.isfinite(merges.height).all():
        return calinski_harabasz(*within_sums_of_ward(merges, most), float(weights.sum()))
    if data is None or (which != "silhouette" and not isinstance(data, Points)):
        raise InputError(f"The index {which!r} needs {'the data' if which == 'silhouette' else 'points: coordinates'} the "
                         "tree was built from.", "Build the tree with shoal.linkage, or use a rule of the heights alone.")
    nested = nested_cuts(merges, most)
    if which == "silhouette":
        values = silhouettes_of_unions(data, nested.labels, nested.joins, weights, items)
        return np.concatenate([[np.nan], values[::-1]])
    assert isinstance(data, Points)
    if which == "calinski_harabasz":
        return calinski_harabasz(*within_sums(_scaled(data.X), nested, weights), float(weights.sum()))
    return davies_bouldin(_scaled(data.X), nested, weights)
