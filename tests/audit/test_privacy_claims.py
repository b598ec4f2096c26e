"""Hospitals that sign another epsilon than their steps cost, and what else does not fit."""

from __future__ import annotations

from typing import Any

import pytest

from fedcxr.audit.findings import AuditReport
from fedcxr.audit.privacy_claims import PrivacyClaims
from fedcxr.config import Config, validate
from fedcxr.errors import FederationError
from fedcxr.privacy.dp.plan import PrivacyPlan
from fedcxr.update.metrics import HospitalMetrics

HOSPITAL = "0x" + "1" * 40


def configured(**dp: object) -> Config:
    tree = {
        "name": "claims",
        "data": {"root": "none"},
        "model": {"name": "compact", "norm": "group"},
        "training": {"self_supervised": "none"},
        "federation": {"rounds": 4},
        "differential_privacy": {"epsilon": 4.0, **dp},
    }
    return validate(tree, where="claims")


CONFIG = configured()
PLAN = PrivacyPlan.of(CONFIG, 200)


def honest(rounds: int) -> dict[str, float]:
    steps = rounds * PLAN.round_steps
    return {
        "epsilon": PLAN.spent(steps),
        "delta": PLAN.delta,
        "steps": float(steps),
        "sample_rate": PLAN.step.sample_rate,
        "noise_multiplier": PLAN.step.noise_multiplier,
        "clip": 1.0,
    }


def metrics(said: dict[str, float] | None, steps: int = PLAN.round_steps) -> HospitalMetrics:
    plain = HospitalMetrics(
        salt=HospitalMetrics.fresh_salt(),
        images=400,
        passes=400,
        steps=steps,
        seconds=1.0,
        protect_seconds=0.1,
        loss=0.5,
        terms={"bce": 0.5},
        saturated=0,
    )
    return plain if said is None else plain.private(said)


def report_of(*claims: dict[str, float] | None, config: Config | None = CONFIG) -> AuditReport:
    report = AuditReport()
    collected = PrivacyClaims(config, report)
    for number, said in enumerate(claims, start=1):
        collected.take(number, {HOSPITAL: metrics(said)})
    collected.conclude()
    return report


def test_honest_claims_are_no_finding_and_are_told() -> None:
    report = report_of(honest(1), honest(2), honest(4))
    assert report.findings == []
    assert len(report.notes) == 1


def test_an_epsilon_that_its_steps_cost_is_not_less() -> None:
    report = report_of(honest(1), {**honest(2), "epsilon": honest(1)["epsilon"]})
    (finding,) = report.findings
    assert (finding.where, finding.round, finding.hospital) == ("metrics' epsilon", 2, HOSPITAL)
    assert finding.expected == f"{honest(2)['epsilon']:.4f}"


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"steps": 1.0}, "metrics' steps"),
        ({"epsilon": 4.5}, "metrics' epsilon"),
        ({"epsilon": 0.0}, "metrics' epsilon"),
        ({"clip": 2.0}, "metrics' clip"),
        ({"noise_multiplier": 0.3}, "metrics' epsilon"),
        ({"noise_multiplier": 100.0}, "metrics' noise_multiplier"),
        ({"noise_multiplier": 0.0}, "metrics' epsilon"),
        ({"noise_multiplier": -1.0}, "metrics' epsilon"),
        ({"sample_rate": 1.0}, "metrics' sample_rate"),
        ({"sample_rate": 1.5}, "metrics' sample_rate"),
        ({"sample_rate": 5e-324}, "metrics' sample_rate"),
        ({"sample_rate": 1e-4}, "metrics' sample_rate"),
        ({"steps": 10.5}, "metrics' steps"),
        ({"steps": 1e11}, "metrics' epsilon"),
        ({"delta": 0.0}, "metrics' delta"),
        ({"delta": 0.99}, "metrics' delta"),
        ({"delta": 1e-12}, "metrics' delta"),
    ],
)
def test_a_claim_that_does_not_fit_is_found_and_ends_no_audit(changed: dict[str, float], where: str) -> None:
    found = [finding.where for finding in report_of(honest(1), {**honest(2), **changed}).findings]
    assert where in found


def test_the_first_claim_is_held_to_the_configuration_too() -> None:
    """Nothing before it, and nothing after: what it states follows from a number of patients."""
    for changed in ({"delta": 0.9}, {"sample_rate": 1.0}, {"sample_rate": 5e-324}, {"sample_rate": 0.001}):
        report = report_of({**honest(1), **changed})
        assert report.findings, changed
    weak = {**honest(1), "noise_multiplier": 0.2, "epsilon": 3.9}
    assert [f.where for f in report_of(weak).findings] == ["metrics' epsilon"]


def test_noise_that_the_configuration_gives_is_the_one_to_have() -> None:
    config = configured(noise_multiplier=2.0)
    found = [f.where for f in report_of(honest(1), config=config).findings]
    assert "metrics' noise_multiplier" in found


def test_a_round_has_no_more_steps_than_there_are() -> None:
    report = AuditReport()
    collected = PrivacyClaims(CONFIG, report)
    said = {**honest(1), "steps": 3.0 * PLAN.round_steps, "epsilon": PLAN.spent(3 * PLAN.round_steps)}
    collected.take(1, {HOSPITAL: metrics(said, steps=3 * PLAN.round_steps)})
    assert [f.where for f in report.findings] == ["metrics' steps"]


def test_the_federations_delta_is_the_one_to_have() -> None:
    config = configured(delta=1e-6)
    assert "metrics' delta" in [f.where for f in report_of(honest(1), config=config).findings]


def test_a_hospital_that_says_nothing_or_too_much_is_found() -> None:
    assert [f.expected for f in report_of(None).findings] == ["what was spent"]
    off = CONFIG.with_changes({"differential_privacy.epsilon": None})
    assert [f.expected for f in report_of(honest(1), config=off).findings] == ["nothing of it"]
    assert report_of(None, config=off).findings == []
    assert report_of(honest(1), config=None).findings == []


@pytest.mark.parametrize(
    "change",
    [
        {"privacy": None},
        {"privacy": {}},
        {"privacy": {"epsilon": 1.0}},
        {"privacy": {**honest(1), "more": 1.0}},
        {"privacy": {**honest(1), "epsilon": "1"}},
        {"privacy": {**honest(1), "steps": 3}},
        {"format": "fedcxr/metrics/2"},
        {"format": "fedcxr/metrics/3"},
        {"loss": 0.5},
        {"terms": {"bce": 0.5}},
    ],
)
def test_metrics_whose_format_does_not_go_with_what_they_say_are_none(change: dict[str, Any]) -> None:
    import json

    good = metrics(honest(1))
    assert HospitalMetrics.from_bytes(good.to_bytes()) == good
    tree = json.loads(good.to_bytes()) | change
    with pytest.raises(FederationError):
        HospitalMetrics.from_bytes(json.dumps(tree).encode())


def test_metrics_without_privacy_have_the_bytes_that_they_had() -> None:
    assert b"privacy" not in metrics(None).to_bytes()
    assert b"privacy" not in metrics(None).untold.to_bytes()
