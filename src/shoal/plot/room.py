"""Finding room for small texts between the lines and points of a picture."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.plot.text import ems

__all__ = ["Place", "Room", "frame", "on_page", "write"]

Floats = NDArray[np.float64]

GAP = 2.5  # points between a text and whatever it must not touch


class Place(NamedTuple):
    """A place tried for a text: a point in points, and where the text's box lies seen from it (-1, 0 or 1)."""

    x: float
    y: float
    right: int
    up: int


class Room:
    """Remembers the lines and texts of one picture as boxes, in points, and finds free places.

    Parameters
    ----------
    lines : ndarray, shape (s, 4)
        The boxes (x0, y0, x1, y1) of the picture's straight lines, or of whatever else texts must not touch.
    frame : ndarray, shape (4,)
        The box within which texts must lie.
    """

    def __init__(self, lines: Floats, frame: Floats) -> None:
        self._lines = lines
        self._texts = np.empty((0, 4))
        self._frame = frame

    def put(self, text: str, size: float, places: list[Place]) -> Place | None:
        """Take the first place where the text, set in that size, touches nothing; None when there is none."""
        width, height = ems(text) * size, size
        for place in places:
            x = place.x + place.right * (GAP + width / 2)
            y = place.y + place.up * (GAP + height / 2)
            box = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
            if not self._touches(box):
                self._texts = np.vstack([self._texts, box])
                return place
        return None

    def _touches(self, box: Floats) -> bool:
        inside = (box[:2] >= self._frame[:2]).all() and (box[2:] <= self._frame[2:]).all()
        return not inside or any(
            ((taken[:, :2] < box[2:] + GAP / 2) & (taken[:, 2:] > box[:2] - GAP / 2)).all(axis=1).any()
            for taken in (self._texts, self._lines)
        )


def on_page(ax: Any, points: Any) -> Floats:
    """Return points of the axes, last dimension 2, in points on the page."""
    data = np.asarray(points, np.float64)
    page: Floats = ax.transData.transform(data.reshape(-1, 2)).reshape(data.shape) * 72 / ax.figure.dpi
    return page


def frame(ax: Any) -> Floats:
    """Return the box of the axes in points on the page."""
    box: Floats = ax.get_window_extent().extents * 72 / ax.figure.dpi
    return box


def write(ax: Any, room: Room, text: str, places: list[Place], **style: Any) -> bool:
    """Write a text where it first finds room, tied to that point of the axes; return whether it found any."""
    place = room.put(text, style["size"], places)
    if place is None:
        return False
    point = ax.transData.inverted().transform(np.array(place[:2]) * ax.figure.dpi / 72)
    ax.annotate(
        text, point, (GAP * place.right, GAP * place.up), textcoords="offset points",
        ha=("right", "center", "left")[place.right + 1], va=("top", "center", "bottom")[place.up + 1], **style,
    )
    return True
