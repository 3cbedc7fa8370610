"""shoal cluster --method spectral, medoids, kernel: files without a tree, and new items given by their values to the old."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import shoal
from shoal.cli.app import shoal as app

NAMES = [f"song {i:02d}" for i in range(30)]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


def run(*words: Any) -> Result:
    return CliRunner().invoke(app, list(map(str, words)))


def points() -> np.ndarray:
    return np.concatenate([np.random.default_rng(c).normal(8 * c, 1, (10, 2)) for c in range(3)])


def write(path: str, head: list[str], rows: Any) -> str:
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])
    return path


def similarities() -> np.ndarray:
    X = points()
    return np.exp(-((X[:, None] - X) ** 2).sum(axis=2) / 20)


def matrix(path: str, values: np.ndarray) -> str:
    return write(path, ["id", *NAMES], ([name, *row] for name, row in zip(NAMES, values.tolist(), strict=True)))


@pytest.mark.parametrize("method", ["spectral", "medoids", "kernel"])
def test_similarities(method: str) -> None:
    file = matrix("songs.csv", similarities())
    done = run("cluster", file, "--kind", "similarities", "--method", method, "-k", 3)
    assert done.exit_code == 0, done.output
    assert {path.name for path in Path("songs-clusters").iterdir()} == {"clusters.csv", "clusters.xlsx", "clusters.svg",
                                                                       "model.shoal"}
    with open("songs-clusters/clusters.csv", encoding="utf-8-sig", newline="") as table:
        found = {row["id"]: int(row["cluster"]) for row in csv.DictReader(table)}
    assert [found[name] for name in NAMES] == [0] * 10 + [1] * 10 + [2] * 10
    assert "3 clusters" in done.stdout
    assert "song 0" in done.stdout


def test_new_songs_by_their_similarities() -> None:
    run("cluster", matrix("songs.csv", similarities()), "--kind", "similarities", "--method", "spectral", "-k", 3)
    new = write("new.csv", ["id", "song 25", "song 12", "song 27"], [["a", 0.9, 0.0, 0.8], ["b", 0.0, 0.7, 0.0]])
    done = run("assign", "songs-clusters/model.shoal", new, "--id", "id")  # similar to some of the old only
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [(row["id"], row["cluster"]) for row in rows] == [("a", "2"), ("b", "1")]
    whole = write("whole.csv", ["id", *NAMES], [["c", *similarities()[3].tolist()]])
    assert "c,0," in run("assign", "songs-clusters/model.shoal", whole, "--id", "id").stdout


def test_new_songs_by_their_distances() -> None:
    X = points()
    D = np.sqrt(((X[:, None] - X) ** 2).sum(axis=2))
    done = run("cluster", matrix("roads.csv", D), "--kind", "distances", "--method", "medoids", "-k", 3)
    assert done.exit_code == 0, done.output
    new = write("new.csv", ["id", *NAMES[::-1]], [["a", *(D[14] + 0.1).tolist()[::-1]]])  # columns in another order
    done = run("assign", "roads-clusters/model.shoal", new, "--id", "id")
    assert done.exit_code == 0, done.output
    assert "a,1," in done.stdout
    few = write("few.csv", ["id", "song 25", "song 12"], [["a", 1.0, 2.0]])
    refused = run("assign", "roads-clusters/model.shoal", few, "--id", "id")
    assert refused.exit_code == 3
    assert "There is none for 'song 00'" in refused.output


def test_points_graphs_and_json(example_data: Path) -> None:
    file = write("songs.csv", ["id", "x", "y"], ([name, *row] for name, row in zip(NAMES, points().tolist(), strict=True)))
    done = run("cluster", file, "--method", "spectral", "-k", 3, "--json", "--out", "one")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["command"], found["k"], [c["size"] for c in found["clusters"]]) == ("cluster", 3, [10, 10, 10])
    assert isinstance(shoal.load("one/model.shoal"), shoal.Spectral)
    done = run("assign", "one/model.shoal", write("new.csv", ["x", "y"], [[8.5, 7.5]]))
    assert "0,1," in done.stdout
    done = run("cluster", example_data / "lesmis.csv", "--kind", "graph", "--method", "spectral", "--out", "two")
    assert done.exit_code == 0, done.output
    assert "chosen by the largest gap" in done.stdout


def test_negative_similarities_need_a_word() -> None:
    file = matrix("songs.csv", similarities() - 0.1)
    refused = run("cluster", file, "--kind", "similarities", "--method", "spectral", "-k", 3)
    assert refused.exit_code == 3
    assert "--negative" in refused.output
    assert not Path("songs-clusters").exists()
    done = run("cluster", file, "--kind", "similarities", "--method", "spectral", "-k", 3, "--negative", "clip")
    assert done.exit_code == 0, done.output
    assert "10" in done.stdout
    refused = run("cluster", file, "--kind", "similarities", "--negative", "clip", "--out", "tree")
    assert refused.exit_code == 2
    assert "--method spectral" in refused.output


def test_a_followed_model_keeps_the_labels_of_the_file() -> None:
    file = write("songs.csv", ["id", "x", "y"], ([name, *row] for name, row in zip(NAMES, points().tolist(), strict=True)))
    more = write("more.csv", ["id", "x", "y"], [["new", 8.2, 7.9]])
    done = run("kmeans", file, "-k", 3, "--follow", more, "--out", "km")
    assert done.exit_code == 0, done.output
    model = shoal.load("km/model.shoal")
    assert model.clusters_.ids == tuple(NAMES)
    with open("km/clusters.csv", encoding="utf-8-sig", newline="") as table:
        found = {row["id"]: int(row["cluster"]) for row in csv.DictReader(table)}
    assert [found[name] for name in NAMES] == model.labels_.tolist()
    assert run("describe", "km/model.shoal", "--top", 1).stdout.count("coverage 100%") == 3


def test_clusters_without_a_tree_are_described_and_exported() -> None:
    file = write("songs.csv", ["id", "x", "y"], ([name, *row] for name, row in zip(NAMES, points().tolist(), strict=True)))
    assert run("kmeans", file, "-k", 3, "--out", "km").exit_code == 0
    done = run("describe", "km/model.shoal", "--top", 1)
    assert done.exit_code == 0, done.output
    assert done.stdout.count("precision 100%, coverage 100%") == 3
    assert run("export", "km/model.shoal", "--to", "json", "--out", "km.json").exit_code == 0
    record = json.loads(Path("km.json").read_text(encoding="utf-8"))
    assert [row["members"] for row in record["clusters"]] == [NAMES[:10], NAMES[10:20], NAMES[20:]]
    for words, said in ((("describe", "km/model.shoal", "-k", 2), "are for trees"),
                        (("export", "km/model.shoal", "--to", "newick"), "no tree"),
                        (("plot", "km/model.shoal"), "no tree")):
        refused = run(*words)
        assert refused.exit_code == 3, refused.output
        assert said in refused.output


def test_what_it_refuses() -> None:
    file = write("songs.csv", ["id", "x", "y"], ([name, *row] for name, row in zip(NAMES, points().tolist(), strict=True)))
    for words, code, said in ((("--method", "kernel", "-k", 3), 3, "takes similarities"),
                              (("--method", "spectral", "--height", 2), 2, "of trees"),
                              (("--method", "medoids", "--suggest"), 2, "of trees"),
                              (("--method", "spectral", "-k", 31), 3, "31 clusters"),
                              (("--method", "ball"), 2, "spectral")):
        refused = run("cluster", file, *words)
        assert refused.exit_code == code, refused.output
        assert said in refused.output
    assert run("plan", file, "--method", "spectral").exit_code == 2
