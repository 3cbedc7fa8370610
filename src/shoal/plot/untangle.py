"""Two trees over the same items, turned so that the lines between equal items cross as little as may be."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.plot.layout import layout
from shoal.runtime.kernel import kernel, plain_if_cheap
from shoal.trees.merges import Merges, leaf_counts, leaf_order, leaf_positions, parents

__all__ = ["Untangled", "untangle"]

Ints = NDArray[np.integer[Any]]

ROUNDS = 50  # of turning either tree, at most; a handful is enough
SLICE = 1 << 17  # leaves looked up at a time: 30 ms
PLAIN_S = 2e-5  # a leaf looked up, in plain Python
POWER = 1.5  # of how far an item is moved, in the entanglement


class Untangled(NamedTuple):
    """Orders of two trees.

    Attributes
    ----------
    first, second : ndarray of int64, shape (n,)
        The items of either tree from left to right, by its own numbers.
    crossings : int
        Pairs of lines that cross.
    entanglement : float
        Σ |p - q|^1.5 over the items at place p of one tree and q of the other, as a share of what opposite orders have:
        0 for equal orders, 1 for opposite ones.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    crossings: int
    entanglement: float


@kernel
def count_crossings(tops: Any, heavy: Any, light: Any, parent: Any, begin: Any, count: Any, rank: Any, seen: Any,
                    crossed: Any) -> None:
    """crossed[v] = pairs of a leaf of the heavy child of v and one of the light child, the heavy one's rank the larger.

    A path from a top down the heavy children is walked upwards. seen is a Fenwick tree over ranks of the leaves met so far:
    every leaf is looked up once a light edge above it, O(n log² n) in all.
    """
    n = rank.shape[0]
    for top in tops:
        v = top
        while v >= n:
            v = heavy[v - n]
        first, last, met = begin[v], begin[v] + 1, 0
        while True:
            for p in range(first, last):
                r = rank[p] + 1
                while r <= n:
                    seen[r] += 1
                    r += r & -r
            met += last - first
            if v == top:
                break
            v = parent[v]
            w = light[v - n]
            first, last = begin[w], begin[w] + count[w]
            total = 0
            for p in range(first, last):
                r, below = rank[p], 0
                while r > 0:
                    below += seen[r]
                    r -= r & -r
                total += met - below
            crossed[v - n] = total
        for p in range(begin[top], begin[top] + count[top]):
            r = rank[p] + 1
            while r <= n:
                seen[r] -= 1
                r += r & -r


@kernel
def place_turned(left: Any, right: Any, turned: Any, count: Any, begin: Any) -> None:
    """Position of every node's first leaf, the right child first where turned; a parent knows it before its children."""
    n = left.shape[0] + 1
    for t in range(n - 2, -1, -1):
        a, b = left[t], right[t]
        if turned[t]:
            a, b = b, a
        begin[a] = begin[n + t]
        begin[b] = begin[n + t] + count[a]


class _Side:
    """One tree, and which of its merges are drawn turned round."""

    def __init__(self, merges: Merges, order: Any) -> None:
        n = merges.n
        self.n, self.count = n, leaf_counts(merges)
        self.left, self.right = merges.left.astype(np.int64), merges.right.astype(np.int64)
        self.parent, self.begin = parents(merges).astype(np.int64), leaf_positions(merges).astype(np.int64)
        self.leaves = leaf_order(merges, self.begin).astype(np.int64)
        self.turned = np.zeros(n - 1, np.bool_)
        if order is not None:
            self.turned = layout(merges, order=order).left_node != merges.left
        leftish = self.count[self.left] >= self.count[self.right]
        self.heavy, self.light = np.where(leftish, self.left, self.right), np.where(leftish, self.right, self.left)
        self.left_is_heavy = leftish
        tops = np.append(self.light[self.light >= n], 2 * n - 2) if n > 1 else np.empty(0, np.int64)
        work = np.cumsum(self.count[tops])
        self.slices = np.split(tops, np.flatnonzero(np.diff(work // SLICE)) + 1)

    def places(self) -> NDArray[np.int64]:
        """Return the place of every item."""
        begin = np.zeros(2 * self.n - 1, np.int64)
        with plain_if_cheap(PLAIN_S * self.n / 5):
            place_turned(self.left, self.right, self.turned, self.count, begin)
        return begin[: self.n]

    def turn(self, other: NDArray[np.int64], better: bool = True) -> int:
        """Turn every merge the better way for given places of the items in the other tree; return what still crosses."""
        seen, crossed = np.zeros(self.n + 1, np.int64), np.zeros(self.n - 1, np.int64)
        rank = other[self.leaves]
        with plain_if_cheap(PLAIN_S * self.n * np.log2(self.n + 1)):
            for tops in self.slices:
                count_crossings(tops, self.heavy, self.light, self.parent, self.begin, self.count, rank, seen, crossed)
        pairs = self.count[self.left] * self.count[self.right]
        straight = np.where(self.left_is_heavy, crossed, pairs - crossed)  # crossings with the left child first
        if better:
            self.turned = np.where(2 * straight == pairs, self.turned, 2 * straight > pairs)
        return int(np.where(self.turned, pairs - straight, straight).sum())


def untangle(first: Merges, second: Merges, match: Any = None, *, orders: tuple[Any, Any] = (None, None),
             turn: bool = True) -> Untangled:
    """Turn the merges of two trees over the same items so that few of the lines between equal items cross.

    Parameters
    ----------
    first, second : Merges
        Trees of n items.
    match : array-like of int, shape (n,), optional
        The item of the second tree that is item i of the first; default: the same number.
    orders : pair of array-like of int, optional
        Orders of the items to begin with.
    turn : bool, default True
        Whether to turn anything; else only count.

    Returns
    -------
    Untangled

    Raises
    ------
    InputError
        When the trees are not of the same items.

    Notes
    -----
    For one tree and a fixed order of the other, turning every merge for which more than half of the pairs of its two sides
    cross is best: every pair of items meets at one merge, so merges do not depend on each other. The trees take turns until
    nothing improves, which is a local optimum; the best pair of orders is NP-hard to find (Fernau, Kaufmann & Poths 2010,
    doi:10.1016/j.jcss.2009.10.014). O(n log² n) time a turn, O(n) memory, no recursion.

    Examples
    --------
    >>> from scipy.cluster.hierarchy import linkage
    >>> from shoal.plot.untangle import untangle
    >>> from shoal.trees.merges import from_scipy
    >>> tree = from_scipy(linkage([[0.0], [1.0], [5.0]]))
    >>> other = from_scipy(linkage([[5.0], [1.0], [0.0]]))
    >>> found = untangle(tree, other, [2, 1, 0])
    >>> found.crossings, found.first.tolist(), found.second.tolist()
    (0, [2, 1, 0], [0, 1, 2])
    """
    n = first.n
    partner = np.arange(n) if match is None else np.asarray(match)
    if second.n != n or partner.shape != (n,) or not np.array_equal(np.sort(partner), np.arange(n)):
        raise InputError(f"Trees of {n:,} and {second.n:,} items cannot face each other.",
                         "Give trees of the same items, and match= an order of their numbers.")
    back = np.argsort(partner)
    sides = _Side(first, orders[0]), _Side(second, orders[1])
    crossings, before, rounds = sides[0].turn(sides[1].places()[partner], better=False), n * n, ROUNDS if turn else 0
    while crossings < before and rounds:
        before, rounds = crossings, rounds - 1
        sides[0].turn(sides[1].places()[partner])
        crossings = sides[1].turn(sides[0].places()[back])
    p, q = sides[0].places(), sides[1].places()
    gap, most = np.abs(p - q[partner]) ** POWER, np.abs(2.0 * np.arange(n) - (n - 1)) ** POWER
    return Untangled(np.argsort(p), np.argsort(q), crossings, float(gap.sum() / most.sum()) if n > 1 else 0.0)
