"""A contract's events, proven from the headers of its chain; nothing that an endpoint says is believed.

Headers are linked by their hashes from the block that created the contract up to a head. A header's bloom
filter proves that a block has no event of the contract; of every other block all transactions and receipts
are here, and must have the roots that its header names. So an event that was removed, added, changed or moved
shows. And the transaction that created the contract is here, so that its code and what its constructor was
given are proven too.

What this cannot prove: that the head is the one that the consortium agreed on. For that, take the head's hash
from somebody who has it (:meth:`ChainProof.differences`, ``head``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Self

from eth_utils.address import to_canonical_address, to_checksum_address

from fedcxr.audit.chain.block_content import Log, Sent, logs_of, root, sent, transaction_hash
from fedcxr.audit.chain.header import Header
from fedcxr.errors import ChainError
from fedcxr.ledger.artifact import Artifact, artifact_that, known_artifacts, load_artifact


class Difference(NamedTuple):
    """Something of a chain that does not follow from its headers."""

    where: str
    expected: str
    found: str


@dataclass(frozen=True)
class BlockContent:
    """All that a block holds, encoded, in its order."""

    transactions: tuple[bytes, ...]
    receipts: tuple[bytes, ...]


@dataclass(frozen=True)
class ProvenLog:
    """An event, and where it stands."""

    block: int
    block_hash: bytes
    transaction: bytes  # hash
    transaction_index: int
    index: int  # within the block
    log: Log


@dataclass(frozen=True)
class ChainProof:
    """One contract's part of a chain.

    Attributes:
        chain_id: as the endpoint says it; signatures of the creating transaction hold it too.
        contract: checksummed address.
        court: address of the contract that it made for disputes, whose events are proven as well.
        head: hash of the last header.
        headers: from the block that created the contract to the head, each by its RLP.
        blocks: content by number: the first, and each whose header admits an event of either contract.
    """

    chain_id: int
    contract: str
    court: str
    head: bytes
    headers: tuple[bytes, ...]
    blocks: dict[int, BlockContent] = field(default_factory=dict)

    def tree(self) -> dict[str, Any]:
        """As JSON has it, bytes in hexadecimal."""
        return {
            "chain_id": self.chain_id,
            "contract": self.contract,
            "court": self.court,
            "head": self.head.hex(),
            "headers": [raw.hex() for raw in self.headers],
            "blocks": {
                str(number): {
                    "transactions": [item.hex() for item in content.transactions],
                    "receipts": [item.hex() for item in content.receipts],
                }
                for number, content in self.blocks.items()
            },
        }

    @classmethod
    def from_tree(cls, tree: Any) -> Self:
        """Read :meth:`tree` back.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: it is none.
        """
        proof = cls(
            int(tree["chain_id"]),
            str(tree["contract"]),
            str(tree["court"]),
            bytes.fromhex(tree["head"]),
            tuple(bytes.fromhex(raw) for raw in tree["headers"]),
            {
                int(number): BlockContent(
                    tuple(bytes.fromhex(item) for item in content["transactions"]),
                    tuple(bytes.fromhex(item) for item in content["receipts"]),
                )
                for number, content in tree["blocks"].items()
            },
        )
        if not proof.headers or proof.tree() != tree:
            raise ValueError("it is not as it would be written")
        return proof

    @cached_property
    def parsed(self) -> tuple[Header, ...]:
        """Raises ChainError when one is no header."""
        return tuple(Header(raw) for raw in self.headers)

    @property
    def first(self) -> int:
        """Number of the block that created the contract."""
        return self.parsed[0].number

    @property
    def last(self) -> int:
        return self.parsed[-1].number

    def hash_of(self, number: int) -> bytes:
        """As the header after it names it.

        Raises:
            ChainError: there is no header of this block.
        """
        place = number - self.first
        if not 0 <= place < len(self.parsed):
            raise ChainError(f"block {number}: its header is not in the proof.")
        return self.head if place == len(self.parsed) - 1 else self.parsed[place + 1].parent

    def timestamp(self, number: int) -> int:
        """Seconds of chain time of a block.

        Raises:
            ChainError: there is no header of this block.
        """
        self.hash_of(number)
        return self.parsed[number - self.first].timestamp

    def differences(self, head: bytes | None = None, artifact: Artifact | None = None) -> list[Difference]:
        """Where the parts do not fit together; empty when every event is proven.

        Args:
            head: the head's hash as the caller has it from elsewhere.
            artifact: whose bytecode must have created the contract; by default any known one's.
        """
        try:
            if not self.parsed:
                return [Difference("headers", "at least one", "none")]
            found = [*self._links(head), *self._contents(), *self._creation(artifact)]
        except ChainError as error:
            return [Difference("headers", "headers of blocks", str(error))]
        return found

    def logs(self, *addresses: str) -> list[ProvenLog]:
        """Events in their order, by default the contract's. What is not proven :meth:`differences` says."""
        found = []
        wanted = {to_canonical_address(address) for address in addresses or (self.contract,)}
        for number in sorted(self.blocks):
            content, index = self.blocks[number], 0
            for place, receipt in enumerate(content.receipts):
                for log in logs_of(receipt):
                    if log.address in wanted:
                        of = content.transactions[place] if place < len(content.transactions) else b""
                        block_hash = self.hash_of(number)
                        found.append(ProvenLog(number, block_hash, transaction_hash(of), place, index, log))
                    index += 1
        return found

    def sent(self, digest: bytes) -> Sent | None:
        """The transaction with this hash, its sender recovered from its signature.

        Returns:
            None when no block here has it, or it is not a signed one.
        """
        try:
            return sent(self._transactions[digest]) if digest in self._transactions else None
        except ChainError:
            return None

    @cached_property
    def _transactions(self) -> dict[bytes, bytes]:
        contents = self.blocks.values()
        return {transaction_hash(one): one for content in contents for one in content.transactions}

    def creation(self) -> Sent | None:
        """The transaction that created the contract; None when the first block has none."""
        for transaction in self.blocks.get(self.first, BlockContent((), ())).transactions:
            if (said := sent(transaction)).created == self.contract:
                return said
        return None

    def artifact(self) -> str | None:
        """Name of the known artifact whose bytecode created the contract; None where none's did."""
        created = self.creation()
        return None if created is None else artifact_that(lambda known: known.founds(created.data))

    def _links(self, head: bytes | None) -> Iterator[Difference]:
        for before, after in zip(self.parsed, self.parsed[1:], strict=False):
            where = f"block {after.number}"
            if after.number != before.number + 1:
                yield Difference(where, f"block {before.number + 1}", f"block {after.number}")
            elif after.parent not in before.hashes:
                yield Difference(where, f"one that follows {_hex(before.hashes[0])}", _hex(after.parent))
        last = self.parsed[-1]
        if self.head not in last.hashes:
            yield Difference(
                f"block {last.number}", f"a header with hash {_hex(self.head)}", _hex(last.hashes[0])
            )
        if head is not None and head != self.head:
            yield Difference("the chain's head", _hex(head), f"{_hex(self.head)}, block {last.number}")

    def _contents(self) -> Iterator[Difference]:
        watched = [to_canonical_address(address) for address in (self.contract, self.court)]
        numbers = {header.number for header in self.parsed}
        for number in sorted(self.blocks.keys() - numbers):
            yield Difference(f"block {number}", "none with this number", "its content")
        for header in self.parsed:
            where = f"block {header.number}"
            content = self.blocks.get(header.number)
            if content is None:
                if header.number == self.first or any(map(header.admits, watched)):
                    yield Difference(where, "its receipts, for it may have events of the contract", "none")
                continue
            if (got := root(content.transactions)) != header.transactions_root:
                yield Difference(f"{where} transactions", _hex(header.transactions_root), _hex(got))
            if (got := root(content.receipts)) != header.receipts_root:
                yield Difference(f"{where} receipts", _hex(header.receipts_root), _hex(got))

    def _creation(self, artifact: Artifact | None) -> Iterator[Difference]:
        where, expected = f"block {self.first}", f"the transaction that created {self.contract}"
        try:
            created = self.creation()
        except ChainError as error:
            yield Difference(where, expected, str(error))
            return
        if created is None:
            yield Difference(where, expected, "none")
            return
        known = known_artifacts().values() if artifact is None else (artifact,)
        topic = (artifact or load_artifact()).topic("FederationCreated")
        courts = [court_in(log.log.data) for log in self.logs() if log.log.topics[:1] == (topic,)]
        if courts != [self.court]:
            yield Difference("the contract's court", self.court, ", ".join(courts) or "none")
        if not any(one.founds(created.data) for one in known):
            yield Difference(
                "the contract", "one that the artifact's bytecode created", "created by other code"
            )


def court_in(data: bytes) -> str:
    """The court's address in the data of ``FederationCreated``, of which it is the first word.

    Raises:
        ChainError: the data are too short.
    """
    if len(data) < 32:
        raise ChainError("an event of a federation's creation without a court.")
    return to_checksum_address(data[12:32])


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
