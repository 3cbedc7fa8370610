"""Newick, R's hclust and networkx: there and back, golden text, and text that is broken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
from shoal.errors import InputError
from shoal.trees.exchange import from_networkx, from_newick, from_r, path_up, spell, to_networkx, to_newick, to_r
from shoal.trees.merges import Merges, from_nodes, parents
from strategies import node_pairs


def merges_of(tree: tuple[list[tuple[int, int]], list[float]]) -> Merges:
    pairs, heights = tree
    a, b = zip(*pairs, strict=True)
    return from_nodes(np.array(a), np.array(b), np.array(heights))


def chain(n: int) -> Merges:
    return from_nodes(np.r_[0, np.arange(n, 2 * n - 2)], np.arange(1, n), np.arange(1.0, n))


def sets_with_heights(merges: Merges, names: list[str]) -> list[tuple[float, frozenset[str]]]:
    sets: list[frozenset[str]] = [frozenset([name]) for name in names]
    found = []
    for a, b, h in zip(merges.left.tolist(), merges.right.tolist(), merges.height.tolist(), strict=True):
        sets.append(sets[a] | sets[b])
        found.append((h, sets[-1]))
    return sorted(found, key=lambda one: (len(one[1]), sorted(one[1])))


names_of_any_kind = st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), unique=True,
                             min_size=20, max_size=20)


@given(node_pairs(), names_of_any_kind)
def test_newick_there_and_back(tree: Any, names: list[str]) -> None:
    merges = merges_of(tree)
    names = names[:merges.n]
    found, read = from_newick(to_newick(merges, names))
    assert sorted(read) == sorted(names)
    for (h, one), (g, other) in zip(sets_with_heights(merges, names), sets_with_heights(found, read), strict=True):
        assert one == other
        assert g == pytest.approx(h, abs=1e-13 * merges.height.max())


def test_newick_text() -> None:
    tree = shoal.linkage([[0.0], [1.0], [5.0], [7.0]], "single")
    names = ["a b", "it's", "x_y", "plain"]
    assert to_newick(tree.merges, names) == "(('a b':1.0,'it''s':1.0):3.0,('x_y':2.0,plain:2.0):2.0);"
    assert to_newick(tree.merges, names, lengths=False) == "(('a b','it''s'),('x_y',plain));"
    assert to_newick(tree.merges, names, node_names=["95", "60", "root"]) == \
        "(('a b':1.0,'it''s':1.0)95:3.0,('x_y':2.0,plain:2.0)60:2.0)root;"
    assert spell(tree.merges, names, 6) == "((a b, it's), (x_y, plain))"
    assert spell(tree.merges, names, 1) == "it's"


def test_newick_of_others() -> None:
    merges, names = from_newick(" ( (a:1, 'b c':1.5)95 :1e-3 [a comment], d_e:2 ) 'the root':7 ; \n")
    assert names == ["a", "b c", "d e"]
    assert merges.left.tolist() == [0, 3]
    np.testing.assert_allclose(merges.height, [1.5, 2.0])
    merges, names = from_newick("(a,(b,c)x,d);")  # levels where there are no lengths; three branches are two merges
    assert merges.height.tolist() == [1.0, 2.0, 2.0]
    assert from_newick("alone;")[1] == ["alone"]
    assert from_newick("(a,b)")[1] == ["a", "b"]  # an end without its semicolon does no harm


@pytest.mark.parametrize("text", [
    "", ";", "()", "();", "(a,,b);", "((a,b),c", "(a,b);(c,d);", "(a:x,b:1);", "(a:,b:1);", "(a:1:2,b:1);", "(a b)(c);",
    "a,b;", "(a,b));", "(a,'b);", "(a:nan,b:1);", "(a:inf,b:1);"])
def test_broken_newick(text: str) -> None:
    with pytest.raises(InputError, match="Newick form"):
        from_newick(text)


def test_newick_that_says_too_little_or_too_much() -> None:
    with pytest.raises(InputError, match=r"1 of the 4 branches .* no length"):
        from_newick("((a:1,b):1,c:2);")
    with pytest.raises(InputError, match="named 'a'"):
        from_newick("((a:1,b:1):1,a:2);")
    with pytest.raises(InputError, match="infinite"):
        to_newick(from_nodes(np.array([0]), np.array([1]), np.array([np.inf])), ["a", "b"])


def test_long_chains() -> None:
    merges = chain(100_000)
    names = [str(i) for i in range(100_000)]
    found, read = from_newick(to_newick(merges, names))
    assert read == names
    np.testing.assert_array_equal(found.left, merges.left)
    assert len(spell(merges, names, 2 * 100_000 - 2)) > 500_000


@given(node_pairs())
def test_r_there_and_back(tree: Any) -> None:
    merges = merges_of(tree)
    for column, again in zip(merges, from_r(to_r(merges, [""] * merges.n)), strict=True):
        np.testing.assert_array_equal(column, again)


def test_r_columns() -> None:
    """As R 4.3 prints hclust(dist(c(0, 1, 5, 7, 7.5)), "single")$merge, $height and $order."""
    hclust = to_r(shoal.linkage([[0.0], [1.0], [5.0], [7.0], [7.5]], "single").merges, list("abcde"))
    assert hclust["merge"].tolist() == [[-4, -5], [-1, -2], [-3, 1], [2, 3]]
    assert hclust["height"].tolist() == [0.5, 1.0, 2.0, 4.0]
    assert hclust["order"].tolist() == [1, 2, 3, 4, 5]
    assert hclust["labels"] == list("abcde")


@pytest.mark.parametrize(("merge", "message"), [([[-1, -2], [2, -3]], "Row 2"), ([[-1, -2], [0, -3]], "Row 2"),
                                                ([[-1, -2], [-1, 1]], "twice"), ([[-1, -2]], "two columns")])
def test_broken_r(merge: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_r({"merge": merge, "height": [1.0, 2.0]})


def test_networkx() -> None:
    networkx = pytest.importorskip("networkx")
    tree = shoal.linkage([[0.0], [1.0], [5.0]], "single", ids=["a", "b", "c"])
    graph = to_networkx(tree.merges, tree.ids)
    assert networkx.is_arborescence(graph)
    assert graph.nodes[4] == {"height": 4.0, "size": 3}
    assert graph.nodes[0]["name"] == "a"
    assert sorted(networkx.descendants(graph, 3)) == [0, 1]
    assert graph.edges[4, 3]["length"] == 3.0


def test_the_path_of_an_item() -> None:
    assert path_up(parents(chain(4)), 1) == [1, 4, 5, 6]


@pytest.mark.parametrize("method", ["average", "centroid"])
def test_networkx_and_back(method: str) -> None:
    tree = shoal.linkage(np.random.default_rng(5).normal(size=(40, 2)), method, ids=[f"item {i}" for i in range(40)])
    back = shoal.Tree.from_networkx(tree.to_networkx(), method)
    assert back.ids == tree.ids
    for column, same in zip(back.merges, tree.merges, strict=True):
        np.testing.assert_array_equal(column, same)


def test_broken_networkx() -> None:
    networkx = pytest.importorskip("networkx")
    good = to_networkx(shoal.linkage([[0.0], [1.0], [9.0]], "single").merges, ["a", "b", "c"])
    for spoil, words in ((lambda g: g.remove_edge(3, 0), "successors"), (lambda g: g.add_edge(4, 0), "successors"),
                         (lambda g: g.nodes[4].pop("height"), "height None"), (lambda g: g.add_node(9), "tree of merges")):
        graph = good.copy()
        spoil(graph)
        with pytest.raises(InputError, match=words):
            from_networkx(graph)
    with pytest.raises(InputError):
        from_networkx(networkx.DiGraph())


def test_clusternodes_and_back() -> None:
    from scipy.cluster.hierarchy import ClusterNode

    chain = np.sort(np.random.default_rng(1).random(3000)).cumsum()[:, None] ** 2
    for tree in (shoal.linkage(np.random.default_rng(2).normal(size=(60, 3)), "median"), shoal.linkage(chain, "single")):
        root = tree.to_clusternode()
        assert (root.get_count(), root.dist) == (tree.n, tree.merges.height[-1])
        back = shoal.Tree.from_clusternode(root, tree.ids, tree.method)
        for column, same in zip(back.merges, tree.merges, strict=True):
            np.testing.assert_array_equal(column, same)
    with pytest.raises(InputError, match="numbered"):
        shoal.Tree.from_clusternode(ClusterNode(5))
