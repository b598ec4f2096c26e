"""``fedcxr audit``: what it prints, and the exit code that a script goes by."""

import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from federation import run_federation
from typer.testing import CliRunner, Result

from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.cli import app as registered  # noqa: F401 (registers the commands)
from fedcxr.cli.app import app
from fedcxr.config import Config
from fedcxr.errors import AuditFailedError, AuditIncompleteError, ConfigError, StoreError
from fedcxr.round_lines import read_rounds
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory


@pytest.fixture(scope="module")
def finished(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    config = small_config.with_changes({"federation.rounds": 1})
    return run_federation(config, tmp_path_factory.mktemp("audited") / "run")


@pytest.fixture
def run(finished: RunDirectory, tmp_path: Path) -> RunDirectory:
    return RunDirectory(shutil.copytree(finished.root, tmp_path / "run"))


def call(run: RunDirectory, *more: object) -> Result:
    return CliRunner().invoke(app, ["audit", str(run.root), *map(str, more)])


def test_a_proven_run_ends_with_zero(run: RunDirectory) -> None:
    result = call(run)
    assert result.exit_code == 0
    assert "✓ clean: 1 round, 3 updates" in result.output
    assert "scores, times, bytes and gas are the coordinator's own word" in result.output
    report = json.loads(call(run, "--json").stdout)
    assert (report["clean"], report["complete"], report["proven"]) == (True, True, True)
    assert report["released"] == read_rounds(run)[-1].model


def test_a_finding_has_a_code_of_its_own(run: RunDirectory) -> None:
    run.model(1).write_bytes(run.model(0).read_bytes())
    result = call(run)
    assert isinstance(result.exception, AuditFailedError)
    assert result.exception.exit_code == 90
    assert "✗ round 1, round-0001.safetensors" in result.output


def test_a_flipped_bit_is_named_by_its_place(run: RunDirectory) -> None:
    content = bytearray(run.model(1).read_bytes())
    content[20] ^= 1
    run.model(1).write_bytes(content)
    assert f"found {len(content)} bytes, first difference at byte 20\n" in call(run).output


def test_an_audit_that_proves_nothing_does_not_end_with_zero(run: RunDirectory) -> None:
    shutil.rmtree(run.keys)
    result = call(run)
    assert isinstance(result.exception, AuditIncompleteError)
    assert result.exception.exit_code == 91
    closed = (
        "what is sealed in 3 updates of 1 round (no key: --key FILE gives the coordinator's or the auditor's)"
    )
    assert f"? unchecked: {closed}\n? unchecked: the released model" in result.output
    assert (
        "nothing found, and the released model is not proven; see above\nlooked at: 1 round," in result.output
    )
    report = json.loads(call(run, "--json").stdout)
    assert (report["clean"], report["proven"], report["released"]) == (True, False, "")


def test_one_damaged_key_does_not_keep_the_other_from_opening(run: RunDirectory) -> None:
    (run.keys / "auditor.json").write_text("{")
    result = call(run)
    assert result.exit_code == 0
    assert "unchecked: what" in result.output
    assert isinstance(call(run, "--key", run.keys / "auditor.json").exception, StoreError)


def test_hospitals_journals_are_held_against_the_ledger(run: RunDirectory) -> None:
    journals = sorted(run.hospitals.glob("*/0x*/journal.jsonl"))
    assert len(journals) == 3
    options = [option for journal in journals for option in ("--journal", journal)]
    assert call(run, *options).exit_code == 0
    journals[0].write_text("{}\n")
    assert isinstance(call(run, *options).exception, AuditFailedError)


def test_rounds_or_a_hospital_alone_prove_nothing_of_the_whole(run: RunDirectory) -> None:
    result = call(run, "--rounds", "1")
    assert isinstance(result.exception, AuditIncompleteError)
    assert "unchecked: the released model" in result.output
    assert isinstance(call(run, "--rounds", "two").exception, ConfigError)
    assert isinstance(call(run, "--hospital", "synthetic-01").exception, ConfigError)


def test_an_export_is_written_and_verified(run: RunDirectory, tmp_path: Path) -> None:
    file = tmp_path / "audit.zip"
    assert call(run, "--export", file).exit_code == 0
    signer = Identity.load(run.keys / "auditor.json").account.address
    result = CliRunner().invoke(app, ["audit", "verify", str(file), "--signer", signer])
    assert result.exit_code == 0, result.output
    assert f"released model: {read_rounds(run)[-1].model}" in result.output
    tree = json.loads(CliRunner().invoke(app, ["audit", "verify", str(file), "--json"]).stdout)
    assert (tree["authentic"], tree["signer"], tree["known_as"]) == (True, signer, "")
    data = file.read_bytes()
    file.write_text("no zip")
    other = CliRunner().invoke(app, ["audit", "verify", str(file)])
    assert isinstance(other.exception, AuditFailedError)
    assert "not an audit's export" in other.output
    assert other.exception.help == "Each finding or problem says what is not as it must be."
    file.write_bytes(data[:-1] + b"?")
    changed = CliRunner().invoke(app, ["audit", "verify", str(file)])
    assert isinstance(changed.exception, AuditFailedError)


def test_an_exports_verification_ends_as_the_audit_did(run: RunDirectory, tmp_path: Path) -> None:
    file, key = tmp_path / "audit.zip", tmp_path / "signer.json"
    known = ["--signer", Identity.load_or_create(key, "X25519").account.address]
    keys = shutil.move(run.keys, tmp_path / "keys")
    assert isinstance(call(run, "--export", file).exception, ConfigError)
    assert isinstance(call(run, "--export", file, "--sign", key).exception, AuditIncompleteError)
    result = CliRunner().invoke(app, ["audit", "verify", str(file), *known])
    assert isinstance(result.exception, AuditIncompleteError)
    shutil.move(keys, run.keys)
    run.model(1).unlink()
    assert isinstance(call(run, "--export", file).exception, AuditFailedError)
    known = ["--signer", Identity.load(run.keys / "auditor.json").account.address]
    result = CliRunner().invoke(app, ["audit", "verify", str(file), *known])
    assert isinstance(result.exception, AuditFailedError)
    assert "round-0001.safetensors" in result.output


def test_a_third_party_needs_no_run_directory(run: RunDirectory, tmp_path: Path) -> None:
    contract = run.read_facts().contract
    store = shutil.copytree(run.root / "blobs", tmp_path / "store")
    key = shutil.copyfile(run.keys / "auditor.json", tmp_path / "key.json")
    with (
        closing(EmbeddedChain(run.chain_path, chain_id=run.config.ledger.chain_id)) as chain,
        closing(RpcServer(chain)) as server,
    ):
        place = ["audit", "--rpc", server.url, "--contract", contract, "--store", str(store)]
        result = CliRunner().invoke(app, place)
        assert isinstance(result.exception, AuditIncompleteError)
        assert "no key" in result.output
        head = bytes(chain.w3.eth.get_block("latest")["hash"]).hex()
        known = ["--head", head]
        result = CliRunner().invoke(app, [*place, *known, "--key", str(key), "--model", str(run.model(1))])
        assert result.exit_code == 0, result.output
        result = CliRunner().invoke(app, [*place, "--key", str(key), "--model", str(run.model(0))])
        assert isinstance(result.exception, AuditFailedError)
        result = call(run, "--rpc", server.url, *known)
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "options",
    [
        ["--rpc", "http://127.0.0.1:1"],
        ["--contract", "0x" + "11" * 20, "--store", "x"],
        ["RUN", "--contract", "0x" + "11" * 20],
        ["RUN", "--head", "0x11"],
        ["RUN", "--head", "eleven"],
    ],
)
def test_options_that_do_not_say_where_to_look_are_refused(options: list[str]) -> None:
    result = CliRunner().invoke(app, ["audit", *options])
    assert isinstance(result.exception, ConfigError)
