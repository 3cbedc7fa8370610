"""What can be wrong. One base class; every message says what was given, what is allowed and what to do."""

from __future__ import annotations

__all__ = [
    "FormatError",
    "InputError",
    "MissingExtraError",
    "ShoalError",
    "ShoalWarning",
    "TooLargeError",
]


def is_whole(value: object) -> bool:
    """Whether a value is a whole number of Python or numpy, and not True or False."""
    return hasattr(value, "__index__") and not isinstance(value, bool)


class ShoalError(ValueError):
    """Base of every error Shoal raises on purpose.

    Parameters
    ----------
    message : str
        What was given and what is allowed, in full sentences.
    hint : str, optional
        What to do about it; becomes the last sentence of the message.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(f"{message} {hint}".strip())


class InputError(ShoalError):
    """The data or an argument cannot be used as given."""

    exit_code = 3


class FormatError(InputError):
    """A model file is damaged, foreign or newer than this version reads."""


class TooLargeError(ShoalError):
    """The work would not fit in memory. Raised before anything is allocated."""

    exit_code = 4


class MissingExtraError(ShoalError, ImportError):
    """An optional package is needed; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package!r}.", f"Install it with: pip install 'shoal[{extra}]'")


class ShoalWarning(UserWarning):
    """Something was handled that the caller may want to know. Filter by this class."""
