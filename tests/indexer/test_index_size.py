"""A thousand rounds of fifty hospitals: what the first scan takes, and that later answers take no second."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from long_history import CHAIN_ID, CONTRACT, History, hospital, serving, write_chain

ROUNDS, HOSPITALS = 1000, 50
WHO = hospital(7)
QUESTIONS = (
    ("show",),
    ("rounds",),
    ("rounds", "--rounds", "400-430", "--json"),
    ("hospital", WHO),
    ("hospital", WHO, "--json"),
    ("update", "500", WHO),
)
CREDITS = (("rewards",), ("rewards", "--json"))  # asks the contract itself, once a head of the chain

Ask = Callable[..., tuple[float, float]]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def history() -> History:
    return History.of(ROUNDS, HOSPITALS)


def asker(cache: Path, *where: object) -> Ask:
    """Asks from a process of its own, with modules that are compiled, as they are once installed."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"XDG_CACHE_HOME": str(cache), "PYTHONPYCACHEPREFIX": str(cache / "compiled")}

    def ask(*words: str) -> tuple[float, float]:
        """Seconds of the whole command, the start of its process included: of a processor, by the clock."""
        command = [sys.executable, "-m", "fedcxr", "ledger", *words, *map(str, where)]
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0, done.stderr
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, seconds

    return ask


def hold_to_a_second(
    ask: Ask, questions: tuple[tuple[str, ...], ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """The processor's seconds are held to it: the clock's are also those of whatever else the machine does,
    and the command waits for nothing but the answers that say that nothing moved."""
    figures = {"first scan": ask("rounds")}
    for question in questions:
        figures[" ".join(question)] = min(ask(*question) for _ in range(3))
    with capsys.disabled():
        print(f"\n{ROUNDS:,} rounds of {HOSPITALS} hospitals")  # noqa: T201
        for question, (busy, seconds) in figures.items():
            print(f"{busy:6.2f} s of a processor, {seconds:6.2f} s by the clock: {question}")  # noqa: T201
    for question, (busy, _) in list(figures.items())[1:]:
        assert busy < 1.0, question


def test_after_the_first_scan_an_endpoints_history_answers_within_a_second(
    history: History, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(history) as node:
        ask = asker(tmp_path, "--rpc", node.url, "--contract", CONTRACT)
        hold_to_a_second(ask, (*QUESTIONS, *CREDITS), capsys)
        pages = node.asked["eth_getLogs"]
        ask("rounds")
        assert node.asked["eth_getLogs"] == pages


def test_after_the_first_scan_a_runs_own_history_answers_within_a_second(
    history: History, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.toml").write_text('name = "long"\n[data]\nroot = "nowhere"\n')
    facts = {"federation": "46" * 32, "chain_id": CHAIN_ID, "contract": CONTRACT}
    (run / "ledger.json").write_text(json.dumps(facts))
    write_chain(history, run / "ledger.sqlite")
    hold_to_a_second(asker(tmp_path, run), QUESTIONS, capsys)
