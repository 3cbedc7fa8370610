"""Where the parts of a clustered matrix lie on the page, in inches: trees, strips, cells, names, legends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shoal.errors import InputError
from shoal.plot.sheet import LINE_PT, type_size
from shoal.plot.strips import LINE_PT as LEGEND_PT
from shoal.plot.strips import Strip
from shoal.plot.text import ems

__all__ = ["NAME_PT", "Frames", "frames_for"]

NAME_PT = 7.0
THIN_PT = 6.5  # names where there is no room for all
TREE_IN, STRIP_IN, STRIP_GAP_IN, MARGIN_IN, NOTE_IN = 0.95, 0.14, 0.03, 0.12, 0.34
LEGEND_IN, BAR_IN, BAR_HIGH_IN, TITLE_IN = 1.35, 0.13, 1.3, 0.25
CELL_IN, LEAST_IN, MOST_IN = 0.16, 2.4, 7.0  # new figures: a cell with a name, the whole matrix
NEEDED_IN = 0.6  # less of a matrix is no picture
NAMES_SHARE = 0.4  # of a given figure at most is for names


@dataclass(frozen=True, eq=False)
class Frames:
    """A figure divided for a matrix; every method makes the axes of one part.

    Attributes
    ----------
    figure : matplotlib Figure or SubFigure
    inches : tuple of float
        Its width and height.
    matrix_inches : tuple of float
        Height and width of the cells.
    left, top : float
        Where the cells begin, from the left and from the top.
    strips : tuple of int
        Number of strips along the rows and the columns.
    every, sizes : tuple
        Every how many rows and columns have their name written, and the type size.
    """

    figure: Any
    inches: tuple[float, float]
    matrix_inches: tuple[float, float]
    left: float
    top: float
    strips: tuple[int, int]
    every: tuple[int, int]
    sizes: tuple[float, float]

    def _axes(self, left: float, top: float, width: float, height: float, name: str) -> Any:
        wide, high = self.inches
        return self.figure.add_axes((left / wide, 1 - (top + height) / high, width / wide, height / high), label=name)

    def matrix(self) -> Any:
        """Make the axes of the cells."""
        high, wide = self.matrix_inches
        return self._axes(self.left, self.top, wide, high, "matrix")

    def tree(self, axis: int) -> Any:
        """Make the axes of the rows' tree (axis 0) or the columns' (axis 1)."""
        high, wide = self.matrix_inches
        away = _strips_inches(self.strips[axis]) + TREE_IN
        if axis == 0:
            return self._axes(self.left - away, self.top, TREE_IN, high, "row tree")
        return self._axes(self.left, self.top - away, wide, TREE_IN, "column tree")

    def strip(self, axis: int, place: int) -> Any:
        """Make the axes of a strip; the last is nearest to the cells."""
        high, wide = self.matrix_inches
        away = _strips_inches(self.strips[axis] - place)
        if axis == 0:
            return self._axes(self.left - away, self.top, STRIP_IN, high, f"row strip {place}")
        return self._axes(self.left, self.top - away, wide, STRIP_IN, f"column strip {place}")

    @property
    def _legend_left(self) -> float:
        return self.inches[0] - LEGEND_IN

    @property
    def _bar_high(self) -> float:
        return min(BAR_HIGH_IN, self.inches[1] / 3)

    def color_bar(self) -> Any:
        """Make the axes of the colour bar."""
        return self._axes(self._legend_left, MARGIN_IN + TITLE_IN, BAR_IN, self._bar_high, "colour bar")

    def legend(self) -> Any:
        """Make the axes of the legends, below the colour bar."""
        top = MARGIN_IN + TITLE_IN + self._bar_high + 0.25
        return self._axes(self._legend_left, top, LEGEND_IN - 0.05, max(0.1, self.inches[1] - top - NOTE_IN), "legend")

    @property
    def note_at(self) -> tuple[float, float]:
        """The lower left corner of the note, as shares of the figure."""
        return MARGIN_IN / self.inches[0], 0.06 / self.inches[1]


def _strips_inches(count: int) -> float:
    return count * (STRIP_IN + STRIP_GAP_IN)


def frames_for(figure: Any, shape: tuple[int, ...], trees: list[bool], strips: list[list[Strip]], names: list[list[str]],
               square: bool) -> Frames:
    """Divide a figure, or make one, for a matrix with these trees, strips and names."""
    fixed = [_strips_inches(len(some)) + (TREE_IN if tree else 0.0) + MARGIN_IN
             for some, tree in zip(strips, trees, strict=True)]
    legend_lines = sum(len(strip.legend.entries) + 2.6 for some in strips for strip in some if strip.legend is not None)
    if figure is None:
        cells = [min(max(count * CELL_IN, LEAST_IN), MOST_IN) for count in shape]
        if square:
            cells = [max(cells[0], 3.0)] * 2
    else:
        size = figure.bbox.width / figure.dpi, figure.bbox.height / figure.dpi
        cells = [size[1], size[0]]  # for a first guess at the names
    every, sizes, room = zip(*(_named(some, inches) for some, inches in zip(names, cells, strict=True)), strict=True)
    below = max(room[1], *(ems(strip.name) * NAME_PT / 72 + 0.05 for strip in strips[0]), 0.1)
    beside = max(room[0], *(ems(strip.name) * NAME_PT / 72 + 0.05 for strip in strips[1]), 0.1)
    if figure is None:
        from matplotlib import pyplot

        high = fixed[1] + cells[0] + below + NOTE_IN
        size = fixed[0] + cells[1] + beside + 0.15 + LEGEND_IN, max(high, 2.4 + legend_lines * LEGEND_PT / 72)
        figure = pyplot.figure(figsize=size)
    else:
        beside, below = min(beside, NAMES_SHARE * size[0]), min(below, NAMES_SHARE * size[1])
        cells = [size[1] - fixed[1] - below - NOTE_IN, size[0] - fixed[0] - beside - 0.15 - LEGEND_IN]
        if min(cells) < NEEDED_IN:
            raise InputError(f"A figure of {size[0]:.1f} × {size[1]:.1f} inches has no room for the matrix beside its trees "
                             "and names.", "Give a larger figure, or shorter names.")
        every, sizes, _ = zip(*(_named(some, inches) for some, inches in zip(names, cells, strict=True)), strict=True)
    return Frames(figure, size, (cells[0], cells[1]), fixed[0], fixed[1], (len(strips[0]), len(strips[1])),
                  every, sizes)


def _named(names: list[str], inches: float) -> tuple[int, float, float]:
    """Return every how many names are written along so many inches, their size, and the inches the widest takes."""
    slot = 72 * inches / len(names)
    size = type_size(slot)
    step = 1 if size else -(-THIN_PT * LINE_PT // slot)
    size = min(size or THIN_PT, NAME_PT + 1)
    return int(step), size, max(map(ems, names[:: int(step)])) * size / 72 + 0.08
