"""Sums of members, centres made of them, and refilling, against the naive ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

import shoal
from naive.kmeans import naive_center
from shoal.centers import update
from shoal.centers.update import change_sums, refill, settle, smallest_weight, sums_of


def items(n: int, d: int, k: int, seed: int = 0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.5)
    return X, rng.integers(0, k, n).astype(np.int32), rng.random(n)


def as_form(X: Any, form: str) -> Any:
    return sparse.csr_array(X) if form == "sparse" else X.astype(form)


@pytest.mark.parametrize("form", ["float32", "float64", "sparse"])
@pytest.mark.parametrize("weighted", [False, True])
def test_sums_are_those_of_the_members(form: str, weighted: bool) -> None:
    X, labels, weights = items(500, 4, 7)
    w = weights if weighted else np.ones(500)
    given_form = as_form(X, form)
    plain = X.astype(np.float32).astype(float) if form == "float32" else X
    sums, mass = sums_of(given_form, labels, weights if weighted else None, 7)
    for j in range(7):
        np.testing.assert_allclose(sums[j], (w[:, None] * plain)[labels == j].sum(axis=0), rtol=1e-12, atol=1e-13)
        assert mass[j] == pytest.approx(w[labels == j].sum(), rel=1e-13)


@pytest.mark.parametrize("form", ["float32", "float64", "sparse"])
def test_changed_sums_are_new_sums(form: str) -> None:
    X, labels, weights = items(800, 5, 6, seed=1)
    given_form, rows = as_form(X, form), np.arange(0, 800, 3)
    sums, mass = sums_of(given_form, labels, weights, 6)
    other = labels.copy()
    other[rows] = (other[rows] + 1 + rows % 5) % 6
    change_sums(sums, mass, given_form, rows, labels[rows], other[rows], weights)
    expected, expected_mass = sums_of(given_form, other, weights, 6)
    np.testing.assert_allclose(sums, expected, atol=1e-12)
    np.testing.assert_allclose(mass, expected_mass, rtol=1e-12)


def test_an_origin_saves_digits() -> None:
    X, labels, _ = items(5000, 3, 4, seed=2)
    exact = np.array([X[labels == j].mean(axis=0) for j in range(4)])
    far = X * 2.0**-20 + 2.0**30  # 30 of 53 digits are left
    about, mass = sums_of(far, labels, None, 4, np.full(3, 2.0**30))
    rounded = np.array([(far[labels == j] - 2.0**30).mean(axis=0) for j in range(4)])
    np.testing.assert_allclose(about / mass[:, None], rounded, rtol=1e-10, atol=1e-20)
    np.testing.assert_allclose(about / mass[:, None] * 2.0**20, exact, atol=1e-1)


@pytest.mark.parametrize("form", ["float64", "sparse"])
def test_bits_do_not_depend_on_threads(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update, "ROWS", 100)
    X, labels, weights = items(2000, 3, 9, seed=3)
    given_form, found = as_form(X, form), []
    try:
        for threads in (1, 2, 5):
            shoal.set_threads(threads)
            found.append(sums_of(given_form, labels, weights, 9))
    finally:
        shoal.set_threads(None)
    for sums, mass in found[1:]:
        np.testing.assert_array_equal(sums, found[0][0])
        np.testing.assert_array_equal(mass, found[0][1])


@given(st.integers(0, 10_000), st.sampled_from(["euclidean", "cosine"]), st.booleans())
def test_centres_are_the_naive_ones(seed: int, metric: str, held: bool) -> None:
    rng = np.random.default_rng(seed)
    X, labels, weights = items(40, 3, 5, seed)
    sums, mass = sums_of(X, labels, weights, 5)
    old, fixed = rng.normal(size=(5, 3)), np.full((5, 3), np.nan)
    if held:
        fixed[rng.random((5, 3)) < 0.4] = 0.25
    centers = settle(sums, mass, old, fixed if held else None, metric)
    for j in range(5):
        if mass[j] > 0.0 and (metric == "euclidean" or np.abs(sums[j][np.isnan(fixed[j])]).sum() > 0.0):
            expected = naive_center(X[labels == j], weights[labels == j], old[j], fixed[j], metric)
            np.testing.assert_allclose(centers[j], expected, atol=1e-12)
        else:
            np.testing.assert_array_equal(centers[j], np.where(np.isnan(fixed[j]), old[j], fixed[j]))


@pytest.mark.parametrize("form", ["float64", "sparse"])
def test_refilling_takes_the_farthest_that_are_not_alone(form: str) -> None:
    X = np.array([[0.0, 0.0], [1.0, 0.0], [9.0, 0.0], [50.0, 0.0], [4.0, 0.0]])
    labels = np.array([0, 0, 0, 1, 0], np.int32)
    centers = np.array([[0.0, 0.0], [20.0, 0.0], [7.0, 7.0], [8.0, 8.0]])
    sums, mass = sums_of(as_form(X, form), labels, None, 4)
    squares = ((X - centers[labels]) ** 2).sum(axis=1)
    moved = refill(as_form(X, form), labels, squares, sums, mass, centers)
    np.testing.assert_array_equal(moved, [2, 4])  # item 3 is farther, and alone
    np.testing.assert_array_equal(labels, [0, 0, 2, 1, 3])
    expected, expected_mass = sums_of(X, labels, None, 4)
    np.testing.assert_array_equal(sums, expected)
    np.testing.assert_array_equal(mass, expected_mass)


def test_refilling_minds_fixed_coordinates_and_weights() -> None:
    X = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 8.0], [0.0, 30.0]])
    labels, weights = np.zeros(4, np.int32), np.array([1.0, 1.0, 1.0, 0.0])
    centers, fixed = np.zeros((3, 2)), np.full((3, 2), np.nan)
    fixed[1, 0], fixed[2] = 0.0, 5.0  # centre 1 moves along the second feature alone, centre 2 not at all
    sums, mass = sums_of(X, labels, weights, 3)
    moved = refill(X, labels, (X**2).sum(axis=1), sums, mass, centers, weights, fixed)
    np.testing.assert_array_equal(moved, [2])
    np.testing.assert_array_equal(labels, [0, 0, 1, 0])


def test_nothing_is_refilled_where_no_item_would_gain() -> None:
    X, labels = np.ones((4, 2)), np.zeros(4, np.int32)
    sums, mass = sums_of(X, labels, None, 2)
    assert len(refill(X, labels, np.zeros(4), sums, mass, np.ones((2, 2)))) == 0
    np.testing.assert_array_equal(mass, [4.0, 0.0])


def test_the_smallest_weight_is_above_zero() -> None:
    assert smallest_weight(None) == 1.0
    assert smallest_weight(np.array([0.0, 3.0, 0.5])) == 0.5
