"""The input-enhanced vision transformer: convolutions before the first token, for radiographs.

ViT-S/16 (A. Dosovitskiy et al., ICLR 2021, https://arxiv.org/abs/2010.11929) cuts an image into patches of
16 x 16 and sees nothing across their seams but through attention. T. Xiao et al., "Early Convolutions Help
Transformers See Better", NeurIPS 2021, https://arxiv.org/abs/2106.14881, put four 3x3 convolutions of stride
2 in the place of the patches, and leave one transformer block out for what they cost; so here.

Ours is what stands before that stem: two 3x3 convolutions at full resolution whose output is added to the
image, eight channels wide. On a radiograph what counts is faint and local against a bright, smooth ground;
the enhancement can learn the high-pass filter that a reader's eye applies, before the first stride loses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
from timm.layers.patch_embed import PatchEmbed
from torch import Tensor, nn

INPUT_ENHANCED = "vit_input_enhanced"
_BASE = "vit_small_patch16_224"
_DEPTH = 11  # of ViT-S's twelve blocks
_ENHANCING = 8  # channels at full resolution
_STEM = (48, 96, 192, 384)  # channels after each stride of 2: Xiao's for ViT-S-like models, doubled each time


class Enhancement(nn.Module):
    """A layer that adds to an image what two convolutions make of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(channels, _ENHANCING, 3, padding=1, bias=False),
            nn.BatchNorm2d(_ENHANCING),
            nn.ReLU(inplace=True),
            nn.Conv2d(_ENHANCING, channels, 3, padding=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        enhanced: Tensor = images + self.residual(images)
        return enhanced


class ConvolutionalEmbedding(PatchEmbed):
    """timm's patch embedding with convolutions in the place of its one."""

    def __init__(self, *, in_chans: int, embed_dim: int, **options: Any) -> None:
        super().__init__(in_chans=in_chans, embed_dim=embed_dim, **options)
        layers: list[nn.Module] = [Enhancement(in_chans)]
        before = in_chans
        for width in _STEM:
            layers += [
                nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            before = width
        self.proj = nn.Sequential(*layers, nn.Conv2d(before, embed_dim, 1))  # type: ignore[assignment]


def create_input_enhanced(options: Mapping[str, Any]) -> Any:
    """The encoder on one channel without a classifier; ``options`` are timm's, of a vision transformer."""
    return timm.create_model(
        _BASE,
        pretrained=False,
        in_chans=1,
        num_classes=0,
        depth=_DEPTH,
        embed_layer=ConvolutionalEmbedding,
        **options,
    )
