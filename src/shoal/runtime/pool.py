"""Threads over fixed blocks, with Ctrl-C, cancellation and progress between them.

Blocks depend on the size of the data alone, never on the number of threads, and every block writes its own part of the
result; so the result has the same bits for any thread count. A block is at most about 30 ms of work: that is the time
Ctrl-C takes to be heard (docs/decisions/0002-blocks.md).
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import math
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from shoal.errors import InputError, is_whole
from shoal.runtime.progress import Ticker

__all__ = ["blocks", "run", "set_threads", "threads", "triangle_blocks"]

_chosen: int | None = None
_executor: ThreadPoolExecutor | None = None
_executor_size = 0
_executor_lock = threading.Lock()
_inside = threading.local()


def set_threads(n: int | None) -> None:
    """Use `n` threads from now on; None goes back to what the machine and the environment allow.

    Parameters
    ----------
    n : int or None
        At least 1.

    Examples
    --------
    >>> import shoal
    >>> shoal.set_threads(1)
    >>> shoal.set_threads(None)
    """
    global _chosen
    if n is not None and (not is_whole(n) or n < 1):
        raise InputError(f"{n!r} threads were asked for; the number must be a whole number of at least 1.")
    _chosen = n


def threads() -> int:
    """Return the threads work runs on: `set_threads`, SHOAL_NUM_THREADS, else min(affinity, quota, OMP_NUM_THREADS)."""
    if _chosen is not None:
        return _chosen
    own = _positive_int(os.environ.get("SHOAL_NUM_THREADS"))
    if own is not None:
        return own
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    limits = [affinity, _cgroup_cpus(), _positive_int(os.environ.get("OMP_NUM_THREADS"))]
    return max(1, min(n for n in limits if n is not None))


def _positive_int(text: str | None) -> int | None:
    try:
        n = int(text or "")
    except ValueError:
        return None
    return n if n >= 1 else None


@functools.cache
def _cgroup_cpus() -> int | None:
    """CPUs a container may use: its quota rounded up. `sched_getaffinity` does not see it. Read once: 0.2 ms."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()[:2]
        if quota != "max":
            return max(1, math.ceil(int(quota) / int(period)))
    with contextlib.suppress(OSError, ValueError):
        micros = int(Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").read_text())
        period_us = int(Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us").read_text())
        if micros > 0:
            return max(1, math.ceil(micros / period_us))
    return None


def blocks(n: int, size: int) -> list[tuple[int, int]]:
    """Cut ``range(n)`` into half-open blocks of `size`, the last one shorter."""
    return [(start, min(start + size, n)) for start in range(0, n, size)]


def triangle_blocks(n: int, size: int) -> list[tuple[int, int, int]]:
    """Rows of a condensed matrix in blocks of about `size` entries: (first row, one past the last, place of the first)."""
    found, i, start = [], 0, 0
    while i < n - 1:
        stop, entries = i, 0
        while stop < n - 1 and (entries == 0 or entries + n - 1 - stop <= size):
            entries += n - 1 - stop
            stop += 1
        found.append((i, stop, start))
        i, start = stop, start + entries
    return found


def run(work: Callable[..., Any], tasks: Iterable[Sequence[Any]], ticker: Ticker | None = None) -> None:
    """Call ``work(*task)`` for every task, on up to `threads()` threads, and return when all are done.

    Parameters
    ----------
    work : callable
        Releases the GIL for most of its time; writes only what belongs to its task.
    tasks : iterable of sequences
        Their order is the order they are begun in.
    ticker : Ticker, optional
        Told after each task; may cancel.

    Raises
    ------
    KeyboardInterrupt
        As soon as the tasks in flight have ended. Nothing of this call is running any more then.
    """
    todo = list(tasks)
    workers = min(threads(), len(todo))
    if workers <= 1 or getattr(_inside, "worker", False):
        for task in todo:
            work(*task)
            if ticker is not None:
                ticker.step()
        return
    _run_on_threads(work, todo, workers, ticker)


def _run_on_threads(work: Callable[..., Any], todo: list[Sequence[Any]], workers: int, ticker: Ticker | None) -> None:
    """Workers take tasks from one queue; this thread only waits, so that a signal reaches it at once."""
    queue = iter(todo)
    lock = threading.Lock()
    state: dict[str, Any] = {"finished": 0, "error": None, "stop": False}

    def worker() -> None:
        _inside.worker = True
        try:
            while not state["stop"]:
                with lock:
                    task = next(queue, None)
                if task is None:
                    break
                work(*task)
                with lock:
                    state["finished"] += 1
        except BaseException as error:
            with lock:
                state["error"] = state["error"] or error
                state["stop"] = True
        finally:
            _inside.worker = False

    started: list[Future[None]] = []
    told = 0
    try:
        _start(worker, workers, started)
        while wait(started, timeout=0.03).not_done:
            if ticker is not None:
                finished = state["finished"]
                ticker.step(finished - told)
                told = finished
    except BaseException:
        state["stop"] = True
        wait([future for future in started if not future.cancel()])
        raise
    if state["error"] is not None:
        raise state["error"]
    if ticker is not None:
        ticker.step(len(todo) - told)


def _start(worker: Callable[[], None], workers: int, started: list[Future[None]]) -> None:
    """Hand the workers to the one executor, which grows when more threads are asked for.

    Under one lock: a caller in another thread may otherwise shut the executor down for a larger one in between.
    """
    global _executor, _executor_size
    with _executor_lock:
        if _executor is None or _executor_size < workers:
            if _executor is not None:
                _executor.shutdown(wait=False)
            _executor = ThreadPoolExecutor(workers, thread_name_prefix="shoal")
            _executor_size = workers
        started.extend(_executor.submit(contextvars.copy_context().run, worker) for _ in range(workers))


def _forget_pool() -> None:
    global _executor, _executor_lock
    _executor = None
    _executor_lock = threading.Lock()
    _inside.worker = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
