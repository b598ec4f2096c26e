"""Sending a transaction to the contract, or calling it; what reverts becomes an error of ours."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar, cast

from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.exceptions import ContractCustomError
from web3.types import TxParams, TxReceipt

from fedcxr.chain import web3_errors
from fedcxr.chain.endpoint import Connection
from fedcxr.chain.retry import RetryPolicy
from fedcxr.chain.sender import Sender
from fedcxr.errors import ChainError, ContractRejectedError
from fedcxr.ledger.abi import Fields
from fedcxr.ledger.artifact import known_interface
from fedcxr.ledger.error_help import help_for

T = TypeVar("T")


def send(w3: Web3, account: LocalAccount, function: Any, *, gas: int, value: int = 0) -> TxReceipt:
    """Sign, send and await one transaction; a revert is asked for its reason.

    Args:
        w3: a :class:`~fedcxr.chain.endpoint.Connection`, whose retry policy and nonces are used,
            or any other.
        account: that signs.
        function: a call or constructor of web3's contract.
        gas: limit.

    Raises:
        ContractRejectedError: the contract reverted.
        ChainError: the chain did not take it.
    """

    def run() -> TxReceipt:
        sender = w3.sender(account) if isinstance(w3, Connection) else Sender(w3, account, RetryPolicy())
        receipt = sender.send(function, gas=gas, value=value)
        if receipt["status"] != 1:
            asked = function.build_transaction(
                {"from": account.address, "gas": gas, "value": value, "nonce": 0, "chainId": 0, "gasPrice": 0}
            )
            w3.eth.call(
                cast(TxParams, {k: asked[k] for k in ("from", "to", "data", "gas", "value") if k in asked})
            )
            raise ChainError(f"the transaction failed with {receipt['gasUsed']:,} of {gas:,} gas used.")
        return receipt

    return translated(run)


def translated(call: Callable[[], T]) -> T:
    """Run a call; web3's errors become ours.

    Raises:
        ContractRejectedError: a custom error, by name and with its arguments.
        ChainError: anything else that the chain said.
    """

    def decoded() -> T:
        try:
            return call()
        except ContractCustomError as error:
            data = error.data if isinstance(error.data, str) else str(error.message)
            raise decode_error(bytes.fromhex(data.removeprefix("0x"))) from None

    return web3_errors.translated(decoded)


def decode_error(data: bytes) -> ContractRejectedError:
    """A custom error of the contract or its court from its ABI encoding, with what to do about it."""
    entry = known_interface().errors.get(data[:4])
    if entry is not None:
        with contextlib.suppress(ValueError):  # bytes that only begin like it
            values = Fields(entry["inputs"]).decode(data[4:])
            return ContractRejectedError(entry["name"], values, help_for(entry["name"]))
    return ContractRejectedError("Unknown", (data,), help_for("Unknown"))
