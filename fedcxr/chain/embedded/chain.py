"""The embedded chain: an Ethereum chain in this process, whose history is one SQLite file."""

from __future__ import annotations

import re
import sqlite3
import threading
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from eth.exceptions import PyEVMError
from eth_tester.exceptions import BlockNotFound, TransactionFailed, TransactionNotFound, ValidationError
from eth_utils.exceptions import ValidationError as EthValidationError
from hexbytes import HexBytes
from web3 import Web3
from web3.datastructures import AttributeDict
from web3.providers.eth_tester import EthereumTesterProvider
from web3.providers.eth_tester.defaults import API_ENDPOINTS
from web3.types import RPCEndpoint, RPCResponse, Wei

from fedcxr.chain.embedded.evm import FAUCET, EmbeddedEvm
from fedcxr.chain.embedded.sqlite_db import SqliteDB
from fedcxr.chain.embedded.tester import EmbeddedTester
from fedcxr.chain.endpoint import Connection
from fedcxr.errors import ChainError

_REVERTED = 3  # JSON-RPC code of a revert with data, as geth answers
_REJECTED = -32000
_UNKNOWN_METHOD = -32601


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
        tester = EmbeddedTester(EmbeddedEvm(db, chain_id))
        db.commit()
        self.provider = _Provider(self, tester)

    @cached_property
    def w3(self) -> Connection:
        """A web3 connection to this chain."""
        return Connection(self.provider)

    @property
    def url(self) -> None:
        """None: it is in this process; an :class:`~fedcxr.chain.rpc_server.RpcServer` shows it to others."""
        return

    @property
    def faucet(self) -> str:
        """The address of the faucet; its ether is worth nothing here."""
        return FAUCET.public_key.to_checksum_address()

    def fund(self, address: str, ether: int = 10**6) -> None:
        """Give an account the ether that it needs for gas."""
        if self.w3.eth.get_balance(Web3.to_checksum_address(address)) < 10**18:
            self.w3.eth.send_transaction(
                {"from": self.faucet, "to": address, "value": Wei(ether * 10**18), "gas": 21_000}
            )

    def answer(self, method: str, params: Any) -> dict[str, Any]:
        """Answer one request from another process in the form of a node's answers."""
        # Through web3's own middleware, which turns eth-tester's names and numbers into those of a node.
        with self.lock:
            send = self.provider.request_func(self.w3, self.w3.middleware_onion)
            response = send(RPCEndpoint(method), params)
        if "error" in response:
            return {"error": response["error"]}
        return {"result": _plain(response.get("result"))}

    def gas_of(self, transaction: bytes) -> int:
        """The gas that a signed, encoded transaction may use."""
        evm: Any = self.provider.ethereum_tester
        return int(evm.backend.chain.get_transaction_builder().decode(transaction).gas)

    def close(self) -> None:
        """Close the chain's file, so that another process may open it."""
        with self.lock:
            self.db.close()


class _Provider(EthereumTesterProvider):
    """eth-tester's provider with our chain id, a lock, durable blocks, and reverts as a node answers them."""

    def __init__(self, chain: EmbeddedChain, tester: EmbeddedTester) -> None:
        endpoints = {**API_ENDPOINTS, "eth": {**API_ENDPOINTS["eth"], "chainId": lambda *_: chain.chain_id}}
        endpoints["net"] = {**API_ENDPOINTS["net"], "version": lambda *_: str(chain.chain_id)}
        super().__init__(tester, endpoints)
        self._chain = chain
        self._tester = tester

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Answer one JSON-RPC request; what it wrote is on the disk when it returns.

        Raises:
            ChainError: the file cannot be read or written; the chain is as it was before the request.
        """
        with self._chain.lock:
            try:
                response = self._answer(method, params)
                if "error" in response and self._chain.db.in_transaction:
                    self._forget()
                self._chain.db.commit()
            except sqlite3.ProgrammingError:
                raise ChainError(f"{method}: the chain is closed.") from None
            except sqlite3.Error as error:
                self._forget()
                raise ChainError(f"{method}: the chain's file: {error}") from None
            except BaseException:
                self._forget()
                raise
            return response

    def _forget(self) -> None:
        """Undo the writes of a request that failed, in the database and in the EVM above it."""
        if self._chain.db.in_transaction:
            self._chain.db.rollback()
        self._tester.reload()

    def _answer(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        namespace, _, name = method.partition("_")
        assert self.api_endpoints is not None
        delegate = self.api_endpoints.get(namespace, {}).get(name)
        if delegate is None:
            return _error(_UNKNOWN_METHOD, f"the method {method} does not exist")
        try:
            result: Any = delegate(self.ethereum_tester, params)
        except NotImplementedError:
            return _error(_UNKNOWN_METHOD, f"the method {method} does not exist")
        except TransactionFailed as failed:
            data = failed.args[0] if failed.args and isinstance(failed.args[0], bytes) else b""
            return _error(_REVERTED, "execution reverted", "0x" + data.hex())
        except (BlockNotFound, TransactionNotFound):
            result = None
        except (ValidationError, EthValidationError, PyEVMError) as error:
            return _error(_REJECTED, _as_a_node_says(error))
        return {"id": 1, "jsonrpc": "2.0", "result": result}


def _error(code: int, message: str, data: str | None = None) -> RPCResponse:
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return {"id": 1, "jsonrpc": "2.0", "error": error}  # type: ignore[typeddict-item]


def _as_a_node_says(error: Exception) -> str:
    """Translate py-evm's error about a nonce into geth's words, on which a sender acts."""
    if nonce := re.search(r"nonce: Expected (\d+), but got (\d+)", str(error)):
        expected, given = map(int, nonce.groups())
        return f"nonce too {'low' if given < expected else 'high'}: next nonce {expected}, tx nonce {given}"
    return f"{type(error).__name__}: {error}"


def _plain(value: Any) -> Any:
    """Encode a result as a node does: quantities and bytes are hexadecimal."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return hex(value)
    if isinstance(value, bytes | HexBytes):
        return "0x" + bytes(value).hex()
    if isinstance(value, dict | AttributeDict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value]
