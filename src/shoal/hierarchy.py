"""scipy.cluster.hierarchy on Shoal's engines: the same names, arguments and results, so that changing one import is enough.

Every public name of scipy's module is here. What takes time there, or is known to go wrong, is Shoal's own: `linkage` and
the methods by name, `fclusterdata`, `cophenet`, `cut_tree`, `optimal_leaf_ordering`, `dendrogram`; the rest is scipy's.

Where results differ, on purpose:

- `linkage` refuses a square distance matrix, which scipy clusters as if its rows were observations, with a warning.
- Trees of equal distances may merge in another order than scipy's: pairs are taken by (distance, smallest item).
- `cut_tree` gives exactly as many clusters as asked for, also under ties and inversions, and refuses more than there are
  items.
- `optimal_leaf_ordering` finds the best order; scipy's stops short of it.
- `dendrogram` draws trees of any depth: it does not recurse. Leaves that merge at height 0 have their own link's colour,
  ``truncate_mode="level"`` contracts the first merge like any other, and ``get_leaves=False`` works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import (
    ClusterNode,
    DisjointSet,
    correspond,
    fcluster,
    from_mlab_linkage,
    inconsistent,
    is_isomorphic,
    is_monotonic,
    is_valid_im,
    is_valid_linkage,
    leaders,
    leaves_list,
    maxdists,
    maxinconsts,
    maxRstat,
    num_obs_linkage,
    to_mlab_linkage,
    to_tree,
)

from shoal.data.carriers import distances, points
from shoal.errors import InputError
from shoal.runtime import pool
from shoal.trees import linkage as engines
from shoal.trees.fidelity import junctions
from shoal.trees.merges import Floats, Ints, from_scipy, leaf_order, leaf_positions, to_scipy
from shoal.trees.order import optimal_order

__all__ = ["ClusterNode", "DisjointSet", "average", "centroid", "complete", "cophenet", "correspond", "cut_tree",
           "dendrogram", "fcluster", "fclusterdata", "from_mlab_linkage", "inconsistent", "is_isomorphic", "is_monotonic",
           "is_valid_im", "is_valid_linkage", "leaders", "leaves_list", "linkage", "maxRstat", "maxdists", "maxinconsts",
           "median", "num_obs_linkage", "optimal_leaf_ordering", "set_link_color_palette", "single", "to_mlab_linkage",
           "to_tree", "ward", "weighted"]

ROWS = 64  # rows of cophenetic distances a task makes
PALETTE = tuple(f"C{i}" for i in range(1, 10))
_palette = list(PALETTE)


def linkage(y: Any, method: str = "single", metric: str | Callable[..., Any] = "euclidean",
            optimal_ordering: bool = False) -> NDArray[np.float64]:
    """Build a linkage matrix.

    Parameters
    ----------
    y : ndarray
        A condensed distance matrix, or observations, shape (n, d).
    method : {"single", "complete", "average", "weighted", "centroid", "median", "ward"}
    metric : str or function
        Of observations.
    optimal_ordering : bool
        Reorder the matrix so that neighbouring leaves are close; O(n³).

    Returns
    -------
    ndarray, shape (n - 1, 4)
        The two nodes merged, their distance, and the number of items.

    Raises
    ------
    InputError
        A ValueError, when the data cannot be clustered as given.

    Notes
    -----
    Observations are clustered in linear memory where an engine does; see `shoal.linkage`.

    Examples
    --------
    >>> from shoal.hierarchy import linkage
    >>> linkage([[0.0], [1.0], [5.0]], "average").tolist()
    [[0.0, 1.0, 1.0, 2.0], [2.0, 3.0, 4.5, 3.0]]
    """
    table = np.asarray(y, order="C")
    if table.ndim not in (1, 2):
        raise InputError("`y` must be 1 or 2 dimensional.", "Give a condensed distance matrix or observations.")
    if len(table) < (1 if table.ndim == 1 else 2):
        raise InputError("The number of observations cannot be determined on an empty distance matrix.")
    if method not in engines.METHODS:
        raise InputError(f"Invalid method: {method}", f"Choose one of {', '.join(engines.METHODS)}.")
    if table.ndim == 1:
        merges = engines.build(distances(table), method)[0]
    else:
        if method in ("centroid", "median", "ward") and metric != "euclidean":
            raise InputError(f"`method={method}` requires the distance metric to be Euclidean")
        merges = engines.build(points(table, metric), method)[0]
    Z = to_scipy(merges)
    return optimal_leaf_ordering(Z, y, metric) if optimal_ordering else Z


def single(y: Any) -> NDArray[np.float64]:
    """Build a single-linkage matrix; see `linkage`."""
    return linkage(y, "single")


def complete(y: Any) -> NDArray[np.float64]:
    """Build a complete-linkage matrix; see `linkage`."""
    return linkage(y, "complete")


def average(y: Any) -> NDArray[np.float64]:
    """Build an average-linkage matrix; see `linkage`."""
    return linkage(y, "average")


def weighted(y: Any) -> NDArray[np.float64]:
    """Build a weighted-linkage matrix; see `linkage`."""
    return linkage(y, "weighted")


def centroid(y: Any) -> NDArray[np.float64]:
    """Build a centroid-linkage matrix; see `linkage`."""
    return linkage(y, "centroid")


def median(y: Any) -> NDArray[np.float64]:
    """Build a median-linkage matrix; see `linkage`."""
    return linkage(y, "median")


def ward(y: Any) -> NDArray[np.float64]:
    """Build Ward's linkage matrix; see `linkage`."""
    return linkage(y, "ward")


def fclusterdata(X: Any, t: float, criterion: str = "inconsistent", metric: str | Callable[..., Any] = "euclidean",
                 depth: int = 2, method: str = "single", R: Any = None) -> NDArray[np.int32]:
    """Cluster observations: `linkage`, then `fcluster`. Returns labels from 1, shape (n,)."""
    Z = linkage(np.asarray(X, np.float64), method, metric)
    given: Any = inconsistent(Z, depth) if R is None else np.asarray(R, order="C")
    labels: NDArray[np.int32] = fcluster(Z, t, criterion, depth, given)  # type: ignore[call-overload]
    return labels


def cophenet(Z: Any, Y: Any = None) -> Any:
    """Return the cophenetic distances of all pairs, and with Y their correlation with these distances.

    Parameters
    ----------
    Z : ndarray, shape (n - 1, 4)
    Y : ndarray, optional
        A condensed distance matrix.

    Returns
    -------
    d : ndarray, condensed
        With Y, the tuple (correlation, d).
    """
    merges = from_scipy(_valid(Z))
    n, begin = merges.n, leaf_positions(merges)
    order, joined, place = leaf_order(merges, begin), junctions(merges, begin), begin[:merges.n].astype(np.int64)
    d = np.empty(n * (n - 1) // 2)

    def work(i0: int, i1: int) -> None:
        from_here = np.empty(n)
        for i in range(i0, i1):
            p = int(place[i])
            from_here[p + 1:] = merges.height[np.maximum.accumulate(joined[p:])]
            from_here[:p] = merges.height[np.maximum.accumulate(joined[:p][::-1])][::-1]
            at = i * n - i * (i + 1) // 2
            d[at:at + n - 1 - i] = from_here[place[i + 1:]]

    pool.run(work, pool.blocks(n, ROWS))
    if Y is None:
        return d
    given = np.asarray(Y, np.float64)
    if given.shape != d.shape:
        raise InputError(f"Y has {given.size:,} distances, and the tree's {len(order):,} items have {len(d):,} pairs.")
    u, v = given - given.mean(), d - d.mean()
    return np.float64((u * v).sum() / np.sqrt((u * u).sum() * (v * v).sum())), d


def cut_tree(Z: Any, n_clusters: Any = None, height: Any = None) -> NDArray[np.int64]:
    """Cut a tree at numbers of clusters, or at heights.

    Parameters
    ----------
    Z : ndarray, shape (n - 1, 4)
    n_clusters : int or sequence of int, optional
        Exactly so many clusters, by undoing the last merges. In ascending order of the columns, as scipy has them.
    height : float or sequence of float, optional
        With neither, a column for every number of clusters from n to 1.

    Returns
    -------
    ndarray of int, shape (n, number of cuts)
        Labels from 0, by the first item.
    """
    if n_clusters is not None and height is not None:
        raise InputError("At least one of either height or n_clusters must be None.")
    merges = from_scipy(_valid(Z))
    n = merges.n
    if height is not None:
        made = np.searchsorted(np.maximum.accumulate(merges.height), np.sort(np.atleast_1d(height)), side="right")
    elif n_clusters is not None:
        wanted = np.atleast_1d(n_clusters)
        if wanted.dtype.kind not in "iu" or (wanted < 1).any() or (wanted > n).any():
            raise InputError(f"n_clusters={n_clusters!r} was asked for, of {n:,} items.",
                             f"Ask for whole numbers from 1 to {n:,}.")
        made = n - np.sort(wanted)
    else:
        made = np.arange(n)
    labels = np.empty((n, len(made)), np.int64)
    for column, steps in zip(labels.T, made.tolist(), strict=True):
        column[:] = _after(merges.left, merges.right, n, steps)
    return labels


def _after(left: Ints, right: Ints, n: int, steps: int) -> Ints:
    """Label items after the first merges, by first appearance."""
    top = np.arange(n + steps)
    top[left[:steps]] = top[right[:steps]] = n + np.arange(steps)
    while (top[top] != top).any():
        top = top[top]
    _, first, inverse = np.unique(top[:n], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def optimal_leaf_ordering(Z: Any, y: Any, metric: str | Callable[..., Any] = "euclidean") -> NDArray[np.float64]:
    """Swap the sides of merges so that the sum of distances between neighbouring leaves is the least there is.

    Parameters
    ----------
    Z : ndarray, shape (n - 1, 4)
    y : ndarray
        Distances or observations that Z was built from.
    metric : str or function
        Of observations.

    Returns
    -------
    ndarray, shape (n - 1, 4)
    """
    merges = from_scipy(_valid(Z))
    n, begin = merges.n, leaf_positions(merges)
    order = leaf_order(merges, begin)
    table = np.asarray(y, order="C")
    condensed = (distances(table) if table.ndim == 1 else points(table, metric)).condensed()
    if len(condensed) != n * (n - 1) // 2:
        raise InputError(f"y has {len(condensed):,} distances, and the tree's {n:,} items have {n * (n - 1) // 2:,} pairs.")
    from scipy.spatial.distance import squareform

    D = squareform(condensed, checks=False)[np.ix_(order, order)]
    place = np.empty(n, np.int64)
    place[order[optimal_order(merges, begin, np.ascontiguousarray(D))]] = np.arange(n)
    first = np.concatenate([place, np.zeros(n - 1, np.int64)])
    out = np.array(Z, np.float64)
    for t in range(n - 1):
        a, b = int(out[t, 0]), int(out[t, 1])
        if first[a] > first[b]:
            out[t, 0], out[t, 1] = b, a
        first[n + t] = min(first[a], first[b])
    return out


def set_link_color_palette(palette: Sequence[str] | None) -> None:
    """Set the colours `dendrogram` gives to clusters below the threshold; None for the usual ones, C1 … C9."""
    if isinstance(palette, str) or (palette is not None and not (palette and all(isinstance(c, str) for c in palette))):
        raise TypeError("all palette list elements must be color strings")
    _palette[:] = PALETTE if palette is None else palette


def dendrogram(Z: Any, p: int = 30, truncate_mode: str | None = None, color_threshold: float | None = None,
               get_leaves: bool = True, orientation: str = "top", labels: Any = None, count_sort: Any = False,
               distance_sort: Any = False, show_leaf_counts: bool = True, no_plot: bool = False, no_labels: bool = False,
               leaf_font_size: float | None = None, leaf_rotation: float | None = None,
               leaf_label_func: Callable[[int], str] | None = None, show_contracted: bool = False,
               link_color_func: Callable[[int], str] | None = None, ax: Any = None,
               above_threshold_color: str = "C0") -> dict[str, Any]:
    """Draw a dendrogram, or return what would be drawn; arguments and result as scipy documents them.

    Returns
    -------
    dict
        icoord, dcoord, color_list: of every link, from the left and children first. ivl, leaves_color_list, leaves: of
        every leaf, from the left.

    Notes
    -----
    O(n), without recursion: a chain of a million merges is drawn as well.
    """
    Z = _valid(Z)
    if orientation not in ("top", "left", "bottom", "right"):
        raise InputError("orientation must be one of 'top', 'left', 'bottom', or 'right'")
    if truncate_mode not in (None, "none", "lastp", "level"):
        raise InputError(f"Invalid truncate_mode: {truncate_mode!r}", "Choose 'lastp', 'level' or None.")
    n = len(Z) + 1
    if labels is not None and len(labels) != n:
        raise InputError(f"Dimensions of Z and labels must be consistent: {n:,} items, {len(labels):,} labels.")
    if count_sort and distance_sort:
        raise InputError("Arguments count_sort and distance_sort cannot be both True or both have an order.")
    threshold = 0.7 * float(Z[:, 2].max()) if color_threshold is None else float(color_threshold)
    whole = _contracted(Z, n, int(p), truncate_mode)
    ivl: list[str] = []
    leaves: list[int] = []
    icoord, dcoord, colors, marks = [], [], [], []
    chosen: dict[int, str] = {}
    spot = np.zeros(2 * n - 1)  # where a node's stem stands
    current, below = 0, False
    for what, node, a, b in _walk(Z, n, whole, count_sort, distance_sort):
        if what == "leaf":
            spot[node] = 10.0 * len(leaves) + 5.0
            leaves.append(node)
            ivl.append(_leaf_name(node, n, Z, labels, leaf_label_func, show_leaf_counts))
            if node >= n and show_contracted:
                marks += [(float(spot[node]), h) for h in _heights_within(Z, n, node)]
            continue
        height = float(Z[node - n, 2])
        if what == "colour":
            low = threshold > 0 and height < threshold
            if below and not low:
                current = (current + 1) % len(_palette)
            below, chosen[node] = low, _palette[current] if low else above_threshold_color
            continue
        icoord.append([float(spot[x]) for x in (a, a, b, b)])
        ends = [0.0 if whole[x] else float(Z[x - n, 2]) for x in (a, b)]
        dcoord.append([ends[0], height, height, ends[1]])
        colors.append(chosen.pop(node) if link_color_func is None else _color_of(link_color_func, node))
        spot[node] = (spot[a] + spot[b]) / 2.0
        for x in (a, b):
            if whole[x]:
                chosen[x] = colors[-1]
    result: dict[str, Any] = {"icoord": icoord, "dcoord": dcoord, "ivl": ivl, "leaves": leaves if get_leaves else None,
                              "color_list": colors, "leaves_color_list": [chosen[x] for x in leaves]}
    if not no_plot:
        from shoal.plot.links import draw_links

        draw_links(icoord, dcoord, colors, None if no_labels else ivl, marks, float(Z[-1, 2]), orientation=orientation,
                   font_size=leaf_font_size, rotation=leaf_rotation, ax=ax)
    return result


def _valid(Z: Any) -> NDArray[np.float64]:
    table = np.asarray(Z, np.float64)
    is_valid_linkage(table, throw=True, name="Z")
    return table


def _contracted(Z: Floats, n: int, p: int, mode: str | None) -> NDArray[np.bool_]:
    """Which nodes are drawn as leaves, if they are drawn: items, and nodes that are truncated."""
    whole = np.zeros(2 * n - 1, np.bool_)
    whole[:n] = True
    if mode == "lastp":
        p = p if 0 < p <= n else n
        whole[n:2 * n - p] = True
    elif mode == "level":
        limit = p if p > 0 else np.inf
        depth = np.zeros(2 * n - 1)
        for t in range(n - 2, -1, -1):
            depth[Z[t, :2].astype(np.int64)] = depth[n + t] + 1
        whole[n:] = depth[n:] > limit
    return whole


def _walk(Z: Floats, n: int, whole: NDArray[np.bool_], count_sort: Any,
          distance_sort: Any) -> Iterator[tuple[str, int, int, int]]:
    """Visit nodes from left to right; a link between its sides, to be coloured, and once more after them, to be drawn."""
    todo: list[tuple[str, int]] = [("visit", 2 * n - 2)]
    by, sort = (np.concatenate([np.ones(n), Z[:, 3]]), count_sort) if count_sort else (
        np.concatenate([np.zeros(n), Z[:, 2]]), distance_sort)
    while todo:
        what, node = todo.pop()
        if whole[node]:
            yield "leaf", node, -1, -1
            continue
        a, b = (int(x) for x in Z[node - n, :2])
        if sort and (by[a] > by[b]) != (sort == "descending"):
            a, b = b, a
        if what == "visit":
            todo += [("draw", node), ("visit", b), ("colour", node), ("visit", a)]
        else:
            yield what, node, a, b


def _color_of(choose: Callable[[int], str], node: int) -> str:
    color = choose(int(node))
    if not isinstance(color, str):
        raise TypeError("link_color_func must return a matplotlib color string!")
    return color


def _leaf_name(node: int, n: int, Z: Floats, labels: Any, name: Callable[[int], str] | None, counts: bool) -> str:
    if name is not None:
        return name(int(node))
    if node < n:
        return labels[node] if labels is not None else str(int(node))
    return f"({int(Z[node - n, 3])})" if counts else ""


def _heights_within(Z: Floats, n: int, node: int) -> list[float]:
    """Heights of the merges below a contracted node."""
    found, todo = [], [int(x) for x in Z[node - n, :2]]
    while todo:
        x = todo.pop()
        if x >= n:
            found.append(float(Z[x - n, 2]))
            todo += [int(y) for y in Z[x - n, :2]]
    return found
