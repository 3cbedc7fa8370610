"""The loops of the engine in linear memory: clusters brought into a tree's order, rounds of merges, the chain.

Clusters are known by their position. `c` are their columns (`spatial.Clusters`), `near` what is known of their neighbours
(`spatial.Nearby`), `x` the kd-tree (`spatial.Index`). A cluster that merged into another has the item -1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from shoal.runtime.kernel import kernel
from shoal.trees.spatial_scan import SAFE, climb, consider, fill, leaf_of, search

__all__ = ["follow_chain", "join", "pair_up", "refresh", "settle"]


@kernel
def settle(block: Any, start: Any, stop: Any, old: Any, known: Any, c: Any, near: Any, order: Any, place: Any, v0: int,
           v1: int) -> None:
    """Bring the clusters of leaves v0 … v1 into the tree's order; `place` is the inverse of `order`."""
    for v in range(v0, v1):
        leaf = v - (block.shape[0] - 1)
        for p in range(start[v], stop[v]):
            was = order[p]
            for k in range(c.centre.shape[1]):
                c.centre[p, k] = block[leaf, k, p - start[v]]
            c.weight[p], c.item[p] = old.weight[was], old.item[was]
            for t in range(near.who.shape[1]):
                q = known.who[was, t]
                near.who[p, t], near.far[p, t] = place[q] if q >= 0 else -1, known.far[was, t]
            q = known.nearest[was]
            near.bound[p], near.nearest[p] = known.bound[was], place[q] if q >= 0 else -1


# ----------------------------------------------------------------------------------------- rounds: all pairs at once


@kernel
def pair_up(near: Any, mate: Any, p0: int, p1: int) -> int:
    """Pair each of p0 … p1 with its neighbour if neither has a mate and no other is nearer to either. Returns the pairs.

    Ties count as near: on a lattice hardly any two are each other's first choice.
    """
    pairs = 0
    for p in range(p0, p1):
        q = near.nearest[p]
        if q >= 0 and near.nearest[q] >= 0 and mate[p] < 0 and mate[q] < 0 and near.far[q, 0] == near.far[p, 0]:
            mate[p], mate[q] = q, p
            pairs += 1
    return pairs


@kernel
def blend(c: Any, p: int, q: int) -> None:
    """The union of p and q takes the place of p: weighted mean, sum of weights, smaller item."""
    wp, wq = c.weight[p], c.weight[q]
    for k in range(c.centre.shape[1]):
        c.centre[p, k] = (wp * c.centre[p, k] + wq * c.centre[q, k]) / (wp + wq)
    c.weight[p] = wp + wq
    c.item[p], c.item[q] = min(c.item[p], c.item[q]), -1


@kernel
def join(c: Any, near: Any, mate: Any, found: Any, made: int, p0: int, p1: int) -> int:
    """Merge the mates of which the first is among p0 … p1, after `made` merges; returns the merges made by then."""
    for p in range(p0, p1):
        if mate[p] > p:
            found.a[made], found.b[made], found.h[made] = c.item[p], c.item[mate[p]], near.far[p, 0]
            blend(c, p, mate[p])
            made += 1
    return made


@kernel
def refresh(c: Any, near: Any, mate: Any, lightest: float, p0: int, p1: int) -> None:
    """Carry the lists of p0 … p1 over a round of merges; a cluster with a mate has grown, or is gone.

    A cluster that holds a listed one is listed; any other is, by reducibility, no nearer than the bound. For the union of
    p and q, merged at v, others are at least ((wp + w)·bp + (wq + w)·bq - w·v)/(wp + wq + w) away, by Lance and Williams'
    formula; it grows with w, so the lightest weight is put there.
    """
    item, weight, who, far, bound = c.item, c.weight, near.who, near.far, near.bound
    size = who.shape[1]
    others = np.empty(2 * size, np.int64)
    for p in range(p0, p1):
        if item[p] < 0:
            near.nearest[p] = -1
            continue
        q, changed = mate[p], mate[p] >= 0
        for t in range(size):
            changed = changed or (who[p, t] >= 0 and mate[who[p, t]] >= 0)
        if not changed:
            continue
        if q >= 0:
            w, wq = lightest, weight[q]
            above = (weight[p] - wq + w) * bound[p] + (wq + w) * bound[q] - w * far[p, 0]
            bound[p] = SAFE * (above / (weight[p] + w))
        m = 0
        for t in range(2 * size if q >= 0 else size):
            b = who[p if t < size else q, t % size]
            if b >= 0:
                others[m] = mate[b] if item[b] < 0 else b
                m += others[m] != p
        for t in range(size):
            who[p, t], far[p, t] = -1, math.inf
        bound[p] = min(bound[p], consider(c.centre, weight, who, far, p, others, m))
        near.nearest[p] = who[p, 0] if far[p, 0] <= bound[p] else -1


# ------------------------------------------------------------------------------------------ chain: one pair at a time


@kernel
def replace(x: Any, c: Any, p: int, q: int) -> None:
    """Merge q into p, and bound the leaves they are in and all above anew."""
    blend(c, p, q)
    for v in (leaf_of(x.stop, p), leaf_of(x.stop, q)):
        fill(x, c, v, v + 1)
        while v > 0:
            v = (v - 1) >> 1
            climb(x, v)


@kernel
def follow_chain(x: Any, c: Any, near: Any, chain: Any, found: Any, count: Any, until: int, steps: int) -> None:
    """Nearest-neighbour chain until `until` clusters live or `steps` searches were made.

    count = [length of the chain, living clusters, merges made, first position that may live]. A neighbour that was found
    stays the nearest as long as neither it nor the cluster itself has merged since. On a tie the chain turns back. Rounding
    can bring a new cluster an ulp nearer than a known neighbour: then the chain meets itself, and is cut back to there.
    """
    queue = np.empty(1, np.int64)
    while count[1] > until and steps > 0:
        if count[0] == 0:
            while c.item[count[3]] < 0:
                count[3] += 1
            chain.path[0] = count[3]
            chain.place[count[3]] = 0
            count[0] = 1
        p = chain.path[count[0] - 1]
        before = chain.path[count[0] - 2] if count[0] > 1 else -1
        back = near.far[before, 0] if before >= 0 else math.inf
        q = near.nearest[p]
        if q < 0 or c.item[q] < 0 or max(chain.born[q], chain.born[p]) > chain.looked[p]:
            queue[0], near.who[p, 0], near.far[p, 0] = p, before, back
            search(x, c, near, queue, 0, 1)
            chain.looked[p] = count[2]
            q = near.nearest[p]
            steps -= 1
        if before >= 0 and back <= near.far[p, 0]:
            found.a[count[2]], found.b[count[2]], found.h[count[2]] = c.item[p], c.item[before], back
            chain.place[p], chain.place[before] = -1, -1
            p, q = min(p, before), max(p, before)
            replace(x, c, p, q)
            count[0] -= 2
            count[1] -= 1
            count[2] += 1
            chain.born[p] = count[2]
        elif chain.place[q] >= 0:
            while chain.path[count[0] - 1] != q:
                count[0] -= 1
                chain.place[chain.path[count[0]]] = -1
            near.nearest[q] = -1
        else:
            chain.path[count[0]] = q
            chain.place[q] = count[0]
            count[0] += 1
