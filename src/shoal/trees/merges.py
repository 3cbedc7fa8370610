"""`Merges`: the one form of a tree below `tree.py`, as typed columns."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.runtime.kernel import kernel, plain_if_cheap

__all__ = ["Merges", "canonical", "from_scipy", "leaf_counts", "leaf_order", "leaf_positions", "parents", "to_scipy"]

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]


PLAIN_ITEM_S = 4e-6  # an item of these loops as plain Python


class Merges(NamedTuple):
    """A binary merge tree over n items, as read-only columns of length n - 1.

    Item i is node i; merge i makes node n + i. Children come before their parent, and `left` is the child with the
    smaller smallest item. Heights do not fall from child to parent, but under centroid and median linkage they may.

    Attributes
    ----------
    left, right : ndarray of int, shape (n - 1,)
        The two nodes merged.
    height : ndarray of float64, shape (n - 1,)
        The distance at which they were.
    size : ndarray of int64, shape (n - 1,)
        Items below the new node.
    """

    left: Ints
    right: Ints
    height: Floats
    size: NDArray[np.int64]

    @property
    def n(self) -> int:
        """Number of items (leaves)."""
        return len(self.left) + 1


@kernel
def root_of(root: Any, x: int) -> int:
    """Root of x, halving the path to it."""
    while root[x] != x:
        root[x] = root[root[x]]
        x = root[x]
    return x


@kernel
def name_nodes(a: Any, b: Any, root: Any, node: Any, count: Any, left: Any, right: Any, size: Any) -> None:
    """Nodes and sizes of merges named by items. A root is its cluster's smallest item, so the smaller one goes left."""
    n = root.shape[0]
    for t in range(n - 1):
        x, y = root_of(root, a[t]), root_of(root, b[t])
        if y < x:
            x, y = y, x
        left[t], right[t] = node[x], node[y]
        root[y] = x
        node[x] = n + t
        count[x] += count[y]
        size[t] = count[x]


@kernel
def place_leaves(left: Any, right: Any, count: Any, begin: Any) -> None:
    """Position of every node's first leaf; a parent knows it before its children."""
    n = left.shape[0] + 1
    for t in range(n - 2, -1, -1):
        begin[left[t]] = begin[n + t]
        begin[right[t]] = begin[n + t] + count[left[t]]


def canonical(a: Ints, b: Ints, height: Floats) -> Merges:
    """Put merges that are named by one item of either side into canonical form.

    Parameters
    ----------
    a, b : ndarray of int, shape (n - 1,)
        An item of each of the two clusters merged, in an order in which every cluster exists when it is used.
    height : ndarray of float64, shape (n - 1,)
        In that same order, which becomes the order of the merges.
    """
    n = len(a) + 1
    index: type[np.signedinteger[Any]] = np.int32 if n < 2**30 else np.int64
    left, right, size = np.empty(n - 1, index), np.empty(n - 1, index), np.empty(n - 1, np.int64)
    with plain_if_cheap(PLAIN_ITEM_S * n):
        name_nodes(np.asarray(a, np.int64), np.asarray(b, np.int64), np.arange(n), np.arange(n), np.ones(n, np.int64),
                   left, right, size)
    return _frozen(left, right, np.array(height, np.float64), size)


def _frozen(left: Ints, right: Ints, height: Floats, size: NDArray[np.int64]) -> Merges:
    for column in (left, right, height, size):
        column.setflags(write=False)
    return Merges(left, right, height, size)


def parents(merges: Merges) -> Ints:
    """Return the parent of every node, -1 for the root; shape (2n - 1,)."""
    n = merges.n
    parent = np.full(2 * n - 1, -1, merges.left.dtype)
    nodes = np.arange(n, 2 * n - 1, dtype=parent.dtype)
    parent[merges.left] = nodes
    parent[merges.right] = nodes
    return parent


def leaf_counts(merges: Merges) -> NDArray[np.int64]:
    """Return the number of items below every node, items included; shape (2n - 1,)."""
    return np.concatenate([np.ones(merges.n, np.int64), merges.size])


def leaf_positions(merges: Merges) -> Ints:
    """Return the position of every node's first leaf, each merge's `left` child first; shape (2n - 1,), no recursion."""
    n = merges.n
    begin = np.zeros(2 * n - 1, np.int64)
    with plain_if_cheap(PLAIN_ITEM_S * n):
        place_leaves(merges.left.astype(np.int64), merges.right.astype(np.int64), leaf_counts(merges), begin)
    return begin.astype(merges.left.dtype)


def leaf_order(merges: Merges, begin: Ints | None = None) -> Ints:
    """Return the items from left to right as drawn; shape (n,)."""
    n = merges.n
    order = np.empty(n, merges.left.dtype)
    order[leaf_positions(merges)[:n] if begin is None else begin[:n]] = np.arange(n)
    return order


def to_scipy(merges: Merges) -> NDArray[np.float64]:
    """Return scipy's linkage matrix Z, shape (n - 1, 4), float64: the two nodes, the height, the number of items."""
    low = np.minimum(merges.left, merges.right)
    high = np.maximum(merges.left, merges.right)
    return np.column_stack([low, high, merges.height, merges.size]).astype(np.float64)


def from_scipy(Z: Any) -> Merges:
    """Read scipy's linkage matrix.

    Parameters
    ----------
    Z : array-like, shape (n - 1, 4)
        As `scipy.cluster.hierarchy.linkage` returns it.

    Raises
    ------
    InputError
        When a row names a node that does not exist yet or one that is used up, or sizes do not add up.
    """
    table = np.asarray(Z, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != 4:
        raise InputError(f"A linkage matrix has 4 columns; this array has shape {table.shape}.",
                         "Give Z as scipy.cluster.hierarchy.linkage returns it.")
    n = len(table) + 1
    nodes = table[:, :2]
    if not np.isfinite(table).all() or (nodes != np.floor(nodes)).any() or (nodes < 0).any():
        raise InputError("A linkage matrix names nodes by whole numbers from 0, at finite heights; this one does not.")
    early = nodes.max(axis=1, initial=-1) >= n + np.arange(n - 1)
    if early.any():
        row = int(np.argmax(early))
        raise InputError(f"Row {row} of the linkage matrix uses node {nodes[row].max():.0f} before it is made.")
    pairs = nodes.astype(np.int64)
    used = np.bincount(pairs.ravel(), minlength=2 * n - 1)
    if (used > 1).any():
        raise InputError(f"Node {int(np.argmax(used > 1))} is merged twice in this linkage matrix.")
    merges = from_nodes(pairs[:, 0], pairs[:, 1], table[:, 2])
    wrong = merges.size != table[:, 3]
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"Row {row} of the linkage matrix says {table[row, 3]:g} items; it holds {merges.size[row]}.")
    return merges


def from_nodes(first: Ints, second: Ints, height: Floats) -> Merges:
    """Make canonical merges of node pairs in an order where children come first."""
    n = len(first) + 1
    smallest = list(range(n))
    for x, y in zip(first.tolist(), second.tolist(), strict=True):
        smallest.append(min(smallest[x], smallest[y]))
    item = np.array(smallest, np.int64)
    a, b = item[np.asarray(first, np.int64)], item[np.asarray(second, np.int64)]
    return canonical(a, b, np.asarray(height, np.float64))
