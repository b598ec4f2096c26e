"""What this machine trains fastest with: every "auto" of ``[training]``, settled by a short measurement.

Done once, before a run begins. The choice goes into the resolved configuration, whose digest is on the
ledger, so that a resumed or repeated run does not choose again: precision and memory format decide bits.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from fedcxr.config import Config, Training
from fedcxr.data.examples import Examples
from fedcxr.models.network import LABEL_COUNT
from fedcxr.models.registry import build_model
from fedcxr.training.trainer import train

PROBE_IMAGES = 8  # a float32 NCHW Xception takes seconds even for these, on a CPU
CLOSE = 0.5  # a candidate with less than this part of the best probe's speed is not measured further
STEPS = 2  # timed steps of a full batch, after one that warms the kernels up


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


def resolve(config: Config) -> tuple[Config, list[Measurement]]:
    """``config`` with nothing left "auto", and what was measured, fastest first.

    CUDA is taken where there is a device, unmeasured. Precision and memory format are timed with the real
    model at the real size: every candidate on a small batch, then the close ones on full batches. Under
    20 seconds for Xception at 96 px on two cores. A configuration without "auto" comes back as it is, with
    no measurement.

    Raises:
        ConfigError: ``training.device = "cuda"`` where there is none.
    """
    if config.resolved:
        return config, []
    candidates = list(_candidates(config.training))
    speeds = {c: _speed(c.applied_to(config), PROBE_IMAGES, steps=1) for c in candidates}
    batch_sizes = dict.fromkeys(candidates, PROBE_IMAGES)
    close = [c for c in candidates if speeds[c] >= CLOSE * max(speeds.values())]
    if len(close) > 1:
        for candidate in close:
            batch_sizes[candidate] = config.training.batch_size
            speeds[candidate] = _speed(candidate.applied_to(config), batch_sizes[candidate], steps=STEPS)
    chosen = max(close, key=speeds.__getitem__)
    measurements = [
        Measurement(*c, batch_size=batch_sizes[c], images_per_second=speeds[c], chosen=c == chosen)
        for c in candidates
    ]
    # The chosen one first: another's small batch may look faster than its full one.
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
    """The likely winner first."""
    device: str = training.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    precisions = ("bfloat16", "float32") if training.precision == "auto" else (training.precision,)
    formats = (
        ("channels_last", "contiguous") if training.memory_format == "auto" else (training.memory_format,)
    )
    for memory_format, precision in itertools.product(formats, precisions):
        yield _Candidate(device, precision, memory_format)


def _speed(config: Config, batch_size: int, *, steps: int) -> float:
    """Image passes a second over ``steps`` steps, after one that warms up."""
    config = config.with_changes({"training.batch_size": batch_size, "training.local_epochs": 1})
    model = build_model(config.model)
    train(model, noise_examples(config, batch_size), config=config, round_index=1, hospital="measurement")
    examples = noise_examples(config, steps * batch_size)
    report = train(model, examples, config=config, round_index=1, hospital="measurement")
    return report.passes / report.seconds


def noise_examples(config: Config, count: int) -> Examples:
    """``count`` images of noise at the training resolution, every label known: for timing only."""
    generator = np.random.default_rng(0)
    size = config.data.size
    return Examples(
        images=generator.integers(0, 256, (count, size, size), dtype=np.uint8),
        rows=np.arange(count, dtype=np.int64),
        targets=(generator.random((count, LABEL_COUNT)) < 0.1).astype(np.float32),
        mask=np.ones((count, LABEL_COUNT), dtype=np.bool_),
    )
