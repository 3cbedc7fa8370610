"""The group of commands: help, version, speed of the help, errors in the words of the command line; and `shoal plan`."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import shoal
from shoal.cli import app
from shoal.cli.progress import Line
from shoal.cli.wording import as_options
from shoal.data.checks import SQUARE_WAYS
from shoal.errors import ShoalWarning

LATE = ("numpy", "numba", "scipy", "matplotlib", "polars", "rich")


def run(*arguments: object, **options: Any) -> Result:
    return CliRunner().invoke(app.shoal, [str(a) for a in arguments], catch_exceptions=False, **options)


def test_help_and_version() -> None:
    assert "shoal cluster songs.csv" in run("--help").stdout
    assert run("--version").stdout == f"shoal {shoal.__version__}\n"
    assert run("-h").stdout == run("--help").stdout
    assert run("nonsense").exit_code == 2


@pytest.mark.parametrize("name", ["cluster", "plan"])
def test_help_of_a_command_lists_and_explains_every_option(name: str) -> None:
    text = run(name, "--help").stdout
    for param in app.shoal.commands[name].params:
        if isinstance(param, click.Option):
            assert all(option in text for option in param.opts)
            assert param.help
    assert "Examples:" in text
    assert [text.index(title) for title in ("What is read:", "The tree:", "The result:")] == sorted(
        text.index(title) for title in ("What is read:", "The tree:", "The result:"))
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["cluster", "--help"], ["plan", "--help"], ["cluster"]])
def test_help_imports_nothing_heavy(arguments: list[str], child_env: dict[str, str]) -> None:
    code = ("import atexit, sys\n"
            f"atexit.register(lambda: sys.stderr.write(repr([m for m in {LATE!r} if m in sys.modules])))\n"
            f"sys.argv[1:] = {arguments!r}\nfrom shoal.cli import main\nmain()")
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=child_env, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.endswith("[]")


@pytest.mark.parametrize(("text", "expected"), [
    ("Use method='average', or shoal.distances(X).", "Use --method average, or --kind distances."),
    ("Leave them out with drop='rows' or drop='columns' (--drop rows or --drop columns on the command line), or fill "
     "the gaps first.", "Leave them out with --drop rows or --drop columns, or fill the gaps first."),
    ("use shoal.graph(edges, kind='distance', missing='shortest_path').", "use --kind graph --missing shortest_path."),
    ("The rule was rule='sqrt(2-2s)'.", "The rule was --rule 'sqrt(2-2s)'."),
    ("Say it: kind='a' or 'b' (--kind a or --kind b on the command line); in Python also shoal.points(X).",
     "Say it: --kind a or --kind b."),
    ("Nothing = to (do) here.", "Nothing = to (do) here."),
])
def test_python_words_become_options(text: str, expected: str) -> None:
    assert as_options(text) == expected


def test_the_librarys_own_hints_become_options() -> None:
    assert "shoal." not in as_options(SQUARE_WAYS)


@pytest.mark.parametrize(("error", "code", "says"), [
    (KeyboardInterrupt(), 130, "Interrupted."), (MemoryError(), 4, "Error: The memory ran out."),
    (OSError(28, "No space left on device"), 1, "Error: [Errno 28] No space left on device"),
])
def test_errors_become_exit_codes(monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, says: str) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("shoal.trees.linkage.plan", fail)
    done = run("plan", "--items", 5)
    assert (done.exit_code, done.stdout, done.stderr) == (code, "", f"{says}\n")


def test_an_unexpected_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("shoal.trees.linkage.plan", fail)
    with pytest.raises(ZeroDivisionError):
        run("plan", "--items", 5)


def test_warnings_are_notes_on_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def warn(*_: Any, **__: Any) -> None:
        warnings.simplefilter("always")
        warnings.warn("Two cells were cut.", ShoalWarning, stacklevel=1)
        raise KeyboardInterrupt

    monkeypatch.setattr("shoal.trees.linkage.plan", warn)
    assert run("plan", "--items", 5).stderr == "Note: Two cells were cut.\nInterrupted.\n"


def test_progress_is_one_line_that_is_wiped(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    line = Line(True)
    line(0.1, "distances")
    assert capsys.readouterr().err == ""  # quick work needs no line
    now[0] += 10
    line(0.5, "distances")
    line.say("")
    assert capsys.readouterr().err == "\r 50% distances, 10 s left\r" + 25 * " " + "\r"
    hidden = Line(False)
    hidden.say("nothing")
    assert capsys.readouterr().err == ""


def test_plan_of_numbers() -> None:
    done = run("plan", "--items", 65536, "--method", "average", "--memory-limit", "8GB")
    assert done.exit_code == 0
    assert "average linkage of 65,536 items, given distances" in done.stdout
    assert "17.2 GB" in done.stdout
    assert "does not fit" in done.stdout
    fits = run("plan", "--items", 65536, "--features", 10, "--method", "average", "--memory-limit", "8GB").stdout
    assert "average linkage of 65,536 items, 10 features" in fits
    assert "does not fit" not in fits


def test_plan_as_json_agrees_with_the_library() -> None:
    found = json.loads(run("plan", "--items", 5000, "--method", "single", "--memory-limit", "8GB", "--json").stdout)
    expected = shoal.plan(5000, None, "single", memory_limit="8GB")
    assert found == {"shoal": shoal.__version__, "command": "plan", "allowed_bytes": 8 * 10**9, **vars(expected)}


def test_plan_of_a_file(example_data: Path) -> None:
    found = json.loads(run("plan", example_data / "usarrests.csv", "--json").stdout)
    assert (found["n"], found["d"], found["method"], found["fits"]) == (50, 4, "ward", True)
    found = json.loads(run("plan", example_data / "eurodist.csv", "--kind", "distances", "--json").stdout)
    assert (found["n"], found["d"], found["method"]) == (21, None, "average")
    assert run("plan", example_data / "eurodist.csv").exit_code == 3


@pytest.mark.parametrize("arguments", [[], ["f.csv", "--items", "5"], ["f.csv", "--features", "5"], ["--items", "0"]])
def test_plan_wrong_calls(arguments: list[str]) -> None:
    assert run("plan", *arguments).exit_code == 2
