"""Killed at any step and started again: the same models, bit for bit, and a clean audit.

No hook in the code that is tested: a process of its own runs the command line, and kills itself with SIGKILL
where :mod:`crash_points` says.
"""

from pathlib import Path

import pytest
from crash_points import POINTS, CrashPoint, cases, found
from lives import Lives, memories
from safetensors.torch import load

from fedcxr.store.run_directory import RunDirectory


def test_every_crash_point_lies_at_a_function_that_is_there() -> None:
    for point in POINTS:
        for target in (point.target, *point.since):
            found(target)


@pytest.mark.parametrize(("mode", "point"), cases("embedded", "root", "committee", "memory"))
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(
    lives: Lives, tmp_path: Path, mode: str, point: CrashPoint
) -> None:
    lives.die_and_go_on(mode, RunDirectory(tmp_path / "run"), point)


def test_hospitals_keep_something_in_the_run_that_these_are_held_against(lives: Lives) -> None:
    kept = memories(lives.whole("memory"))
    assert {name for _, name in kept} == {"0002.safetensors", "0003.safetensors"}
    assert len(kept) == 4
    for content in kept.values():
        assert {name.split(".")[0] for name in load(content)} == {"teacher", "self_supervised", "local"}


def test_a_run_that_is_killed_at_every_start_ends_the_same(lives: Lives, tmp_path: Path) -> None:
    lives.die_at_every_start("embedded", RunDirectory(tmp_path / "run"))
