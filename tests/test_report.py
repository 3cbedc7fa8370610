"""The report: whole, well-formed, without scripts, safe whatever the names, and bounded whatever the size."""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import sparse

import shoal
from shoal import report
from shoal.errors import InputError
from shoal.plot.palette import color
from shoal.report import write_report

NASTY = ["<script>alert(1)</script>", '"quoted" & \'single\'', "007", "=A1", "SEPT2", "שלום עולם", "\u202eabc", "</style>",
         "東京 🐟", "a\x00b\x1b[31m", "\ud800 lone", "<img src=x onerror=alert(1)>"]
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Reads a page, and fails where elements are not closed in the order they were opened."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.names: list[str] = []
        self.words: list[str] = []
        self.captions: list[str] = []
        self.tables: list[dict[str, Any]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append({"caption": False, "heads": 0, "rows": []})
        elif tag == "tr":
            self.tables[-1]["rows"].append([])
        elif tag in ("th", "td"):
            assert tag == "td" or dict(attrs).get("scope") in ("col", "row")
            self.tables[-1]["rows"][-1].append("")
        elif tag == "caption":
            self.tables[-1]["caption"] = True
        elif tag == "bdi":
            self.names.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            return
        self.words.append(data)
        if self.open and self.open[-1] == "figcaption":
            self.captions.append(data)
        if "bdi" in self.open:
            self.names[-1] += data
        if {"td", "th"} & set(self.open):
            self.tables[-1]["rows"][-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check that no figure of a report stays open, for a notebook would show it; and let rules look at one sample only."""
    monkeypatch.setattr("shoal.cuts.panel.DRAWS", 1)
    pyplot = sys.modules.get("matplotlib.pyplot")
    before = pyplot.get_fignums() if pyplot else []
    yield
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert (pyplot.get_fignums() if pyplot else []) == before


def written(clusters: Any, folder: Path, **options: Any) -> str:
    write_report(clusters, folder / "report.html", **options)
    return (folder / "report.html").read_text(encoding="utf-8")


def groups(n: int, d: int = 3, k: int = 3) -> Any:
    return np.concatenate([np.random.default_rng(c).normal(9 * c, 1, (n, d)) for c in range(k)])


def test_everything_is_on_the_page(example_data: Path, tmp_path: Path) -> None:
    states = shoal.read_file(example_data / "usarrests.csv", id="state", scale="standard")
    clusters = shoal.linkage(states).cut(k=4)
    page = Page(written(clusters, tmp_path, title="Arrests & <states>"))
    assert "Arrests & <states>" in page.text
    for said in ("4, standard scaling", "ward", "euclidean", "k = 4", "5.15", "0.698", "This cut was chosen: k = 4",
                 "One cluster: the highest split is not clearly more separate", "Murder ≤ 6 and Assault ≤ 109.5"):
        assert said in page.text, said
    overview = page.tables[0]["rows"]
    assert overview[0] == ["cluster", "items", "share", "typical item", "silhouette"]
    silhouette = clusters.silhouette().by_cluster
    assert overview[1:] == [[str(c), str(clusters.sizes[c]), f"{clusters.sizes[c] / 50:.1%}",
                             clusters.ids[clusters.typical[c]], f"{silhouette[c]:.2f}"] for c in range(4)]
    assert [table["rows"][0][0] for table in page.tables[1:]] == ["feature"] * 4 + ["rule"]
    features = clusters.features(5).rows
    shown = [row[0] for table in page.tables[1:5] for row in table["rows"][1:]]
    assert shown == [row.feature for row in features]
    assert [row[0] for row in page.tables[5]["rows"][1:]] == [row.rule for row in clusters.tree.suggest_cuts().rules]
    assert all(table["caption"] for table in page.tables)
    listed = [name for members in clusters.members().values() for name in members]
    assert page.names[-50:] == listed
    assert page.tags["details"] == 4
    assert page.tags["img"] == 3


def test_nothing_runs_and_nothing_is_fetched(tmp_path: Path) -> None:
    text = written(shoal.linkage(groups(4, k=3), ids=NASTY).cut(k=3), tmp_path, title=NASTY[0])
    page = Page(text)
    assert not set(page.tags) & {"script", "link", "iframe", "object", "embed", "base", "form", "svg"}
    policy = next(a["content"] for tag, a in page.attributes if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    style = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert len(style) == 1
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert policy.split("; ")[:3] == ["default-src 'none'", "img-src data:", f"style-src 'sha256-{digest}'"]
    for tag, attributes in page.attributes:
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
        assert tag != "a" or str(attributes["href"]).startswith("#")
        assert tag != "img" or str(attributes["src"]).startswith("data:image/svg+xml;base64,")
    assert re.findall(r"https?://", text) == []


def test_names_are_text_whatever_they_contain(tmp_path: Path) -> None:
    page = Page(written(shoal.linkage(groups(4, k=3), ids=NASTY).cut(k=3), tmp_path))
    expected = [name.replace("\x00", "\ufffd").replace("\x1b", "\ufffd").replace("\ud800", "\ufffd") for name in NASTY]
    assert page.names[-12:] == expected


def test_pictures_are_whole_and_described(tmp_path: Path) -> None:
    page = Page(written(shoal.linkage(groups(5)).cut(k=3), tmp_path))
    images = [a for tag, a in page.attributes if tag == "img"]
    assert [a["alt"] for a in images] == ["Dendrogram of 15 items, cut into 3 clusters.",
                                          "The items in the plane, in the colours of 3 clusters.",
                                          "Silhouettes: how much nearer items are to their own cluster than to the next."]
    for image in images:
        svg = base64.b64decode(str(image["src"]).split(",", 1)[1]).decode()
        assert ElementTree.fromstring(svg).tag.endswith("svg")
        assert all(color(c) in svg for c in range(3))
    assert [image["alt"] for image in images] == page.captions


def test_the_same_clusters_give_the_same_bytes(tmp_path: Path) -> None:
    clusters = shoal.linkage(groups(5)).cut(k=3)
    one = written(clusters, tmp_path)
    assert written(clusters, tmp_path, force=True, suggestion=clusters.tree.suggest_cuts()) == one
    with pytest.raises(InputError, match="exists"):
        write_report(clusters, tmp_path / "report.html")


def test_colours_are_those_of_the_pictures(tmp_path: Path) -> None:
    text = written(shoal.linkage(groups(5)).cut(k=3), tmp_path)
    assert all(f".c{c}{{background:{color(c)};" in text for c in range(3))
    assert '<span class="chip c2">2</span>' in text
    assert "prefers-color-scheme:dark" in text


@pytest.mark.large
def test_many_items_stay_a_page(tmp_path: Path) -> None:
    X = np.concatenate([np.random.default_rng(c).normal(9 * c, 1, (2500, 2)) for c in range(4)])
    text = written(shoal.linkage(X).cut(k=4), tmp_path)
    assert len(text) < 4_000_000
    page = Page(text)
    assert page.text.count("… and 1,500 more.") == 4
    assert page.tags["li"] == 4000
    assert "± 0.0" in page.text  # ten thousand items have more pairs than are looked at


def test_many_clusters_are_cut_short_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "SHOWN", 7)
    monkeypatch.setattr(report, "DESCRIBED", 10)
    monkeypatch.setattr(report, "LISTED", 16)
    clusters = shoal.linkage(groups(10)).cut(k=12)
    page = Page(written(clusters, tmp_path))
    assert len(page.tables[0]["rows"]) == 8
    assert "The first 7 of 12 clusters" in page.text
    assert "… and 5 more clusters." in page.text
    assert "compared here for up to 10 clusters" in page.text
    assert page.tags["details"] == 7
    assert page.tags["li"] == sum(min(2, size) for size in clusters.sizes[:7].tolist())


def test_noise_is_told_and_listed(tmp_path: Path) -> None:
    X = np.concatenate([groups(30, 2), [[200.0, 200.0], [-200.0, 90.0]]])
    clusters = shoal.linkage(X, "single", ids=[f"i{i}" for i in range(92)]).cut(rule="stable", min_size=10)
    lost = np.flatnonzero(clusters.labels < 0).tolist()
    assert {90, 91} <= set(lost)
    page = Page(written(clusters, tmp_path))
    assert f"{len(lost)} items ({len(lost) / 92:.0%})" in page.text
    assert page.names[-len(lost):] == [f"i{i}" for i in lost]


def test_terms_have_key_terms(tmp_path: Path) -> None:
    counts = np.kron(np.eye(2, 8), np.ones((5, 1))) * 3 + np.random.default_rng(0).integers(0, 2, (10, 8))
    words = shoal.points(sparse.csr_array(counts), columns=["sea", "hill", *"abcdef"], metric="cosine")
    page = Page(written(shoal.linkage(words, "average").cut(k=2), tmp_path))
    assert "Key terms: sea" in page.text
    assert "Key terms: hill" in page.text


@pytest.mark.parametrize("carrier", ["distances", "similarities", "bare", "one", "two", "equal"])
def test_every_kind_of_tree(carrier: str, tmp_path: Path) -> None:
    X = groups(4)
    D = np.sqrt(((X[:, None] - X[None]) ** 2).sum(axis=2))
    data: Any = {"distances": lambda: shoal.distances(D), "similarities": lambda: shoal.similarities(50 - D),
                 "one": lambda: X[:1], "two": lambda: X[:2], "equal": lambda: np.ones((5, 2))}.get(carrier, lambda: X)()
    tree = shoal.linkage(data, "average")
    if carrier == "bare":
        tree = shoal.Tree.from_scipy(tree.to_scipy())
    page = Page(written(tree.cut(k=min(3, tree.n)), tmp_path))
    assert page.tags["img"] == {"bare": 1, "one": 2}.get(carrier, 3)
    assert ("feature" in [table["rows"][0][0] for table in page.tables]) is (carrier == "two")
    assert ("No feature differs" in page.text) is (carrier == "equal")
    assert ("no cut is suggested beside" in page.text) is (carrier == "bare")


def test_forests_weights_and_methods_that_are_not_known(tmp_path: Path) -> None:
    X = np.concatenate([np.arange(4.0), 100 + np.arange(3.0)])[:, None]
    edges = shoal.grid((7,)).tolil()
    edges[3, 4] = edges[4, 3] = 0
    forest = shoal.linkage(X, "ward", connectivity=edges.tocsr())
    assert "2 parts that no edge joins" in Page(written(forest.cut(k=2), tmp_path)).text
    weighted = shoal.linkage(X, "centroid", weights=np.arange(1, 8))
    assert Page(written(weighted.cut(k=2), tmp_path, force=True)).tags["img"] == 3
    unknown = shoal.Tree.from_scipy(weighted.to_scipy()).with_data(X)
    assert "unknown" in Page(written(unknown.cut(k=2), tmp_path, force=True)).text


def test_without_matplotlib_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clusters = shoal.linkage(groups(4)).cut(k=3)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = Page(written(clusters, tmp_path))
    assert page.tags["img"] == 0
    assert "shoal[plot]" in page.text
    assert page.tags["details"] == 3


def test_a_tree_reports_its_suggested_cut(tmp_path: Path) -> None:
    tree = shoal.linkage(groups(20))
    tree.report(tmp_path / "report.html")
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "3 clusters of 60 items" in text
    assert "This is the cut that is suggested" in text
    tree.report(tmp_path / "two.html", tree.cut(k=2))
    assert "Suggested are 3 clusters" in Page((tmp_path / "two.html").read_text(encoding="utf-8")).text
    bare = shoal.Tree.from_scipy(tree.to_scipy())
    with pytest.raises(InputError, match="needs the data"):
        bare.report(tmp_path / "bare.html")
    bare.report(tmp_path / "bare.html", bare.cut(k=2))
