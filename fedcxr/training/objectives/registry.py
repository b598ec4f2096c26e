"""The table of the joint objective's terms: a row each.

A term is declared in a file of its own (:mod:`fedcxr.training.objectives.term` says how), and a row here
makes the trainer use it. The weighted terms are added in the order of the rows, and floating-point sums
depend on their order: a new row goes to the end, so that the federations of today keep their bits.
"""

from __future__ import annotations

from fedcxr.config import Training
from fedcxr.training.objectives.auc_margin import AUC_MARGIN
from fedcxr.training.objectives.byol import BYOL
from fedcxr.training.objectives.consistency import CONSISTENCY
from fedcxr.training.objectives.cross_entropy import CROSS_ENTROPY
from fedcxr.training.objectives.moco import MOCO
from fedcxr.training.objectives.ntxent import NTXENT
from fedcxr.training.objectives.reconstruction import RECONSTRUCTION
from fedcxr.training.objectives.supervised import SUPERVISED
from fedcxr.training.objectives.swav import SWAV
from fedcxr.training.objectives.term import PhaseName, TermSpec

TERMS: tuple[TermSpec, ...] = (
    CROSS_ENTROPY,
    AUC_MARGIN,
    NTXENT,
    MOCO,
    BYOL,
    SWAV,
    SUPERVISED,
    CONSISTENCY,
    RECONSTRUCTION,
)


def weighted_terms(training: Training, phase: PhaseName) -> dict[TermSpec, float]:
    """Return the terms that have a weight above 0 in a phase, with it, in the order of the table."""
    weights = {term: term.weight(training, phase) for term in TERMS}
    return {term: weight for term, weight in weights.items() if weight > 0}
