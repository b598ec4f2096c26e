"""What was spent on a hospital's patients, written down before anything that was computed from them leaves.

The file that ``privacy.record`` of ``hospital.toml`` names, one for all federations over the same patients::

    {"format": "fedcxr/privacy-record/1",
     "federations": {"<federation>/<hospital>": {"patients": …, "epsilon": …, "releases": […], …}}}

A federation takes the whole of its epsilon and delta from the hospital's at its first round, and federations
add up. That holds whatever a later federation is asked to do because of what an earlier one showed (basic
composition: Rogers et al. 2016, https://arxiv.org/abs/1605.08294), which distributions of privacy loss,
composed over federations, would not.
"""

from __future__ import annotations

import contextlib
import fcntl
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedcxr import bounded, files, json_text
from fedcxr.errors import StoreError
from fedcxr.privacy.dp.accounting import NoisyStep
from fedcxr.privacy.dp.plan import PrivacyPlan

_LONGEST = 1 << 24  # bytes of the file: of some 100,000 releases
_Count = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
_Number = Annotated[float, Field(gt=0.0, lt=1e12, allow_inf_nan=False)]


class Release(BaseModel):
    """One round's training, after which the model was written to the disk.

    Attributes:
        round: on the ledger.
        base: digest of the model that it began with, hex.
        steps: that it took.
        name: of this training, 16 hex digits at random.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    round: _Count
    base: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    steps: _Count
    name: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]

    @classmethod
    def new(cls, round_number: int, base: bytes, steps: int) -> Self:
        """A release that is about to be."""
        return cls(round=round_number, base=base.hex(), steps=steps, name=secrets.token_hex(8))


class Spending(BaseModel):
    """One hospital's plan in one federation, as it was when it began, and what it released since.

    The plan's fields are those of :class:`~fedcxr.privacy.dp.plan.PrivacyPlan`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    patients: _Count
    sample_rate: Annotated[float, Field(gt=0.0, le=1.0)]
    noise_multiplier: _Number
    clip: _Number
    epsilon: _Number
    delta: Annotated[float, Field(gt=0.0, lt=1.0)]
    round_steps: _Count
    steps: _Count
    releases: tuple[Release, ...] = ()

    @classmethod
    def beginning(cls, plan: PrivacyPlan) -> Self:
        """Nothing is spent of a plan yet."""
        return cls(
            patients=plan.patients,
            sample_rate=plan.step.sample_rate,
            noise_multiplier=plan.step.noise_multiplier,
            clip=plan.clip,
            epsilon=plan.epsilon,
            delta=plan.delta,
            round_steps=plan.round_steps,
            steps=plan.steps,
        )

    @property
    def plan(self) -> PrivacyPlan:
        """The plan that the hospital goes by, whatever a later version would make of the same counts."""
        return PrivacyPlan(
            patients=self.patients,
            step=NoisyStep(self.sample_rate, self.noise_multiplier),
            clip=self.clip,
            epsilon=self.epsilon,
            delta=self.delta,
            round_steps=self.round_steps,
            steps=self.steps,
        )

    @property
    def taken(self) -> int:
        """Steps so far."""
        return sum(release.steps for release in self.releases)

    @property
    def next_steps(self) -> int:
        """Steps that the next round takes: those of a round, or what is left."""
        return max(0, min(self.round_steps, self.steps - self.taken))

    def with_release(self, release: Release) -> Self:
        """The spending with a release that it may have already."""
        if release in self.releases:
            return self
        return self.model_copy(update={"releases": (*self.releases, release)})

    @property
    def statement(self) -> dict[str, float]:
        """What the hospital signs of it, in its metrics."""
        return {
            "epsilon": self.plan.spent(self.taken),
            "delta": self.delta,
            "steps": float(self.taken),
            "sample_rate": self.sample_rate,
            "noise_multiplier": self.noise_multiplier,
            "clip": self.clip,
        }


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["fedcxr/privacy-record/1"] = "fedcxr/privacy-record/1"
    federations: Mapping[str, Spending]


@dataclass(frozen=True)
class PrivacyRecord:
    """The file's content.

    Attributes:
        path: of the file.
        federations: each hospital's spending by "federation/hospital".
    """

    path: Path
    federations: Mapping[str, Spending]

    @classmethod
    @contextlib.contextmanager
    def held(cls, path: Path) -> Iterator[Self]:
        """The file's content, while no other process of this machine changes it.

        Raises:
            StoreError: it is not there, or damaged, or its folder cannot be written to.
        """
        try:
            lock = path.with_name(path.name + ".lock").open("ab")
        except OSError as error:
            raise StoreError(f"{path}: the record of what was spent cannot be kept: {error}") from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield cls(path, _read(path))

    @classmethod
    def begin(cls, path: Path) -> None:
        """Make an empty record, once: one that is not there trains nobody.

        Raises:
            StoreError: there is one.
            UnwritableError: it cannot be written.
        """
        if path.exists():
            raise StoreError(f"{path}: is there already, and stays as it is.")
        files.write(path, _File(federations={}).model_dump_json(indent=1) + "\n", mode=0o600)

    def of(self, key: str) -> Spending | None:
        """The spending of a hospital in a federation; None before it begins."""
        return self.federations.get(key)

    def others(self, key: str) -> tuple[float, float]:
        """Epsilon and delta that all others were promised."""
        others = [one for name, one in self.federations.items() if name != key]
        return sum(one.epsilon for one in others), sum(one.delta for one in others)

    def write(self, key: str, spending: Spending) -> Self:
        """Write one hospital's spending down; it is on the disk before this returns.

        Raises:
            UnwritableError: it cannot be written.
        """
        record = replace(self, federations={**self.federations, key: spending})
        text = _File(federations=record.federations).model_dump_json(indent=1)
        files.write(self.path, text + "\n", mode=0o600)
        return record


def _read(path: Path) -> dict[str, Spending]:
    if not path.exists():
        raise StoreError(
            f"{path}: no record of what was spent on these patients is there, so nothing is trained on them. "
            "If nothing ever was, `fedcxr privacy begin` makes an empty one; else put the right one there."
        )
    try:
        tree = json_text.parse(bounded.read(path, _LONGEST), _LONGEST)
        return dict(_File.model_validate(tree).federations)
    except (OSError, StoreError, ValidationError, ValueError) as error:
        raise StoreError(
            f"{path}: damaged: {error!s:.300}. What was spent on these patients is not known, so nothing is "
            "trained on them. Restore the newest copy, and add by hand what came after it."
        ) from None
