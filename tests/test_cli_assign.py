"""`shoal assign`: new items, under their own names, to the clusters of a saved tree."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import shoal
from shoal.cli import app
from shoal.treecut import Placed

HEAD = ["id", "cluster", "distance", "margin", "new"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def model() -> Path:
    """Save the tree of two groups of six songs, with scaled columns."""
    rng = np.random.default_rng(0)
    lines = ["title,length,tempo", *(f"s{i},{i // 6 * 10 + rng.normal():.3f},{i // 6 * 900 + 100 * rng.normal():.3f}"
                                     for i in range(12))]
    Path("songs.csv").write_text("\n".join(lines) + "\n")
    tree = shoal.linkage(shoal.read_file("songs.csv", scale="standard"), "average")
    tree.save("model.shoal")
    return Path("model.shoal")


def run(*arguments: object, **options: Any) -> Result:
    return CliRunner().invoke(app.shoal, ["assign", *map(str, arguments)], catch_exceptions=False, **options)


def table(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


NEW = "tempo,mood,title,length,year\n10,,007,0.2,\n900,x,=A1,10.1,1\n1e5,x,東京,5,2\n"


def test_prints_a_row_for_each_new_item(model: Path) -> None:
    Path("new.csv").write_text(NEW, encoding="utf-8")
    done = run(model, "new.csv", "--id", "title", "-k", 2)
    assert done.exit_code == 0
    rows = table(done.stdout)
    assert rows[0] == HEAD
    tree = shoal.load(model)
    cut, fresh = tree.cut(k=2), np.array([[0.2, 10.0], [10.1, 900.0], [5.0, 1e5]])
    found, alone = cut.predict(fresh), Placed.of(tree, fresh).is_new(cut)
    assert [row[0] for row in rows[1:]] == ["007", "=A1", "東京"]
    assert [int(row[1]) for row in rows[1:]] == found.labels.tolist()
    assert [float(row[2]) for row in rows[1:]] == found.distance.tolist()
    assert [float(row[3]) for row in rows[1:]] == found.margin.tolist()
    assert [row[4] for row in rows[1:]] == ["no", "no", "yes"] == ["yes" if lone else "no" for lone in alone]
    assert f"Clusters: 2 (k = 2, height {cut.height:.4g}). New: 1 of 3 items." in done.stderr
    assert "not scaled" not in done.stderr


def test_writes_a_file_and_keeps_one_that_is_there(model: Path) -> None:
    Path("new.csv").write_text(NEW, encoding="utf-8")
    done = run(model, "new.csv", "-k", 2, "-o", "out.csv")
    assert (done.exit_code, done.stdout) == (0, "")
    written = Path("out.csv").read_text(encoding="utf-8")
    assert table(written) == table(run(model, "new.csv", "-k", 2).stdout)
    Path("out.csv").write_text("mine")
    done = run(model, "new.csv", "-k", 2, "-o", "out.csv")
    assert done.exit_code == 3
    assert "'out.csv' is there already" in done.stderr
    assert Path("out.csv").read_text() == "mine"
    assert run(model, "new.csv", "-k", 2, "-o", "out.csv", "--force").exit_code == 0
    assert Path("out.csv").read_text(encoding="utf-8") == written


def test_cuts_where_it_is_told_else_where_the_tree_suggests(model: Path) -> None:
    tree = shoal.load(model)
    suggested = tree.cut()
    done = run(model, "songs.csv")
    assert [int(row[1]) for row in table(done.stdout)[1:]] == suggested.labels.tolist()
    assert f"Clusters: {suggested.k} ({suggested.how}" in done.stderr
    low = run(model, "songs.csv", "--height", 0)
    assert [int(row[1]) for row in table(low.stdout)[1:]] == tree.cut(height=0).labels.tolist()
    assert {row[4] for row in table(low.stdout)[1:]} == {"no"}, "each is in the tree already"
    assert "(height 0)." in low.stderr
    whole = run(model, "songs.csv", "-k", 1)
    assert {row[3] for row in table(whole.stdout)[1:]} == {"inf"}


def test_standard_input_and_rows_with_gaps(model: Path) -> None:
    text = "title,length,tempo\na,0,0\nb,,3\n"
    done = run(model, "-", "--drop", "rows", "-k", 2, input=text)
    assert [row[0] for row in table(done.stdout)] == ["id", "a"]
    refused = run(model, "-", "-k", 2, input=text)
    assert refused.exit_code == 3
    assert "--drop rows" in refused.stderr


def test_columns_without_names_go_by_position() -> None:
    X = np.random.default_rng(0).normal(size=(10, 3))
    shoal.linkage(X).save("plain.shoal")
    np.save("new.npy", X[:3])
    rows = table(run("plain.shoal", "new.npy", "-k", 2).stdout)
    assert [row[0] for row in rows[1:]] == ["0", "1", "2"]
    assert {row[4] for row in rows[1:]} == {"no"}


@pytest.mark.parametrize(("arguments", "says"), [
    (["model.shoal", "short.csv"], "There is no column 'tempo'"),
    (["model.shoal", "nowhere.csv"], "nowhere.csv"),
    (["nowhere.shoal", "songs.csv"], "nowhere.shoal"),
    (["songs.csv", "songs.csv"], "songs.csv"),
    (["matrix.shoal", "songs.csv"], "matrix.shoal holds no points"),
    (["model.shoal", "songs.csv", "-k", 13], "13 clusters were asked for"),
    (["model.shoal", "songs.csv", "--height", "nan"], "Give a number"),
])
def test_says_what_is_wrong(model: Path, arguments: list[object], says: str) -> None:
    Path("short.csv").write_text("title,length\na,1\n")
    shoal.linkage(shoal.distances(np.ones((4, 4)) - np.eye(4)), "average").save("matrix.shoal")
    done = run(*arguments)
    assert done.exit_code in (1, 3)
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_wrong_usage(model: Path) -> None:
    both = run(model, "songs.csv", "-k", 2, "--height", 1)
    assert both.exit_code == 2
    assert "give one of them" in both.stderr
    assert run(model).exit_code == 2
    assert run(model, "songs.csv", "--height", -1).exit_code == 2


def test_help_lists_the_columns() -> None:
    text = run("--help").stdout
    assert all(f"\n    {name} " in text for name in HEAD)
