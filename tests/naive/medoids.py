"""k-medoids by the book: every loss is summed anew over all items."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

Loss = Callable[[Any, Sequence[int], Sequence[float]], float]


def loss_of(D: Any, medoids: Sequence[int], weights: Sequence[float]) -> float:
    """Weighted distance of every item to the nearest medoid, summed."""
    return math.fsum(w * min(float(D[o][m]) for m in medoids) for o, w in enumerate(weights))


def silhouette_loss(D: Any, medoids: Sequence[int], weights: Sequence[float]) -> float:
    """Weighted ratio of the distances to the nearest and the second nearest medoid, summed; 0/0 is 0."""
    total = []
    for o, w in enumerate(weights):
        first, second = sorted(float(D[o][m]) for m in medoids)[:2]
        total.append(w * (first / second if second > 0 else 0.0))
    return math.fsum(total)


def eager(D: Any, medoids: Sequence[int], weights: Sequence[float], loss: Loss = loss_of,
          gain: float = 0.0) -> tuple[list[int], int]:
    """Try candidates in their order, round and round; make the best exchange of each at once if it lowers the loss.

    Of equally good exchanges the earliest slot's is made. Returns the medoids, slot by slot, and how many were made.
    """
    now, n, quiet, swaps, x = list(medoids), len(weights), 0, 0, 0
    while quiet < n:
        quiet += 1
        if x not in now and weights[x] > 0:
            losses = [loss(D, [*now[:i], x, *now[i + 1:]], weights) for i in range(len(now))]
            if min(losses) < loss(D, now, weights) - gain:
                now[losses.index(min(losses))] = x
                quiet, swaps = 0, swaps + 1
        x = (x + 1) % n
    return now, swaps


def improving_exchange(D: Any, medoids: Sequence[int], weights: Sequence[float], gain: float,
                       loss: Loss = loss_of) -> tuple[int, int] | None:
    """Find a slot and an item whose exchange lowers the loss by more than `gain`."""
    now = loss(D, medoids, weights)
    for x in range(len(weights)):
        for i in range(len(medoids)):
            if (x not in medoids and weights[x] > 0
                    and loss(D, [*medoids[:i], x, *medoids[i + 1:]], weights) < now - gain):
                return i, x
    return None


def best_medoids(D: Any, k: int, weights: Sequence[float], loss: Loss = loss_of) -> float:
    """The least loss of all sets of k items of positive weight."""
    allowed = [o for o, w in enumerate(weights) if w > 0]
    return min(loss(D, medoids, weights) for medoids in itertools.combinations(allowed, k))


def build(D: Any, k: int, weights: Sequence[float]) -> list[int]:
    """One after the other the item that leaves the least loss, the first of equals."""
    found: list[int] = []
    for _ in range(k):
        losses = [math.inf if x in found or weights[x] == 0 else loss_of(D, [*found, x], weights)
                  for x in range(len(weights))]
        found.append(losses.index(min(losses)))
    return found
