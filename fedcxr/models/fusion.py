"""Hierarchical fusion: three scales at one width, and the coarse ones' meaning handed down to the fine.

T.-Y. Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017,
https://arxiv.org/abs/1612.03144: 1x1 laterals, the coarser map enlarged to the finer one's size and added,
then a 3x3 convolution on each sum. Deviations: the laterals are normalised, as a middle flow that adds up
eight residuals speaks louder than an exit flow after BatchNorm; the 3x3 convolutions are separable, as the
backbone's, and have a normalisation and a ReLU.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional


class Laterals(nn.ModuleList):
    """Maps of S scales, brought to one width: 1x1 convolution and normalisation."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__(
            nn.Sequential(nn.Conv2d(each, width, 1, bias=False), nn.BatchNorm2d(width)) for each in channels
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """(B, C_s, h_s, w_s) to (B, width, h_s, w_s), for each scale."""
        return [lateral(each) for lateral, each in zip(self, maps, strict=True)]


class TopDown(nn.Module):
    """The path from the coarsest map to the finest."""

    def __init__(self, scales: int, width: int) -> None:
        super().__init__()
        self.smooth = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
                nn.Conv2d(width, width, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            )
            for _ in range(scales)
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps (B, width, h_s, w_s), finest first, to as many of the same shapes."""
        merged = list(maps)
        for scale in range(len(merged) - 2, -1, -1):
            larger = functional.interpolate(merged[scale + 1], size=merged[scale].shape[-2:], mode="nearest")
            merged[scale] = merged[scale] + larger
        return [smooth(each) for smooth, each in zip(self.smooth, merged, strict=True)]
