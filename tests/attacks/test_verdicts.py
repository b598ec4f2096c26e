"""Somebody wants a verdict that is worth nothing to end with 0: it ends with 91, and says why.

A chain that only its endpoint vouches for; an export that anybody signed; a ledger of the signer's own with
an auditor of its own.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from eth_account import Account
from federation import run_federation
from typer.testing import CliRunner, Result

from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.cli import app as registered  # noqa: F401 (registers the commands)
from fedcxr.cli.app import app
from fedcxr.config import Config
from fedcxr.errors import AuditFailedError, AuditIncompleteError
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.signing import AUDITOR, Registration, sign
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory


def call(*words: object) -> Result:
    return CliRunner().invoke(app, ["audit", *map(str, words)])


@pytest.fixture(scope="module")
def registrar(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """The keys of an auditor whose signing address is on the ledger."""
    return Identity.load_or_create(tmp_path_factory.mktemp("auditor") / "auditor.json", "X25519")


@pytest.fixture(scope="module")
def finished(
    small_config: Config, registrar: Identity, tmp_path_factory: pytest.TempPathFactory
) -> RunDirectory:
    """A finished run, on whose ledger an auditor has joined since."""
    config = small_config.with_changes({"federation.rounds": 1})
    run = run_federation(config, tmp_path_factory.mktemp("verdicts") / "run")
    coordinator = Identity.load(run.keys / "coordinator.json").account
    with closing(EmbeddedChain(run.chain_path, chain_id=run.read_facts().chain_id)) as chain:
        ledger = FederationLedger(chain.w3, run.read_facts().contract, coordinator)
        key = registrar.envelope_key.public
        joining = Registration(
            ledger.views.federation, registrar.account.address, AUDITOR, 0, hashlib.sha256(key.data).digest()
        )
        ledger.register(joining, key.data, sign(registrar.account, joining, ledger.domain))
    return run


@pytest.fixture(scope="module")
def head(finished: RunDirectory) -> str:
    with closing(EmbeddedChain(finished.chain_path, chain_id=finished.read_facts().chain_id)) as chain:
        return bytes(chain.w3.eth.get_block("latest")["hash"]).hex()


@pytest.fixture
def export(finished: RunDirectory, registrar: Identity, tmp_path: Path) -> Path:
    """An export that the ledger's auditor has signed."""
    key = tmp_path / "signer.json"
    registrar.write(key)
    file = tmp_path / "audit.zip"
    assert call(finished.root, "--export", file, "--sign", key).exit_code == 0
    return file


def incomplete(result: Result) -> str:
    assert isinstance(result.exception, AuditIncompleteError), result.output
    assert result.exception.exit_code == 91
    return str(result.exception)


def test_a_chain_whose_head_only_its_endpoint_names_proves_no_model(
    finished: RunDirectory, head: str, tmp_path: Path
) -> None:
    copied = Path(shutil.copyfile(finished.chain_path, tmp_path / "ledger.sqlite"))
    with (
        closing(EmbeddedChain(copied, chain_id=finished.read_facts().chain_id)) as chain,
        closing(RpcServer(chain)) as server,
    ):
        result = call(finished.root, "--rpc", server.url)
        assert "--head" in incomplete(result)
        assert "the released model is not proven" in result.output
        tree = json.loads(call(finished.root, "--rpc", server.url, "--json").stdout)
        assert (tree["clean"], tree["proven"]) == (True, False)
        assert call(finished.root, "--rpc", server.url, "--head", head).exit_code == 0
        file = tmp_path / "audit.zip"
        incomplete(call(finished.root, "--rpc", server.url, "--export", file))
    signer = Identity.load(finished.keys / "auditor.json").account.address
    incomplete(call("verify", file, "--signer", signer))


def test_an_export_that_anybody_signed_proves_no_model(export: Path, registrar: Identity) -> None:
    result = call("verify", export)
    assert f"{registrar.account.address} signed it, who may be anybody" in incomplete(result)
    assert f"unchecked: who {registrar.account.address} is" in result.output
    assert call("verify", export, "--signer", registrar.account.address).exit_code == 0
    other = call("verify", export, "--signer", Account.from_key(b"\x08" * 32).address)
    assert isinstance(other.exception, AuditFailedError)


def test_an_auditor_of_the_ledger_is_known_where_the_chain_is(
    export: Path, finished: RunDirectory, head: str, tmp_path: Path
) -> None:
    result = call("verify", export, "--head", head)
    assert result.exit_code == 0, result.output
    assert isinstance(call("verify", export, "--head", "11" * 32).exception, AuditFailedError)
    stranger = tmp_path / "stranger.zip"
    assert (
        call(finished.root, "--export", stranger).exit_code == 0
    )  # by the run's own key, which did not join
    incomplete(call("verify", stranger, "--head", head))


def test_what_a_stranger_states_accuses_nobody(
    finished: RunDirectory, registrar: Identity, tmp_path: Path
) -> None:
    copy = RunDirectory(shutil.copytree(finished.root, tmp_path / "run"))
    copy.model(1).unlink()
    file = tmp_path / "audit.zip"
    assert isinstance(call(copy.root, "--export", file).exception, AuditFailedError)
    result = call("verify", file)
    incomplete(result)
    assert "round-0001.safetensors" in result.output
    signer = Identity.load(copy.keys / "auditor.json").account.address
    assert isinstance(call("verify", file, "--signer", signer).exception, AuditFailedError)


def test_an_audit_says_who_is_in_the_sum_and_what_it_cannot_know(finished: RunDirectory) -> None:
    for words in ((), ("--rounds", "1")):
        result = call(finished.root, *words)
        hospitals = [line for line in result.output.splitlines() if "is registered with" in line]
        assert len(hospitals) == 3
        assert all("images: weight" in line and "of the sum" in line for line in hospitals)
        assert result.output.endswith(
            "· not known: that the hospitals are different parties: a key says nothing of who holds it\n"
        )
