"""`linkage`: the verb that builds trees."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from shoal.data.carriers import Carrier, Points, as_carrier
from shoal.data.checks import row_numbers
from shoal.errors import InputError
from shoal.runtime.progress import Progress
from shoal.tree import Tree
from shoal.trees import linkage as engines
from shoal.trees.merges import Ints, Merges

__all__ = ["linkage"]


def linkage(data: Any, method: str = "ward", metric: str | Callable[..., Any] = "euclidean", *, weights: Any = None,
            connectivity: Any = None, join: bool = False, stop_height: float | None = None, ids: Any = None,
            engine: str = "auto", memory_limit: int | str | None = None, progress: Progress = None) -> Tree:
    """Build the exact merge tree of some items.

    Parameters
    ----------
    data : carrier, array-like or frame
        What `shoal.points`, `shoal.distances`, `shoal.similarities` or `shoal.graph` made; anything else is read as
        points, shape (n, d).
    method : {"ward", "single", "complete", "average", "weighted", "centroid", "median"}
        How the distance of two clusters follows from those of their items. Heights are scipy's: ward's is
        sqrt(2·increase of the sum of squares).
    metric : str or callable
        For points: a name of scipy.spatial.distance or a function of two rows. Ward, centroid and median take Euclidean.
    weights : sequence of float, shape (n,), optional
        An item of weight w stands for w equal items.
    connectivity : sparse array, `shoal.grid` or callable, optional
        A graph of the items: only clusters that an edge joins may merge. Dense Euclidean points; ward, centroid, average,
        complete and single linkage, the last three over the edges between two clusters.
    join : bool
        With connectivity: whether parts of the graph that no edge joins are joined in the end, at their distances. By
        default they stay apart: the merges between them have infinite height.
    stop_height : float, optional
        Only the merges at or below this height are wanted: exact, and much less work when it is low. What is left apart
        is joined at infinite height. Dense Euclidean points; single, complete, average, weighted and ward linkage.
    ids : sequence, optional
        The items' names, kept as text exactly as written.
    engine : {"auto", "stored", "spanning", "spatial", "blocked"}
        "stored" keeps the matrix of all distances; the others need memory in proportion to the data. "auto" takes the
        fastest that is exact for the work and fits; see `shoal.plan`.
    memory_limit : int or str, optional
        Bytes, or text such as "8GB"; by default 80 % of what the process may use.
    progress : callable, bool or None
        ``progress(fraction, message)``, True for a bar on a terminal, None for silence.

    Returns
    -------
    Tree

    Raises
    ------
    InputError
        For data that cannot be read, an unknown method or metric, or a method that does not go with the metric.
    TooLargeError
        Before anything is allocated, when the tree would not fit in memory.

    Notes
    -----
    O(n²) time (centroid and median: as a rule) and n²/2 stored distances. The same bits for any number of threads.
    Among equal distances every merge is of a closest pair, chosen by the order of the items and always the same.
    See `shoal.trees.stored` for the sources.

    Examples
    --------
    >>> import shoal
    >>> tree = shoal.linkage([[0.0], [0.1], [5.0], [5.2]], "single", ids=["a", "b", "c", "d"])
    >>> tree.merges.height.round(2).tolist()
    [0.1, 0.2, 4.9]
    >>> tree.cut(k=2).labels.tolist()
    [0, 0, 1, 1]
    """
    carrier = as_carrier(data, metric=metric, ids=ids, weights=weights)
    if stop_height is not None:
        if connectivity is not None:
            raise InputError("stop_height= and connectivity= were both given.", "Give one of them.")
        return _below(carrier, method, stop_height, memory_limit, progress)
    if connectivity is not None:
        return _constrained(carrier, method, connectivity, join, progress)
    merges, used = engines.build(carrier, method, engine=engine, memory_limit=memory_limit, progress=progress)
    return Tree(merges, carrier.ids or row_numbers(carrier.n), engines.check_method(method), used, carrier,
                carrier.describe(), carrier.weights)


def _constrained(carrier: Carrier, method: str, connectivity: Any, join: bool, progress: Progress) -> Tree:
    """Build the tree of a graph of points."""
    from shoal.trees.constrained import linkage_constrained

    name = engines.check_method(method)
    engines.check_metric(carrier, name)
    if not isinstance(carrier, Points) or carrier.metric.name != "euclidean" or not isinstance(carrier.X, np.ndarray):
        raise InputError("Connectivity goes with dense points and Euclidean distances.",
                         "For given distances, set those of unconnected pairs yourself.")
    merges, parts = linkage_constrained(carrier.X, name, connectivity, carrier.weights, join=join, progress=progress)
    source = {**carrier.describe(), "parts": parts}
    return Tree(merges, carrier.ids or row_numbers(carrier.n), name, "constrained", carrier, source, carrier.weights)


def _below(carrier: Carrier, method: str, stop: float, memory_limit: int | str | None, progress: Progress) -> Tree:
    """Build the part of a tree at or below a height."""
    from shoal.trees.threshold import linkage_below

    name = engines.check_method(method)
    if not isinstance(carrier, Points) or carrier.metric.name != "euclidean" or not isinstance(carrier.X, np.ndarray):
        raise InputError("A stop height goes with dense points and Euclidean distances.",
                         "Build the whole tree and cut it: tree.cut(height=...).")
    if isinstance(stop, bool) or not isinstance(stop, (int, float, np.number)) or not 0 <= stop < np.inf:
        raise InputError(f"stop_height={stop!r} was given.", "Give a finite number of at least 0.")

    def whole(items: Ints) -> Merges:
        weights = None if carrier.weights is None else carrier.weights[items]
        some = dataclasses.replace(carrier, X=np.ascontiguousarray(carrier.X[items]), ids=None, weights=weights)
        return engines.build(some, name, memory_limit=memory_limit)[0]

    merges = linkage_below(carrier.X, name, float(stop), carrier.weights, whole, progress=progress)
    source = {**carrier.describe(), "stop_height": float(stop), "parts": 1 + int(np.isinf(merges.height).sum())}
    return Tree(merges, carrier.ids or row_numbers(carrier.n), name, "threshold", carrier, source, carrier.weights)
