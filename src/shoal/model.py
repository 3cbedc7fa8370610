"""Trees as files: what of a tree is kept, over the format of `store.py`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from shoal.data.carriers import Carrier, Points
from shoal.data.metrics import Metric
from shoal.data.scaling import Scaling
from shoal.errors import FormatError
from shoal.store import pack_strings, read_model, unpack_strings, write_model
from shoal.trees.merges import Merges, from_nodes

__all__ = ["Parts", "read_tree", "write_tree"]

KIND = "tree"


class Parts(NamedTuple):
    """What a tree is made of."""

    merges: Merges
    ids: tuple[str, ...]
    method: str
    engine: str
    data: Carrier | None
    source: dict[str, Any]


def write_tree(tree: Parts, path: Any, *, force: bool = False, data: bool = True) -> None:
    """Write a tree; with its points, if it has any and `data` is True."""
    m = tree.merges
    names, offsets = pack_strings(tree.ids)
    arrays: dict[str, Any] = {"left": m.left, "right": m.right, "height": m.height, "ids": names, "ids_offsets": offsets}
    header: dict[str, Any] = {"kind": KIND, "method": tree.method, "engine": tree.engine,
                              "source": tree.source, "points": None}
    if tree.data is not None and tree.data.weights is not None:
        arrays["weights"] = tree.data.weights
    carrier = tree.data
    if data and isinstance(carrier, Points) and carrier.metric.function is None:
        header["points"], more = _points_out(carrier)
        arrays |= more
    write_model(path, header, arrays, force=force)


def _points_out(points: Points) -> tuple[dict[str, Any], dict[str, Any]]:
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
        merges = from_nodes(arrays["left"], arrays["right"], arrays["height"])
        same = np.array_equal(merges.left, arrays["left"]) and np.array_equal(merges.right, arrays["right"])
        ids = tuple(unpack_strings(arrays["ids"], arrays["ids_offsets"]))
        carrier = None if header["points"] is None else _points_in(header["points"], arrays, ids)
        tree = Parts(merges, ids, str(header["method"]), str(header["engine"]), carrier, dict(header["source"]))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"{path} does not hold a whole tree: {error}.", "Save the model again.") from error
    if not same or len(ids) != merges.n or (carrier is not None and carrier.n != merges.n):
        raise FormatError(f"The parts of {path} do not belong together.", "Save the model again.")
    return tree


def _points_in(header: dict[str, Any], arrays: dict[str, Any], ids: tuple[str, ...]) -> Points:
    params: dict[str, Any] = {name[len("metric_"):]: value for name, value in arrays.items() if name.startswith("metric_")}
    scaling = None
    if header["scale"] is not None:
        spread = arrays["scale_spread"]
        scaling = Scaling(str(header["scale"]), arrays["scale_center"], spread)
    if "X" in arrays:
        X = arrays["X"]
    else:
        from scipy import sparse

        parts = (arrays["X_data"], arrays["X_indices"], arrays["X_indptr"])
        X = sparse.csr_array(parts, shape=tuple(header["shape"]))
        X.check_format(full_check=True)
    columns = header["columns"]
    return Points(X=X, metric=Metric(str(header["metric"]), params | dict(header["params"])), ids=ids,
                  weights=arrays.get("weights"), columns=None if columns is None else tuple(columns), scaling=scaling)
