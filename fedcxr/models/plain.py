"""An encoder of timm's by itself, with the heads that every model has: what others are compared with.

``model.encoder`` names it: ``legacy_xception`` (the plain Xception), ``densenet121`` (the architecture of
CheXNet, P. Rajpurkar et al. 2017, https://arxiv.org/abs/1711.05225), ``xception41``, ``xception65``,
``xception71``, ``vgg16_bn``, ``resnet50``, ``efficientnet_b0``, ``vit_small_patch16_224``,
``vit_input_enhanced``, or any other that timm has.
"""

from __future__ import annotations

from torch import Tensor

from fedcxr import config
from fedcxr.models.encoders import create_encoder, encode, width_of
from fedcxr.models.network import Network


class Plain(Network):
    """A model whose heads stand on the pooled features of one encoder."""

    def __init__(self, settings: config.Model) -> None:
        encoder = create_encoder(settings.encoder)
        super().__init__(settings, encoder, features=width_of(encoder).features)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return encode(self.encoder, images)
