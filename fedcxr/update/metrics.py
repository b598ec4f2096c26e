"""What a hospital says about its own training, under a salted digest that it signs.

The salt keeps an outsider who sees the digest on the ledger from guessing a small number behind it.
"""

from __future__ import annotations

import json
import math
import re
import secrets
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from fedcxr import json_text
from fedcxr.errors import FederationError

_SALT = 16  # bytes
LARGEST = 1e12
"""Below which seconds and losses are, as a hospital reports them."""
_SALT_TEXT = re.compile(rf"[0-9a-f]{{{2 * _SALT}}}")
_TERM = re.compile(r"[a-z_]{1,32}")
_TERMS = 32  # of one objective
FORMAT = "fedcxr/metrics/2"
UNTOLD = "fedcxr/metrics/3"
"""Format of metrics without losses, as masked federations have them: a loss says something of its images."""

PRIVATE = "fedcxr/metrics/4"
"""Format of metrics of training with differential privacy: no losses, and what has been spent so far."""

PRIVACY = frozenset({"epsilon", "delta", "steps", "sample_rate", "noise_multiplier", "clip"})
"""What such metrics say of it: ``epsilon`` and ``steps`` of all rounds so far, the others of a step."""

LONGEST = 1 << 13
"""Bytes of a hospital's metrics; with every term that there can be they have 3,000."""


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
        loss: mean joint objective; None where it is not told.
        terms: means of its parts by name, before their weights: ``bce``, ``ntxent`` and so on; none of them
            where the loss is not told.
        saturated: values that fixed point could not hold.
        format: of the metrics themselves; another one is refused.
        privacy: what the hospital has spent of its patients' privacy so far; None where training is not
            private.
    """

    salt: str
    images: int
    passes: int
    steps: int
    seconds: float
    protect_seconds: float
    loss: float | None
    terms: dict[str, float]
    saturated: int
    format: str = FORMAT
    privacy: dict[str, float] | None = None

    @staticmethod
    def fresh_salt() -> str:
        return secrets.token_hex(_SALT)

    @property
    def untold(self) -> Self:
        """The same without what the training's losses were."""
        return replace(self, loss=None, terms={}, format=UNTOLD)

    def private(self, spent: dict[str, float]) -> Self:
        """The same with what was spent, and without what the training's losses were: no noise hides those."""
        return replace(self, loss=None, terms={}, format=PRIVATE, privacy=spent)

    @property
    def tree(self) -> dict[str, Any]:
        """The fields, as JSON has them."""
        tree = asdict(self)
        if self.privacy is None:  # which came later than the other formats
            del tree["privacy"]
        return tree

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return json.dumps(self.tree, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read :meth:`to_bytes` back.

        Raises:
            FederationError: fields missing, surplus, of another type, or not a number that can be.
        """
        try:
            tree = json_text.parse(data, LONGEST)
            metrics = cls(**tree)
        except (ValueError, TypeError):
            raise FederationError("the metrics are not what a hospital reports.") from None
        for field in fields(cls):
            value = getattr(metrics, field.name)
            kinds = [kind.partition("[")[0].strip() for kind in str(field.type).split("|")]
            fits = ("None" if value is None else type(value).__name__) in kinds
            if not fits or not _possible(field.name, value):
                raise FederationError(
                    f"the metrics' {field.name} is {value!r:.40}, not a possible {field.type}."
                )
        told = metrics.format == FORMAT
        if (metrics.loss is not None) != told or (metrics.terms and not told):
            raise FederationError("the metrics' format does not go with the losses that they have.")
        if (metrics.privacy is not None) != (metrics.format == PRIVATE) or (
            metrics.privacy is not None and metrics.privacy.keys() != PRIVACY
        ):
            raise FederationError("the metrics' format does not go with what they say of privacy.")
        return metrics


def _possible(name: str, value: Any) -> bool:
    """Counts and times fit any table and any sum; a loss may be negative, and a salt has its length."""
    if value is None:
        return True
    if isinstance(value, dict):
        fit = all(_TERM.fullmatch(term) and type(mean) is float for term, mean in value.items())
        return fit and len(value) <= _TERMS and all(_possible(name, mean) for mean in value.values())
    if isinstance(value, str):
        return (
            value in (FORMAT, UNTOLD, PRIVATE)
            if name == "format"
            else _SALT_TEXT.fullmatch(value) is not None
        )
    if isinstance(value, int):
        return 0 <= value < 2**63
    return math.isfinite(value) and abs(value) < LARGEST
