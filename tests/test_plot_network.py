"""A graph drawn by springs: every item once in its cluster's colour, the heaviest edges, the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex

import shoal
from shoal.errors import InputError
from shoal.plot.figures import figure_bytes
from shoal.plot.network import network, spring_positions
from shoal.plot.palette import color


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    pyplot.close("all")


def test_items_and_edges(example_data: Path) -> None:
    people = shoal.read_file(example_data / "lesmis.csv", kind="graph")
    clusters = shoal.Spectral(5, random_state=0).fit(people).clusters_
    ax = clusters.network()
    dots = [c for c in ax.collections if isinstance(c, PathCollection)]
    assert sum(len(c.get_offsets()) for c in dots) == 77
    assert {to_hex(ink) for c in dots for ink in c.get_facecolors()} == {color(c) for c in range(5)}
    (lines,) = (c for c in ax.collections if isinstance(c, LineCollection))
    i, j, weight = people.edges
    kept = set()
    for item in range(77):  # the three heaviest of each item, of equals the first
        own = np.flatnonzero((i == item) | (j == item))
        kept |= set(own[np.lexsort((own, -weight[own]))][:3].tolist())
    assert len(lines.get_segments()) == len(kept)
    assert f"{len(kept)} of 254 edges" in ax.get_xlabel()
    assert "measure nothing" in ax.get_xlabel()


def test_same_seed_same_bytes() -> None:
    S = np.exp(-np.abs(np.arange(12.0)[:, None] - np.arange(12)))
    clusters = shoal.linkage(shoal.similarities(S), "average").cut(k=3)
    first, again, other = (figure_bytes(clusters.network(seed=seed), "svg") for seed in (0, 0, 1))
    assert first == again != other


def test_springs_keep_friends_together() -> None:
    i = np.array([0, 1, 0, 3, 4, 3, 2])
    j = np.array([1, 2, 2, 4, 5, 5, 3])
    at = spring_positions(i, j, np.array([9.0, 9, 9, 9, 9, 9, 0.1]), 6)
    inside = np.linalg.norm(at[0] - at[1]) + np.linalg.norm(at[3] - at[4])
    assert inside < np.linalg.norm(at[:3].mean(axis=0) - at[3:].mean(axis=0))


def test_what_it_refuses() -> None:
    points = shoal.linkage(np.random.default_rng(0).normal(size=(9, 2))).cut(k=2)
    with pytest.raises(InputError, match="edges"):
        points.network()
    with pytest.raises(InputError, match="blot"):
        network([0], [1], [1.0], np.zeros(6000, int))
    with pytest.raises(InputError, match="above 0"):
        network([0], [1], [-1.0], np.zeros(2, int))
