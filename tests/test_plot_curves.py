import matplotlib as mpl
import numpy as np
import pytest
from scipy.cluster.hierarchy import linkage

mpl.use("Agg")
from matplotlib import pyplot
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex

from shoal.errors import InputError
from shoal.plot.curves import barcode_plot, height_curve, silhouette_plot, table_plot
from shoal.plot.figures import figure_bytes
from shoal.plot.palette import color
from shoal.trees.merges import canonical, from_scipy


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def tree(n=40, seed=0):
    return from_scipy(linkage(np.random.default_rng(seed).normal(size=(n, 2)), "average"))


def inside(ax):
    ax.figure.canvas.draw()
    page = ax.figure.bbox
    boxes = [t.get_window_extent() for t in (*ax.texts, ax.xaxis.label, ax.yaxis.label)]
    boxes += [axis.get_tightbbox() for axis in (ax.xaxis, ax.yaxis) if axis.get_tightbbox()]
    return all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= page.x1 and b.y1 <= page.y1 for b in boxes)


def test_heights_and_their_second_difference():
    merges = tree()
    ax = height_curve(merges, most=10, suggested=[3, 5])
    k, height = ax.lines[0].get_data()
    assert k.tolist() == list(range(2, 11))
    assert height.tolist() == merges.height[::-1][:9].tolist()
    h = dict(zip(range(2, 41), merges.height[::-1].tolist(), strict=True))
    wanted = [max(h[i] - 2 * h[i + 1] + h[i + 2], 0.0) for i in range(2, 11)]
    assert [bar.get_height() for bar in ax.patches] == pytest.approx(wanted)
    assert [bar.get_x() + bar.get_width() / 2 for bar in ax.patches] == pytest.approx(range(2, 11))
    assert [text.get_text() for text in ax.texts] == ["k = 3", "k = 5"]
    assert inside(ax)


def test_a_curve_of_two_items_and_of_infinite_heights():
    assert height_curve(tree(2)).lines[0].get_xdata().tolist() == [2]
    forest = canonical(np.array([0, 2, 0]), np.array([1, 3, 2]), np.array([1.0, 3.0, np.inf]))
    ax = height_curve(forest)
    assert ax.lines[0].get_data()[0].tolist() == [3, 4]
    assert "1 infinite height is not drawn." in ax.get_xlabel()
    assert figure_bytes(ax)


def test_silhouettes_are_sorted_within_clusters():
    values = np.array([0.1, 0.9, -0.2, 0.5, np.nan, 0.4])
    labels = np.array([1, 0, 1, 0, 0, -1])
    ax = silhouette_plot(values, labels)
    bars = next(a for a in ax.collections if isinstance(a, PolyCollection))
    assert [to_hex(ink) for ink in bars.get_facecolors()] == [color(0), color(1)]
    assert [np.unique(path.vertices[:, 0]).tolist() for path in bars.get_paths()] == [[0.0, 0.5, 0.9], [-0.2, 0.0, 0.1]]
    first = bars.get_paths()[0].vertices[:6].tolist()
    assert first == [[0.0, 0.0], [0.9, 0.0], [0.9, 1.0], [0.5, 1.0], [0.5, 2.0], [0.0, 2.0]]
    assert ax.texts[0].get_text() == "mean 0.33"
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0  (2, 0.70)", "1  (2, -0.05)"]
    assert "2 items without a silhouette are left out." in ax.get_xlabel()
    weighed = silhouette_plot(values, labels, weights=[1, 3, 1, 1, 1, 1])
    assert weighed.get_yticklabels()[0].get_text() == "0  (2, 0.80)"
    assert inside(ax)


def test_many_silhouettes_are_few_corners_and_one_artist():
    rng = np.random.default_rng(0)
    values, labels = rng.random(50_000), rng.integers(0, 300, 50_000)
    ax = silhouette_plot(values, labels)
    bars = [a for a in ax.collections if isinstance(a, PolyCollection)]
    assert len(bars) == 1
    assert sum(len(path.vertices) for path in bars[0].get_paths()) < 20_000
    assert "300 of 300 clusters are not named." in ax.get_xlabel()
    ends = [path.vertices[:, 0].max() for path in bars[0].get_paths()]
    assert ends == [values[labels == c].max() for c in range(300)]


def test_bars_from_birth_to_death_longest_first():
    ax = barcode_plot([0.0, 1.0, 0.5], [1.0, np.inf, 3.0], clusters=[-1, 4, 0])
    bars = next(a for a in ax.collections if isinstance(a, LineCollection))
    ends = [segment[:, 0].tolist() for segment in bars.get_segments()]
    assert ends == [[1.0, ax.get_xlim()[1]], [0.5, 3.0], [0.0, 1.0]]
    assert [to_hex(ink) for ink in bars.get_colors()] == [color(4), color(0), color(-1)]
    assert [text.get_text() for text in ax.texts] == ["4", "0"]
    many = barcode_plot(np.zeros(100), np.arange(100.0), most=5)
    assert "5 of 100 bars are drawn, the longest." in many.get_xlabel()
    assert inside(ax)
    assert figure_bytes(barcode_plot([0.0], [np.inf]))


def test_a_table_marks_its_best_row():
    ax = table_plot(["k", "why"], [[2, "gap"], [30, 0.123456]], best=1, text="Thirty. " * 12)
    bold = [text.get_text() for text in ax.texts if text.get_weight() == "bold"]
    assert bold == ["30", "0.1235"]
    assert ax.texts[-1].get_text().replace("\n", " ") == ("Thirty. " * 12).strip()
    assert ax.patches[0].get_y() == pytest.approx(2 * ax.texts[0].get_position()[1] * 2)
    assert figure_bytes(ax)


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_both_backgrounds(style):
    with pyplot.style.context(style):
        for ax in (height_curve(tree(), suggested=[2]), silhouette_plot([0.1, 0.4, 0.2], [0, 0, 1]),
                   barcode_plot([0, 0], [1, 2]), table_plot(["a"], [["b"]])):
            dark = style != "default"
            inks = {to_hex(text.get_color()) for text in (*ax.texts, *ax.get_xticklabels(), ax.xaxis.label)}
            assert inks <= ({"#e6e6e6", "#a8a8a8", "#ffffff"} if dark else {"#222222", "#666666", "#000000"})


def test_refusals():
    with pytest.raises(InputError, match="no curve"):
        height_curve(from_scipy(np.empty((0, 4))))
    with pytest.raises(InputError, match="2 labels were given for 3 values"):
        silhouette_plot([0.1, 0.2, 0.3], [0, 1])
    with pytest.raises(InputError, match="no silhouette"):
        silhouette_plot([np.nan], [0])
    with pytest.raises(InputError, match="2 births, 1 deaths"):
        barcode_plot([0, 1], [2])
    with pytest.raises(InputError, match="no row 3"):
        table_plot(["a"], [["b"]], best=3)
