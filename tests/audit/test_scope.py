"""An audit of some rounds, or of one hospital: what it leaves out is unchecked and never passed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fedcxr.audit.audit import Request, conduct_audit
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.ledger_source import RunLedger
from fedcxr.audit.scope import Scope
from fedcxr.audit.sources import RunSources
from fedcxr.errors import ConfigError
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.store.run_directory import RunDirectory

Audit = Callable[[RunDirectory], AuditReport]
_OUTSIDE = "files in blobs/ that no round names: only a whole audit looks at them"
_NOT_RELEASED = "the released model: not every sum before it could be recomputed"


@pytest.fixture
def scoped(
    quick_audit: Audit, auditor_key: EnvelopePrivateKey
) -> Callable[[RunDirectory, Scope], AuditReport]:
    del quick_audit  # the chain is known to be whole

    def audit(run: RunDirectory, scope: Scope) -> AuditReport:
        return conduct_audit(RunLedger(run), RunSources(run), Request([auditor_key], scope=scope))

    return audit


def damage(run: RunDirectory, root: bytes) -> None:
    path = run.root / "blobs" / root.hex()[:2] / root.hex()
    path.write_bytes(path.read_bytes()[:-1])


@pytest.fixture
def accepted(executed: object, finished: RunDirectory) -> dict[int, dict[str, bytes]]:
    """Roots of the updates by round and hospital."""
    from fedcxr.ledger.views import FederationViews

    views = FederationViews.attach(executed.w3, finished.read_facts().contract)  # type: ignore[attr-defined]
    return {
        number: {address: update.root for address, update in views.round(number).accepted.items()}
        for number in (1, 2)
    }


@pytest.mark.parametrize("number", [1, 2])
def test_one_round_is_recomputed_from_the_model_before_it(
    copy: RunDirectory,
    scoped: Callable[[RunDirectory, Scope], AuditReport],
    accepted: dict[int, dict[str, bytes]],
    number: int,
) -> None:
    other = 3 - number
    damage(copy, next(iter(accepted[other].values())))
    report = scoped(copy, Scope(number, number))
    assert report.clean
    assert (report.rounds, report.updates) == (1, 3)
    assert report.unchecked == [_OUTSIDE, f"round {other}: not asked for", _NOT_RELEASED]
    assert not report.proven
    damage(copy, next(iter(accepted[number].values())))
    assert [f.round for f in scoped(copy, Scope(number, number)).findings] == [number]


def test_a_rounds_wrong_model_is_found_when_only_that_round_is_asked_for(
    copy: RunDirectory, scoped: Callable[[RunDirectory, Scope], AuditReport]
) -> None:
    copy.model(2).write_bytes(copy.model(1).read_bytes())
    assert {f.where for f in scoped(copy, Scope(2, 2)).findings} == {"round-0002.safetensors"}


def test_all_rounds_asked_for_by_number_are_less_than_everything(
    copy: RunDirectory, scoped: Callable[[RunDirectory, Scope], AuditReport]
) -> None:
    report = scoped(copy, Scope(1, 9))
    assert report.rounds == 2
    assert "rounds 3 to 9: not finalized" in report.unchecked
    assert not report.proven


def test_one_hospital_is_opened_and_the_sums_are_unchecked(
    copy: RunDirectory,
    scoped: Callable[[RunDirectory, Scope], AuditReport],
    accepted: dict[int, dict[str, bytes]],
) -> None:
    mine, others, *_ = sorted(accepted[1])
    damage(copy, accepted[1][others])
    report = scoped(copy, Scope(hospital=mine))
    assert report.clean
    assert (report.rounds, report.updates) == (2, 2)
    said = f"updates of other hospitals than {mine}, and all sums: not asked for"
    assert report.unchecked == [_OUTSIDE, said, _NOT_RELEASED]
    damage(copy, accepted[2][mine])
    (finding,) = scoped(copy, Scope(hospital=mine)).findings
    assert (finding.round, finding.hospital) == (2, mine)


def test_processes_find_what_one_process_finds(
    copy: RunDirectory,
    quick_audit: Audit,
    auditor_key: EnvelopePrivateKey,
    accepted: dict[int, dict[str, bytes]],
) -> None:
    def audit(workers: int) -> AuditReport:
        return conduct_audit(RunLedger(copy), RunSources(copy), Request([auditor_key], workers=workers))

    clean = audit(2)
    assert clean.proven
    assert clean == audit(0)
    damage(copy, accepted[1][min(accepted[1])])
    damaged = audit(2)
    assert not damaged.clean
    assert damaged == audit(0)


@pytest.mark.parametrize("rounds", ["0", "7-3", "1-", "-3", "one", "1-2-3", "1,2"])
def test_rounds_that_are_none_are_refused(rounds: str) -> None:
    with pytest.raises(ConfigError, match="--rounds"):
        Scope.parse(rounds, "")


def test_what_is_asked_for_is_parsed() -> None:
    address = "0x" + "ab" * 20
    assert Scope.parse("", "") == Scope()
    assert Scope.parse("5", "") == Scope(5, 5)
    assert Scope.parse("3-7", "") == Scope(3, 7)
    assert Scope.parse("", address).hospital.lower() == address
    with pytest.raises(ConfigError, match="not a ledger address"):
        Scope.parse("", "synthetic-01")


def test_rounds_after_the_last_are_refused(
    copy: RunDirectory, scoped: Callable[[RunDirectory, Scope], AuditReport]
) -> None:
    with pytest.raises(ConfigError, match="last finalized round is 2"):
        scoped(copy, Scope(3, 4))
