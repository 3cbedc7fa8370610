"""The group of commands, and what becomes of errors: a sentence on standard error and an exit code."""

from __future__ import annotations

import errno
import os
import warnings
from typing import Any, NoReturn

import click

from shoal.cli.assign import assign
from shoal.cli.cluster import cluster
from shoal.cli.cut import cut
from shoal.cli.describe import describe
from shoal.cli.doctor import doctor
from shoal.cli.export import export
from shoal.cli.kmeans import kmeans
from shoal.cli.plan import plan
from shoal.cli.plot import plot
from shoal.cli.wording import as_options
from shoal.errors import ShoalError, ShoalWarning, TooLargeError

__all__ = ["shoal"]

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class _Group(click.Group):
    """A group whose commands end with Shoal's exit codes and without a traceback for what can be expected."""

    def invoke(self, ctx: click.Context) -> Any:
        if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
            ctx.color = False
        with warnings.catch_warnings():
            _show_warnings_plainly()
            try:
                return super().invoke(ctx)
            except ShoalError as error:
                _end(ctx, f"Error: {as_options(str(error))}", error.exit_code)
            except KeyboardInterrupt:
                _end(ctx, "Interrupted.", INTERRUPTED)
            except MemoryError:
                _end(ctx, "Error: The memory ran out.", TooLargeError.exit_code)
            except OSError as error:
                if error.errno == errno.EPIPE:  # nobody reads on: click ends quietly
                    raise
                _end(ctx, f"Error: {error}", ShoalError.exit_code)


def _end(ctx: click.Context, text: str, code: int) -> NoReturn:
    click.echo(text, err=True)
    ctx.exit(code)


def _show_warnings_plainly() -> None:
    """Shoal's own warnings are sentences for people; where in the code they arose says nothing to them."""
    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, ShoalWarning):
            click.echo(f"Note: {message}", err=True)
        else:
            usual(message, category, *where, **more)

    warnings.showwarning = show


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]}, epilog="""\b
Examples:
  shoal cluster songs.csv --id title
  shoal cluster distances.csv --kind distances -k 5
  shoal kmeans songs.csv -k 8 --id title --scale standard
  shoal plan --items 65536 --features 10
  shoal doctor similarities.csv --kind similarities
  shoal cut songs-clusters/model.shoal --rule dynamic
  shoal assign songs-clusters/model.shoal new.csv
  shoal describe songs-clusters/model.shoal -k 4
  shoal plot songs-clusters/model.shoal --last 30
  shoal export songs-clusters/model.shoal --to newick

Every command says more with --help.
""")
@click.version_option(package_name="shoal", message="%(prog)s %(version)s")
def shoal() -> None:
    """Cluster what a file holds: rows of numbers, distances, similarities or a graph."""


for command in (cluster, kmeans, plan, doctor, cut, assign, describe, plot, export):
    shoal.add_command(command)
