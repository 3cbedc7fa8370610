"""`shoal kmeans`: a file in; a table, a workbook, a picture, a model and a summary out."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shoal.cli.models import WRITTEN, finish, headline, record_of, write_model
from shoal.cli.progress import Line, progress_line
from shoal.cli.reading import input_options, read
from shoal.cli.writing import PICTURES, default_folder, file_names, staged
from shoal.errors import InputError

if TYPE_CHECKING:
    from shoal.centers.stream import Drift
    from shoal.clusters import Clusters
    from shoal.data.carriers import Points
    from shoal.estimators.kmeans import KMeans

__all__ = ["kmeans"]

_EPILOG = """\b
Examples:
  shoal kmeans songs.csv -k 8 --id title --scale standard
  shoal kmeans texts.npz -k 20 --metric cosine --seed 1
  shoal kmeans rooms.csv -k 10 --fixed centers.csv
  shoal kmeans january.csv -k 8 --follow february.csv --follow march.csv

\b
--fixed takes a table with a row for each centre to hold and columns named as
in FILE, in FILE's units. An empty cell is free, and so is a column or row that
is not there: with -k 10, a table of three rows leaves seven centres free.

\b
--json prints one object with the keys
  shoal, command, input, method, metric, k, inertia, iterations, messages,
  clusters, drift, files, seconds
where clusters is a list of {cluster, size, share, typical, members}.

\b
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the input was refused,
4 it would not fit in memory, 130 interrupted.
"""


@click.command(epilog=_EPILOG, short_help="Cluster points by k-means; write tables, a picture and a model.")
@click.argument("file")
@input_options
@click.option("-k", "--clusters", "k", type=click.IntRange(min=1), required=True, metavar="N", help="How many clusters.")
@click.option("--fixed", metavar="FILE", help="A table of centres, whole or in part, that do not move.")
@click.option("--follow", multiple=True, metavar="FILE", help="Learn on from this file, in batches, before FILE's items are "
              "assigned; may be given several times.")
@click.option("--min-size", type=click.IntRange(min=1), metavar="N", help="The fewest items of a cluster.")
@click.option("--max-size", type=click.IntRange(min=1), metavar="N", help="The most items of a cluster.")
@click.option("--starts", type=click.IntRange(min=1), default=10, show_default=True, metavar="N",
              help="Begin so many times, and take the best.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
              help="Another seed begins elsewhere.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Default: all processors this process may use.")
@click.option("--out", metavar="FOLDER", help="Where the files go. Default: NAME-clusters in the current folder.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@click.option("--picture", type=click.Choice(PICTURES), default="svg", show_default=True, help="The format of the picture.")
@click.option("--no-plot", "picture", flag_value="none", help="Draw no picture.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the summary.")
@click.option("--quiet", "-q", is_flag=True, help="Print no summary and no progress; the files are written all the same.")
def kmeans(file: str, out: str | None, force: bool, picture: str, as_json: bool, quiet: bool, threads: int | None,
           **options: Any) -> None:
    """Cluster the points FILE holds by k-means.

    FILE is a table (CSV, TSV, Excel, Parquet, Arrow) or an array (.npy, .npz); "-" reads standard input. The result is a
    folder with clusters.csv, clusters.xlsx, a picture clusters.svg, and model.shoal, to whose clusters `shoal assign` puts
    new items.
    """
    from shoal.runtime import pool

    start = time.perf_counter()
    pool.set_threads(threads)
    folder = default_folder(file) if out is None else Path(out)
    names = {what: name for what, name in file_names(picture).items() if what in WRITTEN}
    with staged(folder, names, force) as stage, progress_line(quiet) as line:
        line.say("reading")
        model, clusters, drift = _clustered(file, line, **options)
        written, left_out = write_model(model, clusters, stage, names, line)
    finish(folder, names, written, left_out, as_json, quiet, lambda: _summary(file, model, clusters, drift),
           lambda files: _record(file, model, clusters, drift, files, time.perf_counter() - start))


def _clustered(file: str, line: Line, k: int, fixed: str | None, follow: tuple[str, ...], min_size: int | None,
               max_size: int | None, starts: int, seed: int, **reading: Any) -> tuple[KMeans, Clusters, Drift | None]:
    """Read, fit, learn on, and assign the file's items."""
    from shoal.data.carriers import Points
    from shoal.estimators.kmeans import KMeans

    points = read(file, **reading)
    if not isinstance(points, Points):
        raise InputError(f"k-means takes points, and {file!r} holds {type(points).__name__.lower()}.",
                         "`shoal cluster` clusters those.")
    model = KMeans(k, n_init=starts, random_state=seed, metric=points.metric.name, min_size=min_size, max_size=max_size,
                   fixed_centers=None if fixed is None else _fixed_centers(fixed, points, k))
    line.say("clustering")
    clusters, drift = model.fit(points).clusters_, None
    for path in follow:
        line.say(f"learning from {path}")
        model.fit_batches(path, columns=points.columns)
        drift = model.drift_
    if follow:  # until here the model knows the labels of the last batch
        clusters = model.relabel(points).clusters_
    return model, clusters, drift


def _fixed_centers(file: str, points: Points, k: int) -> Any:
    """Read centres to hold: NaN where a cell, a column or a row is missing; scaled as the points were."""
    import numpy as np

    from shoal.data.files import read_table

    table = read_table(file)
    columns = points.columns or tuple(column.name for column in table.columns)
    numeric = {column.name: column.numbers for column in table.columns if column.numbers is not None}
    if unknown := sorted(set(numeric) - set(columns)):
        raise InputError(f"{file}: there is no column {unknown[0]!r} in the data.",
                         f"The columns are {', '.join(map(repr, columns[:12]))}.")
    if len(columns) != points.d or table.n > k:
        raise InputError(f"{file}: {table.n} centres of {len(columns)} features are held, for {k} clusters of points of "
                         f"{points.d}.", "Give at most one row for each cluster, and name the columns as in the data.")
    fixed = np.full((k, points.d), np.nan)
    for j, name in enumerate(columns):
        if name in numeric:
            fixed[:table.n, j] = numeric[name]
    return fixed if points.scaling is None else points.scaling.apply(fixed)


def _record(file: str, model: KMeans, clusters: Clusters, drift: Drift | None, files: dict[str, str | None],
            seconds: float) -> dict[str, Any]:
    """Return the object that --json prints."""
    return record_of("kmeans", file, model, clusters, files, seconds) | {
        "metric": model.metric, "k": model.n_clusters, "inertia": model.inertia_,
        "iterations": int(model.n_iter_), "drift": None if drift is None else str(drift).splitlines()}


def _summary(file: str, model: KMeans, clusters: Clusters, drift: Drift | None) -> list[str]:
    """Return the lines of the summary."""
    from shoal.cli.result import cluster_table

    data: Any = clusters.data
    width = max(60, shutil.get_terminal_size((100, 24)).columns)
    lines = headline(file, data)
    lines += ["", f"k-means: {model.n_clusters:,} clusters, inertia {model.inertia_:.6g}, {model.n_iter_} iterations.", ""]
    lines += cluster_table(clusters, width)
    return lines if drift is None else [*lines, "", *str(drift).splitlines()]
