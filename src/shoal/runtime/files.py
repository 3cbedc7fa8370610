"""Files appear whole or not at all, and never over another by accident."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from shoal.errors import InputError

__all__ = ["atomic_write"]


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], force: bool = False) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes its name only when the block ends without an error.

    Parameters
    ----------
    path : path
        Where the file shall be. A link is followed: the file it points to is replaced, the link stays.
    force : bool
        Whether a file of that name may be replaced.

    Yields
    ------
    file
        Binary, seekable, in the same folder under a name of its own; deleted when the block fails.

    Raises
    ------
    InputError
        When the file exists and `force` is False, or when the folder cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with atomic_write(target) as file:
    ...     _ = file.write(b"whole")
    >>> target.read_text()
    'whole'
    """
    target = Path(os.path.realpath(path))
    _refuse_overwrite(target, force)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".part", dir=target.parent)
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be written: {error.strerror or error}.",
                         "Give a name in a folder that exists and may be written to.") from error
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _refuse_overwrite(target, force)  # it may have appeared meanwhile
        os.chmod(name, _mode(target))
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    _sync_folder(target.parent)


def _refuse_overwrite(target: Path, force: bool) -> None:
    if target.is_dir():
        raise InputError(f"{str(target)!r} is a folder, not a file.", "Give the name of a file.")
    if target.exists() and not force:
        raise InputError(f"{str(target)!r} exists already and was left as it is.",
                         "Give another name, or allow it to be replaced with force=True (--force on the command line).")


def _mode(target: Path) -> int:
    """Permissions of the file replaced, or those of any new file; a temporary file alone would be private."""
    with contextlib.suppress(OSError):
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut, where the system lets a folder be synced."""
    with contextlib.suppress(OSError, AttributeError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
