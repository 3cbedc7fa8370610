"""Loops of kernel k-means: rows of the Gram matrix summed by cluster, and items that move one by one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from shoal.runtime.kernel import kernel

__all__ = ["add_rows", "move_items"]


@kernel
def add_rows(K: Any, items: Any, target: Any, factor: Any, c0: int, c1: int, S: Any) -> None:
    """S[target[p], t] += factor[p]·K[items[p], t] for all p in their order, in the columns c0 … c1."""
    for p in range(items.shape[0]):
        f, row, s = factor[p], K[items[p], c0:c1], S[target[p], c0:c1]
        for t in range(s.shape[0]):
            s[t] += f * np.float64(row[t])


@kernel
def move_items(K: Any, w: Any, own: Any, labels: Any, S: Any, mass: Any, count: Any, inner: Any, state: Any, looks: int,
               moves: int, least: float) -> None:
    """Items one after the other go where they lower Σ w·‖φ - m‖² most; at most `looks` items and `moves` moves.

    S[c, i] = Σ_{j in c} w_j·K_ij, mass[c] = Σ w_j, count[c] the items of weight above 0, inner[c] = Σ_{i in c} w_i·S[c, i].
    With d²(i, c) = K_ii - 2·S[c, i] / m_c + inner_c / m_c², leaving a gains w·m_a / (m_a - w)·d²(i, a) and joining b costs
    w·m_b / (m_b + w)·d²(i, b), whatever the signs of K's eigenvalues. state: the next item, how many stayed since the last
    move, moves in all.
    """
    k, n = S.shape
    far = np.empty(k)
    for c in range(k):
        far[c] = inner[c] / (mass[c] * mass[c])
    i, stayed, moved = state[0], state[1], 0
    for _ in range(looks):
        if stayed >= n or moved == moves:
            break
        a, x, w_i = labels[i], own[i], w[i]
        stayed += 1
        if w_i > 0.0 and count[a] > 1 and mass[a] > w_i:
            best, b = math.inf, a
            for c in range(k):
                cost = (x + far[c] - 2.0 * (S[c, i] / mass[c])) * (mass[c] / (mass[c] + w_i))
                if c != a and cost < best:
                    best, b = cost, c
            gain = (x + far[a] - 2.0 * (S[a, i] / mass[a])) * (mass[a] / (mass[a] - w_i))
            if best + least < gain:
                inner[a] += w_i * (w_i * x - 2.0 * S[a, i])
                inner[b] += w_i * (w_i * x + 2.0 * S[b, i])
                mass[a] -= w_i
                mass[b] += w_i
                count[a] -= 1
                count[b] += 1
                far[a] = inner[a] / (mass[a] * mass[a])
                far[b] = inner[b] / (mass[b] * mass[b])
                labels[i] = b
                row, left, joined = K[i], S[a], S[b]
                for t in range(n):
                    v = w_i * np.float64(row[t])
                    left[t] -= v
                    joined[t] += v
                stayed, moved = 0, moved + 1
        i = i + 1 if i + 1 < n else 0
    state[0], state[1] = i, stayed
    state[2] += moved
