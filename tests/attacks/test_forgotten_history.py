"""The coordinator makes its chain anew, and shows each auditor a history that fits together.

Anyone can execute a federation's signed transactions again in other blocks, and leave some out. Such a chain
audits clean; only whoever has seen another one can tell.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from federation import run_federation
from kept_runs import KeptRun
from typer.testing import CliRunner, Result
from web3 import Web3

import fedcxr
from fedcxr.audit.findings import AuditReport
from fedcxr.audit.history import ChainHead, ExecutedChain, ProvenChain, heads_not_in
from fedcxr.audit.memory import UNPROVEN, Earlier, compare
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.cli import app as registered  # noqa: F401 (registers the commands)
from fedcxr.cli.app import app
from fedcxr.config import Config
from fedcxr.errors import AuditFailedError, AuditIncompleteError, ConfigError, StoreError
from fedcxr.ledger.court import DisputeCourt
from fedcxr.ledger.views import FederationViews
from fedcxr.store.identity import Identity
from fedcxr.store.run_directory import RunDirectory

FIRST = "no earlier audit of this contract is known here"


def call(*words: object) -> Result:
    return CliRunner().invoke(app, ["audit", *map(str, words)], env={"COLUMNS": "400"})


def failure(result: Result) -> str:
    assert isinstance(result.exception, AuditFailedError), result.output
    assert result.exception.exit_code == 90
    return result.output


@pytest.fixture(scope="module")
def finished(small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    config = small_config.with_changes({"federation.rounds": 1})
    return run_federation(config, tmp_path_factory.mktemp("history") / "run")


def head_of(run: RunDirectory) -> tuple[int, str]:
    with closing(EmbeddedChain(run.chain_path, chain_id=run.read_facts().chain_id)) as chain:
        block = chain.w3.eth.get_block("latest")
        return int(block["number"]), bytes(block["hash"]).hex()


def copied(run: RunDirectory, place: Path) -> RunDirectory:
    return RunDirectory(shutil.copytree(run.root, place))


def longer(run: RunDirectory, wei: int) -> RunDirectory:
    """The same run after one more transaction of its coordinator's: an addition to its bond."""
    coordinator = Identity.load(run.keys / "coordinator.json").account
    with closing(EmbeddedChain(run.chain_path, chain_id=run.read_facts().chain_id)) as chain:
        ledger = FederationViews.attach(chain.w3, run.read_facts().contract)
        DisputeCourt(chain.w3, ledger.court, coordinator).post_bond(wei)
    return run


@pytest.fixture
def pair(finished: RunDirectory, tmp_path: Path) -> tuple[RunDirectory, RunDirectory]:
    """One run of which the coordinator tells two stories; each audits clean by itself."""
    here, there = copied(finished, tmp_path / "here"), copied(finished, tmp_path / "there")
    return longer(here, 1), longer(there, 2)


def state() -> Path:
    return Path(os.environ["FEDCXR_STATE"])


def test_a_first_audit_says_that_there_was_nothing_to_compare_with(finished: RunDirectory) -> None:
    first, second = call(finished.root), call(finished.root)
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert FIRST in first.output
    assert FIRST not in second.output


def test_a_chain_that_grew_contains_what_was_seen(finished: RunDirectory, tmp_path: Path) -> None:
    run = copied(finished, tmp_path / "run")
    assert call(run.root).exit_code == 0
    result = call(longer(run, 1).root)
    assert result.exit_code == 0, result.output


def test_another_history_is_found_and_both_are_named(pair: tuple[RunDirectory, RunDirectory]) -> None:
    here, there = pair
    assert call(here.root).exit_code == 0
    (number, seen), (_, other) = head_of(here), head_of(there)
    assert seen != other
    output = failure(call(there.root))
    assert f"expected one that contains block {number}, 0x{seen}" in output
    assert f"found block {number}, 0x{other}" in output
    failure(call(there.root))  # and no second audit forgets it
    assert call(here.root).exit_code == 0


def test_a_chain_that_was_cut_short_is_found(finished: RunDirectory, tmp_path: Path) -> None:
    run = longer(copied(finished, tmp_path / "run"), 1)
    assert call(run.root).exit_code == 0
    number, digest = head_of(finished)
    assert f"no such block; its head is block {number}, 0x{digest}" in failure(call(finished.root))


def test_an_endpoint_that_has_another_history_is_found(pair: tuple[RunDirectory, RunDirectory]) -> None:
    here, there = pair
    assert call(here.root).exit_code == 0
    with (
        closing(EmbeddedChain(there.chain_path, chain_id=there.read_facts().chain_id)) as chain,
        closing(RpcServer(chain)) as server,
    ):
        output = failure(call(there.root, "--rpc", server.url, "--head", head_of_open(chain.w3)))
    assert "the chain's history" in output


def test_a_chain_that_only_its_endpoint_vouches_for_accuses_no_other(
    pair: tuple[RunDirectory, RunDirectory], tmp_path: Path
) -> None:
    here, there = pair
    facts, file = there.read_facts(), tmp_path / "invented.zip"
    signing = Identity.load(there.keys / "auditor.json")
    with (
        closing(EmbeddedChain(there.chain_path, chain_id=facts.chain_id)) as chain,
        closing(RpcServer(chain)) as server,
    ):
        words = "--rpc", server.url, "--contract", facts.contract, "--store", there.root / "blobs"
        stated = "--export", file, "--sign", there.keys / "auditor.json"
        first, head = call(*words, *stated), head_of_open(chain.w3)
        assert isinstance(first.exception, AuditIncompleteError), first.output
        assert UNPROVEN in first.output
        verified = call("verify", file, "--signer", signing.account.address)
        assert isinstance(verified.exception, AuditIncompleteError), verified.output
        assert UNPROVEN in verified.output
        assert not (state() / "audits").exists()
        assert call(here.root).exit_code == 0, "what the endpoint said is not believed of the true chain"
        assert "the chain's history" in failure(call(*words)), "and what is remembered is held against it"
        state_of_another = "--state", tmp_path / "another"
        assert UNPROVEN not in call(*words, "--head", head, *state_of_another).output
    assert json.loads(next((tmp_path / "another" / "audits").iterdir()).read_text())["hash"] == head


def head_of_open(w3: Web3) -> str:
    return bytes(w3.eth.get_block("latest")["hash"]).hex()


def test_an_anvils_chain_is_the_same_each_time(tmp_path: Path, anvil_binary: Path) -> None:
    del anvil_binary
    run = KeptRun.unpack("anvil", tmp_path).root
    first, second = call(run), call(run)
    assert first.exit_code == second.exit_code
    assert FIRST in first.output
    assert FIRST not in second.output
    assert "the chain's history" not in second.output
    assert "the chain's history" in failure(call(run, "--since", "11" * 32))


def test_an_auditor_names_what_it_saw(pair: tuple[RunDirectory, RunDirectory], tmp_path: Path) -> None:
    here, there = pair
    file, no = tmp_path / "audit.zip", ("--state", "off")
    assert call(here.root, *no, "--export", file).exit_code == 0
    _, seen = head_of(here)
    assert call(here.root, *no, "--since", seen).exit_code == 0
    assert call(here.root, *no, "--since", file).exit_code == 0
    assert f"contains block 0x{seen}, which what --since names" in failure(
        call(there.root, *no, "--since", seen)
    )
    assert "which the audit in audit.zip ended with" in failure(call(there.root, *no, "--since", file))
    assert isinstance(call(here.root, *no, "--since", "nowhere").exception, ConfigError)
    file.write_bytes(file.read_bytes()[:-1])
    assert isinstance(call(here.root, *no, "--since", file).exception, StoreError)
    assert not any(state().iterdir())


def test_an_export_of_another_history_is_found(
    pair: tuple[RunDirectory, RunDirectory], tmp_path: Path
) -> None:
    here, there = pair
    mine, other = tmp_path / "mine.zip", tmp_path / "other.zip"
    assert call(here.root, "--state", "off", "--export", mine).exit_code == 0
    assert call(there.root, "--state", "off", "--export", other).exit_code == 0
    signer = ("--signer", Identity.load(here.keys / "auditor.json").account.address)
    assert call("verify", other, *signer, "--state", "off").exit_code == 0
    assert "which the audit in mine.zip ended with" in failure(
        call("verify", other, *signer, "--state", "off", "--since", mine)
    )
    # Whom nobody knows leaves nothing to remember; what a known auditor signed is remembered.
    assert isinstance(call("verify", other).exception, AuditIncompleteError)
    assert not (state() / "audits").exists()
    assert call("verify", mine, *signer).exit_code == 0
    assert "the chain's history" in failure(call("verify", other, *signer))
    assert "the chain's history" in failure(call(there.root))


def test_a_finding_that_is_gone_is_told(finished: RunDirectory, tmp_path: Path) -> None:
    run = copied(finished, tmp_path / "run")
    model = run.model(1).read_bytes()
    run.model(1).unlink()
    failure(call(run.root))
    run.model(1).write_bytes(model)
    result = call(run.root)
    assert result.exit_code == 0
    assert "an earlier audit found, and this one does not: round 1, round-0001.safetensors" in result.output


def test_what_is_remembered_lies_nowhere_near_the_run(finished: RunDirectory, tmp_path: Path) -> None:
    run = copied(finished, tmp_path / "run")
    before = sorted(run.root.rglob("*"))
    assert isinstance(call(run.root, "--state", run.root / "state").exception, ConfigError)
    assert fedcxr.open_run(run.root).audit(state=str(tmp_path / "mine")).proven
    assert sorted(run.root.rglob("*")) == before
    (kept,) = (tmp_path / "mine" / "audits").iterdir()
    assert json.loads(kept.read_text())["hash"] == head_of(finished)[1]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', "[" * 100_000, "x" * (1 << 21)])
def test_what_is_remembered_is_bounded_and_typed(finished: RunDirectory, text: str) -> None:
    assert call(finished.root).exit_code == 0
    (kept,) = (state() / "audits").iterdir()
    kept.write_text(text)
    assert isinstance(call(finished.root).exception, StoreError)


def test_a_damaged_chain_is_none_to_remember(finished: RunDirectory, tmp_path: Path) -> None:
    run = copied(finished, tmp_path / "run")
    facts = json.loads((run.root / "ledger.json").read_text())
    (run.root / "ledger.json").write_text(json.dumps({**facts, "genesis": "11" * 32}))
    failure(call(run.root))
    assert not (state() / "audits").exists()


def test_heads_that_a_chain_lacks_are_named(pair: tuple[RunDirectory, RunDirectory]) -> None:
    here, there = pair
    (number, seen), (_, other) = head_of(here), head_of(there)
    with closing(EmbeddedChain(here.chain_path, chain_id=here.read_facts().chain_id)) as chain:
        blocks = ExecutedChain(chain.w3)
        heads = [(number, bytes.fromhex(seen)), (number, bytes.fromhex(other)), (number + 9, b"\x01" * 32)]
        missing = heads_not_in(blocks.hash_of, heads)
    assert missing == {heads[1]: heads[0][1], heads[2]: None}


def test_a_run_that_is_full_of_findings_does_not_make_its_auditor_forget(
    finished: RunDirectory, tmp_path: Path
) -> None:
    """Twelve bytes a character: what findings quote would not fit the file, and nobody could read it then."""
    run, state = copied(finished, tmp_path / "run"), tmp_path / "state"
    for number in range(500):
        place = run.root / "blobs" / f"{number}" / Path(*["\U0001f600" * 60] * 6)
        place.mkdir(parents=True)
        (place / "x").touch()
    failure(call(run.root, "--state", state))
    (kept,) = (state / "audits").iterdir()
    assert kept.stat().st_size <= 1 << 20
    assert json.loads(kept.read_text())["findings"]
    again = call(finished.root, "--state", state)
    assert again.exception is None or again.exit_code == 0, again.output


def test_a_head_is_looked_for_among_the_headers_that_there_are_whatever_their_numbers() -> None:
    far = SimpleNamespace(first=2**200, last=2**200 + 1, head=b"\1" * 32, hash_of=lambda number: b"\2" * 32)
    chain, report = ProvenChain(far), AuditReport()  # type: ignore[arg-type]
    assert not compare([Earlier(ChainHead(-1, b"\3" * 32))], chain, report, whole=True)
    assert compare([Earlier(ChainHead(-1, b"\2" * 32))], chain, AuditReport(), whole=True)
    assert [finding.where for finding in report.findings] == ["the chain's history"]
