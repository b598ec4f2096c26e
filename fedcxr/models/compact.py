"""A small separable network, for slow machines and for tests of the protocol rather than of the medicine.

After MobileNet (Howard et al. 2017, https://arxiv.org/abs/1704.04861), smaller: six layers, under 100,000
parameters with the default heads, about a hundred times SemSSXL's speed. It has the same kinds of layer as
Xception (depthwise and pointwise convolutions, BatchNorm), so whatever holds for its tensors holds there.
"""

from __future__ import annotations

from torch import Tensor, nn

from fedcxr import config
from fedcxr.models.network import Network

WIDTHS = (16, 32, 64, 128)  # channels after the stem and after each stride-2 block


class SeparableBlock(nn.Sequential):
    """Depthwise 3x3, pointwise 1x1, BatchNorm, ReLU."""

    def __init__(self, channels: int, width: int, *, stride: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 3, stride=stride, padding=1, groups=channels, bias=False),
            nn.Conv2d(channels, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )


class CompactEncoder(nn.Sequential):
    """The compact network's layers; the last two modules pool their output."""

    def __init__(self) -> None:
        stem, *widths = WIDTHS
        layers: list[nn.Module] = [
            nn.Conv2d(1, stem, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(inplace=True),
        ]
        for channels, width in zip(WIDTHS, widths, strict=False):
            layers.append(SeparableBlock(channels, width, stride=2))
        layers.append(SeparableBlock(WIDTHS[-1], WIDTHS[-1], stride=1))
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward_features(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) to the last map, (B, 128, ⌈H/16⌉, ⌈W/16⌉)."""
        features = images
        for layer in list(self)[:-2]:
            features = layer(features)
        return features

    def forward_head(self, features: Tensor) -> Tensor:
        """The last map to pooled features, (B, 128)."""
        for layer in list(self)[-2:]:
            features = layer(features)
        return features


class Compact(Network):
    """The compact network.

    Images have 16 px a side or more; the last map is 16 times smaller.
    """

    def __init__(self, settings: config.Model) -> None:
        super().__init__(settings, CompactEncoder(), features=WIDTHS[-1])
