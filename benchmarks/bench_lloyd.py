"""Lloyd's iterations from one shared start beside scikit-learn, faiss and pyfuel; and nearest centres of items."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import faiss
import fuel.cluster
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs

from common import in_turn, table
from shoal.centers.lloyd import lloyd, nearest

CASES = ((1_000_000, 2, 100), (200_000, 8, 256), (100_000, 50, 100), (50_000, 128, 500))
ITERATIONS, RUNS, THREADS = 50, 3, 2
FUEL = {True: ("shallot", "simp_elkan"), False: ("simp_elkan", "lloyd_blas")}  # few features or not: the faster ones there


def blobs(n: int, d: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Float32 items around k points, and k of them to begin with."""
    X = make_blobs(n, d, centers=k, random_state=0)[0].astype(np.float32)
    return X, X[np.random.default_rng(1).choice(n, k, replace=False)].copy()


def contestants(X: np.ndarray, C: np.ndarray, ended: dict[str, np.ndarray]) -> dict[str, Callable[[], Any]]:
    """One fit each; `ended` gets its centres."""
    k, steps = len(C), {"n": ITERATIONS}

    def shoal() -> None:
        fit = lloyd(X, C, max_iter=ITERATIONS)
        ended["shoal"], steps["n"] = fit.centers, fit.n_iter

    def sklearn() -> None:
        ended["sklearn"] = KMeans(k, init=C, n_init=1, max_iter=ITERATIONS, tol=0).fit(X).cluster_centers_

    def by_faiss() -> None:  # it has no test of convergence: as many iterations as the others take
        fit = faiss.Kmeans(X.shape[1], k, niter=steps["n"], max_points_per_centroid=len(X))
        fit.train(X, init_centroids=C)
        ended["faiss"] = fit.centroids

    def by_fuel(variant: str) -> None:
        ended[variant] = fuel.cluster.kmeans(X, k=k, variant=variant, max_iter=ITERATIONS, init=C).centers

    return {"shoal": shoal, "sklearn": sklearn, "faiss": by_faiss,
            **{v: (lambda v=v: by_fuel(v)) for v in FUEL[X.shape[1] < 50]}}


def fits() -> str:
    rows = []
    for n, d, k in CASES:
        X, C = blobs(n, d, k)
        ended: dict[str, np.ndarray] = {}
        work = contestants(X, C, ended)
        work["shoal"]()  # compiled before the clock starts
        took = in_turn(RUNS, **work)
        best = min(seconds for name, seconds in took.items() if name != "shoal")
        inertia = {name: float(nearest(X, centers)[1].sum()) for name, centers in ended.items()}
        rows.append((f"{n:,} × {d}, {k}", *(f"{took[name]:.3g} ({inertia[name]:.5g})" for name in took),
                     f"{best / took['shoal']:.1f}"))
    both = " | ".join(f"pyfuel {one} or {other}" for one, other in zip(*FUEL.values(), strict=True))
    head = ("n × d, k", "shoal", "scikit-learn", "faiss", both, "best peer / shoal")
    return f"### {ITERATIONS} iterations from one random start: seconds (inertia)\n\n{table(head, rows)}"


def predictions() -> str:
    rows = []
    for n, d, k in ((1_000_000, 8, 256), *CASES[2:]):
        X, C = blobs(n, d, k)
        model = KMeans(k, init=C, n_init=1, max_iter=1).fit(X)
        nearest(X, C)
        took = in_turn(RUNS, shoal=lambda x=X, c=C: nearest(x, c), sklearn=lambda x=X, m=model: m.predict(x))
        rows.append((f"{n:,} × {d}, {k}", took["shoal"], took["sklearn"], f"{took['sklearn'] / took['shoal']:.1f}"))
    return "### Nearest centres: seconds\n\n" + table(("n × d, k", "shoal", "scikit-learn predict", "ratio"), rows)


def main() -> None:
    """Print the tables."""
    faiss.omp_set_num_threads(THREADS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        print(fits() + "\n")
        print(predictions())


if __name__ == "__main__":
    main()
