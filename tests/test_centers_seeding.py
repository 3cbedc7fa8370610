"""First centres: against the definition, from the same random numbers and in distribution."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse, stats

import shoal
from naive.seeding import naive_plus_plus
from shoal.centers import seeding_state
from shoal.centers.seeding import Seeds, seed
from shoal.errors import InputError
from shoal.runtime.kernel import plain_python
from shoal.runtime.progress import Ticker

NAN = math.nan
FEW, MANY = 3, 14  # features: below and above the border between the two dense ways


@pytest.fixture(autouse=True, scope="module")
def _features_alone_decide() -> Iterator[None]:
    """Else the few centres of most tests would never be placed by products."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seeding_state, "FEW_CENTRES", 0)
        yield


def rng(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


def clumps(n: int, d: int, clusters: int, number: int = 0, dtype: Any = np.float64) -> Any:
    r = rng(number)
    X = r.normal(scale=5.0, size=(clusters, d))[r.integers(clusters, size=n)] + r.normal(size=(n, d))
    return np.ascontiguousarray(X, dtype)


def unit(X: Any) -> Any:
    return (X / np.linalg.norm(np.asarray(X, np.float64), axis=1, keepdims=True)).astype(X.dtype)


def sparse_rows(n: int, d: int, density: float, number: int = 0) -> Any:
    X = sparse.random_array((n, d), density=density, rng=rng(number), format="csr")
    X.sum_duplicates()
    return X


def same(a: Seeds, b: Seeds) -> bool:
    return all(x is y is None or np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def certify(found: Seeds, X: Any, metric: str = "euclidean") -> None:
    """Labels are the nearest centres, squares the distances, centres the rows they are said to be."""
    dense = np.asarray(X.toarray() if sparse.issparse(X) else X, np.float64)
    table = ((dense[:, None] - found.centers.astype(np.float64)[None]) ** 2).sum(axis=2)
    table = table / 2.0 if metric == "cosine" else table
    assert found.labels is not None
    assert found.squares is not None
    own = table[np.arange(len(dense)), found.labels]
    slack = 1e-12 * max(1.0, table.max())
    assert np.all(own <= table.min(axis=1) + slack)
    np.testing.assert_allclose(found.squares, own, rtol=1e-12, atol=slack)
    rows = found.indices >= 0
    assert np.array_equal(found.centers[rows], dense[found.indices[rows]].astype(X.dtype))
    assert np.all(found.squares[found.indices[rows]] == 0.0)
    assert found.labels.dtype == np.int32


# --------------------------------------------------------------------------------- the definition, same random numbers


@given(n=st.integers(4, 60), d=st.sampled_from([1, FEW, MANY]), k=st.integers(1, 6), number=st.integers(0, 99),
       weighted=st.booleans(), single=st.booleans(), trials=st.sampled_from([None, 1, 4]))
def test_the_definition(n: int, d: int, k: int, number: int, weighted: bool, single: bool, trials: int | None) -> None:
    k = min(n, k)
    X = clumps(n, d, 3, number, np.float32 if single else np.float64)
    weights = rng(number).integers(1, 4, n).astype(np.float64) if weighted else None
    found = seed(X, k, rng(number), weights=weights, trials=trials)
    centers, indices, naive = naive_plus_plus(X.tolist(), k, rng(number), trials or 2 + int(math.log(k)), weights,
                                              batch=seeding_state.BATCH if d == MANY else 1)
    assert found.indices.tolist() == indices
    assert found.centers.tolist() == centers
    assert found.squares is not None
    assert found.squares.tolist() == naive.squares
    assert found.labels is not None
    assert found.labels.tolist() == naive.labels


@pytest.mark.parametrize("weighted", [False, True])
def test_the_definition_with_points_laid_out_by_centre(weighted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 8 points, laid out anew after 2, 6 and 18 centres: bounds leave tiles out, the result stays."""
    for name, value in (("WIDTH", {"tiles": 8, "products": 8}), ("FIRST_ORDER", 2), ("ORDER_AGAIN", 3), ("TILES_EACH", 1)):
        monkeypatch.setattr(seeding_state, name, value)
    X = clumps(160, FEW, 12)
    weights = rng(1).integers(1, 4, 160).astype(np.float64) if weighted else None
    scale = 2.0 ** -math.frexp(np.abs(X).max())[1]
    left_out = []
    measured = seeding_state._Tiles._in_reach

    def watched(self: Any, C: Any) -> Any:
        tiles, gap = measured(self, C)
        left_out.append(len(self.order) - len(tiles))
        return tiles, gap

    monkeypatch.setattr(seeding_state._Tiles, "_in_reach", watched)
    found = seed(X, 40, rng(5), weights=weights)
    _, indices, naive = naive_plus_plus(X.tolist(), 40, rng(5), 5, weights, sorted_at=(2, 6, 18), scale=scale)
    assert found.indices.tolist() == indices
    assert found.squares is not None
    assert found.squares.tolist() == naive.squares
    assert sum(left_out) > 10 * len(left_out)


@pytest.mark.parametrize("postings", [7, 1 << 22])
def test_the_definition_on_sparse_rows(postings: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeding_state, "POSTINGS", postings)
    X = sparse_rows(50, 30, 0.2)
    found = seed(X, 6, rng(3))
    _, indices, naive = naive_plus_plus(X.toarray().tolist(), 6, rng(3), 3)
    assert found.indices.tolist() == indices
    np.testing.assert_allclose(found.squares, naive.squares, rtol=1e-12, atol=1e-14)
    certify(found, X)


@pytest.mark.parametrize("form", ["few", "many", "sparse"])
def test_gains_are_what_a_candidate_takes_off_the_potential(form: str) -> None:
    """Also where clusters are tiny beside their distances, and float32 products cannot see into them."""
    d = FEW if form == "few" else MANY
    X = (clumps(300, d, 4) - clumps(300, d, 4).round(-1) * 0.999).astype(np.float32)
    X[:150] += 1000.0
    data = sparse.csr_array(X) if form == "sparse" else X
    state, weights = seeding_state.state_of(data, None, 8), np.ones(300)
    D = np.full(300, np.inf)
    for number, i in enumerate([0, 299]):
        state.offer([state.row(i)])
        state.take(0, number)
        D = np.minimum(D, ((X.astype(np.float64) - X[i].astype(np.float64)) ** 2).sum(axis=1))
    rows = [5, 77, 160, 250]
    state.offer([state.row(i) for i in rows])
    exact = [(weights * np.maximum(D - ((X.astype(np.float64) - X[i].astype(np.float64)) ** 2).sum(axis=1), 0)).sum()
             for i in rows]
    np.testing.assert_allclose(state.gains(np.arange(4)) / state.scale**2, exact, rtol=1e-5)


def test_all_ways_to_measure_give_the_same_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no candidates are drawn ahead, the random numbers are used alike."""
    monkeypatch.setattr(seeding_state, "BATCH", 1)
    X = clumps(500, MANY, 9)
    by_products, by_postings = seed(X, 12, rng(2)), seed(sparse.csr_array(X), 12, rng(2))
    monkeypatch.setattr(seeding_state, "FEW_FEATURES", MANY)
    by_tiles = seed(X, 12, rng(2))
    assert same(by_products, by_tiles)
    assert np.array_equal(by_products.indices, by_postings.indices)


# ------------------------------------------------------------------------------------------------------ the distribution


def chances(X: Any, weights: Any, k: int, trials: int) -> dict[tuple[int, ...], float]:
    """The probability of every sequence of rows, from the definition."""
    n = len(X)
    square = ((X[:, None] - X[None]) ** 2).sum(axis=2)
    found = {(i,): weights[i] / weights.sum() for i in range(n)}
    for _ in range(k - 1):
        longer: Counter[tuple[int, ...]] = Counter()
        for rows, p in found.items():
            D = square[list(rows)].min(axis=0)
            q = weights * D / (weights * D).sum()
            left = [(weights * np.minimum(D, square[i])).sum() for i in range(n)]
            for drawn in itertools.product(np.flatnonzero(q), repeat=trials):
                best = min(drawn, key=lambda i: left[i])
                longer[(*rows, int(best))] += p * math.prod(q[i] for i in drawn)
        found = dict(longer)
    return found


@pytest.mark.parametrize(("d", "k", "trials", "runs"), [(1, 3, 1, 2000), (1, 3, 2, 2000), (MANY, 4, 1, 1000)])
def test_the_distribution(d: int, k: int, trials: int, runs: int) -> None:
    """With many features the fourth centre comes from draws made for the third, of which some are refused."""
    X = np.zeros((5, d))
    X[:, 0] = [0.0, 1.0, 1.5, 4.0, 9.0]
    X[:, -1] += [0.0, 0.0, 2.0, 0.0, 1.0]
    weights = np.array([1.0, 2.0, 1.0, 3.0, 1.0])
    expected, r = chances(X, weights, k, trials), rng(8)
    with plain_python(True):
        seen = Counter(tuple(seed(X, k, r, weights=weights, trials=trials).indices.tolist()) for _ in range(runs))
    assert set(seen) <= set(expected)
    common = [rows for rows, p in expected.items() if p * runs >= 5]
    table = np.array([[seen[rows], runs * expected[rows]] for rows in common])
    table = np.vstack([table, [runs - table[:, 0].sum(), runs - table[:, 1].sum()]])
    assert stats.chisquare(*table[table[:, 1] > 1e-6].T, sum_check=False).pvalue > 0.01


# scikit-learn 1.9.1, kmeans_plusplus(X, 12, random_state=0 … 199): mean potential, its standard error
GOLDEN = {FEW: (4489.87, 29.35), MANY: (24498.90, 83.49)}


@pytest.mark.large
@pytest.mark.parametrize("d", [FEW, MANY])
def test_as_good_as_scikit_learn(d: int) -> None:
    X = clumps(1000, d, 10, number=4)
    potentials = [np.sum(seed(X, 12, rng(i)).squares) for i in range(100)]  # type: ignore[arg-type]
    mean, error = GOLDEN[d]
    assert abs(np.mean(potentials) - mean) < 3 * math.hypot(error, np.std(potentials) / 10)


# ------------------------------------------------------------------------------------------------------ what comes back


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("d", [FEW, MANY])
def test_labels_and_squares(d: int, metric: str, dtype: Any) -> None:
    X = clumps(3000, d, 20, dtype=dtype)
    X = unit(X) if metric == "cosine" else X
    X.flags.writeable = False
    certify(seed(X, 25, rng(), metric=metric), X, metric)


def test_which_way_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeding_state, "FEW_CENTRES", 1024)
    ways = {(12, 9999): False, (16, 64): False, (16, 65): True, (300, 3): False, (300, 4): True}
    assert {key: seeding_state.multiplies(np.zeros((1, key[0])), key[1]) for key in ways} == ways
    assert not seeding_state.multiplies(sparse.csr_array((1, 300)), 100)


def test_labels_and_squares_of_sparse_rows() -> None:
    X = sparse_rows(400, 60, 0.1)
    X = X[np.diff(X.indptr) > 0]
    X.data /= np.repeat(np.sqrt(np.add.reduceat(X.data**2, X.indptr[:-1])), np.diff(X.indptr))
    certify(seed(X, 9, rng(), metric="cosine"), X, "cosine")


@pytest.mark.large
@pytest.mark.parametrize("form", ["few", "many", "sparse"])
def test_same_bits_on_any_number_of_threads(form: str) -> None:
    X = sparse_rows(30_000, 40, 0.1) if form == "sparse" else clumps(60_000, FEW if form == "few" else MANY, 30)
    found = []
    for threads in (1, 2, 5):
        shoal.set_threads(threads)
        found.append([seed(X, 40, rng(1)), seed(X, 12, rng(1), init="k-means||")])
    shoal.set_threads(None)
    assert all(same(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("form", ["few", "many", "sparse"])
def test_same_bits_as_plain_python(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeding_state, "FIRST_ORDER", 2)
    monkeypatch.setattr(seeding_state, "WIDTH", {"tiles": 16, "products": 16})
    X = sparse_rows(150, 40, 0.1) if form == "sparse" else clumps(300, FEW if form == "few" else MANY, 9, dtype=np.float32)
    compiled = seed(X, 20, rng(2))
    with plain_python(True):
        assert same(compiled, seed(X, 20, rng(2)))


@pytest.mark.parametrize("d", [FEW, MANY])
@pytest.mark.parametrize("power", [-900, 400])
def test_the_scale_of_the_data_does_not_matter(d: int, power: int) -> None:
    X = clumps(400, d, 9)
    a, b = seed(X, 12, rng(6)), seed(X * 2.0**power, 12, rng(6))
    assert np.array_equal(a.indices, b.indices)
    assert np.array_equal(a.labels, b.labels)


@pytest.mark.parametrize("d", [FEW, MANY])
def test_an_offset_does_not_matter(d: int) -> None:
    X = np.round(clumps(400, d, 9) * 8)
    a, b = seed(X, 12, rng(6)), seed(X + 2.0**40, 12, rng(6))
    assert np.array_equal(a.indices, b.indices)
    assert np.array_equal(a.squares, b.squares)


def test_rows_of_weight_zero_are_never_drawn() -> None:
    X = clumps(200, FEW, 5)
    weights = (np.arange(200) % 4 == 0) * 1.0
    for init in ("k-means++", "k-means||", "random"):
        assert np.all(seed(X, 30, rng(), init=init, weights=weights).indices % 4 == 0)


# -------------------------------------------------------------------------------------------------- fixed coordinates


@pytest.mark.parametrize("d", [FEW, MANY])
def test_fixed_coordinates_by_the_definition(d: int) -> None:
    X = clumps(80, d, 5)
    fixed = np.full((6, d), NAN)
    fixed[4] = X[3] + 0.5
    fixed[1, 0], fixed[5, 1:] = 2.0, -1.0
    found = seed(X, 6, rng(7), fixed=fixed)
    centers, indices, naive = naive_plus_plus(X.tolist(), 6, rng(7), 3, fixed=fixed,
                                              batch=seeding_state.BATCH if d == MANY else 1)
    assert found.centers.tolist() == centers
    assert found.indices.tolist() == indices
    assert found.labels is not None
    assert found.labels.tolist() == naive.labels
    assert (found.indices >= 0).tolist() == [True, False, True, True, False, False]
    assert np.array_equal(found.centers[~np.isnan(fixed)], fixed[~np.isnan(fixed)])


@pytest.mark.parametrize("init", ["k-means++", "k-means||", "random"])
@pytest.mark.parametrize("form", ["few", "many", "sparse"])
def test_fixed_coordinates_stay_under_cosine(form: str, init: str) -> None:
    X = unit(np.abs(clumps(200, FEW if form == "few" else MANY, 6)))
    data = sparse.csr_array(X) if form == "sparse" else X
    fixed = np.full((5, X.shape[1]), NAN)
    fixed[0], fixed[3, 1] = X[9], 0.6
    found = seed(data, 5, rng(), init=init, metric="cosine", fixed=fixed)
    assert np.array_equal(found.centers[~np.isnan(fixed)], fixed[~np.isnan(fixed)])
    np.testing.assert_allclose(np.linalg.norm(found.centers, axis=1), 1.0, rtol=1e-12)
    if init == "k-means++":
        certify(found, data, "cosine")


def test_all_centres_fixed() -> None:
    X = clumps(50, FEW, 3)
    found = seed(X, 3, rng(), fixed=X[[4, 7, 9]] + 0.25)
    certify(found, X)
    assert found.indices.tolist() == [-1, -1, -1]
    assert np.array_equal(seed(X, 3, rng(), init="k-means||", fixed=X[[4, 7, 9]]).centers, X[[4, 7, 9]])


# ------------------------------------------------------------------------------------------------------- the other ways


@pytest.mark.parametrize("init", ["k-means||", "random"])
@pytest.mark.parametrize("form", ["few", "many", "sparse"])
def test_rows_that_are_drawn_are_distinct(form: str, init: str) -> None:
    X = np.round(clumps(300, FEW if form == "few" else MANY, 4) / 8)
    X = np.vstack([X, X])
    k = min(20, len(np.unique(X, axis=0)))
    data = sparse.csr_array(X) if form == "sparse" else X
    found = seed(data, k, rng(), init=init)
    assert len(np.unique(found.centers, axis=0)) == k
    assert np.array_equal(found.centers, X[found.indices])
    assert found.labels is found.squares is None


@pytest.mark.large
def test_parallel_rounds_are_as_good_as_the_sequential_draws() -> None:
    X = clumps(2000, FEW, 10, number=4)

    def potential(init: str, i: int) -> float:
        C = seed(X, 10, rng(i), init=init).centers
        return float(((X[:, None] - C[None]) ** 2).sum(axis=2).min(axis=1).sum())

    sums = {init: np.mean([potential(init, i) for i in range(20)]) for init in ("k-means||", "k-means++", "random")}
    assert sums["k-means||"] < 1.1 * sums["k-means++"]
    assert sums["random"] > 1.3 * sums["k-means++"]


def test_random_rows_by_weight() -> None:
    X, weights = np.arange(4.0)[:, None], np.array([1.0, 2.0, 3.0, 4.0])
    r = rng(3)
    seen = Counter(tuple(seed(X, 2, r, init="random", weights=weights).indices.tolist()) for _ in range(3000))
    expected = {(i, j): weights[i] / 10 * weights[j] / (10 - weights[i]) for i in range(4) for j in range(4) if i != j}
    assert stats.chisquare([seen[p] for p in expected], [3000 * p for p in expected.values()]).pvalue > 0.01


def test_given_centres() -> None:
    X = clumps(50, FEW, 3, dtype=np.float32)
    C = [[0, 1, 2], [3, 4, 5]]
    fixed = np.full((2, 3), NAN)
    fixed[1, 1] = 9.0
    found = seed(X, 2, rng(), init=C, fixed=fixed)
    assert found.centers.tolist() == [[0, 1, 2], [3, 9, 5]]
    assert found.centers.dtype == np.float32
    assert found.indices.tolist() == [-1, -1]
    called = seed(X, 2, rng(5), init=lambda X, k, rng: X[rng.choice(len(X), k, replace=False)])
    assert np.array_equal(called.centers, X[rng(5).choice(50, 2, replace=False)])
    turned = seed(unit(X), 2, rng(), init=C, metric="cosine").centers
    np.testing.assert_allclose(turned, unit(np.array(C, np.float32)), rtol=1e-6)


# --------------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("init", ["k-means++", "k-means||", "random"])
@pytest.mark.parametrize("form", ["few", "many", "sparse"])
def test_fewer_distinct_rows_than_centres(form: str, init: str) -> None:
    X = np.zeros((40, FEW if form == "few" else MANY))
    X[10:, 0], X[30:, 1], X[5, 2] = 1.0, 0.1, -0.0
    data = sparse.csr_array(X) if form == "sparse" else X
    assert len(seed(data, 3, rng(), init=init).centers) == 3
    with pytest.raises(InputError, match="Only 3 distinct rows can be drawn, for 4"):
        seed(data, 4, rng(), init=init)
    with pytest.raises(InputError, match="Only 1 distinct rows can be drawn, for 2"):
        seed(data, 2, rng(), init=init, weights=np.r_[np.ones(10), np.zeros(30)])


@pytest.mark.parametrize(("arguments", "said"), [
    ({"k": 0}, "0 centres"), ({"k": 51}, "of 50 rows"), ({"k": 2.0}, "whole number"), ({"init": "k-means+++"}, "no init"),
    ({"trials": 0}, "trials=0"), ({"metric": "cityblock"}, "cityblock"), ({"weights": np.zeros(50)}, "all 0"),
    ({"fixed": np.zeros((2, 2))}, r"shape \(2, 2\)"), ({"fixed": np.full((3, 3), np.inf)}, "infinity"),
    ({"fixed": np.zeros((3, 3))}, "Only 1 of the 3"), ({"init": np.ones((3, 3))}, "Only 1 of the 3"),
    ({"init": np.ones((2, 3))}, r"shape \(2, 3\)"), ({"init": np.full((3, 3), NAN)}, "not finite"),
    ({"init": [["a"]]}, "no table of numbers"), ({"init": np.zeros((3, 3)), "metric": "cosine"}, "no direction"),
])
def test_what_is_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        seed(clumps(50, FEW, 3), **{"k": 3, "rng": rng(), **arguments})


def test_fixed_centres_that_leave_nothing_to_draw() -> None:
    X = np.repeat(np.eye(3)[:2], 5, axis=0)
    fixed = np.full((3, 3), NAN)
    fixed[:2] = np.eye(3)[:2]
    for init in ("k-means++", "k-means||", "random"):
        with pytest.raises(InputError, match="Only 2 of 3 centres can be placed"):
            seed(X, 3, rng(), init=init, fixed=fixed)


def test_progress_is_told_and_can_cancel() -> None:
    told: list[float] = []
    ticker = Ticker(lambda fraction, _: told.append(fraction))
    seed(clumps(50, FEW, 3), 7, rng(), ticker=ticker)
    assert ticker.done == 7
    assert told[-1] == 1.0
    with pytest.raises(KeyboardInterrupt):
        seed(clumps(50, FEW, 3), 7, rng(), ticker=Ticker(lambda *_: False))
