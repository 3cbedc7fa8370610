"""`shoal describe`, end to end."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import shoal
from shoal.cli.app import shoal as app

NAMES = ["007", "=A1", "SEPT2", *(f"item {i}" for i in range(27))]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def model(tmp_path: Path) -> str:
    X = np.concatenate([np.random.default_rng(c).normal([8 * c, 0], 1, (10, 2)) for c in range(3)])
    shoal.linkage(shoal.points(X, ids=NAMES, columns=["wide", "flat"], scale="minmax")).save(tmp_path / "songs.shoal")
    return "songs.shoal"


def run(*words: Any) -> Result:
    return CliRunner().invoke(app, ["describe", *map(str, words)])


def write_table(rows: list[list[Any]], name: str = "table.csv") -> str:
    with Path(name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return name


def test_the_text_is_the_librarys(model: str) -> None:
    done = run(model, "-k", 3, "--top", 1)
    assert done.exit_code == 0, done.output
    clusters = shoal.load(model).cut(k=3)
    assert done.stdout == repr(clusters.features(1)) + "\n"
    assert "cluster 0: wide ≤" in done.stdout
    assert "Clusters: 3 (k = 3)" in done.stderr


def test_json(model: str) -> None:
    found = json.loads(run(model, "-k", 3, "--json").stdout, parse_constant=pytest.fail)
    assert list(found) == ["shoal", "command", "model", "how", "k", "height", "clusters"]
    contrasts = shoal.load(model).cut(k=3).features()
    for row, rule in zip(found["clusters"], contrasts.rules, strict=True):
        assert row["rule"] == {"text": rule.text, "precision": rule.precision, "coverage": rule.coverage}
        assert [f["feature"] for f in row["features"]] == [r.feature for r in contrasts.rows if r.cluster == row["cluster"]]
    assert [row["size"] for row in found["clusters"]] == [10, 10, 10]


def test_by_another_table_in_another_order(model: str) -> None:
    rows = [[name, "north" if i < 10 else "south", i % 2] for i, name in enumerate(NAMES)]
    table = write_table([["name", "side", "even"], *rows[::-1]])
    done = run(model, "-k", 3, "--by", table, "--id", "name", "--top", 1)
    assert done.exit_code == 0, done.output
    assert "cluster 0: side = north (precision 100%, coverage 100%)" in done.stdout
    assert "side = north: 1 against 0 elsewhere" in done.stdout


def test_one_cluster_has_nothing_beside_it(model: str) -> None:
    assert "There is one cluster" in run(model, "-k", 1).stdout


def test_a_name_cannot_steer_the_terminal(tmp_path: Path) -> None:
    X = np.concatenate([np.random.default_rng(c).normal(8 * c, 1, (10, 1)) for c in range(2)])
    shoal.linkage(shoal.points(X, columns=["\x1b[31mred"])).save(tmp_path / "bad.shoal")
    done = run("bad.shoal", "-k", 2)
    assert "red" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(("words", "code", "message"), [
    (("-k", 2, "--height", 1), 2, "give one"), (("--top", 0), 2, "--top"), (("--id", "name"), 2, "--by"),
    (("-k", 2, "--by", "nowhere.csv"), 3, "nowhere.csv"), (("-k", 31), 3, "31")])
def test_what_it_refuses(model: str, words: Any, code: int, message: str) -> None:
    done = run(model, *words)
    assert done.exit_code == code, done.output
    assert message in done.output


def test_tables_that_do_not_fit(model: str) -> None:
    short = write_table([["name", "x"], *([name, 1] for name in NAMES[:29])])
    for words, message in (((), "29 rows"), (("--id", "name"), "lacks 1 of the 30 items"), (("--id", "nope"), "'nope'")):
        done = run(model, "-k", 3, "--by", short, *words)
        assert done.exit_code == 3, done.output
        assert message in done.output
    twice = write_table([["name", "x"], *([name, 1] for name in [*NAMES, "007"])])
    assert "'007' twice" in run(model, "-k", 3, "--by", twice, "--id", "name").output


def test_a_tree_of_distances_is_described_by_a_table_only(tmp_path: Path) -> None:
    X = np.repeat([0.0, 9.0], 5) + np.arange(10) / 10
    shoal.linkage(shoal.distances(np.abs(X[:, None] - X)), "average").save(tmp_path / "towns.shoal")
    assert run("towns.shoal", "-k", 2).exit_code == 3
    table = write_table([["x"], *([value] for value in X)])
    assert "x > " in run("towns.shoal", "-k", 2, "--by", table).stdout
