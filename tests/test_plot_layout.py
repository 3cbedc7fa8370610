import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import dendrogram as scipy_dendrogram
from scipy.cluster.hierarchy import linkage

from shoal.errors import InputError
from shoal.plot.layout import horizontal_nodes, layout
from shoal.trees.merges import canonical, from_scipy, leaf_order

GOLDEN = json.loads((Path(__file__).parent / "golden" / "layout.json").read_text(encoding="utf-8"))["trees"]


def random_tree(n, seed, method="average"):
    points = np.random.default_rng(seed).normal(size=(n, 2))
    return from_scipy(linkage(points, method) if n > 1 else np.empty((0, 4)))


def naive(merges, last):
    """The obvious recursion: returns {node: (x, y)} of what is drawn, leaves from left to right."""
    n = merges.n
    drawn = set(range(2 * n - last, 2 * n - 1)) if last > 1 else set()
    place, leaves = {}, []

    def visit(node):
        if node not in drawn:
            place[node] = (float(len(leaves)), 0.0 if node < n else float(merges.height[node - n]))
            leaves.append(node)
        else:
            a, b = int(merges.left[node - n]), int(merges.right[node - n])
            place[node] = ((visit(a) + visit(b)) / 2, float(merges.height[node - n]))
        return place[node][0]

    visit(2 * n - 2)
    return place, leaves


@given(st.integers(1, 30), st.integers(0, 10_000), st.sampled_from(["single", "average", "ward"]), st.data())
def test_same_as_naive_recursion(n, seed, method, data):
    merges = random_tree(n, seed, method)
    last = data.draw(st.integers(1, n))
    drawn = layout(merges, last=last)
    place, leaves = naive(merges, last)
    assert drawn.leaf_node.tolist() == leaves
    assert drawn.leaf_x.tolist() == list(range(last))
    assert drawn.leaf_count.sum() == n
    for t, node in enumerate(drawn.link_node.tolist()):
        a, b = place[int(merges.left[node - n])], place[int(merges.right[node - n])]
        assert (drawn.left_x[t], drawn.left_y[t]) == a
        assert (drawn.right_x[t], drawn.right_y[t]) == b
        assert drawn.link_y[t] == place[node][1]


@pytest.mark.parametrize("method", ["single", "average", "ward", "centroid"])
def test_same_as_scipy(method):
    Z = linkage(np.random.default_rng(3).normal(size=(60, 3)), method)
    merges = from_scipy(Z)
    reference = scipy_dendrogram(Z, no_plot=True)
    drawn = layout(merges, order=reference["leaves"])
    x = np.column_stack([drawn.left_x, drawn.left_x, drawn.right_x, drawn.right_x]) * 10 + 5
    y = np.column_stack([drawn.left_y, drawn.link_y, drawn.link_y, drawn.right_y])
    ours = {tuple(row) for row in np.hstack([x, y]).tolist()}
    assert ours == {(*i, *d) for i, d in zip(reference["icoord"], reference["dcoord"], strict=True)}


def paths(drawn):
    x = np.column_stack([drawn.left_x, drawn.left_x, drawn.right_x, drawn.right_x]) * 10 + 5
    y = np.column_stack([drawn.left_y, drawn.link_y, drawn.link_y, drawn.right_y])
    return [tuple(row) for row in np.hstack([x, y]).tolist()]


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda tree: tree["method"])
def test_golden_layouts(golden):
    merges = from_scipy(golden["Z"])
    nodes = horizontal_nodes(merges, np.nextafter(golden["color_threshold"], 0), golden["leaves"])
    drawn = layout(merges, order=golden["leaves"], nodes=nodes)
    wanted = [(*i, *d) for i, d in zip(golden["icoord"], golden["dcoord"], strict=True)]
    assert sorted(paths(drawn)) == sorted(wanted)
    if golden["method"] != "centroid":  # scipy colours a link by its own height, whatever is below it
        above = dict(zip(wanted, golden["above"], strict=True))
        assert [c < 0 for c in drawn.link_cluster] == [above[path] for path in paths(drawn)]
    if "last" in golden:
        last = layout(merges, order=golden["leaves"], last=golden["last"]["p"])
        found = zip(golden["last"]["icoord"], golden["last"]["dcoord"], strict=True)
        # scipy lets the leg of a contracted node end at 0, not at the node
        top = {node: merges.height[node - 24] for node in last.leaf_node.tolist() if node >= 24}
        low = {x * 10 + 5: top.get(node, 0.0) for x, node in enumerate(last.leaf_node.tolist())}
        ends = [(*i, low.get(i[0], d[0]) if d[0] == 0 else d[0], *d[1:3], low.get(i[3], d[3]) if d[3] == 0 else d[3])
                for i, d in found]
        assert sorted(paths(last)) == sorted(ends)
        names = [f"({count})" if count > 1 else str(node)
                 for node, count in zip(last.leaf_node, last.leaf_count, strict=True)]
        assert names == golden["last"]["ivl"]


def test_links_name_their_two_sides_as_drawn():
    merges = random_tree(25, 9)
    for order in (None, leaf_order(merges)[::-1]):
        drawn = layout(merges, order=order)
        own = np.sort(np.column_stack([drawn.left_node, drawn.right_node]), axis=1)
        assert np.array_equal(own, np.sort(np.column_stack([merges.left, merges.right]), axis=1))
        x = dict(zip(drawn.leaf_node.tolist(), drawn.leaf_x.tolist(), strict=True))
        assert all(x.get(node, at) == at for node, at in zip(drawn.left_node.tolist(), drawn.left_x, strict=True))


def test_base_lifts_the_items():
    merges = random_tree(10, 4)
    drawn = layout(merges, base=-3.0, hang=False)
    assert (drawn.leaf_y == -3.0).all()
    assert drawn.base == -3.0
    assert layout(merges).base == 0.0
    assert layout(canonical(np.array([0]), np.array([1]), np.array([-2.0]))).base == -2.0


@pytest.mark.large
def test_a_million_leaves():
    n = 1_000_000
    merges = canonical(np.arange(n - 1), np.arange(1, n), np.arange(1.0, n))
    drawn = layout(merges, nodes=horizontal_nodes(merges, n / 2), last=1000)
    assert drawn.leaf_count.sum() == n
    assert layout(merges, level=30).leaf_count.max() == n - 30


def test_level_shows_that_many_steps():
    merges = random_tree(50, 1)
    assert layout(merges, level=0).leaf_count.tolist() == [50]
    assert len(layout(merges, level=1).leaf_node) == 2
    for level in range(6):
        drawn = layout(merges, level=level)
        assert drawn.leaf_count.sum() == 50
        assert len(drawn.leaf_node) <= 2**level
    assert layout(merges, level=50).leaf_count.tolist() == [1] * 50


def test_last_takes_the_highest_merges_in_whatever_order_they_come():
    # Two pairs: the first, merged first, is the higher one.
    merges = canonical(np.array([0, 2, 0]), np.array([1, 3, 2]), np.array([5.0, 1.0, 9.0]))
    drawn = layout(merges, last=3)
    assert drawn.leaf_node.tolist() == [0, 1, 5]
    assert drawn.leaf_count.tolist() == [1, 1, 2]


def test_inversions_keep_a_drawn_link_below_a_drawn_link():
    merges = random_tree(40, 5, "centroid")
    assert (np.diff(merges.height) < 0).any()
    for last in range(1, 41):
        drawn = layout(merges, last=last)
        assert drawn.leaf_count.sum() == 40
        assert len(drawn.link_node) == last - 1
        assert np.isfinite([drawn.left_x, drawn.right_x]).all()


def test_clusters_of_a_cut_that_is_not_horizontal():
    merges = random_tree(20, 7)
    root = len(merges.left) - 1
    first, second = int(merges.left[root]), int(merges.right[root])
    parts = [first, int(merges.left[second - 20]), int(merges.right[second - 20])]
    drawn = layout(merges, nodes=parts)
    assert np.unique(drawn.leaf_cluster).tolist() == [0, 1, 2]
    assert (np.diff(drawn.leaf_cluster) >= 0).all()
    assert drawn.link_cluster[-1] == -1
    assert {int(drawn.left_cluster[-1]), int(drawn.right_cluster[-1])} == {0, -1}


@given(st.integers(1, 25), st.integers(0, 1000), st.sampled_from(["average", "centroid"]), st.floats(0.01, 3))
def test_horizontal_nodes_hold_every_item_once(n, seed, method, cut):
    merges = random_tree(n, seed, method)
    nodes = horizontal_nodes(merges, cut)
    drawn = layout(merges, nodes=nodes)
    assert np.unique(drawn.leaf_cluster).tolist() == list(range(len(nodes)))
    assert (np.diff(drawn.leaf_cluster) >= 0).all()
    assert (drawn.link_y[drawn.link_cluster >= 0] <= cut).all()
    if method == "average":
        assert (drawn.link_y[drawn.link_cluster < 0] > cut).all()


def test_hanging_leaves_end_below_their_first_merge():
    merges = random_tree(30, 2)
    drawn = layout(merges, hang=True)
    first = np.full(30, np.inf)
    for a, b, h in zip(merges.left, merges.right, merges.height, strict=True):
        for child in (a, b):
            if child < 30:
                first[child] = h
    assert drawn.leaf_y == pytest.approx(first[drawn.leaf_node] - 0.1 * merges.height.max())
    assert layout(merges, hang=True, last=5).leaf_count.sum() == 30


def test_given_order_and_heights():
    merges = random_tree(12, 5)
    drawn = layout(merges, order=leaf_order(merges)[::-1], heights=np.arange(11.0))
    assert drawn.leaf_node.tolist() == leaf_order(merges)[::-1].tolist()
    assert (drawn.left_x < drawn.right_x).all()
    assert drawn.link_y.tolist() == list(range(11))


def test_infinite_heights_are_drawn_above_the_finite():
    drawn = layout(canonical(np.array([0, 2, 0]), np.array([1, 3, 2]), np.array([1.0, 2.0, np.inf])))
    assert drawn.link_y.tolist() == [1.0, 2.0, pytest.approx(2.1)]
    assert drawn.infinite == 1
    assert layout(canonical(np.array([0]), np.array([1]), np.array([np.inf]))).link_y.tolist() == [1.0]


def test_one_item():
    drawn = layout(random_tree(1, 0), nodes=[0])
    assert drawn.leaf_node.tolist() == [0]
    assert drawn.leaf_cluster.tolist() == [0]
    assert len(drawn.link_y) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"order": [0, 0, 1, 2, 3]}, "each of the 5 items once"),
        ({"order": [0, 2, 1, 3, 4]}, "tears node"),
        ({"last": 0}, "last=0"),
        ({"level": -1}, "level=-1"),
        ({"last": 2, "level": 2}, "Give one of them"),
        ({"nodes": [5, 0]}, "inside another"),
        ({"nodes": [0, 0]}, "different numbers"),
        ({"nodes": [99]}, "0 to 8"),
        ({"heights": [1.0, 2.0]}, "4 numbers"),
    ],
)
def test_refusals(arguments, message):
    merges = canonical(np.zeros(4, int), np.arange(1, 5), np.arange(1.0, 5.0))
    with pytest.raises(InputError, match=message):
        layout(merges, **arguments)


def test_chain_of_100_000_leaves():
    n = 100_000
    merges = canonical(np.zeros(n - 1, int), np.arange(1, n), np.arange(1.0, n))
    nodes = horizontal_nodes(merges, n / 2)
    assert len(nodes) == n // 2
    drawn = layout(merges, nodes=nodes, hang=True)
    assert drawn.leaf_node.tolist() == list(range(n))
    assert drawn.right_x.tolist() == list(range(1, n))
    assert layout(merges, level=n // 2).leaf_count[0] == n - n // 2
