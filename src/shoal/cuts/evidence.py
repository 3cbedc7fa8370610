"""The clusters that the data speaks for: splits of the tree that structureless data does not show.

From the root down, the two sides of every split are compared by five witnesses of separateness. Each is expressed in
standard deviations from what the first split of structureless data shows: data with as many items and the same
covariance, through the same linkage. A tree finds two sides in anything, and on the line between two sides that it chose
itself even one round cloud looks like two; the reference data looks so as well, which is why no table of critical values
will do. Three kinds of reference are drawn, and the split must stand out from each: a box (the flattest of unimodal
shapes, whose halves are as separate as those of one cluster can be), an ellipsoid whose radii spread as those of the
data (a Gaussian, a shell, or tails as heavy as the data has), and features drawn on their own, each with the spread and
the skewness it has but a single mode.

The idea of testing merges against a null of the same covariance is of Kimes et al. 2017, doi:10.1111/biom.12647; the
witnesses and the references are our own choice, made on the sets of benchmarks/cutsets.py.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from shoal.cuts.dip import dip
from shoal.trees.merges import Floats, Ints, Merges, leaf_counts

__all__ = ["LIMIT", "Split", "Verdict", "best_cut"]

# Numbers tuned on seeds below 1,000 of benchmarks/cutsets.py; the figures published are of other seeds.
LEAST = 4  # items of a side that can be judged; fewer are outliers of the other side
SMALL = 20  # with fewer items than this in all, two are enough for a side
MOST = 400  # items a split is judged on
ENOUGH = 20  # items of the smaller side that a random choice of these should leave
STAGES = ((8, 2.0), (24, 1.0), (64, 0.0))  # reference sets of a kind, and how near to the limit a score then is open

LIMIT = 2.3  # standard deviations above which two sides are separate
NEXT = 1.5  # the limit at a height of at least SCALE times one taken: the scale at which the data falls apart is known
SCALE = 0.5
FURTHER = 2.0  # what is added to the limit below FAR times the heights taken
FAR = 0.3
STRICT = 1.0  # what is added where a side has less than the share FEWER of the items, and may be a tail
FEWER = 0.05
TWIG = 0.1  # a side that is not separate and has less than this share of the items is outliers
NEAR = 0.7  # a score so near to its limit might have fallen on the other side

LOWEST, HIGHEST = -1.5, 12.0  # what one witness can say: no single one outvotes the others
SPREAD = 0.02  # least standard deviation of a witness (they are logarithms), for references that are all alike
BOX, ELLIPSOID, SINGLY = 0, 1, 2  # kinds of reference


class Split(NamedTuple):
    """A split that was judged.

    Attributes
    ----------
    node : int
        The merge that joins the two sides.
    small : int
        Items of the smaller side that were looked at.
    score : float
        Standard deviations above structureless data; infinite where a graph leaves the sides apart.
    limit : float
        What the score had to exceed.
    """

    node: int
    small: int
    score: float
    limit: float


class Verdict(NamedTuple):
    """The clusters that the data speaks for.

    Attributes
    ----------
    nodes : ndarray of int, shape (k,)
        The tree's nodes that are the clusters; the root alone for one cluster. Items below none of them are outliers
        that join no cluster before clusters join one another.
    taken, refused : tuple of Split
        The splits between and within the clusters.
    also : tuple of int
        Numbers of clusters that cannot be told apart from this one.
    """

    nodes: Ints
    taken: tuple[Split, ...]
    refused: tuple[Split, ...]
    also: tuple[int, ...]


def witnesses(X: Floats, D: Floats, cut: int, rise: float) -> Floats:
    """Return five measures, as logarithms, of how separate the first `cut` rows are from the others.

    The dip on the line between the two means; the lowest pass between the sides, and the way from the items of the smaller
    side to their neighbours across, both beside the way to neighbours within; the distance of the means beside the spread
    along their line; the rise of the split's height above those of its sides.
    """
    small, large = (slice(0, cut), slice(cut, None)) if 2 * cut <= len(X) else (slice(cut, None), slice(0, cut))
    own, other, across = D[small, small], D[large, large], D[small, large]
    kth = min(max(2, math.isqrt(len(own))), len(own) - 1)
    near_own, near_other = np.partition(own, kth)[:, kth], np.partition(other, kth)[:, kth]
    far = min(kth, len(other) - 1)
    tiny = 1e-9 * float(D.max()) + 1e-300  # items at one place
    usual = np.median(near_own) + tiny
    lowest_pass = np.maximum(across, np.maximum(near_own[:, None], near_other)).min() + tiny
    along = X @ (X[large].mean(axis=0) - X[small].mean(axis=0))
    spread = math.sqrt((along[small].var() + along[large].var()) / 2)
    apart = along[large].mean() - along[small].mean()
    return np.array([math.log(dip(along)), math.log(lowest_pass / max(usual, np.median(near_other) + tiny)),
                     math.log((np.median(np.partition(across, far)[:, far]) + tiny) / usual),
                     math.log(max(apart, 1e-300) / max(spread, 1e-9 * apart, 1e-300)), rise])


class Shape(NamedTuple):
    """What structureless data has in common with some points."""

    X: Floats  # about its medians
    spread: Floats  # standard deviations along the principal axes
    radius: float  # mean logarithm of the distances from the middle, in these
    radii: float  # its standard deviation

    @classmethod
    def of(cls, X: Floats) -> Shape:
        """Describe points."""
        U, s, _ = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
        kept = s > 1e-9 * s[0]
        logs = np.log(np.maximum(np.linalg.norm(U[:, kept], axis=1) * math.sqrt(len(X) - 1), 1e-9))
        return cls(X - np.median(X, axis=0), s[kept] / math.sqrt(len(X) - 1), float(logs.mean()), float(logs.std()))

    def draw(self, kind: int, rng: np.random.Generator) -> Floats:
        """Draw points without structure: of one of three kinds."""
        n = len(self.X)
        if kind == SINGLY or (kind == ELLIPSOID and len(self.spread) == 1):  # on a line, a shell would be two groups
            # A uniform share of any variable has one mode, at 0 (Khinchine 1938).
            return rng.permuted(self.X, axis=0) * (math.sqrt(3) * rng.uniform(size=self.X.shape))
        if kind == BOX:
            return rng.uniform(-math.sqrt(3), math.sqrt(3), (n, len(self.spread))) * self.spread
        directions = rng.normal(size=(n, len(self.spread)))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        return directions * np.exp(rng.normal(self.radius, self.radii, (n, 1))) * self.spread


def reference(shape: Shape, kind: int, method: str, least: int, rng: np.random.Generator) -> Floats:
    """Return the witnesses for structureless data: of the first split with `least` items on either side, or nearest to it.

    By scipy: at some tens of items its chain takes a tenth of the time of an engine that is made for large matrices.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import pdist, squareform

    n, X = len(shape.X), shape.draw(kind, rng)
    condensed = pdist(X)
    Z = linkage(condensed, method)  # type: ignore[arg-type]  # the name was checked where the tree was built
    node, begin = 2 * n - 2, 0
    best = (0, 0, 0, 0, 0)  # items of the smaller side, the split, its first leaf, items of either side
    while node >= n and best[0] < least:
        left, right = int(Z[node - n, 0]), int(Z[node - n, 1])
        first, second = (1 if v < n else int(Z[v - n, 3]) for v in (left, right))
        if min(first, second) > best[0]:
            best = min(first, second), node, begin, first, second
        node, begin = (left, begin) if first >= second else (right, begin + first)
    _, node, begin, first, second = best
    order = leaves_list(Z)[begin:begin + first + second]
    left, right = int(Z[node - n, 0]), int(Z[node - n, 1])
    return witnesses(X[order], squareform(condensed)[np.ix_(order, order)], first,
                     rise(*(float(Z[v - n, 2]) if v >= n else 0.0 for v in (node, left, right))))


def rise(height: float, left: float, right: float) -> float:
    """Logarithm of a merge's height beside the larger of its sides'."""
    below = max(left, right, 1e-300)
    return math.log(height / below) if height > below else 0.0


def score(X: Floats, cut: int, up: float, method: str, seed: int) -> float:
    """Standard deviations by which two sides are more separate than those of structureless data.

    Parameters
    ----------
    X : ndarray, shape (m, d)
    cut : int
        Rows before it are one side.
    up : float
        The rise of the split.
    method : str
        The linkage.
    seed : int
    """
    from scipy.spatial.distance import pdist, squareform

    rng = np.random.default_rng([seed, len(X), cut])
    if len(X) > MOST:
        kept = _fewer(X, cut, rng)
        X, cut = X[kept], int((kept < cut).sum())
    D = squareform(pdist(X))
    if not D.any():
        return 0.0
    seen, shape, sides = witnesses(X, D, cut, up), Shape.of(X), min(LEAST, cut, len(X) - cut)
    drawn: list[list[Floats]] = [[], [], []]
    least = 0.0
    for wanted, margin in STAGES:
        least = math.inf
        for kind in (BOX, ELLIPSOID, SINGLY):
            drawn[kind] += [reference(shape, kind, method, sides, rng) for _ in range(wanted - len(drawn[kind]))]
            least = min(least, _beyond(seen, np.array(drawn[kind])))
            if least < LIMIT - margin:
                return least
        if least > LIMIT + margin:
            break
    return least


def _fewer(X: Floats, cut: int, rng: np.random.Generator) -> Ints:
    """`MOST` of the rows, ascending: at random, or a small side with what is nearest to it."""
    small = min(cut, len(X) - cut)
    if small * MOST >= ENOUGH * len(X):
        return np.sort(rng.choice(len(X), MOST, replace=False))
    middle = (X[:cut] if small == cut else X[cut:]).mean(axis=0)
    away = ((X - middle) ** 2).sum(axis=1)
    away[slice(0, cut) if small == cut else slice(cut, None)] = -1.0
    return np.sort(np.argsort(away, kind="stable")[:MOST])


def _beyond(seen: Floats, drawn: Floats) -> float:
    """Standard deviations of the sum of all witnesses above its mean in the references."""
    mean, spread = drawn.mean(axis=0), np.maximum(drawn.std(axis=0, ddof=1), SPREAD)
    sums = np.clip((drawn - mean) / spread, LOWEST, HIGHEST).sum(axis=1)
    total = float(np.clip((seen - mean) / spread, LOWEST, HIGHEST).sum())
    return (total - float(sums.mean())) / max(float(sums.std(ddof=1)), 2.0)


@dataclass
class Judge:
    """A tree with the coordinates of some of its items, from left to right, and the scores of splits."""

    merges: Merges
    begin: Ints
    X: Floats
    places: Ints
    method: str
    scores: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.n = self.merges.n
        self.first = np.searchsorted(self.places, self.begin)
        self.last = np.searchsorted(self.places, self.begin + leaf_counts(self.merges))
        self.least = LEAST if len(self.places) >= SMALL else 2

    def items(self, node: int) -> int:
        """Items below a node that have coordinates."""
        return int(self.last[node] - self.first[node])

    def height(self, node: int) -> float:
        """Height of a node, 0 for an item."""
        return float(self.merges.height[node - self.n]) if node >= self.n else 0.0

    def sides(self, node: int) -> tuple[int, int]:
        """The two nodes below, the larger one first."""
        left, right = int(self.merges.left[node - self.n]), int(self.merges.right[node - self.n])
        return (left, right) if self.items(left) >= self.items(right) else (right, left)

    def split(self, node: int) -> int | None:
        """The first node from this one down, past outliers, with two sides that can be judged."""
        while node >= self.n:
            large, small = self.sides(node)
            if self.items(small) >= self.least:
                return node
            node = large
        return None

    def score(self, node: int) -> float:
        """Score of the split at a node that `split` gave."""
        if node not in self.scores:
            height, below = self.height(node), [self.height(side) for side in self.sides(node)]
            self.scores[node] = math.inf
            if math.isfinite(height):
                first, cut = int(self.first[node]), self.items(int(self.merges.left[node - self.n]))
                self.scores[node] = score(self.X[first:self.last[node]], cut, rise(height, *below), self.method, first)
        return self.scores[node]

    def judge(self, node: int, limit: float) -> Split:
        """The split with its score and the limit that it has to exceed."""
        small = self.items(self.sides(node)[1])
        return Split(node, small, self.score(node), limit + (STRICT if small < FEWER * self.items(node) else 0.0))

    def separate_next(self, node: int) -> bool:
        """Whether the next split on the larger side is clearly separate.

        Where several clusters lie on either side, two of them can hide the gap between the others.
        """
        at = self.split(self.sides(node)[0])
        return at is not None and separate(self.judge(at, LIMIT + STRICT))


def separate(split: Split) -> bool:
    """Whether a split stands out."""
    return split.score > split.limit


def best_cut(merges: Merges, begin: Ints, X: Floats, places: Ints, method: str, most: int) -> Verdict:
    """Go down from the root as long as the sides are separate.

    Parameters
    ----------
    merges : Merges
    begin : ndarray of int, shape (2n - 1,)
        Position of every node's first leaf.
    X : ndarray, shape (m, d)
        Coordinates of all items or of a sample, from left to right.
    places : ndarray of int, shape (m,)
        Their positions, ascending.
    method : str
        The linkage that made the tree.
    most : int
        The largest number of clusters wanted; the highest splits are taken first.

    Notes
    -----
    At most 3·64 trees of `MOST` items for a split, as a rule 8 to 50: some 50 ms. The same result every time.
    """
    judge = Judge(merges, begin, X, places, method)
    todo: list[tuple[float, int, int]] = []
    whole: list[int] = []
    taken: list[Split] = []
    refused: list[Split] = []

    def add(node: int) -> None:
        at = judge.split(node)
        if at is None:
            whole.append(node)
        else:
            heapq.heappush(todo, (-judge.height(at), at, node))

    add(2 * merges.n - 2)
    lowest = math.inf
    while todo and len(todo) + len(whole) < most:
        _, at, node = heapq.heappop(todo)
        split = judge.judge(at, _limit(judge.height(at), lowest))
        (large, small), stands_out = judge.sides(at), separate(split)
        if not stands_out and not judge.separate_next(at):
            whole.append(node)
            refused.append(split)
            continue
        add(large)
        if stands_out:
            taken.append(split)
            lowest = min(lowest, judge.height(at))
        if stands_out or split.small >= TWIG * judge.items(at):
            add(small)
    nodes = np.array(sorted([*whole, *(node for _, _, node in todo)]))
    fewer = sum(s.score < s.limit + NEAR for s in taken)
    more = sum(s.score > s.limit - NEAR for s in refused)
    k = len(nodes)
    return Verdict(nodes, tuple(taken), tuple(refused), tuple(j for j in range(k - fewer, k + more + 1) if j != k))


def _limit(height: float, lowest: float) -> float:
    """What a split at a height has to exceed, when the lowest one taken so far was at another; none: infinite."""
    if math.isinf(lowest):
        return LIMIT
    return NEXT if height > SCALE * lowest else LIMIT if height > FAR * lowest else LIMIT + FURTHER
