"""Heads on three scales: maps that are fused top-down, that each label attends to, or both.

Both are heads beside the classifier on pooled features, whose logits they are added to. So a network without
them is the plain one, tensor by tensor, and its weights load into one that has them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from fedcxr import config
from fedcxr.models.attention import AttentionResult, LabelAttention, PerLabel
from fedcxr.models.fusion import Laterals, TopDown
from fedcxr.models.network import LABEL_COUNT
from fedcxr.models.xception import CHANNELS, FEATURES, Taps

WIDTH = 128  # channels of all scales: about a sixth of the middle flow's; 3.5 % of Xception's parameters


class MultiScaleOutput(NamedTuple):
    """What the heads made of the scales of B images.

    Attributes:
        logits: shape (B, 14), to be added to the classifier's.
        attention: the attention's result; None without attention.
    """

    logits: Tensor
    attention: AttentionResult | None


class MultiScale(nn.Module):
    """Laterals, top-down fusion and attention over Xception's taps."""

    def __init__(self, *, attention: bool, fusion: bool) -> None:
        super().__init__()
        self.laterals = Laterals(CHANNELS, WIDTH)
        self.fusion = TopDown(len(CHANNELS), WIDTH) if fusion else None
        self.attention = LabelAttention(len(CHANNELS), WIDTH, FEATURES) if attention else None
        self.evidence = PerLabel(WIDTH, LABEL_COUNT, bias=False)

    @classmethod
    def of(cls, settings: config.Model) -> MultiScale | None:
        """Make the heads that ``model.attention`` and ``model.fusion`` ask for; None where both are off."""
        if not (settings.attention or settings.fusion):
            return None
        return cls(attention=settings.attention, fusion=settings.fusion)

    def forward(self, taps: Taps, embedding: Tensor) -> MultiScaleOutput:
        """Compute logits from Xception's taps; ``embedding``, (B, 2048), are the image's pooled features.

        Without attention every label has the plain mean over each scale's positions, and over the scales.
        """
        maps = self.laterals(taps)
        if self.fusion is not None:
            maps = self.fusion(maps)
        if self.attention is None:
            features = torch.stack([each.mean(dim=(2, 3)) for each in maps]).mean(dim=0)
            return MultiScaleOutput(self.evidence(features[:, None]), None)
        attention = self.attention(maps, embedding)
        return MultiScaleOutput(self.evidence(attention.features), attention)
