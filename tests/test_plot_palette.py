import numpy as np
import pytest

from shoal.plot.palette import ABOVE, NOISE, color, colors

DEUTERANOPIA = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
PROTANOPIA = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]


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


def test_lab_of_white_and_red():
    assert lab(linear(["#ffffff"]))[0] == pytest.approx([100, 0, 0], abs=0.02)
    assert lab(linear(["#ff0000"]))[0] == pytest.approx([53.24, 80.09, 67.20], abs=0.02)


def test_clusters_are_told_apart():
    assert nearest(colors(8)) > 26
    assert nearest(colors(20)) > 23
    assert nearest(colors(40)) > 12


@pytest.mark.parametrize("vision", [DEUTERANOPIA, PROTANOPIA])
def test_first_eight_are_told_apart_by_the_colour_blind(vision):
    assert nearest(colors(8), vision) > 17
    assert nearest(colors(40), vision) > 5


def test_greys_are_not_taken_for_clusters():
    for grey in (NOISE, ABOVE):
        assert min(nearest([grey, name]) for name in colors(40)) > 15


def test_every_colour_is_seen_on_white():
    luminance = linear(colors(40)) @ [0.2126729, 0.7151522, 0.0721750]
    assert (1.05 / (luminance + 0.05)).min() > 2


def test_number_alone_decides():
    assert colors(7) == colors(300)[:7] == [color(i) for i in range(7)]
    assert color(-1) == color(-3) == NOISE
    assert len(set(colors(120))) == 120
    assert color(120) == color(0)
    assert all(name == name.lower() and len(name) == 7 for name in colors(200))
