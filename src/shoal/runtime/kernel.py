"""The one compile policy: the only file that imports Numba.

A kernel is one body with two ways to run. Compiled, it is fast; as plain Python it starts at once, because Numba's
import alone takes longer than clustering a hundred items. Without fast-math both follow IEEE arithmetic in the same
order, so both give the same bits (docs/decisions/0001-kernels.md has the figures).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

__all__ = ["as_pair_kernel", "compiled", "kernel", "plain_if_cheap", "plain_python", "prefetch"]

F = TypeVar("F", bound=Callable[..., Any])

_plain: ContextVar[bool] = ContextVar("shoal_plain_python", default=False)
_compile_lock = threading.RLock()
_plain_spent = 0.0

LOAD_S = 0.45  # seconds until the first compiled kernel runs, its cache on disk being warm; 3 to 5 where it is empty


def _jit_is_off() -> bool:
    return os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


@contextlib.contextmanager
def plain_python(yes: bool) -> Iterator[None]:
    """Run the kernels called inside as plain Python when `yes`: right for work that ends before Numba is imported."""
    token = _plain.set(yes or _plain.get())
    try:
        yield
    finally:
        _plain.reset(token)


@contextlib.contextmanager
def plain_if_cheap(seconds: float) -> Iterator[None]:
    """Run the kernels called inside as plain Python as long as that costs less than loading the compiled ones.

    Parameters
    ----------
    seconds : float
        What the work is expected to take as plain Python.

    Notes
    -----
    Plain runs add up: a process that clusters one small table never loads Numba, and one that clusters thousands loses
    at most about `LOAD_S` before it does. Both ways give the same bits.
    """
    global _plain_spent
    with plain_python(not Kernel.loaded and _plain_spent + seconds <= LOAD_S):
        start = time.perf_counter()
        yield
        if _plain.get():
            _plain_spent += time.perf_counter() - start


class Kernel:
    """A function of arrays and scalars, compiled at its first call with a new combination of types."""

    loaded = False  # whether this process has compiled kernels already

    def __init__(self, body: Callable[..., Any]) -> None:
        self.body = body
        self.__doc__ = body.__doc__
        self.__name__ = body.__name__
        self.__wrapped__ = body
        self._dispatcher: Any = None
        self._ready: set[tuple[Any, ...]] = set()

    def __call__(self, *args: Any) -> Any:
        if _plain.get() or _jit_is_off():
            with np.errstate(all="ignore"):  # as compiled: overflow gives infinity, and is found where results are checked
                return self.body(*args)
        key = tuple(map(_kind, args))
        if key not in self._ready:
            self._compile(args)
            self._ready.add(key)
            Kernel.loaded = True
        return self._dispatcher(*args)

    @property
    def dispatcher(self) -> Any:
        """The Numba dispatcher behind this kernel."""
        if self._dispatcher is None:
            with _compile_lock:
                if self._dispatcher is None:
                    self._dispatcher = compiled(self.body)
        return self._dispatcher

    @property
    def _numba_type_(self) -> Any:  # how Numba types a global it meets inside another kernel
        return self.dispatcher._numba_type_

    def _compile(self, args: tuple[Any, ...]) -> None:
        import numba

        types = tuple(numba.typeof(a) for a in args)
        with _compile_lock, _cache_lock(self.dispatcher):
            try:
                self.dispatcher.compile(types)
            except (AttributeError, ImportError):  # the cache on disk names a type that is no longer where it was
                self._dispatcher = compiled(self.body, cache=False)
                self._dispatcher.compile(types)


def _kind(value: Any) -> Any:
    """Return what decides the compiled version: an array's dtype, dimensions, layout and writability."""
    if isinstance(value, tuple):
        return type(value), *map(_kind, value)
    if hasattr(value, "flags") and value.ndim:
        flags = value.flags
        return value.dtype.str, value.ndim, flags.writeable, flags.c_contiguous, flags.f_contiguous
    return type(value)


def kernel(body: F) -> F:
    """Mark a hot loop. It takes arrays, scalars and named tuples of them, validates nothing, and calls only kernels."""
    return cast(F, Kernel(body))


class _Prefetch:
    """``prefetch(array, place)``: ask for a cache line that a kernel will read soon; nothing in plain Python.

    The processor fetches into its second-level cache about three times as many lines at once as it can have loads
    waiting: 11 ns an entry become 8 where every entry is on a line of its own.
    """

    _type: Any = None

    def __call__(self, array: Any, place: int) -> None:
        """Do nothing: Python has no use for it."""

    @property
    def _numba_type_(self) -> Any:
        if self._type is None:
            self._type = _prefetch_type()
        return self._type


prefetch = _Prefetch()


def _prefetch_type() -> Any:
    from llvmlite import ir
    from numba.core import cgutils, types
    from numba.core.registry import cpu_target
    from numba.extending import intrinsic

    @intrinsic  # type: ignore[untyped-decorator]
    def fetch(typing: Any, array: Any, place: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
            call = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(ir.VoidType(), [byte, word, word, word]), "llvm.prefetch.p0")
            reading, second_level, of_data = word(0), word(2), word(1)
            builder.call(call, [builder.bitcast(builder.gep(data, [args[1]]), byte), reading, second_level, of_data])
            return context.get_dummy_value()

        return types.void(array, place), emit

    cpu_target.typing_context.refresh()  # it has not seen the new intrinsic yet
    return cpu_target.typing_context.resolve_value_type(fetch)


def compiled(body: Callable[..., Any], cache: bool = True) -> Any:
    """Compile without the GIL and without fast-math; cached where a cache can be written, silently not elsewhere."""
    import numba

    try:
        return numba.njit(nogil=True, cache=cache)(body)
    except RuntimeError:  # "no locator available": neither the package folder nor a user cache is writable
        return numba.njit(nogil=True)(body)


@contextlib.contextmanager
def _cache_lock(dispatcher: Any) -> Iterator[None]:
    """Hold a lock between processes while compiling.

    Numba writes its cache index without one: two processes that compile different signatures of one kernel can take the
    same file number, and one of them later loads the other's machine code.
    """
    try:
        import fcntl

        folder = Path(dispatcher._cache.cache_path)
        folder.mkdir(parents=True, exist_ok=True)
        handle = open(folder / ".shoal-compile.lock", "a")  # noqa: SIM115 - closed below, held while compiling
    except (ImportError, AttributeError, OSError, TypeError):
        yield
        return
    with handle:
        with contextlib.suppress(OSError):  # a file system without locks: as safe as Numba alone
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def as_pair_kernel(metric: Callable[..., Any], x: Any, y: Any) -> Callable[..., Any] | None:
    """Compile a user's `metric(x, y) -> float` so that it can be called from a row loop, or return None.

    Parameters
    ----------
    metric : callable
        A Python function or a Numba function of two 1-D arrays.
    x, y : ndarray, shape (d,)
        Two rows to try it on: it must compile, and give the number Python gives.

    Returns
    -------
    callable or None
        `rows(X, i, j0, j1, out)`, which writes ``metric(X[i], X[j])`` to ``out[j - j0]``; None where the function is
        not within Numba's reach, and then Python calls it.
    """
    if _jit_is_off():
        return None
    import numba

    try:
        pair = metric if isinstance(metric, numba.core.dispatcher.Dispatcher) else numba.njit(nogil=True)(metric)
        expected, got = float(metric(x, y)), float(pair(x, y))
    except Exception:  # any failure to compile means: Python runs it
        return None
    if abs(got - expected) > 1e-12 * abs(expected):  # sums may run in another order; NaN is found out later
        return None

    def rows(X: Any, i: int, j0: int, j1: int, out: Any) -> None:
        for j in range(j0, j1):
            out[j - j0] = pair(X[i], X[j])

    return cast(Callable[..., Any], numba.njit(nogil=True)(rows))
