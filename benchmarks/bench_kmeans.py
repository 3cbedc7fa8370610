"""shoal.KMeans as it comes, beside scikit-learn's: a fit from scratch, several seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.cluster import KMeans

import shoal
from bench_lloyd import CASES, blobs
from common import in_turn, machine, table

SEEDS = 3  # of scikit-learn's fits, which take up to half a minute


def main() -> None:
    """Print the table."""
    rows = []
    for n, d, k in CASES:
        X = blobs(n, d, k)[0]
        shoal.KMeans(k, random_state=0).fit(X[:20 * k])
        inertia: dict[str, list[float]] = {"shoal": [], "sklearn": []}

        def fit(kind: Any, name: str, k: int = k, X: Any = X, inertia: dict[str, list[float]] = inertia) -> None:
            inertia[name].append(kind(k, random_state=len(inertia[name])).fit(X).inertia_)

        took = in_turn(SEEDS, shoal=lambda f=fit: f(shoal.KMeans, "shoal"), sklearn=lambda f=fit: f(KMeans, "sklearn"))
        ours, theirs = (float(np.median(inertia[name])) for name in ("shoal", "sklearn"))
        rows.append((f"{n:,} × {d}, k = {k}", took["sklearn"], took["shoal"], f"{took['sklearn'] / took['shoal']:.1f}×",
                     f"{ours / theirs:.4f}"))
    print(machine(), end="\n\n")
    print("### k-means from scratch, defaults, medians of seeds\n")
    print(table(("work", "scikit-learn s", "shoal s", "ratio", "inertia, theirs = 1"), rows))


if __name__ == "__main__":
    main()
