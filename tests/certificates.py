"""Certificates: checks of what a tree claims, straight from the definition, so that ties cannot break them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.trees.merges import Merges

SQUARED = ("ward", "centroid", "median")  # their recurrences hold for squared distances
INVERTING = ("centroid", "median")

Floats = NDArray[np.float64]


def assert_valid_merges(merges: Merges) -> None:
    """Every node is merged once, after it is made; `left` holds the smaller smallest item; sizes add up; read-only."""
    n = merges.n
    left, right = np.asarray(merges.left, np.int64), np.asarray(merges.right, np.int64)
    for name, column in merges._asdict().items():
        assert column.shape == (n - 1,), f"{name} has shape {column.shape} in a tree of {n} items"
        assert not column.flags.writeable, f"{name} can be written to"
    assert merges.left.dtype == merges.right.dtype
    assert merges.left.dtype in (np.dtype(np.int32), np.dtype(np.int64))
    assert merges.height.dtype == np.float64
    assert merges.size.dtype == np.int64
    assert np.isfinite(merges.height).all(), "a height is not finite"
    if n == 1:
        return
    made = n + np.arange(n - 1)
    assert left.min() >= 0
    assert right.min() >= 0
    late = np.flatnonzero(np.maximum(left, right) >= made)
    assert late.size == 0, f"merge {late[0]} uses a node before it is made"
    used = np.bincount(np.concatenate([left, right]), minlength=2 * n - 1)
    assert (used[:-1] == 1).all(), f"node {np.argmax(used[:-1] != 1)} is merged {used[np.argmax(used[:-1] != 1)]} times"
    smallest, count = list(range(n)), [1] * n
    for t, (a, b) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        assert smallest[a] < smallest[b], f"merge {t}: left holds item {smallest[a]}, right holds item {smallest[b]}"
        smallest.append(smallest[a])
        count.append(count[a] + count[b])
    wrong = np.flatnonzero(np.array(count[n:]) != merges.size)
    assert wrong.size == 0, f"merge {wrong[0]} says {merges.size[wrong[0]]} items but holds {count[n + wrong[0]]}"


def assert_closest_pairs(D: Any, merges: Merges, method: str, weights: Any = None, rtol: float = 1e-9) -> None:
    """Replay the tree on a square matrix: each merge is at its pair's distance, and no other pair is closer.

    An error may be `rtol` of the distance itself plus what n additions of float64 may lose of the largest one.
    """
    assert_valid_merges(merges)
    n = merges.n
    if method not in INVERTING:
        fall = np.flatnonzero(np.diff(merges.height) < 0)
        assert fall.size == 0, f"height falls after merge {fall[0]}: {merges.height[fall[0]:fall[0] + 2]}"
    weight = np.ones(n) if weights is None else np.array(weights, np.float64)
    table = np.array(D, np.float64)
    assert table.shape == (n, n)
    if method == "ward":
        table *= np.sqrt(2 * np.outer(weight, weight) / np.add.outer(weight, weight))
    power = 2 if method in SQUARED else 1
    table **= power
    slack = n * np.finfo(np.float64).eps * table[np.isfinite(table)].max(initial=0.0)
    np.fill_diagonal(table, np.inf)
    row = dict(zip(range(n), range(n), strict=True))
    for t in range(n - 1):
        i, j = row.pop(int(merges.left[t])), row.pop(int(merges.right[t]))
        claimed, own, least = float(merges.height[t]) ** power, float(table[i, j]), float(table.min())
        allowed = power * rtol * abs(own) + slack
        assert abs(claimed - own) <= allowed, f"merge {t}: height^{power} {claimed!r}, but the pair is {own!r} apart"
        assert own <= least + allowed, f"merge {t}: the pair is {own!r} apart while another is {least!r} apart"
        union = _joined(method, table[i], table[j], own, weight[i], weight[j], weight)
        table[i] = table[:, i] = union
        table[j] = table[:, j] = np.inf
        table[i, i] = np.inf
        weight[i] += weight[j]
        row[n + t] = i


def _joined(method: str, ki: Floats, kj: Floats, ij: float, wi: float, wj: float, wk: Floats) -> Floats:
    """Distances (squared ones for ward, centroid and median) from all clusters k to the union of i and j."""
    if method == "single":
        return np.minimum(ki, kj)
    if method == "complete":
        return np.maximum(ki, kj)
    if method == "average":
        return (wi * ki + wj * kj) / (wi + wj)
    if method == "weighted":
        return (ki + kj) / 2
    if method == "ward":
        return ((wi + wk) * ki + (wj + wk) * kj - wk * ij) / (wi + wj + wk)
    if method == "centroid":
        return (wi * ki + wj * kj) / (wi + wj) - wi * wj * ij / (wi + wj) ** 2
    if method == "median":
        return ki / 2 + kj / 2 - ij / 4
    raise ValueError(method)


def assert_same_tree(a: Merges, b: Merges, rtol: float = 1e-9, atol: float = 1e-12) -> None:
    """Check that both trees have the same clusters at the same heights; `atol` is a share of the largest height.

    Equal heights may stand in any order, as long as the clusters are the same. Clusters are compared by a 128-bit sum
    of random numbers of their items, so that a chain of 100,000 items costs no more than a bush.
    """
    assert a.n == b.n, f"{a.n} and {b.n} items"
    top = max(a.height.max(initial=0.0), b.height.max(initial=0.0))
    first, second = _clusters(a), _clusters(b)
    only = [first[key] for key in first.keys() - second.keys()]
    if only:
        height, size, t = min(only)
        lowest = f"merge {t} of the first tree, {size} items at {height!r}"
        raise AssertionError(f"{len(only)} clusters of the first tree are not in the second; the lowest is {lowest}")
    for key, (height, size, t) in first.items():
        other = second[key][0]
        assert abs(height - other) <= rtol * max(abs(height), abs(other)) + atol * top, \
            f"merge {t} of the first tree, {size} items: heights {height!r} and {other!r}"


def _clusters(merges: Merges) -> dict[int, tuple[float, int, int]]:
    """Height, size and row of every merge, under a number that depends on its items alone."""
    seeds = np.random.default_rng(0).integers(0, 2**63, (merges.n, 2)).tolist()
    mark = [(high << 64) ^ low for high, low in seeds]
    for a, b in zip(merges.left.tolist(), merges.right.tolist(), strict=True):
        mark.append(mark[a] ^ mark[b])
    rows = zip(merges.height.tolist(), merges.size.tolist(), range(merges.n - 1), strict=True)
    return dict(zip(mark[merges.n:], rows, strict=True))
