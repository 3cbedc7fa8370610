"""`TreeCut`: the clusters of a tree; and `Placed`: new items where they would first merge in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.clusters import Assignment, Clusters, Floats, Ints
from shoal.data.carriers import Carrier
from shoal.errors import InputError
from shoal.trees import assign, place
from shoal.trees.merges import leaf_counts, leaf_order, leaf_positions

if TYPE_CHECKING:
    from shoal.tree import Tree

__all__ = ["Placed", "TreeCut"]

DRAWN = 60  # leaves of the dendrogram in a workbook


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class TreeCut(Clusters):
    """The clusters of a tree: what `Clusters` has, and the tree's own view of them. Made by `Tree.cut`.

    Attributes
    ----------
    tree : Tree
        The tree that was cut.
    nodes : ndarray of int, shape (k,)
        The tree's node of every cluster.
    height : float or None
        A height at which a horizontal line makes these clusters; None where no line does.
    """

    tree: Tree
    nodes: Ints
    height: float | None = None

    @classmethod
    def of(cls, tree: Tree, labels: Ints, nodes: Ints, how: str, height: float | None = None) -> TreeCut:
        """Make the clusters of a tree from labels and the nodes they stand for."""
        return cls(labels=labels, ids=tree.ids, how=how, data=tree.data, weights=tree.weights,
                   source={**tree.source, "method": tree.method}, tree=tree, nodes=nodes, height=height)

    @property
    def k(self) -> int:
        """Number of clusters, noise not counted."""
        return len(self.nodes)

    def require_data(self, what: str) -> Carrier:
        """Return the data the tree was built from, or say that it is needed."""
        return self.tree.require_data(what)

    def _own_picture(self) -> Any:
        return self.tree.plot(cut=self, **({"last": DRAWN} if self.tree.n > DRAWN else {}))

    def predict(self, new: Any, *, ids: Sequence[Any] | None = None) -> Assignment:
        """Assign new items to the nearest cluster, by the linkage's own distance from an item to a cluster.

        As `Clusters.predict`.

        Notes
        -----
        Ward's distance grows with the size of a cluster, sqrt(2n/(n+1)) times the distance to its mean, as in the tree.
        O(n·d + m·k·d) time for points under ward, centroid and median linkage, and under average linkage with the cosine
        or the correlation metric; otherwise O(m·n) distances, in blocks. `Tree.place` also finds items that are new.
        """
        tree = self.tree
        names, found = assign.distances_of_new(tree.merges, tree.method, self.weights_or_ones, _data_for_new(tree),
                                               self.nodes, self.labels, new, ids)
        return Assignment.of(found, names)


@dataclass(frozen=True, eq=False, repr=False)
class Placed:
    """New items and where each would first merge, were the tree built anew with it. Made by `Tree.place`.

    Attributes
    ----------
    ids : tuple of str
    height : ndarray, shape (m,)
        The height of that merge.
    partner : ndarray of int, shape (m,)
        The node of the old tree that it merges with.
    tree : Tree
        The old tree.

    Notes
    -----
    Exact for every linkage method, one new item at a time: up to that merge the greedy run with the new item is the run
    without it. In a tree of a limited height, exact up to that height.

    Examples
    --------
    >>> import shoal
    >>> tree = shoal.linkage([[0.0], [1.0], [10.0]], "average")
    >>> found = Placed.of(tree, [[0.4], [30.0]])
    >>> found.height.round(1).tolist(), found.partner.tolist()
    ([0.4, 26.3], [0, 4])
    >>> found.labels(tree.cut(k=2)).tolist()
    [0, -1]
    """

    ids: tuple[str, ...]
    height: Floats
    partner: Ints
    tree: Tree

    @classmethod
    def of(cls, tree: Tree, new: Any, ids: Sequence[Any] | None = None) -> Placed:
        """Place new items in a tree; see `Tree.place`."""
        data = _data_for_new(tree)
        if tree.engine == "constrained":
            raise InputError("The tree was built along a graph, and new items have no edges in it.",
                             "Use clusters.predict, which goes by distances alone.")
        names, found = place.place_new(tree.merges, tree.method, tree.weights_or_ones, data, new, ids)
        return cls(names, found.height, found.partner, tree)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Placed({len(self)} items in {self.tree!r})"

    def labels(self, cut: TreeCut) -> Ints:
        """Return the cluster of every new item in a cut of the tree, -1 where it is new; shape (m,).

        Parameters
        ----------
        cut : Clusters
            Of the same tree.

        Returns
        -------
        ndarray of int
            The cluster that holds the partner, where the merge is at or below the height of the cut; else -1: at that
            height the item is still alone. Where no single height makes the cut, an item that merges with a whole
            cluster belongs to it.
        """
        if cut.tree.merges is not self.tree.merges:
            raise InputError("The cut is one of another tree.", "Cut the tree the items were placed in.")
        merges = self.tree.merges
        begin, count = leaf_positions(merges), leaf_counts(merges)
        found = cut.labels[leaf_order(merges, begin)[begin[self.partner]]]
        inside = (found >= 0) & (count[self.partner] <= count[cut.nodes[found]])
        return np.where(inside & (self.height <= (np.inf if cut.height is None else cut.height)), found, -1)

    def is_new(self, cut: TreeCut) -> NDArray[np.bool_]:
        """Return whether every new item belongs to no cluster of a cut; shape (m,)."""
        return self.labels(cut) < 0

    def to_frame(self, cut: TreeCut | None = None, like: Any = None) -> Any:
        """Return a table with the columns id, height and partner, and cluster for a cut, in the library of `like`."""
        from shoal.data.tables import to_frame

        columns: dict[str, Any] = {"id": self.ids, "height": self.height, "partner": self.partner}
        if cut is not None:
            columns["cluster"] = self.labels(cut)
        return to_frame(columns, like)


def _data_for_new(tree: Tree) -> Carrier:
    """Return the data new items are measured to."""
    if tree.method == "unknown":
        raise InputError("The tree came from elsewhere, and its linkage method is not known.",
                         "Give it: Tree.from_scipy(Z, method='average').")
    return tree.require_data("Placing new items")
