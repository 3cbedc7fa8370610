"""What a run found: as an object for programs and as a summary for people."""

from __future__ import annotations

import math
import os
import shutil
import textwrap
import unicodedata
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from shoal.cli.wording import as_options
from shoal.clusters import Clusters
from shoal.plot.palette import color
from shoal.plot.text import MISSING, one_line
from shoal.suggestions import Suggestions
from shoal.treecut import TreeCut

__all__ = ["Result", "cluster_table", "plain", "record", "summary"]

LISTED = 30  # clusters in the summary; all are in the files
CENTRAL = 24  # columns of the terminal for the most central item's name
FILES = ("table", "workbook", "dendrogram", "scatter", "report", "model")


@dataclass
class Result:
    """A finished run.

    Attributes
    ----------
    clusters : TreeCut
    suggestion : Suggestions or None
        None where the person chose the cut.
    correlation : float or None
        The cophenetic correlation.
    assumed : bool
        Whether the method was Shoal's choice.
    file : str
        What was read.
    files : dict of str to Path
        What was written.
    seconds : float
    """

    clusters: TreeCut
    suggestion: Suggestions | None
    correlation: float | None
    assumed: bool
    file: str = ""
    files: dict[str, Path] = field(default_factory=dict)
    seconds: float = 0.0


def record(result: Result) -> dict[str, Any]:
    """Return the object that --json prints; the help of the command lists its keys."""
    clusters, tree, best = result.clusters, result.clusters.tree, result.suggestion
    members = clusters.members()
    rows = [{"cluster": c, "size": len(members[c]), "share": len(members[c]) / len(clusters),
             "medoid": tree.ids[at], "members": members[c]} for c, at in enumerate(clusters.typical.tolist())]
    suggestion = None if best is None else {
        "k": clusters.k, "evidence": best.evidence, "reason": best.reason, "cuts": [row._asdict() for row in best.rows]}
    found: dict[str, Any] = plain({
        "shoal": version("shoal"), "command": "cluster", "input": {"file": result.file, **tree.source},
        "method": tree.method, "metric": tree.source.get("metric"), "engine": tree.engine, "k": clusters.k,
        "height": clusters.height, "suggestion": suggestion, "messages": list(tree.messages),
        "cophenetic_correlation": result.correlation, "clusters": rows,
        "files": {what: str(result.files[what]) if what in result.files else None for what in FILES},
        "seconds": round(result.seconds, 3)})
    return found


def plain(value: Any) -> Any:
    """Return a value JSON can hold: NaN and infinities, which it cannot, become null."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def summary(result: Result) -> list[str]:
    """Return the lines of the summary, as wide as the terminal and styled where it understands colours."""
    width = max(60, shutil.get_terminal_size((100, 24)).columns)
    tree = result.clusters.tree
    lines = [click.style(_input(result), bold=True)]
    lines += [line for message in tree.messages for line in _wrapped(f"- {as_options(message)}", width, "  ")]
    lines += ["", *_wrapped(_built(result), width)]
    lines += [*_wrapped(_chosen(result), width), "", *cluster_table(result.clusters, width), ""]
    folders = {path.parent for path in result.files.values()}
    names = ", ".join(path.name for path in result.files.values())
    return lines + [f"Written to {folder}{os.sep}: {names}" for folder in folders]


def _shown(name: str) -> str:
    """Return a name in one line, without the characters that could steer a terminal."""
    return "".join(c if c.isprintable() else MISSING for c in one_line(name))


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _input(result: Result) -> str:
    """Say what was read."""
    source = result.clusters.tree.source
    name = "standard input" if result.file == "-" else Path(result.file).name
    parts = [_count(source["n"], "item")]
    if source["carrier"] == "points":
        parts += [_count(source["d"], "feature"), f"{source['metric']} distances",
                  f"{source['scale']} scaling" if source["scale"] else "not scaled"]
    elif source["carrier"] == "graph":
        parts += [_count(source["edges"], "edge"), f"weights are {'distances' if source['missing'] else 'similarities'}"]
    else:
        parts.append(f"given {source['carrier']}")
    if source.get("rule"):
        parts.append(f"distance = {source['rule']}")
    return f"{_shown(name)}: {', '.join(parts)}"


def _built(result: Result) -> str:
    """Say how the tree was built, and how well it keeps the distances."""
    tree = result.clusters.tree
    why = " (by default; --method chooses another)" if result.assumed else ""
    text = f"Tree: {tree.method} linkage{why}, engine {tree.engine}, {result.seconds:.1f} s in all."
    if result.correlation is not None and math.isfinite(result.correlation):
        text += f" Cophenetic correlation {result.correlation:.3f}."
    return text


def _chosen(result: Result) -> str:
    """Say which cut was made and why."""
    clusters, best = result.clusters, result.suggestion
    at = "" if clusters.height is None else f" at height {clusters.height:.4g}"
    if best is None:
        return f"Cut: {_count(clusters.k, 'cluster')}{at}, as asked."
    if best.best is None:
        return f"No cut is suggested. {best.reason} Choose one with -k N or --height H."
    return (f"Cut: {_count(clusters.k, 'cluster')}{at}, suggested with {best.evidence} evidence. {best.reason} "
            "Choose another with -k N or --height H.")


def cluster_table(clusters: Clusters, width: int) -> list[str]:
    """Return a line for each cluster: number, size, share, most central item, first members."""
    shown = range(min(clusters.k, LISTED))
    central = [_fitted(_shown(name or ""), CENTRAL) for name in clusters.typical_ids[:LISTED]]
    wide = max(12, *map(_cells, central))
    digits = max(5, len(f"{int(clusters.sizes.max()):,}"))
    lines = [click.style(f"cluster  {'items':>{digits}}  share  {_padded('most central', wide)}  members", bold=True)]
    for c in shown:
        size = int(clusters.sizes[c])
        start = f"{size:>{digits},}  {size / len(clusters):>5.0%}  {_padded(central[c], wide)}  "
        names = (_shown(clusters.ids[i]) for i in clusters.indices(c)[:width].tolist())
        lines.append(_inked(f"{c:>7}", c) + f"  {start}" + _listed(names, size, width - 9 - _cells(start)))
    if clusters.k > LISTED:
        lines.append(f"    ...  and {clusters.k - LISTED:,} more clusters")
    return lines


def _listed(names: Any, size: int, room: int) -> str:
    """Return as many names as there is room for, and how many more there are."""
    text, count = "", 0
    for name in names:
        more = f"{text}, {name}" if text else name
        ending = f", … {size - count - 1:,} more" if count + 1 < size else ""
        if _cells(more + ending) > room:
            break
        text, count = more, count + 1
    return f"{text}, … {size - count:,} more" if text and count < size else text or f"… {size:,}"


def _inked(text: str, cluster: int) -> str:
    """Give a text the colour the cluster has in every picture, on terminals that say they show all colours."""
    if os.environ.get("COLORTERM") not in ("truecolor", "24bit"):
        return text
    red, green, blue = bytes.fromhex(color(cluster)[1:])
    return click.style(text, fg=(red, green, blue), bold=True)


def _cells(text: str) -> int:
    """Return the columns a text takes on a terminal: two for East Asian characters, none for combining marks."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _fitted(text: str, room: int) -> str:
    while _cells(text) > room:
        text = text[:-2].rstrip() + "…"
    return text


def _padded(text: str, room: int) -> str:
    return text + " " * (room - _cells(text))


def _count(number: int, one: str) -> str:
    return f"{number:,} {one if number == 1 else one + 's'}"
