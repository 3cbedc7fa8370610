"""Rules for cutting a tree by the book: sets, loops and every combination tried."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from naive.cuts import item_sets

Sets = set[frozenset[int]]


def lifted(merges: Sequence[Any], n: int, values: Sequence[float]) -> list[float]:
    """The largest value in the subtree of every node; -inf for items."""
    top = [-math.inf] * n
    for (left, right, *_), value in zip(merges, values, strict=True):
        top.append(max(float(value), top[int(left)], top[int(right)]))
    return top


def heights_of(merges: Sequence[Any], n: int) -> list[float]:
    """The largest height in the subtree of every node; 0 for items."""
    return [0.0] * n + lifted(merges, n, [m[2] for m in merges])[n:]


def maximal(groups: Sequence[frozenset[int]]) -> Sets:
    return {g for g in groups if not any(g < other for other in groups)}


def naive_threshold(merges: Sequence[Any], n: int, values: Sequence[float], t: float) -> Sets:
    """Maximal subtrees all of whose merges have a value of at most t."""
    sets, top = item_sets(merges, n), lifted(merges, n, values)
    return maximal([s for s, v in zip(sets, top, strict=True) if v <= t])


def naive_inconsistency(merges: Sequence[Any], n: int, depth: int) -> list[tuple[float, float, int, float]]:
    """Mean, standard deviation, count and coefficient of every merge over the merges fewer than `depth` levels below."""
    found = []
    for t in range(n - 1):
        level, heights = [n + t], []
        for _ in range(depth):
            level = [v for v in level if v >= n]
            heights += [float(merges[v - n][2]) for v in level]
            level = [int(c) for v in level for c in merges[v - n][:2]]
        mean = math.fsum(heights) / len(heights)
        squares = math.fsum((h - mean) ** 2 for h in heights)
        deviation = math.sqrt(squares / (len(heights) - 1)) if len(heights) > 1 and len(set(heights)) > 1 else 0.0
        excess = (float(merges[t][2]) - mean) / deviation if deviation > 0 else 0.0
        found.append((mean, deviation, len(heights), excess))
    return found


def naive_stable(merges: Sequence[Any], n: int, least: int, single: bool) -> float:
    """The largest total stability of disjoint branches, every set of them tried."""
    sets, top = item_sets(merges, n), heights_of(merges, n)
    positive = [h for h in top[n:] if 0 < h < math.inf]
    floor = min(positive, default=1.0)
    density = [1.0 / max(h, floor) for h in top]
    above = {int(c): n + t for t, m in enumerate(merges) for c in m[:2]}
    candidates = []
    for v in range(2 * n - 1):
        if len(sets[v]) < least or top[v] == math.inf:
            continue
        if v not in above:
            if not single:
                continue
            birth = 0.0
        else:
            a, b = (int(c) for c in merges[above[v] - n][:2])
            split = top[above[v]] == math.inf or min(len(sets[a]), len(sets[b])) >= least
            if not split:
                continue
            birth = density[above[v]] if top[above[v]] < math.inf else 0.0
        total = 0.0
        for item in sets[v]:  # an item leaves at the highest node below v, on its way, that splits or has lost it
            w, leave = v, None
            while leave is None:
                a, b = (int(c) for c in merges[w - n][:2])
                big = [c for c in (a, b) if len(sets[c]) >= least]
                if len(big) != 1 or item not in sets[big[0]]:
                    leave = density[w]
                else:
                    w = big[0]
            total += leave - birth
        candidates.append((sets[v], total))
    best = 0.0
    for r in range(1, len(candidates) + 1):
        for some in combinations(candidates, r):
            if sum(len(s) for s, _ in some) == len(frozenset().union(*(s for s, _ in some))):
                best = max(best, math.fsum(x for _, x in some))
    return best


def naive_bars(merges: Sequence[Any], n: int, least: int) -> list[tuple[float, float]]:
    """(birth, death) of every branch of at least `least` items, by the elder rule, sorted."""
    sets, top = item_sets(merges, n), heights_of(merges, n)
    born: dict[frozenset[int], float] = {s: 0.0 for s in sets[:n] if least <= 1}
    bars = []
    for t, m in enumerate(merges):
        both = [born.pop(sets[int(c)]) for c in m[:2] if sets[int(c)] in born]
        whole, h = sets[n + t], top[n + t]
        if h == math.inf:
            bars += [(b, math.inf) for b in both]
        elif len(both) == 2:
            bars.append((max(both), h))
            born[whole] = min(both)
        elif both:
            born[whole] = both[0]
        elif len(whole) >= least:
            born[whole] = h
    return sorted(bars + [(b, math.inf) for b in born.values()])


def naive_dynamic(merges: Sequence[Any], n: int, least: int, rounds: int, line: float) -> Sets:
    """Split branches at the mean of their heights, or else halfway up or down, while two pieces are large enough."""
    sets, top = item_sets(merges, n), heights_of(merges, n)

    def pieces(inside: frozenset[int], at: float) -> Sets:
        low = [s for s, h in zip(sets, top, strict=True) if s <= inside and (h <= at or len(s) == 1)]
        return {s for s in maximal(low) if len(s) >= least}

    done: Sets = set()
    todo = [(s, 0) for s in pieces(frozenset(range(n)), line)]
    while todo:
        branch, used = todo.pop()
        inside = [h for s, h in zip(sets, top, strict=True) if s <= branch and len(s) > 1]
        parts: Sets = set()
        if used < rounds and inside:
            mean = sum(inside) / len(inside)
            for at in (mean, (mean + max(inside)) / 2, (mean + min(inside)) / 2):
                parts = pieces(branch, at)
                if len(parts) > 1:
                    break
        if len(parts) < 2:
            done.add(branch)
        else:
            one = [s for s in sets if s <= branch and sum(p <= s for p in parts) == 1]
            todo += [(s, used + 1) for s in maximal(one)]
    return done


def distance(x: Sequence[float], y: Sequence[float]) -> float:
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(x, y, strict=True)))


def means_of(X: Sequence[Sequence[float]], labels: Sequence[int], w: Sequence[float]) -> dict[int, list[float]]:
    found = {}
    for c in set(labels):
        at = [i for i, own in enumerate(labels) if own == c]
        mass = sum(w[i] for i in at)
        found[c] = [sum(w[i] * X[i][j] for i in at) / mass for j in range(len(X[0]))]
    return found


def naive_calinski_harabasz(X: Any, labels: Sequence[int], w: Sequence[float]) -> float:
    """Between over within, each by its degrees of freedom."""
    means, whole = means_of(X, labels, w), means_of(X, [0] * len(labels), w)[0]
    inner = sum(v * distance(x, means[c]) ** 2 for x, c, v in zip(X, labels, w, strict=True))
    outer = sum(v * distance(means[c], whole) ** 2 for c, v in zip(labels, w, strict=True))
    return (outer / (len(means) - 1)) / (inner / (sum(w) - len(means)))


def naive_davies_bouldin(X: Any, labels: Sequence[int], w: Sequence[float]) -> float:
    """The mean over clusters of the worst ratio of spreads to the distance of means."""
    means = means_of(X, labels, w)
    spread = {c: sum(v * distance(x, means[c]) for x, own, v in zip(X, labels, w, strict=True) if own == c)
              / sum(v for own, v in zip(labels, w, strict=True) if own == c) for c in means}
    return sum(max((spread[c] + spread[o]) / distance(means[c], means[o]) for o in means if o != c)
               for c in means) / len(means)
