"""k-medoids by exchanges: the sequential algorithm exactly, a local optimum at the end, every form of distances alike."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.spatial.distance import cdist, squareform

import shoal
from naive.medoids import best_medoids, build, eager, improving_exchange, loss_of
from shoal.centers import medoid_seeding, medoids
from shoal.centers.medoid_seeding import STARTS, first_medoids
from shoal.centers.medoid_tables import Condensed, Square, distances_to, table_of
from shoal.centers.medoids import Descent, Fit, alternate, fasterclara, fasterpam
from shoal.errors import InputError, TooLargeError
from shoal.runtime import memory
from shoal.runtime.kernel import plain_python
from strategies import read_only, seeds

RNG = np.random.default_rng


def whole_distances(n: int, seed: int, top: int = 50) -> Any:
    """Draw a symmetric matrix of whole numbers: sums of them are exact, so that nothing hangs on rounding."""
    upper = np.triu(RNG(seed).integers(1, top, (n, n)), 1)
    return (upper + upper.T).astype(np.float64)


def cloud(n: int, d: int = 3, seed: int = 0, dtype: Any = np.float64) -> Any:
    """Draw points in five groups."""
    rng = RNG(seed)
    return (rng.normal(size=(n, d)) + 6.0 * rng.integers(0, 5, (n, 1))).astype(dtype)


def same(one: Fit, other: Fit) -> bool:
    return (one.medoids.tolist() == other.medoids.tolist() and one.labels.tolist() == other.labels.tolist()
            and one.loss == other.loss)


@given(n=st.integers(1, 30), k=st.integers(1, 6), seed=seeds, weighted=st.booleans(), top=st.sampled_from([3, 50]))
def test_exchanges_are_those_of_the_sequential_algorithm(n: int, k: int, seed: int, weighted: bool, top: int) -> None:
    k, rng = min(k, n), RNG(seed)
    D = whole_distances(n, seed, top)
    weights = rng.integers(0, 4, n).astype(np.float64) if weighted else np.ones(n)
    weights[:k] = 1.0
    begin = rng.choice(np.flatnonzero(weights), k, replace=False)
    search = Descent(Square(D), begin, weights)
    search.run(1000)
    expected, swaps = eager(D, begin.tolist(), weights.tolist())
    assert search.medoids.tolist() == expected
    assert search.swaps == swaps


@pytest.mark.parametrize("narrow", [1, 7, 1000])
def test_the_number_of_candidates_tried_at_once_changes_nothing(narrow: int, monkeypatch: pytest.MonkeyPatch) -> None:
    D = cdist(cloud(300), cloud(300))
    expected = fasterpam(D, 9, RNG(1), init="random")
    monkeypatch.setattr(medoids, "NARROW", narrow)
    found = fasterpam(D, 9, RNG(1), init="random")
    assert same(found, expected)
    assert found.swaps == expected.swaps > 5


@given(n=st.integers(2, 25), k=st.integers(1, 5), seed=seeds)
def test_no_exchange_lowers_the_loss_at_the_end(n: int, k: int, seed: int) -> None:
    k = min(k, n)
    D = cdist(cloud(n, 2, seed), cloud(n, 2, seed))
    np.fill_diagonal(D, 0)
    weights = RNG(seed).uniform(0.1, 3, n)
    found = fasterpam((D + D.T) / 2, k, RNG(seed), init="random", weights=weights)
    assert improving_exchange(D, found.medoids.tolist(), weights, 1e-11 * (1 + found.loss)) is None
    assert found.loss == pytest.approx(loss_of(D, found.medoids, weights), rel=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_the_best_of_many_starts_is_the_best_of_all_sets(seed: int) -> None:
    n, k = 11, 2 + seed % 3
    D = cdist(cloud(n, 2, seed), cloud(n, 2, seed))
    found = fasterpam(D, k, RNG(seed), init="random", n_init=40)
    assert found.loss == pytest.approx(best_medoids(D, k, [1.0] * n), rel=1e-12)


@given(n=st.integers(1, 25), k=st.integers(1, 8), seed=seeds, top=st.sampled_from([3, 50]))
def test_build_is_greedy(n: int, k: int, seed: int, top: int) -> None:
    k = min(k, n)
    D = whole_distances(n, seed, top)
    weights = RNG(seed).integers(0, 3, n).astype(np.float64)
    weights[RNG(seed).choice(n, k, replace=False)] = 2.0
    assert first_medoids(Square(D), k, RNG(0), "build", weights).tolist() == build(D, k, weights.tolist())


@pytest.mark.parametrize("many", [1000, 4, 1])
def test_build_is_greedy_however_stale_gains_are_worked_out(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    D = whole_distances(60, 5)
    monkeypatch.setattr(medoid_seeding, "MANY", many)
    assert first_medoids(Square(D), 12, RNG(0), "build", np.ones(60)).tolist() == build(D, 12, [1.0] * 60)


@pytest.mark.parametrize("init", STARTS)
def test_starts_are_different_items_of_positive_weight(init: str) -> None:
    D = np.zeros((20, 20))  # all items in one place: drawing by distance has nothing to go by
    weights = np.ones(20)
    weights[::2] = 0
    for table in (Square(D), Condensed(squareform(D))):
        found = first_medoids(table, 10, RNG(0), init, weights)
        assert sorted(found.tolist()) == list(range(1, 20, 2))


def test_starts_by_distance_and_lab_find_far_groups() -> None:
    X = np.repeat([[0.0], [100.0], [10_000.0]], 30, axis=0) + RNG(0).normal(size=(90, 1))
    D = cdist(X, X)
    for init in ("lab", "k-medoids++"):
        found = [first_medoids(Square(D), 3, RNG(seed), init, np.ones(90)) // 30 for seed in range(20)]
        assert np.mean([len(set(groups.tolist())) == 3 for groups in found]) > 0.5, init


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_forms_of_distances_give_the_same(dtype: Any) -> None:
    X = cloud(180, 4, 3).round(3).astype(dtype)
    D = shoal.points(X).condensed()
    V = squareform(D)
    upper, far = np.triu(V), 2 * float(V.max())
    expected = fasterpam(V, 7, RNG(0))
    assert expected.medoids.dtype == np.int64
    assert expected.labels.dtype == np.int32
    forms = {
        "points": shoal.points(X), "fortran": np.asfortranarray(V), "condensed": D,
        "square": shoal.distances(V), "condensed carrier": shoal.distances(D), "upper": shoal.distances(upper),
        "lower": shoal.distances(upper.T), "sparse": shoal.distances(sparse.csr_array(V)),
        "min": shoal.distances(V, symmetrize="min"), "strided": np.repeat(V, 2, axis=1)[:, ::2],
    }
    for name, data in forms.items():
        assert same(fasterpam(data, 7, RNG(0)), expected), name
    turned = fasterpam(shoal.similarities(far - V.astype(np.float64), rule=lambda s: far - s), 7, RNG(0))
    assert turned.medoids.tolist() == expected.medoids.tolist()


def test_pairs_that_a_sparse_form_lacks_are_far_apart() -> None:
    S = np.kron(np.eye(3), np.full((4, 4), 0.75))
    for data in (shoal.similarities(sparse.csr_array(S)), shoal.graph(sparse.csr_array(S - np.diag(np.diag(S))))):
        found = fasterpam(data, 3, RNG(0))
        assert found.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
        assert found.loss == 9 * 0.25
    path = shoal.graph([("a", "b", 1.0), ("b", "c", 1.0), ("c", "d", 5.0)], kind="distance", missing="shortest_path")
    assert fasterpam(path, 2, RNG(0)).medoids.tolist() == [1, 3]


def test_a_square_is_read_where_it_lies_and_a_constant_diagonal_is_not_a_distance() -> None:
    V = squareform(shoal.points(cloud(40)).condensed())
    table = table_of(shoal.distances(V))
    assert isinstance(table, Square)
    assert np.shares_memory(table.V, V)
    marked = V.copy()
    np.fill_diagonal(marked, 7.0)
    below = V.copy()
    below[3, 5] = below[5, 3] = -1e-17
    for other in (marked, below):
        copied = table_of(shoal.distances(other))
        assert isinstance(copied, Square)
        assert not np.shares_memory(copied.V, other)
        assert (copied.V.diagonal() == 0).all()
        assert copied.V.min() == 0
    vector = squareform(V)
    kept = table_of(shoal.distances(vector))
    assert isinstance(kept, Condensed)
    assert np.shares_memory(kept.D, vector)


def test_condensed_tiles_rows_and_blocks_are_those_of_the_square() -> None:
    D = RNG(1).uniform(size=150 * 149 // 2)
    D[7] = -1e-18
    V, table = np.maximum(squareform(D), 0), Condensed(D)
    for a, b in ((0, 1), (0, 64), (70, 134), (149, 150)):
        tile, c0 = table.tile(a, b)
        assert c0 == 0
        np.testing.assert_array_equal(tile, V[:, a:b])
    np.testing.assert_array_equal(table.row(77), V[77])
    rows, columns = np.array([3, 9, 149]), np.array([9, 0])
    np.testing.assert_array_equal(table.block(rows, columns), V[np.ix_(rows, columns)])
    np.testing.assert_array_equal(distances_to(table, columns), V[:, columns])


@pytest.mark.parametrize("metric", ["cityblock", "cosine", "canberra", "minkowski"])
def test_points_under_any_metric(metric: str) -> None:
    X = cloud(90, 4) + 40
    V = squareform(shoal.points(X, metric).condensed())
    np.testing.assert_array_equal(table_of(shoal.points(X, metric)).block(np.arange(90), np.arange(90)), V)


def test_a_function_of_two_rows_is_called_once_a_pair() -> None:
    calls = itertools.count()

    def metric(x: Any, y: Any) -> float:
        next(calls)
        return float(np.abs(x - y).sum())

    X = cloud(30)
    found = fasterpam(shoal.points(X, metric), 3, RNG(0))
    assert same(found, fasterpam(shoal.points(X, "cityblock"), 3, RNG(0)))
    assert next(calls) <= 30 * 29 // 2 + 5


@pytest.mark.large
def test_the_same_bits_for_any_number_of_threads_and_as_plain_python() -> None:
    X = cloud(260, 5, dtype=np.float32)
    found = []
    try:
        for threads in (1, 2, 5):
            shoal.set_threads(threads)
            found.append(fasterpam(shoal.points(X), 6, RNG(0), init="lab", weights=RNG(1).uniform(0.5, 2, 260)))
    finally:
        shoal.set_threads(None)
    small, condensed = squareform(squareform(cdist(X[:60], X[:60]), checks=False)), squareform(cdist(X, X), checks=False)
    assert same(found[0], found[1])
    assert same(found[0], found[2])
    with plain_python(True):
        plain = [fasterpam(small, 4, RNG(2), init="random"), fasterpam(squareform(small), 4, RNG(2))]
    assert same(plain[0], fasterpam(small, 4, RNG(2), init="random"))
    assert same(plain[1], fasterpam(squareform(small), 4, RNG(2)))
    assert same(fasterpam(condensed, 6, RNG(0)), fasterpam(squareform(condensed), 6, RNG(0)))


def test_whole_weights_are_repeated_items() -> None:
    X = cloud(40, 2, 4)
    counts = RNG(0).integers(0, 4, 40)
    once = fasterpam(shoal.points(X), 4, RNG(0), weights=counts.astype(np.float64))
    often = fasterpam(shoal.points(np.repeat(X, counts, axis=0)), 4, RNG(0))
    assert once.loss == pytest.approx(often.loss, rel=1e-12)
    np.testing.assert_array_equal(X[once.medoids[once.labels]][counts > 0], X[np.repeat(np.arange(40), counts)][
        often.medoids[often.labels]][np.cumsum(counts)[counts > 0] - 1])


def test_clusters_are_numbered_as_they_appear_and_every_medoid_has_its_own() -> None:
    found = fasterpam(shoal.points([[9.0], [0.0], [9.0], [0.0], [0.0]]), 4, RNG(0))
    assert found.loss == 0.0
    assert sorted(found.labels[found.medoids].tolist()) == [0, 1, 2, 3]
    assert [int(np.flatnonzero(found.labels == c)[0]) for c in range(4)] == sorted(
        int(np.flatnonzero(found.labels == c)[0]) for c in range(4))


def test_alternating_stops_where_every_medoid_is_central() -> None:
    X = cloud(120, 3, 2)
    D = cdist(X, X)
    for k in (2, 4, 9):
        found = alternate(D, k, RNG(3), init="random")
        for c, medoid in enumerate(found.medoids):
            at = np.flatnonzero(found.labels == c)
            assert D[at, medoid].sum() <= D[np.ix_(at, at)].sum(axis=0).min() * (1 + 1e-12)
        np.testing.assert_array_equal(D[np.arange(120), found.medoids[found.labels]], D[:, found.medoids].min(axis=1))
    one = alternate(D, 1, RNG(3), init="random")  # of one cluster the central item is the best of all
    assert one.loss == pytest.approx(D.sum(axis=0).min(), rel=1e-12)
    assert one.n_iter == 2


@pytest.mark.large
def test_samples_of_many_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(medoids, "SAMPLE", 100)
    X = cloud(900, 2, 1)
    whole = fasterpam(shoal.points(X), 5, RNG(0))
    for data in (shoal.points(X), shoal.distances(cdist(X, X), symmetrize="mean"), cdist(X, X)):
        found = fasterclara(data, 5, RNG(0))
        D = cdist(X, X[found.medoids])
        assert found.loss == pytest.approx(D.min(axis=1).sum(), rel=1e-12)
        np.testing.assert_array_equal(found.labels, D.argmin(axis=1))
        assert whole.loss * (1 - 1e-12) <= found.loss < 1.1 * whole.loss
    begin = whole.medoids
    assert fasterclara(shoal.points(X), 5, RNG(0), init=begin).loss < 1.1 * whole.loss


def test_more_than_memory_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 10_000)
    with pytest.raises(TooLargeError, match="fasterclara"):
        fasterpam(shoal.points(cloud(200)), 3, RNG(0))


def test_what_cannot_be_asked() -> None:
    D = whole_distances(6, 0)
    for k in (0, 7, 2.5, True):
        with pytest.raises(InputError, match="clusters"):
            fasterpam(D, k, RNG(0))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="weight above 0"):
        fasterpam(D, 3, RNG(0), weights=np.array([1.0, 1, 0, 0, 0, 0]))
    for init in ([0, 0], [0, 9], [0.0, 1.0], [0]):
        with pytest.raises(InputError, match="different items"):
            fasterpam(D, 2, RNG(0), init=np.array(init))
    with pytest.raises(InputError, match="square"):
        fasterpam(np.zeros((3, 4)), 2, RNG(0))


def test_inputs_are_not_written_to() -> None:
    D, begin, weights = read_only(whole_distances(30, 2)), read_only([3, 5, 9]), read_only(np.ones(30))
    fasterpam(D, 3, RNG(0), init=begin, weights=weights)
    alternate(D, 3, RNG(0), init=begin, weights=weights)
    fasterclara(D, 3, RNG(0), init=begin, weights=weights)


# kmedoids 0.5.5, fasterpam(D, [0, 1, 2, 3], n_cpu=1): the exchanges of another implementation from the same medoids.
GOLDEN: dict[str, Any] = {"medoids": [15, 94, 110, 144], "loss": 257.33105763826086, "swaps": 30}


def test_the_same_exchanges_as_another_implementation(tutorial150: Any) -> None:
    D = cdist(tutorial150, tutorial150)
    found = fasterpam(D, 4, RNG(0), init=np.arange(4))
    assert sorted(found.medoids.tolist()) == GOLDEN["medoids"]
    assert found.loss == pytest.approx(GOLDEN["loss"], rel=1e-12)
    assert found.swaps == GOLDEN["swaps"]
