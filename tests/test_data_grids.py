"""Neighbour graphs of grids: against a loop over all pairs of cells, and against scikit-learn's."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.data.grids import grid
from shoal.errors import InputError, TooLargeError


def naive(sizes: tuple[int, ...], wraps: set[int], mask: Any, diagonal: bool) -> Any:
    """Look at all pairs of cells: neighbours are one step apart on one axis, or at most one step on every axis."""
    cells = [cell for cell in np.ndindex(sizes) if mask is None or mask[cell]]
    table = np.zeros((len(cells), len(cells)))
    for (i, one), (j, other) in itertools.combinations(enumerate(cells), 2):
        steps = []
        for axis, (p, q) in enumerate(zip(one, other, strict=True)):
            gap = abs(p - q)
            steps.append(min(gap, sizes[axis] - gap) if axis in wraps else gap)
        if max(steps) == 1 and (diagonal or sum(steps) == 1):
            table[i, j] = table[j, i] = 1.0
    return table


@given(st.data())
def test_is_what_a_look_at_all_pairs_finds(data: st.DataObject) -> None:
    sizes = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    wraps = data.draw(st.sets(st.integers(0, len(sizes) - 1)))
    diagonal = data.draw(st.booleans())
    mask = np.random.default_rng(data.draw(st.integers(0, 99))).random(sizes) < 0.7 if data.draw(st.booleans()) else None
    if mask is not None:
        mask.flat[0] = True
    found = grid(sizes, periodic=wraps, mask=mask, diagonal=diagonal)
    assert found.dtype == np.float64
    assert found.has_canonical_format
    assert (found.data == 1.0).all()
    np.testing.assert_array_equal(found.toarray(), naive(sizes, wraps, mask, diagonal))


@pytest.mark.parametrize("sizes", [(5, 7), (3, 4, 5), (1, 6)])
def test_is_scikit_learns_graph(sizes: tuple[int, ...]) -> None:
    from sklearn.feature_extraction.image import grid_to_graph

    mask = np.random.default_rng(1).random(sizes) < 0.8
    for where in (None, mask):
        theirs = grid_to_graph(*sizes, mask=where).toarray().astype(float)
        np.fill_diagonal(theirs, 0.0)
        np.testing.assert_array_equal(grid(sizes, mask=where).toarray(), theirs)


def test_longitude_wraps_by_name_or_position() -> None:
    by_name = grid({"lat": 3, "lon": 5}, periodic="lon")
    for other in (grid((3, 5), periodic=1), grid([3, 5], periodic=[-1]), grid((("lat", 3), ("lon", 5)), periodic=("lon",))):
        np.testing.assert_array_equal(by_name.toarray(), other.toarray())
    assert by_name[0, 4] == 1.0
    assert by_name[0, 10] == 0.0  # latitude does not


def test_rings_of_one_and_two_cells_have_no_double_or_own_neighbours() -> None:
    assert grid(1, periodic=0).nnz == 0
    np.testing.assert_array_equal(grid(2, periodic=0).toarray(), [[0, 1], [1, 0]])
    np.testing.assert_array_equal(grid(3, periodic=0).toarray(), 1 - np.eye(3))


def test_four_dimensions() -> None:
    plain, full = grid((3, 3, 3, 3)), grid((3, 3, 3, 3), diagonal=True)
    middle = 40
    assert plain.shape == (81, 81)
    assert plain[[middle]].nnz == 8
    assert full[[middle]].nnz == 80
    assert plain[[0]].nnz == 4
    assert full[[0]].nnz == 15


def test_masked_cells_are_numbered_as_boolean_indexing_does() -> None:
    mask = np.array([[True, False, True], [True, True, True]])
    found = grid((2, 3), mask=mask)
    cells = np.arange(6).reshape(2, 3)[mask].tolist()
    whole = grid((2, 3)).toarray()
    np.testing.assert_array_equal(found.toarray(), whole[np.ix_(cells, cells)])


@pytest.mark.parametrize(("arguments", "words"), [
    ({"shape": ()}, "shape of the grid is"), ({"shape": "ab"}, "shape of the grid is"),
    ({"shape": 2.5}, "shape of the grid is"),
    ({"shape": (3, 0)}, "axis of 0 cells"), ({"shape": (3, 2.0)}, "axis of 2.0 cells"),
    ({"shape": (3, True)}, "axis of True cells"), ({"shape": {"x": "3"}}, "axis of '3' cells"),
    ({"shape": (("x", 2), ("x", 3))}, "share a name"),
    ({"shape": (2, 3), "periodic": 2}, "no axis 2"), ({"shape": (2, 3), "periodic": "lon"}, "no axis 'lon'"),
    ({"shape": {"x": 2}, "periodic": ["y"]}, "named x"), ({"shape": (2, 3), "periodic": None}, "periodic=None"),
    ({"shape": (2, 3), "periodic": 1.5}, "periodic=1.5"), ({"shape": (2, 3), "periodic": (True,)}, "no axis True"),
    ({"shape": (2, 2), "mask": np.ones((2, 3), bool)}, "mask has shape"),
    ({"shape": (2, 2), "mask": np.ones((2, 2))}, "type float64"),
    ({"shape": (2, 2), "mask": np.zeros((2, 2), bool)}, "False everywhere"),
])
def test_nonsense_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        grid(**arguments)


def test_a_grid_beyond_memory_is_refused_before_it_is_made() -> None:
    with pytest.raises(TooLargeError, match="1000000 x 1000000 grid"):
        grid((10**6, 10**6))
