"""The house rules, held by machine: who may import what, what a function may weigh, what source may not contain."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src" / "shoal"

# A file imports from its own room or from rooms before it.
ROOMS = ("errors", "runtime", "store", "data", "trees", "centers", "judge", "cuts", "graphs", "plot", "model", "clusters",
         "treecut", "suggestions", "report", "tree", "building", "advice", "hierarchy", "estimators", "scale", "explore",
         "cli")

# Third-party packages, and where they may be imported. numpy and scipy may be anywhere.
ALLOWED = {
    "numpy": ("",), "scipy": ("",),
    "numba": ("runtime/kernel.py",),
    "llvmlite": ("runtime/kernel.py",),
    "threadpoolctl": ("runtime/",),
    "tqdm": ("runtime/progress.py",),
    "rich": ("runtime/progress.py", "cli/"),
    "click": ("cli/",),
    "matplotlib": ("plot/",),
    "sklearn": ("estimators/", "judge/"),
    "narwhals": ("data/",),
    "polars": ("data/",), "pandas": ("data/",), "pyarrow": ("data/",),
    "fastexcel": ("data/",), "xlsxwriter": ("data/",),
    "dask": ("scale/",), "distributed": ("scale/",),
    "anywidget": ("explore/",),
    "networkx": ("trees/exchange.py", "plot/network.py"),
}
# These take longer to import than small work takes to do, so they are imported by the function that needs them; but for
# hierarchy.py, which has scipy's names and is imported by name.
LATE = ("numba", "scipy", "matplotlib", "polars", "pandas", "pyarrow", "fastexcel", "xlsxwriter", "dask", "distributed")

MAX_LINES = 90  # of a function, without its docstring
MAX_ARGUMENTS = 12
# Functions that may weigh more, each with its reason: {("trees/x.py", "name"): "why splitting would hurt"}.
HEAVY: dict[tuple[str, str], str] = {
    ("trees/threshold.py", "small_trees"): "one small tree from its distances to its last merge",
    ("trees/spatial_scan.py", "enter_page"): "plain arrays: to hand on a named tuple counts references to all of them",
    ("trees/spatial_scan.py", "look_in_leaf"): "plain arrays: to hand on a named tuple counts references to all of them",
    ("trees/boxes.py", "nearest_foreign"): "a walk in one piece: split up it takes ten times as long",
    ("hierarchy.py", "dendrogram"): "scipy's signature",
    ("centers/limits.py", "move_to_bound"): "plain arrays: to hand on a named tuple counts references to all of them",
    ("centers/seeding_kernels.py", "take_by_rows"): "plain arrays, as above",
    ("estimators/kmeans.py", "__init__"): "scikit-learn's parameters, and ours",
    ("estimators/bisecting.py", "__init__"): "scikit-learn's parameters, and ours",
    ("cli/cluster.py", "cluster"): "an argument for every option of the command",
    ("plot/dendrogram.py", "dendrogram"): "scipy's and R's users look for these options here, by name",
}

FILES = sorted(SRC.rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Import(NamedTuple):
    """One imported module, and whether it is imported as soon as the file is."""

    module: str
    line: int
    early: bool


def name(path: Path) -> str:
    return path.relative_to(SRC).as_posix()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> list[Import]:
    """All imports but those for type checkers alone, `from package import module` counted as the module."""
    found: list[Import] = []
    todo: list[tuple[ast.AST, bool]] = [(parsed(path), True)]
    while todo:
        node, early = todo.pop()
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, node.lineno, early) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}:{node.lineno}: a relative import; write it in full"
            module = str(node.module)
            if module == "shoal":
                found.extend(Import(f"shoal.{alias.name}", node.lineno, early) for alias in node.names)
            else:
                found.append(Import(module, node.lineno, early))
        children: Iterable[ast.AST] = ast.iter_child_nodes(node)
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            children = node.orelse
        todo.extend((child, early and not isinstance(node, Function | ast.Lambda)) for child in children)
    return found


def room(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(parsed(path)) if isinstance(node, Function))


def test_there_is_something_to_check() -> None:
    assert len(FILES) > 5
    assert {(i.module, i.early) for i in imports(SRC / "runtime" / "kernel.py")} >= {("numba", False), ("os", True)}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_point_up_the_house(path: Path) -> None:
    if path.parent == SRC and path.stem in ("__init__", "__main__"):
        return
    assert room(path) in ROOMS, f"{name(path)} is in no known room; give {room(path)!r} its place in ROOMS"
    for module, line, _ in imports(path):
        parts = module.split(".")
        if parts[0] != "shoal":
            continue
        assert len(parts) > 1, f"{name(path)}:{line} imports shoal itself; import from the file that has the name"
        assert parts[1] in ROOMS, f"{name(path)}:{line} imports {module}, which is no room"
        assert ROOMS.index(parts[1]) <= ROOMS.index(room(path)), \
            f"{name(path)}:{line} imports {module}, from further down the house"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_third_party_packages_stay_in_their_rooms(path: Path) -> None:
    for module, line, early in imports(path):
        package = module.split(".")[0]
        if package == "shoal" or package in sys.stdlib_module_names:
            continue
        assert package in ALLOWED, f"{name(path)}:{line} imports {package}, which no rule allows"
        assert name(path).startswith(ALLOWED[package]), \
            f"{name(path)}:{line} imports {package}; that is for {', '.join(ALLOWED[package])}"
        assert not (early and package in LATE) or name(path) == "hierarchy.py", \
            f"{name(path)}:{line} imports {module} with the file; do so inside the function that needs it"


def loaded_after(statement: str, env: dict[str, str]) -> set[str]:
    code = f"{statement}\nimport sys\nsys.stdout.write(' '.join(sys.modules))"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return {module.split(".")[0] for module in done.stdout.split()}


def test_import_shoal_is_light(child_env: dict[str, str]) -> None:
    loaded = loaded_after("import shoal", child_env)
    assert not loaded & {*LATE, "sklearn", "narwhals", "click", "rich", "tqdm"}


def test_every_file_is_light(child_env: dict[str, str]) -> None:
    heavy_rooms = ("estimators", "scale", "cli", "hierarchy")  # faces of packages that they cannot do without
    modules = [".".join(("shoal", *path.relative_to(SRC).with_suffix("").parts)).removesuffix(".__init__")
               for path in FILES if room(path) not in heavy_rooms and path.stem != "__main__"]
    loaded = loaded_after("\n".join(f"import {module}" for module in modules), child_env)
    assert not loaded & {*LATE, "sklearn"}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_the_library_prints_nothing_and_compiles_in_one_place(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            assert room(path) == "cli", f"{name(path)}:{node.lineno} prints"
        if isinstance(node, ast.Name | ast.Attribute) and name(path) != "runtime/kernel.py":
            word = node.id if isinstance(node, ast.Name) else node.attr
            assert word not in ("njit", "jit", "jitclass", "guvectorize", "prange"), \
                f"{name(path)}:{node.lineno} uses {word}; kernels are made by shoal.runtime.kernel alone"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_everything_public_says_what_it_is(path: Path) -> None:
    tree = parsed(path)
    assert ast.get_docstring(tree), f"{name(path)} has no docstring"
    todo: list[ast.Module | ast.ClassDef] = [tree]
    while todo:
        for node in todo.pop().body:
            if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
                overload = any(ast.unparse(d).endswith("overload") for d in node.decorator_list)
                assert overload or ast.get_docstring(node), f"{name(path)}:{node.lineno}: {node.name} has no docstring"
                if isinstance(node, ast.ClassDef):
                    todo.append(node)


def weight(function: Function) -> tuple[int, int]:
    """Lines without the docstring, and arguments."""
    lines = int(function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is not None:
        lines -= int(function.body[0].end_lineno or 0) - function.body[0].lineno + 1
    a = function.args
    return lines, len(a.posonlyargs) + len(a.args) + len(a.kwonlyargs) + bool(a.vararg) + bool(a.kwarg)


def test_functions_are_short() -> None:
    heavy = {}
    for path in FILES:
        for function in functions(path):
            lines, arguments = weight(function)
            if lines > MAX_LINES or arguments > MAX_ARGUMENTS:
                heavy[name(path), function.name] = f"{lines} lines, {arguments} arguments"
    assert {key: load for key, load in heavy.items() if key not in HEAVY} == {}
    assert [key for key in HEAVY if key not in heavy] == [], "no longer heavy: take them off the list"


FORBIDDEN = (
    (r"\b(?:TODO|FIXME|XXX|HACK)\b", "work left undone"),
    (r"(?<![\w.])/(?:home|Users|root)/\w", "a path on somebody's machine"),
    (r"#\s*noqa(?!: [A-Z])|type:\s*ignore(?!\[)", "a silenced check that does not say which"),
    (r"\bpickle\.loads?\b|allow_pickle=True|\b(?<!\.)eval\(|\bexec\(", "code run from data"),
    (r"^(?:<{7}|>{7})", "a merge left half done"),
)
FOLDERS = ("src", "tests", "examples", "benchmarks", "docs")
TEXTS = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*")
               if path.suffix in (".py", ".md") and path.name != Path(__file__).name)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_forbidden_is_written(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for pattern, why in FORBIDDEN:
        found = re.search(pattern, text, re.MULTILINE)
        line = text.count("\n", 0, found.start()) + 1 if found else 0
        assert found is None, f"{path.relative_to(ROOT)}:{line}: {found[0]!r}, {why}"
