"""A round of each kind of model, end to end: what is trained, sealed, accepted and added is that model."""

from pathlib import Path

import pytest
from federation import digests, run_federation
from lives import audited

from fedcxr.config import Config
from fedcxr.models.registry import create_model
from fedcxr.round_lines import read_rounds
from fedcxr.training.shared_tensors import federation_layout

MODELS = {
    "dual stream": {
        "model.name": "dual_stream",
        "model.encoder": "mobilenetv3_small_050",
        "model.stream_fusion": "gated",
        "training.reconstruction_weight": 1.0,
        "model.checkpointing": True,
    },
    "transformer": {"model.name": "plain", "model.encoder": "vit_tiny_patch16_224"},
    "conditional labels": {"model.labels": "conditional"},
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_round_trains_and_audits_clean(small_config: Config, tmp_path: Path, kind: str) -> None:
    changes: dict[str, object] = {"federation.rounds": 1, "training.self_supervised": "none", **MODELS[kind]}
    config = small_config.with_changes(changes)
    run = run_federation(config, tmp_path / "run", evaluated=True)
    assert len(digests(run)) == 1
    layout = federation_layout(create_model(config.model, seed=config.seed), config)
    assert run.read_layout() == layout
    (line,) = read_rounds(run)
    assert line.evaluation is not None
    terms = {name for hospital in line.hospitals.values() for name in hospital.terms}
    assert terms == ({"bce", "reconstruction"} if kind == "dual stream" else {"bce"})
    assert [*map(str, audited(run).findings)] == []
