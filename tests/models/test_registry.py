"""Models by name, their start and their normalisation."""

from pathlib import Path

import pytest
import torch
from torch import nn

from fedcxr.config import Model
from fedcxr.errors import ConfigError, ModelError
from fedcxr.models.initial import initialise
from fedcxr.models.norm import FrozenBatchNorm2d
from fedcxr.models.registry import build_model, create_model, model_names

COMPACT = Model(name="compact")
SEMSSXL = Model(name="semssxl")


def same(first: nn.Module, second: nn.Module) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_registry_has_all_models() -> None:
    assert model_names() == ("compact", "dual_stream", "plain", "semssxl")


def test_an_unknown_name_is_told_what_there_is() -> None:
    with pytest.raises(ModelError, match=r"'resnet'.*compact, dual_stream, plain, semssxl"):
        create_model(Model(name="resnet"), seed=0)


@pytest.mark.parametrize("name", ["compact", "semssxl"])
@pytest.mark.parametrize("size", [32, 45])
def test_outputs_have_fourteen_logits_and_a_projection(name: str, size: int) -> None:
    model = create_model(Model(name=name, projection_dim=24), seed=0)
    with torch.no_grad():
        output = model(torch.zeros(3, 1, size, size))
    assert output.logits.shape == (3, 14)
    assert output.projection.shape == (3, 24)


def test_the_projection_is_left_out_on_request() -> None:
    model = create_model(COMPACT, seed=0)
    assert model(torch.zeros(3, 1, 32, 32), project=False).projection.shape == (3, 0)


def test_compact_is_under_a_hundred_thousand_parameters() -> None:
    assert sum(p.numel() for p in create_model(COMPACT, seed=0).parameters()) < 100_000


def test_semssxl_is_xception_on_one_channel() -> None:
    model = create_model(SEMSSXL, seed=0)
    assert sum(p.numel() for p in model.encoder.parameters()) == 20_806_376
    assert model.state_dict()["encoder.conv1.weight"].shape == (32, 1, 3, 3)


@pytest.mark.parametrize("name", ["compact", "semssxl"])
def test_the_seed_alone_decides_the_start(name: str) -> None:
    settings = Model(name=name)
    first = create_model(settings, seed=3)
    torch.rand(7)  # the global generator moves on
    assert same(first, create_model(settings, seed=3))
    assert not same(first, create_model(settings, seed=4))


@pytest.mark.parametrize("name", ["compact", "semssxl"])
def test_making_a_model_leaves_the_global_generator_alone(name: str) -> None:
    state = torch.get_rng_state()
    create_model(Model(name=name), seed=3)
    assert torch.equal(torch.get_rng_state(), state)


def test_convolutions_start_as_he_normal_over_the_fan_out() -> None:
    weight = create_model(SEMSSXL, seed=0).state_dict()[
        "encoder.conv4.pointwise.weight"
    ]  # (2048, 1536, 1, 1)
    assert float(weight.std()) == pytest.approx((2 / 2048) ** 0.5, rel=0.01)
    assert float(weight.mean()) == pytest.approx(0.0, abs=1e-4)


def test_findings_are_rare_at_the_start() -> None:
    model = create_model(COMPACT, seed=0)
    torch.testing.assert_close(model.classifier.bias.detach().sigmoid(), torch.full((14,), 0.1))


def test_an_architecture_alone_needs_no_weights(tmp_path: Path) -> None:
    absent = COMPACT.model_copy(update={"pretrained": str(tmp_path / "absent.safetensors")})
    model = build_model(absent)
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())


def test_a_layer_without_a_stated_start_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"1: no initial weights.*PReLU"):
        initialise(nn.Sequential(nn.ReLU(), nn.PReLU()), seed=0)


def test_group_norm_leaves_no_batch_statistics() -> None:
    model = create_model(Model(name="semssxl", norm="group"), seed=0)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert not any("running" in name for name in model.state_dict())
    with torch.no_grad():
        assert model.train()(torch.zeros(2, 1, 32, 32)).logits.shape == (2, 14)


def test_frozen_statistics_do_not_move_in_training() -> None:
    model = build_model(COMPACT.model_copy(update={"norm": "frozen"})).train()
    before = {name: t.clone() for name, t in model.state_dict().items() if "running" in name}
    assert before
    assert any(isinstance(module, FrozenBatchNorm2d) for module in model.modules())
    model(torch.rand(8, 1, 32, 32))
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())


def test_shared_statistics_do_move_in_training() -> None:
    model = build_model(COMPACT).train()
    before = {name: t.clone() for name, t in model.state_dict().items() if "running" in name}
    model(torch.rand(8, 1, 32, 32))
    assert all(not torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())


def test_frozen_statistics_want_weights_that_they_came_with() -> None:
    with pytest.raises(ConfigError, match=r"model\.norm = 'frozen'"):
        create_model(COMPACT.model_copy(update={"norm": "frozen"}), seed=0)
