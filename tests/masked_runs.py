"""Masked runs for audits: five hospitals, of which the second's update is lost in the first round."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount
from federation import run_federation

from fedcxr.audit.audit import Request, conduct_audit
from fedcxr.audit.evidence import Evidence
from fedcxr.audit.findings import AuditReport, Finding
from fedcxr.audit.ledger_source import RunLedger
from fedcxr.audit.masked_round import MaskedRound
from fedcxr.audit.sources import RunSources
from fedcxr.config import Config, Phantom
from fedcxr.data.phantom import generate
from fedcxr.ledger.court import DisputeCourt
from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.signing import Domain, Signed, sign
from fedcxr.ledger.statements import Unmasking
from fedcxr.masked_rounds.answers import Answer, statement
from fedcxr.masked_rounds.seeds_file import SeedsFile
from fedcxr.messages import UpdateReply
from fedcxr.privacy.secagg.attempt import MaskedAttempt
from fedcxr.round_lines import read_rounds
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory

Open = tuple[MaskedAttempt, tuple[int, ...], Domain]
"""A round's attempt, its set, and the domain of its signatures."""

MISSING = 1
"""Seat of the hospital that is missing in round 1."""


def masked_config(small: Config, root: Path) -> Config:
    """Five synthetic hospitals at ``root``, of which one may collude and one may be missing."""
    if not root.exists():
        generate(root, Phantom(hospitals=5, patients=10, size=64), 10)
    return small.with_changes(
        {
            "name": "masked",
            "data.root": str(root),
            "federation.min_hospitals": 3,
            "federation.round_timeout": 20,
            "privacy.envelope": "masked",
            "privacy.auditor": False,
            "privacy.unmask_window": 60.0,
            "ledger.dispute_window": 0,
        }
    )


def run_masked(config: Config, out: Path) -> RunDirectory:
    """A whole run, in whose first round one hospital is missing."""
    lost: list[str] = []

    def lose(name: str, reply: UpdateReply) -> UpdateReply | None:
        if reply.round == 1 and name == f"synthetic-{MISSING + 1:02}" and not lost:
            lost.append(name)
            return None
        return reply

    return run_federation(config, out, tamper=lose)


def copied(run: RunDirectory, place: Path) -> RunDirectory:
    return RunDirectory(Path(shutil.copytree(run.root, place, ignore=shutil.ignore_patterns("cache"))))


def audited(run: RunDirectory, *journals: Path, **asked: Any) -> AuditReport:
    return conduct_audit(RunLedger(run), RunSources(run), Request((), journals, **asked))


def with_evidence(run: RunDirectory, look: Callable[[Evidence], None]) -> AuditReport:
    """An audit, at whose end its evidence is looked at while the chain is open."""
    return conduct_audit(RunLedger(run), RunSources(run), Request(()), keep=look)


def findings_of(
    run: RunDirectory, number: int, change: Callable[[RoundView], RoundView] = lambda view: view
) -> list[Finding]:
    """What the ledger alone gives of a round, whose view is changed first."""
    found: list[Finding] = []

    def look(evidence: Evidence) -> None:
        fresh = replace(evidence, report=AuditReport())
        MaskedRound.of(fresh, change(evidence.ledger.round(number)))
        found.extend(fresh.report.findings)

    with_evidence(run, look)
    return found


def account_in(run: RunDirectory, seat: int) -> LocalAccount:
    """The key of the hospital in a seat; hospitals join in the partition's order."""
    return Identity.load(run.hospital(seat) / "identity.json").account


def attempt_of(run: RunDirectory, number: int) -> Open:
    """A round's attempt, its set, and the domain of its signatures."""
    found: list[Open] = []

    def look(evidence: Evidence) -> None:
        round_ = MaskedRound.of(evidence, evidence.ledger.round(number))
        assert round_ is not None
        found.append((round_.attempt, round_.accepted, evidence.ledger.domain))

    with_evidence(run, look)
    return found[0]


def seeds_of(run: RunDirectory, number: int, attempt: MaskedAttempt, accepted: Sequence[int]) -> SeedsFile:
    root = bytes.fromhex(read_rounds(run)[number - 1].seeds)
    return SeedsFile.from_bytes(run.blob_store().get(root, 1 << 20).tobytes(), attempt, accepted)


_published = DisputeCourt.seeds_published
_others: dict[bytes, bytes] = {}  # roots of seeds, by those in whose place they were published


def publish(run: RunDirectory, number: int, data: bytes) -> bytes:
    """Publish other bytes in the place of a round's seeds, as a coordinator may; the root of theirs.

    What the court has announced is the other root from then on, where :func:`court_of_others` is in force.
    """
    root, before = run.blob_store().put(data), bytes.fromhex(read_rounds(run)[number - 1].seeds)
    name_seeds(run, number, root.hex())
    _others[before] = root
    return root


def court_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the courts of this test announce what :func:`publish` puts in a place."""

    def announced(court: DisputeCourt, number: int, attempt: int) -> list[bytes]:
        roots = _published(court, number, attempt)
        for _ in _others:
            roots = [_others.get(root, root) for root in roots]
        return roots

    _others.clear()
    monkeypatch.setattr(DisputeCourt, "seeds_published", announced)


def name_seeds(run: RunDirectory, number: int, root: str) -> None:
    lines = [json.loads(line) for line in run.metrics.path.read_text().splitlines()]
    old = lines[number - 1]["seeds"]
    lines[number - 1]["seeds"] = root
    run.metrics.path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    if old != root:
        Path(run.blob_store().path(bytes.fromhex(old))).unlink()


def answered(
    attempt: MaskedAttempt,
    seat: int,
    accepted: Sequence[int],
    entries: bytes,
    account: LocalAccount,
    domain: Domain,
) -> Answer:
    """An answer that a hospital, or who signs for it, gives for a set."""
    said: Unmasking = statement(attempt, attempt.of(seat).account, accepted, (1, bytes(32)), entries)
    return Answer(seat, Signed(said, sign(account, said, domain)), entries)


def places(report: AuditReport) -> set[tuple[str, int | None, str]]:
    return {(finding.where, finding.round, finding.hospital) for finding in report.findings}


def change(run: RunDirectory, opened: Open, **fields: Any) -> AuditReport:
    """The audit of a run whose first round's seeds file has other fields."""
    attempt, accepted, _ = opened
    publish(run, 1, replace(seeds_of(run, 1, attempt, accepted), **fields).to_bytes())
    return audited(run)


def unchecked_sum(report: AuditReport, number: int = 1) -> bool:
    return any(said.startswith(f"round {number}: its sum (") for said in report.unchecked)


def of_seat(opened: Open, seat: int) -> str:
    return opened[0].of(seat).account


def journal_of(run: RunDirectory, seat: int) -> Path:
    (journal,) = run.hospital(seat).glob("0x*/journal.jsonl")
    return journal
