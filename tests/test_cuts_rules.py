"""The registry of rules, the rules that score every k, and what all cuts promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shoal
from naive.cut_rules import naive_threshold
from naive.cuts import item_sets
from shoal.cuts.flat import Cut, Subject, labels_of_cut, largest_below, subtree_sums
from shoal.cuts.rules import RULES, cut_by_rule, monocrit, scorer
from shoal.errors import InputError
from shoal.trees.merges import Merges, from_nodes, leaf_counts, leaf_order, leaf_positions
from strategies import methods, node_pairs, points

NEEDED: dict[str, Any] = {"height": {"height": 1.0}, "k": {"k": 2}, "monocrit": {"k": 2}, "scorer": {"score": np.ptp},
                          "gap_statistic": {"references": 2}}


def built(tree: Any) -> Merges:
    pairs, height = tree
    a, b = zip(*pairs, strict=True)
    return from_nodes(np.array(a), np.array(b), np.array(height))


def rows(merges: Merges) -> list[Any]:
    return list(zip(*(column.tolist() for column in merges), strict=True))


def subject(tree: Any) -> Subject:
    return Subject(tree.merges, tree.data, tree.weights, tree.method)


def needed(name: str, merges: Merges) -> dict[str, Any]:
    options = dict(NEEDED.get(name, {}))
    if name == "monocrit":
        options["values"] = merges.height
    if "k" in options:
        options["k"] = min(2, merges.n)
    return options


def labels(merges: Merges, cut: Cut) -> Any:
    begin = leaf_positions(merges)
    return labels_of_cut(cut, begin, leaf_counts(merges), leaf_order(merges, begin))[0]


@pytest.mark.parametrize("name", RULES)
@given(points(max_n=24), methods)
@settings(max_examples=10)
def test_every_cut_is_of_disjoint_nodes(name: str, X: Any, method: str) -> None:
    tree = shoal.linkage(X, method)
    cut = cut_by_rule(name, subject(tree), **needed(name, tree.merges))
    sets = item_sets(rows(tree.merges), tree.n)
    found = [sets[v] for v in cut.nodes.tolist()]
    inside = frozenset().union(*found)
    assert sum(map(len, found)) == len(inside)
    if name not in ("stable", "persistence", "dynamic", "dynamic_hybrid"):
        assert len(inside) == tree.n
    assert cut.how
    assert cut.score is None or not np.isnan(cut.score)
    given_ = labels(tree.merges, cut)
    assert set(given_.tolist()) - {-1} == set(range(len(found)))


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("data", [[[1.0]], [[0.0], [1.0]], [[2.0]] * 7, [[1.0], [1.0], [2.0]]])
def test_one_item_two_items_and_equal_items(name: str, data: Any) -> None:
    tree = shoal.linkage(data, "average")
    cut = cut_by_rule(name, subject(tree), **needed(name, tree.merges))
    if name == "k":
        assert len(cut.nodes) == min(len(data), 2)
    elif len(data) == 7 and name != "scorer":  # nothing separates equal items
        assert len(cut.nodes) == (name not in ("stable", "dynamic", "dynamic_hybrid"))
    assert len(cut.nodes) <= len(data)


@pytest.mark.parametrize("name", RULES)
def test_parts_of_a_forest_never_merge(name: str) -> None:
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(30, 2)), rng.normal(size=(30, 2)) + 50])
    tree = shoal.linkage(X, "average", stop_height=20.0)
    assert tree.parts == 2
    if name in ("k", "monocrit", "scorer", "height"):
        options = {"k": {"k": 2}, "height": {"height": 20.0}, "scorer": {"score": len},
                   "monocrit": {"values": tree.merges.height, "t": 20.0}}[name]
    else:
        options = {}
    if name == "gap_statistic":
        with pytest.raises(InputError, match="parts"):
            cut_by_rule(name, subject(tree))
        return
    found = labels(tree.merges, cut_by_rule(name, subject(tree), **options))
    assert not set(found[:30].tolist()) & set(found[30:].tolist()) - {-1}


@pytest.mark.parametrize("name", ["silhouette", "calinski_harabasz", "davies_bouldin", "gap_statistic", "persistence",
                                  "stable", "dynamic", "gap"])
def test_clear_clusters_are_found(name: str) -> None:
    rng = np.random.default_rng(1)
    X = np.concatenate([rng.normal(size=(40, 2)) + at for at in ([0, 0], [60, 0], [0, 70])])
    tree = shoal.linkage(X, "average")
    found = labels(tree.merges, cut_by_rule(name, subject(tree), **({"min_size": 15} if name == "stable" else {})))
    assert found.tolist() == np.repeat(np.arange(3), 40).tolist()


@pytest.mark.parametrize("name", RULES)
def test_the_same_bits_compiled_and_as_plain_python(name: str) -> None:
    from shoal.runtime.kernel import plain_python

    rng = np.random.default_rng(3)
    X = np.concatenate([rng.normal(size=(20, 2)), rng.normal(size=(20, 2)) * 2 + 9])
    for method in ("single", "centroid"):
        tree, found = shoal.linkage(X, method), set()
        options = needed(name, tree.merges) | ({"min_size": 5} if "min_size" in RULES[name].options else {})
        for plain in (False, True):
            with plain_python(plain):
                cut = cut_by_rule(name, subject(tree), **options)
                found.add((tuple(cut.nodes.tolist()), cut.score, cut.height, labels(tree.merges, cut).tobytes()))
        assert len(found) == 1


@pytest.mark.parametrize("name", RULES)
def test_the_registry_says_what_a_rule_is(name: str) -> None:
    rule = RULES[name]
    assert rule.needs in ("heights", "distances", "points")
    assert all(text.endswith(".") for text in (rule.source, rule.weakness, rule.cost))
    assert rule.run.__doc__
    if rule.needs == "heights":
        bare = shoal.linkage([[0.0], [1.0], [5.0], [7.0]], "average").merges
        assert isinstance(cut_by_rule(name, Subject(bare), **needed(name, bare)), Cut)
    elif name != "calinski_harabasz":
        with pytest.raises(InputError):
            cut_by_rule(name, Subject(shoal.linkage([[0.0], [1.0], [5.0], [7.0]], "average").merges))


def test_what_is_unknown_is_said() -> None:
    tree = Subject(shoal.linkage([[0.0], [1.0], [5.0]], "average").merges)
    with pytest.raises(InputError, match="height, k, inconsistent, gap"):
        cut_by_rule("elbow", tree)
    with pytest.raises(InputError, match="It takes min_size, allow_single"):
        cut_by_rule("stable", tree, size=3)
    with pytest.raises(InputError, match="needs the option 'k'"):
        cut_by_rule("k", tree)
    with pytest.raises(InputError, match="from 1 to 3"):
        cut_by_rule("k", tree, k=4)
    for height in (-1.0, float("nan"), "high"):
        with pytest.raises(InputError, match="height"):
            cut_by_rule("height", tree, height=height)
    for kmax in (1, 4, 2.5, float("nan")):
        with pytest.raises(InputError, match="from 2 to 3"):
            cut_by_rule("scorer", tree, score=len, kmax=kmax)


def test_the_best_k_of_an_index_is_the_best_of_all_cuts() -> None:
    from sklearn import metrics

    X = np.random.default_rng(8).normal(size=(60, 3))
    tree = shoal.linkage(X, "ward")
    for name, sign in (("silhouette", 1), ("calinski_harabasz", 1), ("davies_bouldin", -1)):
        theirs = [sign * getattr(metrics, f"{name}_score")(X, tree.cut(k=k).labels) for k in range(2, 16)]
        cut = cut_by_rule(name, subject(tree), kmax=15)
        assert len(cut.nodes) == int(np.argmax(theirs)) + 2
        assert cut.score == pytest.approx(sign * max(theirs), rel=1e-6)
        assert len(cut_by_rule(name, subject(tree), kmax=2).nodes) == 2
    apart = tree.merges._replace(height=np.append(tree.merges.height[:-3], [np.inf] * 3))
    with pytest.raises(InputError, match="4 parts"):
        cut_by_rule("silhouette", subject(tree)._replace(merges=apart), kmax=3)


def test_a_sample_is_said_and_near() -> None:
    rng = np.random.default_rng(1)
    X = np.concatenate([rng.normal(size=(40, 2)) + at for at in ([0, 0], [60, 0], [0, 70])])
    tree = shoal.linkage(X, "average")
    cut = cut_by_rule("silhouette", subject(tree), sample=30)
    assert cut.how.endswith("over a sample of 30 items")
    assert len(cut.nodes) == 3
    assert cut.score == pytest.approx(cut_by_rule("silhouette", subject(tree)).score, abs=0.05)
    assert cut_by_rule("silhouette", subject(tree), sample=120).how == cut_by_rule("silhouette", subject(tree)).how
    with pytest.raises(InputError, match="sample"):
        cut_by_rule("silhouette", subject(tree), sample=0)


@given(node_pairs(max_n=14), st.data())
def test_monocrit_is_scipys_and_the_naive_one(tree: Any, data: st.DataObject) -> None:
    from scipy.cluster.hierarchy import fcluster

    merges = built(tree)
    n = merges.n
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    values = rng.integers(0, 4, n - 1).astype(float) if data.draw(st.booleans()) else rng.normal(size=n - 1)
    sets = item_sets(rows(merges), n)
    Z = shoal.Tree(merges, tuple("x" * n)).to_scipy()
    Z[:, 2] = np.arange(1, n)  # scipy wants heights that rise
    top = largest_below(merges, values)[n:]
    for t in (*values.tolist(), -9.0, 9.0):
        cut = monocrit(Subject(merges), values=values, t=t)
        assert {sets[v] for v in cut.nodes.tolist()} == naive_threshold(rows(merges), n, values.tolist(), t)
        assert len(cut.nodes) == len(set(fcluster(Z, t, "monocrit", monocrit=top)))
    for k in range(1, n + 1):
        cut = monocrit(Subject(merges), values=values, k=k)
        assert len(cut.nodes) <= k
        fits = [len(naive_threshold(rows(merges), n, values.tolist(), t)) for t in sorted(values.tolist())]
        if k < n:
            assert len(cut.nodes) == next(number for number in fits if number <= k)
        if k < n and sorted(top) == top.tolist():  # else scipy's bisection does not find the least threshold
            assert len(cut.nodes) == len(set(fcluster(Z, k, "maxclust_monocrit", monocrit=top)))
    assert len(monocrit(Subject(merges), values=values, k=n).nodes) == n


@pytest.mark.parametrize("options", [{"values": [1.0]}, {"values": [1.0, np.nan], "t": 1}, {"values": [1.0, 2.0]},
                                     {"values": [1.0, 2.0], "t": 1, "k": 1}, {"values": "ab", "t": 1},
                                     {"values": [1.0, 2.0], "k": 4}, {"values": [1.0, 2.0], "t": np.nan}])
def test_monocrit_refuses_what_is_none(options: Any) -> None:
    with pytest.raises(InputError):
        monocrit(Subject(shoal.linkage([[0.0], [1.0], [5.0]], "average").merges), **options)


def test_a_scorer_of_ones_own() -> None:
    tree = shoal.linkage(np.random.default_rng(0).normal(size=(30, 2)), "average")
    seen = []

    def score(labels: Any) -> float:
        seen.append(labels.copy())
        labels[:] = 0  # it is the scorer's own
        return float("nan") if len(seen) == 3 else -abs(len(seen) - 3.2)

    cut = scorer(subject(tree), score=score, kmax=8)
    assert [len(set(found.tolist())) for found in seen] == list(range(2, 9))
    assert len(cut.nodes) == 5  # the fourth
    assert seen[1].tolist() == tree.cut(k=3).labels.tolist()
    assert len(scorer(subject(tree), score=lambda _: 1.0).nodes) == 2
    assert len(scorer(subject(tree), score=lambda _: float("nan")).nodes) == 1
    for wrong in ("x", None, [1.0, 2.0]):
        with pytest.raises(InputError, match="one number"):
            scorer(subject(tree), score=lambda _, wrong=wrong: wrong)
    with pytest.raises(InputError, match="function"):
        scorer(subject(tree), score=3)


@given(node_pairs())
def test_the_passes_carry_what_they_say(tree: Any) -> None:
    merges = built(tree)
    n = merges.n
    values = np.arange(2 * n - 1) % 5 + 0.5
    sets = item_sets(rows(merges), n)
    expected = [sum(values[u] for u in range(2 * n - 1) if sets[u] <= s) for s in sets]
    assert subtree_sums(merges, values).tolist() == expected
    assert Subject(merges, weights=values[:n]).masses().tolist() == [sum(values[i] for i in s) for s in sets]
    assert Subject(merges).masses().tolist() == [len(s) for s in sets]


def test_items_given_to_a_cluster_have_its_label() -> None:
    merges = from_nodes(np.array([3, 1, 6, 5]), np.array([4, 2, 0, 7]), np.array([1.0, 2.0, 3.0, 4.0]))
    cut = Cut(np.array([5, 6]), None, None, "", (np.array([0]), np.array([5])))  # 5 holds 3 and 4; 6 holds 1 and 2
    assert labels(merges, cut._replace(joined=None)).tolist() == [-1, 0, 0, 1, 1]
    assert labels(merges, cut).tolist() == [1, 0, 0, 1, 1]
    assert labels(merges, cut._replace(joined=(np.array([0]), np.array([6])))).tolist() == [0, 0, 0, 1, 1]
