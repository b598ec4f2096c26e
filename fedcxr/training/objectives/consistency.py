"""Pseudo labels from a momentum teacher, for the labels that are uncertain, blank or not asked.

CheXpert's U-SelfTrained (J. Irvin et al., AAAI 2019, https://arxiv.org/abs/1901.07031, section 3.2) trains a
model without the uncertain labels, has it predict them, and trains again on what it said. Mean Teacher
(A. Tarvainen and H. Valpola, NIPS 2017, https://arxiv.org/abs/1703.01780) lets a running average of the
weights predict at every step. Here the teacher of the second labels what the first leaves open, softly, and
only where it is sure (the threshold of FixMatch, K. Sohn et al. 2020, https://arxiv.org/abs/2001.07685).
"""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional


def pseudo_label_bce(logits: Tensor, teacher: Tensor, mask: Tensor, threshold: float) -> Tensor:
    """Binary cross-entropy against the teacher's probabilities where the labels are open, in nats.

    The mean runs over all open labels, and those of which the teacher is not sure add 0: a teacher that is
    sure of little weighs little, as in FixMatch.

    Args:
        logits: float, shape (N, L), of the student.
        teacher: float, shape (N, L), probabilities; no gradient flows into it.
        mask: bool, shape (N, L): True where the label is known, and the teacher has no say.
        threshold: 0.5 to 1: the least of max(p, 1 − p) that counts; 0.5 takes every open label.

    Returns:
        A scalar, float32; 0, with gradient 0, where no label is open.
    """
    teacher = teacher.detach().float()
    losses = functional.binary_cross_entropy_with_logits(logits.float(), teacher, reduction="none")
    unsure = (teacher - 0.5).abs() + 0.5 < threshold
    return losses.masked_fill(mask | unsure, 0.0).sum() / (~mask).sum().clamp(min=1)


def ramp_up(progress: float, rounds: float) -> float:
    """The term's share of its full weight after ``progress`` rounds: exp(−5 (1 − t)²), as in Mean Teacher.

    A teacher that has seen little repeats its prejudices. ``rounds`` is when t is 1; 0: from the start.
    """
    if progress >= rounds:
        return 1.0
    return math.exp(-5.0 * (1.0 - max(progress, 0.0) / rounds) ** 2)
