"""Neighbour graphs of regular grids: images, volumes, maps that wrap around."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError, is_whole
from shoal.runtime import memory

__all__ = ["grid"]

ENTRY_BYTES = 60  # peak, an offset and cell: both directions with their sort, and the result


def grid(shape: Any, *, periodic: Any = (), mask: Any = None, diagonal: bool = False) -> Any:
    """Join the neighbouring cells of a regular grid.

    Parameters
    ----------
    shape : int, sequence of int, mapping, or sequence of (name, int)
        Cells along every axis, any number of axes: ``(480, 640)``, or with names ``{"lat": 73, "lon": 144}``.
    periodic : int, str, or sequence of them, default ()
        Positions or names of the axes that wrap, so that the last cell is beside the first, as with longitude.
    mask : array-like of bool, of that shape, optional
        Only cells where it is True are items.
    diagonal : bool, default False
        Join cells that touch at a corner or an edge too: 8 neighbours instead of 4 in two dimensions.

    Returns
    -------
    csr_array of float64, shape (n, n)
        1 where two cells are neighbours: symmetric, its diagonal empty. Items are the cells in C order (the last axis
        runs fastest), as ``X[mask]`` and ``X.reshape(-1, d)`` have them.

    Raises
    ------
    InputError
        For sizes below 1, axes that do not exist, and a mask of another shape or type, or without any cell.

    Notes
    -----
    O(n·k) time and memory, k being the neighbours of a cell: 2 an axis, or ``3**axes - 1`` with `diagonal`.

    Examples
    --------
    >>> grid((2, 3)).toarray().astype(int)
    array([[0, 1, 0, 1, 0, 0],
           [1, 0, 1, 0, 1, 0],
           [0, 1, 0, 0, 0, 1],
           [1, 0, 0, 0, 1, 0],
           [0, 1, 0, 1, 0, 1],
           [0, 0, 1, 0, 1, 0]])
    >>> grid({"lat": 73, "lon": 144}, periodic="lon").nnz
    41760
    """
    from scipy import sparse

    names, sizes = _axes(shape)
    wraps = _wrapping(periodic, names, len(sizes))
    offsets = _offsets(len(sizes), diagonal)
    memory.require(ENTRY_BYTES * math.prod(sizes) * len(offsets), None, f"the graph of a {_times(sizes)} grid",
                   "Use a coarser grid, or leave out diagonal=True.")
    number, n = _numbers(mask, sizes)
    found = [_beside(number, offset, wraps) for offset in offsets]
    low = np.concatenate([pair[0] for pair in found])
    high = np.concatenate([pair[1] for pair in found])
    ends = np.concatenate([low, high]), np.concatenate([high, low])
    graph = sparse.coo_array((np.ones(2 * len(low)), ends), shape=(n, n)).tocsr()
    graph.data[:] = 1.0  # a ring of two cells has each pair twice, which tocsr has summed
    return graph


def _times(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))


def _axes(shape: Any) -> tuple[list[str] | None, tuple[int, ...]]:
    """Read the sizes, and the names where there are any."""
    given = list(shape.items()) if isinstance(shape, Mapping) else [shape] if is_whole(shape) else shape
    if isinstance(given, str) or not isinstance(given, Sequence | np.ndarray) or len(given) == 0:
        raise InputError(f"The shape of the grid is {shape!r}.",
                         "Give the cells along every axis, such as (480, 640) or {'lat': 73, 'lon': 144}.")
    named = [isinstance(axis, Sequence) and not isinstance(axis, str) and len(axis) == 2 for axis in given]
    sizes = [axis[1] for axis in given] if all(named) else list(given)
    for size in sizes:
        if not is_whole(size) or size < 1:
            raise InputError(f"The shape of the grid, {shape!r}, has an axis of {size!r} cells.",
                             "Give a whole number of at least 1 for every axis.")
    names = [str(axis[0]) for axis in given] if all(named) else None
    if names and len(set(names)) < len(names):
        raise InputError(f"Axes of the grid share a name: {', '.join(names)}.", "Give every axis a name of its own.")
    return names, tuple(int(size) for size in sizes)


def _wrapping(periodic: Any, names: list[str] | None, axes: int) -> frozenset[int]:
    """Read which axes wrap, as positions from 0."""
    given = [periodic] if isinstance(periodic, str) or is_whole(periodic) else periodic
    if not isinstance(given, Sequence | set | frozenset | np.ndarray):
        raise InputError(f"periodic={periodic!r} was given.", "Give names or positions of axes, such as ('lon',) or (1,).")
    wraps = set()
    for axis in given:
        if isinstance(axis, str) and axis in (names or ()):
            wraps.add((names or []).index(axis))
        elif is_whole(axis) and -axes <= axis < axes:
            wraps.add(int(axis) % axes)
        else:
            known = f"named {', '.join(names)}" if names else "without names"
            raise InputError(f"The grid has no axis {axis!r} that could wrap; it has {axes} axes {known}.",
                             "Give names, or positions counted from 0.")
    return frozenset(wraps)


def _offsets(axes: int, diagonal: bool) -> list[tuple[int, ...]]:
    """Steps to half of a cell's neighbours; the other half has the cell among its own."""
    if diagonal:
        return list(itertools.product((-1, 0, 1), repeat=axes))[3**axes // 2 + 1:]  # those after the zero step
    return [tuple(int(axis == k) for axis in range(axes)) for k in range(axes)]


def _numbers(mask: Any, sizes: tuple[int, ...]) -> tuple[NDArray[np.int64], int]:
    """Number the cells that are items in C order, -1 elsewhere; return also how many there are."""
    if mask is None:
        return np.arange(math.prod(sizes)).reshape(sizes), math.prod(sizes)
    cells = np.asarray(mask)
    if cells.shape != sizes or cells.dtype != np.bool_:
        raise InputError(f"The mask has shape {cells.shape} and type {cells.dtype}; the grid has shape {sizes}.",
                         "Give an array of bool of the grid's shape, for example np.isfinite(image).")
    n = int(np.count_nonzero(cells))
    if n == 0:
        raise InputError("The mask is False everywhere, so the grid has no cells.", "Set it to True where there is data.")
    return np.where(cells.ravel(), np.cumsum(cells) - 1, -1).reshape(sizes), n


def _beside(number: NDArray[np.int64], offset: tuple[int, ...],
            wraps: frozenset[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs of items one step of `offset` apart."""
    here, there = number, number
    for axis, step in enumerate(offset):
        if step and axis in wraps:
            there = np.roll(there, -step, axis)
        elif step:
            first, last = (slice(None),) * axis + (slice(None, -1),), (slice(None),) * axis + (slice(1, None),)
            here, there = (here[first], there[last]) if step > 0 else (here[last], there[first])
    pairs = (here >= 0) & (there >= 0) & (here != there)
    return here[pairs], there[pairs]
