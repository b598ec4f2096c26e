"""The submissions of a round that the contract records under one root, from their list in the store."""

from __future__ import annotations

from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.signing import Domain
from fedcxr.ledger.submissions import listing as submission_list
from fedcxr.store.blobs import BlobStore


def with_submissions(view: RoundView, store: BlobStore, domain: Domain) -> RoundView:
    """Complete a round's view: where one root records all submissions, add those of its list in the store.

    Raises:
        StoreError: the store does not have the list.
        FederationError, LedgerError: what it has is not the list under the root.
    """
    if not view.listed:
        return view
    return submission_list.fill(view, store.get(view.list_root).tobytes(), domain)
