"""Products of matrices inside our own threads."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

__all__ = ["one_thread"]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Hold the BLAS to one thread: its threads wait for one another, and on a busy machine that took 8 ms a product."""
    with _controller().limit(limits=1, user_api="blas"):
        yield


@functools.cache
def _controller() -> Any:
    """Find numpy's BLAS once: to look through all loaded libraries takes 1.4 ms, and 0.02 ms when they are known."""
    import numpy as np  # noqa: F401 - its BLAS must be there to be found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
