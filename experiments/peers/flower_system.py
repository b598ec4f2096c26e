"""Plain Flower: its own FedAvg on its simulation engine, which is Ray; two clients at once.

A model travels as one array, which is what Flower is fastest with.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from experiments.peers.cells import SYSTEMS
from experiments.peers.timeline import Timeline
from experiments.peers.work import Work
from fedcxr.update.layout import Vector

client_app = ClientApp()
_works: dict[str, Work] = {}  # of this process: a cell's work keeps its images


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """A hospital's part of a round."""
    config = message.content.config_records["config"]
    folder, number = str(config["work"]), int(str(config["server-round"]))
    work = _works.setdefault(folder, Work(Path(folder)))
    base = _vector(message.content.array_records["arrays"])
    trained = work.train(base, int(context.node_config["partition-id"]), number)
    content = RecordDict()
    content["arrays"] = _record(trained)
    content["metrics"] = MetricRecord({"num-examples": work.cell.images})
    return Message(content, reply_to=message)


class _Watched(FedAvg):
    """Flower's FedAvg, which says when its rounds end and keeps the models of the first and of the last."""

    def __init__(self, work: Work, out: Path) -> None:
        hospitals = work.cell.hospitals
        super().__init__(fraction_evaluate=0.0, min_train_nodes=hospitals, min_available_nodes=hospitals)
        self._work, self._out = work, out

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        if server_round == 1:
            Timeline.of_this_process().began(1)
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        arrays, metrics = super().aggregate_train(server_round, replies)
        timeline = Timeline.of_this_process()
        timeline.ended(server_round)
        if arrays is not None:
            for place in {1: ["1"], self._work.rounds: ["last"]}.get(server_round, []):
                np.save(self._out / f"model-{place}.npy", _vector(arrays))
        if server_round < self._work.rounds:
            timeline.began(server_round + 1)
        return arrays, metrics


def run(system: str, folder: Path, out: Path) -> None:
    """Carry the work out."""
    work = Work(folder)
    server_app = ServerApp()

    @server_app.main()
    def main(grid: Grid, context: Context) -> None:
        del context
        _Watched(work, out).start(
            grid,
            _record(work.first),
            num_rounds=work.rounds,
            timeout=86_400,
            train_config=ConfigRecord({"work": str(folder)}),
        )

    at_once = SYSTEMS[system].clients_at_once(work.cell.hospitals)
    # Sockets lie below it, whose names have a bound.
    with tempfile.TemporaryDirectory(prefix="peers-ray-", dir="/tmp") as scratch:
        run_simulation(
            server_app,
            client_app,
            num_supernodes=work.cell.hospitals,
            backend_config={
                "init_args": {"num_cpus": at_once, "num_gpus": 0, "_temp_dir": scratch},
                "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            },
        )


def _record(vector: Vector) -> ArrayRecord:
    return ArrayRecord({"model": Array(vector)})


def _vector(record: ArrayRecord) -> Vector:
    vector: Vector = record["model"].numpy()
    return vector
