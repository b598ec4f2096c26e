"""Proofs under one root a round: written from the store, checked by anyone against the contract."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from contract_party import Party
from disputed_run import tell_wrong_root
from told_run import CHAIN_ID, tell, tell_under_one_root
from typer.testing import CliRunner

from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.cli import app as registered  # noqa: F401 (registers the commands)
from fedcxr.cli.app import app
from fedcxr.errors import BlobMissingError, FedcxrError, LedgerError, StoreError


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Party]:
    """Round 1 has the first two hospitals under its root; the third was asked, and is not there."""
    root = tmp_path_factory.mktemp("told") / "run"
    return root, tell_under_one_root(root)


@pytest.fixture
def run(told: tuple[Path, Party], tmp_path: Path) -> Path:
    return shutil.copytree(told[0], tmp_path / "run")


def said(*words: object) -> str:
    result = CliRunner().invoke(app, ["ledger", *map(str, words)])
    if isinstance(result.exception, FedcxrError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_hospital_proves_that_it_is_in(told: tuple[Path, Party], run: Path, tmp_path: Path) -> None:
    file = tmp_path / "proof.json"
    assert "a proof of inclusion of hospital-2 in round 1" in said(
        "prove", run, 1, "hospital-2", "--out", file
    )
    assert json.loads(said("prove", run, 1, "hospital-2")) == json.loads(file.read_text())
    shutil.rmtree(run / "blobs")  # the proof stands by itself
    checked = said("check-proof", file, run)
    assert f"hospital-2 ({told[1].addresses[1]}, seat 1) is in round 1" in checked
    assert "is in its aggregate" in checked
    tree = json.loads(said("check-proof", file, run, "--json"))
    assert (tree["proven"], tree["included"], tree["proof"]["seat"]) == (True, True, 1)


def test_a_check_imports_nothing_that_takes_long(run: Path, tmp_path: Path) -> None:
    said("prove", run, 1, "hospital-2", "--out", tmp_path / "proof.json")
    program = (
        "import sys; from fedcxr.cli.app import app; import fedcxr.cli\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "slow = {'web3', 'eth_abi', 'eth_account', 'torch', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "assert not slow, slow"
    )
    asked = [sys.executable, "-c", program, "ledger", "check-proof", str(tmp_path / "proof.json"), str(run)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_hospital_proves_that_it_was_left_out(told: tuple[Path, Party], run: Path, tmp_path: Path) -> None:
    file = tmp_path / "proof.json"
    assert "a proof of omission" in said("prove", run, 1, "hospital-3", "--out", file)
    assert json.loads(file.read_text())["submission"] is None
    assert "has no submission in round 1, attempt 1," in (checked := said("check-proof", file, run))
    assert "though it was asked" in checked
    said("prove", run, 1, told[1].outsider.address, "--out", file)
    assert "and was not asked" in said("check-proof", file, run)


def test_an_outsider_proves_and_checks_at_an_endpoint(
    told: tuple[Path, Party], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file, (_, party) = tmp_path / "proof.json", told
    chain = EmbeddedChain(run / "ledger.sqlite", chain_id=CHAIN_ID)
    with closing(chain), closing(RpcServer(chain)) as front:
        at = ("--rpc", front.url, "--contract", party.ledger.address)
        with pytest.raises(StoreError, match="say which"):
            said("prove", 1, party.addresses[0], *at)
        said("prove", 1, party.addresses[0], *at, "--store", run / "blobs", "--out", file)
        assert f"of {party.ledger.address}" in said("check-proof", file, "--rpc", front.url)
        with pytest.raises(LedgerError, match="no contract at 0x1212"):
            said("check-proof", file, "--rpc", front.url, "--contract", "0x" + "12" * 20)


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda p: p.update(seat=2), "seat 2 is not that of"),
        (lambda p: p.update(submission=None), "does not lead to the root"),
        (lambda p: p["path"].reverse(), "does not lead to the root"),
        (lambda p: p["path"].pop(), "7 siblings, where the round's tree is 8 deep"),
        (lambda p: p.update(root="00" * 32), "the proof is under the root 0{64}, but the contract holds"),
        (lambda p: p.update(round=2), "the contract has none"),
        (lambda p: p.update(chain_id=1), "on chain 1; here is"),
        (lambda p: p.update(contract="0x" + "12" * 20), "the proof is for 0x1212"),
        (lambda p: p["submission"].update(samples=6), "does not lead to the root"),
        (lambda p: p["submission"].update(signature="00" * 65), "does not lead to the root"),
        (lambda p: p["submission"].pop("size"), "not a proof"),
        (lambda p: p.update(seat="1"), "not a proof"),
    ],
)
def test_a_proof_that_was_changed_proves_nothing(run: Path, tmp_path: Path, change: Change, why: str) -> None:
    file = tmp_path / "proof.json"
    said("prove", run, 1, "hospital-2", "--out", file)
    tree = json.loads(file.read_text())
    change(tree)
    file.write_text(json.dumps(tree))
    with pytest.raises(LedgerError, match=rf"proof\.json: .*{why}"):
        said("check-proof", file, run)


def test_a_forged_submission_under_the_root_is_no_proof(tmp_path: Path) -> None:
    run, file = tmp_path / "run", tmp_path / "proof.json"
    tell_wrong_root(run, forged=[1])
    said("prove", run, 1, "hospital-2", "--out", file)
    with pytest.raises(LedgerError, match="did not sign"):
        said("check-proof", file, run)


def test_what_cannot_be_proven_is_said(run: Path, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="round 2 was never opened"):
        said("prove", run, 2, "hospital-1")
    tell(tmp_path / "each")
    with pytest.raises(LedgerError, match="records each submission"):
        said("prove", tmp_path / "each", 1, "hospital-1")
    with pytest.raises(StoreError, match=r"none\.json: cannot be read"):
        said("check-proof", tmp_path / "none.json", run)
    shutil.rmtree(run / "blobs")
    (run / "blobs").mkdir()
    with pytest.raises(BlobMissingError):
        said("prove", run, 1, "hospital-1")
    assert CliRunner().invoke(app, ["ledger", "prove", str(run), "1"]).exit_code == 2
