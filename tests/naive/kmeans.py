"""k-means the slow way: every distance in every iteration, in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np


def squares_to(X: Any, centers: Any) -> Any:
    """Squared distances of all rows to all centres, from differences of coordinates."""
    return ((np.asarray(X, float)[:, None, :] - np.asarray(centers, float)[None, :, :]) ** 2).sum(axis=2)


def naive_center(rows: Any, weights: Any, old: Any, held: Any, metric: str) -> Any:
    """The mean of some rows, or its direction; held coordinates (not NaN) stay."""
    total = (weights[:, None] * rows).sum(axis=0)
    free = np.isnan(held)
    if metric == "euclidean":
        return np.where(free, total / weights.sum(), held)
    room = np.sqrt(1.0 - (held[~free] ** 2).sum())
    length = np.sqrt((total[free] ** 2).sum())
    return np.where(free, total / length * room if length > 0.0 else old, held)


def naive_lloyd(X: Any, centers: Any, weights: Any = None, fixed: Any = None, metric: str = "euclidean",
                max_iter: int = 300) -> tuple[Any, Any, float]:
    """Lloyd's iterations until no centre moves; an empty cluster gets the farthest item that is not alone in its own.

    Returns centres, labels and inertia.
    """
    X, c = np.asarray(X, float), np.array(centers, float)
    w = np.ones(len(X)) if weights is None else np.asarray(weights, float)
    held = np.full(c.shape, np.nan) if fixed is None else np.asarray(fixed, float)
    for j in range(len(c)):
        if not np.isnan(held[j]).all():
            c[j] = naive_center(c[j:j + 1], np.ones(1), c[j], held[j], metric)
    for _ in range(max_iter):
        D = squares_to(X, c)
        labels = D.argmin(axis=1)
        gains = np.where(w > 0.0, D[np.arange(len(X)), labels], 0.0)
        for j in range(len(c)):
            if w[labels == j].sum() > 0.0 or not np.isnan(held[j]).any():
                continue
            made = np.array([naive_center(x[None], np.ones(1), c[j], held[j], metric) for x in X])
            gain = gains - (0.0 if np.isnan(held[j]).all() else ((X - made) ** 2).sum(axis=1))
            for i in np.argsort(-gain, kind="stable"):
                if gain[i] <= 0.0:
                    break
                if (w[labels == labels[i]] > 0.0).sum() > 1:
                    labels[i], gains[i] = j, 0.0
                    break
        new = np.array([naive_center(X[labels == j], w[labels == j], c[j], held[j], metric)
                        if w[labels == j].sum() > 0.0 else c[j] for j in range(len(c))])
        if np.abs(new - c).max() < 1e-13 * np.abs(X - X.mean(axis=0)).max():
            break
        c = new
    D = squares_to(X, c)
    labels = D.argmin(axis=1)
    inertia = float((w * D.min(axis=1)).sum())
    return c, labels, inertia / 2.0 if metric == "cosine" else inertia
