"""Files appear whole or not at all."""

import os
import stat

import pytest

from shoal.errors import InputError
from shoal.runtime.files import atomic_write


def write(target, data, force=False, fails=None):
    with atomic_write(target, force) as file:
        file.write(data)
        if fails:
            raise fails


def test_a_failure_leaves_nothing_behind(tmp_path):
    target = tmp_path / "a.txt"
    with pytest.raises(RuntimeError):
        write(target, b"half", fails=RuntimeError())
    assert list(tmp_path.iterdir()) == []
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write(target, b"half", force=True, fails=KeyboardInterrupt())
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


def test_existing_files_are_kept_unless_forced(tmp_path):
    target = tmp_path / "a.txt"
    target.write_bytes(b"old")
    with pytest.raises(InputError, match=r"exists already.*force=True.*--force"):
        write(target, b"new")
    with atomic_write(target, force=True) as file:
        assert target.read_bytes() == b"old", "the old file stays until the new one is whole"
        file.write(b"new")
    assert target.read_bytes() == b"new"


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    target = tmp_path / "a.txt"
    door = atomic_write(target)
    door.__enter__().write(b"mine")
    target.write_bytes(b"theirs")
    with pytest.raises(InputError, match="exists already"):
        door.__exit__(None, None, None)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"theirs"]


def test_links_permissions_and_places(tmp_path):
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link.symlink_to(real)
    with atomic_write(link, force=True) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    with atomic_write(tmp_path / "fresh") as file:
        file.write(b"x")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o666 & ~mask
    with pytest.raises(InputError, match="folder"):
        write(tmp_path, b"")
    with pytest.raises(InputError, match="cannot be written"):
        write(tmp_path / "no" / "x", b"")
