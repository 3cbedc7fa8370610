"""Cuts at a number of clusters or at a height. A cut is the list of the tree's nodes that are the clusters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError, is_whole
from shoal.trees.merges import Floats, Ints, Merges, parents

__all__ = ["cut_height", "cut_k", "height_range", "is_monotone", "labels_of", "tops"]


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
    n = merges.n
    if is_monotone(merges):
        return np.concatenate([np.full(n, -np.inf), merges.height])
    top = [-np.inf] * n
    for left, right, height in zip(merges.left.tolist(), merges.right.tolist(), merges.height.tolist(), strict=True):
        top.append(max(height, top[left], top[right]))
    return np.array(top)


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
    top = tops(merges)
    up = parents(merges) if parent is None else parent
    return np.flatnonzero((top <= h) & ((top[up] > h) | (up < 0)))  # up to an infinite height, the root is whole


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


def height_range(merges: Merges, nodes: Ints, parent: Ints | None = None) -> tuple[float, float] | None:
    """Return the heights [low, high) at which a horizontal line makes exactly these clusters; None if no line does."""
    up = parents(merges) if parent is None else parent
    top = tops(merges)
    low = float(max(top[nodes].max(), 0.0)) if len(nodes) else 0.0
    inner = up[nodes]
    high = float(top[inner[inner >= 0]].min()) if (inner >= 0).any() else np.inf
    return (low, high) if low < high else None
