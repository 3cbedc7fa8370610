"""The engine in linear memory against the naive twin, the certificates and the stored-matrix engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
from certificates import assert_closest_pairs, assert_same_tree, assert_valid_merges
from naive.linkage import naive_linkage_points
from shoal.runtime.kernel import plain_python
from shoal.trees import kdtree, spatial
from shoal.trees.merges import Merges, from_nodes
from shoal.trees.spatial import linkage_spatial
from shoal.trees.stored import linkage_stored
from strategies import item_weights, points

# (LAST, FEW, STEPS, SLICE, LEAVES): as it is; rounds to the end; the chain alone, in steps; both in turn.
WAYS = {"usual": (1024, 16, 2000, 1 << 18, 32), "rounds": (2, 10**9, 2000, 7, 1), "chain": (1 << 40, 0, 3, 1 << 18, 32),
        "mixed": (2, 3, 5, 50, 2)}


def cloud(n: int, d: int = 3) -> Any:
    return np.random.default_rng(n).normal(size=(n, d))


def square_of(X: Any) -> Any:
    return np.sqrt(((X[:, None, :] - X[None, :, :]) ** 2).sum(axis=2))


def take(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    for name, value in zip(("LAST", "FEW", "STEPS", "SLICE", "LEAVES"), WAYS[way], strict=True):
        monkeypatch.setattr(spatial, name, value)


def by_matrix(X: Any, weights: Any = None) -> Merges:
    from scipy.spatial.distance import pdist

    return linkage_stored(pdist(X), len(X), "ward", weights)


def twin(X: Any, weights: Any = None) -> Merges:
    columns = list(zip(*naive_linkage_points(X, "ward", weights), strict=True))
    return from_nodes(np.array(columns[0], np.int64), np.array(columns[1], np.int64), np.array(columns[2], np.float64))


def same_bits(a: Merges, b: Merges) -> None:
    for name in Merges._fields:
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name


def _outlier(n: int) -> Any:
    X = 1e-6 * cloud(n)
    X[n // 3] = 1e6
    return X


HARD: dict[str, Callable[[int], Any]] = {
    "random": cloud, "equal": lambda n: np.ones((n, 2)),
    "grid": lambda n: np.indices((16, -(-n // 16))).reshape(2, -1).T[:n],
    "duplicates": lambda n: cloud(n // 4)[np.random.default_rng(1).integers(0, n // 4, n)], "outlier": _outlier,
    "chain": lambda n: 1.2 ** np.arange(n)[:, None], "reversed chain": lambda n: 1.2 ** np.arange(n)[::-1, None],
    "line": lambda n: np.arange(n)[:, None], "slow chain": lambda n: 1.001 ** np.arange(n)[:, None],
    "heavy tails": lambda n: np.random.default_rng(n).standard_t(1, (n, 2)) ** 3, "simplex": lambda n: np.eye(n)[:, :16],
    "ring": lambda n: np.column_stack([np.cos(np.arange(n) * 2 * np.pi / n), np.sin(np.arange(n) * 2 * np.pi / n)]),
    "crosses": lambda n: np.vstack([[[1, 0], [-1, 0], [0, 1], [0, -1]]] * n)[:n] * np.arange(1, n + 1)[:, None]}


@pytest.mark.parametrize("n", [2, 3, 5, 20, 60])
def test_is_the_naive_tree(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    X, w = cloud(n), np.random.default_rng(n).uniform(0.01, 10, n)
    for weights in (None, w):
        expected = twin(X, weights)
        for way in WAYS:
            take(monkeypatch, way)
            assert_same_tree(linkage_spatial(X, "ward", weights), expected, rtol=1e-10, atol=0)


@given(points(max_n=16), st.sampled_from(sorted(WAYS)), st.integers(1, 4), st.data())
def test_no_pair_is_closer_than_the_one_merged(X: Any, way: str, leaf: int, data: st.DataObject) -> None:
    weights = data.draw(st.none() | item_weights(len(X)))
    with pytest.MonkeyPatch.context() as patch, plain_python(True):
        take(patch, way)
        patch.setattr(kdtree.build, "__defaults__", (leaf,))
        assert_closest_pairs(square_of(X), linkage_spatial(X, "ward", weights), "ward", weights)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", HARD)
def test_certificate_on_hard_data(name: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch, way)
    monkeypatch.setattr(kdtree.build, "__defaults__", (4,))
    X = np.asarray(HARD[name](150), np.float64)
    found = linkage_spatial(X, "ward")
    assert_closest_pairs(square_of(X), found, "ward")


@pytest.mark.parametrize("d", [1, 2, 5, 10])
def test_is_the_tree_of_the_stored_matrix(d: int) -> None:
    X, w = cloud(2000, d), np.random.default_rng(d).choice([0.001, 1.0, 1000.0], 2000)
    assert_same_tree(linkage_spatial(X, "ward"), by_matrix(X), rtol=1e-10, atol=0)
    assert_same_tree(linkage_spatial(X, "ward", w), by_matrix(X, w), rtol=1e-10, atol=0)


@pytest.mark.parametrize("name", ["heavy tails", "outlier"])
def test_far_items_cost_no_accuracy(name: str) -> None:
    X = HARD[name](2000)
    assert_same_tree(linkage_spatial(X, "ward"), by_matrix(X), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", HARD)
def test_any_number_of_threads_gives_the_same_bits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spatial, "LAST", 20)
    monkeypatch.setattr(spatial, "LEAVES", 2)
    X, trees = np.asarray(HARD[name](400), np.float64), []
    try:
        for threads in (1, 2, 5):
            shoal.set_threads(threads)
            trees.append(linkage_spatial(X, "ward"))
    finally:
        shoal.set_threads(None)
    assert_valid_merges(trees[0])
    for other in trees[1:]:
        same_bits(trees[0], other)


@pytest.mark.parametrize("way", WAYS)
def test_plain_python_and_compiled_give_the_same_bits(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch, way)
    for name in ("random", "grid", "duplicates", "outlier", "chain"):
        X = np.asarray(HARD[name](64), np.float64)
        for weights in (None, np.random.default_rng(1).uniform(0.5, 3, 64)):
            with plain_python(True):
                plain = linkage_spatial(X, "ward", weights)
            same_bits(plain, linkage_spatial(X, "ward", weights))


def test_one_two_three_and_equal_items() -> None:
    assert linkage_spatial(np.ones((1, 2)), "ward").n == 1
    assert linkage_spatial(np.array([[0.0], [3.0]]), "ward").height.tolist() == [3.0]
    three = linkage_spatial(np.array([[0.0], [2.0], [7.0]]), "ward")
    np.testing.assert_allclose(three.height, [2.0, np.sqrt(4 / 3) * 6], rtol=1e-15)
    equal = linkage_spatial(np.full((5000, 2), 0.1), "ward")
    assert_valid_merges(equal)
    assert equal.height.tolist() == [0.0] * 4999
    assert equal.right.tolist() == list(range(1, 5000))
    assert linkage_spatial(np.zeros((3, 1)), "ward").height.tolist() == [0.0, 0.0]


def test_single_precision_is_widened_and_nothing_is_written_to() -> None:
    X = cloud(300).astype(np.float32)
    X.setflags(write=False)
    w = np.ones(300)
    w.setflags(write=False)
    same_bits(linkage_spatial(X, "ward", w), linkage_spatial(X.astype(np.float64), "ward"))


def test_offset_costs_nothing_where_it_can_be_taken_away() -> None:
    X = np.round(cloud(500) * 2**20) / 2**20
    expected = linkage_spatial(X, "ward")
    for offset in (1e8, -1e8):
        assert_same_tree(linkage_spatial(X + offset, "ward"), expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize("power", [664, -664, 980, -900])
def test_powers_of_two_scale_the_heights_exactly(power: int) -> None:
    X = np.round(cloud(300) * 2**20)
    usual = linkage_spatial(X, "ward")
    same_bits(usual._replace(height=np.ldexp(usual.height, power)), linkage_spatial(np.ldexp(X, power), "ward"))


def test_progress_rises_to_one_and_can_cancel() -> None:
    told: list[float] = []
    linkage_spatial(cloud(3000), "ward", progress=lambda fraction, message: told.append(fraction))
    assert told == sorted(told)
    assert told[-1] == 1.0
    with pytest.raises(KeyboardInterrupt):
        linkage_spatial(cloud(3000), "ward", progress=lambda fraction, message: False)
