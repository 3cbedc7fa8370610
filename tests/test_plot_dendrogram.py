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
from shoal.plot.palette import ABOVE, color, inks_of
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


def test_texts_at_merges_by_callable_mapping_and_sequence():
    merges = from_scipy([[0, 1, 1.0, 2], [2, 3, 5.0, 3]])
    for given in (lambda node: {3: "pair"}.get(node), {3: "pair"}, ["pair", None]):
        ax = dendrogram(merges, merge_labels=given, annotate_above=4.0)
        shown = texts(ax)
        assert shown.count("pair") == 1
        assert "5" in shown
        place = next(t for t in ax.texts if t.get_text() == "pair")
        assert place.xy == pytest.approx((0.5, 1.0))
    with pytest.raises(InputError, match="3 merge_labels were given for 2 merges"):
        dendrogram(merges, merge_labels=["a", "b", "c"])


def test_colours_by_callable_and_sequence():
    merges = tree(8)
    chosen = ["#010203" if node in (2, 9) else None for node in range(15)]
    for given in (chosen, chosen.__getitem__):
        ax = dendrogram(merges, color=given, nodes=horizontal_nodes(merges, 0.5))
        plain = dendrogram(merges, nodes=horizontal_nodes(merges, 0.5))
        drawn = layout(merges, nodes=horizontal_nodes(merges, 0.5))
        inks, usual = ([to_hex(ink) for ink in links(a)[0].get_colors()] for a in (ax, plain))
        for node, ink, before in zip(drawn.link_node.tolist(), inks, usual, strict=False):
            assert ink == ("#010203" if node == 9 else before)
        names = {t.get_text(): t.get_color() for t in ax.get_xticklabels()}
        assert [i for i, ink in names.items() if ink == "#010203"] == ["2"]


def test_a_contracted_leaf_outside_the_clusters_is_not_coloured():
    merges = tree(30)
    ax = dendrogram(merges, last=5, nodes=horizontal_nodes(merges, 0.2))
    wedges = next(artist for artist in ax.collections if isinstance(artist, PolyCollection))
    assert {to_hex(ink) for ink in wedges.get_facecolors()} == {ABOVE}


def test_the_axis_may_begin_above_zero():
    merges = tree(20)
    base = float(merges.height[4])
    ax = dendrogram(merges, base=base)
    assert ax.get_ylim()[0] == base
    ends = np.concatenate(links(ax)[0].get_segments())
    assert ends[:, 1].min() == base
    assert "4 merges below the beginning of the axis drawn there." in ax.get_xlabel()
    with pytest.raises(InputError, match="base=nan"):
        dendrogram(merges, base=float("nan"))


@pytest.mark.parametrize("orientation", ["top", "left", "center"])
def test_logarithmic_heights(orientation):
    merges = from_scipy([[0, 1, 0.0, 2], [2, 3, 0.1, 2], [4, 5, 100.0, 4]])
    ax = dendrogram(merges, log=True, cut=1.0, orientation=orientation, annotate_above=0.0, hang=True)
    note = next(text for text in texts(ax) if "below the beginning" in text)
    assert "1 merge below the beginning" in note
    if orientation != "center":
        upright = orientation == "top"
        assert (ax.get_yscale() if upright else ax.get_xscale()) == "log"
        ends = links(ax)[0].get_segments()[-3][:, 1 if upright else 0]
        assert ends.max() == pytest.approx(100.0)
        ticks = [t.get_text() for t in (ax.get_yticklabels() if upright else ax.get_xticklabels())]
        assert {"0.1", "1", "10", "100"} <= set(ticks)
    assert figure_bytes(ax)
    with pytest.raises(InputError, match="above 0 for log=True"):
        dendrogram(merges, log=True, base=0.0)
    assert figure_bytes(dendrogram(from_scipy([[0, 1, 0.0, 2]]), log=True))


def radii(points):
    return np.hypot(*np.asarray(points).T)


def test_a_tree_around_its_root():
    merges = tree(40)
    ids = [f"item {i}" for i in range(40)]
    ax = dendrogram(merges, ids=ids, orientation="center", cut=0.8)
    drawn = layout(merges, nodes=horizontal_nodes(merges, 0.8))
    paths = links(ax)[-1].get_segments() if len(links(ax)[-1].get_segments()) > 38 else links(ax)[0].get_segments()
    top = 1.04 * float(merges.height[-1])
    for t in range(39):
        assert radii(paths[t])[1:-1] == pytest.approx((top - drawn.link_y[t]) / top)
        assert np.abs(np.diff(np.unwrap(np.arctan2(*paths[t][1:-1].T)))).max(initial=0.0) <= np.radians(3.01)
    leaves = [text for text in ax.texts if text.get_text().startswith("item")]
    assert [text.get_text() for text in leaves] == [ids[i] for i in leaf_order(merges)]
    assert radii([text.xy for text in leaves]) == pytest.approx(1.0)
    turns = np.unwrap([np.arctan2(*text.xy) for text in leaves])
    assert (np.diff(turns) > 0).all()  # clockwise from the top
    assert all(-90 <= (text.get_rotation() + 90) % 360 - 90 <= 90 for text in leaves)
    count = len(horizontal_nodes(merges, 0.8))
    assert any(f"{count} clusters, cut at 0.8 (dashed)." in text for text in texts(ax))


@pytest.mark.parametrize("style", ["default", "dark_background"])
@pytest.mark.parametrize("hang", [False, True])
def test_names_around_the_root_are_inside_the_figure(style, hang):
    with pyplot.style.context(style):
        ax = dendrogram(tree(30), ids=[f"song number {i}" for i in range(30)], orientation="center", hang=hang, cut=0.8,
                        annotate_above=0.4)
        ax.figure.canvas.draw()
        boxes, page = [text.get_window_extent() for text in ax.texts], ax.figure.bbox
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= page.x1 and b.y1 <= page.y1 for b in boxes)


def test_too_many_leaves_around_the_root_have_their_clusters_numbered():
    merges = tree(3000)
    ax = dendrogram(merges, orientation="center", cut=0.3)
    assert any("Labels of 3,000 leaves left out" in text.replace("\n", " ") for text in texts(ax))
    assert len(ax.get_children()) < 300
    assert figure_bytes(dendrogram(from_scipy(np.empty((0, 4))), orientation="center"))


def test_texts_and_lines_are_light_on_dark():
    with pyplot.style.context("dark_background"):
        ax = dendrogram(tree(20), cut=0.5, annotate_above=0.5)
        inks = inks_of(ax)
    assert inks.dark
    shown = {to_hex(t.get_color()) for t in (*ax.get_xticklabels(), *ax.get_yticklabels(), ax.xaxis.label, ax.yaxis.label)}
    assert shown == {inks.text, inks.quiet}
    assert inks.above in {to_hex(ink) for ink in links(ax)[0].get_colors()}


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
