"""A connection to a federation's contract that writes with an account, and counts the gas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Self

from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.types import TxReceipt

from fedcxr.errors import LedgerError
from fedcxr.ledger.transaction import send
from fedcxr.ledger.views import FederationViews


class LedgerWriter(FederationViews):
    """A connection to one federation's contract; writing needs an account."""

    def __init__(self, w3: Web3, address: str, account: LocalAccount | None = None) -> None:
        super().__init__(w3, address)
        self._account = account
        self.gas_used: Counter[str] = Counter()

    @classmethod
    def attach(cls, w3: Web3, address: str, account: LocalAccount | None = None) -> Self:
        """An existing federation, to write to with ``account``.

        Raises:
            LedgerError: there is no contract at this address.
            ChainError: the chain does not answer.
        """
        ledger = super().attach(w3, address)
        ledger._account = account
        return ledger

    def _transact(self, kind: str, name: str, arguments: Sequence[object], *, gas: int) -> TxReceipt:
        if self._account is None:
            raise LedgerError(f"{name}: this connection to the contract has no account to write with.")
        function = self._contract.functions[name](*arguments)
        receipt = send(self._w3, self._account, function, gas=gas)
        self.gas_used[kind] += receipt["gasUsed"]
        return receipt
