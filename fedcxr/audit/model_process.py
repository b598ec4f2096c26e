"""The process that makes a first model; :mod:`fedcxr.audit.model_maker` starts it and says why it is there.

It reads one order, answers and ends. It ends, too, when nobody is there to read the answer.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Mapping
from contextlib import suppress
from io import BufferedIOBase
from pathlib import Path
from typing import cast

import numpy as np
from torch import Tensor

from fedcxr.audit.model_order import MadeModel, Order, order_from, write_made
from fedcxr.errors import FedcxrError, ModelError
from fedcxr.models.initial import draws_as_ever
from fedcxr.models.registry import count_values
from fedcxr.models.weights import read_weights
from fedcxr.training.first_model import FirstModel, read_weights_data, weights_digest
from fedcxr.update.layout import MOST_VALUES

LONGEST_WORK = 600
"""Seconds of the processor; our largest model takes five, and most of them to load torch."""

_SLACK = 1 << 30  # bytes beside the copies of the values
_COPIES = 6  # of the values: the model, its pretrained weights as bytes and as tensors, the vector, and spare


def main() -> None:
    """Answer on standard output, where nobody else may write."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit(resource.RLIMIT_CPU, LONGEST_WORK)
    order = order_from(cast(BufferedIOBase, sys.stdin.buffer))
    try:
        _limit_memory(_SLACK)
        values = count_values(order.config.model)
        _limit_memory(_SLACK + 4 * _COPIES * min(values, MOST_VALUES))
        made: MadeModel | str = make(order)
    except Exception as error:  # whatever a foreign configuration makes of timm and torch
        made = str(error) if isinstance(error, FedcxrError | OSError) else f"{type(error).__name__}: {error}"
    with suppress(BrokenPipeError):
        write_made(made, out)
        out.flush()
    os._exit(0)  # torch takes a while to take itself apart


def make(order: Order) -> MadeModel:
    """Make a first model.

    Raises:
        FedcxrError: it cannot be made from this configuration and these weights.
        OSError, RuntimeError: it cannot be made here.
    """
    if (values := count_values(order.config.model)) > MOST_VALUES:
        raise ModelError(f"a model of {values:,} values, where at most {MOST_VALUES:,} are made")
    made = FirstModel.of(order.config, _weights(order))
    frozen = np.empty(0, np.float32) if made.layout.frozen == order.frozen else made.frozen
    return MadeModel(made.layout, made.vector, frozen, draws_as_ever())


def _weights(order: Order) -> Mapping[str, Tensor] | None:
    """The pretrained weights that the model is made of; None where it is made of none.

    Raises:
        ModelError: they cannot be read, or are not those of the configuration.
    """
    if order.file is None:
        return read_weights_data(order.weights) if order.weights else None
    tensors, named = read_weights(order.file), order.config.model.pretrained_digest
    if named and (found := weights_digest(tensors)) != named:
        raise ModelError(f"--pretrained {order.file}: {found}, and the configuration names {named}")
    return tensors


def _limit_memory(more: int) -> None:
    """Have no more than so many bytes beside those in use, where the system says how many these are."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[5])
    except OSError:
        return
    _limit(resource.RLIMIT_DATA, pages * resource.getpagesize() + more)


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
