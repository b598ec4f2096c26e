"""The consistency term of one hospital: what its momentum teacher says of labels that nobody gave."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.models.hierarchy import CHILDREN, above, log_given
from fedcxr.training.loader import Ready
from fedcxr.training.objectives.consistency import frequencies, pseudo_label_bce
from fedcxr.training.objectives.hierarchy import PRESENT, implied_parents


class PseudoLabels:
    """Student and teacher compared on what is open, with findings as frequent as in a hospital's labels."""

    def __init__(self, config: Config, examples: Examples, device: torch.device) -> None:
        targets, mask = torch.from_numpy(examples.targets), torch.from_numpy(examples.mask)
        self._conditional = config.model.labels == "conditional"
        if self._conditional:
            targets, mask = implied_parents(targets, mask)
        self._frequency = frequencies(targets, mask).to(device)
        under = mask.clone()
        under[:, list(CHILDREN)] &= above(mask & (targets > PRESENT))
        self._under_parent = frequencies(targets, under).to(device)
        self._threshold = config.training.consistency_threshold

    def __call__(self, logits: Tensor, taught: Tensor, part: Ready) -> Tensor:
        """The term of a part of B images, in nats.

        Args:
            logits: float, (V·B, 14), of the student's views.
            taught: float, (T·B, 14), of the teacher's; its one opinion of an image is their mean.
            part: the images.
        """
        present = part.mask & (part.targets > PRESENT)
        views, opinions = len(logits) // len(part), len(taught) // len(part)
        said = self._logs(taught, present.repeat(opinions, 1)).view(opinions, len(part), -1)
        opinion = (said.logsumexp(0) - math.log(opinions)).clamp(max=0.0)
        return pseudo_label_bce(
            self._logs(logits, present.repeat(views, 1)),
            opinion.repeat(views, 1),
            openly=part.open.repeat(views, 1),
            frequency=self._expected(present).repeat(views, 1),
            threshold=self._threshold,
        )

    def _logs(self, logits: Tensor, present: Tensor) -> Tensor:
        """log P(label), of a child given its parent where that is known to be there."""
        return log_given(logits, present) if self._conditional else functional.logsigmoid(logits.float())

    def _expected(self, present: Tensor) -> Tensor:
        """How frequent each finding is among images like these, (B, 14)."""
        expected = self._frequency.expand(present.shape)
        if not self._conditional:
            return expected
        below = torch.zeros_like(present)
        below[:, list(CHILDREN)] = above(present)
        return torch.where(below, self._under_parent, expected)
