"""A finalized round as everybody can read it: which update is whose, and what the ledger committed to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from fedcxr.config import Config
from fedcxr.errors import LedgerError, StoreError
from fedcxr.ledger.court import Result, result_of
from fedcxr.ledger.phase import RoundPhase
from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.signing import SignedSubmission, Submission
from fedcxr.ledger.submissions import listing as submission_list
from fedcxr.ledger.submissions import tree as submission_tree
from fedcxr.ledger.views import FederationViews
from fedcxr.privacy.protection import Blob
from fedcxr.store.blobs import BlobStore
from fedcxr.store.configuration import get_configuration
from fedcxr.store.submissions import listed_submissions, with_submissions
from fedcxr.update import merkle
from fedcxr.update.layout import MOST_VALUES


class Committed(NamedTuple):
    """What proves that an included update is the ledger's.

    Attributes:
        submission: what its hospital signed.
        signature, place: only where one root records all.
    """

    submission: Submission
    signature: bytes = b""
    place: Sequence[bytes] = ()


@dataclass(frozen=True)
class PublicRound:
    """A finalized round.

    Attributes:
        ledger: the contract.
        store: the blobs.
        view: of the round, with its submissions.
    """

    ledger: FederationViews
    store: BlobStore
    view: RoundView

    @classmethod
    def of(cls, ledger: FederationViews, store: BlobStore, number: int) -> PublicRound:
        """Read it.

        Raises:
            LedgerError: it is not finalized.
            StoreError: the list of its submissions is missing or damaged.
        """
        view = ledger.round(number)
        if view.status != RoundPhase.FINALIZED:
            raise LedgerError(f"round {number} is {view.status}, not finalized.")
        return cls(ledger, store, with_submissions(view, store, ledger.domain))

    @property
    def number(self) -> int:
        return self.view.number

    @property
    def result(self) -> Result:
        """As the contract keeps it."""
        return result_of(self.ledger, self.number)

    @property
    def vector_size(self) -> int:
        """Bytes of a vector; the ledger's word on it may be absurd."""
        return min(self.ledger.update_size, 4 * MOST_VALUES)

    @property
    def aggregate(self) -> Blob:
        return self.store.get(self.view.aggregate_root, self.vector_size)

    @property
    def included(self) -> list[str]:
        """Hospitals whose updates are in the sum, in the order of their seats."""
        return sorted(self.view.included, key=lambda address: self.view.seats[address])

    def blob(self, hospital: str, longest: int) -> Blob:
        """The update of a hospital."""
        return self.store.get(self.view.accepted[hospital].root, longest)

    def committed(self) -> Iterator[tuple[str, Committed]]:
        """What proves each included update, in the order of seats."""
        events = self.ledger.round_events(self.number)
        seats = self.view.seats
        leaves = submission_list.leaves(list(self._listed.values()), seats)
        for hospital in self.included:
            signed = self._listed.get(hospital)
            if signed is None:
                yield hospital, Committed(events.submission(self.ledger.federation, hospital))
            else:
                place = submission_tree.path(
                    leaves, seats[hospital], submission_tree.depth_of(seats.values())
                )
                yield hospital, Committed(signed.message, signed.signature, place)

    @cached_property
    def _listed(self) -> Mapping[str, SignedSubmission]:
        if not self.view.listed:
            return {}
        listed = listed_submissions(self.store, self.view.list_root)
        return {signed.message.hospital: signed for signed in listed}


def configuration_of(ledger: FederationViews, store: BlobStore) -> Config | None:
    """The federation's configuration; None where the store does not have it."""
    try:
        return get_configuration(store, ledger.config_digest)
    except StoreError:
        return None


def leaf_of(blob: Blob, index: int) -> bytes:
    """One of the 4,096-byte leaves of a blob; the last may be short."""
    return blob[merkle.LEAF_SIZE * index : merkle.LEAF_SIZE * (index + 1)].tobytes()
