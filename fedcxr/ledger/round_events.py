"""The contract's events of one round, and the view of the round that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from fedcxr.errors import LedgerError
from fedcxr.ledger.phase import BEGUN_BY
from fedcxr.ledger.protocol import AcceptedUpdate, RoundView
from fedcxr.ledger.seats import from_bitmap
from fedcxr.ledger.signing import Submission


@dataclass(frozen=True)
class RoundEvents:
    """The contract's decoded events of one round, all attempts, in their order on the chain."""

    number: int
    events: Sequence[Any]

    @property
    def opened(self) -> bool:
        return any(event["event"] == "RoundOpened" for event in self.events)

    @cached_property
    def attempts(self) -> list[RoundEvents]:
        """The events of each attempt; what came before the first opening belongs to none."""
        starts = [i for i, event in enumerate(self.events) if event["event"] == "RoundOpened"]
        bounds = pairwise([*starts, len(self.events)])
        return [RoundEvents(self.number, self.events[a:b]) for a, b in bounds]

    def of(self, *names: str) -> list[Any]:
        """Arguments of the events of these names."""
        return [event["args"] for event in self.events if event["event"] in names]

    def view(self, rotations: Sequence[Any]) -> RoundView:
        """The view of the latest attempt.

        Args:
            rotations: decoded events of keys that were rotated, in their order on the chain.

        Raises:
            LedgerError: an update was accepted from somebody who was not asked.
        """
        latest = self.attempts[-1]
        opening = latest.of("RoundOpened")[0]
        phases = [event for event in latest.events if event["event"] in BEGUN_BY]
        updates = {values["hospital"]: values for values in latest.of("UpdateAccepted")}
        at_opening = dict(zip(from_bitmap(opening["seats"]), opening["participants"], strict=True))
        successors = [
            (seat, str(address)) for seat, address in latest.successors(rotations) if seat in at_opening
        ]
        seats = {str(address): seat for seat, address in [*at_opening.items(), *successors]}
        if strangers := updates.keys() - seats.keys():
            raise LedgerError(f"round {self.number}: updates of {sorted(strangers)}, who were not asked.")
        submitted = {seats[address]: address for address in updates}
        closed, validated = latest.of("RoundClosed"), latest.of("RoundValidated")
        known = {**at_opening, **({} if closed else dict(successors)), **submitted}
        by_seat = {seat: str(known[seat]) for seat in at_opening}
        weights = dict(zip(by_seat.values(), opening["weights"], strict=True))
        finalized = latest.of("RoundFinalized")

        def accounts(bitmap: int) -> tuple[str, ...]:
            return tuple(by_seat[seat] for seat in from_bitmap(bitmap))

        return RoundView(
            number=self.number,
            attempt=opening["attempt"],
            base=bytes(opening["baseDigest"]),
            config_digest=bytes(opening["configDigest"]),
            deadline=opening["deadline"],
            participants=tuple(by_seat.values()),
            weights=weights,
            seats=seats,
            accepted={
                address: AcceptedUpdate(
                    root=bytes(values["root"]),
                    samples=values["samples"],
                    size=values["size"],
                    metrics=bytes(values["metrics"]),
                )
                for address, values in updates.items()
            },
            status=BEGUN_BY[phases[-1]["event"]],
            validation_deadline=closed[-1]["validationDeadline"] if closed else 0,
            counted=accounts(validated[-1]["counted"]) if validated else (),
            aggregate_root=bytes(finalized[-1]["aggregateRoot"]) if finalized else bytes(32),
            model_digest=bytes(finalized[-1]["modelDigest"]) if finalized else bytes(32),
            submissions_root=_last(latest.of("SubmissionsCommitted"), "submissionsRoot"),
            list_root=_last(latest.of("SubmissionsCommitted"), "listRoot"),
            included=accounts(finalized[-1]["included"]) if finalized else (),
            excluded={v["hospital"]: v["reason"] for v in latest.of("UpdateExcluded")},
        )

    def successors(self, rotations: Sequence[Any]) -> list[tuple[int, str]]:
        """Seats whose keys were rotated between opening and closing, with the account that came after."""
        last = next((_place(e) for e in self.events if e["event"] == "RoundClosed"), None)
        return [
            (event["args"]["seat"], event["args"]["successor"])
            for event in rotations
            if _place(self.events[0]) < _place(event) and (last is None or _place(event) < last)
        ]

    def submission(self, federation: bytes, hospital: str) -> Submission:
        """What a hospital must have signed for its accepted update of the latest attempt."""
        latest = self.attempts[-1]
        opening = latest.of("RoundOpened")[0]
        values = next(v for v in latest.of("UpdateAccepted") if v["hospital"] == hospital)
        return Submission(
            federation=federation,
            round=self.number,
            attempt=opening["attempt"],
            hospital=hospital,
            base=bytes(opening["baseDigest"]),
            root=bytes(values["root"]),
            samples=values["samples"],
            size=values["size"],
            metrics=bytes(values["metrics"]),
        )


def _place(event: Any) -> tuple[int, int]:
    """Where on the chain an event stands."""
    return event["blockNumber"], event["logIndex"]


def _last(values: Sequence[Any], name: str) -> bytes:
    return bytes(values[-1][name]) if values else bytes(32)
