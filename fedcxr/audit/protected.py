"""How a federation's updates are protected, by what the ledger and the configuration under its digest say."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

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


class RecordedProtection(NamedTuple):
    """How updates are protected, as far as that is known.

    Attributes:
        kind: of protection.
        colluder_parts: which share of the hospitals may collude, in 1/10,000; None where no configuration is
            at hand.
        withholds: whether rare labels are withheld; likewise.
    """

    kind: Protection
    colluder_parts: int | None = None
    withholds: bool | None = None


def recorded(ledger: FederationViews, config: Config | None, url: str) -> RecordedProtection:
    """What protects a federation's updates.

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
            return RecordedProtection(protection_recorded(ledger.open_updates, None, known))
    form, envelope = config.federation.update_form, config.privacy.envelope
    kind = protection_recorded(ledger.open_updates, form, envelope)
    return RecordedProtection(kind, config.privacy.colluder_parts, config.federation.withholds)


def _all_mask(ledger: FederationViews) -> bool:
    """Whether every hospital registered with a mask key."""
    joined = [event["args"] for event in ledger.followed("MemberJoined")]
    keys = [bytes(values["envelopeKey"]) for values in joined if int(values["roles"]) & HOSPITAL]
    try:
        return bool(keys) and all(EnvelopePublicKey(key).mask_key for key in keys)
    except EnvelopeError:
        return False
