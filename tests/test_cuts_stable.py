"""Excess of mass and persistence: the naive twins, HDBSCAN, and what the cuts promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shoal
from naive.cut_rules import naive_bars, naive_stable
from naive.cuts import item_sets
from shoal.cuts.flat import Subject
from shoal.cuts.stable import barcode, nodes_around, persistence, stable
from shoal.errors import InputError
from shoal.trees.merges import Merges, from_nodes
from strategies import node_pairs, points

sizes = st.integers(2, 5)


def built(tree: Any) -> Merges:
    pairs, height = tree
    a, b = zip(*pairs, strict=True)
    return from_nodes(np.array(a), np.array(b), np.array(height))


def rows(merges: Merges) -> list[Any]:
    return list(zip(*(column.tolist() for column in merges), strict=True))


def in_parts(merges: Merges, parts: int) -> Merges:
    """The same tree with the last parts - 1 merges at infinite height."""
    height = np.sort(merges.height)
    height[len(height) - min(parts - 1, len(height)):] = np.inf
    return merges._replace(height=height)


def clusters_of(merges: Merges, nodes: Any) -> list[frozenset[int]]:
    sets = item_sets(rows(merges), merges.n)
    found = [sets[v] for v in nodes.tolist()]
    assert sum(map(len, found)) == len(frozenset().union(*found))
    return found


def blobs(centres: Any, each: int = 40, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(size=(each, 2)) + at for at in centres])


@given(node_pairs(max_n=14), sizes, st.booleans(), st.integers(1, 3))
def test_the_total_stability_is_the_largest_of_all(tree: Any, least: int, single: bool, parts: int) -> None:
    merges = built(tree)
    merges = in_parts(merges, parts) if parts > 1 else merges
    cut = stable(Subject(merges), min_size=least, allow_single=single)
    assert cut.score == pytest.approx(naive_stable(rows(merges), merges.n, least, single), rel=1e-9, abs=1e-9)
    found = clusters_of(merges, cut.nodes)
    assert all(len(s) >= least for s in found)
    assert np.isfinite(merges.height[cut.nodes - merges.n]).all()


@given(points(min_n=6, max_n=40, ties=False), st.integers(2, 6), st.booleans())
@settings(max_examples=25)
def test_over_mutual_reachability_it_is_hdbscan(X: Any, least: int, single: bool) -> None:
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import pdist, squareform
    from sklearn.cluster import HDBSCAN

    D = squareform(pdist(X / np.abs(X).max()))
    core = np.sort(D, axis=1)[:, 1]  # two samples, the item itself counted: no two merges of a tree are tied by it alone
    reach = np.maximum(D, np.maximum(core[:, None], core))
    np.fill_diagonal(reach, 0.0)
    Z = linkage(squareform(reach), "single")
    if (np.diff(Z[:, 2]) < 1e-9).any():  # then scikit-learn's tree may be another
        return
    labels = HDBSCAN(min_cluster_size=least, min_samples=2, metric="precomputed", allow_single_cluster=single,
                     copy=True).fit_predict(D)
    merges = shoal.Tree.from_scipy(Z).merges
    found = set(clusters_of(merges, stable(Subject(merges), min_size=least, allow_single=single).nodes))
    expected = {frozenset(np.flatnonzero(labels == c).tolist()) for c in set(labels.tolist()) - {-1}}
    if len(expected) == 1 and single:  # scikit-learn then leaves out the items that fall off last
        assert len(found) == 1
        return
    assert found == expected


def test_clusters_of_different_density_are_found_at_different_heights() -> None:
    X = np.concatenate([blobs([[0, 0]], 60), 0.05 * blobs([[200, 0], [220, 0]], 30) + [10, 0], [[60.0, 60.0]]])
    for method in ("single", "average", "complete"):
        tree = shoal.linkage(X, method)
        found = clusters_of(tree.merges, stable(Subject(tree.merges), min_size=15).nodes)
        assert {frozenset(range(60, 90)), frozenset(range(90, 120))} <= set(found)


@given(node_pairs(), sizes, st.sampled_from([2.0**-300, 0.25, 2.0**600]))
def test_the_scale_of_heights_changes_nothing(tree: Any, least: int, scale: float) -> None:
    merges = built(tree)
    far = merges._replace(height=merges.height * scale)
    for rule in (stable, persistence):
        before, after = rule(Subject(merges), min_size=least), rule(Subject(far), min_size=least)
        assert before.nodes.tolist() == after.nodes.tolist()


def test_weights_are_repeats() -> None:
    rng = np.random.default_rng(3)
    X, w = blobs([[0, 0], [9, 0]], 20), rng.integers(1, 4, 40)
    once, often = shoal.linkage(X, "average", weights=w), shoal.linkage(np.repeat(X, w, axis=0), "average")
    item = np.repeat(np.arange(40), w)
    for rule in (stable, persistence):
        a = rule(Subject(once.merges, weights=w.astype(float)), min_size=8)
        b = rule(Subject(often.merges), min_size=8)
        assert a.score == pytest.approx(b.score, rel=1e-9)
        merged = {frozenset(item[list(s)].tolist()) for s in clusters_of(often.merges, b.nodes)}
        assert set(clusters_of(once.merges, a.nodes)) == merged


def test_equal_items_and_few_items() -> None:
    for data in ([[1.0]], [[0.0], [1.0]], [[2.0]] * 6):
        merges = shoal.linkage(data, "average").merges
        assert stable(Subject(merges)).nodes.tolist() == []
        assert "stands out" in stable(Subject(merges)).how
    equal = shoal.linkage([[2.0]] * 6, "average").merges
    assert stable(Subject(equal), allow_single=True).nodes.tolist() == [10]
    assert stable(Subject(equal), min_size=2, allow_single=True).nodes.tolist() == [10]
    assert persistence(Subject(equal), min_size=2).nodes.tolist() == [10]
    assert persistence(Subject(equal), min_size=7).nodes.tolist() == []
    assert persistence(Subject(shoal.linkage([[1.0]]).merges), min_size=1).nodes.tolist() == [0]


@given(node_pairs(), st.integers(1, 5), st.integers(1, 3))
def test_bars_are_those_of_the_naive_twin(tree: Any, least: int, parts: int) -> None:
    merges = built(tree)
    merges = in_parts(merges, parts) if parts > 1 else merges
    bars = barcode(merges, least)
    assert sorted(zip(bars.birth.tolist(), bars.death.tolist(), strict=True)) == naive_bars(rows(merges), merges.n, least)
    sets = item_sets(rows(merges), merges.n)
    for node, origin in zip(bars.node.tolist(), bars.origin.tolist(), strict=True):
        assert sets[origin] <= sets[node]
        assert len(sets[origin]) >= least
    assert len(set(bars.node.tolist())) == len(bars.node)


def test_bars_of_single_linkage_are_its_heights() -> None:
    merges = shoal.linkage(blobs([[0, 0], [9, 0]], 20), "single").merges
    bars = barcode(merges)
    assert (bars.birth == 0).all()
    assert bars.death.tolist() == [*merges.height.tolist(), np.inf]


@given(node_pairs(), st.integers(1, 4), st.floats(0, 5))
def test_every_persistent_branch_has_its_largest_subtree(tree: Any, least: int, threshold: float) -> None:
    merges = built(tree)
    n = merges.n
    bars = barcode(merges, least)
    kept = bars.origin[(bars.death - bars.birth > threshold)]
    cut = persistence(Subject(merges), min_size=least, threshold=threshold)
    sets, found = item_sets(rows(merges), n), clusters_of(merges, cut.nodes)
    assert len(found) == len(kept)
    for s in found:
        assert sum(sets[v] <= s for v in kept.tolist()) == 1
        above = [o for o in sets if s < o]
        assert all(sum(sets[v] <= o for v in kept.tolist()) > 1 for o in above)


def test_persistence_finds_clear_clusters_and_one() -> None:
    for k, centres in ((3, [[0, 0], [30, 0], [0, 40]]), (2, [[0, 0], [30, 0]]), (1, [[0, 0]])):
        for method in ("single", "average") if k > 1 else ("single",):
            X = np.concatenate([blobs(centres, 50, seed=k), [[400.0, 0.0]]])
            tree = shoal.linkage(X, method)
            cut = persistence(Subject(tree.merges), min_size=10)
            assert len(cut.nodes) == k, (k, method)
            assert cut.score is not None


def test_marks_in_parts_of_a_forest() -> None:
    merges = from_nodes(np.array([0, 2, 5]), np.array([1, 3, 4]), np.array([1.0, 2.0, np.inf]))
    assert nodes_around(merges, np.array([0])).tolist() == [4]
    assert nodes_around(merges, np.array([4, 5])).tolist() == [4, 5]


def test_a_chain_of_100_000_items() -> None:
    n = 100_000
    nodes = np.arange(n - 1)
    merges = from_nodes(np.where(nodes == 0, 0, n + nodes - 1), nodes + 1, np.arange(1.0, n))
    assert stable(Subject(merges)).nodes.tolist() == []
    assert stable(Subject(merges), allow_single=True).nodes.tolist() == [2 * n - 2]
    assert persistence(Subject(merges)).nodes.tolist() == [2 * n - 2]
    assert len(barcode(merges, 2).birth) == 1
    assert len(barcode(merges, 1).birth) == n


@pytest.mark.parametrize("least", [0, -1, 2.0, float("nan"), "5", None, True])
def test_a_size_that_is_none_is_refused(least: Any) -> None:
    merges = shoal.linkage([[0.0], [1.0], [5.0]]).merges
    for rule in (stable, persistence):
        with pytest.raises(InputError, match="min_size"):
            rule(Subject(merges), min_size=least)
    with pytest.raises(InputError, match="at least 2"):
        stable(Subject(merges), min_size=1)


@pytest.mark.parametrize("threshold", [float("nan"), -1.0, "1"])
def test_a_threshold_that_is_none_is_refused(threshold: Any) -> None:
    with pytest.raises(InputError, match="threshold"):
        persistence(Subject(shoal.linkage([[0.0], [1.0], [5.0]]).merges), threshold=threshold)
