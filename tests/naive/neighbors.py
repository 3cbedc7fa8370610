"""Nearest neighbours by sorting all others, and graphs of them pair by pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Edges = dict[tuple[int, int], float]


def naive_neighbors(items: Any, others: Any, k: int, distance: Callable[[Any, Any], float],
                    own: bool = True) -> list[list[tuple[float, int]]]:
    """The k first of all others by (distance, position); with `own`, item i is not its own neighbour."""
    return [sorted((distance(x, y), j) for j, y in enumerate(others) if not (own and i == j))[:k]
            for i, x in enumerate(items)]


def sum_of_squares(x: Any, y: Any) -> float:
    """Squared Euclidean distance, summed in the order of the features."""
    total = 0.0
    for a, b in zip(x, y, strict=True):
        total += (float(a) - float(b)) * (float(a) - float(b))
    return total


def sum_of_differences(x: Any, y: Any) -> float:
    """City-block distance."""
    total = 0.0
    for a, b in zip(x, y, strict=True):
        total += abs(float(a) - float(b))
    return total


def largest_difference(x: Any, y: Any) -> float:
    """Chebyshev distance."""
    return max(abs(float(a) - float(b)) for a, b in zip(x, y, strict=True))


def naive_graph(found: Sequence[Sequence[tuple[float, int]]], kind: str) -> Edges:
    """Distances of the pairs (i, j), in both directions, that are joined."""
    near = {(i, j): d for i, row in enumerate(found) for d, j in row if i != j}
    edges: Edges = {}
    for (i, j), d in near.items():
        if kind == "directed":
            edges[i, j] = d
        elif kind == "union" or (j, i) in near:
            edges[i, j] = edges[j, i] = min(d, near.get((j, i), d))
    return edges
