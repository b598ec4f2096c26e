"""A challenge of an open round: where its aggregate is not the sum, and what the contract has to be shown.

Everything that it takes is public: the updates and the aggregate are in the store in the clear, and the
contract holds their roots.
"""

from __future__ import annotations

import numpy as np

from fedcxr.errors import LedgerError
from fedcxr.ledger.court import Opening, Result, result_of
from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.signing import SignedSubmission
from fedcxr.ledger.submissions import listing as submission_list
from fedcxr.ledger.submissions import tree as submission_tree
from fedcxr.ledger.views import FederationViews
from fedcxr.privacy.envelope import plain_update
from fedcxr.store.blobs import BlobStore
from fedcxr.store.submissions import with_submissions
from fedcxr.update import merkle
from fedcxr.update.fixed_point import Ring

Challenge = tuple[Result, int, list[Opening], bytes, list[bytes]]


def wrong_leaf(ledger: FederationViews, store: BlobStore, number: int) -> int | None:
    """The first 4,096-byte chunk in which a round's aggregate is not the sum; None when it is.

    Raises:
        LedgerError: the round's updates are sealed, or it is not finalized.
        StoreError: an update or the aggregate is missing or damaged.
        EnvelopeError: an included update is no vector.
    """
    view = _view(ledger, store, number)
    claimed, total = _aggregate(store, view), _sum(store, view)
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
    view = _view(ledger, store, number)
    listed = _listed(store, view)
    leaves = submission_list.leaves(list(listed.values()), view.seats)
    events = ledger.round_events(number)
    openings = []
    for address in sorted(view.included, key=lambda a: view.seats[a]):
        vector = store.get(view.accepted[address].root)
        if address in listed:
            signed = listed[address]
            message, signature = signed.message, signed.signature
            place = submission_tree.path(leaves, view.seats[address])
        else:
            message, signature, place = events.submission(ledger.federation, address), b"", []
        chunk = vector.tobytes()[merkle.LEAF_SIZE * leaf : merkle.LEAF_SIZE * (leaf + 1)]
        openings.append(Opening(message, chunk, merkle.proof(vector, leaf), signature, place))
    aggregate = _aggregate(store, view)
    chunk = aggregate.tobytes()[merkle.LEAF_SIZE * leaf : merkle.LEAF_SIZE * (leaf + 1)]
    return result_of(ledger, number), leaf, openings, chunk, merkle.proof(aggregate, leaf)


def _view(ledger: FederationViews, store: BlobStore, number: int) -> RoundView:
    if not ledger.open_updates:
        raise LedgerError("this federation's updates are sealed: only its audit can add them, with a key.")
    view = ledger.round(number)
    if view.status != "finalized":
        raise LedgerError(f"round {number} is {view.status}, not finalized.")
    return with_submissions(view, store, ledger.domain)


def _listed(store: BlobStore, view: RoundView) -> dict[str, SignedSubmission]:
    if view.list_root == bytes(32):
        return {}
    listed = submission_list.from_bytes(store.get(view.list_root).tobytes())
    return {signed.message.hospital: signed for signed in listed}


def _aggregate(store: BlobStore, view: RoundView) -> Ring:
    return plain_update(store.get(view.aggregate_root))


def _sum(store: BlobStore, view: RoundView) -> Ring:
    total: Ring | None = None
    for address in view.included:
        update = plain_update(store.get(view.accepted[address].root))
        if total is None:
            total = update.copy()
        elif update.size == total.size:
            np.add(total, update, out=total)
        else:
            raise LedgerError(f"round {view.number}: the updates have different sizes.")
    assert total is not None  # the contract finalizes no round without an update
    return total
