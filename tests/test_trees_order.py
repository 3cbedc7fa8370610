"""The best order of leaves, against all orders there are, and against scipy's."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import shoal
from shoal.trees import order as ordering
from shoal.trees.merges import Merges, from_nodes, leaf_order, leaf_positions
from shoal.trees.order import beam_order, optimal_order, order_length
from strategies import methods, points


def square_of(X: Any) -> Any:
    return np.sqrt(((X[:, None, :] - X[None, :, :]) ** 2).sum(axis=2))


def best_of(merges: Merges, D: Any) -> Any:
    leaves = leaf_order(merges)
    return leaves[optimal_order(merges, leaf_positions(merges), np.ascontiguousarray(D[np.ix_(leaves, leaves)]))]


def all_orders(merges: Merges) -> list[list[int]]:
    found: list[list[list[int]]] = [[[i]] for i in range(merges.n)]
    for a, b in zip(merges.left.tolist(), merges.right.tolist(), strict=True):
        found.append([x + y for x, y in product(found[a], found[b])] + [y + x for x, y in product(found[a], found[b])])
    return found[-1]


def keeps_clusters_together(merges: Merges, order: Any) -> bool:
    place = np.empty(merges.n, np.int64)
    place[order] = np.arange(merges.n)
    low, high, size = list(place), list(place), [1] * merges.n
    for a, b in zip(merges.left.tolist(), merges.right.tolist(), strict=True):
        low.append(min(low[a], low[b]))
        high.append(max(high[a], high[b]))
        size.append(size[a] + size[b])
    return all(h - g + 1 == s for g, h, s in zip(low, high, size, strict=True))


@given(points(max_n=8), methods)
def test_none_is_shorter(X: Any, method: str) -> None:
    merges, D = shoal.linkage(X, method).merges, square_of(X)
    order = best_of(merges, D)
    least = min(order_length(D, np.array(one)) for one in all_orders(merges))
    assert keeps_clusters_together(merges, order)
    assert order_length(D, order) == pytest.approx(least, rel=1e-12)
    beam = beam_order(merges, lambda i, j: D[i, j], beam=64)  # more than the ends eight leaves can have
    assert keeps_clusters_together(merges, beam)
    assert order_length(D, beam) == pytest.approx(least, rel=1e-12)


@pytest.mark.parametrize("method", ["single", "average", "ward"])
def test_never_longer_than_scipys(method: str) -> None:
    from scipy.cluster.hierarchy import leaves_list, optimal_leaf_ordering
    from scipy.spatial.distance import squareform

    X = np.random.default_rng(0).normal(size=(80, 3))
    tree, D = shoal.linkage(X, method), square_of(X)
    theirs = leaves_list(optimal_leaf_ordering(tree.to_scipy(), squareform(D, checks=False)))
    best = best_of(tree.merges, D)
    assert order_length(D, best) <= order_length(D, theirs) + 1e-9
    good = beam_order(tree.merges, lambda i, j: D[i, j])
    assert order_length(D, best) <= order_length(D, good) + 1e-9 < 1.03 * order_length(D, best)
    assert keeps_clusters_together(tree.merges, good)


def test_same_bits_for_any_number_of_threads_and_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(1).normal(size=(150, 3))
    merges, D, found = shoal.linkage(X, "average").merges, square_of(X), set()
    try:
        for threads, sums in ((1, 1 << 24), (2, 1000), (5, 1)):
            shoal.set_threads(threads)
            monkeypatch.setattr(ordering, "SUMS", sums)
            found.add(best_of(merges, D).tobytes())
    finally:
        shoal.set_threads(None)
    assert len(found) == 1


def test_a_long_chain_and_few_items() -> None:
    n = 3000
    chain = from_nodes(np.r_[0, np.arange(n, 2 * n - 2)], np.arange(1, n), np.arange(1.0, n))
    at = np.arange(n, dtype=float)
    order = beam_order(chain, lambda i, j: np.abs(at[i] - at[j]))
    assert order.tolist() in (list(range(n)), list(range(n))[::-1])
    for few in (1, 2):
        merges = shoal.linkage(np.arange(float(few))[:, None]).merges
        assert best_of(merges, np.zeros((few, few))).tolist() == list(range(few))
        assert beam_order(merges, lambda i, j: np.zeros(len(i))).tolist() == list(range(few))
