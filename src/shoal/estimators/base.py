"""What all estimators share: reading data as scikit-learn does or from a carrier, names, `clusters_`, model files."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from shoal.clusters import Assignment, Clusters
from shoal.data import carriers
from shoal.data.carriers import Carrier, Points
from shoal.data.checks import read_ids
from shoal.data.metrics import resolve_metric
from shoal.data.tables import is_frame, read_frame
from shoal.errors import InputError

__all__ = ["Clusterer", "Reader"]

Floats = NDArray[np.float64]
FLOATS = (np.float64, np.float32)


class Reader(BaseEstimator):  # type: ignore[misc]
    """Reads what `fit` and `predict` are given, keeps the items' names, and saves what was learned.

    A subclass says in `_learned` which attributes make a fitted model; they are arrays, sparse arrays, numbers, texts or
    None, or dicts of these.
    """

    _learned: ClassVar[tuple[str, ...]] = ()

    n_features_in_: int
    feature_names_in_: NDArray[Any]
    data_: Carrier | None
    ids_: tuple[str, ...] | None

    def _read_points(self, X: Any, *, metric: Any = "euclidean", reset: bool = True, sparse: bool = True) -> Points:
        """Read rows of features: a `Points` carrier as it is, anything else by scikit-learn's rules.

        With `reset` the number of features and their names are learned, and otherwise must fit. A frame's index names the
        items. float32 stays float32. A `Points` carrier of new items is scaled as the fitted one was.
        """
        if isinstance(X, Carrier):
            if not isinstance(X, Points):
                raise InputError(f"{type(self).__name__} takes points here, not {type(X).__name__.lower()}.",
                                 "Give features, or metric='precomputed' where there is such an option.")
            return self._carrier_of_points(X, metric, reset)
        table = read_frame(X) if is_frame(X) else None
        if table is not None and (text := next((c for c in table.columns if c.numbers is None), None)) is not None:
            raise InputError(f"Column {text.name!r} is not numeric ({text.kind}).",
                             f"Leave it out; or, where it names the items, give shoal.points(frame, ids={text.name!r}).")
        checked = validate_data(self, X, reset=reset, accept_sparse="csr" if sparse else False, dtype=FLOATS, order="C")
        if hasattr(checked, "indptr"):
            checked = _with_short_indices(checked)
        fitted = None if reset else getattr(self, "data_", None)
        names = getattr(self, "feature_names_in_", None)
        found = carriers.points(checked, metric, ids=None if table is None else table.index, square=not reset,
                                columns=None if names is None else [str(name) for name in names])
        return found if not isinstance(fitted, Points) or fitted.scaling is None else fitted.new(found)

    def _carrier_of_points(self, X: Points, metric: Any, reset: bool) -> Points:
        if reset:
            self.n_features_in_ = X.d
            if hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
            if X.columns is not None:
                self.feature_names_in_ = np.array(X.columns, dtype=object)
        elif isinstance(fitted := getattr(self, "data_", None), Points):
            X = X if X.scaling is not None and X.scaling is fitted.scaling else fitted.new(X)
        elif X.d != self.n_features_in_:
            raise InputError(f"X has {X.d} features, but {type(self).__name__} is expecting {self.n_features_in_} features "
                             "as input.", "Give the features the model was fitted on.")
        if isinstance(metric, str) and X.metric.name != metric:
            return dataclasses.replace(X, metric=resolve_metric(metric, X.X))
        return X

    def _read_square(self, X: Any, kind: str) -> Carrier:
        """Read a whole matrix for `fit`: a carrier as it is, an array or sparse array as "distances" or "similarities"."""
        if isinstance(X, Carrier):
            if isinstance(X, Points):
                raise InputError(f"{type(self).__name__} was told to expect {kind}, and points were given.",
                                 f"Give shoal.{kind}(...), or name a metric.")
            self.n_features_in_ = X.n
            return X
        checked = validate_data(self, X, accept_sparse="csr", dtype=FLOATS)
        if checked.shape[0] != checked.shape[1]:
            raise InputError(f"{kind.capitalize()} of all items are a square matrix; this one has shape {checked.shape}.",
                             "Give one row and one column for every item.")
        return carriers.distances(checked) if kind == "distances" else carriers.similarities(checked)

    def _read_weights(self, sample_weight: Any, data: Carrier) -> Floats | None:
        """Read weights of the items: those given, else the carrier's; None where all count alike. 0 is allowed."""
        if sample_weight is None:
            return data.weights
        weights = np.asarray(sample_weight, np.float64)
        if weights.ndim == 0:
            weights = np.full(data.n, float(weights))
        if weights.shape != (data.n,):
            raise InputError(f"sample_weight.shape == {weights.shape}, expected {(data.n,)}!", "Give one weight an item.")
        if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
            raise InputError("sample_weight must be finite, not negative, and not all zero.",
                             "Leave out what should not count.")
        return weights

    def _keep(self, data: Carrier) -> None:
        """Keep the data and the items' names."""
        self.data_, self.ids_ = data, data.ids

    def save(self, path: Any, *, force: bool = False, data: bool = True) -> None:
        """Write the fitted model to a file that `shoal.load` reads; without code, so that it is safe to open.

        Parameters
        ----------
        path : path-like
        force : bool
            Overwrite a file that is there.
        data : bool
            With the points it was fitted on, where it was fitted on points.

        Raises
        ------
        InputError
            When the file exists and `force` is False, or a parameter is a function.
        """
        from shoal.estimators.files import write_estimator

        check_is_fitted(self)
        write_estimator(self, path, force=force, data=data)


def _with_short_indices(X: Any) -> Any:
    """Return a CSR matrix with 32-bit indices where they are enough: loops over them are faster, and compiled already."""
    if X.indices.dtype == np.int32 == X.indptr.dtype or max(*X.shape, X.nnz) >= 2**31:
        return X
    return type(X)((X.data, X.indices.astype(np.int32), X.indptr.astype(np.int32)), shape=X.shape)


class Clusterer(ClusterMixin, Reader):  # type: ignore[misc]
    """An estimator that puts items into clusters: `labels_`, `clusters_`, and the nearest cluster of new items."""

    _method: ClassVar[str] = ""
    labels_: NDArray[np.integer[Any]]

    @property
    def clusters_(self) -> Clusters:
        """The clusters under the items' own names: members, features, export, predict."""
        check_is_fitted(self, "labels_")
        found: Clusters | None = self.__dict__.get("_clusters")
        if found is None or found.labels is not self.labels_:
            n = len(self.labels_)
            data = kept if (kept := getattr(self, "data_", None)) is not None and kept.n == n else None
            source = {} if data is None else data.describe()
            k = int(self.labels_.max(initial=-1)) + 1
            found = Clusters(labels=self.labels_, ids=getattr(self, "ids_", None) or tuple(map(str, range(n))),
                             how=f"k = {k}", data=data, weights=getattr(self, "weights_", None),
                             source={**source, "method": self._method}, model=self)
            self.__dict__["_clusters"] = found
        return found

    def assign(self, new: Any, ids: Sequence[Any] | None = None) -> Assignment:
        """Return the nearest cluster of every new item, its distance, and how much farther the next one is.

        Parameters
        ----------
        new : array-like or carrier
            As for `predict`.
        ids : sequence, optional
            The new items' names.

        Returns
        -------
        Assignment
            ``.labels``, ``.distance``, ``.margin``, ``.ids``.
        """
        check_is_fitted(self)
        names, distances = self._distances_to_clusters(new)
        return Assignment.of(distances, names if ids is None else read_ids(ids, len(distances)))

    def _distances_to_clusters(self, new: Any) -> tuple[tuple[str, ...] | None, Floats]:
        """Read new items; return their names and their distance to every cluster, shape (m, k)."""
        raise NotImplementedError

    def __getstate__(self) -> Any:
        return {name: value for name, value in super().__getstate__().items() if name != "_clusters"}

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the clusters."""
        raise NotImplementedError
