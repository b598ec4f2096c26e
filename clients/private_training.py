"""A hospital's training with differential privacy: its budget, and a round's result, kept before it leaves.

A round is trained once. Whatever asks for it again, from the same model, a coordinator that was killed or
another attempt, gets what was computed then: to train again would spend again, and another noise would give
another model.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from clients.disk import HospitalDisk
from clients.member import Member
from fedcxr import files, json_text, tensor_file
from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.errors import ConfigError, LimitError, ModelError, StoreError
from fedcxr.models.network import Network
from fedcxr.privacy.dp.plan import PrivacyPlan
from fedcxr.store.hospital_settings import HospitalPrivacy
from fedcxr.store.privacy_record import PrivacyRecord, Release, Spending
from fedcxr.training.private_trainer import train_privately
from fedcxr.training.trainer import TrainingReport
from fedcxr.update.layout import Vector

_KEY = "fedcxr"  # one metadata key only: safetensors does not order them
_LONGEST = 1 << 33  # bytes of a kept result


@dataclass(frozen=True)
class Kept:
    """The result of the newest round that was trained, as it is on the disk.

    Attributes:
        release: what of it the record says.
        report: of the training.
        vector: the shared tensors afterwards.
    """

    release: Release
    report: TrainingReport
    vector: Vector


@dataclass(frozen=True)
class PrivateTraining:
    """A hospital in a federation with differential privacy."""

    disk: HospitalDisk
    member: Member
    patients: int

    @classmethod
    def of(cls, member: Member, examples: Examples) -> PrivateTraining:
        """``examples`` are all that the hospital trains on, and say whose images are whose."""
        assert examples.patients is not None
        return cls(member.disk, member, len(np.unique(examples.patients)))

    def check(self, round_number: int, base: bytes) -> None:
        """See that a round can be trained, or was; nothing is taken of the hospital's budget yet.

        Args:
            round_number: from 1.
            base: digest of the model that it begins with.

        Raises:
            LimitError: nothing is left.
            ConfigError: ``hospital.toml`` says nothing of what may be spent.
            StoreError: the record is damaged.
        """
        with PrivacyRecord.held(self._path) as record:
            spending = self._spending(record)
            if self._kept(round_number, base) is None:
                _check_left(spending, round_number)

    def train(
        self, model: Network, examples: Examples, base: bytes, round_number: int
    ) -> tuple[TrainingReport, Vector]:
        """Train ``model`` in place, or find what an earlier training of the round gave.

        Whoever asks meanwhile for anything that is written in the same record waits, and finds it then.

        Returns:
            The training's report, with what has been spent so far, and the shared tensors afterwards.

        Raises:
            LimitError, ConfigError, StoreError: as :meth:`check`.
            NonFiniteError: NaN or infinity in the weights.
        """
        with PrivacyRecord.held(self._path) as record:
            spending, kept = self._spending(record), self._kept(round_number, base)
            if kept is None:
                _check_left(spending, round_number)
                record.write(self._key, spending)  # the budget has no room for another federation from here
                report = train_privately(
                    model,
                    examples,
                    spending.plan,
                    config=self.member.config,
                    round_index=round_number,
                    hospital=self.disk.settings.name,
                    steps=spending.next_steps,
                )
                release = Release.new(round_number, base, report.steps)
                kept = Kept(release, report, self.member.layout.flatten(model.state_dict()))
                self._keep(kept)
            spending = spending.with_release(kept.release)
            record.write(self._key, spending)
        return replace(kept.report, privacy=spending.statement), kept.vector

    @property
    def _key(self) -> str:
        return f"{self.member.membership.federation}/{self.disk.settings.name}"

    @property
    def _path(self) -> Path:
        return record_path(self.disk)

    def _spending(self, record: PrivacyRecord) -> Spending:
        """The hospital's spending in this federation; where it has none yet, once its budget has room for it.

        Raises:
            LimitError: it has none.
            StoreError: the record does not know of what this hospital released.
        """
        if (spending := record.of(self._key)) is not None:
            return spending
        federation = bytes.fromhex(self.member.membership.federation)
        kept = any(path.is_file() for path in self._kept_paths())
        if kept or any(signed.federation == federation for signed in self.disk.submissions()):
            raise StoreError(
                f"{self._path}: says nothing of this federation, in which this hospital released updates: it "
                "was put back from a copy, or is another file. Nothing is trained until it is the right one."
            )
        plan, settings = PrivacyPlan.of(self.member.config, self.patients), privacy_settings(self.disk)
        epsilon, delta = record.others(self._key)
        most = 1.0 / self.patients if settings.delta is None else settings.delta
        if epsilon + plan.epsilon > settings.epsilon or delta + plan.delta > most:
            raise LimitError(
                f"refused, for the budget here: this federation may spend an epsilon of {plan.epsilon} and a "
                f"delta of {plan.delta:.3g} of each patient. {self._path} has {epsilon} and {delta:.3g} for "
                f"others, and hospital.toml allows {settings.epsilon} and {most:.3g} in all."
            )
        return Spending.beginning(plan)

    def _kept_paths(self) -> list[Path]:
        names = (self.member.address, *self.disk.former_addresses)
        return [self.disk.root / name / "private.safetensors" for name in names]

    def _kept(self, round_number: int, base: bytes) -> Kept | None:
        """What the round was trained to, if it is the newest and began with this model.

        Raises:
            StoreError: the file is damaged.
        """
        path = next((path for path in self._kept_paths() if path.is_file()), None)
        if path is None:
            return None
        try:
            tensors, metadata = tensor_file.read(path, _LONGEST)
            tree = json_text.parse(metadata[_KEY])
            release = Release.model_validate(tree["release"])
            report = TrainingReport(**tree["report"])
            vector = tensors["vector"].numpy()
            self.member.layout.check(vector)
        except (ModelError, OSError, KeyError, ValueError, TypeError) as error:
            raise StoreError(
                f"{path}: damaged ({error!s:.200}). Remove it; the round that it was of is then trained "
                "again, and spends again."
            ) from None
        if (release.round, release.base) != (round_number, base.hex()):
            return None
        return Kept(release, report, vector)

    def _keep(self, kept: Kept) -> None:
        said = json.dumps({"release": kept.release.model_dump(mode="json"), "report": asdict(kept.report)})
        tensors = {"vector": torch.from_numpy(kept.vector)}
        path, *former = self._kept_paths()
        files.write(path, save(tensors, {_KEY: said}), mode=0o600)
        for old in former:
            old.unlink(missing_ok=True)


def _check_left(spending: Spending, round_number: int) -> None:
    """See that there is a step left to take.

    Raises:
        LimitError: there is none.
    """
    if spending.next_steps == 0:
        raise LimitError(
            f"round {round_number}: refused: {spending.taken:,} steps have spent the epsilon of "
            f"{spending.epsilon} that this federation has of each patient."
        )


def record_path(disk: HospitalDisk) -> Path:
    """The file of what was spent, whatever links lead there: its lock is beside the file itself."""
    return (disk.root / privacy_settings(disk).record).resolve()


def check_budget(disk: HospitalDisk, config: Config) -> None:
    """See that a federation trains as ``hospital.toml`` wants it, with differential privacy or without.

    Raises:
        ConfigError: it has differential privacy, and nothing says what may be spent.
        LimitError: something says it, and this federation would spend without end.
    """
    if config.differential_privacy.on:
        privacy_settings(disk)
    elif disk.settings.privacy is not None:
        raise LimitError(
            "refused, for the budget here: this federation trains without differential privacy, and "
            "hospital.toml has a table [privacy]. Without noise there is no end to what is spent."
        )


def privacy_settings(disk: HospitalDisk) -> HospitalPrivacy:
    """What ``hospital.toml`` says of what may be spent.

    Raises:
        ConfigError: nothing.
    """
    if disk.settings.privacy is None:
        raise ConfigError(
            f"{disk.root / 'hospital.toml'}: this federation has differential privacy, and nothing says what "
            "may be spent. Add a table [privacy] with record, the file in which it is written down, one for "
            "all federations over these patients, and epsilon, the most for all of them together."
        )
    return disk.settings.privacy
