"""The carriers as frozen records: what was read, and how distances are given out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from shoal.data import features
from shoal.data.checks import item_name, read_ids, read_weights, row_blocks
from shoal.data.forms import require_all_pairs
from shoal.data.pairs import Pairs, pairs_at
from shoal.data.rules import convert
from shoal.data.scaling import Scaling
from shoal.errors import InputError
from shoal.runtime.progress import Ticker

if TYPE_CHECKING:
    from shoal.data.metrics import Metric
    from shoal.data.pairwise import Pairwise

__all__ = ["Carrier", "Distances", "Graph", "Items", "Points", "RuleLike", "Similarities"]

RuleLike = str | Callable[[Any], Any]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Carrier:
    """What all carriers have.

    Attributes
    ----------
    ids : tuple of str or None
    weights : ndarray of float64 or None
        Positive and finite; read-only.
    messages : tuple of str
        What was handled or assumed while reading, in sentences.
    """

    ids: tuple[str, ...] | None = None
    weights: NDArray[np.float64] | None = None
    messages: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Number of items."""
        raise NotImplementedError

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 where the data was float32 or float16, else float64."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """Say where the data came from, in values JSON can hold."""
        return {"carrier": type(self).__name__.lower(), "n": self.n, "dtype": self.dtype.name,
                "has_ids": self.ids is not None, "weighted": self.weights is not None}

    def condensed(self, ticker: Ticker | None = None) -> NDArray[Any]:
        """Write all distances into a fresh vector in scipy's condensed order; n (n - 1) / 2 values of `dtype`."""
        raise NotImplementedError

    def with_items(self, ids: Any = None, weights: Any = None) -> Self:
        """Return the same data with ids or weights it did not have."""
        for name, given in (("ids", ids), ("weights", weights)):
            if given is not None and getattr(self, name) is not None:
                raise InputError(f"{name} were given twice: these {type(self).__name__.lower()} already have them.",
                                 f"Give {name} in one place.")
        return dataclasses.replace(self, ids=read_ids(ids, self.n) or self.ids,
                                   weights=self.weights if weights is None else read_weights(weights, self.n))

    def __len__(self) -> int:
        return self.n

    def __repr__(self) -> str:
        hidden = ("carrier", "columns", "metric_params", "pairwise_params")
        shown = ", ".join(f"{key}={value!r}" for key, value in self.describe().items()
                          if key not in hidden and value not in (None, False))
        return f"{type(self).__name__}({shown})"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Points(Carrier):
    """Items as rows of features, with the metric between them. Made by `shoal.points`.

    Attributes
    ----------
    X : ndarray or csr_array, shape (n, d)
        float32 or float64; read-only and C-contiguous where dense, canonical where sparse.
    metric : Metric
    columns : tuple of str or None
        Names of the features.
    scaling : Scaling or None
        What `X` was scaled by.
    """

    X: Any
    metric: Metric
    columns: tuple[str, ...] | None = None
    scaling: Scaling | None = None

    @property
    def n(self) -> int:
        """Number of items."""
        return int(self.X.shape[0])

    @property
    def d(self) -> int:
        """Number of features."""
        return int(self.X.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 where the data was float32 or float16, else float64."""
        dtype: np.dtype[Any] = self.X.dtype
        return dtype

    def describe(self) -> dict[str, Any]:
        """Say where the data came from, in values JSON can hold."""
        return super().describe() | {
            "d": self.d, "sparse": not isinstance(self.X, np.ndarray), "metric": self.metric.name,
            "metric_params": {key: _plain(value) for key, value in self.metric.params.items()},
            "scale": None if self.scaling is None else self.scaling.name,
            "columns": None if self.columns is None else list(self.columns)}

    def condensed(self, ticker: Ticker | None = None) -> NDArray[Any]:
        """Write all distances into a fresh vector in scipy's condensed order; n (n - 1) / 2 values of `dtype`."""
        return np.asarray(self.metric.condensed(self.X, ticker))

    def new(self, data: Any, *, ids: Any = None, weights: Any = None) -> Points:
        """Read new items into the same feature space.

        Parameters
        ----------
        data : array-like, frame, sparse array or Points
            Unscaled. Columns are matched by name where both sides have names, else by position.
        ids, weights : sequence, optional
            Of the new items.

        Returns
        -------
        Points
            With this carrier's metric and scaling.

        Raises
        ------
        InputError
            When columns are missing or their number differs.
        """
        if isinstance(data, Points):
            if data.scaling is not None:
                raise InputError("The new points are scaled already; the model scales new items itself.",
                                 "Give them without scale=.")
            data = data.with_items(ids, weights)
            ids, weights = data.ids, data.weights
            raw = features.Features(data.X, data.ids, data.columns, list(data.messages))
        else:
            raw = features.read_features(data, ids, None, self.columns)
        raw = features.match(raw, self.columns, self.d, self.X)
        X = raw.X if self.scaling is None else features.frozen(self.scaling.apply(raw.X))
        return Points(X=X, metric=self.metric, ids=raw.ids, weights=read_weights(weights, X.shape[0]),
                      columns=self.columns or raw.columns, scaling=self.scaling, messages=tuple(raw.messages))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Distances(Carrier):
    """Given distances of all pairs. Made by `shoal.distances`."""

    pairs: Pairs

    @property
    def n(self) -> int:
        """Number of items."""
        return self.pairs.n

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 where the data was float32 or float16, else float64."""
        return self.pairs.dtype

    def condensed(self, ticker: Ticker | None = None) -> NDArray[Any]:
        """Write all distances into a fresh vector in scipy's condensed order; n (n - 1) / 2 values of `dtype`."""
        return self.pairs.condensed(lambda values: np.maximum(values, 0.0), ticker)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Items(Distances):
    """Items of any kind, all of whose distances were measured. Made by `shoal.distances` with `pairwise`.

    Attributes
    ----------
    items : tuple
        As they were given.
    pairwise : Pairwise
        The distance between two of them.
    """

    items: tuple[Any, ...]
    pairwise: Pairwise

    def describe(self) -> dict[str, Any]:
        """Say where the data came from, in values JSON can hold."""
        return super().describe() | {
            "carrier": "distances", "pairwise": self.pairwise.name,
            "pairwise_params": {key: _plain(value) for key, value in self.pairwise.params.items()}}


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Similarities(Carrier):
    """Given similarities of all pairs, and the rule that makes distances of them. Made by `shoal.similarities`.

    Attributes
    ----------
    rule : str or callable
    top : float
        The largest similarity between two different items.
    """

    pairs: Pairs
    rule: RuleLike
    top: float

    @property
    def n(self) -> int:
        """Number of items."""
        return self.pairs.n

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 where the data was float32 or float16, else float64."""
        return self.pairs.dtype

    def describe(self) -> dict[str, Any]:
        """Say where the data came from, in values JSON can hold."""
        return super().describe() | {"rule": _rule_name(self.rule), "top": self.top}

    def condensed(self, ticker: Ticker | None = None) -> NDArray[Any]:
        """Write all distances into a fresh vector in scipy's condensed order; n (n - 1) / 2 values of `dtype`."""
        return _turned(self.pairs, self.rule, self.top, self.ids, ticker)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Graph(Carrier):
    """Edges between some of the items. Made by `shoal.graph`.

    Attributes
    ----------
    kind : str
        "similarity" or "distance": what the weights are.
    rule : str, callable or None
        From similarity to distance.
    missing : str or None
        What the distance of a pair without an edge is.
    """

    pairs: Pairs
    kind: str
    rule: RuleLike | None = None
    top: float = 0.0
    missing: str | None = None

    @property
    def n(self) -> int:
        """Number of items."""
        return self.pairs.n

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 where the data was float32 or float16, else float64."""
        return self.pairs.dtype

    @property
    def edges(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
        """The edges as (i, j, weight) with i < j, ascending."""
        stored = np.arange(len(self.pairs.values)) if self.pairs.stored is None else self.pairs.stored
        i, j = pairs_at(stored, self.n)
        return i, j, self.pairs.values

    @property
    def adjacency(self) -> Any:
        """The weights as a symmetric csr_array of float64, shape (n, n)."""
        from scipy import sparse

        i, j, w = self.edges
        both = (np.concatenate([w, w]).astype(np.float64), (np.concatenate([i, j]), np.concatenate([j, i])))
        return sparse.csr_array(both, shape=(self.n, self.n))

    def describe(self) -> dict[str, Any]:
        """Say where the data came from, in values JSON can hold."""
        return super().describe() | {"edges": len(self.pairs.values), "kind": self.kind,
                                     "rule": _rule_name(self.rule), "missing": self.missing}

    def condensed(self, ticker: Ticker | None = None) -> NDArray[Any]:
        """Write all distances into a fresh vector in scipy's condensed order; n (n - 1) / 2 values of `dtype`."""
        if self.rule is not None:
            return _turned(self.pairs, self.rule, self.top, self.ids, ticker)
        if self.missing is not None:
            return self._path_lengths(ticker)
        require_all_pairs(self.pairs, self.ids, "Give a distance for every pair, or missing='shortest_path'.")
        return self.pairs.condensed(None, ticker)

    def _path_lengths(self, ticker: Ticker | None) -> NDArray[Any]:
        """Dijkstra from a block of items at a time, so that no square matrix is held."""
        from scipy.sparse.csgraph import dijkstra

        n, adjacency, at = self.n, self.adjacency, 0
        out = np.empty(n * (n - 1) // 2, self.dtype)
        for start, stop in row_blocks(n, n):
            lengths = dijkstra(adjacency, directed=False, indices=np.arange(start, stop))
            for row, i in zip(lengths, range(start, stop), strict=True):
                out[at:at + n - 1 - i] = row[i + 1:]
                at += n - 1 - i
            if ticker is not None:
                ticker.at(stop / n)
        return out


def _turned(pairs: Pairs, rule: RuleLike, top: float, ids: Sequence[str] | None,
            ticker: Ticker | None) -> NDArray[Any]:
    """Write distances; a rule of the caller's own is checked value by value."""
    def turn(s: NDArray[np.float64]) -> NDArray[np.float64]:
        distances = convert(rule, s, top)
        wrong = ~((distances >= 0) & (distances < math.inf))
        if wrong.any():
            bad, made = float(s[np.argmax(wrong)]), float(distances[np.argmax(wrong)])
            i, j, _ = pairs.first(lambda values: values == bad)
            raise InputError(f"The rule makes {made} of the similarity {bad:g} between {item_name(ids, i)} and "
                             f"{item_name(ids, j)}.", "Distances must be finite and zero or above.")
        return distances

    return pairs.condensed(turn, ticker)


def _rule_name(rule: RuleLike | None) -> str | None:
    return rule if rule is None or isinstance(rule, str) else getattr(rule, "__name__", "a function")


def _plain(value: Any) -> Any:
    """Turn a parameter of a metric into what JSON can hold."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value if isinstance(value, (bool, int, float, str, type(None))) else repr(value)
