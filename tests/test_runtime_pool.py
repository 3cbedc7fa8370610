"""Threads over fixed blocks: same bits for any number, errors and interrupts that leave nothing running, forks."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import InputError
from shoal.runtime import pool
from shoal.runtime.kernel import plain_python
from shoal.runtime.progress import Ticker

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


@pytest.fixture(autouse=True)
def default_threads() -> Iterator[None]:
    yield
    pool.set_threads(None)


@given(st.integers(0, 500), st.integers(1, 100))
def test_blocks_cut_the_range_without_gaps(n: int, size: int) -> None:
    cut = pool.blocks(n, size)
    assert [i for start, stop in cut for i in range(start, stop)] == list(range(n))
    assert all(stop - start == size for start, stop in cut[:-1])
    assert all(0 < stop - start <= size for start, stop in cut)


def test_result_has_the_same_bits_for_any_number_of_threads() -> None:
    values = np.random.default_rng(0).normal(size=10_000) * 10.0 ** (np.arange(10_000) % 7)
    results = []
    for n in (1, 2, 5):
        pool.set_threads(n)
        cut = pool.blocks(len(values), 101)
        parts = np.empty(len(cut))

        def work(block: int, start: int, stop: int, parts: Any = parts) -> None:
            parts[block] = values[start:stop].sum()

        pool.run(work, [(b, *edges) for b, edges in enumerate(cut)])
        results.append(parts.sum().tobytes())
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("n", [1, 3])
def test_every_task_runs_once_and_no_task_is_fine(n: int) -> None:
    pool.set_threads(n)
    done: list[int] = []
    pool.run(done.append, [(i,) for i in range(200)])
    assert sorted(done) == list(range(200))
    pool.run(done.append, [])
    assert len(done) == 200


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("kind", [ZeroDivisionError, SystemExit, KeyboardInterrupt])
def test_errors_come_out_and_stop_the_rest(n: int, kind: type[BaseException]) -> None:
    pool.set_threads(n)
    begun: list[int] = []

    def work(i: int) -> None:
        begun.append(i)
        if i == 5:
            raise kind("task 5")
        time.sleep(0.001)

    with pytest.raises(kind, match="task 5"):
        pool.run(work, [(i,) for i in range(1000)])
    assert len(begun) < 500
    assert_usable()


def assert_usable() -> None:
    pool.set_threads(3)
    done: list[int] = []
    pool.run(done.append, [(i,) for i in range(20)])
    assert sorted(done) == list(range(20))


class Busy:
    """Counts tasks begun and tasks running."""

    def __init__(self, during: Callable[[int], None] = lambda i: None) -> None:
        self.begun, self.running, self.lock, self.during = 0, 0, threading.Lock(), during

    def __call__(self, i: int) -> None:
        with self.lock:
            self.begun += 1
            self.running += 1
        try:
            self.during(i)
            time.sleep(0.005)
        finally:
            with self.lock:
                self.running -= 1


@pytest.mark.parametrize("n", [1, 3])
def test_a_ticker_cancels_and_nothing_goes_on(n: int) -> None:
    pool.set_threads(n)
    work = Busy()
    with pytest.raises(KeyboardInterrupt, match="cancelled by the progress callable"):
        pool.run(work, [(i,) for i in range(2000)], Ticker(lambda fraction, message: False, total=2000))
    assert work.running == 0
    assert 0 < work.begun < 1000
    assert_usable()


@pytest.mark.parametrize("n", [1, 3])
def test_ctrl_c_is_heard_and_nothing_goes_on(n: int) -> None:
    pool.set_threads(n)
    work = Busy(lambda i: os.kill(os.getpid(), signal.SIGINT) if i == 4 else None)
    with pytest.raises(KeyboardInterrupt):
        pool.run(work, [(i,) for i in range(2000)])
    assert work.running == 0
    assert 4 < work.begun < 1000
    assert_usable()


def test_ticker_hears_every_task() -> None:
    for n in (1, 3):
        pool.set_threads(n)
        ticker = Ticker(None, total=50)
        pool.run(lambda i: time.sleep(0.002), [(i,) for i in range(50)], ticker)
        assert ticker.done == 50


def test_a_task_may_run_tasks() -> None:
    pool.set_threads(2)
    done: list[tuple[int, int]] = []

    def outer(i: int) -> None:
        pool.run(lambda j: done.append((i, j)), [(j,) for j in range(4)])

    pool.run(outer, [(i,) for i in range(8)])
    assert sorted(done) == [(i, j) for i in range(8) for j in range(4)]


def test_callers_in_several_threads_with_growing_pools() -> None:
    done: list[int] = []
    errors: list[BaseException] = []

    def caller(n: int) -> None:
        try:
            for _ in range(20):
                pool.set_threads(n)
                pool.run(done.append, [(i,) for i in range(10)])
        except BaseException as error:
            errors.append(error)

    callers = [threading.Thread(target=caller, args=(n,)) for n in range(2, 10)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert errors == []
    assert len(done) == 8 * 20 * 10


def test_waiting_behind_another_caller_can_be_cancelled() -> None:
    pool.set_threads(2)
    pool.run(lambda i: None, [(0,), (1,)])
    pool._executor = None  # a pool of exactly two
    entered, release = threading.Event(), threading.Event()

    def hold(i: int) -> None:
        entered.set()
        release.wait(30)

    other = threading.Thread(target=pool.run, args=(hold, [(0,), (1,)]))
    other.start()
    try:
        assert entered.wait(30)
        begun: list[int] = []
        with pytest.raises(KeyboardInterrupt):
            pool.run(begun.append, [(0,), (1,)], Ticker(lambda fraction, message: False, total=2))
        assert begun == []
    finally:
        release.set()
        other.join()


def test_workers_see_the_callers_context() -> None:
    from shoal.runtime import kernel

    pool.set_threads(2)
    seen: list[bool] = []
    with plain_python(True):
        pool.run(lambda i: seen.append(kernel._plain.get()), [(i,) for i in range(8)])
    pool.run(lambda i: seen.append(kernel._plain.get()), [(i,) for i in range(8)])
    assert seen == [True] * 8 + [False] * 8


def in_child(result: Any) -> None:
    done: list[int] = []
    pool.run(done.append, [(i,) for i in range(50)])
    result.value = len(done)


@needs_fork
def test_a_forked_process_makes_its_own_pool() -> None:
    pool.set_threads(3)
    pool.run(lambda i: None, [(i,) for i in range(10)])
    assert pool._executor is not None
    context = multiprocessing.get_context("fork")
    result = context.Value("i", 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later warn of forks beside threads
        child = context.Process(target=in_child, args=(result,))
        child.start()
    child.join(60)
    assert (child.exitcode, result.value) == (0, 50)
    assert_usable()


@needs_fork
def test_a_fork_while_work_is_under_way() -> None:
    pool.set_threads(2)
    codes: list[int] = []

    def work(i: int) -> None:
        time.sleep(0.01)

    busy = threading.Thread(target=pool.run, args=(work, [(i,) for i in range(100)]))
    busy.start()
    for _ in range(3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            signal.alarm(60)  # a child that hangs dies by itself, and the test fails
            done: list[int] = []
            pool.run(done.append, [(i,) for i in range(20)])
            os._exit(0 if sorted(done) == list(range(20)) else 1)
        codes.append(os.waitpid(child, 0)[1])
    busy.join()
    assert codes == [0, 0, 0]


@pytest.mark.parametrize("n", [0, -1, 1.0, "2", True])
def test_set_threads_refuses(n: Any) -> None:
    with pytest.raises(InputError, match="at least 1"):
        pool.set_threads(n)


def fake_system(monkeypatch: pytest.MonkeyPatch, root: Path, cpus: int = 64) -> None:
    """Let the pool see files below `root`, `cpus` processors and no variables."""
    monkeypatch.setattr(pool, "Path", lambda path: root / path.lstrip("/"))
    monkeypatch.setattr(pool, "_cgroup_cpus", pool._cgroup_cpus.__wrapped__)  # read anew
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cpus)), raising=False)
    for name in ("SHOAL_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


def test_threads_by_argument_environment_and_affinity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_system(monkeypatch, tmp_path, cpus=16)
    assert pool.threads() == 16
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert pool.threads() == 4
    for text in ("", "none", "0", "-3", "2.5"):
        monkeypatch.setenv("SHOAL_NUM_THREADS", text)
        assert pool.threads() == 4
    monkeypatch.setenv("SHOAL_NUM_THREADS", "32")
    assert pool.threads() == 32
    pool.set_threads(7)
    assert pool.threads() == 7
    pool.set_threads(None)
    assert pool.threads() == 32


@pytest.mark.parametrize(("files", "expected"), [
    ({"cpu.max": "max 100000"}, 64), ({"cpu.max": "200000 100000"}, 2), ({"cpu.max": "150000 100000"}, 2),
    ({"cpu.max": "5000 100000"}, 1), ({"cpu.max": ""}, 64), ({"cpu.max": "broken"}, 64),
    ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
    ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3)])
def test_container_quota(files: dict[str, str], expected: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_system(monkeypatch, tmp_path)
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert pool.threads() == expected


def test_the_interpreter_ends_while_the_pool_lives(child_env: dict[str, str]) -> None:
    code = "from shoal.runtime import pool; pool.set_threads(3); pool.run(lambda i: None, [(i,) for i in range(9)])"
    subprocess.run([sys.executable, "-W", "error", "-c", code], env=child_env, check=True, timeout=60)
