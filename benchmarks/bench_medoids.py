"""k-medoids beside kmedoids (FasterPAM in Rust) and scikit-learn's distances: the same matrix, the same medoids to begin."""

from __future__ import annotations

import warnings

import kmedoids
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances

from common import in_turn, machine, table
from shoal.centers.medoid_silhouette import dynmsc, fastmsc
from shoal.centers.medoids import fasterpam
from shoal.data.carriers import points
from shoal.estimators.kmedoids import KMedoids

RUNS = 3


def data(n: int, d: int, k: int) -> NDArray[np.float32]:
    """Draw k groups of points that touch."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d)) + rng.uniform(-10, 10, (k, d))[rng.integers(0, k, n)]
    return X.astype(np.float32)


def square(X: NDArray[np.float32]) -> NDArray[np.float32]:
    """All distances, exactly symmetric."""
    D = pairwise_distances(X)
    np.fill_diagonal(D, 0)
    return np.minimum(D, D.T).astype(np.float32)


def given_matrix(n: int, k: int) -> tuple[object, ...]:
    """One row: from a square float32 matrix and the same random medoids; kmedoids on as many threads as suit it best."""
    D, rng = square(data(n, 50, k)), np.random.default_rng(0)
    begin = rng.choice(n, k, replace=False)
    ours, theirs = fasterpam(D, k, rng, init=begin).loss, kmedoids.fasterpam(D, begin.copy()).loss
    took = in_turn(RUNS, one=lambda: kmedoids.fasterpam(D, begin.copy(), n_cpu=1),
                   both=lambda: kmedoids.fasterpam(D, begin.copy(), n_cpu=2),
                   shoal=lambda: fasterpam(D, k, rng, init=begin), build=lambda: fasterpam(D, k, rng))
    best = min(took["one"], took["both"])
    return (f"{n:,}", k, best, took["shoal"], f"{best / took['shoal']:.1f}×", took["build"], f"{ours / theirs - 1:.0e}")


def from_points(n: int, d: int) -> str:
    """From points, distances included; each side as its defaults go."""
    rows = []
    for k in (10, 100):
        X = data(n, d, k)
        KMedoids(k).fit(X[:500])
        took = in_turn(RUNS, shoal=lambda X=X, k=k: KMedoids(k).fit(X),
                       kmedoids=lambda X=X, k=k: kmedoids.fasterpam(pairwise_distances(X), k, random_state=0))
        rows.append((f"{n:,} × {d}", k, took["kmedoids"], took["shoal"], f"{took['kmedoids'] / took['shoal']:.1f}×"))
    head = ("points", "k", "scikit-learn's distances + kmedoids s", "shoal.KMedoids s", "ratio")
    return "### From points\n\n" + table(head, rows)


def silhouettes(n: int) -> str:
    """The medoid silhouette, for one k and for 2 … 20."""
    D, rng = square(data(n, 20, 10)), np.random.default_rng(0)
    begin = rng.choice(n, 20, replace=False)
    fastmsc(D[:300, :300].copy(), 3, rng)
    one = in_turn(RUNS, shoal=lambda: fastmsc(D, 20, rng, init=begin), kmedoids=lambda: kmedoids.fastermsc(D, begin.copy()))
    all_k = in_turn(1, shoal=lambda: dynmsc(D, 20, rng, init=begin), kmedoids=lambda: kmedoids.dynmsc(D, begin.copy(), 2))
    rows = [(name, took["kmedoids"], took["shoal"], f"{took['kmedoids'] / took['shoal']:.1f}×")
            for name, took in (("FasterMSC, k = 20", one), ("DynMSC, k = 20 … 2", all_k))]
    return f"### Medoid silhouette, {n:,} items\n\n" + table(("", "kmedoids s", "shoal s", "ratio"), rows)


def main() -> None:
    """Print all tables."""
    warnings.simplefilter("ignore")  # kmedoids warns that its seed goes unused
    print(machine(), end="\n\n")
    fasterpam(points(data(300, 5, 3)), 3, np.random.default_rng(0))
    head = ("items", "k", "kmedoids s", "shoal s", "ratio", "shoal from BUILD s", "loss against kmedoids")
    given = table(head, [given_matrix(n, k) for n in (5_000, 10_000) for k in (10, 100)])
    for text in ("### FasterPAM on a given float32 matrix, from the same random medoids\n\n" + given,
                 from_points(10_000, 50), silhouettes(5_000)):
        print(text, end="\n\n", flush=True)


if __name__ == "__main__":
    main()
