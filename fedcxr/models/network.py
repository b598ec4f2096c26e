"""What every model of the registry is: an encoder, a 14-label head and a projection head."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

LABEL_COUNT = 14  # CheXpert's labels; fedcxr.data.labels holds their names and order


class ModelOutput(NamedTuple):
    """One forward pass over B images.

    Attributes:
        logits: shape (B, 14), one logit a label in CheXpert's order.
        projection: shape (B, D), what the contrastive loss compares; not normalised. (B, 0) when skipped.
    """

    logits: Tensor
    projection: Tensor


class ProjectionHead(nn.Sequential):
    """SimCLR's two-layer MLP g(h) (Chen et al. 2020, https://arxiv.org/abs/2002.05709).

    The hidden layer is twice as wide as the output, where the paper's is as wide as the features: on
    Xception's 2,048 features that would add 20 % to the bytes of every update, for what inference drops.
    """

    def __init__(self, features: int, dimension: int) -> None:
        hidden = 2 * dimension
        super().__init__(nn.Linear(features, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, dimension))


class Network(nn.Module):
    """Encoder → pooled features → classifier and projection.

    A richer model (the dual-stream SemSSXL with its attention and fusion) overrides :meth:`forward` and
    keeps its output; nothing outside ``fedcxr.models`` knows what is inside.
    """

    def __init__(self, encoder: nn.Module, *, features: int, projection_dim: int) -> None:
        """``encoder`` maps (B, 1, H, W) float32 to pooled features (B, ``features``)."""
        super().__init__()
        self.encoder = encoder
        self.classifier = nn.Linear(features, LABEL_COUNT)
        self.projection = ProjectionHead(features, projection_dim)

    def forward(self, images: Tensor, *, project: bool = True) -> ModelOutput:
        """Logits and projection of (B, 1, H, W) float32 images in [-1, 1] (``transforms.normalise``).

        ``project=False`` leaves the projection head out: inference, and training without contrast.
        """
        features = self.encoder(images)
        projection = self.projection(features) if project else features[:, :0]
        return ModelOutput(self.classifier(features), projection)
