"""The table ``[model]`` of a configuration."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fedcxr.config.normalisation import NORMALISATIONS, Normalisation, NormName
from fedcxr.config.sections import Count, Section


class Model(Section):
    """The network: a name of the registry ``fedcxr.models``, its parts, and where its weights start."""

    name: str = "semssxl"
    encoder: str = "legacy_xception"  # of plain and dual_stream: a name of timm's, or vit_input_enhanced
    attention: bool = True  # of each label, over scales and positions; of Xception in semssxl and dual_stream
    fusion: bool = True  # of the three scales, top-down; the same
    labels: Literal["flat", "conditional"] = "flat"  # conditional: a child's logit is of P(child | parent)
    streams: Literal["both", "transfer", "autoencoder"] = "both"  # of dual_stream
    stream_fusion: Literal["concat", "gated", "cross_attention", "bilinear"] = "concat"  # of dual_stream
    checkpointing: bool = False  # compute the encoder's activations again instead of keeping them
    pretrained: str = ""  # "": random from the seed; "timm": timm's hub; else a .safetensors file
    pretrained_digest: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = (
        ""  # of them; a new run fills it in
    )
    projection_dim: Count = 128
    norm: NormName = "shared"  # normalisation statistics, see models.norm

    @property
    def normalisation(self) -> Normalisation:
        """What :attr:`norm` means for whoever shares, judges, scores or releases the model."""
        return NORMALISATIONS[self.norm]

    @property
    def reconstructs(self) -> bool:
        """Whether it has an autoencoder."""
        return self.name == "dual_stream" and self.streams != "transfer"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.encoder != "legacy_xception" and self.name in ("semssxl", "compact"):
            raise ValueError(
                f"encoder = {self.encoder!r} is for name = 'plain' or 'dual_stream': "
                f"{self.name!r} has one of its own"
            )
        if self.pretrained_digest and not self.pretrained:
            raise ValueError("pretrained_digest is of weights that pretrained names: set that too")
        if self.name in ("plain", "compact") and not (self.attention and self.fusion):
            raise ValueError(
                f"attention and fusion are parts of 'semssxl': {self.name!r} has neither to take away"
            )
        if self.name != "dual_stream" and (self.streams, self.stream_fusion) != ("both", "concat"):
            raise ValueError("streams and stream_fusion are for name = 'dual_stream'")
        return self
