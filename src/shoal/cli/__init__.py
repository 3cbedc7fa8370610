"""The command `shoal`: files in, tables, pictures and a summary out. Each command imports what it needs when it runs."""

from __future__ import annotations

import io
import os
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and end the process with its exit code."""
    from shoal.cli.app import shoal

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name the terminal cannot show must not end the run
    os.environ["MPLBACKEND"] = "agg"  # pictures go to files: no window system is needed, whatever notebooks set
    shoal(prog_name="shoal")
