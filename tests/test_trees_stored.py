"""The stored-matrix engine against the naive twin, the certificates and scipy, on every way through the matrix."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
from certificates import assert_closest_pairs, assert_same_tree, assert_valid_merges
from naive.linkage import naive_linkage, naive_linkage_points
from shoal.runtime.kernel import plain_python
from shoal.trees import stored
from shoal.trees.merges import Merges, from_nodes, from_scipy
from strategies import METHODS, REDUCIBLE, item_weights, methods, points, square_distances

SIZES = (1, 2, 3, 5, 20, 60, 150)
SQUARED = ("ward", "centroid", "median")
WEIGHTED_MEANS = ("average", "ward", "centroid")

# (BLOCK, GROUP, FEW, SLICE): many tasks and groups; rounds alone; the chain alone, in slices; both in turn.
WAYS = {"usual": (1 << 19, 8, 16, 4_000_000), "blocks": (40, 3, 16, 4_000_000), "rows": (1, 1, 16, 4_000_000),
        "rounds": (100, 2, 10**9, 4_000_000), "chain": (1 << 19, 8, 0, 4_000_000), "slices": (70, 2, 0, 1),
        "mixed": (100, 4, 4, 500)}


def stored_linkage(*args: Any, **options: Any) -> shoal.Tree:
    return shoal.linkage(*args, engine="stored", **options)


def square_of(X: Any) -> Any:
    return np.sqrt(((X[:, None, :] - X[None, :, :]) ** 2).sum(axis=2))


def condensed_of(D: Any) -> Any:
    return np.ascontiguousarray(D[np.triu_indices(len(D), 1)])


def cloud(n: int, seed: int = 0, d: int = 3) -> Any:
    return np.random.default_rng(seed + n).normal(size=(n, d))


def built(D: Any, method: str, weights: Any = None, *, plain: bool = True, dtype: Any = np.float64) -> Merges:
    with plain_python(plain):
        return stored.linkage_stored(condensed_of(D).astype(dtype), len(D), method, weights)


def as_merges(found: list[Any]) -> Merges:
    columns = list(zip(*found, strict=True)) or [(), (), (), ()]
    return from_nodes(np.array(columns[0], np.int64), np.array(columns[1], np.int64), np.array(columns[2], np.float64))


@cache
def twin(n: int, method: str, single_precision: bool = False) -> Merges:
    D = square_of(cloud(n))
    return as_merges(naive_linkage(D.astype(np.float32) if single_precision else D, method))


def take(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    for name, value in zip(("BLOCK", "GROUP", "FEW", "SLICE"), WAYS[way], strict=True):
        monkeypatch.setattr(stored, name, value)


def same_bits(a: Merges, b: Merges) -> None:
    for name in Merges._fields:
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name


# ------------------------------------------------------------------------------------------------------- naive and scipy


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "compiled"])
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("method", METHODS)
def test_is_the_naive_tree(method: str, n: int, plain: bool) -> None:
    found = built(square_of(cloud(n)), method, plain=plain)
    assert_valid_merges(found)
    assert_same_tree(found, twin(n, method), rtol=1e-10, atol=0)


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "compiled"])
@pytest.mark.parametrize("n", [2, 3, 20, 60, 150])
@pytest.mark.parametrize("method", METHODS)
def test_single_precision_is_the_naive_tree_to_its_rounding(method: str, n: int, plain: bool) -> None:
    found = built(square_of(cloud(n)), method, plain=plain, dtype=np.float32)
    exact = method in ("single", "complete")
    assert_same_tree(found, twin(n, method, True), rtol=0 if exact else 1e-5, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_every_form_of_the_data_gives_the_same_tree(method: str) -> None:
    for n in (5, 60, 150, 200):
        X = cloud(n)
        D = square_of(X)
        for data in (X, shoal.points(np.asfortranarray(X)), shoal.distances(D), shoal.distances(condensed_of(D))):
            tree = stored_linkage(data, method)
            assert tree.engine == "stored"
            assert_same_tree(tree.merges, twin(n, method), rtol=1e-10, atol=0)
    X32 = cloud(150).astype(np.float32)
    D32 = square_of(X32.astype(np.float64)).astype(np.float32)
    expected = as_merges(naive_linkage(D32, method))
    for data in (X32, shoal.distances(D32), shoal.distances(condensed_of(D32))):
        assert_same_tree(stored_linkage(data, method).merges, expected, rtol=1e-5, atol=0)


@pytest.mark.large
@pytest.mark.parametrize("n", [400, 1500])
@pytest.mark.parametrize("method", METHODS)
def test_is_scipys_tree(method: Any, n: int) -> None:
    from scipy.cluster.hierarchy import linkage

    X = cloud(n, d=4)
    expected = linkage(X, method)
    found = stored_linkage(X, method).merges
    if method in REDUCIBLE:
        np.testing.assert_allclose(found.height, expected[:, 2], rtol=1e-10)
    assert_same_tree(found, from_scipy(expected), rtol=1e-10, atol=0)


@given(square_distances(ties=False, max_n=14), methods, st.sampled_from(sorted(WAYS)), st.data())
def test_is_the_naive_tree_for_distances_of_no_metric(D: Any, method: str, way: str, data: st.DataObject) -> None:
    weights = data.draw(st.none() | item_weights(len(D)))
    with pytest.MonkeyPatch.context() as patch:
        take(patch, way)
        found = built(D, method, weights)
    if method in SQUARED:  # such squares may fall below zero, where the naive twin clips earlier
        assert_closest_pairs_unless_clipped(D, found, method, weights)
    else:
        assert_same_tree(found, as_merges(naive_linkage(D, method, weights)), rtol=1e-10, atol=0)


def assert_closest_pairs_unless_clipped(D: Any, found: Merges, method: str, weights: Any) -> None:
    if (found.height > 0).all():
        assert_closest_pairs(D, found, method, weights)
    else:
        assert method in ("centroid", "median")


# ------------------------------------------------------------------------------------------------------------- hard data


def _duplicates(n: int) -> Any:
    return square_of(cloud(n // 4)[np.arange(n) % (n // 4)])


def _grid(n: int) -> Any:
    return square_of(np.array([(i % 8, i // 8) for i in range(n)], float))


def _outlier(n: int) -> Any:
    return square_of(np.vstack([cloud(n - 1), [[1e6, 0, 0]]]))


def _chain(n: int) -> Any:
    return square_of(2.0 ** np.arange(n)[:, None])


def _hub(n: int) -> Any:
    D = np.full((n, n), 2.0)
    D[n // 2, :] = D[:, n // 2] = 1.0
    np.fill_diagonal(D, 0)
    return D


def _simplex(n: int) -> Any:
    return square_of(np.eye(n))


def _perturbed_hub(n: int) -> Any:
    rng = np.random.default_rng(5)
    D = np.triu(rng.uniform(1.9, 2.0, (n, n)), 1)
    D[0, 1:] = rng.uniform(1.0, 1.1, n - 1)
    return D + D.T


HARD: dict[str, Callable[[int], Any]] = {
    "random": lambda n: square_of(cloud(n)), "duplicates": _duplicates, "grid": _grid,
    "equal": lambda n: np.ones((n, n)) - np.eye(n), "zero": lambda n: np.zeros((n, n)), "outlier": _outlier,
    "chain": _chain, "hub": _hub, "perturbed hub": _perturbed_hub, "simplex": _simplex,
    "line": lambda n: square_of(np.arange(float(n))[:, None]), "reversed chain": lambda n: _chain(n)[::-1, ::-1]}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("method", METHODS)
def test_no_pair_is_closer_than_the_one_merged_on_any_way(method: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    D = HARD[name](60)
    for way in WAYS:
        take(monkeypatch, way)
        assert_closest_pairs(D, built(D, method, plain=False), method)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", METHODS)
def test_every_way_gives_the_same_tree(method: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch, way)
    for name in ("random", "outlier", "perturbed hub"):
        D = HARD[name](60)
        assert_same_tree(built(D, method, plain=False), as_merges(naive_linkage(D, method)), rtol=1e-10, atol=1e-12)
    assert_same_tree(built(square_of(cloud(150)), method, plain=False), twin(150, method), rtol=1e-10, atol=0)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_small_heights_beside_huge_ones_are_exact(method: str, turned: bool) -> None:
    D = _chain(50)
    if turned:
        D = D[::-1, ::-1]
    assert_same_tree(built(D, method), as_merges(naive_linkage(D, method)), rtol=1e-10, atol=0)


@given(points(), methods, st.sampled_from(sorted(WAYS)))
def test_certificate_on_any_points(X: Any, method: str, way: str) -> None:
    D = square_of(X)
    with pytest.MonkeyPatch.context() as patch:
        take(patch, way)
        assert_closest_pairs(D, built(D, method), method)


@pytest.mark.parametrize("way", ["chain", "slices", "mixed", "rounds"])
@pytest.mark.parametrize("method", METHODS)
def test_certificate_on_many_tied_matrices(method: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch, way)
    rng = np.random.default_rng(6)
    for _ in range(60):
        n = int(rng.integers(4, 24))
        D = np.triu(rng.integers(1, rng.integers(2, 6) + 1, (n, n)).astype(float), 1)
        if method in SQUARED:  # sums of squares of a space: no square falls below zero
            D = square_of(rng.integers(0, 3, (n, 3)).astype(float))
        else:
            D = D + D.T
        assert_closest_pairs(D, built(D, method, plain=False), method)


@pytest.mark.parametrize("method", ["single", "complete", "average", "weighted"])
def test_heights_of_tied_distances_are_exact(method: str) -> None:
    for name in ("equal", "hub"):
        D = HARD[name](60)
        for plain in (True, False):
            heights = built(D, method, plain=plain).height
            if name == "equal" or method == "single":
                assert heights.tolist() == [1.0] * 59
            else:  # the hub takes one neighbour; all others are 2 from one and 1 from the hub
                assert heights[0] == 1.0
                assert heights[1] == (2.0 if method == "complete" else 1.5)


# --------------------------------------------------------------------------------------------------- bits: plain, threads


@pytest.mark.parametrize("name", ["random", "grid", "perturbed hub", "chain"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("method", METHODS)
def test_plain_python_and_compiled_give_the_same_bits(method: str, dtype: Any, name: str) -> None:
    D = HARD[name](60)
    weights = np.random.default_rng(1).uniform(0.5, 3, 60)
    for w in (None, weights):
        same_bits(built(D, method, w, plain=True, dtype=dtype), built(D, method, w, plain=False, dtype=dtype))


@pytest.mark.parametrize("way", ["chain", "rounds", "slices"])
@pytest.mark.parametrize("method", ["complete", "average", "weighted", "ward"])
def test_plain_and_compiled_give_the_same_bits_on_forced_ways(method: str, way: str,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch, way)
    for name in ("grid", "random"):
        D = HARD[name](40)
        for dtype in (np.float64, np.float32):
            same_bits(built(D, method, plain=True, dtype=dtype), built(D, method, plain=False, dtype=dtype))


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "compiled"])
@pytest.mark.parametrize("way", ["chain", "rounds"])
@pytest.mark.parametrize("method", ["average", "weighted", "centroid", "median"])
def test_single_precision_rounds_an_update_once(method: str, way: str, plain: bool,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch, way)
    rng = np.random.default_rng(3)
    for _ in range(40):
        h, x, y = rng.uniform([1, 10, 20], [2, 11, 40]).astype(np.float32).tolist()
        with plain_python(plain):
            found = stored.linkage_stored(np.array([h, x, y], np.float32), 3, method, squared=True)
        drop = 0.25 * h if method in SQUARED else 0.0
        expected = float(np.float32(x + 0.5 * (y - x) - drop))  # in float64 up to here
        assert found.height[1] == (np.sqrt(expected) if method in SQUARED else expected)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_any_number_of_threads_gives_the_same_bits(method: str, tied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "BLOCK", 3000)
    monkeypatch.setattr(stored, "GROUP", 5)
    X = cloud(700)
    X = np.round(2 * X) if tied else X
    trees = []
    try:
        for threads in (1, 2, 5):
            shoal.set_threads(threads)
            trees.append(stored_linkage(X, method).merges)
    finally:
        shoal.set_threads(None)
    assert_valid_merges(trees[0])
    for other in trees[1:]:
        same_bits(trees[0], other)


@pytest.mark.parametrize("name", ["grid", "hub", "duplicates", "equal"])
@pytest.mark.parametrize("method", METHODS)
def test_tasks_of_any_size_give_the_same_bits(method: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    D, found = HARD[name](60), []
    for way in ("usual", "blocks", "rows"):  # these differ in their tasks alone
        take(monkeypatch, way)
        found.append(built(D, method, plain=False))
    same_bits(found[0], found[1])
    same_bits(found[0], found[2])


def test_equal_distances_merge_the_smallest_items_first() -> None:
    D = np.ones((6, 6)) - np.eye(6)
    for method in ("single", "complete", "average", "weighted"):
        first = built(D, method)
        assert (first.left[0], first.right[0]) == (0, 1)


# --------------------------------------------------------------------------------------------------------------- weights


@given(points(ties=False, max_n=7), st.sampled_from((*WEIGHTED_MEANS, "single", "complete")), st.data())
def test_whole_weights_are_repeated_items(X: Any, method: str, data: st.DataObject) -> None:
    w = data.draw(st.lists(st.integers(1, 4), min_size=len(X), max_size=len(X)))
    repeated = stored_linkage(np.repeat(X, w, axis=0), method).merges
    weighted = stored_linkage(X, method, weights=w).merges
    top = repeated.height.max()
    above = repeated.height[len(repeated.height) - (len(X) - 1):]
    assert (repeated.height[:len(repeated.height) - (len(X) - 1)] <= 1e-7 * top).all()
    np.testing.assert_allclose(weighted.height, above, rtol=1e-8, atol=1e-7 * top)
    owner = np.repeat(np.arange(len(X)), w)
    assert sets_above(weighted, np.arange(len(X)), 0) == sets_above(repeated, owner, 1e-7 * top)


def sets_above(merges: Merges, owner: Any, height: float) -> set[frozenset[int]]:
    """Items (as their owners) below every merge above a height."""
    sets = [frozenset([int(o)]) for o in owner]
    found = set()
    for left, right, h in zip(merges.left.tolist(), merges.right.tolist(), merges.height.tolist(), strict=True):
        sets.append(sets[left] | sets[right])
        if h > height:
            found.add(sets[-1])
    return found


@pytest.mark.parametrize("form", ["points", "distances", "float32"])
@pytest.mark.parametrize("method", METHODS)
def test_fractional_weights_are_the_naive_tree(method: str, form: str) -> None:
    for n in (2, 3, 20, 60):
        X, w = cloud(n), np.random.default_rng(n).uniform(0.2, 5, n)
        single = form == "float32"
        data = shoal.distances(square_of(X)) if form == "distances" else X.astype(np.float32) if single else X
        exact = X.astype(np.float32).astype(float) if single else X
        expected = as_merges(naive_linkage(square_of(exact), method, w))
        assert_same_tree(stored_linkage(data, method, weights=w).merges, expected, rtol=1e-5 if single else 1e-10, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_weights_by_definition(method: str) -> None:
    X, w = cloud(12), np.random.default_rng(3).uniform(0.2, 5, 12)
    expected = as_merges(naive_linkage_points(X, method, w))
    assert_same_tree(stored_linkage(X, method, weights=w).merges, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", WEIGHTED_MEANS)
@pytest.mark.parametrize("way", ["chain", "rounds"])
def test_weights_on_the_chain_and_in_rounds(method: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch, way)
    X, w = cloud(50), np.random.default_rng(9).uniform(0.1, 9, 50)
    assert_same_tree(built(square_of(X), method, w), as_merges(naive_linkage(square_of(X), method, w)), 1e-10, 0)


@pytest.mark.parametrize("method", METHODS)
def test_equal_weights_of_any_size_keep_the_heights(method: str) -> None:
    X = cloud(40)
    plain, heavy = stored_linkage(X, method).merges, stored_linkage(X, method, weights=np.full(40, 4.0)).merges
    factor = 2.0 if method == "ward" else 1.0  # of ward: twice as far for four times the mass
    assert_same_tree(plain._replace(height=plain.height * factor), heavy, rtol=1e-12, atol=0)


# ------------------------------------------------------------------------------------------ squares, scales, inversions


@pytest.mark.parametrize("method", SQUARED)
def test_squared_distances_may_be_given(method: str) -> None:
    D = square_of(cloud(60))
    found = stored.linkage_stored(condensed_of(D) ** 2, 60, method, squared=True)
    assert_same_tree(found, twin(60, method), rtol=1e-10, atol=0)


def test_a_height_of_ward_is_the_root_of_twice_the_increase_of_squares() -> None:
    X = cloud(30)
    merges = stored_linkage(X, "ward").merges
    scatter = [0.0] * 30
    sets = [[i] for i in range(30)]
    for left, right, h in zip(merges.left.tolist(), merges.right.tolist(), merges.height.tolist(), strict=True):
        sets.append(sets[left] + sets[right])
        scatter.append(float(((X[sets[-1]] - X[sets[-1]].mean(axis=0)) ** 2).sum()))
        assert h**2 == pytest.approx(2 * (scatter[-1] - scatter[left] - scatter[right]), rel=1e-10)
    assert (merges.height**2).sum() / 2 == pytest.approx(scatter[-1], rel=1e-10)


@pytest.mark.parametrize("factor", [2.0**600, 2.0**-600])
@pytest.mark.parametrize("method", METHODS)
def test_distances_whose_squares_overflow_or_vanish(method: str, factor: float) -> None:
    D = square_of(cloud(40))
    usual, far = stored_linkage(shoal.distances(D), method).merges, stored_linkage(shoal.distances(D * factor),
        method).merges
    assert_same_tree(usual._replace(height=usual.height * factor), far, rtol=1e-12, atol=0)


@pytest.mark.parametrize("factor", [1e200, 1e-200])
@pytest.mark.parametrize("method", SQUARED)
def test_weighted_distances_whose_squares_overflow_or_vanish(method: str, factor: float) -> None:
    D, w = square_of(cloud(40)), np.random.default_rng(2).uniform(0.5, 3, 40)
    usual = stored_linkage(shoal.distances(D), method, weights=w).merges
    far = stored_linkage(shoal.distances(D * factor), method, weights=w).merges
    assert_same_tree(usual._replace(height=usual.height * factor), far, rtol=1e-12, atol=0)


@pytest.mark.parametrize("factor", [2.0**500, 2.0**-500])
@pytest.mark.parametrize("method", METHODS)
def test_points_whose_squared_squares_overflow_or_vanish(method: str, factor: float) -> None:
    X = cloud(40)
    usual, far = stored_linkage(X, method).merges, stored_linkage(X * factor, method).merges
    assert_same_tree(usual._replace(height=usual.height * factor), far, rtol=1e-12, atol=0)


@pytest.mark.parametrize("factor", [2.0**60, 2.0**-60, 2.0**100, 2.0**-100])
@pytest.mark.parametrize("method", METHODS)
def test_single_precision_whose_squares_overflow_or_vanish(method: str, factor: float) -> None:
    X = cloud(40).astype(np.float32)
    usual = stored_linkage(X, method).merges
    far = stored_linkage(X * np.float32(factor), method).merges
    assert_same_tree(usual._replace(height=usual.height * factor), far, rtol=1e-5, atol=0)
    given_distances = stored_linkage(shoal.distances(condensed_of(square_of(X)).astype(np.float32) * np.float32(factor)),
                                    method).merges
    assert_same_tree(usual._replace(height=usual.height * factor), given_distances, rtol=1e-5, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_an_offset_and_constant_columns_change_nothing(method: str) -> None:
    X = np.random.default_rng(8).integers(0, 10**6, (60, 3)).astype(float)
    usual = stored_linkage(X, method).merges
    moved = stored_linkage(np.column_stack([X[:, :1] + 1e8, np.full(60, 7.5), X[:, 1:] - 1e8]), method).merges
    assert_same_tree(usual, moved, rtol=1e-12, atol=0)


@pytest.mark.parametrize("method", ["centroid", "median"])
def test_an_inversion_is_kept_and_told(method: str) -> None:
    triangle = [[0.0, 0.0], [2.0, 0.0], [1.0, 1.8]]
    for n, data in ((3, triangle), (63, np.vstack([triangle, cloud(60, d=2) + 100]))):
        tree = stored_linkage(data, method)
        if n == 3:
            np.testing.assert_allclose(tree.merges.height, [2.0, 1.8], rtol=1e-15)
            assert tree.inversions == 1
        assert tree.inversions > 0
        (said,) = tree.messages
        assert said.startswith(f"{tree.inversions} merges are lower")
        assert_closest_pairs(square_of(np.array(data)), tree.merges, method)
    assert stored_linkage(triangle, "average").messages == ()


@given(points(max_n=16), st.sampled_from(REDUCIBLE), st.data())
def test_heights_never_fall(X: Any, method: str, data: st.DataObject) -> None:
    w = data.draw(st.none() | item_weights(len(X)))
    for dtype in (np.float64, np.float32):
        height = built(square_of(X), method, w, dtype=dtype).height
        assert (np.diff(height) >= 0).all()
        assert height[0] >= 0


def test_a_merge_an_ulp_below_its_children_is_raised_to_them() -> None:
    low = float(np.nextafter(1.0, 0))
    a, b, h = np.array([3, 0, 0, 0]), np.array([4, 1, 2, 3]), np.array([low, 1.0, low, 2.0])
    for plain in (True, False):
        with plain_python(plain):
            found = stored._in_height_order(a, b, h)
        assert_valid_merges(found)
        assert found.height.tolist() == [low, 1.0, 1.0, 2.0]
        assert list(zip(found.left.tolist(), found.right.tolist(), strict=True)) == [(3, 4), (0, 1), (6, 2), (7, 5)]


# ------------------------------------------------------------------------------------------------------------ properties


@given(points(ties=False, max_n=14), methods, st.data())
def test_permuted_items_give_the_permuted_tree(X: Any, method: str, data: st.DataObject) -> None:
    order = np.array(data.draw(st.permutations(range(len(X)))))
    usual, other = stored_linkage(X, method).merges, stored_linkage(X[order], method).merges
    n = len(X)
    renamed = from_nodes(np.where(other.left < n, order[np.minimum(other.left, n - 1)], other.left),
                         np.where(other.right < n, order[np.minimum(other.right, n - 1)], other.right), other.height)
    assert_same_tree(usual, renamed, rtol=1e-9, atol=1e-10)


@given(square_distances(), methods, st.integers(-30, 30))
def test_scaled_distances_scale_the_heights_exactly(D: Any, method: str, power: int) -> None:
    usual, scaled = built(D, method), built(D * 2.0**power, method)
    same_bits(usual._replace(height=usual.height * 2.0**power), scaled)


@given(points(ties=False, max_n=10), methods, st.data())
def test_a_duplicate_merges_at_height_zero(X: Any, method: str, data: st.DataObject) -> None:
    i = data.draw(st.integers(0, len(X) - 1))
    merges = stored_linkage(np.vstack([X, X[i:i + 1]]), method).merges
    assert merges.height[0] == 0
    assert (merges.left[0], merges.right[0]) == (i, len(X))
    assert merges.height[1] > 0


def test_the_bytes_grow_with_the_matrix() -> None:
    for itemsize in (4, 8):
        pairs = 10_000 * 9_999 // 2
        assert pairs * itemsize < stored.peak_bytes(10_000, itemsize) < 1.2 * pairs * itemsize
