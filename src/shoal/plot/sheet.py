"""The axes a dendrogram is drawn on, seen along the leaves and along the heights, whichever way the root points."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from shoal.plot.layout import Layout
from shoal.plot.palette import inks_of
from shoal.plot.room import Place, on_page
from shoal.plot.text import MISSING, Lettering, ems

__all__ = ["NUMBER_PT", "ROOTS", "Sheet", "type_size"]

Floats = NDArray[np.float64]

ROOTS = {"top": (0, -1), "bottom": (0, 1), "left": (1, 0), "right": (-1, 0)}  # where the leaves are, seen from there
LARGEST_PT, SMALLEST_PT = 9.0, 4.5  # leaf labels; nobody reads smaller ones on paper
LINE_PT = 1 / 0.8  # room a line of text takes along the leaves, in font sizes
NEW_LEAF_IN, NEW_MOST_IN, NEW_LEAST_IN, NEW_BARE_IN = 0.16, 30.0, 5.0, 11.0
NOTE_PT = NUMBER_PT = 7.5
BELOW_LABEL_PT = -34.0  # from the axes' lower edge: ticks and their labels take 17 points, the axis label 16
MARGIN_IN = 1.0  # what axis texts take of a new figure's length


class Sheet:
    """Axes, the direction of the root, and the type size that fits the leaves.

    Parameters
    ----------
    ax : matplotlib Axes or None
        What is drawn on; None makes a figure with room for the leaves.
    root : str
        "top", "bottom", "left" or "right": where the root is.
    leaves : int
        How many are drawn.
    log : bool
        Whether heights are given as decimal logarithms; the axis then shows what they are of.

    Attributes
    ----------
    inks : Inks
        What texts and lines are drawn with on this background.
    size : float
        Font size of leaf labels in points; 0 where no legible size fits.
    slot : float
        Points between neighbouring leaves.
    new : bool
        Whether the figure is Shoal's own.
    """

    around_sides: ClassVar = [(0, 0), (1, -1), (-1, -1), (1, 1), (-1, 1)]

    def __init__(self, ax: Any, root: str, leaves: int, log: bool = False) -> None:
        self.root, self.leaves, self.log, self.new = root, leaves, log, ax is None
        if ax is None:
            ax = self._new_axes()
        else:
            extent = ax.get_window_extent()
            self.slot = self._slot(extent.width * 72 / ax.figure.dpi, extent.height * 72 / ax.figure.dpi)
            self.size = type_size(self.slot)
        self.ax = ax
        self.inks = inks_of(ax)

    def _new_axes(self) -> Any:
        from shoal.plot.figures import new_axes

        inches = min(max(NEW_LEAF_IN * self.leaves + MARGIN_IN, NEW_LEAST_IN), NEW_MOST_IN)
        self.slot = (inches - MARGIN_IN) * 72 / self.leaves
        self.size = type_size(self.slot)
        if not self.size:
            inches = NEW_BARE_IN  # without labels a longer figure shows no more
            self.slot = (inches - MARGIN_IN) * 72 / self.leaves
        return new_axes(inches, 4.5) if self.upright else new_axes(6.5, inches)

    def _slot(self, width: float, height: float) -> float:
        return (width if self.upright else height) / self.leaves

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

    def shown(self, height: Any) -> Any:
        """Return heights as the axis has them."""
        return np.power(10.0, height) if self.log else height

    def xy(self, along: Any, height: Any) -> Floats:
        """Return points of the axes, last dimension 2, from positions along the leaves and heights."""
        pair = np.broadcast_arrays(np.asarray(along, np.float64), np.asarray(self.shown(height), np.float64))
        return np.stack(pair if self.upright else pair[::-1], axis=-1)

    def paths(self, along: Floats, height: Floats) -> list[Floats]:
        """Return the points of paths given by the positions and heights of their four corners."""
        return list(self.xy(along, height))

    def boxes(self, along: Floats, height: Floats) -> Floats:
        """Return straight lines, given by the positions and heights of both ends, as boxes in points on the page."""
        ends = on_page(self.ax, self.xy(along, height))
        return np.concatenate([ends.min(axis=1), ends.max(axis=1)], axis=1)

    def beside(self, along: float, height: float, side: int) -> Place:
        """Return the place on one side (1 or -1) of a leg."""
        x, y = self.point(along, height)
        return Place(x, y, side, 0) if self.upright else Place(x, y, 0, side)

    def around(self, along: float, height: float) -> list[Place]:
        """Return places at the middle of a bar: below it, then on either side of the leg that goes on from there."""
        x, y = self.point(along, height)
        right, up = ROOTS[self.root]
        if self.upright:
            return [Place(x, y, side, up * way or up) for side, way in self.around_sides]
        return [Place(x, y, right * way or right, side) for side, way in self.around_sides]

    def point(self, along: float, height: float) -> tuple[float, float]:
        """Return a place in points on the page."""
        x, y = on_page(self.ax, self.xy(along, height)).tolist()
        return x, y

    def set_limits(self, low: float, high: float) -> None:
        """Set both axes so that half a leaf is free at either end and the first leaf is left or on top."""
        limits = self.shown(np.array([low, high]))
        if self.root in ("bottom", "left"):
            limits = limits[::-1]
        if self.upright:
            self.ax.set(xlim=(-0.5, self.leaves - 0.5), yscale="log" if self.log else "linear", ylim=limits)
        else:
            self.ax.set(ylim=(self.leaves - 0.5, -0.5), xscale="log" if self.log else "linear", xlim=limits)

    def lies_flat(self, names: Sequence[str]) -> bool:
        """Whether the labels fit side by side without being turned."""
        return not self.upright or max(map(ems, names), default=0.0) * self.size < 0.8 * self.slot

    def dress(self, height_label: str, base: float) -> list[str]:
        """Leave only the axis of heights, from the base up, and turn the labels to the leaves' side."""
        ax, heights, leaves = self.ax, self.height_axis, self.leaf_axis
        ax.grid(visible=False)
        for side in ax.spines.values():
            side.set_visible(False)
        line = ax.spines["left" if self.upright else "bottom"]
        line.set(visible=True, color=self.inks.quiet)
        heights.set_label_text(height_label, size=9, color=self.inks.text)
        heights.set_tick_params(which="both", labelsize=8, color=self.inks.quiet, labelcolor=self.inks.text)
        if self.log:
            self._tick_logarithms()
        low, high = sorted(heights.get_view_interval())
        least = self.shown(base)
        if low < least:  # hanging leaves go below 0, where no height is
            line.set_bounds(least, high)
            heights.set_ticks([tick for tick in heights.get_majorticklocs() if least <= tick <= high])
        if self.root in ("bottom", "left"):
            side = "top" if self.upright else "right"
            leaves.set_ticks_position(side)
            leaves.set_label_position(side)
        leaves.set_tick_params(length=0, pad=3)
        return []

    def _tick_logarithms(self) -> None:
        """Write heights as they are, 1, 2 and 5 of every decade where there are few."""
        from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

        low, high = sorted(self.height_axis.get_view_interval())
        self.height_axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 1000 * low else (1.0,)))
        self.height_axis.set_minor_locator(NullLocator())
        self.height_axis.set_major_formatter(FuncFormatter(lambda height, _: f"{height:.4g}"))

    def mark_cut(self, cut: float, text: str) -> list[str]:
        """Mark the cut; its text stands outside the axes, where no link can be."""
        ax, at = self.ax, self.shown(cut)
        style = {"size": 8, "color": self.inks.quiet, "textcoords": "offset points", "annotation_clip": False}
        line = {"color": self.inks.quiet, "linewidth": 0.9, "linestyle": (0, (4, 3)), "zorder": 1}
        if self.upright:
            ax.axhline(at, **line)
            ax.annotate(text, (1, at), (4, 0), xycoords=ax.get_yaxis_transform(), va="center", **style)
        else:
            ax.axvline(at, **line)
            ax.annotate(text, (at, 1), (0, 4), xycoords=ax.get_xaxis_transform(), ha="center", **style)
        return []

    def write_leaves(self, drawn: Layout, names: list[str], rotation: float | None, hang: bool,
                     colors: list[str]) -> list[str]:
        """Write the labels, at the rim or, where leaves hang, at every leaf's own end; return what to say of them."""
        if not names:
            self._number_clusters(drawn)
            return [f"Labels of {len(drawn.leaf_x):,} leaves left out; last=40 shows fewer."]
        letters = Lettering(names)
        names = [letters.fit(name) for name in names]
        self._write_names(drawn, names, rotation, hang, {"size": self.size, **letters.style}, colors)
        return [] if letters.complete else [f"Characters that no installed font has are shown as {MISSING}."]

    def _write_names(self, drawn: Layout, names: list[str], rotation: float | None, hang: bool, style: dict[str, Any],
                     colors: list[str]) -> None:
        turn = rotation if rotation is not None else (0.0 if self.lies_flat(names) else 90.0)
        style = {**style, "rotation": turn}
        if turn % 90 and self.upright:  # slanted texts end at their leaf
            style |= {"ha": "right" if self.root == "top" else "left", "rotation_mode": "anchor"}
        if self.new:
            self._make_room(max(map(ems, names)), turn)
        if hang:
            self._hang_names(drawn, names, style, colors)
        else:
            self.leaf_axis.set_ticks(drawn.leaf_x, labels=names, **style)
            for tick, ink in zip(self.leaf_axis.get_ticklabels(), colors, strict=True):
                tick.set_color(ink)

    def _number_clusters(self, drawn: Layout) -> None:
        """Write cluster numbers at the middle of their leaves, those that have room beside the one before."""
        kept, middle = self.numbers_with_room(drawn)
        self.leaf_axis.set_ticks(middle, labels=[str(number) for number in kept], size=NUMBER_PT, weight="bold")
        for number, label in zip(kept, self.leaf_axis.get_ticklabels(), strict=True):
            label.set_color(self.inks.color(number))

    def numbers_with_room(self, drawn: Layout) -> tuple[list[int], list[float]]:
        """Return clusters whose numbers can stand at the middle of their leaves without touching, and these middles."""
        inside = drawn.leaf_cluster >= 0
        leaves = np.bincount(drawn.leaf_cluster[inside])
        middle = np.bincount(drawn.leaf_cluster[inside], drawn.leaf_x[inside]) / np.maximum(leaves, 1)
        middle[leaves == 0] = -np.inf
        kept: list[int] = []
        for number in np.argsort(middle, kind="stable")[np.count_nonzero(leaves == 0) :].tolist():
            room = (middle[number] - middle[kept[-1]]) * self.slot if kept else np.inf
            if room > NUMBER_PT * (1 + ems(str(number)) if self.upright else 1.2):
                kept.append(number)
        return kept, middle[kept].tolist()

    def _hang_names(self, drawn: Layout, names: list[str], style: dict[str, Any], colors: list[str]) -> None:
        """Write every name below its leaf's end, and keep the axis label clear of the lowest."""
        self.leaf_axis.set_ticks([])
        right, up = ROOTS[self.root]
        style = {"ha": ("right", "center", "left")[right + 1], "va": ("top", "center", "bottom")[up + 1]} | style
        points = self.xy(drawn.leaf_x, drawn.leaf_y).tolist()
        for name, point, ink in zip(names, points, colors, strict=True):
            self.ax.annotate(name, point, (3 * right, 3 * up), textcoords="offset points", color=ink, **style)
        if self.upright:
            self.leaf_axis.labelpad = 6 + (max(map(ems, names)) if style["rotation"] else 1.5) * self.size

    def _make_room(self, widest: float, turn: float) -> None:
        """Lengthen a new figure by what the labels take of the heights' room."""
        figure = self.ax.figure
        width, height = figure.get_size_inches()
        share = abs(np.sin(np.radians(turn))) if self.upright else 1.0
        extra = widest * self.size * share / 72
        figure.set_size_inches((width, height + extra) if self.upright else (width + extra, height))

    def note(self) -> Any:
        """Return the empty text, below everything else, for what is to be known about the picture."""
        if self.upright:
            self.leaf_axis.set_label_text("", size=NOTE_PT, color=self.inks.quiet, linespacing=1.4)
            return self.leaf_axis.label
        return self.ax.annotate("", (0, 0), (0, BELOW_LABEL_PT), xycoords="axes fraction", textcoords="offset points",
                                va="top", size=NOTE_PT, color=self.inks.quiet, linespacing=1.4)

    def wrapped(self, sentences: list[str]) -> str:
        """Return sentences in lines no longer than the axes are wide."""
        width = 72 * self.ax.figure.get_size_inches()[0] * self.ax.get_position().width
        return textwrap.fill(" ".join(sentences), max(30, int(width / (0.55 * NOTE_PT))))


def type_size(slot: float) -> float:
    """Return the size of labels that stand `slot` points apart; 0 where that is too small to read."""
    size = min(slot / LINE_PT, LARGEST_PT)
    return size if size >= SMALLEST_PT else 0.0
