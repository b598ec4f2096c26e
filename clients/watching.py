"""One look of a hospital at the ledger between two messages, by its own command."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clients.disk import HospitalDisk
from clients.hospital import Hospital
from clients.ledger import store_of
from clients.lookout import Lookout
from clients.own_updates import Sighting
from fedcxr.errors import FederationError
from fedcxr.ledger.phase import RoundPhase


@dataclass(frozen=True)
class Line:
    """What is told of one update, or of all.

    Attributes:
        text: one line.
        left_out: whether it is of an update that was left out, or is not in the sum.
    """

    text: str
    left_out: bool = False


def watch_once(
    directory: Path, rpc: str = "", grace: float = 0.0, *, unseen: bool = False, store: str = ""
) -> Iterator[Line]:
    """See what became of the hospital's updates, and bring what an open round or its store lacks.

    Args:
        directory: the hospital's.
        rpc: endpoint at which the contract is read and written; by default that of ``hospital.toml``.
        grace: seconds from the signing of an update in which it is left to the coordinator.
        unseen: whether to bring an update also where one root records all, so that nothing shows whether the
            coordinator has it before the round is closed.
        store: URL of the blobs; by default those of the run whose chain ``hospital.toml`` names, if it is on
            this machine.

    Raises:
        RewrittenChainError: the chain lacks a block that this hospital has seen.
        FederationError: it is in no federation, or has no ledger.
        ChainError: the chain does not answer.
    """
    lookout = Lookout.of(Hospital(HospitalDisk(directory)).member, rpc)
    if lookout.ledger is None:
        raise FederationError(f'{directory}: hospital.toml says ledger = "off": nothing can be seen.')
    number, attempt, phase, *_ = lookout.ledger.latest_round
    blobs = store or store_of(lookout.member.disk)
    sightings = lookout.look(f"watching of round {number}, attempt {attempt}, phase {phase}")
    for sighting in sightings:
        said = f"round {sighting.round}, attempt {sighting.attempt}: {sighting.why}"
        left = sighting.sent[-1].since + grace - time.time()
        if sighting.fate == "accepted":
            yield Line(said + _delivered(lookout, sighting, blobs))
        elif sighting.fate != "open":
            complained = "; the journal complains of it" if sighting.complains else ""
            yield Line(said + complained, sighting.complains)
        elif lookout.ledger.recording.listed and not unseen:
            yield Line(said)
        elif left > 0:
            yield Line(f"{said}; the coordinator has {left:.0f} s left to bring it")
        elif why := lookout.bring(sighting.newest):
            yield Line(f"{said}; it could not be brought: {why}")
        else:
            brought = f"round {sighting.round}, attempt {sighting.attempt}: brought to the contract"
            yield Line(brought + _delivered(lookout, sighting, blobs))
    if not sightings:
        word = RoundPhase.numbered(phase)
        yield Line(f"nothing of this hospital is open; the latest round is {number}, {word}")


def _delivered(lookout: Lookout, sighting: Sighting, store: str) -> str:
    """What was done for the bytes of an update that the contract has, in words; empty for nothing."""
    said = lookout.deliver(sighting.newest, store) if store else ""
    return f"; {said}" if said else ""
