"""The hash by which a chain knows its block of a number."""

from __future__ import annotations

from web3 import Web3
from web3.exceptions import BlockNotFound

from fedcxr.chain.web3_errors import translated


def block_hash(w3: Web3, number: int) -> bytes | None:
    """Hash of a chain's block; None where the chain has none of this number.

    Raises:
        ChainError: the chain does not answer.
    """

    def asked() -> bytes | None:
        try:
            return bytes(w3.eth.get_block(number)["hash"])
        except BlockNotFound:
            return None

    return translated(asked)
