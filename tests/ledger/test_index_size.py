"""A thousand rounds of fifty hospitals: what the first scan takes, and that later answers take no second."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from long_history import CONTRACT, History, Node, hospital, serving

ROUNDS, HOSPITALS = 1000, 50
QUESTIONS = (
    ("show",),
    ("rounds",),
    ("rounds", "--rounds", "400-430", "--json"),
    ("hospital", hospital(7)),
    ("hospital", hospital(7), "--json"),
    ("update", "500", hospital(7)),
    ("rewards",),
    ("rewards", "--json"),
)


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with serving(History.of(ROUNDS, HOSPITALS)) as node:
        yield node


def ask(node: Node, place: Path, *words: str) -> tuple[float, float]:
    """Seconds of the whole command, the start of its process included: of a processor, and by the clock."""
    # As installed: with compiled modules, which this environment may forbid.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"XDG_CACHE_HOME": str(place), "PYTHONPYCACHEPREFIX": str(place / "compiled")}
    command = [sys.executable, "-m", "fedcxr", "ledger", *words, "--rpc", node.url, "--contract", CONTRACT]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return busy, seconds


@pytest.mark.slow
def test_after_the_first_scan_every_answer_takes_less_than_a_second(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The processor's seconds are held to it: the clock's are also those of whatever else the machine does,
    and the command waits for nothing but the two answers that say that nothing moved."""
    first = ask(node, tmp_path, "rounds")
    logs = node.asked["eth_getLogs"]
    figures = {"first scan": first}
    for question in QUESTIONS:
        figures[" ".join(question)] = min(ask(node, tmp_path, *question) for _ in range(3))
    events = sum(map(len, node.history.logs))
    with capsys.disabled():
        print(f"\n{events:,} events of {node.history.head:,} blocks")  # noqa: T201
        for question, (busy, seconds) in figures.items():
            print(f"{busy:6.2f} s of a processor, {seconds:6.2f} s by the clock: {question}")  # noqa: T201
    assert node.asked["eth_getLogs"] == logs  # nothing was read twice
    for question, (busy, _) in list(figures.items())[1:]:
        assert busy < 1.0, question
