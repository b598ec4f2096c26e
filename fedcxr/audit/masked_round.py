"""A finalized round whose updates are masked: who could take part, what was committed to, and the masks.

No key is wanted. Every seed that was published has one commitment under a root that the contract accepted;
the masks are made of the seeds anew and taken off the sum here, so that no vector of a file is believed
(docs/secure-aggregation.md, "Verification by outsiders"). Whatever a file, a header or an answer says, it
ends in a finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from fedcxr.aggregation.aggregator import Aggregator
from fedcxr.audit.evidence import Evidence
from fedcxr.audit.published_answers import answer_faults
from fedcxr.audit.record import CONTRADICTIONS, contradiction
from fedcxr.errors import EnvelopeError, FedcxrError, LayoutError, LedgerError, StoreError
from fedcxr.ledger.event_views import EventViews
from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.signing import recover
from fedcxr.masked_rounds.answers import Seeds, pairs_that_differ, seed_faults
from fedcxr.masked_rounds.attempts import masked_attempt, may_sign
from fedcxr.masked_rounds.same_sum import check_same_sum
from fedcxr.masked_rounds.seeds_file import LONGEST, SeedsFile
from fedcxr.privacy.secagg.attempt import MaskedAttempt
from fedcxr.privacy.secagg.header import SEALED, MaskedHeader, check_header, header_leaves
from fedcxr.update.merkle import LEAF_SIZE

NOT_NAMED = "nothing here names its seeds: metrics.jsonl does, and --metrics gives it"
"""Why the sum of a masked round is unchecked where an audit has no line of the round, and no event."""


def context_of(evidence: Evidence, number: int, attempt: int) -> bytes | None:
    """The context of an attempt at a masked round, by the ledger; None where that is not known here."""
    layout, parts = evidence.layout, evidence.colluder_parts
    if layout is None or parts is None or not evidence.protection.unmasks:
        return None
    try:
        return masked_attempt(evidence.ledger, number, parts, layout.size, attempt=attempt).context
    except (*CONTRADICTIONS, OverflowError):
        return None


@dataclass
class MaskedRound:
    """The audit of what hides a round's updates and of what takes it off their sum.

    Attributes:
        evidence: what the audit goes by.
        view: of the round, with its submissions.
        attempt: as the ledger has it.
        parts: of the hospitals may collude, in 1/10,000.
        accepted: A, the seats of the set, rising.
    """

    evidence: Evidence
    view: RoundView
    attempt: MaskedAttempt
    parts: int
    accepted: tuple[int, ...]
    _headers: dict[int, MaskedHeader] = field(default_factory=dict)  # by seat

    @classmethod
    def of(cls, evidence: Evidence, view: RoundView) -> Self | None:
        """The round, once what the ledger has of it is checked.

        None where layout or configuration is not at hand, or the ledger's attempt cannot be a masked one,
        which is a finding.
        """
        layout, parts = evidence.layout, evidence.colluder_parts
        if layout is None or parts is None:
            return None
        try:
            attempt = masked_attempt(evidence.ledger, view.number, parts, layout.size)
            accepted = tuple(sorted(view.seats[address] for address in view.counted))
            round_ = cls(evidence, view, attempt, parts, accepted)
            _ = attempt.context  # a number may not fit it
            round_._check_ledger()
        except (*CONTRADICTIONS, OverflowError) as error:
            expected = "an attempt whose sum can be unmasked"
            evidence.report.find("masked round", expected, contradiction(error), view.number)
            return None
        return round_

    def finish(
        self, total: Aggregator | None, headers: Mapping[str, bytes], seeds_root: str | None
    ) -> Aggregator | None:
        """Check headers, seeds and answers, and take the masks off the sum, **in place**.

        Args:
            total: of the masked updates; None where it could not be made.
            headers: the beginnings of the updates that could be read, by hospital.
            seeds_root: under which the store has the round's seeds, hex, as the round's line has it: empty
                where that names none, and None where no line is at hand.

        Returns:
            The sum; None where it cannot be unmasked, and is listed as unchecked.
        """
        self._take_headers(headers)
        self._check_headers()
        published, why = self._published(self._named(seeds_root))
        if published is not None:
            self._check_answers(published)
            if not self._seeds_hold(published.seeds):
                why = "its seeds are not those that hospitals committed to"
            elif total is None:
                return None  # an update is missing, which is told of it
            elif self.view.excluded:
                why = "masks of an update that is left out are in it"
            elif not self._headers.keys() >= set(self.accepted):
                why = "not every header could be read"
        if why or published is None or total is None:
            self.evidence.report.unchecked.append(f"round {self.view.number}: its sum ({why})")
            return None
        try:
            total.unmask(published.seeds.added, published.seeds.taken_off)
        except LayoutError as error:
            self._find("sum of the round", "one of honest updates", str(error))
        return total

    def _check_ledger(self) -> None:
        """What the ledger alone says."""
        view, attempt = self.view, self.attempt
        try:
            attempt.check_set(self.accepted)
        except FedcxrError as error:
            self._find("accepted set", f"at least {attempt.numbers.smallest} of its participants", str(error))
        if view.accepted and set(view.counted) != set(view.accepted):  # no list of them is a finding itself
            found = f"{sorted(self.accepted)!s:.300} of those that were accepted"
            self._find("accepted set", "all updates that the contract accepted", found)
        for address, reason in sorted(view.excluded.items()):
            expected = "nobody left out of a masked sum, in which its masks would stay"
            self._find("excluded update", expected, f"left out ({reason})", view.seats[address])
        sealed = SEALED[attempt.participants[0].key.kem]
        size = header_leaves(attempt.degree, sealed) * LEAF_SIZE + 4 * attempt.values
        for address, update in sorted(view.accepted.items()):
            if update.size != size:
                self._find("size of a masked update", str(size), str(update.size), view.seats[address])
        self._check_base()
        self._check_signers()

    def _check_base(self) -> None:
        """Under one base a hospital masks in one round: two sums over two sets would show single updates."""
        for event in self.evidence.ledger.followed("RoundOpened"):
            said = event["args"]
            if said["round"] < self.view.number and bytes(said["baseDigest"]) == self.view.base:
                found = f"that of round {said['round']}: its update may be in another sum as well"
                self._find("base model", "one that no earlier round had", found)
                return

    def _check_signers(self) -> None:
        """Each update is signed by its hospital's account at the opening, or by a signed successor of it."""
        ledger = self.evidence.ledger
        events = ledger.round_events(self.view.number)
        signatures = {
            str(values["hospital"]): bytes(values["signature"])
            for values in events.attempts[-1].of("UpdateAccepted")
        }
        for address in sorted(self.view.accepted):
            seat = self.view.seats[address]
            signer = address  # of a list it was recovered when that was read
            if address in signatures:
                message = events.submission(ledger.federation, address)
                try:
                    signer = recover(message, signatures[address], ledger.domain)
                except LedgerError as error:
                    signer = f"nobody: {error}"
            if signer != address or not may_sign(ledger, self.attempt.of(seat), signer):
                expected = f"signed by {self.attempt.of(seat).account}, or by what it was rotated to"
                self._find("submission of a masked update", expected, f"signed by {signer}", seat)

    def _take_headers(self, headers: Mapping[str, bytes]) -> None:
        for address, data in sorted(headers.items()):
            seat = self.view.seats[address]
            try:
                header = MaskedHeader.from_bytes(data)
                check_header(self.attempt, seat, header.facts)
            except EnvelopeError as error:
                self._find("header of a masked update", "the one that the attempt asks for", str(error), seat)
            else:
                self._headers[seat] = header

    def _check_headers(self) -> None:
        """What they say together: both ends of a pair have one seed, and no earlier attempt another sum."""
        known = [seat for seat in self.accepted if seat in self._headers]
        for i, j in pairs_that_differ(self.attempt, known, self._headers):
            found = f"two, of seats {i} and {j}: one of them lies, and the sum cannot be right"
            self._find("commitments of a pair", "one seed between both", found)
        if len(known) < len(self.accepted):
            return
        histories = {seat: self._headers[seat].facts.history for seat in known}
        try:
            check_same_sum(self.attempt, self.accepted, histories, self._earlier)
        except FedcxrError as error:
            expected = "none that was, or could be, unmasked for another set"
            self._find("earlier attempts of the round", expected, str(error))

    def _earlier(self, attempt: int) -> MaskedAttempt:
        ledger, number, values = self.evidence.ledger, self.view.number, self.attempt.values
        return masked_attempt(ledger, number, self.parts, values, attempt=attempt)

    def _named(self, line: str | None) -> str | None:
        """The root of the seeds as the court's event has it; of a court that has none, as a line has it."""
        if not self.evidence.ledger.court_has("publishSeeds"):
            return line
        events = EventViews.of(self.evidence.ledger)
        published = events.seeds_published(self.view.number, self.view.attempt)
        root = published[-1].hex() if published else ""
        if line and line != root:
            self._find("metrics.jsonl seeds", root or "none, as on the ledger", line)
        return root

    def _published(self, root: str | None) -> tuple[SeedsFile | None, str]:
        """The file of seeds, held to the ledger's attempt and set; or why there is none."""
        if root is None:
            return None, NOT_NAMED
        missing = f"the seeds of round {self.view.number} are not published"
        expected = "the seeds of the round's masks"
        if not root:
            self._find("seeds file", expected, f"{missing}: nothing names any")
            return None, missing
        name = bytes.fromhex(root)
        self.evidence.named.add(name)
        try:
            data = self.evidence.store.get(name, LONGEST).tobytes()
            published = SeedsFile.from_bytes(data, self.attempt, self.accepted)
        except (StoreError, *CONTRADICTIONS) as error:
            self._find("seeds file", f"{expected}, under {root}", f"{missing}: {contradiction(error)}")
            return None, missing
        self.evidence.keep_seeds(self.view.number, name, data)
        return published, ""

    def _check_answers(self, published: SeedsFile) -> None:
        domain = self.evidence.ledger.domain
        faults = answer_faults(self.attempt, self.accepted, self._headers, published.answers, domain)
        for seat, expected, found in faults:
            self._find("answer in the seeds file", expected, found, seat)

    def _seeds_hold(self, seeds: Seeds) -> bool:
        """Whether seeds are their commitments', as far as headers are at hand."""
        known = Seeds(
            {seat: seed for seat, seed in seeds.own.items() if seat in self._headers},
            {(i, j): seed for (i, j), seed in seeds.pairs.items() if i in self._headers},
        )
        faults = seed_faults(self.attempt, self._headers, known)
        for seat, what in faults:
            found = f"in the file, which is the coordinator's, {what}"
            self._find("seed of a mask", "the one that its hospital committed to", found, seat)
        return not faults

    def _find(self, where: str, expected: str, found: str, seat: int | None = None) -> None:
        """Add a finding, of a hospital if it is in its seat; unless another one was asked for."""
        by_seat = {self.view.seats[address]: address for address in self.view.participants}
        hospital = "" if seat is None else by_seat.get(seat, self.attempt.of(seat).account)
        if self.evidence.scope.hospital in ("", hospital):
            self.evidence.report.find(where, expected, found, self.view.number, hospital)
