"""`KMedoids`: clusters around items, for any distances, with their number given or chosen by the medoid silhouette."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from shoal.centers.medoid_seeding import STARTS
from shoal.centers.medoid_silhouette import Curve, dynmsc, fastmsc
from shoal.centers.medoid_tables import distances_to
from shoal.centers.medoids import SAMPLES, Fit, alternate, fasterclara, fasterpam
from shoal.data.carriers import Carrier, Points, as_carrier
from shoal.data.metrics import KERNELS, Metric
from shoal.data.rows import rows_of_new
from shoal.errors import InputError, ShoalWarning, TooLargeError
from shoal.estimators.base import Clusterer
from shoal.estimators.params import at_least, generator, one_of

__all__ = ["KMedoids"]

Floats = NDArray[np.float64]

METHODS = ("fasterpam", "fastmsc", "alternate", "fasterclara")
SPARSE = tuple(set(KERNELS) - {"correlation"})  # metrics that take sparse rows
MOST = 20  # clusters tried at most where their number is to be chosen, by default


def _in_form_of(X: Any, rows: Any) -> Any:
    """Rows sparse where X is, and dense where X is."""
    if isinstance(X, np.ndarray):
        return rows if isinstance(rows, np.ndarray) else rows.toarray()
    return type(X)(rows) if isinstance(rows, np.ndarray) else rows


def _as_columns(curve: Curve) -> Floats:
    return np.column_stack([curve.k, curve.silhouette])


class KMedoids(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Clusterer):  # type: ignore[misc]
    """Clusters around k of the items, those with the least summed distance from every item to the nearest of them.

    Any distance will do: every metric of `shoal.points`, a function of two rows, or a matrix. Outliers pull less than on
    k-means, because distances are not squared, and every centre is an item one can look at.

    Parameters
    ----------
    n_clusters : int or None
        None chooses the number by the medoid silhouette, from 2 to `max_k` (DynMSC [2]_); look at `curve_`.
    metric : str or callable
        A metric of `shoal.points`; "precomputed" takes a matrix of the distances of all items. A carrier has its own.
    init : {"build", "lab", "k-medoids++", "random"} or array of int, shape (k,)
        "build" takes one item after the other that lowers the loss most, and draws nothing. The others are faster and worth
        several starts. Or the positions of the items to begin with.
    n_init : int
        Starts to take the best of, where `init` draws; with "fasterclara" samples, of which it takes at least 5.
    max_iter : int
        Passes over all items at most.
    method : {"fasterpam", "fastmsc", "alternate", "fasterclara"}
        "fasterpam" [1]_ exchanges a medoid for an item as soon as that lowers the loss, until nothing does. "fastmsc" [2]_
        does so for the medoid silhouette. "alternate" moves a medoid only within its cluster: fast, and as a rule worse.
        "fasterclara" is "fasterpam" on samples; it is also what "fasterpam" becomes, with a warning, where the distances
        of all items do not fit in memory.
    max_k : int or None
        With ``n_clusters=None``: clusters to try at most; by default 20.
    random_state : int, Generator, RandomState or None

    Attributes
    ----------
    medoid_indices_ : ndarray of int64, shape (k,)
        Positions of the medoids.
    cluster_centers_ : ndarray or csr_array, shape (k, d), or None
        The medoids' features; None for a matrix.
    labels_ : ndarray of int32, shape (n,)
        0 … k-1, numbered in the order in which clusters first appear.
    inertia_ : float
        Summed distance of all items to their medoid, each times the item's weight.
    n_iter_ : int
        Passes over all items.
    curve_ : ndarray, shape (m, 2), or None
        Numbers of clusters and their mean medoid silhouette; None where no silhouette was asked for.
    clusters_ : Clusters
        The clusters under the items' own names.

    Notes
    -----
    O(n²) distances and time a pass; memory for one matrix, float32 for float32 points, none where a matrix or condensed
    vector of distances is given, which stays where it is. The same result for any number of threads.

    References
    ----------
    .. [1] Schubert, Rousseeuw 2021, "Fast and eager k-medoids clustering", doi:10.1016/j.is.2021.101804.
    .. [2] Lenssen, Schubert 2024, "Medoid silhouette clustering with automatic cluster number selection",
       doi:10.1016/j.is.2023.102290.

    Examples
    --------
    >>> from shoal.estimators.kmedoids import KMedoids
    >>> model = KMedoids(2).fit([[0.0], [1.0], [2.0], [8.0], [9.0]])
    >>> model.medoid_indices_.tolist(), model.labels_.tolist(), model.inertia_
    ([1, 3], [0, 0, 0, 1, 1], 3.0)
    >>> model.predict([[3.0], [7.0]]).tolist()
    [0, 1]
    """

    _method: ClassVar[str] = "k-medoids"
    _learned: ClassVar[tuple[str, ...]] = ("medoid_indices_", "cluster_centers_", "labels_", "inertia_", "n_iter_", "curve_",
                                           "metric_", "metric_params_", "carrier_", "weights_")

    medoid_indices_: NDArray[np.int64]
    cluster_centers_: Any
    curve_: Floats | None
    metric_: str
    metric_params_: dict[str, Any]
    carrier_: str
    labels_: NDArray[np.int32]

    def __init__(self, n_clusters: int | None = 8, *, metric: Any = "euclidean", init: Any = "build", n_init: int = 1,
                 max_iter: int = 100, method: str = "fasterpam", max_k: int | None = None, random_state: Any = None) -> None:
        self.n_clusters = n_clusters
        self.metric = metric
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.method = method
        self.max_k = max_k
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Find the medoids.

        Parameters
        ----------
        X : array-like, sparse array, frame or carrier, shape (n, d)
            With ``metric="precomputed"`` a square matrix of distances; `shoal.distances`, `shoal.similarities` and
            `shoal.graph` are read as they are.
        y : ignored
        sample_weight : array-like, shape (n,), optional
            An item of weight w counts w times; one of weight 0 not at all.

        Returns
        -------
        self

        Raises
        ------
        InputError
            When a parameter is not known, or there are fewer items than clusters.
        TooLargeError
            When all distances would not fit in memory, and `method` is neither "fasterpam" nor "fasterclara".
        """
        at_least(1, n_init=self.n_init, max_iter=self.max_iter)
        one_of(METHODS, method=self.method)
        if isinstance(self.init, str):
            one_of(STARTS, init=self.init)
        data = self._read(X)
        weights = self._read_weights(sample_weight, data)
        found, curve = self._search(data, weights)
        self._keep(data)
        self.medoid_indices_, self.labels_, self.inertia_, self.n_iter_ = found[:4]
        self.curve_, self.weights_ = curve, weights
        self.carrier_ = type(data).__name__.lower() if isinstance(X, Carrier) else "array"
        self.cluster_centers_, self.metric_, self.metric_params_ = None, "precomputed", {}
        if isinstance(data, Points):
            self.cluster_centers_ = data.X[found.medoids]
            self.metric_, self.metric_params_ = data.metric.name, dict(data.metric.params)
        return self

    def _read(self, X: Any) -> Carrier:
        if isinstance(X, Points) and self.metric != "precomputed":
            return self._read_points(as_carrier(X, metric=self.metric), metric=X.metric)
        if isinstance(X, Carrier) or self.metric == "precomputed":
            return self._read_square(X, "distances")
        return self._read_points(X, metric=self.metric)

    def _search(self, data: Carrier, weights: Floats | None) -> tuple[Fit, Floats | None]:
        """Find the medoids, and the curve where the medoid silhouette was asked for."""
        rng, k, n = generator(self.random_state), self.n_clusters, data.n
        options: dict[str, Any] = {"init": self.init, "weights": weights, "n_init": self.n_init, "max_iter": self.max_iter}
        if k is None:
            return self._choose(data, rng, options)
        at_least(1, n_clusters=k)
        if k > n:
            raise InputError(f"n_samples={n} should be >= n_clusters={k}.", "Ask for fewer clusters.")
        if self.method == "fastmsc":
            curve = fastmsc(data, k, rng, **options)
            return curve.best, _as_columns(curve)
        if self.method == "alternate":
            return alternate(data, k, rng, **options), None
        if self.method == "fasterpam":
            try:
                return fasterpam(data, k, rng, **options), None
            except TooLargeError as error:
                warnings.warn(f"{error.message} Medoids of samples were taken instead.", ShoalWarning, stacklevel=3)
        return fasterclara(data, k, rng, **options | {"n_init": max(SAMPLES, self.n_init)}), None

    def _choose(self, data: Carrier, rng: np.random.Generator, options: dict[str, Any]) -> tuple[Fit, Floats]:
        """Choose the number of clusters."""
        if self.method not in ("fasterpam", "fastmsc"):
            raise InputError(f"n_clusters=None was given with method={self.method!r}.",
                             "Give the number of clusters, or leave method to the medoid silhouette.")
        most = MOST if self.max_k is None else self.max_k
        at_least(2, max_k=most)
        items = data.n if options["weights"] is None else int((options["weights"] > 0).sum())
        if items < 3:
            raise InputError(f"n_samples={items} is too few to choose a number of clusters from.", "Give n_clusters.")
        curve = dynmsc(data, min(most, items - 1), rng, **options)
        return curve.best, _as_columns(curve)

    def predict(self, X: Any) -> NDArray[np.int32]:
        """Return the nearest medoid of new items.

        Parameters
        ----------
        X : array-like, sparse array, frame or carrier
            Features, shape (m, d); for a model of a matrix distances or similarities to all items it was fitted on, shape
            (m, n), or distances to the medoids alone, shape (m, k).

        Returns
        -------
        ndarray of int32, shape (m,)
            The model does not change.

        Raises
        ------
        InputError
            When the shape fits neither.
        """
        check_is_fitted(self)
        labels: NDArray[np.int32] = self._distances_to_clusters(X)[1].argmin(axis=1).astype(np.int32)
        return labels

    def transform(self, X: Any) -> NDArray[np.floating[Any]]:
        """Return the distance of new items to every medoid.

        Parameters
        ----------
        X : array-like, sparse array, frame or carrier
            As for `predict`.

        Returns
        -------
        ndarray, shape (m, k)
            float32 for float32, else float64.
        """
        check_is_fitted(self)
        found = self._distances_to_clusters(X)[1]
        return found.astype(np.float32) if getattr(X, "dtype", None) == np.float32 else found

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> NDArray[np.int32]:
        """Find the clusters and return the items' labels."""
        labels: NDArray[np.int32] = self.fit(X, sample_weight=sample_weight).labels_
        return labels

    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None) -> NDArray[np.floating[Any]]:
        """Find the clusters and return the items' distances to all medoids."""
        self.fit(X, sample_weight=sample_weight)
        assert self.data_ is not None
        return distances_to(self.data_, self.medoid_indices_).astype(self.data_.dtype, copy=False)

    def _distances_to_clusters(self, new: Any) -> tuple[tuple[str, ...] | None, Floats]:
        if self.cluster_centers_ is None:
            return self._from_matrix(new)
        metric = self.data_.metric if isinstance(self.data_, Points) else Metric(self.metric_, self.metric_params_)
        read = self._read_points(new, metric=metric, reset=False)
        return read.ids, read.metric.between(read.X, _in_form_of(read.X, self.cluster_centers_))

    def _from_matrix(self, new: Any) -> tuple[tuple[str, ...] | None, Floats]:
        """Distances to the medoids of items that come with values to all items, or to the medoids alone."""
        n, k, data = self.n_features_in_, len(self.medoid_indices_), self.data_
        alone = self.carrier_ != "items" and k != n and np.shape(np.asarray(new))[1:] == (k,)
        if alone:
            return None, check_array(new, dtype=np.float64, ensure_non_negative=True)
        if self.carrier_ == "array" or (data is None and self.carrier_ == "distances"):
            whole = validate_data(self, new, reset=False, dtype=np.float64, ensure_non_negative=True)
            return None, whole[:, self.medoid_indices_]
        if data is None:
            raise InputError(f"The model was loaded without the {self.carrier_} it was fitted on.",
                             f"Give the distances to its {k} medoids, one column a medoid.")
        ids, blocks = rows_of_new(data, new)
        return ids, np.concatenate([rows[:, self.medoid_indices_] for rows in blocks])

    @property
    def _n_features_out(self) -> int:
        return len(self.medoid_indices_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.metric == "precomputed"
        tags.input_tags.positive_only = self.metric == "precomputed"
        tags.input_tags.sparse = isinstance(self.metric, str) and self.metric in SPARSE
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
