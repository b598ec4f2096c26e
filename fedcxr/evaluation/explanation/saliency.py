"""Saliency maps of a model: Grad-CAM, and the model's own attention.

Grad-CAM: Selvaraju et al., "Grad-CAM: Visual explanations from deep networks via gradient-based
localization", ICCV 2017, https://arxiv.org/abs/1610.02391. The last map's channels are weighted by the mean
gradient of the label's logit, added, and cut at zero; with conditional labels of the log-probability, in
which the parent has its part. It is as coarse as that map: at 64 px a side and a stride of 32, four places.
Of a dual stream it shows the transfer stream; what the autoencoder adds has no map here.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fedcxr.config import Config
from fedcxr.data.transforms import normalise, to_float
from fedcxr.errors import ModelError
from fedcxr.models.attention import enlarge
from fedcxr.models.hierarchy import log_probabilities
from fedcxr.models.network import Network
from fedcxr.models.runtime import Runtime

Maps = NDArray[np.float32]

_SIDE = 2  # positions a side below which a map shows no place


class Method(StrEnum):
    """The methods that make a saliency map."""

    GRAD_CAM = "grad-cam"
    ATTENTION = "attention"


def saliency(
    model: Network, images: NDArray[np.uint8], labels: Sequence[int], config: Config
) -> dict[Method, Maps]:
    """Make the saliency maps of n images, each for one label of its own.

    In float32, so that gradients are exact; one batch is held at once.

    Args:
        model: of the registry; on return where it was and in its former mode.
        images: uint8, shape (n, S, S).
        labels: n columns of :data:`~fedcxr.data.labels.LABELS`.
        config: resolved.

    Returns:
        By method, float32 (n, S, S), each map's highest value 1 (0 where a map is empty); attention only of
        a model that has it.

    Raises:
        ModelError: the model has no map to look at.
    """
    runtime = Runtime.from_config(config.training)
    size = min(config.evaluation.batch_size, 32)  # gradients keep every map of the network
    found: dict[Method, list[Maps]] = {method: [] for method in Method}
    with runtime.settings(), runtime.hosting(model):
        model.eval()
        for start in range(0, len(images), size):
            seen = normalise(runtime.to_device(to_float(images[start : start + size])))
            seen = seen.contiguous(memory_format=runtime.memory_format)
            wanted = torch.as_tensor(labels[start : start + size], device=seen.device)
            found[Method.GRAD_CAM].append(_to_unit(grad_cam(model, seen, wanted)))
            with torch.no_grad():
                attended = model.attend(seen)
            if attended is not None:
                own = attended.maps[torch.arange(len(wanted)), wanted]
                found[Method.ATTENTION].append(_to_unit(own))
    return {method: np.concatenate(maps) for method, maps in found.items() if maps}


def grad_cam(model: Network, images: Tensor, labels: Tensor) -> Tensor:
    """Grad-CAM of B images, (B, 1, H, W), each for its own label, int64 (B,): float32 (B, H, W), ≥ 0.

    The model's parameters gather no gradient.

    Raises:
        ModelError: the model's last map has one position only.
    """
    with torch.enable_grad():
        traced = model.trace(images.detach().requires_grad_(), project=False)
        if min(traced.features.shape[2:]) < _SIDE:
            raise ModelError(
                f"{type(model).__name__} has no map of {_SIDE} x {_SIDE} positions for images of "
                f"{images.shape[-1]} px: larger images (data.size) would have one."
            )
        logits = traced.output.logits
        said = log_probabilities(logits) if model.labels == "conditional" else logits
        chosen = said.gather(1, labels[:, None]).sum()  # images do not meet in eval mode
        (gradients,) = torch.autograd.grad(chosen, traced.features)
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    cam = functional.relu((weights * traced.features.detach()).sum(dim=1, keepdim=True))
    return enlarge(cam.float(), images.shape[-2:])[:, 0]


def positions(model: Network, size: int) -> tuple[int, int]:
    """The number of positions of Grad-CAM's map, down and across, for images of ``size`` px a side."""
    was = model.training
    with torch.no_grad():
        features = model.eval().trace(torch.zeros(1, 1, size, size), project=False).features
    model.train(was)
    down, across = features.shape[2:]
    return down, across


def _to_unit(maps: Tensor) -> Maps:
    highest = maps.amax(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    unit: Maps = (maps / highest).float().cpu().numpy()
    return unit
