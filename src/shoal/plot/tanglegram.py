"""Two trees over the same items, facing each other, with a line from each item to itself."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.plot.dendrogram import RASTER_FROM, draw_links
from shoal.plot.layout import Layout, layout
from shoal.plot.palette import Inks, inks_of
from shoal.plot.sheet import NOTE_PT, Sheet, type_size
from shoal.plot.text import MISSING, Lettering, ems, one_line
from shoal.plot.untangle import untangle
from shoal.trees.merges import Merges

__all__ = ["tanglegram"]

Floats = NDArray[np.float64]

TREE_PT, LINES_PT, GAP_PT = 130.0, 110.0, 4.0  # widths of a tree and of the lines in a new figure; beside a name
NEW_LEAF_IN, NEW_MOST_IN, NEW_LEAST_IN, NEW_BARE_IN, MARGIN_IN = 0.16, 24.0, 2.4, 8.0, 0.7
NAMES_SHARE = 0.5  # of the width at most is for names


class _Half(Sheet):
    """One of two trees on the same axes: heights run from the names, at `foot`, to the root, at `head`."""

    def __init__(self, ax: Any, slot: float, inks: Inks, drawn: Layout, foot: float, head: float) -> None:
        self.ax, self.slot, self.inks, self.log = ax, slot, inks, False
        top = max(float(drawn.link_y.max(initial=0.0)), drawn.base)
        self.base, self.foot, self.unit = drawn.base, foot, (head - foot) / ((top - drawn.base) or 1.0)

    def xy(self, along: Any, height: Any) -> Floats:
        """Return points of the axes, last dimension 2, from positions along the leaves and heights."""
        x = self.foot + (np.asarray(height, np.float64) - self.base) * self.unit
        return np.stack(np.broadcast_arrays(x, np.asarray(along, np.float64)), axis=-1)


# More than eight arguments: what is known of two trees, and all of it optional.
def tanglegram(
    first: Merges, second: Merges, *, match: Any = None, ids: Any = None, labels: Any = None,
    nodes: tuple[Any, Any] = (None, None), orders: tuple[Any, Any] = (None, None), turn: bool = True,
    titles: tuple[str, str] = ("", ""), ax: Any = None,
) -> Any:
    """Draw two trees over the same items facing each other, with a line from each item to itself.

    Parameters
    ----------
    first, second : Merges
        Trees of n items, the first on the left.
    match : array-like of int, shape (n,), optional
        The item of the second tree that is item i of the first; default: the same number.
    ids : sequence of n, optional
        Names, in the order of the first tree's items; default: their numbers.
    labels : array-like of int, shape (n,), optional
        Clusters of the first tree's items, for the colours of the lines; -1 is noise.
    nodes : pair of array-like of int, optional
        The root nodes of each tree's clusters, in cluster-number order, for the colours of the trees.
    orders : pair of array-like of int, optional
        Orders of either tree's items to begin with.
    turn : bool, default True
        Turn merges so that fewer lines cross; see `untangle`.
    titles : pair of str
        What to write above the trees.
    ax : matplotlib Axes, optional
        Where to draw; default: a new figure with room for the names.

    Returns
    -------
    matplotlib Axes
        Below it, how many pairs of lines cross, and the entanglement.

    Raises
    ------
    InputError
        When the trees are not of the same items, or other sizes do not agree.
    MissingExtraError
        When matplotlib is not installed.

    Notes
    -----
    Each tree has its own scale of heights; the largest stands at its root. O(n log² n) time.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from scipy.cluster.hierarchy import linkage
    >>> from shoal.plot.tanglegram import tanglegram
    >>> from shoal.trees.merges import from_scipy
    >>> X = [[0.0], [1.0], [5.0], [7.0]]
    >>> ax = tanglegram(from_scipy(linkage(X, "single")), from_scipy(linkage(X, "complete")), ax=Figure().subplots())
    >>> ax.get_xlabel()
    '0 of 6 pairs of lines cross; entanglement 0.00.'
    """
    from shoal.plot.figures import require_matplotlib

    require_matplotlib("Drawing a tanglegram")
    n = first.n
    for name, given in (("ids", ids), ("labels", labels)):
        if given is not None and len(given) != n:
            raise InputError(f"{len(given)} {name} were given for {n} items.",
                             "Give one an item, in the order of the first tree's items.")
    found = untangle(first, second, match, orders=orders, turn=turn)
    drawn = [layout(tree, order=order, nodes=some)
             for tree, order, some in zip((first, second), found[:2], nodes, strict=True)]
    names = [one_line(name) for name in (range(n) if ids is None else ids)]
    ax, slot, edges = _page(ax, n, names)
    inks = inks_of(ax)
    ax.set_axis_off()
    partner = np.arange(n) if match is None else np.asarray(match)
    back = np.argsort(partner)
    numbers = np.full(n, -1) if labels is None else np.asarray(labels)
    _draw_lines(ax, found.first, back[found.second], numbers if labels is not None else None, edges, slot, inks)
    halves = [_Half(ax, slot, inks, drawn[0], edges[1], edges[0]), _Half(ax, slot, inks, drawn[1], edges[4], edges[5])]
    for half, tree, title in zip(halves, drawn, titles, strict=True):
        draw_links(half, tree, lambda node: None)
        _head(half, tree, title)
    notes = [f"{found.crossings:,} of {n * (n - 1) // 2:,} pairs of lines cross; entanglement {found.entanglement:.2f}."]
    notes += _write_names(ax, names, (found.first, back[found.second]), edges, type_size(slot), inks)
    _say(ax, notes, inks)
    return ax


def _page(ax: Any, n: int, names: list[str]) -> tuple[Any, float, list[float]]:
    """Return the axes, the points between items, and the six places along x where trees, names and lines end."""
    from shoal.plot.figures import new_axes

    if ax is None:
        inches = min(max(NEW_LEAF_IN * n, NEW_LEAST_IN), NEW_MOST_IN)
        if not type_size(72 * inches / n):
            inches = NEW_BARE_IN
        slot = 72 * inches / n
        wide = _name_points(names, slot)
        total = 2 * TREE_PT + LINES_PT + 2 * wide
        ax = new_axes(total / 72 + 0.3, inches + MARGIN_IN)
        shares = [TREE_PT, wide, LINES_PT, wide, TREE_PT]
    else:
        extent = ax.get_window_extent()
        total, slot = extent.width * 72 / ax.figure.dpi, extent.height * 72 / ax.figure.dpi / n
        wide = min(_name_points(names, slot), NAMES_SHARE * total / 2)
        unit = (total - 2 * wide) / (2 * TREE_PT + LINES_PT)
        shares = [TREE_PT * unit, wide, LINES_PT * unit, wide, TREE_PT * unit]
    edges = np.concatenate([[0.0], np.cumsum(shares)])
    ax.set(xlim=(-2.0, float(edges[-1]) + 2.0), ylim=(n - 0.5, -0.5))
    return ax, slot, edges.tolist()


def _name_points(names: list[str], slot: float) -> float:
    size = type_size(slot)
    return max(map(ems, names)) * size + 2 * GAP_PT if size else GAP_PT


def _draw_lines(ax: Any, left: NDArray[np.int64], right: NDArray[np.int64], numbers: NDArray[Any] | None,
                edges: list[float], slot: float, inks: Inks) -> None:
    """Draw a line from every item on the left to itself on the right, all as one artist."""
    from matplotlib.collections import LineCollection

    n = len(left)
    place = np.empty(n, np.int64)
    place[right] = np.arange(n)
    ends = np.stack([np.column_stack([np.full(n, edges[2]), np.arange(n)]),
                     np.column_stack([np.full(n, edges[3]), place[left]])], axis=1)
    ink = inks.quiet if numbers is None else [inks.color(int(number)) for number in numbers[left]]
    ax.add_collection(LineCollection(list(ends), colors=ink, linewidths=float(np.clip(0.15 * slot, 0.3, 1.2)),
                                     rasterized=n > RASTER_FROM), autolim=False)


def _head(half: _Half, drawn: Layout, title: str) -> None:
    """Write the height of the root and the title above a tree."""
    letters = Lettering([title])
    top = float(drawn.link_y.max(initial=drawn.base))
    ends = [half.xy(0, height)[0] for height in (drawn.base, top)]
    style = {"xycoords": half.ax.get_xaxis_transform(), "textcoords": "offset points", "annotation_clip": False}
    for x, height in zip(ends, (drawn.base, top), strict=True):
        half.ax.annotate(f"{height:.3g}", (x, 0), (0, -3), ha="center", va="top", size=7, color=half.inks.quiet, **style)
    if title:
        half.ax.annotate(letters.fit(one_line(title)), (sum(ends) / 2, 1), (0, 4), ha="center", va="bottom", size=9.5,
                         color=half.inks.text, **style, **letters.style)


def _write_names(ax: Any, names: list[str], orders: tuple[Any, Any], edges: list[float], size: float,
                 inks: Inks) -> list[str]:
    """Write every name on both sides of the lines; return what to say of them."""
    if not size:
        return [f"{len(names):,} names are left out."]
    letters = Lettering(names)
    for order, x, side in ((orders[0], edges[1] + GAP_PT, "left"), (orders[1], edges[4] - GAP_PT, "right")):
        for place, item in enumerate(order.tolist()):
            ax.text(x, place, letters.fit(names[item]), ha=side, va="center_baseline", size=size, color=inks.text,
                    **letters.style)
    return [] if letters.complete else [f"Characters that no installed font has are shown as {MISSING}."]


def _say(ax: Any, notes: list[str], inks: Inks) -> None:
    """Write what there is to know below the picture."""
    text = textwrap.fill(" ".join(notes), max(40, int((ax.get_xlim()[1]) / (0.55 * NOTE_PT))))
    ax.set_xlabel(text)  # for who reads the picture by program; the axis itself is not drawn
    ax.annotate(text, (0.5, 0), (0, -14), xycoords="axes fraction", textcoords="offset points", ha="center", va="top",
                size=NOTE_PT, color=inks.quiet, annotation_clip=False)
