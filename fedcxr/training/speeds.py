"""How fast configurations train on this machine, one beside the other."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedcxr.config import Config
from fedcxr.models.registry import build_model
from fedcxr.training.measure import noise_examples, resolve
from fedcxr.training.trainer import train


@dataclass(frozen=True)
class Speed:
    """What one configuration's training costs.

    Attributes:
        images_per_second: image passes of the trainer, with all terms of the last round; median over turns.
        parameters: of the network, trained or not.
        turns: how often it was timed.
    """

    images_per_second: float
    parameters: int
    turns: int


def measure_speeds(
    configs: Sequence[Config],
    *,
    turns: int = 3,
    steps: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> list[Speed]:
    """Time the trainer of each configuration, in turns, so that what the machine does besides hits all alike.

    Only on a machine that does nothing else are the figures its own; their ratios bear more.

    Args:
        configs: what is "auto" is resolved first.
        turns: of each, after one that warms up.
        steps: of the optimiser, a turn.
        progress: called with turns done and in all.
    """
    configs = [resolve(config)[0].with_changes({"training.local_epochs": 1}) for config in configs]
    models = [build_model(config.model) for config in configs]
    rates: list[list[float]] = [[] for _ in configs]
    for turn in range(turns + 1):
        for place, (config, model) in enumerate(zip(configs, models, strict=True)):
            examples = noise_examples(config, steps * config.training.batch_size)
            report = train(
                model, examples, config=config, round_index=config.federation.rounds, hospital="speed"
            )
            if turn:
                rates[place].append(report.passes / report.seconds)
            if progress is not None:
                progress(turn * len(configs) + place + 1, (turns + 1) * len(configs))
    return [
        Speed(statistics.median(rate), sum(parameter.numel() for parameter in model.parameters()), turns)
        for rate, model in zip(rates, models, strict=True)
    ]
