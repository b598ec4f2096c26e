"""Attention and fusion against loops over labels, scales and positions."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from fedcxr.models.attention import AttentionResult, LabelAttention, enlarge
from fedcxr.models.fusion import Laterals, TopDown
from fedcxr.models.initial import initialise
from fedcxr.models.multi_scale import MultiScale
from fedcxr.models.xception import CHANNELS, FEATURES, Taps

WIDTH, CONTEXT = 6, 10
SIZES = ((5, 4), (3, 2), (1, 1))


@pytest.fixture
def maps() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, WIDTH, *size, generator=generator) for size in SIZES]


@pytest.fixture
def context() -> Tensor:
    return torch.randn(2, CONTEXT, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def attention() -> LabelAttention:
    """With weights large enough that it prefers something."""
    made = LabelAttention(len(SIZES), WIDTH, CONTEXT)
    initialise(made, seed=3)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(4).add_(0.1)
    return made


def naive(attention: LabelAttention, maps: list[Tensor], context: Tensor) -> AttentionResult:
    """One image, label, scale and position after the other."""
    count = len(context)
    seen = torch.zeros(count, 14, WIDTH)
    positions = [torch.zeros(count, 14, *size) for size in SIZES]
    scales = torch.zeros(count, 14, len(SIZES))
    for image in range(count):
        query = attention.query.weight @ context[image]
        for label in range(14):
            pooled, scale_logits = [], []
            for scale, (rows, columns) in enumerate(SIZES):
                scores = torch.zeros(rows, columns)
                for row in range(rows):
                    for column in range(columns):
                        value = maps[scale][image, :, row, column]
                        key = attention.key.weight @ value + attention.key.bias
                        scores[row, column] = attention.look.weight[label] @ torch.tanh(key + query)
                weights = scores.exp() / scores.exp().sum()
                positions[scale][image, label] = weights
                pooled.append((weights * maps[scale][image]).sum(dim=(1, 2)))
                scale_hidden = torch.tanh(attention.judge.weight @ pooled[-1] + attention.judge.bias)
                choose = attention.choose[scale]
                scale_logits.append(float(choose.weight[label] @ scale_hidden + choose.bias[label]))  # type: ignore[operator, index]
            shares = torch.tensor(scale_logits).exp() / torch.tensor(scale_logits).exp().sum()
            scales[image, label] = shares
            seen[image, label] = sum(share * each for share, each in zip(shares, pooled, strict=True))
    return AttentionResult(seen, positions, scales)


def test_attention_is_that_of_the_loop(
    attention: LabelAttention, maps: list[Tensor], context: Tensor
) -> None:
    with torch.no_grad():
        found, expected = attention(maps, context), naive(attention, maps, context)
    torch.testing.assert_close(found.features, expected.features, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.scales, expected.scales, rtol=1e-4, atol=1e-6)
    for one, other in zip(found.positions, expected.positions, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert found.scales.std() > 0.05


def test_where_a_label_looks_depends_on_the_rest_of_the_image(
    attention: LabelAttention, maps: list[Tensor], context: Tensor
) -> None:
    with torch.no_grad():
        one, other = attention(maps, context), attention(maps, context.flip(0))
    assert (one.positions[0] - other.positions[0]).abs().max() > 0.01


def test_maps_at_the_images_size_sum_to_one_and_peak_where_the_attention_does(
    attention: LabelAttention, maps: list[Tensor], context: Tensor
) -> None:
    with torch.no_grad():
        result = attention(maps, context)
    found = result.attended((40, 32))
    assert found.maps.shape == (2, 14, 40, 32)
    assert (found.maps >= 0).all()
    torch.testing.assert_close(found.maps.sum(dim=(2, 3)), torch.ones(2, 14))
    torch.testing.assert_close(found.scales.sum(dim=2), torch.ones(2, 14))
    positions = [torch.zeros(1, 14, 2, 2), torch.full((1, 14, 1, 1), 1.0)]
    positions[0][:, :, 1, 0] = 1.0
    alone = AttentionResult(result.features[:1], positions, torch.tensor([1.0, 0.0]).expand(1, 14, 2))
    own = alone.attended((8, 8)).maps[0, 0]
    highest = (own == own.max()).nonzero().tolist()
    assert [6, 1] in highest, "the middle of the cell"
    assert all(row >= 4 and column < 4 for row, column in highest)


@pytest.mark.parametrize("side", [1, 2, 8])
def test_a_map_that_says_the_same_everywhere_does_so_when_it_is_large(side: int) -> None:
    found = enlarge(torch.full((1, 1, side, side), 0.25), (64, 64))
    torch.testing.assert_close(found, torch.full((1, 1, 64, 64), 0.25))


def test_fusion_is_laterals_enlarged_and_added(maps: list[Tensor]) -> None:
    fusion = TopDown(len(SIZES), WIDTH).eval()
    initialise(fusion, seed=0)
    with torch.no_grad():
        found = fusion(maps)
        coarse = maps[2]
        middle, fine = maps[1].clone(), maps[0].clone()
        for row in range(3):
            for column in range(2):
                middle[:, :, row, column] += coarse[:, :, 0, 0]
        for row in range(5):
            for column in range(4):
                fine[:, :, row, column] += middle[:, :, row * 3 // 5, column * 2 // 4]
        for scale, merged in enumerate((fine, middle, coarse)):
            depthwise, pointwise, norm, _ = fusion.smooth[scale]  # type: ignore[misc]
            spread = functional.conv2d(merged, depthwise.weight, padding=1, groups=WIDTH)
            mixed = torch.einsum("oi,bihw->bohw", pointwise.weight[:, :, 0, 0], spread)
            expected = torch.relu(mixed / (1 + norm.eps) ** 0.5)
            torch.testing.assert_close(found[scale], expected, rtol=1e-4, atol=1e-5)


def test_laterals_bring_every_scale_to_one_width() -> None:
    laterals = Laterals((3, 7), WIDTH).eval()
    initialise(laterals, seed=0)
    made = laterals([torch.ones(2, 3, 4, 4), torch.ones(2, 7, 2, 2)])
    assert [tuple(each.shape) for each in made] == [(2, WIDTH, 4, 4), (2, WIDTH, 2, 2)]


def test_without_attention_every_label_sees_the_plain_mean() -> None:
    heads = MultiScale(attention=False, fusion=False).eval()
    initialise(heads, seed=0)
    generator = torch.Generator().manual_seed(0)
    taps = Taps(
        *(torch.rand(2, c, s, s, generator=generator) for c, s in zip(CHANNELS, (4, 2, 1), strict=True))
    )
    with torch.no_grad():
        found = heads(taps, torch.zeros(2, FEATURES))
        means = [each.mean(dim=(2, 3)) for each in heads.laterals(taps)]
    torch.testing.assert_close(found.logits, sum(means) / 3 @ heads.evidence.weight.T)
    assert found.attention is None
