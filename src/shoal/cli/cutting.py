"""The options that say how a saved tree is cut, shared by the commands that take a model, and their checks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from shoal.errors import InputError

if TYPE_CHECKING:
    from shoal.clusters import Clusters
    from shoal.tree import Tree

__all__ = ["check_cut", "clusters_in", "cut_options", "default_name", "open_tree", "refuse_taken", "report_cut"]

F = TypeVar("F", bound=Callable[..., Any])


def _settings(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """Read NAME=VALUE; a value is a number, yes, no, none, or text."""
    words: dict[str, Any] = {"yes": True, "true": True, "no": False, "false": False, "none": None}
    found: dict[str, Any] = {}
    for text in values:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE.")
        for read in (int, float, lambda v: words[v.lower()], str):
            try:
                found[name.strip().replace("-", "_")] = read(value.strip())
                break
            except (ValueError, KeyError):
                continue
    return found


_OPTIONS = (
    click.option("-k", "--clusters", "k", type=click.IntRange(min=1), metavar="N", help="Exactly so many clusters."),
    click.option("--height", type=click.FloatRange(min=0), metavar="H", help="All merges at or below this height."),
    click.option("--rule", metavar="NAME", help="Cut by a rule; `shoal cut --rules` lists them."),
    click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", callback=_settings,
                 help="An option of the rule; may be given several times."),
)


def cut_options(command: F) -> F:
    """Add the options of a cut: k, height, rule and settings."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def check_cut(k: int | None, height: float | None, rule: str | None, settings: dict[str, Any]) -> None:
    """Raise click.UsageError where more than one of k, height and rule is given, or settings without a rule."""
    if sum(given is not None for given in (k, height, rule)) > 1:
        raise click.UsageError("Of -k, --height and --rule give one.")
    if settings and rule is None:
        raise click.UsageError("--set goes with --rule.")


def open_tree(model: str) -> Tree:
    """Read a model file that must hold a tree."""
    from shoal.estimators.files import load
    from shoal.tree import Tree

    found = load(model)
    if not isinstance(found, Tree):
        raise InputError(f"{model!r} holds a {type(found).__name__} model, which has no tree.",
                         "`shoal assign` puts new items into its clusters.")
    return found


def clusters_in(model: str, k: int | None, height: float | None, rule: str | None, settings: dict[str, Any]) -> Clusters:
    """Cut the tree in a model file, or return the clusters of a model without one."""
    from shoal.estimators.files import load
    from shoal.tree import Tree

    found = load(model)
    if isinstance(found, Tree):
        return found.cut(k=k, height=height, rule=rule, **settings)
    if k is not None or height is not None or rule is not None:
        raise InputError(f"{model!r} holds a {type(found).__name__} model, whose clusters are what they are.",
                         "-k, --height and --rule are for trees; leave them out.")
    if not hasattr(found, "clusters_"):
        raise InputError(f"{model!r} holds a {type(found).__name__} model, which has no clusters.",
                         "Give a model that `shoal cluster` or `shoal kmeans` wrote.")
    clusters: Clusters = found.clusters_
    return clusters


def report_cut(clusters: Clusters) -> None:
    """Say on standard error which cut was made."""
    sizes = clusters.sizes.tolist()
    shown = ", ".join(f"{size:,}" for size in sizes[:12]) + (", …" if len(sizes) > 12 else "")
    lost = int((clusters.labels < 0).sum())
    click.echo(f"Clusters: {clusters.k:,} ({clusters.how}), sizes {shown}"
               + (f"; {lost:,} items are in none." if lost else "."), err=True)


def default_name(model: str, ending: str) -> str:
    """Return the name of a file made from a model, in the current folder.

    Examples
    --------
    >>> default_name("songs-clusters/model.shoal", ".nwk")
    'model.nwk'
    """
    return Path(model).stem + ending


def refuse_taken(out: str, force: bool) -> None:
    """Raise InputError, before any work, where a file is there that may not be replaced."""
    if Path(out).exists() and not force:
        raise InputError(f"{out!r} is there already; nothing was changed.", "Give another name with --out, or --force.")

