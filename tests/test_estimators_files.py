"""Fitted estimators come back from their files as they were, and files cannot make anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shoal
from shoal.errors import FormatError, InputError
from shoal.store import read_model, write_model

X = np.concatenate([np.random.default_rng(c).normal(6 * c, (1, 30), (15, 2)) for c in range(3)])
NAMES = [f"item {i}" for i in range(45)]
MODELS = {
    "k-means": lambda: shoal.KMeans(3, random_state=0), "cosine": lambda: shoal.KMeans(3, metric="cosine", random_state=0),
    "bisecting": lambda: shoal.BisectingKMeans(3, random_state=0), "medoids": lambda: shoal.KMedoids(3),
    "kernel": lambda: shoal.KernelKMeans(3, kernel="rbf", random_state=0),
    "spectral": lambda: shoal.Spectral(3, affinity="neighbors", random_state=0),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("data", [True, False], ids=["with-data", "without"])
def test_everything_comes_back(name: str, data: bool, tmp_path: Path) -> None:
    items = shoal.points(X, ids=NAMES, scale="standard", columns=["small", "large"])
    model = MODELS[name]().fit(items)
    model.save(tmp_path / "m.shoal", data=data)
    again, new = shoal.load(tmp_path / "m.shoal"), shoal.points(X[::4], columns=["small", "large"])
    assert type(again) is type(model)
    assert repr(again.get_params()) == repr(model.get_params())
    np.testing.assert_array_equal(again.labels_, model.labels_)
    assert again.clusters_.ids == model.clusters_.ids == tuple(NAMES)
    assert (again.clusters_.data is not None) is data
    if not data and name in ("kernel", "spectral"):
        with pytest.raises(InputError, match="at hand"):  # new items are placed by the old ones
            again.predict(new)
        return
    np.testing.assert_array_equal(again.predict(new), model.predict(new))  # scaled as the old ones were
    assert again.feature_names_in_.tolist() == ["small", "large"]


def test_what_it_refuses(tmp_path: Path) -> None:
    model = shoal.KMeans(2, random_state=np.random.RandomState(0)).fit(X)
    with pytest.raises(InputError, match="random_state"):
        model.save(tmp_path / "m.shoal")
    good = shoal.KMeans(2, random_state=0).fit(X)
    good.save(tmp_path / "m.shoal")
    with pytest.raises(InputError, match="exists"):
        good.save(tmp_path / "m.shoal")
    header, arrays = read_model(tmp_path / "m.shoal")

    def changed(**parts: Any) -> Path:
        write_model(tmp_path / "x.shoal", {key: value for key, value in (header | parts).items() if key != "arrays"}, arrays,
                    force=True)
        return tmp_path / "x.shoal"

    for parts, words in (({"estimator": "Pipeline"}, "does not know"), ({"learned": None}, "whole KMeans"),
                         ({"params": {"n_clusters": {"array": "nothing"}}}, "whole KMeans")):
        with pytest.raises(FormatError, match=words):
            shoal.load(changed(**parts))
