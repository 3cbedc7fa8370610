"""`shoal cut`: the clusters of a saved tree, by a number, a height or a rule; nothing is built anew."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import click

from shoal.cli.reading import GroupedCommand
from shoal.errors import InputError

__all__ = ["cut"]

_EPILOG = """\b
Examples:
  shoal cut songs-clusters/model.shoal --suggest
  shoal cut songs-clusters/model.shoal --rule dynamic --set min_size=20
  shoal cut songs-clusters/model.shoal -k 4 -o four.csv
  shoal cut songs-clusters/model.shoal --rules

\b
The table has a row for each item, sorted by cluster: id and cluster, -1 where
the rule leaves an item out.

\b
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the input was refused.
"""


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


@click.command(cls=GroupedCommand, epilog=_EPILOG, short_help="Cut a saved tree by a number, a height or a rule.")
@click.argument("model", required=False)
@click.option("-k", "--clusters", "k", type=click.IntRange(min=1), metavar="N", help="Exactly so many clusters.")
@click.option("--height", type=click.FloatRange(min=0), metavar="H", help="All merges at or below this height.")
@click.option("--rule", metavar="NAME", help="Cut by a rule; --rules lists them.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", callback=_settings,
              help="An option of the rule; may be given several times.")
@click.option("--rules", "list_rules", is_flag=True, help="List the rules: what each needs, where it fails.")
@click.option("--suggest", is_flag=True, help="Print the table of suggested cuts and the reason; cut nothing.")
@click.option("--out", "-o", metavar="FILE", help="Write the table to this file, .csv or .xlsx. Default: print it.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def cut(model: str | None, k: int | None, height: float | None, rule: str | None, settings: dict[str, Any],
        list_rules: bool, suggest: bool, out: str | None, force: bool) -> None:
    """Cut the tree in MODEL, a file that `shoal cluster` or Tree.save wrote, into clusters."""
    if list_rules:
        click.echo("\n".join(_rules()))
        return
    if model is None:
        raise click.UsageError("Give the model: a file that `shoal cluster` or Tree.save wrote.")
    if sum(given is not None for given in (k, height, rule)) > 1:
        raise click.UsageError("Of -k, --height and --rule give one.")
    if settings and rule is None:
        raise click.UsageError("--set goes with --rule.")
    if out is not None and Path(out).exists() and not force:
        raise InputError(f"{out!r} is there already; nothing was changed.", "Give another name, or --force.")
    from shoal.tree import load

    tree = load(model)
    if suggest:
        click.echo(repr(tree.suggest_cuts()))
        return
    clusters = tree.cut(k=k, height=height, rule=rule, **settings)
    lost = int((clusters.labels < 0).sum())
    click.echo(f"Clusters: {clusters.k:,} ({clusters.how}), sizes {_shown(clusters.sizes.tolist())}"
               + (f"; {lost:,} items are in none." if lost else "."), err=True)
    if out is None:
        text = io.StringIO()
        order = sorted(range(len(clusters)), key=lambda i: (clusters.labels[i] < 0, clusters.labels[i]))
        rows = ((clusters.ids[i], int(clusters.labels[i])) for i in order)
        csv.writer(text, lineterminator="\n").writerows([("id", "cluster"), *rows])
        click.echo(text.getvalue(), nl=False)
    elif out.lower().endswith(".xlsx"):
        clusters.to_excel(out, force=force)
    else:
        clusters.to_csv(out, force=force)


def _shown(sizes: list[int]) -> str:
    return ", ".join(f"{size:,}" for size in sizes[:12]) + (", …" if len(sizes) > 12 else "")


def _rules() -> list[str]:
    from shoal.cuts.rules import RULES

    lines = []
    for name, rule in RULES.items():
        options = f"; options {', '.join(rule.options)}" if rule.options else ""
        lines += [f"{name} (needs {rule.needs}{options})", f"  From: {rule.source}", f"  Weak: {rule.weakness}",
                  f"  Cost: {rule.cost}"]
    return lines
