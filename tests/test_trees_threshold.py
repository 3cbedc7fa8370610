"""Trees up to a height: the merges at or below it are those of the whole tree."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import shoal
from certificates import assert_valid_merges
from shoal.errors import InputError
from shoal.runtime import pool
from shoal.trees import threshold
from shoal.trees.threshold import METHODS

Floats = NDArray[np.float64]


def cloud(n: int, d: int = 2, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + 6 * rng.normal(size=(n // 15 + 1, d))[rng.integers(n // 15 + 1, size=n)]


def check_below(X: Floats, method: str, stop: float, weights: Floats | None = None) -> None:
    whole = shoal.linkage(X, method, weights=weights, engine="stored")
    part = shoal.linkage(X, method, weights=weights, stop_height=stop)
    kept = int((whole.merges.height <= stop).sum())
    np.testing.assert_allclose(part.merges.height[:kept], whole.merges.height[:kept], rtol=1e-10)
    assert np.isinf(part.merges.height[kept:]).all()
    assert part.parts == part.n - kept
    np.testing.assert_array_equal(part.cut(k=part.n - kept).labels, part.cut(height=stop).labels)
    a, b = part.cut(height=stop), whole.cut(height=stop)
    assert {frozenset(m) for m in a.members().values()} == {frozenset(m) for m in b.members().values()}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 0.97, 1.0])
@pytest.mark.parametrize("small", [1, 32])
def test_merges_below_are_those_of_the_whole_tree(method: str, share: float, small: int,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threshold, "SMALL", small)
    X = cloud(300)
    height = shoal.linkage(X, method).merges.height
    check_below(X, method, float(np.quantile(height, share)) * (1 + 1e-9))


@pytest.mark.parametrize("method", METHODS)
def test_weights_and_more_features(method: str) -> None:
    X, w = cloud(200, 12), np.random.default_rng(1).integers(1, 5, 200).astype(float)
    height = shoal.linkage(X, method, weights=w).merges.height
    check_below(X, method, float(np.quantile(height, 0.6)) * (1 + 1e-9), w)


def test_nothing_and_duplicates() -> None:
    X = np.repeat(cloud(40), 5, axis=0)
    tree = shoal.linkage(X, "ward", stop_height=0.0)
    assert tree.parts == 40
    assert (tree.merges.height[:160] == 0).all()
    assert shoal.linkage(cloud(50), "average", stop_height=0.0).parts == 50
    assert shoal.linkage(cloud(50), "average", stop_height=1e9).parts == 1
    assert shoal.linkage([[1.0]], "average", stop_height=1.0).n == 1


@pytest.mark.parametrize("method", ["single", "ward"])
def test_a_larger_set_for_any_number_of_threads(method: str) -> None:
    X, trees = cloud(3000, 3), []
    try:
        for threads in (1, 2, 5):
            pool.set_threads(threads)
            trees.append(shoal.linkage(X, method, stop_height=0.8).merges)
    finally:
        pool.set_threads(None)
    height = np.nan_to_num(trees[0].height, posinf=1e9)
    height.setflags(write=False)
    assert_valid_merges(trees[0]._replace(height=height))
    for tree in trees[1:]:
        for column, expected in zip(tree, trees[0], strict=True):
            np.testing.assert_array_equal(column, expected)


def test_saying_so_and_saving(tmp_path: object) -> None:
    tree = shoal.linkage(cloud(100), "average", stop_height=1.0)
    assert any("above 1 were not computed" in message for message in tree.messages)
    tree.save(f"{tmp_path}/part.shoal")
    loaded = shoal.load(f"{tmp_path}/part.shoal")
    assert loaded.parts == tree.parts
    assert loaded.messages == tree.messages


def test_refusals() -> None:
    with pytest.raises(InputError, match="centroid linkage can go below"):
        shoal.linkage(cloud(20), "centroid", stop_height=1.0)
    with pytest.raises(InputError, match="weights of at least 1"):
        shoal.linkage(cloud(20), "ward", weights=np.full(20, 0.5), stop_height=1.0)
    with pytest.raises(InputError, match="at least 0"):
        shoal.linkage(cloud(20), "ward", stop_height=-1.0)
    with pytest.raises(InputError, match="at least 0"):
        shoal.linkage(cloud(20), "ward", stop_height=float("nan"))
    with pytest.raises(InputError, match="dense points"):
        shoal.linkage(shoal.points(cloud(20), "cityblock"), "average", stop_height=1.0)
    with pytest.raises(InputError, match="connectivity"):
        shoal.linkage(cloud(20), "ward", stop_height=1.0, connectivity=shoal.grid((20,)))
