"""Distances and similarities: every form of the same pairs gives the same condensed vector; anything else is refused."""

import math
import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.spatial.distance import pdist, squareform

from shoal.data import pairs as pairs_module
from shoal.data.carriers import distances, similarities
from shoal.data.pairs import n_of_condensed, pair_at, pair_count, pairs_at
from shoal.data.rules import RULES
from shoal.errors import InputError

V = np.array([1.0, 4.0, 2.0, 3.0, 5.0, 0.5])  # 4 items
D = squareform(V)
NAMES = ["a", "b", "c", "d"]
ROWS, COLS = np.triu_indices(4, 1)


def long_table(v=V, order=slice(None)):
    return {"i": [NAMES[k] for k in ROWS[order]], "j": [NAMES[k] for k in COLS[order]], "value": v[order].tolist()}


def forms():
    lower_nan = np.where(np.tri(4, dtype=bool), D, np.nan)
    labelled = {"item": NAMES} | {name: D[:, k] for k, name in enumerate(NAMES)}
    return {
        "square": D, "square list": D.tolist(), "F-order": np.asfortranarray(D), "int": D * 2, "float32": np.float32(D),
        "big-endian": D.astype(">f8"), "strided": np.repeat(np.repeat(D, 2, 0), 2, 1)[::2, ::2],
        "lower zeros": np.tril(D), "upper zeros": np.triu(D), "lower NaN": lower_nan, "upper NaN": lower_nan.T,
        "upper NaN with diagonal": np.where(np.tri(4, k=-1, dtype=bool), np.nan, D),
        "condensed": V, "condensed list": V.tolist(), "condensed int": (V * 2).astype(int),
        "pandas with index": pd.DataFrame(D, index=NAMES, columns=NAMES),
        "pandas without names": pd.DataFrame(D), "pandas with id column": pd.DataFrame(labelled),
        "polars with id column": pl.DataFrame(labelled), "polars with names": pl.DataFrame(dict(zip(NAMES, D, strict=True))),
        "pandas series": pd.Series(V), "long": pd.DataFrame(long_table()),
        "long with directions mixed": pd.DataFrame(long_table()).rename(columns={"i": "j", "j": "i"}),
        "long both ways": pd.concat([pd.DataFrame(long_table()), pd.DataFrame(long_table()).rename(
            columns={"i": "j", "j": "i"})[["i", "j", "value"]]]),
        "long list": list(zip(*long_table().values(), strict=True)),
        "structured": np.array([(NAMES[i], NAMES[j], v) for i, j, v in zip(ROWS, COLS, V, strict=True)],
                               dtype=[("i", "U1"), ("j", "U1"), ("value", float)]),
        "sparse full": sparse.csr_array(D), "sparse upper": sparse.coo_array((V, (ROWS, COLS)), shape=(4, 4)),
        "sparse lower": sparse.csc_matrix(np.tril(D)), "sparse lil": sparse.lil_array(D), "sparse dok": sparse.dok_array(D),
    }


@pytest.mark.parametrize("form", forms())
def test_every_form_holds_the_same_pairs(form):
    data = forms()[form]
    before = data.copy() if isinstance(data, np.ndarray) else None
    carrier = distances(data)
    found = carrier.condensed()
    factor = 2.0 if "int" in form and "lil" not in form else 1.0
    np.testing.assert_array_equal(found, factor * V)
    assert found.dtype == carrier.dtype == (np.float32 if form == "float32" else np.float64)
    assert found.flags.writeable
    assert found.base is None
    assert carrier.n == len(carrier) == 4
    if before is not None:
        np.testing.assert_array_equal(data, before)
    named = any(word in form for word in ("with", "long", "structured")) and form != "pandas without names" and (
        "diagonal" not in form)
    assert carrier.ids == (tuple(NAMES) if named else None)
    again = similarities(data, lambda s: s).condensed()
    np.testing.assert_array_equal(again, found)


def test_memory_is_kept_by_reference():
    for data in (D.copy(), V.copy(), 1 - np.eye(4, dtype=int)):
        carrier = distances(data)
        assert np.shares_memory(carrier.pairs.values, data)
        assert not carrier.pairs.values.flags.writeable
        assert data.flags.writeable
        assert not np.shares_memory(carrier.condensed(), data)


def test_at_most_one_condensed_vector_beyond_the_callers_matrix():
    n = 1500
    square = squareform(pdist(np.random.default_rng(0).normal(size=(n, 3))))
    for data, extra in ((square, 60e6), (np.tril(square), 60e6), (square.astype(np.float32), 60e6)):
        tracemalloc.start()
        carrier = distances(data)
        checked = tracemalloc.get_traced_memory()[1]
        out = carrier.condensed()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert checked < 70e6, "the checks work in blocks of 8 MB"
        assert peak < out.nbytes + extra


def test_small_blocks_give_the_same(monkeypatch):
    rng = np.random.default_rng(1)
    v = rng.random(pair_count(13))
    square = squareform(v)
    monkeypatch.setattr("shoal.data.checks.BLOCK", 30)
    monkeypatch.setattr(pairs_module, "CHUNK", 7)
    for data in (square, np.tril(square), np.triu(square), v, sparse.csr_array(square)):
        np.testing.assert_array_equal(distances(data).condensed(), v)
    directed = square + np.triu(rng.random((13, 13)), 1)
    for mode, combine in (("min", np.minimum), ("max", np.maximum), ("mean", lambda a, b: (a + b) / 2)):
        expected = combine(directed, directed.T)[np.triu_indices(13, 1)]
        np.testing.assert_allclose(distances(directed, symmetrize=mode).condensed(), expected, rtol=1e-15)
    thin = sparse.coo_array((v[::3], (np.triu_indices(13, 1)[0][::3], np.triu_indices(13, 1)[1][::3])), shape=(13, 13))
    dense = np.zeros_like(v)
    dense[::3] = v[::3]
    np.testing.assert_array_equal(similarities(thin, "1-s").condensed(), 1 - dense)
    with pytest.raises(InputError, match="row 11, column 12"):
        distances(np.where(np.arange(len(v)) == len(v) - 1, np.nan, v))


# ---- refusals ----

def change(i, j, value, mirror=True):
    changed = D.copy()
    changed[i, j] = value
    if mirror:
        changed[j, i] = value
    return changed


@pytest.mark.parametrize(("data", "words"), [
    (change(1, 3, np.nan), r"item 1 .*item 3 .*row 1, column 3.*missing.*6 pairs, 1 have"),
    (change(3, 1, np.nan, mirror=False), r"row 1, column 3.*missing"),
    (change(1, 3, np.nan, mirror=False), r"row 1, column 3.*missing"),
    (change(0, 2, np.inf), r"row 0, column 2.*infinite"),
    (change(2, 0, -np.inf, mirror=False), r"row 0, column 2.*infinite"),
    (change(0, 2, -1.0), r"item 0 .*item 2 .* -1\.0.*similarities"),
    (change(1, 2, 7.0, mirror=False), r"from item 1 .*to item 2 .* 7\.0, but the one back is 3\.0.*symmetrize"),
    (change(2, 2, 1.0), r"diagonal is not constant.*item 2 .*1"),
    (D[:3], r"shape \(3, 4\)"),
    (np.zeros((0, 0)), r"shape \(0, 0\)"),
    (np.zeros((2, 2, 2)), "shape"),
    (V[:5], "5 values fits no number of items: 3 items have 3 pairs and 4 items have 6"),
    ([], "[Ee]mpty"),
    (D.astype(str), "text"),
    (D.astype(complex), "complex"),
    (np.ma.MaskedArray(D, mask=D == 4), "masked"),
    ([[0, 1], [1]], "Row 1"),
    (pd.DataFrame(D, index=NAMES, columns=["a", "c", "b", "d"]), "row 1 .*'b', column 1 is 'c'"),
    (pd.DataFrame({"p": ["x", "y"], "q": ["x", "y"], "r": [0, 1], "s": [1, 0]}), "'p' .*not numeric"),
    (sparse.coo_array((V[:4], (ROWS[:4], COLS[:4])), shape=(4, 4)),
     "2 of 6 pairs have no distance, first .*item 1 .*item 3"),
    (pd.DataFrame(long_table(order=[0, 2, 3, 4, 5])), "1 of 6 pairs have no distance.*'a' and 'c'"),
    (pd.DataFrame({"i": ["a", "b"], "j": ["b", "a"], "value": [1.0, 2.0]}),
     "both directions.*1.0 and 2.0.*symmetrize"),
    (pd.DataFrame({"i": ["a", "a"], "j": ["b", "b"], "value": [1.0, 2.0]}), "given twice: as 1.0 and 2.0"),
    (pd.DataFrame({"i": ["a", None], "j": ["b", "b"], "value": [1.0, 2.0]}), "Pair 1 .*no item"),
    (pd.DataFrame({"i": ["a"], "j": ["b"], "value": [np.nan]}), "'a' and 'b'.*missing"),
])
def test_what_is_not_a_set_of_distances_is_refused(data, words):
    with pytest.raises(InputError, match=words):
        distances(data)


def test_ids_are_named_in_errors():
    with pytest.raises(InputError, match="'b' and 'd'"):
        distances(change(1, 3, np.nan), ids=NAMES)
    with pytest.raises(InputError, match="from 'b' to 'c'"):
        distances(change(1, 2, 7.0, mirror=False), ids=NAMES)
    with pytest.raises(InputError, match="3 ids were given for 4 items"):
        distances(V, ids=NAMES[:3])
    with pytest.raises(InputError, match="symmetrize='median'"):
        distances(D, symmetrize="median")


def test_nan_in_one_half_is_no_triangle_when_the_other_half_lacks_it_too():
    both = np.where(np.tri(4, dtype=bool), np.nan, np.nan)
    with pytest.raises(InputError, match="missing"):
        distances(both)
    holes = np.where(np.tri(4, dtype=bool), D, np.nan)
    holes[3, 1] = np.nan
    with pytest.raises(InputError, match="row 1, column 3"):
        distances(holes)


@pytest.mark.parametrize(("dtype", "noise"), [(np.float64, 1e-9), (np.float32, 1e-6)])
def test_rounding_is_averaged_and_said(dtype, noise):
    data = change(1, 2, 3.0 + noise, mirror=False).astype(dtype)
    carrier = distances(data)
    assert carrier.condensed()[3] == dtype((float(data[1, 2]) + float(data[2, 1])) / 2)
    assert "mean" in carrier.messages[0]
    assert distances(data.astype(np.float64) + 0).condensed()[0] == 1.0 if dtype == np.float64 else True


def test_tiny_negatives_count_as_zero_and_are_said():
    carrier = distances(change(1, 2, -1e-16))
    assert carrier.condensed()[3] == 0
    assert any("count as 0" in m for m in carrier.messages)


def test_a_constant_diagonal_is_ignored_and_said():
    carrier = distances(D + 0.5 * np.eye(4))
    np.testing.assert_array_equal(carrier.condensed(), V)
    assert any("0.5" in m for m in carrier.messages)
    assert distances(D).messages == ()
    missing = D.copy()
    np.fill_diagonal(missing, np.nan)
    np.testing.assert_array_equal(distances(missing).condensed(), V)


def test_symmetrize_says_both_halves_hold_values():
    directed = np.array([[0, 2.0, 0], [4, 0, 6], [2, 2, 0]])
    for mode, expected in (("mean", [3, 1, 4]), ("min", [2, 0, 2]), ("max", [4, 2, 6])):
        np.testing.assert_array_equal(distances(directed, symmetrize=mode).condensed(), expected)
        edges = sparse.csr_array(np.array([[0, 2.0, 2], [4, 0, 6], [2, 2, 0]]))
        assert distances(edges, symmetrize=mode).condensed()[0] == expected[0]


def test_one_and_two_items():
    assert distances([[0.0]]).condensed().shape == (0,)
    np.testing.assert_array_equal(distances([[0.0, 3], [3, 0]]).condensed(), [3])
    np.testing.assert_array_equal(distances([3.0]).condensed(), [3])
    np.testing.assert_array_equal(distances([[0.0, 3], [0, 0]]).condensed(), [3])


def test_sparse_duplicates_are_summed_and_zeros_kept():
    data = sparse.coo_array(([1.0, 1.0, 0.0, 3.0], ([0, 0, 0, 1], [1, 1, 2, 2])), shape=(3, 3))
    np.testing.assert_array_equal(distances(data).condensed(), [2, 0, 3])
    assert data.nnz == 4


def test_ids_choose_the_order_of_a_long_table():
    backwards = distances(pd.DataFrame(long_table()), ids=NAMES[::-1])
    np.testing.assert_array_equal(squareform(backwards.condensed()), D[::-1, ::-1])
    with pytest.raises(InputError, match="'d'"):
        distances(pd.DataFrame(long_table()), ids=NAMES[:3])


def test_int_ids_in_a_long_table_and_a_square_of_three():
    table = pd.DataFrame({"i": [10, 10, 20], "j": [20, 30, 30], "value": [1.0, 2.0, 3.0]})
    assert distances(table).ids == ("10", "20", "30")
    np.testing.assert_array_equal(distances(table).condensed(), [1, 2, 3])
    square = pd.DataFrame([[0, 1, 2], [1, 0, 3], [2, 3, 0]])
    np.testing.assert_array_equal(distances(square).condensed(), [1, 2, 3])
    two = pd.DataFrame({"id": [1, 2], "1": [0, 5], "2": [5, 0]})
    np.testing.assert_array_equal(distances(two).condensed(), [5])


def test_labelled_numbers_as_ids():
    frame = pd.DataFrame({"id": [1, 2, 3, 4]} | {str(k + 1): D[:, k] for k in range(4)})
    assert distances(frame).ids == ("1", "2", "3", "4")
    assert distances(frame, ids="id").ids == ("1", "2", "3", "4")


@given(st.integers(2, 200), st.data())
def test_positions_and_pairs_agree(n, data):
    position = data.draw(st.integers(0, pair_count(n) - 1))
    i, j = pair_at(position, n)
    assert 0 <= i < j < n
    assert i * (2 * n - i - 1) // 2 + j - i - 1 == position
    assert [int(k[0]) for k in pairs_at(np.array([position]), n)] == [i, j]
    assert n_of_condensed(pair_count(n)) == n


def test_index_arithmetic_holds_beyond_32_bits():
    n = 10**6
    last = pair_count(n) - 1
    assert pair_at(last, n) == (n - 2, n - 1)
    assert [int(k[0]) for k in pairs_at(np.array([last]), n)] == [n - 2, n - 1]
    assert n_of_condensed(pair_count(65_536)) == 65_536
    assert pair_at(65_535, 65_536) == (1, 2)


# ---- similarities ----

S = np.array([[1, 0.9, 0.25], [0.9, 1, 0.5], [0.25, 0.5, 1]])
s = np.array([0.9, 0.25, 0.5])


@pytest.mark.parametrize(("rule", "expected"), [
    ("1-s", [0.1, 0.75, 0.5]), ("max-s", [0, 0.65, 0.4]), ("sqrt(2-2s)", [math.sqrt(0.2), math.sqrt(1.5), 1]),
    ("arccos(s)/pi", [math.acos(0.9) / math.pi, math.acos(0.25) / math.pi, 1 / 3]), ("1/s-1", [1 / 9, 3, 1]),
    ("-log s", [-math.log(0.9), math.log(4), math.log(2)]), (lambda v: 2 - v, [1.1, 1.75, 1.5])])
def test_rules(rule, expected):
    for form in (S, s, np.tril(S), sparse.csr_array(S), pd.DataFrame(S, index=list("abc"), columns=list("abc"))):
        carrier = similarities(form, rule)
        np.testing.assert_allclose(carrier.condensed(), expected, rtol=1e-14, atol=1e-15)
        assert carrier.rule is rule
    single = similarities(S.astype(np.float32), rule).condensed()
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("data", "rule"), [
    (S, "1-s"), (-s, "1-s"), ([1 + 1e-10, 0.2, 0.3], "1-s"), ([1.1, 0.2, 0.3], "max-s"), ([3.0, 7, 5], "max-s"),
    ([0.1, -1.5, 0.3], "max-s"), (S * 0.5, "1-s"), (S - np.diag([0.1, 0, 0]), "max-s")])
def test_the_default_rule_is_chosen_by_the_values_and_said(data, rule):
    carrier = similarities(data)
    assert carrier.rule == rule
    assert any(repr(rule) in m for m in carrier.messages)
    assert carrier.condensed().min() >= 0
    assert carrier.describe()["rule"] == rule


@pytest.mark.parametrize(("data", "rule", "words"), [
    ([0.5, 0.0, 0.3], "-log s", r"above 0 up to 1.*item 0 .*item 2 .*is 0\. .*'1-s'"),
    ([0.5, 0.0, 0.3], "1/s-1", "above 0"),
    ([0.5, -0.1, 0.3], "1/s-1", "-0.1"),
    ([0.5, 0.2, 1.5], "-log s", "1.5.*fit: 'max-s'"),
    ([0.5, 0.2, 1.5], "1-s", "at most 1"),
    ([0.5, 0.2, 1.5], "sqrt(2-2s)", "item 1 .*item 2 .*1.5"),
    ([0.5, -2, 0.5], "arccos(s)/pi", "from -1 up to 1.*-2"),
    ([0.5, np.nan, 0.5], None, "missing"),
    ([0.5, 0.1, 0.5], "1+s", "not a rule"),
    (S, lambda v: -v, None), (S, lambda v: v[:1], None), (S, lambda v: v * np.nan, None), (S, lambda v: "x", None)])
def test_rules_refuse_what_they_are_not_defined_for(data, rule, words):
    with pytest.raises(InputError, match=words or "The rule"):
        similarities(data, rule).condensed()


@pytest.mark.parametrize("rule", RULES)
def test_rounding_past_the_end_is_the_end(rule):
    close = np.array([1 + 1e-12, 0.5, 1.0])
    found = similarities(close, rule).condensed()
    assert found[0] == 0
    assert not np.signbit(found).any()
    assert similarities(np.float32([1 + 1e-7, 0.5, 1]), rule).condensed()[0] == 0


def test_a_rule_cannot_change_the_callers_data():
    def rude(v):
        v[:] = 0
        return v

    data = s.copy()
    similarities(data, rude).condensed()
    np.testing.assert_array_equal(data, s)


def test_missing_pairs_are_similarity_zero():
    table = pl.DataFrame({"i": ["a", "b"], "j": ["b", "c"], "value": [0.9, 0.4]})
    carrier = similarities(table)
    assert carrier.ids == ("a", "b", "c")
    np.testing.assert_allclose(carrier.condensed(), [0.1, 1.0, 0.6])
    assert any("similarity 0" in m for m in carrier.messages)
    with pytest.raises(InputError, match="-log s"):
        similarities(table, "-log s")
    near = sparse.coo_array(([0.5], ([0], [2])), shape=(3, 3))
    np.testing.assert_array_equal(similarities(near).condensed(), [1, 0.5, 1])
    np.testing.assert_array_equal(similarities(sparse.csr_array((3, 3))).condensed(), [1, 1, 1])


def test_weights_and_ids_of_pairs():
    carrier = similarities(S, ids=list("abc"), weights=[1, 2, 3])
    assert carrier.weights.tolist() == [1, 2, 3]
    assert carrier.describe() == {"carrier": "similarities", "n": 3, "dtype": "float64", "has_ids": True,
                                  "weighted": True, "rule": "1-s", "top": 0.9}


def test_the_ticker_hears_of_progress_and_cancels():
    from shoal.runtime.progress import Ticker

    told = []
    distances(D).condensed(Ticker(lambda fraction, message: told.append(fraction)))
    assert told[-1] == 1.0
    with pytest.raises(KeyboardInterrupt):
        distances(D).condensed(Ticker(lambda fraction, message: False))
