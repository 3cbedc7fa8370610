"""Sequential k-means by its definition: every centre is computed anew from all rows it has won, whenever it is needed."""

from __future__ import annotations

import numpy as np


def macqueen(X, centers, weights=None, half_life=None, fixed=None, cosine=False, share=0.0):
    """Return the centres, their faded masses, the winner of every row, and how often each centre was moved elsewhere."""
    k, n = len(centers), len(X)
    weights = np.ones(n) if weights is None else weights
    fade = (lambda age: 1.0) if half_life is None else (lambda age: 2.0 ** (-age / half_life))
    free = np.ones(np.shape(centers), bool) if fixed is None else np.isnan(fixed)
    won = [[] for _ in range(k)]  # (row, when it came, weight)
    placed = [0] * k
    winners, moves, worst = [], np.zeros(k, int), (-1.0, None, None)

    def mass(j, now):
        return sum(w * fade(now - t) for _, t, w in won[j])

    def centre(j, now):
        c = np.array(centers[j], float)
        if won[j] and free[j].any():
            total = sum(w * fade(now - t) * np.asarray(x, float) for x, t, w in won[j])
            if cosine:
                total = np.where(free[j], total, 0.0)
                room = np.sqrt(sum(v * v for v in np.where(free[j], c, 0.0)))
                c = np.where(free[j], room * total / np.sqrt((total * total).sum()), c)
            else:
                c = np.where(free[j], total / mass(j, now), c)
        return c

    for t in range(n):
        squares = [((X[t] - centre(j, t)) ** 2).sum() for j in range(k)]
        j = int(np.argmin(squares))
        winners.append(j)
        won[j].append((X[t], t, weights[t]))
        if squares[j] > worst[0]:
            worst = (squares[j], X[t], t)
        if (t + 1) % (10 * k) == 0:
            low = [j for j in range(k) if free[j].any()
                   and mass(j, t) < share * sum(weights[i] * fade(t - i) for i in range(placed[j], t + 1)) / k]
            if low and worst[0] > 0:
                j = min(low, key=lambda j: mass(j, t))
                won[j], placed[j] = [(worst[1], worst[2], weights[worst[2]])], t + 1
                moves[j] += 1
            worst = (-1.0, None, None)
    return np.array([centre(j, n) for j in range(k)]), np.array([mass(j, n) for j in range(k)]), winners, moves
