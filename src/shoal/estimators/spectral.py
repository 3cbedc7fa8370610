"""`Spectral`: scikit-learn's estimator for clusters as a normalised cut of similarities."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from shoal.clusters import Assignment
from shoal.data import carriers
from shoal.data.carriers import Carrier, Distances, Graph, Points, Similarities
from shoal.data.checks import item_name
from shoal.errors import InputError, ShoalWarning
from shoal.estimators.base import FLOATS, Clusterer
from shoal.estimators.params import at_least, generator, is_real, one_of
from shoal.graphs.affinity import (
    NEGATIVE,
    Affinity,
    check_scale,
    gaussian,
    matrix_of,
    neighbor_graph,
    read_affinity,
    tuned_edges,
    weights_of_new,
    weights_of_new_edges,
)
from shoal.graphs.landmarks import Landmarks, landmark_cut, pick, weights_to
from shoal.graphs.neighbors import neighbors
from shoal.graphs.spectral import Cut, gaps_of, normalized_cut, place

__all__ = ["Spectral"]

Floats = NDArray[np.float64]
AFFINITIES = ("precomputed", "neighbors", "gaussian")
NAMES = 5  # items a message names


class Spectral(Clusterer):
    """Spectral clustering: the normalised cut of a graph of similarities, and a place in it for new items.

    Parameters
    ----------
    n_clusters : int, optional
        By default the number after which the eigenvalues fall most (`gaps_`), of at least 2.
    affinity : {"precomputed", "neighbors", "gaussian"} or callable
        "precomputed": X holds similarities, dense or sparse, larger meaning closer; or is a `Similarities` or `Graph`
        carrier, or one of distances, which become similarities by a Gaussian. "neighbors": X holds points, or is a
        `Distances` carrier, and items are similar when one is among the nearest of the other. "gaussian": all pairs of
        points are, O(n²).
        A callable is called as ``affinity(A, B)`` with two arrays of points and returns the similarity of every row of A to
        every row of B, as the functions of `sklearn.metrics.pairwise` do.
    n_neighbors : int
        Nearest items, itself not counted; doubled as long as the graph falls into more than `n_clusters` parts. With
        `landmarks`, a third as many landmarks.
    scale : "self-tuning" or float
        Similarity by distance d: exp(-d²/(s t)), where s and t are the two items' distances to their 7th neighbour; or, with
        a length σ, exp(-d²/(2σ²)).
    landmarks : int, optional
        With affinity="neighbors" and Euclidean points: items are similar by way of so many landmarks, 500 to 2,000 as a
        rule. For many items, 100,000 and more.
    negative : {"error", "clip", "shift"}
        What becomes of negative similarities: refused, counted as 0, or the least is taken from all of them.
    tol : float
        Largest residual of an eigenvector, relative to 1 - λ of the first that is not used.
    random_state : int, Generator, RandomState or None
        For the choice of landmarks. All else is the same at every call.

    Attributes
    ----------
    labels_ : ndarray of int32, shape (n,)
        Clusters are numbered by their first items. Items without any similarity are clusters of their own, beyond
        `n_clusters`; `messages_` names them.
    n_clusters_ : int
    eigenvalues_ : ndarray
        Of D^-½ A D^-½, largest first. As many are 1 as the graph has parts.
    gaps_ : ndarray
        How much they fall after each: (λ_k - λ_k+1) / √(1 - λ_k+1); large where k is a good number of clusters.
    residual_ : float
        ‖N u - λ u‖, the largest of the eigenvectors used.
    embedding_ : ndarray, shape (n, k)
        Every item's direction, a row of eigenvectors taken to length 1.
    directions_ : ndarray, shape (k, k)
        The mean direction of every cluster.
    table_ : ndarray
        What a new item's direction is a weighted sum of.
    scales_, landmarks_ : ndarray or None
        The items' own scales s; the landmarks.
    messages_ : tuple of str
        What was assumed or found out.

    Notes
    -----
    Passes over the similarities, no factorisation: 7 or so over a dense matrix with clear clusters, O(n² k) each, and 20 to
    100 over a graph, O(edges · k) each. The diagonal does not count. The same labels at every call and for any number of
    threads.

    `predict` takes points where `fit` did, else rows of similarities or distances to all old items; sparse where only some
    are known, absent ones being 0. An item's direction is the weighted mean of those it is similar to.

    Shi & Malik 2000; Ng, Jordan & Weiss 2002; Zelnik-Manor & Perona 2004; Damle, Minden & Ying 2019; Chen & Cai 2011. See
    `shoal.graphs.spectral`.

    Examples
    --------
    >>> import shoal
    >>> S = [[1, 0.9, 0.1, 0], [0.9, 1, 0, 0.1], [0.1, 0, 1, 0.8], [0, 0.1, 0.8, 1]]
    >>> model = shoal.Spectral(2).fit(shoal.similarities(S, ids=["a", "b", "c", "d"]))
    >>> model.clusters_.members()
    {0: ['a', 'b'], 1: ['c', 'd']}
    >>> model.predict([[0.0, 0.2, 0.7, 0.6]]).tolist()
    [1]
    """

    scales_: Any
    landmarks_: Any
    _method: ClassVar[str] = "spectral"
    _learned: ClassVar[tuple[str, ...]] = (
        "labels_", "n_clusters_", "eigenvalues_", "gaps_", "residual_", "embedding_", "directions_", "table_", "scales_",
        "landmarks_", "input_", "near_", "offset_", "messages_")

    def __init__(self, n_clusters: int | None = None, *, affinity: str | Callable[[Any, Any], Any] = "precomputed",
                 n_neighbors: int = 15, scale: str | float = "self-tuning", landmarks: int | None = None,
                 negative: str = "error", tol: float = 1e-3, random_state: Any = None) -> None:
        self.n_clusters = n_clusters
        self.affinity = affinity
        self.n_neighbors = n_neighbors
        self.scale = scale
        self.landmarks = landmarks
        self.negative = negative
        self.tol = tol
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = isinstance(self.affinity, str) and self.affinity == "precomputed"
        tags.input_tags.positive_only = tags.input_tags.pairwise and self.negative == "error"
        tags.input_tags.sparse = self.landmarks is None and not callable(self.affinity)
        return tags

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the clusters.

        Parameters
        ----------
        X : array-like, sparse array, frame or carrier
            What `affinity` says.
        y : ignored

        Returns
        -------
        Spectral

        Raises
        ------
        InputError
            For negative similarities that nothing was said about, asymmetric ones, and a number of clusters below that of
            the parts of a graph without similarity between them.
        """
        self._check()
        data = self._read(X)
        if data.n < 2:
            raise InputError(f"{data.n} sample was given.", "Clusters are found among at least 2.")
        messages = [] if data.weights is None else ["Weights of items are not used in spectral clustering."]
        asked = int(self.n_neighbors) if self.landmarks is None else max(2, int(self.n_neighbors) // 3)
        self.scales_, self.landmarks_, self.near_, self.offset_ = None, None, asked, 0.0
        cut = self._cut_graph(data) if self.landmarks is None else self._cut_by_landmarks(data)
        if self.near_ > asked:
            messages.append(f"{self.near_} nearest were taken: with {asked} the graph falls into more than "
                            f"{self.n_clusters} parts.")
        self._keep(data)
        self._learn(cut, messages)
        return self

    def _check(self) -> None:
        if self.n_clusters is not None:
            at_least(1, n_clusters=self.n_clusters)
        if self.landmarks is not None:
            at_least(2, landmarks=self.landmarks)
        at_least(1, n_neighbors=self.n_neighbors)
        if not callable(self.affinity):
            one_of(AFFINITIES, affinity=self.affinity)
        one_of(NEGATIVE, negative=self.negative)
        check_scale(self.scale)
        if not is_real(self.tol) or not 0 < self.tol < 1:
            raise InputError(f"tol={self.tol!r} was given.", "Give a number between 0 and 1, as a rule 1e-3.")

    def _read(self, X: Any) -> Carrier:
        """Read what `fit` is given, and note how it is to be taken."""
        self.input_ = self.affinity if isinstance(self.affinity, str) else "function"
        if self.input_ == "precomputed":
            data = self._read_square(X, "similarities")
            is_distance = isinstance(data, Distances) or (isinstance(data, Graph) and data.kind == "distance")
            self.input_ = "distances" if is_distance else "similarities"
            return data
        if isinstance(X, Distances) and self.landmarks is None and self.input_ != "function":
            self.n_features_in_ = X.n
            self.input_ = "distances" if self.input_ == "gaussian" else "neighbors among distances"
            return X
        points = self._read_points(X, sparse=self.input_ != "function" and self.landmarks is None)
        if self.landmarks is not None and (self.input_ != "neighbors" or points.metric.name != "euclidean"):
            raise InputError(f"landmarks={self.landmarks} was given with affinity={self.affinity!r} and "
                             f"{points.metric.name} distances.", "Landmarks take affinity='neighbors' and Euclidean points.")
        return points

    def _cut_by_landmarks(self, data: Carrier) -> Cut:
        assert isinstance(data, Points)
        self.input_ = "landmarks"
        X = np.asarray(data.X)
        chosen = pick(X, min(int(self.landmarks or 0), data.n), self.scale, generator(self.random_state))
        self.landmarks_, self.scales_ = chosen.rows, chosen.scales
        cut, self.near_ = landmark_cut(X, chosen, self.n_clusters, near=self.near_, scale=self.scale, tol=self.tol)
        return cut

    def _cut_graph(self, data: Carrier) -> Cut:
        A = self._neighbor_graph(data) if self.input_.startswith("neighbors") else self._graph(data)
        self.offset_ = A.offset
        return normalized_cut(A, self.n_clusters, tol=self.tol)

    def _graph(self, data: Carrier) -> Affinity:
        """Similarities of the items, from whatever they came as."""
        if isinstance(data, Points) and self.input_ == "function":
            assert callable(self.affinity)
            S = carriers.similarities(self.affinity(data.X, data.X), "max-s")
            return read_affinity(matrix_of(S), self.negative, data.ids)
        if isinstance(data, (Points, Distances)):
            matrix, self.scales_ = gaussian(data, self.scale)
            return read_affinity(matrix)
        if isinstance(data, Graph) and data.kind == "distance":
            matrix, self.scales_ = tuned_edges(data, self.scale)
            return read_affinity(matrix)
        assert isinstance(data, (Similarities, Graph))
        return read_affinity(matrix_of(data), self.negative, data.ids)

    def _neighbor_graph(self, data: Carrier) -> Affinity:
        """The graph of nearest neighbours, of more of them where it falls into too many parts."""
        near = min(int(self.n_neighbors), data.n - 1)
        while True:
            found = neighbors(data, near)
            matrix, self.scales_ = neighbor_graph(found.index, found.distance, self.scale)
            A = read_affinity(matrix)
            self.near_ = near
            if self.n_clusters is None or A.parts <= self.n_clusters or near == data.n - 1:
                return A
            near = min(2 * near, data.n - 1)

    def _learn(self, cut: Cut, messages: list[str]) -> None:
        labels, k = cut.labels.copy(), len(cut.centers)
        alone = np.flatnonzero(labels < 0)
        labels[alone] = k + np.arange(len(alone))
        if len(alone):
            named = ", ".join(item_name(self.ids_, int(i)) for i in alone[:NAMES]) + (", …" if len(alone) > NAMES else "")
            messages.append(f"{len(alone):,} items have no similarity to any other and are clusters of their own: {named}.")
        if not cut.converged:
            warnings.warn(f"The eigenvectors did not converge: their residual is {cut.residual:.1e}.", ShoalWarning,
                          stacklevel=3)
        self.labels_, self.n_clusters_, self.messages_ = labels, k + len(alone), tuple(messages)
        self.eigenvalues_, self.gaps_, self.residual_ = cut.eigenvalues, gaps_of(cut.eigenvalues), cut.residual
        self.embedding_, self.directions_, self.table_ = cut.embedding, cut.centers, cut.table

    def predict(self, X: Any) -> NDArray[np.int32]:
        """Return the cluster of new items.

        Parameters
        ----------
        X : array-like, sparse array, frame or Points
            Points, shape (m, d), where `fit` was given points; else similarities or distances to the old items, shape
            (m, n), sparse where only some are known.

        Returns
        -------
        ndarray of int32, shape (m,)
            -1 for an item without similarity to any old one that is in a cluster with others.
        """
        return np.asarray(self.assign(X).labels, np.int32)

    def assign(self, new: Any, ids: Sequence[Any] | None = None) -> Assignment:
        """Return the nearest cluster of every new item, its distance, and how much farther the next one is.

        Parameters
        ----------
        new : array-like, sparse array, frame or Points
            As for `predict`.
        ids : sequence, optional
            The new items' names.

        Returns
        -------
        Assignment
            Distances are 1 - cos of the angle to a cluster's direction; -1 and NaN for an item without similarities.
        """
        found = super().assign(new, ids)
        return replace(found, labels=np.where(np.isnan(found.distance), -1, found.labels))

    def _distances_to_clusters(self, new: Any) -> tuple[tuple[str, ...] | None, Floats]:
        """1 - cos of the angle between a new item's direction and each cluster's; infinite for clusters of a lone item."""
        names, weights = self._weights_of_new(new)
        found = place(weights, self.table_, self.directions_)
        return names, np.pad(found, ((0, 0), (0, self.n_clusters_ - found.shape[1])), constant_values=np.inf)

    def _weights_of_new(self, new: Any) -> tuple[tuple[str, ...] | None, Any]:
        """Read new items; return their names and their similarity to the rows of `table_`."""
        if self.input_ in ("similarities", "distances"):
            return None, self._weights_of_rows(new)
        if self.input_ == "neighbors among distances":
            raise InputError("The neighbours were found among distances, and new items have none.",
                             "Use affinity='precomputed' with the distances, or points.")
        points = self._read_points(new, reset=False, sparse=self.input_ in ("neighbors", "gaussian"))
        if self.input_ == "landmarks":
            chosen = Landmarks(self.landmarks_, self.scales_)
            return points.ids, weights_to(chosen, np.asarray(points.X), self.near_, self.scale)
        old = self.data_
        if not isinstance(old, Points):
            raise InputError("The points this model was fitted on are not at hand, and new ones are placed by them.",
                             "Save it with its data, or use landmarks.")
        if self.input_ == "function":
            assert callable(self.affinity)
            return points.ids, self._not_negative(np.asarray(self.affinity(points.X, old.X), np.float64))
        if self.input_ == "gaussian":
            return points.ids, weights_of_new(old.metric.between(points.X, old.X), self.scales_, self.scale)
        found = neighbors(replace(old, scaling=None), self.near_, new=replace(points, scaling=None))  # both scaled already
        return points.ids, _rows(found.index, weights_of_new(found.distance, self.scales_[found.index], self.scale), old.n)

    def _weights_of_rows(self, new: Any) -> Any:
        if isinstance(new, Carrier):
            raise InputError("A carrier was given where rows of values are wanted.",
                             f"Give one {self.input_[:-1].replace('ie', 'y')} to every old item, shape (m, n).")
        rows = validate_data(self, new, reset=False, accept_sparse="csr", dtype=FLOATS, order="C")
        if self.input_ == "similarities":
            return self._not_negative(rows)
        if hasattr(rows, "indptr"):
            return weights_of_new_edges(rows, self.scales_, self.scale)
        return weights_of_new(rows.astype(np.float64, copy=False), self.scales_, self.scale)

    def _not_negative(self, rows: Any) -> Any:
        """New similarities, treated as the old ones were."""
        sparse = hasattr(rows, "indptr")
        values = rows.data if sparse else rows
        if values.size and values.min() < self.offset_:
            if self.negative == "error":
                raise InputError(f"Negative values in data: a new item has the similarity {float(values.min()):g}.",
                                 "Give them as the model was fitted; see negative='clip' and 'shift'.")
        elif self.offset_ == 0:
            return rows
        changed = np.maximum(values - self.offset_, 0)
        if not sparse:
            return changed
        found = rows.copy()
        found.data = changed
        return found


def _rows(index: Any, weights: Floats, n: int) -> Any:
    """Weights of some old items for every new one, as a csr_array."""
    from scipy import sparse

    m, k = index.shape
    return sparse.csr_array((weights.ravel(), index.ravel(), np.arange(m + 1) * k), shape=(m, n))
