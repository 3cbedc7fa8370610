"""The engine over members against the naive twin, the certificates and the stored-matrix engine."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
from certificates import assert_closest_pairs, assert_same_tree, assert_valid_merges
from naive.linkage import naive_linkage_points
from shoal.errors import InputError
from shoal.runtime.kernel import plain_python
from shoal.runtime.progress import Ticker
from shoal.trees import kdtree, members, members_kernels
from shoal.trees.members import METHODS, METRICS, linkage_members
from shoal.trees.merges import Merges, from_nodes
from shoal.trees.stored import linkage_stored
from strategies import item_weights, points

NAMES = ("LEAST", "MOST", "FEW", "DEAR", "SPARED", "KEPT", "ROWS_KEPT", "LEAVES", "ROWS", "STEP")
USUAL = dict(zip(NAMES, (2048, 8192, 16, 0.5, 2.0, 1 << 24, 16, 16, 256, 1 << 22), strict=True))
WAYS: dict[str, dict[str, float]] = {
    "usual": {}, "rounds": {"LEAST": 2, "FEW": 10**9, "DEAR": math.inf, "SPARED": math.inf, "LEAVES": 1},
    "chain": {"LEAST": 2, "MOST": 2, "DEAR": -1.0},
    "few rows": {"LEAST": 2, "MOST": 2, "DEAR": -1.0, "KEPT": 1, "ROWS_KEPT": 2},
    "mixed": {"LEAST": 4, "MOST": 4, "FEW": 3, "ROWS_KEPT": 3, "KEPT": 1, "LEAVES": 2, "ROWS": 7, "STEP": 5000}}

HARD: dict[str, Any] = {
    "random": lambda n: cloud(n), "equal": lambda n: np.ones((n, 2)),
    "grid": lambda n: np.indices((16, -(-n // 16))).reshape(2, -1).T[:n],
    "duplicates": lambda n: cloud(n // 4)[np.random.default_rng(1).integers(0, n // 4, n)],
    "outlier": lambda n: np.vstack([[[1e6, -1e6, 1e6]], 1e-6 * cloud(n - 1)]),
    "chain": lambda n: 1.2 ** np.arange(n)[:, None], "reversed chain": lambda n: 1.2 ** np.arange(n)[::-1, None],
    "line": lambda n: np.arange(n)[:, None], "slow chain": lambda n: 1.001 ** np.arange(n)[:, None],
    "heavy tails": lambda n: np.random.default_rng(n).standard_t(1, (n, 2)) ** 3, "simplex": lambda n: np.eye(n)[:, :24],
    "ring": lambda n: np.column_stack([np.cos(np.arange(n) * 2 * np.pi / n), np.sin(np.arange(n) * 2 * np.pi / n)]),
    "core": lambda n: np.vstack([0.01 * cloud(n // 2), np.random.default_rng(1).uniform(-1, 1, (n - n // 2, 3))])}


def cloud(n: int, d: int = 3) -> Any:
    return np.random.default_rng(n).normal(size=(n, d))


def take(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    for name, value in {**USUAL, **WAYS[way]}.items():
        monkeypatch.setattr(members, name, value)


def matrix(X: Any, metric: str) -> Any:
    from scipy.spatial.distance import pdist

    return pdist(X, metric)


def square(X: Any, metric: str) -> Any:
    from scipy.spatial.distance import squareform

    return squareform(matrix(X, metric))


def by_matrix(X: Any, method: str, weights: Any = None, metric: str = "euclidean") -> Merges:
    return linkage_stored(matrix(X, metric), len(X), method, weights)


def twin(X: Any, method: str, weights: Any, metric: str) -> Merges:
    def cityblock(x: Any, y: Any) -> float:
        return math.fsum(abs(a - b) for a, b in zip(x, y, strict=True))

    found = naive_linkage_points(X, method, weights, cityblock if metric == "cityblock" else None)
    columns = list(zip(*found, strict=True))
    return from_nodes(np.array(columns[0], np.int64), np.array(columns[1], np.int64), np.array(columns[2], np.float64))


def same_bits(a: Merges, b: Merges) -> None:
    for name in Merges._fields:
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [2, 3, 5, 24])
def test_is_the_naive_tree(n: int, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X, w = cloud(n), np.random.default_rng(n).uniform(0.01, 10, n)
    for weights, metric in itertools.product((None, w), METRICS):
        expected = twin(X, method, weights, metric)
        for way in WAYS:
            take(monkeypatch, way)
            assert_same_tree(linkage_members(X, method, weights, metric=metric), expected, rtol=1e-10, atol=0)


@given(points(max_n=16), st.sampled_from(METHODS), st.sampled_from(METRICS), st.sampled_from(sorted(WAYS)),
       st.integers(1, 4), st.data())
def test_no_pair_is_closer_than_the_one_merged(X: Any, method: str, metric: str, way: str, leaf: int,
                                               data: st.DataObject) -> None:
    weights = data.draw(st.none() | item_weights(len(X))) if method == "average" else None
    with pytest.MonkeyPatch.context() as patch, plain_python(True):
        take(patch, way)
        patch.setattr(kdtree.build, "__defaults__", (leaf,))
        found = linkage_members(X, method, weights, metric=metric)
    assert_closest_pairs(square(X, metric), found, method, weights)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", HARD)
def test_certificate_on_hard_data(name: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch, way)
    monkeypatch.setattr(kdtree.build, "__defaults__", (4,))
    X = np.asarray(HARD[name](40), np.float64)
    for method in METHODS:
        assert_closest_pairs(square(X, "euclidean"), linkage_members(X, method), method)


@pytest.mark.large
@pytest.mark.parametrize("way", ["rounds", "chain", "mixed"])
@pytest.mark.parametrize("method", METHODS)
def test_is_the_tree_of_the_stored_matrix(method: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch, way)
    for d, metric in ((1, "euclidean"), (3, "cityblock"), (7, "euclidean"), (40, "euclidean")):
        X, w = cloud(150, d), np.random.default_rng(d).choice([0.001, 1.0, 1000.0], 150)
        for weights in (None, w):
            found = linkage_members(X, method, weights, metric=metric)
            assert_same_tree(found, by_matrix(X, method, weights, metric), rtol=1e-10, atol=0)


@pytest.mark.large
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["random", "heavy tails", "core", "outlier"])
def test_is_the_tree_of_the_stored_matrix_of_many_items(name: str, method: str) -> None:
    X = HARD[name](3000)
    assert len(X) > members.LEAST
    assert_same_tree(linkage_members(X, method), by_matrix(X, method), rtol=1e-10, atol=1e-15)


@pytest.mark.large
@pytest.mark.parametrize("d", [3, 30])
def test_with_few_features_by_rounds_and_with_many_by_the_chain(d: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "MOST", 2048)
    chains: list[int] = []
    follow = members._Engine._follow_chain

    def counted(self: Any) -> None:
        chains.append(len(self.c.item))
        follow(self)

    monkeypatch.setattr(members._Engine, "_follow_chain", counted)
    X = cloud(3000, d)
    assert_same_tree(linkage_members(X, "average"), by_matrix(X, "average"), rtol=1e-10, atol=0)
    assert chains == ([] if d == 3 else [3000])


@pytest.mark.large
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["random", "grid", "core"])
def test_any_number_of_threads_gives_the_same_bits(name: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch, way)
    monkeypatch.setattr(members, "STEP", 3000)
    monkeypatch.setattr(members, "GROUP", 50)
    X = np.asarray(HARD[name](150), np.float64)
    for method in METHODS:
        trees = []
        try:
            for threads in (1, 2, 5):
                shoal.set_threads(threads)
                trees.append(linkage_members(X, method))
        finally:
            shoal.set_threads(None)
        assert_valid_merges(trees[0])
        same_bits(trees[0], trees[1])
        same_bits(trees[0], trees[2])


@pytest.mark.parametrize("way", WAYS)
def test_plain_python_and_compiled_give_the_same_bits(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch, way)
    weights = np.random.default_rng(1).uniform(0.5, 3, 24)
    for name, method, metric in itertools.product(("grid", "core"), METHODS, METRICS):
        X = np.asarray(HARD[name](24), np.float64)
        with plain_python(True):
            plain = linkage_members(X, method, weights, metric=metric)
        same_bits(plain, linkage_members(X, method, weights, metric=metric))


@given(points(min_n=4, max_n=12, ties=False), st.sampled_from(METHODS), st.integers(1, 11))
def test_no_cluster_within_reach_is_ruled_out(X: Any, method: str, cut: int) -> None:
    with plain_python(True):
        engine = members._Engine(np.array(X), np.ones(len(X)), method, "euclidean", Ticker(None))
        cut = min(cut, len(X) - 1)
        share = np.full(len(X), 1.0)
        if method == "weighted":
            share = np.concatenate([np.full(cut, 1.0 / cut), np.full(len(X) - cut, 1.0 / (len(X) - cut))])
        engine._regroup(np.arange(len(X)), np.array([cut, len(X) - cut]), share)
        c = engine.c
        far = members_kernels.between(c.points, c.weight, c.of, c.begin, c.item, c.mass, 0, engine.largest, 0, 1,
                                      members._room())
        limit = members_kernels.within(far, np.abs(c.centre[0]).sum(), X.size, c.spread[0])
    assert ((c.centre[0] - c.centre[1]) ** 2).sum() + c.spread[1] <= limit
    D = square(X, "euclidean")[:cut, cut:]
    assert far == pytest.approx(D.max() if method == "complete" else D.mean(), rel=1e-12)


def test_distances_that_rounding_has_put_in_a_circle_still_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch, "chain")
    monkeypatch.setattr(members, "LEAST", 1)
    monkeypatch.setattr(members, "MOST", 1)
    exact = members._Rows.of

    def rounded(self: Any, p: int) -> Any:
        row = exact(self, p).copy()
        row[(p + 1) % 3] = np.nextafter(row[(p + 1) % 3], 0.0)  # 0 is nearest to 2, 2 to 1, and 1 to 0
        return row

    monkeypatch.setattr(members._Rows, "of", rounded)
    found = linkage_members(np.eye(3), "average")
    assert_valid_merges(found)
    np.testing.assert_allclose(found.height, math.sqrt(2.0), rtol=1e-15)


def test_one_two_three_and_equal_items() -> None:
    for method in METHODS:
        assert linkage_members(np.ones((1, 2)), method).n == 1
        assert linkage_members(np.array([[0.0], [3.0]]), method).height.tolist() == [3.0]
        equal = linkage_members(np.full((500, 2), 0.1), method)
        assert_valid_merges(equal)
        assert equal.height.tolist() == [0.0] * 499
        assert equal.right.tolist() == list(range(1, 500))
        assert linkage_members(np.array([[0.0], [-0.0], [5.0]]), method).height.tolist() == [0.0, 5.0]
    three = np.array([[0.0], [2.0], [7.0]])
    assert linkage_members(three, "complete").height.tolist() == [2.0, 7.0]
    assert linkage_members(three, "average", np.array([3.0, 1.0, 9.0])).height.tolist() == [2.0, 6.5]
    assert linkage_members(three, "weighted").height.tolist() == [2.0, 6.0]


@pytest.mark.parametrize("way", ["rounds", "chain"])
def test_an_item_of_weight_w_is_w_equal_items(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch, way)
    X, w = cloud(60), np.random.default_rng(0).integers(1, 5, 60)
    found = linkage_members(X, "average", w.astype(np.float64))
    repeated = linkage_members(np.repeat(X, w, axis=0), "average")
    np.testing.assert_allclose(found.height, repeated.height[-59:], rtol=1e-12)
    for scale in (1e-250, 1e250):
        same = linkage_members(X, "average", w * scale)
        np.testing.assert_allclose(same.height, found.height, rtol=1e-12)


@pytest.mark.parametrize("method", ["complete", "weighted"])
def test_complete_and_weighted_have_no_use_for_weights(method: str) -> None:
    X, w = cloud(100), np.random.default_rng(0).uniform(0.1, 10, 100)
    same_bits(linkage_members(X, method, w), linkage_members(X, method))


def test_single_precision_is_widened_and_nothing_is_written_to() -> None:
    X, w = cloud(80).astype(np.float32), np.ones(80)
    X.setflags(write=False)
    w.setflags(write=False)
    same_bits(linkage_members(X, "average", w), linkage_members(X.astype(np.float64), "average"))


@pytest.mark.parametrize("way", ["rounds", "chain"])
@pytest.mark.parametrize("method", METHODS)
def test_offset_costs_nothing_where_it_can_be_taken_away(method: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch, way)
    X = np.round(cloud(50) * 2**20) / 2**20
    expected = linkage_members(X, method)
    for offset in (1e8, -1e8):
        assert_same_tree(linkage_members(X + offset, method), expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize("power", [664, -664, 980, -900])
def test_powers_of_two_scale_the_heights_exactly(power: int, monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch, "rounds")
    X = np.round(cloud(40) * 2**20)
    for method, metric in itertools.product(METHODS, METRICS):
        usual = linkage_members(X, method, metric=metric)
        scaled = linkage_members(np.ldexp(X, power), method, metric=metric)
        same_bits(usual._replace(height=np.ldexp(usual.height, power)), scaled)


@pytest.mark.parametrize("way", WAYS)
def test_progress_rises_to_one_and_can_cancel(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch, way)
    monkeypatch.setattr("shoal.runtime.progress.EVERY_S", 0.0)
    told: list[float] = []
    linkage_members(cloud(100), "average", progress=lambda fraction, message: told.append(fraction))
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) > 1
    with pytest.raises(KeyboardInterrupt):
        linkage_members(cloud(100), "average", progress=lambda fraction, message: False)


@pytest.mark.large
@pytest.mark.parametrize(("n", "d", "most"), [(12_000, 3, 8192), (2500, 60, 2048)])
def test_memory_stays_within_what_is_announced(n: int, d: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "MOST", most)
    X = cloud(n, d)
    linkage_members(X[:100], "average")
    tracemalloc.start()
    try:
        linkage_members(X, "complete")
        assert tracemalloc.get_traced_memory()[1] <= members.peak_bytes(n, d)
    finally:
        tracemalloc.stop()


def test_seconds_grow_with_items_and_features() -> None:
    for method in METHODS:
        by_items = [members.seconds(n, 3, method) for n in (1000, 5000, 20_000, 100_000)]
        by_features = [members.seconds(50_000, d, method) for d in (1, 3, 10, 20, 100)]
        assert by_items == sorted(by_items)
        assert by_features == sorted(by_features)


def test_other_methods_and_metrics_are_refused() -> None:
    with pytest.raises(InputError, match="no 'ward' linkage"):
        linkage_members(cloud(5), "ward")
    with pytest.raises(InputError, match="metric 'cosine'"):
        linkage_members(cloud(5), "average", metric="cosine")
