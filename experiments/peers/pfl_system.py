"""pfl-research: its FederatedAveraging over its SimulatedBackend, one hospital after the other.

Its PyTorchModel averages parameters only. Here it is told of all that fedcxr shares, so that BatchNorm's
statistics are averaged as well, and it does not evaluate.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam.base import NNEvalHyperParams, NNTrainHyperParams
from pfl.metrics import Metrics
from pfl.model.pytorch import PyTorchModel
from torch import Tensor, nn

from experiments.peers.timeline import Timeline
from experiments.peers.work import Work
from fedcxr.training.first_model import FirstModel


class _Federated(nn.Module):
    """The network, with the two methods that pfl's model asks for and that nothing calls here."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def loss(self, *data: Any, **settings: Any) -> Tensor:
        raise NotImplementedError("fedcxr's trainer computes its own")

    def metrics(self, *data: Any, **settings: Any) -> dict[str, Any]:
        raise NotImplementedError("nothing is evaluated")


class _Model(PyTorchModel):
    """pfl's model over every shared tensor."""

    def __init__(self, network: nn.Module, shared: dict[str, Tensor]) -> None:
        optimizer = torch.optim.SGD(list(shared.values()), lr=1.0)  # adds the average of the updates
        super().__init__(_Federated(network), torch.optim.SGD, optimizer)
        self._variable_map = shared

    def evaluate(self, *arguments: Any, **settings: Any) -> Metrics:
        """Nothing: pfl evaluates each hospital in its first round, whatever it is told."""
        return Metrics()


class _Averaging(FederatedAveraging):
    """pfl's federated averaging, with fedcxr's trainer for the local training."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work

    def train_one_user(
        self, initial_model_state: Any, model: Any, user_dataset: Any, central_context: Any
    ) -> tuple[Any, Metrics]:
        round_number = central_context.current_central_iteration + 1
        self._work.train_network(model.pytorch_model.network, user_dataset.user_id, round_number)
        return model.get_model_difference(initial_model_state), Metrics()


class _Watch(TrainingProcessCallback):
    """Says when rounds end, and keeps the models of the first and of the last."""

    def __init__(self, work: Work, out: Path) -> None:
        self._work, self._out = work, out

    def after_central_iteration(
        self, aggregate_metrics: Any, model: Any, *, central_iteration: int
    ) -> tuple[bool, Metrics]:
        timeline, number = Timeline.of_this_process(), central_iteration + 1
        timeline.ended(number)
        for place in {1: ["1"], self._work.rounds: ["last"]}.get(number, []):
            np.save(self._out / f"model-{place}.npy", self._work.layout.flatten(model.variable_map))
        if number < self._work.rounds:
            timeline.began(number + 1)
        return False, Metrics()


def run(system: str, folder: Path, out: Path) -> None:
    """Carry the work out."""
    del system
    work = Work(folder)
    network = FirstModel.of(work.config()).model
    # Not those of its state dict: the trainer gives a parameter other memory, which they do not follow.
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    model = _Model(network, {spec.name: tensors[spec.name] for spec in work.layout.tensors})
    hospitals = list(range(work.cell.hospitals))
    images = np.zeros(work.cell.images)  # pfl counts them; the trainer reads the shard

    def dataset(hospital: int) -> Dataset:
        return Dataset((images,), user_id=hospital)

    backend = SimulatedBackend(
        training_data=FederatedDataset(dataset, get_user_sampler("minimize_reuse", hospitals)), val_data=None
    )
    settings = NNAlgorithmParams(
        central_num_iterations=work.rounds,
        evaluation_frequency=work.rounds + 1,
        train_cohort_size=len(hospitals),
        val_cohort_size=0,
    )
    Timeline.of_this_process().began(1)
    _Averaging(work).run(
        settings,
        backend,
        model,
        NNTrainHyperParams(local_batch_size=None, local_num_epochs=1, local_learning_rate=1.0),
        NNEvalHyperParams(local_batch_size=None),
        [_Watch(work, out)],
    )
