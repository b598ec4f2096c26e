"""The chain heads that hospitals sign: the coordinator keeps the newest of each, and hands it on to others.

In a ring of the hospitals, each gets the heads of a few that come after it: every head is looked at by that
many hospitals, and no hospital looks at all of them.

A head that the coordinator's own chain does not have, or has no longer, is not handed on: then that hospital,
or the endpoint that it reads, does not see this chain, and the others need not stop for its word.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Collection, Iterable
from itertools import chain, islice
from pathlib import Path

from fedcxr import bounded, files
from fedcxr.errors import FederationError, StoreError
from fedcxr.ledger.protocol import Ledger
from fedcxr.ledger.statements import LONGEST_HEADS, SignedHead, heads_from_bytes, heads_to_bytes

logger = logging.getLogger(__name__)
_OTHERS = 16  # whose heads a hospital gets


class HeadExchange:
    """The newest head of each hospital, in memory and in the run directory."""

    def __init__(self, path: Path, ledger: Ledger, federation: bytes) -> None:
        """With the heads that a coordinator before this one has kept.

        Raises:
            StoreError: what it kept is damaged.
        """
        self._path = path
        self._ledger = ledger
        self._federation = federation
        try:
            kept = bounded.read(path, LONGEST_HEADS) if path.exists() else b""
            heads = heads_from_bytes(kept, federation, ledger.domain)
        except (OSError, FederationError) as error:
            raise StoreError(f"{path}: damaged: {error}; without it the run goes on.") from None
        self._heads: dict[str, SignedHead] = {signed.message.hospital: signed for signed in heads}
        self._kept = _to_bytes(self._heads.values())

    def handed_on(self, hospitals: Iterable[str]) -> dict[str, bytes]:
        """The heads that each of these hospitals gets; empty where there are none.

        One that the chain has taken back stays in the run directory, until its hospital signs another.

        Args:
            hospitals: addresses.

        Raises:
            ChainError: the chain does not answer.
        """
        blocks = {signed.message.block for signed in self._heads.values()}
        here = {block: self._ledger.block_hash(block) for block in blocks}
        there = [s for s in self._heads.values() if here[s.message.block] == s.message.block_hash]
        for signed in self._heads.values():
            if signed not in there:
                head = signed.message
                logger.warning("block %d, which %s saw, is another one now", head.block, head.hospital)
        ring = sorted(there, key=lambda signed: signed.message.hospital)
        addresses = [signed.message.hospital for signed in ring]
        handed = {}
        for hospital in hospitals:
            begins = bisect_right(addresses, hospital)
            after = islice(chain(ring[begins:], ring[:begins]), _OTHERS + 1)
            handed[hospital] = _to_bytes([s for s in after if s.message.hospital != hospital][:_OTHERS])
        return handed

    def receive(self, hospital: str, data: bytes) -> None:
        """Take the head that came with a hospital's reply; one that is not good is logged and left.

        Raises:
            ChainError: the chain does not answer.
        """
        try:
            for signed in heads_from_bytes(data, self._federation, self._ledger.domain)[:1]:
                head = signed.message
                if head.hospital != hospital:
                    raise FederationError(f"it is of {head.hospital}")  # noqa: TRY301
                if self._ledger.block_hash(head.block) != head.block_hash:
                    raise FederationError(f"block {head.block} is another one here")  # noqa: TRY301
                self._heads[hospital] = signed
        except FederationError as error:
            logger.warning("%s sent a chain head that is not handed on: %s", hospital, error)

    def keep(self) -> None:
        """Write the heads into the run directory, where they have changed.

        Raises:
            UnwritableError: it cannot be written.
        """
        if (data := _to_bytes(self._heads.values())) != self._kept:
            files.write(self._path, data)
            self._kept = data


def _to_bytes(heads: Collection[SignedHead]) -> bytes:
    return heads_to_bytes(heads) if heads else b""
