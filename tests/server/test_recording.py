"""One root for all submissions, and updates that are not sealed: the same model, bit for bit."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from federation import digests, run_federation
from typer.testing import CliRunner

from fedcxr.aggregation.weighted_sum import WeightedSum
from fedcxr.audit.audit import audit
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.cli.app import app
from fedcxr.config import Config
from fedcxr.errors import ContractRejectedError
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.court import DisputeCourt
from fedcxr.ledger.signing import SignedSubmission, Submission, sign
from fedcxr.privacy.keys import EnvelopePrivateKey
from fedcxr.round_lines import read_rounds
from fedcxr.run.ledger_access import writing_ledger
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update.layout import Vector

MODES = {
    "sealed, each": {},
    "sealed, root": {"ledger.recording": "root"},
    "open, each": {"privacy.envelope": "open"},
    "open, root": {"privacy.envelope": "open", "ledger.recording": "root"},
}


@pytest.fixture(scope="session")
def runs(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunDirectory]:
    out = tmp_path_factory.mktemp("modes")
    return {
        name: run_federation(small_config.with_changes(changes), out / name.replace(", ", "-"))
        for name, changes in MODES.items()
    }


def keys(run: RunDirectory) -> list[EnvelopePrivateKey]:
    return [Identity.load(run.keys / "auditor.json").envelope_key]


def test_every_mode_releases_the_same_models(runs: dict[str, RunDirectory]) -> None:
    assert len({tuple(digests(run)) for run in runs.values()}) == 1


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_audited(runs: dict[str, RunDirectory], mode: str) -> None:
    report = audit(runs[mode], keys(runs[mode]))
    assert report.clean, report.findings
    assert report.proven
    assert report.updates == 6


@pytest.mark.parametrize("mode", ["open, each", "open, root"])
def test_open_updates_are_proven_without_a_key(runs: dict[str, RunDirectory], mode: str) -> None:
    report = audit(runs[mode], [])
    assert report.clean, report.findings
    assert report.proven
    assert not audit(runs["sealed, each"], []).proven


def test_a_list_of_submissions_that_is_missing_or_changed_is_found(
    runs: dict[str, RunDirectory], tmp_path: Path
) -> None:
    whole = runs["sealed, root"]
    chain = EmbeddedChain(whole.chain_path, chain_id=whole.config.ledger.chain_id)
    root = FederationLedger.attach(chain.w3, whole.read_facts().contract).round(2).list_root
    chain.close()
    for damage in ("missing", "changed"):
        copy = RunDirectory(tmp_path / damage)
        shutil.copytree(whole.root, copy.root, ignore=shutil.ignore_patterns("cache", "hospitals"))
        path = copy.root / "blobs" / root.hex()[:2] / root.hex()
        if damage == "missing":
            path.unlink()
        else:
            data = bytearray(path.read_bytes())
            data[200] ^= 1
            path.write_bytes(bytes(data))
        report = audit(copy, keys(whole))
        assert not report.proven
        assert any("list of submissions" in f.where and f.round == 2 for f in report.findings), damage


def test_a_coordinator_that_adds_wrongly_in_the_open_is_caught_by_the_contract(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the store and the ledger alone: the challenge needs no secret, and takes the bond."""
    config = small_config.with_changes(
        {"privacy.envelope": "open", "ledger.bond": 10**18, "federation.rounds": 1}
    )
    model = WeightedSum.model

    def greedy(self: WeightedSum, base: Vector, exponents: Sequence[int]) -> Vector:
        self.total[2000] += np.uint32(1)  # what it finalizes and stores is this sum
        return model(self, base, exponents)

    honest = run_federation(config, tmp_path / "honest")
    with monkeypatch.context() as patch:
        patch.setattr(WeightedSum, "model", greedy)
        cheated = run_federation(config, tmp_path / "cheated")
    said = CliRunner().invoke(app, ["ledger", "challenge", str(honest.root), "1"])
    assert "every chunk of the aggregate is the sum" in said.output
    forced = CliRunner().invoke(app, ["ledger", "challenge", str(honest.root), "1", "--leaf", "0"])
    assert isinstance(forced.exception, ContractRejectedError)
    assert forced.exception.name == "AggregateCorrect"
    won = CliRunner().invoke(app, ["ledger", "challenge", str(cheated.root), "1"])
    assert won.exit_code == 0, won.exception
    assert "has added chunk 1 and found the aggregate wrong" in won.output
    assert f"lost its bond of {10**18:,} wei" in won.output
    with writing_ledger(cheated) as ledger:
        assert DisputeCourt(ledger.views.w3, ledger.views.court).bond == 0
    report = audit(cheated, [])
    assert any("a challenge that the court found for" in f.found for f in report.findings)
    assert any(f.where == "aggregate root" for f in report.findings)


def test_under_one_root_the_sum_is_of_what_stands_at_the_closing(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hospital that answers with one update, and brings the contract another, cannot part sum and root."""
    config = small_config.with_changes(
        {"privacy.envelope": "open", "ledger.recording": "root", "federation.rounds": 1}
    )
    listing, brought = FederationLedger.listing, []

    def bring_another(self: FederationLedger) -> bytes:
        hospital, held = next(iter(self.round(1).accepted.items()))
        run = RunDirectory(tmp_path / "run")
        keys = [Identity.load(path) for path in sorted(run.hospitals.glob("*/identity.json"))]
        key = next(k for k in keys if k.account.address == hospital)
        store = run.blob_store()
        other = store.get(held.root, 1 << 30).copy()
        other[:4] ^= 1
        submission = Submission(
            self.views.federation,
            1,
            1,
            hospital,
            self.views.model_digest,
            store.put(other),
            held.samples,
            other.nbytes,
            held.metrics,
        )
        self.submit_direct(SignedSubmission(submission, sign(key.account, submission, self.domain)))
        brought.append(hospital)
        return listing(self)

    with monkeypatch.context() as patch:
        patch.setattr(FederationLedger, "listing", bring_another)
        run = run_federation(config, tmp_path / "run")
    assert len(brought) == 1
    assert len(read_rounds(run)[0].included) == 3
    report = audit(run, [])
    assert report.clean, report.findings
    assert report.proven


def test_an_aggregate_that_is_kept_back_is_a_finding(runs: dict[str, RunDirectory], tmp_path: Path) -> None:
    whole = runs["open, each"]
    with writing_ledger(whole) as ledger:
        root = ledger.round(1).aggregate_root
    copy = RunDirectory(tmp_path / "run")
    shutil.copytree(whole.root, copy.root, ignore=shutil.ignore_patterns("cache", "hospitals"))
    (copy.root / "blobs" / root.hex()[:2] / root.hex()).unlink()
    findings = audit(copy, []).findings
    assert [(f.where, f.round) for f in findings] == [("aggregate", 1)]
