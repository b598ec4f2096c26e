"""A coordinator that adds wrongly in a masked federation loses its bond, by what everybody has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from disputed_run import STRANGER, key_file
from ledger_commands import said
from masked_runs import (
    attempt_of,
    audited,
    copied,
    masked_config,
    places,
    publish,
    run_masked,
    seeds_of,
)

from fedcxr.aggregation.masked_sum import MaskedSum
from fedcxr.audit.disputes.case import Case
from fedcxr.audit.disputes.masked_challenge import find_masked_challenge
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.config import Config
from fedcxr.errors import (
    ContractRejectedError,
    EnvelopeError,
    FedcxrError,
    FederationError,
    LedgerError,
    StoreError,
)
from fedcxr.ledger.court import DisputeCourt
from fedcxr.ledger.openings import MOST_GAS, MaskedOpening, in_transactions
from fedcxr.ledger.views import FederationViews
from fedcxr.run.ledger_access import reading_ledger
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update.layout import Vector

BOND = 10**18
PLACE = 2000
"""Of the word that is wrong: in the second chunk."""


@pytest.fixture(scope="module")
def bonded(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = masked_config(small_config, tmp_path_factory.mktemp("data") / "five")
    return config.with_changes({"ledger.bond": BOND, "ledger.dispute_window": 86_400, "federation.rounds": 1})


@pytest.fixture(scope="module")
def cheat(bonded: Config, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], RunDirectory]:
    """A run whose coordinator adds wrongly, by how submissions are recorded; never written to."""
    runs: dict[str, RunDirectory] = {}
    model = MaskedSum.model

    def greedy(self: MaskedSum, base: Vector, exponents: Sequence[int]) -> Vector:
        self.total[PLACE] += np.uint32(1)  # what it finalizes and stores is this sum
        return model(self, base, exponents)

    def run(recording: str) -> RunDirectory:
        if recording not in runs:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(MaskedSum, "model", greedy)
                config = bonded.with_changes({"ledger.recording": recording})
                runs[recording] = run_masked(config, tmp_path_factory.mktemp(recording) / "run")
        return runs[recording]

    return run


@pytest.fixture
def cheated(cheat: Callable[[str], RunDirectory], tmp_path: Path) -> RunDirectory:
    return copied(cheat("each"), tmp_path / "run")


@pytest.fixture
def quick() -> None:
    """Its chains are executed again like any other."""


def refused(*words: object) -> str:
    with pytest.raises(ContractRejectedError) as raised:
        said(*words)
    return raised.value.name


@pytest.mark.parametrize("recording", ["each", "root"])
def test_a_coordinator_that_adds_wrongly_behind_masks_is_caught_by_the_contract(
    cheat: Callable[[str], RunDirectory], recording: str, tmp_path: Path
) -> None:
    run = copied(cheat(recording), tmp_path / "run")
    key = key_file(tmp_path / "key.json", 77)
    assert refused("challenge", run.root, 1, "--leaf", 0, "--key", key) == "AggregateCorrect"
    won = said("challenge", run.root, 1, "--key", key)
    assert f"has added word {PLACE} and found the aggregate wrong" in won
    assert f"lost its bond of {BOND:,} wei" in won
    with reading_ledger(run) as ledger:
        assert DisputeCourt(ledger.w3, ledger.court).bond == 0
    assert refused("challenge", run.root, 1, "--key", key) == "AlreadyDisputed"
    report = audited(run)
    assert any("a challenge that the court found for" in finding.found for finding in report.findings)
    assert "aggregate root" in {finding.where for finding in report.findings}


def test_a_right_sum_of_masked_updates_stands(
    bonded: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_masked(bonded, tmp_path / "run")
    key = key_file(tmp_path / "key.json", 77)
    assert "every chunk of the aggregate is the sum" in said("challenge", run.root, 1, "--key", key)
    assert refused("challenge", run.root, 1, "--leaf", 1, "--key", key) == "AggregateCorrect"
    with reading_ledger(run) as ledger:
        aggregate = ledger.round(1).aggregate_root
    Path(run.blob_store().path(aggregate)).unlink()
    assert places(audited(run)) == {("aggregate", 1, "")}
    monkeypatch.setattr(FederationViews, "court_has", lambda views, function: False)
    assert audited(run).proven  # a court that hears of no masked sums needs no aggregate


def test_a_third_party_challenges_a_masked_round_with_an_endpoint_and_a_store(
    cheated: RunDirectory, tmp_path: Path
) -> None:
    chain_file = tmp_path / "ledger.sqlite"
    chain_file.write_bytes(cheated.chain_path.read_bytes())
    chain = EmbeddedChain(chain_file, chain_id=cheated.config.ledger.chain_id)
    key = key_file(tmp_path / "stranger.json", 66)
    with closing(chain), closing(RpcServer(chain)) as server:
        at = ("--rpc", server.url, "--contract", cheated.read_facts().contract)
        won = said("challenge", 1, *at, "--store", cheated.root / "blobs", "--key", key)
    assert f"lost its bond of {BOND:,} wei" in won


@pytest.fixture
def case(cheated: RunDirectory) -> Iterator[Case]:
    """A stranger at the court."""
    path, chain_id = cheated.chain_path, cheated.config.ledger.chain_id
    with closing(EmbeddedChain(path, chain_id=chain_id)) as chain:
        chain.fund(STRANGER.address)
        yield Case.on(chain.w3, cheated.read_facts().contract, STRANGER)


def test_openings_in_several_transactions_are_one_case(
    cheated: RunDirectory, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_masked_challenge(case.ledger, cheated.blob_store(), 1)
    assert found is not None
    assert [len(opening.seeds) for opening in found.openings] == [2] * 4  # one hospital is missing
    monkeypatch.setattr("fedcxr.ledger.openings.MOST_GAS", 2_100_000)
    assert len(list(in_transactions(found.openings))) == 2
    found.bring(case.court)
    assert case.court.disputed(1)
    assert case.court.gas_used < 3_000_000


def test_the_court_takes_no_seed_and_no_context_but_those_that_were_committed_to(
    cheated: RunDirectory, case: Case
) -> None:
    found = find_masked_challenge(case.ledger, cheated.blob_store(), 1)
    assert found is not None
    first, *others = found.openings
    other_seed = replace(first, seeds=[first.seeds[0], bytes(32)])
    order = [others[0], first, *others[1:]]
    for wrong, name in (
        (replace(found, openings=[other_seed, *others]), "WrongSeed"),
        (replace(found, openings=order), "NotCommitted"),
        (replace(found, openings=[first, *others[1:]]), "NotCommitted"),
        (replace(found, context=found.context[:-1] + b"\0"), "WrongHeader"),
        (replace(found, word=found.word + 1), "AggregateCorrect"),
    ):
        with pytest.raises(ContractRejectedError) as raised:
            wrong.bring(case.court)
        assert raised.value.name == name
    replace(found, openings=[first]).bring(case.court)  # opened, and not decided
    assert not case.court.disputed(1)
    found.bring(case.court)
    assert case.court.disputed(1)


def test_what_lacks_for_a_challenge_is_said(cheated: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    store = cheated.blob_store()
    with reading_ledger(cheated) as ledger:

        def looking(error: type[FedcxrError], words: str) -> None:
            with pytest.raises(error, match=words):
                find_masked_challenge(ledger, store, 1)

        with pytest.raises(FedcxrError, match="round 2"):
            find_masked_challenge(ledger, store, 2)
        with monkeypatch.context() as patch:
            patch.setattr(DisputeCourt, "seeds_published", lambda court, number, attempt: [])
            looking(LedgerError, "its seeds were never published")
        with monkeypatch.context() as patch:
            patch.setattr(FederationViews, "court_has", lambda views, function: False)
            looking(LedgerError, "of an earlier fedcxr, hears no challenge")
        with monkeypatch.context() as patch:
            patch.setattr(DisputeCourt, "seeds_published", lambda court, number, attempt: [store.put(b"{}")])
            looking(FederationError, "seeds")
        aggregate = ledger.round(1).aggregate_root
        Path(store.path(aggregate)).unlink()
        looking(StoreError, aggregate.hex())
        Path(store.path(ledger.config_digest)).unlink()
        looking(LedgerError, "configuration")


def test_seeds_that_nobody_committed_to_are_not_brought_to_the_court(cheated: RunDirectory) -> None:
    attempt, accepted, _ = attempt_of(cheated, 1)
    published = seeds_of(cheated, 1, attempt, accepted)
    seeds = replace(published, seeds=published.seeds._replace(own={**published.seeds.own, 2: bytes(32)}))
    publish(cheated, 1, seeds.to_bytes())
    with reading_ledger(cheated) as ledger, pytest.raises(EnvelopeError, match="seat 2: of the published"):
        find_masked_challenge(ledger, cheated.blob_store(), 1)


def test_fifty_openings_are_more_than_one_transaction(case: Case, cheated: RunDirectory) -> None:
    found = find_masked_challenge(case.ledger, cheated.blob_store(), 1)
    assert found is not None
    one: MaskedOpening = replace(found.openings[0], seeds=[bytes(32)] * 17)
    parts = list(in_transactions([one] * 34))
    assert sum(len(part) for part, _ in parts) == 34
    assert len(parts) > 1
    assert all(gas <= MOST_GAS for _, gas in parts)
    assert [len(part) for part, _ in in_transactions([])] == [0]
