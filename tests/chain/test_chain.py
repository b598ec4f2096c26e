"""The embedded chain: one owner, whole blocks on the disk, and errors with a name."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from contract_party import LocalChain, Party, account
from web3.exceptions import ContractCustomError

from fedcxr.chain.embedded import replay
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.errors import ChainError
from fedcxr.ledger.contract import FederationLedger

WRITER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from fedcxr.chain.embedded.chain import EmbeddedChain

    chain = EmbeddedChain(Path(sys.argv[1]), chain_id=1337)
    print("ready", flush=True)
    while True:
        chain.w3.eth.send_transaction(
            {"from": chain.faucet, "to": "0x" + "11" * 20, "value": 1, "gas": 21_000}
        )
    """
)


def assert_clean(path: Path) -> None:
    with replay.verify(path) as replayed:
        assert replayed.findings == []


def test_a_chain_is_reopened_at_its_head(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    chain = EmbeddedChain(path, chain_id=1337)
    party = Party.found(chain)
    party.whole_round()
    head, view = chain.w3.eth.get_block("latest"), party.ledger.round(1)
    chain.close()
    chain = EmbeddedChain(path, chain_id=1337)
    assert chain.w3.eth.get_block("latest")["hash"] == head["hash"]
    party.chain, party.ledger = chain, FederationLedger.attach(chain.w3, party.ledger.address, account(1))
    assert party.ledger.round(1) == view
    party.whole_round()
    assert party.ledger.last_finalized == 2
    chain.close()
    assert_clean(path)


def test_nothing_is_left_beside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    chain = EmbeddedChain(path, chain_id=1337)
    chain.fund(account(1).address)
    chain.close()
    chain.close()
    assert [p.name for p in tmp_path.iterdir()] == ["ledger.sqlite"]


def test_a_second_owner_is_refused_here_and_in_another_process(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    chain = EmbeddedChain(path, chain_id=1337)
    with pytest.raises(ChainError, match="in use"):
        EmbeddedChain(path, chain_id=1337)
    other = subprocess.run([sys.executable, "-c", WRITER, path], capture_output=True, text=True, check=False)
    assert other.returncode != 0
    assert "in use by another process" in other.stderr
    chain.fund(account(1).address)
    chain.close()
    assert_clean(path)


def test_another_chain_id_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    EmbeddedChain(path, chain_id=1337).close()
    with pytest.raises(ChainError, match="has id 1337"):
        EmbeddedChain(path, chain_id=1338)
    EmbeddedChain(path, chain_id=1337).close()


@pytest.mark.parametrize("damage", ["text", "zeros", "cut", "one byte", "other tables", "no rows"])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "ledger.sqlite"
    chain = EmbeddedChain(path, chain_id=1337)
    chain.fund(account(1).address)
    chain.close()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    if damage in ("other tables", "no rows"):
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE other (x)" if damage == "other tables" else "DELETE FROM chain")
        connection.close()
    else:
        path.write_bytes(
            {"text": b"not a database\n" * 500, "zeros": bytes(8192), "cut": data[:5000], "one byte": data}[
                damage
            ]
        )
    with pytest.raises(ChainError, match=r"ledger\.sqlite"):
        EmbeddedChain(path, chain_id=1337)


def test_a_directory_that_is_not_there_is_a_chain_error(tmp_path: Path) -> None:
    with pytest.raises(ChainError):
        EmbeddedChain(tmp_path / "none" / "ledger.sqlite", chain_id=1337)


def test_a_kill_at_any_moment_leaves_whole_blocks(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    moments = random.Random(7)
    height = 0
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, env=environment
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            time.sleep(moments.uniform(0.05, 0.4))
            child.send_signal(signal.SIGKILL)
        with replay.verify(path) as replayed:
            assert replayed.findings == []
            assert replayed.blocks >= height
        chain = EmbeddedChain(path, chain_id=1337)
        height = chain.w3.eth.block_number
        assert replayed.blocks == height == chain.w3.eth.get_balance("0x" + "11" * 20)
        chain.w3.eth.send_transaction(
            {"from": chain.faucet, "to": "0x" + "11" * 20, "value": 1, "gas": 21_000}
        )
        height += 1
        chain.close()
    assert height > 3
    assert_clean(path)


def test_threads_share_a_chain(chain: LocalChain) -> None:
    senders = [account(200 + i) for i in range(8)]
    for sender in senders:
        chain.fund(sender.address)
    target = account(300).address

    def pay(number: int) -> None:
        sender = senders[number]
        for nonce in range(4):
            price = 2 * chain.w3.eth.get_block("latest")["baseFeePerGas"]
            signed = sender.sign_transaction(
                {"to": target, "value": 1, "gas": 21_000, "gasPrice": price, "nonce": nonce, "chainId": 1337}
            )
            chain.w3.eth.send_raw_transaction(signed.raw_transaction)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(pay, range(8)))
    assert chain.w3.eth.get_balance(target) == 32


def test_a_custom_error_is_told_by_name_through_plain_web3(party: Party) -> None:
    contract = party.ledger.views._connection.contract
    with pytest.raises(ContractCustomError):
        contract.function("abortRound")(1, "").call({"from": party.coordinator.address})


def test_a_bad_transaction_leaves_the_chain_as_it_was(party: Party) -> None:
    w3 = party.chain.w3
    head = w3.eth.block_number
    bad = {"to": account(2).address, "value": 1, "gas": 21_000, "gasPrice": 10**10, "chainId": 1337}
    # Used; of the future, which a node would keep in its pool.
    for nonce in (0, 10_000) if isinstance(party.chain, EmbeddedChain) else (0,):
        raw = party.coordinator.sign_transaction({**bad, "nonce": nonce}).raw_transaction
        answer = party.chain.provider.make_request(
            "eth_sendRawTransaction", ["0x" + raw.hex().removeprefix("0x")]
        )
        assert "error" in answer
    assert w3.eth.block_number == head
    party.whole_round()


def test_a_disk_that_fails_takes_nothing_and_the_chain_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    chain = EmbeddedChain(path, chain_id=1337)
    chain.fund(account(1).address)
    head = chain.w3.eth.block_number
    connection = chain.db._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(ChainError, match="full"):
        for i in range(50):
            chain.fund(account(400 + i).address)
    full_at = chain.w3.eth.block_number
    assert full_at >= head
    connection.execute("PRAGMA max_page_count = 1000000")
    chain.fund(account(500).address)
    assert chain.w3.eth.block_number == full_at + 1
    chain.close()
    assert_clean(path)


def test_a_closed_chain_says_so(tmp_path: Path) -> None:
    chain = EmbeddedChain(tmp_path / "ledger.sqlite", chain_id=1337)
    chain.close()
    with pytest.raises(ChainError, match="closed"):
        _ = chain.w3.eth.block_number


def test_events_are_found_by_every_kind_of_filter(party: Party) -> None:
    party.whole_round()
    w3, address = party.chain.w3, party.ledger.address
    naive = [
        log
        for number in range(w3.eth.block_number + 1)
        for transaction in w3.eth.get_block(number)["transactions"]
        for log in w3.eth.get_transaction_receipt(transaction)["logs"]
    ]
    mine = [log for log in naive if log["address"] == address]
    topics = sorted({log["topics"][0].to_0x_hex() for log in mine})
    first, last = mine[0]["blockNumber"], mine[-1]["blockNumber"]
    cases = [
        ({"fromBlock": 0}, naive),
        ({"fromBlock": "earliest", "address": address}, mine),
        (
            {"fromBlock": 0, "toBlock": last - 1, "address": [address]},
            [e for e in mine if e["blockNumber"] < last],
        ),
        ({"fromBlock": first + 1, "address": address}, [e for e in mine if e["blockNumber"] > first]),
        ({"fromBlock": 0, "toBlock": 10**9, "address": address}, mine),
        ({"address": address}, [e for e in mine if e["blockNumber"] == w3.eth.block_number]),
        (
            {"fromBlock": 0, "topics": [topics[0]], "address": address},
            [e for e in mine if e["topics"][0].to_0x_hex() == topics[0]],
        ),
        (
            {"fromBlock": 0, "topics": [[topics[0], topics[1]]], "address": address},
            [e for e in mine if e["topics"][0].to_0x_hex() in topics[:2]],
        ),
        (
            {"fromBlock": 0, "topics": [None, "0x" + "00" * 31 + "01"], "address": address},
            [e for e in mine if len(e["topics"]) > 1 and int.from_bytes(e["topics"][1], "big") == 1],
        ),
    ]
    for filter_, expected in cases:
        found = w3.eth.get_logs(filter_)
        key = lambda log: (log["blockNumber"], log["logIndex"])  # noqa: E731
        assert [key(log) for log in found] == [key(log) for log in expected], filter_
