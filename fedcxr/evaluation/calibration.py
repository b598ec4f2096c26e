"""How well probabilities are calibrated: the Brier score, and the expected calibration error.

Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78 (1950). The
calibration error is over ten bins of equal mass (Nguyen and O'Connor, EMNLP 2015; Nixon et al., "Measuring
calibration in deep learning", CVPR workshops 2019): bins of equal width are nearly all empty where a finding
is rare, and put the error where nobody is. Beside it that over fifteen bins of equal width, which is what
most papers print (Guo et al., "On calibration of modern neural networks", ICML 2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcxr.evaluation.auroc import Floats

BINS = 10  # of equal mass
WIDE_BINS = 15  # of equal width


@dataclass(frozen=True, eq=False)
class Reliability:
    """A reliability diagram: b bins of about as many cases each, fewer where cases tie.

    Attributes:
        predicted: float64 (b,), mean probability of a bin's cases.
        observed: float64 (b,), share of them that are positive.
        cases: int64 (b,).
    """

    predicted: Floats
    observed: Floats
    cases: NDArray[np.int64]

    @property
    def error(self) -> float:
        """The expected calibration error; NaN without cases."""
        if not len(self.cases):
            return float("nan")
        return float((np.abs(self.observed - self.predicted) * self.cases).sum() / self.cases.sum())


def reliability(
    probabilities: NDArray[np.floating], positive: NDArray[np.bool_], bins: int = BINS
) -> Reliability:
    """Make the diagram of m probabilities, shape (m,), in [0, 1], against truth, bool (m,)."""
    own = equal_mass_bins(probabilities, bins)
    count = int(own.max(initial=-1)) + 1
    cases = np.bincount(own, minlength=count)
    return Reliability(
        predicted=np.bincount(own, probabilities.astype(np.float64), count) / cases,
        observed=np.bincount(own, positive.astype(np.float64), count) / cases,
        cases=cases,
    )


def equal_mass_bins(probabilities: NDArray[np.floating], count: int = BINS) -> NDArray[np.int64]:
    """The bin of each of m probabilities, int64 (m,), of ``count`` at most, from 0 without a gap.

    Equals share a bin.
    """
    if not len(probabilities):
        return np.empty(0, dtype=np.int64)
    ordered = np.sort(probabilities)
    starts = ordered[np.arange(1, count) * len(ordered) // count]
    bins = np.searchsorted(np.unique(starts), probabilities, side="right")
    return np.unique(bins, return_inverse=True)[1].astype(np.int64)


def equal_width_bins(probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
    """The bin of each of m probabilities, int64 (m,), of :data:`WIDE_BINS`; a bin begins with its bound.

    As in torchmetrics, but for a probability of 1, which has a bin of its own there and is in the last here.
    """
    bounds = np.linspace(0.0, 1.0, WIDE_BINS + 1)[1:-1]
    bins: NDArray[np.int64] = np.searchsorted(bounds, probabilities, side="right").astype(np.int64)
    return bins
