"""Masked rounds in journals, before third parties, in exports, and in a store that was cleaned."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from masked_runs import (
    MISSING,
    Open,
    account_in,
    answered,
    audited,
    change,
    journal_of,
    masked_config,
    name_seeds,
    of_seat,
    places,
    run_masked,
    seeds_of,
    unchecked_sum,
)
from typer.testing import CliRunner
from web3 import Web3

from fedcxr.audit.audit import Request, conduct_audit
from fedcxr.audit.disputes.challenge import wrong_leaf
from fedcxr.audit.export.verification import verify
from fedcxr.audit.ledger_source import EndpointLedger
from fedcxr.audit.sources import StoreSources
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.cli.app import app
from fedcxr.config import Config
from fedcxr.errors import (
    AuditIncompleteError,
    ConfigError,
    LedgerError,
    StoreError,
)
from fedcxr.ledger.artifact import known_artifacts, load_artifact
from fedcxr.ledger.court import DisputeCourt
from fedcxr.ledger.event_views import EventViews
from fedcxr.ledger.signed_json import signed_to_tree
from fedcxr.ledger.signing import Domain, Signed, sign
from fedcxr.ledger.views import FederationViews
from fedcxr.masked_rounds.answers import statement
from fedcxr.privacy.secagg.attempt import MaskedAttempt
from fedcxr.round_lines import read_rounds
from fedcxr.run.ledger_access import reading_ledger
from fedcxr.store.garbage import disputable, find_waste, read_attempts
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory

ROUNDS = (1, 2)


def add_line(
    run: RunDirectory, seat: int, attempt: MaskedAttempt, accepted: Sequence[int], domain: Domain
) -> None:
    """Have a hospital sign that it answered for a set, as of the chain's first block."""
    first = 0, bytes.fromhex(run.read_facts().genesis.removeprefix("0x"))
    account = account_in(run, seat)
    said = statement(attempt, account.address, accepted, first, b"")
    line = {"kind": said.kind(), **signed_to_tree(Signed(said, sign(account, said, domain)))}
    with journal_of(run, seat).open("a") as file:
        file.write(json.dumps(line) + "\n")


def test_honest_journals_are_clean(honest: RunDirectory) -> None:
    report = audited(honest, *(journal_of(honest, seat) for seat in range(5) if seat != MISSING))
    assert report.findings == []
    assert report.proven


def test_two_answers_for_one_attempt_convict_their_hospital(run: RunDirectory, opened: Open) -> None:
    attempt, _, domain = opened
    add_line(run, 2, attempt, (0, 1, 2, 3), domain)
    report = audited(run, journal_of(run, 2))
    assert {(f.round, f.hospital) for f in report.findings} == {(1, of_seat(opened, 2))}
    said = [(f.expected, f.found) for f in report.findings]
    assert any("one answer for attempt 1" in expected for expected, _ in said)
    assert any("was shown another chain, or lies" in found for _, found in said)


def test_an_answer_for_other_keys_tells_of_another_chain(run: RunDirectory, opened: Open) -> None:
    attempt, accepted, domain = opened
    journal_of(run, 2).write_text("")
    add_line(run, 2, replace(attempt, base=bytes(32)), accepted, domain)
    (finding,) = audited(run, journal_of(run, 2)).findings
    assert "of context" in finding.expected
    assert "was shown another chain, or lies" in finding.found


def test_an_answer_for_an_attempt_that_the_ledger_lacks_is_found(run: RunDirectory, opened: Open) -> None:
    attempt, accepted, domain = opened
    journal_of(run, 2).write_text("")
    add_line(run, 2, replace(attempt, attempt=7), accepted, domain)
    (finding,) = audited(run, journal_of(run, 2)).findings
    assert "an attempt 7 whose set the ledger has" in finding.expected


@pytest.fixture(scope="module")
def url(honest: RunDirectory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    chain_file = tmp_path_factory.mktemp("chain") / "ledger.sqlite"
    chain_file.write_bytes(honest.chain_path.read_bytes())
    with (
        closing(EmbeddedChain(chain_file, chain_id=honest.config.ledger.chain_id)) as chain,
        closing(RpcServer(chain)) as server,
    ):
        yield server.url


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("announces", [True, False], ids=["this court", "an earlier one"])
def test_a_third_party_needs_chain_store_and_the_name_of_the_seeds(
    honest: RunDirectory, url: str, told: bool, announces: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not announces:
        monkeypatch.setattr(FederationViews, "court_has", lambda views, function: False)
    head = bytes(Web3(Web3.HTTPProvider(url)).eth.get_block("latest")["hash"])
    sources = StoreSources(str(honest.root / "blobs"), metrics=honest.metrics.path if told else None)
    ledger = EndpointLedger(url, honest.read_facts().contract, head)
    report = conduct_audit(ledger, sources, Request(()))
    assert report.clean
    assert report.proven is (told or announces)
    assert unchecked_sum(report) is not (told or announces)


def test_a_line_that_names_other_seeds_than_the_chain_is_a_finding(run: RunDirectory) -> None:
    root = run.blob_store().put(b"no seeds")
    lines = run.metrics.path.read_text()
    run.metrics.path.write_text(lines.replace(read_rounds(run)[0].seeds, root.hex()))
    report = audited(run)
    assert places(report) == {("metrics.jsonl seeds", 1, "")}
    assert report.released  # the sum is checked by what the chain names


def test_seeds_that_the_coordinator_did_not_announce_are_not_published(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DisputeCourt, "seeds_published", lambda court, number, attempt: [])
    report = audited(run)
    kinds = ("metrics.jsonl seeds", "seeds file")
    assert places(report) == {(where, number, "") for where in kinds for number in ROUNDS}
    assert unchecked_sum(report)


def test_a_federation_of_an_earlier_court_is_founded_run_and_audited_as_then(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = known_artifacts()["FederationLedger-3"]
    assert before.deployed_bytecode == load_artifact().deployed_bytecode, "they differ in their courts alone"
    monkeypatch.undo()  # its chain is executed again like any other
    with monkeypatch.context() as patch:
        patch.setattr("fedcxr.ledger.contract.load_artifact", lambda: before)
        config = masked_config(small_config, tmp_path / "data").with_changes({"federation.rounds": 1})
        early = run_masked(config, tmp_path / "run")
    with reading_ledger(early) as ledger:
        assert ledger.artifact == "FederationLedger-3"
        assert ledger.code_difference() is None
        assert EventViews.of(ledger).seeds_published(1, 1) == []
    report = audited(early)
    assert report.proven
    name_seeds(early, 1, "")
    assert places(audited(early)) == {("seeds file", 1, "")}


def test_the_command_of_a_third_party_takes_the_runs_lines(
    honest: RunDirectory, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FederationViews, "court_has", lambda views, function: False)
    contract, store = honest.read_facts().contract, str(honest.root / "blobs")
    head = bytes(Web3(Web3.HTTPProvider(url)).eth.get_block("latest")["hash"]).hex()
    words = ["--rpc", url, "--contract", contract, "--store", store, "--head", head]
    metrics = ["--metrics", str(honest.metrics.path)]
    said = CliRunner().invoke(app, ["audit", *words, *metrics])
    assert said.exit_code == 0, said.output
    without_lines = CliRunner().invoke(app, ["audit", *words])
    assert isinstance(without_lines.exception, AuditIncompleteError)
    assert "nothing here names its seeds" in " ".join(without_lines.output.split())
    refused = CliRunner().invoke(app, ["audit", str(honest.root), *metrics]).exception
    assert isinstance(refused, ConfigError)


def test_without_a_configuration_no_hospital_is_blamed(run: RunDirectory, url: str) -> None:
    """Whoever has a key, and takes masked updates for sealed ones, would find all of them broken."""
    Path(run.blob_store().path(run.config.digest())).unlink()
    key = Identity.load(run.keys / "coordinator.json").envelope_key
    sources = StoreSources(str(run.root / "blobs"), metrics=run.metrics.path)
    report = conduct_audit(EndpointLedger(url, run.read_facts().contract), sources, Request([key]))
    assert report.findings == []
    assert not report.released
    assert sum("how many may collude" in said for said in report.unchecked) == 9


def test_a_changed_config_toml_hides_nothing_of_what_the_store_has(run: RunDirectory) -> None:
    run.config_path.write_text(run.config.with_changes({"privacy.colluders": 0.1}).to_toml())
    report = audited(run)
    assert {finding.where for finding in report.findings} == {"config.toml"}
    assert report.released


def test_a_third_partys_own_file_is_there(honest: RunDirectory, url: str, tmp_path: Path) -> None:
    sources = StoreSources(str(honest.root / "blobs"), metrics=tmp_path / "metrics.jsonl")
    ledger = EndpointLedger(url, honest.read_facts().contract)
    with pytest.raises(StoreError, match="--metrics"):
        conduct_audit(ledger, sources, Request(()))


def test_an_export_has_the_seeds_and_its_reader_is_told_what_they_do_not_show(
    honest: RunDirectory, tmp_path: Path
) -> None:
    out, key = tmp_path / "audit.zip", honest.keys / "coordinator.json"
    said = CliRunner().invoke(app, ["audit", str(honest.root), "--export", str(out), "--sign", str(key)])
    assert said.exit_code == 0, said.output
    for line in read_rounds(honest):
        assert line.seeds.encode() in out.read_bytes()
    signer = Identity.load(key).account.address
    verified = CliRunner().invoke(app, ["audit", "verify", str(out), "--signer", signer])
    assert verified.exit_code == 0, verified.output
    words = " ".join(verified.output.split())
    assert "round 1: whether its seeds are those that hospitals committed to, and its sum" in words
    assert "opened with the key of nobody" in words


def test_an_export_has_the_seeds_that_the_court_announced(
    honest: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, key = tmp_path / "audit.zip", honest.keys / "coordinator.json"
    said = CliRunner().invoke(app, ["audit", str(honest.root), "--export", str(out), "--sign", str(key)])
    assert said.exit_code == 0, said.output
    assert verify(out.read_bytes()).problems == []
    monkeypatch.setattr(DisputeCourt, "seeds_published", lambda court, number, attempt: [bytes(32)])
    assert any("which the court announced" in found for found in verify(out.read_bytes()).recomputed)


def test_an_export_without_room_for_seeds_says_so(
    honest: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedcxr.audit.evidence._SEEDS", 5000)
    out, key = tmp_path / "audit.zip", honest.keys / "coordinator.json"
    said = CliRunner().invoke(app, ["audit", str(honest.root), "--export", str(out), "--sign", str(key)])
    assert said.exit_code == 0, said.output
    first, _ = read_rounds(honest)
    assert first.seeds.encode() + b"{" in out.read_bytes()
    verified = verify(out.read_bytes())
    assert verified.problems == []
    assert "round 2: its seeds, which are not in the export" in verified.notes
    assert not [note for note in verified.notes if note.startswith("round 1: its seeds")]


def test_an_auditor_cannot_leave_out_what_the_answers_in_an_export_show(
    run: RunDirectory, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt, accepted, domain = opened
    entries = seeds_of(run, 1, attempt, accepted).answers[0].entries
    another = answered(attempt, 2, (0, 1, 2, 3), entries, account_in(run, 2), domain)
    assert not change(run, opened, answers=(another,)).clean
    out, key = tmp_path / "audit.zip", run.keys / "coordinator.json"
    with monkeypatch.context() as patch:
        patch.setattr("fedcxr.audit.masked_round.answer_faults", lambda *arguments: [])
        said = CliRunner().invoke(app, ["audit", str(run.root), "--export", str(out), "--sign", str(key)])
        assert said.exit_code == 0, said.output
    verified = verify(out.read_bytes())
    assert any("the report does not say so" in problem for problem in verified.problems)
    assert any("was shown another chain, or lies" in found for found in verified.recomputed)


def waste_of(run: RunDirectory) -> set[str]:
    store = run.blob_store()
    with reading_ledger(run) as ledger:
        waste = find_waste(run, store, read_attempts(ledger, store), pruned=ROUNDS)
    return {Path(thing.name).name for thing in waste}


@pytest.mark.parametrize("told_by", ["lines", "what the coordinator keeps"])
def test_garbage_collection_keeps_the_seeds(run: RunDirectory, told_by: str) -> None:
    seeds = {line.seeds for line in read_rounds(run)}
    if told_by == "lines":
        run.unmasking_path.unlink()
        assert not seeds & waste_of(run)
        return
    line, _ = run.metrics.path.read_text().splitlines()
    run.metrics.path.write_text(line + "\n")  # it died before it wrote the second
    assert not seeds & waste_of(run)
    run.unmasking_path.write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        waste_of(run)


def test_updates_that_a_challenge_may_take_stay_until_its_time_is_over(
    small_config: Config, run: RunDirectory, tmp_path: Path
) -> None:
    held = masked_config(small_config, tmp_path / "data").with_changes(
        {"federation.rounds": 1, "ledger.dispute_window": 86_400}
    )
    with reading_ledger(run_masked(held, tmp_path / "held")) as ledger:
        assert disputable(ledger, 1, unmasks=True)
        assert not disputable(ledger, 1, unmasks=False)  # sealed updates are no court's
    with reading_ledger(run) as ledger:
        assert not disputable(ledger, 1, unmasks=True)


def test_what_is_left_of_masked_rounds_is_said_and_audited(run: RunDirectory, opened: Open) -> None:
    trusted = ["store", "gc", str(run.root), "--keep-proofs"]
    said = CliRunner().invoke(app, trusted)
    assert said.exit_code == 0, said.output
    assert "the seeds of masked rounds stay" in said.output
    report = audited(run)
    assert report.clean
    assert not report.released
    assert sum("removed by the run's keeper" in line for line in report.unchecked) == 9
    attempt, accepted, domain = opened
    entries = seeds_of(run, 1, attempt, accepted).answers[0].entries
    stranger = answered(attempt, 2, accepted, entries, account_in(run, 4), domain)
    found = places(change(run, opened, answers=(stranger,)))
    kept = ("pruned.zip", None, "")  # it has the seeds of before, and the court announces others here
    assert found == {("answer in the seeds file", 1, ""), kept}


def test_a_masked_round_is_not_challenged_as_an_open_one(honest: RunDirectory) -> None:
    with reading_ledger(honest) as ledger, pytest.raises(LedgerError, match="updates are masked"):
        wrong_leaf(ledger, honest.blob_store(), 1)
