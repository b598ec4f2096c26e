"""The embedded chain: an Ethereum chain in this process, whose history is one SQLite file."""

from __future__ import annotations

import threading
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from eth_tester import EthereumTester
from eth_tester.exceptions import BlockNotFound, TransactionFailed, TransactionNotFound, ValidationError
from eth_utils import ValidationError as EthValidationError
from web3 import Web3
from web3.providers.eth_tester import EthereumTesterProvider
from web3.providers.eth_tester.defaults import API_ENDPOINTS
from web3.types import RPCEndpoint, RPCResponse

from fedcxr.errors import ChainError
from fedcxr.ledger.evm import FAUCET, EmbeddedEvm
from fedcxr.ledger.sqlite_db import SqliteDB

_REVERTED = 3  # JSON-RPC code of a revert with data, as geth answers
_REJECTED = -32000


class EmbeddedChain:
    """One owner of one chain; its calls are serialised by a lock, for py-evm is not thread-safe."""

    def __init__(self, path: Path | None, *, chain_id: int) -> None:
        """Open the chain at ``path``, or begin one; without a path it lives in memory.

        Raises:
            ChainError: the file is no chain, another chain, or in use.
        """
        db = SqliteDB(path)
        try:
            self._open(db, chain_id)
        except ChainError as error:
            db.close()
            raise ChainError(f"{path}: {error}") from None

    @classmethod
    def over(cls, db: SqliteDB, *, chain_id: int) -> Self:
        """A chain over a database that is open already.

        Raises:
            ChainError: it holds no chain, or another one.
        """
        chain = cls.__new__(cls)
        chain._open(db, chain_id)
        return chain

    def _open(self, db: SqliteDB, chain_id: int) -> None:
        self.db = db
        self.chain_id = chain_id
        self.lock = threading.RLock()
        tester = EthereumTester(EmbeddedEvm(db, chain_id))
        db.commit()
        self.provider = _Provider(self, tester)

    @cached_property
    def w3(self) -> Web3:
        """A web3 connection to this chain."""
        return Web3(self.provider)

    @property
    def faucet(self) -> str:
        """Address that hands out ether, which is worth nothing here."""
        return FAUCET.public_key.to_checksum_address()

    def fund(self, address: str, ether: int = 10**6) -> None:
        """Give an account what it needs for gas."""
        if self.w3.eth.get_balance(Web3.to_checksum_address(address)) < 10**18:
            self.w3.eth.send_transaction(
                {"from": self.faucet, "to": address, "value": ether * 10**18, "gas": 21_000}
            )

    def close(self) -> None:
        """Give the file back."""
        with self.lock:
            self.db.close()


class _Provider(EthereumTesterProvider):
    """eth-tester's provider with our chain id, a lock, durable blocks, and reverts as a node answers them."""

    def __init__(self, chain: EmbeddedChain, tester: EthereumTester) -> None:
        endpoints = {**API_ENDPOINTS, "eth": {**API_ENDPOINTS["eth"], "chainId": lambda *_: chain.chain_id}}
        endpoints["net"] = {**API_ENDPOINTS["net"], "version": lambda *_: str(chain.chain_id)}
        super().__init__(tester, endpoints)
        self._chain = chain

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Answer one JSON-RPC request; what it wrote is on the disk when it returns."""
        with self._chain.lock:
            try:
                response = self._answer(method, params)
                self._chain.db.commit()
            except BaseException:
                self._chain.db.rollback()
                raise
            return response

    def _answer(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        namespace, _, name = method.partition("_")
        assert self.api_endpoints is not None
        try:
            delegate = self.api_endpoints[namespace][name]
            result: Any = delegate(self.ethereum_tester, params)
        except (KeyError, NotImplementedError):
            return _error(-32601, f"the method {method} does not exist")
        except TransactionFailed as failed:
            data = failed.args[0] if failed.args and isinstance(failed.args[0], bytes) else b""
            return _error(_REVERTED, "execution reverted", "0x" + data.hex())
        except (BlockNotFound, TransactionNotFound):
            result = None
        except (ValidationError, EthValidationError) as error:
            return _error(_REJECTED, str(error))
        return {"id": 1, "jsonrpc": "2.0", "result": result}


def _error(code: int, message: str, data: str | None = None) -> RPCResponse:
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return {"id": 1, "jsonrpc": "2.0", "error": error}  # type: ignore[typeddict-item]
