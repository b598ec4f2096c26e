"""The artifact that is shipped is what its sources compile to."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from eth_abi.abi import encode
from eth_hash.auto import keccak
from typer.testing import CliRunner

from fedcxr.cli import contracts
from fedcxr.config import Config
from fedcxr.errors import ArtifactError, StoreError
from fedcxr.ledger.artifact import (
    EARLIER,
    canonical_type,
    known_artifacts,
    load_artifact,
    read_artifact,
    write_artifact,
)
from fedcxr.ledger.bounds import UNBOUND
from fedcxr.ledger.compiler import artifact_path, check_sources, compile_contract
from fedcxr.ledger.deployment_parameters import DeploymentParameters, configured
from fedcxr.privacy.keys import EnvelopePrivateKey

COMMANDS = contracts.contracts_app
CONTRACTS = Path(__file__).resolve().parents[2] / "contracts"


def checkout(tmp_path: Path) -> Path:
    """A copy of the contract's directory, in something laid out like a checkout; without the libraries."""
    contracts = tmp_path / "contracts"
    shutil.copytree(CONTRACTS, contracts, ignore=shutil.ignore_patterns("node_modules", "out", "cache"))
    artifacts = tmp_path / "fedcxr" / "ledger" / "artifacts"
    artifacts.mkdir(parents=True)
    write_artifact(load_artifact(), artifacts / "FederationLedger.json")
    return contracts


def test_the_artifact_was_made_of_the_sources_here() -> None:
    assert check_sources(load_artifact(), CONTRACTS) >= 1


def test_compiling_the_sources_gives_the_artifact() -> None:
    if shutil.which("node") is None or not (CONTRACTS / "node_modules" / "solc").is_dir():
        reason = "no Node, or no contracts/node_modules: run `npm ci --prefix contracts`"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    assert compile_contract(CONTRACTS) == load_artifact()


def test_a_changed_source_is_named(tmp_path: Path) -> None:
    directory = checkout(tmp_path)
    assert check_sources(load_artifact(), directory) == len(list((directory / "src").glob("*.sol")))
    source = directory / "src" / "FederationLedger.sol"
    source.write_text(source.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"other sources: src/FederationLedger\.sol"):
        check_sources(load_artifact(), directory)


def test_other_settings_are_named(tmp_path: Path) -> None:
    artifact = load_artifact()
    with pytest.raises(ArtifactError, match="other settings"):
        check_sources(replace(artifact, settings={**artifact.settings, "viaIR": False}), checkout(tmp_path))


def test_check_says_so_and_fails_when_the_artifact_is_stale(tmp_path: Path) -> None:
    directory = checkout(tmp_path)
    arguments = ["check", "--contracts", str(directory)]
    good = CliRunner().invoke(COMMANDS, arguments)
    assert good.exit_code == 0, good.output
    assert "belongs to its 16 sources" in good.output
    write_artifact(replace(load_artifact(), sources={}), artifact_path(directory))
    assert isinstance(CliRunner().invoke(COMMANDS, arguments).exception, ArtifactError)


def test_build_needs_its_compiler_and_leaves_the_artifact_alone(tmp_path: Path) -> None:
    directory = checkout(tmp_path)
    before = artifact_path(directory).read_bytes()
    result = CliRunner().invoke(COMMANDS, ["build", "--contracts", str(directory)])
    assert isinstance(result.exception, ArtifactError)
    assert "npm ci" in str(result.exception)
    assert artifact_path(directory).read_bytes() == before


def test_outside_a_checkout_there_is_nothing_to_build(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="checkout"):
        artifact_path(tmp_path)


def test_an_artifact_is_read_as_it_was_written_and_a_damaged_one_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "artifact.json"
    write_artifact(load_artifact(), path)
    assert read_artifact(path) == load_artifact()
    assert [p.name for p in tmp_path.iterdir()] == ["artifact.json"]
    path.write_text(path.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"artifact\.json"):
        read_artifact(path)
    with pytest.raises(ArtifactError):
        read_artifact(tmp_path / "none.json")
    with pytest.raises(StoreError, match="cannot be written"):
        write_artifact(load_artifact(), path / "artifact.json")


def test_what_creates_a_ledger_fits_into_a_transaction_with_the_longest_keys(small_config: Config) -> None:
    """EIP-3860: the code, that of the contracts that it makes, and the arguments."""
    artifact = load_artifact()
    (constructor,) = (entry for entry in artifact.abi if entry["type"] == "constructor")
    types = [canonical_type(field) for field in constructor["inputs"]]
    key = EnvelopePrivateKey.generate("MLKEM768_X25519").public.data
    parameters = DeploymentParameters(
        federation=bytes(32),
        layout_digest=bytes(32),
        genesis_digest=bytes(32),
        coordinator_key=key,
        auditor_key=key,
        **configured(small_config, 20_800_000),
    )
    arguments = encode(types, [bytes(32), "0x" + "11" * 20, parameters.as_tuple(), UNBOUND.as_tuple()])
    assert len(artifact.bytecode) // 2 - 1 + len(arguments) == 48_706
    assert len(artifact.bytecode) // 2 - 1 + len(arguments) <= 49_152


def test_what_creates_a_ledger_begins_with_its_code_and_the_hash_of_its_registry() -> None:
    artifact = load_artifact()
    code, registry = (
        bytes.fromhex(artifact.bytecode[2:]),
        keccak(bytes.fromhex(artifact.registry_deployed[2:])),
    )
    assert artifact.registry_bytecode.endswith(artifact.registry_deployed[2:])
    assert artifact.founds(code + registry + b"arguments")
    assert not artifact.founds(code + bytes(32) + b"arguments")
    assert not artifact.founds(code)
    assert not artifact.founds(b"\0" + code[1:] + registry)
    for earlier in EARLIER:
        before = known_artifacts()[earlier]
        begins = bytes.fromhex(before.bytecode[2:])
        if before.registry_deployed:
            assert before.founds(begins + registry + b"arguments")
            assert not artifact.founds(begins + registry + b"arguments")
            continue
        assert before.founds(begins + b"arguments")
        assert "registry" not in before.to_json()  # as it was written, and signed in exports
