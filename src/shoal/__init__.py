"""Shoal, a clustering workbench: every public name on one screen, each loaded when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "linkage": "shoal.building",
    "load": "shoal.estimators.files",
    "Tree": "shoal.tree",
    "Clusters": "shoal.clusters",
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
    "Clusters",
    "ShoalError",
    "ShoalWarning",
    "Tree",
    "__version__",
    "distances",
    "graph",
    "grid",
    "hierarchy",
    "linkage",
    "load",
    "plan",
    "points",
    "read_file",
    "set_threads",
    "similarities",
    "spanning_tree",
]

if TYPE_CHECKING:
    from shoal import hierarchy
    from shoal.building import linkage
    from shoal.clusters import Clusters
    from shoal.data.carriers import distances, graph, points, similarities
    from shoal.data.files import read_file
    from shoal.data.grids import grid
    from shoal.errors import ShoalError, ShoalWarning
    from shoal.estimators.files import load
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
