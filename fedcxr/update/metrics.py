"""What a hospital says about its own training, under a salted digest that it signs.

The salt keeps an outsider who sees the digest on the ledger from guessing a small number behind it.
"""

from __future__ import annotations

import json
import math
import secrets
from dataclasses import asdict, dataclass, fields
from typing import Self

from fedcxr import json_text
from fedcxr.errors import FederationError

_SALT = 16  # bytes
_LARGEST = 1e12  # seconds or loss


@dataclass(frozen=True)
class HospitalMetrics:
    """One hospital's round.

    Attributes:
        salt: 32 hex digits.
        images: seen, over all local epochs.
        passes: images times augmented views.
        steps: of the optimiser.
        seconds: training's wall time.
        protect_seconds: encoding, sealing, hashing and signing.
        loss: mean joint objective; bce and contrastive are its parts, before lambda.
        saturated: values that fixed point could not hold.
    """

    salt: str
    images: int
    passes: int
    steps: int
    seconds: float
    protect_seconds: float
    loss: float
    bce: float
    contrastive: float
    saturated: int

    @staticmethod
    def fresh_salt() -> str:
        return secrets.token_hex(_SALT)

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read :meth:`to_bytes` back.

        Raises:
            FederationError: fields missing, surplus, of another type, or not a number that can be.
        """
        try:
            tree = json_text.parse(data)
            metrics = cls(**tree)
        except (ValueError, TypeError):
            raise FederationError("the metrics are not what a hospital reports.") from None
        for field in fields(cls):
            value = getattr(metrics, field.name)
            if type(value).__name__ != field.type or not _possible(value):
                raise FederationError(
                    f"the metrics' {field.name} is {value!r:.40}, not a possible {field.type}."
                )
        return metrics


def _possible(value: str | float) -> bool:
    """Counts and times fit any table and any sum; a loss may be negative, and a salt has its length."""
    if isinstance(value, str):
        return len(value) == 2 * _SALT
    if isinstance(value, int):
        return 0 <= value < 2**63
    return math.isfinite(value) and abs(value) < _LARGEST
