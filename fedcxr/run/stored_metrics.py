"""What hospitals signed of their training, from a run's store."""

from __future__ import annotations

from collections.abc import Mapping

from fedcxr.errors import FederationError, StoreError
from fedcxr.ledger.protocol import AcceptedUpdate
from fedcxr.store.blobs import BlobStore
from fedcxr.update.metrics import HospitalMetrics


def stored_metrics(store: BlobStore, update: AcceptedUpdate) -> HospitalMetrics:
    """The metrics behind an accepted update.

    Raises:
        StoreError: the store does not have them.
        FederationError: they are none.
    """
    return HospitalMetrics.from_bytes(store.get(update.metrics).tobytes())


def all_stored_metrics(
    store: BlobStore, accepted: Mapping[str, AcceptedUpdate]
) -> dict[str, HospitalMetrics]:
    """The metrics of a round's accepted updates, as far as they can be read."""
    found = {}
    for address, update in accepted.items():
        try:
            found[address] = stored_metrics(store, update)
        except (StoreError, FederationError):
            continue  # the audit names it
    return found
