"""One body, two ways to run it: the same bits, from any thread and process, with and without a cache."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from shoal.runtime.kernel import Kernel, as_pair_kernel, kernel, plain_python

compiled_only = pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"), reason="JIT is off")


class Forest(NamedTuple):
    parent: Any
    weight: Any


@kernel
def squared(x: Any, y: Any) -> Any:
    """|x - y|^2, summed from the first coordinate to the last."""
    total = 0.0
    for c in range(x.shape[0]):
        # 0.0 + float32 is float32 to numpy and float64 to the compiler, which in turn lets float(x) be float32.
        difference = np.float64(x[c]) - np.float64(y[c])
        total += difference * difference
    return total


@kernel
def distances(X: Any, out: Any) -> None:
    """Distances of all rows to the first, by another kernel."""
    for i in range(X.shape[0]):
        out[i] = math.sqrt(squared(X[i], X[0])) / 3.0


@kernel
def climbed(forest: Any, node: Any) -> Any:
    """Weight on the way up from a node."""
    total = 0.0
    while forest.parent[node] != node:
        total += np.float64(forest.weight[node])
        node = forest.parent[node]
    return total


def both(body: Any, *args: Any) -> tuple[Any, Any]:
    compiled = body(*args)
    with plain_python(True):
        return compiled, body(*args)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_plain_and_compiled_give_the_same_bits(dtype: Any) -> None:
    X = (np.random.default_rng(0).normal(size=(40, 7)) * 100).astype(dtype)
    compiled, plain = np.empty(40), np.empty(40)
    distances(X, compiled)
    with plain_python(True):
        distances(X, plain)
    assert compiled.tobytes() == plain.tobytes()


def test_named_tuples_of_arrays_are_state() -> None:
    small = Forest(np.array([1, 2, 2], np.int32), np.array([0.1, 0.2, 9.0]))
    wide = Forest(np.array([1, 2, 2], np.int64), np.array([0.1, 0.2, 9.0], np.float32))
    for forest in (small, wide):
        compiled, plain = both(climbed, forest, 0)
        assert compiled == plain == pytest.approx(0.3, rel=1e-6)


def test_special_values_survive() -> None:
    X = np.array([[0.0], [np.inf], [np.nan], [-0.0], [1e200], [5e-324]])
    with np.errstate(over="ignore", invalid="ignore"):
        compiled, plain = np.empty(6), np.empty(6)
        distances(X, compiled)
        with plain_python(True):
            distances(X, plain)
    np.testing.assert_array_equal(compiled, plain)
    assert compiled[1] == np.inf
    assert np.isnan(compiled[2])


def test_every_layout_is_taken() -> None:
    X = np.arange(12.0).reshape(3, 4)
    frozen = X.copy()
    frozen.setflags(write=False)
    expected = np.empty(3)
    distances(X, expected)
    for form in (np.asfortranarray(X), frozen, np.repeat(X, 2, axis=1)[:, ::2], X[::-1].copy()[::-1]):
        out = np.empty(3)
        distances(form, out)
        assert out.tobytes() == expected.tobytes()


@compiled_only
def test_each_combination_of_types_is_compiled_once_and_under_the_lock() -> None:
    locked: list[Any] = []

    class Watched(Kernel):
        def _compile(self, args: tuple[Any, ...]) -> None:
            locked.append([getattr(a, "dtype", type(a)) for a in args])
            super()._compile(args)

    def total(X: Any) -> Any:
        s = 0.0
        for i in range(X.shape[0]):
            s += X[i, 0]
        return s

    watched = Watched(total)
    C, F = np.ones((3, 2)), np.ones((3, 2), order="F")
    for form in (C, F, C[:, ::2], C.astype(np.int32), C, F):
        assert watched(form) == 3.0
    assert len(locked) == 4
    assert len(watched.dispatcher.signatures) == 4


def test_plain_python_is_undone_and_nests() -> None:
    from shoal.runtime.kernel import _plain

    with plain_python(True):
        with plain_python(False):
            assert _plain.get()  # an outer wish stands
        assert _plain.get()
    assert not _plain.get()


def test_a_kernel_keeps_its_name_and_docstring() -> None:
    assert distances.__name__ == "distances"
    assert distances.__doc__ == "Distances of all rows to the first, by another kernel."


def test_eight_threads_call_first_at_once() -> None:
    @kernel
    def fresh(X: Any) -> Any:
        total = 0.0
        for x in X:
            total += x
        return total

    arrays = [np.arange(5).astype(dtype) for dtype in (np.float64, np.float32, np.int64, np.int32)] * 2
    barrier = threading.Barrier(8)
    found: list[float] = []

    def call(X: Any) -> None:
        barrier.wait(30)
        found.append(float(fresh(X)))

    threads = [threading.Thread(target=call, args=(X,)) for X in arrays]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [10.0] * 8


MODULE = """
from shoal.runtime.kernel import kernel

@kernel
def half(x):
    '''x / 2.'''
    return x / 2

@kernel
def total(X):
    '''Sum of halves.'''
    s = X[0] - X[0]
    for i in range(X.shape[0]):
        s += half(X[i])
    return s
"""

PROGRAM = """
import json, sys
import numpy as np
import mod
kinds = sys.argv[1].split(",")
found = {kind: float(mod.total(np.arange(1, 101).astype(kind))) for kind in kinds}
print(json.dumps({"found": found, "numba": "numba" in sys.modules}))
"""


def start(folder: Path, env: dict[str, str], kinds: str) -> subprocess.Popen[str]:
    env = {**env, "PYTHONPATH": os.pathsep.join([str(folder), env["PYTHONPATH"]])}
    command = [sys.executable, "-B", "-W", "error", "-c", PROGRAM, kinds]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen[str]) -> Any:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert err == ""
    return json.loads(out)


def expected(kinds: str) -> dict[str, float]:
    return dict.fromkeys(kinds.split(","), 2525.0)


def test_without_jit_the_body_runs_and_numba_is_not_imported(tmp_path: Path, child_env: dict[str, str]) -> None:
    (tmp_path / "mod.py").write_text(MODULE)
    got = answer(start(tmp_path, {**child_env, "NUMBA_DISABLE_JIT": "1"}, "float64"))
    assert got == {"found": expected("float64"), "numba": False}


@compiled_only
def test_where_no_cache_can_be_written_it_compiles_silently(tmp_path: Path, child_env: dict[str, str]) -> None:
    (tmp_path / "mod.py").write_text(MODULE)
    (tmp_path / "__pycache__").write_text("a file, so that no folder can be made here, not even by root")
    env = {**child_env, "HOME": os.devnull, "XDG_CACHE_HOME": os.devnull, "NUMBA_CACHE_DIR": os.devnull}
    got = answer(start(tmp_path, env, "float64"))
    assert got == {"found": expected("float64"), "numba": True}


@compiled_only
def test_four_processes_fill_a_cold_cache_at_once(tmp_path: Path, child_env: dict[str, str]) -> None:
    (tmp_path / "mod.py").write_text(MODULE)
    cache = tmp_path / "cache"
    env = {**child_env, "NUMBA_CACHE_DIR": str(cache)}
    orders = ["float64,float32", "float32,float64", "float64", "float32"]
    running = [start(tmp_path, env, kinds) for kinds in orders]
    for process, kinds in zip(running, orders, strict=True):
        assert answer(process)["found"] == expected(kinds)
    entries = sorted(cache.rglob("*total*.nbc"))
    assert len(entries) == 2
    assert answer(start(tmp_path, env, "float32,float64"))["found"] == expected("float32,float64")
    assert sorted(cache.rglob("*total*.nbc")) == entries


def manhattan(x: Any, y: Any) -> float:
    total = 0.0
    for c in range(x.shape[0]):
        total += abs(x[c] - y[c])
    return total


@compiled_only
def test_a_users_metric_is_compiled_into_a_row_loop() -> None:
    import numba

    X = np.random.default_rng(1).normal(size=(6, 3))
    for metric in (manhattan, numba.njit(manhattan)):
        rows = as_pair_kernel(metric, X[0], X[5])
        assert rows is not None
        out = np.empty(4)
        rows(X, 1, 2, 6, out)
        np.testing.assert_array_equal(out, [manhattan(X[1], X[j]) for j in range(2, 6)])


def out_of_reach(x: Any, y: Any) -> float:
    return float(json.loads("1"))


def failing(x: Any, y: Any) -> float:
    raise RuntimeError("not today")


@pytest.mark.parametrize("metric", [out_of_reach, failing, lambda x, y: "near"])
def test_metrics_out_of_reach_stay_python(metric: Any) -> None:
    assert as_pair_kernel(metric, np.zeros(2), np.ones(2)) is None


@compiled_only
def test_a_metric_of_nan_is_not_a_disagreement() -> None:
    with np.errstate(invalid="ignore"):
        assert as_pair_kernel(lambda x, y: x[0] - y[0], np.array([np.inf]), np.array([np.inf])) is not None


def test_without_jit_metrics_stay_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert as_pair_kernel(manhattan, np.zeros(2), np.ones(2)) is None


def test_a_cache_that_no_longer_fits_is_left_alone() -> None:
    class Stale:
        """What Numba's dispatcher does where a pickled type has moved."""

        def compile(self, types: Any) -> None:
            raise AttributeError("module has no attribute 'Old'")

    @kernel
    def twice(x: Any) -> float:
        return 2.0 * x

    twice._dispatcher = Stale()  # type: ignore[attr-defined]
    assert twice(21.0) == 42.0
