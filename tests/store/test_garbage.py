"""Garbage: what a crash and an aborted round left goes, on request; what the ledger needs stays."""

import shutil
from pathlib import Path

import pytest
from federation import Recorder, run_federation
from typer.testing import CliRunner, Result

from fedcxr.audit.audit import audit
from fedcxr.cli.app import app
from fedcxr.config import Config
from fedcxr.errors import ChainError, QuorumError
from fedcxr.messages import UpdateReply
from fedcxr.run.ledger_access import reading_ledger
from fedcxr.store.garbage import Waste, find_waste, read_attempts
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory


@pytest.fixture(scope="module")
def littered(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Two finalized rounds, the first after an attempt with two accepted updates was given up."""
    out = tmp_path_factory.mktemp("littered") / "run"
    config = small_config.with_changes({"federation.min_hospitals": 3})
    lost: list[str] = []

    def tamper(name: str, reply: UpdateReply) -> UpdateReply | None:
        lost.append(name)
        return None if len(lost) == 1 else reply

    impatient = config.with_changes({"federation.round_timeout": 20})
    with pytest.raises(QuorumError, match="2 of 3"):
        run_federation(impatient, out, tamper=tamper, observer=Recorder())
    run = run_federation(impatient, out)
    run.blob_store().put(b"never came to the contract")
    for path in (run.root / "blobs" / "ab" / "ab.1.tmp", run.models / "round-0002.safetensors.tmp"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    (run.root / "blobs" / "README").write_text("a person's own")
    return run


@pytest.fixture
def run(littered: RunDirectory, tmp_path: Path) -> RunDirectory:
    return RunDirectory(shutil.copytree(littered.root, tmp_path / "run"))


def collect(run: RunDirectory, *options: str) -> Result:
    return CliRunner().invoke(app, ["store", "gc", str(run.root), *options])


def waste_of(run: RunDirectory, **options: object) -> list[Waste]:
    store = run.blob_store()
    with reading_ledger(run) as ledger:
        return find_waste(run, store, read_attempts(ledger, store), **options)  # type: ignore[arg-type]


def roots(run: RunDirectory) -> set[bytes]:
    return {bytes.fromhex(Path(name).name) for name in run.blob_store() if len(Path(name).name) == 64}


def audited(run: RunDirectory) -> list[str]:
    report = audit(run, [Identity.load(run.keys / "auditor.json").envelope_key])
    return [str(finding) for finding in report.findings]


def test_leftovers_go_and_the_audit_stays_as_it_was(run: RunDirectory) -> None:
    before = audited(run)
    waste = waste_of(run)
    assert sorted(thing.why for thing in waste) == [
        "half written",
        "half written",
        *["of an aborted attempt"] * 4,  # two updates and their metrics
        "unnamed by the ledger",
    ]
    kept = set(run.blob_store()) - {thing.name for thing in waste}
    result = collect(run)
    assert result.exit_code == 0
    assert "bytes removed: 2 half written; 4 of an aborted attempt; 1 unnamed by the ledger" in result.output
    assert set(run.blob_store()) == kept
    assert not list(run.root.rglob("*.tmp"))
    assert (run.root / "blobs" / "README").exists()
    assert audited(run) == before
    with reading_ledger(run) as ledger:  # what a third party starts from
        assert {ledger.layout_digest, ledger.genesis_digest} <= roots(run)
    assert collect(run).output.strip() == "0 bytes removed"


def test_a_dry_run_says_what_would_go_and_removes_nothing(run: RunDirectory) -> None:
    before = sorted(run.root.rglob("*"))
    said = collect(run, "--dry-run").output
    assert "round-0002.safetensors.tmp  4 bytes, half written" in said
    assert "bytes would be removed: 2 half written" in said
    assert sorted(run.root.rglob("*")) == before


def test_a_round_gives_up_its_updates_only_where_that_is_asked_for_and_keeps_its_small_blobs(
    run: RunDirectory,
) -> None:
    assert not any("update" in thing.why for thing in waste_of(run))
    before = audited(run)
    with reading_ledger(run) as ledger:
        first, second = ledger.round(1), ledger.round(2)
    said = collect(run, "--before", "2").output
    assert "3 of an update in a released sum" in said
    there = roots(run)
    assert not {update.root for update in first.accepted.values()} & there
    assert {first.config_digest, *(update.metrics for update in first.accepted.values())} <= there
    assert {update.root for update in second.accepted.values()} <= there
    report = audit(run, [Identity.load(run.keys / "auditor.json").envelope_key])
    assert {str(finding) for finding in report.findings} <= set(before)
    assert sum("removed by the run's keeper" in line for line in report.unchecked) == 3
    assert not report.proven


def test_in_a_store_that_others_may_share_only_what_this_ledger_gave_up_goes(run: RunDirectory) -> None:
    waste = waste_of(run, alone=False)
    assert {thing.why for thing in waste if thing.blob} == {"of an aborted attempt"}


def test_while_a_round_is_open_blobs_on_their_way_to_the_contract_stay(
    small_config: Config, tmp_path: Path
) -> None:
    class Killed(BaseException):
        pass

    def die(event: object) -> None:
        if type(event).__name__ == "RoundOpened":
            raise Killed

    with pytest.raises(Killed):
        run_federation(small_config, tmp_path / "run", observer=die)
    run = RunDirectory(tmp_path / "run")
    run.blob_store().put(b"on its way")
    names = set(run.blob_store())
    assert "a round is open" in collect(run).output
    assert set(run.blob_store()) == names


def test_a_run_that_is_going_on_is_left_alone(run: RunDirectory) -> None:
    with reading_ledger(run):
        assert isinstance(collect(run).exception, ChainError)
