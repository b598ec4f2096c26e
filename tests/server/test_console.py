"""What a person sees of a hospital's round, and what the log keeps of it."""

from __future__ import annotations

import io
import logging
from dataclasses import replace

import pytest

from fedcxr.terminal.console import Console as Terminal
from fedcxr.update.metrics import HospitalMetrics
from server.console import Console
from server.event_log import log_event
from server.events import HospitalAnswered


def answered(seconds: float, waited: float | None) -> HospitalAnswered:
    metrics = HospitalMetrics("ab" * 16, 6810, 13620, 213, seconds, 0.1, 0.342, {"bce": 0.3}, 0)
    return HospitalAnswered(2, "0x11", "", metrics, waited)


def shown(event: HospitalAnswered) -> str:
    console = Console(Terminal(file=io.StringIO(), width=80))
    console(event)
    assert isinstance(console._console.file, io.StringIO)
    return console._console.file.getvalue().strip()


LINE = "✓ 0x11: accepted; 6,810 images, 24 passes/s, loss 0.342"


@pytest.mark.parametrize(("values", "said"), [(1, "1 value saturated"), (2300, "2,300 values saturated")])
def test_what_was_saturated_is_said(values: int, said: str) -> None:
    event = answered(567.5, None)
    assert event.metrics is not None
    cut = replace(event, metrics=replace(event.metrics, saturated=values))
    assert shown(cut) == f"{LINE}, {said}"


def test_nothing_is_written_where_no_terminal_shows_the_bars() -> None:
    file = io.StringIO()
    with Console(Terminal(file=file)) as console:
        console.progress("images", 1, 2)
    assert file.getvalue() == ""


@pytest.mark.parametrize("waited", [None, 0.0, 11.0])
def test_a_loader_that_keeps_up_has_no_word_in_a_hospitals_line(waited: float | None) -> None:
    assert shown(answered(567.5, waited)) == LINE


def test_a_loader_that_keeps_the_network_waiting_is_said_in_a_hospitals_line() -> None:
    assert shown(answered(567.5, 68.1)) == f"{LINE}, 12 % of the time waiting for the loader"


def test_the_first_batch_of_a_short_training_is_no_news() -> None:
    assert "waiting" not in shown(answered(1.5, 0.9))


def test_the_log_has_each_hospitals_wait(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "server"):
        log_event(answered(567.5, 1.234))
        log_event(answered(567.5, None))
    known, unknown = caplog.messages
    assert known.endswith("; waited 1.23 s for its loader")
    assert "waited" not in unknown
