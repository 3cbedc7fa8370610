"""Distances between items of any kind: the known ones against naive twins, a caller's own, what is refused, new items."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
from shoal.data import pairwise
from shoal.data.metrics import Metric
from shoal.data.rows import rows_of, rows_of_new
from shoal.errors import InputError, TooLargeError
from shoal.runtime import memory
from shoal.runtime.kernel import _jit_is_off, plain_python

compiled_only = pytest.mark.skipif(_jit_is_off(), reason="Numba functions are plain ones here")
words = st.lists(st.text(alphabet="abé漢😀", max_size=150), min_size=2, max_size=5)


def naive_levenshtein(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[:], i
        for j, y in enumerate(b, 1):
            row[j] = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
    return row[-1]


def naive_dtw(a: Any, b: Any, window: int | None = None) -> float:
    n, m = len(a), len(b)
    reach = max(n, m) if window is None else max(window, abs(n - m))
    D = {(-1, -1): 0.0}
    for i in range(n):
        for j in range(max(0, i - reach), min(m, i + reach + 1)):
            before = min(D.get(place, math.inf) for place in ((i - 1, j - 1), (i - 1, j), (i, j - 1)))
            D[i, j] = before + float(((np.asarray(a[i]) - np.asarray(b[j])) ** 2).sum())
    return math.sqrt(D[n - 1, m - 1])


def all_pairs(items: Any, distance: Callable[..., float], **params: Any) -> list[float]:
    return [distance(items[i], items[j], **params) for i in range(len(items)) for j in range(i + 1, len(items))]


def random_words(n: int, longest: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("abcd"), rng.integers(0, longest + 1))) for _ in range(n)]


def random_series(n: int, longest: int = 12, channels: int | None = None) -> list[Any]:
    rng = np.random.default_rng(n)
    tail = () if channels is None else (channels,)
    return [rng.normal(size=(rng.integers(1, longest + 1), *tail)) for _ in range(n)]


# ------------------------------------------------------------------------------------------------------ known by name


@given(words)
def test_levenshtein_is_the_naive_twins(items: list[str]) -> None:
    assert shoal.distances(items, pairwise="levenshtein").condensed().tolist() == all_pairs(items, naive_levenshtein)


@pytest.mark.parametrize("longest", [3, 63, 64, 65, 130])
def test_levenshtein_of_any_length(longest: int) -> None:
    items = [*random_words(8, longest), "a" * longest, "b" * longest, ""]
    assert shoal.distances(items, pairwise="levenshtein").condensed().tolist() == all_pairs(items, naive_levenshtein)


@pytest.mark.parametrize(("a", "b", "edits"), [("kitten", "sitting", 3), ("Saturday", "Sunday", 3), ("", "abc", 3),
                                               ("", "", 0), ("flaw", "lawn", 2), ("intention", "execution", 5),
                                               ("\ud800x", "x", 1)])
def test_levenshtein_from_the_textbooks(a: str, b: str, edits: int) -> None:
    assert shoal.distances([a, b], pairwise="Levenshtein").condensed().tolist() == [edits]


@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("window", [None, 0, 2, 50])
def test_dtw_is_the_naive_twins(window: int | None, channels: int | None) -> None:
    items = random_series(9, channels=channels)
    found = shoal.distances(items, pairwise="dtw", window=window).condensed()
    np.testing.assert_allclose(found, all_pairs(items, naive_dtw, window=window), rtol=1e-12)


def test_dtw_is_what_others_call_it() -> None:
    """Golden values of dtaidistance 2.5.1, whose window counts the diagonal: dtw.distance(a, b, window=w + 1)."""
    a = [5.0, 9, 4, 0, 1, 0, 0, 2, 0, 1, 0, 0]
    b = [0.0, 1, 0, 0, 5, 9, 4, 0, 0, 2, 0, 1]
    golden = {None: 9.695359714832659, 0: 14.966629547095765, 1: 14.142135623730951, 2: 13.379088160259652,
              3: 12.288205727444508, 4: 9.695359714832659}
    for window, expected in golden.items():
        assert shoal.distances([a, b], pairwise="dtw", window=window).condensed().tolist() == [expected]


def test_a_warp_costs_nothing_and_a_narrow_window_is_euclidean() -> None:
    x = np.random.default_rng(0).normal(size=20)
    assert shoal.distances([x, np.repeat(x, 2)], pairwise="dtw").condensed().tolist() == [0.0]
    y = x[::-1]
    found = shoal.distances([x, y], pairwise="dtw", window=0).condensed()
    np.testing.assert_allclose(found, [np.linalg.norm(x - y)], rtol=1e-15)


@pytest.mark.parametrize(("name", "items"), [("levenshtein", random_words(20, 80)), ("dtw", random_series(20))])
def test_the_same_bits_whatever_the_threads_and_blocks(monkeypatch: pytest.MonkeyPatch, name: str, items: Any) -> None:
    found = []
    try:
        for threads, steps in ((1, 1 << 23), (2, 1), (5, 2000)):
            shoal.set_threads(threads)
            monkeypatch.setattr(pairwise, "STEPS", steps)
            found.append(shoal.distances(items, pairwise=name).condensed().tobytes())
    finally:
        shoal.set_threads(None)
    with plain_python(True):
        found.append(shoal.distances(items, pairwise=name).condensed().tobytes())
    assert len(set(found)) == 1


def test_the_known_ones_are_the_same_both_ways_to_the_bit() -> None:
    for name, items in (("levenshtein", random_words(12, 70)), ("dtw", random_series(12))):
        there = shoal.distances(items, pairwise=name)
        back = shoal.distances(items[::-1], pairwise=name)
        assert (rows_of(there)(np.arange(12)) == rows_of(back)(np.arange(12))[::-1, ::-1]).all()


# ------------------------------------------------------------------------------------------------ a function of the caller


def test_a_python_function_gets_the_items_themselves_once_a_pair_in_this_thread() -> None:
    items, calls = [object() for _ in range(20)], []
    place = {id(item): i for i, item in enumerate(items)}

    def distance(a: object, b: object, step: float) -> float:
        calls.append((place[id(a)], place[id(b)], threading.get_ident()))
        return step * abs(place[id(a)] - place[id(b)])

    shoal.set_threads(4)
    try:
        found = shoal.distances(items, pairwise=distance, step=0.5)
    finally:
        shoal.set_threads(None)
    assert found.condensed().tolist() == [0.5 * (j - i) for i in range(20) for j in range(i + 1, 20)]
    assert [pair[:2] for pair in calls[-190:]] == [(i, j) for i in range(20) for j in range(i + 1, 20)]
    assert len(calls) <= 190 + 3 * pairwise.SAMPLE
    assert {thread for _, _, thread in calls} == {threading.get_ident()}
    assert found.describe()["pairwise_params"] == {"step": 0.5}


def ragged(a: Any, b: Any, power: float = 1.0, shift: float = 0.0) -> float:
    m = min(a.shape[0], b.shape[0])
    total = float(abs(a.shape[0] - b.shape[0]))
    for t in range(m):
        total += abs(a[t] - b[t]) ** power + shift
    return total


@compiled_only
def test_a_numba_function_runs_compiled_over_arrays() -> None:
    import numba

    items, params = random_series(30), {"shift": 0.0, "power": 2.0}
    compiled = numba.njit(ragged)
    assert pairwise.resolve_pairwise(compiled, params)._ready(items).compiled
    found = shoal.distances(items, pairwise=compiled, **params).condensed()
    np.testing.assert_allclose(found, all_pairs(items, ragged, **params), rtol=1e-14)


@compiled_only
def test_a_numba_function_of_tables_and_of_integers() -> None:
    import numba

    @numba.njit
    def of_means(a: Any, b: Any) -> float:
        return abs(a.sum() / a.size - b.sum() / b.size)

    for items in (random_series(8, channels=2), [np.arange(k + 1) for k in range(5)], np.eye(4)):
        assert pairwise.resolve_pairwise(of_means, {})._ready(items).compiled
        expected = [abs(a - b) for i, a in enumerate(map(np.mean, items)) for b in list(map(np.mean, items))[i + 1:]]
        np.testing.assert_allclose(shoal.distances(items, pairwise=of_means).condensed(), expected, atol=1e-15)


@compiled_only
def test_a_numba_function_of_anything_else_is_called_from_python() -> None:
    import numba

    @numba.njit
    def by_length(a: Any, b: Any) -> int:
        return abs(len(a) - len(b))

    items = ["a", "bcd", "ef"]
    assert not pairwise.resolve_pairwise(by_length, {})._ready(items).compiled
    assert shoal.distances(items, pairwise=by_length).condensed().tolist() == [2.0, 1.0, 1.0]

    @numba.njit
    def by_name(a: Any, b: Any) -> float:
        return abs(a.size - b.size)

    with pytest.raises(InputError, match=r"'by_name' does not take these parameters.*'q'"):
        shoal.distances(random_series(3), pairwise=by_name, q=1)


@compiled_only
def test_a_numba_function_as_metric_of_points_runs_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba
    from scipy.spatial.distance import pdist

    @numba.njit
    def canberra_like(x: Any, y: Any) -> float:
        total = 0.0
        for k in range(x.shape[0]):
            total += abs(x[k] - y[k])
        return total

    def in_python(self: Any, x: Any, others: Any) -> Any:
        raise AssertionError("called from Python")

    monkeypatch.setattr(Metric, "_call", in_python)
    X = np.random.default_rng(0).normal(size=(320, 5))
    np.testing.assert_allclose(shoal.points(X, canberra_like).condensed(), pdist(X, "cityblock"), rtol=1e-13)


# --------------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0])
def test_a_value_that_is_no_distance_names_the_pair(bad: float) -> None:
    def distance(a: int, b: int) -> float:
        return bad if {a, b} == {38, 3} else float(a != b)

    with pytest.raises(InputError, match=f"'distance' of 'i3' and 'i38' is {bad!r}"):
        shoal.distances(range(40), pairwise=distance, ids=[f"i{k}" for k in range(40)])
    with pytest.raises(InputError, match=f"of item 3 and item 38 is {bad!r}"):
        shoal.distances(range(40), pairwise=distance)


@compiled_only
def test_so_does_a_compiled_one() -> None:
    import numba

    @numba.njit
    def first(a: Any, b: Any) -> float:
        return abs(a[0] - b[0])

    items = [np.array([float(k)]) for k in range(40)]
    items[17][0] = math.nan
    with pytest.raises(InputError, match="item 17 is nan"):
        shoal.distances(items, pairwise=first)


@pytest.mark.parametrize("given", ["a text", "3", None, [1, 2]])
def test_a_value_that_is_no_number(given: Any) -> None:
    with pytest.raises(InputError, match="no number"):
        shoal.distances(["a", "b"], pairwise=lambda a, b: given)


def test_a_function_that_is_not_the_same_both_ways() -> None:
    with pytest.raises(InputError, match=r"is 1.0 from 'x' to 'yy' and 2.0 the other way.*mean of the two"):
        shoal.distances(["a", "bb"], pairwise=lambda a, b: float(len(a)), ids=["x", "yy"])


def test_a_similarity_is_no_distance() -> None:
    with pytest.raises(InputError, match=r"of item 0 to itself is 1.0, not 0.*1 - s"):
        shoal.distances(["ab", "bc"], pairwise=lambda a, b: len(set(a) & set(b)) / len(set(a) | set(b)))


@pytest.mark.parametrize(("items", "kind"), [("text", "str"), (b"text", "bytes"), ({"a": 1}, "dict"), (7, "int")])
def test_items_are_a_sequence(items: Any, kind: str) -> None:
    with pytest.raises(InputError, match=f"this is a {kind}"):
        shoal.distances(items, pairwise="levenshtein")


def test_a_frame_is_no_sequence_of_items_but_its_column_is() -> None:
    import pandas as pd

    frame = pd.DataFrame({"word": ["kitten", "sitting"]})
    with pytest.raises(InputError, match="one column"):
        shoal.distances(frame, pairwise="levenshtein")
    assert shoal.distances(frame["word"], pairwise="levenshtein").condensed().tolist() == [3.0]


@pytest.mark.parametrize(("items", "name", "params", "message"), [
    (["a", 3], "levenshtein", {}, "Item 1 .* is a int"), ([], "levenshtein", {}, "no items"),
    (["a", "b"], "dtw", {}, "takes series of numbers"), ([[1.0], [[1.0]]], "dtw", {}, "takes series of numbers"),
    ([[[1.0]], [[1.0, 2.0]]], "dtw", {}, "as many channels"), ([[1.0], []], "dtw", {}, "Item 1 .* is an empty series"),
    ([[1.0], [2.0]], "dtw", {"window": -1}, "at least 0"), ([[1.0], [2.0]], "dtw", {"window": 1.5}, "whole number"),
    ([[1.0], [2.0]], "dtw", {"windows": 1}, "no parameter 'windows'.*window"),
    (["a", "b"], "levenshtein", {"window": 1}, "no parameter 'window'.*none"),
    (["a", "b"], "jaro", {}, "no distance 'jaro'.*'dtw', 'levenshtein'"), ([[1.0], [2.0]], 3, {}, "no distance 3")])
def test_what_the_known_ones_do_not_take(items: Any, name: Any, params: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        shoal.distances(items, pairwise=name, **params)


def test_arguments_that_do_not_go_together() -> None:
    with pytest.raises(InputError, match="symmetrize"):
        shoal.distances(["a", "b"], pairwise="levenshtein", symmetrize="mean")
    with pytest.raises(InputError, match="'window' was given without pairwise"):
        shoal.distances([[0, 1], [1, 0]], window=3)
    with pytest.raises(InputError, match="to more than one item: 'x'"):
        shoal.distances(["a", "b"], pairwise="levenshtein", ids=["x", "x"])
    with pytest.raises(InputError, match="1 ids were given for 2 items"):
        shoal.distances(["a", "b"], pairwise="levenshtein", ids=["x"])
    with pytest.raises(InputError, match="carrier"):
        shoal.distances(shoal.distances(["a", "b"], pairwise="levenshtein"), pairwise="levenshtein")


def test_memory_is_known_before_the_function_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(a: Any, b: Any) -> float:
        raise AssertionError

    monkeypatch.setattr(memory, "available_bytes", lambda: 10**9)
    with pytest.raises(TooLargeError, match=r"The distances of 65,536 items needs? 17\.2 GB"):
        shoal.distances(range(65_536), pairwise=never)


def test_an_interrupt_comes_through() -> None:
    calls = []

    def distance(a: int, b: int) -> float:
        calls.append(a)
        if len(calls) == 200:
            raise KeyboardInterrupt
        return float(abs(a - b))

    with pytest.raises(KeyboardInterrupt):
        shoal.distances(range(40), pairwise=distance)
    assert len(calls) == 200


@pytest.mark.parametrize("kind", ["python", "known"])
def test_progress_is_told_and_may_cancel(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    from shoal.runtime import progress as progress_module

    monkeypatch.setattr(progress_module, "EVERY_S", 0.0)
    monkeypatch.setattr(pairwise, "STEPS", 1)
    given = "levenshtein" if kind == "known" else naive_levenshtein
    told: list[float] = []
    items = random_words(12, 5)
    shoal.distances(items, pairwise=given, progress=lambda fraction, message: told.append(fraction))
    assert told == sorted(told)
    assert told[-1] == 1.0
    with pytest.raises(KeyboardInterrupt):
        shoal.distances(items, pairwise=given, progress=lambda fraction, message: False)


# ----------------------------------------------------------------------------------------------------- trees and new items


def test_a_tree_of_strings_places_new_ones() -> None:
    items = ["kitten", "mitten", "bitten", "sunday", "monday", "sundae"]
    tree = shoal.linkage(shoal.distances(items, pairwise="levenshtein", ids=items), "average")
    clusters = tree.cut(k=2)
    assert set(map(frozenset, clusters.members().values())) == {frozenset(items[:3]), frozenset(items[3:])}
    found = clusters.predict(["written", "holiday"], ids=["w", "h"])
    assert found.ids == ("w", "h")
    assert found.labels.tolist() == [clusters.labels[0], clusters.labels[3]]
    expected = [np.mean([naive_levenshtein("written", old) for old in items[:3]]),
                np.mean([naive_levenshtein("holiday", old) for old in items[3:]])]
    np.testing.assert_allclose(found.distance, expected)
    assert clusters.predict(["sunday"]).ids == ("0",)
    with pytest.raises(InputError, match="this is a str"):
        clusters.predict("written")
    assert clusters.silhouette().mean > 0.3
    assert tree.suggest_cuts().best is not None


@pytest.mark.parametrize("kind", ["dtw", "python", "numba"])
def test_new_items_are_measured_like_the_old(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    from shoal.data import rows

    monkeypatch.setattr(rows, "BLOCK", 22)
    given: Any = {"dtw": "dtw", "python": naive_dtw}.get(kind)
    if kind == "numba":
        import numba

        given = numba.njit(ragged)
    items = random_series(11)
    old, new = items[:7], items[7:]
    carrier = shoal.distances(old, pairwise=given)
    names, blocks = rows_of_new(carrier, new)
    parts = list(blocks)
    assert [len(part) for part in parts] == [3, 1]
    expected = [[(ragged if kind == "numba" else naive_dtw)(a, b) for b in old] for a in new]
    np.testing.assert_allclose(np.concatenate(parts), expected, rtol=1e-12)
    assert names == ("0", "1", "2", "3")
    labels = shoal.linkage(carrier, "single").cut(k=3)
    assert (labels.predict(old).labels == labels.labels).all()


def test_new_items_that_have_no_distance() -> None:
    carrier = shoal.distances([1.0, 2.0], pairwise=lambda a, b: abs(a - b), ids=["one", "two"])
    with pytest.raises(InputError, match="of new item 1 and 'one' is nan"):
        list(rows_of_new(carrier, [3.0, math.nan])[1])
    with pytest.raises(InputError, match="2 ids were given for 1 items"):
        rows_of_new(carrier, [3.0], ids=["a", "b"])


def test_the_carrier_is_one_of_distances() -> None:
    items = random_words(9, 6)
    carrier = shoal.distances(items, pairwise="levenshtein", weights=range(1, 10))
    assert isinstance(carrier, shoal.data.carriers.Distances)
    assert repr(carrier) == "Items(n=9, dtype='float64', weighted=True, pairwise='levenshtein')"
    assert (carrier.items, carrier.n, len(carrier)) == (tuple(items), 9, 9)
    first = carrier.condensed()
    first[:] = -1
    assert (carrier.condensed() >= 0).all()
    named = carrier.with_items(ids=list("abcdefghi"))
    assert named.ids == tuple("abcdefghi")
    tree = shoal.linkage(named, "complete")
    assert tree.with_data(named).data.items == tuple(items)
    assert tree.source["carrier"] == "distances"


def test_a_saved_tree_keeps_neither_items_nor_function(tmp_path: Any) -> None:
    tree = shoal.linkage(shoal.distances(random_words(5, 6), pairwise=naive_levenshtein), "single")
    tree.save(tmp_path / "tree.shoal")
    again = shoal.load(tmp_path / "tree.shoal")
    assert again.data is None
    assert again.source["pairwise"] == "naive_levenshtein"
    with pytest.raises(InputError, match="with_data"):
        again.cut(k=2).predict(["abc"])


def test_one_item_and_two() -> None:
    one = shoal.distances(["a"], pairwise="levenshtein")
    assert (one.n, shoal.linkage(one, "single").n) == (1, 1)
    assert shoal.linkage(one, "single").cut(k=1).predict(["abc"]).labels.tolist() == [0]
    assert shoal.distances(["a", "bc"], pairwise=lambda a, b: a != b).condensed().tolist() == [1.0]


def test_the_items_stay_as_they_are() -> None:
    items = random_series(6)
    before = [item.copy() for item in items]
    for item in items:
        item.setflags(write=False)
    shoal.distances(items, pairwise="dtw")
    assert all((a == b).all() for a, b in zip(items, before, strict=True))


@pytest.mark.parametrize("method", ["average", "weighted", "complete", "single"])
def test_correlation_in_every_engine_that_takes_it(method: str) -> None:
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import pdist

    from shoal.trees import linkage as engines

    X = np.random.default_rng(0).normal(size=(600, 6))
    carrier = shoal.points(X, "correlation")
    expected = linkage(pdist(X, "correlation"), method)[:, 2]
    work = engines.Work.of(carrier, method)
    able = [engine.name for engine in engines.ENGINES if engine.takes(work)]
    assert "stored" in able
    assert ("blocked" in able) == (method in ("average", "weighted"))
    for name in able:
        np.testing.assert_allclose(shoal.linkage(carrier, method, engine=name).merges.height, expected, rtol=1e-10)
    assert shoal.plan(600, 6, method, metric="correlation").engine in able
