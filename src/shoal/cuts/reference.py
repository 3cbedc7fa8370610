"""The gap statistic: the tree's sums of squares beside those of trees of data without clusters."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from shoal.cuts.flat import Cut, Subject, cut_k, whole_option
from shoal.data.records import Points
from shoal.errors import InputError
from shoal.judge.indices import nested_cuts, within_sums
from shoal.trees import linkage
from shoal.trees.merges import Floats, Ints, Merges

__all__ = ["SAMPLE", "GapTable", "gap_statistic", "gap_table"]

SAMPLE = 2000  # items beyond which a sample is taken: a tree of so many takes a tenth of a second, and 21 are built


class GapTable(NamedTuple):
    """The gap for every number of clusters, from 1 on.

    Attributes
    ----------
    gap : ndarray, shape (kmax,)
        Mean of log W over the references, less log W of the data; infinite where W is 0.
    error : ndarray, shape (kmax,)
        Standard deviation over the references, times √(1 + 1/references).
    items : int
        Items the two were computed on.
    """

    gap: Floats
    error: Floats
    items: int


def gap_table(tree: Subject, kmax: int, references: int = 20, seed: int = 0) -> GapTable:
    """Compare log W for k = 1 … kmax with its mean over trees of uniform data.

    Parameters
    ----------
    tree : Subject
        With the dense points it was built from, and the linkage method.
    kmax : int
        1 … n - 1: n clusters have no sum of squares.
    references : int
        Data sets drawn: uniform over the box along the data's principal axes that holds the data; at least 2.
    seed : int
        Of the draws, at least 0.

    Returns
    -------
    GapTable

    Raises
    ------
    InputError
        Without points or method, for sparse points, and for a forest.

    Notes
    -----
    W is the sum of squares within clusters, from one tree a data set for all k. A reference is clustered by the tree's own
    method and metric, with its weights. O(references) times the work of the tree; more than `SAMPLE` items are sampled, and
    the sample's own tree is taken. Source: Tibshirani, Walther & Hastie 2001, doi:10.1111/1467-9868.00293.
    """
    data = _points_of(tree)
    rng, n = np.random.default_rng(seed), tree.merges.n
    merges, X, weights = tree.merges, np.asarray(data.X, np.float64), tree.weights_or_ones
    if n > SAMPLE:
        some = np.sort(rng.choice(n, SAMPLE, replace=False))
        X, weights = X[some], weights[some]
        data = dataclasses.replace(data, ids=None, weights=None if tree.weights is None else weights)
        merges = _tree_of(X, data, tree.method)
    unit = 2.0 ** np.frexp(float(np.abs(X).max(initial=0.0)))[1]  # no square overflows
    kmax = min(kmax, max(1, len(X) - 1))
    center = weights @ (X / unit) / weights.sum()
    axes = np.linalg.svd((X / unit - center) * np.sqrt(weights)[:, None], full_matrices=False)[2]
    turned = (X / unit - center) @ axes.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    if not (high > low).any():  # one item, or all equal
        return GapTable(np.zeros(kmax), np.zeros(kmax), len(X))
    logs = np.empty((references, kmax))
    for b in range(references):
        Z = rng.uniform(low, high, turned.shape) @ axes + center
        logs[b] = _log_within(_tree_of(Z * unit, data, tree.method), Z, weights, kmax)
    level = logs.mean(axis=0)
    spread = np.sqrt(((logs - level) ** 2).mean(axis=0))
    return GapTable(level - _log_within(merges, X / unit, weights, kmax), spread * np.sqrt(1.0 + 1.0 / references), len(X))


def _points_of(tree: Subject) -> Points:
    """Return the tree's points, or say what is missing."""
    if not isinstance(tree.data, Points) or not isinstance(tree.data.X, np.ndarray):
        raise InputError("The gap statistic draws reference points, so it needs the dense points the tree was built from.",
                         "Use a rule of the heights or the silhouette.")
    if tree.method not in linkage.METHODS or tree.parts > 1:
        raise InputError("The gap statistic builds trees by the same linkage, of one part; this tree's is "
                         f"{tree.method!r}, with {tree.parts:,} parts.", "Use another rule.")
    return tree.data


def _tree_of(X: Floats, like: Points, method: str) -> Merges:
    return linkage.build(dataclasses.replace(like, X=X), method)[0]


def _log_within(merges: Merges, X: Floats, weights: Floats, kmax: int) -> Floats:
    """Log of the sum of squares within k clusters, for k = 1 … kmax."""
    within = within_sums(X, nested_cuts(merges, kmax), weights)[0]
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(within[1:]))


def gap_statistic(tree: Subject, *, kmax: int | None = None, references: int = 20, seed: int = 0) -> Cut:
    """Cut into the fewest clusters whose gap is within one standard error of the next one's, or above it.

    Parameters
    ----------
    tree : Subject
        With the dense points it was built from.
    kmax : int, optional
        Most clusters, 1 … n - 1; by default at most 15.
    references, seed
        As in `gap_table`.

    Returns
    -------
    Cut
        May be one cluster. Its score is the gap. Where no k up to kmax - 1 passes, the k with the largest gap, which `how`
        says.

    Notes
    -----
    See `gap_table`. Weakness: it asks whether the data is more clustered than uniform in a box, which long or bent shapes
    without clusters are too; the answer depends on the box and, a little, on the seed.

    Examples
    --------
    >>> import numpy as np, shoal
    >>> rng = np.random.default_rng(0)
    >>> tree = shoal.linkage(np.concatenate([rng.normal(size=(20, 2)), rng.normal(size=(20, 2)) + 9]))
    >>> len(gap_statistic(Subject(tree.merges, tree.data, method="ward")).nodes)
    2
    """
    n = tree.merges.n
    most = max(1, n - 1)
    kmax = min(15, most) if kmax is None else whole_option("kmax", kmax, 1, most)
    references, seed = whole_option("references", references, 2), whole_option("seed", seed, 0)
    table = gap_table(tree, kmax, references, seed)
    k, certain = _first_within_error(table)
    on = f" on a sample of {table.items:,} items" if table.items < n else ""
    found = f"k = {k}" if certain else f"k = {k} has the largest gap, none is the first"
    return Cut(cut_k(tree.merges, k), float(table.gap[k - 1]), None,
               f"gap statistic: {found}, {references} references{on}")


def _first_within_error(table: GapTable) -> tuple[int, bool]:
    """The smallest k with gap(k) ≥ gap(k + 1) - error(k + 1), and whether there is one."""
    gap, error = table.gap, table.error
    passes: Ints = np.flatnonzero(gap[:-1] >= gap[1:] - error[1:])
    if len(passes) or len(gap) == 1:
        return (int(passes[0]) + 1 if len(passes) else 1), True
    return int(np.argmax(gap)) + 1, False
