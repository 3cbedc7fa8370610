"""`shoal plot`, end to end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import shoal
from shoal.cli.app import shoal as app

NAMES = ["007", "=A1", "SEPT2", "Ærø", "$x$", "<b>", *(f"item {i}" for i in range(24))]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in an empty folder, and drop the figures pyplot would keep until the process ends."""
    monkeypatch.chdir(tmp_path)
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture
def model(tmp_path: Path) -> str:
    X = np.concatenate([np.random.default_rng(c).normal(8 * c, 1, (10, 2)) for c in range(3)])
    shoal.linkage(X, ids=NAMES).save(tmp_path / "songs.shoal")
    return "songs.shoal"


def run(*words: Any) -> Result:
    return CliRunner().invoke(app, ["plot", *map(str, words)])


@pytest.mark.parametrize(("ending", "start"), [(".svg", b"<?xml"), (".png", b"\x89PNG"), (".PDF", b"%PDF")])
@pytest.mark.parametrize("options", [(), ("--kind", "scatter")])
def test_formats(model: str, ending: str, start: bytes, options: tuple[str, ...]) -> None:
    done = run(model, "-k", 3, "--out", f"out{ending}", *options)
    assert done.exit_code == 0, done.output
    assert Path(f"out{ending}").read_bytes().startswith(start)
    assert done.stdout == ""
    assert "Clusters: 3 (k = 3), sizes 10, 10, 10." in done.stderr


def test_the_picture_is_the_librarys(model: str) -> None:
    from shoal.plot.figures import figure_bytes

    tree = shoal.load(model)
    for words, ax in ((("-k", 4, "--last", 9), lambda: tree.plot(cut=tree.cut(k=4), last=9)),
                      (("--height", 5, "--orientation", "left"), lambda: tree.plot(cut=5.0, orientation="left")),
                      (("--rule", "gap", "--level", 3), lambda: tree.plot(cut=tree.cut(rule="gap"), level=3)),
                      (("--annotate-above", 4.5), lambda: tree.plot(cut=tree.cut(), annotate_above=4.5)),
                      (("--kind", "scatter", "-k", 3), lambda: tree.cut(k=3).plot()),
                      (("--kind", "clustermap", "-k", 3), lambda: tree.clustermap(tree.cut(k=3)).ax),
                      (("--kind", "silhouette", "-k", 3), lambda: tree.cut(k=3).silhouette_plot()),
                      (("--kind", "curve"), tree.curve), (("--kind", "rules"), tree.suggest_cuts().plot)):
        assert run(model, *words, "--force").exit_code == 0
        assert Path("songs.svg").read_bytes() == figure_bytes(ax(), "svg")


def test_a_tree_without_its_data_is_drawn(tmp_path: Path) -> None:
    D = np.abs(np.arange(5.0)[:, None] - np.arange(5.0) ** 1.5)
    tree = shoal.linkage(shoal.distances(np.maximum(D, D.T) * (1 - np.eye(5))), "average")
    tree.save(tmp_path / "model.shoal")
    assert run("model.shoal").exit_code == 0
    assert run("model.shoal", "-k", 2, "--force").exit_code == 0
    for words in ((), ("-k", 2)):
        refused = run("model.shoal", "--kind", "scatter", "--force", *words)
        assert refused.exit_code == 3
        assert "needs the data" in refused.output or "no data" in refused.output


def test_a_file_that_is_there_stays(model: str) -> None:
    Path("songs.svg").write_text("mine")
    refused = run(model)
    assert (refused.exit_code, Path("songs.svg").read_text()) == (3, "mine")
    assert "--force" in refused.output
    assert run(model, "--force").exit_code == 0


@pytest.mark.parametrize(("words", "code", "message"), [
    (("-k", 2, "--height", 1), 2, "give one"), (("--set", "t=1"), 2, "goes with --rule"), (("--last", 0), 2, "--last"),
    (("--orientation", "up"), 2, "center"), (("--out", "tree.gif"), 2, ".svg"), (("--out", "tree"), 2, ".svg"),
    (("--kind", "scatter", "--last", 3), 2, "leave them out"), (("-k", 31), 3, "31"), (("--rule", "magic"), 3, "magic"),
    (("--out", "no/such/folder.svg"), 3, "folder")])
def test_what_it_refuses(model: str, words: Any, code: int, message: str) -> None:
    done = run(model, *words)
    assert done.exit_code == code, done.output
    assert message in done.output
    assert [path.name for path in Path().iterdir()] == [model]


def test_a_model_is_needed() -> None:
    assert run().exit_code == 2
    assert run("nowhere.shoal").exit_code == 1 or run("nowhere.shoal").exit_code == 3
