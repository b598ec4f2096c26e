"""The adversary is a coordinator that goes by other rules than the configuration on the ledger.

It runs rounds that there are not, asks for statistics of un-augmented images again and again, opens rounds
for a minute in place of a day, chooses its own exponents and weights, and founds the federation with weights
that it has planted. Hospitals refuse before they train; where they comply, the audit finds it all the same.

Its contract is one that lets it: founded with parameters that are not the configuration's, which the
hospitals here do not look at.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from federation import Recorder, run_federation
from lying_proxy import LyingProxy

import clients.founding_check
import clients.hospital
import fedcxr.run.founding
import server.app
import server.coordinator
from clients.app import hospital_app
from clients.hospital import Hospital
from clients.member import Member
from fedcxr.audit.audit import Request, audit, conduct_audit
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.ledger_source import EndpointLedger
from fedcxr.audit.sources import RunSources
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.config import Config, Federation
from fedcxr.errors import FedcxrError
from fedcxr.ledger.bounds import UNBOUND
from fedcxr.ledger.contract import FederationLedger
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from fedcxr.training.trainer import TrainingReport
from fedcxr.update import model_file
from fedcxr.update.layout import Layout, Vector
from fedcxr.update.round_config import RoundConfig
from server.coordinator import Coordinator
from server.events import HospitalAnswered

HURRY = 60  # seconds in place of a day
Attack = Callable[[pytest.MonkeyPatch], None]


class Run:
    """A federation under an unruly coordinator, and what came of it."""

    def __init__(self, config: Config, out: Path, *attacks: Attack) -> None:
        self.directory = RunDirectory(out, trusted=True)
        self.trained: list[int] = []
        self.recorder = Recorder()
        trained = self.trained

        class Telling(Hospital):
            def _train_from(
                self, base: Vector, member: Member, round_number: int
            ) -> tuple[TrainingReport, int, Vector]:
                trained.append(round_number)
                return super()._train_from(base, member, round_number)

        with pytest.MonkeyPatch.context() as patch:
            lenient_contract(patch)
            for attack in attacks:
                attack(patch)
            with suppress(FedcxrError):
                run_federation(config, out, client=hospital_app(Telling), observer=self.recorder)
        assert self.recorder.of(HospitalAnswered)

    @property
    def refused(self) -> set[tuple[str, int]]:
        """Which hospital has refused which round, by its journal."""
        return {
            (path.parent.name, entry["round"])
            for path in self.directory.hospitals.rglob("journal.jsonl")
            for entry in map(json.loads, path.read_text().splitlines())
            if entry["kind"] == "refusal"
        }

    def audit(self, **more: Any) -> AuditReport:
        key = Identity.load(self.directory.keys / "auditor.json").envelope_key
        return audit(self.directory, [key], **more)


def found(report: AuditReport, what: str) -> list[int | None]:
    """The rounds in which something is found."""
    return [finding.round for finding in report.findings if finding.where == what]


def lenient_contract(patch: pytest.MonkeyPatch) -> None:
    """Found with a contract that binds nothing: what is left are the hospitals and the audit."""
    patch.setattr(fedcxr.run.founding, "configured_bounds", lambda config: UNBOUND)
    patch.setattr(clients.founding_check, "differences", lambda *rest: {})


def obedient_hospitals(patch: pytest.MonkeyPatch) -> None:
    """They do what they are asked."""
    for check in ("check_rules", "check_first_model"):
        patch.setattr(clients.hospital, check, lambda *rest: None, raising=False)

    def purpose(self: Federation, number: int) -> str:
        return "training" if number <= self.rounds else "calibration"

    patch.setattr(Federation, "purpose", purpose, raising=False)


def more_rounds(patch: pytest.MonkeyPatch) -> None:
    """Two more rounds than there are; one that is refused is asked for once more."""
    run_round = Coordinator._run_round

    def on_and_on(self: Coordinator, number: int, base: Vector, *rest: Any) -> Vector:
        model = run_round(self, number, base, *rest)
        previous, members = base, rest[-1]
        if number == self.config.federation.total_rounds:
            for extra in (number + 1, number + 2):
                try:
                    previous, model = model, run_round(self, extra, model, previous, members)
                except FedcxrError:
                    run_round(self, extra, model, previous, members)
        return model

    patch.setattr(Coordinator, "_run_round", on_and_on)


def hurry(patch: pytest.MonkeyPatch) -> None:
    open_round = FederationLedger.open_round

    def at_once(self: FederationLedger, number: int, **terms: Any) -> object:
        return open_round(self, number, **{**terms, "deadline_seconds": HURRY})

    patch.setattr(FederationLedger, "open_round", at_once)


def exponents(choose: Callable[[int, tuple[int, ...]], tuple[int, ...]]) -> Attack:
    def attack(patch: pytest.MonkeyPatch) -> None:
        def own(**fields: Any) -> RoundConfig:
            return RoundConfig(**{**fields, "exponents": choose(fields["round"], fields["exponents"])})

        own.from_bytes = RoundConfig.from_bytes  # type: ignore[attr-defined]
        patch.setattr(server.coordinator, "RoundConfig", own)

    return attack


def equal_weights(patch: pytest.MonkeyPatch) -> None:
    """The contract gives every hospital the same weight, and the configuration says by images."""
    configured = fedcxr.run.founding.configured
    patch.setattr(
        fedcxr.run.founding, "configured", lambda *rest: {**configured(*rest), "weighting": "uniform"}
    )


def planted(change: Callable[[Vector], Vector]) -> Attack:
    """Found the federation with another first model, in its file, in the store and on the ledger."""

    def attack(patch: pytest.MonkeyPatch) -> None:
        prepare = server.app.prepare_genesis

        def plant(run: RunDirectory) -> Layout:
            layout = prepare(run)
            path = run.model(0)
            vector = change(model_file.read(path, layout))
            federation = fedcxr.run.founding.federation_id(run.config)
            model_file.write(path, vector, layout, federation=federation, round_number=0)
            run.blob_store().put(vector.astype("<f4", copy=False).view(np.uint8))
            return layout

        patch.setattr(server.app, "prepare_genesis", plant)

    return attack


def trap(vector: Vector) -> Vector:
    """One value, far from where it starts."""
    changed = vector.copy()
    changed[7] += 1.0
    return changed


def otherwise_rounded(vector: Vector) -> Vector:
    return np.nextafter(vector, np.float32(np.inf))


@pytest.fixture
def one_round(small_config: Config) -> Config:
    return small_config.with_changes({"federation.rounds": 1, "evaluation.bootstrap": 0})


@pytest.fixture
def calibrated(one_round: Config) -> Config:
    return one_round.with_changes({"federation.calibrate": True})


# ------------------------------------------------------------------------------------- hospitals, beforehand


def test_rounds_that_the_configuration_does_not_have_are_refused(one_round: Config, tmp_path: Path) -> None:
    run = Run(one_round, tmp_path / "run", more_rounds)
    assert run.trained == [1] * 3
    assert {number for _, number in run.refused} == {2}
    assert len(run.refused) == 3
    report = run.audit()
    assert found(report, "the round") == [2, 2]  # both attempts, and nothing came of either
    assert report.released
    assert any("refused to train from the model that the ledger holds" in note for note in report.notes)


def test_a_calibration_is_not_repeated(calibrated: Config, tmp_path: Path) -> None:
    run = Run(calibrated, tmp_path / "run", more_rounds)
    assert sorted(run.trained) == [1] * 3 + [2] * 3
    assert {number for _, number in run.refused} == {3}
    assert found(run.audit(), "the round") == [3, 3]


def test_without_a_ledger_a_round_that_there_is_not_is_not_trained_either(
    one_round: Config, tmp_path: Path
) -> None:
    run = Run(one_round.with_changes({"ledger.backend": "off"}), tmp_path / "run", more_rounds)
    assert run.trained == [1] * 3


@pytest.mark.parametrize(
    "attack",
    [
        hurry,
        equal_weights,
        exponents(lambda number, chosen: tuple(e + 1 for e in chosen)),
        exponents(lambda number, chosen: tuple(-8 for _ in chosen)),
        exponents(lambda number, chosen: chosen[:-1]),
        planted(trap),
    ],
    ids=["deadline", "weights", "clipping", "coarse", "too-few", "first-model"],
)
def test_the_first_round_is_refused_where_it_is_not_as_configured(
    attack: Attack, one_round: Config, tmp_path: Path
) -> None:
    run = Run(one_round, tmp_path / "run", attack)
    assert run.trained == []
    assert len(run.refused) == 3
    said = {event.reason for event in run.recorder.of(HospitalAnswered)}  # type: ignore[attr-defined]
    assert said == {"it refused the round, which is beyond its limits or the rules: see its own log"}


def test_a_later_round_that_clips_beyond_every_rule_is_refused(small_config: Config, tmp_path: Path) -> None:
    clip = exponents(lambda number, chosen: chosen if number == 1 else tuple(40 for _ in chosen))
    run = Run(small_config, tmp_path / "run", clip)
    assert run.trained == [1] * 3
    assert {number for _, number in run.refused} == {2}


def test_a_first_model_of_another_processor_is_the_same(one_round: Config, tmp_path: Path) -> None:
    run = Run(one_round, tmp_path / "run", planted(otherwise_rounded))
    assert run.trained == [1] * 3
    report = run.audit()
    assert not [finding for finding in report.findings if finding.round == 0]
    assert any("as made again here, but for rounding" in note for note in report.notes)


def test_an_honest_round_that_is_asked_for_again_is_trained(
    one_round: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(self: Coordinator, *rest: object) -> object:
        self.ledger.abort(1, "second thoughts")
        raise FedcxrError("given up")

    with monkeypatch.context() as patch, pytest.raises(FedcxrError):
        patch.setattr(Coordinator, "_close", give_up)
        run_federation(one_round, tmp_path / "run")
    run = run_federation(one_round, tmp_path / "run")
    assert audit(run, [Identity.load(run.keys / "auditor.json").envelope_key]).proven


# ---------------------------------------------------------------------------------------- the audit, always


def test_the_audit_finds_rounds_and_calibrations_that_there_are_not(
    calibrated: Config, tmp_path: Path
) -> None:
    run = Run(calibrated, tmp_path / "run", more_rounds, obedient_hospitals)
    assert sorted(run.trained) == sorted([1, 2, 3, 4] * 3)
    report = run.audit()
    assert found(report, "the round") == [3, 4]
    (finding, *_) = [finding for finding in report.findings if finding.where == "the round"]
    assert finding.expected == "2 rounds, the last of them a calibration"


@pytest.mark.parametrize(
    ("attack", "what"),
    [
        (hurry, "the deadline"),
        (equal_weights, "the weights"),
        (
            exponents(lambda number, chosen: tuple(-8 for _ in chosen)),
            "round configuration's exponents",
        ),
    ],
    ids=["deadline", "weights", "exponents"],
)
def test_the_audit_finds_a_round_that_is_not_as_configured(
    attack: Attack, what: str, one_round: Config, tmp_path: Path
) -> None:
    run = Run(one_round, tmp_path / "run", attack, obedient_hospitals)
    assert run.trained == [1] * 3
    assert found(run.audit(), what) == [1]


def test_the_audit_finds_a_planted_first_model(one_round: Config, tmp_path: Path) -> None:
    run = Run(one_round, tmp_path / "run", planted(trap), obedient_hospitals)
    assert run.trained == [1] * 3
    report = run.audit()
    assert report.released
    assert found(report, "first model") == [0]


@contextmanager
def served(run: RunDirectory, folder: Path, lie: Callable[[str, list[Any], Any], Any]) -> Iterator[str]:
    """The run's chain behind an endpoint that lies."""
    with ExitStack() as stack:
        copied = Path(shutil.copyfile(run.chain_path, folder / "ledger.sqlite"))
        chain_id = run.read_facts().chain_id
        chain = stack.enter_context(closing(EmbeddedChain(copied, chain_id=chain_id)))
        front = stack.enter_context(closing(RpcServer(chain)))
        yield stack.enter_context(closing(LyingProxy(front.url, lie))).url


def test_an_endpoint_is_not_believed_when_a_round_was_opened(one_round: Config, tmp_path: Path) -> None:
    run = Run(one_round, tmp_path / "run", hurry, obedient_hospitals).directory

    def a_day_before(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getBlockByNumber" and proven:
            return {**result, "timestamp": hex(int(result["timestamp"], 16) - 86_400)}
        return result

    proven: list[str] = []  # what is said from then on, no header proves

    class Source(EndpointLedger):
        @contextmanager
        def open(self, *rest: Any) -> Iterator[Any]:  # type: ignore[override]
            with super().open(*rest) as ledger:
                proven.append("all headers are read")
                yield ledger

    with served(run, tmp_path, a_day_before) as url:
        report = conduct_audit(Source(url, run.read_facts().contract), RunSources(run), Request())
    assert found(report, "the deadline") == [1]
