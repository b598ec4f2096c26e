"""Probabilities and embeddings of a model for images of a decoded cache."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from fedcxr.config import Config
from fedcxr.data.labels import LABELS
from fedcxr.data.transforms import normalise, to_float
from fedcxr.errors import DataError, NonFiniteError
from fedcxr.models.network import Network
from fedcxr.models.runtime import Runtime


def predict(
    model: Network,
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    config: Config,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Predict the probabilities of the 14 labels for each of n images.

    Device, precision, memory format and threads are those of ``config.training``, so that a prediction can
    be repeated bit for bit. Batches are ``config.evaluation.batch_size`` images; no more are ever read at
    once. Normalisation uses running statistics: an image's probabilities do not depend on its batch.

    Args:
        model: of the registry; on return where it was and in its former mode.
        images: uint8, shape (N, S, S), usually a memory map.
        rows: int64, shape (n,): which images, in the order wanted.
        config: resolved (nothing "auto").
        progress: called after every batch with images done and in all.

    Returns:
        float32, shape (n, 14), in [0, 1].

    Raises:
        ConfigError: the configuration is not resolved, or asks for a device that is not here.
        DataError: a row outside the images.
        NonFiniteError: the model gives NaN or infinity for an image.
    """
    probabilities = np.empty((len(rows), len(LABELS)), dtype=np.float32)

    def fill(start: int, batch: NDArray[np.int64], seen: torch.Tensor) -> None:
        logits = model(seen, project=False).logits.float()
        if not bool(torch.isfinite(logits).all()):
            faulty = int(torch.nonzero(~torch.isfinite(logits).all(dim=1))[0, 0])
            raise NonFiniteError(
                f"the model's logits for image {int(batch[faulty])} are not finite: "
                "its weights or normalisation statistics are broken."
            )
        probabilities[start : start + len(batch)] = model.probabilities(logits).cpu().numpy()
        if progress is not None:
            progress(start + len(batch), len(rows))

    _each_batch(model, images, rows, config, fill)
    return probabilities


def embed(
    model: Network, images: NDArray[np.uint8], rows: NDArray[np.int64], config: Config
) -> NDArray[np.float32]:
    """Compute the pooled features of each of n images, before the classifier.

    Args and errors: as of :func:`predict`.

    Returns:
        float32, shape (n, F).
    """
    gathered: list[NDArray[np.float32]] = []

    def keep(_: int, __: NDArray[np.int64], seen: torch.Tensor) -> None:
        gathered.append(model.trace(seen, project=False).embedding.float().cpu().numpy())

    _each_batch(model, images, rows, config, keep)
    return np.concatenate(gathered) if gathered else np.empty((0, 0), dtype=np.float32)


def _each_batch(
    model: Network,
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    config: Config,
    work: Callable[[int, NDArray[np.int64], torch.Tensor], None],
) -> None:
    """Call ``work`` with each batch: its start, its rows, and its images as a model sees them."""
    if len(rows) and (rows.min() < 0 or rows.max() >= len(images)):
        raise DataError(f"rows {rows.min()} to {rows.max()} are asked of {len(images)} images.")
    runtime = Runtime.from_config(config.training)
    size = config.evaluation.batch_size
    with runtime.settings(), runtime.hosting(model), torch.inference_mode():
        model.eval()
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            seen = normalise(runtime.to_device(to_float(images[batch])))
            with runtime.autocast():
                work(start, batch, seen.contiguous(memory_format=runtime.memory_format))
