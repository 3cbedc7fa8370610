import itertools
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

mpl.use("Agg")
from matplotlib import pyplot
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex

from shoal.errors import InputError, MissingExtraError
from shoal.plot.dendrogram import dendrogram
from shoal.plot.figures import figure_bytes, save
from shoal.plot.layout import horizontal_nodes, layout
from shoal.plot.palette import ABOVE, color
from shoal.trees.merges import canonical, from_scipy, leaf_order


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def tree(n=20, seed=0, method="average"):
    return from_scipy(linkage(np.random.default_rng(seed).normal(size=(n, 2)), method))


def texts(ax):
    shown = [*ax.texts, *ax.get_xticklabels(), *ax.get_yticklabels(), ax.xaxis.label, ax.yaxis.label]
    return [text.get_text() for text in shown]


def links(ax):
    return [artist for artist in ax.collections if isinstance(artist, LineCollection)]


@pytest.mark.parametrize("orientation", ["top", "bottom", "left", "right"])
@pytest.mark.parametrize("hang", [False, True])
def test_names_in_leaf_order_and_inside_the_figure(orientation, hang):
    merges = tree()
    ids = [f"song number {i}" for i in range(20)]
    ax = dendrogram(merges, ids=ids, orientation=orientation, hang=hang, cut=0.8, annotate_above=0.5)
    figure = ax.figure
    figure.canvas.draw()
    labels = [t for t in [*ax.get_xticklabels(), *ax.get_yticklabels(), *ax.texts] if "song" in t.get_text()]
    assert [t.get_text() for t in labels] == [ids[i] for i in leaf_order(merges)]
    boxes = [t.get_window_extent() for t in labels]
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= figure.bbox.x1 and b.y1 <= figure.bbox.y1 for b in boxes)
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))


def test_numbers_annotations_and_cut_text_do_not_overlap():
    ax = dendrogram(tree(30, 3, "centroid"), cut=0.5, annotate_above=0.2)
    ax.figure.canvas.draw()
    boxes = [t.get_window_extent() for t in ax.texts]
    assert len(boxes) > 8
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_one_artist_for_all_links_and_one_colour_a_cluster():
    merges = tree(200)
    cut = 0.8
    ax = dendrogram(merges, cut=cut)
    assert len(links(ax)) == 1
    assert len(ax.get_children()) < 40
    drawn = layout(merges, nodes=horizontal_nodes(merges, cut))
    inks = [to_hex(ink) for ink in links(ax)[0].get_colors()][: len(drawn.link_node)]
    assert inks == [color(c) if c >= 0 else ABOVE for c in drawn.link_cluster.tolist()]
    assert len(set(inks)) > 3


def test_single_items_show_their_cluster_by_a_stem():
    merges = from_scipy([[0, 1, 1.0, 2], [2, 3, 5.0, 3]])
    ax = dendrogram(merges, cut=2.0)
    inks = [to_hex(ink) for ink in links(ax)[0].get_colors()]
    stem = links(ax)[0].get_segments()[inks.index(color(1))]
    assert np.unique(stem, axis=0).tolist() == [[2.0, 0.0], [2.0, 5.0]]


@pytest.mark.parametrize("method", ["average", "ward", "centroid"])
def test_cut_says_how_many_clusters(method):
    Z = linkage(np.random.default_rng(5).normal(size=(40, 2)), method)
    for cut in (0.3, 0.7, 100.0):
        k = len(set(fcluster(Z, cut, "distance").tolist()))
        ax = dendrogram(from_scipy(Z), cut=cut)
        assert f"{k} cluster{'s' if k > 1 else ''}\ncut at {cut:.4g}" in texts(ax)


def test_given_nodes_decide_number_and_colour():
    merges = tree(10)
    ax = dendrogram(merges, nodes=horizontal_nodes(merges, 0.5)[::-1], cut=0.5)
    k = len(horizontal_nodes(merges, 0.5))
    assert f"{k} clusters\ncut at 0.5" in texts(ax)
    assert to_hex(links(ax)[0].get_colors()[-1]) != ABOVE


def test_truncation_says_what_is_hidden():
    merges = tree(352)
    ax = dendrogram(merges, last=40)
    drawn = layout(merges, last=40)
    hidden = drawn.leaf_count[drawn.leaf_count > 1]
    wanted = f"40 leaves shown for 352 items; {hidden.sum()} items are inside {len(hidden)} contracted leaves."
    assert wanted in ax.get_xlabel().replace("\n", " ")
    assert f"({hidden[0]} items)" in texts(ax)
    wedges = next(artist for artist in ax.collections if isinstance(artist, PolyCollection))
    assert len(wedges.get_paths()) == len(hidden)


def test_too_many_labels_are_left_out_and_said():
    ax = dendrogram(tree(3000), cut=0.3)
    assert "Labels of 3,000 leaves left out; last=40 shows fewer." in ax.get_xlabel().replace("\n", " ")
    assert len(ax.get_xticks()) < 200
    assert len(ax.get_children()) < 40


def test_labels_by_sequence_and_callable():
    merges = tree(5)
    order = leaf_order(merges).tolist()
    by_list = dendrogram(merges, ids=list("vwxyz"), labels=["α", "β", "γ", "δ", "ε"])
    assert [t.get_text() for t in by_list.get_xticklabels()] == ["αβγδε"[i] for i in order]
    by_call = dendrogram(merges, ids=list("vwxyz"), labels=lambda i: f"no. {i}")
    assert [t.get_text() for t in by_call.get_xticklabels()] == [f"no. {i}" for i in order]


def test_hostile_names_are_drawn_literally():
    ids = ["$x_1$", "a_b^{", "two\nlines", "tab\there", "l" * 100, "北京", "🐟", "\ud800", "\x07", "% & # \\"]
    merges = tree(10)
    ax = dendrogram(merges, ids=ids)
    shown = dict(zip(leaf_order(merges).tolist(), (t.get_text() for t in ax.get_xticklabels()), strict=True))
    assert [shown[i] for i in (0, 1, 2, 3, 9)] == ["$x_1$", "a_b^{", "two lines", "tab here", "% & # \\"]
    assert len(shown[4]) == 40
    assert "…" in shown[4]
    assert shown[7] == "□"
    assert "shown as □" in ax.get_xlabel()
    for format in ("png", "svg", "pdf"):
        assert figure_bytes(ax, format)  # warnings, such as a missing glyph's, are errors here


def test_heights_are_annotated():
    merges = from_scipy([[0, 1, 1.0, 2], [2, 3, 5.1234, 3]])
    shown = texts(dendrogram(merges, annotate_above=0.5))
    assert "1" in shown
    assert "5.12" in shown
    assert "5.12" not in texts(dendrogram(merges, annotate_above=6))


def test_small_and_flat_trees():
    alone = dendrogram(from_scipy(np.empty((0, 4))), ids=["alone"], cut=1.0, annotate_above=0.0)
    assert "alone" in texts(alone)
    flat = dendrogram(from_scipy([[0, 1, 0.0, 2], [2, 3, 0.0, 3]]), cut=0.0)
    assert flat.get_ylim() == (0.0, 1.0)
    assert "1 cluster\ncut at 0" in texts(flat)
    infinite = dendrogram(canonical(np.array([0, 0]), np.array([1, 2]), np.array([1.0, np.inf])), annotate_above=0)
    assert "inf" in texts(infinite)
    assert "1 infinite height" in infinite.get_xlabel()
    for ax in (alone, flat, infinite):
        assert figure_bytes(ax)


def test_heights_begin_at_zero():
    assert dendrogram(tree(20)).get_ylim()[0] == 0
    low, high = dendrogram(tree(20), orientation="left").get_xlim()
    assert low > high == 0


def test_chain_of_100_000_leaves():
    n = 100_000
    merges = canonical(np.zeros(n - 1, int), np.arange(1, n), np.arange(1.0, n))
    ax = dendrogram(merges, last=30, cut=n - 3.5)
    assert "(99,971 items)" in texts(ax)
    whole = dendrogram(merges)
    assert links(whole)[0].get_rasterized()
    assert len(links(whole)[0].get_paths()) == n - 1


def test_given_axes_are_used_and_no_figure_is_left():
    figure = mpl.figure.Figure(figsize=(4, 3))
    ax = figure.subplots()
    assert dendrogram(tree(20), ax=ax, cut=0.5, annotate_above=0.5) is ax
    assert pyplot.get_fignums() == []


def test_same_bytes_every_time(tmp_path):
    for format in ("png", "svg", "pdf"):
        first, second = (figure_bytes(dendrogram(tree(), cut=0.7), format) for _ in range(2))
        assert first == second
    ax = dendrogram(tree(), cut=0.7)
    save(ax, tmp_path / "tree.svg")
    assert (tmp_path / "tree.svg").read_bytes() == figure_bytes(ax, "svg")
    with pytest.raises(InputError, match="bmp"):
        save(ax, tmp_path / "tree.bmp")


def test_refusals(monkeypatch):
    with pytest.raises(InputError, match="3 ids were given for 20 items"):
        dendrogram(tree(20), ids=["a", "b", "c"])
    with pytest.raises(InputError, match="'up' is not known"):
        dendrogram(tree(20), orientation="up")
    with pytest.raises(InputError, match="cut=nan"):
        dendrogram(tree(20), cut=float("nan"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"shoal\[plot\]"):
        dendrogram(tree(20))


def test_importing_loads_no_matplotlib():
    code = ("import sys, shoal.plot.dendrogram, shoal.plot.scatter, shoal.plot.figures, shoal.plot.layout; "
            "sys.exit('matplotlib' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
