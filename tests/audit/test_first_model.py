"""The first model is made again: from the seed, or from pretrained weights that the ledger names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from federation import run_federation
from safetensors.torch import save_file
from torch import Tensor

import fedcxr.audit.first_model
import fedcxr.audit.model_process
from clients.rules import compare_first_model
from fedcxr.audit.audit import Request, conduct_audit
from fedcxr.audit.findings import FIRST_MODEL, AuditReport
from fedcxr.audit.ledger_source import RunLedger
from fedcxr.audit.memory import AuditMemory
from fedcxr.audit.sources import RunSources
from fedcxr.config import Config, Model
from fedcxr.errors import ModelError, RuleError
from fedcxr.models.registry import count_values, create_model
from fedcxr.run.ledger_access import reading_ledger
from fedcxr.run.preparation import open_or_create
from fedcxr.store.garbage import read_attempts
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from fedcxr.training.first_model import FirstModel
from fedcxr.training.shared_tensors import federation_layout
from fedcxr.update.layout import MOST_VALUES
from fedcxr.update.rounding import ROUNDING


@pytest.fixture(scope="module")
def weights(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights to start from."""
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    state = create_model(small_config.model, seed=99).state_dict()
    save_file({name: tensor for name, tensor in state.items() if tensor.is_floating_point()}, path)
    return path


@pytest.fixture(scope="module")
def pretrained(small_config: Config, weights: Path) -> Config:
    return small_config.with_changes(
        {"federation.rounds": 1, "evaluation.bootstrap": 0, "model.pretrained": str(weights)}
    )


@pytest.fixture(scope="module")
def run(pretrained: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return run_federation(pretrained, tmp_path_factory.mktemp("pretrained") / "run")


def audited(run: RunDirectory, **more: Any) -> AuditReport:
    key = Identity.load(run.keys / "auditor.json").envelope_key
    return conduct_audit(RunLedger(run), RunSources(run), Request([key], **more))


def unknown(report: AuditReport) -> list[str]:
    return [said for said in report.unchecked if said.startswith(FIRST_MODEL)]


def test_what_came_out_once_is_not_made_again_by_the_same_auditor(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = AuditMemory(tmp_path / "state")
    assert audited(run, memory=memory).proven

    def again(*rest: object) -> NoReturn:
        raise ModelError("made again")

    monkeypatch.setattr(FirstModel, "of", again)
    report = audited(run, memory=memory)
    assert (report.proven, [note for note in report.notes if "surplus" in note]) == (True, [])
    for stranger in (AuditMemory(tmp_path / "another"), None):
        assert unknown(audited(run, memory=stranger)) == [f"{FIRST_MODEL}it was not made again: made again"]


def test_what_did_not_come_out_is_not_remembered(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = AuditMemory(tmp_path / "state")
    with monkeypatch.context() as patch:
        patch.setattr(fedcxr.audit.first_model, "farthest", lambda one, other: 1.0)
        assert not audited(run, memory=memory).clean
    assert not list((tmp_path / "state").glob("first-models/*"))


def test_pretrained_weights_are_named_on_the_ledger_and_stand_in_the_store(
    run: RunDirectory, pretrained: Config, weights: Path
) -> None:
    digest = run.config.model.pretrained_digest
    assert len(digest) == 64
    assert open_or_create(run.root, pretrained).config == run.config
    held = weights.read_bytes()
    weights.write_bytes(b"")  # nobody but the hospitals needs the file any more
    try:
        report = audited(run)
    finally:
        weights.write_bytes(held)
    assert report.proven, report.findings
    assert report.complete, report.unchecked
    assert not [note for note in report.notes if "surplus" in note]
    with reading_ledger(run) as ledger:
        founding = read_attempts(ledger, run.blob_store()).founding
    assert {bytes.fromhex(digest), run.config.digest()} <= founding


def test_without_the_weights_the_model_is_not_proven(
    run: RunDirectory, weights: Path, tmp_path: Path
) -> None:
    digest = run.config.model.pretrained_digest
    blob = run.root / "blobs" / digest[:2] / digest
    aside = blob.rename(tmp_path / "aside")
    try:
        report = audited(run)
        assert report.clean
        assert unknown(report)
        assert report.released
        assert not report.proven
        assert audited(run, pretrained=weights).proven
        other = tmp_path / "other.safetensors"
        save_file({"encoder.other": torch.zeros(3)}, other)
        assert "and the configuration names" in unknown(audited(run, pretrained=other))[0]
    finally:
        aside.rename(blob)


def test_a_configuration_that_names_no_digest_is_audited_with_the_readers_file(
    pretrained: Config, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:  # as earlier versions founded it
        patch.setattr("fedcxr.run.preparation.read_pretrained", lambda settings: None)
        run = run_federation(pretrained, tmp_path / "run")
    assert run.config.model.pretrained_digest == ""
    assert not audited(run).proven
    assert audited(run, pretrained=weights).proven
    other = tmp_path / "other.safetensors"
    state = create_model(run.config.model, seed=1).state_dict()
    save_file({n: t + 1 for n, t in state.items() if t.is_floating_point()}, other)
    report = audited(run, pretrained=other)  # which of the two is another's nobody can say
    assert report.clean
    assert "by no digest" in unknown(report)[0]


def test_a_hospital_with_other_weights_accuses_nobody(
    run: RunDirectory, weights: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.safetensors"
    state = create_model(run.config.model, seed=1).state_dict()
    save_file({n: t + 1 for n, t in state.items() if t.is_floating_point()}, other)
    theirs = FirstModel.of(run.config)
    own = FirstModel.of(run.config.with_changes({"model.pretrained": str(other)}))
    with pytest.raises(ModelError, match="the configuration names"):
        compare_first_model(own, theirs.vector)
    compare_first_model(theirs, theirs.vector)
    far = theirs.vector.copy()
    far[0] += 3 * ROUNDING
    with pytest.raises(RuleError, match="first model"):
        compare_first_model(theirs, far)
    far[0] = np.nan
    with pytest.raises(RuleError, match="first model"):
        compare_first_model(theirs, far)


def test_with_a_torch_that_draws_other_numbers_nothing_is_proven_and_nobody_accused(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_federation(small_config.with_changes({"federation.rounds": 1}), tmp_path / "run")
    of = FirstModel.of

    def elsewhere(config: Config, weights: Mapping[str, Tensor] | None = None) -> FirstModel:
        return of(config.with_changes({"seed": config.seed + 1}), weights)

    monkeypatch.setattr(FirstModel, "of", elsewhere)
    monkeypatch.setattr(fedcxr.audit.model_process, "draws_as_ever", lambda: False)
    report = audited(run)
    assert report.clean
    assert "torch here draws other numbers" in unknown(report)[0]
    assert not report.proven


def test_planted_weights_that_no_round_trains_are_found(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config.with_changes(
        {"federation.rounds": 1, "training.strategy": "probe", "training.self_supervised": "none"}
    )
    of = FirstModel.of

    def plant(config: Config, weights: Mapping[str, Tensor] | None = None) -> FirstModel:
        first = of(config, weights)
        with torch.no_grad():
            next(first.model.encoder.parameters()).add_(0.5)
        return FirstModel(config, first.model, federation_layout(first.model, config))

    with monkeypatch.context() as patch:
        patch.setattr(FirstModel, "of", plant)  # every hospital is an accomplice
        run = run_federation(config, tmp_path / "run")
    (finding,) = audited(run).findings
    assert (finding.where, finding.round) == ("tensors that no round trains", 0)


def test_a_model_beyond_every_bound_is_not_made() -> None:
    assert count_values(Model(name="compact")) < MOST_VALUES
    assert count_values(Model(name="compact", projection_dim=10**5)) > MOST_VALUES
    with pytest.raises(ModelError, match="cannot be built"):
        count_values(Model(name="compact", projection_dim=10**30))


@pytest.mark.parametrize("encoder", ["coat_tiny", "crossvit_tiny_240", "efficientvim_m4_dist"])
def test_an_encoder_that_gives_no_map_is_an_error_that_an_audit_can_tell(encoder: str) -> None:
    """Who sends a run chooses any name of timm's; what comes of it is no traceback."""
    with pytest.raises(ModelError, match="cannot be built"):
        count_values(Model(name="plain", encoder=encoder))
