import matplotlib as mpl
import numpy as np
import pytest
from scipy.cluster.hierarchy import linkage

mpl.use("Agg")
from matplotlib import pyplot
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from shoal.errors import InputError
from shoal.plot.clustermap import Side, clustermap
from shoal.plot.figures import figure_bytes
from shoal.plot.layout import horizontal_nodes
from shoal.plot.palette import color
from shoal.trees.merges import from_scipy, leaf_order


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def table(m=30, d=8, seed=0):
    return np.random.default_rng(seed).normal(size=(m, d)) + np.arange(m)[:, None] % 3 * 4


def tree(X):
    return from_scipy(linkage(X, "average"))


def cells(drawn):
    return np.asarray(drawn.ax.images[0].get_array().filled(np.nan))


def test_rows_and_columns_are_in_the_order_of_their_trees():
    X = table()
    rows, columns = tree(X), tree(X.T)
    drawn = clustermap(X, rows, columns)
    assert np.array_equal(cells(drawn), X[np.ix_(leaf_order(rows), leaf_order(columns))])
    assert [t.get_text() for t in drawn.ax.get_yticklabels()] == [str(i) for i in leaf_order(rows)]
    assert [t.get_text() for t in drawn.ax.get_xticklabels()] == [str(i) for i in leaf_order(columns)]
    assert drawn.row_tree.get_ylim() == drawn.ax.get_ylim()
    assert drawn.column_tree.get_xlim() == drawn.ax.get_xlim()
    for ax, merges in ((drawn.row_tree, rows), (drawn.column_tree, columns)):
        assert [len(a.get_paths()) for a in ax.collections if isinstance(a, LineCollection)] == [merges.n - 1]
    assert drawn.note == ""


@pytest.mark.parametrize("scale", ["zscore", "minmax"])
@pytest.mark.parametrize("by", ["columns", "rows"])
def test_scales_are_those_of_numpy(scale, by):
    X = table()
    X[3, 2] = np.nan
    X[:, 5] = 1.0
    axis = 0 if by == "columns" else 1
    if scale == "zscore":
        with np.errstate(invalid="ignore"):
            wanted = (X - np.nanmean(X, axis, keepdims=True)) / np.nanstd(X, axis, keepdims=True)
    else:
        low, high = np.nanmin(X, axis, keepdims=True), np.nanmax(X, axis, keepdims=True)
        with np.errstate(invalid="ignore"):
            wanted = (X - low) / (high - low)
    if by == "columns":
        wanted[:, 5] = 0.0  # no spread: nothing to divide by
    drawn = clustermap(X, scale=scale, scale_by=by)
    assert cells(drawn) == pytest.approx(wanted, nan_ok=True)
    assert drawn.note == "Grey: no value."


def test_a_large_matrix_is_drawn_by_the_means_of_blocks():
    X = table(700, 90).astype(np.float32)
    X[0, 0] = np.nan
    order = np.random.default_rng(1).permutation(700)
    drawn = clustermap(X, Side(order=order), figure=Figure(figsize=(3.4, 2)))
    shown, V = cells(drawn), X[order].astype(np.float64)
    down, across = (int(part) for part in drawn.note.split("mean of ")[1].split(".")[0].split(" × "))
    assert drawn.note.startswith("700 × 90 values")
    assert down > 1
    blocks = [[np.nanmean(V[i : i + down, j : j + across]) for j in range(0, 90, across)] for i in range(0, 700, down)]
    assert shown == pytest.approx(np.array(blocks), rel=1e-12)
    assert drawn.ax.get_ylim() == (699.5, -0.5)  # the last block may be smaller
    assert drawn.ax.images[0].get_extent()[2] == len(blocks) * down - 0.5


def test_a_symmetric_matrix_has_one_tree_on_two_sides():
    X = table()
    D = np.linalg.norm(X[:, None] - X, axis=-1)
    merges = tree(X)
    nodes = horizontal_nodes(merges, 5.0)
    labels = np.arange(30) % 3
    side = Side(merges, labels=labels, nodes=nodes, bars={"third": list("abc") * 10})
    drawn = clustermap(D, side, side)
    order = leaf_order(merges)
    assert np.array_equal(cells(drawn), D[np.ix_(order, order)])
    assert np.array_equal(drawn.row_order, drawn.column_order)
    legend = next(ax for ax in drawn.figure.axes if ax.get_label() == "legend")
    assert [t.get_text() for t in legend.texts] == ["third", "a", "b", "c"]  # once
    square = drawn.ax.get_window_extent()
    assert square.width == pytest.approx(square.height)


def strip(drawn, name):
    return np.asarray(next(ax for ax in drawn.figure.axes if ax.get_label() == name).images[0].get_array())


def test_strips_show_clusters_categories_and_numbers():
    X = table(12, 3)
    labels = np.repeat([0, 2, -1], 4)
    bars = {"kind": ["x", None] * 6, "size": np.append(np.arange(11.0), np.nan)}
    drawn = clustermap(X, Side(labels=labels, bars=bars))
    assert drawn.row_order.tolist() == list(range(12))
    clusters = [to_hex(ink) for ink in strip(drawn, "row strip 2")[:, 0]]
    assert clusters == [color(c) for c in labels.tolist()]
    kinds = [to_hex(ink) for ink in strip(drawn, "row strip 0")[:, 0]]
    assert kinds[:2] == [color(3), color(-1)]  # a category has no cluster's colour
    sizes = strip(drawn, "row strip 1")[:, 0]
    assert [to_hex(sizes[i]) for i in (0, 10, 11)] == [*(to_hex(mpl.colormaps["cividis"](s)) for s in (0.0, 1.0)), color(-1)]
    borders = next(a for a in drawn.ax.collections if isinstance(a, LineCollection))
    assert [segment[0][1] for segment in borders.get_segments()] == [3.5, 7.5]


def test_labels_alone_bring_clusters_together():
    drawn = clustermap(table(6, 2), Side(labels=[1, -1, 0, 1, -1, 0]))
    assert drawn.row_order.tolist() == [2, 5, 0, 3, 1, 4]


def test_colours_part_at_zero_where_values_do():
    name = lambda drawn: drawn.ax.images[0].get_cmap().name  # noqa: E731 - three times the same question
    sided = clustermap(np.array([[-1.0, 2.0], [0.5, 1.0]]))
    assert name(sided) == "RdBu_r"
    assert sided.ax.images[0].get_clim() == (-2.0, 2.0)
    assert name(clustermap(np.array([[-0.01, 2.0], [0.5, 1.0]]))) == "viridis"
    assert name(clustermap(np.array([[1.0, 2.0], [0.5, 1.0]]), scale="zscore")) == "RdBu_r"
    chosen = clustermap(np.array([[1.0, 2.0]]), cmap="magma", limits=(0, 5))
    assert (name(chosen), chosen.ax.images[0].get_clim()) == ("magma", (0.0, 5.0))


def test_few_values_far_out_do_not_take_all_colours_and_it_is_said():
    X = np.random.default_rng(0).random((40, 40))
    X[0, 0] = 1e6
    drawn = clustermap(X)
    assert drawn.ax.images[0].get_clim()[1] < 1.01
    assert "2.0% of the cells lie beyond the ends of the colours." in drawn.note


def boxes(drawn):
    drawn.figure.canvas.draw()
    texts = [t for ax in drawn.figure.axes for t in (*ax.texts, ax.title)]
    texts += [t for ax in drawn.figure.axes if ax.axison for t in (*ax.get_xticklabels(), *ax.get_yticklabels())]
    shown = [t for t in [*texts, *drawn.figure.texts] if t.get_text() and t.get_visible()]
    return [t.get_window_extent() for t in shown]


@pytest.mark.parametrize("size", [None, (7, 5)])
@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_texts_are_inside_the_figure_and_do_not_overlap(size, style):
    X = table(40, 12)
    rows = Side(tree(X), ids=[f"sample {i}" for i in range(40)], labels=np.arange(40) % 4,
                bars={"age": np.arange(40), "sex": list("fm") * 20})
    with pyplot.style.context(style):
        figure = None if size is None else pyplot.figure(figsize=size)
        drawn = clustermap(X, rows, Side(tree(X.T), ids=[f"feature {i}" for i in range(12)]), figure=figure)
        found = boxes(drawn)
        page = drawn.figure.bbox
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= page.x1 and b.y1 <= page.y1 for b in found)
    # boxes are as high as the tallest letters would be: a pixel shared is no overlap
    assert not any(a.padded(-1).overlaps(b.padded(-1)) for i, a in enumerate(found) for b in found[:i])


def test_names_are_thinned_and_it_is_said():
    drawn = clustermap(table(900, 4))
    shown = [int(t.get_text()) for t in drawn.ax.get_yticklabels()]
    assert len(shown) < 120
    assert len(set(np.diff(shown).tolist())) == 1
    assert f"{len(shown)} of 900 rows are named." in drawn.note


def test_legends_that_find_no_room_are_said():
    bars = {f"bar {b}": [f"{b}{i}" for i in range(8)] for b in range(3)}
    drawn = clustermap(table(8, 3), Side(bars=bars), figure=Figure(figsize=(5, 4.2)))
    assert "No room for the legend of bar 1, bar 2." in drawn.note


def test_many_categories_are_cut_short():
    drawn = clustermap(table(20, 3), Side(bars={"town": [f"t{i}" for i in range(20)]}))
    legend = next(ax for ax in drawn.figure.axes if ax.get_label() == "legend")
    assert legend.texts[-1].get_text() == "… and 12 more"


def test_inputs_are_not_written_to_and_bytes_are_the_same():
    X = table()
    X.setflags(write=False)
    labels = np.arange(30) % 3
    labels.setflags(write=False)
    first, second = (figure_bytes(clustermap(X, Side(tree(X), labels=labels), scale="zscore")) for _ in range(2))
    assert first == second


def test_one_cell_and_no_value():
    assert cells(clustermap([[3.0]])).tolist() == [[3.0]]
    empty = clustermap([[np.nan, np.nan]])
    assert empty.note == "Grey: no value."
    assert figure_bytes(empty)


def test_refusals():
    X = table()
    with pytest.raises(InputError, match="tree of the rows has 8 items, and there are 30 rows"):
        clustermap(X, tree(X.T))
    with pytest.raises(InputError, match="labels of the columns: 3 were given for 8"):
        clustermap(X, None, Side(labels=[0, 1, 2]))
    with pytest.raises(InputError, match="bar 'age' of the rows: 2"):
        clustermap(X, Side(bars={"age": [1, 2]}))
    with pytest.raises(InputError, match="order of the rows"):
        clustermap(X, Side(order=[0] * 30))
    with pytest.raises(InputError, match="scale='log'"):
        clustermap(X, scale="log")
    with pytest.raises(InputError, match="shape"):
        clustermap(X[0])
    with pytest.raises(InputError, match="no room for the matrix"):
        clustermap(X, tree(X), tree(X.T), figure=Figure(figsize=(2, 2)))


@pytest.mark.large
def test_five_thousand_rows_and_columns():
    n = 5000
    X = np.random.default_rng(0).random((n, n), np.float32)
    drawn = clustermap(X, Side(labels=np.arange(n) % 5), figure=Figure(figsize=(6, 6)))
    assert max(cells(drawn).shape) < 2000
    assert "5,000 × 5,000 values" in drawn.note
