"""``metrics.jsonl`` as a file: read as far as it is whole, and names from its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedcxr.store.metrics_file import MetricsFile


@pytest.fixture
def metrics(tmp_path: Path) -> MetricsFile:
    return MetricsFile(tmp_path / "metrics.jsonl")


def line(round_number: int, **addresses: str) -> dict[str, object]:
    hospitals = {name: {"address": address} for name, address in addresses.items()}
    return {"round": round_number, "hospitals": hospitals}


def test_lines_are_kept_up_to_the_one_that_a_crash_cut_short(metrics: MetricsFile) -> None:
    assert metrics.read() == []
    assert metrics.last_round == 0
    for number in (1, 2, 3):
        metrics.put({"round": number})
    metrics.path.write_bytes(metrics.path.read_bytes()[:-4])
    assert metrics.read() == [{"round": 1}, {"round": 2}]
    assert metrics.last_round == 2
    metrics.put({"round": 1, "again": True})
    assert metrics.read() == [{"round": 1, "again": True}, {"round": 2}]
    metrics.path.write_text('{"round": 1}\n{"rounds": 2}\n{"round": 3}\n')
    assert metrics.read() == [{"round": 1}]


def test_a_line_replaces_what_stood_for_its_round_whatever_that_is(metrics: MetricsFile) -> None:
    metrics.path.write_text('{"round": 1, "x":   NaN}\n{"round": 2, "model": 7, "seconds": "x"}\n')
    assert metrics.rounds == {1, 2}
    metrics.put({"round": 2})
    assert metrics.path.read_text() == '{"round": 1, "x":   NaN}\n{"round": 2}\n'


def test_a_hospital_is_called_what_the_last_line_calls_it(metrics: MetricsFile) -> None:
    assert metrics.hospital_names() == {}
    metrics.put(line(1, north="0x01", south="0x02"))
    metrics.put(line(2, north="0x03"))
    metrics.put(line(3, harbour="0x01"))
    assert metrics.hospital_names() == {"0x01": "harbour", "0x02": "south", "0x03": "north"}


def test_names_come_from_the_last_sixteen_lines(metrics: MetricsFile) -> None:
    for each in [line(1, early="0x01"), *(line(number, late="0x02") for number in range(2, 18))]:
        metrics.put(each)
    assert metrics.hospital_names() == {"0x02": "late"}


def test_no_more_than_the_last_two_mebibytes_are_read_for_names(metrics: MetricsFile) -> None:
    long = {**line(2, middle="0x02"), "padding": "x" * (2 << 20)}
    for each in (line(1, early="0x01"), long, line(3, late="0x03")):
        metrics.put(each)
    assert metrics.hospital_names() == {"0x03": "late"}


def test_what_is_not_a_rounds_line_has_no_names(metrics: MetricsFile) -> None:
    texts = ["null", "{", '{"hospitals": []}', '{"hospitals": {"north": 1}}', "[" * 1000]
    whole = json.dumps(line(1, north="0x01"))
    metrics.path.write_text("\n".join([*texts, whole, whole[:20]]))
    assert metrics.hospital_names() == {"0x01": "north"}
