"""Trees as files: everything comes back, and files that lie are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shoal
from shoal.errors import FormatError, InputError
from shoal.store import pack_strings, read_model, write_model
from strategies import METHODS

IDS = ["007", "ä", "東京", "=1+1", "a\nb", *(f"id {i}" for i in range(25))]


def cloud(n: int = 30, d: int = 3) -> Any:
    return np.random.default_rng(n).normal(size=(n, d))


def square_of(X: Any) -> Any:
    return np.sqrt(((X[:, None, :] - X[None, :, :]) ** 2).sum(axis=2))


def kinds() -> dict[str, Callable[[], Any]]:
    import pandas as pd
    from scipy import sparse

    X, w = np.abs(cloud()) + 0.1, np.random.default_rng(0).uniform(0.5, 3, 30)
    return {
        "dense": lambda: shoal.linkage(X, ids=IDS), "float32": lambda: shoal.linkage(X.astype(np.float32)),
        "sparse": lambda: shoal.linkage(sparse.csr_array(np.where(X > 0.5, X, 0)), "average"),
        "scaled": lambda: shoal.linkage(shoal.points(X * [1, 100, 1e4], scale="standard", ids=IDS)),
        "robust": lambda: shoal.linkage(shoal.points(X, scale="robust")),
        "minkowski": lambda: shoal.linkage(shoal.points(X, "minkowski", metric_params={
            "p": 3, "w": np.array([1.0, 2.0, 3.0])}), "average"),
        "mahalanobis": lambda: shoal.linkage(shoal.points(X, "mahalanobis"), "complete"),
        "seuclidean": lambda: shoal.linkage(shoal.points(X, "seuclidean"), "single"),
        "cosine": lambda: shoal.linkage(X, "weighted", "cosine"),
        "weights": lambda: shoal.linkage(X, weights=w, ids=IDS),
        "columns": lambda: shoal.linkage(pd.DataFrame(X, columns=["a", "β", "c"])),
        "constant": lambda: shoal.linkage(shoal.points(np.column_stack([X[:, :2], np.ones(30)]), scale="standard")),
        "centroid": lambda: shoal.linkage(X, "centroid"), "two": lambda: shoal.linkage(X[:2]),
        "one": lambda: shoal.linkage(X[:1]),
    }


@pytest.mark.parametrize("name", kinds())
def test_everything_comes_back(name: str, tmp_path: Path) -> None:
    tree = kinds()[name]()
    path = tmp_path / "tree.shoal"
    tree.save(path)
    again = shoal.load(path)
    for a, b in zip(tree.merges, again.merges, strict=True):
        assert a.tobytes() == b.tobytes()
    assert (again.ids, again.method, again.engine) == (tree.ids, tree.method, tree.engine)
    assert again.messages == tree.messages
    assert again.weights_or_ones.tolist() == tree.weights_or_ones.tolist()
    assert again.data.columns == tree.data.columns
    assert again.data.X.dtype == tree.data.X.dtype
    k = min(3, tree.n)
    before, after = tree.cut(k=k), again.cut(k=k)
    assert after.labels.tolist() == before.labels.tolist()
    assert after.members() == before.members()
    assert after.centers.tobytes() == before.centers.tobytes()
    assert after.medoids.tolist() == before.medoids.tolist()
    new = np.abs(np.random.default_rng(5).normal(size=(6, 3))) + 0.1
    for a, b in ((before.predict(new), after.predict(new)),):
        assert (a.labels.tolist(), a.distance.tolist(), a.margin.tolist()) == \
            (b.labels.tolist(), b.distance.tolist(), b.margin.tolist())
    np.testing.assert_equal(after.silhouette().values, before.silhouette().values)
    np.testing.assert_equal(again.cophenetic_correlation(), tree.cophenetic_correlation())
    assert repr(again.suggest_cuts()) == repr(tree.suggest_cuts())


@pytest.mark.parametrize("name", kinds())
def test_saving_twice_gives_the_same_bytes_also_after_loading(name: str, tmp_path: Path) -> None:
    tree = kinds()[name]()
    tree.save(tmp_path / "one")
    tree.save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    shoal.load(tmp_path / "one").save(tmp_path / "three")
    shoal.load(tmp_path / "three").save(tmp_path / "four")
    assert (tmp_path / "three").read_bytes() == (tmp_path / "four").read_bytes()


@pytest.mark.parametrize("method", METHODS)
def test_a_tree_of_a_matrix_comes_back_without_it(method: str, tmp_path: Path) -> None:
    X = cloud()
    w = np.random.default_rng(0).uniform(0.5, 3, 30)
    data = shoal.distances(square_of(X) + 1e-12 * np.triu(np.ones((30, 30)), 1), ids=IDS, weights=w)
    tree = shoal.linkage(data, method)
    tree.save(tmp_path / "tree")
    again = shoal.load(tmp_path / "tree")
    assert again.data is None
    assert (again.ids, again.messages) == (tree.ids, tree.messages)
    assert again.cut(k=4).labels.tolist() == tree.cut(k=4).labels.tolist()
    with pytest.raises(InputError, match="needs the data"):
        again.cut(k=4).predict(square_of(X))
    shoal.load(tmp_path / "tree").save(tmp_path / "again")
    assert shoal.load(tmp_path / "again").messages == tree.messages


def test_points_can_be_left_out(tmp_path: Path) -> None:
    tree = shoal.linkage(cloud())
    tree.save(tmp_path / "small", data=False)
    tree.save(tmp_path / "whole")
    assert shoal.load(tmp_path / "small").data is None
    assert (tmp_path / "small").stat().st_size < (tmp_path / "whole").stat().st_size
    attached = shoal.load(tmp_path / "small").with_data(cloud())
    assert attached.cut(k=3).predict(cloud()).labels.tolist() == tree.cut(k=3).predict(cloud()).labels.tolist()


def test_a_function_of_the_caller_is_not_kept(tmp_path: Path) -> None:
    tree = shoal.linkage(cloud(), "average", lambda x, y: float(np.abs(x - y).sum()))
    tree.save(tmp_path / "tree")
    again = shoal.load(tmp_path / "tree")
    assert again.data is None
    assert again.cut(k=3).labels.tolist() == tree.cut(k=3).labels.tolist()


def test_a_file_is_not_overwritten_by_accident(tmp_path: Path) -> None:
    tree = shoal.linkage(cloud())
    tree.save(tmp_path / "tree")
    with pytest.raises(InputError, match="exists"):
        tree.save(tmp_path / "tree")
    shoal.linkage(cloud(), "average").save(tmp_path / "tree", force=True)
    assert shoal.load(tmp_path / "tree").method == "average"


def test_a_tree_of_scipy_is_saved(tmp_path: Path) -> None:
    tree = shoal.Tree.from_scipy(shoal.linkage(cloud()).to_scipy())
    tree.save(tmp_path / "tree")
    again = shoal.load(tmp_path / "tree")
    assert (again.method, again.engine, again.data) == ("unknown", "scipy", None)


# -------------------------------------------------------------------------------------------------------- forged files


def text(strings: list[str], arrays: dict[str, Any]) -> None:
    arrays["ids"], arrays["ids_offsets"] = pack_strings(strings)


FORGERIES: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]] = {
    "another kind": lambda h, a: h.update(kind="forest"),
    "no kind": lambda h, a: h.pop("kind"),
    "no method": lambda h, a: h.pop("method"),
    "an unknown method": lambda h, a: h.update(method="wards"),
    "a method that is a list": lambda h, a: h.update(method=["ward"]),
    "no source": lambda h, a: h.pop("source"),
    "a source that is text": lambda h, a: h.update(source="here"),
    "messages that are a number": lambda h, a: h.update(source={"messages": 5}),
    "points that are text": lambda h, a: h.update(points="all"),
    "points without a metric": lambda h, a: h["points"].pop("metric"),
    "an unknown metric": lambda h, a: h["points"].update(metric="os.system"),
    "parameters that are text": lambda h, a: h["points"].update(params={"p": "x"}),
    "parameters of another metric": lambda h, a: h["points"].update(params={"p": 3.0}),
    "columns that are a number": lambda h, a: h["points"].update(columns=3),
    "too few columns": lambda h, a: h["points"].update(columns=["a"]),
    "an unknown scale": lambda h, a: h["points"].update(scale="log"),
    "no left": lambda h, a: a.pop("left"),
    "no heights": lambda h, a: a.pop("height"),
    "no ids": lambda h, a: a.pop("ids"),
    "no X": lambda h, a: a.pop("X"),
    "a node used twice": lambda h, a: a.update(left=np.concatenate([a["left"][:1], a["left"][:-1]])),
    "a node that is not made yet": lambda h, a: a.update(right=np.where(np.arange(29) == 0, 58, a["right"])),
    "a node beyond all": lambda h, a: a.update(right=np.where(np.arange(29) == 28, 10**6, a["right"])),
    "a negative node": lambda h, a: a.update(left=np.where(np.arange(29) == 3, -1, a["left"])),
    "nodes merged with themselves": lambda h, a: a.update(left=a["right"]),
    "sides exchanged": lambda h, a: a.update(left=a["right"], right=a["left"]),
    "nodes that are fractions": lambda h, a: a.update(left=a["left"] + 0.5),
    "one merge less on one side": lambda h, a: a.update(left=a["left"][:-1]),
    "one merge less": lambda h, a: a.update(left=a["left"][:-1], right=a["right"][:-1], height=a["height"][:-1]),
    "one height less": lambda h, a: a.update(height=a["height"][:-1]),
    "one height more": lambda h, a: a.update(height=np.append(a["height"], 99.0)),
    "heights in a table": lambda h, a: a.update(height=a["height"][:, None]),
    "merges in a table": lambda h, a: a.update(left=a["left"][:, None], right=a["right"][:, None]),
    "a height that is NaN": lambda h, a: a.update(height=np.where(np.arange(29) == 3, np.nan, a["height"])),
    "a height that is infinite": lambda h, a: a.update(height=np.where(np.arange(29) == 28, np.inf, a["height"])),
    "too few ids": lambda h, a: text(IDS[:-1], a),
    "ids given twice": lambda h, a: text([*IDS[:-1], IDS[0]], a),
    "offsets beyond the text": lambda h, a: a.update(ids_offsets=a["ids_offsets"] + 1),
    "too few rows": lambda h, a: a.update(X=a["X"][:-1]),
    "rows in a vector": lambda h, a: a.update(X=a["X"][:, 0]),
    "rows that are booleans": lambda h, a: a.update(X=a["X"] > 0),
    "rows that are NaN": lambda h, a: a.update(X=a["X"] * np.nan),
    "too few weights": lambda h, a: a.update(weights=a["weights"][:-1]),
    "weights below zero": lambda h, a: a.update(weights=-a["weights"]),
    "weights that are NaN": lambda h, a: a.update(weights=a["weights"] * np.nan),
    "a scale for other columns": lambda h, a: a.update(scale_center=a["scale_center"][:-1]),
    "a spread of zero": lambda h, a: a.update(scale_spread=a["scale_spread"] * 0),
    "no spread": lambda h, a: a.pop("scale_spread"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_file_is_refused(name: str, tmp_path: Path) -> None:
    data = shoal.points(cloud(), scale="standard", weights=np.arange(1.0, 31.0), ids=IDS)
    shoal.linkage(data).save(tmp_path / "right")
    header, arrays = read_model(tmp_path / "right")
    FORGERIES[name](header, arrays)
    write_model(tmp_path / "forged", header, arrays)
    with pytest.raises(FormatError):
        shoal.load(tmp_path / "forged")


@pytest.mark.parametrize("name", ["X_data", "X_indices", "X_indptr"])
def test_forged_sparse_points_are_refused(name: str, tmp_path: Path) -> None:
    from scipy import sparse

    X = sparse.csr_array(np.where(cloud() > 0, cloud(), 0))
    shoal.linkage(X, "average").save(tmp_path / "right")
    header, arrays = read_model(tmp_path / "right")
    wrong = [arrays[name][:-1], arrays[name] + 5 if name != "X_data" else arrays[name] * np.nan, arrays[name][:, None]]
    if name == "X_indices":
        wrong.append(arrays[name] - 7)
    for n, array in enumerate(wrong):
        write_model(tmp_path / f"forged {n}", header, {**arrays, name: array})
        with pytest.raises(FormatError):
            shoal.load(tmp_path / f"forged {n}")
    for n, shape in enumerate(([30, 1], [29, 3], "x", [30], [10**12, 10**12])):
        write_model(tmp_path / f"shape {n}", {**header, "points": {**header["points"], "shape": shape}}, arrays)
        with pytest.raises(FormatError):
            shoal.load(tmp_path / f"shape {n}")


def test_a_forged_metric_matrix_is_refused(tmp_path: Path) -> None:
    """A matrix of the wrong shape would have scipy read memory that is not its own."""
    shoal.linkage(shoal.points(cloud(), "mahalanobis"), "average").save(tmp_path / "right")
    header, arrays = read_model(tmp_path / "right")
    for n, matrix in enumerate((np.eye(2), np.ones(3), np.full((3, 3), np.nan), np.empty((0, 0)))):
        write_model(tmp_path / f"forged {n}", header, {**arrays, "metric_VI": matrix})
        with pytest.raises(FormatError):
            shoal.load(tmp_path / f"forged {n}")


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        shoal.load(tmp_path / "nowhere")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(FormatError):
        shoal.load(tmp_path / "text")
    shoal.linkage(cloud()).save(tmp_path / "tree")
    whole = (tmp_path / "tree").read_bytes()
    for n in (10, 100, len(whole) - 1):
        (tmp_path / "part").write_bytes(whole[:n])
        with pytest.raises(FormatError):
            shoal.load(tmp_path / "part")
