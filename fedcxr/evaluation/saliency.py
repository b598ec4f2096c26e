"""Where a model looks: Grad-CAM, and the model's own attention.

Grad-CAM: Selvaraju et al., "Grad-CAM: Visual explanations from deep networks via gradient-based
localization", ICCV 2017, https://arxiv.org/abs/1610.02391. The last map's channels are weighted by the mean
gradient of the label's logit, added, and cut at zero. It is as coarse as that map: at 64 px a side and a
stride of 32, four places.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fedcxr.config import Config
from fedcxr.data.transforms import normalise, to_float
from fedcxr.evaluation.tracing import attend, trace
from fedcxr.models.runtime import Runtime

Maps = NDArray[np.float32]


class Method(StrEnum):
    """How a map comes about."""

    GRAD_CAM = "grad-cam"
    ATTENTION = "attention"


def saliency(
    model: nn.Module, images: NDArray[np.uint8], labels: Sequence[int], config: Config
) -> dict[Method, Maps]:
    """Maps of n images, each for one label of its own.

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
                attention = attend(model, seen)
            if attention is not None:
                own = attention[torch.arange(len(wanted)), wanted]
                found[Method.ATTENTION].append(_to_unit(own))
    return {method: np.concatenate(maps) for method, maps in found.items() if maps}


def grad_cam(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Grad-CAM of B images, (B, 1, H, W), each for its own label, int64 (B,): float32 (B, H, W), ≥ 0.

    The model's parameters gather no gradient.
    """
    with torch.enable_grad():
        traced = trace(model, images.detach().requires_grad_())
        chosen = traced.logits.gather(1, labels[:, None]).sum()  # images do not meet in eval mode
        (gradients,) = torch.autograd.grad(chosen, traced.features)
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    cam = functional.relu((weights * traced.features.detach()).sum(dim=1, keepdim=True))
    return _enlarge(cam.float(), images.shape[-2:])[:, 0]


def _enlarge(maps: Tensor, size: torch.Size) -> Tensor:
    """Maps (B, 1, h, w) bilinearly at (B, 1, H, W), with nothing beyond the border.

    Repeating the border would make a plateau of every cell at the rim, whose highest place is the image's
    corner; so its peak is in its middle, as everywhere else.
    """
    still = torch.eye(2, 3, dtype=maps.dtype, device=maps.device).expand(len(maps), 2, 3)
    grid = functional.affine_grid(still, [len(maps), 1, *size], align_corners=False)
    return functional.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _to_unit(maps: Tensor) -> Maps:
    highest = maps.amax(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    unit: Maps = (maps / highest).float().cpu().numpy()
    return unit
