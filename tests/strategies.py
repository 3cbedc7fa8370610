"""What Hypothesis draws: small inputs of every kind, with ties more often than chance would have them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

METHODS = ("single", "complete", "average", "weighted", "ward", "centroid", "median")
REDUCIBLE = METHODS[:5]

Floats = NDArray[np.float64]

methods = st.sampled_from(METHODS)
reducible_methods = st.sampled_from(REDUCIBLE)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def points(draw: st.DrawFn, min_n: int = 2, max_n: int = 12, max_d: int = 4, ties: bool = True) -> Floats:
    """Draw rows: a cloud, or (with `ties`) a small lattice on which many distances are equal and rows repeat."""
    n, d = draw(st.integers(min_n, max_n)), draw(st.integers(1, max_d))
    rng = np.random.default_rng(draw(seeds))
    if ties and draw(st.booleans()):
        return rng.integers(0, 3, (n, d)).astype(np.float64)
    return rng.normal(size=(n, d)) * 10.0 ** draw(st.integers(-6, 6))


@st.composite
def square_distances(draw: st.DrawFn, min_n: int = 2, max_n: int = 12, ties: bool = True) -> Floats:
    """Draw a symmetric matrix with a zero diagonal that need not be a metric."""
    n = draw(st.integers(min_n, max_n))
    rng = np.random.default_rng(draw(seeds))
    tied = ties and draw(st.booleans())
    upper = np.triu(rng.integers(1, 5, (n, n)).astype(np.float64) if tied else rng.uniform(0.1, 10, (n, n)), 1)
    return upper + upper.T


@st.composite
def item_weights(draw: st.DrawFn, n: int) -> Floats:
    """Draw weights above zero, whole numbers or not."""
    rng = np.random.default_rng(draw(seeds))
    return rng.integers(1, 5, n).astype(np.float64) if draw(st.booleans()) else rng.uniform(0.2, 5, n)


@st.composite
def node_pairs(draw: st.DrawFn, min_n: int = 2, max_n: int = 20) -> tuple[list[tuple[int, int]], list[float]]:
    """Draw a random binary tree as pairs of nodes, children first, with heights that may be inverted."""
    n = draw(st.integers(min_n, max_n))
    rng = np.random.default_rng(draw(seeds))
    alive = list(range(n))
    pairs = []
    for node in range(n, 2 * n - 1):
        a, b = (alive.pop(int(rng.integers(len(alive)))) for _ in range(2))
        pairs.append((a, b))
        alive.append(node)
    heights = rng.uniform(0, 10, n - 1)
    return pairs, (np.sort(heights) if draw(st.booleans()) else heights).tolist()


def read_only(array: Any) -> NDArray[Any]:
    """Return a copy that cannot be written to."""
    copy = np.array(array)
    copy.setflags(write=False)
    return copy
