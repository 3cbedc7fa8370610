"""The blocked engine against the naive twin, the certificates and the stored-matrix engine, on every way through it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.distance import pdist, squareform

import shoal
from certificates import assert_closest_pairs, assert_same_tree, assert_valid_merges
from naive.linkage import naive_linkage
from shoal.errors import InputError
from shoal.trees import blocked
from shoal.trees.blocked import SUPPORTED, linkage_blocked
from shoal.trees.merges import Merges, from_nodes
from shoal.trees.stored import linkage_stored

# (FINISH, LISTED, QUERIES, ENTRIES, ROWS, CROWDED): the usual; rounds to the end; one neighbour listed; moved always.
WAYS = {"usual": (4096, 8, 512, 1 << 21, 32, 0.9), "rounds": (1, 8, 512, 1 << 21, 32, 0.9),
        "tiny": (5, 3, 7, 150, 4, 0.9), "one": (2, 1, 16, 300, 3, 0.5), "moved": (40, 4, 5, 200, 3, 1.0)}


@pytest.fixture(params=list(WAYS))
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    take(monkeypatch, request.param)
    return str(request.param)


def take(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    for name, chosen in zip(("FINISH", "LISTED", "QUERIES", "ENTRIES", "ROWS", "CROWDED"), WAYS[way], strict=True):
        monkeypatch.setattr(blocked, name, chosen)


def cloud(n: int, d: int, seed: int = 0, clumps: int = 0) -> Any:
    rng = np.random.default_rng(seed + n)
    X = rng.normal(size=(n, d))
    return X + 4 * rng.normal(size=(clumps, d))[rng.integers(0, clumps, n)] if clumps else X


def counted(n: int) -> Any:
    return np.random.default_rng(n).integers(1, 6, n).astype(float)


def stored(X: Any, method: str, metric: str, weights: Any = None) -> Merges:
    return linkage_stored(pdist(np.asarray(X, np.float64), metric), len(X), method, weights)


@pytest.mark.parametrize(("method", "metric"), SUPPORTED)
@pytest.mark.parametrize("weighted", [False, True])
def test_every_merge_is_of_the_closest_pair(way: str, method: str, metric: str, weighted: bool) -> None:
    for n, d in ((2, 3), (3, 1), (150, 7)):
        X, weights = cloud(n, d) + 0.1, counted(n) if weighted and method != "weighted" else None
        found = linkage_blocked(X, method, metric, weights)
        assert_closest_pairs(squareform(pdist(X, metric)), found, method, weights)


@pytest.mark.parametrize(("method", "metric"), SUPPORTED)
def test_sparse_rows(way: str, method: str, metric: str) -> None:
    rng = np.random.default_rng(3)
    X = sparse.csr_array(rng.random((90, 30)) * (rng.random((90, 30)) < 0.2) + np.eye(90, 30))
    X.data[:5] = 0.5
    rows = X.toarray() + np.eye(90, 30, -30) + np.eye(90, 30, -60)
    weights = counted(90) if method != "weighted" else None
    found = linkage_blocked(sparse.csr_array(rows), method, metric, weights)
    assert_closest_pairs(squareform(pdist(rows, metric)), found, method, weights)


@pytest.mark.parametrize(("method", "metric"), [("ward", "euclidean"), ("average", "cosine")])
def test_the_naive_twin(way: str, method: str, metric: str) -> None:
    X, weights = cloud(60, 5), counted(60)
    columns = list(zip(*naive_linkage(squareform(pdist(X, metric)), method, weights), strict=True))
    twin = from_nodes(np.array(columns[0]), np.array(columns[1]), np.array(columns[2]))
    assert_same_tree(linkage_blocked(X, method, metric, weights), twin)


@pytest.mark.parametrize(("method", "metric"), SUPPORTED)
@pytest.mark.parametrize("single", [False, True])
def test_heights_of_the_stored_engine(monkeypatch: pytest.MonkeyPatch, method: str, metric: str, single: bool) -> None:
    monkeypatch.setattr(blocked, "FINISH", 100)
    for d, clumps in ((20, 0), (100, 30)):
        X = cloud(1000, d, 1, clumps).astype(np.float32 if single else np.float64)
        assert_same_tree(linkage_blocked(X, method, metric), stored(X, method, metric), rtol=1e-10)


def test_heights_at_two_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked, "FINISH", 200)
    X = cloud(2000, 100)
    for method, metric in (("ward", "euclidean"), ("average", "cosine")):
        assert_same_tree(linkage_blocked(X, method, metric), stored(X, method, metric), rtol=1e-10)


@pytest.mark.parametrize(("method", "metric"), SUPPORTED)
def test_the_same_bits_whatever_the_threads_and_blocks(monkeypatch: pytest.MonkeyPatch, method: str, metric: str) -> None:
    X, found = cloud(400, 9), []
    monkeypatch.setattr(blocked, "FINISH", 20)
    try:
        for threads, entries, rows in ((1, 1 << 21, 32), (2, 900, 5), (5, 4000, 2)):
            shoal.set_threads(threads)
            monkeypatch.setattr(blocked, "ENTRIES", entries)
            monkeypatch.setattr(blocked, "ROWS", rows)
            monkeypatch.setattr(blocked, "PAIRS", rows)
            found.append(linkage_blocked(X, method, metric))
    finally:
        shoal.set_threads(None)
    for other in found[1:]:
        for column, same in zip(found[0], other, strict=True):
            assert column.tobytes() == same.tobytes()


@pytest.mark.parametrize(("method", "metric"), [("ward", "euclidean"), ("average", "sqeuclidean")])
def test_ties_on_a_grid(way: str, method: str, metric: str) -> None:
    X = np.array([(x, y, z) for x in range(6) for y in range(5) for z in range(4)], float)
    assert_closest_pairs(squareform(pdist(X, metric)), linkage_blocked(X, method, metric), method)


@pytest.mark.parametrize(("method", "metric"), SUPPORTED)
def test_equal_rows_merge_first_at_zero(way: str, method: str, metric: str) -> None:
    X = np.repeat(cloud(40, 4), 3, axis=0)[np.random.default_rng(0).permutation(120)]
    weights = counted(120) if method != "weighted" else None
    found = linkage_blocked(X, method, metric, weights)
    assert (found.height[:80] == 0.0).all()
    assert found.height[80] > 0.0
    if method != "weighted":  # its ties at 0 decide how much an item counts
        assert_closest_pairs(squareform(pdist(X, metric)), found, method, weights)


def test_all_rows_equal(way: str) -> None:
    found = linkage_blocked(np.full((70, 3), 2.5), "ward")
    assert_valid_merges(found)
    assert not found.height.any()


def test_an_offset_far_beyond_the_spread(way: str) -> None:
    X = cloud(150, 6)
    D = squareform(pdist((X + 1e8) - 1e8))
    assert_closest_pairs(D, linkage_blocked(X + 1e8, "ward"), "ward", rtol=1e-7)


def test_clumps_that_single_precision_cannot_tell_apart(way: str) -> None:
    X = cloud(120, 5) + 1e7 * (np.arange(120) % 2)[:, None]
    assert_closest_pairs(squareform(pdist(X)), linkage_blocked(X, "ward"), "ward", rtol=1e-6)


@pytest.mark.parametrize("size", [1e-200, 1e-30, 1e30, 1e200])
def test_sizes_beyond_single_precision(way: str, size: float) -> None:
    X = cloud(80, 4)
    scaled, plain = linkage_blocked(X * size, "ward"), linkage_blocked(X, "ward")
    np.testing.assert_allclose(scaled.height / size, plain.height, rtol=1e-9)


def test_weights_far_apart(way: str) -> None:
    X, weights = cloud(100, 4), 10.0 ** np.random.default_rng(1).integers(-60, 60, 100)
    found = linkage_blocked(X, "ward", weights=weights)
    assert_same_tree(found, stored(X, "ward", "euclidean", weights), rtol=1e-6, atol=0.0)


def test_a_chain_of_growing_steps(way: str) -> None:
    X = np.cumsum(1.1 ** np.arange(120))[:, None]
    assert_same_tree(linkage_blocked(X, "average", "sqeuclidean"), stored(X, "average", "sqeuclidean"))


def test_one_item() -> None:
    assert linkage_blocked(np.ones((1, 3)), "ward").n == 1


def test_a_zero_row_has_no_cosine() -> None:
    X = cloud(20, 3)
    X[7] = 0.0
    for rows in (X, sparse.csr_array(X)):
        with pytest.raises(InputError, match="row 7"):
            linkage_blocked(rows, "average", "cosine")


def test_what_there_is_no_closed_form_for() -> None:
    with pytest.raises(InputError, match="average with cosine"):
        linkage_blocked(cloud(9, 2), "complete", "euclidean")


def test_the_data_stay_as_they_are() -> None:
    X = cloud(50, 3)
    weights, before = np.ones(50), X.copy()
    X.setflags(write=False)
    linkage_blocked(X, "ward", weights=weights)
    np.testing.assert_array_equal(X, before)
    assert (weights == 1.0).all()
