"""The joint objective of one hospital in one round: its terms, weighed and added.

One backbone pass of the student sees all views of a batch, and every term is computed from its output. Where
a term asks a momentum network, that makes a pass of its own, without gradients: over the views where their
projections are compared, else over the images as they are. The phase (:mod:`fedcxr.training.phases`) knows
which terms there are and what they need; here no term has a name.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.models.network import ModelOutput
from fedcxr.models.runtime import Runtime
from fedcxr.training.objectives.term import TeacherNeed, Term, TermContext, TermInput, TermSpec
from fedcxr.training.phases import Phase
from fedcxr.training.preparation import Ready
from fedcxr.training.state_tensors import StateTensors, below
from fedcxr.training.teacher import Teacher


class Objective:
    """What is minimised, with the networks and memories that this takes beside the model.

    Attributes:
        teacher: the momentum network; None where no term asks it.
    """

    def __init__(
        self,
        model: nn.Module,
        examples: Examples,
        *,
        config: Config,
        phase: Phase,
        runtime: Runtime,
        state: StateTensors,
    ) -> None:
        """Build the terms of a phase.

        Args:
            model: with the weights that the round begins with, where it runs.
            examples: all that the round trains on.
            config: resolved (nothing "auto").
            phase: the round's.
            runtime: where and how the model runs.
            state: the hospital's, of its last round; it is not changed.

        Raises:
            StoreError: the momentum network in ``state`` is of another model.
        """
        self._phase, self._runtime, self._training = phase, runtime, config.training
        self._forward = torch.compile(model) if config.training.compile else model
        base = _trainable(model) if phase.needs.base else {}

        def make(term: TermSpec) -> Term:
            own = {name: t.to(runtime.device) for name, t in below(state, term.state_prefix).items()}
            return term.make(TermContext(config, examples, runtime.device, own, model, base))

        self._terms = {term: make(term) for term in phase.terms}
        self.teacher: Teacher | None = None
        if phase.needs.teacher is not TeacherNeed.NONE:
            self.teacher = Teacher(model, momentum=config.training.teacher_momentum, state=state)

    def parameters(self) -> Iterator[nn.Parameter]:
        """What is trained beside the model, and stays at the hospital."""
        for term in self._terms.values():
            yield from term.parameters()

    def backward(self, batch: list[Ready], progress: float) -> dict[str, Tensor]:
        """Add a batch's gradient to the parameters'; return the batch's terms, unweighted and detached.

        The parts of a batch go through the network one after the other. Terms that are means over labels add
        up to the whole batch's; those that compare images compare the images of one part.

        Args:
            batch: its parts.
            progress: rounds since the phase began, for the ramps of the terms.

        Returns:
            Each term's value by its name, a scalar, and ``joint``: the weighted sum.
        """
        if self.teacher is not None:
            with self._runtime.autocast():
                self.teacher.initialise_statistics(batch[0].views)
        weights = {t.name: w * t.ramp(self._training, progress) for t, w in self._phase.terms.items()}
        totals: dict[str, Tensor] = {}
        for part in batch:
            seen = self._see(part)
            terms = {term.name: compute(seen) for term, compute in self._terms.items()}
            shares = {term.name: part.share[term.share] for term in self._terms}
            joint = sum((weights[n] * shares[n] * term for n, term in terms.items()), start=torch.tensor(0.0))
            if joint.requires_grad:
                torch.autograd.backward(joint)
            for name, term in terms.items():
                totals[name] = totals.get(name, 0.0) + shares[name] * term.detach()
        totals["joint"] = torch.stack([weights[name] * term for name, term in totals.items()]).sum()
        for computed in self._terms.values():
            computed.end_batch()
        return totals

    def update_teacher(self) -> None:
        """Move the momentum network towards the student, after one of the student's steps."""
        if self.teacher is not None:
            self.teacher.update()

    def state(self) -> StateTensors:
        """What the hospital keeps of the terms and of the momentum network for its next round."""
        state: StateTensors = {}
        for term, computed in self._terms.items():
            state |= {term.state_prefix + name: tensor for name, tensor in computed.state().items()}
        return state if self.teacher is None else {**state, **self.teacher.state()}

    def _see(self, part: Ready) -> TermInput:
        """Both networks' passes over one part."""
        needs = self._phase.needs
        with self._runtime.autocast():
            student = self._forward(part.views, project=needs.projection, reconstruct=needs.reconstruction)
            taught: ModelOutput | None = None
            if self.teacher is not None:
                images = part.views if part.clean is None else part.clean
                taught = self.teacher(images, project=needs.teacher is TeacherNeed.PROJECTIONS)
        return TermInput(part, student, taught)


def _trainable(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the parameters that the round trains, by name."""
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
