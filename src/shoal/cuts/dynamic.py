"""Dynamic tree cut: branches are split by their own shape instead of at one height.

Source: Langfelder, Zhang & Horvath 2008, doi:10.1093/bioinformatics/btm563. Two variants: one goes down from a line near
the top and needs the heights alone; the other goes up, looks at distances within the branches, and then gives the items
left over to the nearest cluster. The paper reads the first off the leaves as they are drawn from left to right; here a run
of low heights is the subtree it belongs to, so the clusters do not depend on how the tree is drawn. The idea is the paper's;
clusters are not promised to be those of its authors' program, item by item.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from shoal.cuts.flat import Cut, Subject, number_option, picked, tops, whole_option
from shoal.data.records import Carrier, Points
from shoal.data.rows import rows_of
from shoal.errors import InputError
from shoal.judge.silhouette import distance_sums_of
from shoal.runtime.kernel import kernel, plain_if_cheap
from shoal.trees.fidelity import junctions
from shoal.trees.merges import PLAIN_ITEM_S, Floats, Ints, leaf_counts, leaf_order, leaf_positions, parents

__all__ = ["dynamic", "dynamic_hybrid"]

SCATTER = (0.64, 0.73, 0.82, 0.91, 0.95)  # of the range of heights, how wide a core may be, by deep_split
ASSIGN = ("average", "medoid", None)


@kernel
def split_branches(left: Any, right: Any, begin: Any, count: Any, along: Any, before: Any, least: float, rounds: int,
                   todo: Any, level: Any, waiting: int, found: Any) -> int:
    """Split the branches todo[:waiting] until none splits or `rounds` times; write what is left to found, return how many.

    A branch is cut at its mean height, else halfway up to its largest, else halfway down to its least: at the first of them
    that leaves two pieces of at least `least`, it splits into the largest subtrees that hold one such piece each. along[p]
    is the height between the leaves at p and p + 1; before[p] the weight of the leaves before p.
    """
    n = left.shape[0] + 1
    seen, stack = np.zeros(n + 1, np.int64), np.empty(n, np.int64)  # seen[p]: pieces that begin before leaf p
    done = 0
    while waiting > 0:
        waiting -= 1
        v, r = todo[waiting], level[waiting]
        b, e, pieces = begin[v], begin[v] + count[v], 0
        if r < rounds and before[e] - before[b] >= 2.0 * least:
            total, low, high = 0.0, math.inf, -math.inf
            for p in range(b, e - 1):
                total += along[p]
                low, high = min(low, along[p]), max(high, along[p])
            mean = total / max(e - b - 1, 1)
            for attempt in range(3):
                line = mean if attempt == 0 else 0.5 * (mean + (high if attempt == 1 else low))
                pieces, start = 0, b
                seen[b] = 0
                for p in range(b, e):
                    if p == e - 1 or along[p] > line:
                        if before[p + 1] - before[start] >= least:
                            pieces += 1
                        for q in range(start + 1, p + 2):
                            seen[q] = pieces
                        start = p + 1
                if pieces > 1:
                    break
        if pieces < 2:
            found[done] = v
            done += 1
            continue
        stack[0], open_nodes = v, 1
        while open_nodes > 0:
            open_nodes -= 1
            x = stack[open_nodes]
            pieces = seen[begin[x] + count[x]] - seen[begin[x]]
            if pieces == 1:
                todo[waiting], level[waiting] = x, r + 1
                waiting += 1
            elif pieces > 1:
                stack[open_nodes], stack[open_nodes + 1] = left[x - n], right[x - n]
                open_nodes += 2
    return done


def dynamic(tree: Subject, *, min_size: int = 20, deep_split: int = 1, cut_height: float | None = None) -> Cut:
    """Cut near the top, then split every branch whose heights fall into two or more low runs, and their branches again.

    Parameters
    ----------
    tree : Subject
    min_size : int
        Items (weight) of a run that counts, and of a cluster; at least 1.
    deep_split : int
        0 … 4: a branch is split deep_split + 1 times at most; 4: until nothing splits, as in the paper.
    cut_height : float, optional
        Where the first cut is made. By default at 99 % of the way from the 5th percentile of the heights to the largest.

    Returns
    -------
    Cut
        Items outside the clusters are noise.

    Notes
    -----
    O(n) a round of splits, without distances. Source: Langfelder, Zhang & Horvath 2008, the "dynamic tree" variant: a
    branch is cut at the mean of its heights, else halfway to the largest, else halfway to the least. Weakness: min_size
    decides almost everything; where it is small, the mean of the many low heights cuts through clusters.

    Examples
    --------
    >>> import shoal
    >>> tree = shoal.linkage([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0], [40.0]], "single")
    >>> dynamic(Subject(tree.merges), min_size=3).nodes.tolist()
    [8, 10]
    """
    least, deep = whole_option("min_size", min_size, 1), whole_option("deep_split", deep_split, 0, 4)
    merges, n = tree.merges, tree.merges.n
    top = tops(merges)
    line = _first_height(top[n:], cut_height)
    begin, count, mass = leaf_positions(merges).astype(np.int64), leaf_counts(merges), tree.masses()
    branches = picked(top <= line, parents(merges))
    branches = branches[mass[branches] >= least]
    along = top[n:][junctions(merges, begin)] if n > 1 else np.empty(0)
    unit = 2.0 ** np.frexp(float(along[np.isfinite(along)].max(initial=0.0)))[1]  # no sum overflows
    before = np.concatenate([[0.0], np.cumsum(mass[leaf_order(merges, begin)])])
    todo, level, found = np.empty(n, np.int64), np.zeros(n, np.int64), np.empty(n, np.int64)
    todo[:len(branches)] = branches
    with plain_if_cheap(20 * PLAIN_ITEM_S * n):
        clusters = split_branches(merges.left.astype(np.int64), merges.right.astype(np.int64), begin, count, along / unit,
                                  before, float(least), n if deep == 4 else deep + 1, todo, level, len(branches), found)
    how = f"dynamic: k = {clusters}, at least {least} items each, below {line:g}"
    return Cut(np.sort(found[:clusters]), None, None, how)


def _first_height(heights: Floats, given: Any) -> float:
    """The height above which branches are apart; parts of a forest always are."""
    finite = heights[np.isfinite(heights)]
    high = float(finite.max(initial=0.0))
    if given is not None:
        return min(number_option("cut_height", given, 0.0), high)
    low = float(np.quantile(finite, 0.05)) if len(finite) else high
    return low + 0.99 * (high - low) if low < high else high


def dynamic_hybrid(tree: Subject, *, min_size: int = 20, deep_split: int = 1, cut_height: float | None = None,
                   assign: str | None = "average") -> Cut:
    """Keep the branches that are large, tight and apart; then give the items left over to the nearest cluster.

    Parameters
    ----------
    tree : Subject
        With the data it was built from.
    min_size : int
        Items (weight) of a cluster; at least 1.
    deep_split : int
        0 … 4: how wide the core of a cluster may be, 0.64, 0.73, 0.82, 0.91 or 0.95 of the way from the 5th percentile of
        the heights to the cut height; the gap above it is then at least 3/4 of the rest. More gives more clusters.
    cut_height : float, optional
        Nothing joins above. By default at 99 % of the way from the 5th percentile of the heights to the largest.
    assign : {"average", "medoid", None}
        Items in no branch go to the cluster with the least mean distance, or the nearest medoid, if that is at most
        `cut_height`. None leaves them as noise.

    Returns
    -------
    Cut
        `joined` holds the items given to a cluster in the end.

    Raises
    ------
    InputError
        For options that are none, and for a tree without its data.

    Notes
    -----
    The core of a branch of N items are the min_size/2 + √(N - min_size/2) whose first merges are lowest; its width is the
    mean distance between them, and the gap the height at which the branch joins another, less that width. Where two branches
    that pass both tests meet, both become clusters; what fails meeting a cluster is left over. O(n) and the distances within
    the cores, then of the items left over to all. Source: Langfelder, Zhang & Horvath 2008, the "dynamic hybrid" variant.
    Weakness: it compares heights with distances, which means little under ward, centroid and median linkage.

    Examples
    --------
    >>> import shoal
    >>> tree = shoal.linkage([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0], [40.0]], "average")
    >>> dynamic_hybrid(Subject(tree.merges, tree.data), min_size=3).nodes.tolist()
    [9, 10]
    """
    least, deep = whole_option("min_size", min_size, 1), whole_option("deep_split", deep_split, 0, 4)
    if assign not in ASSIGN:
        raise InputError(f"assign={assign!r} was given.", f"Give one of {', '.join(map(repr, ASSIGN))}.")
    if tree.data is None:
        raise InputError("The rule 'dynamic_hybrid' needs the data the tree was built from.", "Use the rule 'dynamic'.")
    top = tops(tree.merges)
    heights = top[tree.merges.n:]
    line = _first_height(heights, cut_height)
    low = float(np.quantile(heights[np.isfinite(heights)], 0.05)) if np.isfinite(heights).any() else 0.0
    width = low + SCATTER[deep] * max(line - low, 0.0)
    nodes = _tight_branches(tree, top, line, least, width, 0.75 * (1.0 - SCATTER[deep]) * max(line - low, 0.0))
    joined = _nearest_clusters(tree, tree.data, nodes, line, assign) if assign and len(nodes) else None
    how = f"dynamic hybrid: k = {len(nodes)}, at least {least} items each, below {line:g}"
    return Cut(nodes, None, None, how, joined)


def _tight_branches(tree: Subject, top: Floats, line: float, least: int, width: float, gap: float) -> Ints:
    """Go up the tree: a branch is basic until two that pass meet in it, and what passes meeting such a one is a cluster."""
    merges, n, mass = tree.merges, tree.merges.n, tree.masses()
    assert tree.data is not None
    begin, count, order, up = leaf_positions(merges), leaf_counts(merges), leaf_order(merges), parents(merges)
    first = top[up[:n]] if n > 1 else np.zeros(1)
    within = _distances_within(tree.data)

    def passes(v: int, above: float) -> bool:
        if mass[v] < least:
            return False
        members = np.sort(order[begin[v]:begin[v] + count[v]])
        half = min(least // 2, len(members))
        core = members[np.argsort(first[members], kind="stable")[:half + math.isqrt(len(members) - half)]]
        pairs = len(core) * (len(core) - 1)
        scatter = float(within(core).sum()) / pairs if pairs else 0.0
        return scatter <= width and above - scatter >= gap

    composite, clusters = np.zeros(2 * n - 1, bool), []
    left, right = merges.left.tolist(), merges.right.tolist()
    for t in np.flatnonzero(top[n:] <= line).tolist():
        a, b, h = left[t], right[t], float(top[n + t])
        met = composite[a] or composite[b]
        if not met and min(mass[a], mass[b]) < least:
            continue
        passed = [c for c in (a, b) if not composite[c] and passes(c, h)]
        composite[n + t] = met or len(passed) == 2
        if composite[n + t]:
            clusters += passed
    alone = picked(top <= line, up)
    clusters += [c for c in alone[~composite[alone]].tolist() if passes(c, line)]
    return np.array(sorted(clusters), np.int64)


def _distances_within(data: Carrier) -> Any:
    """Return ``within(items)``, the square matrix of distances between some items."""
    if isinstance(data, Points):
        return lambda items: data.metric.between(data.X[items], data.X[items])
    rows = rows_of(data)
    return lambda items: rows(items)[:, items]


def _nearest_clusters(tree: Subject, data: Carrier, nodes: Ints, farthest: float, by: str) -> tuple[Ints, Ints]:
    """Items below none of the nodes, and the node nearest to each, where that is no farther than `farthest`."""
    merges, n, k, weights = tree.merges, tree.merges.n, len(nodes), tree.weights_or_ones
    begin, count, order = leaf_positions(merges), leaf_counts(merges), leaf_order(merges)
    labels = np.full(n, -1, np.int64)
    for c, v in enumerate(nodes.tolist()):
        labels[order[begin[v]:begin[v] + count[v]]] = c
    left = np.flatnonzero(labels < 0)
    if by == "average":
        mass = np.bincount(labels[labels >= 0], weights[labels >= 0], minlength=k)
        distance = distance_sums_of(data, left, labels, k, weights) / mass
    else:
        medoids = np.array([_medoid(data, labels, c, weights) for c in range(k)], np.int64)
        distance = rows_of(data)(medoids)[:, left].T
    near = distance.argmin(axis=1)
    close = distance[np.arange(len(left)), near] <= farthest
    return left[close], nodes[near[close]]


def _medoid(data: Carrier, labels: Ints, c: int, weights: Floats) -> int:
    at = np.flatnonzero(labels == c)
    sums = distance_sums_of(data, at, np.where(labels == c, 0, -1), 1, weights)[:, 0]
    return int(at[np.argmin(sums)])
