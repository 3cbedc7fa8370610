"""Points: every form of input is read exactly, refused clearly, and never written to."""

import hashlib
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from shoal.data.carriers import Points, as_carrier, distances, points
from shoal.data.checks import read_ids
from shoal.errors import InputError

X = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 10.0], [0.5, 0.0, -1.0]])


def digest(a):
    return hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest()


def arrays():
    f_order = np.asfortranarray(X)
    wide = np.zeros((8, 6))
    wide[::2, ::2] = X
    back = X[::-1].copy()
    frozen = X.copy()
    frozen.setflags(write=False)
    return {
        "plain": X.copy(), "F-order": f_order, "strided": wide[::2, ::2], "negative stride": back[::-1],
        "read-only": frozen, "matrix subclass": X.copy().view(np.matrix), "masked without gaps": np.ma.MaskedArray(X.copy()),
        "big-endian": X.astype(">f8"), "little-endian": X.astype("<f8"),
    }


@pytest.mark.parametrize("form", arrays())
def test_arrays_of_every_layout_are_read_alike_and_left_alone(form):
    data = arrays()[form]
    before = digest(data)
    carrier = points(data, scale="standard")
    read = points(data)
    read.condensed()
    np.testing.assert_array_equal(read.X, X)
    assert read.X.flags.c_contiguous
    assert read.X.dtype.isnative
    assert not read.X.flags.writeable
    assert type(read.X) is np.ndarray
    assert carrier.X.std() > 0
    assert digest(data) == before


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_contiguous_floats_are_kept_where_they_are(dtype):
    data = X.astype(dtype)
    carrier = points(data)
    assert np.shares_memory(carrier.X, data)
    assert carrier.dtype == dtype
    assert data.flags.writeable, "the caller's own array stays writable"


def test_a_memmap_is_not_copied(tmp_path):
    data = np.memmap(tmp_path / "x", np.float64, "w+", shape=X.shape)
    data[:] = X
    assert np.shares_memory(points(data).X, data)
    readonly = np.memmap(tmp_path / "x", np.float64, "r", shape=X.shape)
    np.testing.assert_array_equal(points(readonly).X, X)


@pytest.mark.parametrize(("dtype", "becomes"), [
    ("int8", "float64"), ("uint8", "float64"), ("int64", "float64"), ("uint64", "float64"), ("bool", "float64"),
    ("float16", "float32"), ("float32", "float32"), (">f4", "float32"), (">i2", "float64")])
def test_types_are_widened_once(dtype, becomes):
    data = np.array([[1, 0], [0, 1], [1, 1]]).astype(dtype)
    carrier = points(data)
    assert carrier.dtype == becomes
    np.testing.assert_array_equal(carrier.X, [[1, 0], [0, 1], [1, 1]])


def test_whole_numbers_beyond_float64_are_reported():
    assert any("2^53" in m for m in points(np.array([[2**53 + 1], [0]])).messages)
    assert points(np.array([[2**53], [-2**53]])).messages == ()


@pytest.mark.parametrize(("data", "words"), [
    (X.astype(complex), "complex"),
    (X.astype(str), "text"),
    (X.astype(object), "Python objects"),
    (np.array([[1, "a"], [2, 3]], dtype=object), r"\(0, 1\).*'a'"),
    ([[1.0, None], [2.0, 3.0]], r"\(0, 1\).*'None'"),
    (np.array([["2020-01-01"]], "datetime64[D]"), "dates"),
    (np.array([[1]], "timedelta64[s]"), "durations"),
    (X.astype(np.longdouble), "float128|longdouble|float96"),
    (np.zeros((0, 3)), "0 rows"),
    (np.zeros((3, 0)), "0 columns"),
    ([], "0 rows|0 columns"),
    (np.zeros((2, 2, 2)), "3 dimensions"),
    (np.float64(3.0), "0 dimensions"),
    ([[1, 2], [3, 4], [5]], "Row 2 .*1 values; row 0 has 2"),
    (np.ma.MaskedArray(X, mask=X == 5), r"masked.*\(1, 1\)"),
    ({"a": [1, 2]}, "dict"),
    ((x for x in [1, 2]), "generator"),
    ("songs.csv", "text|dimensions"),
    (None, "NoneType"),
])
def test_what_is_not_a_table_of_real_numbers_is_refused(data, words):
    with pytest.raises(InputError, match=words):
        points(data)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_missing_and_infinite_values_are_named(bad, dtype):
    data = X.astype(dtype)
    data[2, 1] = data[3, 0] = bad
    with pytest.raises(InputError, match=r"row 2, column 1 \(counted from 0\).*2 values"):
        points(data)
    with pytest.raises(InputError, match="row 'c', column 'q'"):
        points(data, ids=list("abcd"), columns=["p", "q", "r"])
    with pytest.raises(InputError, match="row 2, column 1"):
        points(sparse.csr_array(data))


def test_huge_and_tiny_values_are_read():
    np.testing.assert_array_equal(points([[1e300, 1e-300], [1e-320, -1e308]]).X, [[1e300, 1e-300], [1e-320, -1e308]])


def test_lists_rows_and_single_features():
    np.testing.assert_array_equal(points(X.tolist()).X, X)
    np.testing.assert_array_equal(points([np.array(row) for row in X]).X, X)
    one = points(X[:, 0])
    assert one.X.shape == (4, 1)
    assert "one feature" in one.messages[0]
    np.testing.assert_array_equal(points(pd.Series([1.5, 2], name="length")).X, [[1.5], [2]])
    assert points(pl.Series("length", [1.5, 2])).columns == ("length",)


def test_objects_with_dlpack_alone_are_read():
    class Foreign:
        def __init__(self, a):
            self.a = a

        def __dlpack__(self, **options):
            return self.a.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.a.__dlpack_device__()

    np.testing.assert_array_equal(points(Foreign(X.copy())).X, X)


def test_list_of_dicts_is_a_sparse_table():
    carrier = points([{"b": 1, "a": 2.0}, {}, {"c": True}])
    assert carrier.columns == ("b", "a", "c")
    np.testing.assert_array_equal(carrier.X.toarray(), [[1, 2, 0], [0, 0, 0], [0, 0, 1]])
    assert any("0" in m for m in carrier.messages)
    with pytest.raises(InputError, match=r"'b' of row 1 .*'x'"):
        points([{"b": 1}, {"b": "x"}])
    with pytest.raises(InputError, match=r"Row 1 .* no dict"):
        points([{"b": 1}, 3])


# ---- sparse ----

def messy(kind):
    """The same 3 x 4 matrix: duplicates, explicit zeros and unsorted indices."""
    row, col = np.array([2, 0, 0, 1, 2]), np.array([3, 2, 2, 0, 1])
    return sparse.coo_array((np.array([1.0, 2.0, 3.0, 0.0, -1.0]), (row.astype(kind), col.astype(kind))), shape=(3, 4))


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("form", ["coo", "csr", "csc", "lil", "dok", "dia", "bsr"])
def test_sparse_of_every_format_becomes_a_canonical_copy(form, index):
    data = messy(index).asformat(form)
    before = data.toarray().copy()
    stored = data.nnz
    carrier = points(data)
    assert isinstance(carrier.X, sparse.csr_array)
    assert carrier.X.has_canonical_format
    assert (carrier.X.data != 0).all()
    np.testing.assert_array_equal(carrier.X.toarray(), [[0, 0, 5, 0], [0, 0, 0, 0], [0, -1, 0, 1]])
    np.testing.assert_array_equal(data.toarray(), before)
    assert data.nnz == stored, "the caller's matrix still stores what it stored"


def test_old_sparse_matrices_and_types():
    assert points(sparse.csr_matrix(X.astype(np.float32))).dtype == np.float32
    assert points(sparse.csr_matrix(X.astype(np.int16))).dtype == np.float64
    assert points(sparse.csr_matrix(X > 1)).dtype == np.float64
    with pytest.raises(InputError, match="complex"):
        points(sparse.csr_matrix(X.astype(complex)))


def test_unsorted_csr_is_not_sorted_in_place():
    data = sparse.csr_array((np.array([1.0, 2.0]), np.array([2, 0]), np.array([0, 2])), shape=(1, 3))
    points(data)
    assert data.indices.tolist() == [2, 0]


# ---- frames ----

FRAME = {"name": ["a", "b", "c"], "x": [1.0, 2.0, 3.0], "flag": [True, False, True], "n": [1, 2, 3]}


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table, lambda d: pl.DataFrame(d).lazy()],
                         ids=["pandas", "polars", "pyarrow", "lazy"])
def test_frames_of_every_library(make):
    carrier = points(make(FRAME), ids="name")
    assert carrier.columns == ("x", "flag", "n")
    assert carrier.ids == ("a", "b", "c")
    np.testing.assert_array_equal(carrier.X, [[1, 1, 1], [2, 0, 2], [3, 1, 3]])
    loose = points(make(FRAME))
    assert loose.ids is None
    assert any("'name'" in m and "not numeric" in m for m in loose.messages)
    assert points(make(FRAME), columns=["n"]).columns == ("n",)
    with pytest.raises(InputError, match=r"'name' is not numeric"):
        points(make(FRAME), columns=["name"])
    with pytest.raises(InputError, match=r"no column 'z'.*'x'"):
        points(make(FRAME), columns=["z"])


@pytest.mark.parametrize("make", [
    lambda: pd.DataFrame({"x": [1.0, None]}), lambda: pd.DataFrame({"x": pd.array([1, None], "Int64")}),
    lambda: pl.DataFrame({"x": [1, None]}), lambda: pa.table({"x": [1, None]}),
    lambda: pl.DataFrame({"x": [True, None]}), lambda: pa.table({"x": pa.chunked_array([[1], [None]])})])
def test_nulls_in_frames_are_missing(make):
    with pytest.raises(InputError, match=r"row 1, column 'x'.*missing"):
        points(make())


def test_frame_types():
    frame = pd.DataFrame({"x": np.float32([1, 2]), "when": pd.to_datetime(["2020", "2021"]), "z": [1j, 2j]})
    carrier = points(frame)
    assert carrier.dtype == np.float32
    assert any("'when'" in m and "'z'" in m for m in carrier.messages)
    assert points(pd.DataFrame({"x": np.float16([1, 2])})).dtype == np.float32
    nested = pl.DataFrame({"x": [1, 2], "deep": [[1], [2]]})
    assert any("'deep'" in m for m in points(nested).messages)
    chunked = pa.table({"x": pa.chunked_array([[1.0], [2.0, 3.0]])})
    np.testing.assert_array_equal(points(chunked).X.ravel(), [1, 2, 3])
    assert points(pl.DataFrame({"x": [1, 2]}).select(pl.col("x").cast(pl.Decimal(10, 2)))).X.tolist() == [[1], [2]]


def test_frames_are_left_alone():
    frame = pd.DataFrame(X.copy(), columns=list("pqr"))
    before = frame.copy()
    points(frame, scale="minmax").condensed()
    pd.testing.assert_frame_equal(frame, before)


def test_pandas_index_becomes_ids():
    assert points(pd.DataFrame({"x": [1.0, 2]}, index=["a", "b"])).ids == ("a", "b")
    assert points(pd.DataFrame({"x": [1.0, 2]}, index=[7, 3])).ids == ("7", "3")
    assert points(pd.DataFrame({"x": [1.0, 2]})).ids is None
    levels = pd.MultiIndex.from_tuples([("a", 1), ("a", 2)])
    assert points(pd.DataFrame({"x": [1.0, 2]}, index=levels)).ids == ("a|1", "a|2")
    assert points(pd.DataFrame({"x": [1.0, 2]}, index=["a", "b"]), ids=["p", "q"]).ids == ("p", "q")
    with pytest.raises(InputError, match="'a'"):
        points(pd.DataFrame({"x": [1.0, 2]}, index=["a", "a"]))


def test_frames_that_cannot_be_used():
    with pytest.raises(InputError, match=r"0 numeric columns.*'name'"):
        points(pd.DataFrame({"name": ["a"]}))
    with pytest.raises(InputError, match="0 rows"):
        points(pd.DataFrame({"x": np.zeros(0)}))
    for frame in (pd.DataFrame(X, columns=["a", "a", "b"]), pa.table([[1], [2]], names=["a", "a"])):
        with pytest.raises(InputError, match="differ"):
            points(frame)


def test_numpy_input_imports_no_frame_library():
    code = ("import sys, numpy as np\nfrom shoal.data.carriers import points, distances\n"
            "points(np.random.rand(4, 2)); distances(np.ones(3))\n"
            "print([m for m in ('narwhals', 'pandas', 'polars', 'pyarrow', 'numba', 'scipy') if m in sys.modules])")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# ---- a matrix given as points ----

@pytest.mark.parametrize("make", [
    lambda: np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0.0]]), lambda: np.corrcoef(X), lambda: np.eye(3),
    lambda: pd.DataFrame(X).corr(), lambda: sparse.csr_array(np.array([[0, 1, 0], [1, 0, 2], [0, 2, 0]])),
    lambda: np.array([[1, 0.5, 0.25], [0.5, 1 - 1e-15, 0.1], [0.25, 0.1, 1]]),
    lambda: np.float32([[0, 1, 2], [1, 0, 3], [2 + 1e-6, 3, 0.0]]), lambda: np.full((3, 3), 5)])
def test_a_matrix_of_pairs_is_refused_as_points_unless_said(make):
    with pytest.raises(InputError, match=r"shoal\.distances.*shoal\.similarities.*square=True"):
        points(make())
    assert points(make(), square=True).X.shape == make().shape


@pytest.mark.parametrize("data", [
    np.eye(2), [[1.0, 2, 3], [2, 5, 4], [3, 4, 9]], [[0.0, 1, 2], [1, 0, 3], [2, 3.5, 0]], np.ones((3, 4))])
def test_what_only_resembles_a_matrix_of_pairs_is_read(data):
    assert points(data).n >= 2


# ---- ids and weights ----

def test_ids_are_text_exactly_as_written():
    assert points(X, ids=["007", "=A1", "SEPT2", "1e5"]).ids == ("007", "=A1", "SEPT2", "1e5")
    assert points(X, ids=[7, 8, 9, 10]).ids == ("7", "8", "9", "10")
    assert points(X, ids=np.array(["a", "b", " c", "ä"])).ids == ("a", "b", " c", "ä")
    assert points(X, ids=pd.Series([1.0, 2, 3, 4])).ids == ("1.0", "2.0", "3.0", "4.0")
    assert points(X, ids=pa.chunked_array([["a"], ["b", "c", "d"]])).ids == ("a", "b", "c", "d")
    assert points(X, ids=pl.Series(["NA", "nan", "None", "<NA>"])).ids == ("NA", "nan", "None", "<NA>")


@pytest.mark.parametrize(("ids", "words"), [
    (["a", "b"], "2 ids were given for 4 items"),
    (["a", "a", "b", "b"], "2 ids .*'a', 'b'"),
    ([1, "1", 2, 3], "'1'"),
    (["a", None, "b", "c"], "position 1"),
    (["a", "b", float("nan"), "c"], "position 2"),
    (["a", "b", pd.NA, "c"], "position 2"),
    (["a", "b", "c", ""], "position 3"),
    (pa.array(["a", None, "b", "c"]), "position 1"),
    (pl.Series(["a", None, "b", "c"]), "position 1"),
    (np.array(["2020", "NaT", "2021", "2022"], "datetime64[Y]"), "position 1"),
    ("name", "one id for each"),
    (7, "one id for each"),
])
def test_wrong_ids_are_refused(ids, words):
    with pytest.raises(InputError, match=words):
        points(X, ids=ids)


def test_only_five_repeated_ids_are_named():
    with pytest.raises(InputError, match=r"6 ids .*'a', 'b', 'c', 'd', 'e', \.\.\.\."):
        read_ids(list("aabbccddeeff"), 12)


def test_weights():
    assert points(X, weights=[1, 2, 3, 4]).weights.tolist() == [1, 2, 3, 4]
    assert points(X, weights=pd.Series([1, 2, 3, 4])).weights.dtype == np.float64
    assert points(X).weights is None
    for bad, words in [([1, 2], "shape"), ([1, 0, 1, 1], "item 1.*0"), ([1, np.nan, 1, 1], "item 1"),
                       ([1, 2, -3, 1], "item 2"), ([1, 2, 3, np.inf], "item 3"), (["a"] * 4, "text")]:
        with pytest.raises(InputError, match=words):
            points(X, weights=bad)


# ---- carriers ----

def test_carriers_pass_through():
    carrier = points(X)
    assert as_carrier(carrier).X is carrier.X
    named = as_carrier(carrier, ids=list("abcd"), weights=[1, 1, 2, 2])
    assert (named.ids, named.weights.tolist()) == (tuple("abcd"), [1, 1, 2, 2])
    with pytest.raises(InputError, match="ids were given twice"):
        as_carrier(named, ids=list("efgh"))
    with pytest.raises(InputError, match="weights were given twice"):
        as_carrier(named, weights=[1] * 4)
    with pytest.raises(InputError, match="metric='cosine'"):
        as_carrier(distances([1.0, 2, 3]), metric="cosine")
    with pytest.raises(InputError, match="metric="):
        as_carrier(carrier, metric="cityblock")
    assert as_carrier(points(X, "cityblock"), metric="cityblock").metric.name == "cityblock"
    assert isinstance(as_carrier(X, metric="cityblock"), Points)
    with pytest.raises(InputError, match="carrier"):
        points(carrier)
    with pytest.raises(InputError, match="carrier"):
        distances(carrier)


def test_describe_is_plain_json():
    import json

    said = points(X, ids=list("abcd"), scale="robust", columns=["p", "q", "r"]).describe()
    assert json.loads(json.dumps(said)) == said
    assert (said["carrier"], said["n"], said["d"], said["metric"], said["scale"]) == ("points", 4, 3, "euclidean", "robust")
    assert "Points(n=4" in repr(points(X))


def test_condensed_is_fresh_and_writable():
    carrier = points(X)
    first, second = carrier.condensed(), carrier.condensed()
    assert first.flags.writeable
    assert not np.shares_memory(first, second)
    np.testing.assert_allclose(first[0], np.sqrt(27))
    assert points(X.astype(np.float32)).condensed().dtype == np.float32


# ---- new items ----

def test_new_items_match_by_name():
    model = points(pd.DataFrame(X, columns=["p", "q", "r"]), scale="standard", metric="cityblock")
    mixed = pd.DataFrame({"extra": [0.0], "r": [3.0], "p": [1.0], "q": [2.0]}, index=["new"])
    new = model.new(mixed)
    np.testing.assert_array_equal(new.X, model.X[:1])
    assert new.ids == ("new",)
    assert new.columns == ("p", "q", "r")
    assert new.metric is model.metric
    assert any("'extra'" in m for m in new.messages)
    with pytest.raises(InputError, match=r"lack 2 .*'q', 'r'"):
        model.new(pd.DataFrame({"p": [1.0]}))
    with pytest.raises(InputError, match=r"lack 1 .*'r'"):
        model.new(pl.DataFrame({"p": [1.0], "q": [1.0], "r": ["text"]}))
    np.testing.assert_array_equal(model.new(X[:2]).X, model.X[:2])
    np.testing.assert_array_equal(model.new(points(X[:2])).X, model.X[:2])
    with pytest.raises(InputError, match="2 features; the model has 3"):
        model.new(X[:, :2])
    with pytest.raises(InputError, match="scaled already"):
        model.new(model)
    with pytest.raises(InputError, match="column 'q'"):
        model.new([[1.0, np.nan, 2.0]])


def test_new_items_keep_the_models_kind():
    single = points(X.astype(np.float32))
    assert single.new(X).dtype == np.float32
    with pytest.raises(InputError, match="infinite"):
        single.new([[1e300, 0, 0]])
    assert points(X).new(X.astype(np.float32)).dtype == np.float64
    loose = points(sparse.csr_array(X))
    assert isinstance(loose.new(X[:1]).X, sparse.csr_array)
    with pytest.raises(InputError, match="sparse"):
        points(X).new(sparse.csr_array(X))
    words = points([{"a": 1}, {"b": 2}])
    np.testing.assert_array_equal(words.new([{"b": 5, "z": 1}]).X.toarray(), [[0, 5]])
    assert any("'z'" in m for m in words.new([{"b": 5, "z": 1}]).messages)


def test_a_square_set_of_new_items_is_no_matrix_of_pairs():
    assert points(np.arange(12.0).reshape(4, 3)).new(np.eye(3)).n == 3


@given(hnp.arrays(st.sampled_from([np.float64, np.float32, np.int16, np.uint8]),
                  st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=st.integers(0, 100)))
def test_reading_is_exact_and_changes_nothing(data):
    before = data.copy()
    for form in (data, np.asfortranarray(data), data.tolist()):
        np.testing.assert_array_equal(points(form, square=True).X, before)
    np.testing.assert_array_equal(points(sparse.coo_array(data), square=True).X.toarray(), before)
    np.testing.assert_array_equal(data, before)


def test_uneven_columns_are_reported_when_nothing_scales_them() -> None:
    frame = pd.DataFrame({"big": [0.0, 1000.0, 500.0], "small": [0.1, 0.2, 0.3], "fixed": [7.0, 7.0, 7.0]})
    said = "Column 'big' varies 5,000 times as much as 'small'"
    assert any(said in message for message in points(frame).messages)
    assert not any("varies" in message for message in points(frame, scale="standard").messages)
    assert not any("varies" in message for message in points(frame, "cosine").messages)
    assert not any("varies" in message for message in points(frame[["small", "fixed"]]).messages)
