"""What a data set is, and what is sound for it: on data of which it is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.distance import pdist, squareform

import shoal
from shoal.errors import InputError
from shoal.judge.geometry import measure, negative_share


def verdicts(found: shoal.advice.Advice) -> dict[str, str]:
    return {way.method: way.verdict for way in found.ways}


def test_distances_of_points_are_euclidean() -> None:
    X = np.random.default_rng(0).normal(size=(60, 2))
    found = shoal.advise(squareform(pdist(X)))
    assert (found.kind, found.n) == ("distances", 60)
    assert found.geometry is not None
    assert (found.geometry.triangle, found.geometry.zero) == (0.0, 0.0)
    assert found.geometry.negative < 1e-9
    assert found.geometry.plane == pytest.approx(1.0)
    assert found.geometry.ultrametric < 0.01
    assert verdicts(found)["ward linkage"] == "sound"
    assert verdicts(found)["spring layout, then k-means"] == "no"


def test_distances_along_a_circle_are_a_metric_and_not_euclidean() -> None:
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    gap = np.abs(turn[:, None] - turn)
    found = shoal.advise(shoal.distances(np.minimum(gap, 2 * np.pi - gap)))
    assert found.geometry is not None
    assert found.geometry.triangle == 0.0
    values = np.linalg.eigvalsh(-0.5 * _centred(np.minimum(gap, 2 * np.pi - gap) ** 2))
    assert found.geometry.negative == pytest.approx(-values[values < -1e-9].sum() / np.abs(values).sum(), rel=1e-6)
    assert verdicts(found)["ward linkage"] == "with care"
    assert "Not Euclidean" in repr(found)


def _centred(A: np.ndarray) -> np.ndarray:
    J = np.eye(len(A)) - 1 / len(A)
    return J @ A @ J


def test_a_tree_is_ultrametric() -> None:
    tree = shoal.linkage(np.random.default_rng(1).normal(size=(50, 3)), "average")
    found = shoal.advise(shoal.distances(tree.cophenetic_distances()))
    assert found.geometry is not None
    assert found.geometry.ultrametric == 1.0
    assert any("tree already" in fact for fact in found.facts)


def test_what_breaks_the_triangle_is_counted() -> None:
    D = np.ones((6, 6)) - np.eye(6)
    D[0, 1] = D[1, 0] = 2.5  # longer than any way round: of 20 triples, the 4 with both 0 and 1
    found = measure(shoal.distances(D))
    assert found.triangle == pytest.approx(4 / 20, abs=0.01)


def test_similarities() -> None:
    X = np.random.default_rng(2).normal(size=(40, 5))
    kernel = np.exp(-squareform(pdist(X, "sqeuclidean")) / 10)
    found = shoal.advise(kernel)
    assert (found.kind, verdicts(found)["kernel k-means"], verdicts(found)["spectral"]) == ("similarities", "sound", "sound")
    assert found.mercer is not None
    assert found.mercer < 1e-9
    blocks = np.kron(np.eye(2), np.full((4, 4), 0.5)) + 0.5 * np.eye(8)
    found = shoal.advise(shoal.similarities(blocks))
    assert any("2 parts" in fact for fact in found.facts)


def test_negative_similarities_are_told_and_the_call_works() -> None:
    S = np.corrcoef(np.random.default_rng(8).normal(size=(12, 30)))
    found = shoal.advise(S)
    assert verdicts(found)["spectral"] == "with care"
    call = next(way.call for way in found.ways if way.method == "spectral")
    assert call == "shoal.Spectral(k, negative='clip').fit(data)"
    shoal.Spectral(3, negative="clip").fit(shoal.similarities(S))


def test_how_far_from_a_kernel() -> None:
    S = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.9], [0.0, 0.9, 1.0]])  # eigenvalues 1, 1 ± 0.9·√2
    low, high = 1 - 0.9 * np.sqrt(2), 1 + 0.9 * np.sqrt(2)
    assert negative_share(shoal.similarities(S).pairs, 0.9) == pytest.approx(-low / (high + 1 - low))
    assert verdicts(shoal.advise(S))["kernel k-means"] == "with care"


def test_a_directed_matrix_is_told() -> None:
    S = np.random.default_rng(3).random((30, 30))
    S[np.diag_indices(30)] = 1.0
    found = shoal.advise(S)
    assert found.kind == "similarities"
    assert any("not symmetric" in fact for fact in found.facts)


def test_graphs() -> None:
    edges = [("a", "b", 2.0), ("b", "c", 1.0), ("d", "e", 3.0)]
    found = shoal.advise(shoal.graph(edges))
    assert found.kind == "graph"
    assert any("2 parts" in fact for fact in found.facts)
    roads = shoal.advise(shoal.graph(edges[:2], kind="distance", missing="shortest_path"))
    assert verdicts(roads)["single linkage"] == "sound"
    assert "2 edges, 1.3 an item; their weights are distances." in roads.facts
    apart = shoal.advise(shoal.graph(edges, kind="distance"))
    assert "It falls into 2 parts without a path between them." in apart.facts
    alone = shoal.advise(shoal.graph(edges, ids=["a", "b", "c", "d", "e", "hermit"]))
    assert any("similar to no other (hermit)" in fact for fact in alone.facts)


def test_points() -> None:
    X = np.random.default_rng(4).normal(size=(200, 3))
    X[:, 2] = 1.0
    X[5] = X[4]
    found = shoal.advise(X)
    assert found.kind == "points"
    assert any("1 of 200 items" in fact for fact in found.facts)
    assert any("1 of 3 features are constant" in fact for fact in found.facts)
    assert verdicts(found)["k-means"] == "sound"
    words = shoal.advise(shoal.points(sparse.random_array((50, 80), density=0.1, rng=np.random.default_rng(5)), "cosine"))
    assert verdicts(words)["spherical k-means"] == "sound"
    assert "ward linkage" not in verdicts(words)


def test_tables_and_refusals() -> None:
    found = shoal.advise(np.random.default_rng(6).normal(size=(20, 2)))
    table = found.to_frame("polars")
    assert table.columns == ["method", "call", "verdict", "why", "bytes", "seconds"]
    order = [("sound", "with care", "no").index(word) for word in table["verdict"]]
    assert order == sorted(order)
    with pytest.raises(InputError):
        shoal.advise([[1.0, np.nan], [2.0, 3.0]])
