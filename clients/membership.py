"""What a hospital decides about its own membership, and its vote on that of others: signed, for a relay."""

from __future__ import annotations

from pathlib import Path

from clients.disk import HospitalDisk
from clients.hospital import Hospital
from clients.ledger import attach_ledger
from clients.member import Member
from fedcxr.errors import FederationError, StoreError
from fedcxr.ledger.orders import Order
from fedcxr.ledger.signing import Approval, Departure, Domain, Rotation, sign
from fedcxr.ledger.views import CHANGES
from fedcxr.store.identity import Identity


def rotate(directory: Path, out: Path) -> Order:
    """Give the hospital new keys, and sign for the contract that its seat is theirs.

    The new keys are the hospital's from here on; the old ones stay beside them as
    ``identity.<address>.json``. Until the order is relayed, the contract knows the old ones only.

    Args:
        directory: the hospital's.
        out: where the order is written, before the keys change: without it they could not be used.

    Raises:
        FederationError: it is in no federation.
        StoreError: a file cannot be written.
    """
    member = Hospital(HospitalDisk(directory)).member
    fresh = Identity.fresh(member.config.privacy.kem)
    envelope_key = fresh.envelope_key.public
    federation, old, new = _federation(member), member.address, fresh.account.address
    rotation = Rotation(federation, old, new, envelope_key.digest)
    domain = Domain(member.membership.chain_id, member.membership.contract)
    order = Order(rotation, (member.sign(rotation), sign(fresh.account, rotation, domain)), envelope_key.data)
    if out.exists():
        raise StoreError(f"{out}: is there already; an order is not written over another one.")
    order.write(out)
    # The old keys have a second name before the first is given to the new ones.
    member.identity.write(directory / f"identity.{old}.json")
    HospitalDisk(directory).join(new, member.membership)
    fresh.write(directory / "identity.json")
    return order


def leave(directory: Path) -> Order:
    """Sign that the hospital leaves.

    Raises:
        FederationError: it is in no federation.
    """
    member = Hospital(HospitalDisk(directory)).member
    departure = Departure(_federation(member), member.address)
    return Order(departure, (member.sign(departure),))


def approve(directory: Path, change: str, address: str) -> Order:
    """Sign a vote for suspending or reinstating a member, or for a registration that was seen.

    Args:
        directory: the hospital's.
        change: ``suspend`` or ``reinstate``.
        address: of the member.

    Raises:
        FederationError: the hospital is in no federation, or its settings say that there is no ledger.
        ContractRejectedError: the address is no member's.
    """
    disk = HospitalDisk(directory)
    member = Hospital(disk).member
    if change not in CHANGES:
        raise FederationError(f"{change!r}: members vote to {' or '.join(CHANGES)}.")
    ledger = attach_ledger(disk, member.membership.contract, member.membership.chain_id)
    if ledger is None:
        raise FederationError(f"{directory}: hospital.toml says that there is no ledger to vote on.")
    approval = Approval(_federation(member), ledger.change_action(change, address), member.address)
    return Order(approval, (member.sign(approval),))


def _federation(member: Member) -> bytes:
    return bytes.fromhex(member.membership.federation)
