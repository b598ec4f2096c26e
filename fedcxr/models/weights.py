"""Weights from a file: an ImageNet checkpoint of the encoder, or a model that fedcxr released."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fedcxr import tensor_file
from fedcxr.errors import ModelError

logger = logging.getLogger(__name__)

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a .safetensors file; of a run's model, with those that the run never trained.

    Raises:
        ModelError: no such file, or not a safetensors file.
    """
    frozen = path.parent.parent / "frozen.safetensors"  # of RUN/models/round-0003.safetensors: RUN's
    try:
        of_a_run = path.parent.name == "models" and frozen.is_file()
        untrained = tensor_file.read(frozen)[0] if of_a_run else {}
        return untrained | tensor_file.read(path)[0]
    except FileNotFoundError:
        raise ModelError(f"model.pretrained = {str(path)!r}: no such file.") from None
    except (ModelError, OSError) as error:
        raise ModelError(f"{path}: not a readable .safetensors file: {error}") from error


class Colours(NamedTuple):
    """What a checkpoint's images were normalised by, channel by channel, in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


OURS = Colours((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""[0, 1] to [−1, 1], as :func:`fedcxr.data.transforms.normalise` does."""


def load_weights(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    source: str,
    dropped: tuple[str, ...] = (),
    colours: Colours = OURS,
) -> None:
    """Copy ``tensors`` into ``model``, in place.

    Names either begin with ``encoder.`` and the heads' names, as in a model that fedcxr released: then the
    heads that it has are loaded too, and those that it has not, as it was a simpler model, keep their random
    start, which the log says. Or they are the encoder's own, as in an ImageNet checkpoint: then heads keep
    their random start, names that begin with one of ``dropped`` (a classifier of other classes) are left out,
    and a stem of three channels becomes one, which answers a grey image as we normalise it as the old stem
    answered R = G = B under ``colours``. Only what lies beyond the image's border is another grey: 0.5 where
    it was their mean.

    Running statistics are left out where the model has none (GroupNorm), and counters may be missing.

    Raises:
        ModelError: names each tensor that is missing, unknown or of another shape.
    """
    own = model.state_dict()
    released = any(name.startswith("encoder.") for name in tensors)
    incoming: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not released and name.startswith(dropped):
            continue
        place = name if released else f"encoder.{name}"
        if place not in own and place.endswith(STATISTICS):
            continue
        incoming[place] = tensor
    _make_grey(incoming, own, colours)
    known = {_part(name) for name in incoming}
    absent = sorted({_part(name) for name in own} - known) if released else []
    wanted = [name for name in own if (released and _part(name) in known) or name.startswith("encoder.")]
    _check(own, wanted, incoming, source)
    if absent:
        logger.info("%s has no %s: they start at random", source, ", ".join(absent))
    model.load_state_dict(incoming, strict=False)


def _part(name: str) -> str:
    """The part of a model that a tensor belongs to: the encoder, or a head, such as ``scales.attention``."""
    first, *rest = name.split(".")
    return f"{first}.{rest[0]}" if first == "scales" else first


def _make_grey(incoming: dict[str, Tensor], own: Mapping[str, Tensor], colours: Colours) -> None:
    """Turn an RGB stem (C, 3, k, k) into (C, 1, k, k), where the model's stem has one channel.

    Our value u of a pixel is theirs in channel c as (u / 2 + 1/2 − mean_c) / std_c. The factor goes into the
    kernels; what is added goes into the stem's bias, or else into the running mean of the norm that follows.
    """
    for stem, wanted in own.items():
        kernels = incoming.get(stem)
        if kernels is None or not (wanted.ndim == kernels.ndim == 4):
            continue
        if (wanted.shape[1], kernels.shape[1]) != (1, 3):
            continue
        std = torch.tensor(colours.std)
        added = (0.5 - torch.tensor(colours.mean)) / std
        incoming[stem] = (kernels.float() / (2.0 * std)[:, None, None]).sum(dim=1, keepdim=True)
        shift = (kernels.float().sum(dim=(2, 3)) * added).sum(dim=1)
        if (bias := stem.removesuffix("weight") + "bias") in incoming:
            incoming[bias] = incoming[bias].float() + shift
        elif (mean := _next_mean(stem, own)) in incoming:
            incoming[mean] = incoming[mean].float() - shift
        return


def _next_mean(stem: str, own: Mapping[str, Tensor]) -> str:
    """The running mean of the first norm after the stem; empty where norms have no statistics."""
    names = list(own)  # in the order of the modules, which a file's is not
    later = names[names.index(stem) :]
    return next((name for name in later if name.endswith("running_mean")), "")


def _check(own: Mapping[str, Tensor], wanted: list[str], incoming: Mapping[str, Tensor], source: str) -> None:
    faults = [
        f"{name} is missing"
        for name in wanted
        if name not in incoming and not name.endswith("num_batches_tracked")
    ]
    for name, tensor in incoming.items():
        if name not in own:
            faults.append(f"{name} is unknown to the model")
        elif tensor.shape != own[name].shape:
            faults.append(f"{name} has shape {tuple(tensor.shape)} where {tuple(own[name].shape)} is wanted")
    if faults:
        shown = "; ".join(faults[:8]) + (f"; and {len(faults) - 8} more" if len(faults) > 8 else "")
        raise ModelError(f"{source}: the weights do not fit the model: {shown}.")
