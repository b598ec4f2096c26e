"""The momentum network: a slow average of the student, which gives pseudo labels, keys and targets.

One such network serves all that want one: the teacher of pseudo labels (A. Tarvainen and H. Valpola, "Mean
teachers are better role models", NIPS 2017, https://arxiv.org/abs/1703.01780), MoCo's key encoder and BYOL's
target. It belongs to one hospital, is never shared, and goes on from round to round.

Normalisation statistics are averaged like weights and used as they are (EMAN, Z. Cai et al., CVPR 2021,
https://arxiv.org/abs/2101.08482): so an image's target does not depend on its batch, and no key can be told
by the batch that it came with, against which MoCo shuffles BatchNorm. A teacher that begins anew needs
statistics to begin with: those of random weights (0 and 1) would let it say nearly the same of all images,
and the student would follow it there.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from fedcxr.errors import StoreError
from fedcxr.models.network import ModelOutput
from fedcxr.training.state_tensors import StateTensors, below

PREFIX = "teacher."
_STEPS = "steps"


class Teacher:
    """A second copy of the model, in evaluation mode and without gradients."""

    def __init__(self, student: nn.Module, *, momentum: float, state: StateTensors) -> None:
        """Go on from the hospital's state of its last round, or begin as a copy of the student.

        Args:
            student: where it runs; the teacher stays on its device and in its memory format.
            momentum: of the average, a step; in the first steps less, so that it forgets where it began
                (a plain mean of the students so far, as in Mean Teacher's own code).
            state: the hospital's.

        Raises:
            StoreError: the momentum network in ``state`` is of another model.
        """
        self.model = copy.deepcopy(student).eval().requires_grad_(False)
        self.momentum = momentum
        self.steps = 0
        self.fresh = True
        self._student = student
        if own := below(state, PREFIX):
            self.steps, self.fresh = int(own.pop(_STEPS)), False
            self._load(own)

    def __call__(self, images: Tensor, *, project: bool) -> ModelOutput:
        """Return the network's output for (N, 1, S, S) images, detached."""
        with torch.no_grad():
            output: ModelOutput = self.model(images, project=project)
        return output

    @torch.no_grad()
    def initialise_statistics(self, images: Tensor) -> None:
        """Give student and teacher the normalisation statistics of these images, where the teacher is new.

        Only the first call does anything; it costs one forward pass in a hospital's first round. Layers that
        do not train keep what they have, and so do those that have seen images before.
        """
        if not self.fresh:
            return
        self.fresh = False
        norms = (m for m in self._student.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))
        layers = [layer for layer in norms if layer.training and _has_seen_nothing(layer)]
        if not layers:
            return
        momenta = [layer.momentum for layer in layers]
        for layer in layers:
            layer.momentum = 1.0  # the batch's own, without what was there
        self._student(images, project=False)
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        own, students = _floats(self.model), _floats(self._student)
        for name, tensor in own.items():
            tensor.copy_(students[name])

    @torch.no_grad()
    def update(self) -> None:
        """Move the network towards the student, after one of its steps; all tensors in one fused pass."""
        self.steps += 1
        momentum = min(1.0 - 1.0 / (self.steps + 1), self.momentum)
        own, students = _floats(self.model), _floats(self._student)
        torch._foreach_lerp_(list(own.values()), [students[name] for name in own], 1.0 - momentum)

    def state(self) -> StateTensors:
        """Return what the hospital keeps of the network for its next round, on the CPU."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in _floats(self.model).items()}
        state = {**tensors, _STEPS: torch.tensor(self.steps)}
        return {PREFIX + name: tensor.clone() for name, tensor in state.items()}

    def _load(self, tensors: StateTensors) -> None:
        own = _floats(self.model)
        if {n: t.shape for n, t in own.items()} != {n: t.shape for n, t in tensors.items()}:
            raise StoreError("the momentum network that was kept is of another model; remove its state file.")
        with torch.no_grad():
            for name, tensor in tensors.items():
                own[name].copy_(tensor)


def _has_seen_nothing(layer: nn.modules.batchnorm._BatchNorm) -> bool:
    """Whether its running statistics are those that it was created with."""
    mean, variance = layer.running_mean, layer.running_var
    return mean is not None and variance is not None and not mean.any() and bool((variance == 1.0).all())


def _floats(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and statistics; counters are not averaged."""
    state = cast("dict[str, Tensor]", model.state_dict(keep_vars=True))
    return {name: tensor.data for name, tensor in state.items() if tensor.is_floating_point()}
