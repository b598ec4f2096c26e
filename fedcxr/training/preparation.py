"""Images as the networks see them: read from the cache, augmented, normalised, and moved to the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.data.transforms import Augmentation, augment, normalise
from fedcxr.models.runtime import Runtime
from fedcxr.training.batches import Batch, in_disk_order, read_batch
from fedcxr.training.objectives.hierarchy import implied_parents, possible

Share = Literal["images", "counted", "open"]
"""What a term's mean runs over: images, labels that are counted, or labels that are open."""


@dataclass(frozen=True)
class Ready:
    """B images as the networks see them, on the device: a batch, or a part of one.

    Attributes:
        views: float32, shape (V·B, 1, S, S), in [−1, 1]: all first views, then all second.
        clean: the images without augmentation, (B, 1, S, S); None where nobody wants them.
        targets: float32, shape (B, 14); with conditional labels a finding's parent is there too.
        mask: bool, shape (B, 14).
        counted: bool, shape (B, 14): the labels that cross-entropy is taken over. All that are known; in
            conditional training no child whose parent is known to be absent.
        open: bool, shape (B, 14): the labels that a teacher may be asked for. All that are not known; with
            conditional labels no child whose parent is known to be absent.
        groups: int64, shape (B,): equal for positives of each other.
        owners: int64, shape (B,): equal for images of one patient.
        share: of the whole batch that this part is, by what a term's mean runs over.
    """

    views: Tensor
    clean: Tensor | None
    targets: Tensor
    mask: Tensor
    counted: Tensor
    open: Tensor
    groups: Tensor
    owners: Tensor
    share: dict[Share, float]

    def __len__(self) -> int:
        return len(self.targets)


class Preparation:
    """Makes any of a hospital's images ready, in the order in which it is asked."""

    def __init__(
        self,
        examples: Examples,
        *,
        config: Config,
        runtime: Runtime,
        views: int,
        clean: bool,
        augmentation: torch.Generator,
        groups: NDArray[np.int64] | None = None,
    ) -> None:
        """``groups`` are equal for positives of each other; None where each image stands alone."""
        self._examples, self._runtime = examples, runtime
        self._views, self._clean, self._augmentation = views, clean, augmentation
        self._strength = Augmentation.scaled(config.training.augmentation)
        self._conditional = config.model.labels == "conditional"
        self._whole = config.training.hierarchy == "whole"
        self._owners = examples.rows if examples.patients is None else examples.patients
        self._groups = examples.rows if groups is None else groups

    @torch.no_grad()
    def ready(
        self,
        indices: NDArray[np.int64],
        parts: int = 1,
        apart: Callable[[int], torch.Generator] | None = None,
    ) -> list[Ready]:
        """The images of ``indices``, in the order in which they lie on disk, cut into so many parts.

        They are augmented as a whole, so that the number of parts changes no draw.

        Args:
            indices: of the examples.
            parts: in which they come.
            apart: a generator for each patient, where nobody's draws may depend on who else is there.
        """
        examples, runtime = self._examples, self._runtime
        indices = in_disk_order(examples, indices)
        batch = read_batch(examples, indices)
        images = runtime.to_device(batch.images)
        if apart is None:
            augmented = augment(images.repeat(self._views, 1, 1, 1), self._augmentation, self._strength)
        else:
            augmented = self._augmented_apart(images, self._owners[indices], apart)
        views = normalise(augmented)
        clean = normalise(images) if self._clean else None
        targets, mask, counted, openly = self._labels(batch)
        counts = _counts(counted, openly)
        ready, start = [], 0
        for size in np.diff(np.linspace(0, len(indices), parts + 1).astype(np.int64)).tolist():
            cut = slice(start, start + size)
            own = _counts(counted[cut], openly[cut])
            ready.append(
                Ready(
                    views=self._formatted(
                        views.view(self._views, -1, *images.shape[1:])[:, cut].flatten(0, 1)
                    ),
                    clean=None if clean is None else self._formatted(clean[cut]),
                    targets=runtime.to_device(targets[cut]),
                    mask=runtime.to_device(mask[cut]),
                    counted=runtime.to_device(counted[cut]),
                    open=runtime.to_device(openly[cut]),
                    groups=runtime.to_device(torch.from_numpy(self._groups[indices[cut]])),
                    owners=runtime.to_device(torch.from_numpy(self._owners[indices[cut]])),
                    share={what: n / counts[what] if counts[what] else 0.0 for what, n in own.items()},
                )
            )
            start += size
        return ready

    def _augmented_apart(
        self, images: Tensor, owners: NDArray[np.int64], own: Callable[[int], torch.Generator]
    ) -> Tensor:
        """A view of each image, those of a patient drawn by the patient's own generator."""
        views = torch.empty_like(images)
        for owner in np.unique(owners).tolist():
            places = torch.from_numpy(np.flatnonzero(owners == owner)).to(images.device)
            views[places] = augment(images[places], own(owner), self._strength)
        return views

    def _labels(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Targets, mask, what of them counts and what is open, each (B, 14)."""
        if not self._conditional:
            return batch.targets, batch.mask, batch.mask, ~batch.mask
        targets, mask = implied_parents(batch.targets, batch.mask)
        left = possible(targets, mask)
        return targets, mask, mask if self._whole else mask & left, ~mask & left

    def _formatted(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=self._runtime.memory_format)


def _counts(counted: Tensor, openly: Tensor) -> dict[Share, int]:
    """How many images, counted labels and open ones there are."""
    return {"images": len(counted), "counted": int(counted.sum()), "open": int(openly.sum())}
