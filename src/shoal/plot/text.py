"""A person's own names, made fit to draw: one line, not too long, in fonts that have their characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

__all__ = ["Lettering", "ems", "one_line"]

LONGEST = 40  # characters; longer names keep their two ends
MISSING = "□"  # what is drawn for a character that no font has
# Fonts with wide coverage, as systems ship them; those installed are asked, in this order, for what the default lacks.
_FALLBACKS = (
    "Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans SC", "Source Han Sans SC",
    "Microsoft YaHei", "PingFang SC", "Hiragino Sans", "Heiti TC", "WenQuanYi Micro Hei", "Yu Gothic", "Malgun Gothic",
    "Arial Unicode MS", "Segoe UI Emoji", "Segoe UI Symbol", "Noto Emoji", "Noto Sans Symbols", "Noto Sans Symbols2",
    "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai", "Nirmala UI", "Tahoma",
    "FreeSans", "Unifont",
)


def one_line(value: Any) -> str:
    """Return a value as text without line breaks or invisible characters, shortened in the middle where long."""
    spaced = " ".join(str(value).split())
    text = "".join(c for c in spaced if unicodedata.category(c) != "Cf" and c != "\N{VARIATION SELECTOR-16}")
    if len(text) <= LONGEST:
        return text
    head = LONGEST * 3 // 5
    return text[:head].rstrip() + "…" + text[len(text) - (LONGEST - head - 1) :].lstrip()


def ems(text: str) -> float:
    """Estimate a text's width in multiples of its font size; East Asian characters are square, others about 0.6."""
    return sum(1.0 if unicodedata.east_asian_width(c) in "WF" else 0.6 for c in text)


class Lettering:
    """Which fonts draw some texts, and what replaces the characters that none of them has.

    Matplotlib warns about a missing glyph whenever the figure is drawn or saved; this asks the fonts beforehand.

    Parameters
    ----------
    texts : iterable of str
        Everything that will be drawn with these fonts.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        from matplotlib import font_manager, rcParams

        self.families = list(rcParams["font.family"])
        wanted = {ord(c) for text in texts for c in text}
        for family in self.families:
            wanted -= _characters(family)
        if wanted:
            installed = {font.name for font in font_manager.fontManager.ttflist}
            for family in _FALLBACKS:
                if family in installed and wanted & _characters(family):
                    self.families.append(family)
                    wanted -= _characters(family)
        self._replaced = dict.fromkeys(wanted, MISSING)
        # Names are literal: "$" starts no formula, and "_" needs no escape under usetex.
        self.style: dict[str, Any] = {"family": self.families, "parse_math": False, "usetex": False}

    @property
    def complete(self) -> bool:
        """Whether every character has a font."""
        return not self._replaced

    def fit(self, text: str) -> str:
        """Return the text with "□" for every character that no font has."""
        return text.translate(self._replaced)


@lru_cache(maxsize=64)
def _characters(family: str) -> frozenset[int]:
    """Return the code points that matplotlib's font of that family has."""
    from matplotlib import font_manager

    path = font_manager.findfont(font_manager.FontProperties(family=[family]))
    return frozenset(font_manager.get_font(path).get_charmap())
