"""shoal doctor: what a file holds, in words and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

import shoal
from shoal.cli.app import shoal as app


def run(*words: Any) -> Result:
    return CliRunner().invoke(app, ["doctor", *map(str, words)])


def test_words(example_data: Path) -> None:
    done = run(example_data / "eurodist.csv", "--kind", "distances")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("21 items, given as distances.")
    assert "Not Euclidean" in done.stdout
    assert "no  spring layout" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_json_says_the_same(example_data: Path) -> None:
    done = run(example_data / "lesmis.csv", "--kind", "graph", "--json")
    found = json.loads(done.stdout)
    same = shoal.advise(shoal.read_file(example_data / "lesmis.csv", kind="graph"))
    assert (found["command"], found["kind"], found["n"], found["mercer"]) == ("doctor", "graph", 77, same.mercer)
    assert [way["method"] for way in found["ways"]] == [way.method for way in same.ways]


def test_what_it_refuses(tmp_path: Path, example_data: Path) -> None:
    assert run(tmp_path / "none.csv").exit_code in (1, 3)
    assert run(example_data / "usarrests.csv", "--kind", "distances").exit_code == 3
    assert run().exit_code == 2
