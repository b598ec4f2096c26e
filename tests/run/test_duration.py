"""How long a simulation will train, by the speed that was measured."""

import pytest

from fedcxr.config import Config
from fedcxr.data.dataset import read_dataset
from fedcxr.data.partition import make_partition
from fedcxr.run.duration import in_words, training_seconds


def test_every_round_epoch_view_and_image_takes_its_time(small_config: Config) -> None:
    config = small_config.with_changes(
        {"federation.rounds": 5, "training.local_epochs": 3, "training.self_supervised": "none"}
    )
    train, valid = read_dataset(config.data, config.seed)
    partition = make_partition(train, valid, config.partition, config.seed, config.data.root_path)
    assert training_seconds(config, partition, 10.0) == pytest.approx(5 * 3 * len(train) / 10)
    contrast = config.with_changes({"training.self_supervised": "ntxent"})
    assert training_seconds(contrast, partition, 10.0) == pytest.approx(2 * 5 * 3 * len(train) / 10)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (20.0, "less than a minute"),
        (70.0, "about 1 minute"),
        (7000.0, "about 117 minutes"),
        (36_000.0, "about 10 hours"),
    ],
)
def test_a_duration_has_words(seconds: float, said: str) -> None:
    assert in_words(seconds) == said
