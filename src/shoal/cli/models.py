"""Models without a tree, written and told: of `shoal kmeans`, and of `shoal cluster --method spectral|medoids|kernel`."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shoal.cli.progress import progress_line
from shoal.cli.reading import read
from shoal.cli.writing import file_names, from_before, staged
from shoal.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from shoal.cli.progress import Line
    from shoal.clusters import Clusters
    from shoal.data.carriers import Carrier

__all__ = ["WRITTEN", "cluster_by_model", "finish", "headline", "model_for", "record_of", "summary_of", "write_model"]

WRITTEN = ("table", "workbook", "scatter", "model")  # of what `shoal cluster` writes: the rest shows a tree


def model_for(method: str, data: Carrier, k: int | None, negative: str = "error") -> Any:
    """Return the estimator for some data, not fitted yet."""
    from shoal.data.carriers import Distances, Graph, Points, Similarities

    points = isinstance(data, Points)
    if method == "kernel":
        if not isinstance(data, (Similarities, Graph)):
            raise InputError("Kernel k-means takes similarities, and these are "
                             + ("points." if points else f"{type(data).__name__.lower()}."),
                             "For points there is `shoal kmeans`; for distances --method medoids.")
        if k is None:
            raise InputError("Kernel k-means has to be told how many clusters there are.", "Give -k N.")
        from shoal.estimators.kernel_kmeans import KernelKMeans

        return KernelKMeans(k, random_state=0)
    if method == "medoids":
        from shoal.estimators.kmedoids import KMedoids

        return KMedoids(k, metric=data.metric.name if isinstance(data, Points) else "precomputed", random_state=0)
    from shoal.estimators.spectral import Spectral

    affinity = "neighbors" if points else "gaussian" if isinstance(data, Distances) else "precomputed"
    return Spectral(k, affinity=affinity, negative=negative, random_state=0)


def cluster_by_model(file: str, method: str, k: int | None, folder: Path, picture: str, *, force: bool, as_json: bool,
                     quiet: bool, threads: int | None, negative: str, **reading: Any) -> None:
    """Read, fit, write and tell."""
    from shoal.runtime import pool

    start = time.perf_counter()
    pool.set_threads(threads)
    names = {what: name for what, name in file_names(picture).items() if what in WRITTEN}
    with staged(folder, names, force) as stage, progress_line(quiet) as line:
        line.say("reading")
        data = read(file, **reading)
        if k is not None and k > data.n:
            raise InputError(f"{k:,} clusters were asked for, of {data.n:,} items.", "Ask for fewer with -k.")
        line.say("clustering")
        model = model_for(method, data, k, negative).fit(data)
        written, left_out = write_model(model, model.clusters_, stage, names, line)
    finish(folder, names, written, left_out, as_json, quiet, lambda: summary_of(file, model, model.clusters_),
           lambda files: record_of("cluster", file, model, model.clusters_, files, time.perf_counter() - start))


def finish(folder: Path, names: dict[str, str], written: list[str], left_out: list[str], as_json: bool, quiet: bool,
           summary: Callable[[], list[str]], record: Callable[[dict[str, str | None]], dict[str, Any]]) -> None:
    """Print what was left out, and the summary or the JSON object."""
    if stale := from_before(folder, [folder / names[what] for what in written]):
        left_out.append(f"Note: from an earlier run, {folder} still holds {', '.join(stale)}.")
    for sentence in left_out:
        click.echo(sentence, err=True)
    if as_json:
        files = {what: str(folder / names[what]) if what in written else None for what in WRITTEN}
        click.echo(json.dumps(record(files), allow_nan=False))
    elif not quiet:
        click.echo("\n".join(summary()))
        click.echo(f"\nWritten to {folder}{os.sep}: {', '.join(names[what] for what in written)}")


def write_model(model: Any, clusters: Clusters, stage: Path, names: dict[str, str],
                line: Line) -> tuple[list[str], list[str]]:
    """Write all that can be written; return what was, and a sentence for every missing package."""
    from shoal.plot.figures import save

    data: Any = clusters.data
    makers: dict[str, Any] = {"table": clusters.to_csv, "workbook": clusters.to_excel, "model": model.save}
    if getattr(data, "d", 2) >= 2 and data.n > 2:
        makers["scatter"] = lambda path: save(clusters.plot(), path)
    written, left_out = [], []
    for what in (what for what in names if what in makers):
        line.say(f"writing {names[what]}")
        try:
            makers[what](stage / names[what])
            written.append(what)
        except MissingExtraError as error:
            left_out.append(f"Left out: {names[what]}. {error.message} {error.hint}")
    return written, left_out


def record_of(command: str, file: str, model: Any, clusters: Clusters, files: dict[str, str | None],
              seconds: float) -> dict[str, Any]:
    """Return the object that --json prints."""
    from importlib.metadata import version

    from shoal.cli.result import plain

    data: Any = clusters.data
    found: dict[str, Any] = plain({
        "shoal": version("shoal"), "command": command, "input": {"file": file, **data.describe()},
        "method": clusters.source.get("method"), "k": clusters.k,
        "messages": [*data.messages, *getattr(model, "messages_", ())], "clusters": clusters.as_record()["clusters"],
        "files": files, "seconds": round(seconds, 3)})
    return found


def headline(file: str, data: Carrier) -> list[str]:
    """Return what was read, in a line, and what was assumed, in further ones."""
    from shoal.cli.wording import as_options
    from shoal.data.carriers import Points

    name = "standard input" if file == "-" else Path(file).name
    if isinstance(data, Points):
        scaled = f"{data.scaling.name} scaling" if data.scaling is not None else "not scaled"
        what = f"{data.d:,} features, {data.metric.name} distances, {scaled}"
    else:
        what = f"given {type(data).__name__.lower()}"
    return [click.style(f"{name}: {data.n:,} items, {what}", bold=True),
            *(f"- {as_options(message)}" for message in data.messages)]


def summary_of(file: str, model: Any, clusters: Clusters) -> list[str]:
    """Return the lines of the summary."""
    from shoal.cli.result import cluster_table

    assert clusters.data is not None
    width = max(60, shutil.get_terminal_size((100, 24)).columns)
    chosen = ""
    if model.n_clusters is None:
        by = "largest gap of the eigenvalues" if hasattr(model, "gaps_") else "medoid silhouette"
        chosen = f", chosen by the {by}"
    said = [f"- {message}" for message in getattr(model, "messages_", ())]
    lines = [*headline(file, clusters.data), *said, ""]
    told = f"{clusters.source['method']}: {clusters.k:,} clusters{chosen}."
    return [*lines, told, "", *cluster_table(clusters, width)]
