"""What a term of the joint objective is: a declaration of what it needs, and the object that computes it.

A term's own file has both. The declaration (:class:`TermSpec`) is a row of the table
:data:`fedcxr.training.objectives.registry.TERMS`. The phase of a round asks it for the term's weight and
needs, and the trainer provides what is needed: it knows no term by its name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import torch
from torch import Tensor, nn

from fedcxr.config import Config, Training
from fedcxr.data.examples import Examples
from fedcxr.models.network import ModelOutput
from fedcxr.training.preparation import Ready, Share
from fedcxr.training.state_tensors import StateTensors

PhaseName = Literal["pretraining", "training"]


class TeacherNeed(IntEnum):
    """What a term asks of the momentum network; of several terms the highest wish is granted to all."""

    NONE = 0
    """Nothing."""
    LOGITS = 1
    """Logits, of the images without augmentation unless another term wants projections."""
    PROJECTIONS = 2
    """Logits and projections, of the same augmented views that the student sees."""


@dataclass(frozen=True)
class Needs:
    """What a term, or all terms of a phase together, must be given.

    Attributes:
        views: augmented views of each image in one epoch.
        projection: whether the student's projection head must run.
        reconstruction: whether the model must reconstruct its input.
        teacher: what is asked of the momentum network.
        unlabelled: whether an image without any known label has something to teach.
        base: whether the term compares with the parameters that the round began with.
    """

    views: int = 1
    projection: bool = False
    reconstruction: bool = False
    teacher: TeacherNeed = TeacherNeed.NONE
    unlabelled: bool = False
    base: bool = False

    def __or__(self, other: Needs) -> Needs:
        """Return what satisfies both."""
        return Needs(
            views=max(self.views, other.views),
            projection=self.projection or other.projection,
            reconstruction=self.reconstruction or other.reconstruction,
            teacher=max(self.teacher, other.teacher),
            unlabelled=self.unlabelled or other.unlabelled,
            base=self.base or other.base,
        )

    @property
    def clean(self) -> bool:
        """Whether batches must have the images without augmentation beside their views."""
        return self.teacher is TeacherNeed.LOGITS


@dataclass(frozen=True)
class TermContext:
    """What a term may be built from at the start of one hospital's round.

    Attributes:
        config: the federation's configuration, resolved.
        examples: all that the round trains on.
        device: where the model and the batches are.
        state: what the term left of itself in this hospital's last round, by its own names, on ``device``;
            empty in the first round.
        model: the student, as it is trained.
        base: the student's trainable parameters by name as the round began, detached; empty unless the term
            declares ``Needs(base=True)``.
    """

    config: Config
    examples: Examples
    device: torch.device
    state: StateTensors
    model: nn.Module
    base: Mapping[str, Tensor]


@dataclass(frozen=True)
class TermInput:
    """One part of a batch, B images, with what the networks made of its V views.

    Attributes:
        part: the images and labels.
        student: the student's output for the V·B views; the projection is empty, and the reconstruction None,
            where no term of the phase needs it.
        teacher: the momentum network's output, for T·B images: the views, or the images without augmentation
            (T = 1). None where no term of the phase asks it.
    """

    part: Ready
    student: ModelOutput
    teacher: ModelOutput | None

    @property
    def targets(self) -> Tensor:
        """The labels of all views, float32 (V·B, 14)."""
        return self._of_views(self.part.targets)

    @property
    def mask(self) -> Tensor:
        """Which labels of all views are known, bool (V·B, 14)."""
        return self._of_views(self.part.mask)

    @property
    def counted(self) -> Tensor:
        """Which labels of all views cross-entropy is taken over, bool (V·B, 14)."""
        return self._of_views(self.part.counted)

    @property
    def taught(self) -> ModelOutput:
        """:attr:`teacher`, of a term that declares that it needs one.

        Raises:
            ValueError: the term did not declare it.
        """
        if self.teacher is None:
            raise ValueError("a term asks the momentum network, and its Needs do not say so")
        return self.teacher

    def _of_views(self, labels: Tensor) -> Tensor:
        return labels.repeat(len(self.student.logits) // len(self.part), 1)


class Term(ABC):
    """A term during one hospital's round: called once for each part of each batch."""

    @abstractmethod
    def __call__(self, seen: TermInput) -> Tensor:
        """Return the term's value for one part of a batch, a float32 scalar, before its weight."""

    def parameters(self) -> Iterable[nn.Parameter]:
        """Return what is trained beside the model; it stays at the hospital."""
        return ()

    def end_batch(self) -> None:
        """Note that all parts of a batch have been seen; what was seen of it may be remembered."""
        return

    def state(self) -> StateTensors:
        """Return what the hospital keeps of the term for its next round, on the CPU."""
        return {}


def full_weight(training: Training, progress: float) -> float:
    """Return 1: the ramp of a term that has its whole weight from the start."""
    return 1.0


@dataclass(frozen=True)
class TermSpec:
    """The declaration of a term.

    Attributes:
        name: in the training report, in the signed metrics and in :attr:`.phases.Phase.weights`.
        weight: of the term in a phase under the ``[training]`` table; 0 where it is no part of it.
        make: builds the term for one hospital's round.
        needs: what the term must be given.
        share: what the term's mean runs over. Of a batch that goes through the network in parts, each part
            counts with its share of these: ``images``, the ``counted`` labels, or the ``open`` ones.
        prefix: of the names of the term's tensors in the hospital's state; empty: the name and a dot.
        ramp: factor of the weight, in [0, 1], after so many rounds of the phase.
        by_image: whether an image's part in the term depends on no other image, so that each patient has a
            gradient of its own.
    """

    name: str
    weight: Callable[[Training, PhaseName], float]
    make: Callable[[TermContext], Term]
    needs: Needs = Needs()
    share: Share = "images"
    prefix: str = ""
    ramp: Callable[[Training, float], float] = full_weight
    by_image: bool = False

    @property
    def state_prefix(self) -> str:
        """The prefix of the term's tensors in the hospital's state."""
        return self.prefix or f"{self.name}."
