"""Seats as their members signed them: what the ledger alone says makes no key, and no federation smaller."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from fedcxr.bench.secagg import DOMAIN
from fedcxr.errors import FederationError
from fedcxr.ledger.round_events import RoundEvents
from fedcxr.ledger.signing import HOSPITAL, VALIDATOR, Departure, Domain, Registration, Rotation, sign
from fedcxr.masked_rounds.attempts import masked_attempt, may_sign, signed_seats
from fedcxr.privacy.secagg.attempt import MaskingHospital
from fedcxr.store.identity import Identity

FEDERATION = bytes([7] * 32)
END = {"blockNumber": 1_000, "logIndex": 0}
PEOPLE = [Identity.fresh("X25519", masks=True) for _ in range(6)]


@dataclass
class Ledger:
    """A chain of the coordinator's own, which says what it likes."""

    said: list[Any] = field(default_factory=list)
    federation: bytes = FEDERATION
    domain: Domain = DOMAIN
    address: str = DOMAIN.contract
    layout_digest: bytes = bytes(32)

    def say(self, name: str, **values: object) -> None:
        place = {"blockNumber": len(self.said), "logIndex": 0}
        self.said.append({"event": name, "args": values, **place})

    def followed(self, name: str) -> list[Any]:
        return [event for event in self.said if event["event"] == name]

    def round_events(self, number: int) -> RoundEvents:
        return RoundEvents(number, self.followed("RoundOpened"))

    def join(self, seat: int, who: Identity, *, roles: int = HOSPITAL, **instead: object) -> None:
        key, member = who.envelope_key.public, who.account.address
        message = Registration(FEDERATION, member, HOSPITAL, 10, key.digest)
        values = {
            "seat": seat,
            "member": member,
            "roles": roles,
            "samples": 10,
            "envelopeKey": key.data,
            "signature": sign(who.account, message, DOMAIN),
        }
        self.say("MemberJoined", **values | instead)

    def rotate(self, seat: int, old: Identity, new: Identity, *, by: Identity | None = None) -> None:
        key = new.envelope_key.public
        message = Rotation(FEDERATION, old.account.address, new.account.address, key.digest)
        self.say(
            "KeyRotated",
            seat=seat,
            member=old.account.address,
            successor=new.account.address,
            envelopeKey=key.data,
            signature=sign((by or old).account, message, DOMAIN),
        )

    def leave(self, seat: int, who: Identity, *, by: Identity | None = None) -> None:
        message = Departure(FEDERATION, who.account.address)
        signature = sign((by or who).account, message, DOMAIN)
        self.say("MemberLeft", seat=seat, member=who.account.address, signature=signature)

    def open(self, seats: list[int], accounts: list[Identity]) -> None:
        self.say(
            "RoundOpened",
            round=1,
            attempt=1,
            baseDigest=bytes(32),
            configDigest=bytes(32),
            seats=sum(1 << seat for seat in seats),
            participants=[who.account.address for who in accounts],
            weights=[10] * len(seats),
        )

    def attempt(self, parts: int = 3_400) -> Any:
        return masked_attempt(self, 1, parts, 8)  # type: ignore[arg-type]

    def seats(self) -> Any:
        return signed_seats(self, END)  # type: ignore[arg-type]


@pytest.fixture
def ledger() -> Ledger:
    made = Ledger()
    for seat, who in enumerate(PEOPLE[:5]):
        made.join(seat, who)
    return made


def test_an_attempt_has_the_keys_that_its_members_signed(ledger: Ledger) -> None:
    ledger.open([0, 1, 2, 3, 4], PEOPLE[:5])
    attempt = ledger.attempt()
    assert [each.key for each in attempt.participants] == [who.envelope_key.public for who in PEOPLE[:5]]
    assert (attempt.numbers.colluders, attempt.numbers.smallest, attempt.numbers.threshold) == (1, 4, 3)


def test_a_key_that_nobody_signed_is_not_used(ledger: Ledger) -> None:
    planted = PEOPLE[5].envelope_key.public.data
    ledger.said[2]["args"]["envelopeKey"] = planted
    ledger.open([0, 1, 2, 3, 4], PEOPLE[:5])
    with pytest.raises(FederationError, match="seat 2: a public key of 0 bytes"):
        ledger.attempt()


def test_a_rotation_counts_under_the_old_keys_signature_and_before_the_opening(ledger: Ledger) -> None:
    ledger.rotate(1, PEOPLE[1], PEOPLE[5], by=PEOPLE[0])  # which the member did not sign
    assert ledger.seats()[1].account == PEOPLE[1].account.address
    ledger.open([0, 1, 2, 3, 4], PEOPLE[:5])
    before = ledger.attempt()
    ledger.rotate(1, PEOPLE[1], PEOPLE[5])
    assert ledger.attempt().context == before.context
    assert ledger.seats()[1].accounts == (PEOPLE[1].account.address, PEOPLE[5].account.address)
    hospital: MaskingHospital = before.of(1)
    for who, may in ((PEOPLE[1], True), (PEOPLE[5], True), (PEOPLE[2], False)):
        assert may_sign(ledger, hospital, who.account.address) is may  # type: ignore[arg-type]


def test_an_account_of_another_seat_or_key_takes_no_part(ledger: Ledger) -> None:
    ledger.open([0, 1, 2, 3, 4], [*PEOPLE[:4], PEOPLE[5]])
    with pytest.raises(FederationError, match="in seat 4, has signed no key of it"):
        ledger.attempt()


def test_few_participants_do_not_make_colluders_fewer(ledger: Ledger) -> None:
    """Three of five: c is counted among all five, whatever the chain says of the others' roles."""
    ledger.open([0, 1, 2], PEOPLE[:3])
    assert ledger.attempt().numbers.colluders == 1
    for seat in (3, 4):
        ledger.said[seat]["args"]["roles"] = VALIDATOR  # which its member did not sign
    assert ledger.attempt().numbers.colluders == 1


def test_only_a_signed_departure_makes_the_federation_smaller(ledger: Ledger) -> None:
    ledger.leave(3, PEOPLE[3], by=PEOPLE[0])
    ledger.leave(4, PEOPLE[4], by=PEOPLE[0])
    ledger.open([0, 1, 2], PEOPLE[:3])
    assert ledger.attempt().numbers.colluders == 1
    others = Ledger(ledger.said[:5])
    others.leave(3, PEOPLE[3])
    others.leave(4, PEOPLE[4])
    others.open([0, 1, 2], PEOPLE[:3])
    assert others.attempt().numbers.colluders == 0


def test_an_attempt_that_the_ledger_lacks_is_none(ledger: Ledger) -> None:
    with pytest.raises(FederationError, match="was never opened"):
        ledger.attempt()
    ledger.open([0, 1, 2, 3, 4], PEOPLE[:5])
    with pytest.raises(FederationError, match="has no attempt 2"):
        masked_attempt(ledger, 1, 3_400, 8, attempt=2)  # type: ignore[arg-type]
