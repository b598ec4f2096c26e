"""SemSSXL: Xception that decides on three scales, with a 14-label head and a contrastive projection.

The backbone is :mod:`fedcxr.models.xception`, tapped at strides 8, 16 and 32. Its pooled features go to the
classifier and to SimCLR's projection head; top-down fusion (:mod:`fedcxr.models.fusion`) and each label's own
attention over scales and positions (:mod:`fedcxr.models.attention`) add logits of their own. Each of
the two can be left out (``model.attention``, ``model.fusion``); without both it is the plain Xception.

The features that are compared by contrast are the pooled ones, whatever the heads are: contrast between views
is about the image as a whole, attention about one label.
"""

from __future__ import annotations

from torch import Tensor

from fedcxr import config
from fedcxr.models.encoders import create_encoder
from fedcxr.models.multi_scale import MultiScale, MultiScaleOutput
from fedcxr.models.network import Attended, Network, Trace
from fedcxr.models.xception import FEATURES, XCEPTION, Taps, tap


class SemSSXL(Network):
    """SemSSXL: its encoder has 20.8 M parameters.

    Images have 32 px a side or more; the last map is 32 times smaller.
    """

    def __init__(self, settings: config.Model) -> None:
        super().__init__(settings, create_encoder(XCEPTION), features=FEATURES)
        self.scales = MultiScale.of(settings)

    def trace(self, images: Tensor, *, project: bool = True, reconstruct: bool = False) -> Trace:
        taps, embedding, scales = self._encode_scales(images)
        output = self.heads(embedding, project=project)
        if scales is not None:
            output = output._replace(logits=output.logits + scales.logits)
        return Trace(output, taps.exit, embedding)

    def attend(self, images: Tensor) -> Attended | None:
        _, _, scales = self._encode_scales(images)
        if scales is None or scales.attention is None:
            return None
        return scales.attention.attended(images.shape[-2:])

    def _encode_scales(self, images: Tensor) -> tuple[Taps, Tensor, MultiScaleOutput | None]:
        taps = tap(self.encoder, images)
        embedding: Tensor = self.encoder.forward_head(taps.exit)  # type: ignore[operator]
        return taps, embedding, None if self.scales is None else self.scales(taps, embedding)
