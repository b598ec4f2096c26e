"""Attempts at masked rounds, read on the ledger: who takes part, under whose keys, and how many may collude.

The ledger alone is not believed about keys: on a chain of the coordinator's own it is the coordinator's word.
Each key is held to the signature of the member whose it is, which no chain can forge.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedcxr.errors import EnvelopeError, FederationError, LedgerError
from fedcxr.ledger.history import place_of
from fedcxr.ledger.round_events import RoundEvents
from fedcxr.ledger.seats import from_bitmap
from fedcxr.ledger.signing import HOSPITAL, Departure, Domain, Registration, Rotation, Struct, recover
from fedcxr.ledger.views import FederationViews
from fedcxr.privacy.keys import EnvelopePublicKey
from fedcxr.privacy.secagg.attempt import MaskedAttempt, MaskingHospital
from fedcxr.privacy.secagg.parameters import RoundNumbers

_NAMES = ("MemberJoined", "KeyRotated", "MemberLeft")
_SEATS = 256  # that a set of a masked round has


@dataclass(frozen=True)
class SignedSeat:
    """A seat as its member's own signatures have it, at one event of the chain.

    Attributes:
        seat: its number.
        accounts: of the member, the present one last.
        hospital: whether it registered as one.
        key: the present envelope key, with a mask key where it has one; empty where the member signed none.
        left: whether it has left, under its signature.
    """

    seat: int
    accounts: tuple[str, ...]
    hospital: bool
    key: bytes
    left: bool = False

    @property
    def account(self) -> str:
        """The present one."""
        return self.accounts[-1]


def signed_seats(ledger: FederationViews, before: Any) -> dict[int, SignedSeat]:
    """Every seat at an event of the chain, with what its member signed for.

    What a member did not sign is as if it had not happened: a key that nobody signed is no key. That somebody
    joined counts all the same, for it can only make the colluders more.

    Args:
        ledger: the contract.
        before: the event; what came before it counts, also in its own block.
    """
    events = sorted((event for name in _NAMES for event in ledger.followed(name)), key=place_of)
    seats: dict[int, SignedSeat] = {}
    for event in events:
        if place_of(event) < place_of(before):
            _follow(seats, event["event"], event["args"], ledger.federation, ledger.domain)
    return seats


def masked_attempt(
    ledger: FederationViews, number: int, parts: int, values: int, *, attempt: int | None = None
) -> MaskedAttempt:
    """An attempt at a masked round.

    Args:
        ledger: the contract, by which everything in it is read.
        number: of the round.
        parts: ``privacy.colluders`` in 1/10,000.
        values: that the layout has.
        attempt: which; by default the latest.

    Raises:
        FederationError: there is no such attempt; a participant has no key that its account signed, or none
            that masks; there are no numbers that keep an update hidden; a number has no place in a context.
    """
    found = attempt_events(ledger, number, attempt)
    opened = found.events[0]
    said = opened["args"]
    seats = signed_seats(ledger, opened)
    asked = list(zip(from_bitmap(said["seats"]), said["participants"], said["weights"], strict=True))
    hospitals = sum(seat.hospital and not seat.left for seat in seats.values())
    return MaskedAttempt(
        federation=ledger.federation,
        chain_id=ledger.domain.chain_id,
        contract=_address(ledger.address),
        round=number,
        attempt=int(said["attempt"]),
        base=bytes(said["baseDigest"]),
        config_digest=bytes(said["configDigest"]),
        layout=ledger.layout_digest,
        values=values,
        numbers=RoundNumbers.of(len(asked), max(hospitals, len(asked)), parts),
        participants=tuple(_participant(seats, *each, f"round {number}") for each in asked),
    )


def attempt_events(ledger: FederationViews, number: int, attempt: int | None = None) -> RoundEvents:
    """The events of one attempt at a round, by default the latest.

    Raises:
        FederationError: there is none.
    """
    attempts = ledger.round_events(number).attempts if ledger.round_events(number).opened else []
    for found in reversed(attempts):
        if attempt is None or found.of("RoundOpened")[0]["attempt"] == attempt:
            return found
    which = "was never opened" if attempt is None else f"has no attempt {attempt}"
    raise FederationError(f"round {number} {which} on the ledger.")


def may_sign(ledger: FederationViews, hospital: MaskingHospital, signer: str) -> bool:
    """Whether an account may sign a submission of a participant: its own, or one that it was rotated to.

    The rotations are held to the members' signatures.
    """
    account = "0x" + hospital.address.hex()
    successors = {account}
    for event in ledger.followed("KeyRotated"):
        values = event["args"]
        known = values["member"].lower() in successors
        if known and int(values["seat"]) == hospital.seat and _is_rotation(values, ledger):
            successors.add(values["successor"].lower())
    return signer.lower() in successors


def _participant(
    seats: Mapping[int, SignedSeat], seat: int, account: str, weight: int, where: str
) -> MaskingHospital:
    held = seats.get(seat)
    if held is None or held.account != account or held.left:
        raise FederationError(
            f"{where}: {account}, in seat {seat}, has signed no key of it that the ledger shows."
        )
    if seat >= _SEATS:
        raise FederationError(f"{where}: seat {seat} is beyond the {_SEATS} that a masked round can have.")
    try:
        key = EnvelopePublicKey(held.key)
    except EnvelopeError as error:
        raise FederationError(f"{where}: seat {seat}: {error}") from None
    return MaskingHospital(seat, _address(account), int(weight), key)


def _follow(seats: dict[int, SignedSeat], name: str, values: Any, federation: bytes, domain: Domain) -> None:
    seat = int(values["seat"])
    if name == "MemberJoined":
        key, roles = bytes(values["envelopeKey"]), int(values["roles"])
        message: Struct = Registration(
            federation, values["member"], roles, int(values["samples"]), _digest(key)
        )
        signed = _signed_by(message, values["signature"], values["member"], domain)
        hospital = bool(roles & HOSPITAL) or not signed  # of what nobody signed, the word that makes N larger
        seats[seat] = SignedSeat(seat, (values["member"],), hospital, key if signed else b"")
        return
    held = seats.get(seat)
    if held is None or held.account != values["member"]:
        return
    if name == "KeyRotated":
        key = bytes(values["envelopeKey"])
        message = Rotation(federation, held.account, values["successor"], _digest(key))
        if _signed_by(message, values["signature"], held.account, domain):
            seats[seat] = SignedSeat(seat, (*held.accounts, values["successor"]), held.hospital, key)
    elif _signed_by(Departure(federation, held.account), values["signature"], held.account, domain):
        seats[seat] = SignedSeat(seat, held.accounts, held.hospital, held.key, left=True)


def _is_rotation(values: Any, ledger: FederationViews) -> bool:
    digest = _digest(bytes(values["envelopeKey"]))
    message = Rotation(ledger.federation, values["member"], values["successor"], digest)
    return _signed_by(message, values["signature"], values["member"], ledger.domain)


def _signed_by(message: Struct, signature: bytes, account: str, domain: Domain) -> bool:
    try:
        return recover(message, bytes(signature), domain) == account
    except LedgerError:
        return False


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _address(account: str) -> bytes:
    return bytes.fromhex(account[2:])
