"""Encoders of timm's by name, on one channel and at any size."""

import pytest
import timm
import torch

from fedcxr.config import Model, validate
from fedcxr.errors import ConfigError, ModelError
from fedcxr.models.norm import batch_norm_tensors
from fedcxr.models.plain import Plain
from fedcxr.models.registry import build_model, create_model
from fedcxr.update.layout import Layout

SMALL = ("resnet10t", "mobilenetv3_small_050", "vit_tiny_patch16_224")
NAMED = (  # what the documents name
    "xception41", "xception65", "xception71", "vgg16_bn", "resnet50", "densenet121", "efficientnet_b0",
    "vit_small_patch16_224",
)  # fmt: skip


def plain(encoder: str, **more: object) -> Model:
    return Model.model_validate({"name": "plain", "encoder": encoder, "projection_dim": 8, **more})


@pytest.mark.parametrize("encoder", SMALL)
def test_a_gradient_reaches_every_parameter(encoder: str) -> None:
    model = create_model(plain(encoder), seed=0).train()
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(4, 1, 64, 64, generator=generator).contiguous(memory_format=torch.channels_last)
    traced = model.to(memory_format=torch.channels_last).trace(images)  # type: ignore[call-overload]
    (traced.output.logits.square().sum() + traced.output.projection.square().sum()).backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []
    assert traced.features.ndim == 4
    assert traced.output.logits.shape == (4, 14)
    assert Layout.of(model).size > 0


@pytest.mark.parametrize("encoder", NAMED)
def test_the_documented_names_are_timms_on_one_channel(encoder: str) -> None:
    with torch.device("meta"):
        model = Plain(plain(encoder))
    stem = next(p for p in model.encoder.parameters() if p.ndim == 4)
    assert stem.shape[1] == 1
    with_vgg = {"vgg16_bn": 512, "densenet121": 1024, "vit_small_patch16_224": 384, "efficientnet_b0": 1280}
    assert model.classifier.in_features == with_vgg.get(encoder, 2048)


@pytest.mark.parametrize("encoder", NAMED)
def test_the_documented_encoders_train_on_the_tables_images(encoder: str) -> None:
    """Two images as experiments/semssxl/encoder-*.toml has them: none of these is built for 64 px."""
    model = create_model(plain(encoder), seed=0).train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 1, 64, 64, generator=generator).contiguous(memory_format=torch.channels_last)
    output = model(images)
    assert output.logits.shape == (2, 14)
    assert not torch.equal(*output.logits)  # the two images are told apart
    (output.logits.square().sum() + output.projection.square().sum()).backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert [name for name, g in gradients.items() if g is None or not g.any()] == []
    assert [name for name, g in gradients.items() if g is not None and not g.isfinite().all()] == []
    assert [name for name, tensor in model.state_dict().items() if not tensor.isfinite().all()] == []


@pytest.mark.parametrize("encoder", ["vit_tiny_patch16_224", "vit_input_enhanced"])
@pytest.mark.parametrize("size", [32, 45, 64])
def test_transformers_take_every_size_and_their_patches_are_the_map(encoder: str, size: int) -> None:
    model = create_model(plain(encoder), seed=0)
    with torch.no_grad():
        traced = model.trace(torch.zeros(2, 1, size, size))
    patches = -(-size // 16)
    assert traced.features.shape[2:] == (patches, patches)
    torch.testing.assert_close(traced.features.mean(dim=(2, 3)), traced.embedding)


def test_the_map_of_a_transformer_is_what_its_logits_come_from() -> None:
    model = create_model(plain("vit_tiny_patch16_224"), seed=0)
    traced = model.trace(torch.zeros(2, 1, 64, 64))
    (gradient,) = torch.autograd.grad(traced.output.logits[:, 3].sum(), traced.features)
    own = model.classifier.weight[3][None, :, None, None] / 16  # the mean of 4 x 4 patches, then one layer
    torch.testing.assert_close(gradient, own.expand_as(gradient))


def test_the_input_enhanced_transformer_has_convolutions_before_its_tokens() -> None:
    model = create_model(plain("vit_input_enhanced"), seed=0).train()
    state = model.state_dict()
    assert state["encoder.patch_embed.proj.0.residual.0.weight"].shape == (8, 1, 3, 3)
    assert len(model.encoder.blocks) == 11  # type: ignore[arg-type]
    model(torch.rand(2, 1, 32, 32)).logits.sum().backward()
    assert all(p.grad is not None for n, p in model.named_parameters() if not n.startswith("projection"))
    assert batch_norm_tensors(model)


def test_an_unknown_encoder_is_told_the_closest() -> None:
    with pytest.raises(ConfigError, match=r"model\.encoder = 'resnet5O'.*resnet50"):
        create_model(plain("resnet5O"), seed=0)


def test_an_encoder_of_one_size_says_so() -> None:
    with torch.device("meta"):
        model = Plain(plain("swin_tiny_patch4_window7_224"))
        with pytest.raises(ModelError, match=r"takes no images of \(64, 64\) px"):
            model(torch.zeros(1, 1, 64, 64))


def test_encoders_that_only_timm_can_start_are_as_deterministic() -> None:
    settings = plain("convnext_atto")
    state = torch.get_rng_state()
    first = create_model(settings, seed=3).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    again, other = create_model(settings, seed=3).state_dict(), create_model(settings, seed=4).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in first.items())
    assert any(not torch.equal(other[name], tensor) for name, tensor in first.items())


@pytest.mark.parametrize("norm", ["shared", "local", "frozen", "group"])
def test_norms_keep_the_activation_that_timm_puts_into_them(norm: str) -> None:
    """DenseNet's norms are timm's with a ReLU inside."""
    model = build_model(plain("densenet121", norm=norm)).train()
    kinds = {type(m).__name__ for m in model.modules() if "Norm" in type(m).__name__}
    expected = {
        "shared": "BatchNormAct2d",
        "local": "BatchNormAct2d",
        "frozen": "FrozenBatchNormAct2d",
        "group": "GroupNormAct",
    }
    assert kinds == {expected[norm]}
    before = {name: t.clone() for name, t in model.state_dict().items() if "running" in name}
    traced = model.trace(torch.rand(2, 1, 32, 32))
    assert (traced.features >= 0).all()
    moved = any(not torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
    assert moved == (norm in ("shared", "local"))
    assert bool(batch_norm_tensors(model)) == (norm != "group")


@pytest.mark.parametrize("norm", ["local", "frozen", "group"])
def test_a_model_without_batch_norm_has_one_policy(norm: str) -> None:
    with pytest.raises(ConfigError, match=f"model.norm = '{norm}' is about BatchNorm"):
        build_model(plain("vit_tiny_patch16_224", norm=norm))


def test_an_imagenet_checkpoint_of_any_encoder_loads(tmp_path: object) -> None:
    from pathlib import Path

    from safetensors.torch import save_file

    path = Path(str(tmp_path)) / "resnet.safetensors"
    with torch.random.fork_rng():
        published = timm.create_model("resnet10t", pretrained=False)
    save_file(published.state_dict(), path)
    model = create_model(plain("resnet10t", pretrained=str(path)), seed=0)
    assert torch.equal(model.encoder.layer1[0].conv1.weight, published.layer1[0].conv1.weight)  # type: ignore[index, union-attr]


def test_an_encoder_is_refused_where_the_model_has_its_own() -> None:
    tree = {"name": "test", "data": {"root": "."}}
    with pytest.raises(ConfigError, match="'semssxl' has one of its own"):
        validate({**tree, "model": {"encoder": "resnet50"}}, where="test")
    with pytest.raises(ConfigError, match="streams and stream_fusion are for"):
        validate({**tree, "model": {"streams": "transfer"}}, where="test")
    with pytest.raises(ConfigError, match="'plain' has neither to take away"):
        validate({**tree, "model": {"name": "plain", "attention": False}}, where="test")
