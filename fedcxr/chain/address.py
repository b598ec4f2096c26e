"""An account's address with its checksum (EIP-55); eth_utils has it too, and takes long to import."""

from __future__ import annotations

import re
from functools import lru_cache

from eth_hash.auto import keccak


@lru_cache(maxsize=4096)
def checksummed(address: bytes) -> str:
    """EIP-55 of 20 bytes."""
    digits = address.hex()
    marks = keccak(digits.encode()).hex()
    return "0x" + "".join(c.upper() if m >= "8" else c for c, m in zip(digits, marks, strict=False))


def is_checksummed(value: object) -> bool:
    """Whether something is an address as EIP-55 writes it."""
    if not isinstance(value, str) or not re.fullmatch("0x[0-9a-fA-F]{40}", value):
        return False
    return checksummed(bytes.fromhex(value[2:])) == value
