"""The loader: while the network works on one batch, a thread makes the next one ready.

One thread draws all random numbers in the order of the batches, so what comes out does not depend on who
waited for whom.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.models.runtime import Runtime
from fedcxr.seeds import derive_seed
from fedcxr.training.batches import Positives, epoch_batches, grouping
from fedcxr.training.preparation import Preparation, Ready

logger = logging.getLogger(__name__)

Asked = TypeVar("Asked")
"""What says which images are to be made ready."""


class Ahead(Generic[Asked]):
    """Images made ready by a thread, those that are asked for next while those before them are used.

    Attributes:
        waited: seconds for which whoever iterates had to wait, so far.
    """

    def __init__(self, make: Callable[[Asked], list[Ready]], asked: Iterable[Asked]) -> None:
        self._make, self._asked = make, asked
        self.waited = 0.0

    def __iter__(self) -> Iterator[list[Ready]]:
        # With as many threads of its own as the trainer has, OpenMP's idle ones would spin where the trainer
        # computes: a tenth of its speed on two cores. The count is the calling thread's alone.
        alone = partial(torch.set_num_threads, 1)
        with ThreadPoolExecutor(1, "loader", initializer=alone) as pool:
            coming: Future[list[Ready]] | None = None
            for each in itertools.chain(self._asked, [None]):
                batch = None if coming is None else self._wait(coming)
                coming = None if each is None else pool.submit(self._make, each)
                if batch is not None:
                    yield batch

    def _wait(self, coming: Future[list[Ready]]) -> list[Ready]:
        started = time.perf_counter()
        try:
            return coming.result()
        finally:
            self.waited += time.perf_counter() - started


class Loader:
    """The batches of one hospital's round, each as the parts that it is accumulated over."""

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
        groups = grouping(examples, positives)
        if groups is not None and len(np.unique(groups)) == len(examples):
            logger.warning(
                "%s: training.positives = '%s', and no %s has two images here: an image's positives are its "
                "own views",
                where[1],
                positives,
                positives,
            )
        order = torch.Generator().manual_seed(derive_seed(config.seed, *where, "order"))
        preparation = Preparation(
            examples,
            config=config,
            runtime=runtime,
            views=views,
            clean=clean,
            augmentation=torch.Generator().manual_seed(derive_seed(config.seed, *where, "augment")),
            groups=groups,
        )

        def make(indices: NDArray[np.int64]) -> list[Ready]:
            return preparation.ready(indices, parts=max(1, min(training.accumulate, len(indices) // 2)))

        indices = itertools.chain.from_iterable(
            epoch_batches(len(examples), training.batch_size, order, groups) for _ in range(epochs)
        )
        self._batches = Ahead(make, indices)

    @property
    def waited(self) -> float:
        """Seconds for which the trainer had to wait for a batch, so far."""
        return self._batches.waited

    def __iter__(self) -> Iterator[list[Ready]]:
        return iter(self._batches)
