"""Model files: round trips, damage of every kind, and writes that fail half way."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shoal.errors import FormatError, InputError, ShoalError
from shoal.store import ALIGN, DTYPES, PREAMBLE, pack_strings, read_model, unpack_strings, write_model

HEADER = {"method": "ward", "ids": ["a", "ü"], "k": 4, "none": None, "nested": {"b": [1, 2.5, True], "a": {}}}
HEIGHT = np.array([0.5, np.nan, -0.0])

arrays_of_any_kind = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)))


def small(path: Path) -> dict[str, Any]:
    arrays = {"height": HEIGHT, "mask": np.array([[True], [False]]), "none": np.empty((0, 3), np.int32)}
    write_model(path, {"k": 2}, arrays, force=True)
    return arrays


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and a[k].shape == b[k].shape and a[k].tobytes() == b[k].tobytes() for k in a)


@given(st.dictionaries(st.text(max_size=5), arrays_of_any_kind, max_size=4))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("store") / "m.shoal"
    write_model(path, HEADER, arrays)
    header, back = read_model(path)
    assert header == HEADER
    assert same(arrays, back)
    assert not any(array.flags.writeable for array in back.values())


def test_same_content_same_bytes(tmp_path: Path) -> None:
    a, b = np.arange(5), np.arange(3.0)
    write_model(tmp_path / "1", {"x": 1, "y": 2}, {"a": a, "b": b})
    write_model(tmp_path / "2", {"y": 2, "x": 1}, {"b": b, "a": a})
    write_model(tmp_path / "3", {"y": 2, "x": 2}, {"b": b, "a": a})
    one, two, three = ((tmp_path / name).read_bytes() for name in "123")
    assert one == two != three


def test_layout_is_aligned_and_fortran_and_big_endian_are_turned(tmp_path: Path) -> None:
    given_array = np.arange(6, dtype=">i4").reshape(2, 3).T
    write_model(tmp_path / "m", {}, {"b": given_array, "a": np.array(3.5), "c": np.arange(20)[::-2]})
    data = (tmp_path / "m").read_bytes()
    length = PREAMBLE.unpack(data[:64])[2]
    entries = json.loads(data[64:64 + length])["arrays"]
    assert [e["name"] for e in entries] == ["a", "b", "c"]
    assert all(e["offset"] % ALIGN == 0 for e in entries)
    back = read_model(tmp_path / "m")[1]
    np.testing.assert_array_equal(back["b"], given_array)
    assert back["b"].dtype == np.dtype("<i4")
    assert back["a"].shape == ()
    assert back["c"].tolist() == list(range(19, 0, -2))


def test_every_mutation_of_one_byte_is_noticed(tmp_path: Path) -> None:
    arrays = small(tmp_path / "m")
    data = (tmp_path / "m").read_bytes()
    damaged = tmp_path / "damaged"
    for position in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            copy = bytearray(data)
            copy[position] ^= flip
            damaged.write_bytes(copy)
            with pytest.raises(FormatError):
                read_model(damaged)
    damaged.write_bytes(data)
    assert same(read_model(damaged)[1], arrays)


def test_every_truncation_and_extension_is_noticed(tmp_path: Path) -> None:
    small(tmp_path / "m")
    data = (tmp_path / "m").read_bytes()
    damaged = tmp_path / "damaged"
    for length in range(len(data)):
        damaged.write_bytes(data[:length])
        with pytest.raises(FormatError):
            read_model(damaged)
    damaged.write_bytes(data + b"\0")
    with pytest.raises(FormatError, match=f"should have {len(data):,} bytes and has {len(data) + 1:,}"):
        read_model(damaged)


def forged(path: Path, change: Callable[[Any], Any], version: int = 1, payload: bytes | None = None) -> None:
    """Write a file whose checksums are right and whose header is not: what an attacker would send."""
    small(path)
    data = path.read_bytes()
    magic, _, length, _, _ = PREAMBLE.unpack(data[:64])
    start = -(-(64 + length) // ALIGN) * ALIGN
    header = json.loads(data[64:64 + length])
    changed = change(header)
    text = changed if isinstance(changed, bytes) else json.dumps(header if changed is None else changed).encode()
    body = data[start:] if payload is None else payload
    pad = bytes(-(64 + len(text)) % ALIGN)
    total = 64 + len(text) + len(pad) + len(body)
    path.write_bytes(PREAMBLE.pack(magic, version, len(text), total, hashlib.sha256(text).digest()) + text + pad + body)


def put(index: int, **claims: Any) -> Callable[[Any], None]:
    def change(header: Any) -> None:
        header["arrays"][index].update(claims)

    return change


FORGERIES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "negative offset": (put(0, offset=-64), "no proper place"),
    "overlap": (put(1, offset=0), "should begin at 64"),
    "outside": (put(1, offset=2**62), "should begin at 64"),
    "huge shape": (put(0, shape=[2**40], nbytes=2**43), "should begin at|its arrays take"),
    "impossible shape": (put(0, shape=[2**62, 2**62], nbytes=2**127), "no memory holds"),
    "impossible empty shape": (put(2, shape=[0, 2**62]), "no memory holds"),
    "shape and bytes differ": (put(0, shape=[4]), "its shape takes 32"),
    "too many dimensions": (put(0, shape=[1] * 65), "no proper shape"),
    "shape of booleans": (put(1, shape=[2, True]), "no proper shape"),
    "shape of floats": (put(0, shape=[3.0]), "no proper shape"),
    "object dtype": (put(0, dtype="object"), "allowed are bool"),
    "list as dtype": (put(0, dtype=["<f8"]), "allowed are bool"),
    "wrong hash": (put(0, sha256="0" * 64), "checksum"),
    "same name": (put(0, name="mask"), "same name"),
    "name is a number": (put(0, name=3), "has the dtype"),
    "extra part": (put(0, eval="1"), "other parts"),
    "array left out": (lambda h: h["arrays"].pop(0) and None, "should begin at 0"),
    "no content": (lambda h: {"arrays": [], "shoal": "1"}, "has not the parts"),
    "header is a list": (lambda h: [h], "has not the parts"),
    "entry is a list": (lambda h: {**h, "arrays": [[1]]}, "other parts"),
    "duplicate key": (lambda h: b'{"arrays":[],"arrays":[],"content":{},"shoal":"1"}', "comes twice"),
    "NaN": (lambda h: b'{"arrays":[],"content":{"a":NaN},"shoal":"1"}', "NaN"),
    "not JSON": (lambda h: b"{", "not JSON"),
    "not UTF-8": (lambda h: b'"\xff"', "not JSON"),
    "deep nesting": (lambda h: b"[" * 200_000, "not JSON"),
    "long number": (lambda h: b'{"a":' + b"9" * 5000 + b"}", "not JSON"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_headers_are_refused_without_taking_memory(name: str, tmp_path: Path) -> None:
    change, match = FORGERIES[name]
    path = tmp_path / "forged.shoal"
    forged(path, change)
    read_model_peak(path, match)


def read_model_peak(path: Path, match: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match=match) as caught:
            read_model(path)
        assert tracemalloc.get_traced_memory()[1] < 8e6
    finally:
        tracemalloc.stop()
    assert "forged.shoal" in str(caught.value)


def test_forged_booleans_and_gaps_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "forged.shoal"
    body = bytes([2, 1])
    claim = put(1, sha256=hashlib.sha256(body).hexdigest())
    forged(path, claim, payload=HEIGHT.tobytes() + bytes(40) + body + bytes(62))
    with pytest.raises(FormatError, match="booleans other than 0 and 1"):
        read_model(path)
    forged(path, lambda h: None, payload=HEIGHT.tobytes() + b"x" * 40 + bytes([1, 0]) + bytes(62))
    with pytest.raises(FormatError, match="between its arrays"):
        read_model(path)


def test_newer_versions_and_foreign_files_say_so(tmp_path: Path) -> None:
    path = tmp_path / "m"
    forged(path, lambda h: None, version=2)
    with pytest.raises(FormatError, match=r"format version 2.*Update Shoal"):
        read_model(path)
    for foreign in (b"", b"PK\x03\x04", b"\x80\x04pickle" * 20):
        path.write_bytes(foreign)
        with pytest.raises(FormatError, match="does not begin as a Shoal model"):
            read_model(path)
    with pytest.raises(InputError, match="There is no file"):
        read_model(tmp_path / "missing")
    with pytest.raises(InputError, match="There is no file"):
        read_model(tmp_path)


def test_header_longer_than_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "forged.shoal"
    forged(path, lambda h: None)
    data = path.read_bytes()
    magic, version, _, total, digest = PREAMBLE.unpack(data[:64])
    path.write_bytes(PREAMBLE.pack(magic, version, 2**60, total, digest) + data[64:])
    read_model_peak(path, "its header should have")


def test_reading_takes_about_the_size_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "m"
    write_model(path, {}, {"a": np.zeros(500_000), "b": np.ones(500_000)})
    tracemalloc.start()
    try:
        read_model(path)
        assert tracemalloc.get_traced_memory()[1] < 1.2 * path.stat().st_size
    finally:
        tracemalloc.stop()


def test_too_large_a_file_is_refused_before_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(tmp_path / "m")
    monkeypatch.setattr("shoal.runtime.memory.available_bytes", lambda: 100)
    with pytest.raises(ShoalError, match=r"reading|Reading"):
        read_model(tmp_path / "m")


def test_nothing_is_overwritten_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "m"
    small(path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="exists already"):
        write_model(path, {"other": 1}, {})
    assert path.read_bytes() == before
    write_model(path, {"other": 1}, {}, force=True)
    assert read_model(path) == ({"other": 1}, {})


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m"
    small(path)
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_model(path, {}, {"a": np.zeros(10_000)}, force=True)
    with pytest.raises(OSError, match="No space left"):
        write_model(tmp_path / "new", {}, {"a": np.zeros(10_000)})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path: Path, child_env: dict[str, str]) -> None:
    path = tmp_path / "m"
    arrays = small(path)
    code = f"""
import os, signal
import numpy as np
from shoal.store import write_model
os.fsync = lambda handle: os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
write_model({str(path)!r}, {{"new": 1}}, {{"a": np.zeros(100_000)}}, force=True)
"""
    done = subprocess.run([sys.executable, "-c", code], env=child_env, timeout=60, check=False)
    assert done.returncode != 0
    header, back = read_model(path)
    assert header == {"k": 2}
    assert same(back, arrays)


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.array([1j]), np.zeros(2, "M8[s]"),
                                   np.zeros(1, [("a", "i4")]), np.zeros(1, np.longdouble)])
def test_other_dtypes_are_refused(array: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be stored"):
        write_model(tmp_path / "m", {}, {"a": array})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, np.float32(1), b"x"])
def test_headers_json_cannot_hold_are_refused(value: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="header of the model cannot be stored"):
        write_model(tmp_path / "m", {"a": value}, {})
    assert not list(tmp_path.iterdir())


def test_long_headers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Put what is long into arrays"):
        write_model(tmp_path / "m", {"a": "x" * (16 * 2**20)}, {})


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=()), max_size=4)))
def test_strings_round_trip(texts: list[str]) -> None:
    assert unpack_strings(*pack_strings(texts)) == texts


@pytest.mark.parametrize(("buffer", "offsets"), [
    (b"ab", [0, 1]), (b"ab", [1, 2]), (b"ab", [0, 2, 1, 2]), (b"ab", [0, 3, 2]), (b"ab", []), (b"\xff", [0, 1]),
    (b"\xc3\xa9", [0, 1, 2])])
def test_broken_strings_are_refused(buffer: bytes, offsets: list[int]) -> None:
    with pytest.raises(FormatError):
        unpack_strings(np.frombuffer(buffer, np.uint8), np.array(offsets, np.int64))


def test_strings_of_other_dtypes_are_refused() -> None:
    buffer, offsets = pack_strings(["a"])
    for pair in ((buffer.astype(np.int16), offsets), (buffer, offsets.astype(np.int32)), (buffer[None], offsets)):
        with pytest.raises(FormatError, match="stored text needs"):
            unpack_strings(*pair)
