"""Rows of distances: from every carrier the same as its condensed vector, and from new items to old ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import shoal
from shoal.data.rows import rows_of, rows_of_new
from shoal.errors import InputError
from strategies import read_only


def square(n: int = 12, seed: int = 0, low: float = 0.1, high: float = 1.0) -> Any:
    D = np.triu(np.random.default_rng(seed).uniform(low, high, (n, n)), 1)
    return D + D.T


def edges() -> list[tuple[str, str, float]]:
    rng = np.random.default_rng(2)
    found = [(f"v{i}", f"v{i + 1}", float(rng.uniform(1, 3))) for i in range(11)]
    return [*found, ("v0", "v7", 2.5), ("v3", "v9", 0.25)]


def carriers() -> dict[str, Any]:
    from scipy import sparse

    D, X = square(), np.random.default_rng(1).normal(size=(12, 3))
    condensed = D[np.triu_indices(12, 1)]
    asymmetric = D + np.triu(np.full((12, 12), 0.3), 1)
    some = np.where(D > 0.6, D, 0.0)
    similar = 1 - D
    return {
        "points": shoal.points(X), "points cosine": shoal.points(X, "cosine"), "points minkowski": shoal.points(
            X, "minkowski", metric_params={"p": 3}), "float32 points": shoal.points(X.astype(np.float32)),
        "sparse points": shoal.points(sparse.csr_array(np.where(X > 0, X, 0))),
        "function": shoal.points(X, lambda x, y: float(np.abs(x - y).max())),
        "square": shoal.distances(D), "float32 square": shoal.distances(D.astype(np.float32)),
        "integers": shoal.distances(np.round(D * 10).astype(int)), "fortran": shoal.distances(np.asfortranarray(D)),
        "upper": shoal.distances(np.triu(D)), "lower": shoal.distances(np.tril(D)), "condensed": shoal.distances(condensed),
        "mean": shoal.distances(asymmetric, symmetrize="mean"), "min": shoal.distances(asymmetric, symmetrize="min"),
        "max": shoal.distances(asymmetric, symmetrize="max"),
        "nearly symmetric": shoal.distances(D + np.triu(np.full((12, 12), 1e-12), 1)),
        "similarities": shoal.similarities(similar), "similarities max-s": shoal.similarities(similar * 5),
        "similarities upper": shoal.similarities(np.triu(similar)), "log": shoal.similarities(similar, "-log s"),
        "rule": shoal.similarities(similar, lambda s: 1 / (1 + s)),
        "sparse similarities": shoal.similarities(sparse.csr_array(some)),
        "condensed similarities": shoal.similarities(1 - condensed),
        "graph": shoal.graph(edges()), "graph of distances": shoal.graph(
            [(i, j, float(D[i, j])) for i in range(12) for j in range(i)], kind="distance"),
        "paths": shoal.graph(edges(), kind="distance", missing="shortest_path"),
        "loops only": shoal.graph([(i, i, 1.0) for i in range(12)]),
    }


@pytest.mark.parametrize("name", carriers())
def test_rows_are_those_of_the_square_of_the_condensed_vector(name: str) -> None:
    from scipy.spatial.distance import squareform

    carrier = carriers()[name]
    expected = squareform(carrier.condensed().astype(np.float64))
    rows = rows_of(carrier)
    exact = "float32" not in name
    for items in (np.arange(12), np.array([7]), np.array([11, 0, 5, 5]), np.empty(0, np.int64)):
        found = rows(items)
        assert found.shape == (len(items), 12)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, expected[items], rtol=1e-14 if exact else 1e-6, atol=1e-15)
        assert (found[np.arange(len(items)), items] == 0).all()


@pytest.mark.parametrize("name", carriers())
def test_rows_do_not_write_to_the_data(name: str) -> None:
    carrier = carriers()[name]
    rows = rows_of(carrier)
    first = rows(np.arange(12))
    first[:] = -1
    assert (rows(np.arange(12)) >= 0).all()


def test_rows_of_read_only_memory() -> None:
    D = read_only(square())
    assert (rows_of(shoal.distances(D))(np.arange(12)) == D).all()


# ------------------------------------------------------------------------------------------------------------- new items


def gathered(carrier: Any, new: Any, ids: Any = None) -> tuple[Any, Any]:
    names, blocks = rows_of_new(carrier, new, ids)
    return names, np.concatenate(list(blocks))


@pytest.mark.parametrize("metric", ["euclidean", "cityblock", "cosine", "seuclidean"])
def test_new_points_are_measured_as_the_old_ones(metric: str) -> None:
    X = np.random.default_rng(1).normal(size=(12, 3))
    carrier = shoal.points(X, metric)
    names, found = gathered(carrier, X[[4, 2]])
    assert names == ("0", "1")
    np.testing.assert_allclose(found, rows_of(carrier)(np.array([4, 2])), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("scale", ["standard", "minmax", "robust"])
def test_new_points_are_scaled_as_the_old_ones(scale: str) -> None:
    X = np.random.default_rng(1).normal(size=(12, 3)) * [1, 100, 1e4] + 50
    carrier = shoal.points(X, scale=scale)
    np.testing.assert_allclose(gathered(carrier, X[[4]])[1], rows_of(carrier)(np.array([4])), rtol=1e-12, atol=1e-12)


def test_columns_of_new_points_are_found_by_name() -> None:
    import pandas as pd

    X = np.random.default_rng(1).normal(size=(12, 3))
    carrier = shoal.points(pd.DataFrame(X, columns=["a", "b", "c"]))
    turned = pd.DataFrame(X[:2], columns=["a", "b", "c"])[["c", "a", "b"]]
    assert (gathered(carrier, turned)[1] == gathered(carrier, X[:2])[1]).all()


def test_new_rows_of_distances_by_position_and_by_name() -> None:
    import pandas as pd

    D = square()
    ids = [f"i{k}" for k in range(12)]
    carrier = shoal.distances(D, ids=ids)
    new = np.random.default_rng(3).uniform(1, 2, (4, 12))
    names, found = gathered(carrier, new)
    assert names == ("0", "1", "2", "3")
    assert (found == new).all()
    order = np.random.default_rng(3).permutation(12)
    frame = pd.DataFrame(new, columns=ids, index=["w", "x", "y", "z"]).iloc[:, order]
    names, found = gathered(carrier, frame)
    assert names == ("w", "x", "y", "z")
    assert (found == new).all()
    assert gathered(carrier, new, ["p", "q", "r", "s"])[0] == ("p", "q", "r", "s")
    numbered = pd.DataFrame(new, columns=range(12))
    assert (gathered(carrier, numbered)[1] == new).all()


def test_columns_with_other_names_are_not_taken_by_position() -> None:
    import pandas as pd

    ids = [f"i{k}" for k in range(12)]
    carrier = shoal.distances(square(), ids=ids)
    mistaken = [*ids[1:], "i 0"]
    with pytest.raises(InputError, match="i0"):
        gathered(carrier, pd.DataFrame(np.ones((2, 12)), columns=mistaken))


def test_new_rows_of_similarities_turn_by_the_same_rule() -> None:
    S = 1 - square()
    new = np.random.default_rng(3).uniform(0.2, 0.9, (3, 12))
    assert (gathered(shoal.similarities(S), new)[1] == 1 - new).all()
    np.testing.assert_allclose(gathered(shoal.similarities(S, "-log s"), new)[1], -np.log(new), rtol=1e-15)
    top = float((S - np.diag(np.diag(S))).max() * 5)
    np.testing.assert_allclose(gathered(shoal.similarities(S * 5), new)[1], top - new, rtol=1e-14)
    assert (gathered(shoal.similarities(S * 5), np.full((1, 12), top + 3))[1] == 0).all()


@pytest.mark.parametrize(("rule", "value"), [("-log s", 0.0), ("1/s-1", 0.0), ("-log s", -0.5), ("arccos(s)/pi", 1.5),
                                             ("1-s", 1.5), ("sqrt(2-2s)", 7.0)])
def test_new_similarities_the_rule_is_not_defined_for_are_refused(rule: str, value: float) -> None:
    carrier = shoal.similarities(1 - square(), rule)
    new = np.full((2, 12), 0.5)
    new[1, 3] = value
    with pytest.raises(InputError, match="similarity"):
        gathered(carrier, new)


def test_new_rows_of_a_graph_of_similarities() -> None:
    carrier = shoal.graph([("a", "b", 0.5), ("b", "c", 0.25)])
    np.testing.assert_allclose(gathered(carrier, [[0.5, 0.0, 0.25]])[1], [[0.5, 1.0, 0.75]])


def test_new_items_have_no_shortest_paths() -> None:
    carrier = shoal.graph(edges(), kind="distance", missing="shortest_path")
    with pytest.raises(InputError, match="shortest paths"):
        rows_of_new(carrier, np.ones((1, 12)))


@pytest.mark.parametrize("width", [1, 11, 13])
def test_new_rows_of_another_length_are_refused(width: int) -> None:
    for carrier in (shoal.distances(square()), shoal.similarities(1 - square())):
        with pytest.raises(InputError, match=f"New items have {width} values each, and there are 12 old items"):
            rows_of_new(carrier, np.ones((2, width)))


def test_new_points_with_other_columns_are_refused() -> None:
    import pandas as pd

    carrier = shoal.points(np.ones((4, 3)) * np.arange(4)[:, None])
    with pytest.raises(InputError):
        rows_of_new(carrier, np.ones((2, 4)))
    named = shoal.points(pd.DataFrame({"a": [1.0, 2, 3], "b": [4.0, 5, 9]}))
    with pytest.raises(InputError, match="b"):
        rows_of_new(named, pd.DataFrame({"a": [1.0]}))


@pytest.mark.parametrize("value", [-0.5, np.nan, np.inf])
def test_new_distances_that_are_none_are_refused(value: float) -> None:
    new = np.ones((3, 12))
    new[1, 7] = value
    with pytest.raises(InputError):
        rows_of_new(shoal.distances(square()), new)


def test_many_new_items_come_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from shoal.data import rows

    monkeypatch.setattr(rows, "BLOCK", 30)
    new = np.random.default_rng(3).uniform(0.1, 0.9, (7, 12))
    for carrier, expected in ((shoal.distances(square()), new), (shoal.similarities(1 - square()), 1 - new)):
        _, blocks = rows_of_new(carrier, new)
        parts = list(blocks)
        assert [len(part) for part in parts] == [2, 2, 2, 1]
        assert (np.concatenate(parts) == expected).all()
