"""`advise`: what a data set is, and which methods are sound for it, at what cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.data.carriers import Carrier, Distances, Graph, Points, Similarities, as_carrier, distances, similarities
from shoal.data.checks import is_sparse, real_array
from shoal.graphs.affinity import matrix_of, read_affinity
from shoal.judge.geometry import NOISE, Geometry, measure, negative_share
from shoal.runtime import memory
from shoal.trees.linkage import plan

__all__ = ["Advice", "Way", "advise"]

Floats = NDArray[np.float64]

WHOLE = 20_000  # items up to which a full matrix is searched for parts
SOUND, CARE, WRONG = "sound", "with care", "no"
LITTLE = 0.01  # share of negative eigenvalues that changes nothing anybody would see


class Way(NamedTuple):
    """One way to cluster the data.

    Attributes
    ----------
    method : str
        Its name here.
    call : str
        How it is called.
    verdict : str
        "sound", "with care" or "no".
    why : str
        In a sentence.
    bytes, seconds : float or None
        What it takes, roughly; None where that is not known.
    """

    method: str
    call: str
    verdict: str
    why: str
    bytes: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, repr=False)
class Advice:
    """What a data set is, and which methods are sound for it. Made by `shoal.advise`.

    Attributes
    ----------
    kind : str
        "points", "distances", "similarities" or "graph".
    n : int
        Items.
    facts : tuple of str
        What was found, in sentences.
    ways : tuple of Way
        Methods, the sound ones first.
    geometry : Geometry or None
        Figures about the distances.
    mercer : float or None
        Of similarities: what their negative eigenvalues sum to, as a share of all; 0 for a kernel.
    """

    kind: str
    n: int
    facts: tuple[str, ...]
    ways: tuple[Way, ...]
    geometry: Geometry | None = None
    mercer: float | None = None

    def __repr__(self) -> str:
        lines = [f"{self.n:,} items, given as {self.kind}.", *(f"- {fact}" for fact in self.facts), ""]
        for way in self.ways:
            cost = [] if way.seconds is None else [_spoken(way.seconds)]
            cost += [] if way.bytes is None else [memory.show_bytes(int(way.bytes))]
            lines += [f"{way.verdict:>9}  {way.method}: {way.call}" + (f"  ({', '.join(cost)})" if cost else ""),
                      f"{'':>11}{way.why}"]
        return "\n".join(lines)

    def to_frame(self, like: Any = None) -> Any:
        """Return the methods as a table in the library of `like`."""
        from shoal.data.tables import to_frame

        columns: dict[str, Any] = {name: [getattr(way, name) for way in self.ways] for name in Way._fields}
        for name in ("bytes", "seconds"):
            columns[name] = np.array(columns[name], np.float64)  # NaN where it is not known
        return to_frame(columns, like)


def advise(data: Any) -> Advice:
    """Say what a data set is, and which ways of clustering it are sound, with time and memory.

    Parameters
    ----------
    data : carrier, array-like, frame or sparse array
        A square array is looked at as a matrix of distances or similarities, whichever it is, also where it is not
        symmetric; anything else that is no carrier is read as points.

    Returns
    -------
    Advice
        ``.facts``, ``.ways``, ``.geometry``, ``.mercer``; it prints as a page.

    Raises
    ------
    InputError
        For data that cannot be read.

    Notes
    -----
    Triangles, ultrametric triples and eigenvalues are looked at among at most 800 items, drawn with a fixed seed. Distances
    are Euclidean where ``-½ J D² J`` has no negative eigenvalues (Schoenberg 1935; Gower 1966), similarities a kernel where
    they have none themselves. Time and memory are guesses, good to a factor of three.

    Examples
    --------
    >>> import shoal
    >>> found = shoal.advise([[0.0, 1.0, 9.0], [1.0, 0.0, 2.0], [9.0, 2.0, 0.0]])
    >>> found.kind, found.geometry.triangle > 0
    ('distances', True)
    >>> [way.verdict for way in found.ways if way.method == "medoids"]
    ['sound']
    """
    carrier, facts = _read(data)
    facts += list(carrier.messages)
    if isinstance(carrier, Points):
        return Advice("points", carrier.n, tuple(facts + _facts_of_points(carrier)), _sorted(_ways_of_points(carrier)))
    if isinstance(carrier, Distances):
        seen = measure(carrier)
        return Advice("distances", carrier.n, tuple(facts + _facts_of(seen, carrier.n)),
                      _sorted(_ways_of_distances(carrier, seen)), seen)
    assert isinstance(carrier, (Similarities, Graph))
    kind = "graph" if isinstance(carrier, Graph) else "similarities"
    if isinstance(carrier, Graph) and carrier.kind == "distance":
        return Advice(kind, carrier.n, tuple(facts + _facts_of_roads(carrier)), _sorted(_ways_of_roads(carrier)))
    found, mercer = _facts_of_similarities(carrier)
    geometry = measure(carrier) if carrier.rule is not None else None
    return Advice(kind, carrier.n, tuple(facts + found), _sorted(_ways_of_similarities(carrier, mercer, geometry)), geometry,
                  mercer)


def _read(data: Any) -> tuple[Carrier, list[str]]:
    """Read a carrier, a square matrix of either kind, or points."""
    if isinstance(data, Carrier) or is_sparse(data) or hasattr(data, "columns"):
        return as_carrier(data), []
    array, _ = real_array(data, "data")
    if array.ndim != 2 or array.shape[0] != array.shape[1] or array.shape[0] < 3 or not np.isfinite(array).all():
        return as_carrier(data), []
    gap = np.abs(array - array.T)
    scale = float(np.abs(array).max()) or 1.0
    directed = float((gap > 1e-6 * scale).mean())
    own, others = array.diagonal(), array[~np.eye(len(array), dtype=bool)]
    if directed > 0.5 and not (own == own[0]).all():
        return as_carrier(data), []  # nothing of a matrix about it: as many features as items
    facts = [] if directed == 0.0 else [
        f"It is not symmetric: {directed:.0%} of the pairs have another value in each direction; their mean is taken here. "
        "If direction matters, choose symmetrize='min', 'max' or 'mean' on purpose."]
    how = "mean" if directed else None
    if (np.abs(own) <= 1e-9 * scale).all() and others.min() >= 0:
        return distances(array, symmetrize=how), facts
    if not (own >= others.max()).all():
        facts.append("The diagonal is not the largest similarity: an item is less like itself than like others, which "
                     "points at counts or weights of edges, or at a mistake; the diagonal is left out.")
    return similarities(array, symmetrize=how), facts


def _facts_of(g: Geometry, n: int) -> list[str]:
    """Say what the distances are."""
    seen = "" if g.items == n else f" (among {g.items:,} items)"
    facts = [f"A metric: no distance is longer than a way round{seen}." if g.triangle == 0 else
             f"Not a metric: in {_percent(g.triangle)} of the triples one distance is longer than the other two "
             f"together{seen}."]
    if g.ultrametric > 0.999:
        facts.append("Ultrametric: the distances are those in a tree already.")
    facts.append("Euclidean: there are points with exactly these distances." if g.negative < NOISE else
                 f"Not Euclidean: negative eigenvalues make up {_percent(g.negative)} of all; no points have these "
                 "distances" + (", but some come close." if g.negative < 0.1 else "."))
    facts.append(f"A picture in the plane can show {g.plane:.0%} of the variance.")
    if g.zero > 0:
        facts.append(f"{_percent(g.zero)} of the pairs are at distance 0: different items that are the same.")
    return facts


def _facts_of_points(carrier: Points) -> list[str]:
    X, facts = carrier.X, []
    if isinstance(X, np.ndarray):
        some = X[np.sort(np.random.default_rng(0).permutation(len(X))[:50_000])]
        distinct = len(np.unique(some, axis=0))
        if distinct < len(some):
            facts.append(f"{len(some) - distinct:,} of {len(some):,} items are equal to another.")
        constant = int((X.min(axis=0) == X.max(axis=0)).sum())
        if constant:
            facts.append(f"{constant:,} of {carrier.d:,} features are constant, and say nothing.")
    else:
        facts.append(f"Sparse: {X.nnz / max(1, X.shape[0] * X.shape[1]):.2%} of the values are not 0.")
        empty = int((np.diff(X.indptr) == 0).sum())
        if empty:
            facts.append(f"{empty:,} items have no values at all; cosine distances are not defined for them.")
    return facts


def _facts_of_similarities(carrier: Similarities | Graph) -> tuple[list[str], float]:
    """Say what the similarities are: range, zeros, parts, and how far from a kernel."""
    pairs, n = carrier.pairs, carrier.n
    low, high = pairs.extremes(carrier.ids, "similarity")
    facts = [f"Values from {low:.4g} to {high:.4g}."]
    if isinstance(carrier, Graph):
        facts.append(f"{len(pairs.values):,} edges, {2 * len(pairs.values) / n:.1f} an item.")
    if low < 0:
        facts.append("Some are negative: spectral clustering needs to be told what that means (negative='clip' or 'shift').")
    if isinstance(carrier, Graph) or n <= WHOLE:
        A = read_affinity(matrix_of(carrier), "clip", carrier.ids)
        alone = np.flatnonzero(A.part < 0)
        if len(alone):
            names = ", ".join(carrier.ids[i] if carrier.ids else str(i) for i in alone[:3].tolist())
            facts.append(f"{len(alone):,} items are similar to no other ({names}{', …' if len(alone) > 3 else ''}).")
        if A.parts > 1:
            facts.append(f"It falls into {A.parts:,} parts that no similarity joins: these are clusters already.")
    mercer = negative_share(pairs, high)
    facts.append("A kernel: no negative eigenvalues." if mercer < NOISE else
                 f"Not a kernel: negative eigenvalues make up {_percent(mercer)} of all.")
    return facts, mercer


def _facts_of_roads(carrier: Graph) -> list[str]:
    """Say how many edges there are, and into how many parts they fall."""
    from scipy.sparse.csgraph import connected_components

    m = len(carrier.pairs.values)
    parts = int(connected_components(carrier.adjacency, directed=False)[0])
    return [f"{m:,} edges, {2 * m / carrier.n:.1f} an item; their weights are distances.",
            f"It falls into {parts:,} parts without a path between them." if parts > 1 else "Every item is within reach."]


def _ways_of_points(carrier: Points) -> list[Way]:
    n, d, dense = carrier.n, carrier.d, isinstance(carrier.X, np.ndarray)
    euclidean = carrier.metric.name in ("euclidean", "sqeuclidean")
    ways = []
    if euclidean:
        ways += [_tree(carrier, "ward", SOUND, "Round groups of like size, at every level; suggest_cuts says where to cut.",
                       "shoal.linkage(data)"),
                 Way("k-means", "shoal.KMeans(k).fit(data)", SOUND, "Round groups of like spread, k known; learns on, "
                     "places new items.", 24 * n + 16.0 * d, 2e-9 * n * d * 8 * 30)]
        ways += [_tree(carrier, "single", CARE, "Finds any shape, and joins groups that a thin bridge connects.")]
    ways.append(_tree(carrier, "average", SOUND, "Any metric; groups of different spread."))
    if not dense or carrier.metric.name == "cosine":
        ways.append(Way("spherical k-means", "shoal.KMeans(k, metric='cosine').fit(data)", SOUND,
                        "Directions, as of texts and embeddings.", 24.0 * n,
                        9e-7 * (n * d if dense else carrier.X.nnz)))
    ways.append(Way("medoids", "shoal.KMedoids(k, metric=...).fit(data)", SOUND,
                    "Any metric; every cluster is stood for by one of the items.", 4.0 * n * n, n * n * (2e-10 * d + 1e-8)))
    ways.append(Way("spectral", "shoal.Spectral(k, affinity='neighbors').fit(data)", SOUND,
                    "Groups of any shape, k known or by the largest gap.", 500.0 * n, 1e-5 * n + 2e-7 * n * max(10, d)))
    return ways


def _tree(carrier: Carrier, method: str, verdict: str, why: str, call: str | None = None) -> Way:
    found = plan(carrier, method=method)
    if not found.fits:
        verdict, why = WRONG, "It does not fit in memory here. " + why
    return Way(f"{method} linkage", call or f"shoal.linkage(data, {method!r})", verdict, why, found.bytes, found.seconds)


def _ways_of_distances(carrier: Carrier, g: Geometry) -> list[Way]:
    """Trees and medoids take any distances; what works with means needs those of points."""
    n, share = carrier.n, _percent(g.negative)
    close = g.negative < LITTLE
    return [
        _tree(carrier, "average", SOUND, "Takes any distances as they are."),
        _tree(carrier, "complete", SOUND, "Takes any distances; clusters of a limited diameter."),
        _tree(carrier, "single", CARE, "Takes any distances; a thin bridge joins groups."),
        _tree(carrier, "ward", SOUND if close else CARE, "Its sums of squares are those of points with these distances" + (
            "." if close else f", and there are none: {share} of the eigenvalues are negative.")),
        Way("medoids", "shoal.KMedoids(k, metric='precomputed').fit(data)", SOUND,
            "Takes any distances; every cluster is stood for by one of the items.", 16.0 * n, 1e-8 * n * n),
        Way("spectral", "shoal.Spectral(k, affinity='gaussian').fit(data)", SOUND,
            "Similarities are made of the distances by a Gaussian of each item's own scale.", 4.0 * n * n, 2e-8 * n * n),
        Way("MDS, then k-means", "shoal.MDS(10).fit_transform(data)", SOUND if close else CARE, "Coordinates first; " + (
            "nothing is lost with enough of them." if close else
            f"{share} of the eigenvalues have none. Look at stress_ before clustering."), 16.0 * n * n, 1e-7 * n * n),
        _layouts(),
    ]


def _ways_of_similarities(carrier: Similarities | Graph, mercer: float, g: Geometry | None) -> list[Way]:
    n, stored = carrier.n, carrier.pairs.stored is not None
    negative = carrier.pairs.extremes(carrier.ids, "similarity")[0] < 0
    entries = 2.0 * len(carrier.pairs.values) if stored else float(n) * n
    ways = [
        Way("spectral", "shoal.Spectral(k" + (", negative='clip'" if negative else "") + ").fit(data)",
            CARE if negative else SOUND, "Made for similarities: cuts where they are few." + (
                " The negative ones count as 0 then." if negative else ""), 16.0 * entries, 2e-8 * entries + 1e-5 * n),
        Way("kernel k-means", "shoal.KernelKMeans(k).fit(data)", SOUND if mercer < LITTLE else CARE,
            "The similarities are the products of some points." if mercer < NOISE else
            f"The similarities are no kernel: {_percent(mercer)} of the eigenvalues are negative; it is made one, and says "
            "how.", 8.0 * n * n, 5e-8 * n * n),
        _layouts(),
    ]
    if g is not None:
        ways += [_tree(carrier, "average", SOUND, f"On the distances the rule {_named(carrier.rule)} makes of them."),
                 Way("medoids", "shoal.KMedoids(k, metric='precomputed').fit(data)", SOUND, "On the same distances; every "
                     "cluster is stood for by one of the items.", 8.0 * n * n, 1e-8 * n * n)]
    return ways


def _ways_of_roads(carrier: Graph) -> list[Way]:
    """A graph of lengths: along its edges, or by shortest paths."""
    ways = [_tree(carrier, "single", SOUND, "The edges alone make it: a spanning tree.")]
    if carrier.missing is not None:
        ways += [_tree(carrier, "average", SOUND, "On the lengths of shortest paths."), _layouts()]
    return ways


def _layouts() -> Way:
    return Way("spring layout, then k-means", "-", WRONG, "A layout is drawn to be looked at: it moves with its seed, and "
               "the clusters with it, and a new item has no place in it.")


def _named(rule: Any) -> str:
    return repr(rule) if isinstance(rule, str) else getattr(rule, "__name__", "given")


def _sorted(ways: list[Way]) -> tuple[Way, ...]:
    return tuple(sorted(ways, key=lambda way: (SOUND, CARE, WRONG).index(way.verdict)))


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.0005 else "under 0.1%"


def _spoken(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"about {seconds / size:.0f} {unit}"
    return f"about {seconds:.0f} s" if seconds >= 1.5 else "a second"
