"""What can be read of a federation's contract, typed; an auditor and a hospital need no more."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from web3 import Web3

from fedcxr.errors import ContractRejectedError, LedgerError
from fedcxr.ledger.artifact import load_artifact
from fedcxr.ledger.founded import FoundedContract
from fedcxr.ledger.protocol import MemberView, RoundView, Standing
from fedcxr.ledger.round_events import RoundEvents
from fedcxr.ledger.rules import CHANGES
from fedcxr.ledger.seats import from_bitmap
from fedcxr.ledger.transaction import decode_error, translated

_STANDINGS: tuple[Standing, ...] = ("active", "active", "suspended", "left")  # the enum's None never shows
PHASES = ("none", "open", "closed", "validated", "finalized", "aborted")
"""Names of the contract's enum ``Phase``, in its order."""
_IN_PROGRESS = ("open", "closed", "validated")


class FederationViews(FoundedContract):
    """A connection to one federation's contract that only reads."""

    def __init__(self, w3: Web3, address: str) -> None:
        super().__init__(w3, address)
        self._seats: dict[str, int] = {}  # of every account met; an account's seat never changes

    @property
    def coordinator(self) -> str:
        """The present coordinator's address."""
        return str(self._call("coordinator"))

    @property
    def model_digest(self) -> bytes:
        """Of the model that the next round starts from."""
        return bytes(self._call("modelDigest"))

    @property
    def last_finalized(self) -> int:
        return int(self._call("lastFinalized"))

    @property
    def round_in_progress(self) -> int:
        """Number of the round that is open, closed or validated; 0 when none is."""
        number, _, phase, *_ = self._call("latestRound")
        return int(number) if PHASES[phase] in _IN_PROGRESS else 0

    def members(self) -> list[MemberView]:
        """Everyone who has ever joined, in the order of their seats."""
        listed, digests = self._call("members")
        return [
            MemberView(seat, str(account), samples, roles, _STANDINGS[standing], bytes(digest))
            for seat, ((account, samples, roles, standing), digest) in enumerate(
                zip(listed, digests, strict=True)
            )
        ]

    def seat_of(self, address: str) -> int:
        """The seat that an account has or had.

        Raises:
            ContractRejectedError: it was never a member's.
        """
        if address not in self._seats:
            self._seats[address] = int(self._call("seatOf", address)[0])
        return self._seats[address]

    def change_action(self, change: str, address: str) -> bytes:
        """What members approve to ``suspend`` or ``reinstate`` a member."""
        return bytes(self._call("actionOf", CHANGES.index(change), checked_address(address)))

    def credits(self) -> dict[str, int]:
        """Credits of every member, by the address of its present key."""
        members = self.members()
        if not members:
            return {}
        owned = self._call("creditsOfSeats", (1 << len(members)) - 1)
        return {member.address: int(credit) for member, credit in zip(members, owned, strict=True)}

    def committee(self) -> list[str]:
        """Validators of the latest round; none before they are drawn."""
        return [str(address) for address in self._call("committee")]

    def commitment(self, number: int, attempt: int, seat: int) -> bytes:
        """What the contract keeps of an accepted submission; zeros where one root records all."""
        return bytes(self._call("commitmentOf", number, attempt, seat))

    def result_hash(self, number: int) -> bytes:
        """What the contract keeps of a finalized round; zeros before."""
        return bytes(self._call("resultOf", number))

    def round(self, number: int) -> RoundView:
        """The latest attempt of a round.

        Raises:
            LedgerError: it was never opened.
        """
        # Read at one block: through RPC the coordinator may write in between.
        block = translated(lambda: self._w3.eth.block_number)
        events = self.round_events(number, block)
        if not events.opened:
            raise LedgerError(f"round {number} was never opened.")
        return events.view(self.seat_of, self.events("KeyRotated", block=block))

    def round_events(self, number: int, block: int | None = None) -> RoundEvents:
        """Everything that the contract said of a round, in order."""
        topic = "0x" + number.to_bytes(32, "big").hex()
        logs = translated(
            lambda: self._w3.eth.get_logs(
                {
                    "address": self._contract.address,
                    "fromBlock": 0,
                    "toBlock": "latest" if block is None else block,
                    "topics": [None, topic],
                }
            )
        )
        decoded = [
            self._decoders[log["topics"][0]](log) for log in logs if log["topics"][0] in self._decoders
        ]
        return RoundEvents(number, decoded)

    def refusals(self, number: int) -> dict[str, list[bytes]]:
        """Digests that each hospital says it was handed instead of a round's base, none twice."""
        refusals: dict[str, list[bytes]] = {}
        for event in self.events("BaseRefused", number):
            seen, said = bytes(event["args"]["seen"]), refusals.setdefault(event["args"]["hospital"], [])
            if seen not in said:
                said.append(seen)
        return refusals

    def rejections(self, number: int) -> list[tuple[str, ContractRejectedError]]:
        """Submissions to a round that the contract rejected in batches: hospital and reason, in order."""
        events = self.events("UpdateRejected", number)
        return [(e["args"]["hospital"], decode_error(bytes(e["args"]["reason"]))) for e in events]

    def sender(self, event: Any) -> str:
        """Address that sent the transaction behind an event."""
        return str(translated(lambda: self._w3.eth.get_transaction(event["transactionHash"]))["from"])

    def timestamp(self, block: int) -> int:
        """Seconds of chain time of a block."""
        return int(translated(lambda: self._w3.eth.get_block(block))["timestamp"])

    def participants(self, bitmap: int) -> list[str]:
        """Present accounts of a set of seats."""
        members = self.members()
        return [members[seat].address for seat in from_bitmap(bitmap)]

    @cached_property
    def _decoders(self) -> dict[Any, Any]:
        """Decoder of each of the contract's events by its topic."""
        names = [entry["name"] for entry in load_artifact().abi if entry["type"] == "event"]
        events = [self._contract.events[name]() for name in names]
        return {Web3.to_bytes(hexstr=event.topic): event.process_log for event in events}


def checked_address(address: str) -> str:
    """An address with its checksum.

    Raises:
        LedgerError: it is none.
    """
    if not Web3.is_address(address):
        raise LedgerError(f"{address!r:.80} is no address: 0x and 40 hexadecimal digits are expected.")
    return Web3.to_checksum_address(address)
