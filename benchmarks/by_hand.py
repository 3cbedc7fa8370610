"""The script people write by hand: pandas, scipy and matplotlib."""

import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd
from scipy.cluster.hierarchy import dendrogram, fcluster, linkage
from scipy.stats import zscore

out = Path(sys.argv[1])
out.mkdir(exist_ok=True)
frame = pd.read_csv(Path(__file__).parent.parent / "examples/data/usarrests.csv", index_col="state")
Z = linkage(zscore(frame), "ward")
labels = fcluster(Z, 4, "maxclust")
figure, axes = plt.subplots(figsize=(12, 6))
dendrogram(Z, labels=frame.index.tolist(), ax=axes, color_threshold=(Z[-4, 2] + Z[-3, 2]) / 2)
figure.savefig(out / "dendrogram.svg")
pd.DataFrame({"state": frame.index, "cluster": labels}).to_csv(out / "clusters.csv", index=False)
