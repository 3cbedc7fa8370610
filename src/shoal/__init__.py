"""Shoal, a clustering workbench: every public name on one screen, each loaded when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "advise": "shoal.advice",
    "linkage": "shoal.building",
    "load": "shoal.estimators.files",
    "Tree": "shoal.tree",
    "Clusters": "shoal.clusters",
    "BisectingKMeans": "shoal.estimators.bisecting",
    "KMeans": "shoal.estimators.kmeans",
    "KMedoids": "shoal.estimators.kmedoids",
    "KernelKMeans": "shoal.estimators.kernel_kmeans",
    "MDS": "shoal.estimators.mds",
    "Spectral": "shoal.estimators.spectral",
    "Neighbors": "shoal.graphs.neighbors",
    "neighbors": "shoal.graphs.neighbors",
    "points": "shoal.data.carriers",
    "distances": "shoal.data.carriers",
    "similarities": "shoal.data.carriers",
    "graph": "shoal.data.carriers",
    "grid": "shoal.data.grids",
    "hierarchy": "shoal.hierarchy",
    "read_file": "shoal.data.files",
    "plan": "shoal.trees.linkage",
    "spanning_tree": "shoal.trees.spanning",
    "set_threads": "shoal.runtime.pool",
    "ShoalError": "shoal.errors",
    "ShoalWarning": "shoal.errors",
}

__all__ = [
    "MDS",
    "BisectingKMeans",
    "Clusters",
    "KMeans",
    "KMedoids",
    "KernelKMeans",
    "Neighbors",
    "ShoalError",
    "ShoalWarning",
    "Spectral",
    "Tree",
    "__version__",
    "advise",
    "distances",
    "graph",
    "grid",
    "hierarchy",
    "linkage",
    "load",
    "neighbors",
    "plan",
    "points",
    "read_file",
    "set_threads",
    "similarities",
    "spanning_tree",
]

if TYPE_CHECKING:
    from shoal import hierarchy
    from shoal.advice import advise
    from shoal.building import linkage
    from shoal.clusters import Clusters
    from shoal.data.carriers import distances, graph, points, similarities
    from shoal.data.files import read_file
    from shoal.data.grids import grid
    from shoal.errors import ShoalError, ShoalWarning
    from shoal.estimators.bisecting import BisectingKMeans
    from shoal.estimators.files import load
    from shoal.estimators.kernel_kmeans import KernelKMeans
    from shoal.estimators.kmeans import KMeans
    from shoal.estimators.kmedoids import KMedoids
    from shoal.estimators.mds import MDS
    from shoal.estimators.spectral import Spectral
    from shoal.graphs.neighbors import Neighbors, neighbors
    from shoal.runtime.pool import set_threads
    from shoal.tree import Tree
    from shoal.trees.linkage import plan
    from shoal.trees.spanning import spanning_tree


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'shoal' has no attribute {name!r}")
    home = import_module(_HOME[name])
    value = home if home.__name__ == f"shoal.{name}" else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
