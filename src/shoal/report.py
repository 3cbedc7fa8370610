"""One page that holds everything there is to say about some clusters: text, tables and pictures in a single HTML file.

Nothing on it runs and nothing is fetched: its own policy forbids scripts, and names people gave are text, whatever they
contain. The same clusters give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import html
import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.clusters import EXACT
from shoal.data.records import Points
from shoal.data.rows import rows_of
from shoal.errors import InputError, MissingExtraError
from shoal.judge.columns import MOST_COLUMNS
from shoal.judge.silhouette import Silhouette
from shoal.plot.palette import color, readable_on
from shoal.runtime.files import atomic_write

if TYPE_CHECKING:
    from shoal.suggestions import Suggestions
    from shoal.tree import Tree
    from shoal.treecut import TreeCut

__all__ = ["write_report"]

SHOWN = 500  # clusters with a row of their own
DESCRIBED = 60  # clusters up to which it is said what sets each apart: a decision tree and a table each
MEMBERS, LISTED = 1000, 20_000  # ids listed of one cluster, and of all: 20,000 are a page of half a megabyte
FEATURES = 5
NAMED = 60  # leaves that fit across a page
TALL = 200  # leaves that are still drawn all, one below the other
COLORS = 120  # the palette has no more
SAMPLED = 20_000_000  # pairs for the cophenetic correlation: half a second
NUMBER = re.compile(r"[-+]?[\d.,]*(e[-+]?\d+)?%?|[-+]?inf")  # or nothing
ROW_OF_BEST = '<tr class="best">'
UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")  # HTML has none of them

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--card:#f6f7f9;--ink:#1d2129;--quiet:#5b6472;--line:#d9dde3}
@media (prefers-color-scheme:dark){:root{--paper:#15181d;--card:#1e2229;--ink:#e7eaef;--quiet:#a3acb9;--line:#363c47}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:2rem 1.25rem 4rem;background:var(--paper);color:var(--ink);
 font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
h1{font-size:1.8rem;line-height:1.2;margin:0 0 .3rem;overflow-wrap:anywhere}
h2{font-size:1.25rem;margin:2.5rem 0 .6rem;padding-bottom:.3rem;border-bottom:1px solid var(--line)}
h3{font-size:1rem;margin:1.6rem 0 .3rem}
p{margin:.4rem 0;max-width:48rem}.quiet,caption,footer{color:var(--quiet)}
nav a{margin-right:1rem}a{color:inherit}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.5rem;margin:1rem 0}
dt{color:var(--quiet)}dd{margin:0;overflow-wrap:anywhere}
figure{margin:1rem 0;overflow-x:auto;background:#fff;border:1px solid var(--line);border-radius:.5rem;padding:.75rem}
figcaption{color:#5b6472;font-size:.85rem;margin-top:.4rem}
img{display:block;max-width:100%;height:auto;margin:0 auto}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.4rem 0}
caption{text-align:left;padding-bottom:.3rem}
th,td{padding:.28rem .9rem .28rem 0;text-align:left;vertical-align:baseline;border-bottom:1px solid var(--line);
 overflow-wrap:anywhere}
thead th{font-weight:600;color:var(--quiet);white-space:nowrap}tbody th{font-weight:inherit}
.n{text-align:right;white-space:nowrap}tr.best{background:var(--card);font-weight:600}
.chip{display:inline-block;min-width:2.2em;padding:0 .5em;border-radius:.7em;text-align:center;font-weight:600;
 print-color-adjust:exact;-webkit-print-color-adjust:exact}
.noise{background:#a0a0a0;color:#000}
details{margin:.3rem 0;padding:.35rem .8rem;background:var(--card);border-radius:.5rem}
summary{cursor:pointer}
details ul{columns:16rem;margin:.6rem 0;padding-left:1.2rem}li{overflow-wrap:anywhere}
@media print{body{max-width:none;padding:0;font-size:10pt}nav{display:none}img{max-height:20cm}
 figure,tr,h2,h3{break-inside:avoid}
 h2,h3{break-after:avoid}details{background:none;padding:0}}
@media print{details::details-content{content-visibility:visible;height:auto}}
"""


class _Html(str):
    """Text that is HTML already; every other text is escaped."""


def write_report(clusters: TreeCut, path: Any, *, force: bool = False, title: str | None = None,
                 suggestion: Suggestions | None = None) -> None:
    """Write a report of some clusters as one HTML page.

    Parameters
    ----------
    clusters : TreeCut
    path : path-like
    force : bool
        Overwrite a file that is there.
    title : str, optional
    suggestion : Suggestions, optional
        What `tree.suggest_cuts()` returned, where it was called already.

    Raises
    ------
    InputError
        When the file exists and `force` is False.

    Notes
    -----
    On the page: the data and how the tree was built; the dendrogram, and a scatter plot where there are coordinates; why
    this cut, and what every rule says; a table of the clusters; what sets each apart; all members. What is too long for a
    page is cut short and says so: 500 clusters in tables, features for up to 60, 1,000 members of one cluster and 20,000 in
    all. Without matplotlib it has no pictures, and says so.

    Examples
    --------
    >>> import pathlib, tempfile, shoal
    >>> from shoal.report import write_report
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "report.html"
    >>> write_report(shoal.linkage([[0.0], [1.0], [8.0], [9.0]]).cut(k=2), file)
    >>> "<script" in file.read_text(encoding="utf-8")
    False
    """
    tree = clusters.tree
    if suggestion is None and tree.data is not None:
        suggestion = tree.suggest_cuts()
    judged = clusters.silhouette() if tree.data is not None and clusters.k > 1 and tree.n <= EXACT else None
    heading = title or f"{_count(clusters.k, 'cluster')} of {_count(len(clusters), 'item')}"
    parts = {"clusters": ("Clusters", _overview(clusters, judged)),
             "pictures": ("Pictures", _pictures(clusters, judged)),
             "apart": ("What sets them apart", _apart(clusters)), "cut": ("Where to cut", _cut(clusters, suggestion)),
             "members": ("Members", _members(clusters))}
    kept = {anchor: part for anchor, part in parts.items() if part[1]}
    page = [f"<h1>{_text(heading)}</h1>", _summary(clusters),
            "<nav>" + "".join(f'<a href="#{anchor}">{name}</a>' for anchor, (name, _) in kept.items()) + "</nav>"]
    page += [f'<section id="{anchor}"><h2>{name}</h2>\n{body}</section>' for anchor, (name, body) in kept.items()]
    with atomic_write(path, force) as file:
        file.write(_page(heading, "\n".join(page), min(clusters.k, COLORS)).encode())


def _page(title: str, body: str, colors: int) -> str:
    """Put a body into a page that allows its own style sheet, known by its hash, and pictures within it; nothing else."""
    inks = "".join(f".c{c}{{background:{color(c)};color:{readable_on(color(c))}}}" for c in range(colors))
    style = STYLE + inks
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{_text(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n")


def _text(value: Any) -> str:
    """Return a value as HTML text: numbers short, everything else escaped, characters that HTML cannot hold replaced."""
    if isinstance(value, _Html):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else html.escape(UNSEEN.sub("\N{REPLACEMENT CHARACTER}", str(value)))


def _name(value: str) -> _Html:
    """Return a person's own name; isolated, so that one written from right to left turns nothing else round."""
    return _Html(f"<bdi>{_text(value)}</bdi>")


def _chip(cluster: int) -> _Html:
    """Return a cluster's number in its colour."""
    return _Html(f'<span class="chip c{cluster % COLORS}">{cluster}</span>' if cluster >= 0 else
                 '<span class="chip noise">noise</span>')


def _hundredths(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"


def _count(number: int, one: str) -> str:
    return f"{number:,} {one if number == 1 else one + 's'}"


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Any]], best: int = -1) -> str:
    """Write a table; the first cell of a row is its heading, and columns of numbers stand on the right."""
    lines = [[_text(cell) for cell in row] for row in rows]
    sides = [' class="n"' if all(NUMBER.fullmatch(cell) for cell in column) else "" for column in zip(*lines, strict=True)]
    out = [f'<div class="wide"><table><caption>{_text(caption)}</caption><thead><tr>']
    out += [f'<th scope="col"{side}>{_text(name)}</th>' for name, side in zip(head, sides or [""] * len(head), strict=True)]
    out.append("</tr></thead><tbody>")
    for at, (first, *cells) in enumerate(lines):
        out.append(f'{ROW_OF_BEST if at == best else "<tr>"}<th scope="row">{first}</th>')
        out += [f"<td{side}>{cell}</td>" for cell, side in zip(cells, sides[1:], strict=True)]
        out.append("</tr>")
    return "".join([*out, "</tbody></table></div>\n"])


def _summary(clusters: TreeCut) -> str:
    """Say what was clustered, how, and how well the tree keeps the distances."""
    tree, source = clusters.tree, clusters.tree.source
    facts: dict[str, Any] = {"Items": len(clusters)}
    if source.get("d"):
        facts["Features"] = f"{source['d']:,}, {source['scale'] + ' scaling' if source.get('scale') else 'not scaled'}"
    elif source.get("carrier"):
        facts["Data"] = f"given {source['carrier']}" + (f", distance = {source['rule']}" if source.get("rule") else "")
    facts |= {"Linkage": tree.method, "Metric": source.get("metric"), "Engine": tree.engine, "Cut": clusters.how}
    if clusters.height is not None:
        facts["Height of the cut"] = clusters.height
    noise = int((clusters.labels < 0).sum())
    facts["In no cluster"] = f"{_count(noise, 'item')} ({noise / len(clusters):.0%})" if noise else None
    facts["Cophenetic correlation"] = _fidelity(tree)
    shown = "".join(f"<dt>{name}</dt><dd>{_text(value)}</dd>" for name, value in facts.items() if value is not None)
    notes = "".join(f"<p>{_text(message)}</p>" for message in tree.messages)
    return f"<dl>{shown}</dl>\n{notes}"


def _fidelity(tree: Tree) -> str | None:
    if tree.data is None:
        return None
    found = tree.fidelity(SAMPLED)
    error = f" ± {found.error:.3f}, from a sample of pairs" if found.error else ""
    return f"{found.correlation:.3f}{error}" if math.isfinite(found.correlation) else None


def _pictures(clusters: TreeCut, judged: Silhouette | None) -> str:
    """Draw the tree, the items in the plane, and how well they lie in their clusters."""
    tree, k = clusters.tree, clusters.k
    n, data = tree.n, tree.data
    how: dict[str, Any] = {"last": NAMED} if n > TALL else {"orientation": "left"} if n > NAMED else {}
    try:
        drawn = [_figure(tree.plot(cut=clusters, **how),
                         f"Dendrogram of {_count(n, 'item')}, cut into {_count(k, 'cluster')}.")]
        if isinstance(data, Points):
            drawn.append(_figure(clusters.plot(), f"The items in the plane, in the colours of {_count(k, 'cluster')}."))
        elif data is not None and n > 2:
            from shoal.plot.plane import mds
            from shoal.plot.scatter import scatter

            ax = scatter(mds(rows_of(data), n), clusters.labels, ids=clusters.ids, columns=("dimension 1", "dimension 2"))
            drawn.append(_figure(ax, "The items in a plane that keeps their distances as well as two dimensions can."))
        if judged is not None:
            from shoal.plot.curves import silhouette_plot

            drawn.append(_figure(silhouette_plot(judged.values, clusters.labels, weights=tree.weights),
                                 "Silhouettes: how much nearer items are to their own cluster than to the next."))
    except MissingExtraError as error:
        return f'<p class="quiet">{_text(error)}</p>\n'
    return "".join(drawn)


def _figure(ax: Any, caption: str) -> str:
    """Return a picture as an image within the page, where its names and parts cannot meet those of the page."""
    from shoal.plot.figures import close, figure_bytes

    svg = figure_bytes(ax, "svg")
    close(ax)
    data = base64.b64encode(svg).decode()
    return (f'<figure><img alt="{_text(caption)}" src="data:image/svg+xml;base64,{data}">'
            f"<figcaption>{_text(caption)}</figcaption></figure>\n")


def _overview(clusters: TreeCut, judged: Silhouette | None) -> str:
    """Write the table of clusters: number, items, share, and where there is data a typical item and the silhouette."""
    shown, k = min(clusters.k, SHOWN), clusters.k
    head = ["cluster", "items", "share"]
    share = [f"{size / len(clusters):.1%}" for size in clusters.sizes[:shown].tolist()]
    columns: list[Sequence[Any]] = [[_chip(c) for c in range(shown)], clusters.sizes[:shown].tolist(), share]
    data = clusters.tree.data
    if data is not None and (isinstance(data, Points) or len(clusters) <= EXACT):
        head.append("typical item")
        columns.append([_name(clusters.ids[i]) for i in clusters.typical[:shown].tolist()])
    if judged is not None:
        head.append("silhouette")
        columns.append([_hundredths(value) for value in judged.by_cluster[:shown].tolist()])
    left = f"The first {shown:,} of {k:,} clusters" if shown < k else _count(k, "cluster")
    return _table(f"{left}, numbered as in the dendrogram.", head, zip(*columns, strict=True))


def _apart(clusters: TreeCut) -> str:
    """Say of every cluster which features, or which terms, set it apart."""
    data = clusters.tree.data
    if not isinstance(data, Points) or clusters.k < 2:
        return ""
    if clusters.k > DESCRIBED:
        return (f'<p class="quiet">Features are compared here for up to {DESCRIBED} clusters; clusters.features() compares '
                f"them for all {clusters.k:,}.</p>\n")
    found = clusters.features(FEATURES)
    words = _words(clusters)
    out = ["<p>Means in the cluster and elsewhere; the difference in standard deviations; F, the variance between clusters "
           "over that within." + (f" Of {data.d:,} features, the {MOST_COLUMNS} that differ most between clusters were "
                                  "compared." if data.d > MOST_COLUMNS else "") + "</p>\n"]
    for rule in found.rules:
        rows = [(_name(r.feature if r.level is None else f"{r.feature} = {r.level}"), r.inside, r.outside,
                 f"{r.difference:+.2f}", r.F) for r in found.rows if r.cluster == rule.cluster]
        caption = f"{rule.text}: {rule.precision:.0%} of the items this holds for are in the cluster, and it holds for " \
                  f"{rule.coverage:.0%} of the cluster."
        out.append(f"<h3>Cluster {_chip(rule.cluster)}</h3>\n")
        if words.get(rule.cluster):
            out.append(f"<p>Key terms: {', '.join(words[rule.cluster])}</p>\n")
        out.append(_table(caption, ("feature", "in the cluster", "elsewhere", "difference", "F"), rows) if rows else
                   '<p class="quiet">No feature differs.</p>\n')
    return "".join(out)


def _words(clusters: TreeCut) -> dict[int, list[str]]:
    """Return the key terms of every cluster where the points are a table of terms."""
    if not clusters.has_terms:
        return {}
    found: dict[int, list[str]] = {}
    for word in clusters.keywords(2 * FEATURES):
        found.setdefault(word.cluster, []).append(_name(word.term))
    return found


def _cut(clusters: TreeCut, suggestion: Suggestions | None) -> str:
    """Say why this cut was made, and what every rule says."""
    if suggestion is None:
        return '<p class="quiet">The tree has no data with it, so no cut is suggested beside this one.</p>\n'
    best = suggestion.best
    labels = np.zeros(len(clusters), np.int64) if best is None else best.labels
    if np.array_equal(labels, clusters.labels):
        said = f"This is the cut that is suggested, with {suggestion.evidence} evidence." if best is not None else \
            "No cut is suggested."
    else:
        said = f"This cut was chosen: {clusters.how}. Suggested " + (
            "is none." if best is None else f"are {_count(best.k, 'cluster')}, with {suggestion.evidence} evidence.")
    out = f"<p>{_text(said)} {_text(suggestion.reason)}</p>\n"
    try:
        rules = suggestion.rules
    except InputError as error:  # such as a method that is not known
        return out + f'<p class="quiet">{_text(error)}</p>\n'
    rows = [(r.rule, r.k, r.height, r.score, _hundredths(r.agreement), _hundredths(r.stability)) for r in rules]
    return out + _table("What each rule for cutting says. Agreement: with the other rules. Stability: with itself, on "
                        "samples of the items.", ("rule", "clusters", "height", "score", "agreement", "stability"), rows, 0)


def _members(clusters: TreeCut) -> str:
    """List the members of every cluster, and the noise, each list to be opened."""
    shown, ids = min(clusters.k, SHOWN), clusters.ids
    most = max(1, min(MEMBERS, LISTED // (shown + 1)))
    groups = [(_chip(c), clusters.indices(c)) for c in range(shown)]
    noise = np.flatnonzero(clusters.labels < 0)
    if len(noise):
        groups.append((_chip(-1), noise))
    out = []
    for chip, at in groups:
        names = "".join(f"<li>{_name(ids[i])}</li>" for i in at[:most].tolist())
        rest = f'<p class="quiet">… and {len(at) - most:,} more.</p>' if len(at) > most else ""
        out.append(f"<details{' open' if len(clusters) <= MEMBERS else ''}>"
                   f"<summary>{chip} {_count(len(at), 'item')}</summary><ul>{names}</ul>{rest}</details>\n")
    if shown < clusters.k:
        out.append(f'<p class="quiet">… and {clusters.k - shown:,} more clusters.</p>\n')
    return "".join(out)
