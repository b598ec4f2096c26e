"""Keys, genesis and peers of a Besu QBFT network, as ``compose.yaml`` beside this file expects them.

    python network.py key DIR            one validator's key; prints its public half, for the others
    python network.py genesis DIR PUBLIC@HOST [PUBLIC@HOST ...]
                                         genesis.json and static-nodes.json, the same for everybody
    python network.py trial DIR          all of it for four validators on one machine

A private key never leaves the machine that it was made on. Everybody makes genesis.json from the same
public keys, and compares its digest with the others'.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import rlp
from eth_keys.datatypes import PrivateKey, PublicKey

CHAIN_ID = 61_370  # fedcxr's ledger.chain_id
GAS_LIMIT = 60_000_000  # a round of 256 hospitals opens in one transaction
BLOCK_SECONDS = 2
P2P_PORT = 30_303
TRIAL_HOSTS = ("172.28.61.11", "172.28.61.12", "172.28.61.13", "172.28.61.14")  # as in compose.yaml
# Besu tells a QBFT chain by this value of mixHash ("ctical byzantine fault tolerance").
MIX_HASH = "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365"


def extra_data(validators: list[bytes]) -> bytes:
    """QBFT's ``extraData`` of the first block: RLP of [vanity, validators, vote, round, seals].

    Args:
        validators: addresses, 20 bytes each; they are sorted, as QBFT wants them.

    Raises:
        ValueError: none, one twice, or something that is no address.
    """
    if not validators or len(set(validators)) < len(validators):
        raise ValueError("validators: at least one, and each once")
    if any(len(address) != 20 for address in validators):
        raise ValueError("an address has 20 bytes")
    return bytes(rlp.encode([bytes(32), sorted(validators), [], b"", []]))


def genesis(validators: list[bytes], *, timestamp: int = 0) -> dict[str, object]:
    """The genesis file: gas is free, nobody has ether, and the rules are those of the compiled contract."""
    return {
        "config": {
            "chainId": CHAIN_ID,
            "berlinBlock": 0,
            "londonBlock": 0,
            "shanghaiTime": 0,
            "cancunTime": 0,
            "zeroBaseFee": True,
            "qbft": {
                "blockperiodseconds": BLOCK_SECONDS,
                "epochlength": 30_000,
                "requesttimeoutseconds": 2 * BLOCK_SECONDS,
            },
        },
        "nonce": "0x0",
        "timestamp": hex(timestamp),
        "gasLimit": hex(GAS_LIMIT),
        "difficulty": "0x1",
        "mixHash": MIX_HASH,
        "coinbase": "0x" + "00" * 20,
        "alloc": {},
        "extraData": "0x" + extra_data(validators).hex(),
    }


def enode(public: PublicKey, host: str) -> str:
    """How its peers find a node; ``host`` is an IP address, for Besu asks no name server by default."""
    return f"enode://{public.to_bytes().hex()}@{host}:{P2P_PORT}"


def make_key(directory: Path, name: str = "validator.key") -> PublicKey:
    """Make a private key, readable by its owner alone; one that is there is not overwritten."""
    directory.mkdir(parents=True, exist_ok=True)
    secret = os.urandom(32)  # beyond the curve's order, which PrivateKey would refuse, once in 2^127
    path = directory / name
    with open(path, "x", opener=lambda where, flags: os.open(where, flags, 0o600)) as file:
        file.write("0x" + secret.hex() + "\n")
    return PrivateKey(secret).public_key


def write_network(directory: Path, peers: list[tuple[PublicKey, str]]) -> None:
    """``genesis.json`` and ``static-nodes.json``."""
    directory.mkdir(parents=True, exist_ok=True)
    tree = genesis([public.to_canonical_address() for public, _ in peers])
    nodes = [enode(public, host) for public, host in peers]
    for name, content in (("genesis.json", tree), ("static-nodes.json", nodes)):
        with (directory / name).open("x", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=2) + "\n")


def trial(directory: Path) -> None:
    """Everything for the four validators of ``compose.yaml``."""
    keys = [make_key(directory, f"validator-{n}.key") for n in range(1, len(TRIAL_HOSTS) + 1)]
    write_network(directory, list(zip(keys, TRIAL_HOSTS, strict=True)))


def _peer(text: str) -> tuple[PublicKey, str]:
    public, _, host = text.partition("@")
    return PublicKey(bytes.fromhex(public.removeprefix("0x"))), host


def main(arguments: list[str]) -> None:
    match arguments:
        case ["key", directory]:
            sys.stdout.write(make_key(Path(directory)).to_hex() + "\n")
        case ["genesis", directory, *peers] if peers:
            write_network(Path(directory), [_peer(peer) for peer in peers])
        case ["trial", directory]:
            trial(Path(directory))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
