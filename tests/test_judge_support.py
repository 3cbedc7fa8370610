"""Multiscale bootstrap, against its definition and against probabilities that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import shoal
from shoal.judge.support import SCALES, fit_support, keys_of_nodes


def two_groups(d: int = 60) -> Any:
    return np.random.default_rng(0).normal(size=(8, d)) + np.repeat([[0.0], [2.0]], 4, axis=0)


def test_keys_are_those_of_sets() -> None:
    keys = np.random.default_rng(0).integers(0, 2**64, 12, np.uint64)
    tree = shoal.linkage(np.random.default_rng(1).normal(size=(12, 2)), "average")
    for node, key in enumerate(keys_of_nodes(tree.merges, keys).tolist()):
        members = [int(name) for name in tree.members(12 + node)]
        assert key == sum(int(keys[i]) for i in members) % 2**64


def test_the_fit_finds_what_made_the_counts() -> None:
    from scipy.special import ndtr

    scales, v, c = np.array(SCALES), np.array([-1.0, 0.3, 1.2]), np.array([0.2, 0.0, -0.4])
    share = 1 - ndtr(v * np.sqrt(scales)[:, None] + c / np.sqrt(scales)[:, None])
    found = fit_support(scales, np.rint(share * 10**9).astype(np.int64), 10**9)
    np.testing.assert_allclose(found.au, 1 - ndtr(v - c), atol=1e-7)
    np.testing.assert_allclose(found.bp, 1 - ndtr(v + c), atol=1e-7)
    assert (found.error < 1e-3).all()


def test_the_error_is_that_of_repeated_draws() -> None:
    from scipy.special import ndtr

    rng, scales = np.random.default_rng(0), np.array(SCALES)
    share = 1 - ndtr(-0.8 * np.sqrt(scales) + 0.1 / np.sqrt(scales))
    found = fit_support(scales, rng.binomial(500, share[:, None], (10, 4000)), 500)
    assert found.au.std() == pytest.approx(float(found.error.mean()), rel=0.05)


def test_always_and_never() -> None:
    found = fit_support(np.array(SCALES), np.array([[100, 0, 50]] * 10), 100)
    np.testing.assert_array_equal([found.au[:2], found.bp[:2]], [[1.0, 0.0]] * 2)
    one = fit_support(np.array([1.0]), np.array([[30]]), 100)
    assert one.au[0] == one.bp[0] == 0.3


@pytest.mark.parametrize("method", ["ward", "average", "single"])
def test_groups_are_supported_and_noise_is_not(method: str) -> None:
    found = shoal.linkage(two_groups(), method).support(replicates=40)
    assert (found.au[-3:] > 0.95).all()  # the two groups, and all items
    noise = shoal.linkage(np.random.default_rng(3).normal(size=(30, 20)), method).support(replicates=40)
    assert (noise.bp[:-1] < 0.5).mean() > 0.7


def test_same_bits_for_any_number_of_threads() -> None:
    tree, found = shoal.linkage(two_groups(10), "average"), []
    try:
        for threads in (1, 2, 5):
            shoal.set_threads(threads)
            found.append(tree.support(replicates=20))
    finally:
        shoal.set_threads(None)
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_what_it_takes() -> None:
    tree = shoal.linkage(shoal.distances([1.0, 2.0, 3.0]), "average")
    with pytest.raises(shoal.errors.InputError, match="from distances"):
        tree.support()
    with pytest.raises(shoal.errors.InputError, match="has parameters"):
        shoal.linkage(two_groups(), "average", "minkowski").support()
    with pytest.raises(shoal.errors.InputError, match="replicates="):
        shoal.linkage(two_groups()).support(replicates=0)
