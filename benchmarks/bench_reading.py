"""Reading a tree: cuts, how well it keeps distances, order of leaves, new items; beside scikit-learn and scipy."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist
from sklearn.metrics import silhouette_score

import shoal
from common import in_turn, peak_bytes, table
from shoal.cuts.flat import Subject
from shoal.cuts.rules import cut_by_rule
from shoal.judge.indices import indices_of_cuts
from shoal.trees.merges import from_nodes

SOME = (2, 20, 50)  # of the 49 k, for scikit-learn: all of them take minutes


def points(n: int, d: int, groups: int = 1) -> np.ndarray:
    """Normal points, in groups if more than one."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, d)) + 6 * rng.normal(size=(groups, d))[rng.integers(groups, size=n)]


def seconds(work: Callable[[], Any]) -> float:
    """Wall seconds of one piece of work."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def beside_peers() -> str:
    """All-k silhouettes, the cophenetic correlation, the order of leaves, scipy's own names."""
    rows: list[tuple[Any, ...]] = []
    X = points(20_000, 20, 8)
    tree = shoal.linkage(X)
    indices_of_cuts(shoal.linkage(X[:2000]).merges, 50, "silhouette", shoal.points(X[:2000]), np.ones(2000), method="ward")
    ours = seconds(lambda: indices_of_cuts(tree.merges, 50, "silhouette", tree.data, np.ones(20_000), method="ward"))
    theirs = seconds(lambda: [silhouette_score(X, tree.cut(k=k).labels) for k in SOME]) * 49 / len(SOME)
    rows.append(("silhouette of k = 2 … 50, 20,000 × 20", f"scikit-learn, {len(SOME)} of 49 k, scaled", theirs, ours))
    X = points(20_000, 10)
    tree = shoal.linkage(X, "average", engine="stored")
    tree.cophenetic_correlation()
    Z, D = tree.to_scipy(), pdist(X)
    took = in_turn(1, shoal=tree.cophenetic_correlation, scipy=lambda: hierarchy.cophenet(Z, D))
    rows.append(("cophenetic correlation, 20,000 × 10 (ours from the points, scipy's from distances at hand)", "scipy",
                 took["scipy"], took["shoal"]))
    X = points(2000, 10)
    for method in ("average", "ward"):
        Z, D = hierarchy.linkage(X, method), pdist(X)
        shoal.hierarchy.optimal_leaf_ordering(hierarchy.linkage(X[:200], method), X[:200])
        found: dict[str, Any] = {}
        took = in_turn(1, shoal=lambda Z=Z, D=D, f=found: f.update(a=shoal.hierarchy.optimal_leaf_ordering(Z, D)),
                       scipy=lambda Z=Z, D=D, f=found: f.update(b=hierarchy.optimal_leaf_ordering(Z, D)))
        lengths = [np.linalg.norm(np.diff(X[hierarchy.leaves_list(found[key])], axis=0), axis=1).sum() for key in "ab"]
        rows.append((f"order of leaves, 2,000, {method} (ours {lengths[0]:,.0f} long, scipy's {lengths[1]:,.0f})", "scipy",
                     took["scipy"], took["shoal"]))
    X = points(10_000, 10)
    for method in ("average", "ward"):
        took = in_turn(3, **{name: (lambda h=h, m=method: h.fcluster(h.linkage(X, m), 10, "maxclust"))
                             for name, h in (("shoal", shoal.hierarchy), ("scipy", hierarchy))})
        rows.append((f"linkage + fcluster, {method}, 10,000 × 10", "scipy", took["scipy"], took["shoal"]))
    return "### Beside scipy and scikit-learn\n\n" + table(("work", "peer", "peer s", "shoal s", "ratio"), [
        (*row, f"{row[2] / row[3]:.0f}×" if row[2] > 10 * row[3] else f"{row[2] / row[3]:.1f}×") for row in rows])


def alone() -> str:
    """A million leaves, suggestions and new items."""
    n, rng = 1_000_000, np.random.default_rng(0)
    height = np.sort(rng.exponential(size=n - 1))
    merges = shoal.linkage(points(n, 2, 200)).merges
    chain = from_nodes(np.r_[0, np.arange(n, 2 * n - 2)], np.arange(1, n), height)
    rows: list[tuple[Any, ...]] = []
    for name, options in (("dynamic", {}), ("stable", {"min_size": 100}), ("persistence", {"min_size": 100}),
                          ("inconsistent", {"depth": 4}), ("gap", {})):
        took = [min(seconds(lambda m=m, r=name, o=options: cut_by_rule(r, Subject(m), **o)) for _ in range(2))
                for m in (merges, chain)]
        rows.append((f"{name} cut of a million leaves: 200 groups, a chain", f"{took[0]:.2g}, {took[1]:.2g}"))
    for size, d, groups in ((2000, 10, 5), (100_000, 5, 6)):
        tree = shoal.linkage(points(size, d, groups))
        tree.suggest_cuts()
        rows.append((f"suggest_cuts, {size:,} × {d}", seconds(tree.suggest_cuts)))
        rows.append((f"the table of rules beside it, {size:,} × {d}", seconds(lambda t=tree: t.suggest_cuts().rules)))
    X = points(100_000, 5)
    tree, new = shoal.linkage(X), np.random.default_rng(1).normal(size=(10_000, 5))
    tree.place(new[:10])
    for name, shift in (("like the old", X.mean(axis=0)), ("far from them: 12 standard deviations", X.mean(axis=0) + 5.4)):
        rows.append((f"place, 10,000 new points {name}, in a ward tree of 100,000 × 5",
                     seconds(lambda s=shift: tree.place(new + s))))
    cut = tree.cut(k=10)
    rows.append(("predict, the same, k = 10", seconds(lambda: cut.predict(new))))
    make = "import numpy as np, shoal; X = np.random.default_rng(0).normal(size=(20000, 10)); t = shoal.linkage(X);"
    peak = peak_bytes(make + "t.cophenetic_correlation()") - peak_bytes(make)
    rows.append(("memory of the cophenetic correlation, 20,000 × 10, beyond the tree", f"{peak / 1e6:.0f} MB"))
    return "### Reading trees\n\n" + table(("work", "s"), rows)


def main() -> None:
    """Print all tables."""
    for part in (beside_peers, alone):
        print(part(), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
