"""Killed at any step and started again, on an anvil, whose process is among the victims."""

from pathlib import Path

import pytest
from crash_points import CrashPoint, cases
from lives import Lives

from fedcxr.store.run_directory import RunDirectory


@pytest.mark.parametrize(("mode", "point"), cases("anvil"))
def test_a_run_on_an_anvil_that_was_killed_ends_as_if_it_had_not_been(
    lives: Lives, tmp_path: Path, mode: str, point: CrashPoint
) -> None:
    lives.die_and_go_on(mode, RunDirectory(tmp_path / "run"), point)


def test_a_run_on_an_anvil_that_is_killed_at_every_start_ends_the_same(lives: Lives, tmp_path: Path) -> None:
    lives.die_at_every_start("anvil", RunDirectory(tmp_path / "run"))
