"""Whole rounds over the real path, on the local grid: what must come out, and what must not get in."""

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from federation import Recorder, digests, run_federation
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from clients.app import app as client_app
from fedcxr.audit.audit import audit
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.embedded.evm import FAUCET
from fedcxr.config import Config
from fedcxr.errors import ConfigError, FederationError, QuorumError
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.signing import SignedSubmission
from fedcxr.messages import UpdateReply
from fedcxr.report.summary import write_summary
from fedcxr.round_lines import read_rounds
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory
from server.events import Event, FederationStarted, HospitalAnswered, RoundFinalized, RoundOpened


def reasons(recorder: Recorder, round_number: int) -> dict[str, str]:
    """Why each hospital was left out of a round, by name."""
    started = recorder.of(FederationStarted)[0]
    answers = [e for e in recorder.of(HospitalAnswered) if e.round == round_number]
    return {started.hospitals[e.hospital]: e.reason for e in answers}


def assert_clean(run: RunDirectory) -> None:
    key = Identity.load(run.keys / "auditor.json").envelope_key
    report = audit(run, [key])
    assert report.findings == []
    assert report.unchecked == []
    assert report.released == digests(run)[-1]


@pytest.fixture(scope="module")
def whole(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The models of a run that nothing disturbed."""
    return digests(run_federation(small_config, tmp_path_factory.mktemp("whole") / "run"))


def test_a_federation_ends_with_every_file_and_a_clean_audit(small_config: Config, tmp_path: Path) -> None:
    recorder = Recorder()
    run = run_federation(small_config, tmp_path / "run", observer=recorder, evaluated=True)
    assert [e.round for e in recorder.of(RoundFinalized)] == [1, 2]
    assert all(len(e.included) == 3 for e in recorder.of(RoundFinalized))
    for name in (
        "config.toml",
        "ledger.sqlite",
        "ledger.json",
        "partition.json",
        "layout.json",
    ):
        assert (run.root / name).stat().st_size > 0, name
    assert [p.name for p in sorted(run.models.iterdir())] == [f"round-000{n}.safetensors" for n in range(3)]
    assert run.config == small_config
    lines = read_rounds(run)
    assert lines[-1].evaluation is not None
    assert len(lines[0].hospitals) == 3
    assert not run.endpoint_path.exists()
    assert_clean(run)


def test_the_same_seed_gives_the_same_models_in_any_order_of_arrival_with_and_without_a_ledger(
    small_config: Config, whole: list[str], tmp_path: Path
) -> None:
    assert len(set(whole)) == 2
    assert digests(run_federation(small_config, tmp_path / "b", backwards=True)) == whole
    off = small_config.with_changes({"ledger.backend": "off"})
    assert digests(run_federation(off, tmp_path / "c")) == whole
    other = small_config.with_changes({"seed": 4})
    assert digests(run_federation(other, tmp_path / "d")) != whole


def test_a_hospital_that_crashes_is_left_out_and_the_round_goes_on(
    small_config: Config, tmp_path: Path
) -> None:
    crashing = ClientApp()

    @crashing.query("register")
    def register(message: Message, context: Context) -> Message:
        return client_app(message, context)

    @crashing.train()
    def train(message: Message, context: Context) -> Message:
        if context.node_config["partition-id"] == 1 and message.metadata.group_id == "1":
            raise RuntimeError("out of memory")
        return client_app(message, context)

    recorder = Recorder()
    run = run_federation(small_config, tmp_path / "run", observer=recorder, client=crashing)
    assert [len(e.included) for e in recorder.of(RoundFinalized)] == [2, 3]
    assert "its app crashed" in next(r for r in reasons(recorder, 1).values() if r)
    assert_clean(run)


def test_a_lost_reply_is_named_and_the_round_goes_on(small_config: Config, tmp_path: Path) -> None:
    config = small_config.with_changes({"federation.rounds": 1, "federation.round_timeout": 20})
    recorder = Recorder()

    def tamper(name: str, reply: UpdateReply) -> UpdateReply | None:
        return None if name == names[1] else reply

    names: list[str] = []

    def remember(event: Event) -> None:
        recorder(event)
        if isinstance(event, FederationStarted):
            names.extend(sorted(event.hospitals.values()))

    run_federation(config, tmp_path / "run", observer=remember, tamper=tamper)
    assert reasons(recorder, 1)[names[1]] == "no reply in time"
    assert len(recorder.of(RoundFinalized)[0].included) == 2


def flipped(reply: UpdateReply) -> UpdateReply:
    damaged = bytearray(reply.bulk)
    damaged[len(damaged) // 2] ^= 1
    return replace(reply, bulk=bytes(damaged))


ATTACKS: tuple[tuple[Callable[[UpdateReply], UpdateReply], str], ...] = (
    (flipped, "do not have the roots"),
    (lambda r: replace(r, bulk=r.bulk[:-4096]), "do not have the roots"),
    (lambda r: replace(r, size=r.size + 1), "and sent"),
    (lambda r: replace(r, hospital="0x" + "00" * 20), "answers as"),
    (lambda r: replace(r, metrics=b"{}"), "metrics"),
    (lambda r: replace(r, signature=bytes(65)), "BadSignature"),
    (lambda r: replace(r, samples=r.samples + 1), "TooManySamples"),
    (lambda r: replace(r, base=bytes(32)), "WrongBase"),
    (lambda r: replace(r, round=r.round + 1), "WrongPhase"),
    (lambda r: replace(r, samples=0), "NoSamples"),
    (lambda r: replace(r, samples=-1), "samples: -1 is not a uint64"),
    (lambda r: replace(r, base=b"short"), "is not a bytes32"),
    (lambda r: replace(r, attempt=2**64), "whose 'attempt' has more than 64 bits"),
    (lambda r: replace(r, signature=bytes(1_000_000)), "whose 'signature' has 1,000,000 bytes"),
    (lambda r: replace(r, waited=-0.1), "waited for -0.1 s of"),
    (lambda r: replace(r, waited=1e9), "waited for 1000000000.0 s of"),
    (lambda r: replace(r, waited=float("nan")), "waited for nan s of"),
    (lambda r: replace(r, took=-0.1), "took -0.1 s for its reply"),
    (lambda r: replace(r, took=float("inf")), "took inf s for its reply"),
    (lambda r: replace(r, took=float("nan")), "took nan s for its reply"),
)


@pytest.fixture(scope="module")
def attacked(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDirectory, Recorder]:
    """A run in which each attack has a round of its own, on the hospital whose reply comes first."""
    recorder, attempted = Recorder(), set[int]()

    def tamper(name: str, reply: UpdateReply) -> UpdateReply:
        if reply.round in attempted:
            return reply
        attempted.add(reply.round)
        return ATTACKS[reply.round - 1][0](reply)

    config = small_config.with_changes({"federation.rounds": len(ATTACKS)})
    place = tmp_path_factory.mktemp("attacked") / "run"
    return run_federation(config, place, observer=recorder, tamper=tamper), recorder


@pytest.mark.parametrize(("number", "said"), [(i, said) for i, (_, said) in enumerate(ATTACKS, 1)])
def test_a_tampered_reply_is_left_out_by_name(
    attacked: tuple[RunDirectory, Recorder], number: int, said: str
) -> None:
    run, recorder = attacked
    answers = [event for event in recorder.of(HospitalAnswered) if event.round == number]
    assert [event.reason != "" for event in answers] == [True, False, False]
    assert said in answers[0].reason
    (finalized,) = (event for event in recorder.of(RoundFinalized) if event.round == number)
    assert sorted(finalized.included) == sorted(event.hospital for event in answers[1:])
    assert set(read_rounds(run)[number - 1].included) == set(finalized.included)


def test_a_run_of_tampered_replies_is_audited_clean(attacked: tuple[RunDirectory, Recorder]) -> None:
    assert_clean(attacked[0])


def test_an_update_replayed_in_a_later_round_is_rejected(small_config: Config, tmp_path: Path) -> None:
    recorder = Recorder()
    kept: dict[str, UpdateReply] = {}

    def tamper(name: str, reply: UpdateReply) -> UpdateReply:
        if not kept:
            kept[name] = reply
        return kept.get(name, reply)

    run = run_federation(small_config, tmp_path / "run", observer=recorder, tamper=tamper)
    (name,) = kept
    assert reasons(recorder, 1)[name] == ""
    assert "WrongPhase" in reasons(recorder, 2)[name]
    assert_clean(run)


def test_a_round_without_enough_updates_is_aborted_and_the_run_can_go_on(
    small_config: Config, tmp_path: Path
) -> None:
    config = small_config.with_changes({"federation.min_hospitals": 3})
    with pytest.raises(QuorumError, match=r"round 1: 0 of 3"):
        run_federation(config, tmp_path / "run", tamper=lambda name, reply: flipped(reply))
    run = run_federation(config, tmp_path / "run")
    assert len(digests(run)) == 2
    assert_clean(run)


def test_an_update_comes_with_how_long_its_network_waited_for_the_loader(
    small_config: Config, tmp_path: Path
) -> None:
    recorder, sent = Recorder(), []

    def tamper(name: str, reply: UpdateReply) -> UpdateReply:
        sent.append(reply.waited)
        return reply

    run_federation(small_config, tmp_path / "run", tamper=tamper, observer=recorder)
    said = [(e.waited, e.metrics) for e in recorder.of(HospitalAnswered)]
    assert [waited for waited, _ in said] == sent
    assert all(metrics is not None and 0 < waited < metrics.seconds for waited, metrics in said)


class Killed(BaseException):
    """Stands for the process's end: nothing catches it."""


@pytest.mark.parametrize("moment", ["opened", "answered", "finalized"])
def test_a_coordinator_that_died_goes_on_to_the_same_model(
    small_config: Config, whole: list[str], tmp_path: Path, moment: str
) -> None:
    seen: list[str] = []

    def die(event: Event) -> None:
        name = {"RoundOpened": "opened", "HospitalAnswered": "answered", "RoundFinalized": "finalized"}.get(
            type(event).__name__
        )
        if name == moment and getattr(event, "round", 0) == (1 if moment == "finalized" else 2):
            seen.append(name)
            raise Killed

    with pytest.raises(Killed):
        run_federation(small_config, tmp_path / "run", observer=die)
    assert seen
    run = run_federation(small_config, tmp_path / "run")
    assert digests(run) == whole
    assert_clean(run)


@pytest.mark.parametrize(("needed", "attempt", "included"), [(1, 1, 1), (2, 2, 3)])
def test_a_round_whose_time_ran_out_meanwhile_closes_with_what_it_has_or_is_opened_again(
    small_config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    needed: int,
    attempt: int,
    included: int,
) -> None:
    config = small_config.with_changes({"federation.rounds": 1, "federation.min_hospitals": needed})

    def die(event: Event) -> None:
        if isinstance(event, HospitalAnswered):
            raise Killed

    came: list[str] = []

    def first_only(name: str, reply: UpdateReply) -> UpdateReply | None:
        came.append(name)
        return reply if len(came) == 1 else None

    with pytest.raises(Killed):
        run_federation(config, tmp_path / "run", observer=die, tamper=first_only)
    now, later = time.time, float(2 * config.ledger.deadline)
    monkeypatch.setattr("time.time", lambda: now() + later)
    run = run_federation(config, tmp_path / "run")
    (line,) = read_rounds(run)
    assert len(line.included) == included
    with contextlib.closing(EmbeddedChain(run.chain_path, chain_id=config.ledger.chain_id)) as chain:
        ledger = FederationLedger.attach(chain.w3, run.read_facts().contract)
        assert ledger.round(1).attempt == attempt
    assert_clean(run)


@pytest.mark.parametrize("rounds_lost", [1, 2])
def test_a_round_that_was_finalized_but_not_recorded_is_recorded_by_the_next_start(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rounds_lost: int
) -> None:
    def die(run: RunDirectory, line: object) -> None:
        raise Killed

    if rounds_lost == 1:
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr("server.records.write_round", die)
            run_federation(
                small_config.with_changes({"federation.rounds": 1}), tmp_path / "run", evaluated=True
            )
        run = run_federation(
            small_config.with_changes({"federation.rounds": 1}), tmp_path / "run", evaluated=True
        )
    else:
        run = run_federation(small_config, tmp_path / "run", evaluated=True)
        whole = read_rounds(run)
        run.metrics.path.unlink()
        run_federation(small_config, tmp_path / "run", evaluated=True)
        for before, after in zip(whole, read_rounds(run), strict=True):
            assert after.seconds is None
            for key in ("round", "model", "included", "excluded", "hospitals", "evaluation"):
                assert getattr(after, key) == getattr(before, key), key
    assert [line.round for line in read_rounds(run)] == list(range(1, rounds_lost + 1))
    assert [line.evaluation is not None for line in read_rounds(run)] == [True] * rounds_lost
    write_summary(run)
    assert "(unfinished" not in run.summary_path.read_text()
    assert_clean(run)


def test_an_update_that_a_hospital_brought_to_the_contract_itself_cannot_stop_the_round(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may come while replies are awaited, or between the last look and the round's end."""
    config = small_config.with_changes({"federation.rounds": 1, "federation.round_timeout": 20})
    kept: list[UpdateReply] = []

    def tamper(name: str, reply: UpdateReply) -> UpdateReply | None:
        if len(kept) < 2:
            kept.append(reply)
            return None
        return reply

    def bring(ledger: FederationLedger, reply: UpdateReply) -> None:
        identities = map(Identity.load, tmp_path.glob("run/hospitals/*/identity.json"))
        own = next(i.account for i in identities if i.account.address == reply.hospital)
        EmbeddedChain.fund(
            SimpleNamespace(w3=ledger._w3, faucet=FAUCET.public_key.to_checksum_address()), own.address
        )
        FederationLedger(ledger._w3, ledger.address, own).submit_direct(
            SignedSubmission(reply.submission(ledger.views.federation), reply.signature)
        )

    submit, close = FederationLedger.submit, FederationLedger.close

    def early(self: FederationLedger, batch: list[SignedSubmission]) -> object:
        if len(kept) == 2 and not brought:
            brought.append(1)
            bring(self, kept[0])
        return submit(self, batch)

    def late(self: FederationLedger, number: int, list_root: bytes) -> None:
        if len(brought) == 1:
            brought.append(2)
            bring(self, kept[1])
        close(self, number, list_root)

    brought: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(FederationLedger, "submit", early)
        patch.setattr(FederationLedger, "close", late)
        run = run_federation(config, tmp_path / "run", tamper=tamper)
    assert brought == [1, 2]
    (line,) = read_rounds(run)
    assert sorted(line.excluded) == sorted(reply.hospital for reply in kept)
    assert len(line.included) == 1
    assert "/" not in "".join(line.excluded.values())
    report = audit(run, [Identity.load(run.keys / "auditor.json").envelope_key])
    assert report.proven, [str(f) for f in report.findings]
    assert sum("its bytes never came" in note for note in report.notes) == 2


def test_metrics_that_no_hospital_can_have_are_refused_before_anything_is_submitted(
    small_config: Config, tmp_path: Path
) -> None:
    def tamper(name: str, reply: UpdateReply) -> UpdateReply:
        metrics = json.loads(reply.metrics)
        metrics["images"] = 10**400
        return replace(reply, metrics=json.dumps(metrics).encode()) if reply.round == 1 else reply

    recorder = Recorder()
    with pytest.raises(QuorumError):
        run_federation(small_config, tmp_path / "run", observer=recorder, tamper=tamper)
    assert all("not what a hospital reports" in reason for reason in reasons(recorder, 1).values())
    assert not recorder.of(RoundFinalized)


def test_no_round_is_opened_when_too_few_hospitals_came(small_config: Config, tmp_path: Path) -> None:
    away = ClientApp()

    @away.query("register")
    def register(message: Message, context: Context) -> Message:
        if context.node_config["partition-id"] == 1:
            raise RuntimeError("no data")
        return client_app(message, context)

    config = small_config.with_changes({"federation.min_hospitals": 3})
    recorder = Recorder()
    with pytest.raises(QuorumError, match=r"2 hospitals are registered, but federation\.min_hospitals is 3"):
        run_federation(config, tmp_path / "run", observer=recorder, client=away)
    assert not recorder.of(RoundOpened)


def test_a_server_that_sends_another_model_is_refused_and_the_refusal_is_on_the_ledger(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from server.round import Round

    collect = Round.collect

    def crafted(self: Round, *args: object) -> None:
        self.base = self.base + np.float32(1e-3)
        collect(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Round, "collect", crafted)
    refused: list[object] = []
    refuse = FederationLedger.refuse
    monkeypatch.setattr(
        FederationLedger, "refuse", lambda self, r, s: (refused.append(r), refuse(self, r, s))[1]
    )
    recorder = Recorder()
    with pytest.raises(QuorumError):
        run_federation(small_config, tmp_path / "run", observer=recorder)
    assert all("refused the base model" in reason for reason in reasons(recorder, 1).values())
    assert len(refused) == 3
    report = audit(RunDirectory(tmp_path / "run"), [])
    assert {(f.round, f.where) for f in report.findings} == {(1, "base model as handed out")}
    assert len({f.hospital for f in report.findings}) == 3


def test_a_directory_with_another_run_is_not_touched(small_config: Config, tmp_path: Path) -> None:
    run_federation(small_config.with_changes({"federation.rounds": 1}), tmp_path / "run")
    with pytest.raises(ConfigError, match="holds another run"):
        run_federation(small_config.with_changes({"seed": 9}), tmp_path / "run")


def test_a_damaged_model_file_stops_the_next_start(small_config: Config, tmp_path: Path) -> None:
    run = run_federation(small_config, tmp_path / "run")
    run.model(2).write_bytes(run.model(1).read_bytes())
    with pytest.raises(FederationError, match="has digest"):
        run_federation(small_config, tmp_path / "run")


def test_only_the_last_models_are_kept_when_asked(small_config: Config, tmp_path: Path) -> None:
    config = small_config.with_changes({"federation.rounds": 4, "store.keep_models": 2})
    run = run_federation(config, tmp_path / "run")
    assert sorted(p.name[6:10] for p in run.models.iterdir()) == ["0000", "0003", "0004"]
    assert_clean(run)


def test_a_calibration_round_moves_statistics_only_and_is_audited_like_any_other(
    small_config: Config, tmp_path: Path
) -> None:
    from fedcxr.update import model_file

    config = small_config.with_changes({"federation.rounds": 1, "federation.calibrate": True})
    run = run_federation(config, tmp_path / "run")
    assert len(digests(run)) == 2
    layout = run.read_layout()
    trained, calibrated = (model_file.read(run.model(n), layout) for n in (1, 2))
    for spec, place in zip(layout.tensors, layout.slices, strict=True):
        same = np.array_equal(trained[place], calibrated[place])
        assert same != spec.statistic, spec.name
    assert_clean(run)
