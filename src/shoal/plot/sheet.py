"""The axes a dendrogram is drawn on, seen along the leaves and along the heights, whichever way the root points."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.plot.layout import Layout
from shoal.plot.palette import INK, QUIET, color
from shoal.plot.room import Place, on_page
from shoal.plot.text import MISSING, Lettering, ems

__all__ = ["NUMBER_PT", "ROOTS", "Sheet", "dress", "new_sheet", "note", "wrapped",
           "write_leaves"]

Floats = NDArray[np.float64]

ROOTS = {"top": (0, -1), "bottom": (0, 1), "left": (1, 0), "right": (-1, 0)}  # where the leaves are, seen from there
LARGEST_PT, SMALLEST_PT = 9.0, 4.5  # leaf labels; nobody reads smaller ones on paper
LINE_PT = 1 / 0.8  # room a line of text takes along the leaves, in font sizes
NEW_LEAF_IN, NEW_MOST_IN, NEW_LEAST_IN, NEW_BARE_IN = 0.16, 30.0, 5.0, 11.0
NOTE_PT = NUMBER_PT = 7.5
BELOW_LABEL_PT = -34.0  # from the axes' lower edge: ticks and their labels take 17 points, the axis label 16
MARGIN_IN = 1.0  # what axis texts take of a new figure's length


@dataclass(frozen=True)
class Sheet:
    """Axes, the direction of the root, and the type size that fits the leaves.

    Attributes
    ----------
    ax : matplotlib Axes
        What is drawn on.
    root : str
        "top", "bottom", "left" or "right": where the root is.
    size : float
        Font size of leaf labels in points; 0 where no legible size fits.
    slot : float
        Points between neighbouring leaves.
    new : bool
        Whether the figure is Shoal's own.
    """

    ax: Any
    root: str
    size: float
    slot: float
    new: bool

    @property
    def upright(self) -> bool:
        """Whether the leaves lie along the x axis."""
        return self.root in ("top", "bottom")

    @property
    def leaf_axis(self) -> Any:
        """The axis along which the leaves lie."""
        return self.ax.xaxis if self.upright else self.ax.yaxis

    @property
    def height_axis(self) -> Any:
        """The axis of heights."""
        return self.ax.yaxis if self.upright else self.ax.xaxis

    def xy(self, along: Any, height: Any) -> Floats:
        """Return points of the axes, last dimension 2, from positions along the leaves and heights."""
        pair = np.broadcast_arrays(np.asarray(along, np.float64), np.asarray(height, np.float64))
        return np.stack(pair if self.upright else pair[::-1], axis=-1)

    def boxes(self, along: Floats, height: Floats) -> Floats:
        """Return straight lines, given by the positions and heights of both ends, as boxes in points on the page."""
        ends = on_page(self.ax, self.xy(along, height))
        return np.concatenate([ends.min(axis=1), ends.max(axis=1)], axis=1)

    def beside(self, along: float, height: float, side: int) -> Place:
        """Return the place on one side (1 or -1) of a leg."""
        x, y = self._point(along, height)
        return Place(x, y, side, 0) if self.upright else Place(x, y, 0, side)

    def around(self, along: float, height: float) -> list[Place]:
        """Return places at the middle of a bar: below it, then on either side of the leg that goes on from there."""
        x, y = self._point(along, height)
        right, up = ROOTS[self.root]
        sides = [(0, 0), (1, -1), (-1, -1), (1, 1), (-1, 1)]
        if self.upright:
            return [Place(x, y, side, up * way or up) for side, way in sides]
        return [Place(x, y, right * way or right, side) for side, way in sides]

    def _point(self, along: float, height: float) -> tuple[float, float]:
        x, y = on_page(self.ax, self.xy(along, height)).tolist()
        return x, y

    def set_limits(self, leaves: int, low: float, high: float) -> None:
        """Set both axes so that half a leaf is free at either end and the first leaf is left or on top."""
        limits = (low, high) if self.root in ("top", "right") else (high, low)
        if self.upright:
            self.ax.set(xlim=(-0.5, leaves - 0.5), ylim=limits)
        else:
            self.ax.set(ylim=(leaves - 0.5, -0.5), xlim=limits)

    def lies_flat(self, names: Sequence[str]) -> bool:
        """Whether the labels fit side by side without being turned."""
        return not self.upright or max(map(ems, names), default=0.0) * self.size < 0.8 * self.slot


def new_sheet(ax: Any, root: str, leaves: int) -> Sheet:
    """Choose the type size for the leaves, and where no axes are given make a figure with room for them."""
    if ax is not None:
        extent = ax.get_window_extent()
        length = (extent.width if root in ("top", "bottom") else extent.height) * 72 / ax.figure.dpi
        slot = length / leaves
        return Sheet(ax, root, _type_size(slot), slot, False)
    from shoal.plot.figures import new_axes

    inches = min(max(NEW_LEAF_IN * leaves + MARGIN_IN, NEW_LEAST_IN), NEW_MOST_IN)
    slot = (inches - MARGIN_IN) * 72 / leaves
    if not (size := _type_size(slot)):
        inches = NEW_BARE_IN  # without labels a longer figure shows no more
    upright = root in ("top", "bottom")
    return Sheet(new_axes(inches, 4.5) if upright else new_axes(6.5, inches), root, size, slot, True)


def dress(sheet: Sheet, height_label: str, base: float) -> None:
    """Leave only the axis of heights, from the base up, and turn the labels to the leaves' side."""
    ax, heights, leaves = sheet.ax, sheet.height_axis, sheet.leaf_axis
    ax.grid(visible=False)
    for side in ax.spines.values():
        side.set_visible(False)
    shown = ax.spines["left" if sheet.upright else "bottom"]
    shown.set(visible=True, color=QUIET)
    heights.set_label_text(height_label, size=9, color=INK)
    heights.set_tick_params(labelsize=8, color=QUIET, labelcolor=INK)
    low, high = sorted(heights.get_view_interval())
    if low < base:  # hanging leaves go below 0, where no height is
        heights.set_ticks([tick for tick in heights.get_majorticklocs() if base <= tick <= high])
        shown.set_bounds(base, high)
    if sheet.root in ("bottom", "left"):
        side = "top" if sheet.upright else "right"
        leaves.set_ticks_position(side)
        leaves.set_label_position(side)
    leaves.set_tick_params(length=0, pad=3)


def write_leaves(sheet: Sheet, drawn: Layout, names: list[str], rotation: float | None, hang: bool) -> list[str]:
    """Write the labels, along the axis or, where leaves hang, at every leaf's own end; return what to say of them."""
    if not names:
        _number_clusters(sheet, drawn)
        return [f"Labels of {len(drawn.leaf_x):,} leaves left out; last=40 shows fewer."]
    letters = Lettering(names)
    names = [letters.fit(name) for name in names]
    turn = rotation if rotation is not None else (0.0 if sheet.lies_flat(names) else 90.0)
    style = {"size": sheet.size, "color": INK, "rotation": turn, **letters.style}
    if turn % 90 and sheet.upright:  # slanted texts end at their leaf
        style |= {"ha": "right" if sheet.root == "top" else "left", "rotation_mode": "anchor"}
    if sheet.new:
        _make_room(sheet, max(map(ems, names)), turn)
    if hang:
        _hang_names(sheet, drawn, names, style)
    else:
        sheet.leaf_axis.set_ticks(drawn.leaf_x, labels=names, **style)
    return [] if letters.complete else [f"Characters that no installed font has are shown as {MISSING}."]


def _number_clusters(sheet: Sheet, drawn: Layout) -> None:
    """Write cluster numbers at the middle of their leaves, those that have room beside the one before."""
    inside = drawn.leaf_cluster >= 0
    leaves = np.bincount(drawn.leaf_cluster[inside])
    middle = np.bincount(drawn.leaf_cluster[inside], drawn.leaf_x[inside]) / np.maximum(leaves, 1)
    kept: list[int] = []
    for number in np.argsort(middle, kind="stable")[np.count_nonzero(leaves == 0) :].tolist():
        room = (middle[number] - middle[kept[-1]]) * sheet.slot if kept else np.inf
        if room > NUMBER_PT * (1 + ems(str(number)) if sheet.upright else 1.2):
            kept.append(number)
    sheet.leaf_axis.set_ticks(middle[kept], labels=[str(number) for number in kept], size=NUMBER_PT, weight="bold")
    for number, label in zip(kept, sheet.leaf_axis.get_ticklabels(), strict=True):
        label.set_color(color(number))


def _hang_names(sheet: Sheet, drawn: Layout, names: list[str], style: dict[str, Any]) -> None:
    """Write every name below its leaf's end, and keep the axis label clear of the lowest."""
    sheet.leaf_axis.set_ticks([])
    right, up = ROOTS[sheet.root]
    style = {"ha": ("right", "center", "left")[right + 1], "va": ("top", "center", "bottom")[up + 1]} | style
    for name, point in zip(names, sheet.xy(drawn.leaf_x, drawn.leaf_y).tolist(), strict=True):
        sheet.ax.annotate(name, point, (3 * right, 3 * up), textcoords="offset points", **style)
    if sheet.upright:
        sheet.leaf_axis.labelpad = 6 + (max(map(ems, names)) if style["rotation"] else 1.5) * sheet.size


def _make_room(sheet: Sheet, widest: float, turn: float) -> None:
    """Lengthen a new figure by what the labels take of the heights' room."""
    figure = sheet.ax.figure
    width, height = figure.get_size_inches()
    share = abs(np.sin(np.radians(turn))) if sheet.upright else 1.0
    extra = widest * sheet.size * share / 72
    figure.set_size_inches((width, height + extra) if sheet.upright else (width + extra, height))


def note(sheet: Sheet) -> Any:
    """Return the empty text, below everything else, for what is to be known about the picture."""
    if sheet.upright:
        sheet.leaf_axis.set_label_text("", size=NOTE_PT, color=QUIET, linespacing=1.4)
        return sheet.leaf_axis.label
    return sheet.ax.annotate("", (0, 0), (0, BELOW_LABEL_PT), xycoords="axes fraction", textcoords="offset points",
                             va="top", size=NOTE_PT, color=QUIET, linespacing=1.4)


def wrapped(sheet: Sheet, sentences: list[str]) -> str:
    """Return sentences in lines no longer than the axes are wide."""
    width = 72 * sheet.ax.figure.get_size_inches()[0] * sheet.ax.get_position().width
    return textwrap.fill(" ".join(sentences), max(30, int(width / (0.55 * NOTE_PT))))


def _type_size(slot: float) -> float:
    """Return the size of labels that stand `slot` points apart; 0 where that is too small to read."""
    size = min(slot / LINE_PT, LARGEST_PT)
    return size if size >= SMALLEST_PT else 0.0
