"""KernelKMeans: k-means where all that is known of the items is how similar they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics.pairwise import PAIRWISE_KERNEL_FUNCTIONS
from sklearn.utils.validation import check_is_fitted, validate_data

from shoal.centers.kernelized import KernelFit, kernel_kmeans
from shoal.data.checks import slack
from shoal.data.records import Carrier, Points, Similarities
from shoal.data.rules import RULES
from shoal.errors import InputError
from shoal.estimators.base import FLOATS, Clusterer
from shoal.estimators.params import at_least, generator, is_real, one_of
from shoal.graphs.definite import clipped, negative_part, whole_square
from shoal.graphs.eigen import dense_product
from shoal.runtime import blas, memory, pool

__all__ = ["KernelKMeans"]

Array = NDArray[np.floating[Any]]
Floats = NDArray[np.float64]

MERCER = ("linear", "rbf", "laplacian", "cosine")  # Gram matrices of any rows
TASK = 1 << 24  # products of two features a task computes: 5 to 20 ms
ALONE = 16  # new items at a time whose similarity to themselves is taken


class KernelKMeans(Clusterer):
    """k-means in the feature space of a kernel, from similarities alone.

    Parameters
    ----------
    n_clusters : int
    kernel : str or callable, default "precomputed"
        "precomputed": `fit` takes the similarities of all pairs, as a square or a `Similarities` carrier. Otherwise a name
        of `sklearn.metrics.pairwise` ("linear", "rbf", "poly", "cosine", "laplacian", …), or a function as those are:
        ``kernel(A, B, **kernel_params)`` gives the kernel of every row of A with every row of B.
    kernel_params : dict, optional
        Such as ``{"gamma": 0.5}``.
    indefinite : {"shift", "clip", "error"}
        What becomes of similarities that are no scalar products in any space, as negative eigenvalues tell. "shift": a
        constant is added to the diagonal, which changes no comparison of two partitions. "clip": the negative eigenvalues
        are set to 0, which does, and takes O(n³) time. "error": they are refused.
    n_init : int
        Starts, of which the one of least inertia counts. They run side by side.
    max_iter : int
        Passes over the items.
    tol : float
        A pass that lowers the inertia by less than this share of it is the last; 0 goes on until no move helps.
    random_state : int, Generator, RandomState or None

    Attributes
    ----------
    labels_ : ndarray of int, shape (n,)
    inertia_ : float
        Weighted squared distances to the means in feature space, of the matrix after shift or clip.
    dual_coef_ : ndarray, shape (n, n_clusters)
        The means: m_c = Σ_i dual_coef_[i, c]·φ(x_i).
    squares_ : ndarray, shape (n_clusters,)
        ‖m_c‖².
    least_eigenvalue_ : float or None
        Of the matrix as given (with weights, of W^½·K·W^½), to within some percent beyond 512 items; None for kernels that
        have none below 0.
    negative_share_ : float
        Σ |λ| of the negative eigenvalues in Σ |λ| of all; estimated beyond 512 items.
    shift_ : float
        What was added to the diagonal (for an item of weight w: shift_ / w); 0 where nothing had to be.
    self_similarity_ : float
        Mean similarity of an item with itself. It is taken for new items' own where similarities are precomputed, for a row
        of similarities does not hold it; labels do not depend on it.
    n_iter_ : int
    clusters_ : Clusters

    Notes
    -----
    O(n²) for the first sums of a start, O(k) to look at an item and O(n) to move it. The matrix is not copied, unless it is
    clipped or came in another form than a square of floats. See `shoal.centers.kernelized`.

    Sources: Dhillon, Guan & Kulis 2004, doi:10.1145/1014052.1014118; Roth, Laub, Kawanabe & Buhmann 2003,
    doi:10.1109/TPAMI.2003.1251147 (shift); Chen, Garcia, Gupta, Rahimi & Cazzanti 2009 (clip, also of new items).

    Examples
    --------
    >>> import numpy as np
    >>> from shoal.estimators.kernel_kmeans import KernelKMeans
    >>> S = np.array([[1.0, 0.9, 0.1], [0.9, 1.0, 0.2], [0.1, 0.2, 1.0]])
    >>> model = KernelKMeans(2, random_state=0).fit(S)
    >>> model.clusters_.members()
    {0: ['0', '1'], 1: ['2']}
    >>> model.predict([[0.2, 0.1, 0.8]])
    array([1])
    """

    _method: ClassVar[str] = "kernel k-means"
    _learned = ("labels_", "inertia_", "dual_coef_", "squares_", "least_eigenvalue_", "negative_share_", "shift_",
                "self_similarity_", "n_iter_", "weights_", "precomputed_")

    def __init__(self, n_clusters: int = 8, *, kernel: str | Callable[..., float] = "precomputed",
                 kernel_params: dict[str, Any] | None = None, indefinite: str = "shift", n_init: int = 4,
                 max_iter: int = 300, tol: float = 0.0, random_state: Any = None) -> None:
        self.n_clusters = n_clusters
        self.kernel = kernel
        self.kernel_params = kernel_params
        self.indefinite = indefinite
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.kernel == "precomputed"
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Find the clusters.

        Parameters
        ----------
        X : array-like or carrier
            Similarities of all pairs, shape (n, n), or points, shape (n, d); see `kernel`. A `Similarities` carrier is
            taken as precomputed whatever `kernel` says.
        y : None
        sample_weight : array-like, shape (n,), optional
            At least 0; by default the carrier's.

        Returns
        -------
        self

        Raises
        ------
        InputError
            When the matrix is not symmetric, there are fewer items than clusters, or with indefinite="error".
        TooLargeError
            When the matrix has to be made and does not fit in memory.
        """
        self._check_parameters()
        data, K = self._gram(X)
        weights = self._read_weights(sample_weight, data)
        if data.n < self.n_clusters:
            raise InputError(f"n_samples={data.n} should be >= n_clusters={self.n_clusters}.", "Ask for fewer clusters.")
        rng = generator(self.random_state)
        self._keep(data)
        self.precomputed_ = isinstance(data, Similarities)
        K, negative = self._repaired(K, weights, rng)
        found = kernel_kmeans(K, self.n_clusters, rng, weights=weights, n_init=self.n_init, max_iter=self.max_iter,
                              tol=self.tol)
        self._learn(K, found, weights, negative)
        return self

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Return the cluster whose mean is nearest to each new item.

        Parameters
        ----------
        X : array-like, shape (m, n) or (m, d)
            Similarities to the n items of `fit`, in their order; or points.

        Returns
        -------
        ndarray of int, shape (m,)
        """
        check_is_fitted(self)
        return np.asarray(self._squared(X)[1].argmin(axis=1))

    def _check_parameters(self) -> None:
        at_least(1, n_clusters=self.n_clusters, n_init=self.n_init, max_iter=self.max_iter)
        one_of(("shift", "clip", "error"), indefinite=self.indefinite)
        if not is_real(self.tol) or not 0 <= self.tol < math.inf:
            raise InputError(f"tol={self.tol!r} was given.", "Give a number of at least 0.")
        if not callable(self.kernel):
            one_of(("precomputed", *sorted(PAIRWISE_KERNEL_FUNCTIONS)), kernel=self.kernel)

    # ----------------------------------------------------------------------------------------------------- the matrix

    def _gram(self, X: Any) -> tuple[Carrier, Array]:
        """Read the data, and return it with all kernel values as a square of floats."""
        if isinstance(X, Similarities) or self.kernel == "precomputed":
            data = self._read_square(X, "similarities")
            if not isinstance(data, Similarities):
                raise InputError(f"Kernel k-means was given {type(data).__name__.lower()}; it takes similarities or points.",
                                 "Use shoal.similarities(...), or KMedoids for distances.")
            return data, _square_of(data, rounding=not isinstance(X, Carrier))
        points = self._read_points(X)
        memory.require(8.0 * points.n**2, None, f"the kernel values of all pairs of {points.n:,} items")
        return points, self._kernel_values(points.X, points.X)

    def _kernel_values(self, X: Any, Y: Any) -> Array:
        """The kernel between rows, by blocks of rows; a caller's function is called from this thread alone."""
        m, n, params = X.shape[0], Y.shape[0], self.kernel_params or {}
        kernel = self.kernel if callable(self.kernel) else PAIRWISE_KERNEL_FUNCTIONS[self.kernel]
        out = np.empty((m, n), X.dtype)

        def work(start: int, stop: int) -> None:
            found = np.asarray(kernel(X[start:stop], Y, **params))
            if found.shape != (stop - start, n):
                raise InputError(f"The kernel gave an array of shape {found.shape} for {stop - start} and {n} rows.",
                                 "kernel(A, B) returns one number for every row of A with every row of B.")
            out[start:stop] = found

        tasks = pool.blocks(m, max(1, TASK // max(1, n * max(8, Y.shape[1]))))
        with blas.one_thread(), np.errstate(over="ignore", invalid="ignore"):  # found below
            if callable(self.kernel):
                for task in tasks:
                    work(*task)
            else:
                pool.run(work, tasks)
        if not np.isfinite(out).all():
            raise InputError("The kernel of some rows is not finite.", "Scale the features, or change its parameters.")
        return out

    def _repaired(self, K: Array, weights: Floats | None, rng: np.random.Generator) -> tuple[Array, Any]:
        """Look for negative eigenvalues, and do what `indefinite` says; return what was clipped, if anything was."""
        n = len(K)
        self.least_eigenvalue_, self.negative_share_, self.shift_ = None, 0.0, 0.0
        if not self.precomputed_ and self.kernel in MERCER:
            return K, None
        multiply, root = dense_product(K), np.ones((n, 1)) if weights is None else np.sqrt(weights)[:, None]
        ends = negative_part(lambda V: root * multiply(root * V), n, rng)
        self.least_eigenvalue_ = ends.least
        if ends.least >= -slack(K.dtype) * ends.largest:
            return K, None
        trace = float((np.square(root[:, 0]) * K.diagonal()).sum())
        self.negative_share_ = ends.mass / (trace + 2.0 * ends.mass)
        if self.indefinite == "error":
            raise InputError(f"These similarities are no scalar products: the least eigenvalue of their matrix is about "
                             f"{ends.least:.3g}, and the negative ones have {self.negative_share_:.1%} of the sum of all "
                             "sizes.", "Allow a shift of the diagonal, which changes no comparison of two partitions: "
                             "indefinite='shift'.")
        if self.indefinite == "clip":
            gram, _, vectors = clipped(K)
            return gram, vectors
        self.shift_ = ends.residual - ends.least
        return K, None

    def _learn(self, K: Array, found: KernelFit, weights: Floats | None, negative: Floats | None) -> None:
        """Keep the clusters, and the means as combinations of the items."""
        n, k = len(K), self.n_clusters
        w = np.ones(n) if weights is None else weights
        seen = list(dict.fromkeys(found.labels.tolist()))  # clusters are numbered as they first appear
        order = np.array(seen + [c for c in range(k) if c not in set(seen)])
        labels, mass = np.argsort(order)[found.labels].astype(found.labels.dtype), found.mass[order]
        self.labels_, self.n_iter_, self.weights_ = labels, found.n_iter, weights
        self.inertia_ = found.inertia + self.shift_ * (int((w > 0).sum()) - k)
        self.squares_ = found.squares[order] + self.shift_ / mass
        self.self_similarity_ = float(K.diagonal().mean(dtype=np.float64)) + self.shift_
        self.dual_coef_ = np.zeros((n, k))
        self.dual_coef_[np.arange(n), labels] = w / mass[labels]
        if negative is not None:  # new items lose their part along the clipped eigenvectors
            with blas.one_thread():
                self.dual_coef_ -= negative @ (negative.T @ self.dual_coef_)

    # ------------------------------------------------------------------------------------------------------ new items

    def _distances_to_clusters(self, new: Any) -> tuple[tuple[str, ...] | None, Floats]:
        names, squares = self._squared(new)
        return names, np.sqrt(squares)

    def _squared(self, new: Any) -> tuple[tuple[str, ...] | None, Floats]:
        """Read new items; their names, and squared distances to the means: K(x, x) - 2·K(x, ·)·dual_coef_ + ‖m‖²."""
        if self.precomputed_:
            if isinstance(new, Carrier):
                raise InputError("New items are given by their similarities to the old ones, as an array or a frame.",
                                 "Give one row for every new item and one column for every old one.")
            rows = validate_data(self, new, reset=False, dtype=FLOATS)
            with blas.one_thread():
                apart = self.squares_ - 2.0 * (rows @ self.dual_coef_)
            own, names = np.full(len(rows), self.self_similarity_), None
        else:
            points = self._read_points(new, reset=False)
            if not isinstance(self.data_, Points):
                raise InputError("The kernel needs the points the model was fitted on, and they are not at hand.",
                                 "Save the model with its data.")
            apart, own, names = np.empty((points.n, self.n_clusters)), self._self_values(points.X), points.ids
            for start, stop in pool.blocks(points.n, max(1, (1 << 21) // self.data_.n)):
                rows = self._kernel_values(points.X[start:stop], self.data_.X)
                with blas.one_thread():
                    apart[start:stop] = self.squares_ - 2.0 * (rows @ self.dual_coef_)
        own = np.maximum(own, -apart.min(axis=1))  # no square is below 0, and the nearest mean stays the nearest
        return names, np.asarray(apart + own[:, None])

    def _self_values(self, X: Any) -> Floats:
        """K(x, x) of new points, with the shift."""
        return self.shift_ + np.concatenate([
            self._kernel_values(X[start:stop], X[start:stop]).diagonal().astype(np.float64)
            for start, stop in pool.blocks(X.shape[0], ALONE)])


def _square_of(data: Similarities, rounding: bool) -> Array:
    """All similarities as a square with their diagonal: the caller's memory where it can be.

    With `rounding`, two values of a pair are known to differ by no more than that, and the array is used as it is.
    """
    pairs = data.pairs
    found = whole_square(pairs)
    if found is not None:
        return found
    if rounding and pairs.half == "mean" and pairs.values.ndim == 2:
        return np.ascontiguousarray(pairs.values, pairs.dtype)
    memory.require(1.5 * pairs.dtype.itemsize * data.n**2, None, f"the similarities of {data.n:,} items as a square")
    from scipy.spatial.distance import squareform

    K = np.asarray(squareform(pairs.condensed(), checks=False)) if data.n > 1 else np.zeros((1, 1), pairs.dtype)
    unit = isinstance(data.rule, str) and RULES[data.rule].high == 1.0
    missing = 1.0 if unit else data.top  # any constant does: it changes no comparison of two partitions
    given = pairs.values.diagonal().astype(np.float64) if pairs.values.ndim == 2 else np.full(
        data.n, pairs.diagonal.value if pairs.diagonal.given else math.nan)
    np.fill_diagonal(K, np.where(np.isnan(given), missing, given))
    return K
