"""A dendrogram around its root: heights are radii, links are arcs, and the names stand along the rim."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.plot.layout import Layout
from shoal.plot.room import Place, on_page
from shoal.plot.sheet import NOTE_PT, NUMBER_PT, Sheet, type_size
from shoal.plot.text import ems

__all__ = ["Wheel"]

Floats = NDArray[np.float64]

GAP = np.radians(12.0)  # left free at the top, where the heights of the circles stand
STEP = np.radians(3.0)  # of an arc drawn as straight pieces: 0.03 % of the radius off at most
ARC_IN, LEAST_IN, MOST_IN, BARE_IN = 0.15, 2.2, 9.0, 4.0  # of rim for a name; radii of new figures
LABEL_SHARE = 0.45  # of the radius of given axes at most is for names
PIECES = 30_000  # boxes of lines, about, that texts are kept away from


class Wheel(Sheet):
    """The sheet whose root is in the middle; see `Sheet`."""

    radius_pt = 0.0

    def _new_axes(self) -> Any:
        from shoal.plot.figures import new_axes

        radius = min(max(ARC_IN * self.leaves / (2 * np.pi - GAP), LEAST_IN), MOST_IN)
        self._set_radius(72 * radius)
        if not self.size:
            radius = BARE_IN  # without labels a larger figure shows no more
            self._set_radius(72 * radius)
        return new_axes(2 * radius + 0.4, 2 * radius + 0.6)

    def _slot(self, width: float, height: float) -> float:
        self._set_radius(min(width, height) / 2 * (1 - LABEL_SHARE))
        return self.slot

    def _set_radius(self, points: float) -> None:
        self.radius_pt, self.slot = points, points * (2 * np.pi - GAP) / self.leaves
        self.size = type_size(self.slot)

    @property
    def upright(self) -> bool:
        """Names stand one beside the other, as where the leaves lie along the x axis."""
        return True

    def angle(self, along: Any) -> Any:
        """Return the angle, from the x axis, of positions along the leaves: clockwise from the top."""
        turn = (np.asarray(along, np.float64) + 0.5) / self.leaves * (2 * np.pi - GAP)
        return np.pi / 2 - GAP / 2 - turn

    def xy(self, along: Any, height: Any) -> Floats:
        """Return points of the axes, last dimension 2, from positions along the leaves and heights."""
        angle, radius = self.angle(along), (self.high - np.asarray(height, np.float64)) / (self.high - self.low)
        return np.stack(np.broadcast_arrays(radius * np.cos(angle), radius * np.sin(angle)), axis=-1)

    def paths(self, along: Floats, height: Floats) -> list[Floats]:
        """Return the points of links given by the positions and heights of their four corners, their bars as arcs."""
        width = np.abs(self.angle(along[:, 2]) - self.angle(along[:, 1]))
        pieces = np.exp2(np.ceil(np.log2(np.maximum(width / STEP, 1.0)))).astype(int)
        found: list[Any] = [None] * len(along)
        for count in np.unique(pieces):
            at = np.flatnonzero(pieces == count)
            part = np.linspace(0.0, 1.0, count + 1)
            turned = along[at, 1:2] + part * (along[at, 2:3] - along[at, 1:2])
            level = np.broadcast_to(height[at, 1:2], turned.shape)
            points = self.xy(np.hstack([along[at, :1], turned, along[at, 3:]]),
                             np.hstack([height[at, :1], level, height[at, 3:]]))
            for place, path in zip(at.tolist(), points, strict=True):
                found[place] = path
        return found

    def boxes(self, along: Floats, height: Floats) -> Floats:
        """Return lines, straight or bent, given by the positions and heights of both ends, as boxes in points."""
        part = np.linspace(0.0, 1.0, 1 + int(np.clip(PIECES // max(1, len(along)), 1, 120)))
        page = on_page(self.ax, self.xy(along[:, :1] + part * (along[:, 1:] - along[:, :1]),
                                        height[:, :1] + part * (height[:, 1:] - height[:, :1])))
        ends = np.stack([page[:, :-1], page[:, 1:]], axis=2).reshape(-1, 2, 2)
        return np.concatenate([ends.min(axis=1), ends.max(axis=1)], axis=1)

    def beside(self, along: float, height: float, side: int) -> Place:
        """Return the place on one side (1 or -1) of a leg."""
        x, y = self.point(along, height)
        across = self.angle(along) - side * np.pi / 2
        return Place(x, y, round(1.2 * np.cos(across)), round(1.2 * np.sin(across)))

    def around(self, along: float, height: float) -> list[Place]:
        """Return places in all directions from the middle of a bar."""
        x, y = self.point(along, height)
        return [Place(x, y, right, up) for up in (-1, 1, 0) for right in (0, 1, -1) if right or up]

    def set_limits(self, low: float, high: float) -> None:
        """Let the lowest height be the rim, at radius 1."""
        self.low, self.high = low, high
        self._frame(0.0)

    def _frame(self, label_pt: float) -> None:
        """Set the axes around the rim and what stands outside it."""
        reach = 1.03 + label_pt / self.radius_pt
        self.ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")

    def dress(self, height_label: str, base: float) -> list[str]:
        """Draw some heights as circles, their numbers in the gap at the top."""
        from matplotlib.collections import LineCollection
        from matplotlib.ticker import LogLocator, MaxNLocator

        self.ax.set_axis_off()
        low, high = self.shown(base), self.shown(self.high)
        ticks = (LogLocator(subs=(1.0, 2.0, 5.0)) if self.log else MaxNLocator(4)).tick_values(low, high)
        inside = np.array([float(tick) for tick in ticks if low <= tick < high])
        levels = np.log10(inside) if self.log else inside
        rims = [self.xy(np.linspace(-0.5, self.leaves - 0.5, 181), level) for level in levels.tolist()]
        self.ax.add_collection(LineCollection(rims, colors=self.inks.quiet, linewidths=0.3, alpha=0.6, zorder=0.5),
                               autolim=False)
        for tick, level in zip(inside.tolist(), levels.tolist(), strict=True):
            radius = (self.high - level) / (self.high - self.low)
            self.ax.text(0, radius, f"{tick:.3g}", size=6.5, color=self.inks.quiet, ha="center", va="center", zorder=3,
                         bbox={"facecolor": self.inks.paper, "edgecolor": "none", "pad": 0.5})
        return [f"Circles: {height_label}."] if len(inside) else []

    def mark_cut(self, cut: float, text: str) -> list[str]:
        """Mark the cut by a circle; what it is stands below the picture."""
        points = self.xy(np.linspace(-0.5, self.leaves - 0.5, 361), cut)
        self.ax.plot(*points.T, color=self.inks.quiet, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        return [text.replace("\n", ", ") + " (dashed)."]

    def _write_names(self, drawn: Layout, names: list[str], rotation: float | None, hang: bool, style: dict[str, Any],
                     colors: list[str]) -> None:
        widest = max(map(ems, names)) * self.size + 4
        if self.new:
            width, height = self.ax.figure.get_size_inches()
            self.ax.figure.set_size_inches(width + 2 * widest / 72, height + 2 * widest / 72)
        self._frame(widest)
        ends = drawn.leaf_y if hang else np.full(len(names), self.low)
        self._write_along(drawn.leaf_x, ends, names, colors, style)

    def _number_clusters(self, drawn: Layout) -> None:
        kept, middle = self.numbers_with_room(drawn)
        self._frame(2.5 * NUMBER_PT)
        self._write_along(np.array(middle), np.full(len(kept), self.low), [str(number) for number in kept],
                          [self.inks.color(number) for number in kept],
                          {"size": NUMBER_PT, "weight": "bold"})

    def _write_along(self, along: Floats, height: Floats, names: list[str], colors: list[str],
                     style: dict[str, Any]) -> None:
        """Write texts outwards from points, those on the left turned so that none stands on its head."""
        angle, points = self.angle(along), self.xy(along, height)
        outward = 3 * np.column_stack([np.cos(angle), np.sin(angle)])
        for name, turn, point, shift, ink in zip(names, angle, points, outward, colors, strict=True):
            left = np.cos(turn) < 0
            self.ax.annotate(name, tuple(point), tuple(shift), textcoords="offset points", color=ink, va="center",
                             ha="right" if left else "left", rotation=np.degrees(turn) + (180 if left else 0),
                             rotation_mode="anchor", annotation_clip=False, **style)

    def note(self) -> Any:
        """Return the empty text below everything else."""
        return self.ax.annotate("", (0, 0), (0, -4), xycoords="axes fraction", textcoords="offset points", va="top",
                                size=NOTE_PT, color=self.inks.quiet, linespacing=1.4)
