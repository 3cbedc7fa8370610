"""Frames in, frames out, in the caller's own library."""

import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from shoal.data.tables import is_frame, load, read_frame, to_frame
from shoal.errors import InputError, MissingExtraError

COLUMNS = {"id": ("a", "b"), "cluster": np.array([0, 1]), "x": [0.5, np.nan]}


@pytest.mark.parametrize(("like", "kind"), [
    (pd.DataFrame(), pd.DataFrame), (pl.DataFrame(), pl.DataFrame), (pa.table({}), pa.Table), (pl.Series(), pl.DataFrame),
    (pl.LazyFrame(), pl.DataFrame), ("pandas", pd.DataFrame), ("polars", pl.DataFrame), ("pyarrow", pa.Table),
    (None, pd.DataFrame)])
def test_to_frame(like, kind):
    frame = to_frame(COLUMNS, like)
    assert isinstance(frame, kind)
    table = read_frame(frame)
    assert table.names == ("id", "cluster", "x")
    assert table.columns[0].values() == ["a", "b"]
    np.testing.assert_array_equal(table.columns[1].numbers, [0, 1])
    assert np.isnan(table.columns[2].numbers[1])


@pytest.mark.parametrize(("code", "expected"), [
    ("import polars", "polars"), ("import pyarrow", "pyarrow"), ("import pandas, polars", "pandas"), ("", "pandas"),
    ("import sys; sys.modules.update(pandas=None, polars=None, pyarrow=None)", "builtins")])
def test_the_library_the_program_uses_is_the_default(code, expected):
    code += "\nfrom shoal.data.tables import to_frame\nprint(type(to_frame({'x': [1]})).__module__.split('.')[0])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_frames_are_recognised():
    for frame in (pd.DataFrame(), pd.Series(dtype=float), pl.DataFrame(), pl.LazyFrame(), pa.table({}), pl.Series()):
        assert is_frame(frame)
    for other in (np.zeros(2), [1], "x", {"a": 1}, None):
        assert not is_frame(other)


def test_any_arrow_stream_is_read():
    class Stream:
        def __arrow_c_stream__(self, requested_schema=None):
            return pa.table({"x": [1, 2], "name": ["a", "b"]}).__arrow_c_stream__(requested_schema)

    table = read_frame(Stream())
    assert table.names == ("x", "name")
    assert table.columns[1].values() == ["a", "b"]


def test_an_arrow_stream_without_a_reader_names_the_extra(monkeypatch):
    class Stream:
        def __arrow_c_stream__(self, requested_schema=None):
            raise AssertionError("nothing can read it")

    monkeypatch.setattr("shoal.data.tables._arrow_backend", lambda: load("no_such_package", "Reading an Arrow table"))
    with pytest.raises(MissingExtraError, match="Reading an Arrow table"):
        read_frame(Stream())


def test_what_narwhals_cannot_read_is_an_input_error():
    with pytest.raises(InputError, match="cannot be read"):
        read_frame(pa.array([1, 2]).type)


def test_a_missing_package_names_the_extra():
    with pytest.raises(MissingExtraError, match=r"no_such_package.*shoal\[io\]"):
        load("no_such_package", "Testing")


def test_column_by_name():
    table = read_frame(pd.DataFrame({"a": [1]}))
    assert table.column("a").name == "a"
    with pytest.raises(InputError, match=r"no column 'b'.*'a'"):
        table.column("b")
