"""The work of by_hand.py with Shoal: tree, picture, CSV."""

import sys
from pathlib import Path

import shoal
from shoal.plot.figures import save

out = Path(sys.argv[1])
out.mkdir(exist_ok=True)
states = shoal.read_file(Path(__file__).parent.parent / "examples/data/usarrests.csv", id="state", scale="standard")
clusters = shoal.linkage(states, "ward").cut(k=4)
save(clusters.tree.plot(cut=clusters), out / "dendrogram.svg", force=True)
clusters.to_csv(out / "clusters.csv", force=True)
