"""A challenge of a round: where its aggregate is not the sum, and what the contract has to be shown.

Of a masked round it is in :mod:`fedcxr.audit.disputes.masked_challenge`, and here of an open one. Everything
that it takes is public: the updates and the aggregate are in the store in the clear, and the contract holds
their roots.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fedcxr.audit.disputes.masked_challenge import MaskedChallenge, find_masked_challenge
from fedcxr.audit.disputes.public_round import PublicRound, configuration_of, leaf_of
from fedcxr.errors import LedgerError
from fedcxr.ledger.court import DisputeCourt, Result
from fedcxr.ledger.openings import SubmissionOpening
from fedcxr.ledger.views import FederationViews
from fedcxr.privacy.kinds import protection_recorded
from fedcxr.privacy.open import plain_vector
from fedcxr.privacy.protection import UpdateContext, UpdateReader
from fedcxr.store.blobs import BlobStore
from fedcxr.update import merkle
from fedcxr.update.fixed_point import Ring

Arguments = tuple[Result, int, list[SubmissionOpening], bytes, list[bytes]]


@dataclass(frozen=True)
class OpenChallenge:
    """What the court has to be shown of one chunk of a round.

    Attributes:
        leaf: of which chunk.
        arguments: of :meth:`~fedcxr.ledger.court.DisputeCourt.challenge`.
    """

    leaf: int
    arguments: Arguments

    def bring(self, court: DisputeCourt) -> str:
        """Show it to the court; what that has added, in words.

        Raises:
            ContractRejectedError: ``AggregateCorrect`` where the sum is right.
        """
        court.challenge(*self.arguments)
        return f"chunk {self.leaf}"


def find_challenge(
    ledger: FederationViews, store: BlobStore, number: int, leaf: int | None = None
) -> OpenChallenge | MaskedChallenge | None:
    """The challenge of a round's aggregate where it is not the sum of the updates, as open as they are.

    Args:
        ledger: the contract.
        store: with the updates and the aggregate.
        number: of the round.
        leaf: challenge this 4,096-byte chunk, whether it is wrong or not.

    Returns:
        None where the sum is right, and no chunk was asked for.

    Raises:
        LedgerError, StoreError, EnvelopeError: as :func:`wrong_leaf`, or as
            :func:`~fedcxr.audit.disputes.masked_challenge.find_masked_challenge`.
        FederationError: as the latter.
        IndexError: there is no such chunk.
    """
    config = configuration_of(ledger, store)
    envelope = None if config is None else config.privacy.envelope
    if protection_recorded(ledger.open_updates, envelope=envelope).unmasks:
        return find_masked_challenge(ledger, store, number, leaf)
    found = wrong_leaf(ledger, store, number) if leaf is None else leaf
    if found is None:
        return None
    return OpenChallenge(found, prepare_challenge(ledger, store, number, found))


def wrong_leaf(ledger: FederationViews, store: BlobStore, number: int) -> int | None:
    """The first 4,096-byte chunk in which a round's aggregate is not the sum; None when it is.

    Raises:
        LedgerError: the round's updates are sealed or masked, or it is not finalized.
        StoreError: an update or the aggregate is missing or damaged.
        EnvelopeError: an included update is no vector.
    """
    round_ = _OpenRound.of(ledger, store, number)
    claimed, total = plain_vector(round_.public.aggregate), round_.sum()
    if claimed.size != total.size:
        return 0
    differing = np.flatnonzero(claimed != total)
    return int(4 * differing[0] // merkle.LEAF_SIZE) if differing.size else None


def prepare_challenge(ledger: FederationViews, store: BlobStore, number: int, leaf: int) -> Arguments:
    """The arguments of :meth:`~fedcxr.ledger.court.DisputeCourt.challenge` for one chunk of a round.

    Raises:
        LedgerError, StoreError, EnvelopeError: as :func:`wrong_leaf`.
        IndexError: there is no such chunk.
    """
    round_ = _OpenRound.of(ledger, store, number).public
    openings = []
    for hospital, committed in round_.committed():
        blob = round_.blob(hospital, round_.vector_size)
        shown = leaf_of(blob, leaf), merkle.proof(blob, leaf)
        openings.append(SubmissionOpening(committed.submission, *shown, committed.signature, committed.place))
    aggregate = round_.aggregate
    return round_.result, leaf, openings, leaf_of(aggregate, leaf), merkle.proof(aggregate, leaf)


@dataclass(frozen=True)
class _OpenRound:
    """A finalized round whose updates everybody can read.

    Attributes:
        public: the round.
        reader: of the updates.
        context: what an update of a hospital was protected for, but for the hospital and its weight.
    """

    public: PublicRound
    reader: UpdateReader
    context: UpdateContext

    @classmethod
    def of(cls, ledger: FederationViews, store: BlobStore, number: int) -> _OpenRound:
        config = configuration_of(ledger, store)
        envelope = None if config is None else config.privacy.envelope
        protection = protection_recorded(ledger.open_updates, envelope=envelope)
        if not protection.challengeable:
            raise LedgerError(
                f"this federation's updates are {protection.name}: only its audit can add them, with a key."
            )
        round_ = PublicRound.of(ledger, store, number)
        (reader,) = protection.readers([])
        context = UpdateContext(
            ledger.federation.hex(),
            number,
            "",
            ledger.layout_digest.hex(),
            values=round_.vector_size // 4,
            weight=0,
        )
        return cls(round_, reader, context)

    def sum(self) -> Ring:
        """The sum as the contract's court takes it: of any integers, whatever an aggregation would screen."""
        total: Ring | None = None
        view = self.public.view
        for address in view.included:
            context = replace(self.context, hospital=address, weight=view.weights[address])
            update = self.reader.read(self.public.blob(address, self.public.vector_size), context)
            if total is None:
                total = update.copy()
            elif update.size == total.size:
                np.add(total, update, out=total)
            else:
                raise LedgerError(f"round {view.number}: the updates have different sizes.")
        assert total is not None  # the contract finalizes no round without an update
        return total
