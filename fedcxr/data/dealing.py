"""How patients are dealt out to hospitals: one function a scheme, from cohorts to hospital numbers.

A scheme decides once how hospitals differ (shares, boundaries) and applies that to the patients of train and
of valid alike, so that a hospital is evaluated on patients like those it trains on. All work on patients,
never on images, so a patient cannot be in two hospitals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.chexpert import ChexpertTable
from fedcxr.data.labels import COMPETITION_LABELS, LABELS

Hospitals = NDArray[np.int64]
"""int64 (p,): each patient's hospital, numbered from 0."""


@dataclass(frozen=True, eq=False)
class Cohort:
    """The p patients of one table, in the order of its ``patient_names``, as the schemes see them.

    Attributes:
        label_sets: int64 (p,), a bit for each competition label that is positive (1) on any of the patient's
            images: 32 sets. All 14 labels would make thousands of sets with a patient or two each, and the
            skew would drown in them.
        bedside: float64 (p,), the share of AP, the projection of bedside machines, among the patient's
            frontal images; 0 where there are none.
        lateral: float64 (p,), the share of the patient's images that are lateral; laterals are taken in
            examination rooms, beside a PA.
    """

    label_sets: NDArray[np.int64]
    bedside: NDArray[np.float64]
    lateral: NDArray[np.float64]

    @classmethod
    def of(cls, table: ChexpertTable) -> Cohort:
        patients, codes = len(table.patient_names), table.patient_codes

        def count(rows: NDArray[np.bool_]) -> NDArray[np.int64]:
            return np.bincount(codes[rows], minlength=patients)

        label_sets = np.zeros(patients, dtype=np.int64)
        for bit, label in enumerate(COMPETITION_LABELS):
            positive = count(table.labels[:, LABELS.index(label)] == 1) > 0
            label_sets |= positive.astype(np.int64) << bit
        frontal = table.view == "Frontal"
        bedside = count(frontal & (table.projection == "AP")) / np.maximum(count(frontal), 1)
        lateral = count(~frontal) / np.bincount(codes, minlength=patients)
        return cls(label_sets, bedside, lateral)

    def __len__(self) -> int:
        return len(self.label_sets)


@dataclass(frozen=True)
class Deal:
    """What a scheme may use: how many hospitals, the skew, and a generator."""

    hospitals: int
    alpha: float
    generator: np.random.Generator


def iid(train: Cohort, valid: Cohort, deal: Deal) -> tuple[Hospitals, Hospitals]:
    """Shuffled and dealt round: sizes differ by one patient at most."""
    return _round(len(train), deal), _round(len(valid), deal)


def quantity(train: Cohort, valid: Cohort, deal: Deal) -> tuple[Hospitals, Hospitals]:
    """Sizes follow a Dirichlet(alpha) draw; who is where is left to chance."""
    shares = deal.generator.dirichlet(np.full(deal.hospitals, deal.alpha))
    return _by_size(len(train), shares, deal), _by_size(len(valid), shares, deal)


def dirichlet(train: Cohort, valid: Cohort, deal: Deal) -> tuple[Hospitals, Hospitals]:
    """Every label set is spread over the hospitals by its own Dirichlet(alpha) draw.

    The scheme of Hsu et al., "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
    Classification" (2019), with sets of labels for classes. Each patient is drawn on their own, so that rare
    sets are not rounded to the same hospital.
    """
    sets = 2 ** len(COMPETITION_LABELS)
    shares = deal.generator.dirichlet(np.full(deal.hospitals, deal.alpha), size=sets)
    limits = np.cumsum(shares, axis=1)
    return _by_shares(train.label_sets, limits, deal), _by_shares(valid.label_sets, limits, deal)


def device(train: Cohort, valid: Cohort, deal: Deal) -> tuple[Hospitals, Hospitals]:
    """Patients in the order of their equipment, cut into hospitals of equal size.

    From examination rooms (PA, many laterals) over PA alone to bedside machines (AP). Where the cuts fall is
    decided on train; valid is cut at the same equipment.
    """
    steps = np.unique(np.concatenate([_equipment(train), _equipment(valid)]))
    # Chance decides within one kind of equipment: the whole part is the kind, the fraction is the lot.
    ranks = [
        np.searchsorted(steps, _equipment(cohort)) + deal.generator.random(len(cohort))
        for cohort in (train, valid)
    ]
    ordered = np.sort(ranks[0])
    firsts = np.arange(1, deal.hospitals) * len(train) // deal.hospitals
    # Where a hospital begins with another kind of equipment than the last one ends with, all of that kind is
    # behind the cut, whatever their lots.
    kinds_differ = np.floor(ordered[firsts]) > np.floor(ordered[firsts - 1])
    cuts = np.where(kinds_differ, np.floor(ordered[firsts]), ordered[firsts])
    return np.searchsorted(cuts, ranks[0], side="right"), np.searchsorted(cuts, ranks[1], side="right")


@dataclass(frozen=True)
class Scheme:
    """A way of dealing patients out by lot.

    Attributes:
        deal: gives the hospitals of the patients of train, and of those of valid.
        uses_alpha: whether ``partition.alpha`` decides anything; then the manifest records it.
    """

    deal: Callable[[Cohort, Cohort, Deal], tuple[Hospitals, Hospitals]]
    uses_alpha: bool = False


SCHEMES: dict[str, Scheme] = {
    "iid": Scheme(iid),
    "quantity": Scheme(quantity, uses_alpha=True),
    "dirichlet": Scheme(dirichlet, uses_alpha=True),
    "device": Scheme(device),
}
"""The schemes that draw lots, by their names in the configuration."""


def _round(patients: int, deal: Deal) -> Hospitals:
    return deal.generator.permutation(patients) % deal.hospitals


def _by_size(patients: int, shares: NDArray[np.float64], deal: Deal) -> Hospitals:
    exact = shares * patients
    sizes = np.floor(exact).astype(np.int64)
    largest = np.argsort(sizes - exact, kind="stable")[: patients - sizes.sum()]  # largest remainders first
    sizes[largest] += 1
    return np.repeat(np.arange(deal.hospitals), sizes)[deal.generator.permutation(patients)]


def _by_shares(groups: NDArray[np.int64], limits: NDArray[np.float64], deal: Deal) -> Hospitals:
    lots = deal.generator.random(len(groups))
    hospitals = np.empty(len(groups), dtype=np.int64)
    for group in np.unique(groups):
        members = groups == group
        hospitals[members] = np.searchsorted(limits[group], lots[members], side="right")
    return np.minimum(hospitals, deal.hospitals - 1)  # the last limit is 1 but for rounding


def _equipment(cohort: Cohort) -> NDArray[np.float64]:
    """0 where all is lateral, 1 where all is frontal PA, 3 where all is AP; mixtures lie between."""
    return 2 * cohort.bedside + (1 - cohort.lateral)
