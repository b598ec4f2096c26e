"""The tensors of a hospital's state: what it keeps on its own disk from one round to the next.

Each tensor has a name whose prefix says whose it is: ``teacher.`` belongs to the momentum network, ``local.``
to the normalisation layers that are not shared, and a training term has the prefix that its declaration
gives. A round starts from what the round before it left, and changes nothing there: so a round that is
trained again gives the same bits. :mod:`fedcxr.store.hospital_state` writes the files.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

StateTensors = dict[str, Tensor]
"""The tensors of a hospital's state by name, on the CPU."""

LOCAL = "local."
"""The prefix of the model's own tensors that are not shared (``model.norm = "local"``)."""


def below(state: Mapping[str, Tensor], prefix: str) -> StateTensors:
    """Return the tensors whose names begin with ``prefix``, under their names without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def copy_of(module: nn.Module, prefix: str) -> StateTensors:
    """Return a copy of a module's state on the CPU, each name with ``prefix`` before it."""
    state = module.state_dict().items()
    return {prefix + name: tensor.detach().cpu().contiguous().clone() for name, tensor in state}
