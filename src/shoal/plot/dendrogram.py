"""Dendrograms: people's own names, one colour a cluster, the cut and what is hidden said in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.plot.layout import Ints, Layout, horizontal_nodes, layout
from shoal.plot.room import Room, frame, write
from shoal.plot.sheet import NUMBER_PT, ROOTS, Sheet
from shoal.plot.text import one_line
from shoal.plot.wheel import Wheel
from shoal.trees.merges import Merges

__all__ = ["RASTER_FROM", "dendrogram", "draw_links", "draw_tree"]

Floats = NDArray[np.float64]

RASTER_FROM = 20_000  # links; a vector file of more takes tens of MB and minutes to open
ANNOTATED = 200  # texts at links at most; more than these find no room on any page
NUMBERED = 60  # clusters at most that are numbered in the picture
LOG_FOOT = 0.1  # of a logarithmic axis lies below the lowest merge, for the leaves' legs


# More than eight arguments: each is a word people know from other dendrogram functions, and all but one are optional.
def dendrogram(
    merges: Merges, *, ids: Any = None, labels: Any = None, merge_labels: Any = None, ax: Any = None, nodes: Any = None,
    cut: float | None = None, order: Any = None, last: int | None = None, level: int | None = None,
    annotate_above: float | None = None, color: Any = None, orientation: str = "top", hang: bool = False,
    rotation: float | None = None, base: float | None = None, log: bool = False, height_label: str = "distance",
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
    merge_labels : callable, mapping or sequence of n - 1, optional
        What to write at merges: a callable is given the node's number, a mapping has it as its key, a sequence has an
        entry for every merge. None and "" write nothing.
    ax : matplotlib Axes, optional
        Where to draw; default: a new figure with room for every label. Whether its background is dark decides how texts
        and lines are drawn.
    nodes : array-like of int, shape (k,), optional
        The root node of each cluster, in cluster-number order, for colours and numbers; they need not be of one height.
        `horizontal_nodes` gives those below a height, coloured without a line.
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
    color : callable or sequence of 2n - 1, optional
        The colour of every node: of its link, or of its label where it is an item. A callable is given the node's number.
        None in place of a colour leaves the usual one.
    orientation : {"top", "bottom", "left", "right", "center"}, default "top"
        Where the root is. In the center: the tree is drawn around it, heights are radii.
    hang : bool, default False
        Let leaves end shortly below their first merge.
    rotation : float, optional
        Degrees to turn the labels by; default: 90 where they do not fit side by side.
    base : float, optional
        Where the axis of heights begins; merges below it are drawn there. Default: 0, or below the lowest merge of a
        logarithmic axis.
    log : bool, default False
        Draw heights by their logarithm; those of 0 lie at the axis's beginning.
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
    raised = _Raised(merges.height, base, log)
    drawn = layout(merges, order=order, nodes=nodes, last=last, level=level, hang=hang, heights=raised.heights,
                   base=raised.base)
    sheet = (Wheel if orientation == "center" else Sheet)(ax, orientation, len(drawn.leaf_node), log)
    line = None if cut is None else raised.at(cut)
    draw_tree(sheet, drawn, line, _chosen(color))
    notes = sheet.dress(height_label, drawn.base) + _hidden(drawn) + raised.notes()
    inks = [_chosen(color)(node) or sheet.inks.text for node in drawn.leaf_node.tolist()] if sheet.size else []
    notes += sheet.write_leaves(drawn, _names(drawn, ids, labels, sheet), rotation, hang, inks)
    if line is not None:
        notes += sheet.mark_cut(line, f"{_count(len(nodes), 'cluster')}\ncut at {cut:.4g}")
    message = sheet.note()
    message.set_text(sheet.wrapped(notes))
    notes += _write_inside(sheet, drawn, _merge_texts(drawn, merges.height, merge_labels, annotate_above), line)
    message.set_text(sheet.wrapped(notes))
    return sheet.ax


class _Raised:
    """Heights as they are drawn: not below the axis's beginning, and as logarithms where asked for."""

    def __init__(self, height: Floats, base: float | None, log: bool) -> None:
        if base is not None and (not np.isfinite(base) or (log and base <= 0)):
            raise InputError(f"base={base} cannot be where the axis of heights begins.",
                             "Give a finite number, above 0 for log=True.")
        self.log, self.base, self.heights, self.lower = log, base, height, 0
        if log:
            some = np.log10(height[(height > 0) & np.isfinite(height)])
            if base is None:
                lowest, highest = some.min(initial=np.inf), some.max(initial=-np.inf)
                self.base = float(lowest - (LOG_FOOT * (highest - lowest) or LOG_FOOT)) if len(some) else -1.0
            else:
                self.base = float(np.log10(base))
            with np.errstate(divide="ignore", invalid="ignore"):
                self.heights = np.where(height > 0, np.log10(height), -np.inf)
        if self.base is not None:
            self.lower = int((self.heights < self.base).sum())
            self.heights = np.maximum(self.heights, self.base)

    def at(self, height: float) -> float:
        """Return one height as it is drawn."""
        if self.log:
            height = float(np.log10(height)) if height > 0 else -np.inf
        return height if self.base is None else max(height, self.base)

    def notes(self) -> list[str]:
        """Say how many heights are not where they should be."""
        return [f"{_count(self.lower, 'merge')} below the beginning of the axis drawn there."] if self.lower else []


def _chosen(color: Any) -> Callable[[int], Any]:
    """Return the colour the caller chose for a node, or None."""
    if color is None:
        return lambda node: None
    if callable(color):
        return lambda node: color(node)
    return list(color).__getitem__


def _check(n: int, orientation: str, cut: float | None, ids: Any, labels: Any) -> None:
    """Raise InputError for what the layout does not check itself."""
    if orientation not in (*ROOTS, "center"):
        raise InputError(f"The orientation {orientation!r} is not known.", f"Use one of {', '.join(ROOTS)}, center.")
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


def draw_tree(sheet: Sheet, drawn: Layout, cut: float | None = None, chosen: Callable[[int], Any] | None = None) -> None:
    """Set the limits of a sheet, and draw all links as one artist and all contracted leaves as another.

    Parameters
    ----------
    sheet : Sheet
    drawn : Layout
    cut : float, optional
        A height that the axis must reach.
    chosen : callable, optional
        ``chosen(node)`` gives the colour of a node, or None for that of its cluster.
    """
    base = drawn.base
    ends = [base if cut is None else cut, drawn.leaf_y.min(), drawn.leaf_top.min()]
    tops = [drawn.link_y.max(initial=base), drawn.leaf_top.max(), base if cut is None else cut]
    sheet.set_limits(float(min(base, *ends)), base + (1.04 * float(max(tops) - base) or 1.0))
    draw_links(sheet, drawn, chosen or _chosen(None))


def draw_links(sheet: Sheet, drawn: Layout, chosen: Callable[[int], Any]) -> None:
    """Draw links, stems and contracted leaves in the colours of their clusters, or those chosen; see `draw_tree`."""
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.colors import to_rgba_array

    along, height, cluster, node = _paths(drawn)
    k = 1 + max(int(cluster.max(initial=-1)), int(drawn.leaf_cluster.max()))
    usual = to_rgba_array([*sheet.inks.colors(k), sheet.inks.above])  # -1 finds the last
    width = float(np.clip(0.22 * sheet.slot, 0.4, 1.3))
    sheet.ax.add_collection(LineCollection(
        sheet.paths(along, height), colors=_inked(usual[cluster], node, chosen), linewidths=width, capstyle="projecting",
        rasterized=len(along) > RASTER_FROM,
    ), autolim=False)
    some = drawn.leaf_count > 1
    x, y, top = drawn.leaf_x[some], drawn.leaf_y[some], drawn.leaf_top[some]
    wedge = sheet.xy(np.column_stack([x - 0.3, x, x + 0.3]), np.column_stack([y, top, y]))
    ink = _inked(usual[drawn.leaf_cluster[some]], drawn.leaf_node[some], chosen)
    sheet.ax.add_collection(PolyCollection(list(wedge), facecolors=ink, edgecolors=ink, linewidths=width, alpha=0.35),
                            autolim=False)


def _inked(usual: Floats, nodes: Ints, chosen: Callable[[int], Any]) -> Floats:
    """Return colours with those the caller chose in place of the usual ones."""
    from matplotlib.colors import to_rgba

    for place, node in enumerate(nodes.tolist()):
        if (ink := chosen(node)) is not None:
            usual[place] = to_rgba(ink)
    return usual


def _paths(drawn: Layout) -> tuple[Floats, Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Return 4 points of every link, then of every cluster's stem: the leg that goes on in its colour above the cut.

    And the cluster and the node of each.
    """
    above = drawn.link_cluster < 0
    left_y = np.where(above & (drawn.left_cluster >= 0), drawn.link_y, drawn.left_y)  # the stem is drawn instead
    right_y = np.where(above & (drawn.right_cluster >= 0), drawn.link_y, drawn.right_y)
    x, y, top, number, node = _stems(drawn)
    along = [np.column_stack([drawn.left_x, drawn.left_x, drawn.right_x, drawn.right_x]), np.column_stack([x, x, x, x])]
    height = [np.column_stack([left_y, drawn.link_y, drawn.link_y, right_y]), np.column_stack([y, top, top, top])]
    return (np.concatenate(along), np.concatenate(height), np.concatenate([drawn.link_cluster, number]),
            np.concatenate([drawn.link_node, node]))


def _stems(drawn: Layout) -> tuple[Floats, Floats, Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Return position, lower end, upper end, cluster and node of every leg from a cluster's root to a link above it."""
    x = np.concatenate([drawn.left_x, drawn.right_x])
    y = np.concatenate([drawn.left_y, drawn.right_y])
    cluster = np.concatenate([drawn.left_cluster, drawn.right_cluster])
    node = np.concatenate([drawn.left_node, drawn.right_node])
    stem = (cluster >= 0) & (np.tile(drawn.link_cluster, 2) < 0)
    return x[stem], y[stem], np.tile(drawn.link_y, 2)[stem], cluster[stem], node[stem]


def _merge_texts(drawn: Layout, height: Floats, merge_labels: Any, above: float | None) -> list[tuple[int, str]]:
    """Return the drawn links that get a text, and these: the caller's own, then heights from the highest down."""
    found: list[tuple[int, str]] = []
    if merge_labels is not None:
        if isinstance(merge_labels, Mapping):
            given: Callable[[int], Any] = merge_labels.get
        elif callable(merge_labels):
            given = merge_labels
        else:
            listed = list(merge_labels)
            if len(listed) != len(height):
                raise InputError(f"{len(listed)} merge_labels were given for {len(height)} merges.", "Give one a merge.")
            given = lambda node: listed[node - drawn.n]  # noqa: E731 - the third way to the same function
        texts = [given(node) for node in drawn.link_node.tolist()]
        found = [(s, one_line(text)) for s, text in enumerate(texts) if text is not None and text != ""][::-1]
    if above is not None:
        own = height[drawn.link_node - drawn.n]
        tall = np.flatnonzero(own > above)
        found += [(s, f"{own[s]:.3g}") for s in tall[np.argsort(-own[tall], kind="stable")].tolist()]
    return found


def _write_inside(sheet: Sheet, drawn: Layout, texts: list[tuple[int, str]], cut: float | None) -> list[str]:
    """Write cluster numbers and texts among the links, where there is room; say what found none."""
    numbered = bool(sheet.size) and 0 < drawn.leaf_cluster.max() < NUMBERED
    if not numbered and not texts:
        return []
    if sheet.new:
        sheet.ax.figure.draw_without_rendering()  # the layout is known only then
    along, ends, *_ = _paths(drawn)
    lines = [sheet.boxes(along[:, i : i + 2], ends[:, i : i + 2]) for i in range(3)]
    if cut is not None:
        lines.append(sheet.boxes(np.array([[-0.5, len(drawn.leaf_x)]]), np.array([[cut, cut]])))
    room = Room(np.concatenate(lines), frame(sheet.ax))
    notes = _write_numbers(sheet, room, drawn) if numbered else []
    x = (drawn.left_x + drawn.right_x) / 2
    left_out = len(texts) - sum(
        write(sheet.ax, room, text, sheet.around(x[s], drawn.link_y[s]), size=7, color=sheet.inks.text)
        for s, text in texts[:ANNOTATED]
    )
    return [*notes, f"{_count(left_out, 'text')} at merges found no room."] if left_out else notes


def _write_numbers(sheet: Sheet, room: Room, drawn: Layout) -> list[str]:
    """Write every cluster's number beside its stem."""
    written = 0
    x, low, top, cluster, _ = _stems(drawn)
    for leg, bottom, rise, number in zip(x, low, top - low, cluster, strict=True):
        parts = (0.5, 0.75, 0.25, 0.62, 0.38)
        places = [sheet.beside(leg, bottom + part * rise, side) for part in parts for side in (1, -1)]
        written += write(sheet.ax, room, str(number), places, size=NUMBER_PT, color=sheet.inks.color(number), weight="bold")
    inside = drawn.leaf_cluster[drawn.leaf_cluster >= 0]
    if written == len(cluster) or (np.diff(inside) < 0).any():
        return []
    way = "clockwise" if sheet.root == "center" else "from left to right" if sheet.upright else "from top to bottom"
    return [f"Clusters {inside[0]} to {inside[-1]} are numbered {way}."]


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
