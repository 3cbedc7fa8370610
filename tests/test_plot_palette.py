import numpy as np
import pytest
from matplotlib import colormaps, rc_context
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from shoal.plot.palette import ABOVE, NOISE, color, colors, inks_of, readable_on

DEUTERANOPIA = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
PROTANOPIA = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]

TRITANOPIA = [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]


def linear(names):
    rgb = np.array([[int(name[i : i + 2], 16) / 255 for i in (1, 3, 5)] for name in names])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(light):
    matrix = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    xyz = light @ np.array(matrix).T / [0.95047, 1.0, 1.08883]
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.column_stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])])


def nearest(names, vision=None):
    light = linear(names) if vision is None else np.clip(linear(names) @ np.array(vision).T, 0, 1)
    points = lab(light)
    gaps = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return gaps[np.triu_indices(len(names), 1)].min()


def oklab(light):
    to_cones = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                [0.0883024619, 0.2817188376, 0.6299787005]]
    to_lab = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
              [0.0259040371, 0.7827717662, -0.8086757660]]
    return np.cbrt(light @ np.array(to_cones).T) @ np.array(to_lab).T


def nearest_ok(names, vision=None):
    """100 times the smallest OKLab distance (Ottosson 2020)."""
    points = oklab(linear(names) if vision is None else np.clip(linear(names) @ np.array(vision).T, 0, 1))
    gaps = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return 100 * gaps[np.triu_indices(len(names), 1)].min()


def on_black(k):
    return inks_of(Figure(facecolor="black").subplots(subplot_kw={"facecolor": "black"})).colors(k)


def test_lab_of_white_and_red():
    assert lab(linear(["#ffffff"]))[0] == pytest.approx([100, 0, 0], abs=0.02)
    assert lab(linear(["#ff0000"]))[0] == pytest.approx([53.24, 80.09, 67.20], abs=0.02)


def test_clusters_are_told_apart():
    assert nearest(colors(8)) > 26
    assert nearest(colors(20)) > 22
    assert nearest(colors(40)) > 10
    assert nearest_ok(colors(24)) > 8.5
    assert nearest_ok(on_black(24)) > 7.6


@pytest.mark.parametrize("vision", [DEUTERANOPIA, PROTANOPIA, TRITANOPIA])
def test_24_clusters_are_told_apart_by_the_colour_blind(vision):
    assert nearest_ok(colors(24), vision) > 3.8
    assert nearest_ok(on_black(24), vision) > 3.4
    tab20 = [to_hex(ink) for ink in colormaps["tab20"].colors]
    assert nearest_ok(colors(24), vision) > nearest_ok(tab20, vision)


@pytest.mark.parametrize("vision", [DEUTERANOPIA, PROTANOPIA])
def test_first_eight_are_told_apart_by_the_colour_blind(vision):
    assert nearest(colors(8), vision) > 17
    assert nearest(colors(40), vision) > 5


def test_greys_are_not_taken_for_clusters():
    for grey in (NOISE, ABOVE):
        assert min(nearest([grey, name]) for name in colors(24)) > 25
        assert min(nearest([grey, name]) for name in colors(40)) > 14


def test_every_colour_is_seen_on_white():
    luminance = linear(colors(40)) @ [0.2126729, 0.7151522, 0.0721750]
    assert (1.05 / (luminance + 0.05)).min() > 2


def test_number_alone_decides():
    assert colors(7) == colors(300)[:7] == [color(i) for i in range(7)]
    assert color(-1) == color(-3) == NOISE
    assert len(set(colors(120))) == 120
    assert color(120) == color(0)
    assert all(name == name.lower() and len(name) == 7 for name in colors(200))


def test_inks_follow_the_background():
    figure = Figure()
    assert not inks_of(figure.subplots()).dark
    dark = inks_of(figure.add_subplot(facecolor="#202020"))
    assert dark.dark
    assert dark.color(7) != color(7)
    assert dark.color(0) == color(0)
    assert dark.color(-1) == dark.noise
    clear = Figure(facecolor="none")
    axes = clear.add_subplot(facecolor="none")
    assert not inks_of(axes).dark
    with rc_context({"text.color": "white"}):
        assert inks_of(axes).dark
    assert inks_of(Figure(facecolor="black").add_subplot(facecolor="none")).dark


def test_every_text_and_line_is_read_on_its_background():
    for face in ("white", "black", "#1e1e1e"):
        inks = inks_of(Figure().add_subplot(facecolor=face))
        low, high = np.sort([linear([name]) @ [0.2126729, 0.7151522, 0.0721750] for name in (to_hex(face), inks.quiet)],
                            axis=0)
        assert (high + 0.05) / (low + 0.05) > 4.5
    luminance = linear(on_black(120)) @ [0.2126729, 0.7151522, 0.0721750]
    grey = linear(["#1e1e1e"]) @ [0.2126729, 0.7151522, 0.0721750]
    assert ((luminance + 0.05) / (grey + 0.05)).min() > 2.99


def test_black_or_white_on_a_colour():
    assert (readable_on("#ffff00"), readable_on("#112299")) == ("#000000", "#ffffff")
