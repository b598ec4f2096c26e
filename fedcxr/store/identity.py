"""A participant's private keys on its own disk: one for signatures, one for envelopes."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from fedcxr import bounded, files, json_text
from fedcxr.errors import EnvelopeError, StoreError
from fedcxr.privacy.keys import EnvelopePrivateKey, KemName

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

_LONGEST = 1 << 16  # bytes of a key file; ours have under a thousand
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # of secp256k1, SEC 2


@dataclass(frozen=True, repr=False)
class Identity:
    """Keys of a coordinator, hospital or auditor; the file is readable by its owner only."""

    signing_key: bytes  # secp256k1, 32 bytes
    envelope_key: EnvelopePrivateKey

    @classmethod
    def load_or_create(cls, path: Path, kem: KemName, *, masks: bool = False) -> Self:
        """Load the keys at ``path``, or write fresh ones there when there is no file.

        Args:
            path: of the file.
            kem: of fresh keys.
            masks: whether fresh keys come with one for masks.

        Raises:
            StoreError: the file is damaged.
        """
        if not path.exists():
            identity = cls.fresh(kem, masks=masks)
            identity.write(path)
            return identity
        return cls.load(path)

    @classmethod
    def fresh(cls, kem: KemName, *, masks: bool = False) -> Self:
        """Draw fresh keys from the system's randomness, with one for masks where that is asked for."""
        return cls(secrets.token_bytes(32), EnvelopePrivateKey.generate(kem, masks=masks))

    def write(self, path: Path) -> None:
        """Write the keys to a file; raises UnwritableError when it cannot be written."""
        tree = {"signing_key": self.signing_key.hex(), "envelope_key": self.envelope_key.data.hex()}
        files.write(path, json.dumps(tree, indent=2) + "\n", mode=0o600)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load the keys at ``path``.

        Raises:
            StoreError: no such file, or damaged.
        """
        try:
            tree = json_text.parse(bounded.read(path, _LONGEST))
            signing_key = bytes.fromhex(tree["signing_key"])
            if not 0 < int.from_bytes(signing_key) < _ORDER or len(signing_key) != 32:
                raise ValueError  # noqa: TRY301
            return cls(signing_key, EnvelopePrivateKey(bytes.fromhex(tree["envelope_key"])))
        except FileNotFoundError:
            raise StoreError(f"{path}: no keys here.") from None
        except (OSError, StoreError, ValueError, KeyError, TypeError, EnvelopeError):
            raise StoreError(f"{path}: not a key file.") from None

    @cached_property
    def account(self) -> LocalAccount:
        """The signing key as an Ethereum account."""
        from eth_account import Account

        account: LocalAccount = Account.from_key(self.signing_key)
        return account
