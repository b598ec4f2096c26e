"""SemSSXL: Xception on one-channel chest X-rays, with a 14-label head and a contrastive projection.

Paper: F. Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", CVPR 2017,
https://arxiv.org/abs/1610.02357. Code: timm's ``legacy_xception`` (the Cadene port of Keras' Xception).

Deviations from the paper's network:

- one input channel; three-channel ImageNet stems are summed over their channels (``fedcxr.models.weights``);
- a 14-label linear head without softmax, and SimCLR's projection head beside it;
- no dropout before the classifier;
- random depthwise weights start larger than PyTorch's default, see ``fedcxr.models.initial``;
- ``model.norm`` may freeze the BatchNorm statistics or put GroupNorm in their place.

This is SemSSXL's spatial stream. Its second stream, attention and fusion subclass
:class:`~fedcxr.models.network.Network` beside it and keep :class:`~fedcxr.models.network.ModelOutput`.
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from timm.models import load_pretrained
from torch import Tensor

from fedcxr import config
from fedcxr.errors import ModelError
from fedcxr.models.network import Network

ARCHITECTURE = "legacy_xception"  # timm's name; "xception" was renamed in timm 0.9
CLASSIFIER = ("fc.", "last_linear.")  # of ImageNet checkpoints: timm's name and Cadene's


class SemSSXL(Network):
    """20.8 M parameters in the encoder; input from 32 px a side, reduced 32 times."""

    def __init__(self, settings: config.Model) -> None:
        encoder = _encoder()
        super().__init__(encoder, features=encoder.num_features, projection_dim=settings.projection_dim)


def hub_weights() -> dict[str, Tensor]:
    """The encoder's ImageNet weights from timm's hub, stem summed to one channel; cached by torch.hub.

    Raises:
        ModelError: the hub cannot be reached, or what it holds does not fit.
    """
    with torch.device("meta"):
        encoder = _encoder()
    encoder.to_empty(device="cpu")
    try:
        load_pretrained(encoder, encoder.pretrained_cfg, num_classes=0, in_chans=1)
    except (OSError, RuntimeError) as error:  # URLError and a bad hash; tensors that do not fit
        raise ModelError(
            f"model.pretrained = 'timm': timm's hub did not give the weights of {ARCHITECTURE} ({error}). "
            "Connect to the network once, or name a .safetensors file."
        ) from error
    return dict(encoder.state_dict())


def _encoder() -> Any:  # timm's factory is typed as a bare Module
    return timm.create_model(ARCHITECTURE, pretrained=False, in_chans=1, num_classes=0)
