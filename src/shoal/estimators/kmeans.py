"""`KMeans`: scikit-learn's estimator with fixed coordinates, cosine, bounds on sizes, and learning that goes on."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError

from shoal.centers.limits import check_limits, lloyd_limited
from shoal.centers.lloyd import lloyd, nearest
from shoal.centers.stream import Stream
from shoal.centers.update import Fit
from shoal.data.batches import read_batches
from shoal.errors import InputError, ShoalWarning
from shoal.estimators.centers import METRICS, CenterModel, FewerClusters, Rows
from shoal.estimators.params import at_least, generator, is_real, one_of
from shoal.estimators.starts import INITS, as_start, read_fixed, read_start, seeds, tolerance
from shoal.runtime.progress import Ticker

if TYPE_CHECKING:
    from shoal.centers.stream import Drift

__all__ = ["KMeans", "PartialFitLost"]

Floats = NDArray[np.float64]

SKLEARN = ("lloyd", "elkan")  # its names: the result is the same, and which bounds pay is the engine table's business
RUNS = 10  # of starts that may be poor, as scikit-learn has it


class PartialFitLost(ShoalWarning):
    """`fit` was called on a model that had learned by `partial_fit`, and began anew."""


class KMeans(CenterModel):
    """k-means: every item belongs to the nearest of k centres, and every centre is the mean of its items.

    A drop-in for `sklearn.cluster.KMeans`: the same parameters, attributes and methods, and more of them.

    Parameters
    ----------
    n_clusters : int, default 8
    init : {"k-means++", "k-means||", "random"}, array of shape (k, d), KMeans or callable
        Where to start. "k-means++" is greedy as in scikit-learn. A callable is called as
        ``init(X, n_clusters, random_state=...)``. A fitted KMeans gives its centres.
    n_init : int or "auto"
        Starts, the best of which is taken; "auto" is 10 for "random" and callables, else 1.
    max_iter, tol : int, float
        Stop after so many iterations, or when the squared movement of all centres together is at most `tol` times the mean
        variance of the features.
    metric : {"euclidean", "cosine"}
        "cosine" is spherical k-means: rows count by their direction, and centres have length 1.
    fixed_centers : array of shape (k, d), optional
        Coordinates of centres that stay as given, in the features as they are clustered; NaN where free. A row without NaN
        never moves. Under cosine they are coordinates of a centre of length 1.
    min_size, max_size : int, optional
        Bounds on the number of items of every cluster. Each assignment is then the cheapest one that keeps them, so an item
        need not be with its nearest centre, and `predict` may differ from `labels_`.
    half_life : float, optional
        For `partial_fit`: after so many rows, what was learned before weighs half. Default: it keeps its weight.
    zero_rows : {"error", "noise"}
        Under cosine: refuse rows of zeros, or label them -1.
    warm_start : bool
        Start `fit` from the centres that are there.
    algorithm : str, default "auto"
        The engine, see `shoal.centers.lloyd`. "lloyd" and "elkan" mean "auto": all engines give Lloyd's result.
    random_state : int, Generator, RandomState or None
    verbose : bool or int
        Show a bar on a terminal.
    copy_x : ignored
        X is never written to.

    Attributes
    ----------
    cluster_centers_ : ndarray, shape (k, d)
        May also be set, for `predict` without a fit; see `from_centers`. From random starts without fixed coordinates, in
        the order in which the clusters appear in the data.
    labels_ : ndarray of int32, shape (n,)
        After `partial_fit`, of the last batch.
    inertia_ : float
        Weighted sum of squared distances to the centres; under cosine of 1 - cos.
    n_iter_ : int
    clusters_ : Clusters
        Under the items' own names: members, features, export.
    drift_ : Drift
        After `partial_fit`: what has changed since the first batch, or since `fit`.
    n_features_in_, feature_names_in_ : int, ndarray of str

    Notes
    -----
    The labels are those of plain Lloyd iterations from the same start, and the bits are the same for any number of
    threads. An item of weight w counts as w equal ones; items of weight 0 only get a label. Source: Lloyd, Least squares
    quantization in PCM, IEEE Trans. Inform. Theory 28, 1982; Dhillon & Modha, Concept decompositions for large sparse
    text data using clustering, Machine Learning 42, 2001.

    Examples
    --------
    >>> import shoal
    >>> model = shoal.KMeans(2, random_state=0).fit([[1.0, 2.0], [1.0, 4.0], [10.0, 2.0], [10.0, 4.0]])
    >>> model.labels_.tolist(), model.cluster_centers_.tolist()
    ([0, 0, 1, 1], [[1.0, 3.0], [10.0, 3.0]])
    >>> model.predict([[0.0, 0.0], [12.0, 3.0]]).tolist()
    [0, 1]
    >>> shoal.KMeans(2, fixed_centers=[[0.0, float("nan")], [9.0, 9.0]]).fit([[1.0, 2.0], [2.0, 4.0], [10.0, 4.0]]
    ...     ).cluster_centers_.tolist()
    [[0.0, 3.0], [9.0, 9.0]]
    """

    _method: ClassVar[str] = "k-means"
    _learned: ClassVar[tuple[str, ...]] = ("cluster_centers_", "labels_", "inertia_", "n_iter_", "weights_", "stream_state_")
    _stream: Stream | None = None

    def __init__(self, n_clusters: int = 8, *, init: Any = "k-means++", n_init: int | str = "auto", max_iter: int = 300,
                 tol: float = 1e-4, verbose: int = 0, random_state: Any = None, copy_x: bool = True,
                 algorithm: str = "auto", metric: str = "euclidean", fixed_centers: Any = None,
                 min_size: int | None = None, max_size: int | None = None, half_life: float | None = None,
                 zero_rows: str = "error", warm_start: bool = False) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.random_state = random_state
        self.copy_x = copy_x
        self.algorithm = algorithm
        self.metric = metric
        self.fixed_centers = fixed_centers
        self.min_size = min_size
        self.max_size = max_size
        self.half_life = half_life
        self.zero_rows = zero_rows
        self.warm_start = warm_start

    @classmethod
    def from_centers(cls, centers: Any, *, metric: str = "euclidean", **params: Any) -> Self:
        """Make a model of given centres, ready for `predict` without a fit.

        Parameters
        ----------
        centers : array-like, shape (k, d)
            Finite; under cosine they are brought to length 1.
        metric, **params
            As of `KMeans`.

        Examples
        --------
        >>> import shoal
        >>> shoal.KMeans.from_centers([[0.0, 0.0], [5.0, 5.0]]).predict([[4.0, 3.0]]).tolist()
        [1]
        """
        model = cls(len(centers), metric=metric, **params)
        rows = model._rows(np.array(centers, np.float64), reset=True, allow_zero=False)
        model.cluster_centers_ = np.array(rows.X)
        return model

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Find the clusters of some items.

        Parameters
        ----------
        X : array-like, sparse array, frame or Points, shape (n, d)
            float32 stays float32. A frame's index, or the carrier's ids, name the items.
        y : ignored
        sample_weight : array-like, shape (n,), optional
            By default the carrier's weights, else 1.

        Returns
        -------
        KMeans
            Itself.

        Raises
        ------
        InputError
            For fewer items than clusters, parameters out of range, sizes that cannot be, and rows of zeros under cosine.

        Warns
        -----
        FewerClusters
            When there are fewer distinct items than clusters: the centres that are left over repeat the last one.
        PartialFitLost
            When what `partial_fit` has learned is lost.
        """
        self._check_parameters()
        if self._stream is not None and not self.warm_start:
            warnings.warn("fit begins anew and forgets what partial_fit has learned. To go through data in batches, call "
                          "partial_fit for each, or fit_batches.", PartialFitLost, stacklevel=2)
        rows = self._rows(X, reset=True)
        weights = self._read_weights(sample_weight, rows.data)
        live, own = rows.counted(weights, self.n_clusters)
        best = self._best(live, own)
        labels = best.labels if live is rows.X else nearest(rows.X, best.centers, self.metric)[0]
        self._learn(best, rows, rows.spread(labels, -1))
        self.weights_ = weights
        self._stream = None
        return self

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn on from a batch of items, row by row: each moves its nearest centre towards itself at once.

        Parameters
        ----------
        X : array-like, sparse array, frame or Points, shape (m, d)
            One row or many: how the rows are cut into batches does not change what is learned.
        y : ignored
        sample_weight : array-like, shape (m,), optional

        Returns
        -------
        KMeans
            Itself. `labels_`, `inertia_` and `clusters_` are of this batch.

        Raises
        ------
        InputError
            For other features than before. The model stays as it was.

        Notes
        -----
        MacQueen's sequential k-means with `half_life`; see `shoal.centers.stream`. After `fit`, it goes on from there. Until
        enough rows have come to seed well, centres are provisional; with fewer distinct rows than clusters there are none.
        """
        self._check_parameters()
        rows, weights = self._learn_batch(X, sample_weight)
        self._label_batch(rows, weights)
        return self

    def fit_batches(self, source: Any, *, columns: Sequence[str] | None = None) -> Self:
        """Learn from data that comes in batches: `partial_fit` for each.

        Parameters
        ----------
        source : path, array, sparse array or iterable
            A .csv, .tsv, .parquet, .arrow or .npy file, an array (also one mapped from disk), or anything that gives
            batches when iterated over, such as a pyarrow RecordBatchReader or a generator.
        columns : sequence of str, optional
            Of a file: the columns to use. Default: those of the model, else all that are numeric.

        Returns
        -------
        KMeans
            Itself. Where the source fails, the model is as after the last whole batch.

        Examples
        --------
        >>> import numpy as np, shoal
        >>> rows = np.tile([[0.0, 0.0], [9.0, 9.0]], (3000, 1))
        >>> batches = (rows[i:i + 500] for i in range(0, 6000, 500))
        >>> shoal.KMeans(2, random_state=0).fit_batches(batches).cluster_centers_.tolist()
        [[0.0, 0.0], [9.0, 9.0]]
        """
        self._check_parameters()
        if columns is None and isinstance(source, (str, os.PathLike)) and hasattr(self, "feature_names_in_"):
            columns = list(map(str, self.feature_names_in_))
        last = None
        try:
            for batch in read_batches(source, columns):
                last = self._learn_batch(batch, None)
        finally:
            if last is not None:
                self._label_batch(*last)
        if last is None:
            raise InputError("There was no batch to learn from.", "An iterator gives its batches only once.")
        return self

    def _learn_batch(self, X: Any, sample_weight: Any) -> tuple[Rows, Floats | None]:
        rows = self._rows(X, reset=not hasattr(self, "n_features_in_"))
        weights = self._read_weights(sample_weight, rows.data)
        stream = self._stream or self._new_stream(rows.X)
        with Ticker(bool(self.verbose), "learning") as ticker:
            stream.learn(rows.X, rows.own(weights), ticker)
        self._stream = stream
        if stream.centers is not None:
            self.cluster_centers_ = np.array(stream.centers)
        return rows, weights

    def _label_batch(self, rows: Rows, weights: Floats | None) -> None:
        """Labels and inertia of a batch, from the centres it has moved."""
        self._keep(rows.data)
        self.weights_ = weights
        if hasattr(self, "cluster_centers_"):
            labels, squares = nearest(rows.X, self._code_book(rows.X), self.metric)
            self.labels_ = rows.spread(labels, -1)
            self.inertia_ = rows.summed(squares, weights)

    def _new_stream(self, X: Any) -> Stream:
        """A stream that begins where the model is: at a fit, at centres set by hand, or at nothing."""
        k, d = self.n_clusters, X.shape[1]
        fixed = read_fixed(self.fixed_centers, k, d, self.metric)
        common: dict[str, Any] = {"metric": self.metric, "half_life": self.half_life, "fixed": fixed}
        if hasattr(self, "cluster_centers_"):
            return Stream.resume(self._code_book(X), *self._mass_and_squares(), sparse=hasattr(X, "indptr"), **common)
        given = self._given_start()
        init = as_start(self.init) if given is None else read_start(given, k, d, self.metric, fixed)
        return Stream(k, generator(self.random_state), init=init, **common)

    def _mass_and_squares(self) -> tuple[Floats, Floats | None]:
        """Weight of every cluster, and its summed squares where the items are at hand."""
        k, labels, weights = len(self.cluster_centers_), getattr(self, "labels_", None), getattr(self, "weights_", None)
        if labels is None:
            return np.zeros(k), None
        own = np.ones(len(labels)) if weights is None else weights
        mass = np.bincount(labels[labels >= 0], own[labels >= 0], k).astype(np.float64)
        if self.data_ is None:
            return mass, None
        rows = self._rows(self.data_, reset=False)
        at, squares = nearest(rows.X, self._code_book(rows.X), self.metric)
        return mass, np.bincount(at, squares * (own if rows.at is None else own[rows.at]), k).astype(np.float64)

    @property
    def stream_state_(self) -> dict[str, Any]:
        """What `partial_fit` has learned, as arrays and numbers for a model file."""
        if self._stream is None:
            raise AttributeError("partial_fit has learned nothing.")
        return self._stream.state()

    @stream_state_.setter
    def stream_state_(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._stream = Stream.from_state(state)

    @property
    def drift_(self) -> Drift:
        """What has changed since the first batch or `fit`: how far centres moved, which clusters grew or died."""
        if self._stream is None:
            raise NotFittedError("There is no drift to report before partial_fit or fit_batches.")
        return self._stream.drift()

    def _learn(self, fit: Fit, rows: Rows, labels: NDArray[np.int32]) -> None:
        """Keep a fit, with as many centres as were asked for."""
        found = len(np.unique(labels[labels >= 0]))
        if found < self.n_clusters and self.fixed_centers is None:  # a centre held far from all items has none
            warnings.warn(f"Number of distinct clusters ({found}) found smaller than n_clusters ({self.n_clusters}). "
                          "Possibly due to duplicate points in X.", FewerClusters, stacklevel=3)
        more = self.n_clusters - len(fit.centers)
        self.cluster_centers_ = np.concatenate([fit.centers, np.repeat(fit.centers[-1:], more, axis=0)])
        self.labels_, self.inertia_, self.n_iter_ = labels, float(fit.inertia), int(fit.n_iter)
        self._keep(rows.data)

    def _best(self, X: Any, weights: Floats | None) -> Fit:
        """Run k-means from some starts, and take the best."""
        k, d = self.n_clusters, X.shape[1]
        rng, fixed, best = generator(self.random_state), read_fixed(self.fixed_centers, k, d, self.metric), None
        given = self._given_start()
        if given is not None:
            given = read_start(given, k, d, self.metric, fixed).astype(X.dtype)
        limits = None
        if self.min_size is not None or self.max_size is not None:
            limits = check_limits(X.shape[0], k, self.min_size, self.max_size)
        common: dict[str, Any] = {"weights": weights, "metric": self.metric, "fixed": fixed, "max_iter": self.max_iter,
                                  "tol": tolerance(X, self.tol)}
        engine = "auto" if self.algorithm in SKLEARN else self.algorithm
        for _ in range(self._runs(given)):
            start = given
            if start is None:
                start = seeds(X, k, rng, self.init, weights, self.metric, fixed, may_lack=limits is None)
            with Ticker(bool(self.verbose), "k-means") as ticker:
                fit = lloyd(X, start, engine=engine, ticker=ticker, **common)
                if limits is not None:
                    fit = lloyd_limited(X, fit.centers, *limits, ticker=ticker, **common)
            if best is None or fit.inertia < best.inertia:
                best = fit
        assert best is not None
        return best if given is not None or fixed is not None else _by_appearance(best)

    def _runs(self, given: Any) -> int:
        if given is not None:
            if self.n_init not in ("auto", 1) and not self.warm_start:
                warnings.warn("Explicit initial center position passed: performing only one init in KMeans instead of "
                              f"n_init={self.n_init}.", RuntimeWarning, stacklevel=4)
            return 1
        if self.n_init == "auto":
            return RUNS if callable(self.init) or self.init == "random" else 1
        return int(self.n_init)

    def _given_start(self) -> Any:
        """Return the centres to start from where they are known, as they were given."""
        if self.warm_start and hasattr(self, "cluster_centers_"):
            return self.cluster_centers_
        if not isinstance(self.init, KMeans):
            return None if isinstance(self.init, str) or callable(self.init) else self.init
        if not hasattr(self.init, "cluster_centers_"):
            raise InputError("init is a KMeans that is not fitted.", "Fit it, or give its cluster_centers_: a copy that "
                             "scikit-learn's clone makes, as in a grid search, is not fitted.")
        return self.init.cluster_centers_

    def _check_parameters(self) -> None:
        at_least(1, n_clusters=self.n_clusters, max_iter=self.max_iter)
        for name in ("min_size", "max_size"):
            if getattr(self, name) is not None:
                at_least(1, **{name: getattr(self, name)})
        if self.n_init != "auto":
            at_least(1, n_init=self.n_init)
        one_of(METRICS, metric=self.metric)
        one_of(("error", "noise"), zero_rows=self.zero_rows)
        if isinstance(self.init, str):
            one_of(INITS, init=self.init)
        if not is_real(self.tol) or not 0 <= self.tol < math.inf:
            raise InputError(f"tol={self.tol!r} was given.", "Give a number of at least 0.")
        if self.half_life is not None and not (is_real(self.half_life) and 1 <= self.half_life < math.inf):
            raise InputError(f"half_life={self.half_life!r} was given.", "Give a number of rows of at least 1, or None.")


def _by_appearance(fit: Fit) -> Fit:
    """Number the clusters in the order in which the items first meet them; empty ones come last."""
    k, n = len(fit.centers), len(fit.labels)
    first = np.full(k, n)
    first[fit.labels[::-1]] = np.arange(n - 1, -1, -1)  # of repeated places the last value stays
    order = np.argsort(first, kind="stable")
    number = np.empty(k, np.int32)
    number[order] = np.arange(k, dtype=np.int32)
    return fit._replace(centers=fit.centers[order], labels=number[fit.labels])
