"""The one piece of work: the same network, images, steps and seeds for every system.

::

    CELL/work/
      cell.json              the cell and its number of rounds
      phantom/, cache/       SYNTHETIC images, decoded once for all systems
      partition.json         who has which of them, for fedcxr
      shards/NAME.npz        the same, a file a hospital, for its peers
      names.json             of the hospitals, in order
      layout.json            of a model: its tensors, in order
      first.npy              the model that the first round starts from
      tensors.npz            where each tensor of it begins, and the step of fedcxr's fixed point there
      average.npy            the average of the first round's models, in float64
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from torch import nn

from experiments.peers.cells import Cell
from experiments.peers.timeline import Timeline
from fedcxr import config as configuration
from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.models.network import Network
from fedcxr.training.first_model import FirstModel
from fedcxr.training.kept_network import NETWORK
from fedcxr.training.trainer import train
from fedcxr.update.layout import Layout, Vector

SIZE = 64  # pixels a side
SEED = 2026


@dataclass(frozen=True)
class Work:
    """A cell's work, as :mod:`experiments.peers.preparation` left it in ``folder``."""

    folder: Path

    @cached_property
    def cell(self) -> Cell:
        return Cell.named(self._facts["cell"])

    @property
    def rounds(self) -> int:
        return int(self._facts["rounds"])

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The hospitals, in order."""
        return tuple(json.loads((self.folder / "names.json").read_text(encoding="utf-8")))

    @cached_property
    def first(self) -> Vector:
        """The model that the first round starts from."""
        model: Vector = np.load(self.folder / "first.npy")
        return model

    @cached_property
    def layout(self) -> Layout:
        """The tensors of a model: all floating ones, statistics of BatchNorm among them."""
        return Layout.from_json((self.folder / "layout.json").read_text(encoding="utf-8"))

    def config(self, changes: Mapping[str, object] | None = None) -> Config:
        """fedcxr's configuration; for its peers it says how a hospital trains."""
        data = {
            "root": str(self.folder / "phantom"),
            "train_csv": "train-peers.csv",
            "valid_csv": "valid-peers.csv",
            "cache": str(self.folder / "cache"),
            "size": SIZE,
        }
        tree = {
            "name": "peers",
            "seed": SEED,
            "data": data,
            "partition": {"scheme": "natural", "sites": "sites-peers.csv", "min_patients": 1},
            "model": self.cell.model_tree,
            "training": {
                "batch_size": self.cell.images,
                "threads": 1,
                "device": "cpu",
                "precision": "float32",
                "memory_format": "channels_last",
            },
            "federation": {"rounds": self.rounds, "weighting": "uniform"},
            "evaluation": {"bootstrap": 0},
        }
        return configuration.validate(tree, where="peers").with_changes(dict(changes or {}))

    @cache  # noqa: B019  a process works for one cell
    def examples(self, hospital: int) -> Examples:
        """A hospital's images and labels."""
        with np.load(self.folder / "shards" / f"{self.names[hospital]}.npz") as arrays:
            return Examples(**arrays)

    def train_network(self, model: nn.Module, hospital: int, round_number: int) -> None:
        """Train a network in place on a hospital's images, as fedcxr's hospitals do, and say how long."""
        name = self.names[hospital]
        report = train(
            model, self.examples(hospital), config=self.config(), round_index=round_number, hospital=name
        )
        Timeline.of_this_process().trained(round_number, name, report.seconds)

    def train(self, base: Vector, hospital: int, round_number: int) -> Vector:
        """The model that a hospital makes of ``base``, which stays as it is."""
        with self.network() as model:
            self.layout.load(base, model)
            self.train_network(model, hospital, round_number)
            return self.layout.flatten(model.state_dict())

    @contextmanager
    def network(self) -> Iterator[Network]:
        """This process's network, which is made once."""
        config = self.config()
        with NETWORK.lent(config, self.layout, lambda: FirstModel.of(config)) as model:
            yield model

    @cached_property
    def _facts(self) -> dict[str, str]:
        facts: dict[str, str] = json.loads((self.folder / "cell.json").read_text(encoding="utf-8"))
        return facts
