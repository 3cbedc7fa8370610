"""k-means of one feature: sorted runs against plain search, and the best clustering against all of them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
from naive.kmeans import naive_lloyd, squares_to
from shoal.centers import line
from shoal.centers.lloyd import lloyd


def best_inertia(x: Any, w: Any, k: int) -> float:
    """The least inertia over all ways to cut the sorted values into k runs."""
    order = np.argsort(x, kind="stable")
    x, w, least = x[order], w[order], np.inf
    for cuts in itertools.combinations(range(1, len(x)), k - 1):
        total = 0.0
        for a, b in itertools.pairwise((0, *cuts, len(x))):
            if w[a:b].sum() > 0.0:
                mean = (w[a:b] * x[a:b]).sum() / w[a:b].sum()
                total += (w[a:b] * (x[a:b] - mean) ** 2).sum()
        least = min(least, total)
    return float(least)


@given(st.integers(0, 10_000), st.integers(2, 40), st.booleans(), st.booleans())
def test_runs_are_plain_search(seed: int, n: int, ties: bool, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    X = (rng.integers(0, 8, n).astype(float) if ties else rng.normal(size=n))[:, None]
    weights = rng.random(n) + 0.1 if weighted else None
    C = X[rng.integers(0, n, int(rng.integers(1, n + 1)))]
    for steps in (1, 2, 50):
        runs, bounds = (lloyd(X, C, weights=weights, max_iter=steps, engine=engine) for engine in ("line", "bounds"))
        assert runs.engine == "line"
        D = squares_to(X, runs.centers)
        np.testing.assert_array_equal(runs.labels, D.argmin(axis=1))
        if not ties:  # rounding may break a tie either way once the centres are sums in another order
            np.testing.assert_array_equal(runs.labels, bounds.labels)
            np.testing.assert_allclose(runs.centers, bounds.centers, atol=1e-12)
            assert runs.inertia == pytest.approx(bounds.inertia, rel=1e-9, abs=1e-13)


@given(st.integers(0, 10_000), st.integers(1, 11), st.integers(1, 5), st.booleans(), st.booleans())
def test_the_best_clustering_is_the_best_of_all(seed: int, n: int, k: int, ties: bool, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 5, n).astype(float) if ties else rng.normal(size=n)
    w = rng.integers(0, 3, n) + (rng.random(n) if not ties else 1.0) if weighted else np.ones(n)
    k = min(k, n)
    fit = lloyd(x[:, None], np.zeros((k, 1)), weights=w if weighted else None, engine="exact")
    assert fit.inertia == pytest.approx(best_inertia(x, w, k), rel=1e-9, abs=1e-12)


def test_the_best_clustering_of_many_values() -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(c, 0.1, 200) for c in range(8)]) + 1e6
    X = rng.permutation(x)[:, None]
    fit = lloyd(X, X[:8], engine="exact")
    np.testing.assert_allclose(np.sort(fit.centers[:, 0]) - 1e6, np.arange(8.0), atol=0.05)
    assert fit.inertia <= lloyd(X, X[:8]).inertia
    assert fit.converged


def test_fixed_values_stay() -> None:
    rng = np.random.default_rng(2)
    X, fixed = rng.normal(size=(200, 1)), np.array([[np.nan], [0.5], [np.nan]])
    fit = lloyd(X, X[:3], fixed=fixed)
    centers, labels, inertia = naive_lloyd(X, X[:3], fixed=fixed)
    assert fit.centers[1, 0] == 0.5
    np.testing.assert_array_equal(fit.labels, labels)
    np.testing.assert_allclose(fit.centers, centers, atol=1e-12)
    assert fit.inertia == pytest.approx(inertia)


def test_bits_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "SPANS", 100)  # many tasks
    X = np.random.default_rng(3).normal(size=(2000, 1))
    fits = []
    try:
        for threads in (1, 2, 5):
            shoal.set_threads(threads)
            fits.append(lloyd(X, X[:6], engine="exact"))
    finally:
        shoal.set_threads(None)
    for fit in fits[1:]:
        np.testing.assert_array_equal(fit.centers, fits[0].centers)
        np.testing.assert_array_equal(fit.labels, fits[0].labels)
