"""k-means with bounds on the sizes of clusters: each assignment is the cheapest one that keeps them.

The cheapest assignment of n items to k clusters of bounded sizes is a transportation problem, solved here by successive
shortest paths (Ahuja, Magnanti & Orlin, Network Flows, 1993, §9.7) on a graph of the k clusters alone: going from a to b
costs what the item of a that is moved most cheaply to b adds. Every item starts at its nearest centre, which is optimal
without bounds. Then items move one at a time along the cheapest path from a cluster that is too large to one that has
room, and every assignment on the way is optimal for the sizes it has. Lower bounds come after in the same way.

A general solver of linear programs has n·k unknowns to handle; the paths have as many steps as items are out of place.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.centers.update import Fit, settle, sums_of
from shoal.data.metrics import resolve_metric
from shoal.errors import InputError
from shoal.runtime import memory
from shoal.runtime.kernel import kernel
from shoal.runtime.progress import Ticker

__all__ = ["assign_limited", "check_limits", "costs_to", "lloyd_limited"]

Floats = NDArray[np.float64]
Labels = NDArray[np.int32]

LISTED = 64  # cheapest moves kept from one cluster to another: with 1, 100,000 items in 10 clusters take 30 times as long
SLICE = 10_000_000  # steps of the kernel between two looks at Ctrl-C: about 30 ms


@kernel
def enter(change: Any, item: Any, count: Any, limit: Any, a: int, b: int, value: float, i: int) -> None:
    """List the move of i from a to b. A list is short, cheapest move last; what is not on it costs at least its limit."""
    full = change.shape[2]
    if value >= limit[a, b] or (count[a, b] == full and value >= change[a, b, 0]):
        limit[a, b] = min(limit[a, b], value)
        return
    if count[a, b] == full:  # the dearest makes room
        limit[a, b], p = change[a, b, 0], 0
        while p + 1 < full and change[a, b, p + 1] > value:
            change[a, b, p], item[a, b, p] = change[a, b, p + 1], item[a, b, p + 1]
            p += 1
    else:
        p = count[a, b]
        count[a, b] += 1
        while p > 0 and change[a, b, p - 1] < value:
            change[a, b, p], item[a, b, p] = change[a, b, p - 1], item[a, b, p - 1]
            p -= 1
    change[a, b, p], item[a, b, p] = value, i


@kernel
def cheapest(cost: Any, labels: Any, first: Any, after: Any, a: int, b: int, change: Any, item: Any, count: Any, limit: Any,
             best: Any) -> int:
    """best[a, b] = min over items i of cluster a of cost[i, b] - cost[i, a], from the list. Returns the steps taken."""
    steps, full = 0, change.shape[2]
    while True:
        while count[a, b] > 0 and labels[item[a, b, count[a, b] - 1]] != a:  # it has left since
            count[a, b] -= 1
        if count[a, b] > 0 or limit[a, b] == np.inf:
            break
        low = bar = limit[a, b] = np.inf
        i = first[a]
        while i >= 0:
            value = cost[i, b] - cost[i, a]
            if value < bar:
                enter(change, item, count, limit, a, b, value, i)
                bar = change[a, b, 0] if count[a, b] == full else np.inf
            else:
                low = min(low, value)
            i = after[i]
            steps += 1
        limit[a, b] = min(limit[a, b], low)
    best[a, b] = change[a, b, count[a, b] - 1] if count[a, b] > 0 else np.inf
    return steps


@kernel
def relink(labels: Any, first: Any, after: Any, before: Any, i: int, b: int) -> None:
    """Take item i off the list of its cluster, and put it on that of b."""
    if before[i] >= 0:
        after[before[i]] = after[i]
    elif labels[i] >= 0:
        first[labels[i]] = after[i]
    if after[i] >= 0:
        before[after[i]] = before[i]
    labels[i], before[i], after[i] = b, -1, first[b]
    if first[b] >= 0:
        before[first[b]] = i
    first[b] = i


@kernel
def shortest_paths(best: Any, size: Any, bound: int, price: Any, far: Any, via: Any, done: Any) -> int:
    """Distances from the clusters above the bound (Dijkstra; `price` keeps lengths from falling below 0).

    Returns the nearest cluster below the bound, or -1; `price` becomes the distances for the next call.
    """
    k = size.shape[0]
    for a in range(k):
        far[a] = max(0.0, -price[a]) if size[a] > bound else np.inf
        via[a] = -1
        done[a] = False
    for _ in range(k):
        a = -1
        for b in range(k):
            if not done[b] and (a < 0 or far[b] < far[a]):
                a = b
        if far[a] == np.inf:
            return -1
        done[a] = True
        for b in range(k):
            reach = far[a] + max(0.0, best[a, b] + price[a] - price[b])
            if not done[b] and reach < far[b]:
                far[b], via[b] = reach, a
    end = -1
    for a in range(k):
        price[a] += far[a]
        if size[a] < bound and (end < 0 or price[a] < price[end]):
            end = a
    return end


@kernel
def move_to_bound(cost: Any, bound: int, steps: int, labels: Any, size: Any, first: Any, after: Any, before: Any,
                  change: Any, item: Any, count: Any, limit: Any, best: Any, price: Any) -> bool:
    """Move items along cheapest paths until no cluster is above the bound, or none below: True then, False after `steps`."""
    k = size.shape[0]
    far, via, done, moved = np.empty(k), np.empty(k, np.int64), np.empty(k, np.bool_), np.empty(k, np.int64)
    while steps > 0:
        end = shortest_paths(best, size, bound, price, far, via, done)
        steps -= k * k
        if end < 0:
            return True
        size[end] += 1
        b = end
        while via[b] >= 0:  # the items first: each is chosen in the clusters as they were
            moved[b] = item[via[b], b, count[via[b], b] - 1]
            b = via[b]
        size[b] -= 1
        moved[b] = -1
        b = end
        while b >= 0:
            if moved[b] >= 0:
                relink(labels, first, after, before, moved[b], b)
            b = via[b]
        b = end
        while b >= 0:
            i = moved[b]
            for c in range(k):
                if c == b:
                    continue
                if i >= 0 and cost[i, c] - cost[i, b] < limit[b, c]:
                    enter(change, item, count, limit, b, c, cost[i, c] - cost[i, b], i)
                p = count[b, c] - 1
                if p >= 0 and labels[item[b, c, p]] == b:  # as a rule; a call costs more than all of this
                    best[b, c] = change[b, c, p]
                else:
                    steps -= cheapest(cost, labels, first, after, b, c, change, item, count, limit, best)
            b = via[b]
    return False


@kernel
def link_all(nearest: Any, labels: Any, first: Any, after: Any, before: Any) -> None:
    """A list of its items for every cluster, ascending."""
    for i in range(nearest.shape[0] - 1, -1, -1):
        relink(labels, first, after, before, i, nearest[i])


@kernel
def list_moves(cost: Any, labels: Any, first: Any, after: Any, a: int, change: Any, item: Any, count: Any, limit: Any,
               best: Any) -> None:
    """The cheapest move from cluster a to every other."""
    for b in range(cost.shape[1]):
        if b != a:
            cheapest(cost, labels, first, after, a, b, change, item, count, limit, best)


def check_limits(n: int, k: int, min_size: int | None, max_size: int | None) -> tuple[int, int]:
    """Return the least and the most items a cluster may have; a cluster is never empty.

    Raises
    ------
    InputError
        When no clusters of these sizes can hold n items.
    """
    low, high = 1 if min_size is None else min_size, n if max_size is None else max_size
    if low > high:
        raise InputError(f"min_size={low} is above max_size={high}.", "Give a max_size of at least min_size.")
    if k * low > n:
        raise InputError(f"{k} clusters of at least {low} items need {k * low:,} items; there are {n:,}.",
                         f"Give a min_size of at most {n // k}.")
    if k * high < n:
        raise InputError(f"{k} clusters of at most {high} items hold {k * high:,} items; there are {n:,}.",
                         f"Give a max_size of at least {-(-n // k)}.")
    return low, high


def assign_limited(cost: Floats, low: int, high: int, ticker: Ticker | None = None) -> Labels:
    """Assign items to clusters at the least total cost such that every cluster has from `low` to `high` items.

    Parameters
    ----------
    cost : ndarray, shape (n, k)
        Finite; of putting item i into cluster j.
    low, high : int
        With ``k * low <= n <= k * high``.
    ticker : Ticker, optional
        Asked whether to go on.

    Returns
    -------
    ndarray of int32, shape (n,)
        Equal costs: the smaller cluster, then as the paths go; always the same.

    Notes
    -----
    O(n·k + m·(k² + n/64)) time for m items that are not at their nearest centre, an eighth of the memory of the costs beside
    them. Source: Ahuja, Magnanti & Orlin, Network Flows, 1993, §9.7.

    Examples
    --------
    >>> import numpy as np
    >>> assign_limited(np.array([[0.0, 9.0], [1.0, 7.0], [2.0, 5.0], [3.0, 4.0]]), 2, 2).tolist()
    [0, 0, 1, 1]
    """
    n, k = cost.shape
    labels, first = np.full(n, -1, np.int32), np.full(k, -1)
    after, before = np.full(n, -1), np.full(n, -1)
    listed = max(1, min(LISTED, n // (16 * k)))
    change, item = np.empty((k, k, listed)), np.empty((k, k, listed), np.int64)
    count, limit = np.zeros((k, k), np.int64), np.full((k, k), -np.inf)  # nothing is listed yet
    best, price = np.full((k, k), np.inf), np.zeros(k)
    link_all(cost.argmin(axis=1), labels, first, after, before)
    size = np.bincount(labels, minlength=k)
    for a in range(k):
        list_moves(cost, labels, first, after, a, change, item, count, limit, best)
    for bound in (high, low):
        price -= price.max()
        while not move_to_bound(cost, bound, SLICE, labels, size, first, after, before, change, item, count, limit, best,
                                price):
            if ticker is not None:
                ticker.step(0)
    return labels


def lloyd_limited(X: Any, centers: Any, low: int, high: int, *, weights: Floats | None = None, metric: str = "euclidean",
                  fixed: Floats | None = None, max_iter: int = 300, tol: float = 0.0, ticker: Ticker | None = None) -> Fit:
    """k-means from given centres, every cluster having from `low` to `high` items.

    Parameters
    ----------
    X : ndarray or csr_array, shape (n, d)
        Rows of length 1 under cosine.
    centers : ndarray, shape (k, d)
    low, high : int
        Items count here whatever they weigh. With ``k * low <= n <= k * high``; see `check_limits`.
    weights, metric, fixed, max_iter, tol, ticker
        As in `shoal.centers.lloyd.lloyd`.

    Returns
    -------
    Fit
        Labels are the cheapest that keep the bounds for the centres returned; a centre need not be the nearest.

    Raises
    ------
    TooLargeError
        When n·k distances do not fit in memory.

    Notes
    -----
    Every assignment is exact (`assign_limited`) and every update too, so the inertia falls to a local optimum: Bradley,
    Bennett & Demiriz, Constrained k-means clustering, Microsoft Research MSR-TR-2000-65, 2000.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0], [1.0], [2.0], [9.0]])
    >>> lloyd_limited(X, X[[0, 3]], 2, 2).labels.tolist()
    [0, 0, 1, 1]
    """
    n, k = X.shape[0], len(centers)
    memory.require(24.0 * n * k, None, f"k-means of {n:,} items with bounds on the sizes of {k:,} clusters")
    converged, n_iter = False, 0
    while n_iter < max_iter and not converged:
        labels = assign_limited(_weighted(costs_to(X, centers, metric), weights), low, high, ticker)
        old, centers = centers, _means(X, labels, weights, centers, fixed, metric)
        moved = np.asarray(centers, np.float64) - old
        n_iter, converged = n_iter + 1, float((moved * moved).sum()) <= tol
    cost = _weighted(costs_to(X, centers, metric), weights)
    labels = assign_limited(cost, low, high, ticker)
    return Fit(centers, labels, math.fsum(cost[np.arange(n), labels].tolist()), n_iter, "limited", converged)


def _weighted(cost: Floats, weights: Floats | None) -> Floats:
    return cost if weights is None else cost * weights[:, None]


def _means(X: Any, labels: Labels, weights: Floats | None, old: Any, fixed: Floats | None, metric: str) -> Any:
    """New centres, in the data's type; dense rows are summed about one of them, which keeps digits of data far off."""
    origin = np.asarray(X[0], np.float64) if isinstance(X, np.ndarray) and metric == "euclidean" else np.zeros(X.shape[1])
    sums, mass = sums_of(X, labels, weights, len(old), origin)
    centers = settle(sums, mass, old - origin, None if fixed is None else fixed - origin, metric) + origin
    if fixed is not None:
        centers = np.where(np.isnan(fixed), centers, fixed)
    return centers.astype(X.dtype)


def costs_to(X: Any, centers: Any, metric: str) -> Floats:
    """Return what k-means adds up: squared distances to all centres, or under cosine 1 - cos; shape (n, k), float64.

    Parameters
    ----------
    X : ndarray or csr_array, shape (n, d)
        Rows of length 1 under cosine, and centres too.
    centers : ndarray, shape (k, d)
    metric : {"euclidean", "cosine"}

    Notes
    -----
    O(n·k·d), or O(k·non-zeros) by products for sparse rows, which lose digits where a distance is small beside the rows.

    Examples
    --------
    >>> import numpy as np
    >>> costs_to(np.array([[0.6, 0.8]]), np.array([[1.0, 0.0], [0.6, 0.8]]), "cosine").round(3).tolist()
    [[0.4, 0.0]]
    """
    if isinstance(X, np.ndarray):
        squares = resolve_metric("sqeuclidean", X).between(X, centers)
    else:
        centers = np.asarray(centers, np.float64)
        rows = X.astype(np.float64)
        lengths = np.asarray(rows.multiply(rows).sum(axis=1)).reshape(-1, 1)
        squares = np.maximum(lengths + (centers * centers).sum(axis=1) - 2.0 * (rows @ centers.T), 0.0)
    return squares if metric == "euclidean" else squares / 2.0
