"""What the bench of hospitals says of a line, and that its figures come from whole runs."""

from __future__ import annotations

import json

import pytest

from fedcxr.bench.hospitals import Line, as_json, bench_hospitals


def test_a_line_is_told_from_a_square() -> None:
    hospitals = [10, 50, 100, 200, 256]
    line = Line.through(hospitals, [0.5 + 0.02 * n for n in hospitals])
    assert (line.seconds_a_hospital, line.seconds, line.r_squared) == pytest.approx((0.02, 0.5, 1.0))
    assert Line.through(hospitals, [0.001 * n**2 for n in hospitals]).r_squared < 0.98


def test_every_way_to_record_is_measured() -> None:
    told: list[str] = []
    result = bench_hospitals(told.append, [4])
    (cost,) = json.loads(as_json(result))["costs"]
    assert told == ["4 hospitals"]
    assert result.lines == {}
    assert cost.pop("hospitals") == 4
    assert cost.pop("peak_memory") > 1e8
    assert all(0 < seconds < 300 for seconds in cost.values()), cost
    assert len(cost) == 8
