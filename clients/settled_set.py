"""The set of updates whose sum a masked round is to have, as a hospital reads it on the ledger itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clients.chain_head import settled_head
from fedcxr.errors import LedgerError, RuleError, UnsettledError
from fedcxr.ledger.phase import BEGUN_BY, RoundPhase
from fedcxr.ledger.round_events import RoundEvents
from fedcxr.ledger.seats import from_bitmap
from fedcxr.ledger.signing import Signed, SignedSubmission, recover
from fedcxr.ledger.submissions import listing as submission_list
from fedcxr.ledger.views import FederationViews
from fedcxr.masked_rounds.attempts import attempt_events, may_sign
from fedcxr.privacy.secagg.attempt import MaskedAttempt


@dataclass(frozen=True)
class SettledSet:
    """A set that no reorganisation is expected to take back.

    Attributes:
        where: round and attempt, for errors.
        accepted: seats, rising.
        block, block_hash: of the settled block by which it stands.
        events: of the attempt.
    """

    where: str
    accepted: tuple[int, ...]
    block: int
    block_hash: bytes
    events: RoundEvents

    @classmethod
    def read(cls, ledger: FederationViews, number: int, attempt: int, depth: int) -> SettledSet:
        """The set of the latest attempt at a round.

        Args:
            ledger: the contract.
            number: of the round.
            attempt: which it must be.
            depth: blocks over a settled one.

        Raises:
            UnsettledError: there is none yet.
            RuleError: it is another attempt, aborted, or finalized already.
        """
        where = f"round {number}, attempt {attempt}"
        block, block_hash = settled_head(ledger, depth)
        events = attempt_events(ledger, number)
        if events.of("RoundOpened")[0]["attempt"] != attempt:
            raise RuleError(f"{where}: the ledger has another attempt after it.")
        begun = [event for event in events.events if event["event"] in BEGUN_BY]
        phase = BEGUN_BY[begun[-1]["event"]]
        if phase in (RoundPhase.ABORTED, RoundPhase.FINALIZED):
            raise RuleError(f"{where}: the ledger has it {phase}.")
        validated = [event for event in begun if event["event"] == "RoundValidated"]
        if not validated or validated[0]["blockNumber"] > block:
            raise UnsettledError(f"{where}: its set of updates is not settled at block {block}.")
        accepted = tuple(from_bitmap(validated[0]["args"]["counted"]))
        return cls(where, accepted, block, block_hash, events)

    def submissions(
        self, ledger: FederationViews, attempt: MaskedAttempt, listing: bytes
    ) -> Mapping[int, SignedSubmission]:
        """What each hospital of the set has signed, by seat: the ledger's word of it is not enough.

        Args:
            ledger: the contract.
            attempt: of the set.
            listing: of submissions, as it was handed on; looked at where one root records all.

        Raises:
            RuleError: one is not there, is for another attempt, or is not signed by the hospital's account.
        """
        found = self._listed(ledger, listing) if ledger.recording.listed else self._recorded(ledger)
        for seat in self.accepted:
            if seat not in found:
                raise RuleError(f"{self.where}: nothing that seat {seat} has signed is shown.")
            message = found[seat].message
            place = message.federation, message.round, message.attempt, message.base
            if place != (attempt.federation, attempt.round, attempt.attempt, attempt.base):
                raise RuleError(f"{self.where}: what seat {seat} has signed is for another attempt.")
            try:
                signer = recover(message, found[seat].signature, ledger.domain)
            except LedgerError as error:
                raise RuleError(f"{self.where}: seat {seat} has not signed: {error}") from None
            if signer != message.hospital or not may_sign(ledger, attempt.of(seat), signer):
                raise RuleError(f"{self.where}: seat {seat} has not signed what the ledger has of it.")
        return found

    def _recorded(self, ledger: FederationViews) -> dict[int, SignedSubmission]:
        accepted = self.events.of("UpdateAccepted")
        return {
            ledger.seat_of(values["hospital"]): Signed(
                self.events.submission(ledger.federation, values["hospital"]), bytes(values["signature"])
            )
            for values in accepted
        }

    def _listed(self, ledger: FederationViews, listing: bytes) -> dict[int, SignedSubmission]:
        """The list, once it is the one under the ledger's root."""
        try:
            submission_list.fill(ledger.round(self.events.number), listing, ledger.domain)
        except LedgerError as error:
            raise RuleError(f"{self.where}: {error}") from None
        return {ledger.seat_of(s.message.hospital): s for s in submission_list.from_bytes(listing)}
