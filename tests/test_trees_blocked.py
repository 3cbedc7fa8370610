"""The blocked engine against the naive twin, the certificates and the stored-matrix engine, on every way through it."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.distance import pdist, squareform

import shoal
from certificates import assert_closest_pairs, assert_same_tree, assert_valid_merges
from naive.linkage import naive_linkage
from shoal.errors import InputError
from shoal.runtime.kernel import plain_python
from shoal.trees import blocked, blocked_rows
from shoal.trees.blocked import SUPPORTED, linkage_blocked
from shoal.trees.merges import Merges, from_nodes
from shoal.trees.stored import linkage_stored

# The usual; rounds to the end; one neighbour listed; moved always.
NAMES = ("FINISH", "LISTED", "QUERIES", "ENTRIES", "ROWS", "CROWDED", "LANES", "AREA")
WAYS = {"usual": (4096, 8, 512, 1 << 21, 32, 0.9, 64, 1 << 22), "rounds": (1, 8, 512, 1 << 21, 32, 0.9, 64, 1 << 22),
        "tiny": (5, 3, 7, 150, 4, 0.9, 9, 1), "one": (2, 1, 16, 300, 3, 0.5, 3, 1 << 22),
        "moved": (40, 4, 5, 200, 3, 1.0, 20, 300)}

SPARSE = tuple(pair for pair in SUPPORTED if pair[1] != "correlation")  # it would make sparse rows dense


@pytest.fixture(params=list(WAYS))
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    take(monkeypatch, request.param)
    return str(request.param)


def take(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    for name, chosen in zip(NAMES, WAYS[way], strict=True):
        monkeypatch.setattr(blocked_rows if name == "AREA" else blocked, name, chosen)


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
    for n, d in ((2, 3), (3, 4 if metric == "correlation" else 1), (150, 7)):
        X, weights = cloud(n, d) + 0.1, counted(n) if weighted and method != "weighted" else None
        found = linkage_blocked(X, method, metric, weights)
        assert_closest_pairs(squareform(pdist(X, metric)), found, method, weights)


def sparse_cloud(n: int, d: int, share: float = 0.2, seed: int = 3) -> Any:
    """Rows with few entries, none of them empty."""
    rng = np.random.default_rng(seed)
    rows = np.where(rng.random((n, d)) < share, rng.normal(size=(n, d)), 0.0)
    rows[np.arange(n), np.arange(n) % d] = 1.0 + rng.random(n)
    return sparse.csr_array(rows)


@pytest.mark.parametrize(("method", "metric"), SPARSE)
def test_sparse_rows(way: str, method: str, metric: str) -> None:
    for n, d in ((2, 4), (3, 1), (150, 30)):
        X = sparse_cloud(n, d)
        weights = counted(n) if method != "weighted" else None
        found = linkage_blocked(X, method, metric, weights)
        assert_closest_pairs(squareform(pdist(X.toarray(), metric)), found, method, weights)


@pytest.mark.large
@pytest.mark.parametrize(("method", "metric"), SPARSE)
def test_sparse_heights_of_the_stored_engine(monkeypatch: pytest.MonkeyPatch, method: str, metric: str) -> None:
    monkeypatch.setattr(blocked, "FINISH", 100)
    X = sparse_cloud(900, 60, 0.1)
    assert_same_tree(linkage_blocked(X, method, metric), stored(X.toarray(), method, metric), rtol=1e-10)


def test_sparse_rows_that_nearly_agree(way: str) -> None:
    """Nearly all of ‖a‖² + ‖b‖² - 2·a·b cancels: the distance is summed over differences instead."""
    X = sparse_cloud(40, 12)
    close = sparse.csr_array(np.repeat(X.toarray(), 3, axis=0))
    close.data *= 1.0 + 1e-7 * np.random.default_rng(0).normal(size=close.nnz)
    for method, metric in (("ward", "euclidean"), ("average", "sqeuclidean")):
        found = linkage_blocked(close, method, metric)
        assert (found.height[:80] < 1e-5).all()
        assert_same_tree(found, stored(close.toarray(), method, metric), rtol=1e-8)


def test_sparse_rows_without_a_common_column(way: str) -> None:
    X = sparse.csr_array(np.eye(90) * (1 + np.arange(90) % 3))
    assert (linkage_blocked(X, "average", "cosine").height == 1.0).all()
    assert_closest_pairs(squareform(pdist(X.toarray())), linkage_blocked(X, "ward"), "ward")


def test_sparse_rows_without_any_column(way: str) -> None:
    X = sparse.csr_array(np.vstack([np.zeros((3, 8)), sparse_cloud(30, 8).toarray(), np.zeros((2, 8))]))
    found = linkage_blocked(X, "ward")
    assert (found.height[:4] == 0.0).all()
    assert_closest_pairs(squareform(pdist(X.toarray())), found, "ward")
    assert not linkage_blocked(sparse.csr_array((20, 8)), "ward").height.any()


@pytest.mark.large
def test_centres_never_have_more_entries_than_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked, "FINISH", 2)
    entries, follow = [], blocked._Engine._follow

    def noted(self: Any, slots: Any) -> None:
        rows = self.c.rows
        entries.append(int((rows.stop - rows.start)[self.c.item >= 0].sum()))
        assert len(rows.data) == len(rows.columns) <= blocked_rows.ROOMY * X.nnz
        follow(self, slots)

    monkeypatch.setattr(blocked._Engine, "_follow", noted)
    X = sparse_cloud(300, 40)
    linkage_blocked(X, "ward")
    assert entries[0] <= X.nnz
    assert all(later <= earlier for earlier, later in itertools.pairwise(entries))
    assert entries[-1] <= 3 * 40


@pytest.mark.large
def test_sparse_rows_are_never_made_dense(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dense, these would take 480 MB in float64."""
    monkeypatch.setattr(blocked, "FINISH", 1200)
    rng = np.random.default_rng(0)
    columns = (30_000 * rng.random(2000 * 30) ** 4).astype(np.int32)  # some words are in most rows
    X = sparse.csr_array((rng.random(2000 * 30), columns, np.arange(0, 2000 * 30 + 1, 30)), shape=(2000, 30_000))
    carrier = shoal.points(X, "cosine")
    shoal.linkage(shoal.points(X[:1400], "cosine"), "average", engine="blocked")  # loads what is compiled
    tracemalloc.start()
    try:
        shoal.linkage(carrier, "average", engine="blocked")
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


@pytest.mark.large
def test_many_sparse_rows_take_the_blocked_engine() -> None:
    X = sparse_cloud(600, 50)
    for method, metric in (("average", "cosine"), ("ward", "euclidean")):
        tree = shoal.linkage(shoal.points(X, metric), method)
        assert tree.engine == "blocked"
        assert_same_tree(tree.merges, shoal.linkage(shoal.points(X, metric), method, engine="stored").merges)


@pytest.mark.large
def test_correlation_is_a_metric_of_this_engine() -> None:
    X = cloud(600, 8)
    assert shoal.plan(50_000, 100, "average", metric="correlation").engine == "blocked"
    tree = shoal.linkage(shoal.points(X, "correlation"), "average", engine="blocked")
    assert_same_tree(tree.merges, stored(X, "average", "correlation"))
    X[3] = 7.0
    with pytest.raises(InputError, match="constant: row 3"):
        linkage_blocked(X, "average", "correlation")
    with pytest.raises(InputError, match="makes a sparse row dense"):
        linkage_blocked(sparse_cloud(600, 8), "average", "correlation")


@pytest.mark.parametrize(("method", "metric"), [("ward", "euclidean"), ("average", "cosine")])
def test_the_naive_twin(way: str, method: str, metric: str) -> None:
    X, weights = cloud(60, 5), counted(60)
    columns = list(zip(*naive_linkage(squareform(pdist(X, metric)), method, weights), strict=True))
    twin = from_nodes(np.array(columns[0]), np.array(columns[1]), np.array(columns[2]))
    assert_same_tree(linkage_blocked(X, method, metric, weights), twin)


@pytest.mark.large
@pytest.mark.parametrize(("method", "metric"), SUPPORTED)
@pytest.mark.parametrize("single", [False, True])
def test_heights_of_the_stored_engine(monkeypatch: pytest.MonkeyPatch, method: str, metric: str, single: bool) -> None:
    monkeypatch.setattr(blocked, "FINISH", 100)
    for d, clumps in ((20, 0), (100, 30)):
        X = cloud(1000, d, 1, clumps).astype(np.float32 if single else np.float64)
        assert_same_tree(linkage_blocked(X, method, metric), stored(X, method, metric), rtol=1e-10)


@pytest.mark.large
def test_heights_at_two_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked, "FINISH", 200)
    X = cloud(2000, 100)
    for method, metric in (("ward", "euclidean"), ("average", "cosine")):
        assert_same_tree(linkage_blocked(X, method, metric), stored(X, method, metric), rtol=1e-10)


@pytest.mark.large
@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize(("method", "metric"), SPARSE)
def test_the_same_bits_whatever_the_threads_and_blocks(monkeypatch: pytest.MonkeyPatch, method: str, metric: str,
                                                       kind: str) -> None:
    X, found = cloud(400, 9) if kind == "dense" else sparse_cloud(400, 30), []
    monkeypatch.setattr(blocked, "FINISH", 20)
    try:
        for threads, entries, rows in ((1, 1 << 21, 32), (2, 900, 5), (5, 4000, 2)):
            shoal.set_threads(threads)
            monkeypatch.setattr(blocked, "ENTRIES", entries)
            monkeypatch.setattr(blocked, "ROWS", rows)
            monkeypatch.setattr(blocked, "PAIRS", rows)
            monkeypatch.setattr(blocked, "LANES", rows)
            monkeypatch.setattr(blocked_rows, "AREA", entries)
            found.append(linkage_blocked(X, method, metric))
    finally:
        shoal.set_threads(None)
    for other in found[1:]:
        for column, same in zip(found[0], other, strict=True):
            assert column.tobytes() == same.tobytes()


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize(("method", "metric"), [("ward", "euclidean"), ("average", "cosine")])
def test_the_same_bits_plain_and_compiled(monkeypatch: pytest.MonkeyPatch, method: str, metric: str, kind: str) -> None:
    monkeypatch.setattr(blocked, "FINISH", 10)
    X, found = cloud(60, 6) if kind == "dense" else sparse_cloud(60, 20), []
    for plain in (True, False):
        with plain_python(plain):
            found.append(linkage_blocked(X, method, metric))
    for column, same in zip(*found, strict=True):
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
