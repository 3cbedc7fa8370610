"""`Suggestions`: the cut a tree's data speaks for, and what other rules say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from shoal.cuts import suggest
from shoal.cuts.panel import EVIDENCE, RuleRow, panel
from shoal.treecut import TreeCut

if TYPE_CHECKING:
    from shoal.tree import Tree

__all__ = ["MOST_SUGGESTED", "Suggestions"]

MOST_SUGGESTED = 15  # clusters considered unasked


@dataclass(frozen=True, eq=False, repr=False)
class Suggestions:
    """Where to cut: the cut put first, and what other rules say.

    Attributes
    ----------
    rows : tuple of CutRow
        One for every k: low, high, gap, silhouette.
    best : TreeCut or None
        None: one cluster only. Its clusters need not lie at one height, and items may be in none.
    evidence : str
        "good", "fair", "weak" or "none".
    reason : str
        Why, in a sentence or two.
    also : tuple of int
        Numbers of clusters that cannot be told apart from the best.
    tree : Tree
    """

    rows: tuple[suggest.CutRow, ...]
    best: TreeCut | None
    evidence: str
    reason: str
    also: tuple[int, ...]
    tree: Tree

    @cached_property
    def rules(self) -> tuple[RuleRow, ...]:
        """Every rule's cut, its agreement with the others, and its stability under resampling; made when first asked for."""
        again = self.tree.method != "unknown" and self.tree.engine != "constrained" and self.tree.parts == 1
        return panel(self.tree.subject, suggest.evidence_of(MOST_SUGGESTED), again)

    def __repr__(self) -> str:
        lines = ["rule                 k    height     score  agreement  stability"]
        for r in self.rules:
            height, score = ("" if value is None else f"{value:.4g}" for value in (r.height, r.score))
            lines.append(f"{'>' if r.rule == EVIDENCE else ' '}{r.rule:<17}{r.k:>4}{height:>10}{score:>10}"
                         f"{r.agreement:>11.2f}{r.stability:>11.2f}")
        return "\n".join([*lines, self.reason])

    def plot(self, ax: Any = None) -> Any:
        """Draw the rules' cuts as a table; returns matplotlib Axes."""
        from shoal.plot.curves import table_plot

        rows = [[r.rule, str(r.k), f"{r.agreement:.2f}", f"{r.stability:.2f}"] for r in self.rules]
        best = next(i for i, r in enumerate(self.rules) if r.rule == EVIDENCE)
        return table_plot(["rule", "k", "agreement", "stability"], rows, best=best, text=self.reason, ax=ax)

    def to_frame(self, like: Any = None) -> Any:
        """Return the rules as a table in the library of `like`."""
        from shoal.data.tables import to_frame

        return to_frame({name: [getattr(r, name) for r in self.rules] for name in RuleRow._fields}, like)
