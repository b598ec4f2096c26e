"""How long a simulation will train, from the speed that was measured before it began."""

from __future__ import annotations

from fedcxr.config import Config
from fedcxr.data.partition import Partition
from fedcxr.training.phases import Phase


def training_seconds(config: Config, partition: Partition, images_per_second: float) -> float:
    """Seconds of training in all rounds, with one hospital after the other.

    Args:
        config: its rounds, epochs and views.
        partition: its training images.
        images_per_second: image passes a second, forward, backward and optimiser.
    """
    phases = [Phase.of(config, number) for number in range(1, config.federation.rounds + 1)]
    passes = sum(phase.epochs * phase.needs.views for phase in phases)
    return passes * sum(shard.train.images for shard in partition.shards) / images_per_second


def in_words(seconds: float) -> str:
    """A duration in minutes, or from two hours on in hours: ``about 3 minutes``."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    if minutes == 1:
        return "about 1 minute"
    return f"about {minutes} minutes" if minutes < 120 else f"about {round(seconds / 3600)} hours"
