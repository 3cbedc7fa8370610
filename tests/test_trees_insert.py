"""New items in an old tree: the tree of both, whatever was kept of the old one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shoal
from certificates import assert_closest_pairs, assert_same_tree, assert_valid_merges
from shoal.errors import InputError, TooLargeError
from shoal.runtime.kernel import plain_python
from shoal.trees import insert as module
from shoal.trees.insert import Inserted, insert, insert_single, joined
from strategies import METHODS, REDUCIBLE, item_weights, points, reducible_methods, seeds, square_distances


@pytest.fixture(scope="module", autouse=True)
def eager() -> Iterator[pytest.MonkeyPatch]:
    """Keep what can be kept, also where building anew would take less."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MANY", 0)
        patch.setattr(module, "WORTH", 2.0)
        patch.setattr(module.spanning, "seconds", lambda n, d: 1e9)
        yield patch


def square_of(X: Any) -> Any:
    return np.sqrt(((X[:, None, :] - X[None, :, :]) ** 2).sum(axis=2))


def inserted(X: Any, m: int, method: str, w: Any = None, metric: str = "euclidean") -> tuple[Any, Inserted, Any]:
    """Insert the last m rows into the tree of the others."""
    n = len(X) - m
    old = shoal.points(X[:n], metric, weights=None if w is None else w[:n])
    new = old.new(X[n:], weights=None if w is None else w[n:])
    tree = shoal.linkage(old, method)
    return *insert(tree.merges, method, old, new), tree


def items_of(merges: Any) -> list[frozenset[int]]:
    found = [frozenset([i]) for i in range(merges.n)]
    for a, b in zip(merges.left.tolist(), merges.right.tolist(), strict=True):
        found.append(found[a] | found[b])
    return found


@settings(max_examples=80)
@given(points(min_n=2, max_n=40, ties=False), reducible_methods, st.data())
def test_is_the_tree_of_all(X: Any, method: str, data: st.DataObject) -> None:
    m = data.draw(st.integers(1, max(1, len(X) // 4)))
    w = data.draw(st.none() | item_weights(len(X)))
    found, report, _ = inserted(X, m, method, w)
    assert_same_tree(found, shoal.linkage(X, method, weights=w).merges)
    assert 0 < report.rebuilt <= 1


@settings(max_examples=60)
@given(points(min_n=2, max_n=30), reducible_methods, st.data())
def test_under_ties_every_merge_is_of_a_closest_pair(X: Any, method: str, data: st.DataObject) -> None:
    found, _, _ = inserted(X, data.draw(st.integers(1, max(1, len(X) // 4))), method)
    assert_closest_pairs(square_of(X), found, method)


@pytest.mark.parametrize("method", ["complete", "average", "weighted", "ward"])
def test_a_broken_branch_can_break_others_that_no_new_item_is_near(method: str) -> None:
    """One new item among 50: without looking at what its branch leaves over, a sixth of these trees would be wrong."""
    for seed in range(20):
        X = np.random.default_rng(seed).normal(size=(51, 2))
        found, report, _ = inserted(X, 1, method)
        assert_same_tree(found, shoal.linkage(X, method).merges)
        assert report.rebuilt < 1


@pytest.mark.parametrize("method", REDUCIBLE)
def test_what_is_kept_is_in_both_trees_and_the_rest_is_counted(method: str) -> None:
    rng = np.random.default_rng(1)
    X = np.vstack([rng.normal(size=(60, 3)) + 30 * c for c in np.eye(3)] + [[[30.0, 0.0, 0.1]]])
    found, report, tree = inserted(X, 1, method)
    assert_same_tree(found, shoal.linkage(X, method).merges)
    sets = items_of(tree.merges)
    kept = [sets[v] for v in report.kept.tolist()]
    assert set(kept) <= set(items_of(found))
    assert sorted(i for items in kept for i in items) == list(range(180))
    if method == "single":
        assert (report.rebuilt, len(kept)) == (1 / 180, 180)
    else:
        assert report.rebuilt == len(kept) / 180
        assert max(map(len, kept)) == 60, "two of the three groups are far from the new item"
        assert f"{len(kept)} branches" in report.how


@pytest.mark.parametrize("method", REDUCIBLE)
def test_far_away_items_leave_the_tree_whole(method: str) -> None:
    rng = np.random.default_rng(1)
    X = np.vstack([rng.normal(size=(40, 2)), rng.normal(size=(3, 2)) + 1e4])
    found, report, _ = inserted(X, 3, method)
    assert_same_tree(found, shoal.linkage(X, method).merges)
    assert report.kept.tolist() == (list(range(40)) if method == "single" else [78])


@pytest.mark.parametrize("m", [1, 5])
@pytest.mark.parametrize("method", METHODS)
def test_into_a_tree_of_one_item(method: str, m: int) -> None:
    X = np.random.default_rng(3).normal(size=(1 + m, 2))
    found, _, _ = inserted(X, m, method)
    assert_closest_pairs(square_of(X), found, method)


@given(square_distances(min_n=2, max_n=15), st.data())
def test_single_linkage_of_distances_that_are_no_metric(D: Any, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, len(D) - 1))
    tree = shoal.linkage(shoal.distances(D[:n, :n]), "single")
    assert_closest_pairs(D, insert_single(tree.merges, (D[j, :j] for j in range(n, len(D)))), "single")


@pytest.mark.parametrize("metric", ["cosine", "cityblock"])
def test_single_linkage_of_other_metrics(metric: str) -> None:
    X = np.random.default_rng(4).normal(size=(50, 5))
    found, report, _ = inserted(X, 7, "single", metric=metric)
    assert_same_tree(found, shoal.linkage(X, "single", metric).merges)
    assert report.how.startswith("The old tree's edges")


@pytest.mark.parametrize(("method", "metric", "d"), [("centroid", "euclidean", 2), ("median", "euclidean", 2),
                                                     ("average", "cosine", 3), ("ward", "euclidean", 20)])
def test_what_is_built_anew_says_so(method: str, metric: str, d: int) -> None:
    X = np.random.default_rng(4).normal(size=(40, d))
    found, report, _ = inserted(X, 3, method, metric=metric)
    for column, other in zip(found, shoal.linkage(X, method, metric).merges, strict=True):
        np.testing.assert_array_equal(column, other)
    assert report.rebuilt == 1.0
    assert report.how.startswith("Built anew")


def test_many_new_items_or_little_to_keep_build_anew(eager: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(4).normal(size=(300, 2))
    with eager.context() as patch:
        patch.setattr(module, "MANY", 100)
        patch.setattr(module, "WORTH", 0.5)
        assert inserted(X, 4, "average")[1].how.startswith("Built anew")
        few = inserted(X, 1, "average")[1]
        assert few.rebuilt < 0.5
        patch.setattr(module, "WORTH", few.rebuilt * 0.9)
        assert inserted(X, 1, "average")[1].rebuilt == 1.0
        patch.setattr(module.spanning, "seconds", lambda n, d: 0.0)
        assert "spanning tree takes less" in inserted(X, 1, "single")[1].how


def test_sparse_points_and_float32() -> None:
    from scipy import sparse

    X = np.round(np.random.default_rng(4).normal(size=(60, 3)), 2)
    old = shoal.points(sparse.csr_array(X[:50]))
    found, _ = insert(shoal.linkage(old, "single").merges, "single", old, old.new(sparse.csr_array(X[50:])))
    assert_same_tree(found, shoal.linkage(X, "single").merges)
    for method in REDUCIBLE:
        small, report, _ = inserted(X.astype(np.float32), 2, method)
        assert_same_tree(small, shoal.linkage(X.astype(np.float32), method).merges, rtol=1e-5)
        assert report.rebuilt < 1


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("method", REDUCIBLE)
def test_an_offset_and_scales_far_apart(method: str, offset: float) -> None:
    rng = np.random.default_rng(4)
    X = np.vstack([rng.normal(size=(20, 2)) * s + s for s in (1e-3, 1.0, 1e3)])[rng.permutation(60)] + offset
    found, _, _ = inserted(X, 4, method)
    assert_same_tree(found, shoal.linkage(X, method).merges, rtol=1e-6)


@pytest.mark.parametrize("method", REDUCIBLE)
def test_threads_and_compilation_change_no_bit(method: str) -> None:
    X = np.random.default_rng(4).normal(size=(90, 2))
    found = []
    try:
        for threads, plain in ((1, False), (2, False), (5, False), (1, True)):
            shoal.set_threads(threads)
            with plain_python(plain):
                found.append(inserted(X, 2, method)[0])
    finally:
        shoal.set_threads(None)
    assert_valid_merges(found[0])
    for other in found[1:]:
        for column, same in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(column, same)


@pytest.mark.large
@pytest.mark.parametrize("method", REDUCIBLE)
def test_thousands_of_items(method: str) -> None:
    X = np.random.default_rng(4).normal(size=(3003, 3))
    found, report, _ = inserted(X, 3, method)
    assert_same_tree(found, shoal.linkage(X, method).merges)
    assert report.rebuilt < 0.5


def test_refuses_parts_and_what_does_not_fit(eager: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(4).normal(size=(60, 2))
    old = shoal.points(X[:59])
    low = shoal.linkage(old, "average", stop_height=0.1)
    with pytest.raises(InputError, match="infinite height"):
        insert(low.merges, "average", old, old.new(X[59:]))
    tree = shoal.linkage(old, "average")
    with pytest.raises(TooLargeError, match="Average linkage of"):
        insert(tree.merges, "average", old, old.new(X[59:]), memory_limit=100)


@pytest.mark.parametrize("method", ["complete", "average", "weighted"])
def test_distances_of_clusters_in_blocks_of_any_size(method: str, eager: pytest.MonkeyPatch) -> None:
    X = np.vstack([np.random.default_rng(4).normal(size=(60, 2)) + c for c in (0, 50, 90)] + [[[50.0, 0.3]]])
    whole = shoal.linkage(X, method).merges
    for block in (1, 400, 3000):
        with eager.context() as patch:
            patch.setattr(module, "BLOCK", block)
            assert_same_tree(inserted(X, 1, method)[0], whole)


@settings(max_examples=10)
@given(seeds)
def test_one_item_after_the_other_is_all_at_once(seed: int) -> None:
    X = np.random.default_rng(seed).normal(size=(20, 2))
    for method in ("single", "ward", "average"):
        merges = shoal.linkage(X[:15], method).merges
        for j in range(15, 20):
            old = shoal.points(X[:j])
            merges, _ = insert(merges, method, old, old.new(X[j:j + 1]))
        assert_same_tree(merges, inserted(X, 5, method)[0])


def test_joined_items_keep_their_names_and_weights() -> None:
    X = np.arange(8.0).reshape(4, 2)
    plain, named = shoal.points(X), shoal.points(X, ids=list("abcd"), weights=[1, 2, 3, 4])
    assert joined(plain, plain.new(X[:1])).ids is None
    both = joined(named, named.new(X[:2]))
    assert both.ids == ("a", "b", "c", "d", "4", "5")
    assert both.weights.tolist() == [1, 2, 3, 4, 1, 1]
    assert both.X.tolist() == [*X.tolist(), *X[:2].tolist()]
    assert joined(plain, plain.new(X[:1], ids=["x"])).ids == ("0", "1", "2", "3", "x")
    with pytest.raises(InputError, match="'a'"):
        joined(named, named.new(X[:1], ids=["a"]))
