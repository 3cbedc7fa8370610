"""`Clusters`: labelled items one can list, describe, draw, export and compare new items with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shoal.data.carriers import Carrier, Graph, Points, Similarities
from shoal.data.checks import row_numbers
from shoal.data.pairs import pairs_at
from shoal.data.rows import rows_of
from shoal.errors import InputError, MissingExtraError, is_whole
from shoal.judge.columns import columns_of_points, columns_of_table, feature_names, read_terms
from shoal.judge.contrasts import Contrasts, Keyword, contrasts, keywords
from shoal.judge.silhouette import Silhouette, distance_sums, silhouette_of, summarise

__all__ = ["Assignment", "Clusters", "Model"]

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]

EXACT = 10_000  # items up to which a summary takes medoids and silhouettes, which need all distances within and between
SHEETS = 200  # clusters with a sheet of their own in a workbook; more would be no help to anybody


@dataclass(frozen=True, eq=False, repr=False)
class Assignment:
    """New items and the clusters they are nearest to.

    Attributes
    ----------
    labels : ndarray of int, shape (m,)
    distance : ndarray, shape (m,)
        The linkage's distance to that cluster.
    margin : ndarray, shape (m,)
        How much farther the next cluster is; infinite when there is no other.
    ids : tuple of str
    """

    labels: Ints
    distance: Floats
    margin: Floats
    ids: tuple[str, ...]

    @classmethod
    def of(cls, distances: Floats, ids: Sequence[str] | None) -> Assignment:
        """Assign to the nearest cluster, of equally near ones the first; distances of shape (m, k), k at least 1."""
        labels, rows = distances.argmin(axis=1), np.arange(len(distances))
        nearest = distances[rows, labels]
        others = distances.copy()
        others[rows, labels] = np.inf
        return cls(labels, nearest, others.min(axis=1) - nearest, row_numbers(len(rows)) if ids is None else tuple(ids))

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Assignment({len(self)} items to {len(np.unique(self.labels))} clusters)"

    def to_frame(self, like: Any = None) -> Any:
        """Return a table with the columns id, cluster, distance and margin, in the library of `like`."""
        from shoal.data.tables import to_frame

        return to_frame({"id": self.ids, "cluster": self.labels, "distance": self.distance, "margin": self.margin}, like)


class Model(Protocol):
    """What made some clusters and can tell which of them new items belong to."""

    def assign(self, new: Any, ids: Sequence[Any] | None = None) -> Assignment:
        """Return the nearest cluster of every new item."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Clusters:
    """A label for every item, under the caller's own ids.

    Attributes
    ----------
    labels : ndarray of int, shape (n,)
        0 … k-1, -1 for noise. The clusters of a tree are numbered in the order in which a dendrogram draws them.
    ids : tuple of str
        The items' names; their row numbers where none were given.
    how : str
        What was asked: "k = 4", "height 16".
    data : carrier or None
        What was clustered, when it is at hand.
    weights : ndarray or None
        How many items each stands for; None: one.
    source : dict
        Where it came from, in values JSON can hold; "method" names what made the clusters.
    model : Model or None
        What made the clusters.

    Examples
    --------
    >>> import shoal
    >>> tree = shoal.linkage([[0.0], [0.1], [5.0], [5.1]], "average", ids=["a", "b", "c", "d"])
    >>> clusters = tree.cut(k=2)
    >>> clusters.members()
    {0: ['a', 'b'], 1: ['c', 'd']}
    """

    labels: Ints
    ids: tuple[str, ...]
    how: str
    data: Carrier | None = None
    weights: Floats | None = None
    source: dict[str, Any] = field(default_factory=dict)
    model: Model | None = None

    def __repr__(self) -> str:
        return f"Clusters(k={self.k}, n={len(self)}, {self.how}, sizes={self.sizes.tolist()[:20]})"

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def k(self) -> int:
        """Number of clusters, noise not counted."""
        return int(self.labels.max(initial=-1)) + 1

    @cached_property
    def weights_or_ones(self) -> Floats:
        """The items' weights, 1 where none were given."""
        return np.ones(len(self)) if self.weights is None else self.weights

    @property
    def height(self) -> float | None:
        """The height of the line that makes these clusters; None where no line does."""
        return None

    def require_data(self, what: str) -> Carrier:
        """Return the data that was clustered, or say that it is needed."""
        if self.data is None:
            raise InputError(f"{what} needs the data that was clustered, and it is not at hand.",
                             "Cluster it again, or save the model with its data.")
        return self.data

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Number of items in every cluster."""
        return np.bincount(self.labels[self.labels >= 0], minlength=self.k)

    @cached_property
    def _order(self) -> tuple[Ints, Ints]:
        """Items sorted by cluster, input order within, and where each cluster begins; noise stands at the end."""
        key = np.where(self.labels < 0, self.k, self.labels)
        order = np.argsort(key, kind="stable")
        return order, np.searchsorted(key[order], np.arange(self.k + 1))

    def indices(self, cluster: int) -> Ints:
        """Return the positions of a cluster's items in the data, ascending.

        Raises
        ------
        InputError
            When there is no such cluster.
        """
        if not is_whole(cluster) or not 0 <= cluster < self.k:
            raise InputError(f"There is no cluster {cluster!r}.", f"There are clusters 0 to {self.k - 1}.")
        order, starts = self._order
        return order[starts[cluster]:starts[cluster + 1]]

    def members(self) -> dict[int, list[str]]:
        """Return the ids of every cluster's items, in input order; noise, if any, under -1."""
        ids = self.ids
        found = {c: [ids[i] for i in self.indices(c).tolist()] for c in range(self.k)}
        order, starts = self._order
        if len(order) > starts[self.k]:
            found[-1] = [ids[i] for i in order[starts[self.k]:].tolist()]
        return found

    @cached_property
    def centers(self) -> Floats:
        """Weighted mean of every cluster in the features as they were clustered (scaled, if they were); shape (k, d).

        Raises
        ------
        InputError
            When the items came as a matrix of distances or similarities, which has no coordinates.
        """
        data = self.require_data("Centres")
        if not isinstance(data, Points):
            raise InputError("Centres are means of coordinates, and a matrix of distances or similarities has none.",
                             "Use .medoids, the most central item of every cluster.")
        weights = self.weights_or_ones
        rows = []
        for c in range(self.k):
            at = self.indices(c)
            share = weights[at] / (weights[at].sum() or 1.0)
            rows.append(np.asarray(share @ data.X[at], np.float64).ravel() if len(at) else np.full(data.d, np.nan))
        return np.array(rows)

    @cached_property
    def medoids(self) -> Ints:
        """Position of every cluster's most central item: the one with the least summed distance to its cluster; -1 of none.

        O(Σ nₖ²) distances, in blocks; ties go to the first item.
        """
        data = self.require_data("Medoids")
        weights = self.weights_or_ones
        found = []
        for c in range(self.k):
            at = self.indices(c)
            if not len(at):
                found.append(-1)
                continue
            only = np.full(len(self), -1)
            only[at] = 0
            sums = distance_sums(rows_of(data), at, only, 1, weights)[:, 0]
            found.append(int(at[np.argmin(sums)]))
        return np.array(found, np.int64)

    @cached_property
    def typical(self) -> Ints:
        """Position of an item that stands for every cluster: its medoid, or of many points the one nearest to its mean.

        Exact medoids need all distances within a cluster; beyond 10,000 points the nearest to the mean takes O(n·d).
        """
        data = self.require_data("Typical items")
        if len(self) <= EXACT or not isinstance(data, Points):
            return self.medoids
        centers, found = self.centers, []
        for c in range(self.k):
            at = self.indices(c)
            if not len(at):
                found.append(-1)
                continue
            own = np.asarray(data.metric.between(data.X[at], _like(data.X, centers[c:c + 1])))[:, 0]
            found.append(int(at[np.argmin(own)]))
        return np.array(found, np.int64)

    @property
    def typical_ids(self) -> list[str | None]:
        """The ids of `typical`; None for a cluster without items."""
        return [self.ids[i] if i >= 0 else None for i in self.typical.tolist()]

    def silhouette(self) -> Silhouette:
        """How much nearer items are to their own cluster than to the next: O(n²) distances, in blocks.

        Returns
        -------
        Silhouette
            ``.mean``, ``.by_cluster``, ``.values``.
        """
        data = self.require_data("The silhouette")
        weights, everyone = self.weights_or_ones, np.arange(len(self))
        if self.k < 2:
            return summarise(np.full(len(self), np.nan), self.labels, self.k, weights)
        sums = distance_sums(rows_of(data), everyone, self.labels, self.k, weights)
        mass = np.bincount(self.labels[self.labels >= 0], weights[self.labels >= 0], minlength=self.k)
        return summarise(silhouette_of(sums, self.labels, mass, weights), self.labels, self.k, weights)

    def features(self, top: int = 5, of: Any = None, *, id: str | None = None) -> Contrasts:
        """Say what sets every cluster apart from all other items: the features that differ most, and a short rule.

        Parameters
        ----------
        top : int
            Features wanted of every cluster.
        of : frame, optional
            Any table of the same items, with columns of numbers and of texts; it need not be what was clustered. Default:
            the points the tree was built from, in the units they came in; of more than 200 features, the 200 that differ
            most between the clusters.
        id : str, optional
            The column of `of` that names the items. Default: its index where that has their names, else rows are taken in
            the order of the items.

        Returns
        -------
        Contrasts
            ``.rows``: cluster, feature, level, mean or share inside and outside, standardised difference, F.
            ``.rules``: a rule for every cluster, with its precision and coverage.

        Raises
        ------
        InputError
            When `top` is below 1, the table does not fit the items, or the items came as a matrix and no table is given.

        Notes
        -----
        O(n·d), and a decision tree of depth 3 for each cluster. Text columns count by their 50 most frequent values. See
        `shoal.judge.contrasts`.

        Examples
        --------
        >>> import shoal
        >>> clusters = shoal.linkage([[0.0], [1.0], [8.0], [9.0]]).cut(k=2)
        >>> clusters.features()
        cluster 0: feature 0 ≤ 4 (precision 100%, coverage 100%)
          feature 0: 0.5 against 8.5 elsewhere (-16.0 sd, F = 128)
        cluster 1: feature 0 > 4 (precision 100%, coverage 100%)
          feature 0: 8.5 against 0.5 elsewhere (+16.0 sd, F = 128)
        """
        _require_top(top)
        weights = self.weights_or_ones
        if of is not None:
            columns = columns_of_table(of, self.ids, id)
        else:
            if self.data is None:
                raise InputError("Describing clusters needs the data that was clustered, and it is not at hand.",
                                 "Give a table of the items (of=, or --by on the command line), or save it with the model.")
            data = self.require_data("Describing clusters")
            if not isinstance(data, Points):
                raise InputError("A matrix of distances or similarities has no features to describe clusters by.",
                                 "Give a table of the items: clusters.features(of=frame).")
            columns = columns_of_points(data, self.labels, self.k, weights)
        return contrasts(columns, self.labels, self.k, weights, top)

    @property
    def has_terms(self) -> bool:
        """Whether the points are a table of terms: sparse, named, nothing below 0."""
        data = self.data
        return (isinstance(data, Points) and not isinstance(data.X, np.ndarray) and data.columns is not None
                and (data.X.nnz == 0 or float(data.X.data.min()) >= 0))

    def keywords(self, top: int = 5, terms: Any = None, names: Sequence[str] | None = None) -> tuple[Keyword, ...]:
        """Find the terms that are frequent in each cluster and rare elsewhere.

        Parameters
        ----------
        top : int
            Terms wanted of every cluster, at most.
        terms : array-like or sparse array, shape (n, t), optional
            How often each item has each term, or its weight. Default: the points the tree was built from.
        names : sequence of str, optional
            The terms; by default the names of the points' features.

        Returns
        -------
        tuple of Keyword
            cluster, term, score, and the share of the items that have it inside and outside, best first.

        Raises
        ------
        InputError
            When `top` is below 1, the table does not fit the items, or a number is below 0.

        Notes
        -----
        O(non-zeros + k·t), the table stays sparse. See `shoal.judge.contrasts.keywords`.

        Examples
        --------
        >>> import shoal
        >>> words = shoal.points([[2, 0, 1], [3, 0, 1], [0, 4, 1], [0, 1, 1]], columns=["sea", "hill", "the"])
        >>> [word.term for word in shoal.linkage(words).cut(k=2).keywords()]
        ['sea', 'hill']
        """
        _require_top(top)
        if terms is None:
            data = self.require_data("Key terms")
            if not isinstance(data, Points):
                raise InputError("A matrix of distances or similarities has no terms.",
                                 "Give them: clusters.keywords(terms=..., names=...).")
            terms, names = self._raw(data.X), feature_names(data) if names is None else names
        table, texts = read_terms(terms, names, len(self))
        return keywords(table, texts, self.labels, self.k, top)

    def into(self, other: Clusters, like: Any = None) -> Any:
        """Say which clusters of another cut every cluster lies in, or splits into.

        Parameters
        ----------
        other : Clusters
            Of the same items, as a rule another cut of the same tree.
        like : frame or str, optional
            The library of the table.

        Returns
        -------
        frame
            A row for every pair of clusters that share items: cluster, other, items, the share of the cluster's items that
            are in the other, and the share of the other's that are in the cluster. -1 is noise.

        Raises
        ------
        InputError
            When the items are not the same.

        Examples
        --------
        >>> import shoal
        >>> tree = shoal.linkage([[0.0], [1.0], [5.0], [9.0]], "single")
        >>> tree.cut(k=2).into(tree.cut(k=3), like="polars").rows()
        [(0, 0, 2, 0.6666666666666666, 1.0), (0, 1, 1, 0.3333333333333333, 1.0), (1, 2, 1, 1.0, 1.0)]
        """
        from shoal.data.tables import to_frame

        if self.ids != other.ids:
            raise InputError("The two cuts are of different items.", "Compare cuts of the same tree.")
        pairs, count = np.unique(np.stack([self.labels, other.labels], axis=1), axis=0, return_counts=True)
        own, theirs = (np.bincount(column + 1, count)[column + 1] for column in pairs.T)
        return to_frame({"cluster": pairs[:, 0], "other": pairs[:, 1], "items": count, "share": count / own,
                         "share_of_other": count / theirs}, like)

    def predict(self, new: Any, *, ids: Sequence[Any] | None = None) -> Assignment:
        """Assign new items to the nearest cluster, as the model that made the clusters measures it.

        Parameters
        ----------
        new : array-like, shape (m, d) or (m, n)
            New items with the features of the old ones (scaled as they were); or, where the old ones came as a matrix,
            rows of distances or similarities to all n old items, in their order.
        ids : sequence, optional
            Names of the new items.

        Returns
        -------
        Assignment
            Labels, distances and margins. The clusters do not change.
        """
        if self.model is None:
            raise InputError("Nothing is known of how these clusters were made, so new items cannot be assigned.",
                             "Fit a model to the items, and use its predict.")
        return self.model.assign(new, ids)

    def plot(self, **options: Any) -> Any:
        """Draw the items, coloured by cluster: two features as they are, more by their first two principal components.

        Distances and similarities are drawn by classical scaling, for looking only.

        Parameters
        ----------
        **options
            See `shoal.plot.scatter.scatter`.

        Returns
        -------
        matplotlib Axes
        """
        from shoal.plot.scatter import scatter

        data = self.require_data("A scatter plot")
        if not isinstance(data, Points):
            from shoal.plot.plane import mds

            options = {"columns": ("MDS 1", "MDS 2"), **options}
            return scatter(mds(rows_of(data), len(self)), self.labels, ids=self.ids, **options)
        return scatter(data.X, self.labels, ids=self.ids, columns=data.columns, **options)

    def network(self, **options: Any) -> Any:
        """Draw the items of a graph or of similarities by springs, coloured by cluster: for looking only.

        Parameters
        ----------
        **options
            See `shoal.plot.network.network`: shown, seed, ax, annotate.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        InputError
            For points and distances, which have no edges, and for more than 5,000 items.
        """
        from shoal.plot.network import network

        data = self.require_data("Drawing a graph")
        if not isinstance(data, (Graph, Similarities)) or (isinstance(data, Graph) and data.kind == "distance"):
            raise InputError("Only graphs and similarities have edges that pull.", "Draw the items: clusters.plot().")
        i, j, weight = data.edges if isinstance(data, Graph) else _pairs_above_zero(data)
        return network(i, j, weight, self.labels, ids=self.ids, **options)

    def silhouette_plot(self, ax: Any = None) -> Any:
        """Draw the silhouette of every item, sorted within its cluster; returns matplotlib Axes."""
        from shoal.plot.curves import silhouette_plot

        return silhouette_plot(self.silhouette().values, self.labels, weights=self.weights_or_ones, ax=ax)

    def to_frame(self, like: Any = None) -> Any:
        """Return a table with the columns id and cluster, in the library of `like` (a frame or a library's name)."""
        from shoal.data.tables import to_frame

        return to_frame({"id": self.ids, "cluster": self.labels}, like)

    def to_csv(self, path: Any, *, force: bool = False) -> None:
        """Write the columns id and cluster, sorted by cluster.

        Parameters
        ----------
        path : path-like
        force : bool
            Overwrite a file that is there.

        Notes
        -----
        Ids are written exactly as they are. A spreadsheet program may take some for formulas or dates when it opens a
        CSV file; `to_excel` writes cells it cannot mistake.
        """
        from shoal.data.export import write_csv

        order, _ = self._order
        ids = self.ids
        write_csv(path, {"id": [ids[i] for i in order.tolist()], "cluster": self.labels[order].tolist()}, force=force)

    def to_json(self, path: Any, *, force: bool = False) -> None:
        """Write one JSON object: how the clusters were made, and of each its size, share, typical item and members.

        Parameters
        ----------
        path : path-like
        force : bool
            Overwrite a file that is there.
        """
        from shoal.data.export import write_json

        write_json(path, self.as_record(), force=force)

    def as_record(self) -> dict[str, Any]:
        """Return what `to_json` writes: values JSON can hold, None for what is not known."""
        members = self.members()
        typical = [None] * self.k if self.data is None else self.typical_ids
        rows = [{"cluster": c, "size": len(members[c]), "share": len(members[c]) / len(self), "typical": typical[c],
                 "members": members[c]} for c in range(self.k)]
        made = {name: self.source.get(name) for name in ("method", "metric")}
        return {"n": len(self), **made, "how": self.how, "k": self.k, "height": self.height, "clusters": rows,
                "noise": members.get(-1, [])}

    def to_parquet(self, path: Any, *, force: bool = False) -> None:
        """Write the columns id and cluster as a Parquet file, in the order of the items; ids are text.

        Parameters
        ----------
        path : path-like
        force : bool
            Overwrite a file that is there.
        """
        from shoal.data.export import write_parquet

        write_parquet(path, {"id": self.ids, "cluster": self.labels.tolist()}, force=force)

    def to_excel(self, path: Any, *, force: bool = False, picture: bytes | bool = True) -> None:
        """Write a workbook: a summary, all items, and a sheet for every cluster with its members and their features.

        Parameters
        ----------
        path : path-like
        force : bool
            Overwrite a file that is there.
        picture : bytes or bool
            A PNG for the summary sheet; True for the clusters' own picture, where matplotlib is installed.
        """
        from shoal.data.export import write_excel

        image = self._png() if picture is True else picture

        items: dict[str, Any] = {"id": self.ids, "cluster": self.labels}
        sheets = {"summary": self._summary_columns(), "items": items}
        for c in range(self.k if self.k <= SHEETS else 0):
            sheets[f"cluster {c}"] = self._member_columns(self.indices(c))
        if self.k <= SHEETS and (self.labels < 0).any():
            sheets["noise"] = self._member_columns(np.flatnonzero(self.labels < 0))
        write_excel(path, sheets, force=force, pictures={"summary": image} if image else None)

    def _png(self) -> bytes | None:
        """Return the clusters' own picture, or None where there is nothing to draw or nothing to draw with."""
        from shoal.plot.figures import close, figure_bytes

        try:
            ax = self._own_picture()
        except MissingExtraError:
            return None
        if ax is None:
            return None
        png = figure_bytes(ax, dpi=100)
        close(ax)
        return png

    def _own_picture(self) -> Any:
        """Draw what shows the clusters best."""
        return None if self.data is None else self.plot()

    def _summary_columns(self) -> dict[str, Any]:
        data = self.data
        columns: dict[str, Any] = {"cluster": np.arange(self.k), "items": self.sizes,
                                   "share": self.sizes / max(1, len(self))}
        if data is not None:
            columns["most central item"] = self.typical_ids
            if self.k > 1 and len(self) <= EXACT:
                columns["silhouette"] = self.silhouette().by_cluster
        if isinstance(data, Points) and data.columns is not None and len(data.columns) <= 100:
            means = self._raw(self.centers)
            columns |= {f"mean {name}": means[:, j] for j, name in enumerate(data.columns)}
        return columns

    def _member_columns(self, at: Ints) -> dict[str, Any]:
        data = self.data
        columns: dict[str, Any] = {"id": [self.ids[i] for i in at.tolist()]}
        if isinstance(data, Points) and data.columns is not None and len(data.columns) <= 100:
            X = data.X[at]
            values = self._raw(np.asarray(X.toarray() if hasattr(X, "toarray") else X, np.float64))
            columns |= {name: values[:, j] for j, name in enumerate(data.columns) if name not in columns}
        return columns

    def _raw(self, X: Any) -> Any:
        """Undo the scaling, for people: a table shows the units that came in."""
        data = self.data
        scaling = data.scaling if isinstance(data, Points) else None
        if scaling is None:
            return X
        # Sparse points were scaled without centring.
        return X * scaling.spread + scaling.center if isinstance(X, np.ndarray) else X.multiply(scaling.spread).tocsr()


def _require_top(top: Any) -> None:
    if not is_whole(top) or top < 1:
        raise InputError(f"top={top!r} was given.", "Give how many are wanted of every cluster, at least 1.")


def _pairs_above_zero(data: Similarities) -> tuple[Ints, Ints, Floats]:
    """Return the pairs of items that are similar at all."""
    values = data.pairs.condensed()
    at = np.flatnonzero(values > 0)
    return *pairs_at(at, data.n), values[at].astype(np.float64)


def _like(X: Any, rows: Floats) -> Any:
    """Rows in the form of X, dense or sparse."""
    return rows if isinstance(X, np.ndarray) else type(X)(rows)
