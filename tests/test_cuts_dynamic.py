"""Dynamic tree cut: the naive twin, clear clusters, and what the cuts promise."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
from naive.cut_rules import heights_of, naive_dynamic
from naive.cuts import item_sets
from shoal.cuts.dynamic import dynamic, dynamic_hybrid
from shoal.cuts.flat import Subject, labels_of_cut
from shoal.errors import InputError
from shoal.trees.merges import Merges, from_nodes, leaf_counts, leaf_order, leaf_positions
from strategies import node_pairs


def built(tree: Any) -> Merges:
    pairs, height = tree
    a, b = zip(*pairs, strict=True)
    return from_nodes(np.array(a), np.array(b), np.array(height))


def rows(merges: Merges) -> list[Any]:
    return list(zip(*(column.tolist() for column in merges), strict=True))


def sets_of(merges: Merges, nodes: Any) -> set[frozenset[int]]:
    sets = item_sets(rows(merges), merges.n)
    return {sets[v] for v in nodes.tolist()}


def labels(merges: Merges, cut: Any) -> Any:
    begin = leaf_positions(merges)
    return labels_of_cut(cut, begin, leaf_counts(merges), leaf_order(merges, begin))[0]


NESTED = ([0, 0], [12, 0], [100, 0], [112, 0], [50, 300])  # two close pairs of clusters and one far away
NEAR = ([0, 0], [12, 0], [30, 0], [42, 0], [20, 40])


def blobs(centres: Any = NESTED, seed: int = 0) -> Any:
    """40 items around every centre."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(size=(40, 2)) + at for at in centres])


@given(node_pairs(max_n=30), st.integers(1, 5), st.integers(0, 4))
def test_is_the_naive_twin(tree: Any, least: int, deep: int) -> None:
    merges = built(tree)
    n = merges.n
    rounded = merges._replace(height=np.round(merges.height * 8))  # sums are then exact in any order
    heights = heights_of(rows(rounded), n)[n:]
    low, high = float(np.quantile(heights, 0.05)), max(heights)
    line = low + 0.99 * (high - low) if low < high else high
    expected = naive_dynamic(rows(rounded), n, least, n if deep == 4 else deep + 1, line)
    cut = dynamic(Subject(rounded), min_size=least, deep_split=deep)
    assert sets_of(rounded, cut.nodes) == expected
    assert all(len(s) >= least for s in expected)


@given(node_pairs(max_n=30), st.integers(1, 5), st.sampled_from([2.0**-300, 0.5, 2.0**900]))
def test_the_scale_of_heights_changes_nothing(tree: Any, least: int, scale: float) -> None:
    merges = built(tree)
    found = dynamic(Subject(merges), min_size=least).nodes.tolist()
    assert dynamic(Subject(merges._replace(height=merges.height * scale)), min_size=least).nodes.tolist() == found


@pytest.mark.parametrize("method", ["single", "average", "complete", "ward"])
def test_nested_clusters_are_found(method: str) -> None:
    tree = shoal.linkage(blobs(), method)
    found = sets_of(tree.merges, dynamic(Subject(tree.merges), min_size=20).nodes)
    assert found == {frozenset(range(a, a + 40)) for a in range(0, 200, 40)}


@given(node_pairs(max_n=30), st.integers(1, 4))
def test_deeper_splits_only_split(tree: Any, least: int) -> None:
    merges = built(tree)
    several = [sets_of(merges, dynamic(Subject(merges), min_size=least, deep_split=d).nodes) for d in range(5)]
    for coarse, fine in pairwise(several):
        assert all(any(s <= c for c in coarse) for s in fine)
        assert all(any(s <= c for s in fine) for c in coarse)


@pytest.mark.parametrize("method", ["average", "complete"])
def test_hybrid_finds_clusters_and_gives_them_what_is_near(method: str) -> None:
    X = np.concatenate([blobs(NEAR, 1), [[6.0, 4.0], [90.0, 90.0]]])
    tree = shoal.linkage(X, method)
    cut = dynamic_hybrid(Subject(tree.merges, tree.data), min_size=20, deep_split=4)
    found = labels(tree.merges, cut)
    for a in range(0, 200, 40):
        assert len(set(found[a:a + 40].tolist())) == 1
    assert len(set(found[:200:40].tolist())) == 5
    far = dynamic_hybrid(Subject(tree.merges, tree.data), min_size=20, deep_split=4, assign=None)
    assert far.joined is None
    assert far.nodes.tolist() == cut.nodes.tolist()
    assert labels(tree.merges, far)[201] == -1


def test_hybrid_gives_items_left_over_to_the_nearest_mean_or_medoid() -> None:
    left_over = [[7.0, 16.0], [5.0, -17.0], [9.0, 15.0], [150.0, 0.0]]
    X = np.concatenate([blobs(([0, 0], [14, 0]), 5), left_over])
    tree = shoal.linkage(X, "average")
    line = 100.0
    D = np.sqrt(((X[:, None] - X[None]) ** 2).sum(axis=2))
    for by in ("average", "medoid"):
        cut = dynamic_hybrid(Subject(tree.merges, tree.data), min_size=15, deep_split=4, assign=by, cut_height=line)
        inside = labels(tree.merges, cut._replace(joined=None))
        assert len(cut.nodes) == 2
        k = len(cut.nodes)
        central = [min(np.flatnonzero(inside == c), key=lambda i, c=c: D[i, inside == c].sum()) for c in range(k)]
        expected = inside.copy()
        for i in np.flatnonzero(inside < 0):
            to = [D[i, inside == c].mean() if by == "average" else D[i, central[c]] for c in range(k)]
            if min(to) <= line:
                expected[i] = int(np.argmin(to))
        assert labels(tree.merges, cut).tolist() == expected.tolist()
        assert (inside[80:] == -1).all()
        assert (expected[80:] >= 0).tolist() == [True, True, True, False]


def test_hybrid_of_given_distances_is_that_of_points() -> None:
    from scipy.spatial.distance import pdist

    X = blobs(NEAR, 2)
    points, given_ = shoal.linkage(X, "average"), shoal.linkage(shoal.distances(pdist(X)), "average")
    a = dynamic_hybrid(Subject(points.merges, points.data), deep_split=3)
    b = dynamic_hybrid(Subject(given_.merges, given_.data), deep_split=3)
    assert labels(points.merges, a).tolist() == labels(given_.merges, b).tolist()
    assert len(a.nodes) >= 3


def test_the_number_of_threads_changes_nothing() -> None:
    X = np.concatenate([blobs(seed=3), np.random.default_rng(0).uniform(-50, 350, (100, 2))])
    tree = shoal.linkage(X, "average")
    found = set()
    try:
        for threads in (1, 2, 5):
            shoal.set_threads(threads)
            cut = dynamic_hybrid(Subject(tree.merges, tree.data), deep_split=4)
            found.add(labels(tree.merges, cut).tobytes())
    finally:
        shoal.set_threads(None)
    assert len(found) == 1


def test_weights_count_as_items() -> None:
    tree = shoal.linkage(blobs(seed=4), "single")
    twice = dynamic(Subject(tree.merges, weights=np.full(200, 2.0)), min_size=40)
    assert twice.nodes.tolist() == dynamic(Subject(tree.merges), min_size=20).nodes.tolist()


def test_few_and_equal_items() -> None:
    for data in ([[1.0]], [[0.0], [1.0]], [[2.0]] * 6):
        tree = shoal.linkage(data, "average")
        assert dynamic(Subject(tree.merges), min_size=1).nodes.tolist() in ([2 * len(data) - 2], [0, 1])
        assert dynamic(Subject(tree.merges)).nodes.tolist() == []
        assert dynamic_hybrid(Subject(tree.merges, tree.data)).nodes.tolist() == []
    equal = shoal.linkage([[2.0]] * 6, "average")
    assert dynamic(Subject(equal.merges), min_size=3).nodes.tolist() == [10]
    assert dynamic_hybrid(Subject(equal.merges, equal.data), min_size=3).nodes.tolist() == [10]


def test_parts_of_a_forest_never_merge() -> None:
    merges = shoal.linkage(blobs(), "average").merges
    forest = merges._replace(height=np.where(np.arange(199) == 198, np.inf, merges.height))
    for height in (None, np.inf):
        cut = dynamic(Subject(forest), min_size=20, cut_height=height)
        assert 2 * 200 - 2 not in cut.nodes.tolist()
        assert len(cut.nodes) >= 2


def test_a_chain_of_100_000_items() -> None:
    n = 100_000
    nodes = np.arange(n - 1)
    merges = from_nodes(np.where(nodes == 0, 0, n + nodes - 1), nodes + 1, np.arange(1.0, n))
    assert len(dynamic(Subject(merges), deep_split=4).nodes) == 1


@pytest.mark.parametrize("options", [{"min_size": 0}, {"min_size": 2.5}, {"deep_split": 5}, {"deep_split": -1},
                                     {"deep_split": True}, {"cut_height": -1.0}, {"cut_height": float("nan")},
                                     {"cut_height": "high"}])
def test_options_that_are_none_are_refused(options: Any) -> None:
    tree = shoal.linkage([[0.0], [1.0], [5.0]], "average")
    for rule in (dynamic, dynamic_hybrid):
        with pytest.raises(InputError, match=next(iter(options))):
            rule(Subject(tree.merges, tree.data), **options)


def test_hybrid_says_what_it_needs() -> None:
    tree = shoal.linkage([[0.0], [1.0], [5.0]], "average")
    with pytest.raises(InputError, match="assign"):
        dynamic_hybrid(Subject(tree.merges, tree.data), assign="nearest")
    with pytest.raises(InputError, match="data"):
        dynamic_hybrid(Subject(tree.merges))
