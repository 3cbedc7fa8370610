"""Trees in the forms of other programs: Newick, R's hclust, networkx. scipy's matrix is in merges.py.

No recursion anywhere: a chain of 100,000 merges is a tree like any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from shoal.errors import InputError, MissingExtraError
from shoal.trees.merges import Ints, Merges, from_nodes, leaf_order, parents

__all__ = ["from_networkx", "from_newick", "from_nodes_of_scipy", "from_r", "path_up", "spell", "to_networkx", "to_newick",
           "to_r"]

PLAIN = re.compile(r"[^\s()\[\]{}/\\,;:='\"_]+")  # a name that Newick takes without quotes; a bare _ would mean a blank
TOKEN = re.compile(r"\s*(?:\[[^\]]*\]\s*)*(?:([(),;:])|'((?:[^']|'')*)'|([^\s()\[\],;:']+(?:[ ]+[^\s()\[\],;:']+)*))")


def to_newick(merges: Merges, names: Sequence[str], node_names: Sequence[str] | None = None, lengths: bool = True) -> str:
    """Write a tree as Newick text: items at height 0, the length of a branch the difference of two heights.

    Parameters
    ----------
    merges : Merges
    names : sequence of str, shape (n,)
        Of the items. Quoted where Newick asks for it, quotes in them doubled.
    node_names : sequence of str, shape (n - 1,), optional
        Of the merges.
    lengths : bool
        Write branch lengths. Under inversions some are negative.

    Raises
    ------
    InputError
        When a height is infinite: the parts of a forest are trees of their own.
    """
    if lengths and not np.isfinite(merges.height).all():
        raise InputError("Newick has no infinite branches, and no others join the parts of this forest.",
                         "Leave out the lengths.")
    n = merges.n
    height = [0.0] * n + merges.height.tolist()
    above = parents(merges).tolist()
    labels = [_quoted(name) for name in names] + ([""] * (n - 1) if node_names is None else
                                                  [_quoted(name) for name in node_names])
    sides = list(zip(merges.left.tolist(), merges.right.tolist(), strict=True))
    out: list[str] = []
    todo: list[Any] = [2 * n - 2]
    while todo:
        at = todo.pop()
        if isinstance(at, str):
            out.append(at)
            continue
        tail = labels[at] + (f":{height[above[at]] - height[at]!r}" if lengths and above[at] >= 0 else "")
        if at < n:
            out.append(tail)
        else:
            left, right = sides[at - n]
            out.append("(")
            todo += [")" + tail, right, ",", left]
    return "".join(out) + ";"


def spell(merges: Merges, names: Sequence[str], node: int) -> str:
    """Spell the subtree of a node as nested names: ((a, b), c)."""
    n = merges.n
    out: list[str] = []
    todo: list[Any] = [node]
    while todo:
        at = todo.pop()
        if isinstance(at, str):
            out.append(at)
        elif at < n:
            out.append(names[at])
        else:
            todo += [")", int(merges.right[at - n]), ", ", int(merges.left[at - n]), "("]
    return "".join(out)


def from_newick(text: str) -> tuple[Merges, list[str]]:
    """Read one tree in Newick form.

    Parameters
    ----------
    text : str
        A node of more than two branches becomes several merges of equal height. Comments in brackets and names of inner
        nodes are passed over.

    Returns
    -------
    merges : Merges
        The height of a node is its largest distance to an item below it; where no branch has a length, its level.
    names : list of str

    Raises
    ------
    InputError
        For text that is not one tree, lengths that are missing here and there or are no numbers, and repeated names.
    """
    names, groups, lengths = _parse(text)
    if len(set(names)) < len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InputError(f"Two items of the Newick tree are named {twice!r}.", "Names of items are different.")
    n, given = len(names), [x for x in lengths[:-1] if x is not None]
    if given and len(given) < len(lengths) - 1:
        raise InputError(f"{len(lengths) - 1 - len(given):,} of the {len(lengths) - 1:,} branches of the Newick tree have "
                         "no length.", "Give all branches a length, or none.")
    tops = [0.0] * n
    pairs: list[tuple[float, int, int, int]] = []  # height, order of reading, and the two nodes
    node_of = list(range(n))  # as read → as merged
    for g, members in enumerate(groups):
        reach = [tops[m] + (1.0 if lengths[m] is None else float(lengths[m] or 0.0)) for m in members]
        top = max(reach)
        tops.append(top)
        node = node_of[members[0]]
        for m in members[1:]:
            pairs.append((top, g, node, node_of[m]))
            node = n + len(pairs) - 1
        node_of.append(node)
    return _in_order(n, pairs), names


def _in_order(n: int, pairs: list[tuple[float, int, int, int]]) -> Merges:
    """Sort merges by height, children first also where a branch has a negative length."""
    ready: list[float] = []
    for height, _, a, b in pairs:
        ready.append(max([height] + [ready[x - n] for x in (a, b) if x >= n]))
    order = np.argsort(np.array(ready), kind="stable") if pairs else np.empty(0, np.int64)
    place = np.empty(len(pairs), np.int64)
    place[order] = np.arange(len(pairs))
    nodes = np.array([(a, b) for _, _, a, b in pairs], np.int64).reshape(-1, 2)[order]
    nodes = np.where(nodes < n, nodes, n + place[np.maximum(nodes - n, 0)]) if len(pairs) else nodes
    return from_nodes(nodes[:, 0], nodes[:, 1], np.array([p[0] for p in pairs], np.float64)[order])


def _parse(text: str) -> tuple[list[str], list[list[int]], list[float | None]]:
    """Read Newick text into names of items, members of every inner node (children first), and branch lengths of all.

    Nodes are numbered: items in the order they are read, then inner nodes.
    """
    names: list[str] = []
    found: list[tuple[bool, int]] = []  # inner?, its number; in the order of reading
    groups: list[list[int]] = []
    length_of: dict[int, float] = {}
    open_: list[list[int]] = []
    last, after, at, ended, end = -1, "start", 0, False, len(text.rstrip())
    while at < end:
        token = TOKEN.match(text, at)
        if token is None or ended:
            raise _broken(text, at)
        sign, quoted, bare = token.groups()
        at = token.end()
        if sign == "(" and after in ("start", "(", ","):
            open_.append([])
        elif sign in (",", ")") and after == "node" and open_:
            if sign == ")":
                groups.append(open_.pop())
                found.append((True, len(groups) - 1))
                last = len(found) - 1
                if open_:
                    open_[-1].append(last)
        elif sign == ":" and after == "node" and last not in length_of:
            token = TOKEN.match(text, at)
            value = token.group(3) if token else None
            try:
                length_of[last] = float(value or "")
            except ValueError:
                raise _broken(text, at) from None
            at = token.end() if token else at
            sign = None
        elif sign == ";" and after == "node" and not open_:
            ended = True
        elif sign is None and after in ("start", "(", ","):
            names.append(quoted.replace("''", "'") if quoted is not None else bare.replace("_", " "))
            found.append((False, len(names) - 1))
            last = len(found) - 1
            if open_:
                open_[-1].append(last)
        elif not (sign is None and after == "node" and found[last][0]):  # the name of an inner node is passed over
            raise _broken(text, token.start())
        after = sign if sign in ("(", ",") else "node"
    if open_ or not found or not np.isfinite(list(length_of.values())).all():
        raise _broken(text, len(text))
    number = [len(names) + g if inner else g for inner, g in found]
    lengths: list[float | None] = [None] * len(found)
    for k, value in length_of.items():
        lengths[number[k]] = value
    return names, [[number[m] for m in members] for members in groups], lengths


def _broken(text: str, at: int) -> InputError:
    near = text[max(0, at - 10):at + 10]
    return InputError(f"This is not a tree in Newick form: it breaks off at character {at}, near {near!r}.",
                      "Give one tree, such as ((a:1,b:1):2,c:3);")


def _quoted(name: str) -> str:
    return name if PLAIN.fullmatch(name) else "'" + name.replace("'", "''") + "'"


def to_r(merges: Merges, names: Sequence[str]) -> dict[str, Any]:
    """Return the columns of R's hclust object: merge, height, order, labels.

    In `merge`, items are -1 … -n and merges 1 … n - 1; items come first, then merges in ascending order.
    """
    n = merges.n
    sides = np.column_stack([merges.left, merges.right]).astype(np.int64)
    coded = np.where(sides < n, -sides - 1, sides - n + 1)
    a, b = coded.T
    swap = ((a > 0) & (b < 0)) | ((a > 0) & (b > 0) & (a > b)) | ((a < 0) & (b < 0) & (a < b))
    merge = np.where(swap[:, None], coded[:, ::-1], coded)
    return {"merge": merge, "height": merges.height.copy(), "order": leaf_order(merges) + 1, "labels": list(names)}


def from_r(hclust: Mapping[str, Any]) -> Merges:
    """Read the columns `merge` and `height` of an hclust object.

    Raises
    ------
    InputError
        When a row names a merge that does not exist yet, or something is merged twice.
    """
    merge, height = np.asarray(hclust["merge"]), np.asarray(hclust["height"], np.float64)
    n = len(height) + 1
    if merge.shape != (n - 1, 2) or not np.isfinite(height).all():
        raise InputError(f"An hclust object has two columns of merges and a finite height for each; merge has shape "
                         f"{merge.shape}, and there are {n - 1:,} heights.", "Give hclust's merge and height.")
    nodes = np.where(merge < 0, -merge - 1, merge + n - 1).astype(np.int64)
    late = (nodes >= n + np.arange(n - 1)[:, None]) | (merge == 0) | (nodes < 0) | (merge < -n)
    if late.any():
        raise InputError(f"Row {int(np.argmax(late.any(axis=1))) + 1} of merge names something that is not there yet.")
    if len(np.unique(nodes)) < 2 * (n - 1):
        raise InputError("Something is merged twice in this hclust object.")
    return from_nodes(nodes[:, 0], nodes[:, 1], height)


def to_networkx(merges: Merges, names: Sequence[str]) -> Any:
    """Return a networkx DiGraph from merges to their two sides, with attributes name, height and size."""
    try:
        import networkx
    except ImportError:
        raise MissingExtraError("networkx", "graph", "A networkx graph") from None
    n = merges.n
    graph = networkx.DiGraph()
    graph.add_nodes_from((i, {"name": name, "height": 0.0, "size": 1}) for i, name in enumerate(names))
    for t, (left, right, height, size) in enumerate(zip(*(column.tolist() for column in merges), strict=True)):
        graph.add_node(n + t, height=height, size=size)
        graph.add_edge(n + t, left, length=height - (merges.height[left - n] if left >= n else 0.0))
        graph.add_edge(n + t, right, length=height - (merges.height[right - n] if right >= n else 0.0))
    return graph


def from_networkx(graph: Any) -> tuple[Merges, list[str]]:
    """Read a directed graph from merges to their two sides.

    Parameters
    ----------
    graph : networkx.DiGraph
        Every node but the items has two successors and the attribute height; items may have a name. Items are taken in the
        order of the graph's nodes.

    Returns
    -------
    merges : Merges
    names : list of str
        The attribute name, or the node itself as text.

    Raises
    ------
    InputError
        When it is not a tree of that kind.
    """
    sides = {node: list(graph.successors(node)) for node in graph.nodes}
    items = [node for node, below in sides.items() if not below]
    wrong = [node for node, below in sides.items() if len(below) not in (0, 2)]
    if not items or wrong or len(items) != (len(sides) + 1) / 2 or any(d > 1 for _, d in graph.in_degree()):
        said = f"Node {wrong[0]!r} has {len(sides[wrong[0]])} successors." if wrong else "It is not one tree."
        raise InputError(f"This graph is not a tree of merges. {said}", "Every merge has an edge to each of its two sides.")
    root = next(node for node, d in graph.in_degree() if d == 0)
    number = {node: i for i, node in enumerate(items)}
    merges = _read_down(root, number, lambda node: sides[node], lambda node: graph.nodes[node].get("height"))
    return merges, [str(graph.nodes[node].get("name", node)) for node in items]


def from_nodes_of_scipy(root: Any) -> Merges:
    """Read scipy's ClusterNode: items are the leaves' ids, heights their `dist`; without recursion.

    Raises
    ------
    InputError
        When the leaves' ids are not 0 … n - 1.
    """
    todo, leaves = [root], []
    while todo:
        node = todo.pop()
        if node.is_leaf():
            leaves.append(node)
        else:
            todo += [node.right, node.left]
    if sorted(int(leaf.id) for leaf in leaves) != list(range(len(leaves))):
        raise InputError(f"The {len(leaves):,} leaves are not numbered from 0 to {len(leaves) - 1:,}.",
                         "Give the root of a whole tree, as scipy.cluster.hierarchy.to_tree returns it.")
    number = {id(leaf): int(leaf.id) for leaf in leaves}
    return _read_down(root, number, lambda node: [node.left, node.right], lambda node: node.dist, key=id)


def _read_down(root: Any, number: dict[Any, int], sides: Callable[[Any], list[Any]], height: Callable[[Any], Any],
               key: Callable[[Any], Any] = lambda node: node) -> Merges:
    """Read a tree of objects from its root into merges, children first; `number` knows the items."""
    n, number = len(number), dict(number)
    inner, todo = [], [root]
    while todo:
        node = todo.pop()
        if key(node) not in number:
            inner.append(node)
            todo += sides(node)
    pairs: list[tuple[float, int, int, int]] = []
    for node in reversed(inner):  # a node comes before all below it
        value = height(node)
        if value is None or not np.isfinite(float(value)):
            raise InputError(f"A merge has the height {value!r}.", "Give every merge a finite height.")
        a, b = (number[key(side)] for side in sides(node))
        pairs.append((float(value), len(pairs), a, b))
        number[key(node)] = n + len(pairs) - 1
    return _in_order(n, pairs)


def path_up(parent: Ints, node: int) -> list[int]:
    """Return the nodes from a node up to the root, itself first."""
    found = [node]
    while (above := int(parent[found[-1]])) >= 0:
        found.append(above)
    return found
