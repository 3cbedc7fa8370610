"""Spectral clustering beside scikit-learn: dense similarities, graphs of nearest neighbours, landmarks.

    python benchmarks/bench_spectral.py [small]

Processor seconds of the whole call are given beside the wall clock's, since they hold on a busy machine as well; the peers'
BLAS has as many threads as we have. "small" leaves out what takes scikit-learn minutes.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score

from common import machine, table
from shoal.estimators.spectral import Spectral

K = 10
SMALL = 60.0  # expected seconds of the peer that "small" still runs


def mixture(n: int, d: int, apart: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Ten overlapping clouds."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, K, n)
    return (rng.normal(size=(K, d))[truth] * apart + rng.normal(size=(n, d))).astype(np.float32), truth


def dense(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian similarities of all pairs, float32, exactly symmetric."""
    X, truth = mixture(n, 20, 1.0)
    squares = np.einsum("ij,ij->i", X, X)
    S = X @ X.T
    for start in range(0, n, 1000):
        rows = S[start:start + 1000]
        rows *= 2
        rows -= squares
        rows -= squares[start:start + 1000, None]
        rows /= 36
        np.exp(rows, out=rows)
    for i in range(n):
        S[i, i] = 1
        S[i, i + 1:] = S[i + 1:, i]
    return S, truth


def timed(work: Callable[[], Any], truth: np.ndarray) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and agreement with the truth."""
    wall, cpu = time.perf_counter(), time.process_time()
    labels = work()
    return time.perf_counter() - wall, time.process_time() - cpu, adjusted_rand_score(truth, labels)


def cases(small: bool) -> Iterator[tuple[str, Any, np.ndarray, dict[str, Any], dict[str, dict[str, Any]]]]:
    """Name, data, truth, our options, and the peer's by name."""
    for n, peers in ((5_000, ("arpack", "lobpcg")), (20_000, ("lobpcg",) if small else ("arpack", "lobpcg"))):
        S, truth = dense(n)
        yield f"dense {n:,}²", S, truth, {}, {solver: {"affinity": "precomputed", "eigen_solver": solver}
                                             for solver in peers}
    for n, d, apart, slow in ((20_000, 20, 1.0, False), (100_000, 10, 1.5, True)):
        X, truth = mixture(n, d, apart)
        theirs = {"arpack": {"affinity": "nearest_neighbors", "n_neighbors": 16, "n_jobs": 2}}
        yield f"neighbours {n:,} x {d}", X, truth, {"affinity": "neighbors"}, {} if slow and small else theirs
    X, truth = mixture(1_000_000, 10, 1.5)
    yield "1,000 landmarks, 1,000,000 x 10", X, truth, {"affinity": "neighbors", "landmarks": 1000, "random_state": 0}, {}


def main(small: bool = False) -> None:
    """Print a table."""
    warnings.simplefilter("ignore")  # the peer's, about graphs in parts
    print(machine())
    print()
    for options in ({"affinity": "neighbors"}, {"affinity": "neighbors", "landmarks": 50, "random_state": 0}):
        Spectral(3, **options).fit(mixture(2_000, 10, 3.0)[0])  # compiles
    Spectral(3).fit(dense(500)[0])
    rows = []
    for name, data, truth, ours, theirs in cases(small):
        mine = timed(lambda data=data, ours=ours: Spectral(K, **ours).fit(data).labels_, truth)
        rows.append([name, "shoal", *mine, ""])
        for solver, options in theirs.items():
            model = SpectralClustering(K, random_state=0, **options)
            peer = timed(lambda data=data, model=model: model.fit(data).labels_, truth)
            rows.append([name, f"scikit-learn, {solver}", *peer, f"{peer[0] / mine[0]:.1f} / {peer[1] / mine[1]:.1f}"])
    print(table(["data", "", "wall s", "processor s", "adjusted Rand", "times as long (wall / processor)"], rows))


if __name__ == "__main__":
    main("small" in sys.argv[1:])
