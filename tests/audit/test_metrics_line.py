"""Lines of ``metrics.jsonl`` against a round: every difference is named by its field."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from fedcxr.audit.findings import AuditReport
from fedcxr.audit.metrics_line import Difference, differences, read_lines
from fedcxr.ledger.phase import RoundPhase
from fedcxr.ledger.protocol import RoundView
from fedcxr.round_lines import FaultyLine, RoundLine, parse_line
from fedcxr.update.metrics import HospitalMetrics

METRICS = HospitalMetrics("00" * 16, 4, 8, 2, 1.5, 0.125, 0.75, {"bce": 0.5}, 0)
VIEW = RoundView(
    number=1,
    attempt=1,
    base=bytes(32),
    config_digest=bytes(32),
    deadline=0,
    participants=("0x01", "0x02"),
    weights={},
    seats={},
    accepted={},
    status=RoundPhase.FINALIZED,
    model_digest=b"\xab" * 32,
    included=("0x01",),
    excluded={"0x02": "late"},
)
TREE: dict[str, Any] = {
    "round": 1,
    "model": "ab" * 32,
    "included": ["0x01"],
    "excluded": {"0x02": "late"},
    "hospitals": {"north": {"address": "0x01", **asdict(METRICS)}},
}


def told(**changes: object) -> list[Difference]:
    line = parse_line(json.dumps({**TREE, **changes}).encode())
    return list(differences(line, VIEW, {"0x01": METRICS}))


def of_north(**changes: object) -> list[Difference]:
    return told(hospitals={"north": {**TREE["hospitals"]["north"], **changes}})


def test_a_line_that_says_what_the_ledger_says_has_no_differences() -> None:
    assert told() == []


def test_every_difference_is_named_by_its_field() -> None:
    assert told(model="cd", included=[], excluded={}) == [
        ("metrics.jsonl model", "ab" * 32, "cd", ""),
        ("metrics.jsonl included", "['0x01']", "[]", ""),
        ("metrics.jsonl excluded", "{'0x02': 'late'}", "{}", ""),
    ]
    assert of_north(loss=0.5, images=5, later=[1]) == [
        ("metrics.jsonl hospitals.north.images", "4", "5", "0x01"),
        ("metrics.jsonl hospitals.north.later", "None", "[1]", "0x01"),
        ("metrics.jsonl hospitals.north.loss", "0.75", "0.5", "0x01"),
    ]
    assert of_north(address="0x03") == [
        ("metrics.jsonl hospitals.north.address", "a participant", "0x03", ""),
        ("metrics.jsonl hospitals", "what it signed of its training", "nothing", "0x01"),
    ]


def test_a_fault_hides_no_difference() -> None:
    """What a coordinator says of its own time is proven by nothing; it must not cover what is."""
    fault = ("metrics.jsonl seconds", "a round's metrics", "Input should be a valid number", "")
    assert told(seconds="x", model="cd") == [fault, ("metrics.jsonl model", "ab" * 32, "cd", "")]
    north = {**TREE["hospitals"]["north"], "loss": "y"}
    assert told(seconds="x", hospitals={"north": north}) == [
        fault,
        ("metrics.jsonl hospitals.north.loss", "0.75", "y", "0x01"),
    ]
    assert told(hospitals={"north": north}) == [("metrics.jsonl hospitals.north.loss", "0.75", "y", "0x01")]


def test_a_field_that_the_line_leaves_out_is_no_value_that_was_signed() -> None:
    tree = {key: value for key, value in TREE["hospitals"]["north"].items() if key != "format"}
    assert told(hospitals={"north": tree}) == [
        ("metrics.jsonl hospitals.north.format", METRICS.format, "None", "0x01")
    ]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"hospitals": []}, "hospitals"),
        ({"gas": {"deploy": 10**79}}, "gas.deploy"),
        ({"hospitals": {"north": {**TREE["hospitals"]["north"], "images": 2**63}}}, "hospitals.north.images"),
        ({"round": "1"}, "round"),
    ],
)
def test_a_line_of_other_types_is_one_difference_at_its_first_fault(
    changes: dict[str, object], field: str
) -> None:
    assert [where for where, *_ in told(**changes)] == [f"metrics.jsonl {field}"]


def test_a_fault_where_nothing_is_compared_is_said_by_its_type() -> None:
    ((_, expected, found, hospital),) = told(gas={"deploy": 10**79})
    assert (expected, hospital) == ("a round's metrics", "")
    assert found.startswith("Input should be ")
    assert len(found) < 100


def test_lines_come_by_round_and_what_is_none_is_found(tmp_path: Path) -> None:
    whole, second = json.dumps(TREE), json.dumps({**TREE, "model": "cd"})
    faulty = json.dumps({**TREE, "round": 3, "seconds": "long"})
    path, report = tmp_path / "metrics.jsonl", AuditReport()
    path.write_text("\n".join([whole, "{", '{"model": "ab"}', "[1]", second, faulty, whole[:-9]]))
    lines = read_lines(path, 3, report)
    assert lines == {
        1: RoundLine.from_tree({**TREE, "model": "cd"}, "here"),
        3: FaultyLine(3, "seconds", "Input should be a valid number", json.loads(faulty)),
    }
    assert [(f.where, f.expected, f.found) for f in report.findings] == [
        (
            "metrics.jsonl line 2",
            "a round's metrics",
            "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        ("metrics.jsonl line 3", "a round's metrics", "'round'"),
        (
            "metrics.jsonl line 4",
            "a round's metrics",
            "list indices must be integers or slices, not str",
        ),
        ("metrics.jsonl line 5", "one line of round 1", "a second one"),
    ]


def test_a_round_of_whose_hospitals_nothing_was_signed_is_held_to_the_ledger_alone() -> None:
    """What the contract rejected stands in a line too, and is on no ledger."""
    line = parse_line(json.dumps(TREE).encode())
    assert list(differences(line, VIEW, {})) == []
    assert list(differences(line, replace(VIEW, participants=("0x02",)), {})) == [
        ("metrics.jsonl hospitals.north.address", "a participant", "0x01", "")
    ]
