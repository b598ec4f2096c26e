"""An anvil whose chain outlives it: what was acknowledged is there after any kill."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from contract_party import Party, account

from fedcxr.chain.anvil.chain import AnvilChain
from fedcxr.chain.anvil.process import find_anvil
from fedcxr.chain.endpoint import Connection
from fedcxr.chain.retry import RetryPolicy
from fedcxr.errors import ChainError, ContractRejectedError
from fedcxr.ledger.contract import FederationLedger

pytestmark = pytest.mark.usefixtures("anvil_binary")
WRITER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from eth_account import Account
    from fedcxr.chain.anvil.chain import AnvilChain
    from fedcxr.chain.embedded.evm import FAUCET

    chain = AnvilChain(Path(sys.argv[1]), chain_id=1337)
    print(chain.pid, flush=True)
    sender = chain.w3.sender(Account.from_key(FAUCET.to_bytes()))
    while True:
        receipt = sender.deliver({"to": "0x" + "11" * 20, "value": 1, "gas": 21_000})
        print(receipt["transactionHash"].hex(), receipt["blockHash"].hex(), flush=True)
    """
)


def blocks(w3: Connection) -> list[str]:
    return [w3.eth.get_block(n)["hash"].hex() for n in range(w3.eth.block_number + 1)]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def is_soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return met


def ends(pid: int) -> bool:
    return is_soon(lambda: not is_running(pid))


def kill(chain: AnvilChain) -> None:
    """End an anvil that lives: one that was killed before is rebuilt first."""
    _ = chain.w3.eth.block_number
    os.kill(chain.pid, signal.SIGKILL)


def test_a_killed_anvil_is_rebuilt_with_the_same_blocks_and_the_round_goes_on(tmp_path: Path) -> None:
    with closing(AnvilChain(tmp_path / "journal", chain_id=1337)) as chain:
        party = Party.found(chain)
        party.whole_round()
        party.open()
        before, view, killed = blocks(chain.w3), party.ledger.round(2), chain.pid
        kill(chain)
        assert party.ledger.round(2) == view
        assert chain.pid != killed
        assert blocks(chain.w3) == before
        kill(chain)
        batch = [party.signed(hospital) for hospital in party.hospitals]
        kill(chain)
        assert all(verdict.accepted for verdict in party.ledger.submit(batch))
        kill(chain)
        with pytest.raises(ContractRejectedError, match="AlreadySubmitted"):
            party.ledger.submit_direct(batch[0])
        party.close()
        party.finalize()
        assert party.ledger.last_finalized == 2


def test_a_chain_is_opened_again_where_it_was_left(tmp_path: Path) -> None:
    with closing(AnvilChain(tmp_path / "journal", chain_id=1337)) as chain:
        party = Party.found(chain)
        party.whole_round()
        before, genesis, pid = blocks(chain.w3), chain.w3.genesis(), chain.pid
    assert ends(pid)
    assert [path.name for path in tmp_path.iterdir()] == ["journal"]
    with closing(AnvilChain(tmp_path / "journal", chain_id=1337)) as chain:
        assert (blocks(chain.w3), chain.w3.genesis()) == (before, genesis)
        party.chain, party.ledger = chain, FederationLedger.attach(chain.w3, party.ledger.address, account(1))
        party.whole_round()
        assert party.ledger.last_finalized == 2


def test_what_was_acknowledged_survives_a_kill_of_its_owner_at_any_moment(tmp_path: Path) -> None:
    moments = random.Random(11)
    acknowledged: list[list[str]] = []
    (temporary := tmp_path / "temporary").mkdir()
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "TMPDIR": str(temporary),
    }
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path / "journal"],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        ) as owner:
            assert owner.stdout is not None
            pid = int(owner.stdout.readline())
            acknowledged.append(owner.stdout.readline().split())
            time.sleep(moments.uniform(0.02, 0.3))
            owner.send_signal(signal.SIGKILL)
            acknowledged += [line.split() for line in owner.stdout if line.endswith("\n")]
        assert ends(pid), "anvil outlived its owner"
        assert is_soon(lambda: not any(temporary.glob("fedcxr-anvil-*"))), "it left its folder"
    with closing(AnvilChain(tmp_path / "journal", chain_id=1337)) as chain:
        for transaction, block in acknowledged:
            receipt = chain.w3.eth.get_transaction_receipt("0x" + transaction)  # type: ignore[arg-type]
            assert receipt["blockHash"].hex() == block
        assert chain.w3.eth.get_balance("0x" + "11" * 20) >= len(acknowledged) > 3  # type: ignore[arg-type]


def test_anvil_is_killed_again_and_again_under_threads_that_send(tmp_path: Path) -> None:
    moments = random.Random(5)
    with closing(AnvilChain(tmp_path / "journal", chain_id=1337)) as chain:
        payers = [account(900 + i) for i in range(3)]
        for payer in payers:
            chain.fund(payer.address)
        receipts = []

        def pay(number: int) -> None:
            for _ in range(15):
                payment = {"to": account(999).address, "value": 1, "gas": 21_000}
                receipts.append(chain.w3.sender(payers[number]).deliver(payment))  # type: ignore[arg-type]

        threads = [threading.Thread(target=pay, args=(i,)) for i in range(3)]
        for thread in threads:
            thread.start()
        kills = 0
        while any(thread.is_alive() for thread in threads) and kills < 4:
            time.sleep(moments.uniform(0.05, 0.2))
            with suppress(ProcessLookupError):  # it is being rebuilt
                os.kill(chain.pid, signal.SIGKILL)
                kills += 1
        for thread in threads:
            thread.join(60)
        assert kills > 0
        assert len(receipts) == 45
        assert chain.w3.eth.get_balance(account(999).address) == 45
        for receipt in receipts:
            assert chain.w3.eth.get_transaction_receipt(receipt["transactionHash"]) == receipt


def test_chain_time_survives_a_kill(tmp_path: Path) -> None:
    with closing(AnvilChain(tmp_path / "journal", chain_id=1337)) as chain:
        party = Party.found(chain)
        party.open(seconds=1000)
        party.travel(2000)
        os.kill(chain.pid, signal.SIGKILL)
        with pytest.raises(ContractRejectedError, match="DeadlinePassed"):
            party.ledger.submit_direct(party.signed(party.hospitals[0], attempt=1))
        assert chain.w3.eth.get_block("latest")["timestamp"] > time.time() + 1900


def test_blocks_come_in_time_and_finality_is_waited_for(tmp_path: Path) -> None:
    retry_policy = RetryPolicy(finality=2)
    with closing(
        AnvilChain(tmp_path / "journal", chain_id=1337, block_time=0.2, retry_policy=retry_policy)
    ) as chain:
        started = time.monotonic()
        chain.fund(account(1).address)
        assert time.monotonic() - started > 0.4
        os.kill(chain.pid, signal.SIGKILL)
        chain.fund(account(2).address)
        head = chain.w3.eth.block_number
        time.sleep(0.7)
        assert chain.w3.eth.block_number >= head + 2


def test_a_second_owner_is_refused(tmp_path: Path) -> None:
    with closing(AnvilChain(tmp_path / "journal", chain_id=1337)) as chain:
        with pytest.raises(ChainError, match="in use by another process"):
            AnvilChain(tmp_path / "journal", chain_id=1337)
        chain.fund(account(1).address)


def test_another_chain_id_is_refused(tmp_path: Path) -> None:
    AnvilChain(tmp_path / "journal", chain_id=1337).close()
    with pytest.raises(ChainError, match="has id 1337"):
        AnvilChain(tmp_path / "journal", chain_id=1338)
    AnvilChain(tmp_path / "journal", chain_id=1337).close()


def test_a_line_that_a_crash_cut_short_was_never_acted_upon(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with closing(AnvilChain(journal, chain_id=1337)) as chain:
        chain.fund(account(1).address)
        before = blocks(chain.w3)
    whole = journal.read_bytes()
    journal.write_bytes(whole + whole.splitlines()[-1][:40])
    with closing(AnvilChain(journal, chain_id=1337)) as chain:
        assert blocks(chain.w3) == before
        chain.fund(account(2).address)
        longer = blocks(chain.w3)
    with closing(AnvilChain(journal, chain_id=1337)) as chain:
        assert blocks(chain.w3) == longer


def _later_block(lines: list[dict[str, object]]) -> None:
    lines[1]["mine"] = int(str(lines[1]["mine"])) + 1


def _lost_line(lines: list[dict[str, object]]) -> None:
    del lines[1]


def _other_beginning(lines: list[dict[str, object]]) -> None:
    lines[0]["timestamp"] = 5


def _not_a_transaction(lines: list[dict[str, object]]) -> None:
    lines[2]["raw"] = "0x1234"


def _unknown_field(lines: list[dict[str, object]]) -> None:
    lines[1]["more"] = 1


@pytest.mark.parametrize(
    "change", [_later_block, _lost_line, _other_beginning, _not_a_transaction, _unknown_field]
)
def test_a_journal_that_was_changed_is_refused(
    tmp_path: Path, change: Callable[[list[dict[str, object]]], None]
) -> None:
    journal = tmp_path / "journal"
    with closing(AnvilChain(journal, chain_id=1337)) as chain:
        for i in range(3):
            chain.fund(account(i + 1).address)
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    change(lines)
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ChainError, match="journal"):
        AnvilChain(journal, chain_id=1337)


@pytest.mark.parametrize("content", [b"not a journal\n", b"\xff\xfe\n", b"[]\n", b"{}\n", b"\n"])
def test_what_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "journal").write_bytes(content)
    with pytest.raises(ChainError, match="journal"):
        AnvilChain(tmp_path / "journal", chain_id=1337)


def test_a_refused_transaction_leaves_no_trace(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with closing(AnvilChain(journal, chain_id=1337)) as chain:
        chain.fund(account(1).address)
        before, head = journal.read_bytes(), blocks(chain.w3)
        for raw in (
            "0x1234",
            account(5)
            .sign_transaction(
                {
                    "to": account(1).address,
                    "value": 1,
                    "gas": 21_000,
                    "gasPrice": 10**10,
                    "nonce": 0,
                    "chainId": 1337,
                }
            )
            .raw_transaction.to_0x_hex(),
        ):
            assert "error" in chain.submit(raw)
        assert journal.read_bytes() == before
        assert blocks(chain.w3) == head
        chain.fund(account(2).address)


def test_a_disk_that_fails_takes_nothing_and_the_chain_goes_on(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with closing(AnvilChain(journal, chain_id=1337)) as chain:
        chain.fund(account(1).address)
        before, size = blocks(chain.w3), journal.stat().st_size
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
        try:
            with pytest.raises(ChainError, match="cannot be written"):
                chain.fund(account(2).address)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert blocks(chain.w3) == before
        assert journal.stat().st_size == size
        chain.fund(account(2).address)
        assert len(blocks(chain.w3)) == len(before) + 1


def test_nobody_reaches_what_a_development_node_offers_besides(tmp_path: Path) -> None:
    with closing(AnvilChain(None, chain_id=1337)) as chain:
        for method in ("anvil_setBalance", "anvil_reorg", "evm_mine", "hardhat_reset", "eth_sendTransaction"):
            assert "error" in chain.answer(method, [])


def test_a_closed_chain_says_so() -> None:
    chain = AnvilChain(None, chain_id=1337)
    chain.close()
    chain.close()
    for ask in (lambda: chain.w3.eth.block_number, lambda: chain.submit("0x12")):
        with pytest.raises(ChainError, match="closed"):
            ask()


def test_a_program_that_is_no_anvil_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ChainError, match=r"ledger\.anvil = .*no such program"):
        find_anvil(str(tmp_path / "none"))
    with pytest.raises(ChainError, match="does not start"):
        AnvilChain(None, chain_id=1337, binary=Path("/bin/false"))
