"""How far two clusterings of the same items agree."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["adjusted_rand"]

Ints = NDArray[np.integer[Any]]


def adjusted_rand(a: Ints, b: Ints) -> float:
    """Return the adjusted Rand index of two labellings: 1 where they are the same, 0 on average where they are unrelated.

    Parameters
    ----------
    a, b : ndarray of int, shape (n,)
        Labels; -1, noise, is a label like any other.

    Notes
    -----
    O(n log n). Two labellings of one cluster, or of items all alone, agree. Source: Hubert & Arabie 1985,
    doi:10.1007/BF01908075, eq. 5.

    Examples
    --------
    >>> import numpy as np
    >>> adjusted_rand(np.array([0, 0, 1, 1]), np.array([5, 5, 2, 2]))
    1.0
    """
    rows, columns = (np.unique(labels, return_inverse=True)[1] for labels in (a, b))
    cells = np.unique(rows * (int(columns.max(initial=0)) + 1) + columns, return_counts=True)[1]
    together, first, second, every = (float((counts * (counts - 1.0)).sum()) / 2.0 for counts in (
        cells, np.bincount(rows), np.bincount(columns), np.array([len(rows)])))
    expected = first * second / every if every else 0.0
    most = (first + second) / 2.0
    return 1.0 if most == expected else (together - expected) / (most - expected)
