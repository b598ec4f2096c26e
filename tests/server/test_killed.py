"""Killed at any step and started again: the same models, bit for bit, and a clean audit.

No hook in the code that is tested: a process of its own runs the command line, and kills itself with SIGKILL
where :mod:`crash_points` says. Most points are taken from one run that stops at each of them for a copy of
its files, which is as a kill would leave them.
"""

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from crash_points import POINTS, CrashPoint, cases, found
from lives import KILLED, Lives, memories
from safetensors.torch import load

from fedcxr.store.run_directory import RunDirectory


def test_every_crash_point_lies_at_a_function_that_is_there() -> None:
    for point in POINTS:
        for target in (point.target, *point.since):
            found(target)


@pytest.mark.parametrize(("mode", "point"), cases("embedded", "root", "committee", "memory", "masked"))
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(
    lives: Lives, tmp_path: Path, mode: str, point: CrashPoint
) -> None:
    left = lives.halted(mode, point)
    assert left.exists(), "the run never came there"
    lives.go_on(mode, RunDirectory(shutil.copytree(left, tmp_path / "run")), point)


@pytest.mark.parametrize("moment", ["before", "after", "half"])
def test_what_is_held_for_left_by_a_kill_is_what_a_kill_leaves(
    lives: Lives, tmp_path: Path, moment: str
) -> None:
    point = next(p for p in POINTS[::-1] if p.round == 2 and p.moment == moment and "embedded" in p.modes)
    run = RunDirectory(tmp_path / "run")
    assert lives.live("embedded", run, point) == KILLED, lives.cli.said
    assert files(run.root) == files(lives.halted("embedded", point))
    lives.go_on("embedded", run, point)


def files(folder: Path) -> Counter[str]:
    """The files below a folder, without the digests and addresses in their names."""
    names = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return Counter(re.sub(r"(?<=blobs/)../|(0x)?[0-9a-fA-F]{32,}", "…", name) for name in names)


def test_hospitals_keep_something_in_the_run_that_these_are_held_against(lives: Lives) -> None:
    kept = memories(lives.whole("memory"))
    assert {name for _, name in kept} == {"0002.safetensors", "0003.safetensors"}
    assert len(kept) == 4
    for content in kept.values():
        assert {name.split(".")[0] for name in load(content)} == {"teacher", "self_supervised", "local"}


def test_a_run_that_is_killed_at_every_start_ends_the_same(lives: Lives, tmp_path: Path) -> None:
    lives.die_at_every_start("embedded", RunDirectory(tmp_path / "run"))
