"""Cuts read off the heights alone: where they leap, where the leap grows most, where they leave their usual range.

Under inversions a merge counts at the largest height in its subtree, which is where a horizontal line meets it. Infinite
heights join the parts of a forest; they are not heights of merges, and a cut never unites two parts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from shoal.cuts.flat import Cut, Subject, cut_height, number_option, tops, whole_option
from shoal.trees.merges import Floats, Merges

__all__ = ["acceleration", "largest_gap", "mojena"]


def largest_gap(tree: Subject, *, kmax: int | None = None) -> Cut:
    """Cut where two successive heights are farthest apart.

    Parameters
    ----------
    tree : Subject
    kmax : int, optional
        Most clusters; 2 … n. By default any number.

    Returns
    -------
    Cut
        One cluster (of every part) where no height differs from the next. Its score is the gap as a share of the largest
        height. Of equal gaps the highest is taken.

    Notes
    -----
    O(n log n). Weakness: under most linkages heights grow towards the root, so the last merges win; one far item makes
    the largest gap of all.

    Examples
    --------
    >>> import shoal
    >>> tree = shoal.linkage([[0.0], [1.0], [10.0], [11.5]], "single")
    >>> largest_gap(Subject(tree.merges)).nodes.tolist()
    [4, 5]
    """
    heights = _heights(tree.merges)
    return _cut_at_leap(tree.merges, heights, np.diff(heights), kmax, "largest gap")


def acceleration(tree: Subject, *, kmax: int | None = None) -> Cut:
    """Cut where the step from one height to the next grows most: at the largest second difference.

    Parameters
    ----------
    tree : Subject
    kmax : int, optional
        Most clusters; 2 … n. By default any number.

    Returns
    -------
    Cut
        Its score is the second difference as a share of the largest height.

    Notes
    -----
    O(n log n). Weakness: as of the largest gap; and a leap that follows another leap is not seen. Known as the
    "elbow" of the heights.

    Examples
    --------
    >>> import shoal
    >>> tree = shoal.linkage([[0.0], [1.0], [10.0], [11.5]], "single")
    >>> acceleration(Subject(tree.merges)).nodes.tolist()
    [4, 5]
    """
    heights = _heights(tree.merges)
    leaps = np.diff(heights)
    return _cut_at_leap(tree.merges, heights, np.diff(leaps, prepend=leaps[:1]), kmax, "acceleration")


def mojena(tree: Subject, *, c: float = 1.25) -> Cut:
    """Cut below the merges that are higher than the mean of the heights by more than c standard deviations.

    Parameters
    ----------
    tree : Subject
    c : float
        1.25 did best in Milligan & Cooper's comparison; Mojena suggested 2.75 to 3.5.

    Returns
    -------
    Cut

    Notes
    -----
    O(n). Source: Mojena 1977, doi:10.1093/comjnl/20.4.359, rule one; Milligan & Cooper 1985, doi:10.1007/BF02294245.
    Weakness: the line depends on the many low merges, so it moves with the number of items.

    Examples
    --------
    >>> import shoal
    >>> tree = shoal.linkage([[0.0], [1.0], [2.0], [3.0], [10.0], [11.0], [12.0]], "single")
    >>> len(mojena(Subject(tree.merges)).nodes)
    2
    """
    c = number_option("c", c)
    heights = _heights(tree.merges)
    line = _last(heights)
    if len(heights) > 1 and heights[0] < line:
        unit = 2.0 ** np.frexp(line)[1]  # no square overflows
        line = min(line, float((heights / unit).mean() + c * (heights / unit).std(ddof=1)) * unit)
    return Cut(cut_height(tree.merges, line), None, line, f"mojena: heights up to {line:g}, the mean + {c:g} sd")


def _heights(merges: Merges) -> Floats:
    """Finite heights in ascending order, each the largest of its subtree."""
    top = tops(merges)[merges.n:]
    return np.sort(top[np.isfinite(top)])


def _last(heights: Floats) -> float:
    return float(heights[-1]) if len(heights) else 0.0


def _cut_at_leap(merges: Merges, heights: Floats, leaps: Floats, kmax: Any, name: str) -> Cut:
    """Cut between heights[i] and heights[i + 1] for the last largest leaps[i] that leaves at most kmax clusters."""
    n = merges.n
    if kmax is not None and n > 1:
        kmax = whole_option("kmax", kmax, 2, n)
        leaps = np.where(n - 1 - np.arange(len(leaps)) <= kmax, leaps, -np.inf)
    if not len(leaps) or not leaps.max() > 0:
        return Cut(cut_height(merges, _last(heights)), None, _last(heights), f"{name}: no leap in the heights")
    at = len(leaps) - 1 - int(np.argmax(leaps[::-1]))
    low, high = float(heights[at]), float(heights[at + 1])
    middle = low + (high - low) / 2
    nodes = cut_height(merges, low)
    return Cut(nodes, float(leaps[at]) / high, middle if middle < high else low,
               f"{name}: k = {len(nodes)}, between the heights {low:g} and {high:g}")
