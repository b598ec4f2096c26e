"""A hospital's eye on the ledger: whether the chain is the one that it saw, and has its updates.

A hospital's process runs for one message, so it looks when a message comes, before it does what that asks;
``fedcxr member watch`` looks in between. A chain that lacks a block which the hospital had seen, or that
another hospital had, was rewritten, or is shown to one of them only: the hospital trains nothing on it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NoReturn

from clients.chain_head import settled_head, shown_hashes
from clients.ledger import attach_ledger, url_of
from clients.member import Member
from clients.own_updates import Sighting, sight
from clients.watched import OWN, SentUpdate, Watched
from fedcxr.chain.backends import RemoteChain
from fedcxr.errors import ContractRejectedError, LedgerError, RewrittenChainError, StoreError
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.signed_json import signed_to_tree
from fedcxr.ledger.signing import Signed, SignedSubmission
from fedcxr.ledger.statements import Contradiction, Head, SignedHead, heads_from_bytes, heads_to_bytes
from fedcxr.ledger.views import FederationViews
from fedcxr.store.blobs import BlobStore
from fedcxr.terminal import one_line

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lookout:
    """What a hospital sees of the ledger at the moment of one message.

    Attributes:
        member: the hospital.
        ledger: the contract through its own endpoint; None where its settings say that there is none.
        rpc: that endpoint, where it is not that of ``hospital.toml``.
    """

    member: Member
    ledger: FederationViews | None
    rpc: str = ""

    @classmethod
    def of(cls, member: Member, rpc: str = "") -> Lookout:
        """Raises as :func:`~clients.ledger.attach_ledger`."""
        if not rpc:
            return cls(member, member.ledger)
        membership = member.membership
        return cls(member, attach_ledger(member.disk, membership.contract, membership.chain_id, rpc), rpc)

    @property
    def head(self) -> bytes:
        """The newest head that the hospital has signed, as it hands it on; empty before the first."""
        head = self._watched.head
        return b"" if head is None else heads_to_bytes([head])

    def look(
        self, occasion: str, *, heads: bytes = b"", asked: tuple[int, int] | None = None
    ) -> list[Sighting]:
        """See that the chain has every head, sign its newest one, and see what became of updates.

        Of an update that was left out, or is not in the sum, a signed complaint is in the journal afterwards.

        Args:
            occasion: of one occasion one head is signed, so that the journal grows with rounds and not with
                messages.
            heads: of other hospitals, as the coordinator hands them on.
            asked: the round and the attempt that the hospital is asked to train in: an update of that very
                attempt is about to be made again.

        Returns:
            What it saw of each update that it did not know taken.

        Raises:
            RewrittenChainError: the chain lacks a block that this hospital or another one has seen.
            FederationError: what was handed on are no heads.
            ChainError: the chain does not answer.
        """
        if self.ledger is None or not self.member.membership.contract:
            return []
        with self.member.disk.watching(), self.ledger.one_look():
            watched = self._watched
            head = settled_head(self.ledger, self.member.config.ledger.head_depth)
            self._check_heads(self.ledger, head, watched, heads)
            noted = self._note(watched, occasion, head)
            seen = list(self._sightings(self.ledger, watched, asked))
            for sighting in seen:
                self._tell(sighting, head)
            settled = {(one.round, one.attempt) for one in seen if one.settled}
            noted = replace(noted, sent=tuple(one for one in noted.sent if one.place not in settled))
            if noted != watched:
                self.member.disk.write_watched(self.member.address, noted)
        return seen

    def remember(self, signed: SignedSubmission, seat: int) -> None:
        """Look after an update of the hospital in a seat, whose bytes are kept, from now on."""
        with self.member.disk.watching():
            watched = self._watched.with_update(SentUpdate(signed, seat, int(time.time())))
            self.member.disk.write_watched(self.member.address, watched)

    def bring(self, signed: SignedSubmission) -> str:
        """Bring a submission to the contract, from the hospital's own account.

        Returns:
            Why it could not be; empty where the contract has it now.
        """
        assert self.ledger is not None
        account = self.member.identity.account
        try:
            chain = RemoteChain.for_stranger(url_of(self.member.disk, self.rpc))
            chain.fund(account.address)
            FederationLedger.attach(chain.w3, self.ledger.address, account).submit_direct(signed)
        except ContractRejectedError as error:
            return "" if error.name == "AlreadySubmitted" else str(error)
        except LedgerError as error:
            return str(error)
        return ""

    def deliver(self, signed: SignedSubmission, store: str) -> str:
        """Put the bytes of a submission into a store that lacks them.

        Returns:
            What was done or could not be; empty where the store has them.
        """
        root = signed.message.root
        try:
            blobs = BlobStore(store, make=False)
            if blobs.size(root) == signed.message.size:
                return ""
            data = self.member.disk.kept_update(self.member.address, root, signed.message.size)
            if data is None:
                return "the store lacks its bytes, and they are not kept here any more"
            blobs.put(data, root)
        except (StoreError, OSError) as error:
            return f"its bytes could not be brought to the store: {error}"
        return "its bytes brought to the store"

    @property
    def _watched(self) -> Watched:
        return self.member.disk.watched(self.member.address)

    @property
    def _federation(self) -> bytes:
        return bytes.fromhex(self.member.membership.federation)

    def _note(self, watched: Watched, occasion: str, head: tuple[int, bytes]) -> Watched:
        if watched.head is not None and (
            watched.occasion == occasion or watched.head.message.block == head[0]  # which it is held to
        ):
            return watched
        message = Head(self._federation, self.member.address, *head)
        return replace(watched, head=Signed(message, self.member.sign(message)), occasion=occasion)

    def _check_heads(
        self, ledger: FederationViews, head: tuple[int, bytes], watched: Watched, handed_on: bytes
    ) -> None:
        """See that the chain with this head has the hospital's own last one and those of the others.

        Raises:
            RewrittenChainError: it lacks one of them.
        """
        others = heads_from_bytes(handed_on, self._federation, self.member.domain)
        seen = {OWN: watched.head} if watched.head is not None else {}
        seen |= _of_members(others, ledger) if others else {}
        shown: dict[int, bytes | None] = dict([head])
        shown |= shown_hashes(ledger, {signed.message.block for signed in seen.values()} - shown.keys())
        for seat, signed in seen.items():
            there = shown[signed.message.block] or bytes(32)
            if there != signed.message.block_hash:
                self._contradict(seat, signed, there, head, watched)

    def _contradict(
        self, seat: int, signed: SignedHead, shown: bytes, head: tuple[int, bytes], watched: Watched
    ) -> NoReturn:
        """Put both heads into the journal and refuse.

        A witness and a block are put there once, and of a seat no more than a few: whoever has others sign
        heads that contradict the chain would make the journal as long as it likes.

        Raises:
            RewrittenChainError: always.
        """
        message, mine = signed.message, seat == OWN
        noted = watched.with_contradiction(seat, message.block)
        if noted != watched:
            self._state(signed, shown, head, mine=mine)
            self.member.disk.write_watched(self.member.address, noted)
        whose = "this hospital" if mine else message.hospital
        there = (
            f"block {message.block} is {shown.hex()}" if any(shown) else f"there is no block {message.block}"
        )
        raise RewrittenChainError(
            f"{self.member.disk.settings.name}: {whose} has seen block {message.block}, "
            f"{message.block_hash.hex()}, but in the chain that is shown now {there}: it was rewritten, or "
            "hospitals are shown different ones. Refused."
        )

    def _state(self, signed: SignedHead, shown: bytes, head: tuple[int, bytes], *, mine: bool) -> None:
        message = signed.message
        if not mine:
            tree = {"kind": Head.kind(), **signed_to_tree(signed)}
            self.member.disk.record(self.member.address, tree)
        self.member.sign(
            Contradiction(
                federation=self._federation,
                hospital=self.member.address,
                witness=message.hospital,
                block=message.block,
                seen=message.block_hash,
                shown=shown,
                head=head[0],
                head_hash=head[1],
            )
        )

    def _sightings(
        self, ledger: FederationViews, watched: Watched, asked: tuple[int, int] | None
    ) -> Iterator[Sighting]:
        ordered = sorted(watched.sent, key=lambda one: one.place)
        for place, sent in groupby(ordered, key=lambda one: one.place):
            if place == asked:
                continue
            try:
                yield sight(ledger, list(sent))
            except LedgerError as error:
                logger.warning("round %d: what became of the update cannot be seen: %s", place[0], error)

    def _tell(self, sighting: Sighting, head: tuple[int, bytes]) -> None:
        """Log what became of an update, and complain of one that was left out or is not in the sum."""
        if sighting.complains:
            self.member.sign(sighting.complaint(self.member.address, *head))
        if sighting.fate not in ("taken", "accepted", "open"):
            place = f"round {sighting.round}, attempt {sighting.attempt}"
            logger.warning("%s: the update of this hospital: %s", place, one_line(sighting.why))


def _of_members(heads: Sequence[SignedHead], ledger: FederationViews) -> dict[int, SignedHead]:
    """The newest head of each seat; what nobody of this federation signed is logged and left.

    The chain is asked about no head of theirs: anybody can sign as many as a message holds.
    """
    seats, newest = ledger.accounts(), dict[int, SignedHead]()
    for signed in heads:
        seat = seats.get(signed.message.hospital)
        if seat is None:
            logger.warning("a head of %s, who is no member, is not looked at", signed.message.hospital)
        elif seat not in newest or newest[seat].message.block < signed.message.block:
            newest[seat] = signed
    return newest
