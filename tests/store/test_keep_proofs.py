"""A finished run gives up its updates: only after an audit, on record, and all else stays."""

import contextlib
import shutil
from pathlib import Path

import pytest
from federation import digests, run_federation
from typer.testing import CliRunner, Result

from fedcxr import open_run
from fedcxr.api.audit import verify_export
from fedcxr.cli.app import app
from fedcxr.config import Config
from fedcxr.errors import AuditFailedError, AuditIncompleteError, StoreError
from fedcxr.run.ledger_access import reading_ledger
from fedcxr.run.resumption import run_progress
from fedcxr.store import garbage
from fedcxr.store.pruned import Pruned
from fedcxr.store.run_directory import RunDirectory


@pytest.fixture(scope="module")
def finished(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Three hospitals, two rounds; never written to after this."""
    return run_federation(small_config, tmp_path_factory.mktemp("kept") / "run")


@pytest.fixture
def run(finished: RunDirectory, tmp_path: Path) -> RunDirectory:
    return RunDirectory(shutil.copytree(finished.root, tmp_path / "run"))


def collect(run: RunDirectory, *options: str) -> Result:
    return CliRunner().invoke(app, ["store", "gc", str(run.root), "--keep-proofs", *options])


def contents(run: RunDirectory) -> dict[str, bytes]:
    """Every file but the chain's, in which SQLite counts who opened it."""
    files = (path for path in run.root.rglob("*") if path.is_file() and path != run.chain_path)
    return {str(path.relative_to(run.root)): path.read_bytes() for path in files}


def test_what_is_left_says_what_it_proves_and_what_was_removed(run: RunDirectory) -> None:
    before, small = contents(run), len(run.blob_store().sizes()) - 6
    said = collect(run)
    assert said.exit_code == 0, said.output
    assert "6 of an update in a released sum" in said.output
    assert len(run.blob_store().sizes()) == small
    with reading_ledger(run) as ledger:
        assert not [
            u for n in (1, 2) for u in ledger.round(n).accepted.values() if u.root in run.blob_store()
        ]
    after = contents(run)
    changed = {name for name in after if before.get(name) != after[name]}
    assert changed == {"pruned.json", "pruned.zip"}
    assert all(name in after or name.startswith("blobs/") for name in before)
    opened = open_run(run.root)
    outcome = opened.audit()
    assert outcome.clean
    assert (outcome.proven, outcome.complete, outcome.released) == (False, False, "")
    assert sum("its update (removed by the run's keeper)" in line for line in outcome.unchecked) == 6
    assert any("pruned.zip" in note and "before updates were removed" in note for note in outcome.notes)
    with pytest.raises(AuditIncompleteError, match="has removed updates"):
        outcome.require_proof()
    assert opened.pruned == (1, 2)


def test_the_audit_that_was_kept_states_what_the_run_proves_no_more(run: RunDirectory) -> None:
    whole = open_run(run.root).audit()
    assert whole.proven
    assert collect(run).exit_code == 0
    kept = verify_export(run.root / "pruned.zip", signer=signer_of(run), state="off")
    kept.require_proof()
    assert any(whole.released in line for line in kept.states)


def signer_of(run: RunDirectory) -> str:
    from fedcxr.store.identity import Identity

    return Identity.load(run.keys / "auditor.json").account.address


def test_a_pruned_run_is_complete_resumes_to_nothing_and_exports_its_audit(
    run: RunDirectory, tmp_path: Path
) -> None:
    assert collect(run).exit_code == 0
    left = contents(run)
    assert run_progress(RunDirectory(run.root, trusted=True)).finalized == 2
    out = tmp_path / "audit.zip"
    said = CliRunner().invoke(app, ["audit", str(run.root), "--export", str(out)])
    assert isinstance(said.exception, AuditIncompleteError)
    assert "6 updates of 2 rounds (removed by the run's keeper)" in said.output
    found = verify_export(out, signer=signer_of(run), state="off")
    assert (found.problems, found.findings, found.proven) == ((), (), False)
    assert contents(run) == left
    again = collect(run)
    assert again.output.strip().endswith("0 bytes removed")
    assert contents(run) == left


def test_a_dry_run_says_the_bytes_and_makes_no_audit(run: RunDirectory) -> None:
    before, sizes = contents(run), run.blob_store().sizes()
    with reading_ledger(run) as ledger:
        roots = {u.root.hex() for n in (1, 2) for u in ledger.round(n).accepted.values()}
    total = sum(size for name, size in sizes.items() if Path(name).name in roots)
    assert f"{total:,} bytes would be removed" in collect(run, "--dry-run").output
    assert contents(run) == before


def test_a_run_that_an_audit_does_not_prove_keeps_everything(run: RunDirectory) -> None:
    with reading_ledger(run) as ledger:
        update = next(iter(ledger.round(1).accepted.values()))
    path = Path(run.blob_store().path(update.root))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    before = contents(run)
    refused = collect(run).exception
    assert isinstance(refused, AuditFailedError)
    assert "Nothing was removed" in refused.help
    assert contents(run) == before
    for name in ("auditor.json", "coordinator.json"):
        (run.keys / name).rename(run.root / name)
    data[-1] ^= 1
    path.write_bytes(data)
    before, key = contents(run), str(run.root / "auditor.json")
    assert isinstance(collect(run, "--sign", key).exception, AuditIncompleteError)  # without a key to read
    assert contents(run) == before
    assert collect(run, "--sign", key, "--key", key).exit_code == 0
    assert (said := Pruned.read(run.root)) is not None
    assert said.statement


def test_without_an_audit_that_is_what_the_next_audit_says(run: RunDirectory) -> None:
    assert collect(run, "--without-audit").exit_code == 0
    assert not (run.root / "pruned.zip").exists()
    outcome = open_run(run.root).audit()
    assert outcome.clean
    assert "pruned.json: whoever removed the updates kept no audit of before" in outcome.notes
    refused = collect(run).exception  # there is nothing left that an audit could prove
    assert isinstance(refused, AuditIncompleteError)


def cut_short(config: Config, out: Path) -> RunDirectory:
    """A run whose coordinator died when its first round was finalized."""

    class Killed(BaseException):
        pass

    def die(event: object) -> None:
        if type(event).__name__ == "RoundFinalized":
            raise Killed

    with contextlib.suppress(Killed):
        run_federation(config, out, observer=die)
    return RunDirectory(out)


def test_an_unfinished_run_keeps_its_updates(small_config: Config, tmp_path: Path) -> None:
    run = cut_short(small_config, tmp_path / "run")
    names = set(run.blob_store())
    for option in ((), ("--without-audit",), ("--dry-run",)):
        refused = collect(run, *option).exception
        assert isinstance(refused, StoreError)
        assert "1 of 2 rounds" in str(refused)
    assert set(run.blob_store()) == names


@pytest.mark.parametrize("removed", [0, 1, 5])
def test_a_removal_that_was_cut_short_accuses_nobody_and_is_finished_by_the_same_command(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, removed: int
) -> None:
    class Killed(BaseException):
        pass

    left, remove = [removed], garbage.remove

    def dies(*arguments: object) -> None:
        if not left[0]:
            raise Killed
        left[0] -= 1
        remove(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(garbage, "remove", dies)
        collect(run)
    outcome = open_run(run.root).audit()
    assert outcome.clean
    assert outcome.proven is (removed == 0)
    assert sum("removed by the run's keeper" in line for line in outcome.unchecked) == removed
    statement = (run.root / "pruned.zip").read_bytes()
    assert collect(run).exit_code == 0
    assert (run.root / "pruned.zip").read_bytes() == statement
    assert sum("removed by" in line for line in open_run(run.root).audit().unchecked) == 6


def test_open_updates_stay_while_the_court_may_ask_for_them_and_their_sums_stay_for_good(
    small_config: Config, tmp_path: Path
) -> None:
    opened = small_config.with_changes({"privacy.envelope": "open", "federation.rounds": 1})
    run = run_federation(opened, tmp_path / "run")
    names = set(run.blob_store())
    refused = collect(run).exception
    assert isinstance(refused, StoreError)
    assert "can still be challenged" in str(refused)
    said = CliRunner().invoke(app, ["store", "gc", str(run.root), "--before", "2"]).output
    assert "1 round before 2 can still be challenged: kept" in said
    assert set(run.blob_store()) == names
    over = run_federation(opened.with_changes({"ledger.dispute_window": 0}), tmp_path / "over")
    assert collect(over).exit_code == 0
    with reading_ledger(over) as ledger:
        view = ledger.round(1)
    assert view.aggregate_root in over.blob_store()
    assert not any(update.root in over.blob_store() for update in view.accepted.values())
    outcome = open_run(over.root).audit()
    assert (outcome.clean, outcome.proven) == (True, False)
    told = CliRunner().invoke(app, ["ledger", "challenge", str(over.root), "1"])
    assert isinstance(told.exception, StoreError)
    assert "its updates were removed" in str(told.exception)


def test_a_run_that_gave_up_its_first_round_goes_on_to_the_same_model(
    finished: RunDirectory, small_config: Config, tmp_path: Path
) -> None:
    run = cut_short(small_config, tmp_path / "run")
    said = CliRunner().invoke(app, ["store", "gc", str(run.root), "--before", "2"])
    assert "3 of an update in a released sum" in said.output
    run_federation(small_config, run.root)
    assert digests(run) == digests(finished)
    outcome = open_run(run.root).audit()
    assert (outcome.clean, outcome.proven) == (True, False)
    assert sum("removed by the run's keeper" in line for line in outcome.unchecked) == 3


def test_where_one_root_records_a_round_its_list_stays(small_config: Config, tmp_path: Path) -> None:
    config = small_config.with_changes({"ledger.recording": "root", "federation.rounds": 1})
    run = run_federation(config, tmp_path / "run")
    assert "3 of an update in a released sum" in collect(run).output
    outcome = open_run(run.root).audit()
    assert (outcome.clean, outcome.proven) == (True, False)
    assert sum("removed by the run's keeper" in line for line in outcome.unchecked) == 3
    found = CliRunner().invoke(app, ["ledger", "dispute", str(run.root), "1"])
    assert "all under its root is good" in found.output
