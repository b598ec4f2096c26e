"""How many hospitals of a run knew a label of any image.

What no hospital knew has probabilities that are what chance began with. What few knew, few can move: where
updates are masked, the rows of such a label are not hidden by their sum.

The run directory does not hold the training labels. It names the CSV that they were in, and its manifest has
that CSV's digest; so a label is known never to have been trained only where the CSV is on this machine too.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fedcxr.config import Data
from fedcxr.data.chexpert import read_table
from fedcxr.data.labelled import labelled
from fedcxr.data.labels import LABELS, LabelPolicy
from fedcxr.data.manifest import Partition
from fedcxr.errors import ConfigError, DataError
from fedcxr.seeds import derive_seed
from fedcxr.store.run_directory import RunDirectory


def never_trained(run: RunDirectory) -> tuple[str, ...]:
    """The labels without one known value in any hospital's training images, in CheXpert's order.

    None are named where every label has a value, and where nothing can be said: the run has no manifest, or
    the CSV is not here, cannot be read, or has changed since.
    """
    if not _may_be_unknown(run.config.data):
        return ()
    known = knowing_hospitals(run)
    return () if known is None else tuple(label for label, hospitals in known.items() if not hospitals)


def knowing_hospitals(run: RunDirectory) -> Mapping[str, int] | None:
    """How many hospitals know a value of each label, in CheXpert's order; None where it cannot be said."""
    config = run.config
    if not run.partition_path.exists():
        return None
    try:
        root, partition = config.data.root_path, Partition.read(run.partition_path)
        table = read_table(root / config.data.train_csv, root)
        hospitals = np.zeros(len(LABELS), dtype=np.int64)
        for name in partition.names:
            rows = partition.rows(table, name)
            seed = derive_seed(config.seed, "labels", name)
            _, mask = LabelPolicy.from_config(config.data).targets(table.labels[rows], seed)
            mask &= labelled(table.patients[rows], config.data.labelled, config.seed, np.any(mask, axis=1))[
                :, None
            ]
            hospitals += mask.any(axis=0)
    except (ConfigError, DataError):
        return None
    return dict(zip(LABELS, hospitals.tolist(), strict=True))


def _may_be_unknown(data: Data) -> bool:
    """Whether the configuration leaves any value out of the loss; else every image has every label."""
    return "ignore" in {data.blank, data.uncertain, *data.uncertain_per_label.values()}
