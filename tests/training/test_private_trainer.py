"""DP-SGD by patient: gradients, clipping, exact sums, noise, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from fedcxr.config import Config
from fedcxr.data.examples import Examples
from fedcxr.errors import ConfigError, DataError, NonFiniteError
from fedcxr.models.network import Network
from fedcxr.models.registry import create_model
from fedcxr.models.runtime import Runtime
from fedcxr.privacy.dp.noise import SecureNoise
from fedcxr.privacy.dp.plan import PrivacyPlan
from fedcxr.training import private_trainer
from fedcxr.training.objectives.bce import masked_bce
from fedcxr.training.patient_gradients import PatientGradients
from fedcxr.training.phases import Phase
from fedcxr.training.preparation import Preparation
from fedcxr.training.private_trainer import Patients, check_unmixed, terms_by_image, train_privately

MakeShard = Callable[..., Examples]
MakeConfig = Callable[..., Config]
KEY = bytes(range(32))


@pytest.fixture
def config(make_config: MakeConfig) -> Config:
    plain = make_config(norm="group", self_supervised="none", augmentation=0.0, batch_size=8)
    return plain.with_changes({"differential_privacy.epsilon": 8.0, "differential_privacy.clip": 0.5})


@pytest.fixture
def patients(shard: MakeShard) -> Examples:
    """Twelve patients with one to three images each, in no order on the disk."""
    images = [1, 2, 3] * 4
    owner = np.repeat(np.arange(12, dtype=np.int64), images)
    order = np.random.default_rng(3).permutation(len(owner))
    return replace(shard(len(owner)), patients=7 * owner[order])


ALL = ("encoder.", "classifier.")


def gradients_of(
    model: Network, config: Config, noise: float, trained: tuple[str, ...] = ALL
) -> PatientGradients:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(trained))
    model.train()
    runtime = Runtime.from_config(config.training)
    terms = terms_by_image(model, _NONE, config, Phase.of(config, 1), runtime)
    clip = config.differential_privacy.clip
    return PatientGradients(model, terms, runtime=runtime, clip=clip, noise_multiplier=noise)


_NONE = Examples(
    np.zeros((0, 32, 32), np.uint8),
    np.zeros(0, np.int64),
    np.zeros((0, 14), np.float32),
    np.zeros((0, 14), np.bool_),
)


def preparation_of(examples: Examples, config: Config) -> Preparation:
    return Preparation(
        examples,
        config=config,
        runtime=Runtime.from_config(config.training),
        views=1,
        clean=False,
        augmentation=torch.Generator().manual_seed(0),
    )


def added(
    model: Network,
    examples: Examples,
    config: Config,
    taken: list[int],
    at_once: int = 8,
    trained: tuple[str, ...] = ALL,
) -> dict[str, Tensor]:
    """The sum of some patients' gradients without noise, as the trainer adds them."""
    sums, own = gradients_of(model, config, 0.0, trained), Patients(examples, "here")
    preparation = preparation_of(examples, config)
    for chunk in own.chunks(np.array(taken, np.int64), at_once, at_once):
        parts = preparation.ready(chunk, parts=own.parts(chunk, at_once))
        sums.add([private_trainer._in_order(part) for part in parts])
    sums.finish(None, expected=1.0)
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def one_by_one(
    model: Network, examples: Examples, config: Config, patient: int, prefixes: tuple[str, ...] = ALL
) -> dict[str, Tensor]:
    """A patient's gradient by torch's own autograd, over all of its images, clipped."""
    assert examples.patients is not None
    rows = np.flatnonzero(examples.patients == np.unique(examples.patients)[patient])
    ready = preparation_of(examples, config).ready(rows)[0]
    trained = {n: p for n, p in model.named_parameters() if n.startswith(prefixes)}
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    model.train()
    loss = masked_bce(model(ready.views, project=False).logits, ready.targets, ready.mask)
    found = torch.autograd.grad(loss, list(trained.values()))
    length = torch.cat([g.flatten() for g in found]).norm()
    scale = min(1.0, config.differential_privacy.clip / float(length))
    return {name: scale * g for name, g in zip(trained, found, strict=True)}


def length_of(gradients: dict[str, Tensor]) -> float:
    return float(torch.cat([g.flatten() for g in gradients.values()]).norm())


@pytest.mark.parametrize("trained", [ALL, ("classifier.",)], ids=["the whole network", "a head alone"])
def test_each_patient_has_its_own_clipped_gradient(
    patients: Examples, config: Config, trained: tuple[str, ...]
) -> None:
    model = create_model(config.model, seed=0)
    clipped = 0
    for patient in range(12):
        model.zero_grad(set_to_none=True)
        found = added(model, patients, config, [patient], trained=trained)
        expected = one_by_one(model, patients, config, patient, trained)
        assert found.keys() == expected.keys()
        for name, gradient in found.items():
            torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=2e-5)
        assert length_of(found) <= config.differential_privacy.clip * (1 + 1e-3)
        clipped += length_of(found) > 0.999 * config.differential_privacy.clip
    assert clipped > 0


def test_a_patient_changes_a_sum_by_its_gradient_and_by_nothing_else(
    patients: Examples, config: Config
) -> None:
    """Bit for bit: no patient's gradient depends on who else is there, nor on how the sum is rounded."""
    model = create_model(config.model, seed=0)
    everybody = [0, 1, 2, 3, 4, 5]
    whole = added(model, patients, config, everybody, at_once=3)
    for left in everybody:
        without = added(model, patients, config, [p for p in everybody if p != left], at_once=3)
        alone = added(model, patients, config, [left], at_once=3)
        difference = {name: whole[name] - without[name] for name in whole}
        longest = gradients_of(model, config, 0.0).longest
        assert length_of(difference) <= longest
        for name, gradient in alone.items():
            torch.testing.assert_close(difference[name], gradient, rtol=1e-3, atol=2e-5)


def test_a_patient_with_more_images_than_fit_goes_through_in_parts(shard: MakeShard, config: Config) -> None:
    examples = replace(shard(9), patients=np.zeros(9, np.int64))
    model = create_model(config.model, seed=0)
    whole = added(model, examples, config, [0], at_once=16)
    for at_once in (1, 2, 4):
        parts = added(model, examples, config, [0], at_once=at_once)
        for name, gradient in parts.items():
            torch.testing.assert_close(gradient, whole[name], rtol=1e-3, atol=2e-5)


def test_every_image_of_who_is_taken_is_seen_once(patients: Examples) -> None:
    own = Patients(patients, "here")
    taken = np.array([0, 3, 4, 8, 11])
    for images, most in ((2, 2), (3, 1), (64, 64)):
        chunks = list(own.chunks(taken, images, most))
        seen = np.concatenate(chunks)
        assert patients.patients is not None
        assert sorted(seen) == sorted(np.flatnonzero(np.isin(patients.patients, 7 * taken)))
        for chunk in chunks:
            owners, counts = np.unique(patients.patients[chunk], return_counts=True)
            assert len(set(counts)) == 1
            assert len(owners) <= most
            assert len(chunk) <= images or len(owners) == 1


def test_who_has_no_label_counts_as_a_patient_and_teaches_nothing(patients: Examples, config: Config) -> None:
    assert patients.patients is not None
    mask = patients.mask.copy()
    mask[patients.patients == 7 * 5] = False
    silent = replace(patients, mask=mask)
    own = Patients(silent, "here")
    assert own.count == 12
    assert not list(own.chunks(np.array([5]), 8, 8))
    assert np.concatenate(list(own.chunks(np.arange(12), 8, 8))).size == 24 - 3


def test_noise_is_drawn_for_the_longest_gradient_whoever_is_there(config: Config) -> None:
    model = create_model(config.model, seed=0)
    sums = gradients_of(model, config, noise=1.5)
    sums.finish(SecureNoise(KEY), expected=4.0)
    drawn = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert float(drawn.std()) == pytest.approx(1.5 * sums.longest / 4.0, rel=0.02)
    assert config.differential_privacy.clip < sums.longest < 1.01 * config.differential_privacy.clip
    before = drawn.clone()
    sums.finish(SecureNoise(KEY), expected=4.0)
    again = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert torch.equal(before, again)  # nothing of the step before is left in the sums


def test_a_gradient_that_is_no_number_counts_for_nothing(patients: Examples, config: Config) -> None:
    targets = patients.targets.copy()
    assert patients.patients is not None
    targets[patients.patients == 7 * 2] = np.nan
    model = create_model(config.model, seed=0)
    found = added(model, replace(patients, targets=targets), config, [1, 2])
    expected = added(model, patients, config, [1])
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def learned(config: Config, examples: Examples, noise: SecureNoise | None = None) -> dict[str, Tensor]:
    model = create_model(config.model, seed=0)
    plan = PrivacyPlan.of(config, len(np.unique(examples.patients)))  # type: ignore[arg-type]
    train_privately(
        model,
        examples,
        plan,
        config=config,
        round_index=1,
        hospital="north",
        steps=plan.round_steps,
        noise=noise,
    )
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_neither_seed_nor_name_gives_the_noise_away(patients: Examples, config: Config) -> None:
    once, again = learned(config, patients), learned(config, patients)
    moved = [name for name in once if not torch.equal(once[name], again[name])]
    assert "classifier.weight" in moved
    assert not any(name.startswith("projection.") for name in moved)
    same = [learned(config, patients, SecureNoise(KEY)) for _ in range(2)]  # it is the noise that differs
    assert all(torch.equal(same[0][name], same[1][name]) for name in same[0])


def test_it_learns_where_there_are_patients_enough(shard: MakeShard, config: Config) -> None:
    examples = replace(shard(600), patients=np.arange(600, dtype=np.int64))
    config = config.with_changes(
        {"training.batch_size": 100, "training.local_epochs": 8, "training.learning_rate": 5e-3}
    )
    model = create_model(config.model, seed=0)
    plan = PrivacyPlan.of(config, 600)
    losses: list[float] = []
    report = train_privately(
        model,
        examples,
        plan,
        config=config,
        round_index=1,
        hospital="north",
        steps=plan.round_steps,
        on_step=lambda step: losses.append(step.loss),
    )
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.05
    assert report.steps == plan.round_steps == 48
    assert report.passes == 48 * 100  # what is to be expected, and not what was drawn
    assert report.terms == {}
    assert math.isfinite(report.loss)


def test_a_head_alone_leaves_a_shared_batch_norm_as_it_was(
    patients: Examples, make_config: MakeConfig
) -> None:
    config = make_config(self_supervised="none", strategy="probe", batch_size=8).with_changes(
        {"differential_privacy.epsilon": 8.0}
    )
    before = create_model(config.model, seed=0).state_dict()
    after = learned(config, patients)
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert moved == {"classifier.weight", "classifier.bias"}


def test_a_layer_that_mixes_patients_is_refused(patients: Examples, make_config: MakeConfig) -> None:
    config = make_config(
        self_supervised="none", strategy="selective", train=["encoder.1", "classifier"]
    ).with_changes({"differential_privacy.epsilon": 8.0})
    with pytest.raises(ConfigError, match=r"encoder\.1 normalises by its batch"):
        learned(config, patients)


def test_a_layer_that_drops_at_random_is_refused(config: Config) -> None:
    model = create_model(config.model, seed=0)
    model.train()
    check_unmixed(model)
    model.classifier = torch.nn.Sequential(torch.nn.Dropout(0.1), model.classifier)  # type: ignore[assignment]
    model.train()
    with pytest.raises(ConfigError, match=r"classifier\.0 drops a share of 0\.1"):
        check_unmixed(model)


def test_nobodys_augmentation_depends_on_who_else_is_there(patients: Examples, config: Config) -> None:
    """Whatever the seed, known or not: so that it need not be hidden."""
    assert patients.patients is not None
    strong = config.with_changes({"training.augmentation": 1.0})
    preparation = preparation_of(patients, strong)

    def views(numbers: list[int], step: int = 0) -> dict[int, Tensor]:
        rows = np.flatnonzero(np.isin(patients.patients, 7 * np.array(numbers)))
        part = preparation.ready(rows, 1, lambda owner: private_trainer._generator(5, step, owner))[0]
        return {number: part.views[part.owners == 7 * number] for number in numbers}

    everybody, fewer = views([0, 1, 2, 3]), views([1, 3])
    assert all(torch.equal(everybody[number], fewer[number]) for number in (1, 3))
    assert not torch.equal(views([1], step=1)[1], fewer[1])


def test_a_term_that_compares_images_is_refused(make_config: MakeConfig) -> None:
    config = make_config(contrastive_weight=0.1)
    model, runtime = create_model(config.model, seed=0), Runtime.from_config(config.training)
    with pytest.raises(ConfigError, match="the term ntxent compares images"):
        terms_by_image(model, _NONE, config, Phase.of(config, 1), runtime)


def test_whose_images_are_whose_must_be_known(shard: MakeShard, patients: Examples, config: Config) -> None:
    model, plan = create_model(config.model, seed=0), PrivacyPlan.of(config, 11)

    def train(examples: Examples) -> None:
        train_privately(model, examples, plan, config=config, round_index=1, hospital="n", steps=1)

    with pytest.raises(DataError, match="which images are of one patient"):
        train(shard(12))
    with pytest.raises(DataError, match="12 patients, and what may be spent was planned for 11"):
        train(patients)


def test_a_model_that_is_no_number_ends_training(patients: Examples, config: Config) -> None:
    model = create_model(config.model, seed=0)
    with torch.no_grad():
        model.classifier.weight[0, 0] = math.nan
    with pytest.raises(NonFiniteError, match="classifier"):
        plan = PrivacyPlan.of(config, 12)
        train_privately(model, patients, plan, config=config, round_index=1, hospital="n", steps=1)


def test_the_mean_is_over_the_expected_number_of_patients(
    patients: Examples, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many were drawn would be told without noise by a mean over them."""
    told, drawn = [], []
    original = PatientGradients.finish

    def watched(self: PatientGradients, noise: SecureNoise | None, expected: float) -> None:
        told.append(expected)
        drawn.append(self.patients)
        original(self, noise, expected)

    monkeypatch.setattr(PatientGradients, "finish", watched)
    learned(config.with_changes({"training.local_epochs": 8}), patients)
    assert set(told) == {8.0}
    assert len(set(drawn)) > 1
