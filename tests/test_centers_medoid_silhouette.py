"""Medoids by the medoid silhouette: the sequential search, a local optimum at the end, the whole curve."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, squareform

import shoal
from naive.medoids import best_medoids, eager, improving_exchange, silhouette_loss
from shoal.centers import medoid_silhouette
from shoal.centers.medoid_silhouette import Curve, SilhouetteDescent, dynmsc, fastmsc
from shoal.centers.medoid_tables import Square
from shoal.errors import InputError
from shoal.runtime.kernel import plain_python
from strategies import seeds

RNG = np.random.default_rng


def distances(n: int, seed: int, d: int = 2) -> Any:
    """Draw distances of points in four groups."""
    rng = RNG(seed)
    X = rng.normal(size=(n, d)) + 6.0 * rng.integers(0, 4, (n, 1))
    return squareform(squareform(cdist(X, X), checks=False))


def same(one: Curve, other: Curve) -> bool:
    return one.silhouette.tolist() == other.silhouette.tolist() and all(
        a.medoids.tolist() == b.medoids.tolist() and a.loss == b.loss for a, b in zip(one.fits, other.fits, strict=True))


@given(n=st.integers(2, 22), k=st.integers(2, 6), seed=seeds, weighted=st.booleans())
def test_exchanges_are_those_of_the_sequential_search(n: int, k: int, seed: int, weighted: bool) -> None:
    k, D, rng = min(k, n), distances(n, seed), RNG(seed)
    weights = rng.uniform(0.2, 3, n) if weighted else np.ones(n)
    begin = rng.choice(n, k, replace=False)
    search = SilhouetteDescent(Square(D), begin, weights)
    search.run(1000)
    expected, swaps = eager(D, begin.tolist(), weights.tolist(), silhouette_loss, 1e-13 * n)
    assert search.medoids.tolist() == expected
    assert search.swaps == swaps
    assert search.silhouette == pytest.approx(1 - silhouette_loss(D, expected, weights.tolist()) / weights.sum(), abs=1e-13)


@given(n=st.integers(2, 20), k=st.integers(2, 5), seed=seeds, top=st.sampled_from([2, 9]))
def test_no_exchange_raises_the_silhouette_at_the_end(n: int, k: int, seed: int, top: int) -> None:
    upper = np.triu(RNG(seed).integers(0, top, (n, n)), 1).astype(np.float64)  # zeros between different items as well
    D, k = upper + upper.T, min(k, n)
    weights = RNG(seed).integers(0, 3, n).astype(np.float64)
    weights[:k] = 1.0
    found = fastmsc(D, k, RNG(seed), init="random", weights=weights).best
    assert improving_exchange(D, found.medoids.tolist(), weights, 1e-11 * n, silhouette_loss) is None


@pytest.mark.parametrize("seed", range(5))
def test_the_best_of_many_starts_is_the_best_of_all_sets(seed: int) -> None:
    n, k = 10, 2 + seed % 3
    D = distances(n, seed)
    found = fastmsc(D, k, RNG(seed), init="random", n_init=40)
    assert found.silhouette[0] == pytest.approx(1 - best_medoids(D, k, [1.0] * n, silhouette_loss) / n, abs=1e-12)
    assert found.k.tolist() == [k]


def test_the_curve_drops_the_medoid_that_is_missed_least() -> None:
    D, weights = distances(40, 3), RNG(0).uniform(0.5, 2, 40)
    search = SilhouetteDescent(Square(D), np.arange(7), weights)
    search.run(100)
    before = search.medoids.tolist()
    losses = [silhouette_loss(D, [*before[:i], *before[i + 1:]], weights.tolist()) for i in range(7)]
    search.drop()
    gone = int(np.argmin(losses))
    assert search.medoids.tolist() == [*before[:gone], *before[gone + 1:]]
    assert search.silhouette == pytest.approx(1 - min(losses) / weights.sum(), abs=1e-12)


def test_every_entry_of_the_curve_is_a_local_optimum_and_the_best_is_its_highest() -> None:
    D = distances(60, 1)
    curve = dynmsc(D, 8, RNG(0))
    assert curve.k.tolist() == list(range(2, 9))
    for k, value, fit in zip(curve.k, curve.silhouette, curve.fits, strict=True):
        medoids = fit.medoids.tolist()
        assert len(medoids) == k
        assert value == pytest.approx(1 - silhouette_loss(D, medoids, [1.0] * 60) / 60, abs=1e-12)
        assert improving_exchange(D, medoids, [1.0] * 60, 1e-10, silhouette_loss) is None
        np.testing.assert_array_equal(D[np.arange(60), fit.medoids[fit.labels]], D[:, medoids].min(axis=1))
    assert curve.best is curve.fits[int(np.argmax(curve.silhouette))]
    assert len(curve.best.medoids) == 4  # the groups that were drawn


def test_the_best_of_several_starts_has_the_highest_silhouette() -> None:
    D = distances(60, 5)
    several = dynmsc(D, 6, RNG(1), init="random", n_init=5)
    rng = RNG(1)
    highest = [dynmsc(D, 6, rng, init="random").silhouette.max() for _ in range(5)]
    assert several.silhouette.max() == max(highest)


@pytest.mark.large
def test_the_same_bits_for_any_number_of_threads_lanes_and_as_plain_python(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = RNG(0)
    X = (rng.normal(size=(300, 4)) + 5.0 * rng.integers(0, 4, (300, 1))).astype(np.float32)
    found = []
    try:
        for threads in (1, 2, 5):
            shoal.set_threads(threads)
            found.append(dynmsc(shoal.points(X), 6, RNG(0), init="lab"))
    finally:
        shoal.set_threads(None)
    monkeypatch.setattr(medoid_silhouette, "CACHE", 20)
    found.append(dynmsc(shoal.points(X).condensed(), 6, RNG(0), init="lab"))
    assert all(same(found[0], other) for other in found[1:])
    D = distances(45, 2)
    compiled = fastmsc(D, 3, RNG(0), init="random")
    with plain_python(True):
        assert same(fastmsc(D, 3, RNG(0), init="random"), compiled)


def test_one_cluster_has_no_silhouette() -> None:
    for k in (1, 0, 5):
        with pytest.raises(InputError, match="were asked for"):
            fastmsc(distances(4, 0), k, RNG(0))


# kmedoids 0.5.5: fastermsc(D, [0, 1, 2, 3]); dynmsc(D, range(5), 2). From more medoids the two may go different ways.
GOLDEN = {"medoids": [4, 40, 68, 135], "silhouette": 0.7280027380449543, "swaps": 15}
GOLDEN_CURVE = [0.8961338072510465, 0.7946699486440406, 0.7280027380449543, 0.6832611068321274]


def test_the_same_as_another_implementation(tutorial150: Any) -> None:
    D = cdist(tutorial150, tutorial150)
    found = fastmsc(D, 4, RNG(0), init=np.arange(4))
    assert sorted(found.best.medoids.tolist()) == GOLDEN["medoids"]
    assert found.best.swaps == GOLDEN["swaps"]
    assert found.silhouette[0] == pytest.approx(GOLDEN["silhouette"], rel=1e-12)
    curve = dynmsc(D, 5, RNG(0), init=np.arange(5))
    assert curve.silhouette.tolist() == pytest.approx(GOLDEN_CURVE, rel=1e-12)
