"""One palette for every picture, table and page: the cluster's number alone decides its colour."""

from __future__ import annotations

__all__ = ["ABOVE", "INK", "NOISE", "QUIET", "color", "colors"]

NOISE = "#a0a0a0"  # cluster -1
ABOVE = "#404040"  # links that belong to no cluster: they lie above the cut
INK, QUIET = "#222222", "#666666"  # texts one came for; axes and remarks

# The first six are Okabe and Ito's without yellow and black (unreadable as a thin line on white; too near to ABOVE).
# The others were added one by one, each the colour of a 16-level RGB lattice farthest from those before it and from
# the two greys: CIEDE2000 and CIELAB, as seen with normal vision, deuteranopia and protanopia (Machado and others
# 2009), contrast with white at least 2. Smallest CIELAB distance: 26 among the first 8, 23 among 20, 12 among all.
_FIXED = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#990000", "#112299",
    "#993366", "#8866ff", "#aabb77", "#115533", "#ee2255", "#776633", "#666688", "#cc11bb",
    "#448888", "#7711ee", "#33ccbb", "#660066", "#dd8888", "#667755", "#7799ff", "#44cc44",
    "#996677", "#115555", "#9988cc", "#884444", "#995500", "#664488", "#009911", "#aa9955",
    "#33bbcc", "#770022", "#ddaa99", "#445522", "#bb6666", "#ee5588", "#443355", "#bb99bb",
)
_SHADES = (0.0, -0.35, 0.3)  # as they are, towards black, towards white: 120 clusters before a colour comes back


def color(cluster: int) -> str:
    """Return the colour of a cluster.

    Parameters
    ----------
    cluster : int
        The cluster's number, from 0; -1 (or any negative number) is noise.

    Returns
    -------
    str
        As "#rrggbb". 40 colours are fixed; they return darker, then lighter, and repeat after 120 clusters.

    Examples
    --------
    >>> from shoal.plot.palette import color
    >>> color(0), color(-1)
    ('#0072b2', '#a0a0a0')
    """
    if cluster < 0:
        return NOISE
    lap, place = divmod(int(cluster), len(_FIXED))
    return _shaded(_FIXED[place], _SHADES[lap % len(_SHADES)])


def colors(k: int) -> list[str]:
    """Return the colours of clusters 0 to k - 1.

    Parameters
    ----------
    k : int
        Number of clusters.

    Returns
    -------
    list of str
        `color` of each.

    Examples
    --------
    >>> from shoal.plot.palette import colors
    >>> colors(2)
    ['#0072b2', '#d55e00']
    """
    return [color(cluster) for cluster in range(k)]


def _shaded(base: str, shade: float) -> str:
    """Mix a colour with black (shade below 0) or white (above 0) by |shade|."""
    end = 255 if shade > 0 else 0
    parts = (int(base[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part + abs(shade) * (end - part)):02x}" for part in parts)
