"""Indices of all cuts of a tree: scikit-learn's and by the book."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import shoal
from naive.cut_rules import naive_calinski_harabasz, naive_davies_bouldin
from shoal.errors import InputError
from shoal.judge.indices import INDICES, indices_of_cuts, nested_cuts, within_sums, within_sums_of_ward
from strategies import methods, points


def index(tree: Any, which: str, most: int, **options: Any) -> Any:
    return indices_of_cuts(tree.merges, most, which, tree.data, tree.weights_or_ones, method=tree.method, **options)


@given(points(), methods, st.data())
def test_nested_cuts_are_the_cuts_of_the_tree(X: Any, method: str, data: st.DataObject) -> None:
    tree = shoal.linkage(X, method)
    most = data.draw(st.integers(1, tree.n + 3))
    nested = nested_cuts(tree.merges, most)
    labels = nested.labels.copy()
    assert nested.k == min(most, tree.n)
    for s in range(nested.k):
        expected = tree.cut(k=nested.k - s).labels
        assert len({*zip(labels.tolist(), expected.tolist(), strict=True)}) == nested.k - s
        if s == 0:
            assert labels.tolist() == expected.tolist()
        if s < len(nested.joins):
            labels[labels == nested.joins[s, 1]] = nested.joins[s, 0]


def scikit_learns(X: Any, which: str, labels: Any) -> float:
    """The silhouette of scikit-learn, on distances that lose no digits (its own, of points, are good to 1e-8)."""
    from scipy.spatial.distance import cdist
    from sklearn import metrics

    if which == "silhouette":
        return float(metrics.silhouette_score(cdist(X, X), labels, metric="precomputed"))
    return float(getattr(metrics, f"{which}_score")(X, labels))


@given(points(min_n=4, max_n=16, ties=False), methods)
@settings(max_examples=20)
def test_all_are_scikit_learns_and_by_the_book(X: Any, method: str) -> None:
    X = X / np.abs(X).max()
    tree = shoal.linkage(X, method)
    most = tree.n - 1
    for which in INDICES:
        found = index(tree, which, most)
        assert found.shape == (most + 1,)
        assert np.isnan(found[:2]).all()
        cuts = {k: tree.cut(k=k).labels for k in range(2, most + 1, 3)}
        expected = [naive_davies_bouldin(X.tolist(), cut.tolist(), [1.0] * tree.n) if which == "davies_bouldin"
                    else scikit_learns(X, which, cut) for cut in cuts.values()]
        assert_allclose(found[list(cuts)], expected, rtol=1e-9, atol=1e-10)


@pytest.mark.large
def test_all_are_scikit_learns_on_a_larger_tree() -> None:
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(60, 4)) + 6 * rng.normal(size=4) for _ in range(5)])
    for method in ("ward", "average", "single"):
        tree = shoal.linkage(X, method)
        for which in INDICES:
            expected = [scikit_learns(X, which, tree.cut(k=k).labels) for k in range(2, 31)]
            digits = 1e-7 if which == "davies_bouldin" else 1e-10  # scikit-learn's distances to means lose digits
            assert_allclose(index(tree, which, 30)[2:], expected, rtol=digits, atol=digits)
        book = [naive_davies_bouldin(X.tolist(), tree.cut(k=k).labels.tolist(), [1.0] * 300) for k in range(2, 16, 4)]
        assert_allclose(index(tree, "davies_bouldin", 30)[2:16:4], book, rtol=1e-10)


@pytest.mark.parametrize("which", INDICES)
def test_weights_are_repeats(which: str) -> None:
    rng = np.random.default_rng(2)
    X, w = rng.normal(size=(40, 3)), rng.integers(1, 4, 40)
    tree = shoal.linkage(X, "average", weights=w)
    often = np.repeat(X, w, axis=0)
    expected = [scikit_learns(often, which, np.repeat(tree.cut(k=k).labels, w)) for k in range(2, 20)]
    assert_allclose(index(tree, which, 19)[2:], expected, rtol=1e-7 if which == "davies_bouldin" else 1e-10)


def test_weights_that_are_not_whole_by_the_book() -> None:
    rng = np.random.default_rng(4)
    X, w = rng.normal(size=(15, 2)), rng.uniform(0.3, 3, 15)
    tree = shoal.linkage(X, "average", weights=w)
    for which, book in (("calinski_harabasz", naive_calinski_harabasz), ("davies_bouldin", naive_davies_bouldin)):
        expected = [book(X.tolist(), tree.cut(k=k).labels.tolist(), w.tolist()) for k in range(2, 8)]
        assert_allclose(index(tree, which, 7)[2:], expected, rtol=1e-9)


@given(points(min_n=3, max_n=20, ties=False), st.booleans())
def test_the_heights_of_a_ward_tree_are_its_sums_of_squares(X: Any, weighted: bool) -> None:
    X = X / np.abs(X).max()
    w = np.arange(len(X)) % 3 + 1.0 if weighted else None
    tree = shoal.linkage(X, "ward", weights=w)
    most = tree.n - 1
    by_means = within_sums(X, nested_cuts(tree.merges, most), tree.weights_or_ones)
    by_heights = within_sums_of_ward(tree.merges, most)
    unit = by_means[0][1] / by_heights[0][1]
    for a, b in zip(by_means, by_heights, strict=True):
        assert_allclose(a, b * unit, rtol=1e-7, atol=1e-9 * by_means[0][1])
    bare = indices_of_cuts(tree.merges, most, "calinski_harabasz", None, tree.weights_or_ones, method="ward")
    assert_allclose(bare, index(tree, "calinski_harabasz", most), rtol=1e-12)


@pytest.mark.parametrize("which", INDICES)
def test_sparse_points_are_dense_ones(which: str) -> None:
    from scipy import sparse

    X = np.random.default_rng(1).poisson(0.7, (40, 8)).astype(float)
    dense = shoal.linkage(X, "average")
    thin = shoal.linkage(sparse.csr_array(X), "average")
    assert_allclose(index(thin, which, 12), index(dense, which, 12), rtol=1e-9)


@pytest.mark.parametrize("metric", ["cosine", "cityblock", "chebyshev", "sqeuclidean", "correlation", "canberra"])
def test_the_silhouette_of_every_metric(metric: str) -> None:
    from scipy.spatial.distance import pdist, squareform
    from sklearn.metrics import silhouette_score

    X = np.random.default_rng(1).normal(size=(50, 5)) + 3
    tree = shoal.linkage(X, "average", metric)
    D = squareform(pdist(X, metric))
    expected = [silhouette_score(D, tree.cut(k=k).labels, metric="precomputed") for k in range(2, 20)]
    assert_allclose(index(tree, "silhouette", 19)[2:], expected, rtol=1e-9, atol=1e-11)
    given_ = shoal.linkage(shoal.distances(D), "average")
    assert_allclose(index(given_, "silhouette", 19), index(tree, "silhouette", 19), rtol=1e-9, atol=1e-11)


def test_the_ends_of_the_numbers() -> None:
    X = np.random.default_rng(0).normal(size=(30, 2))
    plain, far = shoal.linkage(X, "average"), shoal.linkage(X * 2.0**900, "average")
    for which in INDICES:
        assert_allclose(index(far, which, 10), index(plain, which, 10), rtol=1e-12)


def test_equal_items_have_no_index() -> None:
    tree = shoal.linkage([[0.1, 0.7]] * 6, "average")
    assert index(tree, "silhouette", 5)[2:].tolist() == [0.0] * 4
    assert np.isinf(index(tree, "davies_bouldin", 5)[2:]).all()
    zero = shoal.linkage([[0.0]] * 6, "ward")
    assert np.isnan(index(zero, "calinski_harabasz", 5)).all()
    twins = shoal.linkage([[0.0], [0.0], [1.0], [1.0]], "average")
    assert index(twins, "calinski_harabasz", 3)[2] == np.inf
    assert index(twins, "davies_bouldin", 3)[2] == 0.0


@pytest.mark.large
@pytest.mark.parametrize("which", INDICES)
def test_the_number_of_threads_changes_nothing(which: str) -> None:
    tree = shoal.linkage(np.random.default_rng(0).normal(size=(700, 3)), "average")
    found = set()
    try:
        for threads in (1, 2, 5):
            shoal.set_threads(threads)
            found.add(index(tree, which, 40).tobytes())
    finally:
        shoal.set_threads(None)
    assert len(found) == 1


def test_a_sample_of_the_items() -> None:
    tree = shoal.linkage(np.random.default_rng(0).normal(size=(200, 3)), "average")
    items = np.arange(0, 200, 7)
    found = index(tree, "silhouette", 8, items=items)
    for k in range(2, 9):
        assert found[k] == pytest.approx(tree.cut(k=k).silhouette().values[items].mean(), rel=1e-12)


def test_what_is_missing_is_said() -> None:
    tree = shoal.linkage(shoal.distances([1.0, 2.0, 3.0]), "average")
    with pytest.raises(InputError, match="silhouette, calinski"):
        index(tree, "dunn", 2)
    for which in ("calinski_harabasz", "davies_bouldin"):
        with pytest.raises(InputError, match="coordinates"):
            index(tree, which, 2)
    with pytest.raises(InputError, match="the data"):
        indices_of_cuts(tree.merges, 2, "silhouette", None, np.ones(3))
