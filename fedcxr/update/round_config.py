"""What a round fixes beforehand, under a digest that is on the ledger."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Self

from fedcxr import json_text
from fedcxr.errors import LayoutError
from fedcxr.update import merkle

LONGEST = 1 << 19
"""Bytes of a round's configuration: one with an exponent for each of 65,536 tensors has 300,000."""


@dataclass(frozen=True)
class RoundConfig:
    """The round's scale, bound to the federation's configuration and layout.

    Attributes:
        round: 1-based.
        config: hex digest of the federation's configuration.
        layout: hex digest of the layout.
        partition: hex SHA-256 of ``partition.json``; empty where hospitals bring their own data.
        exponents: of the fixed point, one per tensor of the layout.
    """

    round: int
    config: str
    layout: str
    partition: str
    exponents: tuple[int, ...]

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read :meth:`to_bytes` back.

        Raises:
            LayoutError: not a round's configuration.
        """
        try:
            tree = json_text.parse(data, LONGEST)
            numbers = (tree["round"], *tree["exponents"])
            words = (tree["config"], tree["layout"], tree["partition"])
            if not all(type(n) is int for n in numbers) or not all(type(word) is str for word in words):
                raise TypeError("a field of another type")  # noqa: TRY301
            return cls(numbers[0], *words, numbers[1:])
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise LayoutError(f"not a round's configuration: {error}") from None

    @cached_property
    def digest(self) -> bytes:
        """Merkle root of :meth:`to_bytes`: its name in the store, and on the ledger."""
        return merkle.root(self.to_bytes())
