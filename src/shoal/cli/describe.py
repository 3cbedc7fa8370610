"""`shoal describe`: what sets the clusters of a saved model apart."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from shoal.cli.cutting import check_cut, clusters_in, cut_options, report_cut
from shoal.cli.reading import GroupedCommand, read_option

if TYPE_CHECKING:
    from shoal.clusters import Clusters
    from shoal.judge.contrasts import Contrasts, Keyword

__all__ = ["describe"]

_EPILOG = """\b
Examples:
  shoal describe songs-clusters/model.shoal
  shoal describe songs-clusters/model.shoal -k 4 --top 3
  shoal describe towns-clusters/model.shoal --by towns.csv --id name

\b
--json prints one object with the keys
  shoal, command, model, how, k, height, clusters
where clusters is a list of {cluster, size, rule, features, terms}; a rule has
text, precision and coverage, a feature has feature, level, inside, outside,
difference and F, a term has term, score, inside and outside.

\b
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the input was refused.
"""


@click.command(cls=GroupedCommand, epilog=_EPILOG, short_help="Say what sets the clusters of a saved model apart.")
@click.argument("model")
@read_option("--by", metavar="FILE", help="Describe by this table of the same items, with columns of numbers and of texts. "
             "Default: the features the tree was built from.")
@read_option("--id", metavar="COLUMN", help="The column of that table that names the items. Default: rows are taken in the "
             "order of the items.")
@read_option("--sheet", metavar="NAME", help="The sheet of a workbook.")
@cut_options
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, metavar="N",
              help="Features for each cluster.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def describe(model: str, by: str | None, id: str | None, sheet: str | None, k: int | None, height: float | None,
             rule: str | None, settings: dict[str, Any], top: int, as_json: bool) -> None:
    """Say which features set each cluster of MODEL apart from all other items, and a rule that picks it out.

    Differences are in standard deviations, F is the variance between clusters over that within.
    """
    check_cut(k, height, rule, settings)
    if by is None and (id is not None or sheet is not None):
        raise click.UsageError("--id and --sheet are of the table given with --by.")
    from shoal.data.files import read_table

    table = None if by is None else read_table(by, sheet=int(sheet) if sheet and sheet.isdecimal() else sheet, text=id)
    clusters = clusters_in(model, k, height, rule, settings)
    report_cut(clusters)
    found = clusters.features(top, of=table, id=id)
    words = clusters.keywords(top) if table is None and clusters.has_terms else ()
    if as_json:
        click.echo(json.dumps(_record(model, clusters, found, words), allow_nan=False))
    else:
        click.echo("\n".join(_lines(clusters, found, words)))


def _lines(clusters: Clusters, found: Contrasts, words: Sequence[Keyword]) -> list[str]:
    """Return a paragraph for every cluster, as wide as the terminal."""
    from shoal.plot.text import MISSING

    width = max(60, shutil.get_terminal_size((100, 24)).columns)
    if clusters.k < 2:
        return ["There is one cluster, and nothing to set it apart from. Choose a cut with -k N or --height H."]
    terms = [f"cluster {c}: key terms {', '.join(w.term for w in words if w.cluster == c)}" for c in range(clusters.k)]
    said = "\n".join([repr(found), *(terms if words else [])])
    text = "".join(c if c.isprintable() or c == "\n" else MISSING for c in said)
    return [line for paragraph in text.splitlines() for line in textwrap.wrap(
        paragraph, width, subsequent_indent="    ", drop_whitespace=True, break_on_hyphens=False)]


def _record(model: str, clusters: Clusters, found: Contrasts, words: Sequence[Keyword]) -> dict[str, Any]:
    """Return the object that --json prints."""
    from importlib.metadata import version

    from shoal.cli.result import plain

    rows = [{"cluster": rule.cluster, "size": int(clusters.sizes[rule.cluster]),
             "rule": {"text": rule.text, "precision": rule.precision, "coverage": rule.coverage},
             "features": [{name: value for name, value in row._asdict().items() if name != "cluster"}
                          for row in found.rows if row.cluster == rule.cluster],
             "terms": [{name: value for name, value in word._asdict().items() if name != "cluster"}
                       for word in words if word.cluster == rule.cluster]} for rule in found.rules]
    record: dict[str, Any] = plain({"shoal": version("shoal"), "command": "describe", "model": model, "how": clusters.how,
                                    "k": clusters.k, "height": clusters.height, "clusters": rows})
    return record
