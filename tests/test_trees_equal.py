"""Equal rows are found, the first of each kind stands for it, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.trees.equal import first_equal


@pytest.mark.parametrize("d", [1, 3])
def test_is_the_first_of_its_kind(d: int) -> None:
    rows = np.random.default_rng(d).integers(-1, 2, size=(300, d)) * 1.0
    rows[rows == 0] = np.where(np.arange((rows == 0).sum()) % 2, 0.0, -0.0)
    seen: dict[tuple[float, ...], int] = {}
    naive = [seen.setdefault(tuple((row + 0.0).tolist()), i) for i, row in enumerate(rows)]
    assert first_equal(rows).tolist() == naive


def test_near_is_not_equal() -> None:
    rows = np.array([[1.0, 2.0], [1.0, np.nextafter(2.0, 3.0)], [1.0, 2.0]])
    assert first_equal(rows).tolist() == [0, 1, 0]
    assert first_equal(np.empty((0, 2))).tolist() == []
    assert first_equal(np.ones((5000, 1))).max() == 0
