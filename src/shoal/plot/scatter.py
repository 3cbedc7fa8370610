"""Clustered items as points: two features as they are, more by their two principal components, one as a strip."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.plot.palette import Inks, inks_of
from shoal.plot.plane import components, sparse_components
from shoal.plot.room import Place, Room, frame, on_page, write
from shoal.plot.text import MISSING, Lettering, one_line

__all__ = ["hull", "scatter"]

Floats = NDArray[np.float64]

RASTER_FROM = 20_000  # points; a vector file of more is slow to open
NAMED = 60  # items at most whose names are written unasked
LISTED = 20  # clusters at most in the legend
DOT_PT = 2.5  # around a point's middle, where no name may be
GOLDEN = 0.6180339887498949  # multiples of it, modulo 1, spread evenly however many there are


def scatter(
    X: Any, labels: Any, *, ids: Any = None, columns: Any = None, hulls: bool = False, ax: Any = None,
    annotate: bool | None = None,
) -> Any:
    """Draw items as points in the colours of their clusters.

    Parameters
    ----------
    X : ndarray or scipy sparse array, shape (n, d)
        The items' features, without NaN. Two are drawn as they are, one as a strip, more as the first two principal
        components (centred, not scaled); a sparse X is not made dense. For a matrix of distances give the two coordinates
        that `shoal.plot.plane.mds` makes of it.
    labels : array-like of int, shape (n,)
        Cluster numbers; -1 is noise.
    ids : sequence of n, optional
        The items' names; default: their numbers.
    columns : sequence of d str, optional
        The features' names.
    hulls : bool, default False
        Lay the convex hull of every cluster behind its points.
    ax : matplotlib Axes, optional
        Where to draw; default: a new figure.
    annotate : bool, optional
        Write the items' names; default: for up to 60 items when `ids` are given.

    Returns
    -------
    matplotlib Axes
        The picture.

    Raises
    ------
    InputError
        When the sizes do not agree.
    MissingExtraError
        When matplotlib is not installed.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from shoal.plot.scatter import scatter
    >>> ax = scatter([[0, 0], [1, 0], [9, 9]], [0, 0, 1], columns=["wide", "tall"], ax=Figure().subplots())
    >>> ax.get_xlabel()
    'wide'
    """
    from shoal.plot.figures import new_axes, require_matplotlib

    require_matplotlib("Drawing a scatter plot")
    sparse = "scipy.sparse" in sys.modules and sys.modules["scipy.sparse"].issparse(X)
    points = X.tocsr() if sparse else np.asarray(X, np.float64)
    numbers = np.asarray(labels)
    _check(points, numbers, ids, columns)
    flat, axis_names = _plane(points, columns, sparse)
    new = ax is None
    if new:
        ax = new_axes(7.0, 5.0 if points.shape[1] > 1 else 3.0)
    inks = inks_of(ax)
    if hulls:
        _draw_hulls(ax, flat, numbers, inks)
    handles = _draw_points(ax, flat, numbers, inks)
    _draw_legend(ax, handles, inks)
    _dress(ax, axis_names, inks, strip=points.shape[1] == 1)
    if new:
        ax.figure.draw_without_rendering()  # the layout, where names find room, is known only then
    if annotate or (annotate is None and ids is not None and len(numbers) <= NAMED):
        _write_names(ax, flat, [one_line(name) for name in (range(len(numbers)) if ids is None else ids)])
    return ax


def _check(points: Any, numbers: NDArray[Any], ids: Any, columns: Any) -> None:
    """Raise InputError where sizes do not agree."""
    if points.ndim != 2 or 0 in points.shape:
        raise InputError(f"A scatter plot needs items in rows and features in columns; given was shape {points.shape}.")
    n, d = points.shape
    if numbers.shape != (n,):
        raise InputError(f"{numbers.size} labels were given for {n} items.", "Give one an item, in the items' order.")
    for name, given, wanted in (("ids", ids, n), ("columns", columns, d)):
        if given is not None and len(given) != wanted:
            raise InputError(f"{len(given)} {name} were given; X has shape {n} × {d}.", f"Give {wanted}.")


def _plane(points: Any, columns: Any, sparse: bool) -> tuple[Floats, list[str]]:
    """Return two coordinates for every item, and the names of the axes."""
    n, d = points.shape
    names = [one_line(name) for name in columns] if columns is not None else [f"feature {j}" for j in range(d)]
    if d > 2:
        scores, shares = sparse_components(points) if sparse else components(points)
        return scores, [f"PC {j + 1} ({share:.0%} of variance)".replace("%", " %", 1) for j, share in enumerate(shares)]
    dense = np.asarray(points.toarray() if sparse else points, np.float64)
    if d == 2:
        return dense, names
    spread = (np.arange(n) * GOLDEN) % 1.0
    return np.column_stack([dense[:, 0], spread]), [names[0], ""]


def _draw_points(ax: Any, flat: Floats, numbers: NDArray[Any], inks: Inks) -> list[Any]:
    """Draw noise as grey crosses and all clusters as one artist; return the legend's entries."""
    from matplotlib.lines import Line2D

    size = float(np.clip(3000 / len(numbers), 3, 36))
    raster = len(numbers) > RASTER_FROM
    present, sizes = np.unique(numbers, return_counts=True)
    noise = numbers < 0
    if noise.any():
        ax.scatter(*flat[noise].T, s=0.6 * size, c=inks.noise, marker="x", linewidths=0.8, rasterized=raster, zorder=1)
    palette = np.array([inks.color(number) for number in present.tolist()])
    own = palette[np.searchsorted(present, numbers[~noise])]
    ax.scatter(*flat[~noise].T, s=size, c=own, linewidths=0.3, edgecolors=inks.paper if size > 8 else "none",
               rasterized=raster, zorder=2)
    return [
        Line2D([], [], linestyle="none", marker="x" if number < 0 else "o", markersize=5, color=inks.color(number),
               label=f"{'noise' if number < 0 else number}  ({count:,})")
        for number, count in sorted(zip(present.tolist(), sizes.tolist(), strict=True), key=lambda pair: pair[0] < 0)
    ]


def _draw_hulls(ax: Any, flat: Floats, numbers: NDArray[Any], inks: Inks) -> None:
    """Draw all hulls as one artist; a hull of two points, or of points in line, is a line."""
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgba_array

    order = np.argsort(numbers, kind="stable")
    present, starts = np.unique(numbers[order], return_index=True)
    groups = np.split(flat[order], starts[1:])
    shown = [(number, hull(group)) for number, group in zip(present.tolist(), groups, strict=True) if number >= 0]
    ink = to_rgba_array([inks.color(number) for number, _ in shown]).reshape(-1, 4)
    ax.add_collection(PolyCollection(
        [corners for _, corners in shown], facecolors=ink * [1, 1, 1, 0.13], edgecolors=ink * [1, 1, 1, 0.5],
        linewidths=1.0, joinstyle="round", zorder=0.5,
    ), autolim=False)


def hull(points: Floats) -> Floats:
    """Return the corners of the convex hull of points in the plane, counter-clockwise; shape (h, 2).

    Parameters
    ----------
    points : ndarray, shape (m, 2)
        At least one.

    Returns
    -------
    ndarray
        Two corners where all points lie on a line, one where all are the same.

    Notes
    -----
    Points well inside go first, then O(h log h) (Andrew 1979, doi:10.1016/0020-0190(79)90072-3).

    Examples
    --------
    >>> import numpy as np
    >>> from shoal.plot.scatter import hull
    >>> hull(np.array([[0.0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0.5]])).tolist()
    [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
    """
    left = np.unique(points[_outside(points)], axis=0)
    if len(left) < 3:
        return left
    corners: list[list[float]] = []
    for run in (left.tolist(), left[::-1].tolist()):
        start = len(corners)
        for x, y in run:
            while len(corners) > start + 1:
                (ax, ay), (bx, by) = corners[-2:]
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                    break
                corners.pop()
            corners.append([x, y])
        corners.pop()  # the other run begins with it
    return np.array(corners)


def _outside(points: Floats) -> NDArray[np.bool_]:
    """Return which points are not strictly inside the polygon of those farthest in eight directions."""
    angle = np.arange(8) * np.pi / 4
    far = points[np.argmax(points @ np.array([np.cos(angle), np.sin(angle)]), axis=0)]
    inside = np.ones(len(points), bool)
    for (ax, ay), (bx, by) in zip(far, np.roll(far, -1, axis=0), strict=True):
        if ax != bx or ay != by:
            inside &= (bx - ax) * (points[:, 1] - ay) - (by - ay) * (points[:, 0] - ax) > 0
    return ~inside if len(np.unique(far, axis=0)) > 2 else np.ones(len(points), bool)


def _draw_legend(ax: Any, handles: list[Any], inks: Inks) -> None:
    """List the clusters beside the axes, the first twenty of many, and the noise."""
    from matplotlib.lines import Line2D

    clusters = [handle for handle in handles if handle.get_marker() == "o"]
    if len(clusters) > LISTED + 1:
        more = Line2D([], [], linestyle="none", label=f"… and {len(clusters) - LISTED} more")
        handles = [*clusters[:LISTED], more, *handles[len(clusters):]]
    ax.legend(handles=handles, title="cluster (items)", loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False,
              fontsize=8, title_fontsize=8, handletextpad=0.2, alignment="left", labelcolor=inks.text)
    ax.get_legend().get_title().set_color(inks.text)


def _dress(ax: Any, names: list[str], inks: Inks, strip: bool) -> None:
    """Name the axes and take away what says nothing."""
    letters = Lettering(names)
    for axis, name in zip((ax.xaxis, ax.yaxis), names, strict=True):
        axis.set_label_text(letters.fit(name), size=9, color=inks.text, **letters.style)
        axis.set_tick_params(labelsize=8, color=inks.quiet, labelcolor=inks.text)
    ax.grid(visible=False)
    for name, side in ax.spines.items():
        side.set(visible=name in ("left", "bottom"), color=inks.quiet)
    if strip:
        ax.set(yticks=[], ylim=(-0.15, 1.15))
        ax.spines["left"].set_visible(False)


def _write_names(ax: Any, flat: Floats, names: list[str]) -> None:
    """Write every item's name beside its point, and say how many found no room."""
    letters, inks = Lettering(names), inks_of(ax)
    page = on_page(ax, flat)
    room = Room(np.concatenate([page - DOT_PT, page + DOT_PT], axis=1), frame(ax))
    sides = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)]
    left_out = 0
    for name, (x, y) in zip(names, page.tolist(), strict=True):
        places = [Place(x + DOT_PT * right, y + DOT_PT * up, right, up) for right, up in sides]
        left_out += not write(ax, room, letters.fit(name), places, size=6.5, color=inks.text, **letters.style)
    notes = [f"{left_out} of {len(names)} names found no room."] if left_out else []
    if not letters.complete:
        notes.append(f"Characters that no installed font has are shown as {MISSING}.")
    ax.set_title(" ".join(notes), loc="right", size=7.5, color=inks.quiet)
