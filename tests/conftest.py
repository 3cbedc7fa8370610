"""What every test may use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

# Compiling a kernel takes seconds once; a deadline would call that a failure.
settings.register_profile("shoal", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("shoal")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def tutorial150() -> NDArray[np.float64]:
    """Give the 150 points of a well-known tutorial on scipy's hierarchical clustering: two clouds of 100 and 50."""
    # The legacy generator, as there: its stream is frozen.
    rng = np.random.RandomState(4711)
    shape = [[3, 1], [1, 4]]
    return np.concatenate([rng.multivariate_normal([10, 0], shape, 100), rng.multivariate_normal([0, 20], shape, 50)])


@pytest.fixture(scope="session")
def example_data() -> Path:
    """Give the folder of the example data."""
    return ROOT / "examples" / "data"


@pytest.fixture
def child_env() -> dict[str, str]:
    """Give the environment for a Python process of its own that imports this same package."""
    paths = [str(ROOT / "src"), str(ROOT / "tests"), *(p for p in sys.path if p.endswith("site-packages"))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


@pytest.fixture(autouse=True)
def _one_sample(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge the stability of rules by one sample instead of eight in tests of pages and commands: a fifth of their time."""
    if request.module.__name__.startswith(("test_cli", "test_report", "test_same", "test_examples")):
        monkeypatch.setattr("shoal.cuts.panel.DRAWS", 1)
