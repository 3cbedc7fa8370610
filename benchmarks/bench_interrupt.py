"""How long Ctrl-C takes to be heard: from the signal to the exception, at random moments of long calls."""

from __future__ import annotations

import signal
import threading
import time

import numpy as np

import shoal
from common import table

CALLS = {
    "average, 12,000 × 10": (12_000, 10, "average"),
    "centroid, 12,000 × 10": (12_000, 10, "centroid"),
    "single, 12,000 × 10": (12_000, 10, "single"),
    "ward, 9,000 × 200": (9_000, 200, "ward"),
}


def latency(X: np.ndarray, method: str, after: float) -> float | None:
    """Seconds from a signal sent `after` seconds into the call; None when the call had ended before."""
    sent = [0.0]

    def send() -> None:
        sent[0] = time.perf_counter()
        signal.raise_signal(signal.SIGINT)

    timer = threading.Timer(after, send)
    timer.start()
    try:
        shoal.linkage(X, method)
    except KeyboardInterrupt:
        return time.perf_counter() - sent[0]
    finally:
        timer.cancel()
    return None


def main() -> None:
    """Print the table."""
    rng, rows = np.random.default_rng(0), []
    for name, (n, d, method) in CALLS.items():
        X = rng.normal(size=(n, d))
        shoal.linkage(X[:1000], method)
        start = time.perf_counter()
        shoal.linkage(X, method)
        whole = time.perf_counter() - start
        found = [latency(X, method, float(t)) for t in rng.uniform(0, whole, 20)]
        heard = [1000 * t for t in found if t is not None]
        rows.append((name, whole, len(heard), float(np.median(heard)), float(max(heard))))
    print("### Ctrl-C\n\n" + table(("call", "whole s", "signals", "median ms", "worst ms"), rows))


if __name__ == "__main__":
    main()
