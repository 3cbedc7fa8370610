"""What a plan says beside what the work takes: the peak memory of every engine, as numpy reports it to tracemalloc."""

from __future__ import annotations

import tracemalloc
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import sparse

import shoal
from shoal.runtime import pool
from shoal.trees import blocked, stored
from shoal.trees.linkage import ENGINES, Engine, Work


class Case(NamedTuple):
    """Points of `d` features in clumps, or in one cloud; sparse ones by the entries of a row; or d=0: distances."""

    method: str
    n: int
    d: int = 0
    metric: str = "euclidean"
    dtype: Any = np.float64
    entries: int = 0
    cloud: bool = False


CASES = {
    "stored": (Case("average", 4500), Case("single", 5000), Case("ward", 5500, dtype=np.float32),
               Case("average", 500, 16_000, "euclidean"), Case("complete", 800, 5000, "cosine")),
    "spanning": (Case("single", 300_000, 2), Case("single", 30_000, 8)),
    "spatial": (Case("ward", 300_000, 2), Case("ward", 20_000, 8)),
    "members": (Case("average", 6000, 50, cloud=True), Case("complete", 6000, 50, cloud=True)),  # planned for the worst
    "heap": (Case("centroid", 200_000, 2), Case("median", 20_000, 6)),
    "blocked": (Case("ward", 6000, 60), Case("average", 5000, 400, "cosine"), Case("average", 1000, 4000, "cosine"),
                Case("average", 6000, 2000, "cosine", entries=20)),
}
EACH = [(engine, case) for engine in ENGINES for case in CASES.get(engine.name, ())]  # a graph's edges: see below


def carrier(case: Case) -> Any:
    """Make the data of a piece of work."""
    rng = np.random.default_rng(0)
    if case.d == 0:
        return shoal.distances(rng.random(case.n * (case.n - 1) // 2).astype(case.dtype))
    clump = rng.integers(0, 50, case.n)
    if case.entries:
        half = case.entries // 2
        own = rng.integers(0, case.d, (50, 60))[clump[:, None], rng.integers(0, 60, (case.n, half))]
        columns = np.concatenate([own, rng.integers(0, case.d, (case.n, half))], axis=1).astype(np.int32)
        starts = np.arange(0, case.n * case.entries + 1, case.entries)
        X = sparse.csr_array((rng.random(case.n * case.entries), columns.ravel(), starts), shape=(case.n, case.d))
        return shoal.points(X, case.metric)
    X = rng.normal(size=(case.n, case.d)) + (0 if case.cloud else 3 * rng.normal(size=(50, case.d))[clump])
    return shoal.points(X.astype(case.dtype), case.metric)


@pytest.fixture(scope="module")
def loaded() -> None:
    """Load what the engines import and compile, whose memory is not the work's."""
    for engine, case in EACH:
        engine.run(carrier(case._replace(n=600, d=min(case.d, 30))), case.method, None)


@pytest.mark.large
@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(("engine", "case"), EACH, ids=[f"{engine.name}-{i}" for i, (engine, _) in enumerate(EACH)])
def test_the_peak_is_what_the_plan_says(engine: Engine, case: Case) -> None:
    data = carrier(case)
    work = Work.of(data, case.method)
    assert engine.takes(work)
    tracemalloc.start()
    try:
        engine.run(data, case.method, None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert engine.bytes(work) == pytest.approx(peak, rel=0.15)


def test_every_engine_has_its_cases() -> None:
    assert {*CASES, "forest"} == {engine.name for engine in ENGINES}  # that one takes edges: 80 bytes each, and each item


def test_sparse_rows_are_planned_by_their_entries() -> None:
    few, many = (blocked.peak_bytes(50_000, 30_000, nnz) for nnz in (3_000_000, 30_000_000))
    assert few < 500e6 < many < 1e9 < blocked.peak_bytes(50_000, 30_000)
    few_s, many_s = (blocked.seconds(50_000, 30_000, nnz) for nnz in (3_000_000, 30_000_000))
    assert few_s < many_s < blocked.seconds(50_000, 30_000)
    data = carrier(Case("average", 800, 200, "cosine", entries=10))
    work = Work.of(data, "average")
    assert (work.nnz, work.sparse, work.d) == (data.X.nnz, True, 200)
    assert Work.of(shoal.points(np.eye(4), square=True), "ward").nnz is None


def test_sparse_rows_go_to_the_engine_that_is_planned_to_be_faster() -> None:
    stored_engine, blocked_engine = (next(e for e in ENGINES if e.name == name) for name in ("stored", "blocked"))
    for n, entries in ((600, 10), (3000, 60), (50_000, 25)):
        work = Work("average", n, 30_000, "cosine", n * entries, 8)
        assert blocked_engine.takes(work)
        assert blocked_engine.seconds(work) < stored_engine.seconds(work)
    assert not blocked_engine.takes(Work("average", 400, 30_000, "cosine", 4000, 8))  # as plain Python, by the matrix
    assert not blocked_engine.takes(Work("complete", 4000, 30_000, "cosine", 4000, 8))


def test_more_threads_take_less_time_and_hardly_more_memory() -> None:
    found = []
    try:
        for threads in (1, 8):
            shoal.set_threads(threads)
            assert pool.threads() == threads
            found.append((blocked.seconds(50_000, 256, 1_280_000), blocked.peak_bytes(50_000, 256, 1_280_000)))
    finally:
        shoal.set_threads(None)
    assert found[0][0] == pytest.approx(8 * found[1][0])
    assert found[0][1] <= found[1][1] < 2 * found[0][1]


def test_single_linkage_only_reads_its_matrix() -> None:
    assert stored.peak_bytes(5000, 8, "single") < 1.02 * 8 * 5000 * 4999 / 2
    assert stored.peak_bytes(5000) - stored.peak_bytes(5000, 8, "single") == 8 * 8 * (stored.BLOCK + 5000)


def test_the_data_says_what_a_plan_needs() -> None:
    X = np.random.default_rng(0).normal(size=(3000, 4)).astype(np.float32)
    assert shoal.plan(shoal.points(X), method="average") == shoal.plan(3000, 4, "average", dtype=np.float32)
    edges = np.stack([np.arange(2999), np.arange(1, 3000)], axis=1)
    graph = shoal.graph(edges, kind="distance", missing="shortest_path")
    assert shoal.plan(graph, method="single").engine == "forest"
    assert shoal.plan(graph, method="average").engine == "stored"
