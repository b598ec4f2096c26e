"""An anvil whose chain outlives it: what is asked of it is journalled first, and asked again of the next one.

anvil's own ``--state`` is written when it ends in peace. Here each transaction, with the time of its block,
is in a journal before anvil hears of it. anvil makes blocks only when told to, so the same steps make the
same blocks, hash by hash: whoever saw a receipt finds it again after a SIGKILL of anvil, of this process, or
of both.
"""

from __future__ import annotations

import logging
import threading
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from eth.vm.forks.prague import PragueVM
from eth_account import Account
from hexbytes import HexBytes
from web3 import Web3
from web3.types import RPCEndpoint, RPCResponse, TxParams, Wei

from fedcxr.chain.anvil.journal import Beginning, Journal, Step
from fedcxr.chain.anvil.process import Anvil, find_anvil
from fedcxr.chain.embedded.evm import FAUCET, GAS_LIMIT
from fedcxr.chain.endpoint import Connection, RetryingProvider
from fedcxr.chain.retry import RetryPolicy
from fedcxr.chain.web3_errors import translated
from fedcxr.errors import ChainError

logger = logging.getLogger(__name__)
_REVIVALS = 5  # attempts, of an anvil that dies while it is rebuilt or asked
_ENDS = 1.0  # seconds between a connection that breaks and its process's end


class AnvilChain:
    """One owner of one anvil; what writes to it is serialised by a lock, what reads is not."""

    url: None = None

    def __init__(
        self,
        path: Path | None,
        *,
        chain_id: int,
        binary: Path | None = None,
        block_time: float = 0.0,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        """Start anvil and bring it to where the journal at ``path`` left it.

        Args:
            path: of the journal; without one the chain ends with its process.
            chain_id: of the chain.
            binary: of anvil; by default looked for.
            block_time: seconds between blocks; 0 makes one for each transaction.
            retry_policy: for requests and receipts.

        Raises:
            ChainError: no anvil, a damaged journal, or one that another process has.
        """
        self.chain_id = chain_id
        self.retry_policy = retry_policy or RetryPolicy()
        self.lock = threading.RLock()
        self._block_time = block_time
        self._binary = binary or find_anvil()
        self._closed = threading.Event()
        self._failure: Exception | None = None
        self._rejected = _result(None)
        self._journal = Journal(path, Beginning(chain_id, int(time.time()), GAS_LIMIT))
        try:
            translated(self._begin)
        except BaseException:
            self._journal.close()
            raise
        self.provider = _Provider(self)
        self._miner: threading.Thread | None = None
        if block_time:
            self._miner = threading.Thread(target=self._make_blocks, name="anvil's blocks", daemon=True)
            self._miner.start()

    @cached_property
    def w3(self) -> Connection:
        """A web3 connection to this chain."""
        return Connection(self.provider, self.retry_policy)

    @property
    def pid(self) -> int:
        """The id of the anvil process that runs now."""
        return self._anvil.pid

    @property
    def faucet(self) -> str:
        """The address of the faucet; its ether is worth nothing here."""
        return FAUCET.public_key.to_checksum_address()

    def fund(self, address: str, ether: int = 10**6) -> None:
        """Give an account the ether that it needs for gas."""

        def give() -> None:
            if self.w3.eth.get_balance(Web3.to_checksum_address(address)) < 10**18:
                payment: TxParams = {"to": address, "value": Wei(ether * 10**18), "gas": 21_000}
                self.w3.sender(Account.from_key(FAUCET.to_bytes())).deliver(payment)

        translated(give)

    def travel(self, seconds: int) -> None:
        """Mine a block whose time is that much later; the chain's clock stays ahead."""
        with self.lock:
            self._step(mine=max(int(time.time()), self._time) + seconds)

    def answer(self, method: str, params: Any) -> dict[str, Any]:
        """One request from outside, as anvil answers it."""
        response = self.provider.make_request(RPCEndpoint(method), params)
        return {"error": response["error"]} if "error" in response else {"result": response.get("result")}

    def gas_of(self, transaction: bytes) -> int:
        """The gas that a signed, encoded transaction may use."""
        return int(PragueVM.get_transaction_builder().decode(transaction).gas)

    def close(self) -> None:
        """Stop anvil and close the journal, so that another process may open it."""
        self._closed.set()
        if self._miner is not None:
            self._miner.join()
        with self.lock:
            self._anvil.close()
            self._journal.close()

    def submit(self, raw: str) -> RPCResponse:
        """Write a signed transaction to the journal, send it to anvil and, without a block time, mine it."""
        with self.lock:
            now = 0 if self._block_time else max(int(time.time()), self._time)
            return self._step(raw=raw, mine=now)

    def ask(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Ask anvil; one that has died is started again, and rebuilt, before it is asked once more."""
        self._refuse_closed()
        for _ in range(_REVIVALS):
            direct = self._direct
            try:
                return direct.make_request(method, params)
            except OSError:
                if not self._revive(direct):
                    raise
        return self._direct.make_request(method, params)

    def _step(self, *, raw: str = "", mine: int = 0) -> RPCResponse:
        self._refuse_closed()
        step = Step(self._hash, raw, mine)
        self._journal.append(step)
        try:
            response = self._do(step)
        except OSError:
            # What the journal holds is done with the rest of it when anvil is rebuilt.
            if not self._revive(self._direct):
                raise
            done = self._journal.steps and self._journal.steps[-1] is step
            return _result(Web3.keccak(HexBytes(raw)).to_0x_hex()) if done else self._rejected
        if "error" in response:
            self._journal.take_back()
        return response

    def _do(self, step: Step) -> RPCResponse:
        """Carry out one step of the journal; an error leaves anvil as it was."""
        response = _result(None)
        if step.raw:
            response = self._request("eth_sendRawTransaction", [step.raw])
        if step.mine and "error" not in response:
            mined = self._request("evm_mine", [step.mine])
            if "error" in mined:
                raise ChainError(f"anvil makes no block: {mined['error']}")
            self._look()
        return response

    def _look(self) -> None:
        """Remember the hash and the time of the latest block."""
        block: Any = self._request("eth_getBlockByNumber", ["latest", False])["result"]
        self._hash, self._time = str(block["hash"]), int(block["timestamp"], 16)

    def _request(self, method: str, params: list[Any]) -> RPCResponse:
        return self._direct.make_request(RPCEndpoint(method), params)

    def _begin(self) -> None:
        """A fresh anvil, with everything that the journal holds done to it.

        Raises:
            ChainError: its blocks are not those that the journal was written over.
            ConnectionError: it died meanwhile.
        """
        self._anvil = Anvil(self._binary, self._journal.beginning)
        self._direct = RetryingProvider(self._anvil.url, self._once)
        try:
            self._look()
            for step in list(self._journal.steps):
                if step.over != self._hash:
                    raise ChainError(  # noqa: TRY301
                        f"the journal cannot be replayed: it says {step.over}, but anvil makes {self._hash}. "
                        "It was changed, or is of another version of anvil."
                    )
                response = self._do(step)
                if "error" in response:
                    # Only the last step can be one of which anvil's refusal was not heard.
                    if step is not self._journal.steps[-1]:
                        raise ChainError(f"the journal cannot be replayed: {response['error']}")  # noqa: TRY301
                    self._rejected = response
                    self._journal.take_back()
        except BaseException:
            self._anvil.close()
            raise

    @cached_property
    def _once(self) -> RetryPolicy:
        """The policy of one request: an anvil on this machine answers, or has died."""
        return RetryPolicy(timeout=self.retry_policy.timeout, retries=0)

    def _revive(self, failed: RetryingProvider) -> bool:
        """Start anvil again if the process behind ``failed`` has died; whether another one runs now."""
        with self.lock:
            if self._closed.is_set():
                return False
            if self._direct is failed:
                if not self._anvil.has_ended(_ENDS):
                    return False
                logger.warning("anvil has died; it is started again from its journal")
                for attempt in range(_REVIVALS):
                    self._anvil.close()
                    try:
                        self._begin()
                    except OSError as error:
                        if attempt == _REVIVALS - 1:
                            raise ChainError(f"anvil dies while its chain is rebuilt: {error}") from None
                    else:
                        break
            return True

    def _make_blocks(self) -> None:
        due = time.monotonic()
        while not self._closed.wait(max(due - time.monotonic(), 0)):
            due = max(due + self._block_time, time.monotonic())
            try:
                with self.lock:
                    self._step(mine=max(int(time.time()), self._time))
            except (ChainError, OSError) as error:
                self._failure = error  # who waits for the block hears of it
                return

    def _refuse_closed(self) -> None:
        if self._closed.is_set():
            raise ChainError("the chain is closed.")
        if self._failure is not None:
            raise ChainError(f"the chain makes no more blocks: {self._failure}")


class _Provider(RetryingProvider):
    """What writes goes through the chain's journal; the rest is asked of anvil."""

    def __init__(self, chain: AnvilChain) -> None:
        super().__init__("http://127.0.0.1", chain.retry_policy)
        self._chain = chain

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Answer one JSON-RPC request.

        Raises:
            ChainError: the chain is closed, or cannot be rebuilt.
        """
        if method == "eth_sendRawTransaction":
            return self._chain.submit(params[0])
        if method.startswith(("evm_", "anvil_", "hardhat_", "eth_sendTransaction")):
            return {"id": 1, "jsonrpc": "2.0", "error": {"code": -32601, "message": f"{method}: not offered"}}
        return self._chain.ask(method, params)


def _result(value: Any) -> RPCResponse:
    return {"id": 1, "jsonrpc": "2.0", "result": value}
