"""The doors: points, distances, similarities and graphs are read exactly and checked once.

A carrier keeps the caller's memory where that can be used as it is, never writes to it, and gives distances out as one
fresh condensed vector.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from shoal.data import features, forms
from shoal.data.checks import SQUARE_WAYS, item_name, looks_like_pairs, read_ids, read_weights, slack
from shoal.data.metrics import ADDS_FEATURES, resolve_metric
from shoal.data.pairs import Pairs, check_symmetrize, from_condensed
from shoal.data.pairwise import read_items, resolve_pairwise
from shoal.data.records import Carrier, Distances, Graph, Items, Points, RuleLike, Similarities
from shoal.data.rules import RULES, check_rule, default_rule, fitting_rules
from shoal.data.scaling import Scaling
from shoal.errors import InputError
from shoal.runtime.progress import Progress

__all__ = ["Carrier", "Distances", "Graph", "Items", "Points", "Similarities", "as_carrier", "distances", "graph",
           "points", "similarities"]


def points(data: Any, metric: str | Callable[..., Any] = "euclidean", *, ids: Any = None,
           scale: str | Scaling | None = None, weights: Any = None, columns: Sequence[str] | None = None,
           metric_params: dict[str, Any] | None = None, square: bool = False) -> Points:
    """Read items given by their features.

    Parameters
    ----------
    data : array-like, frame or sparse array, shape (n, d)
        A data frame of any library, a numpy array, a scipy sparse array, a list of rows, or a list of dicts (a key that
        a row does not have is 0). A C-contiguous float32 or float64 array is kept where it is; nothing is written to.
    metric : str or callable, default "euclidean"
        The distance between two rows.
    ids : sequence, or the name of a column, optional
        A name for each row; a pandas index other than 0, 1, 2, ... is taken by default.
    scale : {"standard", "minmax", "robust"}, Scaling or None
        How features are brought to one scale.
    weights : sequence of float, shape (n,), optional
        How many items each row stands for.
    columns : sequence of str, optional
        Of a frame: the columns to use. Of anything else: names of the features.
    metric_params : dict, optional
        Passed to the metric.
    square : bool, default False
        Allow a square symmetric array with a constant diagonal, which looks like distances or similarities.

    Returns
    -------
    Points

    Raises
    ------
    InputError
        For anything that is not complete, finite, real numbers, and for an array that looks like a matrix of distances
        or similarities unless `square` is True.

    Examples
    --------
    >>> import shoal
    >>> songs = shoal.points([[3.0, 120.0], [4.0, 90.0], [3.5, 200.0]], ids=["a", "b", "c"])
    >>> songs.n, songs.d, songs.ids
    (3, 2, ('a', 'b', 'c'))
    """
    _refuse_carrier(data, "points")
    raw = features.read_features(data, ids, columns)
    X, messages = raw.X, raw.messages
    if not square and looks_like_pairs(X):
        raise InputError(f"The {X.shape[0]} x {X.shape[1]} array is symmetric with {X.diagonal()[0]:g} all along its "
                         "diagonal: it looks like a matrix of distances or similarities, not like points.", SQUARE_WAYS)
    scaling = Scaling.fit(scale, X) if isinstance(scale, str) else scale
    if scaling is not None:
        messages = messages + features.scaling_messages(scaling, raw.columns, X)
        X = features.frozen(scaling.apply(X))
    measure = resolve_metric(metric, X, metric_params)
    if scaling is None and raw.columns is not None and measure.name in ADDS_FEATURES:
        messages = messages + features.uneven_columns(X, raw.columns)
    return Points(X=X, metric=measure, ids=raw.ids, columns=raw.columns,
                  weights=read_weights(weights, X.shape[0]), scaling=scaling, messages=tuple(messages))


def distances(data: Any, *, pairwise: str | Callable[..., Any] | None = None, ids: Any = None, weights: Any = None,
              symmetrize: str | None = None, progress: Progress = None, **params: Any) -> Distances:
    """Read given distances of all pairs, or measure items of any kind by a function of two of them.

    Parameters
    ----------
    data : array-like, frame or sparse array; or a sequence of items
        A square matrix; one triangle of it, the other half being zero or missing; a condensed vector as scipy's
        `pdist` returns it; a table with the columns i, j and distance; or a sparse array that stores every pair.
        A square frame may name its rows by its index or by one column of ids. An array stays where it is.
        With `pairwise`: strings, arrays of different lengths, or any other items.
    pairwise : callable or {"levenshtein", "dtw"}, optional
        ``pairwise(a, b, **params) -> float``: a distance, the same both ways and 0 between an item and itself.
        "levenshtein" counts the characters to insert, delete or replace between two strings. "dtw" is the Euclidean
        distance of two series after the best warping, √Σ‖aᵢ - bⱼ‖² along its path; ``window=w`` allows |i - j| ≤ w, or
        the difference of the lengths where that is more.
    ids : sequence, optional
        Names of the items.
    weights : sequence of float, shape (n,), optional
    symmetrize : {"mean", "min", "max"}, optional
        Makes one distance of two different ones.
    progress : callable, bool or None
        With `pairwise`: see `shoal.linkage`.
    **params
        Passed on to `pairwise`.

    Returns
    -------
    Distances

    Raises
    ------
    InputError
        For missing, infinite or negative distances, pairs that are not given, different values of one pair, and a
        diagonal that is not constant; for a function that is no distance, as far as some pairs tell.
    TooLargeError
        With `pairwise`, before any work, when the distances of all pairs would not fit in memory.

    Notes
    -----
    `pairwise` measures every pair once, n (n - 1) / 2 calls. What is known by name runs compiled on all threads, and so
    does a function compiled by Numba where the items are arrays of numbers (handed to it in float64). A function in
    Python is called from one thread, for under Python's lock others would only wait: at 1 µs a call, 10,000 items take
    50 s. New items are measured in the same way: ``clusters.predict(["a new string"])``.

    Examples
    --------
    >>> import shoal
    >>> shoal.distances([[0, 1, 4], [1, 0, 3], [4, 3, 0]]).condensed().tolist()
    [1.0, 4.0, 3.0]
    >>> words = shoal.distances(["kitten", "sitting", "mitten"], pairwise="levenshtein")
    >>> words.condensed().tolist()
    [3.0, 1.0, 3.0]
    >>> series = shoal.distances([[1.0, 2.0, 3.0], [1.0, 1.0, 2.0, 3.0], [5.0]], pairwise="dtw", window=2)
    >>> series.condensed().round(3).tolist()
    [0.0, 5.385, 6.708]
    """
    _refuse_carrier(data, "distances")
    check_symmetrize(symmetrize)
    if pairwise is not None:
        return _measured(data, pairwise, params, ids, weights, symmetrize, progress)
    if params:
        raise InputError(f"{next(iter(params))!r} was given without pairwise.", "Only a function of two items takes more.")
    read = forms.read_pairs(data, "distance", ids, symmetrize)
    forms.require_all_pairs(read.pairs, read.ids, "Give a distance for every pair; for a graph with some edges missing "
                                                  "use shoal.graph(edges, kind='distance', missing='shortest_path').")
    messages = read.messages + _check_distances(read.pairs, read.ids)
    diagonal = read.pairs.diagonal
    if diagonal.odd is not None:
        i, value = diagonal.odd
        raise InputError(f"The diagonal is not constant: {item_name(read.ids, 0)} has {diagonal.value:g}, "
                         f"{item_name(read.ids, i)} has {value:g}.",
                         "The distance of an item to itself must be 0. Similarities go to shoal.similarities.")
    if diagonal.given and diagonal.value != 0:
        messages.append(f"The diagonal is {diagonal.value:g} throughout; it was ignored.")
    return Distances(pairs=read.pairs, ids=read.ids, weights=read_weights(weights, read.pairs.n),
                     messages=tuple(messages))


def similarities(data: Any, rule: RuleLike | None = None, *, ids: Any = None, weights: Any = None,
                 symmetrize: str | None = None) -> Similarities:
    """Read given similarities of all pairs, larger meaning closer, and turn them into distances by a rule.

    Parameters
    ----------
    data : array-like, frame or sparse array
        In the forms of `shoal.distances`; a pair that a sparse array or a table of pairs does not have is 0.
    rule : str or callable, optional
        "1-s", "max-s" (from the largest similarity between two different items), "sqrt(2-2s)", "arccos(s)/pi",
        "1/s-1", "-log s", or a function that turns an array of similarities into distances. By default "1-s" where all
        similarities are within [-1, 1] and the diagonal is constant or not given, else "max-s".
    ids, weights, symmetrize
        As in `shoal.distances`.

    Returns
    -------
    Similarities

    Raises
    ------
    InputError
        As `shoal.distances`, and for similarities that the rule is not defined for.

    Examples
    --------
    >>> import shoal
    >>> close = shoal.similarities([[1, 0.9, 0.2], [0.9, 1, 0.4], [0.2, 0.4, 1]])
    >>> close.rule, close.condensed().round(3).tolist()
    ('1-s', [0.1, 0.8, 0.6])
    """
    _refuse_carrier(data, "similarities")
    check_symmetrize(symmetrize)
    read = forms.read_pairs(data, "similarity", ids, symmetrize)
    low, high = read.pairs.extremes(read.ids, "similarity")
    rule, said = _choose_rule(read.pairs, rule, low, high, read.ids)
    return Similarities(pairs=read.pairs, rule=rule, top=high, ids=read.ids,
                        weights=read_weights(weights, read.pairs.n), messages=(*read.messages, *said))


def graph(edges: Any, *, kind: str = "similarity", rule: RuleLike | None = None, ids: Any = None, weights: Any = None,
          missing: str | None = None, symmetrize: str | None = None) -> Graph:
    """Read a graph: values for some of the pairs.

    Parameters
    ----------
    edges : frame, array, list of tuples or sparse array
        (i, j) or (i, j, weight), or an adjacency matrix. Names become ids in the order they first appear; in an array
        or list of whole numbers from 0 on, the numbers are positions. An edge without a weight weighs 1.
    kind : {"similarity", "distance"}
        What the weights are.
    rule : str or callable, optional
        From similarity to distance, as in `shoal.similarities`; a pair without an edge has similarity 0.
    ids : sequence, optional
        Names of all items, in the order wanted.
    weights : sequence of float, shape (n,), optional
        Of the items.
    missing : {"shortest_path"}, optional
        With kind="distance": the distance of every pair is the length of the shortest path between the two.
    symmetrize : {"mean", "min", "max"}, optional
        Makes one weight of two different ones where both directions are given.

    Returns
    -------
    Graph

    Examples
    --------
    >>> import shoal
    >>> roads = shoal.graph([("a", "b", 2.0), ("b", "c", 3.0)], kind="distance", missing="shortest_path")
    >>> roads.ids, roads.condensed().tolist()
    (('a', 'b', 'c'), [2.0, 5.0, 3.0])
    """
    _refuse_carrier(edges, "edges")
    check_symmetrize(symmetrize)
    _check_graph_arguments(kind, rule, missing)
    read = forms.read_edges(edges, kind, ids, symmetrize)
    common: dict[str, Any] = {"pairs": read.pairs, "kind": kind, "ids": read.ids,
                              "weights": read_weights(weights, read.pairs.n)}
    if kind == "similarity":
        low, high = read.pairs.extremes(read.ids, kind)
        chosen, said = _choose_rule(read.pairs, rule, low, high, read.ids)
        return Graph(rule=chosen, top=high, messages=(*read.messages, *said), **common)
    messages = read.messages + _check_distances(read.pairs, read.ids)
    found = Graph(missing=missing, messages=tuple(messages), **common)
    if missing is not None:
        _require_connected(found)
        said = ["The distance of every pair is the length of the shortest path between the two."]
        return dataclasses.replace(found, messages=(*messages, *said))
    return found


def as_carrier(data: Any, *, metric: str | Callable[..., Any] = "euclidean", ids: Any = None, weights: Any = None,
               metric_params: dict[str, Any] | None = None) -> Carrier:
    """Return a carrier as it is, with ids or weights added; read anything else as points.

    Parameters
    ----------
    data : carrier, or anything `shoal.points` reads
    metric, metric_params
        For points that are not a carrier yet.
    ids, weights
        For a carrier, allowed where it has none.

    Returns
    -------
    Carrier
    """
    if not isinstance(data, Carrier):
        return points(data, metric, ids=ids, weights=weights, metric_params=metric_params)
    if metric_params or (metric != "euclidean" and metric != getattr(getattr(data, "metric", None), "name", None)):
        raise InputError(f"metric={metric!r} was given with {type(data).__name__.lower()}, which have their distances "
                         "already.", "Give the metric to shoal.points instead.")
    return data.with_items(ids, weights)


def _refuse_carrier(data: Any, wanted: str) -> None:
    if isinstance(data, Carrier):
        raise InputError(f"A {type(data).__name__} carrier was given where {wanted} in a plain form are read.",
                         "Use the carrier as it is.")


def _measured(data: Any, pairwise: Any, params: dict[str, Any], ids: Any, weights: Any, symmetrize: str | None,
              progress: Progress) -> Items:
    """Measure all pairs of items."""
    if symmetrize is not None:
        raise InputError("symmetrize= was given with pairwise=, which measures every pair once.", "Leave it out.")
    measure, items = resolve_pairwise(pairwise, params), read_items(data)
    names, weights = read_ids(ids, len(items)), read_weights(weights, len(items))
    D = measure.condensed(items, names, progress)
    pairs = from_condensed(D) if len(items) > 1 else Pairs(1, D, "condensed", D.dtype)
    return Items(pairs=pairs, items=items, pairwise=measure, ids=names, weights=weights)


def _check_distances(pairs: Pairs, ids: Sequence[str] | None) -> list[str]:
    """Refuse distances below zero; by less than rounding they count as zero, which is said."""
    low, high = pairs.extremes(ids, "distance")
    if low >= 0:
        return []
    if low < -1e-4 * slack(pairs.dtype) * high or pairs.stored is not None:
        i, j, value = pairs.first(lambda values: values < 0)
        raise InputError(f"The distance between {item_name(ids, i)} and {item_name(ids, j)} is {value!r}.",
                         "Distances are zero or above. Similarities go to shoal.similarities.")
    return [f"Distances below zero by up to {-low:.2g}, as rounding leaves them, count as 0."]


def _choose_rule(pairs: Pairs, rule: RuleLike | None, low: float, high: float,
                 ids: Sequence[str] | None) -> tuple[RuleLike, list[str]]:
    """Take the default where no rule is given, and check that the rule is defined for all similarities."""
    messages = []
    room = 0.1 * slack(pairs.dtype)  # overshoot of 1e-9, or 1e-6 in float32, is rounding
    if pairs.stored is not None:
        messages.append("A pair that is not given has similarity 0.")
    if rule is None:
        rule = default_rule(low, high, pairs.diagonal.odd is None, room)
        messages.append(f"Similarities from {low:g} to {high:g} became distances by the default rule {rule!r}.")
    check_rule(rule)
    if isinstance(rule, str) and rule not in (fits := fitting_rules(low, high, room)):
        known = RULES[rule]
        low_end = 0.0 if known.above_low else known.low - room
        i, j, value = pairs.first(
            lambda s: (s > known.high + room) | (s <= low_end if known.above_low else s < low_end))
        raise InputError(f"The rule {rule!r} takes {known.domain}; the similarity between {item_name(ids, i)} and "
                         f"{item_name(ids, j)} is {value:g}.", f"Rules that fit: {', '.join(map(repr, fits))}.")
    return rule, messages


def _check_graph_arguments(kind: str, rule: RuleLike | None, missing: str | None) -> None:
    if kind not in ("similarity", "distance"):
        raise InputError(f"kind={kind!r} is not known.", "Give 'similarity' or 'distance': what the weights are.")
    if missing not in (None, "shortest_path"):
        raise InputError(f"missing={missing!r} is not known.", "Give 'shortest_path' or None.")
    if kind == "distance" and rule is not None:
        raise InputError("A rule turns similarities into distances, but kind='distance' was given.", "Leave one out.")
    if kind == "similarity" and missing is not None:
        raise InputError("missing= is for kind='distance'; a missing similarity is 0.", "Leave missing out.")


def _require_connected(found: Graph) -> None:
    from scipy.sparse.csgraph import connected_components

    count, part = connected_components(found.adjacency, directed=False)
    if count > 1:
        j = int(np.argmax(part != part[0]))
        raise InputError(f"The graph falls into {count:,} parts without a path between them; {item_name(found.ids, 0)} "
                         f"and {item_name(found.ids, j)} are in different ones.",
                         "Add the edges that connect them, or cluster the parts one by one.")
