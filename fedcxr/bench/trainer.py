"""The trainer against a bare PyTorch loop, in one run on one machine.

The bare loop does the trainer's arithmetic with the trainer's settings and nothing else: its batches stand
ready in memory as augmented, normalised tensors in the right memory format, and it checks nothing. The
trainer reads a cache on the disk, made and opened as a hospital's is; as small as it is, the system holds it
in memory after the first turn, which is not timed. So ``trainer_over_bare`` is what reading the cache,
augmentation, the checks and the bookkeeping cost. What a cache costs that is larger than the memory, a run's
log says. ``trainer_over_default`` compares with the loop that one would write first: contiguous float32.

Turns are interleaved, and each ratio is the median of ratios of neighbouring turns, so that what else the
machine does falls on both sides.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from fedcxr.config import Config
from fedcxr.data.cache import prepare
from fedcxr.data.chexpert import read_paths
from fedcxr.data.examples import Examples
from fedcxr.data.transforms import Augmentation, augment, normalise
from fedcxr.models.registry import build_model
from fedcxr.models.runtime import Runtime
from fedcxr.training.batches import Batch, epoch_batches, read_batch
from fedcxr.training.measure import noise_examples, resolve
from fedcxr.training.objectives.bce import masked_bce
from fedcxr.training.objectives.ntxent import nt_xent
from fedcxr.training.optimizer import make_optimizer
from fedcxr.training.phases import Phase
from fedcxr.training.trainer import train

DEFAULT_IMAGES = (
    4  # the default loop's batch: at one to three image passes a second, a full one takes minutes
)


COMPARED = {  # what the bare loop does; every other term comes on top of both
    "training.local_epochs": 1,
    "training.label_loss": "bce",
    "training.joint": True,
    "training.positives": "views",
    "training.supervised_weight": 0.0,
    "training.consistency_weight": 0.0,
    "training.reconstruction_weight": 0.0,
    "training.strategy": "full",
    "training.train": [],
    "training.accumulate": 1,
    "training.compile": False,
    "training.hierarchy": "conditional",
    "model.labels": "flat",
    "federation.pretrain_rounds": 0,
}


@dataclass(frozen=True)
class TrainerBench:
    """Image passes a second (medians over turns), and their ratios.

    Attributes:
        waiting: the share of the trainer's time in which its network stood still for the loader.
        turns: how often each loop was timed.
        steps: optimiser steps a turn.
        batch_size: images a step, of the trainer and the bare loop; the default loop's is ``default_batch``.
    """

    trainer_over_bare: float
    trainer_over_default: float
    trainer: float
    bare: float
    default: float
    waiting: float
    turns: int
    steps: int
    batch_size: int
    default_batch: int


def bench_trainer(config: Config, *, turns: int = 5, steps: int = 4) -> TrainerBench:
    """Time the trainer (its cache is in a temporary folder), the bare loop and the default loop in turn.

    ``config`` gives model, size, batch, precision, memory format and threads; what is "auto" is resolved
    first. Five turns of four steps take about a minute for Xception at 64 px on two cores.
    """
    with tempfile.TemporaryDirectory(prefix="fedcxr-bench-") as folder:
        return _bench(resolve(config)[0], Path(folder), turns, steps)


def _bench(config: Config, folder: Path, turns: int, steps: int) -> TrainerBench:
    contrast = "ntxent" if config.training.contrast and config.training.joint else "none"
    config = config.with_changes({**COMPARED, "training.self_supervised": contrast})
    plain = config.with_changes({"training.precision": "float32", "training.memory_format": "contiguous"})
    batch_size = config.training.batch_size
    examples = noise_examples(config, steps * batch_size)
    default_batch = min(DEFAULT_IMAGES, batch_size)
    trained, bare = TrainerLoop(config, cached(examples, folder)), BareLoop(config, examples)
    default = BareLoop(
        plain.with_changes({"training.batch_size": default_batch}), noise_examples(plain, default_batch)
    )
    loops = (trained, bare, default)
    for loop in loops:
        loop.turn()  # warms up
    trained.waited = trained.seconds = 0.0
    speeds = [tuple(loop.turn() for loop in loops) for _ in range(turns)]
    return TrainerBench(
        trainer_over_bare=statistics.median(t / b for t, b, _ in speeds),
        trainer_over_default=statistics.median(t / d for t, _, d in speeds),
        trainer=statistics.median(t for t, _, _ in speeds),
        bare=statistics.median(b for _, b, _ in speeds),
        default=statistics.median(d for _, _, d in speeds),
        waiting=trained.waited / trained.seconds,
        turns=turns,
        steps=steps,
        batch_size=batch_size,
        default_batch=default_batch,
    )


def cached(examples: Examples, folder: Path) -> Examples:
    """The same examples as a hospital has them: image files, decoded into a cache that is a memory map.

    Args:
        examples: of all their images, in the order of these.
        folder: for the files, and for the cache; empty.
    """
    paths = [f"train/patient{row:05d}/study1/view1_frontal.png" for row in examples.rows.tolist()]
    for path, image in zip(paths, examples.images, strict=True):
        (folder / path).parent.mkdir(parents=True)
        Image.fromarray(image).save(folder / path)  # without loss
    csv = folder / "train.csv"
    csv.write_text("\n".join(["Path", *paths]) + "\n", encoding="utf-8")
    cache = prepare(read_paths(csv, folder), examples.images.shape[1], folder / "cache", workers=1)
    return replace(examples, images=cache.images)


class TrainerLoop:
    """Our trainer over one shard."""

    def __init__(self, config: Config, examples: Examples) -> None:
        self.config, self.examples = config, examples
        self.model = build_model(config.model)
        self.waited = self.seconds = 0.0

    def turn(self) -> float:
        report = train(self.model, self.examples, config=self.config, round_index=1, hospital="bench")
        self.waited += report.waited
        self.seconds += report.seconds
        return report.passes / report.seconds


class BareLoop:
    """The same arithmetic, with every batch ready."""

    def __init__(self, config: Config, examples: Examples) -> None:
        self.config, self.runtime = config, Runtime.from_config(config.training)
        self.model = build_model(config.model).train()
        self.model.to(device=self.runtime.device, memory_format=self.runtime.memory_format)  # type: ignore[call-overload]
        self.phase = Phase.of(config, 1)
        self.passes = self.phase.needs.views * len(examples)
        generator = torch.Generator().manual_seed(0)
        batches = epoch_batches(len(examples), config.training.batch_size, generator)
        self.batches = [self._ready(read_batch(examples, indices), generator) for indices in batches]

    def _ready(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        count = self.phase.needs.views
        strength = Augmentation.scaled(self.config.training.augmentation)
        seen = normalise(augment(batch.images.repeat(count, 1, 1, 1), generator, strength))
        seen = seen.to(self.runtime.device).contiguous(memory_format=self.runtime.memory_format)
        targets, mask = (t.repeat(count, 1).to(self.runtime.device) for t in (batch.targets, batch.mask))
        return seen, targets, mask

    def turn(self) -> float:
        training = self.config.training
        weight = self.phase.weights.get("ntxent", 0.0)
        with self.runtime.settings():
            started = time.perf_counter()
            optimizer = make_optimizer(self.model, training)
            for images, targets, mask in self.batches:
                with self.runtime.autocast():
                    output = self.model(images, project=weight > 0)
                loss = masked_bce(output.logits, targets, mask)
                if weight > 0:
                    first, second = output.projection.chunk(2)
                    loss = loss + weight * nt_xent(first, second, training.temperature)
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                nn.utils.clip_grad_norm_(self.model.parameters(), training.clip_norm)
                optimizer.step()
            if self.runtime.device.type == "cuda":
                torch.cuda.synchronize()
            return self.passes / (time.perf_counter() - started)
