"""Multi-scale attention: which scale, and where on it, each label looks; anew for every image.

The building blocks, and where they are from:

- additive attention (Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473) as a pooling: a label's score of
  a position is a read-out of tanh(key + query), softmax over positions (Ilse et al. 2018, attention-based
  multiple-instance pooling, https://arxiv.org/abs/1802.04712);
- softmax over scales (L.-C. Chen et al., "Attention to Scale", CVPR 2016,
  https://arxiv.org/abs/1511.03339);
- the attended features' logit is added to that of plain average pooling, so that the attention need not learn
  what the average says anyway (K. Zhu and J. Wu, "Residual Attention", ICCV 2021,
  https://arxiv.org/abs/2108.02456).

New here: the query is the whole image's, so that where a label looks at one place depends on all the others;
positions are weighed within their scale and the scales against each other by what was seen there, label by
label, so that a fine map does not win by having more positions; keys, read-outs and values are shared between
the scales, which costs 14 labels little more than one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedcxr.models.network import LABEL_COUNT, Attended


class AttentionResult(NamedTuple):
    """What the attention made of B images.

    Attributes:
        features: shape (B, 14, width), each label's own pooled features.
        positions: float32, shape (B, 14, h_s, w_s) for each scale; each sums to 1.
        scales: float32, shape (B, 14, S); sums to 1.
    """

    features: Tensor
    positions: list[Tensor]
    scales: Tensor

    def attended(self, size: Sequence[int]) -> Attended:
        """Return the weights of all scales in one map a label, at ``size`` = (H, W)."""
        maps = torch.stack([_enlarged(each, size) for each in self.positions], dim=2)
        return Attended((self.scales[..., None, None] * maps).sum(dim=2), self.scales)


class PerLabel(nn.Linear):
    """A linear layer of which each label has one row, for features of its own."""

    def forward(self, features: Tensor) -> Tensor:
        """(B, 14, width) to (B, 14)."""
        own = (features * self.weight).sum(dim=2)
        return own if self.bias is None else own + self.bias


class LabelAttention(nn.Module):
    """Attention of each label over the maps of S scales, all ``width`` channels wide.

    ``look`` scores positions; ``judge`` and ``choose`` score scales. The attributes' names are part of the
    tensors' names, and so of the layouts that ledgers hold.
    """

    def __init__(self, scales: int, width: int, context: int) -> None:
        """Make the layers; ``context`` is the width of the pooled features, from which the query comes."""
        super().__init__()
        self.query = nn.Linear(context, width, bias=False)
        self.key = nn.Linear(width, width)
        self.look = nn.Linear(width, LABEL_COUNT, bias=False)
        self.judge = nn.Linear(width, width)
        self.choose = nn.ModuleList(PerLabel(width, LABEL_COUNT) for _ in range(scales))

    def forward(self, maps: Sequence[Tensor], context: Tensor) -> AttentionResult:
        """Attend to maps (B, width, h_s, w_s) of S scales, given the image's pooled features (B, F)."""
        sizes = [each.shape[-2:] for each in maps]
        values = torch.cat([each.flatten(2).transpose(1, 2) for each in maps], dim=1)  # (B, ΣP, width)
        hidden = torch.tanh(self.key(values) + self.query(context)[:, None])
        scores = self.look(hidden).float().transpose(1, 2)  # (B, 14, ΣP)
        counts = [height * width for height, width in sizes]
        weights = [part.softmax(dim=2) for part in torch.split(scores, counts, dim=2)]
        pooled = [w.to(v.dtype) @ v for w, v in zip(weights, torch.split(values, counts, dim=1), strict=True)]
        scale_hidden = [torch.tanh(self.judge(each)) for each in pooled]
        scale_logits = [score(hidden) for score, hidden in zip(self.choose, scale_hidden, strict=True)]
        scales = torch.stack(scale_logits, dim=2).float().softmax(dim=2)  # (B, 14, S)
        features = (scales.to(pooled[0].dtype)[..., None] * torch.stack(pooled, dim=2)).sum(dim=2)
        positions = [w.view(*w.shape[:2], *size) for w, size in zip(weights, sizes, strict=True)]
        return AttentionResult(features, positions, scales)


def enlarge(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Enlarge maps (B, C, h, w) bilinearly to (B, C, H, W); beyond a rim cell's middle they stay as high.

    So a map that says the same everywhere does so when it is large. A plateau has no highest place: whoever
    looks for one draws lots.
    """
    still = torch.eye(2, 3, dtype=maps.dtype, device=maps.device).expand(len(maps), 2, 3)
    grid = functional.affine_grid(still, [len(maps), maps.shape[1], *size], align_corners=False)
    return functional.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _enlarged(maps: Tensor, size: Sequence[int]) -> Tensor:
    large = enlarge(maps.float(), size)
    return large / large.sum(dim=(2, 3), keepdim=True)
