"""Memory is known before work starts: an estimate against what the process may use, and a clear refusal."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from shoal.errors import InputError, TooLargeError

__all__ = ["available_bytes", "parse_bytes", "require", "show_bytes"]

SHARE = 0.8  # of what is free: the rest is for the caller, the interpreter and the page cache

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30,
          "TIB": 2**40, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def parse_bytes(limit: int | float | str) -> int:
    """Read a size: a number of bytes, or text such as "8GB", "512 MiB", "2.5G".

    Examples
    --------
    >>> parse_bytes("8GB"), parse_bytes("1.5 MiB"), parse_bytes(1000)
    (8000000000, 1572864, 1000)
    """
    if isinstance(limit, (int, float)) and not isinstance(limit, bool):
        size = float(limit)
    else:
        match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([A-Za-z]*)\s*", str(limit))
        if match is None or match[2].upper() not in _UNITS:
            raise InputError(f"{limit!r} is not an amount of memory.", 'Give bytes, or text such as "8GB" or "512MiB".')
        size = float(match[1]) * _UNITS[match[2].upper()]
    if not 0 < size < 2**63:
        raise InputError(f"{limit!r} is not an amount of memory: it must be above zero.")
    return int(size)


def show_bytes(size: float) -> str:
    """Write a size for people.

    Examples
    --------
    >>> show_bytes(800), show_bytes(11_663_892_000)
    ('800 B', '11.7 GB')
    """
    for unit, worth in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        amount = size / worth
        if amount >= 0.9995:  # below it, three digits do not round up to 1000
            return f"{amount:.3g} {unit}" if amount < 999.5 else f"{amount:,.0f} {unit}"
    return f"{size:.0f} B"


def available_bytes() -> int:
    """Bytes this process may still take: the least of free RAM, its cgroups' limits and its address-space limit."""
    limits = [_free_ram(), *_cgroup_room(), _rlimit_room()]
    return max(0, min(n for n in limits if n is not None))


def require(needed: float, limit: int | float | str | None, what: str, instead: str = "") -> None:
    """Refuse work that would not fit.

    Parameters
    ----------
    needed : float
        Estimated peak bytes of the work, beyond what is in memory already.
    limit : int, str or None
        What the caller allows; None takes 80 % of what the process may still use.
    what : str
        The work, as the subject of a sentence: "average linkage of 65,536 items".
    instead : str
        What would fit.

    Raises
    ------
    TooLargeError
        With the bytes needed and the bytes allowed.
    """
    allowed = parse_bytes(limit) if limit is not None else int(SHARE * available_bytes())
    if needed > allowed:
        source = "memory_limit allows" if limit is not None else "this process may use"
        subject = f"{what[0].upper()}{what[1:]}"
        raise TooLargeError(f"{subject} needs {show_bytes(needed)}; {source} {show_bytes(allowed)}.", instead)


def _free_ram() -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 2**63 - 1


def _cgroup_room() -> list[int]:
    """Room left in every memory cgroup above this process: a container's limit may sit on any level."""
    rooms: list[int] = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                root, limit_name, use_name = "/sys/fs/cgroup", "memory.max", "memory.current"
            elif "memory" in controllers.split(","):
                root, limit_name, use_name = "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            else:
                continue
            top = Path(root)
            folder = top / path.lstrip("/")
            while folder == top or top in folder.parents:
                with contextlib.suppress(OSError, ValueError):
                    limit = int((folder / limit_name).read_text())
                    used = int((folder / use_name).read_text())
                    rooms.append(limit - used + _page_cache(folder / "memory.stat"))
                if folder == top:
                    break
                folder = folder.parent
    return rooms


def _page_cache(stat: Path) -> int:
    """Bytes a cgroup's use counts but the kernel gives back on demand: file pages not touched lately."""
    with contextlib.suppress(OSError, ValueError):
        counts = dict(line.split() for line in stat.read_text().splitlines())
        return int(counts.get("total_inactive_file", counts.get("inactive_file", 0)))
    return 0


def _rlimit_room() -> int | None:
    with contextlib.suppress(ImportError, OSError, ValueError, IndexError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            return max(0, soft - used)
    return None
