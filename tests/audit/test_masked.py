"""The audit of masked rounds: without a key it proves the model, and names what does not hold."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from federation import run_federation
from masked_runs import (
    MISSING,
    account_in,
    answered,
    attempt_of,
    audited,
    copied,
    findings_of,
    masked_config,
    name_seeds,
    places,
    publish,
    run_masked,
    seeds_of,
    with_evidence,
)
from typer.testing import CliRunner
from web3 import Web3

from fedcxr.aggregation.masked_sum import MaskedSum
from fedcxr.audit.audit import Request, conduct_audit
from fedcxr.audit.blob_check import BlobChecker, BlobResult, BlobTask
from fedcxr.audit.disputes.challenge import wrong_leaf
from fedcxr.audit.evidence import Evidence
from fedcxr.audit.export.verification import verify
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.ledger_source import EndpointLedger
from fedcxr.audit.masked_round import MaskedRound
from fedcxr.audit.scope import Scope
from fedcxr.audit.sources import StoreSources
from fedcxr.chain.embedded import replay
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.cli.app import app
from fedcxr.config import Config
from fedcxr.errors import (
    AuditIncompleteError,
    ConfigError,
    LayoutError,
    LedgerError,
    QuorumError,
    StoreError,
)
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.protocol import AcceptedUpdate, RoundView
from fedcxr.ledger.signed_json import signed_to_tree
from fedcxr.ledger.signing import Domain, Signed, sign
from fedcxr.masked_rounds.answers import SHARE, Seeds, entry, statement
from fedcxr.messages import UpdateReply
from fedcxr.privacy.secagg.attempt import MaskedAttempt
from fedcxr.privacy.secagg.header import HistoryEntry, MaskedHeader
from fedcxr.round_lines import read_rounds
from fedcxr.run.ledger_access import reading_ledger
from fedcxr.store.garbage import find_waste, read_attempts
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory

Open = tuple[MaskedAttempt, tuple[int, ...], Domain]
ROUNDS = (1, 2)


@pytest.fixture(scope="module")
def honest(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Five hospitals, two rounds; never written to after this."""
    place = tmp_path_factory.mktemp("masked")
    return run_masked(masked_config(small_config, place / "data"), place / "run")


@pytest.fixture(scope="module")
def executed(honest: RunDirectory) -> Iterator[replay.Replayed]:
    """The run's chain, executed again once for all tests: none changes it."""
    with replay.verify(honest.chain_path) as replayed:
        assert replayed.findings == []
        yield replayed


@pytest.fixture(autouse=True)
def quick(executed: replay.Replayed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "verify", lambda path: contextlib.nullcontext(executed))


@pytest.fixture(scope="module")
def opened(honest: RunDirectory) -> Open:
    """The first round's attempt, set and domain."""
    return attempt_of(honest, 1)


@pytest.fixture
def run(honest: RunDirectory, tmp_path: Path) -> RunDirectory:
    return copied(honest, tmp_path / "run")


def change(run: RunDirectory, opened: Open, **fields: Any) -> AuditReport:
    """The audit of a run whose first round's seeds file has other fields."""
    attempt, accepted, _ = opened
    publish(run, 1, replace(seeds_of(run, 1, attempt, accepted), **fields).to_bytes())
    return audited(run)


def unchecked_sum(report: AuditReport, number: int = 1) -> bool:
    return any(said.startswith(f"round {number}: its sum (") for said in report.unchecked)


def of_seat(opened: Open, seat: int) -> str:
    return opened[0].of(seat).account


def test_a_masked_run_is_proven_without_a_key(honest: RunDirectory, opened: Open) -> None:
    assert opened[1] == (0, 2, 3, 4), "seat 1 is missing, so that seeds of pairs are due"
    report = audited(honest)
    assert (report.findings, report.unchecked) == ([], [])
    assert report.proven
    assert report.released == read_rounds(honest)[-1].model
    assert (report.rounds, report.updates) == (2, 9)


@pytest.mark.parametrize("workers", [2])
def test_workers_add_masked_updates_to_the_shared_sum(honest: RunDirectory, workers: int) -> None:
    assert audited(honest, workers=workers).proven


@pytest.mark.parametrize("asked", [Scope(2, 2), Scope(1, 1)])
def test_one_round_is_audited_by_itself(honest: RunDirectory, asked: Scope) -> None:
    report = audited(honest, scope=asked)
    assert report.clean
    assert not [said for said in report.unchecked if "its sum" in said]


def test_one_hospital_is_audited_by_itself(honest: RunDirectory, run: RunDirectory, opened: Open) -> None:
    own = seeds_of(run, 1, *opened[:2]).seeds
    forged = Seeds({**own.own, 3: bytes(32)}, own.pairs)
    assert places(change(run, opened, seeds=forged)) == {("seed of a mask", 1, of_seat(opened, 3))}
    accused = audited(run, scope=Scope(hospital=of_seat(opened, 3)))
    assert places(accused) == {("seed of a mask", 1, of_seat(opened, 3))}
    assert audited(run, scope=Scope(hospital=of_seat(opened, 2))).clean


def test_seeds_that_are_not_there_are_a_finding_and_the_other_round_is_audited(
    run: RunDirectory, opened: Open
) -> None:
    name_seeds(run, 2, "")
    report = audited(run)
    (finding,) = report.findings
    assert (finding.where, finding.round) == ("seeds file", 2)
    assert "the seeds of round 2 are not published" in finding.found
    assert unchecked_sum(report, 2)
    assert not unchecked_sum(report, 1)
    assert (report.clean, report.proven, report.released) == (False, False, "")


def test_a_file_that_the_store_lost_is_a_finding(run: RunDirectory) -> None:
    Path(run.blob_store().path(bytes.fromhex(read_rounds(run)[0].seeds))).unlink()
    report = audited(run)
    assert [(f.where, f.round) for f in report.findings] == [("seeds file", 1)]
    assert unchecked_sum(report)


@pytest.mark.parametrize("kind", ["own", "pair"])
def test_a_seed_that_is_not_its_commitments_names_its_hospital(
    run: RunDirectory, opened: Open, kind: str
) -> None:
    own, pairs = seeds_of(run, 1, *opened[:2]).seeds
    forged = Seeds({**own, 2: bytes(32)}, pairs)
    if kind == "pair":
        forged = Seeds(own, {**pairs, (2, MISSING): bytes(32)})
    report = change(run, opened, seeds=forged)
    assert places(report) == {("seed of a mask", 1, of_seat(opened, 2))}
    assert unchecked_sum(report)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda own, pairs: Seeds({s: v for s, v in own.items() if s != 2}, pairs),
        lambda own, pairs: Seeds({**own, MISSING: bytes(32)}, pairs),
        lambda own, pairs: Seeds(own, {}),
        lambda own, pairs: Seeds(own, {**pairs, (0, 2): bytes(32)}),
    ],
)
def test_seeds_are_exactly_those_that_are_due(
    run: RunDirectory, opened: Open, spoil: Callable[..., Seeds]
) -> None:
    own, pairs = seeds_of(run, 1, *opened[:2]).seeds
    report = change(run, opened, seeds=spoil(own, pairs))
    assert places(report) == {("seeds file", 1, "")}
    assert unchecked_sum(report)


def test_an_answer_for_another_set_names_its_hospital(run: RunDirectory, opened: Open) -> None:
    attempt, accepted, domain = opened
    entries = seeds_of(run, 1, attempt, accepted).answers[0].entries
    another = answered(attempt, 2, (0, 1, 2, 3), entries, account_in(run, 2), domain)
    report = change(run, opened, answers=(another,))
    (finding,) = report.findings
    assert (finding.where, finding.hospital) == ("answer in the seeds file", of_seat(opened, 2))
    assert "was shown another chain, or lies" in finding.found
    assert report.released, "the sum is right, whatever a hospital was shown"


@pytest.mark.parametrize("seat", [2, MISSING])
def test_what_nobody_of_the_set_signed_blames_nobody_of_it(
    run: RunDirectory, opened: Open, seat: int
) -> None:
    attempt, accepted, domain = opened
    entries = seeds_of(run, 1, attempt, accepted).answers[0].entries
    by = account_in(run, 4 if seat == 2 else seat)
    report = change(run, opened, answers=(answered(attempt, seat, accepted, entries, by, domain),))
    (finding,) = report.findings
    assert (finding.where, finding.hospital) == ("answer in the seeds file", "")
    assert "the file is the coordinator's" in finding.found


@pytest.mark.parametrize("spoilt", ["a share", "a form"])
def test_an_entry_that_fits_no_commitment_names_who_answered(
    run: RunDirectory, opened: Open, spoilt: str
) -> None:
    attempt, accepted, domain = opened
    entries = bytearray(seeds_of(run, 1, attempt, accepted).answers[0].entries)
    assert entries[34] == SHARE, "seat 0's second neighbour is in the set"
    entries[34 : 2 * 34] = entry(SHARE, bytes(33)) if spoilt == "a share" else bytes([7]) * 34
    forged = answered(attempt, 0, accepted, bytes(entries), account_in(run, 0), domain)
    report = change(run, opened, answers=(forged,))
    assert places(report) == {("answer in the seeds file", 1, of_seat(opened, 0))}


@pytest.fixture
def heads(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[MaskedHeader], MaskedHeader]], None]:
    """Headers as an audit finds them, changed: the updates behind them stay what they are."""

    def set_change(changed: Callable[[MaskedHeader], MaskedHeader]) -> None:
        honest = BlobChecker.check

        def check(self: BlobChecker, task: BlobTask) -> BlobResult:
            result = honest(self, task)
            header = MaskedHeader.from_bytes(result.head)
            return replace(result, head=changed(header).to_bytes())

        monkeypatch.setattr(BlobChecker, "check", check)

    return set_change


def test_two_ends_of_a_pair_that_differ_are_found(
    honest: RunDirectory, heads: Callable[..., None], opened: Open
) -> None:
    def lie(header: MaskedHeader) -> MaskedHeader:
        if header.facts.seat != 2 or header.facts.context != opened[0].context:
            return header
        first, *rest = header.commitments
        return replace(header, commitments=(first._replace(pair=bytes(32)), *rest))

    heads(lie)
    report = audited(honest)
    (finding,) = report.findings
    assert (finding.where, finding.round, finding.hospital) == ("commitments of a pair", 1, "")
    assert "seats 0 and 2" in finding.found
    assert "cannot be right" in finding.found


@pytest.mark.parametrize(
    ("field", "value"), [("seat", 3), ("neighbours", 3), ("sealed", 81), ("context", bytes(32))]
)
def test_a_header_of_another_place_is_found(
    honest: RunDirectory, heads: Callable[..., None], opened: Open, field: str, value: object
) -> None:
    def lie(header: MaskedHeader) -> MaskedHeader:
        if header.facts.seat != 2 or header.facts.context != opened[0].context:
            return header
        count = 3 if field == "neighbours" else 4
        fields = {field: value}
        sealed = 81 if field == "sealed" else header.facts.sealed
        cut = tuple(one._replace(sealed=one.sealed[:sealed]) for one in header.commitments[:count])
        return MaskedHeader(replace(header.facts, **fields), cut)  # type: ignore[arg-type]

    heads(lie)
    report = audited(honest)
    assert places(report) == {("header of a masked update", 1, of_seat(opened, 2))}
    assert unchecked_sum(report)


def test_a_history_that_the_ledger_does_not_have_is_found(
    honest: RunDirectory, heads: Callable[..., None], opened: Open
) -> None:
    def lie(header: MaskedHeader) -> MaskedHeader:
        told = (HistoryEntry(1, bytes(31) + b"\1"),)
        return replace(header, facts=replace(header.facts, history=told))

    heads(lie)
    report = audited(honest)
    assert {finding.where for finding in report.findings} == {"header of a masked update"}


def test_an_attempt_that_was_given_up_leaves_a_clean_audit(
    small_config: Config, honest: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The histories of its vectors are those of the ledger's attempts."""
    monkeypatch.undo()
    config = masked_config(small_config, Path(honest.config.data.root)).with_changes({"federation.rounds": 1})

    def lose(name: str, reply: UpdateReply) -> UpdateReply | None:
        return None if reply.attempt == 1 and name in ("synthetic-01", "synthetic-02") else reply

    with pytest.raises(QuorumError, match="fewer than 4 is not unmasked"):
        run_federation(config, tmp_path / "run", tamper=lose)
    run = run_federation(config, tmp_path / "run")
    report = audited(run, *(journal_of(run, seat) for seat in range(2, 5)))
    assert report.findings == []
    assert report.released


def test_masked_updates_under_one_root_are_audited(
    small_config: Config, honest: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    config = masked_config(small_config, Path(honest.config.data.root))
    changes = {"federation.rounds": 1, "ledger.recording": "root"}
    run = run_masked(config.with_changes(changes), tmp_path / "run")
    assert audited(run).proven
    for path in (run.root / "blobs").rglob("*"):
        if path.is_file() and path.read_bytes()[:3] == b'[{"':  # the list of submissions
            path.unlink()
    found = {finding.where for finding in audited(run).findings}
    assert "list of submissions" in found
    assert "accepted set" not in found


def without(view: RoundView, *addresses: str) -> RoundView:
    return replace(view, counted=tuple(a for a in view.counted if a not in addresses))


def longer(view: RoundView) -> RoundView:
    address, update = next(iter(view.accepted.items()))
    grown = AcceptedUpdate(update.root, update.samples, update.size + 4096, update.metrics)
    return replace(view, accepted={**view.accepted, address: grown})


@pytest.mark.parametrize(
    ("number", "changed", "expected"),
    [
        (1, lambda view: without(view, view.counted[0]), {"accepted set"}),
        (1, longer, {"size of a masked update"}),
        (2, lambda view: replace(view, excluded={view.counted[0]: "why not"}), {"excluded update"}),
        (1, lambda view: replace(view, number=9), {"masked round"}),
    ],
)
def test_what_the_ledger_may_not_have_is_found(
    honest: RunDirectory, number: int, changed: Callable[[RoundView], RoundView], expected: set[str]
) -> None:
    assert findings_of(honest, number) == []
    assert {finding.where for finding in findings_of(honest, number, changed)} == expected


def test_an_update_that_is_left_out_is_found_and_its_sum_is_unchecked(
    small_config: Config, honest: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    config = masked_config(small_config, Path(honest.config.data.root)).with_changes({"federation.rounds": 1})
    honest_finalize, left_out = FederationLedger.finalize, []

    def censor(self: FederationLedger, number: int, **result: Any) -> None:
        left_out.append(self.round(number).counted[0])
        honest_finalize(self, number, **{**result, "excluded": {left_out[0]: "it looked odd"}})

    with monkeypatch.context() as patch:
        patch.setattr(FederationLedger, "finalize", censor)
        run = run_masked(config, tmp_path / "run")
    report = audited(run)
    assert ("excluded update", 1, left_out[0]) in places(report)
    assert {finding.where for finding in report.findings} <= {"excluded update", *LINE}
    assert unchecked_sum(report)


LINE = ("metrics.jsonl included", "metrics.jsonl excluded")


def test_a_base_of_an_earlier_round_is_found(honest: RunDirectory) -> None:
    found: list[AuditReport] = []

    def look(evidence: Evidence) -> None:
        fresh = replace(evidence, report=AuditReport())
        base = evidence.ledger.round(1).base
        MaskedRound.of(fresh, replace(evidence.ledger.round(2), base=base))
        found.append(fresh.report)

    with_evidence(honest, look)
    (finding,) = found[0].findings
    assert (finding.where, finding.round) == ("base model", 2)
    assert "that of round 1" in finding.found


def test_a_sum_that_is_none_is_found_though_ledger_and_seeds_agree(
    honest: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: MaskedSum) -> None:
        raise LayoutError("a sum that is none: 900 of 1000 values are larger")

    monkeypatch.setattr(MaskedSum, "_check_sum", refuse)
    report = audited(honest)
    assert {finding.where for finding in report.findings} == {"sum of the round"}


# ------------------------------------------------------------------------------------------- journals


def journal_of(run: RunDirectory, seat: int) -> Path:
    (journal,) = run.hospital(seat).glob("0x*/journal.jsonl")
    return journal


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


# ------------------------------------------------------------- third parties, exports, and what is kept


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
def test_a_third_party_needs_chain_store_and_the_name_of_the_seeds(
    honest: RunDirectory, url: str, told: bool
) -> None:
    head = bytes(Web3(Web3.HTTPProvider(url)).eth.get_block("latest")["hash"])
    sources = StoreSources(str(honest.root / "blobs"), metrics=honest.metrics.path if told else None)
    ledger = EndpointLedger(url, honest.read_facts().contract, head)
    report = conduct_audit(ledger, sources, Request(()))
    assert report.clean
    assert report.proven is told
    assert unchecked_sum(report) is not told


def test_the_command_of_a_third_party_takes_the_runs_lines(honest: RunDirectory, url: str) -> None:
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
    assert places(change(run, opened, answers=(stranger,))) == {("answer in the seeds file", 1, "")}


def test_a_masked_round_is_not_challenged_as_an_open_one(honest: RunDirectory) -> None:
    with (
        reading_ledger(honest) as ledger,
        pytest.raises(LedgerError, match="masked, and this is a challenge"),
    ):
        wrong_leaf(ledger, honest.blob_store(), 1)
