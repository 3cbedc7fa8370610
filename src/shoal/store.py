"""Model files: named arrays and a JSON header in one file. No pickle, no code, nothing believed without a check.

Layout, all numbers little-endian::

    0   8 bytes   magic
    8   uint64    format version
    16  uint64    length of the header in bytes
    24  uint64    length of the file in bytes
    32  32 bytes  sha256 of the header
    64            header: UTF-8 JSON with sorted keys, "arrays", "content" and "shoal" (the version that wrote it)
    ...           the arrays' C-order bytes, each begun at the next multiple of 64; gaps are zero

Offsets in the header count from the first array, so that the header does not depend on its own length. The same content
gives the same bytes: names are sorted, and there is no time stamp.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from io import BufferedReader
from itertools import pairwise
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from shoal.errors import FormatError, InputError
from shoal.runtime import memory
from shoal.runtime.files import atomic_write

__all__ = ["pack_strings", "read_model", "unpack_strings", "write_model"]

MAGIC = b"\x89shoal\r\n"  # a byte above 127 and a line end: transfers that alter text files show at once
VERSION = 1
PREAMBLE = struct.Struct("<8sQQQ32s")
ALIGN = 64
MAX_HEADER = 16 * 2**20  # parsed JSON takes up to 30 times its text, so a forged header can cost 0.5 GB at most
MAX_DIMENSIONS = 64
DTYPES = {name: np.dtype(name).newbyteorder("<") for name in (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")}


class _Entry(NamedTuple):
    """What the header says of one array."""

    name: str
    dtype: str
    shape: Sequence[int]
    offset: int
    nbytes: int
    sha256: str


def write_model(path: str | os.PathLike[str], header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], *,
                force: bool = False) -> None:
    """Write a model file, whole or not at all.

    Parameters
    ----------
    path : str or path
        Where to; the file appears under this name when every byte of it is on disk.
    header : dict of str
        Anything JSON can hold, without NaN or infinity.
    arrays : dict of str to ndarray
        Numbers and booleans of any shape.
    force : bool
        Replace a file that is there.

    Raises
    ------
    InputError
        When a file is there already and `force` is False, or the content cannot be stored.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "one.shoal"
    >>> write_model(path, {"method": "ward"}, {"height": np.array([0.5, 2.0])})
    >>> header, arrays = read_model(path)
    >>> header, arrays["height"]
    ({'method': 'ward'}, array([0.5, 2. ]))
    """
    buffers, entries, end = [], [], 0
    for name in sorted(arrays):
        array = _storable(name, arrays[name])
        buffer = _bytes_of(array)
        offset = _aligned(end)
        end = offset + array.nbytes
        entries.append(_Entry(name, array.dtype.name, array.shape, offset, array.nbytes,
                              hashlib.sha256(buffer).hexdigest()))
        buffers.append(buffer)
    text = _header_text(header, entries)
    start = _aligned(PREAMBLE.size + len(text))
    with atomic_write(path, force=force) as handle:
        handle.write(PREAMBLE.pack(MAGIC, VERSION, len(text), start + end, hashlib.sha256(text).digest()))
        handle.write(text)
        at = PREAMBLE.size + len(text)
        for entry, buffer in zip(entries, buffers, strict=True):
            handle.write(bytes(start + entry.offset - at))
            handle.write(buffer)
            at = start + entry.offset + entry.nbytes
        handle.write(bytes(start + end - at))  # the gap behind the header when there is no array


def read_model(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a model file; safe on files from anywhere.

    Every size the file claims is compared with the file's own before memory is taken for it.

    Parameters
    ----------
    path : str or path
        A file that `write_model` wrote.

    Returns
    -------
    header : dict
        As it was written.
    arrays : dict of str to ndarray
        Read-only, by name.

    Raises
    ------
    InputError
        When there is no such file.
    FormatError
        When it is not a model file, is damaged, or was written by a newer version.
    TooLargeError
        When its arrays would not fit in memory.
    """
    if not os.path.isfile(path):
        raise InputError(f"There is no file {str(path)!r}.", "Give the path of a model that was saved.")
    try:
        with open(path, "rb") as handle:
            size = os.fstat(handle.fileno()).st_size
            header_bytes = _read_header_bytes(handle, size)
            content, entries = _parse_header(header_bytes)
            start = _aligned(PREAMBLE.size + len(header_bytes))
            _check_layout(entries, size - start)
            memory.require(size, None, f"reading {str(path)!r}")
            _read_gap(handle, start - PREAMBLE.size - len(header_bytes))
            return content, _read_arrays(handle, entries)
    except FormatError as error:
        raise FormatError(f"{str(path)!r} cannot be read as a model: {error.message}", error.hint) from None


def pack_strings(strings: Iterable[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the strings' UTF-8 bytes in one buffer, and where each begins, with the end of the last appended.

    Examples
    --------
    >>> buffer, offsets = pack_strings(["ab", "", "é"])
    >>> offsets.tolist(), unpack_strings(buffer, offsets)
    ([0, 2, 2, 4], ['ab', '', 'é'])
    """
    # Lone surrogates are no text, but they are ids that a file system or a broken export can hand in.
    encoded = [text.encode("utf-8", "surrogatepass") for text in strings]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(piece) for piece in encoded], out=offsets[1:])
    return np.frombuffer(b"".join(encoded), np.uint8), offsets


def unpack_strings(buffer: NDArray[np.uint8], offsets: NDArray[np.int64]) -> list[str]:
    """Return the strings that `pack_strings` packed.

    Raises
    ------
    FormatError
        When the offsets do not cut the buffer into pieces, or a piece is not UTF-8.
    """
    kinds = (buffer.dtype, buffer.ndim, offsets.dtype, offsets.ndim)
    if kinds != (np.dtype(np.uint8), 1, np.dtype(np.int64), 1) or not offsets.size:
        _refuse("stored text needs a 1-D buffer of uint8 and 1-D int64 offsets.")
    if offsets[0] != 0 or offsets[-1] != buffer.size or (offsets[1:] < offsets[:-1]).any():
        _refuse(f"the offsets of stored text do not cut its {buffer.size} bytes into pieces.")
    data, ends = buffer.tobytes(), offsets.tolist()
    try:
        return [data[a:b].decode("utf-8", "surrogatepass") for a, b in pairwise(ends)]
    except UnicodeDecodeError as error:
        _refuse(f"stored text is not UTF-8 ({error.reason}).")


def _refuse(why: str, hint: str = "The file is damaged or foreign; save the model again.") -> NoReturn:
    raise FormatError(why, hint)


def _aligned(position: int) -> int:
    """Return the next multiple of `ALIGN`."""
    return -(-position // ALIGN) * ALIGN


def _storable(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return the array little-endian in C order; a copy only where it is not so already."""
    given = np.asarray(array)
    dtype = DTYPES.get(given.dtype.name)
    if dtype is None or given.ndim > MAX_DIMENSIONS:
        raise InputError(f"Array {name!r} of dtype {given.dtype} with {given.ndim} dimensions cannot be stored.",
                         f"Allowed are {', '.join(DTYPES)}; text goes through pack_strings.")
    return np.asarray(given, dtype=dtype, order="C")


def _bytes_of(array: NDArray[Any]) -> memoryview:
    """Return the array's own bytes."""
    return array.reshape(-1).view(np.uint8).data


def _header_text(content: Mapping[str, Any], entries: Sequence[_Entry]) -> bytes:
    """Return the header's JSON."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        written_by = version("shoal")
    except PackageNotFoundError:  # run from a source folder
        written_by = "unknown"
    whole = {"arrays": [entry._asdict() for entry in entries], "content": dict(content), "shoal": written_by}
    try:
        text = json.dumps(whole, sort_keys=True, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"The header of the model cannot be stored: {error}.",
                         "It may hold text, finite numbers, booleans, None, and lists and dicts of them.") from error
    if len(text) > MAX_HEADER:
        raise InputError(f"The header of the model takes {len(text):,} bytes; {MAX_HEADER:,} are allowed.",
                         "Put what is long into arrays.")
    return text


def _read_header_bytes(handle: BufferedReader, size: int) -> bytes:
    """Check the preamble against the file, and return the header's bytes."""
    preamble = handle.read(PREAMBLE.size)
    if preamble[:len(MAGIC)] != MAGIC:
        _refuse("it does not begin as a Shoal model does.", "Give a file that was saved by Shoal.")
    if len(preamble) < PREAMBLE.size:
        _refuse(f"it ends after {len(preamble)} bytes.")
    _, version, header_length, file_length, digest = PREAMBLE.unpack(preamble)
    if version != VERSION:
        _refuse(f"it has format version {version}; this Shoal reads version {VERSION}.", "Update Shoal to read it.")
    if file_length != size:
        _refuse(f"it should have {file_length:,} bytes and has {size:,}.")
    if header_length > min(MAX_HEADER, size - PREAMBLE.size):
        _refuse(f"its header should have {header_length:,} bytes, more than it holds or the {MAX_HEADER:,} allowed.")
    text = handle.read(header_length)
    if len(text) != header_length or hashlib.sha256(text).digest() != digest:
        _refuse("its header does not match its checksum.")
    return text


def _parse_header(text: bytes) -> tuple[dict[str, Any], list[_Entry]]:
    """Return the content and the arrays' entries, each of the right types."""
    try:
        whole = json.loads(text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except FormatError:
        raise
    except (ValueError, RecursionError) as error:
        _refuse(f"its header is not JSON ({error}).")
    if not isinstance(whole, dict) or whole.keys() != {"arrays", "content", "shoal"} \
            or not isinstance(whole["content"], dict) or not isinstance(whole["arrays"], list):
        _refuse("its header has not the parts 'arrays', 'content' and 'shoal'.")
    return whole["content"], [_entry(claim) for claim in whole["arrays"]]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of JSON pairs; a key that comes twice means different things to different readers."""
    table = dict(pairs)
    if len(table) != len(pairs):
        _refuse("a key comes twice in its header.")
    return table


def _refuse_constant(name: str) -> NoReturn:
    _refuse(f"its header holds {name}, which is not JSON.")


def _entry(claim: Any) -> _Entry:
    """Check the types of one array's entry, and that its bytes follow from its shape."""
    if not isinstance(claim, dict) or claim.keys() != set(_Entry._fields):
        _refuse("its header describes an array by other parts than name, dtype, shape, offset, nbytes and sha256.")
    entry = _Entry(**claim)
    if not isinstance(entry.name, str) or not isinstance(entry.dtype, str) or entry.dtype not in DTYPES:
        _refuse(f"array {entry.name!r} has the dtype {entry.dtype!r}; allowed are {', '.join(DTYPES)}.")
    if not isinstance(entry.shape, list) or len(entry.shape) > MAX_DIMENSIONS or not all(map(_is_count, entry.shape)):
        _refuse(f"array {entry.name!r} has no proper shape.")
    if not _is_count(entry.offset) or not _is_count(entry.nbytes):
        _refuse(f"array {entry.name!r} has no proper place.")
    span, nbytes = DTYPES[entry.dtype].itemsize, DTYPES[entry.dtype].itemsize
    for length in entry.shape:
        span, nbytes = span * max(length, 1), nbytes * length
        if span >= 2**63:  # also where a length of 0 makes it empty: numpy cannot address it
            _refuse(f"array {entry.name!r} has a shape that no memory holds.")
    if nbytes != entry.nbytes:
        _refuse(f"array {entry.name!r} should have {entry.nbytes:,} bytes, but its shape takes {nbytes:,}.")
    return entry


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _check_layout(entries: Sequence[_Entry], room: int) -> None:
    """Check that the arrays fill the file one behind the other: no overlap, nothing outside, nothing left over."""
    if len({entry.name for entry in entries}) != len(entries):
        _refuse("two of its arrays have the same name.")
    end = 0
    for entry in entries:
        if entry.offset != _aligned(end):
            _refuse(f"array {entry.name!r} should begin at {_aligned(end):,}, not at {entry.offset:,}.")
        end = entry.offset + entry.nbytes
    if end != room:
        _refuse(f"its arrays take {end:,} bytes; the file holds {room:,} for them.")


def _read_gap(handle: BufferedReader, length: int) -> None:
    """Read the zeros before an array."""
    if handle.read(length) != bytes(length):
        _refuse("there are bytes between its arrays.")


def _read_arrays(handle: BufferedReader, entries: Sequence[_Entry]) -> dict[str, NDArray[Any]]:
    """Read every array into its own memory, and compare checksums."""
    arrays: dict[str, NDArray[Any]] = {}
    end = 0
    for entry in entries:
        _read_gap(handle, entry.offset - end)
        end = entry.offset + entry.nbytes
        array = np.empty(tuple(entry.shape), DTYPES[entry.dtype])
        buffer = _bytes_of(array)
        if handle.readinto(buffer) != entry.nbytes or hashlib.sha256(buffer).hexdigest() != entry.sha256:
            _refuse(f"array {entry.name!r} does not match its checksum.")
        if entry.dtype == "bool" and (array.view(np.uint8) > 1).any():
            _refuse(f"array {entry.name!r} holds booleans other than 0 and 1.")
        array.setflags(write=False)
        arrays[entry.name] = array
    return arrays
