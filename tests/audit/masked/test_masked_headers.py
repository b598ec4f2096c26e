"""The audit of masked rounds: headers, sets, bases and sums that may not be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from federation import run_federation
from masked_runs import (
    Open,
    audited,
    findings_of,
    journal_of,
    masked_config,
    of_seat,
    places,
    run_masked,
    unchecked_sum,
    with_evidence,
)

from fedcxr.aggregation.masked_sum import MaskedSum
from fedcxr.audit.blob_check import BlobChecker, BlobResult, BlobTask
from fedcxr.audit.evidence import Evidence
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.masked_round import MaskedRound
from fedcxr.config import Config
from fedcxr.errors import (
    LayoutError,
    QuorumError,
)
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.protocol import AcceptedUpdate, RoundView
from fedcxr.messages import UpdateReply
from fedcxr.privacy.secagg.header import HistoryEntry, MaskedHeader
from fedcxr.store.run_directory import RunDirectory


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
