"""Trees in which only neighbours merge: agglomeration under a graph, for images, maps and chains.

Two clusters may merge only if an edge of the graph joins them; the neighbours of the new cluster are those of both. The
nearest pair of neighbours merges first, from a heap of edges that holds every edge once. The side with fewer neighbours
gives its edges to the other, so an edge moves at most log₂ n times.

Sources: Ferligoj & Batagelj 1982, doi:10.1007/BF02293706 (clustering with relational constraints); Lance & Williams 1967.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.data.checks import is_sparse, read_weights
from shoal.errors import InputError
from shoal.runtime import memory, pool
from shoal.runtime.kernel import plain_if_cheap
from shoal.runtime.progress import Progress, Ticker
from shoal.trees import constrained_kernels as kernels
from shoal.trees.merges import Floats, Ints, Merges, canonical
from shoal.trees.stored import linkage_stored, peak_bytes

__all__ = ["METHODS", "linkage_constrained"]

METHODS = {"single": kernels.SINGLE, "complete": kernels.COMPLETE, "average": kernels.AVERAGE,
           "centroid": kernels.CENTROID, "ward": kernels.WARD}

BLOCK = 1 << 16  # edges a task passes over: some milliseconds
SLICE = 400_000  # values looked at between two looks at the clock: at most about 40 ms
EDGE_BYTES, ITEM_BYTES = 200, 150  # peak, beside the float64 copy of the points
PLAIN_EDGE_S = 1.5e-4  # plain Python, an edge


class _State(NamedTuple):
    """The clusters by slot, the edges, and the merges made."""

    X: Floats  # items; under ward and centroid the clusters' centroids
    weight: Floats
    item: Ints  # the slot's smallest item; -1 once it is merged into another
    head: Ints  # first half-edge in the slot's list, or -1
    degree: Ints
    end: Ints  # slot of a half-edge
    after: Ints  # the next and the previous half-edge in its list, or -1
    ahead: Ints
    value: Floats  # working height of an edge
    total: Floats  # under average: what its mean is made of
    mass: Floats
    heap: Ints
    place: Ints  # of an edge in the heap
    table: Ints  # hash table of edges by their ends; -1 is empty
    a: Ints
    b: Ints
    h: Floats


def linkage_constrained(X: NDArray[Any], method: str, connectivity: Any, weights: Any = None, *, join: bool = False,
                        progress: Progress = None) -> tuple[Merges, int]:
    """Build the tree in which only clusters joined by an edge of a graph may merge.

    Parameters
    ----------
    X : ndarray, shape (n, d)
        Points; distances are Euclidean.
    method : {"ward", "average", "complete", "single", "centroid"}
        Ward and centroid measure between the centroids of two neighbouring clusters. Average, complete and single take
        the mean (by the products of weights), the largest and the smallest length of the graph's edges between them:
        pairs of items without an edge do not count. (scikit-learn's average, where a neighbour of both merged clusters
        gets the mean by their sizes, depends on the order of merges; its other methods agree with these.)
    connectivity : sparse array or matrix, ndarray, or callable, shape (n, n)
        Every stored entry of a sparse array joins two items in both directions, whatever its value; of a dense array,
        every entry that is not 0. The diagonal is ignored. A callable gets X and returns such an array.
    weights : array-like, shape (n,), optional
        How many items each row stands for.
    join : bool, default False
        Join the components of a graph that is not connected, by the same method, as if all their items were neighbours.
    progress : callable, bool or None
        See `shoal.runtime.progress`.

    Returns
    -------
    merges : Merges
        In the order in which they were made. Under ward and centroid a height may be lower than those before it, as a
        merge may bring clusters together that were not neighbours; so may those of joined components. Such heights are
        kept as they are.
    components : int
        How many connected components the graph has. Unless `join` is set, the last ``components - 1`` merges are not
        part of the result proper: they have height infinity, and join the components by their smallest items.

    Raises
    ------
    InputError
        For a method without a meaning here, or a graph that does not fit the points.
    TooLargeError
        Before the work, when it would not fit in memory.

    Notes
    -----
    For m edges, O(m·log n·log m) time and O(m + n·d) memory under average, complete and single. Ward and centroid measure
    anew to all neighbours of a merged cluster, as a rule as fast, but O(n²·d) where one cluster neighbours all others.
    Joining k components takes O(k²) memory, and under average, complete and single all O(n²·d) distances.
    Equal heights: the pair whose smallest edge, by (smaller item, larger item), comes first. In a complete graph the
    tree is the unconstrained one. An image of 300 x 300 pixels takes 0.5 s, under ward 1 s.

    Examples
    --------
    >>> import numpy as np
    >>> from shoal.data.grids import grid
    >>> X = np.array([[0.0], [0.1], [5.0], [5.1], [0.0]])
    >>> merges, components = linkage_constrained(X, "complete", grid(5))
    >>> merges.height.round(1).tolist(), components
    ([0.1, 0.1, 4.9, 5.1], 1)
    """
    name = _method(method)
    points = _points(X)
    weight = read_weights(weights, len(points))
    end = _edges(connectivity, points)
    with plain_if_cheap(PLAIN_EDGE_S * (len(end) // 2)):
        return _build(points, name, end, weight, join, progress)


def _method(method: str) -> str:
    name = str(method).lower()
    if name not in METHODS:
        raise InputError(f"Under a connectivity the method {method!r} is not defined.",
                         f"Choose one of {', '.join(METHODS)}.")
    return name


def _points(X: Any) -> NDArray[Any]:
    if is_sparse(X) or np.ndim(X) != 2 or len(X) == 0:
        given = "sparse points" if is_sparse(X) else f"an array of shape {np.shape(X)}"
        raise InputError(f"A connectivity goes with a dense table of points with at least one row; this is {given}.",
                         "Give an array of shape (items, features), for example X.toarray().")
    return np.asarray(X)


def _edges(connectivity: Any, X: NDArray[Any]) -> Ints:
    """Return the ends of all edges one after the other: i < j, each edge once, sorted; shape (2m,)."""
    from scipy import sparse

    n = len(X)
    given: Any = connectivity(X) if callable(connectivity) else connectivity
    if not is_sparse(given) and not isinstance(given, np.ndarray):
        raise InputError(f"The connectivity is a {type(given).__name__}.",
                         "Give a sparse or dense array of shape (items, items), or a function of the points that returns "
                         "one; shoal.grid makes one for images and maps.")
    if given.shape != (n, n):
        raise InputError(f"The connectivity has shape {given.shape}; there are {n} items.",
                         f"It must have shape ({n}, {n}), its rows in the order of the items.")
    stored = given.nnz if is_sparse(given) else np.count_nonzero(given)
    memory.require(EDGE_BYTES * stored / 2 + (ITEM_BYTES + 8 * X.shape[1]) * n, None,
                   f"a tree of {n:,} items under {stored:,} neighbour entries", "Use fewer items or fewer neighbours.")
    pairs = sparse.coo_array(given)
    one, other = pairs.row.astype(np.int64), pairs.col.astype(np.int64)
    low, high = np.minimum(one, other), np.maximum(one, other)
    keys = np.unique((low * n + high)[low < high])
    return np.column_stack(np.divmod(keys, n)).ravel()


def _build(X: NDArray[Any], method: str, end: Ints, weights: Floats | None, join: bool,
           progress: Progress) -> tuple[Merges, int]:
    n, kind = len(X), METHODS[method]
    weight = np.ones(n) if weights is None else weights
    exponent = math.frexp(max(abs(float(X.max(initial=0.0))), abs(float(X.min(initial=0.0)))))[1]
    scaled = np.ldexp(X.astype(np.float64), -exponent)  # largest value below 1: no square overflows, no digit is lost
    scaled -= scaled[0].copy()  # not the mean: whole numbers stay whole, so that equal distances stay equal
    with Ticker(progress, f"linkage of {n:,} items under {len(end) // 2:,} edges") as ticker:
        s = _start(scaled, weight.copy(), end, kind)
        made = _merge_all(s, kind, ticker)
        if made < n - 1:
            if join:
                _join(s, made, method, scaled, weight, ticker)
            else:
                items = np.sort(s.item[s.item >= 0])
                s.a[made:], s.b[made:], s.h[made:] = items[0], items[1:], math.inf
        ticker.at(1.0)
    if kind >= kernels.CENTROID:
        np.sqrt(s.h[:made], out=s.h[:made])
    else:  # no merge is nearer than those before it, but for the rounding of means
        np.maximum.accumulate(s.h[:made], out=s.h[:made])
    return canonical(s.a, s.b, np.ldexp(s.h, exponent)), n - made


def _start(X: Floats, weight: Floats, end: Ints, kind: int) -> _State:
    """Measure the edges, and put them into the lists, the table and the heap."""
    n, m = len(X), len(end) // 2
    means = m if kind == kernels.AVERAGE else 0
    seats = 1 << max(1, (2 * m - 1).bit_length())  # at most half of them taken
    s = _State(X, weight, np.arange(n), np.full(n, -1), np.zeros(n, np.int64), end, np.empty(2 * m, np.int64),
               np.empty(2 * m, np.int64), np.empty(m), np.empty(means), np.empty(means), np.arange(m), np.arange(m),
               np.full(seats, -1), np.empty(n - 1, np.int64), np.empty(n - 1, np.int64), np.empty(n - 1))
    tasks = pool.blocks(m, BLOCK)
    pool.run(lambda e0, e1: kernels.edge_lengths(X, weight, kind, end, s.value, s.total, s.mass, e0, e1), tasks)
    for e0, e1 in tasks:
        kernels.link_edges(s.head, s.degree, end, s.after, s.ahead, e0, e1)
        kernels.fill_table(s.table, end, e0, e1)
    for p0, p1 in reversed(pool.blocks(m // 2, BLOCK)):
        kernels.heapify(s.heap, s.place, s.value, p0, p1)
    return s


def _merge_all(s: _State, kind: int, ticker: Ticker) -> int:
    """Merge until no edge is left; return how many merges that was."""
    count = np.array([0, len(s.heap)])
    while count[1] > 0:
        kernels.merge_neighbours(s, kind, count, SLICE)
        ticker.at(int(count[0]) / len(s.item))
    return int(count[0])


def _join(s: _State, made: int, method: str, X: Floats, weight: Floats, ticker: Ticker) -> None:
    """Go on without the graph: the components are the items of an unconstrained linkage."""
    slots = np.flatnonzero(s.item >= 0)
    slots = slots[np.argsort(s.item[slots])]
    item, k = s.item[slots], len(slots)
    memory.require(4 * k * (k - 1) + peak_bytes(k), None, f"joining {k:,} components",
                   "Leave out join=True, or add edges that join small components.")
    if METHODS[method] >= kernels.CENTROID:
        D = _between(s.X[slots], s.weight[slots], method, np.arange(k), ticker)
    else:
        D = _between(X, weight, method, _component_of(s, made, item), ticker)
    tree = linkage_stored(D, k, method, s.weight[slots])
    smallest = list(range(k))
    for left in tree.left.tolist():  # the left child is the one with the smallest item
        smallest.append(smallest[left])
    first = item[smallest]
    s.a[made:], s.b[made:], s.h[made:] = first[tree.left], first[tree.right], tree.height


def _component_of(s: _State, made: int, smallest: Ints) -> Ints:
    """Number every item's component, by the order of the components' smallest items."""
    from scipy import sparse

    n = len(s.item)
    forest = sparse.coo_array((np.ones(made), (s.a[:made], s.b[:made])), shape=(n, n))
    label = sparse.csgraph.connected_components(forest, directed=False)[1]
    rank = np.empty(len(smallest), np.int64)
    rank[label[smallest]] = np.arange(len(smallest))
    return np.asarray(rank[label], np.int64)


def _between(X: Floats, weight: Floats, method: str, label: Ints, ticker: Ticker) -> Floats:
    """Distances of labelled groups over all pairs of their rows, condensed."""
    n, k = len(X), int(label.max()) + 1
    D = np.full(k * (k - 1) // 2, 0.0 if method in ("average", "complete") else math.inf)
    share = weight / np.bincount(label, weight)[label]
    ticker.at(0.0, f"distances of {k:,} components")
    for i0, i1 in pool.blocks(n, max(1, SLICE // (n * (4 + X.shape[1])))):
        kernels.all_pairs(X, share, METHODS[method], label, k, D, i0, i1)
        ticker.at(i1 / n)
    return D
