"""Kernel k-means beside tslearn's, and classical scaling beside scikit-learn's.

    python benchmarks/bench_kernelized.py

CPU seconds of the whole process, best of two, each contestant given the same matrix. tslearn is not among the
dependencies; where it is missing, its algorithm is run instead: all items to the nearest mean, with the sums of every
cluster taken from a copy of its columns.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import eigh
from scipy.spatial.distance import cdist
from sklearn.datasets import make_blobs
from sklearn.metrics.pairwise import rbf_kernel

from common import machine, table
from shoal.estimators.kernel_kmeans import KernelKMeans
from shoal.estimators.mds import MDS

K = 20


def cpu(work: Callable[[], Any], runs: int = 2) -> tuple[float, Any]:
    """Least CPU seconds of the process, all threads together, and the last result."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        found = work()
        times.append(time.process_time() - start)
    return min(times), found


def batch_kernel_kmeans(G: np.ndarray, k: int, seed: int, max_iter: int = 300) -> np.ndarray:
    """Lloyd's algorithm on a Gram matrix, from random labels."""
    labels = np.random.default_rng(seed).integers(k, size=len(G))
    for _ in range(max_iter):
        far = np.full((len(G), k), np.inf)
        for c in np.unique(labels):
            own = labels == c
            far[:, c] = G[own][:, own].mean() - 2.0 * G[:, own].mean(axis=1)
        if np.array_equal(new := far.argmin(axis=1), labels):
            break
        labels = new
    return labels


def inertia(G: np.ndarray, labels: np.ndarray) -> float:
    return float(G.trace() - sum(G[np.ix_(own, own)].sum() / len(own)
                                 for own in (np.flatnonzero(labels == c) for c in np.unique(labels))))


def peer(G: np.ndarray) -> tuple[str, Callable[[], np.ndarray]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from tslearn.clustering import KernelKMeans as Tslearn
    except ImportError:
        return "batch, as tslearn", lambda: batch_kernel_kmeans(G, K, 0)
    return "tslearn", lambda: Tslearn(K, kernel="precomputed", max_iter=300, random_state=0).fit(G).labels_


def kernel_rows() -> list[list[Any]]:
    rows = []
    for n, dtype in ((4000, np.float64), (10_000, np.float64), (10_000, np.float32)):
        X, _ = make_blobs(n, 8, centers=K, cluster_std=2.5, random_state=0)
        G = rbf_kernel(X, gamma=1 / 50).astype(dtype)
        ours, model = cpu(lambda G=G: KernelKMeans(K, n_init=1, random_state=0).fit(G))
        four, best = cpu(lambda G=G: KernelKMeans(K, random_state=0).fit(G))
        name, work = peer(G)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs, labels = cpu(work, 1)
        rows.append([f"{n:,}² {np.dtype(dtype).name}", ours, four, f"{theirs:.3g} ({name})", f"{theirs / ours:.0f}x",
                     *(f"{inertia(G, found):.0f}" for found in (model.labels_, best.labels_, labels))])
    return rows


def scaling_rows() -> list[list[Any]]:
    rows = []
    for n in (3000, 10_000):
        X, _ = make_blobs(n, 20, centers=10, cluster_std=1.5, random_state=0)
        D = cdist(X, X, "cityblock")
        ours, model = cpu(lambda D=D: MDS(2).fit(D))
        if n > 3000:  # O(n³): minutes
            rows.append([f"{n:,}", ours, "not run", "", model.stress_, ""])
            continue

        def dense(D: np.ndarray = D, n: int = n) -> np.ndarray:
            B = D**2
            B -= B.mean(axis=0)
            B -= B.mean(axis=1, keepdims=True)
            return np.asarray(eigh(B / -2.0, subset_by_index=[n - 2, n - 1])[0])

        theirs, values = cpu(dense, 1)
        apart = float(np.abs(model.eigenvalues_ / values[::-1] - 1.0).max())
        rows.append([f"{n:,}", ours, theirs, f"{theirs / ours:.0f}x", model.stress_, f"{apart:.0e}"])
    return rows


def main() -> None:
    print("Kernel k-means, 20 clusters of a Gaussian kernel's values, CPU seconds, reading and checking included:\n")
    print(table(["matrix", "Shoal, 1 start", "Shoal, 4 starts", "peer, 1 start", "ratio of 1 start", "inertia",
                 "of 4 starts", "of the peer"], kernel_rows()), flush=True)
    print("\nClassical scaling of city-block distances into 2 dimensions, with stress and negative eigenvalues (Shoal), "
          "against scipy's eigh for the two largest eigenvalues:\n")
    print(table(["items", "Shoal", "scipy", "ratio", "stress", "eigenvalues apart, relative"], scaling_rows()), flush=True)


if __name__ == "__main__":
    print(f"Measured on: {machine()}\n", flush=True)
    main()
