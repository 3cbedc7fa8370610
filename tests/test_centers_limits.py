"""k-means with bounds on sizes: the cheapest assignment against brute force and a solver of linear programs."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

import shoal
from shoal.centers import limits
from shoal.centers.limits import assign_limited, check_limits, costs_to, lloyd_limited
from shoal.errors import InputError, TooLargeError
from shoal.runtime.kernel import plain_python

Floats = NDArray[np.float64]


def brute(cost: Floats, low: int, high: int) -> float:
    """The least cost of all k**n assignments that keep the bounds."""
    n, k = cost.shape
    best = np.inf
    for labels in product(range(k), repeat=n):
        sizes = [labels.count(c) for c in range(k)]
        if min(sizes) >= low and max(sizes) <= high:
            best = min(best, sum(cost[i, c] for i, c in enumerate(labels)))
    return float(best)


def highs(cost: Floats, low: int, high: int) -> float:
    """The least cost as scipy's HiGHS finds it: the linear program has a solution in whole numbers."""
    n, k = cost.shape
    once = sparse.kron(sparse.eye_array(n), np.ones((1, k)), format="csr")
    sizes = sparse.kron(np.ones((1, n)), sparse.eye_array(k), format="csr")
    found = linprog(cost.ravel(), A_ub=sparse.vstack([sizes, -sizes]), A_eq=once, b_eq=np.ones(n), bounds=(0, 1),
                    b_ub=np.concatenate([np.full(k, high), np.full(k, -low)]), method="highs")
    assert found.success
    return float(found.fun)


def total(cost: Floats, labels: Any, low: int, high: int) -> float:
    sizes = np.bincount(labels, minlength=cost.shape[1])
    assert low <= sizes.min()
    assert sizes.max() <= high
    return float(cost[np.arange(len(labels)), labels].sum())


@st.composite
def problems(draw: st.DrawFn, most: int) -> tuple[Floats, int, int]:
    """Costs, often equal and with clusters nobody or everybody prefers, and bounds that can be kept."""
    n = draw(st.integers(1, most))
    k = draw(st.integers(1, min(n, 5)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    cost = rng.integers(0, 4, (n, k)).astype(float) if draw(st.booleans()) else rng.random((n, k))
    cost += rng.random(k) * draw(st.sampled_from([0.0, 1.0, 10.0]))
    return cost, draw(st.integers(0, n // k)), draw(st.integers(-(-n // k), n))


@given(problems(6))
def test_no_assignment_is_cheaper(problem: tuple[Floats, int, int]) -> None:
    cost, low, high = problem
    assert total(cost, assign_limited(cost, low, high), low, high) == pytest.approx(brute(cost, low, high), abs=1e-12)


@given(problems(40))
def test_costs_what_the_linear_program_costs(problem: tuple[Floats, int, int]) -> None:
    cost, low, high = problem
    assert total(cost, assign_limited(cost, low, high), low, high) == pytest.approx(highs(cost, low, high), abs=1e-9)


def test_without_bounds_that_bind_everybody_goes_to_the_nearest() -> None:
    cost = np.random.default_rng(0).random((200, 5))
    assert assign_limited(cost, 0, 200).tolist() == cost.argmin(axis=1).tolist()


def test_all_prefer_one_cluster() -> None:
    """Chains of moves: items that cost little more elsewhere give way."""
    rng = np.random.default_rng(1)
    x, centers = np.sort(rng.random(60)), np.array([0.0, 10.0, 20.0])
    labels = assign_limited((x[:, None] - centers) ** 2, 20, 20)
    assert labels.tolist() == [0] * 20 + [1] * 20 + [2] * 20


@pytest.mark.parametrize("ties", [False, True])
def test_plain_and_in_small_slices_the_same(ties: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    cost = rng.integers(0, 5, (150, 6)).astype(float) if ties else rng.random((150, 6)) + rng.random(6)
    whole = assign_limited(cost, 20, 30)
    with plain_python(True):
        assert np.array_equal(assign_limited(cost, 20, 30), whole)
    monkeypatch.setattr(limits, "SLICE", 1)
    assert np.array_equal(assign_limited(cost, 20, 30), whole)


@pytest.mark.parametrize(("bounds", "says"), [
    ((4, None), "3 clusters of at least 4 items need 12 items; there are 10. Give a min_size of at most 3."),
    ((None, 3), "3 clusters of at most 3 items hold 9 items; there are 10. Give a max_size of at least 4."),
    ((3, 2), "min_size=3 is above max_size=2"),
])
def test_sizes_that_cannot_be_are_refused(bounds: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        check_limits(10, 3, *bounds)


def test_sizes_that_can_be() -> None:
    assert check_limits(10, 3, None, 4) == (1, 4)
    assert check_limits(10, 3, 3, None) == (3, 10)


def blobs(n: int = 120, d: int = 3) -> Floats:
    rng = np.random.default_rng(3)
    return rng.normal(size=(n, d)) + rng.choice([0.0, 0.0, 0.0, 8.0, 20.0], (n, 1))


def test_ends_at_a_local_optimum() -> None:
    X = blobs()
    fit = lloyd_limited(X, X[:4], 25, 35)
    assert fit.converged
    cost = costs_to(X, fit.centers, "euclidean")
    assert total(cost, fit.labels, 25, 35) == pytest.approx(highs(cost, 25, 35))
    assert fit.inertia == pytest.approx(total(cost, fit.labels, 25, 35))
    for c in range(4):
        assert np.allclose(fit.centers[c], X[fit.labels == c].mean(axis=0))


def test_inertia_never_rises() -> None:
    X = blobs()
    fits = [lloyd_limited(X, X[:4], 20, 40, max_iter=turns) for turns in range(1, 12)]
    assert all(b.inertia <= a.inertia * (1 + 1e-12) for a, b in pairwise(fits))
    assert fits[0].n_iter == 1
    assert not fits[0].converged


def test_weights_make_items_dearer_but_not_larger() -> None:
    X, weights = blobs(), np.random.default_rng(4).random(120) + 0.1
    fit = lloyd_limited(X, X[:4], 25, 35, weights=weights)
    cost = costs_to(X, fit.centers, "euclidean") * weights[:, None]
    assert total(cost, fit.labels, 25, 35) == pytest.approx(highs(cost, 25, 35))
    for c in range(4):
        assert np.allclose(fit.centers[c], np.average(X[fit.labels == c], axis=0, weights=weights[fit.labels == c]))


def test_fixed_coordinates_stay() -> None:
    X, fixed = blobs(), np.full((3, 3), np.nan)
    fixed[0], fixed[1, 2] = [1.0, 2.0, 3.0], 1e5
    start = np.where(np.isnan(fixed), X[:3], fixed)
    fit = lloyd_limited(X, start, 30, 60, fixed=fixed)
    assert np.array_equal(fit.centers[~np.isnan(fixed)], fixed[~np.isnan(fixed)])
    assert np.allclose(fit.centers[1, :2], X[fit.labels == 1].mean(axis=0)[:2])


def test_cosine_and_sparse_rows() -> None:
    X = np.abs(blobs()) * (np.random.default_rng(5).random((120, 3)) < 0.7) + [0.0, 0.0, 0.01]
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    dense = lloyd_limited(X, X[[0, 40, 80]], 35, 45, metric="cosine")
    assert np.allclose(np.linalg.norm(dense.centers, axis=1), 1.0)
    assert np.allclose(costs_to(X, dense.centers, "cosine"), 1.0 - X @ dense.centers.T)
    thin = lloyd_limited(sparse.csr_array(X), X[[0, 40, 80]], 35, 45, metric="cosine")
    assert np.array_equal(thin.labels, dense.labels)
    assert np.allclose(thin.centers, dense.centers)
    euclidean = [lloyd_limited(form, X[[0, 40, 80]], 35, 45).labels for form in (X, sparse.csr_array(X))]
    assert np.array_equal(*euclidean)


def test_data_far_from_zero_gives_the_labels_of_centred_data() -> None:
    X = np.round(blobs() * 2**16) / 2**16  # so that adding 2**27 is exact
    near, far = (lloyd_limited(X + shift, (X + shift)[:4], 25, 35) for shift in (0.0, 2.0**27))
    assert np.array_equal(near.labels, far.labels)
    assert far.inertia == pytest.approx(near.inertia, rel=1e-6)


@pytest.mark.large
def test_same_bits_for_any_number_of_threads() -> None:
    X = blobs(40_000, 4)  # several blocks of distances and of sums
    found = []
    try:
        for threads in (1, 2, 5):
            shoal.set_threads(threads)
            found.append(lloyd_limited(X, X[:30], 1000, 2000, max_iter=2))
    finally:
        shoal.set_threads(None)
    for fit in found[1:]:
        assert np.array_equal(fit.labels, found[0].labels)
        assert np.array_equal(fit.centers, found[0].centers)


def test_more_distances_than_fit_are_refused_at_once() -> None:
    with pytest.raises(TooLargeError, match="bounds on the sizes"):
        lloyd_limited(np.broadcast_to(np.zeros(1), (2**40, 1)), np.zeros((2**10, 1)), 1, 2**40)
