"""Run every benchmark and print Markdown. Leave the machine alone meanwhile."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))

import bench_cuts
import bench_interrupt
import bench_place
import bench_plan
import bench_reading
import bench_scale
import bench_start
import bench_trees
from common import machine

if __name__ == "__main__":
    print(f"Measured on: {machine()}\n", flush=True)
    bench_start.main()
    print()
    bench_trees.main()
    bench_interrupt.main()
    print()
    bench_scale.main()
    print(bench_plan.main(), flush=True)
    bench_reading.main()
    bench_place.main()
    bench_cuts.main()
