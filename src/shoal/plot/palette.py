"""One palette for every picture, table and page: the cluster's number alone decides its colour."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

__all__ = ["ABOVE", "NOISE", "Inks", "color", "colors", "inks_of", "readable_on"]

NOISE = "#a0a0a0"  # cluster -1
ABOVE = "#404040"  # links that belong to no cluster: they lie above the cut

# The first six are Okabe and Ito's without yellow and black (unreadable as a thin line on white; too near to ABOVE). The
# next 18 were exchanged one by one, and the others added one by one, so that the nearest two lie as far apart as possible
# among a 16-level RGB lattice: in OKLab, with normal vision, deuteranopia, protanopia and tritanopia (Machado and others
# 2009), on white and as drawn on black, away from the two greys, contrast with white at least 2. Smallest OKLab distance
# (a just noticeable one is 2) with normal vision, deuteranopia, protanopia: among the first 8 15.6, 7.6, 9.6; among 24
# 8.6, 5.0, 5.2; among all 40 5.7, 3.5, 3.7; on black among 24 7.7, 3.5, 3.6. The 20 of tab20: 5.4, 1.8, 0.7.
_FIXED = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8811ff", "#661122",
    "#8877ff", "#bb0088", "#aabb88", "#4433cc", "#ff77cc", "#ff4455", "#cc2255", "#445511",
    "#226677", "#dd00bb", "#888844", "#bb77dd", "#550077", "#6699ff", "#00cc44", "#77aa77",
    "#aa6699", "#4477dd", "#995500", "#ccaaaa", "#cc8800", "#448877", "#dd99ff", "#6699aa",
    "#772255", "#cc44ee", "#ff11cc", "#558811", "#66bb66", "#aa0000", "#ff55bb", "#cc77ff",
)
_SHADES = (0.0, -0.35, 0.3)  # as they are, towards black, towards white: 120 clusters before a colour comes back
_LEAST_LIGHT = 0.139  # luminance of a colour on black: contrast 3 even with the grey (#1e1e1e) of dark pages
EVEN = 0.18  # luminance of the grey that has equal contrast with black and with white
_STEPS = 40  # in which a colour is mixed with white until it has that


class Inks(NamedTuple):
    """What texts and lines are drawn with on one background.

    Attributes
    ----------
    text, quiet : str
        Texts one came for; axes and remarks.
    above, noise : str
        Links above the cut; items of no cluster.
    paper : str
        The background.
    dark : bool
        Whether that is dark.
    """

    text: str
    quiet: str
    above: str
    noise: str
    paper: str
    dark: bool

    def color(self, cluster: int) -> str:
        """Return the colour of a cluster: the one it always has, on dark mixed with white where it would drown."""
        if cluster < 0:
            return self.noise
        return _lit(color(cluster)) if self.dark else color(cluster)

    def colors(self, k: int) -> list[str]:
        """Return the colours of clusters 0 to k - 1."""
        return [self.color(cluster) for cluster in range(k)]


def inks_of(ax: Any) -> Inks:
    """Return the inks for some axes: their background decides, or that of the figure behind them.

    Parameters
    ----------
    ax : matplotlib Axes or Figure
        Where both are transparent, matplotlib's own text colour tells which page they are meant for.

    Returns
    -------
    Inks

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from shoal.plot.palette import inks_of
    >>> inks_of(Figure().subplots()).dark, inks_of(Figure().add_subplot(facecolor="black")).text
    (False, '#e6e6e6')
    """
    from matplotlib import rcParams
    from matplotlib.colors import to_hex, to_rgba

    shades = [to_rgba(part.get_facecolor()) for part in (ax, ax.figure) if part is not None]
    paper = next((shade for shade in shades if shade[3] > 0.5), None)
    if paper is None:
        bright = _luminance(to_hex(rcParams["text.color"])) > 0.3
        paper = (0.0, 0.0, 0.0, 1.0) if bright else (1.0, 1.0, 1.0, 1.0)
    back = to_hex(paper[:3])
    if _luminance(back) > EVEN:
        return Inks("#222222", "#666666", ABOVE, NOISE, back, False)
    return Inks("#e6e6e6", "#a8a8a8", "#c8c8c8", "#8a8a8a", back, True)


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


def readable_on(background: str) -> str:
    """Return black or white, whichever is read more easily on a colour given as "#rrggbb"."""
    return "#000000" if _luminance(background) > EVEN else "#ffffff"


def _shaded(base: str, shade: float) -> str:
    """Mix a colour with black (shade below 0) or white (above 0) by |shade|."""
    end = 255 if shade > 0 else 0
    parts = (int(base[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part + abs(shade) * (end - part)):02x}" for part in parts)


@cache
def _lit(base: str) -> str:
    """Mix a colour with as little white as makes it readable on black."""
    mixtures = (_shaded(base, step / _STEPS) for step in range(_STEPS + 1))
    return next(mixture for mixture in mixtures if _luminance(mixture) >= _LEAST_LIGHT)


def _luminance(name: str) -> float:
    """Return the relative luminance of a colour, from 0 to 1 (IEC 61966-2-1)."""
    parts = [int(name[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126729 * red + 0.7151522 * green + 0.0721750 * blue
