"""Killed at any step and started again: the same models, bit for bit, and a clean audit.

No hook in the code that is tested: a process of its own runs the command line, and kills itself with SIGKILL
where :mod:`crash_points` says.
"""

from pathlib import Path

import pytest
from crash_points import END, FOUNDING, POINTS, ROUND, CrashPoint
from lives import KILLED, Lives

from fedcxr.store.run_directory import RunDirectory

BACKENDS = ["embedded"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("point", POINTS, ids=[point.name.replace(" ", "-") for point in POINTS])
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(
    lives: Lives, tmp_path: Path, backend: str, point: CrashPoint
) -> None:
    run = RunDirectory(tmp_path / "run")
    lives.begin(backend, point.round, run.root)
    assert lives.live(backend, run, point) == KILLED, f"{point.name}: {lives.cli.said}"
    assert lives.resume(backend, run) == 0, f"{point.name}: {lives.cli.said}"
    lives.assert_ended_like_whole(backend, run, point.name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_that_is_killed_at_every_start_ends_the_same(
    lives: Lives, tmp_path: Path, backend: str
) -> None:
    run = RunDirectory(tmp_path / "run")
    points = (FOUNDING[-1], *ROUND[::3], *END)
    for point in points:
        assert lives.live(backend, run, point) == KILLED, f"{point.name}: {lives.cli.said}"
    assert lives.live(backend, run) == 0, lives.cli.said
    lives.assert_ended_like_whole(backend, run, ", then ".join(point.name for point in points))
