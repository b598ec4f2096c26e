"""The queue of a self-supervised term: the last projections that a hospital's batches gave."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from fedcxr.training.objectives.term import TermContext
from fedcxr.training.state_tensors import StateTensors


class Queue:
    """The last rows that were added, normalised, with the patients that they belong to; the newest first.

    Attributes:
        size: rows that it holds at most.
        rows: float32, shape (K, D), each of length 1; K ≤ ``size``.
        owners: int64, shape (K,): equal for images of one patient.
    """

    def __init__(self, context: TermContext) -> None:
        """Go on with the rows of the hospital's last round; without any, the queue starts empty."""
        empty = torch.empty(0, context.config.model.projection_dim, device=context.device)
        nobody = torch.empty(0, dtype=torch.int64, device=context.device)
        self.size = context.config.training.queue
        self.rows = context.state.get("queue.rows", empty)
        self.owners = context.state.get("queue.owners", nobody)

    @property
    def full(self) -> bool:
        """Whether the next row drives an old one out."""
        return len(self.rows) == self.size

    @torch.no_grad()
    def add(self, rows: Tensor, owners: Tensor) -> None:
        """Put N projections, float (N, D), and their patients, int64 (N,), before those that are there."""
        rows = functional.normalize(rows.detach().float(), dim=1)
        self.rows = torch.cat([rows, self.rows])[: self.size]
        self.owners = torch.cat([owners, self.owners])[: self.size]

    def state(self) -> StateTensors:
        """Return the rows and their owners, on the CPU."""
        own = {"queue.rows": self.rows, "queue.owners": self.owners}
        return {name: tensor.cpu().contiguous().clone() for name, tensor in own.items()}
