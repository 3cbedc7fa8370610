"""Progress: any callable ``progress(fraction, message)``; False from it cancels the work.

``progress=True`` shows a bar on standard error through rich or tqdm where one of them is installed and the stream is a
terminal, and nothing otherwise. ``progress=None`` is silent.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Self

from shoal.errors import InputError

__all__ = ["Progress", "Ticker"]

Progress = Callable[[float, str], Any] | bool | None

EVERY_S = 0.1  # more often than this nobody can read


class Ticker:
    """Counts steps of known total and tells a callable the true fraction, at most ten times a second.

    Parameters
    ----------
    progress : callable, bool or None
        See the module's text.
    message : str
        What is going on, for people.
    total : float
        Steps in all.
    """

    def __init__(self, progress: Progress, message: str = "", total: float = 1.0) -> None:
        if progress is not None and not isinstance(progress, bool) and not callable(progress):
            raise InputError(f"progress={progress!r} was given.", "Give True, None, or a function of a fraction and a text.")
        self._tell: Callable[[float, str], Any] | None = _bar() if progress is True else (progress or None)
        self.message = message
        self.total = max(float(total), 1e-300)
        self.done = 0.0
        self._last = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if isinstance(self._tell, _Bar):
            self._tell.close()

    def step(self, steps: float = 1.0) -> None:
        """Advance. Raises KeyboardInterrupt when the callable answers False."""
        self.done += steps
        self.at(self.done / self.total)

    def at(self, fraction: float, message: str | None = None) -> None:
        """Say how far the work is, as a fraction of 1."""
        if message is not None:
            self.message = message
        if self._tell is None:
            return
        now = time.monotonic()
        if now - self._last < EVERY_S and fraction < 1.0:
            return
        self._last = now
        if self._tell(min(max(fraction, 0.0), 1.0), self.message) is False:
            raise KeyboardInterrupt("cancelled by the progress callable")


class _Bar:
    """A bar on standard error, by way of `show(fraction, message)`; drawn from the first call on, gone once closed."""

    def __init__(self, show: Callable[[float, str], Any], close: Callable[[], Any]) -> None:
        self._show, self.close = show, close

    def __call__(self, fraction: float, message: str) -> None:
        self._show(fraction, message)
        if fraction >= 1.0:
            self.close()


def _bar() -> _Bar | None:
    """Return a bar, or None where nobody would see it."""
    if not sys.stderr.isatty():
        return None
    return _rich_bar() or _tqdm_bar()


def _rich_bar() -> _Bar | None:
    try:
        from rich.console import Console
        from rich.progress import Progress as RichProgress
    except ImportError:
        return None
    bar = RichProgress(console=Console(stderr=True), transient=True)
    task = bar.add_task("", total=1.0)

    def show(fraction: float, message: str) -> None:
        if not bar.live.is_started and fraction < 1.0:
            bar.start()
        bar.update(task, completed=fraction, description=message)

    return _Bar(show, bar.stop)


def _tqdm_bar() -> _Bar | None:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    bar = tqdm(total=100, leave=False, bar_format="{desc} {percentage:3.0f}%|{bar}| {remaining}")

    def show(fraction: float, message: str) -> None:
        bar.set_description_str(message, refresh=False)
        bar.update(round(100 * fraction) - bar.n)

    return _Bar(show, bar.close)
