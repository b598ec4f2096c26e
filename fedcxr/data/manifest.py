"""The manifest of a partition, ``partition.json``: who holds which patients.

A shard is a set of patients, never of rows: images of one patient look alike, and a patient in two hospitals
or in train and valid would be a leak that flatters every figure. A manifest belongs to the two CSVs that it
was made for, by their digests, and says so when it is used with others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError

from fedcxr import bounded, files
from fedcxr.data.chexpert import ChexpertTable
from fedcxr.errors import PartitionError, StoreError

_LONGEST = 1 << 28  # bytes; CheXpert's 65,000 patients have a million
_SHOWN = 5  # names in one message


@dataclass(frozen=True)
class Holding:
    """What a hospital has of one table."""

    patients: int
    studies: int
    images: int


@dataclass(frozen=True)
class Shard:
    """One hospital: its patients, sorted, and what that comes to in train and in valid."""

    name: str
    patients: tuple[str, ...]
    train: Holding
    valid: Holding


@dataclass(frozen=True)
class Sources:
    """SHA-256, in hex, of the CSVs that a partition was made from; ``sites`` for ``natural`` only."""

    train: str
    valid: str
    sites: str | None = None


@dataclass(frozen=True)
class Partition:
    """All hospitals of a federation.

    Attributes:
        scheme: how patients were dealt out.
        seed: the run's.
        shards: in the order of the hospitals' numbers; no patient is in two.
        sources: the CSVs.
        alpha: the skew, of the schemes that have one.
        unseen: sites that are no hospital: nobody trains on their patients, and none is in the validation.
        format: of the manifest.

    Raises:
        PartitionError: a name or a patient stands twice.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    scheme: str
    seed: int
    shards: tuple[Shard, ...]
    sources: Sources
    alpha: float | None = None
    unseen: tuple[Shard, ...] = ()
    format: Literal["fedcxr-partition-1"] = "fedcxr-partition-1"

    def __post_init__(self) -> None:
        if name := _twice([shard.name for shard in self._all]):
            raise PartitionError(f"two hospitals are named {name!r}.")
        if patient := _twice([patient for shard in self._all for patient in shard.patients]):
            raise PartitionError(f"{patient} is in two shards, or twice in one.")

    @property
    def _all(self) -> tuple[Shard, ...]:
        return self.shards + self.unseen

    @property
    def names(self) -> tuple[str, ...]:
        """The hospitals' names."""
        return tuple(shard.name for shard in self.shards)

    def shard(self, name: str) -> Shard:
        """The shard of a hospital.

        Raises:
            PartitionError: there is no such hospital.
        """
        for shard in self.shards:
            if shard.name == name:
                return shard
        raise PartitionError(f"no hospital {name!r} in the partition (it has {some(self.names)}).")

    def rows(self, table: ChexpertTable, name: str) -> NDArray[np.int64]:
        """The rows of ``table``, int64 (k,) and rising, that a hospital holds.

        Raises:
            PartitionError: there is no such hospital, or the table is neither of the two.
        """
        shard = self.shard(name)
        self._check_source(table)
        return _rows(table, shard.patients)

    def held(self, table: ChexpertTable) -> NDArray[np.int64]:
        """The rows of ``table``, int64 (k,) and rising, that any hospital holds: all but unseen sites'.

        Raises:
            PartitionError: the table is neither of the two.
        """
        self._check_source(table)
        return _rows(table, [patient for shard in self.shards for patient in shard.patients])

    def check(self, train: ChexpertTable, valid: ChexpertTable) -> None:
        """Check that the partition was made for these two tables.

        Raises:
            PartitionError: it was made for others, or does not hold all their patients.
        """
        for role, table, digest in (
            ("train", train, self.sources.train),
            ("valid", valid, self.sources.valid),
        ):
            if table.digest != digest:
                raise PartitionError(
                    f"the partition was made for another {role} table: {table.csv} has the SHA-256 "
                    f"{table.digest[:12]}..., {digest[:12]}... is wanted."
                )
        held = np.array([patient for shard in self._all for patient in shard.patients])
        for table in (train, valid):
            left = np.setdiff1d(table.patient_names, held, assume_unique=True)
            if len(left):
                raise PartitionError(f"no shard holds {some(left.tolist())} of {table.csv}.")

    def _check_source(self, table: ChexpertTable) -> None:
        if table.digest not in (self.sources.train, self.sources.valid):
            raise PartitionError(
                f"the partition was not made for {table.csv}: its SHA-256 is {table.digest[:12]}..., not "
                f"{self.sources.train[:12]}... (train) or {self.sources.valid[:12]}... (valid)."
            )

    def to_json(self) -> str:
        """The manifest as canonical JSON: sorted keys, no white space."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @property
    def digest(self) -> bytes:
        """SHA-256 of :meth:`to_json`, 32 bytes."""
        return hashlib.sha256(self.to_json().encode()).digest()

    @classmethod
    def from_json(cls, text: str | bytes) -> Partition:
        """Read a manifest.

        Raises:
            PartitionError: it is none, or holds a patient twice.
        """
        try:
            return _MANIFEST.validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "JSON"
            raise PartitionError(f"not a partition manifest: {place}: {first['msg']}.") from None

    def write(self, path: Path) -> None:
        """Write the manifest, whole or not at all; ``sha256sum`` of the file is :attr:`digest`."""
        files.write(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> Partition:
        """Read what :meth:`write` wrote.

        Raises:
            PartitionError: no such file, or no manifest.
        """
        try:
            return cls.from_json(bounded.read(path, _LONGEST))
        except OSError as error:
            raise PartitionError(f"{path}: cannot be read: {error.strerror}.") from None
        except StoreError as error:
            raise PartitionError(str(error)) from None
        except PartitionError as error:
            raise PartitionError(f"{path}: {error}") from None


def _rows(table: ChexpertTable, patients: Sequence[str]) -> NDArray[np.int64]:
    return np.flatnonzero(np.isin(table.patient_names, patients)[table.patient_codes])


def _twice(names: Sequence[str]) -> str:
    """A name that stands twice, or nothing."""
    if len(set(names)) == len(names):
        return ""
    seen: set[str] = set()
    return next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]


def some(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more


_MANIFEST = TypeAdapter(Partition)
