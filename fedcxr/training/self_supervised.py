"""The self-supervised term behind one interface: SimCLR's, MoCo's, BYOL's or SwAV's.

Each takes the projections of two views of a batch and gives one scalar. What a term needs beside the model
(MoCo's queue, BYOL's predictor, SwAV's prototypes) stays at the hospital with the rest of its state and never
travels: inference has no use for it, a predictor or a prototype says something about one hospital's batches
only, and averaging them would add bytes to every update. All hospitals start from the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedcxr.config import Config
from fedcxr.seeds import derive_seed
from fedcxr.training.kept import Kept, below
from fedcxr.training.objectives.byol import byol_regression
from fedcxr.training.objectives.moco import info_nce
from fedcxr.training.objectives.ntxent import nt_xent
from fedcxr.training.objectives.positives import positive_pairs
from fedcxr.training.objectives.swav import sinkhorn, swapped_prediction

PREFIX = "self_supervised."


@dataclass(frozen=True)
class Projections:
    """Two views of B images, as the networks project them.

    Attributes:
        student: float, shape (2B, D): the first views, then the second.
        teacher: the momentum network's for the same views, or None where there is none.
        groups: int64, shape (B,): equal for images that are positives of each other.
        owners: int64, shape (B,): equal for images of one patient, in this batch and in every other.
    """

    student: Tensor
    teacher: Tensor | None
    groups: Tensor
    owners: Tensor


class SelfSupervised(Protocol):
    """One self-supervised term."""

    wants_teacher: bool
    """Whether :class:`Projections` must have the momentum network's."""

    @property
    def heads(self) -> nn.Module:
        """What is trained with the model, and kept by the hospital."""

    def __call__(self, seen: Projections) -> Tensor:
        """The loss of one batch, a float32 scalar; remembers the batch where the term has a memory."""

    def keep(self) -> Kept:
        """What the hospital keeps of it, without a prefix; on the CPU."""


def make_self_supervised(config: Config, kept: Kept, device: torch.device) -> SelfSupervised | None:
    """The term that ``training.self_supervised`` names, going on from what was kept; None for "none"."""
    own = {name: tensor.to(device) for name, tensor in below(kept, PREFIX).items()}
    training, width = config.training, config.model.projection_dim
    generator = torch.Generator().manual_seed(derive_seed(config.seed, "self-supervised heads"))
    if training.self_supervised == "ntxent":
        return NTXent(training.temperature)
    if training.self_supervised == "moco":
        return MoCo(training.temperature, _Queue(training.queue, width, own, device))
    if training.self_supervised == "byol":
        predictor = _predictor(width, generator)
        _restore(predictor, own)
        return BYOL(predictor.to(device))
    if training.self_supervised == "swav":
        prototypes = _linear(width, training.prototypes, generator, bias=False)
        _restore(prototypes, own)
        return SwAV(training.temperature, prototypes.to(device), _Queue(training.queue, width, own, device))
    return None


class NTXent:
    """SimCLR: the rest of the batch are the negatives; nothing is kept."""

    wants_teacher = False

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature
        self.heads = nn.Module()

    def __call__(self, seen: Projections) -> Tensor:
        first, second = seen.student.chunk(2)
        return nt_xent(first, second, self.temperature, seen.groups)

    def keep(self) -> Kept:
        return {}


class MoCo:
    """The momentum network's keys of batches before are the negatives."""

    wants_teacher = True

    def __init__(self, temperature: float, queue: _Queue) -> None:
        self.temperature, self.queue = temperature, queue
        self.heads = nn.Module()

    def __call__(self, seen: Projections) -> Tensor:
        assert seen.teacher is not None
        queue = self.queue
        strangers = seen.owners.repeat(2).unsqueeze(1) != queue.owners.unsqueeze(0)
        positives = positive_pairs(seen.groups)
        loss = info_nce(
            seen.student,
            seen.teacher,
            positives,
            queue=queue.rows,
            negatives=strangers,
            temperature=self.temperature,
        )
        queue.add(seen.teacher[len(seen.owners) :], seen.owners)  # one view: the other would say the same
        return loss

    def keep(self) -> Kept:
        return self.queue.keep()


class BYOL:
    """A predictor on the student, and the momentum network's projections as its targets."""

    wants_teacher = True

    def __init__(self, predictor: nn.Module) -> None:
        self.heads = predictor

    def __call__(self, seen: Projections) -> Tensor:
        assert seen.teacher is not None
        return byol_regression(self.heads(seen.student), seen.teacher, positive_pairs(seen.groups))

    def keep(self) -> Kept:
        return _state(self.heads)


class SwAV:
    """Prototypes, to which batches are assigned evenly; a queue makes small batches long enough for that.

    The queue helps once it is full, as in the paper's code: until then the features in it are those of the
    first steps, which say little, and assigning evenly over them collapses the rest.
    """

    wants_teacher = False

    def __init__(self, temperature: float, prototypes: nn.Linear, queue: _Queue) -> None:
        self.temperature, self.heads, self.queue = temperature, prototypes, queue

    def __call__(self, seen: Projections) -> Tensor:
        rows = functional.normalize(seen.student.float(), dim=1)
        prototypes = functional.normalize(self.heads.weight.float(), dim=1)
        scores = rows @ prototypes.T
        count = len(seen.owners)
        with torch.no_grad():
            before = self.queue.rows[: self.queue.size if self.queue.full else 0] @ prototypes.T
            codes = [sinkhorn(torch.cat([view, before]))[:count] for view in scores.chunk(2)]
        loss = swapped_prediction(scores, torch.cat(codes), positive_pairs(seen.groups), self.temperature)
        self.queue.add(rows[count:], seen.owners)
        return loss

    def keep(self) -> Kept:
        return {**_state(self.heads), **self.queue.keep()}


class _Queue:
    """The last rows that were added, normalised, with the patients that they belong to; the newest first."""

    def __init__(self, size: int, width: int, kept: Kept, device: torch.device) -> None:
        self.size = size
        self.rows = kept.get("queue.rows", torch.empty(0, width, device=device))
        self.owners = kept.get("queue.owners", torch.empty(0, dtype=torch.int64, device=device))

    @property
    def full(self) -> bool:
        return len(self.rows) == self.size

    @torch.no_grad()
    def add(self, rows: Tensor, owners: Tensor) -> None:
        rows = functional.normalize(rows.detach().float(), dim=1)
        self.rows = torch.cat([rows, self.rows])[: self.size]
        self.owners = torch.cat([owners, self.owners])[: self.size]

    def keep(self) -> Kept:
        own = {"queue.rows": self.rows, "queue.owners": self.owners}
        return {name: tensor.cpu().contiguous().clone() for name, tensor in own.items()}


def _predictor(width: int, generator: torch.Generator) -> nn.Sequential:
    """BYOL's MLP, narrower than the paper's; its BatchNorm is what keeps small batches from collapsing."""
    hidden = 2 * width
    return nn.Sequential(
        _linear(width, hidden, generator, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        _linear(hidden, width, generator),
    )


def _linear(inputs: int, outputs: int, generator: torch.Generator, *, bias: bool = True) -> nn.Linear:
    """A linear layer as the model's own start (:mod:`fedcxr.models.initial`); draws from no global state."""
    layer = nn.Linear(inputs, outputs, bias=bias, device="meta").to_empty(device="cpu")
    bound = inputs**-0.5
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        if bias:
            layer.bias.zero_()
    return layer


def _restore(module: nn.Module, kept: Kept) -> None:
    """Load the tensors that were kept of a head, if any were."""
    if heads := below(kept, "heads."):
        module.load_state_dict(heads)


def _state(module: nn.Module) -> Kept:
    state = module.state_dict().items()
    return {f"heads.{name}": tensor.detach().cpu().contiguous().clone() for name, tensor in state}
