"""Spring layouts and k-means on their positions, beside methods made for matrices: how far labels move, and new items."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import combinations
from typing import Any

import networkx as nx
import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import pdist, squareform
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_wine
from sklearn.metrics import adjusted_rand_score

import shoal
from common import ROOT, table
from shoal.graphs.affinity import matrix_of

SEEDS, HELD = 10, 5


def matrices() -> list[tuple[str, np.ndarray, int, np.ndarray | None]]:
    """Similarities of real items, the number of clusters, and their classes where these are known."""
    data = ROOT / "examples" / "data"
    roads = squareform(shoal.read_file(data / "eurodist.csv", kind="distances").condensed())
    people = matrix_of(shoal.read_file(data / "lesmis.csv", kind="graph")).toarray()
    wine = load_wine()
    X = (wine.data - wine.data.mean(axis=0)) / wine.data.std(axis=0)
    far = squareform(pdist(X))
    digits = load_digits()
    some = np.random.default_rng(0).permutation(len(digits.data))[:500]
    unit = digits.data[some] / np.linalg.norm(digits.data[some], axis=1)[:, None]
    return [("roads between 21 cities", np.exp(-(roads / 800.0) ** 2), 4, None),
            ("characters of a novel, 77", people, 6, None),
            ("wines, 178", np.exp(-(far / 3.0) ** 2), 3, wine.target),
            ("digits by cosine, 500", np.clip(unit @ unit.T, 0, None) ** 8, 10, digits.target[some])]


def spring(S: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Draw the graph, and run k-means on the positions."""
    graph = nx.from_numpy_array(S - np.diag(S.diagonal()))
    at = nx.spring_layout(graph, weight="weight", seed=seed)
    return KMeans(k, n_init=10, random_state=0).fit_predict(np.array([at[i] for i in range(len(S))]))


def distances(S: np.ndarray) -> np.ndarray:
    """Distances max - s, 0 of an item with itself."""
    D = S.max() - S
    np.fill_diagonal(D, 0.0)
    return D


METHODS: dict[str, Callable[[np.ndarray, int, int], Any]] = {
    "spectral": lambda S, k, seed: shoal.Spectral(k, random_state=seed).fit(S),
    "average linkage": lambda S, k, seed: shoal.linkage(shoal.distances(distances(S)), "average").cut(k=k),
    "medoids": lambda S, k, seed: shoal.KMedoids(k, metric="precomputed", init="random", n_init=5,
                                                 random_state=seed).fit(distances(S)),
}


def labels(found: Any) -> np.ndarray:
    return np.asarray(found.labels if hasattr(found, "labels") else found.labels_)


def placed(name: str, found: Any, S: np.ndarray, new: np.ndarray, old: np.ndarray) -> np.ndarray:
    """Clusters of new items, from their similarities to the old ones."""
    rows = S[np.ix_(new, old)]
    if name == "spectral":
        return np.asarray(found.predict(rows))
    return np.asarray(found.predict(S.max() - rows).labels if name == "average linkage" else found.predict(S.max() - rows))


def agreement(S: np.ndarray, k: int, name: str, seed: int) -> float:
    """Share of held-out items that get the label the clustering of all items gives them, clusters matched by old items."""
    order = np.random.default_rng(seed).permutation(len(S))
    old, new = np.sort(order[len(S) // 5:]), np.sort(order[:len(S) // 5])
    part, whole = METHODS[name](S[np.ix_(old, old)], k, 0), labels(METHODS[name](S, k, 0))
    mine = labels(part)
    overlap = np.zeros((max(k, mine.max() + 1), max(k, whole.max() + 1)))
    np.add.at(overlap, (mine, whole[old]), 1)
    match = dict(zip(*linear_sum_assignment(-overlap), strict=True))
    found = placed(name, part, S, new, old)
    return float(np.mean([match.get(int(c), -1) == t for c, t in zip(found, whole[new], strict=True)]))


def main() -> None:
    """Print the table."""
    rows = []
    for what, S, k, classes in matrices():
        runs: dict[str, list[np.ndarray]] = {"spring layout, then k-means": [spring(S, k, seed) for seed in range(SEEDS)]}
        for name, fit in METHODS.items():
            runs[name] = [labels(fit(S, k, seed)) for seed in range(SEEDS)]
        for name, found in runs.items():
            same = [adjusted_rand_score(a, b) for a, b in combinations(found, 2)]
            truth = "" if classes is None else f"{np.mean([adjusted_rand_score(classes, one) for one in found]):.2f}"
            held = "cannot" if name not in METHODS else f"{np.mean([agreement(S, k, name, s) for s in range(HELD)]):.0%}"
            rows.append((what, name, f"{np.mean(same):.2f}", f"{min(same):.2f}", truth, held))
    print("### Layouts as coordinates\n\nTen seeds each; a fifth of the items held out, five times.\n")
    print(table(("matrix", "method", "ARI between seeds", "least", "ARI with classes", "held-out items as with all"), rows))


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
