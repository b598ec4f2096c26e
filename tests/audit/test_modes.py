"""Audits of federations of other rules: unsealed updates, one root a round, a committee, another chain."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from federation import run_federation

from fedcxr.aggregation.weighted_sum import WeightedSum
from fedcxr.audit.audit import Request, audit, conduct_audit
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.ledger_source import EndpointLedger
from fedcxr.audit.sources import RunSources
from fedcxr.chain.anvil.chain import AnvilChain
from fedcxr.config import Config
from fedcxr.errors import LedgerError
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update.layout import Vector


@pytest.fixture
def one_round(small_config: Config) -> Config:
    return small_config.with_changes({"federation.rounds": 1})


def audited(run: RunDirectory) -> AuditReport:
    return audit(run, [Identity.load(run.keys / "auditor.json").envelope_key])


def test_unsealed_updates_are_recomputed_without_any_key(one_round: Config, tmp_path: Path) -> None:
    run = run_federation(one_round.with_changes({"privacy.envelope": "open"}), tmp_path / "run")
    report = audit(run, [])
    assert (report.findings, report.unchecked) == ([], [])
    assert report.proven


def test_a_wrong_sum_of_unsealed_updates_is_found_without_any_key(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = WeightedSum.model

    def improved(self: WeightedSum, base: Vector, exponents: Sequence[int]) -> Vector:
        model = honest(self, base, exponents)
        model[7] = np.nextafter(model[7], np.float32(np.inf))
        return model

    with monkeypatch.context() as patch:
        patch.setattr(WeightedSum, "model", improved)
        run = run_federation(one_round.with_changes({"privacy.envelope": "open"}), tmp_path / "run")
    assert {finding.where for finding in audit(run, []).findings} == {"model digest"}


def test_where_one_root_records_all_the_list_is_held_to_it(one_round: Config, tmp_path: Path) -> None:
    run = run_federation(one_round.with_changes({"ledger.recording": "root"}), tmp_path / "run")
    report = audited(run)
    assert (report.findings, report.unchecked) == ([], [])
    assert report.proven
    assert report.updates == 3
    (listing,) = [
        p for p in (run.root / "blobs").rglob("*") if p.is_file() and b"signature" in p.read_bytes()
    ]
    whole = listing.read_bytes()
    listing.write_bytes(whole.replace(b'"samples":', b'"samples":1', 1))
    damaged = audited(run)
    assert "list of submissions" in {finding.where for finding in damaged.findings}
    assert not damaged.proven
    listing.unlink()
    missing = audited(run)
    assert "list of submissions" in {finding.where for finding in missing.findings}
    assert not missing.proven


def test_a_committees_round_is_recomputed(one_round: Config, tmp_path: Path) -> None:
    config = one_round.with_changes({"validation.policy": "committee", "validation.committee": 1})
    run = run_federation(config, tmp_path / "run")
    report = audited(run)
    assert report.findings == []
    assert report.proven


def test_a_run_on_an_anvil_is_audited_over_its_endpoint(
    one_round: Config, tmp_path: Path, anvil_binary: Path
) -> None:
    run = run_federation(one_round.with_changes({"ledger.backend": "anvil"}), tmp_path / "run")
    with pytest.raises(LedgerError, match="--rpc"):
        audited(run)
    facts = run.read_facts()
    key = Identity.load(run.keys / "auditor.json").envelope_key
    chain = AnvilChain(run.journal_path, chain_id=facts.chain_id, binary=anvil_binary)
    with closing(chain):
        head = bytes(chain.w3.eth.get_block("latest")["hash"])
        source = EndpointLedger(chain._anvil.url, facts.contract, head, facts)
        report = conduct_audit(source, RunSources(run), Request([key]))
        assert (report.findings, report.unchecked) == ([], [])
        assert report.proven
        tree = json.loads((run.root / "ledger.json").read_text())
        (run.root / "ledger.json").write_text(json.dumps({**tree, "genesis": "11" * 32}))
        source = EndpointLedger(chain._anvil.url, facts.contract, head, run.read_facts())
        report = conduct_audit(source, RunSources(run), Request([key]))
        assert [finding.where for finding in report.findings] == ["ledger.json genesis"]
