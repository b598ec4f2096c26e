"""Text of others on one line."""

from __future__ import annotations

import json
import logging
import sys
import warnings

import pytest

from fedcxr.terminal import one_line, say, say_json
from fedcxr.terminal.failures import LineFormatter, guard
from fedcxr.terminal.text import lines_of


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x00\x7f\x9b2J", r"\x00\x7f\x9b2J"),
        ("\u2028\u2029\x85\x0b\x0c", r"\u2028\u2029\x85\x0b\x0c"),
        ("\u202a\u202e\u2066\u2069\u200e\u200f\u061c", r"\u202a\u202e\u2066\u2069\u200e\u200f\u061c"),
        ("\u200b\u200d\ufeff\u2060\xad", r"\u200b\u200d\ufeff\u2060\xad"),
        ("\ud800\udcff", r"\ud800\udcff"),
        ("\u3164\u2800\ufe0f\U000e0101", r"\u3164\u2800\ufe0f\U000e0101"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_is_not_seen_is_an_escape(text: str, shown: str) -> None:
    assert one_line(text) == shown


@pytest.mark.parametrize(
    "text",
    ["Zürich, Ærø", "广州妇女儿童医疗中心", "Больница № 1", "مستشفى", "अस्पताल", "Σ ✓ … – ² 😀", "C:\\a"],
)
def test_letters_and_signs_of_all_languages_stay(text: str) -> None:
    assert one_line(text) == text


def test_every_character_is_one_line_and_no_command() -> None:
    text = one_line("".join(map(chr, range(sys.maxunicode + 1))))
    assert text.isprintable()
    assert len(text.splitlines()) == 1


def test_ends_of_lines_that_are_ours_stay() -> None:
    assert lines_of("a\n\x1bb\n") == "a\n\\x1bb\n"


def test_a_line_is_said_on_the_stream_that_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\nb")
    say("c\rd", err=True)
    assert capsys.readouterr() == ("a\\nb\n", "c\\rd\n")


def test_json_is_read_as_it_was_meant_and_has_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    words = "\x1b[2J\x7f\x9b2J\u202e\U000e0041\u2028\n ü"
    for text in (json.dumps([words], indent=2), json.dumps([words], indent=2, ensure_ascii=False)):
        say_json(text)
        said = capsys.readouterr().out
        assert json.loads(said) == [words]
        assert said.replace("\n", "").isprintable()


def fail(words: str) -> None:
    raise ValueError(words)


def test_a_log_has_a_line_a_record(caplog: pytest.LogCaptureFixture) -> None:
    try:
        fail("x\n\x1b[31mERROR all is well")
    except ValueError:
        logging.getLogger("tests").exception("%s is out", "a\nINFO b")
    first, *frames, last = LineFormatter("%(levelname)s %(message)s").format(caplog.records[0]).splitlines()
    assert first == r"ERROR a\nINFO b is out"
    assert frames[0].startswith("Traceback")
    assert last == r"ValueError: x\n\x1b[31mERROR all is well"


def test_a_warning_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    guard()
    said = warnings.formatwarning("a\n\x9bb", UserWarning, "x.py", 3)
    assert said == "x.py:3: UserWarning: a\\n\\x9bb\n"


def test_an_exception_that_nobody_caught_is_shown_by_the_same_rules(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    guard()
    try:
        fail("x\n\x1b[31m✓ clean")
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    said = capsys.readouterr().err
    assert said.startswith("Traceback")
    assert said.endswith("ValueError: x\\n\\x1b[31m✓ clean\n")
