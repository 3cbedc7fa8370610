"""What the benchmarks share: timing in turn, fresh processes, the machine's description, tables."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def in_turn(runs: int, **contestants: Callable[[], Any]) -> dict[str, float]:
    """Median seconds of each contestant, run A B C A B C … so that a slow minute of the machine hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(runs):
        for name, work in contestants.items():
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in times.items()}


def process(command: Sequence[str], env: dict[str, str] | None = None) -> float:
    """Wall seconds of a fresh process."""
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env={**os.environ, **(env or {})}, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def peak_bytes(code: str) -> int:
    """Peak resident bytes of a fresh Python process; it reads them itself, as a parent's count would start at its own."""
    tail = "\nprint(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1])"
    done = subprocess.run([sys.executable, "-c", code + tail], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout.split()[-1]) * 1024


def processes_in_turn(runs: int, env: dict[str, str] | None = None, **commands: Sequence[str]) -> dict[str, float]:
    """Median wall seconds of whole processes, run in turn."""
    return in_turn(runs, **{name: (lambda c=command: process(c, env)) for name, command in commands.items()})


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; floats with three significant digits."""
    def cell(value: Any) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell(v) for v in row) + " |" for row in rows]
    return "\n".join(lines)


def machine() -> str:
    """One line: processor, cores, Python and the versions that matter."""
    cpu = platform.processor() or platform.machine()
    with open("/proc/cpuinfo") if os.path.exists("/proc/cpuinfo") else open(os.devnull) as lines:
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "numba", "fastcluster"))
    cores = len(os.sched_getaffinity(0))
    return f"{names[0] if names else cpu}, {cores} cores; Python {platform.python_version()}, {packages}"
