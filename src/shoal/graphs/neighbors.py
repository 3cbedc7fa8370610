"""The exact nearest neighbours of items, and graphs of them.

Dense points of few features are searched in a kd-tree, of many by products of blocks; everything else goes by rows of
distances. All give the same neighbours: the values that decide are summed in float64 in the order of the features, and ties
go to the smaller item.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.data.carriers import Carrier, Graph, Points, as_carrier, graph
from shoal.data.forms import require_all_pairs
from shoal.data.metrics import ABSOLUTE, DOT, KERNELS, LARGEST, SQUARES, scale_for_squares
from shoal.data.rows import rows_of, rows_of_new
from shoal.errors import InputError, is_whole
from shoal.graphs import near_boxes, near_products
from shoal.graphs.affinity import WEAKEST, local_scale
from shoal.graphs.near_rows import BLOCK, nearest_by_rows, row_blocks
from shoal.runtime import memory, pool
from shoal.runtime.kernel import plain_if_cheap
from shoal.runtime.progress import Progress, Ticker
from shoal.trees.forest import index_type
from shoal.trees.merges import Floats, Ints

__all__ = ["Neighbors", "neighbors"]

KINDS = ("union", "mutual", "directed")
WEIGHTS = ("distance", "similarity", "binary")
PLAIN_VALUE_S = 1e-6  # a coordinate of a pair in plain Python

Rows = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The nearest neighbours of items. Made by `shoal.neighbors`.

    Attributes
    ----------
    index : ndarray of int32 or int64, shape (m, k)
        Positions of the neighbours, the nearest first; of equal distances the smaller position.
    distance : ndarray of float64, shape (m, k)
    n : int
        How many items they were sought among.
    ids : tuple of str or None
        Names of these items.
    new_ids : tuple of str or None
        Names of the rows where these are new items; else None, and row i is item i.
    engine : str
        "boxes", "products" or "rows": how they were found.
    """

    index: Ints
    distance: Floats
    n: int
    ids: tuple[str, ...] | None = None
    new_ids: tuple[str, ...] | None = None
    engine: str = "rows"

    def graph(self, kind: str = "union", weight: str | Callable[[Floats], Any] = "distance", *,
              scale: str | float = "self-tuning") -> Any:
        """Join every item to its neighbours.

        Parameters
        ----------
        kind : {"union", "mutual", "directed"}
            A pair is joined when one is a neighbour of the other, or both are; "directed" has an edge from each row to
            each of its neighbours. New items have only this one.
        weight : {"distance", "similarity", "binary"} or callable
            "similarity" is exp(-d²/(sᵢ·sⱼ)), s being the distance to an item's 7th neighbour, or to the last where there
            are fewer; not below exp(-30). A function takes the array of distances, and returns as many weights.
        scale : "self-tuning" or float
            With "similarity": a length σ gives exp(-d²/(2σ²)) for all pairs.

        Returns
        -------
        csr_array of float64, shape (m, n)
            Edges of weight 0, between equal items, are stored. No item is joined to itself.

        Raises
        ------
        InputError
            For a kind or weight there is none of.

        Notes
        -----
        O(m·k·log(m·k)) time. Self-tuning scales: Zelnik-Manor & Perona 2004, Self-tuning spectral clustering.

        Examples
        --------
        >>> import shoal
        >>> near = shoal.neighbors([[0.0], [1.0], [3.0]], 1)
        >>> near.graph().toarray().tolist()
        [[0.0, 1.0, 0.0], [1.0, 0.0, 2.0], [0.0, 2.0, 0.0]]
        >>> near.graph("mutual", "binary").toarray().tolist()
        [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
        """
        from scipy import sparse

        if kind not in KINDS or (kind != "directed" and self.new_ids is not None):
            raise InputError(f"A {kind!r} graph was asked for.", "New items only have a 'directed' graph, to the old ones."
                             if kind in KINDS else f"Choose one of {', '.join(map(repr, KINDS))}.")
        m, k = self.index.shape
        i: Ints = np.repeat(np.arange(m), k)
        j: Ints = self.index.ravel().astype(np.int64)
        d = self.distance.ravel()
        if self.new_ids is None:
            other = i != j
            i, j, d = i[other], j[other], d[other]
        if kind != "directed":
            i, j, d = _pairs(i, j, d, self.n, both=kind == "mutual")
        values = self._weights(weight, scale, i, j, d)
        if kind != "directed":
            i, j, values = np.append(i, j), np.append(j, i), np.append(values, values)
        found = sparse.csr_array((values, (i, j)), shape=(m, self.n))
        found.sort_indices()
        return found

    def _weights(self, weight: str | Callable[[Floats], Any], scale: str | float, i: Ints, j: Ints, d: Floats) -> Floats:
        if callable(weight):
            values = np.asarray(weight(d.copy()), np.float64)
            if values.shape != d.shape or not np.isfinite(values).all():
                raise InputError(f"The weights of {len(d):,} edges came as an array of shape {values.shape}, or not all are "
                                 "finite.", "The function takes an array of distances, and returns one number for each.")
            return values
        if weight not in WEIGHTS:
            raise InputError(f"weight={weight!r} was given.", f"Choose one of {', '.join(map(repr, WEIGHTS))}, or give a "
                                                              "function of the distances.")
        if weight != "similarity":
            return d if weight == "distance" else np.ones(len(d))
        if isinstance(scale, str) and (scale != "self-tuning" or self.new_ids is not None):
            raise InputError(f"scale={scale!r} was given.", "Give a length, or 'self-tuning'; for new items give a length, "
                                                            "as the old items' own scales are not known here.")
        if not isinstance(scale, str) and not 0.0 < scale < math.inf:
            raise InputError(f"scale={scale!r} was given.", "A scale is a length above 0.")
        if isinstance(scale, str):
            own = local_scale(self._others(), scale)
            return np.asarray(np.exp(-np.minimum(d * d / (own[i] * own[j]), WEAKEST)))
        return np.asarray(np.exp(-np.minimum(d * d / (2.0 * scale * scale), WEAKEST)))

    def _others(self) -> Floats:
        """Distances to the neighbours without the item itself."""
        own = self.index[:, 0] == np.arange(len(self.index))
        return self.distance[:, 1:] if own.all() and self.distance.shape[1] > 1 else self.distance

    def carrier(self, kind: str = "union") -> Graph:
        """Return the graph of distances as data to cluster.

        Parameters
        ----------
        kind : {"union", "mutual"}

        Returns
        -------
        Graph

        Examples
        --------
        >>> import shoal
        >>> near = shoal.neighbors([[0.0], [1.0], [5.0], [7.0]], 2)
        >>> shoal.linkage(near.carrier(), "single").merges.height.tolist()
        [1.0, 2.0, 4.0]
        """
        if kind == "directed":
            raise InputError("A directed graph is no data to cluster.", "Choose kind='union' or 'mutual'.")
        return graph(self.graph(kind), kind="distance", ids=self.ids)

    def to_frame(self, like: Any = None) -> Any:
        """Return a table with the columns item, rank, neighbor and distance, in the library of `like`.

        Examples
        --------
        >>> import shoal
        >>> shoal.neighbors([[0.0], [1.0], [3.0]], 1).to_frame("polars").row(2)
        (2, 1, 1, 2.0)
        """
        from shoal.data.tables import to_frame

        m, k = self.index.shape
        items: Any = np.repeat(np.arange(m), k)
        found: Any = self.index.ravel()
        rows = self.ids if self.new_ids is None else self.new_ids
        return to_frame({"item": items if rows is None else [rows[i] for i in items],
                         "rank": np.tile(np.arange(1, k + 1), m),
                         "neighbor": found if self.ids is None else [self.ids[j] for j in found],
                         "distance": self.distance.ravel()}, like)


def _pairs(i: Ints, j: Ints, d: Floats, n: int, both: bool) -> tuple[Ints, Ints, Floats]:
    """Pairs i < j of edges in either direction, or with `both` in both; of two distances the smaller."""
    low, high = np.minimum(i, j), np.maximum(i, j)
    order = np.lexsort((d, low * n + high))
    low, high, d = low[order], high[order], d[order]
    again = np.zeros(len(d) + 1, bool)
    again[1:-1] = (low[1:] == low[:-1]) & (high[1:] == high[:-1])
    keep = ~again[:-1] & again[1:] if both else ~again[:-1]
    return low[keep], high[keep], d[keep]


# --------------------------------------------------------------------------------------------------------------- search


class Work(NamedTuple):
    """What is sought, as far as choosing a way needs to know.

    Attributes
    ----------
    n, m, d, k : int
        Items; new items, 0 for the neighbours of the items themselves; features, 1 where there are none; neighbours.
    kind : int
        The metric as `shoal.data.metrics` numbers it; -1 for all others, and for sparse points and what is no points.
    features : int
        Values that the items are stored in.
    """

    n: int
    m: int
    d: int
    k: int
    kind: int
    features: int

    @property
    def queries(self) -> int:
        """How many items' neighbours are sought."""
        return self.m or self.n


class Way(NamedTuple):
    """A way to search: the metrics it is for, what it takes, on one thread, and how it is run."""

    name: str
    kinds: tuple[int, ...]
    bytes: Callable[[Work], float]
    seconds: Callable[[Work], float]


WAYS = (
    Way("boxes", (SQUARES, ABSOLUTE, LARGEST), lambda w: near_boxes.peak_bytes(w.n, w.queries, w.d),
        lambda w: near_boxes.seconds(w.n, w.queries, w.d, w.k)),
    Way("products", (SQUARES, DOT), lambda w: near_products.peak_bytes(w.n, w.m, w.d, w.k),
        lambda w: near_products.seconds(w.n, w.m, w.d, w.k)),
    Way("rows", (-1, SQUARES, ABSOLUTE, LARGEST, DOT), lambda w: 48 * max(BLOCK, w.n) + 24 * w.features,
        lambda w: w.n * w.queries * (1.5e-9 + 0.4e-9 * w.d)),
)


def neighbors(data: Any, k: int = 15, *, metric: str | Callable[..., Any] = "euclidean", new: Any = None,
              include_self: bool = False, memory_limit: int | str | None = None, progress: Progress = None) -> Neighbors:
    """Find the exact k nearest neighbours of every item, or of new items among the old.

    Parameters
    ----------
    data : carrier, array-like, frame or sparse array
        Points with any metric, or given distances or similarities of all pairs; see `shoal.linkage`.
    k : int, default 15
        Neighbours of each item.
    metric : str or callable
        For points that are not a carrier yet.
    new : array-like, frame or sequence, optional
        New items, whose neighbours among `data` are sought: features; for given distances or similarities rows of them to
        all old items.
    include_self : bool, default False
        Count every item as its own first neighbour, at distance 0.
    memory_limit : int or str, optional
        Bytes, or text such as "8GB".
    progress : callable, bool or None
        See `shoal.linkage`.

    Returns
    -------
    Neighbors
        ``.index`` and ``.distance`` of shape (m, k), each row by (distance, position). Euclidean distances are compared by
        their squares, before the root is rounded.

    Raises
    ------
    InputError
        When there are not k other items.
    TooLargeError
        Before the work, when it would not fit in memory.

    Notes
    -----
    Exact, and the same bits for any number of threads. Dense points of few features (Euclidean, city block, Chebyshev) go
    over a kd-tree: about O(n·log n) for few features, O(n·d) memory. More features, and cosine and correlation, go by
    products of blocks in float32, of which a bound says who needs a look in float64: O(n²·d) time, O(n·(d + k)) memory.
    Everything else goes by rows: O(n²·d) time.

    Sources: Friedman, Bentley & Finkel 1977, doi:10.1145/355744.355745; Higham 2002, section 3.1 (the bound).

    Examples
    --------
    >>> import shoal
    >>> near = shoal.neighbors([[0.0], [1.0], [3.0], [7.0]], 2)
    >>> near.index.tolist()
    [[1, 2], [0, 2], [1, 0], [2, 1]]
    >>> near.distance.tolist()
    [[1.0, 3.0], [1.0, 2.0], [2.0, 3.0], [4.0, 6.0]]
    >>> shoal.neighbors([[0.0], [1.0], [3.0], [7.0]], 1, new=[[2.9]]).index.tolist()
    [[2]]
    """
    carrier = as_carrier(data, metric=metric)
    _check_k(k, carrier.n, new is not None, include_self)
    sought = int(k) - include_self
    if sought == 0:
        who, far, names, name = np.empty((carrier.n, 0), index_type(carrier.n)), np.empty((carrier.n, 0)), None, "rows"
    elif isinstance(carrier, Points):
        read = None if new is None else carrier.new(new)
        who, far, name = _of_points(carrier, read, sought, memory_limit, progress)
        names = None if read is None else read.ids or tuple(map(str, range(read.n)))
    else:
        who, far, names = _of_rows(carrier, new, sought, memory_limit, progress)
        name = "rows"
    if include_self:
        who = np.concatenate([np.arange(carrier.n, dtype=who.dtype)[:, None], who], axis=1)
        far = np.concatenate([np.zeros((carrier.n, 1)), far], axis=1)
    who.flags.writeable = far.flags.writeable = False
    return Neighbors(who, far, carrier.n, carrier.ids, names, name)


def _check_k(k: Any, n: int, new: bool, include_self: bool) -> None:
    if include_self and new:
        raise InputError("include_self=True was given with new=, but a new item is not among the old.", "Leave it out.")
    most = n if new or include_self else n - 1
    if not is_whole(k) or not 1 <= k <= most:
        others = "items" if new or include_self else "others"
        raise InputError(f"{k!r} neighbours were asked for, and there are {most:,} {others}.",
                         f"Give a whole number from 1 to {most:,}." if most else "Give at least 2 items.")


def _empty(m: int, n: int, k: int) -> tuple[Ints, Floats]:
    """Heaps with nothing in them."""
    return np.full((m, k), -1, index_type(n)), np.full((m, k), math.inf)


def _of_points(old: Points, new: Points | None, k: int, memory_limit: int | str | None,
               progress: Progress) -> tuple[Ints, Floats, str]:
    """Choose a way and search."""
    name = old.metric.name
    kind = KERNELS.get(name, -1) if isinstance(old.X, np.ndarray) else -1
    work = Work(old.n, 0 if new is None else new.n, old.d, k, kind, old.X.size)
    way = choose(work, memory_limit)
    Q, X = None if new is None else new.X, old.X
    scale = scale_for_squares(X, X if Q is None else Q) if name in ("euclidean", "sqeuclidean") else 1.0
    if scale != 1.0:
        X, Q = X * scale, None if Q is None else Q * scale
    who, far = _empty(work.queries, old.n, k)
    with (plain_if_cheap(PLAIN_VALUE_S * work.n * work.queries * work.d),
          Ticker(progress, f"neighbours of {work.queries:,} items") as ticker):
        if way == "rows":
            nearest_by_rows(row_blocks(old.metric, X, Q), Q is None, who, far, ticker)
        elif kind == DOT:
            X, Q = old.metric.unit_rows(X), None if Q is None else old.metric.unit_rows(Q)
            near_products.nearest_by_products(X, Q, kind, who, far, ticker)
        else:
            way = _by_boxes_or_products(way, work, X, Q, who, far, ticker)
    if name == "euclidean":
        np.sqrt(far, out=far)
    if scale != 1.0:
        with np.errstate(over="ignore"):
            far = far / scale if name == "euclidean" else far / scale / scale
    if not np.isfinite(far).all():
        raise InputError(f"The metric {name!r} gave distances beyond the range of numbers.",
                         "Divide the features by a constant first.")
    return who, far, way


def _by_boxes_or_products(way: str, work: Work, X: Rows, Q: Rows | None, who: Ints, far: Floats,
                          ticker: Ticker) -> str:
    """Search by the chosen way; where that would take long, by what a few walks say: data may have fewer dimensions."""
    seconds = {w.name: w.seconds(work) for w in WAYS if work.kind in w.kinds}
    look = "products" in seconds and min(seconds["boxes"], seconds["products"]) > near_boxes.WORTH_A_LOOK
    if way == "boxes" or look:
        boxes = near_boxes.Boxes(X, Q, work.kind, work.k)
        if not look or boxes.seconds < seconds["products"]:
            boxes.search(who, far, ticker)
            return "boxes"
    near_products.nearest_by_products(X, Q, work.kind, who, far, ticker)
    return "products"


def choose(work: Work, memory_limit: int | str | None = None) -> str:
    """Choose the fastest way that fits in memory.

    Raises
    ------
    TooLargeError
        When none fits.
    """
    able = [way for way in WAYS if work.kind in way.kinds]
    result = work.queries * work.k * (8 + np.dtype(index_type(work.n)).itemsize)
    allowed = memory.parse_bytes(memory_limit) if memory_limit is not None else memory.SHARE * memory.available_bytes()
    fitting = [way for way in able if way.bytes(work) + result <= allowed]
    if fitting:
        return min(fitting, key=lambda way: way.seconds(work)).name
    least = min(able, key=lambda way: way.bytes(work))
    memory.require(least.bytes(work) + result, memory_limit, f"the search for {work.k:,} neighbours of {work.queries:,} "
                   "items", "Ask for fewer neighbours, or search for some items at a time by new=.")
    return least.name


def _of_rows(carrier: Carrier, new: Any, k: int, memory_limit: int | str | None,
             progress: Progress) -> tuple[Ints, Floats, tuple[str, ...] | None]:
    """Search given distances."""
    n = carrier.n
    if isinstance(carrier, Graph) and carrier.rule is None and carrier.missing is None:
        require_all_pairs(carrier.pairs, carrier.ids, "Give a distance for every pair, or missing='shortest_path'.")
    names, blocks = (None, None) if new is None else rows_of_new(carrier, new)
    m = n if names is None else len(names)
    choose(Work(n, 0 if names is None else m, 1, k, -1, 0), memory_limit)
    if blocks is None:
        rows = rows_of(carrier)
        blocks = (rows(np.arange(a, b)) for a, b in pool.blocks(n, max(1, BLOCK // n)))
    who, far = _empty(m, n, k)
    with plain_if_cheap(PLAIN_VALUE_S * n * m), Ticker(progress, f"neighbours of {m:,} items") as ticker:
        nearest_by_rows(blocks, new is None, who, far, ticker)
    return who, far, names
