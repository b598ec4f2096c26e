"""How a federation's updates are protected, by what the ledger and the configuration under its digest say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedcxr.errors import EnvelopeError, FedcxrError
from fedcxr.ledger.signing import HOSPITAL
from fedcxr.ledger.views import FederationViews
from fedcxr.privacy.keys import EnvelopePublicKey
from fedcxr.privacy.kinds import PROTECTIONS, protection_recorded
from fedcxr.privacy.protection import Protection
from fedcxr.store.blobs import BlobStore
from fedcxr.store.configuration import get_configuration

if TYPE_CHECKING:
    from fedcxr.config import Config


def recorded(ledger: FederationViews, config: Config | None, url: str) -> tuple[Protection, int | None]:
    """The kind of protection, and the share of hospitals that may collude in 1/10,000, if it is known.

    Without any configuration the hospitals' keys tell masked updates from sealed ones, or an audit with a key
    would find every hospital to have sealed its update badly.

    Args:
        ledger: the contract.
        config: whose digest the ledger has; None where the auditor has none.
        url: of the store, which may have it.
    """
    if config is None:
        try:
            config = get_configuration(BlobStore(url, make=False), ledger.config_digest)
        except FedcxrError:
            envelope = next(name for name, kind in PROTECTIONS.items() if kind.unmasks)
            known = envelope if _all_mask(ledger) else None
            return protection_recorded(ledger.open_updates, None, known), None
    form, envelope = config.federation.update_form, config.privacy.envelope
    return protection_recorded(ledger.open_updates, form, envelope), config.privacy.colluder_parts


def _all_mask(ledger: FederationViews) -> bool:
    """Whether every hospital registered with a mask key."""
    joined = [event["args"] for event in ledger.followed("MemberJoined")]
    keys = [bytes(values["envelopeKey"]) for values in joined if int(values["roles"]) & HOSPITAL]
    try:
        return bool(keys) and all(EnvelopePublicKey(key).mask_key for key in keys)
    except EnvelopeError:
        return False
