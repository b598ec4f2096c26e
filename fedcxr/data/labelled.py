"""Whose labels are read: ``data.labelled`` of the configuration, for studies of learning from few labels.

The images of the other patients stay, without a label: terms that want none learn from them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedcxr.seeds import derive_seed

_LEAST = 2  # images with labels that a hospital keeps whatever the share: a batch needs as many


def labelled(
    patients: NDArray[np.str_], share: float, seed: int, known: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which of a hospital's images keep their labels.

    A patient's lot follows from (seed, patient) alone. So a smaller share is part of a larger one, and
    hospitals that pool their patients read the labels that they read apart. Only where the share leaves a
    hospital fewer than two images with a known label do the next patients by lot keep theirs too.

    Args:
        patients: (n,), of each image.
        share: of the patients, 0 to 1.
        seed: the run's.
        known: bool (n,): the images of which a label is known at all.

    Returns:
        bool (n,); all images of a patient alike.
    """
    if share >= 1.0:
        return np.ones(len(patients), np.bool_)
    names, member = np.unique(patients, return_inverse=True)
    images = np.bincount(member[known], minlength=len(names))
    lots = np.array([derive_seed(seed, "labelled", str(patient)) for patient in names], np.float64) / 2.0**63
    order = np.argsort(lots, kind="stable")
    chosen = lots < share
    before = np.cumsum(images[order]) - images[order]
    chosen[order[before < _LEAST]] = True
    return chosen[member]
