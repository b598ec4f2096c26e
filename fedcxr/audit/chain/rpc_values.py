"""Values as nodes write them: hexadecimal over HTTP, Python's own from a chain in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from web3 import Web3
from web3.providers.eth_tester import EthereumTesterProvider
from web3.types import RPCEndpoint

from fedcxr.chain.web3_errors import translated
from fedcxr.errors import ChainError

Request = Callable[..., Any]  # method, parameters → result


def requests(w3: Web3) -> Request:
    """JSON-RPC as it is, past web3's formatters, which refuse the headers of some chains.

    The returned function raises ChainError where the endpoint answers with an error, or not at all.
    """
    provider: Any = w3.provider

    def request(method: str, *params: Any) -> Any:
        def send() -> Any:
            if isinstance(provider, EthereumTesterProvider):  # whose own names web3's middleware translates
                return provider.request_func(w3, w3.middleware_onion)(RPCEndpoint(method), params)
            return provider.make_request(RPCEndpoint(method), list(params))

        response = translated(send)
        if not isinstance(response, Mapping) or "error" in response:
            error = response.get("error") if isinstance(response, Mapping) else response
            raise ChainError(f"{method}: the chain says: {error!s:.200}")
        return response.get("result")

    return request


def quantity(value: Any) -> int:
    """A number, from a number or from hexadecimal.

    Raises:
        ValueError, TypeError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"{value!r:.40} is no number")
    return value if isinstance(value, int) else int(value, 16)


def octets(value: Any, width: int = 0) -> bytes:
    """Bytes, from bytes or from hexadecimal.

    Args:
        value: of a field; the embedded chain writes some fields of a fixed width as numbers.
        width: that the field has, which zeros on the left fill; 0 where it varies.

    Raises:
        ValueError, TypeError: they are none.
        OverflowError: more than the width.
    """
    if width and isinstance(value, int) and not isinstance(value, bool):
        return value.to_bytes(width)
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no bytes")
    digits = value.removeprefix("0x")
    return bytes.fromhex(digits.rjust(2 * width, "0") if width else digits)
