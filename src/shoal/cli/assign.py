"""`shoal assign`: new items to the clusters of a saved model, and which of them are new to a tree."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shoal.cli.reading import GroupedCommand, read_option
from shoal.errors import InputError

if TYPE_CHECKING:
    from shoal.clusters import Assignment
    from shoal.data.carriers import Carrier, Points

__all__ = ["assign"]

_EPILOG = """\b
Examples:
  shoal assign songs-clusters/model.shoal new.csv --id title
  shoal assign songs-clusters/model.shoal new.csv -k 4 -o assigned.csv

\b
The table has a row for each new item:
  id        its name
  cluster   the nearest cluster
  distance  the distance to it, as the tree's linkage or the model measures it
  margin    how much farther the next cluster is; inf when there is no other
  new       of a tree: yes if at the height of the cut the item would still be
            alone

\b
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the input was refused.
"""


@click.command(cls=GroupedCommand, epilog=_EPILOG, short_help="Assign new items to the clusters of a saved model.")
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
    """Assign the items in FILE to the clusters of MODEL, a file that `shoal cluster`, `shoal kmeans` or save wrote.

    FILE is a table with the columns the model was made from, found by name; they are scaled as the model says. For a model
    of similarities or distances it has a row for each new item, with its values to the old ones. The clusters do not change.
    """
    if k is not None and height is not None:
        raise click.UsageError("-k and --height were both given: give one of them.")
    if out is not None and Path(out).exists() and not force:
        raise InputError(f"{out!r} is there already; nothing was changed.", "Give another name, or --force.")
    columns, said = _assigned(model, k, height, {"file": file, "id": id, "sheet": sheet, "drop": drop})
    click.echo(said, err=True)
    if out is None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
        click.echo(text.getvalue(), nl=False)
    else:
        from shoal.data.export import write_csv

        write_csv(out, columns, force=force)


def _assigned(model: str, k: int | None, height: float | None,
              reading: dict[str, str | None]) -> tuple[dict[str, list[Any]], str]:
    """Columns of the table, and a sentence."""
    from shoal.estimators.files import load
    from shoal.tree import Tree
    from shoal.treecut import Placed

    found = load(model)
    if not isinstance(found, Tree):
        if k is not None or height is not None:
            raise InputError(f"{model!r} holds a {type(found).__name__} model, whose clusters are what they are.",
                             "-k and --height are for trees.")
        data = getattr(found, "data_", None)
        if data is None:
            names, rows = _read_rows(found, model, reading)
            nearest = found.assign(rows, ids=names)
        else:
            nearest = found.assign(_read_new(data, model, reading))
        return _columns(nearest), f"Assigned: {len(nearest):,} items to {len(set(nearest.labels.tolist())):,} clusters."
    new = _read_new(found.data, model, reading)
    cut = found.cut(k=k, height=height)
    alone = Placed.of(found, new).is_new(cut).tolist()
    at = "" if cut.height is None or height is not None else f", height {cut.height:.4g}"
    return ({**_columns(cut.predict(new)), "new": ["yes" if lone else "no" for lone in alone]},
            f"Clusters: {cut.k:,} ({cut.how}{at}). New: {sum(alone):,} of {len(new):,} items.")


def _read_rows(found: Any, model: str, reading: dict[str, str | None]) -> tuple[Any, Any]:
    """Read new items as rows of values to the old ones: columns by name, 0 where a similarity is not given."""
    import numpy as np

    from shoal.data.files import read_file

    sheet, old = reading["sheet"], found.ids_ or ()
    number = int(sheet) if sheet is not None and sheet.isdecimal() else sheet
    new: Any = read_file(str(reading["file"]), kind="points", id=reading["id"], sheet=number, drop=reading["drop"])
    known = set(new.columns or ()) & set(old)
    if known and (len(known) == len(old) or found.get_params().get("metric") != "precomputed"):
        place = {name: j for j, name in enumerate(new.columns)}
        rows = np.zeros((new.n, len(old)))
        for i, name in enumerate(old):
            if name in place:
                rows[:, i] = new.X[:, place[name]]
        return new.ids, rows
    if new.d != found.n_features_in_:
        missing = next((name for name in old if name not in known), None)
        raise InputError(f"{model!r} places items by their values to {found.n_features_in_:,} old ones; "
                         f"{reading['file']!r} has {new.d:,} columns of numbers."
                         + (f" There is none for {missing!r}." if known else ""),
                         "Give a column for each old item, in their order or under their names.")
    return new.ids, new.X


def _columns(found: Assignment) -> dict[str, list[Any]]:
    return {"id": list(found.ids), "cluster": found.labels.tolist(), "distance": found.distance.tolist(),
            "margin": found.margin.tolist()}


def _read_new(data: Carrier | None, model: str, reading: dict[str, str | None]) -> Points:
    """Read the new items with the model's columns, and say what was assumed."""
    from shoal.data.carriers import Points
    from shoal.data.features import uneven_columns
    from shoal.data.files import read_file

    if not isinstance(data, Points):
        raise InputError(f"{model} holds no points to measure new items to.",
                         "A model keeps points, but no matrix and no graph: cluster points, or in Python attach the matrix "
                         "with tree.with_data and use clusters.predict.")
    file, sheet = str(reading["file"]), reading["sheet"]
    number = int(sheet) if sheet is not None and sheet.isdecimal() else sheet
    new = read_file(file, kind="points", id=reading["id"], sheet=number, drop=reading["drop"], columns=data.columns)
    assert isinstance(new, Points)
    known = uneven_columns(new.X, new.columns or ())  # the model has its own scaling
    for message in data.new(new).messages:
        if message not in known:
            click.echo(f"Note: {message}", err=True)
    return new
