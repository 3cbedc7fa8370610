"""Progress: true fractions, cancelling, and silence where nobody looks."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.runtime import progress
from shoal.runtime.progress import Ticker


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 0.0)


@pytest.mark.usefixtures("no_waiting")
def test_fractions_rise_to_one_and_are_true() -> None:
    heard: list[tuple[float, str]] = []
    ticker = Ticker(lambda fraction, message: heard.append((fraction, message)), "merging", total=8)
    for _ in range(8):
        ticker.step()
    assert heard == [((i + 1) / 8, "merging") for i in range(8)]


@given(st.lists(st.floats(0, 10), max_size=30), st.floats(0, 100))
def test_fractions_stay_within_zero_and_one(steps: list[float], total: float) -> None:
    heard: list[float] = []
    ticker = Ticker(lambda fraction, message: heard.append(fraction), total=total)
    for steps_done in steps:
        ticker.step(steps_done)
    assert heard == sorted(heard)
    assert all(0 <= fraction <= 1 for fraction in heard)


def test_told_at_most_ten_times_a_second_but_always_of_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    heard: list[float] = []
    ticker = Ticker(lambda fraction, message: heard.append(fraction), total=1000)
    for _ in range(999):
        now += 0.001
        ticker.step()
    assert 9 <= len(heard) <= 11
    ticker.step()
    assert heard[-1] == 1.0


@pytest.mark.usefixtures("no_waiting")
def test_only_false_cancels() -> None:
    answers: list[Any] = [None, True, 0, ""]
    ticker = Ticker(lambda fraction, message: answers.pop())
    while answers:
        ticker.at(0.5)
    with pytest.raises(KeyboardInterrupt, match="cancelled"):
        Ticker(lambda fraction, message: False).at(0.5)


@pytest.mark.usefixtures("no_waiting")
def test_at_changes_the_message() -> None:
    heard: list[str] = []
    ticker = Ticker(lambda fraction, message: heard.append(message), "first")
    ticker.at(0.1)
    ticker.at(0.2, "second")
    ticker.at(0.3)
    assert heard == ["first", "second", "second"]


@pytest.mark.parametrize("quiet", [None, False, True])
def test_silent_when_not_asked_or_nobody_looks(quiet: Any, capsys: pytest.CaptureFixture[str]) -> None:
    ticker = Ticker(quiet, "work", total=2)  # captured streams are no terminals
    ticker.step()
    ticker.step()
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(("missing", "shown"), [((), "merging"), (("rich",), "%|"), (("rich", "tqdm"), "")])
def test_a_bar_on_standard_error_of_a_terminal(missing: tuple[str, ...], shown: str, monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    for name in missing:
        for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, name, None)
    ticker = Ticker(True, "merging", total=2)
    ticker.step()
    ticker.step()
    assert shown in screen.getvalue()
    assert bool(screen.getvalue()) == bool(shown)
    assert capsys.readouterr().out == ""
