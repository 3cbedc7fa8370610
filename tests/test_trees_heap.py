"""The engine of the closest pairs against the naive twin, the certificates and the stored-matrix engine."""

from __future__ import annotations

import itertools
import math
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
from shoal.trees import heap, heap_kernels
from shoal.trees.heap import METHODS, linkage_heap
from shoal.trees.merges import Merges, from_nodes
from shoal.trees.stored import linkage_stored
from strategies import item_weights, points

# (LAST, SHARE, WORK, LARGEST): as it is; small leaves; a new tree all the time, one leaf a call; one leaf for all.
WAYS = {"usual": (1024, 0.6, 1 << 25, 256), "leaves": (1024, 0.6, 1 << 25, 2), "anew": (1, 0.95, 1, 3),
        "scan": (4, 0.5, 5000, 10**9)}


def cloud(n: int, d: int = 3) -> Any:
    return np.random.default_rng(n).normal(size=(n, d))


def square_of(X: Any) -> Any:
    return np.sqrt(((X[:, None, :] - X[None, :, :]) ** 2).sum(axis=2))


def take(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    for name, value in zip(("LAST", "SHARE", "WORK", "LARGEST"), WAYS[way], strict=True):
        monkeypatch.setattr(heap, name, value)


def by_matrix(X: Any, method: str, weights: Any = None) -> Merges:
    from scipy.spatial.distance import pdist

    return linkage_stored(pdist(X), len(X), method, weights)


def from_columns(merges: list[tuple[int, int, float, int]]) -> Merges:
    first, second, height, _ = zip(*merges, strict=True)
    return from_nodes(np.array(first, np.int64), np.array(second, np.int64), np.array(height, np.float64))


def in_same_arithmetic(X: Any, method: str) -> Merges:
    """Take the first of all pairs by (distance, smaller item, larger item), with the engine's formulas."""
    centre: dict[int, list[float]] = dict(enumerate(X.tolist()))
    weight, node, merges = dict.fromkeys(centre, 1.0), {i: i for i in centre}, []

    def apart(i: int, j: int) -> float:
        total = 0.0
        for x, y in zip(centre[i], centre[j], strict=True):
            total += (x - y) * (x - y)
        return total

    for t in range(len(X) - 1):
        square, i, j = min((apart(i, j), i, j) for i, j in itertools.combinations(sorted(centre), 2))
        share = weight[j] / (weight[i] + weight[j]) if method == "centroid" else 0.5
        centre[i] = [x + share * (y - x) for x, y in zip(centre[i], centre.pop(j), strict=True)]
        merges.append((node[i], node[j], math.sqrt(square), 0))
        weight[i], node[i] = weight[i] + weight[j], len(X) + t
    return from_columns(merges)


def same_bits(a: Merges, b: Merges) -> None:
    for name in Merges._fields:
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name


def _outlier(n: int) -> Any:
    X = 1e-6 * cloud(n)
    X[n // 3] = 1e6
    return X


def _star(n: int) -> Any:
    """One point in the middle, the others around it: nearly as far from one another as fits in 20 features."""
    X = cloud(n, 20)
    X /= np.linalg.norm(X, axis=1)[:, None]
    X[0] = 0.0
    return X


HARD: dict[str, Callable[[int], Any]] = {
    "random": cloud, "equal": lambda n: np.ones((n, 2)),
    "grid": lambda n: np.indices((12, -(-n // 12))).reshape(2, -1).T[:n],
    "cubes": lambda n: np.indices((5, 5, -(-n // 25))).reshape(3, -1).T[:n],
    "duplicates": lambda n: cloud(n // 4)[np.random.default_rng(1).integers(0, n // 4, n)], "outlier": _outlier,
    "chain": lambda n: 1.2 ** np.arange(n)[:, None], "line": lambda n: np.arange(n)[:, None],
    "heavy tails": lambda n: np.random.default_rng(n).standard_t(1, (n, 2)) ** 3, "star": _star,
    "simplex": lambda n: np.eye(n // 3), "bits": lambda n: np.random.default_rng(n).integers(0, 2, (n, 9)),
    "ring": lambda n: np.column_stack([np.cos(np.arange(n) * 2 * np.pi / n), np.sin(np.arange(n) * 2 * np.pi / n)]),
    "crosses": lambda n: np.vstack([[[1, 0], [-1, 0], [0, 1], [0, -1]]] * n)[:n] * np.arange(1, n + 1)[:, None]}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [2, 3, 5, 20, 60])
def test_is_the_naive_tree(n: int, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X, w = cloud(n), np.random.default_rng(n).uniform(0.01, 10, n)
    for weights in (None, w):
        expected = from_columns(naive_linkage_points(X, method, weights))
        for way in WAYS:
            take(monkeypatch, way)
            found = linkage_heap(X, method, weights)
            assert_same_tree(found, expected, rtol=1e-10, atol=0)
            np.testing.assert_array_equal([found.left, found.right], [expected.left, expected.right])


@given(points(max_n=16), st.sampled_from(METHODS), st.sampled_from(sorted(WAYS)), st.data())
def test_no_pair_is_closer_than_the_one_merged(X: Any, method: str, way: str, data: st.DataObject) -> None:
    weights = data.draw(st.none() | item_weights(len(X)))
    with pytest.MonkeyPatch.context() as patch, plain_python(True):
        take(patch, way)
        assert_closest_pairs(square_of(X), linkage_heap(X, method, weights), method,
                             weights if method == "centroid" else None)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", HARD)
def test_certificate_on_hard_data(name: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.asarray(HARD[name](100), np.float64)
    found = linkage_heap(X, method)
    assert_closest_pairs(square_of(X), found, method)
    for way in WAYS:
        take(monkeypatch, way)
        same_bits(linkage_heap(X, method), found)


@given(points(max_n=14), st.sampled_from(METHODS), st.sampled_from(sorted(WAYS)))
def test_equal_distances_are_taken_in_the_order_of_items(X: Any, method: str, way: str) -> None:
    X = X - X[0]  # some value is zero, so the engine moves nothing
    with pytest.MonkeyPatch.context() as patch, plain_python(True):
        take(patch, way)
        same_bits(linkage_heap(X, method), in_same_arithmetic(X, method))


@pytest.mark.parametrize("name", ["grid", "cubes", "bits", "simplex", "ring", "duplicates"])
def test_many_ties_are_taken_in_the_order_of_items(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.asarray(HARD[name](48), np.float64)
    monkeypatch.setattr(heap, "LARGEST", 4)
    for method in METHODS:
        same_bits(linkage_heap(X, method), in_same_arithmetic(X, method))


@pytest.mark.large
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("d", [1, 2, 5, 30])
def test_is_the_tree_of_the_stored_matrix(d: int, method: str) -> None:
    X, w = cloud(2000, d), np.random.default_rng(d).choice([0.001, 1.0, 1000.0], 2000)
    for weights in (None, w):
        found, expected = linkage_heap(X, method, weights), by_matrix(X, method, weights)
        np.testing.assert_array_equal([found.left, found.right], [expected.left, expected.right])
        np.testing.assert_allclose(found.height, expected.height, rtol=1e-10, atol=1e-10 * expected.height.max())


@pytest.mark.large
@pytest.mark.parametrize("name", ["heavy tails", "outlier"])
def test_far_items_cost_no_accuracy(name: str) -> None:
    X = HARD[name](2000)
    for method in METHODS:
        assert_same_tree(linkage_heap(X, method), by_matrix(X, method), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", HARD)
def test_searches_are_few_whatever_the_data(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X, searches, around = np.asarray(HARD[name](100), np.float64), [0], heap_kernels.look_around

    def counted(*args: Any) -> Any:
        searches[0] += 1
        return around(*args)

    monkeypatch.setattr(heap_kernels, "look_around", counted)
    with plain_python(True):
        for method in METHODS:
            searches[0] = 0
            linkage_heap(X, method)
            assert searches[0] <= 3 * len(X)  # one before the first merge, one a union, and less than one a merge again


@pytest.mark.large
@pytest.mark.parametrize("name", HARD)
def test_any_number_of_threads_gives_the_same_bits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "WORK", 5000)
    monkeypatch.setattr(heap, "LAST", 20)
    X, trees = np.asarray(HARD[name](200), np.float64), []
    try:
        for threads in (1, 2, 5):
            shoal.set_threads(threads)
            trees.append(linkage_heap(X, "centroid"))
    finally:
        shoal.set_threads(None)
    assert_valid_merges(trees[0])
    for other in trees[1:]:
        same_bits(trees[0], other)


@pytest.mark.parametrize("way", WAYS)
def test_plain_python_and_compiled_give_the_same_bits(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch, way)
    for name in ("random", "grid", "duplicates", "outlier", "chain"):
        X = np.asarray(HARD[name](48), np.float64)
        for method, weights in (("median", None), ("centroid", np.random.default_rng(1).uniform(0.5, 3, 48))):
            with plain_python(True):
                plain = linkage_heap(X, method, weights)
            same_bits(plain, linkage_heap(X, method, weights))


def test_one_two_three_and_equal_items() -> None:
    for method in METHODS:
        assert linkage_heap(np.ones((1, 2)), method).n == 1
        assert linkage_heap(np.array([[0.0], [3.0]]), method).height.tolist() == [3.0]
        assert linkage_heap(np.array([[0.0, 0.0], [8.0, 0.0], [4.0, 7.0]]), method).height.tolist() == [8.0, 7.0]
        equal = linkage_heap(np.full((2000, 2), 0.1), method)
        assert_valid_merges(equal)
        assert equal.height.tolist() == [0.0] * 1999
        assert equal.right.tolist() == list(range(1, 2000))
    np.testing.assert_allclose(linkage_heap(np.eye(4), "centroid").height ** 2, [2, 3 / 2, 4 / 3], rtol=1e-15)
    np.testing.assert_allclose(linkage_heap(np.eye(4), "median").height ** 2, [2, 3 / 2, 11 / 8], rtol=1e-15)


def test_a_weight_is_so_many_equal_rows_and_median_linkage_ignores_it() -> None:
    X, w = cloud(40), np.random.default_rng(0).integers(1, 4, 40)
    many = linkage_heap(np.repeat(X, w, axis=0), "centroid")
    np.testing.assert_allclose(linkage_heap(X, "centroid", w).height, many.height[w.sum() - 40:], rtol=1e-12)
    same_bits(linkage_heap(X, "median", w), linkage_heap(X, "median"))


def test_single_precision_is_widened_and_nothing_is_written_to() -> None:
    X = cloud(300).astype(np.float32)
    X[7] = X[3]
    X.setflags(write=False)
    w = np.ones(300)
    w.setflags(write=False)
    same_bits(linkage_heap(X, "centroid", w), linkage_heap(X.astype(np.float64), "centroid"))


def test_offset_costs_nothing_where_it_can_be_taken_away() -> None:
    X = np.round(cloud(200) * 2**20) / 2**20
    for method in METHODS:
        expected = linkage_heap(X, method)
        for offset in (1e8, -1e8):
            assert_same_tree(linkage_heap(X + offset, method), expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize("power", [664, -664, 980, -900])
def test_powers_of_two_scale_the_heights_exactly(power: int) -> None:
    X = np.round(cloud(300) * 2**20)
    usual = linkage_heap(X, "centroid")
    same_bits(usual._replace(height=np.ldexp(usual.height, power)), linkage_heap(np.ldexp(X, power), "centroid"))


def test_progress_rises_to_one_and_can_cancel() -> None:
    told: list[float] = []
    linkage_heap(cloud(400), "centroid", progress=lambda fraction, message: told.append(fraction))
    assert told == sorted(told)
    assert told[-1] == 1.0
    with pytest.raises(KeyboardInterrupt):
        linkage_heap(cloud(400), "median", progress=lambda fraction, message: False)


def test_estimates_grow_with_the_data() -> None:
    assert heap.peak_bytes(50_000, 3) < 20_000_000
    assert heap.seconds(1000, 2) < heap.seconds(2000, 2) < heap.seconds(2000, 20)
