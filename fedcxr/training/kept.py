"""What a hospital keeps between rounds: tensors by name, which never leave it.

The names say whose they are: ``teacher.`` the momentum network's, ``self_supervised.`` the queue's and the
extra heads', ``label_loss.`` the running class means, ``local.`` the normalisation tensors' that do not
travel. A round starts from what the round before it left, and changes nothing there: so a round that is
trained again gives the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

Kept = dict[str, Tensor]

LOCAL = "local."
"""Of a model's own tensors that stay at the hospital (``model.norm = "local"``)."""


def below(kept: Mapping[str, Tensor], prefix: str) -> Kept:
    """The tensors whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in kept.items() if name.startswith(prefix)}
