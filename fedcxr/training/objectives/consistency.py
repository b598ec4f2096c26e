"""Pseudo labels from a momentum teacher, for the labels that are uncertain, blank or not asked.

CheXpert's U-SelfTrained (J. Irvin et al., AAAI 2019, https://arxiv.org/abs/1901.07031, section 3.2) trains a
model without the uncertain labels, has it predict them, and trains again on what it said. Mean Teacher
(A. Tarvainen and H. Valpola, NIPS 2017, https://arxiv.org/abs/1703.01780) lets a running average of the
weights predict at every step. Here the teacher of the second labels what the first leaves open, softly, and
only where it is sure (after the threshold of FixMatch, K. Sohn et al. 2020, https://arxiv.org/abs/2001.07685).

New here: it is sure by what it adds to how frequent a finding is. Of a finding that one image in fifty has, a
network that knows nothing says "absent" with 98 %, and would be taken at its word for every image; so its
log-odds are held against those of the known labels, the shift of A. Menon et al., "Long-tail learning via
logit adjustment", ICLR 2021, https://arxiv.org/abs/2007.07314. A finding of which a hospital knows no case,
or nothing else, is left open: there is nothing to hold them against.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from fedcxr.config import Training
from fedcxr.models.hierarchy import CHILDREN, above, log_given
from fedcxr.training.objectives.bce import log_of_rest, masked_bce_of_logs
from fedcxr.training.objectives.hierarchy import PRESENT, implied_parents
from fedcxr.training.objectives.term import (
    Needs,
    PhaseName,
    TeacherNeed,
    Term,
    TermContext,
    TermInput,
    TermSpec,
)


def frequencies(targets: Tensor, mask: Tensor) -> Tensor:
    """Return how frequent each finding is among the images whose label of it is known.

    Args:
        targets: float, shape (n, L), in [0, 1]; read only where ``mask`` is true.
        mask: bool, shape (n, L).

    Returns:
        float32, shape (L,), in [0, 1]; NaN for labels that no image knows.
    """
    return targets.float().masked_fill(~mask, 0.0).sum(0) / mask.sum(0)


def pseudo_label_bce(
    student: Tensor, teacher: Tensor, *, openly: Tensor, frequency: Tensor, threshold: float
) -> Tensor:
    """Binary cross-entropy against the teacher's probabilities where the labels are open, in nats.

    The mean runs over all open labels, and those of which the teacher is not sure add 0: a teacher that is
    sure of little weighs little, as in FixMatch.

    Args:
        student: float32, shape (N, L): log P(label).
        teacher: the same of the momentum network; no gradient flows into it.
        openly: bool, shape (N, L): where the teacher is asked.
        frequency: float32, in (0, 1), to be broadcast to (N, L): of each finding; others count as unsure.
        threshold: 0.5 to below 1: what max(q, 1 − q) must reach, q being the teacher's probability as it
            would be if the finding were as frequent as its absence. 0.5 takes every open label.

    Returns:
        A scalar, float32; 0, with gradient 0, where no label is open.
    """
    teacher = teacher.detach()
    gained = teacher - log_of_rest(teacher) - torch.logit(frequency)
    wanted = math.log(threshold) - math.log1p(-threshold)
    sure = openly & (gained.abs() >= wanted) & gained.isfinite()
    mean = masked_bce_of_logs(student, teacher.exp(), sure)
    return mean * sure.sum().clamp(min=1) / openly.sum().clamp(min=1)


def ramp_up(progress: float, rounds: float) -> float:
    """Return the share of the full weight after ``progress`` rounds: exp(−5 (1 − t)²), as in Mean Teacher.

    A teacher that has seen little repeats its prejudices. ``rounds`` is when t is 1; 0: from the start.
    """
    if progress >= rounds:
        return 1.0
    return math.exp(-5.0 * (1.0 - max(progress, 0.0) / rounds) ** 2)


class Consistency(Term):
    """The consistency term: student and teacher are compared on the labels that are open.

    The hospital's own labels say how frequent each finding is. The hospital keeps nothing of the term.
    """

    def __init__(self, context: TermContext) -> None:
        config, examples, device = context.config, context.examples, context.device
        targets, mask = torch.from_numpy(examples.targets), torch.from_numpy(examples.mask)
        self._conditional = config.model.labels == "conditional"
        if self._conditional:
            targets, mask = implied_parents(targets, mask)
        self._frequency = frequencies(targets, mask).to(device)
        under = mask.clone()
        under[:, list(CHILDREN)] &= above(mask & (targets > PRESENT))
        self._under_parent = frequencies(targets, under).to(device)
        self._threshold = config.training.consistency_threshold

    def __call__(self, seen: TermInput) -> Tensor:
        """Return the term of a part, in nats; the teacher's opinion of an image is its mean over views."""
        part, logits, taught = seen.part, seen.student.logits, seen.taught.logits
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


def _weight(training: Training, phase: PhaseName) -> float:
    return training.consistency_weight if phase == "training" else 0.0


def _ramp(training: Training, progress: float) -> float:
    return ramp_up(progress, training.consistency_rampup)


CONSISTENCY = TermSpec(
    name="consistency",
    weight=_weight,
    make=Consistency,
    needs=Needs(teacher=TeacherNeed.LOGITS, unlabelled=True),
    share="open",
    ramp=_ramp,
)
