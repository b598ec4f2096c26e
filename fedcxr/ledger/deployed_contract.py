"""web3's view of one contract, made for the names that are used and no others.

web3 makes a class for every entry of an ABI, and looks through all of them at each call: of the ledger's ABI,
that took longer than the answer did.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from web3 import Web3


class DeployedContract:
    """The functions and events of a contract at an address."""

    def __init__(self, w3: Web3, address: str, abi: list[dict[str, Any]]) -> None:
        """Name a contract without asking whether anything is there.

        Args:
            w3: the chain.
            address: of the contract.
            abi: what it can be asked, and what it can say.
        """
        self.w3 = w3
        self.address = Web3.to_checksum_address(address)
        self._abi = abi
        self._parts: dict[str, Any] = {}

    def function(self, name: str) -> Any:
        """web3's function of a name; called with its arguments, it can be asked or sent."""
        return self._part(name).functions[name]

    def event(self, name: str) -> Any:
        """web3's event of a name that one event has."""
        return self._part(name).events[name]()

    def events(self) -> Iterator[tuple[dict[str, Any], Any]]:
        """Every event of the ABI: its entry, and web3's event, of which several may have one name."""
        for entry in self._abi:
            if entry["type"] == "event":
                alone: Any = [entry]
                contract = self.w3.eth.contract(address=self.address, abi=alone)
                yield entry, contract.events[entry["name"]]()

    def _part(self, name: str) -> Any:
        """web3's contract of the ABI's entries of one name."""
        if name not in self._parts:
            entries: Any = [entry for entry in self._abi if entry.get("name") == name]
            self._parts[name] = self.w3.eth.contract(address=self.address, abi=entries)
        return self._parts[name]
