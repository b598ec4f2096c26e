"""The joint objective of one hospital in one round: its terms, weighed and added.

One backbone pass of the student sees all views of a batch, and every term is computed from its output. Where
a term wants a momentum network, that makes a pass of its own, without gradients: over the views where their
projections are compared, else over the images as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.models.runtime import Runtime
from fedcxr.training.kept import Kept
from fedcxr.training.label_loss import PREFIX as LABEL_PREFIX
from fedcxr.training.label_loss import make_label_loss
from fedcxr.training.loader import Ready
from fedcxr.training.objectives.consistency import ramp_up
from fedcxr.training.objectives.reconstruction import reconstruction_error
from fedcxr.training.objectives.supervised import supervised_contrastive
from fedcxr.training.phases import Phase
from fedcxr.training.pseudo_labels import PseudoLabels
from fedcxr.training.self_supervised import PREFIX, Projections, SelfSupervised, make_self_supervised
from fedcxr.training.teacher import Teacher

_SHARES = {"bce": "counted", "consistency": "open"}  # what a term's mean runs over, where not images


class Objective:
    """What is minimised, with the networks and memories that this takes beside the model."""

    def __init__(
        self,
        model: nn.Module,
        examples: Examples,
        *,
        config: Config,
        phase: Phase,
        runtime: Runtime,
        kept: Kept,
    ) -> None:
        """``model`` is where it runs; ``examples`` are all that the round trains on, ``kept`` is what the
        hospital kept of its last one."""
        training = config.training
        self.model, self.training, self.phase, self._runtime = model, training, phase, runtime
        self._forward = torch.compile(model) if training.compile else model
        self._label_loss = make_label_loss(config, examples, kept, runtime.device) if phase.labels else None
        self._pseudo_labels = PseudoLabels(config, examples, runtime.device)
        self._contrast: SelfSupervised | None = None
        if training.self_supervised in phase.weights:
            self._contrast = make_self_supervised(config, kept, runtime.device)
        self.teacher: Teacher | None = None
        if self._keys or "consistency" in phase.weights:
            self.teacher = Teacher(model, momentum=training.teacher_momentum, kept=kept)

    @property
    def wants_clean(self) -> bool:
        """Whether batches must have the images without augmentation too."""
        return self.teacher is not None and not self._keys

    @property
    def _keys(self) -> bool:
        return self._contrast is not None and self._contrast.wants_teacher

    def heads(self) -> Iterator[nn.Parameter]:
        """What is trained beside the model, and stays at the hospital."""
        if self._contrast is not None:
            yield from self._contrast.heads.parameters()

    def backward(self, batch: list[Ready], progress: float) -> dict[str, Tensor]:
        """Add a batch's gradient to the parameters'; return the batch's terms, unweighted and detached.

        The parts of a batch go through the network one after the other. Terms that are means over labels add
        up to the whole batch's; those that compare images compare the images of one part.

        Args:
            batch: its parts.
            progress: rounds since the phase began, for the ramp of the pseudo labels.
        """
        if self.teacher is not None:
            with self._runtime.autocast():
                self.teacher.settle(batch[0].views)
        totals: dict[str, Tensor] = {}
        for part in batch:
            terms = self._terms(part)
            shares = {name: part.share[_SHARES.get(name, "images")] for name in terms}
            weights = {name: self._weight(name, progress) for name in terms}
            joint = sum((weights[n] * shares[n] * term for n, term in terms.items()), start=torch.tensor(0.0))
            if joint.requires_grad:
                torch.autograd.backward(joint)
            for name, term in terms.items():
                totals[name] = totals.get(name, 0.0) + shares[name] * term.detach()
        totals["joint"] = torch.stack(
            [self._weight(name, progress) * term for name, term in totals.items()]
        ).sum()
        if self._label_loss is not None:
            self._label_loss.step()
        return totals

    def follow(self) -> None:
        """Let the momentum network follow the student, after one of its steps."""
        if self.teacher is not None:
            self.teacher.follow()

    def keep(self) -> Kept:
        """What the hospital keeps for its next round."""
        kept: Kept = {}
        for prefix, term in ((PREFIX, self._contrast), (LABEL_PREFIX, self._label_loss)):
            if term is not None:
                kept |= {prefix + name: tensor for name, tensor in term.keep().items()}
        return kept if self.teacher is None else {**kept, **self.teacher.keep()}

    def _weight(self, name: str, progress: float) -> float:
        weight = self.phase.weights[name]
        if name == "consistency":
            weight *= ramp_up(progress, self.training.consistency_rampup)
        return weight

    def _terms(self, part: Ready) -> dict[str, Tensor]:
        """Each term of one part, a scalar."""
        training, wanted, views = self.training, self.phase.weights, self.phase.views
        with self._runtime.autocast():
            output = self._forward(
                part.views, project=self.phase.projects, reconstruct="reconstruction" in wanted
            )
        targets, mask = part.targets.repeat(views, 1), part.mask.repeat(views, 1)
        terms: dict[str, Tensor] = {}
        if self._label_loss is not None:
            counted = part.counted.repeat(views, 1)
            terms[training.label_loss] = self._label_loss(output.logits, targets, counted)
        taught = self._ask_teacher(part)
        if self._contrast is not None:
            keys = taught.projection if self._keys else None
            seen = Projections(output.projection, keys, part.groups, part.owners)
            terms[training.self_supervised] = self._contrast(seen)
        if "supervised" in wanted:
            terms["supervised"] = supervised_contrastive(
                output.projection, targets, mask, training.temperature
            )
        if "consistency" in wanted:
            terms["consistency"] = self._pseudo_labels(output.logits, taught.logits, part)
        if "reconstruction" in wanted:
            terms["reconstruction"] = reconstruction_error(output.reconstruction, part.views)
        return terms

    def _ask_teacher(self, part: Ready) -> Any:
        if self.teacher is None:
            return None
        images = part.views if part.clean is None else part.clean
        with self._runtime.autocast():
            return self.teacher(images, project=self._keys)
