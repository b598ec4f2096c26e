"""Federated schedules: rounds without labels, then joint or fine-tuning ones, each with rates of its own."""

from collections.abc import Callable

import pytest

from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.errors import ConfigError
from fedcxr.models.registry import create_model
from fedcxr.training import trainer
from fedcxr.training.phases import Phase
from fedcxr.training.trainer import train

MakeShard = Callable[..., Examples]
MakeConfig = Callable[..., Config]


@pytest.mark.parametrize("joint", [True, False])
def test_labels_wait_for_the_pretraining_rounds_to_end(make_config: MakeConfig, joint: bool) -> None:
    config = make_config(rounds=5, pretrain=2, joint=joint, supervised_weight=0.2)
    phases = [Phase.of(config, number) for number in range(1, 6)]
    assert [phase.name for phase in phases] == ["pretraining"] * 2 + ["training"] * 3
    assert phases[0].weights == {"ntxent": 0.1}
    beside = {"ntxent": 0.1} if joint else {}
    assert phases[4].weights == {"bce": 1.0, "supervised": 0.2, **beside}
    assert [(phase.start, phase.rounds) for phase in (phases[0], phases[4])] == [(0, 2), (2, 3)]


def test_pretraining_may_go_over_the_images_another_number_of_times(
    shard: MakeShard, make_config: MakeConfig
) -> None:
    config = make_config(pretrain=1, joint=False, local_epochs=3, pretrain_epochs=2, batch_size=20)
    model = create_model(config.model, seed=0)
    first, second = (
        train(model, shard(40), config=config, round_index=number, hospital="north") for number in (1, 2)
    )
    assert (first.steps, first.passes) == (4, 160)
    assert (second.steps, second.passes) == (6, 120)
    assert Phase.of(make_config(pretrain=1, local_epochs=3), 1).epochs == 3


def test_fine_tuning_on_labels_alone_sees_one_view(make_config: MakeConfig) -> None:
    config = make_config(pretrain=1, joint=False)
    assert [Phase.of(config, number).needs.views for number in (1, 2)] == [2, 1]


def test_pretraining_leaves_the_classifier_as_it_was(shard: MakeShard, make_config: MakeConfig) -> None:
    config = make_config(pretrain=1)
    model = create_model(config.model, seed=0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    report = train(model, shard(40), config=config, round_index=1, hospital="north")
    after = model.state_dict()
    assert set(report.terms) == {"ntxent"}
    assert all(before[n].equal(after[n]) for n in before if n.startswith("classifier."))
    assert not before["encoder.0.weight"].equal(after["encoder.0.weight"])


def test_each_phase_warms_up_and_cools_down(
    shard: MakeShard, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(
        rounds=4,
        pretrain=2,
        learning_rate=1e-3,
        pretrain_learning_rate=5e-3,
        min_learning_rate=0.0,
        batch_size=4,
    )
    rates: dict[int, list[float]] = {}
    original = trainer.learning_rate
    number = 0

    def noted(*arguments: object, **named: object) -> float:
        rate = original(*arguments, **named)  # type: ignore[arg-type]
        rates.setdefault(number, []).append(rate)
        return rate

    monkeypatch.setattr(trainer, "learning_rate", noted)
    for number in range(1, 5):
        train(create_model(config.model, seed=0), shard(40), config=config, round_index=number, hospital="n")
    for first, last, top in ((1, 2, 5e-3), (3, 4, 1e-3)):
        assert rates[first][0] < 0.2 * top
        assert 0.9 * top < max(rates[first]) <= top
        assert rates[last][-1] < 0.02 * top


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pretrain": 3}, "pretrain_rounds = 3 leaves none"),
        ({"pretrain": 1, "self_supervised": "none"}, "something to learn without labels"),
        ({"pretrain": 1, "contrastive_weight": 0.0}, "something to learn without labels"),
        ({"joint": False}, "leaves the self-supervised term to the pretraining rounds"),
        ({"consistency_weight": 1.0}, "and none is"),
        ({"self_supervised": "moco", "queue": 0}, "set queue above 0"),
        ({"strategy": "selective"}, "set both, or neither"),
        ({"train": ["classifier"]}, "set both, or neither"),
        ({"accumulate": 9}, "fewer than two images"),
        ({"pretrain": 1, "pretrain_learning_rate": 1e-6}, "above training.pretrain_learning_rate"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(
    make_config: MakeConfig, settings: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        make_config(**settings)
