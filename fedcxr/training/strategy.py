"""Fine-tuning strategies: which of a model's tensors a round trains, and so which a federation shares.

As compared by A. Davila, J. Colan and Y. Hasegawa, "Comparison of fine-tuning strategies for transfer
learning in medical image classification", 2024, https://arxiv.org/abs/2406.10050:

- ``full``: everything, in every round.
- ``probe``: the linear layers that make logits of features; all that makes the features stays as it was
  created, and so does a projection that no term compares.
- ``gradual``: from the heads down; in round i of n the last ⌈i·K/n⌉ of the K units, so that the last round
  trains all.
- ``auto_rgn``: everything, each unit at a rate of its own (:mod:`fedcxr.training.relative_gradients`).
- ``selective``: what ``training.train`` names.

Pretraining rounds train everything: the strategies are for what comes after. A frozen BatchNorm uses its
running statistics and does not move them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase

from torch import nn

from fedcxr.config import Config
from fedcxr.errors import ConfigError
from fedcxr.training.phases import Phase

HEAD = "heads"
"""The unit of everything that is not the encoder's."""
LINEAR = ("classifier.", "scales.evidence.")
"""The layers whose outputs are added to be the logits."""
DECODER = tuple(f"{stream}.{part}." for stream in ("encoder", "autoencoder") for part in ("up", "draw"))
"""What an autoencoder has for its reconstruction alone."""


def unit_of(name: str) -> str:
    """The unit that a tensor belongs to: a block of the encoder, or the heads.

    A block is named by the first part of the tensor's name with a number in it, as the encoders number their
    blocks and stages: ``encoder.block12.rep.0.weight`` is of ``encoder.block12``.
    """
    parts = name.split(".")
    if parts[0] != "encoder":
        return HEAD
    for place, part in enumerate(parts):
        if re.search(r"\d", part):
            return ".".join(parts[: place + 1])
    return ".".join(parts[:-1])


def units(model: nn.Module) -> list[str]:
    """The units of a model, from the image to the heads, which come last."""
    found = dict.fromkeys(unit_of(name) for name in model.state_dict())
    return [name for name in found if name != HEAD] + [HEAD] * (HEAD in found)


def trained_names(model: nn.Module, config: Config, round_index: int) -> frozenset[str]:
    """Names of the state's tensors that a round trains, statistics with the layer that they belong to.

    Raises:
        ConfigError: a pattern of ``training.train`` matches no tensor, or all of them together name nothing
            that this round could train.
    """
    names = list(model.state_dict())
    phase, training = Phase.of(config, round_index), config.training
    if phase.name == "pretraining" or training.strategy in ("full", "auto_rgn"):
        return frozenset(names)
    if training.strategy == "probe":
        moving = (*LINEAR, "projection.") if phase.needs.projection else LINEAR
        return frozenset(n for n in names if n.startswith(moving))
    if training.strategy == "selective":
        selected = frozenset(_selected(names, training.train))
        if not any(name in selected and learns(name, phase) for name, _ in model.named_parameters()):
            raise ConfigError(
                f"training.train = {list(training.train)}: no loss of round {round_index} reaches any of "
                "these tensors: statistics are no parameters, a projection is trained by contrast alone, and "
                "a decoder by training.reconstruction_weight."
            )
        return selected
    order = units(model)
    count = math.ceil(len(order) * (round_index - phase.start) / phase.rounds)
    return frozenset(n for n in names if unit_of(n) in order[-count:])


def ever_trained(model: nn.Module, config: Config) -> frozenset[str]:
    """Names of the tensors that some round of the federation trains."""
    rounds = range(1, config.federation.rounds + 1)
    return frozenset().union(*(trained_names(model, config, number) for number in rounds))


@contextmanager
def training_only(model: nn.Module, names: frozenset[str]) -> Iterator[None]:
    """``model`` in train mode with the tensors of ``names`` trainable, and all others still; put back after.

    What was still before (``requires_grad`` false) stays so.
    """
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    model.train()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(before[name] and name in names)
    for prefix, module in model.named_modules():
        own = {f"{prefix}.{name}" for name, _ in module.named_buffers(recurse=False)}
        if own and not own & names:
            module.eval()  # its statistics are of the encoder as it was created
    try:
        yield
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(before[name])


def learns(parameter: str, phase: Phase) -> bool:
    """Whether a loss of the phase depends on a parameter."""
    if parameter.startswith("projection."):
        return phase.needs.projection
    return phase.needs.reconstruction or not parameter.startswith(DECODER)


def _selected(names: list[str], patterns: tuple[str, ...]) -> Iterator[str]:
    for pattern in patterns:
        found = [n for n in names if fnmatchcase(n, pattern) or n.startswith(pattern + ".")]
        if not found:
            modules = sorted({unit_of(name) if name.startswith("encoder.") else name for name in names})
            raise ConfigError(
                f"training.train: {pattern!r} matches no tensor of the model; it has {', '.join(modules)}."
            )
        yield from found
