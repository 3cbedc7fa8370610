"""Dendrograms: people's own names, one colour a cluster, the cut and what is hidden said in words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.plot.layout import Layout, horizontal_nodes, layout
from shoal.plot.palette import ABOVE, INK, QUIET, color, colors
from shoal.plot.room import Room, frame, write
from shoal.plot.sheet import NUMBER_PT, ROOTS, Sheet, dress, new_sheet, note, wrapped, write_leaves
from shoal.plot.text import one_line
from shoal.trees.merges import Merges

__all__ = ["dendrogram"]

Floats = NDArray[np.float64]

RASTER_FROM = 20_000  # links; a vector file of more takes tens of MB and minutes to open
ANNOTATED = 200  # heights at most; more than these find no room on any page
NUMBERED = 60  # clusters at most that are numbered in the picture


# More than eight arguments: each is a word people know from other dendrogram functions, and all but one are optional.
def dendrogram(
    merges: Merges, *, ids: Any = None, labels: Any = None, ax: Any = None, nodes: Any = None, cut: float | None = None,
    order: Any = None, last: int | None = None, level: int | None = None, annotate_above: float | None = None,
    orientation: str = "top", hang: bool = False, rotation: float | None = None, height_label: str = "distance",
) -> Any:
    """Draw a merge tree.

    Parameters
    ----------
    merges : Merges
        The tree of n items.
    ids : sequence of n, optional
        The items' names; default: their numbers.
    labels : sequence of n, or callable, optional
        What to write at the items instead of `ids`; a callable is given the item's number.
    ax : matplotlib Axes, optional
        Where to draw; default: a new figure with room for every label.
    nodes : array-like of int, shape (k,), optional
        The root node of each cluster, in cluster-number order, for colours and numbers.
    cut : float, optional
        A height to mark with a dashed line and the number of clusters it gives. Without `nodes` the clusters are
        those of this height, numbered from left to right.
    order : array-like of int, shape (n,), optional
        The items from left to right (from top to bottom where the root is left or right).
    last : int, optional
        Draw this many leaves only, contracting what the highest merges join.
    level : int, optional
        Draw only the merges less than this many steps from the root.
    annotate_above : float, optional
        Write the height of every drawn merge higher than this.
    orientation : {"top", "bottom", "left", "right"}, default "top"
        Where the root is.
    hang : bool, default False
        Let leaves end shortly below their first merge.
    rotation : float, optional
        Degrees to turn the labels by; default: 90 where they do not fit side by side.
    height_label : str, default "distance"
        What heights are.

    Returns
    -------
    matplotlib Axes
        The picture. Names are drawn literally; a character no installed font has is drawn as "□", and the axes say so.

    Raises
    ------
    InputError
        When an argument does not fit the tree.
    MissingExtraError
        When matplotlib is not installed.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from scipy.cluster.hierarchy import linkage
    >>> from shoal.plot.dendrogram import dendrogram
    >>> from shoal.trees.merges import from_scipy
    >>> tree = from_scipy(linkage([[0.0], [1.0], [5.0], [9.0]]))
    >>> ax = dendrogram(tree, ids=["ash", "oak", "elm", "fir"], cut=2.0, ax=Figure().subplots())
    >>> [tick.get_text() for tick in ax.get_xticklabels()]
    ['ash', 'oak', 'elm', 'fir']
    """
    from shoal.plot.figures import require_matplotlib

    require_matplotlib("Drawing a dendrogram")
    _check(merges.n, orientation, cut, ids, labels)
    if nodes is None and cut is not None:
        nodes = horizontal_nodes(merges, cut, order)
    drawn = layout(merges, order=order, nodes=nodes, last=last, level=level, hang=hang)
    sheet = new_sheet(ax, orientation, len(drawn.leaf_node))
    _draw_links(sheet, drawn, cut, height_label)
    notes = _hidden(drawn) + write_leaves(sheet, drawn, _names(drawn, ids, labels, sheet), rotation, hang)
    if cut is not None:
        _draw_cut(sheet, cut, len(nodes))
    message = note(sheet)
    message.set_text(wrapped(sheet, notes))
    notes += _write_inside(sheet, drawn, merges.height, annotate_above, cut)
    message.set_text(wrapped(sheet, notes))
    return sheet.ax


def _check(n: int, orientation: str, cut: float | None, ids: Any, labels: Any) -> None:
    """Raise InputError for what the layout does not check itself."""
    if orientation not in ROOTS:
        raise InputError(f"The orientation {orientation!r} is not known.", f"Use one of {', '.join(ROOTS)}.")
    if cut is not None and not np.isfinite(cut):
        raise InputError(f"cut={cut} is not a height that can be drawn.", "Give a finite number.")
    for name, given in (("ids", ids), ("labels", labels)):
        if given is not None and not callable(given) and len(given) != n:
            raise InputError(f"{len(given)} {name} were given for {n} items.", "Give one an item, in the items' order.")


def _names(drawn: Layout, ids: Any, labels: Any, sheet: Sheet) -> list[str]:
    """Return one line of text a drawn leaf; nothing where no legible size fits."""
    if not sheet.size:
        return []
    given = labels if labels is not None else ids
    if given is None:
        given = str
    elif not callable(given):
        given = list(given).__getitem__  # a list, since a pandas Series is indexed by its own labels
    return [
        one_line(given(node)) if count == 1 else f"({count:,} items)"
        for node, count in zip(drawn.leaf_node.tolist(), drawn.leaf_count.tolist(), strict=True)
    ]


def _draw_links(sheet: Sheet, drawn: Layout, cut: float | None, height_label: str) -> None:
    """Draw all links as one artist and all contracted leaves as another, and set the axes around them."""
    from matplotlib.collections import LineCollection, PolyCollection

    base = min(0.0, float(drawn.leaf_top.min()))
    low = min(base, float(drawn.leaf_y.min()))
    tops = [drawn.link_y.max(initial=base), drawn.leaf_top.max(), base if cut is None else cut]
    high = base + 1.04 * float(max(tops) - base) or base + 1.0
    sheet.set_limits(len(drawn.leaf_x), min(low, base if cut is None else cut), high)
    along, height, cluster = _paths(drawn)
    inks = np.array([*colors(int(cluster.max(initial=-1)) + 1), ABOVE])  # -1 finds the last
    width = float(np.clip(0.22 * sheet.slot, 0.4, 1.3))
    sheet.ax.add_collection(LineCollection(
        list(sheet.xy(along, height)), colors=inks[cluster], linewidths=width, capstyle="projecting",
        rasterized=len(along) > RASTER_FROM,
    ), autolim=False)
    some = drawn.leaf_count > 1
    x, y, top = drawn.leaf_x[some], drawn.leaf_y[some], drawn.leaf_top[some]
    wedge = sheet.xy(np.column_stack([x - 0.3, x, x + 0.3]), np.column_stack([y, top, y]))
    ink = inks[np.minimum(drawn.leaf_cluster[some], len(inks) - 2)] if len(inks) > 1 else ABOVE
    sheet.ax.add_collection(PolyCollection(list(wedge), facecolors=ink, edgecolors=ink, linewidths=width, alpha=0.35),
                            autolim=False)
    dress(sheet, height_label, base)


def _paths(drawn: Layout) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Return 4 points of every link, then of every cluster's stem: the leg that goes on in its colour above the cut."""
    above = drawn.link_cluster < 0
    left_y = np.where(above & (drawn.left_cluster >= 0), drawn.link_y, drawn.left_y)  # the stem is drawn instead
    right_y = np.where(above & (drawn.right_cluster >= 0), drawn.link_y, drawn.right_y)
    x, y, top, number = _stems(drawn)
    along = [np.column_stack([drawn.left_x, drawn.left_x, drawn.right_x, drawn.right_x]), np.column_stack([x, x, x, x])]
    height = [np.column_stack([left_y, drawn.link_y, drawn.link_y, right_y]), np.column_stack([y, top, top, top])]
    return np.concatenate(along), np.concatenate(height), np.concatenate([drawn.link_cluster, number])


def _stems(drawn: Layout) -> tuple[Floats, Floats, Floats, NDArray[np.int64]]:
    """Return position, lower end, upper end and cluster of every leg from a cluster's root to a link above the cut."""
    x = np.concatenate([drawn.left_x, drawn.right_x])
    y = np.concatenate([drawn.left_y, drawn.right_y])
    cluster = np.concatenate([drawn.left_cluster, drawn.right_cluster])
    stem = (cluster >= 0) & (np.tile(drawn.link_cluster, 2) < 0)
    return x[stem], y[stem], np.tile(drawn.link_y, 2)[stem], cluster[stem]


def _draw_cut(sheet: Sheet, cut: float, k: int) -> None:
    """Mark the cut; its text stands outside the axes, where no link can be."""
    text = f"{_count(k, 'cluster')}\ncut at {cut:.4g}"
    style = {"size": 8, "color": QUIET, "textcoords": "offset points", "annotation_clip": False}
    if sheet.upright:
        sheet.ax.axhline(cut, color=QUIET, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        sheet.ax.annotate(text, (1, cut), (4, 0), xycoords=sheet.ax.get_yaxis_transform(), va="center", **style)
    else:
        sheet.ax.axvline(cut, color=QUIET, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        sheet.ax.annotate(text, (cut, 1), (0, 4), xycoords=sheet.ax.get_xaxis_transform(), ha="center", **style)


def _write_inside(
    sheet: Sheet, drawn: Layout, heights: Floats, annotate_above: float | None, cut: float | None,
) -> list[str]:
    """Write cluster numbers and heights among the links, where there is room; say what found none."""
    numbered = bool(sheet.size) and 0 < drawn.leaf_cluster.max() < NUMBERED
    if not numbered and annotate_above is None:
        return []
    if sheet.new:
        sheet.ax.figure.draw_without_rendering()  # the layout is known only then
    along, ends, _ = _paths(drawn)
    lines = [sheet.boxes(along[:, i : i + 2], ends[:, i : i + 2]) for i in range(3)]
    if cut is not None:
        lines.append(sheet.boxes(np.array([[-0.5, len(drawn.leaf_x)]]), np.array([[cut, cut]])))
    room = Room(np.concatenate(lines), frame(sheet.ax))
    notes = _write_numbers(sheet, room, drawn) if numbered else []
    if annotate_above is not None:
        notes += _write_heights(sheet, room, drawn, heights[drawn.link_node - drawn.n], annotate_above)
    return notes


def _write_numbers(sheet: Sheet, room: Room, drawn: Layout) -> list[str]:
    """Write every cluster's number beside its stem."""
    written = 0
    x, low, top, cluster = _stems(drawn)
    for leg, bottom, rise, number in zip(x, low, top - low, cluster, strict=True):
        places = [sheet.beside(leg, bottom + part * rise, side) for part in (0.5, 0.75, 0.25) for side in (1, -1)]
        written += write(sheet.ax, room, str(number), places, size=NUMBER_PT, color=color(number), weight="bold")
    inside = drawn.leaf_cluster[drawn.leaf_cluster >= 0]
    if written == len(cluster) or (np.diff(inside) < 0).any():
        return []
    way = "left to right" if sheet.upright else "top to bottom"
    return [f"Clusters {inside[0]} to {inside[-1]} are numbered from {way}."]


def _write_heights(sheet: Sheet, room: Room, drawn: Layout, height: Floats, above: float) -> list[str]:
    """Write the heights of all merges higher than `above`, the highest first."""
    tall = np.flatnonzero(height > above)
    tall = tall[np.argsort(-height[tall], kind="stable")]
    x = (drawn.left_x + drawn.right_x) / 2
    left_out = len(tall) - sum(
        write(sheet.ax, room, f"{height[t]:.3g}", sheet.around(x[t], drawn.link_y[t]), size=7, color=INK)
        for t in tall[:ANNOTATED].tolist()
    )
    return [f"{_count(left_out, 'height')} found no room."] if left_out else []


def _hidden(drawn: Layout) -> list[str]:
    """Say what the picture does not show as it is."""
    notes = []
    some = drawn.leaf_count > 1
    if some.any():
        shown = f"{_count(len(some), 'leaf', 'leaves')} shown for {drawn.n:,} items"
        inside = f"{int(drawn.leaf_count[some].sum()):,} items are inside"
        notes.append(f"{shown}; {inside} {_count(int(some.sum()), 'contracted leaf', 'contracted leaves')}.")
    elif drawn.n == 1:
        notes.append("One item: there are no merges to draw.")
    if drawn.infinite:
        notes.append(f"{_count(drawn.infinite, 'infinite height')} drawn just above the largest finite one.")
    return notes


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
