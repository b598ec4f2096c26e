"""A transaction on its way: what it pays, every version of it that was signed, and what nodes say to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from eth_account.signers.local import LocalAccount
from hexbytes import HexBytes
from web3 import Web3
from web3.types import TxParams

from fedcxr.chain.retry import FEE_BUMP


@dataclass(frozen=True)
class Fees:
    """Of one version, in wei a gas; a chain from before EIP-1559 has only a price.

    Attributes:
        tip: for who makes the block.
        most: with the base fee.
        legacy: whether ``most`` is the price.
    """

    tip: int
    most: int
    legacy: bool = False

    def raised(self, base_fee: int) -> Fees:
        """Enough more for a node to take it instead."""
        tip = _bumped(self.tip)
        return Fees(tip, max(_bumped(self.most), 2 * base_fee + tip), self.legacy)

    def fields(self) -> dict[str, int]:
        """As a transaction has them."""
        if self.legacy:
            return {"gasPrice": self.most}
        return {"maxFeePerGas": self.most, "maxPriorityFeePerGas": self.tip}


@dataclass
class Outgoing:
    """Its content, its nonce, and every version of it that was signed: at most one of them is mined."""

    content: TxParams
    nonce: int
    fees: Fees
    raws: list[HexBytes] = field(default_factory=list)

    def sign(self, account: LocalAccount) -> HexBytes:
        """One more version, at the present fees."""
        kept = {k: v for k, v in self.content.items() if k not in ("maxFeePerGas", "maxPriorityFeePerGas")}
        signed = account.sign_transaction({**kept, "nonce": self.nonce, **self.fees.fields()})  # type: ignore[dict-item]
        self.raws.append(HexBytes(signed.raw_transaction))
        return self.raws[-1]

    @property
    def hashes(self) -> list[HexBytes]:
        """Of all versions, the latest last."""
        return [HexBytes(Web3.keccak(raw)) for raw in self.raws]


class Answer(Enum):
    """What a node means by refusing a transaction, in the words of geth, Besu, Nethermind and anvil."""

    KNOWN = ("already known", "already imported", "known transaction", "alreadyknown")
    SPENT = ("nonce too low", "nonce is too low", "oldnonce", "nonce_too_low")
    EARLY = ("nonce too high", "nonce gap")
    TAKEN = ("replacement transaction underpriced", "replacement_underpriced", "replacementnotallowed")
    CHEAP = (
        *("underpriced", "max fee per gas less than block base fee", "fee too low", "gas price below"),
        "feetoolow",
    )
    OTHER = ()

    @classmethod
    def to(cls, error: Any) -> Answer:
        """Of an error that web3 made of it."""
        said = str(error.message).lower()
        return next((answer for answer in cls if any(word in said for word in answer.value)), cls.OTHER)


def _bumped(fee: int) -> int:
    """An eighth more, rounded up."""
    numerator, denominator = FEE_BUMP
    return -(-max(fee, 1) * numerator // denominator)
