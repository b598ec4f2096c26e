"""Gradient checkpointing: a block's activations are computed again when its gradient is due, and not kept.

T. Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016, https://arxiv.org/abs/1604.06174, by
``torch.utils.checkpoint``. A block that is run again would move its BatchNorms' running statistics again;
here the second run uses the batch's statistics and leaves the running ones as they are, so that a step gives
the same bits with and without.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from fedcxr.errors import ConfigError


def checkpoint_blocks(encoder: nn.Module) -> None:
    """Have every block of ``encoder`` checkpointed where gradients are wanted, in place.

    A block is a child module that is made of others; lists and plain sequences of blocks are looked into.
    Its class becomes a subclass of itself, so that names of tensors stay what they are.

    Raises:
        ConfigError: there is no block.
    """
    blocks = list(_blocks(encoder))
    if not blocks:
        raise ConfigError(
            f"model.checkpointing: {type(encoder).__name__} is a sequence of single layers, without blocks "
            "to compute again: set it to false, or choose another model.encoder."
        )
    for block in blocks:
        kind: Any = type(block)
        block.__class__ = _checkpointed(kind)


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if type(child) in (nn.Sequential, nn.ModuleList):
            yield from _blocks(child)
        elif any(True for _ in child.children()) and any(True for _ in child.parameters()):
            yield child


@cache
def _checkpointed(kind: Any) -> type[nn.Module]:
    """The subclass of a block's class whose forward pass is checkpointed."""

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        run = partial(kind.forward, self)
        if not torch.is_grad_enabled():
            return run(*args, **kwargs)
        return checkpoint(run, *args, use_reentrant=False, context_fn=lambda: _runs(self), **kwargs)

    return type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})


def _runs(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """What the first run of a block happens in, and the second."""
    return nullcontext(), _statistics_at_rest(block)


@contextmanager
def _statistics_at_rest(block: nn.Module) -> Iterator[None]:
    """Running statistics and counters of ``block`` end as they begin.

    A momentum of 0 leaves 1 · old + 0 · new, which is old, bit for bit.
    """
    layers = [layer for layer in block.modules() if isinstance(layer, _BatchNorm) and layer.training]
    before = [(layer.momentum, layer.num_batches_tracked) for layer in layers]
    for layer in layers:
        layer.momentum, layer.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for layer, (momentum, count) in zip(layers, before, strict=True):
            layer.momentum, layer.num_batches_tracked = momentum, count
