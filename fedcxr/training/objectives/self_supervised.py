"""What the self-supervised terms have in common: one weight, one place in the state, and heads of their own.

``training.self_supervised`` names one of SimCLR's, MoCo's, BYOL's and SwAV's terms; each compares the
projections of two views of a batch. What it needs beside the model (MoCo's queue, BYOL's predictor, SwAV's
prototypes) stays at the hospital: inference has no use for it, a predictor or a prototype says something
about one hospital's batches only, and averaging them would add bytes to every update. All hospitals start
from the same heads.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from fedcxr.config import Config, Training
from fedcxr.seeds import derive_seed
from fedcxr.training.objectives.term import Needs, PhaseName, TeacherNeed, Term, TermContext, TermSpec
from fedcxr.training.state_tensors import StateTensors, below, copy_of

_HEADS = "heads."


def declare(
    scheme: str, make: Callable[[TermContext], Term], *, teacher: TeacherNeed = TeacherNeed.NONE
) -> TermSpec:
    """Declare the term of one scheme, which compares the projections of two views of every image.

    Its weight is ``contrastive_weight`` where the configuration names the scheme; with
    ``training.joint = false`` it has its part in the pretraining rounds only. All schemes have one prefix in
    the hospital's state, as a federation has one of them at most.

    Args:
        scheme: the value of ``training.self_supervised``, and the term's name.
        make: builds the term.
        teacher: what it asks of the momentum network.
    """

    def weight(training: Training, phase: PhaseName) -> float:
        takes_part = training.self_supervised == scheme and (phase == "pretraining" or training.joint)
        return training.contrastive_weight if takes_part else 0.0

    needs = Needs(views=2, projection=True, teacher=teacher, unlabelled=True)
    return TermSpec(scheme, weight, make, needs=needs, prefix="self_supervised.")


def heads_generator(config: Config) -> torch.Generator:
    """Return the generator of the heads' first weights, the same at every hospital."""
    return torch.Generator().manual_seed(derive_seed(config.seed, "self-supervised heads"))


def linear(inputs: int, outputs: int, generator: torch.Generator, *, bias: bool = True) -> nn.Linear:
    """Make a linear layer that starts as the model's own do (:mod:`fedcxr.models.initial`).

    Nothing is drawn from the global generator.
    """
    layer = nn.Linear(inputs, outputs, bias=bias, device="meta").to_empty(device="cpu")
    bound = inputs**-0.5
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        if bias:
            layer.bias.zero_()
    return layer


def restore_heads(heads: nn.Module, state: StateTensors) -> None:
    """Load a term's heads from its state of the last round; without any, they stay as they start."""
    if tensors := below(state, _HEADS):
        heads.load_state_dict(tensors)


def heads_state(heads: nn.Module) -> StateTensors:
    """Return the state of a term's heads under the names that :func:`restore_heads` reads."""
    return copy_of(heads, _HEADS)
