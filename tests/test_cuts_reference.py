"""The gap statistic: by the book, on data with and without clusters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import shoal
from shoal.cuts import reference
from shoal.cuts.flat import Subject
from shoal.cuts.reference import GapTable, _first_within_error, gap_statistic, gap_table
from shoal.errors import InputError


def subject(tree: Any) -> Subject:
    return Subject(tree.merges, tree.data, tree.weights, tree.method)


def blobs(k: int, each: int = 25, d: int = 2, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(size=(each, d)) + 12 * np.eye(k, d)[c] * (c + 1) for c in range(k)])


def log_within(X: Any, tree: Any, kmax: int) -> Any:
    found = []
    for k in range(1, kmax + 1):
        labels = tree.cut(k=k).labels
        found.append(np.log(sum(((X[labels == c] - X[labels == c].mean(axis=0)) ** 2).sum() for c in range(k))))
    return np.array(found)


def test_is_what_the_book_says() -> None:
    X = blobs(3, 12) @ np.array([[2.0, 0.5], [0.3, 0.4]])
    for method in ("ward", "average", "single"):
        tree = shoal.linkage(X, method)
        table = gap_table(subject(tree), 6, references=4, seed=9)
        unit = 2.0 ** np.frexp(np.abs(X).max())[1]
        center = (X / unit).mean(axis=0)
        _, _, axes = np.linalg.svd(X / unit - center, full_matrices=False)
        box = (X / unit - center) @ axes.T
        rng = np.random.default_rng(9)
        logs = []
        for _ in range(4):
            Z = rng.uniform(box.min(axis=0), box.max(axis=0), box.shape) @ axes + center
            logs.append(log_within(Z, shoal.linkage(Z, method), 6))
        np.testing.assert_allclose(table.gap, np.mean(logs, axis=0) - log_within(X / unit, tree, 6), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(table.error, np.std(logs, axis=0) * np.sqrt(1 + 1 / 4), rtol=1e-9)


@pytest.mark.large
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_finds_clear_clusters_and_one(k: int) -> None:
    for method in ("ward", "average"):
        tree = shoal.linkage(blobs(k, d=4), method)
        cut = gap_statistic(subject(tree), kmax=7)
        assert len(cut.nodes) == k
        assert cut.how == f"gap statistic: k = {k}, 20 references"


def test_the_first_that_passes_is_taken() -> None:
    zero = np.zeros(4)
    assert _first_within_error(GapTable(np.array([0.0, 1.0, 0.5, 2.0]), zero, 9)) == (2, True)
    assert _first_within_error(GapTable(np.array([0.0, 1.0, 1.5, 2.0]), np.array([0, 0, 0.6, 0]), 9)) == (2, True)
    assert _first_within_error(GapTable(np.array([0.0, 1.0, 1.5, 2.0]), zero, 9)) == (4, False)
    assert _first_within_error(GapTable(np.array([0.0, np.inf, np.inf, np.inf]), zero, 9)) == (2, True)
    assert _first_within_error(GapTable(np.array([3.0]), zero[:1], 9)) == (1, True)


@pytest.mark.large
def test_the_place_and_size_of_the_data_change_nothing() -> None:
    X = blobs(3)
    found = gap_table(subject(shoal.linkage(X)), 5)
    for Y in (X + 1000.0, X * 1e-3, X * 2.0**600):
        other = gap_table(subject(shoal.linkage(Y)), 5)
        np.testing.assert_allclose(other.gap, found.gap, atol=1e-6)


def test_many_items_are_sampled_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "SAMPLE", 60)
    tree = shoal.linkage(blobs(3, 100, 4))
    cut = gap_statistic(subject(tree), kmax=6)
    assert cut.how == "gap statistic: k = 3, 20 references on a sample of 60 items"
    assert sorted(tree.merges.size[cut.nodes - tree.n].tolist()) == [100, 100, 100]


@pytest.mark.large
def test_the_same_bits_for_a_seed_and_any_threads() -> None:
    tree = shoal.linkage(blobs(3))
    found = set()
    try:
        for threads in (1, 2, 5):
            shoal.set_threads(threads)
            found.add(gap_table(subject(tree), 6, seed=4).gap.tobytes())
    finally:
        shoal.set_threads(None)
    assert len(found) == 1
    assert gap_table(subject(tree), 6, seed=5).gap.tobytes() not in found


@pytest.mark.large
def test_weights_and_other_metrics() -> None:
    X = blobs(3, d=4)
    tree = shoal.linkage(X, weights=np.arange(75) % 3 + 1.0)
    assert len(gap_statistic(subject(tree), kmax=6).nodes) == 3
    cosine = shoal.linkage(X, "average", "cosine")
    assert 1 <= len(gap_statistic(subject(cosine), kmax=6).nodes) <= 6


def test_equal_and_few_items() -> None:
    for data in ([[1.0]], [[2.0]] * 6):
        tree = shoal.linkage(data)
        assert gap_statistic(subject(tree)).nodes.tolist() == [2 * len(data) - 2]
    assert gap_statistic(subject(shoal.linkage([[0.0], [1.0]]))).nodes.tolist() == [2]
    twins = np.repeat([[0.0], [1.0], [5.0]], 4, axis=0)
    assert len(gap_statistic(subject(shoal.linkage(twins))).nodes) == 3


def test_what_it_needs_is_said() -> None:
    tree = shoal.linkage(blobs(2))
    with pytest.raises(InputError, match="points"):
        gap_statistic(Subject(tree.merges, None, None, "ward"))
    given = shoal.linkage(shoal.distances([1.0, 2.0, 3.0]), "average")
    with pytest.raises(InputError, match="points"):
        gap_statistic(subject(given))
    with pytest.raises(InputError, match="unknown"):
        gap_statistic(Subject(tree.merges, tree.data))
    for options in ({"kmax": 0}, {"kmax": 50}, {"kmax": float("nan")}, {"references": 1}, {"seed": -1}, {"seed": None}):
        with pytest.raises(InputError, match=next(iter(options))):
            gap_statistic(subject(tree), **options)
