"""Files: every format, both CSV readers alike, ids as written, and every damaged file an InputError."""

import contextlib
import gzip
import io
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from shoal.data import files, texts
from shoal.data.carriers import Distances, Graph, Points, Similarities
from shoal.data.files import read_file
from shoal.data.matrixfiles import read_orange, read_phylip
from shoal.errors import InputError, ShoalError

SONGS = 'title,artist,length,tempo\n007,x,3,120\n=A1,x,4,90\n"a ""b"", c",y,5,60.5\n'


@pytest.fixture
def write(tmp_path):
    def save(text, name="a.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return save


def test_csv(write):
    songs = read_file(write(SONGS), scale="minmax", metric="cityblock")
    assert songs.ids == ("007", "=A1", 'a "b", c')
    assert songs.columns == ("length", "tempo")
    assert songs.metric.name == "cityblock"
    assert songs.X[:, 0].tolist() == [0, 0.5, 1]
    assert songs.messages[:2] == ("Column 'title' was taken as the ids.", "Left out, for they are not numeric: 'artist'.")
    tempo = read_file(write(SONGS), id="title", columns=["tempo"])
    assert tempo.X.tolist() == [[120], [90], [60.5]]
    assert read_file(write(SONGS), id="tempo").ids == ("120", "90", "60.5")


@pytest.mark.parametrize(("text", "expected"), [
    ("a\tb\n1\t2\n3\t4\n", [[1, 2], [3, 4]]), ("a;b\n1,5;2\n3;4,25\n", [[1.5, 2], [3, 4.25]]),
    ("a b\n1 2\n3  4\n", [[1, 2], [3, 4]]), ("1,2\n3,4\n", [[1, 2], [3, 4]]), ("1;2\n3;4", [[1, 2], [3, 4]]),
    ("a,b\r\n1,2\r\n3,4\r\n", [[1, 2], [3, 4]]), ("\n a , b \n\n 1 , 2 \n,\n3,4\n\n", [[1, 2], [3, 4]]),
    ("a,b,\n1,2,\n3,4,\n", [[1, 2], [3, 4]]), ('"a,x";b\n"1";2\n3;4\n', [[1, 2], [3, 4]]),
    ("x\n1\n2\n", [[1], [2]]), ("1e2,+.5\n-3,4.\n", [[100, 0.5], [-3, 4]])])
def test_delimited_text(write, text, expected):
    for data, name in ((text, "a.csv"), ("\ufeff" + text, "a.txt"), (gzip.compress(text.encode()), "a.csv.gz"),
                       (text.encode("utf-16"), "a.txt")):
        np.testing.assert_array_equal(read_file(write(data, name)).X, expected)


def test_what_was_assumed_is_said(write):
    assert any("no header" in m for m in read_file(write("1,2\n3,4\n")).messages)
    assert any("decimal" in m for m in read_file(write("a;b\n1,5;2\n")).messages)
    assert any("though most" in m for m in read_file(write("land,1990,1991\nF,1,2\nG,3,4\n")).messages)
    both = read_file(write("p,q,x\na,b,1\nc,d,2\n"))
    assert both.ids is None
    assert any("'p', 'q'" in m for m in both.messages)


TRICKY = ['title,x,y\n007,1,2\n"=A1",3,4\n', 'id;x\n"a;b";1,5\n"say ""hi""";2\n', "x,y\n1, 2\n\n3 ,4\n", "a,b\r\n1,2\r\n",
          'n,x\n"two\nlines",1\nb,NA\n', "x\ty\n1e5\t\nnan\tinf\n", "ï,x\n\u00e9,1\n\u65e5\u672c,-2\n", "x,y\n1,2\n3\n",
          "a,b,\n1,2,\n", "id,x\n1_0,1\n0x1,2\n", "x\n+5\n5.\n.5\n1E+2\n", "x,y\n,\n1,2\n", "x,y\n1,2\n3,4,5\n",
          'x,y\n1,"2\n', 'id,x\na"b,1\n c ,2\n']


@pytest.mark.parametrize("text", TRICKY)
def test_both_csv_readers_give_the_same(text, monkeypatch):
    def table(limit):
        monkeypatch.setattr(texts, "SMALL", limit)
        try:
            read = texts.read_text(text.encode())
        except InputError as error:
            return str(error)
        columns = [(c.name, None if c.numbers is None else c.numbers.tobytes(), c.values()) for c in read.columns]
        return columns, read.messages

    assert table(10**6) == table(0)


cell = st.one_of(st.floats().map(repr), st.integers().map(str),
                 st.sampled_from(["", "NA", " 1", "1,5", "x", '"', "a,b", "\n"]),
                 st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=4))


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(cell, min_size=3, max_size=3), min_size=1, max_size=5))
def test_any_quoted_table_is_read_alike(monkeypatch, rows):
    import csv

    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([["p", "q", "r"], *rows])
    monkeypatch.setattr(texts, "SMALL", 10**6)
    one = texts.read_text(out.getvalue().encode(), ",")
    monkeypatch.setattr(texts, "SMALL", 0)
    other = texts.read_text(out.getvalue().encode(), ",")
    assert one.names == other.names
    for a, b in zip(one.columns, other.columns, strict=True):
        assert a.values() == b.values()
        assert (a.numbers is None) == (b.numbers is None)
        if a.numbers is not None:
            np.testing.assert_array_equal(a.numbers, b.numbers)
    full = [row for row in rows if any(row)]
    assert [list(row) for row in zip(*(c.values() for c in one.columns), strict=True)] == full


def test_missing_cells(write):
    text = "id,x,y\na,1,2\nb,NA,3\nc,4,null\nd,5,6\n"
    with pytest.raises(InputError, match=r"row 'b', column 'x' is missing.*2 values.*--drop rows"):
        read_file(write(text))
    rows = read_file(write(text), drop="rows")
    assert rows.ids == ("a", "d")
    assert any("2 of 4 rows" in m and "'b', 'c'" in m for m in rows.messages)
    with pytest.raises(InputError, match="0 columns"):
        read_file(write(text), drop="columns")
    columns = read_file(write("id,x,y\na,1,2\nb,NA,3\n"), drop="columns")
    assert columns.columns == ("y",)
    assert any("'x'" in m for m in columns.messages)
    assert read_file(write("x,y\n1,2\n3,4\n"), drop="rows").n == 2
    with pytest.raises(InputError, match="0 rows"):
        read_file(write("x,y\n1,\n3,\n"), drop="rows")


# ---- matrices in text ----

SQUARE = ",a,b,c\na,0,1,4\nb,1,0,3\nc,4,3,0\n"


@pytest.mark.parametrize("text", [
    SQUARE, "name,a,b,c\na,0,,\nb,1,0,\nc,4,3,0\n", "name,a,b,c\na\nb,1\nc,4,3\n", "a\nb,1\nc,4,3\n",
    "a,0\nb,1,0\nc,4,3,0\n",
    "i,j,value\na,b,1\na,c,4\nb,c,3\n", "a,b,1\na,c,4\nc,b,3\n", "a;b;1,0\na;c;4,0\nb;c;3,0\n",
    "a,b,c\n0,1,4\n1,0,3\n4,3,0\n"])
def test_matrices_and_lists_of_pairs_need_their_kind(write, text):
    read = read_file(write(text), kind="distances")
    assert isinstance(read, Distances)
    assert read.ids == ("a", "b", "c")
    np.testing.assert_array_equal(read.condensed(), [1, 4, 3])


@pytest.mark.parametrize("text", ["0,1,4\n1,0,3\n4,3,0\n", "0\n1,0\n4,3,0\n", "1\n4\n3\n"])
def test_matrices_without_names(write, text):
    read = read_file(write(text), kind="distances")
    assert read.ids is None
    np.testing.assert_array_equal(read.condensed(), [1, 4, 3])


@pytest.mark.parametrize("text", [SQUARE, "0,1,4\n1,0,3\n4,3,0\n", "i,j,value\na,b,1\na,c,4\nb,c,3\n",
                                  "a,b,1\na,c,4\nb,c,3\n", ",a,b\na,1,.5\nb,.5,1\n", "x,y,z\na,b,1\nb,c,2\nc,d,3\n"])
def test_a_file_that_looks_like_pairs_is_refused_until_its_kind_is_said(write, text):
    with pytest.raises(InputError, match=r"shoal\.distances.*|--kind distances"):
        read_file(write(text))
    with pytest.raises(InputError, match="--kind points"):
        read_file(write(text))


def test_a_square_file_as_points(write):
    read = read_file(write(SQUARE), kind="points")
    assert isinstance(read, Points)
    assert read.ids == ("a", "b", "c")
    assert read.X.tolist() == [[0, 1, 4], [1, 0, 3], [4, 3, 0]]


def test_similarities_and_graphs(write):
    near = read_file(write("i,j,s\na,b,0.5\nb,c,0.25\n"), kind="similarities", rule="1-s")
    assert isinstance(near, Similarities)
    np.testing.assert_array_equal(near.condensed(), [0.5, 1, 0.75])
    roads = read_file(write("a,b,2\nb,c,3\n"), kind="graph", missing="shortest_path")
    assert isinstance(roads, Graph)
    np.testing.assert_array_equal(roads.condensed(), [2, 5, 3])
    assert read_file(write("p,q\na,b\nb,c\n"), kind="graph").n == 3
    assert read_file(write("a,b,2\nb,a,3\n"), kind="graph", symmetrize="max").edges[2].tolist() == [3]
    numbered = read_file(write(",1,2\n1,0,5\n2,5,0\n"), kind="distances")
    assert (numbered.ids, numbered.condensed().tolist()) == (("1", "2"), [5])


# ---- other formats ----

def test_frames_in_files(tmp_path):
    frame = pl.DataFrame({"title": ["007", "=A1"], "x": [1.5, 2.0], "n": [3, 4]})
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_ipc(tmp_path / "a.arrow")
    frame.write_ipc(tmp_path / "a.feather")
    frame.write_excel(tmp_path / "a.xlsx")
    for name in ("a.parquet", "a.arrow", "a.feather", "a.xlsx"):
        read = read_file(tmp_path / name)
        assert (read.ids, read.columns) == (("007", "=A1"), ("x", "n"))
        np.testing.assert_array_equal(read.X, [[1.5, 3], [2, 4]])
    pd.DataFrame(np.eye(3), index=list("abc"), columns=list("abc")).to_parquet(tmp_path / "b.parquet")
    assert read_file(tmp_path / "b.parquet", kind="similarities").ids == ("a", "b", "c")


def test_ids_beside_an_array_are_checked_also_where_rows_are_dropped(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.array([[1.0], [np.nan], [3.0]]), ids=np.array(["a", "b", "c"]))
    assert read_file(tmp_path / "a.npz", drop="rows").ids == ("a", "c")
    np.savez(tmp_path / "b.npz", X=np.array([[1.0], [np.nan], [3.0]]), ids=np.array(["a", "b"]))
    with pytest.raises(InputError, match="2 ids were given for 3 items"):
        read_file(tmp_path / "b.npz", drop="rows")


def test_sheets(tmp_path):
    with pd.ExcelWriter(tmp_path / "a.xlsx") as book:
        pd.DataFrame({"x": [1, 2]}).to_excel(book, sheet_name="one", index=False)
        pd.DataFrame({"y": [3, 4], "id": [7, 8]}).to_excel(book, sheet_name="two", index=False)
    assert read_file(tmp_path / "a.xlsx").columns == ("x",)
    assert read_file(tmp_path / "a.xlsx", sheet="two", id="id").ids == ("7", "8")
    assert read_file(tmp_path / "a.xlsx", sheet=2, columns=["y"]).X.tolist() == [[3], [4]]
    with pytest.raises(InputError, match="three"):
        read_file(tmp_path / "a.xlsx", sheet="three")


def test_numpy_files(tmp_path):
    x = np.float32([[1, 2], [3, 4], [5, 7]])
    np.save(tmp_path / "a.npy", x)
    read = read_file(tmp_path / "a.npy")
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read.X, x)
    np.save(tmp_path / "v.npy", np.array([1.0, 4, 3]))
    np.testing.assert_array_equal(read_file(tmp_path / "v.npy", kind="distances").condensed(), [1, 4, 3])
    np.save(tmp_path / "f.npy", np.asfortranarray(x))
    np.testing.assert_array_equal(read_file(tmp_path / "f.npy").X, x)
    np.savez(tmp_path / "a.npz", X=x, ids=np.array(["a", "b", "c"]), columns=np.array(["p", "q"]))
    read = read_file(tmp_path / "a.npz")
    assert (read.ids, read.columns) == (("a", "b", "c"), ("p", "q"))
    np.savez_compressed(tmp_path / "b.npz", X=x, Y=2 * x)
    np.testing.assert_array_equal(read_file(tmp_path / "b.npz", sheet="Y").X, 2 * x)
    with pytest.raises(InputError, match=r"'X', 'Y'.*sheet"):
        read_file(tmp_path / "b.npz")
    sparse.save_npz(tmp_path / "s.npz", sparse.csc_array(x))
    np.testing.assert_array_equal(read_file(tmp_path / "s.npz").X.toarray(), x)
    np.save(tmp_path / "e.npy", np.eye(3))
    with pytest.raises(InputError, match="--kind distances"):
        read_file(tmp_path / "e.npy")
    sparse.save_npz(tmp_path / "e.npz", sparse.csr_array(np.eye(3)))
    with pytest.raises(InputError, match=r"shoal\.distances"):
        read_file(tmp_path / "e.npz")
    np.save(tmp_path / "r.npy", np.array([("a", 1.0), ("b", 2.0)], [("id", "U1"), ("x", float)]))
    assert read_file(tmp_path / "r.npy", id="id").ids == ("a", "b")


@pytest.mark.parametrize("text", [
    "3\nape 0 1 4\nbat 1 0 3\ncat 4 3 0\n", "3\nape\nbat 1\ncat 4 3\n", " 3 \nape   0.0\n  1 4\nbat 1 0\n3\ncat 4 3 0\n\n",
    "3\nape\t0\t1\t4\nbat\t1\t0\t3\ncat\t4\t3\t0"])
def test_phylip(write, text):
    read = read_file(write(text, "a.phy"))
    assert isinstance(read, Distances)
    assert read.ids == ("ape", "bat", "cat")
    np.testing.assert_array_equal(read.condensed(), [1, 4, 3])


def test_phylip_names_and_faults():
    D, names = read_phylip(b"2\nHomo sapiens 0 1\nPan 2 1 0\n")
    assert names == ["Homo sapiens", "Pan 2"]
    assert D.tolist() == [[0, 1], [1, 0]]
    for text, words in ((b"", "begin"), (b"x\n", "'x'"), (b"3\na 0 1 2\nb 1 0 3\n", "ends after 2"), (b"0\n", "'0'"),
                        (b"2\na 0 1\nb 1 0\nc 2 2\n", "goes on"), (b"2\na 0 1\nb 1\n", "1 distances; 2"),
                        (b"99999999\na 0\n", "99999999|99,999,999"), (b"3\na 0 1 2\nb 1 0 x\nc 1 1 0\n", "distances")):
        with pytest.raises(InputError, match=words):
            read_phylip(text)


@pytest.mark.parametrize("text", [
    "3 row_labels\nape\nbat\t1\ncat\t4\t3\n", "3 axis=1 labelled symmetric\nape\t0\nbat\t1\t0\ncat\t4\t3\t0\n",
    "3 labeled\nape\t0\t9\t9\nbat\t1\t0\t9\ncat\t4\t3\t0\n",
    "3 asymmetric row_labels=1 col_labels=1\n\tape\tbat\tcat\nape\t0\t1\t4\nbat\t1\t0\t3\ncat\t4\t3\t0\n",
    "3 col_labels\nape\tbat\tcat\n0\n1\t0\n4\t3\t0\n"])
def test_orange(write, text):
    read = read_file(write(text, "a.dst"))
    assert read.ids == ("ape", "bat", "cat")
    np.testing.assert_array_equal(read.condensed(), [1, 4, 3])


def test_orange_faults():
    for text, words in ((b"3\n0\n", "1 rows"), (b"1 sideways\n0\n", "'sideways'"), (b"2\n0\nx y\n", "Row 2"),
                        (b"\n", "begin")):
        with pytest.raises(InputError, match=words):
            read_orange(text)
    assert read_orange(b"2\n0\n5 0\n")[1] is None


# ---- standard input ----

def run(data, code):
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=False)
    return done.stdout.decode(), done.stderr.decode()


def test_standard_input_is_recognised_by_its_bytes(monkeypatch):
    frame = pl.DataFrame({"x": [1.0, 2.0], "y": [3.0, 5.0]})
    makers = {"parquet": frame.write_parquet, "ipc": frame.write_ipc, "excel": frame.write_excel, "csv": frame.write_csv}
    streams = {}
    for name, maker in makers.items():
        stream = io.BytesIO()
        maker(stream)
        streams[name] = stream.getvalue()
    for name, save in (("npy", np.save), ("npz", np.savez)):
        stream = io.BytesIO()
        save(stream, frame.to_numpy())
        streams[name] = stream.getvalue()
    streams["gz"] = gzip.compress(streams["csv"])
    for name, data in streams.items():
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        np.testing.assert_array_equal(read_file("-").X, frame.to_numpy(), err_msg=name)


def test_small_files_import_nothing_heavy(write):
    code = (f"import sys; from shoal.data.files import read_file; read_file({str(write(SONGS))!r})\n"
            "print([m for m in ('narwhals', 'pandas', 'polars', 'pyarrow', 'numba', 'scipy') if m in sys.modules])")
    assert run(b"", code) == ("[]\n", "")


# ---- damage ----

@pytest.mark.parametrize(("name", "data", "words"), [
    ("a.csv", b"", "empty"), ("a.csv", b"\n\n", "empty"), ("a.csv", b"x,y\n", "0 rows"),
    ("a.csv", b"x\na\nb\n", "0 numeric"),
    ("a.csv", b"x,y\n1,\xff\n", "not UTF-8: byte 6"), ("a.csv", b"x,y\n1,2\n1,2,3\n", "Row 3 .*3 cells; .*has 2"),
    ("a.csv", b"x,x\n1,2\n", "2 columns are called 'x'"), ("a.csv", b"id,x\na,1\na,2\n", None),
    ("a.csv.gz", gzip.compress(b"x,y\n1,2\n", mtime=0)[:-6], "damaged"),
    ("a.parquet", b"PAR1 not really PAR1", "cannot be read"),
    ("a.xlsx", b"PK\x03\x04 no", "cannot be read"), ("a.arrow", b"ARROW1\0\0", "cannot be read"),
    ("a.xls", b"x", "cannot be read"),
    ("a.npy", b"\x93NUMPY\x01\x00", "cannot be read"), ("a.npy", b"hello", "cannot be read"),
    ("a.npz", b"PK", "cannot be read"),
    ("a.unknown", b"PK\x03\x04 no", "cannot be read"), ("a.csv", b"a," + b'"' + b"x" * 200_000 + b'"\n1,2\n', "field"),
])
def test_damaged_files_are_named_and_refused(write, name, data, words):
    if words is None:
        assert read_file(write(data, name)).ids is None
        return
    with pytest.raises(InputError, match=words) as caught:
        read_file(write(data, name))
    assert name in str(caught.value)


def test_options_are_checked_against_what_the_format_says(tmp_path):
    (tmp_path / "a.phy").write_bytes(b"2\nape\nbat 1\n")
    with pytest.raises(InputError, match="scale='minmax' does not go with kind='distances'"):
        read_file(tmp_path / "a.phy", scale="minmax")
    assert read_file(tmp_path / "a.phy", kind="similarities", rule="max-s").rule == "max-s"
    np.save(tmp_path / "a.npy", np.ones((2, 2)))
    with pytest.raises(InputError, match="without named columns"):
        read_file(tmp_path / "a.npy", id="title")


def test_repeated_ids_are_refused_when_asked_for(write):
    with pytest.raises(InputError, match="'a'"):
        read_file(write("id,x\na,1\na,2\n"), id="id")
    with pytest.raises(InputError, match=r"no column 'name'.*'id', 'x'"):
        read_file(write("id,x\na,1\nb,2\n"), id="name")
    with pytest.raises(InputError, match="position 1"):
        read_file(write("id,x\na,1\n,2\n"), id="id")


def test_places_that_are_no_files(tmp_path):
    with pytest.raises(InputError, match="folder"):
        read_file(tmp_path)
    with pytest.raises(InputError, match="No such file"):
        read_file(tmp_path / "none.csv")


def test_headers_that_promise_too_much(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 8)})
    (tmp_path / "a.npy").write_bytes(header.getvalue() + bytes(64))
    with pytest.raises(InputError, match="declares 64,000,000,000,000 bytes"):
        read_file(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("X.npy", header.getvalue() + bytes(64))
    with pytest.raises(InputError, match="declares"):
        read_file(tmp_path / "a.npz")
    np.save(tmp_path / "o.npy", np.array([{}, {}], dtype=object))
    with pytest.raises(InputError, match="Python objects"):
        read_file(tmp_path / "o.npy")


def test_bombs_are_not_inflated(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "ROOM", 10**5)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"1\n" * 10**6))
    with pytest.raises(InputError, match="would expand"):
        read_file(tmp_path / "a.csv.gz")
    np.savez_compressed(tmp_path / "a.npz", X=np.zeros((1000, 1000)))
    with pytest.raises(InputError, match="expand"):
        read_file(tmp_path / "a.npz")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), form=st.sampled_from(["a.npy", "a.npz", "a.phy", "a.dst", "a.csv"]))
def test_a_changed_byte_never_crashes(tmp_path, data, form):
    stream = io.BytesIO()
    x = np.arange(6.0).reshape(3, 2)
    if form == "a.npy":
        np.save(stream, x)
    elif form == "a.npz":
        np.savez_compressed(stream, X=x)
    else:
        stream.write({"a.phy": b"3\nape\nbat 1\ncat 4 3\n", "a.dst": b"3 row_labels\nape\nbat\t1\ncat\t4\t3\n",
                      "a.csv": SONGS.encode()}[form])
    raw = bytearray(stream.getvalue())
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / form).write_bytes(bytes(raw))
    with contextlib.suppress(ShoalError):
        read_file(tmp_path / form)


@pytest.mark.parametrize(("options", "words"), [
    ({"kind": "matrix"}, "kind='matrix'.*points"), ({"drop": "cells"}, "drop='cells'"),
    ({"kind": "distances", "rule": "1-s"}, "rule='1-s' does not go with kind='distances'"),
    ({"kind": "points", "symmetrize": "max"}, "symmetrize"), ({"kind": "graph", "drop": "rows"}, "drop"),
    ({"rule": "1-s"}, "kind='points'"), ({"sheet": "one"}, "no sheets"),
    ({"columns": ["title"]}, "'title' is not numeric"), ({"metric": "nonsense"}, "nonsense")])
def test_options_that_do_not_fit(write, options, words):
    with pytest.raises(InputError, match=words):
        read_file(write(SONGS), **options)
