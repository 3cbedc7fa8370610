"""Trees under a neighbour graph, against a naive twin, scipy on complete graphs and scikit-learn on connected ones."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.cluster import hierarchy

from certificates import assert_same_tree, assert_valid_merges
from shoal.data.grids import grid
from shoal.errors import InputError
from shoal.runtime.kernel import plain_python
from shoal.trees import constrained
from shoal.trees.constrained import linkage_constrained
from shoal.trees.merges import Merges, canonical, from_scipy
from strategies import seeds

METHODS = ("ward", "average", "complete", "single", "centroid")
MEANS = ("ward", "centroid")


class Twin:
    """A dictionary of sets, merged by what the methods mean."""

    def __init__(self, X: Any, method: str, graph: Any, weights: Any = None) -> None:
        self.X, self.method = np.asarray(X, float), method
        self.weights = np.ones(len(X)) if weights is None else np.asarray(weights)
        full = graph.toarray() != 0
        self.joined = full | full.T
        self.clusters = {i: {i} for i in range(len(X))}
        self.a: list[int] = []
        self.b: list[int] = []
        self.h: list[float] = []

    def edges(self, p: int, q: int) -> list[tuple[int, int]]:
        pairs = itertools.product(self.clusters[p], self.clusters[q])
        return [(min(i, j), max(i, j)) for i, j in pairs if self.joined[i, j]]

    def distance(self, p: int, q: int, pairs: list[tuple[int, int]]) -> float:
        one, other = sorted(self.clusters[p]), sorted(self.clusters[q])
        if self.method in MEANS:
            wp, wq = self.weights[one].sum(), self.weights[other].sum()
            gap = (self.weights[one] @ self.X[one]) / wp - (self.weights[other] @ self.X[other]) / wq
            return math.sqrt((2 * wp * wq / (wp + wq) if self.method == "ward" else 1.0) * float(gap @ gap))
        lengths = [math.dist(self.X[i], self.X[j]) for i, j in pairs]
        if self.method == "average":
            mass = [self.weights[i] * self.weights[j] for i, j in pairs]
            return float(np.dot(mass, lengths) / np.sum(mass))
        return min(lengths) if self.method == "single" else max(lengths)

    def run(self, join: bool = False) -> tuple[Merges, int]:
        components = 0
        while len(self.clusters) > 1:
            found = []
            for p, q in itertools.combinations(sorted(self.clusters), 2):
                pairs = self.edges(p, q)
                if pairs:
                    found.append((self.distance(p, q, pairs), min(pairs), p, q))
            if not found:
                components = components or len(self.clusters)
                if join:
                    self.joined[:] = True  # from here on distances are taken over all pairs
                    continue
                p, q = sorted(self.clusters)[:2]
                found.append((math.inf, (p, q), p, q))
            height, _, p, q = min(found)
            self.clusters[p] |= self.clusters.pop(q)
            self.a.append(p)
            self.b.append(q)
            self.h.append(height)
        return canonical(np.array(self.a, int), np.array(self.b, int), np.array(self.h)), components or 1


def random_graph(n: int, seed: int, degree: float = 3.0) -> Any:
    """Random entries of one direction or both, some of them on the diagonal."""
    return sparse.random_array((n, n), density=min(1.0, degree / n), rng=np.random.default_rng(seed), format="csr")


def connected_graph(n: int, seed: int) -> Any:
    path = sparse.diags_array([np.ones(n - 1)], offsets=[1], shape=(n, n))
    order = np.random.default_rng(seed).permutation(n)
    return random_graph(n, seed, 2.0) + path.tocsr()[order][:, order]


def complete_graph(n: int) -> Any:
    return sparse.csr_array(np.ones((n, n)))


def assert_twins(found: tuple[Merges, int], twin: tuple[Merges, int]) -> None:
    assert found[1] == twin[1]
    np.testing.assert_array_equal(found[0].left, twin[0].left)
    np.testing.assert_array_equal(found[0].right, twin[0].right)
    np.testing.assert_array_equal(found[0].size, twin[0].size)
    np.testing.assert_allclose(found[0].height, twin[0].height, rtol=1e-10, atol=1e-13)
    made = found[0]._replace(height=np.nan_to_num(found[0].height, posinf=0.0))
    made.height.setflags(write=False)
    assert_valid_merges(made)


# ------------------------------------------------------------------------------------------------------------ naive twin


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "compiled"])
@pytest.mark.parametrize("join", [False, True], ids=["apart", "join"])
@pytest.mark.parametrize("method", METHODS)
def test_is_the_naive_tree(method: str, join: bool, plain: bool) -> None:
    for seed, (n, degree) in enumerate([(1, 1), (2, 4), (9, 0.0), (25, 0.6), (40, 1.0), (40, 3), (30, 10)]):
        rng = np.random.default_rng(seed)
        X, graph = rng.normal(size=(n, 1 + seed % 3)), random_graph(n, seed, degree)
        for weights in (None, rng.uniform(0.2, 5, n)):
            with plain_python(plain):
                found = linkage_constrained(X, method, graph, weights, join=join)
            assert_twins(found, Twin(X, method, graph, weights).run(join))


@given(st.sampled_from(METHODS[1:4]), seeds, st.integers(2, 14))
def test_ties_go_to_the_smallest_edge(method: str, seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    X = np.cumsum(rng.integers(1, 3, (n, 1)), axis=0).astype(float)
    graph = random_graph(n, seed, float(rng.uniform(1, 5)))
    with plain_python(True):
        assert_twins(linkage_constrained(X, method, graph), Twin(X, method, graph).run())


@pytest.mark.parametrize("method", METHODS)
def test_on_equal_points_the_tree_depends_on_the_graph_alone(method: str) -> None:
    graph = connected_graph(20, 5)
    assert_twins(linkage_constrained(np.full((20, 2), 0.1), method, graph), Twin(np.zeros((20, 2)), method, graph).run())


# --------------------------------------------------------------------------------------------- scipy and scikit-learn


@pytest.mark.parametrize("method", METHODS)
def test_in_a_complete_graph_it_is_the_unconstrained_tree(method: str) -> None:
    X = np.random.default_rng(3).normal(size=(60, 3))
    found, components = linkage_constrained(X, method, complete_graph(60))
    assert components == 1
    assert_same_tree(found, from_scipy(hierarchy.linkage(X, method)), rtol=1e-10, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_joining_single_items_is_the_unconstrained_tree(method: str) -> None:
    X = np.random.default_rng(3).normal(size=(50, 3))
    found, components = linkage_constrained(X, method, sparse.csr_array((50, 50)), join=True)
    assert components == 50
    assert_same_tree(found, from_scipy(hierarchy.linkage(X, method)), rtol=1e-10, atol=0)


@pytest.mark.parametrize("method", ["ward", "complete", "single"])
def test_is_scikit_learns_tree(method: str) -> None:
    from sklearn.cluster import AgglomerativeClustering

    n = 120
    X, graph = np.random.default_rng(8).normal(size=(n, 3)), connected_graph(n, 8)
    graph = graph + graph.T
    model = AgglomerativeClustering(n_clusters=2, linkage=method, connectivity=graph, compute_full_tree=True,
                                    compute_distances=True).fit(X)
    table = np.column_stack([model.children_, model.distances_, np.zeros(n - 1)])
    for t in range(n - 1):
        table[t, 3] = sum(1 if c < n else table[c - n, 3] for c in model.children_[t])
    found, components = linkage_constrained(X, method, graph)
    assert components == 1
    assert_same_tree(found, from_scipy(table), rtol=1e-10, atol=0)
    np.testing.assert_allclose(found.height, model.distances_, rtol=1e-10)  # also in order, falls included


def test_average_on_a_chain_is_scikit_learns_tree() -> None:
    from sklearn.cluster import AgglomerativeClustering

    X = np.random.default_rng(9).normal(size=(50, 2))
    model = AgglomerativeClustering(n_clusters=2, linkage="average", connectivity=grid(50), compute_full_tree=True,
                                    compute_distances=True).fit(X)
    np.testing.assert_allclose(linkage_constrained(X, "average", grid(50))[0].height, model.distances_, rtol=1e-12)


# ----------------------------------------------------------------------------------------------------- what graphs mean


@pytest.mark.parametrize("method", METHODS)
def test_clusters_of_a_chain_are_intervals(method: str) -> None:
    merges, components = linkage_constrained(np.random.default_rng(1).normal(size=(80, 2)), method, grid(80))
    assert components == 1
    below = [{i} for i in range(80)]
    for left, right in zip(merges.left, merges.right, strict=True):
        below.append(below[left] | below[right])
        assert max(below[-1]) - min(below[-1]) + 1 == len(below[-1])


def test_components_stay_apart_at_infinity_in_the_order_of_their_smallest_items() -> None:
    X = np.array([[0.0], [9.0], [1.0], [9.5], [4.0]])
    graph = sparse.csr_array((np.ones(2), ([2, 1], [0, 3])), shape=(5, 5))
    merges, components = linkage_constrained(X, "ward", graph)
    assert components == 3
    assert merges.height.tolist() == [0.5, 1.0, math.inf, math.inf]
    assert list(zip(merges.left.tolist(), merges.right.tolist(), strict=True)) == [(1, 3), (0, 2), (6, 5), (7, 4)]
    joined, components = linkage_constrained(X, "centroid", graph, join=True)
    assert components == 3
    np.testing.assert_allclose(joined.height, [0.5, 1.0, 3.5, 9.25 - 5 / 3])


@pytest.mark.parametrize("method", MEANS)
def test_heights_that_fall_are_kept_in_merge_order(method: str) -> None:
    X = np.array([[0.0], [10.0], [0.1]])  # the ends of a chain are near, but not neighbours
    heights = linkage_constrained(X, method, grid(3))[0].height
    assert heights[1] < heights[0]


@pytest.mark.parametrize("method", ["average", "complete", "single"])
def test_heights_over_edges_never_fall(method: str) -> None:
    X = np.random.default_rng(6).normal(size=(400, 3))
    assert (np.diff(linkage_constrained(X, method, grid((20, 20)))[0].height) >= 0).all()


def test_a_graph_may_come_in_any_form() -> None:
    X = np.random.default_rng(2).normal(size=(12, 2))
    graph = random_graph(12, 4)
    expected = linkage_constrained(X, "ward", graph)
    dense = graph.toarray()
    zeros = graph.copy()
    zeros.data[:] = 0.0  # edges of length 0 are edges
    forms = [graph.T, graph.tocoo(), sparse.csr_matrix(graph), sparse.lil_array(graph), dense, dense != 0, zeros,
             lambda rows: graph if rows is X else None, graph + graph.T + sparse.eye_array(12)]
    for form in forms:
        same_bits(linkage_constrained(X, "ward", form), expected)


def test_weights_stand_for_equal_items() -> None:
    X, counts = np.random.default_rng(7).normal(size=(15, 2)), np.random.default_rng(7).integers(1, 4, 15)
    graph = connected_graph(15, 7).toarray() != 0
    owner = np.repeat(np.arange(15), counts)
    copies = (graph | graph.T | np.eye(15, dtype=bool))[np.ix_(owner, owner)]
    for method in METHODS:
        few = linkage_constrained(X, method, graph, counts)[0].height
        many = linkage_constrained(X[owner], method, copies)[0].height
        np.testing.assert_allclose(many[len(owner) - 15:], few, rtol=1e-10)


# ------------------------------------------------------------------------------------------------------ bits and scale


def same_bits(one: tuple[Merges, int], other: tuple[Merges, int]) -> None:
    assert one[1] == other[1]
    for name in Merges._fields:
        assert getattr(one[0], name).tobytes() == getattr(other[0], name).tobytes(), name


@pytest.mark.parametrize("method", METHODS)
def test_plain_compiled_and_slices_have_the_same_bits(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(size=(90, 2)).round(1)
    graph = grid((9, 10), diagonal=True, mask=None)
    results = []
    for plain, size in ((True, 1 << 16), (False, 1 << 16), (False, 1)):
        monkeypatch.setattr(constrained, "BLOCK", size)
        monkeypatch.setattr(constrained, "SLICE", size)
        with plain_python(plain):
            results.append(linkage_constrained(X, method, graph))
    same_bits(results[0], results[1])
    same_bits(results[0], results[2])


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
@pytest.mark.parametrize("method", METHODS)
def test_coordinates_of_any_size(method: str, scale: float) -> None:
    X, graph = np.random.default_rng(4).normal(size=(30, 2)), random_graph(30, 4, 1.5)
    for join in (False, True):
        near, components = linkage_constrained(X, method, graph, join=join)
        far, others = linkage_constrained(X * scale, method, graph, join=join)
        assert components == others > 1
        np.testing.assert_array_equal(near.left, far.left)
        np.testing.assert_allclose(far.height / scale, near.height, rtol=1e-12)


def test_far_from_the_origin() -> None:
    X, graph = np.random.default_rng(4).integers(0, 9, (40, 2)) / 8, connected_graph(40, 4)
    same_bits(linkage_constrained(X + 2.0**30, "ward", graph), linkage_constrained(X, "ward", graph))


def test_inputs_are_not_written_to_and_float32_is_widened() -> None:
    X, graph = np.random.default_rng(4).normal(size=(30, 2)).astype(np.float32), connected_graph(30, 4)
    X.setflags(write=False)
    before = graph.copy()
    for method in METHODS:
        same_bits(linkage_constrained(X, method, graph), linkage_constrained(X.astype(float), method, graph))
    assert (graph != before).nnz == 0


@pytest.mark.large
def test_a_hub_whose_numbers_fall_and_a_large_image() -> None:
    n = 20_000
    star = sparse.coo_array((np.ones(n - 1), (np.full(n - 1, n - 1), np.arange(n - 1))), shape=(n, n))
    X = np.abs(np.arange(n) - (n - 1.0))[:, None]
    for method in ("average", "complete", "single"):
        merges, components = linkage_constrained(X, method, star)
        assert components == 1
        np.testing.assert_array_equal(merges.height, np.arange(1.0, n))
    X = np.random.default_rng(0).normal(size=(90_000, 3))
    merges, components = linkage_constrained(X, "ward", grid((300, 300)))
    assert components == 1
    assert_valid_merges(merges)
    scatter = ((X - X.mean(axis=0)) ** 2).sum()
    assert (merges.height**2).sum() / 2 == pytest.approx(scatter, rel=1e-9)  # what the merges lose adds up to all there is


def test_progress_is_told_and_can_cancel() -> None:
    told: list[float] = []
    linkage_constrained(np.zeros((5, 1)), "ward", grid(5), progress=lambda fraction, text: told.append(fraction))
    assert told[-1] == 1.0
    with pytest.raises(KeyboardInterrupt):
        linkage_constrained(np.zeros((5, 1)), "ward", grid(5), progress=lambda fraction, text: False)


@pytest.mark.parametrize(("X", "method", "graph", "words"), [
    (np.zeros((4, 1)), "median", grid(4), "'median' is not defined"),
    (np.zeros((4, 1)), "ward", grid(5), "shape .5, 5.; there are 4 items"),
    (np.zeros((4, 1)), "ward", np.ones(4), "shape .4,."),
    (np.zeros((4, 1)), "ward", "rook", "is a str"),
    (np.zeros((4, 1)), "ward", lambda X: None, "is a NoneType"),
    (np.zeros(4), "ward", grid(4), "shape .4,."),
    (np.zeros((0, 2)), "ward", np.zeros((0, 0)), "at least one row"),
    (sparse.csr_array((4, 4)), "ward", grid(4), "sparse points"),
])
def test_nonsense_is_refused(X: Any, method: str, graph: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        linkage_constrained(X, method, graph)


def test_weights_are_checked() -> None:
    with pytest.raises(InputError, match="weight of item 1"):
        linkage_constrained(np.zeros((2, 1)), "ward", grid(2), [1.0, 0.0])
