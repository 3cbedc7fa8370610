"""How often rules choose the right cut: planted groups that the tree holds, and data without any.

    python benchmarks/bench_cuts.py [first seed] [seeds] [processes]

A tree holds the truth when some horizontal cut of it, or the best node for every group, has an adjusted Rand index of at
least 0.9 with the true groups; sets whose tree does not are not counted. A choice is right when its labels reach 0.9
(for groups of groups, at either level), and on data without groups when it says "one cluster". Seeds below 1,000 were
used for tuning; the published figures are from 10,000 on.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from multiprocessing import Pool

import numpy as np
from scipy.cluster.hierarchy import fcluster
from scipy.spatial.distance import pdist, squareform
from sklearn.metrics import adjusted_rand_score, calinski_harabasz_score, silhouette_score

import cutsets
import shoal
from common import machine, table

METHODS = ("ward", "average", "single")
RULES = ("silhouette", "Calinski–Harabasz", "elbow", "largest gap", "inconsistent", "ours")
SAME = 0.9
MOST = 10  # clusters that the textbook rules look at


def holds_truth(tree: shoal.Tree, labels: np.ndarray) -> bool:
    """Whether a horizontal cut, or the best node for every group, gives the groups."""
    n, k = tree.n, int(labels.max()) + 1
    if any(adjusted_rand_score(labels, tree.cut(k=j).labels) >= SAME for j in range(2, min(3 * k + 5, n))):
        return True
    members = np.zeros((2 * n - 1, k))
    members[np.arange(n), labels] = 1
    for t, (left, right) in enumerate(zip(tree.merges.left, tree.merges.right, strict=True)):
        members[n + t] = members[left] + members[right]
    share = members / (members.sum(axis=1, keepdims=True) + members[:n].sum(axis=0) - members)
    found = np.full(n, -1)
    for group in range(k):
        found[[int(i) for i in tree.members(int(share[:, group].argmax()))]] = group
    return adjusted_rand_score(labels, found) >= SAME


def textbook(tree: shoal.Tree, X: np.ndarray) -> dict[str, np.ndarray]:
    """Labels by the usual rules, as people apply them."""
    cuts = {k: tree.cut(k=k).labels for k in range(2, min(MOST, tree.n - 1) + 1)}
    D, Z = squareform(pdist(X)), tree.to_scipy()
    last = Z[-MOST:, 2][::-1]  # the highest merge first
    return {
        "silhouette": cuts[max(cuts, key=lambda k: silhouette_score(D, cuts[k], metric="precomputed"))],
        "Calinski–Harabasz": cuts[max(cuts, key=lambda k: calinski_harabasz_score(X, cuts[k]))],
        "elbow": cuts[min(int(np.diff(last, 2).argmax()) + 2, max(cuts))],
        "largest gap": cuts[min(int((last[:-1] - last[1:]).argmax()) + 2, max(cuts))],
        "inconsistent": fcluster(Z, 1.15),
    }


def judge(name: str, seed: int, method: str) -> tuple[str, str, dict[str, bool], bool, float] | None:
    """Which rules are right on one set, whether ours has the number of (finest) groups, and its seconds."""
    one = cutsets.make(name, seed)
    tree = shoal.linkage(one.X, method)
    null = name in cutsets.NULL
    if not null and not holds_truth(tree, one.labels):
        return None
    start = time.process_time()
    best = tree.suggest_cuts().best
    seconds = time.process_time() - start
    found = textbook(tree, one.X) | {"ours": np.zeros(tree.n, int) if best is None else best.labels}
    truths = [t for t in (one.labels, one.coarse) if t is not None]
    right = {rule: len(set(labels.tolist())) == 1 if null else max(adjusted_rand_score(t, labels) for t in truths) >= SAME
             for rule, labels in found.items()}
    k = 1 if best is None else best.k
    return name, method, right, k == one.labels.max() + 1, seconds


def of_seed(seed: int) -> list[tuple[str, str, dict[str, bool], bool, float]]:
    """All sets of a seed under all methods."""
    shoal.set_threads(1)
    names = [*cutsets.CLUSTERED, *cutsets.NULL]
    return [done for name in names for method in METHODS if (done := judge(name, seed, method)) is not None]


def share(rows: list, rule: str) -> str:
    """The share a rule has right."""
    return f"{np.mean([right[rule] for _, _, right, _, _ in rows]):.1%}" if rows else "–"


def real_sets() -> list[list[str]]:
    """What the rules choose on labelled sets of scikit-learn: k, and the adjusted Rand index with the classes."""
    rows = []
    for one in cutsets.real():
        for method in METHODS[:2]:
            tree = shoal.linkage(one.X, method)
            best = tree.suggest_cuts().best
            found = textbook(tree, one.X) | {"ours": np.zeros(tree.n, int) if best is None else best.labels}
            rows.append([one.name, method, str(one.labels.max() + 1)] + [
                f"{len(set(found[rule].tolist()))} ({adjusted_rand_score(one.labels, found[rule]):.2f})" for rule in RULES])
    return rows


def main() -> None:
    """Print the tables."""
    given = [int(v) for v in sys.argv[1:]]
    first, seeds, processes = [*given, *(10_000, 20, 2)[len(given):]]
    with Pool(processes) as pool:
        done = [one for rows in pool.imap(of_seed, range(first, first + seeds)) for one in rows]
    groups = {"groups": [r for r in done if r[0] in cutsets.CLUSTERED], "none": [r for r in done if r[0] in cutsets.NULL]}
    print(f"Seeds {first:,} to {first + seeds - 1:,}; {machine()}\n")
    head = ["right", *(f"{kind}, {m}" for kind in groups for m in METHODS), "groups, all", "none, all"]
    columns = [[r for r in rows if r[1] == m] for rows in groups.values() for m in METHODS] + list(groups.values())
    rows = [[rule, *(share(column, rule) for column in columns)] for rule in RULES]
    print(table(head, [["sets", *map(len, columns)], *rows]))
    k = np.mean([r[3] for r in groups["groups"]])
    seconds = [r[4] for r in done]
    print(f"\nOurs has the number of the finest groups in {k:.1%}; seconds of the processor: median "
          f"{np.median(seconds):.2f}, most {max(seconds):.2f}.\n")
    by_name: dict[str, list] = defaultdict(list)
    for r in done:
        by_name[r[0]].append(r)
    print(table(["sets", "counted", *RULES],
                [[name, len(r), *(share(r, rule) for rule in RULES)] for name, r in by_name.items()]))
    print("\nReal sets: clusters chosen (adjusted Rand index with the classes)\n")
    print(table(["set", "method", "classes", *RULES], real_sets()))


if __name__ == "__main__":
    main()
