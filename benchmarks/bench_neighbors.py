"""Nearest neighbours beside scikit-learn and faiss: float32, CPU seconds on one thread, where none waits for another."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from common import table
from shoal.graphs.neighbors import neighbors
from shoal.runtime import pool

K, THREADS = 15, 2
SHAPES = ((100_000, 2), (100_000, 5), (100_000, 10), (50_000, 30), (50_000, 100))


def seconds(runs: int, work: Callable[[], Any]) -> float:
    """The least wall seconds of some runs."""
    took = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return min(took)


def by_sklearn(X: np.ndarray, algorithm: str) -> None:
    with threadpool_limits(THREADS):
        NearestNeighbors(n_neighbors=K, algorithm=algorithm, n_jobs=THREADS).fit(X).kneighbors()


def by_faiss(X: np.ndarray) -> None:
    faiss.omp_set_num_threads(THREADS)
    flat = faiss.IndexFlatL2(X.shape[1])
    flat.add(X)
    flat.search(X, K + 1)


def clusters(n: int, d: int) -> np.ndarray:
    """Fifty round groups, as data to cluster is rather than one cloud."""
    rng = np.random.default_rng(1)
    return (rng.normal(size=(n, d)) + 8 * rng.normal(size=(50, d))[rng.integers(50, size=n)]).astype(np.float32)


def row(n: int, d: int, name: str, X: np.ndarray) -> tuple[Any, ...]:
    """One line of the table. The peers run once: they take up to a minute."""
    neighbors(X[:3000], K)  # compile, as the peers were
    engine = neighbors(X, K).engine
    ours = seconds(2, lambda: neighbors(X, K))
    peers = {"brute": seconds(1, lambda: by_sklearn(X, "brute")), "faiss": seconds(1, lambda: by_faiss(X)),
             "kd_tree": seconds(1, lambda: by_sklearn(X, "kd_tree")) if d <= 10 else float("nan")}
    best = float(np.nanmin(list(peers.values())))
    return (f"{n:,} × {d} {name}", engine, ours, peers["kd_tree"], peers["brute"], peers["faiss"], f"{best / ours:.1f}×")


def main() -> None:
    """Print the table."""
    pool.set_threads(THREADS)
    rows = []
    for n, d in SHAPES:
        rows.append(row(n, d, "normal", np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)))
        rows.append(row(n, d, "50 groups", clusters(n, d)))
    head = ("data", "engine", "shoal s", "scikit-learn kd_tree s", "brute s", "faiss IndexFlatL2 s", "against the best")
    print(f"### {K} nearest neighbours, float32, {THREADS} threads\n\n" + table(head, rows))


if __name__ == "__main__":
    main()
