"""Making a partition: patients of train and valid are dealt out to hospitals, each to one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.config import Partition as Settings
from fedcxr.data.chexpert import ChexpertTable
from fedcxr.data.columns import read_columns
from fedcxr.data.dealing import SCHEMES, Cohort, Deal
from fedcxr.data.manifest import Holding, Partition, Shard, Sources, some
from fedcxr.errors import PartitionError
from fedcxr.seeds import derive_seed

__all__ = ["Holding", "Partition", "Shard", "Sources", "check_disjoint", "make_partition"]

_DRAWS = 100  # how often lots are drawn before min_patients is given up; NIID-Bench draws for ever


def make_partition(
    train: ChexpertTable, valid: ChexpertTable, settings: Settings, seed: int, root: Path
) -> Partition:
    """Deal the patients of both tables out to hospitals; the same arguments give the same partition.

    Lots are drawn again, up to a hundred times, while a hospital has fewer than ``settings.min_patients``
    patients in train.

    Args:
        train: what hospitals train on.
        valid: what they are evaluated on; each patient goes to a hospital as in train.
        settings: the configuration's section.
        seed: the run's.
        root: the folder to which ``settings.sites`` is relative.

    Raises:
        PartitionError: a patient is in both tables; a patient has no site (``natural``); a hospital has too
            few patients; ``settings.leave_out`` names no site, or all.
        TableError: the CSV of sites is faulty.
    """
    check_disjoint(train, valid)
    if settings.scheme == "natural":
        return _natural(train, valid, settings, seed, root)
    if settings.hospitals * settings.min_patients > len(train.patient_names):
        raise PartitionError(
            f"{settings.hospitals} hospitals with {settings.min_patients} patients each are more than the "
            f"{len(train.patient_names)} patients of {train.csv}."
        )
    names = tuple(f"hospital-{number + 1}" for number in range(settings.hospitals))
    scheme, cohorts = SCHEMES[settings.scheme], (Cohort.of(train), Cohort.of(valid))
    sizes: NDArray[np.int64] = np.zeros(1, dtype=np.int64)
    for draw in range(_DRAWS):
        generator = np.random.default_rng(derive_seed(seed, "partition", settings.scheme, draw))
        deal = Deal(settings.hospitals, settings.alpha, generator)
        in_train, in_valid = scheme.deal(*cohorts, deal)
        sizes = np.bincount(in_train, minlength=settings.hospitals)
        if sizes.min() >= settings.min_patients:
            shards = _shards(names, (train, in_train), (valid, in_valid))
            alpha = settings.alpha if scheme.uses_alpha else None
            return Partition(settings.scheme, seed, shards, Sources(train.digest, valid.digest), alpha)
    raise PartitionError(
        f"{names[int(sizes.argmin())]} has {sizes.min()} patients in {train.csv}, partition.min_patients is "
        f"{settings.min_patients}, and {_DRAWS} draws did no better: fewer hospitals or a larger alpha would;"
        f" too small are {some(names[i] for i in np.flatnonzero(sizes < settings.min_patients))}."
    )


def check_disjoint(train: ChexpertTable, valid: ChexpertTable) -> None:
    """Check that no patient is in both tables.

    Raises:
        PartitionError: names those that are.
    """
    common = np.intersect1d(train.patient_names, valid.patient_names, assume_unique=True).tolist()
    if common:
        raise PartitionError(
            f"{some(common)} in {train.csv} and in {valid.csv}: a model would be evaluated on patients "
            "that it has seen; take them out of one."
        )


def _natural(
    train: ChexpertTable, valid: ChexpertTable, settings: Settings, seed: int, root: Path
) -> Partition:
    columns = read_columns(root / settings.sites, ("patient", "site"))
    sites: dict[str, str] = {}
    for row, (patient, text) in enumerate(zip(columns["patient"], columns["site"], strict=True)):
        site = text.strip()
        if not site or not site.isprintable():
            columns.fail(row, "site", f"{text!r} is not a name")
        if sites.setdefault(patient, site) != site:
            columns.fail(row, "site", f"{patient} is at {site!r} here and at {sites[patient]!r} before")
    left = [p for table in (train, valid) for p in table.patient_names.tolist() if p not in sites]
    if left:
        raise PartitionError(f"{columns.csv} has no site for {some(left)}.")
    at = [np.array([sites[patient] for patient in table.patient_names.tolist()]) for table in (train, valid)]
    names = np.unique(np.concatenate(at)).tolist()
    in_train, in_valid = (np.searchsorted(names, where) for where in at)
    shards = _shards(names, (train, in_train), (valid, in_valid))
    for site in settings.leave_out:
        if site not in names:
            raise PartitionError(
                f"partition.leave_out: {columns.csv} has no site {site!r} (it has {some(names)})."
            )
    hospitals = tuple(shard for shard in shards if shard.name not in settings.leave_out)
    if not hospitals:
        raise PartitionError(
            f"partition.leave_out names every site of {columns.csv}: nobody is left to train."
        )
    small = [shard for shard in hospitals if shard.train.patients < settings.min_patients]
    if small:
        least = min(small, key=lambda shard: shard.train.patients)
        size, others = least.train.patients, [repr(shard.name) for shard in small if shard is not least]
        raise PartitionError(
            f"the site {least.name!r} of {columns.csv} has {size} patient{'s'[: size != 1]} in {train.csv}; "
            f"partition.min_patients is {settings.min_patients}."
            + (f" Too small, too: {some(others)}." if others else "")
        )
    return Partition(
        "natural",
        seed,
        hospitals,
        Sources(train.digest, valid.digest, columns.digest),
        unseen=tuple(shard for shard in shards if shard.name in settings.leave_out),
    )


def _shards(names: Sequence[str], *dealt: tuple[ChexpertTable, NDArray[np.int64]]) -> tuple[Shard, ...]:
    """Shards from each table with its patients' hospitals."""
    holdings = [_holdings(table, hospitals, len(names)) for table, hospitals in dealt]
    patients = np.concatenate([table.patient_names for table, _ in dealt])
    hospitals = np.concatenate([hospitals for _, hospitals in dealt])
    shards = []
    for number, name in enumerate(names):
        members = tuple(np.sort(patients[hospitals == number]).tolist())
        shards.append(Shard(name, members, holdings[0][number], holdings[1][number]))
    return tuple(shards)


def _holdings(table: ChexpertTable, hospitals: NDArray[np.int64], count: int) -> list[Holding]:
    patients = np.bincount(hospitals, minlength=count)
    by_row = hospitals[table.patient_codes]
    images = np.bincount(by_row, minlength=count)
    study_rows = np.unique(table.study_codes, return_index=True)[1]
    studies = np.bincount(by_row[study_rows], minlength=count)
    return [Holding(*map(int, counts)) for counts in zip(patients, studies, images, strict=True)]
