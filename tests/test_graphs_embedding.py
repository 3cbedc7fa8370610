"""Coordinates from distances: against dense algebra, scikit-learn, and the definition of stress."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shoal
from shoal.data.rows import rows_of
from shoal.errors import InputError, TooLargeError
from shoal.graphs import embedding
from shoal.graphs.definite import clipped, negative_part, whole_square
from shoal.graphs.eigen import dense_product
from shoal.graphs.embedding import classical, place, rows_of_square, square_of, stress
from shoal.graphs.majorisation import _Order, majorise, place_by_stress
from shoal.runtime.kernel import plain_python
from strategies import square_distances


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def euclidean(X: Any, Y: Any = None) -> Any:
    from scipy.spatial.distance import cdist

    return cdist(X, X if Y is None else Y)


def cityblock(n: int, d: int = 5) -> Any:
    from scipy.spatial.distance import cdist

    X = rng().normal(size=(n, d)) * np.arange(d, 0, -1)
    return cdist(X, X, "cityblock")


def centred(D: Any, w: Any) -> Any:
    """W^½·B·W^½ written out."""
    n = len(D)
    J = np.eye(n) - np.outer(np.ones(n), w / w.sum())
    return np.sqrt(w)[:, None] * (-0.5 * J @ D**2 @ J.T) * np.sqrt(w)


def naive_stress(D: Any, X: Any, w: Any) -> tuple[float, list[float]]:
    n = len(D)
    apart = [[w[j] * (D[i, j] - np.linalg.norm(X[i] - X[j])) ** 2 for j in range(n) if j != i] for i in range(n)]
    whole = sum(w[i] * w[j] * np.linalg.norm(X[i] - X[j]) ** 2 for i in range(n) for j in range(n))
    items = [float(np.sqrt(sum(row) * sum(w) / whole)) for row in apart]
    return float(np.sqrt(sum(w[i] * sum(row) for i, row in enumerate(apart)) / whole)), items


# ------------------------------------------------------------------------------------------------------ classical scaling


@given(square_distances(min_n=3), st.booleans())
def test_classical_is_the_dense_eigenproblem(D: Any, weighted: bool) -> None:
    n = len(D)
    w = rng().uniform(0.5, 3.0, n) if weighted else np.ones(n)
    M = centred(D, w)
    values = np.linalg.eigvalsh(M)[::-1]
    found = classical(D, 2, rng(), weights=w if weighted else None)
    scale = np.abs(values).max()
    np.testing.assert_allclose(found.values, values[:2], atol=1e-9 * scale)
    assert found.total == pytest.approx(values.sum(), abs=1e-9 * scale)
    assert found.negative.least == pytest.approx(values[-1], abs=1e-9 * scale)
    assert found.negative.mass == pytest.approx(-values[values < 0].sum(), abs=1e-9 * scale)
    np.testing.assert_allclose(found.explained, values[:2] / np.abs(values).sum(), atol=1e-8)
    X = found.coordinates
    np.testing.assert_allclose(w @ X, 0.0, atol=1e-7 * np.sqrt(scale))
    np.testing.assert_allclose((w[:, None] * X).T @ X, np.diag(np.maximum(values[:2], 0)), atol=1e-7 * scale)


def test_classical_agrees_with_scikit_learn() -> None:
    """Run against scikit-learn's ClassicalMDS (1.9) where it is there."""
    manifold = pytest.importorskip("sklearn.manifold")
    if not hasattr(manifold, "ClassicalMDS"):
        pytest.skip("scikit-learn before 1.8 has no ClassicalMDS")
    for n in (120, 400):  # at once, and by products
        D = cityblock(n)
        peer = manifold.ClassicalMDS(3, metric="precomputed").fit(D)
        found = classical(D, 3, rng())
        np.testing.assert_allclose(found.values, peer.eigenvalues_, rtol=1e-10)
        signs = np.sign((found.coordinates * peer.embedding_).sum(axis=0))
        np.testing.assert_allclose(found.coordinates, peer.embedding_ * signs, atol=1e-5)


def test_classical_golden_values() -> None:
    """A triangle 3, 4, 5 and a fourth corner: coordinates of a 3 x 4 rectangle, by hand."""
    D = euclidean(np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 3.0], [0.0, 3.0]]))
    found = classical(D, 3, rng())
    np.testing.assert_allclose(found.values, [16.0, 9.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(np.abs(found.coordinates), [[2.0, 1.5, 0.0]] * 4, atol=1e-7)
    np.testing.assert_allclose(found.explained, [0.64, 0.36, 0.0], atol=1e-12)
    assert (found.coordinates[np.abs(found.coordinates[:, :2]).argmax(axis=0), [0, 1]] > 0).all()


def test_whole_weights_count_items_several_times() -> None:
    D = cityblock(20)
    times = rng().integers(1, 4, 20)
    at = np.repeat(np.arange(20), times)
    one = classical(D, 2, rng(), weights=times.astype(float))
    many = classical(np.ascontiguousarray(D[np.ix_(at, at)]), 2, rng())
    np.testing.assert_allclose(one.values, many.values, rtol=1e-10)
    signs = np.sign((one.coordinates[at] * many.coordinates).sum(axis=0))
    np.testing.assert_allclose(one.coordinates[at], many.coordinates * signs, atol=1e-8)


def test_euclidean_distances_are_kept_and_new_items_fall_in_their_place() -> None:
    X, new = rng().normal(size=(60, 3)), rng().normal(size=(5, 3)) + 1.0
    D = euclidean(X)
    found = classical(D, 3, rng())
    np.testing.assert_allclose(euclidean(found.coordinates), D, atol=1e-9)
    np.testing.assert_allclose(found.explained.sum(), 1.0)
    assert found.negative.mass < 1e-9
    placed = place(euclidean(new, X), found.means, found.axes)
    np.testing.assert_allclose(euclidean(placed, found.coordinates), euclidean(new, X), atol=1e-9)
    np.testing.assert_allclose(place(D, found.means, found.axes), found.coordinates, atol=1e-9)
    assert stress(rows_of_square(D), found.coordinates, rng()).value < 1e-12


def test_axes_that_no_eigenvalue_supports_are_0() -> None:
    found = classical(np.ones((4, 4)) - np.eye(4), 4, rng())
    np.testing.assert_allclose(found.values, [0.5, 0.5, 0.5, 0.0], atol=1e-12)
    assert not found.coordinates[:, 3].any()
    assert not found.axes[:, 3].any()
    same = classical(np.zeros((3, 3)), 2, rng())
    assert not same.coordinates.any()
    assert not same.explained.any()


def test_classical_same_bits_for_any_number_of_threads_and_the_diagonal_does_not_count() -> None:
    D = cityblock(400).astype(np.float32)
    other = D.copy()
    np.fill_diagonal(other, 7.0)
    found = []
    for threads, A in ((1, D), (2, D), (5, other)):
        shoal.set_threads(threads)
        A.setflags(write=False)
        found.append(classical(A, 2, rng()))
    shoal.set_threads(None)
    for later in found[1:]:
        assert np.array_equal(found[0].coordinates, later.coordinates)
        assert found[0].negative == later.negative


# ------------------------------------------------------------------------------------------------ the end of the spectrum


def test_the_negative_end_is_found_in_a_few_products() -> None:
    n = 560
    E = rng().normal(size=(n, n))
    Q = np.linalg.qr(E)[0]
    values = np.concatenate([[300.0, 50.0], np.linspace(2.0, -3.0, n - 3), [-8.0]])
    A = (Q * values) @ Q.T
    calls = []
    multiply = dense_product((A + A.T) / 2)
    found = negative_part(lambda V: calls.append(1) or multiply(V), n, rng())  # type: ignore[func-returns-value]
    assert len(calls) <= 12
    assert -8.0 - 1e-9 <= found.least <= -8.0 + found.residual
    assert found.largest == pytest.approx(300.0, rel=1e-6)
    assert found.mass == pytest.approx(-values[values < 0].sum(), rel=0.1)
    gram = negative_part(dense_product(A @ A), n, rng())
    assert gram.mass == 0.0
    assert gram.least > 0.0


def test_clipping_gives_the_nearest_gram_matrix() -> None:
    E = rng().normal(size=(30, 30))
    K = (E + E.T).astype(np.float32)
    gram, values, vectors = clipped(K)
    all_values, all_vectors = np.linalg.eigh(K.astype(np.float64))
    np.testing.assert_allclose(gram, (all_vectors * np.maximum(all_values, 0)) @ all_vectors.T, atol=1e-5)
    np.testing.assert_allclose(values, all_values[all_values < 0], atol=1e-5)
    np.testing.assert_allclose(gram @ vectors, 0.0, atol=1e-4)


# ---------------------------------------------------------------------------------------------------- stress majorisation


@settings(max_examples=12)
@given(square_distances(min_n=4), st.booleans())
def test_majorisation_ends_where_the_stress_is_stationary(D: Any, weighted: bool) -> None:
    n = len(D)
    w = rng().uniform(0.5, 3.0, n) if weighted else np.ones(n)
    start = rng().normal(size=(n, 2))
    found = majorise(D, start, weights=w if weighted else None, max_iter=5000, tol=1e-15)
    X = found.coordinates

    def raw(X: Any) -> float:
        return float((np.outer(w, w) * (D - euclidean(X)) ** 2).sum() / 2)

    assert raw(X) <= found.raw + 1e-9 * raw(start)
    gradient = np.array([2 * sum(w[i] * w[j] * (1 - D[i, j] / d) * (X[i] - X[j]) for j in range(n)
                                 if j != i and (d := np.linalg.norm(X[i] - X[j])) > 1e-9) for i in range(n)])
    assert np.abs(gradient).max() < 1e-3 * D.max() * w.max() ** 2
    assert raw(X) <= raw(majorise(D, start, weights=w, max_iter=1).coordinates) + 1e-9


def test_majorisation_is_no_worse_than_scikit_learns() -> None:
    """Run against scikit-learn's smacof (1.9) from the same start."""
    from sklearn.manifold import smacof

    D, start = cityblock(60), rng().normal(size=(60, 2))
    found = majorise(D, start, max_iter=5000, tol=1e-12)
    _, raw, steps = smacof(D, metric=True, n_components=2, init=start, n_init=1, max_iter=5000, eps=1e-12,
                           normalized_stress=False, return_n_iter=True)
    assert found.raw <= raw * (1 + 1e-6)
    assert found.n_iter < steps


def test_a_step_with_whole_weights_is_a_step_of_repeated_items() -> None:
    D, times = cityblock(15), rng().integers(1, 4, 15)
    at, start = np.repeat(np.arange(15), times), rng().normal(size=(15, 2))
    one = majorise(D, start, weights=times.astype(float), max_iter=3, tol=0.0)
    many = majorise(np.ascontiguousarray(D[np.ix_(at, at)]), start[at], max_iter=3, tol=0.0)
    np.testing.assert_allclose(one.coordinates[at], many.coordinates, atol=1e-10)
    assert one.raw == pytest.approx(many.raw)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_majorisation_same_bits_compiled_plain_and_on_any_threads(dtype: Any) -> None:
    D, start = cityblock(40).astype(dtype), rng().normal(size=(40, 2))
    D.setflags(write=False)
    with plain_python(True):
        plain = majorise(D, start, max_iter=3)
    for threads in (1, 2, 5):
        shoal.set_threads(threads)
        found = majorise(D, start, max_iter=3)
        assert np.array_equal(found.coordinates, plain.coordinates)
        assert found.raw == plain.raw
    shoal.set_threads(None)


def test_only_the_order_of_distances_counts_when_monotone() -> None:
    D, start = cityblock(25), rng().normal(size=(25, 2))
    one = majorise(D, start, monotone=True, max_iter=60)
    other = majorise(np.exp(D / 5.0), start, monotone=True, max_iter=60)
    np.testing.assert_allclose(one.coordinates, other.coordinates, atol=1e-9)
    assert one.shape is not None
    assert (np.diff(one.shape.fitted) >= 0).all()
    fitted = np.interp(D[np.triu_indices(25, 1)], one.shape.given, one.shape.fitted)
    assert np.mean(fitted**2) == pytest.approx(1.0)


def test_disparities_are_the_isotonic_regression() -> None:
    from scipy.spatial.distance import squareform
    from sklearn.isotonic import IsotonicRegression

    D, X = np.round(cityblock(20)), rng().normal(size=(20, 2))
    order = _Order(D, np.ones(20))
    found = squareform(order.disparities(X), checks=False)
    expected = IsotonicRegression().fit_transform(squareform(D, checks=False), squareform(euclidean(X), checks=False))
    np.testing.assert_allclose(found, expected / np.sqrt(np.mean(expected**2)), rtol=1e-9)


def test_new_items_go_where_their_own_stress_is_least() -> None:
    D = cityblock(30)
    X = majorise(D, rng().normal(size=(30, 2)), max_iter=3000, tol=1e-14).coordinates
    np.testing.assert_allclose(place_by_stress(D, X, max_iter=50, tol=1e-6), X, atol=1e-3)
    delta = D[:4] + 1.0
    w = rng().uniform(0.5, 2.0, 30)
    placed = place_by_stress(delta, X, weights=w, max_iter=5000, tol=1e-10)
    for x, own in zip(placed, delta, strict=True):
        d = np.linalg.norm(x - X, axis=1)
        assert np.abs((w * (1 - own / d)) @ (x - X)).max() < 1e-4
    np.testing.assert_allclose(place_by_stress(delta[2:3], X, weights=w, max_iter=5000, tol=1e-10), placed[2:3], atol=1e-9)


# ----------------------------------------------------------------------------------------------------------------- stress


@given(square_distances(min_n=3), st.booleans())
def test_stress_is_the_definition(D: Any, weighted: bool) -> None:
    w = rng().uniform(0.5, 3.0, len(D)) if weighted else np.ones(len(D))
    X = rng().normal(size=(len(D), 2))
    found = stress(rows_of_square(D), X, rng(), weights=w if weighted else None)
    value, items = naive_stress(D, X, w)
    assert found.value == pytest.approx(value, rel=1e-9)
    assert found.error == 0.0
    np.testing.assert_allclose(found.items, items, rtol=1e-9)
    assert found.value == pytest.approx(np.sqrt(w @ found.items**2 / w.sum()))


def test_sampled_stress_is_within_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    D = cityblock(600)
    X = classical(D, 2, rng()).coordinates
    exact = stress(rows_of_square(D), X, rng())
    monkeypatch.setattr(embedding, "EXACT", 500)
    monkeypatch.setattr(embedding, "PARTNERS", 100)
    off, errors = [], []
    for seed in range(20):
        found = stress(rows_of_square(D), X, np.random.default_rng(seed))
        off.append(found.value - exact.value)
        errors.append(found.error)
        assert np.corrcoef(found.items, exact.items)[0, 1] > 0.9
    assert 0.5 < np.sqrt(np.mean(np.square(off))) / np.mean(errors) < 1.6


def test_stress_of_items_at_one_place() -> None:
    with pytest.raises(InputError, match="at one place"):
        stress(lambda items: np.ones((len(items), 3)), np.zeros((3, 2)), rng())
    assert stress(lambda items: np.zeros((len(items), 3)), np.zeros((3, 2)), rng()).value == 0.0


# -------------------------------------------------------------------------------------------------------------- squares


def test_a_square_is_taken_as_it_is_and_other_forms_are_written_out() -> None:
    D = cityblock(12)
    condensed = D[np.triu_indices(12, 1)]
    assert np.shares_memory(square_of(shoal.distances(D)), D)
    fortran = np.asfortranarray(D)
    assert np.shares_memory(square_of(shoal.distances(fortran)), fortran)
    S = 1.0 - D / D.max()
    for carrier, expected in ((shoal.distances(condensed), D), (shoal.distances(np.triu(D)), D),
                              (shoal.distances(np.tril(D)), D), (shoal.distances(np.round(D).astype(int)), np.round(D)),
                              (shoal.distances(D[:, ::-1][::-1].T), D[::-1, ::-1]), (shoal.similarities(S), 1.0 - S),
                              (shoal.distances(D + np.triu(np.ones((12, 12)), 1), symmetrize="mean"),
                               D + 0.5 - 0.5 * np.eye(12)),
                              (shoal.points(D[:, :3]), euclidean(D[:, :3]))):
        found = square_of(carrier)
        assert found.flags.c_contiguous
        np.testing.assert_allclose(found * (1 - np.eye(12)), expected * (1 - np.eye(12)), atol=1e-12)
        np.testing.assert_allclose(rows_of_square(found)(np.arange(12)), rows_of(carrier)(np.arange(12)), atol=1e-12)
    assert whole_square(shoal.distances(np.triu(D)).pairs) is None
    assert whole_square(shoal.distances(np.zeros((3, 3))).pairs) is not None


def test_a_square_that_does_not_fit_is_refused() -> None:
    points = shoal.points(np.zeros((4_000_000, 1), np.float32))
    with pytest.raises(TooLargeError, match="method='landmark'"):
        square_of(points)
    with pytest.raises(TooLargeError, match="indefinite='shift'"):
        clipped(np.broadcast_to(np.float32(0), (4_000_000, 4_000_000)))
