"""`BisectingKMeans`: clusters found by splitting the worst one in two again and again, and the tree of the splits."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from shoal.centers.split import STRATEGIES, bisect, descend, merges_of
from shoal.data import carriers
from shoal.errors import InputError
from shoal.estimators.centers import METRICS, CenterModel, FewerClusters
from shoal.estimators.params import at_least, generator, is_real, one_of
from shoal.estimators.starts import INITS, as_start, tolerance
from shoal.runtime.progress import Ticker
from shoal.tree import Tree

__all__ = ["BisectingKMeans"]


class BisectingKMeans(CenterModel):
    """Bisecting k-means: all items are split in two by k-means, then the worst cluster, until there are k.

    A drop-in for `sklearn.cluster.BisectingKMeans` that also gives the tree of the splits.

    Parameters
    ----------
    n_clusters : int, default 8
    init : {"random", "k-means++", "k-means||"} or callable
        Where each split starts; a callable is called as ``init(X, 2, random_state=...)``.
    n_init : int, default 1
        Starts of every split, the best of which is taken.
    max_iter, tol : int, float
        Of every split; see `KMeans`.
    metric : {"euclidean", "cosine"}
    bisecting_strategy : {"biggest_inertia", "largest_cluster"}
        Which cluster is the worst.
    zero_rows : {"error", "noise"}
        Under cosine: refuse rows of zeros, or label them -1.
    random_state : int, Generator, RandomState or None
    verbose : bool or int
        Show a bar on a terminal.
    copy_x, algorithm : ignored
        X is never written to; all engines give the same result.

    Attributes
    ----------
    cluster_centers_ : ndarray, shape (k, d)
        In the order in which the clusters appear in the data.
    labels_ : ndarray of int32, shape (n,)
    inertia_ : float
    n_iter_ : int
        The most iterations of a split.
    tree_ : Tree
        Of the k clusters, each standing for its items. Cut it for fewer: ``model.tree_.cut(k=3).labels[model.labels_]``.
    children_ : ndarray of int, shape (k - 1, 2)
        The two sides of every split, the root first: another split where it is 0 or more, else ``-1 - cluster``.
    clusters_ : Clusters

    Notes
    -----
    An item goes down the splits, each time to the nearer side, and so does a new one in `predict`: another centre may be
    nearer in the end. The height of a merge in `tree_` is √(2·what the inertia fell by), as in Ward's linkage. Where a
    later split gains more than the one above it, that one is raised to it, for heights of a tree do not fall. Source:
    Steinbach, Karypis & Kumar, A comparison of document clustering techniques, KDD Workshop on Text Mining, 2000.

    Examples
    --------
    >>> import shoal
    >>> model = shoal.BisectingKMeans(3, random_state=0).fit([[0.0], [1.0], [8.0], [9.0], [30.0]])
    >>> model.labels_.tolist(), model.tree_.cut(k=2).labels[model.labels_].tolist()
    ([0, 0, 1, 1, 2], [0, 0, 0, 0, 1])
    """

    _method: ClassVar[str] = "bisecting k-means"
    _learned: ClassVar[tuple[str, ...]] = ("cluster_centers_", "labels_", "inertia_", "n_iter_", "weights_", "children_",
                                           "split_centers_", "split_heights_")

    def __init__(self, n_clusters: int = 8, *, init: Any = "random", n_init: int = 1, random_state: Any = None,
                 max_iter: int = 300, verbose: int = 0, tol: float = 1e-4, copy_x: bool = True, algorithm: str = "lloyd",
                 bisecting_strategy: str = "biggest_inertia", metric: str = "euclidean", zero_rows: str = "error") -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.random_state = random_state
        self.max_iter = max_iter
        self.verbose = verbose
        self.tol = tol
        self.copy_x = copy_x
        self.algorithm = algorithm
        self.bisecting_strategy = bisecting_strategy
        self.metric = metric
        self.zero_rows = zero_rows

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Find the clusters of some items.

        Parameters
        ----------
        X : array-like, sparse array, frame or Points, shape (n, d)
        y : ignored
        sample_weight : array-like, shape (n,), optional

        Returns
        -------
        BisectingKMeans
            Itself.

        Raises
        ------
        InputError
            For fewer items than clusters, parameters out of range, and rows of zeros under cosine.

        Warns
        -----
        FewerClusters
            When there are fewer distinct items than clusters; there are fewer centres then.
        """
        self._check_parameters()
        rows = self._rows(X, reset=True)
        given = self._read_weights(sample_weight, rows.data)
        X, weights = rows.counted(given, self.n_clusters)
        with Ticker(bool(self.verbose), "bisecting k-means") as ticker:
            found = bisect(X, self.n_clusters, generator(self.random_state), init=as_start(self.init), runs=self.n_init,
                           weights=weights, metric=self.metric, max_iter=self.max_iter, tol=tolerance(X, self.tol),
                           strategy=self.bisecting_strategy, ticker=ticker)
        if len(found.centers) < self.n_clusters:
            warnings.warn(f"Number of distinct clusters ({len(found.centers)}) found smaller than n_clusters "
                          f"({self.n_clusters}). Possibly due to duplicate points in X.", FewerClusters, stacklevel=2)
        self.cluster_centers_, self.inertia_, self.n_iter_ = found.centers, float(found.inertia.sum()), found.n_iter
        self.children_, self.split_centers_, self.split_heights_ = found.children, found.pairs, found.height
        labels = found.labels if X is rows.X else self._labels(rows.X)
        self.labels_, self.weights_ = rows.spread(labels, -1), given
        self._keep(rows.data)
        return self

    @property
    def tree_(self) -> Tree:
        """The tree of the clusters."""
        check_is_fitted(self)
        weights = np.ones(len(self.labels_)) if self.weights_ is None else self.weights_
        mass = np.bincount(self.labels_[self.labels_ >= 0], weights[self.labels_ >= 0], minlength=len(self.cluster_centers_))
        names = [f"cluster {c}" for c in range(len(mass))]
        data = carriers.points(self.cluster_centers_, self.metric, ids=names, weights=mass, square=True,
                               columns=getattr(self, "feature_names_in_", None))
        return Tree(merges_of(self.children_, self.split_heights_), tuple(names), "unknown", "bisecting", data,
                    data.describe(), data.weights)

    def _labels(self, X: Any) -> NDArray[np.int32]:
        self._code_book(X)  # the features must fit
        return descend(X, self.children_, self.split_centers_.astype(X.dtype, copy=False), self.metric)

    def _check_parameters(self) -> None:
        at_least(1, n_clusters=self.n_clusters, max_iter=self.max_iter, n_init=self.n_init)
        one_of(METRICS, metric=self.metric)
        one_of(STRATEGIES, bisecting_strategy=self.bisecting_strategy)
        one_of(("error", "noise"), zero_rows=self.zero_rows)
        if not callable(self.init):
            one_of(INITS, init=self.init)
        if not is_real(self.tol) or not 0 <= self.tol < float("inf"):
            raise InputError(f"tol={self.tol!r} was given.", "Give a number of at least 0.")
