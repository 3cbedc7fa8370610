"""The examples run, and find what their guide says they find."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tutorial() -> ModuleType:
    return example("tutorial")


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Drop the figures pyplot would keep until the process ends."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


def test_the_tutorials_points(tutorial: ModuleType, tutorial150: Any) -> None:
    few, many = tutorial.clouds()
    np.testing.assert_array_equal(few, tutorial150)
    np.testing.assert_array_equal(many[:150], few)
    assert many.shape == (750, 2)
    for start, middle in zip((150, 350, 550), ([40, 40], [80, 80], [0, 100]), strict=True):
        np.testing.assert_allclose(many[start:start + 200].mean(axis=0), middle, atol=1.5)


def test_the_tutorial(tutorial: ModuleType, tmp_path: Path) -> None:
    found = tutorial.main(tmp_path / "out")
    assert found["correlation"] == pytest.approx(0.98001483875742679, rel=1e-12)
    assert found["nested"] == "((33, 68), 62)"
    assert np.round(found["first"]["height"], 5).tolist() == [0.04151, 0.05914, 0.07107, 0.07137]
    assert {name: cut.k for name, cut in found["rules"].items()} == {"inconsistent": 2, "elbow": 2, "suggested": 2}
    assert {name: cut.k for name, cut in found["fails"].items()} == {"inconsistent": 10, "elbow": 4, "gap": 3,
                                                                     "suggested": 5}
    assert found["fails"]["suggested"].sizes.tolist() == [100, 50, 200, 200, 200]
    for cut in (found["by_height"], found["by_number"]):
        assert cut.labels.tolist() == [0] * 100 + [1] * 50
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"{name}.svg" for name in ("tree", "last", "heights", "cut-at-50", "cut-at-16", "elbow", "wide",
                                                "wide-elbow", "items", "wide-items")}


def test_the_gallery(tmp_path: Path) -> None:
    gallery = example("gallery")
    written = gallery.main(tmp_path / "gallery", "svg")
    assert all(path.read_bytes().startswith(b"<?xml") for path in written)
    assert (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8") == gallery.page()
    shown = {path.stem for path in (ROOT / "docs" / "gallery").iterdir()}
    assert shown == {path.stem for path in written} == {picture.__name__ for picture in gallery.PICTURES}
