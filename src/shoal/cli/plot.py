"""`shoal plot`: pictures of a saved tree and its items."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shoal.cli.cutting import check_cut, cut_options, default_name, open_tree, refuse_taken, report_cut
from shoal.cli.reading import GroupedCommand
from shoal.errors import InputError

if TYPE_CHECKING:
    from shoal.tree import Tree
    from shoal.treecut import TreeCut

__all__ = ["plot"]

ROOTS = ("top", "bottom", "left", "right", "center")
KINDS = ("dendrogram", "scatter", "clustermap", "curve", "silhouette", "rules")
FORMATS = (".svg", ".png", ".pdf")

_EPILOG = """\b
Examples:
  shoal plot songs-clusters/model.shoal
  shoal plot songs-clusters/model.shoal -k 4 --last 30 --out tree.pdf
  shoal plot songs-clusters/model.shoal --kind scatter --height 12 --out songs.png

\b
Kinds:
  dendrogram  the tree                     scatter     the items in the plane
  clustermap  the data as a matrix         silhouette  how well each item lies
  curve       the heights of the merges    rules       what each rule for cutting says

\b
Without -k, --height or --rule the suggested cut is coloured; a tree without its
data is drawn in one colour.

\b
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the input was refused.
"""


@click.command(cls=GroupedCommand, epilog=_EPILOG, short_help="Draw a saved tree or its items as SVG, PNG or PDF.")
@click.argument("model")
@cut_options
@click.option("--kind", type=click.Choice(KINDS), default="dendrogram", show_default=True, help="What to draw.")
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Draw so many leaves; contract what is below.")
@click.option("--level", type=click.IntRange(min=1), metavar="N", help="Draw only merges less than N steps from the root.")
@click.option("--annotate-above", type=float, metavar="H", help="Write the heights of merges above this one.")
@click.option("--orientation", type=click.Choice(ROOTS), default="top", show_default=True, help="Where the root is.")
@click.option("--out", "-o", metavar="FILE", help="Its ending decides the format: .svg, .png or .pdf. "
              "Default: NAME.svg in the current folder.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def plot(model: str, k: int | None, height: float | None, rule: str | None, settings: dict[str, Any], kind: str,
         out: str | None, force: bool, **drawing: Any) -> None:
    """Draw the tree in MODEL, a file that `shoal cluster` or Tree.save wrote, or its items, matrix, heights or rules."""
    check_cut(k, height, rule, settings)
    drawing = {name: value for name, value in drawing.items() if value is not None}
    if kind != "dendrogram" and set(drawing) - {"orientation"}:
        raise click.UsageError("--last, --level and --annotate-above are of the dendrogram; leave them out with "
                               f"--kind {kind}.")
    target = out or default_name(model, ".svg")
    if Path(target).suffix.lower() not in FORMATS:
        raise click.UsageError(f"{target!r} is no picture: give a name that ends in {', '.join(FORMATS)}.")
    refuse_taken(target, force)
    tree = open_tree(model)
    chosen = k is not None or height is not None or rule is not None
    cut = tree.cut(k=k, height=height, rule=rule, **settings) if chosen or tree.data is not None else None
    if cut is not None:
        report_cut(cut)
    _save(tree, cut, kind, drawing, target, force)
    click.echo(f"Written: {target}", err=True)


def _save(tree: Tree, cut: TreeCut | None, kind: str, drawing: dict[str, Any], target: str, force: bool) -> None:
    from shoal.plot.figures import save

    if kind == "dendrogram":
        ax = tree.plot(cut=cut, **drawing)
    elif kind == "curve":
        ax = tree.curve()
    elif cut is None:
        raise InputError("The model holds no data to draw.", "Draw the tree: leave --kind out.")
    elif kind == "scatter":
        ax = cut.plot()
    elif kind == "silhouette":
        ax = cut.silhouette_plot()
    elif kind == "rules":
        ax = tree.suggest_cuts().plot()
    else:
        ax = tree.clustermap(cut).ax
    save(ax, target, force=force)
