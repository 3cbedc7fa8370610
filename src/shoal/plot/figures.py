"""Making figures, and turning them into bytes and files that are the same every time."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from shoal.errors import InputError, MissingExtraError

__all__ = ["close", "figure_bytes", "new_axes", "require_matplotlib", "save"]

# Dates and program versions would make the same picture differ from day to day; None leaves them out.
_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def require_matplotlib(purpose: str) -> None:
    """Raise MissingExtraError, saying what for, where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingExtraError("matplotlib", "plot", purpose) from None


def new_axes(width: float, height: float) -> Any:
    """Return the axes of a new figure of that size in inches, laid out so that no text is cut off."""
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]


def close(ax: Any) -> None:
    """Forget the figure of some axes, which a notebook would else show as well."""
    from matplotlib import pyplot

    pyplot.close(ax.figure)


def figure_bytes(ax: Any, format: str = "png", dpi: float = 150) -> bytes:
    """Return the picture that holds some axes, as the bytes of a file.

    Parameters
    ----------
    ax : matplotlib Axes
        Any axes of the figure.
    format : {"png", "svg", "pdf"}, default "png"
        The same figure gives the same bytes every time.
    dpi : float, default 150
        Dots an inch, of PNG and of rasterised parts.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    InputError
        When the format is another.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from shoal.plot.figures import figure_bytes
    >>> figure_bytes(Figure().subplots(), "pdf")[:4]
    b'%PDF'
    """
    if format not in _METADATA:
        raise InputError(f"The picture format {format!r} is not known.", f"Use one of {', '.join(_METADATA)}.")
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "shoal"}):
        ax.figure.savefig(buffer, format=format, dpi=dpi, metadata=_METADATA[format])
    return buffer.getvalue()


def save(ax: Any, path: str | Path, force: bool = False) -> None:
    """Write the picture that holds some axes to a file, whole or not at all.

    Parameters
    ----------
    ax : matplotlib Axes
        Any axes of the figure.
    path : str or Path
        Its ending, .png, .svg or .pdf, decides the format.
    force : bool, default False
        Replace a file that exists.

    Raises
    ------
    InputError
        When the ending is another, or the file exists and `force` is False.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from matplotlib.figure import Figure
    >>> from shoal.plot.figures import save
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Figure().subplots(), Path(folder) / "empty.svg")
    """
    from shoal.runtime.files import atomic_write

    content = figure_bytes(ax, Path(path).suffix.lower().lstrip("."))
    with atomic_write(path, force=force) as file:
        file.write(content)
