"""Exact average, complete and weighted trees of points, in linear memory: from the members of the clusters.

No few numbers say how far two clusters are apart under these methods; it takes all pairs of their members. But the
distance of their centres is a lower bound, so most pairs of clusters are never measured:

- a round merges all pairs of reciprocal nearest neighbours, builds a kd-tree over the centres of what is left, and
  searches for those clusters alone whose neighbour merged (the methods are reducible, so any other keeps its own);
- the last few thousand clusters are measured once, every pair of members, and go to the stored-matrix engine;
- where the tree rules little out, or few pairs are reciprocal, a nearest-neighbour chain takes over for a while: a
  cluster's distances to all others are a row; the rows that are dear or were used last are kept, and follow every merge
  by the recurrences, so that a row is hardly ever measured twice.

The matrix at the end takes n²/2 distances of members, which is what it takes to get the height of the root from them. The
rounds before it take a tenth to a half of its time with three features, and two to three times it with ten; the chain,
with more than some fifteen, takes each cluster's distances to all once, which is six times as long.

Equal rows are merged at height zero before the rounds.

Sources: Murtagh 1983 (reciprocal neighbours, chain); Yu, Wang, Gu, Dhulipala & Shun 2021, arXiv:2106.04727 (rounds over a
kd-tree, members side by side); Jensen's inequality for the bounds.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.runtime import pool
from shoal.runtime.progress import Progress, Ticker
from shoal.trees import kdtree, stored
from shoal.trees import members_kernels as kernels
from shoal.trees.equal import first_equal
from shoal.trees.merges import Floats, Ints, Merges
from shoal.trees.spatial import _prepare
from shoal.trees.stored import COMPLETE, LINEAR, _Found, _in_height_order, linkage_stored

__all__ = ["METHODS", "METRICS", "linkage_members", "peak_bytes", "seconds"]

METHODS = ("average", "complete", "weighted")
METRICS = ("euclidean", "cityblock")

LEAST = 2048  # clusters that are always left to the stored matrix: 16 MB,
MOST = 8192  # and that may be: 256 MB
SPARED = 2.0  # a round among those takes at most so many times clusters² distances: to merge as many later takes longer
KEPT = 1 << 24  # entries of the rows the chain keeps: 128 MB, half of the matrix at the end; but at least
ROWS_KEPT = 16  # so many rows
FEW = 16  # a round that merges fewer than a 16th of the clusters is the last for a while
DEAR = 0.5  # and so is one that takes more than this share of the distances of all clusters to all members
TRIAL = 64  # every 64th task of a search tells what the others will cost
LEAVES = 16  # leaves of single items a task searches from, for up to eight features: some milliseconds
DEPTH = 128  # room for a search's open nodes: one a level, and a tree of 2^63 items has 63
GROUP = 2048  # clusters a task gathers
ROWS = 256  # members measured at a time against all others, fewer of many items or features:
WAVE = 1 << 28  # so that those take some 30 ms even where all are in one cluster
STEP = 1 << 22  # coordinates a task takes as a rule: 0.5 to 1 ms


class Clusters(NamedTuple):
    """The clusters, and their members side by side.

    Attributes
    ----------
    points : ndarray of float64, shape (d, n)
        Coordinates of the members.
    weight : ndarray of float64, shape (n,)
        What a member counts: under weighted linkage 2 to the minus its depth, under complete linkage 1.
    of : ndarray of int64, shape (n,)
        The cluster a member is in.
    begin : ndarray of int64, shape (clusters + 1,)
        Where a cluster's members begin.
    mass : ndarray of float64, shape (clusters,)
        Sum of the weights.
    centre : ndarray of float64, shape (clusters, d)
    spread : ndarray of float64, shape (clusters,)
        Mean squared distance from it under complete linkage, else 0.
    item : ndarray of int64, shape (clusters,)
        The smallest item.
    near : ndarray of int64, shape (clusters,)
        The nearest neighbour, or ~hint where it is to be searched.
    gap : ndarray of float64, shape (clusters,)
        How far it is.
    """

    points: Floats
    weight: Floats
    of: Ints
    begin: Ints
    mass: Floats
    centre: Floats
    spread: Floats
    item: Ints
    near: Ints
    gap: Floats


class Index(NamedTuple):
    """The kd-tree over the centres, with the smallest spread of every node."""

    block: Floats
    start: Ints
    stop: Ints
    low: Floats
    high: Floats
    least: Floats


def peak_bytes(n: int, d: int) -> int:
    """Peak bytes of the engine: points, centres and tree twice, columns of n entries, and the rows or the matrix."""
    few = min(n, MOST)
    rows = 8 * max(KEPT, ROWS_KEPT * n) if n > MOST else 0
    return 8 * n * (6 * d + 40) + max(stored.peak_bytes(few), rows)


def seconds(n: int, d: int, method: str) -> float:
    """Guess the seconds of the engine, from figures of one machine: good to a factor of two or so."""
    rounds, chain = 5e-13 * d**4, 1.3e-8 + 5e-10 * d  # of every pair of items; the chain runs on one thread
    few = min(n, LEAST if d < 10 else MOST)
    each = 1.7e-10 * d + (0.7e-9 if method == "complete" else 1.4e-9)  # without a square root, and with one
    matrix = n * n / 2 * (each + 3e-9 * few / n) + 12e-9 * few * few
    if rounds < chain:
        return (4e-6 * n + n * n * rounds + matrix) / pool.threads()
    return (n * n * chain if n > MOST else 0.0) + matrix / pool.threads()


def linkage_members(X: NDArray[np.floating[Any]], method: str, weights: Floats | None = None, *, metric: str = "euclidean",
                    progress: Progress = None) -> Merges:
    """Build the exact tree of points without a matrix of their distances.

    Parameters
    ----------
    X : ndarray of float32 or float64, shape (n, d)
        Finite; not written to.
    method : str
        One of `METHODS`.
    weights : ndarray, shape (n,), optional
        Under average linkage an item of weight w stands for w equal items; the others have no use for weights.
    metric : str
        One of `METRICS`.
    progress : callable, bool or None
        See `shoal.runtime.progress`.

    Returns
    -------
    Merges

    Raises
    ------
    InputError
        For another method or metric.

    Notes
    -----
    O(n·d) memory beside at most 300 MB. O(n²·d) time: that of n²/2 distances for few features, up to seven times it for
    many. That is the rule, not a bound: where hundreds of large clusters take turns to grow by an item, their distances
    to all others may be measured anew every time.

    Examples
    --------
    >>> import numpy as np
    >>> from shoal.trees.members import linkage_members
    >>> linkage_members(np.array([[0.0], [2.0], [7.0]]), "average").height
    array([2., 6.])
    """
    if method not in METHODS or metric not in METRICS:
        raise InputError(f"The engine over members has no {method!r} linkage with the metric {metric!r}.",
                         f"It has {', '.join(METHODS)} with {' or '.join(METRICS)}.")
    n = len(X)
    centre, power = _prepare(X)
    weight = np.ones(n) if weights is None or method != "average" else np.array(weights, np.float64)
    weight = np.ldexp(weight, -math.frexp(float(weight.max()))[1])  # products of weights stay in range
    with Ticker(progress, f"{method} linkage of {n:,} items") as ticker:
        found = _Engine(centre, weight, method, metric, ticker).merge_all()
    return _in_height_order(found.a, found.b, np.ldexp(found.h, power))


class _Engine:
    """Rounds, chain and finish over clusters whose columns shrink."""

    def __init__(self, rows: Floats, weight: Floats, method: str, metric: str, ticker: Ticker) -> None:
        n, self.d = rows.shape
        self.method, self.metric, self.ticker = method, METRICS.index(metric), ticker
        self.largest = method == "complete"
        self.found, self.made = _Found.room(n), 0
        first = first_equal(rows)
        keep = np.flatnonzero(first == np.arange(n))
        if len(keep) < n:
            gone = np.flatnonzero(first != np.arange(n))
            self._note(first[gone], gone, np.zeros(len(gone)))
            rows = rows[keep]
            np.add.at(weight, first[gone], weight[gone] if method == "average" else 0.0)
            weight = weight[keep]
        m = len(keep)
        self.c = Clusters(np.ascontiguousarray(rows.T), weight, np.arange(m), np.arange(m + 1), weight.copy(), rows,
                          np.zeros(m), keep, ~np.arange(m), np.full(m, math.inf))

    def merge_all(self) -> _Found:
        """Merge until one cluster is left."""
        while len(self.c.item) > LEAST:
            if self._round():
                continue
            if len(self.c.item) <= MOST:
                break
            self._follow_chain()
        self._finish()
        self.ticker.at(1.0)
        return self.found

    def _note(self, a: Ints, b: Ints, h: Floats) -> None:
        """Write down merges of the clusters of items a and b."""
        upto = self.made + len(h)
        self.found.a[self.made:upto], self.found.b[self.made:upto], self.found.h[self.made:upto] = a, b, h
        self.made = upto

    def _regroup(self, parts: Ints, counts: Ints, share: Floats) -> None:
        """Make each new cluster of the next `counts` of the old ones in `parts`; `share` is what an old one counts."""
        c, m = self.c, len(counts)
        offset = np.concatenate([[0], np.cumsum(counts)])
        lead, grown = parts[offset[:-1]], counts > 1
        begin = np.concatenate([[0], np.cumsum(np.add.reduceat(np.diff(c.begin)[parts], offset[:-1]))])
        into = np.empty(len(parts), np.int64)
        into[parts] = np.repeat(np.arange(m), counts)
        hint = into[np.where(c.near < 0, ~c.near, c.near)[lead]]
        near = np.where(grown, ~np.arange(m), np.where((c.near[lead] < 0) | grown[hint], ~hint, hint))
        n = len(c.weight)
        new = Clusters(np.empty((self.d, n)), np.empty(n), np.empty(n, np.int64), begin, np.empty(m), np.empty((m, self.d)),
                       np.empty(m), np.minimum.reduceat(c.item[parts], offset[:-1]), near, c.gap[lead])
        pool.run(lambda t0, t1: kernels.gather(c, new, parts, offset, share, self.largest, t0, t1), pool.blocks(m, GROUP))
        self.c = new

    def _reorder(self, order: Ints) -> None:
        self._regroup(order, np.ones(len(order), np.int64), np.ones(len(order)))

    # ------------------------------------------------------------------------------------------------------------ rounds

    def _round(self) -> bool:
        """Merge all reciprocal pairs; whether another round is worth it."""
        n, members = len(self.c.item), len(self.c.weight)
        limit = min(DEAR * n * members, SPARED * n * n if n <= MOST else math.inf)
        work = self._search(limit)
        if work < 0:
            return False
        c, mate = self.c, np.full(n, -1)
        count = kernels.pair_up(c.near, c.gap, mate)
        first = np.flatnonzero((mate < 0) | (mate > np.arange(n)))
        second = mate[first]
        pairs = second >= 0
        a, b = first[pairs], second[pairs]
        self._note(c.item[a], c.item[b], c.gap[a])
        share = np.ones(n)
        if self.method == "weighted":
            share[a] = share[b] = 0.5
        parts = np.column_stack([first, second]).ravel()
        self._regroup(parts[parts >= 0], 1 + pairs, share)
        self._tell()
        return count * FEW >= n and work <= limit

    def _search(self, limit: float) -> int:
        """Find the neighbours that are missing; return the distances taken, or -1 where they would be beyond the limit."""
        tree = kdtree.build(self.c.centre)
        self._reorder(tree.order)
        c, inner = self.c, tree.leaves - 1
        x = Index(tree.block, tree.start, tree.stop, tree.low, tree.high, np.empty(len(tree.start)))
        kernels.summarise(c.spread, x.start, x.stop, x.least, inner)
        leaves = max(1, LEAVES * 64 * len(c.item) // (max(64, self.d**2) * len(c.weight)))
        todo = [(inner + v0, inner + v1) for v0, v1 in pool.blocks(tree.leaves, leaves)]
        work: list[int] = []

        def search(v0: int, v1: int) -> None:
            work.append(kernels.search(x, c, self.metric, self.largest, v0, v1, np.empty(DEPTH, np.int64), np.empty(DEPTH),
                                       np.empty(x.block.shape[2]), _room()))

        trial = todo[::TRIAL]
        pool.run(search, trial)
        if sum(work) * len(todo) > limit * len(trial):
            return -1
        pool.run(search, [task for k, task in enumerate(todo) if k % TRIAL])
        return sum(work)

    def _tell(self) -> None:
        """Progress: the rounds and the chain are a third of it, as a rule."""
        n = len(self.found.h) + 1
        self.ticker.at((self.made + 1) / n / 3)

    # ------------------------------------------------------------------------------------------------------------- chain

    def _follow_chain(self) -> None:
        """Merge one pair after the other, until half of the clusters are gone."""
        self._reorder(np.argsort(self.c.item))
        n = len(self.c.item)
        rows, place, first = _Rows(self), np.full(n, -1), 0
        path: list[int] = []
        living, until = n, max(MOST, n // 2)
        while living > until:
            if not path:
                while rows.owner[first] != first:
                    first += 1
                path.append(first)
                place[first] = 0
            p = path[-1]
            row = rows.of(p)
            q = int(np.argmin(row))
            if len(path) > 1 and row[path[-2]] == row[q]:  # on a tie the chain turns back
                q = path[-2]
            if place[q] < 0:
                place[q] = len(path)
                path.append(q)
                continue
            # q comes before p, as a rule just before. If not, rounding has made a circle of equal distances.
            self._note(*(np.array([v]) for v in (self.c.item[p], self.c.item[q], row[q])))
            back = int(place[q])
            place[path[back:]] = -1
            del path[back:]
            rows.merge(p, q)
            living -= 1
            self._tell()
        parts = np.argsort(rows.owner, kind="stable")
        counts = np.bincount(rows.owner, minlength=n)
        self._regroup(parts, counts[counts > 0], rows.share)

    def measure(self, a0: int, a1: int, out: Floats, triangle: bool) -> None:
        """Accumulate members a0 … a1 with all others into a row, or into the condensed matrix of all clusters."""
        c, each = self.c, self.d + 8  # a square root takes the time of some eight features
        n = len(c.weight)
        rows = max(1, min(ROWS, a1 - a0, WAVE // (n * each)))
        count = min(n, -(-n * rows * each // STEP))
        bounds = np.unique(np.append(c.begin[c.of[np.arange(count) * n // count]], n)).tolist()
        tasks = list(itertools.pairwise(bounds))
        for r0, r1 in pool.blocks(a1 - a0, rows):
            def work(b0: int, b1: int, p0: int = a0 + r0, p1: int = a0 + r1) -> None:
                kernels.measure(c, self.metric, self.largest, triangle, p0, p1, b0, b1, _room(), out)

            first = int(c.begin[c.of[a0 + r0]]) if triangle else 0
            pool.run(work, [task for task in tasks if task[1] > first])
            if triangle:
                self.ticker.at((1.0 + (1.0 - (1.0 - r1 / n) ** 2)) / 3)

    # ------------------------------------------------------------------------------------------------------------ finish

    def _finish(self) -> None:
        """Measure all pairs of the clusters that are left, and merge them over their stored matrix."""
        self._reorder(np.argsort(self.c.item))
        c, m = self.c, len(self.c.item)
        D = np.zeros(m * (m - 1) // 2)
        self.measure(0, len(c.weight), D, triangle=True)
        if not self.largest:
            for i0, i1, start in pool.triangle_blocks(m, STEP):
                for i in range(i0, i1):
                    D[start:start + m - 1 - i] /= c.mass[i] * c.mass[i + 1:]
                    start += m - 1 - i
        rest = linkage_stored(D, m, self.method, c.mass)
        smallest = list(range(m))
        for t in rest.left.tolist():
            smallest.append(smallest[t])
        slot = np.array(smallest)
        self._note(c.item[slot[rest.left]], c.item[slot[rest.right]], rest.height)


class _Rows:
    """Distances of some clusters to all others, by position, kept up to date while clusters merge.

    A union lives at the position of its smaller item. When there is no room left, the row that is cheapest to measure
    again is given up, as soon as rows of that price were measured since it was used (Young 1994: greedy-dual).
    """

    def __init__(self, engine: _Engine) -> None:
        self.engine, c = engine, engine.c
        n = len(c.item)
        self.owner, self.share = np.arange(n), np.ones(n)
        self.size, self.mass = np.diff(c.begin), c.mass.copy()
        self.beyond = np.zeros(n)  # infinity where there is no cluster any more
        self.table = np.empty((min(n, max(ROWS_KEPT, KEPT // n)), n))
        self.slot, self.holder = np.full(n, -1), np.full(len(self.table), -1)
        self.worth, self.given_up = np.zeros(len(self.table), np.int64), 0

    def of(self, p: int) -> Floats:
        """The row of cluster p: infinity at itself, and at positions without a cluster."""
        slot = int(self.slot[p])
        if slot < 0:
            slot = int(np.argmin(self.worth))
            if self.holder[slot] >= 0:
                self.slot[self.holder[slot]], self.given_up = -1, self.worth[slot]
            self.slot[p], self.holder[slot] = slot, p
            self._measure(p, self.table[slot])
        self.worth[slot] = self.given_up + self.size[p]
        row: Floats = self.table[slot]
        return row

    def _measure(self, p: int, row: Floats) -> None:
        e, sums = self.engine, np.empty(len(row))
        row[:] = self.beyond
        row[p] = math.inf
        for part in np.flatnonzero(self.owner == p).tolist():
            sums[:] = 0.0
            e.measure(int(e.c.begin[part]), int(e.c.begin[part + 1]), sums, triangle=False)
            kernels.fold(sums, self.share, self.share[part], self.owner, self.mass, p, e.largest, row)

    def merge(self, p: int, q: int) -> None:
        """Merge clusters p and q, p's row being kept."""
        other = self.table[self.slot[q]] if self.slot[q] >= 0 else np.empty(len(self.owner))
        if self.slot[q] < 0:
            self._measure(q, other)
        slot, halves = int(self.slot[p]), self.engine.method == "weighted"
        low, high = min(p, q), max(p, q)
        whole = self.mass[p] + self.mass[q]
        to_high, to_q = (0.5, 0.5) if halves else (self.mass[high] / whole, self.mass[q] / whole)
        kernels.unite(self.table, self.holder, slot, other, self.owner, COMPLETE if self.engine.largest else LINEAR, low,
                      high, to_high, to_q)
        if self.slot[q] >= 0:
            self.holder[self.slot[q]], self.worth[self.slot[q]] = -1, 0
        self.slot[[p, q]] = -1
        self.slot[low], self.holder[slot] = slot, low
        joint = (self.owner == p) | (self.owner == q)
        self.owner[joint] = low
        if halves:
            self.share[joint] *= 0.5
        else:
            self.mass[low] = whole
        self.size[low] += self.size[high]
        self.beyond[high] = math.inf
        self.worth[slot] = self.given_up + self.size[low]


def _room() -> Floats:
    """Scratch for distances between members."""
    return np.empty((3, 512))
