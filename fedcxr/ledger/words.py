"""The words of 32 bytes as which values of Solidity's fixed types are hashed (EIP-712, and its ABI)."""

from __future__ import annotations

from fedcxr.chain.address import is_checksummed

_BOUNDS = {
    "uint8": (0, 2**8),
    "uint16": (0, 2**16),
    "uint64": (0, 2**64),
    "uint256": (0, 2**256),
    "int16": (-(2**15), 2**15),
}


def fits(value: object, solidity: str) -> bool:
    """Whether a value is one of a Solidity type: ``bytes32``, ``address``, ``bool`` or a number of ours."""
    if solidity == "bytes32":
        return isinstance(value, bytes) and len(value) == 32
    if solidity == "address":
        return is_checksummed(value)
    if solidity == "bool":
        return isinstance(value, bool)
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    low, high = _BOUNDS[solidity]
    return low <= value < high


def word(value: object, solidity: str) -> bytes:
    """A value in its 32 bytes; it must fit its type."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return bytes(12) + bytes.fromhex(value[2:])
    assert isinstance(value, int)
    return value.to_bytes(32, signed=solidity.startswith("int"))
