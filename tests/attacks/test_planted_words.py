"""The adversary writes reasons on the ledger and messages to the coordinator: lines, and no more."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import told_run
from planted import MARK, WORDS, A, Show, check

from fedcxr.indexer import follow
from fedcxr.indexer.location import opened
from fedcxr.indexer.members import Members
from fedcxr.run.logfile import log_to
from fedcxr.update.metrics import HospitalMetrics
from server.console import Console
from server.event_log import log_event
from server.events import Event, FederationStarted, HospitalAnswered, NotRegistered, RoundFinalized


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on whose ledger every reason is planted, and in whose metrics every name."""
    root = tmp_path_factory.mktemp("told") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(told_run, "NASTY", WORDS)
        party = told_run.tell(root)
    hospitals = {f"{i}{WORDS}\udc1b": {"address": a} for i, a in enumerate(party.addresses)}
    (root / "metrics.jsonl").write_text(json.dumps({"round": 1, "hospitals": hospitals}) + "\n")
    return root


def who(run: Path) -> str:
    """The address of a hospital of the run."""
    (line,) = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return str([entry["address"] for entry in line["hospitals"].values()][2])


@pytest.mark.parametrize("coloured", [False, True], ids=["plain", "coloured"])
@pytest.mark.parametrize(
    "words", ["show", "rounds", "hospital", "update", "rewards", "bond"], ids=lambda word: f"ledger-{word}"
)
def test_the_ledgers_words_are_only_words(told: Path, show: Show, words: str, coloured: bool) -> None:
    asked = {"hospital": (who(told),), "update": ("1", who(told))}.get(words, ())
    said = show("ledger", words, *asked, told, coloured=coloured)
    assert said.code == 0, said.all
    if words != "bond":
        assert "[red]" in said.out
        shown = "".join(said.out.split())  # a cell may be folded within a word
        assert "\\x1b[2J" in shown
        assert ":bomb:" in shown
    tree = show("ledger", words, *asked, told, "--json")
    json.loads(tree.out)


def test_a_name_that_nobody_has_is_answered_with_those_there_are(told: Path, show: Show) -> None:
    said = show("ledger", "hospital", "nobody", told, coloured=True)
    assert said.code == 50
    assert "[red]x[/red] [/]" in said.err


def test_an_event_is_a_line(told: Path, show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    def finite(location: Any, **options: Any) -> Iterator[object]:
        yield follow.Notice("away", WORDS)
        with opened(location, progress=options["progress"]) as ledger:
            members = Members.of(ledger.index)
            for name, row in ledger.index.after(0):
                yield follow.Seen(name, row, members)

    monkeypatch.setattr(follow, "follow", finite)
    said = show("ledger", "watch", told)
    assert sum(MARK in line for line in said.err.splitlines()) == 1
    lines = said.out.splitlines()
    assert sum("RoundAborted" in line and MARK in line for line in lines) == 1
    assert all(re.match(r"\d{4}-\d\d-\d\d ", line) for line in lines)
    for line in show("ledger", "watch", told, "--json").out.splitlines():
        json.loads(line)


METRICS = HospitalMetrics("ab" * 16, 10, 20, 2, 1.0, 0.1, 0.3, {"bce": 0.3}, 7)
EVENTS: tuple[Event, ...] = (
    NotRegistered(1, WORDS),
    FederationStarted({A: WORDS}, {A: 10}, 2, 3),
    HospitalAnswered(2, A, WORDS, None, None),
    HospitalAnswered(2, WORDS, WORDS, None, None),
    HospitalAnswered(2, A, "", METRICS, 0.9),
    HospitalAnswered(2, A, "", None, None),
    RoundFinalized(2, bytes(32), (WORDS,), 1.0, None, {}),
)


@pytest.mark.parametrize("coloured", [False, True], ids=["plain", "coloured"])
def test_what_hospitals_say_is_a_line_each_on_screen_and_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, coloured: bool
) -> None:
    if coloured:
        monkeypatch.setenv("FORCE_COLOR", "1")
    console = Console()
    with log_to(tmp_path / "run.log"):
        for event in EVENTS:
            console(event)
            log_event(event)
    said = check(capsys.readouterr().out, coloured=coloured)
    assert "[red]x[/red] [/]" in said
    assert len(check((tmp_path / "run.log").read_text()).splitlines()) == len(EVENTS)
