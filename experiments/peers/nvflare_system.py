"""NVFLARE: its FedAvg controller under its simulator, which has a process for each client.

With fewer threads than clients the simulator starts that process anew for each client and round. The model
is one numpy array; the controller keeps no file of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.workflows.fedavg import FedAvg
from nvflare.client.config import ExchangeFormat
from nvflare.fuel.utils.constants import FrameworkType
from nvflare.job_config.api import FedJob
from nvflare.job_config.script_runner import ScriptRunner

from experiments.peers.cells import SYSTEMS
from experiments.peers.timeline import Timeline
from experiments.peers.work import Work

_SCRIPT = Path(__file__).with_name("nvflare_client.py")


class WatchedFedAvg(FedAvg):
    """NVFLARE's FedAvg, which says when its rounds end and keeps the models of the first and of the last."""

    def __init__(self, work: str, out: str, num_clients: int, num_rounds: int) -> None:
        super().__init__(num_clients=num_clients, num_rounds=num_rounds, persistor_id="")
        self.work, self.out = work, out

    def load_model(self) -> FLModel:
        """The first model; the first round begins."""
        model = FLModel(params={"model": Work(Path(self.work)).first})
        Timeline.of_this_process().began(1)
        return model

    def save_model(self, model: FLModel) -> None:
        """What FedAvg does last in a round."""
        timeline, number = Timeline.of_this_process(), self.current_round + 1
        timeline.ended(number)
        for place in {1: ["1"], self.num_rounds: ["last"]}.get(number, []):
            np.save(Path(self.out) / f"model-{place}.npy", model.params["model"])
        if number < self.num_rounds:
            timeline.began(number + 1)


def run(system: str, folder: Path, out: Path) -> None:
    """Carry the work out.

    Raises:
        RuntimeError: the simulator says that it failed.
    """
    work = Work(folder)
    hospitals = work.cell.hospitals
    job = FedJob(name="peers", min_clients=hospitals)
    job.to_server(WatchedFedAvg(str(folder), str(out), hospitals, work.rounds))
    job.to_clients(
        ScriptRunner(
            script=str(_SCRIPT),
            script_args=str(folder),
            framework=FrameworkType.NUMPY,
            server_expected_format=ExchangeFormat.NUMPY,
        )
    )
    threads = SYSTEMS[system].clients_at_once(hospitals)
    if status := job.simulator_run(str(out / "workspace"), n_clients=hospitals, threads=threads):
        raise RuntimeError(f"the simulator ended with {status}; see its logs")
