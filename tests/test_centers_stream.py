"""Learning on: the same as one row after another by definition, wherever batches end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

import shoal
from naive.stream import macqueen
from shoal.centers import stream_kernels, stream_walks
from shoal.centers.seeding import seed
from shoal.centers.stream import Drift, Stream
from shoal.centers.stream_walks import Dense, Rules
from shoal.errors import InputError
from shoal.runtime.kernel import plain_python


def rows(n, d, k, seed=0, unit=False, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) + 3.0 * rng.normal(size=(k, d))[rng.integers(k, size=n)]
    if unit:
        X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X.astype(dtype)


def started(X, k, **options):
    """A stream at the first k rows, which count nothing."""
    return Stream.resume(X[:k], np.zeros(k), **options)


def in_batches(stream, X, cuts, weights=None):
    for a, b in zip([0, *cuts], [*cuts, X.shape[0]], strict=True):
        stream.learn(X[a:b], None if weights is None else weights[a:b])
    return stream


def same_bits(a, b):
    """All that can be seen is equal; masses are kept in units that may differ by a power of two."""
    assert a.seen == b.seen
    assert np.array_equal(a.centers, b.centers)
    assert np.array_equal(a.mass, b.mass)
    if a.centers is not None:
        for name, value in vars(a.drift()).items():
            assert np.array_equal(value, getattr(b.drift(), name), equal_nan=True), name


HELD = np.array([[np.nan, 0.3, np.nan], [0.2, -0.1, 0.4], [np.nan] * 3, [np.nan, np.nan, -0.2], [np.nan] * 3])
CASES = {
    "plain": {},
    "weighted": {"weighted": True},
    "forgetting": {"half_life": 30.0},
    "forgetting at once": {"half_life": 1.0, "weighted": True},
    "fixed": {"fixed": HELD},
    "cosine": {"metric": "cosine"},
    "cosine, fixed, forgetting": {"metric": "cosine", "fixed": HELD, "half_life": 50.0},
    "rescue": {"reassign": 0.6},
    "rescue, cosine, fixed": {"metric": "cosine", "fixed": HELD, "reassign": 0.6},
    "rescue, forgetting": {"half_life": 40.0, "reassign": 0.7, "weighted": True},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_as_by_definition(case, kind):
    options = dict(CASES[case])
    weighted, fixed = options.pop("weighted", False), options.get("fixed")
    cosine = options.get("metric") == "cosine"
    X = rows(320, 3, 5, unit=cosine)
    weights = np.random.default_rng(1).uniform(0.2, 3.0, len(X)) if weighted else None
    options.setdefault("reassign", 0.0)
    start = X[:5].copy()
    if fixed is not None:
        start = np.where(np.isnan(fixed), start, fixed)
        if cosine:
            free = np.where(np.isnan(fixed), start, 0.0)
            room = np.sqrt(1.0 - (np.nan_to_num(fixed) ** 2).sum(axis=1))
            length = np.maximum(np.linalg.norm(free, axis=1), 1e-300)
            start = np.where(np.isnan(fixed), free * (room / length)[:, None], fixed)
            start[1] /= np.linalg.norm(start[1])
            options["fixed"] = fixed = np.where(np.isnan(fixed), np.nan, start)
    stream = Stream.resume(start, np.zeros(5), sparse=kind == "sparse", **options)
    stream.learn(X if kind == "dense" else sparse.csr_array(X), weights)
    share = options["reassign"]
    centers, mass, _, moves = macqueen(X, start, weights, options.get("half_life"), fixed, cosine, share)
    np.testing.assert_allclose(stream.centers, centers, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(stream.mass, mass, rtol=1e-9, atol=1e-12)
    assert stream.drift().rescued.tolist() == np.flatnonzero(moves).tolist()
    assert ("rescue" in case) == bool(moves.any())
    if fixed is not None:
        assert np.array_equal(stream.centers[~np.isnan(fixed)], start[~np.isnan(fixed)])


@pytest.mark.large
def test_a_centre_is_the_mean_of_the_rows_it_won():
    X = rows(2000, 4, 6, dtype=np.float32)
    stream = started(X, 6, reassign=0.0)
    stream.learn(X)
    winners = np.array(macqueen_winners(X, 6))
    for j in range(6):
        np.testing.assert_allclose(stream.centers[j], X[winners == j].astype(np.float64).mean(axis=0), rtol=1e-11)
    assert stream.mass.tolist() == np.bincount(winners).tolist()
    assert stream.seen == 2000


def macqueen_winners(X, k):
    C, count, winners = X[:k].astype(np.float64), np.zeros(k), []
    for x in X.astype(np.float64):
        j = int(((C - x) ** 2).sum(axis=1).argmin())
        count[j] += 1
        C[j] += (x - C[j]) / count[j]
        winners.append(j)
    return winners


@pytest.mark.large
@given(cuts=st.lists(st.integers(0, 700), max_size=6).map(sorted), case=st.sampled_from(sorted(CASES)),
       kind=st.sampled_from(["dense", "sparse"]), dtype=st.sampled_from([np.float32, np.float64]))
def test_where_batches_end_changes_no_bit(cuts, case, kind, dtype):
    options = {name: value for name, value in CASES[case].items() if name not in ("weighted", "fixed")}
    X = rows(700, 3, 5, unit="metric" in options, dtype=dtype)
    table = X if kind == "dense" else sparse.csr_array(X)
    weights = np.random.default_rng(1).uniform(0.2, 3.0, 700) if "weighted" in CASES[case] else None
    one, many = (Stream(5, np.random.default_rng(3), init_size=200, **options) for _ in range(2))
    same_bits(in_batches(one, table, [], weights), in_batches(many, table, cuts, weights))


@pytest.mark.large
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("half_life", [None, 3000.0])
def test_looking_ahead_changes_no_bit(metric, half_life, monkeypatch):
    X = rows(12_000, 9, 30, unit=metric == "cosine", dtype=np.float32)
    ahead = in_batches(started(X, 17, metric=metric, half_life=half_life), X, [4000])
    looked = []
    original = Dense._look_ahead
    monkeypatch.setattr(Dense, "_look_ahead", lambda self, *args: looked.append(1) or original(self, *args))
    same_bits(in_batches(started(X, 17, metric=metric, half_life=half_life), X, [4000]), ahead)
    assert looked
    monkeypatch.setattr(stream_walks, "LEAST", 10**9)
    monkeypatch.setattr(stream_walks, "BLOCK", 64)
    same_bits(in_batches(started(X, 17, metric=metric, half_life=half_life), X, [7]), ahead)


@pytest.mark.large
@pytest.mark.parametrize("shift", [0.0, 1e8])
@pytest.mark.parametrize("size", [1.0, 1e-30, 1e25])
def test_the_bound_of_the_others_holds(shift, size):
    X = rows(3000, 6, 12, dtype=np.float64) * size + shift * size
    course = started(X, 12)._course
    course.learn(X[:2000], np.empty(0))
    near, second = np.zeros(1000, np.int32), np.full(1000, -1.0)
    course._look_ahead(X[2000:], near, second)
    D = np.sqrt(((X[2000:, None] - course.centers) ** 2).sum(axis=2))
    D[np.arange(1000), near], own = np.inf, D[np.arange(1000), near]
    assert (second <= D.min(axis=1)).all()
    assert (second > own).mean() > 0.9  # and says something


@pytest.mark.large
def test_the_same_on_any_number_of_threads():
    X = rows(20_000, 8, 20, dtype=np.float32)
    found = []
    for threads in (1, 2, 5):
        shoal.set_threads(threads)
        found.append(in_batches(Stream(20, np.random.default_rng(0)), X, [9000]))
    shoal.set_threads(None)
    same_bits(found[0], found[1])
    same_bits(found[0], found[2])


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_plain_python_gives_the_same_bits(kind):
    X = rows(600, 5, 4, dtype=np.float32)
    table = X if kind == "dense" else sparse.csr_array(X * (X > 0.5))

    def run():
        return in_batches(started(X, 4, sparse=kind == "sparse", half_life=100.0, reassign=0.5), table, [300])

    with plain_python(True):
        plain = run()
    same_bits(plain, run())


def test_the_first_rows_are_seeded_and_then_learned_from():
    X = rows(900, 3, 4)
    stream = Stream(4, np.random.default_rng(5), init_size=300, reassign=0.0)
    number = int(np.random.default_rng(5).integers(2**63))
    seeds = seed(X[:300], 4, np.random.default_rng(number)).centers
    stream.learn(X)
    np.testing.assert_allclose(stream.centers, macqueen(X, seeds)[0], rtol=1e-9)


def test_provisional_centres_leave_no_trace():
    X = rows(500, 3, 4)
    looked, not_looked = (Stream(4, np.random.default_rng(5), init_size=300) for _ in range(2))
    assert looked.centers is None
    assert looked.mass is None
    for start in range(0, 500, 20):
        looked.learn(X[start:start + 20])
        assert looked.centers.shape == (4, 3)
        assert looked.mass.sum() == pytest.approx(start + 20)
    not_looked.learn(X)
    same_bits(looked, not_looked)


def test_too_few_distinct_rows_are_waited_for():
    stream = Stream(3, np.random.default_rng(0), init_size=10)
    stream.learn(np.ones((25, 2)))
    assert stream.centers is None
    with pytest.raises(InputError, match="fewer than 3 distinct"):
        stream.drift()
    X = np.concatenate([np.ones((25, 2)), rows(30, 2, 3)])
    stream.learn(X[25:])
    once = Stream(3, np.random.default_rng(0), init_size=10)
    once.learn(X)
    same_bits(stream, once)
    assert stream.centers.shape == (3, 2)


def test_one_row_at_a_time():
    X = rows(120, 3, 4)
    one, many = (Stream(4, np.random.default_rng(0), init_size=50) for _ in range(2))
    many.learn(X)
    for x in X:
        one.learn(x[None])
    same_bits(one, many)
    assert one.seen == 120


@pytest.mark.large
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_a_batch_that_is_cut_off_changes_nothing(kind, monkeypatch):
    X = rows(6000, 4, 5)
    table = X if kind == "dense" else sparse.csr_array(X)
    stream = in_batches(started(X, 5, sparse=kind == "sparse"), table, [])
    before = Stream.from_state(stream.state())
    monkeypatch.setattr(stream_walks, "WORK", 1 << 14)
    course = stream._course
    original, calls = type(course)._walk, []

    def failing(self, *args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        original(self, *args)

    monkeypatch.setattr(type(course), "_walk", failing)
    with pytest.raises(KeyboardInterrupt):
        stream.learn(table)
    same_bits(stream, before)


def test_batches_of_another_width_are_refused():
    stream = Stream(2, np.random.default_rng(0))
    stream.learn(np.zeros((3, 4)))
    with pytest.raises(InputError, match="3 columns; those before had 4"):
        stream.learn(np.zeros((3, 3)))
    stream = started(rows(9, 4, 2), 2)
    with pytest.raises(InputError, match="3 columns; those before had 4"):
        stream.learn(np.zeros((3, 3)))


@pytest.mark.parametrize("options", [{"half_life": 0.5}, {"half_life": np.nan}, {"reassign": 1.0}, {"init_size": 2},
                                     {"init_size": 3.5}])
def test_arguments_are_checked(options):
    with pytest.raises(InputError, match="was given"):
        Stream(3, np.random.default_rng(0), **options)


def test_a_bad_init_is_said_at_once():
    stream = Stream(3, np.random.default_rng(0), init="nearby", init_size=10)
    with pytest.raises(InputError, match="no init 'nearby'"):
        stream.learn(rows(20, 2, 3))


def test_rows_of_weight_zero_are_as_if_not_given():
    X, weights = rows(400, 3, 4), np.ones(400)
    weights[::3] = 0.0
    with_them, without = started(X, 4), started(X, 4)
    with_them.learn(X, weights)
    without.learn(X[weights > 0], np.ones(int(weights.sum())))
    same_bits(with_them, without)


@pytest.mark.parametrize("first", ["dense", "sparse"])
def test_batches_of_both_forms(first):
    X = rows(400, 3, 4)
    both = [X[:200], sparse.csr_array(X[200:])] if first == "dense" else [sparse.csr_array(X[:200]), X[200:]]
    mixed = Stream(4, np.random.default_rng(0), init_size=300)
    for part in both:
        mixed.learn(part)
    alike = Stream(4, np.random.default_rng(0), init_size=300)
    alike.learn(X if first == "dense" else sparse.csr_array(X))
    same_bits(mixed, alike)


def test_input_is_neither_kept_nor_written_to():
    X = rows(400, 3, 4)
    stream, other = (Stream(4, np.random.default_rng(0), init_size=300) for _ in range(2))
    kept = X.copy()
    stream.learn(X[:150])
    assert np.array_equal(X, kept)
    X[:150] = 0.0
    stream.learn(kept[150:])
    other.learn(kept)
    same_bits(stream, other)


@pytest.mark.parametrize("kind", ["dense", "sparse", "waiting"])
def test_a_saved_stream_goes_on_the_same(kind):
    X = rows(800, 3, 4)
    table = sparse.csr_array(X) if kind == "sparse" else X
    stream = Stream(4, np.random.default_rng(0), half_life=200.0, init_size=900 if kind == "waiting" else 100)
    stream.learn(table[:400])
    again = Stream.from_state(stream.state())
    same_bits(stream, again)
    stream.learn(table[400:])
    again.learn(table[400:])
    same_bits(stream, again)


@pytest.mark.large
def test_a_stream_forgets_for_ever_without_overflow():
    X = rows(3000, 2, 3)
    for kind in (False, True):
        stream = started(X, 3, half_life=1.0, sparse=kind, reassign=0.0)
        stream.learn(X if not kind else sparse.csr_array(X))
        assert np.isfinite(stream.centers).all()
        assert stream.mass.sum() == pytest.approx(1.0)  # of 1/2 + 1/4 + …


@pytest.mark.large
def test_a_centre_long_forgotten_stays_where_it_is():
    far = np.array([[50.0, 50.0]])
    X = np.concatenate([rows(30, 2, 1), far, rows(4000, 2, 1)])
    for kind in (False, True):
        stream = Stream.resume(np.concatenate([X[:1], far]), np.zeros(2), half_life=1.0, sparse=kind, reassign=0.0)
        stream.learn(X if not kind else sparse.csr_array(X))
        assert np.array_equal(stream.centers[1], far[0])
        stream.learn(far + 1.0 if not kind else sparse.csr_array(far + 1.0))
        np.testing.assert_allclose(stream.centers[1], far[0] + 1.0, rtol=1e-15)


def test_going_on_from_a_fit():
    X = rows(3000, 3, 3)
    whole = started(X, 3, reassign=0.0)
    whole.learn(X[:2000])
    labels = ((X[:2000, None] - whole.centers) ** 2).sum(axis=2).argmin(axis=1)
    squares = np.bincount(labels, ((X[:2000] - whole.centers[labels]) ** 2).sum(axis=1))
    stream = Stream.resume(whole.centers, whole.mass, squares, reassign=0.0)
    assert stream.drift().rows == 0
    np.testing.assert_allclose(stream.drift().inertia_before, squares.sum() / 2000)
    whole.learn(X[2000:])
    stream.learn(X[2000:])
    np.testing.assert_allclose(stream.centers, whole.centers, rtol=1e-12)
    assert stream.mass.tolist() == whole.mass.tolist()


def drifting():
    rng = np.random.default_rng(0)
    places = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    before, after = rng.choice(4, 4000, p=[0.4, 0.2, 0.2, 0.2]), rng.choice(3, 4000, p=[0.4, 0.5, 0.1])
    moved = places.copy()
    moved[0] -= 3.0
    return places, places[before] + rng.normal(size=(4000, 2)), moved[after] + rng.normal(size=(4000, 2))


@pytest.mark.large
def test_drift_says_what_changed():
    places, first, then = drifting()
    stream = Stream.resume(places, np.zeros(4), half_life=500.0, reassign=0.0)
    stream.learn(first)
    stream.mark()
    assert repr(stream.drift()) == "No rows since the mark."
    stream.learn(then)
    drift = stream.drift()
    assert drift.rows == 4000
    np.testing.assert_allclose(drift.share, [0.4, 0.5, 0.1, 0.0], atol=0.03)
    np.testing.assert_allclose(drift.share_before, [0.4, 0.2, 0.2, 0.2], atol=0.06)
    assert drift.moved.argmax() == 0
    np.testing.assert_allclose(drift.moved[0] * drift.spread[0], np.sqrt(18.0), rtol=0.05)
    assert (drift.grew.tolist(), drift.shrank.tolist(), drift.died.tolist()) == ([1], [3, 2], [3])
    text = repr(drift)
    assert "4,000 rows since the mark" in text
    assert "moved most: cluster 0" in text
    assert "won nothing: 3" in text
    frame = drift.to_frame("polars")
    assert frame.columns == ["cluster", "moved", "spread", "share", "share_before", "rescued"]
    assert frame["share"].to_list() == drift.share.tolist()


@pytest.mark.large
def test_inertia_at_first_and_of_late():
    rng = np.random.default_rng(0)
    stream = Stream.resume(np.zeros((1, 2)), np.array([1e6]), reassign=0.0)
    stream.mark()
    stream.learn(rng.normal(size=(3000, 2)))
    stream.learn(3.0 * rng.normal(size=(8000, 2)))
    drift = stream.drift()
    assert drift.inertia_before == pytest.approx(2.0, rel=0.15)
    assert drift.inertia == pytest.approx(18.0, rel=0.15)


@pytest.mark.large
def test_a_dead_centre_goes_to_where_rows_are_served_worst():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(3000, 2)), rng.normal([30.0, 0.0], size=(3000, 2))])
    rng.shuffle(X)
    stream = Stream.resume(np.array([[0.0, 0.0], [1000.0, 1000.0]]), np.zeros(2), reassign=0.01)
    stream.learn(X)
    assert stream.drift().rescued.tolist() == [1]
    np.testing.assert_allclose(stream.centers[stream.centers[:, 0].argsort()], [[0.0, 0.0], [30.0, 0.0]], atol=0.5)
    assert "moved to where items were served worst: 1" in repr(stream.drift())


def test_a_frozen_centre_is_never_moved():
    X, fixed = rows(2000, 2, 1), np.array([[np.nan, np.nan], [1000.0, 1000.0]])
    stream = Stream.resume(np.array([[0.0, 0.0], [1000.0, 1000.0]]), np.zeros(2), fixed=fixed, reassign=0.5)
    stream.learn(X)
    assert stream.centers[1].tolist() == [1000.0, 1000.0]
    assert len(stream.drift().rescued) == 0


def test_rules_are_numbers_in_the_order_the_walks_read_them():
    rules = Rules(5, "cosine", 2.0, 0.25)
    numbers = rules.numbers()
    assert numbers[stream_kernels.UNIT_LENGTH] == 1.0
    assert numbers[stream_kernels.GROWTH] == pytest.approx(np.sqrt(2.0))
    assert numbers[stream_kernels.SHARE] == 0.25
    assert numbers[stream_kernels.PERIOD] == 50.0
    assert numbers[stream_kernels.SPAN] == rules.span


def test_drift_is_frozen():
    drift = started(rows(9, 2, 2), 2).drift()
    assert isinstance(drift, Drift)
    with pytest.raises(AttributeError):
        drift.rows = 3
