"""A masked round at the coordinator: headers as they come in, and the second trip once the set is fixed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flwr.serverapp import Grid

from fedcxr.aggregation.aggregator import Aggregator
from fedcxr.errors import LayoutError
from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.submissions import listing as submission_list
from fedcxr.ledger.views import FederationViews
from fedcxr.masked_rounds.attempts import masked_attempt
from fedcxr.privacy.secagg.attempt import MaskedAttempt
from fedcxr.store.blobs import BlobStore
from fedcxr.update.hashed import Hashed
from server.events import Observer
from server.heads import HeadExchange
from server.masked_headers import MaskedHeaders
from server.registration import HospitalNode
from server.unmasking import NotUnmaskedError, SecondTrip, read_kept


@dataclass
class MaskedRound:
    """One attempt at a masked round.

    Attributes:
        views: the contract.
        attempt: as the contract has it.
        parts: ``privacy.colluders`` in 1/10,000.
        window: seconds for the second trip.
        store: the blobs.
        longest: bytes that an update's blob may have.
        kept: the file of what hospitals released.
        seeds_root: of the published seeds, once the masks are off.
    """

    views: FederationViews
    attempt: MaskedAttempt
    parts: int
    window: float
    store: BlobStore
    longest: int
    kept: Path
    seeds_root: bytes = b""
    _headers: MaskedHeaders = field(init=False)

    def __post_init__(self) -> None:
        self._headers = MaskedHeaders(self.attempt, self.store, self.longest)

    @property
    def smallest(self) -> int:
        """Members of the smallest set that is unmasked."""
        return self.attempt.numbers.smallest

    def take(self, update: Hashed, seat: int) -> None:
        """Take the header of an update that came in.

        Raises:
            EnvelopeError: it is none of the hospital in this seat.
        """
        self._headers.take(update, seat)

    def objection(self, view: RoundView) -> str:
        """Why the sum of a round's updates would not be unmasked; empty where nothing is known against it."""
        return self._headers.objection(view, self._earlier)

    def unmask(
        self,
        view: RoundView,
        total: Aggregator,
        grid: Grid,
        members: Mapping[str, HospitalNode],
        timeout: float,
        *,
        heads: HeadExchange,
        observer: Observer,
    ) -> int:
        """Take the masks off the sum, and put their seeds into the store.

        Args:
            view: of the validated round.
            total: the sum of its updates, which is changed.
            grid: that carries the messages.
            members: of the federation that came, by address.
            timeout: seconds for the answers to one message.
            heads: of the chain, as hospitals sign them.
            observer: told whose answers are waited for.

        Returns:
            Bytes that were sent to hospitals.

        Raises:
            NotUnmaskedError: it cannot be done; why.
            StoreError: the seeds cannot be written.
        """
        accepted = tuple(sorted(view.seats[hospital] for hospital in view.counted))
        seats = self.views.accounts()
        listing = b""
        if view.listed:
            listing = self.store.get(view.list_root, submission_list.LONGEST).tobytes()
        trip = SecondTrip(
            self.attempt,
            accepted,
            self._headers.of(view),
            self.views.domain,
            listing,
            self.kept,
            heads,
            observer,
        )
        nodes = {seats[address]: node for address, node in members.items() if seats[address] in accepted}
        published = trip.run(grid, nodes, timeout, self.window)
        try:
            total.unmask(published.seeds.added, published.seeds.taken_off)
        except LayoutError as error:
            raise NotUnmaskedError(str(error)) from None
        self.seeds_root = self.store.put(published.to_bytes())
        trip.keep(self.seeds_root)
        return trip.sent

    def _earlier(self, attempt: int) -> MaskedAttempt:
        number, values = self.attempt.round, self.attempt.values
        return masked_attempt(self.views, number, self.parts, values, attempt=attempt)


def kept_seeds_root(path: Path, number: int) -> str:
    """The root of a round's published seeds in hex, as it was kept; empty where it was not."""
    kept = read_kept(path)
    return str(kept.get("seeds", "")) if kept.get("round") == number else ""
