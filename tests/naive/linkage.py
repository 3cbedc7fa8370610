"""Agglomerative clustering by the book: look at every pair, merge the closest, begin again. O(n^3) or worse."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

Merge = tuple[int, int, float, int]

METHODS = ("single", "complete", "average", "weighted", "ward", "centroid", "median")


def naive_linkage(D: Any, method: str, weights: Any = None) -> list[Merge]:
    """Merge by the Lance-Williams recurrences on a square matrix of distances.

    Returns one (left node, right node, height, number of items) a merge; `left` is the cluster with the smallest item.
    Among equal distances the pair with the smallest first item wins, then that with the smallest second item.
    """
    rows = [[float(d) for d in row] for row in D]
    n = len(rows)
    weight = {i: float(weights[i]) if weights is not None else 1.0 for i in range(n)}
    distance = {(i, j): rows[i][j] for i in range(n) for j in range(i + 1, n)}
    if method == "ward":
        for (i, j), d in distance.items():
            distance[i, j] = d * math.sqrt(2 * weight[i] * weight[j] / (weight[i] + weight[j]))
    # A cluster goes by its smallest item throughout.
    node, count = {i: i for i in range(n)}, dict.fromkeys(range(n), 1)
    merges: list[Merge] = []
    for t in range(n - 1):
        height, i, j = min((d, i, j) for (i, j), d in distance.items())
        for k in node:
            if k not in (i, j):
                ki, kj = (min(k, i), max(k, i)), (min(k, j), max(k, j))
                distance[ki] = updated(method, distance[ki], distance[kj], height, weight[i], weight[j], weight[k])
                del distance[kj]
        del distance[i, j]
        merges.append((node[i], node.pop(j), height, count[i] + count[j]))
        node[i], count[i], weight[i] = n + t, count[i] + count[j], weight[i] + weight[j]
    return merges


def updated(method: str, ki: float, kj: float, ij: float, wi: float, wj: float, wk: float) -> float:
    """Distance from cluster k to the union of i and j, from the three distances and the three weights."""
    if method == "single":
        return min(ki, kj)
    if method == "complete":
        return max(ki, kj)
    if method == "average":
        return (wi * ki + wj * kj) / (wi + wj)
    if method == "weighted":
        return (ki + kj) / 2
    if method == "ward":
        square = ((wi + wk) * ki**2 + (wj + wk) * kj**2 - wk * ij**2) / (wi + wj + wk)
    elif method == "centroid":
        square = (wi * ki**2 + wj * kj**2) / (wi + wj) - wi * wj * ij**2 / (wi + wj) ** 2
    elif method == "median":
        square = ki**2 / 2 + kj**2 / 2 - ij**2 / 4
    else:
        raise ValueError(method)
    return math.sqrt(max(square, 0.0))


def naive_linkage_points(X: Any, method: str, weights: Any = None,
                         metric: Callable[[Any, Any], float] | None = None) -> list[Merge]:
    """Merge by what the methods mean, no recurrence: from the rows of X, each standing for `weights` equal rows."""
    points = [[float(x) for x in row] for row in X]
    weight = [float(w) for w in weights] if weights is not None else [1.0] * len(points)
    between = {"single": _extreme(min), "complete": _extreme(max), "average": _average, "weighted": _of_children,
               "ward": _ward, "centroid": _centroid, "median": _midpoint}[method]
    world = World(points, weight, metric or math.dist)
    clusters = [Cluster(i, (i,), None) for i in range(len(points))]
    merges: list[Merge] = []
    for t in range(len(points) - 1):
        pairs = itertools.combinations(clusters, 2)
        height, _, _, a, b = min(((between(world, a, b), a.items[0], b.items[0], a, b) for a, b in pairs),
                                 key=lambda found: found[:3])
        union = Cluster(len(points) + t, tuple(sorted(a.items + b.items)), (a, b))
        clusters = sorted([c for c in clusters if c not in (a, b)] + [union], key=lambda c: c.items[0])
        merges.append((a.node, b.node, height, len(union.items)))
    return merges


class World:
    """The points, what each of them weighs, and how far two are apart."""

    def __init__(self, points: list[list[float]], weight: list[float], metric: Callable[[Any, Any], float]) -> None:
        self.points, self.weight, self.metric = points, weight, metric

    def mass(self, items: Sequence[int]) -> float:
        return math.fsum(self.weight[i] for i in items)

    def mean(self, items: Sequence[int]) -> list[float]:
        mass = self.mass(items)
        return [math.fsum(self.weight[i] * self.points[i][c] for i in items) / mass for c in range(len(self.points[0]))]

    def scatter(self, items: Sequence[int]) -> float:
        """Sum of squared distances from the mean."""
        centre = self.mean(items)
        return math.fsum(self.weight[i] * math.dist(self.points[i], centre) ** 2 for i in items)


class Cluster:
    """A node, its items in ascending order, and the two clusters it was made of."""

    def __init__(self, node: int, items: tuple[int, ...], children: tuple[Cluster, Cluster] | None) -> None:
        self.node, self.items, self.children = node, items, children
        self.midpoint: list[float] | None = None
        self.known: dict[int, float] = {}


def _extreme(choose: Callable[..., float]) -> Callable[[World, Cluster, Cluster], float]:
    def between(world: World, a: Cluster, b: Cluster) -> float:
        return choose(world.metric(world.points[i], world.points[j]) for i in a.items for j in b.items)

    return between


def _average(world: World, a: Cluster, b: Cluster) -> float:
    total = math.fsum(world.weight[i] * world.weight[j] * world.metric(world.points[i], world.points[j])
                      for i in a.items for j in b.items)
    return total / (world.mass(a.items) * world.mass(b.items))


def _of_children(world: World, a: Cluster, b: Cluster) -> float:
    """Mean of the distances of the two children of the younger cluster; of two items, their distance."""
    if a.node < b.node:
        a, b = b, a
    if b.node not in a.known:
        if a.children is None:
            a.known[b.node] = world.metric(world.points[a.node], world.points[b.node])
        else:
            a.known[b.node] = sum(_of_children(world, child, b) for child in a.children) / 2
    return a.known[b.node]


def _ward(world: World, a: Cluster, b: Cluster) -> float:
    increase = world.scatter(a.items + b.items) - world.scatter(a.items) - world.scatter(b.items)
    return math.sqrt(max(2 * increase, 0.0))


def _centroid(world: World, a: Cluster, b: Cluster) -> float:
    return math.dist(world.mean(a.items), world.mean(b.items))


def _midpoint(world: World, a: Cluster, b: Cluster) -> float:
    return math.dist(_middle(world, a), _middle(world, b))


def _middle(world: World, a: Cluster) -> list[float]:
    if a.midpoint is None:
        if a.children is None:
            a.midpoint = world.points[a.node]
        else:
            left, right = (_middle(world, child) for child in a.children)
            a.midpoint = [(x + y) / 2 for x, y in zip(left, right, strict=True)]
    return a.midpoint
