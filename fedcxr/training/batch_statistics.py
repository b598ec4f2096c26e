"""BatchNorm's running statistics, gathered anew in a round in which nothing else moves.

BatchNorm's running statistics belong to the weights that they were gathered with. The average of hospitals'
weights is a network that none of them ran, so the average of their statistics is not that network's; on
small federations this costs more than anything else about averaging. So a federation may end with one round
whose weights stand still: each hospital runs the released model over its own images, without augmentation
or gradient, and sends the statistics. The update is weighed, sealed and audited like any other
(``federation.calibrate``).

Precise BatchNorm (Wu and Johnson 2021, arXiv:2105.07576) recomputes the statistics in the same way, over one
data set. The mean over hospitals leaves out the variance between their means.
"""

from __future__ import annotations

import time

import torch
from torch import nn

from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.data.transforms import normalise
from fedcxr.errors import DataError
from fedcxr.models.runtime import Runtime
from fedcxr.seeds import derive_seed
from fedcxr.training.batches import Batch, epoch_batches, read_batch
from fedcxr.training.finite import check_finite
from fedcxr.training.objectives.hierarchy import label_loss
from fedcxr.training.trainer import TrainingReport

IMAGES = 768  # a hospital's sample; the statistics of one channel settle within a few hundred images


def batch_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Return the layers of a model that have running statistics."""
    return [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


@torch.no_grad()
def gather_statistics(
    model: nn.Module, examples: Examples, *, config: Config, round_index: int, hospital: str
) -> TrainingReport:
    """Replace the running statistics of ``model`` by those of this hospital's images, in place.

    Deterministic, as :func:`~fedcxr.training.trainer.train` is.

    Raises:
        ConfigError: the configuration is not resolved.
        DataError: fewer than two images.
        NonFiniteError: NaN or infinity in a statistic, with the tensor's name.
    """
    started = time.perf_counter()
    where = f"hospital {hospital}, round {round_index}"
    if len(examples) < 2:
        raise DataError(f"{where}: {len(examples)} images; statistics need at least two.")
    runtime = Runtime.from_config(config.training)
    order = torch.Generator().manual_seed(derive_seed(config.seed, round_index, hospital, "order"))
    seen, steps, loss = 0, 0, 0.0
    with runtime.settings(), runtime.hosting(model):
        model.train()
        layers = [layer for layer in batch_norms(model) if layer.training]  # frozen ones keep what they have
        momenta = [layer.momentum for layer in layers]
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # a plain mean over the batches
        for indices in epoch_batches(len(examples), config.evaluation.batch_size, order):
            batch = Batch(*(runtime.to_device(tensor) for tensor in read_batch(examples, indices)))
            images = normalise(batch.images).contiguous(memory_format=runtime.memory_format)
            with runtime.autocast():
                output = model(images, project=False, reconstruct=config.model.reconstructs)
            loss += float(label_loss(output.logits, batch.targets, batch.mask, config.model.labels))
            seen, steps = seen + len(indices), steps + 1
            if seen >= IMAGES:
                break
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        check_finite(model, where=where)
    return TrainingReport(
        images=len(examples),
        passes=seen,
        steps=steps,
        seconds=time.perf_counter() - started,
        loss=loss / steps,
        terms={"bce": loss / steps},
    )
