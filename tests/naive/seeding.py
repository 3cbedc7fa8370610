"""k-means++ as it is defined, one point and one feature at a time, from the same random numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np


def squared(x: Sequence[float], y: Sequence[float]) -> float:
    """Squared distance, features in their order."""
    total = 0.0
    for a, b in zip(x, y, strict=True):
        total += (float(a) - float(b)) * (float(a) - float(b))
    return total


def drawn(order: Sequence[int], worth: Sequence[float], u: float) -> int:
    """The first item, in the given order, up to which the worth exceeds the share u of all of it."""
    target, running = u * math.fsum(worth), 0.0
    for i in order:
        running += worth[i]
        if worth[i] > 0.0 and running > target:
            return i
    raise AssertionError("u must be below 1")


class NaiveSeeds:
    """What has been placed so far."""

    def __init__(self, X: Any, weights: Sequence[float] | None) -> None:
        self.X = [[float(v) for v in x] for x in X]
        self.weights = [1.0] * len(self.X) if weights is None else [float(w) for w in weights]
        self.squares, self.labels = [math.inf] * len(self.X), [0] * len(self.X)
        self.order: list[int] = list(range(len(self.X)))
        self.placed: dict[int, list[float]] = {}

    def potential(self, c: Sequence[float]) -> float:
        return math.fsum(w * min(s, squared(x, c)) for x, s, w in zip(self.X, self.squares, self.weights, strict=True))

    def take(self, c: Sequence[float], number: int) -> None:
        self.placed[number] = [float(v) for v in c]
        for i, x in enumerate(self.X):
            s = squared(x, c)
            if (s, number) < (self.squares[i], self.labels[i]):
                self.squares[i], self.labels[i] = s, number

    def sort_points(self, scale: float) -> None:
        """Order points by (nearest centre, the upper half of the squared distance as a float32, index)."""
        def key(i: int) -> tuple[int, int, int]:
            return self.labels[i], int(np.float32(self.squares[i] * scale * scale).view(np.uint32)) >> 16, i

        self.order.sort(key=key)


def naive_plus_plus(X: Any, k: int, rng: np.random.Generator, trials: int, weights: Any = None, fixed: Any = None,
                    batch: int = 1, sorted_at: Collection[int] = (), scale: float = 1.0,
                    pin: Callable[..., Any] = lambda x, f: [a if math.isnan(b) else b for a, b in zip(x, f, strict=True)],
                    ) -> tuple[list[list[float]], list[int], NaiveSeeds]:
    """Greedy k-means++ with fixed coordinates; candidates drawn ahead are accepted later by rejection."""
    pattern = [[math.nan] * len(X[0])] * k if fixed is None else [[float(v) for v in f] for f in fixed]
    unknown = [sum(map(math.isnan, f)) for f in pattern]
    held = [j for j in range(k) if unknown[j] == 0]
    partly = [[j] for j in range(k) if 0 < unknown[j] < len(X[0])]
    free = [j for j in range(k) if unknown[j] == len(X[0])]
    S, indices = NaiveSeeds(X, weights), [-1] * k
    for j in held:
        S.take(pattern[j], j)
    for group in [*partly, free]:
        waiting: list[tuple[int, float, float]] = []  # row, its square when drawn, threshold
        for done, j in enumerate(group):
            worth = [w * s for w, s in zip(S.weights, S.squares, strict=True)]
            if not S.placed:
                chosen = [drawn(S.order, S.weights, rng.random())]
            else:
                chosen, rest = accepted(waiting, S.squares, trials)
                if len(chosen) < trials:
                    size = max(trials, min(batch, min(len(group) - done, len(S.placed)) * trials))
                    draws, thresholds = rng.random((2, size))
                    rows = [drawn(S.order, worth, u) for u in draws]
                    waiting = [(i, S.squares[i], t) for i, t in zip(rows, thresholds, strict=True)]
                    chosen, rest = accepted(waiting, S.squares, trials)
                waiting = rest
            best = min(chosen, key=lambda i: S.potential(pin(S.X[i], pattern[j])))
            S.take(pin(S.X[best], pattern[j]), j)
            indices[j] = best if unknown[j] == len(X[0]) else -1
            if len(S.placed) in sorted_at:
                S.sort_points(scale)
    return [S.placed[j] for j in range(k)], indices, S


def accepted(waiting: list[tuple[int, float, float]], squares: Sequence[float],
             trials: int) -> tuple[list[int], list[tuple[int, float, float]]]:
    """The first candidates accepted with probability (square now) / (square then), and those behind them."""
    chosen: list[int] = []
    for place, (i, then, threshold) in enumerate(waiting):
        if threshold * then < squares[i]:
            chosen.append(i)
        if len(chosen) == trials:
            return chosen, waiting[place + 1:]
    return chosen, []
