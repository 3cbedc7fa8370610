"""What a newcomer waits for: import, help, and the main job on 50 rows, as whole processes."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from common import process, processes_in_turn, table

BIN = Path(sys.executable).parent


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        job = [str(BIN / "shoal"), "cluster", "examples/data/usarrests.csv", "--id", "state", "--scale", "standard",
               "--force", "--out", f"{folder}/all"]
        first = process(job, {"NUMBA_CACHE_DIR": f"{folder}/cold", "MPLCONFIGDIR": f"{folder}/mpl"})
        took = processes_in_turn(
            7,
            python=[sys.executable, "-c", "pass"],
            bare_import=[sys.executable, "-c", "import shoal"],
            help=[str(BIN / "shoal"), "--help"],
            by_hand=[sys.executable, "benchmarks/by_hand.py", f"{folder}/hand"],
            with_shoal=[sys.executable, "benchmarks/with_shoal.py", f"{folder}/shoal"],
            everything=job,
        )
        larger = ("import numpy as np, shoal; X = np.random.default_rng(0).normal(size=(1000, 4));"
                  "shoal.linkage(X, 'average')")
        compiled = process([sys.executable, "-c", larger], {"NUMBA_CACHE_DIR": f"{folder}/cold"})
        again = process([sys.executable, "-c", larger], {"NUMBA_CACHE_DIR": f"{folder}/cold"})
    rows = [
        ("python -c pass", took["python"]),
        ("python -c 'import shoal'", took["bare_import"]),
        ("shoal --help", took["help"]),
        ("tree, picture, CSV: by hand (pandas, scipy, matplotlib)", took["by_hand"]),
        ("tree, picture, CSV: with Shoal", took["with_shoal"]),
        ("shoal cluster: all output (Excel, two pictures, model, summary)", took["everything"]),
        ("shoal cluster, the first time ever (caches of Numba and matplotlib empty)", first),
        ("1,000 items, the first time ever (kernels are compiled)", compiled),
        ("1,000 items, the second time", again),
    ]
    print("### Whole processes, 50 rows of USArrests unless noted; medians of 7\n\n" + table(("what", "seconds"), rows))


if __name__ == "__main__":
    main()
