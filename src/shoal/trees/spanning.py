"""Minimum spanning trees, and single linkage by way of them: of points, of given distances, and of the edges of a graph.

Points with Euclidean distances go one of two ways, by Borůvka's rounds (`forest.py`), both exact and in linear memory: few
features over a kd-tree (`boxes.py`), many over products of blocks of rows (`products.py`). Other distances go row by row, by
Prim's algorithm; the edges of a graph by Borůvka's rounds over the edges.

Source: Gower & Ross 1969, doi:10.2307/2346439 (single linkage is the minimum spanning tree).
"""

from __future__ import annotations

import math
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from shoal.data.carriers import Carrier, Graph, Points, as_carrier
from shoal.data.rows import rows_of
from shoal.data.rules import convert
from shoal.errors import InputError
from shoal.runtime import memory, pool
from shoal.runtime.kernel import plain_if_cheap
from shoal.runtime.progress import Progress, Ticker
from shoal.trees import boxes, products
from shoal.trees import spanning_kernels as kernels
from shoal.trees.forest import Problem, SpanningTree, in_order, index_type
from shoal.trees.merges import Floats, Ints, Merges, canonical

__all__ = ["SpanningTree", "linkage_of_graph", "linkage_spanning", "peak_bytes", "peak_bytes_of_graph", "seconds",
           "spanning_tree", "spanning_tree_of_points", "takes_graph"]

PLAIN_POINT_S, PLAIN_FEATURE_S, PLAIN_PAIR_S, PLAIN_EDGE_S = 2.5e-4, 3e-7, 1e-6, 1e-5  # plain Python: n, n²·d, n², edges
WORTH_A_LOOK = 0.5  # seconds of products from which a few walks are tried: data of many features may have few dimensions
EDGES = 1 << 18  # edges a task passes over: at most some milliseconds


def spanning_tree(data: Any, *, core: Any = None, memory_limit: int | str | None = None,
                  progress: Progress = None) -> SpanningTree:
    """Build the minimum spanning tree of some items, or the forest of a graph.

    Parameters
    ----------
    data : Points, Graph, other carrier, array-like or frame
        Points with any metric; given distances or similarities of all pairs; or a graph, of which only the edges given
        are taken, at their distances.
    core : array-like, shape (n,), optional
        Core distances. The length of an edge is then the largest of its distance and the core distances of its ends
        (mutual reachability).
    memory_limit : int or str, optional
        Bytes, or text such as "8GB".
    progress : callable, bool or None
        See `shoal.linkage`.

    Returns
    -------
    SpanningTree
        ``.a``, ``.b``, ``.length``: n - 1 edges, the shortest first; among equal lengths by (smaller item, larger item).
        One edge less for every further part of a graph that is not connected.

    Raises
    ------
    InputError
        For core distances that are negative or not finite.
    TooLargeError
        Before the work, when it would not fit in memory.

    Notes
    -----
    Exact. Dense points with Euclidean distances: O(n·d) memory; time grows about as n·log n for few features, and towards
    O(n²·d) beyond some ten. A graph of m edges: O(m·log n) time, O(m + n) memory. All else: O(n²) time, O(n) memory.

    Examples
    --------
    >>> import shoal
    >>> shoal.spanning_tree([[0.0], [1.0], [5.0]]).length.tolist()
    [1.0, 4.0]
    >>> shoal.spanning_tree(shoal.graph([(0, 1, 2.0), (1, 2, 0.0), (0, 2, 3.0)], kind="distance")).length.tolist()
    [0.0, 2.0]
    """
    carrier = as_carrier(data)
    n, cores = carrier.n, _cores(core, carrier.n)
    with Ticker(progress, f"spanning tree of {n:,} items") as ticker:
        if isinstance(carrier, Graph) and carrier.pairs.stored is not None:
            m = len(carrier.pairs.values)
            memory.require(peak_bytes_of_graph(n, m), memory_limit, f"the spanning tree of {m:,} edges")
            with plain_if_cheap(PLAIN_EDGE_S * m):
                return _of_edges(n, *_edges_of(carrier, cores), ticker)[0]
        if _dense_euclidean(carrier):
            memory.require(peak_bytes(n, carrier.d), memory_limit, f"the spanning tree of {n:,} points")
            with plain_if_cheap(n * (PLAIN_POINT_S + PLAIN_FEATURE_S * n * carrier.d)):
                return spanning_tree_of_points(carrier.X, cores, ticker)
        memory.require(100 * n, memory_limit, f"the spanning tree of {n:,} items")
        with plain_if_cheap(PLAIN_PAIR_S * n * n):
            return _by_rows(carrier, cores, ticker)


def _cores(core: Any, n: int) -> Floats | None:
    if core is None:
        return None
    cores = np.asarray(core, np.float64)
    if cores.shape != (n,) or not np.isfinite(cores).all() or (cores < 0).any():
        raise InputError(f"Core distances are {n:,} finite numbers of at least 0, one for each item.")
    return cores


def _dense_euclidean(carrier: Carrier) -> TypeGuard[Points]:
    return isinstance(carrier, Points) and carrier.metric.name == "euclidean" and isinstance(carrier.X, np.ndarray)


# ---------------------------------------------------------------------------------------------------------------- points


def linkage_spanning(X: NDArray[np.floating[Any]], *, progress: Progress = None) -> Merges:
    """Build the single-linkage tree of the rows of X: the edges of its minimum spanning tree, the shortest first."""
    with Ticker(progress, f"spanning tree of {len(X):,} items") as ticker:
        edges = spanning_tree_of_points(X, ticker=ticker)
    return canonical(edges.a, edges.b, edges.length)


def spanning_tree_of_points(X: NDArray[np.floating[Any]], core: Floats | None = None, ticker: Ticker | None = None,
                            stop: float = math.inf) -> SpanningTree:
    """Build the Euclidean minimum spanning tree of the rows of X, or its edges up to a length, the faster of two ways.

    Parameters
    ----------
    X : ndarray of float32 or float64, shape (n, d)
        Finite, C-contiguous; not written to.
    core : ndarray, shape (n,), optional
        Core distances: lengths are then max(distance, core of either end), mutual reachability.
    ticker : Ticker, optional
    stop : float
        Longer edges are not wanted; some that are longer by rounding may come along.

    Returns
    -------
    SpanningTree
        The same bits either way.
    """
    by_products, by_boxes = products.seconds(*X.shape), boxes.seconds(*X.shape)
    if WORTH_A_LOOK < by_products < by_boxes:
        by_boxes = boxes.Boxes(Problem.of(X, None, stop)).seconds()
    way = products.spanning_tree_by_products if by_products < by_boxes else boxes.spanning_tree_by_boxes
    return way(X, core, ticker, stop)


def peak_bytes(n: int, d: int) -> int:
    """Peak bytes beside the data of the way that is taken."""
    few = boxes.seconds(n, d) <= products.seconds(n, d)
    return boxes.peak_bytes(n, d) if few else products.peak_bytes(n, d)


def seconds(n: int, d: int) -> float:
    """Seconds the faster of the two ways is expected to take."""
    return min(boxes.seconds(n, d), products.seconds(n, d))


# ----------------------------------------------------------------------------------------------------------------- graphs


def linkage_of_graph(graph: Graph, *, progress: Progress = None) -> Merges:
    """Build the single-linkage tree of a graph from its edges alone.

    Parameters
    ----------
    graph : Graph
        For which `takes_graph` is True.
    progress : callable, bool or None
        See `shoal.linkage`.

    Returns
    -------
    Merges
        Parts without an edge between them merge last, in the order of their smallest items: at the distance of similarity
        0, or where weights are distances at infinity.

    Notes
    -----
    O(m·log n) time and O(m + n) memory for m edges. Under missing="shortest_path" the heights are those of all shortest
    paths: a path is at least as long as each of its edges, so that none merges what the edges do not.

    Examples
    --------
    >>> import shoal
    >>> linkage_of_graph(shoal.graph([(0, 1, 2.0), (1, 2, 0.0), (3, 4, 5.0)], kind="distance")).height.tolist()
    [0.0, 2.0, 5.0, inf]
    """
    i, j, length = _edges_of(graph, None)
    far = math.inf if graph.rule is None else _far(graph)
    near = length < far
    with Ticker(progress, f"spanning tree of {graph.n:,} items") as ticker, plain_if_cheap(PLAIN_EDGE_S * len(i)):
        edges, tree = _of_edges(graph.n, i[near], j[near], length[near], ticker)
    heads = np.unique(tree)[1:]
    return canonical(np.append(edges.a, np.zeros(len(heads), np.int64)), np.append(edges.b, heads),
                     np.append(edges.length, np.full(len(heads), far)))


def takes_graph(graph: Graph) -> bool:
    """Whether the edges alone make the single-linkage tree: some pairs have none, and none is longer than those would be."""
    if graph.pairs.stored is None:
        return False
    return graph.rule is None or bool((_edges_of(graph, None)[2] <= _far(graph)).all())


def peak_bytes_of_graph(n: int, edges: int) -> int:
    """Peak bytes of `linkage_of_graph`, beside the graph."""
    return 68 * edges + 80 * n


def _far(graph: Graph) -> float:
    """The distance of a pair without an edge, which has similarity 0."""
    return float(_turned(graph, np.zeros(1))[0])


def _turned(graph: Graph, values: Floats) -> Floats:
    """Distances of similarities, in the precision that the graph gives them out."""
    assert graph.rule is not None
    found = convert(graph.rule, values, graph.top)
    wrong = ~((found >= 0) & (found < math.inf))
    if wrong.any():
        raise InputError(f"The rule makes {found[np.argmax(wrong)]} of the similarity {values[np.argmax(wrong)]:g}.",
                         "Distances must be finite and zero or above.")
    return found.astype(graph.dtype).astype(np.float64)


def _edges_of(graph: Graph, core: Floats | None) -> tuple[Ints, Ints, Floats]:
    """The edges, ascending, and their lengths."""
    i, j, values = graph.edges
    given = np.array(values, np.float64)
    length = given if graph.rule is None else _turned(graph, given)
    return i, j, length if core is None else np.maximum(length, np.maximum(core[i], core[j]))


def _of_edges(n: int, i: Ints, j: Ints, length: Floats, ticker: Ticker | None) -> tuple[SpanningTree, Ints]:
    """The minimum spanning forest of edges that ascend by (i, j), by Borůvka's rounds; the smallest item of every part."""
    index = index_type(n)
    a, b, length = i.astype(index), j.astype(index), length.copy()
    root, tree, edge = np.arange(n, dtype=index), np.arange(n, dtype=index), np.full(n, -1, index)
    out_a, out_b, out = np.empty(n, index), np.empty(n, index), np.empty(n)
    items, made, left = pool.blocks(n, EDGES), 0, len(a)
    while left > 0:
        edges, left = pool.blocks(left, EDGES), 0
        for e0, e1 in edges:
            left = kernels.nearest_edges(a, b, length, e0, e1, left, tree, edge)
        for p0, p1 in items:
            made = kernels.unite(a, b, length, edge, root, p0, p1, out_a, out_b, out, made)
        for p0, p1 in items:
            kernels.flatten(root, tree, p0, p1)
        if ticker is not None:
            ticker.at(made / n)
    return in_order(out_a[:made], out_b[:made], out[:made]), tree


# ------------------------------------------------------------------------------------------------------- other distances


def _by_rows(carrier: Carrier, core: Floats | None, ticker: Ticker | None) -> SpanningTree:
    """Prim's algorithm, a row of distances at a time."""
    n, rows = carrier.n, rows_of(carrier)
    outside, best, source, cores = np.arange(n), np.full(n, math.inf), np.full(n, n), np.empty(0) if core is None else core
    a, b, length = np.empty(n - 1, np.int64), np.empty(n - 1, np.int64), np.empty(n - 1)
    newest = n - 1
    for t in range(n - 1):
        last = n - 2 - t
        at = kernels.next_point(rows(np.array([newest]))[0], newest, outside, last + 1, best, source, cores)
        newest, other = int(outside[at]), int(source[at])
        a[t], b[t], length[t] = min(newest, other), max(newest, other), best[at]
        outside[at], best[at], source[at] = outside[last], best[last], source[last]
        if ticker is not None:
            ticker.at((t + 1) / (n - 1))
    return in_order(a, b, length)
