"""One network a process: kept between the messages of hospitals, and handed out as if it were new.

Making a network costs more than loading weights into it. What a round starts from overwrites every shared
tensor; everything else that training may have moved (a hospital's own normalisation, statistics of layers
that stand still, counters, gradients) is put back to what it was when the network was made. So nothing of
one hospital reaches the next one, and the bits are those of a network that was made for the purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import torch
from torch import Tensor, nn

from fedcxr.config import Config
from fedcxr.models.network import Network
from fedcxr.training.first_model import FirstModel
from fedcxr.update.layout import Layout


@dataclass(frozen=True)
class _Kept:
    """A network that nobody has at the moment, with what it takes to make it new again."""

    key: object
    model: Network
    layout: Layout
    form: tuple[object, ...]
    unshared: dict[str, Tensor]  # copies of the tensors that no model of a round overwrites


class KeptNetwork:
    """Keeps the network that was used last, and no other: a process works for one federation at a time.

    Whoever has it has it alone; who comes meanwhile, on another thread, gets one that is made anew.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: _Kept | None = None

    @contextmanager
    def lent(self, config: Config, layout: Layout, make: Callable[[], FirstModel]) -> Iterator[Network]:
        """The federation's network, whose shared tensors the caller loads, and everything else as created.

        It is kept again when the block ends, and thrown away where it raises.

        Args:
            config: of the federation.
            layout: of the federation; one that was made otherwise is not handed out.
            make: makes it where none is kept.
        """
        key = network_key(config)
        kept = self._take(key, layout) or _kept(key, make())
        yield kept.model
        self._put_back(kept)

    def keep(self, made: FirstModel) -> None:
        """Keep a network that was made for another purpose, and is as it was created."""
        self._put_back(_kept(network_key(made.config), made))

    def _take(self, key: object, layout: Layout) -> _Kept | None:
        with self._lock:
            kept, self._kept = self._kept, None
        return kept if kept is not None and (kept.key, kept.layout) == (key, layout) else None

    def _put_back(self, kept: _Kept) -> None:
        model = kept.model
        model.zero_grad(set_to_none=True)
        if _form(model) != kept.form:
            return
        with torch.no_grad():
            for name, tensor in _tensors(model).items():
                if name in kept.unshared:
                    tensor.copy_(kept.unshared[name])
        with self._lock:
            self._kept = kept


NETWORK = KeptNetwork()
"""This process's."""


def network_key(config: Config) -> object:
    """What a network follows from: the configuration, and the weights' file as it is on this machine."""
    named = config.model.pretrained
    if not named or named == "timm":
        return config.digest()
    try:
        stat = Path(named).expanduser().stat()
    except OSError:
        return config.digest(), None
    return config.digest(), stat.st_ino, stat.st_size, stat.st_mtime_ns


def _kept(key: object, made: FirstModel) -> _Kept:
    shared = {spec.name for spec in made.layout.tensors}
    others = {name: t.detach().clone() for name, t in _tensors(made.model).items() if name not in shared}
    return _Kept(key, made.model, made.layout, _form(made.model), others)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """All of them: buffers that are in no state dict, too."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _form(model: nn.Module) -> tuple[object, ...]:
    """What decides how a network computes, besides the values of its tensors."""
    tensors = tuple((n, t.device, t.dtype, t.stride(), t.requires_grad) for n, t in _tensors(model).items())
    return tensors, tuple(module.training for module in model.modules())
