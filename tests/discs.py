"""Images whose one finding, "Edema", is a bright disc: what the compact model learns in a second."""

import numpy as np
from numpy.typing import NDArray

from fedcxr.config import Config, validate
from fedcxr.data.examples import Examples
from fedcxr.data.labels import BLANK, LABELS
from fedcxr.evaluation.validation_set import ValidationSet

SIZE = 32
EDEMA = LABELS.index("Edema")


def disc_config(changes: dict[str, object] | None = None) -> Config:
    """Compact at 32 px on one thread in float32, with dotted keys replaced."""
    tree = {
        "name": "discs",
        "data": {"root": "unused", "size": SIZE},
        "model": {"name": "compact"},
        "training": {
            "batch_size": 16,
            "learning_rate": 5e-3,
            "device": "cpu",
            "precision": "float32",
            "memory_format": "channels_last",
        },
        "federation": {"rounds": 3},
        "evaluation": {"bootstrap": 60},
    }
    return validate(tree, where="discs").with_changes(changes or {})


def disc_images(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """uint8 (count, 32, 32) and raw labels, int8 (count, 14): Edema says whether a disc is there."""
    generator = np.random.default_rng(seed)
    images = generator.integers(40, 140, (count, SIZE, SIZE), dtype=np.uint8)
    labels = np.full((count, len(LABELS)), BLANK, dtype=np.int8)
    labels[:, EDEMA] = np.arange(count) % 2
    y, x = np.mgrid[:SIZE, :SIZE]
    for image, positive in zip(images, labels[:, EDEMA], strict=True):
        if positive:
            row, column = generator.uniform(8, 24, 2)
            image[(y - row) ** 2 + (x - column) ** 2 < 30] += 90
    return images, labels


def disc_shards(sizes: dict[str, int], seed: int = 0) -> dict[str, Examples]:
    """Shards of one cache, dealt out in turn as far as they go."""
    images, labels = disc_images(sum(sizes.values()), seed)
    order = np.random.default_rng(seed).permutation(len(images))
    ends = np.cumsum(list(sizes.values()))
    shards = {}
    for name, dealt in zip(sizes, np.split(order, ends[:-1]), strict=True):
        rows = np.sort(dealt)
        shards[name] = Examples(
            images=images,
            rows=rows,
            targets=(labels[rows] == 1).astype(np.float32),
            mask=labels[rows] != BLANK,
        )
    return shards


def disc_valid(count: int, hospitals: tuple[str, ...] = (), seed: int = 1) -> ValidationSet:
    """Each image a study, dealt out to the hospitals in blocks."""
    images, labels = disc_images(count, seed)
    rows = np.arange(count)
    parts = np.array_split(rows, max(len(hospitals), 1))
    return ValidationSet(images, labels, rows, rows, dict(zip(hospitals, parts, strict=False)))
