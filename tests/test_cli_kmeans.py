"""`shoal kmeans`, and `shoal assign` with its models."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import shoal
from shoal.cli import app
from shoal.errors import MissingExtraError

NAMES = ["007", "=A1", "SEPT2", "Ærø, \"stor\"", "東京", "1e5"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run in an empty folder, and drop the figures pyplot would keep until the process ends."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    yield tmp_path
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture
def names() -> Path:
    """Write six items in two groups of three, with names a spreadsheet program would spoil."""
    with open("names.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["name", "x", "y"], *([name, i // 3 * 9 + i % 3, i] for i, name in enumerate(NAMES))])
    return Path("names.csv")


def run(*arguments: object, **options: Any) -> Result:
    return CliRunner().invoke(app.shoal, [str(a) for a in arguments], catch_exceptions=False, **options)


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_writes_a_folder_and_a_summary(names: Path) -> None:
    done = run("kmeans", names, "-k", 2, "--scale", "standard")
    assert done.exit_code == 0, done.output
    folder = Path("names-clusters")
    assert sorted(path.name for path in folder.iterdir()) == ["clusters.csv", "clusters.svg", "clusters.xlsx", "model.shoal"]
    table = rows((folder / "clusters.csv").read_text(encoding="utf-8"))
    assert table == [["id", "cluster"], *([name, str(i // 3)] for i, name in enumerate(NAMES))]
    assert "names.csv: 6 items, 2 features, euclidean distances, standard scaling" in done.stdout
    assert "k-means: 2 clusters, inertia" in done.stdout
    assert "007, =A1, SEPT2" in done.stdout
    again = run("kmeans", names, "-k", 2)
    assert again.exit_code == 3
    assert "--force" in again.stderr
    assert run("kmeans", names, "-k", 2, "--force", "--quiet", "--no-plot").stdout == ""


def test_models_take_new_items(names: Path) -> None:
    run("kmeans", names, "-k", 2, "--scale", "standard", "--no-plot")
    Path("new.csv").write_text("y,note,x,name\n0,,1,a\n5,,10,b\n2,,30,c\n", encoding="utf-8")
    done = run("assign", "names-clusters/model.shoal", "new.csv", "--id", "name")
    assert done.exit_code == 0, done.output
    table = rows(done.stdout)
    model = shoal.load("names-clusters/model.shoal")
    found = model.assign(shoal.points([[1.0, 0.0], [10.0, 5.0], [30.0, 2.0]]))
    assert table[0] == ["id", "cluster", "distance", "margin"]
    assert [row[:2] for row in table[1:]] == [["a", "0"], ["b", "1"], ["c", "1"]]
    assert [float(row[2]) for row in table[1:]] == found.distance.tolist()
    assert [float(row[3]) for row in table[1:]] == found.margin.tolist()
    assert "3 items to 2 clusters" in done.stderr
    refused = run("assign", "names-clusters/model.shoal", "new.csv", "-k", 3)
    assert refused.exit_code == 3
    assert "holds a KMeans model" in refused.stderr
    for command in ("cut", "plot", "export"):
        assert "holds a KMeans model" in run(command, "names-clusters/model.shoal", *(
            ["--to", "newick"] if command == "export" else [])).stderr


def test_prints_an_object_for_programs(names: Path) -> None:
    done = run("kmeans", names, "-k", 2, "--json", "--no-plot", "--seed", 3, "--starts", 2)
    found = json.loads(done.stdout)
    assert set(found) == {"shoal", "command", "input", "method", "metric", "k", "inertia", "iterations", "messages",
                          "clusters", "drift", "files", "seconds"}
    assert found["k"] == 2
    assert [row["members"] for row in found["clusters"]] == [NAMES[:3], NAMES[3:]]
    assert [row["typical"] for row in found["clusters"]] == [NAMES[1], NAMES[4]]
    assert found["inertia"] == pytest.approx(8.0)
    assert found["drift"] is None
    assert found["files"]["scatter"] is None
    text = run("kmeans", "--help").stdout
    assert all(key in text for key in found)


def test_fixed_centres_in_the_units_of_the_file(names: Path) -> None:
    Path("fixed.csv").write_text("label,y,x\nfirst,,12\nsecond,4,\n", encoding="utf-8")
    for scale in ("none", "standard"):
        done = run("kmeans", names, "-k", 3, "--fixed", "fixed.csv", "--scale", scale, "--out", scale, "--no-plot")
        assert done.exit_code == 0, done.output
        model = shoal.load(f"{scale}/model.shoal")
        scaling = model.data_.scaling
        centers = model.cluster_centers_ if scaling is None else model.cluster_centers_ * scaling.spread + scaling.center
        assert centers[0, 0] == pytest.approx(12.0)
        assert centers[1, 1] == pytest.approx(4.0)
    Path("wrong.csv").write_text("z\n1\n")
    assert "there is no column 'z'" in run("kmeans", names, "-k", 3, "--fixed", "wrong.csv", "--out", "o").stderr
    assert "2 centres" in run("kmeans", names, "-k", 1, "--fixed", "fixed.csv", "--out", "o").stderr


def test_learns_on_from_more_files(names: Path) -> None:
    Path("more.csv").write_text("x,y\n" + "0,1\n14,4\n" * 50, encoding="utf-8")
    done = run("kmeans", names, "-k", 2, "--follow", "more.csv", "--json", "--no-plot")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [row["members"] for row in found["clusters"]] == [NAMES[:3], NAMES[3:]]
    assert found["drift"]
    model = shoal.load("names-clusters/model.shoal")
    assert model.cluster_centers_[1] == pytest.approx([14, 4], abs=0.5)
    assert found["inertia"] == pytest.approx(-model.score(shoal.read_file(names)))


def test_sizes_and_cosine(names: Path) -> None:
    done = run("kmeans", names, "-k", 2, "--max-size", 3, "--metric", "cosine", "--columns", "x,y")
    assert done.exit_code == 3, "the first row is all zeros"
    assert "'007'" in done.stderr
    found = json.loads(run("kmeans", names, "-k", 3, "--max-size", 2, "--json", "--threads", 1, "--no-plot").stdout)
    assert [row["size"] for row in found["clusters"]] == [2, 2, 2]


@pytest.mark.parametrize(("arguments", "code", "says"), [
    (["names.csv"], 2, "-k"),
    (["names.csv", "-k", 0], 2, "0"),
    (["names.csv", "-k", 7], 3, "n_clusters=7"),
    (["names.csv", "-k", 2, "--metric", "cityblock"], 3, "--metric cityblock is not known"),
    (["names.csv", "-k", 2, "--min-size", 4], 3, "need 8 items"),
    (["square.csv", "-k", 2, "--kind", "distances"], 3, "k-means takes points"),
    (["nowhere.csv", "-k", 2], 3, "nowhere.csv"),
    (["names.csv", "-k", 2, "--follow", "nowhere.csv"], 3, "nowhere.csv"),
])
def test_says_what_is_wrong(names: Path, arguments: list[object], code: int, says: str) -> None:
    np.savetxt("square.csv", np.ones((3, 3)) - np.eye(3), delimiter=",")
    done = run("kmeans", *arguments)
    assert done.exit_code == code, done.output
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("names-clusters").exists()


def test_what_a_missing_package_leaves_out(names: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: Any, **options: Any) -> None:
        raise MissingExtraError("xlsxwriter", "io", "Writing a workbook")

    monkeypatch.setattr(shoal.Clusters, "to_excel", missing)
    done = run("kmeans", names, "-k", 2, "--no-plot")
    assert done.exit_code == 0
    assert "Left out: clusters.xlsx." in done.stderr
    assert "pip install 'shoal[io]'" in done.stderr
    assert not Path("names-clusters/clusters.xlsx").exists()
