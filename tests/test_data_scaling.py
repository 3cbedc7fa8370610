"""Scaling: against the formulas, for constant, shifted and huge columns, dense and sparse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from shoal.data.carriers import points
from shoal.data.scaling import Scaling
from shoal.errors import InputError

X = np.array([[1.0, 7.0, -2.0], [2.0, 7.0, 0.0], [4.0, 7.0, 5.0], [8.0, 7.0, 5.0]])


def test_golden():
    standard = Scaling.fit("standard", X)
    np.testing.assert_allclose(standard.center, [3.75, 7, 2])
    np.testing.assert_allclose(standard.spread, [np.sqrt(7.1875), 1, np.sqrt(9.5)])
    minmax = Scaling.fit("minmax", X)
    np.testing.assert_array_equal(minmax.apply(X), [[0, 0, 0], [1 / 7, 0, 2 / 7], [3 / 7, 0, 1], [1, 0, 1]])
    robust = Scaling.fit("robust", X)
    np.testing.assert_array_equal(robust.center, [3, 7, 2.5])
    np.testing.assert_array_equal(robust.spread, [5 - 1.75, 1, 5 - -0.5])
    assert robust.constant == (1,)


@given(hnp.arrays(np.float64, st.tuples(st.integers(2, 20), st.integers(1, 3)), elements=st.floats(-1e6, 1e6)))
def test_standard_is_numpys_mean_and_std(data):
    scaling = Scaling.fit("standard", data)
    np.testing.assert_allclose(scaling.center, data.mean(axis=0), rtol=1e-12, atol=1e-9)
    expected = np.where(data.min(axis=0) == data.max(axis=0), 1.0, data.std(axis=0))
    np.testing.assert_allclose(scaling.spread, expected, rtol=1e-7, atol=1e-9)


def test_blocks_do_not_change_the_result(monkeypatch):
    data = np.random.default_rng(0).normal(size=(101, 3))
    whole = {name: Scaling.fit(name, data) for name in ("standard", "minmax", "robust")}
    monkeypatch.setattr("shoal.data.scaling.BLOCK", 20)
    for name, scaling in whole.items():
        again = Scaling.fit(name, data)
        np.testing.assert_allclose(again.center, scaling.center, rtol=1e-13, atol=1e-16)
        np.testing.assert_allclose(again.spread, scaling.spread, rtol=1e-13)
        np.testing.assert_allclose(scaling.apply(data), (data - scaling.center) / scaling.spread, rtol=1e-12, atol=1e-14)


def test_an_offset_does_not_hurt():
    shifted = Scaling.fit("standard", X + 1e8)
    np.testing.assert_allclose(shifted.apply(X + 1e8), Scaling.fit("standard", X).apply(X), atol=1e-7)


@pytest.mark.parametrize("name", ["standard", "minmax", "robust"])
@pytest.mark.parametrize("scale", [1e308, 1e-300])
def test_huge_and_tiny_columns(name, scale):
    data = np.array([[-1.0], [0.5], [1.0]]) * scale
    scaled = Scaling.fit(name, data).apply(data)
    assert np.isfinite(scaled).all()
    reference = np.array([[-1.0], [0.5], [1.0]])
    if name != "minmax" or scale < 1:  # both ends are further apart than a float can say
        np.testing.assert_allclose(scaled, Scaling.fit(name, reference).apply(reference), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["standard", "minmax"])
def test_sparse_spread_counts_the_zeros(name):
    dense = np.array([[0.0, 3, 5, 0], [2, 3, 0, 0], [0, 3, -1, 0]])
    scaling, expected = Scaling.fit(name, sparse.csr_array(dense)), Scaling.fit(name, dense)
    np.testing.assert_allclose(scaling.spread, expected.spread, rtol=1e-14)
    assert scaling.constant == expected.constant == (1, 3)
    assert not scaling.center.any()
    data = sparse.csr_array(dense)
    np.testing.assert_allclose(scaling.apply(data).toarray(), dense / expected.spread)
    np.testing.assert_array_equal(data.toarray(), dense)


def test_through_the_door():
    carrier = points(X.astype(np.float32), scale="minmax", columns=["p", "q", "r"])
    assert carrier.dtype == np.float32
    assert any("'q'" in m and "constant" in m for m in carrier.messages)
    again = points(X, scale=carrier.scaling)
    np.testing.assert_allclose(again.X, carrier.X, rtol=1e-6)
    thin = points(sparse.csr_array(X), scale="standard")
    assert any("without centring" in m for m in thin.messages)
    with pytest.raises(InputError, match="sparse"):
        points(sparse.csr_array(X), scale="robust")
    with pytest.raises(InputError, match=r"'zscore'.*'standard'"):
        points(X, scale="zscore")
