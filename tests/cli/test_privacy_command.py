"""``fedcxr privacy``: each command on a small case."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedcxr.cli.app import app
from fedcxr.config import Config
from fedcxr.errors import ConfigError, StoreError
from fedcxr.privacy.dp.plan import PrivacyPlan
from fedcxr.store.privacy_record import PrivacyRecord, Release, Spending


@pytest.fixture
def private(small_config: Config) -> Config:
    return small_config.with_changes(
        {"model.norm": "group", "training.self_supervised": "none", "differential_privacy.epsilon": 3.0}
    )


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["privacy", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_speed_is_measured_with_and_without(private: Config, tmp_path: Path) -> None:
    (tmp_path / "e.toml").write_text(private.to_toml())
    figures = json.loads(said("speed", str(tmp_path / "e.toml"), "--patients", "4", "--json"))
    assert figures["times"] == pytest.approx(figures["plain"] / figures["private"])
    assert figures["private"] > 0
    off = tmp_path / "off.toml"
    off.write_text(private.with_changes({"differential_privacy.epsilon": None}).to_toml())
    with pytest.raises(ConfigError, match="is not set"):
        said("speed", str(off))


def test_noise_is_said_before_anybody_trains() -> None:
    arguments = ("--patients", "600", "--batch", "60", "--epochs", "2", "--epsilon", "1", "--epsilon", "8")
    told = json.loads(said("noise", *arguments, "--json"))
    assert (told["steps"], told["sample_rate"], told["delta"]) == (20, 0.1, 0.5 / 600)
    strong, weak = told["noise"]
    assert strong["noise_multiplier"] > weak["noise_multiplier"] > 0
    assert strong["spent"] <= 1.0
    assert "600 patients, 60 a step, 20 steps" in said("noise", *arguments)
    with pytest.raises(ConfigError, match="above 0"):
        said("noise", "--patients", "600", "--epsilon", "0")


def test_what_was_spent_is_shown(private: Config, tmp_path: Path) -> None:
    path = tmp_path / "privacy.json"
    with pytest.raises(StoreError, match="no record of what was spent"):
        said("spent", str(path))
    said("begin", str(path))
    begun = Spending.beginning(PrivacyPlan.of(private, 40))
    with PrivacyRecord.held(path) as record:
        record.write("ab/north", begun.with_release(Release.new(1, bytes(32), begun.round_steps)))
    told = json.loads(said("spent", str(path), "--json"))["ab/north"]
    assert told["steps"] == begun.round_steps
    assert 0 < told["epsilon"] < told["allowed"] == 3.0
    assert "taken from the hospital's budget: epsilon 3" in said("spent", str(path))
