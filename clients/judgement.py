"""A validator's verdict on another hospital's update: is the model better with it, on images held back?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.data.transforms import normalise
from fedcxr.errors import NonFiniteError
from fedcxr.models.network import Network
from fedcxr.models.runtime import Runtime
from fedcxr.training.batches import Batch, read_batch
from fedcxr.training.first_model import FirstModel
from fedcxr.training.kept_network import NETWORK
from fedcxr.training.objectives.hierarchy import label_loss
from fedcxr.update.layout import Layout, Vector

SCALE = 10_000  # of a score: the largest, for a loss that went to zero


@dataclass(frozen=True)
class Judgement:
    """A verdict.

    Attributes:
        accepted: the loss did not rise by more than the tolerance.
        score: by how much it fell, as a share of the base model's, in 1/10,000; within ±10,000.
    """

    accepted: bool
    score: int


def judge(base: Vector, candidate: Vector, layout: Layout, examples: Examples, config: Config) -> Judgement:
    """Compare two models by their label loss on images that neither was trained on here.

    The loss, and not the AUROC, for it is defined on a fold of a few patients and sees what a rank does not.
    Without images the verdict is a friendly one with a score of 0: a validator that cannot judge must not
    stand in the way of those that can.

    Args:
        base: the round's base model, float32 (layout.size,).
        candidate: the base with one hospital's update applied.
        layout: of both.
        examples: held back.
        config: resolved.

    Raises:
        NonFiniteError: the candidate's loss is NaN or infinite.
    """
    if len(examples) == 0:
        return Judgement(accepted=True, score=0)
    losses = []
    with NETWORK.lent(config, layout, lambda: FirstModel.of(config)) as model:
        for vector in (base, candidate):
            layout.load(vector, model)
            losses.append(_loss(model, examples, config))
    before, after = losses
    if not torch.isfinite(torch.tensor(after)):
        raise NonFiniteError(f"the loss of the model with the update is {after}.")
    gain = (before - after) / before if before > 0 else 0.0
    score = round(SCALE * max(-1.0, min(gain, 1.0)))
    return Judgement(accepted=gain >= -config.validation.tolerance, score=score)


@torch.inference_mode()
def _loss(model: Network, examples: Examples, config: Config) -> float:
    """Mean label loss over all images, without augmentation."""
    runtime = Runtime.from_config(config.training)
    total, size = 0.0, config.evaluation.batch_size
    with runtime.settings(), runtime.hosting(model):
        model.eval()
        for start in range(0, len(examples), size):
            indices = np.arange(start, min(start + size, len(examples)))
            batch = Batch(*(runtime.to_device(tensor) for tensor in read_batch(examples, indices)))
            images = normalise(batch.images).contiguous(memory_format=runtime.memory_format)
            with runtime.autocast():
                output = model(images, project=False)
            loss = label_loss(output.logits, batch.targets, batch.mask, model.labels)
            total += float(loss) * len(indices)
    return total / len(examples)
