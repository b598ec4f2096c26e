"""A federation's contract as everyone can read it; an auditor and a hospital need no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

from web3 import Web3

from fedcxr.errors import ContractRejectedError, LedgerError
from fedcxr.ledger.acceptance import AcceptanceRules
from fedcxr.ledger.artifact import known_artifacts
from fedcxr.ledger.bounds import Bounds
from fedcxr.ledger.connection import ContractConnection
from fedcxr.ledger.contract_events import ContractEvents
from fedcxr.ledger.deployment_parameters import ADMISSIONS, RECORDINGS, WEIGHTINGS, DeploymentParameters
from fedcxr.ledger.member_list import MemberList
from fedcxr.ledger.phase import RoundPhase
from fedcxr.ledger.protocol import MemberView, RoundView
from fedcxr.ledger.recorded import Recorded
from fedcxr.ledger.round_events import RoundEvents
from fedcxr.ledger.rules import CHANGES
from fedcxr.ledger.seats import WORD, credits_call, to_words
from fedcxr.ledger.signing import Domain
from fedcxr.ledger.transaction import decode_error, translated


class FederationViews:
    """Reads one federation's contract: what it was deployed with, its members and its rounds."""

    def __init__(self, connection: ContractConnection) -> None:
        self._connection = connection
        self._events = ContractEvents(connection)
        self._round_seen: tuple[RoundEvents, Sequence[Any], RoundView] | None = None
        self._accounts: tuple[Sequence[Any], Sequence[Any], Mapping[str, int]] | None = None
        self._samples: tuple[Sequence[Any], Mapping[int, int]] | None = None
        self._member_list = MemberList(connection, self._events)
        self._seats: dict[str, int] = {}  # of every account met; an account's seat never changes

    @classmethod
    def attach(cls, w3: Web3, address: str) -> FederationViews:
        """Connect to the contract of an existing federation.

        Raises:
            LedgerError: there is no contract at this address.
            ChainError: the chain does not answer.
        """
        return cls(ContractConnection.attach(w3, address))

    @property
    def address(self) -> str:
        return self._connection.address

    @property
    def w3(self) -> Web3:
        """The connection to the chain."""
        return self._connection.w3

    def events(self, name: str) -> list[Any]:
        """The contract's events of a name, of all rounds."""
        return self._connection.events(name)

    def followed(self, name: str) -> Sequence[Any]:
        """The contract's events of a name as of the last look; what was read is not read again."""
        return self._events.named(name)

    def code_difference(self) -> str | None:
        """How the contract differs from every known artifact, in code or in origin; None when it does not."""
        return self._connection.code_difference()

    @property
    def artifact(self) -> str | None:
        """Name of the known artifact whose contract this is; None where it is none's."""
        return self._connection.artifact

    # ----------------------------------------------------------------------- what it was founded with

    @cached_property
    def domain(self) -> Domain:
        """EIP-712 domain that members sign for."""
        return Domain(translated(lambda: self._connection.w3.eth.chain_id), self.address)

    @cached_property
    def federation(self) -> bytes:
        """The federation's id of 32 bytes, which every signed message repeats."""
        return bytes(self._connection.call("federation"))

    @cached_property
    def layout_digest(self) -> bytes:
        """Digest of the layout of every model and update."""
        return bytes(self._connection.call("layoutDigest"))

    @cached_property
    def config_digest(self) -> bytes:
        """Digest of the configuration that the federation was founded with."""
        return bytes(self._connection.call("configDigest"))

    @cached_property
    def genesis_digest(self) -> bytes:
        """Digest of the model that the first round starts from."""
        return bytes(self._connection.call("genesisDigest"))

    @cached_property
    def weighting(self) -> str:
        """How weights follow from samples: one of ``WEIGHTINGS`` of the deployment parameters."""
        return WEIGHTINGS[self._connection.call("weighting")]

    @cached_property
    def admission(self) -> str:
        """Who lets members in: one of ``ADMISSIONS`` of the deployment parameters."""
        return ADMISSIONS[self._connection.call("admission")]

    @cached_property
    def recording(self) -> Recorded:
        """Whether the contract keeps each submission, or one root of a round's."""
        return RECORDINGS[int(self._connection.call("recording"))]

    @cached_property
    def open_updates(self) -> bool:
        """Whether updates are plain vectors of the ring, which anyone can add."""
        return bool(self._connection.call("openUpdates"))

    @cached_property
    def update_size(self) -> int:
        """Bytes of an update's vector of the ring."""
        return int(self._connection.call("updateSize"))

    @cached_property
    def acceptance(self) -> AcceptanceRules:
        """What the contract asks of a submission."""
        size = self.update_size if self.open_updates else None
        return AcceptanceRules(self.federation, self.domain, size)

    @cached_property
    def committee_size(self) -> int:
        """Number of validators of a round; 0 where every accepted update counts."""
        return int(self._connection.call("committeeSize"))

    @cached_property
    def reward_budget(self) -> int:
        """Credits that a round gives to its hospitals together."""
        return int(self._connection.call("rewardBudget"))

    @cached_property
    def coordinator_key_digest(self) -> bytes:
        """Digest of the coordinator's envelope key."""
        return bytes(self._connection.call("coordinatorKeyDigest"))

    @cached_property
    def auditor_key_digest(self) -> bytes:
        """Digest of the auditor's envelope key; 32 zero bytes when there is no auditor."""
        return bytes(self._connection.call("auditorKeyDigest"))

    @cached_property
    def deployment_parameters(self) -> DeploymentParameters:
        """Everything that the contract was deployed with, from its first event.

        Raises:
            LedgerError: the contract has no such event.
        """
        created = self.events("FederationCreated")
        if len(created) != 1:
            raise LedgerError(f"{self.address}: no record of its creation.")
        return DeploymentParameters.from_tuple(list(created[0]["args"]["founding"].values()))

    @cached_property
    def bounds(self) -> Bounds | None:
        """What the contract binds of every round, from its event; None for an earlier contract."""
        fixed = self.events("BoundsFixed")
        return Bounds.from_tuple(list(fixed[0]["args"]["bounds"].values())) if fixed else None

    @cached_property
    def court(self) -> str:
        """Address of the contract that holds the bond and judges challenges."""
        return str(self._connection.call("court"))

    def court_has(self, function: str) -> bool:
        """Whether the court has a function of a name: those of earlier artifacts lack some."""
        known = known_artifacts().get(self.artifact or "")
        return known is not None and any(entry.get("name") == function for entry in known.court_abi)

    # ------------------------------------------------------------------------ its members and its rounds

    @property
    def coordinator(self) -> str:
        """The present coordinator's address."""
        return str(self._connection.call("coordinator"))

    @property
    def model_digest(self) -> bytes:
        """Digest of the model that the next round starts from."""
        return bytes(self._connection.call("modelDigest"))

    @property
    def last_finalized(self) -> int:
        """Number of the round that was finalized last; 0 before the first."""
        return int(self._connection.call("lastFinalized"))

    @property
    def round_in_progress(self) -> int:
        """Number of the round that is open, closed or validated; 0 when none is."""
        number, _, phase, *_ = self.latest_round
        return int(number) if RoundPhase.numbered(phase).in_progress else 0

    @property
    def latest_round(self) -> Any:
        """The contract's record of the round that was opened last, as the ABI has it."""
        return self._connection.call("latestRound")

    def ask(self, name: str, *arguments: object) -> Any:
        """What a function of the contract would return, or why it would revert; nothing is sent.

        Raises:
            ContractRejectedError: the contract's reason.
        """
        return self._connection.call(name, *arguments)

    def members(self) -> list[MemberView]:
        """Everyone who has ever joined, in the order of their seats."""
        return self._member_list.read()

    def seat_of(self, address: str) -> int:
        """The seat that an account has or had.

        Raises:
            ContractRejectedError: it was never a member's.
        """
        if address not in self._seats:
            self._seats[address] = int(self._connection.call("seatOf", address)[0])
        return self._seats[address]

    def accounts(self) -> Mapping[str, int]:
        """The seat of every account that a member has or had, by the contract's events."""
        joined, rotated = self._events.named("MemberJoined"), self.rotations()
        if (known := self._accounts) is None or known[0] is not joined or known[1] is not rotated:
            seats = {str(event["args"]["member"]): int(event["args"]["seat"]) for event in joined}
            seats |= {str(event["args"]["successor"]): int(event["args"]["seat"]) for event in rotated}
            self._accounts = known = joined, rotated, seats
        return known[2]

    def registered_samples(self) -> Mapping[int, int]:
        """Registered images by seat, of everyone who has ever joined; they never change."""
        joined = self._events.named("MemberJoined")
        if (known := self._samples) is None or known[0] is not joined:
            samples = {int(event["args"]["seat"]): int(event["args"]["samples"]) for event in joined}
            self._samples = known = joined, samples
        return known[1]

    def rotations(self) -> Sequence[Any]:
        """The contract's events of keys that were rotated."""
        return self._events.named("KeyRotated")

    def change_action(self, change: str, address: str) -> bytes:
        """The digest that members approve to ``suspend`` or ``reinstate`` a member."""
        return bytes(self._connection.call("actionOf", CHANGES.index(change), checked_address(address)))

    def credits(self) -> dict[str, int]:
        """Credits of every member, by the address of its present key."""
        members = self.members()
        owned: list[int] = []
        for word, seats in enumerate(to_words((1 << len(members)) - 1, -(-len(members) // WORD))):
            owned += self._connection.call(*credits_call(word, seats))
        return {member.address: int(credit) for member, credit in zip(members, owned, strict=True)}

    def committee(self) -> list[str]:
        """Validators of the latest round; none before they are drawn."""
        return [str(address) for address in self._connection.call("committee")]

    def commitment(self, number: int, attempt: int, seat: int) -> bytes:
        """Struct hash of the submission that was accepted for a seat; zeros where one root records all."""
        return bytes(self._connection.call("commitmentOf", number, attempt, seat))

    def result_hash(self, number: int) -> bytes:
        """Hash of a finalized round's result; zeros before it is finalized."""
        return bytes(self._connection.call("resultOf", number))

    def round(self, number: int) -> RoundView:
        """The latest attempt of a round.

        Raises:
            LedgerError: the round was never opened.
        """
        events = self.round_events(number)
        if not events.opened:
            raise LedgerError(f"round {number} was never opened.")
        rotations = self.rotations()
        if (seen := self._round_seen) is None or seen[0] is not events or seen[1] is not rotations:
            self._round_seen = seen = events, rotations, events.view(rotations)
        return seen[2]

    def round_events(self, number: int) -> RoundEvents:
        """The contract's events of a round, all attempts, in the chain's order."""
        return self._events.of_round(number)

    def one_look(self) -> AbstractContextManager[None]:
        """Look at the chain once, and go by its events as they were then until the block ends."""
        return self._events.one_look()

    def forget(self) -> None:
        """Read the contract's events anew from the next question on."""
        self._events.forget()

    def goes_on(self) -> bool:
        """Whether the chain is the one of every look so far, with nothing of it taken back."""
        return self._events.goes_on()

    def head(self) -> tuple[int, bytes]:
        """Number and hash of the chain's newest block."""
        return self._events.head()

    def block_hash(self, number: int) -> bytes | None:
        """Hash of a block in the chain of the last look, or else in that of now; None where it has none."""
        return self._events.block_hash(number)

    def refusals(self, number: int) -> dict[str, list[bytes]]:
        """Digests of the models that each hospital refused as a round's base, none twice."""
        refusals: dict[str, list[bytes]] = {}
        for values in self.round_events(number).of("BaseRefused"):
            seen, said = bytes(values["seen"]), refusals.setdefault(values["hospital"], [])
            if seen not in said:
                said.append(seen)
        return refusals

    def rejections(self, number: int) -> list[tuple[str, ContractRejectedError]]:
        """Submissions to a round that the contract rejected in batches: hospital and reason, in order."""
        rejected = self.round_events(number).of("UpdateRejected")
        return [(values["hospital"], decode_error(bytes(values["reason"]))) for values in rejected]

    def sender(self, event: Any) -> str:
        """Address that sent the transaction behind an event."""
        return str(
            translated(lambda: self._connection.w3.eth.get_transaction(event["transactionHash"]))["from"]
        )

    def timestamp(self, block: int) -> int:
        """Seconds of chain time of a block."""
        return self._events.timestamp(block)


def checked_address(address: str) -> str:
    """An address with its EIP-55 checksum.

    Raises:
        LedgerError: the text is no address.
    """
    if not Web3.is_address(address):
        raise LedgerError(f"{address!r:.80} is no address: 0x and 40 hexadecimal digits are expected.")
    return Web3.to_checksum_address(address)
