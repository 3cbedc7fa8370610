"""One clustering has the same ids, numbers and colours in every picture, table and file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow.parquet
import pytest
from matplotlib import pyplot
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex

import shoal
from shoal.plot.palette import color
from shoal.treecut import TreeCut

NAMES = [f"item {i:02d}" for i in range(24)]


@pytest.fixture
def cut() -> TreeCut:
    """Four groups, and the items of one of them in no cluster."""
    X = np.concatenate([np.random.default_rng(c).normal((7 * c, 5 * (c % 2)), 0.6, (6, 2)) for c in range(4)])
    tree = shoal.linkage(X[np.random.default_rng(9).permutation(24)], ids=NAMES)
    whole = tree.cut(k=4)
    labels = np.where(whole.labels < 3, whole.labels, -1)
    return TreeCut.of(tree, labels, whole.nodes[:3], "three of four")


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    pyplot.close("all")


def truth(cut: TreeCut) -> dict[str, int]:
    return dict(zip(NAMES, cut.labels.tolist(), strict=True))


def test_tables(cut: TreeCut, tmp_path: Path) -> None:
    known = truth(cut)
    assert {name: c for c, members in cut.members().items() for name in members} == known
    frame = cut.to_frame(like="polars")
    assert dict(zip(frame["id"], frame["cluster"], strict=True)) == known
    cut.to_csv(tmp_path / "c.csv")
    with open(tmp_path / "c.csv", encoding="utf-8-sig", newline="") as file:
        assert {row["id"]: int(row["cluster"]) for row in csv.DictReader(file)} == known
    cut.to_parquet(tmp_path / "c.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "c.parquet").to_pydict()
    assert dict(zip(table["id"], table["cluster"], strict=True)) == known
    cut.to_json(tmp_path / "c.json")
    record = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    found = {name: row["cluster"] for row in record["clusters"] for name in row["members"]}
    assert found | dict.fromkeys(record["noise"], -1) == known


def test_workbook(cut: TreeCut, tmp_path: Path) -> None:
    known = truth(cut)
    cut.to_excel(tmp_path / "c.xlsx")
    book = openpyxl.load_workbook(tmp_path / "c.xlsx")
    rows = list(book["items"].iter_rows(min_row=2, values_only=True))
    assert {row[0]: row[1] for row in rows} == known
    for c in range(3):
        members = {row[0] for row in book[f"cluster {c}"].iter_rows(min_row=2, values_only=True)}
        assert members == {name for name, label in known.items() if label == c}
    assert {row[0] for row in book["noise"].iter_rows(min_row=2, values_only=True)} == set(cut.members()[-1])
    assert len(book["summary"]._images) == 1  # the picture
    cut.to_excel(tmp_path / "plain.xlsx", picture=False)
    assert not openpyxl.load_workbook(tmp_path / "plain.xlsx")["summary"]._images


def test_dendrogram(cut: TreeCut) -> None:
    known, ax = truth(cut), cut.tree.plot(cut=cut)
    drawn = cut.tree.layout(cut=cut)
    names = [text.get_text() for text in ax.get_xticklabels()]
    assert names == [NAMES[leaf] for leaf in drawn.leaf_node]
    assert [known[name] for name in names] == drawn.leaf_cluster.tolist()
    inks = {to_hex(ink) for lines in ax.collections if isinstance(lines, LineCollection) for ink in lines.get_colors()}
    assert {color(c) for c in range(3)} <= inks
    assert color(3) not in inks


def test_scatter(cut: TreeCut) -> None:
    ax, X = cut.plot(), cut.data.X
    place = {tuple(np.round(point, 9)): label for point, label in zip(X.tolist(), cut.labels.tolist(), strict=True)}
    seen = 0
    for dots in (found for found in ax.collections if isinstance(found, PathCollection)):
        offsets, inks = np.asarray(dots.get_offsets()), dots.get_facecolors()
        for at, ink in zip(offsets, inks if len(inks) == len(offsets) else [inks[0]] * len(offsets), strict=True):
            label = place[tuple(np.round(at, 9))]
            assert (to_hex(ink) == color(label)) if label >= 0 else to_hex(ink) not in {color(c) for c in range(3)}
            seen += 1
    assert seen == 24


def test_report(cut: TreeCut, tmp_path: Path) -> None:
    cut.tree.report(tmp_path / "c.html", cut)
    page = (tmp_path / "c.html").read_text(encoding="utf-8")
    lists = page[page.index('id="members"'):].split("<details")[1:]
    assert len(lists) == 4
    for at, chunk in enumerate(lists):
        label = at if at < 3 else -1
        assert (f'class="chip c{label}"' if label >= 0 else 'class="chip noise"') in chunk
        assert {name for name in NAMES if name in chunk} == {name for name, c in truth(cut).items() if c == label}
    assert all(f".c{c}{{background:{color(c)};" in page for c in range(3))
