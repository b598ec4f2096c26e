"""What a hospital decides about its own membership, and its vote on that of others: signed, for a relay."""

from __future__ import annotations

from pathlib import Path

from clients.disk import HospitalDisk
from clients.hospital import Hospital
from clients.ledger import read_members
from clients.member import Member
from fedcxr.errors import FederationError, StoreError
from fedcxr.ledger.rules import action_of
from fedcxr.ledger.signed_requests import SignedRequest
from fedcxr.ledger.signing import Approval, Departure, Registration, Rotation, commitment, sign
from fedcxr.store.identity import Identity


def rotate(directory: Path, out: Path, rpc: str = "") -> SignedRequest:
    """Give the hospital new keys, and sign for the contract that its seat is theirs.

    The new keys are the hospital's from here on; the old ones stay beside them as
    ``identity.<address>.json``. Until the request is relayed, the contract knows the old ones only; so a
    hospital that has rotated before asks the contract whether that was relayed.

    Args:
        directory: the hospital's.
        out: where the signed request is written, before the keys change: without it they could not be used.
        rpc: endpoint at which the contract is read; by default that of ``hospital.toml``.

    Raises:
        FederationError: it is in no federation, or the rotation before was not relayed.
        ChainError: there was a rotation before, and the chain cannot be read.
        StoreError: a file cannot be written.
    """
    if out.exists():
        raise StoreError(f"{out}: is there already; an order is not written over another one.")
    member = Hospital(HospitalDisk(directory)).member
    _check_seated(member, rpc)
    fresh = Identity.fresh(member.config.privacy.kem, masks=member.protection.unmasks)
    envelope_key = fresh.envelope_key.public
    federation, old, new = _federation(member), member.address, fresh.account.address
    rotation = Rotation(federation, old, new, envelope_key.digest)
    signatures = (member.sign(rotation), sign(fresh.account, rotation, member.domain))
    request = SignedRequest(rotation, signatures, envelope_key.data)
    request.write(out)
    # The old keys have a second name before the first is given to the new ones.
    member.identity.write(directory / f"identity.{old}.json")
    HospitalDisk(directory).join(new, member.membership)
    fresh.write(directory / "identity.json")
    return request


def leave(directory: Path) -> SignedRequest:
    """Sign that the hospital leaves.

    Raises:
        FederationError: it is in no federation.
    """
    member = Hospital(HospitalDisk(directory)).member
    departure = Departure(_federation(member), member.address)
    return SignedRequest(departure, (member.sign(departure),))


def approve_joining(directory: Path, registration: Path) -> tuple[SignedRequest, Registration]:
    """Sign a vote for a hospital that wants to join; no chain is asked.

    Args:
        directory: of the hospital that votes.
        registration: file of a signed request, with what the other one signed.

    Returns:
        The vote, and what it is for.

    Raises:
        FederationError: the hospital is in no federation, or the registration is not one for it.
        StoreError: no such file, or no signed request.
    """
    member = Hospital(HospitalDisk(directory)).member
    federation, read = _federation(member), SignedRequest.read(registration)
    try:
        message = read.registration(federation, member.domain)
    except FederationError as error:
        raise FederationError(f"{registration}: {error}") from None
    approval = Approval(federation, commitment(message), member.address)
    return SignedRequest(approval, (member.sign(approval),)), message


def approve(directory: Path, change: str, address: str, rpc: str = "") -> SignedRequest:
    """Sign a vote for suspending or reinstating a member.

    Args:
        directory: the hospital's.
        change: ``suspend`` or ``reinstate``.
        address: of the member.
        rpc: endpoint at which the contract is read; by default that of ``hospital.toml``.

    Raises:
        FederationError: the hospital is in no federation, or its settings say that there is no ledger.
        LedgerError: the address is no member's.
        ChainError: the chain cannot be read.
    """
    member = Hospital(HospitalDisk(directory)).member
    members, federation = read_members(member.disk, member.membership, rpc), _federation(member)
    other = members.find(address, {})
    action = action_of(federation, change, other.seat, other.suspensions)
    approval = Approval(federation, action, member.address)
    return SignedRequest(approval, (member.sign(approval),))


def _check_seated(member: Member, rpc: str) -> None:
    """See that the contract knows the present keys: those of a rotation that was not relayed it does not.

    Raises:
        FederationError: it knows the hospital by keys that were put aside.
        ChainError: the chain cannot be read.
    """
    if not (former := set(member.disk.former_addresses)):
        return
    seated = {other.account for other in read_members(member.disk, member.membership, rpc)}
    if stuck := sorted(former & seated):
        raise FederationError(
            f"{member.disk.root}: the contract knows this hospital by {stuck[0]} still, whose keys were "
            f"rotated to those of {member.address}. Another rotation would part it from its seat: first "
            "bring the signed order of that one (fedcxr member relay); if it is lost, put "
            f"identity.{stuck[0]}.json back as identity.json."
        )


def _federation(member: Member) -> bytes:
    return bytes.fromhex(member.membership.federation)
