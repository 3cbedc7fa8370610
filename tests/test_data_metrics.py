"""Every metric against scipy; sparse against dense; functions of the caller; what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
from shoal.data.metrics import METRIC_NAMES, Metric, _pair_at, resolve_metric
from shoal.errors import InputError
from shoal.runtime.kernel import plain_python
from strategies import points, read_only

KERNELS = ("euclidean", "sqeuclidean", "cityblock", "chebyshev", "cosine", "correlation")
SPARSE = ("euclidean", "sqeuclidean", "cityblock", "chebyshev", "cosine")
BOOLEAN = ("dice", "jaccard", "rogerstanimoto", "russellrao", "sokalsneath", "yule")
PARAMS: list[tuple[str, dict[str, Any]]] = [
    ("minkowski", {"p": 3}), ("minkowski", {"p": 1.5, "w": np.array([1.0, 0.5, 2.0, 3.0])}), ("minkowski", {}),
    ("seuclidean", {"V": np.array([1.0, 2.0, 3.0, 4.0])}), ("seuclidean", {}), ("mahalanobis", {}),
    ("mahalanobis", {"VI": np.diag([1.0, 2.0, 3.0, 4.0])}), ("jensenshannon", {"base": 2.0}), ("jensenshannon", {}),
    ("hamming", {"w": np.array([1.0, 0.5, 2.0, 3.0])}), ("braycurtis", {"w": np.array([1.0, 0.5, 2.0, 3.0])}),
    ("canberra", {"w": np.array([1.0, 0.5, 2.0, 3.0])})]


def rows(n: int, d: int = 4, seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(0.1, 3, (n, d))


def data_for(name: str, n: int) -> Any:
    if name in BOOLEAN:
        return (rows(n, 9) > 1.5).astype(float)
    return np.round(rows(n)) if name == "hamming" else rows(n)


def sparse_of(X: Any) -> Any:
    from scipy import sparse

    return sparse.csr_array(X)


@pytest.mark.parametrize("n", [2, 5, 160])
@pytest.mark.parametrize("name", METRIC_NAMES)
def test_every_metric_is_scipys(name: Any, n: int) -> None:
    from scipy.spatial.distance import cdist, pdist

    X = data_for(name, max(n, 6))[:n] if name != "mahalanobis" or n > 4 else rows(6)
    Y = data_for(name, 30)[20:]
    theirs = X.astype(bool) if name in BOOLEAN else X
    metric = resolve_metric(name, X)
    np.testing.assert_allclose(metric.condensed(X), pdist(theirs, name), rtol=1e-12, atol=1e-14)
    params = metric.params
    np.testing.assert_allclose(metric.between(X, Y), cdist(theirs, Y.astype(theirs.dtype), name, **params), rtol=1e-12,
                               atol=1e-14)


@pytest.mark.parametrize(("name", "params"), PARAMS)
def test_parameters_are_scipys(name: Any, params: dict[str, Any]) -> None:
    from scipy.spatial import distance

    X = rows(20)
    metric = resolve_metric(name, X, dict(params))
    if name == "jensenshannon":  # scipy 1.17's pdist refuses the base that it documents
        expected = [distance.jensenshannon(X[i], X[j], **params) for i in range(20) for j in range(i + 1, 20)]
    else:
        expected = distance.pdist(X, name, **params)
    np.testing.assert_allclose(metric.condensed(X), expected, rtol=1e-12)
    tree = shoal.linkage(shoal.points(X, name, metric_params=params), "average")
    assert tree.n == 20


@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 7, 8, 9])
@pytest.mark.parametrize("name", KERNELS)
def test_every_width_is_scipys_plain_and_compiled_with_the_same_bits(name: Any, d: int) -> None:
    from scipy.spatial.distance import pdist

    if d == 1 and name == "correlation":
        return
    X = rows(40, d) - 1.5
    expected = pdist(X, name)
    found = []
    for plain in (True, False):
        with plain_python(plain):
            found.append(resolve_metric(name, X).condensed(X))
    assert found[0].tobytes() == found[1].tobytes()
    np.testing.assert_allclose(found[0], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", KERNELS)
def test_more_rows_than_a_tile(name: Any) -> None:
    from scipy.spatial.distance import cdist, pdist

    X = rows(1100, 5) - 1.5
    metric = resolve_metric(name, X)
    np.testing.assert_allclose(metric.condensed(X), pdist(X, name), rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(metric.between(X[:3], X), cdist(X[:3], X, name), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("name", METRIC_NAMES)
def test_between_is_condensed(name: str) -> None:
    X = data_for(name, 40)
    metric = resolve_metric(name, X)
    condensed, square = metric.condensed(X), metric.between(X, X)
    upper = np.triu_indices(40, 1)
    if name in KERNELS:
        assert square[upper].tobytes() == condensed.tobytes()
        assert (square == square.T).all()
    np.testing.assert_allclose(square[upper], condensed, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", SPARSE)
def test_sparse_rows_give_the_same_bits_as_dense_ones(name: str, dtype: Any) -> None:
    rng = np.random.default_rng(1)
    X = np.where(rng.random((50, 12)) < 0.3, rng.normal(size=(50, 12)), 0.0).astype(dtype)
    X[:, 0] = 1 if name == "cosine" else X[:, 0]
    metric = resolve_metric(name, X)
    S = sparse_of(X)
    dense, sparse = metric.condensed(X), metric.condensed(S)
    if name == "cosine":  # lengths are summed over what is stored
        np.testing.assert_allclose(sparse, dense, rtol=1e-6 if dtype == np.float32 else 1e-12, atol=1e-15)
    else:
        assert dense.tobytes() == sparse.tobytes()
    np.testing.assert_allclose(metric.between(S[:7], S), metric.between(X[:7], X), rtol=1e-12, atol=1e-15)
    with plain_python(True):
        assert metric.condensed(S).tobytes() == sparse.tobytes()
    assert sparse.dtype == dtype


@given(points(max_n=8), st.sampled_from(["euclidean", "cityblock", "chebyshev"]))
def test_sparse_is_dense_on_any_points(X: Any, name: str) -> None:
    metric = resolve_metric(name, X)
    with plain_python(True):
        assert metric.condensed(X).tobytes() == metric.condensed(sparse_of(X)).tobytes()


@pytest.mark.parametrize("name", METRIC_NAMES)
def test_single_precision_is_summed_in_double(name: str) -> None:
    X = data_for(name, 40).astype(np.float32)
    metric = resolve_metric(name, X)
    condensed = metric.condensed(X)
    assert condensed.dtype == np.float32
    exact = metric.condensed(X.astype(np.float64))
    assert exact.dtype == np.float64
    assert condensed.tobytes() == exact.astype(np.float32).tobytes()
    between = metric.between(X, X)
    assert between.dtype == np.float64
    assert between.tobytes() == metric.between(X.astype(np.float64), X.astype(np.float64)).tobytes()


def test_many_small_single_precision_steps_are_not_lost() -> None:
    X = np.zeros((2, 20_000), np.float32)
    X[1] = 1e-4
    X[1, 0] = 1000
    assert resolve_metric("cityblock", X).condensed(X)[0] == np.float32(1000 + 19_999 * float(np.float32(1e-4)))


def test_squared_euclidean_distances_on_the_way() -> None:
    X = rows(30)
    metric = resolve_metric("euclidean", X)
    np.testing.assert_allclose(metric.condensed(X, squared=True), metric.condensed(X) ** 2, rtol=1e-15)
    assert metric.condensed(X, squared=True).tobytes() == resolve_metric("sqeuclidean", X).condensed(X).tobytes()


def test_an_offset_costs_euclidean_distances_nothing() -> None:
    X = np.random.default_rng(0).integers(0, 1000, (30, 3)).astype(float)
    metric = resolve_metric("euclidean", X)
    assert metric.condensed(X + 2.0**40).tobytes() == metric.condensed(X).tobytes()


@pytest.mark.parametrize("factor", [1e100, 1e150, 1e200, 1e300, 1e-150, 1e-200, 1e-300])
@pytest.mark.parametrize("name", ["euclidean", "cityblock", "chebyshev", "cosine", "correlation"])
def test_huge_and_tiny_rows(name: str, factor: float) -> None:
    X = rows(20) - 1.5
    metric = resolve_metric(name, X)
    scale = 1.0 if name in ("cosine", "correlation") else factor
    np.testing.assert_allclose(metric.condensed(X * factor), metric.condensed(X) * scale, rtol=1e-12)
    np.testing.assert_allclose(metric.between(X * factor, X * factor), metric.between(X, X) * scale, rtol=1e-12,
                               atol=1e-14 * scale)
    np.testing.assert_allclose(metric.condensed(sparse_of(X * factor)) if name != "correlation" else 1.0,
                               metric.condensed(X) * scale if name != "correlation" else 1.0, rtol=1e-12)


@pytest.mark.parametrize("name", ["sqeuclidean"])
def test_distances_beyond_all_numbers_are_refused(name: str) -> None:
    X = rows(5) * 1e200
    with pytest.raises(InputError, match=r"gave inf for rows 0 and 1.*divide them"):
        resolve_metric(name, X).condensed(X)


@pytest.mark.parametrize("carrier", ["dense", "sparse"])
def test_rows_of_zeros_are_refused_under_cosine(carrier: str) -> None:
    X = rows(6)
    X[[2, 4]] = 0
    data = X if carrier == "dense" else sparse_of(X)
    metric = resolve_metric("cosine", data)
    for call in (metric.condensed, lambda Z: metric.between(Z, Z)):
        with pytest.raises(InputError, match=r"all zeros: row 2 is, and 2 in all"):
            call(data)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1e300, -7.3])
def test_constant_rows_are_refused_under_correlation(value: float) -> None:
    X = rows(6)
    X[3] = value
    with pytest.raises(InputError, match=r"constant: row 3 is, and 1 in all"):
        resolve_metric("correlation", X).condensed(X)


def test_nearly_constant_rows_are_not() -> None:
    X = rows(6) * 1e-9 + 5
    assert np.isfinite(resolve_metric("correlation", X).condensed(X)).all()


@pytest.mark.parametrize("name", [m for m in METRIC_NAMES if m not in SPARSE])
def test_metrics_that_are_not_for_sparse_rows_say_so(name: str) -> None:
    S = sparse_of(data_for(name, 8))
    with pytest.raises(InputError, match="sparse"):
        shoal.linkage(S, "average", name)


# --------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(("alias", "name"), [("l1", "cityblock"), ("manhattan", "cityblock"), ("l2", "euclidean"),
                                             ("L2", "euclidean"), ("COSINE", "cosine"), ("matching", "hamming"),
                                             ("infinity", "chebyshev"), ("cos", "cosine")])
def test_other_names(alias: str, name: str) -> None:
    assert resolve_metric(alias, rows(5)).name == name


@pytest.mark.parametrize("name", ["euclid", "", "cosine similarity", "wminkowski"])
def test_an_unknown_name_is_refused_with_the_list(name: str) -> None:
    with pytest.raises(InputError, match=r"no metric .*Choose one of braycurtis, .*euclidean.*, or give a function"):
        shoal.points(rows(5), name)


def test_precomputed_is_sent_to_the_right_door() -> None:
    with pytest.raises(InputError, match=r"shoal.distances"):
        shoal.points(rows(5), "precomputed")


@pytest.mark.parametrize(("name", "params", "said"), [
    ("euclidean", {"p": 2}, "no parameter 'p'.*It takes none"),
    ("euclidean", {"w": [1, 1, 1, 1]}, "no parameter 'w'"),
    ("minkowski", {"q": 2}, "no parameter 'q'.*It takes p, w"),
    ("cosine", {"w": [1]}, "no parameter 'w'"),
    ("seuclidean", {"VI": 1}, "It takes V"),
    ("minkowski", {"p": 0}, "'p' of minkowski is 0.*above 0"),
    ("minkowski", {"p": -1}, "above 0"),
    ("minkowski", {"p": math.nan}, "above 0"),
    ("minkowski", {"p": "two"}, "p"),
    ("minkowski", {"p": None}, "p"),
    ("minkowski", {"w": [1.0, 2.0]}, "w"),
    ("minkowski", {"w": [1.0, -2.0, 1.0, 1.0]}, "w"),
    ("seuclidean", {"V": [1.0, 2.0]}, "V"),
    ("seuclidean", {"V": "text"}, "V"),
    ("mahalanobis", {"VI": np.eye(3)}, "VI"),
    ("jensenshannon", {"base": -1.0}, "base"),
])
def test_wrong_parameters_are_refused(name: str, params: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        shoal.linkage(shoal.points(rows(8), name, metric_params=params), "average")


@pytest.mark.parametrize(("name", "params"), [("minkowski", {"w": [1, 2, 3, 4]}), ("seuclidean", {"V": [1, 2, 3, 4]}),
                                              ("mahalanobis", {"VI": np.eye(4).tolist()})])
def test_parameters_may_be_lists(name: Any, params: dict[str, Any], tmp_path: Any) -> None:
    X = rows(8)
    arrays = {key: np.array(value, float) for key, value in params.items()}
    usual = shoal.linkage(shoal.points(X, name, metric_params=arrays), "average")
    tree = shoal.linkage(shoal.points(X, name, metric_params=params), "average")
    assert tree.merges.height.tolist() == usual.merges.height.tolist()
    tree.save(tmp_path / "tree.shoal")
    again = shoal.load(tmp_path / "tree.shoal").cut(k=2).predict(X)
    assert again.distance.tolist() == tree.cut(k=2).predict(X).distance.tolist()


def test_parameters_from_the_data_are_kept() -> None:
    X = rows(12)
    for name, key in (("seuclidean", "V"), ("mahalanobis", "VI")):
        metric = resolve_metric(name, X)
        assert key in metric.params
        part = metric.between(X[:2], X)
        assert part.tobytes() == metric.between(X, X)[:2].tobytes()
    constant = np.column_stack([X, np.ones(12)])
    np.testing.assert_allclose(resolve_metric("seuclidean", constant).condensed(constant),
                               resolve_metric("seuclidean", X).condensed(X), rtol=1e-14)


def test_mahalanobis_needs_columns_that_do_not_depend_on_each_other() -> None:
    X = rows(12)
    with pytest.raises(InputError, match="more rows than columns"):
        resolve_metric("mahalanobis", X[:4])
    with pytest.raises(InputError, match="cannot be inverted"):
        resolve_metric("mahalanobis", np.column_stack([X, X.sum(axis=1)]))
    with pytest.raises(InputError, match="cannot be inverted"):
        resolve_metric("mahalanobis", np.column_stack([X, np.ones(12)]))


def test_a_metric_is_kept_as_it_is() -> None:
    metric = Metric("cityblock")
    assert resolve_metric(metric, rows(3)) is metric


# ----------------------------------------------------------------------------------------------- functions of the caller


def cityblock(x: Any, y: Any) -> float:
    total = 0.0
    for k in range(x.shape[0]):
        total += abs(x[k] - y[k])
    return total


def through_text(x: Any, y: Any) -> float:
    return float(f"{sum(abs(a - b) for a, b in zip(x.tolist(), y.tolist(), strict=True)):.17g}")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [12, 150])
@pytest.mark.parametrize("function", [cityblock, through_text, lambda x, y: np.abs(x - y).sum()])
def test_a_function_is_a_metric(function: Any, n: int, dtype: Any) -> None:
    X = read_only(rows(n).astype(dtype))
    expected = shoal.linkage(X, "average", "cityblock")
    tree = shoal.linkage(X, "average", function)
    np.testing.assert_allclose(tree.merges.height, expected.merges.height, rtol=1e-5 if dtype == np.float32 else 1e-12)
    found = tree.cut(k=3).predict(rows(4, seed=9).astype(dtype))
    same = expected.cut(k=3).predict(rows(4, seed=9).astype(dtype))
    assert found.labels.tolist() == same.labels.tolist()
    np.testing.assert_allclose(found.distance, same.distance, rtol=1e-5 if dtype == np.float32 else 1e-12)
    assert tree.data is not None
    assert tree.data.metric.name == function.__name__  # type: ignore[union-attr]


def test_a_numba_function_is_a_metric() -> None:
    import numba

    X = rows(20)
    found = resolve_metric(numba.njit(cityblock), X).condensed(X)
    np.testing.assert_allclose(found, resolve_metric("cityblock", X).condensed(X), rtol=1e-14)


def test_a_function_takes_its_parameters() -> None:
    X = rows(20)

    def scaled(x: Any, y: Any, factor: float) -> float:
        return factor * float(np.abs(x - y).sum())

    metric = resolve_metric(scaled, X, {"factor": 3.0})
    expected = 3 * resolve_metric("cityblock", X).condensed(X)
    np.testing.assert_allclose(metric.condensed(X), expected, rtol=1e-14)
    np.testing.assert_allclose(metric.between(X[:2], X)[0, 1:], expected[:19], rtol=1e-14)


def test_a_callable_object_is_a_metric() -> None:
    class Halved:
        def __call__(self, x: Any, y: Any) -> float:
            return float(np.abs(x - y).sum()) / 2

    X = rows(9)
    metric = resolve_metric(Halved(), X)
    assert metric.name == "Halved"
    np.testing.assert_allclose(metric.condensed(X) * 2, resolve_metric("cityblock", X).condensed(X), rtol=1e-14)


@pytest.mark.parametrize("n", [5, 140])
def test_an_error_of_the_function_comes_through(n: int) -> None:
    def broken(x: Any, y: Any) -> float:
        if x[0] != y[0]:
            raise ZeroDivisionError("no distance today")
        return 0.0

    with pytest.raises(ZeroDivisionError, match="no distance today"):
        shoal.linkage(rows(n), "average", broken)


@pytest.mark.parametrize(("value", "said"), [(math.nan, "nan"), (-1.0, "-1.0"), (math.inf, "inf")])
@pytest.mark.parametrize("n", [5, 140])
def test_what_is_no_distance_is_refused_by_rows(n: int, value: float, said: str) -> None:
    X = np.arange(float(n))[:, None]

    def bad(x: Any, y: Any) -> float:
        return value if x[0] == 2 and y[0] == 4 else abs(x[0] - y[0])

    with pytest.raises(InputError, match=rf"'bad' gave {said} for rows 2 and 4; a distance is a number of at least 0"):
        shoal.linkage(X, "average", bad)


@pytest.mark.parametrize("value", [None, "far", [1.0, 2.0], 1j])
def test_what_is_no_number_is_refused(value: Any) -> None:
    def odd(x: Any, y: Any) -> Any:
        return value

    with pytest.raises(InputError, match="odd"):
        shoal.linkage(rows(5), "average", odd)


@pytest.mark.parametrize("value", [math.nan, -1.0])
def test_what_is_no_distance_is_refused_for_new_items_too(value: float) -> None:
    def bad(x: Any, y: Any) -> float:
        return value if x[0] > 100 else float(abs(x - y).sum())

    clusters = shoal.linkage(rows(8), "average", bad).cut(k=2)
    with pytest.raises(InputError, match="bad"):
        clusters.predict([[200.0, 0, 0, 0]])


def test_every_place_of_the_condensed_matrix_has_its_pair() -> None:
    for n in (2, 3, 17):
        places = [_pair_at(place, n) for place in range(n * (n - 1) // 2)]
        assert places == list(zip(*(side.tolist() for side in np.triu_indices(n, 1)), strict=True))
    n = 200_000
    assert _pair_at(n * (n - 1) // 2 - 1, n) == (n - 2, n - 1)
    assert _pair_at(n - 1, n) == (1, 2)


def test_the_caller_may_not_see_rows_change() -> None:
    X = rows(140)
    before = X.tobytes()
    for name in KERNELS:
        resolve_metric(name, X).condensed(X)
        resolve_metric(name, X).between(X[:5], X)
    assert X.tobytes() == before
    S = sparse_of(X)
    resolve_metric("cosine", S).condensed(S)
    assert S.toarray().tobytes() == before
