"""Weights from a file or a hub."""

import urllib.error
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from fedcxr.config import Model, validate
from fedcxr.errors import ConfigError, ModelError
from fedcxr.models import encoders
from fedcxr.models.registry import create_model
from fedcxr.training.shared_tensors import federation_layout, write_frozen
from fedcxr.update import model_file


@pytest.fixture(scope="module")
def imagenet_like(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as timm publishes them: three-channel stem, a classifier of 1,000."""
    path = tmp_path_factory.mktemp("weights") / "xception.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(timm.create_model("legacy_xception", pretrained=False).state_dict(), path)
    return path


def edited(source: Path, target: Path, **changes: torch.Tensor | None) -> Path:
    from safetensors.torch import load_file

    tensors = load_file(source)
    for name, tensor in changes.items():
        if tensor is None:
            del tensors[name]
        else:
            tensors[name] = tensor
    save_file(tensors, target)
    return target


def test_a_grey_image_meets_the_response_that_rgb_met(imagenet_like: Path) -> None:
    """The published network on R = G = B and ours on one channel compute the same features."""
    from safetensors.torch import load_file

    published = timm.create_model("legacy_xception", pretrained=False).eval()
    published.load_state_dict(load_file(imagenet_like))
    ours = create_model(Model(pretrained=str(imagenet_like)), seed=1)
    grey = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = published.forward_head(
            published.forward_features(grey.repeat(1, 3, 1, 1)), pre_logits=True
        )
        torch.testing.assert_close(ours.trace(grey).embedding, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("densenet121", "features.norm0"),
        ("resnet18", "bn1"),
        ("efficientnet_b0", "bn1"),
        ("vgg11_bn", "features.1"),
        ("vgg11", "features.0"),
        ("vit_tiny_patch16_224", "patch_embed"),
    ],
)
def test_each_encoder_sees_a_grey_image_as_its_checkpoint_was_trained_to(
    tmp_path: Path, name: str, first: str
) -> None:
    """After the stem and its norm, but at the rim: theirs pads with its mean, ours with 0.5."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        published = timm.create_model(name, pretrained=False).eval()
    for module in published.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)  # type: ignore[operator]
    save_file(published.state_dict(), tmp_path / "weights.safetensors")
    settings = Model(name="plain", encoder=name, pretrained=str(tmp_path / "weights.safetensors"))
    ours = create_model(settings, seed=1).encoder.eval()
    grey = torch.rand(2, 1, 224, 224, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(published.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    seen = []
    for network, images in ((published, (grey - mean) / std), (ours, grey * 2 - 1)):
        network.get_submodule(first).register_forward_hook(lambda _, __, out: seen.append(out))
        with torch.no_grad():
            network.forward_features(images)
    if name.startswith("vit"):  # patches, which nothing pads
        torch.testing.assert_close(seen[1].flatten(1, 2), seen[0], rtol=1e-3, atol=1e-4)
        return
    theirs, own = (each[..., 2:-2, 2:-2] for each in seen)
    torch.testing.assert_close(own, theirs, rtol=1e-3, atol=1e-4)


def test_heads_start_at_random_beside_a_pretrained_encoder(imagenet_like: Path) -> None:
    settings = Model(pretrained=str(imagenet_like))
    first, second = create_model(settings, seed=1), create_model(settings, seed=2)
    assert torch.equal(first.encoder.conv2.weight, second.encoder.conv2.weight)
    assert not torch.equal(first.classifier.weight, second.classifier.weight)


@pytest.mark.parametrize("norm", ["frozen", "group"])
def test_pretrained_weights_fit_every_norm_policy(imagenet_like: Path, norm: str) -> None:
    model = create_model(Model.model_validate({"pretrained": str(imagenet_like), "norm": norm}), seed=0)
    with torch.no_grad():
        assert torch.isfinite(model.train()(torch.zeros(2, 1, 32, 32)).logits).all()


def test_a_released_model_comes_back_whole_without_its_counters(tmp_path: Path) -> None:
    model = create_model(Model(name="compact"), seed=5)
    tensors = {n: t for n, t in model.state_dict().items() if not n.endswith("num_batches_tracked")}
    save_file(tensors, tmp_path / "model.safetensors")
    again = create_model(Model(name="compact", pretrained=str(tmp_path / "model.safetensors")), seed=9)
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in tensors.items())


def test_a_run_that_trained_its_heads_only_is_a_start_for_another(tmp_path: Path) -> None:
    tree = {"name": "t", "data": {"root": "."}, "model": {"name": "plain"}, "training": {"strategy": "probe"}}
    config = validate(tree, where="test")
    model = create_model(config.model, seed=3)
    layout = federation_layout(model, config)
    released = tmp_path / "models" / "round-0001.safetensors"
    released.parent.mkdir()
    write_frozen(model, config, layout, tmp_path / "frozen.safetensors")
    vector = layout.flatten(model.state_dict())
    model_file.write(released, vector, layout, federation=bytes(32), round_number=1)
    assert len(vector) < sum(p.numel() for p in model.parameters()) / 20
    again = create_model(Model(name="plain", pretrained=str(released)), seed=4)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(again.state_dict()[name], tensor, rtol=0, atol=0, msg=name)
    (tmp_path / "frozen.safetensors").unlink()
    with pytest.raises(ModelError, match=r"encoder\.\S+ is missing"):
        create_model(Model(name="plain", pretrained=str(released)), seed=4)


def test_misfits_are_named_tensor_by_tensor(imagenet_like: Path, tmp_path: Path) -> None:
    path = edited(
        imagenet_like,
        tmp_path / "bad.safetensors",
        **{"conv2.weight": None, "bn1.weight": torch.zeros(7), "stray": torch.zeros(1)},
    )
    with pytest.raises(ModelError) as caught:
        create_model(Model(pretrained=str(path)), seed=0)
    message = str(caught.value)
    assert "encoder.conv2.weight is missing" in message
    assert "encoder.bn1.weight has shape (7,) where (32,) is wanted" in message
    assert "encoder.stray is unknown" in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.safetensors.*no such file"):
        create_model(Model(pretrained=str(tmp_path / "absent.safetensors")), seed=0)


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"PK\x03\x04 not safetensors")
    with pytest.raises(ModelError, match=r"weights\.safetensors: not a readable"):
        create_model(Model(pretrained=str(path)), seed=0)


def test_a_hub_out_of_reach_is_a_model_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    with pytest.raises(ModelError, match=r"timm's hub did not give.*no route to host"):
        create_model(Model(pretrained="timm"), seed=0)


def test_hub_weights_go_into_the_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """timm is asked for three channels and no classifier, and what it fills is what the model gets."""
    asked: dict[str, object] = {}
    create = timm.create_model

    def fill(name: str, *, pretrained: bool, **options: object) -> torch.nn.Module:
        model = create(name, pretrained=False, **options)
        if pretrained:
            asked.update(options)
            for tensor in model.state_dict().values():
                tensor.fill_(1)
        return model

    monkeypatch.setattr(encoders.timm, "create_model", fill)
    state = torch.get_rng_state()
    model = create_model(Model(pretrained="timm"), seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert asked == {"num_classes": 0, "in_chans": 3}
    assert (model.encoder.conv1.weight == 3).all()  # three channels of ones
    rest = [p for n, p in model.encoder.named_parameters() if n != "conv1.weight"]
    assert all((parameter == 1).all() for parameter in rest)


def test_a_model_without_a_hub_says_so() -> None:
    with pytest.raises(ConfigError, match="no weights for 'compact'"):
        create_model(Model(name="compact", pretrained="timm"), seed=0)
