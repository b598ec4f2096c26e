"""What every model of the registry is: an encoder, a 14-label head and a projection head."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fedcxr import config
from fedcxr.models.hierarchy import log_probabilities

LABEL_COUNT = 14  # CheXpert's labels; fedcxr.data.labels holds their names and order


class ModelOutput(NamedTuple):
    """The output of one forward pass over B images.

    Attributes:
        logits: shape (B, 14), one logit a label in CheXpert's order.
        projection: shape (B, D), what the contrastive loss compares; not normalised. (B, 0) when skipped.
        reconstruction: shape (B, 1, H, W), what an autoencoder made of the images; None where there is none,
            or nobody asked.
    """

    logits: Tensor
    projection: Tensor
    reconstruction: Tensor | None = None


class Trace(NamedTuple):
    """The result of one forward pass, with what lies between images and logits.

    Attributes:
        output: logits, projection and reconstruction.
        features: shape (B, C, h, w), the encoder's last map; the logits were computed from it.
        embedding: shape (B, F), the pooled features.
    """

    output: ModelOutput
    features: Tensor
    embedding: Tensor


class Attended(NamedTuple):
    """Where a model's own attention looked, label by label.

    Attributes:
        maps: float32, shape (B, 14, H, W), at the images' resolution; each sums to 1.
        scales: float32, shape (B, 14, S), how much of each look was at which scale, finest first; sums to 1.
    """

    maps: Tensor
    scales: Tensor


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

    A richer model overrides :meth:`trace`, and :meth:`attend` if it has attention; nothing outside
    ``fedcxr.models`` knows what is inside.
    """

    def __init__(self, settings: config.Model, encoder: nn.Module, *, features: int) -> None:
        """``encoder`` is as timm's are without a classifier: ``forward_features`` maps (B, 1, H, W) float32
        to a map (B, C, h, w), and ``forward_head`` that to pooled features (B, ``features``)."""
        super().__init__()
        self.encoder = encoder
        self.classifier = nn.Linear(features, LABEL_COUNT)
        self.projection = ProjectionHead(features, settings.projection_dim)
        self.labels = settings.labels

    def forward(self, images: Tensor, *, project: bool = True, reconstruct: bool = False) -> ModelOutput:
        """Logits and projection of (B, 1, H, W) float32 images in [-1, 1] (``transforms.normalise``).

        ``project=False`` leaves the projection head out: inference, and training without contrast.
        ``reconstruct`` asks for the images as an autoencoder makes them, of a model that has one.
        """
        return self.trace(images, project=project, reconstruct=reconstruct).output

    def trace(self, images: Tensor, *, project: bool = True, reconstruct: bool = False) -> Trace:
        """:meth:`forward` with the last map and the pooled features."""
        features, embedding = self.encode(images)
        return Trace(self.heads(embedding, project=project), features, embedding)

    def ends_after_encoding(self, trained: Iterable[str]) -> bool:
        """Whether :meth:`heads` of an embedding is all that depends on the parameters that are trained."""
        return type(self).trace is Network.trace and not any(n.startswith("encoder.") for n in trained)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The last map, (B, C, h, w), and the features pooled from it, (B, F)."""
        features = self.encoder.forward_features(images)  # type: ignore[operator]
        return features, self.encoder.forward_head(features)  # type: ignore[operator]

    def heads(self, embedding: Tensor, *, project: bool) -> ModelOutput:
        """The classifier's and the projection head's output for pooled features, (B, F)."""
        projection = self.projection(embedding) if project else embedding[:, :0]
        return ModelOutput(self.classifier(embedding), projection)

    def attend(self, images: Tensor) -> Attended | None:
        """Where the model's own attention looks in (B, 1, H, W) images; None of a model without any."""
        return None

    def probabilities(self, logits: Tensor) -> Tensor:
        """What logits, (B, 14), say of each label: float32 (B, 14), in [0, 1].

        With ``model.labels = "conditional"`` a child's is the product down the tree.
        """
        if self.labels == "conditional":
            return log_probabilities(logits).exp()
        return torch.sigmoid(logits.float())
