"""Spanning trees: against the stored engine, scipy, a naive twin; ties, duplicates, threads, scale."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform

import shoal
from naive.linkage import naive_linkage
from shoal.errors import InputError
from shoal.runtime import pool
from shoal.runtime.kernel import plain_python
from shoal.trees import kdtree, spanning
from shoal.trees.spanning import SpanningTree, linkage_spanning, spanning_tree_by_rows, spanning_tree_of_points
from shoal.trees.stored import linkage_stored

Floats = NDArray[np.float64]


def cloud(n: int, d: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(n, d))


KINDS: dict[str, Callable[[int, int], Floats]] = {
    "normal": cloud,
    "grid": lambda n, d: np.round(cloud(n, d)),
    "duplicates": lambda n, d: np.repeat(cloud(-(-n // 7), d), 7, axis=0)[:n],
    "equal": lambda n, d: np.ones((n, d)),
    "outlier": lambda n, d: np.concatenate([1e-6 * cloud(n - 1, d), np.full((1, d), 1e6)]),
    "chain": lambda n, d: np.pad(1.5 ** np.arange(n)[:, None], ((0, 0), (0, d - 1))) if n < 300 else cloud(n, d),
    "heavy tails": lambda n, d: np.random.default_rng(1).standard_cauchy(size=(n, d)),
}


def prim(D: Floats) -> list[tuple[float, int, int]]:
    """The slow way: the shortest edge out of the tree of item 0, by (length, smaller, larger), again and again."""
    n, inside, edges = len(D), {0}, []
    while len(inside) < n:
        best = min((D[i, j], min(i, j), max(i, j)) for i in inside for j in range(n) if j not in inside)
        edges.append(best)
        inside.add(best[2] if best[1] in inside else best[1])
    return sorted(edges)


def edges_of(tree: SpanningTree) -> list[tuple[float, int, int]]:
    return list(zip(tree.length.tolist(), tree.a.tolist(), tree.b.tolist(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d"), [(2, 1), (3, 2), (40, 1), (70, 2), (70, 3)])
def test_is_prims_tree_edge_by_edge(kind: str, n: int, d: int) -> None:
    X = KINDS[kind](n, d)
    squares = np.array([[sum((float(a) - float(b)) ** 2 for a, b in zip(x, y, strict=True)) for y in X] for x in X])
    expected = prim(np.sqrt(squares))
    assert edges_of(spanning_tree_of_points(X)) == expected
    assert edges_of(spanning_tree_by_rows(X)) == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [1, 2, 5, 11])
def test_heights_are_the_stored_engines(kind: str, d: int) -> None:
    X = KINDS[kind](900, d)
    expected = linkage_stored(pdist(X), len(X), "single")
    np.testing.assert_allclose(linkage_spanning(X).height, expected.height, rtol=1e-13, atol=0)
    assert edges_of(spanning_tree_by_rows(X)) == edges_of(spanning_tree_of_points(X))


def test_is_the_naive_tree() -> None:
    X = cloud(60, 3)
    expected = sorted(h for _, _, h, _ in naive_linkage(squareform(pdist(X)), "single"))
    np.testing.assert_allclose(linkage_spanning(X).height, expected, rtol=1e-12)


def test_mutual_reachability() -> None:
    X, core = cloud(120, 2), np.random.default_rng(3).uniform(0, 1, 120)
    D = np.maximum(squareform(pdist(X)), np.maximum(core[:, None], core[None, :]))
    np.fill_diagonal(D, 0)
    found = shoal.spanning_tree(X, core=core)
    np.testing.assert_allclose(found.length, [e[0] for e in prim(D)], rtol=1e-12)


@pytest.mark.parametrize("kind", ["normal", "grid", "heavy tails"])
def test_any_number_of_threads_gives_the_same_bits(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spanning, "LEAVES", 3)
    X, trees = KINDS[kind](2000, 3), []
    try:
        for threads in (1, 2, 5):
            pool.set_threads(threads)
            trees.append(spanning_tree_of_points(X))
    finally:
        pool.set_threads(None)
    for tree in trees[1:]:
        for column, expected in zip(tree, trees[0], strict=True):
            np.testing.assert_array_equal(column, expected)


@pytest.mark.parametrize("listed", [1, 2, 20])
def test_the_length_of_the_lists_changes_nothing(listed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("normal", "grid", "duplicates"):
        X = KINDS[kind](500, 2)
        expected = edges_of(spanning_tree_of_points(X))
        monkeypatch.setattr(spanning, "LISTED", listed)
        assert edges_of(spanning_tree_of_points(X)) == expected
        monkeypatch.undo()


def test_plain_python_gives_the_same_bits() -> None:
    X = cloud(90, 3)
    expected = spanning_tree_of_points(X)
    with plain_python(True):
        assert edges_of(spanning_tree_of_points(X)) == edges_of(expected)
        assert edges_of(spanning_tree_by_rows(X)) == edges_of(expected)


def test_the_way_by_rows_in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spanning, "STEP", 1)
    X = cloud(300, 30)
    assert edges_of(spanning_tree_by_rows(X)) == edges_of(spanning_tree_of_points(X))
    fractions: list[float] = []
    shoal.spanning_tree(X, progress=lambda fraction, message: fractions.append(fraction))
    assert fractions == sorted(fractions)
    np.testing.assert_allclose(linkage_spanning(1e200 * X).height, 1e200 * linkage_spanning(X).height, rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_numbers_whose_squares_have_no_room(scale: float) -> None:
    X = cloud(100, 2)
    np.testing.assert_allclose(linkage_spanning(scale * X).height, scale * linkage_spanning(X).height, rtol=1e-9)


def test_offset_and_float32() -> None:
    X = np.round(cloud(300, 2), 3)
    np.testing.assert_allclose(linkage_spanning(X + 1e8).height, linkage_spanning(X).height, rtol=0, atol=1e-7)
    X32 = X.astype(np.float32)
    np.testing.assert_array_equal(linkage_spanning(X32).height, linkage_spanning(X32.astype(np.float64)).height)


def test_the_input_is_not_written_to() -> None:
    X = cloud(500, 2)
    before = X.copy()
    X.setflags(write=False)
    shoal.spanning_tree(X)
    np.testing.assert_array_equal(X, before)


def test_refusals() -> None:
    with pytest.raises(InputError, match="Euclidean"):
        shoal.spanning_tree(shoal.points(cloud(5, 2), "cityblock"))
    with pytest.raises(InputError, match="Core distances"):
        shoal.spanning_tree(cloud(5, 2), core=[1.0, 2.0])
    with pytest.raises(InputError, match="Core distances"):
        shoal.spanning_tree(cloud(3, 2), core=[1.0, -2.0, 0.0])
    with pytest.raises(shoal.ShoalError, match="needs"):
        shoal.spanning_tree(cloud(50, 2), memory_limit=10)


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
