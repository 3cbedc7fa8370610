"""Kernel k-means by the book: the inertia from its definition, and items that move one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def naive_kernel_inertia(K: Any, labels: Sequence[int], w: Sequence[float]) -> float:
    """Σ over clusters of Σ w_i·‖φ_i - m‖², every scalar product written out."""
    total = 0.0
    for c in set(labels):
        own = [i for i in range(len(labels)) if labels[i] == c and w[i] > 0]
        mass = sum(w[i] for i in own)
        if not own:
            continue
        inner = sum(w[i] * w[j] * K[i][j] for i in own for j in own) / mass**2
        total += sum(w[i] * (K[i][i] - 2 * sum(w[j] * K[i][j] for j in own) / mass + inner) for i in own)
    return float(total)


def naive_single_moves(K: Any, labels: Sequence[int], w: Sequence[float], least: float = 1e-9) -> list[int]:
    """Each item in turn goes to the cluster that lowers the inertia most, until none moves; no cluster empties."""
    found, n, k = list(labels), len(labels), max(labels) + 1
    i = stayed = 0
    while stayed < n:
        stayed += 1
        alone = w[i] == 0 or sum(found[j] == found[i] and w[j] > 0 for j in range(n)) == 1
        if not alone:
            old = found[i]
            costs = []
            for c in range(k):
                found[i] = c
                costs.append(naive_kernel_inertia(K, found, w))
            found[i] = old
            others = [c for c in range(k) if c != old]
            best = min(others, key=lambda c: costs[c], default=old)
            if costs[best] + least * w[i] < costs[old]:
                found[i], stayed = best, 0
        i = (i + 1) % n
    return found
