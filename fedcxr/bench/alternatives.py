"""The trainer as it is configured beside its alternatives: speed and memory, each in a process of its own.

Each alternative changes one key. Their steps are those of a small batch, so that the slow ones (contiguous
float32 runs depthwise convolutions at one or two images a second on a CPU) end before the day does, and the
configured one is timed at that size too: speeds compare at one batch size only.
"""

from __future__ import annotations

import multiprocessing
import re
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fedcxr.config import Config
from fedcxr.errors import ConfigError

IMAGES = 8  # a batch


@dataclass(frozen=True)
class Alternative:
    """One way to train.

    Attributes:
        name: "configured", or the key that differs and its value.
        images_per_second: image passes, forward, backward and optimiser; None where it does not run here.
        peak_bytes: of the process's memory, or of the GPU's where there is one; torch itself is in it.
        error: why it does not run.
    """

    name: str
    images_per_second: float | None
    peak_bytes: int | None
    error: str = ""


def compare_alternatives(config: Config, say: Callable[[str], None]) -> list[Alternative]:
    """Time the configured trainer, then each alternative; about a minute each, ``compile`` more.

    Args:
        config: resolved.
        say: told what is timed.
    """
    training = config.training
    other_precision = "float32" if training.precision == "bfloat16" else "bfloat16"
    other_format = "contiguous" if training.memory_format == "channels_last" else "channels_last"
    changes: dict[str, dict[str, object]] = {
        "configured": {},
        f"precision = {other_precision}": {"training.precision": other_precision},
        f"memory_format = {other_format}": {"training.memory_format": other_format},
        f"compile = {str(not training.compile).lower()}": {"training.compile": not training.compile},
    }
    found = []
    for name, change in changes.items():
        say(f"training with {name}")
        found.append(measure_apart(name, config, change, IMAGES))
    return found


def measure_apart(name: str, config: Config, change: Mapping[str, object], images: int) -> Alternative:
    """Time steps of ``images`` images, with keys changed, in a process of their own."""
    try:
        config = config.with_changes(change)
    except ConfigError as error:  # two keys that do not go together
        return Alternative(name, None, None, str(error))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (name, config, images))


def _measure(name: str, config: Config, images: int) -> Alternative:
    """In a child, whose peak memory is its own."""
    import torch

    from fedcxr.training.measure import speed

    try:
        images_per_second = speed(config, images, steps=2)
    except Exception as error:
        return Alternative(name, None, None, f"{type(error).__name__}: {str(error).splitlines()[0]}")
    if config.training.device == "cuda":
        return Alternative(name, images_per_second, torch.cuda.max_memory_allocated())
    return Alternative(name, images_per_second, peak_memory())


def peak_memory() -> int:
    """Peak resident memory of this process, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss begins at what the parent had when it started this process
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8"))
        if found is not None:
            return 1024 * int(found[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
