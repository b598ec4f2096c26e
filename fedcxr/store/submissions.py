"""The submissions of a round that the contract records under one root, from their list in the store."""

from __future__ import annotations

from fedcxr.ledger.protocol import RoundView
from fedcxr.ledger.signing import Domain, SignedSubmission
from fedcxr.ledger.submissions import listing as submission_list
from fedcxr.store.blobs import BlobStore


def listed_submissions(store: BlobStore, list_root: bytes) -> list[SignedSubmission]:
    """The list of submissions under its root in the store.

    Raises:
        StoreError: the store does not have it.
        FederationError: what it has is no such list.
    """
    return submission_list.from_bytes(store.get(list_root, submission_list.LONGEST).tobytes())


def with_submissions(view: RoundView, store: BlobStore, domain: Domain) -> RoundView:
    """Complete a round's view: where one root records all submissions, add those of its list in the store.

    Raises:
        StoreError: the store does not have the list.
        FederationError, LedgerError: what it has is not the list under the root.
    """
    if not view.listed:
        return view
    return submission_list.fill(view, store.get(view.list_root, submission_list.LONGEST).tobytes(), domain)
