"""What a round asks of the chain grows with its hospitals, and not with their square."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from web3.types import RPCEndpoint, RPCResponse

from fedcxr.bench.round import run_protocol
from fedcxr.chain.embedded.chain import _Provider
from server.events import Event, RoundFinalized, RoundOpened

_ITS_OWN = ("eth_accounts", "eth_chainId")  # web3 asks them of a chain in its own process, for each call


@pytest.fixture(autouse=True)
def batches_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is."""
    monkeypatch.setattr("server.batch._SHORTEST", 600.0)
    monkeypatch.setattr("server.batch._LONGEST", 600.0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each method of the chain was asked, by hospitals through its endpoint and by the server."""
    counted: Counter[str] = Counter()
    answer = _Provider.make_request

    def counting(self: _Provider, method: RPCEndpoint, params: Any) -> RPCResponse:
        counted[method] += method not in _ITS_OWN
        return answer(self, method, params)

    monkeypatch.setattr(_Provider, "make_request", counting)
    return counted


def calls_of_a_round(asked: Counter[str], place: Path, hospitals: int, recording: str) -> Counter[str]:
    """What a second round asked, in which hospitals look after their updates of the first."""
    before: Counter[str] = Counter()
    rounds: list[Counter[str]] = []

    def observer(event: Event) -> None:
        nonlocal before
        if isinstance(event, RoundOpened):
            before = asked.copy()
        if isinstance(event, RoundFinalized):
            rounds.append(asked - before)

    run_protocol(place, "compact", hospitals, 2, observer, changes={"ledger.recording": recording})
    return rounds[-1]


@pytest.mark.parametrize(("recording", "calls"), [("each", 1), ("root", 2)])
def test_a_hospital_more_asks_once_and_no_more_of_each_other_one(
    asked: Counter[str], tmp_path: Path, recording: str, calls: int
) -> None:
    """Under one root no event says what the contract keeps of a hospital, so it asks for that too."""
    few = calls_of_a_round(asked, tmp_path / "few", 6, recording)
    many = calls_of_a_round(asked, tmp_path / "many", 24, recording)
    each = (many.total() - few.total()) / 18
    assert each <= calls + 0.5, (few, many)
    assert many["eth_call"] - few["eth_call"] <= (calls - 1) * 18, (few, many)
