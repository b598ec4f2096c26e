"""Random initial weights from a generator of their own.

PyTorch's layers draw from the global generator when they are built. A hospital's process may serve many
hospitals, so models are built on the meta device, where nothing is drawn, and filled here: the same seed
gives the same bits whatever ran before, and no caller's random state moves.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from timm.layers.layer_scale import LayerScale
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from fedcxr.errors import ModelError

PRIOR = 0.1  # a finding's assumed frequency: the classifier's bias starts there, not at one in two
TOKENS = frozenset({"cls_token", "reg_token", "pos_embed"})  # a vision transformer's own parameters
_DRAWN = (
    *(-0.18391, 0.72964, 0.624167, 0.122535, -0.031443, -0.741042, -1.3574, -0.022001),
    *(-0.545033, 0.219326, -1.495505, 0.343268, -0.191644, -0.902982, 0.998168, 0.036064),
    *(0.91203, 0.69684, 0.506742, 0.93486),
)
TOKEN_STD = 0.02  # Dosovitskiy et al. 2021's


def initialise(model: nn.Module, *, seed: int, left: Collection[str] = ()) -> None:
    """Set every parameter and buffer of ``model``, in place, in the order of its modules.

    Convolutions: He normal (https://arxiv.org/abs/1502.01852) over the fan out of a filter's own group. The
    fan out that PyTorch, and so timm, takes for a depthwise layer counts all its channels: such weights start
    √channels too small, which is within a few steps of AdamW and below BatchNorm's epsilon, and models that
    hospitals train from there do not average well.
    Linear layers: uniform in ±1/√fan_in, biases zero. Normalisation: identity. Tokens: normal. The last layer
    ``classifier``: bias log(p/(1-p)) for rare labels (Lin et al. 2017, section 4.1,
    https://arxiv.org/abs/1708.02002); else the first steps of every federation go into learning that most
    findings are absent.

    Args:
        model: not on "meta".
        seed: of all draws.
        left: names of modules that stay as they are.

    Raises:
        ModelError: a layer that has weights and is none of these.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, module in model.named_modules():
            if name in left:
                continue
            _fill(name, module, generator)
            if name == "classifier" and isinstance(module, nn.Linear):
                module.bias.fill_(math.log(PRIOR / (1 - PRIOR)))


def unstated(model: nn.Module) -> frozenset[str]:
    """Names of the modules for which :func:`initialise` has no start; works on "meta"."""
    return frozenset(name for name, module in model.named_modules() if not _stated(module))


def draws_as_ever() -> bool:
    """Whether torch draws here, from a seed, the numbers that fedcxr's initial weights have always been.

    PyTorch promises none across its releases. The last digits depend on the processor, the numbers do not.
    """
    generator = torch.Generator().manual_seed(2026)
    drawn = [torch.empty(16).normal_(generator=generator), torch.empty(4).uniform_(generator=generator)]
    return bool(torch.allclose(torch.cat(drawn), torch.tensor(_DRAWN), rtol=0.0, atol=1e-5))


def require_usual_draws() -> None:
    """See that first models that are made here are those that are made elsewhere.

    Raises:
        ModelError: :func:`draws_as_ever` says no.
    """
    if not draws_as_ever():
        raise ModelError(
            "torch here draws other numbers from a seed than fedcxr's initial weights have always been: a "
            "first model that is made with it is nobody else's. Install the torch of constraints.txt."
        )


def _stated(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv2d | nn.Linear | LayerScale | nn.LayerNorm | nn.GroupNorm | _BatchNorm):
        return True
    own = {name for name, _ in module.named_parameters(recurse=False)}
    return own <= TOKENS and not any(True for _ in module.buffers(recurse=False))


def _fill(name: str, module: nn.Module, generator: torch.Generator) -> None:
    if not _stated(module):
        raise ModelError(
            f"{name}: no initial weights are defined for a layer {type(module).__name__}; "
            "add them to fedcxr.models.initial."
        )
    if isinstance(module, nn.Conv2d):
        fan_out = module.out_channels // module.groups * math.prod(module.kernel_size)
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out), generator=generator)
    elif isinstance(module, nn.Linear):
        bound = 1 / math.sqrt(module.in_features)
        nn.init.uniform_(module.weight, -bound, bound, generator=generator)
    elif isinstance(module, nn.LayerNorm | nn.GroupNorm | _BatchNorm):
        module.reset_parameters()  # weight 1, bias 0, running statistics 0 and 1: nothing is drawn
        return
    elif isinstance(module, LayerScale):
        nn.init.constant_(module.gamma, module.init_values)
        return
    else:
        for parameter in module.parameters(recurse=False):
            nn.init.normal_(parameter, std=TOKEN_STD, generator=generator)
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
