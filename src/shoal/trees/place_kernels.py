"""The loops that find where new items would first merge: through all merges, or through a kd-tree of the nodes' centres.

They call one another, so they share a file: the cache of compiled kernels would not notice an edit in another one.

Steps count merges: at step s, s merges are made and the next is at height[s]; behind the last stands infinity. A node
lives from its `birth` (the merges made when it comes to be; 0 for an item) to its `death` (its parent's merge).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from shoal.runtime.kernel import kernel
from shoal.trees.merges import root_of

__all__ = ["CENTRE", "COMPLETE", "FARTHEST", "LINEAR", "MEAN", "SHARES", "SINGLE", "fill_centres", "fill_depths",
           "fill_history", "fill_inner", "nodes_at", "place_by_centres", "place_lanes"]

SINGLE, COMPLETE, LINEAR = 0, 1, 2  # how a node's distance follows from its children's, in place_lanes
CENTRE, FARTHEST, MEAN, SHARES = 0, 1, 2, 3  # what a node's distance is in place_by_centres


@kernel
def first_step(height: Any, record: Any, higher: Any, birth: int, d: float) -> int:
    """The first step from `birth` on whose merge is not below d; d at most the highest from there."""
    if birth > 0 and d <= record[birth - 1]:  # more than one hop only where heights have fallen
        s = birth
        while height[s] < d:
            s = higher[s]
        return s
    low, high = birth, record.shape[0] - 1
    while low < high:
        mid = (low + high) >> 1
        if record[mid] < d:
            low = mid + 1
        else:
            high = mid
    return low


@kernel
def fill_history(left: Any, right: Any, height: Any, record: Any, higher: Any, death: Any, reach: Any, least: Any,
                 mass: Any) -> None:
    """Columns of `place.History`; `height` ends with infinity, and its last entry is the last step."""
    n, last = left.shape[0] + 1, height.shape[0] - 1
    record[0] = height[0]
    for s in range(1, last + 1):
        record[s] = max(record[s - 1], height[s])
    for s in range(last, -1, -1):
        t = s + 1
        while t <= last and height[t] <= height[s]:
            t = higher[t]
        higher[s] = t
    death[2 * n - 2] = last
    for t in range(n - 1):
        a, b = left[t], right[t]
        death[a], death[b] = min(t, last), min(t, last)
        least[n + t] = least[a]
        mass[n + t] = mass[a] + mass[b]
    for v in range(n + last):
        s, end = max(0, v - n + 1), death[v]
        if s == 0 or record[end] > record[s - 1]:
            reach[v] = record[end]
        else:
            while higher[s] <= end:
                s = higher[s]
            reach[v] = height[s]


@kernel
def place_lanes(V: Any, kind: int, right: Any, C: Any, squared: bool, unit: float, H: Any, step: Any, dist: Any,
                node: Any, limit: Any, d: Any) -> None:
    """First merges of a few new items, side by side; V[i, c] is the distance from item i to new item c.

    Bottom-up: V takes, in the place of a node's smallest item, max, min or x + share·(y - x) - drop² of its children's x
    and y; with `squared` on squares in units of `unit`, where a node's distance is unit·√(factor·V). Of all nodes that a
    new item could merge with in their lifetime it takes the first by (step, distance, smallest item).
    """
    height, record, higher, reach, least = H.height, H.record, H.higher, H.reach, H.least
    share, drop, factor = C.share, C.drop, C.factor
    n, lanes = V.shape
    last, latest = height.shape[0] - 1, height.shape[0]
    for c in range(lanes):
        step[c], dist[c], node[c], limit[c] = last + 1, math.inf, -1, math.inf
    for v in range(n + last):
        t = v - n
        if t >= latest:  # no item is still alone
            break
        p = least[v]
        if t >= 0:
            q, f, g = least[right[t]], share[t], drop[t] / unit
            for c in range(lanes):
                x, y = V[p, c], V[q, c]
                if kind == 0:
                    V[p, c] = min(x, y)
                elif kind == 1:
                    V[p, c] = max(x, y)
                else:
                    V[p, c] = x + f * (y - x) - g * g
        near = False
        for c in range(lanes):
            d[c] = unit * math.sqrt(max(factor[v] * V[p, c], 0.0)) if squared else V[p, c]
            near |= d[c] <= limit[c]
        if not near:
            continue
        for c in range(lanes):
            if d[c] > limit[c] or d[c] > reach[v]:
                continue
            s = first_step(height, record, higher, max(0, t + 1), d[c])
            if s < step[c] or (s == step[c] and (d[c] < dist[c] or (d[c] == dist[c] and p < least[node[c]]))):
                step[c], dist[c], node[c] = s, d[c], v
                limit[c] = max(d[c], record[s - 1]) if s > 0 else d[c]
                latest = 0
                for u in range(lanes):
                    latest = max(latest, step[u])


@kernel
def fill_centres(left: Any, right: Any, mass: Any, halves: bool, centre: Any) -> None:
    """Centre of every node: the weighted mean of its items, or with `halves` the middle of its children's centres."""
    n = left.shape[0] + 1
    for t in range(left.shape[0]):
        a, b = left[t], right[t]
        p = 0.5 if halves else mass[b] / (mass[a] + mass[b])
        for k in range(centre.shape[1]):
            centre[n + t, k] = centre[a, k] + p * (centre[b, k] - centre[a, k])


@kernel
def fill_inner(left: Any, right: Any, share: Any, drop: Any, inner: Any) -> None:
    """Mean squared distance of every node's items from its centre: p·Vb + (1 - p)·Va + drop²."""
    n = left.shape[0] + 1
    for t in range(n - 1):
        inner[n + t] = inner[left[t]] + share[t] * (inner[right[t]] - inner[left[t]]) + drop[t] * drop[t]


@kernel
def fill_depths(left: Any, right: Any, depth: Any) -> None:
    """Merges between every node and the root."""
    n = left.shape[0] + 1
    depth[2 * n - 2] = 0.0
    for t in range(n - 2, -1, -1):
        depth[left[t]] = depth[n + t] + 1.0
        depth[right[t]] = depth[n + t] + 1.0


@kernel
def place_by_centres(T: Any, kind: int, H: Any, M: Any, factor: Any, lightest: float, slack: float, ceiling: Any, Q: Any,
                     q0: int, q1: int, found: Any) -> None:
    """First merges of new items q0 … q1, by branch and bound over a kd-tree of the nodes' centres.

    kind 0: a node's distance is √(factor·‖x - centre‖²). Otherwise it is the largest (1) or a mean (2, 3) of the distances
    to the node's items, which is at least that to its centre; these are summed only where that bound, less `slack` for
    its rounding, is within reach. A node wins only within the limit max(distance, highest merge before the step) of the
    best so far, and none of a box whose squared distance is above its `ceiling`. In one piece, on plain arrays: calls
    would count references to all of them.
    """
    block, who, start, stop, low, high = T.block, T.order, T.start, T.stop, T.low, T.high
    height, record, higher, reach, least = H.height, H.record, H.higher, H.reach, H.least
    XT, begin, size, load, total = M.XT, M.begin, M.size, M.load, M.total
    inner, d, cap, n, chunk = block.shape[0] - 1, Q.shape[1], block.shape[2], (reach.shape[0] + 1) // 2, 256
    stack, gaps, q, s, r = np.empty(128, np.int64), np.empty(128), np.empty(d), np.empty(cap), np.empty(chunk)
    for i in range(q0, q1):
        for k in range(d):
            q[k] = Q[i, k]
        best, best_step, best_node, limit, top = math.inf, height.shape[0], -1, math.inf, 1
        most = math.inf
        stack[0], gaps[0] = 0, 0.0
        while top > 0:
            top -= 1
            w = stack[top]
            if gaps[top] > most or gaps[top] > ceiling[w]:
                continue
            if w < inner:
                near, far, a, b = 2 * w + 1, 2 * w + 2, 0.0, 0.0
                for k in range(d):  # no branch: it would be mispredicted half of the time
                    e = max(low[near, k] - q[k], q[k] - high[near, k], 0.0)
                    a += e * e
                    e = max(low[far, k] - q[k], q[k] - high[far, k], 0.0)
                    b += e * e
                if b < a:
                    near, far, a, b = far, near, b, a
                stack[top], gaps[top], stack[top + 1], gaps[top + 1] = far, b, near, a
                top += 2
                continue
            y, x = block[w - inner, 0], q[0]
            for t in range(cap):
                s[t] = (y[t] - x) * (y[t] - x)
            for k in range(1, d):
                y, x = block[w - inner, k], q[k]
                for t in range(cap):
                    s[t] += (y[t] - x) * (y[t] - x)
            for t in range(stop[w] - start[w]):
                if s[t] > most:
                    continue
                v = who[start[w] + t]
                if v - n + 1 > best_step:
                    continue
                value = math.sqrt(factor[v] * s[t]) if kind == 0 else math.sqrt(s[t])
                if kind > 0 and v >= n:
                    if value - slack > min(limit, reach[v]):
                        continue
                    value = 0.0
                    for j0 in range(begin[v], begin[v] + size[v], chunk):
                        m = min(chunk, begin[v] + size[v] - j0)
                        for j in range(m):
                            r[j] = 0.0
                        for k in range(d):
                            x = q[k]
                            for j in range(m):
                                r[j] += (XT[k, j0 + j] - x) * (XT[k, j0 + j] - x)
                        for j in range(m):
                            r[j] = math.sqrt(r[j])
                        for j in range(m):
                            if kind == 1:
                                value = max(value, r[j])
                            elif kind == 2:
                                value += r[j] * load[j0 + j]
                            else:
                                value += math.ldexp(r[j], int(total[v] - load[j0 + j]))
                    if kind == 2:
                        value /= total[v]
                if value > limit or value > reach[v]:
                    continue
                at = first_step(height, record, higher, max(0, v - n + 1), value)
                if at < best_step or (at == best_step and (
                        value < best or (value == best and least[v] < least[best_node]))):
                    best, best_step, best_node = value, at, v
                    limit = max(value, record[at - 1]) if at > 0 else value
                    most = (limit + slack) * (limit + slack) / lightest
        found.dist[i], found.node[i], found.step[i] = best, best_node, best_step


@kernel
def nodes_at(left: Any, right: Any, least: Any, item: Any, step: Any, by: Any, root: Any, node: Any) -> None:
    """node[i] = the node that item[i] is in after step[i] merges; `by` sorts the steps."""
    n, t = left.shape[0] + 1, 0
    top = np.arange(n)
    for i in by:
        while t < step[i]:
            a, b = least[left[t]], least[right[t]]
            root[b] = a
            top[a] = n + t
            t += 1
        node[i] = top[root_of(root, item[i])]
