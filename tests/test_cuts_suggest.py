"""Suggested cuts: planted clusters are found, and no clusters are not made up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import shoal
from shoal.cuts import suggest
from shoal.cuts.suggest import CutRow, verdict
from strategies import METHODS


def blobs(k: int, seed: int, each: int = 30, d: int = 2) -> Any:
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * np.arange(k) / k
    centres = np.zeros((k, d))
    centres[:, 0], centres[:, 1] = 10 * k * np.cos(angle), 10 * k * np.sin(angle)
    return np.concatenate([rng.normal(c, 1.0, (each + 3 * j, d)) for j, c in enumerate(centres)])


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("k", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("method", ["ward", "average"])
def test_planted_clusters_are_found(method: str, k: int, seed: int) -> None:
    X = blobs(k, seed)
    found = shoal.linkage(X, method).suggest_cuts()
    assert found.best is not None
    assert found.best.k == k
    planted = np.repeat(np.arange(k), [30 + 3 * j for j in range(k)])
    assert len({*zip(planted.tolist(), found.best.labels.tolist(), strict=True)}) == k
    assert found.evidence in (("good", "fair") if method == "ward" else ("good",))  # ward's heights grow with the sizes
    assert f"k = {k}" in found.reason
    assert shoal.linkage(X, method).cut().k == k


@pytest.mark.parametrize("method", ["ward", "average"])
def test_one_gaussian_is_weak_evidence(method: str) -> None:
    for seed in range(5):
        X = np.random.default_rng(seed).normal(size=(300, 5))
        found = shoal.linkage(X, method).suggest_cuts()
        assert found.evidence in ("weak", "none")
        assert found.best is None or "weak" in found.reason


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
    assert "agree" in found.reason
    text = repr(found)
    assert "> 2" in text
    assert found.reason in text
    assert found.to_frame("pandas").columns.tolist() == list(CutRow._fields)


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


def row(k: int, gap: float, silhouette: float) -> CutRow:
    return CutRow(k, 1.0, 1.0 + gap, gap, silhouette)


def test_the_verdict_weighs_heights_against_silhouettes() -> None:
    k, evidence, why = verdict([row(2, 0.1, 0.4), row(3, 0.5, 0.8), row(4, 0.1, 0.5)])
    assert (k, evidence) == (3, "good")
    k, evidence, why = verdict([row(2, 0.6, 0.4), row(3, 0.1, 0.8)])
    assert (k, evidence) == (3, "fair")
    assert "would give 2" in why
    k, evidence, why = verdict([row(2, 0.6, 0.79), row(3, 0.7, 0.8), row(4, 0.0, 0.78), row(5, 0.0, 0.7)])
    assert (k, evidence) == (3, "fair")
    assert "k = 2 and 4 are about as good" in why
    k, evidence, why = verdict([row(2, 0.6, 0.79), row(3, 0.7, 0.8)])
    assert "k = 2 is about as good" in why
    k, evidence, why = verdict([row(2, 0.5, 0.49), row(3, 0.1, 0.2)])
    assert (k, evidence) == (2, "weak")
    k, evidence, why = verdict([row(2, 0.5, 0.2), row(3, 0.1, 0.1)])
    assert (k, evidence) == (2, "weak")
    assert "weak" in why
    k, evidence, why = verdict([row(2, 0.5, 0.2), row(3, 0.1, 0.4)])
    assert (k, evidence) == (3, "weak")
    assert verdict([row(2, 0.0, -0.1), row(3, 0.0, 0.0)])[:2] == (None, "none")
    assert verdict([])[:2] == (None, "none")


def test_of_equal_scores_the_fewest_clusters_are_taken() -> None:
    assert verdict([row(2, 0.3, 0.6), row(3, 0.3, 0.6), row(4, 0.3, 0.6)])[0] == 2
    rounded = [row(2, 0.3, 0.6), row(3, 0.3, 0.6 + 1e-16), row(4, 0.3, 0.6 + 2e-16)]
    assert verdict(rounded)[0] == 2


def test_the_data_is_needed() -> None:
    tree = shoal.linkage(np.random.default_rng(3).normal(size=(8, 3)))
    bare = shoal.Tree.from_scipy(tree.to_scipy())
    with pytest.raises(shoal.ShoalError, match="needs the data"):
        bare.suggest_cuts()
    with pytest.raises(shoal.ShoalError, match="needs the data"):
        bare.cut()
