"""Every kind of picture, each from a few lines on real data; docs/gallery.md shows them.

Run it with a folder for the pictures and the page beside it: python examples/gallery.py docs/gallery
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import shoal
from shoal.plot.figures import close, figure_bytes

DATA = Path(__file__).parent / "data"


def states() -> shoal.Tree:
    """Build the tree of the US states by their arrests."""
    return shoal.linkage(shoal.read_file(DATA / "usarrests.csv", id="state", scale="standard"))


def roads() -> shoal.Tree:
    """Build the tree of 21 European cities by the roads between them."""
    return shoal.linkage(shoal.read_file(DATA / "eurodist.csv", kind="distances"), "average")


def dendrogram() -> Any:
    """Draw the whole tree, with the clusters of a cut."""
    tree = states()
    return tree.plot(k=4)


def last_merges() -> Any:
    """Draw the last 12 leaves of the tree, what is below contracted, and the heights of the merges above 3."""
    return states().plot(k=4, last=12, annotate_above=3)


def wheel() -> Any:
    """Draw the tree around its root."""
    return states().plot(k=4, orientation="center")


def sideways() -> Any:
    """Draw names to read: the root at the left, leaves hanging from their own first merge."""
    return roads().plot(k=4, orientation="left", hang=0.1)


def clustermap() -> Any:
    """Draw the features in the order of the tree, with a tree of the features above."""
    tree = states()
    columns = shoal.linkage(tree.data.X.T.copy(), ids=tree.data.columns)
    return tree.clustermap(tree.cut(k=4), columns=columns).ax


def distances() -> Any:
    """Draw a matrix of distances in the order of its tree."""
    tree = roads()
    return tree.clustermap(tree.cut(k=4)).ax


def scatter() -> Any:
    """Draw the items in the plane of their two principal components, with the hulls of the clusters."""
    return states().cut(k=4).plot(hulls=True)


def scaling() -> Any:
    """Draw what has no coordinates in the plane that keeps its distances best."""
    return roads().cut(k=4).plot()


def silhouette() -> Any:
    """Draw how much nearer items are to their own cluster than to the next."""
    return states().cut(k=4).silhouette_plot()


def curve() -> Any:
    """Draw the heights of the last merges, and their second difference."""
    return states().curve()


def rules() -> Any:
    """Draw what each rule for cutting says."""
    return states().suggest_cuts().plot()


def tanglegram() -> Any:
    """Draw two trees of the same items face to face."""
    tree = roads()
    other = shoal.linkage(tree.data, "single")
    return tree.tanglegram(other, cut=tree.cut(k=4))


def network() -> Any:
    """Draw a graph by springs, for looking only, in the colours of its spectral clusters."""
    people = shoal.read_file(DATA / "lesmis.csv", kind="graph")
    return shoal.Spectral(6, random_state=0).fit(people).clusters_.network(annotate=True)


PICTURES: tuple[Callable[[], Any], ...] = (
    dendrogram, last_merges, wheel, sideways, clustermap, distances, scatter, scaling, silhouette, curve, rules, tanglegram,
    network)


def page() -> str:
    """Write the page that shows the pictures beside the code that draws them."""
    trees = "\n".join(f"{make.__name__}: {_body(make)}" for make in (states, roads))
    parts = ["# Gallery\n\nEvery kind of picture, on the data of [examples/](../examples/README.md). The code is "
             f"[examples/gallery.py](../examples/gallery.py); its trees are\n\n```\n{trees}\n```\n"]
    for picture in PICTURES:
        name, text = picture.__name__, (picture.__doc__ or "").strip()
        parts.append(f"## {name.replace('_', ' ').capitalize()}\n\n{text}\n\n```python\n{_body(picture)}\n```\n\n"
                     f"![{text}](gallery/{name}.png)\n")
    return "\n".join(parts)


def _body(function: Callable[[], Any]) -> str:
    """Return the code of a function without its head and docstring."""
    lines = inspect.getsource(function).splitlines()
    return textwrap.dedent("\n".join(lines[2:])).replace("return ", "")


def main(folder: Path, format: str = "png") -> list[Path]:
    """Draw all pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for picture in PICTURES:
        ax = picture()
        written.append(folder / f"{picture.__name__}.{format}")
        written[-1].write_bytes(figure_bytes(ax, format, dpi=100))
        close(ax)
    return written


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "gallery")
    main(target)
    target.with_suffix(".md").write_text(page(), encoding="utf-8")
