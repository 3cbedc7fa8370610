"""The silhouette against scikit-learn and by the book."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
from shoal.judge import silhouette as judge
from shoal.judge.silhouette import (
    distance_sums,
    distance_sums_of,
    silhouette_of,
    silhouettes_of_unions,
    summarise,
    sums_of,
)
from strategies import points, square_distances


def by_the_book(D: Any, labels: Any, w: Any) -> list[float]:
    """Every item stands for w[i] equal ones; noise is left out."""
    n, found = len(D), []
    groups = sorted({c for c in labels if c >= 0})
    for i in range(n):
        if labels[i] < 0:
            found.append(math.nan)
            continue
        sums = {c: sum(w[j] * D[i][j] for j in range(n) if labels[j] == c) for c in groups}
        mass = {c: sum(w[j] for j in range(n) if labels[j] == c) for c in groups}
        own = labels[i]
        if mass[own] == 1:
            found.append(0.0)
            continue
        a = sums[own] / (mass[own] - 1)
        b = min(sums[c] / mass[c] for c in groups if c != own)
        found.append((b - a) / max(a, b) if max(a, b) > 0 else 0.0)
    return found


def values(D: Any, labels: Any, w: Any) -> Any:
    k = int(labels.max()) + 1
    sums = distance_sums(lambda items: D[items], np.arange(len(D)), labels, k, w)
    inside = labels >= 0
    mass = np.bincount(labels[inside], w[inside], minlength=k)
    return silhouette_of(sums, labels, mass, w)


@given(square_distances(min_n=4), st.integers(2, 4), st.data())
def test_is_what_the_book_says(D: Any, k: int, data: st.DataObject) -> None:
    n = len(D)
    labels = np.array(data.draw(st.permutations([*range(k), *data.draw(
        st.lists(st.integers(-1, k - 1), min_size=n - k, max_size=n - k))])))
    w = np.array(data.draw(st.lists(st.integers(1, 3), min_size=n, max_size=n)), float)
    np.testing.assert_allclose(values(D, labels, w), by_the_book(D, labels.tolist(), w), rtol=1e-9, atol=1e-12)


@given(points(min_n=5, max_n=20), st.integers(2, 4))
def test_is_sklearns(X: Any, k: int) -> None:
    from scipy.spatial.distance import pdist, squareform
    from sklearn.metrics import silhouette_samples, silhouette_score

    tree = shoal.linkage(X, "average")
    clusters = tree.cut(k=k)
    found = clusters.silhouette()
    top = squareform(pdist(X)).max()
    if top == 0:
        assert found.values.tolist() == [0.0] * len(X)
        return
    expected = silhouette_samples(squareform(pdist(X)), clusters.labels, metric="precomputed")
    np.testing.assert_allclose(found.values, expected, rtol=1e-7, atol=1e-7)
    assert found.mean == pytest.approx(float(silhouette_score(X, clusters.labels)), rel=1e-7, abs=1e-7)
    for c in range(k):
        assert found.by_cluster[c] == pytest.approx(expected[clusters.labels == c].mean(), rel=1e-7, abs=1e-7)


def test_weights_are_repeats() -> None:
    from sklearn.metrics import silhouette_samples

    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(30, 2)), rng.integers(1, 5, 30)
    clusters = shoal.linkage(X, "average", weights=w).cut(k=4)
    expected = silhouette_samples(np.repeat(X, w, axis=0), np.repeat(clusters.labels, w))
    found = clusters.silhouette()
    np.testing.assert_allclose(np.repeat(found.values, w), expected, rtol=1e-9, atol=1e-12)
    assert found.mean == pytest.approx(expected.mean(), rel=1e-9)
    by_cluster = [expected[np.repeat(clusters.labels, w) == c].mean() for c in range(4)]
    np.testing.assert_allclose(found.by_cluster, by_cluster, rtol=1e-9)


def test_one_cluster_has_none() -> None:
    found = shoal.linkage(np.arange(5.0)[:, None]).cut(k=1).silhouette()
    assert np.isnan(found.values).all()
    assert math.isnan(found.mean)
    assert np.isnan(found.by_cluster).all()
    assert found.by_cluster.shape == (1,)


def test_items_alone_have_zero() -> None:
    found = shoal.linkage(np.arange(5.0)[:, None]).cut(k=5).silhouette()
    assert found.values.tolist() == [0.0] * 5
    assert found.mean == 0.0


def test_noise_has_none_and_counts_nowhere() -> None:
    from sklearn.metrics import silhouette_samples

    X = np.random.default_rng(1).normal(size=(20, 2))
    D = np.sqrt(((X[:, None] - X[None]) ** 2).sum(axis=2))
    labels = np.arange(20) % 3
    labels[[4, 11]] = -1
    inside = labels >= 0
    found = values(D, labels, np.ones(20))
    assert np.isnan(found[~inside]).all()
    np.testing.assert_allclose(found[inside], silhouette_samples(X[inside], labels[inside]), rtol=1e-9)
    summary = summarise(found, labels, 3, np.ones(20))
    assert summary.mean == pytest.approx(found[inside].mean(), rel=1e-12)


def test_sums_are_the_same_bits_in_blocks_of_any_size_on_any_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    D, labels, w = rng.uniform(size=(90, 90)), np.arange(90) % 7, rng.uniform(1, 2, 90)
    items = np.array([3, 80, 5, 5])
    expected = np.column_stack([(D * w)[:, labels == c].sum(axis=1) for c in range(7)])
    found = set()
    try:
        for block, threads in ((1 << 21, 1), (1, 1), (200, 3)):
            monkeypatch.setattr(judge, "BLOCK", block)
            shoal.set_threads(threads)
            whole = distance_sums(lambda at: D[at], np.arange(90), labels, 7, w)
            np.testing.assert_allclose(whole, expected, rtol=1e-12)
            some = distance_sums(lambda at: D[at], items, labels, 7, w)
            assert (some == whole[items]).all()
            found.add(whole.tobytes())
    finally:
        shoal.set_threads(None)
    assert len(found) == 1


@given(st.integers(4, 14), st.integers(2, 6), st.data())
def test_of_every_union_is_what_the_book_says(n: int, k: int, data: st.DataObject) -> None:
    k = min(k, n)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    X = rng.integers(0, 3, (n, 2)).astype(float) if data.draw(st.booleans()) else rng.normal(size=(n, 2))
    D = np.sqrt(((X[:, None] - X[None]) ** 2).sum(axis=2))
    labels = rng.permutation(np.concatenate([np.arange(k), rng.integers(-1, k, n - k)]))
    w = rng.integers(1, 4, n).astype(float)
    joins, alive = [], list(range(k))
    for _ in range(data.draw(st.integers(0, k - 1))):
        a, b = rng.permutation(alive)[:2]
        joins.append((a, b))
        alive.remove(b)
    found = silhouettes_of_unions(shoal.points(X), labels, np.array(joins, int).reshape(-1, 2), w)
    assert len(found) == len(joins) + 1
    now = labels.copy()
    for s in range(len(joins) + 1):
        if len(set(now.tolist()) - {-1}) > 1:
            book, inside = np.array(by_the_book(D.tolist(), now.tolist(), w)), now >= 0
            assert found[s] == pytest.approx(np.average(book[inside], weights=w[inside]), rel=1e-9, abs=1e-12)
        else:
            assert np.isnan(found[s])
        if s < len(joins):
            now[now == joins[s][1]] = joins[s][0]


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cityblock", "chebyshev", "cosine", "correlation"])
def test_sums_side_by_side_are_those_of_rows(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for dtype in (np.float64, np.float32):
        data = shoal.points(rng.normal(size=(60, 7)).astype(dtype) + 1, metric)
        labels, w = rng.integers(-1, 5, 60), rng.uniform(0.5, 2, 60)
        items = np.array([3, 59, 0, 3, 17])
        sums, block = sums_of(data, labels, 5, w)
        assert block > 1
        from shoal.data.rows import rows_of

        expected = distance_sums(rows_of(data), items, labels, 5, w)
        np.testing.assert_allclose(sums(items), expected, rtol=1e-12, atol=1e-14)
        assert (sums(np.arange(60))[items] == sums(items)).all()
        assert (distance_sums_of(data, items, labels, 5, w) == sums(items)).all()


def test_sums_of_very_large_and_small_numbers() -> None:
    X, labels = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 3
    plain = sums_of(shoal.points(X), labels, 3, np.ones(20))[0](np.arange(20))
    for scale in (2.0**900, 2.0**-900):
        found = sums_of(shoal.points(X * scale), labels, 3, np.ones(20))[0](np.arange(20))
        assert (found == plain * scale).all()
    sums, _ = sums_of(shoal.points(X * 2.0**900, "sqeuclidean"), labels, 3, np.ones(20))
    with pytest.raises(shoal.errors.InputError, match="finite"):
        sums(np.arange(20))


def test_all_cuts_are_the_same_bits_compiled_and_as_plain_python() -> None:
    from shoal.runtime.kernel import plain_python

    data = shoal.points(np.random.default_rng(0).normal(size=(40, 5)))
    labels, joins = np.arange(40) % 6, np.array([[0, 1], [2, 3], [0, 2], [4, 5], [0, 4]])
    found = set()
    for plain in (False, True):
        with plain_python(plain):
            found.add(silhouettes_of_unions(data, labels, joins, np.ones(40)).tobytes())
    assert len(found) == 1
