"""The drop-in against scipy itself: same results where scipy is right, better ones where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.cluster.hierarchy as theirs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

import shoal.hierarchy as ours
from shoal.trees.merges import from_nodes, to_scipy
from strategies import METHODS, methods, node_pairs, points


def cloud(n: int, d: int = 3) -> Any:
    return np.random.default_rng(n).normal(size=(n, d))


def test_every_name_is_there() -> None:
    import inspect

    assert set(ours.__all__) == set(theirs.__all__)
    for name in theirs.__all__:
        mine, other = getattr(ours, name), getattr(theirs, name)
        if inspect.isfunction(mine) and inspect.isfunction(other):
            a, b = (inspect.signature(f).parameters for f in (mine, other))
            assert [(p.name, p.default) for p in a.values()] == [(p.name, p.default) for p in b.values()], name


@given(points(min_n=2, ties=False), methods)
def test_linkage(X: Any, method: str) -> None:
    expected = theirs.linkage(X, method)
    np.testing.assert_allclose(ours.linkage(X, method), expected, rtol=1e-9)
    np.testing.assert_allclose(ours.linkage(pdist(X), method), expected, rtol=1e-9)
    np.testing.assert_allclose(getattr(ours, method)(X), expected, rtol=1e-9)


@pytest.mark.parametrize("metric", ["cityblock", "cosine", "chebyshev", lambda x, y: float(np.abs(x - y).sum())])
def test_linkage_of_other_metrics(metric: Any) -> None:
    X = cloud(30)
    np.testing.assert_allclose(ours.linkage(X, "average", metric), theirs.linkage(X, "average", metric), rtol=1e-9)
    found = ours.fclusterdata(X, 3, "maxclust", metric=metric, method="average")
    np.testing.assert_array_equal(found, theirs.fclusterdata(X, 3, "maxclust", metric=metric, method="average"))


@pytest.mark.parametrize(("y", "options", "message"), [
    ([], {}, "empty"), (np.zeros((1, 2)), {}, "empty"), (np.zeros((2, 2, 2)), {}, "dimensional"),
    ([1.0, 2.0, 3.0], {"method": "x"}, "Invalid method"),
    (np.eye(4), {"method": "ward", "metric": "cityblock"}, "Euclidean"),
    ([1.0, np.nan, 2.0], {}, "finite|missing|NaN|nan"), ([[1.0], [np.inf]], {}, "finite|inf"),
    (1.0 - np.eye(5), {}, "looks like a matrix"), ([1.0, 2.0], {}, "condensed|pairs")])
def test_what_linkage_refuses(y: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ours.linkage(y, **options)


@given(node_pairs())
def test_cophenet(tree: Any) -> None:
    pairs, heights = tree
    a, b = zip(*pairs, strict=True)
    Z = to_scipy(from_nodes(np.array(a), np.array(b), np.array(heights)))
    np.testing.assert_array_equal(ours.cophenet(Z), theirs.cophenet(Z))
    y = np.random.default_rng(0).uniform(size=len(ours.cophenet(Z)))
    if len(y) > 1:
        (c, d), (expected, _) = ours.cophenet(Z, y), theirs.cophenet(Z, y)
        assert c == pytest.approx(expected, rel=1e-9, abs=1e-12)
        np.testing.assert_array_equal(d, ours.cophenet(Z))
    with pytest.raises(ValueError, match="pairs"):
        ours.cophenet(Z, np.ones(len(y) + 1))


def test_cut_tree() -> None:
    Z = ours.linkage(cloud(25), "average")
    np.testing.assert_array_equal(ours.cut_tree(Z), theirs.cut_tree(Z))
    np.testing.assert_array_equal(ours.cut_tree(Z, n_clusters=[3, 7]), theirs.cut_tree(Z, n_clusters=[3, 7]))
    np.testing.assert_array_equal(ours.cut_tree(Z, 4), theirs.cut_tree(Z, 4))
    np.testing.assert_array_equal(ours.cut_tree(Z, height=[0.5, 1.0]), theirs.cut_tree(Z, height=[0.5, 1.0]))
    with pytest.raises(ValueError, match="None"):
        ours.cut_tree(Z, 2, 1.0)
    for wrong in (0, 26, 2.5, [3, 99]):
        with pytest.raises(ValueError, match="n_clusters="):
            ours.cut_tree(Z, wrong)


@given(points(min_n=3), methods)
def test_cut_tree_gives_as_many_as_asked_for(X: Any, method: str) -> None:
    Z = ours.linkage(X, method)
    table = ours.cut_tree(Z)
    assert [len(np.unique(column)) for column in table.T] == list(range(len(X), 0, -1))
    assert ours.cut_tree(Z, n_clusters=[len(X)]).ravel().tolist() == list(range(len(X)))


@given(points(min_n=3, ties=False), methods)
def test_optimal_leaf_ordering(X: Any, method: str) -> None:
    Z = ours.linkage(X, method)
    mine, other = ours.optimal_leaf_ordering(Z, X), theirs.optimal_leaf_ordering(Z, X)
    assert ours.is_valid_linkage(mine)
    np.testing.assert_array_equal(mine[:, 2:], Z[:, 2:])

    def length(order: Any) -> float:
        return float(np.linalg.norm(np.diff(X[order], axis=0), axis=1).sum())

    assert length(ours.leaves_list(mine)) <= length(theirs.leaves_list(other)) * (1 + 1e-12)
    np.testing.assert_array_equal(ours.optimal_leaf_ordering(Z, pdist(X)), mine)
    np.testing.assert_array_equal(ours.linkage(X, method, optimal_ordering=True), mine)


OPTIONS: list[dict[str, Any]] = [
    {}, {"truncate_mode": "lastp", "p": 5}, {"truncate_mode": "lastp", "p": 0}, {"truncate_mode": "lastp", "p": 99},
    {"truncate_mode": "level", "p": 2}, {"truncate_mode": "level", "p": 0}, {"count_sort": True},
    {"count_sort": "descending"}, {"distance_sort": "ascending"}, {"distance_sort": "descending"}, {"color_threshold": 0},
    {"color_threshold": 1.0}, {"color_threshold": np.inf}, {"show_leaf_counts": False, "truncate_mode": "lastp", "p": 4},
    {"above_threshold_color": "k"}, {"leaf_label_func": lambda i: f"<{i}>"},
    {"link_color_func": lambda i: f"C{i % 4}"}, {"truncate_mode": "level", "p": 1, "count_sort": "ascending"}]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(options) or "usual")
@pytest.mark.parametrize("n", [2, 3, 12, 40])
@pytest.mark.parametrize("method", ["single", "average", "ward"])
def test_dendrogram(options: dict[str, Any], n: int, method: str) -> None:
    X = cloud(n)
    X[0] = X[-1] if n > 5 and method == "single" else X[0]
    Z = ours.linkage(X, method)
    mine, other = ours.dendrogram(Z, no_plot=True, **options), theirs.dendrogram(Z, no_plot=True, **options)
    if options.get("truncate_mode") == "level" and n in mine["leaves"]:
        assert len(other["leaves"]) == len(mine["leaves"]) + 1  # scipy 1.17 draws the first merge at any level
        return
    assert set(other) - {"leaves"} <= set(mine)
    for name in ("icoord", "dcoord"):
        np.testing.assert_allclose(np.array(mine[name]), np.array(other[name]))
    for name in ("ivl", "color_list", "leaves"):
        assert mine[name] == other.get(name), name
    if X[0].tolist() != X[-1].tolist():  # at height 0, scipy takes links for leaves
        assert mine["leaves_color_list"] == other["leaves_color_list"]


def test_dendrogram_colours_from_a_palette() -> None:
    Z = ours.linkage(cloud(60), "average")
    for palette in (["m", "y"], None):
        ours.set_link_color_palette(palette)
        theirs.set_link_color_palette(palette)
        for t in (1.0, 1.5, 2.0):
            assert ours.dendrogram(Z, no_plot=True, color_threshold=t)["color_list"] == \
                theirs.dendrogram(Z, no_plot=True, color_threshold=t)["color_list"]
    for wrong in ("red", [1, 2], []):
        with pytest.raises(TypeError):
            ours.set_link_color_palette(wrong)  # type: ignore[arg-type]


def test_dendrogram_without_leaves() -> None:
    Z = ours.linkage(cloud(9), "average")
    mine, other = ours.dendrogram(Z, no_plot=True, get_leaves=False), theirs.dendrogram(Z, no_plot=True)
    assert mine["leaves"] is None  # scipy 1.17 raises a TypeError
    assert mine["leaves_color_list"] == other["leaves_color_list"]


def test_leaves_of_merges_at_height_zero_have_their_links_colour() -> None:
    Z = ours.linkage([[0.0], [0.0], [5.0], [9.0]], "single")
    found = ours.dendrogram(Z, no_plot=True)
    assert len(found["leaves_color_list"]) == 4
    assert found["leaves_color_list"][0] == found["leaves_color_list"][1] == found["color_list"][0]


@pytest.mark.parametrize(("options", "message"), [
    ({"orientation": "up"}, "orientation"), ({"truncate_mode": "x"}, "truncate"), ({"labels": ["a"]}, "labels"),
    ({"count_sort": True, "distance_sort": True}, "both")])
def test_what_dendrogram_refuses(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ours.dendrogram(ours.linkage(cloud(5)), no_plot=True, **options)


def test_a_chain_of_20000_is_laid_out() -> None:
    n = 20_000
    Z = to_scipy(from_nodes(np.r_[0, np.arange(n, 2 * n - 2)], np.arange(1, n), np.arange(1.0, n)))
    found = ours.dendrogram(Z, no_plot=True)
    assert found["leaves"] == [*range(n - 1, 1, -1), 0, 1]
    assert len(found["icoord"]) == n - 1


@pytest.mark.parametrize("orientation", ["top", "bottom", "left", "right"])
def test_a_picture(orientation: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    Z = ours.linkage(cloud(30), "average")
    for draw in (ours.dendrogram, theirs.dendrogram):
        figure, ax = plt.subplots()
        draw(Z, ax=ax, orientation=orientation, truncate_mode="lastp", p=6, show_contracted=True)
        if draw is ours.dendrogram:
            mine = ax.get_xlim(), ax.get_ylim(), [t.get_text() for t in ax.get_xticklabels() + ax.get_yticklabels()]
            assert len(ax.collections) == 2
            assert len(ax.collections[0].get_paths()) == 5
        else:
            assert mine[0] == pytest.approx(ax.get_xlim())
            assert mine[1] == pytest.approx(ax.get_ylim())
            labelled = ax.get_yticklabels() if orientation in ("left", "right") else ax.get_xticklabels()
            assert {t.get_text() for t in labelled} <= set(mine[2])
        plt.close(figure)


@settings(max_examples=20)
@given(points(min_n=3, ties=False), st.sampled_from(METHODS))
def test_flat_clusters(X: Any, method: str) -> None:
    Z = ours.linkage(X, method)
    np.testing.assert_array_equal(ours.fcluster(Z, 2, "maxclust"), theirs.fcluster(theirs.linkage(X, method), 2, "maxclust"))
