"""`shoal assign`: new items to the clusters of a saved tree, and which of them are new."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shoal.cli.cutting import open_tree
from shoal.cli.reading import GroupedCommand, read_option
from shoal.errors import InputError

if TYPE_CHECKING:
    from shoal.tree import Tree
    from shoal.treecut import TreeCut

__all__ = ["assign"]

_EPILOG = """\b
Examples:
  shoal assign songs-clusters/model.shoal new.csv --id title
  shoal assign songs-clusters/model.shoal new.csv -k 4 -o assigned.csv

\b
The table has a row for each new item:
  id        its name
  cluster   the nearest cluster
  distance  the linkage's distance to it
  margin    how much farther the next cluster is; inf when there is no other
  new       yes if at the height of the cut the item would still be alone

\b
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the input was refused.
"""


@click.command(cls=GroupedCommand, epilog=_EPILOG, short_help="Assign new items to the clusters of a saved tree.")
@click.argument("model")
@click.argument("file")
@read_option("--id", metavar="COLUMN", help="The column that names the new items. Default: the one text column in which "
             "all values differ.")
@read_option("--sheet", metavar="NAME", help="The sheet of a workbook, or the array of an .npz file.")
@read_option("--drop", type=click.Choice(("rows",)), help="Leave out new items with missing values.")
@read_option("-k", "--clusters", "k", type=click.IntRange(min=1), metavar="N", heading="The tree",
             help="Cut the tree into so many clusters. Default: the cut the tree suggests.")
@read_option("--height", type=click.FloatRange(min=0), metavar="H", heading="The tree",
             help="Cut the tree at this height instead.")
@click.option("--out", "-o", metavar="FILE", help="Write the table to this file. Default: print it.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def assign(model: str, file: str, id: str | None, sheet: str | None, drop: str | None, k: int | None,
           height: float | None, out: str | None, force: bool) -> None:
    """Assign the items in FILE to the clusters of MODEL, a file that `shoal cluster` or Tree.save wrote.

    FILE is a table with the columns the tree was built from, found by name; they are scaled as the model says. The
    clusters do not change.
    """
    if k is not None and height is not None:
        raise click.UsageError("-k and --height were both given: give one of them.")
    if out is not None and Path(out).exists() and not force:
        raise InputError(f"{out!r} is there already; nothing was changed.", "Give another name, or --force.")
    tree = open_tree(model)
    new = _read_new(tree, model, file, id, sheet, drop)
    cut = tree.cut(k=k, height=height)
    columns, count = _assigned(cut, new)
    at = "" if cut.height is None or height is not None else f", height {cut.height:.4g}"
    click.echo(f"Clusters: {cut.k:,} ({cut.how}{at}). New: {count:,} of {len(new):,} items.", err=True)
    if out is None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
        click.echo(text.getvalue(), nl=False)
    else:
        from shoal.data.export import write_csv

        write_csv(out, columns, force=force)


def _read_new(tree: Tree, model: str, file: str, id: str | None, sheet: str | None, drop: str | None) -> Any:
    """Read the new items with the model's columns, and say what was assumed."""
    from shoal.data.carriers import Points
    from shoal.data.features import uneven_columns
    from shoal.data.files import read_file

    if not isinstance(tree.data, Points):
        raise InputError(f"{model} holds no points to measure new items to.",
                         "A model keeps points, but no matrix and no graph: cluster points, or in Python attach the matrix "
                         "with tree.with_data and use clusters.predict.")
    number = int(sheet) if sheet is not None and sheet.isdecimal() else sheet
    new = read_file(file, kind="points", id=id, sheet=number, drop=drop, columns=tree.data.columns)
    assert isinstance(new, Points)
    known = uneven_columns(new.X, new.columns or ())  # the model has its own scaling
    for message in tree.data.new(new).messages:
        if message not in known:
            click.echo(f"Note: {message}", err=True)
    return new


def _assigned(cut: TreeCut, new: Any) -> tuple[dict[str, list[Any]], int]:
    """Columns of the table, and how many items are new."""
    from shoal.treecut import Placed

    nearest, alone = cut.predict(new), Placed.of(cut.tree, new).is_new(cut)
    return {"id": list(nearest.ids), "cluster": nearest.labels.tolist(), "distance": nearest.distance.tolist(),
            "margin": nearest.margin.tolist(), "new": ["yes" if lone else "no" for lone in alone.tolist()]}, int(alone.sum())
