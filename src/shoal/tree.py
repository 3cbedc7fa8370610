"""`Tree`: a hierarchy one can cut, read, draw, save and place new items in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal import model
from shoal.cuts import flat, rules, suggest
from shoal.data import features
from shoal.data.carriers import Carrier, Points, as_carrier
from shoal.data.checks import read_ids, row_numbers
from shoal.data.rows import rows_of
from shoal.errors import InputError, is_whole
from shoal.judge.comparison import Comparison, compare
from shoal.judge.support import Support, bootstrap
from shoal.runtime import memory
from shoal.runtime.progress import Progress, Ticker
from shoal.suggestions import MOST_SUGGESTED, Suggestions
from shoal.treecut import Placed, TreeCut
from shoal.trees import exchange, fidelity
from shoal.trees import linkage as engines
from shoal.trees.fidelity import EXACT_PAIRS, Fidelity
from shoal.trees.insert import Inserted, insert, joined
from shoal.trees.merges import (
    Floats,
    Ints,
    Merges,
    from_scipy,
    leaf_counts,
    leaf_order,
    leaf_positions,
    parents,
    to_scipy,
)

if TYPE_CHECKING:
    from shoal.plot.layout import Layout

__all__ = ["Tree"]


@dataclass(frozen=True, eq=False, repr=False)
class Tree:
    """A merge tree, its items' names, and where it came from. Made by `shoal.linkage`, `shoal.load` or `Tree.from_scipy`.

    Attributes
    ----------
    merges : Merges
        The tree as typed columns: left, right, height, size.
    ids : tuple of str
        The items' names; row numbers where none were given.
    method : str
        The linkage method; "unknown" for a tree from elsewhere.
    engine : str
        The engine that built it.
    data : carrier or None
        What it was built from, when it is at hand.
    source : dict
        Where it came from, in values JSON can hold.
    weights : ndarray or None
        How many items each stands for; None: one.
    """

    merges: Merges
    ids: tuple[str, ...]
    method: str = "unknown"
    engine: str = "unknown"
    data: Carrier | None = None
    source: dict[str, Any] = field(default_factory=dict)
    weights: Floats | None = None

    def __repr__(self) -> str:
        return f"Tree({self.n} items, method={self.method!r}, engine={self.engine!r})"

    def __len__(self) -> int:
        return self.n

    @property
    def n(self) -> int:
        """Number of items."""
        return self.merges.n

    @property
    def messages(self) -> tuple[str, ...]:
        """What was handled or assumed on the way, in sentences."""
        said = []
        if self.inversions:
            said.append(f"{self.inversions} merges are lower than one before them, as {self.method} linkage "
                        f"{'under connectivity ' if self.engine == 'constrained' else ''}allows.")
        stop = self.source.get("stop_height")
        if self.parts > 1 and stop is not None:
            said.append(f"Merges above {stop:g} were not computed: {self.parts} clusters are left apart.")
        elif self.parts > 1:
            said.append(f"The graph has {self.parts} parts that no edge joins; the merges between them have infinite "
                        "height.")
        return (*self._of_data, *said)

    @property
    def parts(self) -> int:
        """Number of subtrees that only merges of infinite height join; 1 as a rule."""
        return 1 + int(np.isinf(self.merges.height).sum())

    @property
    def _of_data(self) -> tuple[str, ...]:
        """What was said of the data; kept in files, where inversions speak for themselves."""
        return self.data.messages if self.data is not None else tuple(self.source.get("messages", ()))

    @property
    def inversions(self) -> int:
        """Number of merges lower than the one before them."""
        height = self.merges.height
        return int((height[1:] < height[:-1]).sum())

    @cached_property
    def weights_or_ones(self) -> Floats:
        """The items' weights, 1 where none were given."""
        return np.ones(self.n) if self.weights is None else self.weights

    @cached_property
    def _begin(self) -> Ints:
        return leaf_positions(self.merges)

    @cached_property
    def _count(self) -> NDArray[np.int64]:
        return leaf_counts(self.merges)

    @cached_property
    def _parent(self) -> Ints:
        return parents(self.merges)

    @cached_property
    def _item(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.ids)}

    def order(self, optimal: bool = False) -> Ints:
        """Return the items from left to right; shape (n,).

        Parameters
        ----------
        optimal : bool
            Instead of the order that a dendrogram draws unasked, the one that brings neighbours closest together: the least
            sum of distances along it among all orders the tree allows. Give it to `plot` as ``order=``.

        Raises
        ------
        InputError
            When the tree has no data with it.
        TooLargeError
            When the tables would not fit in memory.

        Notes
        -----
        Exact for up to 5,000 items: O(n³) time where the tree is balanced, two n×n tables. Beyond, a beam of 8 orders a
        subtree, O(n) distances: of 500 to 5,000 normal points in 3 and 10 features its order was 0.4 to 2.3 % longer than
        the best, and the unasked one 14 to 37 %. Source: Bar-Joseph, Gifford & Jaakkola 2001.

        Examples
        --------
        >>> import shoal
        >>> tree = shoal.linkage([[0.0], [5.0], [9.0], [6.0]], "single")
        >>> tree.order().tolist(), tree.order(optimal=True).tolist()
        ([0, 1, 3, 2], [0, 1, 3, 2])
        """
        if not optimal:
            return self._leaves.copy()
        from shoal.trees.order import nearest_order

        return nearest_order(self.merges, self._begin, self.require_data("An optimal order"))

    def node_of(self, items: Any) -> int:
        """Return the lowest node that holds some items.

        Parameters
        ----------
        items : str, int, or a sequence of these
            Ids, or positions in the data; one or several.

        Raises
        ------
        InputError
            When there is no such item.

        Examples
        --------
        >>> import shoal
        >>> tree = shoal.linkage([[0.0], [1.0], [9.0]], ids=["a", "b", "c"])
        >>> tree.node_of("b"), tree.node_of(["a", "b"]), tree.node_of([0, 2])
        (1, 3, 4)
        """
        wanted = [items] if isinstance(items, str) or not np.iterable(items) else list(items)
        if not wanted:
            raise InputError("No items were given.", "Give an id or a position, or several.")
        at = [int(self._begin[self._position(one)]) for one in wanted]
        for node in exchange.path_up(self._parent, int(self._leaves[at[0]])):
            begin = int(self._begin[node])
            if begin <= min(at) and max(at) < begin + int(self._count[node]):
                break
        return node

    def _position(self, item: Any) -> int:
        found = self._item.get(item, -1) if isinstance(item, str) else int(item) if is_whole(item) else -1
        if not 0 <= found < self.n:
            raise InputError(f"There is no item {item!r}.",
                             f"Give one of the ids as text, or a position from 0 to {self.n - 1:,}.")
        return found

    def path(self, item: Any) -> list[int]:
        """Return the nodes from an item up to the root, itself first: the clusters it is in, from the smallest up.

        Parameters
        ----------
        item : str or int
            An id, or a position in the data.

        Examples
        --------
        >>> import shoal
        >>> shoal.linkage([[0.0], [1.0], [9.0]], ids=["a", "b", "c"]).path("b")
        [1, 3, 4]
        """
        return exchange.path_up(self._parent, self._position(item))

    def spell(self, node: int | None = None) -> str:
        """Spell a subtree as nested ids; the whole tree by default.

        Examples
        --------
        >>> import shoal
        >>> shoal.linkage([[0.0], [1.0], [9.0]], ids=["a", "b", "c"]).spell()
        '((a, b), c)'
        """
        return exchange.spell(self.merges, self.ids, self._node(2 * self.n - 2 if node is None else node))

    def _node(self, node: int) -> int:
        if not is_whole(node) or not 0 <= node < 2 * self.n - 1:
            raise InputError(f"There is no node {node!r}.", f"Nodes go from 0 to {2 * self.n - 2}.")
        return int(node)

    @cached_property
    def _leaves(self) -> Ints:
        return leaf_order(self.merges, self._begin)

    def members(self, node: int) -> list[str]:
        """Return the ids below a node, from left to right.

        Parameters
        ----------
        node : int
            Item i is node i; merge i is node n + i.

        Raises
        ------
        InputError
            When there is no such node.
        """
        begin = int(self._begin[self._node(node)])
        return [self.ids[i] for i in self._leaves[begin:begin + int(self._count[node])].tolist()]

    def cut(self, k: int | None = None, height: float | None = None, *, rule: str | None = None, **options: Any) -> TreeCut:
        """Cut the tree into clusters.

        Parameters
        ----------
        k : int, optional
            Exactly so many clusters, also under ties and inversions: the last k - 1 merges are undone.
        height : float, optional
            The largest subtrees all of whose merges are at or below this height.
        rule : str, optional
            A name of `shoal.cuts.rules.RULES`: "inconsistent", "gap", "silhouette", "dynamic", "stable", "persistence" …
        **options
            The rule's own, such as ``t=1.5`` or ``min_size=20``.

        Returns
        -------
        Clusters
            Numbered from left to right. With no argument, the cut that `suggest_cuts` puts first.

        Raises
        ------
        InputError
            When both k and height are given, k is not in 1 … n, height is below 0, or a rule or option is not known.

        Examples
        --------
        >>> import shoal
        >>> tree = shoal.linkage([[0.0], [0.0], [0.0], [9.0]], "complete")
        >>> tree.cut(k=3).k, tree.cut(height=0).k, tree.cut(rule="gap").k
        (3, 2, 2)
        """
        if rule is not None:
            options |= {name: value for name, value in (("k", k), ("height", height)) if value is not None}
            return self._clusters(rules.cut_by_rule(rule, self.subject, **options))
        if options:
            raise InputError(f"The option {next(iter(options))!r} was given without a rule.",
                             f"Give rule=..., one of {', '.join(rules.RULES)}.")
        if k is not None and height is not None:
            raise InputError(f"Both k={k!r} and height={height!r} were given.", "Give one of them.")
        if k is not None:
            return self._clusters(flat.Cut(flat.cut_k(self.merges, k, self._parent), None, None, f"k = {k}"))
        if height is not None:
            nodes = flat.cut_height(self.merges, height, self._parent)
            if height < 0:
                raise InputError(f"The height to cut at is {height!r}.", "Heights are 0 or more.")
            return self._clusters(flat.Cut(nodes, None, float(height), f"height {float(height):g}"))
        best = self.suggest_cuts().best
        return self.cut(k=1) if best is None else best

    def cuts(self, k: Sequence[int] | None = None, height: Sequence[float] | None = None) -> list[TreeCut]:
        """Cut the tree several times: at every k, or at every height."""
        if (k is None) == (height is None):
            raise InputError("Several cuts take a list of k or a list of heights.", "Give one of the two.")
        if not np.iterable(k if k is not None else height):
            raise InputError(f"Several cuts take a list; {k if k is not None else height!r} was given.",
                             "For one cut use tree.cut.")
        if k is not None:
            return [self.cut(k=one) for one in k]
        return [self.cut(height=one) for one in height or ()]

    def _clusters(self, cut: flat.Cut) -> TreeCut:
        labels, ranked = flat.labels_of_cut(cut, self._begin, self._count, self._leaves)
        height = cut.height
        whole = len(ranked) > 0 and cut.joined is None and bool((labels >= 0).all())
        if height is None and whole and (span := flat.height_range(self.merges, ranked, self._parent)) is not None:
            low, high = span
            middle = low + (high - low) / 2 if np.isfinite(high) else 1.05 * low
            height = middle if middle < high else low  # between neighbouring numbers, a middle may round up
        return TreeCut.of(self, labels, ranked, cut.how, height)

    def suggest_cuts(self, most: int = MOST_SUGGESTED) -> Suggestions:
        """Choose the clusters that the data speaks for, or none, and show beside them what other rules would say.

        Parameters
        ----------
        most : int
            The largest number of clusters considered.

        Returns
        -------
        Suggestions
            ``.best``, a `Clusters` or None for "one cluster only"; ``.reason`` in a sentence or two; ``.evidence``: good,
            fair, weak or none; ``.also``, numbers of clusters that cannot be told apart from it; ``.rows``, one for every
            k, and ``.rules``, one for every rule.

        Notes
        -----
        From the root down, a split is taken where its sides are more separate than those of structureless data of the same
        size and shape, through the same linkage. At most 2,000 items are looked at, 1,000 where there are no coordinates;
        see docs/guide/choosing-a-cut.md.
        """
        if not is_whole(most) or most < 1:
            raise InputError(f"most={most!r} was given.", "Give the largest number of clusters to consider, at least 1.")
        data = self.require_data("Suggesting a cut")
        rows = suggest.score_cuts(self.merges, self._begin, self._leaves, rows_of(data), self.weights_or_ones, most)
        found = suggest.choose(self.merges, self._begin, self._leaves, data, self.method, int(most))
        evidence, reason = suggest.wording(found, self.n)
        best = self._clusters(suggest.as_cut(found)) if len(found.nodes) > 1 else None
        return Suggestions(tuple(rows), best, evidence, reason, found.also, self)

    @property
    def subject(self) -> flat.Subject:
        """What rules for cutting look at."""
        return flat.Subject(self.merges, self.data, self.weights, self.method)

    def cophenetic_correlation(self) -> float:
        """Correlation between the heights at which items meet in the tree and their distances; see `fidelity`.

        Near 1 the tree tells the distances well.
        """
        return self.fidelity().correlation

    def fidelity(self, pairs: int = EXACT_PAIRS) -> Fidelity:
        """Say how well the tree keeps the distances it was built from: the cophenetic correlation.

        Parameters
        ----------
        pairs : int
            The most pairs to look at. Where there are more, random items are taken with all their pairs.

        Returns
        -------
        Fidelity
            ``.correlation``, its standard ``.error`` from sampling (0 when every pair was looked at), and ``.pairs``.

        Notes
        -----
        In blocks, without a matrix. Source: Sokal & Rohlf 1962.

        Examples
        --------
        >>> import shoal
        >>> shoal.linkage([[0.0], [1.0], [9.0]], "single").fidelity().pairs
        3
        """
        if not is_whole(pairs) or pairs < 1:
            raise InputError(f"pairs={pairs!r} was given.", "Give the most pairs to look at, at least 1.")
        rows = fidelity.rows_to_keep(self.require_data("The cophenetic correlation"), self._leaves)
        return fidelity.correlation(self.merges.height, self._joined, rows, int(pairs))

    def cophenetic_distances(self, items: Sequence[int] | None = None) -> Floats:
        """Return the heights at which items first meet all items.

        Parameters
        ----------
        items : sequence of int, optional
            Positions of the items wanted; all by default.

        Returns
        -------
        ndarray, shape (len(items), n)
        """
        wanted = np.arange(self.n) if items is None else _whole_numbers(items, 0, self.n - 1, "items")
        memory.require(8 * self.n * len(wanted), None, f"cophenetic distances of {len(wanted):,} items",
                       "Ask for fewer items at a time.")
        place = self._begin[:self.n]
        return fidelity.cophenetic_rows(self.merges.height, self._joined, place[wanted])[:, place]

    @cached_property
    def _joined(self) -> Ints:
        return fidelity.junctions(self.merges, self._begin)

    def support(self, replicates: int = 1000, rng: int = 0, progress: Progress = None) -> Support:
        """Judge every cluster by how often it comes back when the features are drawn anew (multiscale bootstrap).

        Parameters
        ----------
        replicates : int
            Trees at each of ten scales.
        rng : int
            Seed of the draws.
        progress : callable, bool or None
            See `shoal.linkage`.

        Returns
        -------
        Support
            ``.au``, ``.bp``, ``.error``, one entry a merge: the approximately unbiased probability, the bootstrap
            probability, and the standard error of the first.

        Raises
        ------
        InputError
            For a tree of given distances: there are no features to draw from.

        Notes
        -----
        Ten times `replicates` trees. Many features that say the same support each other; the bootstrap takes them as
        independent. Sources: Shimodaira 2002; Suzuki & Shimodaira 2006.

        Examples
        --------
        >>> import numpy as np, shoal
        >>> X = np.random.default_rng(0).normal(size=(6, 40)) + [[0], [0], [0], [3], [3], [3]]
        >>> bool(shoal.linkage(X).support(replicates=50).au[-2] > 0.9)
        True
        """
        data = self.require_data("Bootstrap support")
        if not isinstance(data, Points) or data.metric.params:
            raise InputError("Bootstrap support draws features anew, and "
                             + ("this tree was built from distances." if not isinstance(data, Points) else
                                f"the metric {data.metric.name!r} has parameters for these ones."),
                             "Build the tree from points with a metric without parameters.")
        if not is_whole(replicates) or replicates < 1:
            raise InputError(f"replicates={replicates!r} was given.", "Give a whole number of at least 1.")

        def rebuild(columns: Ints) -> Merges:
            drawn = features.frozen(data.X[:, columns])
            return engines.build(dataclasses.replace(data, X=drawn, columns=None, scaling=None), self.method)[0]

        with Ticker(progress, f"bootstrap of {self.n:,} items") as ticker:
            ticker.total = 10 * replicates
            return bootstrap(self.merges, data.d, rebuild, int(replicates), seed=int(rng), ticker=ticker)

    def compare(self, other: Tree, k: Sequence[int] | None = None) -> Comparison:
        """Compare this tree with another one of the same items, matched by their ids.

        Parameters
        ----------
        other : Tree
        k : sequence of int, optional
            Numbers of clusters at which to compare cuts; 2 … 50 by default.

        Returns
        -------
        Comparison
            ``.cophenetic`` and ``.baker`` correlation over pairs of items; ``.k`` and Fowlkes and Mallows' ``.b`` with
            what is ``.expected`` of unrelated trees and its ``.spread``.

        Raises
        ------
        InputError
            When the items are not the same.

        Examples
        --------
        >>> import shoal
        >>> X = [[0.0], [1.0], [5.0], [7.0]]
        >>> shoal.linkage(X, "single").compare(shoal.linkage(X, "complete"), k=[2]).b.tolist()
        [1.0]
        """
        ks = np.arange(2, min(self.n, 51)) if k is None else _whole_numbers(k, 1, self.n, "k")

        def cut(merges: Merges, many: int) -> Ints:
            return (self if merges is self.merges else other).cut(k=many).labels

        return compare(self.merges, other.merges, self._same_items(other), ks, cut)

    def require_data(self, what: str) -> Carrier:
        """Return the data the tree was built from, or say that it is needed."""
        if self.data is None:
            raise InputError(f"{what} needs the data the tree was built from, and this tree has none with it.",
                             "Build it with shoal.linkage, attach it with tree.with_data(data), or save with data=True.")
        return self.data

    def with_data(self, data: Any, metric: str | Callable[..., Any] = "euclidean") -> Tree:
        """Return the same tree with the data it was built from.

        Raises
        ------
        InputError
            When the number of items, their ids or the metric are not those of the tree.
        """
        carrier = as_carrier(data, metric=metric)
        if carrier.n != self.n:
            raise InputError(f"The tree has {self.n:,} items and the data {carrier.n:,}.", "Give the same items, in order.")
        if carrier.ids is not None and carrier.ids != self.ids:
            at = next(i for i, (new, old) in enumerate(zip(carrier.ids, self.ids, strict=True)) if new != old)
            raise InputError(f"Item {at} is {self.ids[at]!r} in the tree and {carrier.ids[at]!r} in the data.",
                             "Give the same items, in order.")
        engines.check_metric(carrier, self.method)
        known, given = self.source.get("metric"), carrier.describe().get("metric")
        if known is not None and given != known:
            raise InputError(f"The tree was built with the metric {known!r}, and the data has {given or 'distances'!r}.",
                             f"Give points with metric={known!r}.")
        return dataclasses.replace(self, data=carrier)

    def place(self, new: Any, *, ids: Sequence[Any] | None = None) -> Placed:
        """Find where each new item would first merge, were the tree built anew with it.

        Parameters
        ----------
        new : array-like or frame
            New items with the features of the old ones (matched by name, scaled as they were), shape (m, d); or, where the
            old ones came as a matrix, rows of distances or similarities to all n old items.
        ids : sequence, optional
            Names of the new items.

        Returns
        -------
        Placed
            ``.height`` and ``.partner`` (a node of this tree) of every first merge; ``.labels(cut)``, ``.is_new(cut)``.

        Raises
        ------
        InputError
            When features are missing, values are not finite, or the tree has no data or was built along a graph.

        Notes
        -----
        Exact for every method, for one new item at a time. Over a kd-tree of the nodes' centres for up to 16 features, else
        by distances to all old items, O(n·d) an item.

        Examples
        --------
        >>> import shoal
        >>> tree = shoal.linkage([[0.0], [1.0], [9.0]], "single")
        >>> tree.place([[1.5], [30.0]]).height.tolist()
        [0.5, 21.0]
        """
        return Placed.of(self, new, ids)

    def insert(self, new: Any, *, ids: Any = None, memory_limit: int | str | None = None,
               progress: Progress = None) -> tuple[Tree, Inserted]:
        """Return the exact tree of the old and the new items, keeping what the new ones do not touch.

        Parameters
        ----------
        new : array-like or frame, shape (m, d)
            New items with the features of the old ones.
        ids : sequence, optional
            Their names.
        memory_limit, progress
            See `shoal.linkage`.

        Returns
        -------
        tree : Tree
            The new items follow the old ones.
        report : Inserted
            ``.kept`` old merges, the share that was ``.rebuilt``, and ``.how``.

        Raises
        ------
        InputError
            For trees that were built from distances or along a graph.
        """
        data = self.require_data("Inserting")
        if not isinstance(data, Points) or self.engine == "constrained" or self.method == "unknown":
            raise InputError("New items can be inserted in trees of points with a known method, built without a graph.",
                             "Build the tree of all items anew.")
        fresh = data.new(new, ids=ids)
        merges, report = insert(self.merges, self.method, data, fresh, memory_limit=memory_limit, progress=progress)
        both = joined(data, fresh)
        tree = Tree(merges, both.ids or row_numbers(both.n), self.method, self.engine, both, both.describe(), both.weights)
        return tree, report

    def plot(self, *, cut: TreeCut | float | None = None, k: int | None = None, **options: Any) -> Any:
        """Draw the dendrogram.

        Parameters
        ----------
        cut : TreeCut or float, optional
            A cut of this tree, or a height: its clusters are coloured and its line is drawn.
        k : int, optional
            Colour the cut into k clusters.
        **options
            See `shoal.plot.dendrogram.dendrogram`: last, level, annotate_above, labels, merge_labels, color, orientation
            ("center" is a wheel), hang, rotation, base, log, ax.

        Returns
        -------
        matplotlib Axes
        """
        from shoal.plot.dendrogram import dendrogram

        if k is not None:
            cut = self.cut(k=k)
        elif cut is not None and not isinstance(cut, TreeCut):
            cut = self.cut(height=cut)
        if cut is not None:
            options = {"nodes": cut.nodes, "cut": cut.height, **options}
        return dendrogram(self.merges, ids=self.ids, **options)

    def layout(self, *, cut: TreeCut | None = None, **options: Any) -> Layout:
        """Return where every leaf and link of the dendrogram lies, as arrays; options as `plot` has them.

        Examples
        --------
        >>> import shoal
        >>> shoal.linkage([[0.0], [1.0], [9.0]], "single").layout().link_y.tolist()
        [1.0, 8.0]
        """
        from shoal.plot.layout import layout

        return layout(self.merges, **({"nodes": None if cut is None else cut.nodes} | options))

    def curve(self, **options: Any) -> Any:
        """Draw the heights of the last merges against the number of clusters, and their second difference.

        Parameters
        ----------
        **options
            See `shoal.plot.curves.height_curve`: most, suggested, ax. The suggested cut is marked by default.

        Returns
        -------
        matplotlib Axes
        """
        from shoal.plot.curves import height_curve

        if "suggested" not in options and self.data is not None:
            best = self.suggest_cuts().best
            options["suggested"] = () if best is None else (best.k,)
        return height_curve(self.merges, **options)

    def clustermap(self, cut: TreeCut | None = None, *, columns: Tree | None = None, bars: Any = None,
                   **options: Any) -> Any:
        """Draw the data as a coloured matrix in the order of the tree: features, or distances of all pairs.

        Parameters
        ----------
        cut : TreeCut, optional
            Coloured along the rows.
        columns : Tree, optional
            A tree of the features.
        bars : dict of str to sequence, optional
            Values of the items to show beside the rows: numbers or texts.
        **options
            See `shoal.plot.clustermap.clustermap`: scale, scale_by, cmap, limits, value_label, figure.

        Returns
        -------
        ClusterMap
            ``.figure``, ``.ax``, ``.row_order``, ``.column_order``, and a ``.note`` of what was left out.

        Raises
        ------
        InputError
            For sparse points.
        TooLargeError
            When the distances of all pairs would not fit.
        """
        from shoal.plot.clustermap import Side, clustermap

        data = self.require_data("A clustered matrix")
        labels, nodes = (None, None) if cut is None else (cut.labels, cut.nodes)
        side = Side(self.merges, self.ids, labels, nodes, None, bars or {})
        if isinstance(data, Points):
            other = Side(None if columns is None else columns.merges, data.columns)
            return clustermap(data.X, side, other, **options)
        memory.require(8 * self.n**2, None, f"distances of {self.n:,} items", "Draw a part of the items.")
        return clustermap(rows_of(data)(np.arange(self.n)), side, side, **{"value_label": "distance", **options})

    def tanglegram(self, other: Tree, *, cut: TreeCut | None = None, **options: Any) -> Any:
        """Draw this tree and another one of the same items face to face, with a line for every item.

        Parameters
        ----------
        other : Tree
            Its items are matched by their ids.
        cut : TreeCut, optional
            A cut of this tree: its clusters colour the lines.
        **options
            See `shoal.plot.tanglegram.tanglegram`: turn, titles, ax.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        InputError
            When the items are not the same.
        """
        from shoal.plot.tanglegram import tanglegram

        known: dict[str, Any] = {} if cut is None else {"labels": cut.labels, "nodes": (cut.nodes, None)}
        return tanglegram(self.merges, other.merges, match=self._same_items(other), ids=self.ids,
                          **{"titles": (self.method, other.method), **known, **options})

    def _same_items(self, other: Tree) -> Ints:
        """The item of another tree that each item of this one is."""
        if set(self.ids) != set(other.ids):
            odd = next(iter(set(self.ids) ^ set(other.ids)))
            raise InputError(f"The trees are of different items: {odd!r} is in one of them only.",
                             "Compare trees of the same items.")
        place = {name: i for i, name in enumerate(other.ids)}
        return np.array([place[name] for name in self.ids])

    def to_scipy(self) -> NDArray[np.float64]:
        """Return scipy's linkage matrix Z, shape (n - 1, 4)."""
        return to_scipy(self.merges)

    @classmethod
    def from_scipy(cls, Z: Any, ids: Any = None, method: str = "unknown") -> Tree:
        """Read scipy's linkage matrix.

        Parameters
        ----------
        Z : array-like, shape (n - 1, 4)
        ids : sequence, optional
            Names of the items.
        method : str, optional
            The linkage method it was built with, needed to place new items.
        """
        return cls._from_elsewhere(from_scipy(Z), ids, method, "scipy")

    @classmethod
    def _from_elsewhere(cls, merges: Merges, ids: Any, method: str, engine: str) -> Tree:
        known = method if method == "unknown" else engines.check_method(method)
        return cls(merges, read_ids(ids, merges.n) or row_numbers(merges.n), known, engine)

    def to_frame(self, like: Any = None) -> Any:
        """Return the merges as a table: node, left, right, height, items below it, parent (-1 for the root).

        Parameters
        ----------
        like : frame or str, optional
            The library of the table.

        Examples
        --------
        >>> import shoal
        >>> shoal.linkage([[0.0], [1.0], [9.0]], "single").to_frame("polars").rows()
        [(3, 0, 1, 1.0, 2, 4), (4, 3, 2, 8.0, 3, -1)]
        """
        from shoal.data.tables import to_frame

        left, right, height, size = self.merges
        nodes = np.arange(self.n, 2 * self.n - 1)
        return to_frame({"node": nodes, "left": left, "right": right, "height": height, "items": size,
                         "parent": self._parent[self.n:]}, like)

    def to_newick(self, lengths: bool = True) -> str:
        """Write the tree as Newick text, for tree viewers and phylogenetics.

        Parameters
        ----------
        lengths : bool
            Write branch lengths, the differences of heights; negative ones under inversions.

        Raises
        ------
        InputError
            When lengths are asked for and a height is infinite.

        Examples
        --------
        >>> import shoal
        >>> shoal.linkage([[0.0], [1.0], [9.0]], "single", ids=["a", "b", "c"]).to_newick()
        '((a:1.0,b:1.0):7.0,c:8.0);'
        """
        return exchange.to_newick(self.merges, self.ids, lengths=lengths)

    @classmethod
    def from_newick(cls, text: str, method: str = "unknown") -> Tree:
        """Read one tree in Newick form.

        Parameters
        ----------
        text : str
            A node of more than two branches becomes several merges of equal height.
        method : str, optional
            The linkage method it was built with, needed to place new items.

        Raises
        ------
        InputError
            For text that is not one tree, and names that are missing or the same.

        Examples
        --------
        >>> import shoal
        >>> shoal.Tree.from_newick("((a:1,b:1):2,c:3);").merges.height.tolist()
        [1.0, 3.0]
        """
        merges, names = exchange.from_newick(text)
        return cls._from_elsewhere(merges, names, method, "newick")

    def to_r(self) -> dict[str, Any]:
        """Return the columns of R's hclust object: merge, height, order, labels, and method and dist.method as R names them.

        Examples
        --------
        >>> import shoal
        >>> shoal.linkage([[0.0], [1.0], [9.0]], "single").to_r()["merge"].tolist()
        [[-1, -2], [-3, 1]]
        """
        method = {"ward": "ward.D2", "weighted": "mcquitty"}.get(self.method, self.method)
        return exchange.to_r(self.merges, self.ids) | {"method": method, "dist.method": self.source.get("metric")}

    @classmethod
    def from_r(cls, hclust: Mapping[str, Any]) -> Tree:
        """Read R's hclust object, given as a mapping with merge, height, and labels and method where it has them.

        Parameters
        ----------
        hclust : mapping
            Its method "ward.D2" is ward and "mcquitty" weighted; "ward.D", which has other heights, counts as unknown.

        Raises
        ------
        InputError
            When it is not the tree of an hclust object.

        Examples
        --------
        >>> import shoal
        >>> tree = shoal.Tree.from_r({"merge": [[-1, -2], [-3, 1]], "height": [1, 8], "labels": ["a", "b", "c"]})
        >>> tree.spell()
        '((a, b), c)'
        """
        if not isinstance(hclust, Mapping) or not {"merge", "height"} <= set(hclust):
            raise InputError(f"{type(hclust).__name__} is not a mapping with merge and height.",
                             "Give the parts of an hclust object: {'merge': ..., 'height': ..., 'labels': ...}.")
        named = {"ward.D2": "ward", "mcquitty": "weighted"}.get(str(hclust.get("method")), hclust.get("method"))
        known = str(named) if named in engines.METHODS else "unknown"
        return cls._from_elsewhere(exchange.from_r(hclust), hclust.get("labels"), known, "r")

    def to_networkx(self) -> Any:
        """Return a networkx DiGraph from merges to their two sides, with attributes name, height and size.

        Raises
        ------
        MissingExtraError
            When networkx is not installed.
        """
        return exchange.to_networkx(self.merges, self.ids)

    @classmethod
    def from_networkx(cls, graph: Any, method: str = "unknown") -> Tree:
        """Read a networkx DiGraph from merges to their two sides, with heights: what `to_networkx` returns.

        Parameters
        ----------
        graph : networkx.DiGraph
        method : str, optional
            The linkage method it was built with, needed to place new items.

        Raises
        ------
        InputError
            When a merge has not two sides or no height, or the graph is not one tree.
        """
        merges, names = exchange.from_networkx(graph)
        return cls._from_elsewhere(merges, names, method, "networkx")

    def to_clusternode(self) -> Any:
        """Return scipy's ClusterNode of the root, as scipy.cluster.hierarchy.to_tree makes it; a chain of any depth.

        Examples
        --------
        >>> import shoal
        >>> root = shoal.linkage([[0.0], [1.0], [9.0]], "single").to_clusternode()
        >>> root.get_count(), float(root.dist)
        (3, 8.0)
        """
        from scipy.cluster.hierarchy import to_tree

        return to_tree(self.to_scipy())

    @classmethod
    def from_clusternode(cls, root: Any, ids: Any = None, method: str = "unknown") -> Tree:
        """Read scipy's ClusterNode of a root.

        Parameters
        ----------
        root : scipy.cluster.hierarchy.ClusterNode
            Its leaves are numbered from 0 on.
        ids : sequence, optional
            Names of the items, by their numbers.
        method : str, optional
            The linkage method it was built with, needed to place new items.

        Examples
        --------
        >>> import shoal
        >>> tree = shoal.linkage([[0.0], [1.0], [9.0]], "single")
        >>> shoal.Tree.from_clusternode(tree.to_clusternode(), ids=["a", "b", "c"]).spell()
        '((a, b), c)'
        """
        return cls._from_elsewhere(exchange.from_nodes_of_scipy(root), ids, method, "scipy")

    def report(self, path: Any, cut: TreeCut | None = None, *, force: bool = False, title: str | None = None) -> None:
        """Write one page, HTML without scripts, that holds everything there is to say about a cut, pictures included.

        Parameters
        ----------
        path : path-like
        cut : TreeCut, optional
            By default the cut that `suggest_cuts` puts first.
        force : bool
            Overwrite a file that is there.
        title : str, optional

        See Also
        --------
        shoal.report.write_report : says what is on it.
        """
        from shoal.report import write_report

        suggestion = self.suggest_cuts() if cut is None or self.data is not None else None
        if cut is None:
            cut = (suggestion and suggestion.best) or self.cut(k=1)
        write_report(cut, path, force=force, title=title, suggestion=suggestion)

    def save(self, path: Any, *, force: bool = False, data: bool = True) -> None:
        """Write the tree as one file that holds numbers and text only: nothing in it is ever executed.

        Parameters
        ----------
        path : path-like
        force : bool
            Overwrite a file that is there.
        data : bool
            Keep points with it, so that new items can be placed. A given matrix is not kept.
        """
        source = {**self.source, "messages": list(self._of_data)}
        model.write_tree(model.Parts(self.merges, self.ids, self.method, self.engine, self.data, source, self.weights),
                         path, force=force, data=data)


def _whole_numbers(values: Any, low: int, high: int, name: str) -> Ints:
    """Read a list of whole numbers from low to high."""
    found = np.asarray(values)
    if found.ndim != 1 or (found.size and (found.dtype.kind not in "iu" or not low <= found.min() <= found.max() <= high)):
        raise InputError(f"{name}={values!r} was given.", f"Give a list of whole numbers from {low} to {high:,}.")
    return found.astype(np.int64)
