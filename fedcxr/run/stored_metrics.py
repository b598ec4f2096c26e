"""The metrics that hospitals signed of their training, read from a run's store."""

from __future__ import annotations

from collections.abc import Mapping

from fedcxr.errors import FederationError, StoreError
from fedcxr.ledger.protocol import AcceptedUpdate
from fedcxr.store.blobs import BlobStore
from fedcxr.update.metrics import LONGEST, HospitalMetrics


def stored_metrics(store: BlobStore, update: AcceptedUpdate) -> HospitalMetrics:
    """Read the metrics whose digest an accepted update carries.

    Raises:
        StoreError: the store does not have them.
        FederationError: they are none.
    """
    return HospitalMetrics.from_bytes(store.get(update.metrics, LONGEST).tobytes())


def all_stored_metrics(
    store: BlobStore, accepted: Mapping[str, AcceptedUpdate]
) -> dict[str, HospitalMetrics]:
    """Read the metrics of a round's accepted updates, by address; those that cannot be read are left out."""
    found = {}
    for address, update in accepted.items():
        try:
            found[address] = stored_metrics(store, update)
        except (StoreError, FederationError):
            continue  # the audit names it
    return found
