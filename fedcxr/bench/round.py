"""What a round costs, as ratios within one run: the machine may be noisy, its noise is in both terms."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from flwr.app import UserConfig

from clients.app import hospital_app
from clients.hospital import Hospital
from clients.member import Member
from fedcxr import config as configuration
from fedcxr.bench.alternatives import peak_memory
from fedcxr.bench.trainer import bench_trainer
from fedcxr.config import Config
from fedcxr.round_lines import read_rounds
from fedcxr.run.preparation import open_or_create, prepare_simulation
from fedcxr.seeds import derive_seed
from fedcxr.store.run_directory import RunDirectory
from fedcxr.training.trainer import TrainingReport
from fedcxr.update.kept_memory import MEMORY
from fedcxr.update.layout import Vector
from server.app import coordinate
from server.events import Event, HospitalAnswered, Observer
from server.grids.local import LocalGrid
from server.grids.simulation import on_local_grid, simulate

Say = Callable[[str], None]


@dataclass(frozen=True)
class RoundBench:
    """The figures of ``fedcxr bench round``.

    Attributes:
        trainer_over_bare: images/s over a bare PyTorch loop of the same arithmetic; goal at least 0.9.
        trainer_over_default: images/s over the NCHW float32 loop.
        protect_verify_seconds: encode, seal, hash, sign, store, submit, verify, open and add, per hospital at
            the full model's size; goal at most 1.
        peak_memory_16_over_4: the process's peak with 16 against 4 hospitals; goal at most 1.15.
        ledger_share: ledger and protection as a share of a round that trains.
        parameters: values in the update.
        round_seconds: of the round that trains.
        round_images: that the hospitals trained on in it, together; the share shrinks as it grows.
    """

    trainer_over_bare: float
    trainer_over_default: float
    protect_verify_seconds: float
    peak_memory_16_over_4: float
    ledger_share: float
    parameters: int
    round_seconds: float
    round_images: int


def bench_round(say: Say, model: str = "semssxl", *, patients: int = 400) -> RoundBench:
    """Measure everything; about four minutes on two cores with the full model.

    Args:
        say: told of each part as it begins.
        model: that is trained.
        patients: of each hospital, in the round that trains.
    """
    with tempfile.TemporaryDirectory(prefix="fedcxr-bench-") as directory:
        work = Path(directory)
        say("training speed against a bare loop")
        trainer = bench_trainer(_config(work, model, hospitals=1))
        say("protecting and verifying updates")
        cost = _protocol(work / "protocol", model, 4)
        say("peak memory with 4 and with 16 hospitals")
        peaks = {n: _in_child(_peak_memory, work / f"memory-{n}", model, n) for n in (4, 16)}
        say("a round that trains")
        share, seconds, images = _training_round(work / "training", model, patients)
        return RoundBench(
            trainer_over_bare=trainer.trainer_over_bare,
            trainer_over_default=trainer.trainer_over_default,
            protect_verify_seconds=cost.seconds,
            peak_memory_16_over_4=peaks[16] / peaks[4],
            ledger_share=share,
            parameters=cost.parameters,
            round_seconds=seconds,
            round_images=images,
        )


@dataclass(frozen=True)
class _ProtocolCost:
    seconds: float  # median over hospitals and rounds
    parameters: int


class _NoiseHospital(Hospital):
    """A hospital in everything but the training: its update is noise of a plausible size."""

    def _train_from(
        self, base: Vector, member: Member, round_number: int
    ) -> tuple[TrainingReport, int, Vector]:
        rng = np.random.default_rng(derive_seed(member.config.seed, round_number, self.name, "noise"))
        vector = rng.standard_normal(dtype=np.float32, out=MEMORY.vector(len(base)).view(np.float32))
        vector *= np.float32(1e-3)
        vector += base
        samples = self._images(member)
        return TrainingReport(samples, samples, 1, 0.0, 0.0, {}), samples, vector


def _config(work: Path, model: str, *, hospitals: int, rounds: int = 1, patients: int = 10) -> Config:
    # The size of the figures on record.
    bare = {"attention": False, "fusion": False} if model == "semssxl" else {}
    tree = {
        "name": "bench",
        "data": {
            "root": str(work / "phantom"),
            "size": 64,
            "phantom": {"hospitals": hospitals, "patients": patients, "size": 64},
        },
        "model": {"name": model, **bare},
        "training": {"threads": 2},
        "federation": {"rounds": rounds},
        "evaluation": {"bootstrap": 0},
    }
    return configuration.validate(tree, where="bench")


def run_protocol(
    work: Path,
    model: str,
    hospitals: int,
    rounds: int,
    observer: Observer,
    *,
    changes: Mapping[str, object] | None = None,
) -> RunDirectory:
    """Rounds without training, over the whole real path: envelope, signature, contract, store, sum."""
    fixed = {
        "training.device": "cpu",
        "training.precision": "float32",
        "training.memory_format": "contiguous",
    }
    config = _config(work, model, hospitals=hospitals, rounds=rounds).with_changes(
        fixed | dict(changes or {})
    )
    run = open_or_create(work / "run", config)
    prepare_simulation(run, lambda what, done, total: None)
    run_config: UserConfig = {"run": str(run.root), "hospitals": hospitals}
    nodes: list[UserConfig] = [{"partition-id": i, "num-partitions": hospitals} for i in range(hospitals)]
    coordinate(
        LocalGrid(hospital_app(_NoiseHospital), nodes, run_config), run, hospitals, observer, evaluate=None
    )
    return run


def _protocol(work: Path, model: str, hospitals: int) -> _ProtocolCost:
    """Seconds per hospital, from the sealed side (signed metrics) and the server's own clock."""
    protect: list[float] = []

    def observer(event: Event) -> None:
        if isinstance(event, HospitalAnswered) and event.metrics is not None:
            protect.append(event.metrics.protect_seconds)

    run = run_protocol(work, model, hospitals, rounds=2, observer=observer)
    lines = read_rounds(run)
    server = [((line.verify_seconds or 0.0) + (line.ledger_seconds or 0.0)) / hospitals for line in lines]
    return _ProtocolCost(statistics.median(protect) + min(server), run.read_layout().size)


def _peak_memory(work: Path, model: str, hospitals: int) -> float:
    """Peak resident memory, in bytes, of a process that runs server and hospitals in turn."""
    run_protocol(work, model, hospitals, rounds=1, observer=lambda event: None)
    return float(peak_memory())


def _training_round(work: Path, model: str, patients: int) -> tuple[float, float, int]:
    """The share of a training round that ledger and protection take, its seconds and its images."""
    config = _config(work, model, hospitals=4, patients=patients)
    with contextlib.redirect_stdout(sys.stderr):  # the figures alone go to standard output
        run = simulate(config, work / "run", on_local_grid)
    line = read_rounds(run)[-1]
    assert line.seconds is not None and line.ledger_seconds is not None and line.verify_seconds is not None
    protect = sum(hospital.protect_seconds for hospital in line.hospitals.values())
    share = (line.ledger_seconds + line.verify_seconds + protect) / line.seconds
    return share, line.seconds, sum(hospital.images for hospital in line.hospitals.values())


def _in_child(function: Callable[[Path, str, int], float], work: Path, model: str, hospitals: int) -> float:
    """Run a measurement in a process of its own, whose peak memory is then its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, (work, model, hospitals))


def as_json(bench: RoundBench) -> str:
    """The figures for machines."""
    return json.dumps(asdict(bench), indent=2)
