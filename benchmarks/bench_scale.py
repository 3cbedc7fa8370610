"""Trees in linear memory: beside fastcluster's vector mode and, where they are installed, other spanning trees."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import fastcluster
import numpy as np
from scipy import sparse
from scipy.spatial.distance import pdist

import shoal
from common import in_turn, peak_bytes, table


def points(n: int, d: int, dtype: str = "float64") -> np.ndarray:
    """Standard normal points."""
    return np.random.default_rng(0).normal(size=(n, d)).astype(dtype)


def seconds(work: Callable[[], Any], runs: int = 1) -> float:
    """Median seconds of one piece of work."""
    return in_turn(runs, work=work)["work"]


def against_fastcluster() -> str:
    """Ward, centroid and median beside fastcluster.linkage_vector."""
    rows = []
    for method, n, d, runs in (("ward", 10_000, 2, 3), ("ward", 20_000, 10, 3), ("ward", 10_000, 100, 1),
                               ("centroid", 50_000, 3, 1), ("median", 50_000, 3, 1)):
        X = points(n, d)
        shoal.linkage(X[:2000], method)
        found: dict[str, Any] = {}
        took = in_turn(runs, shoal=lambda X=X, m=method, f=found: f.update(tree=shoal.linkage(X, m)),
                       fast=lambda X=X, m=method, f=found: f.update(Z=fastcluster.linkage_vector(X, m)))
        ours, theirs = np.sort(found["tree"].merges.height), np.sort(found["Z"][:, 2])
        rows.append((f"{method} {n:,} × {d}", found["tree"].engine, took["fast"], took["shoal"],
                     f"{took['fast'] / took['shoal']:.1f}×", f"{np.max(np.abs(ours / theirs - 1)):.0e}"))
    return "### Beside fastcluster.linkage_vector\n\n" + table(
        ("work", "engine", "fastcluster s", "shoal s", "ratio", "largest relative difference of heights"), rows)


def spanning() -> str:
    """Single linkage, beside those spanning trees on two threads that are installed."""
    peers: dict[str, Callable[[np.ndarray], Any]] = {}
    if importlib.util.find_spec("quitefastmst") is not None:
        import quitefastmst

        peers["quitefastmst"] = lambda X: quitefastmst.mst_euclid(X, 0)
    if importlib.util.find_spec("fast_hdbscan") is not None:
        from fast_hdbscan.hdbscan import compute_minimum_spanning_tree

        peers["fast_hdbscan"] = lambda X: compute_minimum_spanning_tree(X, min_samples=1)
    rows = []
    for n, d, runs in ((1_000_000, 2, 3), (1_000_000, 5, 1), (100_000, 10, 1), (30_000, 50, 1)):
        X = points(n, d)
        contestants = {"shoal": shoal.spanning_tree, **peers}
        for work in contestants.values():
            work(X[:3000])
        took = in_turn(runs, **{name: (lambda w=work, X=X: w(X)) for name, work in contestants.items()})
        rows.append((f"{n:,} × {d}", took["shoal"],
                     *(f"{took[name]:.3g} ({took[name] / took['shoal']:.1f}×)" for name in peers)))
    return "### Spanning trees\n\n" + table(("points", "shoal s", *(f"{name} s" for name in peers)), rows)


def alone() -> str:
    """What no peer does in this memory."""
    rows = []
    for n, d, dtype, method, metric in ((1_000_000, 2, "float64", "ward", "euclidean"),
                                        (100_000, 10, "float64", "ward", "euclidean"),
                                        (54_000, 100, "float32", "ward", "euclidean"),
                                        (100_000, 3, "float64", "average", "euclidean"),
                                        (100_000, 3, "float64", "complete", "euclidean"),
                                        (100_000, 3, "float64", "weighted", "euclidean"),
                                        (50_000, 256, "float32", "average", "cosine")):
        X = points(n, d, dtype)
        if metric == "cosine":  # groups, as embeddings have
            X = X + 2 * points(200, d, dtype)[np.random.default_rng(1).integers(200, size=n)]
        carrier = shoal.points(X, metric)
        shoal.linkage(shoal.points(X[:6000], metric), method)
        took = seconds(lambda c=carrier, m=method: shoal.linkage(c, m))
        make = f"import numpy as np, shoal; X = np.random.default_rng(0).normal(size=({n}, {d})).astype({dtype!r});"
        work = f"shoal.linkage(shoal.points(X, {metric!r}), {method!r})"
        peak = peak_bytes(make + work)
        rows.append((f"{method} {metric} {n:,} × {d} {dtype}", shoal.plan(n, d, method, metric=metric).engine, took,
                     f"{peak / 1e6:.0f} MB"))
    rows.append(sparse_average())
    X, D = points(20_000, 3), None
    D = pdist(X)
    took = in_turn(1, **{m: (lambda m=m: fastcluster.linkage(D, m)) for m in ("average", "complete", "weighted")})
    scaled = ", ".join(f"{m} {s:.3g} s, × 25 = {25 * s:.0f} s" for m, s in took.items())
    note = f"No peer does these at 100,000 × 3; fastcluster with all distances at 20,000 × 3: {scaled}."
    return "### In linear memory\n\n" + table(
        ("work", "engine", "shoal s", "peak of the whole process"), rows) + "\n\n" + note


def sparse_average() -> tuple[Any, ...]:
    """Average linkage of 50,000 sparse rows of 256, a tenth of them full, under cosine."""
    make = ("import numpy as np, shoal; from scipy import sparse;"
            "X = sparse.random_array((50_000, 256), density=0.1, rng=np.random.default_rng(0), format='csr',"
            "dtype=np.float32); shoal.linkage(shoal.points(X, 'cosine'), 'average')")
    X = sparse.random_array((50_000, 256), density=0.1, rng=np.random.default_rng(0), format="csr", dtype=np.float32)
    carrier = shoal.points(X, "cosine")
    shoal.linkage(shoal.points(X[:3000], "cosine"), "average")
    took = seconds(lambda: shoal.linkage(carrier, "average"))
    return "average cosine 50,000 × 256 CSR, 10 % full", "blocked", took, f"{peak_bytes(make) / 1e6:.0f} MB"


def growth() -> str:
    """How time grows with n and d."""
    rows = []
    for method, d, sizes in (("ward", 2, (10_000, 100_000, 1_000_000, 2_000_000)), ("ward", 5, (10_000, 100_000, 1_000_000)),
                             ("ward", 10, (10_000, 30_000, 100_000)), ("average", 2, (10_000, 30_000, 100_000)),
                             ("average", 3, (10_000, 30_000, 100_000)), ("centroid", 3, (10_000, 100_000, 300_000))):
        for n in sizes:
            X = points(n, d)
            took = seconds(lambda X=X, m=method: shoal.linkage(X, m), 3 if n < 100_000 else 1)
            rows.append((method, d, f"{n:,}", shoal.plan(n, d, method).engine, took, f"{1e6 * took / n:.1f}"))
    return "### Growth\n\n" + table(("method", "d", "n", "engine", "s", "µs an item"), rows)


def hard() -> str:
    """Data made to hurt, 20,000 × 2, every method."""
    n, rng = 20_000, np.random.default_rng(0)
    sets = {
        "normal": rng.normal(size=(n, 2)),
        "every point 20 times": np.repeat(rng.normal(size=(n // 20, 2)), 20, axis=0),
        "one far outlier": np.concatenate([1e-3 * rng.normal(size=(n - 1, 2)), [[1e6, 1e6]]]),
        "regular grid": np.stack(np.meshgrid(np.arange(200.0), np.arange(100.0)), -1).reshape(-1, 2),
        "exponential gaps": np.pad(1.02 ** np.arange(n / 2)[:, None], ((0, n // 2), (0, 1)))[:n],
        "heavy tails": rng.standard_cauchy(size=(n, 2)),
    }
    methods, rows = ("ward", "single", "average", "complete", "weighted", "centroid", "median"), []
    for name, X in sets.items():
        took = in_turn(1, **{m: (lambda X=X, m=m: shoal.linkage(X, m)) for m in methods})
        rows.append((name, *took.values()))
    return "### Data made to hurt: 20,000 × 2\n\n" + table(("data", *(f"{m} s" for m in methods)), rows)


def main() -> None:
    """Print all tables."""
    for part in (against_fastcluster, spanning, hard, growth, alone):
        print(part(), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
