"""Where k-means starts: centres as they are given, fixed coordinates, seeds, and when movement counts as none."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.centers.seeding import seed
from shoal.centers.update import settle
from shoal.data.checks import row_blocks
from shoal.errors import InputError

__all__ = ["INITS", "as_start", "read_fixed", "read_start", "seeds", "tolerance"]

Floats = NDArray[np.float64]

INITS = ("k-means++", "k-means||", "random")


def read_start(given: Any, k: int, d: int, metric: str, fixed: Floats | None) -> Floats:
    """Read centres to start from, with the fixed coordinates put in; under cosine of length 1."""
    centers = _read_centers(given, k, d, "initial centers")
    if np.isnan(centers).any():
        raise InputError("The initial centers hold NaN.", "Coordinates to hold go to fixed_centers.")
    one = np.ones(k)
    if metric == "cosine":
        centers = settle(centers, one, centers, None, metric)
    return centers if fixed is None else settle(centers, one, centers, fixed, metric)


def read_fixed(given: Any, k: int, d: int, metric: str) -> Floats | None:
    """Read fixed coordinates, NaN where free; None where all are."""
    if given is None:
        return None
    fixed = _read_centers(given, k, d, "fixed_centers")
    if metric == "cosine" and (longest := float(np.sqrt(np.nansum(fixed * fixed, axis=1)).max())) > 1 + 1e-9:
        raise InputError(f"Under cosine a centre has length 1; a row of fixed_centers has length {longest:.4g} already.",
                         "Divide whole rows by their length, and give of others the coordinates of a vector of length 1.")
    return None if np.isnan(fixed).all() else fixed


def _read_centers(given: Any, k: int, d: int, name: str) -> Floats:
    try:
        read = np.array(given.toarray() if hasattr(given, "toarray") else given, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"The {name} cannot be read as numbers: {error}.", "Give an array of shape (k, d).") from error
    if read.ndim != 2 or len(read) != k:
        raise InputError(f"The shape of the {name} {read.shape} does not match the number of clusters {k}.",
                         "Give one row for each cluster.")
    if read.shape[1] != d:
        raise InputError(f"The shape of the {name} {read.shape} does not match the number of features of the data {d}.",
                         "Give one column for each feature.")
    if np.isinf(read).any():
        raise InputError(f"The {name} hold infinity.", "Give finite numbers.")
    return read


def as_start(init: Any) -> Any:
    """Return an `init` as `seed` takes it: a callable of scikit-learn's kind is given a RandomState."""
    if not callable(init):
        return init
    return lambda X, k, rng: init(X, k, random_state=np.random.RandomState(rng.integers(2**32)))


def seeds(X: Any, k: int, rng: np.random.Generator, init: Any, weights: Floats | None, metric: str,
          fixed: Floats | None = None, *, may_lack: bool = True) -> Any:
    """Seed; where the data has fewer distinct items than k and that may be, return all of them."""
    try:
        return seed(X, k, rng, init=as_start(init), weights=weights, metric=metric, fixed=fixed).centers
    except InputError:
        distinct = _distinct(X)
        if distinct >= k or fixed is not None or not may_lack or callable(init):
            raise
    return seed(X, distinct, rng, init=init, weights=weights, metric=metric).centers


def _distinct(X: Any) -> int:
    """Number of different rows."""
    if isinstance(X, np.ndarray):
        return len(np.unique(X, axis=0))
    parts = zip(X.indptr[:-1].tolist(), X.indptr[1:].tolist(), strict=True)
    return len({(X.indices[p:q].tobytes(), X.data[p:q].tobytes()) for p, q in parts})


def tolerance(X: Any, tol: float) -> float:
    """Return the movement of the centres that counts as none: `tol` times the mean variance of the features."""
    if tol == 0.0:
        return 0.0
    n, d = X.shape
    if not isinstance(X, np.ndarray):
        mean = np.asarray(X.sum(axis=0, dtype=np.float64)) / n
        return float(tol * max(0.0, np.sum(X.data * X.data, dtype=np.float64) / n - mean @ mean) / d)
    mean, total = X.mean(axis=0, dtype=np.float64), 0.0
    for i0, i1 in row_blocks(n, d):
        apart = X[i0:i1] - mean
        total += float((apart * apart).sum())
    return float(tol * total / (n * d))
