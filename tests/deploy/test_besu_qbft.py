"""The files of a Besu QBFT network are well-formed; no Besu is here that could read them."""

import importlib.util
import json
import stat
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import rlp
import yaml
from eth_keys.datatypes import PrivateKey

from fedcxr.chain.embedded.evm import GAS_LIMIT
from fedcxr.config import Ledger
from fedcxr.ledger.compiler import SETTINGS

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "besu-qbft"
SERVICES = [f"validator-{n}" for n in range(1, 5)]


@pytest.fixture(scope="module")
def network() -> ModuleType:
    spec = importlib.util.spec_from_file_location("network", DEPLOY / "network.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def made(network: ModuleType, tmp_path: Path) -> Path:
    network.trial(tmp_path / "network")
    return tmp_path / "network"


def test_the_first_block_names_the_validators_whose_keys_are_there(made: Path) -> None:
    genesis = json.loads((made / "genesis.json").read_text())
    vanity, validators, vote, round_number, seals = rlp.decode(bytes.fromhex(genesis["extraData"][2:]))
    assert (vanity, vote, round_number, seals) == (bytes(32), [], b"", [])
    # As Besu's documentation has it: 0xf8 7a a0 <vanity> f8 54 94 <address> … c0 80 c0 for four validators.
    assert genesis["extraData"].startswith("0xf87aa0" + "00" * 32 + "f85494")
    assert genesis["extraData"].endswith("c080c0")
    keys = [PrivateKey(bytes.fromhex(path.read_text().strip()[2:])) for path in sorted(made.glob("*.key"))]
    assert validators == sorted(key.public_key.to_canonical_address() for key in keys)
    assert len(keys) == 4


def test_the_rules_are_those_that_the_contract_and_the_engine_want(made: Path) -> None:
    genesis = json.loads((made / "genesis.json").read_text())
    assert genesis["config"]["chainId"] == Ledger().chain_id
    assert genesis["config"][f"{SETTINGS['evmVersion']}Time"] == 0
    assert int(genesis["gasLimit"], 16) == GAS_LIMIT
    assert genesis["config"]["zeroBaseFee"] is True
    assert genesis["config"]["qbft"]["blockperiodseconds"] >= 1
    assert bytes.fromhex(genesis["mixHash"][2:]) == b"ctical byzantine fault tolerance"
    assert genesis["alloc"] == {}


def test_keys_are_their_owners_and_never_overwritten(made: Path, network: ModuleType) -> None:
    for key in made.glob("*.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = {path: path.read_bytes() for path in made.iterdir()}
    with pytest.raises(FileExistsError):
        network.trial(made)
    assert {path: path.read_bytes() for path in made.iterdir()} == before


def test_peers_are_found_where_the_compose_file_puts_them(made: Path) -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert sorted(compose["services"]) == SERVICES
    nodes = json.loads((made / "static-nodes.json").read_text())
    ports = set()
    for name, node in zip(SERVICES, nodes, strict=True):
        service = compose["services"][name]
        key = PrivateKey(bytes.fromhex((made / f"{name}.key").read_text().strip()[2:]))
        address = service["networks"]["validators"]["ipv4_address"]
        assert node == f"enode://{key.public_key.to_bytes().hex()}@{address}:30303"
        (port,) = service["ports"]
        assert port.startswith("127.0.0.1:"), "a node's RPC has no password"
        ports.add(port)
        for volume in service["volumes"]:
            source, target, *_ = volume.split(":")
            if source.startswith("./network/"):
                assert (made / Path(source).name).exists(), source
            else:
                assert source in compose["volumes"]
            assert any(argument.endswith("=" + target) for argument in service["command"]), target
        assert f"./network/{name}.key:/run/secrets/node-key:ro" in service["volumes"]
        assert service["image"].startswith("hyperledger/besu:")
    assert len(ports) == 4


def test_four_parties_make_the_same_network_from_their_public_keys(tmp_path: Path) -> None:
    def run(*arguments: object) -> str:
        command = [sys.executable, DEPLOY / "network.py", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    peers = [f"{run('key', tmp_path / name).strip()}@10.0.0.{n}" for n, name in enumerate("abcd", 1)]
    for name in "ab":
        run("genesis", tmp_path / name, *peers)
    for name in ("genesis.json", "static-nodes.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    secret = (tmp_path / "a" / "validator.key").read_text().strip()
    assert secret[2:] not in "".join(peers)


@pytest.mark.parametrize("validators", [[], [b"1" * 20, b"1" * 20], [b"1" * 19]])
def test_what_is_no_set_of_validators_is_refused(network: ModuleType, validators: list[bytes]) -> None:
    with pytest.raises(ValueError, match=r"validators|20 bytes"):
        network.extra_data(validators)


def test_it_says_how_it_is_used(network: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"network\.py trial DIR"):
        network.main(["nonsense"])
