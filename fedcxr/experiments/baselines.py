"""The baselines of a simulated federation: one pooled model, and one of each hospital alone."""

from __future__ import annotations

from clients.disk import HospitalDisk
from clients.shard import load_shard
from fedcxr.baselines.baselines import Baselines
from fedcxr.data.manifest import Partition
from fedcxr.errors import ConfigError
from fedcxr.evaluation.comparison import Comparison
from fedcxr.models.registry import create_model
from fedcxr.report.summary import write_comparison
from fedcxr.round_lines import read_rounds
from fedcxr.run.preparation import Progress, make_evaluator
from fedcxr.store.run_directory import RunDirectory
from fedcxr.training.shared_tensors import load_released


def compare_with_baselines(run: RunDirectory, progress: Progress) -> Comparison:
    """Train the baselines under the federation's budget, score all models, and write the comparison.

    Raises:
        ConfigError: the run has no validation set.
        DataError, NonFiniteError, ModelError: as :class:`~fedcxr.baselines.baselines.Baselines`.
    """
    config = run.config
    evaluator = make_evaluator(run)
    if evaluator is None:
        raise ConfigError("--baselines wants a validation set: data.valid_csv names none.")
    names = Partition.read(run.partition_path).names
    shards = {
        name: load_shard(HospitalDisk(run.hospital(index)), config).training
        for index, name in enumerate(names)
    }
    model = create_model(config.model, seed=config.seed)
    load_released(run.last_model, model, config, frozen=run.frozen_path)
    baselines = Baselines(config, shards, evaluator.valid, run.root / "baselines", progress)
    one_model = config.model.normalisation.one_model
    federated = model if one_model else evaluator.released.predict(model, config)
    comparison = baselines.compare(federated, passes=sum(record.passes for record in read_rounds(run)))
    write_comparison(run, comparison)
    return comparison
