"""Cutting a tree by the book: sets of items, no arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def item_sets(merges: Sequence[Any], n: int) -> list[frozenset[int]]:
    """Items below every node, items first."""
    sets = [frozenset([i]) for i in range(n)]
    for left, right, *_ in merges:
        sets.append(sets[int(left)] | sets[int(right)])
    return sets


def drawn_order(merges: Sequence[Any], n: int) -> list[int]:
    """Items from left to right; at each merge the child with the smaller smallest item is drawn first."""
    order = [[i] for i in range(n)]
    for left, right, *_ in merges:
        first, second = sorted((order[int(left)], order[int(right)]), key=min)
        order.append(first + second)
    return order[-1]


def labels_of(groups: Sequence[frozenset[int]], order: Sequence[int]) -> list[int]:
    """Number the groups as they come from left to right."""
    labels = [-1] * len(order)
    number: dict[frozenset[int], int] = {}
    for item in order:
        (group,) = [g for g in groups if item in g]
        labels[item] = number.setdefault(group, len(number))
    return labels


def naive_cut_k(merges: Sequence[Any], n: int, k: int) -> list[int]:
    """Exactly k clusters: only the first n - k merges are done."""
    sets = item_sets(merges, n)
    alive = set(sets[:n])
    for t in range(n - k):
        alive -= {sets[int(merges[t][0])], sets[int(merges[t][1])]}
        alive.add(sets[n + t])
    return labels_of(list(alive), drawn_order(merges, n))


def naive_cut_height(merges: Sequence[Any], n: int, h: float) -> list[int]:
    """Maximal subtrees all of whose merges are at or below h, also where heights are inverted."""
    sets = item_sets(merges, n)
    highest = [float("-inf")] * n
    for left, right, height, *_ in merges:
        highest.append(max(float(height), highest[int(left)], highest[int(right)]))
    whole = [s for s, top in zip(sets, highest, strict=True) if top <= h]
    maximal = [s for s in whole if not any(s < other for other in whole)]
    return labels_of(maximal, drawn_order(merges, n))
