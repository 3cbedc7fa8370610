"""Trees as files: what of a tree is kept, over the format of `store.py`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from shoal.data.carriers import Carrier, Points
from shoal.data.checks import read_ids, read_weights, require_finite
from shoal.data.metrics import resolve_metric
from shoal.data.scaling import SCALINGS, Scaling
from shoal.errors import FormatError
from shoal.store import pack_strings, read_model, unpack_strings, write_model
from shoal.trees.linkage import METHODS
from shoal.trees.merges import Floats, Merges, from_nodes

__all__ = ["Parts", "points_in", "points_out", "read_tree", "write_tree"]

KIND = "tree"


class Parts(NamedTuple):
    """What a tree is made of."""

    merges: Merges
    ids: tuple[str, ...]
    method: str
    engine: str
    data: Carrier | None
    source: dict[str, Any]
    weights: Floats | None


def write_tree(tree: Parts, path: Any, *, force: bool = False, data: bool = True) -> None:
    """Write a tree; with its points, if it has any and `data` is True."""
    m = tree.merges
    names, offsets = pack_strings(tree.ids)
    arrays: dict[str, Any] = {"left": m.left, "right": m.right, "height": m.height, "ids": names, "ids_offsets": offsets}
    header: dict[str, Any] = {"kind": KIND, "method": tree.method, "engine": tree.engine,
                              "source": tree.source, "points": None}
    if tree.weights is not None:
        arrays["weights"] = tree.weights
    carrier = tree.data
    if data and isinstance(carrier, Points) and carrier.metric.function is None:
        header["points"], more = points_out(carrier)
        arrays |= more
    write_model(path, header, arrays, force=force)


def points_out(points: Points) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return points as a header and arrays."""
    header: dict[str, Any] = {"metric": points.metric.name, "columns": points.columns and list(points.columns),
                              "scale": points.scaling and points.scaling.name, "params": {}, "shape": list(points.X.shape)}
    arrays: dict[str, Any] = {}
    if isinstance(points.X, np.ndarray):
        arrays["X"] = points.X
    else:
        arrays |= {"X_data": points.X.data, "X_indices": points.X.indices, "X_indptr": points.X.indptr}
    if points.scaling is not None:
        arrays |= {"scale_center": points.scaling.center, "scale_spread": points.scaling.spread}
    for name, value in points.metric.params.items():
        if isinstance(value, np.ndarray):
            arrays[f"metric_{name}"] = value
        else:
            header["params"][name] = float(value)
    return header, arrays


def read_tree(path: Any) -> Parts:
    """Read a tree, checking that its merges are a tree and its arrays belong together."""
    header, arrays = read_model(path)
    if header.get("kind") != KIND:
        raise FormatError(f"{path} is a Shoal file, but it holds {header.get('kind')!r}, not a tree.")
    try:
        merges = _merges_in(arrays)
        ids = read_ids(unpack_strings(arrays["ids"], arrays["ids_offsets"]), merges.n)
        source = dict(header["source"])
        if np.isinf(merges.height).sum() != source.get("parts", 1) - 1:
            raise FormatError("infinite heights join other parts of a graph than it had")
        source["messages"] = [str(message) for message in source["messages"]]
        method = header["method"]
        if method not in (*METHODS, "unknown"):
            raise FormatError(f"there is no linkage method {method!r}")
        weights = read_weights(arrays.get("weights"), merges.n)
        carrier = None if header["points"] is None else points_in(header["points"], arrays, ids, weights,
                                                                             source["messages"])
        if carrier is not None and carrier.n != merges.n:
            raise FormatError(f"there are {carrier.n} points for {merges.n} items")
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FormatError(f"{path} does not hold a whole tree: {error}.", "Save the model again.") from error
    assert ids is not None
    return Parts(merges, ids, method, str(header["engine"]), carrier, source, weights)


def _merges_in(arrays: dict[str, Any]) -> Merges:
    left, right, height = arrays["left"], arrays["right"], arrays["height"]
    n = len(left) + 1
    whole = left.shape == right.shape == height.shape == (n - 1,) and left.dtype.kind == right.dtype.kind == "i"
    if not whole or not (height > -np.inf).all():  # infinite where parts of a graph meet
        raise FormatError("its merges are not columns of equal length")
    if not np.array_equal(np.sort(np.concatenate([left, right])), np.arange(2 * n - 2)):
        raise FormatError("its merges do not use every node once")
    merges = from_nodes(left, right, height)
    if not np.array_equal(merges.left, left) or not np.array_equal(merges.right, right):
        raise FormatError("its merges are not in the order of a tree")
    return merges


def points_in(header: dict[str, Any], arrays: dict[str, Any], ids: tuple[str, ...] | None, weights: Floats | None,
               messages: list[str]) -> Points:
    """Return the points that `points_out` made a header and arrays of, checked."""
    params: dict[str, Any] = {name[len("metric_"):]: value for name, value in arrays.items() if name.startswith("metric_")}
    if "X" in arrays:
        X = arrays["X"]
    else:
        from scipy import sparse

        parts = (arrays["X_data"], arrays["X_indices"], arrays["X_indptr"])
        X = sparse.csr_array(parts, shape=tuple(header["shape"]))
        X.check_format(full_check=True)
    values = X if isinstance(X, np.ndarray) else X.data[:, None]
    if X.ndim != 2 or X.dtype not in (np.float32, np.float64):
        raise FormatError(f"its points are an array of {X.ndim} dimensions of {X.dtype}")
    require_finite(values)
    columns = None if header["columns"] is None else tuple(map(str, header["columns"]))
    if columns is not None and len(columns) != X.shape[1]:
        raise FormatError(f"there are {len(columns)} names for {X.shape[1]} columns")
    return Points(X=X, metric=resolve_metric(str(header["metric"]), X, params | dict(header["params"])), ids=ids,
                  weights=weights, columns=columns,
                  scaling=_scaling_in(header["scale"], arrays, X.shape[1]), messages=tuple(messages))


def _scaling_in(name: str | None, arrays: dict[str, Any], d: int) -> Scaling | None:
    if name is None:
        return None
    center, spread = arrays["scale_center"], arrays["scale_spread"]
    if name not in SCALINGS or center.shape != (d,) or spread.shape != (d,) or not (
            np.isfinite(center).all() and np.isfinite(spread).all() and (spread > 0).all()):
        raise FormatError(f"its scaling {name!r} does not belong to {d} columns")
    return Scaling(name, center, spread)
