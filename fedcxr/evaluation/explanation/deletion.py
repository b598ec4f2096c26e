"""Deletion and insertion curves: whether the model uses what a saliency map shows.

Petsiuk, Das and Saenko, "RISE: Randomized input sampling for explanation of black-box models" (BMVC 2018),
https://arxiv.org/abs/1806.07421. Deletion takes the map's highest pixels out of the image, a share at a time,
and follows the label's probability down; insertion puts them into a blurred image, and follows it up. The
area under each curve is the figure: low is good for deletion, high for insertion. It stands beside the area
by maps of other patients of the label, which are as smooth, are high about where the label's lesions usually
are, and were made without a look at the image. Pixels in random order would be no such reference: taking out
scattered pixels and taking out one patch do different things to a network, whatever is under them. What
counts is the difference, image by image.

Deviations: what is deleted becomes the image's mean grey, not black, which on a radiograph is air; the image
that insertion begins with is averaged over squares of 8 pixels and enlarged, not blurred by a Gaussian; and
pixels are taken in 16 shares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from fedcxr.config import Config
from fedcxr.evaluation.auroc import Floats
from fedcxr.evaluation.explanation.ranking import saliency_ranking
from fedcxr.evaluation.inference import predict
from fedcxr.models.network import Network

STEPS = 16  # shares taken, from none to all
_BLUR = 8  # the blurred image keeps 1/8 of the pixels a side


@dataclass(frozen=True, eq=False)
class Curves:
    """The deletion and insertion curves of n images: the probabilities of each image's own label.

    Attributes:
        deletion, insertion: float64, shape (n, STEPS + 1), from none of the pixels taken to all of them.
    """

    deletion: Floats
    insertion: Floats

    @property
    def areas(self) -> Floats:
        """Areas under both curves, float64 (n, 2), by the trapezoid over shares from 0 to 1."""
        step = 1.0 / STEPS
        return np.stack(
            [np.trapezoid(curve, dx=step, axis=1) for curve in (self.deletion, self.insertion)], axis=1
        )


def follow(
    model: Network,
    images: NDArray[np.uint8],
    maps: NDArray[np.float32],
    labels: NDArray[np.int64],
    config: Config,
) -> Curves:
    """Measure the deletion and insertion curves of n images by their maps.

    Args:
        model: of the registry.
        images: uint8, shape (n, S, S).
        maps: float32, shape (n, S, S): pixels are taken from the highest down; ``config.seed`` breaks ties.
        labels: int64, shape (n,): the column of each image's label.
        config: resolved.
    """
    count, side = len(images), images.shape[-1]
    order = saliency_ranking(maps, config.seed)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(side * side)[None], axis=1)
    rank = rank.reshape(maps.shape)
    grey = np.broadcast_to(images.mean(axis=(1, 2)).round().astype(np.uint8)[:, None, None], images.shape)
    blurred = _blur(images)
    deleted: list[Floats] = []
    inserted: list[Floats] = []
    rows = np.arange(count)
    for step in range(STEPS + 1):
        taken = rank < round(step / STEPS * side * side)
        for base, top, curve in ((images, grey, deleted), (blurred, images, inserted)):
            mixed = np.where(taken, top, base)
            curve.append(predict(model, mixed, rows, config)[rows, labels].astype(np.float64))
    return Curves(np.stack(deleted, axis=1), np.stack(inserted, axis=1))


def _blur(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    seen = torch.from_numpy(images).float()[:, None]
    side = images.shape[-1]
    small = functional.adaptive_avg_pool2d(seen, max(2, side // _BLUR))
    wide = functional.interpolate(small, size=(side, side), mode="bilinear", align_corners=False)
    blurred: NDArray[np.uint8] = wide[:, 0].round().clamp(0, 255).to(torch.uint8).numpy()
    return blurred
