"""`shoal cluster`: a file in; a table, a workbook, pictures, a report, a model and a summary out."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shoal.cli.progress import Line, progress_line
from shoal.cli.reading import MODELS, GroupedCommand, clustering_options, default_method, input_options, read
from shoal.cli.writing import PICTURES, default_folder, file_names, from_before, staged, write_all
from shoal.errors import InputError

if TYPE_CHECKING:
    from shoal.cli.result import Result
    from shoal.data.carriers import Carrier

__all__ = ["cluster"]

CORRELATED = 5000  # items up to which the cophenetic correlation, which reads all pairs again, takes about a second

_EPILOG = """\b
Examples:
  shoal cluster songs.csv --id title --scale standard
  shoal cluster correlations.csv --kind similarities --rule 1-s -k 4
  shoal cluster roads.csv --kind graph --missing shortest_path --out towns
  shoal cluster friends.csv --kind graph --method spectral

\b
--json prints one object with the keys
  shoal, command, input, method, metric, engine, k, height, suggestion,
  messages, cophenetic_correlation, clusters, files, seconds
where clusters is a list of {cluster, size, share, medoid, members}, and what
does not apply is null.

\b
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the input was refused,
4 it would not fit in memory, 130 interrupted.
"""


def _height(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    if value is not None and not 0 <= value < math.inf:
        raise click.BadParameter(f"{value:g} is not a height: give a number of at least 0.")
    return value


@click.command(cls=GroupedCommand, epilog=_EPILOG,
               short_help="Cluster a file; write tables, pictures, a report and a model.")
@click.argument("file")
@input_options
@clustering_options
@click.option("-k", "--clusters", "k", type=click.IntRange(min=1), metavar="N",
              help="Cut the tree into so many clusters. Default: the cut the tree suggests, with the reason.")
@click.option("--height", type=float, metavar="H", callback=_height, help="Cut the tree at this height instead.")
@click.option("--negative", type=click.Choice(("error", "clip", "shift")), default="error", show_default=True,
              help="With --method spectral: count negative similarities as 0, or subtract the least from all.")
@click.option("--suggest", is_flag=True, help="Print what every rule for cutting says, too.")
@click.option("--out", metavar="FOLDER", help="Where the files go. Default: NAME-clusters in the current folder.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@click.option("--picture", type=click.Choice(PICTURES), default="svg", show_default=True,
              help="The format of the pictures.")
@click.option("--no-plot", "picture", flag_value="none", help="Draw no pictures, and write no report.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the summary.")
@click.option("--quiet", "-q", is_flag=True, help="Print no summary and no progress; the files are written all the same.")
def cluster(file: str, k: int | None, height: float | None, suggest: bool, negative: str, out: str | None, force: bool,
            picture: str, as_json: bool, quiet: bool, method: str | None, memory_limit: int | None, threads: int | None,
            **reading: Any) -> None:
    """Cluster what FILE holds.

    FILE is a table (CSV, TSV, Excel, Parquet, Arrow) or a matrix (also .npy, .npz, PHYLIP); "-" reads standard input.
    The result is a folder with clusters.csv, clusters.xlsx, the tree as dendrogram.svg, the clusters as clusters.svg
    where there are coordinates, report.html with all of it on one page, and model.shoal for later use. --method spectral,
    medoids or kernel builds no tree, and writes the tables, clusters.svg and the model.
    """
    start = time.perf_counter()
    if k is not None and height is not None:
        raise click.UsageError("-k and --height were both given: give one of them.")
    folder = default_folder(file) if out is None else Path(out)
    if method in MODELS:
        if height is not None or suggest:
            raise click.UsageError(f"--height and --suggest are of trees; --method {method} builds none.")
        from shoal.cli.models import cluster_by_model

        cluster_by_model(file, method, k, folder, picture, force=force, as_json=as_json, quiet=quiet, threads=threads,
                         negative=negative, **reading)
        return
    if negative != "error":
        raise click.UsageError("--negative goes with --method spectral; for a tree choose a --rule.")
    names = file_names(picture)
    with staged(folder, names, force) as stage, progress_line(quiet) as line:
        line.say("reading")
        carrier = read(file, **reading)
        if k is not None and k > carrier.n:
            raise InputError(f"{k:,} clusters were asked for, of {carrier.n:,} items.", "Ask for fewer with -k.")
        result = _clustered(carrier, method, k, height, memory_limit, threads, line)
        written, left_out = write_all(result.clusters, result.suggestion, stage, names, line)
    result.file = file
    result.files = {what: folder / names[what] for what in written}
    result.seconds = time.perf_counter() - start
    if stale := from_before(folder, result.files.values()):
        left_out.append(f"Note: from an earlier run, {folder} still holds {', '.join(stale)}.")
    for sentence in left_out:
        click.echo(sentence, err=True)
    _print(result, as_json, quiet)
    if suggest:
        click.echo(repr(result.suggestion or result.clusters.tree.suggest_cuts()), err=as_json)


def _clustered(carrier: Carrier, method: str | None, k: int | None, height: float | None, memory_limit: int | None,
               threads: int | None, line: Line) -> Result:
    """Build the tree and cut it."""
    from shoal.building import linkage
    from shoal.cli.result import Result
    from shoal.runtime import pool

    pool.set_threads(threads)
    tree = linkage(carrier, method or default_method(carrier), memory_limit=memory_limit, progress=line)
    line.say("choosing a cut")
    suggestion = tree.suggest_cuts() if k is None and height is None else None
    if suggestion is None:
        clusters = tree.cut(k=k, height=height)
    else:
        clusters = tree.cut(k=1) if suggestion.best is None else suggestion.best
    correlation = tree.cophenetic_correlation() if tree.n <= CORRELATED else None
    return Result(clusters, suggestion, correlation, method is None)


def _print(result: Result, as_json: bool, quiet: bool) -> None:
    from shoal.cli.result import record, summary

    if as_json:
        click.echo(json.dumps(record(result), allow_nan=False))
    elif not quiet:
        click.echo("\n".join(summary(result)))
