"""Trees in linear memory: beside fastcluster's vector mode and, where they are installed, other spanning trees."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import fastcluster
import numpy as np

import shoal
from common import in_turn, peak_bytes, table


def points(n: int, d: int, dtype: str = "float64") -> np.ndarray:
    """Standard normal points."""
    return np.random.default_rng(0).normal(size=(n, d)).astype(dtype)


def seconds(work: Callable[[], Any], runs: int = 1) -> float:
    """Median seconds of one piece of work."""
    return in_turn(runs, work=work)["work"]


def against_fastcluster() -> str:
    """Ward beside fastcluster.linkage_vector."""
    rows = []
    for n, d, runs in ((10_000, 2, 3), (20_000, 10, 3), (10_000, 100, 1)):
        X = points(n, d)
        shoal.linkage(X[:2000])
        found: dict[str, Any] = {}
        took = in_turn(runs, shoal=lambda X=X, f=found: f.update(tree=shoal.linkage(X)),
                       fast=lambda X=X, f=found: f.update(Z=fastcluster.linkage_vector(X, "ward")))
        worst = np.max(np.abs(found["tree"].merges.height / found["Z"][:, 2] - 1))
        rows.append((f"ward {n:,} × {d}", found["tree"].engine, took["fast"], took["shoal"],
                     f"{took['fast'] / took['shoal']:.1f}×", f"{worst:.0e}"))
    return "### Ward beside fastcluster.linkage_vector\n\n" + table(
        ("work", "engine", "fastcluster s", "shoal s", "ratio", "largest relative difference of heights"), rows)


def spanning() -> str:
    """Single linkage, beside quitefastmst on two threads where it is installed."""
    peer = importlib.util.find_spec("quitefastmst") is not None
    rows = []
    for n, d, runs in ((1_000_000, 2, 3), (1_000_000, 5, 1), (100_000, 10, 1), (30_000, 50, 1)):
        X = points(n, d)
        shoal.spanning_tree(X[:3000])
        took = in_turn(runs, shoal=lambda X=X: shoal.spanning_tree(X))
        other: Any = "not installed"
        if peer:
            import quitefastmst

            other = seconds(lambda X=X: quitefastmst.mst_euclid(X, 0), runs)
        rows.append((f"{n:,} × {d}", other, took["shoal"],
                     f"{other / took['shoal']:.1f}×" if peer else ""))
    return "### Spanning trees\n\n" + table(("points", "quitefastmst s", "shoal s", "ratio"), rows)


def alone() -> str:
    """What no peer does in this memory."""
    rows = []
    for n, d, dtype, method, metric in ((1_000_000, 2, "float64", "ward", "euclidean"),
                                        (100_000, 10, "float64", "ward", "euclidean"),
                                        (54_000, 100, "float32", "ward", "euclidean"),
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
    return "### In linear memory\n\n" + table(
        ("work", "engine", "shoal s", "peak of the whole process"), rows)


def growth() -> str:
    """How ward grows with n and d."""
    rows = []
    for d, sizes in ((2, (10_000, 100_000, 1_000_000)), (5, (10_000, 30_000, 100_000)), (10, (5_000, 10_000, 20_000))):
        for n in sizes:
            X = points(n, d)
            took = seconds(lambda X=X: shoal.linkage(X), 3 if n <= 100_000 else 1)
            rows.append((d, f"{n:,}", shoal.plan(n, d).engine, took, f"{1e6 * took / n:.1f}"))
    return "### Growth: ward\n\n" + table(("d", "n", "engine", "s", "µs an item"), rows)


def hard() -> str:
    """Data made to hurt, 20,000 × 2, ward and single."""
    n, rng = 20_000, np.random.default_rng(0)
    sets = {
        "normal": rng.normal(size=(n, 2)),
        "every point 20 times": np.repeat(rng.normal(size=(n // 20, 2)), 20, axis=0),
        "one far outlier": np.concatenate([1e-3 * rng.normal(size=(n - 1, 2)), [[1e6, 1e6]]]),
        "regular grid": np.stack(np.meshgrid(np.arange(200.0), np.arange(100.0)), -1).reshape(-1, 2),
        "exponential gaps": np.pad(1.02 ** np.arange(n / 2)[:, None], ((0, n // 2), (0, 1)))[:n],
        "heavy tails": rng.standard_cauchy(size=(n, 2)),
    }
    rows = []
    for name, X in sets.items():
        took = in_turn(3, ward=lambda X=X: shoal.linkage(X), single=lambda X=X: shoal.linkage(X, "single"))
        rows.append((name, took["ward"], took["single"]))
    return "### Data made to hurt: 20,000 × 2\n\n" + table(("data", "ward s", "single s"), rows)


def main() -> None:
    """Print all tables."""
    for part in (against_fastcluster, spanning, hard, growth, alone):
        print(part(), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
