"""Sets of points for judging rules that choose a cut: planted groups, and data without any.

Every generator takes a random generator and returns points and labels. A null set has one label. Seeds below 1,000 are
for tuning a rule; figures that are published come from seeds of 10,000 and above, which no rule has seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Array = np.ndarray
Rng = np.random.Generator


class Set(NamedTuple):
    """Points, their true groups, and for groups of groups the coarser truth as well."""

    name: str
    X: Array
    labels: Array
    coarse: Array | None = None


def spread_centres(rng: Rng, k: int, d: int, least: float) -> Array:
    """Random centres whose closest two are `least` apart."""
    centres = rng.normal(size=(k, d))
    for _ in range(50):
        between = np.linalg.norm(centres[:, None] - centres[None], axis=2) + 9e9 * np.eye(k)
        if between.min() * 3 > np.median(between[between < 1e9]) or d < 2:
            break
        i = np.unravel_index(between.argmin(), between.shape)[0]
        centres[i] = rng.normal(size=d)
    if d == 1:
        centres = np.cumsum(rng.uniform(1, 2, (k, 1)), axis=0)
    between = np.linalg.norm(centres[:, None] - centres[None], axis=2) + 9e9 * np.eye(k)
    return centres * (least / between.min())


def blobs(rng: Rng, k: int, d: int, apart: float, sizes: Array, sigma: Array | None = None) -> tuple[Array, Array]:
    """Gaussian groups, the closest two centres `apart` standard deviations from one another."""
    scale = np.ones(k) if sigma is None else sigma
    centres = spread_centres(rng, k, d, apart * float(np.sort(scale)[-2:].mean()))
    X = np.concatenate([rng.normal(c, s, (m, d)) for c, s, m in zip(centres, scale, sizes, strict=True)])
    return X, np.repeat(np.arange(k), sizes)


def dims(rng: Rng) -> int:
    return int(rng.choice([2, 3, 5, 10, 20, 50]))


def even(rng: Rng, apart: float) -> tuple[Array, Array]:
    k = int(rng.integers(2, 11))
    return blobs(rng, k, dims(rng), apart, np.full(k, int(rng.choice([15, 30, 60, 100]))))


def uneven(rng: Rng) -> tuple[Array, Array]:
    """Sizes up to 1:20."""
    k = int(rng.integers(2, 9))
    sizes = np.round(10 * 20 ** rng.uniform(0, 1, k)).astype(int)
    sizes[:2] = 10, 200
    return blobs(rng, k, dims(rng), float(rng.choice([6, 8, 12])), sizes)


def unlike(rng: Rng) -> tuple[Array, Array]:
    """Standard deviations up to 1:4."""
    k = int(rng.integers(2, 8))
    sigma = np.concatenate([[1.0, 4.0], rng.uniform(1, 4, k)])[:k]
    return blobs(rng, k, dims(rng), float(rng.choice([6, 8, 12])), rng.integers(20, 100, k), sigma)


def small(rng: Rng) -> tuple[Array, Array]:
    """Few items: 8 to 14 in a group."""
    k = int(rng.integers(2, 5))
    return blobs(rng, k, int(rng.choice([2, 3, 5])), float(rng.choice([6, 8, 12])), rng.integers(8, 15, k))


def large(rng: Rng) -> tuple[Array, Array]:
    """Some 2,000 items."""
    k = int(rng.integers(2, 11))
    return blobs(rng, k, dims(rng), float(rng.choice([5, 7, 10])), np.full(k, 2000 // k))


def correlated(rng: Rng) -> tuple[Array, Array]:
    """Groups that are ellipses of different directions."""
    k, d = int(rng.integers(2, 7)), int(rng.choice([2, 3, 5, 10]))
    centres = spread_centres(rng, k, d, float(rng.choice([7, 9, 12])))
    parts, sizes = [], rng.integers(30, 120, k)
    for c, m in zip(centres, sizes, strict=True):
        turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
        parts.append(c + rng.normal(size=(m, d)) * rng.uniform(0.4, 1.6, d) @ turn)
    return np.concatenate(parts), np.repeat(np.arange(k), sizes)


def nested(rng: Rng) -> tuple[Array, Array, Array]:
    """Groups of groups."""
    outer, d, each = int(rng.integers(2, 4)), int(rng.choice([2, 3, 5, 10])), int(rng.choice([25, 50]))
    inner = rng.integers(2, 4, outer)
    far = spread_centres(rng, outer, d, 40.0)
    parts = [far[o] + blobs(rng, int(inner[o]), d, float(rng.uniform(6, 9)), np.full(inner[o], each))[0]
             for o in range(outer)]
    return np.concatenate(parts), np.repeat(np.arange(inner.sum()), each), np.repeat(np.arange(outer), inner * each)


def sticks(rng: Rng) -> tuple[Array, Array]:
    """Parallel sticks, side by side."""
    k, each, d = int(rng.integers(2, 5)), int(rng.choice([40, 80, 150])), int(rng.choice([2, 3]))
    long = rng.uniform(3, 8)
    X = rng.normal(size=(k * each, d)) * 0.5
    labels = np.repeat(np.arange(k), each)
    X[:, 0] += rng.uniform(0, long, k * each)
    X[:, 1] += labels * float(rng.choice([4.0, 6.0, 8.0]))
    return X, labels


def moons(rng: Rng) -> tuple[Array, Array]:
    """Two half circles that reach into one another."""
    each = int(rng.choice([80, 150, 300]))
    t = rng.uniform(0, np.pi, (2, each))
    X = np.concatenate([np.c_[np.cos(t[0]), np.sin(t[0])], np.c_[1 - np.cos(t[1]), 0.5 - np.sin(t[1])]])
    return X + rng.normal(0, float(rng.choice([0.03, 0.05, 0.07])), X.shape), np.repeat([0, 1], each)


def rings(rng: Rng) -> tuple[Array, Array]:
    """Rings around one centre."""
    k, each = int(rng.integers(2, 4)), int(rng.choice([60, 120]))
    labels = np.repeat(np.arange(k), each * np.arange(1, k + 1))
    t = rng.uniform(0, 2 * np.pi, len(labels))
    radius = (1 + labels) + rng.normal(0, 0.06, len(labels))
    return np.c_[radius * np.cos(t), radius * np.sin(t)], labels


def tutorial(rng: Rng) -> tuple[Array, Array]:
    """The set of a well-known tutorial on dendrograms: two groups and three more; the elbow says 4, and there are 5."""
    shape = np.array([[3.0, 1.0], [1.0, 4.0]])
    parts = [rng.multivariate_normal([10, 0], shape, 100), rng.multivariate_normal([0, 20], shape, 50)]
    for centre, (a, b) in (((40, 40), (20, 30)), ((80, 80), (30, 30)), ((0, 100), (100, 100))):
        parts.append(rng.multivariate_normal(centre, np.diag([float(a), float(b)]), 200))
    return np.concatenate(parts), np.repeat(np.arange(5), [len(p) for p in parts])


def _size(rng: Rng) -> tuple[int, int]:
    return round(30 * (2000 / 30) ** rng.uniform()), dims(rng)


def gauss(rng: Rng) -> Array:
    return rng.normal(size=_size(rng))


def ellipse(rng: Rng) -> Array:
    n, d = _size(rng)
    return rng.normal(size=(n, d)) * np.geomspace(1, 10, d)


def skewed(rng: Rng) -> Array:
    """A Gaussian of random covariance."""
    n, d = _size(rng)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d))


def cube(rng: Rng) -> Array:
    return rng.uniform(size=_size(rng))


def ball(rng: Rng) -> Array:
    n, d = _size(rng)
    X = rng.normal(size=(n, d))
    return X / np.linalg.norm(X, axis=1, keepdims=True) * rng.uniform(size=(n, 1)) ** (1 / d)


def sphere(rng: Rng) -> Array:
    """The surface of a ball, of at least 3 dimensions."""
    n, d = _size(rng)
    X = rng.normal(size=(n, max(d, 3)))
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def exponential(rng: Rng) -> Array:
    return rng.exponential(size=_size(rng))


def student(rng: Rng) -> Array:
    """Multivariate t with 3 degrees of freedom."""
    n, d = _size(rng)
    return rng.normal(size=(n, d)) / np.sqrt(rng.chisquare(3, (n, 1)) / 3)


def student_axes(rng: Rng) -> Array:
    """t with 3 degrees of freedom along every axis on its own."""
    return rng.standard_t(3, _size(rng))


def heavy(rng: Rng) -> Array:
    """Multivariate t with 1.5 degrees of freedom: tails nearly as heavy as Cauchy's."""
    n, d = _size(rng)
    return rng.normal(size=(n, d)) / np.sqrt(rng.chisquare(1.5, (n, 1)) / 1.5)


CLUSTERED: dict[str, Callable[[Rng], tuple[Array, ...]]] = {
    "even, clear": lambda r: even(r, 10.0), "even, apart": lambda r: even(r, 7.0), "even, near": lambda r: even(r, 5.5),
    "even, touching": lambda r: even(r, 4.5), "uneven": uneven, "unlike": unlike, "small": small, "large": large,
    "correlated": correlated, "nested": nested, "sticks": sticks, "moons": moons, "rings": rings, "tutorial": tutorial}
NULL: dict[str, Callable[[Rng], Array]] = {
    f.__name__: f for f in (gauss, ellipse, skewed, cube, ball, sphere, exponential, student, student_axes, heavy)}


def make(name: str, seed: int) -> Set:
    """The set of this name and seed."""
    rng = np.random.default_rng([sum(map(ord, name)), seed])
    if name in NULL:
        X = NULL[name](rng)
        return Set(name, X, np.zeros(len(X), int))
    return Set(name, *CLUSTERED[name](rng))


def real() -> list[Set]:
    """Labelled sets that come with scikit-learn, standardised; their labels are classes, not always clusters."""
    from sklearn import datasets
    from sklearn.preprocessing import StandardScaler

    found = []
    for name in ("iris", "wine", "breast_cancer", "digits"):
        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        found.append(Set(name, X if name in ("iris", "digits") else StandardScaler().fit_transform(X), y))
    return found
