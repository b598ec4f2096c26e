"""What is minimised over the labels: cross-entropy, or the AUC margin loss with its running class means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.training.kept import Kept, below
from fedcxr.training.objectives.auc_margin import ClassMeans, auc_margin, class_shares
from fedcxr.training.objectives.bce import masked_bce
from fedcxr.training.objectives.hierarchy import conditional_bce, whole_bce

PREFIX = "label_loss."


class LabelLoss(Protocol):
    """One label term."""

    def __call__(self, logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """The loss of (N, 14) logits under targets and mask of the same shape, a float32 scalar."""

    def step(self) -> None:
        """A batch is over: what was seen of it may be remembered."""

    def keep(self) -> Kept:
        """What the hospital keeps of it, without a prefix; on the CPU."""


def make_label_loss(config: Config, examples: Examples, kept: Kept, device: torch.device) -> LabelLoss:
    """The term that ``training.label_loss`` names, for a hospital's examples, going on from what was kept."""
    if config.training.label_loss == "auc_margin":
        own = {name: tensor.to(device) for name, tensor in below(kept, PREFIX).items()}
        return AUCMargin(examples, own, device)
    if config.model.labels == "flat":
        return CrossEntropy(masked_bce)
    return CrossEntropy(whole_bce if config.training.hierarchy == "whole" else conditional_bce)


class CrossEntropy:
    """Of logits, or of the probabilities that conditional ones give; remembers nothing."""

    def __init__(self, loss: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        self._loss = loss

    def __call__(self, logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        return self._loss(logits, targets, mask)

    def step(self) -> None:
        pass

    def keep(self) -> Kept:
        return {}


class AUCMargin:
    """Of probabilities, against class means that follow the network from batch to batch.

    Within a batch the means stand still, so that its parts add up to the whole.
    """

    def __init__(self, examples: Examples, kept: Kept, device: torch.device) -> None:
        targets, mask = torch.from_numpy(examples.targets), torch.from_numpy(examples.mask)
        self._shares = class_shares(targets, mask).to(device)
        self._means = ClassMeans(**kept) if kept else ClassMeans.unknowing(targets.shape[1], device)
        self._seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def __call__(self, logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        scores = logits.float().sigmoid()
        self._seen.append((scores.detach(), targets, mask))
        return auc_margin(scores, targets, mask, shares=self._shares, means=self._means.values)

    def step(self) -> None:
        self._means.add(*(torch.cat(parts) for parts in zip(*self._seen, strict=True)))
        self._seen.clear()

    def keep(self) -> Kept:
        own = {"sums": self._means.sums, "counts": self._means.counts}
        return {name: tensor.cpu().clone() for name, tensor in own.items()}
