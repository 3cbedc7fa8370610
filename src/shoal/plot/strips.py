"""Strips of colour along the sides of a matrix, and the legends that say what their colours are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.plot.palette import Inks, readable_on
from shoal.plot.text import Lettering, ems, one_line

__all__ = ["Legend", "Strip", "draw_legends", "draw_strips", "strip_of"]

Floats = NDArray[np.float64]

LISTED = 8  # categories of a strip in its legend at most
NUMBERS = "cividis"  # colours of numbers: ordered by lightness, alike for all kinds of colour vision
TEXT_PT, LINE_PT, SQUARE_PT = 7.0, 10.0, 7.0


@dataclass(frozen=True, eq=False)
class Legend:
    """What the colours of a strip are: entries of a text and either a cluster number or a shade from 0 to 1."""

    title: str
    entries: list[tuple[str, int | float]]


@dataclass(frozen=True, eq=False)
class Strip:
    """Colours along a side.

    Attributes
    ----------
    name : str
    ink : ndarray
        In the order drawn: cluster numbers as integers, or shades from 0 to 1, NaN for no value.
    runs : bool
        Whether runs of equal numbers get their number written on them.
    legend : Legend or None
    """

    name: str
    ink: NDArray[Any]
    runs: bool
    legend: Legend | None

    @classmethod
    def of_clusters(cls, labels: NDArray[Any]) -> Strip:
        """Make the strip of cluster numbers."""
        return cls("cluster", labels, True, None)

    def rgba(self, inks: Inks) -> Floats:
        """Return the colours, shape (n, 4)."""
        from matplotlib import colormaps
        from matplotlib.colors import to_rgba_array

        if self.ink.dtype.kind == "f":
            return np.asarray(colormaps[NUMBERS].with_extremes(bad=inks.noise)(np.ma.masked_invalid(self.ink)))
        present, place = np.unique(self.ink, return_inverse=True)
        return np.asarray(to_rgba_array([inks.color(number) for number in present.tolist()])[place])


def strip_of(name: str, values: Any, taken: int) -> tuple[Strip, int]:
    """Make a strip of values in the order drawn, numbers or categories.

    Parameters
    ----------
    name : str
    values : sequence
        Numbers are shaded from the smallest to the largest; anything else, and truth values, are categories.
    taken : int
        Colours in use already: a category has none of a cluster's.

    Returns
    -------
    strip : Strip
    taken : int
        Colours in use now.
    """
    column = np.asarray(values)
    if column.dtype.kind in "iuf":
        numbers = column.astype(np.float64)
        known = numbers[np.isfinite(numbers)]
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
        shade = np.where(np.isfinite(numbers), (numbers - low) / ((high - low) or 1.0), np.nan)
        ends = [(f"{low:.4g}", 0.0)] + ([(f"{(low + high) / 2:.4g}", 0.5), (f"{high:.4g}", 1.0)] if high > low else [])
        return Strip(name, shade, False, Legend(name, [*ends])), taken
    texts = ["" if value is None else one_line(value) for value in column.tolist()]
    kinds = sorted(set(texts) - {""})
    number = {kind: taken + place for place, kind in enumerate(kinds)} | {"": -1}
    entries: list[tuple[str, int | float]] = [(kind, number[kind]) for kind in kinds[:LISTED]]
    if len(kinds) > LISTED:
        entries.append((f"… and {len(kinds) - LISTED} more", -2))
    return Strip(name, np.array([number[text] for text in texts]), False, Legend(name, entries)), taken + len(kinds)


def draw_strips(axes: list[Any], strips: list[Strip], axis: int, count: int, inks: Inks) -> None:
    """Draw the strips of the rows (axis 0) or the columns (axis 1), their names at the end."""
    letters = Lettering(strip.name for strip in strips)
    for ax, strip in zip(axes, strips, strict=True):
        colors = strip.rgba(inks)
        across = (-0.5, 0.5)
        if axis == 0:
            ax.imshow(colors[:, None], aspect="auto", extent=(*across, count - 0.5, -0.5), interpolation="nearest")
            ax.set_xticks([0], labels=[letters.fit(strip.name)], rotation=90, size=TEXT_PT, color=inks.text, **letters.style)
            ax.set(yticks=[], xlim=across, ylim=(count - 0.5, -0.5))
        else:
            ax.imshow(colors[None], aspect="auto", extent=(-0.5, count - 0.5, *across), interpolation="nearest")
            ax.set_yticks([0], labels=[letters.fit(strip.name)], size=TEXT_PT, color=inks.text, **letters.style)
            ax.set(xticks=[], ylim=across, xlim=(-0.5, count - 0.5))
            ax.yaxis.set_ticks_position("right")
        ax.tick_params(length=0, pad=2)
        for side in ax.spines.values():
            side.set_visible(False)
        if strip.runs:
            _number_runs(ax, strip.ink, axis, inks)


def _number_runs(ax: Any, labels: NDArray[Any], axis: int, inks: Inks) -> None:
    """Write cluster numbers on the runs of a strip that have room for them."""
    edges = np.concatenate([[0], np.flatnonzero(labels[1:] != labels[:-1]) + 1, [len(labels)]])
    extent = ax.get_window_extent()
    points = (extent.height if axis == 0 else extent.width) * 72 / ax.figure.dpi / len(labels)
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        number, middle = int(labels[start]), (start + stop - 1) / 2
        wide = 1.2 if axis == 0 else ems(str(number)) + 0.2
        if number >= 0 and (stop - start) * points > wide * TEXT_PT:
            ax.text(*((0, middle) if axis == 0 else (middle, 0)), str(number), size=TEXT_PT - 0.5, ha="center",
                    va="center_baseline", color=readable_on(inks.color(number)), weight="bold", clip_on=True)


def draw_legends(ax: Any, legends: list[Legend], inks: Inks) -> list[str]:
    """List what the colours of the strips are, from the top down, and say which found no room."""
    from matplotlib import colormaps

    ax.set_axis_off()
    box = ax.get_window_extent()
    wide, high = box.width * 72 / ax.figure.dpi, box.height * 72 / ax.figure.dpi
    ax.set(xlim=(0, wide), ylim=(high, 0))
    letters = Lettering(text for legend in legends for text in (legend.title, *(entry for entry, _ in legend.entries)))
    y, squares, shades, missing = 0.0, [], [], []
    for legend in legends:
        if y + LINE_PT * (len(legend.entries) + 1) > high:
            missing.append(legend.title)
            continue
        ax.text(0, y + LINE_PT / 2, letters.fit(legend.title), size=TEXT_PT + 0.5, color=inks.text, va="center",
                **letters.style)
        for text, ink in legend.entries:
            y += LINE_PT
            if not (isinstance(ink, int) and ink < -1):
                squares.append((SQUARE_PT / 2, y + LINE_PT / 2))
                shades.append(colormaps[NUMBERS](ink) if isinstance(ink, float) else inks.color(ink))
            ax.text(SQUARE_PT + 3, y + LINE_PT / 2, letters.fit(text), size=TEXT_PT, color=inks.text, va="center",
                    **letters.style)
        y += 1.6 * LINE_PT
    if squares:
        ax.scatter(*np.array(squares).T, s=SQUARE_PT**2, marker="s", c=shades, linewidths=0)
    return [f"No room for the legend of {', '.join(missing)}."] if missing else []
