"""A matrix in the order of its trees, with the trees, the clusters and what else is known along its sides."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.plot.dendrogram import draw_tree
from shoal.plot.grid import NAME_PT, Frames, frames_for
from shoal.plot.layout import layout
from shoal.plot.palette import Inks, inks_of, readable_on
from shoal.plot.sheet import NOTE_PT, Sheet
from shoal.plot.strips import Strip, draw_legends, draw_strips, strip_of
from shoal.plot.text import MISSING, Lettering, one_line
from shoal.trees.merges import Merges, leaf_order

__all__ = ["ClusterMap", "Side", "clustermap"]

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]

CELLS_IN = 300  # cells an inch are drawn at most: what a sharp printer shows
BLOCK = 1 << 21  # values at a time: 16 MB
BORDERED = 60  # clusters at most that lines part; more lines would hide the cells
DIVERGING, SEQUENTIAL = "RdBu_r", "viridis"
OUTLIERS = 0.5  # where the middle 98 % of the values span less than this share of all, colours follow them alone
SCALES = (None, "zscore", "minmax")


@dataclass(frozen=True, eq=False)
class Side:
    """What is known of the rows, or of the columns, of a matrix.

    Attributes
    ----------
    merges : Merges or None
        Their tree.
    ids : sequence or None
        Their names; default: their numbers.
    labels : array-like of int or None
        Cluster numbers, -1 for noise: drawn as a strip, and parted by lines.
    nodes : array-like of int or None
        The root node of each cluster in cluster-number order, for the colours of the tree.
    order : array-like of int or None
        The order to draw them in; default: that of the tree, else by cluster.
    bars : mapping of str to sequence
        More strips: names and values, numbers or categories, one a row or column.
    """

    merges: Merges | None = None
    ids: Any = None
    labels: Any = None
    nodes: Any = None
    order: Any = None
    bars: Mapping[str, Sequence[Any]] = field(default_factory=dict)


class ClusterMap(NamedTuple):
    """What was drawn.

    Attributes
    ----------
    figure : matplotlib Figure or SubFigure
    ax : matplotlib Axes
        The matrix's; cell (i, j) of the reordered matrix has its middle at x = j, y = i.
    row_tree, column_tree : matplotlib Axes or None
    row_order, column_order : ndarray of int
        Rows from top to bottom, columns from left to right.
    note : str
        What the picture leaves out, as it says below itself.
    """

    figure: Any
    ax: Any
    row_tree: Any
    column_tree: Any
    row_order: Ints
    column_order: Ints
    note: str


def clustermap(
    values: Any, rows: Side | Merges | None = None, columns: Side | Merges | None = None, *, scale: str | None = None,
    scale_by: str = "columns", cmap: Any = None, limits: tuple[float, float] | None = None, value_label: str = "value",
    figure: Any = None,
) -> ClusterMap:
    """Draw a matrix in the order of its trees.

    Parameters
    ----------
    values : array-like, shape (m, d)
        Features, distances or similarities. NaN is drawn grey.
    rows, columns : Side or Merges, optional
        What is known of either; a tree alone will do. For a symmetric matrix give the same object twice.
    scale : {None, "zscore", "minmax"}
        Before drawing, take away the mean and divide by the standard deviation, or stretch to 0 … 1.
    scale_by : {"columns", "rows"}
        Each column or each row for itself.
    cmap : str or Colormap, optional
        Default: diverging around 0 for z-scores and values on both sides of 0, else sequential.
    limits : pair of float, optional
        The values of the two ends of the colours; default: the smallest and the largest, or where few values lie far
        out those that leave out 1 % on either side.
    value_label : str
        What the values are.
    figure : matplotlib Figure or SubFigure, optional
        Where to draw; default: a new figure that fits the matrix.

    Returns
    -------
    ClusterMap

    Raises
    ------
    InputError
        When sizes do not agree, or the figure is too small.
    MissingExtraError
        When matplotlib is not installed.

    Notes
    -----
    A matrix of more cells than an inch has room for (300) is drawn by the means of blocks of cells, and the picture says
    so. O(m·d) time; memory for the picture and 16 MB, no reordered copy of the matrix.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from scipy.cluster.hierarchy import linkage
    >>> from shoal.plot.clustermap import clustermap
    >>> from shoal.trees.merges import from_scipy
    >>> X = np.array([[0.0, 1.0], [5.0, 6.0], [0.1, 1.2]])
    >>> drawn = clustermap(X, from_scipy(linkage(X)), figure=Figure())
    >>> drawn.row_order.tolist(), drawn.column_order.tolist()
    ([0, 2, 1], [0, 1])
    """
    from shoal.plot.figures import require_matplotlib

    require_matplotlib("Drawing a matrix")
    X = _checked(values, scale, scale_by)
    sides = [side if isinstance(side, Side) else Side(side) for side in (rows, columns)]
    same = rows is columns and rows is not None
    orders = [_order(side, count, what) for side, count, what in zip(sides, X.shape, ("rows", "columns"), strict=True)]
    names = [_names(side.ids, order) for side, order in zip(sides, orders, strict=True)]
    taken = max((int(np.max(side.labels, initial=-1)) + 1 for side in sides if side.labels is not None), default=0)
    strips = [_strips(sides[0], orders[0], taken)]
    taken = max((int(strip.ink.max()) + 1 for strip in strips[0] if strip.ink.dtype.kind == "i"), default=taken)
    strips.append([replace(strip, legend=None) for strip in strips[0]] if same else _strips(sides[1], orders[1], taken))
    frames = frames_for(figure, X.shape, [side.merges is not None for side in sides], strips, names, same)
    inks = inks_of(frames.figure)
    most = [int(CELLS_IN * inches) for inches in frames.matrix_inches]
    steps = [max(1, -(-count // cells)) for count, cells in zip(X.shape, most, strict=True)]
    shades = _cells(X, orders, steps, scale, scale_by)
    ax, notes = _draw_matrix(frames, shades, steps, X.shape, (scale, cmap, limits, value_label), inks)
    notes += _write_names(ax, frames, names, inks)
    trees = [_draw_side(frames, axis, side, order, strips[axis], inks)
             for axis, (side, order) in enumerate(zip(sides, orders, strict=True))]
    _part_clusters(ax, sides, orders, X.shape, shades)
    notes += draw_legends(frames.legend(), [strip.legend for side in strips for strip in side if strip.legend], inks)
    note = " ".join(notes)
    wide = max(30, int(72 * frames.inches[0] / (0.5 * NOTE_PT)))
    frames.figure.text(*frames.note_at, textwrap.fill(note, wide), size=NOTE_PT, color=inks.quiet, va="bottom")
    return ClusterMap(frames.figure, ax, trees[0], trees[1], orders[0], orders[1], note)


def _checked(values: Any, scale: str | None, scale_by: str) -> NDArray[Any]:
    """Return the matrix, without a copy where it is one of numbers."""
    if hasattr(values, "toarray"):
        raise InputError("A sparse matrix cannot be drawn cell by cell.", "Give some of its rows and columns as an array.")
    X = np.asarray(values)
    if X.dtype.kind not in "fiub":
        X = X.astype(np.float64)
    if X.ndim != 2 or 0 in X.shape:
        raise InputError(f"A matrix has rows and columns; given was an array of shape {X.shape}.")
    if scale not in SCALES or scale_by not in ("columns", "rows"):
        raise InputError(f"scale={scale!r}, scale_by={scale_by!r} is not known.",
                         'Use None, "zscore" or "minmax", by "columns" or "rows".')
    return X


def _order(side: Side, count: int, what: str) -> Ints:
    """Return rows or columns in the order they are drawn in."""
    if side.merges is not None and side.merges.n != count:
        raise InputError(f"The tree of the {what} has {side.merges.n:,} items, and there are {count:,} {what}.")
    for name, given in (("ids", side.ids), ("labels", side.labels), *((f"bar {b!r}", v) for b, v in side.bars.items())):
        if given is not None and len(given) != count:
            raise InputError(f"{name} of the {what}: {len(given):,} were given for {count:,}.", "Give one for each.")
    if side.order is not None:
        order = np.asarray(side.order)
        if order.shape != (count,) or not np.array_equal(np.sort(order), np.arange(count)):
            raise InputError(f"The order of the {what} must name each of the {count:,} once.")
        return order
    if side.merges is not None:
        return leaf_order(side.merges)
    if side.labels is not None:
        labels = np.asarray(side.labels)
        return np.lexsort((labels, labels < 0))
    return np.arange(count)


def _names(ids: Any, order: Ints) -> list[str]:
    """Return one line of text for every row or column, in the order drawn."""
    given = None if ids is None else list(ids)
    return [str(i) if given is None else one_line(given[i]) for i in order.tolist()]


def _strips(side: Side, order: Ints, taken: int) -> list[Strip]:
    """Return the strips along a side: the clusters nearest to the matrix, then the bars."""
    found = []
    for name, values in side.bars.items():
        strip, taken = strip_of(one_line(name), [values[i] for i in order.tolist()] if isinstance(values, (list, tuple))
                                else np.asarray(values)[order], taken)
        found.append(strip)
    if side.labels is not None:
        found.append(Strip.of_clusters(np.asarray(side.labels)[order]))
    return found


def _cells(X: NDArray[Any], orders: list[Ints], steps: list[int], scale: str | None, by: str) -> Floats:
    """Return the reordered and scaled matrix as the means of blocks of cells; NaN where a block has no value."""
    (rows, columns), (down, across) = orders, steps
    starts = np.arange(0, X.shape[1], across)
    parameters = _scaling(X, scale) if by == "columns" else None
    high = max(1, BLOCK // (X.shape[1] * down)) * down
    out = np.empty((-(-len(rows) // down), len(starts)))
    for start in range(0, len(rows), high):
        V = X[rows[start : start + high]].astype(np.float64)
        shift, unit = _scaling(V.T, scale) if parameters is None else parameters
        V = (V - (shift[:, None] if parameters is None else shift)) / (unit[:, None] if parameters is None else unit)
        V = V[:, columns]
        if down > 1 or across > 1:
            known = np.isfinite(V)
            edges = np.arange(0, len(V), down)
            both = [np.add.reduceat(np.add.reduceat(part, starts, axis=1), edges, axis=0)
                    for part in (np.where(known, V, 0.0), known.astype(np.float64))]
            with np.errstate(invalid="ignore"):
                V = both[0] / both[1]
        out[start // down : start // down + len(V)] = V
    return out


def _scaling(X: NDArray[Any], scale: str | None) -> tuple[Floats, Floats]:
    """Return what is taken away from every column, and what it is divided by; missing values do not count."""
    d = X.shape[1]
    shift, unit = np.zeros(d), np.ones(d)
    step = max(1, BLOCK // len(X))
    for start in range(0, d if scale else 0, step):
        V = X[:, start : start + step].astype(np.float64)
        known = np.isfinite(V)
        count = np.maximum(known.sum(axis=0), 1)
        if scale == "zscore":
            low = np.where(known, V, 0.0).sum(axis=0) / count
            spread = np.sqrt(np.where(known, np.square(V - low), 0.0).sum(axis=0) / count)
        else:
            low = np.where(known, V, np.inf).min(axis=0)
            spread = np.where(known, V, -np.inf).max(axis=0) - low
        shift[start : start + step] = np.where(np.isfinite(low), low, 0.0)
        unit[start : start + step] = np.where(np.isfinite(spread) & (spread > 0), spread, 1.0)
    return shift, unit


def _draw_matrix(frames: Frames, shades: Floats, steps: list[int], shape: tuple[int, ...],
                 style: tuple[Any, ...], inks: Inks) -> tuple[Any, list[str]]:
    """Draw the cells and the colour bar; return the axes and what to say of them."""
    from matplotlib import colormaps

    scale, cmap, limits, value_label = style
    known = shades[np.isfinite(shades)]
    (low, high), diverging = _limits(known, scale, limits)
    chosen = cmap if cmap is not None else DIVERGING if diverging else SEQUENTIAL
    chosen = (colormaps[chosen] if isinstance(chosen, str) else chosen).with_extremes(bad=inks.noise)
    ax = frames.matrix()
    extent = (-0.5, shades.shape[1] * steps[1] - 0.5, shades.shape[0] * steps[0] - 0.5, -0.5)
    image = ax.imshow(shades, cmap=chosen, vmin=low, vmax=high, aspect="auto", extent=extent, interpolation="nearest")
    ax.set(xlim=(-0.5, shape[1] - 0.5), ylim=(shape[0] - 0.5, -0.5))
    ax.grid(visible=False)
    for side in ax.spines.values():
        side.set_visible(False)
    under, over = bool((known < low).any()), bool((known > high).any())
    extend = "both" if under and over else "min" if under else "max" if over else "neither"
    bar = frames.figure.colorbar(image, cax=frames.color_bar(), extend=extend)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=NAME_PT, color=inks.quiet, labelcolor=inks.text, length=2)
    prefix = {"zscore": "z-score of ", "minmax": "min–max of "}.get(scale, "")
    bar.ax.set_title(one_line(prefix + value_label), size=8, color=inks.text, loc="left")
    notes = []
    if max(steps) > 1:
        notes.append(f"{shape[0]:,} × {shape[1]:,} values: every cell is the mean of {steps[0]} × {steps[1]}.")
    if len(known) < shades.size:
        notes.append("Grey: no value.")
    if under or over:
        notes.append(f"{np.mean((known < low) | (known > high)):.1%} of the cells lie beyond the ends of the colours.")
    return ax, notes


def _limits(known: Floats, scale: str | None, given: tuple[float, float] | None) -> tuple[tuple[float, float], bool]:
    """Return the values at the ends of the colours, and whether the colours part at 0."""
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    if given is None and len(known) and high > low:
        core = np.percentile(known, [1, 99]).tolist()
        if core[1] - core[0] < OUTLIERS * (high - low) and core[1] > core[0]:
            low, high = core
    diverging = scale == "zscore" or (scale is None and min(-low, high) > 0.1 * max(-low, high))
    if given is not None:
        return (float(given[0]), float(given[1])), diverging
    if diverging:
        low, high = -max(-low, high), max(-low, high)
    return (low, high if high > low else low + 1.0), diverging


def _write_names(ax: Any, frames: Frames, names: list[list[str]], inks: Inks) -> list[str]:
    """Write rows to the right and columns below, as many as there is room for."""
    letters = Lettering(name for some in names for name in some)
    notes = [] if letters.complete else [f"Characters that no installed font has are shown as {MISSING}."]
    for axis, some, step, size, what in zip((ax.yaxis, ax.xaxis), names, frames.every, frames.sizes, ("row", "column"),
                                            strict=True):
        shown = range(0, len(some), step)
        axis.set_ticks(list(shown), labels=[letters.fit(some[i]) for i in shown], size=size, color=inks.text,
                       rotation=0 if what == "row" else 90, **letters.style)
        axis.set_tick_params(length=0 if step == 1 else 2, pad=2, color=inks.quiet)
        if step > 1:
            notes.append(f"{len(shown):,} of {len(some):,} {what}s are named.")
    ax.yaxis.set_ticks_position("right")
    return notes


def _draw_side(frames: Frames, axis: int, side: Side, order: Ints, strips: list[Strip], inks: Inks) -> Any:
    """Draw the tree and the strips along one side; return the tree's axes."""
    draw_strips([frames.strip(axis, place) for place in range(len(strips))], strips, axis, len(order), inks)
    if side.merges is None:
        return None
    ax = frames.tree(axis)
    drawn = layout(side.merges, order=order, nodes=side.nodes)
    sheet = Sheet(ax, "left" if axis == 0 else "top", len(order))
    sheet.inks = inks
    draw_tree(sheet, drawn)
    ax.set_axis_off()
    return ax


def _part_clusters(ax: Any, sides: list[Side], orders: list[Ints], shape: tuple[int, ...], shades: Floats) -> None:
    """Draw a line between neighbours of different clusters."""
    ink = readable_on("#000000" if ax.images[0].get_cmap().name == SEQUENTIAL else "#ffffff")
    for side, order, line in zip(sides, orders, (ax.hlines, ax.vlines), strict=True):
        if side.labels is None:
            continue
        labels = np.asarray(side.labels)[order]
        edges = np.flatnonzero(labels[1:] != labels[:-1]) + 0.5
        if 0 < len(edges) < BORDERED:
            line(edges, -0.5, shape[1 if line == ax.hlines else 0] - 0.5, colors=ink, linewidths=0.7)
