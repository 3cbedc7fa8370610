"""A graph drawn by springs, in the colours of its clusters: for looking only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError, MissingExtraError
from shoal.plot.palette import inks_of
from shoal.plot.scatter import scatter

__all__ = ["network", "spring_positions"]

Floats = NDArray[np.float64]

MOST = 5000  # items: the springs of more are a blot, and take minutes
SHOWN = 3  # heaviest edges of an item that are drawn unasked
NOTE = "Positions are drawn by springs: they show what is joined, and measure nothing."


def network(i: Any, j: Any, weight: Any, labels: Any, *, ids: Any = None, shown: int = SHOWN, seed: int = 0, ax: Any = None,
            annotate: bool | None = None) -> Any:
    """Draw items and the edges between them, coloured by cluster.

    Parameters
    ----------
    i, j : ndarray of int, shape (m,)
        The two items of every edge.
    weight : ndarray, shape (m,)
        Above 0; heavier edges pull more.
    labels : ndarray of int, shape (n,)
        Cluster numbers; -1 is noise.
    ids : sequence of n, optional
        The items' names.
    shown : int, default 3
        Of each item so many of its heaviest edges are drawn; all of them pull.
    seed : int, default 0
        Another seed begins elsewhere, and ends in another picture.
    ax : matplotlib Axes, optional
        Where to draw; default: a new figure.
    annotate : bool, optional
        Write the items' names; default: for up to 60 items when `ids` are given.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        For more than 5,000 items, and for weights that are not above 0.
    MissingExtraError
        When networkx or matplotlib is not installed.

    Notes
    -----
    The layout is networkx's (Fruchterman & Reingold 1991). It is for looking only: clusters of its positions move with
    its seed, so none are made of them here.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from shoal.plot.network import network
    >>> ax = network(np.array([0, 1]), np.array([1, 2]), np.ones(2), np.array([0, 0, 1]), ax=Figure().subplots())
    >>> len(ax.collections)
    2
    """
    labels, weight = np.asarray(labels), np.asarray(weight, np.float64)
    flat = spring_positions(i, j, weight, len(labels), seed)
    ax = scatter(flat, labels, ids=ids, columns=("", ""), ax=ax, annotate=annotate)
    from matplotlib.collections import LineCollection

    inks, drawn = inks_of(ax), _heaviest(np.asarray(i), np.asarray(j), weight, len(labels), shown)
    ends = np.stack([flat[np.asarray(i)[drawn]], flat[np.asarray(j)[drawn]]], axis=1)
    width = 0.3 + 1.7 * weight[drawn] / weight.max(initial=1e-300)
    ax.add_collection(LineCollection(list(ends), colors=inks.quiet, linewidths=width.tolist(), alpha=0.35, zorder=0.5),
                      autolim=False)
    ax.set(xticks=[], yticks=[])
    for side in ax.spines.values():
        side.set_visible(False)
    cut = f"\n{len(drawn):,} of {len(weight):,} edges are drawn, the {shown} heaviest of each item."
    ax.set_xlabel(NOTE + (cut if len(drawn) < len(weight) else ""), size=7.5, color=inks.quiet)
    return ax


def spring_positions(i: Any, j: Any, weight: Floats, n: int, seed: int = 0) -> Floats:
    """Return positions in the plane in which heavy edges are short; shape (n, 2). The same seed gives the same ones."""
    try:
        import networkx
    except ImportError:
        raise MissingExtraError("networkx", "graph", "Drawing a graph") from None
    if n > MOST:
        raise InputError(f"The graph has {n:,} items; its springs would draw a blot.", f"Draw up to {MOST:,} of them.")
    if not (np.isfinite(weight).all() and (weight > 0).all()):
        raise InputError("Edges pull by their weight, and some weights are not above 0.", "Draw those above 0.")
    graph = networkx.Graph()
    graph.add_nodes_from(range(n))
    graph.add_weighted_edges_from(zip(np.asarray(i).tolist(), np.asarray(j).tolist(), weight.tolist(), strict=True))
    at = networkx.spring_layout(graph, seed=seed, iterations=100 if n < 500 else 50)
    return np.array([at[node] for node in range(n)])


def _heaviest(i: NDArray[Any], j: NDArray[Any], weight: Floats, n: int, shown: int) -> NDArray[np.int64]:
    """Edges among the `shown` heaviest of either of their items."""
    ends, edge = np.concatenate([i, j]), np.tile(np.arange(len(i)), 2)
    order = np.lexsort((edge, -weight[edge], ends))
    first = np.searchsorted(ends[order], np.arange(n))
    rank = np.arange(len(order)) - first[ends[order]]
    return np.unique(edge[order[rank < shown]])
