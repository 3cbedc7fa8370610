"""Cuts at a number of clusters or at a height. A cut is the list of the tree's nodes that are the clusters.

Every rule for cutting stands on two passes: one over the merges, children first, that carries a largest value or a sum
from the items to the root; and one over all nodes at once, that picks those that pass a test while their parent fails it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError, is_whole
from shoal.runtime.kernel import kernel, plain_if_cheap
from shoal.trees.merges import PLAIN_ITEM_S, Floats, Ints, Merges, parents

if TYPE_CHECKING:
    from shoal.data.records import Carrier

__all__ = ["Cut", "Subject", "cut_height", "cut_k", "height_range", "is_monotone", "labels_of", "labels_of_cut",
           "largest_below", "number_option", "picked", "subtree_sums", "tops", "whole_option"]


class Subject(NamedTuple):
    """What a rule may look at.

    Attributes
    ----------
    merges : Merges
    data : carrier or None
        What the tree was built from.
    weights : ndarray of float64, shape (n,), or None
        How many items each stands for; None: one.
    method : str
        The linkage; "unknown" for a tree from elsewhere.
    """

    merges: Merges
    data: Carrier | None = None
    weights: Floats | None = None
    method: str = "unknown"

    @property
    def weights_or_ones(self) -> Floats:
        """The weights, 1 where there are none."""
        return np.ones(self.merges.n) if self.weights is None else self.weights

    @property
    def parts(self) -> int:
        """Number of subtrees that only merges of infinite height join."""
        return 1 + int(np.isinf(self.merges.height).sum())

    def masses(self) -> Floats:
        """Summed weight of the items below every node; shape (2n - 1,)."""
        if self.weights is None:
            return np.concatenate([np.ones(self.merges.n), self.merges.size])
        return subtree_sums(self.merges, np.concatenate([self.weights, np.zeros(self.merges.n - 1)]))


class Cut(NamedTuple):
    """What a rule chose.

    Attributes
    ----------
    nodes : ndarray of int
        Nodes of which none is below another. Items below none of them are noise.
    score : float or None
        The rule's own measure of this cut; None where it has none.
    height : float or None
        A height at which a horizontal line makes these clusters, where the rule chose one.
    how : str
        The rule, what it was asked and what it found, in a few words.
    joined : tuple of two ndarrays of int, optional
        Items below none of the nodes that were given to a cluster all the same, and the node of that cluster for each.
    """

    nodes: Ints
    score: float | None
    height: float | None
    how: str
    joined: tuple[Ints, Ints] | None = None


def whole_option(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return an option that is a whole number from low to high, or say which numbers it may be."""
    if not is_whole(value) or value < low or (high is not None and value > high):
        allowed = f"of at least {low}" if high is None else f"from {low} to {high:,}"
        raise InputError(f"{name}={value!r} was given.", f"Give a whole number {allowed}.")
    return int(value)


def number_option(name: str, value: Any, low: float = -np.inf) -> float:
    """Return an option that is a number of at least `low`, or say that it must be."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if isinstance(value, (bool, str)) or not number >= low:
        raise InputError(f"{name}={value!r} was given.", "Give a number." if low == -np.inf
                         else f"Give a number of at least {low:g}.")
    return number


@kernel
def carry_largest(left: Any, right: Any, value: Any) -> None:
    """value[n + t] = max(value[n + t], value[left[t]], value[right[t]]), children first."""
    n = left.shape[0] + 1
    for t in range(n - 1):
        value[n + t] = max(value[n + t], max(value[left[t]], value[right[t]]))


@kernel
def carry_sums(left: Any, right: Any, value: Any) -> None:
    """value[n + t] += value[left[t]] + value[right[t]], children first."""
    n = left.shape[0] + 1
    for t in range(n - 1):
        value[n + t] += value[left[t]] + value[right[t]]


def largest_below(merges: Merges, values: Floats) -> Floats:
    """Return for every node the largest of the values of the merges in its subtree, -inf for items; shape (2n - 1,)."""
    n = merges.n
    top = np.concatenate([np.full(n, -np.inf), values])
    with plain_if_cheap(PLAIN_ITEM_S * n):
        carry_largest(merges.left.astype(np.int64), merges.right.astype(np.int64), top)
    return top


def subtree_sums(merges: Merges, values: Floats) -> Floats:
    """Return for every node the sum of the values, shape (2n - 1,), of all nodes in its subtree, itself included."""
    total = np.array(values, np.float64)
    with plain_if_cheap(PLAIN_ITEM_S * merges.n):
        carry_sums(merges.left.astype(np.int64), merges.right.astype(np.int64), total)
    return total


def picked(passes: NDArray[np.bool_], parent: Ints) -> Ints:
    """Return the nodes that pass a test while their parent does not; shape of both (2n - 1,)."""
    return np.flatnonzero(passes & (~passes[parent] | (parent < 0)))


def cut_k(merges: Merges, k: int, parent: Ints | None = None) -> Ints:
    """Return the nodes of exactly k clusters: the tree without its last k - 1 merges.

    Merges are undone in their order, not by their height, so ties and inversions give k clusters too.

    Parameters
    ----------
    merges : Merges
    k : int
        1 … n.
    parent : ndarray, optional
        `parents(merges)`, when it is at hand.

    Raises
    ------
    InputError
        When k is not between 1 and n.
    """
    n = merges.n
    if not is_whole(k) or not 1 <= k <= n:
        raise InputError(f"{k!r} clusters were asked for, of {n:,} items.", f"Ask for a whole number from 1 to {n:,}.")
    made = 2 * n - int(k)  # nodes that exist before the last k - 1 merges
    up = parents(merges) if parent is None else parent
    return np.flatnonzero((up[:made] >= made) | (up[:made] < 0))


def is_monotone(merges: Merges) -> bool:
    """Whether heights never fall from a merge to the next, as they can under centroid and median linkage."""
    return bool((merges.height[1:] >= merges.height[:-1]).all())


def tops(merges: Merges) -> Floats:
    """Return for every node the largest height in its subtree, -inf for items; shape (2n - 1,)."""
    if is_monotone(merges):
        return np.concatenate([np.full(merges.n, -np.inf), merges.height])
    return largest_below(merges, merges.height)


def cut_height(merges: Merges, height: float, parent: Ints | None = None) -> Ints:
    """Return the nodes of the largest subtrees all of whose merges are at or below `height`.

    Raises
    ------
    InputError
        When height is not a number.
    """
    try:
        h = float(height)
    except (TypeError, ValueError):
        h = np.nan
    if np.isnan(h):
        raise InputError(f"The height to cut at is {height!r}.", "Give a number.")
    return picked(tops(merges) <= h, parents(merges) if parent is None else parent)


def labels_of(nodes: Ints, begin: Ints, count: NDArray[np.int64], order: Ints) -> tuple[Ints, Ints]:
    """Number clusters from left to right and label every item.

    Parameters
    ----------
    nodes : ndarray of int, shape (k,)
        Disjoint nodes; items below none of them are noise.
    begin, count : ndarray of int, shape (2n - 1,)
        Position of every node's first leaf, and the number of its leaves.
    order : ndarray of int, shape (n,)
        The leaves from left to right.

    Returns
    -------
    labels : ndarray of int64, shape (n,)
        0 … k-1 from left to right, -1 for noise.
    nodes : ndarray of int, shape (k,)
        The nodes in the order of their numbers.
    """
    ranked = nodes[np.argsort(begin[nodes], kind="stable")]
    along = np.full(len(order), -1, np.int64)
    sizes = count[ranked]
    places = np.repeat(begin[ranked] - np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes) + np.arange(int(sizes.sum()))
    along[places] = np.repeat(np.arange(len(ranked)), sizes)
    labels = np.empty(len(order), np.int64)
    labels[order] = along
    return labels, ranked


def labels_of_cut(cut: Cut, begin: Ints, count: NDArray[np.int64], order: Ints) -> tuple[Ints, Ints]:
    """Label every item as `labels_of` does, and then those that were given to a cluster without being below its node."""
    labels, ranked = labels_of(cut.nodes, begin, count, order)
    if cut.joined is not None:
        items, nodes = cut.joined
        by_node = np.argsort(ranked)
        labels[items] = by_node[np.searchsorted(ranked, nodes, sorter=by_node)]
    return labels, ranked


def height_range(merges: Merges, nodes: Ints, parent: Ints | None = None) -> tuple[float, float] | None:
    """Return the heights [low, high) at which a horizontal line makes exactly these clusters; None if no line does."""
    up = parents(merges) if parent is None else parent
    top = tops(merges)
    low = float(max(top[nodes].max(), 0.0)) if len(nodes) else 0.0
    inner = up[nodes]
    high = float(top[inner[inner >= 0]].min()) if (inner >= 0).any() else np.inf
    return (low, high) if low < high else None
