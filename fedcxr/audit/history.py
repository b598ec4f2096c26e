"""Heads of a chain that somebody saw before, and whether a chain has them still.

A header names the one before it. So a chain that has a block under its hash has everything before it as it
was, and one that lacks it was begun anew, cut short, or made another somewhere before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from web3 import Web3

from fedcxr.audit.chain.proof import ChainProof
from fedcxr.chain.block_hash import block_hash
from fedcxr.chain.web3_errors import translated

BlockHash = Callable[[int], bytes | None]
"""A chain, as far as it is asked here: the hash of its block of a number; None where it has none."""


class ChainHead(NamedTuple):
    """A block that was the last of a chain when somebody looked."""

    number: int
    digest: bytes  # the block's hash

    def __str__(self) -> str:
        return f"block {self.number}, 0x{self.digest.hex()}"


class Chain(Protocol):
    """The blocks of a chain that is read now."""

    @property
    def first(self) -> int:
        """Number of the first block that is at hand; others choose it where headers are theirs."""
        ...

    @property
    def head(self) -> ChainHead:
        """Its last block."""
        ...

    def hash_of(self, number: int) -> bytes | None:
        """The hash of a block; None where the chain has none of this number, or it is not at hand."""
        ...


@dataclass(frozen=True)
class ExecutedChain:
    """A chain in this process, every block of which was executed again."""

    w3: Web3
    first = 0

    @property
    def head(self) -> ChainHead:
        block = translated(lambda: self.w3.eth.get_block("latest"))
        return ChainHead(int(block["number"]), bytes(block["hash"]))

    def hash_of(self, number: int) -> bytes | None:
        return block_hash(self.w3, number)


@dataclass(frozen=True)
class ProvenChain:
    """A chain by its headers, from the block that created the contract on."""

    proof: ChainProof

    @property
    def first(self) -> int:
        return self.proof.first

    @property
    def head(self) -> ChainHead:
        return ChainHead(self.proof.last, self.proof.head)

    def hash_of(self, number: int) -> bytes | None:
        return self.proof.hash_of(number) if self.proof.first <= number <= self.proof.last else None


def heads_not_in(
    chain: BlockHash, heads: Iterable[tuple[int, bytes]]
) -> dict[tuple[int, bytes], bytes | None]:
    """The heads that a chain does not have.

    Args:
        chain: gives the hash of each of its blocks.
        heads: numbers and hashes of blocks that somebody saw.

    Returns:
        By each head that is not there, once, the hash that the chain has in its place; None where the chain
        has no block of that number.
    """
    known: dict[int, bytes | None] = {}
    missing: dict[tuple[int, bytes], bytes | None] = {}
    for number, digest in heads:
        if number not in known:
            known[number] = chain(number)
        if known[number] != digest:
            missing[number, digest] = known[number]
    return missing
