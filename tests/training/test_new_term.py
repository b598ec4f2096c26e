"""A term that the code has never heard of: a declaration, its row in the table, and nothing else."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fedcxr.config import Config, Training
from fedcxr.data.examples import Examples
from fedcxr.errors import ConfigError
from fedcxr.models.registry import create_model
from fedcxr.training.objectives import registry
from fedcxr.training.objectives.term import Needs, PhaseName, Term, TermContext, TermInput, TermSpec
from fedcxr.training.phases import Phase
from fedcxr.training.state_tensors import StateTensors
from fedcxr.training.strategy import trained_names
from fedcxr.training.trainer import TrainingReport, train

MakeShard = Callable[..., Examples]
MakeConfig = Callable[..., Config]
PULL = 50.0


class Proximal(Term):
    """FedProx (T. Li et al. 2020, https://arxiv.org/abs/1812.06127): ½ ‖w − w₀‖², w₀ the round's base."""

    def __init__(self, context: TermContext) -> None:
        self._base = context.base
        self._model = context.model
        self._batches = context.state.get("batches", torch.tensor(0))

    def __call__(self, seen: TermInput) -> Tensor:
        parameters = dict(self._model.named_parameters())
        apart = [(parameters[name] - base).square().sum() for name, base in self._base.items()]
        return 0.5 * torch.stack(apart).sum()

    def end_batch(self) -> None:
        self._batches = self._batches + 1

    def state(self) -> StateTensors:
        return {"batches": self._batches.clone()}


def weight(training: Training, phase: PhaseName) -> float:
    return PULL


PROXIMAL = TermSpec("proximal", weight, Proximal, needs=Needs(base=True))


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Callable[[TermSpec], None]:
    """Gives the table one more row, for one test."""

    def register(term: TermSpec) -> None:
        monkeypatch.setattr(registry, "TERMS", (*registry.TERMS, term))

    return register


def trained(
    config: Config, examples: Examples, state: StateTensors | None = None, rounds: int = 1
) -> tuple[dict[str, Tensor], TrainingReport]:
    model = create_model(config.model, seed=0)
    for number in range(1, rounds + 1):
        report = train(model, examples, config=config, round_index=number, hospital="north", state=state)
    return {name: tensor.detach() for name, tensor in model.named_parameters()}, report


def distance(config: Config, parameters: dict[str, Tensor]) -> float:
    """From where the round began."""
    base = dict(create_model(config.model, seed=0).named_parameters())
    return math.sqrt(sum(float((parameters[n] - base[n]).detach().square().sum()) for n in base))


def test_a_proximal_term_is_reported_and_holds_the_model_near_the_rounds_base(
    shard: MakeShard, make_config: MakeConfig, registered: Callable[[TermSpec], None]
) -> None:
    config, examples = make_config(self_supervised="none", local_epochs=3), shard(40)
    free, without = trained(config, examples)
    registered(PROXIMAL)
    held, report = trained(config, examples)
    assert set(without.terms) == {"bce"}
    assert set(report.terms) == {"bce", "proximal"}
    assert report.loss == pytest.approx(report.terms["bce"] + PULL * report.terms["proximal"], rel=1e-4)
    assert 0 < distance(config, held) < 0.8 * distance(config, free)


def test_the_base_is_the_rounds_and_not_the_federations(
    shard: MakeShard, make_config: MakeConfig, registered: Callable[[TermSpec], None]
) -> None:
    """At the first step of each round the model is its own base, wherever the rounds before have led."""
    registered(PROXIMAL)
    config = make_config(self_supervised="none", batch_size=40, rounds=2)
    for rounds in (1, 2):
        _, report = trained(config, shard(40), rounds=rounds)
        assert (report.steps, report.terms["proximal"]) == (1, 0.0)


def test_parts_of_a_batch_add_up_to_the_whole_batchs_term(
    shard: MakeShard, make_config: MakeConfig, registered: Callable[[TermSpec], None]
) -> None:
    """Without a statistic in the way (``norm = "group"``) accumulation changes rounding only."""
    registered(PROXIMAL)
    values = [
        trained(make_config(self_supervised="none", norm="group", accumulate=parts), shard(48))[1]
        for parts in (1, 3)
    ]
    assert values[0].terms["proximal"] > 0
    assert values[1].terms["proximal"] == pytest.approx(values[0].terms["proximal"], rel=1e-3)


def test_a_terms_state_stays_at_the_hospital_under_its_own_name(
    shard: MakeShard, make_config: MakeConfig, registered: Callable[[TermSpec], None]
) -> None:
    registered(PROXIMAL)
    state: StateTensors = {}
    _, report = trained(make_config(self_supervised="none"), shard(40), state, rounds=2)
    assert {name: int(tensor) for name, tensor in state.items()} == {"proximal.batches": 2 * report.steps}


def test_a_term_gets_what_it_declares_and_the_trainer_no_more(
    shard: MakeShard, make_config: MakeConfig, registered: Callable[[TermSpec], None]
) -> None:
    """Views, projection and images without a label come with the declaration; so does what may be trained."""
    seen: list[TermInput] = []

    class Watching(Proximal):
        def __call__(self, seen_now: TermInput) -> Tensor:
            seen.append(seen_now)
            return super().__call__(seen_now) + 0.0 * seen_now.student.projection.sum()

    config, examples = make_config(self_supervised="none"), shard(40)
    few = replace(examples, mask=examples.mask.copy())
    few.mask[:30] = False
    selective = make_config(self_supervised="none", strategy="selective", train=["projection"])
    registered(replace(PROXIMAL, make=Watching))
    _, report = trained(config, few)
    assert report.passes == 10
    assert {(s.student.projection.shape[1], s.teacher) for s in seen} == {(0, None)}
    with pytest.raises(ConfigError, match="no loss of round 1 reaches"):
        trained_names(create_model(selective.model, seed=0), selective, 1)

    seen.clear()
    greedy = Needs(views=2, projection=True, unlabelled=True, base=True)
    registered(replace(PROXIMAL, name="greedy", make=Watching, needs=greedy))
    _, report = trained(config, few)
    assert report.passes == 80
    assert {s.student.projection.shape[1] for s in seen} == {config.model.projection_dim}
    assert trained_names(create_model(selective.model, seed=0), selective, 1)


def test_the_table_names_each_term_once(make_config: MakeConfig) -> None:
    """Two terms of one round must not write the same tensors of the hospital's state."""
    assert len({term.name for term in registry.TERMS}) == len(registry.TERMS)
    for scheme in ("ntxent", "moco", "byol", "swav"):
        terms = Phase.of(make_config(self_supervised=scheme, supervised_weight=0.1), 1).terms
        assert len({term.state_prefix for term in terms}) == len(terms)


def test_a_phase_needs_what_any_of_its_terms_needs(make_config: MakeConfig) -> None:
    config = make_config(self_supervised="byol", consistency_weight=1.0, data={"uncertain": "ignore"})
    needs = Phase.of(config, 1).needs
    assert (needs.views, needs.projection, needs.unlabelled, needs.clean) == (2, True, True, False)
    alone = make_config(self_supervised="none", consistency_weight=1.0, data={"uncertain": "ignore"})
    needs = Phase.of(alone, 1).needs
    assert (needs.views, needs.projection, needs.unlabelled, needs.clean) == (1, False, True, True)
    assert Phase.of(make_config(self_supervised="none"), 1).needs == Needs()
