"""`shoal cut`: the clusters of a saved tree, by a number, a height or a rule; nothing is built anew."""

from __future__ import annotations

import csv
import io
from typing import Any

import click

from shoal.cli.cutting import check_cut, cut_options, open_tree, refuse_taken, report_cut
from shoal.cli.reading import GroupedCommand

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


@click.command(cls=GroupedCommand, epilog=_EPILOG, short_help="Cut a saved tree by a number, a height or a rule.")
@click.argument("model", required=False)
@cut_options
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
    check_cut(k, height, rule, settings)
    if out is not None:
        refuse_taken(out, force)
    tree = open_tree(model)
    if suggest:
        click.echo(repr(tree.suggest_cuts()))
        return
    clusters = tree.cut(k=k, height=height, rule=rule, **settings)
    report_cut(clusters)
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


def _rules() -> list[str]:
    from shoal.cuts.rules import RULES

    lines = []
    for name, rule in RULES.items():
        options = f"; options {', '.join(rule.options)}" if rule.options else ""
        lines += [f"{name} (needs {rule.needs}{options})", f"  From: {rule.source}", f"  Weak: {rule.weakness}",
                  f"  Cost: {rule.cost}"]
    return lines
