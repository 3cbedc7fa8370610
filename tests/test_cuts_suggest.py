"""Suggested cuts: planted clusters are found, and no clusters are not made up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import shoal
from shoal.cuts import suggest
from shoal.cuts.evidence import Split, Verdict
from shoal.cuts.panel import RuleRow
from shoal.cuts.suggest import wording
from strategies import METHODS


def blobs(k: int, seed: int, each: int = 30, d: int = 2) -> Any:
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * np.arange(k) / k
    centres = np.zeros((k, d))
    centres[:, 0], centres[:, 1] = 10 * k * np.cos(angle), 10 * k * np.sin(angle)
    return np.concatenate([rng.normal(c, 1.0, (each + 3 * j, d)) for j, c in enumerate(centres)])


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("k", [2, 3, 6])
@pytest.mark.parametrize("method", ["ward", "average"])
def test_planted_clusters_are_found(method: str, k: int, seed: int) -> None:
    X = blobs(k, seed)
    found = shoal.linkage(X, method).suggest_cuts()
    assert found.best is not None
    assert found.best.k == k
    planted = np.repeat(np.arange(k), [30 + 3 * j for j in range(k)])
    assert len({*zip(planted.tolist(), found.best.labels.tolist(), strict=True)}) == k
    assert found.evidence == "good"
    assert f"k = {k}" in found.reason


@pytest.mark.parametrize("method", ["ward", "average", "single"])
def test_one_gaussian_is_one_cluster(method: str) -> None:
    for seed in range(5):
        X = np.random.default_rng(seed).normal(size=(120, 5))
        found = shoal.linkage(X, method).suggest_cuts()
        assert found.best is None
        assert found.evidence in ("weak", "none")
        assert found.reason.startswith("One cluster")


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_fewer_than_three_items_are_one_cluster(method: str, n: int) -> None:
    tree = shoal.linkage(np.arange(float(n))[:, None], method)
    found = tree.suggest_cuts()
    assert (found.best, found.evidence, found.rows) == (None, "none", ())
    assert "fewer than 3" in found.reason
    assert tree.cut().k == 1


@pytest.mark.parametrize("distance", [0.0, 1.0])
@pytest.mark.parametrize("n", [3, 10, 140])
@pytest.mark.parametrize("method", METHODS)
def test_equal_distances_are_one_cluster(method: str, n: int, distance: float) -> None:
    tree = shoal.linkage(shoal.distances(np.full(n * (n - 1) // 2, distance)), method)
    found = tree.suggest_cuts()
    assert found.best is None
    assert found.evidence == "none"
    assert tree.cut().k == 1


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_every_silhouette_is_sklearns(method: str, weighted: bool) -> None:
    from sklearn.metrics import silhouette_score

    X = np.random.default_rng(3).normal(size=(80, 3))
    w = np.random.default_rng(4).integers(1, 4, 80) if weighted else np.ones(80, int)
    tree = shoal.linkage(X, method, weights=w if weighted else None)
    rows = tree.suggest_cuts().rows
    assert [row.k for row in rows] == list(range(2, 16))
    for row in rows:
        labels = tree.cut(k=row.k).labels
        repeated = np.repeat(X, w, axis=0)
        D = np.sqrt(((repeated[:, None] - repeated[None]) ** 2).sum(axis=2))  # sklearn's own lose digits of duplicates
        expected = silhouette_score(D, np.repeat(labels, w), metric="precomputed")
        assert row.silhouette == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("metric", ["cityblock", "cosine"])
def test_silhouettes_are_of_the_metric(metric: str) -> None:
    from sklearn.metrics import silhouette_score

    X = np.random.default_rng(3).normal(size=(60, 3))
    tree = shoal.linkage(X, "average", metric)
    for row in tree.suggest_cuts().rows:
        expected = silhouette_score(X, tree.cut(k=row.k).labels, metric=metric)
        assert row.silhouette == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_heights_and_gaps_are_those_of_the_tree(method: str) -> None:
    tree = shoal.linkage(np.random.default_rng(3).normal(size=(80, 3)), method)
    height = tree.merges.height
    for row in tree.suggest_cuts().rows:
        assert row.gap == (row.high - row.low) / height.max()
        if tree.inversions == 0:
            assert (row.low, row.high) == (height[80 - row.k - 1], height[80 - row.k])
        if row.high > row.low:
            assert tree.cut(height=row.low).k == row.k
            assert tree.cut(height=np.nextafter(row.high, 0)).k == row.k
        else:
            assert row.gap == 0


def test_the_most_clusters_considered_can_be_chosen() -> None:
    tree = shoal.linkage(np.random.default_rng(3).normal(size=(8, 3)))
    assert [row.k for row in tree.suggest_cuts().rows] == [2, 3, 4, 5, 6, 7]
    assert [row.k for row in tree.suggest_cuts(4).rows] == [2, 3, 4]
    assert tree.suggest_cuts(1).best is None


def test_the_tutorial_has_two_clusters(tutorial150: Any) -> None:
    found = shoal.linkage(tutorial150).suggest_cuts()
    assert found.best is not None
    assert (found.best.k, found.evidence) == (2, "good")
    assert found.best.sizes.tolist() == [100, 50]
    text = repr(found)
    assert ">evidence            2" in text
    assert found.reason in " ".join(text.split())
    assert found.to_frame("pandas").columns.tolist() == list(RuleRow._fields)
    assert [r.k for r in found.rows] == list(range(2, 16))


@pytest.mark.large
def test_a_sample_of_a_large_tree_says_nearly_the_same_every_time() -> None:
    X = blobs(3, 0, each=750)
    n = len(X)
    assert n > suggest.SAMPLE
    tree = shoal.linkage(X.astype(np.float32))
    first = tree.suggest_cuts()
    assert first.best is not None
    assert first.best.k == 3
    assert first.rows == tree.suggest_cuts().rows
    assert first.rows[1].silhouette == pytest.approx(tree.cut(k=3).silhouette().mean, abs=0.01)


def verdict(*scores: float, refused: float = 0.0, also: tuple[int, ...] = ()) -> Verdict:
    taken = tuple(Split(9, 5, score, 2.0) for score in scores)
    return Verdict(np.arange(len(scores) + 1), taken, (Split(8, 5, refused, 2.0),), also)


def test_the_wording_follows_the_weakest_split() -> None:
    assert wording(verdict(9.0, 4.1), 20)[0] == "good"
    evidence, why = wording(verdict(9.0, 3.9), 20)
    assert evidence == "fair"
    assert "k = 3" in why
    assert "3.9 standard deviations" in why
    evidence, why = wording(verdict(9.0, 2.1, also=(2, 4)), 20)
    assert evidence == "weak"
    assert "k = 2 and 4 cannot be told apart" in why
    assert "look at the tree" in why
    assert wording(verdict(np.inf), 20) == ("good", "k = 2: no edge joins the clusters.")
    evidence, why = wording(verdict(refused=-0.5), 20)
    assert evidence == "none"
    assert "-0.5 standard deviations; more than 2.0" in why
    assert wording(verdict(refused=1.9, also=(2,)), 20)[0] == "weak"
    assert wording(Verdict(np.arange(1), (), (), ()), 3)[0] == "none"


@pytest.mark.parametrize("metric", ["euclidean", "cityblock", "cosine"])
@pytest.mark.parametrize("given", ["points", "distances"])
def test_given_distances_and_other_metrics_show_the_same_clusters(given: str, metric: str) -> None:
    from scipy.spatial.distance import pdist

    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(c, 0.5, (20, 3)) for c in ((9, 0, 0), (0, 9, 0), (0, 0, 9))])
    tree = shoal.linkage(X, "average", metric) if given == "points" else \
        shoal.linkage(shoal.distances(pdist(X, metric)), "average")
    best = tree.suggest_cuts().best
    assert best is not None
    assert sorted(np.unique(best.labels, return_inverse=True)[1].reshape(3, 20).std(axis=1).tolist()) == [0, 0, 0]
    assert best.k == 3


def test_coordinates_keep_the_distances() -> None:
    from scipy.spatial.distance import pdist

    rng = np.random.default_rng(0)
    for shape in ((40, 3), (30, 300)):
        X = rng.normal(size=shape)
        near = pdist(suggest.coordinates(shoal.points(X), np.arange(len(X))))
        far = pdist(suggest.coordinates(shoal.distances(pdist(X)), np.arange(len(X))))
        expected = pdist(X)
        np.testing.assert_allclose(near / near[0], expected / expected[0], rtol=1e-8)
        np.testing.assert_allclose(far / far[0], expected / expected[0], rtol=1e-8)


def test_outliers_are_in_no_cluster_when_they_join_last() -> None:
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(0, 1, (40, 2)), rng.normal(30, 1, (40, 2)), [[500.0, 0.0]]])
    best = shoal.linkage(X, "single").suggest_cuts().best
    assert best is not None
    assert best.k == 2
    assert np.flatnonzero(best.labels < 0).tolist() == [80]


def test_the_most_clusters_are_the_highest_splits() -> None:
    tree = shoal.linkage(blobs(5, 0), "average")
    for most in (2, 3, 4, 5):
        best = tree.suggest_cuts(most).best
        assert best is not None
        assert best.labels.tolist() == tree.cut(k=most).labels.tolist()


def test_the_data_is_needed() -> None:
    tree = shoal.linkage(np.random.default_rng(3).normal(size=(8, 3)))
    bare = shoal.Tree.from_scipy(tree.to_scipy())
    with pytest.raises(shoal.ShoalError, match="needs the data"):
        bare.suggest_cuts()
    with pytest.raises(shoal.ShoalError, match="needs the data"):
        bare.cut()
