"""web3's many exceptions, as fedcxr's one error of a chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from web3.exceptions import Web3Exception

from fedcxr.errors import ChainError

T = TypeVar("T")


def translated(call: Callable[[], T]) -> T:
    """Run a call of web3's.

    Raises:
        ChainError: whatever the chain, or the way to it, said instead of an answer.
    """
    try:
        return call()
    except (Web3Exception, OSError) as error:
        raise ChainError(f"the chain says: {error}") from None
