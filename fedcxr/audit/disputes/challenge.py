"""A challenge of an open round: where its aggregate is not the sum, and what the contract has to be shown.

Everything that it takes is public: the updates and the aggregate are in the store in the clear, and the
contract holds their roots.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fedcxr.errors import LedgerError, StoreError
from fedcxr.ledger.court import Result, SubmissionOpening, result_of
from fedcxr.ledger.phase import RoundPhase
from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.signing import SignedSubmission
from fedcxr.ledger.submissions import listing as submission_list
from fedcxr.ledger.submissions import tree as submission_tree
from fedcxr.ledger.views import FederationViews
from fedcxr.privacy.kinds import protection_recorded
from fedcxr.privacy.open import plain_vector
from fedcxr.privacy.protection import Blob, UpdateContext, UpdateReader
from fedcxr.store.blobs import BlobStore
from fedcxr.store.configuration import get_configuration
from fedcxr.store.submissions import listed_submissions, with_submissions
from fedcxr.update import merkle
from fedcxr.update.fixed_point import Ring
from fedcxr.update.layout import MOST_VALUES

Challenge = tuple[Result, int, list[SubmissionOpening], bytes, list[bytes]]


def wrong_leaf(ledger: FederationViews, store: BlobStore, number: int) -> int | None:
    """The first 4,096-byte chunk in which a round's aggregate is not the sum; None when it is.

    Raises:
        LedgerError: the round's updates are sealed or masked, or it is not finalized.
        StoreError: an update or the aggregate is missing or damaged.
        EnvelopeError: an included update is no vector.
    """
    round_ = _PublicRound.of(ledger, store, number)
    claimed, total = plain_vector(round_.aggregate), round_.sum()
    if claimed.size != total.size:
        return 0
    differing = np.flatnonzero(claimed != total)
    return int(4 * differing[0] // merkle.LEAF_SIZE) if differing.size else None


def prepare_challenge(ledger: FederationViews, store: BlobStore, number: int, leaf: int) -> Challenge:
    """The arguments of :meth:`~fedcxr.ledger.court.DisputeCourt.challenge` for one chunk of a round.

    Raises:
        LedgerError, StoreError, EnvelopeError: as :func:`wrong_leaf`.
        IndexError: there is no such chunk.
    """
    round_ = _PublicRound.of(ledger, store, number)
    view = round_.view
    listed = _listed(store, view)
    leaves = submission_list.leaves(list(listed.values()), view.seats)
    events = ledger.round_events(number)
    openings = []
    for address in sorted(view.included, key=lambda a: view.seats[a]):
        blob = round_.blob(address)
        if address in listed:
            signed = listed[address]
            message, signature = signed.message, signed.signature
            depth = submission_tree.depth_of(view.seats.values())
            place = submission_tree.path(leaves, view.seats[address], depth)
        else:
            message, signature, place = events.submission(ledger.federation, address), b"", []
        openings.append(
            SubmissionOpening(message, _chunk(blob, leaf), merkle.proof(blob, leaf), signature, place)
        )
    aggregate = round_.aggregate
    proof = merkle.proof(aggregate, leaf)
    return result_of(ledger, number), leaf, openings, _chunk(aggregate, leaf), proof


@dataclass(frozen=True)
class _PublicRound:
    """A finalized round whose updates everybody can read.

    Attributes:
        view: of the round, with its submissions.
        store: the blobs.
        reader: of the updates.
        context: what an update of a hospital was protected for, but for the hospital and its weight.
        longest: bytes that an update may have.
    """

    view: RoundView
    store: BlobStore
    reader: UpdateReader
    context: UpdateContext
    longest: int

    @classmethod
    def of(cls, ledger: FederationViews, store: BlobStore, number: int) -> _PublicRound:
        protection = protection_recorded(ledger.open_updates, envelope=_envelope(ledger, store))
        if protection.unmasks:
            raise LedgerError(
                f"this federation's updates are {protection.name}, and this is a challenge of open ones: "
                "fedcxr audit takes the masks off their sum, and wants no key."
            )
        if not protection.challengeable:
            raise LedgerError(
                f"this federation's updates are {protection.name}: only its audit can add them, with a key."
            )
        view = ledger.round(number)
        if view.status != RoundPhase.FINALIZED:
            raise LedgerError(f"round {number} is {view.status}, not finalized.")
        (reader,) = protection.readers([])
        longest = min(ledger.update_size, 4 * MOST_VALUES)  # open updates have the one size, or are rejected
        context = UpdateContext(
            ledger.federation.hex(), number, "", ledger.layout_digest.hex(), values=longest // 4, weight=0
        )
        return cls(with_submissions(view, store, ledger.domain), store, reader, context, longest)

    def blob(self, address: str) -> Blob:
        return self.store.get(self.view.accepted[address].root, self.longest)

    @property
    def aggregate(self) -> Blob:
        return self.store.get(self.view.aggregate_root, self.longest)

    def sum(self) -> Ring:
        """The sum as the contract's court takes it: of any integers, whatever an aggregation would screen."""
        total: Ring | None = None
        for address in self.view.included:
            context = replace(self.context, hospital=address, weight=self.view.weights[address])
            update = self.reader.read(self.blob(address), context)
            if total is None:
                total = update.copy()
            elif update.size == total.size:
                np.add(total, update, out=total)
            else:
                raise LedgerError(f"round {self.view.number}: the updates have different sizes.")
        assert total is not None  # the contract finalizes no round without an update
        return total


def _envelope(ledger: FederationViews, store: BlobStore) -> str | None:
    """What the federation's configuration says of its updates; None where the store does not have it."""
    try:
        return get_configuration(store, ledger.config_digest).privacy.envelope
    except StoreError:
        return None


def _listed(store: BlobStore, view: RoundView) -> dict[str, SignedSubmission]:
    if not view.listed:
        return {}
    listed = listed_submissions(store, view.list_root)
    return {signed.message.hospital: signed for signed in listed}


def _chunk(blob: Blob, leaf: int) -> bytes:
    return blob[merkle.LEAF_SIZE * leaf : merkle.LEAF_SIZE * (leaf + 1)].tobytes()
