"""CheXpert's 14 labels, and what a network is told where the report was unsure or silent.

A raw label is 1 (positive), 0 (negative), -1 (uncertain) or :data:`BLANK` (not mentioned). The policy turns
it into a target in [0, 1] and a mask that takes it out of the loss:

==============  ======================  =====
uncertain (-1)  target                  mask
==============  ======================  =====
ignore          0 (never read)          False
zeros           0                       True
ones            1                       True
smoothed        drawn from U(.55, .85)  True
smoothed_zeros  drawn from U(0, .3)     True
==============  ======================  =====

The first three are Irvin et al., "CheXpert" (AAAI 2019), section 3; the last two are U-Ones+LSR and
U-Zeros+LSR of Pham et al., "Interpreting chest X-rays via CNNs that exploit hierarchical disease dependencies
and uncertainty labels" (Neurocomputing 437, 2021), section 3.3. Blank is a negative by CheXpert's convention,
or masked where silence must not be read as health, as in a set whose sources speak of some labels only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedcxr.config import Data
from fedcxr.errors import ConfigError, DataError
from fedcxr.seeds import derive_seed

LABELS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
"""In the order of CheXpert's columns; every array of labels, targets or probabilities keeps it."""

COMPETITION_LABELS = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
"""The five tasks that CheXpert's competition scores."""

BLANK = -2
"""Raw code of a label that the report does not mention."""


class Uncertainty(StrEnum):
    """What an uncertain label (-1) becomes; the module's table says what each means."""

    IGNORE = "ignore"
    ZEROS = "zeros"
    ONES = "ones"
    SMOOTHED = "smoothed"
    SMOOTHED_ZEROS = "smoothed_zeros"

    @property
    def interval(self) -> tuple[float, float]:
        """Lowest and highest target that an uncertain label gets."""
        return _INTERVALS[self]


_INTERVALS = {
    Uncertainty.IGNORE: (0.0, 0.0),
    Uncertainty.ZEROS: (0.0, 0.0),
    Uncertainty.ONES: (1.0, 1.0),
    Uncertainty.SMOOTHED: (0.55, 0.85),
    Uncertainty.SMOOTHED_ZEROS: (0.0, 0.3),
}


@dataclass(frozen=True)
class LabelPolicy:
    """How raw labels become targets.

    Attributes:
        uncertain: one policy a label, in the order of :data:`LABELS`.
        blank: ``negative`` (target 0) or ``ignore`` (masked).
    """

    uncertain: tuple[Uncertainty, ...]
    blank: Literal["negative", "ignore"] = "negative"

    def __post_init__(self) -> None:
        if len(self.uncertain) != len(LABELS):
            raise ConfigError(f"a label policy has {len(LABELS)} entries, not {len(self.uncertain)}.")

    @classmethod
    def from_config(cls, data: Data) -> LabelPolicy:
        """The policy that ``data.uncertain``, ``data.uncertain_per_label`` and ``data.blank`` describe.

        Raises:
            ConfigError: ``uncertain_per_label`` names a label that CheXpert does not have.
        """
        for label in data.uncertain_per_label:
            if label not in LABELS:
                raise ConfigError(
                    f"data.uncertain_per_label.{label!r}: unknown label (allowed: {', '.join(LABELS)})"
                )
        names = (data.uncertain_per_label.get(label, data.uncertain) for label in LABELS)
        return cls(tuple(Uncertainty(name) for name in names), data.blank)

    def targets(self, raw: NDArray[np.int8], seed: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Targets and mask of raw labels.

        A smoothed target is drawn once for its row and label from (seed, label): it is the same in every
        round, and whatever the other labels' policies are. It belongs to the row's place in ``raw``, so the
        same rows must be asked for each time.

        Args:
            raw: int8, shape (n, 14), of 1, 0, -1 and :data:`BLANK`.
            seed: the run's.

        Returns:
            targets, float32 (n, 14) in [0, 1]; mask, bool (n, 14), False where the label says nothing.

        Raises:
            DataError: another shape, or another value.
        """
        if raw.ndim != 2 or raw.shape[1] != len(LABELS):
            raise DataError(f"raw labels have the shape {raw.shape}; (n, {len(LABELS)}) is wanted.")
        if raw.size and (raw.min() < BLANK or raw.max() > 1):
            raise DataError(f"raw labels are 1, 0, -1 or {BLANK} (blank), not {raw.min()} to {raw.max()}.")
        targets = (raw == 1).astype(np.float32)
        mask = np.ones(raw.shape, dtype=np.bool_)
        if self.blank == "ignore":
            mask &= raw != BLANK
        for column, policy in enumerate(self.uncertain):
            unsure = raw[:, column] == -1
            if policy is Uncertainty.IGNORE:
                mask[unsure, column] = False
            low, high = policy.interval
            if low == high:
                targets[unsure, column] = low
            else:
                generator = np.random.default_rng(derive_seed(seed, "uncertain", LABELS[column]))
                targets[unsure, column] = generator.uniform(low, high, len(raw))[unsure]
        return targets, mask
