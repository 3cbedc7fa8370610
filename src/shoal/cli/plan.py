"""`shoal plan`: bytes and seconds before the work."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import click

from shoal.cli.reading import GroupedCommand, default_method, input_options, read, read_option, tree_options

__all__ = ["plan"]


@click.command(cls=GroupedCommand, short_help="Say what clustering will take, before any work.", epilog="""\b
Examples:
  shoal plan songs.csv
  shoal plan --items 65536 --features 10 --memory-limit 8GB
  shoal plan --items 20000 --method average --json

\b
--json prints one object with the keys
  shoal, command, method, engine, n, d, bytes, allowed_bytes, seconds, fits
""")
@click.argument("file", required=False)
@read_option("--items", type=click.IntRange(min=1), metavar="N", help="Number of items, instead of a file.")
@read_option("--features", type=click.IntRange(min=1), metavar="D",
             help="Number of features of each item. Default: none, distances are given.")
@input_options
@tree_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def plan(file: str | None, items: int | None, features: int | None, method: str | None, memory_limit: int | None,
         threads: int | None, as_json: bool, **reading: Any) -> None:
    """Say which engine would cluster FILE, or N items, how much memory and about how long it would take.

    The exit code is 0 also when it does not fit.
    """
    if (file is None) == (items is None):
        raise click.UsageError("Give either a FILE or --items N.")
    if file is not None and features is not None:
        raise click.UsageError("--features goes with --items; a FILE has its own.")
    from shoal.runtime import memory, pool
    from shoal.trees.linkage import plan as planned

    pool.set_threads(threads)
    data: Any = items
    if file is not None:
        data = read(file, **reading)
        method = method or default_method(data)
    allowed = memory_limit if memory_limit is not None else int(memory.SHARE * memory.available_bytes())
    found = planned(data, features, method or ("ward" if features else "average"),
                    metric=str(reading.get("metric") or "euclidean"), memory_limit=allowed)
    if as_json:
        from importlib.metadata import version

        click.echo(json.dumps({"shoal": version("shoal"), "command": "plan", "allowed_bytes": allowed,
                               **dataclasses.asdict(found)}))
        return
    kind = "given distances" if found.d is None else f"{found.d:,} features"
    verdict = "fits" if found.fits else "does not fit"
    click.echo(f"{found.method} linkage of {found.n:,} items, {kind}\n"
               f"engine  {found.engine}\n"
               f"memory  {memory.show_bytes(found.bytes)} beside the data; {memory.show_bytes(allowed)} may be used: "
               f"{verdict}\n"
               f"time    about {_spoken(found.seconds)}, a rough guess")


def _spoken(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds" if seconds >= 1.5 else "a second"
