"""Inconsistency: how far a merge stands above the merges just below it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shoal.cuts.flat import Cut, Subject, largest_below, number_option, picked, whole_option
from shoal.trees.merges import Floats, Merges, parents

__all__ = ["inconsistency", "inconsistent"]

Moments = tuple[Floats, Floats, Floats]  # number, mean, summed squares about the mean


def inconsistency(merges: Merges, depth: int = 2) -> NDArray[np.float64]:
    """Return mean, standard deviation and number of the heights near every merge, and how far the merge exceeds them.

    Parameters
    ----------
    merges : Merges
    depth : int
        Levels looked at: the merge itself, the merges of its two sides, and so on; at least 1.

    Returns
    -------
    ndarray, shape (n - 1, 4)
        Columns: mean; standard deviation (divisor count - 1); count; (height - mean) / standard deviation, 0 where all
        the heights are equal. As scipy's `inconsistent` and MATLAB's. A merge of infinite height joins parts that have
        nothing to do with each other: its mean, deviation and coefficient are infinite.

    Raises
    ------
    InputError
        When depth is not a whole number of at least 1.

    Notes
    -----
    O(n·min(depth, height of the tree)) time and O(n) memory: the heights of depth levels are those of the merge and of
    depth - 1 levels of either side, and means and squares of two sets combine without cancellation (Chan, Golub & LeVeque
    1983, doi:10.1080/00031305.1983.10483115). Source: Zahn 1971, doi:10.1109/T-C.1971.223083; Jain & Dubes 1988.

    Examples
    --------
    >>> import shoal
    >>> tree = shoal.linkage([[0.0], [1.0], [5.0]], "single")
    >>> inconsistency(tree.merges).round(4).tolist()
    [[1.0, 0.0, 1.0, 0.0], [2.5, 2.1213, 2.0, 0.7071]]
    """
    depth, n = whole_option("depth", depth, 1), merges.n
    joined = np.isfinite(merges.height)
    unit = 2.0 ** np.frexp(float(merges.height[joined].max(initial=0.0)))[1]
    height = np.where(joined, merges.height, 0.0) / unit
    own: Moments = (np.ones(n - 1), height, np.zeros(n - 1))
    left, right = (np.where(side < n, n - 1, side - n) for side in (merges.left, merges.right))  # an item has no heights
    near = own
    for _ in range(depth - 1):
        padded = [np.append(column, 0.0) for column in near]
        below = _together(own, (padded[0][left], padded[1][left], padded[2][left]))
        wider = _together(below, (padded[0][right], padded[1][right], padded[2][right]))
        whole, near = bool((wider[0] == near[0]).all()), wider
        if whole:  # deeper levels hold nothing
            break
    count, mean, squares = near
    deviation = np.sqrt(squares / np.maximum(count - 1.0, 1.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.where(deviation > 0, (height - mean) / deviation, 0.0)
    found = np.column_stack([mean * unit, deviation * unit, count, excess])
    found[~joined] = np.inf
    found[~joined, 2] = count[~joined]
    return found


def _together(x: Moments, y: Moments) -> Moments:
    """Moments of two sets together; x is not empty."""
    count = x[0] + y[0]
    share, gap = y[0] / count, y[1] - x[1]
    gap[y[0] == 0] = 0.0
    return count, x[1] + share * gap, x[2] + y[2] + x[0] * share * gap * gap


def inconsistent(tree: Subject, *, t: float = 1.0, depth: int = 2) -> Cut:
    """Cut into the largest subtrees none of whose merges has an inconsistency above t.

    Parameters
    ----------
    tree : Subject
    t : float
        With depth 2, the coefficient of a merge of two merges is at most 1.155, and of a merge and an item 0.707.
    depth : int
        Levels looked at below a merge.

    Returns
    -------
    Cut
        As scipy's ``fcluster(Z, t, "inconsistent", depth)``.

    Notes
    -----
    O(n·depth). Weakness: it compares a merge with two or six others, so a chance pair of close merges low in the tree
    makes clusters; a merge of all levels' own scale, as ward's growing heights are, looks inconsistent everywhere.

    Examples
    --------
    >>> import shoal
    >>> tree = shoal.linkage([[0.0], [1.0], [9.0], [10.0]], "single")
    >>> len(inconsistent(Subject(tree.merges)).nodes)
    2
    """
    t = number_option("t", t)
    top = largest_below(tree.merges, inconsistency(tree.merges, depth)[:, 3])
    top[np.concatenate([np.zeros(tree.merges.n, bool), np.isinf(tree.merges.height)])] = np.inf
    nodes = picked((top <= t) & (top < np.inf), parents(tree.merges))
    return Cut(nodes, None, None, f"inconsistent: no coefficient above {t:g}, depth {depth}")
