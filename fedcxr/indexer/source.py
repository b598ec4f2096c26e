"""Where an index reads a chain from: blocks and logs, and no more."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from fedcxr.errors import ChainError


@dataclass(frozen=True)
class Block:
    """A block of the chain: its time is in seconds."""

    number: int
    hash: bytes
    time: int


@dataclass(frozen=True)
class Log:
    """A log as the chain has it.

    Attributes:
        topics: 32 bytes each.
        block: its number.
        position: among the logs of its block.
        transaction: hash.
    """

    topics: tuple[bytes, ...]
    data: bytes
    block: int
    position: int
    transaction: bytes


class RefusedError(ChainError):
    """The chain answered, with an error: what was asked may have been too much."""


class MovedError(Exception):
    """The chain was reorganised while it was read: what was read does not fit together."""


class Source(Protocol):
    """A chain to read from. All of it raises ChainError where the chain is missing, away or damaged."""

    def mark(self) -> str:
        """Something cheap that is another whenever the chain may have moved."""
        ...

    def may_hold(self, address: str) -> bool:
        """False where there is certainly no contract at an address."""
        ...

    def head(self) -> Block: ...

    def block(self, number: int) -> Block | None:
        """None beyond the head."""
        ...

    def logs(self, addresses: Collection[str], first: int, last: int) -> tuple[list[Log], list[Block]]:
        """Logs of contracts in a range of blocks, in order, and the blocks that they are in.

        Raises:
            MovedError: a reorganisation in between.
        """
        ...

    def call(self, address: str, data: bytes, block: Block) -> bytes:
        """What a view of a contract answers as of a block."""
        ...

    def close(self) -> None: ...
