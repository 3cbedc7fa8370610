"""MDS: coordinates for items of which only distances are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from shoal.data.checks import is_sparse
from shoal.data.forms import require_all_pairs
from shoal.data.records import Carrier, Graph, Items, Points
from shoal.data.rows import rows_of, rows_of_new
from shoal.data.tables import is_frame
from shoal.errors import InputError, is_whole
from shoal.estimators.base import FLOATS, Reader
from shoal.estimators.params import at_least, generator, is_real, one_of
from shoal.graphs.embedding import Rows, Scaled, classical, place, rows_of_square, square_of, stress
from shoal.graphs.majorisation import majorise, place_by_stress
from shoal.runtime import memory, pool

__all__ = ["MDS"]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

METHODS = ("classical", "smacof", "nonmetric", "landmark", "profiles")
LANDMARKS = 500  # by default; more bring little where a few coordinates are wanted
BLOCK = 1 << 21  # distances at a time: 16 MB


class MDS(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Reader):  # type: ignore[misc]
    """Coordinates whose Euclidean distances follow given distances, and how well they do.

    Parameters
    ----------
    n_components : int, default 2
        Coordinates wanted; of "profiles" there are as many as landmarks.
    method : {"classical", "smacof", "nonmetric", "landmark", "profiles"}
        "classical": eigenvectors of the centred squared distances (Torgerson). "smacof": least squares on the distances
        themselves, from the classical solution on. "nonmetric": the same on their order alone. "landmark": classical
        scaling of some items, among which the others are placed; takes O(landmarks·n) distances. "profiles": the distances
        to some items, over √landmarks, so that no two items get farther apart than they are.
    metric : str or callable, default "precomputed"
        "precomputed": `fit` takes the distances of all pairs, as a square or a carrier. Otherwise the metric between rows.
    landmarks : int or sequence of int, optional
        How many items, or which. Default: 500, or all where there are fewer.
    n_init : int
        Starts of "smacof" and "nonmetric": the first from the classical solution, the others at random.
    max_iter : int
        Steps of each start.
    tol : float
        A step that lowers the raw stress by less than this share of the summed squared distances is the last.
    random_state : int, Generator, RandomState or None
        For landmarks, random starts, and what is estimated.

    Attributes
    ----------
    embedding_ : ndarray, shape (n, n_components)
    stress_ : float
        Kruskal's stress-1, √(Σ (δ - d)² / Σ d²): 0.05 is good, 0.2 poor in Kruskal's words. Of "nonmetric" against the
        disparities.
    stress_error_ : float
        Its standard error; 0 up to 4,000 items. Beyond, each item is compared with 1,000 others.
    item_stress_ : ndarray, shape (n,)
        Of every item, scaled so that their mean square is stress_²: what stands far above it is placed badly.
    eigenvalues_ : ndarray, shape (n_components,)
        Of classical scaling ("landmark": of the landmarks); "smacof" and "nonmetric" start from one. None for "profiles".
    explained_ : ndarray, shape (n_components,)
        The share of each eigenvalue in the summed sizes of all.
    least_eigenvalue_, negative_share_ : float
        How far the distances are from Euclidean ones: the least eigenvalue, to within some percent, and the share of the
        negative ones in the summed sizes of all, estimated beyond 512 items.
    landmarks_ : ndarray of int
        The items that place the new ones.
    n_iter_ : int

    Notes
    -----
    "classical" takes some 5 passes over the distances for the coordinates and up to 12 for the negative eigenvalues;
    "smacof" O(n²·n_components) a step. A square of floats is not copied; other forms are written as one, but for
    "landmark" and "profiles". Of points under the Euclidean metric classical scaling is their principal components.

    Sources: Torgerson 1952, doi:10.1007/BF02288916; Gower 1968, doi:10.1093/biomet/55.3.582; Kruskal 1964,
    doi:10.1007/BF02289565; de Leeuw & Mair 2009, doi:10.18637/jss.v031.i03; de Silva & Tenenbaum 2004, Sparse
    multidimensional scaling using landmark points.

    Examples
    --------
    >>> import numpy as np
    >>> from shoal.estimators.mds import MDS
    >>> D = np.array([[0.0, 3.0, 5.0], [3.0, 0.0, 4.0], [5.0, 4.0, 0.0]])
    >>> model = MDS(2).fit(D)
    >>> model.embedding_.shape, round(model.stress_, 6)
    ((3, 2), 0.0)
    >>> bool(np.allclose(model.transform([[5.0, 4.0, 0.0]]), model.embedding_[2:]))
    True
    """

    _learned: ClassVar[tuple[str, ...]] = (
        "embedding_", "stress_", "stress_error_", "item_stress_", "eigenvalues_", "explained_", "least_eigenvalue_",
        "negative_share_", "landmarks_", "means_", "axes_", "shape_", "n_iter_", "n_items_", "kind_")

    embedding_: Floats
    eigenvalues_: Floats | None
    explained_: Floats | None
    least_eigenvalue_: float | None
    negative_share_: float | None
    shape_: dict[str, Any] | None

    def __init__(self, n_components: int = 2, *, method: str = "classical",
                 metric: str | Callable[..., float] = "precomputed", landmarks: Any = None, n_init: int = 1,
                 max_iter: int = 300, tol: float = 1e-6, random_state: Any = None) -> None:
        self.n_components = n_components
        self.method = method
        self.metric = metric
        self.landmarks = landmarks
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.metric == "precomputed"
        tags.input_tags.positive_only = self.metric == "precomputed"
        tags.input_tags.sparse = self.metric != "precomputed"  # where a pair that is not stored has no distance
        return tags

    @property
    def _n_features_out(self) -> int:
        return int(self.embedding_.shape[1])

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the coordinates.

        Parameters
        ----------
        X : array-like or carrier
            Distances of all pairs, shape (n, n), or points, shape (n, d); see `metric`. A carrier is taken for what it is,
            with its items' weights.
        y : None

        Returns
        -------
        self

        Raises
        ------
        InputError
            When distances are missing, negative or not symmetric, or more coordinates are wanted than there are items.
        TooLargeError
            When the distances of all pairs are needed as a square and do not fit in memory.
        """
        self._check_parameters()
        data = self._read(X)
        self.n_items_, self.n_iter_, self.shape_ = data.n, 1, None
        self.eigenvalues_ = self.explained_ = self.least_eigenvalue_ = self.negative_share_ = None
        if self.method != "profiles" and self.n_components > data.n:
            raise InputError(f"n_components={self.n_components} coordinates of n_samples={data.n} items were asked for.",
                             "Ask for at most as many as there are items.")
        rng = generator(self.random_state)
        self._keep(data)
        self.kind_ = type(data).__name__.lower()
        everyone = np.arange(data.n)
        self.landmarks_ = self._choose(data.n, rng) if self.method in ("landmark", "profiles") else everyone
        rows = rows_of(data)
        if self.method == "profiles":
            self._profiles(rows)
        elif self.method == "landmark":
            self._by_landmarks(rows, None if data.weights is None else data.weights[self.landmarks_], rng)
        else:
            D = square_of(data)
            rows = rows_of_square(D)
            start = self._scaled(classical(D, self.n_components, rng, weights=data.weights))
            self.embedding_ = start.coordinates
            if self.method != "classical":
                self._majorise(D, start.coordinates, data.weights, rng)
        found = stress(rows if self.shape_ is None else self._disparities(rows), self.embedding_, rng, weights=data.weights)
        self.stress_, self.stress_error_, self.item_stress_ = found
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Floats:
        """Find the coordinates and return them."""
        return self.fit(X).embedding_

    def transform(self, X: Any) -> Floats:
        """Place new items among those of `fit`.

        Parameters
        ----------
        X : array-like, shape (m, n) or (m, d)
            Distances to the n items of `fit` in their order (or to the landmarks alone), or points.

        Returns
        -------
        ndarray, shape (m, n_components)

        Notes
        -----
        "classical" and "landmark" place by Gower's formula, "smacof" and "nonmetric" where the new item's own stress is
        least, the old ones staying where they are.
        """
        check_is_fitted(self)
        return np.concatenate([self._placed(block) for block in self._rows_of_new(X)])

    def _check_parameters(self) -> None:
        at_least(1, n_components=self.n_components, n_init=self.n_init, max_iter=self.max_iter)
        one_of(METHODS, method=self.method)
        if not is_real(self.tol) or not 0 <= self.tol < math.inf:
            raise InputError(f"tol={self.tol!r} was given.", "Give a number of at least 0.")

    def _read(self, X: Any) -> Carrier:
        if isinstance(X, Points):
            return self._read_points(X, metric=X.metric.name)
        if self.metric == "precomputed" and is_sparse(X):
            raise InputError("A sparse array was given as distances; a pair that it does not store has none.",
                             "Give a dense square, or shoal.graph(X, kind='distance', missing='shortest_path').")
        if isinstance(X, Carrier) or self.metric == "precomputed":
            found = self._read_square(X, "distances")
            if isinstance(found, Graph) and found.rule is None and found.missing is None:
                require_all_pairs(found.pairs, found.ids, "Use shoal.graph(edges, kind='distance', "
                                                          "missing='shortest_path').")
            return found
        return self._read_points(X, metric=self.metric)

    def _choose(self, n: int, rng: np.random.Generator) -> Ints:
        """The landmarks: those given, or as many as asked for, drawn at random, ascending."""
        given = min(n, LANDMARKS) if self.landmarks is None else self.landmarks
        if not is_whole(given) or np.ndim(given):
            chosen = np.asarray(given)
            if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or not len(chosen) or not (
                    (chosen >= 0) & (chosen < n)).all() or len(np.unique(chosen)) < len(chosen):
                raise InputError("landmarks must be positions of different items, or their number.",
                                 f"Positions count from 0 to {n - 1}.")
            found = np.sort(chosen.astype(np.int64))
        elif not 1 <= given <= n:
            raise InputError(f"landmarks={given} of n_samples={n} items were asked for.", f"Give from 1 to {n}.")
        else:
            found = np.sort(rng.choice(n, int(given), replace=False))
        if self.method == "landmark" and len(found) < self.n_components:
            raise InputError(f"{len(found)} landmarks have no n_components={self.n_components} coordinates.",
                             "Give at least as many landmarks as coordinates; ten times as many place well.")
        return found

    # --------------------------------------------------------------------------------------------------- the methods

    def _scaled(self, found: Scaled) -> Scaled:
        """Keep what classical scaling tells, and what places new items."""
        whole = found.total + 2.0 * found.negative.mass
        self.eigenvalues_, self.explained_ = found.values, found.explained
        self.least_eigenvalue_ = found.negative.least
        self.negative_share_ = found.negative.mass / whole if whole > 0 else 0.0
        self.means_, self.axes_ = found.means, found.axes
        return found

    def _by_landmarks(self, rows: Rows, weights: Floats | None, rng: np.random.Generator) -> None:
        """Scale the landmarks, and place everyone; the distances are taken twice rather than all kept."""
        marks = self.landmarks_
        blocks = pool.blocks(len(marks), max(1, BLOCK // self.n_items_))
        D = np.concatenate([rows(marks[a:b])[:, marks] for a, b in blocks])
        self._scaled(classical(D, self.n_components, rng, weights=weights))
        self.embedding_ = np.zeros((self.n_items_, self.n_components))
        for a, b in blocks:
            self.embedding_ += place(rows(marks[a:b]).T, self.means_[a:b], self.axes_[a:b])

    def _profiles(self, rows: Rows) -> None:
        marks = self.landmarks_
        memory.require(8.0 * self.n_items_ * len(marks), None,
                       f"distances of {self.n_items_:,} items to {len(marks):,} landmarks", "Use fewer landmarks.")
        self.embedding_ = np.empty((self.n_items_, len(marks)))
        for a, b in pool.blocks(len(marks), max(1, BLOCK // self.n_items_)):
            self.embedding_[:, a:b] = rows(marks[a:b]).T / math.sqrt(len(marks))

    def _majorise(self, D: Any, start: Floats, weights: Floats | None, rng: np.random.Generator) -> None:
        """The best of several starts."""
        starts = [start, *(rng.standard_normal(start.shape) * start.std() for _ in range(self.n_init - 1))]
        found = min((majorise(D, one, weights=weights, monotone=self.method == "nonmetric", max_iter=self.max_iter,
                              tol=self.tol) for one in starts), key=lambda one: one.raw)
        self.embedding_, self.n_iter_ = found.coordinates, found.n_iter
        if found.shape is not None:
            self.shape_ = found.shape._asdict()

    def _disparities(self, rows: Rows) -> Rows:
        """Turn distances into what the order of all distances made of them."""
        def turned(items: Ints) -> Floats:
            found = self._shape(rows(items))
            found[np.arange(len(items)), items] = 0.0
            return found

        return turned

    def _shape(self, distances: Floats) -> Floats:
        """The disparities of distances: these themselves, but for "nonmetric"."""
        return distances if self.shape_ is None else np.interp(distances, self.shape_["given"], self.shape_["fitted"])

    # ----------------------------------------------------------------------------------------------------- new items

    def _placed(self, distances: Floats) -> Floats:
        """Place new items by their distances to the landmarks."""
        if self.method == "profiles":
            return distances / math.sqrt(len(self.landmarks_))
        if self.method in ("classical", "landmark"):
            return place(distances, self.means_, self.axes_)
        weights = None if self.data_ is None else self.data_.weights
        return place_by_stress(self._shape(distances), self.embedding_, weights=weights)

    def _rows_of_new(self, X: Any) -> Iterator[Floats]:
        """Read new items; give out their distances to the landmarks in blocks."""
        data, marks = self.data_, self.landmarks_
        if data is None and self.kind_ != "distances":
            raise InputError(f"New items are placed by the {self.kind_} the model was fitted on, which are not at hand.",
                             "Save the model with its data.")
        if isinstance(data, Points):
            new = self._read_points(X, reset=False)
            for a, b in pool.blocks(new.n, max(1, BLOCK // len(marks))):
                yield np.asarray(data.metric.between(new.X[a:b], data.X[marks]), np.float64)
            return
        if data is not None and (isinstance(data, Items) or is_frame(X)):
            yield from (block[:, marks] for block in rows_of_new(data, X)[1])
            return
        X = X if hasattr(X, "shape") else np.asarray(X)
        if X.ndim == 2 and X.shape[1] == len(marks) < self.n_items_:
            yield _not_negative(check_array(X, dtype=FLOATS))
            return
        rows = validate_data(self, X, reset=False, dtype=FLOATS)
        if data is None:
            yield _not_negative(rows[:, marks])
        else:
            yield from (block[:, marks] for block in rows_of_new(data, rows)[1])


def _not_negative(distances: Floats) -> Floats:
    if (distances < 0).any():
        raise InputError(f"A distance of {float(distances.min())!r} was given.", "Distances are zero or above.")
    return distances
