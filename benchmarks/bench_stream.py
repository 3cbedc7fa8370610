"""k-means of sparse rows on the sphere, and learning on batch by batch, beside scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.cluster import KMeans, MiniBatchKMeans

from common import in_turn, table
from shoal.centers.lloyd import nearest
from shoal.centers.seeding import seed
from shoal.centers.sparse import lloyd_sparse
from shoal.centers.stream import Stream

WORDS, TOPICS, OWN = 220, 60, 0.35  # words of a text, topics, and the share of a text's words that its topic chooses


def texts(n: int, d: int) -> sparse.csr_array:
    """tf-idf of n made-up texts, of length 1: words by Zipf's law, a third of them by the law of the text's topic."""
    rng = np.random.default_rng(0)
    zipf = 1.0 / np.arange(1, d + 1) ** 1.05
    laws = [zipf, *(zipf * np.exp(rng.normal(0.0, 2.0, d)) for _ in range(TOPICS))]
    topic, length = rng.integers(1, TOPICS + 1, n), rng.poisson(WORDS, n).clip(20)
    law = np.where(rng.random(length.sum()) < OWN, np.repeat(topic, length), 0)
    words = np.empty(len(law), np.int64)
    for number, p in enumerate(laws):
        at = np.flatnonzero(law == number)
        words[at] = np.searchsorted(np.cumsum(p / p.sum()), rng.random(len(at))).clip(max=d - 1)
    X = sparse.csr_array((np.ones(len(words)), (np.repeat(np.arange(n), length), words)), shape=(n, d))
    X.sum_duplicates()
    often = np.bincount(X.indices, minlength=d)
    X.data = (1.0 + np.log(X.data)) * (1.0 + np.log((1.0 + n) / (1.0 + often)))[X.indices]
    X.data /= np.repeat(np.sqrt(np.add.reduceat(X.data**2, X.indptr[:-1])), np.diff(X.indptr))
    return X


def blobs(n: int, d: int, k: int) -> np.ndarray:
    """float32 rows around k centres."""
    rng = np.random.default_rng(0)
    return (3.0 * rng.normal(size=(k, d))[rng.integers(k, size=n)] + rng.normal(size=(n, d))).astype(np.float32)


def on_the_sphere(n: int, d: int, k: int) -> str:
    """Until nothing changes; scikit-learn's means are not on the sphere, so its inertia is taken with its labels."""
    X = texts(n, d)
    start = seed(X, k, np.random.default_rng(0), metric="cosine").centers
    lloyd_sparse(X[:1000], start, metric="cosine", max_iter=2)
    short = sparse.csr_matrix((X.data, X.indices.astype(np.int32), X.indptr.astype(np.int32)), shape=X.shape)
    found: dict[str, Any] = {}

    def ours() -> None:
        found["shoal"] = lloyd_sparse(X, start, metric="cosine")

    def theirs(algorithm: str) -> Callable[[], None]:
        def work() -> None:
            model = KMeans(k, init=start, n_init=1, max_iter=found["shoal"].n_iter, tol=0.0, algorithm=algorithm)
            found[algorithm] = model.fit(short)
        return work

    took = in_turn(1, shoal=ours, lloyd=theirs("lloyd"), elkan=theirs("elkan"))
    rows = [("shoal", took["shoal"], found["shoal"].n_iter, f"{found['shoal'].inertia:.1f}")]
    for name in ("lloyd", "elkan"):
        sums = sparse.csr_array((np.ones(n), (found[name].labels_, np.arange(n))), shape=(k, n)) @ X
        cosines = np.sqrt(np.asarray(sums.power(2).sum(axis=1)).ravel())  # summed, of the members with their direction
        rows.append((f"scikit-learn {name}, normalised rows", took[name], found[name].n_iter_, f"{n - cosines.sum():.1f}"))
    return (f"### Texts: {n:,} × {d:,}, {X.nnz / n:.0f} entries a row, k = {k}, cosine, from one start\n\n"
            + table(("", "s", "iterations", "Σ 1 - cos"), rows))


def learning_on(n: int, d: int, k: int, size: int) -> str:
    """One pass over n rows in batches."""
    X = blobs(n, d, k)
    found: dict[str, np.ndarray] = {}

    def ours() -> None:
        stream = Stream(k, np.random.default_rng(0))
        for start in range(0, n, size):
            stream.learn(X[start:start + size])
        assert stream.centers is not None
        found["shoal"] = stream.centers

    def theirs() -> None:
        model = MiniBatchKMeans(k, random_state=0)
        for start in range(0, n, size):
            model.partial_fit(X[start:start + size])
        found["sklearn"] = model.cluster_centers_

    ours()
    took = in_turn(1, shoal=ours, sklearn=theirs)
    rows = [(title, took[name], f"{nearest(X, found[name].astype(X.dtype))[1].mean():.4f}")
            for name, title in (("shoal", "shoal, one row after another"), ("sklearn", "MiniBatchKMeans.partial_fit"))]
    return f"### Learning on: {n:,} × {d} float32 in batches of {size:,}, k = {k}\n\n" + table(
        ("", "s", "squared distance a row"), rows)


def main() -> None:
    """Print the tables."""
    warnings.simplefilter("ignore")  # scikit-learn says that it was stopped
    print(on_the_sphere(100_000, 20_000, 50) + "\n")
    print(learning_on(10_000_000, 8, 50, 10_000) + "\n")
    print(learning_on(1_000_000, 64, 500, 10_000))


if __name__ == "__main__":
    main()
