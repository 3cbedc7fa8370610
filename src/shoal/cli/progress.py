"""One line on standard error that says how far the work is, on a terminal only."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

import click

__all__ = ["Line", "progress_line"]

QUICK_S = 0.5  # work that ends sooner is not worth a line
LEFT_S = 3.0  # the time left is guessed only after this long


@contextlib.contextmanager
def progress_line(quiet: bool) -> Iterator[Line]:
    """Give a line to keep up to date; it is wiped when the block ends, also by Ctrl-C."""
    line = Line(not quiet and sys.stderr.isatty())
    try:
        yield line
    finally:
        line.say("")


class Line:
    """A progress callable for counted work; `say` is for work that is not counted.

    Parameters
    ----------
    shown : bool
        Whether anybody sees it; otherwise nothing is written.
    """

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._width = 0
        self._message = ""
        self._start = time.monotonic()

    def __call__(self, fraction: float, message: str) -> None:
        """Say how far the work is, as a fraction of 1, and how long the rest may take."""
        if message != self._message:
            self._message, self._start = message, time.monotonic()
        passed = time.monotonic() - self._start
        left = passed * (1 - fraction) / max(fraction, 1e-9)
        if passed > QUICK_S:
            self.say(f"{fraction:4.0%} {message}" + (f", {_spoken(left)} left" if passed > LEFT_S else ""))

    def say(self, text: str) -> None:
        """Put a text in place of the one before: spaces wipe it, which every terminal understands."""
        if self._shown and (text or self._width):
            click.echo("\r" + text.ljust(self._width) + ("" if text else "\r"), nl=False, err=True)
            self._width = len(text)


def _spoken(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
