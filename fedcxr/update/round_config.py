"""What a round fixes beforehand, under a digest that is on the ledger."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Self

from fedcxr import json_text
from fedcxr.errors import LayoutError
from fedcxr.update import merkle

LONGEST = 1 << 19
"""Bytes of a round's configuration: one with an exponent for each of 65,536 tensors has 300,000."""


_SEATS = 1 << 16
LABELS = 14
"""That a model has; a hospital states which of them it has by as many bits."""


@dataclass(frozen=True)
class StatedLabels:
    """Which labels a hospital has, as it has signed it.

    Attributes:
        seat: of the hospital.
        account: that signed.
        labels: bit k is label k, in CheXpert's order.
        signature: EIP-712, over :class:`~fedcxr.ledger.statements.Labels`.
    """

    seat: int
    account: str
    labels: int
    signature: bytes


@dataclass(frozen=True)
class RareLabels:
    """Which labels' rows nobody moves in a round, for too few have the label, and what that follows from.

    Attributes:
        statements: of the participants, by rising seat; who made none has no label.
        withheld: labels, rising.
    """

    statements: tuple[StatedLabels, ...]
    withheld: tuple[int, ...]

    def to_tree(self) -> dict[str, Any]:
        """As JSON has it, in a round's configuration."""
        rows = [[one.seat, one.account, one.labels, one.signature.hex()] for one in self.statements]
        return {"labels": rows, "withheld": list(self.withheld)}

    @classmethod
    def of_tree(cls, tree: dict[str, Any]) -> Self:
        """Read :meth:`to_tree` back; raises ValueError, KeyError or TypeError where it is none."""
        statements = []
        for seat, account, labels, signature in tree["labels"]:
            if type(seat) is not int or type(labels) is not int:
                raise TypeError("a field of another type")
            if not 0 <= seat < _SEATS or not 0 <= labels < 1 << LABELS:
                raise ValueError(f"labels of seat {seat!r:.20}: {labels!r:.40}")
            if type(account) is not str or type(signature) is not str:
                raise TypeError("a field of another type")
            statements.append(StatedLabels(seat, account, labels, bytes.fromhex(signature)))
        withheld = tree["withheld"]
        if not all(type(label) is int and 0 <= label < LABELS for label in withheld):
            raise ValueError(f"withheld: {withheld!r:.80}")
        found = cls(tuple(statements), tuple(withheld))
        if found.to_tree() != {"labels": tree["labels"], "withheld": withheld}:
            raise ValueError("labels: not as they would be written")
        return found


@dataclass(frozen=True)
class RoundConfig:
    """The round's scale, bound to the federation's configuration and layout.

    Attributes:
        round: 1-based.
        config: hex digest of the federation's configuration.
        layout: hex digest of the layout.
        partition: hex SHA-256 of ``partition.json``; empty where hospitals bring their own data.
        exponents: of the fixed point, one per tensor of the layout.
        rare: labels that are withheld; None where the federation withholds none.
    """

    round: int
    config: str
    layout: str
    partition: str
    exponents: tuple[int, ...]
    rare: RareLabels | None = None

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        tree = asdict(replace(self, rare=None))
        del tree["rare"]
        if self.rare is not None:
            tree |= self.rare.to_tree()
        return json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()

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
            rare = RareLabels.of_tree(tree) if "labels" in tree or "withheld" in tree else None
            return cls(numbers[0], *words, numbers[1:], rare)
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise LayoutError(f"not a round's configuration: {error}") from None

    @cached_property
    def digest(self) -> bytes:
        """Merkle root of :meth:`to_bytes`: its name in the store, and on the ledger."""
        return merkle.root(self.to_bytes())

    @property
    def scale_digest(self) -> bytes:
        """Digest of all of it but what follows from who takes part: every attempt at a round has the same."""
        return replace(self, rare=None).digest
