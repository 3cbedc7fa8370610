"""The folder of results: checked before the work, filled at its end, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.cli.progress import Line
from shoal.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from shoal.suggestions import Suggestions
    from shoal.treecut import TreeCut

__all__ = ["PICTURES", "default_folder", "file_names", "from_before", "staged", "write_all"]

PICTURES = ("svg", "png", "pdf", "none")


def default_folder(file: str) -> Path:
    """Return the folder for the results of a file, in the current directory and named after the file.

    Examples
    --------
    >>> str(default_folder("data/songs.csv.gz")), str(default_folder("-"))
    ('songs-clusters', 'stdin-clusters')
    """
    name = Path(file).name
    if name.lower().endswith(".gz"):
        name = name[:-3]
    return Path(f"{'stdin' if file == '-' else Path(name).stem}-clusters")


def file_names(picture: str) -> dict[str, str]:
    """Return the name of every file a run may write, by what it is; without pictures there is no report."""
    pictures = {} if picture == "none" else {"dendrogram": f"dendrogram.{picture}", "scatter": f"clusters.{picture}",
                                                 "report": "report.html"}
    return {"table": "clusters.csv", "workbook": "clusters.xlsx", **pictures, "model": "model.shoal"}


def from_before(folder: Path, written: Iterable[Path]) -> list[str]:
    """Return the files an earlier run left in the folder, which do not show this one's clusters."""
    known = {name for picture in PICTURES for name in file_names(picture).values()}
    return sorted(name for name in known - {path.name for path in written} if (folder / name).exists())


@contextlib.contextmanager
def staged(folder: Path, names: dict[str, str], force: bool) -> Iterator[Path]:
    """Give a private folder to write to; what is in it moves to `folder` when the block ends without an error.

    Raises
    ------
    InputError
        At once, when a file exists and `force` is False, or when the folder cannot be written to.
    """
    _refuse_overwrite(folder, names, force)
    home = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    try:
        # ".part" is a name of its own on the same disk, so that moving is renaming.
        stage = tempfile.TemporaryDirectory(prefix=f".{folder.name[:100]}.", suffix=".part", dir=home)
    except OSError as error:
        raise InputError(f"The folder {str(home)!r} cannot be written to: {error.strerror or error}.",
                         "Choose another with --out.") from error
    with stage as path:
        yield Path(path)
        _refuse_overwrite(folder, names, force)  # they may have appeared meanwhile
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(Path(path).iterdir()):
            os.replace(file, folder / file.name)


def _refuse_overwrite(folder: Path, names: dict[str, str], force: bool) -> None:
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise InputError(f"{str(path)!r} is a file, not a folder.", "Choose another folder with --out.")
    taken = [name for name in names.values() if (folder / name).exists()]
    folders = [name for name in taken if (folder / name).is_dir()]
    if folders:
        raise InputError(f"In {str(folder)!r}, {folders[0]!r} is a folder.", "Choose another folder with --out.")
    if taken and not force:
        raise InputError(f"{str(folder)!r} already holds {', '.join(taken)}; nothing was changed.",
                         "Choose another folder with --out, or allow these to be replaced with --force.")


def write_all(clusters: TreeCut, suggestion: Suggestions | None, stage: Path, names: dict[str, str],
              line: Line) -> tuple[list[str], list[str]]:
    """Write all that can be written; the report says what is suggested beside a cut of the person's own.

    Returns
    -------
    written : list of str
        What was written, keys of `names`.
    left_out : list of str
        A sentence for every missing package: what was left out, and how to install it.
    """
    from shoal.data.carriers import Points
    from shoal.report import write_report

    data, tree = clusters.tree.data, clusters.tree
    makers: dict[str, Callable[[Path], Any]] = {
        "table": clusters.to_csv, "workbook": clusters.to_excel,
        "dendrogram": lambda path: _save(tree.plot(cut=clusters), path)}
    if isinstance(data, Points) and data.d >= 2:
        makers["scatter"] = lambda path: _save(clusters.plot(), path)
    makers["report"] = lambda path: write_report(clusters, path, suggestion=suggestion)
    makers["model"] = tree.save
    written: list[str] = []
    missing: dict[str, tuple[str, list[str]]] = {}
    for what, make in makers.items():
        if what not in names:
            continue
        line.say(f"writing {names[what]}")
        try:
            make(stage / names[what])
            written.append(what)
        except MissingExtraError as error:
            missing.setdefault(error.hint, (error.message, []))[1].append(names[what])
    return written, [f"Left out: {', '.join(files)}. {message} {hint}" for hint, (message, files) in missing.items()]


def _save(ax: Any, path: Path) -> None:
    from shoal.plot.figures import save

    save(ax, path)
