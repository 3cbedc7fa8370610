"""Trees: the stored-matrix engine beside scipy and fastcluster, on the same matrix in the same run."""

from __future__ import annotations

import fastcluster
import numpy as np
import scipy.cluster.hierarchy as scipy_hierarchy
from scipy.spatial.distance import pdist

from common import in_turn, peak_bytes, table
from shoal.data.metrics import resolve_metric
from shoal.trees.merges import to_scipy
from shoal.trees.stored import METHODS, linkage_stored


def data(n: int, d: int, kind: str) -> np.ndarray:
    """Standard normal points, or 50 round groups of them."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d))
    return X if kind == "normal" else X + 8 * rng.normal(size=(50, d))[rng.integers(50, size=n)]


def stored_matrix(n: int, d: int, kind: str, runs: int) -> str:
    """All seven methods from one condensed matrix; Shoal's copy of it is counted as Shoal's time."""
    D = pdist(data(n, d, kind))
    rows = []
    for method in METHODS:
        linkage_stored(D[: 500 * 499 // 2].copy(), 500, method)  # compile, as the peers were compiled
        found: dict[str, np.ndarray] = {}

        def shoal(method: str = method, found: dict = found) -> None:
            found["shoal"] = to_scipy(linkage_stored(D if method == "single" else D.copy(), n, method))

        def scipy(method: str = method, found: dict = found) -> None:
            found["scipy"] = scipy_hierarchy.linkage(D, method)

        def fast(method: str = method, found: dict = found) -> None:
            found["fast"] = fastcluster.linkage(D, method)

        took = in_turn(runs, shoal=shoal, scipy=scipy, fastcluster=fast)
        worst = np.max(np.abs(np.sort(found["shoal"][:, 2]) / np.sort(found["scipy"][:, 2]) - 1))
        best = min(took["scipy"], took["fastcluster"])
        rows.append((method, took["scipy"], took["fastcluster"], took["shoal"], f"{best / took['shoal']:.1f}×",
                     f"{worst:.0e}"))
    head = ("method", "scipy s", "fastcluster s", "shoal s", "against the better", "largest relative difference of heights")
    return f"### {n:,} × {d} {kind}, from a condensed float64 matrix\n\n" + table(head, rows)


def distances(n: int, runs: int) -> str:
    """Condensed distances of points, beside scipy's pdist."""
    rows = []
    for d in (10, 100):
        X = data(n, d, "normal")
        for name in ("euclidean", "cityblock", "cosine", "canberra"):
            metric = resolve_metric(name, X)
            metric.condensed(X[:400])
            took = in_turn(runs, shoal=lambda m=metric, X=X: m.condensed(X), scipy=lambda m=name, X=X: pdist(X, m))
            rows.append((f"{n:,} × {d}", name, took["scipy"], took["shoal"], f"{took['scipy'] / took['shoal']:.1f}×"))
    return "### Distances\n\n" + table(("points", "metric", "scipy pdist s", "shoal s", "ratio"), rows)


MEMORY = {
    "shoal": "import shoal; shoal.linkage(X, {m!r})",
    "scipy": "import scipy.cluster.hierarchy as h; h.linkage(X, {m!r})",
    "fastcluster": "import fastcluster; fastcluster.linkage(X, {m!r})",
}


def memory(n: int, d: int) -> str:
    """Peak RSS of a fresh process that clusters points, beyond one that only makes them; in matrices of n(n-1)/2."""
    rows = []
    for dtype in ("float64", "float32"):
        make = ("import numpy as np, scipy.spatial.distance;"
                f"X = np.random.default_rng(0).normal(size=({n}, {d})).astype({dtype!r});")
        base = peak_bytes(make + "import shoal; shoal.linkage(X[:600], 'average')")
        for who, work in MEMORY.items():
            peak = peak_bytes(make + work.format(m="average")) - base
            rows.append((who, dtype, f"{peak / 1e6:.0f} MB", peak / (8 * n * (n - 1) / 2)))
    return f"### Memory: average linkage of {n:,} × {d} points\n\n" + table(
        ("", "data", "peak beyond the start", "in float64 matrices"), rows)


def growth(d: int) -> str:
    """How time grows with n, for a reducible method and one that is not."""
    rows = []
    for n in (2500, 5000, 10000, 20000):
        D = pdist(data(n, d, "normal"))
        took = in_turn(3, average=lambda D=D, n=n: linkage_stored(D.copy(), n, "average"),
                       centroid=lambda D=D, n=n: linkage_stored(D.copy(), n, "centroid"))
        rows.append((f"{n:,}", took["average"], took["centroid"],
                     *(f"{1e9 * t / (n * (n - 1) / 2):.1f}" for t in took.values())))
    return "### Growth with n\n\n" + table(("n", "average s", "centroid s", "average ns a pair", "centroid ns a pair"), rows)


def main() -> None:
    """Print all tables."""
    for kind in ("normal", "groups"):
        print(stored_matrix(10_000, 10, kind, 3), end="\n\n", flush=True)
    print(distances(6000, 5), end="\n\n", flush=True)
    print(memory(10_000, 10), end="\n\n", flush=True)
    print(growth(10), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
