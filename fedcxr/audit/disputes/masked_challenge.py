"""A challenge of a masked round: the word in which its aggregate is not the sum without the masks.

Everything that it takes is public: the masked updates, the seeds that take their masks off and the aggregate
are in the store, and the contract and its court hold their roots. No seed is believed: each is held to what
its hospital committed to, here and by the court.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedcxr.audit.disputes.public_round import Committed, PublicRound, configuration_of, leaf_of
from fedcxr.errors import EnvelopeError, LedgerError
from fedcxr.ledger.court import DisputeCourt, Result
from fedcxr.ledger.event_views import EventViews
from fedcxr.ledger.openings import MaskedOpening
from fedcxr.ledger.views import FederationViews
from fedcxr.masked_rounds.answers import Seeds, seed_faults
from fedcxr.masked_rounds.attempts import masked_attempt
from fedcxr.masked_rounds.seeds_file import LONGEST, SeedsFile
from fedcxr.privacy.masked import longest_header, read_header
from fedcxr.privacy.open import plain_vector
from fedcxr.privacy.protection import Blob
from fedcxr.privacy.secagg import mask
from fedcxr.privacy.secagg.attempt import MaskedAttempt
from fedcxr.privacy.secagg.header import MaskedHeader, check_header
from fedcxr.store.blobs import BlobStore
from fedcxr.update import merkle
from fedcxr.update.fixed_point import Ring

WORDS = merkle.LEAF_SIZE // 4
"""In a leaf."""


@dataclass(frozen=True)
class MaskedChallenge:
    """What the court has to be shown of one word of a round.

    Attributes:
        result: of the round.
        word: that is challenged.
        openings: of the included updates, in the order of seats.
        context: what the hospitals' context is the digest of.
        leaf, path: the aggregate's leaf with the word, and its audit path.
    """

    result: Result
    word: int
    openings: list[MaskedOpening]
    context: bytes
    leaf: bytes
    path: list[bytes]

    def bring(self, court: DisputeCourt) -> str:
        """Show it to the court; what that has added, in words.

        Raises:
            ContractRejectedError: ``AggregateCorrect`` where the sum is right.
        """
        court.challenge_masked(
            self.result,
            self.word,
            self.openings,
            context=self.context,
            aggregate_leaf=self.leaf,
            aggregate_path=self.path,
        )
        return f"word {self.word}"


def find_masked_challenge(
    ledger: FederationViews, store: BlobStore, number: int, leaf: int | None = None
) -> MaskedChallenge | None:
    """The challenge of the first word in which a masked round's aggregate is not the sum without its masks.

    Args:
        ledger: the contract.
        store: with the updates, the seeds and the aggregate.
        number: of the round.
        leaf: challenge a word of this 4,096-byte chunk, whether one of it is wrong or not.

    Returns:
        None where the sum is right, and no chunk was asked for.

    Raises:
        LedgerError: the court hears no challenge of masked rounds; the round is not finalized, or its seeds
            were not published.
        StoreError: an update, the seeds or the aggregate are missing or damaged.
        FederationError: seeds or headers are not those of the ledger's attempt.
        IndexError: there is no such chunk.
    """
    round_ = _MaskedRound.of(ledger, store, number)
    aggregate = round_.public.aggregate
    claimed, total = plain_vector(aggregate), round_.sum()
    wrong = [0] if claimed.size != total.size else np.flatnonzero(claimed != total)
    if leaf is None:
        if not len(wrong):
            return None
        word = int(wrong[0])
    else:
        word = next((int(one) for one in wrong if one // WORDS == leaf), leaf * WORDS)
    place = word // WORDS
    shown = leaf_of(aggregate, place), merkle.proof(aggregate, place)
    return MaskedChallenge(
        round_.public.result, word, round_.openings(place), round_.attempt.preimage, *shown
    )


def opened(
    attempt: MaskedAttempt, seat: int, blob: Blob, seeds: Seeds, leaf: int, *, committed: Committed
) -> MaskedOpening:
    """A masked update, opened at a leaf of its vector.

    Args:
        attempt: of the update.
        seat: of its hospital.
        blob: the update.
        seeds: of the sum.
        leaf: of the vector.
        committed: what proves that the update is the ledger's.
    """
    facts = read_header(blob).facts
    neighbours = [each.seat for each in attempt.neighbours(seat)]
    missing = [other for i, other in sorted(seeds.pairs) if i == seat]
    # The header's first leaf always; its second where a commitment to a missing one's seed is in it.
    second = any(facts.pair_leaf(neighbours.index(other)) for other in missing)
    places = [*([0, 1] if second else [0]), facts.leaves + leaf]
    return MaskedOpening(
        committed.submission,
        [leaf_of(blob, place) for place in places],
        [merkle.proof(blob, place) for place in places],
        [seeds.own[seat], *(seeds.pairs[seat, other] for other in missing)],
        committed.signature,
        committed.place,
    )


@dataclass(frozen=True)
class _MaskedRound:
    """A finalized masked round, with the headers of its updates and the seeds of their masks.

    Attributes:
        public: the round.
        attempt: as the ledger has it.
        headers: of the included updates, by seat.
        seeds: that were published; each is the one that its hospital committed to.
    """

    public: PublicRound
    attempt: MaskedAttempt
    headers: Mapping[int, MaskedHeader]
    seeds: Seeds

    @classmethod
    def of(cls, ledger: FederationViews, store: BlobStore, number: int) -> _MaskedRound:
        if not ledger.court_has("challengeMasked"):
            raise LedgerError(
                "this federation's updates are masked, and its court, of an earlier fedcxr, hears no "
                "challenge of that: fedcxr audit takes the masks off their sum, and wants no key."
            )
        config = configuration_of(ledger, store)
        if config is None:
            raise LedgerError("the store does not have the configuration, which says how many may collude.")
        round_ = PublicRound.of(ledger, store, number)
        parts, values = config.privacy.colluder_parts, round_.vector_size // 4
        attempt = masked_attempt(ledger, number, parts, values)
        seats = round_.view.seats
        included = [seats[hospital] for hospital in round_.included]
        published = EventViews.of(ledger).seeds_published(number, round_.view.attempt)
        if not published:
            raise LedgerError(
                f"round {number}: its seeds were never published, and without them no sum can be shown to be "
                "wrong; that they lack is a finding of fedcxr audit."
            )
        data = store.get(published[-1], LONGEST).tobytes()
        seeds = SeedsFile.from_bytes(data, attempt, included).seeds
        headers = {}
        for hospital in round_.included:
            blob = round_.blob(hospital, longest_header() + 4 * values)
            headers[seats[hospital]] = read_header(blob)
            check_header(attempt, seats[hospital], headers[seats[hospital]].facts)
        for fault in seed_faults(attempt, headers, seeds):
            raise EnvelopeError(f"round {number}, seat {fault.seat}: of the published seeds, {fault.what}.")
        return cls(round_, attempt, headers, seeds)

    def sum(self) -> Ring:
        """The sum without its masks."""
        total = np.zeros(self.attempt.values, "<u4")
        for hospital in self.public.included:
            np.add(total, plain_vector(self._blob(hospital)[self._header_size(hospital) :]), out=total)
        mask.apply(total, self.seeds.taken_off, self.seeds.added)
        return total

    def openings(self, leaf: int) -> list[MaskedOpening]:
        """The included updates, opened at a leaf of the vector."""
        seats = self.public.view.seats
        return [
            opened(self.attempt, seats[hospital], self._blob(hospital), self.seeds, leaf, committed=committed)
            for hospital, committed in self.public.committed()
        ]

    def _header_size(self, hospital: str) -> int:
        return self.headers[self.public.view.seats[hospital]].facts.leaves * merkle.LEAF_SIZE

    def _blob(self, hospital: str) -> Blob:
        return self.public.blob(hospital, longest_header() + 4 * self.attempt.values)
