"""Fitted estimators as model files, over the format of `store.py`; and `load`, which opens any model file."""

from __future__ import annotations

import dataclasses
import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal import model
from shoal.data.carriers import Points
from shoal.errors import FormatError, InputError
from shoal.store import pack_strings, read_model, unpack_strings, write_model
from shoal.tree import Tree

if TYPE_CHECKING:
    from shoal.estimators.base import Reader

__all__ = ["load", "write_estimator"]

KIND = "estimator"
HOME = {  # only these are looked up by name: a file cannot make another class
    "BisectingKMeans": "bisecting", "KMeans": "kmeans", "KMedoids": "kmedoids", "KernelKMeans": "kernel_kmeans",
    "MDS": "mds", "Spectral": "spectral",
}
BY_CENTERS = ("BisectingKMeans", "KMeans", "KMedoids")  # these place new items without the old ones
SPARSE = ("data", "indices", "indptr")


def load(path: Any) -> Any:
    """Read a model that was saved: a `Tree`, or a fitted estimator.

    Parameters
    ----------
    path : path-like
        What `Tree.save` or an estimator's `save` wrote.

    Returns
    -------
    Tree or estimator

    Raises
    ------
    FormatError
        When the file is not one, is damaged, or is of a newer version.

    Examples
    --------
    >>> import pathlib, tempfile, shoal
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "two.shoal"
    >>> shoal.linkage([[0.0], [1.0], [9.0]]).save(file)
    >>> shoal.load(file)
    Tree(3 items, method='ward', engine='stored')
    """
    header, arrays = read_model(path)
    if header.get("kind") != KIND:
        return Tree(*model.read_tree(path))
    return _estimator_in(path, header, arrays)


def write_estimator(estimator: Reader, path: Any, *, force: bool, data: bool) -> None:
    """Write parameters and what was learned, with the points if `data`."""
    name, arrays = type(estimator).__name__, dict[str, Any]()
    header: dict[str, Any] = {
        "kind": KIND, "estimator": name, "points": None, "features": int(estimator.n_features_in_),
        "names": [str(one) for one in getattr(estimator, "feature_names_in_", ())],
        "params": {key: _packed(f"param:{key}", value, arrays) for key, value in estimator.get_params(deep=False).items()},
        "learned": {key: _packed(f"learned:{key}", getattr(estimator, key), arrays)
                    for key in estimator._learned if hasattr(estimator, key)}}
    ids = getattr(estimator, "ids_", None)
    if ids is not None:
        arrays["ids"], arrays["ids_offsets"] = pack_strings(ids)
    carrier = getattr(estimator, "data_", None)
    if isinstance(carrier, Points) and carrier.metric.function is None and (data or name in BY_CENTERS):
        if not data:  # new items must still be scaled as the old ones were
            carrier = dataclasses.replace(carrier, X=carrier.X[:0], ids=None, weights=None)
        header["points"], more = model.points_out(carrier)
        arrays |= more
    write_model(path, header, arrays, force=force)


def _packed(name: str, value: Any, arrays: dict[str, Any]) -> Any:
    """Return a value as JSON; arrays go to `arrays` under `name`, and the JSON says so."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else {"float": repr(value)}
    if isinstance(value, (list, tuple)) and all(isinstance(one, (bool, int, float, str)) for one in value):
        return list(value)
    if isinstance(value, dict):
        return {"dict": {str(key): _packed(f"{name}:{key}", one, arrays) for key, one in value.items()}}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        arrays[name] = value
        return {"array": name}
    if hasattr(value, "indptr"):
        for part in SPARSE:
            arrays[f"{name}:{part}"] = getattr(value, part)
        return {"sparse": name, "shape": list(value.shape)}
    raise InputError(f"{name.split(':', 1)[1]} is {value!r}, which a model file cannot hold.",
                     "Models with functions or random generators as parameters can be pickled, not saved.")


def _unpacked(value: Any, arrays: dict[str, Any]) -> Any:
    if not isinstance(value, dict):
        return value
    if "dict" in value:
        return {key: _unpacked(one, arrays) for key, one in value["dict"].items()}
    if "float" in value:
        return float(value["float"])
    if "array" in value:
        return arrays[value["array"]]
    from scipy import sparse

    found = sparse.csr_array(tuple(arrays[f"{value['sparse']}:{part}"] for part in SPARSE), shape=tuple(value["shape"]))
    found.check_format(full_check=True)
    return found


def _points_in(header: dict[str, Any], arrays: dict[str, Any], ids: tuple[str, ...] | None) -> Points:
    """Read the points, of which only the scaling and the names of features may have been kept."""
    found = model.points_in(header, arrays, None, None, [])
    return found if found.n == 0 else dataclasses.replace(found, ids=ids)


def _estimator_in(path: Any, header: dict[str, Any], arrays: dict[str, Any]) -> Any:
    name = header.get("estimator")
    if name not in HOME:
        raise FormatError(f"{path} holds a model {name!r}, which this version does not know.")
    kind = getattr(import_module(f"shoal.estimators.{HOME[name]}"), name)
    try:
        known = inspect.signature(kind).parameters
        params = {key: _unpacked(value, arrays) for key, value in header["params"].items() if key in known}
        found = kind(**params)
        found.n_features_in_ = int(header["features"])
        if header["names"]:
            found.feature_names_in_ = np.array([str(one) for one in header["names"]], dtype=object)
        found.ids_ = tuple(unpack_strings(arrays["ids"], arrays["ids_offsets"])) if "ids" in arrays else None
        found.data_ = None if header["points"] is None else _points_in(header["points"], arrays, found.ids_)
        for key in kind._learned:
            if key in header["learned"]:
                setattr(found, key, _unpacked(header["learned"][key], arrays))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FormatError(f"{path} does not hold a whole {name}: {error}.", "Save the model again.") from error
    return found
