"""`shoal doctor`: what a file holds, and which methods are sound for it."""

from __future__ import annotations

import json
import shutil
import textwrap
from typing import Any

import click

from shoal.cli.reading import GroupedCommand, input_options, read

__all__ = ["doctor"]


@click.command(cls=GroupedCommand, short_help="Say what a file holds, and which methods are sound for it.", epilog="""\b
Examples:
  shoal doctor songs.csv
  shoal doctor roads.csv --kind distances
  shoal doctor correlations.csv --kind similarities --json

\b
--json prints one object with the keys
  shoal, command, kind, n, facts, ways, geometry, mercer
where ways is a list of {method, call, verdict, why, bytes, seconds}.

\b
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the input was refused.
""")
@click.argument("file")
@input_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def doctor(file: str, as_json: bool, **reading: Any) -> None:
    """Say what FILE holds, and which methods are sound for it, with time and memory.

    Whether distances are a metric, Euclidean or a tree's; whether similarities are a kernel or fall into parts.
    """
    from shoal.advice import advise

    found = advise(read(file, **reading))
    if as_json:
        from importlib.metadata import version

        click.echo(json.dumps({
            "shoal": version("shoal"), "command": "doctor", "kind": found.kind, "n": found.n, "facts": list(found.facts),
            "ways": [way._asdict() for way in found.ways],
            "geometry": found.geometry and found.geometry._asdict(), "mercer": found.mercer}))
        return
    width = max(60, shutil.get_terminal_size((100, 24)).columns)
    for line in repr(found).splitlines():
        indent = " " * 13 if line.startswith(" " * 9) else "  "
        click.echo("\n".join(textwrap.wrap(line, width, subsequent_indent=indent, drop_whitespace=True)) or "")
