"""Sends an account's transactions to a federation's contract, and counts their gas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from eth_account.signers.local import LocalAccount
from web3.logs import DISCARD
from web3.types import TxReceipt

from fedcxr.errors import LedgerError
from fedcxr.ledger.connection import ContractConnection
from fedcxr.ledger.transaction import send


class Transactor:
    """Sends transactions to one contract.

    Attributes:
        account: that signs; None where nothing can be written.
        gas_used: by kind of call, since this object was made.
    """

    def __init__(self, connection: ContractConnection, account: LocalAccount | None) -> None:
        """Send to the connected contract; without an account every transaction is refused."""
        self._connection = connection
        self.account = account
        self.gas_used: Counter[str] = Counter()

    def transact(self, kind: str, name: str, arguments: Sequence[object], *, gas: int) -> TxReceipt:
        """Call a function of the contract in a transaction, and wait for its receipt.

        Args:
            kind: under which the gas is counted.
            name: of the function.
            arguments: as the ABI has them.
            gas: limit.

        Raises:
            LedgerError: there is no account to write with.
            ContractRejectedError: the contract reverted.
            ChainError: the chain did not take the transaction.
        """
        if self.account is None:
            raise LedgerError(f"{name}: this connection to the contract has no account to write with.")
        function = self._connection.contract.function(name)(*arguments)
        receipt = send(self._connection.w3, self.account, function, gas=gas)
        self.gas_used[kind] += receipt["gasUsed"]
        return receipt

    def said(self, receipt: TxReceipt, names: Sequence[str]) -> list[Any]:
        """The contract's events of these names in a receipt, in their order."""
        events = [
            event
            for name in names
            for event in self._connection.contract.event(name).process_receipt(receipt, errors=DISCARD)
        ]
        return sorted(events, key=lambda event: int(event["logIndex"]))
