"""Items in the plane: two principal components of their features, or coordinates that follow their distances."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError

__all__ = ["components", "mds", "sparse_components"]

Floats = NDArray[np.float64]

MOST_EXACT = 2000  # items whose distances are all used: 32 MB, and 0.4 s for two eigenvectors
LANDMARKS = 500  # of more items: the others are placed by their distances to these
BLOCK = 1 << 21  # distances at a time: 16 MB


def mds(distances: Any, n: int | None = None) -> Floats:
    """Place items in the plane so that their Euclidean distances follow given ones: classical scaling.

    Parameters
    ----------
    distances : array-like, shape (n, n), or callable
        Symmetric distances; or ``distances(items)``, the distances of some items to all n, shape (len(items), n).
    n : int, optional
        Number of items; needed with a callable.

    Returns
    -------
    ndarray, shape (n, 2)
        Coordinates, centred at the items used. The axis of the larger spread comes first; on each the coordinate of the
        largest size is positive.

    Raises
    ------
    InputError
        When the array is not square, or a distance is not finite.

    Notes
    -----
    O(n²) distances for up to 2,000 items. Of more, 500 drawn with a fixed seed are scaled and the others placed by their
    distances to these: O(500·n), in blocks. For looking at only: two dimensions rarely keep all distances.

    Sources: Torgerson 1952, doi:10.1007/BF02288916; de Silva & Tenenbaum 2004 (landmarks).

    Examples
    --------
    >>> import numpy as np
    >>> from shoal.plot.plane import mds
    >>> np.abs(np.diff(mds([[0, 2], [2, 0]]), axis=0)).round(9).tolist()
    [[2.0, 0.0]]
    """
    if callable(distances):
        rows, count = distances, int(n or 0)
    else:
        D = np.asarray(distances, np.float64)
        if D.ndim != 2 or D.shape[0] != D.shape[1]:
            raise InputError(f"Coordinates follow a square matrix of distances; given was shape {D.shape}.")
        rows, count = D.__getitem__, len(D)
    everyone = np.arange(count)
    marks = everyone if count <= MOST_EXACT else np.sort(np.random.default_rng(0).choice(count, LANDMARKS, replace=False))
    S = np.square(np.asarray(rows(marks), np.float64)[:, marks])
    if not np.isfinite(S).all():
        raise InputError("Coordinates follow finite distances, and some of these are not.")
    mean = S.mean(axis=0)
    axes = _axes((mean + mean[:, None] - S - mean.mean()) / 2)
    flat = np.zeros((count, 2))
    step = max(1, BLOCK // max(1, count))
    for start in range(0, len(marks), step):  # Σ over landmarks of -(d² - their mean) / 2 along the axes
        some = slice(start, start + step)
        flat -= (np.square(rows(marks[some])) - mean[some, None]).T @ axes[some] / 2
    flat *= np.where(flat[np.abs(flat).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)
    return flat


def _axes(gram: Floats) -> Floats:
    """Return the first two eigenvectors divided by the roots of their eigenvalues; 0 where these are not above 0."""
    from scipy.linalg import eigh

    count = len(gram)
    values, vectors = eigh(gram, subset_by_index=[max(0, count - 2), count - 1])
    spread = values > 1e-12 * max(float(np.abs(gram).max(initial=0.0)), 1e-300)
    axes = np.where(spread, vectors / np.sqrt(np.where(spread, values, 1.0)), 0.0)[:, ::-1]
    return np.pad(axes, ((0, 0), (0, 2 - axes.shape[1])))


def components(points: Floats) -> tuple[Floats, Floats]:
    """Return the scores on the first two principal components, and the shares of the variance they have."""
    centred = points - points.mean(axis=0)
    # The triangle of a QR step has the same right vectors and is small where there are many items.
    values, rows = np.linalg.svd(np.linalg.qr(centred, mode="r"), full_matrices=False)[1:]
    variances = np.square(values, dtype=np.float64)
    return _signed(centred @ rows[:2].T, rows[:2].T), _shares(variances, float(variances.sum()))


def sparse_components(points: Any) -> tuple[Floats, Floats]:
    """Return the same for sparse rows, centred without storing it."""
    from scipy.sparse.linalg import LinearOperator, svds

    n, d = points.shape
    if min(n, d) <= 3:  # svds finds fewer than min(n, d) vectors; so few rows or columns are small when dense
        return components(np.asarray(points.toarray(), np.float64))
    mean = np.asarray(points.mean(axis=0), np.float64).ravel()
    square = float(points.multiply(points).sum())
    total = square - n * float(mean @ mean)
    if total <= 1e-12 * square:  # all rows alike: nothing but rounding is left, on which the iteration would fail
        return np.zeros((n, 2)), np.zeros(2)
    centred = LinearOperator(
        (n, d), dtype=np.float64, matvec=lambda v: points @ v.ravel() - mean @ v.ravel(),
        rmatvec=lambda u: points.T @ u.ravel() - mean * u.sum(),
    )
    start = np.random.default_rng(0).normal(size=min(n, d))
    _, values, rows = svds(centred, k=2, v0=start)
    falling = np.argsort(-values)
    axes = rows[falling].T
    return _signed(points @ axes - mean @ axes, axes), _shares(np.square(values[falling], dtype=np.float64), total)


def _signed(scores: Floats, axes: Floats) -> Floats:
    """Turn every axis so that its largest loading is positive; fill up to two axes."""
    largest = axes[np.argmax(np.abs(axes), axis=0), np.arange(axes.shape[1])]
    signed = scores * np.where(largest < 0, -1.0, 1.0)
    return np.pad(signed, ((0, 0), (0, 2 - signed.shape[1])))


def _shares(values: Floats, total: float) -> Floats:
    """Return the first two values as shares of the total; 0 where there is no variance at all."""
    first = np.pad(values[:2], (0, max(0, 2 - len(values))))
    return first / total if total > 0 else np.zeros(2)
