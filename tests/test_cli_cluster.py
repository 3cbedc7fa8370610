"""`shoal cluster`: every door on real data, what is written, and what is said."""

from __future__ import annotations

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
from click.testing import CliRunner, Result

import shoal
from shoal.cli import app, reading, writing
from shoal.data.files import KINDS
from shoal.data.scaling import SCALINGS
from shoal.errors import MissingExtraError
from shoal.trees.linkage import METHODS

KEYS = ["shoal", "command", "input", "method", "metric", "engine", "k", "height", "suggestion", "messages",
        "cophenetic_correlation", "clusters", "files", "seconds"]
NAMES = ["007", "=A1", "SEPT2", "Ærø, \"stor\"", "東京", "1e5"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run in an empty folder, and drop the figures pyplot would keep until the process ends."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    yield tmp_path
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


def run(*arguments: object, **options: Any) -> Result:
    return CliRunner().invoke(app.shoal, [str(a) for a in arguments], catch_exceptions=False, **options)


def process(env: dict[str, str], *arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-W", "error", "-c", "from shoal.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, timeout=120, check=False, **options)


def write_names(path: Path) -> Path:
    """Write six items in two groups of three, with names a spreadsheet program would spoil."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["name", "x", "y"], *([name, i // 3 * 9 + i % 3, i] for i, name in enumerate(NAMES))])
    return path


def read_csv(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def parts_left(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith(".part")]


def test_points_give_a_folder_with_everything(example_data: Path) -> None:
    done = run("cluster", example_data / "usarrests.csv", "--id", "state", "--scale", "standard", "-k", 2)
    assert (done.exit_code, done.stderr) == (0, "")
    folder = Path("usarrests-clusters")
    assert {p.name for p in folder.iterdir()} == {"clusters.csv", "clusters.xlsx", "dendrogram.svg", "clusters.svg",
                                                  "report.html", "model.shoal"}
    rows = read_csv(folder / "clusters.csv")
    tree = shoal.load(folder / "model.shoal")
    assert rows[0] == ["id", "cluster"]
    assert sorted(rows[1:]) == sorted([name, str(c)] for name, c in zip(tree.ids, tree.cut(k=2).labels, strict=True))
    assert len(rows) == 51
    assert all("<svg" in (folder / name).read_text() for name in ("dendrogram.svg", "clusters.svg"))
    assert parts_left(Path()) == []


def test_summary_says_what_was_done(example_data: Path) -> None:
    done = run("cluster", example_data / "usarrests.csv", "--scale", "standard", "--no-plot", "-k", 2)
    text = " ".join(done.stdout.split())
    assert "usarrests.csv: 50 items, 4 features, euclidean distances, standard scaling" in text
    assert "Column 'state' was taken as the ids" in text
    assert "ward linkage (by default" in text
    assert "Cophenetic correlation 0.698" in text
    assert "2 clusters at height 10.46, as asked" in text
    assert "0 19 38% New Mexico Alabama, Alaska" in text
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "\x1b" not in done.stdout


def test_one_cluster_is_an_answer(example_data: Path) -> None:
    done = run("cluster", example_data / "usarrests.csv", "--scale", "standard", "--no-plot", "--suggest")
    text = " ".join(done.stdout.split())
    assert "No cut is suggested. One cluster: the highest split is not clearly more separate" in text
    assert "-k N or --height H" in text
    for rule in (">evidence", "silhouette", "calinski_harabasz", "stable", "persistence"):
        assert f"{rule} " in text
    assert {row[1] for row in read_csv(Path("usarrests-clusters/clusters.csv"))[1:]} == {"0"}


@pytest.mark.parametrize(("file", "options", "n", "says"), [
    ("eurodist.csv", ["--kind", "distances"], 21, "given distances"),
    ("tests24.csv", ["--kind", "similarities", "--rule", "sqrt(2-2s)"], 24, "distance = sqrt(2-2s)"),
    ("lesmis.csv", ["--kind", "graph"], 77, "weights are similarities"),
    ("lesmis.csv", ["--kind", "graph", "--missing", "shortest_path"], 77, "weights are distances"),
])
def test_every_door(example_data: Path, file: str, options: list[str], n: int, says: str) -> None:
    done = run("cluster", example_data / file, *options, "--out", "out")
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"{file}: {n} items" in done.stdout
    assert says in done.stdout
    assert "average linkage (by default" in done.stdout
    assert {p.name for p in Path("out").iterdir()} == {"clusters.csv", "clusters.xlsx", "dendrogram.svg", "report.html",
                                                        "model.shoal"}
    assert len(Path("out/clusters.csv").read_text().splitlines()) == n + 1


@pytest.mark.parametrize(("options", "method"), [((), "ward"), (("--metric", "cosine"), "average"),
                                                 (("--method", "single"), "single")])
def test_the_default_method(example_data: Path, options: tuple[str, ...], method: str) -> None:
    done = run("cluster", example_data / "usarrests.csv", *options, "--json", "--no-plot")
    assert json.loads(done.stdout)["method"] == method


def test_json_is_one_object_with_stable_keys(example_data: Path) -> None:
    done = run("cluster", example_data / "usarrests.csv", "--json", "--no-plot", "-k", 3)
    found = json.loads(done.stdout)
    assert list(found) == KEYS
    assert (found["shoal"], found["command"], found["engine"]) == (shoal.__version__, "cluster", "stored")
    assert found["input"]["carrier"] == "points"
    assert found["input"]["columns"] == ["Murder", "Assault", "UrbanPop", "Rape"]
    assert (found["k"], found["suggestion"], found["metric"]) == (3, None, "euclidean")
    tree = shoal.linkage(shoal.read_file(example_data / "usarrests.csv"))
    clusters = tree.cut(k=3)
    assert [c["members"] for c in found["clusters"]] == list(clusters.members().values())
    assert [c["medoid"] for c in found["clusters"]] == [tree.ids[i] for i in clusters.medoids]
    assert [c["size"] for c in found["clusters"]] == clusters.sizes.tolist()
    assert sum(c["share"] for c in found["clusters"]) == pytest.approx(1)
    assert found["height"] == clusters.height
    assert found["cophenetic_correlation"] == pytest.approx(tree.cophenetic_correlation())
    assert list(found["files"]) == ["table", "workbook", "dendrogram", "scatter", "report", "model"]
    assert found["files"]["dendrogram"] is None
    assert Path(found["files"]["table"]).is_file()


def test_json_says_why_a_cut_is_suggested_and_what_was_assumed(example_data: Path) -> None:
    done = run("cluster", example_data / "tests24.csv", "--kind", "similarities", "--json", "--no-plot")
    found = json.loads(done.stdout)
    assert set(found["suggestion"]) == {"k", "evidence", "reason", "cuts"}
    assert set(found["suggestion"]["cuts"][0]) == {"k", "low", "high", "gap", "silhouette"}
    assert found["suggestion"]["k"] == found["k"] == len(found["clusters"])
    assert any("default rule" in message for message in found["messages"])
    assert found["metric"] is None


def test_one_item_is_a_result_and_its_json_has_no_nan() -> None:
    Path("one.csv").write_text("name,x\nonly,1\n")
    done = run("cluster", "one.csv", "--json")
    found = json.loads(done.stdout, parse_constant=pytest.fail)
    assert (found["k"], found["cophenetic_correlation"], found["clusters"][0]["members"]) == (1, None, ["only"])
    assert "No cut is suggested" in run("cluster", "one.csv", "--force").stdout


def test_k_and_height(example_data: Path) -> None:
    by_k = json.loads(run("cluster", example_data / "usarrests.csv", "-k", 4, "--json", "--no-plot").stdout)
    by_height = json.loads(run("cluster", example_data / "usarrests.csv", "--height", by_k["height"], "--json", "--force",
                               "--no-plot").stdout)
    assert by_height["clusters"] == by_k["clusters"]


def test_names_stay_as_written_in_every_file() -> None:
    file = write_names(Path("names.csv"))
    done = run("cluster", file, "--id", "name", "-k", 2)
    assert done.exit_code == 0
    rows = read_csv(Path("names-clusters/clusters.csv"))
    assert rows == [["id", "cluster"], *([name, str(i // 3)] for i, name in enumerate(NAMES))]
    book = openpyxl.load_workbook("names-clusters/clusters.xlsx")
    assert [(cell.value, cell.data_type) for cell in book["items"]["A"][1:]] == [(name, "s") for name in NAMES]
    assert shoal.load("names-clusters/model.shoal").ids == tuple(NAMES)
    members = [c["members"] for c in json.loads(run("cluster", file, "-k", 2, "--json", "--force").stdout)["clusters"]]
    assert members == [NAMES[:3], NAMES[3:]]
    assert "東京" in done.stdout


def test_a_name_cannot_steer_the_terminal() -> None:
    Path("bad.csv").write_text("name,x\n\x1b[31mred\x1b]0;title\x07,1\nb,2\nc,9\n", encoding="utf-8")
    done = run("cluster", "bad.csv", "--no-plot", color=True)
    assert "\x1b[31m" not in done.stdout
    assert "\x07" not in done.stdout
    assert Path("bad-clusters/clusters.csv").read_text(encoding="utf-8").count("\x1b") == 2


def test_wide_names_keep_the_table_straight() -> None:
    write_names(Path("names.csv"))
    lines = run("cluster", "names.csv", "-k", 2, "--no-plot").stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("cluster"))
    assert lines[start].endswith("members")
    assert lines[start + 2].endswith("1e5")


def test_many_clusters_are_cut_short_on_screen_only(example_data: Path) -> None:
    done = run("cluster", example_data / "usarrests.csv", "-k", 40, "--no-plot")
    assert "and 10 more clusters" in done.stdout
    assert len(json.loads(run("cluster", example_data / "usarrests.csv", "-k", 40, "--no-plot", "--json",
                              "--force").stdout)["clusters"]) == 40


@pytest.mark.parametrize("form", ["png", "pdf", "none"])
def test_picture_formats(example_data: Path, form: str) -> None:
    assert run("cluster", example_data / "usarrests.csv", "--picture", form, "--quiet").exit_code == 0
    pictures = {p.name for p in Path("usarrests-clusters").iterdir()} - {"clusters.csv", "clusters.xlsx", "model.shoal"}
    assert pictures == (set() if form == "none" else {f"dendrogram.{form}", f"clusters.{form}", "report.html"})


def test_quiet_writes_files_and_prints_nothing(example_data: Path) -> None:
    done = run("cluster", example_data / "usarrests.csv", "--quiet", "--no-plot")
    assert (done.exit_code, done.output) == (0, "")
    assert Path("usarrests-clusters/clusters.csv").is_file()


def test_columns_and_drop() -> None:
    Path("t.csv").write_text('name,a,"b,c",d\np,1,2,\nq,3,4,5\nr,9,9,9\n')
    found = json.loads(run("cluster", "t.csv", "--columns", 'a,"b,c"', "--json", "--no-plot").stdout)
    assert found["input"]["columns"] == ["a", "b,c"]
    refused = run("cluster", "t.csv", "--out", "o")
    assert refused.exit_code == 3
    assert "--drop rows" in refused.stderr
    found = json.loads(run("cluster", "t.csv", "--drop", "rows", "--json", "--no-plot", "--out", "o").stdout)
    assert found["input"]["n"] == 2
    assert any("'p'" in message for message in found["messages"])


def test_a_sheet_by_name_and_by_number() -> None:
    book = openpyxl.Workbook()
    book.active.append(["nothing"])
    sheet = book.create_sheet("data")
    for row in (["name", "x"], ["007", 1], ["b", 2], ["c", 9]):
        sheet.append(row)
    book.save("book.xlsx")
    book.close()
    for which in ("data", "2"):
        found = json.loads(run("cluster", "book.xlsx", "--sheet", which, "-k", 2, "--json", "--no-plot",
                               "--out", f"o{which}").stdout)
        assert [c["members"] for c in found["clusters"]] == [["007", "b"], ["c"]]


def test_standard_input(example_data: Path) -> None:
    done = run("cluster", "-", "--no-plot", input=(example_data / "usarrests.csv").read_bytes())
    assert done.exit_code == 0
    assert done.stdout.startswith("standard input: 50 items")
    assert Path("stdin-clusters/model.shoal").is_file()


def test_nothing_is_overwritten_without_force(example_data: Path) -> None:
    folder = Path("usarrests-clusters")
    folder.mkdir()
    (folder / "model.shoal").write_text("mine")
    refused = run("cluster", example_data / "usarrests.csv", "--no-plot")
    assert refused.exit_code == 3
    assert "model.shoal" in refused.stderr
    assert "--force" in refused.stderr
    assert [p.name for p in folder.iterdir()] == ["model.shoal"]
    assert (folder / "model.shoal").read_text() == "mine"
    assert run("cluster", example_data / "usarrests.csv", "--no-plot", "--force").exit_code == 0
    assert shoal.load(folder / "model.shoal").n == 50


def test_files_of_an_earlier_run_are_named(example_data: Path) -> None:
    assert run("cluster", example_data / "usarrests.csv", "--picture", "pdf", "-q").output == ""
    done = run("cluster", example_data / "usarrests.csv", "--no-plot", "--force", "-q")
    assert done.output == "Note: from an earlier run, usarrests-clusters still holds clusters.pdf, dendrogram.pdf, " \
                          "report.html.\n"


def test_results_can_go_to_the_current_folder(example_data: Path) -> None:
    assert run("cluster", example_data / "usarrests.csv", "--no-plot", "--out", ".").exit_code == 0
    assert {p.name for p in Path().iterdir()} == {"clusters.csv", "clusters.xlsx", "model.shoal"}


def test_targets_are_checked_before_the_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("x-clusters").mkdir()
    Path("x-clusters/clusters.xlsx").write_text("mine")
    monkeypatch.setattr("shoal.cli.cluster.read", lambda *_, **__: pytest.fail("the file was read first"))
    assert run("cluster", "x.csv").exit_code == 3


def test_out_must_be_a_folder_one_can_write_to(example_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("taken").write_text("a file")
    Path("dir/clusters.csv").mkdir(parents=True)
    for out in ("taken", "taken/below", "dir"):
        refused = run("cluster", example_data / "usarrests.csv", "--out", out, "--force")
        assert (refused.exit_code, "--out" in refused.stderr) == (3, True)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", refuse)
    refused = run("cluster", example_data / "usarrests.csv", "--out", "deep/er")
    assert (refused.exit_code, "Permission denied" in refused.stderr) == (3, True)


def test_a_failed_run_leaves_nothing(example_data: Path) -> None:
    assert run("cluster", example_data / "usarrests.csv", "-k", 51).exit_code == 3
    assert run("cluster", example_data / "usarrests.csv", "--memory-limit", "1KB").exit_code == 4
    assert list(Path().iterdir()) == []


def test_a_missing_package_leaves_out_its_file_only(example_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise MissingExtraError("matplotlib", "plot", "Drawing")

    monkeypatch.setattr(writing, "_save", refuse)
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    done = run("cluster", example_data / "usarrests.csv", "--json")
    assert done.exit_code == 0
    assert {p.name for p in Path("usarrests-clusters").iterdir()} == {"clusters.csv", "report.html", "model.shoal"}
    excel, pictures = done.stderr.splitlines()
    assert excel.startswith("Left out: clusters.xlsx.")
    assert excel.endswith("pip install 'shoal[io]'")
    assert pictures.startswith("Left out: dendrogram.svg, clusters.svg.")
    assert pictures.endswith("pip install 'shoal[plot]'")
    assert json.loads(done.stdout)["files"]["workbook"] is None


@pytest.mark.parametrize("content", [
    b"", b"\n\n", b"a,b\n", b"name,x\na\xe9,1\nb,2\n", b"\xff\xfe\x00\x01", b"a,b\n1,2,3\n4\n", b"name\na\nb\n",
    b"name,x\na,1\nb,\n", b"\x00\x00\x00", b"PK\x03\x04zzz", b"\x1f\x8bzzz",
])
def test_files_that_cannot_be_used_are_refused_in_a_sentence(content: bytes) -> None:
    Path("f.csv").write_bytes(content)
    done = run("cluster", "f.csv")
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr.startswith("Error: f.csv")
    assert not Path("f-clusters").exists()


def test_a_matrix_without_kind_is_refused_with_three_ways(example_data: Path) -> None:
    done = run("cluster", example_data / "eurodist.csv")
    assert done.exit_code == 3
    for kind in ("distances", "similarities", "points"):
        assert f"--kind {kind}" in done.stderr
    assert "shoal." not in done.stderr


@pytest.mark.parametrize(("options", "code", "says"), [
    (["nowhere.csv"], 3, "nowhere.csv"),
    (["."], 3, "folder"),
    ([], 2, "FILE"),
    (["{data}", "-k", "2", "--height", "1"], 2, "one of them"),
    (["{data}", "-k", "0"], 2, "-k"),
    (["{data}", "--method", "wrad"], 2, "average"),
    (["{data}", "--memory-limit", "8XB"], 2, "8GB"),
    (["{data}", "--threads", "0"], 2, "threads"),
    (["{data}", "--height", "nan"], 2, "not a height"),
    (["{data}", "--height", "inf"], 2, "not a height"),
    (["{data}", "--height", "-1"], 2, "not a height"),
    (["{data}", "--id", "nope"], 3, "UrbanPop"),
    (["{data}", "--metric", "nope"], 3, "cityblock"),
    (["{data}", "--metric", "cosine", "--method", "ward"], 3, "--method average"),
    (["{data}", "--rule", "1-s"], 3, "--rule 1-s does not go with --kind points"),
    (["{data}", "--kind", "graph", "--scale", "minmax"], 3, "--scale minmax does not go with --kind graph"),
    (["{data}", "--memory-limit", "9KB"], 4, "--memory-limit allows 9 KB"),
])
def test_wrong_calls(example_data: Path, options: list[str], code: int, says: str) -> None:
    done = run("cluster", *(o.format(data=example_data / "usarrests.csv") for o in options))
    assert (done.exit_code, done.stdout) == (code, "")
    assert says in done.stderr


def test_too_many_items_are_refused_quickly_with_the_bytes() -> None:
    numbers = np.random.default_rng(0).integers(0, 1000, size=(65_536, 2)).tolist()
    Path("big.csv").write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in numbers))
    done = run("cluster", "big.csv", "--metric", "chebyshev", "--memory-limit", "8GB")
    assert done.exit_code == 4
    assert "65,536 items needs 17.2 GB" in done.stderr
    assert "8 GB" in done.stderr


def test_ctrl_c_ends_with_130_and_leaves_nothing(example_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("shoal.tree.Tree.save", interrupted)
    done = run("cluster", example_data / "usarrests.csv", "--no-plot")
    assert (done.exit_code, done.stdout, done.stderr) == (130, "", "Interrupted.\n")
    assert list(Path().iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_a_real_interrupt_ends_with_130(child_env: dict[str, str]) -> None:
    """The process waits on standard input when the signal comes, whatever the speed of the machine."""
    command = [sys.executable, "-c", "from shoal.cli import main; main()", "cluster", "-", "--json"]
    with subprocess.Popen(command, env=child_env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as child:
        while not parts_left(Path()):  # made just before the input is read
            assert child.poll() is None
            time.sleep(0.01)
        time.sleep(0.5)  # between making the folder and knowing its name a signal leaves it behind, empty
        child.send_signal(signal.SIGINT)
        stdout, stderr = child.communicate(timeout=60)
    assert (child.returncode, stdout) == (130, b"")
    assert stderr.splitlines() == [b"Interrupted."]
    assert list(Path().iterdir()) == []


def test_a_whole_process(example_data: Path, child_env: dict[str, str]) -> None:
    done = process(child_env, "cluster", example_data / "usarrests.csv", "--json", "-k", "2")
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["k"] == 2


def test_output_that_the_locale_cannot_show_does_not_end_the_run(child_env: dict[str, str]) -> None:
    file = write_names(Path("names.csv"))
    done = process({**child_env, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}, "cluster", file, "--no-plot", "-k", "2")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"007" in done.stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_an_error_in_a_sentence(example_data: Path, child_env: dict[str, str]) -> None:
    command = [sys.executable, "-c", "from shoal.cli import main; main()", "plan", "--items", "9"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, env=child_env, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode != 0
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(("variables", "coloured"), [({"COLORTERM": "truecolor"}, True), ({"NO_COLOR": "1"}, False),
                                                     ({"TERM": "dumb"}, False)])
def test_colours(example_data: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], coloured: bool) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"COLORTERM": "truecolor", **variables}.items():
        monkeypatch.setenv(name, value)
    done = run("cluster", example_data / "usarrests.csv", "--no-plot", color=True)
    assert ("\x1b[38;2;0;114;178m" in done.stdout) is coloured
    assert ("\x1b" in done.stdout) is coloured


def test_threads_change_nothing(example_data: Path) -> None:
    found = [json.loads(run("cluster", example_data / "usarrests.csv", "--threads", t, "--json", "--no-plot",
                            "--force").stdout) | {"seconds": 0} for t in (1, 2)]
    shoal.set_threads(None)
    assert found[0] == found[1]


def test_written_out_choices_are_the_librarys() -> None:
    assert set(reading.METHODS) == set(METHODS)
    assert set(reading.SCALINGS) == set(SCALINGS)
    assert reading.KINDS == KINDS
