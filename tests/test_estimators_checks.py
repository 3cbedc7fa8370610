"""scikit-learn's own checks, on every estimator of the house."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from shoal.estimators.bisecting import BisectingKMeans
from shoal.estimators.kmeans import KMeans

DRAWN = "seeds are drawn row by row, so repeated or shuffled rows draw others; from given centres it holds, and is tested"
WEIGHTS = {"check_sample_weight_equivalence_on_dense_data": DRAWN, "check_sample_weight_equivalence_on_sparse_data": DRAWN}

ESTIMATORS: list[Any] = [
    KMeans(3, n_init=2),
    BisectingKMeans(3),
]
EXPECTED: dict[str, dict[str, str]] = {"KMeans": WEIGHTS, "BisectingKMeans": WEIGHTS}  # scikit-learn's own fail these, too


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=lambda one: EXPECTED.get(type(one).__name__, {}))
def test_scikit_learn(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)
