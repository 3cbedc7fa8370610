"""`shoal export`, end to end: what is written reads back as it was."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import polars
import pytest
from click.testing import CliRunner, Result

import shoal
from shoal.cli.app import shoal as app
from shoal.cli.export import ENDINGS

NAMES = ["007", "=A1", "SEPT2", "Ærø, \"stor\"", "東京", "1e5", "it's", "a_b", "\ud800"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model(tmp_path: Path) -> str:
    X = [[c * 9.0 + i, i * i] for c in range(2) for i in range(4)]
    shoal.linkage(X, ids=NAMES[:8]).save(tmp_path / "songs.shoal")
    return "songs.shoal"


def run(*words: Any) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, words)])


def exported(model: str, form: str, *words: Any) -> Path:
    done = run(model, "--to", form, *words)
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert f"Written: songs{ENDINGS[form]}" in done.stderr
    return Path(f"songs{ENDINGS[form]}")


def test_the_tree_reads_back(model: str) -> None:
    tree = shoal.load(model)
    newick = shoal.Tree.from_newick(exported(model, "newick").read_text(encoding="utf-8"))
    assert newick.spell() == tree.spell()
    np.testing.assert_allclose(newick.merges.height, tree.merges.height, rtol=1e-12)
    np.testing.assert_array_equal(np.load(exported(model, "scipy")), tree.to_scipy())


def test_the_clusters_read_back(model: str) -> None:
    clusters = shoal.load(model).cut(k=3)
    pairs = list(zip(clusters.ids, clusters.labels.tolist(), strict=True))
    with exported(model, "csv", "-k", 3).open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["id", "cluster"],
                                          *([name, str(c)] for name, c in sorted(pairs, key=lambda pair: pair[1]))]
    frame = polars.read_parquet(exported(model, "parquet", "-k", 3))
    assert frame.schema == {"id": polars.String, "cluster": polars.Int64}
    assert frame.rows() == pairs
    found = json.loads(exported(model, "json", "-k", 3).read_text(encoding="utf-8"))
    assert [c["members"] for c in found["clusters"]] == list(clusters.members().values())
    assert (found["k"], found["how"], found["noise"]) == (3, "k = 3", [])
    book = openpyxl.load_workbook(exported(model, "xlsx", "-k", 3))
    assert [(cell.value, cell.data_type) for cell in book["items"]["A"][1:]] == [(name, "s") for name in clusters.ids]
    assert "<bdi>=A1</bdi>" in exported(model, "html", "-k", 3).read_text(encoding="utf-8")


def test_without_a_cut_the_suggested_one_is_written(model: str) -> None:
    suggested = shoal.load(model).cut()
    assert json.loads(exported(model, "json").read_text(encoding="utf-8"))["k"] == suggested.k
    assert f"{suggested.k} cluster" in exported(model, "html").read_text(encoding="utf-8")


def test_noise_and_rules(model: str) -> None:
    found = json.loads(exported(model, "json", "--rule", "stable", "--set", "min_size=3").read_text(encoding="utf-8"))
    labels = shoal.load(model).cut(rule="stable", min_size=3).labels
    assert len(found["noise"]) == int((labels < 0).sum())


def test_half_a_character_is_no_obstacle(tmp_path: Path) -> None:
    tree = shoal.linkage([[0.0], [1.0], [9.0]], ids=[NAMES[8], "b", "c"])
    tree.cut(k=2).to_json(tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["clusters"][0]["members"] == [NAMES[8], "b"]


@pytest.mark.parametrize("form", list(ENDINGS))
def test_a_file_that_is_there_stays(model: str, form: str) -> None:
    Path("out").write_text("mine")
    refused = run(model, "--to", form, "--out", "out")
    assert (refused.exit_code, Path("out").read_text()) == (3, "mine")
    assert "--force" in refused.output
    cut = () if form in ("newick", "scipy") else ("-k", 2)
    assert run(model, "--to", form, "--out", "out", "--force", *cut).exit_code == 0
    assert Path("out").read_bytes() != b"mine"


@pytest.mark.parametrize(("words", "code", "message"), [
    ((), 2, "--to"), (("--to", "word"), 2, "newick"), (("--to", "newick", "-k", 2), 2, "leave it out"),
    (("--to", "csv", "-k", 2, "--rule", "gap"), 2, "give one"), (("--to", "csv", "-k", 9), 3, "9"),
    (("--to", "json", "--set", "t=1"), 2, "goes with --rule")])
def test_what_it_refuses(model: str, words: Any, code: int, message: str) -> None:
    done = run(model, *words)
    assert done.exit_code == code, done.output
    assert message in done.output
    assert [path.name for path in Path().iterdir()] == [model]
