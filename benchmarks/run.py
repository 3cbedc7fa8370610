"""Run every benchmark and print Markdown. Leave the machine alone meanwhile."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))

import bench_cuts
import bench_interrupt
import bench_kernelized
import bench_kmeans
import bench_layouts
import bench_lloyd
import bench_medoids
import bench_neighbors
import bench_place
import bench_plan
import bench_reading
import bench_scale
import bench_seeding
import bench_spectral
import bench_start
import bench_stream
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
    for part in (bench_cuts, bench_seeding, bench_lloyd, bench_kmeans, bench_stream, bench_medoids, bench_neighbors,
                 bench_spectral, bench_kernelized, bench_layouts):
        part.main()
        print(flush=True)
