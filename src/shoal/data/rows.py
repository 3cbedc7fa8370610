"""Distances by rows: from items to all items, and from new items to the old ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.data import features
from shoal.data.checks import read_ids, row_numbers
from shoal.data.pairs import Pairs
from shoal.data.pairwise import read_items
from shoal.data.records import Carrier, Distances, Graph, Items, Points, Similarities
from shoal.data.rules import RULES, convert, fitting_rules
from shoal.errors import InputError
from shoal.runtime import pool
from shoal.runtime.kernel import plain_if_cheap

__all__ = ["pair_rows", "rows_of", "rows_of_new"]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

BLOCK = 1 << 21  # distances at a time: 16 MB
PLAIN_S = 8e-7  # a difference of two coordinates, in plain Python


def rows_of(carrier: Carrier) -> Callable[[Ints], Floats]:
    """Return ``rows(items)``: the distances of some items to all n, shape (len(items), n), 0 for an item with itself."""
    if isinstance(carrier, Points):
        X, metric = carrier.X, carrier.metric
        def rows(items: Ints) -> Floats:
            with plain_if_cheap(PLAIN_S * len(items) * X.shape[0] * X.shape[1]):
                return _zero_own(metric.between(X[items], X), items)

        return rows
    if isinstance(carrier, Graph) and carrier.missing is not None:
        from scipy.sparse.csgraph import dijkstra

        adjacency = carrier.adjacency
        return lambda items: np.asarray(dijkstra(adjacency, directed=False, indices=items))
    assert isinstance(carrier, (Distances, Similarities, Graph))
    turn, pairs = _turn(carrier), carrier.pairs
    return lambda items: _zero_own(turn(pair_rows(pairs, items)), items)


def rows_of_new(carrier: Carrier, new: Any, ids: Sequence[Any] | None = None) -> tuple[tuple[str, ...], Iterator[Floats]]:
    """Read new items and give out their distances to all old ones.

    Parameters
    ----------
    carrier : Carrier
        The old items.
    new : array-like, frame or sequence
        Features of the new items, shape (m, d); for a matrix carrier their distances or similarities to all n old items,
        shape (m, n), columns in the order of the old items or named by their ids; where the old items were measured by a
        function of two items, a sequence of such items.
    ids : sequence, optional
        Names of the new items; their row numbers by default.

    Returns
    -------
    ids : tuple of str
    blocks : iterator of ndarray, each of shape (b, n)

    Raises
    ------
    InputError
        When features or columns are missing, or values are not what the carrier takes.
    """
    if isinstance(carrier, Points):
        read = carrier.new(new, ids=ids)
        X, metric, old = read.X, carrier.metric, carrier.X
        return read.ids or row_numbers(read.n), (metric.between(X[a:b], old) for a, b in _blocks(read.n, carrier.n))
    if isinstance(carrier, Items):
        items, old, ids_of_old = read_items(new), carrier.items, carrier.ids
        return read_ids(ids, len(items)) or row_numbers(len(items)), (
            carrier.pairwise.between(items[a:b], old, ids_of_old) for a, b in _blocks(len(items), carrier.n))
    if isinstance(carrier, Graph) and carrier.rule is None:
        raise InputError("New items cannot be placed by their edges alone: the distances were shortest paths.",
                         "Build the tree from shoal.distances, and give new items as rows of distances.")
    assert isinstance(carrier, (Distances, Similarities, Graph))
    raw = features.read_features(new, ids, None)
    V = np.asarray(raw.X.toarray() if hasattr(raw.X, "toarray") else raw.X, np.float64)
    V = V[:, _columns(raw.columns, V.shape[1], carrier)]
    _check_similarities(V, carrier)
    if isinstance(carrier, Distances) and (V < 0).any():
        i, j = np.argwhere(V < 0)[0].tolist()
        raise InputError(f"The distance of new item {i} to old item {j} is {V[i, j]!r}.", "Distances are zero or above.")
    distances = _turn(carrier)(V)
    if not np.isfinite(distances).all():
        i, j = np.argwhere(~np.isfinite(distances))[0].tolist()
        raise InputError(f"The rule makes {distances[i, j]} of the similarity {V[i, j]:g}.", "Distances must be finite.")
    return raw.ids or row_numbers(len(V)), (distances[a:b] for a, b in _blocks(len(V), carrier.n))


def _columns(names: Sequence[str] | None, width: int, carrier: Carrier) -> Any:
    """Old items by name where the columns carry exactly their names, else by position."""
    if names is not None and carrier.ids is not None and set(names) == set(carrier.ids):
        place = {name: j for j, name in enumerate(names)}
        return [place[name] for name in carrier.ids]
    if names is not None and carrier.ids is not None and (known := set(names) & set(carrier.ids)):
        missing = next((name for name in carrier.ids if name not in known), None)
        raise InputError(f"{len(known):,} columns are named like old items, but others are not: " + (
            f"there is none for {missing!r}." if missing is not None else f"{width - carrier.n:,} are too many."),
            "Name one column for every old item, or give the values without names, in the order of the old items.")
    if width != carrier.n:
        raise InputError(f"New items have {width:,} values each, and there are {carrier.n:,} old items.",
                         "Give one distance or similarity to every old item, in their order.")
    return slice(None)


def _check_similarities(V: Floats, carrier: Carrier) -> None:
    """Refuse similarities that the carrier's rule is not defined for, past rounding by 1e-9."""
    rule = getattr(carrier, "rule", None)
    if isinstance(rule, str) and V.size and rule not in fitting_rules(float(V.min()), float(V.max()), 1e-9):
        raise InputError(f"The rule {rule!r} takes {RULES[rule].domain}; the new items have a similarity of "
                         f"{float(V.min()):g} and one of {float(V.max()):g}.", "Give values of the same kind as the old.")


def _turn(carrier: Distances | Similarities | Graph) -> Callable[[Floats], Floats]:
    if isinstance(carrier, Distances) or carrier.rule is None:
        return lambda values: np.maximum(values, 0.0)
    rule, top = carrier.rule, carrier.top
    return lambda values: np.maximum(np.asarray(convert(rule, values, top), np.float64), 0.0)


def pair_rows(pairs: Pairs, items: Ints) -> Floats:
    """Values of some items with all, in float64; what stands for an item with itself is arbitrary."""
    n, V = pairs.n, pairs.values
    everyone, own = np.arange(n), np.asarray(items)[:, None]
    if V.ndim == 2:
        along, across = V[items].astype(np.float64), V[:, items].T.astype(np.float64)
        if pairs.half == "upper":
            return np.where(everyone > own, along, across)
        if pairs.half == "lower":
            return np.where(everyone > own, across, along)
        if pairs.half == "mean":
            return np.asarray(along * 0.5 + across * 0.5)
        return np.asarray(np.minimum(along, across) if pairs.half == "min" else np.maximum(along, across))
    low, high = np.minimum(everyone, own), np.maximum(everyone, own)
    place = np.where(low == high, 0, low * n - low * (low + 1) // 2 + high - low - 1)
    if pairs.stored is None:
        return V[place].astype(np.float64)
    if not len(pairs.stored):
        return np.zeros(place.shape)
    at = np.minimum(np.searchsorted(pairs.stored, place), len(pairs.stored) - 1)
    return np.where(pairs.stored[at] == place, V[at], 0.0).astype(np.float64)


def _zero_own(rows: Floats, items: Ints) -> Floats:
    rows[np.arange(len(rows)), items] = 0.0
    return rows


def _blocks(m: int, n: int) -> list[tuple[int, int]]:
    return pool.blocks(m, max(1, BLOCK // max(1, n)))
