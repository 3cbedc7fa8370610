"""All rules for cutting a tree, by name: what each needs, where it comes from, where it fails and what it costs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from shoal.cuts.dynamic import dynamic, dynamic_hybrid
from shoal.cuts.flat import (
    Cut,
    Subject,
    cut_height,
    cut_k,
    labels_of,
    largest_below,
    number_option,
    picked,
    whole_option,
)
from shoal.cuts.gaps import acceleration, largest_gap, mojena
from shoal.cuts.inconsistency import inconsistent
from shoal.cuts.reference import gap_statistic
from shoal.cuts.stable import persistence, stable
from shoal.errors import InputError
from shoal.judge.indices import indices_of_cuts
from shoal.trees.merges import Floats, Ints, leaf_counts, leaf_order, leaf_positions, parents

__all__ = ["RULES", "Rule", "calinski_harabasz", "cut_by_rule", "davies_bouldin", "monocrit", "scorer", "silhouette"]

MOST = 15  # clusters considered where kmax is not given


class Rule(NamedTuple):
    """A rule for cutting a tree.

    Attributes
    ----------
    run : callable
        ``run(subject, **options) -> Cut``.
    needs : str
        "heights", "distances" (any data the tree was built from) or "points".
    source, weakness, cost : str
        A sentence each.
    """

    run: Callable[..., Cut]
    needs: str
    source: str
    weakness: str
    cost: str

    @property
    def options(self) -> tuple[str, ...]:
        """Names of its options."""
        return tuple(inspect.signature(self.run).parameters)[1:]


def at_height(tree: Subject, *, height: float) -> Cut:
    """Cut into the largest subtrees all of whose merges are at or below `height`, a number of at least 0."""
    line = number_option("height", height, 0.0)
    return Cut(cut_height(tree.merges, line), None, line, f"height {line:g}")


def at_k(tree: Subject, *, k: int) -> Cut:
    """Cut into exactly k clusters, 1 … n, by undoing the last k - 1 merges."""
    return Cut(cut_k(tree.merges, k), None, None, f"k = {k}")


def _numbers_of_clusters(tree: Subject, kmax: Any) -> range:
    """The numbers of clusters to choose from: at least 2, and never two parts of a forest in one cluster."""
    n, least = tree.merges.n, max(2, tree.parts)
    if kmax is None:
        return range(least, min(max(MOST, least), n - 1) + 1)
    most = whole_option("kmax", kmax, 2, max(n, 2))
    if most < least:
        raise InputError(f"kmax={kmax!r} was given, and the tree has {least:,} parts that never merge.",
                         f"Give at least {least:,}.")
    return range(least, min(most, n) + 1)


def _best_k(tree: Subject, ks: range, values: Floats, name: str) -> Cut:
    """Cut at the k of the largest value; of values equal but for rounding the smallest k; NaN is no candidate."""
    best = float(np.nanmax(values, initial=-np.inf)) if len(ks) else -np.inf
    if best == -np.inf:
        whole = "one cluster" if tree.parts == 1 else f"the {tree.parts:,} parts"
        return Cut(cut_k(tree.merges, tree.parts), None, None, f"{name}: {whole}, no cut separates anything")
    at = int(np.argmax(values >= (best - 1e-12 * abs(best) if np.isfinite(best) else best)))
    return Cut(cut_k(tree.merges, ks[at]), float(values[at]), None, f"{name}: k = {ks[at]}")


def _by_index(tree: Subject, which: str, kmax: Any, sign: float, items: Ints | None = None) -> Cut:
    """Cut at the k with the largest sign·index; a silhouette of 0 or less separates nothing."""
    ks = _numbers_of_clusters(tree, kmax)
    if not len(ks):
        return _best_k(tree, ks, np.empty(0), which)
    values = indices_of_cuts(tree.merges, ks[-1], which, tree.data, tree.weights_or_ones, method=tree.method, items=items)
    if which == "silhouette":
        values[values <= 0.0] = np.nan
    cut = _best_k(tree, ks, sign * values[ks[0]:], which)
    return cut if cut.score is None else cut._replace(score=sign * cut.score, how=f"{cut.how}, {sign * cut.score:.3g}")


def silhouette(tree: Subject, *, kmax: int | None = None, sample: int | None = None) -> Cut:
    """Cut into the number of clusters, 2 … kmax, with the largest mean silhouette.

    Parameters
    ----------
    tree : Subject
        With the data it was built from.
    kmax : int, optional
        Most clusters, 2 … n; by default the lesser of 15 and n - 1.
    sample : int, optional
        The mean is taken over so many items, drawn without replacement and always the same; by default over all.

    Returns
    -------
    Cut
        One cluster where no mean is above 0. Its score is the mean silhouette; of equal ones the fewest clusters.

    Notes
    -----
    O(n²) distances, with a sample of m items O(m·n), once for all k. Source: Rousseeuw 1987,
    doi:10.1016/0377-0427(87)90125-7. Weakness: favours round clusters of one size, and two of them.

    Examples
    --------
    >>> import shoal
    >>> tree = shoal.linkage([[0.0], [1.0], [9.0], [10.0], [30.0]], "single")
    >>> silhouette(Subject(tree.merges, tree.data)).how
    'silhouette: k = 3, 0.711'
    """
    n, items = tree.merges.n, None
    if sample is not None and whole_option("sample", sample, 1) < n:
        items = np.sort(np.random.default_rng(0).choice(n, sample, replace=False))
    cut = _by_index(tree, "silhouette", kmax, 1.0, items)
    return cut if items is None else cut._replace(how=f"{cut.how}, over a sample of {sample:,} items")


def calinski_harabasz(tree: Subject, *, kmax: int | None = None) -> Cut:
    """Cut into the number of clusters, 2 … kmax, with the largest Calinski-Harabasz index.

    Parameters
    ----------
    tree : Subject
        Of ward linkage, or with the points it was built from.
    kmax : int, optional
        Most clusters, 2 … n; by default the lesser of 15 and n - 1.

    Returns
    -------
    Cut
        Its score is the index.

    Notes
    -----
    See `shoal.judge.indices.calinski_harabasz`. Weakness: favours round clusters of one size.

    Examples
    --------
    >>> import shoal
    >>> tree = shoal.linkage([[0.0], [1.0], [9.0], [10.0], [30.0]])
    >>> len(calinski_harabasz(Subject(tree.merges, method="ward")).nodes)
    3
    """
    return _by_index(tree, "calinski_harabasz", kmax, 1.0)


def davies_bouldin(tree: Subject, *, kmax: int | None = None) -> Cut:
    """Cut into the number of clusters, 2 … kmax, with the least Davies-Bouldin index.

    Parameters
    ----------
    tree : Subject
        With the points it was built from.
    kmax : int, optional
        Most clusters, 2 … n; by default the lesser of 15 and n - 1.

    Returns
    -------
    Cut
        Its score is the index.

    Notes
    -----
    See `shoal.judge.indices.davies_bouldin`. Weakness: items alone have no spread, so outliers look like good clusters.

    Examples
    --------
    >>> import shoal
    >>> tree = shoal.linkage([[0.0], [1.0], [2.0], [20.0], [21.0], [22.0]])
    >>> len(davies_bouldin(Subject(tree.merges, tree.data), kmax=3).nodes)
    2
    """
    return _by_index(tree, "davies_bouldin", kmax, -1.0)


def monocrit(tree: Subject, *, values: Any, t: float | None = None, k: int | None = None) -> Cut:
    """Cut into the largest subtrees in which no merge has a value above a threshold.

    Parameters
    ----------
    tree : Subject
    values : array-like, shape (n - 1,)
        A number for every merge, of the caller's making; a merge counts with the largest value in its subtree.
    t : float, optional
        The threshold.
    k : int, optional
        Instead of a threshold: the least one that leaves at most k clusters, 1 … n.

    Returns
    -------
    Cut
        As scipy's fcluster with the criteria "monocrit" and "maxclust_monocrit", whose bisection finds the least threshold
        only where the values rise from merge to merge.

    Raises
    ------
    InputError
        When the values are not n - 1 numbers, or not exactly one of t and k is given.

    Examples
    --------
    >>> import shoal
    >>> tree = shoal.linkage([[0.0], [1.0], [9.0], [10.0]], "single")
    >>> monocrit(Subject(tree.merges), values=tree.merges.size, t=2).nodes.tolist()
    [4, 5]
    """
    merges, n = tree.merges, tree.merges.n
    try:
        given = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        given = np.full(0, np.nan)
    if given.shape != (n - 1,) or np.isnan(given).any():
        raise InputError(f"values has the shape {np.shape(values)}, or holds what is no number.",
                         f"Give a number for each of the {n - 1:,} merges.")
    if (t is None) == (k is None):
        raise InputError("The rule 'monocrit' takes a threshold t or a number of clusters k.", "Give one of the two.")
    top = largest_below(merges, given)
    if k is not None:
        done = n - whole_option("k", k, 1, n)  # every merge within the threshold leaves one cluster less
        line = float(np.sort(top[n:])[done - 1]) if done else -np.inf
    else:
        line = number_option("t", t)
    return Cut(picked(top <= line, parents(merges)), None, None, f"monocrit: no value above {line:g}")


def scorer(tree: Subject, *, score: Callable[[Any], float], kmax: int | None = None) -> Cut:
    """Cut into the number of clusters, 2 … kmax, that a function of the labels scores highest.

    Parameters
    ----------
    tree : Subject
    score : callable
        ``score(labels) -> float``, labels 0 … k-1 from left to right, shape (n,); larger is better, NaN is no candidate.
    kmax : int, optional
        Most clusters, 2 … n; by default the lesser of 15 and n - 1.

    Returns
    -------
    Cut
        Of equal scores the one of fewest clusters.

    Raises
    ------
    InputError
        When `score` is not callable, or returns what is no number.

    Examples
    --------
    >>> import numpy as np, shoal
    >>> tree = shoal.linkage([[0.0], [1.0], [9.0], [10.0]], "single")
    >>> len(scorer(Subject(tree.merges), score=lambda labels: -abs(labels.max() - 2)).nodes)
    3
    """
    if not callable(score):
        raise InputError(f"score={score!r} was given.", "Give a function that takes labels and returns a number.")
    merges, ks = tree.merges, _numbers_of_clusters(tree, kmax)
    up, begin, count = parents(merges), leaf_positions(merges), leaf_counts(merges)
    order, found = leaf_order(merges, begin), np.empty(len(ks))
    for place, k in enumerate(ks):
        value = score(labels_of(cut_k(merges, k, up), begin, count, order)[0])
        try:
            found[place] = float(value)
        except (TypeError, ValueError):
            raise InputError(f"The scorer returned {value!r} for {k} clusters.", "It must return one number.") from None
    return _best_k(tree, ks, found, getattr(score, "__name__", "scorer"))


RULES: dict[str, Rule] = {
    "height": Rule(at_height, "heights", "Sneath & Sokal 1973.",
                   "One height suits all branches only where they are equally dense.", "O(n)."),
    "k": Rule(at_k, "heights", "Sneath & Sokal 1973.", "The number must be known.", "O(n)."),
    "inconsistent": Rule(inconsistent, "heights", "Zahn 1971; Jain & Dubes 1988.",
                         "Compares a merge with a few others, so chance makes many small clusters.", "O(n·depth)."),
    "gap": Rule(largest_gap, "heights", "Folklore; the elbow of Thorndike 1953.",
                "The last merges are farthest apart under most linkages; one far item decides.", "O(n log n)."),
    "acceleration": Rule(acceleration, "heights", "Folklore; second differences of the heights.",
                         "A leap that follows another leap is not seen; one far item decides.", "O(n log n)."),
    "mojena": Rule(mojena, "heights", "Mojena 1977; Milligan & Cooper 1985.",
                   "The many low merges set the line, so it moves with the number of items.", "O(n)."),
    "silhouette": Rule(silhouette, "distances", "Rousseeuw 1987.",
                       "Favours round clusters of one size, and k = 2; cannot say that there is one cluster.",
                       "O(n²) distances, once for all k."),
    "calinski_harabasz": Rule(calinski_harabasz, "points", "Caliński & Harabasz 1974.",
                              "Favours round clusters of one size; cannot say that there is one cluster.",
                              "O(n·d); of a ward tree O(n), from its heights alone."),
    "davies_bouldin": Rule(davies_bouldin, "points", "Davies & Bouldin 1979.",
                           "Favours round clusters, and tight outliers; cannot say that there is one cluster.",
                           "O(n·d) and O(k·(k + d)) for every k."),
    "gap_statistic": Rule(gap_statistic, "points", "Tibshirani, Walther & Hastie 2001.",
                          "Long or bent shapes without clusters are not uniform in a box either.",
                          "20 more trees, of at most 2,000 items."),
    "dynamic": Rule(dynamic, "heights", "Langfelder, Zhang & Horvath 2008, dynamic tree.",
                    "min_size decides almost everything.", "O(n) a round of splits."),
    "dynamic_hybrid": Rule(dynamic_hybrid, "distances", "Langfelder, Zhang & Horvath 2008, dynamic hybrid.",
                           "Compares heights with distances, which means little under ward, centroid and median linkage.",
                           "O(n), the distances within cores, and those of the items left over to all."),
    "stable": Rule(stable, "heights", "Campello, Moulavi, Zimek & Sander 2013.",
                   "Density is 1/height, so tight small branches beat wide large ones.", "O(n)."),
    "persistence": Rule(persistence, "heights", "Chazal, Guibas, Oudot & Skraba 2013.",
                        "min_size sets the scale at which noise makes branches.", "O(n log n)."),
    "monocrit": Rule(monocrit, "heights", "The caller; as scipy's criterion of that name.",
                     "A value counts wherever a larger one is not below it.", "O(n log n)."),
    "scorer": Rule(scorer, "heights", "The caller.", "As good as the function.", "O(n) and one call for every k."),
}


def cut_by_rule(name: str, tree: Subject, **options: Any) -> Cut:
    """Cut a tree by the rule of that name.

    Parameters
    ----------
    name : str
        A key of `RULES`.
    tree : Subject
    **options
        The rule's own; see the function `RULES[name].run`.

    Returns
    -------
    Cut

    Raises
    ------
    InputError
        For an unknown rule or option, one that is missing, or a value it may not have.

    Examples
    --------
    >>> import shoal
    >>> tree = shoal.linkage([[0.0], [1.0], [9.0], [10.0]], "single")
    >>> cut_by_rule("gap", Subject(tree.merges)).how
    'largest gap: k = 2, between the heights 1 and 8'
    """
    if name not in RULES:
        raise InputError(f"There is no rule {name!r} for cutting a tree.", f"Choose one of {', '.join(RULES)}.")
    rule = RULES[name]
    if unknown := [option for option in options if option not in rule.options]:
        raise InputError(f"The rule {name!r} has no option {unknown[0]!r}.",
                         f"It takes {', '.join(rule.options)}.")
    parameters = inspect.signature(rule.run).parameters
    if missing := [o for o in rule.options if parameters[o].default is inspect.Parameter.empty and o not in options]:
        raise InputError(f"The rule {name!r} needs the option {missing[0]!r}.", f"It takes {', '.join(rule.options)}.")
    return rule.run(tree, **options)
