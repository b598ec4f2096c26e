"""How two streams become one vector of features: four ways behind one interface.

- ``concat``: the pooled features, one after the other.
- ``gated``: a gate for each feature says how much of it comes from which stream (gated multimodal unit,
  J. Arevalo et al. 2017, https://arxiv.org/abs/1702.01992).
- ``cross_attention``: each stream's positions ask the other's (scaled dot products, A. Vaswani et al. 2017,
  https://arxiv.org/abs/1706.03762; between two streams as in J. Lu et al., "ViLBERT", 2019,
  https://arxiv.org/abs/1908.02265), one layer.
- ``bilinear``: every product of a feature of the one with a feature of the other, at low rank (J.-H. Kim et
  al., "Hadamard Product for Low-rank Bilinear Pooling", 2017, https://arxiv.org/abs/1610.04325); a full one
  would have 2,048 x 128 products a feature.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedcxr.models.encoders import Width

Kind = Literal["concat", "gated", "cross_attention", "bilinear"]

JOINED = 256  # features of gated and bilinear fusion; of each direction of cross attention half as many
RANK = 256  # of bilinear fusion


class Stream(NamedTuple):
    """What one stream made of B images.

    Attributes:
        features: shape (B, C, h, w), its last map.
        pooled: shape (B, F).
    """

    features: Tensor
    pooled: Tensor


class StreamFusion(nn.Module, ABC):
    """A way of joining two streams into one vector of features.

    Attributes:
        features: width of that vector.
    """

    features: int

    @abstractmethod
    def forward(self, one: Stream, other: Stream) -> Tensor:
        """Join two streams of the same B images into features of shape (B, :attr:`features`)."""


def make_stream_fusion(kind: Kind, one: Width, other: Width) -> StreamFusion:
    """Make the fusion that ``model.stream_fusion`` names, for streams of these widths."""
    return _FUSIONS[kind](one, other)


class Concatenated(StreamFusion):
    """Concatenation: the pooled features of the one stream, then those of the other."""

    def __init__(self, one: Width, other: Width) -> None:
        super().__init__()
        self.features = one.features + other.features

    def forward(self, one: Stream, other: Stream) -> Tensor:
        return torch.cat([one.pooled, other.pooled], dim=1)


class Gated(StreamFusion):
    """A gated unit of pooled features a and b: g ∘ tanh(U a) + (1 − g) ∘ tanh(V b), g = σ(W [a, b])."""

    def __init__(self, one: Width, other: Width) -> None:
        super().__init__()
        self.features = JOINED
        self.one = nn.Linear(one.features, JOINED)
        self.other = nn.Linear(other.features, JOINED)
        self.gate = nn.Linear(one.features + other.features, JOINED)

    def forward(self, one: Stream, other: Stream) -> Tensor:
        gate = torch.sigmoid(self.gate(torch.cat([one.pooled, other.pooled], dim=1)))
        return gate * torch.tanh(self.one(one.pooled)) + (1.0 - gate) * torch.tanh(self.other(other.pooled))


class CrossAttention(StreamFusion):
    """Cross attention: each stream's positions ask the other's.

    The features are the means over positions of both results, one after the other.
    """

    def __init__(self, one: Width, other: Width) -> None:
        super().__init__()
        self.features = JOINED
        width = JOINED // 2
        self.one = nn.Conv2d(one.channels, width, 1)
        self.other = nn.Conv2d(other.channels, width, 1)
        self.one_asks = AttentionLayer(width)
        self.other_asks = AttentionLayer(width)

    def forward(self, one: Stream, other: Stream) -> Tensor:
        first, second = _tokens(self.one(one.features)), _tokens(self.other(other.features))
        found = self.one_asks(first, second), self.other_asks(second, first)
        return torch.cat([each.mean(dim=1) for each in found], dim=1)


class AttentionLayer(nn.Module):
    """A layer in which one set of positions attends to another, with a transformer layer's residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.own, self.others = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)

    def forward(self, own: Tensor, others: Tensor) -> Tensor:
        """Let ``own``, (B, P, width), attend to ``others``, (B, Q, width); return (B, P, width)."""
        own, others = self.own(own), self.others(others)
        keys, values = self.key(others), self.value(others)
        return own + functional.scaled_dot_product_attention(self.query(own), keys, values)


class Bilinear(StreamFusion):
    """Low-rank bilinear pooling of pooled features a and b: P (tanh(U a) ∘ tanh(V b))."""

    def __init__(self, one: Width, other: Width) -> None:
        super().__init__()
        self.features = JOINED
        self.one = nn.Linear(one.features, RANK)
        self.other = nn.Linear(other.features, RANK)
        self.out = nn.Linear(RANK, JOINED)

    def forward(self, one: Stream, other: Stream) -> Tensor:
        joined: Tensor = self.out(torch.tanh(self.one(one.pooled)) * torch.tanh(self.other(other.pooled)))
        return joined


def _tokens(features: Tensor) -> Tensor:
    return features.flatten(2).transpose(1, 2)


_FUSIONS: dict[Kind, Callable[[Width, Width], StreamFusion]] = {
    "concat": Concatenated,
    "gated": Gated,
    "cross_attention": CrossAttention,
    "bilinear": Bilinear,
}
