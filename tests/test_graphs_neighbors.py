"""Nearest neighbours: every way against a slow one and the others; ties, threads, scale; graphs of neighbours."""

from __future__ import annotations

import dataclasses
import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse

import shoal
from naive.neighbors import largest_difference, naive_graph, naive_neighbors, sum_of_differences, sum_of_squares
from shoal.data.metrics import ABSOLUTE, DOT, LARGEST, SQUARES
from shoal.errors import InputError, TooLargeError
from shoal.graphs import near_boxes, near_products, near_rows
from shoal.graphs import neighbors as module
from shoal.graphs.neighbors import Neighbors, Work, choose, neighbors
from shoal.runtime import pool
from shoal.runtime.kernel import plain_python
from strategies import points, read_only

Floats = NDArray[np.float64]
Found = tuple[list[list[int]], list[list[float]]]

GOLDEN_INDEX = [[70, 1, 8, 96, 41], [49, 20, 29, 73, 17], [130, 137, 105, 121, 148]]
GOLDEN_DISTANCE = [[0.2719594692861964, 0.373047525915091, 0.4466875323304684, 0.4706246525554194, 0.5715316714251405],
                   [0.5812004793230705, 0.6224031132554991, 1.2505396996157727, 1.4040566390864813, 1.4750214297691346],
                   [0.445787403908713, 0.4702130683748571, 0.5807795734430241, 0.7257348431620154, 0.8181888075032714]]


def cloud(n: int, d: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(n, d))


KINDS: dict[str, Callable[[int, int], Any]] = {
    "normal": cloud,
    "grid": lambda n, d: np.round(cloud(n, d)),
    "duplicates": lambda n, d: np.repeat(cloud(-(-n // 7), d), 7, axis=0)[:n],
    "equal": lambda n, d: np.ones((n, d)),
    "two values": lambda n, d: np.tile((cloud(n, 1) > 0).astype(float), d),
    "signed zeros": lambda n, d: np.where(cloud(n, d) > 0, 0.0, -0.0),
    "outlier": lambda n, d: np.concatenate([1e-6 * cloud(n - 1, d), np.full((1, d), 1e6)]),
    "heavy tails": lambda n, d: np.random.default_rng(1).standard_cauchy(size=(n, d)),
    "clumps": lambda n, d: 1e6 * (np.arange(n) % 2)[:, None] + 1e-2 * cloud(n, d),
    "far away": lambda n, d: 1e8 + np.round(cloud(n, d), 3),
    "float32": lambda n, d: cloud(n, d).astype(np.float32),
}


def by_boxes(X: Any, k: int, Q: Any = None, kind: int = SQUARES) -> tuple[Any, Any]:
    who, far = module._empty(len(X) if Q is None else len(Q), len(X), k)
    near_boxes.Boxes(X, Q, kind, k).search(who, far)
    return who, far


def by_products(X: Any, k: int, Q: Any = None, kind: int = SQUARES) -> tuple[Any, Any]:
    who, far = module._empty(len(X) if Q is None else len(Q), len(X), k)
    near_products.nearest_by_products(X, Q, kind, who, far)
    return who, far


def by_rows(X: Any, k: int, Q: Any = None, kind: int = SQUARES) -> tuple[Any, Any]:
    who, far = module._empty(len(X) if Q is None else len(Q), len(X), k)
    name = {SQUARES: "sqeuclidean", ABSOLUTE: "cityblock", LARGEST: "chebyshev", DOT: "cosine"}[kind]
    near_rows.nearest_by_rows(near_rows.row_blocks(shoal.points(X, name).metric, X, Q), Q is None, who, far)
    return who, far


WAYS = {"boxes": by_boxes, "products": by_products, "rows": by_rows}


def lists(found: tuple[Any, Any]) -> Found:
    return found[0].tolist(), found[1].tolist()


def naive(X: Any, k: int, Q: Any = None, distance: Any = sum_of_squares) -> Found:
    rows = naive_neighbors(X if Q is None else Q, X, k, distance, own=Q is None)
    return [[j for _, j in row] for row in rows], [[d for d, _ in row] for row in rows]


# ----------------------------------------------------------------------------------------------------------------- ways


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d", "k"), [(2, 1, 1), (5, 2, 4), (90, 1, 6), (140, 3, 9), (90, 20, 6)])
def test_every_way_finds_the_nearest(kind: str, n: int, d: int, k: int) -> None:
    X = KINDS[kind](n, d)
    expected = naive(X, k)
    for way in WAYS.values():
        assert lists(way(X, k)) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_finds_the_nearest_of_new_items(kind: str) -> None:
    X = KINDS[kind](150, 3)
    for Q in (X[:40] + X.dtype.type(0.25), X[3:4], np.concatenate([X[::9], 3 * X[::11]])):
        expected = naive(X, 8, Q)
        for way in WAYS.values():
            assert lists(way(X, 8, Q)) == expected


@settings(max_examples=25)
@given(points(min_n=3, max_n=70), st.integers(1, 8))
def test_ways_agree(X: Floats, k: int) -> None:
    k = min(k, len(X) - 1)
    expected = naive(X, k)
    for way in WAYS.values():
        assert lists(way(X, k)) == expected


@pytest.mark.parametrize(("kind", "distance"), [(ABSOLUTE, sum_of_differences), (LARGEST, largest_difference)])
@pytest.mark.parametrize("data", ["normal", "grid", "equal", "float32"])
def test_other_metrics_of_the_kd_tree(kind: int, distance: Any, data: str) -> None:
    X = KINDS[data](150, 3)
    expected, of_new = naive(X, 7, distance=distance), naive(X, 7, X[:20] + X.dtype.type(0.5), distance)
    for way in (by_boxes, by_rows):
        assert lists(way(X, 7, kind=kind)) == expected
        assert lists(way(X, 7, X[:20] + X.dtype.type(0.5), kind)) == of_new


@pytest.mark.parametrize("data", ["normal", "grid", "duplicates", "clumps", "float32"])
@pytest.mark.parametrize("metric", ["cosine", "correlation"])
def test_products_of_unit_rows_are_the_rows_of_distances(data: str, metric: str) -> None:
    X = KINDS[data](90, 8) + np.float32(0.1)
    measure = shoal.points(X, metric).metric
    U = measure.unit_rows(X)
    D = measure.between(X, X)
    np.fill_diagonal(D, math.inf)
    order = np.argsort(D, axis=1, kind="stable")[:, :9]
    who, far = by_products(U, 9, kind=DOT)
    np.testing.assert_array_equal(who, order)
    np.testing.assert_array_equal(far, np.take_along_axis(D, order, 1))
    found = neighbors(X, 9, metric=metric, new=X[:30])
    D = measure.between(X[:30], X)
    np.testing.assert_array_equal(found.index, np.argsort(D, axis=1, kind="stable")[:, :9])


def squares_of(X: Any, Q: Any) -> Floats:
    S = np.zeros((len(Q), len(X)))
    for x, q in zip(np.asarray(X, np.float64).T, np.asarray(Q, np.float64).T, strict=True):
        S += (q[:, None] - x) * (q[:, None] - x)
    return S


@pytest.mark.large
@pytest.mark.parametrize(("n", "d", "kind"), [(6000, 2, "normal"), (6000, 9, "float32"), (6000, 4, "grid"),
                                              (4000, 60, "normal"), (4000, 60, "clumps"), (4000, 30, "grid")])
def test_larger_searches_are_certified(n: int, d: int, kind: str) -> None:
    """No other item comes before the last of some items' neighbours, and these have the distances said."""
    X, k = KINDS[kind](n, d), 15
    for way in (by_boxes, by_products):
        who, far = way(X, k)
        some = np.arange(0, n, 37)
        S = squares_of(X, X[some])
        S[np.arange(len(some)), some] = math.inf
        order = np.argsort(S, axis=1, kind="stable")[:, :k]
        np.testing.assert_array_equal(who[some], order)
        np.testing.assert_array_equal(far[some], np.take_along_axis(S, order, 1))
        assert (np.diff(far, axis=1) >= 0).all()


@pytest.mark.large
@pytest.mark.parametrize("kind", ["equal", "two values", "grid", "duplicates"])
def test_ties_do_not_make_the_kd_tree_look_everywhere(kind: str) -> None:
    X, k = KINDS[kind](20_000, 2), 10
    X = X[np.random.default_rng(0).permutation(len(X))]
    boxes = near_boxes.Boxes(X, None, SQUARES, k)
    begin, home = boxes._groups(64)
    scans = boxes._walk(boxes.row, begin, home, 0, len(home), *module._empty(len(X), len(X), k))
    assert scans < 20 * len(X)  # of 512 leaves; without the nodes' smallest items 512, 258, 24 and 2


@pytest.mark.large
@pytest.mark.parametrize("way", WAYS)
def test_same_bits_for_any_threads(way: str) -> None:
    X = KINDS["float32"](1500, 5)
    found = []
    for threads in (1, 2, 5):
        pool.set_threads(threads)
        try:
            found.append([*WAYS[way](X, 7), *WAYS[way](X, 7, X[:300] + np.float32(0.1))])
        finally:
            pool.set_threads(None)
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("way", WAYS)
def test_plain_python_gives_the_same_bits(way: str) -> None:
    X = KINDS["float32"](150, 3)
    compiled = WAYS[way](X, 5), WAYS[way](X, 5, X[:9] * 2)
    with plain_python(True):
        plain = WAYS[way](X, 5), WAYS[way](X, 5, X[:9] * 2)
    assert list(map(lists, plain)) == list(map(lists, compiled))


@pytest.mark.large
def test_small_groups_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    X = cloud(2000, 4)
    expected = lists(by_boxes(X, 6))
    monkeypatch.setattr(near_boxes, "WORTH_A_LOOK", 0.0)
    monkeypatch.setattr(near_boxes, "TASK_S", 1e-9)
    assert lists(by_boxes(X, 6)) == expected
    assert near_boxes.Boxes(X, None, SQUARES, 6).seconds > 0


def test_lists_that_are_not_proved_are_searched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    X = KINDS["duplicates"](140, 8)
    searched: list[int] = []
    one_by_one = near_products._Search.one_by_one
    monkeypatch.setattr(near_products._Search, "one_by_one",
                        lambda self, waiting, *rest: (searched.append(len(waiting)), one_by_one(self, waiting, *rest)))
    monkeypatch.setattr(near_products, "SPARE", 0)
    assert lists(by_products(X, 4)) == naive(X, 4)
    assert searched[0] > 0


@pytest.mark.large
def test_float64_products_where_float32_is_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[Any] = []
    made = near_products._Search.__init__

    def noted(self: Any, X: Any, Q: Any, kind: int, dtype: Any) -> None:
        kinds.append(dtype)
        made(self, X, Q, kind, dtype)

    monkeypatch.setattr(near_products._Search, "__init__", noted)
    by_products(KINDS["clumps"](3000, 20), 5)
    by_products(KINDS["normal"](3000, 20), 5)
    assert kinds == [np.float32, np.float64, np.float32]


# ------------------------------------------------------------------------------------------------------------ interface


def test_golden_neighbours_of_scipys_tree(tutorial150: Floats) -> None:
    """scipy 1.17.1: cKDTree(X).query(X, 6), without the first."""
    found = neighbors(tutorial150, 5)
    assert found.index[[0, 75, 149]].tolist() == GOLDEN_INDEX
    np.testing.assert_allclose(found.distance[[0, 75, 149]], GOLDEN_DISTANCE, rtol=1e-12)


@pytest.mark.large
def test_same_as_scikit_learn() -> None:
    from sklearn.neighbors import NearestNeighbors

    X, new = cloud(500, 6), cloud(50, 6, 1)
    for metric in ("euclidean", "manhattan", "chebyshev", "cosine", "canberra"):
        model = NearestNeighbors(n_neighbors=9, metric=metric, algorithm="brute").fit(X)
        found, of_new = neighbors(X, 9, metric=metric), neighbors(X, 9, metric=metric, new=new)
        for ours, theirs in ((found, model.kneighbors()), (of_new, model.kneighbors(new))):
            np.testing.assert_allclose(ours.distance, theirs[0], rtol=1e-9)
            np.testing.assert_array_equal(ours.index, theirs[1])


def test_sparse_cosines_are_the_metrics() -> None:
    X = sparse.random_array((90, 40), density=0.2, rng=np.random.default_rng(1), format="csr") + sparse.eye_array(90, 40)
    X = sparse.csr_array(X[:40])
    metric = shoal.points(X, "cosine").metric
    D = np.concatenate(list(near_rows.row_blocks(metric, X, X[:7])))
    np.testing.assert_array_equal(D, metric.between(X[:7], X))


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cityblock", "cosine"])
def test_sparse_rows(metric: str) -> None:
    X = sparse.random_array((120, 30), density=0.3, rng=np.random.default_rng(0), format="csr")
    X = X + sparse.eye_array(120, 30) + 0.5 * sparse.eye_array(120, 30, k=-30) + sparse.csr_array(
        (np.ones(120), (np.arange(120), np.full(120, 29))), shape=(120, 30))
    for new in (None, X[:11]):
        found = neighbors(X, 6, metric=metric, new=new)
        dense = neighbors(X.toarray(), 6, metric=metric, new=None if new is None else new.toarray())
        np.testing.assert_array_equal(found.index, dense.index)
        np.testing.assert_allclose(found.distance, dense.distance, rtol=0 if metric != "cosine" else 1e-13)


def test_functions_and_given_distances() -> None:
    X = np.round(4 * cloud(60, 3))  # squares are whole: they tie where their roots do
    D = np.array([[math.sqrt(sum_of_squares(x, y)) for y in X] for x in X])
    expected = neighbors(X, 4)
    for data in (shoal.distances(D), shoal.points(X, lambda x, y: math.sqrt(sum_of_squares(x, y))),
                 shoal.similarities(-D, rule=lambda s: -s)):
        found = neighbors(data, 4)
        np.testing.assert_array_equal(found.distance, expected.distance)
        np.testing.assert_array_equal(found.index, expected.index)
    of_new = neighbors(shoal.distances(D), 4, new=D[:5])
    assert of_new.index[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert of_new.distance[:, 1:].tolist() == found.distance[:5, :3].tolist()


def test_shortest_paths_and_graphs_without_all_pairs() -> None:
    edges = [(0, 1, 2.0), (1, 2, 3.0), (2, 3, 1.0)]
    found = neighbors(shoal.graph(edges, kind="distance", missing="shortest_path"), 2)
    assert found.index.tolist() == [[1, 2], [0, 2], [3, 1], [2, 1]]
    assert found.distance.tolist() == [[2, 5], [2, 3], [1, 3], [1, 4]]
    with pytest.raises(InputError, match="missing='shortest_path'"):
        neighbors(shoal.graph(edges, kind="distance"), 2)


@pytest.mark.parametrize("size", [1e-200, 1e-170, 1e170, 1e200])
def test_extreme_coordinates(size: float) -> None:
    X = cloud(80, 3)
    power = 2.0 ** round(math.log2(size))
    found, expected = neighbors(X * power, 5), neighbors(X, 5)
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_array_equal(found.distance, expected.distance * power)
    if size > 1:
        with pytest.raises(InputError, match="beyond the range"):
            neighbors(X * power, 5, metric="sqeuclidean")


def test_the_item_itself() -> None:
    X = np.round(cloud(50, 1))
    found, others = neighbors(X, 4, include_self=True), neighbors(X, 3)
    assert found.index[:, 0].tolist() == list(range(50))
    assert (found.distance[:, 0] == 0).all()
    np.testing.assert_array_equal(found.index[:, 1:], others.index)
    assert neighbors(X, 1, include_self=True).index.tolist() == [[i] for i in range(50)]
    assert neighbors(X, 50, include_self=True).index.shape == (50, 50)
    assert (found.graph() != others.graph()).nnz == 0
    assert (neighbors(X, 9, include_self=True).graph(weight="similarity")
            != neighbors(X, 8).graph(weight="similarity")).nnz == 0


@pytest.mark.parametrize("k", [0, -1, 10, 2.0, True, "3"])
def test_how_many_can_be_asked_for(k: Any) -> None:
    with pytest.raises(InputError, match="from 1 to 9"):
        neighbors(cloud(10, 2), k)
    with pytest.raises(InputError, match="at least 2 items"):
        neighbors(cloud(1, 2), 1)
    with pytest.raises(InputError, match="not among the old"):
        neighbors(cloud(10, 2), 3, new=cloud(2, 2), include_self=True)
    assert neighbors(cloud(10, 2), 10, new=cloud(2, 2)).index.shape == (2, 10)


def test_nothing_is_written_to_and_the_result_is_frozen() -> None:
    X = read_only(cloud(700, 3))
    found = neighbors(X, 5, new=read_only(cloud(9, 3)))
    with pytest.raises(ValueError, match="read-only"):
        found.index[0, 0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.n = 3  # type: ignore[misc]


def test_names_and_frames() -> None:
    data = shoal.points([[0.0], [1.0], [5.0]], ids=["a", "b", "c"])
    found = neighbors(data, 2)
    assert found.ids == ("a", "b", "c")
    assert found.to_frame("polars").rows()[:3] == [("a", 1, "b", 1.0), ("a", 2, "c", 5.0), ("b", 1, "a", 1.0)]
    of_new = neighbors(data, 1, new=shoal.points([[4.0]], ids=["x"]))
    assert of_new.to_frame("polars").rows() == [("x", 1, "c", 1.0)]
    assert found.carrier().ids == ("a", "b", "c")


def test_memory_is_known_before() -> None:
    with pytest.raises(TooLargeError, match="15 neighbours of 100,000 items needs"):
        neighbors(np.zeros((100_000, 2), np.float32), memory_limit="5MB")
    assert choose(Work(100_000, 0, 3, 15, SQUARES, 300_000)) == "boxes"
    assert choose(Work(50_000, 0, 100, 15, SQUARES, 5_000_000)) == "products"
    assert choose(Work(50_000, 0, 100, 15, ABSOLUTE, 5_000_000)) in ("boxes", "rows")


@pytest.mark.large
@pytest.mark.parametrize(("n", "d", "m", "metric"), [(30_000, 3, 0, "euclidean"), (30_000, 3, 5000, "chebyshev"),
                                                     (2500, 80, 0, "euclidean"), (2500, 80, 2000, "cosine")])
def test_planned_bytes_hold(n: int, d: int, m: int, metric: str) -> None:
    X, new = cloud(n, d), cloud(m, d) if m else None
    kind = {"euclidean": SQUARES, "chebyshev": LARGEST, "cosine": DOT}[metric]
    work = Work(n, m, d, 15, kind, X.size)
    way = next(w for w in module.WAYS if w.name == choose(work))
    neighbors(X[:600], 15, metric=metric, new=new)
    tracemalloc.start()
    neighbors(X, 15, metric=metric, new=new)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < way.bytes(work) + 12 * 15 * (m or n) + 24e6  # beside blocks of fixed size


@pytest.mark.large
def test_progress_is_told_and_can_stop() -> None:
    for X in (cloud(3000, 3), cloud(1500, 40)):
        fractions: list[float] = []
        neighbors(X, 5, progress=lambda fraction, message, f=fractions: f.append(fraction))
        assert fractions == sorted(fractions)
        assert fractions
        with pytest.raises(KeyboardInterrupt):
            neighbors(X, 5, progress=lambda fraction, message: False)


@pytest.mark.large
def test_a_few_walks_decide_between_the_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    flat = np.pad(cloud(4000, 2), ((0, 0), (0, 28)))  # 30 features, two dimensions
    monkeypatch.setattr(near_boxes, "WORTH_A_LOOK", 0.0)
    assert neighbors(flat, 5).engine == "boxes"
    assert neighbors(cloud(4000, 30), 5).engine == "products"
    np.testing.assert_array_equal(neighbors(flat, 5).index, by_rows(flat, 5)[0])


# --------------------------------------------------------------------------------------------------------------- graphs


@given(points(min_n=3, max_n=30), st.integers(1, 6))
def test_graphs_are_those_of_the_definition(X: Floats, k: int) -> None:
    k = min(k, len(X) - 1)
    found = neighbors(X, k)
    rows = [list(zip(d, j, strict=True)) for d, j in zip(found.distance.tolist(), found.index.tolist(), strict=True)]
    for kind in ("union", "mutual", "directed"):
        W = found.graph(kind).tocoo()
        assert dict(zip(zip(W.row.tolist(), W.col.tolist(), strict=True), W.data.tolist(),
                        strict=True)) == naive_graph(rows, kind)


def test_weights_of_edges() -> None:
    X = cloud(40, 2)
    found = neighbors(X, 8)
    W, S = found.graph().tocoo(), found.graph(weight="similarity").tocoo()
    scale = found.distance[:, 6]
    np.testing.assert_allclose(S.data, np.exp(-W.data**2 / (scale[W.row] * scale[W.col])), rtol=1e-14)
    np.testing.assert_allclose(found.graph(weight="similarity", scale=0.7).data, np.exp(-W.data**2 / (2 * 0.49)), rtol=1e-14)
    assert (found.graph(weight="binary").data == 1).all()
    np.testing.assert_array_equal(found.graph(weight=lambda d: 1 / (1 + d)).data, 1 / (1 + W.data))
    assert (found.graph("directed", "binary").sum(axis=1) == 8).all()


def test_equal_items_are_joined_by_edges_of_weight_0() -> None:
    found = neighbors(np.zeros((6, 2)), 2)
    assert found.graph().nnz == 18
    assert (found.graph(weight="similarity").data == 1).all()
    assert shoal.linkage(found.carrier(), "single").merges.height.tolist() == [0.0] * 5


def test_single_linkage_of_neighbours_of_all_is_single_linkage() -> None:
    X = cloud(50, 3)
    np.testing.assert_array_equal(shoal.linkage(neighbors(X, 49).carrier(), "single").merges.height,
                                  shoal.linkage(X, "single").merges.height)


@pytest.mark.parametrize(("change", "message"), [
    ({"kind": "both"}, "'union', 'mutual', 'directed'"),
    ({"weight": "heat"}, "'distance', 'similarity', 'binary'"),
    ({"weight": "similarity", "scale": "auto"}, "'self-tuning'"),
    ({"weight": "similarity", "scale": 0.0}, "above 0"),
    ({"weight": lambda d: d[:2]}, "one number for each"),
])
def test_graphs_there_are_none_of(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        neighbors(cloud(9, 2), 2).graph(**change)


def test_graphs_of_new_items() -> None:
    X = cloud(30, 2)
    found: Neighbors = neighbors(X, 3, new=X[:4] + 0.1)
    W = found.graph("directed")
    assert W.shape == (4, 30)
    np.testing.assert_array_equal(np.sort(W.indices.reshape(4, 3)), np.sort(found.index))
    assert found.graph("directed", "similarity", scale=1.0).nnz == 12
    for change in ({"kind": "union"}, {"kind": "directed", "weight": "similarity"}):
        with pytest.raises(InputError, match=r"[Nn]ew items"):
            found.graph(**change)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="directed"):
        found.carrier("directed")
