"""Whatever is done to a chain's file is found, and named."""

import json
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from contract_party import Party, account
from eth_utils.crypto import keccak
from rlp.codec import decode, encode

from fedcxr.chain.embedded import replay, seal
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.embedded.chain_file import read_chain_file
from fedcxr.chain.embedded.evm import GENESIS_KEY
from fedcxr.errors import ChainError
from fedcxr.ledger.contract import FederationLedger


class Recorded(NamedTuple):
    """A closed chain with rounds of a federation, one aborted, and a copy whose owner was killed."""

    path: Path
    unsealed: Path
    rows: dict[bytes, bytes]
    blocks: int
    contract: str


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    directory = tmp_path_factory.mktemp("chain")
    path, unsealed = directory / "ledger.sqlite", directory / "killed.sqlite"
    chain = EmbeddedChain(path, chain_id=1337)
    party = Party.found(chain)
    party.whole_round()
    party.open()
    party.ledger.submit([party.signed(party.hospitals[0]), party.signed(party.hospitals[1], samples=51)])
    party.ledger.abort(2, "quorum")
    party.whole_round()
    blocks = chain.w3.eth.block_number
    shutil.copyfile(path, unsealed)
    chain.close()
    rows = read_chain_file(path).rows
    assert rows is not None
    return Recorded(path, unsealed, rows, blocks, party.ledger.address)


@pytest.fixture
def copy(recorded: Recorded, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "ledger.sqlite"
    shutil.copyfile(recorded.path, path)
    yield path
    assert [p.name for p in tmp_path.iterdir()] == ["ledger.sqlite"]


def findings(path: Path) -> list[replay.ReplayFinding]:
    with replay.verify(path) as replayed:
        return list(replayed.findings)


def name_of(key: bytes) -> str:
    return key.decode() if key.isascii() and key.decode().isprintable() else "0x" + key.hex()


def run(path: Path, *statements: tuple[str, tuple[object, ...]]) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement, arguments in statements:
            connection.execute(statement, arguments)
        connection.commit()


def write(path: Path, rows: dict[bytes, bytes | None]) -> None:
    """Replace, add or (None) delete rows."""
    for key, value in rows.items():
        if value is None:
            run(path, ("DELETE FROM chain WHERE key = ?", (key,)))
        else:
            run(path, ("INSERT OR REPLACE INTO chain VALUES (?, ?)", (key, value)))


def batches(rows: dict[bytes, bytes]) -> list[list[bytes]]:
    """Some rows of every kind: together where execution does not need them, else one by one."""
    dice = random.Random(11)
    blocks = [decode(value) for key, value in rows.items() if key.startswith(b"block-number-to-hash")]
    needed = [key for block in blocks for key in (block, decode(rows[block])[4]) if key in rows]
    other = [key for key in rows if key not in [*needed, GENESIS_KEY]]
    head = b"v1:canonical_head_hash"
    special = [key for key in other if len(key) != 32 and key != head]
    hashed = [key for key in other if len(key) == 32]
    together = [[head, *dice.sample(special, 17)], dice.sample(hashed, 18)]
    return [*together, [GENESIS_KEY], *([key] for key in dice.sample(needed, 3))]


def test_a_clean_chain_gives_no_findings(recorded: Recorded) -> None:
    with replay.verify(recorded.path) as replayed:
        assert replayed.findings == []
        assert replayed.blocks == recorded.blocks
        assert replayed.w3 is not None
        ledger = FederationLedger.attach(replayed.w3, recorded.contract)
        assert ledger.last_finalized == 2
        assert ledger.round(2).attempt == 2


def test_a_chain_whose_owner_was_killed_gives_no_findings(recorded: Recorded) -> None:
    assert findings(recorded.unsealed) == []


def test_the_file_is_never_written(recorded: Recorded, copy: Path) -> None:
    for path in (copy, recorded.unsealed):
        before = path.read_bytes(), path.stat().st_mtime_ns
        findings(path)
        assert (path.read_bytes(), path.stat().st_mtime_ns) == before


@pytest.mark.parametrize("change", ["edited", "deleted", "emptied"])
def test_any_row_that_is_changed_is_named(recorded: Recorded, copy: Path, change: str) -> None:
    for sample in batches(recorded.rows):
        # One row is empty, the code of an account that has none: it cannot be emptied.
        keys = [key for key in sample if recorded.rows[key] or change != "emptied"]
        for key in keys:
            value = recorded.rows[key]
            edited = value[:-1] + bytes([value[-1] ^ 1]) if value else b"\x01"
            write(copy, {key: {"edited": edited, "deleted": None, "emptied": b""}[change]})
        found = {finding.where for finding in findings(copy)}
        assert {f"ledger.sqlite row {name_of(key)}" for key in keys} <= found
        shutil.copyfile(recorded.path, copy)


@pytest.mark.parametrize(
    "key", [b"", b"x", b"v1:another", b"z" * 32, b"block-number-to-hash:9999", b"\xff" * 40]
)
def test_any_row_that_is_added_is_named(copy: Path, key: bytes) -> None:
    write(copy, {key: b"value"})
    assert any(finding.where.endswith(f"row {name_of(key)}") for finding in findings(copy))


def test_a_row_that_is_named_by_its_own_hash_is_found_too(copy: Path) -> None:
    value = b"a node of no trie, forty bytes or so long"
    write(copy, {keccak(value): value})
    assert any(keccak(value).hex() in finding.where for finding in findings(copy))


def test_rows_that_are_swapped_are_named(recorded: Recorded, copy: Path) -> None:
    one, two = [key for key in recorded.rows if key.startswith(b"transaction-hash-to-block")][:2]
    write(copy, {one: recorded.rows[two], two: recorded.rows[one]})
    where = " ".join(finding.where for finding in findings(copy))
    assert name_of(one) in where
    assert name_of(two) in where


@pytest.mark.parametrize(
    "record",
    [
        '{"chain_id": 1338, "timestamp": %d}',
        '{"chain_id": 1337, "timestamp": 1}',
        '{"chain_id": 1337,  "timestamp": %d}',
        '{"timestamp": %d, "chain_id": 1337}',
        '{"chain_id": 1337, "timestamp": %d, "more": 1}',
        '{"chain_id": 1337.0, "timestamp": %d}',
        '{"chain_id": true, "timestamp": %d}',
        '{"chain_id": -1, "timestamp": %d}',
        '{"chain_id": 1337, "timestamp": -5}',
        '{"chain_id": 1337, "timestamp": 1e999}',
        '{"chain_id": 1337}',
        "[]",
        "",
        "\xff",
    ],
)
def test_the_record_of_the_beginning_is_held_to_the_letter(
    recorded: Recorded, copy: Path, record: str
) -> None:
    timestamp = json.loads(recorded.rows[GENESIS_KEY])["timestamp"]
    write(copy, {GENESIS_KEY: (record % timestamp if "%d" in record else record).encode("latin-1")})
    assert findings(copy) != []


def edit_header(rows: dict[bytes, bytes], number: int, field: int, value: bytes) -> dict[bytes, bytes | None]:
    """A block's header with another field, and every row that speaks of it, consistently."""
    at = f"block-number-to-hash:{number}".encode()
    old = decode(rows[at])
    header = list(decode(rows[old]))
    header[field] = value
    raw = encode(header)
    new = keccak(raw)
    score = b"block-hash-to-score:"
    changes: dict[bytes, bytes | None] = {old: None, new: raw, at: encode(new)}
    changes[score + repr(old).encode()] = None
    changes[score + repr(new).encode()] = rows[score + repr(old).encode()]
    return changes


@pytest.mark.parametrize(
    ("field", "name"), [(11, "timestamp"), (3, "state root"), (5, "receipts"), (10, "gas")]
)
def test_a_block_that_is_edited_consistently_is_found_by_execution(
    recorded: Recorded, copy: Path, field: int, name: str
) -> None:
    number = recorded.blocks // 2
    header = decode(recorded.rows[decode(recorded.rows[f"block-number-to-hash:{number}".encode()])])
    value = (int.from_bytes(header[field], "big") + 1).to_bytes(len(header[field]), "big")
    write(copy, edit_header(recorded.rows, number, field, value))
    # A timestamp alone may be good; then the next block follows another.
    blocks = {f"block {number}", f"block {number + 1}"}
    assert blocks & {finding.where for finding in findings(copy)}, name


def test_a_transaction_that_is_edited_consistently_is_found_by_execution(
    recorded: Recorded, copy: Path
) -> None:
    number = recorded.blocks // 2
    header = decode(recorded.rows[decode(recorded.rows[f"block-number-to-hash:{number}".encode()])])
    path, transaction = decode(recorded.rows[header[4]])
    node = encode([path, transaction[:-1] + bytes([transaction[-1] ^ 1])])
    changes = edit_header(recorded.rows, number, 4, keccak(node))
    write(copy, {**changes, header[4]: None, keccak(node): node})
    assert any(finding.where == f"block {number}" for finding in findings(copy))


def test_a_fork_beside_the_chain_is_found_and_does_not_mislead(recorded: Recorded, copy: Path) -> None:
    number = recorded.blocks // 2
    changes = edit_header(recorded.rows, number, 13, b"m" * 32)
    added = {key: value for key, value in changes.items() if value is not None and len(key) == 32}
    write(copy, added)  # type: ignore[arg-type]
    with replay.verify(copy) as replayed:
        (key,) = added
        assert [f.where for f in replayed.findings if "row" in f.where] == [
            f"ledger.sqlite row 0x{key.hex()}"
        ]
        assert replayed.blocks == recorded.blocks


def test_blocks_cut_from_the_end_are_found(recorded: Recorded, copy: Path) -> None:
    number = f"block-number-to-hash:{recorded.blocks}".encode()
    write(copy, {decode(recorded.rows[number]): None, number: None})
    assert any("v1:canonical_head_hash" in finding.where for finding in findings(copy))


def test_rows_that_are_no_bytes_are_found(copy: Path, recorded: Recorded) -> None:
    for key, value in [("text", b"v"), (5, b"v"), (b"k", "text"), (b"k", 10**12), (b"k", 2.5)]:
        run(copy, ("INSERT INTO chain VALUES (?, ?)", (key, value)))
        assert any(finding.expected == "rows of bytes" for finding in findings(copy))
        shutil.copyfile(recorded.path, copy)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE another (x)",
        "CREATE VIEW another AS SELECT 1",
        "CREATE INDEX another ON chain (value)",
        "CREATE TRIGGER another AFTER INSERT ON chain BEGIN SELECT 1; END",
        "ALTER TABLE chain ADD COLUMN more",
    ],
)
def test_anything_else_in_the_file_is_found(copy: Path, statement: str) -> None:
    run(copy, (statement, ()))
    assert any(finding.expected.startswith("one table") for finding in findings(copy))


def test_any_flipped_byte_of_a_closed_file_is_found(recorded: Recorded, copy: Path) -> None:
    data = recorded.path.read_bytes()
    assert seal.difference(data) is None
    dice = random.Random(5)
    # The seal alone tells all of them; the whole way is gone for some.
    for at in [*range(4096), *dice.sample(range(len(data)), 3000)]:
        changed = bytearray(data)
        changed[at] ^= dice.randrange(1, 256)
        assert seal.difference(bytes(changed)) is not None, at
    for at in [*range(0, 100, 25), *dice.sample(range(len(data)), 6)]:
        changed = bytearray(data)
        changed[at] ^= dice.randrange(1, 256)
        copy.write_bytes(changed)
        assert findings(copy) != [], at


@pytest.mark.parametrize("edge", ["a byte more", "a page more", "a byte less", "a page less", "header only"])
def test_a_file_of_another_length_is_found(recorded: Recorded, copy: Path, edge: str) -> None:
    data = recorded.path.read_bytes()
    copy.write_bytes(
        {
            "a byte more": data + b"\0",
            "a page more": data + bytes(4096),
            "a byte less": data[:-1],
            "a page less": data[:-4096],
            "header only": data[:100],
        }[edge]
    )
    assert findings(copy) != []


def test_a_flipped_byte_of_an_unsealed_file_is_found_or_changes_nothing_that_is_read(
    recorded: Recorded, copy: Path
) -> None:
    data = recorded.unsealed.read_bytes()
    dice = random.Random(6)
    unseen = 0
    for at in [*range(0, 100, 20), *dice.sample(range(len(data)), 10)]:
        changed = bytearray(data)
        changed[at] ^= dice.randrange(1, 256)
        copy.write_bytes(changed)
        if findings(copy) == []:
            unseen += 1
            assert read_chain_file(copy).rows == recorded.rows, at
    assert unseen < 12


@pytest.mark.parametrize("content", [b"", b"x", b"SQLite format 3\0", b"garbage " * 1000, bytes(8192)])
def test_a_file_that_is_no_chain_is_a_finding(copy: Path, content: bytes) -> None:
    copy.write_bytes(content)
    with replay.verify(copy) as replayed:
        assert replayed.findings != []
        assert replayed.w3 is None


def test_an_empty_table_is_a_finding(copy: Path) -> None:
    run(copy, ("DELETE FROM chain", ()))
    assert findings(copy) != []


def test_no_file_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path / "ledger.sqlite", tmp_path):
        with pytest.raises(ChainError, match="no chain here"), replay.verify(path):
            pass


def test_another_chains_file_is_not_this_one(recorded: Recorded, tmp_path: Path) -> None:
    """Rows of two chains in one file: what does not belong is found, and the list stays readable."""
    other = EmbeddedChain(tmp_path / "other.sqlite", chain_id=1337)
    for i in range(12):
        other.fund(account(600 + i).address)
    other.close()
    rows = read_chain_file(tmp_path / "other.sqlite").rows
    assert rows is not None
    mixed = tmp_path / "mixed.sqlite"
    shutil.copyfile(recorded.path, mixed)
    write(mixed, {key: value for key, value in rows.items() if key not in recorded.rows})
    found = findings(mixed)
    assert 0 < len(found) < 60
