"""Runs that end before their time, and the run that nothing disturbed to hold them against."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from crash_points import END, FOUNDING, OPEN_ROUND, POINTS, ROUND, CrashPoint
from forked_cli import ForkedCli, Halts

from fedcxr.audit.audit import Request, conduct_audit
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.journal_ledger import JournalLedger
from fedcxr.audit.ledger_source import RunLedger
from fedcxr.audit.sources import RunSources
from fedcxr.config import Config, Phantom
from fedcxr.data.phantom import generate
from fedcxr.round_lines import read_rounds
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory

KILLED = -9
REMEMBERING = {
    "federation.pretrain_rounds": 1,
    "training.self_supervised": "moco",
    "training.queue": 12,
    "training.positives": "patient",
    "training.consistency_weight": 0.5,
    "training.consistency_threshold": 0.5,
    "data.blank": "ignore",
    "model.norm": "local",
}
"""Everything that a hospital can keep between rounds: a teacher, a queue, a normalisation of its own."""

SHORT = "-short"
NO_REPORT = "--no-report"  # it takes longer than the rounds, and comes after them


class Lives:
    """One experiment in each mode: a few hospitals of ten patients, three rounds, the compact model."""

    def __init__(self, cli: ForkedCli, config: Config, root: Path) -> None:
        for hospitals in (2, 4):
            shape = Phantom(hospitals=hospitals, patients=10, size=64, valid_fraction=0.4)
            generate(root / f"phantom-{hospitals}", shape, 5)
        self.cli = cli
        self._root = root
        self._config = config.with_changes(
            {
                "name": "lives",
                "data.root": str(root / "phantom-2"),
                "federation.rounds": 3,
                "evaluation.bootstrap": 0,
            }
        )
        self._before: dict[tuple[str, int], Path] = {}

    def experiment(self, mode: str) -> Path:
        """The experiment's file; ``-short`` behind a mode: the same, of one round."""
        path = self._root / f"{mode}.toml"
        if not path.exists():
            path.write_text(self._config.with_changes(self._changes(mode)).to_toml())
        return path

    def _changes(self, mode: str) -> dict[str, object]:
        if mode.endswith(SHORT):
            return self._changes(mode.removesuffix(SHORT)) | {"federation.rounds": 1}
        if mode == "root":
            return {"ledger.recording": "root"}
        if mode == "memory":
            return REMEMBERING
        if mode == "masked":
            return {
                "data.root": str(self._root / "phantom-4"),
                "federation.min_hospitals": 3,
                "privacy.envelope": "masked",
                "privacy.auditor": False,
                "privacy.unmask_window": 60.0,
            }
        if mode == "committee":
            return {
                "data.root": str(self._root / "phantom-4"),
                "validation.policy": "committee",
                "validation.fold": 0.3,
                "validation.tolerance": 100.0,  # everything is good enough: what is asked is what a kill does
            }
        return {"ledger.backend": mode}

    def whole(self, mode: str) -> RunDirectory:
        """The run that nothing disturbed."""
        run = RunDirectory(self._root / f"{mode}-whole")
        if not run.root.exists():
            assert self.cli.run("simulate", self.experiment(mode), "--out", run.root, NO_REPORT) == 0, (
                self.cli.said
            )
        return run

    def halted(self, mode: str, point: CrashPoint) -> Path:
        """What a kill at a point would have left of the run that nothing disturbed; not to be written to.

        One run of each mode stops at all of them. Where a point lies before round 1, it is of one round.
        """
        short = point.round == 0
        mode += SHORT if short else ""
        copies = self._root / f"{mode}-halted"
        if not copies.exists():
            copies.mkdir()
            run = RunDirectory(self._root / f"{mode}-whole")
            at = [p for p in POINTS if mode.removesuffix(SHORT) in p.modes and (p.round == 0) == short]
            halts = Halts(at, run.root, copies)
            code = self.cli.run("simulate", self.experiment(mode), "--out", run.root, NO_REPORT, halts=halts)
            assert code == 0, self.cli.said
        return copies / point.name

    def begin(self, mode: str, number: int, out: Path) -> None:
        """Put a run at ``out`` that was killed as it was to open round ``number``; 0: it has not begun."""
        if number == 0:
            return
        made = self._root / f"{mode}-before-{number}"
        if not made.exists():
            point = CrashPoint("before the round", OPEN_ROUND, "before", round=number)
            code = self.cli.run("simulate", self.experiment(mode), "--out", made, NO_REPORT, point=point)
            assert code == KILLED, self.cli.said
        shutil.copytree(made, out)

    def live(self, mode: str, run: RunDirectory, point: CrashPoint | None = None) -> int:
        """Begin or continue a run by the command that begins it."""
        return self.cli.run("simulate", self.experiment(mode), "--out", run.root, NO_REPORT, point=point)

    def resume(self, mode: str, run: RunDirectory) -> int:
        """Continue by ``--resume``; without a configuration it is no run yet, and wants the command again."""
        if run.config_path.exists():
            return self.cli.run("simulate", "--resume", run.root, NO_REPORT)
        return self.live(mode, run)

    def die_and_go_on(self, mode: str, run: RunDirectory, point: CrashPoint) -> None:
        """A run that is killed, or whose chain is, and that goes on to the end of one that was not.

        Where that happens before round 1, one round says as much as three.
        """
        if point.round == 0:
            mode += SHORT
        self.begin(mode, point.round, run.root)
        code = self.live(mode, run, point)
        if point.victim == "chain":
            assert code == 0, f"{point.name}: {self.cli.said}"
        else:
            assert code == KILLED, f"{point.name}: {self.cli.said}"
            assert self.resume(mode, run) == 0, f"{point.name}: {self.cli.said}"
        self.assert_ended_like_whole(mode, run, point.name)

    def go_on(self, mode: str, run: RunDirectory, point: CrashPoint) -> None:
        """A run that is as a kill at a point leaves it goes on to the end of one that was not killed."""
        mode += SHORT if point.round == 0 else ""
        assert self.resume(mode, run) == 0, f"{point.name}: {self.cli.said}"
        self.assert_ended_like_whole(mode, run, point.name)

    def die_at_every_start(self, mode: str, run: RunDirectory) -> None:
        """Each life gets as far as the first of its moments, most in a round opened by one before it."""
        points = [
            replace(point, round=0, call=1)
            for point in (FOUNDING[-1], *ROUND[::2], *END)
            if mode in point.modes and "round-" not in point.path and OPEN_ROUND not in point.target
        ]
        for point in points:
            assert self.live(mode, run, point) == KILLED, f"{point.name}: {self.cli.said}"
        assert self.live(mode, run) == 0, self.cli.said
        self.assert_ended_like_whole(mode, run, ", then ".join(point.name for point in points))

    def assert_ended_like_whole(self, mode: str, run: RunDirectory, where: str) -> None:
        """Every model and all that hospitals keep, byte for byte; lines but for clock and salt; an audit."""
        whole = self.whole(mode)
        assert models(run) == models(whole), where
        for path in whole.models.glob("*.safetensors"):
            assert (run.models / path.name).read_bytes() == path.read_bytes(), f"{where}: {path.name}"
        assert memories(run) == memories(whole), where
        for ours, theirs in zip(read_rounds(run), read_rounds(whole), strict=True):
            for key in ("round", "model", "excluded", "evaluation"):
                assert getattr(ours, key) == getattr(theirs, key), f"{where}: round {theirs.round}, {key}"
            assert ours.hospitals.keys() == theirs.hospitals.keys(), where
        assert run.summary_path.exists(), where
        report = audited(run)
        assert [*map(str, report.findings), *report.unchecked] == [], where
        assert report.released == read_rounds(whole)[-1].model, where


def audited(run: RunDirectory) -> AuditReport:
    """The audit of a run with all hospitals' journals; an anvil is rebuilt for it from its journal."""
    auditor = run.keys / "auditor.json"
    keys = [Identity.load(auditor).envelope_key] if auditor.exists() else []
    request = Request(keys, sorted(run.hospitals.glob("*/0x*/journal.jsonl")), workers=0)
    source = RunLedger(run) if run.chain_path.exists() else JournalLedger(run)
    return conduct_audit(source, RunSources(run), request)


def memories(run: RunDirectory) -> dict[tuple[str, str], bytes]:
    """What hospitals keep between rounds, by the hospital's folder and the file's name."""
    paths = run.hospitals.glob("*/0x*/state/*")
    return {(path.relative_to(run.hospitals).parts[0], path.name): path.read_bytes() for path in paths}


def models(run: RunDirectory) -> list[str]:
    """Names of the models' files."""
    return sorted(path.name for path in run.models.glob("*.safetensors"))
