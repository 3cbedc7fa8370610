"""The dispatcher: what it refuses before any work, what work will take, and that the caller's memory stays as it is."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shoal
from certificates import assert_same_tree
from shoal.errors import InputError, TooLargeError
from shoal.runtime import progress as progress_module
from shoal.trees import linkage as engines
from shoal.trees import stored
from shoal.trees.merges import Merges
from strategies import METHODS, read_only


def cloud(n: int, d: int = 3) -> Any:
    return np.random.default_rng(n).normal(size=(n, d))


def square_of(X: Any) -> Any:
    return np.sqrt(((X[:, None, :] - X[None, :, :]) ** 2).sum(axis=2))


def same_bits(a: Merges, b: Merges) -> None:
    assert all(x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


# --------------------------------------------------------------------------------------------------- the caller's memory


def forms(X: Any) -> dict[str, Any]:
    D = square_of(X)
    return {"points": X, "square": D, "condensed": D[np.triu_indices(len(D), 1)]}


def door(form: str, data: Any) -> Any:
    return shoal.points(data) if form == "points" else shoal.distances(data)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [30, 150])
@pytest.mark.parametrize("form", ["points", "square", "condensed"])
@pytest.mark.parametrize("method", METHODS)
def test_given_memory_is_read_only_and_stays_the_same(method: str, form: str, n: int, dtype: Any, tmp_path: Path) -> None:
    data = forms(cloud(n))[form].astype(dtype)
    before = data.tobytes()
    w = np.random.default_rng(1).uniform(1, 2, n)
    kept = w.copy()
    usual = shoal.linkage(door(form, data), method, weights=w).merges
    assert data.tobytes() == before
    assert (w == kept).all()
    same_bits(usual, shoal.linkage(door(form, read_only(data)), method, weights=w).merges)
    if n == 150:
        np.save(tmp_path / "data.npy", data)
        mapped = np.load(tmp_path / "data.npy", mmap_mode="r")
        same_bits(usual, shoal.linkage(door(form, mapped), method, weights=w).merges)
        assert np.load(tmp_path / "data.npy").tobytes() == before


@pytest.mark.parametrize("method", METHODS)
def test_a_carrier_can_be_used_again(method: str) -> None:
    for form, data in forms(cloud(140)).items():
        carrier = door(form, data)
        same_bits(shoal.linkage(carrier, method).merges, shoal.linkage(carrier, method).merges)


# --------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("method", METHODS)
def test_work_that_does_not_fit_is_refused_before_anything_is_allocated(method: str) -> None:
    X = np.zeros((65_536, 2))
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError) as caught:
            shoal.linkage(X, method, engine="stored", memory_limit="8GB")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40e6  # the matrix alone would take 17 GB
    text = str(caught.value)
    assert text.startswith(f"{method.capitalize()} linkage of 65,536 items needs 17.")
    assert "GB; memory_limit allows 8 GB." in text
    assert ("builds the same tree in" if shoal.plan(65_536, 2, method).engine != "stored" else "float32") in text
    assert caught.value.exit_code == 4


def test_a_refusal_names_the_methods_that_would_fit() -> None:
    with pytest.raises(TooLargeError, match=r"By single, .*ward.* linkage these items take [\d.]+ MB or less"):
        shoal.linkage(np.zeros((20_000, 3)), "average", memory_limit="50MB")


def test_the_limit_counts_to_the_byte() -> None:
    X = cloud(50)
    needed = shoal.plan(50, 3, "average").bytes
    assert shoal.linkage(X, "average", memory_limit=needed).n == 50
    with pytest.raises(TooLargeError):
        shoal.linkage(X, "average", memory_limit=needed - 1)
    with pytest.raises(InputError, match="amount of memory"):
        shoal.linkage(X, "average", memory_limit="lots")


def test_single_precision_needs_half() -> None:
    need = {dtype: shoal.plan(20_000, None, "average", dtype=dtype).bytes for dtype in (np.float32, np.float64)}
    assert need[np.float32] == pytest.approx(need[np.float64] / 2, rel=0.02)
    X = cloud(300).astype(np.float32)
    limit = shoal.plan(300, 3, "average", dtype=np.float32).bytes
    assert shoal.linkage(X, "average", memory_limit=limit).n == 300
    with pytest.raises(TooLargeError):
        shoal.linkage(X.astype(np.float64), "average", memory_limit=limit)


@pytest.mark.parametrize("name", ["Wards", "", "ward.D", None, 3])
def test_an_unknown_method_is_refused_with_the_list(name: Any) -> None:
    for call in (lambda: shoal.linkage(cloud(4), name), lambda: shoal.plan(4, 2, name)):
        with pytest.raises(InputError, match="single, complete, average, weighted, ward, centroid, median"):
            call()


def test_the_name_of_a_method_may_be_in_capitals() -> None:
    assert shoal.linkage(cloud(4), "WARD").method == "ward"


def test_an_unknown_engine_is_refused() -> None:
    assert shoal.linkage(cloud(4), engine="stored").engine == "stored"
    with pytest.raises(InputError, match="'auto' or one of 'stored'"):
        shoal.linkage(cloud(4), engine="gpu")


@pytest.mark.parametrize("metric", ["cityblock", "sqeuclidean", "cosine", lambda x, y: float(abs(x - y).sum())])
@pytest.mark.parametrize("method", ["ward", "centroid", "median"])
def test_methods_of_means_take_the_euclidean_metric_only(method: str, metric: Any) -> None:
    with pytest.raises(InputError, match="takes Euclidean distances"):
        shoal.linkage(cloud(5), method, metric)
    assert shoal.linkage(cloud(5), method, "l2").n == 5


# ------------------------------------------------------------------------------------------------------------------ plan


def test_the_plan_says_the_bytes_of_the_engine() -> None:
    for n, d, dtype, itemsize in ((2, 1, np.float64, 8), (1000, None, np.float32, 4), (50_000, 10, np.float64, 8)):
        plan = shoal.plan(n, d, "ward", metric="cityblock", dtype=dtype)  # only the stored matrix serves every metric
        matrix = itemsize * n * (n - 1) // 2
        assert plan.bytes == max(stored.peak_bytes(n, itemsize, "ward"), matrix + 8 * n * (d or 0))
        assert (plan.engine, plan.method, plan.n, plan.d) == ("stored", "ward", n, d)
        assert 0 < plan.seconds < math.inf
    assert shoal.plan(1000, 5, memory_limit="1GB").fits
    assert not shoal.plan(50_000, None, "complete", memory_limit="1GB").fits
    assert not shoal.plan(10**7, None, "complete").fits


def test_a_plan_grows_with_everything() -> None:
    small, more, wide = shoal.plan(1000, 5), shoal.plan(2000, 5), shoal.plan(1000, 500)
    assert small.bytes < more.bytes
    assert small.seconds < more.seconds
    assert small.bytes < wide.bytes
    assert small.seconds < wide.seconds
    for method in METHODS:
        assert shoal.plan(1000, 5, method).method == method


@pytest.mark.large
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", METHODS)
def test_the_peak_is_what_the_plan_says(method: str, dtype: Any) -> None:
    X = cloud(3000).astype(dtype)
    carrier = shoal.points(X)
    shoal.linkage(X[:200], method)  # compiled, and imports done
    tracemalloc.start()
    try:
        shoal.linkage(carrier, method, engine="stored")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    matrix = 3000 * 2999 // 2 * np.dtype(dtype).itemsize
    work = engines.Work.of(carrier, method)
    assert matrix < peak <= engines.choose(work, "stored", np.inf).bytes(work)


def test_the_fastest_engine_that_fits_is_chosen() -> None:
    assert shoal.plan(100_000, 2, "single").engine == "spanning"
    assert shoal.plan(1_000_000, 2, "ward").engine == "spatial"
    assert shoal.plan(54_000, 100, "ward").engine == "blocked"
    assert shoal.plan(50_000, 256, "average", metric="cosine").engine == "blocked"
    assert shoal.plan(50_000, 256, "average", memory_limit="1TB").engine == "stored"
    assert shoal.plan(100_000, method="single", memory_limit="1TB").engine == "stored"
    assert shoal.plan(100_000, 2, "single", metric="cityblock", memory_limit="1TB").engine == "stored"
    assert shoal.plan(100_000, 60, "single", memory_limit="1GB").engine == "spanning"
    X = cloud(2000, d=2)
    assert shoal.linkage(X, "single").engine == "spanning"
    np.testing.assert_allclose(shoal.linkage(X, "single").merges.height,
                               shoal.linkage(X, "single", engine="stored").merges.height, rtol=1e-13)
    assert shoal.linkage(X).engine == "spatial"
    wide = cloud(2500, d=300)
    for data, method in ((wide, "ward"), (shoal.points(wide, "cosine"), "average")):
        tree = shoal.linkage(data, method, engine="blocked")
        expected = shoal.linkage(data, method, engine="stored").merges.height
        np.testing.assert_allclose(tree.merges.height, expected, rtol=1e-10)
    with pytest.raises(InputError, match="does not build average linkage"):
        shoal.linkage(X, "average", engine="spanning")


PEAK = """
import json, resource, numpy as np, shoal
X = np.random.default_rng(0).normal(size=(3000, 2))
shoal.linkage(X[:300], "ward")  # compiled kernels, threads and imports are there whatever comes
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
shoal.linkage(X, "ward")
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps([before, after, shoal.plan(3000, 2, "ward").bytes]))
"""


@pytest.mark.large
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss counts KiB on Linux")
def test_a_process_of_its_own_peaks_where_the_plan_says(child_env: dict[str, str]) -> None:
    found = subprocess.run([sys.executable, "-c", PEAK], env=child_env, capture_output=True, text=True, check=True)
    before, after, said = json.loads(found.stdout)
    assert after <= 1.15 * (before + said)
    assert after >= 0.85 * (before + 8 * 3000 * 2999 // 2)


# --------------------------------------------------------------------------------------------------- progress, Ctrl-C


@pytest.mark.large
@pytest.mark.parametrize("n", [60, 400])
@pytest.mark.parametrize("method", METHODS)
def test_progress_rises_to_one(method: str, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "EVERY_S", 0.0)
    told: dict[str, list[float]] = {}
    shoal.linkage(cloud(n), method, progress=lambda fraction, message: told.setdefault(message, []).append(fraction))
    assert len(told) == 2
    for message, fractions in told.items():
        assert f"{n} items" in message
        assert fractions == sorted(fractions)
        assert 0 <= fractions[0] <= fractions[-1] == 1.0
    assert any(message.startswith(method) for message in told)


@pytest.mark.parametrize("at", ["distances", "linkage"])
@pytest.mark.parametrize("method", ["single", "average", "centroid"])
def test_false_from_the_progress_cancels(method: str, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "EVERY_S", 0.0)
    X = cloud(300)
    expected = shoal.linkage(X, method).merges
    calls = []

    def cancel(fraction: float, message: str) -> Any:
        calls.append(message)
        return at not in message

    with pytest.raises(KeyboardInterrupt):
        shoal.linkage(X, method, progress=cancel)
    assert sum(at in message for message in calls) == 1
    same_bits(shoal.linkage(X, method).merges, expected)


def test_ctrl_c_is_heard_and_the_pool_stays_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "EVERY_S", 0.0)
    monkeypatch.setattr(stored, "BLOCK", 500)
    X = cloud(300)
    expected = shoal.linkage(X).merges
    shoal.set_threads(2)
    try:
        with pytest.raises(KeyboardInterrupt):
            shoal.linkage(X, progress=lambda fraction, message: signal.raise_signal(signal.SIGINT))
        same_bits(shoal.linkage(X).merges, expected)
    finally:
        shoal.set_threads(None)


# ----------------------------------------------------------------------------------------------------------- plain Python


@pytest.mark.large
def test_small_trees_do_not_import_numba(child_env: dict[str, str]) -> None:
    code = ("import sys, numpy as np, shoal; X = np.random.default_rng(0).normal(size=(%d, 3)); "
            "shoal.linkage(X, 'average').cut(k=2); print('numba' in sys.modules)")
    for n, expected in ((100, "False"), (1000, "True")):
        found = subprocess.run([sys.executable, "-c", code % n], env=child_env, capture_output=True, text=True, check=True)
        assert found.stdout.strip() == expected


@pytest.mark.parametrize("method", METHODS)
def test_one_item_and_two(method: str) -> None:
    one = shoal.linkage([[3.0, 4.0]], method)
    assert (one.n, len(one.merges.height), one.order().tolist()) == (1, 0, [0])
    two = shoal.linkage([[0.0, 0.0], [3.0, 4.0]], method)
    assert two.merges.height.tolist() == [5.0]
    assert_same_tree(two.merges, shoal.linkage(shoal.distances([5.0]), method).merges, rtol=0, atol=0)


@pytest.mark.parametrize("method", ["single", "complete", "average", "weighted", "ward", "centroid", "median"])
def test_wide_sparse_points_need_no_dense_copy(method: str) -> None:
    from scipy import sparse

    X = sparse.csr_array((np.arange(1.0, 41.0), (np.arange(40), np.arange(40) * 10**6)), shape=(40, 4 * 10**7))
    tree = shoal.linkage(X, method, memory_limit="100MB")  # 13 GB as a dense array
    assert tree.n == 40
