"""The headers of a masked round's updates at the coordinator, with the paths that prove their leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fedcxr.errors import EnvelopeError, FederationError, StoreError
from fedcxr.ledger.protocol import RoundView
from fedcxr.masked_rounds.answers import pairs_that_differ
from fedcxr.masked_rounds.header_leaves import ShownHeader
from fedcxr.masked_rounds.same_sum import check_same_sum
from fedcxr.privacy.masked import read_header
from fedcxr.privacy.secagg.attempt import MaskedAttempt
from fedcxr.privacy.secagg.header import MaskedHeader, check_header, split
from fedcxr.store.blobs import BlobStore
from fedcxr.update import merkle
from fedcxr.update.hashed import Hashed


@dataclass
class MaskedHeaders:
    """What the coordinator keeps of each update: kilobytes, while the vectors are added and dropped.

    Attributes:
        attempt: of the round.
        store: the blobs.
        longest: bytes that an update's blob may have.
    """

    attempt: MaskedAttempt
    store: BlobStore
    longest: int
    _known: dict[bytes, tuple[MaskedHeader, ShownHeader]] = field(default_factory=dict)  # by root

    def take(self, update: Hashed, seat: int) -> None:
        """Take the header of an update that came in.

        Raises:
            EnvelopeError: it is none of the hospital in this seat.
        """
        header = read_header(update.data)
        check_header(self.attempt, seat, header.facts)
        leaves = header.facts.leaves
        shown = split(update.data[: leaves * merkle.LEAF_SIZE])
        self._known[update.root] = header, ShownHeader(seat, header.facts, shown, update.paths)

    def of(self, view: RoundView) -> dict[int, tuple[MaskedHeader, ShownHeader]]:
        """The headers of a round's accepted updates, by seat; those that did not come in here are read.

        Raises:
            EnvelopeError, StoreError: one cannot be read; the message names its hospital.
        """
        found = {}
        for hospital, update in view.accepted.items():
            seat = view.seats[hospital]
            if update.root not in self._known:
                try:
                    self.take(Hashed.of(self.store.get(update.root, self.longest).tobytes()), seat)
                except EnvelopeError as error:
                    raise EnvelopeError(f"the update of {hospital}: {error}") from None
                except StoreError as error:
                    raise StoreError(f"the update of {hospital}: {error.help}") from None
            found[seat] = self._known[update.root]
        return found

    def objection(self, view: RoundView, earlier: Callable[[int], MaskedAttempt]) -> str:
        """Why no hospital would release anything for a round's updates; empty where nothing is known.

        Args:
            view: of the round.
            earlier: an earlier attempt of it, as the ledger has it.
        """
        try:
            headers: Mapping[int, MaskedHeader] = {seat: both[0] for seat, both in self.of(view).items()}
            self.attempt.check_set(sorted(headers))
            histories = {seat: header.facts.history for seat, header in headers.items()}
            check_same_sum(self.attempt, sorted(headers), histories, earlier)
        except (FederationError, EnvelopeError, StoreError) as error:
            return str(error)
        if differing := pairs_that_differ(self.attempt, sorted(headers), headers):
            return f"both ends of these pairs of seats committed to other seeds: {differing}"
        return ""
