"""SemSSXL's parts: what each adds, and that without them it is the plain Xception."""

import itertools
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fedcxr.config import Model
from fedcxr.errors import ModelError
from fedcxr.models.norm import batch_norm_tensors
from fedcxr.models.registry import create_model
from fedcxr.models.xception import tap
from fedcxr.update.layout import Layout

PLAIN = Model(attention=False, fusion=False)
BOTH = Model()


def images(count: int = 2, size: int = 64) -> Tensor:
    made = torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return made.contiguous(memory_format=torch.channels_last)  # depthwise convolutions crawl without


def test_without_both_parts_it_is_the_plain_xception() -> None:
    model = create_model(PLAIN, seed=3)
    assert {name.split(".")[0] for name in model.state_dict()} == {"encoder", "classifier", "projection"}
    with torch.no_grad():
        output = model(images())
        features = model.encoder(images())
        assert torch.equal(output.logits, model.classifier(features))
        assert torch.equal(output.projection, model.projection(features))
    assert Layout.of(model).size == 21_447_030
    other = create_model(Model(name="plain"), seed=3)
    assert Layout.of(other).digest == Layout.of(model).digest
    assert all(torch.equal(other.state_dict()[name], t) for name, t in model.state_dict().items())


@pytest.mark.parametrize(("attention", "fusion"), list(itertools.product((True, False), repeat=2)))
def test_parts_are_added_to_what_is_there_without_moving_it(attention: bool, fusion: bool) -> None:
    model = create_model(Model(attention=attention, fusion=fusion), seed=3)
    plain = create_model(PLAIN, seed=3).state_dict()
    state = model.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in plain.items())
    assert any("attention" in name for name in state) == attention
    assert any("fusion" in name for name in state) == fusion
    with torch.no_grad():
        found = model.attend(images())
    assert (found is not None) == attention
    if found is not None:
        assert found.maps.shape == (2, 14, 64, 64)
        assert found.scales.shape == (2, 14, 3)


def test_both_parts_are_a_thirtieth_of_the_parameters() -> None:
    counts = [sum(p.numel() for p in create_model(each, seed=0).parameters()) for each in (PLAIN, BOTH)]
    assert 0 < counts[1] / counts[0] - 1 < 0.04


@pytest.mark.parametrize("norm", ["shared", "group"])
def test_a_gradient_reaches_every_parameter(norm: str) -> None:
    model = create_model(Model.model_validate({"norm": norm}), seed=0).train()
    output = model.to(memory_format=torch.channels_last)(images(4))  # type: ignore[call-overload]
    (output.logits.square().sum() + output.projection.square().sum()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_taps_are_at_strides_of_8_16_and_32() -> None:
    model = create_model(PLAIN, seed=0)
    with torch.no_grad():
        taps = tap(model.encoder, images(1, 256))
    assert [tuple(each.shape[1:]) for each in taps] == [(256, 32, 32), (728, 16, 16), (2048, 8, 8)]


def test_images_do_not_meet_in_evaluation() -> None:
    model = create_model(BOTH, seed=0)
    with torch.no_grad():
        together, alone = model(images(3)).logits, model(images(3)[1:2]).logits
    torch.testing.assert_close(together[1:2], alone, rtol=1e-3, atol=1e-4)


def test_a_plain_models_weights_load_and_what_is_new_starts_at_random(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = create_model(PLAIN, seed=5)
    save_file(plain.state_dict(), tmp_path / "plain.safetensors")
    with caplog.at_level(logging.INFO):
        model = create_model(Model(pretrained=str(tmp_path / "plain.safetensors")), seed=9)
    state, fresh = model.state_dict(), create_model(BOTH, seed=9).state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in plain.state_dict().items())
    assert all(torch.equal(state[n], fresh[n]) for n in state if n.startswith("scales."))
    assert "has no scales.attention, scales.evidence, scales.fusion, scales.laterals" in caplog.text


def test_a_part_that_is_there_in_half_is_an_error(tmp_path: Path) -> None:
    state = create_model(BOTH, seed=5).state_dict()
    del state["scales.attention.key.weight"]
    save_file(state, tmp_path / "half.safetensors")
    with pytest.raises(ModelError, match=r"scales\.attention\.key\.weight is missing"):
        create_model(Model(pretrained=str(tmp_path / "half.safetensors")), seed=9)


def test_frozen_statistics_are_the_encoders_and_new_parts_have_group_norm(tmp_path: Path) -> None:
    save_file(create_model(PLAIN, seed=5).state_dict(), tmp_path / "plain.safetensors")
    settings = Model(pretrained=str(tmp_path / "plain.safetensors"), norm="frozen")
    model = create_model(settings, seed=0).train()
    layers = {name: m for name, m in model.named_modules() if isinstance(m, nn.BatchNorm2d | nn.GroupNorm)}
    assert {isinstance(m, nn.GroupNorm) for n, m in layers.items() if n.startswith("scales.")} == {True}
    assert {isinstance(m, nn.GroupNorm) for n, m in layers.items() if n.startswith("encoder.")} == {False}
    before = {name: t.clone() for name, t in model.state_dict().items() if "running" in name}
    model(images())
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())


def test_local_normalisation_is_every_batch_norms_that_of_the_new_parts_too() -> None:
    model = create_model(Model(norm="local"), seed=0)
    own = batch_norm_tensors(model)
    layers = [name for name, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)]
    parts = ("weight", "bias", "running_mean", "running_var")
    assert own == {f"{layer}.{part}" for layer in layers for part in parts}
    assert any(name.startswith("scales.") for name in own)
    shared = {spec.name for spec in Layout.of(model, local=own).tensors}
    assert shared | own == {n for n, t in model.state_dict().items() if t.is_floating_point()}
    assert not shared & own
