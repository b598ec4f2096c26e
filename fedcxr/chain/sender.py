"""Who sends the transactions of one account: nonces, replacement, finality, and reorganisations.

A transaction is signed once, and every time it is sent it is those bytes: a chain takes them once. Only when
the chain shows that its nonce went to another transaction, so that it can never be mined, is it signed again
under the next.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from eth_account.signers.local import LocalAccount
from hexbytes import HexBytes
from web3 import Web3
from web3.exceptions import TransactionNotFound, Web3RPCError
from web3.types import Nonce, TxParams, TxReceipt, Wei

from fedcxr.chain.outgoing import Answer, Fees, Outgoing
from fedcxr.chain.retry import RetryPolicy
from fedcxr.errors import ChainError

logger = logging.getLogger(__name__)
_SLOWEST_POLL = 0.5  # seconds
_REMEMBERED = 64  # sent transactions that can be sent again after a reorganisation
_OWN_GAS = 4096  # more than asked for, at most; what is not used is not paid
_PLACES = 50  # nonces that are tried when other processes take them


class Sender:
    """Sends for one account, shared by threads, and beside other processes that use the account."""

    def __init__(
        self,
        w3: Web3,
        account: LocalAccount,
        retry_policy: RetryPolicy,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._w3 = w3
        self._account = account
        self._retry_policy = retry_policy
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._on_their_way: set[int] = set()  # nonces
        self._sent: deque[Outgoing] = deque(maxlen=_REMEMBERED)
        # Two processes that say the same under one nonce would else sign the same bytes: one transaction.
        self._own_gas = secrets.randbelow(_OWN_GAS)
        self._chain_id: int | None = None
        self._first_genesis = b""

    def send(self, function: Any, *, gas: int, value: int = 0) -> TxReceipt:
        """Sign, send and await one transaction.

        Args:
            function: a call or constructor of web3's contract.
            value: wei that goes with it.
            gas: limit; estimating costs more than the transaction, and overestimates.

        Returns:
            The receipt, once it lies ``finality`` blocks deep; it may be that of a revert.

        Raises:
            ChainError: not mined in time.
            Web3RPCError: the chain refuses it.
            ConnectionError: the chain does not answer.
        """
        filled = {
            "from": self._account.address,
            "gas": gas,
            "value": Wei(value),
            "nonce": Nonce(0),
            "chainId": self._chain(),
        }
        content = function.build_transaction({**filled, "maxFeePerGas": 0, "maxPriorityFeePerGas": 0})
        return self.deliver(content)

    def deliver(self, content: TxParams) -> TxReceipt:
        """As :meth:`send`, of a transaction that lacks nonce and fees at most."""
        content = {**content, "chainId": self._chain(), "gas": content["gas"] + self._own_gas}
        while True:
            outgoing = self._place(content)
            try:
                receipt = self._await(outgoing)
            finally:
                with self._lock:
                    self._on_their_way.discard(outgoing.nonce)
            if receipt is not None:
                return receipt
            logger.warning(
                "nonce %d of %s went to another transaction: sending under the next",
                outgoing.nonce,
                self._account.address,
            )

    def settle(self) -> None:
        """Wait for what a process before this one left on its way; what stays stuck is cancelled.

        Raises:
            ChainError: it is neither mined nor cancelled in time.
        """
        started, cancelled = self._clock(), 0
        while (spent := self._count("latest")) < (ahead := self._count("pending")):
            waited = self._clock() - started
            if waited > self._retry_policy.give_up_after:
                raise ChainError(
                    f"{ahead - spent} sent by {self._account.address} are pending for {waited:.0f} s."
                )
            if waited > (1 + cancelled) * self._retry_policy.stuck_after:
                self._cancel(spent, 2**cancelled)
                cancelled += 1
            self._sleep(_SLOWEST_POLL)

    def _place(self, content: TxParams) -> Outgoing:
        """Sign under the next free nonce and hand it to the chain."""
        with self._lock:
            nonce, fees = self._next_nonce(), self._fees()
            if self._restore(nonce):
                nonce = self._next_nonce()
            for attempt in range(_PLACES):
                outgoing = Outgoing(content, nonce, fees)
                answer = self._push(outgoing.sign(self._account))
                if answer is Answer.SPENT and not self._is_mined(outgoing):
                    nonce = max(nonce + 1, self._count("pending"))
                elif answer is Answer.TAKEN:
                    nonce += 1
                elif answer is Answer.EARLY:
                    # Another process was faster, and its transaction is not there yet.
                    self._sleep(min(self._retry_policy.poll * 2**attempt, _SLOWEST_POLL))
                    nonce = self._next_nonce()
                elif answer is Answer.CHEAP:
                    fees = fees.raised(self._base_fee() or 0)
                else:
                    # Taken; or spent by ours, of which an attempt without an answer had arrived.
                    self._on_their_way.add(nonce)
                    self._sent.append(outgoing)
                    return outgoing
        raise ChainError(
            f"{self._account.address}: no free nonce in {_PLACES} attempts: who else sends with it?"
        )

    def _await(self, outgoing: Outgoing) -> TxReceipt | None:
        """The receipt once it is final; None when the nonce went to a transaction that is not ours."""
        retry_policy = self._retry_policy
        started = moved = self._clock()
        poll = retry_policy.poll
        seen: TxReceipt | None = None
        while True:
            receipt = self._receipt(outgoing)
            if receipt is not None:
                if self._is_final(receipt):
                    return receipt
                seen = receipt
            elif seen is not None:
                logger.warning("a reorganisation dropped transaction %s: sending it again", _name(seen))
                self._push_again(outgoing)
                seen, moved = None, self._clock()
            elif self._is_overtaken(outgoing) and self._receipt(outgoing) is None:
                return None
            elif self._clock() - moved > retry_policy.stuck_after:
                self._replace(outgoing)
                moved = self._clock()
            if self._clock() - started > retry_policy.give_up_after:
                raise ChainError(
                    f"transaction {outgoing.hashes[-1].to_0x_hex()} (nonce {outgoing.nonce}) has no final "
                    f"receipt after {self._clock() - started:.0f} s; it may still be mined. "
                    "Is the chain making blocks?"
                )
            self._sleep(poll)
            poll = min(2 * poll, _SLOWEST_POLL)

    def _is_mined(self, outgoing: Outgoing) -> bool:
        """Asked when the chain says that the nonce is spent; behind one URL, one node may know later."""
        for _ in range(10):
            if self._receipt(outgoing) is not None:
                return True
            if self._count("latest") > outgoing.nonce:
                break
            self._sleep(self._retry_policy.poll)
        return self._receipt(outgoing) is not None

    def _is_final(self, receipt: TxReceipt) -> bool:
        if not self._retry_policy.finality:
            return True
        if self._w3.eth.block_number < receipt["blockNumber"] + self._retry_policy.finality:
            return False
        return bool(self._w3.eth.get_block(receipt["blockNumber"])["hash"] == receipt["blockHash"])

    def _is_overtaken(self, outgoing: Outgoing) -> bool:
        """Whether the nonce is spent, as deep as finality wants it: until then ours may still be mined."""
        head = self._w3.eth.block_number
        at = max(head - self._retry_policy.finality, 0) if self._retry_policy.finality else "latest"
        return self._count(at) > outgoing.nonce

    def _replace(self, outgoing: Outgoing) -> None:
        """The same nonce and content at a higher fee; whichever version is mined, it is one of ours."""
        self._push_again(outgoing)  # the pool may have forgotten it
        outgoing.fees = outgoing.fees.raised(self._base_fee() or 0)
        logger.warning(
            "nonce %d of %s is stuck: replaced at %d wei a gas",
            outgoing.nonce,
            self._account.address,
            outgoing.fees.most,
        )
        self._try(outgoing.sign(self._account))

    def _cancel(self, nonce: int, factor: int) -> None:
        """Take a nonce that another process's transaction holds, by one that does nothing."""
        fees = self._fees()
        fees = Fees(max(fees.tip, 10**9) * 2 * factor, max(fees.most, 10**9) * 2 * factor, fees.legacy)
        nothing: TxParams = {"to": self._account.address, "value": 0, "gas": 21_000, "chainId": self._chain()}  # type: ignore[typeddict-item]
        logger.warning("nonce %d of %s is stuck since before: cancelling it", nonce, self._account.address)
        self._try(Outgoing(nothing, nonce, fees).sign(self._account))

    def _restore(self, nonce: int) -> bool:
        """Send again what a reorganisation took after its receipt: the account's nonces have gone back.

        Raises:
            ChainError: they have because the chain was begun anew.
        """
        lost = [outgoing for outgoing in self._sent if outgoing.nonce >= nonce]
        if not lost:
            return False
        if self._genesis() != self._first_genesis:
            raise ChainError("the chain was begun anew: its first block is another than when this began.")
        for outgoing in sorted(lost, key=lambda o: o.nonce):
            logger.warning("a reorganisation dropped nonce %d: sending it again", outgoing.nonce)
            self._push_again(outgoing)
        return True

    def _push_again(self, outgoing: Outgoing) -> None:
        for raw in outgoing.raws:
            self._try(raw)

    def _try(self, raw: HexBytes) -> None:
        """Hand the chain a version that it may not take: a receipt is looked for anyway."""
        try:
            answer: object = self._push(raw)
        except Web3RPCError as error:
            answer = error
        if answer is not None:
            logger.info("not taken: %s", answer)

    def _push(self, raw: HexBytes) -> Answer | None:
        """Hand the chain a version; what it says where it does not take it, and does not have it already."""
        try:
            self._w3.eth.send_raw_transaction(raw)
        except Web3RPCError as error:
            answer = Answer.to(error)
            if answer is Answer.OTHER:
                raise
            return None if answer is Answer.KNOWN else answer
        return None

    def _receipt(self, outgoing: Outgoing) -> TxReceipt | None:
        for transaction in reversed(outgoing.hashes):
            try:
                return self._w3.eth.get_transaction_receipt(transaction)
            except TransactionNotFound:
                continue
        return None

    def _next_nonce(self) -> int:
        return max(self._count("pending"), *(nonce + 1 for nonce in self._on_their_way), 0)

    def _count(self, block: Any) -> int:
        return int(self._w3.eth.get_transaction_count(self._account.address, block))

    def _base_fee(self) -> int | None:
        """None on a chain from before EIP-1559."""
        return cast(int | None, self._w3.eth.get_block("latest").get("baseFeePerGas"))

    def _fees(self) -> Fees:
        base = self._base_fee()
        if base is None:
            price = int(self._w3.eth.gas_price)
            return Fees(price, price, legacy=True)
        if base == 0 and self._w3.eth.get_balance(self._account.address) == 0:
            return Fees(0, 0)  # a chain whose gas is free
        return Fees(1, 2 * base + 1)

    def _chain(self) -> int:
        if self._chain_id is None:
            self._first_genesis = self._genesis()
            self._chain_id = int(self._w3.eth.chain_id)
        return self._chain_id

    def _genesis(self) -> bytes:
        return bytes(self._w3.eth.get_block(0)["hash"])


def _name(receipt: TxReceipt) -> str:
    return HexBytes(receipt["transactionHash"]).to_0x_hex()
