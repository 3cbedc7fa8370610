"""Bisecting k-means: a naive twin, certificates of its tree, and scikit-learn's inertia."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse
from sklearn.cluster import BisectingKMeans

import shoal
from certificates import assert_valid_merges
from shoal.centers.split import Bisection, bisect, descend, merges_of

Floats = NDArray[np.float64]


def blobs(k: int = 5, n: int = 200, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3)) + rng.normal(scale=12, size=(k, 3))[rng.integers(0, k, n)]


def far_pair(X: Any, k: int, rng: np.random.Generator) -> Any:
    """Start at the first row and at the one farthest from it: no draws, so that a twin can do the same."""
    assert k == 2
    return X[[0, int(((X - X[0]) ** 2).sum(axis=1).argmax())]]


def naive(X: Floats, k: int) -> list[set[int]]:
    """Bisecting k-means with `far_pair`, as its definition reads."""
    parts = [list(range(len(X)))]
    while len(parts) < k:
        sse = [((X[part] - X[part].mean(axis=0)) ** 2).sum() for part in parts]
        part = parts.pop(int(np.argmax(sse)))
        centers, sides = far_pair(X[part], 2, np.random.default_rng()), None
        for _ in range(300):
            new = ((X[part][:, None] - centers) ** 2).sum(axis=2).argmin(axis=1)
            if sides is not None and np.array_equal(new, sides):
                break
            sides = new
            centers = np.array([X[part][sides == side].mean(axis=0) for side in (0, 1)])
        assert sides is not None
        parts += [[i for i, s in zip(part, sides, strict=True) if s == side] for side in (0, 1)]
    return [set(part) for part in parts]


@given(st.integers(0, 2**32), st.integers(1, 8))
def test_splits_as_the_definition_does(seed: int, k: int) -> None:
    X = blobs(4, 40, seed)
    found = bisect(X, k, np.random.default_rng(0), init=far_pair)
    assert sorted(map(sorted, naive(X, k))) == sorted(np.flatnonzero(found.labels == c).tolist() for c in range(k))


def assert_belongs_together(X: Any, found: Bisection, weights: Any = None) -> None:
    """Numbers, centres, inertias, heights and splits all tell of the same clusters."""
    X = X if isinstance(X, np.ndarray) else X.toarray()
    weights = np.ones(len(X)) if weights is None else weights
    k = len(found.centers)
    first = [int(np.argmax(found.labels == c)) for c in range(k)]
    assert first == sorted(first)
    for c in range(k):
        at = found.labels == c
        mean = np.average(X[at], axis=0, weights=weights[at])
        assert np.allclose(found.centers[c], mean, atol=1e-9)
        assert found.inertia[c] == pytest.approx(weights[at] @ ((X[at] - mean) ** 2).sum(axis=1), abs=1e-9)
    whole = weights @ ((X - np.average(X, axis=0, weights=weights)) ** 2).sum(axis=1)
    assert (found.height**2).sum() / 2 == pytest.approx(whole - found.inertia.sum())
    assert np.array_equal(descend(X, found.children, found.pairs), found.labels)


@pytest.mark.parametrize("strategy", ["biggest_inertia", "largest_cluster"])
@pytest.mark.parametrize("k", [1, 2, 7])
def test_all_parts_belong_together(strategy: str, k: int) -> None:
    X = blobs()
    found = bisect(X, k, np.random.default_rng(1), strategy=strategy)
    assert_belongs_together(X, found)
    assert len(found.centers) == k


def test_weights_count_as_repeated_rows() -> None:
    X, weights = blobs(n=60), np.random.default_rng(2).integers(1, 4, 60)
    weighted = bisect(X, 4, np.random.default_rng(0), init=far_pair, weights=weights.astype(float))
    repeated = bisect(np.repeat(X, weights, axis=0), 4, np.random.default_rng(0), init=far_pair)
    assert np.array_equal(np.repeat(weighted.labels, weights), repeated.labels)
    assert np.allclose(weighted.height, repeated.height)
    assert_belongs_together(X, weighted, weights.astype(float))


def test_the_largest_or_the_widest_is_split() -> None:
    X = np.concatenate([np.linspace(0, 1, 50), [1000.0, 1100.0, 1200.0]])[:, None]
    sizes = {strategy: sorted(np.bincount(bisect(X, 3, np.random.default_rng(0), strategy=strategy).labels).tolist())
             for strategy in ("biggest_inertia", "largest_cluster")}
    assert sizes == {"biggest_inertia": [1, 2, 50], "largest_cluster": [3, 25, 25]}


def test_no_more_clusters_than_distinct_items() -> None:
    X = np.repeat([[0.0, 1.0], [5.0, 5.0], [9.0, 0.0]], 4, axis=0)
    found = bisect(X, 6, np.random.default_rng(0))
    assert len(found.centers) == 3
    assert_belongs_together(X, found)
    assert merges_of(found.children, found.height).n == 3


def test_splits_become_a_tree() -> None:
    X = blobs(6, 300)
    found = bisect(X, 9, np.random.default_rng(3))
    merges = merges_of(found.children, found.height)
    assert_valid_merges(merges)
    assert (np.diff(merges.height) >= 0).all()
    assert merges.n == 9
    assert set(merges.height.tolist()) <= set(found.height.tolist())
    tree = shoal.Tree(merges, tuple("abcdefghi"), "unknown", "bisecting", None, {"messages": []}, None)
    top, side = tree.cut(k=2).labels, [_top(found.children, c) for c in range(9)]
    assert len(set(zip(top.tolist(), side, strict=True))) == 2, "the last merge is the first split"


def _top(children: NDArray[np.int64], cluster: int) -> int:
    """The side of the first split a cluster lies on."""
    split, side = (int(v[0]) for v in np.nonzero(children == -1 - cluster))
    while split != 0:
        split, side = (int(v[0]) for v in np.nonzero(children == split))
    return side


def test_a_split_that_gained_less_than_a_later_one_is_raised() -> None:
    merges = merges_of(np.array([[1, -1], [-2, 2], [-3, -4]]), np.array([2.0, 1.0, 5.0]))
    assert merges.height.tolist() == [5.0, 5.0, 5.0]
    assert_valid_merges(merges)


def test_sparse_rows_and_single_precision() -> None:
    X = np.abs(blobs()) * (np.random.default_rng(4).random((200, 3)) < 0.7)
    thin = bisect(sparse.csr_array(X), 5, np.random.default_rng(0))
    assert_belongs_together(sparse.csr_array(X), thin)
    single = bisect(blobs().astype(np.float32), 5, np.random.default_rng(0))
    assert single.centers.dtype == single.pairs.dtype == np.float32


def test_cosine_goes_by_direction() -> None:
    rng = np.random.default_rng(5)
    X = np.repeat(np.eye(3), 20, axis=0) + 0.05 * rng.random((60, 3))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    found = bisect(X, 3, np.random.default_rng(0), metric="cosine", runs=3)
    assert found.labels.tolist() == [0] * 20 + [1] * 20 + [2] * 20
    assert np.allclose(np.linalg.norm(found.centers, axis=1), 1.0)
    assert np.array_equal(descend(X, found.children, found.pairs, "cosine"), found.labels)


def test_inertia_of_scikit_learn() -> None:
    """On clusters far apart there is one answer (scikit-learn 1.9.1)."""
    X = blobs(4, 150, seed=6)
    theirs = BisectingKMeans(4, n_init=5, random_state=0).fit(X)
    assert bisect(X, 4, np.random.default_rng(0), runs=5).inertia.sum() == pytest.approx(theirs.inertia_)


@pytest.mark.large
def test_same_bits_for_any_number_of_threads() -> None:
    X, found = blobs(8, 20_000), []
    try:
        for threads in (1, 2, 5):
            shoal.set_threads(threads)
            found.append(bisect(X, 4, np.random.default_rng(0)))
    finally:
        shoal.set_threads(None)
    for other in found[1:]:
        assert np.array_equal(other.labels, found[0].labels)
        assert np.array_equal(other.pairs, found[0].pairs)
        assert np.array_equal(other.height, found[0].height)
