"""The dual-stream model: what ImageNet taught an encoder, beside what an autoencoder learns of radiographs.

The transfer stream is any encoder (:mod:`fedcxr.models.encoders`), with SemSSXL's multi-scale heads where it
is Xception; the other is a convolutional autoencoder (:mod:`fedcxr.models.autoencoder`), which
``training.reconstruction_weight`` trains on the images as the network sees them. Their features are joined
(:mod:`fedcxr.models.stream_fusion`) and go to the classifier and the projection head.

``model.streams`` takes one away: then there is nothing to join, and the other is the model's encoder.
"""

from __future__ import annotations

from torch import Tensor, nn

from fedcxr import config
from fedcxr.models.autoencoder import CODE, Autoencoder
from fedcxr.models.encoders import Width, create_encoder, encode, width_of
from fedcxr.models.multi_scale import MultiScale, MultiScaleOutput
from fedcxr.models.network import Attended, ModelOutput, Network, Trace
from fedcxr.models.stream_fusion import Stream, make_stream_fusion
from fedcxr.models.xception import XCEPTION, tap


class DualStream(Network):
    """A model of two streams, or of the one that ``model.streams`` leaves."""

    def __init__(self, settings: config.Model) -> None:
        if settings.streams == "autoencoder":
            super().__init__(settings, Autoencoder(), features=CODE)
            self.autoencoder = self.joining = self.scales = None
            return
        encoder = create_encoder(settings.encoder)
        width = width_of(encoder)
        joining = None
        if settings.streams == "both":
            joining = make_stream_fusion(settings.stream_fusion, width, Width(CODE, CODE))
        super().__init__(settings, encoder, features=width.features if joining is None else joining.features)
        self.joining = joining
        self.autoencoder = None if joining is None else Autoencoder()
        self.scales = MultiScale.of(settings) if settings.encoder == XCEPTION else None

    def trace(self, images: Tensor, *, project: bool = True, reconstruct: bool = False) -> Trace:
        transfer, scales = self._encode_scales(images)
        if self.joining is None or self.autoencoder is None:
            drawer: nn.Module | None = self.encoder if isinstance(self.encoder, Autoencoder) else None
            code, embedding = transfer.features, transfer.pooled
        else:
            drawer, code = self.autoencoder, self.autoencoder.forward_features(images)
            embedding = self.joining(transfer, Stream(code, self.autoencoder.forward_head(code)))
        output: ModelOutput = self.heads(embedding, project=project)
        if scales is not None:
            output = output._replace(logits=output.logits + scales.logits)
        if reconstruct and isinstance(drawer, Autoencoder):
            output = output._replace(reconstruction=drawer.decode(code, images.shape[-2], images.shape[-1]))
        return Trace(output, transfer.features, embedding)

    def attend(self, images: Tensor) -> Attended | None:
        _, scales = self._encode_scales(images)
        if scales is None or scales.attention is None:
            return None
        return scales.attention.attended(images.shape[-2:])

    def _encode_scales(self, images: Tensor) -> tuple[Stream, MultiScaleOutput | None]:
        """Compute the encoder's stream, and the multi-scale heads' output where the model has them."""
        if self.scales is None:
            return Stream(*encode(self.encoder, images)), None
        taps = tap(self.encoder, images)
        pooled: Tensor = self.encoder.forward_head(taps.exit)  # type: ignore[operator]
        return Stream(taps.exit, pooled), self.scales(taps, pooled)
