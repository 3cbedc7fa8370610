"""The options that say what a file holds and how its tree is built, shared by the commands, and reading the file."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from shoal.errors import InputError

if TYPE_CHECKING:
    from shoal.data.carriers import Carrier

__all__ = ["MODELS", "GroupedCommand", "clustering_options", "default_method", "input_options", "read", "read_option",
           "tree_options"]

F = TypeVar("F", bound=Callable[..., Any])

# Written out, so that help needs none of the packages behind them; a test holds them to the library's own lists.
METHODS = ("ward", "single", "complete", "average", "weighted", "centroid", "median")
MODELS = ("spectral", "medoids", "kernel")
SCALINGS = ("standard", "minmax", "robust")
KINDS = ("points", "distances", "similarities", "graph")


class _Option(click.Option):
    """An option that knows the heading it is listed under."""

    def __init__(self, *names: Any, heading: str, **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.heading = heading


class GroupedCommand(click.Command):
    """A command whose help lists its options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings."""
        groups: dict[str, list[tuple[str, str]]] = {"What is read": [], "The tree": [], "The result": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                groups[getattr(param, "heading", "The result")].append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)


def _names(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str] | None:
    """Split "A,B" as a line of CSV, so that a quoted name may hold a comma."""
    return None if value is None else [name.strip() for name in next(csv.reader([value], skipinitialspace=True), [])]


def _sheet(ctx: click.Context, param: click.Parameter, value: str | None) -> str | int | None:
    return int(value) if value is not None and value.isdecimal() else value


def _bytes(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Read an amount of memory."""
    from shoal.runtime.memory import parse_bytes

    try:
        return None if value is None else parse_bytes(value)
    except InputError as error:
        raise click.BadParameter(str(error)) from error


read_option = partial(click.option, cls=_Option, heading="What is read")
_tree_option = partial(click.option, cls=_Option, heading="The tree")

_READING = (
    read_option("--kind", type=click.Choice(KINDS), help="What the file holds. Default: points, one row for each item; "
                 "a file that looks like another kind is refused until this is said."),
    read_option("--id", metavar="COLUMN", help="The column that names the items; names stay exactly as written. "
                 "Default: the one text column in which all values differ."),
    read_option("--columns", metavar="A,B,…", callback=_names,
                 help="The columns to cluster by. Default: all that are numeric."),
    read_option("--metric", metavar="NAME", help="The distance between points: euclidean (default), cosine, "
                 "correlation, cityblock, or another of scipy.spatial.distance."),
    read_option("--scale", type=click.Choice((*SCALINGS, "none")), help="Bring columns to one scale: standard (mean 0, "
                 "standard deviation 1), minmax (0 to 1), robust (median and quartiles). Default: none."),
    read_option("--drop", type=click.Choice(("rows", "columns")), help="What to leave out where values are missing."),
    read_option("--rule", metavar="RULE", help="How similarities become distances: '1-s', 'max-s', 'sqrt(2-2s)', "
                 "'arccos(s)/pi', '1/s-1' or '-log s'. Default: 1-s where it fits, else max-s."),
    read_option("--symmetrize", type=click.Choice(("mean", "min", "max")),
                 help="Make one value of two where a pair has different ones in the two directions."),
    read_option("--missing", type=click.Choice(("shortest_path",)), help="With --kind graph: weights are distances, and "
                 "two items without an edge are as far apart as the shortest path between them."),
    read_option("--sheet", metavar="NAME", callback=_sheet, help="The sheet of a workbook, by name or by number from 1; "
                 "or the array of an .npz file."),
)
_LINKAGE = "The linkage. Default: ward for points with Euclidean distances, average for everything else."
_TREE = (
    _tree_option("--memory-limit", metavar="SIZE", callback=_bytes, help='The most memory to use, such as "8GB". '
                 "Default: 80 % of what is free."),
    _tree_option("--threads", type=click.IntRange(min=1), metavar="N",
                 help="Default: all processors this process may use. The result is the same for any number."),
)


def input_options(command: F) -> F:
    """Add the options that say what a file holds; the command hands them on to `read`."""
    return _decorated(command, _READING)


def tree_options(command: F) -> F:
    """Add the options of building a tree: method, memory_limit and threads."""
    return _decorated(command, (_tree_option("--method", type=click.Choice(METHODS), help=_LINKAGE), *_TREE))


def clustering_options(command: F) -> F:
    """Add the options of building a tree, and the methods that build none."""
    method = _tree_option("--method", type=click.Choice((*METHODS, *MODELS)), metavar="NAME",
                          help=f"{_LINKAGE} One of {', '.join(METHODS)}. Or without a tree: spectral, medoids, or kernel "
                               "(k-means of similarities).")
    return _decorated(command, (method, *_TREE))


def _decorated(command: F, options: Iterable[Callable[[F], F]]) -> F:
    for option in reversed(tuple(options)):
        command = option(command)
    return command


def read(file: str, scale: str | None, metric: str | None, **options: Any) -> Carrier:
    """Read a file with the options of `input_options`."""
    from shoal.data.files import read_file

    return read_file(file, scale=None if scale == "none" else scale, metric=metric or "euclidean", **options)


def default_method(carrier: Carrier) -> str:
    """Return ward where it has a meaning, for points with Euclidean distances; else average."""
    from shoal.data.carriers import Points

    return "ward" if isinstance(carrier, Points) and carrier.metric.name == "euclidean" else "average"
