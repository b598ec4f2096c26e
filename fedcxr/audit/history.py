"""Heads of a chain that somebody saw before, and whether a chain has them still.

A header names the one before it. So a chain that has a block under its hash has everything before it as it
was, and one that lacks it was begun anew, cut short, or made another somewhere before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from web3 import Web3
from web3.exceptions import BlockNotFound

from fedcxr.audit.chain.proof import ChainProof
from fedcxr.chain.web3_errors import translated


class Head(NamedTuple):
    """A block that was the last of a chain when somebody looked."""

    number: int
    digest: bytes  # the block's hash

    def __str__(self) -> str:
        return f"block {self.number}, 0x{self.digest.hex()}"


class Chain(Protocol):
    """The blocks of a chain that is read now."""

    @property
    def head(self) -> Head:
        """Its last block."""
        ...

    def hash_of(self, number: int) -> bytes | None:
        """The hash of a block; None where the chain has none of this number, or it is not at hand."""
        ...


@dataclass(frozen=True)
class ExecutedChain:
    """A chain in this process, every block of which was executed again."""

    w3: Web3

    @property
    def head(self) -> Head:
        block = translated(lambda: self.w3.eth.get_block("latest"))
        return Head(int(block["number"]), bytes(block["hash"]))

    def hash_of(self, number: int) -> bytes | None:
        def found() -> bytes | None:
            try:
                return bytes(self.w3.eth.get_block(number)["hash"])
            except BlockNotFound:
                return None

        return translated(found)


@dataclass(frozen=True)
class ProvenChain:
    """A chain by its headers, from the block that created the contract on."""

    proof: ChainProof

    @property
    def head(self) -> Head:
        return Head(self.proof.last, self.proof.head)

    def hash_of(self, number: int) -> bytes | None:
        return self.proof.hash_of(number) if self.proof.first <= number <= self.proof.last else None


def heads_not_in(chain: Chain, heads: Iterable[tuple[int, bytes]]) -> list[tuple[Head, str]]:
    """The heads that a chain does not contain, each with what the chain has in its place.

    Args:
        chain: as it is read now.
        heads: number and hash of blocks that somebody saw.
    """
    missing = []
    for head in (Head(*one) for one in heads):
        if (found := chain.hash_of(head.number)) == head.digest:
            continue
        instead = "no such block" if found is None else str(Head(head.number, found))
        missing.append((head, f"{instead}; its head is {chain.head}"))
    return missing
