"""The library's sentences in the words of the command line."""

from __future__ import annotations

import re
import shlex

__all__ = ["as_options"]

_KINDS = r"shoal\.(points|distances|similarities|graph)"
_TO_OPTIONS = (
    (r"; in Python .*", "."),
    (r"\b\w+=[^()]*? \((--[^()]*?) on the command line\)", r"\1"),
    (_KINDS + r"\([^()]*missing='(\w+)'\)", r"--kind \1 --missing \2"),
    (_KINDS + r"(?:\([^()]*\))?", r"--kind \1"),
    ("memory_limit", "--memory-limit"),
)
_OPTION = re.compile(r"\b(kind|drop|method|metric|scale|rule|symmetrize|missing|negative|sheet)=('[^']*'|\"[^\"]*\")")


def as_options(text: str) -> str:
    """Return a sentence of the library with its Python arguments written as options of the command line.

    Examples
    --------
    >>> as_options("Use method='average', or shoal.distances(X).")
    'Use --method average, or --kind distances.'
    """
    for pattern, option in _TO_OPTIONS:
        text = re.sub(pattern, option, text)
    return _OPTION.sub(lambda found: f"--{found[1]} {shlex.quote(found[2][1:-1])}", text)
