"""A chain's JSON-RPC endpoint over a transport that may fail.

What is retried can be asked twice: reads, and a signed transaction, which is the same bytes each time. An
account that the node itself holds signs anew each time, so ``eth_sendTransaction`` is asked once.
"""

from __future__ import annotations

import threading
import time
from typing import Any
from urllib.parse import urlsplit

import requests
from eth_account.signers.local import LocalAccount
from eth_typing import URI
from web3 import HTTPProvider, Web3
from web3.middleware import ExtraDataToPOAMiddleware
from web3.providers.base import BaseProvider
from web3.types import RPCEndpoint, RPCResponse

from fedcxr import json_text
from fedcxr.chain.here import HereProvider, is_shown_here
from fedcxr.chain.retry import RetryPolicy
from fedcxr.chain.sender import Sender
from fedcxr.errors import ChainError

_EXTRA_DATA = 32  # bytes that an Ethereum header has at most; proof of authority writes its seals there
_ONCE = ("eth_sendTransaction", "evm_", "anvil_", "hardhat_", "personal_", "miner_")


_LARGEST = 1 << 26  # bytes of an answer; the events of 5,000 blocks of 256 hospitals have a tenth
_PATIENCE = 300.0  # seconds for one answer, however slowly it drips

# Parts of web3 that ask the chain for its id before every call, to compare it with a transaction's own, and
# look for names where an address may stand: ours are signed for the id that was found, and have addresses.
_NEEDLESS = ("validation", "ens_name_to_address")

# Of a node behind a balancer that has not seen the block yet, and of one that is asked too much.
_PASSING = ("header not found", "unknown block", "rate limit", "too many requests")


class RetryingProvider(HTTPProvider):
    """Asks again when the transport fails: a timeout, a 5xx, half an answer, a connection that is dropped."""

    def __init__(self, url: str, retry_policy: RetryPolicy) -> None:
        super().__init__(
            url, request_kwargs={"timeout": retry_policy.timeout}, exception_retry_configuration=None
        )
        self.url = url
        self._retry_policy = retry_policy

    def _make_request(self, method: RPCEndpoint, request_data: bytes) -> bytes:
        """The bytes of one answer, of which no more are taken than an answer may have.

        Raises:
            ConnectionError: it has more, or takes too long.
        """
        del method
        session, deadline = self._request_session_manager, time.monotonic() + _PATIENCE
        uri, pieces, left = URI(self.url), [], _LARGEST
        with session.get_response_from_post_request(
            uri, data=request_data, **{**self.get_request_kwargs(), "stream": True}
        ) as response:
            response.raise_for_status()
            while piece := response.raw.read1(1 << 16, decode_content=True):  # what has come, however little
                pieces.append(piece)
                left -= len(piece)
                if left < 0:
                    raise ConnectionError(f"{shown(self.url)}: an answer of more than {_LARGEST:,} bytes")
                if time.monotonic() > deadline:
                    raise ConnectionError(f"{shown(self.url)}: an answer of more than {_PATIENCE:,.0f} s")
        return b"".join(pieces)

    @staticmethod
    def decode_rpc_response(raw_response: bytes) -> RPCResponse:
        """Raises ValueError where it is no JSON, or too much of it."""
        answer: RPCResponse = json_text.parse(raw_response, _LARGEST)
        return answer

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """One request, as often as the retry policy has it.

        Raises:
            ConnectionError: none of the attempts brought a whole answer.
        """
        attempts = 1 if method.startswith(_ONCE) else 1 + self._retry_policy.retries
        for attempt in range(attempts):
            if attempt:
                time.sleep(self._retry_policy.backoff * 2 ** (attempt - 1))
            try:
                response = super().make_request(method, params)
                whole = isinstance(response, dict) and ("result" in response or "error" in response)
                if whole and (attempt == attempts - 1 or not _passes(response)):
                    return response
                why = "an answer that is no JSON-RPC"
            except requests.HTTPError as error:
                status = error.response.status_code if error.response is not None else 500
                why = f"HTTP status {status}"
                if status < 500 and status not in (408, 429):  # the request is at fault, not the transport
                    attempts = attempt + 1
                    break
            except requests.RequestException as error:
                why = type(error).__name__
            except ValueError:  # JSON, and text, that break off
                why = "half an answer"
        tried = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        raise ConnectionError(f"{shown(self.url)}: {method}: no answer in {tried}: {why}")


def _passes(response: RPCResponse) -> bool:
    """Whether an error is one that will pass by itself."""
    return "error" in response and any(word in str(response["error"]).lower() for word in _PASSING)


class Connection(Web3):
    """web3 on one chain, with what its transactions need: a retry policy, and the nonces of its accounts."""

    def __init__(self, provider: BaseProvider, retry_policy: RetryPolicy | None = None) -> None:
        super().__init__(provider)
        self.retry_policy = retry_policy or RetryPolicy()
        self._senders: dict[str, Sender] = {}
        self._guard = threading.Lock()

    def sender(self, account: LocalAccount) -> Sender:
        """Who sends for this account: one for all threads, which so share its nonces."""
        with self._guard:
            if account.address not in self._senders:
                self._senders[account.address] = Sender(self, account, self.retry_policy)
            return self._senders[account.address]

    def genesis(self) -> str:
        """Hex hash of the first block: what tells a chain from one that was begun anew under its id."""
        return bytes(self.eth.get_block(0)["hash"]).hex()


def connect(url: str, retry_policy: RetryPolicy | None = None) -> Connection:
    """A connection to a chain's JSON-RPC endpoint.

    Raises:
        ChainError: nothing answers there.
    """
    retry_policy = retry_policy or RetryPolicy()
    provider = HereProvider(url) if is_shown_here(url) else RetryingProvider(url, retry_policy)
    w3 = Connection(provider, retry_policy)
    for needless in _NEEDLESS:
        w3.middleware_onion.remove(needless)
    try:
        answer = provider.make_request(RPCEndpoint("eth_getBlockByNumber"), ["latest", False])
    except (OSError, ValueError) as error:
        raise ChainError(f"{shown(url)}: no chain answers there: {error}") from None
    block = answer.get("result")
    if not isinstance(block, dict):
        raise ChainError(f"{shown(url)}: no chain answers there: {answer.get('error')}")
    if len(str(block.get("extraData", "0x"))) > 2 + 2 * _EXTRA_DATA:
        w3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
    return w3


def shown(url: str) -> str:
    """A URL without what may be a secret in it: user, password, path and query."""
    parts = urlsplit(url)
    host = parts.hostname or url
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")
