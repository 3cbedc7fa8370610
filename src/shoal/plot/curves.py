"""Pictures for choosing a cut and for judging one: merge heights, suggested cuts, silhouettes, persistence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.plot.palette import Inks, inks_of
from shoal.plot.sheet import NOTE_PT
from shoal.plot.text import Lettering, ems, one_line
from shoal.trees.merges import Merges

__all__ = ["barcode_plot", "height_curve", "silhouette_plot", "table_plot"]

Floats = NDArray[np.float64]

CORNERS = 4000  # of all outlines of a silhouette plot: several a pixel on any page
NUMBERED = 60  # clusters at most that are numbered
TEXT_PT, LABEL_PT, TICK_PT, ROW_PT = 8.5, 9.0, 8.0, 17.0


def height_curve(merges: Merges, *, most: int = 20, suggested: Sequence[int] = (), height_label: str = "distance",
                 ax: Any = None) -> Any:
    """Draw the heights of the last merges against the number of clusters, with their second difference.

    Parameters
    ----------
    merges : Merges
        The tree of n items.
    most : int, default 20
        The largest number of clusters drawn.
    suggested : sequence of int, optional
        Numbers of clusters to mark.
    height_label : str, default "distance"
        What heights are.
    ax : matplotlib Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib Axes
        At k, the height h(k) of the merge that makes k - 1 clusters of k. Bars are h(k) - 2 h(k + 1) + h(k + 2), where
        above 0: how much sharper the curve bends after k than a straight line, on the same axis. Infinite heights are
        left out, and it is said how many.

    Raises
    ------
    InputError
        When there is no merge, or `most` is below 2.

    Notes
    -----
    The curve shows where heights rise suddenly; it is no test of whether there are clusters at all.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from scipy.cluster.hierarchy import linkage
    >>> from shoal.plot.curves import height_curve
    >>> from shoal.trees.merges import from_scipy
    >>> ax = height_curve(from_scipy(linkage([[0.0], [1.0], [9.0], [10.0]])), suggested=[2], ax=Figure().subplots())
    >>> ax.lines[0].get_ydata().tolist()
    [8.0, 1.0, 1.0]
    """
    if merges.n < 2 or most < 2:
        raise InputError(f"A tree of {merges.n} items and most={most} give no curve.",
                         "Draw the curve of at least 2 items, with most=2 or more.")
    ax, inks = _axes(ax, 6.0, 3.6, "Drawing a curve")
    last = np.asarray(merges.height[::-1][: most + 1], np.float64)
    k = np.arange(2, len(last) + 2)
    finite = np.isfinite(last)
    shown = finite & (k <= most)
    bend = np.diff(last[finite], 2)
    ax.bar(k[finite][: len(bend)], np.maximum(bend, 0.0), width=0.6, color=inks.noise, alpha=0.55, linewidth=0,
           label="second difference", zorder=1)
    ax.plot(k[shown], last[shown], color=inks.text, marker="o", markersize=4, linewidth=1.4, label="height", zorder=3)
    top = float(last[finite].max(initial=0.0)) or 1.0
    for number in suggested:
        ax.axvline(number, color=inks.quiet, linewidth=1.2, linestyle=(0, (4, 3)), zorder=2)
        ax.annotate(f"k = {number}", (number, 1), (0, 3), xycoords=ax.get_xaxis_transform(), textcoords="offset points",
                    ha="center", va="bottom", size=TEXT_PT, color=inks.text, weight="bold", annotation_clip=False)
    ax.set(xlim=(1.4, max(int(k[shown].max(initial=2)), *suggested, 2) + 0.6), ylim=(min(0.0, float(last[finite].min())),
                                                                                  1.05 * top))
    _whole_ticks(ax)
    hidden = int((~finite).sum())
    _dress(ax, inks, "number of clusters k", height_label)
    _legend(ax, inks, "upper right")
    _note(ax, [f"{hidden} infinite height{'s are' if hidden > 1 else ' is'} not drawn."] if hidden else [])
    return ax


def silhouette_plot(values: Any, labels: Any, *, weights: Any = None, ax: Any = None) -> Any:
    """Draw the silhouette values of all items as bars, sorted within every cluster.

    Parameters
    ----------
    values : array-like of float, shape (n,)
        As `Silhouette.values`; NaN is left out, and it is said how many are.
    labels : array-like of int, shape (n,)
        Cluster numbers; -1 is noise, which has no silhouette.
    weights : array-like of float, shape (n,), optional
        Of the items, for the means.
    ax : matplotlib Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib Axes
        Clusters from top to bottom by number, with their size and mean; a dashed line at the mean of all.

    Raises
    ------
    InputError
        When there are not as many labels as values, or nothing to draw.

    Notes
    -----
    Of more than 4,000 items some bars stand for several; the picture is the same to the pixel. Source: Rousseeuw 1987,
    doi:10.1016/0377-0427(87)90125-7.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from shoal.plot.curves import silhouette_plot
    >>> ax = silhouette_plot([0.5, 0.7, 0.2], [0, 0, 1], ax=Figure().subplots())
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['0  (2, 0.60)', '1  (1, 0.20)']
    """
    from matplotlib.collections import PolyCollection

    found, numbers = np.asarray(values, np.float64), np.asarray(labels)
    if found.ndim != 1 or found.shape != numbers.shape:
        raise InputError(f"{numbers.size} labels were given for {found.size} values.", "Give one for each.")
    drawn = np.isfinite(found) & (numbers >= 0)
    if not drawn.any():
        raise InputError("There is no silhouette to draw.", "It needs two clusters at least.")
    ax, inks = _axes(ax, 6.0, 4.5, "Drawing a silhouette")
    order = np.lexsort((-found[drawn], numbers[drawn]))
    value, number = found[drawn][order], numbers[drawn][order]
    mass = np.ones(len(value)) if weights is None else np.asarray(weights, np.float64)[drawn][order]
    present, starts, sizes = np.unique(number, return_index=True, return_counts=True)
    gap = 0.01 * len(value) if len(present) <= NUMBERED else 0.0
    step = max(1, len(value) // CORNERS)
    bars, middles, names = [], [], []
    for place, (start, size) in enumerate(zip(starts.tolist(), sizes.tolist(), strict=True)):
        some, foot = value[start : start + size], start + place * gap
        average = np.average(some, weights=mass[start : start + size])
        at = np.append(np.arange(0, size, step), size)  # bars of `step` items, as high as their first
        x = np.concatenate([[0.0], np.repeat(some[at[:-1]], 2), [0.0]])
        y = np.concatenate([[foot], foot + np.repeat(at, 2)[1:-1], [foot + size]])
        bars.append(np.column_stack([x, y]))
        middles.append(foot + size / 2)
        names.append(f"{present[place]}  ({size:,}, {average:.2f})")
    ink = [inks.color(int(c)) for c in present]
    ax.add_collection(PolyCollection(bars, facecolors=ink, edgecolors=ink, linewidths=0.2), autolim=False)
    mean = float(np.average(value, weights=mass))
    ax.axvline(mean, color=inks.text, linewidth=1.0, linestyle=(0, (4, 3)))
    ax.axvline(0, color=inks.quiet, linewidth=0.6)
    ax.annotate(f"mean {mean:.2f}", (mean, 1), (0, 3), xycoords=ax.get_xaxis_transform(), textcoords="offset points",
                ha="center", va="bottom", size=TEXT_PT, color=inks.text, annotation_clip=False)
    high = len(value) + gap * (len(present) - 1)
    ax.set(xlim=(min(0.0, float(value.min()) - 0.02), max(0.05, float(value.max()) * 1.02)), ylim=(high + gap, -gap))
    kept = _apart(middles, ax, high) if len(present) <= NUMBERED else []
    _dress(ax, inks, "silhouette", "cluster (items, mean)")
    ax.set_yticks([middles[p] for p in kept], labels=[names[p] for p in kept], size=TICK_PT, color=inks.text)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    left_out = len(found) - len(value)
    notes = [f"{left_out:,} items without a silhouette are left out."] if left_out else []
    if len(kept) < len(present):
        notes.append(f"{len(present) - len(kept):,} of {len(present):,} clusters are not named.")
    _note(ax, notes)
    return ax


def barcode_plot(birth: Any, death: Any, *, clusters: Any = None, most: int = 60, height_label: str = "distance",
                 ax: Any = None) -> Any:
    """Draw branches as bars from where they begin to where they end in an older one, the longest on top.

    Parameters
    ----------
    birth, death : array-like of float, shape (b,)
        Heights, as `shoal.cuts.stable.Barcode` has them; a bar that never ends has an infinite death.
    clusters : array-like of int, shape (b,), optional
        The cluster each bar stands for, -1 for none: bars get these colours and numbers.
    most : int, default 60
        Bars drawn at most; the picture says of how many.
    height_label : str, default "distance"
        What heights are.
    ax : matplotlib Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib Axes
        Bars without an end reach the right border and have an arrow there.

    Raises
    ------
    InputError
        When sizes do not agree, or there is no bar.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from shoal.plot.curves import barcode_plot
    >>> ax = barcode_plot([0.0, 0.0, 1.0], [2.0, float("inf"), 1.5], most=2, ax=Figure().subplots())
    >>> ax.get_xlabel().splitlines()
    ['distance', '2 of 3 bars are drawn, the longest.']
    """
    from matplotlib.collections import LineCollection

    start, end = np.asarray(birth, np.float64), np.asarray(death, np.float64)
    number = np.full(len(start), -1) if clusters is None else np.asarray(clusters)
    if start.ndim != 1 or start.shape != end.shape or number.shape != start.shape or not len(start):
        raise InputError(f"{start.size} births, {end.size} deaths and {number.size} clusters were given.",
                         "Give as many of each, at least one.")
    ax, inks = _axes(ax, 6.0, 1.4 + 0.11 * min(most, len(start)), "Drawing a barcode")
    order = np.lexsort((start, start - end))[:most]
    start, end, number = start[order], end[order], number[order]
    ends = np.concatenate([start, end])
    low, high = float(ends[np.isfinite(ends)].min(initial=0.0)), float(ends[np.isfinite(ends)].max(initial=0.0))
    right = high + 0.08 * ((high - low) or 1.0)
    y, stop = np.arange(len(order)), np.minimum(end, right)
    bars = np.stack([np.column_stack([start, y]), np.column_stack([stop, y])], axis=1)
    ink = [inks.above if clusters is None else inks.color(int(c)) for c in number]
    thick = float(np.clip(180 / len(order), 1.2, 6.0))
    ax.add_collection(LineCollection(list(bars), colors=ink, linewidths=thick, capstyle="butt"), autolim=False)
    endless = np.isinf(end)
    ax.scatter(stop[endless], y[endless], marker=">", s=thick**2 * 3, c=[ink[p] for p in np.flatnonzero(endless)],
               clip_on=False, linewidths=0, zorder=3)
    for place in np.flatnonzero(number >= 0).tolist():
        ax.annotate(str(number[place]), (start[place], place), (-3, 0), textcoords="offset points", ha="right",
                    va="center", size=7.5, weight="bold", color=ink[place], annotation_clip=False)
    ax.set(xlim=(low, right), ylim=(len(order) - 0.5, -0.5), yticks=[])
    _dress(ax, inks, height_label, "")
    ax.spines["left"].set_visible(False)
    total = np.size(birth)
    _note(ax, [f"{most:,} of {total:,} bars are drawn, the longest."] if most < total else [])
    return ax


def table_plot(header: Sequence[Any], rows: Sequence[Sequence[Any]], *, best: int | None = None, text: str = "",
               ax: Any = None) -> Any:
    """Draw a small table, with its best row marked.

    Parameters
    ----------
    header : sequence of c
        Names of the columns.
    rows : sequence of sequences of c
        Texts; numbers are written with 4 digits.
    best : int, optional
        The row to mark.
    text : str, optional
        What is to be said of the table, below it.
    ax : matplotlib Axes, optional
        Where to draw; default: a new figure of the table's size.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        When a row has another number of columns, or `best` is no row.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from shoal.plot.curves import table_plot
    >>> ax = table_plot(["k", "gap"], [[2, 0.5], [3, 0.12345]], best=0, ax=Figure().subplots())
    >>> [cell.get_text() for cell in ax.texts]
    ['k', 'gap', '2', '0.5', '3', '0.1235']
    """
    cells = [[_cell(value) for value in row] for row in (header, *rows)]
    if any(len(row) != len(cells[0]) for row in cells) or (best is not None and not 0 <= best < len(rows)):
        raise InputError(f"A table of {len(cells[0])} columns and {len(rows)} rows has other rows, or no row {best}.",
                         "Give every row as many values as the header, and best= the position of a row.")
    wide = [max(ems(row[c]) for row in cells) * TEXT_PT + 14 for c in range(len(cells[0]))]
    lines = [line for line in _wrapped(text, sum(wide)) if line]
    high = ROW_PT * (len(cells) + 0.4) + 1.4 * NOTE_PT * len(lines)
    ax, inks = _axes(ax, sum(wide) / 72 + 0.2, high / 72 + 0.2, "Drawing a table")
    ax.set_axis_off()
    ax.set(xlim=(0, sum(wide)), ylim=(high, 0))
    right = np.cumsum(wide)
    letters = Lettering(text for row in cells for text in row)
    for r, row in enumerate(cells):
        marked = best is not None and r == best + 1
        if marked:
            ax.axhspan(r * ROW_PT, (r + 1) * ROW_PT, color=inks.quiet, alpha=0.25, linewidth=0)
        for edge, cell in zip(right.tolist(), row, strict=True):
            ax.text(edge - 7, (r + 0.5) * ROW_PT, letters.fit(cell), ha="right", va="center", size=TEXT_PT,
                    color=inks.quiet if r == 0 else inks.text, weight="bold" if marked else "normal", **letters.style)
    ax.axhline(ROW_PT, color=inks.quiet, linewidth=0.8)
    if lines:
        ax.text(4, ROW_PT * (len(cells) + 0.3), "\n".join(lines), va="top", size=NOTE_PT, color=inks.quiet)
    return ax


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (float, np.floating)) else one_line(value)


def _wrapped(text: str, points: float) -> list[str]:
    import textwrap

    return textwrap.wrap(text, max(20, int(points / (0.55 * NOTE_PT))))


def _axes(ax: Any, width: float, height: float, purpose: str) -> tuple[Any, Inks]:
    """Return the axes to draw on, new ones where none are given, and their inks."""
    from shoal.plot.figures import new_axes, require_matplotlib

    require_matplotlib(purpose)
    ax = new_axes(width, height) if ax is None else ax
    return ax, inks_of(ax)


def _dress(ax: Any, inks: Inks, x: str, y: str) -> None:
    """Name the axes, and take away what says nothing."""
    letters = Lettering([x, y])
    for axis, name in ((ax.xaxis, x), (ax.yaxis, y)):
        axis.set_label_text(letters.fit(name), size=LABEL_PT, color=inks.text, **letters.style)
        axis.set_tick_params(labelsize=TICK_PT, color=inks.quiet, labelcolor=inks.text)
    ax.grid(visible=False)
    for name, side in ax.spines.items():
        side.set(visible=name in ("left", "bottom"), color=inks.quiet)


def _legend(ax: Any, inks: Inks, place: str) -> None:
    ax.legend(loc=place, frameon=False, fontsize=TICK_PT, labelcolor=inks.text)


def _note(ax: Any, sentences: list[str]) -> None:
    """Write what the picture leaves out below the name of its x axis."""
    if sentences:
        ax.set_xlabel("\n".join([ax.get_xlabel(), " ".join(sentences)]))


def _whole_ticks(ax: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12))


def _apart(middles: list[float], ax: Any, high: float) -> list[int]:
    """Return the places whose names do not touch the name before."""
    point = high / (ax.get_window_extent().height * 72 / ax.figure.dpi)
    kept: list[int] = []
    for place, middle in enumerate(middles):
        if not kept or middle - middles[kept[-1]] > 1.25 * TICK_PT * point:
            kept.append(place)
    return kept
