"""Spanning trees: all ways against a slow one, the stored engine and one another; ties, threads, scale; graphs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial.distance import pdist, squareform

import shoal
from certificates import assert_closest_pairs
from naive.linkage import naive_linkage
from shoal.errors import InputError
from shoal.runtime import pool
from shoal.runtime.kernel import plain_python
from shoal.trees import boxes, forest, kdtree, products, spanning
from shoal.trees.boxes import spanning_tree_by_boxes
from shoal.trees.products import spanning_tree_by_products
from shoal.trees.spanning import (
    SpanningTree,
    linkage_of_graph,
    linkage_spanning,
    spanning_tree_of_points,
    takes_graph,
)
from shoal.trees.stored import linkage_stored

Floats = NDArray[np.float64]
Edges = list[tuple[float, int, int]]


def cloud(n: int, d: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(n, d))


KINDS: dict[str, Callable[[int, int], Floats]] = {
    "normal": cloud,
    "grid": lambda n, d: np.round(cloud(n, d)),
    "duplicates": lambda n, d: np.repeat(cloud(-(-n // 7), d), 7, axis=0)[:n],
    "equal": lambda n, d: np.ones((n, d)),
    "two values": lambda n, d: np.tile((cloud(n, 1) > 0).astype(float), d),
    "signed zeros": lambda n, d: np.where(cloud(n, d) > 0, 0.0, -0.0),
    "outlier": lambda n, d: np.concatenate([1e-6 * cloud(n - 1, d), np.full((1, d), 1e6)]),
    "chain": lambda n, d: np.pad(1.5 ** np.arange(n)[:, None], ((0, 0), (0, d - 1))) if n < 300 else cloud(n, d),
    "heavy tails": lambda n, d: np.random.default_rng(1).standard_cauchy(size=(n, d)),
    "clusters": lambda n, d: 9.0 * cloud(5, d, 1)[np.arange(n) % 5] + cloud(n, d),
    "clumps": lambda n, d: 1e6 * (np.arange(n) % 2)[:, None] + 1e-2 * cloud(n, d),
    "far away": lambda n, d: 1e8 + np.round(cloud(n, d), 3),
    "float32": lambda n, d: cloud(n, d).astype(np.float32),
}
WAYS = {"boxes": spanning_tree_by_boxes, "products": spanning_tree_by_products}


def squares_of(X: Any) -> Floats:
    """Squared distances, each summed in the order of the features. (Python's e ** 2 may be one ulp away from e * e.)"""
    S = np.zeros((len(X), len(X)))
    for x in np.asarray(X, np.float64).T:
        S += (x[:, None] - x) * (x[:, None] - x)
    return S


def prim(D: Floats) -> Edges:
    """The slow way: the shortest edge out of the tree of item 0, by (length, smaller, larger), again and again."""
    n, inside, edges = len(D), {0}, []
    while len(inside) < n:
        best = min((D[i, j], min(i, j), max(i, j)) for i in inside for j in range(n) if j not in inside)
        edges.append(best)
        inside.add(best[2] if best[1] in inside else best[1])
    return sorted(edges)


def prim_of_points(X: Any, core: Floats | None = None) -> Edges:
    """The slow way, edges compared by their squares."""
    S = squares_of(X)
    if core is not None:
        S = np.maximum(S, np.maximum(core[:, None], core) ** 2)
    return sorted((math.sqrt(s), i, j) for s, i, j in prim(S))


def kruskal(n: int, edges: Edges) -> Edges:
    """The slow way with given edges."""
    part, taken = list(range(n)), []
    for edge in sorted(edges):
        one, other = part[edge[1]], part[edge[2]]
        if one != other:
            part = [one if p == other else p for p in part]
            taken.append(edge)
    return taken


def edges_of(tree: SpanningTree) -> Edges:
    return list(zip(tree.length.tolist(), tree.a.tolist(), tree.b.tolist(), strict=True))


def fifth_nearest(X: Any) -> Floats:
    """Core distances as density clustering takes them: most of them tie with an edge."""
    return np.sqrt(np.sort(squares_of(X), axis=1)[:, min(5, len(X) - 1)])


# ---------------------------------------------------------------------------------------------------------------- points


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d"), [(1, 1), (2, 1), (3, 2), (40, 1), (70, 2), (70, 3)])
def test_is_prims_tree_edge_by_edge(kind: str, n: int, d: int) -> None:
    X = KINDS[kind](n, d)
    expected = prim_of_points(X)
    for way in WAYS.values():
        assert edges_of(way(X)) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_mutual_reachability_is_prims_tree(kind: str) -> None:
    X = KINDS[kind](60, 2)
    for core in (fifth_nearest(X), np.random.default_rng(3).uniform(0, 1, 60), np.full(60, 0.5)):
        expected = prim_of_points(X, core)
        for way in WAYS.values():
            assert edges_of(way(X, core)) == expected


@pytest.mark.large
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [1, 2, 5, 11, 40])
def test_both_ways_give_the_same_bits(kind: str, d: int) -> None:
    X = KINDS[kind](900, d)
    assert edges_of(spanning_tree_by_boxes(X)) == edges_of(spanning_tree_by_products(X))
    core = np.sort(squareform(pdist(X)), axis=1)[:, 4]
    assert edges_of(spanning_tree_by_boxes(X, core)) == edges_of(spanning_tree_by_products(X, core))


@pytest.mark.large
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [2, 11])
def test_heights_are_the_stored_engines(kind: str, d: int) -> None:
    X = KINDS[kind](900, d)
    expected = linkage_stored(pdist(X), len(X), "single")
    np.testing.assert_allclose(linkage_spanning(X).height, expected.height, rtol=1e-13, atol=0)


def test_is_the_naive_tree() -> None:
    X = cloud(60, 3)
    expected = sorted(h for _, _, h, _ in naive_linkage(squareform(pdist(X)), "single"))
    np.testing.assert_allclose(linkage_spanning(X).height, expected, rtol=1e-12)


@pytest.mark.large
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["normal", "grid", "heavy tails", "clusters"])
def test_any_number_of_threads_gives_the_same_bits(way: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxes, "LEAVES", 3)
    monkeypatch.setattr(forest, "POINTS", 100)
    monkeypatch.setattr(products, "QUERIES", 8)
    X, trees = KINDS[kind](2000, 3), []
    try:
        for threads in (1, 2, 5):
            pool.set_threads(threads)
            trees.append(WAYS[way](X))
    finally:
        pool.set_threads(None)
    for tree in trees[1:]:
        for column, expected in zip(tree, trees[0], strict=True):
            np.testing.assert_array_equal(column, expected)


@pytest.mark.large
@pytest.mark.parametrize("listed", [1, 2, 20])
def test_the_length_of_the_lists_changes_nothing(listed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("normal", "grid", "duplicates", "clusters"):
        X = KINDS[kind](500, 2)
        core = np.sort(squareform(pdist(X)), axis=1)[:, 4]
        expected = edges_of(spanning_tree_by_boxes(X)), edges_of(spanning_tree_by_boxes(X, core))
        monkeypatch.setattr(boxes, "LISTED", listed + 2)
        monkeypatch.setattr(boxes, "LEAST_LISTED", listed)
        monkeypatch.setattr(products, "LISTED", listed)
        for way in WAYS.values():
            assert (edges_of(way(X)), edges_of(way(X, core))) == expected
        monkeypatch.undo()


@pytest.mark.parametrize("kind", ["normal", "grid", "clusters"])
def test_plain_python_gives_the_same_bits(kind: str) -> None:
    X = KINDS[kind](90, 3)
    core = fifth_nearest(X)
    for way in WAYS.values():
        expected = edges_of(way(X)), edges_of(way(X, core))
        with plain_python(True):
            assert (edges_of(way(X)), edges_of(way(X, core))) == expected


@pytest.mark.parametrize("stop", [0.0, 0.3, 1e40, 1e200, math.inf])
def test_the_edges_up_to_a_length(stop: float) -> None:
    for kind in ("normal", "grid", "duplicates"):
        X = KINDS[kind](300, 2)
        expected = [edge for edge in edges_of(spanning_tree_by_boxes(X)) if edge[0] <= stop]
        for way in WAYS.values():
            assert [edge for edge in edges_of(way(X, stop=stop)) if edge[0] <= stop] == expected


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_numbers_whose_squares_have_no_room(scale: float) -> None:
    X = cloud(100, 2)
    core = np.random.default_rng(3).uniform(0, 1, 100)
    for way in WAYS.values():
        np.testing.assert_allclose(way(scale * X).length, scale * way(X).length, rtol=1e-9)
        np.testing.assert_allclose(way(scale * X, scale * core).length, scale * way(X, core).length, rtol=1e-9)


def test_offset_and_float32() -> None:
    X = np.round(cloud(300, 2), 3)
    X32 = X.astype(np.float32)
    for way in WAYS.values():
        np.testing.assert_allclose(way(X + 1e8).length, way(X).length, rtol=0, atol=1e-7)
        assert edges_of(way(X32)) == edges_of(way(X32.astype(np.float64)))


def test_where_float32_tells_nothing_apart_products_are_float64() -> None:
    def precision(X: Floats) -> Any:
        return products._lists(X, math.inf, None)[0].rows.dtype

    assert precision(cloud(300, 3)) == np.float32
    assert precision(KINDS["outlier"](300, 3)) == np.float32
    assert precision(KINDS["far away"](300, 3)) == np.float32
    assert precision(KINDS["clumps"](300, 3)) == np.float64


@pytest.mark.large
def test_the_bounds_of_products_hold() -> None:
    for X in (cloud(200, 3), cloud(200, 700), KINDS["outlier"](200, 3), KINDS["clumps"](200, 9), 1e30 * cloud(200, 5)):
        exact = squareform(pdist(X, "sqeuclidean"))
        for dtype in (np.float32, np.float64):
            rows, half, worth = products.sieve_of(X, dtype)
            bound = ((half[:, None] + half) - rows @ rows.T).astype(np.float64) * worth
            assert (bound <= exact * products.LOOSE).all()
        assert (bound >= exact * (1 - 1e-6) - 1e-9 * exact.max()).all()


def test_every_pair_of_blocks_meets_once() -> None:
    for m in range(9):
        rounds = [[tuple(sorted(pair)) for pair in pairs] for pairs in products._tournament(m)]
        assert sorted(pair for pairs in rounds for pair in pairs) == [(i, j) for i in range(m) for j in range(i + 1, m)]
        for pairs in rounds:
            players = [player for pair in pairs for player in pair]
            assert len(players) == len(set(players))


@pytest.mark.large
def test_features_that_have_few_dimensions_go_the_way_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    for name, module in (("boxes", boxes), ("products", products)):
        monkeypatch.setattr(module, WAYS[name].__name__,
                            lambda *args, n=name: taken.append(n) or WAYS[n](*args))
    monkeypatch.setattr(spanning, "WORTH_A_LOOK", 0.0)
    spanning_tree_of_points(cloud(6000, 2) @ cloud(2, 30))
    spanning_tree_of_points(cloud(3000, 30))
    spanning_tree_of_points(cloud(3000, 2))
    assert taken == ["boxes", "products", "boxes"]


def test_progress_rises_and_the_input_is_not_written_to() -> None:
    for d in (2, 30):
        X = cloud(700, d)
        before = X.copy()
        X.setflags(write=False)
        fractions: list[float] = []
        shoal.spanning_tree(X, progress=lambda fraction, message, f=fractions: f.append(fraction))
        assert fractions == sorted(fractions)
        assert 0.0 < fractions[-1] <= 1.0
        np.testing.assert_array_equal(X, before)


def test_refusals() -> None:
    with pytest.raises(InputError, match="Core distances"):
        shoal.spanning_tree(cloud(5, 2), core=[1.0, 2.0])
    with pytest.raises(InputError, match="Core distances"):
        shoal.spanning_tree(cloud(3, 2), core=[1.0, -2.0, 0.0])
    with pytest.raises(InputError, match="too large beside"):
        shoal.spanning_tree(cloud(3, 2), core=[1.0, 1e200, 0.0])
    with pytest.raises(shoal.ShoalError, match="needs"):
        shoal.spanning_tree(cloud(50, 2), memory_limit=10)
    with pytest.raises(shoal.ShoalError, match="needs"):
        shoal.spanning_tree(shoal.graph([(0, 1), (2, 1)], kind="distance"), memory_limit=10)


# ------------------------------------------------------------------------------------------------------- other distances


@pytest.mark.parametrize("kind", ["normal", "grid", "equal"])
def test_other_distances_go_by_rows(kind: str) -> None:
    X, core = KINDS[kind](50, 3), np.random.default_rng(3).uniform(0, 1, 50)
    for metric in ("euclidean", "cityblock"):
        D = squareform(pdist(X, metric))
        reach = np.maximum(D, np.maximum(core[:, None], core))
        for data in (shoal.distances(D), shoal.distances(squareform(D)), shoal.similarities(-D, np.negative)):
            np.testing.assert_allclose(shoal.spanning_tree(data).length, [e[0] for e in prim(D)], rtol=1e-12, atol=1e-12)
        assert edges_of(shoal.spanning_tree(shoal.distances(D))) == prim(D)
        assert edges_of(shoal.spanning_tree(shoal.distances(D), core=core)) == prim(reach)
    assert edges_of(shoal.spanning_tree(shoal.points(X, "cityblock"))) == prim(D)
    assert edges_of(shoal.spanning_tree(shoal.points(sparse.csr_array(X), "cityblock"))) == prim(D)
    assert len(shoal.spanning_tree(shoal.distances([[0.0]])).a) == 0


# ----------------------------------------------------------------------------------------------------------------- graphs


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, Edges]:
    """Some edges between some items, with many equal lengths, and lengths of 0; the last item has an edge."""
    n = draw(st.integers(3, 12))
    pairs = draw(st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda p: p[0] < p[1]), max_size=30))
    pairs = sorted(pairs | {(0, n - 1)})
    lengths = draw(st.lists(st.sampled_from([0.0, 1.0, 2.0, 2.5]), min_size=len(pairs), max_size=len(pairs)))
    return n, [(w, i, j) for w, (i, j) in zip(lengths, pairs, strict=True)]


def as_graph(n: int, edges: Edges, **more: Any) -> shoal.Graph:
    return shoal.graph([(i, j, w) for w, i, j in edges], ids=[str(i) for i in range(n)], **{"kind": "distance", **more})


@given(graphs())
def test_the_forest_of_a_graph_is_kruskals(problem: tuple[int, Edges]) -> None:
    n, edges = problem
    assert edges_of(shoal.spanning_tree(as_graph(n, edges))) == kruskal(n, edges)
    core = np.linspace(0.0, 2.2, n)[::-1]
    reach = [(max(w, core[i], core[j]), i, j) for w, i, j in edges]
    assert edges_of(shoal.spanning_tree(as_graph(n, edges), core=core)) == kruskal(n, reach)


@given(graphs())
def test_single_linkage_of_a_graph_of_distances(problem: tuple[int, Edges]) -> None:
    n, edges = problem
    merges = linkage_of_graph(as_graph(n, edges))
    expected = [w for w, _, _ in kruskal(n, edges)]
    assert merges.height.tolist() == expected + [math.inf] * (n - 1 - len(expected))
    joined = [(float(n * n), 0, j) for j in range(1, n)]  # the parts last, by their smallest items
    low = [min(i for i in range(n) if top in _above(merges, i)) for top in merges.right[len(expected):].tolist()]
    assert low == [j for _, _, j in kruskal(n, edges + joined)[len(expected):]]


def _above(merges: Any, node: int) -> list[int]:
    """A node and all above it."""
    found = [node]
    for t, (left, right) in enumerate(zip(merges.left.tolist(), merges.right.tolist(), strict=True)):
        if found[-1] in (left, right):
            found.append(merges.n + t)
    return found


@given(graphs(), st.sampled_from(["1-s", "max-s", "sqrt(2-2s)"]))
def test_single_linkage_of_a_graph_of_similarities_is_the_stored_engines(problem: tuple[int, Edges], rule: str) -> None:
    n, edges = problem
    g = as_graph(n, [(w / 5, i, j) for w, i, j in edges], kind="similarity", rule=rule)
    if g.pairs.stored is None:  # all pairs are given
        assert not takes_graph(g)
        return
    assert takes_graph(g)
    merges = linkage_of_graph(g)
    np.testing.assert_array_equal(merges.height, linkage_stored(g.condensed(), n, "single").height)
    assert_closest_pairs(squareform(g.condensed()), merges, "single")


def test_shortest_paths_merge_as_the_edges_do() -> None:
    n = 60
    lengths = np.random.default_rng(0).integers(1, 9, size=(n, n)).astype(float)
    edges = [(lengths[i, j], i, j) for i in range(n) for j in range(i + 1, n) if j == i + 1 or (7 * i + 3 * j) % 11 == 0]
    g = as_graph(n, edges, missing="shortest_path")
    np.testing.assert_array_equal(linkage_of_graph(g).height, linkage_stored(g.condensed(), n, "single").height)


def test_edges_of_length_zero_are_edges() -> None:
    csr = sparse.csr_array(([0.0, 0.0, 3.0], ([0, 1, 2], [1, 2, 3])), shape=(4, 4))
    assert edges_of(shoal.spanning_tree(shoal.graph(csr, kind="distance"))) == [(0.0, 0, 1), (0.0, 1, 2), (3.0, 2, 3)]


def test_float32_graphs_keep_their_precision() -> None:
    csr = sparse.csr_array((np.array([0.1, 0.7], np.float32), ([0, 1], [1, 2])), shape=(3, 3))
    g = shoal.graph(csr, rule="1-s")
    expected = linkage_stored(g.condensed(), 3, "single").height
    np.testing.assert_array_equal(linkage_of_graph(g).height, expected)


def test_similarities_below_zero_are_further_than_no_edge() -> None:
    assert not takes_graph(shoal.graph([(0, 1, -0.5), (1, 2, 0.5), (2, 3, 0.1)], rule="1-s"))
    with pytest.raises(InputError, match=r"rule makes -0\.1 of the similarity 0"):
        linkage_of_graph(shoal.graph([(0, 1, 0.5), (1, 2, 0.5)], rule=lambda s: s - 0.1))


@pytest.mark.large
def test_a_graph_in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spanning, "EDGES", 3)
    rng = np.random.default_rng(0)
    pairs = {(int(i), int(j)): float(w) for i, j, w in rng.integers(0, 80, size=(400, 3)) if i < j}
    edges = [(w, i, j) for (i, j), w in pairs.items()]
    fractions: list[float] = []
    found = shoal.spanning_tree(as_graph(80, edges), progress=lambda fraction, message: fractions.append(fraction))
    assert edges_of(found) == kruskal(80, edges)
    assert fractions == sorted(fractions)


def test_kd_tree_halves_its_points() -> None:
    X = cloud(1000, 3)
    T = kdtree.build(X, leaf=8)
    assert sorted(T.order.tolist()) == list(range(1000))
    counts = T.stop - T.start
    assert counts[T.leaves - 1:].min() >= counts[T.leaves - 1:].max() - 1
    for v in range(len(T.start)):
        inside = X[T.order[T.start[v]:T.stop[v]]]
        np.testing.assert_array_equal(T.low[v], inside.min(axis=0))
        np.testing.assert_array_equal(T.high[v], inside.max(axis=0))
    for leaf in range(T.leaves):
        v = leaf + T.leaves - 1
        np.testing.assert_array_equal(T.block[leaf, :, :counts[v]].T, X[T.order[T.start[v]:T.stop[v]]])
        assert np.isinf(T.block[leaf, :, counts[v]:]).all()
