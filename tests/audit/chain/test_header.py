"""A header's hash is its chain's, whatever fields a fork has added, and however its validators seal it."""

import json

import pytest
from eth_utils.crypto import keccak
from rlp.codec import encode

from fedcxr.audit.chain.header import Header
from fedcxr.errors import ChainError

# Block 1 of Ethereum's main net, 2015: no field of a later fork, and extra data that is text.
FRONTIER = {
    "number": "0x1",
    "hash": "0x88e96d4537bea4d9c05d12549907b32561d3bf31f45aae734cdc119f13406cb6",
    "parentHash": "0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3",
    "sha3Uncles": "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
    "miner": "0x05a56e2d52c817161883f50c441c3228cfe54d9f",
    "stateRoot": "0xd67e4d450343046425ae4271474353857ab860dbc0a1dde64b41b5cd3a532bf3",
    "transactionsRoot": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
    "receiptsRoot": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
    "logsBloom": "0x" + "00" * 256,
    "difficulty": "0x3ff800000",
    "gasLimit": "0x1388",
    "gasUsed": "0x0",
    "timestamp": "0x55ba4224",
    "extraData": "0x476574682f76312e302e302f6c696e75782f676f312e342e32",
    "mixHash": "0x969b900de27b6ac6a67742365dd65f55a0526c41fd18e1b16f1a1215c2e66f59",
    "nonce": "0x539bd4979fef1ec4",
}


def test_a_header_of_the_main_net_has_its_hash() -> None:
    header = Header.from_json(FRONTIER)
    assert header.hashes[0].hex() == FRONTIER["hash"][2:]
    assert header.number == 1
    assert header.parent.hex() == FRONTIER["parentHash"][2:]
    assert not header.admits(b"\x11" * 20)


@pytest.mark.parametrize("name", [name for name in FRONTIER if name != "hash"])
def test_every_field_is_in_the_hash(name: str) -> None:
    value = FRONTIER[name]
    changed = {**FRONTIER, name: value[:-1] + ("0" if value[-1] != "0" else "1")}
    assert Header.from_json(changed).hashes[0].hex() != FRONTIER["hash"][2:]


def test_extra_data_that_a_node_pads_is_taken_as_the_hash_has_it() -> None:
    bare = Header.from_json({**FRONTIER, "extraData": "0x"})
    padded = {**FRONTIER, "extraData": "0x" + "00" * 32, "hash": "0x" + bare.hashes[0].hex()}
    assert Header.from_json(padded) == bare
    meant = Header.from_json({**padded, "hash": FRONTIER["hash"]})
    assert meant.raw != bare.raw


def qbft(round_number: int, seals: list[bytes], vanity: bytes = bytes(32)) -> Header:
    validators = [bytes([k]) * 20 for k in range(4)]
    number = bytes([round_number]) if round_number else b""
    extra = encode([vanity, validators, [], number, seals])
    return Header.from_json({**FRONTIER, "extraData": "0x" + extra.hex()})


def test_validators_seals_and_their_voting_round_are_not_in_a_qbft_hash() -> None:
    sealed = [qbft(0, []), qbft(0, [b"\x01" * 65]), qbft(3, [b"\x02" * 65, b"\x03" * 65])]
    assert len({header.hashes[0] for header in sealed}) == 3
    assert len({header.hashes[-1] for header in sealed}) == 1
    assert sealed[0].hashes[-1] == keccak(sealed[0].raw)
    assert qbft(0, [], vanity=b"\x01" * 32).hashes[-1] != sealed[0].hashes[-1]


@pytest.mark.parametrize("raw", [b"", b"\x80", b"\xc0", encode([b""] * 15), encode([b""] * 30), b"\xff" * 9])
def test_bytes_that_are_no_header_are_refused(raw: bytes) -> None:
    with pytest.raises(ChainError):
        Header(raw)


def test_a_block_without_a_field_is_refused() -> None:
    for name in FRONTIER:
        if name != "hash":
            tree = json.loads(json.dumps(FRONTIER))
            del tree[name]
            with pytest.raises(ChainError, match=name):
                Header.from_json(tree)
