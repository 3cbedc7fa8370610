"""What models with centres share: rows as the engines take them, and new items to their nearest centre."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from shoal.centers.limits import costs_to
from shoal.centers.lloyd import nearest
from shoal.clusters import Clusters
from shoal.data.carriers import Points
from shoal.data.checks import item_name, row_blocks, row_numbers
from shoal.data.metrics import resolve_metric
from shoal.errors import InputError, ShoalWarning
from shoal.estimators.base import Clusterer

__all__ = ["METRICS", "CenterModel", "FewerClusters", "Rows", "unit_rows"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

METRICS = ("euclidean", "cosine")


class FewerClusters(ShoalWarning, ConvergenceWarning):  # type: ignore[misc]
    """The data has fewer distinct items than clusters were asked for."""


class Rows(NamedTuple):
    """Items as the engines take them.

    Attributes
    ----------
    data : Points
        All items, as they were read.
    X : ndarray or csr_array
        Their rows, of length 1 under cosine, without those that have no direction.
    at : ndarray of int or None
        Which items they are; None: all.
    """

    data: Points
    X: Any
    at: Ints | None

    def spread(self, values: Any, missing: float) -> Any:
        """Give every item its row's value, and `missing` to those without a row."""
        if self.at is None:
            return values
        found = np.full((self.data.n, *values.shape[1:]), missing, values.dtype)
        found[self.at] = values
        return found

    def counted(self, weights: Floats | None, k: int) -> tuple[Any, Floats | None]:
        """Return the rows of weight above 0 and their weights; there must be k. Without such items X is as it is."""
        own = self.own(weights)
        X = self.X if own is None or own.all() else self.X[own > 0]
        if X.shape[0] < k:
            raise InputError(f"n_samples={X.shape[0]} should be >= n_clusters={k}.",
                             "Ask for fewer clusters." + ("" if X is self.X else " Items of weight 0 do not count."))
        return X, None if own is None else own[own > 0]

    def own(self, weights: Floats | None) -> Floats | None:
        """Return the weights of the rows that are here."""
        return weights if weights is None or self.at is None else weights[self.at]

    def summed(self, values: Floats, weights: Floats | None) -> float:
        """Add up a value of every row, times its weight."""
        own = self.own(weights)
        return float(values.sum() if own is None else values @ own)


class CenterModel(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Clusterer):  # type: ignore[misc]
    """A clusterer with one centre a cluster, in `cluster_centers_`."""

    metric: str
    zero_rows: str
    cluster_centers_: NDArray[np.floating[Any]]
    labels_: NDArray[np.int32]
    inertia_: float
    weights_: Floats | None

    def predict(self, X: Any) -> NDArray[np.int32]:
        """Return the cluster of new items: the row of `cluster_centers_` that is nearest.

        Parameters
        ----------
        X : array-like, sparse array, frame or Points, shape (m, d)

        Returns
        -------
        ndarray of int32, shape (m,)
            -1 for a row of zeros under cosine, where ``zero_rows="noise"`` allows it. The model does not change.

        Raises
        ------
        InputError
            When the features are not those of the model.
        """
        check_is_fitted(self)
        rows = self._rows(X, reset=False)
        found: NDArray[np.int32] = rows.spread(self._labels(rows.X), -1)
        return found

    def transform(self, X: Any) -> NDArray[np.floating[Any]]:
        """Return the distance of new items to every centre; under cosine the angle, in radians.

        Parameters
        ----------
        X : array-like, sparse array, frame or Points, shape (m, d)

        Returns
        -------
        ndarray, shape (m, k)
            float32 for float32, else float64; NaN for rows that `predict` calls noise.
        """
        check_is_fitted(self)
        rows = self._rows(X, reset=False)
        found: Floats = rows.spread(self._distances(rows.X), np.nan)
        return found.astype(rows.X.dtype, copy=False)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return minus the inertia of new items: the summed squared distances to their centres (1 - cos under cosine).

        Parameters
        ----------
        X : array-like, sparse array, frame or Points, shape (m, d)
        y : ignored
        sample_weight : array-like, shape (m,), optional
        """
        check_is_fitted(self)
        rows = self._rows(X, reset=False)
        weights = self._read_weights(sample_weight, rows.data)
        squares = nearest(rows.X, self._code_book(rows.X), self.metric)[1]
        return -rows.summed(squares, weights)

    def clusters_of(self, X: Any) -> Clusters:
        """Put any items into the model's clusters, and return these under the items' own names.

        Parameters
        ----------
        X : array-like, sparse array, frame or Points, shape (m, d)

        Returns
        -------
        Clusters
            As `clusters_` is of the items of `fit`. The model does not change.

        Examples
        --------
        >>> import shoal
        >>> model = shoal.KMeans.from_centers([[0.0], [5.0]])
        >>> model.clusters_of(shoal.points([[4.0], [1.0]], ids=["a", "b"])).members()
        {0: ['b'], 1: ['a']}
        """
        check_is_fitted(self)
        rows = self._rows(X, reset=False)
        data = rows.data
        return Clusters(labels=rows.spread(self._labels(rows.X), -1), ids=data.ids or row_numbers(data.n),
                        how=f"k = {len(self.cluster_centers_)}", data=data, weights=data.weights,
                        source={**data.describe(), "method": self._method}, model=self)

    def relabel(self, X: Any, sample_weight: Any = None) -> Self:
        """Take some items as the model's own: `labels_`, `inertia_` and `clusters_` are theirs; the centres stay.

        Parameters
        ----------
        X : array-like, sparse array, frame or Points, shape (m, d)
            Such as all items, after the model learned from batches and knows the labels of the last one only.
        sample_weight : array-like, shape (m,), optional

        Examples
        --------
        >>> import shoal
        >>> model = shoal.KMeans.from_centers([[0.0], [5.0]])
        >>> model.relabel([[4.0], [1.0]]).labels_.tolist(), model.inertia_
        ([1, 0], 2.0)
        """
        check_is_fitted(self)
        rows = self._rows(X, reset=False)
        weights = self._read_weights(sample_weight, rows.data)
        labels, squares = nearest(rows.X, self._code_book(rows.X), self.metric)
        self.labels_, self.inertia_, self.weights_ = rows.spread(labels, -1), rows.summed(squares, weights), weights
        self._keep(rows.data)
        return self

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> NDArray[np.int32]:
        """Find the clusters and return the items' labels."""
        return self.fit(X, sample_weight=sample_weight).labels_

    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None) -> NDArray[np.floating[Any]]:
        """Find the clusters and return the items' distances to all centres."""
        return self.fit(X, sample_weight=sample_weight).transform(X)

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Find the clusters."""
        raise NotImplementedError

    def _labels(self, X: Any) -> NDArray[np.int32]:
        return nearest(X, self._code_book(X), self.metric)[0]

    def _distances(self, X: Any) -> Floats:
        """Distances to all centres, or angles: 1 - cos φ = 2 sin²(φ/2)."""
        costs = costs_to(X, self._code_book(X), self.metric)
        return np.sqrt(costs) if self.metric == "euclidean" else 2.0 * np.arcsin(np.minimum(1.0, np.sqrt(costs / 2.0)))

    def _distances_to_clusters(self, new: Any) -> tuple[tuple[str, ...] | None, Floats]:
        rows = self._rows(new, reset=False, allow_zero=False)
        return rows.data.ids, self._distances(rows.X)

    def _code_book(self, X: Any) -> Any:
        """The centres as the engines take them beside rows X; they may have been set by hand."""
        centers = np.ascontiguousarray(self.cluster_centers_, X.dtype)
        if centers.ndim != 2 or centers.shape[1] != X.shape[1]:
            raise InputError(f"X has {X.shape[1]} features, but cluster_centers_ has shape {centers.shape}.",
                             "Give the features of the centres.")
        return centers

    def _rows(self, X: Any, *, reset: bool, allow_zero: bool = True) -> Rows:
        """Read items; under cosine bring them to length 1."""
        data = self._read_points(X, metric=self.metric, reset=reset)
        if self.metric == "euclidean":
            return Rows(data, data.X, None)
        rows, at = data.X, None
        live = rows.any(axis=1) if isinstance(rows, np.ndarray) else np.diff(rows.indptr) > 0
        if not live.all():
            if self.zero_rows != "noise" or not allow_zero or not live.any():
                zero = np.flatnonzero(~live)
                raise InputError(f"{len(zero)} rows are all zeros and have no direction, the first of them "
                                 f"{item_name(data.ids, int(zero[0]))}.",
                                 "Leave them out, or label them -1 with zero_rows='noise'.")
            at = np.flatnonzero(live)
            rows = rows[at]
        return Rows(data, unit_rows(rows), at)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "cluster_centers_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        return len(self.cluster_centers_)


def unit_rows(X: Any) -> Any:
    """Return rows of length 1 in X's own type; none may be all zeros."""
    cosine = resolve_metric("cosine", X)
    if not isinstance(X, np.ndarray):
        return cosine.unit_rows(X).astype(X.dtype)
    found = np.empty_like(X, order="C")
    for i0, i1 in row_blocks(len(X), X.shape[1]):  # they are worked out in float64
        found[i0:i1] = cosine.unit_rows(X[i0:i1])
    return found
