"""`shoal export`: a saved tree, or its clusters, in the form of another program."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from shoal.cli.cutting import check_cut, clusters_in, cut_options, default_name, open_tree, refuse_taken, report_cut
from shoal.cli.reading import GroupedCommand
from shoal.runtime.files import atomic_write

if TYPE_CHECKING:
    from shoal.clusters import Clusters
    from shoal.tree import Tree

__all__ = ["export"]

ENDINGS = {"newick": ".nwk", "scipy": ".npy", "csv": ".csv", "json": ".json", "parquet": ".parquet", "xlsx": ".xlsx",
           "html": ".html"}
OF_TREE = ("newick", "scipy")

_EPILOG = """\b
Forms:
  newick   the tree as text, for tree viewers and phylogenetics
  scipy    the tree as scipy's linkage matrix, a .npy file
  csv      id and cluster, sorted by cluster
  parquet  id and cluster, in the order of the items
  json     each cluster's size, share, typical item and members
  xlsx     a workbook: a summary, all items, a sheet for each cluster
  html     a report: one page with pictures and tables

\b
Examples:
  shoal export songs-clusters/model.shoal --to newick
  shoal export songs-clusters/model.shoal --to json -k 4 --out four.json

\b
The clusters are those of -k, --height or --rule; without these, those that the
tree suggests.

\b
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the input was refused.
"""


@click.command(cls=GroupedCommand, epilog=_EPILOG, short_help="Write a saved tree or its clusters in another form.")
@click.argument("model")
@click.option("--to", "form", type=click.Choice(tuple(ENDINGS)), required=True, help="The form; see below.")
@cut_options
@click.option("--out", "-o", metavar="FILE", help="Default: NAME with the form's ending, in the current folder.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def export(model: str, form: str, k: int | None, height: float | None, rule: str | None, settings: dict[str, Any],
           out: str | None, force: bool) -> None:
    """Write the tree in MODEL, a file that `shoal cluster` or Tree.save wrote, or its clusters, in another form."""
    check_cut(k, height, rule, settings)
    chosen = k is not None or height is not None or rule is not None
    if form in OF_TREE and chosen:
        raise click.UsageError(f"--to {form} writes the whole tree, which no cut changes: leave it out.")
    target = out or default_name(model, ENDINGS[form])
    refuse_taken(target, force)
    if form in OF_TREE:
        _write_tree(open_tree(model), form, target, force)
    elif form == "html":
        tree = open_tree(model)
        cut = tree.cut(k=k, height=height, rule=rule, **settings) if chosen else None
        if cut is not None:
            report_cut(cut)
        tree.report(target, cut, force=force)
    else:
        clusters = clusters_in(model, k, height, rule, settings)
        report_cut(clusters)
        _writer(clusters, form)(target, force=force)
    click.echo(f"Written: {target}", err=True)


def _write_tree(tree: Tree, form: str, target: str, force: bool) -> None:
    import numpy as np

    buffer = io.BytesIO()
    if form == "scipy":
        np.save(buffer, tree.to_scipy())
    else:
        buffer.write(tree.to_newick().encode("utf-8", "backslashreplace") + b"\n")
    with atomic_write(target, force) as file:
        file.write(buffer.getvalue())


def _writer(clusters: Clusters, form: str) -> Callable[..., None]:
    writers: dict[str, Callable[..., None]] = {"csv": clusters.to_csv, "json": clusters.to_json,
                                               "parquet": clusters.to_parquet, "xlsx": clusters.to_excel}
    return writers[form]
