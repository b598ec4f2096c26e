"""``fedcxr ledger``: what it prints for people and for machines, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from contract_party import Party, account
from long_history import CONTRACT, History, Node, encoded, hospital, serving
from told_run import CHAIN_ID, SUCCESSOR, tell, tell_judged, tell_under_one_root
from typer.testing import CliRunner, Result

from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.cli import app as registered  # noqa: F401 (registers the commands)
from fedcxr.cli.app import app
from fedcxr.errors import BlobCorruptError, BlobMissingError, ChainError, LedgerError, StoreError


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Party]:
    root = tmp_path_factory.mktemp("told") / "run"
    return root, tell(root)


@pytest.fixture
def run(told: tuple[Path, Party], tmp_path: Path) -> Path:
    return shutil.copytree(told[0], tmp_path / "run")


def call(*words: object) -> Result:
    return CliRunner(env={"COLUMNS": "100"}).invoke(app, ["ledger", *map(str, words)])


def printed(*words: object) -> str:
    result = call(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def tree(*words: object) -> Any:
    return json.loads(printed(*words, "--json"))


def test_show_has_the_rules_the_members_and_the_state(told: tuple[Path, Party], run: Path) -> None:
    text = printed("show", run)
    for piece in (
        told[1].ledger.address,
        told[1].coordinator.address,
        "weighting     by samples",
        "admission     by the coordinator",
        "validation    none: what is accepted counts",
        "rewards       1,000 credits a round",
        "latest round  4: open",
        "3 rounds finalized, 1 given up; updates: 10 accepted, 1 rejected, 1 excluded",
        SUCCESSOR.address,
        "left",
    ):
        assert piece in text
    facts = tree("show", run)
    assert (facts["contract"], facts["chain_id"]) == (told[1].ledger.address, CHAIN_ID)
    assert facts["founding"]["rewardBudget"] == 1000
    assert [member["standing"] for member in facts["members"]] == ["active", "active", "active", "left"]
    assert facts["latest"]["phase"] == "open"


def test_rounds_have_a_row_an_attempt_and_their_reasons(run: Path) -> None:
    text = printed("rounds", run)
    rows = [line.split() for line in text.splitlines() if line[1:2].isdigit()]
    assert [row[0].strip(",") for row in rows] == ["1", "2", "3", "3", "4"]
    assert "2 of 3         1    1 of 2" in text
    assert "round 2 rejected 1 submission: TooManySamples" in text
    assert "3, attempt 2  finalized" in text
    assert [r["number"] for r in tree("rounds", run)] == [1, 2, 3, 3, 4]


def test_a_range_of_rounds_can_be_asked_for(run: Path) -> None:
    assert [r["number"] for r in tree("rounds", run, "--rounds", "2-3")] == [2, 3, 3]
    assert [r["number"] for r in tree("rounds", run, "--rounds", "2")] == [2]
    assert [r["number"] for r in tree("rounds", run, "--last", "2")] == [3, 3, 4]
    assert call("rounds", run, "--rounds", "3-2").exit_code == 2
    assert call("rounds", run, "--rounds", "1", "--last", "1").exit_code == 2


def test_other_peoples_words_are_neither_markup_nor_commands_to_the_terminal(run: Path) -> None:
    for words in (("rounds", run), ("hospital", "hospital-3", run)):
        text = printed(*words)
        assert "\x1b" not in text
        for word in ("[bold]unsealed[/]", "\\x1b[31mbadly"):  # a cell may wrap between them
            assert word in text


def test_a_hospital_is_found_by_name_address_and_its_beginning(told: tuple[Path, Party], run: Path) -> None:
    address = tree("hospital", "hospital-3", run)["account"]
    assert address in told[1].addresses
    assert tree("hospital", address, run) == tree("hospital", address[:8].lower(), run)
    text = printed("hospital", "hospital-3", run)
    for piece in ("suspended", "reinstated", "excluded:", "no update", "waiting", "standing  active"):
        assert piece in text


def test_the_run_may_stand_before_the_hospital_as_in_other_commands(run: Path) -> None:
    assert printed("hospital", run, "hospital-3") == printed("hospital", "hospital-3", run)


def test_a_rejection_has_its_name_and_arguments(run: Path) -> None:
    assert "TooManySamples(registered=50," in printed("hospital", "hospital-2", run)
    part = tree("hospital", "hospital-2", run)["rounds"][1]
    assert part["state"] == "rejected"
    assert part["rejections"][0]["reason"] == {
        "error": "TooManySamples",
        "arguments": {"registered": 50, "given": 2**64 - 1},
    }
    assert part["refused"] == [(b"?" * 32).hex()]


def test_an_update_is_shown_with_its_signature_and_its_blob(run: Path) -> None:
    text = printed("update", "1", "hospital-1", run)
    assert "blob         in the store, 600 bytes" in text
    update = tree("update", "1", "hospital-1", run)[0]
    assert len(update["signature"]) == 130
    assert update["blob"]["found"] is True
    assert tree("update", "2", "hospital-1", run)[0]["blob"]["found"] is False
    assert [u["attempt"] for u in tree("update", "3", "hospital-1", run)] == [1, 2]


def test_an_update_that_was_not_accepted_is_explained(run: Path) -> None:
    result = call("update", "2", "hospital-2", run)
    assert isinstance(result.exception, LedgerError)
    assert "rejected: TooManySamples(registered=50, given=18446744073709551615)" in str(result.exception)
    assert "round 9 was never opened" in str(call("update", "9", "hospital-2", run).exception)


def test_rewards_add_up_and_agree_with_the_contract(run: Path) -> None:
    text = printed("rewards", run)
    assert "✓ Σ = 3,000 = 1,000 × 3 settled rounds, exactly" in text
    assert "✓ the contract's own sums, by seat, are the same" in text
    given = tree("rewards", run)
    assert (given["exact"], given["agrees"], given["total"]) == (True, True, 3000)


def test_a_name_stays_with_its_seat_when_the_key_is_rotated(told: tuple[Path, Party], run: Path) -> None:
    """The run has heard of the hospital by its former key alone."""
    line = json.loads((run / "metrics.jsonl").read_text())
    line["hospitals"]["hospital-2"]["address"] = account(11).address
    (run / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    assert "hospital-2 " in printed("rewards", run)
    assert "hospital-2 " in printed("show", run)
    assert "hospital-2" in printed("hospital", SUCCESSOR.address, run)
    assert tree("hospital", "hospital-2", run)["account"] == SUCCESSOR.address


def test_credits_that_do_not_add_up_are_said_and_end_with_a_code(tmp_path: Path) -> None:
    """A contract that is not ours may say anything; here one round gives a credit too few."""
    history = History.of(rounds=2, hospitals=2)
    history.add(encoded("RewardsSettled", round=2, included=3, credits=[500, 499]))
    with serving(history) as node:
        at = ("--rpc", node.url, "--contract", CONTRACT)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", str(tmp_path))
            result = call("rewards", *at)
    assert isinstance(result.exception, LedgerError)
    assert "✗ Σ = 1,999, where 1,000 × 2 settled rounds is due; rounds that do not add up: 2" in result.stdout


def test_sums_that_the_contract_does_not_hold_are_said(tmp_path: Path) -> None:
    with serving(History.of(rounds=3, hospitals=2)) as node:
        at = ("--rpc", node.url, "--contract", CONTRACT)
        node.forged_credits = [999, 1001]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", str(tmp_path))
            result = call("rewards", *at)
    assert isinstance(result.exception, LedgerError)
    assert "✗ the contract's own sums are others at seats 0, 1" in result.stdout


def test_a_committees_verdicts_are_shown(tmp_path: Path) -> None:
    tell_judged(tmp_path / "run")
    run = tmp_path / "run"
    assert "validation    4 validators a round, 3 must approve" in printed("show", run)
    assert "3 of 3    2 of 2" in printed("rounds", run)
    assert "not counted" in printed("hospital", "hospital-3", run)
    text = printed("update", "1", "hospital-2", run)
    assert "3 approve, 0 do not, score +0.0025" in text
    assert text.count("approves") == 3


def test_an_update_under_one_root_is_read_from_its_list_in_the_store(tmp_path: Path) -> None:
    party, run = tell_under_one_root(tmp_path / "run"), tmp_path / "run"
    assert "one Merkle root a round" in printed("show", run)
    assert tree("show", run)["totals"]["accepted"] == 2
    assert "2 of 3" in printed("rounds", run)
    update = tree("update", "1", "hospital-2", run)[0]
    assert (update["hospital"], update["size"], len(update["signature"])) == (party.addresses[1], 1000, 130)
    assert "no accepted update" in str(call("update", "1", "hospital-3", run).exception)
    # A list that is not the one under the root, even by a signature, is not shown as what was signed.
    listed = bytes.fromhex(tree("rounds", run)[0]["list_root"])
    path = run / "blobs" / listed.hex()[:2] / listed.hex()
    path.write_bytes(path.read_bytes().replace(b'"size":1000', b'"size":1001'))
    assert isinstance(call("update", "1", "hospital-2", run).exception, BlobCorruptError)
    path.unlink()
    assert isinstance(call("update", "1", "hospital-2", run).exception, BlobMissingError)


def test_an_outsider_needs_an_endpoint_and_an_address(
    told: tuple[Path, Party], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with open_chain(run):
        at = ("--rpc", (run / "ledger.url").read_text().strip(), "--contract", told[1].ledger.address)
        assert tree("rounds", *at) == tree("rounds", run)
        assert tree("rewards", *at)["agrees"] is True
        assert "no store to look into" in printed("update", "1", told[1].addresses[0], *at)
        blobs = ("--store", str(run / "blobs"))
        assert "in the store" in printed("update", "1", told[1].addresses[0], *at, *blobs)


def test_what_is_missing_is_named(run: Path, tmp_path: Path) -> None:
    assert isinstance(call("show", tmp_path / "nowhere").exception, StoreError)
    assert call("show").exit_code == 2
    assert call("show", run, "--rpc", "http://127.0.0.1:9").exit_code == 2
    assert call("show", "--rpc", "http://127.0.0.1:9").exit_code == 2
    away = call("show", "--rpc", "http://127.0.0.1:9", "--contract", CONTRACT)
    assert isinstance(away.exception, ChainError)
    assert "http://127.0.0.1:9: no chain answers there" in str(away.exception)
    nowhere = call("hospital", "hospital-9", run).exception
    assert isinstance(nowhere, LedgerError)
    assert "hospital-1 (0x" in str(nowhere)
    (run / "ledger.sqlite").unlink()
    assert "ledger.sqlite: no chain here" in str(call("show", run).exception)
    facts = json.loads((run / "ledger.json").read_text())
    (run / "ledger.json").write_text(json.dumps({**facts, "contract": ""}))
    assert "this run has no ledger" in str(call("show", run).exception)
    (run / "ledger.json").unlink()
    assert "not founded yet" in str(call("show", run).exception)


def test_an_answer_imports_nothing_that_takes_long(run: Path) -> None:
    """A second is for the answer: these alone would take most of it, or more."""
    call("rounds", run)
    program = (
        "import sys; from fedcxr.cli.app import app; import fedcxr.cli\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "slow = {'web3', 'eth', 'eth_abi', 'torch', 'numpy', 'pydantic', 'http.client'} & set(sys.modules)\n"
        "assert not slow, slow"
    )
    for words in (("show",), ("rounds",), ("hospital", "hospital-1"), ("bond",)):
        asked = [sys.executable, "-c", program, "ledger", *words, str(run)]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


class Watcher:
    """``fedcxr ledger watch`` in a process of its own."""

    def __init__(self, *words: object) -> None:
        command = [sys.executable, "-m", "fedcxr", "ledger", "watch", "--interval", "0.05", *map(str, words)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def said(self, words: str) -> str:
        """The next line of standard error with these words."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if words in line:
                return line
        raise AssertionError(f"it ended without saying {words!r}")

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@contextmanager
def watching(*words: object) -> Iterator[Watcher]:
    watcher = Watcher(*words)
    try:
        yield watcher
    finally:
        watcher.process.kill()
        watcher.process.communicate()


def watching_node(node: Node, *words: object) -> AbstractContextManager[Watcher]:
    return watching("--rpc", node.url, "--contract", CONTRACT, *words)


def test_watch_tells_what_is_new_and_ends_cleanly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with serving(History.of(rounds=1, hospitals=2)) as node, watching_node(node) as watcher:
        watcher.said("after block 7")
        node.history.add_round(2, 2)
        lines = [watcher.line() for _ in range(7)]
        names = [line.split()[4] for line in lines]
        assert names == [
            "RewardsSettled",
            "RoundOpened",
            "UpdateAccepted",
            "UpdateAccepted",
            "RoundClosed",
            "RoundValidated",
            "RoundFinalized",
        ]
        assert lines[0].endswith("RewardsSettled  round=1 included=2 credits=1000\n")
        assert "round=2 attempt=1" in lines[1]
        assert watcher.interrupt() == 0


def test_watch_survives_a_chain_that_is_away_and_one_that_is_reorganised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with serving(History.of(rounds=1, hospitals=2)) as node, watching_node(node, "--json") as watcher:
        assert json.loads(watcher.line())["notice"] == "begun"
        node.broken = (502, b"bad gateway")
        assert json.loads(watcher.line())["notice"] == "away"
        node.broken = None
        assert json.loads(watcher.line())["notice"] == "back"
        history = node.history
        kept, original = history.head - 1, history.hash
        del history.logs[-1]
        history.hash = lambda n: original(n) if n <= kept else original(-n)  # type: ignore[method-assign]
        history.add(encoded("RoundAborted", round=1, attempt=1, by=hospital(0), reason="after all"))
        assert json.loads(watcher.line())["notice"] == "reorganised"
        event = json.loads(watcher.line())
        assert (event["event"], event["reason"], event["block"]) == (
            "RoundAborted",
            "after all",
            kept + 1,
        )
        assert watcher.interrupt() == 0


def test_watch_follows_a_run_through_its_coordinators_coming_and_going(
    told: tuple[Path, Party], run: Path
) -> None:
    party = told[1]
    with watching(run) as watcher:
        watcher.said("after block")
        with open_chain(run) as chain:
            ledger = type(party.ledger)(chain.w3, party.ledger.address, party.coordinator)
            ledger.membership.suspend(party.addresses[0])
            assert "MemberSuspended  member=hospital-1 seat=0" in watcher.line()
        with open_chain(run) as chain:
            type(party.ledger)(chain.w3, party.ledger.address, party.coordinator).membership.reinstate(
                party.addresses[0]
            )
        # The coordinator may have been gone before anybody asked: the file says it.
        assert "MemberReinstated  member=hospital-1 seat=0" in watcher.line()
        assert watcher.interrupt() == 0


@contextmanager
def open_chain(run: Path) -> Iterator[EmbeddedChain]:
    """The run's coordinator is there: it has the chain, which answers."""
    with closing(EmbeddedChain(run / "ledger.sqlite", chain_id=CHAIN_ID)) as chain:
        front = RpcServer(chain)
        with closing(front):
            (run / "ledger.url").write_text(front.url + "\n")
            yield chain
    (run / "ledger.url").unlink()
