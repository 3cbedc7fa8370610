"""First centres beside scikit-learn's kmeans_plusplus: time, and the sum of squared distances they leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.cluster import kmeans_plusplus
from sklearn.datasets import make_blobs

from common import in_turn, machine, table
from shoal.centers.lloyd import nearest
from shoal.centers.seeding import seed

SHAPES = ((1_000_000, 2, 100), (200_000, 8, 256), (100_000, 50, 100), (50_000, 128, 500))
TEXTS = (100_000, 20_000, 100, 50)  # rows, features, features a row has, centres
POTENTIALS = 10


def texts() -> Any:
    """Rows of length 1 whose features are as unevenly frequent as words, weighted by rarity."""
    n, d, each, _ = TEXTS
    rng, chance = np.random.default_rng(0), np.arange(1, d + 1) ** -0.8
    columns = rng.choice(d, size=n * each, p=chance / chance.sum())
    X = sparse.csr_array((rng.random(n * each) + 0.1, (np.repeat(np.arange(n), each), columns)), shape=(n, d))
    X.sum_duplicates()
    X.data *= np.log(n / np.bincount(X.indices, minlength=d).clip(1))[X.indices] + 0.01
    X.data /= np.repeat(np.sqrt(np.add.reduceat(X.data**2, X.indptr[:-1])), np.diff(X.indptr))
    return X.astype(np.float32)


def median_potential(X: Any, metric: str, centers_of: Callable[[int], Any]) -> float:
    """Over ten seeds."""
    return float(np.median([nearest(X, np.ascontiguousarray(centers_of(i)), metric)[1].sum() for i in range(POTENTIALS)]))


def row(name: str, X: Any, k: int, metric: str, runs: int) -> list[Any]:
    theirs = X if isinstance(X, np.ndarray) else sparse.csr_matrix(X)
    seed(X, k, np.random.default_rng(0), metric=metric)  # loads what is compiled
    seconds = in_turn(runs, shoal=lambda: seed(X, k, np.random.default_rng(0), metric=metric),
                      sklearn=lambda: kmeans_plusplus(theirs, k, random_state=0))
    ours = median_potential(X, metric, lambda i: seed(X, k, np.random.default_rng(i), metric=metric).centers)
    other = median_potential(X, metric, lambda i: kmeans_plusplus(theirs, k, random_state=i)[0])
    return [name, seconds["shoal"], seconds["sklearn"], seconds["sklearn"] / seconds["shoal"], ours / other]


def main(runs: int = 3) -> None:
    """Print the table."""
    rows = []
    for n, d, k in SHAPES:
        X = make_blobs(n, d, centers=k, random_state=0)[0].astype(np.float32)
        rows.append(row(f"{n:,} × {d}, {k} centres", X, k, "euclidean", runs))
    n, d, each, k = TEXTS
    rows.append(row(f"{n:,} × {d:,} sparse, {each} a row, cosine, {k} centres", texts(), k, "cosine", runs))
    print(machine(), end="\n\n")
    print(table(["rows × features", "shoal s", "scikit-learn s", "times faster", "potential, theirs = 1"], rows))


if __name__ == "__main__":
    main()
