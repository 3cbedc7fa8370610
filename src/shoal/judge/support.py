"""Support of a tree's clusters: how often they come back when features are drawn anew (multiscale bootstrap).

For every scale r, r·d features are drawn with replacement, the tree is built again, and it is counted how often each
cluster of the tree is a cluster there. The counts at all scales give, by Φ⁻¹(1 - BP_r) = v·√r + c/√r, a signed distance v
and a curvature c, and with them two numbers: BP = Φ(-v - c), the plain share at scale 1, which is biased, and
AU = Φ(-v + c), which is unbiased to a higher order.

Sources: Shimodaira 2002, doi:10.1080/10635150290069913; Suzuki & Shimodaira 2006, doi:10.1093/bioinformatics/btl117.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.runtime import pool
from shoal.runtime.progress import Ticker
from shoal.trees.merges import Floats, Ints, Merges

__all__ = ["SCALES", "Support", "bootstrap", "fit_support", "keys_of_nodes"]

SCALES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4)


class Support(NamedTuple):
    """Support of every merge's cluster, in the order of the merges; shape (n - 1,) each.

    Attributes
    ----------
    au : ndarray
        Approximately unbiased probability, 0 … 1. By custom a cluster with more than 0.95 counts as supported.
    bp : ndarray
        Bootstrap probability at scale 1, from the fit over all scales.
    error : ndarray
        Standard error of `au` from the number of draws.
    """

    au: Floats
    bp: Floats
    error: Floats


def keys_of_nodes(merges: Merges, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a key of every merge's set of items, shape (n - 1,): the sum of its items' random keys.

    Two different sets have equal keys with probability 2⁻⁶⁴.
    """
    known = keys.tolist()
    for a, b in zip(merges.left.tolist(), merges.right.tolist(), strict=True):
        known.append((known[a] + known[b]) & 0xFFFFFFFFFFFFFFFF)
    return np.array(known[merges.n:], np.uint64)


def bootstrap(merges: Merges, d: int, rebuild: Callable[[Ints], Merges], replicates: int = 1000,
              scales: Sequence[float] = SCALES, seed: int = 0, ticker: Ticker | None = None) -> Support:
    """Judge every cluster of a tree by drawing its features anew.

    Parameters
    ----------
    merges : Merges
        The tree.
    d : int
        Number of features.
    rebuild : callable
        ``rebuild(columns)`` builds the tree of those features.
    replicates : int
        Trees at every scale.
    scales : sequence of float
        Shares of d that are drawn; numbers of features that round to the same are counted together.
    seed : int
        Every scale and draw has a generator of its own, so that results do not depend on threads.

    Notes
    -----
    len(scales)·replicates trees.
    """
    keys = np.random.default_rng(seed).integers(0, 2**64, merges.n, np.uint64)
    wanted = keys_of_nodes(merges, keys)
    by = np.argsort(wanted)
    known = wanted[by]
    drawn = np.maximum(1, np.rint(np.asarray(scales) * d)).astype(np.int64)
    counts, lock = np.zeros((len(drawn), merges.n - 1), np.int64), threading.Lock()

    def work(scale: int, replicate: int) -> None:
        rng = np.random.default_rng([seed, scale, replicate])
        again = keys_of_nodes(rebuild(rng.integers(0, d, drawn[scale])), keys)
        at = np.minimum(np.searchsorted(known, again), len(known) - 1)
        with lock:
            counts[scale, by[at[known[at] == again]]] += 1

    pool.run(work, [(scale, replicate) for scale in range(len(drawn)) for replicate in range(replicates)], ticker)
    return fit_support(drawn / d, counts, replicates)


def fit_support(scales: Floats, counts: Ints, replicates: int) -> Support:
    """Fit v and c of every cluster to its counts at all scales by weighted least squares.

    Parameters
    ----------
    scales : ndarray, shape (s,)
        Share of the features drawn.
    counts : ndarray of int, shape (s, m)
        How often each of m clusters came back.
    replicates : int
        Of how many trees, at every scale.

    Notes
    -----
    Shares of 0 and 1 have no finite quantile, and say only that it is large: they do not enter the fit. A cluster with
    fewer than two shares between is given its share over all scales.
    """
    from scipy.special import ndtr, ndtri

    share = counts / replicates
    inside = (counts > 0) & (counts < replicates)
    safe = np.where(inside, share, 0.5)
    z = -ndtri(safe)
    density = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    weight = np.where(inside, density**2 * replicates / (safe * (1.0 - safe)), 0.0)  # 1 / variance of z
    along, across = np.sqrt(scales)[:, None], 1.0 / np.sqrt(scales)[:, None]
    aa, ab, bb = (weight * along * along).sum(0), weight.sum(0), (weight * across * across).sum(0)
    az, bz = (weight * along * z).sum(0), (weight * across * z).sum(0)
    determinant = aa * bb - ab * ab
    fitted = determinant > 1e-9 * aa * bb
    safe_determinant = np.where(fitted, determinant, 1.0)
    v, c = (bb * az - ab * bz) / safe_determinant, (aa * bz - ab * az) / safe_determinant
    variance = (aa + bb + 2.0 * ab) / safe_determinant  # of v - c: var v + var c - 2·cov, and cov = -ab / determinant
    plain = share.mean(axis=0)
    spread = np.exp(-0.5 * (v - c) ** 2) / np.sqrt(2.0 * np.pi)
    error = np.where(fitted, spread * np.sqrt(variance), np.sqrt(plain * (1.0 - plain) / replicates / len(scales)))
    return Support(np.where(fitted, ndtr(c - v), plain), np.where(fitted, ndtr(-v - c), plain), error)
