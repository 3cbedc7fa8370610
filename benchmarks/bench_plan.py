"""What a plan says beside what the work takes: bytes and seconds of every engine, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

import shoal
from common import ROOT, table
from shoal.trees.linkage import ENGINES, Work


class Case(NamedTuple):
    """A piece of work: points of `d` features in 100 groups, sparse ones by their share of entries; d=0: distances of all
    pairs, or of some: the `edges` of a graph.
    """

    method: str
    n: int
    d: int = 0
    metric: str = "euclidean"
    dtype: str = "float64"
    share: float = 1.0
    edges: int = 0

    def __str__(self) -> str:
        what = f"{self.edges:,} edges" if self.edges else "distances" if self.d == 0 else f"{self.metric} × {self.d:,}"
        sparse = "" if self.share == 1.0 else f", {self.share:.1%} full"
        return f"{self.method} {self.n:,}, {what} {self.dtype}{sparse}"


CASES = {
    "stored": (Case("average", 12_000), Case("single", 10_000), Case("centroid", 8000, dtype="float32"),
               Case("complete", 8000, 500, "cityblock"), Case("average", 8000, 300, "cosine")),
    "spanning": (Case("single", 1_000_000, 2), Case("single", 200_000, 8), Case("single", 30_000, 100)),
    "forest": (Case("single", 100_000, edges=3_000_000),),
    "spatial": (Case("ward", 1_000_000, 2), Case("ward", 100_000, 8)),
    "members": (Case("average", 100_000, 2), Case("complete", 30_000, 8)),
    "heap": (Case("centroid", 300_000, 2), Case("median", 50_000, 6)),
    "blocked": (Case("ward", 20_000, 100), Case("average", 20_000, 500, "cosine", "float32"),
                Case("average", 30_000, 256, "cosine", share=0.1), Case("ward", 20_000, 20_000, share=0.003)),
}


def carrier(case: Case) -> Any:
    """Make the data, in the memory it ends up in."""
    rng = np.random.default_rng(0)
    if case.edges:
        i, j = rng.integers(case.n, size=(2, case.edges))
        keys = np.unique(np.minimum(i, j)[i != j] * case.n + np.maximum(i, j)[i != j])
        edges = sparse.coo_array((rng.random(len(keys)) + 0.1, (keys // case.n, keys % case.n)), shape=(case.n, case.n))
        return shoal.graph(edges, kind="distance", missing="shortest_path")
    if case.d == 0:
        return shoal.distances(rng.random(case.n * (case.n - 1) // 2, case.dtype))
    if case.share < 1.0:
        return shoal.points(sparse_rows(case, rng), case.metric)
    X = rng.standard_normal((case.n, case.d), case.dtype)
    centres = 3 * rng.standard_normal((100, case.d), case.dtype)
    for i in range(case.n):
        X[i] += centres[i % 100]
    return shoal.points(X, case.metric)


def sparse_rows(case: Case, rng: np.random.Generator) -> Any:
    """Rows with as many entries each, half of them in columns of their group."""
    each = int(case.share * case.d)
    groups = rng.permuted(np.tile(np.arange(case.d), (100, 1)), axis=1)[:, :4 * each]
    columns = np.empty((case.n, each), np.int32)
    for i in range(case.n):
        own = rng.choice(groups[i % 100], each // 2, replace=False)
        columns[i, :each // 2] = own
        columns[i, each // 2:] = rng.choice(np.setdiff1d(np.arange(case.d), own), each - each // 2, replace=False)
    starts = np.arange(0, case.n * each + 1, each, dtype=np.int32)
    return sparse.csr_array((rng.random(case.n * each) + 0.1, columns.ravel(), starts), shape=(case.n, case.d))


def peak() -> int:
    """Peak resident bytes of this process."""
    with open("/proc/self/status") as lines:
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def child(name: str, number: int, whole: bool) -> None:
    """Hold the data and run the engine on a little of the same kind, then, if `whole`, on the data; print the peak."""
    engine, case = next(e for e in ENGINES if e.name == name), CASES[name][number]
    data = carrier(case)
    assert engine.takes(Work.of(data, case.method)), f"{name} does not take {case}"
    engine.run(carrier(case._replace(n=600, edges=min(case.edges, 3000))), case.method, None)
    start = time.perf_counter()
    if whole:
        engine.run(data, case.method, None)
    took, work = time.perf_counter() - start, Work.of(data, case.method)
    print(peak(), took, engine.bytes(work), engine.seconds(work))


def measured(name: str, number: int, whole: bool) -> list[float]:
    """Run a child, which reads its peak itself."""
    command = [sys.executable, __file__, name, str(number), str(int(whole))]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def main() -> str:
    """One row for each piece of work of each engine in the table of engines."""
    rows = []
    for engine in ENGINES:
        for number, case in enumerate(CASES[engine.name]):
            before = measured(engine.name, number, whole=False)[0]
            most, took, size, seconds = measured(engine.name, number, whole=True)
            rows.append((engine.name, str(case), size / 1e6, (most - before) / 1e6, f"{size / (most - before):.2f}",
                         seconds, took, f"{seconds / took:.2f}"))
    return "## Plans\n\n" + table(("engine", "work", "planned MB", "measured MB", "ratio", "planned s", "measured s",
                                   "ratio"), rows)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        child(sys.argv[1], int(sys.argv[2]), bool(int(sys.argv[3])))
    else:
        print(main())
