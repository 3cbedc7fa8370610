import itertools

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import linkage

mpl.use("Agg")
from matplotlib import pyplot
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

from shoal.errors import InputError
from shoal.plot.figures import figure_bytes
from shoal.plot.layout import horizontal_nodes, layout
from shoal.plot.palette import color
from shoal.plot.tanglegram import tanglegram
from shoal.plot.untangle import untangle
from shoal.trees.merges import canonical, from_scipy, leaf_order


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def tree(n, seed, method="average"):
    X = np.random.default_rng(seed).normal(size=(n, 2))
    return from_scipy(linkage(X, method) if n > 1 else np.empty((0, 4)))


def crossings(first, second, match):
    """The obvious count: pairs of lines whose ends are in opposite orders."""
    place = {item: p for p, item in enumerate(second)}
    ends = [place[match[item]] for item in first]
    return sum(a > b for a, b in itertools.combinations(ends, 2))


def all_orders(merges):
    """Every order a tree may be drawn in, by the obvious recursion."""
    def visit(node):
        if node < merges.n:
            return [[node]]
        a, b = visit(int(merges.left[node - merges.n])), visit(int(merges.right[node - merges.n]))
        return [x + y for p in a for q in b for x, y in ((p, q), (q, p))]

    return visit(2 * merges.n - 2)


@given(st.integers(1, 40), st.integers(0, 10_000))
def test_crossings_are_those_counted_pair_by_pair(n, seed):
    match = np.random.default_rng(seed).permutation(n)
    first, second = tree(n, seed), tree(n, seed + 1, "single")
    for turn in (False, True):
        found = untangle(first, second, match, turn=turn)
        assert found.crossings == crossings(found.first.tolist(), found.second.tolist(), match.tolist())
        layout(first, order=found.first)  # refuses an order that is none of this tree
        layout(second, order=found.second)
    straight = untangle(first, second, match, turn=False)
    assert np.array_equal(straight.first, leaf_order(first))
    assert found.crossings <= straight.crossings


@given(st.integers(2, 6), st.integers(0, 1000))
def test_neither_tree_alone_can_be_turned_better(n, seed):
    match = np.random.default_rng(seed).permutation(n).tolist()
    first, second = tree(n, seed), tree(n, seed + 1)
    found = untangle(first, second, match)
    assert found.crossings == min(crossings(order, found.second.tolist(), match) for order in all_orders(first))
    assert found.crossings == min(crossings(found.first.tolist(), order, match) for order in all_orders(second))


def test_equal_trees_turned_apart_are_untangled():
    merges = tree(200, 1)
    turned = leaf_order(merges)[::-1]
    straight = untangle(merges, merges, orders=(None, turned), turn=False)
    assert straight.crossings == 200 * 199 // 2
    assert straight.entanglement == 1.0
    found = untangle(merges, merges, orders=(None, turned))
    assert (found.crossings, found.entanglement) == (0, 0.0)


def test_entanglement_is_its_definition():
    first, second = tree(30, 2), tree(30, 3)
    found = untangle(first, second, turn=False)
    p, q = np.argsort(found.first), np.argsort(found.second)
    worst = sum(abs(2 * i - 29) ** 1.5 for i in range(30))
    assert found.entanglement == pytest.approx(sum(abs(int(a) - int(b)) ** 1.5 for a, b in zip(p, q, strict=True)) / worst)


@pytest.mark.large
def test_chains_of_100_000_leaves():
    n = 100_000
    chain = canonical(np.zeros(n - 1, int), np.arange(1, n), np.arange(1.0, n))
    match = np.random.default_rng(0).permutation(n)
    found = untangle(chain, chain, match)
    assert np.array_equal(np.sort(found.first), np.arange(n))
    assert untangle(chain, chain, np.arange(n)[::-1]).crossings < n * n // 4


def lines(ax):
    return [a for a in ax.collections if isinstance(a, LineCollection)]


def test_a_line_from_every_item_to_itself_in_its_clusters_colour():
    first, second = tree(25, 4), tree(25, 5, "single")
    match = np.random.default_rng(0).permutation(25)
    labels = np.arange(25) % 3
    nodes = horizontal_nodes(first, 1.0)
    ids = [f"item {i}" for i in range(25)]
    ax = tanglegram(first, second, match=match, ids=ids, labels=labels, nodes=(nodes, None), titles=("left", "right"))
    assert len(lines(ax)) == 3
    found = untangle(first, second, match)
    ends = [segment[:, 1].tolist() for segment in lines(ax)[0].get_segments()]
    place = np.argsort(found.second)
    assert ends == [[p, place[match[item]]] for p, item in enumerate(found.first.tolist())]
    assert [to_hex(ink) for ink in lines(ax)[0].get_colors()] == [color(c) for c in labels[found.first].tolist()]
    texts = [text.get_text() for text in ax.texts]
    assert {"left", "right", f"{first.height[-1]:.3g}", f"{second.height[-1]:.3g}"} <= set(texts)
    assert f"{found.crossings} of 300 pairs of lines cross" in ax.get_xlabel()
    names = [t for t in texts if t in ids]
    assert names[:25] == [ids[i] for i in found.first]
    assert names[25:] == [ids[i] for i in np.argsort(match)[found.second]]


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_texts_are_inside_the_figure(style):
    with pyplot.style.context(style):
        ax = tanglegram(tree(30, 1), tree(30, 2), ids=[f"item number {i}" for i in range(30)], titles=("a", "b"))
        ax.figure.canvas.draw()
        boxes, page = [text.get_window_extent() for text in ax.texts], ax.figure.bbox
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= page.x1 and b.y1 <= page.y1 for b in boxes)
    assert not any(a.padded(-1).overlaps(b.padded(-1)) for i, a in enumerate(boxes) for b in boxes[:i])


def test_many_names_are_left_out_and_it_is_said():
    ax = tanglegram(tree(2000, 1), tree(2000, 2))
    assert "2,000 names are left out." in ax.get_xlabel()
    assert len(ax.get_children()) < 30


def test_one_item_and_bytes():
    assert figure_bytes(tanglegram(tree(1, 0), tree(1, 0), ids=["alone"]))
    first, second = (figure_bytes(tanglegram(tree(9, 0), tree(9, 1))) for _ in range(2))
    assert first == second


def test_refusals():
    with pytest.raises(InputError, match="Trees of 5 and 6 items"):
        tanglegram(tree(5, 0), tree(6, 0))
    with pytest.raises(InputError, match="cannot face"):
        tanglegram(tree(5, 0), tree(5, 0), match=[0, 0, 1, 2, 3])
    with pytest.raises(InputError, match="3 ids were given for 5 items"):
        tanglegram(tree(5, 0), tree(5, 0), ids="abc")
    with pytest.raises(InputError, match="tears node"):
        untangle(tree(5, 0), tree(5, 0), orders=(leaf_order(tree(5, 0))[[2, 0, 4, 1, 3]], None))
