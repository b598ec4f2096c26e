"""Gradients of single patients, each no longer than the clip, added up exactly.

The sum is of whole numbers, multiples of a grid that is fine beside the noise, and so is the noise. A patient
more or less then changes the sum by that patient's gradient and nothing else: not by how floating-point
numbers are rounded when they are added (Casacuberta et al. 2022, https://arxiv.org/abs/2207.10635). Rounding
the gradient lengthens it by half a grid's width in each direction at most, and the noise is for that length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from fedcxr.models.network import ModelOutput, Network
from fedcxr.models.runtime import Runtime
from fedcxr.privacy.dp.noise import SecureNoise
from fedcxr.training.objectives.term import Term, TermInput, TermSpec
from fedcxr.training.preparation import Ready, Share

_FINE = 18  # bits of the noise's deviation below the grid
_WHOLE: dict[Share, float] = {"images": 1.0, "counted": 1.0, "open": 1.0}
_MARGIN = 2.0**-10  # of the clip, for the norm's own rounding


class PatientGradients:
    """The sum of one step's gradients.

    Attributes:
        loss: sum of the patients' losses, in this step; for the hospital's own log.
        patients: in this step.
    """

    def __init__(
        self,
        model: Network,
        terms: dict[TermSpec, tuple[Term, float]],
        *,
        runtime: Runtime,
        clip: float,
        noise_multiplier: float,
    ) -> None:
        """Begin the first step.

        Args:
            model: where it runs, those of its parameters that are trained requiring a gradient.
            terms: of the objective, each as it is computed and its weight; all by image.
            runtime: of the model.
            clip: length that a patient's gradient has at most.
            noise_multiplier: the noise's deviation, as a multiple of that length; 0 draws none.
        """
        self._terms, self._runtime = terms, runtime
        self._clip, self._multiplier = clip, noise_multiplier
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._parameters = trained
        self._encoder = model if model.ends_after_encoding(trained) else None
        self._model = model if self._encoder is None else _Heads(model)
        self._prefix = "" if self._encoder is None else "of."
        self._values = {name: p.detach() for name, p in trained.items()}
        exponent = math.floor(math.log2(clip * (noise_multiplier or 1.0))) - _FINE
        self._grid = 2.0**exponent
        self.size = sum(p.numel() for p in trained.values())
        self._sums = {name: torch.zeros_like(p, dtype=torch.int64) for name, p in trained.items()}
        loss = grad_and_value(self._loss)
        self._gradients = vmap(loss, in_dims=(None, 0, 0, 0, 0), randomness="error")
        self._share = dict(_WHOLE)
        self._begin()

    @property
    def longest(self) -> float:
        """Length that what is added for a patient has at most: the clip, and what rounding adds to it."""
        return self._clip * (1.0 + _MARGIN) + 0.5 * self._grid * math.sqrt(self.size)

    def add(self, parts: Sequence[Ready]) -> None:
        """Add the gradients of some patients.

        Args:
            parts: one part with the images of patients that all have as many, patient by patient; or the
                images of a single patient in several parts.
        """
        patients = len(torch.unique(parts[0].owners))
        total: dict[str, Tensor] = {}
        for part in parts:
            seen = part.views if self._encoder is None else self._encoded(self._encoder, part.views)
            rows = (_by_patient(t, patients) for t in (seen, part.targets, part.mask, part.counted))
            self._share = part.share if len(parts) > 1 else dict(_WHOLE)
            gradients, losses = self._gradients(self._values, *rows)
            self.loss += float(losses.double().sum())
            for name, gradient in gradients.items():
                total[name] = total[name].add_(gradient) if name in total else gradient
        self.patients += patients
        lengths = [g.flatten(1).norm(dim=1, dtype=torch.float64) for g in total.values()]
        norms = torch.stack(lengths).norm(dim=0)
        scale = (self._clip / norms.clamp(min=self._clip)) / self._grid
        scale = torch.where(torch.isfinite(norms), scale, 0.0).float()  # a gradient that is no number is none
        for name, gradient in total.items():
            kept = torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
            rounded = kept.mul_(scale.view(-1, *[1] * (gradient.ndim - 1))).round_()
            self._sums[name] += rounded.to(torch.int32).sum(0)

    def finish(self, noise: SecureNoise | None, expected: float) -> None:
        """Write the noisy mean of the step into the parameters' gradients, and begin the next step.

        Args:
            noise: to draw from; None for none, which is for measurements alone.
            expected: number of patients in a step. How many there were is nobody's business.
        """
        deviation = self._multiplier * self.longest / self._grid
        for name, parameter in self._parameters.items():
            total = self._sums[name]
            if noise is not None and deviation:
                drawn = torch.from_numpy(noise.normals(total.numel(), deviation))
                total += drawn.view(total.shape).to(total.device)
            parameter.grad = (total * (self._grid / expected)).to(parameter.dtype)
        self._begin()

    def _begin(self) -> None:
        self.loss, self.patients = 0.0, 0
        for total in self._sums.values():
            total.zero_()

    def _encoded(self, encoder: Network, views: Tensor) -> Tensor:
        """Embeddings of images, by a network that no patient's gradient goes through: as any batch's."""
        with torch.no_grad(), self._runtime.autocast():
            return encoder.encode(views)[1]

    def _loss(
        self, values: dict[str, Tensor], seen: Tensor, targets: Tensor, mask: Tensor, counted: Tensor
    ) -> Tensor:
        """The objective of one patient: views (K, 1, S, S) or embeddings (K, F), and labels of (K, 14)."""
        rows = torch.arange(len(seen))
        part = Ready(seen, None, targets, mask, counted, ~mask, rows, rows, {})
        named = {self._prefix + name: value for name, value in values.items()}
        with self._runtime.autocast():
            student = functional_call(self._model, named, (seen,), {"project": False})
        shown = TermInput(part, student, None)
        losses = [self._share[spec.share] * w * term(shown) for spec, (term, w) in self._terms.items()]
        return torch.stack(losses).sum()


class _Heads(nn.Module):
    """A network without its encoder."""

    def __init__(self, of: Network) -> None:
        super().__init__()
        self.of = of

    def forward(self, embedding: Tensor, *, project: bool) -> ModelOutput:
        return self.of.heads(embedding, project=project)


def _by_patient(rows: Tensor, patients: int) -> Tensor:
    """(P·K, …) to (P, K, …)."""
    return rows.view(patients, -1, *rows.shape[1:])
