"""The chains that a federation can be on, behind one interface.

- ``embedded``: in this process, in one file of the run.
- ``anvil``: a process that is started and stopped with the run, journalled in the run; or one that stands.
- ``rpc``: any Ethereum JSON-RPC endpoint.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from eth_account import Account
from web3 import Web3
from web3.types import TxParams, Wei

from fedcxr import config as configuration
from fedcxr.chain.anvil.chain import AnvilChain
from fedcxr.chain.anvil.process import find_anvil
from fedcxr.chain.embedded.chain import EmbeddedChain
from fedcxr.chain.embedded.evm import FAUCET
from fedcxr.chain.endpoint import Connection, connect, shown
from fedcxr.chain.here import shown_here
from fedcxr.chain.retry import RetryPolicy
from fedcxr.chain.rpc_server import RpcServer
from fedcxr.chain.web3_errors import translated
from fedcxr.errors import ChainError, ConfigError

_GIFT = 10**6 * 10**18  # wei; worth nothing on a development chain
_ENOUGH = 10**18  # wei


class Chain(Protocol):
    """A chain that is open."""

    chain_id: int

    @property
    def w3(self) -> Connection:
        """A web3 connection to it."""
        ...

    @property
    def url(self) -> str | None:
        """Where others reach it; None when it is in this process and has to be shown to them."""
        ...

    def fund(self, address: str) -> None:
        """See that an account can pay for gas.

        Raises:
            ChainError: it cannot, and nobody here can give it ether.
        """
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


@dataclass
class RemoteChain:
    """A chain at a URL, which others keep.

    Attributes:
        w3: a web3 connection to it.
        url: of its JSON-RPC endpoint.
        chain_id: as it says.
        development: whether its ether is worth nothing, and can be had from it.
    """

    w3: Connection
    url: str
    chain_id: int
    development: bool = False

    @classmethod
    def for_stranger(cls, url: str) -> RemoteChain:
        """As somebody who belongs to no run, and takes whatever chain is there.

        Where fedcxr's own faucet has ether, of which everyone has the key, ether is worth nothing.

        Raises:
            ChainError: nothing answers there.
        """
        w3 = connect(url)
        faucet = FAUCET.public_key.to_checksum_address()
        rich = translated(lambda: w3.eth.get_balance(faucet)) > _GIFT
        return cls(w3, url, translated(lambda: w3.eth.chain_id), development=rich)

    @classmethod
    def at(
        cls, url: str, *, chain_id: int, retry_policy: RetryPolicy | None = None, development: bool = False
    ) -> RemoteChain:
        """Connect.

        Raises:
            ChainError: nothing answers there, or another chain does.
        """
        w3 = connect(url, retry_policy)
        found = translated(lambda: w3.eth.chain_id)
        if found != chain_id:
            raise ChainError(f"{shown(url)} is chain {found}, but ledger.chain_id is {chain_id}.")
        return cls(w3, url, found, development)

    def fund(self, address: str) -> None:
        translated(lambda: self._fund(Web3.to_checksum_address(address)))

    def close(self) -> None:
        """Nothing here is ours."""

    def _fund(self, address: str) -> None:
        to = Web3.to_checksum_address(address)
        balance = self.w3.eth.get_balance(to)
        free = self.w3.eth.get_block("latest").get("baseFeePerGas") == 0
        if balance >= _ENOUGH or (not self.development and (balance > 0 or free)):
            return
        payment: TxParams = {"to": to, "value": Wei(_GIFT), "gas": 21_000}
        faucet = Account.from_key(FAUCET.to_bytes())
        if self.development and self.w3.eth.get_balance(faucet.address) > _GIFT:
            self.w3.sender(faucet).deliver(payment)
        elif self.development and (rich := self.w3.eth.accounts):
            gift: TxParams = {"from": rich[0], "to": to, "value": Wei(1000 * 10**18)}
            self.w3.eth.wait_for_transaction_receipt(self.w3.eth.send_transaction(gift))
        else:
            raise ChainError(
                f"{address} has no ether on {shown(self.url)}, and gas is not free there: send it some."
            )


def open_chain(settings: configuration.Ledger, *, embedded: Path, journal: Path) -> Chain:
    """The chain that the configuration names.

    Args:
        settings: the section ``[ledger]``.
        embedded: file of the embedded chain.
        journal: file from which an anvil is rebuilt.

    Raises:
        ConfigError: the ledger is off.
        ChainError: it cannot be opened, or is another chain.
    """
    retry_policy = RetryPolicy(
        finality=settings.finality, timeout=settings.timeout, stuck_after=settings.stuck_after
    )
    if settings.backend == "embedded":
        return EmbeddedChain(embedded, chain_id=settings.chain_id)
    if settings.backend == "anvil" and not settings.url:
        return AnvilChain(
            journal,
            chain_id=settings.chain_id,
            binary=find_anvil(settings.anvil),
            block_time=settings.block_time,
            retry_policy=retry_policy,
        )
    if settings.backend == "off":
        raise ConfigError("ledger.backend = off: there is no chain.")
    return RemoteChain.at(
        settings.endpoint,
        chain_id=settings.chain_id,
        retry_policy=retry_policy,
        development=settings.backend == "anvil",
    )


@contextlib.contextmanager
def shown_to_others(chain: Chain, host: str, port: int) -> Iterator[str]:
    """The URL at which hospitals in other processes reach the chain, while the context lasts.

    Raises:
        ChainError: the address cannot be listened at.
    """
    if isinstance(chain, EmbeddedChain | AnvilChain):
        with (
            contextlib.closing(RpcServer(chain, host, port)) as server,
            shown_here(server.url, server.front),
        ):
            yield server.url
    else:
        assert chain.url is not None
        yield chain.url
