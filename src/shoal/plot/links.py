"""Links given as lists of four points, drawn as one collection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["draw_links"]

CONTRACTED = 20.0  # area of the mark of a hidden merge, in points squared


def draw_links(icoord: Sequence[Sequence[float]], dcoord: Sequence[Sequence[float]], colors: Sequence[str],
               names: Sequence[str] | None, marks: Sequence[tuple[float, float]], height: float, *, orientation: str,
               font_size: float | None, rotation: float | None, ax: Any) -> None:
    """Draw links on axes, pyplot's current ones by default.

    Parameters
    ----------
    icoord, dcoord : sequence of four numbers each
        Along the leaves, and up the heights.
    colors : sequence of str
    names : sequence of str or None
        Of the leaves, which stand at 5, 15, 25, …
    marks : sequence of pairs
        Where to mark merges that are not drawn.
    height : float
        Of the tree.
    orientation : {"top", "bottom", "left", "right"}
        Where the root is.
    font_size, rotation : float or None
    ax : matplotlib Axes or None
    """
    from matplotlib.collections import LineCollection

    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.gca()
    across, leaves = orientation in ("left", "right"), len(icoord) + 1
    paths: Any = np.stack([np.array(icoord), np.array(dcoord)], axis=2) if len(icoord) else np.empty((0, 4, 2))
    ax.add_collection(LineCollection(paths[:, :, ::-1] if across else paths, colors=list(colors)))
    if len(marks):
        along, up = np.array(marks).T
        ax.scatter(up if across else along, along if across else up, s=CONTRACTED, facecolors="none", edgecolors="0.4",
                   linewidths=0.5)
    limits = (0.0, 1.05 * height if height > 0 else 1.0)
    leaf_axis = ax.yaxis if across else ax.xaxis
    (ax.set_ylim if across else ax.set_xlim)(0.0, 10.0 * leaves)
    (ax.set_xlim if across else ax.set_ylim)(*(limits if orientation in ("top", "right") else limits[::-1]))
    leaf_axis.set_ticks([] if names is None else list(5.0 + 10.0 * np.arange(leaves)))
    leaf_axis.set_ticks_position({"top": "bottom", "bottom": "top", "left": "right", "right": "left"}[orientation])
    leaf_axis.set_tick_params(length=0)
    if names is not None:
        usual = 0.0 if across or leaves <= 20 else 90.0
        shown = leaf_axis.set_ticklabels(list(names), rotation=usual if rotation is None else rotation)
        for text in shown:
            text.set_fontsize(_size(leaves) if font_size is None else font_size)


def _size(leaves: int) -> float:
    """Font size for so many leaves side by side."""
    return next(size for most, size in ((20, 12), (30, 10), (50, 8), (85, 6), (np.inf, 5)) if leaves <= most)
