"""A round's line is written as it always was, and read back with nothing lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedcxr.config import Config
from fedcxr.errors import StoreError
from fedcxr.round_lines import HospitalLine, RoundLine, read_rounds, write_round
from fedcxr.store.run_directory import RunDirectory
from fedcxr.update.metrics import HospitalMetrics

# As an earlier fedcxr wrote it.
WRITTEN = (
    '{"round": 1, "model": "ab", "seconds": 2.5, "ledger_seconds": 0.25, "verify_seconds": 0.5, '
    '"bytes_up": 40, "bytes_down": 20, "gas": {"deploy": 7}, "included": ["0x01"], '
    '"excluded": {"0x02": "no"}, "hospitals": {"north": {"address": "0x01", '
    '"salt": "00112233445566778899aabbccddeeff", "images": 4, "passes": 8, "steps": 2, "seconds": 1.5, '
    '"protect_seconds": 0.125, "loss": 0.75, "terms": {"bce": 0.5}, "saturated": 0, '
    '"format": "fedcxr/metrics/2"}}, "evaluation": null}'
)
METRICS = HospitalMetrics("00112233445566778899aabbccddeeff", 4, 8, 2, 1.5, 0.125, 0.75, {"bce": 0.5}, 0)
LINE = RoundLine(
    round=1,
    model="ab",
    seconds=2.5,
    ledger_seconds=0.25,
    verify_seconds=0.5,
    bytes_up=40,
    bytes_down=20,
    gas={"deploy": 7},
    included=("0x01",),
    excluded={"0x02": "no"},
    hospitals={"north": HospitalLine.of("0x01", METRICS)},
    evaluation=None,
)


@pytest.fixture
def run(tmp_path: Path, small_config: Config) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", small_config)


def test_a_line_has_the_bytes_that_it_always_had(run: RunDirectory) -> None:
    write_round(run, LINE)
    assert run.metrics_path.read_text() == WRITTEN + "\n"
    assert read_rounds(run) == (LINE,)


def test_a_line_that_is_repeated_replaces_the_one_before_and_keeps_what_a_later_version_wrote(
    run: RunDirectory,
) -> None:
    tree = json.loads(WRITTEN)
    tree["hospitals"]["north"]["later"] = [1]
    run.rewrite_metrics([{**tree, "later": {"a": 1}}, {**tree, "round": 2}])
    write_round(run, LINE.model_copy(update={"round": 2, "model": "cd"}))
    first, second = run.read_metrics()
    assert first == {**tree, "later": {"a": 1}}
    assert (second["round"], second["model"]) == (2, "cd")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bytes_up", "many"),
        ("bytes_up", -1),
        ("bytes_up", 2**63),
        ("seconds", True),
        ("included", "0x01"),
        ("hospitals", {"north": {"images": 1.5}}),
        ("evaluation", {"images": 1}),
        ("gas", {"deploy": "7"}),
    ],
)
def test_a_field_that_is_none_of_a_rounds_is_named(run: RunDirectory, key: str, value: object) -> None:
    run.rewrite_metrics([{**json.loads(WRITTEN), key: value}])
    with pytest.raises(StoreError, match=rf"metrics\.jsonl, line 1: {key}"):
        read_rounds(run)


def test_a_line_that_lacks_fields_is_rewritten_without_them(run: RunDirectory) -> None:
    old = {"round": 1, "model": "ab"}
    run.rewrite_metrics([old, {"round": 2, "model": "cd"}])
    write_round(run, LINE.model_copy(update={"round": 2}))
    assert run.read_metrics()[0] == old
