"""Hierarchical clustering from end to end on two small data sets, every step a line or two; docs/guide/tutorial.md explains.

Run it with a folder for its pictures: python examples/tutorial.py tutorial-output
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import shoal
from shoal.plot.curves import height_curve
from shoal.plot.figures import save


def clouds() -> tuple[Any, Any]:
    """Make 150 points in two clouds, and 750 in five: these, and three clouds of 200 farther out."""
    rng = np.random.RandomState(4711)  # the legacy generator, whose stream is frozen
    shape = [[3, 1], [1, 4]]
    few = np.concatenate([rng.multivariate_normal([10, 0], shape, 100), rng.multivariate_normal([0, 20], shape, 50)])
    far = [([40, 40], [[20, 1], [1, 30]]), ([80, 80], [[30, 1], [1, 30]]), ([0, 100], [[100, 1], [1, 100]])]
    return few, np.concatenate([few, *(rng.multivariate_normal(mean, spread, 200) for mean, spread in far)])


def main(folder: Path) -> dict[str, Any]:
    """Go through all steps, write the pictures to a folder, and return what was found."""
    folder.mkdir(parents=True, exist_ok=True)

    def draw(name: str, ax: Any) -> None:
        save(ax, folder / f"{name}.svg", force=True)

    few, many = clouds()
    tree = shoal.linkage(few, "ward")

    # How well does the tree keep the distances?
    correlation = tree.cophenetic_correlation()

    # Who merged with whom, and when?
    first = tree.to_frame().head(4)
    nested = tree.spell(tree.node_of([33, 62, 68]))

    # The whole tree; its last twelve leaves; merges above 10 with their heights; and lines that cut it.
    draw("tree", tree.plot())
    draw("last", tree.plot(last=12))
    draw("heights", tree.plot(last=12, annotate_above=10))
    draw("cut-at-50", tree.plot(last=12, annotate_above=10, cut=50))
    draw("cut-at-16", tree.plot(last=12, annotate_above=10, cut=16))

    # Rules that choose a cut, and what the data itself speaks for.
    draw("elbow", height_curve(tree.merges, most=10, suggested=[2]))
    rules = {"inconsistent": tree.cut(rule="inconsistent", t=8, depth=10), "elbow": tree.cut(rule="acceleration"),
             "suggested": tree.suggest_cuts().best}

    # On five clouds of different widths the elbow fails: the far clouds' leaps hide the one between the near ones.
    wide = shoal.linkage(many, "ward")
    draw("wide-elbow", height_curve(wide.merges, most=10))
    draw("wide", wide.plot(last=30, annotate_above=40, cut=170))
    fails = {"inconsistent": wide.cut(rule="inconsistent", t=8, depth=10), "elbow": wide.cut(rule="acceleration"),
             "gap": wide.cut(rule="gap"), "suggested": wide.suggest_cuts().best}

    # The clusters: by height, by number, and as a picture.
    by_height, by_number = tree.cut(height=50), tree.cut(k=2)
    draw("items", by_number.plot())
    draw("wide-items", wide.cut(k=5).plot())
    return {"correlation": correlation, "first": first, "nested": nested, "rules": rules, "fails": fails,
            "by_height": by_height, "by_number": by_number}


if __name__ == "__main__":
    for what, value in main(Path(sys.argv[1] if len(sys.argv) > 1 else "tutorial-output")).items():
        print(f"{what}:\n{value}\n")
