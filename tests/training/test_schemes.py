"""Every self-supervised term through the trainer: it learns, keeps what it needs, and repeats itself."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional

from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.data.transforms import Augmentation, augment, normalise, to_float
from fedcxr.errors import StoreError
from fedcxr.models.registry import create_model
from fedcxr.training.state_tensors import StateTensors
from fedcxr.training.trainer import TrainingReport, train

MakeShard = Callable[..., Examples]
MakeConfig = Callable[..., Config]
SCHEMES = ["ntxent", "moco", "byol", "swav"]


def run(
    config: Config, examples: Examples, rounds: int, *, again: tuple[int, ...] = ()
) -> tuple[torch.nn.Module, StateTensors, list[TrainingReport]]:
    """Rounds of one hospital; those in ``again`` are trained once more from where they began."""
    model, state, reports = create_model(config.model, seed=0), {}, []
    for number in range(1, rounds + 1):
        before, memory = {n: t.clone() for n, t in model.state_dict().items()}, dict(state)
        for attempt in range(2 if number in again else 1):
            if attempt:
                model.load_state_dict(before)
                state = dict(memory)
            report = train(model, examples, config=config, round_index=number, hospital="north", state=state)
        reports.append(report)
    return model, state, reports


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def smooth(examples: Examples, seed: int) -> Examples:
    """As many images that stay themselves under augmentation, which noise of single pixels does not."""
    drawn = np.random.default_rng(seed).normal(size=examples.images.shape)
    fields = ndimage.gaussian_filter(drawn, (0, 4, 4))
    low, spread = fields.min(axis=(1, 2), keepdims=True), np.ptp(fields, axis=(1, 2), keepdims=True)
    return replace(examples, images=((fields - low) / spread * 255).astype(np.uint8))


def two_views_loss(model: torch.nn.Module, examples: Examples) -> float:
    """InfoNCE in nats at temperature 0.1: a view of each image beside its other view and all other images'.

    Normalised over the batch, so that a model without running statistics yet is on equal terms.
    """
    model.train()
    generator, images = torch.Generator().manual_seed(7), to_float(examples.images)
    strength = Augmentation.scaled(0.5)
    with torch.no_grad():
        first, second = (
            functional.normalize(model(normalise(augment(images, generator, strength))).projection, dim=1)
            for _ in range(2)
        )
    return float(functional.cross_entropy(first @ second.T / 0.1, torch.arange(len(images))))


@pytest.mark.parametrize(("scheme", "most"), [("ntxent", 0.25), ("moco", 0.25), ("byol", 0.8), ("swav", 0.5)])
def test_each_term_alone_brings_views_of_unseen_images_together_and_keeps_others_apart(
    shard: MakeShard, make_config: MakeConfig, scheme: str, most: float
) -> None:
    """MoCo's own value need not fall: its queue starts empty, and it with it at 0."""
    config = make_config(
        rounds=4,
        pretrain=3,
        self_supervised=scheme,
        contrastive_weight=1.0,
        pretrain_learning_rate=2e-3,
        pretrain_epochs=4,
    )
    unseen = smooth(shard(64), seed=1)
    model, _, reports = run(config, smooth(shard(96), seed=0), 3)
    assert [set(report.terms) for report in reports] == [{scheme}] * 3  # no label helps
    untrained = two_views_loss(create_model(config.model, seed=0), unseen)
    assert two_views_loss(model, unseen) < most * untrained
    if scheme != "moco":
        assert reports[-1].terms[scheme] < reports[0].terms[scheme]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_round_that_is_trained_again_gives_the_same_bits_and_the_same_memory(
    shard: MakeShard, make_config: MakeConfig, scheme: str
) -> None:
    config = make_config(
        self_supervised=scheme,
        consistency_weight=1.0,
        consistency_threshold=0.5,
        queue=24,
        data={"uncertain": "ignore"},
    )
    whole, state, _ = run(config, shard(40), 3)
    repeated, same_state, _ = run(config, shard(40), 3, again=(1, 3))
    assert same(whole.state_dict(), repeated.state_dict())
    assert same(state, same_state)


@pytest.mark.parametrize("scheme", ["moco", "byol", "swav"])
def test_what_was_kept_matters_to_the_next_round(
    shard: MakeShard, make_config: MakeConfig, scheme: str
) -> None:
    config, examples = make_config(self_supervised=scheme, contrastive_weight=1.0), shard(40)
    model, state, _ = run(config, examples, 1)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ends = []
    for memory in (dict(state), {}):
        model.load_state_dict(weights)
        train(model, examples, config=config, round_index=2, hospital="north", state=memory)
        ends.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
    assert not same(*ends)


def test_the_queue_holds_the_last_keys_and_whose_they_are(shard: MakeShard, make_config: MakeConfig) -> None:
    config = make_config(self_supervised="moco", queue=24)
    _, state, _ = run(config, shard(40), 2)
    rows, owners = state["self_supervised.queue.rows"], state["self_supervised.queue.owners"]
    assert rows.shape == (24, config.model.projection_dim)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(24))
    assert len(set(owners.tolist())) == 24  # the last batches of one epoch: no image twice
    assert {name.split(".")[0] for name in state} == {"teacher", "self_supervised"}


def test_memory_stays_as_it_was_when_training_fails(shard: MakeShard, make_config: MakeConfig) -> None:
    config = make_config(self_supervised="moco")
    model, state, _ = run(config, shard(40), 1)
    before = dict(state)

    def stop(_: object) -> None:
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        train(model, shard(40), config=config, round_index=2, hospital="north", state=state, on_step=stop)
    assert same(state, before)


def test_memory_of_another_model_is_refused(shard: MakeShard, make_config: MakeConfig) -> None:
    config = make_config(self_supervised="byol")
    other = make_config(self_supervised="byol", norm="group")
    _, state, _ = run(config, shard(16), 1)
    with pytest.raises(StoreError, match="of another model"):
        train(
            create_model(other.model, seed=0),
            shard(16),
            config=other,
            round_index=2,
            hospital="north",
            state=state,
        )


def test_without_a_term_that_remembers_nothing_is_kept(shard: MakeShard, make_config: MakeConfig) -> None:
    assert run(make_config(), shard(20), 1)[1] == {}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_students_images_pass_once_and_the_teachers_without_gradient(
    shard: MakeShard, make_config: MakeConfig, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One forward pass of the student over all views, whatever the number of terms."""
    config = make_config(
        self_supervised=scheme,
        supervised_weight=0.5,
        consistency_weight=1.0,
        data={"uncertain": "ignore"},
    )
    model = create_model(config.model, seed=0)
    passes: list[tuple[bool, int]] = []
    forward = type(model).forward

    def counted(network: torch.nn.Module, images: torch.Tensor, **named: bool) -> object:
        passes.append((torch.is_grad_enabled(), len(images)))
        return forward(network, images, **named)

    monkeypatch.setattr(type(model), "forward", counted)
    report = train(model, shard(32), config=config, round_index=1, hospital="north")
    assert passes.pop(0) == (False, 32)  # once in a hospital's first round: statistics to begin with
    student = [count for graded, count in passes if graded]
    teacher = [count for graded, count in passes if not graded]
    assert student == [32] * report.steps  # 16 images in two views
    views = scheme in ("moco", "byol")
    assert teacher == [32 if views else 16] * report.steps
    assert set(report.terms) == {"bce", scheme, "supervised", "consistency"}


def test_the_report_adds_up_to_the_joint_objective(shard: MakeShard, make_config: MakeConfig) -> None:
    config = make_config(
        contrastive_weight=0.3,
        supervised_weight=0.2,
        consistency_weight=0.7,
        consistency_rampup=0.0,
        consistency_threshold=0.5,
        data={"uncertain": "ignore"},
    )
    examples, generator = shard(40), np.random.default_rng(0)
    targets = (generator.random((40, 14)) < 0.3).astype(np.float32)
    examples = replace(examples, targets=targets, mask=generator.random((40, 14)) < 0.6)
    _, _, (report,) = run(config, examples, 1)
    terms = report.terms
    expected = terms["bce"] + 0.3 * terms["ntxent"] + 0.2 * terms["supervised"] + 0.7 * terms["consistency"]
    assert report.loss == pytest.approx(expected, rel=1e-4)
    assert min(terms.values()) > 0


def test_labels_alone_go_without_a_second_view(shard: MakeShard, make_config: MakeConfig) -> None:
    _, _, (report,) = run(make_config(self_supervised="none"), shard(20), 1)
    assert (report.passes, set(report.terms)) == (20, {"bce"})


def test_a_patients_images_pull_each_other(shard: MakeShard, make_config: MakeConfig) -> None:
    """Trained on patients, two images of one end up closer than trained on views of each."""
    plain = shard(64)
    images = plain.images.copy()
    images[1::2] = 255 - images[::2]  # a patient's second image: nothing that augmentation would find
    examples = replace(plain, images=images, patients=np.arange(64) // 2)
    likeness = {}
    for positives in ("views", "patient"):
        config = make_config(positives=positives, contrastive_weight=1.0, learning_rate=5e-3, local_epochs=4)
        model, _, _ = run(config, examples, 3)
        with torch.no_grad():
            rows = torch.nn.functional.normalize(
                model(normalise(to_float(examples.images))).projection, dim=1
            )
        alike = rows @ rows.T
        pairs = alike[torch.arange(0, 64, 2), torch.arange(1, 64, 2)].mean()
        likeness[positives] = float(pairs - alike.mean())
    assert likeness["patient"] > likeness["views"] + 0.1
