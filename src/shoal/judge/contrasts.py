"""What sets a cluster apart from the others: features that differ, a short rule, and key terms.

Sources: standardised differences by Cohen 1988 (two groups, the mean of their variances), F by Fisher's analysis of variance
in one way; terms by their divergence from all texts, Carpineto, de Mori, Romano & Bigi 2001, doi:10.1145/366836.366860.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Column", "Contrast", "Contrasts", "Keyword", "Rule", "columns_of", "contrasts", "keywords"]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

LEVELS = 50  # levels of a column of texts that are looked at, the most frequent ones
RULE_FEATURES = 20  # features a rule may be made of, those that differ most
RULE_ITEMS = 20_000  # items a rule is learned from; its precision and coverage are taken on all
DEPTH = 3  # conditions of a rule
ROUNDING = 1e-13  # means of equal values differ by less of their size


class Column(NamedTuple):
    """A column of numbers, or of the truth of ``name = level``.

    Attributes
    ----------
    name : str
    level : str or None
    values : ndarray, shape (n,)
        NaN where missing.
    """

    name: str
    level: str | None
    values: Floats


class Contrast(NamedTuple):
    """How a feature differs between a cluster and all other items.

    Attributes
    ----------
    cluster : int
    feature : str
    level : str or None
        Of a column of texts: the text whose shares are compared.
    inside, outside : float
        Mean, or share of the level, in the cluster and among all other items.
    difference : float
        (inside - outside) / √(mean of the two variances); infinite where neither varies.
    F : float
        Variance between all clusters over variance within; NaN where nothing varies within.
    """

    cluster: int
    feature: str
    level: str | None
    inside: float
    outside: float
    difference: float
    F: float


class Rule(NamedTuple):
    """Conditions that pick out a cluster.

    Attributes
    ----------
    cluster : int
    text : str
    precision : float
        Share of the items that meet it which are in the cluster.
    coverage : float
        Share of the cluster's items that meet it.
    """

    cluster: int
    text: str
    precision: float
    coverage: float


class Keyword(NamedTuple):
    """A term that is frequent in a cluster and rare elsewhere.

    Attributes
    ----------
    cluster : int
    term : str
    score : float
        tf·icf.
    inside, outside : float
        Share of the items that have the term, in the cluster and among all others.
    """

    cluster: int
    term: str
    score: float
    inside: float
    outside: float


@dataclass(frozen=True, repr=False)
class Contrasts:
    """What sets clusters apart: ``.rows``, the largest differences first within each cluster, and a rule for each."""

    rows: tuple[Contrast, ...]
    rules: tuple[Rule, ...]

    def __repr__(self) -> str:
        lines = []
        for rule in self.rules:
            lines.append(f"cluster {rule.cluster}: {rule.text} (precision {rule.precision:.0%}, "
                         f"coverage {rule.coverage:.0%})")
            lines += [f"  {_named(r.feature, r.level)}: {r.inside:.4g} against {r.outside:.4g} elsewhere "
                      f"({r.difference:+.1f} sd, F = {r.F:.3g})" for r in self.rows if r.cluster == rule.cluster]
        return "\n".join(lines)

    def to_frame(self, like: Any = None) -> Any:
        """Return the rows as a table in the library of `like`."""
        from shoal.data.tables import to_frame

        return to_frame({name: [getattr(r, name) for r in self.rows] for name in Contrast._fields}, like)


def columns_of(name: str, texts: Sequence[Any]) -> Iterator[Column]:
    """Make columns of the levels of a column of texts, the most frequent ones; None is missing."""
    written = [None if text is None or text != text else str(text) for text in texts]
    there = [text for text in written if text is not None]
    missing = np.array([text is None for text in written])
    cells = np.array(["" if text is None else text for text in written])
    for level, _ in sorted(Counter(there).items(), key=lambda one: (-one[1], one[0]))[:LEVELS]:
        yield Column(name, level, np.where(missing, np.nan, cells == level))


def contrasts(columns: Sequence[Column], labels: Ints, k: int, weights: Floats, top: int) -> Contrasts:
    """Compare every cluster with all other items, feature by feature.

    Parameters
    ----------
    columns : sequence of Column
    labels : ndarray of int, shape (n,)
        0 … k-1; items with -1 count among the others.
    k : int
    weights : ndarray, shape (n,)
    top : int
        Features wanted of every cluster.

    Notes
    -----
    O(n·d); missing values are left out of their column.
    """
    moments = np.array([_moments(column.values, labels, k, weights) for column in columns]).reshape(len(columns), 3, k + 1)
    mass, mean, spread = moments.transpose(1, 0, 2)  # of features and clusters, the last one noise
    F = _analysis_of_variance(mass[:, :k], mean[:, :k], spread[:, :k])
    rows, rules = [], []
    for c in range(k):
        inside = mean[:, c], _over(spread[:, c], mass[:, c])
        others = [o for o in range(k + 1) if o != c]
        outside = _together(mass[:, others], mean[:, others], spread[:, others])
        gap = inside[0] - outside[0]
        alike = np.isnan(gap) | (np.abs(gap) <= ROUNDING * np.maximum(np.abs(inside[0]), np.abs(outside[0])))
        difference = np.where(alike, 0.0, _over(gap, np.sqrt((inside[1] + outside[1]) / 2.0)))
        by = np.lexsort((np.arange(len(columns)), difference < 0, -np.abs(difference)))
        by = by[difference[by] != 0.0]
        rows += [Contrast(c, columns[j].name, columns[j].level, float(inside[0][j]), float(outside[0][j]),
                          float(difference[j]), float(F[j])) for j in by[:top].tolist()]
        rules.append(_rule(c, columns, by[:RULE_FEATURES].tolist(), labels == c, weights))
    return Contrasts(tuple(rows), tuple(rules))


def _moments(values: Floats, labels: Ints, k: int, weights: Floats) -> list[Floats]:
    """Mass, mean and sum of squares about the mean in every cluster, noise last."""
    there = ~np.isnan(values)
    group = np.where(labels < 0, k, labels)[there]
    w, v = weights[there], np.asarray(values, np.float64)[there]
    mass = np.bincount(group, w, k + 1)
    mean = _over(np.bincount(group, w * v, k + 1), mass)
    spread = np.bincount(group, w * (v - mean[group]) ** 2, k + 1)
    return [mass, mean, np.where(spread > ROUNDING**2 * mass * mean**2, spread, 0.0)]


def _over(a: Any, b: Any) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.divide(a, b), np.float64)


def _together(mass: Floats, mean: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of several groups taken as one."""
    total = mass.sum(axis=1)
    filled = np.where(mass > 0, mean, 0.0)
    middle = _over((mass * filled).sum(axis=1), total)
    return middle, _over((spread + mass * (filled - middle[:, None]) ** 2).sum(axis=1), total)


def _analysis_of_variance(mass: Floats, mean: Floats, spread: Floats) -> Floats:
    """Fisher's F of every feature over the clusters."""
    groups, total = (mass > 0).sum(axis=1), mass.sum(axis=1)
    filled = np.where(mass > 0, mean, 0.0)
    middle = _over((mass * filled).sum(axis=1), total)
    between = (mass * (filled - middle[:, None]) ** 2).sum(axis=1) / np.maximum(groups - 1, 1)
    within = _over(spread.sum(axis=1), total - groups)
    return np.where(groups > 1, _over(between, within), np.nan)


def _rule(cluster: int, columns: Sequence[Column], by: list[int], inside: NDArray[np.bool_], weights: Floats) -> Rule:
    """Learn a small classification tree of the columns `by`, and take the leaf with the largest F1 for the cluster."""
    found, best = Rule(cluster, "all items", float(weights[inside].sum() / weights.sum()), 1.0), 0.0
    if not by or inside.all():
        return found
    X = np.column_stack([np.where(np.isnan(v), np.nanmedian(v), v) for v in (columns[j].values for j in by)])
    some = np.arange(len(X)) if len(X) <= RULE_ITEMS else np.random.default_rng(0).permutation(len(X))[:RULE_ITEMS]
    for limits in _leaves(X[some], inside[some], weights[some]):
        meets = np.ones(len(X), np.bool_)
        for j, (low, high) in limits.items():
            meets &= (X[:, j] > low) & (X[:, j] <= high)
        hits, taken, wanted = (float(weights[m].sum()) for m in (meets & inside, meets, inside))
        if 2.0 * hits / (taken + wanted) > best:
            best = 2.0 * hits / (taken + wanted)
            text = " and ".join(_condition(columns[by[j]], X[:, j], *limits[j])
                                for j in sorted(limits, key=by.__getitem__)) or "all items"
            found = Rule(cluster, text, hits / taken, hits / wanted)
    return found


def _leaves(X: Floats, inside: NDArray[np.bool_], weights: Floats) -> list[dict[int, tuple[float, float]]]:
    """Grow a classification tree of `DEPTH` levels, and return what holds in each leaf: low < feature j <= high.

    Both sides weigh the same in all: a cluster of few items counts as much as the others together. Source: Breiman et al.
    1984. Our own, as importing scikit-learn's takes 0.8 s.
    """
    share = [float(weights[side].sum()) for side in (~inside, inside)]
    mass = weights / np.where(inside, share[1] or 1.0, share[0] or 1.0)
    found: list[dict[int, tuple[float, float]]] = []
    todo: list[tuple[NDArray[np.bool_], dict[int, tuple[float, float]], int]] = [(np.ones(len(X), np.bool_), {}, DEPTH)]
    while todo:
        here, limits, levels = todo.pop()
        split = _best_split(X[here], inside[here], mass[here]) if levels else None
        if split is None:
            found.append(limits)
            continue
        j, cut = split
        low, high = limits.get(j, (-np.inf, np.inf))
        todo.append((here & (X[:, j] > cut), {**limits, j: (cut, high)}, levels - 1))
        todo.append((here & (X[:, j] <= cut), {**limits, j: (low, cut)}, levels - 1))
    return found


def _best_split(X: Floats, inside: NDArray[np.bool_], mass: Floats) -> tuple[int, float] | None:
    """Return the feature and the value between two of its own that leave the least Gini impurity; None of one kind.

    Of equals the first feature: the one that differs most between the cluster and the others.
    """
    if inside.all() or not inside.any():
        return None
    order = np.argsort(X, axis=0, kind="stable")
    ascending = np.take_along_axis(X, order, axis=0)
    hit, miss = np.cumsum((mass * inside)[order], axis=0), np.cumsum((mass * ~inside)[order], axis=0)
    (a, b), (c, d) = (hit[:-1], miss[:-1]), (hit[-1] - hit[:-1], miss[-1] - miss[:-1])
    impurity = _over(a * b, a + b) + _over(c * d, c + d)  # half of the mass times the impurity, on either side
    impurity = np.where((ascending[1:] > ascending[:-1]) & ~np.isnan(impurity), impurity, np.inf)
    j, i = np.unravel_index(int(np.argmin(impurity.T)), impurity.T.shape)
    if not np.isfinite(impurity[i, j]):
        return None
    below, above = float(ascending[i, j]), float(ascending[i + 1, j])
    middle = below + (above - below) / 2
    return int(j), middle if middle < above else below


def _condition(column: Column, values: Floats, low: float, high: float) -> str:
    """Spell ``low < column ≤ high`` with the fewest digits that part the values alike."""
    if column.level is not None:
        return f"{column.name} {'=' if low > -np.inf else '≠'} {column.level}"
    parts = [f"{_short(values, limit):g}" for limit in (low, high) if np.isfinite(limit)]
    if np.isfinite(low) and np.isfinite(high):
        return f"{parts[0]} < {column.name} ≤ {parts[1]}"
    return f"{column.name} {'>' if np.isfinite(low) else '≤'} {parts[0]}"


def _short(values: Floats, limit: float) -> float:
    below, above = values[values <= limit].max(initial=-np.inf), values[values > limit].min(initial=np.inf)
    for digits in range(1, 17):
        rounded = float(f"{limit:.{digits}g}")
        if below <= rounded < above:
            return rounded
    return limit


def keywords(terms: Any, names: Sequence[str], labels: Ints, k: int, top: int) -> tuple[Keyword, ...]:
    """Find the terms that are frequent in a cluster and rare elsewhere.

    Parameters
    ----------
    terms : ndarray or csr_array, shape (n, t)
        How often each item has each term, or its weight; at least 0.
    names : sequence of str, shape (t,)
    labels : ndarray of int, shape (n,)
    k : int
    top : int
        Terms wanted of every cluster.

    Notes
    -----
    tf is the share of the term among all of its cluster's, and icf = log(tf / share among all terms): a word of every text
    scores nothing, however frequent. A cluster's scores are the terms of the Kullback-Leibler divergence of its terms from
    all. O(non-zeros + k·t).
    """
    from scipy import sparse

    table: Any = sparse.csr_array(terms)
    table.eliminate_zeros()
    has = sparse.csr_array((np.ones(table.nnz), table.indices, table.indptr), shape=table.shape)
    at = np.flatnonzero(labels >= 0)
    member = sparse.csr_array((np.ones(len(at)), (labels[at], at)), shape=(k, len(labels)))
    counts = np.asarray((member @ table).todense(), np.float64)
    there = np.asarray((member @ has).todense())
    sizes, everywhere = np.bincount(labels[at], minlength=k), np.asarray(has.sum(axis=0)).ravel()
    totals = counts.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        tf = counts / totals[:, None]
        score = np.nan_to_num(tf * np.log(tf / (counts.sum(axis=0) / totals.sum())), nan=0.0)
    found = []
    for c in range(k):
        others = max(len(labels) - int(sizes[c]), 1)
        best = np.lexsort((np.arange(len(names)), -score[c]))[:top]
        found += [Keyword(c, names[t], float(score[c, t]), float(there[c, t] / sizes[c]),
                          float((everywhere[t] - there[c, t]) / others)) for t in best.tolist() if score[c, t] > 0]
    return tuple(found)


def _named(feature: str, level: str | None) -> str:
    return feature if level is None else f"{feature} = {level}"
