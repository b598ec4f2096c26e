"""An aggregation that compares updates is one row: neither the engine nor the audit is told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from federation import Recorder, run_federation

from fedcxr.aggregation import kinds
from fedcxr.aggregation.aggregator import Measurement
from fedcxr.aggregation.weighted_sum import WeightedSum
from fedcxr.audit.audit import audit
from fedcxr.config import Config
from fedcxr.config.reading import overridden
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update.fixed_point import Ring
from server.events import HospitalAnswered


class WithoutLargest(WeightedSum):
    """Leaves out the update with the largest norm for its weight."""

    compares: ClassVar[bool] = True

    def measure(self, update: Ring, weight: int) -> Measurement:
        return np.array([np.linalg.norm(update.view(np.int32).astype(np.float64)) / weight])

    def left_out(self, measured: Mapping[str, Measurement]) -> dict[str, str]:
        largest = max(sorted(measured), key=lambda address: float(measured[address][0]))
        return {largest: f"norm {measured[largest][0]:.3f}, the largest"}


def audited(run: RunDirectory) -> tuple[list[tuple[str, str]], bool]:
    report = audit(run, [Identity.load(run.keys / "auditor.json").envelope_key])
    return [(finding.where, finding.hospital) for finding in report.findings], report.proven


@pytest.fixture
def one_round(small_config: Config) -> Config:
    return overridden(small_config, ["federation.rounds=1", "federation.min_hospitals=2"])


def test_what_a_comparison_leaves_out_is_excluded_with_its_reason_and_the_audit_replays_it(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(kinds.AGGREGATORS, "weighted_sum", WithoutLargest)
    recorder = Recorder()
    run = run_federation(one_round, tmp_path / "run", observer=recorder)
    reasons = {e.hospital: e.reason for e in recorder.events if isinstance(e, HospitalAnswered)}
    (left_out,) = [address for address, reason in reasons.items() if reason]
    assert reasons[left_out].endswith("the largest")
    assert audited(run) == ([], True)


@pytest.mark.parametrize("change", ["nobody", "somebody else"])
def test_an_aggregator_that_does_not_follow_its_rule_is_found(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    honest: Callable[..., dict[str, str]] = WithoutLargest.left_out

    def dishonest(self: WithoutLargest, measured: Mapping[str, Measurement]) -> dict[str, str]:
        if change == "nobody":
            return {}
        (largest,) = honest(self, measured)
        return {next(a for a in sorted(measured) if a != largest): "norm 9.000, the largest"}

    monkeypatch.setitem(kinds.AGGREGATORS, "weighted_sum", WithoutLargest)
    with monkeypatch.context() as patch:
        patch.setattr(WithoutLargest, "left_out", dishonest)
        run = run_federation(one_round, tmp_path / "run")
    places, _ = audited(run)
    expected = {"included update"} if change == "nobody" else {"included update", "excluded update"}
    assert {where for where, _ in places} == expected
