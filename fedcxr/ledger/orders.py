"""What a member signs about its membership, as a file that whoever reaches the contract may relay.

A member needs neither ether nor a route to the chain: it writes the file, and the coordinator, or anyone
else, brings it. Nobody can change it on the way, and the contract takes it once. A registration that members
have to vote on waits as such a file, too.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from fedcxr import files, json_text
from fedcxr.errors import FederationError, LedgerError, StoreError
from fedcxr.ledger.contract import FederationLedger
from fedcxr.ledger.signing import (
    Approval,
    Departure,
    Domain,
    Registration,
    Rotation,
    Struct,
    check_length,
    recover,
)

_KINDS: dict[str, type[Struct]] = {
    k.__name__.lower(): k for k in (Registration, Rotation, Departure, Approval)
}


@dataclass(frozen=True)
class Order:
    """A signed message about membership.

    Attributes:
        message: what was signed.
        signatures: by the member; of a rotation, also by its successor.
        envelope_key: HPKE public key, where the message names one.
    """

    message: Struct
    signatures: tuple[bytes, ...]
    envelope_key: bytes = b""

    @property
    def kind(self) -> str:
        return type(self.message).__name__.lower()

    def write(self, path: Path) -> None:
        """Raises UnwritableError when the file cannot be written."""
        tree = {
            "kind": self.kind,
            "message": {k: _plain(v) for k, v in asdict(self.message).items()},
            "signatures": [signature.hex() for signature in self.signatures],
            "envelope_key": self.envelope_key.hex(),
        }
        files.write(path, json.dumps(tree, indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Order:
        """Read :meth:`write` back.

        Raises:
            StoreError: no such file, or not an order.
        """
        try:
            tree = json_text.parse(path.read_text(encoding="utf-8"))
            kind = _KINDS[tree["kind"]]
            values = {f.name: _typed(tree["message"][f.name], str(f.type)) for f in fields(kind)}
            signatures = tuple(bytes.fromhex(signature) for signature in tree["signatures"])
            if len(signatures) != 1 + (kind is Rotation):
                raise ValueError(f"{len(signatures)} signatures")  # noqa: TRY301
            return cls(kind(**values), signatures, bytes.fromhex(tree["envelope_key"]))
        except FileNotFoundError:
            raise StoreError(f"{path}: no such file.") from None
        except (OSError, ValueError, KeyError, TypeError, FederationError) as error:
            raise StoreError(f"{path}: not a signed order: {error}") from None

    def registration(self, federation: bytes, domain: Domain) -> Registration:
        """The registration in it, once its member has signed it for this federation.

        Args:
            federation: that it must be for.
            domain: that it must be signed for.

        Raises:
            FederationError: it is another order, for another federation, or not as its member signed it.
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


def _plain(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value


def _typed(value: Any, kind: str) -> Any:
    return bytes.fromhex(value) if kind == "bytes" else value
