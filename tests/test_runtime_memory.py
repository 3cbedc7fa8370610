"""Sizes in words, what a process may use, and the refusal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import InputError, TooLargeError
from shoal.runtime import memory


@pytest.mark.parametrize(("text", "size"), [
    (1, 1), (2.5e9, 2_500_000_000), ("100", 100), ("8GB", 8 * 10**9), (" 512 MiB ", 2**29), ("2.5g", 2_500_000_000),
    (".5kb", 500), ("1 TiB", 2**40), ("3K", 3000), ("7 b", 7)])
def test_parse_bytes(text: Any, size: int) -> None:
    assert memory.parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GB", "8 QB", "-1", -1, 0, "0", "1e9", "8 GB free", None, True, float("nan"),
                                  float("inf"), 2**63, "9e99", "99999999999TB", [8]])
def test_parse_bytes_refuses(text: Any) -> None:
    with pytest.raises(InputError, match="is not an amount of memory"):
        memory.parse_bytes(text)


@given(st.integers(1000, 10**14))
def test_show_bytes_keeps_three_digits(size: int) -> None:
    shown = memory.show_bytes(size)
    assert "e" not in shown
    assert memory.parse_bytes(shown) == pytest.approx(size, rel=0.006)


@pytest.mark.parametrize(("size", "shown"), [
    (0, "0 B"), (999, "999 B"), (1000, "1 KB"), (999_400, "999 KB"), (999_999, "1 MB"), (999_999_999, "1 GB"),
    (1.5e12, "1.5 TB"), (9.9996e14, "1,000 TB"), (1.2345e16, "12,345 TB")])
def test_show_bytes(size: float, shown: str) -> None:
    assert memory.show_bytes(size) == shown


def test_require_names_the_work_the_bytes_and_the_way_out() -> None:
    memory.require(1e9, "1GB", "average linkage of 20 items")
    with pytest.raises(TooLargeError) as caught:
        memory.require(1.001e9, "1GB", "average linkage of 20 items", "Take single linkage.")
    assert str(caught.value) == "Average linkage of 20 items needs 1 GB; memory_limit allows 1 GB. Take single linkage."
    assert caught.value.exit_code == 4


def test_without_a_limit_a_share_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    memory.require(800, None, "this")
    with pytest.raises(TooLargeError, match="This needs 801 B; this process may use 800 B"):
        memory.require(801, None, "this")


def fake_system(monkeypatch: pytest.MonkeyPatch, root: Path, files: dict[str, str]) -> None:
    monkeypatch.setattr(memory, "Path", lambda path: root / path.lstrip("/"))
    monkeypatch.setattr(memory, "_rlimit_room", lambda: None)
    for name, text in {"proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 1000000 kB\n", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


V2 = "sys/fs/cgroup"
V1 = "sys/fs/cgroup/memory"


@pytest.mark.parametrize(("files", "expected"), [
    ({}, 1_024_000_000),
    ({"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "max\n", f"{V2}/memory.current": "5"}, 1_024_000_000),
    ({"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "5000", f"{V2}/memory.current": "2000"}, 3000),
    ({"proc/self/cgroup": "0::/a/b\n", f"{V2}/a/memory.max": "5000", f"{V2}/a/memory.current": "4000",
      f"{V2}/a/b/memory.max": "max", f"{V2}/a/b/memory.current": "4000"}, 1000),
    ({"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "5000", f"{V2}/memory.current": "6000"}, 0),
    ({"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "5000", f"{V2}/memory.current": "4900",
      f"{V2}/memory.stat": "anon 900\nfile 4000\ninactive_file 3000\n"}, 3100),
    ({"proc/self/cgroup": "4:cpu,memory:/x\n1:name=systemd:/\n", f"{V1}/x/memory.limit_in_bytes": "7000",
      f"{V1}/x/memory.usage_in_bytes": "6000", f"{V1}/x/memory.stat": "cache 1\ntotal_inactive_file 500"}, 1500),
    ({"proc/self/cgroup": "4:memory:/gone\n", f"{V1}/memory.limit_in_bytes": "7000",
      f"{V1}/memory.usage_in_bytes": "0"}, 7000),
    ({"proc/meminfo": "MemAvailable: 3 kB\n"}, 3072)])
def test_available_bytes(files: dict[str, str], expected: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_system(monkeypatch, tmp_path, files)
    assert memory.available_bytes() == expected


def test_a_system_without_proc_still_has_an_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_system(monkeypatch, tmp_path, {"proc/meminfo": "nothing here"})
    assert memory.available_bytes() > 2**20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="address-space limits are Linux's")
def test_an_address_space_limit_is_seen_before_it_is_hit(child_env: dict[str, str]) -> None:
    code = """
import resource
from pathlib import Path
from shoal.errors import TooLargeError
from shoal.runtime import memory
assert memory._rlimit_room() is None
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, used + 2**27))
left = memory.available_bytes()
assert 2**26 < left <= 2**27, left
try:
    memory.require(2**27, None, "a table of 128 MiB")
except TooLargeError as error:
    assert "A table of 128 MiB needs 134 MB; this process may use 10" in str(error), error
else:
    raise SystemExit("not refused")
bytearray(int(0.8 * left))  # what is said to be free can be had
"""
    subprocess.run([sys.executable, "-c", code], env=child_env, check=True, timeout=60)
