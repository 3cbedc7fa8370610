"""Cuts of different heights in different branches: excess of mass, and persistence.

Both look at branches of at least `min_size` items only; smaller ones fall off the branch they join. Under inversions a
merge counts at the largest height in its subtree. A merge of infinite height joins parts of a forest that have nothing to
do with each other: no cluster ever holds one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from shoal.cuts.flat import Cut, Subject, number_option, picked, subtree_sums, tops, whole_option
from shoal.runtime.kernel import kernel, plain_if_cheap
from shoal.trees.merges import PLAIN_ITEM_S, Floats, Ints, Merges, parents

__all__ = ["Barcode", "barcode", "nodes_around", "persistence", "stable"]


@kernel
def excess_of_mass(left: Any, right: Any, density: Any, mass: Any, least: float, excess: Any, inner: Any,
                   chosen: Any) -> None:
    """Excess of mass of every branch above its own density, and the largest total below it; chosen[v]: v beats it.

    excess[v] = Σ over the items below v of the density at which they leave the branch, less density[v]. A branch that begins
    at a merge of density λ so has the stability excess[v] + mass[v]·(density[v] - λ).
    """
    n = left.shape[0] + 1
    for t in range(n - 1):
        v, a, b = n + t, left[t], right[t]
        if density[v] > 0.0 and (mass[a] < least) != (mass[b] < least):
            c = a if mass[b] < least else b
            excess[v] = excess[c] + mass[c] * (density[c] - density[v])
            inner[v] = inner[c]
        else:
            for c in (a, b):
                if mass[c] >= least:
                    own = excess[c] + mass[c] * (density[c] - density[v])
                    chosen[c] = own > 0.0 and own >= inner[c]
                    inner[v] += max(own, inner[c])


@kernel
def pick_highest(left: Any, right: Any, chosen: Any) -> None:
    """Of the chosen nodes keep those below no other chosen one. Nodes below one are marked on the way, parents first."""
    n = left.shape[0] + 1
    under = np.zeros(2 * n - 1, np.bool_)
    for t in range(n - 2, -1, -1):
        v = n + t
        for c in (left[t], right[t]):
            under[c] = under[v] or chosen[v]
    for v in range(2 * n - 1):
        chosen[v] = chosen[v] and not under[v]


def stable(tree: Subject, *, min_size: int = 5, allow_single: bool = False) -> Cut:
    """Cut into the branches that persist over the widest range of densities: excess of mass.

    Parameters
    ----------
    tree : Subject
    min_size : int
        A branch of fewer items (of less weight) is no cluster; at least 2.
    allow_single : bool
        Whether all items may be one cluster.

    Returns
    -------
    Cut
        The disjoint clusters of the largest total stability, which is the score; of a cluster and its subclusters with
        equal totals the cluster. Items outside are noise, and all are where no branch of min_size items stands out.

    Notes
    -----
    An item leaves a branch where the branch splits in two of at least min_size items, or where it falls off with fewer.
    The density is 1/height, at height 0 that of the smallest height above; the stability of a branch is the sum over its
    items of the density at which they leave it, less that at which it begins. O(n).

    Source: Campello, Moulavi, Zimek & Sander 2013, doi:10.1007/s10618-013-0311-4 (FOSC); over the tree of mutual
    reachability distances this is HDBSCAN's choice. Weakness: the density of 1/height makes small heights count most, so
    tight small branches beat wide large ones.

    Examples
    --------
    >>> import shoal
    >>> tree = shoal.linkage([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0], [40.0]], "single")
    >>> stable(Subject(tree.merges), min_size=3).nodes.tolist()
    [8, 10]
    """
    least, merges, n = whole_option("min_size", min_size, 2), tree.merges, tree.merges.n
    top, mass = tops(merges), tree.masses()
    top[:n] = 0.0
    positive = top[(top > 0) & (top < np.inf)]
    unit = float(positive.max(initial=0.0)) or 1.0  # a density is then at least 1, and never overflows at the low end
    density = unit / np.maximum(top, max(float(positive.min(initial=np.inf)) if len(positive) else unit, unit * 1e-300))
    excess, inner, chosen = np.zeros(2 * n - 1), np.zeros(2 * n - 1), np.zeros(2 * n - 1, np.bool_)
    left, right = merges.left.astype(np.int64), merges.right.astype(np.int64)
    with plain_if_cheap(3 * PLAIN_ITEM_S * n):
        excess_of_mass(left, right, density, mass, float(least), excess, inner, chosen)
        whole = float(excess[-1] + mass[-1] * density[-1])
        if allow_single and top[-1] < np.inf and mass[-1] >= least and whole >= inner[-1]:
            chosen[-1], inner[-1] = True, whole
        pick_highest(left, right, chosen)
    nodes = np.flatnonzero(chosen)
    return Cut(nodes, float(inner[-1]) / unit, None, f"stable: {_found(nodes, least)}")


def _found(nodes: Ints, least: int) -> str:
    return f"k = {len(nodes)}, at least {least} items each" if len(nodes) else f"no branch of {least} items stands out"


class Barcode(NamedTuple):
    """Branches of a tree from where they first have enough items to where they end in an older one.

    Attributes
    ----------
    birth, death : ndarray of float64, shape (bars,)
        Heights; the last branch of every part never ends: infinity.
    node : ndarray of int, shape (bars,)
        The branch's last node of its own.
    origin : ndarray of int, shape (bars,)
        The node where it first has enough items.
    """

    birth: Floats
    death: Floats
    node: Ints
    origin: Ints


@kernel
def list_bars(left: Any, right: Any, height: Any, mass: Any, least: float, birth: Any, origin: Any, death: Any, node: Any,
              start: Any) -> int:
    """Write the branches that end, in the order they do, and return their number; of two the younger ends.

    Of two of the same age the one of less mass ends, and of two of the same mass the right one. birth and origin are of the
    oldest branch below every node; origin is -1 where there is none, and above the top of a part.
    """
    n = left.shape[0] + 1
    bars = 0
    for t in range(n - 1):
        v, a, b = n + t, left[t], right[t]
        if height[v] == np.inf:
            for c in (a, b):
                if origin[c] >= 0:
                    death[bars], node[bars], start[bars] = np.inf, c, origin[c]
                    bars += 1
        elif origin[a] >= 0 and origin[b] >= 0:
            if birth[b] < birth[a] or (birth[b] == birth[a] and mass[b] > mass[a]):
                a, b = b, a
            death[bars], node[bars], start[bars] = height[v], b, origin[b]
            bars += 1
            birth[v], origin[v] = birth[a], origin[a]
        elif origin[a] >= 0 or origin[b] >= 0:
            c = a if origin[a] >= 0 else b
            birth[v], origin[v] = birth[c], origin[c]
        elif mass[v] >= least:
            birth[v], origin[v] = height[v], v
    if origin[2 * n - 2] >= 0:
        death[bars], node[bars], start[bars] = np.inf, 2 * n - 2, origin[2 * n - 2]
        bars += 1
    return bars


def barcode(merges: Merges, min_size: int = 1, masses: Floats | None = None) -> Barcode:
    """Return where every branch of at least `min_size` items begins, and where it ends in an older one.

    Parameters
    ----------
    merges : Merges
    min_size : int
        Items a branch has at its birth; at least 1, and then all are born at height 0.
    masses : ndarray, shape (2n - 1,), optional
        Summed weight below every node, to count weights instead of items.

    Returns
    -------
    Barcode
        In the order of the ends; the last branch of every part never ends.

    Notes
    -----
    O(n). Source: Chazal, Guibas, Oudot & Skraba 2013, doi:10.1145/2535927 (the elder rule; ToMATo).

    Examples
    --------
    >>> import shoal
    >>> bars = barcode(shoal.linkage([[0.0], [1.0], [5.0], [7.0]], "single").merges, 2)
    >>> bars.birth.tolist(), bars.death.tolist(), bars.node.tolist()
    ([2.0, 1.0], [4.0, inf], [5, 6])
    """
    least, n = whole_option("min_size", min_size, 1), merges.n
    height = tops(merges)
    height[:n] = 0.0
    mass = np.concatenate([np.ones(n), merges.size]) if masses is None else masses
    born = mass[:n] >= least
    birth, origin = np.zeros(2 * n - 1), np.full(2 * n - 1, -1, np.int64)
    origin[:n][born] = np.flatnonzero(born)
    death, node, start = np.empty(n), np.empty(n, np.int64), np.empty(n, np.int64)
    with plain_if_cheap(2 * PLAIN_ITEM_S * n):
        bars = list_bars(merges.left.astype(np.int64), merges.right.astype(np.int64), height, mass, float(least), birth,
                         origin, death, node, start)
    return Barcode(birth[start[:bars]], death[:bars].copy(), node[:bars].copy(), start[:bars].copy())


def _full_height(merges: Merges, height: Floats, mass: Floats, node: int, least: int) -> float:
    """Height at which a part with this top has all but fewer than `least` of its items together."""
    n, v = merges.n, node
    while v >= n:
        c = int(max(merges.left[v - n], merges.right[v - n], key=mass.__getitem__))
        if mass[c] <= mass[node] - least:
            break
        v = c
    return float(height[v]) if v >= n else 0.0


def nodes_around(merges: Merges, marks: Ints) -> Ints:
    """Return the largest subtrees that hold exactly one of the marked nodes, and no merge of infinite height."""
    n = merges.n
    marked = np.zeros(2 * n - 1)
    marked[marks] = 1.0
    held = subtree_sums(merges, marked)
    apart = np.concatenate([np.zeros(n, bool), np.isinf(merges.height)])
    nodes = picked((held <= 1.0) & ~apart, parents(merges))
    return np.asarray(nodes[held[nodes] == 1.0])


def persistence(tree: Subject, *, min_size: int = 5, threshold: float | None = None) -> Cut:
    """Cut into the branches that are much more persistent than the rest.

    Parameters
    ----------
    tree : Subject
    min_size : int
        Items (weight) a branch has at its birth; at least 1.
    threshold : float, optional
        Branches that live on for more than this are clusters. By default the largest gap between two successive
        persistences decides; the score is that gap as a share of the highest end.

    Returns
    -------
    Cut
        For every persistent branch the largest subtree that holds no other. Items outside are noise.

    Notes
    -----
    The persistence of a branch is the height at which it ends in an older one, less that of its birth. The last branch of
    every part always stays, and counts up to where fewer than min_size items are left to join it. O(n log n).

    Source: Chazal, Guibas, Oudot & Skraba 2013, doi:10.1145/2535927. Weakness: min_size sets the scale at which noise
    makes branches; with 1 under single linkage this is the largest gap of the heights. Under other linkages every cluster
    falls into branches that last, so it cannot say that there is one.

    Examples
    --------
    >>> import shoal
    >>> tree = shoal.linkage([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0], [40.0]], "single")
    >>> persistence(Subject(tree.merges), min_size=3).nodes.tolist()
    [8, 10]
    """
    least = whole_option("min_size", min_size, 1)
    height, mass = tops(tree.merges), tree.masses()
    bars = barcode(tree.merges, least, mass)
    lasting = np.isinf(bars.death)
    ends = bars.death.copy()
    ends[lasting] = [_full_height(tree.merges, height, mass, node, least) for node in bars.node[lasting].tolist()]
    lives, highest = ends - bars.birth, float(ends.max(initial=0.0))
    gap = None
    if threshold is None:
        ranked = np.append(np.sort(lives[~lasting])[::-1], 0.0)  # behind the shortest there is nothing
        steps = -np.diff(ranked, prepend=lives[lasting].min(initial=np.inf))
        steps[0] = max(steps[0], 0.0)
        at = int(np.argmax(steps))
        limit, gap = float(ranked[at]), float(steps[at])
    else:
        limit = number_option("threshold", threshold, 0.0)
    kept = lasting | (lives > limit)
    if not len(bars.node):
        return Cut(bars.node, None, None, f"persistence: {_found(bars.node, least)}")
    nodes = nodes_around(tree.merges, bars.origin[kept])
    score = gap / highest if gap is not None and highest > 0 else None
    return Cut(nodes, score, None, f"persistence: {_found(nodes, least)}, branches that last more than {limit:g}")
