"""Epsilon of noisy steps, against the analytic Gaussian mechanism and figures of others."""

import math

import pytest
from scipy.stats import norm

from fedcxr.config import Config, validate
from fedcxr.errors import ConfigError
from fedcxr.privacy.dp.accounting import NoisyStep, noise_multiplier_for
from fedcxr.privacy.dp.plan import PrivacyPlan

CLOSE = 0.02


def analytic_delta(noise: float, steps: int, epsilon: float) -> float:
    """Of ``steps`` Gaussian mechanisms without sampling: Balle and Wang 2018, arXiv:1805.06530, Theorem 8."""
    mu = math.sqrt(steps) / noise
    return float(norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * norm.cdf(-mu / 2 - epsilon / mu))


@pytest.mark.parametrize(("noise", "steps"), [(1.0, 1), (2.0, 4), (5.0, 30)])
def test_without_sampling_it_is_the_analytic_gaussian_mechanism(noise: float, steps: int) -> None:
    epsilon = NoisyStep(1.0, noise).epsilon(steps, 1e-4)
    assert analytic_delta(noise, steps, epsilon) <= 1e-4
    assert analytic_delta(noise, steps, 0.99 * epsilon) > 1e-4


@pytest.mark.parametrize(
    ("patients", "batch", "wanted", "noise"),
    [
        (600, 64, 1.0, 3.48),
        (600, 64, 3.0, 1.56),
        (600, 64, 8.0, 0.89),
        (2500, 128, 1.0, 2.80),
        (2500, 128, 3.0, 1.29),
        (2500, 128, 8.0, 0.79),
    ],
)
def test_fifteen_epochs_take_the_noise_that_others_computed(
    patients: int, batch: int, wanted: float, noise: float
) -> None:
    steps, delta = round(15 * patients / batch), 0.5 / patients
    found = noise_multiplier_for(batch / patients, steps, wanted, delta)
    assert found == pytest.approx(noise, abs=CLOSE)
    spent = NoisyStep(batch / patients, found).epsilon(steps, delta)
    assert 0.99 * wanted < spent <= wanted


def test_the_last_step_that_fits_is_the_last_one() -> None:
    step = NoisyStep(0.1, 1.0)
    fits = step.steps_within(4.0, 1e-3, 10_000)
    assert 0 < fits < 10_000
    assert step.epsilon(fits, 1e-3) <= 4.0 < step.epsilon(fits + 1, 1e-3)
    assert step.epsilon(0, 1e-3) == 0.0
    assert NoisyStep(0.1, 0.0).epsilon(1, 1e-3) == math.inf


def test_more_noise_than_there_is_cannot_be_asked_for() -> None:
    with pytest.raises(ConfigError, match="however strong the noise"):
        noise_multiplier_for(1.0, 10_000, 1e-4, 1e-9)


def configured(**dp: float) -> Config:
    tree = {
        "name": "plan",
        "data": {"root": "none"},
        "model": {"name": "compact", "norm": "group"},
        "training": {"self_supervised": "none", "batch_size": 20, "local_epochs": 2},
        "federation": {"rounds": 5, "min_hospitals": 3},
        "differential_privacy": {"epsilon": 2.0, **dp},
    }
    return validate(tree, where="plan")


def test_a_plan_has_all_rounds_for_its_epsilon() -> None:
    plan = PrivacyPlan.of(configured(), 110)
    assert (plan.round_steps, plan.steps) == (2 * 6, 5 * 2 * 6)
    assert plan.step.sample_rate == 20 / 110
    assert plan.delta == 0.5 / 110
    assert 1.98 < plan.spent(plan.steps) <= 2.0
    assert plan.spent(plan.steps + 1) > plan.spent(plan.steps)


def test_a_hospital_with_fewer_patients_than_a_batch_takes_all_in_each_step() -> None:
    plan = PrivacyPlan.of(configured(), 7)
    assert plan.step.sample_rate == 1.0
    assert plan.round_steps == 2


def test_with_less_noise_fewer_steps_are_taken() -> None:
    plan = PrivacyPlan.of(configured(noise_multiplier=1.0), 110)
    assert 0 < plan.steps < 60
    assert plan.spent(plan.steps) <= 2.0 < plan.spent(plan.steps + 1)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("training.self_supervised", "ntxent", "compares patients"),
        ("training.supervised_weight", 0.1, "compares patients"),
        ("training.label_loss", "auc_margin", "cross-entropy alone"),
        ("model.norm", "shared", "mix a batch's patients"),
        ("model.norm", "local", "mix a batch's patients"),
        ("training.strategy", "auto_rgn", "reads no gradients"),
        ("training.compile", True, "gradients of single patients"),
        ("model.checkpointing", True, "gradients of single patients"),
        ("validation.policy", "committee", "scores are of patients"),
        ("data.labelled", 0.5, "may depend on others"),
        ("federation.rare_labels", "withhold", "a statement of it has no noise"),
        ("privacy.losses", True, "a loss is of patients"),
    ],
)
def test_what_would_carry_a_patient_past_the_noise_is_refused(key: str, value: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        configured().with_changes({key: value})


def test_statistics_are_not_shared_in_the_clear() -> None:
    probing = configured().with_changes({"training.strategy": "probe", "model.norm": "shared"})
    assert probing.differential_privacy.on
    with pytest.raises(ConfigError, match=r"federation\.calibrate"):
        probing.with_changes({"federation.calibrate": True})


def test_without_it_the_canonical_form_is_what_it_was() -> None:
    config = configured()
    assert "differential_privacy" in config.canonical_json()
    tree = config.model_dump(mode="json", exclude_none=True)
    del tree["differential_privacy"]
    assert "differential_privacy" not in validate(tree, where="off").canonical_json()


@pytest.mark.parametrize(
    ("rate", "noise", "steps"),
    [(1.0, 0.2, 1), (1.0, 1.0, 10**9), (1e-6, 0.3, 10**15), (0.5, 1e-9, 1), (1e-9, 1e4, 10**18)],
)
def test_what_would_take_all_memory_to_account_for_is_infinite(rate: float, noise: float, steps: int) -> None:
    step = NoisyStep(rate, noise)
    assert step.epsilon(steps, 1e-5) == math.inf
    assert step.steps_within(8.0, 1e-5, steps) < steps
