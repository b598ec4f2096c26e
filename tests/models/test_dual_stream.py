"""The dual-stream model, whole and with parts taken away."""

import pytest
import torch
from torch import nn

from fedcxr.config import Model
from fedcxr.errors import ConfigError
from fedcxr.models.autoencoder import Autoencoder
from fedcxr.models.encoders import Width
from fedcxr.models.initial import initialise
from fedcxr.models.registry import create_model
from fedcxr.models.stream_fusion import Bilinear, Gated, Stream, make_stream_fusion
from fedcxr.update.layout import Layout

FUSIONS = ("concat", "gated", "cross_attention", "bilinear")


def dual(**more: object) -> Model:
    tree = {"name": "dual_stream", "encoder": "resnet10t", "projection_dim": 8, **more}
    return Model.model_validate(tree)


def streams() -> tuple[Stream, Stream]:
    generator = torch.Generator().manual_seed(0)
    one = Stream(torch.rand(3, 5, 2, 2, generator=generator), torch.rand(3, 7, generator=generator))
    return one, Stream(torch.rand(3, 4, 3, 3, generator=generator), torch.rand(3, 4, generator=generator))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_gradient_reaches_every_parameter(fusion: str) -> None:
    model = create_model(dual(stream_fusion=fusion), seed=0).train()
    images = torch.rand(4, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    output = model(images, reconstruct=True)
    assert output.reconstruction is not None
    assert output.reconstruction.shape == images.shape
    terms = (output.logits, output.projection, output.reconstruction - images)
    sum(term.square().mean() for term in terms).backward()  # type: ignore[union-attr]
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert Layout.of(model).size == sum(
        t.numel() for t in model.state_dict().values() if t.is_floating_point()
    )


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("removed", ["transfer", "autoencoder"])
def test_either_stream_alone_needs_no_joining(fusion: str, removed: str) -> None:
    model = create_model(dual(stream_fusion=fusion, streams=removed), seed=0)
    names = {name.split(".")[0] for name in model.state_dict()}
    assert names == {"encoder", "classifier", "projection"}
    images = torch.zeros(2, 1, 45, 33)
    with torch.no_grad():
        output = model(images, reconstruct=True)
    assert (output.reconstruction is None) == (removed == "transfer")
    if output.reconstruction is not None:
        assert output.reconstruction.shape == images.shape
    assert isinstance(model.encoder, Autoencoder) == (removed == "autoencoder")


def test_over_xception_it_has_semssxls_heads() -> None:
    model = create_model(dual(encoder="legacy_xception"), seed=0)
    images = torch.zeros(2, 1, 64, 64)
    with torch.no_grad():
        assert model.attend(images) is not None
        assert model.trace(images).features.shape == (2, 2048, 2, 2)
    assert create_model(dual(), seed=0).attend(images) is None
    bare = create_model(dual(encoder="legacy_xception", attention=False, fusion=False), seed=0)
    assert not any(name.startswith("scales.") for name in bare.state_dict())


def test_gated_fusion_mixes_feature_by_feature() -> None:
    one, other = streams()
    fusion = Gated(Width(5, 7), Width(4, 4))
    initialise(fusion, seed=0)
    with torch.no_grad():
        found = fusion(one, other)
        for image in range(3):
            both = torch.cat([one.pooled[image], other.pooled[image]])
            for feature in range(0, fusion.features, 50):
                gate = torch.sigmoid(fusion.gate.weight[feature] @ both)
                first = torch.tanh(fusion.one.weight[feature] @ one.pooled[image])
                second = torch.tanh(fusion.other.weight[feature] @ other.pooled[image])
                expected = gate * first + (1 - gate) * second
                torch.testing.assert_close(found[image, feature], expected)


def test_bilinear_fusion_is_a_sum_over_products_of_pairs() -> None:
    one, other = streams()
    fusion = Bilinear(Width(5, 7), Width(4, 4))
    initialise(fusion, seed=0)
    with torch.no_grad():
        found = fusion(one, other)
        for feature in (0, 100, 255):
            expected = torch.zeros(3)
            for rank in range(256):
                first = torch.tanh(one.pooled @ fusion.one.weight[rank])
                second = torch.tanh(other.pooled @ fusion.other.weight[rank])
                expected += fusion.out.weight[feature, rank] * first * second
            torch.testing.assert_close(found[:, feature], expected, rtol=1e-4, atol=1e-5)


def test_cross_attention_asks_position_by_position() -> None:
    one, other = streams()
    fusion = make_stream_fusion("cross_attention", Width(5, 7), Width(4, 4))
    initialise(fusion, seed=0)
    asking = fusion.one_asks
    assert isinstance(asking, nn.Module)
    with torch.no_grad():
        found = fusion(one, other)
        own = asking.own(fusion.one(one.features).flatten(2).transpose(1, 2))  # type: ignore[operator]
        others = asking.others(fusion.other(other.features).flatten(2).transpose(1, 2))  # type: ignore[operator]
        for image in range(3):
            total = torch.zeros(128)
            for place in range(4):
                query = asking.query.weight @ own[image, place]  # type: ignore[union-attr, operator]
                scores = torch.stack([asking.key.weight @ o @ query for o in others[image]])  # type: ignore[union-attr, operator]
                weights = (scores / 128**0.5).softmax(dim=0)
                values = torch.stack([asking.value.weight @ o for o in others[image]])  # type: ignore[union-attr, operator]
                total += own[image, place] + weights @ values
            torch.testing.assert_close(found[image, :128], total / 4, rtol=1e-4, atol=1e-5)


def test_the_hub_has_nothing_for_an_autoencoder_alone() -> None:
    with pytest.raises(ConfigError, match="no weights for 'dual_stream' as it is set"):
        create_model(dual(streams="autoencoder", pretrained="timm"), seed=0)


def test_an_autoencoder_learns_to_draw() -> None:
    model = Autoencoder().train()
    initialise(model, seed=0)
    images = torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(0)).repeat_interleave(8, 2)
    images = images.repeat_interleave(8, 3) * 2 - 1
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    errors = []
    for _ in range(30):
        drawn = model.decode(model.forward_features(images), 32, 32)
        error = (drawn - images).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(float(error.detach()))
    assert errors[-1] < errors[0] / 2
