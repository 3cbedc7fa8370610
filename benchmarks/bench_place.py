"""How often new items get the label a refit gives them, by linkage, on real data; and how long placing takes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn import datasets

import shoal
from common import ROOT, in_turn, table
from shoal.treecut import Placed
from shoal.trees.insert import insert

METHODS = ("ward", "average", "complete", "weighted", "single", "centroid", "median")
COUNTS, SPLITS = (2, 3, 5, 10, 20), 5
COLUMNS = ("predict", "place", "nearest item", "new", "place, same height")


def data_sets() -> Iterator[tuple[str, np.ndarray]]:
    """Standardised features."""
    for load in (datasets.load_iris, datasets.load_wine, datasets.load_breast_cancer, datasets.load_digits):
        yield load.__name__[5:], load().data
    file = shoal.read_file(ROOT / "examples" / "data" / "usarrests.csv")
    yield "usarrests", file.X


def scaled(X: np.ndarray) -> np.ndarray:
    spread = X.std(axis=0)
    return (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def as_old_labels(refit: np.ndarray, old: np.ndarray) -> np.ndarray:
    """The refit's clusters of all items, renamed one to one so that most old items keep their label."""
    overlap = np.zeros((refit.max() + 1, old.max() + 1))
    np.add.at(overlap, (refit[:len(old)], old), 1)
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    name = np.full(refit.max() + 1, -2)
    some = overlap[rows, columns] > 0
    name[rows[some]] = columns[some]
    return name[refit]


def agreements(X: np.ndarray, method: str, seed: int) -> Iterator[tuple[float, ...]]:
    """For each number of clusters the shares of `COLUMNS`, of a fifth of the items that is new to the tree of the rest."""
    order = np.random.default_rng(seed).permutation(len(X))
    cut_at = len(X) * 4 // 5
    old, new = X[order[:cut_at]], X[order[cut_at:]]
    tree, whole = shoal.linkage(old, method), shoal.linkage(X[order], method)
    placed = Placed.of(tree, new)
    nearest = tree.data.metric.between(new, old).argmin(axis=1)
    for k in COUNTS:
        cut = tree.cut(k=k)
        truth = as_old_labels(whole.cut(k=k).labels, cut.labels)[cut_at:]
        found = placed.labels(cut)
        same = float("nan")
        if cut.height is not None:
            refit = whole.cut(height=cut.height).labels
            alone = ~np.isin(refit[cut_at:], refit[:cut_at])
            there = np.where(alone, -1, as_old_labels(refit, cut.labels)[cut_at:])
            same = float((found == there).mean())
        yield (float((cut.predict(new).labels == truth).mean()), float((found == truth).mean()),
               float((cut.labels[nearest] == truth).mean()), float((found < 0).mean()), same)


def agreement() -> str:
    rows = []
    for name, X in data_sets():
        for method in METHODS:
            found = [list(agreements(scaled(X), method, seed)) for seed in range(SPLITS)]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # a cut that no height makes
                mean = np.nanmean(np.array(found), axis=(0, 1))
            rows.append((name, method, *(f"{share:.0%}" for share in mean)))
    head = (f"Shares of new items, a fifth of each set, with the label a refit into k clusters gives them; means over k = "
            f"{', '.join(map(str, COUNTS))} and {SPLITS} splits. *new* is what place calls new, counted as wrong under "
            "*place*; *place, same height* compares with the refit cut at the height of the old cut.")
    return f"### Labels of new items beside a refit\n\n{head}\n\n" + table(("data", "linkage", *COLUMNS), rows)


def seconds() -> str:
    rng, rows = np.random.default_rng(0), []
    for n, d, method, m in ((100_000, 5, "ward", 10_000), (100_000, 5, "single", 10_000), (10_000, 5, "average", 10_000),
                            (10_000, 50, "ward", 1_000)):
        tree, new = shoal.linkage(rng.normal(size=(n, d)), method), rng.normal(size=(m, d))
        took = in_turn(3, place=lambda t=tree, z=new: Placed.of(t, z))
        rows.append((f"{method} {n:,} × {d}", f"{m:,}", took["place"]))
    return "### Placing\n\n" + table(("tree", "new items", "place s"), rows)


def insertion() -> str:
    rng, rows = np.random.default_rng(0), []
    for n, d, method in ((100_000, 5, "ward"), (100_000, 5, "single"), (10_000, 5, "average")):
        old = shoal.points(rng.normal(size=(n, d)))
        tree = shoal.linkage(old, method)
        for m in (1, 10):
            new, report = old.new(rng.normal(size=(m, d))), []
            both = np.vstack([old.X, new.X])
            took = in_turn(3, insert=lambda t=tree, o=old, z=new, r=report: r.append(insert(t.merges, t.method, o, z)[1]),
                           refit=lambda x=both, name=method: shoal.linkage(x, name))
            rows.append((f"{method} {n:,} × {d}", m, took["refit"], took["insert"], f"{report[0].rebuilt:.1%}"))
    return "### Inserting\n\n" + table(("tree", "new items", "refit s", "insert s", "merges computed anew"), rows)


def main() -> None:
    """Print the tables."""
    print(agreement() + "\n")
    print(seconds() + "\n")
    print(insertion())


if __name__ == "__main__":
    main()
