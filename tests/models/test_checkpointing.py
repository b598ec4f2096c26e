"""Gradient checkpointing: the same bits, statistics moved once, and tensors under the same names."""

import copy

import pytest
import torch

from fedcxr.config import Model, validate
from fedcxr.errors import ConfigError
from fedcxr.models.network import Network
from fedcxr.models.registry import create_model

MODELS = (
    {"name": "semssxl"},
    {"name": "compact"},
    {"name": "plain", "encoder": "resnet10t"},
    {"name": "plain", "encoder": "densenet121"},
    {"name": "plain", "encoder": "vit_tiny_patch16_224"},
    {"name": "dual_stream", "encoder": "mobilenetv3_small_050"},
)


def step(model: Network, parts: int = 1) -> tuple[torch.Tensor, dict[str, torch.Tensor | None]]:
    """Loss and gradients of a step over 4 images, in one pass or several."""
    images = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images = images.contiguous(memory_format=torch.channels_last)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    total = torch.zeros(())
    for part in images.chunk(parts):
        output = model(part)
        loss = output.logits.square().sum() + output.projection.square().sum()
        loss.backward()
        total += loss.detach()
    return total, {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("settings", MODELS, ids=lambda each: each.get("encoder", each["name"]))
def test_a_step_has_the_same_bits_and_statistics_move_once(settings: dict[str, str]) -> None:
    kept = create_model(Model.model_validate(settings), seed=1).train()
    again = create_model(Model.model_validate({**settings, "checkpointing": True}), seed=1).train()
    assert list(kept.state_dict()) == list(again.state_dict())
    expected, gradients = step(kept, parts=2)
    found, others = step(again, parts=2)
    assert torch.equal(found, expected)
    for name, gradient in gradients.items():
        other = others[name]
        assert (gradient is None) == (other is None), name
        assert gradient is None or other is None or torch.equal(gradient, other), name
    assert all(torch.equal(again.state_dict()[name], t) for name, t in kept.state_dict().items())


def test_activations_are_computed_again() -> None:
    model = create_model(Model(name="plain", encoder="resnet10t", checkpointing=True), seed=1).train()
    runs = []
    block = model.encoder.layer1[0]  # type: ignore[index, union-attr]
    block.conv1.register_forward_hook(lambda *_: runs.append(1))  # type: ignore[union-attr]
    step(model)
    assert len(runs) == 2
    with torch.no_grad():
        model(torch.zeros(2, 1, 32, 32))
    assert len(runs) == 3


def test_a_copy_has_blocks_of_its_own() -> None:
    model = create_model(Model(name="compact", checkpointing=True), seed=1).train()
    copied = copy.deepcopy(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    step(copied)
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_encoder_without_blocks_says_so() -> None:
    with pytest.raises(ConfigError, match="VGG is a sequence of single layers"):
        create_model(Model(name="plain", encoder="vgg11_bn", checkpointing=True), seed=1)


def test_it_is_not_for_compiled_models() -> None:
    tree = {"name": "test", "data": {"root": "."}, "model": {"checkpointing": True}}
    with pytest.raises(ConfigError, match=r"training\.compile chooses itself"):
        validate({**tree, "training": {"compile": True}}, where="test")
