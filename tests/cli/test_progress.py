"""Bars on standard error: nothing is written where nothing was reported."""

import pytest

from fedcxr.cli.progress import bar


def test_a_command_that_reports_nothing_writes_no_empty_line(capfd: pytest.CaptureFixture[str]) -> None:
    with bar("draw"):
        pass
    assert capfd.readouterr().err == ""


def test_a_bar_ends_with_what_was_done(capfd: pytest.CaptureFixture[str]) -> None:
    with bar("draw") as report:
        report(1, 2)
        report(2, 2)
    said = capfd.readouterr().err
    assert said.startswith("draw ")
    assert "2/2 images" in said
