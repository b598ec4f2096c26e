"""What this machine trains fastest with: every "auto" of ``[training]``, settled by a short measurement.

Done once, before a run begins. The choice goes into the resolved configuration, whose digest is on the
ledger, so that a resumed or repeated run does not choose again: precision and memory format decide bits.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from fedcxr.config import Config, Training
from fedcxr.data.examples import Examples
from fedcxr.models.network import LABEL_COUNT
from fedcxr.models.registry import build_model
from fedcxr.training.trainer import train

Progress = Callable[[str, int, int], None]  # what, done, total
_WHAT = "measuring what this machine trains fastest with"
PROBE_IMAGES = 8  # a float32 NCHW Xception takes seconds even for these, on a CPU
CLOSE = 0.5  # a candidate with less than this part of the best probe's speed is not measured further
STEPS = 2  # timed steps of a full batch, after one that warms the kernels up
BUDGET = 20.0  # seconds after which nothing further is begun: on a busy machine the probes must do


@dataclass(frozen=True)
class Measurement:
    """One candidate, as it was timed on this machine.

    Attributes:
        device, precision, memory_format: the values of ``[training]``.
        batch_size: images a step, each seen once or, with contrast, twice.
        images_per_second: image passes a second, forward, backward and optimiser.
        chosen: whether the resolved configuration has it.
    """

    device: str
    precision: str
    memory_format: str
    batch_size: int
    images_per_second: float
    chosen: bool = False


def resolve(
    config: Config, *, progress: Progress | None = None, clock: Callable[[], float] = time.monotonic
) -> tuple[Config, list[Measurement]]:
    """``config`` with nothing left "auto", and what was measured: the chosen first, then by speed.

    CUDA is taken where there is a device, unmeasured. Precision and memory format are timed with the real
    model at the real size: every candidate on a small batch, then the close ones on full batches. Nothing is
    begun after 20 seconds, and what was not measured is not chosen. A configuration without "auto" comes back
    as it is, with no measurement. ``progress`` is told before and after each of the at most eight timings.

    Raises:
        ConfigError: ``training.device = "cuda"`` where there is none.
    """
    if config.resolved:
        return config, []
    deadline = clock() + BUDGET
    tell = progress or (lambda what, done, total: None)
    probes: dict[_Candidate, float] = {}
    candidates = list(_candidates(config.training))
    for candidate in candidates:
        tell(_WHAT, len(probes), 2 * len(candidates))
        if not probes or clock() < deadline:
            probes[candidate] = speed(candidate.applied_to(config), PROBE_IMAGES, steps=1)
    batch_size = config.training.batch_size
    close = [c for c in probes if probes[c] >= CLOSE * max(probes.values())]
    full: dict[_Candidate, float] = {}
    for candidate in close if len(close) > 1 else ():
        tell(_WHAT, len(candidates) + len(full), 2 * len(candidates))
        if clock() < deadline:
            full[candidate] = speed(candidate.applied_to(config), batch_size, steps=STEPS)
    tell(_WHAT, 2 * len(candidates), 2 * len(candidates))
    # Speeds compare at one batch size only: a small batch may look faster than another's full one.
    compared = full if full.keys() == set(close) else probes
    chosen = max(compared, key=compared.__getitem__)
    measurements = [
        Measurement(
            *candidate,
            batch_size=batch_size if candidate in full else PROBE_IMAGES,
            images_per_second=full.get(candidate, probe),
            chosen=candidate == chosen,
        )
        for candidate, probe in probes.items()
    ]
    measurements.sort(key=lambda m: (not m.chosen, -m.images_per_second))
    return chosen.applied_to(config), measurements


class _Candidate(NamedTuple):
    """One way to fill the "auto" keys."""

    device: str
    precision: str
    memory_format: str

    def applied_to(self, config: Config) -> Config:
        return config.with_changes({f"training.{key}": value for key, value in self._asdict().items()})


def _candidates(training: Training) -> Iterator[_Candidate]:
    """First what is fast everywhere: bfloat16 wins where it has instructions, and crawls elsewhere."""
    device: str = training.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    precisions = ("float32", "bfloat16") if training.precision == "auto" else (training.precision,)
    formats = (
        ("channels_last", "contiguous") if training.memory_format == "auto" else (training.memory_format,)
    )
    for memory_format, precision in itertools.product(formats, precisions):
        yield _Candidate(device, precision, memory_format)


def speed(config: Config, batch_size: int, *, steps: int) -> float:
    """Image passes a second over ``steps`` steps, after one that warms up."""
    parts = min(config.training.accumulate, batch_size // 2)
    changes = {"batch_size": batch_size, "local_epochs": 1, "pretrain_epochs": 0, "accumulate": parts}
    config = config.with_changes({f"training.{key}": value for key, value in changes.items()})
    model = build_model(config.model)
    train(model, noise_examples(config, batch_size), config=config, round_index=1, hospital="measurement")
    examples = noise_examples(config, steps * batch_size)
    report = train(model, examples, config=config, round_index=1, hospital="measurement")
    return report.passes / report.seconds


def noise_examples(config: Config, count: int) -> Examples:
    """``count`` images of noise at the training resolution, two to a study, all labels known: for timing."""
    generator = np.random.default_rng(0)
    size = config.data.size
    return Examples(
        images=generator.integers(0, 256, (count, size, size), dtype=np.uint8),
        rows=np.arange(count, dtype=np.int64),
        targets=(generator.random((count, LABEL_COUNT)) < 0.1).astype(np.float32),
        mask=np.ones((count, LABEL_COUNT), dtype=np.bool_),
        patients=np.arange(count, dtype=np.int64) // 2,
        studies=np.arange(count, dtype=np.int64) // 2,
    )
