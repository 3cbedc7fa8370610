"""Clustered items as points: two features as they are, more by their two principal components, one as a strip."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.plot.palette import INK, NOISE, QUIET, color
from shoal.plot.room import Place, Room, frame, on_page, write
from shoal.plot.text import MISSING, Lettering, one_line

__all__ = ["scatter"]

Floats = NDArray[np.float64]

RASTER_FROM = 20_000  # points; a vector file of more is slow to open
NAMED = 60  # items at most whose names are written unasked
LISTED = 20  # clusters at most in the legend
DOT_PT = 2.5  # around a point's middle, where no name may be
GOLDEN = 0.6180339887498949  # multiples of it, modulo 1, spread evenly however many there are


def scatter(
    X: Any, labels: Any, *, ids: Any = None, columns: Any = None, ax: Any = None, annotate: bool | None = None,
) -> Any:
    """Draw items as points in the colours of their clusters.

    Parameters
    ----------
    X : ndarray or scipy sparse array, shape (n, d)
        The items' features, without NaN. Two are drawn as they are, one as a strip, more as the first two principal
        components (centred, not scaled); a sparse X is not made dense.
    labels : array-like of int, shape (n,)
        Cluster numbers; -1 is noise.
    ids : sequence of n, optional
        The items' names; default: their numbers.
    columns : sequence of d str, optional
        The features' names.
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
    handles = _draw_points(ax, flat, numbers)
    _draw_legend(ax, handles)
    _dress(ax, axis_names, strip=points.shape[1] == 1)
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
        scores, shares = _sparse_components(points) if sparse else _components(points)
        return scores, [f"PC {j + 1} ({share:.0%} of variance)".replace("%", " %", 1) for j, share in enumerate(shares)]
    dense = np.asarray(points.toarray() if sparse else points, np.float64)
    if d == 2:
        return dense, names
    spread = (np.arange(n) * GOLDEN) % 1.0
    return np.column_stack([dense[:, 0], spread]), [names[0], ""]


def _components(points: Floats) -> tuple[Floats, Floats]:
    """Return the scores on the first two principal components, and the shares of the variance they have."""
    centred = points - points.mean(axis=0)
    # The triangle of a QR step has the same right vectors and is small where there are many items.
    values, rows = np.linalg.svd(np.linalg.qr(centred, mode="r"), full_matrices=False)[1:]
    variances = np.square(values, dtype=np.float64)
    return _signed(centred @ rows[:2].T, rows[:2].T), _shares(variances, float(variances.sum()))


def _sparse_components(points: Any) -> tuple[Floats, Floats]:
    """Return the same for sparse rows, centred without storing it."""
    from scipy.sparse.linalg import LinearOperator, svds

    n, d = points.shape
    if min(n, d) <= 3:  # svds finds fewer than min(n, d) vectors; so few rows or columns are small when dense
        return _components(np.asarray(points.toarray(), np.float64))
    mean = np.asarray(points.mean(axis=0), np.float64).ravel()
    square = float(points.multiply(points).sum())
    total = square - n * float(mean @ mean)
    if total <= 1e-12 * square:  # all rows alike: nothing but rounding is left, on which the iteration would fail
        return np.zeros((n, 2)), np.zeros(2)
    centred = LinearOperator(
        (n, d), dtype=np.float64, matvec=lambda v: points @ v.ravel() - mean @ v.ravel(),
        rmatvec=lambda u: points.T @ u.ravel() - mean * u.sum(),
    )
    start = np.random.default_rng(0).normal(size=min(n, d))
    _, values, rows = svds(centred, k=2, v0=start)
    falling = np.argsort(-values)
    axes = rows[falling].T
    return _signed(points @ axes - mean @ axes, axes), _shares(np.square(values[falling], dtype=np.float64), total)


def _signed(scores: Floats, axes: Floats) -> Floats:
    """Turn every axis so that its largest loading is positive; fill up to two axes."""
    largest = axes[np.argmax(np.abs(axes), axis=0), np.arange(axes.shape[1])]
    signed = scores * np.where(largest < 0, -1.0, 1.0)
    return np.pad(signed, ((0, 0), (0, 2 - signed.shape[1])))


def _shares(values: Floats, total: float) -> Floats:
    """Return the first two values as shares of the total; 0 where there is no variance at all."""
    first = np.pad(values[:2], (0, max(0, 2 - len(values))))
    return first / total if total > 0 else np.zeros(2)


def _draw_points(ax: Any, flat: Floats, numbers: NDArray[Any]) -> list[Any]:
    """Draw noise as grey crosses and all clusters as one artist; return the legend's entries."""
    from matplotlib.lines import Line2D

    size = float(np.clip(3000 / len(numbers), 3, 36))
    raster = len(numbers) > RASTER_FROM
    present, sizes = np.unique(numbers, return_counts=True)
    noise = numbers < 0
    if noise.any():
        ax.scatter(*flat[noise].T, s=0.6 * size, c=NOISE, marker="x", linewidths=0.8, rasterized=raster, zorder=1)
    inks = np.array([color(number) for number in present.tolist()])
    own = inks[np.searchsorted(present, numbers[~noise])]
    ax.scatter(*flat[~noise].T, s=size, c=own, linewidths=0.3, edgecolors="white" if size > 8 else "none",
               rasterized=raster, zorder=2)
    return [
        Line2D([], [], linestyle="none", marker="x" if number < 0 else "o", markersize=5, color=color(number),
               label=f"{'noise' if number < 0 else number}  ({count:,})")
        for number, count in sorted(zip(present.tolist(), sizes.tolist(), strict=True), key=lambda pair: pair[0] < 0)
    ]


def _draw_legend(ax: Any, handles: list[Any]) -> None:
    """List the clusters beside the axes, the first twenty of many, and the noise."""
    from matplotlib.lines import Line2D

    clusters = [handle for handle in handles if handle.get_marker() == "o"]
    if len(clusters) > LISTED + 1:
        more = Line2D([], [], linestyle="none", label=f"… and {len(clusters) - LISTED} more")
        handles = [*clusters[:LISTED], more, *handles[len(clusters):]]
    ax.legend(handles=handles, title="cluster (items)", loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False,
              fontsize=8, title_fontsize=8, handletextpad=0.2, alignment="left")


def _dress(ax: Any, names: list[str], strip: bool) -> None:
    """Name the axes and take away what says nothing."""
    letters = Lettering(names)
    for axis, name in zip((ax.xaxis, ax.yaxis), names, strict=True):
        axis.set_label_text(letters.fit(name), size=9, color=INK, **letters.style)
        axis.set_tick_params(labelsize=8, color=QUIET, labelcolor=INK)
    ax.grid(visible=False)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    if strip:
        ax.set(yticks=[], ylim=(-0.15, 1.15))
        ax.spines["left"].set_visible(False)


def _write_names(ax: Any, flat: Floats, names: list[str]) -> None:
    """Write every item's name beside its point, and say how many found no room."""
    letters = Lettering(names)
    page = on_page(ax, flat)
    room = Room(np.concatenate([page - DOT_PT, page + DOT_PT], axis=1), frame(ax))
    sides = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)]
    left_out = 0
    for name, (x, y) in zip(names, page.tolist(), strict=True):
        places = [Place(x + DOT_PT * right, y + DOT_PT * up, right, up) for right, up in sides]
        left_out += not write(ax, room, letters.fit(name), places, size=6.5, color=INK, **letters.style)
    notes = [f"{left_out} of {len(names)} names found no room."] if left_out else []
    if not letters.complete:
        notes.append(f"Characters that no installed font has are shown as {MISSING}.")
    ax.set_title(" ".join(notes), loc="right", size=7.5, color=QUIET)
