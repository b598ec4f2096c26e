"""The results that are kept of a finished run: small enough for a repository, and enough for every table.

::

    NAME/seed-N/
      config.toml        the configuration as resolved
      predictions.csv    of the validation studies, all 14 labels, as the run's report has them
      result.json        what the run was, cost, and was made by
      speed.json         by table: images a second, measured beside that table's others; where asked for
      explain.json       where the model looks, scored; likewise
      explain.csv        the same finding by finding

A table needs these and the truth, which stays where the data are; a run with its images, updates and models
is a thousand times as large.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from fedcxr import bounded, files, json_text
from fedcxr.config import Config, load
from fedcxr.data.phantom import generate
from fedcxr.errors import StoreError
from fedcxr.evaluation.scores import explain
from fedcxr.report.run_report import FOLDER
from fedcxr.round_lines import read_rounds
from fedcxr.store.run_directory import RunDirectory
from fedcxr.training.speeds import Speed

PREDICTIONS, EXPLANATION, CASES = "predictions.csv", "explain.json", "explain.csv"
_FACTS, _CONFIG, _SPEED = "result.json", "config.toml", "speed.json"
_LONGEST = 1 << 30  # bytes of a run's predictions; half a million studies have some 200 million


class Facts(BaseModel):
    """The file ``result.json``: what a run was, and what it cost.

    Attributes:
        model: digest of the last released model, hex.
        rounds: on the ledger.
        parameters: values that travel.
        passes: images put through the network, all hospitals and rounds.
        images_per_second: passes, of the median hospital and round, whatever else the machine did.
        seconds: of all rounds, likewise; those of a round that a crash cut in two are not in it.
        bytes_up: what hospitals sent.
        machine: processor, cores and torch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    rounds: int
    parameters: int
    passes: int
    images_per_second: float
    seconds: float
    bytes_up: int
    machine: str


class KeptSpeed(BaseModel):
    """An entry of ``speed.json``: a :class:`fedcxr.training.speeds.Speed`, and its machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images_per_second: float
    parameters: int
    turns: int
    machine: str


_SPEEDS = TypeAdapter(dict[str, KeptSpeed])


class Result:
    """The folder of one run's kept results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def exists(self) -> bool:
        """Whether the results are complete: ``result.json`` is written last."""
        return self.facts_path.is_file()

    @property
    def facts_path(self) -> Path:
        return self.folder / _FACTS

    @property
    def predictions(self) -> Path:
        return self.folder / PREDICTIONS

    @property
    def explanation(self) -> Path:
        return self.folder / EXPLANATION

    @property
    def cases(self) -> Path:
        return self.folder / CASES

    @property
    def config(self) -> Config:
        """The run's configuration; raises ConfigError where the file is none."""
        return load(self.folder / _CONFIG)

    @property
    def facts(self) -> Facts:
        """The content of ``result.json``; raises StoreError where the file is none."""
        try:
            return Facts.model_validate_json(bounded.read(self.facts_path, json_text.LONGEST))
        except ValidationError as error:
            raise StoreError(f"{self.facts_path}: {explain(error)}") from None
        except OSError as error:
            raise StoreError(f"{self.facts_path}: cannot be read: {error.strerror}.") from None

    def speed(self, table: str) -> KeptSpeed | None:
        """The speed that was measured for a table, beside its other experiments; None where it was not.

        Raises:
            StoreError: the file is none.
        """
        return self._speeds().get(table)

    def keep_speed(self, table: str, speed: Speed) -> None:
        """Keep the speed that was measured on this machine for a table; it replaces an earlier one."""
        kept = KeptSpeed(
            images_per_second=round(speed.images_per_second, 1),
            parameters=speed.parameters,
            turns=speed.turns,
            machine=machine(),
        )
        speeds = self._speeds() | {table: kept}
        files.write(self.folder / _SPEED, _SPEEDS.dump_json(speeds, indent=1).decode() + "\n")

    def _speeds(self) -> dict[str, KeptSpeed]:
        path = self.folder / _SPEED
        try:
            return _SPEEDS.validate_json(bounded.read(path, json_text.LONGEST))
        except FileNotFoundError:
            return {}
        except ValidationError as error:
            raise StoreError(f"{path}: {explain(error)}") from None

    @property
    def truth(self) -> Path:
        """The CSV with the predictions' true labels; phantoms that were removed are generated again."""
        config = self.config
        csv = config.data.root_path / config.data.valid_csv
        if config.data.phantom is not None and not csv.is_file():
            generate(config.data.root_path, config.data.phantom, config.seed)
        return csv

    def keep(self, run: RunDirectory) -> None:
        """Keep a finished run's results; they replace earlier ones.

        Raises:
            StoreError: the run lacks a file, or the folder cannot be written.
        """
        records = read_rounds(run)
        rates = [
            hospital.passes / hospital.seconds
            for record in records
            for hospital in record.hospitals.values()
            if hospital.seconds > 0 and hospital.passes
        ]
        facts = Facts(
            model=records[-1].model,
            rounds=len(records),
            parameters=run.read_layout().size,
            passes=sum(record.passes for record in records),
            images_per_second=round(float(np.median(rates)), 1) if rates else 0.0,
            seconds=round(sum(record.seconds or 0.0 for record in records), 1),
            bytes_up=sum(record.bytes_up or 0 for record in records),
            machine=machine(),
        )
        files.make_folder(self.folder)
        self.facts_path.unlink(missing_ok=True)
        files.write(self.folder / _CONFIG, run.config.to_toml())
        files.write(self.predictions, _predicted(predictions_of(run)))
        for name in (EXPLANATION, CASES):
            if (explained := run.root / FOLDER / name).is_file():
                files.write(self.folder / name, bounded.read(explained, _LONGEST))
        files.write(self.facts_path, facts.model_dump_json(indent=1) + "\n")


def predictions_of(run: RunDirectory) -> Path:
    """The path of a run's stored predictions."""
    return run.root / FOLDER / PREDICTIONS


def machine() -> str:
    """A description of this machine, for readers of measurements: processor, cores, GPU, torch."""
    import torch

    cores = f"{os.cpu_count()} cores"
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{_processor()}, {cores}{gpu}, torch {torch.__version__.partition('+')[0]}"


def _processor(information: Path = Path("/proc/cpuinfo")) -> str:
    try:
        lines = information.read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _predicted(path: Path) -> bytes:
    """The predictions with every digit: with four, hundreds of confident predictions would be equal."""
    if not path.is_file():
        raise StoreError(f"{path}: missing; `fedcxr report {path.parent.parent}` writes it.")
    return bounded.read(path, _LONGEST)
