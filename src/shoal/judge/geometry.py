"""What distances and similarities are: a metric, an ultrametric, Euclidean, a kernel, and how far from it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.data.carriers import Carrier
from shoal.data.pairs import Pairs
from shoal.data.rows import pair_rows, rows_of

__all__ = ["NOISE", "Geometry", "measure", "negative_share"]

SAMPLE = 800  # items that eigenvalues and triples are looked at for: 0.3 s
TRIPLES = 200_000
NOISE = 1e-9  # relative: what rounding may do to a distance


class Geometry(NamedTuple):
    """What the distances of some items say.

    Attributes
    ----------
    items : int
        How many items were looked at.
    zero : float
        Share of pairs at distance 0.
    triangle : float
        Share of triples in which one distance is longer than the other two together; 0 for a metric.
    ultrametric : float
        Share of triples whose two longest distances are equal, as in a tree; 1 for an ultrametric.
    negative : float
        What the negative eigenvalues of the doubly centred squared distances sum to, as a share of all; 0 for Euclidean
        distances.
    plane : float
        Share of the positive eigenvalues that the two largest have: how much a picture in the plane can show.
    """

    items: int
    zero: float
    triangle: float
    ultrametric: float
    negative: float
    plane: float


def measure(carrier: Carrier, sample: int = SAMPLE) -> Geometry:
    """Look at the distances of up to `sample` items: triangles, ultrametric triples, eigenvalues; O(sample³)."""
    rng = np.random.default_rng(0)
    some = np.sort(rng.permutation(carrier.n)[:sample])
    D = rows_of(carrier)(some)[:, some]
    D = (D + D.T) / 2
    m = len(D)
    off = D[np.triu_indices(m, 1)]
    triple = rng.integers(m, size=(3, TRIPLES))
    triple = triple[:, (triple[0] != triple[1]) & (triple[0] != triple[2]) & (triple[1] != triple[2])]
    sides = np.sort(np.stack([D[triple[0], triple[1]], D[triple[0], triple[2]], D[triple[1], triple[2]]]), axis=0)
    scale = float(off.max(initial=0.0)) or 1.0
    longer = sides[2] > (sides[0] + sides[1]) * (1 + NOISE)
    equal = sides[2] - sides[1] <= 1e-6 * scale
    squares = (D / scale) ** 2
    centred = -0.5 * (squares - squares.mean(axis=0) - squares.mean(axis=1)[:, None] + squares.mean())
    values = np.linalg.eigvalsh(centred)
    positive, negative = values[values > 0], -values[values < -1e-10 * max(float(values.max(initial=0.0)), 1e-300)]
    total = float(positive.sum() + negative.sum()) or 1.0
    return Geometry(m, float((off == 0).mean()) if len(off) else 0.0, _share(longer), _share(equal),
                    float(negative.sum()) / total, float(positive[-2:].sum()) / (float(positive.sum()) or 1.0))


def _share(found: NDArray[np.bool_]) -> float:
    return float(found.mean()) if found.size else 0.0


def negative_share(pairs: Pairs, top: float) -> float:
    """Return what the negative eigenvalues of similarities sum to, as a share of all; 0 for a kernel.

    Of up to 800 items; the diagonal as it was given, else `top`, the largest value.
    """
    some = np.sort(np.random.default_rng(0).permutation(pairs.n)[:SAMPLE])
    S = pair_rows(pairs, some)[:, some]
    S = (S + S.T) / 2
    np.fill_diagonal(S, pairs.diagonal.value if pairs.diagonal.given else max(top, 0.0))
    values = np.linalg.eigvalsh(S / (float(np.abs(S).max()) or 1.0))
    negative = -values[values < -1e-10 * max(float(values.max()), 1e-300)]
    return float(negative.sum()) / (float(np.abs(values).sum()) or 1.0)
