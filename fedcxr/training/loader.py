"""The loader: while the network works on one batch, a thread makes the next one ready.

It reads the cache, augments, normalises, and moves to the device. One thread draws all random numbers in the
order of the batches, so what comes out does not depend on who waited for whom.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.data.transforms import Augmentation, augment, normalise
from fedcxr.models.runtime import Runtime
from fedcxr.seeds import derive_seed
from fedcxr.training.batches import Batch, Positives, epoch_batches, grouping, in_disk_order, read_batch
from fedcxr.training.objectives.hierarchy import implied_parents, possible

logger = logging.getLogger(__name__)

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


class Loader:
    """The batches of one hospital's round, each as the parts that it is accumulated over.

    Attributes:
        waited: seconds for which the trainer had to wait for a batch, so far.
    """

    def __init__(
        self,
        examples: Examples,
        *,
        config: Config,
        runtime: Runtime,
        where: tuple[int, str],
        epochs: int,
        views: int,
        clean: bool,
        positives: Positives,
    ) -> None:
        """``where`` is the round and the hospital, from which every draw derives.

        Raises:
            DataError: positives are of studies or patients, and nobody said whose images are whose.
        """
        training = config.training
        self._examples, self._runtime = examples, runtime
        self._views, self._clean, self._parts = views, clean, training.accumulate
        self._strength = Augmentation.scaled(training.augmentation)
        self._batch_size, self._epochs = training.batch_size, epochs
        self._conditional = config.model.labels == "conditional"
        self._whole = training.hierarchy == "whole"
        self._groups = grouping(examples, positives)
        if self._groups is not None and len(np.unique(self._groups)) == len(examples):
            logger.warning(
                "%s: training.positives = '%s', and no %s has two images here: an image's positives are its "
                "own views",
                where[1],
                positives,
                positives,
            )
        self._order = torch.Generator().manual_seed(derive_seed(config.seed, *where, "order"))
        self._augmentation = torch.Generator().manual_seed(derive_seed(config.seed, *where, "augment"))
        self.waited = 0.0

    def __iter__(self) -> Iterator[list[Ready]]:
        # With as many threads of its own as the trainer has, OpenMP's idle ones would spin where the trainer
        # computes: a tenth of its speed on two cores. The count is the calling thread's alone.
        alone = partial(torch.set_num_threads, 1)
        with ThreadPoolExecutor(1, "loader", initializer=alone) as pool:
            indices = itertools.chain.from_iterable(
                epoch_batches(len(self._examples), self._batch_size, self._order, self._groups)
                for _ in range(self._epochs)
            )
            coming: Future[list[Ready]] | None = None
            for each in itertools.chain(indices, [None]):
                batch = None if coming is None else self._wait(coming)
                coming = None if each is None else pool.submit(self._ready, each)
                if batch is not None:
                    yield batch

    def _wait(self, coming: Future[list[Ready]]) -> list[Ready]:
        started = time.perf_counter()
        try:
            return coming.result()
        finally:
            self.waited += time.perf_counter() - started

    @torch.no_grad()
    def _ready(self, indices: NDArray[np.int64]) -> list[Ready]:
        """Augmented as a whole, so that the number of parts changes no draw; then cut."""
        examples, runtime = self._examples, self._runtime
        indices = in_disk_order(examples, indices)
        batch = read_batch(examples, indices)
        images = runtime.to_device(batch.images)
        views = normalise(augment(images.repeat(self._views, 1, 1, 1), self._augmentation, self._strength))
        clean = normalise(images) if self._clean else None
        owners = examples.rows if examples.patients is None else examples.patients
        groups = examples.rows if self._groups is None else self._groups
        targets, mask, counted, openly = self._labels(batch)
        counts = _counts(counted, openly)
        parts = max(1, min(self._parts, len(indices) // 2))
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
                    groups=runtime.to_device(torch.from_numpy(groups[indices[cut]])),
                    owners=runtime.to_device(torch.from_numpy(owners[indices[cut]])),
                    share={what: n / counts[what] if counts[what] else 0.0 for what, n in own.items()},
                )
            )
            start += size
        return ready

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
