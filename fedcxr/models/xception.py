"""Xception on one-channel images, and its maps at strides 8, 16 and 32.

Paper: F. Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", CVPR 2017,
https://arxiv.org/abs/1610.02357. Code: timm's ``legacy_xception`` (the Cadene port of Keras' Xception).

Deviations from the paper's network:

- one input channel; three-channel ImageNet stems are summed over their channels (``fedcxr.models.weights``);
- no softmax, and no dropout before the classifier;
- random depthwise weights start larger than PyTorch's default, see ``fedcxr.models.initial``;
- ``model.norm`` may freeze the BatchNorm statistics or put GroupNorm in their place.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

XCEPTION = "legacy_xception"  # timm's name; "xception" was renamed in timm 0.9
CHANNELS = (256, 728, 2048)  # of the three taps
FEATURES = CHANNELS[-1]
_TAPS = [2, 3, 4]  # of timm's five: the stem's and stride 4's are left out


class Taps(NamedTuple):
    """Three maps of one pass over B images, each after its ReLU.

    Attributes:
        entry: shape (B, 256, H/8, W/8), of the entry flow: the second block's.
        middle: shape (B, 728, H/16, W/16), the middle flow's last.
        exit: shape (B, 2048, H/32, W/32), the exit flow's: the features that are pooled.
    """

    entry: Tensor
    middle: Tensor
    exit: Tensor


def tap(encoder: nn.Module, images: Tensor) -> Taps:
    """One pass of timm's Xception over (B, 1, H, W) images."""
    _, maps = encoder.forward_intermediates(images, indices=_TAPS)  # type: ignore[operator]
    return Taps(*maps)
