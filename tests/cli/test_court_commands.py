"""The bond, and what takes it: challenges and disputes from a run's directory, and as a third party."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from contract_party import Party
from disputed_run import BOND, STRANGER, key_file, tell_wrong_root, tell_wrong_sum
from ledger_commands import said
from told_run import CHAIN_ID
from typer.testing import CliRunner

from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.cli import app as registered  # noqa: F401 (registers the commands)
from fedcxr.cli.app import app
from fedcxr.errors import ChainError, ConfigError, ContractRejectedError, LedgerError, StoreError
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.court import DisputeCourt
from fedcxr.store.identity import Identity

LOST = f"the coordinator has lost its bond of {BOND:,} wei"


def refused(*words: object) -> ContractRejectedError:
    with pytest.raises(ContractRejectedError) as raised:
        said(*words)
    return raised.value


@contextmanager
def served(root: Path) -> Iterator[tuple[EmbeddedChain, str]]:
    """The run's chain, as its coordinator shows it to others."""
    chain = EmbeddedChain(root / "ledger.sqlite", chain_id=CHAIN_ID)
    with closing(chain), closing(RpcServer(chain)) as front:
        yield chain, front.url


def bond(root: Path) -> dict[str, object]:
    tree: dict[str, object] = json.loads(said("bond", root, "--json"))
    return tree


def reopen(root: Path, party: Party, number: int) -> None:
    """The coordinator goes on with its next round."""
    with served(root) as (chain, _):
        ledger = FederationLedger(chain.w3, party.ledger.address, party.coordinator)
        participants = party.addresses
        ledger.open_round(
            number,
            base=ledger.views.model_digest,
            config_digest=b"R" * 32,
            participants=participants,
            deadline_seconds=1000,
        )


# -------------------------------------------------------------------------------------------------- bond


def test_after_a_slash_the_bond_is_posted_again_and_the_federation_goes_on(tmp_path: Path) -> None:
    root = tmp_path / "run"
    party = tell_wrong_sum(root)
    assert "1 ether (1,000,000,000,000,000,000 wei)" in said("bond", root)
    assert "nothing is lacking" in said("bond", "post", root)
    won = said("challenge", root, 1)
    assert "round 1: the contract has added chunk 1 and found the aggregate wrong" in won
    assert LOST in won
    shown = said("bond", root)
    assert f"no round opens until {BOND:,} wei are posted" in shown
    assert "slashed for round 1: locked for ever" in shown
    tree = bond(root)
    assert (tree["wei"], tree["needed"], tree["lacking"]) == (0, BOND, BOND)
    with pytest.raises(ContractRejectedError, match="BondTooSmall") as raised:
        reopen(root, party, 2)
    assert "fedcxr ledger bond post RUN" in raised.value.help
    assert f"the bond is {BOND:,} wei, and pledged" in said("bond", "post", root)
    reopen(root, party, 2)
    assert [change["what"] for change in bond(root)["changes"]] == ["posted", "slashed", "posted"]  # type: ignore[index, attr-defined]


def test_the_bond_is_taken_back_after_the_last_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "run"
    tell_wrong_sum(root, wrong=None)
    locked = refused("bond", "release", root)
    assert (locked.name, "fedcxr ledger bond announce RUN" in locked.help) == ("BondLocked", True)
    assert "the release is announced; from 20" in said("bond", "announce", root)
    assert refused("bond", "release", root).name == "BondLocked"
    assert "no round opens: its release is announced" in said("bond", root)
    assert "and pledged" in said("bond", "post", root)  # nothing lacks, and it is pledged again
    assert bond(root)["pledged"] is True
    said("bond", "announce", root)
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 1500)
    assert f"{BOND:,} wei are the coordinator's again" in said("bond", "release", root)
    assert (bond(root)["wei"], bond(root)["pledged"]) == (0, False)
    assert "released  1 ether in all" in said("bond", root)


def test_a_strangers_share_of_the_bond_does_not_pledge_it_again(tmp_path: Path) -> None:
    root = tmp_path / "run"
    party = tell_wrong_sum(root, wrong=None)
    said("bond", "announce", root)
    with served(root) as (chain, _):
        chain.fund(STRANGER.address)
        ledger = FederationLedger(chain.w3, party.ledger.address)
        DisputeCourt(chain.w3, ledger.views.court, STRANGER).post_bond(5)
    assert (bond(root)["wei"], bond(root)["pledged"]) == (BOND + 5, False)


# --------------------------------------------------------------------------------------------- disputes


def test_a_third_party_challenges_with_an_endpoint_a_store_and_a_key_of_its_own(tmp_path: Path) -> None:
    root = tmp_path / "run"
    party = tell_wrong_sum(root)
    key = key_file(tmp_path / "stranger.json", 66)
    with served(root) as (_, url):
        at = ("--rpc", url, "--contract", party.ledger.address)
        store = ("--store", root / "blobs")
        with pytest.raises(ConfigError, match="--key FILE"):
            said("challenge", 1, *at, *store)
        forced = refused("challenge", 1, *at, *store, "--key", key, "--leaf", 0)
        assert forced.name == "AggregateCorrect"
        won = said("challenge", 1, *at, *store, "--key", key)
        assert LOST in won
        assert refused("challenge", 1, *at, *store, "--key", key).name == "AlreadyDisputed"


def test_a_third_party_makes_itself_a_key(tmp_path: Path) -> None:
    root, key = tmp_path / "run", tmp_path / "mine.json"
    party = tell_wrong_sum(root)
    assert said("key", key).split()[-1] == Identity.load(key).account.address
    assert key.stat().st_mode & 0o077 == 0
    with pytest.raises(StoreError, match="is there already"):
        said("key", key)
    with served(root) as (_, url):
        at = ("--rpc", url, "--contract", party.ledger.address, "--store", root / "blobs", "--key", key)
        assert LOST in said("challenge", 1, *at)


def test_a_run_directory_without_an_auditors_key_wants_one_named(tmp_path: Path) -> None:
    root = tmp_path / "run"
    tell_wrong_sum(root)
    (root / "keys" / "auditor.json").unlink()
    with pytest.raises(ConfigError, match=r"auditor\.json: no keys to sign and pay with: --key FILE"):
        said("challenge", root, 1)
    key = key_file(tmp_path / "stranger.json", 66)
    assert LOST in said("challenge", root, 1, "--key", key)


@pytest.mark.parametrize(
    ("cheat", "what"),
    [({"forged": [1]}, "its submission is none"), ({"left_out": [1]}, "it is included without a submission")],
)
def test_what_stands_under_one_root_is_disputed(
    tmp_path: Path, cheat: dict[str, list[int]], what: str
) -> None:
    root = tmp_path / "run"
    party = tell_wrong_root(root, **cheat)
    held = refused("dispute", root, 1, "--hospital", "hospital-1")
    assert held.name == "SubmissionGood"
    key = key_file(tmp_path / "stranger.json", 66)
    with served(root) as (_, url):
        at = ("--rpc", url, "--contract", party.ledger.address, "--store", root / "blobs", "--key", key)
        won = said("dispute", 1, *at)
    assert f"round 1: the contract has looked at seat 1: {what}" in won
    assert LOST in won
    assert refused("dispute", root, 1, "--hospital", party.addresses[1]).name == "AlreadyDisputed"


def test_a_good_root_is_not_disputed(tmp_path: Path) -> None:
    root = tmp_path / "run"
    party = tell_wrong_root(root)
    assert "all under its root is good" in said("dispute", root, 1)
    assert bond(root)["wei"] == BOND
    outsider = refused("dispute", root, 1, "--hospital", party.outsider.address)
    assert outsider.name == "NotOmitted"


def test_what_cannot_be_disputed_is_said(tmp_path: Path) -> None:
    tell_wrong_sum(tmp_path / "each")
    with pytest.raises(LedgerError, match="the contract has checked every one"):
        said("dispute", tmp_path / "each", 1)
    root = tmp_path / "root"
    party = tell_wrong_root(root, forged=[1])
    with pytest.raises(LedgerError, match="round 2 was never opened"):
        said("dispute", root, 2)
    with pytest.raises(ChainError, match="no chain answers"):
        key = root / "keys" / "auditor.json"
        at = ("--rpc", "http://127.0.0.1:9", "--contract", party.ledger.address, "--store", root / "blobs")
        said("dispute", 1, *at, "--key", key)
    for words in (("1",), (root,), (root, "0"), (root, "1", "--rpc", "http://127.0.0.1:9"), (root, "x")):
        assert CliRunner().invoke(app, ["ledger", "dispute", *map(str, words)]).exit_code == 2
