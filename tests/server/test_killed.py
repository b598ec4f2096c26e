"""Killed at any step and started again: the same models, bit for bit, and a clean audit.

No hook in the code that is tested: a process of its own runs the command line, and kills itself with SIGKILL
where :mod:`crash_points` says.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from crash_points import END, FOUNDING, OPEN_ROUND, POINTS, ROUND, CrashPoint, found
from lives import KILLED, Lives

from fedcxr.store.run_directory import RunDirectory

CHAINS = ["embedded", "anvil"]
MODES = [*CHAINS, "root", "committee"]
CASES = [
    pytest.param(mode, point, id=f"{mode}-{point.name.replace(' ', '-')}")
    for mode in MODES
    for point in POINTS
    if mode in point.modes
]


def test_every_crash_point_lies_at_a_function_that_is_there() -> None:
    for point in POINTS:
        for target in (point.target, *point.since):
            found(target)


@pytest.mark.parametrize(("mode", "point"), CASES)
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(
    lives: Lives, tmp_path: Path, mode: str, point: CrashPoint
) -> None:
    run = RunDirectory(tmp_path / "run")
    lives.begin(mode, point.round, run.root)
    code = lives.live(mode, run, point)
    if point.victim == "chain":
        assert code == 0, f"{point.name}: {lives.cli.said}"
    else:
        assert code == KILLED, f"{point.name}: {lives.cli.said}"
        assert lives.resume(mode, run) == 0, f"{point.name}: {lives.cli.said}"
    lives.assert_ended_like_whole(mode, run, point.name)


@pytest.mark.parametrize("mode", CHAINS)
def test_a_run_that_is_killed_at_every_start_ends_the_same(lives: Lives, tmp_path: Path, mode: str) -> None:
    """Each life gets as far as the first of its moments, most in a round that a life before it had opened."""
    run = RunDirectory(tmp_path / "run")
    points = [
        replace(point, round=0, call=1)
        for point in (FOUNDING[-1], *ROUND[::2], *END)
        if mode in point.modes and "round-" not in point.path and OPEN_ROUND not in point.target
    ]
    for point in points:
        assert lives.live(mode, run, point) == KILLED, f"{point.name}: {lives.cli.said}"
    assert lives.live(mode, run) == 0, lives.cli.said
    lives.assert_ended_like_whole(mode, run, ", then ".join(point.name for point in points))
