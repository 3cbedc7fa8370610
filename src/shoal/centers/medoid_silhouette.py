"""Medoids that are best by the medoid silhouette, for one number of clusters and for all up to a largest one.

The medoid silhouette of an item is 1 - d₁/d₂, with the distances to its nearest and its second nearest medoid. Source:
Lenssen and Schubert 2024, "Medoid silhouette clustering with automatic cluster number selection",
doi:10.1016/j.is.2023.102290 (arXiv 2309.03751).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.centers.medoid_tables import Matrix, table_of
from shoal.centers.medoids import Descent, Fit, checked, finish, plain_seconds, starts
from shoal.centers.medoids_kernels import silhouette_changes
from shoal.data.records import Carrier
from shoal.errors import InputError, is_whole
from shoal.runtime.kernel import plain_if_cheap
from shoal.runtime.progress import Ticker

__all__ = ["Curve", "SilhouetteDescent", "dynmsc", "fastmsc"]

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

CACHE = 1 << 17  # sums kept by a task, one a medoid and candidate: 1 MB


class Curve(NamedTuple):
    """The best medoids found for every number of clusters.

    Attributes
    ----------
    k : ndarray of int64
        2, 3, …
    silhouette : ndarray
        Mean medoid silhouette for each of them.
    fits : tuple of Fit
        Medoids and labels for each of them.
    """

    k: NDArray[np.int64]
    silhouette: Floats
    fits: tuple[Fit, ...]

    @property
    def best(self) -> Fit:
        """The medoids with the highest silhouette; of equals the fewest."""
        return self.fits[int(np.argmax(self.silhouette))]


class SilhouetteDescent(Descent):
    """The search of `Descent` for the least Σ w·d₁/d₂, which is the highest mean medoid silhouette."""

    depth = 3
    rounding = 8.0  # terms of both signs, at most w each

    @property
    def lanes(self) -> int:
        """Candidates a task looks at: their sums for all medoids stay in the second-level cache."""
        return min(self.table.lanes, max(16, CACHE // self.k))

    @property
    def silhouette(self) -> float:
        """Mean medoid silhouette."""
        return 1.0 - float((self.weights * _ratio(self.dist[0], self.dist[1])).sum() / self.weights.sum())

    def drop(self) -> None:
        """Take out the medoid that is missed least."""
        nearest, second, third = self.dist
        now = _ratio(nearest, second)
        loss = np.bincount(self.near[0], self.weights * (_ratio(second, third) - now), self.k)
        loss += np.bincount(self.near[1], self.weights * (_ratio(nearest, third) - now), self.k)
        j = int(np.argmin(loss))
        self.medoids, self.to = np.delete(self.medoids, j), np.delete(self.to, j, axis=1)
        self._look_up()

    def _settle(self) -> None:
        self._barred = self.weights == 0
        self._barred[self.medoids] = True
        self.scale = float(self.weights.sum())

    def _measure(self, V: Any, c0: int, change: Floats, slot: NDArray[np.int64]) -> None:
        silhouette_changes(V, c0, self.near, self.dist, self.weights, self.k, change, slot)


def fastmsc(data: Carrier | Matrix, k: int, rng: np.random.Generator, *, init: str | Ints = "build",
            weights: Floats | None = None, n_init: int = 1, max_iter: int = 100, ticker: Ticker | None = None) -> Curve:
    """Find k medoids with a high mean medoid silhouette, by eager exchanges until none raises it.

    Parameters
    ----------
    data, k, rng, init, weights, n_init, max_iter, ticker
        As for `shoal.centers.medoids.fasterpam`; k is at least 2.

    Returns
    -------
    Curve
        With one entry.

    Raises
    ------
    InputError
        When k is below 2, or fewer than k items have a weight above 0.

    Notes
    -----
    O(n²) a pass, as FasterPAM. An item on two medoids at once counts as 1.

    Source: Lenssen and Schubert 2024, FasterMSC.

    Examples
    --------
    >>> import numpy as np, shoal
    >>> found = fastmsc(shoal.points([[0.0], [1.0], [2.0], [8.0], [9.0]]), 2, np.random.default_rng(0))
    >>> found.best.medoids.tolist(), found.silhouette.round(3).tolist()
    ([1, 4], [0.921])
    """
    return _best_curve(data, k, k, rng, init, weights, n_init, max_iter, ticker)


def dynmsc(data: Carrier | Matrix, max_k: int, rng: np.random.Generator, *, init: str | Ints = "build",
           weights: Floats | None = None, n_init: int = 1, max_iter: int = 100, ticker: Ticker | None = None) -> Curve:
    """Find medoids for every number of clusters from `max_k` down to 2, each search beginning with what the last one found.

    Parameters
    ----------
    data, rng, init, weights, n_init, max_iter, ticker
        As for `shoal.centers.medoids.fasterpam`.
    max_k : int
        At least 2.

    Returns
    -------
    Curve
        Of the start whose highest silhouette is highest.

    Notes
    -----
    After each search the medoid that is missed least goes. Look at the whole curve: where no number of clusters stands out,
    2 is often the highest.

    Source: Lenssen and Schubert 2024, DynMSC.

    Examples
    --------
    >>> import numpy as np, shoal
    >>> groups = shoal.points([[0.0], [1.0], [2.0], [20.0], [21.0], [22.0], [40.0], [41.0], [42.0]])
    >>> found = dynmsc(groups, 4, np.random.default_rng(0))
    >>> found.k.tolist(), found.silhouette.round(2).tolist(), found.best.labels.tolist()
    ([2, 3, 4], [0.81, 0.97, 0.92], [0, 0, 0, 1, 1, 1, 2, 2, 2])
    """
    return _best_curve(data, 2, max_k, rng, init, weights, n_init, max_iter, ticker)


def _best_curve(data: Carrier | Matrix, least: int, most: int, rng: np.random.Generator, init: str | Ints,
                weights: Floats | None, n_init: int, max_iter: int, ticker: Ticker | None) -> Curve:
    weights = checked(data, most, weights)
    if not is_whole(most) or most < 2:
        raise InputError(f"The medoid silhouette compares the nearest medoid with the next; {most!r} were asked for.",
                         "Ask for 2 or more clusters.")
    best: Curve | None = None
    with plain_if_cheap(plain_seconds(data) * (most - least + 1)):
        table = table_of(data)
        for medoids in starts(table, most, rng, init, n_init, weights):
            found = _curve(SilhouetteDescent(table, medoids, weights), least, max_iter, ticker)
            if best is None or found.silhouette.max() > best.silhouette.max():
                best = found
    assert best is not None
    return best


def _curve(search: SilhouetteDescent, least: int, max_iter: int, ticker: Ticker | None) -> Curve:
    """Search, note, drop a medoid, down to `least` of them."""
    fits, values = [], []
    while True:
        swaps = search.swaps
        passes = search.run(max_iter, ticker)
        fits.append(finish(search.to, search.medoids, search.weights, passes, search.swaps - swaps))
        values.append(search.silhouette)
        if search.k == least:
            break
        search.drop()
    return Curve(np.arange(least, least + len(fits)), np.array(values[::-1]), tuple(fits[::-1]))


def _ratio(one: Floats, other: Floats) -> Floats:
    return one / (other + 1e-300)  # as in silhouette_changes
