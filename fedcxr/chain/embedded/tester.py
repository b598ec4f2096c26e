"""eth-tester with a search for events that does not read every receipt of the chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eth_bloom.bloom import BloomFilter
from eth_tester.main import EthereumTester

from fedcxr.chain.embedded.evm import EmbeddedEvm


class EmbeddedTester(EthereumTester):
    """An eth-tester that reads only the blocks whose bloom filter admits an event, as a node does."""

    backend: EmbeddedEvm

    def __init__(self, evm: EmbeddedEvm) -> None:
        inherited: Any = super()
        inherited.__init__(evm)
        self._blooms: list[BloomFilter] = []  # by block number; blocks are never taken back

    def reload(self) -> None:
        """Drop what is cached of rows that the database has rolled back."""
        self.backend.reload()
        self._blooms.clear()

    def get_logs(
        self,
        from_block: int | str | None = None,
        to_block: int | str | None = None,
        address: str | Sequence[str] | None = None,
        topics: Sequence[Any] | None = None,
    ) -> tuple[Any, ...]:
        """Events of a range of blocks; an address or a topic may be a list of alternatives."""
        wanted = [_alternatives(field) for field in (address, *(topics or ())) if field]
        inherited: Any = super()
        logs: list[Any] = []
        for number in range(self._number(from_block), self._number(to_block) + 1):
            bloom = self._bloom(number)
            if all(any(item in bloom for item in field) for field in wanted):
                logs += inherited.get_logs(number, number, address, topics)
        return tuple(logs)

    def _number(self, block: int | str | None) -> int:
        head = int(self.backend.chain.get_canonical_head().block_number)
        if block is None or block in ("latest", "pending", "safe", "finalized"):
            return head
        if block == "earliest":
            return 0
        return min(int(block, 16) if isinstance(block, str) else block, head)

    def _bloom(self, number: int) -> BloomFilter:
        while len(self._blooms) <= number:
            header = self.backend.chain.get_canonical_block_header_by_number(len(self._blooms))
            self._blooms.append(BloomFilter(header.bloom))
        return self._blooms[number]


def _alternatives(field: str | Sequence[str]) -> list[bytes]:
    values = [field] if isinstance(field, str) else [value for value in field if value]
    return [bytes.fromhex(value.removeprefix("0x")) for value in values]
