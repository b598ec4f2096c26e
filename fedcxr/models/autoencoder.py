"""A convolutional autoencoder of radiographs, whose code must hold what draws the image again.

J. Masci, U. Meier, D. Cireşan, J. Schmidhuber, "Stacked Convolutional Auto-Encoders for Hierarchical Feature
Extraction", ICANN 2011, with strides in the place of pooling. Nothing leads from encoder to decoder but the
code: beside another connection it would have nothing to keep. The decoder enlarges by nearest neighbour and
then convolves, as transposed convolutions leave a pattern (A. Odena et al. 2016,
https://distill.pub/2016/deconv-checkerboard/).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (16, 32, 64, 128)  # channels after each stride of 2; the code has the last, at stride 16
CODE = WIDTHS[-1]


class Autoencoder(nn.Module):
    """An autoencoder of 0.2 M parameters, for images of 16 px a side or more."""

    num_features = CODE

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            _layer(before, width, stride=2) for before, width in zip((1, *WIDTHS), WIDTHS, strict=False)
        )
        narrower = (*WIDTHS[-2::-1], WIDTHS[0])
        self.up = nn.ModuleList(
            _layer(before, width, stride=1) for before, width in zip(WIDTHS[::-1], narrower, strict=True)
        )
        self.draw = nn.Conv2d(narrower[-1], 1, 3, padding=1)

    def forward_features(self, images: Tensor) -> Tensor:
        """The code of (B, 1, H, W) images: (B, 128, ⌈H/16⌉, ⌈W/16⌉)."""
        code = images
        for layer in self.down:
            code = layer(code)
        return code

    def forward_head(self, code: Tensor) -> Tensor:
        """The code's mean over positions, (B, 128)."""
        return code.mean(dim=(2, 3))

    def decode(self, code: Tensor, height: int, width: int) -> Tensor:
        """The images that a code stands for, (B, 1, ``height``, ``width``), in [−1, 1]."""
        sizes = [(height, width)]
        for _ in self.up[1:]:
            height, width = -(-height // 2), -(-width // 2)
            sizes.append((height, width))
        drawn = code
        for layer, size in zip(self.up, reversed(sizes), strict=True):
            drawn = layer(functional.interpolate(drawn, size=size, mode="nearest"))
        image: Tensor = self.draw(drawn).tanh()
        return image


def _layer(before: int, width: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )
