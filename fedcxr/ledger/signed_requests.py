"""A member's signed request about a membership, as a file that whoever reaches the contract may relay.

A member needs neither ether nor a route to the chain: it writes the file, and the coordinator, or anyone
else, brings the file to the contract. Nobody can change a request on the way, and the contract takes each
once. The registration of a hospital that members have to vote on waits as such a file, too.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from fedcxr import files, json_text
from fedcxr.errors import FederationError, LedgerError, StoreError
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.signed_json import from_tree, object_of, octets, to_tree
from fedcxr.ledger.signing import (
    LONGEST_SIGNATURE,
    Approval,
    Departure,
    Domain,
    Registration,
    Rotation,
    Struct,
    check_length,
    recover,
)

_KINDS: dict[str, type[Struct]] = {k.kind(): k for k in (Registration, Rotation, Departure, Approval)}
_LONGEST_FILE = 1 << 16  # bytes; our longest, a registration with an ML-KEM key, has some 3,200
_LONGEST_KEY = 1 << 13  # bytes of an envelope key; ours have 32 or 1,216


@dataclass(frozen=True)
class SignedRequest:
    """A signed message about a membership.

    Attributes:
        message: what was signed.
        signatures: the member's; under a rotation, also its successor's.
        envelope_key: HPKE public key, where the message names one.
    """

    message: Struct
    signatures: tuple[bytes, ...]
    envelope_key: bytes = b""

    @property
    def kind(self) -> str:
        return self.message.kind()

    def write(self, path: Path) -> None:
        """Raises UnwritableError when the file cannot be written."""
        tree = {
            "kind": self.kind,
            "message": to_tree(self.message),
            "signatures": [signature.hex() for signature in self.signatures],
            "envelope_key": self.envelope_key.hex(),
        }
        files.write(path, json.dumps(tree, indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> SignedRequest:
        """Read :meth:`write` back.

        Raises:
            StoreError: there is no such file, or it holds no signed request; the error names the field.
        """
        try:
            with path.open("rb") as file:
                data = file.read(_LONGEST_FILE + 1)
            if len(data) > _LONGEST_FILE:
                raise FederationError(f"it is longer than {_LONGEST_FILE:,} bytes.")  # noqa: TRY301
            return cls._of(json_text.parse(data))
        except FileNotFoundError:
            raise StoreError(f"{path}: no such file.") from None
        except (OSError, ValueError, FederationError) as error:
            raise StoreError(f"{path}: not a signed order: {error}") from None

    @classmethod
    def _of(cls, tree: object) -> SignedRequest:
        found = object_of("request", tree, "kind", "message", "signatures", "envelope_key")
        kind = _KINDS.get(found["kind"]) if isinstance(found["kind"], str) else None
        if kind is None:
            raise FederationError(f"request.kind: {found['kind']!r:.80} is none of {', '.join(_KINDS)}.")
        signatures, expected = found["signatures"], 1 + (kind is Rotation)
        if not isinstance(signatures, list) or len(signatures) != expected:
            raise FederationError(f"request.signatures: {signatures!r:.80} is not a list of {expected}.")
        return cls(
            from_tree(kind, found["message"]),
            tuple(octets("request.signatures", text, longest=LONGEST_SIGNATURE) for text in signatures),
            octets("request.envelope_key", found["envelope_key"], longest=_LONGEST_KEY),
        )

    def registration(self, federation: bytes, domain: Domain) -> Registration:
        """The registration in it, once its member has signed it for this federation.

        Args:
            federation: that it must be for.
            domain: that it must be signed for.

        Raises:
            FederationError: it is another request, for another federation, or not as its member signed it.
        """
        message = self.message
        if not isinstance(message, Registration):
            raise FederationError(f"a signed {self.kind}, where a registration is expected.")
        if message.federation != federation:
            raise FederationError(f"a registration with another federation, {message.federation.hex()}.")
        check_length(self.signatures[0])
        try:
            signer = recover(message, self.signatures[0], domain)
        except LedgerError as error:
            signer = str(error)
        if signer != message.member:
            raise FederationError(f"a registration of {message.member}, but signed by: {signer}")
        if hashlib.sha256(self.envelope_key).digest() != message.envelope_key_digest:
            raise FederationError(
                f"a registration of {message.member} with another envelope key than signed."
            )
        return message

    def relay(self, ledger: FederationLedger) -> None:
        """Bring it to the contract.

        Raises:
            ContractRejectedError: why it is not taken.
        """
        match self.message:
            case Registration():
                ledger.register(self.message, self.envelope_key, *self.signatures)
            case Rotation():
                ledger.membership.rotate_key(self.message, self.envelope_key, *self.signatures)
            case Departure():
                ledger.membership.leave(self.message, *self.signatures)
            case Approval():
                ledger.membership.approve(self.message, *self.signatures)
