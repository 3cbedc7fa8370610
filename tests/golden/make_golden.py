"""Write golden values from scipy into the JSON files beside this script: python tests/golden/make_golden.py."""

from __future__ import annotations

import csv
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent / "examples" / "data"

Floats = NDArray[np.float64]


def tutorial_points() -> Floats:
    """Return the 150 points, as the legacy generator gives them."""
    rng = np.random.RandomState(4711)
    shape = [[3, 1], [1, 4]]
    return np.concatenate([rng.multivariate_normal([10, 0], shape, 100), rng.multivariate_normal([0, 20], shape, 50)])


def read_table(name: str) -> tuple[list[str], Floats]:
    """Return the names in the first column, and the numbers."""
    with open(DATA / name, newline="", encoding="utf-8") as handle:
        rows = list(csv.reader(handle))[1:]
    return [row[0] for row in rows], np.array([row[1:] for row in rows], np.float64)


def tree_values(Z: Floats, condensed: Floats) -> dict[str, Any]:
    """Return scipy's tree and how faithful it is."""
    from scipy.cluster.hierarchy import cophenet

    return {"merges": Z[:, :2].astype(int).tolist(), "heights": Z[:, 2].tolist(), "sizes": Z[:, 3].astype(int).tolist(),
            "cophenetic_correlation": float(cophenet(Z, condensed)[0])}


def groups(labels: NDArray[Any]) -> list[list[int]]:
    """Return the items of every label, ordered by their first item: independent of how labels are numbered."""
    return sorted(np.flatnonzero(labels == label).tolist() for label in np.unique(labels))


def tutorial() -> dict[str, Any]:
    """Return ward linkage of the 150 points and its two cuts."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import pdist

    X = tutorial_points()
    Z = linkage(X, "ward")
    cuts = {str(h): groups(fcluster(Z, h, "distance")) for h in (50, 16)}
    return {"first_point": X[0].tolist(), "last_point": X[-1].tolist(), "ward": tree_values(Z, pdist(X)), "cuts": cuts}


def usarrests() -> dict[str, Any]:
    """Return the trees of the 50 states, as they are and with every column standardised (ddof 0)."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import pdist

    names, X = read_table("usarrests.csv")
    forms = {"raw": X, "standard": (X - X.mean(axis=0)) / X.std(axis=0)}
    trees = {form: {method: tree_values(linkage(rows, method), pdist(rows))
                    for method in ("single", "complete", "average", "weighted", "ward", "centroid", "median")}
             for form, rows in forms.items()}
    return {"ids": names, **trees}


def eurodist() -> dict[str, Any]:
    """Return the trees of the 21 cities, from their road distances."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    names, D = read_table("eurodist.csv")
    condensed = squareform(D)
    return {"ids": names, **{method: tree_values(linkage(condensed, method), condensed)
                             for method in ("single", "complete", "average", "weighted")}}


def main() -> None:
    """Write all files."""
    versions = {"scipy": scipy.__version__, "numpy": np.__version__, "python": platform.python_version()}
    for make in (tutorial, usarrests, eurodist):
        text = json.dumps({"versions": versions, **make()}, separators=(",", ":"))
        (HERE / f"{make.__name__}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
