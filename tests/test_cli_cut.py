"""`shoal cut`, end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import shoal
from shoal.cli.app import shoal as app


@pytest.fixture
def model(tmp_path: Path) -> str:
    X = np.concatenate([np.random.default_rng(c).normal(8 * c, 1, (30, 2)) for c in range(3)])
    tree = shoal.linkage(X, ids=[f"item {i}" for i in range(90)])
    tree.save(tmp_path / "model.shoal")
    return str(tmp_path / "model.shoal")


def run(*words: Any) -> Result:
    return CliRunner().invoke(app, ["cut", *map(str, words)])


def rows(text: str) -> list[list[str]]:
    return [line.split(",") for line in text.splitlines()]


def test_by_number_height_and_rule(model: str) -> None:
    tree = shoal.load(model)
    for words, cut in ((("-k", 4), tree.cut(k=4)), (("--height", 20), tree.cut(height=20)),
                       (("--rule", "gap"), tree.cut(rule="gap")),
                       (("--rule", "inconsistent", "--set", "t=1.5", "--set", "depth=4"),
                        tree.cut(rule="inconsistent", t=1.5, depth=4))):
        done = run(model, *words)
        assert done.exit_code == 0, done.output
        found = rows(done.stdout)
        assert found[0] == ["id", "cluster"]
        assert {name: int(c) for name, c in found[1:]} == dict(zip(cut.ids, cut.labels.tolist(), strict=True))
        assert f"Clusters: {cut.k}" in done.stderr


def test_noise_comes_last_and_is_told(model: str) -> None:
    done = run(model, "--rule", "stable", "--set", "min_size=12")
    assert done.exit_code == 0, done.output
    labels = [int(row[1]) for row in rows(done.stdout)[1:]]
    assert len(labels) == 90
    assert labels == sorted(labels, key=lambda c: (c < 0, c))
    if -1 in labels:
        assert f"{labels.count(-1)} items are in none" in done.stderr


def test_files(model: str, tmp_path: Path) -> None:
    for name in ("four.csv", "four.xlsx"):
        out = tmp_path / name
        assert run(model, "-k", 4, "-o", out).exit_code == 0
        assert out.stat().st_size > 0
        again = run(model, "-k", 4, "-o", out)
        assert again.exit_code == 3
        assert "is there already" in again.output
        assert run(model, "-k", 4, "-o", out, "--force").exit_code == 0


def test_lists_and_suggestions(model: str) -> None:
    listed = run("--rules")
    assert listed.exit_code == 0
    for name in ("inconsistent", "dynamic", "stable", "persistence", "silhouette"):
        assert f"\n{name} " in "\n" + listed.output
    suggested = run(model, "--suggest")
    assert suggested.exit_code == 0
    assert "k = 3" in suggested.output


@pytest.mark.parametrize(("words", "code", "message"), [
    (("-k", 4, "--height", 2), 2, "give one"), (("--set", "t=1"), 2, "goes with --rule"),
    (("--rule", "gap", "--set", "t"), 2, "NAME=VALUE"), (("--rule", "magic"), 3, "magic"), (("-k", 91), 3, "91"),
    (("--rule", "gap", "--set", "depth=3"), 3, "depth"), (("--height", "-1"), 2, "height")])
def test_what_it_refuses(model: str, words: Any, code: int, message: str) -> None:
    done = run(model, *words)
    assert done.exit_code == code, done.output
    assert message in done.output


def test_a_model_is_needed() -> None:
    assert run().exit_code == 2
    assert run("nowhere.shoal").exit_code != 0
