"""The dip: how far a sample on a line is from having one mode.

Source: Hartigan & Hartigan 1985, doi:10.1214/aos/1176346577, section 5: the modal interval shrinks to where the greatest
convex minorant and the least concave majorant of the empirical distribution are farthest apart, until what lies outside
decides.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from shoal.runtime.kernel import kernel

__all__ = ["dip"]


@kernel
def minorant(x: Any, link: Any) -> None:
    """Link every point to the vertex before it on the greatest convex minorant of (x[i], i), i up to that point."""
    link[0] = 0
    for j in range(1, x.shape[0]):
        a = j - 1
        while a > 0 and (x[j] - x[a]) * (a - link[a]) >= (x[a] - x[link[a]]) * (j - a):
            a = link[a]
        link[j] = a


@kernel
def heights(x: Any, link: Any, first: int, last: int, lift: int, out: Any) -> None:
    """Heights at all points between two of the chain from `first` along the links to `last`, its vertices at i + lift."""
    step = 1 if last > first else -1
    a = first
    out[a] = a + lift
    while a != last:
        b = link[a]
        slope = (b - a) / (x[b] - x[a]) if x[b] != x[a] else 0.0
        for i in range(a + step, b, step):
            out[i] = a + lift + slope * (x[i] - x[a])
        out[b] = b + lift
        a = b


@kernel
def shrink(x: Any, before: Any, after: Any, below: Any, above: Any) -> float:
    """Twice n times the dip of sorted values, from the vertices before and after every point."""
    low, high, dip = 0, x.shape[0] - 1, 1.0
    while low < high:
        heights(x, before, high, low, 0, below)
        heights(x, after, low, high, 1, above)
        at = low
        for i in range(low, high + 1):
            if above[i] - below[i] > above[at] - below[at]:
                at = i
        if above[at] - below[at] <= dip:
            break
        left, right = high, low
        while left > at:
            left = before[left]
        while right < at:
            right = after[right]
        for i in range(low, left + 1):
            dip = max(dip, i + 1 - below[i])
        for i in range(right, high + 1):
            dip = max(dip, above[i] - i)
        if left == low and right == high:
            break
        low, high = left, right
    return dip


def dip(values: Any) -> float:
    """Return the largest distance between a sample's distribution function and the nearest one with a single mode.

    Parameters
    ----------
    values : array-like, shape (n,)
        In any order, n at least 1.

    Returns
    -------
    float
        From 1 / (2n), for one mode, to 1/4, for two points of equal mass.

    Notes
    -----
    O(n log n).

    Examples
    --------
    >>> dip([0.0, 0.0, 1.0, 1.0])
    0.25
    """
    x = np.sort(np.asarray(values, np.float64))
    n = len(x)
    before, back = np.empty(n, np.int64), np.empty(n, np.int64)
    minorant(x, before)
    minorant(-x[::-1], back)
    return float(shrink(x, before, n - 1 - back[::-1], np.empty(n), np.empty(n))) / (2 * n)
