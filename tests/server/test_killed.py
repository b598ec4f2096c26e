"""Killed at any step and started again: the same models, bit for bit, and a clean audit.

No hook in the code that is tested: a process of its own runs the command line, and kills itself with SIGKILL
where :mod:`crash_points` says.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_points import END, FOUNDING, OPEN_ROUND, POINTS, ROUND, CrashPoint
from forked_cli import ForkedCli

from fedcxr.audit.audit import audit
from fedcxr.config import Config, Phantom
from fedcxr.data.phantom import generate
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory

BACKENDS = ["embedded"]
KILLED = -9


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedCli]:
    forked = ForkedCli(tmp_path_factory.mktemp("logs"))
    yield forked
    forked.close()


@pytest.fixture(scope="module", params=BACKENDS)
def experiment(
    request: pytest.FixtureRequest, small_config: Config, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Two hospitals of ten patients each, three rounds, on a backend."""
    root = tmp_path_factory.mktemp("killed")
    generate(root / "phantom", Phantom(hospitals=2, patients=10, size=64, valid_fraction=0.4), 5)
    config = small_config.with_changes(
        {
            "name": "killed",
            "data.root": str(root / "phantom"),
            "federation.rounds": 3,
            "evaluation.bootstrap": 0,
            "ledger.backend": request.param,
        }
    )
    path = root / "experiment.toml"
    path.write_text(config.to_toml())
    return path


@pytest.fixture(scope="module")
def whole(cli: ForkedCli, experiment: Path) -> RunDirectory:
    """The run that nothing disturbed."""
    out = experiment.parent / "whole"
    assert cli.run("simulate", experiment, "--out", out) == 0, cli.said
    return RunDirectory(out)


def assert_same(run: RunDirectory, whole: RunDirectory, where: str) -> None:
    """Every model, byte for byte; every line, but for what clock and salt decide; and a clean audit."""
    assert names(run) == names(whole), where
    for path in whole.models.iterdir():
        assert (run.models / path.name).read_bytes() == path.read_bytes(), f"{where}: {path.name}"
    for ours, theirs in zip(run.read_metrics(), whole.read_metrics(), strict=True):
        for key in ("round", "model", "excluded", "evaluation"):
            assert ours[key] == theirs[key], f"{where}: round {theirs['round']}, {key}"
        assert ours["hospitals"].keys() == theirs["hospitals"].keys(), where
    assert run.summary_path.exists(), where
    report = audit(
        run,
        [Identity.load(run.keys / "auditor.json").envelope_key],
        journals=sorted(run.hospitals.glob("*/0x*/journal.jsonl")),
    )
    assert (report.findings, report.unchecked) == ([], []), where
    assert report.released == whole.read_metrics()[-1]["model"], where


def names(run: RunDirectory) -> list[str]:
    """The models' files."""
    return sorted(path.name for path in run.models.iterdir())


def resume(cli: ForkedCli, experiment: Path, run: RunDirectory) -> int:
    """Continue by ``--resume``; a run that has no configuration yet is none, and wants the command again."""
    if run.config_path.exists():
        return cli.run("simulate", "--resume", run.root)
    return cli.run("simulate", experiment, "--out", run.root)


class Begun:
    """Runs that live until a round is to be opened, each made once: what is killed later starts as a copy."""

    def __init__(self, cli: ForkedCli, experiment: Path) -> None:
        self._cli = cli
        self._experiment = experiment
        self._made: dict[int, Path] = {}

    def copy(self, number: int, out: Path) -> None:
        """Put a run at ``out`` that is about to open round ``number``; 0: one that has not begun."""
        if number == 0:
            return
        if number not in self._made:
            made = self._experiment.parent / f"before-{number}"
            point = CrashPoint("before the round", OPEN_ROUND, "before", round=number)
            assert self._cli.run("simulate", self._experiment, "--out", made, point=point) == KILLED
            self._made[number] = made
        shutil.copytree(self._made[number], out)


@pytest.fixture(scope="module")
def begun(cli: ForkedCli, experiment: Path) -> Begun:
    return Begun(cli, experiment)


@pytest.mark.parametrize("point", POINTS, ids=[point.name.replace(" ", "-") for point in POINTS])
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(
    cli: ForkedCli, experiment: Path, whole: RunDirectory, begun: Begun, tmp_path: Path, point: CrashPoint
) -> None:
    run = RunDirectory(tmp_path / "run")
    begun.copy(point.round, run.root)
    code = cli.run("simulate", experiment, "--out", run.root, point=point)
    assert code == KILLED, f"{point.name}: {cli.said}"
    assert resume(cli, experiment, run) == 0, f"{point.name}: {cli.said}"
    assert_same(run, whole, point.name)


def test_a_run_that_is_killed_at_every_start_ends_the_same(
    cli: ForkedCli, experiment: Path, whole: RunDirectory, tmp_path: Path
) -> None:
    run = RunDirectory(tmp_path / "run")
    points = (FOUNDING[-1], *ROUND[::3], *END)
    for point in points:
        code = cli.run("simulate", experiment, "--out", run.root, point=point)
        assert code == KILLED, f"{point.name}: {cli.said}"
    assert cli.run("simulate", experiment, "--out", run.root) == 0, cli.said
    assert_same(run, whole, ", then ".join(point.name for point in points))
