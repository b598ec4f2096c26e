"""A shard whose one finding can be seen, and a configuration small enough for seconds."""

from collections.abc import Callable

import numpy as np
import pytest

from fedcxr.config import Config, validate
from fedcxr.data.examples import Examples


@pytest.fixture
def shard() -> Callable[..., Examples]:
    """``shard(count, seed=0)``: noise at 32 px; label 0 says whether a bright disc lies in it."""

    def make(count: int, seed: int = 0) -> Examples:
        generator = np.random.default_rng(seed)
        images = generator.integers(40, 140, (count, 32, 32), dtype=np.uint8)
        targets = np.zeros((count, 14), dtype=np.float32)
        targets[:, 0] = generator.random(count) < 0.5
        y, x = np.mgrid[:32, :32]
        for image, positive in zip(images, targets[:, 0], strict=True):
            if positive:
                row, column = generator.uniform(8, 24, 2)
                image[(y - row) ** 2 + (x - column) ** 2 < 30] += 90
        mask = np.zeros((count, 14), dtype=np.bool_)
        mask[:, 0] = True
        return Examples(images=images, rows=np.arange(count, dtype=np.int64), targets=targets, mask=mask)

    return make


@pytest.fixture
def make_config() -> Callable[..., Config]:
    """``make_config(**training)``: compact at 32 px on one thread in float32, with keys replaced."""

    def make(
        *,
        rounds: int = 3,
        pretrain: int = 0,
        model: str = "compact",
        norm: str = "shared",
        data: dict[str, object] | None = None,
        **training: object,
    ) -> Config:
        settings: dict[str, object] = {
            "batch_size": 16,
            "device": "cpu",
            "precision": "float32",
            "memory_format": "channels_last",
            "threads": 1,
        }
        tree = {
            "name": "test",
            "data": {"root": "unused", "size": 32, **(data or {})},
            "model": {"name": model, "norm": norm},
            "training": settings | training,
            "federation": {"rounds": rounds, "pretrain_rounds": pretrain},
        }
        return validate(tree, where="test")

    return make
