"""Mean squared error between images and what a model's autoencoder makes of them."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from fedcxr.config import Training
from fedcxr.training.objectives.term import Needs, PhaseName, Term, TermContext, TermInput, TermSpec


def reconstruction_error(reconstruction: Tensor, images: Tensor) -> Tensor:
    """Mean squared error over all pixels, in the units of the network's input ([−1, 1]), squared.

    Args:
        reconstruction: float, shape (N, 1, S, S).
        images: float, the same shape: what the network saw.

    Returns:
        A scalar, float32.

    Raises:
        ValueError: the two differ in shape.
    """
    if reconstruction.shape != images.shape:
        raise ValueError(f"images of shape {images.shape}, but a reconstruction of {reconstruction.shape}")
    return functional.mse_loss(reconstruction.float(), images.float())


class Reconstruction(Term):
    """The reconstruction term, of the views as the network sees them; the hospital keeps nothing of it."""

    def __init__(self, context: TermContext) -> None:
        """The term needs nothing of ``context``."""

    def __call__(self, seen: TermInput) -> Tensor:
        if seen.student.reconstruction is None:
            raise ValueError("the model made no reconstruction")
        return reconstruction_error(seen.student.reconstruction, seen.part.views)


def _weight(training: Training, phase: PhaseName) -> float:
    return training.reconstruction_weight


RECONSTRUCTION = TermSpec(
    name="reconstruction",
    weight=_weight,
    make=Reconstruction,
    needs=Needs(reconstruction=True, unlabelled=True),
)
