"""A federation with seats beyond the first 256: founded, run, killed, resumed and audited as any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedcxr.audit.audit import audit
from fedcxr.bench.round import run_protocol
from fedcxr.indexer.location import ChainLocation, ask
from fedcxr.indexer.members import Members
from fedcxr.indexer.rewards import read_rewards
from fedcxr.indexer.rounds import read_rounds as indexed_rounds
from fedcxr.round_lines import read_rounds
from fedcxr.store.identity import Identity
from server.events import Event, RoundOpened

HOSPITALS = 260
CHANGES = {
    "data.size": 32,
    "data.phantom": {"hospitals": 1, "patients": 360, "size": 32},
    "partition.scheme": "iid",
    "partition.hospitals": HOSPITALS,
    "partition.min_patients": 1,
    "ledger.recording": "root",
    "ledger.rewards": 1000,
}


class KilledError(Exception):
    """The coordinator is gone."""


def test_a_federation_of_260_is_resumed_and_audited(tmp_path: Path) -> None:
    weights: list[int] = []

    def observer(event: Event) -> None:
        if isinstance(event, RoundOpened):
            weights.extend(event.weights.values())
            raise KilledError

    with pytest.raises(KilledError):
        run_protocol(tmp_path, "compact", HOSPITALS, 1, observer, changes=CHANGES)
    run = run_protocol(tmp_path, "compact", HOSPITALS, 1, lambda event: None, changes=CHANGES)
    (line,) = read_rounds(run)
    assert len(line.included) == len(weights) == HOSPITALS
    assert min(weights) >= 1
    assert sum(weights) <= 4096
    report = audit(run, [Identity.load(run.keys / "auditor.json").envelope_key])
    assert report.findings == []
    assert report.proven
    facts = run.read_facts()
    location = ChainLocation(
        facts.contract, chain_id=facts.chain_id, file=run.chain_path, index=tmp_path / "index.sqlite"
    )
    rewards, rounds = ask(
        location,
        lambda told: (
            read_rewards(told.index, Members.of(told.index), told.source, location.contract),
            indexed_rounds(told.index, Members.of(told.index)),
        ),
    )
    assert rewards.exact
    assert rewards.agrees
    assert (rewards.total, rewards.unsettled) == (1000, ())
    (record,) = rounds
    assert (record.number, record.attempt, record.included) == (1, 1, set(range(HOSPITALS)))
    assert sum((record.credits or {}).values()) == 1000
